/* Freeing later, when nobody can be looking any more, and in slices where it takes long.
 *
 * Deferred freeing is quiescent-state-based reclamation (QSBR: McKenney and Slingwine, "Read-copy update",
 * 1998; the epochs are Fraser's, "Practical lock freedom", 2004). Being outside the gate is the quiescent
 * state. What is unlinked is retired; it gets the epoch of the moment when its lane next looks, and is freed
 * when every lane is outside or entered at a later epoch. The scan of the words is by read-modify-write, so a
 * lane that enters afterwards sees the unlinking: C11 says so, and ThreadSanitizer understands it, without a
 * bare fence.
 *
 * What is freed here is known by its address and by a function that frees some of it, and by nothing else. */
#ifndef SHARD_LOCK_RECLAIM_H
#define SHARD_LOCK_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lane.h"

/* What was unlinked is freed when nobody can see it any more. bytes are counted until then. release NULL:
 * free(). */
void lane_retire(struct lane *lane, void *memory, size_t bytes, void (*release)(void *memory));

/* An object that nothing refers to any more, and that nobody reads without the lock. It is freed outside the
 * gate, by lane_reclaim, a slice at a time.
 *
 * free_some  frees about `budget` of the object's allocations; true when all of it is gone, and until then it
 *            is to be called again
 * count      how many allocations are known to wait: how much work it is
 * bytes      are counted until all is gone */
void lane_discard(struct lane *lane, void *object, bool (*free_some)(void *object, size_t budget),
                  uint64_t count, size_t bytes);

/* Something large that was unlinked. When all lanes are gone that may have found it before, it is buried by
 * and by. Part of what it buries. */
struct grave {
    struct grave *next;
    /* Frees some of it, about a tenth of a millisecond's work, and takes that out of what the lane has
     * retired; true when all is gone. */
    bool (*bury_some)(struct grave *grave, struct lane *lane);
};
void lane_bury(struct lane *lane, struct grave *grave);

/* More than this is waiting to be freed, because somebody has been inside for long: whoever can, puts off
 * what would retire more until lane_reclaim has brought it down. So what waits is bounded by this per lane,
 * and the values of one request. */
#define LANE_RETIRED_MOST ((size_t)16 * 1024 * 1024)
static inline bool lane_is_congested(const struct lane *lane) {
    return lane->row_bytes > LANE_RETIRED_MOST;
}
/* More than this is waiting to be freed in slices: a lane that has discarded much should do nothing that
 * discards more until lane_reclaim has brought it down. One value may be larger, and its slices take as long
 * as they take; others need not wait for them. */
#define LANE_DISCARDED_MOST ((size_t)32 * 1024 * 1024)
static inline bool lane_is_littered(const struct lane *lane) {
    return lane->discarded_bytes > LANE_DISCARDED_MOST;
}
/* Outside the gate, now and then: frees what can be freed, and a slice of what was discarded and of what is
 * buried. Returns true if work is left that a further call may do. */
bool lane_reclaim(struct lane *lane);
/* Something is left to be freed in slices. */
static inline bool lane_has_slices(const struct lane *lane) {
    return lane->graves != NULL || lane->dying != NULL || lane->discarded_count > 0;
}
/* Gives the thread's seat back; what it had retired is freed by then, waiting for others to leave the gate if
 * need be. Not while inside. */
void lane_detach(struct lane *lane);

/* Whether every lane is outside the gate, or has entered it since the epoch was that one. */
bool lanes_have_entered_since(struct gate *gate, uint64_t epoch);

#endif
