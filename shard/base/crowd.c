/* Trees balanced by weight (Nievergelt and Reingold, 1973), with the parameters that Hirai and Yamamoto
 * proved right ("Balancing weight-balanced trees", JFP 2011). A path has less than 2.5 times the logarithm of
 * the size, so that recursion does no harm. */
#include "crowd.h"

#include <assert.h>
#include <string.h>

/* A side may weigh so many times the other; beyond, a single rotation does if the inner grandchild weighs
 * less than so many times the outer one. */
#define SIDE_MOST 3
#define INNER_MOST 2
#define ADDRESS_MASK UINT64_C(0x0000FFFFFFFFFFFF)

static uint64_t weight(const struct crowd_node *node) {
    return crowd_size(node) + 1;
}

static void measure(struct crowd_node *node) {
    node->size = crowd_size(node->left) + 1 + crowd_size(node->right);
}

static struct crowd_node *rotate_left(struct crowd_node *node) {
    struct crowd_node *up = node->right;
    assert(up != NULL); /* it is the heavier side */
    node->right = up->left;
    up->left = node;
    measure(node);
    measure(up);
    return up;
}

static struct crowd_node *rotate_right(struct crowd_node *node) {
    struct crowd_node *up = node->left;
    assert(up != NULL);
    node->left = up->right;
    up->right = node;
    measure(node);
    measure(up);
    return up;
}

/* Of a node one of whose sides has just become one larger or smaller. */
static struct crowd_node *balance(struct crowd_node *node) {
    struct crowd_node *left = node->left, *right = node->right;
    if (weight(right) > SIDE_MOST * weight(left)) {
        if (weight(right->left) >= INNER_MOST * weight(right->right)) node->right = rotate_right(right);
        return rotate_left(node);
    }
    if (weight(left) > SIDE_MOST * weight(right)) {
        if (weight(left->right) >= INNER_MOST * weight(left->left)) node->left = rotate_left(left);
        return rotate_right(node);
    }
    measure(node);
    return node;
}

static const char *node_name(crowd_name *name, const struct crowd_node *node, size_t *length) {
    uint64_t word = atomic_load_explicit(&node->word, memory_order_acquire);
    return name((const void *)(uintptr_t)(word & ADDRESS_MASK), length);
}

/* Below 0 if that name comes before the node's. */
static int compare(uint64_t order, const char *data, size_t length, crowd_name *name,
                   const struct crowd_node *node) {
    if (order != node->order) return order < node->order ? -1 : 1;
    size_t present_length;
    const char *present = node_name(name, node, &present_length);
    if (length != present_length) return length < present_length ? -1 : 1;
    return length == 0 ? 0 : memcmp(data, present, length);
}

struct crowd_node *crowd_find(struct crowd_node *root, crowd_name *name, uint64_t order, const char *data,
                              size_t length) {
    while (root != NULL) {
        int side = compare(order, data, length, name, root);
        if (side == 0) return root;
        root = side < 0 ? root->left : root->right;
    }
    return NULL;
}

struct crowd_node *crowd_find_order(struct crowd_node *root, uint64_t order) {
    while (root != NULL && root->order != order) root = order < root->order ? root->left : root->right;
    return root;
}

static struct crowd_node *insert(struct crowd_node *at, crowd_name *name, struct crowd_node *node,
                                 const char *data, size_t length) {
    if (at == NULL) return node;
    if (compare(node->order, data, length, name, at) < 0)
        at->left = insert(at->left, name, node, data, length);
    else
        at->right = insert(at->right, name, node, data, length);
    return balance(at);
}

struct crowd_node *crowd_insert(struct crowd_node *root, crowd_name *name, struct crowd_node *node) {
    size_t length;
    const char *data = node_name(name, node, &length);
    node->left = node->right = NULL;
    node->size = 1;
    return insert(root, name, node, data, length);
}

struct crowd_node *crowd_take_first(struct crowd_node *root, struct crowd_node **first) {
    if (root->left == NULL) {
        *first = root;
        return root->right;
    }
    root->left = crowd_take_first(root->left, first);
    return balance(root);
}

/* What becomes of the node's place. */
static struct crowd_node *unite(struct crowd_node *left, struct crowd_node *right) {
    struct crowd_node *next;
    if (left == NULL) return right;
    if (right == NULL) return left;
    right = crowd_take_first(right, &next);
    next->left = left;
    next->right = right;
    return balance(next);
}

static struct crowd_node *remove_from(struct crowd_node *at, crowd_name *name, const struct crowd_node *node,
                                      const char *data, size_t length) {
    if (at == node) return unite(at->left, at->right);
    if (compare(node->order, data, length, name, at) < 0)
        at->left = remove_from(at->left, name, node, data, length);
    else
        at->right = remove_from(at->right, name, node, data, length);
    return balance(at);
}

struct crowd_node *crowd_remove(struct crowd_node *root, crowd_name *name, struct crowd_node *node) {
    size_t length;
    const char *data = node_name(name, node, &length);
    return remove_from(root, name, node, data, length);
}

struct crowd_node *crowd_at(struct crowd_node *root, uint64_t number) {
    for (;;) {
        uint64_t before = crowd_size(root->left);
        if (number == before) return root;
        if (number < before) {
            root = root->left;
        } else {
            number -= before + 1;
            root = root->right;
        }
    }
}

bool crowd_visit(struct crowd_node *root, uint64_t first, uint64_t last,
                 bool (*visit)(void *context, struct crowd_node *node), void *context) {
    if (root == NULL) return true;
    struct crowd_node *right = root->right;
    if (root->order >= first && !crowd_visit(root->left, first, last, visit, context)) return false;
    if (root->order >= first && root->order <= last && !visit(context, root)) return false;
    return root->order > last || crowd_visit(right, first, last, visit, context);
}
