#include "latchkey.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "evict/eviction.h"
#include "base/number.h"
#include "scope/scope_take.h"

/* Retired objects that a lane gathers before a write stops to free them. */
#define RECLAIM_AT 256

/* The kernel's last tick will do: the exact time costs as much as all the rest of a read that finds its lines
 * in the cache, as reading the cycle counter waits for every load before it. */
static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* false when out of memory: then every shard is taken, which needs none. */
static bool set_of(struct lane *lane, const struct key *keys, size_t count, struct shard_set *set) {
    shard_set_init(set);
    for (size_t i = 0; i < count; i++)
        if (!shard_set_add(set, keyspace_shard_of(lane->keyspace, keys[i].hash))) return false;
    return true;
}

static inline void call_begin(struct lane *lane) {
    if (!lane->is_visiting) lane_enter_waiting(lane);
}

static __attribute__((noinline, cold)) void step_outside(struct lane *lane) {
    lane_leave(lane);
    lane_enter_waiting(lane);
}

static inline void call_end(struct lane *lane) {
    if (!lane->is_visiting)
        lane_leave(lane);
    else if (lane_is_watched(lane))
        step_outside(lane);
}

static void reclaim(struct lane *lane) {
    lane_leave(lane);
    lane_reclaim(lane);
    if (lane->is_visiting) lane_enter_waiting(lane);
}

static void write_end(struct lane *lane) {
    if (lane->retired_count >= RECLAIM_AT || lane_is_congested(lane))
        reclaim(lane);
    else
        call_end(lane);
}

void latchkey_enter(struct lane *lane) {
    assert(!lane->is_visiting && "visits don't nest");
    lane_enter_waiting(lane);
    lane->is_visiting = true;
}

void latchkey_leave(struct lane *lane) {
    assert(lane->is_visiting);
    lane->is_visiting = false;
    lane_leave(lane);
}

static void gate_take(struct lane *lane) {
    lane_leave(lane);
    gate_close_waiting(lane);
}

static void gate_give_back(struct lane *lane) {
    gate_open(lane);
    lane_enter_waiting(lane);
}

/* Inside the gate. Returns whether it has left it and entered again, to wait: then nothing that was seen
 * before counts any more. */
static bool read_inside(struct lane *lane, const struct key *keys, size_t count, int64_t now,
                        void (*function)(void *context, const struct read_scope *scope), void *context) {
    struct shard_set set;
    struct read_scope scope;
    struct rwlock *busy;
    bool is_set = set_of(lane, keys, count, &set), has_left = !is_set;
    if (is_set) {
        for (; !scope_try_read(&scope, lane, &set, now, &busy); now = wall_ms()) {
            scope_wait(lane, busy, false);
            has_left = true;
        }
    } else {
        gate_take(lane);
        scope_all_read(&scope, lane, now);
    }
    function(context, &scope);
    scope_end_read(&scope);
    if (!is_set) gate_give_back(lane);
    shard_set_free(&set);
    return has_left;
}

static bool write_inside(struct lane *lane, const struct key *keys, size_t count, int64_t now,
                         void (*function)(void *context, struct write_scope *scope), void *context) {
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    bool is_set = set_of(lane, keys, count, &set), has_left = !is_set;
    if (is_set) {
        for (; !scope_try_write(&scope, lane, &set, now, &busy); now = wall_ms()) {
            scope_wait(lane, busy, true);
            has_left = true;
        }
    } else {
        gate_take(lane);
        scope_all(&scope, lane, now);
    }
    function(context, &scope);
    scope_end_write(&scope);
    if (!is_set) gate_give_back(lane);
    shard_set_free(&set);
    return has_left;
}

void latchkey_read(struct lane *lane, const struct key *keys, size_t count,
                   void (*function)(void *context, const struct read_scope *scope), void *context) {
    call_begin(lane);
    read_inside(lane, keys, count, wall_ms(), function, context);
    call_end(lane);
}

void latchkey_write(struct lane *lane, const struct key *keys, size_t count,
                    void (*function)(void *context, struct write_scope *scope), void *context) {
    call_begin(lane);
    write_inside(lane, keys, count, wall_ms(), function, context);
    write_end(lane);
}

/* ------------------------------------------------------------------ one key */

struct one {
    struct key key;
    const struct latchkey_item *item;
    char *out;
    size_t size;
    ssize_t length;
    int64_t number;
    enum latchkey_result result;
};

/* When a life that begins now ends; the longest ones never overflow into the past. */
static int64_t end_of_life(int64_t now, int64_t lives) {
    int64_t end;
    return __builtin_add_overflow(now, lives, &end) ? INT64_MAX : end;
}

static void set_one(void *context, struct write_scope *scope) {
    struct one *one = context;
    const struct latchkey_item *item = one->item;
    struct edit edit;
    scope_edit(scope, &one->key, &edit);
    if ((item->only_if_absent && edit.entry != NULL) || (item->only_if_present && edit.entry == NULL)) {
        scope_unchanged(&edit);
        one->result = LATCHKEY_REFUSED;
        return;
    }
    if (!edit_put_string(&edit, item->value, item->value_length, NULL, item->keeps_expiry)) {
        scope_unchanged(&edit);
        one->result = LATCHKEY_OUT_OF_MEMORY;
        return;
    }
    if (item->lives > 0 && !edit_set_expiry(&edit, end_of_life(scope->scope.now, item->lives))) {
        edit_remove(&edit); /* rather absent than immortal */
        one->result = LATCHKEY_OUT_OF_MEMORY;
    }
    scope_changed(&edit, EVENT_SET);
}

/* Where there is a limit (eviction.h): room for what an item takes, whatever has to go for it. Like
 * read_inside, leaves the gate to wait. */
static bool make_room(struct lane *lane, const struct latchkey_item *item, bool *has_left) {
    if (!eviction_is_limited(lane)) return true;
    size_t bytes = entry_room_for(item->key_length + item->value_length);
    while (!eviction_has_room(lane, bytes)) {
        enum room room = eviction_make_room(lane, bytes, wall_ms());
        if (room == ROOM_NONE) return false;
        if (room == ROOM_MADE) break;
        lane_leave(lane);
        lane_reclaim(lane);
        sched_yield(); /* others leave the gate, and let go of shards, at their call's end */
        lane_enter_waiting(lane);
        *has_left = true;
    }
    return true;
}

/* When there is more to do than to overwrite what a glance has found. */
static __attribute__((noinline)) enum latchkey_result
set_locked(struct lane *lane, const struct latchkey_item *item, uint64_t hash, bool *has_left) {
    struct one one = {
        .key = {.data = item->key, .length = item->key_length, .hash = hash, .database = item->database},
        .item = item};
    if (!make_room(lane, item, has_left)) return LATCHKEY_OUT_OF_MEMORY;
    if (write_inside(lane, &one.key, 1, wall_ms(), set_one, &one)) *has_left = true;
    return one.result;
}

static inline enum latchkey_result set_item(struct lane *lane, const struct latchkey_item *item,
                                            const struct key *key, const struct glance *glance,
                                            bool *has_left) {
    bool is_value_all = item->lives <= 0 && !item->only_if_absent;
    if (is_value_all && scope_overwrite(lane, glance, key, item->value, item->value_length))
        return LATCHKEY_OK;
    return set_locked(lane, item, key->hash, has_left);
}

enum latchkey_result latchkey_set(struct lane *lane, const struct latchkey_item *item) {
    struct key key = keyspace_key(lane->keyspace, item->database, item->key, item->key_length);
    struct glance glance;
    bool has_left = false;
    call_begin(lane);
    scope_glance(lane, key.hash, item->database, &glance);
    enum latchkey_result result = set_item(lane, item, &key, &glance, &has_left);
    write_end(lane);
    return result;
}

static void get_one(void *context, const struct read_scope *scope) {
    struct one *one = context;
    const struct entry *entry = scope_read(scope, &one->key);
    one->length = -1;
    if (entry == NULL || entry_type(entry) != TYPE_STRING) return;
    struct string_view view;
    entry_string(entry, &view);
    one->length = (ssize_t)view.length;
    size_t copied = view.length < one->size ? view.length : one->size;
    if (copied > 0) memcpy(one->out, view.data, copied); /* to ask for the length takes no buffer */
}

/* When a glance has failed. The key is named anew, so that it needs no place in memory before. */
static __attribute__((noinline, cold)) ssize_t get_locked(struct lane *lane, uint32_t database,
                                                          const char *key, size_t length, char *out,
                                                          size_t size, bool *has_left) {
    struct one one = {.key = keyspace_key(lane->keyspace, database, key, length), .out = out, .size = size};
    if (read_inside(lane, &one.key, 1, wall_ms(), get_one, &one)) *has_left = true;
    return one.length;
}

ssize_t latchkey_get(struct lane *lane, const char *key, size_t length, char *out, size_t size) {
    struct key wanted = keyspace_key(lane->keyspace, 0, key, length);
    struct glance glance;
    ssize_t found;
    bool has_left;
    call_begin(lane);
    scope_glance(lane, wanted.hash, 0, &glance);
    struct moment moment = {0, 0};
    if (!scope_glance_end(lane, &glance, &wanted, &moment, out, size, &found))
        found = get_locked(lane, 0, key, length, out, size, &has_left);
    call_end(lane);
    return found;
}

static void delete_one(void *context, struct write_scope *scope) {
    struct one *one = context;
    struct edit edit;
    scope_edit(scope, &one->key, &edit);
    if (edit.entry == NULL) {
        scope_unchanged(&edit);
        one->result = LATCHKEY_REFUSED;
        return;
    }
    edit_remove(&edit);
    scope_changed(&edit, EVENT_DEL);
}

bool latchkey_delete(struct lane *lane, const char *key, size_t length) {
    struct one one = {.key = keyspace_key(lane->keyspace, 0, key, length)};
    latchkey_write(lane, &one.key, 1, delete_one, &one);
    return one.result == LATCHKEY_OK;
}

/* The integer that an entry holds, in whatever form. */
static bool integer_of(const struct entry *entry, int64_t *value) {
    struct string_view view;
    if (entry_type(entry) != TYPE_STRING) return false;
    if (entry_integer(entry, value)) return true;
    entry_string(entry, &view);
    return number_parse(view.data, view.length, value);
}

static void increment_one(void *context, struct write_scope *scope) {
    struct one *one = context;
    struct edit edit;
    int64_t value = 0, sum;
    scope_edit(scope, &one->key, &edit);
    if (edit.entry != NULL && !integer_of(edit.entry, &value))
        one->result = LATCHKEY_WRONG_TYPE;
    else if (__builtin_add_overflow(value, one->number, &sum))
        one->result = LATCHKEY_REFUSED;
    else if (!edit_put_integer(&edit, sum))
        one->result = LATCHKEY_OUT_OF_MEMORY;
    if (one->result != LATCHKEY_OK) {
        scope_unchanged(&edit);
        return;
    }
    one->number = sum;
    scope_changed(&edit, EVENT_INCRBY);
}

enum latchkey_result latchkey_increment(struct lane *lane, const char *key, size_t length, int64_t by,
                                        int64_t *result) {
    struct one one = {.key = keyspace_key(lane->keyspace, 0, key, length), .number = by};
    latchkey_write(lane, &one.key, 1, increment_one, &one);
    *result = one.number;
    return one.result;
}

/* ------------------------------------------------------------------ many keys */

/* Keys that are hashed, and between two of whose groups a closer of the gate comes in. */
#define GROUP 32
/* Their lines are sent for while others are worked on: entries this many keys ahead and more, their homes as
 * many again. A processor waits for some dozens of lines at a time. */
#define WINDOW 8

/* A group that is being looked at. */
struct group_look {
    struct key keys[GROUP];
    struct glance glances[GROUP];
    size_t count;
    size_t homes, entries; /* how many have been sent for */
};

static size_t least(size_t one, size_t other) {
    return one < other ? one : other;
}

/* What is behind a home's entries in its spill is sent for when its turn is near: it is seldom. */
static void look_ahead(struct lane *lane, struct group_look *look, size_t at) {
    size_t entries = least(at + 2 * WINDOW, look->count), homes = least(at + 3 * WINDOW, look->count);
    for (; look->homes < entries; look->homes++)
        scope_glance(lane, look->keys[look->homes].hash, look->keys[look->homes].database,
                     &look->glances[look->homes]);
    for (; look->entries < entries; look->entries++)
        glance_fetch(&look->glances[look->entries], look->keys[look->entries].hash);
    for (; look->homes < homes; look->homes++)
        scope_glance(lane, look->keys[look->homes].hash, look->keys[look->homes].database,
                     &look->glances[look->homes]);
    for (size_t i = at; i < least(at + WINDOW, look->count); i++)
        glance_fetch_spilled(&look->glances[i], look->keys[i].hash);
}

/* The next key's turn. has_left: since the last one's. */
static void look_at(struct lane *lane, struct group_look *look, size_t at, bool has_left) {
    if (has_left) look->homes = look->entries = at;
    if (at % WINDOW == 0 || look->entries == at) look_ahead(lane, look, at);
}

static size_t get_group(struct lane *lane, struct latchkey_query *queries, size_t count) {
    struct group_look look;
    size_t found = 0;
    bool has_left = true; /* nothing was seen yet */
    look.count = count;
    for (size_t i = 0; i < count; i++)
        look.keys[i] =
            keyspace_key(lane->keyspace, queries[i].database, queries[i].key, queries[i].key_length);
    call_begin(lane);
    int64_t now = wall_ms();
    struct moment moment = {now, now};
    for (size_t i = 0; i < count; i++) {
        struct latchkey_query *query = &queries[i];
        look_at(lane, &look, i, has_left);
        has_left = false;
        if (!scope_glance_end(lane, &look.glances[i], &look.keys[i], &moment, query->out, query->size,
                              &query->length))
            query->length = get_locked(lane, query->database, query->key, query->key_length, query->out,
                                       query->size, &has_left);
        found += query->length >= 0;
    }
    call_end(lane);
    return found;
}

size_t latchkey_get_many(struct lane *lane, struct latchkey_query *queries, size_t count) {
    size_t found = 0;
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < GROUP ? count - done : GROUP;
        found += get_group(lane, queries + done, now);
    }
    return found;
}

static size_t set_group(struct lane *lane, const struct latchkey_item *items, size_t count,
                        enum latchkey_result *results) {
    struct group_look look;
    size_t stored = 0;
    bool has_left = true; /* nothing was seen yet */
    look.count = count;
    for (size_t i = 0; i < count; i++)
        look.keys[i] = keyspace_key(lane->keyspace, items[i].database, items[i].key, items[i].key_length);
    call_begin(lane);
    for (size_t i = 0; i < count; i++) {
        look_at(lane, &look, i, has_left);
        has_left = false;
        enum latchkey_result result = set_item(lane, &items[i], &look.keys[i], &look.glances[i], &has_left);
        if (results != NULL) results[i] = result;
        stored += result == LATCHKEY_OK;
    }
    write_end(lane);
    return stored;
}

size_t latchkey_set_many(struct lane *lane, const struct latchkey_item *items, size_t count,
                         enum latchkey_result *results) {
    size_t stored = 0;
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < GROUP ? count - done : GROUP;
        stored += set_group(lane, items + done, now, results == NULL ? NULL : results + done);
    }
    return stored;
}

/* ------------------------------------------------------------------ all keys */

void latchkey_range(struct lane *lane, uint32_t database, scope_visitor *visit, void *context) {
    struct shard_set set;
    shard_set_init(&set);
    for (uint32_t shard = 0; shard < keyspace_shard_count(lane->keyspace); shard++) {
        struct read_scope scope;
        struct rwlock *busy;
        shard_set_clear(&set);
        shard_set_add(&set, shard);
        uint64_t position = keyspace_shard_position(lane->keyspace, shard);
        while (position != SCOPE_SCAN_END) {
            call_begin(lane);
            while (!scope_try_read(&scope, lane, &set, wall_ms(), &busy)) scope_wait(lane, busy, false);
            position = scope_scan(&scope, shard, database, position, 256, visit, context);
            scope_end_read(&scope);
            call_end(lane);
        }
    }
    shard_set_free(&set);
}

void latchkey_idle(struct lane *lane, int64_t microseconds) {
    call_begin(lane);
    keyspace_expire_slice(lane, wall_ms(), microseconds);
    reclaim(lane);
}
