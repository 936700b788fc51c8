/* XREAD and XREADGROUP: what has come to several streams since an id, or waiting until something does.
 *
 * Each works through call->keys: when a waiting command is run again for a key, that is its only one, and
 * key_index tells which of the ids belongs to it. The reply is written last: an entry is pending before the
 * group's consumer is told of it. */
#include "shard/scope/scope.h"
#include "server/command/command.h"
#include "streams.h"

#include <string.h>

struct reading {
    const struct bulk *group, *consumer; /* NULL: none */
    bool is_noack, has_timeout;
    int64_t timeout; /* ms */
    uint64_t count;  /* 0: all */
    uint32_t ids_at; /* the index of the first key's id among the arguments */
};

/* How far one of the streams has been read. */
struct position {
    struct stream_id id;
    bool is_new; /* ">": from where the group is */
};

/* ------------------------------------------------------------------ arguments */

static bool only_of_groups(const char *option, bool is_group, struct reply *reply) {
    if (!is_group)
        reply_error_format(
            reply, "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.", option);
    return is_group;
}

/* One option at *at, which is moved to its last argument. */
static bool option_parse(const struct call *call, uint32_t *at, bool is_group, struct reading *reading,
                         struct reply *reply) {
    const struct bulk *option = &call->arguments[*at];
    uint32_t more = call->count - *at - 1;
    if (more >= 1 && argument_is(option, "BLOCK")) {
        reading->has_timeout = true;
        return argument_timeout(&call->arguments[++*at], call->now, &reading->timeout, reply);
    }
    if (more >= 1 && argument_is(option, "COUNT")) {
        int64_t count;
        if (!argument_integer(&call->arguments[++*at], &count, reply, NULL)) return false;
        reading->count = count < 0 ? 0 : (uint64_t)count;
        return true;
    }
    if (more >= 2 && argument_is(option, "GROUP")) {
        reading->group = &call->arguments[*at + 1];
        reading->consumer = &call->arguments[*at + 2];
        *at += 2;
        return only_of_groups("GROUP", is_group, reply);
    }
    if (argument_is(option, "NOACK")) {
        reading->is_noack = true;
        return only_of_groups("NOACK", is_group, reply);
    }
    reply_error(reply, ERROR_SYNTAX);
    return false;
}

static bool reading_parse(const struct call *call, bool is_group, struct reading *reading,
                          struct reply *reply) {
    *reading = (struct reading){0};
    uint32_t at = 1;
    for (; at < call->count; at++) {
        if (at + 1 < call->count && argument_is(&call->arguments[at], "STREAMS")) break;
        if (!option_parse(call, &at, is_group, reading, reply)) return false;
    }
    if (at >= call->count) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    uint32_t names = call->count - at - 1;
    reading->ids_at = at + 1 + names / 2;
    if (names % 2 != 0) {
        reply_error_format(reply,
                           "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' "
                           "must be specified.",
                           call->command->full_name, is_group ? '>' : '$');
        return false;
    }
    if (is_group && reading->group == NULL) reply_error(reply, "ERR Missing GROUP option for XREADGROUP");
    return !is_group || reading->group != NULL;
}

static bool is_word(const struct bulk *argument, char word) {
    return argument->length == 1 && argument->data[0] == word;
}

/* Where to read on from. stream is NULL if there is none. */
static bool position_parse(const struct bulk *argument, bool is_group, const struct stream *stream,
                           struct position *position, struct reply *reply) {
    *position = (struct position){STREAM_ID_LEAST, false};
    if (is_word(argument, '$')) {
        if (is_group)
            reply_error(reply, "ERR The $ ID is meaningless in the context of XREADGROUP: you want "
                               "to read the history of this consumer by specifying "
                               "a proper ID, or use the > ID to get new messages. The $ ID would "
                               "just return an empty result set.");
        else if (stream != NULL)
            position->id = stream->last;
        return !is_group;
    }
    if (is_word(argument, '>')) {
        if (!is_group)
            reply_error(reply, "ERR The > ID can be specified only when calling XREADGROUP using "
                               "the GROUP <group> <consumer> option.");
        position->is_new = true;
        return is_group;
    }
    if (!id_argument(argument, &position->id, reply)) return false;
    position->is_new =
        is_group && stream_id_compare(position->id, STREAM_ID_MOST) == 0; /* as Redis takes it */
    return true;
}

static const struct bulk *id_of_key(const struct call *call, const struct reading *reading, uint32_t key) {
    return &call->arguments[reading->ids_at + call->key_index + key];
}

/* The name as it was written. */
static struct bulk name_of_key(const struct call *call, uint32_t key) {
    return (struct bulk){(char *)(uintptr_t)call->keys[key].data, call->keys[key].length, NULL};
}

static void reply_no_group_to_read(const struct call *call, const struct bulk *group, uint32_t key,
                                   struct reply *reply) {
    struct bulk name = name_of_key(call, key);
    reply_error_format(reply,
                       "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP option",
                       (int)strnlen(name.data, name.length), name.data,
                       (int)strnlen(group->data, group->length), group->data);
}

/* ------------------------------------------------------------------ replies */

/* The streams in which something was found. */
struct answer {
    struct reply *reply;
    size_t mark, streams;
};

static void answer_begin(struct answer *answer, const struct call *call, uint32_t key) {
    struct reply *reply = answer->reply;
    if (answer->streams++ == 0) answer->mark = reply_defer(reply);
    if (reply->protocol == 2) reply_array(reply, 2);
    reply_bulk(reply, call->keys[key].data, call->keys[key].length);
}

static void answer_end(const struct answer *answer) {
    if (answer->reply->protocol == 2)
        reply_defer_array(answer->reply, answer->mark, answer->streams);
    else
        reply_defer_map(answer->reply, answer->mark, answer->streams);
}

/* Waits, or replies that there is nothing. */
static void wait_or_reply(const struct call *call, const struct reading *reading,
                          const struct waiting *waiting, struct reply *reply) {
    if (!reading->has_timeout || call->block == NULL)
        reply_null_array(reply);
    else
        *call->block = (struct block){
            .wants = true, .type = TYPE_STREAM, .timeout = reading->timeout, .waiting = waiting};
}

/* ------------------------------------------------------------------ XREAD */

static bool find_position(const struct read_scope *scope, const struct call *call,
                          const struct reading *reading, uint32_t key, const struct stream **stream,
                          struct position *position, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[key], TYPE_STREAM, &value, reply)) return false;
    *stream = value;
    return position_parse(id_of_key(call, reading, key), false, value, position, reply);
}

/* Whether there is something to read for a command that waits. Its arguments have been found right. */
static bool xread_is_ready(const struct call *call, const struct entry *entry) {
    struct reading reading;
    struct reply unused;
    struct position position;
    if (entry == NULL || entry_type(entry) != TYPE_STREAM) return false;
    const struct stream *stream = entry_value(entry);
    reply_init(&unused, 2);
    bool is_ready = reading_parse(call, false, &reading, &unused) &&
                    position_parse(id_of_key(call, &reading, 0), false, stream, &position, &unused) &&
                    stream_has_after(stream, position.id);
    reply_free(&unused);
    return is_ready;
}

/* "$" is the last id that the stream has now. */
static size_t xread_keep_argument(const struct write_scope *scope, const struct call *call, uint32_t index,
                                  char text[WAITING_TEXT]) {
    const struct read_scope viewing = {scope->scope};
    uint32_t first = call->count - call->key_count;
    if (index < first || !is_word(&call->arguments[index], '$')) return 0;
    const struct entry *entry = scope_peek(&viewing, &call->keys[index - first]);
    const struct stream *stream = entry == NULL ? NULL : entry_value(entry);
    return id_format(text, stream == NULL ? STREAM_ID_LEAST : stream->last);
}

static const struct waiting xread_waiting = {.is_ready = xread_is_ready,
                                             .keep_argument = xread_keep_argument};

static void xread_view(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct reading reading;
    struct position position;
    const struct stream *stream;
    struct answer answer = {.reply = reply};
    if (!reading_parse(call, false, &reading, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (!find_position(scope, call, &reading, i, &stream, &position, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++) {
        find_position(scope, call, &reading, i, &stream, &position, reply);
        if (stream == NULL || !stream_has_after(stream, position.id)) continue;
        answer_begin(&answer, call, i);
        stream_id_increment(&position.id);
        reply_entries(reply, stream, position.id, STREAM_ID_MOST, false, reading.count);
    }
    if (answer.streams > 0)
        answer_end(&answer);
    else
        wait_or_reply(call, &reading, &xread_waiting, reply);
}

static void command_xread(struct write_scope *scope, const struct call *call, struct reply *reply) {
    xread_view(&scope->reading, call, reply);
}

/* ------------------------------------------------------------------ XREADGROUP */

/* Makes the entry the consumer's. false when out of memory. */
static bool deliver(struct opened_group *opened, const struct reading *reading, struct stream_id id,
                    int64_t now) {
    if (!delivery_room()) return false;
    if (!reading->is_noack) {
        struct stream_delivery *delivery = delivery_put(opened->stream, opened->group, opened->consumer, id);
        if (delivery == NULL || !delivery_room()) return false;
        delivery_prepare(delivery);
        consumer_prepare(opened->consumer);
        delivery->time = now;
        delivery->count = 1;
        opened->consumer->active = now;
    }
    group_advance(opened->stream, opened->group, id);
    opened->is_changed = true;
    return true;
}

/* Replies what the group hasn't read yet. If memory runs out on the way, what was delivered so far is the
 * answer. */
static bool reply_unread(struct opened_group *opened, const struct reading *reading, int64_t now,
                         struct reply *reply) {
    struct stream_reader reader;
    struct stream_id start = opened->group->last;
    size_t mark = reply_defer(reply), found = 0;
    stream_id_increment(&start);
    stream_read(&reader, opened->stream, start, STREAM_ID_MOST, false);
    for (; (reading->count == 0 || found < reading->count) && stream_next(&reader); found++) {
        if (!deliver(opened, reading, reader.id, now)) return false;
        reply_entry(reply, &reader);
    }
    reply_defer_array(reply, mark, found);
    return true;
}

/* Replies what the consumer has got already and not acknowledged. Of an entry that has been removed meanwhile
 * only the id is told. */
static bool reply_history(struct opened_group *opened, const struct reading *reading, struct stream_id id,
                          int64_t now, struct reply *reply) {
    size_t mark = reply_defer(reply), found = 0;
    struct tree_place place = {NULL, 0};
    if (stream_id_increment(&id)) place = tree_from(&opened->consumer->pending, id);
    for (; place.node != NULL && (reading->count == 0 || found < reading->count);
         place = tree_next(place), found++) {
        struct tree_slot *slot = tree_slot(place);
        struct stream_delivery *delivery = slot->to;
        if (!delivery_room()) return false;
        if (reply_entry_of(reply, opened->stream, slot->id)) {
            delivery_prepare(delivery);
            delivery->time = now;
            delivery->count++;
        } else {
            reply_array(reply, 2);
            reply_id(reply, slot->id);
            reply_null_array(reply);
        }
    }
    if (found > 0) opened->is_changed = true;
    reply_defer_array(reply, mark, found);
    return true;
}

static bool has_unread(const struct stream *stream, const struct stream_group *group) {
    return stream_has_after(stream, group->last);
}

/* What is wrong with a position is replied before anything is changed. */
static bool group_check(const struct write_scope *scope, const struct call *call,
                        const struct reading *reading, uint32_t key, struct position *position,
                        struct reply *reply) {
    const void *value;
    if (!value_view(scope, &call->keys[key], TYPE_STREAM, &value, reply)) return false;
    if (value != NULL && group_find(value, text_of(reading->group)) != NULL)
        return position_parse(id_of_key(call, reading, key), true, value, position, reply);
    reply_no_group_to_read(call, reading->group, key, reply);
    return false;
}

/* false when out of memory. */
static bool read_of_group(struct write_scope *scope, const struct call *call, const struct reading *reading,
                          uint32_t key, struct answer *answer) {
    struct opened_group opened;
    struct position position;
    struct reply *reply = answer->reply;
    /* It was fine before. */
    if (!group_check(scope, call, reading, key, &position, reply)) return true;
    if (!group_open(scope, &call->keys[key], reading->group, &opened)) return false;
    bool is_done = group_consumer(&opened, reading->consumer, call->now);
    if (is_done && (!position.is_new || has_unread(opened.stream, opened.group))) {
        answer_begin(answer, call, key);
        opened.counted++; /* what a stream gave, or that it gave nothing */
        is_done = position.is_new ? reply_unread(&opened, reading, call->now, reply)
                                  : reply_history(&opened, reading, position.id, call->now, reply);
    }
    if (is_done)
        group_close(&opened);
    else
        group_give_up(&opened);
    return is_done;
}

static bool xreadgroup_is_ready(const struct call *call, const struct entry *entry) {
    struct reading reading;
    struct reply unused;
    if (entry == NULL || entry_type(entry) != TYPE_STREAM) return true; /* with an error */
    const struct stream *stream = entry_value(entry);
    reply_init(&unused, 2);
    reading_parse(call, true, &reading, &unused);
    const struct stream_group *group = group_find(stream, text_of(reading.group));
    reply_free(&unused);
    return group == NULL || has_unread(stream, group);
}

static void xreadgroup_reply_gone(const struct call *call, struct reply *reply) {
    struct reading reading;
    if (reading_parse(call, true, &reading, reply)) reply_no_group_to_read(call, reading.group, 0, reply);
}

/* What a consumer has read is read for its whole group. */
static uint32_t xreadgroup_subject(const struct call *call) {
    struct reading reading;
    struct reply unused;
    reply_init(&unused, 2);
    bool is_fine = reading_parse(call, true, &reading, &unused);
    reply_free(&unused);
    return is_fine ? (uint32_t)(reading.group - call->arguments) : 0;
}

static const struct waiting xreadgroup_waiting = {
    .is_ready = xreadgroup_is_ready, .reply_gone = xreadgroup_reply_gone, .subject = xreadgroup_subject};

static void command_xreadgroup(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct reading reading;
    struct position position;
    struct answer answer = {.reply = reply};
    bool is_done = true;
    if (!reading_parse(call, true, &reading, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++)
        if (!group_check(scope, call, &reading, i, &position, reply)) return;
    size_t mark = reply_mark(reply);
    struct undo undo;
    undo_begin(&undo, scope);
    for (uint32_t i = 0; is_done && i < call->key_count; i++)
        is_done = read_of_group(scope, call, &reading, i, &answer);
    undo_conclude(&undo, is_done);
    if (!is_done) {
        reply_truncate(reply, mark);
        reply_error(reply, ERROR_NO_MEMORY);
    } else if (answer.streams > 0)
        answer_end(&answer);
    else
        wait_or_reply(call, &reading, &xreadgroup_waiting, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command stream_reads_commands[] = {
    {.name = "xread",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_BLOCKING | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .first = 1,
               .keyword = "STREAMS",
               .last = -1,
               .step = 1,
               .limit = 2}},
     .write = command_xread,
     .view = xread_view,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "For each stream mentioned: O(N)",
     .summary = "Lists what has come to streams since an id, or waits for it",
     .syntax = "[count:integer=COUNT] [milliseconds:integer=BLOCK] "
               "streams:block=STREAMS(key:key#0... id:string...)"},
    {.name = "xreadgroup",
     .arity = -7,
     .flags = COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLE_KEYS | COMMAND_LONG,
     .keys = {{.flags = KEY_RO | KEY_ACCESS,
               .first = 4,
               .keyword = "STREAMS",
               .last = -1,
               .step = 1,
               .limit = 2}},
     .write = command_xreadgroup,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "For each stream mentioned: O(M)",
     .summary = "Hands a consumer what its group has not read yet, or waits for it",
     .syntax = "group_consumer:block=GROUP(group:string consumer:string) [count:integer=COUNT] "
               "[milliseconds:integer=BLOCK] [noack=NOACK] streams:block=STREAMS(key:key#0... "
               "id:string...)"},
    {.name = NULL},
};
