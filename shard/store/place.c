#include "place.h"

#include "shard.h"

#define POSITION_BITS CURSOR_BITS

uint32_t keyspace_shard_count(const struct keyspace *keyspace) {
    return keyspace->shard_count;
}

uint32_t keyspace_database_count(const struct keyspace *keyspace) {
    return keyspace->database_count;
}

uint64_t keyspace_hash(const struct keyspace *keyspace, const char *data, size_t length) {
    return hash_bytes(&keyspace->secret, data, length);
}

uint32_t keyspace_shard_of(const struct keyspace *keyspace, uint64_t hash) {
    return keyspace_shard(keyspace, hash)->number;
}

struct rwlock *keyspace_lock(struct keyspace *keyspace, uint32_t shard) {
    return &keyspace->shards[shard].lock;
}

uint32_t keyspace_lock_number(const struct keyspace *keyspace, const struct rwlock *lock) {
    return (uint32_t)((const struct shard *)((const char *)lock - offsetof(struct shard, lock)) -
                      keyspace->shards);
}

uint32_t keyspace_position_shard(const struct keyspace *keyspace, uint64_t position) {
    return (uint32_t)(position >> (POSITION_BITS - keyspace->shard_bits));
}

uint64_t keyspace_shard_position(const struct keyspace *keyspace, uint32_t shard) {
    return (uint64_t)shard << (POSITION_BITS - keyspace->shard_bits);
}

uint64_t keyspace_position_cursor(const struct keyspace *keyspace, uint64_t position) {
    return cursor_of_place(&keyspace->cursor_secret, position);
}

uint64_t keyspace_cursor_position(const struct keyspace *keyspace, uint64_t cursor) {
    return cursor_place(&keyspace->cursor_secret, cursor);
}
