/* A dictionary: a hash table of items that carry their own names, for the scalable form of sets, hashes and
 * sorted sets.
 *
 * An item is an allocation of the user's; the dictionary holds pointers and knows how to read an item's name.
 * It grows by linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", VLDB '80):
 * one bucket is split in two at a time, so that no operation moves more than one bucket's items, whatever the
 * size, and the load is always the same. A bucket is an array of words, exactly as long as it needs to be:
 *
 *     directory -> segment of 512 words      63        48 47                    0
 *                                            +-----------+---------------------+
 *                                            | count, 16 | array's address, 48 |
 *                                            +-----------+---------------------+
 *     bucket    -> array of `count` words    63        48 47                    0
 *                                            +-----------+---------------------+
 *                                            | tag, 16   | item's address, 48  |
 *                                            +-----------+---------------------+
 *
 * so that a miss seldom touches an item. Items that would make a bucket too long stand in a tree (crowd.h),
 * which an honest dictionary never has.
 *
 * Plain memory: used with the shard held, shared for const functions, exclusively for the others. Shared
 * holders run at the same time, so const means const. */
#ifndef SHARD_VALUE_DICTIONARY_H
#define SHARD_VALUE_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dictionary;

/* The name of an item. */
typedef const char *item_name(const void *item, size_t *length);

struct dictionary *dictionary_create(item_name *name); /* NULL when out of memory */
/* Frees the table, not the items. */
void dictionary_free(struct dictionary *dictionary);
uint64_t dictionary_count(const struct dictionary *dictionary);
uint32_t dictionary_longest(const struct dictionary *dictionary); /* no bucket has had more items */
size_t dictionary_bytes(const struct dictionary *dictionary); /* of the table itself, without items; O(1) */

/* hash: value_hash of the name. Returns the item or NULL. */
void *dictionary_find(const struct dictionary *dictionary, uint64_t hash, const char *name, size_t length);
/* The name isn't there (asserted). false when out of memory: nothing has changed. */
bool dictionary_insert(struct dictionary *dictionary, uint64_t hash, void *item);
/* Puts `item`, of the same name, where `present` is. */
void dictionary_replace(struct dictionary *dictionary, uint64_t hash, const void *present, void *item);
/* Returns the item, which is the caller's now, or NULL if there was none. Never fails. */
void *dictionary_remove(struct dictionary *dictionary, uint64_t hash, const char *name, size_t length);

/* Visits items in an order that stays the same while the table grows and shrinks (that of their hashes read
 * backwards): all of the bucket at `position` (0: the start) and of further ones until `count` or more were
 * visited. Returns where to go on, or 0 at the end. Positions have at most 52 bits, tell nothing of the
 * hashes (cursor.h), and stay meaningful while the table grows and shrinks: an item that is there throughout
 * a full scan is visited at least once, and exactly once if nothing changes. visit must not change the
 * dictionary. */
uint64_t dictionary_scan(const struct dictionary *dictionary, uint64_t position, uint64_t count,
                         void (*visit)(void *context, void *item), void *context);
/* Visits all, in no order. Stops when visit returns false. */
void dictionary_each(const struct dictionary *dictionary, bool (*visit)(void *context, void *item),
                     void *context);
/* An item drawn evenly, in O(1) expected. Not empty. */
void *dictionary_random(const struct dictionary *dictionary);
/* Takes out any item, in O(1) amortized over emptying it: for freeing in slices. NULL when empty. The
 * dictionary may afterwards only be emptied further and freed. */
void *dictionary_take_any(struct dictionary *dictionary);

#endif
