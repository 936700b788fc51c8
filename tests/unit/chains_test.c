/* Chained tables: what is in them is found, however many come and go and whatever their hashes are. */
#include "server/base/chains.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT = 20000 };

struct thing {
    struct chain_link link;
    uint32_t number;
};

static struct thing things[COUNT];

static struct thing *find(const struct chains *chains, uint32_t hash, uint32_t number) {
    struct chain_link *link = chains_find(chains, hash);
    while (link != NULL && ((struct thing *)link)->number != number) link = link->next;
    return (struct thing *)link;
}

static uint32_t hash_of(uint32_t number) {
    return number * UINT32_C(2654435761);
}

static void insert(struct chains *chains, uint32_t number) {
    things[number].number = number;
    assert_true(chains_insert(chains, &things[number].link, hash_of(number)));
}

static void what_is_there_is_found_while_others_come_and_go(void **state) {
    (void)state;
    struct chains chains = {0};
    assert_null(chains_find(&chains, 1));
    for (uint32_t i = 0; i < COUNT; i++) {
        insert(&chains, i);
        assert_ptr_equal(find(&chains, hash_of(i / 2), i / 2), &things[i / 2]);
    }
    assert_int_equal(chains.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i += 2) chains_remove(&chains, &things[i].link);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct thing *found = find(&chains, hash_of(i), i);
        assert_true(i % 2 == 0 ? found == NULL : found == &things[i]);
    }
    for (uint32_t i = 1; i < COUNT; i += 2) chains_remove(&chains, &things[i].link);
    assert_null(chains.buckets);
}

static void chains_stay_short_and_buckets_follow_their_number(void **state) {
    (void)state;
    struct chains chains = {0};
    size_t longest = 0;
    for (uint32_t i = 0; i < COUNT; i++) insert(&chains, i);
    assert_in_range(chains.bucket_count, COUNT, 2 * COUNT);
    for (uint32_t i = 0; i < chains.bucket_count; i++) {
        size_t length = 0;
        for (const struct chain_link *link = chains.buckets[i]; link != NULL; link = link->next) length++;
        if (length > longest) longest = length;
    }
    assert_in_range(longest, 1, 12);
    for (uint32_t i = 0; i < COUNT - 10; i++) chains_remove(&chains, &things[i].link);
    assert_in_range(chains.bucket_count, 1, 40);
    chains_clear(&chains);
}

static void of_one_hash_there_may_be_any_number(void **state) {
    (void)state;
    struct chains chains = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        things[i].number = i;
        assert_true(chains_insert(&chains, &things[i].link, 7));
    }
    for (uint32_t i = 0; i < 1000; i++) assert_ptr_equal(find(&chains, 7, i), &things[i]);
    chains_clear(&chains);
}

static void a_link_takes_the_place_of_another(void **state) {
    (void)state;
    struct chains chains = {0};
    struct thing other = {.number = 5};
    for (uint32_t i = 0; i < 100; i++) insert(&chains, i);
    chains_replace(&chains, &things[5].link, &other.link);
    assert_ptr_equal(find(&chains, hash_of(5), 5), &other);
    assert_int_equal(chains.count, 100);
    chains_clear(&chains);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found_while_others_come_and_go),
        cmocka_unit_test(chains_stay_short_and_buckets_follow_their_number),
        cmocka_unit_test(of_one_hash_there_may_be_any_number),
        cmocka_unit_test(a_link_takes_the_place_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
