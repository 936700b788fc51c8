/* shard/latchkey.h as a program would use it that embeds the engine and includes nothing else of it. */
#include "shard/latchkey.h"

#include "tests/engine.h"

#include <limits.h>
#include <sched.h>

static struct keyspace *cache;
static struct lane *lane;

static int open_cache(void **state) {
    (void)state;
    cache = keyspace_open(&(struct keyspace_options){.shards = 32});
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

static struct latchkey_item item(const char *key, const char *value) {
    return (struct latchkey_item){
        .key = key, .key_length = strlen(key), .value = value, .value_length = strlen(value)};
}

static enum latchkey_result set(const char *key, const char *value) {
    struct latchkey_item it = item(key, value);
    return latchkey_set(lane, &it);
}

static void expect_stored(const char *key, const char *value) {
    char out[256];
    ssize_t length = latchkey_get(lane, key, strlen(key), out, sizeof out);
    if (value == NULL) {
        assert_int_equal(length, -1);
        return;
    }
    assert_int_equal(length, strlen(value));
    assert_memory_equal(out, value, strlen(value));
}

/* ------------------------------------------------------------------ one key */

static void what_is_set_can_be_got_and_deleted(void **state) {
    (void)state;
    expect_stored("k", NULL);
    assert_int_equal(set("k", "value"), LATCHKEY_OK);
    expect_stored("k", "value");
    assert_int_equal(set("k", "12345"), LATCHKEY_OK);
    expect_stored("k", "12345");
    assert_true(latchkey_delete(lane, "k", 1));
    assert_false(latchkey_delete(lane, "k", 1));
    expect_stored("k", NULL);
}

struct found {
    struct key key;
    bool is_present;
    char encoding[16];
    int64_t expiry, now;
};

static void find(void *context, const struct read_scope *scope) {
    struct found *found = context;
    const struct entry *entry = scope_peek(scope, &found->key);
    found->is_present = entry != NULL;
    found->now = scope->scope.now;
    snprintf(found->encoding, sizeof found->encoding, "%s", entry != NULL ? entry_encoding_name(entry) : "");
    found->expiry = entry != NULL ? entry_expiry(entry) : ENTRY_NO_EXPIRY;
}

static struct found look(const char *name) {
    struct found found = {.key = keyspace_key(cache, 0, name, strlen(name))};
    latchkey_read(lane, &found.key, 1, find, &found);
    return found;
}

static void a_new_value_is_the_same_however_it_takes_its_place(void **state) {
    (void)state;
    static const struct {
        const char *before, *after, *encoding;
        int64_t lives;
        bool is_in_place;
    } cases[] = {
        {"thirty bytes, which are embstr", "thirty others, embstr as well!", "embstr", 0, true},
        {"fifty bytes and more are raw, as Redis would have it",
         "and fifty others, as many, so that they fit in there", "raw", 0, true},
        {"thirty bytes, which are embstr", "one more than there were before", "embstr", 0, false},
        {"thirty bytes, which are embstr", "thirty others, embstr as well!", "embstr", 60000, false},
        {"twenty bytes of text", "-1234567890123456789", "int", 0, false},
        {"twenty bytes of text", "12345678901234567890", "embstr", 0, true},
        {"-1234567890123456789", "twenty bytes of text", "embstr", 0, false},
        {"short", "other", "embstr", 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct latchkey_item before = item("k", cases[i].before);
        before.lives = cases[i].lives;
        assert_int_equal(latchkey_set(lane, &before), LATCHKEY_OK);
        assert_true(look("k").is_present);
        assert_true((look("k").expiry != ENTRY_NO_EXPIRY) == (cases[i].lives > 0));
        struct keyspace_counts counts = counts_of(cache);
        assert_int_equal(set("k", cases[i].after), LATCHKEY_OK);
        assert_int_equal(counts_of(cache).changes, counts.changes + 1);
        assert_int_equal(counts_of(cache).exclusive_takes, counts.exclusive_takes + 1);
        assert_int_equal(counts_of(cache).retired_objects, counts.retired_objects + !cases[i].is_in_place);
        expect_stored("k", cases[i].after);
        assert_true(look("k").is_present);
        assert_string_equal(look("k").encoding, cases[i].encoding);
        assert_true(look("k").expiry == ENTRY_NO_EXPIRY);
        assert_true(latchkey_delete(lane, "k", 1));
        latchkey_idle(lane, 1000);
    }
}

static void count_change(void *context, struct write_scope *scope, const struct key *key,
                         const struct entry *entry, enum event event, bool is_new) {
    (void)scope;
    (void)key;
    (void)entry;
    (void)is_new;
    if (event == EVENT_SET) (*(int *)context)++;
}

static void who_listens_hears_of_every_value(void **state) {
    (void)state;
    int heard = 0;
    struct keyspace *told = keyspace_open(&(struct keyspace_options){.shards = 4});
    keyspace_listen(told, &(struct keyspace_listener){.changed = count_change, .context = &heard});
    struct lane *seat = lane_attach(told);
    struct latchkey_item it = item("k", "thirty bytes, which are embstr");
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(latchkey_set(seat, &it), LATCHKEY_OK);
        assert_int_equal(heard, i);
    }
    lane_detach(seat);
    keyspace_close(told);
}

static void get_copies_no_more_than_there_is_room_for(void **state) {
    (void)state;
    char out[6] = "xxxxx";
    assert_int_equal(set("k", "abcdef"), LATCHKEY_OK);
    assert_int_equal(latchkey_get(lane, "k", 1, out, 3), 6);
    assert_string_equal(out, "abcxx");
    assert_int_equal(latchkey_get(lane, "k", 1, out, 0), 6);
    assert_string_equal(out, "abcxx");
    assert_true(latchkey_delete(lane, "k", 1));
}

static void who_only_asks_for_the_length_needs_no_buffer(void **state) {
    (void)state;
    assert_int_equal(set("k", "abcdef"), LATCHKEY_OK);
    assert_int_equal(latchkey_get(lane, "k", 1, NULL, 0), 6);
    assert_true(latchkey_delete(lane, "k", 1));
}

static void an_item_without_a_value_is_empty(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(latchkey_set(lane, &(struct latchkey_item){.key = "k", .key_length = 1}),
                         LATCHKEY_OK);
    expect_stored("k", "");
    assert_true(latchkey_delete(lane, "k", 1));
    assert_int_equal(
        latchkey_set(lane, &(struct latchkey_item){.value = "of the empty key", .value_length = 16}),
        LATCHKEY_OK);
    expect_stored("", "of the empty key");
    assert_true(latchkey_delete(lane, "", 0));
}

static void only_if_absent_and_only_if_present_refuse(void **state) {
    (void)state;
    struct latchkey_item it = item("k", "first");
    it.only_if_present = true;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_REFUSED);
    expect_stored("k", NULL);
    it.only_if_present = false;
    it.only_if_absent = true;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    it.value = "other";
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_REFUSED);
    expect_stored("k", "first");
    it.only_if_absent = false;
    it.only_if_present = true;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    expect_stored("k", "other");
    assert_true(latchkey_delete(lane, "k", 1));
}

static void a_value_lives_as_long_as_asked(void **state) {
    (void)state;
    struct latchkey_item it = item("k", "value");
    it.lives = 100000;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    struct found found = look("k");
    assert_true(found.expiry <= found.now + 100000 && found.expiry > found.now + 50000);
    it.lives = 0;
    it.keeps_expiry = true;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    assert_true(look("k").expiry == found.expiry);
    it.keeps_expiry = false;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    assert_true(look("k").expiry == ENTRY_NO_EXPIRY);
    it.lives = 1;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    while (look("k").is_present) sched_yield(); /* a millisecond */
    expect_stored("k", NULL);
    for (int i = 0; i < 1000 && size_of(lane, 0).keys > 0; i++) latchkey_idle(lane, 100000);
    assert_int_equal(size_of(lane, 0).keys, 0);
}

static void the_longest_life_does_not_end_at_once(void **state) {
    (void)state;
    struct latchkey_item it = item("k", "value");
    it.lives = INT64_MAX;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    expect_stored("k", "value");
    assert_true(latchkey_delete(lane, "k", 1));
}

static void databases_are_apart(void **state) {
    (void)state;
    struct latchkey_item it = item("k", "in three");
    it.database = 3;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    expect_stored("k", NULL);
    assert_int_equal(size_of(lane, 3).keys, 1);
    assert_true(drop(lane, 3, "k", 1, 1));
}

static void increments_add_up_or_say_why_not(void **state) {
    (void)state;
    int64_t result;
    assert_int_equal(latchkey_increment(lane, "n", 1, 5, &result), LATCHKEY_OK);
    assert_int_equal(result, 5);
    assert_int_equal(latchkey_increment(lane, "n", 1, -7, &result), LATCHKEY_OK);
    assert_int_equal(result, -2);
    expect_stored("n", "-2");
    assert_int_equal(latchkey_increment(lane, "n", 1, INT64_MIN, &result), LATCHKEY_REFUSED);
    expect_stored("n", "-2");
    assert_int_equal(set("n", "9223372036854775807"), LATCHKEY_OK);
    assert_int_equal(latchkey_increment(lane, "n", 1, 1, &result), LATCHKEY_REFUSED);
    assert_int_equal(set("n", "12 apples"), LATCHKEY_OK);
    assert_int_equal(latchkey_increment(lane, "n", 1, 1, &result), LATCHKEY_WRONG_TYPE);
    expect_stored("n", "12 apples");
    assert_true(latchkey_delete(lane, "n", 1));
    /* A number that is held as text counts as well. */
    struct key key = keyspace_key(cache, 0, "n", 1);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, 1);
    scope_edit(&holding.scope, &key, &edit);
    assert_true(edit_put_text(&edit, "41", 2));
    scope_changed(&edit, EVENT_INCRBYFLOAT);
    hold_end(&holding);
    assert_int_equal(latchkey_increment(lane, "n", 1, 1, &result), LATCHKEY_OK);
    assert_int_equal(result, 42);
    assert_true(latchkey_delete(lane, "n", 1));
}

static void an_increment_keeps_the_expiry(void **state) {
    (void)state;
    struct latchkey_item it = item("n", "1");
    int64_t result;
    it.lives = 100000;
    assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
    int64_t expiry = look("n").expiry;
    assert_int_equal(latchkey_increment(lane, "n", 1, 1, &result), LATCHKEY_OK);
    assert_true(look("n").expiry == expiry);
    assert_true(latchkey_delete(lane, "n", 1));
}

static void large_values_come_back_whole(void **state) {
    (void)state;
    enum { LARGE = 1 << 20 };
    char *value = malloc(LARGE), *out = malloc(LARGE);
    for (int i = 0; i < LARGE; i++) value[i] = (char)(i * 31);
    for (size_t length = 100; length <= LARGE; length = length * 3 / 2) {
        struct latchkey_item it = {.key = "large", .key_length = 5, .value = value, .value_length = length};
        assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
        memset(out, 0, length);
        assert_int_equal(latchkey_get(lane, "large", 5, out, LARGE), length);
        assert_memory_equal(out, value, length);
    }
    assert_true(latchkey_delete(lane, "large", 5));
    free(value);
    free(out);
}

/* ------------------------------------------------------------------ many keys */

#define MANY 100

struct transfer {
    struct key keys[MANY];
    char names[MANY][16];
    int64_t total;
};

static void fill(void *context, struct write_scope *scope) {
    struct transfer *transfer = context;
    for (int i = 0; i < MANY; i++) {
        struct edit edit;
        scope_edit(scope, &transfer->keys[i], &edit);
        assert_true(edit_put_integer(&edit, 10));
        scope_changed(&edit, EVENT_SET);
    }
}

static void add_up(void *context, const struct read_scope *scope) {
    struct transfer *transfer = context;
    transfer->total = 0;
    for (int i = 0; i < MANY; i++) {
        int64_t value;
        const struct entry *entry = scope_read(scope, &transfer->keys[i]);
        if (entry != NULL && entry_integer(entry, &value)) transfer->total += value;
    }
}

static void many_keys_are_written_and_read_as_one(void **state) {
    (void)state;
    struct transfer transfer = {.total = 0};
    for (int i = 0; i < MANY; i++) {
        size_t length = (size_t)snprintf(transfer.names[i], sizeof transfer.names[i], "account%d", i);
        transfer.keys[i] = keyspace_key(cache, 0, transfer.names[i], length);
    }
    latchkey_write(lane, transfer.keys, MANY, fill, &transfer);
    latchkey_read(lane, transfer.keys, MANY, add_up, &transfer);
    assert_int_equal(transfer.total, 10 * MANY);
    for (int i = 0; i < MANY; i++)
        assert_true(latchkey_delete(lane, transfer.names[i], transfer.keys[i].length));
}

/* More than three groups of 32, and no multiple of it. */
#define BATCH 101
#define UNTOUCHED ((enum latchkey_result)99)

struct batch {
    char names[BATCH][16], values[BATCH][32], out[BATCH][32];
    struct latchkey_item items[BATCH];
    struct latchkey_query queries[BATCH];
    enum latchkey_result results[BATCH];
};

static void batch_init(struct batch *batch, const char *value) {
    for (int i = 0; i < BATCH; i++) {
        snprintf(batch->names[i], sizeof batch->names[i], "batch%d", i);
        snprintf(batch->values[i], sizeof batch->values[i], "%s of %d", value, i);
        batch->items[i] = item(batch->names[i], batch->values[i]);
        batch->queries[i] = (struct latchkey_query){.key = batch->names[i],
                                                    .key_length = strlen(batch->names[i]),
                                                    .out = batch->out[i],
                                                    .size = 32,
                                                    .length = -7};
        batch->results[i] = UNTOUCHED;
    }
}

static void batch_drop(const struct batch *batch) {
    for (int i = 0; i < BATCH; i++) latchkey_delete(lane, batch->names[i], strlen(batch->names[i]));
    assert_int_equal(size_of(lane, 0).keys, 0);
}

static void a_batch_of_any_size_answers_each_key(void **state) {
    (void)state;
    struct batch batch;
    for (size_t count = 0; count <= BATCH; count++) {
        batch_init(&batch, "value");
        assert_int_equal(latchkey_set_many(lane, batch.items, count, batch.results), count);
        assert_int_equal(size_of(lane, 0).keys, count);
        assert_int_equal(latchkey_get_many(lane, batch.queries, BATCH), count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(batch.results[i], LATCHKEY_OK);
            assert_int_equal(batch.queries[i].length, strlen(batch.values[i]));
            assert_memory_equal(batch.out[i], batch.values[i], strlen(batch.values[i]));
        }
        for (size_t i = count; i < BATCH; i++) {
            assert_int_equal(batch.queries[i].length, -1);
            assert_int_equal(batch.results[i], UNTOUCHED);
        }
        batch_drop(&batch);
    }
}

static void each_item_of_a_batch_succeeds_or_fails_alone(void **state) {
    (void)state;
    struct batch batch;
    batch_init(&batch, "first");
    for (int i = 0; i < BATCH; i += 2) assert_int_equal(latchkey_set(lane, &batch.items[i]), LATCHKEY_OK);
    batch_init(&batch, "second");
    for (int i = 0; i < BATCH; i++) batch.items[i].only_if_absent = true;
    assert_int_equal(latchkey_set_many(lane, batch.items, BATCH, batch.results), BATCH / 2);
    assert_int_equal(latchkey_get_many(lane, batch.queries, BATCH), BATCH);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(batch.results[i], i % 2 == 0 ? LATCHKEY_REFUSED : LATCHKEY_OK);
        assert_memory_equal(batch.out[i], i % 2 == 0 ? "first of" : "second of", 8);
    }
    assert_int_equal(latchkey_set_many(lane, batch.items, BATCH, NULL), 0);
    batch_drop(&batch);
}

static void of_two_items_with_one_key_the_later_stays(void **state) {
    (void)state;
    struct latchkey_item items[] = {item("k", "earlier"), item("other", "value"), item("k", "later")};
    assert_int_equal(latchkey_set_many(lane, items, 3, NULL), 3);
    expect_stored("k", "later");
    assert_true(latchkey_delete(lane, "k", 1));
    assert_true(latchkey_delete(lane, "other", 5));
}

static void a_batch_reads_short_rooms_other_databases_and_what_is_no_text(void **state) {
    (void)state;
    int64_t number;
    struct latchkey_item elsewhere = item("k", "in three");
    elsewhere.database = 3;
    assert_int_equal(latchkey_set(lane, &elsewhere), LATCHKEY_OK);
    assert_int_equal(latchkey_increment(lane, "n", 1, 12345, &number), LATCHKEY_OK);
    char cut[4] = "xxx", digits[8] = "", absent[4] = "xxx";
    struct latchkey_query queries[] = {
        {.key = "k", .key_length = 1, .database = 3, .out = cut, .size = 2},
        {.key = "k", .key_length = 1, .out = absent, .size = 3},
        {.key = "k", .key_length = 1, .database = 3},
        {.key = "n", .key_length = 1, .out = digits, .size = sizeof digits},
    };
    assert_int_equal(latchkey_get_many(lane, queries, 4), 3);
    assert_int_equal(queries[0].length, 8);
    assert_string_equal(cut, "inx");
    assert_int_equal(queries[1].length, -1);
    assert_string_equal(absent, "xxx");
    assert_int_equal(queries[2].length, 8);
    assert_int_equal(queries[3].length, 5);
    assert_string_equal(digits, "12345");
    assert_true(latchkey_delete(lane, "n", 1));
    assert_true(drop(lane, 3, "k", 1, 1));
}

/* Too large for a look's copies, and changed in place: both are read under the lock. */
static void a_batch_also_reads_what_needs_the_lock(void **state) {
    (void)state;
    enum { LARGE = LOOK_BYTES * 2 };
    static char out[LARGE];
    struct key key = keyspace_key(cache, 0, "grown", 5);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, 1);
    scope_edit(&holding.scope, &key, &edit);
    char *bytes = edit_stretch_string(&edit, LARGE);
    assert_non_null(bytes);
    memset(bytes, 'x', LARGE);
    scope_changed(&edit, EVENT_SET);
    hold_end(&holding);
    assert_int_equal(set("short", "value"), LATCHKEY_OK);
    uint64_t failed = counts_of(cache).failed_looks;
    char value[8] = "";
    struct latchkey_query queries[] = {{.key = "grown", .key_length = 5, .out = out, .size = sizeof out},
                                       {.key = "short", .key_length = 5, .out = value, .size = sizeof value}};
    assert_int_equal(latchkey_get_many(lane, queries, 2), 2);
    assert_int_equal(queries[0].length, LARGE);
    assert_int_equal(out[0], 'x');
    assert_int_equal(out[LARGE - 1], 'x');
    assert_string_equal(value, "value");
    assert_int_equal(counts_of(cache).failed_looks, failed + 1);
    assert_true(latchkey_delete(lane, "grown", 5));
    assert_true(latchkey_delete(lane, "short", 5));
}

static void count_entry(void *context, const struct entry *entry) {
    (void)entry;
    (*(int *)context)++;
}

static void a_range_visits_every_key_of_its_database(void **state) {
    (void)state;
    char name[24];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(set(name, "v"), LATCHKEY_OK);
    }
    int visited = 0;
    latchkey_range(lane, 0, count_entry, &visited);
    assert_int_equal(visited, 5000);
    visited = 0;
    latchkey_range(lane, 1, count_entry, &visited);
    assert_int_equal(visited, 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "k%d", i);
        assert_true(latchkey_delete(lane, name, strlen(name)));
    }
    latchkey_range(lane, 0, count_entry, &visited);
    assert_int_equal(visited, 0);
}

static void expect_freed_now_and_then(void) {
    static char value[2000];
    uint64_t most = 0;
    for (int i = 0; i < 5000; i++) {
        struct latchkey_item it = {
            .key = "k", .key_length = 1, .value = value, .value_length = sizeof value - (size_t)(i & 1)};
        assert_int_equal(latchkey_set(lane, &it), LATCHKEY_OK);
        uint64_t pending = counts_of(cache).retired_objects;
        if (pending > most) most = pending;
    }
    assert_true(most > 10 && most <= 300);
    latchkey_idle(lane, 1000);
    assert_int_equal(counts_of(cache).retired_objects, 0);
    assert_true(latchkey_delete(lane, "k", 1));
}

static void writes_free_what_they_replace_now_and_then(void **state) {
    (void)state;
    expect_freed_now_and_then();
    latchkey_enter(lane);
    expect_freed_now_and_then();
    assert_true(lane_is_inside(lane));
    latchkey_leave(lane);
    assert_false(lane_is_inside(lane));
}

/* ------------------------------------------------------------------ threads */

static void *close_once(void *argument) {
    _Atomic bool *was_closed = argument;
    struct lane *seat = lane_attach(cache);
    CHECK(seat != NULL);
    gate_close_waiting(seat);
    CHECK(!lane_is_inside(lane));
    gate_open(seat);
    atomic_store(was_closed, true);
    lane_detach(seat);
    return NULL;
}

static void who_closes_the_gate_gets_in_between_two_calls_of_a_visit(void **state) {
    (void)state;
    pthread_t thread;
    _Atomic bool was_closed = false;
    latchkey_enter(lane);
    assert_int_equal(pthread_create(&thread, NULL, close_once, &was_closed), 0);
    for (int i = 0; !atomic_load(&was_closed); i++) {
        if (i % 2 == 0)
            assert_int_equal(set("visited", "thirty bytes, which are embstr"), LATCHKEY_OK);
        else
            expect_stored("visited", "thirty bytes, which are embstr");
    }
    latchkey_leave(lane);
    pthread_join(thread, NULL);
    assert_true(latchkey_delete(lane, "visited", 7));
}

/* Two threads, one key: whichever way each of their values gets in, none is lost on the way, and no two are
 * mixed. */
static void *set_often(void *argument) {
    const char *value = argument;
    struct lane *seat = lane_attach(cache);
    CHECK(seat != NULL);
    struct latchkey_item it = item("contended", value);
    for (int i = 0; i < SCALED(200000, 5000); i++) CHECK(latchkey_set(seat, &it) == LATCHKEY_OK);
    lane_detach(seat);
    return NULL;
}

static void values_that_are_set_at_once_come_one_after_the_other(void **state) {
    (void)state;
    static char values[2][40] = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};
    pthread_t threads[2];
    char seen[40] = "";
    uint64_t changes = counts_of(cache).changes;
    assert_int_equal(set("contended", values[0]), LATCHKEY_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, set_often, values[i]), 0);
    for (int i = 0; i < SCALED(200000, 5000); i++) {
        assert_int_equal(latchkey_get(lane, "contended", 9, seen, sizeof seen), 35);
        assert_true(strcmp(seen, values[0]) == 0 || strcmp(seen, values[1]) == 0);
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_int_equal(counts_of(cache).changes, changes + 1 + 2 * (uint64_t)SCALED(200000, 5000));
    assert_true(latchkey_delete(lane, "contended", 9));
}

/* Every batch writes one number to all keys, so each key only ever rises, and a value is never a mixture of
 * two. */
#define RISING_KEYS 40

struct rising {
    char names[RISING_KEYS][8];
    int rounds;
    _Atomic bool is_over;
};

static void *read_rising(void *argument) {
    struct rising *rising = argument;
    struct lane *seat = lane_attach(cache);
    CHECK(seat != NULL);
    struct latchkey_query queries[RISING_KEYS];
    char out[RISING_KEYS][64];
    long seen[RISING_KEYS] = {0};
    for (int i = 0; i < RISING_KEYS; i++)
        queries[i] = (struct latchkey_query){
            .key = rising->names[i], .key_length = strlen(rising->names[i]), .out = out[i], .size = 64};
    for (bool is_over = false; !is_over;) {
        is_over = atomic_load(&rising->is_over);
        CHECK(latchkey_get_many(seat, queries, RISING_KEYS) == RISING_KEYS);
        for (int i = 0; i < RISING_KEYS; i++) {
            long first = strtol(out[i], NULL, 10);
            CHECK(queries[i].length == 60 && first >= seen[i]);
            CHECK(memcmp(out[i], out[i] + 20, 20) == 0 && memcmp(out[i], out[i] + 40, 20) == 0);
            seen[i] = first;
        }
    }
    for (int i = 0; i < RISING_KEYS; i++) CHECK(seen[i] == rising->rounds);
    lane_detach(seat);
    return NULL;
}

static void batches_read_beside_batches_that_write_are_whole_and_never_go_back(void **state) {
    (void)state;
    enum { READERS = 3 };
    pthread_t threads[READERS];
    struct rising rising = {.rounds = SCALED(20000, 1000)};
    struct latchkey_item items[RISING_KEYS];
    char value[64];
    for (int i = 0; i < RISING_KEYS; i++) {
        snprintf(rising.names[i], sizeof rising.names[i], "r%d", i);
        items[i] = (struct latchkey_item){.key = rising.names[i],
                                          .key_length = strlen(rising.names[i]),
                                          .value = value,
                                          .value_length = 60};
    }
    for (int round = 0; round <= rising.rounds; round++) {
        snprintf(value, sizeof value, "%-19d %-19d %-19d ", round, round, round);
        assert_int_equal(latchkey_set_many(lane, items, RISING_KEYS, NULL), RISING_KEYS);
        for (int i = 0; round == 0 && i < READERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, read_rising, &rising), 0);
    }
    atomic_store(&rising.is_over, true);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < RISING_KEYS; i++)
        assert_true(latchkey_delete(lane, rising.names[i], strlen(rising.names[i])));
}

/* Keys that stay, while another thread makes the tables grow and shrink by others. */
#define STAYING 3000

static void *come_and_go(void *argument) {
    _Atomic bool *is_over = argument;
    struct lane *seat = lane_attach(cache);
    CHECK(seat != NULL);
    char name[24];
    while (!atomic_load(is_over)) {
        for (int i = 0; i < 20000; i++) {
            int length = snprintf(name, sizeof name, "guest%d", i);
            struct latchkey_item it = {
                .key = name, .key_length = (size_t)length, .value = "v", .value_length = 1};
            CHECK(latchkey_set(seat, &it) == LATCHKEY_OK);
        }
        for (int i = 0; i < 20000; i++)
            CHECK(latchkey_delete(seat, name, (size_t)snprintf(name, sizeof name, "guest%d", i)));
    }
    lane_detach(seat);
    return NULL;
}

static void mark_staying(void *context, const struct entry *entry) {
    unsigned *visits = context;
    size_t length;
    char name[24] = {0}; /* a key does not end with a zero byte, and numbers are read up to one */
    const char *key = entry_key(entry, &length);
    CHECK(length > 4 && length < sizeof name);
    memcpy(name, key, length);
    if (memcmp(name, "stay", 4) == 0) visits[strtol(name + 4, NULL, 10)]++;
}

static void a_range_misses_no_key_that_stays_while_tables_grow_and_shrink(void **state) {
    (void)state;
    static char names[STAYING][16];
    static unsigned visits[STAYING];
    _Atomic bool is_over = false;
    pthread_t thread;
    for (int i = 0; i < STAYING; i++) {
        snprintf(names[i], sizeof names[i], "stay%d.",
                 i); /* the point ends the number where the entry's value follows */
        assert_int_equal(set(names[i], "v"), LATCHKEY_OK);
    }
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, &is_over), 0);
    for (int round = 0; round < SCALED(200, 20); round++) {
        memset(visits, 0, sizeof visits);
        latchkey_range(lane, 0, mark_staying, visits);
        for (int i = 0; i < STAYING; i++) assert_true(visits[i] >= 1);
    }
    atomic_store(&is_over, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < STAYING; i++) assert_true(latchkey_delete(lane, names[i], strlen(names[i])));
}

static void *increment_often(void *argument) {
    struct lane *seat = lane_attach(cache);
    CHECK(seat != NULL);
    for (int i = 0; i < *(int *)argument; i++) {
        int64_t result;
        CHECK(latchkey_increment(seat, "counter", 7, 1, &result) == LATCHKEY_OK);
        CHECK(result > i);
    }
    lane_detach(seat);
    return NULL;
}

static void no_increment_is_lost(void **state) {
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int each = SCALED(100000, 5000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, increment_often, &each), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    int64_t result;
    assert_int_equal(latchkey_increment(lane, "counter", 7, 0, &result), LATCHKEY_OK);
    assert_int_equal(result, THREADS * each);
    assert_true(latchkey_delete(lane, "counter", 7));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_can_be_got_and_deleted),
        cmocka_unit_test(a_new_value_is_the_same_however_it_takes_its_place),
        cmocka_unit_test(who_listens_hears_of_every_value),
        cmocka_unit_test(get_copies_no_more_than_there_is_room_for),
        cmocka_unit_test(only_if_absent_and_only_if_present_refuse),
        cmocka_unit_test(a_value_lives_as_long_as_asked),
        cmocka_unit_test(databases_are_apart),
        cmocka_unit_test(increments_add_up_or_say_why_not),
        cmocka_unit_test(an_increment_keeps_the_expiry),
        cmocka_unit_test(large_values_come_back_whole),
        cmocka_unit_test(many_keys_are_written_and_read_as_one),
        cmocka_unit_test(a_range_visits_every_key_of_its_database),
        cmocka_unit_test(writes_free_what_they_replace_now_and_then),
        cmocka_unit_test(no_increment_is_lost),
        cmocka_unit_test(who_closes_the_gate_gets_in_between_two_calls_of_a_visit),
        cmocka_unit_test(values_that_are_set_at_once_come_one_after_the_other),
        cmocka_unit_test(a_batch_of_any_size_answers_each_key),
        cmocka_unit_test(each_item_of_a_batch_succeeds_or_fails_alone),
        cmocka_unit_test(of_two_items_with_one_key_the_later_stays),
        cmocka_unit_test(a_batch_reads_short_rooms_other_databases_and_what_is_no_text),
        cmocka_unit_test(a_batch_also_reads_what_needs_the_lock),
        cmocka_unit_test(batches_read_beside_batches_that_write_are_whole_and_never_go_back),
        cmocka_unit_test(a_range_misses_no_key_that_stays_while_tables_grow_and_shrink),
        cmocka_unit_test(who_only_asks_for_the_length_needs_no_buffer),
        cmocka_unit_test(an_item_without_a_value_is_empty),
        cmocka_unit_test(the_longest_life_does_not_end_at_once),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_cache, close_cache);
}
