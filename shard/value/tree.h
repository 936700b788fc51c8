/* An ordered map from ids of 128 bits to pointers: a B+tree, made for ids that mostly come in ascending
 * order.
 *
 *     node   +----------+------+-------+----------+---------+---------+- - -
 *            | previous | next | count | capacity | id | to | id | to |
 *            +----------+------+-------+----------+---------+---------+- - -
 *
 * A node of the lowest level holds ids and what they lead to, and knows its neighbours. One above holds
 * nodes, each beside an id that nothing in it is below (but for the first, which takes whatever is lower than
 * the second). Nodes grow as they fill, so that a tree of one id is 48 bytes; a full node at the right edge
 * isn't split but followed by a new one, so that what is appended fills nodes to the brim. */
#ifndef SHARD_VALUE_TREE_H
#define SHARD_VALUE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a stream's entry: milliseconds, and a number among those of the same millisecond. */
struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_LEAST ((struct stream_id){0, 0})
#define STREAM_ID_MOST ((struct stream_id){UINT64_MAX, UINT64_MAX})

/* Below 0, 0 or above 0. */
static inline int stream_id_compare(struct stream_id one, struct stream_id other) {
    if (one.ms != other.ms) return one.ms < other.ms ? -1 : 1;
    return (one.seq > other.seq) - (one.seq < other.seq);
}

struct tree_slot {
    struct stream_id id;
    void *to;
};

struct tree_node {
    struct tree_node *previous, *next; /* of the same level; kept for the lowest only */
    uint32_t count, capacity;
    struct tree_slot slots[];
};

/* All zero is an empty one. Read `count` freely. */
struct tree {
    struct tree_node *root; /* NULL: empty */
    struct tree_node *last; /* at the right edge */
    uint64_t count;
    uint32_t height; /* levels above the lowest */
    size_t bytes;    /* of its nodes, as the allocator counts them */
};

/* A place in it, void after any change. */
struct tree_place {
    struct tree_node *node; /* NULL: there is none */
    uint32_t index;
};

static inline struct tree_slot *tree_slot(struct tree_place place) {
    return &place.node->slots[place.index];
}

struct tree_place tree_first(const struct tree *tree);
struct tree_place tree_last(const struct tree *tree);
/* The first id that is not below, or the last that is not above. */
struct tree_place tree_from(const struct tree *tree, struct stream_id id);
struct tree_place tree_until(const struct tree *tree, struct stream_id id);
struct tree_place tree_next(struct tree_place place);
struct tree_place tree_previous(struct tree_place place);
/* NULL if it isn't there. */
void *tree_get(const struct tree *tree, struct stream_id id);

/* Of an id that isn't there. false when out of memory: nothing has changed. */
bool tree_add(struct tree *tree, struct stream_id id, void *to);
/* Returns what it led to, or NULL if it wasn't there. */
void *tree_remove(struct tree *tree, struct stream_id id);

/* Takes out what the last id leads to and gives memory back on the way, for trees that are being freed;
 * nothing else is done with it any more. NULL: there is nothing left, and no memory. */
void *tree_drain(struct tree *tree);

/* How many nodes it has. Walks over all of them that aren't of the lowest level. */
uint64_t tree_nodes(const struct tree *tree);

#endif
