/* Strings: whole values, parts of them, and counters.
 *
 * A value is read through a view and written through one edit. A view doesn't outlive the edit that changes
 * its entry. So where a command answers with the old value (GETSET, GETDEL, SET's GET), that is written to
 * the reply first, and taken back should there be no memory for the new one. */
#include <math.h>
#include <string.h>

#include "shard/base/number.h"
#include "shard/scope/undo.h"
#include "server/config/config.h"
#include "server/command/command.h"
#include "server/commands/shared/moment.h"
#include "server/commands/shared/room.h"
#include "server/commands/shared/work.h"

/* ------------------------------------------------------------------ shared by the commands below */

/* Replies a part of a value. Nothing of a large one is copied: the reply keeps the blob alive until it is
 * sent. */
static void reply_view(struct reply *reply, const struct string_view *view, size_t first, size_t length) {
    if (view->blob == NULL || length <= BLOB_LEAST) {
        reply_bulk(reply, view->data + first, length);
        return;
    }
    blob_retain(view->blob);
    reply_bulk_reference(reply, view->data + first, length, view->blob, blob_release);
}

static void reply_string(struct reply *reply, const struct entry *entry) {
    int64_t integer;
    struct string_view view;
    if (entry_integer(entry, &integer)) {
        reply_bulk_integer(reply, integer);
        return;
    }
    entry_string(entry, &view);
    reply_view(reply, &view, 0, view.length);
}

/* Ends an edit that has done one thing. If that failed for want of memory, nothing has changed. */
static bool edit_conclude(struct edit *edit, bool is_done, enum event event, struct reply *reply) {
    if (is_done) {
        scope_changed(edit, event);
        return true;
    }
    scope_unchanged(edit);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

static bool put_argument(struct edit *edit, const struct bulk *value, bool keep_expiry) {
    return edit_put_string(edit, value->data, value->length, value->owner, keep_expiry);
}

/* Puts a value that ends at `expiry`, unless that is ENTRY_NO_EXPIRY, and ends the edit. false when out of
 * memory; the reply is the caller's. */
static bool put_until(struct edit *edit, const struct bulk *value, int64_t expiry, bool keep_expiry) {
    bool is_done = expiry == ENTRY_NO_EXPIRY
                       ? put_argument(edit, value, keep_expiry)
                       : edit_put_string_until(edit, value->data, value->length, value->owner, expiry);
    if (is_done)
        scope_changed(edit, EVENT_SET);
    else
        scope_unchanged(edit);
    if (is_done && expiry != ENTRY_NO_EXPIRY) scope_mention(&edit->scope->scope, edit->key, EVENT_EXPIRE);
    return is_done;
}

/* The answer that was written already gives way to the error. */
static void reply_no_memory(struct reply *reply, size_t mark) {
    reply_truncate(reply, mark);
    reply_error(reply, ERROR_NO_MEMORY);
}

/* ------------------------------------------------------------------ options of SET and GETEX */

enum option {
    OPTION_EX = 1 << 0,
    OPTION_PX = 1 << 1,
    OPTION_EXAT = 1 << 2,
    OPTION_PXAT = 1 << 3,
    OPTION_KEEPTTL = 1 << 4,
    OPTION_PERSIST = 1 << 5,
    OPTION_NX = 1 << 6,
    OPTION_XX = 1 << 7,
    OPTION_GET = 1 << 8,
};
#define OPTIONS_WITH_TIME (OPTION_EX | OPTION_PX | OPTION_EXAT | OPTION_PXAT)
#define OPTIONS_OF_EXPIRY (OPTIONS_WITH_TIME | OPTION_KEEPTTL | OPTION_PERSIST)
#define OPTIONS_OF_SET (OPTIONS_WITH_TIME | OPTION_KEEPTTL | OPTION_NX | OPTION_XX | OPTION_GET)
#define OPTIONS_OF_GETEX (OPTIONS_WITH_TIME | OPTION_PERSIST)

struct options {
    unsigned given;          /* enum option */
    const struct bulk *time; /* what stands behind EX, PX, EXAT or PXAT */
};

/* An option may stand twice, the last time counting, but not with one that contradicts it. */
static const struct {
    const char *word;
    enum option option;
    unsigned contradicts;
} option_words[] = {
    {"EX", OPTION_EX, OPTIONS_OF_EXPIRY & ~OPTION_EX},
    {"PX", OPTION_PX, OPTIONS_OF_EXPIRY & ~OPTION_PX},
    {"NX", OPTION_NX, OPTION_XX},
    {"XX", OPTION_XX, OPTION_NX},
    {"GET", OPTION_GET, 0},
    {"EXAT", OPTION_EXAT, OPTIONS_OF_EXPIRY & ~OPTION_EXAT},
    {"PXAT", OPTION_PXAT, OPTIONS_OF_EXPIRY & ~OPTION_PXAT},
    {"KEEPTTL", OPTION_KEEPTTL, OPTIONS_OF_EXPIRY & ~OPTION_KEEPTTL},
    {"PERSIST", OPTION_PERSIST, OPTIONS_OF_EXPIRY & ~OPTION_PERSIST},
};
#define OPTION_WORDS (sizeof option_words / sizeof option_words[0])

static bool parse_options(const struct call *call, uint32_t first, unsigned allowed, struct options *options,
                          struct reply *reply) {
    *options = (struct options){0};
    for (uint32_t i = first; i < call->count; i++) {
        size_t word = 0;
        while (word < OPTION_WORDS && !argument_is(&call->arguments[i], option_words[word].word)) word++;
        bool is_known = word < OPTION_WORDS && (option_words[word].option & allowed) != 0;
        if (!is_known || (option_words[word].contradicts & options->given) != 0) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
        options->given |= option_words[word].option;
        if ((option_words[word].option & OPTIONS_WITH_TIME) == 0) continue;
        if (++i == call->count) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
        options->time = &call->arguments[i];
    }
    return true;
}

/* What the number behind that option means, in unix time. */
static bool parse_moment(const struct call *call, unsigned option, const struct bulk *time, int64_t *moment,
                         struct reply *reply) {
    const struct moment_form form = {
        .unit = (option & (OPTION_EX | OPTION_EXAT)) != 0 ? 1000 : 1,
        .is_relative = (option & (OPTION_EX | OPTION_PX)) != 0,
    };
    return moment_parse_positive(call, time, form, moment, reply);
}

/* ------------------------------------------------------------------ whole values */

static void reply_plain(struct reply *reply, const struct plain_string *plain) {
    char *space = reply_bulk_space(reply, plain->length);
    if (space != NULL) plain_string_copy(plain, space);
}

static void command_get(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct plain_string plain;
    const struct entry *entry = scope_read_string(scope, &call->keys[0], &plain);
    if (plain.entry != NULL)
        reply_plain(reply, &plain);
    else if (entry == NULL)
        reply_null(reply);
    else if (check_string(entry, reply))
        reply_string(reply, entry);
}

static void set_with_options(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct options options;
    struct edit edit;
    int64_t expiry = ENTRY_NO_EXPIRY;
    size_t mark = reply_mark(reply);
    if (!parse_options(call, 3, OPTIONS_OF_SET, &options, reply)) return;
    if (options.time != NULL && !parse_moment(call, options.given, options.time, &expiry, reply)) return;
    if ((options.given & OPTION_GET) != 0) {
        const struct entry *entry = scope_read(&scope->reading, &call->keys[0]);
        if (!check_string(entry, reply)) return;
        if (entry == NULL)
            reply_null(reply);
        else
            reply_string(reply, entry);
    }
    scope_edit(scope, &call->keys[0], &edit);
    if ((options.given & (edit.entry == NULL ? OPTION_XX : OPTION_NX)) != 0) {
        scope_unchanged(&edit);
        if ((options.given & OPTION_GET) == 0) reply_null(reply);
        return;
    }
    if (!put_until(&edit, &call->arguments[2], expiry, (options.given & OPTION_KEEPTTL) != 0))
        reply_no_memory(reply, mark);
    else if ((options.given & OPTION_GET) == 0)
        reply_ok(reply);
}

static void command_set(struct write_scope *scope, const struct call *call, struct reply *reply) {
    if (call->count > 3) {
        set_with_options(scope, call, reply);
        return;
    }
    struct edit edit;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit_conclude(&edit, put_argument(&edit, &call->arguments[2], false), EVENT_SET, reply))
        reply_ok(reply);
}

static void command_setnx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry != NULL) {
        scope_unchanged(&edit);
        reply_integer(reply, 0);
    } else if (edit_conclude(&edit, put_argument(&edit, &call->arguments[2], false), EVENT_SET, reply)) {
        reply_integer(reply, 1);
    }
}

static void set_for_a_while(struct write_scope *scope, const struct call *call, enum option unit,
                            struct reply *reply) {
    struct edit edit;
    int64_t expiry;
    if (!parse_moment(call, unit, &call->arguments[2], &expiry, reply)) return;
    scope_edit(scope, &call->keys[0], &edit);
    if (put_until(&edit, &call->arguments[3], expiry, false))
        reply_ok(reply);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

static void command_setex(struct write_scope *scope, const struct call *call, struct reply *reply) {
    set_for_a_while(scope, call, OPTION_EX, reply);
}

static void command_psetex(struct write_scope *scope, const struct call *call, struct reply *reply) {
    set_for_a_while(scope, call, OPTION_PX, reply);
}

static void command_getset(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    size_t mark = reply_mark(reply);
    const struct entry *entry = scope_read(&scope->reading, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    if (entry == NULL)
        reply_null(reply);
    else
        reply_string(reply, entry);
    scope_edit(scope, &call->keys[0], &edit);
    if (!put_until(&edit, &call->arguments[2], ENTRY_NO_EXPIRY, false)) reply_no_memory(reply, mark);
}

static void command_getdel(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    const struct entry *entry = scope_read(&scope->reading, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    if (entry == NULL) {
        reply_null(reply);
        return;
    }
    reply_string(reply, entry);
    scope_edit(scope, &call->keys[0], &edit);
    edit_remove(&edit);
    scope_changed(&edit, EVENT_DEL);
}

static void command_getex(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct options options;
    struct edit edit;
    int64_t expiry = ENTRY_NO_EXPIRY;
    size_t mark = reply_mark(reply);
    if (!parse_options(call, 2, OPTIONS_OF_GETEX, &options, reply)) return;
    const struct entry *entry = scope_read(&scope->reading, &call->keys[0]);
    if (entry == NULL) {
        reply_null(reply);
        return;
    }
    if (!check_string(entry, reply)) return;
    if (options.time != NULL && !parse_moment(call, options.given, options.time, &expiry, reply)) return;
    reply_string(reply, entry);
    /* No option was given, or PERSIST where there is no expiry. */
    if (expiry == ENTRY_NO_EXPIRY &&
        ((options.given & OPTION_PERSIST) == 0 || entry_expiry(entry) == ENTRY_NO_EXPIRY))
        return;
    scope_edit(scope, &call->keys[0], &edit);
    if (expiry != ENTRY_NO_EXPIRY && expiry <= call->now) {
        edit_remove(&edit);
        scope_changed(&edit, EVENT_DEL);
    } else if (edit_set_expiry(&edit, expiry)) {
        scope_changed(&edit, expiry == ENTRY_NO_EXPIRY ? EVENT_PERSIST : EVENT_EXPIRE);
    } else {
        scope_unchanged(&edit);
        reply_no_memory(reply, mark);
    }
}

static void command_mget(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    reply_array(reply, call->key_count);
    for (uint32_t i = 0; i < call->key_count; i++) {
        struct plain_string plain;
        const struct entry *entry = scope_read_string(scope, &call->keys[i], &plain);
        if (plain.entry != NULL)
            reply_plain(reply, &plain);
        else if (entry == NULL || entry_type(entry) != TYPE_STRING)
            reply_null(reply);
        else
            reply_string(reply, entry);
    }
}

/* Keys and values take turns from the first argument on. */
static bool check_pairs(const struct call *call, struct reply *reply) {
    if (call->count % 2 == 1) return true;
    reply_error_format(reply, "ERR wrong number of arguments for '%s' command", call->command->full_name);
    return false;
}

static bool set_each(struct write_scope *scope, const struct call *call, struct reply *reply) {
    for (uint32_t i = 0; i < call->key_count; i++) {
        struct edit edit;
        scope_edit(scope, &call->keys[i], &edit);
        if (!edit_conclude(&edit, put_argument(&edit, &call->arguments[2 + 2 * i], false), EVENT_SET, reply))
            return false;
    }
    return true;
}

static bool set_pairs(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct undo undo;
    if (call->key_count == 1) return set_each(scope, call, reply);
    undo_begin(&undo, scope);
    bool is_done = set_each(scope, call, reply);
    undo_conclude(&undo, is_done);
    return is_done;
}

static void command_mset(struct write_scope *scope, const struct call *call, struct reply *reply) {
    if (check_pairs(call, reply) && set_pairs(scope, call, reply)) reply_ok(reply);
}

static void command_msetnx(struct write_scope *scope, const struct call *call, struct reply *reply) {
    if (!check_pairs(call, reply)) return;
    for (uint32_t i = 0; i < call->key_count; i++) {
        if (scope_view(scope, &call->keys[i]) != NULL) {
            reply_integer(reply, 0);
            return;
        }
    }
    if (set_pairs(scope, call, reply)) reply_integer(reply, 1);
}

/* ------------------------------------------------------------------ parts of values */

static void command_strlen(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    reply_integer(reply, entry == NULL ? 0 : (int64_t)entry_string_length(entry));
}

/* Turns a place counted from the end into one counted from the start, and none lies before that. */
static int64_t place_from_start(int64_t place, int64_t length) {
    if (place >= 0) return place;
    return place + length < 0 ? 0 : place + length;
}

static void command_getrange(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    int64_t first, last;
    struct string_view view;
    if (!argument_integer(&call->arguments[2], &first, reply, NULL) ||
        !argument_integer(&call->arguments[3], &last, reply, NULL))
        return;
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    if (entry == NULL || (first < 0 && last < 0 && first > last)) {
        reply_bulk(reply, "", 0);
        return;
    }
    entry_string(entry, &view);
    int64_t length = (int64_t)view.length;
    first = place_from_start(first, length);
    last = place_from_start(last, length);
    if (last >= length) last = length - 1;
    if (first > last)
        reply_bulk(reply, "", 0);
    else
        reply_view(reply, &view, (size_t)first, (size_t)(last - first + 1));
}

static void command_substr(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    command_getrange(scope, call, reply);
}

/* Neither number is negative, and `more` is the length of an argument: the sum fits. */
static bool check_length(uint64_t length, uint64_t more, struct reply *reply) {
    if (length + more <= (uint64_t)atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed))
        return true;
    reply_error(reply, ERROR_STRING_TOO_LONG);
    return false;
}

static void command_append(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const struct bulk *more = &call->arguments[2];
    struct edit edit;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry == NULL) {
        if (edit_conclude(&edit, put_argument(&edit, more, false), EVENT_APPEND, reply))
            reply_integer(reply, (int64_t)more->length);
        return;
    }
    if (!check_string(edit.entry, reply) ||
        !check_length(entry_string_length(edit.entry), more->length, reply)) {
        scope_unchanged(&edit);
        return;
    }
    size_t length = entry_string_length(edit.entry);
    char *data = edit_stretch_string(&edit, length + more->length);
    if (data != NULL && more->length > 0) memcpy(data + length, more->data, more->length);
    if (edit_conclude(&edit, data != NULL, EVENT_APPEND, reply))
        reply_integer(reply, (int64_t)(length + more->length));
}

static void command_setrange(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const struct bulk *part = &call->arguments[3];
    struct edit edit;
    int64_t first;
    if (!argument_integer(&call->arguments[2], &first, reply, NULL)) return;
    if (first < 0) {
        reply_error(reply, "ERR offset is out of range");
        return;
    }
    scope_edit(scope, &call->keys[0], &edit);
    if (!check_string(edit.entry, reply)) {
        scope_unchanged(&edit);
        return;
    }
    size_t length = edit.entry == NULL ? 0 : entry_string_length(edit.entry),
           end = (size_t)first + part->length;
    if (part->length == 0) {
        scope_unchanged(&edit);
        reply_integer(reply, (int64_t)length);
        return;
    }
    if (!check_length((uint64_t)first, part->length, reply)) {
        scope_unchanged(&edit);
        return;
    }
    if (length < end) length = end;
    char *data = edit_stretch_string(&edit, length);
    if (data != NULL) memcpy(data + first, part->data, part->length);
    if (edit_conclude(&edit, data != NULL, EVENT_SETRANGE, reply)) reply_integer(reply, (int64_t)length);
}

/* ------------------------------------------------------------------ counters */

/* An absent key counts as 0. Returns what is wrong, or NULL. */
static const char *integer_add(const struct entry *entry, int64_t by, int64_t *sum) {
    struct string_view view;
    int64_t value = 0;
    if (entry != NULL && entry_type(entry) != TYPE_STRING) return ERROR_WRONG_TYPE;
    if (entry != NULL && !entry_integer(entry, &value)) {
        entry_string(entry, &view);
        if (!number_parse(view.data, view.length, &value)) return ERROR_NOT_INTEGER;
    }
    return __builtin_add_overflow(value, by, sum) ? "ERR increment or decrement would overflow" : NULL;
}

static void increment(struct write_scope *scope, const struct call *call, int64_t by, struct reply *reply) {
    struct edit edit;
    int64_t sum;
    scope_edit(scope, &call->keys[0], &edit);
    const char *error = integer_add(edit.entry, by, &sum);
    if (error != NULL) {
        scope_unchanged(&edit);
        reply_error(reply, error);
    } else if (edit_conclude(&edit, edit_put_integer(&edit, sum), EVENT_INCRBY, reply)) {
        reply_integer(reply, sum);
    }
}

static void command_incr(struct write_scope *scope, const struct call *call, struct reply *reply) {
    increment(scope, call, 1, reply);
}

static void command_decr(struct write_scope *scope, const struct call *call, struct reply *reply) {
    increment(scope, call, -1, reply);
}

static void command_incrby(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t by;
    if (argument_integer(&call->arguments[2], &by, reply, NULL)) increment(scope, call, by, reply);
}

static void command_decrby(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t by;
    if (!argument_integer(&call->arguments[2], &by, reply, NULL)) return;
    if (by == INT64_MIN)
        reply_error(reply, "ERR decrement would overflow");
    else
        increment(scope, call, -by, reply);
}

static const char *float_add(const struct entry *entry, const struct bulk *by, long double *sum) {
    struct string_view view;
    long double value = 0, more;
    if (entry != NULL && entry_type(entry) != TYPE_STRING) return ERROR_WRONG_TYPE;
    if (entry != NULL) {
        entry_string(entry, &view);
        if (!number_parse_long_double(view.data, view.length, &value)) return ERROR_NOT_FLOAT;
    }
    if (!number_parse_long_double(by->data, by->length, &more)) return ERROR_NOT_FLOAT;
    *sum = value + more;
    return isfinite(*sum) ? NULL : "ERR increment would produce NaN or Infinity";
}

static void command_incrbyfloat(struct write_scope *scope, const struct call *call, struct reply *reply) {
    char text[5120]; /* as number_format_long_double wants it */
    struct edit edit;
    long double sum;
    scope_edit(scope, &call->keys[0], &edit);
    const char *error = float_add(edit.entry, &call->arguments[2], &sum);
    if (error != NULL) {
        scope_unchanged(&edit);
        reply_error(reply, error);
        return;
    }
    size_t length = number_format_long_double(text, sizeof text, sum);
    if (edit_conclude(&edit, edit_put_text(&edit, text, length), EVENT_INCRBYFLOAT, reply))
        reply_bulk(reply, text, length);
}

static uint64_t work_of_append(const struct call *call, uint64_t size) {
    (void)size;
    return call->arguments[2].length;
}

static uint64_t work_of_setrange(const struct call *call, uint64_t size) {
    const struct bulk *first = &call->arguments[2];
    size_t length = call->arguments[3].length;
    int64_t offset;
    bool is_fine = length > 0 && number_parse(first->data, first->length, &offset) && offset >= 0;
    return is_fine ? work_of_growth((uint64_t)offset, size) + length : 0;
}

/* ------------------------------------------------------------------ rows */

const struct command strings_commands[] = {
    {.name = "get",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_get,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Reads a string",
     .syntax = "key:key#0"},
    {.name = "set",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, 1, 0, 1, .notes = "GET reads the key"}},
     .write = command_set,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Sets a string",
     .syntax = "key:key#0 value:string [condition:oneof@2.6.12(nx=NX xx=XX)] [get=GET@6.2.0] "
               "[expiration:oneof(seconds:integer=EX@2.6.12 milliseconds:integer=PX@2.6.12 "
               "unix-time-seconds:unix-time=EXAT@6.2.0 unix-time-milliseconds:unix-time=PXAT@6.2.0 "
               "keepttl=KEEPTTL@6.0.0)]",
     .history = "2.6.12:EX, PX, NX, XX;6.0.0:KEEPTTL;6.2.0:GET, EXAT, PXAT;7.0.0:NX together with GET"},
    {.name = "getex",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1, .notes = "When the key expires may change"}},
     .write = command_getex,
     .categories = "string",
     .since = "6.2.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Reads a string and changes how long it lives",
     .syntax = "key:key#0 [expiration:oneof(seconds:integer=EX milliseconds:integer=PX "
               "unix-time-seconds:unix-time=EXAT unix-time-milliseconds:unix-time=PXAT "
               "persist=PERSIST)]"},
    {.name = "getdel",
     .arity = 2,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_DELETE, 1, 0, 1}},
     .write = command_getdel,
     .categories = "string",
     .since = "6.2.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Reads a string and deletes its key",
     .syntax = "key:key#0"},
    {.name = "getset",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_getset,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Replaces a string and answers the one before",
     .syntax = "key:key#0 value:string",
     .deprecated = "6.2.0:`SET` with the `!GET` argument"},
    {.name = "setnx",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_OW | KEY_INSERT, 1, 0, 1}},
     .write = command_setnx,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Sets a string if the key does not exist",
     .syntax = "key:key#0 value:string"},
    {.name = "setex",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}},
     .write = command_setex,
     .categories = "string",
     .since = "2.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Sets a string that lives for some seconds",
     .syntax = "key:key#0 seconds:integer value:string"},
    {.name = "psetex",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_OW | KEY_UPDATE, 1, 0, 1}},
     .write = command_psetex,
     .categories = "string",
     .since = "2.6.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Sets a string that lives for some milliseconds",
     .syntax = "key:key#0 milliseconds:integer value:string"},
    {.name = "append",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_append,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_append,
     .room = room_for_append,
     .categories = "string",
     .since = "2.0.0",
     .group = "string",
     .complexity = "O(M) for M bytes added, amortized",
     .summary = "Adds bytes to the end of a string",
     .syntax = "key:key#0 value:string"},
    {.name = "strlen",
     .arity = 2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO, 1, 0, 1}},
     .read = command_strlen,
     .categories = "string",
     .since = "2.2.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Tells the length of a string",
     .syntax = "key:key#0"},
    {.name = "setrange",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_setrange,
     .keys = {{KEY_RW | KEY_UPDATE, 1, 0, 1}},
     .write = command_setrange,
     .room = room_for_setrange,
     .categories = "string",
     .since = "2.2.0",
     .group = "string",
     .complexity = "O(M) for M bytes written; amortized when the string grows",
     .summary = "Overwrites a part of a string",
     .syntax = "key:key#0 offset:integer value:string"},
    {.name = "getrange",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_LONG | COMMAND_OPTIMISTIC,
     .work = work_of_range,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_getrange,
     .categories = "string",
     .since = "2.4.0",
     .group = "string",
     .complexity = "O(N) for N bytes returned",
     .summary = "Reads a part of a string",
     .syntax = "key:key#0 start:integer end:integer"},
    {.name = "substr",
     .arity = 4,
     .flags = COMMAND_READONLY | COMMAND_LONG | COMMAND_OPTIMISTIC,
     .work = work_of_range,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_substr,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(N) for N bytes returned",
     .summary = "Reads a part of a string",
     .syntax = "key:key#0 start:integer end:integer",
     .deprecated = "2.0.0:`GETRANGE`"},
    {.name = "incr",
     .arity = 2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_incr,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Adds one to an integer",
     .syntax = "key:key#0"},
    {.name = "decr",
     .arity = 2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_decr,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Subtracts one from an integer",
     .syntax = "key:key#0"},
    {.name = "incrby",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_incrby,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Adds a number to an integer",
     .syntax = "key:key#0 increment:integer"},
    {.name = "decrby",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_decrby,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Subtracts a number from an integer",
     .syntax = "key:key#0 decrement:integer"},
    {.name = "incrbyfloat",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_incrbyfloat,
     .categories = "string",
     .since = "2.6.0",
     .group = "string",
     .complexity = "O(1)",
     .summary = "Adds a number to a floating-point value",
     .syntax = "key:key#0 increment:double"},
    {.name = "mget",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, -1, 1}},
     .read = command_mget,
     .categories = "string",
     .since = "1.0.0",
     .group = "string",
     .complexity = "O(N) for N keys",
     .summary = "Reads several strings",
     .syntax = "key:key#0...",
     .tips = "request_policy:multi_shard"},
    {.name = "mset",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_OW | KEY_UPDATE, 1, -1, 2}},
     .write = command_mset,
     .categories = "string",
     .since = "1.0.1",
     .group = "string",
     .complexity = "O(N) for N keys",
     .summary = "Sets several strings at once",
     .syntax = "key_value:block(key:key#0 value:string)...",
     .tips = "request_policy:multi_shard,response_policy:all_succeeded"},
    {.name = "msetnx",
     .arity = -3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .keys = {{KEY_OW | KEY_INSERT, 1, -1, 2}},
     .write = command_msetnx,
     .categories = "string",
     .since = "1.0.1",
     .group = "string",
     .complexity = "O(N) for N keys",
     .summary = "Sets several strings at once if none of the keys exists",
     .syntax = "key_value:block(key:key#0 value:string)...",
     .tips = "request_policy:multi_shard,response_policy:agg_min"},
    {.name = NULL},
};
