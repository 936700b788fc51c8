/* Streams and their groups: random changes against plain arrays, and what is told of how far a group has
 * come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/stream_model.h"

#define STEPS 6000
#define STEPS_FEW 1200 /* where finding an entry takes time */

static uint64_t seed;

static uint32_t draw(void *context, uint32_t below) {
    uint64_t *state = context;
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 16) % below);
}

static void random_changes(int steps, int64_t entries, int64_t bytes) {
    uint64_t state = seed;
    struct stream_model *model = stream_model_create(draw, &state);
    assert_non_null(model);
    atomic_store(&value_limits.stream_node_entries, entries);
    atomic_store(&value_limits.stream_node_bytes, bytes);
    for (int i = 1; i <= steps; i++) {
        stream_model_step(model);
        if (i % 300 == 0) stream_model_check(model);
    }
    stream_model_free(model);
    atomic_store(&value_limits.stream_node_entries, 100);
    atomic_store(&value_limits.stream_node_bytes, 4096);
}

static void random_changes_leave_what_plain_arrays_have(void **unused) {
    (void)unused;
    random_changes(STEPS, 100, 4096);
}

static void and_so_they_do_with_a_node_for_every_entry(void **unused) {
    (void)unused;
    random_changes(STEPS, 1, 4096);
}

static void and_with_one_node_for_all(void **unused) {
    (void)unused;
    random_changes(STEPS_FEW, 0, 0);
}

static struct stream *stream_of(uint64_t entries) {
    struct stream *stream = stream_create();
    struct text texts[] = {{"field", 5}, {"value", 5}};
    assert_non_null(stream);
    for (uint64_t i = 1; i <= entries; i++)
        assert_true(stream_append(stream, (struct stream_id){i, 0}, texts, 1));
    return stream;
}

static void nodes_hold_as_many_entries_as_the_limit_says(void **unused) {
    (void)unused;
    struct stream *stream = stream_of(1001);
    assert_int_equal(stream->nodes.count, 11);
    assert_string_equal(stream_kind.encoding_name(stream), "stream");
    struct stream_trim trim = {.by = STREAM_TRIM_LENGTH, .is_approximate = true, .length = 250};
    assert_int_equal(stream_trim(stream, &trim), 700);
    assert_int_equal(stream->nodes.count, 4);
    trim = (struct stream_trim){.by = STREAM_TRIM_NOTHING};
    assert_int_equal(stream_trim(stream, &trim), 0);
    value_free(&stream_kind, stream);
}

static void a_node_is_gone_when_its_last_entry_is(void **unused) {
    (void)unused;
    struct stream *stream = stream_of(300);
    for (uint64_t i = 101; i <= 200; i++) assert_true(stream_remove(stream, (struct stream_id){i, 0}));
    assert_int_equal(stream->nodes.count, 2);
    assert_false(stream_remove(stream, (struct stream_id){150, 0}));
    assert_false(stream_remove(stream, (struct stream_id){0, 1}));
    assert_false(stream_remove(stream, (struct stream_id){1, 1}));
    for (uint64_t i = 1; i <= 300; i++) stream_remove(stream, (struct stream_id){i, 0});
    assert_int_equal(stream->count, 0);
    assert_int_equal(stream->nodes.bytes, 0);
    assert_int_equal(stream->bytes, memory_size(stream));
    value_free(&stream_kind, stream);
}

/* CPU time of looking for each of many ids, most of them of no entry, in a stream whose first and last
 * entries have so many fields. */
static clock_t time_looks(uint32_t fields) {
    struct text *texts = calloc((size_t)fields * 2, sizeof *texts);
    struct stream *stream = stream_create();
    assert_true(texts != NULL && stream != NULL);
    for (uint32_t i = 0; i < fields * 2; i++) texts[i] = (struct text){"f", 1};
    assert_true(stream_append(stream, (struct stream_id){1, 1}, texts, fields));
    assert_true(stream_append(stream, (struct stream_id){2, 1}, texts, fields));
    assert_true(stream_append(stream, (struct stream_id){3, 1}, texts, 1));
    assert_true(stream_remove(stream, (struct stream_id){3, 1}));
    clock_t began = clock();
    for (uint64_t i = 0; i < 5000; i++) {
        struct stream_id id = {1, i}, after = {2, i + 1};
        struct stream_reader reader;
        assert_int_equal(stream_has(stream, id), i == 1);
        assert_int_equal(stream_has_after(stream, after), false);
        stream_read(&reader, stream, after, after, false);
        assert_int_equal(stream_next(&reader), i == 0);
        assert_false(stream_remove(stream, (struct stream_id){1, i + 2}));
    }
    clock_t took = clock() - began;
    value_free(&stream_kind, stream);
    free(texts);
    return took;
}

static void ids_are_looked_for_without_going_over_an_entrys_many_fields(void **unused) {
    (void)unused;
    clock_t few = time_looks(1), least = CLOCKS_PER_SEC / 100;
    assert_true(time_looks(100000) < 20 * (few > least ? few : least));
}

static void ids_go_on_from_millisecond_to_millisecond(void **unused) {
    (void)unused;
    struct stream_id id = {5, UINT64_MAX};
    assert_true(stream_id_increment(&id));
    assert_true(id.ms == 6 && id.seq == 0);
    assert_true(stream_id_decrement(&id));
    assert_true(id.ms == 5 && id.seq == UINT64_MAX);
    id = STREAM_ID_MOST;
    assert_false(stream_id_increment(&id));
    id = STREAM_ID_LEAST;
    assert_false(stream_id_decrement(&id));
}

static int64_t lag_of(const struct stream *stream, const struct stream_group *group) {
    int64_t lag;
    return group_lag(stream, group, &lag) ? lag : -1;
}

static void the_lag_is_known_as_long_as_no_gap_is_ahead(void **unused) {
    (void)unused;
    struct stream *stream = stream_create();
    struct stream_group *group = group_create(stream, (struct text){"g", 1}, STREAM_ID_LEAST, STREAM_UNKNOWN);
    assert_int_equal(lag_of(stream, group), 0);
    value_free(&stream_kind, stream);
    stream = stream_of(10);
    group = group_create(stream, (struct text){"g", 1}, STREAM_ID_LEAST, STREAM_UNKNOWN);
    assert_int_equal(lag_of(stream, group), 10);
    group_advance(stream, group, (struct stream_id){1, 0});
    assert_int_equal(group->entries_read, 1);
    group_advance(stream, group, (struct stream_id){2, 0});
    assert_int_equal(group->entries_read, 2);
    assert_int_equal(lag_of(stream, group), 8);
    assert_true(stream_remove(stream, (struct stream_id){5, 0}));
    assert_true(stream_has_gap(stream, group->last));
    assert_int_equal(lag_of(stream, group), -1);
    group_advance(stream, group, (struct stream_id){4, 0});
    assert_int_equal(group->entries_read, STREAM_UNKNOWN);
    group_advance(stream, group, (struct stream_id){10, 0});
    assert_int_equal(group->entries_read, 10);
    assert_int_equal(lag_of(stream, group), 0);
    value_free(&stream_kind, stream);
}

static void how_many_were_added_is_known_at_the_edges(void **unused) {
    (void)unused;
    struct stream *stream = stream_of(10);
    assert_int_equal(stream_added_until(stream, STREAM_ID_LEAST), 0);
    assert_int_equal(stream_added_until(stream, (struct stream_id){1, 0}), 1);
    assert_int_equal(stream_added_until(stream, (struct stream_id){2, 0}), STREAM_UNKNOWN);
    assert_int_equal(stream_added_until(stream, (struct stream_id){10, 0}), 10);
    assert_int_equal(stream_added_until(stream, (struct stream_id){11, 0}), STREAM_UNKNOWN);
    struct stream_trim trim = {.by = STREAM_TRIM_LENGTH, .length = 4};
    assert_int_equal(stream_trim(stream, &trim), 6);
    assert_int_equal(stream_added_until(stream, (struct stream_id){3, 0}), 6);
    assert_int_equal(stream_added_until(stream, (struct stream_id){7, 0}), 7);
    trim.length = 0;
    assert_int_equal(stream_trim(stream, &trim), 4);
    assert_int_equal(stream_added_until(stream, (struct stream_id){3, 0}), 10);
    assert_false(stream_has_after(stream, STREAM_ID_LEAST));
    value_free(&stream_kind, stream);
}

static void what_is_after_an_id_is_what_is_still_there(void **unused) {
    (void)unused;
    struct stream *stream = stream_of(3);
    assert_true(stream_has_after(stream, (struct stream_id){2, 0}));
    assert_false(stream_has_after(stream, (struct stream_id){3, 0}));
    assert_true(stream_remove(stream, (struct stream_id){3, 0}));
    assert_false(stream_has_after(stream, (struct stream_id){2, 0}));
    assert_true(stream_has_after(stream, (struct stream_id){1, 5}));
    value_free(&stream_kind, stream);
}

/* ------------------------------------------------------------------ the tree alone */

static void a_tree_finds_neighbours_of_ids_in_any_order(void **unused) {
    (void)unused;
    static bool is_there[5000];
    static char values[5000];
    struct tree tree = {0};
    uint64_t state = seed;
    assert_null(tree_first(&tree).node);
    assert_null(tree_last(&tree).node);
    assert_null(tree_from(&tree, STREAM_ID_LEAST).node);
    assert_null(tree_until(&tree, STREAM_ID_MOST).node);
    assert_null(tree_remove(&tree, STREAM_ID_LEAST));
    assert_int_equal(tree_nodes(&tree), 0);
    memset(is_there, 0, sizeof is_there);
    for (int i = 0; i < 60000; i++) {
        uint32_t at = draw(&state, 5000);
        struct stream_id id = {at / 10, at % 10};
        bool grows = i < 20000 || draw(&state, 3) == 0;
        if (is_there[at] && !grows)
            assert_ptr_equal(tree_remove(&tree, id), &values[at]);
        else if (!is_there[at] && grows)
            assert_true(tree_add(&tree, id, &values[at]));
        else
            assert_ptr_equal(tree_get(&tree, id), is_there[at] ? &values[at] : NULL);
        is_there[at] = grows;
        if (i % 500 != 0) continue;
        uint32_t behind = at, before = at;
        while (behind < 5000 && !is_there[behind]) behind++;
        while (before < 5000 && !is_there[before]) before--;
        struct tree_place place = tree_from(&tree, id);
        assert_ptr_equal(place.node == NULL ? NULL : tree_slot(place)->to,
                         behind < 5000 ? &values[behind] : NULL);
        place = tree_until(&tree, id);
        assert_ptr_equal(place.node == NULL ? NULL : tree_slot(place)->to,
                         before < 5000 ? &values[before] : NULL);
        uint64_t count = 0;
        for (place = tree_last(&tree); place.node != NULL; place = tree_previous(place)) count++;
        assert_int_equal(count, tree.count);
        assert_int_equal(tree.bytes, model_node_bytes(tree.root, tree.height));
    }
    while (tree_drain(&tree) != NULL) continue;
    assert_null(tree.root);
}

static void a_tree_of_ascending_ids_is_full(void **unused) {
    (void)unused;
    struct tree tree = {0};
    for (uint64_t i = 0; i < 31 * 31 * 2; i++) assert_true(tree_add(&tree, (struct stream_id){i, 0}, &tree));
    assert_int_equal(tree.height, 2);
    assert_int_equal(tree_nodes(&tree), 31 * 2 + 2 + 1);
    while (tree_drain(&tree) != NULL) continue;
}

int main(int count, char **arguments) {
    seed = count > 1 ? strtoull(arguments[1], NULL, 10) : value_random(UINT64_MAX) | 1;
    printf("# seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_leave_what_plain_arrays_have),
        cmocka_unit_test(and_so_they_do_with_a_node_for_every_entry),
        cmocka_unit_test(and_with_one_node_for_all),
        cmocka_unit_test(nodes_hold_as_many_entries_as_the_limit_says),
        cmocka_unit_test(a_node_is_gone_when_its_last_entry_is),
        cmocka_unit_test(ids_are_looked_for_without_going_over_an_entrys_many_fields),
        cmocka_unit_test(ids_go_on_from_millisecond_to_millisecond),
        cmocka_unit_test(the_lag_is_known_as_long_as_no_gap_is_ahead),
        cmocka_unit_test(how_many_were_added_is_known_at_the_edges),
        cmocka_unit_test(what_is_after_an_id_is_what_is_still_there),
        cmocka_unit_test(a_tree_finds_neighbours_of_ids_in_any_order),
        cmocka_unit_test(a_tree_of_ascending_ids_is_full),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
