/* Connections by their ids: found while they are there, in a few steps however many there are and whichever
 * ids a worker's have. */
#include "server/client/connection_ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/client/connection.h"

enum { COUNT = 100000 };

static struct connection *all;

static size_t longest_chain(const struct connection_ids *ids) {
    size_t longest = 0;
    for (size_t i = 0; i < (size_t)1 << ids->bits; i++) {
        size_t length = 0;
        for (const struct connection *at = ids->buckets[i]; at != NULL; at = at->id_next) length++;
        if (length > longest) longest = length;
    }
    return longest;
}

/* A worker among `step` that get clients in turn, or one that was there for a while. */
static void check(uint64_t first, uint64_t step) {
    struct connection_ids ids = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        all[i].task.session.id = first + i * step;
        connection_ids_add(&ids, &all[i]);
        assert_ptr_equal(connection_ids_find(&ids, all[i / 2].task.session.id), &all[i / 2]);
    }
    assert_true(((size_t)1 << ids.bits) * sizeof(struct connection *) <= 4 * COUNT);
    assert_in_range(longest_chain(&ids), 1, 12);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_ptr_equal(connection_ids_find(&ids, all[i].task.session.id), &all[i]);
    assert_null(connection_ids_find(&ids, 0));
    assert_null(connection_ids_find(&ids, first + COUNT * step));
    /* In another order than they came. */
    for (uint64_t i = 0; i < COUNT; i++) {
        struct connection *gone = &all[i * 7919 % COUNT];
        connection_ids_remove(&ids, gone);
        assert_null(connection_ids_find(&ids, gone->task.session.id));
        struct connection *other = &all[(i + 1) * 7919 % COUNT];
        if (i + 1 < COUNT) assert_ptr_equal(connection_ids_find(&ids, other->task.session.id), other);
    }
    assert_int_equal(ids.count, 0);
    assert_in_range(ids.bits, 0, 5); /* the memory went with them */
    connection_ids_free(&ids);
}

static void each_is_found_in_a_few_steps_whichever_ids_a_worker_has(void **unused) {
    static const uint64_t steps[] = {1, 2, 3, 64, 1000};
    (void)unused;
    all = calloc(COUNT, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) check(1 + i * 12345, steps[i]);
    free(all);
}

static void an_idle_client_stays_small(void **unused) {
    (void)unused;
    assert_true(sizeof(struct connection) <= 384); /* the allocator's next size is 448 */
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_in_a_few_steps_whichever_ids_a_worker_has),
        cmocka_unit_test(an_idle_client_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
