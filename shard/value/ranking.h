/* An order of members, by score and then by name, in which places are counted: what a large sorted set has
 * beside its dictionary.
 *
 * A B+tree whose inner nodes know how many members are below each child, so that a rank is found, and told,
 * on the way down:
 *
 *     inner    +-------+-----------------------------------------------------------+
 *              | count | score and item of each child's first | members | children |
 *              +-------+-----------------------------------------------------------+
 *     leaf     +-------+----------------+---------------------------+
 *              | count | previous, next | score and item, in order  |
 *              +-------+----------------+---------------------------+
 *
 * Scores stand in the nodes, so that a search touches a node's few cache lines for each level, and items only
 * where scores are the same. Nodes split on the way down to an insertion, before anything is changed, and
 * full ones at an end stay full when members come in order.
 *
 * Items are the user's. The same one may be in twice with two scores, which is how a score changes: in at the
 * new place, out at the old one, and a failure to get memory changes nothing. Plain memory, as
 * dictionary.h. */
#ifndef SHARD_VALUE_RANKING_H
#define SHARD_VALUE_RANKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value.h"

/* A member: its score, its name's length in one byte, or 255 and four more, and its name. */
struct ranked {
    double score;
    unsigned char bytes[];
};

struct ranked *ranked_create(double score, struct text name); /* NULL when out of memory. free() frees one */
struct text ranked_name(const struct ranked *item);

struct ranking {
    void *root;      /* NULL: empty */
    uint32_t levels; /* above the leaves */
    uint64_t count;
    size_t bytes; /* of the nodes */
};

/* A place in the order: before or behind all that is equal to it in what it has. */
struct bound {
    bool has_score, has_name;
    double score;
    struct text name;
    bool or_equal;
};

/* Whether a member is before the place. */
bool bound_is_behind(const struct bound *bound, double score, struct text name);

/* How many members are before the place. */
uint64_t ranking_below(const struct ranking *ranking, const struct bound *bound);
/* Not there with that score (asserted). false when out of memory: nothing has changed. */
bool ranking_insert(struct ranking *ranking, double score, struct ranked *item);
/* Whether a journal that is open (journal.h) has room for what an insertion and a removal write over. */
bool ranking_room(const struct ranking *ranking);
/* It is there with that score (asserted). Never fails. */
void ranking_remove(struct ranking *ranking, double score, const struct ranked *item);

/* Where a member stands. Void after a change. */
struct standing {
    const void *leaf; /* NULL: nowhere */
    uint32_t index;
};
struct standing ranking_at(const struct ranking *ranking, uint64_t rank); /* below the count */
struct ranked *standing_item(struct standing standing);
/* Fetches up to `count` items from here on into the cache, as far as they are in the same leaf. */
void standing_prefetch(struct standing standing, uint64_t count, bool is_backwards);
struct standing standing_next(struct standing standing);
struct standing standing_previous(struct standing standing);

/* Frees up to *budget nodes, and takes what it used off it. Returns whether all are gone; until then it is to
 * be called again, and nothing else. */
bool ranking_free_some(struct ranking *ranking, size_t *budget);

#endif
