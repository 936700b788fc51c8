/* Fields of bits: numbers of 1 to 64 bits that stand anywhere in a string, highest bit first. What lies
 * behind the end of a string is 0. */
#include <string.h>

#include "server/command/command.h"
#include "server/commands/shared/work.h"
#include "bits.h"

enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

enum action { FIELD_GET, FIELD_SET, FIELD_INCRBY };

/* One thing to do with a field of up to 64 bits, highest bit first. */
struct field {
    enum action action;
    enum overflow overflow;
    bool is_signed;
    unsigned bits;
    uint64_t offset; /* of its first bit */
    int64_t operand; /* of SET and INCRBY */
};

/* Goes over the arguments of BITFIELD. That happens more than once: everything is checked before anything is
 * done, and nothing is kept in between. The limit on lengths, which may be changed at any time, is read once:
 * what has been found right stays right. */
struct field_reader {
    const struct call *call;
    int64_t most; /* bytes of the longest string */
    uint32_t next;
    enum overflow overflow; /* in force for what follows */
};

static bool parse_overflow(const struct bulk *argument, enum overflow *overflow, struct reply *reply) {
    if (argument_is(argument, "WRAP"))
        *overflow = OVERFLOW_WRAP;
    else if (argument_is(argument, "SAT"))
        *overflow = OVERFLOW_SAT;
    else if (argument_is(argument, "FAIL"))
        *overflow = OVERFLOW_FAIL;
    else {
        reply_error(reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

static bool parse_type(const struct bulk *argument, struct field *field, struct reply *reply) {
    const struct bulk digits = {argument->data + 1, argument->length == 0 ? 0 : argument->length - 1, NULL};
    const char *error =
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    int64_t bits;
    if (argument->length == 0 || (argument->data[0] != 'i' && argument->data[0] != 'u')) {
        reply_error(reply, error);
        return false;
    }
    field->is_signed = argument->data[0] == 'i';
    if (!argument_integer_within(&digits, 1, field->is_signed ? 64 : 63, &bits, reply, error)) return false;
    field->bits = (unsigned)bits;
    return true;
}

/* "#3" is the third field of this type behind the first. */
static bool parse_field_offset(const struct bulk *argument, int64_t most, struct field *field,
                               struct reply *reply) {
    bool is_counted = argument->length > 0 && argument->data[0] == '#';
    const struct bulk digits = {argument->data + is_counted, argument->length - is_counted, NULL};
    int64_t number;
    if (!argument_integer(&digits, &number, reply, "ERR bit offset is not an integer or out of range"))
        return false;
    if (is_counted && __builtin_mul_overflow(number, (int64_t)field->bits, &number)) number = -1;
    field->offset = (uint64_t)number;
    return bits_check_offset(number, most, reply);
}

/* Reads the field at reader->next, which is there; OVERFLOW words before it have been passed. */
static bool parse_field(struct field_reader *reader, struct field *field, struct reply *reply) {
    const struct bulk *word = &reader->call->arguments[reader->next];
    uint32_t behind = reader->call->count - reader->next - 1;
    field->overflow = reader->overflow;
    if (argument_is(word, "GET") && behind >= 2)
        field->action = FIELD_GET;
    else if (argument_is(word, "SET") && behind >= 3)
        field->action = FIELD_SET;
    else if (argument_is(word, "INCRBY") && behind >= 3)
        field->action = FIELD_INCRBY;
    else {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    if (!parse_type(word + 1, field, reply) || !parse_field_offset(word + 2, reader->most, field, reply))
        return false;
    if (field->action != FIELD_GET && !argument_integer(word + 3, &field->operand, reply, NULL)) return false;
    reader->next += field->action == FIELD_GET ? 3 : 4;
    return true;
}

/* Passes OVERFLOW words. Sets is_done at the end of the arguments; otherwise a field follows. false if there
 * was an error. */
static bool read_field(struct field_reader *reader, struct field *field, bool *is_done, struct reply *reply) {
    const struct call *call = reader->call;
    while (reader->next + 1 < call->count && argument_is(&call->arguments[reader->next], "OVERFLOW")) {
        if (!parse_overflow(&call->arguments[reader->next + 1], &reader->overflow, reply)) return false;
        reader->next += 2;
    }
    *is_done = reader->next == call->count;
    return *is_done || parse_field(reader, field, reply);
}

/* What all fields come to together. */
struct survey {
    int64_t most; /* see field_reader */
    size_t count;
    bool writes;
    uint64_t end; /* the last bit that is written */
};

static bool survey_fields(const struct call *call, struct survey *survey, struct reply *reply) {
    struct field_reader reader = {.call = call, .most = bits_length_most(), .next = 2};
    struct field field;
    bool is_done;
    *survey = (struct survey){.most = reader.most};
    for (;;) {
        if (!read_field(&reader, &field, &is_done, reply)) return false;
        if (is_done) return true;
        survey->count++;
        if (field.action == FIELD_GET) continue;
        survey->writes = true;
        if (survey->end < field.offset + field.bits - 1) survey->end = field.offset + field.bits - 1;
    }
}

/* The bytes that a field touches, as one number; at most nine. */
static unsigned __int128 field_window(const unsigned char *bytes, size_t length, const struct field *field,
                                      size_t *count) {
    unsigned __int128 window = 0;
    *count = (field->offset % 8 + field->bits + 7) / 8;
    for (size_t i = 0; i < *count; i++) {
        size_t at = field->offset / 8 + i;
        window = window << 8 | (at < length ? bytes[at] : 0u);
    }
    return window;
}

static uint64_t field_mask(const struct field *field) {
    return UINT64_MAX >> (64 - field->bits);
}

static uint64_t field_load(const unsigned char *bytes, size_t length, const struct field *field) {
    size_t count;
    unsigned __int128 window = field_window(bytes, length, field, &count);
    return (uint64_t)(window >> (count * 8 - field->offset % 8 - field->bits)) & field_mask(field);
}

static void field_store(unsigned char *bytes, size_t length, const struct field *field, uint64_t value) {
    size_t count;
    unsigned __int128 window = field_window(bytes, length, field, &count);
    size_t shift = count * 8 - field->offset % 8 - field->bits;
    window &= ~((unsigned __int128)field_mask(field) << shift);
    window |= (unsigned __int128)(value & field_mask(field)) << shift;
    for (size_t i = 0; i < count; i++)
        bytes[field->offset / 8 + i] = (unsigned char)(window >> (count - 1 - i) * 8);
}

/* The bits as the number they stand for. */
static int64_t field_number(const struct field *field, uint64_t bits) {
    if (!field->is_signed || (bits >> (field->bits - 1) & 1) == 0) return (int64_t)bits;
    return (int64_t)(bits | ~field_mask(field));
}

/* What the field will hold. false if that overflows and the client wants an overflow to fail. */
static bool field_next(const struct field *field, uint64_t before, uint64_t *after) {
    __int128 least = field->is_signed ? -((__int128)1 << (field->bits - 1)) : 0;
    __int128 most = least + field_mask(field), next = field->operand;
    if (field->action == FIELD_INCRBY)
        next += field_number(field, before);
    else if (!field->is_signed)
        next = (uint64_t)field->operand; /* for an unsigned field -1 is very large, not below 0 */
    *after = (uint64_t)next & field_mask(field);
    if (next >= least && next <= most) return true;
    /* To SET, numbers so low that 64 bits don't tell how far they are below `most` count as too high, as they
     * do in Redis. */
    bool is_low = next < least && (field->action != FIELD_SET || most - next <= INT64_MAX);
    if (field->overflow == OVERFLOW_SAT) *after = (uint64_t)(is_low ? least : most) & field_mask(field);
    return field->overflow != OVERFLOW_FAIL;
}

/* Writes the field. Returns whether that is a change; once a string has got longer, every write counts as
 * one. */
static bool field_run(const struct field *field, unsigned char *bytes, size_t length, bool is_longer,
                      struct reply *reply) {
    uint64_t before = field_load(bytes, length, field), after = before;
    bool is_changed = false;
    if (field->action != FIELD_GET) {
        if (!field_next(field, before, &after)) {
            reply_null(reply);
            return false;
        }
        is_changed = is_longer || after != before;
        if (after != before) field_store(bytes, length, field, after);
        if (field->action == FIELD_INCRBY) before = after;
    }
    reply_integer(reply, field_number(field, before));
    return is_changed;
}

/* Does what the arguments say. Each field has been checked, so that reading them again can't fail. Returns
 * how many changes were made. */
static int64_t run_fields(const struct call *call, const struct survey *survey, unsigned char *bytes,
                          size_t length, bool is_longer, struct reply *reply) {
    int64_t changes = 0;
    struct field_reader reader = {.call = call, .most = survey->most, .next = 2};
    struct field field;
    bool is_done;
    reply_array(reply, survey->count);
    while (read_field(&reader, &field, &is_done, reply) && !is_done)
        changes += field_run(&field, bytes, length, is_longer, reply);
    return changes;
}

/* For fields that are only read, or that get the values they have. */
static void look_at_fields(const struct call *call, const struct survey *survey,
                           const struct string_view *view, struct reply *reply) {
    run_fields(call, survey, (unsigned char *)(uintptr_t)view->data, view->length, false,
               reply); /* stores nothing */
}

/* Whether any of them gets another value. As long as none does, each one meets the string as it is. */
static bool fields_change(const struct call *call, const struct survey *survey,
                          const struct string_view *view, struct reply *reply) {
    struct field_reader reader = {.call = call, .most = survey->most, .next = 2};
    struct field field;
    bool is_done;
    while (read_field(&reader, &field, &is_done, reply) && !is_done) {
        uint64_t before = field_load((const unsigned char *)view->data, view->length, &field), after;
        if (field.action != FIELD_GET && field_next(&field, before, &after) && after != before) return true;
    }
    return false;
}

static void bitfield_look(const struct entry *entry, const struct call *call, const struct survey *survey,
                          struct reply *reply) {
    struct string_view view;
    if (!check_string(entry, reply)) return;
    bits_view(entry, &view);
    look_at_fields(call, survey, &view, reply);
}

static void command_bitfield_ro(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    struct survey survey;
    if (!survey_fields(call, &survey, reply)) return;
    if (survey.writes)
        reply_error(reply, "ERR BITFIELD_RO only supports the GET subcommand");
    else
        bitfield_look(scope_read(scope, &call->keys[0]), call, &survey, reply);
}

static void bitfield_write(struct edit *edit, const struct call *call, const struct survey *survey,
                           struct reply *reply) {
    struct string_view view;
    bits_view(edit->entry, &view);
    size_t length = survey->end / 8 < view.length ? view.length : (size_t)(survey->end / 8 + 1);
    if (length == view.length && bits_are_raw(edit->entry) && !fields_change(call, survey, &view, reply)) {
        scope_unchanged(edit);
        look_at_fields(call, survey, &view, reply);
        return;
    }
    char *data = edit_stretch_string(edit, length);
    if (data == NULL) {
        scope_unchanged(edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    int64_t changes = run_fields(call, survey, (unsigned char *)data, length, length > view.length, reply);
    scope_changed(edit, changes > 0 ? EVENT_SETBIT : EVENT_ENCODING);
    scope_count_more(edit->scope, changes - 1);
}

static void command_bitfield(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct survey survey;
    struct edit edit;
    if (!survey_fields(call, &survey, reply)) return;
    if (!survey.writes) {
        bitfield_look(scope_read(&scope->reading, &call->keys[0]), call, &survey, reply);
        return;
    }
    scope_edit(scope, &call->keys[0], &edit);
    if (check_string(edit.entry, reply)) {
        bitfield_write(&edit, call, &survey, reply);
        return;
    }
    scope_unchanged(&edit);
}

static size_t room_for_bitfield(const struct write_scope *scope, const struct call *call) {
    struct survey survey;
    struct reply refusal; /* that the command is going to give */
    reply_init(&refusal, call->protocol);
    bool is_fine = survey_fields(call, &survey, &refusal);
    reply_free(&refusal);
    return is_fine && survey.writes ? scope_stretch_bytes(scope, &call->keys[0], (size_t)(survey.end / 8 + 1))
                                    : 0;
}

static uint64_t work_of_bitfield(const struct call *call, uint64_t size) {
    struct survey survey;
    struct reply refusal;
    reply_init(&refusal, call->protocol);
    bool is_fine = survey_fields(call, &survey, &refusal);
    reply_free(&refusal);
    return is_fine && survey.writes ? work_of_growth(survey.end / 8 + 1, size) : 0;
}

/* ------------------------------------------------------------------ rows */

const struct command bitfields_commands[] = {
    {.name = "bitfield",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_bitfield,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, 1, 0, 1,
               .notes = "GET alone changes nothing"}},
     .write = command_bitfield,
     .room = room_for_bitfield,
     .categories = "bitmap",
     .since = "3.2.0",
     .group = "bitmap",
     .complexity = "O(1) per operation",
     .summary = "Reads and changes integers of any width within a string",
     .syntax = "key:key#0 [operation:oneof(encoding_offset:block=GET(encoding:string offset:integer) "
               "write:block([wrap_sat_fail:oneof=OVERFLOW(wrap=WRAP sat=SAT fail=FAIL)] "
               "write_operation:oneof(encoding_offset_value:block=SET(encoding:string offset:integer "
               "value:integer) encoding_offset_increment:block=INCRBY(encoding:string offset:integer "
               "increment:integer))))...]"},
    {.name = "bitfield_ro",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_bitfield_ro,
     .categories = "bitmap",
     .since = "6.0.0",
     .group = "bitmap",
     .complexity = "O(1) per operation",
     .summary = "Reads integers of any width within a string",
     .syntax = "key:key#0 [encoding_offset:block=GET(encoding:string offset:integer)+...]"},
    {.name = NULL},
};
