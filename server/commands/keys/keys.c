/* Commands about keys as such, whatever their values: whether a key is there, of which type it is, to delete
 * it, to give it another name.
 *
 * Commands that give a value another place (RENAME, MOVE) put it there and then take it from where it was,
 * under one scope; nothing large is copied. */
#include <string.h>

#include "shard/keyspace.h"
#include "server/command/command.h"
#include "server/commands/shared/room.h"

/* ------------------------------------------------------------------ is it there, and what is it */

/* Counts a hit or a miss, but leaves no access on the entry, as with the option NOTOUCH. */
static const struct entry *read_untouched(const struct read_scope *scope, const struct key *key) {
    struct read_scope quiet = *scope;
    quiet.scope.counts_access = false;
    return scope_read(&quiet, key);
}

static void command_exists(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    int64_t present = 0;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (read_untouched(scope, &call->keys[i]) != NULL) present++;
    reply_integer(reply, present);
}

/* TOUCH counts as a use of the key even for a client that has set NO-TOUCH. */
static void command_touch(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct read_scope touching = *scope;
    int64_t present = 0;
    touching.scope.counts_access = true;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (scope_read(&touching, &call->keys[i]) != NULL) present++;
    reply_integer(reply, present);
}

static void command_type(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const struct entry *entry = read_untouched(scope, &call->keys[0]);
    reply_status(reply, entry == NULL ? "none" : type_name(entry_type(entry)));
}

/* ------------------------------------------------------------------ away with it */

/* Deletes the key. Returns whether it was there. */
static bool key_remove(struct write_scope *scope, const struct key *key, enum event event) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    if (edit.entry == NULL) {
        scope_unchanged(&edit);
        return false;
    }
    edit_remove(&edit);
    scope_changed(&edit, event);
    return true;
}

static void command_del(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t removed = 0;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (key_remove(scope, &call->keys[i], EVENT_DEL)) removed++;
    reply_integer(reply, removed);
}

/* DEL and UNLINK are the same, as freeing never happens under the lock. */
static void command_unlink(struct write_scope *scope, const struct call *call, struct reply *reply) {
    command_del(scope, call, reply);
}

/* ------------------------------------------------------------------ another place for it */

static bool key_is_same(const struct key *one, const struct key *other) {
    return one->database == other->database && one->length == other->length &&
           (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

enum placed { PLACED, PLACE_TAKEN, PLACE_NO_MEMORY };
typedef bool edit_put(struct edit *edit, const struct entry *source);

/* Gives the key `to` the value and expiry of `source`, which is another key's entry. */
static enum placed key_place(struct write_scope *scope, const struct key *to, const struct entry *source,
                             bool replaces, edit_put *put, enum event event) {
    struct edit edit;
    scope_edit(scope, to, &edit);
    if (edit.entry != NULL && !replaces) {
        scope_unchanged(&edit);
        return PLACE_TAKEN;
    }
    if (!put(&edit, source)) {
        scope_unchanged(&edit);
        return PLACE_NO_MEMORY;
    }
    scope_changed(&edit, event);
    return PLACED;
}

/* Removes a key whose value has been put elsewhere. */
static void key_leave(struct write_scope *scope, const struct key *key, enum event event) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    edit_remove_moved(&edit);
    scope_changed(&edit, event);
    scope_count_more(scope, -1);
}

static enum placed key_rename(struct write_scope *scope, const struct key *from, const struct key *to,
                              const struct entry *source, bool replaces) {
    if (key_is_same(from, to)) return replaces ? PLACED : PLACE_TAKEN;
    enum placed placed = key_place(scope, to, source, replaces, edit_put_moved, EVENT_RENAME_TO);
    if (placed != PLACED) return placed;
    key_leave(scope, from, EVENT_RENAME_FROM);
    scope_mention(&scope->scope, to, EVENT_RENAME_TO);
    return placed;
}

static void rename_reply(struct write_scope *scope, const struct call *call, struct reply *reply,
                         bool replaces) {
    const struct key *from = &call->keys[0];
    const struct entry *source = scope_view(scope, from);
    if (source == NULL) {
        reply_error(reply, ERROR_NO_KEY);
        return;
    }
    enum placed placed = key_rename(scope, from, &call->keys[1], source, replaces);
    if (placed == PLACE_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else if (replaces)
        reply_ok(reply);
    else
        reply_integer(reply, placed == PLACED);
}

static void command_rename(struct write_scope *scope, const struct call *call, struct reply *reply) {
    rename_reply(scope, call, reply, true);
}

static void command_renamenx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    rename_reply(scope, call, reply, false);
}

#define ERROR_SAME_OBJECT "ERR source and destination objects are the same"

/* Reads the number of a database, or replies what is wrong with it. */
static bool argument_database(const struct call *call, uint32_t index, uint32_t *database,
                              struct reply *reply) {
    int64_t number;
    if (!argument_integer_within(&call->arguments[index], INT32_MIN, INT32_MAX, &number, reply, NULL))
        return false;
    if (number < 0 || number >= keyspace_database_count(call->keyspace)) {
        reply_error(reply, "ERR DB index is out of range");
        return false;
    }
    *database = (uint32_t)number;
    return true;
}

/* COPY source destination [DB number] [REPLACE]. A key's namesakes in other databases share its
 * shard, so what is held is enough. */
static void command_copy(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct key destination = call->keys[1];
    bool replaces = false;
    for (uint32_t i = 3; i < call->count; i++) {
        if (argument_is(&call->arguments[i], "REPLACE")) {
            replaces = true;
        } else if (argument_is(&call->arguments[i], "DB") && i + 1 < call->count) {
            if (!argument_database(call, ++i, &destination.database, reply)) return;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return;
        }
    }
    if (key_is_same(&call->keys[0], &destination)) {
        reply_error(reply, ERROR_SAME_OBJECT);
        return;
    }
    const struct entry *source = scope_read(&scope->reading, &call->keys[0]);
    enum placed placed = source == NULL
                             ? PLACE_TAKEN
                             : key_place(scope, &destination, source, replaces, edit_put_copy, EVENT_COPY_TO);
    if (placed == PLACE_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, placed == PLACED);
}

static void command_move(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const struct key *from = &call->keys[0];
    struct key to = *from;
    if (!argument_database(call, 2, &to.database, reply)) return;
    if (to.database == from->database) {
        reply_error(reply, ERROR_SAME_OBJECT);
        return;
    }
    const struct entry *source = scope_view(scope, from);
    enum placed placed =
        source == NULL ? PLACE_TAKEN : key_place(scope, &to, source, false, edit_put_moved, EVENT_MOVE_TO);
    if (placed == PLACE_NO_MEMORY) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    if (placed == PLACED) {
        key_leave(scope, from, EVENT_MOVE_FROM);
        scope_mention(&scope->scope, &to, EVENT_MOVE_TO);
    }
    reply_integer(reply, placed == PLACED);
}

/* ------------------------------------------------------------------ rows */

const struct command keys_commands[] = {
    {.name = "del",
     .arity = -2,
     .flags = COMMAND_WRITE,
     .keys = {{KEY_RM | KEY_DELETE, 1, -1, 1}},
     .write = command_del,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N) for N keys; the values are freed later",
     .summary = "Deletes keys",
     .syntax = "key:key#0...",
     .tips = "request_policy:multi_shard,response_policy:agg_sum"},
    {.name = "unlink",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RM | KEY_DELETE, 1, -1, 1}},
     .write = command_unlink,
     .categories = "keyspace",
     .since = "4.0.0",
     .group = "generic",
     .complexity = "O(N) for N keys; the values are freed later",
     .summary = "Deletes keys and frees their memory later",
     .syntax = "key:key#0...",
     .tips = "request_policy:multi_shard,response_policy:agg_sum"},
    {.name = "exists",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO, 1, -1, 1}},
     .read = command_exists,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(N) for N keys",
     .summary = "Counts how many of the keys exist",
     .syntax = "key:key#0...",
     .tips = "request_policy:multi_shard,response_policy:agg_sum",
     .history = "3.0.3:several keys"},
    {.name = "type",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_type,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells the type of a key's value",
     .syntax = "key:key#0"},
    {.name = "touch",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO, 1, -1, 1}},
     .read = command_touch,
     .categories = "keyspace",
     .since = "3.2.1",
     .group = "generic",
     .complexity = "O(N) for N keys",
     .summary = "Marks keys as used just now",
     .syntax = "key:key#0...",
     .tips = "request_policy:multi_shard,response_policy:agg_sum"},
    {.name = "rename",
     .arity = 3,
     .flags = COMMAND_WRITE,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_OW | KEY_UPDATE, 2, 0, 1}},
     .write = command_rename,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Gives a key another name",
     .syntax = "key:key#0 newkey:key#1"},
    {.name = "renamenx",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}, {KEY_OW | KEY_INSERT, 2, 0, 1}},
     .write = command_renamenx,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Gives a key another name if that is free",
     .syntax = "key:key#0 newkey:key#1",
     .history = "3.2.0:both names may be the same"},
    {.name = "copy",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}, {KEY_OW | KEY_UPDATE, 2, 0, 1}},
     .write = command_copy,
     .room = room_for_first,
     .categories = "keyspace",
     .since = "6.2.0",
     .group = "generic",
     .complexity = "O(1) for strings",
     .summary = "Copies a value to another key",
     .syntax = "source:key#0 destination:key#1 [destination-db:integer=DB] [replace=REPLACE]"},
    {.name = "move",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_move,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Moves a key to another database",
     .syntax = "key:key#0 db:integer"},
    {.name = NULL},
};
