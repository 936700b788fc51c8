/* What the files of shard/ share: a shard, the gate, and the keyspace. Not for others. */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "eviction.h"
#include "guard.h"
#include "hash.h"
#include "keyspace.h"
#include "lane.h"
#include "mutex.h"
#include "rwlock.h"
#include "table.h"

/* A shard starts a cache line of its own. */
struct shard {
    _Alignas(64) struct rwlock lock;
    uint32_t number;
    /* One per database, NULL until it is first written to. The pointers are atomic because sums are taken without the lock. */
    _Atomic(struct table *) *tables GUARDED_BY(&lock);
};

struct gate {
    /* Number of the lane that has closed it, plus one; 0 while it is open. */
    _Alignas(64) _Atomic uint32_t closed;
    _Alignas(64) struct mutex mutex;
    struct waiter *first GUARDED_BY(&mutex), *last GUARDED_BY(&mutex); /* who waits for it to open, or for a lane to leave */
};

#define KEYSPACE_LISTENERS 8

struct keyspace {
    struct hash_secret secret;
    uint32_t shard_count, shard_bits, database_count, lane_count;
    struct shard *shards;
    struct lane *lanes; /* lane_count seats */
    _Atomic uint32_t lanes_used; /* seats beyond were never taken */
    struct mutex lanes_mutex;
    struct gate gate;
    struct eviction eviction;
    _Alignas(64) _Atomic uint64_t epoch;
    _Atomic bool expires_actively;
    struct keyspace_listener listeners[KEYSPACE_LISTENERS]; /* set before lanes attach */
    uint32_t listener_count;
};

/* The shard is in the scope: what the analysis can't see in a set of locks is asserted here. */
struct shard *scope_shard_shared(const struct scope *scope, uint64_t hash);
struct shard *scope_shard_exclusive(const struct scope *scope, uint64_t hash);

static inline struct shard *keyspace_shard(const struct keyspace *keyspace, uint64_t hash) {
    return &keyspace->shards[keyspace->shard_bits == 0 ? 0 : hash >> (64 - keyspace->shard_bits)];
}
static inline void shard_assert_shared(const struct shard *shard) ASSERT_SHARED_CAPABILITY(&shard->lock) {
    (void)shard;
}
static inline void shard_assert_exclusive(const struct shard *shard) ASSERT_CAPABILITY(&shard->lock) {
    (void)shard;
}
static inline struct table *shard_table(const struct shard *shard, uint32_t database) REQUIRES_SHARED(&shard->lock) {
    return atomic_load_explicit(&shard->tables[database], memory_order_acquire);
}

/* Frees a dead table's entries, those of that many homes at a time; true when the table itself is gone. Values with a structure are left
 * to lane_discard, or freed with the rest if lane is NULL. */
bool table_bury(struct table *table, struct lane *lane, uint64_t homes);
void entry_free(struct entry *entry);
/* entry.c: removes from the keyspace what belongs to an entry, now or when nobody can see it any more. */
void entry_retire(struct lane *lane, struct entry *entry);

#endif
