#include "cursor.h"

#include <string.h>

#include "hash.h"

#define HALF_BITS (CURSOR_BITS / 2)
#define HALF_MASK ((UINT64_C(1) << HALF_BITS) - 1)

int cursor_secret_draw(struct cursor_secret *secret, const uint64_t *words) {
    struct hash_secret stretched;
    _Static_assert(sizeof *secret <= sizeof stretched, "there is enough of it");
    uint64_t others[4]; /* not what a hash's secret is made of from the same words */
    for (int i = 0; words != NULL && i < 4; i++) others[i] = ~words[i];
    int error = hash_secret_draw(&stretched, words == NULL ? NULL : others);
    memcpy(secret->keys, stretched.bytes, sizeof secret->keys);
    return error;
}

/* The finalizer of Sebastiano Vigna's splitmix64, with a key in it twice. */
static uint64_t round_of(uint64_t half, uint64_t key) {
    uint64_t z = half ^ key;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = ((z ^ (z >> 27)) + key) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) & HALF_MASK;
}

static uint64_t permute(const struct cursor_secret *secret, uint64_t number) {
    uint64_t left = number >> HALF_BITS, right = number & HALF_MASK;
    for (int i = 0; i < CURSOR_ROUNDS; i++) {
        uint64_t next = left ^ round_of(right, secret->keys[i]);
        left = right;
        right = next;
    }
    return left << HALF_BITS | right;
}

static uint64_t permute_back(const struct cursor_secret *secret, uint64_t number) {
    uint64_t left = number >> HALF_BITS, right = number & HALF_MASK;
    for (int i = CURSOR_ROUNDS - 1; i >= 0; i--) {
        uint64_t before = right ^ round_of(left, secret->keys[i]);
        right = left;
        left = before;
    }
    return left << HALF_BITS | right;
}

/* The number whose image would be 0 gets 0's. */
uint64_t cursor_of_place(const struct cursor_secret *secret, uint64_t place) {
    if (place == 0) return 0;
    uint64_t cursor = permute(secret, place);
    return cursor != 0 ? cursor : permute(secret, 0);
}

uint64_t cursor_place(const struct cursor_secret *secret, uint64_t cursor) {
    if (cursor == 0) return 0;
    uint64_t place = permute_back(secret, cursor);
    return place != 0 ? place : permute_back(secret, 0);
}
