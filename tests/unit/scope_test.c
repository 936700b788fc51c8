/* shard/scope: taking sets of shards as one, what a scope lets see, what every edit tells, and that
 * what breaks the rules aborts a debug build. */
#include "tests/engine.h"

#include <sched.h>
#include <signal.h>

#include "shard/store/shard.h"

#define NOW 1000000
#define SHARDS 64

struct told {
    bool is_before; /* else changed */
    char key[64];
    uint32_t database, shard;
    bool is_present;
    char value[64];
    enum event event;
    bool is_new;
    uint32_t other, entries; /* of a region: what is in it */
};

#define TOLD_MOST 1024
static struct told told[TOLD_MOST];
static int told_count;
static struct keyspace *keyspace;
static struct lane *lane, *other_lane;

static struct told *note(bool is_before, const struct key *key, const struct entry *entry, enum event event) {
    CHECK(told_count < TOLD_MOST);
    struct told *now = &told[told_count++];
    *now = (struct told){.is_before = is_before,
                         .database = key->database,
                         .shard = keyspace_shard_of(keyspace, key->hash),
                         .is_present = entry != NULL,
                         .event = event};
    if (key->data != NULL) snprintf(now->key, sizeof now->key, "%.*s", (int)key->length, key->data);
    if (entry == NULL) return now;
    struct string_view view;
    entry_string(entry, &view);
    snprintf(now->value, sizeof now->value, "%.*s", (int)view.length, view.data);
    return now;
}

static void note_before(void *context, struct write_scope *scope, const struct key *key,
                        const struct entry *entry) {
    CHECK(context == told && scope_holds(&scope->scope, key->hash));
    note(true, key, entry, EVENT_COUNT);
}

static void note_changed(void *context, struct write_scope *scope, const struct key *key,
                         const struct entry *entry, enum event event, bool is_new) {
    CHECK(context == told && scope_holds(&scope->scope, key->hash));
    note(false, key, entry, event)->is_new = is_new;
}

static void count_region_entry(void *context, const struct entry *entry) {
    (void)entry;
    ++*(uint32_t *)context;
}

static void note_all(bool is_before, struct write_scope *scope, const struct region *region) {
    struct key key = {.database = region->database};
    struct told *now = note(is_before, &key, NULL, region->event);
    now->shard = region->shard;
    now->other = region->other;
    uint64_t position = keyspace_shard_position(keyspace, region->shard);
    while (position != SCOPE_SCAN_END)
        position = scope_scan(&scope->reading, region->shard, region->database, position, 64,
                              count_region_entry, &now->entries);
}

static void note_before_all(void *context, struct write_scope *scope, const struct region *region) {
    CHECK(context == told);
    note_all(true, scope, region);
}

static void note_changed_all(void *context, struct write_scope *scope, const struct region *region) {
    CHECK(context == told);
    note_all(false, scope, region);
}

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(SHARDS, 4, 5);
    keyspace_listen(keyspace, &(struct keyspace_listener){note_before, note_changed, note_before_all,
                                                          note_changed_all, told});
    keyspace_listen(keyspace, &(struct keyspace_listener){NULL}); /* who wants to know of nothing may */
    lane = lane_attach(keyspace);
    other_lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    lane_detach(other_lane);
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
    told_count = 0;
    return 0;
}

static struct key key_of(const char *name) {
    return keyspace_key(keyspace, 0, name, strlen(name));
}

static void expect_told(int at, bool is_before, const char *key, const char *value, enum event event) {
    assert_true(at < told_count);
    assert_int_equal(told[at].is_before, is_before);
    assert_string_equal(told[at].key, key);
    assert_int_equal(told[at].is_present, value != NULL);
    if (value != NULL) assert_string_equal(told[at].value, value);
    assert_int_equal(told[at].event, event);
}

/* ------------------------------------------------------------------ sets */

static void a_set_is_ascending_and_distinct_however_large(void **state) {
    (void)state;
    uint64_t random = seed_take();
    struct shard_set set;
    shard_set_init(&set);
    for (int round = 0; round < 50; round++) {
        bool is_in[1000] = {0};
        uint32_t count = 0;
        shard_set_clear(&set);
        for (uint64_t adds = random_below(&random, 1500); adds > 0; adds--) {
            uint32_t number = (uint32_t)random_below(&random, 1000);
            count += !is_in[number];
            is_in[number] = true;
            assert_true(shard_set_add(&set, number));
            assert_true(shard_set_add(&set, number));
        }
        assert_int_equal(set.count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(is_in[set.numbers[i]]);
            assert_true(i == 0 || set.numbers[i - 1] < set.numbers[i]);
        }
    }
    shard_set_free(&set);
    assert_int_equal(set.count, 0);
    assert_true(shard_set_add(&set, 3)); /* usable again */
    shard_set_free(&set);
}

/* ------------------------------------------------------------------ taking */

static void readers_of_a_shard_share_it_and_a_writer_does_not(void **state) {
    (void)state;
    struct shard_set set;
    struct read_scope first, second;
    struct write_scope writer;
    struct rwlock *busy = NULL;
    shard_set_init(&set);
    shard_set_add(&set, 5);
    assert_true(lane_enter(lane) && lane_enter(other_lane));
    assert_true(scope_try_read(&first, lane, &set, NOW, &busy));
    assert_true(scope_try_read(&second, other_lane, &set, NOW, &busy));
    scope_end_read(&second);
    uint64_t refusals = counts_of(keyspace).busy_takes;
    assert_false(scope_try_write(&writer, other_lane, &set, NOW, &busy));
    assert_ptr_equal(busy, keyspace_lock(keyspace, 5));
    assert_int_equal(keyspace_lock_number(keyspace, busy), 5);
    assert_int_equal(counts_of(keyspace).busy_takes, refusals + 1);
    scope_end_read(&first);
    assert_true(scope_try_write(&writer, other_lane, &set, NOW, &busy));
    assert_false(scope_try_read(&first, lane, &set, NOW, &busy));
    assert_false(scope_try_write((struct write_scope *)&first, lane, &set, NOW, &busy));
    scope_end_write(&writer);
    lane_leave(lane);
    lane_leave(other_lane);
}

/* Not for the analysis, which can't see what assert_true made sure of: that a lock is held. */
static void a_take_that_fails_holds_nothing(void **state) NO_THREAD_SAFETY_ANALYSIS {
    (void)state;
    struct shard_set one, all;
    struct write_scope holder, writer;
    struct read_scope reader;
    struct rwlock *busy;
    shard_set_init(&one);
    shard_set_init(&all);
    for (uint32_t i = 0; i < SHARDS; i++) shard_set_add(&all, i);
    assert_true(lane_enter(lane) && lane_enter(other_lane));
    for (uint32_t busy_shard = 0; busy_shard < SHARDS; busy_shard += 9) {
        shard_set_clear(&one);
        shard_set_add(&one, busy_shard);
        assert_true(scope_try_write(&holder, other_lane, &one, NOW, &busy));
        assert_false(scope_try_write(&writer, lane, &all, NOW, &busy));
        assert_int_equal(keyspace_lock_number(keyspace, busy), busy_shard);
        assert_false(scope_try_read(&reader, lane, &all, NOW, &busy));
        assert_int_equal(keyspace_lock_number(keyspace, busy), busy_shard);
        for (uint32_t i = 0; i < SHARDS; i++) {
            if (i == busy_shard) continue;
            assert_true(rwlock_try_exclusive(keyspace_lock(keyspace, i)));
            rwlock_release_exclusive(keyspace_lock(keyspace, i));
        }
        scope_end_write(&holder);
    }
    assert_true(scope_try_write(&writer, lane, &all, NOW, &busy));
    scope_end_write(&writer);
    lane_leave(lane);
    lane_leave(other_lane);
    shard_set_free(&all);
}

struct probe {
    struct waiter waiter; /* first: a waiter is cast back */
    struct bell bell;
    int rings;
};

static struct bell *probe_wake(struct waiter *waiter) {
    return &((struct probe *)waiter)->bell;
}

static void probe_ring(struct bell *bell) NO_THREAD_SAFETY_ANALYSIS {
    ((struct probe *)((char *)bell - offsetof(struct probe, bell)))->rings++;
    for (uint32_t i = 0; i < SHARDS; i++) {
        CHECK(rwlock_try_exclusive(keyspace_lock(keyspace, i)));
        rwlock_release_exclusive(keyspace_lock(keyspace, i));
    }
}

static void who_waits_for_one_of_a_scopes_shards_is_woken_when_all_are_released(void **state) {
    (void)state;
    struct shard_set all;
    struct write_scope writer;
    struct read_scope reader;
    struct rwlock *busy;
    struct probe probes[3];
    shard_set_init(&all);
    for (uint32_t i = 0; i < SHARDS; i++) shard_set_add(&all, i);
    assert_true(lane_enter(lane));
    for (int is_shared = 0; is_shared < 2; is_shared++) {
        if (is_shared)
            assert_true(scope_try_read(&reader, lane, &all, NOW, &busy));
        else
            assert_true(scope_try_write(&writer, lane, &all, NOW, &busy));
        for (uint32_t i = 0; i < 3; i++) {
            probes[i] =
                (struct probe){.waiter = {.is_exclusive = true, .wake = probe_wake}, .bell = {probe_ring}};
            assert_true(rwlock_park(keyspace_lock(keyspace, i * 31), &probes[i].waiter));
        }
        if (is_shared)
            scope_end_read(&reader);
        else
            scope_end_write(&writer);
        for (int i = 0; i < 3; i++) assert_int_equal(probes[i].rings, 1);
    }
    lane_leave(lane);
    shard_set_free(&all);
}

static void a_scope_grows_by_what_is_free_and_keeps_what_it_has(void **state) {
    (void)state;
    struct shard_set set, one;
    struct write_scope growing, holder;
    struct rwlock *busy;
    shard_set_init(&set);
    shard_set_init(&one);
    shard_set_add(&set, 20);
    shard_set_add(&one, 40);
    assert_true(lane_enter(lane) && lane_enter(other_lane));
    assert_true(scope_try_write(&growing, lane, &set, NOW, &busy));
    assert_true(scope_try_write(&holder, other_lane, &one, NOW, &busy));
    assert_true(scope_try_grow(&growing, &set, 20)); /* it has that */
    assert_false(scope_try_grow(&growing, &set, 40));
    for (uint32_t i = 0; i < SHARDS; i++) assert_true(scope_try_grow(&growing, &set, i) == (i != 40));
    assert_int_equal(set.count, SHARDS - 1);
    assert_false(shard_set_has(&set, 40));
    scope_end_write(&holder);
    assert_true(scope_try_grow(&growing, &set, 40));
    scope_end_write(&growing);
    assert_true(scope_try_write(&holder, other_lane, &set, NOW, &busy)); /* all were released */
    scope_end_write(&holder);
    lane_leave(lane);
    lane_leave(other_lane);
    shard_set_free(&set);
}

static uint32_t version_of(uint32_t shard, bool *is_written) {
    uint32_t version;
    *is_written = !rwlock_peek(keyspace_lock(keyspace, shard), &version);
    return version;
}

static void versions_tell_of_writers_and_of_nobody_else(void **state) {
    (void)state;
    struct shard_set set;
    struct write_scope writer;
    struct read_scope reader;
    struct rwlock *busy;
    bool is_written;
    shard_set_init(&set);
    shard_set_add(&set, 2);
    shard_set_add(&set, 7);
    uint32_t before = version_of(7, &is_written), bystander = version_of(3, &is_written);
    assert_true(lane_enter(lane));
    assert_true(scope_try_read(&reader, lane, &set, NOW, &busy));
    assert_int_equal(version_of(7, &is_written), before);
    assert_false(is_written);
    scope_end_read(&reader);
    assert_true(rwlock_is_unchanged(keyspace_lock(keyspace, 7), before));
    assert_true(scope_try_write(&writer, lane, &set, NOW, &busy));
    version_of(7, &is_written);
    assert_true(is_written);
    assert_false(rwlock_is_unchanged(keyspace_lock(keyspace, 7), before));
    scope_end_write(&writer);
    assert_int_equal(version_of(7, &is_written), before + 1);
    assert_false(is_written);
    assert_false(rwlock_is_unchanged(keyspace_lock(keyspace, 7), before));
    assert_int_equal(version_of(3, &is_written), bystander);
    lane_leave(lane);
}

static void takes_are_counted_by_shard(void **state) {
    (void)state;
    struct shard_set set;
    struct write_scope writer;
    struct read_scope reader;
    struct rwlock *busy;
    shard_set_init(&set);
    for (uint32_t i = 0; i < 5; i++) shard_set_add(&set, i);
    struct keyspace_counts before = counts_of(keyspace);
    assert_true(lane_enter(lane));
    assert_true(scope_try_write(&writer, lane, &set, NOW, &busy));
    scope_end_write(&writer);
    shard_set_add(&set, 9);
    assert_true(scope_try_read(&reader, lane, &set, NOW, &busy));
    scope_end_read(&reader);
    lane_leave(lane);
    struct keyspace_counts after = counts_of(keyspace);
    assert_int_equal(after.exclusive_takes - before.exclusive_takes, 5);
    assert_int_equal(after.shared_takes - before.shared_takes, 6);
}

static void a_scope_of_no_shards_holds_nothing(void **state) {
    (void)state;
    struct shard_set set;
    struct write_scope writer;
    struct rwlock *busy;
    shard_set_init(&set);
    assert_true(lane_enter(lane));
    assert_true(scope_try_write(&writer, lane, &set, NOW, &busy));
    scope_end_write(&writer);
    lane_leave(lane);
}

struct late {
    atomic_bool has_taken;
    struct key key;
};

static void *write_late(void *argument) {
    struct late *late = argument;
    struct lane *seat = lane_attach(keyspace);
    struct holding holding;
    CHECK(seat != NULL);
    hold_shards(&holding, seat, &late->key, 1, NOW);
    atomic_store(&late->has_taken, true);
    hold_end(&holding);
    lane_detach(seat);
    return NULL;
}

static void a_thread_that_may_sleep_gets_the_shard_when_it_is_released(void **state) {
    (void)state;
    struct late late = {.key = key_of("k")};
    struct holding holding;
    pthread_t thread;
    hold_shards(&holding, lane, &late.key, 1, NOW);
    uint64_t refusals = counts_of(keyspace).busy_takes;
    assert_int_equal(pthread_create(&thread, NULL, write_late, &late), 0);
    while (counts_of(keyspace).busy_takes == refusals) sched_yield();
    assert_false(atomic_load(&late.has_taken));
    hold_end(&holding);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&late.has_taken));
}

/* ------------------------------------------------------------------ reading */

static void hits_misses_and_peeks_are_told_apart(void **state) {
    (void)state;
    put(lane, 0, "here", 4, "v", 1, ENTRY_NO_EXPIRY, NOW);
    struct key keys[2] = {key_of("here"), key_of("gone")};
    struct holding holding;
    hold_shards(&holding, lane, keys, 2, NOW);
    struct keyspace_counts before = counts_of(keyspace);
    struct read_scope reader = {holding.scope.scope};
    assert_non_null(scope_peek(&reader, &keys[0]));
    assert_null(scope_peek(&reader, &keys[1]));
    assert_int_equal(counts_of(keyspace).hits, before.hits);
    assert_int_equal(counts_of(keyspace).misses, before.misses);
    assert_non_null(scope_read(&reader, &keys[0]));
    assert_non_null(scope_read(&holding.scope.reading, &keys[0]));
    assert_null(scope_read(&reader, &keys[1]));
    assert_int_equal(counts_of(keyspace).hits, before.hits + 2);
    assert_int_equal(counts_of(keyspace).misses, before.misses + 1);
    hold_end(&holding);
}

static void a_key_is_another_one_in_each_database(void **state) {
    (void)state;
    for (uint32_t database = 0; database < 3; database++) {
        char value = (char)('0' + database);
        put(lane, database, "k", 1, (char[]){'v', value}, 2, ENTRY_NO_EXPIRY, NOW);
    }
    struct key key = key_of("k");
    struct holding holding;
    hold_shards(&holding, lane, &key, 1, NOW);
    for (uint32_t database = 0; database < 4; database++) {
        key.database = database;
        const struct entry *entry = scope_read(&holding.scope.reading, &key);
        if (database == 3) {
            assert_null(entry);
            continue;
        }
        struct string_view view;
        entry_string(entry, &view);
        assert_int_equal(view.data[1], '0' + database);
    }
    hold_end(&holding);
}

static void names_with_equal_beginnings_are_different_keys(void **state) {
    (void)state;
    char name[64];
    memset(name, 'x', sizeof name);
    for (size_t length = 0; length <= sizeof name; length++)
        put(lane, 0, name, length, name, length, ENTRY_NO_EXPIRY, NOW);
    assert_int_equal(size_of(lane, 0).keys, sizeof name + 1);
    for (size_t length = 0; length <= sizeof name; length++) {
        char out[64];
        assert_int_equal(latchkey_get(lane, name, length, out, sizeof out), length);
    }
}

static void count_entry(void *context, const struct entry *entry) {
    (void)entry;
    (*(int *)context)++;
}

static void a_scan_stops_at_its_count_and_goes_on_from_there(void **state) {
    (void)state;
    char name[32];
    for (int i = 0; i < 2000; i++) {
        struct key key = keyspace_key(keyspace, 0, name, (size_t)snprintf(name, sizeof name, "k%d", i));
        if (keyspace_shard_of(keyspace, key.hash) < 4)
            put(lane, 0, key.data, key.length, "v", 1, ENTRY_NO_EXPIRY, NOW);
        told_count = 0;
    }
    struct shard_set set;
    struct read_scope scope;
    struct rwlock *busy;
    int all = 0;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        shard_set_init(&set);
        shard_set_add(&set, shard);
        assert_true(lane_enter(lane));
        assert_true(scope_try_read(&scope, lane, &set, NOW, &busy));
        uint64_t position = keyspace_shard_position(keyspace, shard), calls = 0;
        assert_int_equal(keyspace_position_shard(keyspace, position), shard);
        while (position != SCOPE_SCAN_END) {
            int visited = 0;
            assert_int_equal(position >> 52, 0);
            assert_int_equal(keyspace_position_shard(keyspace, position), shard);
            uint64_t next = scope_scan(&scope, shard, 0, position, 1, count_entry, &visited);
            assert_true(next == SCOPE_SCAN_END || next > position);
            assert_true(visited >= 1 || next == SCOPE_SCAN_END);
            position = next;
            all += visited;
            calls++;
        }
        if (shard < 4)
            assert_true(calls > 1);
        else
            assert_int_equal(calls, 1);
        scope_end_read(&scope);
        lane_leave(lane);
    }
    assert_int_equal(all, size_of(lane, 0).keys);
}

static void a_scan_does_not_show_what_has_expired(void **state) {
    (void)state;
    put(lane, 0, "a", 1, "v", 1, NOW + 5, NOW);
    put(lane, 0, "b", 1, "v", 1, ENTRY_NO_EXPIRY, NOW);
    for (int64_t now = NOW + 4; now <= NOW + 5; now++) {
        struct holding holding;
        int visited = 0;
        hold_all(&holding, lane, now);
        struct read_scope reader = {holding.scope.scope};
        for (uint32_t shard = 0; shard < SHARDS; shard++)
            scope_scan(&reader, shard, 0, keyspace_shard_position(keyspace, shard), 100, count_entry,
                       &visited);
        hold_all_end(&holding);
        assert_int_equal(visited, now == NOW + 4 ? 2 : 1);
    }
}

static bool wants_none(void *context, const struct entry *entry) {
    (void)entry;
    ++*(int *)context;
    return false;
}

/* More than are remembered at a time, and in the last case a few between two places only. */
static void what_a_walk_meets_dead_is_removed_if_that_is_told_and_the_shard_held_alone(void **state) {
    (void)state;
    enum { KEYS = 400, DEAD = 360, SHARD = 3 };
    char name[32];
    for (int i = 0, count = 0; count < KEYS; i++) {
        struct key key = keyspace_key(keyspace, 0, name, (size_t)snprintf(name, sizeof name, "k%d", i));
        if (keyspace_shard_of(keyspace, key.hash) != SHARD) continue;
        put(lane, 0, key.data, key.length, "v", 1, count % 10 == 0 ? ENTRY_NO_EXPIRY : NOW + 5, NOW);
        count++;
        told_count = 0;
    }
    uint64_t begin = keyspace_shard_position(keyspace, SHARD);
    struct holding holding;
    int asked = 0, visited = 0;
    hold_all(&holding, lane, NOW + 5);
    const struct read_scope *reading = &holding.scope.reading;
    scope_remove_dead(reading, SHARD, 0, begin, SCOPE_SCAN_END, NULL, NULL);
    assert_int_equal(told_count, 0);
    keyspace_tell_dead(keyspace, true);
    scope_remove_dead(reading, SHARD, 0, begin, SCOPE_SCAN_END, wants_none, &asked);
    assert_int_equal(asked, DEAD);
    assert_int_equal(told_count, 0);
    uint64_t next = scope_scan(reading, SHARD, 0, begin, 20, count_entry, &visited);
    scope_remove_dead(reading, SHARD, 0, begin, next, NULL, NULL);
    assert_in_range(told_count, 1, 2 * 60);
    scope_remove_dead(reading, SHARD, 0, next, SCOPE_SCAN_END, NULL, NULL);
    assert_int_equal(told_count, 2 * DEAD);
    for (int i = 0; i < told_count; i += 2) {
        assert_true(told[i].is_before);
        assert_int_equal(told[i + 1].event, EVENT_EXPIRED);
    }
    hold_all_end(&holding);
    keyspace_tell_dead(keyspace, false);
    assert_int_equal(size_of(lane, 0).keys, KEYS - DEAD);
}

/* ------------------------------------------------------------------ what edits tell */

static void an_edit_tells_what_was_and_what_has_become(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    assert_null(edit.entry);
    edit_put_string(&edit, "one", 3, NULL, false);
    scope_changed(&edit, EVENT_SET);
    scope_edit(&holding.scope, &key, &edit);
    scope_unchanged(&edit);
    scope_edit(&holding.scope, &key, &edit);
    memcpy(edit_stretch_string(&edit, 6) + 3, "two", 3);
    scope_changed(&edit, EVENT_APPEND);
    scope_edit(&holding.scope, &key, &edit);
    edit_remove(&edit);
    scope_changed(&edit, EVENT_DEL);
    assert_int_equal(holding.scope.scope.changes, 3);
    hold_end(&holding);
    expect_told(0, true, "k", NULL, EVENT_COUNT);
    expect_told(1, false, "k", "one", EVENT_SET);
    expect_told(2, true, "k", "one", EVENT_COUNT);
    expect_told(3, true, "k", "one", EVENT_COUNT);
    expect_told(4, false, "k", "onetwo", EVENT_APPEND);
    expect_told(5, true, "k", "onetwo", EVENT_COUNT);
    expect_told(6, false, "k", NULL, EVENT_DEL);
    assert_int_equal(told_count, 7);
}

static void an_edit_of_an_expired_key_tells_of_its_end_first(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    put(lane, 0, "k", 1, "old", 3, NOW + 10, NOW);
    told_count = 0;
    uint64_t expired = counts_of(keyspace).expired;
    hold_shards(&holding, lane, &key, 1, NOW + 10);
    scope_edit(&holding.scope, &key, &edit);
    assert_null(edit.entry);
    edit_put_string(&edit, "new", 3, NULL, true);
    assert_true(entry_expiry(edit.entry) == ENTRY_NO_EXPIRY); /* a dead key's expiry is not kept */
    scope_changed(&edit, EVENT_SET);
    hold_end(&holding);
    expect_told(0, true, "k", "old", EVENT_COUNT);
    expect_told(1, false, "k", NULL, EVENT_EXPIRED);
    expect_told(2, true, "k", NULL, EVENT_COUNT);
    expect_told(3, false, "k", "new", EVENT_SET);
    assert_int_equal(told_count, 4);
    assert_int_equal(counts_of(keyspace).expired, expired + 1);
}

static void looking_at_an_expired_key_through_an_edit_removes_it(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    put(lane, 0, "k", 1, "old", 3, NOW + 10, NOW);
    hold_shards(&holding, lane, &key, 1, NOW + 11);
    scope_edit(&holding.scope, &key, &edit);
    scope_unchanged(&edit);
    hold_end(&holding);
    assert_int_equal(size_of(lane, 0).keys, 0);
}

static void expect_region(int at, bool is_before, enum event event, uint32_t database, uint32_t entries) {
    expect_told(at, is_before, "", NULL, event);
    assert_int_equal(told[at].database, database);
    assert_int_equal(told[at].shard, keyspace_shard_of(keyspace, key_of("k").hash));
    assert_int_equal(told[at].entries, entries);
}

static void flush_and_swap_show_what_was_and_tell_what_is(void **state) {
    (void)state;
    struct holding holding;
    hold_all(&holding, lane, NOW);
    keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES);
    hold_all_end(&holding);
    put(lane, 1, "k", 1, "v", 1, ENTRY_NO_EXPIRY, NOW);
    told_count = 0;
    hold_all(&holding, lane, NOW);
    keyspace_swap(&holding.scope, 1, 2);
    assert_int_equal(keyspace_flush(&holding.scope, 1), 0);
    assert_int_equal(keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES), 1);
    hold_all_end(&holding);
    assert_int_equal(told_count, 6);
    expect_region(0, true, EVENT_SWAP, 1, 1);
    assert_int_equal(told[0].other, 2);
    expect_region(1, true, EVENT_SWAP, 2, 0);
    assert_int_equal(told[1].other, 1);
    expect_region(2, false, EVENT_SWAP, 1, 0);
    expect_region(3, false, EVENT_SWAP, 2, 1);
    expect_region(4, true, EVENT_FLUSH, 2, 1);
    expect_region(5, false, EVENT_FLUSH, 2, 0);
}

static void who_listens_is_told_which_keys_are_new(void **state) {
    (void)state;
    drop(lane, 0, "k", 1, NOW);
    told_count = 0;
    put(lane, 0, "k", 1, "one", 3, NOW + 10, NOW);
    put(lane, 0, "k", 1, "two", 3, NOW + 10, NOW + 1);
    put(lane, 0, "k", 1, "three", 5, ENTRY_NO_EXPIRY, NOW + 20);
    drop(lane, 0, "k", 1, NOW + 21);
    static const struct {
        enum event event;
        bool is_new;
    } expected[] = {
        {EVENT_SET, true}, {EVENT_SET, false}, {EVENT_EXPIRED, false}, {EVENT_SET, true}, {EVENT_DEL, false}};
    int at = 0;
    for (int i = 0; i < told_count; i++) {
        if (told[i].is_before) continue;
        assert_int_equal(told[i].event, expected[at].event);
        assert_int_equal(told[i].is_new, expected[at++].is_new);
    }
    assert_int_equal(at, 5);
}

static void prefetching_needs_no_lock_and_changes_nothing(void **state) {
    (void)state;
    struct key absent = key_of("absent"), present = key_of("present");
    put(lane, 0, "present", 7, "v", 1, ENTRY_NO_EXPIRY, NOW);
    bool is_written;
    uint32_t version = version_of(keyspace_shard_of(keyspace, present.hash), &is_written);
    assert_true(lane_enter(other_lane));
    for (uint32_t database = 0; database < 4; database++) {
        present.database = absent.database = database;
        keyspace_prefetch(other_lane, &present, 1);
        keyspace_prefetch(other_lane, &absent, 1);
    }
    lane_leave(other_lane);
    assert_int_equal(version_of(keyspace_shard_of(keyspace, present.hash), &is_written), version);
}

/* ------------------------------------------------------------------ assertions */

#ifdef DEBUG_ASSERTIONS
/* A key that stands in that shard. */
static struct key key_in_shard(uint32_t shard, char *name, size_t size) {
    for (int i = 0;; i++) {
        struct key key = keyspace_key(keyspace, 0, name, (size_t)snprintf(name, size, "in%u:%d", shard, i));
        if (keyspace_shard_of(keyspace, key.hash) == shard) return key;
    }
}

/* Holds the shard of `held` and begins an edit of another shard's key. */
static void edit_outside_the_scope(void *context) {
    char first[32], second[32];
    struct key held = key_in_shard(1, first, sizeof first), other = key_in_shard(2, second, sizeof second);
    struct holding holding;
    struct edit edit;
    (void)context;
    hold_shards(&holding, lane, &held, 1, NOW);
    scope_edit(&holding.scope, &other, &edit);
}

static void read_outside_the_scope(void *context) {
    char first[32], second[32];
    struct key held = key_in_shard(1, first, sizeof first), other = key_in_shard(2, second, sizeof second);
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &held, 1, NOW);
    scope_read(&holding.scope.reading, &other);
}

static void scan_outside_the_scope(void *context) {
    char first[32];
    struct key held = key_in_shard(1, first, sizeof first);
    struct holding holding;
    int visited = 0;
    (void)context;
    hold_shards(&holding, lane, &held, 1, NOW);
    struct read_scope reader = {holding.scope.scope};
    scope_scan(&reader, 2, 0, keyspace_shard_position(keyspace, 2), 10, count_entry, &visited);
}

static void edit_through_a_shared_scope(void *context) {
    struct key key = key_of("k");
    struct shard_set set;
    struct read_scope reader;
    struct rwlock *busy;
    struct edit edit;
    (void)context;
    shard_set_init(&set);
    shard_set_add(&set, keyspace_shard_of(keyspace, key.hash));
    lane_enter(lane);
    scope_try_read(&reader, lane, &set, NOW, &busy);
    scope_edit((struct write_scope *)&reader, &key, &edit);
}

static void edit_two_at_once(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    struct edit first, second;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &first);
    scope_edit(&holding.scope, &key, &second);
}

static void end_while_editing(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    scope_end_write(&holding.scope);
}

static void change_and_say_nothing(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    edit_put_string(&edit, "v", 1, NULL, false);
    scope_unchanged(&edit);
}

static void leave_with_a_scope(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    lane_leave(lane);
}

static void wait_with_a_scope(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_wait(lane, keyspace_lock(keyspace, 0), true);
}

static void take_outside_the_gate(void *context) {
    struct shard_set set;
    struct write_scope writer;
    struct rwlock *busy;
    (void)context;
    shard_set_init(&set);
    shard_set_add(&set, 0);
    scope_try_write(&writer, lane, &set, NOW, &busy);
}

static void read_after_the_end(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_end_write(&holding.scope);
    struct read_scope reader = {holding.scope.scope};
    scope_scan(&reader, 0, 0, 0, 1, count_entry, NULL);
}

static void hold_all_through_an_open_gate(void *context) {
    struct write_scope scope;
    (void)context;
    scope_all(&scope, lane, NOW);
}

static void flush_without_all(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES);
}

static void swap_without_all(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    keyspace_swap(&holding.scope, 0, 1);
}

static void shorten(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    edit_put_string(&edit, "value", 5, NULL, false);
    edit_stretch_string(&edit, 4);
}

static void expire_what_is_absent(void *context) {
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    (void)context;
    hold_shards(&holding, lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    edit_set_expiry(&edit, 1);
}

static void listen_late(void *context) {
    (void)context;
    keyspace_listen(keyspace, &(struct keyspace_listener){NULL});
}

static void close_with_a_lane(void *context) {
    (void)context;
    keyspace_close(keyspace);
}
#endif

static void breaking_the_rules_aborts_a_debug_build(void **state) {
    (void)state;
#ifdef DEBUG_ASSERTIONS
    void (*const crimes[])(void *) = {
        edit_outside_the_scope,
        read_outside_the_scope,
        scan_outside_the_scope,
        edit_through_a_shared_scope,
        edit_two_at_once,
        end_while_editing,
        change_and_say_nothing,
        leave_with_a_scope,
        wait_with_a_scope,
        take_outside_the_gate,
        read_after_the_end,
        hold_all_through_an_open_gate,
        flush_without_all,
        swap_without_all,
        shorten,
        expire_what_is_absent,
        listen_late,
        close_with_a_lane,
    };
    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++)
        if (status_of_child(crimes[i], NULL) != 128 + SIGABRT) fail_msg("number %zu was not noticed", i);
#else
    skip();
#endif
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, start_over)
    const struct CMUnitTest tests[] = {
        TEST(a_set_is_ascending_and_distinct_however_large),
        TEST(readers_of_a_shard_share_it_and_a_writer_does_not),
        TEST(a_take_that_fails_holds_nothing),
        TEST(who_waits_for_one_of_a_scopes_shards_is_woken_when_all_are_released),
        TEST(a_scope_grows_by_what_is_free_and_keeps_what_it_has),
        TEST(versions_tell_of_writers_and_of_nobody_else),
        TEST(takes_are_counted_by_shard),
        TEST(a_scope_of_no_shards_holds_nothing),
        TEST(a_thread_that_may_sleep_gets_the_shard_when_it_is_released),
        TEST(hits_misses_and_peeks_are_told_apart),
        TEST(a_key_is_another_one_in_each_database),
        TEST(names_with_equal_beginnings_are_different_keys),
        TEST(a_scan_stops_at_its_count_and_goes_on_from_there),
        TEST(a_scan_does_not_show_what_has_expired),
        TEST(what_a_walk_meets_dead_is_removed_if_that_is_told_and_the_shard_held_alone),
        TEST(an_edit_tells_what_was_and_what_has_become),
        TEST(an_edit_of_an_expired_key_tells_of_its_end_first),
        TEST(looking_at_an_expired_key_through_an_edit_removes_it),
        TEST(flush_and_swap_show_what_was_and_tell_what_is),
        TEST(who_listens_is_told_which_keys_are_new),
        TEST(prefetching_needs_no_lock_and_changes_nothing),
        TEST(breaking_the_rules_aborts_a_debug_build),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
