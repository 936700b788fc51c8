/* Eviction: the books are right, the limit holds, and each policy lets go of what it should. */
#include "tests/engine.h"

#include "shard/evict/eviction.h"
#include "shard/store/ghosts.h"
#include "shard/store/shard.h"
#include "shard/value/fields.h"

#define NOW INT64_C(4000000000000) /* what has an expiry lives by the clock on the wall, too */

static struct keyspace *keyspace;
static struct lane *lane;

static void open_with(enum eviction_policy policy, int64_t limit) {
    keyspace = keyspace_with(16, 4, 7);
    lane = lane_attach(keyspace);
    eviction_configure(keyspace, policy, 10, 1);
    eviction_limit(keyspace, limit);
}

static void close_all(void) {
    lane_detach(lane);
    keyspace_close(keyspace);
}

static bool tick(int64_t now) {
    lane_enter_waiting(lane);
    bool is_done = eviction_tick(lane, now);
    lane_leave(lane);
    lane_reclaim(lane);
    return is_done;
}

/* What the server does before a SET. */
static enum room make_room(size_t bytes, int64_t now) {
    for (;;) {
        lane_enter_waiting(lane);
        enum room room = eviction_has_room(lane, bytes) ? ROOM_MADE : eviction_make_room(lane, bytes, now);
        lane_leave(lane);
        if (room != ROOM_LATER) return room;
        lane_reclaim(lane);
    }
}

static bool set(int number, size_t length, int64_t expiry, int64_t now) {
    static const char value[1 << 20];
    char key[24];
    size_t key_length = (size_t)sprintf(key, "key:%d", number);
    if (make_room(entry_room_for(length + key_length), now) == ROOM_NONE) return false;
    put(lane, 0, key, key_length, value, length, expiry, now);
    return true;
}

static void use(int number, int64_t now) {
    char text[24];
    struct key key = keyspace_key(keyspace, 0, text, (size_t)sprintf(text, "key:%d", number));
    struct shard_set shards;
    struct read_scope scope;
    struct rwlock *busy;
    shard_set_init(&shards);
    shard_set_add(&shards, keyspace_shard_of(keyspace, key.hash));
    lane_enter_waiting(lane);
    assert_true(scope_try_read(&scope, lane, &shards, now, &busy));
    scope_read(&scope, &key);
    scope_end_read(&scope);
    lane_leave(lane);
}

static bool is_there(int number) {
    char key[24];
    return latchkey_get(lane, key, (size_t)sprintf(key, "key:%d", number), NULL, 0) >= 0;
}

/* ------------------------------------------------------------------ the books */

static int64_t bytes_by_walking(void) {
    int64_t bytes = 0;
    for (uint32_t database = 0; database < keyspace_database_count(keyspace); database++) {
        struct keyspace_size size = size_of(lane, database);
        bytes += (int64_t)(size.bytes + size.table_bytes);
    }
    return bytes + (int64_t)counts_of(keyspace).retired_bytes;
}

static void put_hash(int number) {
    char text[24];
    struct key key = keyspace_key(keyspace, 1, text, (size_t)sprintf(text, "hash:%d", number));
    struct holding holding;
    struct edit edit;
    void *value = fields_create();
    for (int i = 0; i < number % 40; i++)
        fields_put(&value, (struct text){text, (size_t)i % 7}, (struct text){text, 5});
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    if (edit.entry != NULL && number % 2 == 0) {
        void *present = edit_open_value(&edit);
        fields_put(&present, (struct text){"another field", 13}, (struct text){text, 4});
        edit_close_value(&edit, present, true);
        value_free(&hash_kind, value);
    } else {
        assert_true(edit_put_value(&edit, TYPE_HASH, value, false));
    }
    scope_changed(&edit, EVENT_HSET);
    hold_end(&holding);
}

static void what_is_used_is_what_is_there(void **unused) {
    (void)unused;
    uint64_t state = seed_take();
    open_with(EVICTION_ALLKEYS_S3FIFO, INT64_MAX);
    for (int step = 0; step < SCALED(30000, 6000); step++) {
        int number = (int)random_below(&state, 3000);
        char key[24];
        switch (random_below(&state, 8)) {
        case 0: drop(lane, 0, key, (size_t)sprintf(key, "key:%d", number), NOW); break;
        case 1: put_hash(number % 200); break;
        case 2: drop(lane, 1, key, (size_t)sprintf(key, "hash:%d", number % 200), NOW); break;
        case 3: set(number, random_below(&state, 40000), NOW + 5, NOW); break;
        default:
            set(number, random_below(&state, 200),
                random_below(&state, 2) ? NOW + (int64_t)random_below(&state, 10) : ENTRY_NO_EXPIRY, NOW + 6);
        }
        if (step % 500 == 0) lane_reclaim(lane);
        if (step % 1000 == 0) assert_int_equal(eviction_used(keyspace), bytes_by_walking());
    }
    struct holding holding;
    hold_all(&holding, lane, NOW);
    keyspace_flush(&holding.scope, 0);
    hold_all_end(&holding);
    assert_int_equal(eviction_used(keyspace), bytes_by_walking());
    keyspace_reclaim(lane);
    assert_int_equal(eviction_used(keyspace), bytes_by_walking());
    hold_all(&holding, lane, NOW);
    keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES);
    hold_all_end(&holding);
    while (counts_of(keyspace).retired_bytes > 0) lane_reclaim(lane);
    assert_int_equal(eviction_used(keyspace), 0);
    close_all();
}

/* The bytes of the main part are those of the entries whose bit says so. */
static void sum_main(void *context, const struct entry *entry) {
    if (access_is_main(access_read(entry))) *(int64_t *)context += (int64_t)entry_bytes(entry);
}

static int64_t main_by_walking(void) {
    int64_t bytes = 0;
    latchkey_range(lane, 0, sum_main, &bytes);
    return bytes;
}

static void the_main_part_is_counted_as_it_changes(void **unused) {
    (void)unused;
    uint64_t state = seed_take();
    open_with(EVICTION_ALLKEYS_S3FIFO, 300000);
    tick(NOW);
    for (int step = 0; step < SCALED(30000, 6000); step++) {
        int number = (int)random_below(&state, 6000);
        if (random_below(&state, 3) == 0)
            use(number % 300, NOW);
        else
            assert_true(set(number, random_below(&state, 300), ENTRY_NO_EXPIRY, NOW));
        if (step % 100 == 0) {
            eviction_limit(keyspace, 300000);
            tick(NOW);
        }
        if (step % 1000 == 0) {
            assert_int_equal((int64_t)counter_read(&lane->account->main_bytes), main_by_walking());
            assert_int_equal(eviction_used(keyspace), bytes_by_walking());
            assert_true(eviction_used(keyspace) <= 300000);
        }
    }
    assert_true(counts_of(keyspace).evicted > 1000);
    close_all();
}

/* ------------------------------------------------------------------ the limit */

static void without_a_policy_nothing_goes(void **unused) {
    (void)unused;
    open_with(EVICTION_NONE, 200000);
    int number = 0;
    while (set(number, 100, ENTRY_NO_EXPIRY, NOW)) number++;
    assert_true(number > 500 && eviction_used(keyspace) <= 200000);
    for (int i = 0; i < number; i++) assert_true(is_there(i));
    assert_int_equal(counts_of(keyspace).evicted, 0);
    char key[24];
    for (int i = 0; i < 100; i++) assert_true(drop(lane, 0, key, (size_t)sprintf(key, "key:%d", i), NOW));
    assert_true(set(0, 100, ENTRY_NO_EXPIRY, NOW));
    close_all();
}

static void large_ones_find_room_among_small_ones(void **unused) {
    (void)unused;
    uint64_t state = seed_take();
    open_with(EVICTION_ALLKEYS_S3FIFO, 4 << 20);
    for (int i = 0; i < SCALED(4000, 1000); i++) {
        size_t length =
            random_below(&state, 20) == 0 ? random_below(&state, 1 << 20) : random_below(&state, 2000);
        assert_true(set(i, length, ENTRY_NO_EXPIRY, NOW));
        assert_true(eviction_used(keyspace) <= 4 << 20);
    }
    uint64_t evicted = counts_of(keyspace).evicted;
    assert_int_equal(make_room(5 << 20, NOW), ROOM_NONE);   /* more than there can be */
    assert_int_equal(counts_of(keyspace).evicted, evicted); /* and so nobody goes in vain */
    close_all();
}

static enum room try_room(struct lane *of, size_t bytes) {
    lane_enter_waiting(of);
    enum room room = eviction_make_room(of, bytes, NOW);
    lane_leave(of);
    return room;
}

static void who_may_go_but_is_held_by_another_is_waited_for(void **unused) {
    (void)unused;
    open_with(EVICTION_VOLATILE_LRU, 1 << 20);
    struct lane *other = lane_attach(keyspace);
    struct holding holding;
    assert_true(set(0, 900000, NOW + 1000, NOW));
    struct key key = keyspace_key(keyspace, 0, "key:0", 5);
    hold_shards(&holding, other, &key, 1, NOW);
    assert_int_equal(try_room(lane, 500000), ROOM_LATER);
    hold_end(&holding);
    assert_int_equal(make_room(500000, NOW), ROOM_MADE);
    assert_int_equal(counts_of(keyspace).evicted, 1);
    lane_detach(other);
    close_all();
}

static void a_limit_that_is_lowered_is_reached_by_and_by(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_LRU, INT64_MAX);
    for (int i = 0; i < 5000; i++) set(i, 100, ENTRY_NO_EXPIRY, NOW);
    int64_t used = eviction_used(keyspace);
    eviction_limit(keyspace, used / 2);
    int ticks = 0;
    for (bool is_done = false; !is_done; ticks++) {
        lane_enter_waiting(lane);
        is_done = eviction_tick(lane, NOW);
        lane_leave(lane);
        lane_reclaim(lane);
    }
    assert_true(ticks > 2 && eviction_used(keyspace) <= used / 2);
    assert_true(size_of(lane, 0).keys > 1500);
    close_all();
}

static _Atomic int64_t most_used;

static void *fill(void *context) {
    struct keyspace *shared = context;
    struct lane *mine = lane_attach(shared);
    uint64_t state = mine->number + 1;
    enum { BATCH = 10 };
    char keys[BATCH][24];
    struct latchkey_item items[BATCH];
    static const char value[3000];
    for (int i = 0; i < SCALED(40000, 4000); i++) {
        struct latchkey_item *item = &items[i % BATCH];
        *item =
            (struct latchkey_item){.key = keys[i % BATCH],
                                   .key_length = (size_t)sprintf(keys[i % BATCH], "%u:%d", mine->number, i),
                                   .value = value,
                                   .value_length = random_below(&state, i % 50 == 0 ? 3000 : 100)};
        if (mine->number % 2 == 0)
            CHECK(latchkey_set(mine, item) == LATCHKEY_OK);
        else if (i % BATCH == BATCH - 1)
            CHECK(latchkey_set_many(mine, items, BATCH, NULL) == BATCH);
        int64_t used = eviction_used(shared);
        if (used > most_used) most_used = used;
    }
    lane_detach(mine);
    return NULL;
}

static void threads_that_fill_it_together_stay_below_the_limit(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_S3FIFO, 1 << 20);
    pthread_t threads[4];
    most_used = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, fill, keyspace);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    print_message("at most %lld bytes\n", (long long)most_used);
    /* The sum is taken while others add to it. */
    assert_true(most_used <= (1 << 20) + 16384);
    lane_reclaim(lane);
    assert_true(eviction_used(keyspace) <= 1 << 20);
    assert_int_equal(eviction_used(keyspace), bytes_by_walking());
    assert_true(size_of(lane, 0).keys > 2000);
    close_all();
}

static void an_embedding_program_is_told_when_nothing_may_go(void **unused) {
    (void)unused;
    open_with(EVICTION_VOLATILE_TTL, 100000);
    static const char value[1000];
    char key[24];
    enum latchkey_result result = LATCHKEY_OK;
    for (int i = 0; i < 200 && result == LATCHKEY_OK; i++) {
        struct latchkey_item item = {.key = key,
                                     .key_length = (size_t)sprintf(key, "%d", i),
                                     .value = value,
                                     .value_length = sizeof value};
        result = latchkey_set(lane, &item);
    }
    assert_int_equal(result, LATCHKEY_OUT_OF_MEMORY);
    close_all();
}

/* ------------------------------------------------------------------ policies */

/* Of 2,000 keys, half of them used later or more often, most of those left are of that half. */
static void keeps_the_better_half(enum eviction_policy policy, int rounds) {
    open_with(policy, INT64_MAX);
    for (int i = 0; i < 2000; i++) set(i, 50, ENTRY_NO_EXPIRY, NOW);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 1000; i++) use(i, NOW + 100000 + round);
    eviction_limit(keyspace, eviction_used(keyspace) * 6 / 10);
    for (bool is_done = false; !is_done;) {
        lane_enter_waiting(lane);
        is_done = eviction_tick(lane, NOW + 200000);
        lane_leave(lane);
        lane_reclaim(lane);
    }
    int better = 0, worse = 0;
    for (int i = 0; i < 1000; i++) better += is_there(i);
    for (int i = 1000; i < 2000; i++) worse += is_there(i);
    assert_true(better > 900 && worse < 400);
    close_all();
}

static void lru_keeps_what_was_used_last_and_lfu_what_is_used_most(void **unused) {
    (void)unused;
    keeps_the_better_half(EVICTION_ALLKEYS_LRU, 1);
    keeps_the_better_half(EVICTION_ALLKEYS_LFU, 40);
}

static void random_lets_anybody_go(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_RANDOM, 200000);
    for (int i = 0; i < 4000; i++) assert_true(set(i, 100, ENTRY_NO_EXPIRY, NOW));
    int old = 0;
    for (int i = 0; i < 2000; i++) old += is_there(i);
    assert_true(old > 0 && eviction_used(keyspace) <= 200000);
    close_all();
}

static void volatile_policies_take_only_what_expires(void **unused) {
    (void)unused;
    static const enum eviction_policy policies[] = {EVICTION_VOLATILE_LRU, EVICTION_VOLATILE_LFU,
                                                    EVICTION_VOLATILE_RANDOM, EVICTION_VOLATILE_TTL};
    for (int k = 0; k < 4; k++) {
        open_with(policies[k], 400000);
        for (int i = 0; i < 500; i++) assert_true(set(i, 100, ENTRY_NO_EXPIRY, NOW));
        for (int i = 1000; i < 6000; i++) assert_true(set(i, 100, NOW + 1000000 + i, NOW));
        for (int i = 0; i < 500; i++) assert_true(is_there(i));
        assert_true(counts_of(keyspace).evicted > 1000);
        if (policies[k] == EVICTION_VOLATILE_TTL) {
            int sooner = 0, later = 0;
            for (int i = 1000; i < 3000; i++) sooner += is_there(i);
            for (int i = 4000; i < 6000; i++) later += is_there(i);
            print_message("%d of the later, %d of the sooner\n", later, sooner);
            assert_true(later > 10 * sooner);
        }
        close_all();
    }
}

static void the_one_key_that_may_go_is_found(void **unused) {
    (void)unused;
    open_with(EVICTION_VOLATILE_RANDOM, 2 << 20);
    int number = 0;
    while (set(number, 100, ENTRY_NO_EXPIRY, NOW)) number++;
    char key[24];
    for (int i = 0; make_room(entry_room_for(210), NOW) == ROOM_NONE;
         i++) { /* the last one may have made a table grow */
        assert_true(drop(lane, 0, key, (size_t)sprintf(key, "key:%d", i), NOW));
        lane_reclaim(lane);
    }
    int first = number++;
    assert_true(set(first, 200, NOW + 1000, NOW));
    while (set(number, 100, ENTRY_NO_EXPIRY, NOW))
        number++; /* a write is refused only when that one has gone as well */
    assert_false(is_there(first));
    assert_int_equal(counts_of(keyspace).evicted, 1);
    close_all();
}

/* A scan of keys that nobody asks for again does not push out what is asked for again and again. */
static void a_scan_does_not_push_out_what_is_used(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_S3FIFO, 400000);
    tick(NOW);
    for (int round = 0; round < 6; round++)
        for (int i = 0; i < 1000; i++) {
            if (is_there(i))
                use(i, NOW);
            else
                set(i, 50, ENTRY_NO_EXPIRY, NOW);
        }
    for (int i = 0; i < 20000; i++) {
        set(100000 + i, 50, ENTRY_NO_EXPIRY, NOW);
        if (is_there(i % 1000))
            use(i % 1000, NOW);
        else
            set(i % 1000, 50, ENTRY_NO_EXPIRY, NOW);
        if (i % 200 == 0) {
            eviction_limit(keyspace, 400000);
            tick(NOW);
        }
    }
    int kept = 0;
    for (int i = 0; i < 1000; i++) kept += is_there(i);
    assert_true(kept > 900);
    close_all();
}

static void another_policy_finds_its_own_bits(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_LRU, INT64_MAX);
    for (int i = 0; i < 1000; i++) set(i, 50, ENTRY_NO_EXPIRY, NOW);
    static const enum eviction_policy policies[] = {EVICTION_ALLKEYS_S3FIFO, EVICTION_ALLKEYS_LFU,
                                                    EVICTION_NONE, EVICTION_ALLKEYS_S3FIFO};
    for (int k = 0; k < 4; k++) {
        eviction_configure(keyspace, policies[k], 10, 1);
        for (int i = 0; i < 100; i++) use(i, NOW + 5000);
        for (int i = 0; i < 10; i++) tick(NOW + 5000);
        if (policies[k] == EVICTION_ALLKEYS_S3FIFO)
            assert_int_equal((int64_t)counter_read(&lane->account->main_bytes), main_by_walking());
        if (policies[k] != EVICTION_ALLKEYS_LFU) continue;
        char text[24];
        struct key key = keyspace_key(keyspace, 0, text, (size_t)sprintf(text, "key:%d", 500));
        struct holding holding;
        hold_shards(&holding, lane, &key, 1, NOW);
        const struct entry *entry = scope_read(&holding.scope.reading, &key);
        assert_in_range(usage_frequency(lane, entry, NOW + 5000), ACCESS_FREQUENCY_FIRST,
                        ACCESS_FREQUENCY_FIRST + 1);
        assert_int_equal(usage_frequency(lane, entry, NOW + 5000 + 60000 * 100), 0);
        hold_end(&holding);
    }
    close_all();
}

/* Who is inside may have found the old policy a moment ago, and be about to note a use in its way. */
static void bits_change_their_meaning_when_nobody_takes_them_for_the_old_one(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_LRU, INT64_MAX);
    struct lane *other = lane_attach(keyspace);
    set(1, 50, ENTRY_NO_EXPIRY, NOW);
    assert_true(lane_enter(other));
    eviction_configure(keyspace, EVICTION_ALLKEYS_S3FIFO, 10, 1);
    for (int i = 0; i < 100; i++) assert_false(tick(NOW));
    lane_leave(other);
    assert_true(lane_enter(other));
    for (int i = 0; i < 100 && !tick(NOW); i++) continue;
    assert_true(tick(NOW));
    lane_leave(other);
    lane_detach(other);
    close_all();
}

/* ------------------------------------------------------------------ ghosts */

/* Their table may be replaced meanwhile, and the old one is not kept for who holds still. */
static void who_holds_still_leaves_ghosts_alone(void **unused) {
    (void)unused;
    open_with(EVICTION_ALLKEYS_S3FIFO, 1 << 20);
    tick(NOW);
    struct ghosts *ghosts = atomic_load(&keyspace->usage.ghosts);
    assert_non_null(ghosts);
    for (int is_still = 1; is_still >= 0; is_still--) {
        uint32_t age;
        uint64_t hash = UINT64_C(0x123456789ABCDEF1);
        ghosts_add(ghosts, hash, 0);
        lane_enter_waiting(lane);
        if (is_still) lane_hold_still(lane);
        usage_of_new(lane, hash, 100, NOW);
        lane_leave(lane);
        assert_int_equal(ghosts_take(ghosts, hash, 0, &age), is_still);
    }
    close_all();
}

static void ghosts_are_remembered_and_taken_once(void **unused) {
    (void)unused;
    struct ghosts *ghosts = ghosts_create(1000, NULL);
    uint32_t age;
    uint64_t state = 5;
    uint64_t hashes[300];
    for (int i = 0; i < 300; i++) ghosts_add(ghosts, hashes[i] = random_next(&state), 1600);
    struct ghosts *larger = ghosts_create(3000, ghosts), *smaller = ghosts_create(600, ghosts);
    assert_true(ghosts_capacity(larger) >= 3000);
    int found = 0, found_larger = 0, found_smaller = 0, twice = 0;
    for (int i = 0; i < 300; i++) {
        bool is_found = ghosts_take(ghosts, hashes[i], 1664, &age);
        if (is_found) assert_int_equal(age, 64);
        found += is_found;
        twice += ghosts_take(ghosts, hashes[i], 1664, &age);
        found_larger += ghosts_take(larger, hashes[i], 1664, &age);
        found_smaller += ghosts_take(smaller, hashes[i], 1664, &age);
    }
    assert_true(found > 280 && found_larger > 280 && found_smaller > 200 && twice < 10);
    int mistaken = 0;
    for (int i = 0; i < 1000; i++) mistaken += ghosts_take(ghosts, random_next(&state), 1664, &age);
    assert_true(mistaken < 20);
    free(ghosts);
    free(larger);
    free(smaller);
}

/* ------------------------------------------------------------------ many databases */

static void put_in(uint32_t database, int number, int64_t expiry) {
    char key[24];
    put(lane, database, key, (size_t)sprintf(key, "key:%d", number), "value", 5, expiry, NOW);
}

static uint64_t keys_in(uint32_t database) {
    return size_of(lane, database).keys;
}

static void open_many(enum eviction_policy policy, uint32_t databases) {
    uint64_t seed[4] = {1, 2, 3, 4};
    keyspace = keyspace_open(
        &(struct keyspace_options){.shards = 4, .databases = databases, .lanes = 4, .seed = seed});
    lane = lane_attach(keyspace);
    eviction_configure(keyspace, policy, 10, 1);
}

static void evict_down_to(int64_t bytes) {
    eviction_limit(keyspace, bytes);
    while (!tick(NOW)) continue;
}

/* Of two hundred databases, one has half of the keys, and loses about half of what goes. */
static void of_many_databases_each_loses_its_share(void **unused) {
    (void)unused;
    enum { SMALL = 200, EACH = 100 };
    open_many(EVICTION_ALLKEYS_RANDOM, 10000);
    for (int i = 0; i < SMALL * EACH; i++) {
        put_in((uint32_t)(1 + i % SMALL * 49), i, ENTRY_NO_EXPIRY);
        put_in(5000, i, ENTRY_NO_EXPIRY);
    }
    evict_down_to(eviction_used(keyspace) / 2);
    uint64_t left = 0, of_large = keys_in(5000);
    for (int i = 0; i < SMALL; i++) left += keys_in((uint32_t)(1 + i * 49));
    print_message("%llu of the large one, %llu of the small ones\n", (unsigned long long)of_large,
                  (unsigned long long)left);
    assert_true(of_large > 3000 && left > 3000 && of_large < 5 * left && left < 5 * of_large);
    close_all();
}

/* Victims are looked for where there may be some: what is configured and not used costs nothing. */
static void a_database_is_known_once_it_has_had_a_key(void **unused) {
    (void)unused;
    open_many(EVICTION_VOLATILE_TTL, 10000);
    assert_int_equal(atomic_load(&keyspace->used_database_count), 0);
    for (int i = 0; i < 100; i++) put_in((uint32_t)(i % 3) * 4000, i, i < 50 ? NOW + 1000 : ENTRY_NO_EXPIRY);
    assert_int_equal(atomic_load(&keyspace->used_database_count), 3);
    struct holding holding;
    hold_all(&holding, lane, NOW);
    keyspace_swap(&holding.scope, 4000, 9999);
    hold_all_end(&holding);
    assert_int_equal(atomic_load(&keyspace->used_database_count), 4);
    assert_int_equal(keys_in(9999), 33);
    assert_int_equal(counter_read(&lane->account->expiring), 50);
    evict_down_to(100);
    assert_int_equal(counter_read(&lane->account->expiring), 0);
    assert_int_equal(counts_of(keyspace).evicted, 50);
    assert_int_equal(keys_in(0) + keys_in(9999) + keys_in(8000), 50);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_used_is_what_is_there),
        cmocka_unit_test(the_main_part_is_counted_as_it_changes),
        cmocka_unit_test(without_a_policy_nothing_goes),
        cmocka_unit_test(large_ones_find_room_among_small_ones),
        cmocka_unit_test(who_may_go_but_is_held_by_another_is_waited_for),
        cmocka_unit_test(a_limit_that_is_lowered_is_reached_by_and_by),
        cmocka_unit_test(threads_that_fill_it_together_stay_below_the_limit),
        cmocka_unit_test(an_embedding_program_is_told_when_nothing_may_go),
        cmocka_unit_test(lru_keeps_what_was_used_last_and_lfu_what_is_used_most),
        cmocka_unit_test(random_lets_anybody_go),
        cmocka_unit_test(volatile_policies_take_only_what_expires),
        cmocka_unit_test(the_one_key_that_may_go_is_found),
        cmocka_unit_test(a_scan_does_not_push_out_what_is_used),
        cmocka_unit_test(another_policy_finds_its_own_bits),
        cmocka_unit_test(bits_change_their_meaning_when_nobody_takes_them_for_the_old_one),
        cmocka_unit_test(of_many_databases_each_loses_its_share),
        cmocka_unit_test(a_database_is_known_once_it_has_had_a_key),
        cmocka_unit_test(who_holds_still_leaves_ghosts_alone),
        cmocka_unit_test(ghosts_are_remembered_and_taken_once),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
