/* A lane: a thread's seat at the keyspace. It is how the gate knows who is inside, how retired memory knows
 * who may still be looking, and where the thread counts without sharing a cache line.
 *
 *     lane->word    63                        3           2         1         0
 *                   +--------------------------+-----------+---------+--------+
 *                   | epoch at which it entered| observing | watched | inside |
 *                   +--------------------------+-----------+---------+--------+
 *
 * The gate is the lock of all shards. A thread enters it before it takes a scope or looks at a table, and
 * leaves after a batch: one exchange each on a word of its own. Who closes the gate sets `closed` and waits
 * until every word is empty; then it holds everything. It never waits inside: while somebody stays in, it
 * parks. A lane it waits for is `watched`, and so wakes it on leaving. While it waits it may keep the gate
 * closed, but not while somebody inside holds still for something long (lane_hold_still): then others go in
 * and out, only that nothing else begins that takes long as long as the gate is wanted, so that whoever wants
 * it isn't starved. Who begins something long first holds still and then looks whether the gate is wanted;
 * who closes it first wants it and then looks who holds still; so one of them sees the other.
 *
 * Deferred freeing is quiescent-state-based reclamation (QSBR: McKenney and Slingwine, "Read-copy update",
 * 1998; the epochs are Fraser's, "Practical lock freedom", 2004). Being outside the gate is the quiescent
 * state. What is unlinked is retired; it gets the epoch of the moment when its lane next looks, and is freed
 * when every lane is outside or entered at a later epoch. The scan of the words is by read-modify-write, so a
 * lane that enters afterwards sees the unlinking: C11 says so, and ThreadSanitizer understands it, without a
 * bare fence. */
#ifndef SHARD_LOCK_LANE_H
#define SHARD_LOCK_LANE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/counter.h"
#include "rwlock.h"

struct bucket;
struct entry;
struct keyspace;
struct table;
struct value_kind;

#define LANE_SPARES 56

/* Something unlinked: freed by release, or by free() if that is NULL. */
struct retired {
    void *memory;
    void (*release)(void *memory);
    uint64_t epoch;
    size_t bytes;
};

/* A value with a structure that belongs to nobody any more: freed in slices. */
struct discarded {
    const struct value_kind *kind;
    void *value;
    uint64_t count; /* elements that are known to wait */
    size_t bytes;
};

/* Who may be let go next (eviction.c), of each kind that is ever looked for. entry is used while candidates
 * are being collected, hash from then on. */
#define LANE_CANDIDATES 8
#define LANE_QUEUES 4
struct candidate {
    const struct entry *entry;
    uint64_t hash;
    uint32_t database;
    float score;
};
struct queue {
    struct candidate candidates[LANE_CANDIDATES]; /* the best last */
    uint32_t count;
};

struct lane {
    _Alignas(64) _Atomic uint64_t word;
    _Alignas(64) struct keyspace *keyspace;
    uint32_t number;
    bool is_attached; /* guarded by the keyspace's lanes_mutex */
    /* Its own thread's from here on. */
    struct bucket *spares[LANE_SPARES]; /* stock of spill buckets, for the table */
    uint32_t spare_count;
    /* Counts what makes void which home a key was seen in, though no version tells of it: leaving the gate,
     * as it may be closed then; whatever else lets memory be freed that was seen before (lane_hold_still,
     * lane_refresh); and a home that the lane itself moves, in a shard that it still holds. */
    uint32_t voidings;
    bool is_visiting; /* latchkey_enter */
    bool wants_gate;  /* is counted in gate.wanted */
    uint32_t scopes;  /* held now; debug builds assert that nobody waits while it isn't 0 */
    uint32_t expiry_shard,
        expiry_database;     /* where its expiry slices go on; the second an index into those that are used */
    struct retired *retired; /* a ring, oldest first */
    size_t retired_first, retired_count, retired_capacity;
    size_t retired_sealed;       /* of the oldest, how many have got their epoch */
    size_t ring_bytes;           /* what the ring holds */
    struct discarded *discarded; /* a stack */
    size_t discarded_count, discarded_capacity;
    size_t discarded_bytes; /* of those on the stack */
    /* tables that somebody may still be observing (lane_observe), linked by table->next_grave */
    struct table *flushed;
    uint64_t flushed_epoch;
    bool is_flushed_sealed;
    struct table *graves; /* those that nobody does: their entries are freed in slices */
    /* For eviction. */
    struct queue queues[LANE_QUEUES];
    uint32_t insertions;     /* that nobody else knows of yet */
    uint32_t drawn_database; /* that the last victims were drawn from */
    uint32_t sweep;          /* where it looks next for somebody to let go, when chance finds nobody */
    uint32_t renewed, renewing_epoch;
    /* when the next round over all entries begins, by eviction_now; the present one's place: */
    int64_t aging_next;
    uint64_t aging_place;
    uint32_t aging_shard, aging_database;
    _Atomic uint16_t nowhere;            /* for what need not be stored */
    uint64_t slice_looked, slice_lapsed; /* by the slice of active expiry that is under way */
    /* what is added to the wall's time, so that uses are noted by a clock that nobody sets
     * (eviction_clock) */
    int64_t clock_skew;
    /* Of the budget (eviction.h): what its allocations come to, less its frees, and what it may come to. Its
     * thread's to write. Both may be below 0, where it frees what others have allocated. */
    _Atomic int64_t spent, drawn;
    /* Sums over all lanes count; one lane's may be below 0, modulo 2^64. */
    counter entry_bytes, main_bytes, entries, expiring;
    /* Counters: written by its thread, read by anybody. */
    counter hits, misses, expired, expired_actively, evicted, changes, exclusive_takes, shared_takes,
        busy_takes, gate_closings, looks, failed_looks, glance_hits, glance_misses;
    counter retired_bytes, retired_objects, freed_objects;
    counter expiry_us, expiry_cut_short /* slices that ended with their time */;
    /* of the keys with an expiry that its slices look at, those that had lapsed: a moving average */
    counter stale_ppm;
};

/* Takes a seat for the calling thread. NULL when all are taken or out of memory. */
struct lane *lane_attach(struct keyspace *keyspace);
/* Gives it back; what it had retired is freed by then, waiting for others to leave the gate if need be. Not
 * while inside. */
void lane_detach(struct lane *lane);

/* Enters the gate; false if it is closed. */
bool lane_enter(struct lane *lane);
void lane_leave(struct lane *lane);
static inline bool lane_is_inside(const struct lane *lane) {
    return (atomic_load_explicit(&lane->word, memory_order_relaxed) & 1) != 0;
}
/* Instead of entering, for who only reads what tables publish about themselves: nothing that it sees is freed
 * until lane_leave, but the gate may be closed meanwhile, and whoever closes it doesn't wait for it. */
void lane_observe(struct lane *lane);
/* Inside, and going to stay there for long with nothing but its locked shards: does not delay the freeing of
 * what others retire, until lane_refresh. Then, if gate_is_wanted, what takes long does not begin: the lane
 * lets go of its shards, leaves, and waits (gate_park_unwanted). */
void lane_hold_still(struct lane *lane);
/* Its own thread's question: then it may look at nothing but what its locks keep where it is. */
static inline bool lane_is_still(const struct lane *lane) {
    return atomic_load_explicit(&lane->word, memory_order_relaxed) >> 3 == UINT64_MAX >> 3;
}
/* Inside, with no scope and no look: as if it had left and entered again, but without letting a closer in.
 * Cheap if nobody retired anything. */
void lane_refresh(struct lane *lane);
/* True if somebody waits for this lane to leave: a good moment to leave and enter again. */
static inline bool lane_is_watched(const struct lane *lane) {
    return (atomic_load_explicit(&lane->word, memory_order_relaxed) & 2) != 0;
}

/* Closes the gate. The lane is outside. Returns true when it holds everything. When false it was busy: the
 * gate is open again (or still closed by another), and waiter was parked at it (true in *is_parked) or should
 * try again at once. With `insists` the gate stays closed meanwhile (gate_is_kept), unless somebody holds
 * still inside, and the next call goes on waiting. The gate is wanted until the lane opens it after success;
 * a lane that gives up calls gate_abandon. */
bool gate_try_close(struct lane *lane, bool insists, struct waiter *waiter, bool *is_parked);
void gate_open(struct lane *lane);
/* By anybody, just now. */
bool gate_is_closed(const struct lane *lane);
void gate_abandon(struct lane *lane);
/* This lane has closed it, and holds everything or waits to. */
bool gate_is_kept(const struct lane *lane);
/* Somebody has closed it, or waits to. */
bool gate_is_wanted(const struct lane *lane);
/* Having closed it: enters all the same, to take shards, which all are free, before gate_open lets others
 * in. */
void gate_enter_closed(struct lane *lane);
/* For who was refused by lane_enter: parks until the gate opens; false if it has opened already. */
bool gate_park(struct lane *lane, struct waiter *waiter);
void gate_unpark(struct lane *lane, struct waiter *waiter);
/* Likewise until nobody wants it; woken perhaps before that. */
bool gate_park_unwanted(struct lane *lane, struct waiter *waiter);

/* What was unlinked is freed when nobody can see it any more. bytes are counted until then. release NULL:
 * free(). */
void lane_retire(struct lane *lane, void *memory, size_t bytes, void (*release)(void *memory));
/* A value that no entry has any more, and that nobody reads without the lock. It is freed outside the gate,
 * by lane_reclaim, a slice at a time. */
void lane_discard(struct lane *lane, const struct value_kind *kind, void *value);
/* More than this is waiting to be freed, because somebody has been inside for long: whoever can, puts off
 * what would retire more until lane_reclaim has brought it down. So what waits is bounded by this per lane,
 * and the values of one request. */
#define LANE_RETIRED_MOST ((size_t)16 * 1024 * 1024)
static inline bool lane_is_congested(const struct lane *lane) {
    return lane->ring_bytes > LANE_RETIRED_MOST;
}
/* More than this is waiting to be freed in slices: who has discarded much should do nothing that discards
 * more until lane_reclaim has brought it down. One value may be larger, and its slices take as long as they
 * take; others need not wait for them. */
#define LANE_DISCARDED_MOST ((size_t)32 * 1024 * 1024)
static inline bool lane_is_littered(const struct lane *lane) {
    return lane->discarded_bytes > LANE_DISCARDED_MOST;
}
/* Outside the gate, now and then: frees what can be freed, and a slice of discarded values and flushed
 * tables. Returns true if work is left that a further call may do. */
bool lane_reclaim(struct lane *lane);
/* Gives back what the list of retired memory took when it was long, if it is empty: seldom, and not after
 * every burst. */
void lane_trim(struct lane *lane);
/* It has freed a good deal more than it has allocated: lane_reclaim lets others have that. */
bool lane_has_surplus(const struct lane *lane);
/* Flushed tables or discarded values are left to free. */
static inline bool lane_has_slices(const struct lane *lane) {
    return lane->graves != NULL || lane->flushed != NULL || lane->discarded_count > 0;
}

/* Bytes that its thread has allocated for the keyspace, or freed if negative. */
static inline void lane_charge(struct lane *lane, int64_t bytes) {
    atomic_store_explicit(&lane->spent, atomic_load_explicit(&lane->spent, memory_order_relaxed) + bytes,
                          memory_order_relaxed);
}
/* What it may still allocate; below 0: it has allocated that much which it has not drawn. */
static inline int64_t lane_credit(const struct lane *lane) {
    return atomic_load_explicit(&lane->drawn, memory_order_relaxed) -
           atomic_load_explicit(&lane->spent, memory_order_relaxed);
}

/* Whether every lane is outside the gate, or has entered it since the keyspace's epoch was that one. */
bool lanes_have_entered_since(struct keyspace *keyspace, uint64_t epoch);

uint64_t lane_hash(const struct lane *lane, const void *data, size_t length);

#endif
