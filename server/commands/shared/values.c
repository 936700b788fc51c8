#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "shard/value/kinds.h"

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
    return take_value(scope_read(&scope->reading, key), type, value, reply);
}

bool value_peek(const struct write_scope *scope, const struct key *key, enum type type, const void **value,
                struct reply *reply) {
    return take_value(scope_view(scope, key), type, value, reply);
}

bool value_open(struct write_scope *scope, const struct key *key, enum type type, struct opened *opened,
                struct reply *reply) {
    if (!undo_room(scope)) {
        reply_error(reply, ERROR_NO_MEMORY);
        return false;
    }
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
    if (value == NULL || kind->count(value) == 0) {
        if (value != NULL) value_free(kind, value);
        scope_remove(scope, key);
        return true;
    }
    scope_edit(scope, key, &edit);
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
