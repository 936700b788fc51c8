/* Which keys go when memory runs short.
 *
 * A writer makes room before it allocates (eviction_make_room): it draws on the budget, and above the
 * budget's `soft` limit it lets keys go until what is live fits below that again (budget.h).
 *
 * Victims are found without lists: a few shards are drawn at random, some neighbours are looked at in each
 * (under the shared lock), and the best few of all these are let go one after the other, if their score
 * hasn't fallen meanwhile. What the score is depends on the policy, and is read from what is noted of each
 * entry's use (usage.h).
 *
 * Under allkeys-s3fifo the victim comes from the small part if that is above its share, else from the main
 * part: the one with the greatest age, which counts less the more often it was used, times the root of its
 * size. In the small part, one that was used goes to the main part instead. bench/policies/latchkey.c is the
 * same policy in the simulator, and says what it was measured to do. */
#ifndef SHARD_EVICT_EVICTION_H
#define SHARD_EVICT_EVICTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyspace;
struct lane;

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

/* For keyspace_open: false when out of memory. The gate has its seats. */
bool eviction_open(struct keyspace *keyspace);
void eviction_close(struct keyspace *keyspace);

/* Any thread, at any time. Entries that were there learn the new form little by little (eviction_tick). decay
 * in minutes. */
void eviction_configure(struct keyspace *keyspace, enum eviction_policy policy, int64_t log_factor,
                        int64_t decay);
/* What the keyspace may own, in bytes; INT64_MAX: no limit. */
void eviction_limit(struct keyspace *keyspace, int64_t limit);
/* What it owns: entries, tables, what is retired. */
int64_t eviction_used(const struct keyspace *keyspace);
/* The least limit under which data of so many bytes stays as it is. */
int64_t eviction_limit_holding(int64_t bytes);
/* Every few milliseconds by one lane, inside the gate: adapts the table of ghosts, and entries to a new form,
 * and lets some keys go if the limit was lowered; and goes over all entries each half an hour, so that what
 * was noted of their use stays true. Takes shards one by one, if they are free. Returns false if there is
 * more to do, so that a next call should come soon. */
bool eviction_tick(struct lane *lane, int64_t now);

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

#endif
