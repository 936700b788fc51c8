/* Where a key stands: its hash, its shard, and its position in the order of all hashes. */
#ifndef SHARD_STORE_PLACE_H
#define SHARD_STORE_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "../base/key.h"

struct keyspace;
struct rwlock;

uint32_t keyspace_shard_count(const struct keyspace *keyspace);
uint32_t keyspace_database_count(const struct keyspace *keyspace);

/* The keyed hash of a key's bytes. */
uint64_t keyspace_hash(const struct keyspace *keyspace, const char *data, size_t length);
static inline struct key keyspace_key(const struct keyspace *keyspace, uint32_t database, const char *data,
                                      size_t length) {
    struct key key = {data, length, keyspace_hash(keyspace, data, length), database, NULL};
    return key;
}
uint32_t keyspace_shard_of(const struct keyspace *keyspace, uint64_t hash);

/* A shard's lock, and the shard of a lock that was found busy. */
struct rwlock *keyspace_lock(struct keyspace *keyspace, uint32_t shard);
uint32_t keyspace_lock_number(const struct keyspace *keyspace, const struct rwlock *lock);

/* A scan position (scope_scan) is a place in the order of all hashes, 52 bits wide, and so tells its
 * shard. */
uint32_t keyspace_position_shard(const struct keyspace *keyspace, uint64_t position);
/* The first one of a shard. */
uint64_t keyspace_shard_position(const struct keyspace *keyspace, uint32_t shard);
/* A position as somebody else may see it, and back: it is a piece of a hash, and enough of them give the
 * hash's secret away (cursor.h). 0 is 0; cursors are below 2^52, too, and each number below is some
 * position's. */
uint64_t keyspace_position_cursor(const struct keyspace *keyspace, uint64_t position);
uint64_t keyspace_cursor_position(const struct keyspace *keyspace, uint64_t cursor);

#endif
