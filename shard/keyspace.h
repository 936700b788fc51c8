/* The keyspace: N shards, each behind its own rwlock, 16 databases (or as many as asked for) in each, and the
 * gate, which is the lock of all shards. */
#ifndef SHARD_KEYSPACE_H
#define SHARD_KEYSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lock/reclaim.h"
#include "scope/scope.h"
#include "store/listener.h"
#include "store/place.h"
#include "store/published.h"

struct keyspace_options {
    uint32_t shards;    /* a power of two, at most 65536; 0: 512 */
    uint32_t databases; /* at least 1; 0: 16 */
    uint32_t lanes;     /* how many threads may be attached at the same time; 0: 256 */
    /* NULL: drawn from the kernel. Four words, for tests that want the same order twice */
    const uint64_t *seed;
};

struct keyspace *keyspace_open(const struct keyspace_options *options); /* NULL with errno */
/* No thread is attached any more. */
void keyspace_close(struct keyspace *keyspace);

/* Takes a seat for the calling thread. NULL when all are taken. lane_detach (lock/reclaim.h) gives it
 * back. */
struct lane *lane_attach(struct keyspace *keyspace);

/* Sums over the shards of numbers that each publishes; each is right for its shard at some moment of the
 * call. No lock; the caller is inside the gate, so that no table goes away meanwhile. */
struct keyspace_size {
    uint64_t keys;
    uint64_t expiring;             /* keys with an expiry */
    uint64_t expiry_sum;           /* sum of (expiry - now) over them, for avg_ttl; 0 if none */
    uint64_t bytes;                /* owned by entries */
    uint64_t table_bytes;          /* owned by tables */
    uint64_t buckets, old_buckets; /* of tables, and of tables being moved out of */
    uint64_t moves_most; /* the most entries that one operation has moved because a table grew or shrank */
};
void keyspace_size(const struct keyspace *keyspace, uint32_t database, struct keyspace_size *size);
/* Counters since start, summed over lanes. No lock. They only grow: a caller that wants them since a moment
 * subtracts what they were then. */
struct keyspace_counts {
    uint64_t hits, misses, expired, expired_actively, evicted, changes, exclusive_takes, shared_takes,
        busy_takes, gate_closings;
    uint64_t looks, failed_looks; /* optimistic reads that held, and that had to take the lock after all */
    uint64_t retired_bytes, retired_objects; /* not counters: unlinked and not yet freed, now */
    uint64_t freed_objects;                  /* counts those that are */
    uint64_t expiry_cycle_us;                /* microseconds spent on active expiry */
    uint64_t expiry_cut_short;               /* slices of it that ended with their time, not with the work */
    /* not a counter: of the keys with an expiry, those that have lapsed and are still there; estimated */
    uint64_t stale_ppm;
};
void keyspace_counts(const struct keyspace *keyspace, struct keyspace_counts *counts);

/* Whole databases. Entries are freed after the scope has ended, in slices. */
#define KEYSPACE_ALL_DATABASES UINT32_MAX
/* Removes all keys of the database from the shards of the scope, and returns how many went. Those are all of
 * its keys if the scope holds every shard (the closed gate), or each that has a table of the database: */
uint64_t keyspace_flush(struct write_scope *scope, uint32_t database);
/* Adds to `more` the shards that have a table of the database and are not in `others`, as far as there is
 * memory, and returns how many they are: keys of the database can be in no other shard. No lock; inside the
 * gate. If it returns 0, there was a moment in this very call at which no shard but `others` had a table: if
 * those are held exclusively, flushing them is the same as flushing the database at that moment. */
uint32_t keyspace_find_tables(const struct keyspace *keyspace, uint32_t database,
                              const struct shard_set *others, struct shard_set *more);
/* The scope holds every shard. */
void keyspace_swap(struct write_scope *all, uint32_t first, uint32_t second);
/* Frees on this thread, before returning, all that this thread's lane has retired and nobody can see any more
 * (FLUSHALL SYNC). */
void keyspace_reclaim(struct lane *lane);

/* A listener's `wanted` (store/listener.h) has become more, and from this function's return on it is told;
 * or less: each call with true is taken back by one with false. Any thread, as the next two. */
void keyspace_want(struct keyspace *keyspace, bool is_wanted);
/* Reads that leave traces, for as long as somebody wants that: each call with true is taken back by one with
 * false. Where a reader meets a key that has expired, it removes it, if it has the shard for itself; else it
 * passes it over, as always: whoever runs it looks first (scope_meets_dead), and takes the shard so. And
 * where a key is absent, EVENT_KEYMISS is mentioned. Optimistic reads give up on both. */
void keyspace_tell_dead(struct keyspace *keyspace, bool is_wanted);
void keyspace_tell_misses(struct keyspace *keyspace, bool is_wanted);
bool keyspace_tells_dead(const struct keyspace *keyspace);

/* Switches active expiry (DEBUG SET-ACTIVE-EXPIRE). */
void keyspace_set_active_expiry(struct keyspace *keyspace, bool is_on);
/* One slice of active expiry by this lane: looks at shards in turn, removes what has expired, and stops after
 * about `budget` microseconds. A busy shard is passed over. Returns true if it was cut short by the budget
 * with more to do. */
bool keyspace_expire_slice(struct lane *lane, int64_t now, int64_t budget);

#endif
