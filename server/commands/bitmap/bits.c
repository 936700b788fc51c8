/* Bits: strings as rows of bits, and as fields of bits that hold numbers.
 *
 * Bit 0 is the highest one of byte 0. Ranges are bit numbers here, whether they were given in bytes or in
 * bits; what lies behind the end of a string is 0. Loops take eight bytes at a time. */
#include <string.h>

#include "server/config/config.h"
#include "server/command/command.h"
#include "server/commands/shared/room.h"

/* ------------------------------------------------------------------ loops over bytes */

static uint64_t word_load(const unsigned char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static void word_store(unsigned char *bytes, uint64_t word) {
    memcpy(bytes, &word, sizeof word);
}

/* The first byte is the highest. */
static uint64_t word_load_in_order(const unsigned char *bytes) {
    uint64_t word = word_load(bytes);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* The body of both counters below; in line, so that each compiles it for its own processor. */
static inline __attribute__((always_inline)) uint64_t count_loop(const unsigned char *bytes, size_t length) {
    uint64_t count = 0;
    size_t i = 0;
    for (; length - i >= 8; i += 8) count += (uint64_t)__builtin_popcountll(word_load(bytes + i));
    for (; i < length; i++) count += (uint64_t)__builtin_popcount(bytes[i]);
    return count;
}

#ifdef __x86_64__
/* An instruction instead of a table; not every x86-64 has it. */
static __attribute__((target("popcnt"))) uint64_t count_by_instruction(const unsigned char *bytes,
                                                                       size_t length) {
    return count_loop(bytes, length);
}
#endif

static uint64_t bytes_count(const unsigned char *bytes, size_t length) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("popcnt")) return count_by_instruction(bytes, length);
#endif
    return count_loop(bytes, length);
}

/* Ones among the bits first..last. */
static uint64_t bits_count(const unsigned char *bytes, uint64_t first, uint64_t last) {
    uint64_t count = bytes_count(bytes + first / 8, (size_t)(last / 8 - first / 8 + 1));
    unsigned before = bytes[first / 8] & ~(0xffu >> first % 8),
             behind = bytes[last / 8] & (0x7fu >> last % 8);
    return count - (uint64_t)__builtin_popcount(before) - (uint64_t)__builtin_popcount(behind);
}

/* The first bit of that value among the bits first..last; last + 1 if there is none. */
static uint64_t bits_find(const unsigned char *bytes, uint64_t first, uint64_t last, bool value) {
    uint64_t at = first;
    while (at <= last) {
        if (at % 8 == 0 && last - at >= 63) {
            uint64_t word = word_load_in_order(bytes + at / 8);
            if (!value) word = ~word;
            if (word != 0) return at + (uint64_t)__builtin_clzll(word);
            at += 64;
        } else {
            unsigned byte = (value ? bytes[at / 8] : ~(unsigned)bytes[at / 8]) & (0xffu >> at % 8);
            uint64_t found = at - at % 8 + (byte == 0 ? 8 : (uint64_t)__builtin_clz(byte) - 24);
            if (byte != 0) return found <= last ? found : last + 1;
            at = found;
        }
    }
    return last + 1;
}

/* ------------------------------------------------------------------ arguments */

/* Bytes of the longest string there may be. */
static int64_t length_most(void) {
    return atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed);
}

static bool check_offset(int64_t offset, int64_t most, struct reply *reply) {
    if (offset >= 0 && offset / 8 < most) return true;
    reply_error(reply, "ERR bit offset is not an integer or out of range");
    return false;
}

static bool parse_offset(const struct bulk *argument, uint64_t *offset, struct reply *reply) {
    int64_t number;
    if (!argument_integer(argument, &number, reply, "ERR bit offset is not an integer or out of range"))
        return false;
    *offset = (uint64_t)number;
    return check_offset(number, length_most(), reply);
}

/* "BIT" or "BYTE". */
static bool parse_unit(const struct bulk *argument, bool *is_in_bits, struct reply *reply) {
    *is_in_bits = argument_is(argument, "BIT");
    if (*is_in_bits || argument_is(argument, "BYTE")) return true;
    reply_error(reply, ERROR_SYNTAX);
    return false;
}

/* From places in bytes or bits, negative ones counted from the end, to bit numbers within a string of
 * `length` bytes. false if nothing is left between them. */
static bool range_resolve(int64_t *first, int64_t *last, bool is_in_bits, size_t length) {
    int64_t end = (int64_t)length * (is_in_bits ? 8 : 1);
    if (*first < 0) *first = *first + end < 0 ? 0 : *first + end;
    if (*last < 0) *last = *last + end < 0 ? 0 : *last + end;
    if (*last >= end) *last = end - 1;
    if (*first > *last) return false;
    if (is_in_bits) return true;
    *first *= 8;
    *last = *last * 8 + 7;
    return true;
}

/* ------------------------------------------------------------------ single bits */

static bool bit_at(const struct string_view *view, uint64_t offset) {
    return offset / 8 < view->length && ((unsigned char)view->data[offset / 8] >> (7 - offset % 8) & 1) != 0;
}

/* An absent key is an empty string. */
static void view_or_nothing(const struct entry *entry, struct string_view *view) {
    view->data = "";
    view->length = 0;
    view->blob = NULL;
    if (entry != NULL) entry_string(entry, view);
}

/* Once written by bits a string is raw, as Redis has it; a client sees that (OBJECT ENCODING). */
static bool is_raw(const struct entry *entry) {
    return strcmp(entry_encoding_name(entry), "raw") == 0;
}

static void command_getbit(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    uint64_t offset;
    if (!parse_offset(&call->arguments[2], &offset, reply)) return;
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    view_or_nothing(entry, &view);
    reply_integer(reply, bit_at(&view, offset));
}

static void bit_write(char *data, uint64_t offset, bool bit) {
    unsigned byte = (unsigned char)data[offset / 8], mask = 0x80u >> offset % 8;
    data[offset / 8] = (char)(unsigned char)(bit ? byte | mask : byte & ~mask);
}

static void command_setbit(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    struct edit edit;
    uint64_t offset;
    int64_t bit;
    if (!parse_offset(&call->arguments[2], &offset, reply)) return;
    if (!argument_integer_within(&call->arguments[3], 0, 1, &bit, reply,
                                 "ERR bit is not an integer or out of range"))
        return;
    scope_edit(scope, &call->keys[0], &edit);
    if (!check_string(edit.entry, reply)) {
        scope_unchanged(&edit);
        return;
    }
    view_or_nothing(edit.entry, &view);
    bool before = bit_at(&view, offset);
    if (before == (bit == 1) && offset / 8 < view.length && is_raw(edit.entry)) {
        scope_unchanged(&edit);
        reply_integer(reply, before);
        return;
    }
    char *data = edit_stretch_string(&edit, offset / 8 < view.length ? view.length : offset / 8 + 1);
    if (data == NULL) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    bit_write(data, offset, bit == 1);
    scope_changed(&edit, EVENT_SETBIT);
    reply_integer(reply, before);
}

/* ------------------------------------------------------------------ counting and searching */

static void command_bitcount(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    int64_t first = 0, last = -1;
    bool is_in_bits = false;
    if (call->count == 3 || call->count > 5) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count > 3 && !argument_integer(&call->arguments[2], &first, reply, NULL)) return;
    if (call->count > 3 && !argument_integer(&call->arguments[3], &last, reply, NULL)) return;
    if (call->count > 4 && !parse_unit(&call->arguments[4], &is_in_bits, reply)) return;
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    view_or_nothing(entry, &view);
    /* Both before the start would be moved to it, and count byte 0. */
    bool is_reversed = first < 0 && last < 0 && first > last;
    if (is_reversed || !range_resolve(&first, &last, is_in_bits, view.length))
        reply_integer(reply, 0);
    else
        reply_integer(reply,
                      (int64_t)bits_count((const unsigned char *)view.data, (uint64_t)first, (uint64_t)last));
}

static void command_bitpos(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    int64_t bit, first = 0, last = -1;
    bool is_in_bits = false;
    if (!argument_integer(&call->arguments[2], &bit, reply, NULL)) return;
    if (bit != 0 && bit != 1) {
        reply_error(reply, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (call->count > 6) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count > 3 && !argument_integer(&call->arguments[3], &first, reply, NULL)) return;
    if (call->count > 5 && !parse_unit(&call->arguments[5], &is_in_bits, reply)) return;
    if (call->count > 4 && !argument_integer(&call->arguments[4], &last, reply, NULL)) return;
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (entry == NULL) {
        reply_integer(reply, bit == 1 ? -1 : 0);
        return;
    }
    if (!check_string(entry, reply)) return;
    entry_string(entry, &view);
    if (!range_resolve(&first, &last, is_in_bits, view.length)) {
        reply_integer(reply, -1);
        return;
    }
    int64_t found =
        (int64_t)bits_find((const unsigned char *)view.data, (uint64_t)first, (uint64_t)last, bit == 1);
    /* Zeros follow a string, so one is always found, unless an end was given. */
    bool is_found = found <= last || (bit == 0 && call->count < 5);
    reply_integer(reply, is_found ? found : -1);
}

/* ------------------------------------------------------------------ combining */

enum operation { OPERATION_AND, OPERATION_OR, OPERATION_XOR, OPERATION_NOT };

static uint64_t combine(enum operation operation, uint64_t one, uint64_t other) {
    switch (operation) {
    case OPERATION_AND: return one & other;
    case OPERATION_OR: return one | other;
    case OPERATION_XOR: return one ^ other;
    case OPERATION_NOT: return ~other;
    }
    return 0;
}

/* In line with a constant operation, so that no loop asks for it. */
static inline __attribute__((always_inline)) void combine_loop(enum operation operation, unsigned char *into,
                                                               const unsigned char *from, size_t length) {
    size_t i = 0;
    for (; length - i >= 8; i += 8)
        word_store(into + i, combine(operation, word_load(into + i), word_load(from + i)));
    for (; i < length; i++) into[i] = (unsigned char)combine(operation, into[i], from[i]);
}

/* `into` has `length` bytes; behind the end of `from` it meets zeros. */
static void combine_bytes(enum operation operation, unsigned char *into, size_t length,
                          const struct string_view *from) {
    const unsigned char *bytes = (const unsigned char *)from->data;
    switch (operation) {
    case OPERATION_AND:
        combine_loop(OPERATION_AND, into, bytes, from->length);
        memset(into + from->length, 0, length - from->length);
        return;
    case OPERATION_OR: combine_loop(OPERATION_OR, into, bytes, from->length); return;
    case OPERATION_XOR: combine_loop(OPERATION_XOR, into, bytes, from->length); return;
    case OPERATION_NOT: combine_loop(OPERATION_NOT, into, bytes, from->length); return;
    }
}

static bool parse_operation(const struct call *call, enum operation *operation, struct reply *reply) {
    static const char *const names[] = {
        [OPERATION_AND] = "AND", [OPERATION_OR] = "OR", [OPERATION_XOR] = "XOR", [OPERATION_NOT] = "NOT"};
    size_t name = 0;
    while (name <= OPERATION_NOT && !argument_is(&call->arguments[1], names[name])) name++;
    if (name > OPERATION_NOT) {
        reply_error(reply, ERROR_SYNTAX);
        return false;
    }
    *operation = (enum operation)name;
    if (*operation != OPERATION_NOT || call->count == 4) return true;
    reply_error(reply, "ERR BITOP NOT must be called with a single source key.");
    return false;
}

/* The result into `bytes`, from the sources as they are before anything is changed: the destination may be
 * one of them. */
static void operate(const struct write_scope *scope, const struct call *call, enum operation operation,
                    unsigned char *bytes, size_t length) {
    struct string_view view;
    const struct read_scope reading = {scope->scope}; /* their hits are counted already */
    view_or_nothing(scope_peek(&reading, &call->keys[1]), &view);
    if (view.length > 0) memcpy(bytes, view.data, view.length);
    memset(bytes + view.length, 0, length - view.length);
    if (operation == OPERATION_NOT) combine_bytes(operation, bytes, length, &view);
    for (uint32_t i = 2; i < call->key_count; i++) {
        view_or_nothing(scope_peek(&reading, &call->keys[i]), &view);
        combine_bytes(operation, bytes, length, &view);
    }
}

static void store(struct write_scope *scope, const struct key *key, const char *data, size_t length,
                  struct blob *blob, struct reply *reply) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    if (!edit_put_raw(&edit, data, length, blob, false)) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    scope_changed(&edit, EVENT_SET);
    reply_integer(reply, (int64_t)length);
}

static void store_nothing(struct write_scope *scope, const struct key *key, struct reply *reply) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    if (edit.entry == NULL) {
        scope_unchanged(&edit);
    } else {
        edit_remove(&edit);
        scope_changed(&edit, EVENT_DEL);
    }
    reply_integer(reply, 0);
}

static void command_bitop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    enum operation operation;
    size_t length = 0;
    if (!parse_operation(call, &operation, reply)) return;
    for (uint32_t i = 1; i < call->key_count; i++) {
        const struct entry *entry = scope_view(scope, &call->keys[i]);
        if (!check_string(entry, reply)) return;
        size_t source = entry == NULL ? 0 : entry_string_length(entry);
        if (length < source) length = source;
    }
    if (length == 0) {
        store_nothing(scope, &call->keys[0], reply);
        return;
    }
    if (length <= BLOB_LEAST) {
        char bytes[BLOB_LEAST];
        operate(scope, call, operation, (unsigned char *)bytes, length);
        store(scope, &call->keys[0], bytes, length, NULL, reply);
        return;
    }
    struct blob *blob = blob_create(length); /* becomes the value itself */
    if (blob == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    operate(scope, call, operation, (unsigned char *)blob->data, length);
    store(scope, &call->keys[0], blob->data, length, blob, reply);
    blob_release(blob);
}

/* ------------------------------------------------------------------ fields */

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

/* Goes over the arguments of BITFIELD. More than once: everything is checked before anything is done, and
 * nothing is kept in between. The limit, which may be set to another one at any time, is asked for once: what
 * has been found right stays so. */
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
    return check_offset(number, most, reply);
}

/* The next field, at reader->next, which there is; OVERFLOW words before it have been passed. */
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

/* Passes OVERFLOW words. Sets is_done at the end of the arguments, else there is a field. false if there was
 * an error. */
static bool read_field(struct field_reader *reader, struct field *field, bool *is_done, struct reply *reply) {
    const struct call *call = reader->call;
    while (reader->next + 1 < call->count && argument_is(&call->arguments[reader->next], "OVERFLOW")) {
        if (!parse_overflow(&call->arguments[reader->next + 1], &reader->overflow, reply)) return false;
        reader->next += 2;
    }
    *is_done = reader->next == call->count;
    return *is_done || parse_field(reader, field, reply);
}

/* What all fields together need. */
struct survey {
    int64_t most; /* see field_reader */
    size_t count;
    bool writes;
    uint64_t end; /* the last bit that is written */
};

static bool survey_fields(const struct call *call, struct survey *survey, struct reply *reply) {
    struct field_reader reader = {.call = call, .most = length_most(), .next = 2};
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

/* What the field will hold. false if that overflows and overflow means to fail. */
static bool field_next(const struct field *field, uint64_t before, uint64_t *after) {
    __int128 least = field->is_signed ? -((__int128)1 << (field->bits - 1)) : 0;
    __int128 most = least + field_mask(field), next = field->operand;
    if (field->action == FIELD_INCRBY)
        next += field_number(field, before);
    else if (!field->is_signed)
        next = (uint64_t)field->operand; /* for an unsigned field -1 is very large, not below 0 */
    *after = (uint64_t)next & field_mask(field);
    if (next >= least && next <= most) return true;
    /* To SET, the lowest numbers of all, further from `most` than 64 bits tell, are too high ones, as they
     * are to Redis. */
    bool is_low = next < least && (field->action != FIELD_SET || most - next <= INT64_MAX);
    if (field->overflow == OVERFLOW_SAT) *after = (uint64_t)(is_low ? least : most) & field_mask(field);
    return field->overflow != OVERFLOW_FAIL;
}

/* Returns whether it is a change; of a string that has got longer, each one that is written is. */
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

/* Every field has been checked: reading them again fails nowhere. Returns how many changes were made. */
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

/* Fields that are only read, or get the values that they have. */
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
    view_or_nothing(entry, &view);
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
    view_or_nothing(edit->entry, &view);
    size_t length = survey->end / 8 < view.length ? view.length : (size_t)(survey->end / 8 + 1);
    if (length == view.length && is_raw(edit->entry) && !fields_change(call, survey, &view, reply)) {
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
    scope_changed(edit, EVENT_SETBIT);
    scope_count_more(edit->scope, changes - 1);
}

static void command_bitfield(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct survey survey;
    struct edit edit;
    if (!survey_fields(call, &survey, reply)) return;
    if (!survey.writes) {
        bitfield_look(scope_view(scope, &call->keys[0]), call, &survey, reply);
        return;
    }
    scope_edit(scope, &call->keys[0], &edit);
    if (check_string(edit.entry, reply)) {
        bitfield_write(&edit, call, &survey, reply);
        return;
    }
    scope_unchanged(&edit);
}

size_t room_for_bitfield(const struct write_scope *scope, const struct call *call) {
    struct survey survey;
    struct reply refusal; /* that the command is going to give */
    reply_init(&refusal, call->protocol);
    bool is_fine = survey_fields(call, &survey, &refusal);
    reply_free(&refusal);
    return is_fine && survey.writes ? scope_stretch_bytes(scope, &call->keys[0], (size_t)(survey.end / 8 + 1))
                                    : 0;
}

/* ------------------------------------------------------------------ rows */

const struct command bits_commands[] = {
    {.name = "setbit",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE, 1, 0, 1}},
     .write = command_setbit,
     .room = room_for_setbit,
     .categories = "bitmap",
     .since = "2.2.0",
     .group = "bitmap",
     .complexity = "O(1)",
     .summary = "Sets or clears a bit of a string",
     .syntax = "key:key#0 offset:integer value:integer"},
    {.name = "getbit",
     .arity = 3,
     .flags = COMMAND_READONLY | COMMAND_FAST | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_getbit,
     .categories = "bitmap",
     .since = "2.2.0",
     .group = "bitmap",
     .complexity = "O(1)",
     .summary = "Reads a bit of a string",
     .syntax = "key:key#0 offset:integer"},
    {.name = "bitcount",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_bitcount,
     .categories = "bitmap",
     .since = "2.6.0",
     .group = "bitmap",
     .complexity = "O(N)",
     .summary = "Counts the set bits of a string",
     .syntax = "key:key#0 [index:block(start:integer end:integer [index_unit:oneof@7.0.0(byte=BYTE "
               "bit=BIT)])]",
     .history = "7.0.0:BYTE and BIT"},
    {.name = "bitpos",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG | COMMAND_OPTIMISTIC,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 0, 1}},
     .read = command_bitpos,
     .categories = "bitmap",
     .since = "2.8.7",
     .group = "bitmap",
     .complexity = "O(N)",
     .summary = "Finds the first set or clear bit of a string",
     .syntax = "key:key#0 bit:integer [index:block(start:integer [end_index:block(end:integer "
               "[index_unit:oneof@7.0.0(byte=BYTE bit=BIT)])])]",
     .history = "7.0.0:BYTE and BIT"},
    {.name = "bitop",
     .arity = -4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_OW | KEY_UPDATE, 2, 0, 1}, {KEY_RO | KEY_ACCESS, 3, -1, 1}},
     .write = command_bitop,
     .room = room_for_longest,
     .categories = "bitmap",
     .since = "2.6.0",
     .group = "bitmap",
     .complexity = "O(N)",
     .summary = "Combines strings bit by bit into another",
     .syntax = "operation:string destkey:key#0 key:key#1..."},
    {.name = "bitfield",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, 1, 0, 1}},
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
