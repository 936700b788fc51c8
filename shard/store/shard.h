/* What the files of shard/ share: a shard, and the keyspace. Not for others. */
#ifndef SHARD_STORE_SHARD_H
#define SHARD_STORE_SHARD_H

#include "../base/cursor.h"
#include "../base/guard.h"
#include "../base/hash.h"
#include "../budget/budget.h"
#include "../lock/gate.h"
#include "../lock/rwlock.h"
#include "../table/table.h"
#include "fetch.h"
#include "listener.h"
#include "place.h"
#include "published.h"
#include "usage.h"

/* A shard starts a cache line of its own. */
struct shard {
    _Alignas(64) struct rwlock lock;
    uint32_t number, count; /* and how many shards there are */
    /* Every count-th is one of its own: keyspace->tables. */
    _Atomic(struct table *) *tables GUARDED_BY(&lock);
};
_Static_assert(sizeof(struct shard) % 64 == 0, "neighbours don't share a line");

#define KEYSPACE_LISTENERS 8

struct keyspace {
    struct hash_secret secret;
    struct cursor_secret cursor_secret;
    uint32_t shard_count, shard_bits, database_count;
    struct shard *shards;
    /* By database and then by shard, as most keys are in the first database: a lookup has the pointer at hand
     * before the shard's line has come. NULL until the database is first written to in that shard. Atomic,
     * because they are read without the lock, too. */
    _Atomic(struct table *) *tables;
    /* The databases that have ever had a key, in the order of their first, each plus one; and of each
     * database, whether it is among them. So that nobody walks thousands of databases that were configured
     * and are not used. */
    _Atomic uint32_t *used_databases;
    _Atomic uint32_t used_database_count;
    _Atomic bool *database_is_used;
    _Atomic bool expires_actively;
    _Atomic uint32_t tells_dead;   /* how many want to know at once that a key which is read has expired */
    _Atomic uint32_t tells_misses; /* and of each read of a key that isn't there */
    /* Set before lanes attach. */
    struct keyspace_listener listeners[KEYSPACE_LISTENERS];
    uint32_t listener_count;
    bool shows_before;               /* one of them wants to see values before they change */
    _Atomic uint32_t wanting;        /* how much there is for which some want to be told of changes */
    _Atomic uint64_t dropped_tables; /* how often a shard has lost one */
    struct budget budget;
    _Atomic int policy;       /* enum eviction_policy */
    struct evictor *evictors; /* by lane: what each needs to find entries to let go (../evict/inside.h) */
    struct usage usage;
    struct gate gate;
};

static inline uint64_t keyspace_shard_number(const struct keyspace *keyspace, uint64_t hash) {
    return hash >> 1 >> (63 - keyspace->shard_bits);
}
static inline struct shard *keyspace_shard(const struct keyspace *keyspace, uint64_t hash) {
    return &keyspace->shards[keyspace_shard_number(keyspace, hash)];
}
/* Without the lock: the caller is inside the gate, so that what is seen may be left meanwhile, but isn't
 * freed; or is the one that would flush. Sums without a lane are for threads that know that no flush is under
 * way. */
static inline struct table *keyspace_table_unheld(const struct keyspace *keyspace, uint64_t shard,
                                                  uint32_t database) {
    return atomic_load_explicit(&keyspace->tables[(size_t)database * keyspace->shard_count + shard],
                                memory_order_acquire);
}
static inline bool keyspace_database_is_used(const struct keyspace *keyspace, uint32_t database) {
    return atomic_load_explicit(&keyspace->database_is_used[database], memory_order_acquire);
}
/* The index-th that is used, of keyspace->used_database_count. False if its number is just about to be
 * known. */
static inline bool keyspace_used_database(const struct keyspace *keyspace, uint32_t index,
                                          uint32_t *database) {
    uint32_t number = atomic_load_explicit(&keyspace->used_databases[index], memory_order_acquire);
    *database = number - 1;
    return number != 0;
}
/* Before a table of it can be found. Any thread. */
void keyspace_use_database(struct keyspace *keyspace, uint32_t database);
static inline void shard_assert_shared(const struct shard *shard) ASSERT_SHARED_CAPABILITY(&shard->lock) {
    (void)shard;
}
static inline void shard_assert_exclusive(const struct shard *shard) ASSERT_CAPABILITY(&shard->lock) {
    (void)shard;
}
static inline struct table *shard_table(const struct shard *shard, uint32_t database)
    REQUIRES_SHARED(&shard->lock) {
    return atomic_load_explicit(&shard->tables[(size_t)database * shard->count], memory_order_acquire);
}
static inline void shard_set_table(struct shard *shard, uint32_t database, struct table *table)
    REQUIRES(&shard->lock) {
    atomic_store_explicit(&shard->tables[(size_t)database * shard->count], table, memory_order_release);
}
/* The database has no table in this shard any more. */
void shard_drop_table(struct keyspace *keyspace, struct shard *shard, uint32_t database)
    REQUIRES(&shard->lock);
/* The database has no table in this shard any more. */
void shard_drop_table(struct keyspace *keyspace, struct shard *shard, uint32_t database)
    REQUIRES(&shard->lock);

#endif
