#include "keys.h"

#include "shard/base/pages.h"
#include "shard/keyspace.h"
#include "server/command/command_table.h"
#include "prepare.h"
#include "under_way.h"

static void find_where(const struct execution *execution, struct key *keys, uint32_t *positions,
                       uint32_t capacity, uint32_t *count) {
    const struct call *call = &execution->call;
    int found = command_find_keys(call->command, call->arguments, call->count, positions, NULL, capacity);
    *count = found < 0 ? 0 : (uint32_t)found;
    for (uint32_t i = 0; i < *count; i++) {
        const struct bulk *argument = &call->arguments[positions[i]];
        keys[i] = keyspace_key(execution->frame->keyspace, call->database, argument->data, argument->length);
    }
}

/* ------------------------------------------------------------------ many */

size_t keys_bytes(const struct call *call) {
    bool are_many = call->command->only_key == 0 && call->count > FRAME_KEYS;
    return are_many ? many_keys_bytes(call->count) : 0;
}

/* All of them, and the shards where they are. */
static bool find_all(const struct execution *execution, struct many_keys *many) {
    struct keyspace *keyspace = execution->frame->keyspace;
    uint32_t room = execution->call.count;
    struct key *keys = pages_resize(NULL, 0, room * sizeof *keys);
    uint32_t *positions = pages_resize(NULL, 0, room * sizeof *positions);
    many->keys = keys;
    many->positions = positions;
    many->room = room;
    bool is_fine = keys != NULL && positions != NULL;
    if (is_fine) find_where(execution, keys, positions, room, &many->count);
    for (uint32_t i = 0; is_fine && many->count > FRAME_KEYS && i < many->count; i++)
        is_fine = shard_set_add(&many->shards, keyspace_shard_of(keyspace, keys[i].hash));
    if (!is_fine) many_keys_free(many);
    return is_fine;
}

static bool find_many(struct execution *execution) {
    struct lane *lane = execution->frame->lane;
    struct call *call = &execution->call;
    struct under_way *under_way = under_way_of(execution->task);
    if (under_way == NULL) return false;
    struct many_keys *many = &under_way->many;
    if (many->keys == NULL) {
        if (call->count > LONG_ELEMENTS && lane_is_inside(lane)) lane_leave(lane);
        if (!find_all(execution, many)) return false;
    } else if (!execution->worker->is_aside) {
        /* A parked client's arguments may have moved. An errand's stay where they are. */
        for (uint32_t i = 0; i < many->count; i++)
            many->keys[i].data = call->arguments[many->positions[i]].data;
    }
    call->keys = many->keys;
    call->key_count = many->count;
    return true;
}

/* ------------------------------------------------------------------ however many */

static void find_only(struct execution *execution) {
    struct call *call = &execution->call;
    struct prepared *prepared = execution->prepared;
    call->key_count = 1;
    if (execution->is_ordinary || (prepared != NULL && prepared->has_key)) {
        prepared->key.database = call->database; /* an earlier request of the batch may have changed it */
        call->keys = &prepared->key;
        return;
    }
    const struct bulk *argument = &call->arguments[call->command->only_key];
    execution->key =
        keyspace_key(execution->frame->keyspace, call->database, argument->data, argument->length);
    call->keys = &execution->key;
}

static __attribute__((noinline)) bool find_several(struct execution *execution) {
    struct frame *frame = execution->frame;
    struct call *call = &execution->call;
    if (call->count > FRAME_KEYS) {
        if (!find_many(execution)) return false;
    } else {
        if (!frame_reserve_keys(frame, call->count)) return false;
        find_where(execution, frame->keys, frame->positions, frame->key_capacity, &call->key_count);
        call->keys = frame->keys;
    }
    /* Several keys at once: their lines are fetched together, not one after the other. */
    if (call->key_count > 1 && lane_is_inside(frame->lane))
        keyspace_prefetch(frame->lane, call->keys, call->key_count);
    return true;
}

inline bool find_keys(struct execution *execution) {
    if (!execution->is_ordinary && execution->call.command->only_key == 0) return find_several(execution);
    find_only(execution);
    return true;
}
