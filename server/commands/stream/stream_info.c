/* XINFO: what streams, groups and consumers tell of themselves. */
#include <string.h>

#include "server/command/command.h"
#include "streams.h"

/* Finds the call's stream; or replies that there is none. */
static const struct stream *stream_of(const struct read_scope *scope, const struct call *call,
                                      struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_STREAM, &value, reply)) return NULL;
    if (value == NULL) reply_error(reply, ERROR_NO_KEY);
    return value;
}

static void put_integer(struct reply *reply, const char *name, uint64_t value) {
    reply_bulk_text(reply, name);
    reply_integer(reply, (int64_t)value);
}

static void put_id(struct reply *reply, const char *name, struct stream_id id) {
    reply_bulk_text(reply, name);
    reply_id(reply, id);
}

static void put_name(struct reply *reply, struct text name) {
    reply_bulk_text(reply, "name");
    reply_bulk(reply, name.data, name.length);
}

/* ------------------------------------------------------------------ XINFO STREAM */

static void put_edge(const struct stream *stream, const char *name, bool is_last, struct reply *reply) {
    struct stream_id id;
    reply_bulk_text(reply, name);
    if (!stream_edge(stream, is_last, &id) || !reply_entry_of(reply, stream, id)) reply_null(reply);
}

static void put_progress(const struct stream *stream, const struct stream_group *group, struct reply *reply) {
    int64_t lag;
    put_id(reply, "last-delivered-id", group->last);
    reply_bulk_text(reply, "entries-read");
    if (group->entries_read == STREAM_UNKNOWN)
        reply_null(reply);
    else
        reply_integer(reply, group->entries_read);
    reply_bulk_text(reply, "lag");
    if (group_lag(stream, group, &lag))
        reply_integer(reply, lag);
    else
        reply_null(reply);
}

/* Replies the first `count` (0: all) entries that are pending; those of a group with the consumer's name. */
static void put_pending(const struct tree *pending, uint64_t count, bool has_names, struct reply *reply) {
    put_integer(reply, "pel-count", pending->count);
    reply_bulk_text(reply, "pending");
    uint64_t shown = count == 0 || count > pending->count ? pending->count : count;
    reply_array(reply, shown);
    for (struct tree_place place = tree_first(pending); shown > 0; place = tree_next(place), shown--) {
        const struct stream_delivery *delivery = tree_slot(place)->to;
        reply_array(reply, has_names ? 4 : 3);
        reply_id(reply, tree_slot(place)->id);
        if (has_names) reply_bulk(reply, delivery->consumer->name.data, delivery->consumer->name.length);
        reply_integer(reply, delivery->time);
        reply_integer(reply, (int64_t)delivery->count);
    }
}

static void reply_consumer_in_full(const struct stream_consumer *consumer, uint64_t count,
                                   struct reply *reply) {
    reply_map(reply, 5);
    put_name(reply, consumer->name);
    put_integer(reply, "seen-time", (uint64_t)consumer->seen);
    put_integer(reply, "active-time", (uint64_t)consumer->active);
    put_pending(&consumer->pending, count, false, reply);
}

static void reply_group_in_full(const struct stream *stream, const struct stream_group *group, uint64_t count,
                                struct reply *reply) {
    reply_map(reply, 7);
    put_name(reply, group->name);
    put_progress(stream, group, reply);
    put_pending(&group->pending, count, true, reply);
    reply_bulk_text(reply, "consumers");
    reply_array(reply, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++)
        reply_consumer_in_full(group->consumers.items[i], count, reply);
}

static void reply_stream(const struct stream *stream, bool is_full, uint64_t count, struct reply *reply) {
    reply_map(reply, is_full ? 9 : 10);
    put_integer(reply, "length", stream->count);
    put_integer(reply, "radix-tree-keys", stream->nodes.count);
    put_integer(reply, "radix-tree-nodes", stream->radix_nodes + 1);
    put_id(reply, "last-generated-id", stream->last);
    put_id(reply, "max-deleted-entry-id", stream->deleted);
    put_integer(reply, "entries-added", stream->added);
    put_id(reply, "recorded-first-entry-id", stream->first);
    if (!is_full) {
        put_integer(reply, "groups", stream->groups.count);
        put_edge(stream, "first-entry", false, reply);
        put_edge(stream, "last-entry", true, reply);
        return;
    }
    reply_bulk_text(reply, "entries");
    reply_entries(reply, stream, STREAM_ID_LEAST, STREAM_ID_MOST, false, count);
    reply_bulk_text(reply, "groups");
    reply_array(reply, stream->groups.count);
    for (uint32_t i = 0; i < stream->groups.count; i++)
        reply_group_in_full(stream, stream->groups.items[i], count, reply);
}

/* FULL, or FULL COUNT n. */
static bool full_parse(const struct call *call, int64_t *count, struct reply *reply) {
    *count = 10;
    if (call->count == 3) return true;
    bool is_right = argument_is(&call->arguments[3], "FULL") &&
                    (call->count == 4 || (call->count == 6 && argument_is(&call->arguments[4], "COUNT")));
    if (!is_right) reply_subcommand_error(call, reply);
    if (!is_right || call->count == 4) return is_right;
    if (!argument_integer(&call->arguments[5], count, reply, NULL)) return false;
    if (*count < 0) *count = 10;
    return true;
}

static void command_xinfo_stream(const struct read_scope *scope, const struct call *call,
                                 struct reply *reply) {
    int64_t count;
    const struct stream *stream = stream_of(scope, call, reply);
    if (stream != NULL && full_parse(call, &count, reply))
        reply_stream(stream, call->count > 3, (uint64_t)count, reply);
}

/* ------------------------------------------------------------------ XINFO GROUPS and CONSUMERS */

static void command_xinfo_groups(const struct read_scope *scope, const struct call *call,
                                 struct reply *reply) {
    const struct stream *stream = stream_of(scope, call, reply);
    if (stream == NULL) return;
    reply_array(reply, stream->groups.count);
    for (uint32_t i = 0; i < stream->groups.count; i++) {
        const struct stream_group *group = stream->groups.items[i];
        reply_map(reply, 6);
        put_name(reply, group->name);
        put_integer(reply, "consumers", group->consumers.count);
        put_integer(reply, "pending", group->pending.count);
        put_progress(stream, group, reply);
    }
}

static int64_t since(int64_t time, int64_t now) {
    return now > time ? now - time : 0;
}

static void command_xinfo_consumers(const struct read_scope *scope, const struct call *call,
                                    struct reply *reply) {
    const struct stream *stream = stream_of(scope, call, reply);
    if (stream == NULL) return;
    const struct bulk *key = &call->arguments[2], *name = &call->arguments[3];
    const struct stream_group *group = group_find(stream, text_of(name));
    if (group == NULL) {
        reply_error_format(reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                           (int)strnlen(name->data, name->length), name->data,
                           (int)strnlen(key->data, key->length), key->data);
        return;
    }
    reply_array(reply, group->consumers.count);
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = group->consumers.items[i];
        reply_map(reply, 4);
        put_name(reply, consumer->name);
        put_integer(reply, "pending", consumer->pending.count);
        put_integer(reply, "idle", (uint64_t)since(consumer->seen, call->now));
        put_integer(reply, "inactive",
                    (uint64_t)(consumer->active < 0 ? -1 : since(consumer->active, call->now)));
    }
}

static void command_xinfo_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <group>",
        "    Tell of the consumers in <group>.",
        "GROUPS <key>",
        "    Tell of the groups of a stream.",
        "STREAM <key> [FULL [COUNT <count>]]",
        "    Tell of a stream; with FULL also the first <count> (10) of its entries and of all",
        "    that is pending.",
        "HELP",
        "    Print this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command stream_info_commands[] = {
    {.name = "xinfo",
     .arity = -2,
     .flags = COMMAND_LONG,
     .since = "5.0.0",
     .group = "stream",
     .complexity = "Depends on subcommand",
     .summary = "What streams tell of themselves"},
    {.name = "xinfo|consumers",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .read = command_xinfo_consumers,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Tells of the consumers in a group",
     .syntax = "key:key#0 groupname:string",
     .tips = "nondeterministic_output"},
    {.name = "xinfo|groups",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .read = command_xinfo_groups,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Tells of the groups of a stream",
     .syntax = "key:key#0",
     .history = "7.0.0:entries-read and lag"},
    {.name = "xinfo|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_LONG,
     .plain = command_xinfo_help,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "xinfo|stream",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 2, 0, 1}},
     .read = command_xinfo_stream,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Tells of a stream",
     .syntax = "key:key#0 [full:block=FULL([count:integer=COUNT])]",
     .history = "6.0.0:FULL;7.0.0:max-deleted-entry-id and entries-added and "
                "recorded-first-entry-id and entries-read and lag"},
    {.name = NULL},
};
