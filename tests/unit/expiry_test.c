/* shard/expiry.c and the lazy half in shard/scope/: an expired key is absent at once, removed by who may,
 * gone from memory after some slices, and nothing goes too early. */
#include "tests/engine.h"

#include <sched.h>

#define NOW 1000000
#define SHARDS 16
#define DATABASES 3

static struct keyspace *keyspace;
static struct lane *lane, *other_lane;
static _Atomic uint64_t expired_told, early;
static int64_t told_now; /* the time of the scopes in use */

static void note_changed(void *context, struct write_scope *scope, const struct key *key,
                         const struct entry *entry, enum event event, bool is_new) {
    (void)context;
    (void)scope;
    (void)key;
    (void)entry;
    (void)is_new;
    if (event == EVENT_EXPIRED) atomic_fetch_add(&expired_told, 1);
}

/* Called with the value before it goes: the one that an expiry removes is due. */
static void note_before(void *context, struct write_scope *scope, const struct key *key,
                        const struct entry *entry) {
    (void)context;
    (void)scope;
    (void)key;
    if (entry != NULL && entry_expiry(entry) != ENTRY_NO_EXPIRY && entry_expiry(entry) > told_now)
        atomic_fetch_add(&early, 1);
}

static _Atomic uint64_t missed;

static void note_mentioned(void *context, const struct scope *scope, const struct key *key,
                           enum event event) {
    (void)context;
    (void)scope;
    (void)key;
    if (event == EVENT_KEYMISS) atomic_fetch_add(&missed, 1);
}

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(SHARDS, DATABASES, 21);
    keyspace_listen(keyspace, &(struct keyspace_listener){.before = note_before,
                                                          .changed = note_changed,
                                                          .mentioned = note_mentioned});
    lane = lane_attach(keyspace);
    other_lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    lane_detach(other_lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    keyspace_close(keyspace);
    return 0;
}

static int start_over(void **state) {
    (void)state;
    struct holding holding;
    hold_all(&holding, lane, NOW);
    keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES);
    hold_all_end(&holding);
    keyspace_reclaim(lane);
    keyspace_reclaim(other_lane);
    atomic_store(&expired_told, 0);
    return 0;
}

static void put_number(uint32_t database, uint64_t number, int64_t expiry) {
    char name[32];
    put(lane, database, name, (size_t)snprintf(name, sizeof name, "key:%llu", (unsigned long long)number),
        "value", 5, expiry, NOW);
}

static bool slice(struct lane *by, int64_t now, int64_t budget) {
    lane_enter_waiting(by);
    bool is_cut_short = keyspace_expire_slice(by, now, budget);
    lane_leave(by);
    lane_reclaim(by);
    return is_cut_short;
}

static uint64_t keys_everywhere(void) {
    uint64_t keys = 0;
    for (uint32_t database = 0; database < DATABASES; database++) keys += size_of(lane, database).keys;
    return keys;
}

static uint64_t expiring_everywhere(void) {
    uint64_t expiring = 0;
    for (uint32_t database = 0; database < DATABASES; database++)
        expiring += size_of(lane, database).expiring;
    return expiring;
}

/* As many slices as it takes; far more than it should fails. */
static int slices_until(uint64_t keys, int64_t now) {
    int slices = 0;
    while (keys_everywhere() > keys) {
        assert_true(slices++ < 1000);
        slice(lane, now, 1000000);
    }
    return slices;
}

/* ------------------------------------------------------------------ tests */

static void expired_key_is_absent_before_it_is_removed(void **state) {
    (void)state;
    put_number(0, 1, NOW + 100);
    struct key key = keyspace_key(keyspace, 0, "key:1", 5);
    for (int64_t now = NOW + 99; now <= NOW + 101; now++) {
        struct shard_set set;
        struct read_scope scope;
        struct rwlock *busy;
        shard_set_init(&set);
        shard_set_add(&set, keyspace_shard_of(keyspace, key.hash));
        assert_true(lane_enter(lane));
        assert_true(scope_try_read(&scope, lane, &set, now, &busy));
        assert_int_equal(scope_read(&scope, &key) != NULL, now == NOW + 99);
        assert_int_equal(scope_peek(&scope, &key) != NULL, now == NOW + 99);
        scope_end_read(&scope);
        lane_leave(lane);
    }
    assert_int_equal(keys_everywhere(), 1); /* still in memory */
    assert_int_equal(atomic_load(&expired_told), 0);
}

static void who_holds_the_shard_exclusively_removes_it_and_tells(void **state) {
    (void)state;
    put_number(0, 1, NOW + 100);
    assert_true(!drop(lane, 0, "key:1", 5, NOW + 100));
    assert_int_equal(keys_everywhere(), 0);
    assert_int_equal(atomic_load(&expired_told), 1);
    assert_true(!drop(lane, 0, "key:1", 5, NOW + 101));
    assert_int_equal(atomic_load(&expired_told), 1);
}

static void slices_remove_all_that_has_lapsed_and_nothing_else(void **state) {
    (void)state;
    uint64_t random = seed_take(), lapsed = 0, all = SCALED(30000, 6000);
    for (uint64_t i = 0; i < all; i++) {
        int64_t expiry = ENTRY_NO_EXPIRY;
        if (random_below(&random, 4) != 0) expiry = NOW + 1 + (int64_t)random_below(&random, 2000);
        lapsed += expiry != ENTRY_NO_EXPIRY && expiry <= NOW + 1000;
        put_number((uint32_t)random_below(&random, DATABASES), i, expiry);
    }
    uint64_t before = counts_of(keyspace).expired_actively;
    told_now = NOW + 1000;
    atomic_store(&early, 0);
    print_message("%d slices\n", slices_until(all - lapsed, NOW + 1000));
    slice(lane, NOW + 1000, 1000000);
    assert_int_equal(keys_everywhere(), all - lapsed);
    assert_int_equal(atomic_load(&expired_told), lapsed);
    assert_int_equal(atomic_load(&early), 0);
    assert_int_equal(counts_of(keyspace).expired_actively - before, lapsed);
    check_accounting(lane);
    told_now = NOW + 5000;
    slices_until(all - lapsed - expiring_everywhere(), NOW + 5000);
    assert_int_equal(expiring_everywhere(), 0);
    keyspace_reclaim(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

/* A few dead ones among many that live for ever are found, too. */
static void needles_are_found(void **state) {
    (void)state;
    const uint64_t all = SCALED(50000, 8000);
    for (uint64_t i = 0; i < all; i++) put_number(1, i, i % 1000 == 0 ? NOW + 1 : ENTRY_NO_EXPIRY);
    slices_until(all - all / 1000, NOW + 2);
    assert_int_equal(size_of(lane, 1).expiring, 0);
}

static void a_full_shard_is_emptied_in_one_slice_with_time_enough(void **state) {
    (void)state;
    for (uint64_t i = 0; i < SCALED(20000, 4000); i++) put_number(2, i, NOW + 1);
    assert_false(slice(lane, NOW + 1, 60000000));
    assert_int_equal(keys_everywhere(), 0);
}

/* When all have gone, so has the memory of the tables, though nobody comes by any more. */
static void tables_of_the_lapsed_go_as_well(void **state) {
    (void)state;
    for (uint64_t i = 0; i < SCALED(20000, 4000); i++) put_number(2, i, NOW + 1);
    put_number(2, 1000000, NOW + 5);
    assert_true(size_of(lane, 2).table_bytes > 10000);
    for (int64_t now = NOW + 1; now <= NOW + 5; now += 4) {
        uint64_t keys = now < NOW + 5;
        for (int slices = 0; size_of(lane, 2).keys > keys || size_of(lane, 2).table_bytes > 2048 * keys;
             slices++) {
            assert_true(slices < 1000);
            slice(lane, now, 1000000);
        }
    }
    keyspace_reclaim(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

static void a_slice_without_time_is_cut_short_and_the_next_goes_on(void **state) {
    (void)state;
    const uint64_t all = SCALED(20000, 4000);
    for (uint64_t i = 0; i < all; i++) put_number(0, i, NOW + 1);
    uint64_t spent = counts_of(keyspace).expiry_cycle_us;
    int slices = 1;
    assert_true(slice(lane, NOW + 1, 0));
    uint64_t left = keys_everywhere();
    assert_true(left > 0 && left < all);
    while (keys_everywhere() > 0) {
        assert_true(slices++ < 100000);
        slice(lane, NOW + 1, 0);
    }
    assert_true(slices > 10);
    assert_true(counts_of(keyspace).expiry_cycle_us > spent);
}

static void busy_shards_are_passed_over(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) put_number(0, i, NOW + 1);
    struct key key = keyspace_key(keyspace, 0, "key:1", 5);
    uint32_t held = keyspace_shard_of(keyspace, key.hash);
    struct holding holding;
    hold_shards(&holding, other_lane, &key, 1, NOW);
    lane_enter_waiting(lane);
    uint64_t in_held = keyspace_shard_keys(keyspace, held, 0);
    assert_int_equal(keyspace_shard_expiring(keyspace, held, 0), in_held);
    keyspace_expire_slice(lane, NOW + 1, 60000000);
    lane_leave(lane);
    assert_int_equal(keys_everywhere(), in_held);
    assert_true(in_held > 0);
    hold_end(&holding);
    slices_until(0, NOW + 1);
}

static void nothing_is_removed_while_active_expiry_is_off(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 500; i++) put_number(0, i, NOW + 1);
    keyspace_set_active_expiry(keyspace, false);
    for (int i = 0; i < 20; i++) assert_false(slice(lane, NOW + 1, 1000000));
    assert_int_equal(keys_everywhere(), 500);
    keyspace_set_active_expiry(keyspace, true);
    slices_until(0, NOW + 1);
}

static void an_expiry_that_went_or_moved_is_not_obeyed(void **state) {
    (void)state;
    put_number(0, 1, NOW + 10);
    put_number(0, 2, NOW + 10);
    put_number(0, 3, NOW + 10);
    struct key keys[3] = {keyspace_key(keyspace, 0, "key:1", 5), keyspace_key(keyspace, 0, "key:2", 5),
                          keyspace_key(keyspace, 0, "key:3", 5)};
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, keys, 3, NOW);
    scope_edit(&holding.scope, &keys[0], &edit);
    assert_true(edit_set_expiry(&edit, ENTRY_NO_EXPIRY));
    scope_changed(&edit, EVENT_PERSIST);
    scope_edit(&holding.scope, &keys[1], &edit);
    assert_true(edit_set_expiry(&edit, NOW + 20));
    scope_changed(&edit, EVENT_EXPIRE);
    hold_end(&holding);
    slices_until(2, NOW + 10);
    slice(lane, NOW + 19, 1000000);
    assert_int_equal(keys_everywhere(), 2);
    slices_until(1, NOW + 20);
    assert_true(drop(lane, 0, "key:1", 5, INT64_MAX));
}

struct rivals {
    atomic_bool is_over;
    _Atomic int64_t now;
};

static void *expire_on(void *argument) {
    struct rivals *rivals = argument;
    struct lane *seat = lane_attach(keyspace);
    CHECK(seat != NULL);
    while (!atomic_load(&rivals->is_over)) {
        slice(seat, atomic_load(&rivals->now), 500);
        sched_yield();
    }
    lane_detach(seat);
    return NULL;
}

/* Several threads expire while one writes: each key is told to have expired exactly once. */
static void lanes_expire_side_by_side_and_tell_each_key_once(void **state) {
    (void)state;
    struct rivals rivals = {.now = NOW};
    pthread_t threads[3];
    const uint64_t all = SCALED(40000, 5000);
    told_now = INT64_MAX;
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, expire_on, &rivals), 0);
    for (uint64_t i = 0; i < all; i++) {
        put_number((uint32_t)(i % DATABASES), i, NOW + 1 + (int64_t)(i / 10));
        if (i % 10 == 0) atomic_store(&rivals.now, NOW + (int64_t)(i / 20));
    }
    atomic_store(&rivals.now, INT64_MAX);
    while (keys_everywhere() > 0) sched_yield();
    atomic_store(&rivals.is_over, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&expired_told), all);
    check_accounting(lane);
}

static bool reads(bool is_exclusive, struct key *key) {
    struct holding holding;
    if (is_exclusive) {
        hold_shards(&holding, lane, key, 1, NOW);
        bool is_there = scope_read(&holding.scope.reading, key) != NULL;
        hold_end(&holding);
        return is_there;
    }
    struct shard_set set;
    struct read_scope scope;
    struct rwlock *busy;
    shard_set_init(&set);
    shard_set_add(&set, keyspace_shard_of(keyspace, key->hash));
    lane_enter_waiting(lane);
    assert_true(scope_try_read(&scope, lane, &set, NOW, &busy));
    bool is_there = scope_read(&scope, key) != NULL;
    scope_end_read(&scope);
    lane_leave(lane);
    return is_there;
}

static bool looks(struct key *key) {
    static struct look look;
    struct read_scope scope;
    lane_enter_waiting(lane);
    scope_look(&scope, lane, &look, NOW);
    assert_null(scope_read(&scope, key));
    bool is_sound = scope_end_look(&scope);
    lane_leave(lane);
    return is_sound;
}

static void a_reader_removes_what_has_expired_where_that_is_wanted_and_it_may(void **state) {
    (void)state;
    put(lane, 0, "dead", 4, "value", 5, NOW - 1, NOW - 10);
    struct key dead = keyspace_key(keyspace, 0, "dead", 4), none = keyspace_key(keyspace, 0, "none", 4);
    atomic_store(&missed, 0);
    assert_true(looks(&dead));
    assert_false(reads(true, &dead));
    assert_int_equal(atomic_load(&expired_told), 0); /* nobody wants it */
    keyspace_tell_dead(keyspace, true);
    assert_false(looks(&dead)); /* it gives up */
    assert_true(looks(&none));
    assert_false(reads(false, &dead));
    assert_int_equal(atomic_load(&expired_told), 0); /* it may not */
    assert_false(reads(true, &dead));
    assert_int_equal(atomic_load(&expired_told), 1);
    keyspace_tell_misses(keyspace, true);
    assert_false(looks(&none));
    assert_int_equal(atomic_load(&missed), 0);
    assert_false(reads(false, &none));
    assert_int_equal(atomic_load(&missed), 1);
    keyspace_tell_misses(keyspace, false);
    keyspace_tell_dead(keyspace, false);
    assert_true(looks(&none));
    assert_false(reads(false, &none));
    assert_int_equal(atomic_load(&missed), 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, start_over)
    const struct CMUnitTest tests[] = {
        TEST(expired_key_is_absent_before_it_is_removed),
        TEST(who_holds_the_shard_exclusively_removes_it_and_tells),
        TEST(slices_remove_all_that_has_lapsed_and_nothing_else),
        TEST(needles_are_found),
        TEST(a_full_shard_is_emptied_in_one_slice_with_time_enough),
        TEST(tables_of_the_lapsed_go_as_well),
        TEST(a_slice_without_time_is_cut_short_and_the_next_goes_on),
        TEST(busy_shards_are_passed_over),
        TEST(nothing_is_removed_while_active_expiry_is_off),
        TEST(an_expiry_that_went_or_moved_is_not_obeyed),
        TEST(lanes_expire_side_by_side_and_tell_each_key_once),
        TEST(a_reader_removes_what_has_expired_where_that_is_wanted_and_it_may),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
