/* shard/entry/entry.c and blob.c: every form that an entry can take, for keys and values of all sizes, and
 * that no change of form loses a byte of key or value, the expiry, or a byte of the accounts. */
#include "tests/engine.h"

#include <sys/resource.h>

#include "shard/entry/entry_layout.h"
#include "shard/evict/eviction.h"
#include "shard/base/number.h"

#define NOW 1000
#define LARGEST 70000

static struct keyspace *keyspace;
static struct lane *lane;
static char content[LARGEST * 2];

static int open_keyspace(void **state) {
    (void)state;
    keyspace = keyspace_with(1, 2, 11);
    lane = lane_attach(keyspace);
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)('a' + i * 7 % 26);
    return 0;
}

static int close_keyspace(void **state) {
    (void)state;
    lane_detach(lane);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    keyspace_close(keyspace);
    return 0;
}

/* An edit of one key, with its scope. */
struct change {
    struct holding holding;
    struct key key;
    struct edit edit;
};

static void change_begin(struct change *change, const char *data, size_t length) {
    change->key = keyspace_key(keyspace, 0, data, length);
    hold_shards(&change->holding, lane, &change->key, 1, NOW);
    scope_edit(&change->holding.scope, &change->key, &change->edit);
}

static void change_end(struct change *change, enum event event) {
    scope_changed(&change->edit, event);
    hold_end(&change->holding);
    lane_reclaim(lane);
}

static void change_cancel(struct change *change) {
    scope_unchanged(&change->edit);
    hold_end(&change->holding);
}

static void expect_entry(const struct entry *entry, const struct key *key, const char *value, size_t length,
                         int64_t expiry) {
    size_t key_length;
    struct string_view view;
    assert_non_null(entry);
    const char *data = entry_key(entry, &key_length);
    assert_int_equal(key_length, key->length);
    assert_memory_equal(data, key->data, key->length);
    assert_int_equal(entry_type(entry), TYPE_STRING);
    assert_string_equal(type_name(entry_type(entry)), "string");
    entry_string(entry, &view);
    assert_int_equal(view.length, length);
    assert_int_equal(entry_string_length(entry), length);
    assert_memory_equal(view.data, value, length);
    assert_true(entry_expiry(entry) == expiry);
    assert_true((uintptr_t)entry % 16 == 0);
    assert_true(entry_bytes(entry) >= key_length + length || view.data == view.digits);
}

/* The key's entry is in the table and equal to that. */
static void expect_stored(const char *data, size_t data_length, const char *value, size_t length,
                          int64_t expiry) {
    struct change change;
    change_begin(&change, data, data_length);
    expect_entry(change.edit.entry, &change.key, value, length, expiry);
    change_cancel(&change);
}

static void delete_key(const char *data, size_t length) {
    assert_true(drop(lane, 0, data, length, NOW));
    lane_reclaim(lane);
}

/* The one entry's bytes are the keyspace's. */
static void expect_bytes(const struct change *change) {
    struct keyspace_size size;
    keyspace_size(keyspace, 0, &size);
    assert_int_equal(size.bytes, change->edit.entry == NULL ? 0 : entry_bytes(change->edit.entry));
    assert_int_equal(size.keys, change->edit.entry != NULL);
    assert_int_equal(size.expiring,
                     change->edit.entry != NULL && entry_expiry(change->edit.entry) != ENTRY_NO_EXPIRY);
}

static size_t next_size(size_t size) {
    static const size_t edges[] = {1023,  4096,  BLOB_LEAST - 1, BLOB_LEAST, BLOB_LEAST + 1,
                                   32768, 65535, 65536,          LARGEST};
    size_t next = size < SCALED(600, 150) ? size + 1 : size + size / SCALED(16, 4);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        if (size < edges[i] && next > edges[i]) return edges[i];
    return next;
}

/* ------------------------------------------------------------------ forms */

static void every_size_keeps_its_bytes_through_every_change_of_form(void **state) {
    (void)state;
    for (size_t size = 0; size <= LARGEST; size = next_size(size)) {
        struct change change;
        change_begin(&change, "key", 3);
        assert_null(change.edit.entry);
        assert_true(edit_put_string(&change.edit, content, size, NULL, false));
        expect_entry(change.edit.entry, &change.key, content, size, ENTRY_NO_EXPIRY);
        expect_bytes(&change);
        assert_string_equal(entry_encoding_name(change.edit.entry), size <= 44 ? "embstr" : "raw");
        /* An expiry comes, changes, goes. */
        assert_true(edit_set_expiry(&change.edit, ENTRY_NO_EXPIRY));
        for (int64_t expiry = 5000; expiry < 5002; expiry++) {
            assert_true(edit_set_expiry(&change.edit, expiry));
            expect_entry(change.edit.entry, &change.key, content, size, expiry);
            expect_bytes(&change);
        }
        assert_string_equal(entry_encoding_name(change.edit.entry), size <= 44 ? "embstr" : "raw");
        /* Written to in place, at its own length and longer. */
        char *bytes = edit_stretch_string(&change.edit, size);
        assert_non_null(bytes);
        expect_entry(change.edit.entry, &change.key, content, size, 5001);
        expect_bytes(&change);
        size_t longer = size + 1 + size % 37;
        bytes = edit_stretch_string(&change.edit, longer);
        assert_memory_equal(bytes, content, size);
        for (size_t i = size; i < longer; i++) assert_int_equal(bytes[i], 0);
        memcpy(bytes + size, content + size, longer - size);
        expect_entry(change.edit.entry, &change.key, content, longer, 5001);
        expect_bytes(&change);
        assert_string_equal(entry_encoding_name(change.edit.entry), "raw");
        assert_true(edit_set_expiry(&change.edit, ENTRY_NO_EXPIRY));
        expect_entry(change.edit.entry, &change.key, content, longer, ENTRY_NO_EXPIRY);
        expect_bytes(&change);
        assert_true(edit_set_expiry(&change.edit, 7000));
        expect_bytes(&change);
        /* Replaced, keeping the expiry and not. */
        assert_true(edit_put_string(&change.edit, content + 1, size, NULL, true));
        expect_entry(change.edit.entry, &change.key, content + 1, size, 7000);
        assert_true(edit_put_raw(&change.edit, content, size, NULL, false));
        expect_entry(change.edit.entry, &change.key, content, size, ENTRY_NO_EXPIRY);
        assert_string_equal(entry_encoding_name(change.edit.entry), "raw");
        assert_true(edit_set_expiry(&change.edit, 7000));
        assert_string_equal(entry_encoding_name(change.edit.entry), "raw");
        assert_true(edit_put_text(&change.edit, content + 2, size));
        expect_entry(change.edit.entry, &change.key, content + 2, size, 7000);
        expect_bytes(&change);
        change_end(&change, EVENT_SET);
        expect_stored("key", 3, content + 2, size, 7000);
        delete_key("key", 3);
    }
    check_accounting(lane);
}

static void keys_of_every_length_are_kept(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 44, 45, 200, 1000, BLOB_LEAST + 1};
    static char name[400];
    for (size_t i = 0; i < sizeof name; i++) name[i] = (char)(i * 31);
    for (size_t length = 0; length <= 300; length++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct change change;
            change_begin(&change, name, length);
            assert_true(edit_put_string(&change.edit, content, sizes[i], NULL, false));
            expect_entry(change.edit.entry, &change.key, content, sizes[i], ENTRY_NO_EXPIRY);
            assert_true(edit_set_expiry(&change.edit, 9000));
            expect_entry(change.edit.entry, &change.key, content, sizes[i], 9000);
            assert_non_null(edit_stretch_string(&change.edit, sizes[i] + 1));
            assert_true(edit_put_integer(&change.edit, 17));
            expect_entry(change.edit.entry, &change.key, "17", 2, 9000);
            assert_true(edit_set_expiry(&change.edit, ENTRY_NO_EXPIRY));
            expect_entry(change.edit.entry, &change.key, "17", 2, ENTRY_NO_EXPIRY);
            expect_bytes(&change);
            change_end(&change, EVENT_SET);
            delete_key(name, length);
        }
}

static void canonical_integers_are_held_as_numbers(void **state) {
    (void)state;
    static const char *const numbers[] = {
        "0", "7", "-1", "9223372036854775807", "-9223372036854775808", "1000000000000"};
    static const char *const texts[] = {"",
                                        "-",
                                        "+1",
                                        "01",
                                        "-0",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "0x1",
                                        "1e3",
                                        "123456789012345678901"};
    struct change change;
    int64_t value, wanted;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        change_begin(&change, "n", 1);
        assert_true(edit_put_string(&change.edit, numbers[i], strlen(numbers[i]), NULL, false));
        assert_true(entry_integer(change.edit.entry, &value));
        assert_true(number_parse(numbers[i], strlen(numbers[i]), &wanted) && value == wanted);
        assert_string_equal(entry_encoding_name(change.edit.entry), "int");
        expect_entry(change.edit.entry, &change.key, numbers[i], strlen(numbers[i]), ENTRY_NO_EXPIRY);
        assert_true(edit_set_expiry(&change.edit, 5000));
        assert_string_equal(entry_encoding_name(change.edit.entry), "int");
        /* Text that looks like one, where a number is not wanted. */
        assert_true(edit_put_text(&change.edit, numbers[i], strlen(numbers[i])));
        assert_false(entry_integer(change.edit.entry, &value));
        assert_string_equal(entry_encoding_name(change.edit.entry), "embstr");
        assert_true(edit_set_expiry(&change.edit, ENTRY_NO_EXPIRY));
        assert_string_equal(entry_encoding_name(change.edit.entry), "embstr");
        /* A number over a text of the same length is a number all the same. */
        assert_true(edit_put_string(&change.edit, numbers[i], strlen(numbers[i]), NULL, false));
        assert_string_equal(entry_encoding_name(change.edit.entry), "int");
        assert_true(edit_put_raw(&change.edit, numbers[i], strlen(numbers[i]), NULL, false));
        assert_string_equal(entry_encoding_name(change.edit.entry), "raw");
        assert_true(edit_set_expiry(&change.edit, 1 << 20));
        assert_string_equal(entry_encoding_name(change.edit.entry), "raw");
        change_end(&change, EVENT_SET);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        change_begin(&change, "n", 1);
        assert_true(edit_put_string(&change.edit, texts[i], strlen(texts[i]), NULL, false));
        assert_false(entry_integer(change.edit.entry, &value));
        expect_entry(change.edit.entry, &change.key, texts[i], strlen(texts[i]), ENTRY_NO_EXPIRY);
        change_end(&change, EVENT_SET);
    }
    delete_key("n", 1);
}

static void an_integer_is_changed_in_place_and_keeps_its_expiry(void **state) {
    (void)state;
    struct change change;
    change_begin(&change, "n", 1);
    assert_true(edit_put_integer(&change.edit, INT64_MIN));
    assert_true(edit_set_expiry(&change.edit, 5000));
    const struct entry *before = change.edit.entry;
    assert_true(edit_put_integer(&change.edit, INT64_MAX));
    assert_ptr_equal(change.edit.entry, before);
    expect_entry(change.edit.entry, &change.key, "9223372036854775807", 19, 5000);
    /* A longer form when it is written to. */
    char *bytes = edit_stretch_string(&change.edit, 25);
    assert_memory_equal(bytes, "9223372036854775807\0\0\0\0\0\0", 25);
    assert_true(edit_put_integer(&change.edit, 5));
    expect_entry(change.edit.entry, &change.key, "5", 1, 5000);
    change_end(&change, EVENT_INCRBY);
    delete_key("n", 1);
}

static void a_short_string_is_overwritten_by_one_of_its_length(void **state) {
    (void)state;
    struct change change;
    change_begin(&change, "k", 1);
    assert_true(edit_put_string(&change.edit, "abc", 3, NULL, false));
    const struct entry *first = change.edit.entry;
    assert_true(edit_put_string(&change.edit, "xyz", 3, NULL, false));
    assert_ptr_equal(change.edit.entry, first);
    expect_entry(change.edit.entry, &change.key, "xyz", 3, ENTRY_NO_EXPIRY);
    assert_true(edit_set_expiry(&change.edit, 5000));
    assert_true(edit_put_string(&change.edit, "uvw", 3, NULL, true));
    expect_entry(change.edit.entry, &change.key, "uvw", 3, 5000);
    assert_true(edit_put_string(&change.edit, "rst", 3, NULL, false));
    expect_entry(change.edit.entry, &change.key, "rst", 3, ENTRY_NO_EXPIRY);
    change_end(&change, EVENT_SET);
    delete_key("k", 1);
}

static void stretching_an_absent_key_makes_zeros(void **state) {
    (void)state;
    static const char zeros[300];
    for (size_t length = 0; length <= sizeof zeros; length += 1 + length / 8) {
        struct change change;
        change_begin(&change, "z", 1);
        assert_non_null(edit_stretch_string(&change.edit, length));
        expect_entry(change.edit.entry, &change.key, zeros, length, ENTRY_NO_EXPIRY);
        expect_bytes(&change);
        change_end(&change, EVENT_SETRANGE);
        delete_key("z", 1);
    }
}

/* As APPEND does, also beyond the size from which values are blobs. */
static void growing_by_little_copies_seldom(void **state) {
    (void)state;
    const char *place = NULL;
    int moves = 0;
    struct change change;
    size_t length = 0;
    while (length < LARGEST) {
        size_t more = 1 + length % 13;
        change_begin(&change, "grows", 5);
        char *bytes = edit_stretch_string(&change.edit, length + more);
        memcpy(bytes + length, content + length, more);
        length += more;
        moves += bytes != place;
        place = bytes;
        expect_bytes(&change);
        change_end(&change, EVENT_APPEND);
    }
    expect_stored("grows", 5, content, length, ENTRY_NO_EXPIRY);
    assert_true(moves < 40);
    delete_key("grows", 5);
}

/* ------------------------------------------------------------------ copies and blobs */

static void make(struct edit *edit, int form, size_t size) {
    switch (form) {
    case 0: assert_true(edit_put_string(edit, content, size, NULL, false)); return;
    case 1: assert_true(edit_put_raw(edit, content, size, NULL, false)); return;
    case 2: assert_true(edit_put_text(edit, content, size)); return;
    default: memcpy(edit_stretch_string(edit, size), content, size); return;
    }
}

static void a_copy_has_value_form_and_expiry_of_its_source(void **state) {
    (void)state;
    struct key keys[2] = {keyspace_key(keyspace, 0, "source", 6),
                          keyspace_key(keyspace, 1, "target of a copy", 16)};
    for (size_t size = 0; size <= LARGEST; size = next_size(size))
        for (int form = 0; form < 4; form++)
            for (int expires = 0; expires < 2; expires++) {
                struct holding holding;
                struct edit edit;
                int64_t expiry = expires ? 8000 : ENTRY_NO_EXPIRY;
                hold_shards(&holding, lane, keys, 2, NOW);
                scope_edit(&holding.scope, &keys[0], &edit);
                make(&edit, form, size);
                assert_true(edit_set_expiry(&edit, expiry));
                const char *encoding = entry_encoding_name(edit.entry);
                scope_changed(&edit, EVENT_SET);
                const struct entry *source = scope_read(&holding.scope.reading, &keys[0]);
                scope_edit(&holding.scope, &keys[1], &edit);
                assert_true(edit_put_copy(&edit, source));
                expect_entry(edit.entry, &keys[1], content, size, expiry);
                assert_string_equal(entry_encoding_name(edit.entry), encoding);
                scope_changed(&edit, EVENT_COPY_TO);
                /* The source goes: the copy stays. */
                scope_edit(&holding.scope, &keys[0], &edit);
                edit_remove(&edit);
                scope_changed(&edit, EVENT_DEL);
                hold_end(&holding);
                lane_reclaim(lane);
                hold_shards(&holding, lane, keys, 2, NOW);
                scope_edit(&holding.scope, &keys[1], &edit);
                expect_entry(edit.entry, &keys[1], content, size, expiry);
                edit_remove(&edit);
                edit_remove(&edit); /* absent is fine */
                scope_changed(&edit, EVENT_DEL);
                hold_end(&holding);
                lane_reclaim(lane);
            }
    check_accounting(lane);
}

static void a_given_blob_is_shared_and_outlives_its_key(void **state) {
    (void)state;
    struct blob *blob = blob_create(BLOB_LEAST + 1);
    memcpy(blob->data, content, BLOB_LEAST + 1);
    assert_int_equal(atomic_load(&blob->references), 1);
    assert_true(blob_bytes(blob) > BLOB_LEAST);
    struct change change;
    change_begin(&change, "b", 1);
    assert_true(edit_put_string(&change.edit, blob->data, blob->length, blob, false));
    assert_int_equal(atomic_load(&blob->references), 2);
    struct string_view view;
    entry_string(change.edit.entry, &view);
    assert_ptr_equal(view.blob, blob);
    assert_true(edit_set_expiry(&change.edit, 5000)); /* it moves over: no further reference */
    assert_int_equal(atomic_load(&blob->references), 2);
    expect_bytes(&change);
    assert_true(edit_put_raw(&change.edit, blob->data, blob->length, blob, false));
    change_end(&change, EVENT_SET);
    lane_reclaim(lane);
    assert_int_equal(atomic_load(&blob->references), 2);
    change_begin(&change, "b", 1);
    entry_string(change.edit.entry, &view);
    blob_retain(view.blob);
    /* Written to: it gets bytes of its own, and ours don't change. */
    char *bytes = edit_stretch_string(&change.edit, blob->length);
    assert_ptr_not_equal(bytes, blob->data);
    bytes[0] = '!';
    change_end(&change, EVENT_SETRANGE);
    lane_reclaim(lane);
    assert_int_equal(atomic_load(&blob->references), 2);
    assert_memory_equal(blob->data, content, blob->length);
    delete_key("b", 1);
    blob_release(blob);
    assert_memory_equal(blob->data, content, blob->length);
    blob_release(blob);
}

static void a_blob_too_small_to_share_is_copied(void **state) {
    (void)state;
    struct blob *blob = blob_create(10);
    memcpy(blob->data, content, 10);
    struct change change;
    change_begin(&change, "b", 1);
    assert_true(edit_put_string(&change.edit, blob->data, 10, blob, false));
    assert_int_equal(atomic_load(&blob->references), 1);
    change_end(&change, EVENT_SET);
    blob_release(blob);
    expect_stored("b", 1, content, 10, ENTRY_NO_EXPIRY);
    delete_key("b", 1);
}

static void a_value_of_no_bytes_needs_no_pointer(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) { /* the second time over the first */
        struct change change;
        change_begin(&change, "empty", 5);
        assert_true(edit_put_string(&change.edit, NULL, 0, NULL, false));
        expect_entry(change.edit.entry, &change.key, "", 0, ENTRY_NO_EXPIRY);
        change_end(&change, EVENT_SET);
    }
    delete_key("empty", 5);
}

/* ------------------------------------------------------------------ names and times */

static void types_and_events_have_the_names_of_redis(void **state) {
    (void)state;
    static const char *const types[TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    for (int i = 0; i < TYPE_COUNT; i++) assert_string_equal(type_name((enum type)i), types[i]);
    assert_string_equal(event_name(EVENT_SET), "set");
    assert_string_equal(event_name(EVENT_RENAME_TO), "rename_to");
    assert_string_equal(event_name(EVENT_EXPIRED), "expired");
    assert_null(event_name(EVENT_FLUSH));
    assert_null(event_name(EVENT_SWAP));
    assert_null(event_name(EVENT_UNDO));
    assert_null(event_name(EVENT_ENCODING));
    assert_null(event_name(EVENT_SMOVE_TO));
    assert_null(event_name(EVENT_COUNT));
    int named = 0;
    for (int i = 0; i < EVENT_COUNT; i++) named += event_name((enum event)i) != NULL;
    assert_int_equal(named, EVENT_COUNT - 10);
}

static void idle_time_is_counted_from_the_last_access(void **state) {
    (void)state;
    const int64_t then = INT64_C(1700000000000);
    eviction_configure(keyspace, EVICTION_NONE, 10, 1);
    put(lane, 0, "k", 1, "v", 1, ENTRY_NO_EXPIRY, then);
    struct key key = keyspace_key(keyspace, 0, "k", 1);
    struct holding holding;
    hold_shards(&holding, lane, &key, 1, then + 60000);
    struct read_scope reader = {holding.scope.scope};
    assert_int_equal(entry_idle_seconds(scope_peek(&reader, &key), then + 60000), 60);
    reader.scope.counts_access = false;
    assert_int_equal(entry_idle_seconds(scope_read(&reader, &key), then + 60000), 60);
    reader.scope.counts_access = true;
    assert_int_equal(entry_idle_seconds(scope_read(&reader, &key), then + 60000), 0);
    hold_end(&holding);
    delete_key("k", 1);
}

/* A client with NO-TOUCH leaves the idle time of what it finds alone, but what it makes is new. */
static void what_is_made_without_touching_is_not_idle_from_birth(void **state) {
    (void)state;
    const int64_t then = INT64_C(1700000000000);
    struct key key = keyspace_key(keyspace, 0, "untouched", 9);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, then);
    holding.scope.scope.counts_access = false;
    scope_edit(&holding.scope, &key, &edit);
    assert_true(edit_put_string(&edit, "v", 1, NULL, false));
    scope_changed(&edit, EVENT_SET);
    int64_t idle = entry_idle_seconds(edit.entry, then);
    hold_end(&holding);
    delete_key("untouched", 9);
    assert_int_equal(idle, 0);
}

/* ------------------------------------------------------------------ out of memory */

static void what_is_too_long_is_refused_and_changes_nothing(void **state) {
    (void)state;
    struct change change;
    assert_null(blob_create(SIZE_MAX));
    assert_null(blob_create(SIZE_MAX / 2 + 1));
    change_begin(&change, "k", 1);
    assert_true(edit_put_string(&change.edit, "value", 5, NULL, false));
    change_end(&change, EVENT_SET);
    change_begin(&change, "k", 1);
    assert_false(edit_put_string(&change.edit, content, (size_t)UINT32_MAX + 1, NULL, false));
    assert_false(edit_put_raw(&change.edit, content, (size_t)UINT32_MAX + 1, NULL, false));
    assert_null(edit_stretch_string(&change.edit, (size_t)UINT32_MAX + 1));
    expect_bytes(&change);
    change_cancel(&change);
    expect_stored("k", 1, "value", 5, ENTRY_NO_EXPIRY);
    delete_key("k", 1);
}

#if !IS_SANITIZED_BUILD
struct hoard {
    struct hoard *next;
};

/* Takes all the memory that a process limited to a little more than it has can get, in pieces of every
 * size. */
static struct hoard *hoard_all(void) {
    struct hoard *hoard = NULL;
    for (size_t size = 1 << 22; size >= 16; size = size > 256 ? size - size / 16 : (size - 8) & ~(size_t)7)
        for (struct hoard *piece; (piece = malloc(size)) != NULL; hoard = piece) piece->next = hoard;
    return hoard;
}

static void hoard_free(struct hoard *hoard) {
    for (struct hoard *next; hoard != NULL; hoard = next) {
        next = hoard->next;
        free(hoard);
    }
}

/* Every way to change a key, with no memory left: it is refused, and all is as before. */
static void change_without_memory(void *context) {
    struct key keys[3] = {keyspace_key(keyspace, 0, "present", 7), keyspace_key(keyspace, 0, "large", 5),
                          keyspace_key(keyspace, 1, "absent", 6)};
    struct rlimit limit;
    long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    (void)context;
    CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    put(lane, 0, "present", 7, "value", 5, ENTRY_NO_EXPIRY, NOW);
    put(lane, 0, "large", 5, content, LARGEST, ENTRY_NO_EXPIRY, NOW);
    keyspace_reclaim(lane);
    struct keyspace_size before = size_of(lane, 0);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = (rlim_t)pages * 4096 + (64 << 20);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, keys, 3, NOW);
    struct hoard *hoard = hoard_all();
    for (int i = 0; i < 3; i++) {
        scope_edit(&holding.scope, &keys[i], &edit);
        for (size_t length = 1; length <= LARGEST; length = length * 3 + 20) {
            CHECK(!edit_put_string(&edit, content, length, NULL, true));
            CHECK(!edit_put_text(&edit, content, length));
            CHECK(!edit_put_raw(&edit, content, length, NULL, false));
        }
        CHECK(edit_stretch_string(&edit, (size_t)1 << 20) == NULL);
        CHECK(!edit_put_integer(&edit, 12));
        if (edit.entry != NULL) CHECK(!edit_set_expiry(&edit, 5000));
        scope_unchanged(&edit);
    }
    struct shard_set set;
    shard_set_init(&set);
    for (uint32_t i = 0; i < 16; i++) CHECK(shard_set_add(&set, i));
    CHECK(!shard_set_add(&set, 16));
    CHECK(set.count == 16);
    CHECK(lane_attach(keyspace) != NULL); /* a seat costs nothing */
    hoard_free(hoard);
    /* And it goes on. */
    scope_edit(&holding.scope, &keys[2], &edit);
    CHECK(edit_put_string(&edit, "new", 3, NULL, false));
    CHECK(edit_set_expiry(&edit, 5000));
    scope_changed(&edit, EVENT_SET);
    hold_end(&holding);
    struct keyspace_size after = size_of(lane, 0);
    CHECK(after.keys == before.keys && after.bytes == before.bytes && after.expiring == before.expiring);
    check_accounting(lane);
    exit(0); /* so that coverage is written */
}
#endif

static void without_memory_edits_fail_and_change_nothing(void **state) {
    (void)state;
#if !IS_SANITIZED_BUILD
    assert_int_equal(status_of_child(change_without_memory, NULL), 0);
#else
    skip(); /* a sanitizer ends the program when memory does */
#endif
}

static void a_keyspace_that_does_not_fit_is_not_opened(void **state) {
    (void)state;
#if !IS_SANITIZED_BUILD
    assert_null(keyspace_open(&(struct keyspace_options){.shards = 65536, .databases = UINT32_MAX}));
#else
    skip();
#endif
}

/* ------------------------------------------------------------------ words.h */

#define WORDS 8

static void bytes_are_read_and_compared_at_any_offset_and_length(void **state) {
    (void)state;
    /* All are found by AddressSanitizer if a word too many is touched. */
    uint64_t *words = malloc(WORDS * sizeof *words);
    char *bytes = (char *)words;
    assert_non_null(words);
    for (size_t i = 0; i < WORDS * sizeof *words; i++) bytes[i] = (char)(i * 37 + 11);
    for (size_t offset = 0; offset < 20; offset++)
        for (size_t length = 0; offset + length <= WORDS * sizeof *words; length++) {
            char *out = malloc(length + 1);
            assert_non_null(out);
            out[length] = '#';
            words_copy(words, offset, out, length);
            assert_memory_equal(out, bytes + offset, length);
            assert_int_equal(out[length], '#');
            assert_true(words_equal(words, offset, out, length));
            for (size_t wrong = 0; wrong < length; wrong++) {
                out[wrong] ^= (char)(1 << wrong % 8);
                assert_false(words_equal(words, offset, out, length));
                out[wrong] ^= (char)(1 << wrong % 8);
            }
            free(out);
        }
    free(words);
}

static void bytes_are_stored_at_any_offset_and_length(void **state) {
    (void)state;
    struct entry *entry = malloc(WORDS * sizeof(uint64_t));
    char *bytes = (char *)entry, before[WORDS * sizeof(uint64_t)], wanted[sizeof before], news[sizeof before];
    assert_non_null(entry);
    for (size_t i = 0; i < sizeof before; i++) {
        before[i] = (char)(i * 37 + 11);
        news[i] = (char)(i * 53 + 7);
    }
    for (size_t offset = sizeof *entry; offset < 28; offset++)
        for (size_t length = 0; offset + length <= sizeof before; length++) {
            memcpy(entry, before, sizeof before);
            memcpy(wanted, before, sizeof before);
            memcpy(wanted + offset, news, length);
            entry_store(entry, (unsigned char *)bytes + offset, news, length);
            assert_memory_equal(entry, wanted, sizeof before);
        }
    free(entry);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_keeps_its_bytes_through_every_change_of_form),
        cmocka_unit_test(keys_of_every_length_are_kept),
        cmocka_unit_test(bytes_are_read_and_compared_at_any_offset_and_length),
        cmocka_unit_test(bytes_are_stored_at_any_offset_and_length),
        cmocka_unit_test(canonical_integers_are_held_as_numbers),
        cmocka_unit_test(an_integer_is_changed_in_place_and_keeps_its_expiry),
        cmocka_unit_test(a_short_string_is_overwritten_by_one_of_its_length),
        cmocka_unit_test(stretching_an_absent_key_makes_zeros),
        cmocka_unit_test(growing_by_little_copies_seldom),
        cmocka_unit_test(a_copy_has_value_form_and_expiry_of_its_source),
        cmocka_unit_test(a_given_blob_is_shared_and_outlives_its_key),
        cmocka_unit_test(a_blob_too_small_to_share_is_copied),
        cmocka_unit_test(a_value_of_no_bytes_needs_no_pointer),
        cmocka_unit_test(types_and_events_have_the_names_of_redis),
        cmocka_unit_test(idle_time_is_counted_from_the_last_access),
        cmocka_unit_test(what_is_made_without_touching_is_not_idle_from_birth),
        cmocka_unit_test(what_is_too_long_is_refused_and_changes_nothing),
        cmocka_unit_test(without_memory_edits_fail_and_change_nothing),
        cmocka_unit_test(a_keyspace_that_does_not_fit_is_not_opened),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, open_keyspace, close_keyspace);
}
