/* Doubly linked lists of objects: an object is in one list at most. List i's ends are the node objects +
 * i. */
#ifndef BENCH_POLICIES_LINKS_H
#define BENCH_POLICIES_LINKS_H

#include <stdlib.h>

#include "policy.h"

#define LINKS_NONE UINT32_MAX

struct links {
    uint32_t *next, *prev;
    uint32_t objects;
};

static inline struct links links_open(uint32_t objects, uint32_t lists) {
    struct links links = {.next = memory_take((size_t)objects + lists, sizeof(uint32_t)),
                          .prev = memory_take((size_t)objects + lists, sizeof(uint32_t)),
                          .objects = objects};
    for (uint32_t i = objects; i < objects + lists; i++) links.next[i] = links.prev[i] = i;
    return links;
}
static inline void links_close(struct links *links) {
    free(links->next);
    free(links->prev);
}
static inline void links_insert(struct links *links, uint32_t before, uint32_t object) {
    uint32_t after = links->next[before];
    links->next[object] = after;
    links->prev[object] = before;
    links->next[before] = links->prev[after] = object;
}
static inline void links_push(struct links *links, uint32_t list, uint32_t object) {
    links_insert(links, links->objects + list, object);
}
static inline void links_remove(struct links *links, uint32_t object) {
    links->next[links->prev[object]] = links->next[object];
    links->prev[links->next[object]] = links->prev[object];
}
static inline void links_move(struct links *links, uint32_t list, uint32_t object) {
    links_remove(links, object);
    links_push(links, list, object);
}
/* The object that was pushed first, or LINKS_NONE. */
static inline uint32_t links_last(const struct links *links, uint32_t list) {
    uint32_t last = links->prev[links->objects + list];
    return last < links->objects ? last : LINKS_NONE;
}
/* The neighbour that was pushed later, or LINKS_NONE. */
static inline uint32_t links_newer(const struct links *links, uint32_t object) {
    uint32_t newer = links->prev[object];
    return newer < links->objects ? newer : LINKS_NONE;
}

#endif
