/* shard/keyspace.c: opening and closing, what listeners hear, the sums, scan positions, whole databases. The
 * listener here keeps a copy of the keyspace from what it is told alone, and in the end the two are equal: no
 * change passes by scope_edit and scope_changed. */
#include "tests/engine.h"

#include <errno.h>

#include "shard/base/memory.h"
#include "tests/mirror.h"

#define NOW 1000000

/* ------------------------------------------------------------------ opening */

static void odd_numbers_of_shards_are_refused(void **state) {
    (void)state;
    static const uint32_t wrong[] = {3, 5, 100, 65537, 131072, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        errno = 0;
        assert_null(keyspace_open(&(struct keyspace_options){.shards = wrong[i]}));
        assert_int_equal(errno, EINVAL);
    }
}

static void zeros_ask_for_the_usual(void **state) {
    (void)state;
    struct keyspace *keyspace = keyspace_open(&(struct keyspace_options){0});
    assert_non_null(keyspace);
    assert_int_equal(keyspace_shard_count(keyspace), 512);
    assert_int_equal(keyspace_database_count(keyspace), 16);
    struct lane *lanes[256];
    for (int i = 0; i < 256; i++) assert_non_null(lanes[i] = lane_attach(keyspace));
    assert_null(lane_attach(keyspace));
    for (int i = 0; i < 256; i++) lane_detach(lanes[i]);
    keyspace_close(keyspace);
}

static void every_shard_count_finds_its_keys_and_scans_them(void **state) {
    (void)state;
    for (uint32_t shards = 1; shards <= SCALED(65536, 4096); shards *= 4) {
        struct keyspace *keyspace = keyspace_with(shards, 1, shards);
        struct lane *lane = lane_attach(keyspace);
        const int count = 3000;
        char name[32];
        for (int i = 0; i < count; i++) {
            size_t length = (size_t)snprintf(name, sizeof name, "k%d", i);
            struct key key = keyspace_key(keyspace, 0, name, length);
            uint32_t shard = keyspace_shard_of(keyspace, key.hash);
            assert_true(shard < shards);
            assert_int_equal(keyspace_lock_number(keyspace, keyspace_lock(keyspace, shard)), shard);
            put(lane, 0, name, length, name, length, ENTRY_NO_EXPIRY, NOW);
        }
        for (uint32_t shard = 0; shard < shards; shard++) {
            uint64_t position = keyspace_shard_position(keyspace, shard);
            assert_int_equal(keyspace_position_shard(keyspace, position), shard);
            assert_int_equal(position >> 52, 0);
            assert_true((position == 0) == (shard == 0));
        }
        check_accounting(lane);
        assert_int_equal(size_of(lane, 0).keys, count);
        uint64_t sum = 0;
        for (uint32_t shard = 0; shard < shards; shard++) sum += keyspace_shard_keys(keyspace, shard, 0);
        assert_int_equal(sum, count);
        assert_int_equal(keyspace_shard_expiring(keyspace, 0, 0), 0);
        lane_detach(lane);
        keyspace_close(keyspace);
    }
}

/* A process that serves for ever opens one only, but a program may open many; a leak is the sanitizer's to
 * find. */
static void a_keyspace_is_closed_with_all_that_is_in_it(void **state) {
    (void)state;
    static char large[50000];
    for (int round = 0; round < 3; round++) {
        struct keyspace *keyspace = keyspace_with(8, 4, 3);
        struct lane *lane = lane_attach(keyspace);
        for (int i = 0; i < 1000 + round * 700; i++) {
            char name[32];
            size_t length = (size_t)snprintf(name, sizeof name, "k%d", i);
            put(lane, (uint32_t)i % 4, name, length, large, (size_t)(i % 50) * 1000,
                i % 2 == 0 ? NOW + 5 : ENTRY_NO_EXPIRY, NOW);
        }
        lane_detach(lane);
        keyspace_close(keyspace);
    }
}

/* ------------------------------------------------------------------ the copy */

static void a_listener_can_rebuild_the_keyspace(void **state) {
    (void)state;
    struct mirror *mirror = mirror_open(8, 4, seed_take());
    struct editor editor = {
        .mirror = mirror, .steps = SCALED(200000, 30000), .seed = mirror->seed, .names = 600};
    mirror_edit(&editor);
    mirror_compare(mirror);
    mirror_close(mirror);
}

static void several_threads_change_and_the_copy_stays_equal(void **state) {
    (void)state;
    enum { THREADS = 4 };
    struct mirror *mirror = mirror_open(8, 4, seed_take());
    struct editor editors[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        editors[i] = (struct editor){
            .mirror = mirror, .steps = SCALED(60000, 5000), .seed = mirror->seed + (uint64_t)i, .names = 400};
        assert_int_equal(pthread_create(&threads[i], NULL, mirror_edit, &editors[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    mirror_compare(mirror);
    mirror_close(mirror);
}

/* ------------------------------------------------------------------ whole databases */

static void a_flush_empties_one_database_and_gives_all_back(void **state) {
    (void)state;
    static char large[30000];
    struct keyspace *keyspace = keyspace_with(8, 3, 9);
    struct lane *lane = lane_attach(keyspace);
    char name[32];
    for (int i = 0; i < 5000; i++) {
        size_t length = (size_t)snprintf(name, sizeof name, "k%d", i);
        for (uint32_t database = 0; database < 2; database++)
            put(lane, database, name, length, large, i % 50 == 0 ? sizeof large : 5,
                i % 3 == 0 ? NOW + 5 : ENTRY_NO_EXPIRY, NOW);
    }
    keyspace_reclaim(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    struct keyspace_size before = size_of(lane, 1), other = size_of(lane, 0);
    uint64_t changes = counts_of(keyspace).changes;
    struct holding holding;
    hold_all(&holding, lane, NOW);
    assert_int_equal(keyspace_flush(&holding.scope, 1), 5000);
    assert_int_equal(holding.scope.scope.changes, 5000);
    hold_all_end(&holding);
    struct keyspace_size after = size_of(lane, 1);
    assert_int_equal(
        after.keys + after.expiring + after.expiry_sum + after.bytes + after.table_bytes + after.buckets, 0);
    assert_memory_equal(&other, &(struct keyspace_size[]){size_of(lane, 0)}[0], sizeof other);
    assert_int_equal(counts_of(keyspace).changes, changes + 5000);
    /* Still in memory, and counted. */
    assert_int_equal(counts_of(keyspace).retired_bytes, before.bytes + before.table_bytes);
    assert_int_equal(counts_of(keyspace).retired_objects, 5000);
    uint64_t pending = before.bytes + before.table_bytes;
    int slices = 0;
    while (lane_reclaim(lane)) {
        assert_true(counts_of(keyspace).retired_bytes < pending);
        pending = counts_of(keyspace).retired_bytes;
        slices++;
    }
    print_message("%d slices\n", slices);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    assert_int_equal(counts_of(keyspace).retired_objects, 0);
    hold_all(&holding, lane, NOW);
    assert_int_equal(keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES), 5000);
    hold_all_end(&holding);
    lane_detach(lane); /* which reclaims */
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    keyspace_close(keyspace);
}

/* A key that is in the second shard by the time that the first is held is not passed over. */
static void a_database_is_flushed_with_no_more_than_the_shards_that_have_a_table_of_it(void **state) {
    (void)state;
    struct keyspace *keyspace = keyspace_with(64, 3, 9);
    struct lane *lane = lane_attach(keyspace), *other = lane_attach(keyspace);
    struct holding holding;
    struct shard_set more;
    char names[2][16];
    struct key keys[2];
    for (int i = 0, n = 0; i < 2; n++) {
        size_t length = (size_t)snprintf(names[i], sizeof names[i], "k%d", n);
        keys[i] = keyspace_key(keyspace, 1, names[i], length);
        if (i == 0 || keyspace_shard_of(keyspace, keys[0].hash) != keyspace_shard_of(keyspace, keys[1].hash))
            i++;
    }
    shard_set_init(&more);
    put(lane, 1, keys[0].data, keys[0].length, "v", 1, ENTRY_NO_EXPIRY, NOW);
    put(lane, 0, keys[1].data, keys[1].length, "v", 1, ENTRY_NO_EXPIRY, NOW);
    hold_shards(&holding, lane, &keys[0], 1, NOW);
    assert_int_equal(keyspace_find_tables(keyspace, 2, &more, &more), 0);
    assert_int_equal(keyspace_find_tables(keyspace, 1, &holding.set, &more), 0);
    assert_int_equal(keyspace_find_tables(keyspace, 1, &more, &more), 1);
    assert_true(shard_set_has(&more, keyspace_shard_of(keyspace, keys[0].hash)));
    shard_set_clear(&more);
    put(other, 1, keys[1].data, keys[1].length, "v", 1, ENTRY_NO_EXPIRY, NOW);
    assert_int_equal(keyspace_find_tables(keyspace, 1, &holding.set, &more), 1);
    hold_end(&holding);
    hold_shards(&holding, lane, keys, 2, NOW);
    shard_set_clear(&more);
    assert_int_equal(keyspace_find_tables(keyspace, 1, &holding.set, &more), 0);
    assert_int_equal(keyspace_flush(&holding.scope, 1), 2);
    assert_int_equal(keyspace_find_tables(keyspace, 1, &more, &more), 0);
    hold_end(&holding);
    assert_int_equal(size_of(lane, 0).keys, 1);
    assert_int_equal(size_of(lane, 1).keys, 0);
    shard_set_free(&more);
    lane_detach(other);
    lane_detach(lane);
    keyspace_close(keyspace);
}

#define LOOKS SCALED(100000, 20000)
#define PLACES 256

struct moving {
    struct keyspace *keyspace;
    _Atomic bool is_over;
};

/* From shard to shard, where there is something else at each moment but always something somewhere. Tables
 * that are left go at once. */
static void *move_about(void *argument) {
    struct moving *moving = argument;
    struct lane *lane = lane_attach(moving->keyspace);
    for (int move = 1; !atomic_load(&moving->is_over); move++) {
        char from[16], to[16];
        size_t length = (size_t)snprintf(from, sizeof from, "k%d", (move - 1) * 7 % PLACES);
        struct key key = keyspace_key(moving->keyspace, 0, from, length);
        struct holding holding;
        length = (size_t)snprintf(to, sizeof to, "k%d", move * 7 % PLACES);
        put(lane, 0, to, length, "v", 1, ENTRY_NO_EXPIRY, NOW);
        if (keyspace_shard_of(moving->keyspace, keyspace_hash(moving->keyspace, to, length)) ==
            keyspace_shard_of(moving->keyspace, key.hash))
            continue;
        hold_shards(&holding, lane, &key, 1, NOW);
        keyspace_flush(&holding.scope, 0);
        hold_end(&holding);
        lane_reclaim(lane);
    }
    lane_detach(lane);
    return NULL;
}

static void tables_that_come_and_go_are_never_all_overlooked(void **state) {
    (void)state;
    struct moving moving = {.keyspace = keyspace_with(4096, 1, 9)};
    struct shard_set none, more;
    shard_set_init(&none);
    shard_set_init(&more);
    struct lane *lane = lane_attach(moving.keyspace);
    put(lane, 0, "k0", 2, "v", 1, ENTRY_NO_EXPIRY, NOW);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, move_about, &moving) == 0);
    for (int i = 0; i < LOOKS; i++) {
        lane_enter_waiting(lane);
        CHECK(keyspace_find_tables(moving.keyspace, 0, &none, &more) > 0);
        lane_leave(lane);
        shard_set_clear(&more);
    }
    atomic_store(&moving.is_over, true);
    pthread_join(thread, NULL);
    shard_set_free(&more);
    lane_detach(lane);
    keyspace_close(moving.keyspace);
}

static void swapped_databases_have_each_others_keys_and_sums(void **state) {
    (void)state;
    struct keyspace *keyspace = keyspace_with(4, 3, 9);
    struct lane *lane = lane_attach(keyspace);
    char name[32];
    for (int i = 0; i < 300; i++)
        put(lane, 0, name, (size_t)snprintf(name, sizeof name, "zero%d", i), "v", 1, NOW + i + 1, NOW);
    put(lane, 2, "two", 3, "v", 1, ENTRY_NO_EXPIRY, NOW);
    struct keyspace_size zero = size_of(lane, 0), two = size_of(lane, 2), now;
    struct holding holding;
    hold_all(&holding, lane, NOW);
    keyspace_swap(&holding.scope, 0, 2);
    keyspace_swap(&holding.scope, 1, 1);
    hold_all_end(&holding);
    now = size_of(lane, 2);
    assert_memory_equal(&now, &zero, sizeof zero);
    now = size_of(lane, 0);
    assert_memory_equal(&now, &two, sizeof two);
    assert_true(drop(lane, 0, "two", 3, NOW));
    assert_false(drop(lane, 0, "zero7", 5, NOW));
    assert_true(drop(lane, 2, "zero7", 5, NOW));
    check_accounting(lane);
    lane_detach(lane);
    keyspace_close(keyspace);
}

static void a_table_that_grows_shows_both_arrays(void **state) {
    (void)state;
    struct keyspace *keyspace = keyspace_with(1, 1, 9);
    struct lane *lane = lane_attach(keyspace);
    int both = 0, one = 0;
    char name[32];
    for (int i = 0; i < 3000; i++) {
        put(lane, 0, name, (size_t)snprintf(name, sizeof name, "k%d", i), "v", 1, ENTRY_NO_EXPIRY, NOW);
        struct keyspace_size size = size_of(lane, 0);
        assert_true(size.buckets > size.old_buckets);
        both += size.old_buckets != 0;
        one += size.old_buckets == 0;
        assert_true(size.table_bytes >= (size.buckets + size.old_buckets) * 64);
    }
    assert_true(both > 0 && one > 0);
    lane_detach(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    keyspace_close(keyspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_numbers_of_shards_are_refused),
        cmocka_unit_test(zeros_ask_for_the_usual),
        cmocka_unit_test(every_shard_count_finds_its_keys_and_scans_them),
        cmocka_unit_test(a_keyspace_is_closed_with_all_that_is_in_it),
        cmocka_unit_test(a_listener_can_rebuild_the_keyspace),
        cmocka_unit_test(several_threads_change_and_the_copy_stays_equal),
        cmocka_unit_test(a_flush_empties_one_database_and_gives_all_back),
        cmocka_unit_test(a_database_is_flushed_with_no_more_than_the_shards_that_have_a_table_of_it),
        cmocka_unit_test(tables_that_come_and_go_are_never_all_overlooked),
        cmocka_unit_test(swapped_databases_have_each_others_keys_and_sums),
        cmocka_unit_test(a_table_that_grows_shows_both_arrays),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
