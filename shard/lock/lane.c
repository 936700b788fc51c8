#include "lane.h"

#include <assert.h>

#include "../base/hash.h"
#include "gate.h"

/* The store of the word and the load of `closed`, and the closer's store and load the other way round, are
 * sequentially consistent: at least one of the two sees the other. */
inline bool lane_enter(struct lane *lane) {
    assert(!lane_is_inside(lane));
    struct gate *gate = lane->gate;
    uint64_t epoch = atomic_load_explicit(&gate->epoch, memory_order_acquire);
    atomic_exchange(&lane->word, epoch << LANE_EPOCH_SHIFT | LANE_INSIDE);
    if (atomic_load(&gate->closed) == 0) return true;
    lane_leave(lane);
    return false;
}

inline void lane_leave(struct lane *lane) {
    assert(lane->scopes == 0 && "a scope ends before its thread leaves the gate");
    lane->voidings++;
    uint64_t word = atomic_exchange(&lane->word, 0);
    if ((word & LANE_WATCHED) != 0) gate_wake(lane->gate);
}

void lane_observe(struct lane *lane) {
    assert(atomic_load(&lane->word) == 0);
    atomic_exchange(&lane->word, atomic_load_explicit(&lane->gate->epoch, memory_order_acquire)
                                         << LANE_EPOCH_SHIFT |
                                     LANE_OBSERVING);
}

void lane_hold_still(struct lane *lane) {
    lane->voidings++;
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(
        &lane->word, &word, LANE_EPOCH_NEVER << LANE_EPOCH_SHIFT | (word & LANE_WATCHED) | LANE_INSIDE))
        continue;
}

/* By read-modify-write, like entering: a lane that reads this word after unlinking something is then seen to
 * have unlinked it. */
static inline void announce(struct lane *lane) {
    uint64_t epoch = atomic_load_explicit(&lane->gate->epoch, memory_order_acquire);
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed);
    while (word >> LANE_EPOCH_SHIFT != epoch &&
           !atomic_compare_exchange_weak(&lane->word, &word,
                                         epoch << LANE_EPOCH_SHIFT | (word & (LANE_WATCHED | LANE_INSIDE))))
        continue;
}

void lane_observe_still(struct lane *lane) {
    assert(lane_is_still(lane));
    announce(lane);
}

void lane_refresh(struct lane *lane) {
    assert(lane_is_inside(lane) && lane->scopes == 0);
    lane->voidings++;
    announce(lane);
}

uint64_t lane_hash(const struct lane *lane, const void *data, size_t length) {
    return hash_bytes(lane->secret, data, length);
}
