/* Tracked keys: who has read a key is found when it changes, once, and no other. */
#include "server/interest/tracked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/config.h"
#include "server/interest/prefix_list.h"

enum { KEYS = 5000, CLIENTS = 40 };

static char names[KEYS][16];

/* Few different hashes, so that bytes have to be compared. */
static struct key key_at(int index) {
    snprintf(names[index], sizeof names[index], "key:%d", index);
    uint64_t hash = (uint64_t)(index % 1000) * UINT64_C(0x9e3779b97f4a7c15);
    return (struct key){.data = names[index], .length = strlen(names[index]), .hash = hash};
}

static uint64_t counted_keys(void) {
    struct tracked_counts counts;
    tracked_count(&counts);
    return counts.keys;
}

static int set_up(void **state) {
    (void)state;
    atomic_store(&config.tracking_table_max_keys, 0);
    tracked_start();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tracked_stop();
    assert_int_equal(counted_keys(), 0);
    return 0;
}

static void who_has_read_a_key_is_in_its_record_once_and_in_order(void **state) {
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct key key = key_at(i);
        for (uint32_t client = CLIENTS; client > 0; client--)
            if ((uint32_t)i % client == 0) {
                assert_true(tracked_add(&key, client));
                assert_true(tracked_add(&key, client));
            }
    }
    assert_int_equal(counted_keys(), KEYS);
    for (int i = 0; i < KEYS; i++) {
        struct key key = key_at(i);
        struct tracked *record = tracked_take(&key);
        assert_non_null(record);
        uint32_t count, at = 0;
        size_t length;
        const uint32_t *clients = tracked_clients(record, &count);
        for (uint32_t client = 1; client <= CLIENTS; client++)
            if ((uint32_t)i % client == 0) assert_int_equal(clients[at++], client);
        assert_int_equal(count, at);
        assert_memory_equal(tracked_name(record, &length), key.data, key.length);
        assert_int_equal(length, key.length);
        tracked_free(record);
        assert_null(tracked_take(&key));
    }
    struct tracked_counts counts;
    tracked_count(&counts);
    assert_int_equal(counts.keys, 0);
    assert_int_equal(counts.clients, 0);
    assert_int_equal(counts.bytes, 0);
}

static void beyond_the_limit_another_key_goes(void **state) {
    enum { MOST = 100 };
    (void)state;
    atomic_store(&config.tracking_table_max_keys, MOST);
    for (int i = 0; i < KEYS; i++) {
        struct key key = key_at(i);
        assert_true(tracked_add(&key, 1));
        struct tracked *excess = tracked_take_excess(&key);
        assert_true((excess != NULL) == (i >= MOST));
        if (excess == NULL) continue;
        size_t length;
        const char *name = tracked_name(excess, &length);
        assert_true(length != key.length || memcmp(name, key.data, length) != 0);
        tracked_free(excess);
        assert_int_equal(counted_keys(), MOST);
    }
}

static void a_record_that_is_full_takes_no_more_until_it_is_taken(void **state) {
    (void)state;
    struct key key = key_at(1);
    for (uint32_t client = 1; client <= TRACKED_CLIENTS_MOST; client++)
        assert_true(tracked_add(&key, client));
    assert_true(tracked_add(&key, 1));
    assert_false(tracked_add(&key, TRACKED_CLIENTS_MOST + 1));
    tracked_free(tracked_take(&key));
    assert_true(tracked_add(&key, TRACKED_CLIENTS_MOST + 1));
    tracked_free(tracked_take(&key));
}

static void long_names_count_for_several(void **state) {
    enum { MOST = 100, LENGTH = 10000 };
    (void)state;
    atomic_store(&config.tracking_table_max_keys, MOST);
    char name[LENGTH];
    memset(name, 'n', sizeof name);
    for (int i = 0; i < KEYS; i++) {
        memcpy(name, &i, sizeof i);
        struct key key = {.data = name, .length = LENGTH, .hash = (uint64_t)i << 32 | (uint64_t)i};
        assert_true(tracked_add(&key, 1));
        struct tracked *excess = tracked_take_excess(&key);
        if (excess != NULL) tracked_free(excess);
        struct tracked_counts counts;
        tracked_count(&counts);
        assert_true(counts.bytes <= MOST * 256 + LENGTH + 256 && counts.keys <= 1 + MOST * 256 / LENGTH);
    }
}

static void what_is_forgotten_is_given_back_bit_by_bit(void **state) {
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct key key = key_at(i);
        assert_true(tracked_add(&key, 1));
    }
    tracked_clear();
    assert_int_equal(counted_keys(), 0);
    struct key key = key_at(1);
    assert_null(tracked_take(&key));
    assert_true(tracked_add(&key, 2));
    while (tracked_tidy()) continue;
    struct tracked *record = tracked_take(&key);
    assert_non_null(record);
    tracked_free(record);
}

/* ------------------------------------------------------------------ prefixes */

static struct bulk bulk_of(const char *text) {
    return (struct bulk){.data = (char *)(uintptr_t)text, .length = strlen(text)};
}

static void a_key_has_the_prefixes_that_it_begins_with(void **state) {
    (void)state;
    const struct bulk some[] = {bulk_of("user:"), bulk_of("a"), bulk_of("z")}, more[] = {bulk_of("b")};
    struct prefix_list *list = prefix_list_with(NULL, some, 3), *larger = prefix_list_with(list, more, 1);
    assert_int_equal(larger->count, 4);
    static const char *const with[] = {"user:", "user:1", "a", "ab", "b", "zz"}, *const without[] = {
                                                                                     "",  "user",  "use",
                                                                                     "c", "users", "Z"};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
        assert_true(prefix_list_matches(larger, with[i], strlen(with[i])));
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        assert_false(prefix_list_matches(larger, without[i], strlen(without[i])));
    free(list);
    free(larger);
}

static bool do_overlap(const struct bulk *one, const struct bulk *other) {
    size_t common = one->length < other->length ? one->length : other->length;
    return memcmp(one->data, other->data, common) == 0;
}

/* Against Redis's way, which compares each with each. */
static void the_first_overlap_is_found_whatever_the_order(void **state) {
    enum { ROUNDS = 20000, MOST = 6 };
    (void)state;
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        char texts[MOST][5];
        struct bulk bulks[MOST];
        uint32_t count = (uint32_t)rand() % MOST + 1;
        for (uint32_t i = 0; i < count; i++) {
            size_t length = (size_t)rand() % 4 + (rand() % 8 != 0);
            for (size_t at = 0; at < length; at++) texts[i][at] = (char)('a' + rand() % 3);
            texts[i][length] = '\0';
            bulks[i] = bulk_of(texts[i]);
        }
        uint32_t one = count, other = count;
        for (uint32_t i = 0; i < count && one == count; i++)
            for (uint32_t j = i + 1; j < count && one == count; j++)
                if (do_overlap(&bulks[i], &bulks[j])) {
                    one = i;
                    other = j;
                }
        struct prefix_overlap overlap;
        assert_true(prefix_list_overlap(NULL, bulks, count, &overlap));
        assert_int_equal(overlap.is_any, one < count);
        if (!overlap.is_any) {
            struct prefix_list *list = prefix_list_with(NULL, bulks, count);
            assert_true(prefix_list_overlap(list, &bulks[count - 1], 1, &overlap));
            assert_true(overlap.is_any && overlap.is_listed);
            free(list);
            continue;
        }
        assert_false(overlap.is_listed);
        assert_ptr_equal(overlap.prefix.data, bulks[one].data);
        assert_ptr_equal(overlap.other.data, bulks[other].data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_read_a_key_is_in_its_record_once_and_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(beyond_the_limit_another_key_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_that_is_full_takes_no_more_until_it_is_taken, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(long_names_count_for_several, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_forgotten_is_given_back_bit_by_bit, set_up, tear_down),
        cmocka_unit_test(a_key_has_the_prefixes_that_it_begins_with),
        cmocka_unit_test(the_first_overlap_is_found_whatever_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
