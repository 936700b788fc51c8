/* Changing through a scope: the two ends of every change, and the ways to change in between. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../base/number.h"
#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "inside.h"
#include "keep.h"
#include "scope_take.h"
#include "tell.h"

static bool has_undo(const struct edit *edit) {
    return edit->scope->scope.undo != NULL;
}

static slot *slot_of(const struct edit *edit) {
    return (slot *)(uintptr_t)edit->place;
}

static struct table *table_of(const struct edit *edit) {
    shard_assert_shared(edit->shard);
    return shard_table(edit->shard, edit->key->database);
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

/* With whatever is there. Returns its slot. */
static inline slot *begin(struct write_scope *scope, const struct key *key, struct edit *edit) {
    assert(!scope->scope.is_editing && "one edit at a time");
    struct shard *shard = scope_shard_exclusive(&scope->scope, key->hash);
    *edit = (struct edit){.scope = scope, .key = key, .shard = shard};
    shard_assert_shared(shard);
    slot *at = scope_find_slot(&scope->scope, shard, key);
    scope->scope.is_editing = true;
    if (at == NULL) return NULL;
    edit->place = (uint64_t)(uintptr_t)at;
    edit->entry = slot_entry(at);
    return at;
}

void scope_edit(struct write_scope *scope, const struct key *key, struct edit *edit) {
    slot *at = begin(scope, key, edit);
    if (at == NULL) {
        usage_expect(scope->scope.lane, key->hash);
    } else if (slot_expires(at) && entry_expiry(edit->entry) <= scope->scope.now) {
        scope_lapse(scope, key, at);
        edit->entry = NULL;
        edit->place = 0;
    }
    tell_before(scope, key, edit->entry);
}

void scope_changed(struct edit *edit, enum event event) {
    struct scope *scope = &edit->scope->scope;
    assert(scope->is_editing);
    assert(!edit->is_open && "what was opened is closed");
    scope->is_editing = false;
    scope->changes++;
    counter_add(&scope->lane->changes, 1);
    if (edit->entry != NULL && scope->counts_access && !edit->is_new) scope_note_use(scope, edit->entry);
    tell_changed(edit->scope, edit->key, edit->entry, event, edit->is_new && edit->entry != NULL);
#ifdef PLANT_TORN_MSET
    if (event == EVENT_SET) scope_tear(scope);
#endif
}

void scope_count_more(struct write_scope *scope, int64_t more) {
    assert(more >= 0 || scope->scope.changes >= (uint64_t)-more);
    scope->scope.changes += (uint64_t)more;
    counter_add(&scope->scope.lane->changes, (uint64_t)more);
}

void scope_mention(const struct scope *scope, const struct key *key, enum event event) {
    assert(scope->look == NULL && "nobody may be told of what is perhaps not so");
    tell_mentioned(scope, key, event);
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
        atomic_init(&table->access_epoch, atomic_load_explicit(&keyspace->usage.epoch, memory_order_relaxed));
    shard_assert_exclusive(edit->shard);
    if (table != NULL) shard_set_table(edit->shard, edit->key->database, table);
    return table;
}

/* Puts `entry` where the key's entry is or belongs. The present one, if any, has been taken out of the
 * counts and is retired by the caller, which has told the undo of it; if there is none, that is told here:
 * the entry is a shell if what it has apart is another's, too. */
static bool edit_place(struct edit *edit, struct entry *entry, bool is_shell) {
    struct lane *lane = edit->scope->scope.lane;
    if (edit->entry != NULL) {
        struct table *table = table_of(edit);
        access_write(entry, access_read(edit->entry));
        table_replace(slot_of(edit), entry);
        table_count(table, entry, lane);
    } else {
        struct table *table = table_ensure(edit);
        if (table == NULL || !table_reserve(table, lane)) return false;
        if (has_undo(edit) && !keep_exchange(edit, entry, false, is_shell)) return false;
        access_write(entry, usage_of_new(lane, edit->key->hash, entry_bytes(entry), edit->scope->scope.now));
        edit->is_new = true;
        edit->place = (uint64_t)(uintptr_t)table_insert(table, edit->key->hash, entry, lane);
    }
    edit->entry = entry;
    edit->is_changed = true;
    return true;
}

/* How an entry is made from another. */
enum sharing {
    SHARES_NOTHING,
    SHARES_OTHERS, /* what it has apart belongs to another key's entry, or to the caller, until it is in */
    SHARES_OWN     /* what it has apart is that of the key's present entry */
};

/* The key's value becomes that of `entry`. */
static bool replace(struct edit *edit, struct entry *entry, enum sharing sharing) {
    struct lane *lane = edit->scope->scope.lane;
    struct entry *before = edit->entry;
    bool is_kept = has_undo(edit);
    if (before == NULL) return edit_place(edit, entry, sharing != SHARES_NOTHING);
    if (is_kept && !keep_exchange(edit, entry, sharing == SHARES_OWN, sharing != SHARES_NOTHING))
        return false;
    table_uncount(table_of(edit), before, lane);
    edit_place(edit, entry, false);
    if (is_kept) return true;
    if (sharing == SHARES_OWN)
        lane_retire(lane, before, memory_size(before), NULL);
    else
        entry_retire(lane, before);
    return true;
}

/* If it fails, the entry is freed, but not what it shares. */
static bool edit_replace(struct edit *edit, struct entry *entry, enum sharing sharing) {
    if (entry == NULL) return false;
    if (replace(edit, entry, sharing)) return true;
    if (sharing == SHARES_NOTHING)
        entry_free(entry);
    else
        free(entry);
    return false;
}

/* Not for one that comes or goes. */
static void write_expiry(struct edit *edit, int64_t expiry) {
    struct entry *entry = edit->entry;
    struct table *table = table_of(edit);
    table_uncount(table, entry, edit->scope->scope.lane);
    entry_store(entry, entry->rest, &expiry, sizeof expiry);
    table_count(table, entry, edit->scope->scope.lane);
}

/* A string over one of the same length and kind: no allocation. Where it may have to be taken back, the
 * present one stays as it is. */
static bool edit_overwrite(struct edit *edit, const char *data, size_t length, int64_t expiry) {
    struct entry *entry = edit->entry;
    if (entry == NULL || entry->value_length != length || has_undo(edit)) return false;
    if (entry->kind != (kind_of_string(length) | (expiry != ENTRY_NO_EXPIRY ? KIND_EXPIRES : 0)))
        return false;
    if (expiry != ENTRY_NO_EXPIRY && expiry != entry_expiry(entry)) write_expiry(edit, expiry);
    entry_store(entry, entry_value_place(entry), data, length);
    edit->is_changed = true;
    return true;
}

static int64_t kept_expiry(const struct edit *edit, bool keeps) {
    return keeps && edit->entry != NULL ? entry_expiry(edit->entry) : ENTRY_NO_EXPIRY;
}

bool edit_put_string_until(struct edit *edit, const char *data, size_t length, struct blob *blob,
                           int64_t expiry) {
    int64_t value;
    if (length > UINT32_MAX) return false;
    if (length <= BLOB_LEAST && !(length <= NUMBER_DIGITS && number_parse(data, length, &value)) &&
        edit_overwrite(edit, data, length, expiry))
        return true;
    return edit_replace(edit, entry_create_string(edit->key, expiry, data, length, blob, FORM_ANY),
                        SHARES_NOTHING);
}

bool edit_put_string(struct edit *edit, const char *data, size_t length, struct blob *blob,
                     bool keep_expiry) {
    return edit_put_string_until(edit, data, length, blob, kept_expiry(edit, keep_expiry));
}

bool edit_put_integer(struct edit *edit, int64_t value) {
    int64_t present;
    if (edit->entry != NULL && entry_type(edit->entry) == TYPE_STRING &&
        entry_integer(edit->entry, &present)) {
        if (has_undo(edit) && !keep_overwriting(edit, entry_value_place(edit->entry), sizeof value))
            return false;
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
        edit->is_changed = true;
        return true;
    }
    return edit_replace(edit, entry_create_integer(edit->key, kept_expiry(edit, true), value),
                        SHARES_NOTHING);
}

bool edit_put_text(struct edit *edit, const char *data, size_t length) {
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, true), data, length, NULL, FORM_TEXT),
        SHARES_NOTHING);
}

bool edit_put_raw(struct edit *edit, const char *data, size_t length, struct blob *blob, bool keep_expiry) {
    if (length > UINT32_MAX) return false;
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, keep_expiry), data, length, blob, FORM_RAW),
        SHARES_NOTHING);
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
    /* A reference made from now on needs the lock; acquire, to be behind what those did that have let it
     * go. */
    bool is_own = atomic_load_explicit(&blob->references, memory_order_acquire) == 1;
    return is_own && blob->length >= length ? blob : NULL;
}

size_t scope_stretch_bytes(const struct write_scope *scope, const struct key *key, size_t length) {
    const struct entry *entry = scope_peek(&scope->reading, key);
    if (entry != NULL && entry_type(entry) != TYPE_STRING) return 0;
    size_t present = entry == NULL ? 0 : entry_string_length(entry);
    if (length < present) length = present;
    if (own_blob(entry, length) != NULL) return 0;
    return entry_room_for(entry == NULL || length == present ? length : roomy(length));
}

char *edit_stretch_string(struct edit *edit, size_t length) {
    struct entry *entry = edit->entry;
    if (length > UINT32_MAX) return NULL;
    struct string_view view = {.data = "", .length = 0};
    if (entry != NULL) entry_string(entry, &view);
    assert(length >= view.length);
    /* With an undo it stays as it is, and there is another one. */
    struct blob *blob = has_undo(edit) ? NULL : own_blob(entry, length);
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
    return edit_replace(edit, grown, SHARES_NOTHING) ? blob->data : NULL;
}

bool edit_put_value(struct edit *edit, enum type type, void *value, bool keep_expiry) {
    struct entry *entry = entry_create_value(type, edit->key, kept_expiry(edit, keep_expiry), value);
    if (entry == NULL) return false;
    if (replace(edit, entry, SHARES_NOTHING)) return true;
    free(entry);
    return false;
}

void *edit_open_value(struct edit *edit) {
    assert(edit->entry != NULL && entry_encoding(edit->entry) == ENCODING_VALUE && !edit->is_open);
    table_uncount(table_of(edit), edit->entry, edit->scope->scope.lane);
    edit->is_open = true;
    if (has_undo(edit)) keep_value(edit);
    return entry_pointer(edit->entry);
}

void edit_close_value(struct edit *edit, void *value, bool is_changed) {
    assert(edit->is_open);
    edit->is_open = false;
    if (value != entry_pointer(edit->entry))
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
    table_count(table_of(edit), edit->entry, edit->scope->scope.lane);
    if (has_undo(edit)) keep_value_end(edit);
    if (is_changed) edit->is_changed = true;
}

bool edit_set_expiry(struct edit *edit, int64_t expiry) {
    struct entry *entry = edit->entry;
    assert(entry != NULL);
    if (entry_expires(entry) && expiry != ENTRY_NO_EXPIRY) {
        if (has_undo(edit) && !keep_overwriting(edit, entry->rest, sizeof expiry)) return false;
        write_expiry(edit, expiry);
        edit->is_changed = true;
        return true;
    }
    if (!entry_expires(entry) && expiry == ENTRY_NO_EXPIRY) {
        edit->is_changed = true;
        return true;
    }
    return edit_replace(edit, entry_create_like(entry, edit->key, expiry, true), SHARES_OWN);
}

bool edit_put_copy(struct edit *edit, const struct entry *source) {
    return edit_replace(edit, entry_create_like(source, edit->key, entry_expiry(source), false),
                        SHARES_NOTHING);
}

bool edit_put_moved(struct edit *edit, const struct entry *source) {
    return edit_replace(edit, entry_create_like(source, edit->key, entry_expiry(source), true),
                        SHARES_OTHERS);
}

/* With an undo the entry goes there, and from there where it would have gone. */
static void remove_entry(struct edit *edit, bool is_shell) {
    struct lane *lane = edit->scope->scope.lane;
    bool is_kept = has_undo(edit) && keep_exchange(edit, NULL, is_shell, false);
    struct entry *entry = edit_unlink(edit);
    if (is_kept) return;
    if (is_shell)
        lane_retire(lane, entry, memory_size(entry), NULL);
    else
        entry_retire(lane, entry);
}

void edit_remove_moved(struct edit *edit) {
    remove_entry(edit, true);
}

void edit_remove(struct edit *edit) {
    if (edit->entry != NULL) remove_entry(edit, false);
}

void scope_remove(struct write_scope *scope, const struct key *key) {
    struct edit edit;
    (void)begin(scope, key, &edit);
    tell_before(scope, key, edit.entry);
    if (edit.entry == NULL) {
        scope_unchanged(&edit);
        return;
    }
    edit_remove(&edit);
    scope_changed(&edit, EVENT_DEL);
}
