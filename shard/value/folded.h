/* A packed sequence that is seldom looked at, in fewer bytes: each element is what it shares with the
 * beginning of the one before it, and the rest.
 *
 *     +-------+-------------------+- - -+      element   +-----------------+--------------------+------+
 *     | count | bytes when packed |     |                | shared, rest    | longer lengths,    | rest |
 *     | 4 B   | 4 B               |     |                | 4 bits each     | if one of them 15  |      |
 *     +-------+-------------------+- - -+                +-----------------+--------------------+------+
 *
 * Where all are numbers, each is how far it is from the least of them, in as many bytes as the farthest
 * needs:
 *
 *     +-------+-------------------+-------+- - -+      element   +-------+
 *     | count | bytes when packed | least |     |                | 1..8 B|
 *     | 4 B   | 4 B               | 8 B   |     |                +-------+
 *     +-------+-------------------+-------+- - -+
 *
 * (Front coding, as dictionaries have been stored since the 1960s.) Elements are those of packed.h without
 * the length behind, numbers with their high bytes first, so that neighbouring numbers share them as well. To
 * be read it is unfolded, as a whole, into memory of the thread's. */
#ifndef SHARD_VALUE_FOLDED_H
#define SHARD_VALUE_FOLDED_H

#include "packed.h"

struct folded;

/* Longer ones are not folded. */
#define FOLDED_MOST ((size_t)65536)

/* NULL when out of memory, or where that saves less than an eighth of what the allocator gives. free() frees
 * one. */
struct folded *folded_create(const struct packed *packed);
struct folded *folded_copy(const struct folded *folded);
uint32_t folded_count(const struct folded *folded);
size_t folded_bytes(const struct folded *folded); /* bytes the allocator gave */
/* The sequence, until the thread unfolds the next. */
const struct packed *folded_read(const struct folded *folded);

/* Leaves out elements for which `leaves_out` says so, asked once for each in their order. Never fails: what
 * is left needs no more room than all did, since an element shares with the one before the removed at least
 * what both shared with that. *folded may move. Returns how many are left. */
typedef bool folded_choice(void *context, const struct packed *packed, uint32_t at);
uint32_t folded_remove(struct folded **folded, folded_choice *leaves_out, void *context);

#endif
