/* Reads without the lock (shard/scope/look.c, glance.c): what they see, what makes them fail, and that what
 * they saw was there at one moment. */
#include "tests/engine.h"

#include "shard/store/shard.h"

#define NOW 1000000
#define SHARDS 16

static struct keyspace *keyspace;
static struct lane *lane, *writer_lane;
static struct look look;

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(SHARDS, 2, 11);
    lane = lane_attach(keyspace);
    writer_lane = lane_attach(keyspace);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    lane_detach(writer_lane);
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
    return 0;
}

static struct key key_of(const char *name) {
    return keyspace_key(keyspace, 0, name, strlen(name));
}

static void set(const char *name, const char *value, int64_t expiry) {
    put(writer_lane, 0, name, strlen(name), value, strlen(value), expiry, NOW);
}

static void begin(struct read_scope *scope) {
    assert_true(lane_enter(lane));
    scope_look(scope, lane, &look, NOW);
}

static bool end(struct read_scope *scope) {
    bool is_sound = scope_end_look(scope);
    lane_leave(lane);
    return is_sound;
}

static void check_value(const struct entry *entry, const char *value) {
    struct string_view view;
    assert_non_null(entry);
    entry_string(entry, &view);
    assert_int_equal(view.length, strlen(value));
    assert_memory_equal(view.data, value, view.length);
}

/* The value as who wants a string reads it; NULL: there is none. */
static void check_string(const struct read_scope *scope, const struct key *key, const char *value) {
    struct plain_string plain;
    const struct entry *entry = scope_read_string(scope, key, &plain);
    if (plain.entry == NULL) {
        if (value != NULL)
            check_value(entry, value);
        else
            assert_null(entry);
        return;
    }
    assert_null(entry);
    assert_non_null(value);
    assert_int_equal(plain.length, strlen(value));
    char *copy = malloc(plain.length + 1); /* no longer, so that AddressSanitizer sees who writes beyond it */
    assert_non_null(copy);
    plain_string_copy(&plain, copy);
    assert_memory_equal(copy, value, plain.length);
    free(copy);
}

static struct shard_set held;

static void take_shared(struct read_scope *scope, const struct key *key) {
    struct rwlock *busy;
    assert_true(lane_enter(lane));
    shard_set_init(&held);
    assert_true(shard_set_add(&held, keyspace_shard_of(keyspace, key->hash)));
    assert_true(scope_try_read(scope, lane, &held, NOW, &busy));
}

static void give_back(struct read_scope *scope) {
    scope_end_read(scope);
    shard_set_free(&held);
    lane_leave(lane);
}

/* ------------------------------------------------------------------ what is seen */

static void every_form_of_a_string_is_seen_as_it_is(void **state) {
    (void)state;
    static char large[40000], middle[700], name[400];
    memset(large, 'l', sizeof large - 1);
    memset(middle, 'm', sizeof middle - 1);
    memset(name, 'n', sizeof name - 1);
    const char *const pairs[][2] = {
        {"integer", "-1234567890123"},
        {"short", "v"},
        {"empty", ""},
        {"inline", "0123456789012345678901234567890123456789012345678901234567890"},
        {"apart", middle},
        {"blob", large},
        {name, "long key"},
        {"", "empty key"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        for (int expires = 0; expires < 2; expires++) {
            struct read_scope scope;
            struct key key = key_of(pairs[i][0]);
            set(pairs[i][0], pairs[i][1], expires ? NOW + 5000 : ENTRY_NO_EXPIRY);
            begin(&scope);
            const struct entry *entry = scope_read(&scope, &key);
            check_value(entry, pairs[i][1]);
            assert_int_equal(entry_expiry(entry), expires ? NOW + 5000 : ENTRY_NO_EXPIRY);
            check_string(&scope, &key, pairs[i][1]);
            assert_true(end(&scope));
            take_shared(&scope, &key);
            check_string(&scope, &key, pairs[i][1]);
            give_back(&scope);
        }
}

static void the_absent_and_the_expired_are_not_seen(void **state) {
    (void)state;
    struct key absent = key_of("absent"), expired = key_of("expired");
    struct read_scope scope;
    set("expired", "v", NOW + 1);
    assert_true(lane_enter(lane));
    scope_look(&scope, lane, &look, NOW + 1);
    assert_null(scope_read(&scope, &absent));
    assert_null(scope_peek(&scope, &expired));
    check_string(&scope, &absent, NULL);
    check_string(&scope, &expired, NULL);
    assert_true(end(&scope));
}

/* ------------------------------------------------------------------ what fetching ahead has found */

/* Also where the lookup begins anew because what was found holds no longer. */
static void check_fetched(struct key *key, const struct fetch *fetch, bool is_good, const char *value) {
    struct read_scope scope;
    scope_look(&scope, lane, &look, NOW);
    key->fetch = fetch;
    check_string(&scope, key, value);
    key->fetch = NULL;
    assert_true(scope_end_look(&scope));
    uint32_t version = rwlock_version(keyspace_lock(keyspace, keyspace_shard_of(keyspace, key->hash)));
    assert_int_equal(is_good, fetch->home.bucket != NULL && fetch->version == version &&
                                  fetch->voidings == lane->voidings);
}

static void a_lookup_goes_on_from_what_was_fetched_while_nobody_writes(void **state) {
    (void)state;
    struct key key = key_of("k"), absent = key_of("absent"), elsewhere = key_of("k");
    struct fetch fetch, fetch_absent;
    elsewhere.database = 1;
    set("k", "old", ENTRY_NO_EXPIRY);
    put(writer_lane, 1, "k", 1, "other", 5, ENTRY_NO_EXPIRY, NOW);
    assert_true(lane_enter(lane));
    fetch_home(lane, key.hash, 0, &fetch);
    fetch_home(lane, absent.hash, 0, &fetch_absent);
    fetch_entry(&fetch, key.hash);
    fetch_spilled(&fetch, key.hash);
    check_fetched(&key, &fetch, true, "old");
    /* Of a table that isn't there, nothing is known. */
    check_fetched(&absent, &fetch_absent, fetch_absent.home.bucket != NULL, NULL);
    /* A fetch is about one database. */
    check_fetched(&elsewhere, &fetch, true, "other");
    set("k", "another, and longer", ENTRY_NO_EXPIRY);
    check_fetched(&key, &fetch, false, "another, and longer");
    lane_leave(lane);
}

static void what_was_fetched_is_void_after_a_flush(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct fetch fetch;
    set("k", "v", ENTRY_NO_EXPIRY);
    assert_true(lane_enter(lane));
    fetch_home(lane, key.hash, 0, &fetch);
    check_fetched(&key, &fetch, true, "v");
    lane_leave(lane);
    start_over(NULL); /* which needs no shard's lock, and changes no version */
    assert_true(lane_enter(lane));
    check_fetched(&key, &fetch, false, NULL);
    lane_leave(lane);
}

static void a_writer_goes_on_from_what_was_fetched(void **state) {
    (void)state;
    char name[16];
    assert_true(lane_enter(lane));
    /* Tables grow meanwhile, and homes move. */
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "%d", i % 10000);
        struct key key = key_of(name);
        struct fetch fetch;
        fetch_home(lane, key.hash, 0, &fetch);
        if (i % 3 == 0) set(name, "in between", ENTRY_NO_EXPIRY);
        key.fetch = &fetch;
        struct write_scope writing;
        struct rwlock *busy;
        struct edit edit;
        shard_set_init(&held);
        assert_true(shard_set_add(&held, keyspace_shard_of(keyspace, key.hash)));
        assert_true(scope_try_write(&writing, lane, &held, NOW, &busy));
        scope_edit(&writing, &key, &edit);
        assert_true(edit_put_string(&edit, name, key.length, NULL, false));
        scope_changed(&edit, EVENT_SET);
        scope_end_write(&writing);
        shard_set_free(&held);
        key.fetch = NULL;
        struct read_scope scope;
        scope_look(&scope, lane, &look, NOW);
        check_string(&scope, &key, name);
        assert_true(scope_end_look(&scope));
    }
    lane_leave(lane);
    assert_int_equal(size_of(lane, 0).keys, 10000);
}

/* The version is the same until the shard is given back, but its homes may have moved. */
static void a_writer_finds_what_it_has_moved_itself(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static char names[COUNT][16];
    struct key first = key_of("0");
    struct write_scope writing;
    struct fetch fetch;
    struct rwlock *busy;
    struct edit edit;
    set("0", "first", ENTRY_NO_EXPIRY);
    assert_true(lane_enter(lane));
    fetch_home(lane, first.hash, 0, &fetch);
    first.fetch = &fetch;
    shard_set_init(&held);
    assert_true(shard_set_add(&held, keyspace_shard_of(keyspace, first.hash)));
    assert_true(scope_try_write(&writing, lane, &held, NOW, &busy));
    for (int i = 1, put = 0; put < COUNT; i++) {
        snprintf(names[put], sizeof names[put], "%d", i);
        struct key key = key_of(names[put]);
        if (keyspace_shard_of(keyspace, key.hash) != held.numbers[0]) continue;
        scope_edit(&writing, &key, &edit);
        assert_true(edit_put_string(&edit, names[put], key.length, NULL, false));
        scope_changed(&edit, EVENT_SET);
        check_value(scope_read(&writing.reading, &first), "first");
        put++;
    }
    scope_end_write(&writing);
    shard_set_free(&held);
    lane_leave(lane);
}

static void hits_and_misses_count_when_the_look_holds(void **state) {
    (void)state;
    struct key there = key_of("there"), absent = key_of("absent");
    struct keyspace_counts before = counts_of(keyspace), after;
    struct read_scope scope;
    set("there", "v", ENTRY_NO_EXPIRY);
    begin(&scope);
    scope_read(&scope, &there);
    scope_read(&scope, &absent);
    scope_peek(&scope, &there);
    assert_true(end(&scope));
    begin(&scope);
    scope_read(&scope, &there);
    set("there", "w", ENTRY_NO_EXPIRY);
    assert_false(end(&scope));
    after = counts_of(keyspace);
    assert_int_equal(after.hits - before.hits, 1);
    assert_int_equal(after.misses - before.misses, 1);
    assert_int_equal(after.looks - before.looks, 1);
    assert_int_equal(after.failed_looks - before.failed_looks, 1);
}

static void a_look_takes_no_lock_and_leaves_versions_alone(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct keyspace_counts before = counts_of(keyspace);
    struct read_scope scope;
    set("k", "v", ENTRY_NO_EXPIRY);
    uint64_t word = atomic_load(&keyspace_lock(keyspace, keyspace_shard_of(keyspace, key.hash))->word);
    begin(&scope);
    check_value(scope_read(&scope, &key), "v");
    assert_true(end(&scope));
    assert_int_equal(atomic_load(&keyspace_lock(keyspace, keyspace_shard_of(keyspace, key.hash))->word),
                     word);
    assert_int_equal(counts_of(keyspace).shared_takes, before.shared_takes);
}

/* A bucket has room for eight; so many keys make some of them overflow, whatever the hash. */
static void what_overflows_its_bucket_is_seen_too(void **state) {
    (void)state;
    char name[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "many:%d", i);
        set(name, name, ENTRY_NO_EXPIRY);
    }
    for (int i = 0; i < 5500; i++) {
        struct read_scope scope;
        snprintf(name, sizeof name, "many:%d", i);
        struct key key = key_of(name);
        begin(&scope);
        const struct entry *entry = scope_read(&scope, &key);
        if (i < 5000)
            check_value(entry, name);
        else
            assert_null(entry);
        assert_true(end(&scope));
    }
}

/* ------------------------------------------------------------------ what makes it fail */

static void a_writer_in_between_makes_it_fail_and_one_elsewhere_does_not(void **state) {
    (void)state;
    struct key key = key_of("a");
    struct read_scope scope;
    char other[32] = "b0";
    for (int i = 1; keyspace_shard_of(keyspace, key_of(other).hash) == keyspace_shard_of(keyspace, key.hash);
         i++)
        snprintf(other, sizeof other, "b%d", i);
    set("a", "1", ENTRY_NO_EXPIRY);
    begin(&scope);
    check_value(scope_read(&scope, &key), "1");
    set(other, "x", ENTRY_NO_EXPIRY);
    assert_true(end(&scope));
    begin(&scope);
    check_value(scope_read(&scope, &key), "1");
    set("a", "2", ENTRY_NO_EXPIRY);
    assert_false(end(&scope));
}

static void a_shard_that_is_held_exclusively_can_not_be_looked_at(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct holding holding;
    struct read_scope scope;
    set("k", "v", ENTRY_NO_EXPIRY);
    hold_shards(&holding, writer_lane, &key, 1, NOW);
    begin(&scope);
    assert_null(scope_read(&scope, &key));
    assert_false(end(&scope));
    hold_end(&holding);
    begin(&scope);
    check_value(scope_read(&scope, &key), "v");
    assert_true(end(&scope));
}

static void a_string_that_grows_in_place_needs_the_lock(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct holding holding;
    struct edit edit;
    struct read_scope scope;
    hold_shards(&holding, writer_lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    assert_non_null(edit_stretch_string(&edit, 10));
    scope_changed(&edit, EVENT_SETRANGE);
    hold_end(&holding);
    begin(&scope);
    assert_null(scope_read(&scope, &key));
    assert_false(end(&scope));
}

static void more_than_fits_needs_the_lock(void **state) {
    (void)state;
    struct read_scope scope;
    struct key key = key_of("absent");
    begin(&scope);
    for (int i = 0; i < LOOK_SHARDS; i++) scope_read(&scope, &key);
    assert_true(end(&scope));
    begin(&scope);
    for (int i = 0; i <= LOOK_SHARDS; i++) scope_read(&scope, &key);
    assert_false(end(&scope));
    static char name[LOOK_BYTES];
    memset(name, 'n', sizeof name - 1);
    set(name, "long", ENTRY_NO_EXPIRY);
    key = key_of(name);
    begin(&scope);
    assert_null(scope_read(&scope, &key));
    assert_false(end(&scope));
}

/* Whatever lets others free what was seen before. */
static void homes_seen_before_a_lane_lets_memory_go_are_void(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct fetch fetch;
    set("k", "v", ENTRY_NO_EXPIRY);
    assert_true(lane_enter(lane));
    fetch_home(lane, key.hash, 0, &fetch);
    assert_int_equal(fetch.voidings, lane->voidings);
    lane_refresh(lane);
    assert_int_not_equal(fetch.voidings, lane->voidings);
    fetch_home(lane, key.hash, 0, &fetch);
    lane_hold_still(lane);
    assert_int_not_equal(fetch.voidings, lane->voidings);
    fetch_home(lane, key.hash, 0, &fetch);
    lane_leave(lane);
    assert_int_not_equal(fetch.voidings, lane->voidings);
}

/* ------------------------------------------------------------------ glances */

#define ROOM 100

/* What a glance brings, with guards around it. */
struct seen {
    bool is_sound;
    ssize_t length;
    char before, out[ROOM], after;
};

static struct seen glance_with_room(const char *name, size_t name_length, size_t size, int64_t now,
                                    int64_t latest) {
    struct seen seen = {.before = 'x', .after = 'x'};
    struct key key = keyspace_key(keyspace, 0, name, name_length);
    struct glance glance;
    memset(seen.out, 'x', sizeof seen.out);
    assert_true(lane_enter(lane));
    scope_glance(lane, key.hash, 0, &glance);
    struct moment moment = {now, latest};
    seen.is_sound = scope_glance_end(lane, &glance, &key, &moment, seen.out, size, &seen.length);
    lane_leave(lane);
    assert_true(seen.before == 'x' && seen.after == 'x');
    for (size_t i = size; i < ROOM; i++) assert_int_equal(seen.out[i], 'x');
    return seen;
}

static struct seen glance_at(const char *name) {
    return glance_with_room(name, strlen(name), ROOM, NOW, NOW);
}

/* Keys and values begin and end anywhere in a word. */
static void a_glance_sees_keys_and_values_of_all_lengths(void **state) {
    (void)state;
    static const size_t name_lengths[] = {0, 1, 7, 8, 9, 16, 30, 254, 255, 256, 300, 1027};
    char name[1100], value[ROOM];
    for (size_t i = 0; i < sizeof name - 1; i++) name[i] = (char)('a' + i * 7 % 26);
    for (size_t i = 0; i < sizeof value; i++) value[i] = (char)('A' + i * 11 % 26);
    for (size_t n = 0; n < sizeof name_lengths / sizeof name_lengths[0]; n++)
        for (size_t length = 0; length <= ROOM; length += length < 24 ? 1 : 19)
            for (int expires = 0; expires < 2; expires++) {
                put(writer_lane, 0, name, name_lengths[n], value, length, expires ? NOW + 5 : ENTRY_NO_EXPIRY,
                    NOW);
                for (size_t size = 0; size <= ROOM; size += 25) {
                    struct seen seen = glance_with_room(name, name_lengths[n], size, NOW, NOW + 4);
                    assert_true(seen.is_sound);
                    assert_int_equal(seen.length, length);
                    assert_memory_equal(seen.out, value, length < size ? length : size);
                }
            }
}

static void a_glance_sees_every_form_of_a_string_but_one_that_grows_in_place(void **state) {
    (void)state;
    static char large[40000], middle[700];
    memset(large, 'l', sizeof large - 1);
    memset(middle, 'm', sizeof middle - 1);
    set("integer", "-1234567890123", ENTRY_NO_EXPIRY);
    set("apart", middle, NOW + 1);
    set("blob", large, ENTRY_NO_EXPIRY);
    struct seen seen = glance_at("integer");
    assert_true(seen.is_sound && seen.length == 14 && memcmp(seen.out, "-1234567890123", 14) == 0);
    seen = glance_at("apart");
    assert_true(seen.is_sound && seen.length == sizeof middle - 1 && memcmp(seen.out, middle, ROOM) == 0);
    seen = glance_at("blob");
    assert_true(seen.is_sound && seen.length == sizeof large - 1 && memcmp(seen.out, large, ROOM) == 0);
    struct key key = key_of("integer");
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, writer_lane, &key, 1, NOW);
    scope_edit(&holding.scope, &key, &edit);
    assert_non_null(edit_stretch_string(&edit, 20));
    scope_changed(&edit, EVENT_SETRANGE);
    hold_end(&holding);
    assert_false(glance_at("integer").is_sound);
}

static void a_glance_knows_the_time_as_well_as_it_is_told(void **state) {
    (void)state;
    set("mortal", "v", NOW + 10);
    size_t length = strlen("mortal");
    struct seen seen = glance_with_room("mortal", length, ROOM, NOW, NOW + 9);
    assert_true(seen.is_sound && seen.length == 1);
    assert_false(glance_with_room("mortal", length, ROOM, NOW, NOW + 10).is_sound);
    seen = glance_with_room("mortal", length, ROOM, NOW + 10, NOW + 20);
    assert_true(seen.is_sound && seen.length == -1);
    seen = glance_at("absent");
    assert_true(seen.is_sound && seen.length == -1);
}

static void a_glance_counts_like_a_look(void **state) {
    (void)state;
    struct keyspace_counts before = counts_of(keyspace), after;
    set("there", "v", ENTRY_NO_EXPIRY);
    assert_true(glance_at("there").is_sound);
    assert_true(glance_at("absent").is_sound);
    struct key key = key_of("there");
    struct holding holding;
    hold_shards(&holding, writer_lane, &key, 1, NOW);
    assert_false(glance_at("there").is_sound);
    hold_end(&holding);
    after = counts_of(keyspace);
    assert_int_equal(after.hits - before.hits, 1);
    assert_int_equal(after.misses - before.misses, 1);
    assert_int_equal(after.looks - before.looks, 2);
    assert_int_equal(after.failed_looks - before.failed_looks, 1);
}

static void a_glance_fails_if_its_shard_was_written_to_meanwhile(void **state) {
    (void)state;
    struct key key = key_of("k");
    struct glance glance;
    ssize_t length;
    char out[8];
    set("k", "v", ENTRY_NO_EXPIRY);
    assert_true(lane_enter(lane));
    scope_glance(lane, key.hash, 0, &glance);
    set("k", "w", ENTRY_NO_EXPIRY);
    assert_false(scope_glance_end(lane, &glance, &key, &(struct moment){NOW, NOW}, out, sizeof out, &length));
    lane_leave(lane);
}

/* ------------------------------------------------------------------ with a writer at work */

#define KEYS 4
#define BYTES 60

struct race {
    _Atomic bool is_over;
    uint64_t looks, sound;
};

static void name_of(char name[16], int i) {
    snprintf(name, 16, "racer:%d", i);
}

/* Sets all keys at once to the same digit, over and over; in between deletes one and makes it anew, so that
 * entries and tables change. */
static void *write_rounds(void *context) {
    struct race *race = context;
    char names[KEYS][16], value[BYTES];
    struct key keys[KEYS];
    for (int i = 0; i < KEYS; i++) {
        name_of(names[i], i);
        keys[i] = key_of(names[i]);
    }
    for (uint64_t round = 0; !atomic_load_explicit(&race->is_over, memory_order_relaxed); round++) {
        struct holding holding;
        hold_shards(&holding, writer_lane, keys, KEYS, NOW);
        memset(value, 'a' + (int)(round % 26), sizeof value);
        for (int i = 0; i < KEYS; i++) {
            struct edit edit;
            scope_edit(&holding.scope, &keys[i], &edit);
            if (round % 7 == 0 && edit.entry != NULL) edit_remove(&edit);
            CHECK(edit_put_string(&edit, value, round % 5 == 0 ? BYTES : BYTES / 2, NULL, false));
            scope_changed(&edit, EVENT_SET);
        }
        hold_end(&holding);
        if (round % 64 == 0) keyspace_reclaim(writer_lane);
    }
    return NULL;
}

static void what_is_seen_of_many_keys_was_there_at_one_moment(void **state) {
    (void)state;
    struct race race = {0};
    char names[KEYS][16];
    pthread_t thread;
    for (int i = 0; i < KEYS; i++) {
        name_of(names[i], i);
        set(names[i], "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ENTRY_NO_EXPIRY);
    }
    assert_int_equal(pthread_create(&thread, NULL, write_rounds, &race), 0);
    uint64_t wanted = SCALED(100000, 5000);
    while (race.sound < wanted) {
        struct read_scope scope;
        char seen[KEYS][BYTES];
        size_t lengths[KEYS] = {0};
        assert_true(lane_enter(lane));
        scope_look(&scope, lane, &look, NOW);
        for (int i = 0; i < KEYS; i++) {
            struct key key = key_of(names[i]);
            const struct entry *entry = scope_read(&scope, &key);
            if (entry == NULL) continue;
            struct string_view view;
            entry_string(entry, &view);
            lengths[i] =
                view.length < BYTES ? view.length : BYTES; /* unchecked until the end: may be anything */
            memcpy(seen[i], view.data, lengths[i]);
        }
        bool is_sound = scope_end_look(&scope);
        lane_leave(lane);
        race.looks++;
        if (!is_sound) continue;
        race.sound++;
        for (int i = 0; i < KEYS; i++) {
            assert_true(lengths[i] == lengths[0] && lengths[i] >= BYTES / 2);
            for (size_t k = 0; k < lengths[i]; k++) assert_int_equal(seen[i][k], seen[0][0]);
        }
    }
    atomic_store(&race.is_over, true);
    pthread_join(thread, NULL);
    print_message("%llu of %llu looks held\n", (unsigned long long)race.sound,
                  (unsigned long long)race.looks);
}

#define LONG_NAME 200
#define HOME_FULL (BUCKET_SLOTS + 2)

/* Names whose home is one and the same, so that the last two stand in its spill: there one takes the other's
 * place. */
static void crowd_find(char names[HOME_FULL][LONG_NAME + 1]) {
    const struct bucket *wanted = NULL;
    set("crowd:0", "x", ENTRY_NO_EXPIRY); /* its shard has a table */
    assert_true(lane_enter(lane));
    for (int found = 0, i = 0; found < HOME_FULL; i++) {
        char name[LONG_NAME + 1];
        size_t length = (size_t)snprintf(name, sizeof name, "crowd:%d", i);
        if (found == BUCKET_SLOTS) memset(name + length, 'l', LONG_NAME - length), name[LONG_NAME] = '\0';
        struct fetch fetch;
        fetch_home(lane, key_of(name).hash, 0, &fetch);
        if (i == 0) wanted = fetch.home.bucket;
        if (fetch.home.bucket == NULL || fetch.home.bucket != wanted) continue;
        memcpy(names[found++], name, sizeof name);
    }
    lane_leave(lane);
}

struct exchange {
    _Atomic bool is_over;
    char names[HOME_FULL][LONG_NAME + 1];
};

static void *exchange_rounds(void *context) {
    struct exchange *exchange = context;
    for (uint64_t round = 0; !atomic_load_explicit(&exchange->is_over, memory_order_relaxed); round++) {
        const char *goes = exchange->names[BUCKET_SLOTS + round % 2],
                   *comes = exchange->names[BUCKET_SLOTS + (round + 1) % 2];
        CHECK(latchkey_delete(writer_lane, goes, strlen(goes)));
        CHECK(latchkey_set(writer_lane, &(struct latchkey_item){.key = comes,
                                                                .key_length = strlen(comes),
                                                                .value = comes,
                                                                .value_length = 7}) == LATCHKEY_OK);
    }
    return NULL;
}

static void who_takes_ones_place_in_a_spill_is_not_taken_for_one(void **state) {
    (void)state;
    static struct exchange exchange;
    pthread_t thread;
    atomic_store(&exchange.is_over, false);
    crowd_find(exchange.names);
    for (int i = 0; i <= BUCKET_SLOTS; i++) set(exchange.names[i], exchange.names[i], ENTRY_NO_EXPIRY);
    const char *wanted = exchange.names[BUCKET_SLOTS];
    assert_int_equal(pthread_create(&thread, NULL, exchange_rounds, &exchange), 0);
    uint64_t seen = 0;
    for (uint64_t i = 0; i < SCALED(3000000, 300000); i++) {
        char out[LONG_NAME];
        ssize_t length = latchkey_get(lane, wanted, LONG_NAME, out, sizeof out);
        if (length < 0) continue;
        seen++;
        assert_true(length == 7 || length == LONG_NAME);
        assert_memory_equal(out, wanted, (size_t)length);
    }
    atomic_store(&exchange.is_over, true);
    pthread_join(thread, NULL);
    assert_true(seen > 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, start_over)
    const struct CMUnitTest tests[] = {
        TEST(every_form_of_a_string_is_seen_as_it_is),
        TEST(the_absent_and_the_expired_are_not_seen),
        TEST(a_lookup_goes_on_from_what_was_fetched_while_nobody_writes),
        TEST(what_was_fetched_is_void_after_a_flush),
        TEST(a_writer_goes_on_from_what_was_fetched),
        TEST(a_writer_finds_what_it_has_moved_itself),
        TEST(homes_seen_before_a_lane_lets_memory_go_are_void),
        TEST(hits_and_misses_count_when_the_look_holds),
        TEST(a_look_takes_no_lock_and_leaves_versions_alone),
        TEST(what_overflows_its_bucket_is_seen_too),
        TEST(a_writer_in_between_makes_it_fail_and_one_elsewhere_does_not),
        TEST(a_shard_that_is_held_exclusively_can_not_be_looked_at),
        TEST(a_string_that_grows_in_place_needs_the_lock),
        TEST(more_than_fits_needs_the_lock),
        TEST(a_glance_sees_keys_and_values_of_all_lengths),
        TEST(a_glance_sees_every_form_of_a_string_but_one_that_grows_in_place),
        TEST(a_glance_knows_the_time_as_well_as_it_is_told),
        TEST(a_glance_counts_like_a_look),
        TEST(a_glance_fails_if_its_shard_was_written_to_meanwhile),
        TEST(what_is_seen_of_many_keys_was_there_at_one_moment),
        TEST(who_takes_ones_place_in_a_spill_is_not_taken_for_one),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
