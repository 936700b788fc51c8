/* Values with a structure: lists, sets, sorted sets, hashes, streams. What the keyspace must know of each,
 * and what they share.
 *
 * A value is one pointer, which an entry holds (ENCODING_VALUE in entry.h). It belongs to the entry: a scope
 * that may read the entry may read the value, an edit of the entry may change it, and everything in it is
 * plain memory, since nobody looks at it without the lock. A small one is one packed allocation (packed.h);
 * beyond the limits below it becomes a scalable form. What the first byte of the allocation tells (enum form
 * of each module) is private to the type.
 *
 * A function that changes a value takes `void **value` where the value may move or change its form. One that
 * returns bool returns false when out of memory, and then nothing has changed. An empty value isn't kept: the
 * command removes the key. */
#ifndef SHARD_VALUE_VALUE_H
#define SHARD_VALUE_VALUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "type.h"

/* One per type. All but copy and free_some are O(1). */
struct value_kind {
    const char *(*encoding_name)(
        const void *value);               /* as OBJECT ENCODING answers: "listpack", "quicklist", ... */
    size_t (*bytes)(const void *value);   /* all that it owns, by the allocator's own sizes (memory_size) */
    uint64_t (*count)(const void *value); /* elements; how much work it is to free or copy it */
    void *(*copy)(const void *value);     /* NULL when out of memory */
    /* Frees about `budget` of its allocations. Returns true when all of it is gone; until then it is to be
     * called again, and nothing else. */
    bool (*free_some)(void *value, size_t budget);
};

extern const struct value_kind list_kind, set_kind, zset_kind, hash_kind, stream_kind;

/* All at once: for small values, and where nobody waits. */
void value_free(const struct value_kind *kind, void *value);

/* A new form of a value that may have to be what it was (journal.h): made while the journal was paused, it is
 * freed if that is taken back. false when out of memory: it has been freed. */
bool value_made(const struct value_kind *kind, void *value);

struct cursor_secret;

/* A string within a value. */
struct text {
    const char *data;
    size_t length;
};

/* When a packed form becomes a scalable one: Redis's options of the same names. Written by the configuration,
 * read relaxed. Tests set them too. */
struct value_limits {
    _Atomic int64_t hash_listpack_entries; /* 512 */
    _Atomic int64_t hash_listpack_value;   /* 64, bytes of one field or value */
    _Atomic int64_t set_intset_entries;    /* 512 */
    _Atomic int64_t set_listpack_entries;  /* 128 */
    _Atomic int64_t set_listpack_value;    /* 64 */
    _Atomic int64_t zset_listpack_entries; /* 128 */
    _Atomic int64_t zset_listpack_value;   /* 64 */
    /* -2: 8 KB a node; positive: elements a node (list-max-listpack-size) */
    _Atomic int64_t list_listpack_size;
    _Atomic int64_t list_compress_depth; /* 2: nodes at each end that are never folded; 0: none is */
    _Atomic int64_t stream_node_bytes;   /* 4096 */
    _Atomic int64_t stream_node_entries; /* 100 */
};
extern struct value_limits value_limits;

/* One of them that is not negative. */
static inline uint32_t value_limit(const _Atomic int64_t *limit) {
    return (uint32_t)atomic_load_explicit(limit, memory_order_relaxed);
}

/* The keyed hash of members and fields: its secret is drawn once per process. */
uint64_t value_hash(const void *data, size_t length);
/* And what their scans' cursors are made with, likewise. */
const struct cursor_secret *value_cursor_secret(void);

/* A random number below `below` (at least 1), for SRANDMEMBER and its like: not for secrets. Its state is the
 * thread's. */
uint64_t value_random(uint64_t below);

#endif
