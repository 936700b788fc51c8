#include "latchkey.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "eviction.h"
#include "number.h"
#include "scope_take.h"

/* Retired objects that a lane gathers before a write stops to free them. */
#define RECLAIM_AT 256

/* The kernel's last tick will do: the exact time costs as much as all the rest of a read that finds its lines in the cache, as reading the
 * cycle counter waits for every load before it. */
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

static void gate_take(struct lane *lane) {
    lane_leave(lane);
    gate_close_waiting(lane);
}

static void gate_give_back(struct lane *lane) {
    gate_open(lane);
    lane_enter_waiting(lane);
}

/* Inside the gate, which it may leave and enter again while it waits; so the caller holds and looks at nothing. */
static void read_inside(struct lane *lane, const struct key *keys, size_t count, int64_t now,
                        void (*function)(void *context, const struct read_scope *scope),
                        void *context) {
    struct shard_set set;
    struct read_scope scope;
    struct rwlock *busy;
    bool is_set = set_of(lane, keys, count, &set);
    if (is_set) {
        for (; !scope_try_read(&scope, lane, &set, now, &busy); now = wall_ms())
            scope_wait(lane, busy, false);
    } else {
        gate_take(lane);
        scope_all_read(&scope, lane, now);
    }
    function(context, &scope);
    scope_end_read(&scope);
    if (!is_set) gate_give_back(lane);
    shard_set_free(&set);
}

static void write_inside(struct lane *lane, const struct key *keys, size_t count, int64_t now,
                         void (*function)(void *context, struct write_scope *scope),
                         void *context) {
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    bool is_set = set_of(lane, keys, count, &set);
    if (is_set) {
        for (; !scope_try_write(&scope, lane, &set, now, &busy); now = wall_ms())
            scope_wait(lane, busy, true);
    } else {
        gate_take(lane);
        scope_all(&scope, lane, now);
    }
    function(context, &scope);
    scope_end_write(&scope);
    if (!is_set) gate_give_back(lane);
    shard_set_free(&set);
}

static void leave_after_writing(struct lane *lane) {
    lane_leave(lane);
    if (lane->retired_count >= RECLAIM_AT || lane_is_congested(lane)) lane_reclaim(lane);
}

void latchkey_read(struct lane *lane, const struct key *keys, size_t count,
                   void (*function)(void *context, const struct read_scope *scope), void *context) {
    lane_enter_waiting(lane);
    read_inside(lane, keys, count, wall_ms(), function, context);
    lane_leave(lane);
}

void latchkey_write(struct lane *lane, const struct key *keys, size_t count,
                    void (*function)(void *context, struct write_scope *scope), void *context) {
    lane_enter_waiting(lane);
    write_inside(lane, keys, count, wall_ms(), function, context);
    leave_after_writing(lane);
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
    if ((item->only_if_absent && edit.entry != NULL) ||
        (item->only_if_present && edit.entry == NULL)) {
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

/* Inside the gate, where there is a limit (eviction.h): room for what an item takes, whatever has to go for it. */
static bool make_room(struct lane *lane, const struct latchkey_item *item) {
    if (!eviction_is_limited(lane)) return true;
    size_t bytes = eviction_room_for(item->key_length + item->value_length);
    while (!eviction_has_room(lane, bytes)) {
        enum room room = eviction_make_room(lane, bytes, wall_ms());
        if (room == ROOM_NONE) return false;
        if (room == ROOM_MADE) break;
        lane_leave(lane);
        if (lane_reclaim(lane) || lane->retired_count > 0) sched_yield(); /* others leave the gate at their call's end */
        lane_enter_waiting(lane);
    }
    return true;
}

enum latchkey_result latchkey_set(struct lane *lane, const struct latchkey_item *item) {
    struct one one;
    struct fetch fetch;
    one.key = keyspace_key(lane->keyspace, item->database, item->key, item->key_length);
    one.item = item;
    one.result = LATCHKEY_OK;
    lane_enter_waiting(lane);
    fetch_home(lane, one.key.hash, item->database, &fetch);
    fetch_entry(&fetch, one.key.hash); /* on their way while the lock is taken */
    one.key.fetch = &fetch;
    if (make_room(lane, item)) write_inside(lane, &one.key, 1, wall_ms(), set_one, &one);
    else one.result = LATCHKEY_OUT_OF_MEMORY;
    leave_after_writing(lane);
    return one.result;
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
    if (copied > 0)
        memcpy(one->out, view.data, copied); /* who only asks for the length has no buffer */
}

/* When a glance has failed. May leave the gate meanwhile. */
static __attribute__((noinline, cold)) ssize_t get_locked(struct lane *lane, uint32_t database, const char *key, size_t length, char *out, size_t size) {
    struct one one = {.key = keyspace_key(lane->keyspace, database, key, length), .out = out, .size = size};
    read_inside(lane, &one.key, 1, wall_ms(), get_one, &one);
    return one.length;
}

ssize_t latchkey_get(struct lane *lane, const char *key, size_t length, char *out, size_t size) {
    struct key wanted = keyspace_key(lane->keyspace, 0, key, length);
    struct glance glance;
    ssize_t found;
    lane_enter_waiting(lane);
    scope_glance(lane, wanted.hash, 0, &glance);
    struct moment moment = {0, 0};
    if (!scope_glance_end(lane, &glance, &wanted, &moment, out, size, &found)) found = get_locked(lane, 0, key, length, out, size);
    lane_leave(lane);
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

enum latchkey_result latchkey_increment(struct lane *lane, const char *key, size_t length,
                                        int64_t by, int64_t *result) {
    struct one one = {.key = keyspace_key(lane->keyspace, 0, key, length), .number = by};
    latchkey_write(lane, &one.key, 1, increment_one, &one);
    *result = one.number;
    return one.result;
}

/* ------------------------------------------------------------------ many keys */

/* Keys that are hashed, and between two of whose groups a closer of the gate comes in. */
#define GROUP 32
/* Their lines are sent for while others are worked on: entries this many keys ahead and more, their homes as many again. A processor waits for some dozens
 * of lines at a time. */
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
    for (; look->homes < entries; look->homes++) scope_glance(lane, look->keys[look->homes].hash, look->keys[look->homes].database, &look->glances[look->homes]);
    for (; look->entries < entries; look->entries++) glance_fetch(&look->glances[look->entries], look->keys[look->entries].hash);
    for (; look->homes < homes; look->homes++) scope_glance(lane, look->keys[look->homes].hash, look->keys[look->homes].database, &look->glances[look->homes]);
    for (size_t i = at; i < least(at + WINDOW, look->count); i++) glance_fetch_spilled(&look->glances[i], look->keys[i].hash);
}

static size_t get_group(struct lane *lane, struct latchkey_query *queries, size_t count) {
    struct group_look look;
    size_t found = 0;
    look.count = count;
    look.homes = look.entries = 0;
    for (size_t i = 0; i < count; i++)
        look.keys[i] = keyspace_key(lane->keyspace, queries[i].database, queries[i].key, queries[i].key_length);
    lane_enter_waiting(lane);
    int64_t now = wall_ms();
    struct moment moment = {now, now};
    for (size_t i = 0; i < count; i++) {
        struct latchkey_query *query = &queries[i];
        if (i % WINDOW == 0 || look.entries == i) look_ahead(lane, &look, i);
        if (!scope_glance_end(lane, &look.glances[i], &look.keys[i], &moment, query->out, query->size, &query->length)) {
            query->length = get_locked(lane, query->database, query->key, query->key_length, query->out, query->size);
            look.homes = look.entries = i + 1; /* what was seen of the others may be gone by now */
        }
        found += query->length >= 0;
    }
    lane_leave(lane);
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
    struct key keys[GROUP];
    size_t stored = 0;
    for (size_t i = 0; i < count; i++)
        keys[i] =
            keyspace_key(lane->keyspace, items[i].database, items[i].key, items[i].key_length);
    lane_enter_waiting(lane);
    keyspace_prefetch(lane, keys, count);
    int64_t now = wall_ms();
    for (size_t i = 0; i < count; i++) {
        struct one one = {.key = keys[i], .item = &items[i]};
        write_inside(lane, &one.key, 1, now, set_one, &one);
        if (results != NULL) results[i] = one.result;
        stored += one.result == LATCHKEY_OK;
    }
    leave_after_writing(lane);
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
            lane_enter_waiting(lane);
            while (!scope_try_read(&scope, lane, &set, wall_ms(), &busy))
                scope_wait(lane, busy, false);
            position = scope_scan(&scope, shard, database, position, 256, visit, context);
            scope_end_read(&scope);
            lane_leave(lane);
        }
    }
    shard_set_free(&set);
}

void latchkey_idle(struct lane *lane, int64_t microseconds) {
    lane_enter_waiting(lane);
    keyspace_expire_slice(lane, wall_ms(), microseconds);
    lane_leave(lane);
    lane_reclaim(lane);
}
