/* HyperLogLogs: strings with a meaning. PFCOUNT writes: it keeps what it has counted. */
#include "shard/value/hyperloglog.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shard/value/value.h"
#include "server/config/config.h"
#include "server/command/command.h"

#define ERROR_NOT_HLL "WRONGTYPE Key is not a valid HyperLogLog string value."
#define ERROR_CORRUPT "INVALIDOBJ Corrupted HLL object detected"

static size_t sparse_most(void) {
    return (size_t)atomic_load_explicit(&config.hll_sparse_max_bytes, memory_order_relaxed);
}

/* The bytes of an entry that is a HyperLogLog. Replies what is wrong and returns false. */
static bool view_hll(const struct entry *entry, struct string_view *view, struct reply *reply) {
    if (!check_string(entry, reply)) return false;
    entry_string(entry, view);
    if (hll_is_one(view->data, view->length)) return true;
    reply_error(reply, ERROR_NOT_HLL);
    return false;
}

/* Puts the bytes back. Ends the edit, with an error if there is no memory. */
static bool put_hll(struct edit *edit, const struct hll *hll, enum event event, struct reply *reply) {
    if (edit_put_raw(edit, (const char *)hll->bytes, hll->length, NULL, true)) {
        scope_changed(edit, event);
        return true;
    }
    scope_unchanged(edit);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

/* ------------------------------------------------------------------ PFADD */

/* Whether any element would raise a register. If none would, nothing is copied. */
static bool raises_any(const struct string_view *view, const struct call *call) {
    for (uint32_t i = 2; i < call->count; i++) {
        uint8_t rank, value = 0;
        uint32_t index = hll_register_of(call->arguments[i].data, call->arguments[i].length, &rank);
        if (!hll_register(view->data, view->length, index, &value) || value < rank) return true;
    }
    return false;
}

static bool add_dense(struct edit *edit, const struct call *call, struct reply *reply) {
    int64_t raised = 0;
    char *bytes = edit_stretch_string(edit, HLL_DENSE_BYTES);
    if (bytes == NULL) {
        scope_unchanged(edit);
        reply_error(reply, ERROR_NO_MEMORY);
        return false;
    }
    for (uint32_t i = 2; i < call->count; i++) {
        uint8_t rank;
        uint32_t index = hll_register_of(call->arguments[i].data, call->arguments[i].length, &rank);
        raised += hll_dense_raise(bytes, index, rank);
    }
    hll_make_stale(bytes);
    scope_changed(edit, EVENT_PFADD);
    scope_count_more(edit->scope, raised - 1);
    return true;
}

static void add_sparse(struct edit *edit, struct hll *hll, const struct call *call, struct reply *reply) {
    int64_t raised = edit->entry == NULL; /* that there is a HyperLogLog now counts as a change, too */
    for (uint32_t i = 2; i < call->count; i++) {
        uint8_t rank;
        uint32_t index = hll_register_of(call->arguments[i].data, call->arguments[i].length, &rank);
        enum hll_result result = hll_raise(hll, index, rank, sparse_most());
        raised += result == HLL_RAISED;
        if (result != HLL_CORRUPT) continue;
        scope_unchanged(edit);
        reply_error(reply, ERROR_CORRUPT);
        return;
    }
    hll_make_stale((char *)hll->bytes);
    if (!put_hll(edit, hll, EVENT_PFADD, reply)) return;
    scope_count_more(edit->scope, raised - 1);
    reply_integer(reply, 1);
}

static void command_pfadd(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    struct hll hll;
    struct string_view view;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry == NULL) {
        hll_init(&hll);
        add_sparse(&edit, &hll, call, reply);
        return;
    }
    if (!view_hll(edit.entry, &view, reply)) {
        scope_unchanged(&edit);
    } else if (!raises_any(&view, call)) {
        scope_unchanged(&edit);
        reply_integer(reply, 0);
    } else if (hll_is_dense(view.data)) {
        if (add_dense(&edit, call, reply)) reply_integer(reply, 1);
    } else if (hll_load(&hll, view.data, view.length)) {
        add_sparse(&edit, &hll, call, reply);
    } else {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_CORRUPT);
    }
}

/* ------------------------------------------------------------------ PFCOUNT, PFMERGE */

/* Raises the registers to the highest of all sources'. Replies what is wrong and returns false. */
static bool merge_keys(struct write_scope *scope, const struct key *keys, uint32_t count, uint8_t *registers,
                       bool *is_dense, struct reply *reply) {
    *is_dense = false;
    for (uint32_t i = 0; i < count; i++) {
        struct string_view view;
        const struct entry *entry = scope_read(&scope->reading, &keys[i]);
        if (entry == NULL) continue;
        if (!view_hll(entry, &view, reply)) return false;
        if (!hll_merge(view.data, view.length, registers)) {
            reply_error(reply, ERROR_CORRUPT);
            return false;
        }
        *is_dense = *is_dense || hll_is_dense(view.data);
    }
    return true;
}

/* The count is kept in the value, where the next PFCOUNT finds it. */
static void keep_count(struct edit *edit, const struct string_view *view, uint64_t count) {
    struct hll hll;
    bool is_kept;
    if (hll_is_dense(view->data)) {
        char *bytes = edit_stretch_string(edit, HLL_DENSE_BYTES);
        is_kept = bytes != NULL;
        if (is_kept) hll_cache(bytes, count);
    } else {
        is_kept = hll_load(&hll, view->data, view->length);
        if (is_kept) hll_cache((char *)hll.bytes, count);
        is_kept = is_kept && edit_put_raw(edit, (const char *)hll.bytes, hll.length, NULL, true);
    }
    if (is_kept)
        scope_changed(edit, EVENT_PFCOUNT);
    else
        scope_unchanged(edit);
}

static void count_one(struct write_scope *scope, const struct call *call, struct reply *reply) {
    uint8_t registers[HLL_REGISTERS] = {0};
    struct string_view view;
    struct edit edit;
    uint64_t count = 0;
    const struct entry *entry = scope_read(&scope->reading, &call->keys[0]);
    if (entry != NULL && !view_hll(entry, &view, reply)) return;
    if (entry == NULL || hll_cached(view.data, &count)) {
        reply_integer(reply, (int64_t)count);
        return;
    }
    scope_edit(scope, &call->keys[0], &edit);
    if (!hll_merge(view.data, view.length, registers)) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_CORRUPT);
    } else {
        count = hll_count(registers);
        keep_count(&edit, &view, count);
        reply_integer(reply, (int64_t)count);
    }
}

static void command_pfcount(struct write_scope *scope, const struct call *call, struct reply *reply) {
    uint8_t registers[HLL_REGISTERS] = {0};
    bool is_dense;
    if (call->key_count == 1)
        count_one(scope, call, reply);
    else if (merge_keys(scope, call->keys, call->key_count, registers, &is_dense, reply))
        reply_integer(reply, (int64_t)hll_count(registers));
}

static void command_pfmerge(struct write_scope *scope, const struct call *call, struct reply *reply) {
    uint8_t registers[HLL_REGISTERS] = {0};
    bool is_dense;
    struct edit edit;
    struct hll hll;
    struct string_view view;
    if (!merge_keys(scope, call->keys, call->key_count, registers, &is_dense, reply)) return;
    scope_edit(scope, &call->keys[0], &edit);
    bool is_fine = true;
    hll_init(&hll);
    if (edit.entry != NULL) {
        entry_string(edit.entry, &view);
        is_fine = hll_load(&hll, view.data, view.length);
    }
    if (is_fine && is_dense) is_fine = hll_make_dense(&hll);
    for (uint32_t i = 0; i < HLL_REGISTERS && is_fine; i++)
        if (registers[i] > 0) is_fine = hll_raise(&hll, i, registers[i], sparse_most()) != HLL_CORRUPT;
    if (!is_fine) {
        scope_unchanged(&edit);
        reply_error(reply, ERROR_CORRUPT);
        return;
    }
    hll_make_stale((char *)hll.bytes);
    if (put_hll(&edit, &hll, EVENT_PFADD, reply)) reply_ok(reply);
}

/* ------------------------------------------------------------------ PFDEBUG */

static void reply_registers(const struct hll *hll, struct reply *reply) {
    reply_array(reply, HLL_REGISTERS);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
        uint8_t value = 0;
        hll_register((const char *)hll->bytes, hll->length, i, &value);
        reply_integer(reply, value);
    }
}

/* An opcode in letters, "Z:12", "z:100" or "v:1,2", behind a blank if it isn't the first. Moves *at behind it
 * and returns its length. */
static size_t opcode_write(char out[32], const struct string_view *view, size_t *at) {
    const unsigned char *bytes = (const unsigned char *)view->data;
    const char *blank = *at == HLL_HEADER ? "" : " ";
    int opcode = bytes[(*at)++];
    if ((opcode & 0x80) != 0)
        return (size_t)snprintf(out, 32, "%sv:%d,%d", blank, (opcode >> 2 & 31) + 1, (opcode & 3) + 1);
    if ((opcode & 0x40) == 0) return (size_t)snprintf(out, 32, "%sz:%d", blank, (opcode & 0x3F) + 1);
    int low = *at < view->length ? bytes[(*at)++] : 0;
    return (size_t)snprintf(out, 32, "%sZ:%d", blank, ((opcode & 0x3F) << 8 | low) + 1);
}

/* Goes over the opcodes twice: for the length, and to write them into the reply. */
static void reply_opcodes(const struct string_view *view, struct reply *reply) {
    char text[32];
    size_t length = 0;
    for (size_t at = HLL_HEADER; at < view->length;) length += opcode_write(text, view, &at);
    char *space = reply_bulk_space(reply, length);
    if (space == NULL) return;
    for (size_t at = HLL_HEADER; at < view->length;) {
        size_t written = opcode_write(text, view, &at);
        memcpy(space, text, written);
        space += written;
    }
}

/* PFDEBUG GETREG and TODENSE, which make a sparse encoding a dense one. */
static void debug_dense(struct edit *edit, const struct string_view *view, bool wants_registers,
                        struct reply *reply) {
    bool is_dense = hll_is_dense(view->data);
    struct hll hll;
    if (!hll_load(&hll, view->data, view->length) || (!is_dense && !hll_make_dense(&hll))) {
        scope_unchanged(edit);
        reply_error(reply, ERROR_CORRUPT);
        return;
    }
    if (is_dense)
        scope_unchanged(edit);
    else if (!put_hll(edit, &hll, EVENT_PFCOUNT, reply))
        return;
    if (wants_registers)
        reply_registers(&hll, reply);
    else
        reply_integer(reply, !is_dense);
}

static void command_pfdebug(struct write_scope *scope, const struct call *call, struct reply *reply) {
    struct edit edit;
    struct string_view view;
    const struct bulk *what = &call->arguments[1];
    bool wants_registers = argument_is(what, "GETREG");
    int shown = what->length < 128 ? (int)what->length : 128;
    scope_edit(scope, &call->keys[0], &edit);
    if (edit.entry == NULL) {
        reply_error(reply, "ERR The specified key does not exist");
    } else if (!view_hll(edit.entry, &view, reply)) {
        /* it is replied */
    } else if (call->count != 3) {
        reply_error_format(reply, "ERR Wrong number of arguments for the '%.*s' subcommand", shown,
                           what->data);
    } else if (wants_registers || argument_is(what, "TODENSE")) {
        debug_dense(&edit, &view, wants_registers, reply);
        return;
    } else if (argument_is(what, "ENCODING")) {
        reply_status(reply, hll_is_dense(view.data) ? "dense" : "sparse");
    } else if (!argument_is(what, "DECODE")) {
        reply_error_format(reply, "ERR Unknown PFDEBUG subcommand '%.*s'", shown, what->data);
    } else if (hll_is_dense(view.data)) {
        reply_error(reply, "ERR HLL encoding is not sparse");
    } else {
        reply_opcodes(&view, reply);
    }
    scope_unchanged(&edit);
}

/* ------------------------------------------------------------------ PFSELFTEST */

#define RANK_MOST 51 /* bits of a hash that don't choose the register, and one */
#define ELEMENTS 100000

/* A dense register takes any rank, keeps the highest, and leaves its neighbors alone. */
static bool registers_are_apart(struct hll *hll) {
    uint8_t expected[HLL_REGISTERS] = {0}, value;
    hll_init(hll);
    if (!hll_make_dense(hll)) return false;
    for (uint32_t i = 0; i < 4 * HLL_REGISTERS; i++) {
        uint32_t index = (uint32_t)value_random(HLL_REGISTERS);
        uint8_t rank = (uint8_t)(1 + value_random(RANK_MOST));
        bool is_higher = rank > expected[index];
        if (hll_raise(hll, index, rank, 0) != (is_higher ? HLL_RAISED : HLL_SAME)) return false;
        if (is_higher) expected[index] = rank;
    }
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (!hll_register((const char *)hll->bytes, hll->length, i, &value) || value != expected[i])
            return false;
    return true;
}

static bool count_of(const struct hll *hll, uint64_t *count) {
    uint8_t registers[HLL_REGISTERS] = {0};
    if (!hll_merge((const char *)hll->bytes, hll->length, registers)) return false;
    *count = hll_count(registers);
    return true;
}

/* The standard error is 1.04 / sqrt(registers). Six of them never happen. */
static bool is_near(uint64_t count, uint64_t truth) {
    return fabs((double)count - (double)truth) <= ceil(6 * 1.04 / 128 * (double)truth);
}

/* Elements counted sparsely and densely come to the same number, which is near the truth. */
static bool counts_are_right(struct hll *sparse, struct hll *dense) {
    uint64_t checked = 1, one, other;
    hll_init(sparse);
    hll_init(dense);
    if (!hll_make_dense(dense)) return false;
    for (uint64_t i = 1; i <= ELEMENTS; i++) {
        uint8_t rank;
        uint32_t index = hll_register_of((const char *)&i, sizeof i, &rank);
        if (hll_raise(sparse, index, rank, sparse_most()) != hll_raise(dense, index, rank, 0)) return false;
        if (i != checked) continue;
        if (!count_of(sparse, &one) || !count_of(dense, &other) || one != other || !is_near(one, i))
            return false;
        checked *= 10;
    }
    return true;
}

static void command_pfselftest(const struct call *call, struct reply *reply) {
    struct hll one, other;
    (void)call;
    if (!registers_are_apart(&one))
        reply_error(reply, "TESTFAILED a register does not hold what was put into it");
    else if (!counts_are_right(&one, &other))
        reply_error(reply, "TESTFAILED a count is too far from the truth");
    else
        reply_ok(reply);
}

/* ------------------------------------------------------------------ rows */

const struct command hyperloglog_commands[] = {
    {.name = "pfadd",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST,
     .keys = {{KEY_RW | KEY_INSERT, 1, 0, 1}},
     .write = command_pfadd,
     .categories = "hyperloglog",
     .since = "2.8.9",
     .group = "hyperloglog",
     .complexity = "O(1) to add every element",
     .summary = "Counts elements in",
     .syntax = "key:key#0 [element:string...]"},
    {.name = "pfcount",
     .arity = -2,
     .flags = COMMAND_READONLY | COMMAND_LONG | COMMAND_MAY_REPLICATE,
     .keys = {{KEY_RW | KEY_ACCESS, 1, -1, 1, .notes = "The sum may be kept in the key"}},
     .write = command_pfcount,
     .categories = "hyperloglog",
     .since = "2.8.9",
     .group = "hyperloglog",
     .complexity = "O(1)",
     .summary = "Tells about how many different elements were counted",
     .syntax = "key:key#0..."},
    {.name = "pfmerge",
     .arity = -2,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_LONG,
     .keys = {{KEY_RW | KEY_ACCESS | KEY_INSERT, 1, 0, 1}, {KEY_RO | KEY_ACCESS, 2, -1, 1}},
     .write = command_pfmerge,
     .categories = "hyperloglog",
     .since = "2.8.9",
     .group = "hyperloglog",
     .complexity = "O(N) to merge N HyperLogLogs, but",
     .summary = "Puts several counts of elements together",
     .syntax = "destkey:key#0 [sourcekey:key#1...]"},
    {.name = "pfdebug",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_ADMIN | COMMAND_LONG | COMMAND_SYSTEM,
     .keys = {{KEY_RW | KEY_ACCESS, 2, 0, 1}},
     .write = command_pfdebug,
     .categories = "hyperloglog",
     .since = "2.8.9",
     .group = "hyperloglog",
     .complexity = "N/A",
     .summary = "Looks into how elements are counted",
     .syntax = "subcommand:string key:key#0"},
    {.name = "pfselftest",
     .arity = 1,
     .flags = COMMAND_ADMIN | COMMAND_LONG | COMMAND_SYSTEM,
     .plain = command_pfselftest,
     .categories = "hyperloglog",
     .since = "2.8.9",
     .group = "hyperloglog",
     .complexity = "N/A",
     .summary = "Tests the counting itself"},
    {.name = NULL},
};
