/* What a shard publishes about itself, for anybody to read without its lock. */
#ifndef SHARD_STORE_PUBLISHED_H
#define SHARD_STORE_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

struct keyspace;

/* Keys of one shard and database, as published. No lock. */
uint64_t keyspace_shard_keys(const struct keyspace *keyspace, uint32_t shard, uint32_t database);
uint64_t keyspace_shard_expiring(const struct keyspace *keyspace, uint32_t shard, uint32_t database);
/* Whether its table has the size it should have, as published. No lock. */
bool keyspace_shard_is_settled(const struct keyspace *keyspace, uint32_t shard, uint32_t database);

#endif
