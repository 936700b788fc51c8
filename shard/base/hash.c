#include "hash.h"

#include <errno.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Sebastiano Vigna's splitmix64, to stretch a test's few words. https://prng.di.unimi.it/splitmix64.c */
static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

int hash_secret_draw(struct hash_secret *secret, const uint64_t *words) {
    if (words == NULL)
        return getrandom(secret->bytes, sizeof secret->bytes, 0) == sizeof secret->bytes ? 0 : errno;
    uint64_t state = words[0] ^ words[1] ^ words[2] ^ words[3];
    for (size_t i = 0; i < sizeof secret->bytes; i += 8) {
        uint64_t word = splitmix(&state) ^ words[i / 8 % 4];
        memcpy(secret->bytes + i, &word, 8);
    }
    return 0;
}

uint64_t hash_bytes(const struct hash_secret *secret, const void *data, size_t length) {
    return XXH3_64bits_withSecret(data, length, secret->bytes, sizeof secret->bytes);
}
