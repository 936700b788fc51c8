/* Dictionaries against an array that knows which of its items are in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/value/dictionary.h"
#include "shard/value/value.h"

#define MOST 20000

struct item {
    char name[16];
    uint64_t hash;
    uint32_t visits;
    bool is_in, stays;
};

static struct item items[MOST];

static const char *name_of(const void *item, size_t *length) {
    const struct item *named = item;
    *length = strlen(named->name);
    return named->name;
}

static void items_init(void) {
    for (int i = 0; i < MOST; i++) {
        snprintf(items[i].name, sizeof items[i].name, "item:%d", i);
        items[i].hash = value_hash(items[i].name, strlen(items[i].name));
        items[i].is_in = items[i].stays = false;
        items[i].visits = 0;
    }
}

static void put(struct dictionary *dictionary, int i) {
    assert_true(dictionary_insert(dictionary, items[i].hash, &items[i]));
    items[i].is_in = true;
}

static void take(struct dictionary *dictionary, int i) {
    void *found = dictionary_remove(dictionary, items[i].hash, items[i].name, strlen(items[i].name));
    assert_ptr_equal(found, items[i].is_in ? &items[i] : NULL);
    items[i].is_in = false;
}

static void assert_same(const struct dictionary *dictionary) {
    uint64_t count = 0;
    for (int i = 0; i < MOST; i++) {
        const void *found = dictionary_find(dictionary, items[i].hash, items[i].name, strlen(items[i].name));
        assert_ptr_equal(found, items[i].is_in ? &items[i] : NULL);
        count += items[i].is_in;
    }
    assert_int_equal(dictionary_count(dictionary), count);
}

static void what_was_put_in_is_found_until_it_is_taken_out(void **unused) {
    (void)unused;
    items_init();
    struct dictionary *dictionary = dictionary_create(name_of);
    size_t empty = dictionary_bytes(dictionary);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MOST; i++)
            if (!items[i].is_in && value_random(10) < 8) put(dictionary, i);
        assert_same(dictionary);
        for (int i = 0; i < MOST; i++)
            if (value_random(10) < 9) take(dictionary, i);
        assert_same(dictionary);
    }
    for (int i = 0; i < MOST; i++) take(dictionary, i);
    assert_int_equal(dictionary_count(dictionary), 0);
    assert_true(dictionary_bytes(dictionary) <= empty + 8192);
    for (int i = 0; i < MOST; i++) put(dictionary, i);
    assert_true(dictionary_bytes(dictionary) < MOST * 12); /* little more than a word for each */
    dictionary_free(dictionary);
}

static void one_item_takes_the_place_of_another(void **unused) {
    (void)unused;
    items_init();
    struct dictionary *dictionary = dictionary_create(name_of);
    for (int i = 0; i < 100; i++) put(dictionary, i);
    struct item other = items[50];
    dictionary_replace(dictionary, other.hash, &items[50], &other);
    assert_ptr_equal(dictionary_find(dictionary, other.hash, other.name, strlen(other.name)), &other);
    assert_int_equal(dictionary_count(dictionary), 100);
    dictionary_free(dictionary);
}

static void count_visit(void *context, void *item) {
    (void)context;
    ((struct item *)item)->visits++;
}

static void a_scan_visits_what_stays_whatever_comes_and_goes(void **unused) {
    (void)unused;
    for (int round = 0; round < 30; round++) {
        items_init();
        struct dictionary *dictionary = dictionary_create(name_of);
        int size = 1 + (int)value_random(round < 10 ? 40 : 5000);
        for (int i = 0; i < size; i++) {
            put(dictionary, i);
            items[i].stays = value_random(3) == 0;
        }
        bool grows = value_random(2) == 0;
        uint64_t position = 0;
        do {
            position = dictionary_scan(dictionary, position, 1 + value_random(20), count_visit, NULL);
            assert_int_equal(position >> 52, 0);
            for (int k = 0; k < 60; k++) {
                int i = (int)value_random(MOST);
                if (grows && !items[i].is_in) put(dictionary, i);
                if (!grows && items[i].is_in && !items[i].stays) take(dictionary, i);
            }
            if (!grows)
                for (int i = 0; i < size; i++)
                    if (items[i].is_in && !items[i].stays && value_random(4) == 0) take(dictionary, i);
        } while (position != 0);
        for (int i = 0; i < size; i++)
            if (items[i].stays) assert_true(items[i].visits >= 1);
        dictionary_free(dictionary);
    }
}

static void an_undisturbed_scan_visits_each_once(void **unused) {
    (void)unused;
    for (int size = 1; size < 3000; size = size * 3 / 2 + 1) {
        items_init();
        struct dictionary *dictionary = dictionary_create(name_of);
        for (int i = 0; i < size; i++) put(dictionary, i);
        uint64_t position = 0;
        do position = dictionary_scan(dictionary, position, 10, count_visit, NULL);
        while (position != 0);
        for (int i = 0; i < MOST; i++) assert_int_equal(items[i].visits, i < size);
        dictionary_free(dictionary);
    }
}

static bool count_until(void *context, void *item) {
    ((struct item *)item)->visits++;
    return --*(int *)context > 0;
}

static void each_goes_on_until_it_is_told_to_stop(void **unused) {
    (void)unused;
    items_init();
    struct dictionary *dictionary = dictionary_create(name_of);
    for (int i = 0; i < 1000; i++) put(dictionary, i);
    int left = 1001;
    dictionary_each(dictionary, count_until, &left);
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i].visits, 1);
    left = 10;
    dictionary_each(dictionary, count_until, &left);
    assert_int_equal(left, 0);
    dictionary_free(dictionary);
}

/* Chi-squared with 999 degrees of freedom: beyond 1250 once in ten million. */
static void items_are_drawn_evenly(void **unused) {
    (void)unused;
    items_init();
    struct dictionary *dictionary = dictionary_create(name_of);
    for (int i = 0; i < 1000; i++) put(dictionary, i);
    for (int i = 0; i < 100000; i++) ((struct item *)dictionary_random(dictionary))->visits++;
    double sum = 0;
    for (int i = 0; i < 1000; i++)
        sum += ((double)items[i].visits - 100) * ((double)items[i].visits - 100) / 100;
    assert_true(sum < 1250);
    dictionary_free(dictionary);
}

static void emptying_takes_each_out_once(void **unused) {
    (void)unused;
    static const int sizes[] = {0, 1, 17, 5000, MOST};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        items_init();
        struct dictionary *dictionary = dictionary_create(name_of);
        for (int i = 0; i < sizes[k]; i++) put(dictionary, i);
        for (struct item *item; (item = dictionary_take_any(dictionary)) != NULL;) item->visits++;
        for (int i = 0; i < MOST; i++) assert_int_equal(items[i].visits, i < sizes[k]);
        dictionary_free(dictionary);
    }
}

/* Names of one bucket, as somebody could choose them who has come to know the secret: more of them than a
 * bucket could have had at all. */
static void chosen_items_of_one_bucket_make_no_long_one(void **unused) {
    (void)unused;
    enum { CHOSEN = 3000 };
    items_init();
    for (int i = 0, candidate = 0; i < CHOSEN; candidate++) {
        snprintf(items[i].name, sizeof items[i].name, "some:%d", candidate);
        items[i].hash = value_hash(items[i].name, strlen(items[i].name));
        if ((items[i].hash & 1023) == 321) i++;
    }
    struct dictionary *dictionary = dictionary_create(name_of);
    size_t empty = dictionary_bytes(dictionary);
    for (int i = 0; i < CHOSEN; i++) put(dictionary, i);
    assert_same(dictionary);
    assert_true(dictionary_longest(dictionary) <= 128);
    uint64_t position = 0;
    do position = dictionary_scan(dictionary, position, 10, count_visit, NULL);
    while (position != 0);
    for (int i = 0; i < CHOSEN; i++) assert_int_equal(items[i].visits, 1);
    int left = CHOSEN + 1;
    dictionary_each(dictionary, count_until, &left);
    assert_int_equal(left, 1);
    for (int i = 0; i < 20 * CHOSEN; i++) ((struct item *)dictionary_random(dictionary))->visits++;
    for (int i = 0; i < CHOSEN; i++) assert_true(items[i].visits > 2); /* else once in some million runs */
    for (int i = 0; i < CHOSEN; i += 5) { /* to itself, as good as to any other of the name */
        dictionary_replace(dictionary, items[i].hash, &items[i], &items[i]);
        assert_ptr_equal(dictionary_find(dictionary, items[i].hash, items[i].name, strlen(items[i].name)),
                         &items[i]);
    }
    for (int i = 0; i < CHOSEN; i++)
        if (value_random(8) != 0) take(dictionary, i);
    assert_same(dictionary);
    for (int i = 0; i < CHOSEN; i++)
        if (items[i].is_in) take(dictionary, i);
    assert_true(dictionary_bytes(dictionary) <= empty + 4096);
    for (int i = 0; i < CHOSEN; i++) put(dictionary, i);
    for (int i = 0; i < CHOSEN; i++) items[i].visits = 0;
    for (struct item *item; (item = dictionary_take_any(dictionary)) != NULL;) item->visits++;
    for (int i = 0; i < CHOSEN; i++) assert_int_equal(items[i].visits, 1);
    dictionary_free(dictionary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_is_found_until_it_is_taken_out),
        cmocka_unit_test(one_item_takes_the_place_of_another),
        cmocka_unit_test(a_scan_visits_what_stays_whatever_comes_and_goes),
        cmocka_unit_test(an_undisturbed_scan_visits_each_once),
        cmocka_unit_test(each_goes_on_until_it_is_told_to_stop),
        cmocka_unit_test(items_are_drawn_evenly),
        cmocka_unit_test(emptying_takes_each_out_once),
        cmocka_unit_test(chosen_items_of_one_bucket_make_no_long_one),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
