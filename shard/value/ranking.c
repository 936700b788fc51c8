/* Bayer and McCreight's tree (1972) in the form where all members are in the leaves. A node is split before
 * it is entered, if it is full, as Guibas and Sedgewick do it (1978), so that an insertion never has to go
 * back up. A node that has become small joins a neighbour if both fit well into one; what is left is freed
 * when it is empty. So the height is that of the splits, and a node is small only between larger ones. */
#include "ranking.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"

/* As many as fill an allocation of 512 bytes, and of 1024. */
#define LEAF_MOST 30u
#define INNER_MOST 31u
/* More levels than there can be members for. */
#define LEVELS_MOST 24
#define LENGTH_LONG 255u

struct slot {
    double score;
    struct ranked *item;
};

struct leaf {
    uint32_t count;
    struct leaf *previous, *next;
    struct slot slots[LEAF_MOST];
};

struct inner {
    uint32_t count;
    struct slot firsts[INNER_MOST]; /* the first member below each child */
    uint64_t members[INNER_MOST];
    void *children[INNER_MOST];
};

/* The way down to a leaf: on each level, counted from the leaves, the node and which of its children. */
struct path {
    struct inner *node[LEVELS_MOST];
    uint32_t index[LEVELS_MOST];
    struct leaf *leaf;
};

/* ------------------------------------------------------------------ items and their order */

struct ranked *ranked_create(double score, struct text name) {
    if (name.length > UINT32_MAX) return NULL;
    uint32_t length = (uint32_t)name.length;
    size_t header = length < LENGTH_LONG ? 1 : 5;
    struct ranked *item = journal_malloc(sizeof *item + header + length);
    if (item == NULL) return NULL;
    item->score = score;
    item->bytes[0] = (unsigned char)(header == 1 ? length : LENGTH_LONG);
    if (header == 5) memcpy(item->bytes + 1, &length, sizeof length);
    if (length > 0) memcpy(item->bytes + header, name.data, length);
    return item;
}

struct text ranked_name(const struct ranked *item) {
    if (item->bytes[0] != LENGTH_LONG) return (struct text){(const char *)item->bytes + 1, item->bytes[0]};
    uint32_t length;
    memcpy(&length, item->bytes + 1, sizeof length);
    return (struct text){(const char *)item->bytes + 5, length};
}

static int compare_names(struct text one, struct text other) {
    size_t common = one.length < other.length ? one.length : other.length;
    int order = common == 0 ? 0 : memcmp(one.data, other.data, common);
    if (order != 0) return order;
    return one.length < other.length ? -1 : one.length > other.length;
}

bool bound_is_behind(const struct bound *bound, double score, struct text name) {
    if (bound->has_score && score != bound->score) return score < bound->score;
    if (!bound->has_name) return bound->or_equal;
    int order = compare_names(name, bound->name);
    return order < 0 || (order == 0 && bound->or_equal);
}

/* The name is looked at only where it decides. */
static bool is_behind(const struct bound *bound, const struct slot *slot) {
    if (bound->has_score && slot->score != bound->score) return slot->score < bound->score;
    return bound->has_name ? bound_is_behind(bound, slot->score, ranked_name(slot->item)) : bound->or_equal;
}

/* How many of the slots are before the place. */
static uint32_t slots_below(const struct slot *slots, uint32_t count, const struct bound *bound) {
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = low + (count - low) / 2;
        if (is_behind(bound, &slots[middle]))
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

/* The child in which the place is: the last one that begins before it. */
static uint32_t child_for(const struct inner *inner, const struct bound *bound) {
    return slots_below(inner->firsts + 1, inner->count - 1, bound);
}

/* ------------------------------------------------------------------ nodes */

static void *node_create(struct ranking *ranking, size_t size) {
    void *node = journal_calloc(1, size);
    if (node != NULL) ranking->bytes += memory_size(node);
    return node;
}

static void node_free(struct ranking *ranking, void *node) {
    ranking->bytes -= memory_size(node);
    journal_free(node);
}

static uint32_t node_count(const void *node) {
    return *(const uint32_t *)node; /* the first field of both */
}

static void leaf_free(struct ranking *ranking, struct leaf *leaf) {
    if (leaf->previous != NULL) {
        journal_keep(&leaf->previous->next, sizeof(struct leaf *));
        leaf->previous->next = leaf->next;
    }
    if (leaf->next != NULL) {
        journal_keep(&leaf->next->previous, sizeof(struct leaf *));
        leaf->next->previous = leaf->previous;
    }
    node_free(ranking, leaf);
}

/* What a parent knows of a child, from the child. level: the child's. */
static void entry_refresh(struct inner *parent, uint32_t index, uint32_t level) {
    if (level == 0) {
        const struct leaf *leaf = parent->children[index];
        parent->firsts[index] = leaf->slots[0];
        parent->members[index] = leaf->count;
        return;
    }
    const struct inner *inner = parent->children[index];
    parent->firsts[index] = inner->firsts[0];
    parent->members[index] = 0;
    for (uint32_t i = 0; i < inner->count; i++) parent->members[index] += inner->members[i];
}

static void entries_move(struct inner *to, uint32_t at, const struct inner *from, uint32_t start,
                         uint32_t count) {
    memmove(&to->firsts[at], &from->firsts[start], count * sizeof *to->firsts);
    memmove(&to->members[at], &from->members[start], count * sizeof *to->members);
    memmove(&to->children[at], &from->children[start], count * sizeof *to->children);
}

/* Most changes behind a child's first member leave it as it is, and then there is nothing to keep. */
static void first_refresh(struct inner *parent, uint32_t index, const struct slot *first) {
    struct slot *known = &parent->firsts[index];
    if (known->item == first->item && known->score == first->score) return;
    journal_keep(known, sizeof *known);
    *known = *first;
}

static void entry_insert(struct inner *parent, uint32_t index, void *child, uint32_t level) {
    entries_move(parent, index + 1, parent, index, parent->count - index);
    parent->count++;
    parent->children[index] = child;
    entry_refresh(parent, index, level);
}

static void entry_remove(struct inner *parent, uint32_t index) {
    entries_move(parent, index, parent, index + 1, parent->count - index - 1);
    parent->count--;
}

/* ------------------------------------------------------------------ searching */

#define LINE 64

/* What a search of the node will look at comes from memory all at once, rather than line after line. */
static void node_prefetch(const void *node, uint32_t level) {
    size_t bytes = level == 0 ? sizeof(struct leaf) : offsetof(struct inner, children);
    for (size_t at = 0; at < bytes; at += LINE) __builtin_prefetch((const char *)node + at);
}

uint64_t ranking_below(const struct ranking *ranking, const struct bound *bound) {
    uint64_t below = 0;
    const void *node = ranking->root;
    if (node == NULL) return 0;
    for (uint32_t level = ranking->levels; level > 0; level--) {
        const struct inner *inner = node;
        uint32_t index = child_for(inner, bound);
        node = inner->children[index];
        node_prefetch(node, level - 1);
        for (uint32_t i = 0; i < index; i++) below += inner->members[i];
    }
    const struct leaf *leaf = node;
    return below + slots_below(leaf->slots, leaf->count, bound);
}

struct standing ranking_at(const struct ranking *ranking, uint64_t rank) {
    assert(rank < ranking->count);
    const void *node = ranking->root;
    for (uint32_t level = ranking->levels; level > 0; level--) {
        const struct inner *inner = node;
        uint32_t index = 0;
        while (rank >= inner->members[index]) rank -= inner->members[index++];
        node = inner->children[index];
        if (level > 1) node_prefetch(node, level - 1);
    }
    return (struct standing){node, (uint32_t)rank};
}

struct ranked *standing_item(struct standing standing) {
    return ((const struct leaf *)standing.leaf)->slots[standing.index].item;
}

void standing_prefetch(struct standing standing, uint64_t count, bool is_backwards) {
    const struct leaf *leaf = standing.leaf;
    uint32_t some = is_backwards ? standing.index + 1 : leaf->count - standing.index;
    if (count < some) some = (uint32_t)count;
    for (uint32_t i = 0; i < some; i++)
        __builtin_prefetch(leaf->slots[is_backwards ? standing.index - i : standing.index + i].item);
}

struct standing standing_next(struct standing standing) {
    const struct leaf *leaf = standing.leaf;
    if (standing.index + 1 < leaf->count) return (struct standing){leaf, standing.index + 1};
    return (struct standing){leaf->next, 0};
}

struct standing standing_previous(struct standing standing) {
    const struct leaf *leaf = standing.leaf;
    if (standing.index > 0) return (struct standing){leaf, standing.index - 1};
    return (struct standing){leaf->previous, leaf->previous == NULL ? 0 : leaf->previous->count - 1};
}

/* ------------------------------------------------------------------ insertion */

static bool is_full(const void *node, uint32_t level) {
    return node_count(node) == (level == 0 ? LEAF_MOST : INNER_MOST);
}

/* What comes at an end leaves the node there full; what comes in between halves it. */
enum split { SPLIT_HALF, SPLIT_LAST, SPLIT_FIRST };

static uint32_t split_point(enum split split, uint32_t count) {
    return split == SPLIT_LAST ? count - 1 : split == SPLIT_FIRST ? 1 : count / 2;
}

/* Moves the rear part of a full child to a new one behind it. The parent has room. level: the child's. */
static bool child_split(struct ranking *ranking, struct inner *parent, uint32_t index, uint32_t level,
                        enum split split) {
    void *rear = node_create(ranking, level == 0 ? sizeof(struct leaf) : sizeof(struct inner));
    if (rear == NULL) return false;
    journal_keep(parent, sizeof *parent);
    if (level == 0) {
        struct leaf *from = parent->children[index], *to = rear;
        uint32_t kept = split_point(split, from->count);
        journal_keep(from, offsetof(struct leaf, slots));
        if (from->next != NULL) journal_keep(&from->next->previous, sizeof(struct leaf *));
        to->count = from->count - kept;
        memcpy(to->slots, from->slots + kept, to->count * sizeof *to->slots);
        from->count = kept;
        to->previous = from;
        to->next = from->next;
        if (to->next != NULL) to->next->previous = to;
        from->next = to;
    } else {
        struct inner *from = parent->children[index], *to = rear;
        uint32_t kept = split_point(split, from->count);
        journal_keep(&from->count, sizeof from->count);
        to->count = from->count - kept;
        entries_move(to, 0, from, kept, to->count);
        from->count = kept;
    }
    entry_refresh(parent, index, level);
    entry_insert(parent, index + 1, rear, level);
    return true;
}

static bool root_create(struct ranking *ranking) {
    if (ranking->root == NULL) return (ranking->root = node_create(ranking, sizeof(struct leaf))) != NULL;
    struct inner *root = node_create(ranking, sizeof *root);
    if (root == NULL) return false;
    entry_insert(root, 0, ranking->root, ranking->levels);
    ranking->root = root;
    ranking->levels++;
    return true;
}

static enum split split_for(const struct ranking *ranking, const struct bound *bound) {
    uint64_t rank = ranking_below(ranking, bound);
    if (rank == ranking->count) return SPLIT_LAST;
    return rank == 0 ? SPLIT_FIRST : SPLIT_HALF;
}

/* The way to where the item belongs, with room in the leaf. What was split on a way that ends for want of
 * memory is as good a tree as before. */
static bool path_open(struct ranking *ranking, const struct bound *bound, struct path *path) {
    if ((ranking->root == NULL || is_full(ranking->root, ranking->levels)) && !root_create(ranking))
        return false;
    void *node = ranking->root;
    for (uint32_t level = ranking->levels; level > 0; level--) {
        struct inner *inner = node;
        uint32_t index = child_for(inner, bound);
        if (is_full(inner->children[index], level - 1)) {
            if (!child_split(ranking, inner, index, level - 1, split_for(ranking, bound))) return false;
            index = child_for(inner, bound);
        }
        path->node[level] = inner;
        path->index[level] = index;
        node = inner->children[index];
    }
    path->leaf = node;
    return true;
}

/* Of each level a node as a whole, and parts of its neighbours. */
bool ranking_room(const struct ranking *ranking) {
    size_t levels = ranking->levels + 2;
    return journal_room(2 * 8 * levels, 2 * levels * (sizeof(struct inner) + sizeof(struct leaf)));
}

bool ranking_insert(struct ranking *ranking, double score, struct ranked *item) {
    struct bound bound = {true, true, score, ranked_name(item), false};
    struct path path;
    if (!ranking_room(ranking)) return false;
    journal_keep(ranking, sizeof *ranking);
    if (!path_open(ranking, &bound, &path)) return false;
    struct leaf *leaf = path.leaf;
    uint32_t at = slots_below(leaf->slots, leaf->count, &bound);
    journal_keep(&leaf->count, sizeof leaf->count);
    journal_keep(&leaf->slots[at], (leaf->count - at + 1) * sizeof *leaf->slots);
    memmove(&leaf->slots[at + 1], &leaf->slots[at], (leaf->count - at) * sizeof *leaf->slots);
    leaf->slots[at] = (struct slot){score, item};
    leaf->count++;
    ranking->count++;
    const struct slot *first = &leaf->slots[0];
    for (uint32_t level = 1; level <= ranking->levels; level++) {
        struct inner *inner = path.node[level];
        journal_keep(&inner->members[path.index[level]], sizeof inner->members[0]);
        inner->members[path.index[level]]++;
        first_refresh(inner, path.index[level], first);
        first = &inner->firsts[0];
    }
    return true;
}

/* ------------------------------------------------------------------ removal */

static void children_join(struct ranking *ranking, struct inner *parent, uint32_t index, uint32_t level) {
    journal_keep(parent, sizeof *parent);
    if (level == 0) {
        struct leaf *into = parent->children[index], *from = parent->children[index + 1];
        journal_keep(into, sizeof *into);
        memcpy(&into->slots[into->count], from->slots, from->count * sizeof *from->slots);
        into->count += from->count;
        leaf_free(ranking, from);
    } else {
        struct inner *into = parent->children[index], *from = parent->children[index + 1];
        journal_keep(into, sizeof *into);
        entries_move(into, into->count, from, 0, from->count);
        into->count += from->count;
        node_free(ranking, from);
    }
    entry_remove(parent, index + 1);
    entry_refresh(parent, index, level);
}

static bool can_join(const struct inner *parent, uint32_t index, uint32_t level) {
    uint32_t most = level == 0 ? LEAF_MOST : INNER_MOST;
    return index + 1 < parent->count &&
           node_count(parent->children[index]) + node_count(parent->children[index + 1]) <= most * 3 / 4;
}

/* A child that has lost a member. */
static void child_settle(struct ranking *ranking, struct inner *parent, uint32_t index, uint32_t level) {
    void *child = parent->children[index];
    uint32_t count = node_count(child);
    if (count == 0) {
        journal_keep(parent, sizeof *parent);
        if (level == 0)
            leaf_free(ranking, child);
        else
            node_free(ranking, child);
        entry_remove(parent, index);
        return;
    }
    journal_keep(&parent->members[index], sizeof parent->members[0]);
    parent->members[index]--;
    first_refresh(parent, index,
                  level == 0 ? &((struct leaf *)child)->slots[0] : &((struct inner *)child)->firsts[0]);
    if (count > (level == 0 ? LEAF_MOST : INNER_MOST) / 4) return;
    if (can_join(parent, index, level))
        children_join(ranking, parent, index, level);
    else if (index > 0 && can_join(parent, index - 1, level))
        children_join(ranking, parent, index - 1, level);
}

static void path_find(const struct ranking *ranking, const struct bound *bound, struct path *path) {
    void *node = ranking->root;
    for (uint32_t level = ranking->levels; level > 0; level--) {
        struct inner *inner = node;
        path->node[level] = inner;
        path->index[level] = child_for(inner, bound);
        node = inner->children[path->index[level]];
    }
    path->leaf = node;
}

static void root_settle(struct ranking *ranking) {
    while (ranking->levels > 0 && node_count(ranking->root) == 1) {
        struct inner *root = ranking->root;
        ranking->root = root->children[0];
        ranking->levels--;
        node_free(ranking, root);
    }
    if (node_count(ranking->root) > 0) return;
    node_free(ranking, ranking->root);
    ranking->root = NULL;
    ranking->levels = 0;
}

void ranking_remove(struct ranking *ranking, double score, const struct ranked *item) {
    struct bound bound = {true, true, score, ranked_name(item), true};
    struct path path;
    journal_keep(ranking, sizeof *ranking);
    path_find(ranking, &bound, &path);
    struct leaf *leaf = path.leaf;
    uint32_t at = slots_below(leaf->slots, leaf->count, &bound) - 1;
    assert(leaf->slots[at].item == item);
    journal_keep(&leaf->count, sizeof leaf->count);
    journal_keep(&leaf->slots[at], (leaf->count - at) * sizeof *leaf->slots);
    memmove(&leaf->slots[at], &leaf->slots[at + 1], (leaf->count - at - 1) * sizeof *leaf->slots);
    leaf->count--;
    ranking->count--;
    for (uint32_t level = 1; level <= ranking->levels; level++)
        child_settle(ranking, path.node[level], path.index[level], level - 1);
    root_settle(ranking);
}

/* ------------------------------------------------------------------ the end */

/* From the end on: the last leaf, or a node that has lost its last child. */
bool ranking_free_some(struct ranking *ranking, size_t *budget) {
    for (; ranking->root != NULL && *budget > 0; --*budget) {
        struct inner *parent = NULL;
        void *node = ranking->root;
        for (uint32_t level = ranking->levels; level > 0 && node_count(node) > 0; level--) {
            parent = node;
            node = parent->children[parent->count - 1];
        }
        free(node);
        if (parent != NULL)
            parent->count--;
        else
            ranking->root = NULL;
    }
    return ranking->root == NULL;
}
