/* A client's prefixes, in order, in one block of memory. No two of them overlap, but for the empty one, which
 * stands for all keys and may be there beside others. */
#ifndef SERVER_INTEREST_PREFIX_LIST_H
#define SERVER_INTEREST_PREFIX_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"

struct prefix_list {
    size_t bytes; /* of the block */
    uint32_t count;
    struct {
        size_t offset; /* in the block */
        uint32_t length;
    } at[];
};

static inline const char *prefix_at(const struct prefix_list *list, uint32_t index) {
    return (const char *)list + list->at[index].offset;
}

/* A list of those of `list` (or NULL) and these as well. NULL: no memory. */
struct prefix_list *prefix_list_with(const struct prefix_list *list, const struct bulk *more, uint32_t count);
struct prefix_list *prefix_list_copy(const struct prefix_list *list);
bool prefix_list_is_same(const struct prefix_list *one, const struct prefix_list *other);
bool prefix_list_has(const struct prefix_list *list, const char *bytes, size_t length);
/* Whether the key begins with one of them. */
bool prefix_list_matches(const struct prefix_list *list, const char *key, size_t length);

/* Keys in order (prefix_keys_sort), for those who look for the same ones with many lists. */
struct prefix_key {
    const char *bytes;
    size_t length;
    uint32_t place; /* the caller's */
};
void prefix_keys_sort(struct prefix_key *keys, uint32_t count);
/* The places of those of them that begin with one of the list, which hasn't the empty one, in no order.
 * Returns how many; there is room for all. */
uint32_t prefix_list_pick(const struct prefix_list *list, const struct prefix_key *keys, uint32_t count,
                          uint32_t *places);

/* The first of these that overlaps with one of the list (or NULL), or with another of these. */
struct prefix_overlap {
    bool is_any;
    bool is_listed; /* with one of the list */
    struct bulk prefix, other;
};
/* false: no memory. */
bool prefix_list_overlap(const struct prefix_list *list, const struct bulk *more, uint32_t count,
                         struct prefix_overlap *overlap);

#endif
