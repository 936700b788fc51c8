/* Shards that belong to threads: answers like the batch calls', order, many callers at once, and an orderly
 * end. */
#include "bench/owner/owner.h"

#include "tests/engine.h"

#include <errno.h>

static struct keyspace *cache;
static struct lane *lane;

static int open_cache(void **state) {
    (void)state;
    cache = keyspace_open(&(struct keyspace_options){.shards = 16, .lanes = 8});
    lane = lane_attach(cache);
    return cache == NULL || lane == NULL;
}

static int close_cache(void **state) {
    (void)state;
    lane_detach(lane);
    assert_int_equal(counts_of(cache).retired_bytes, 0);
    keyspace_close(cache);
    return 0;
}

#define KEYS 101

struct batch {
    char names[KEYS][16], values[KEYS][32], out[KEYS][32];
    struct latchkey_item items[KEYS];
    struct latchkey_query queries[KEYS];
    enum latchkey_result results[KEYS];
};

static void batch_init(struct batch *batch, const char *prefix, long number) {
    for (int i = 0; i < KEYS; i++) {
        size_t key_length = (size_t)snprintf(batch->names[i], sizeof batch->names[i], "%s%d", prefix, i);
        size_t value_length =
            (size_t)snprintf(batch->values[i], sizeof batch->values[i], "%ld of %d", number, i);
        batch->items[i] = (struct latchkey_item){.key = batch->names[i],
                                                 .key_length = key_length,
                                                 .value = batch->values[i],
                                                 .value_length = value_length};
        batch->queries[i] = (struct latchkey_query){.key = batch->names[i],
                                                    .key_length = key_length,
                                                    .out = batch->out[i],
                                                    .size = sizeof batch->out[i],
                                                    .length = -7};
    }
}

static bool batch_has(const struct batch *batch, int i) {
    return batch->queries[i].length == (ssize_t)batch->items[i].value_length &&
           memcmp(batch->out[i], batch->values[i], batch->items[i].value_length) == 0;
}

static void batch_drop(const struct batch *batch) {
    for (int i = 0; i < KEYS; i++) latchkey_delete(lane, batch->names[i], strlen(batch->names[i]));
}

static void owners_answer_like_the_batch_calls_however_many_they_are(void **state) {
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 7};
    struct batch batch;
    for (size_t at = 0; at < sizeof threads / sizeof threads[0]; at++) {
        struct owners *owners = owner_open(cache, threads[at]);
        assert_non_null(owners);
        for (size_t count = 0; count <= KEYS; count += 20) {
            batch_init(&batch, "k", (long)count);
            assert_int_equal(owner_set_many(owners, batch.items, count, batch.results), count);
            assert_int_equal(owner_get_many(owners, batch.queries, KEYS), count);
            for (int i = 0; i < KEYS; i++) {
                assert_int_equal(batch_has(&batch, i), (size_t)i < count);
                if ((size_t)i < count)
                    assert_int_equal(batch.results[i], LATCHKEY_OK);
                else
                    assert_int_equal(batch.queries[i].length, -1);
            }
            assert_int_equal(latchkey_get_many(lane, batch.queries, KEYS),
                             count); /* it is the same keyspace */
            batch_drop(&batch);
        }
        owner_close(owners);
    }
}

static void results_come_back_to_the_items_they_are_of(void **state) {
    (void)state;
    struct batch batch;
    struct owners *owners = owner_open(cache, 3);
    batch_init(&batch, "k", 1);
    for (int i = 0; i < KEYS; i += 3) assert_int_equal(latchkey_set(lane, &batch.items[i]), LATCHKEY_OK);
    batch_init(&batch, "k", 2);
    for (int i = 0; i < KEYS; i++) batch.items[i].only_if_absent = true;
    assert_int_equal(owner_set_many(owners, batch.items, KEYS, batch.results), KEYS - (KEYS + 2) / 3);
    assert_int_equal(owner_get_many(owners, batch.queries, KEYS), KEYS);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(batch.results[i], i % 3 == 0 ? LATCHKEY_REFUSED : LATCHKEY_OK);
        assert_int_equal(batch_has(&batch, i), i % 3 != 0);
    }
    assert_int_equal(owner_set_many(owners, batch.items, KEYS, NULL), 0);
    batch_drop(&batch);
    owner_close(owners);
}

static void of_two_items_with_one_key_the_later_stays(void **state) {
    (void)state;
    struct owners *owners = owner_open(cache, 4);
    struct latchkey_item items[40];
    char values[40][8], out[8] = "";
    for (int i = 0; i < 40; i++) {
        snprintf(values[i], sizeof values[i], "v%02d", i);
        items[i] = (struct latchkey_item){.key = "k", .key_length = 1, .value = values[i], .value_length = 3};
    }
    struct latchkey_query query = {.key = "k", .key_length = 1, .out = out, .size = sizeof out};
    for (size_t count = 1; count <= 40; count++) {
        assert_int_equal(owner_set_many(owners, items, count, NULL), count);
        assert_int_equal(owner_get_many(owners, &query, 1), 1);
        assert_string_equal(out, values[count - 1]);
    }
    assert_true(latchkey_delete(lane, "k", 1));
    owner_close(owners);
}

static void who_finds_no_lane_for_an_owner_opens_none(void **state) {
    (void)state;
    assert_null(owner_open(cache, 8)); /* eight lanes, and the test has one */
    assert_int_equal(errno, EAGAIN);
    struct owners *owners = owner_open(cache, 7); /* what was attached was given back */
    assert_non_null(owners);
    owner_close(owners);
}

struct caller {
    pthread_t thread;
    struct owners *owners;
    int number;
};

/* Each caller has keys of its own, and must always read what it wrote last. */
static void *call_often(void *argument) {
    struct caller *caller = argument;
    struct batch batch;
    char prefix[8];
    snprintf(prefix, sizeof prefix, "c%d.", caller->number);
    for (long round = 0; round < SCALED(2000, 100); round++) {
        batch_init(&batch, prefix, round);
        CHECK(owner_set_many(caller->owners, batch.items, KEYS, NULL) == KEYS);
        CHECK(owner_get_many(caller->owners, batch.queries, KEYS) == KEYS);
        for (int i = 0; i < KEYS; i++) CHECK(batch_has(&batch, i));
    }
    return NULL;
}

static void many_callers_each_read_what_they_wrote(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    struct caller callers[CALLERS];
    struct owners *owners = owner_open(cache, 3);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.owners = owners, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i].thread, NULL);
    owner_close(owners);
    assert_int_equal(size_of(lane, 0).keys, CALLERS * KEYS);
    for (int i = 0; i < CALLERS; i++) {
        struct batch batch;
        char prefix[8];
        snprintf(prefix, sizeof prefix, "c%d.", i);
        batch_init(&batch, prefix, 0);
        batch_drop(&batch);
    }
    assert_int_equal(size_of(lane, 0).keys, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_answer_like_the_batch_calls_however_many_they_are),
        cmocka_unit_test(results_come_back_to_the_items_they_are_of),
        cmocka_unit_test(of_two_items_with_one_key_the_later_stays),
        cmocka_unit_test(who_finds_no_lane_for_an_owner_opens_none),
        cmocka_unit_test(many_callers_each_read_what_they_wrote),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_cache, close_cache);
}
