/* A key as the keyspace is asked for it: its bytes, its database, and its hash, computed once. */
#ifndef SHARD_BASE_KEY_H
#define SHARD_BASE_KEY_H

#include <stddef.h>
#include <stdint.h>

struct fetch;

struct key {
    const char *data; /* borrowed */
    size_t length;
    /* key_hash of the bytes; the database is not part of it, so a key's namesakes share its shard */
    uint64_t hash;
    uint32_t database;
    const struct fetch *fetch; /* what fetching ahead has found of it (scope_take.h), or NULL */
};

#endif
