/* A key as the keyspace is asked for it: its bytes, its database, and its hash, computed once. */
#ifndef SHARD_BASE_KEY_H
#define SHARD_BASE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fetch;

struct key {
    const char *data; /* borrowed */
    size_t length;
    /* key_hash of the bytes; the database is not part of it, so a key's namesakes share its shard */
    uint64_t hash;
    uint32_t database;
    const struct fetch *fetch; /* what fetching ahead has found of it (scope_take.h), or NULL */
};

/* Whether both mean one key of one database. */
static inline bool key_equals(const struct key *one, const struct key *other) {
    return one->hash == other->hash && one->database == other->database && one->length == other->length &&
           (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

#endif
