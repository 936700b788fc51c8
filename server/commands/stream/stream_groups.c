/* Groups of consumers: XGROUP, XACK, and what is pending. */
#include <string.h>

#include "server/command/command.h"
#include "server/commands/shared/work.h"
#include "streams.h"

void reply_no_group(struct reply *reply, const struct bulk *key, const struct bulk *group) {
    reply_error_format(reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'",
                       (int)strnlen(key->data, key->length), key->data,
                       (int)strnlen(group->data, group->length), group->data);
}

/* ------------------------------------------------------------------ opening */

bool group_open(struct write_scope *scope, const struct key *key, const struct bulk *name,
                struct opened_group *opened) {
    *opened = (struct opened_group){.event = EVENT_XREADGROUP};
    struct reply unused;
    reply_init(&unused, 2);
    bool is_open = value_open(scope, key, TYPE_STREAM, &opened->opened, &unused);
    reply_free(&unused);
    if (!is_open) return false;
    opened->stream = opened->opened.value;
    if (opened->stream != NULL) opened->group = group_find(opened->stream, text_of(name));
    if (opened->group == NULL) group_close(opened);
    return opened->group != NULL;
}

bool group_consumer(struct opened_group *opened, const struct bulk *name, int64_t now) {
    if (!delivery_room()) return false;
    opened->consumer = consumer_find(opened->group, text_of(name));
    if (opened->consumer == NULL) {
        opened->consumer = consumer_create(opened->stream, opened->group, text_of(name), now);
        if (opened->consumer == NULL) return false;
        opened->is_changed = true;
        opened->counted++;
        opened->event = EVENT_XGROUP_CREATECONSUMER;
    }
    consumer_prepare(opened->consumer);
    opened->consumer->seen = now;
    return true;
}

void group_close(struct opened_group *opened) {
    value_close(&opened->opened, opened->is_changed, opened->event);
    if (opened->counted > 0)
        scope_count_more(opened->opened.edit.scope, (int64_t)opened->counted - opened->is_changed);
}

void group_give_up(struct opened_group *opened) {
    value_close(&opened->opened, 0, opened->event);
}

/* Finds the group of a command whose first argument is a key and whose second is a group; or replies that it
 * isn't there. */
static bool find_group(const struct read_scope *scope, const struct call *call, const struct stream **stream,
                       const struct stream_group **group, struct reply *reply) {
    const void *value;
    *group = NULL;
    if (!value_read(scope, &call->keys[0], TYPE_STREAM, &value, reply)) return false;
    *stream = value;
    if (value != NULL) *group = group_find(value, text_of(&call->arguments[2]));
    if (*group == NULL) reply_no_group(reply, &call->arguments[1], &call->arguments[2]);
    return *group != NULL;
}

/* In what there is at the key. */
static bool check_group(const struct entry *entry, const struct call *call, struct reply *reply) {
    if (!check_type(entry, TYPE_STREAM, reply)) return false;
    bool is_there = entry != NULL && group_find(entry_value(entry), text_of(&call->arguments[2])) != NULL;
    if (!is_there) reply_no_group(reply, &call->arguments[1], &call->arguments[2]);
    return is_there;
}

/* ------------------------------------------------------------------ XGROUP */

struct grouping {
    bool makes_stream;
    int64_t entries_read;
};

/* The options that follow the id of CREATE and SETID. */
static bool grouping_parse(const struct call *call, bool is_create, struct grouping *grouping,
                           struct reply *reply) {
    *grouping = (struct grouping){false, STREAM_UNKNOWN};
    for (uint32_t i = 5; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (is_create && argument_is(option, "MKSTREAM")) {
            grouping->makes_stream = true;
        } else if (i + 1 < call->count && argument_is(option, "ENTRIESREAD")) {
            if (!argument_integer(&call->arguments[++i], &grouping->entries_read, reply, NULL)) return false;
            if (grouping->entries_read < 0 && grouping->entries_read != STREAM_UNKNOWN) {
                reply_error(reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_subcommand_error(call, reply);
            return false;
        }
    }
    return true;
}

static const char no_stream[] = "ERR The XGROUP subcommand requires the key to exist. Note that "
                                "for CREATE you may want to use the MKSTREAM option to "
                                "create an empty stream automatically.";

/* Opens the stream, which has to be there. Finds the group, which has to be there too if it is needed. */
static bool xgroup_open(struct write_scope *scope, const struct call *call, bool needs_group,
                        struct opened_group *opened, struct reply *reply) {
    *opened = (struct opened_group){0};
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened->opened, reply)) return false;
    opened->stream = opened->opened.value;
    if (opened->stream != NULL) opened->group = group_find(opened->stream, text_of(&call->arguments[3]));
    if (opened->stream != NULL && (opened->group != NULL || !needs_group)) return true;
    group_close(opened);
    const struct bulk *key = &call->arguments[2], *group = &call->arguments[3];
    if (opened->stream == NULL)
        reply_error(reply, no_stream);
    else
        reply_error_format(reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                           (int)strnlen(group->data, group->length), group->data,
                           (int)strnlen(key->data, key->length), key->data);
    return false;
}

/* "$" is the stream's last id. */
static bool group_id(const struct bulk *argument, const struct stream *stream, bool is_strict,
                     struct stream_id *id) {
    *id = stream == NULL ? STREAM_ID_LEAST : stream->last;
    return (argument->length == 1 && argument->data[0] == '$') || id_parse(argument, 0, is_strict, NULL, id);
}

/* Returns what is wrong, or NULL. */
static const char *create_group(struct opened *opened, const struct call *call,
                                const struct grouping *grouping) {
    struct stream_id id;
    struct text name = text_of(&call->arguments[3]);
    if (opened->value == NULL && !grouping->makes_stream) return no_stream;
    if (!group_id(&call->arguments[4], opened->value, true, &id)) return ERROR_STREAM_ID;
    if (opened->value == NULL) opened->value = stream_create();
    if (opened->value == NULL) return ERROR_NO_MEMORY;
    if (group_find(opened->value, name) != NULL) return "BUSYGROUP Consumer Group name already exists";
    return group_create(opened->value, name, id, grouping->entries_read) == NULL ? ERROR_NO_MEMORY : NULL;
}

static void command_xgroup_create(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct grouping grouping;
    struct opened opened;
    if (!grouping_parse(call, true, &grouping, reply)) return;
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened, reply)) return;
    const char *error = create_group(&opened, call, &grouping);
    if (!value_close(&opened, error == NULL, EVENT_XGROUP_CREATE) && error == NULL) error = ERROR_NO_MEMORY;
    if (error != NULL)
        reply_error(reply, error);
    else
        reply_ok(reply);
}

static void command_xgroup_setid(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct grouping grouping;
    struct opened_group opened;
    struct stream_id id;
    if (!grouping_parse(call, false, &grouping, reply)) return;
    if (!xgroup_open(scope, call, true, &opened, reply)) return;
    opened.is_changed = group_id(&call->arguments[4], opened.stream, false, &id);
    opened.event = EVENT_XGROUP_SETID;
    if (opened.is_changed) {
        group_prepare(opened.group);
        opened.group->last = id;
        opened.group->entries_read = grouping.entries_read;
    }
    group_close(&opened);
    if (opened.is_changed)
        reply_ok(reply);
    else
        reply_error(reply, ERROR_STREAM_ID);
}

static void command_xgroup_destroy(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened_group opened;
    if (!xgroup_open(scope, call, false, &opened, reply)) return;
    opened.is_changed = opened.group != NULL;
    opened.event = EVENT_XGROUP_DESTROY;
    if (opened.is_changed) group_destroy(opened.stream, opened.group);
    group_close(&opened);
    reply_integer(reply, opened.is_changed);
}

static void command_xgroup_createconsumer(struct write_scope *scope, const struct call *call,
                                          struct reply *reply) {
    struct opened_group opened;
    struct text name = text_of(&call->arguments[4]);
    if (!xgroup_open(scope, call, true, &opened, reply)) return;
    bool is_new = consumer_find(opened.group, name) == NULL;
    opened.is_changed = is_new && consumer_create(opened.stream, opened.group, name, call->now) != NULL;
    opened.event = EVENT_XGROUP_CREATECONSUMER;
    group_close(&opened);
    if (is_new && !opened.is_changed)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, is_new);
}

static void command_xgroup_delconsumer(struct write_scope *scope, const struct call *call,
                                       struct reply *reply) {
    struct opened_group opened;
    int64_t pending = 0;
    if (!xgroup_open(scope, call, true, &opened, reply)) return;
    opened.consumer = consumer_find(opened.group, text_of(&call->arguments[4]));
    opened.is_changed = opened.consumer != NULL;
    opened.event = EVENT_XGROUP_DELCONSUMER;
    if (opened.consumer != NULL) {
        pending = (int64_t)opened.consumer->pending.count;
        consumer_destroy(opened.stream, opened.group, opened.consumer);
    }
    group_close(&opened);
    reply_integer(reply, pending);
}

static void command_xgroup_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <number>]",
        "    Make a group that has read up to <id>, and with MKSTREAM the stream too, if it",
        "    isn't there. ENTRIESREAD tells how many entries that is.",
        "CREATECONSUMER <key> <group> <consumer>",
        "    Make a consumer in <group>.",
        "DELCONSUMER <key> <group> <consumer>",
        "    Remove a consumer with all it has pending; tells how many that was.",
        "DESTROY <key> <group>",
        "    Remove a group.",
        "SETID <key> <group> <id|$> [ENTRIESREAD <number>]",
        "    Let a group read on from <id>.",
        "HELP",
        "    Print this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ XACK */

static void command_xack(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened_group opened;
    struct stream_id id;
    const void *value;
    int64_t acknowledged = 0;
    if (!value_view(scope, &call->keys[0], TYPE_STREAM, &value, reply)) return;
    if (value == NULL || group_find(value, text_of(&call->arguments[2])) == NULL) {
        reply_integer(reply, 0);
        return;
    }
    if (!ids_check(call, 3, reply) || !group_open(scope, &call->keys[0], &call->arguments[2], &opened))
        return;
    for (uint32_t i = 3; i < call->count; i++)
        acknowledged += id_parse(&call->arguments[i], 0, true, NULL, &id) &&
                        delivery_remove(opened.stream, opened.group, id);
    opened.is_changed = acknowledged > 0;
    opened.counted = (uint64_t)acknowledged;
    opened.event = EVENT_XACK;
    group_close(&opened);
    reply_integer(reply, acknowledged);
}

/* ------------------------------------------------------------------ XPENDING */

struct asking {
    struct stream_id start, end;
    int64_t count, idle;
    const struct bulk *consumer; /* NULL: any */
};

/* [IDLE ms] start end count [consumer], read in Redis's order. */
static bool asking_parse(const struct call *call, struct asking *asking, struct reply *reply) {
    uint32_t at = 3;
    *asking = (struct asking){0};
    bool has_idle = argument_is(&call->arguments[at], "IDLE");
    if (has_idle) {
        if (!argument_integer(&call->arguments[at + 1], &asking->idle, reply, NULL)) return false;
        at += 2;
    }
    if (call->count < at + 3) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    if (!argument_integer(&call->arguments[at + 2], &asking->count, reply, NULL)) return false;
    if (asking->count < 0) asking->count = 0;
    if (at + 3 < call->count) asking->consumer = &call->arguments[at + 3];
    return id_start(&call->arguments[at], &asking->start, reply) &&
           id_end(&call->arguments[at + 1], &asking->end, reply);
}

static void reply_summary(const struct stream_group *group, struct reply *reply) {
    const struct tree *pending = &group->pending;
    reply_array(reply, 4);
    reply_integer(reply, (int64_t)pending->count);
    if (pending->count == 0) {
        reply_null(reply);
        reply_null(reply);
        reply_null_array(reply);
        return;
    }
    reply_id(reply, tree_slot(tree_first(pending))->id);
    reply_id(reply, tree_slot(tree_last(pending))->id);
    size_t mark = reply_defer(reply), found = 0;
    for (uint32_t i = 0; i < group->consumers.count; i++) {
        const struct stream_consumer *consumer = group->consumers.items[i];
        if (consumer->pending.count == 0) continue;
        reply_array(reply, 2);
        reply_bulk(reply, consumer->name.data, consumer->name.length);
        reply_bulk_integer(reply, (int64_t)consumer->pending.count);
        found++;
    }
    reply_defer_array(reply, mark, found);
}

static int64_t idle_of(const struct stream_delivery *delivery, int64_t now) {
    return now > delivery->time ? now - delivery->time : 0;
}

static void reply_pending(const struct tree *pending, const struct asking *asking, int64_t now,
                          struct reply *reply) {
    size_t mark = reply_defer(reply);
    int64_t found = 0;
    for (struct tree_place place = tree_from(pending, asking->start);
         place.node != NULL && found < asking->count; place = tree_next(place)) {
        const struct tree_slot *slot = tree_slot(place);
        const struct stream_delivery *delivery = slot->to;
        if (stream_id_compare(slot->id, asking->end) > 0) break;
        if (asking->idle > 0 && now - delivery->time < asking->idle) continue;
        reply_array(reply, 4);
        reply_id(reply, slot->id);
        reply_bulk(reply, delivery->consumer->name.data, delivery->consumer->name.length);
        reply_integer(reply, idle_of(delivery, now));
        reply_integer(reply, (int64_t)delivery->count);
        found++;
    }
    reply_defer_array(reply, mark, (size_t)found);
}

static void command_xpending(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct asking asking;
    const struct stream *stream;
    const struct stream_group *group;
    if (call->count != 3 && (call->count < 6 || call->count > 9)) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count > 3 && !asking_parse(call, &asking, reply)) return;
    if (!find_group(scope, call, &stream, &group, reply)) return;
    if (call->count == 3) {
        reply_summary(group, reply);
        return;
    }
    const struct stream_consumer *consumer =
        asking.consumer == NULL ? NULL : consumer_find(group, text_of(asking.consumer));
    if (asking.consumer != NULL && consumer == NULL)
        reply_array(reply, 0);
    else
        reply_pending(consumer == NULL ? &group->pending : &consumer->pending, &asking, call->now, reply);
}

/* ------------------------------------------------------------------ XCLAIM and XAUTOCLAIM */

struct claiming {
    struct opened_group opened;
    int64_t now, idle; /* the least that an entry must have been idle for */
    int64_t time;      /* that it was delivered at, from now on */
    int64_t retries;   /* -1: one more than it had */
    bool is_forced, only_ids;
    struct stream_id last; /* the group has read at least up to here */
};

enum claimed { CLAIM_DONE, CLAIM_NONE, CLAIM_GONE, CLAIM_FAILED };

/* CLAIM_GONE: the entry was pending, but is in the stream no more, and so isn't pending from now on either.
 * CLAIM_FAILED: out of memory. */
static enum claimed claim(struct claiming *claiming, struct stream_id id, struct reply *reply) {
    struct opened_group *opened = &claiming->opened;
    const struct stream_delivery *pending = tree_get(&opened->group->pending, id);
    if (!delivery_room()) return CLAIM_FAILED;
    if (!stream_has(opened->stream, id)) {
        bool was_pending = delivery_remove(opened->stream, opened->group, id);
        opened->is_changed = opened->is_changed || was_pending;
        opened->counted += was_pending;
        return was_pending ? CLAIM_GONE : CLAIM_NONE;
    }
    if (pending == NULL && !claiming->is_forced) return CLAIM_NONE;
    if (pending != NULL && claiming->idle > 0 && claiming->now - pending->time < claiming->idle)
        return CLAIM_NONE;
    struct stream_delivery *delivery = delivery_put(opened->stream, opened->group, opened->consumer, id);
    if (delivery == NULL || !delivery_room()) return CLAIM_FAILED;
    delivery_prepare(delivery);
    consumer_prepare(opened->consumer);
    if (pending == NULL) delivery->count = 1;
    delivery->time = claiming->time;
    if (claiming->retries >= 0)
        delivery->count = (uint64_t)claiming->retries;
    else if (!claiming->only_ids)
        delivery->count++;
    opened->consumer->active = claiming->now;
    opened->is_changed = true;
    opened->counted++;
    if (claiming->only_ids)
        reply_id(reply, id);
    else
        reply_entry_of(reply, opened->stream, id);
    return CLAIM_DONE;
}

static bool idle_parse(const struct bulk *argument, int64_t *idle, struct reply *reply, const char *error) {
    if (!argument_integer(argument, idle, reply, error)) return false;
    if (*idle < 0) *idle = 0;
    return true;
}

/* Reads an option that comes with a number. `known` is false if it is none of these. */
static bool claim_number(const struct call *call, uint32_t at, struct claiming *claiming, bool *is_known,
                         struct reply *reply) {
    const struct bulk *option = &call->arguments[at], *value = option + 1;
    *is_known = true;
    if (argument_is(option, "IDLE")) {
        if (!argument_integer(value, &claiming->time, reply, "ERR Invalid IDLE option argument for XCLAIM"))
            return false;
        claiming->time = (int64_t)((uint64_t)claiming->now - (uint64_t)claiming->time);
        return true;
    }
    if (argument_is(option, "TIME"))
        return argument_integer(value, &claiming->time, reply, "ERR Invalid TIME option argument for XCLAIM");
    if (argument_is(option, "RETRYCOUNT"))
        return argument_integer(value, &claiming->retries, reply,
                                "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    if (argument_is(option, "LASTID")) return id_argument(value, &claiming->last, reply);
    *is_known = false;
    return true;
}

static bool claim_options(const struct call *call, uint32_t at, struct claiming *claiming,
                          struct reply *reply) {
    for (; at < call->count; at++) {
        const struct bulk *option = &call->arguments[at];
        bool is_known = true;
        if (argument_is(option, "FORCE")) {
            claiming->is_forced = true;
        } else if (argument_is(option, "JUSTID")) {
            claiming->only_ids = true;
        } else if (at + 1 < call->count) {
            if (!claim_number(call, at++, claiming, &is_known, reply)) return false;
        } else {
            is_known = false;
        }
        if (is_known) continue;
        reply_error_format(reply, "ERR Unrecognized XCLAIM option '%.*s'",
                           (int)strnlen(option->data, option->length), option->data);
        return false;
    }
    if (claiming->time < 0 || claiming->time > claiming->now) claiming->time = claiming->now;
    return true;
}

/* Out of memory: closes the group, and the undo is to go back. */
static bool claim_fail(struct claiming *claiming, struct reply *reply) {
    group_give_up(&claiming->opened);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

/* Opens the group, and finds or makes the consumer. */
static bool claim_begin(struct claiming *claiming, struct write_scope *scope, const struct call *call,
                        struct reply *reply) {
    struct opened_group *opened = &claiming->opened;
    if (!group_open(scope, &call->keys[0], &call->arguments[2], opened)) {
        reply_error(reply, ERROR_NO_MEMORY); /* it was found before */
        return false;
    }
    opened->event = EVENT_XCLAIM;
    if (!delivery_room()) return claim_fail(claiming, reply);
    if (stream_id_compare(claiming->last, opened->group->last) > 0) {
        group_prepare(opened->group);
        opened->group->last = claiming->last;
        opened->is_changed = true;
        opened->counted++;
    }
    return group_consumer(opened, &call->arguments[3], call->now) || claim_fail(claiming, reply);
}

/* false when out of memory: some may have been claimed. */
static bool claim_all(struct claiming *claiming, struct write_scope *scope, const struct call *call,
                      uint32_t ids_end, struct reply *reply) {
    if (!claim_begin(claiming, scope, call, reply)) return false;
    size_t mark = reply_defer(reply), found = 0;
    for (uint32_t i = 5; i < ids_end; i++) {
        struct stream_id id;
        id_parse(&call->arguments[i], 0, true, NULL, &id);
        enum claimed claimed = claim(claiming, id, reply);
        if (claimed == CLAIM_FAILED) {
            reply_truncate(reply, mark);
            return claim_fail(claiming, reply);
        }
        found += claimed == CLAIM_DONE;
    }
    group_close(&claiming->opened);
    reply_defer_array(reply, mark, found);
    return true;
}

static void command_xclaim(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct claiming claiming = {.now = call->now, .time = -1, .retries = -1};
    struct stream_id id;
    uint32_t ids_end = 5;
    if (!check_group(scope_read(&scope->reading, &call->keys[0]), call, reply)) return;
    if (!idle_parse(&call->arguments[4], &claiming.idle, reply,
                    "ERR Invalid min-idle-time argument for XCLAIM"))
        return;
    while (ids_end < call->count && id_parse(&call->arguments[ids_end], 0, true, NULL, &id)) ids_end++;
    if (!claim_options(call, ids_end, &claiming, reply)) return;
    struct undo undo;
    undo_begin(&undo, scope);
    undo_conclude(&undo, claim_all(&claiming, scope, call, ids_end, reply));
}

#define ATTEMPTS_FACTOR 10 /* entries looked at for each that may be claimed */

struct autoclaiming {
    struct claiming claiming;
    struct stream_id next;
    int64_t count;
};

static bool autoclaim_parse(const struct call *call, struct autoclaiming *automatic, struct reply *reply) {
    *automatic =
        (struct autoclaiming){.claiming = {.now = call->now, .time = call->now, .retries = -1}, .count = 100};
    if (!idle_parse(&call->arguments[4], &automatic->claiming.idle, reply,
                    "ERR Invalid min-idle-time argument for XAUTOCLAIM"))
        return false;
    if (!id_start(&call->arguments[5], &automatic->next, reply)) return false;
    for (uint32_t i = 6; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (i + 1 < call->count && argument_is(option, "COUNT")) {
            int64_t most = INT64_MAX / 16;
            if (!argument_integer_within(&call->arguments[++i], 1, most, &automatic->count, reply,
                                         "ERR COUNT must be > 0"))
                return false;
        } else if (argument_is(option, "JUSTID")) {
            automatic->claiming.only_ids = true;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Goes over what is pending, from `next` on, and moves `next` to where the following call is to begin. Ids of
 * entries that are gone are written to `gone`. Returns how many entries were claimed. */
static bool autoclaim(struct autoclaiming *automatic, struct reply *gone, size_t *gone_count, size_t *found,
                      struct reply *reply) {
    const struct tree *pending = &automatic->claiming.opened.group->pending;
    int64_t attempts = automatic->count * ATTEMPTS_FACTOR, left = automatic->count;
    struct tree_place place;
    while (attempts-- > 0 && left > 0 && (place = tree_from(pending, automatic->next)).node != NULL) {
        struct stream_id id = tree_slot(place)->id;
        enum claimed claimed = claim(&automatic->claiming, id, reply);
        if (claimed == CLAIM_FAILED) return false;
        if (claimed == CLAIM_GONE) {
            reply_id(gone, id);
            ++*gone_count;
        }
        *found += claimed == CLAIM_DONE;
        left -= claimed == CLAIM_DONE || claimed == CLAIM_GONE;
        automatic->next = id;
        if (!stream_id_increment(&automatic->next)) break;
    }
    place = tree_from(pending, automatic->next);
    bool is_over = place.node == NULL || stream_id_compare(automatic->next, STREAM_ID_LEAST) == 0;
    automatic->next = is_over ? STREAM_ID_LEAST : tree_slot(place)->id;
    return true;
}

static bool autoclaim_all(struct autoclaiming *automatic, struct write_scope *scope, const struct call *call,
                          struct reply *reply) {
    struct reply claimed, gone;
    size_t gone_count = 0, found = 0;
    if (!claim_begin(&automatic->claiming, scope, call, reply)) return false;
    automatic->claiming.opened.event = EVENT_XAUTOCLAIM;
    reply_init(&claimed, reply->protocol);
    reply_init(&gone, reply->protocol);
    bool is_done = autoclaim(automatic, &gone, &gone_count, &found, &claimed);
    if (is_done) {
        group_close(&automatic->claiming.opened);
        reply_array(reply, 3);
        reply_id(reply, automatic->next);
        reply_array(reply, found);
        if (found > 0) reply_raw(reply, claimed.data, claimed.length);
        reply_array(reply, gone_count);
        if (gone_count > 0) reply_raw(reply, gone.data, gone.length);
        if (claimed.is_broken || gone.is_broken) reply->is_broken = true;
    } else {
        claim_fail(&automatic->claiming, reply);
    }
    reply_free(&claimed);
    reply_free(&gone);
    return is_done;
}

static void command_xautoclaim(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct autoclaiming automatic;
    struct undo undo;
    const struct entry *entry = scope_read(&scope->reading, &call->keys[0]); /* whatever the arguments are */
    if (!autoclaim_parse(call, &automatic, reply) || !check_group(entry, call, reply)) return;
    undo_begin(&undo, scope);
    undo_conclude(&undo, autoclaim_all(&automatic, scope, call, reply));
}

/* ------------------------------------------------------------------ rows */

const struct command stream_groups_commands[] = {
    {.name = "xack",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_xack,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Acknowledges entries that were delivered",
     .syntax = "key:key#0 group:string id:string..."},
    {.name = "xpending",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_pending,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_xpending,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(N)",
     .summary = "Lists what was delivered and not acknowledged",
     .syntax = "key:key#0 group:string [filters:block([min-idle-time:integer=IDLE@6.2.0] "
               "start:string end:string count:integer [consumer:string])]",
     .tips = "nondeterministic_output",
     .history = "6.2.0:IDLE"},
    {.name = "xclaim",
     .arity = -6,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_xclaim,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(log N)",
     .summary = "Makes entries that another consumer has pending one's own",
     .syntax = "key:key#0 group:string consumer:string min-idle-time:string id:string... "
               "[ms:integer=IDLE] [unix-time-milliseconds:unix-time=TIME] "
               "[count:integer=RETRYCOUNT] [force=FORCE] [justid=JUSTID] [id:string=LASTID]",
     .tips = "nondeterministic_output"},
    {.name = "xautoclaim",
     .arity = -6,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_xautoclaim,
     .categories = "stream",
     .since = "6.2.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Makes entries that have been pending for long one's own",
     .syntax = "key:key#0 group:string consumer:string min-idle-time:string start:string "
               "[count:integer=COUNT] [justid=JUSTID]",
     .tips = "nondeterministic_output",
     .history = "7.0.0:further forms"},
    {.name = "xgroup",
     .arity = -2,
     .flags = COMMAND_LONG,
     .since = "5.0.0",
     .group = "stream",
     .complexity = "Depends on subcommand",
     .summary = "What can be done with groups of consumers"},
    {.name = "xgroup|create",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_xgroup_create,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Makes a group of consumers",
     .syntax = "key:key#0 groupname:string id:oneof(id:string new_id=\"$\") [mkstream=MKSTREAM] "
               "[entries_read:integer=ENTRIESREAD]",
     .history = "7.0.0:entries_read"},
    {.name = "xgroup|createconsumer",
     .arity = 5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_INSERT, 2, 0, 1}},
     .write = command_xgroup_createconsumer,
     .categories = "stream",
     .since = "6.2.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Makes a consumer in a group",
     .syntax = "key:key#0 groupname:string consumername:string"},
    {.name = "xgroup|delconsumer",
     .arity = 5,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 2, 0, 1}},
     .write = command_xgroup_delconsumer,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Removes a consumer with all it has pending",
     .syntax = "key:key#0 groupname:string consumername:string"},
    {.name = "xgroup|destroy",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_DELETE, 2, 0, 1}},
     .write = command_xgroup_destroy,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(N)",
     .summary = "Removes a group of consumers",
     .syntax = "key:key#0 groupname:string"},
    {.name = "xgroup|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_LONG,
     .plain = command_xgroup_help,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "xgroup|setid",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_UPDATE, 2, 0, 1}},
     .write = command_xgroup_setid,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Lets a group read on from another entry",
     .syntax = "key:key#0 groupname:string id:oneof(id:string new_id=\"$\") "
               "[entries_read:integer=ENTRIESREAD]",
     .history = "7.0.0:entries_read"},
    {.name = NULL},
};
