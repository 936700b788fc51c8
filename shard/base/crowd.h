/* A crowd: the keys of a hash table that would make a bucket's chain too long, in a tree.
 *
 * A keyed hash spreads keys evenly for clients that don't know its secret. Should somebody come to know it,
 * keys of one bucket can be made at will, and a table of chains is a list. So a chain has a bound, and what
 * would go beyond stands in a tree that its table has for all of its buckets: in the order of the hashes, as
 * the buckets are, and under one hash in the order of the names, so that what a bucket covers is a range of
 * it. The tree is balanced by weight, whatever is put in: no secret, no luck. An honest table has none, but
 * for a moment once in many years.
 *
 * Plain memory, but for the words: used with the shard held, shared for const functions, exclusively for the
 * others. Nothing here allocates. */
#ifndef SHARD_BASE_CROWD_H
#define SHARD_BASE_CROWD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its memory, and where it stands in the tree, stay the same until it is removed. */
struct crowd_node {
    /* what a slot of the table would hold: an item's address in the 48 low bits, and whatever else above */
    _Atomic uint64_t word;
    uint64_t order; /* the hash, so that buckets are ranges */
    struct crowd_node *left, *right;
    uint64_t size; /* of what hangs on it, itself included */
};

/* The name of an item. */
typedef const char *crowd_name(const void *item, size_t *length);

/* root: NULL is the empty crowd. */
struct crowd_node *crowd_find(struct crowd_node *root, crowd_name *name, uint64_t order, const char *data,
                              size_t length);
/* Any one of that order, or NULL. */
struct crowd_node *crowd_find_order(struct crowd_node *root, uint64_t order);
/* Return the new root. The node's word and order are set, and nobody of its name is there; or it is there. */
struct crowd_node *crowd_insert(struct crowd_node *root, crowd_name *name, struct crowd_node *node);
struct crowd_node *crowd_remove(struct crowd_node *root, crowd_name *name, struct crowd_node *node);
/* Takes out the first one, which is the caller's then; looks at no names. The root isn't NULL. */
struct crowd_node *crowd_take_first(struct crowd_node *root, struct crowd_node **first);
/* The one that has so many before it. */
struct crowd_node *crowd_at(struct crowd_node *root, uint64_t number);
static inline uint64_t crowd_size(const struct crowd_node *root) {
    return root == NULL ? 0 : root->size;
}
/* Visits those of the orders from first to last, both included, in their order, until visit returns false;
 * then returns false. Looks at no names. */
bool crowd_visit(struct crowd_node *root, uint64_t first, uint64_t last,
                 bool (*visit)(void *context, struct crowd_node *node), void *context);

#endif
