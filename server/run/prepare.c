#include "prepare.h"

#include <string.h>

#include "shard/keyspace.h"
#include "server/command/command_table.h"
#include "server/config/config.h"
#include "server/worker/worker.h"
#include "frame.h"

/* What takes less can't be told from its neighbours. */
#define CLOCK_SHARED_LEAST_US 1000

/* memcmp, without a call for the few bytes that a command's name has: two words that may overlap. */
static inline bool is_same_name(const struct bulk *one, const struct bulk *other) {
    size_t length = one->length;
    if (length != other->length) return false;
    if (length >= 4 && length <= 8) {
        uint32_t head, other_head, tail, other_tail;
        memcpy(&head, one->data, sizeof head);
        memcpy(&other_head, other->data, sizeof other_head);
        memcpy(&tail, one->data + length - sizeof tail, sizeof tail);
        memcpy(&other_tail, other->data + length - sizeof tail, sizeof other_tail);
        return head == other_head && tail == other_tail;
    }
    if (length == 3)
        return one->data[0] == other->data[0] && one->data[1] == other->data[1] &&
               one->data[2] == other->data[2];
    return memcmp(one->data, other->data, length) == 0;
}

/* Neighbours in a pipeline are mostly of one kind. */
static const struct command *look_up_like(const struct command *before, const struct bulk *before_name,
                                          const struct bulk *arguments, uint32_t count) {
    bool is_same =
        before != NULL && command_arity_fits(before, count) && is_same_name(before_name, arguments);
    return is_same ? before : command_look_up(arguments, count);
}

bool clock_may_be_shared(void) {
    int64_t slow = atomic_load_explicit(&config.slowlog_log_slower_than, memory_order_relaxed);
    return slow < 0 || slow >= CLOCK_SHARED_LEAST_US;
}

static void fetch_homes(const struct lane *lane, uint32_t database, struct prepared *prepared, uint32_t from,
                        uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (prepared[i].has_key) fetch_home(lane, prepared[i].key.hash, database, &prepared[i].fetch);
}

/* Only as long as the lane has not left the gate since: then what was found may be freed memory by now. */
static bool is_fetched(const struct lane *lane, const struct prepared *prepared) {
    return prepared->fetch.home.bucket != NULL && prepared->fetch.voidings == lane->voidings;
}

static inline __attribute__((always_inline)) void
fetch_entries(const struct lane *lane, struct prepared *prepared, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (is_fetched(lane, &prepared[i])) fetch_entry(&prepared[i].fetch, prepared[i].key.hash);
}

static uint32_t least(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

void dispatch_fetch(struct worker *worker, uint32_t database, struct prepared *prepared, uint32_t at) {
    const struct lane *lane = worker->frame->lane;
    uint32_t count = worker->frame->batch.count, next = least(at + DISPATCH_WINDOW, count),
             last = least(next + DISPATCH_WINDOW, count);
    if (count < 2 || !lane_is_inside(lane)) return;
    if (at == 0) {
        fetch_homes(lane, database, prepared, 0, last);
        fetch_entries(lane, prepared, 0, next);
    }
    fetch_entries(lane, prepared, next, last);
    fetch_homes(lane, database, prepared, last, least(last + DISPATCH_WINDOW, count));
    for (uint32_t i = at; i < next; i++)
        if (is_fetched(lane, &prepared[i])) fetch_spilled(&prepared[i].fetch, prepared[i].key.hash);
}

void dispatch_prepare(struct worker *worker, struct prepared *prepared) {
    struct frame *frame = worker->frame;
    const struct batch *batch = &frame->batch;
    const struct bulk *arguments_before = NULL;
    uint32_t sharers = 0;
    bool may_share = clock_may_be_shared();
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_request *request = &batch->requests[i];
        const struct bulk *arguments = batch->arguments + request->first;
        prepared[i].command =
            i == 0 ? command_look_up(arguments, request->count)
                   : look_up_like(prepared[i - 1].command, arguments_before, arguments, request->count);
        arguments_before = arguments;
        prepared[i].has_key = prepared[i].command != NULL && prepared[i].command->only_key != 0;
        prepared[i].shares_clock = false;
        bool joins = may_share && i > 0 && prepared[i].has_key && command_shares_clock(prepared[i].command) &&
                     prepared[i].command == prepared[i - 1].command && sharers < CLOCK_SHARERS - 1;
        if (joins) prepared[i - 1].shares_clock = true;
        sharers = joins ? sharers + 1 : 0;
        prepared[i].fetch.home.bucket = NULL;
        if (!prepared[i].has_key) continue;
        const struct bulk *key = &arguments[prepared[i].command->only_key];
        prepared[i].key.data = key->data;
        prepared[i].key.length = key->length;
        prepared[i].key.hash = keyspace_hash(frame->keyspace, key->data, key->length);
        prepared[i].key.fetch = &prepared[i].fetch;
        prepared[i].fetch.is_spilled = false;
    }
}

void dispatch_look_ahead(struct worker *worker, uint32_t database, char *data, size_t length) {
    struct frame *frame = worker->frame;
    struct batch *batch = &frame->batch; /* nobody runs yet */
    if (frame->ahead_count == FRAME_AHEAD) dispatch_fetch_ahead(worker);
    batch_parse(batch, data, length, 1);
    if (batch->count == 0) return;
    const struct command *command = command_look_up(batch->arguments, batch->requests[0].count);
    if (command == NULL || command->only_key == 0) return;
    const struct bulk *key = &batch->arguments[command->only_key];
    frame->ahead[frame->ahead_count++] = keyspace_key(frame->keyspace, database, key->data, key->length);
}

void dispatch_fetch_ahead(struct worker *worker) {
    struct frame *frame = worker->frame;
    if (frame->ahead_count > 1 && lane_is_inside(frame->lane))
        keyspace_prefetch(frame->lane, frame->ahead, frame->ahead_count);
    frame->ahead_count = 0;
}
