/* A scan's cursor: a place in the order of hashes, as its client may see it.
 *
 * A place is 52 bits of some key's hash, and a client that sees many keys' hashes can work out the hash's
 * secret, and then make keys of one bucket. So a cursor is not the place but its image under a permutation of
 * the numbers below 2^52 that only we know: a Feistel network (Luby and Rackoff, 1988), with keys of its own.
 * 0, where each scan begins and ends, is its own image. */
#ifndef SHARD_BASE_CURSOR_H
#define SHARD_BASE_CURSOR_H

#include <stdint.h>

#define CURSOR_BITS 52
#define CURSORS (UINT64_C(1) << CURSOR_BITS) /* all places and cursors are below */
#define CURSOR_ROUNDS 6

struct cursor_secret {
    uint64_t keys[CURSOR_ROUNDS];
};

/* From the kernel's randomness, or from four given words. Returns 0 or an errno. */
int cursor_secret_draw(struct cursor_secret *secret, const uint64_t *words);
uint64_t cursor_of_place(const struct cursor_secret *secret, uint64_t place);
uint64_t cursor_place(const struct cursor_secret *secret, uint64_t cursor);

#endif
