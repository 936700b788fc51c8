#include "latchkey.h"

#include <string.h>
#include <time.h>

#include "number.h"
#include "scope_take.h"

/* Retired objects that a lane gathers before a write stops to free them. */
#define RECLAIM_AT 256

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void set_of(struct lane *lane, const struct key *keys, size_t count, struct shard_set *set) {
    shard_set_init(set);
    for (size_t i = 0; i < count; i++) shard_set_add(set, keyspace_shard_of(lane->keyspace, keys[i].hash));
}

void latchkey_read(struct lane *lane, const struct key *keys, size_t count,
                   void (*function)(void *context, const struct read_scope *scope), void *context) {
    struct shard_set set;
    struct read_scope scope;
    struct rwlock *busy;
    set_of(lane, keys, count, &set);
    lane_enter_waiting(lane);
    while (!scope_try_read(&scope, lane, &set, wall_ms(), &busy)) scope_wait(lane, busy, false);
    function(context, &scope);
    scope_end_read(&scope);
    lane_leave(lane);
    shard_set_free(&set);
}

void latchkey_write(struct lane *lane, const struct key *keys, size_t count, void (*function)(void *context, struct write_scope *scope),
                    void *context) {
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    set_of(lane, keys, count, &set);
    lane_enter_waiting(lane);
    while (!scope_try_write(&scope, lane, &set, wall_ms(), &busy)) scope_wait(lane, busy, true);
    function(context, &scope);
    scope_end_write(&scope);
    lane_leave(lane);
    shard_set_free(&set);
    if (lane->retired_count >= RECLAIM_AT) lane_reclaim(lane);
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

enum latchkey_result latchkey_set(struct lane *lane, const struct latchkey_item *item) {
    struct one one = {.key = keyspace_key(lane->keyspace, item->database, item->key, item->key_length), .item = item};
    latchkey_write(lane, &one.key, 1, set_one, &one);
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
    if (copied > 0) memcpy(one->out, view.data, copied); /* who only asks for the length has no buffer */
}

/* Without the lock first. Whatever becomes of it, `out` is the caller's to be written to. */
ssize_t latchkey_get(struct lane *lane, const char *key, size_t length, char *out, size_t size) {
    struct one one = {.key = keyspace_key(lane->keyspace, 0, key, length), .out = out, .size = size};
    struct read_scope scope;
    struct look look;
    lane_enter_waiting(lane);
    scope_look(&scope, lane, &look, wall_ms());
    get_one(&one, &scope);
    bool is_sound = scope_end_look(&scope);
    lane_leave(lane);
    if (!is_sound) latchkey_read(lane, &one.key, 1, get_one, &one);
    return one.length;
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
    if (edit.entry != NULL && !integer_of(edit.entry, &value)) one->result = LATCHKEY_WRONG_TYPE;
    else if (__builtin_add_overflow(value, one->number, &sum)) one->result = LATCHKEY_REFUSED;
    else if (!edit_put_integer(&edit, sum)) one->result = LATCHKEY_OUT_OF_MEMORY;
    if (one->result != LATCHKEY_OK) {
        scope_unchanged(&edit);
        return;
    }
    one->number = sum;
    scope_changed(&edit, EVENT_INCRBY);
}

enum latchkey_result latchkey_increment(struct lane *lane, const char *key, size_t length, int64_t by, int64_t *result) {
    struct one one = {.key = keyspace_key(lane->keyspace, 0, key, length), .number = by};
    latchkey_write(lane, &one.key, 1, increment_one, &one);
    *result = one.number;
    return one.result;
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
            while (!scope_try_read(&scope, lane, &set, wall_ms(), &busy)) scope_wait(lane, busy, false);
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
