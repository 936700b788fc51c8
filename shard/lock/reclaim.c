#include "reclaim.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "gate.h"

/* Allocations of discarded objects freed per call of lane_reclaim: about a tenth of a millisecond, since a
 * busy worker calls it every turn. Where many objects wait, as many more as they soon are gone: a turn's
 * worth of small ones must not outlast the turn, and a millisecond's worth is the most. */
#define DISCARD_SLICE 512
#define DISCARD_EACH 16
#define DISCARD_SLICE_MOST 8192

/* Something unlinked: freed by release, or by free() if that is NULL. */
struct retired {
    void *memory;
    void (*release)(void *memory);
    uint64_t epoch;
    size_t bytes;
};

struct discarded {
    void *object;
    bool (*free_some)(void *object, size_t budget);
    uint64_t count; /* allocations that are known to wait */
    size_t bytes;
};

static void retired_free(struct retired *retired) {
    if (retired->release != NULL)
        retired->release(retired->memory);
    else
        free(retired->memory);
}

#define RING_LEAST 256

static bool retired_grow(struct lane *lane) {
    size_t capacity = lane->retired_capacity == 0 ? RING_LEAST : lane->retired_capacity * 2;
    struct retired *ring = malloc(capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (size_t i = 0; i < lane->retired_count; i++)
        ring[i] = lane->retired[(lane->retired_first + i) & (lane->retired_capacity - 1)];
    free(lane->retired);
    lane->retired = ring;
    lane->retired_capacity = capacity;
    lane->retired_first = 0;
    return true;
}

void lane_retire(struct lane *lane, void *memory, size_t bytes, void (*release)(void *memory)) {
    if (memory == NULL) return;
#ifdef PLANT_EARLY_FREE
    retired_free(&(struct retired){memory, release, 0, bytes});
    return;
#endif
    /* Out of memory for the list of what to free: the memory is lost rather than freed under a reader. */
    if (lane->retired_count == lane->retired_capacity && !retired_grow(lane)) return;
    size_t at = (lane->retired_first + lane->retired_count++) & (lane->retired_capacity - 1);
    lane->retired[at] = (struct retired){memory, release, 0, bytes};
    lane->ring_bytes += bytes;
    lane_charge(lane, (int64_t)bytes);
    counter_add(&lane->account->retired_bytes, bytes);
    counter_add(&lane->retired_objects, 1);
}

static bool discarded_grow(struct lane *lane) {
    size_t capacity = lane->discarded_capacity == 0 ? 64 : lane->discarded_capacity * 2;
    struct discarded *stack = realloc(lane->discarded, capacity * sizeof *stack);
    if (stack == NULL) return false;
    lane->discarded = stack;
    lane->discarded_capacity = capacity;
    return true;
}

void lane_discard(struct lane *lane, void *object, bool (*free_some)(void *object, size_t budget),
                  uint64_t count, size_t bytes) {
    if (lane->discarded_count == lane->discarded_capacity && !discarded_grow(lane)) {
        while (!free_some(object, SIZE_MAX)) continue; /* late, but not lost */
        return;
    }
    struct discarded discarded = {object, free_some, count, bytes};
    lane->discarded[lane->discarded_count++] = discarded;
    lane->discarded_bytes += discarded.bytes;
    counter_add(&lane->account->retired_bytes, discarded.bytes);
    lane_charge(lane, (int64_t)discarded.bytes);
    counter_add(&lane->retired_objects, discarded.count);
}

/* Small ones many at once, of a large one a slice. */
static void free_discarded(struct lane *lane) {
    size_t budget = DISCARD_SLICE + lane->discarded_count * DISCARD_EACH;
    if (budget > DISCARD_SLICE_MOST) budget = DISCARD_SLICE_MOST;
    while (lane->discarded_count > 0 && budget > 0) {
        struct discarded *last = &lane->discarded[lane->discarded_count - 1];
        size_t slice = last->count + 1 < budget ? last->count + 1 : budget;
        budget -= slice;
        if (!last->free_some(last->object, slice)) continue;
        lane->discarded_bytes -= last->bytes;
        counter_subtract(&lane->account->retired_bytes, last->bytes);
        lane_charge(lane, -(int64_t)last->bytes);
        counter_subtract(&lane->retired_objects, last->count);
        counter_add(&lane->freed_objects, last->count);
        lane->discarded_count--;
    }
}

/* The least epoch that anybody inside entered at. By read-modify-write: see the header. */
static uint64_t epoch_in_use(struct gate *gate) {
    uint64_t least = LANE_EPOCH_NEVER;
    uint32_t used = atomic_load(&gate->lanes_used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_fetch_add(&gate->lanes[i].word, 0);
        if (word != 0 && word >> LANE_EPOCH_SHIFT < least) least = word >> LANE_EPOCH_SHIFT;
    }
    return least;
}

bool lanes_have_entered_since(struct gate *gate, uint64_t epoch) {
    return epoch_in_use(gate) > epoch;
}

void lane_trim(struct lane *lane) {
    if (lane->retired_count > 0 || lane->retired_capacity <= RING_LEAST) return;
    free(lane->retired);
    lane->retired = NULL;
    lane->retired_capacity = 0;
}

/* ------------------------------------------------------------------ graves */

void lane_bury(struct lane *lane, struct grave *grave) {
    grave->next = lane->dying;
    lane->dying = grave;
    lane->is_dying_sealed = false;
}

/* When nobody is left who may have found them, they are graves. */
static void seal_dying(struct lane *lane) {
    if (!lane->is_dying_sealed) lane->dying_epoch = atomic_fetch_add(&lane->gate->epoch, 1);
    lane->is_dying_sealed = true;
    if (epoch_in_use(lane->gate) <= lane->dying_epoch) return;
    struct grave **end = &lane->graves;
    while (*end != NULL) end = &(*end)->next;
    *end = lane->dying;
    lane->dying = NULL;
}

static void bury_first(struct lane *lane) {
    struct grave *grave = lane->graves, *next = grave->next;
    if (grave->bury_some(grave, lane)) lane->graves = next;
}

/* ------------------------------------------------------------------ now and then */

bool lane_reclaim(struct lane *lane) {
    struct gate *gate = lane->gate;
    assert(!lane_is_inside(lane));
    if (lane->retired_count > 0) {
        /* Sealing: what was retired since the last call gets the present epoch, and whoever enters from here
         * on a later one. One read-modify-write for all of it, after all of it was unlinked: an epoch read at
         * retirement could be a stale one. */
        if (lane->retired_sealed < lane->retired_count) {
            uint64_t epoch = atomic_fetch_add(&gate->epoch, 1);
            for (; lane->retired_sealed < lane->retired_count; lane->retired_sealed++)
                lane->retired[(lane->retired_first + lane->retired_sealed) & (lane->retired_capacity - 1)]
                    .epoch = epoch;
        }
        uint64_t in_use = epoch_in_use(gate);
        while (lane->retired_count > 0 && lane->retired[lane->retired_first].epoch < in_use) {
            struct retired retired = lane->retired[lane->retired_first];
            lane->retired_first = (lane->retired_first + 1) & (lane->retired_capacity - 1);
            lane->retired_count--;
            lane->retired_sealed--;
            lane->ring_bytes -= retired.bytes;
            retired_free(&retired);
            /* After it, so that nobody takes what is on no account for what the process needs. */
            lane_charge(lane, -(int64_t)retired.bytes);
            counter_subtract(&lane->account->retired_bytes, retired.bytes);
            counter_subtract(&lane->retired_objects, 1);
            counter_add(&lane->freed_objects, 1);
        }
    }
    free_discarded(lane);
    if (lane->dying != NULL) seal_dying(lane);
    if (lane->graves != NULL) bury_first(lane);
    if (lane_has_surplus(lane)) account_give_back(lane->budget, lane->account, false);
    return lane->graves != NULL || lane->discarded_count > 0;
}

void lane_detach(struct lane *lane) {
    assert(!lane_is_inside(lane));
    while (lane_reclaim(lane) || lane->retired_count > 0 || lane->dying != NULL)
        sched_yield(); /* others leave the gate at their batch's end */
    account_give_back(lane->budget, lane->account, true);
    while (lane->spare_count > 0) free(lane->spares[--lane->spare_count]);
    free(lane->discarded);
    lane->discarded = NULL;
    lane->discarded_capacity = 0;
    free(lane->retired);
    lane->retired = NULL;
    lane->retired_capacity = lane->retired_first = 0;
    gate_free_seat(lane);
}
