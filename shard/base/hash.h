/* The keyed hash: XXH3 with a secret drawn at start, so that a client that doesn't know it can't choose keys
 * that pile onto one shard or bucket. https://xxhash.com */
#ifndef SHARD_BASE_HASH_H
#define SHARD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_secret {
    unsigned char bytes[192];
};

/* From the kernel's randomness, or from four given words. Returns 0 or an errno. */
int hash_secret_draw(struct hash_secret *secret, const uint64_t *words);
uint64_t hash_bytes(const struct hash_secret *secret, const void *data, size_t length);

#endif
