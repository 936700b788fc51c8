/* A limit on memory, and which keys go when it is reached.
 *
 * The budget. All bytes that the keyspace owns (entries, tables, and what is retired and not yet freed) are
 * charged to the lane that allocates them, and given back to the lane that frees them:
 *
 *     spent    by a lane: allocated less freed              drawn      by a lane: what it may have spent;
 *                                                           the rest is its credit
 *     used     the sum of what lanes have spent             committed  the sum of what each has drawn or
 *                                                           spent, whichever is more
 *     live     used - what is retired
 *
 * Each lane writes nothing but its own two numbers, so that no reader sees a byte counted twice or not at
 * all. A writer makes room before it allocates (eviction_make_room): it spends its credit, else draws on the
 * budget, a chunk at a time while there is plenty. It draws first and looks at the sum then: of two that draw
 * at once, one at least sees the other, and steps back if that is too much.
 *
 * Above `soft`, a little below the limit, a writer lets keys go until what is live fits below it again. What
 * was let go is freed only when nobody can see it any more; until then the room between soft and limit is
 * used, and when that is gone, the writer comes back later. So the limit holds at every moment, whatever the
 * sizes, and no thread works for another. Where the limit is lowered below what is committed, the `ceiling`
 * stands in for it: it goes down as memory is freed, and a writer that has let go what it needs goes on below
 * it.
 *
 * Victims are found without lists: a few shards are drawn at random, some neighbours are looked at in each
 * (under the shared lock), and the best few of all these are let go one after the other, if their score
 * hasn't fallen meanwhile. What the score is depends on the policy.
 *
 * allkeys-s3fifo takes from S3-FIFO (Yang et al., SOSP '23) that what is new passes through a small part of
 * the room first, and that names of what left are remembered (ghosts.h); bench/policies/latchkey.c is the
 * same policy in the simulator, and says what it was measured to do.
 * - A tick passes with every so many insertions as make a 128th of the keys.
 * - A new key goes to the main part while that has less than its share of the bytes, or if it is a ghost that
 *   was used more recently than what the main
 *   part lets go (as in LIRS: Jiang and Zhang, SIGMETRICS '02); else to the small part.
 * - The victim comes from the small part if that is above its share, else from the main part: the one with
 *   the greatest age, which counts less the
 *   more often it was used, times the root of its size. In the small part, one that was used goes to the
 *       main part instead. */
#ifndef SHARD_EVICT_EVICTION_H
#define SHARD_EVICT_EVICTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/access.h"
#include "../lock/lane.h"

struct ghosts;
struct keyspace;

enum eviction_policy {
    EVICTION_NONE,
    EVICTION_ALLKEYS_LRU,
    EVICTION_ALLKEYS_LFU,
    EVICTION_ALLKEYS_RANDOM,
    EVICTION_ALLKEYS_S3FIFO,
    EVICTION_VOLATILE_LRU,
    EVICTION_VOLATILE_LFU,
    EVICTION_VOLATILE_RANDOM,
    EVICTION_VOLATILE_TTL,
};

/* The keyspace's part; all atomics, as any thread reads them. */
struct eviction {
    _Atomic int policy; /* enum eviction_policy */
    _Atomic int form;   /* enum access_form of the entries; none until a policy is configured */
    /* of the form; a table whose epoch is another has entries of another form (table->access_epoch) */
    _Atomic uint32_t epoch;
    /* the keyspace's epoch when it came: who has been inside since before may still note uses in the old
     * one */
    _Atomic uint64_t form_since;
    _Atomic int64_t limit, soft, chunk; /* bytes; limit INT64_MAX: none */
    /* limit, or more: what was committed when that was lowered, and is on its way down */
    _Atomic int64_t ceiling;
    _Atomic int64_t main_most;         /* bytes of entries that the main part may have */
    _Atomic int64_t log_factor, decay; /* lfu-log-factor; lfu-decay-time, in minutes */
    /* the wall's time less the monotonic one, when they were first seen; 0: they weren't */
    _Atomic int64_t clocks_apart;
    _Atomic(struct ghosts *) ghosts; /* NULL until something was let go */
    _Alignas(64) _Atomic uint32_t tick;
    _Atomic uint32_t insertions; /* since the last tick */
    _Atomic uint32_t main_age;   /* mean age of what the main part lets go, in 1/256 ticks; 0: nothing yet */
};

void eviction_init(struct eviction *eviction);

/* Any thread, at any time. Entries that were there learn the new form little by little (eviction_tick). decay
 * in minutes. */
void eviction_configure(struct keyspace *keyspace, enum eviction_policy policy, int64_t log_factor,
                        int64_t decay);
/* What the keyspace may own, in bytes; INT64_MAX: no limit. */
void eviction_limit(struct keyspace *keyspace, int64_t limit);
/* What it owns: entries, tables, what is retired. */
int64_t eviction_used(const struct keyspace *keyspace);
/* Every few milliseconds by one lane, inside the gate: adapts the table of ghosts, and entries to a new form,
 * and lets some keys go if the limit was lowered; and goes over all entries each half an hour, so that what
 * was noted of their use stays true. Takes shards one by one, if they are free. Returns false if there is
 * more to do, so that a next call should come soon. */
bool eviction_tick(struct lane *lane, int64_t now);

/* For a lane's thread, whenever it has looked at the clocks: what both tell, in milliseconds. Uses are noted
 * by the wall's time, for want of another; of lanes that call this, by a time that goes on evenly when
 * somebody sets the clock. */
void eviction_clock(struct lane *lane, int64_t wall, int64_t monotonic);
/* That time, for a time of the wall's that the lane's thread has read since. */
int64_t eviction_now(const struct lane *lane, int64_t wall);

/* What a value of so many bytes takes, with its entry, in the allocator's sizes. */
size_t eviction_room_for(size_t bytes);

enum room {
    ROOM_MADE,
    /* it will be there once others have left the gate, or their shards, and what was let go is freed: leave
     * the gate, lane_reclaim, and try again */
    ROOM_LATER,
    ROOM_NONE, /* nothing is left that may go, or what there is would not suffice and stays */
};
/* Makes room for so many bytes. Inside the gate and without a scope. now: unix time in milliseconds. */
enum room eviction_make_room(struct lane *lane, size_t bytes, int64_t now);
/* True if there is nothing to be done. */
bool eviction_has_room(const struct lane *lane, size_t bytes);
/* Whether there is a limit: without one there is always room. */
bool eviction_is_limited(const struct lane *lane);

/* A key that may be about to come in, or to be let go: its ghost's place is on its way to the cache. */
void eviction_expect(const struct lane *lane, uint64_t hash);
/* The access of a key that is new, and that of one that was used. The second is for entries that anybody may
 * be using. */
uint16_t eviction_first_access(struct lane *lane, uint64_t hash, size_t bytes, int64_t now);
void eviction_note_use(struct lane *lane, struct entry *entry, int64_t now);
/* False as long as no policy was configured: then noting does nothing, and the time need not be known. */
bool eviction_notes_use(const struct lane *lane);

/* The counter of an entry under an lfu policy, as OBJECT FREQ answers. */
uint32_t eviction_frequency(const struct lane *lane, const struct entry *entry, int64_t now);

#endif
