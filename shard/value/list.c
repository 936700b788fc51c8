#include "list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "folded.h"
#include "form.h"

/* No node with a limit on its count gets larger than this. */
#define COUNTED_BYTES 8192
/* What an element may take besides its bytes. */
#define ELEMENT_OVERHEAD 10

struct node {
    union {
        struct packed *packed;
        struct folded *folded;
    };
    uint32_t count;
    bool is_folded;
};

struct list {
    struct node *nodes; /* a ring */
    uint32_t first, length, capacity;
    uint64_t count;
    size_t bytes; /* of the packed ones */
};

/* Where an element is. */
struct spot {
    uint32_t node; /* counted from the first */
    uint64_t offset;
};

static struct list *list_of(const void *value) {
    return value_untag(value);
}
static bool is_large(const void *value) {
    return value_form(value) == VALUE_LARGE;
}

static struct node *node_at(const struct list *list, uint32_t index) {
    return &list->nodes[(list->first + index) & (list->capacity - 1)];
}

/* ------------------------------------------------------------------ what may have to come back */

/* Of an operation that moves so many nodes at most, besides those of its element. */
static bool room(const struct list *list, uint64_t moves) {
    size_t notes = 32 + (size_t)moves;
    return journal_room(notes, 8 * sizeof *list + notes * sizeof(struct node));
}

static void keep(struct list *list) {
    journal_keep(list, sizeof *list);
}

static void node_keep(struct node *node) {
    journal_keep(node, sizeof *node);
}

/* ------------------------------------------------------------------ how large a node gets */

struct limit {
    size_t bytes;
    uint64_t count;
};

static struct limit limit_now(void) {
    static const size_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    int64_t option = atomic_load_explicit(&value_limits.list_listpack_size, memory_order_relaxed);
    if (option >= 0) return (struct limit){COUNTED_BYTES, option == 0 ? 1 : (uint64_t)option};
    return (struct limit){sizes[option < -5 ? 4 : -option - 1], UINT64_MAX};
}

static bool node_fits(const struct node *node, struct text text) {
    struct limit limit = limit_now();
    return !node->is_folded && packed_length(node->packed) + text.length + ELEMENT_OVERHEAD <= limit.bytes &&
           node->count < limit.count;
}

/* ------------------------------------------------------------------ the ring */

static bool ring_grow(struct list *list) {
    uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
    struct node *nodes = journal_malloc(capacity * sizeof *nodes);
    if (nodes == NULL) return false;
    keep(list);
    for (uint32_t i = 0; i < list->length; i++) nodes[i] = *node_at(list, i);
    journal_free(list->nodes);
    list->nodes = nodes;
    list->first = 0;
    list->capacity = capacity;
    return true;
}

/* Makes a place for a node before the index-th; the nearer end makes way. */
static struct node *ring_insert(struct list *list, uint32_t index) {
    if (list->length == list->capacity && !ring_grow(list)) return NULL;
    keep(list);
    list->length++;
    if (index < list->length / 2) {
        list->first = (list->first - 1) & (list->capacity - 1);
        for (uint32_t i = 0; i <= index; i++) node_keep(node_at(list, i));
        for (uint32_t i = 0; i < index; i++) *node_at(list, i) = *node_at(list, i + 1);
    } else {
        for (uint32_t i = list->length - 1; i + 1 > index; i--) node_keep(node_at(list, i));
        for (uint32_t i = list->length - 1; i > index; i--) *node_at(list, i) = *node_at(list, i - 1);
    }
    return node_at(list, index);
}

static void ring_remove(struct list *list, uint32_t index) {
    keep(list);
    if (index < list->length / 2) {
        for (uint32_t i = index; i > 0; i--) node_keep(node_at(list, i));
        for (uint32_t i = index; i > 0; i--) *node_at(list, i) = *node_at(list, i - 1);
        list->first = (list->first + 1) & (list->capacity - 1);
    } else {
        for (uint32_t i = index; i + 1 < list->length; i++) node_keep(node_at(list, i));
        for (uint32_t i = index; i + 1 < list->length; i++) *node_at(list, i) = *node_at(list, i + 1);
    }
    list->length--;
}

static struct spot spot_of(const struct list *list, uint64_t index) {
    struct spot spot = {0, index};
    if (index <= list->count / 2) {
        while (spot.offset >= node_at(list, spot.node)->count)
            spot.offset -= node_at(list, spot.node++)->count;
        return spot;
    }
    uint64_t begin = list->count;
    for (spot.node = list->length; begin > index;) begin -= node_at(list, --spot.node)->count;
    spot.offset = index - begin;
    return spot;
}

/* ------------------------------------------------------------------ nodes, folded or not */

static const struct packed *node_read(const struct node *node) {
    return node->is_folded ? folded_read(node->folded) : node->packed;
}

static size_t node_bytes(const struct node *node) {
    return node->is_folded ? folded_bytes(node->folded) : packed_bytes(node->packed);
}

/* Before it is changed. false when out of memory: it is as it was. */
static bool node_unfold(struct list *list, struct node *node) {
    if (!node->is_folded) return true;
    struct packed *packed = packed_copy(folded_read(node->folded));
    if (packed == NULL) return false;
    keep(list);
    node_keep(node);
    list->bytes += packed_bytes(packed) - folded_bytes(node->folded);
    journal_free(node->folded);
    node->packed = packed;
    node->is_folded = false;
    return true;
}

/* If it is far enough from the ends, and that pays. Out of memory is harmless: it stays as it is. */
static void node_fold(struct list *list, uint32_t index) {
    uint32_t depth = value_limit(&value_limits.list_compress_depth);
    if (depth == 0 || index < depth || list->length <= depth || index >= list->length - depth) return;
    struct node *node = node_at(list, index);
    struct folded *folded = node->is_folded ? NULL : folded_create(node->packed);
    if (folded == NULL) return;
    keep(list);
    node_keep(node);
    list->bytes -= packed_bytes(node->packed) - folded_bytes(folded);
    journal_free(node->packed);
    node->folded = folded;
    node->is_folded = true;
}

/* A node has come to an end, which has moved another one away from it. */
static void fold_behind(struct list *list, bool is_front) {
    uint32_t depth = value_limit(&value_limits.list_compress_depth);
    if (list->length > depth) node_fold(list, is_front ? depth : list->length - 1 - depth);
}

/* ------------------------------------------------------------------ nodes */

static struct node *node_create(struct list *list, uint32_t index) {
    struct packed *packed = packed_create();
    struct node *node = packed == NULL ? NULL : ring_insert(list, index);
    if (node == NULL) {
        journal_free(packed);
        return NULL;
    }
    *node = (struct node){.packed = packed};
    list->bytes += packed_bytes(packed);
    return node;
}

static void node_free(struct list *list, uint32_t index) {
    struct node *node = node_at(list, index);
    keep(list);
    list->bytes -= node_bytes(node);
    list->count -= node->count;
    journal_free(node->packed);
    ring_remove(list, index);
}

static bool node_insert(struct list *list, struct node *node, uint64_t offset, struct text text) {
    if (!node_unfold(list, node)) return false;
    keep(list);
    node_keep(node);
    size_t before = packed_bytes(node->packed);
    uint32_t at = offset == node->count ? PACKED_END : packed_at(node->packed, (int64_t)offset);
    if (!packed_insert(&node->packed, at, text.data, text.length, NULL)) return false;
    list->bytes = list->bytes - before + packed_bytes(node->packed);
    node->count++;
    list->count++;
    return true;
}

struct stretch {
    uint64_t at, begin, end;
};

static bool is_in_stretch(void *context, const struct packed *packed, uint32_t at) {
    struct stretch *stretch = context;
    (void)packed;
    (void)at;
    uint64_t offset = stretch->at++;
    return offset >= stretch->begin && offset < stretch->end;
}

/* For want of memory to unfold it in. */
static void folded_node_remove(struct list *list, struct node *node, uint64_t offset, uint32_t count) {
    struct stretch stretch = {0, offset, offset + count};
    keep(list);
    node_keep(node);
    list->bytes -= folded_bytes(node->folded);
    node->count = folded_remove(&node->folded, is_in_stretch, &stretch);
    list->bytes += folded_bytes(node->folded);
    list->count -= count;
}

static void node_remove(struct list *list, uint32_t index, uint64_t offset, uint32_t count) {
    struct node *node = node_at(list, index);
    if (count == node->count) {
        node_free(list, index);
        return;
    }
    if (!node_unfold(list, node)) {
        folded_node_remove(list, node, offset, count);
        return;
    }
    keep(list);
    node_keep(node);
    size_t before = packed_bytes(node->packed);
    packed_remove(&node->packed, packed_at(node->packed, (int64_t)offset), count);
    list->bytes = list->bytes - before + packed_bytes(node->packed);
    node->count -= count;
    list->count -= count;
}

/* Elements from offset on go to a node of their own. */
static bool node_split(struct list *list, uint32_t index, uint64_t offset) {
    if (!node_unfold(list, node_at(list, index))) return false;
    struct node *rear = node_create(list, index + 1), *node = node_at(list, index);
    if (rear == NULL) return false;
    struct packed *copy = packed_copy(node->packed);
    if (copy == NULL) {
        node_free(list, index + 1);
        return false;
    }
    uint32_t count = node->count;
    keep(list);
    node_keep(node);
    node_keep(rear);
    list->bytes -= packed_bytes(node->packed) + packed_bytes(rear->packed);
    journal_free(rear->packed);
    rear->packed = copy;
    rear->count = count - (uint32_t)offset;
    packed_remove(&rear->packed, packed_first(rear->packed), (uint32_t)offset);
    packed_remove(&node->packed, packed_at(node->packed, (int64_t)offset), rear->count);
    node->count = (uint32_t)offset;
    list->bytes += packed_bytes(node->packed) + packed_bytes(rear->packed);
    return true;
}

/* ------------------------------------------------------------------ from form to form */

void *list_create(void) {
    return packed_create();
}

static bool enlarge(void **value) {
    struct packed *packed = *value;
    struct list *list = journal_calloc(1, sizeof *list);
    if (list == NULL || !ring_grow(list)) {
        journal_free(list);
        return false;
    }
    if (packed_count(packed) > 0) {
        list->nodes[list->length++] = (struct node){.packed = packed, .count = packed_count(packed)};
        list->count = packed_count(packed);
        list->bytes = packed_bytes(packed);
    } else {
        journal_free(packed);
    }
    *value = value_tag(list, VALUE_LARGE);
    return true;
}

/* What has shrunk to half a node needs no ring. */
static void settle(void **value) {
    if (!is_large(*value)) return;
    struct list *list = list_of(*value);
    struct limit limit = limit_now();
    if (list->length != 1) return;
    struct node *node = node_at(list, 0);
    if (!node_unfold(list, node)) return;
    if (packed_length(node->packed) > limit.bytes / 2 || node->count > limit.count / 2) return;
    *value = node->packed;
    journal_free(list->nodes);
    journal_free(list);
}

/* Out of memory is harmless: it becomes a row when it has to, or stays a long sequence. */
void list_expect(void **value, size_t more, uint64_t count) {
    if (is_large(*value)) return;
    struct limit limit = limit_now();
    if (packed_length(*value) + more > limit.bytes || packed_count(*value) + count > limit.count)
        enlarge(value);
}

/* ------------------------------------------------------------------ reading */

uint64_t list_count(const void *value) {
    return is_large(value) ? list_of(value)->count : packed_count(value);
}

void list_get(const void *value, uint64_t index, struct packed_text *text) {
    const struct packed *packed = value;
    struct spot spot = {0, index};
    if (is_large(value)) {
        spot = spot_of(list_of(value), index);
        packed = node_read(node_at(list_of(value), spot.node));
    }
    packed_get(packed, packed_at(packed, (int64_t)spot.offset), text);
}

/* Returns how many are left to visit; 0 also if visit wanted no more. */
static uint64_t packed_each(const struct packed *packed, uint32_t at, uint64_t count, bool is_backwards,
                            list_visitor *visit, void *context) {
    struct packed_text text;
    for (; at != PACKED_END && count > 0; count--) {
        packed_get(packed, at, &text);
        if (!visit(context, &text)) return 0;
        at = is_backwards ? packed_previous(packed, at) : packed_next(packed, at);
    }
    return count;
}

void list_each(const void *value, uint64_t index, uint64_t count, bool is_backwards, list_visitor *visit,
               void *context) {
    if (!is_large(value)) {
        packed_each(value, packed_at(value, (int64_t)index), count, is_backwards, visit, context);
        return;
    }
    const struct list *list = list_of(value);
    struct spot spot = spot_of(list, index);
    const struct packed *packed = node_read(node_at(list, spot.node));
    uint32_t at = packed_at(packed, (int64_t)spot.offset);
    while ((count = packed_each(packed, at, count, is_backwards, visit, context)) > 0) {
        if (is_backwards ? spot.node == 0 : spot.node + 1 == list->length) return;
        packed = node_read(node_at(list, is_backwards ? --spot.node : ++spot.node));
        at = is_backwards ? packed_last(packed) : packed_first(packed);
    }
}

/* ------------------------------------------------------------------ changing */

static bool large_push(struct list *list, bool is_front, struct text text) {
    uint32_t end = is_front || list->length == 0 ? 0 : list->length - 1;
    if (!room(list, 2)) return false;
    if (list->length > 0) node_unfold(list, node_at(list, end)); /* if not, there is another one */
    if (list->length > 0 && node_fits(node_at(list, end), text))
        return node_insert(list, node_at(list, end), is_front ? 0 : node_at(list, end)->count, text);
    uint32_t index = is_front ? 0 : list->length;
    struct node *node = node_create(list, index);
    if (node == NULL) return false;
    if (!node_insert(list, node, 0, text)) {
        node_free(list, index);
        return false;
    }
    fold_behind(list, is_front);
    return true;
}

bool list_push(void **value, bool is_front, struct text text) {
    if (is_large(*value)) return large_push(list_of(*value), is_front, text);
    struct packed *packed = *value;
    bool is_done =
        packed_insert(&packed, is_front ? packed_first(packed) : PACKED_END, text.data, text.length, NULL);
    *value = packed;
    return is_done;
}

bool list_set(void **value, uint64_t index, struct text text) {
    if (!is_large(*value)) {
        list_expect(value, text.length, 1);
        if (!is_large(*value)) {
            struct packed *packed = *value;
            bool is_done = packed_replace(&packed, packed_at(packed, (int64_t)index), text.data, text.length);
            *value = packed;
            return is_done;
        }
    }
    struct list *list = list_of(*value);
    struct spot spot = spot_of(list, index);
    struct node *node = node_at(list, spot.node);
    if (!room(list, 0) || !node_unfold(list, node)) return false;
    keep(list);
    node_keep(node);
    size_t before = packed_bytes(node->packed);
    if (!packed_replace(&node->packed, packed_at(node->packed, (int64_t)spot.offset), text.data, text.length))
        return false;
    list->bytes = list->bytes - before + packed_bytes(node->packed);
    node_fold(list, spot.node);
    return true;
}

static bool large_insert(struct list *list, uint64_t index, struct text text) {
    struct spot spot = spot_of(list, index);
    struct node *node = node_at(list, spot.node);
    if (!room(list, list->length) || !node_unfold(list, node)) return false;
    if (node_fits(node, text)) {
        if (!node_insert(list, node, spot.offset, text)) return false;
        node_fold(list, spot.node);
        return true;
    }
    if (spot.offset > 0) {
        if (!node_split(list, spot.node, spot.offset)) return false;
        spot.node++;
    }
    /* It may fit at the end of the node before; else it gets one of its own. */
    if (spot.node > 0 && node_fits(node_at(list, spot.node - 1), text))
        return node_insert(list, node_at(list, spot.node - 1), node_at(list, spot.node - 1)->count, text);
    struct node *made = node_create(list, spot.node);
    if (made == NULL) return false;
    if (node_insert(list, made, 0, text)) return true;
    node_free(list, spot.node);
    return false;
}

bool list_insert(void **value, uint64_t index, struct text text) {
    list_expect(value, text.length, 1);
    if (index == list_count(*value)) return list_push(value, false, text);
    if (is_large(*value)) return large_insert(list_of(*value), index, text);
    struct packed *packed = *value;
    bool is_done = packed_insert(&packed, packed_at(packed, (int64_t)index), text.data, text.length, NULL);
    *value = packed;
    return is_done;
}

void list_remove(void **value, uint64_t index, uint64_t count) {
    if (count == 0) return;
    if (!is_large(*value)) {
        struct packed *packed = *value;
        packed_remove(&packed, packed_at(packed, (int64_t)index), (uint32_t)count);
        *value = packed;
        return;
    }
    struct list *list = list_of(*value);
    struct spot spot = spot_of(list, index);
    while (count > 0) {
        uint64_t here = node_at(list, spot.node)->count - spot.offset, part = here < count ? here : count;
        bool is_whole = part == node_at(list, spot.node)->count;
        node_remove(list, spot.node, spot.offset, (uint32_t)part);
        count -= part;
        if (!is_whole) spot.node++;
        spot.offset = 0;
    }
    settle(value);
}

/* From one end of a packed sequence; *left counts down. Returns how many went. */
static uint64_t packed_remove_equal(struct packed **packed, struct text text, bool is_backwards,
                                    uint64_t *left) {
    uint64_t removed = 0;
    if (!is_backwards) {
        uint32_t at = packed_first(*packed);
        while (*left > 0 && (at = packed_find(*packed, at, text.data, text.length, 0)) != PACKED_END) {
            at = packed_remove(packed, at, 1);
            removed++;
            --*left;
        }
        return removed;
    }
    for (uint32_t at = packed_last(*packed), before; at != PACKED_END && *left > 0; at = before) {
        before = packed_previous(*packed, at);
        if (!packed_equals(*packed, at, text.data, text.length)) continue;
        packed_remove(packed, at, 1);
        removed++;
        --*left;
    }
    return removed;
}

struct matching {
    struct text text;
    uint64_t spared, left; /* the first so many that match stay, and of the others so many go */
};

static bool is_to_go(void *context, const struct packed *packed, uint32_t at) {
    struct matching *matching = context;
    if (matching->left == 0 || !packed_equals(packed, at, matching->text.data, matching->text.length))
        return false;
    if (matching->spared > 0) {
        matching->spared--;
        return false;
    }
    matching->left--;
    return true;
}

/* It stays folded: most nodes have none that match. */
static uint64_t folded_remove_equal(struct node *node, struct text text, bool is_backwards, uint64_t *left) {
    uint64_t matches = 0;
    const struct packed *packed = folded_read(node->folded);
    uint32_t at = packed_first(packed);
    for (; (at = packed_find(packed, at, text.data, text.length, 0)) != PACKED_END;
         at = packed_next(packed, at))
        matches++;
    uint64_t going = matches < *left ? matches : *left;
    if (going == 0) return 0;
    struct matching matching = {text, is_backwards ? matches - going : 0, going};
    folded_remove(&node->folded, is_to_go, &matching);
    *left -= going;
    return going;
}

uint64_t list_remove_equal(void **value, struct text text, int64_t count) {
    uint64_t left = count == 0 ? UINT64_MAX : count < 0 ? (uint64_t)-count : (uint64_t)count, removed = 0;
    if (!is_large(*value)) {
        struct packed *packed = *value;
        removed = packed_remove_equal(&packed, text, count < 0, &left);
        *value = packed;
        return removed;
    }
    struct list *list = list_of(*value);
    for (uint32_t visited = 0, length = list->length; visited < length && left > 0; visited++) {
        /* Nodes that went were before the next one, or behind it. */
        uint32_t index = count < 0 ? length - 1 - visited : visited - (length - list->length);
        struct node *node = node_at(list, index);
        keep(list);
        node_keep(node);
        size_t before = node_bytes(node);
        uint64_t went = node->is_folded ? folded_remove_equal(node, text, count < 0, &left)
                                        : packed_remove_equal(&node->packed, text, count < 0, &left);
        list->bytes = list->bytes - before + node_bytes(node);
        node->count -= (uint32_t)went;
        list->count -= went;
        removed += went;
        if (node->count == 0) node_free(list, index);
    }
    settle(value);
    return removed;
}

/* ------------------------------------------------------------------ what the keyspace must know */

static const char *encoding_name(const void *value) {
    return is_large(value) ? "quicklist" : "listpack";
}

static size_t bytes(const void *value) {
    if (!is_large(value)) return packed_bytes(value);
    const struct list *list = list_of(value);
    return memory_size(list) + memory_size(list->nodes) + list->bytes;
}

static bool free_some(void *value, size_t budget) {
    if (!is_large(value)) {
        free(value);
        return true;
    }
    struct list *list = list_of(value);
    for (; list->length > 0 && budget > 0; budget--) free(node_at(list, --list->length)->packed);
    if (list->length > 0) return false;
    free(list->nodes);
    free(list);
    return true;
}

static void *copy(const void *value) {
    if (!is_large(value)) return packed_copy(value);
    const struct list *list = list_of(value);
    struct list *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    made->nodes = malloc(list->capacity * sizeof *made->nodes);
    made->capacity = list->capacity;
    for (uint32_t i = 0; made->nodes != NULL && i < list->length; i++) {
        struct node node = *node_at(list, i);
        if (node.is_folded)
            node.folded = folded_copy(node.folded);
        else
            node.packed = packed_copy(node.packed);
        if (node.packed == NULL) break;
        made->nodes[made->length++] = node;
        made->bytes += node_bytes(&node);
    }
    made->count = list->count;
    if (made->nodes != NULL && made->length == list->length) return value_tag(made, VALUE_LARGE);
    free_some(value_tag(made, VALUE_LARGE), SIZE_MAX);
    return NULL;
}

const struct value_kind list_kind = {encoding_name, bytes, list_count, copy, free_some};
