/* What is removed leaves its node smaller; a node that gets empty goes, and one that has become small enough
 * joins the one behind it. More isn't done to keep nodes full: streams lose what is oldest, and deliveries
 * are acknowledged about in order, so that whole nodes get empty. ("B-trees with relaxed balance": Kim Larsen
 * and Rolf Fagerberg, 1995, say why the height stays low all the same.) */
#include "tree.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"

/* With 24 bytes for the header and as many for each slot, sizes of 48, 96, 192, 384 and 768 bytes have no
 * waste. */
#define NODE_LEAST 1u
#define NODE_MOST 31u
/* Two neighbours that have no more than this together become one. */
#define JOIN_MOST 20u
/* What a journal (journal.h) keeps of each level at most. */
#define NOTES 12
#define KEPT (2 * sizeof(struct tree_node) * 4 + NODE_MOST * sizeof(struct tree_slot))
/* 15^16 ids are more than there is memory for. */
#define HEIGHT_MOST 16u

/* The way down to an id: at each level, the node and the slot. level[0] is the lowest. */
struct path {
    struct tree_place level[HEIGHT_MOST + 1];
};

static const struct tree_place nowhere = {NULL, 0};

static size_t node_size(uint32_t capacity) {
    return sizeof(struct tree_node) + capacity * sizeof(struct tree_slot);
}

static struct tree_node *node_create(uint32_t capacity) {
    struct tree_node *node = journal_malloc(node_size(capacity));
    if (node == NULL) return NULL;
    *node = (struct tree_node){.capacity = capacity};
    return node;
}

static void node_free(struct tree *tree, struct tree_node *node) {
    tree->bytes -= memory_size(node);
    journal_free(node);
}

/* Before the slots from that one on are written to, or the one behind the last is; or only the neighbours. */
static void keep_slots(struct tree_node *node, uint32_t index) {
    uint32_t end = node->count < node->capacity ? node->count + 1 : node->count;
    journal_keep(node, offsetof(struct tree_node, slots));
    if (index < end) journal_keep(&node->slots[index], (end - index) * sizeof node->slots[0]);
}

static void keep_header(struct tree_node *node) {
    if (node != NULL) journal_keep(node, offsetof(struct tree_node, slots));
}

/* ------------------------------------------------------------------ finding */

/* How many of its ids are below, or, if `counts_equal`, not above. */
static uint32_t count_below(const struct tree_node *node, struct stream_id id, bool counts_equal) {
    uint32_t low = 0, high = node->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = stream_id_compare(node->slots[middle].id, id);
        if (order < 0 || (order == 0 && counts_equal))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Which child an id belongs to. */
static uint32_t child_of(const struct tree_node *node, struct stream_id id) {
    uint32_t count = count_below(node, id, true);
    return count == 0 ? 0 : count - 1;
}

static struct tree_node *leaf_of(const struct tree *tree, struct stream_id id) {
    struct tree_node *node = tree->root;
    for (uint32_t level = tree->height; level > 0; level--) node = node->slots[child_of(node, id)].to;
    return node;
}

struct tree_place tree_first(const struct tree *tree) {
    struct tree_node *node = tree->root;
    if (node == NULL) return nowhere;
    for (uint32_t level = tree->height; level > 0; level--) node = node->slots[0].to;
    return (struct tree_place){node, 0};
}

struct tree_place tree_last(const struct tree *tree) {
    if (tree->last == NULL) return nowhere;
    return (struct tree_place){tree->last, tree->last->count - 1};
}

struct tree_place tree_next(struct tree_place place) {
    if (++place.index < place.node->count) return place;
    return (struct tree_place){place.node->next, 0};
}

struct tree_place tree_previous(struct tree_place place) {
    if (place.index > 0) return (struct tree_place){place.node, place.index - 1};
    struct tree_node *node = place.node->previous;
    return node == NULL ? nowhere : (struct tree_place){node, node->count - 1};
}

struct tree_place tree_from(const struct tree *tree, struct stream_id id) {
    if (tree->root == NULL) return nowhere;
    struct tree_node *leaf = leaf_of(tree, id);
    uint32_t index = count_below(leaf, id, false);
    return index < leaf->count ? (struct tree_place){leaf, index} : (struct tree_place){leaf->next, 0};
}

struct tree_place tree_until(const struct tree *tree, struct stream_id id) {
    if (tree->root == NULL) return nowhere;
    struct tree_node *leaf = leaf_of(tree, id);
    return tree_previous((struct tree_place){leaf, count_below(leaf, id, true)});
}

void *tree_get(const struct tree *tree, struct stream_id id) {
    struct tree_place place = tree_until(tree, id);
    bool is_there = place.node != NULL && stream_id_compare(tree_slot(place)->id, id) == 0;
    return is_there ? tree_slot(place)->to : NULL;
}

static void find_path(const struct tree *tree, struct stream_id id, struct path *path) {
    struct tree_node *node = tree->root;
    for (uint32_t level = tree->height; level > 0; level--) {
        path->level[level] = (struct tree_place){node, child_of(node, id)};
        node = tree_slot(path->level[level])->to;
    }
    path->level[0] = (struct tree_place){node, count_below(node, id, false)};
}

/* ------------------------------------------------------------------ adding */

static void slot_insert(struct tree_node *node, uint32_t index, struct tree_slot slot) {
    keep_slots(node, index);
    memmove(&node->slots[index + 1], &node->slots[index], (node->count - index) * sizeof slot);
    node->slots[index] = slot;
    node->count++;
}

static void link_behind(struct tree *tree, struct tree_node *node, struct tree_node *behind) {
    keep_header(node);
    keep_header(node->next);
    behind->previous = node;
    behind->next = node->next;
    if (node->next != NULL) node->next->previous = behind;
    node->next = behind;
    if (tree->last == node) tree->last = behind;
}

/* The link that points to the node is told where it is now. */
static bool node_grow(struct tree *tree, struct path *path, uint32_t level, uint32_t capacity) {
    struct tree_node *node = path->level[level].node;
    bool is_last = node == tree->last;
    size_t before = memory_size(node);
    struct tree_node *larger = journal_realloc(node, node_size(capacity));
    if (larger == NULL) return false;
    if (level < tree->height) journal_keep(tree_slot(path->level[level + 1]), sizeof(struct tree_slot));
    keep_header(larger->previous);
    keep_header(larger->next);
    node = larger;
    node->capacity = capacity;
    tree->bytes = tree->bytes - before + memory_size(node);
    path->level[level].node = node;
    if (level == tree->height)
        tree->root = node;
    else
        tree_slot(path->level[level + 1])->to = node;
    if (is_last) tree->last = node;
    if (node->previous != NULL) node->previous->next = node;
    if (node->next != NULL) node->next->previous = node;
    return true;
}

/* Makes room for one in the nodes of the path from the lowest level on: those that can grow do, the full ones
 * get a new node each into `made`. One more is for a new root. Returns how many were made, or -1 when out of
 * memory. */
static int make_nodes(struct tree *tree, struct path *path, struct tree_node *made[]) {
    int count = 0;
    uint32_t level = 0;
    for (; level <= tree->height; level++) {
        const struct tree_node *node = path->level[level].node;
        if (node->count < node->capacity) return count;
        if (node->capacity < NODE_MOST && node_grow(tree, path, level, node->capacity * 2 + 1)) return count;
        if (node->capacity < NODE_MOST) break;
        if ((made[count] = node_create(NODE_MOST)) == NULL) break;
        count++;
    }
    if (level > tree->height && (made[count] = node_create(3)) != NULL) return count + 1;
    while (count > 0) journal_free(made[--count]);
    return -1;
}

/* Half of a full node moves to the one behind; nothing at the right edge, where more is coming. */
static void node_split(struct tree *tree, struct tree_node *node, struct tree_node *behind, uint32_t level,
                       bool is_at_edge) {
    uint32_t kept = is_at_edge ? node->count : node->count / 2;
    keep_header(node);
    behind->count = node->count - kept;
    memcpy(behind->slots, &node->slots[kept], behind->count * sizeof node->slots[0]);
    node->count = kept;
    tree->bytes += memory_size(behind);
    if (level == 0) link_behind(tree, node, behind);
}

static void root_put(struct tree *tree, struct tree_node *root, struct tree_slot behind) {
    tree->bytes += memory_size(root);
    root->slots[0] = (struct tree_slot){STREAM_ID_LEAST, tree->root};
    root->slots[1] = behind;
    root->count = 2;
    tree->root = root;
    tree->height++;
    assert(tree->height <= HEIGHT_MOST && "there is no memory for so many");
}

static bool add_first(struct tree *tree, struct tree_slot slot) {
    struct tree_node *node = node_create(NODE_LEAST);
    if (node == NULL) return false;
    slot_insert(node, 0, slot);
    tree->root = tree->last = node;
    tree->bytes = memory_size(node);
    tree->count = 1;
    return true;
}

/* All of `made` are used, which the analyzer can't know. NOLINTBEGIN(clang-analyzer-unix.Malloc) */
bool tree_add(struct tree *tree, struct stream_id id, void *to) {
    struct path path;
    struct tree_node *made[HEIGHT_MOST + 2] = {NULL};
    struct tree_slot slot = {id, to};
    struct tree_node *last = tree->last;
    if (!journal_room(NOTES * (tree->height + 2), sizeof *tree + (tree->height + 2) * KEPT)) return false;
    journal_keep(tree, sizeof *tree);
    if (tree->root == NULL) return add_first(tree, slot);
    if (last->count < last->capacity && stream_id_compare(last->slots[last->count - 1].id, id) < 0) {
        slot_insert(last, last->count, slot);
        tree->count++;
        return true;
    }
    find_path(tree, id, &path);
    int count = make_nodes(tree, &path, made), used = 0;
    if (count < 0) return false;
    bool is_at_edge = path.level[0].node == tree->last && path.level[0].index == tree->last->count;
    tree->count++;
    for (uint32_t level = 0;; level++) {
        if (level > tree->height) {
            root_put(tree, made[used], slot);
            return true;
        }
        struct tree_node *node = path.level[level].node;
        uint32_t index = path.level[level].index + (level > 0); /* a child's new neighbour comes behind it */
        if (node->count < node->capacity) {
            slot_insert(node, index, slot);
            return true;
        }
        assert(used < count);
        struct tree_node *behind = made[used++];
        node_split(tree, node, behind, level, is_at_edge);
        if (index <= node->count && !is_at_edge)
            slot_insert(node, index, slot);
        else
            slot_insert(behind, index - node->count, slot);
        slot = (struct tree_slot){behind->slots[0].id, behind};
    }
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ------------------------------------------------------------------ removing */

static void slot_remove(struct tree_node *node, uint32_t index) {
    keep_slots(node, index);
    node->count--;
    memmove(&node->slots[index], &node->slots[index + 1], (node->count - index) * sizeof node->slots[0]);
}

static void unlink_leaf(struct tree *tree, struct tree_node *node) {
    keep_header(node->previous);
    keep_header(node->next);
    if (node->previous != NULL) node->previous->next = node->next;
    if (node->next != NULL) node->next->previous = node->previous;
    if (tree->last == node) tree->last = node->previous;
}

/* The node behind moves into this one, if that is possible without growing. Returns whether it is gone. */
static bool join(struct tree *tree, struct tree_node *node, struct tree_slot *behind, uint32_t level) {
    struct tree_node *other = behind->to;
    uint32_t count = node->count + other->count;
    if (count > JOIN_MOST || count > node->capacity) return false;
    journal_keep(node, node_size(node->capacity));
    if (level > 0) journal_keep(&other->slots[0], sizeof other->slots[0]);
    if (level > 0)
        other->slots[0].id = behind->id; /* its own may be above what is in it, as long as it stands first */
    memcpy(&node->slots[node->count], other->slots, other->count * sizeof other->slots[0]);
    node->count = count;
    if (level == 0) unlink_leaf(tree, other);
    node_free(tree, other);
    return true;
}

/* A root of one node has no use. */
static void lower_root(struct tree *tree) {
    while (tree->height > 0 && tree->root->count == 1) {
        struct tree_node *root = tree->root;
        tree->root = root->slots[0].to;
        tree->height--;
        node_free(tree, root);
    }
}

void *tree_remove(struct tree *tree, struct stream_id id) {
    struct path path;
    uint32_t height = tree->height; /* of the path */
    if (tree->root == NULL) return NULL;
    find_path(tree, id, &path);
    struct tree_place place = path.level[0];
    if (place.index == place.node->count || stream_id_compare(tree_slot(place)->id, id) != 0) return NULL;
    void *to = tree_slot(place)->to;
    journal_keep(tree, sizeof *tree);
    tree->count--;
    for (uint32_t level = 0;; level++) {
        struct tree_node *node = path.level[level].node;
        slot_remove(node, path.level[level].index);
        if (node->count == 0) {
            if (level == 0) unlink_leaf(tree, node);
            node_free(tree, node);
            if (level < height) continue;
            tree->root = NULL;
            tree->height = 0;
            return to;
        }
        if (level == height) break;
        struct tree_node *above = path.level[level + 1].node;
        uint32_t behind = path.level[level + 1].index + 1;
        if (behind >= above->count || !join(tree, node, &above->slots[behind], level)) break;
        path.level[level + 1].index = behind;
    }
    lower_root(tree);
    return to;
}

/* ------------------------------------------------------------------ as a whole */

/* The rightmost node of each level is emptied first. Parents may point to nodes that are gone, but only
 * behind what is left. */
void *tree_drain(struct tree *tree) {
    journal_keep(tree, sizeof *tree);
    while (tree->root != NULL) {
        struct tree_node *node = tree->root, *above = NULL;
        uint32_t level = tree->height;
        for (; level > 0 && node->count > 0; level--) {
            above = node;
            node = node->slots[node->count - 1].to;
        }
        keep_header(node);
        keep_header(above);
        if (node->count > 0) {
            tree->count--;
            return node->slots[--node->count].to;
        }
        if (above == NULL)
            tree->root = NULL;
        else
            above->count--;
        node_free(tree, node);
    }
    *tree = (struct tree){0};
    return NULL;
}

static uint64_t nodes_below(const struct tree_node *node, uint32_t level) {
    uint64_t count = 1;
    for (uint32_t i = 0; level > 0 && i < node->count; i++)
        count += nodes_below(node->slots[i].to, level - 1);
    return count;
}

uint64_t tree_nodes(const struct tree *tree) {
    return tree->root == NULL ? 0 : nodes_below(tree->root, tree->height);
}
