/* Ghosts: which keys were let go lately, and when each was last used. Two bytes a key, in one table for all
 * shards.
 *
 *     ghost   +--------------+----------+      tag   11 bits of the key's hash, never 0
 *             | tag, 11 bits | stamp, 5 |      stamp when it was last used, in units of 16 ticks, modulo 32
 *             +--------------+----------+
 *
 * A bucket is 16 ghosts, the newest first; buckets are in the order of hashes. Everything is relaxed atomics,
 * used by any number of threads without a lock: two that meet in a bucket may lose a ghost, and a tag may be
 * another key's. Either costs a wrong guess, nothing else. */
#ifndef SHARD_STORE_GHOSTS_H
#define SHARD_STORE_GHOSTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GHOST_BUCKET 16

struct ghosts {
    uint64_t buckets;
    _Atomic uint16_t slots[];
};

/* Room for about that many, taken over from `before`, which may be NULL and stays the caller's. NULL when out
 * of memory. free() frees one. */
struct ghosts *ghosts_create(uint64_t count, const struct ghosts *before);
static inline uint64_t ghosts_capacity(const struct ghosts *ghosts) {
    return ghosts->buckets * GHOST_BUCKET;
}
/* Its line is then on its way to the cache. */
void ghosts_prefetch(const struct ghosts *ghosts, uint64_t hash);
/* The key with that hash is let go; it was last used at `tick`. */
void ghosts_add(struct ghosts *ghosts, uint64_t hash, uint32_t tick);
/* Takes a ghost out: true, and how many ticks ago its key was last used, at most 511. */
bool ghosts_take(struct ghosts *ghosts, uint64_t hash, uint32_t tick, uint32_t *age);

#endif
