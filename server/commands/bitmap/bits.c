/* Bits: strings as rows of bits.
 *
 * Bit 0 is the highest one of byte 0. Ranges are bit numbers here, whether they were given in bytes or in
 * bits; what lies behind the end of a string is 0. Loops take eight bytes at a time. */
#include "bits.h"

#include <string.h>

#include "shard/base/number.h"
#include "server/config/config.h"
#include "server/command/command.h"
#include "server/commands/shared/room.h"
#include "server/commands/shared/work.h"

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

int64_t bits_length_most(void) {
    return atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed);
}

bool bits_check_offset(int64_t offset, int64_t most, struct reply *reply) {
    if (offset >= 0 && offset / 8 < most) return true;
    reply_error(reply, "ERR bit offset is not an integer or out of range");
    return false;
}

static bool parse_offset(const struct bulk *argument, uint64_t *offset, struct reply *reply) {
    int64_t number;
    if (!argument_integer(argument, &number, reply, "ERR bit offset is not an integer or out of range"))
        return false;
    *offset = (uint64_t)number;
    return bits_check_offset(number, bits_length_most(), reply);
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

void bits_view(const struct entry *entry, struct string_view *view) {
    view->data = "";
    view->length = 0;
    view->blob = NULL;
    if (entry != NULL) entry_string(entry, view);
}

bool bits_are_raw(const struct entry *entry) {
    return strcmp(entry_encoding_name(entry), "raw") == 0;
}

static void command_getbit(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    uint64_t offset;
    if (!parse_offset(&call->arguments[2], &offset, reply)) return;
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (!check_string(entry, reply)) return;
    bits_view(entry, &view);
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
    bits_view(edit.entry, &view);
    bool before = bit_at(&view, offset);
    if (before == (bit == 1) && offset / 8 < view.length && bits_are_raw(edit.entry)) {
        scope_unchanged(&edit);
        reply_integer(reply, before);
        return;
    }
    bool is_other = before != (bit == 1) || offset / 8 >= view.length;
    char *data = edit_stretch_string(&edit, offset / 8 < view.length ? view.length : offset / 8 + 1);
    if (data == NULL) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    bit_write(data, offset, bit == 1);
    scope_changed(&edit, is_other ? EVENT_SETBIT : EVENT_ENCODING);
    reply_integer(reply, before);
}

/* ------------------------------------------------------------------ counting and searching */

static void command_bitcount(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view view;
    int64_t first = 0, last = -1;
    bool is_in_bits = false;
    /* As in Redis 7.2, where there is no key nobody looks at the range. */
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (entry == NULL) {
        reply_integer(reply, 0);
        return;
    }
    if (!check_string(entry, reply)) return;
    if (call->count == 3 || call->count > 5) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count > 3 && !argument_integer(&call->arguments[2], &first, reply, NULL)) return;
    if (call->count > 3 && !argument_integer(&call->arguments[3], &last, reply, NULL)) return;
    /* Two places before the start would both be moved to it, and byte 0 would be counted. Redis looks at that
     * before it looks at the unit, whatever that is. */
    bool is_reversed = first < 0 && last < 0 && first > last;
    if (call->count > 4 && !is_reversed && !parse_unit(&call->arguments[4], &is_in_bits, reply)) return;
    bits_view(entry, &view);
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
    const struct entry *entry = scope_read(scope, &call->keys[0]);
    if (entry == NULL) {
        reply_integer(reply, bit == 1 ? -1 : 0);
        return;
    }
    if (!check_string(entry, reply)) return;
    if (call->count > 6) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (call->count > 3 && !argument_integer(&call->arguments[3], &first, reply, NULL)) return;
    if (call->count > 5 && !parse_unit(&call->arguments[5], &is_in_bits, reply)) return;
    if (call->count > 4 && !argument_integer(&call->arguments[4], &last, reply, NULL)) return;
    entry_string(entry, &view);
    if (!range_resolve(&first, &last, is_in_bits, view.length)) {
        reply_integer(reply, -1);
        return;
    }
    int64_t found =
        (int64_t)bits_find((const unsigned char *)view.data, (uint64_t)first, (uint64_t)last, bit == 1);
    /* Zeros follow a string, so a clear bit is always found, unless an end was given. */
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

/* Compiled in line with a constant operation, so that no loop asks which one it is. */
static inline __attribute__((always_inline)) void combine_loop(enum operation operation, unsigned char *into,
                                                               const unsigned char *from, size_t length) {
    size_t i = 0;
    for (; length - i >= 8; i += 8)
        word_store(into + i, combine(operation, word_load(into + i), word_load(from + i)));
    for (; i < length; i++) into[i] = (unsigned char)combine(operation, into[i], from[i]);
}

/* Combines `from` into `into`, which has `length` bytes; behind the end of `from` it meets zeros. */
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

/* Writes the result into `bytes`, reading the sources before anything is changed: the destination may be one
 * of them. */
static void operate(const struct write_scope *scope, const struct call *call, enum operation operation,
                    unsigned char *bytes, size_t length) {
    struct string_view view;
    const struct read_scope reading = {scope->scope}; /* their hits are counted already */
    bits_view(scope_peek(&reading, &call->keys[1]), &view);
    if (view.length > 0) memcpy(bytes, view.data, view.length);
    memset(bytes + view.length, 0, length - view.length);
    if (operation == OPERATION_NOT) combine_bytes(operation, bytes, length, &view);
    for (uint32_t i = 2; i < call->key_count; i++) {
        bits_view(scope_peek(&reading, &call->keys[i]), &view);
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
    scope_remove(scope, key);
    reply_integer(reply, 0);
}

static void command_bitop(struct write_scope *scope, const struct call *call, struct reply *reply) {
    enum operation operation;
    size_t length = 0;
    if (!parse_operation(call, &operation, reply)) return;
    for (uint32_t i = 1; i < call->key_count; i++) {
        const struct entry *entry = scope_read(&scope->reading, &call->keys[i]);
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

static uint64_t work_of_setbit(const struct call *call, uint64_t size) {
    const struct bulk *offset = &call->arguments[2];
    int64_t bit;
    bool is_fine = number_parse(offset->data, offset->length, &bit) && bit >= 0;
    return is_fine ? work_of_growth((uint64_t)bit / 8 + 1, size) : 0;
}

/* ------------------------------------------------------------------ rows */

const struct command bits_commands[] = {
    {.name = "setbit",
     .arity = 4,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG_BY_ARGUMENTS,
     .work = work_of_setbit,
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
    {.name = NULL},
};
