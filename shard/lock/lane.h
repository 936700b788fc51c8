/* A lane: a thread's seat at the keyspace. It is how the gate knows which threads are inside, how retired
 * memory knows which may still be looking, and where the thread counts without sharing a cache line.
 *
 *     lane->word    63                        3           2         1         0
 *                   +--------------------------+-----------+---------+--------+
 *                   | epoch at which it entered| observing | watched | inside |
 *                   +--------------------------+-----------+---------+--------+
 *
 * A thread enters the gate (gate.h) before it takes a scope or looks at a table, and leaves it after a batch:
 * one exchange each on a word of its own. While somebody waits for it to leave it is `watched`. The epoch is
 * for what is freed later (reclaim.h). */
#ifndef SHARD_LOCK_LANE_H
#define SHARD_LOCK_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/counter.h"
#include "../budget/budget.h"

struct bucket;
struct discarded;
struct gate;
struct grave;
struct hash_secret;
struct keyspace;
struct retired_page;

#define LANE_INSIDE UINT64_C(1)
#define LANE_WATCHED UINT64_C(2)
#define LANE_OBSERVING UINT64_C(4)
#define LANE_EPOCH_SHIFT 3
/* The epoch of a lane that looks at nothing but what it has locked. */
#define LANE_EPOCH_NEVER (UINT64_MAX >> LANE_EPOCH_SHIFT)
_Static_assert((LANE_INSIDE | LANE_WATCHED | LANE_OBSERVING) == (UINT64_C(1) << LANE_EPOCH_SHIFT) - 1,
               "the bits of a lane's word fill the room below the epoch");

#define LANE_SPARES 56

struct lane {
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) struct keyspace *keyspace; /* whose seat it is; this room doesn't look into it */
    struct gate *gate;
    struct budget *budget;
    struct account *account;
    const struct hash_secret *secret;
    uint32_t number;
    bool is_attached; /* guarded by the gate's seats */
    /* Its own thread's from here on. */
    bool is_visiting; /* latchkey_enter */
    bool wants_gate;  /* is counted in gate->wanted */
    uint32_t scopes;  /* held now; debug builds assert that nobody waits while it isn't 0 */
    /* Counts what makes void which home a key was seen in, though no version tells of it: leaving the gate,
     * as it may be closed then; whatever else lets memory be freed that was seen before (lane_hold_still,
     * lane_refresh); and a home that the lane itself moves, in a shard that it still holds. */
    uint32_t voidings;
    /* Of memory that is freed later (reclaim.h). */
    struct retired_page *oldest, *newest;              /* a row of pages; NULL: there was never one */
    struct retired_page *sealed_page;                  /* behind the last that has got its epoch */
    size_t retired_first, retired_end, retired_sealed; /* in those three pages */
    size_t retired_count;
    size_t row_bytes;              /* what stands in the row */
    struct retired_page *reserved; /* pages for when there is no memory */
    uint32_t reserved_count;
    struct discarded *discarded; /* a stack */
    size_t discarded_count, discarded_capacity;
    size_t discarded_bytes; /* of those on the stack */
    struct grave *dying;    /* that somebody may still be looking at */
    uint64_t dying_epoch;
    bool is_dying_sealed;
    struct grave *graves; /* those that nobody does: they are emptied in slices */
    /* Of tables: a stock of spill buckets (table.h). */
    uint32_t spare_count;
    struct bucket *spares[LANE_SPARES];
    /* Of how uses are noted (usage.h): */
    uint32_t insertions;      /* that nobody else knows of yet */
    _Atomic uint16_t nowhere; /* for what need not be stored */
    int64_t clock_skew;       /* what is added to the wall's time */
    uint64_t told;            /* how often listeners were told of a change by its scopes, taken back or not */
    /* Of active expiry: where its slices go on, the second an index into the databases that are used; and
     * what the slice that is under way has met. */
    uint32_t expiry_shard, expiry_database;
    uint64_t slice_looked, slice_lapsed;
    /* Counters: written by its thread, read by anybody. */
    counter hits, misses, expired, expired_actively, evicted, changes, exclusive_takes, shared_takes,
        busy_takes, gate_closings, looks, failed_looks, glance_hits, glance_misses;
    counter retired_objects, freed_objects;
    counter expiry_us, expiry_cut_short /* slices that ended with their time */;
    /* of the keys with an expiry that its slices look at, those that had lapsed: a moving average */
    counter stale_ppm;
};

/* Enters the gate; false if it is closed. */
bool lane_enter(struct lane *lane);
void lane_leave(struct lane *lane);
static inline bool lane_is_inside(const struct lane *lane) {
    return (atomic_load_explicit(&lane->word, memory_order_relaxed) & LANE_INSIDE) != 0;
}
/* Instead of entering, for a thread that only reads what tables publish about themselves: nothing that it
 * sees is freed until lane_leave, but the gate may be closed meanwhile, and whoever closes it doesn't wait
 * for it. */
void lane_observe(struct lane *lane);
/* Inside, and going to stay there for long with nothing but its locked shards: does not delay the freeing of
 * what others retire, until lane_refresh. Then, if gate_is_wanted, what takes long does not begin: the lane
 * lets go of its shards, leaves, and waits (gate_park_unwanted). */
void lane_hold_still(struct lane *lane);
/* Its own thread's question: then it may look at nothing but what its locks keep where it is. */
static inline bool lane_is_still(const struct lane *lane) {
    return atomic_load_explicit(&lane->word, memory_order_relaxed) >> LANE_EPOCH_SHIFT == LANE_EPOCH_NEVER;
}
/* Between two times of holding still, with its locked shards: what it sees of others from here on isn't freed
 * until it holds still again. */
void lane_observe_still(struct lane *lane);
/* Inside, with no scope and no look: as if it had left and entered again, but without letting a closer in.
 * Cheap if nobody retired anything. */
void lane_refresh(struct lane *lane);
/* True if somebody waits for this lane to leave: a good moment to leave and enter again. */
static inline bool lane_is_watched(const struct lane *lane) {
    return (atomic_load_explicit(&lane->word, memory_order_relaxed) & LANE_WATCHED) != 0;
}

/* Bytes that its thread has allocated for the keyspace, or freed if negative. */
static inline void lane_charge(struct lane *lane, int64_t bytes) {
    account_charge(lane->account, bytes);
}
/* What it may still allocate; below 0: it has allocated that much which it has not drawn. */
static inline int64_t lane_credit(const struct lane *lane) {
    return account_credit(lane->account);
}
/* It has freed a good deal more than it has allocated: lane_reclaim lets others have that. */
static inline bool lane_has_surplus(const struct lane *lane) {
    return account_has_surplus(lane->budget, lane->account);
}

/* What it may still allocate it has to draw anew. */
void lane_give_back(struct lane *lane);

/* The keyed hash of a key's bytes. */
uint64_t lane_hash(const struct lane *lane, const void *data, size_t length);

#endif
