/* Changing through a scope: the two ends of every change, and the ways to change in between. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/number.h"
#include "../entry/entry_layout.h"
#include "../state/shard.h"
#include "inside.h"
#include "scope_take.h"

static void tell_before(const struct edit *edit) {
    const struct keyspace *keyspace = edit->scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before != NULL)
            keyspace->listeners[i].before(keyspace->listeners[i].context, edit->key, edit->entry);
}

static void tell_changed(const struct edit *edit, enum event event) {
    const struct keyspace *keyspace = edit->scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL)
            keyspace->listeners[i].changed(keyspace->listeners[i].context, edit->key, edit->entry, event, 0);
}

static slot *slot_of(const struct edit *edit) {
    return (slot *)(uintptr_t)edit->place;
}

static struct table *table_of(const struct edit *edit) {
    shard_assert_shared(edit->shard);
    return shard_table(edit->shard, edit->key->database);
}

void scope_edit(struct write_scope *scope, const struct key *key, struct edit *edit) {
    assert(!scope->scope.is_editing && "one edit at a time");
    struct shard *shard = scope_shard_exclusive(&scope->scope, key->hash);
    *edit = (struct edit){.scope = scope, .key = key, .shard = shard};
    shard_assert_shared(shard);
    slot *at = scope_find_slot(&scope->scope, shard, key);
    scope->scope.is_editing = true;
    if (at != NULL) {
        edit->place = (uint64_t)(uintptr_t)at;
        edit->entry = slot_entry(at);
        if (slot_expires(at) && entry_expiry(edit->entry) <= scope->scope.now) {
            tell_before(edit);
            edit_remove(edit);
            tell_changed(edit, EVENT_EXPIRED);
            counter_add(&scope->scope.lane->expired, 1);
            edit->is_changed = false;
        }
    } else {
        eviction_expect(scope->scope.lane, key->hash);
    }
    tell_before(edit);
}

void scope_changed(struct edit *edit, enum event event) {
    struct scope *scope = &edit->scope->scope;
    assert(scope->is_editing);
    assert(!edit->is_open && "what was opened is closed");
    scope->is_editing = false;
    scope->changes++;
    counter_add(&scope->lane->changes, 1);
    if (edit->entry != NULL && scope->counts_access && !edit->is_new) scope_note_use(scope, edit->entry);
    tell_changed(edit, event);
#ifdef PLANT_TORN_MSET
    if (event == EVENT_SET) scope_tear(scope);
#endif
}

void scope_count_more(struct write_scope *scope, int64_t more) {
    assert(more >= 0 || scope->scope.changes >= (uint64_t)-more);
    scope->scope.changes += (uint64_t)more;
    counter_add(&scope->scope.lane->changes, (uint64_t)more);
}

void scope_unchanged(struct edit *edit) {
    assert(edit->scope->scope.is_editing);
    assert(!edit->is_changed && "a change is told by scope_changed");
    assert(!edit->is_open);
    edit->scope->scope.is_editing = false;
}

/* The database's table, made on first use. */
static struct table *table_ensure(struct edit *edit) {
    struct table *table = table_of(edit);
    if (table != NULL) return table;
    struct keyspace *keyspace = edit->scope->scope.keyspace;
    keyspace_use_database(keyspace, edit->key->database);
    table = table_create(edit->shard->number, keyspace->shard_bits, edit->scope->scope.lane);
    if (table != NULL)
        atomic_init(&table->access_epoch,
                    atomic_load_explicit(&keyspace->eviction.epoch, memory_order_relaxed));
    shard_assert_exclusive(edit->shard);
    if (table != NULL) shard_set_table(edit->shard, edit->key->database, table);
    return table;
}

/* Puts `entry` where the key's entry is or belongs. The present one, if any, has been taken out of the counts
 * and is retired by the caller. */
static bool edit_place(struct edit *edit, struct entry *entry) {
    struct lane *lane = edit->scope->scope.lane;
    if (edit->entry != NULL) {
        struct table *table = table_of(edit);
        access_write(entry, access_read(edit->entry));
        table_replace(slot_of(edit), entry);
        table_count(table, entry, lane);
    } else {
        struct table *table = table_ensure(edit);
        if (table == NULL || !table_reserve(table, lane)) return false;
        access_write(
            entry, eviction_first_access(lane, edit->key->hash, entry_bytes(entry), edit->scope->scope.now));
        edit->is_new = true;
        edit->place = (uint64_t)(uintptr_t)table_insert(table, edit->key->hash, entry, lane);
    }
    edit->entry = entry;
    edit->is_changed = true;
    return true;
}

/* The key's value becomes that of `entry`, which is freed by `release` if that fails. */
static bool edit_replace_or(struct edit *edit, struct entry *entry, void (*release)(struct entry *entry)) {
    if (entry == NULL) return false;
    struct entry *before = edit->entry;
    if (before != NULL) table_uncount(table_of(edit), before, edit->scope->scope.lane);
    if (!edit_place(edit, entry)) {
        release(entry);
        return false;
    }
    if (before != NULL) entry_retire(edit->scope->scope.lane, before);
    return true;
}

static bool edit_replace(struct edit *edit, struct entry *entry) {
    return edit_replace_or(edit, entry, entry_free);
}

static void free_shell(struct entry *entry) {
    free(entry);
}

/* What the entry refers to stays the caller's if it fails. */
static bool edit_replace_shell(struct edit *edit, struct entry *entry) {
    return edit_replace_or(edit, entry, free_shell);
}

/* The same value in another entry: the old one's memory apart has moved over, so only the rest of it is
 * retired. */
static bool edit_reshape(struct edit *edit, struct entry *entry) {
    if (entry == NULL) return false;
    struct entry *before = edit->entry;
    struct table *table = table_of(edit);
    table_uncount(table, before, edit->scope->scope.lane);
    edit_place(edit, entry);
    lane_retire(edit->scope->scope.lane, before, memory_size(before), NULL);
    return true;
}

/* A string over one of the same length and kind: no allocation. */
static bool edit_overwrite(struct edit *edit, const char *data, size_t length, int64_t expiry) {
    struct entry *entry = edit->entry;
    if (entry == NULL || entry->value_length != length) return false;
    if (entry->kind != (kind_of_string(length) | (expiry != ENTRY_NO_EXPIRY ? KIND_EXPIRES : 0)))
        return false;
    entry_store(entry, entry_value_place(entry), data, length);
    edit->is_changed = true;
    return true;
}

static int64_t kept_expiry(const struct edit *edit, bool keeps) {
    return keeps && edit->entry != NULL ? entry_expiry(edit->entry) : ENTRY_NO_EXPIRY;
}

bool edit_put_string(struct edit *edit, const char *data, size_t length, struct blob *blob,
                     bool keep_expiry) {
    if (length > UINT32_MAX) return false;
    int64_t expiry = kept_expiry(edit, keep_expiry), value;
    if (length <= BLOB_LEAST && !(length <= NUMBER_DIGITS && number_parse(data, length, &value)) &&
        edit_overwrite(edit, data, length, expiry))
        return true;
    return edit_replace(edit, entry_create_string(edit->key, expiry, data, length, blob, FORM_ANY));
}

bool edit_put_integer(struct edit *edit, int64_t value) {
    int64_t present;
    if (edit->entry != NULL && entry_type(edit->entry) == TYPE_STRING &&
        entry_integer(edit->entry, &present)) {
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
        edit->is_changed = true;
        return true;
    }
    return edit_replace(edit, entry_create_integer(edit->key, kept_expiry(edit, true), value));
}

bool edit_put_text(struct edit *edit, const char *data, size_t length) {
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, true), data, length, NULL, FORM_TEXT));
}

bool edit_put_raw(struct edit *edit, const char *data, size_t length, struct blob *blob, bool keep_expiry) {
    if (length > UINT32_MAX) return false;
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, keep_expiry), data, length, blob, FORM_RAW));
}

/* Room to grow into, so that a row of APPENDs copies each byte a bounded number of times: double, then a
 * megabyte at a time. */
static size_t roomy(size_t length) {
    return length < 1048576 ? length * 2 : length + 1048576;
}

/* The bytes of a grown string, if nobody else refers to them (a reply that is being sent, a copy of the key)
 * and there is room. */
static struct blob *own_blob(const struct entry *entry, size_t length) {
    if (entry == NULL || entry_encoding(entry) != ENCODING_GROWN) return NULL;
    struct blob *blob = entry_pointer(entry);
    /* Who refers to it from now on needs the lock; acquire, to be behind what others did who have let it
     * go. */
    bool is_own = atomic_load_explicit(&blob->references, memory_order_acquire) == 1;
    return is_own && blob->length >= length ? blob : NULL;
}

size_t scope_stretch_bytes(const struct write_scope *scope, const struct key *key, size_t length) {
    const struct read_scope reading = {scope->scope};
    const struct entry *entry = scope_peek(&reading, key);
    if (entry != NULL && entry_type(entry) != TYPE_STRING) return 0;
    size_t present = entry == NULL ? 0 : entry_string_length(entry);
    if (length < present) length = present;
    if (own_blob(entry, length) != NULL) return 0;
    return eviction_room_for(entry == NULL || length == present ? length : roomy(length));
}

char *edit_stretch_string(struct edit *edit, size_t length) {
    struct entry *entry = edit->entry;
    if (length > UINT32_MAX) return NULL;
    struct string_view view = {.data = "", .length = 0};
    if (entry != NULL) entry_string(entry, &view);
    assert(length >= view.length);
    struct blob *blob = own_blob(entry, length);
    if (blob != NULL) {
        memset(blob->data + view.length, 0, length - view.length);
        atomic_store_explicit((_Atomic uint32_t *)&entry->value_length, (uint32_t)length,
                              memory_order_relaxed);
        edit->is_changed = true;
        return blob->data;
    }
    /* Bytes of their own from here on: they are going to change, and may grow. */
    blob = blob_create(entry == NULL || length == view.length ? length : roomy(length));
    if (blob == NULL) return NULL;
    struct entry *grown = entry_create(TYPE_STRING, ENCODING_GROWN, edit->key, kept_expiry(edit, true),
                                       sizeof(void *), (uint32_t)length);
    if (grown == NULL) {
        blob_release(blob);
        return NULL;
    }
    if (view.length > 0) memcpy(blob->data, view.data, view.length);
    memset(blob->data + view.length, 0, length - view.length);
    entry_set_pointer(grown, blob);
    return edit_replace(edit, grown) ? blob->data : NULL;
}

bool edit_put_value(struct edit *edit, enum type type, void *value, bool keep_expiry) {
    return edit_replace_shell(edit,
                              entry_create_value(type, edit->key, kept_expiry(edit, keep_expiry), value));
}

void *edit_open_value(struct edit *edit) {
    assert(edit->entry != NULL && entry_encoding(edit->entry) == ENCODING_VALUE && !edit->is_open);
    table_uncount(table_of(edit), edit->entry, edit->scope->scope.lane);
    edit->is_open = true;
    return entry_pointer(edit->entry);
}

void edit_close_value(struct edit *edit, void *value, bool is_changed) {
    assert(edit->is_open);
    edit->is_open = false;
    if (value != entry_pointer(edit->entry))
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
    table_count(table_of(edit), edit->entry, edit->scope->scope.lane);
    if (is_changed) edit->is_changed = true;
}

bool edit_set_expiry(struct edit *edit, int64_t expiry) {
    struct entry *entry = edit->entry;
    assert(entry != NULL);
    if (entry_expires(entry) && expiry != ENTRY_NO_EXPIRY) {
        struct table *table = table_of(edit);
        table_uncount(table, entry, edit->scope->scope.lane);
        entry_store(entry, entry->rest, &expiry, sizeof expiry);
        table_count(table, entry, edit->scope->scope.lane);
        edit->is_changed = true;
        return true;
    }
    if (!entry_expires(entry) && expiry == ENTRY_NO_EXPIRY) {
        edit->is_changed = true;
        return true;
    }
    return edit_reshape(edit, entry_create_like(entry, edit->key, expiry, true));
}

bool edit_put_copy(struct edit *edit, const struct entry *source) {
    return edit_replace(edit, entry_create_like(source, edit->key, entry_expiry(source), false));
}

bool edit_put_moved(struct edit *edit, const struct entry *source) {
    return edit_replace_shell(edit, entry_create_like(source, edit->key, entry_expiry(source), true));
}

/* Takes the entry out of the table; what becomes of it is the caller's. */
static struct entry *edit_unlink(struct edit *edit) {
    struct entry *entry = edit->entry;
    table_remove(table_of(edit), slot_of(edit), edit->key->hash, edit->scope->scope.lane);
    edit->entry = NULL;
    edit->place = 0;
    edit->is_changed = true;
    return entry;
}

void edit_remove_moved(struct edit *edit) {
    struct entry *entry = edit_unlink(edit);
    lane_retire(edit->scope->scope.lane, entry, memory_size(entry), NULL);
}

void edit_remove(struct edit *edit) {
    if (edit->entry == NULL) return;
    entry_retire(edit->scope->scope.lane, edit_unlink(edit));
}
