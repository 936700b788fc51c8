/* shard/base/crowd.c against an array that knows which nodes are in; and its depth, whatever the order in
 * which they come. */
#include "tests/engine.h"

#include "shard/base/crowd.h"

#define NODES 2000

struct item {
    struct crowd_node node;
    char name[16];
    bool is_in;
};

static struct item items[NODES];

static const char *name_of(const void *item, size_t *length) {
    const struct item *named = item;
    *length = strlen(named->name);
    return named->name;
}

/* `orders` different ones. */
static void items_init(uint64_t orders) {
    for (uint64_t i = 0; i < NODES; i++) {
        snprintf(items[i].name, sizeof items[i].name, "%llu", (unsigned long long)i);
        atomic_init(&items[i].node.word, (uint64_t)(uintptr_t)&items[i] | UINT64_C(0xABCD) << 48);
        items[i].node.order = i * orders / NODES * (UINT64_MAX / orders);
        items[i].is_in = false;
    }
}

static struct crowd_node *add(struct crowd_node *root, uint64_t i) {
    items[i].is_in = true;
    return crowd_insert(root, name_of, &items[i].node);
}

static struct crowd_node *take(struct crowd_node *root, uint64_t i) {
    items[i].is_in = false;
    return crowd_remove(root, name_of, &items[i].node);
}

static struct crowd_node *find(struct crowd_node *root, uint64_t i) {
    return crowd_find(root, name_of, items[i].node.order, items[i].name, strlen(items[i].name));
}

static int depth(const struct crowd_node *root) {
    if (root == NULL) return 0;
    int left = depth(root->left), right = depth(root->right);
    assert_int_equal(root->size, crowd_size(root->left) + 1 + crowd_size(root->right));
    return 1 + (left > right ? left : right);
}

static bool check_order(void *context, struct crowd_node *node) {
    struct crowd_node **before = context;
    if (*before != NULL) assert_true((*before)->order <= node->order);
    *before = node;
    return true;
}

static bool count_nodes(void *context, struct crowd_node *node) {
    (void)node;
    ++*(uint64_t *)context;
    return true;
}

static void check(struct crowd_node *root) {
    uint64_t count = 0, visited = 0, seed = 1;
    struct crowd_node *before = NULL;
    for (uint64_t i = 0; i < NODES; i++) {
        assert_ptr_equal(find(root, i), items[i].is_in ? &items[i].node : NULL);
        count += items[i].is_in;
    }
    assert_int_equal(crowd_size(root), count);
    assert_true(depth(root) <= 28); /* 2.5 x the logarithm of 2000 */
    assert_true(crowd_visit(root, 0, UINT64_MAX, check_order, &before));
    crowd_visit(root, 0, UINT64_MAX, count_nodes, &visited);
    assert_int_equal(visited, count);
    uint64_t first = items[random_below(&seed, NODES)].node.order,
             last = items[random_below(&seed, NODES)].node.order, within = 0;
    visited = 0;
    for (uint64_t i = 0; i < NODES; i++)
        within += items[i].is_in && items[i].node.order >= first && items[i].node.order <= last;
    crowd_visit(root, first, last, count_nodes, &visited);
    assert_int_equal(visited, within);
    for (uint64_t i = 0; i < NODES; i += 97) {
        struct crowd_node *any = crowd_find_order(root, items[i].node.order);
        assert_true(any == NULL ? !items[i].is_in : any->order == items[i].node.order);
    }
}

static void what_is_in_is_found_and_no_path_is_long(void **state) {
    (void)state;
    uint64_t random = seed_take();
    static const uint64_t orders[] = {1, 7, NODES};
    for (size_t k = 0; k < 3; k++) {
        struct crowd_node *root = NULL;
        items_init(orders[k]);
        for (uint64_t i = 0; i < NODES; i++) { /* the worst for a tree without balance */
            root = add(root, i);
            if (i % 500 == 0) check(root);
        }
        check(root);
        assert_null(crowd_at(root, NODES - 1)->right);
        for (uint64_t i = 0; i < NODES / 2; i++) {
            root = take(root, i);
            if (i % 300 == 0) check(root);
        }
        check(root);
        for (int step = 0; step < 4 * NODES; step++) {
            uint64_t i = random_below(&random, NODES);
            root = items[i].is_in ? take(root, i) : add(root, i);
        }
        check(root);
        /* By number, and from the front: the same order. */
        for (struct crowd_node *first; root != NULL;) {
            struct crowd_node *expected = crowd_at(root, 0);
            root = crowd_take_first(root, &first);
            assert_ptr_equal(first, expected);
            ((struct item *)first)->is_in = false;
            if (crowd_size(root) % 400 == 0) check(root);
        }
    }
}

static bool stop_at_third(void *context, struct crowd_node *node) {
    (void)node;
    return ++*(int *)context < 3;
}

static void a_visit_ends_when_it_is_told_to(void **state) {
    (void)state;
    struct crowd_node *root = NULL;
    items_init(NODES);
    for (uint64_t i = 0; i < 100; i++) root = add(root, i);
    int visited = 0;
    assert_false(crowd_visit(root, 0, UINT64_MAX, stop_at_third, &visited));
    assert_int_equal(visited, 3);
    assert_true(crowd_visit(NULL, 0, UINT64_MAX, stop_at_third, &visited));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_is_found_and_no_path_is_long),
        cmocka_unit_test(a_visit_ends_when_it_is_told_to),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
