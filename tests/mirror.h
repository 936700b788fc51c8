/* A listener that keeps a copy of a keyspace from what it hears, and editors that change the keyspace at
 * random in every way there is. What is told before a change is compared at once with the copy; in the end
 * both are compared as a whole. */
#ifndef TESTS_MIRROR_H
#define TESTS_MIRROR_H

#include "engine.h"

#define MIRROR_TIME_BEGINS 1000000
/* Names are "n0", "n1" ... below this many. */
#define MIRROR_NAMES 1024
#define MIRROR_DATABASES 8

struct copy {
    bool is_present;
    int64_t expiry;
    uint64_t checksum;
    size_t length;
};

/* One copy per name and database. A name's copies in all databases are guarded by its shard, and by the gate;
 * so is nothing else. */
struct mirror {
    struct keyspace *keyspace;
    uint64_t seed;
    _Atomic int64_t now; /* the editors' clock: moves on with every step */
    struct copy copies[MIRROR_DATABASES][MIRROR_NAMES];
    uint32_t shards[MIRROR_NAMES]; /* of the names */
    _Atomic uint64_t told[EVENT_COUNT];
};

struct editor {
    struct mirror *mirror;
    uint64_t seed, steps;
    uint32_t names;
    struct lane *lane;
};

/* ------------------------------------------------------------------ listening */

static inline struct copy *mirror_copy(struct mirror *mirror, uint32_t database, const char *data,
                                       size_t length) {
    char digits[8] = {0};
    CHECK(length >= 2 && length < sizeof digits && data[0] == 'n');
    memcpy(digits, data + 1, length - 1);
    unsigned long number = strtoul(digits, NULL, 10);
    CHECK(number < MIRROR_NAMES && database < MIRROR_DATABASES);
    return &mirror->copies[database][number];
}

static inline struct copy copy_of(const struct entry *entry) {
    if (entry == NULL) return (struct copy){0};
    struct string_view view;
    entry_string(entry, &view);
    uint64_t checksum = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (size_t i = 0; i < view.length; i++)
        checksum = (checksum ^ (unsigned char)view.data[i]) * UINT64_C(0x100000001B3);
    return (struct copy){true, entry_expiry(entry), checksum, view.length};
}

static inline bool copies_equal(const struct copy *a, const struct copy *b) {
    if (!a->is_present || !b->is_present) return a->is_present == b->is_present;
    return a->expiry == b->expiry && a->checksum == b->checksum && a->length == b->length;
}

static inline void mirror_before(void *context, struct write_scope *scope, const struct key *key,
                                 const struct entry *entry) {
    struct mirror *mirror = context;
    struct copy now = copy_of(entry);
    CHECK(scope_holds(&scope->scope, key->hash));
    CHECK(copies_equal(mirror_copy(mirror, key->database, key->data, key->length), &now));
}

static inline void mirror_changed(void *context, struct write_scope *scope, const struct key *key,
                                  const struct entry *entry, enum event event, bool is_new) {
    struct mirror *mirror = context;
    struct copy *copy = mirror_copy(mirror, key->database, key->data, key->length);
    bool is_removal = event == EVENT_DEL || event == EVENT_EXPIRED || event == EVENT_EVICTED ||
                      event == EVENT_RENAME_FROM || event == EVENT_MOVE_FROM;
    atomic_fetch_add(&mirror->told[event], 1);
    CHECK(scope_holds(&scope->scope, key->hash));
    CHECK((entry == NULL) == is_removal);
    CHECK(is_new == (entry != NULL && !copy->is_present));
    *copy = copy_of(entry);
}

struct mirror_region {
    struct mirror *mirror;
    uint32_t database;
    int keys;
};

static inline void mirror_region_entry(void *context, const struct entry *entry) {
    struct mirror_region *region = context;
    size_t length;
    const char *data = entry_key(entry, &length);
    struct copy now = copy_of(entry);
    CHECK(copies_equal(mirror_copy(region->mirror, region->database, data, length), &now));
    region->keys++;
}

/* What is about to go, or to move, is still there, and is what was told of it. */
static inline void mirror_before_all(void *context, struct write_scope *scope, const struct region *region) {
    struct mirror *mirror = context;
    struct mirror_region there = {mirror, region->database, 0};
    uint64_t position = keyspace_shard_position(mirror->keyspace, region->shard);
    int present = 0;
    while (position != SCOPE_SCAN_END)
        position = scope_scan(&scope->reading, region->shard, region->database, position, 64,
                              mirror_region_entry, &there);
    for (int i = 0; i < MIRROR_NAMES; i++) {
        const struct copy *copy = &mirror->copies[region->database][i];
        present += mirror->shards[i] == region->shard && copy->is_present &&
                   (copy->expiry == ENTRY_NO_EXPIRY || copy->expiry > scope->scope.now);
    }
    CHECK(there.keys == present);
}

static inline void mirror_changed_all(void *context, struct write_scope *scope, const struct region *region) {
    struct mirror *mirror = context;
    (void)scope;
    atomic_fetch_add(&mirror->told[region->event], 1);
    for (int i = 0; i < MIRROR_NAMES; i++) {
        struct copy *copy = &mirror->copies[region->database][i];
        if (mirror->shards[i] != region->shard) continue;
        if (region->event == EVENT_FLUSH) {
            copy->is_present = false;
        } else if (region->database < region->other) { /* told for both: once is enough */
            struct copy moved = *copy;
            *copy = mirror->copies[region->other][i];
            mirror->copies[region->other][i] = moved;
        }
    }
}

static inline struct mirror *mirror_open(uint32_t shards, uint32_t databases, uint64_t seed) {
    struct mirror *mirror = calloc(1, sizeof *mirror);
    CHECK(mirror != NULL && databases <= MIRROR_DATABASES);
    mirror->seed = seed;
    mirror->keyspace = keyspace_with(shards, databases, seed);
    for (int i = 0; i < MIRROR_NAMES; i++) {
        char name[8];
        size_t length = (size_t)snprintf(name, sizeof name, "n%d", i);
        mirror->shards[i] =
            keyspace_shard_of(mirror->keyspace, keyspace_hash(mirror->keyspace, name, length));
    }
    atomic_init(&mirror->now, MIRROR_TIME_BEGINS);
    keyspace_listen(mirror->keyspace,
                    &(struct keyspace_listener){mirror_before, mirror_changed, mirror_before_all,
                                                mirror_changed_all, mirror});
    return mirror;
}

static inline void mirror_close(struct mirror *mirror) {
    keyspace_close(mirror->keyspace);
    free(mirror);
}

/* ------------------------------------------------------------------ editing */

static inline struct key editor_key(struct editor *editor, char name[8]) {
    size_t length = (size_t)snprintf(
        name, 8, "n%u", (unsigned)random_below(&editor->seed, editor->names) & (MIRROR_NAMES - 1));
    uint32_t database =
        (uint32_t)random_below(&editor->seed, keyspace_database_count(editor->mirror->keyspace));
    return keyspace_key(editor->mirror->keyspace, database, name, length);
}

static inline size_t editor_length(struct editor *editor) {
    switch (random_below(&editor->seed, 20)) {
    case 0: return 16000 + random_below(&editor->seed, 1000);
    case 1: return random_below(&editor->seed, 3000);
    default: return random_below(&editor->seed, 60);
    }
}

static inline char *editor_bytes(struct editor *editor, size_t length) {
    static const char text[] = "the quick brown fox jumps over the lazy dog 1234567890 ";
    char *bytes = malloc(length + 1);
    CHECK(bytes != NULL);
    size_t start = random_below(&editor->seed, 50);
    for (size_t i = 0; i < length; i++) bytes[i] = text[(start + i) % (sizeof text - 1)];
    return bytes;
}

/* One edit of one key. */
static inline void editor_change(struct editor *editor, struct write_scope *scope, const struct key *key) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    size_t length = editor_length(editor);
    char *bytes = editor_bytes(editor, length);
    enum event event = EVENT_SET;
    switch (random_below(&editor->seed, 11)) {
    case 0: CHECK(edit_put_string(&edit, bytes, length, NULL, false)); break;
    case 1: CHECK(edit_put_string(&edit, bytes, length, NULL, true)); break;
    case 2: CHECK(edit_put_raw(&edit, bytes, length, NULL, false)); break;
    case 3:
        CHECK(edit_put_integer(&edit, (int64_t)random_next(&editor->seed)));
        event = EVENT_INCRBY;
        break;
    case 4:
        CHECK(edit_put_text(&edit, bytes, length % 40));
        event = EVENT_INCRBYFLOAT;
        break;
    case 5: { /* APPEND */
        size_t present = edit.entry == NULL ? 0 : entry_string_length(edit.entry), more = length % 100;
        if (present > 30000) more = 0;
        char *place = edit_stretch_string(&edit, present + more);
        CHECK(place != NULL);
        memcpy(place + present, bytes, more);
        event = EVENT_APPEND;
        break;
    }
    case 6:
    case 7:
        if (edit.entry == NULL) goto unchanged;
        CHECK(edit_set_expiry(&edit, scope->scope.now + 1 + (int64_t)random_below(&editor->seed, 300)));
        event = EVENT_EXPIRE;
        break;
    case 8:
        if (edit.entry == NULL) goto unchanged;
        CHECK(edit_set_expiry(&edit, ENTRY_NO_EXPIRY));
        event = EVENT_PERSIST;
        break;
    case 9:
        if (edit.entry == NULL) goto unchanged;
        edit_remove(&edit);
        event = EVENT_DEL;
        break;
    default: { /* a blob that somebody else holds too */
        struct blob *blob = blob_create(20000);
        CHECK(blob != NULL);
        memset(blob->data, (int)(length & 127), blob->length);
        CHECK(edit_put_string(&edit, blob->data, blob->length, blob, false));
        blob_release(blob);
    }
    }
    scope_changed(&edit, event);
    free(bytes);
    return;
unchanged:
    scope_unchanged(&edit);
    free(bytes);
}

/* RENAME, MOVE, COPY: the value of one key goes to another. */
static inline void editor_transfer(struct editor *editor, struct write_scope *scope, const struct key *from,
                                   const struct key *to) {
    bool is_same = from->database == to->database && from->length == to->length &&
                   memcmp(from->data, to->data, to->length) == 0;
    const struct entry *source = scope_read(&scope->reading, from);
    if (source == NULL || is_same) return;
    static const enum event events[3][2] = {
        {EVENT_RENAME_FROM, EVENT_RENAME_TO}, {EVENT_MOVE_FROM, EVENT_MOVE_TO}, {EVENT_COUNT, EVENT_COPY_TO}};
    const enum event *kind = events[random_below(&editor->seed, 3)];
    struct edit edit;
    scope_edit(scope, to, &edit);
    CHECK(edit_put_copy(&edit, source));
    scope_changed(&edit, kind[1]);
    if (kind[0] == EVENT_COUNT) return;
    scope_edit(scope, from, &edit);
    CHECK(edit.entry != NULL);
    edit_remove(&edit);
    scope_changed(&edit, kind[0]);
}

static inline void editor_whole(struct editor *editor, int64_t now) {
    struct holding holding;
    uint32_t databases = keyspace_database_count(editor->mirror->keyspace);
    hold_all(&holding, editor->lane, now);
    uint32_t first = (uint32_t)random_below(&editor->seed, databases),
             second = (uint32_t)random_below(&editor->seed, databases);
    uint64_t what = random_below(&editor->seed, 20);
    if (what == 0)
        keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES);
    else if (what < 8)
        keyspace_flush(&holding.scope, first);
    else
        keyspace_swap(&holding.scope, first, second);
    char name[8];
    struct key key = editor_key(editor, name);
    editor_change(editor, &holding.scope, &key); /* also through the scope of all */
    hold_all_end(&holding);
}

/* FLUSHDB without the gate: with the shards that have something of the database. */
static inline void editor_flush(struct editor *editor, int64_t now) {
    struct keyspace *keyspace = editor->mirror->keyspace;
    uint32_t database = (uint32_t)random_below(&editor->seed, keyspace_database_count(keyspace));
    struct holding holding;
    struct shard_set more;
    shard_set_init(&more);
    hold_shards(&holding, editor->lane, NULL, 0, now);
    while (keyspace_find_tables(keyspace, database, &holding.set, &more) > 0) {
        struct rwlock *busy;
        scope_end_write(&holding.scope);
        for (uint32_t i = 0; i < more.count; i++) CHECK(shard_set_add(&holding.set, more.numbers[i]));
        while (!scope_try_write(&holding.scope, editor->lane, &holding.set, now, &busy))
            scope_wait(editor->lane, busy, true);
    }
    keyspace_flush(&holding.scope, database);
    for (uint32_t i = 0; i < holding.set.count; i++)
        CHECK(keyspace_shard_keys(keyspace, holding.set.numbers[i], database) == 0);
    hold_end(&holding);
    shard_set_free(&more);
}

/* A thread's body. */
static inline void *mirror_edit(void *argument) {
    struct editor *editor = argument;
    struct mirror *mirror = editor->mirror;
    editor->lane = lane_attach(mirror->keyspace);
    CHECK(editor->lane != NULL);
    for (uint64_t step = 0; step < editor->steps; step++) {
        char names[4][8];
        struct key keys[4];
        struct holding holding;
        int64_t now = atomic_fetch_add(&mirror->now, 1);
        uint64_t what = random_below(&editor->seed, 1000);
        if (what == 0) {
            editor_whole(editor, now);
        } else if (what == 1) {
            editor_flush(editor, now);
        } else if (what < 50) {
            lane_enter_waiting(editor->lane);
            keyspace_expire_slice(editor->lane, now, 100);
            lane_leave(editor->lane);
        } else if (what < 100) {
            lane_reclaim(editor->lane);
        } else {
            size_t count = what < 400 ? 4 : 1;
            for (size_t i = 0; i < count; i++) keys[i] = editor_key(editor, names[i]);
            hold_shards(&holding, editor->lane, keys, count, now);
            for (size_t i = 0; i < count; i++) editor_change(editor, &holding.scope, &keys[i]);
            if (count > 1) editor_transfer(editor, &holding.scope, &keys[0], &keys[1]);
            hold_end(&holding);
        }
    }
    lane_detach(editor->lane);
    return NULL;
}

/* ------------------------------------------------------------------ comparing */

struct comparison {
    struct mirror *mirror;
    uint32_t database;
    uint64_t keys;
};

static inline void compare_entry(void *context, const struct entry *entry) {
    struct comparison *comparison = context;
    size_t length;
    const char *data = entry_key(entry, &length);
    struct copy now = copy_of(entry);
    CHECK(copies_equal(mirror_copy(comparison->mirror, comparison->database, data, length), &now));
    comparison->keys++;
}

/* The copy and the keyspace are equal, the sums are right, and nothing that was retired is left. */
static inline void mirror_compare(struct mirror *mirror) {
    struct lane *lane = lane_attach(mirror->keyspace);
    uint64_t all = 0;
    for (uint32_t database = 0; database < keyspace_database_count(mirror->keyspace); database++) {
        struct comparison comparison = {mirror, database, 0};
        walk_all(lane, database, compare_entry, &comparison);
        uint64_t present = 0;
        for (int i = 0; i < MIRROR_NAMES; i++) present += mirror->copies[database][i].is_present;
        CHECK(present == comparison.keys);
        CHECK(size_of(lane, database).keys == present);
        all += present;
    }
    check_accounting(lane);
    CHECK(counts_of(mirror->keyspace).retired_bytes == 0);
    CHECK(counts_of(mirror->keyspace).retired_objects == 0);
    /* After a flush nothing is left at all. */
    struct holding holding;
    hold_all(&holding, lane, MIRROR_TIME_BEGINS);
    CHECK(keyspace_flush(&holding.scope, KEYSPACE_ALL_DATABASES) == all);
    hold_all_end(&holding);
    keyspace_reclaim(lane);
    check_accounting(lane);
    for (uint32_t database = 0; database < keyspace_database_count(mirror->keyspace); database++) {
        struct keyspace_size size = size_of(lane, database);
        CHECK(size.keys == 0 && size.expiring == 0 && size.expiry_sum == 0 && size.bytes == 0 &&
              size.table_bytes == 0);
    }
    CHECK(counts_of(mirror->keyspace).retired_bytes == 0);
    lane_detach(lane);
    print_message("%llu keys;", (unsigned long long)all);
    for (int i = 0; i < EVENT_COUNT; i++) {
        const char *name = event_name((enum event)i);
        print_message(" %s %llu",
                      name != NULL       ? name
                      : i == EVENT_FLUSH ? "flush"
                                         : "swap",
                      (unsigned long long)atomic_load(&mirror->told[i]));
    }
    print_message("\n");
}

#endif
