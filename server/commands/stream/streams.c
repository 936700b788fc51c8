/* Streams: adding, reading ranges, removing. Groups are stream_groups.c's, waiting for entries is
 * stream_reads.c's. */
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"
#include "server/command/command.h"
#include "server/commands/shared/work.h"

/* ------------------------------------------------------------------ ids */

/* Reads a number as Redis does, which is as strtoull does: blanks before it, a sign, zeros. */
static bool part_parse(const char *text, uint64_t *part) {
    int64_t number;
    char *end;
    if (number_parse(text, strlen(text), &number)) {
        *part = (uint64_t)number;
        return number >= 0;
    }
    errno = 0;
    *part = strtoull(text, &end, 10);
    return errno == 0 && *text != '\0' && *end == '\0';
}

bool id_parse(const struct bulk *argument, uint64_t missing, bool is_strict, bool *has_sequence,
              struct stream_id *id) {
    char text[128];
    if (argument->length >= sizeof text) return false;
    if (argument->length > 0) memcpy(text, argument->data, argument->length);
    text[argument->length] = '\0';
    if (has_sequence != NULL) *has_sequence = true;
    if (strcmp(text, "-") == 0 || strcmp(text, "+") == 0) {
        *id = text[0] == '-' ? STREAM_ID_LEAST : STREAM_ID_MOST;
        return !is_strict;
    }
    char *dash = strchr(text, '-');
    if (dash != NULL) *dash = '\0';
    id->seq = missing;
    if (!part_parse(text, &id->ms)) return false;
    if (dash == NULL) return true;
    if (has_sequence == NULL || strcmp(dash + 1, "*") != 0) return part_parse(dash + 1, &id->seq);
    id->seq = 0;
    *has_sequence = false;
    return true;
}

bool id_argument(const struct bulk *argument, struct stream_id *id, struct reply *reply) {
    if (id_parse(argument, 0, true, NULL, id)) return true;
    reply_error(reply, ERROR_STREAM_ID);
    return false;
}

bool ids_check(const struct call *call, uint32_t first, struct reply *reply) {
    struct stream_id id;
    for (uint32_t i = first; i < call->count; i++)
        if (!id_argument(&call->arguments[i], &id, reply)) return false;
    return true;
}

static bool bound_parse(const struct bulk *argument, uint64_t missing, bool *is_excluded,
                        struct stream_id *id, struct reply *reply) {
    struct bulk inner = *argument;
    *is_excluded = argument->length > 1 && argument->data[0] == '(';
    if (*is_excluded) {
        inner.data++;
        inner.length--;
    }
    if (id_parse(&inner, missing, *is_excluded, NULL, id)) return true;
    reply_error(reply, ERROR_STREAM_ID);
    return false;
}

bool id_start(const struct bulk *argument, struct stream_id *id, struct reply *reply) {
    bool is_excluded;
    if (!bound_parse(argument, 0, &is_excluded, id, reply)) return false;
    if (!is_excluded || stream_id_increment(id)) return true;
    reply_error(reply, "ERR invalid start ID for the interval");
    return false;
}

bool id_end(const struct bulk *argument, struct stream_id *id, struct reply *reply) {
    bool is_excluded;
    if (!bound_parse(argument, UINT64_MAX, &is_excluded, id, reply)) return false;
    if (!is_excluded || stream_id_decrement(id)) return true;
    reply_error(reply, "ERR invalid end ID for the interval");
    return false;
}

size_t id_format(char text[WAITING_TEXT], struct stream_id id) {
    size_t length = number_format_unsigned(text, id.ms);
    text[length++] = '-';
    return length + number_format_unsigned(text + length, id.seq);
}

/* ------------------------------------------------------------------ replies */

void reply_id(struct reply *reply, struct stream_id id) {
    char text[WAITING_TEXT];
    reply_bulk(reply, text, id_format(text, id));
}

void reply_entry(struct reply *reply, struct stream_reader *reader) {
    struct packed_text name, value;
    reply_array(reply, 2);
    reply_id(reply, reader->id);
    reply_array(reply, (size_t)reader->field_count * 2);
    for (uint32_t i = 0; i < reader->field_count; i++) {
        stream_field(reader, &name, &value);
        reply_element(reply, &name);
        reply_element(reply, &value);
    }
}

bool reply_entry_of(struct reply *reply, const struct stream *stream, struct stream_id id) {
    struct stream_reader reader;
    stream_read(&reader, stream, id, id, false);
    if (!stream_next(&reader)) return false;
    reply_entry(reply, &reader);
    return true;
}

void reply_entries(struct reply *reply, const struct stream *stream, struct stream_id start,
                   struct stream_id end, bool is_backwards, uint64_t count) {
    struct stream_reader reader;
    size_t mark = reply_defer(reply), found = 0;
    stream_read(&reader, stream, start, end, is_backwards);
    for (; (count == 0 || found < count) && stream_next(&reader); found++) reply_entry(reply, &reader);
    reply_defer_array(reply, mark, found);
}

/* ------------------------------------------------------------------ options of XADD and XTRIM */

struct adding {
    struct stream_trim trim;
    struct stream_id id;
    bool has_id, has_sequence, needs_stream;
    uint32_t id_at; /* the argument's index */
};

/* Reads the strategy, and how large the stream may get; *at is moved to the last argument of it. */
static bool trim_argument(const struct call *call, uint32_t *at, enum stream_trim_by by,
                          struct stream_trim *trim, struct reply *reply) {
    int64_t length;
    if (trim->by != STREAM_TRIM_NOTHING) {
        reply_error(reply, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        return false;
    }
    const struct bulk *next = &call->arguments[*at + 1];
    bool has_sign = *at + 2 < call->count && (argument_is(next, "~") || argument_is(next, "="));
    trim->is_approximate = has_sign && argument_is(next, "~");
    *at += has_sign ? 2 : 1;
    trim->by = by;
    if (by == STREAM_TRIM_ID) return id_argument(&call->arguments[*at], &trim->id, reply);
    if (!argument_integer(&call->arguments[*at], &length, reply, NULL)) return false;
    trim->length = (uint64_t)length;
    if (length < 0) reply_error(reply, "ERR The MAXLEN argument must be >= 0.");
    return length >= 0;
}

/* A trim that isn't exact stops after a hundred nodes, unless it is told otherwise. */
static uint64_t limit_usual(void) {
    uint64_t limit = UINT64_C(100) * value_limit(&value_limits.stream_node_entries);
    if (limit == 0) return 10000;
    return limit > 1000000 ? 1000000 : limit;
}

static bool limit_settle(struct stream_trim *trim, int64_t limit, bool is_adding, struct reply *reply) {
    const char *error = NULL;
    if (limit > 0 && trim->by == STREAM_TRIM_NOTHING)
        error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    else if (!is_adding && trim->by == STREAM_TRIM_NOTHING)
        error = "ERR syntax error, XTRIM must be called with a trimming strategy";
    else if (limit >= 0 && !trim->is_approximate)
        error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    if (error != NULL) {
        reply_error(reply, error);
        return false;
    }
    if (limit >= 0)
        trim->limit = (uint64_t)limit;
    else
        trim->limit = trim->is_approximate ? limit_usual() : 0;
    return true;
}

static bool adding_parse(const struct call *call, bool is_adding, struct adding *adding,
                         struct reply *reply) {
    int64_t limit = -1; /* not given */
    *adding = (struct adding){0};
    uint32_t at = 2;
    for (; at < call->count; at++) {
        const struct bulk *option = &call->arguments[at];
        bool has_more = at + 1 < call->count;
        if (is_adding && argument_is(option, "*")) break;
        if (has_more && argument_is(option, "MAXLEN")) {
            if (!trim_argument(call, &at, STREAM_TRIM_LENGTH, &adding->trim, reply)) return false;
        } else if (has_more && argument_is(option, "MINID")) {
            if (!trim_argument(call, &at, STREAM_TRIM_ID, &adding->trim, reply)) return false;
        } else if (has_more && argument_is(option, "LIMIT")) {
            if (!argument_integer(&call->arguments[++at], &limit, reply, NULL)) return false;
            if (limit < 0) {
                reply_error(reply, "ERR The LIMIT argument must be >= 0.");
                return false;
            }
        } else if (is_adding && argument_is(option, "NOMKSTREAM")) {
            adding->needs_stream = true;
        } else if (is_adding) {
            adding->has_id = id_parse(option, 0, true, &adding->has_sequence, &adding->id);
            if (adding->has_id) break;
            reply_error(reply, ERROR_STREAM_ID);
            return false;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    adding->id_at = at;
    return limit_settle(&adding->trim, limit, is_adding, reply);
}

/* ------------------------------------------------------------------ XADD */

#define FEW_TEXTS 32

static struct stream_id id_of_now(const struct stream *stream, int64_t now) {
    struct stream_id id = {(uint64_t)now, 0};
    if (id.ms > stream->last.ms) return id;
    id = stream->last;
    stream_id_increment(&id);
    return id;
}

/* Finds the id that the new entry gets. Returns what is wrong, or NULL. */
static const char *id_choose(const struct stream *stream, const struct adding *adding, int64_t now,
                             struct stream_id *id) {
    if (stream_id_compare(stream->last, STREAM_ID_MOST) == 0)
        return "ERR The stream has exhausted the last possible ID, unable to add more items";
    *id = adding->has_id ? adding->id : id_of_now(stream, now);
    bool goes_on = adding->has_id && !adding->has_sequence && id->ms == stream->last.ms;
    if (goes_on && stream->last.seq < UINT64_MAX) id->seq = stream->last.seq + 1;
    return stream_id_compare(*id, stream->last) > 0
               ? NULL
               : "ERR The ID specified in XADD is equal or smaller than the target stream top item";
}

static const char *append(struct stream *stream, struct stream_id id, const struct call *call,
                          uint32_t first) {
    struct text few[FEW_TEXTS], *texts = few;
    uint32_t count = call->count - first;
    size_t bytes = 0;
    if (count > FEW_TEXTS && (texts = malloc(count * sizeof *texts)) == NULL) return ERROR_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = text_of(&call->arguments[first + i]);
        bytes += texts[i].length;
    }
    const char *error = NULL;
    if (bytes > PACKED_MOST)
        error = "ERR Elements are too large to be stored";
    else if (!stream_append(stream, id, texts, count / 2))
        error = ERROR_NO_MEMORY;
    if (texts != few) free(texts);
    return error;
}

/* Adds the entry to an open stream, which it makes if it has to, and then trims that. Returns what is wrong,
 * or NULL. */
static const char *add_entry(struct opened *opened, const struct call *call, const struct adding *adding,
                             struct stream_id *id, uint64_t *trimmed) {
    if (opened->value == NULL) opened->value = stream_create();
    if (opened->value == NULL) return ERROR_NO_MEMORY;
    const char *error = id_choose(opened->value, adding, call->now, id);
    if (error == NULL) error = append(opened->value, *id, call, adding->id_at + 1);
    *trimmed = error == NULL ? stream_trim(opened->value, &adding->trim) : 0;
    return error;
}

static void command_xadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct adding adding;
    struct opened opened;
    struct stream_id id;
    if (!adding_parse(call, true, &adding, reply)) return;
    if (call->count < adding.id_at + 3 || (call->count - adding.id_at) % 2 == 0) {
        reply_error_format(reply, "ERR wrong number of arguments for '%s' command", call->command->full_name);
        return;
    }
    if (adding.has_id && adding.has_sequence && stream_id_compare(adding.id, STREAM_ID_LEAST) == 0) {
        reply_error(reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened, reply)) return;
    if (!opened.was_there && adding.needs_stream) {
        scope_unchanged(&opened.edit);
        reply_null(reply);
        return;
    }
    uint64_t trimmed;
    const char *error = add_entry(&opened, call, &adding, &id, &trimmed);
    if (!value_close(&opened, error == NULL, EVENT_XADD) && error == NULL) error = ERROR_NO_MEMORY;
    if (error != NULL) {
        reply_error(reply, error);
        return;
    }
    if (trimmed > 0) scope_mention(&scope->scope, &call->keys[0], EVENT_XTRIM);
    reply_id(reply, id);
}

/* ------------------------------------------------------------------ removing */

static void command_xtrim(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct adding adding;
    struct opened opened;
    uint64_t removed = 0;
    if (!adding_parse(call, false, &adding, reply)) return;
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened, reply)) return;
    if (opened.was_there) removed = stream_trim(opened.value, &adding.trim);
    value_close(&opened, removed, EVENT_XTRIM);
    reply_integer(reply, (int64_t)removed);
}

static void command_xdel(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    struct stream_id id;
    int64_t removed = 0;
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened, reply)) return;
    /* In Redis's order: if the key is absent, the ids aren't even looked at. */
    bool is_fine = !opened.was_there || ids_check(call, 2, reply);
    for (uint32_t i = 2; opened.was_there && is_fine && i < call->count; i++)
        removed += id_parse(&call->arguments[i], 0, true, NULL, &id) && stream_remove(opened.value, id);
    value_close(&opened, (uint64_t)removed, EVENT_XDEL);
    if (is_fine) reply_integer(reply, removed);
}

/* ------------------------------------------------------------------ XSETID */

struct setting {
    struct stream_id id, deleted;
    int64_t added; /* -1: not given */
};

static bool setting_parse(const struct call *call, struct setting *setting, struct reply *reply) {
    *setting = (struct setting){.added = -1};
    if (!id_argument(&call->arguments[2], &setting->id, reply)) return false;
    for (uint32_t i = 3; i < call->count; i += 2) {
        const struct bulk *option = &call->arguments[i];
        bool has_more = i + 1 < call->count;
        const char *error = NULL;
        if (has_more && argument_is(option, "ENTRIESADDED")) {
            if (!argument_integer(option + 1, &setting->added, reply, NULL)) return false;
            if (setting->added < 0) error = "ERR entries_added must be positive";
        } else if (has_more && argument_is(option, "MAXDELETEDID")) {
            if (!id_argument(option + 1, &setting->deleted, reply)) return false;
            if (stream_id_compare(setting->id, setting->deleted) < 0)
                error = "ERR The ID specified in XSETID is smaller than the provided "
                        "max_deleted_entry_id";
        } else {
            error = ERROR_SYNTAX;
        }
        if (error != NULL) {
            reply_error(reply, error);
            return false;
        }
    }
    return true;
}

/* Returns what is wrong, or NULL. */
static const char *set_id(struct stream *stream, const struct setting *setting) {
    struct stream_id last;
    if (stream_id_compare(setting->id, stream->deleted) < 0)
        return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    if (stream_edge(stream, true, &last)) {
        if (stream_id_compare(setting->id, last) < 0)
            return "ERR The ID specified in XSETID is smaller than the target stream top item";
        if (setting->added >= 0 && stream->count > (uint64_t)setting->added)
            return "ERR The entries_added specified in XSETID is smaller than the target stream "
                   "length";
    }
    stream_prepare(stream);
    stream->last = setting->id;
    if (setting->added >= 0) stream->added = (uint64_t)setting->added;
    if (stream_id_compare(setting->deleted, STREAM_ID_LEAST) != 0) stream->deleted = setting->deleted;
    return NULL;
}

static void command_xsetid(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    struct setting setting;
    if (!setting_parse(call, &setting, reply)) return;
    if (!value_open(scope, &call->keys[0], TYPE_STREAM, &opened, reply)) return;
    const char *error = opened.was_there ? set_id(opened.value, &setting) : ERROR_NO_KEY;
    value_close(&opened, error == NULL, EVENT_XSETID);
    if (error != NULL)
        reply_error(reply, error);
    else
        reply_ok(reply);
}

/* ------------------------------------------------------------------ reading */

static void command_xlen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_STREAM, &value, reply)) return;
    reply_integer(reply, value == NULL ? 0 : (int64_t)((const struct stream *)value)->count);
}

/* COUNT n, as often as one likes. -1: not given. */
static bool count_parse(const struct call *call, int64_t *count, struct reply *reply) {
    *count = -1;
    for (uint32_t i = 4; i < call->count; i += 2) {
        if (i + 1 == call->count || !argument_is(&call->arguments[i], "COUNT")) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
        if (!argument_integer(&call->arguments[i + 1], count, reply, NULL)) return false;
        if (*count < 0) *count = 0;
    }
    return true;
}

static void range(const struct read_scope *scope, const struct call *call, bool is_backwards,
                  struct reply *reply) {
    struct stream_id start, end;
    const void *value;
    int64_t count;
    if (!id_start(&call->arguments[is_backwards ? 3 : 2], &start, reply)) return;
    if (!id_end(&call->arguments[is_backwards ? 2 : 3], &end, reply)) return;
    if (!count_parse(call, &count, reply)) return;
    if (!value_read(scope, &call->keys[0], TYPE_STREAM, &value, reply)) return;
    if (value == NULL)
        reply_array(reply, 0);
    else if (count == 0)
        reply_null_array(reply);
    else
        reply_entries(reply, value, start, end, is_backwards, count < 0 ? 0 : (uint64_t)count);
}

static void command_xrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range(scope, call, false, reply);
}

static void command_xrevrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    range(scope, call, true, reply);
}

/* ------------------------------------------------------------------ rows */

const struct command streams_commands[] = {
    {.name = "xadd",
     .arity = -5,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1, .notes = "MAXLEN and MINID remove entries"}},
     .write = command_xadd,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Appends an entry to a stream",
     .syntax = "key:key#0 [nomkstream=NOMKSTREAM@6.2.0] [trim:block(strategy:oneof(maxlen=MAXLEN "
               "minid=MINID@6.2.0) [operator:oneof(equal=\"=\" approximately=\"~\")] "
               "threshold:string [count:integer=LIMIT@6.2.0])] id_or_auto:oneof(auto_id=* "
               "id:string) field_value:block(field:string value:string)...",
     .tips = "nondeterministic_output",
     .history = "6.2.0:NOMKSTREAM and MINID and LIMIT;7.0.0:<ms>-*"},
    {.name = "xlen",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_xlen,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Counts the entries of a stream",
     .syntax = "key:key#0"},
    {.name = "xrange",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_xrange,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(N)",
     .summary = "Lists the entries between two ids",
     .syntax = "key:key#0 start:string end:string [count:integer=COUNT]",
     .history = "6.2.0:further forms"},
    {.name = "xrevrange",
     .arity = -4,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_limit,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_xrevrange,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(N)",
     .summary = "Lists the entries between two ids, last first",
     .syntax = "key:key#0 end:string start:string [count:integer=COUNT]",
     .history = "6.2.0:further forms"},
    {.name = "xdel",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_xdel,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Removes entries by their ids",
     .syntax = "key:key#0 id:string..."},
    {.name = "xtrim",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_LONG,
     .work = work_of_maxlen,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_xtrim,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(N)",
     .summary = "Removes the oldest entries of a stream",
     .syntax = "key:key#0 trim:block(strategy:oneof(maxlen=MAXLEN minid=MINID@6.2.0) "
               "[operator:oneof(equal=\"=\" approximately=\"~\")] threshold:string "
               "[count:integer=LIMIT@6.2.0])",
     .tips = "nondeterministic_output",
     .history = "6.2.0:MINID and LIMIT"},
    {.name = "xsetid",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_xsetid,
     .categories = "stream",
     .since = "5.0.0",
     .group = "stream",
     .complexity = "O(1)",
     .summary = "Sets the last id of a stream",
     .syntax = "key:key#0 last-id:string [entries_added:integer=ENTRIESADDED@7.0.0] "
               "[max_deleted_entry_id:string=MAXDELETEDID@7.0.0]",
     .history = "7.0.0:entries_added and max_deleted_entry_id"},
    {.name = NULL},
};
