#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/glob.h"

static bool take_value(const struct entry *entry, enum type type, const void **value, struct reply *reply) {
    *value = NULL;
    if (!check_type(entry, type, reply)) return false;
    if (entry != NULL) *value = entry_value(entry);
    return true;
}

bool value_read(const struct read_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply) {
    return take_value(scope_read(scope, key), type, value, reply);
}

bool value_view(const struct write_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply) {
    return take_value(scope_view(scope, key), type, value, reply);
}

bool value_open(struct write_scope *scope, const struct key *key, enum type type, struct opened *opened,
                struct reply *reply) {
    scope_edit(scope, key, &opened->edit);
    opened->type = type;
    opened->value = NULL;
    opened->was_there = opened->edit.entry != NULL;
    if (!check_type(opened->edit.entry, type, reply)) {
        scope_unchanged(&opened->edit);
        return false;
    }
    if (opened->was_there) opened->value = edit_open_value(&opened->edit);
    return true;
}

bool value_close(struct opened *opened, uint64_t changes, enum event event) {
    const struct value_kind *kind = value_kind(opened->type);
    struct edit *edit = &opened->edit;
    bool is_changed = changes > 0, is_empty = opened->value == NULL || kind->count(opened->value) == 0,
         is_kept = true;
    if (opened->was_there) {
        edit_close_value(edit, opened->value, is_changed);
        if (is_changed && is_empty && opened->type != TYPE_STREAM) edit_remove(edit);
    } else if (opened->value != NULL) {
        bool is_wanted = is_changed && (!is_empty || opened->type == TYPE_STREAM);
        is_kept = is_wanted && edit_put_value(edit, opened->type, opened->value, false);
        if (!is_kept) value_free(kind, opened->value);
        is_kept = is_kept || !is_wanted;
    }
    if (!edit->is_changed) {
        scope_unchanged(edit);
        return is_kept;
    }
    scope_changed(edit, event);
    if (changes > 1) scope_count_more(edit->scope, (int64_t)changes - 1);
    return is_kept;
}

bool value_store(struct write_scope *scope, const struct key *key, enum type type, void *value,
                 uint64_t changes, enum event event, struct reply *reply) {
    struct edit edit;
    const struct value_kind *kind = value_kind(type);
    scope_edit(scope, key, &edit);
    if (value == NULL || kind->count(value) == 0) {
        if (value != NULL) value_free(kind, value);
        if (edit.entry == NULL) {
            scope_unchanged(&edit);
            return true;
        }
        edit_remove(&edit);
        scope_changed(&edit, EVENT_DEL);
        return true;
    }
    if (edit_put_value(&edit, type, value, false)) {
        scope_changed(&edit, event);
        scope_count_more(scope, (int64_t)changes - 1);
        return true;
    }
    value_free(kind, value);
    scope_unchanged(&edit);
    reply_error(reply, ERROR_NO_MEMORY);
    return false;
}

void reply_element(struct reply *reply, const struct packed_text *text) {
    reply_bulk(reply, text->data, text->length);
}

bool reply_each(void *reply, const struct packed_text *text) {
    reply_element(reply, text);
    return true;
}

/* As strtoul reads it, to which a zero byte is the end. */
bool cursor_parse(const struct bulk *argument, uint64_t *cursor) {
    size_t at = 0, length = strnlen(argument->data, argument->length);
    bool is_negative = false;
    if (length > 0 && (argument->data[0] == '-' || argument->data[0] == '+')) {
        is_negative = argument->data[0] == '-';
        if (++at == length) return false;
    }
    for (*cursor = 0; at < length; at++) {
        if (argument->data[at] < '0' || argument->data[at] > '9') return false;
        if (__builtin_mul_overflow(*cursor, 10, cursor)) return false;
        if (__builtin_add_overflow(*cursor, (uint64_t)(argument->data[at] - '0'), cursor)) return false;
    }
    if (is_negative) *cursor = 0 - *cursor;
    return true;
}

static bool scan_options(const struct call *call, struct value_scan *scan, struct reply *reply) {
    for (uint32_t i = 3; i < call->count; i += 2) {
        const struct bulk *option = &call->arguments[i], *value = option + 1;
        bool has_value = i + 1 < call->count, is_known = false;
        if (has_value && argument_is(option, "COUNT")) {
            if (!argument_integer(value, &scan->count, reply, NULL)) return false;
            is_known = scan->count >= 1;
        } else if (has_value && argument_is(option, "MATCH")) {
            scan->pattern = value->length == 1 && value->data[0] == '*' ? NULL : value;
            is_known = true;
        }
        if (!is_known) {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* In Redis's order: of an absent key the options aren't read. */
bool value_scan_begin(const struct read_scope *scope, const struct call *call, enum type type,
                      struct value_scan *scan, const void **value, struct reply *reply) {
    *scan = (struct value_scan){.count = 10};
    if (!cursor_parse(&call->arguments[2], &scan->position)) {
        reply_error(reply, "ERR invalid cursor");
        return false;
    }
    if (!value_read(scope, &call->keys[0], type, value, reply)) return false;
    if (*value != NULL) return scan_options(call, scan, reply);
    reply_array(reply, 2);
    reply_bulk_integer(reply, 0);
    reply_array(reply, 0);
    return false;
}

void value_scan_reply(struct reply *reply, uint64_t next, struct reply *items, size_t count) {
    if (items->is_broken) {
        reply_error(reply, ERROR_NO_MEMORY);
    } else {
        reply_array(reply, 2);
        reply_bulk_integer(reply, (int64_t)next);
        reply_array(reply, count);
        reply_raw(reply, items->data, items->length);
    }
    reply_free(items);
}

bool value_scan_matches(const struct value_scan *scan, const struct packed_text *text) {
    return scan->pattern == NULL ||
           glob_matches(scan->pattern->data, scan->pattern->length, text->data, text->length, false);
}

/* ------------------------------------------------------------------ drawing several */

bool selection_takes(struct selection *selection) {
    bool takes = value_random(selection->left) < selection->wanted;
    selection->left--;
    if (takes) selection->wanted--;
    return takes;
}

bool pointers_init(struct pointers *pointers, uint64_t count) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    pointers->mask = slots - 1;
    pointers->slots = calloc(slots, sizeof *pointers->slots);
    return pointers->slots != NULL;
}

bool pointers_add(struct pointers *pointers, const void *pointer) {
    size_t at = (size_t)((uintptr_t)pointer * UINT64_C(0x9E3779B97F4A7C15) >> 20) & pointers->mask;
    for (; pointers->slots[at] != NULL; at = (at + 1) & pointers->mask)
        if (pointers->slots[at] == pointer) return false;
    pointers->slots[at] = pointer;
    return true;
}

void pointers_free(struct pointers *pointers) {
    free(pointers->slots);
}
