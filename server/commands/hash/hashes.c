/* Hashes: maps within a key. */
#include <math.h>

#include "shard/base/number.h"
#include "shard/value/fields.h"
#include "shard/value/form.h"
#include "server/command/command.h"
#include "server/commands/shared/drawing.h"
#include "server/commands/shared/scanning.h"
#include "server/commands/shared/values.h"
#include "server/commands/shared/work.h"

#define ERROR_HASH_NOT_INTEGER "ERR hash value is not an integer"
#define ERROR_HASH_NOT_FLOAT "ERR hash value is not a float"

static bool open_hash(struct write_scope *scope, const struct call *call, struct opened *opened,
                      struct reply *reply) {
    if (!value_open(scope, &call->keys[0], TYPE_HASH, opened, reply)) return false;
    if (opened->value == NULL) opened->value = fields_create();
    if (opened->value != NULL) return true;
    scope_unchanged(&opened->edit);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

/* ------------------------------------------------------------------ writing */

/* Puts pairs of arguments, from the second on. Returns how many are new, or -1 when out of memory: then
 * some may have been put. */
static int64_t put_pairs(struct opened *opened, const struct call *call) {
    int64_t created = 0;
    for (uint32_t i = 2; i + 1 < call->count; i += 2) {
        enum put put =
            fields_put(&opened->value, text_of(&call->arguments[i]), text_of(&call->arguments[i + 1]));
        if (put == PUT_FAILED) return -1;
        created += put == PUT_NEW;
    }
    return created;
}

static bool set_all(struct write_scope *scope, const struct call *call, int64_t *created,
                    struct reply *reply) {
    struct opened opened;
    if (!open_hash(scope, call, &opened, reply)) return false;
    *created = put_pairs(&opened, call);
    bool is_done = *created >= 0;
    if (value_close(&opened, is_done ? call->count / 2 - 1 : 0, EVENT_HSET) && is_done) return true;
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

/* All, or none; a single one is so by itself. */
static bool set_pairs(struct write_scope *scope, const struct call *call, int64_t *created,
                      struct reply *reply) {
    struct undo undo;
    if (call->count % 2 != 0) {
        reply_error_format(reply, "ERR wrong number of arguments for '%s' command", call->command->full_name);
        return false;
    }
    if (call->count == 4) return set_all(scope, call, created, reply);
    undo_begin(&undo, scope);
    bool is_done = set_all(scope, call, created, reply);
    undo_conclude(&undo, is_done);
    return is_done;
}

static void command_hset(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t created;
    if (set_pairs(scope, call, &created, reply)) reply_integer(reply, created);
}

static void command_hmset(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t created;
    if (set_pairs(scope, call, &created, reply)) reply_ok(reply);
}

static void command_hsetnx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    struct packed_text present;
    struct text field = text_of(&call->arguments[2]);
    if (!open_hash(scope, call, &opened, reply)) return;
    bool is_there = fields_get(opened.value, field, &present), is_done = true;
    if (!is_there) is_done = fields_put(&opened.value, field, text_of(&call->arguments[3])) != PUT_FAILED;
    if (!value_close(&opened, !is_there && is_done, EVENT_HSET) || !is_done)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_integer(reply, !is_there);
}

static void command_hdel(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    int64_t removed = 0;
    if (!value_open(scope, &call->keys[0], TYPE_HASH, &opened, reply)) return;
    for (uint32_t i = 2; i < call->count && opened.value != NULL && fields_count(opened.value) > 0; i++)
        removed += fields_remove(&opened.value, text_of(&call->arguments[i]));
    value_close(&opened, (uint64_t)removed, EVENT_HDEL);
    reply_integer(reply, removed);
}

/* The field gets a new text, or the reply is an error and nothing has changed. */
static bool put_sum(struct opened *opened, struct text field, const char *text, size_t length,
                    const char *error, enum event event, struct reply *reply) {
    bool is_done =
        error == NULL && fields_put(&opened->value, field, (struct text){text, length}) != PUT_FAILED;
    bool is_kept = value_close(opened, is_done, event);
    if (is_done && is_kept) return true;
    reply_error(reply, error != NULL ? error : ERROR_NO_MEMORY);
    return false;
}

static void command_hincrby(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    struct packed_text present;
    struct text field = text_of(&call->arguments[2]);
    int64_t by, value = 0, sum = 0;
    char text[24];
    if (!argument_integer(&call->arguments[3], &by, reply, NULL)) return;
    if (!open_hash(scope, call, &opened, reply)) return;
    const char *error = NULL;
    if (fields_get(opened.value, field, &present) && !number_parse(present.data, present.length, &value))
        error = ERROR_HASH_NOT_INTEGER;
    else if (__builtin_add_overflow(value, by, &sum))
        error = "ERR increment or decrement would overflow";
    if (put_sum(&opened, field, text, number_format(text, sum), error, EVENT_HINCRBY, reply))
        reply_integer(reply, sum);
}

static void command_hincrbyfloat(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct opened opened;
    struct packed_text present;
    struct text field = text_of(&call->arguments[2]);
    long double by, value = 0;
    char text[5120]; /* as number_format_long_double wants it */
    size_t length = 0;
    if (!number_parse_long_double(call->arguments[3].data, call->arguments[3].length, &by)) {
        reply_error(reply, ERROR_NOT_FLOAT);
        return;
    }
    if (!isfinite(by)) {
        reply_error(reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!open_hash(scope, call, &opened, reply)) return;
    const char *error = NULL;
    if (fields_get(opened.value, field, &present) &&
        !number_parse_long_double(present.data, present.length, &value))
        error = ERROR_HASH_NOT_FLOAT;
    else if (!isfinite(value + by))
        error = "ERR increment would produce NaN or Infinity";
    else
        length = number_format_long_double(text, sizeof text, value + by);
    if (put_sum(&opened, field, text, length, error, EVENT_HINCRBYFLOAT, reply))
        reply_bulk(reply, text, length);
}

/* ------------------------------------------------------------------ reading */

static void reply_field(const void *value, const struct bulk *field, struct reply *reply) {
    struct packed_text text;
    if (value != NULL && fields_get(value, text_of(field), &text))
        reply_element(reply, &text);
    else
        reply_null(reply);
}

static void command_hget(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_HASH, &value, reply))
        reply_field(value, &call->arguments[2], reply);
}

static void command_hmget(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_HASH, &value, reply)) return;
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) reply_field(value, &call->arguments[i], reply);
}

static void command_hlen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    if (value_read(scope, &call->keys[0], TYPE_HASH, &value, reply))
        reply_integer(reply, value == NULL ? 0 : (int64_t)fields_count(value));
}

static void command_hstrlen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    struct packed_text text;
    if (!value_read(scope, &call->keys[0], TYPE_HASH, &value, reply)) return;
    bool is_there = value != NULL && fields_get(value, text_of(&call->arguments[2]), &text);
    reply_integer(reply, is_there ? (int64_t)text.length : 0);
}

static void command_hexists(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    struct packed_text text;
    if (value_read(scope, &call->keys[0], TYPE_HASH, &value, reply))
        reply_integer(reply, value != NULL && fields_get(value, text_of(&call->arguments[2]), &text));
}

static void reply_one_field(void *context, const struct packed_text *field, const struct packed_text *text) {
    (void)text;
    reply_element(context, field);
}

static void reply_one_text(void *context, const struct packed_text *field, const struct packed_text *text) {
    (void)field;
    reply_element(context, text);
}

static void reply_both(void *context, const struct packed_text *field, const struct packed_text *text) {
    reply_element(context, field);
    reply_element(context, text);
}

static void reply_all(const struct read_scope *scope, const struct call *call, bool is_map,
                      fields_visitor *visit, struct reply *reply) {
    const void *value;
    if (!value_read(scope, &call->keys[0], TYPE_HASH, &value, reply)) return;
    uint64_t count = value == NULL ? 0 : fields_count(value);
    if (is_map)
        reply_map(reply, count);
    else
        reply_array(reply, count);
    if (count > 0) fields_each(value, visit, reply);
}

static void command_hkeys(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_all(scope, call, false, reply_one_field, reply);
}

static void command_hvals(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_all(scope, call, false, reply_one_text, reply);
}

static void command_hgetall(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_all(scope, call, true, reply_both, reply);
}

/* ------------------------------------------------------------------ drawing */

struct drawing {
    struct reply *reply;
    bool has_texts;
    struct selection selection;
};

/* A pair of its own in RESP3, two elements in RESP2. */
static void reply_drawn(const struct drawing *drawing, const struct packed_text *field,
                        const struct packed_text *text) {
    if (drawing->has_texts && drawing->reply->protocol == 3) reply_array(drawing->reply, 2);
    reply_element(drawing->reply, field);
    if (drawing->has_texts) reply_element(drawing->reply, text);
}

static void reply_selected(void *context, const struct packed_text *field, const struct packed_text *text) {
    struct drawing *drawing = context;
    if (selection_takes(&drawing->selection)) reply_drawn(drawing, field, text);
}

static void draw_distinct(const void *value, uint64_t count, struct drawing *drawing) {
    uint64_t size = fields_count(value);
    struct pointers seen;
    struct packed_text field, text;
    if (value_form(value) != VALUE_LARGE || selection_is_small(size, count) || !pointers_init(&seen, count)) {
        drawing->selection = (struct selection){size, count};
        fields_each(value, reply_selected, drawing);
        return;
    }
    while (count > 0) {
        fields_random(value, &field, &text);
        if (!pointers_add(&seen, field.data)) continue;
        reply_drawn(drawing, &field, &text);
        count--;
    }
    pointers_free(&seen);
}

static void command_hrandfield(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const void *value;
    struct packed_text field, text;
    struct draw draw;
    if (!draw_parse(call, "WITHVALUES", &draw, reply) ||
        !value_read(scope, &call->keys[0], TYPE_HASH, &value, reply))
        return;
    if (draw.is_one) {
        if (value != NULL) fields_random(value, &field, &text);
        if (value != NULL)
            reply_element(reply, &field);
        else
            reply_null(reply);
        return;
    }
    struct drawing drawing = {.reply = reply, .has_texts = draw.has_more};
    uint64_t wanted = draw_wanted(&draw, value == NULL ? 0 : fields_count(value));
    reply_array(reply, draw.has_more && reply->protocol == 2 ? wanted * 2 : wanted);
    if (draw.count > 0 && wanted > 0) draw_distinct(value, wanted, &drawing);
    for (; draw.count < 0 && wanted > 0 && !reply->is_broken; wanted--) {
        fields_random(value, &field, &text);
        reply_drawn(&drawing, &field, &text);
    }
}

/* ------------------------------------------------------------------ HSCAN */

static void scan_visit(void *context, const struct packed_text *field, const struct packed_text *text) {
    struct value_scan *scan = context;
    if (!value_scan_matches(scan, field)) return;
    reply_both(&scan->items, field, text);
    scan->found += 2;
}

static void command_hscan(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct value_scan scan;
    const void *value;
    if (!value_scan_begin(scope, call, TYPE_HASH, &scan, &value, reply)) return;
    value_scan_end(&scan, fields_scan(value, scan.position, (uint64_t)scan.count, scan_visit, &scan), reply);
}

/* ------------------------------------------------------------------ rows */

const struct command hashes_commands[] = {
    {.name = "hset",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_hset,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Sets fields of a hash",
     .syntax = "key:key#0 field_value:block(field:string value:string)...",
     .history = "4.0.0:field and value"},
    {.name = "hsetnx",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_hsetnx,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Sets a field of a hash unless it is there",
     .syntax = "key:key#0 field:string value:string"},
    {.name = "hget",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hget,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Reads a field of a hash",
     .syntax = "key:key#0 field:string"},
    {.name = "hmset",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_hmset,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Sets fields of a hash",
     .syntax = "key:key#0 field_value:block(field:string value:string)...",
     .deprecated = "4.0.0:`HSET` with multiple field-value pairs"},
    {.name = "hmget",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hmget,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Reads fields of a hash",
     .syntax = "key:key#0 field:string..."},
    {.name = "hincrby",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_hincrby,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Adds a number to an integer in a field",
     .syntax = "key:key#0 field:string increment:integer"},
    {.name = "hincrbyfloat",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_hincrbyfloat,
     .categories = "hash",
     .since = "2.6.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Adds a number to a floating-point value in a field",
     .syntax = "key:key#0 field:string increment:double"},
    {.name = "hdel",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_DELETE, 1, 0, 1}},
     .write = command_hdel,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Removes fields of a hash, and the hash with the last of them",
     .syntax = "key:key#0 field:string...",
     .history = "2.4.0:field"},
    {.name = "hlen",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_hlen,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Counts the fields of a hash",
     .syntax = "key:key#0"},
    {.name = "hstrlen",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_hstrlen,
     .categories = "hash",
     .since = "3.2.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Tells the length of a field's value",
     .syntax = "key:key#0 field:string"},
    {.name = "hkeys",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hkeys,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Lists the fields of a hash",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output_order"},
    {.name = "hvals",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hvals,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Lists the values of a hash",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output_order"},
    {.name = "hgetall",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hgetall,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Lists fields and values of a hash",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output_order"},
    {.name = "hexists",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_hexists,
     .categories = "hash",
     .since = "2.0.0",
     .group = "hash",
     .complexity = "O(1)",
     .summary = "Tells whether a hash has a field",
     .syntax = "key:key#0 field:string"},
    {.name = "hrandfield",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_count,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hrandfield,
     .categories = "hash",
     .since = "6.2.0",
     .group = "hash",
     .complexity = "O(N)",
     .summary = "Draws fields of a hash",
     .syntax = "key:key#0 [options:block(count:integer [withvalues=WITHVALUES])]",
     .tips = "nondeterministic_output"},
    {.name = "hscan",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_scan,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_hscan,
     .categories = "hash",
     .since = "2.8.0",
     .group = "hash",
     .complexity = "O(1) for every call",
     .summary = "Goes over the fields of a hash step by step",
     .syntax = "key:key#0 cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT]",
     .tips = "nondeterministic_output"},
    {.name = NULL},
};
