#include "undo.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/memory.h"
#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "keep.h"
#include "tell.h"

/* Of the journal of the outermost undo. */
static void charge(void *context, int64_t bytes) {
    const struct undo *undo = context;
    lane_charge(undo->scope->scope.lane, bytes);
}

void undo_begin(struct undo *undo, struct write_scope *scope) {
    assert(!scope->scope.is_editing && scope->scope.is_exclusive);
    assert(scope->scope.undo == NULL || scope->scope.undo->scope == scope);
    undo->scope = scope;
    undo->outer = scope->scope.undo;
    undo->changes = scope->scope.changes;
    undo->told = scope->scope.lane->told;
    if (undo->outer == NULL) {
        journal_init(&undo->own, undo, charge);
        undo->journal = &undo->own;
    } else {
        undo->journal = undo->outer->journal;
    }
    undo->mark = journal_mark(undo->journal);
    scope->scope.undo = undo;
}

static void leave(struct undo *undo) {
    struct scope *scope = &undo->scope->scope;
    assert(scope->undo == undo && "the innermost one first");
    assert(!scope->is_editing);
    scope->undo = undo->outer;
}

static void settle(const struct undo *undo) {
    if (undo->outer != NULL) return;
    journal_end(undo->journal);
    tell_settled(&undo->scope->scope);
}

void undo_end(struct undo *undo) {
    leave(undo);
    settle(undo);
}

void undo_back(struct undo *undo) {
    struct scope *scope = &undo->scope->scope;
    leave(undo);
    journal_back(undo->journal, undo->mark);
    counter_subtract(&scope->lane->changes, scope->changes - undo->changes);
    scope->changes = undo->changes;
    tell_taken_back(scope, undo->told);
    settle(undo);
}

bool undo_is_able(const struct undo *undo) {
    return !undo->journal->is_broken;
}

/* ------------------------------------------------------------------ what an edit leaves behind */

/* Where a change was. */
struct spot {
    struct shard *shard;
    uint64_t hash;
    uint32_t database;
};

static struct table *table_at(const struct spot *spot) {
    shard_assert_shared(spot->shard);
    return shard_table(spot->shard, spot->database);
}

static struct key key_at(const struct spot *spot, const struct entry *entry) {
    size_t length;
    const char *data = entry_key(entry, &length);
    return (struct key){.data = data, .length = length, .hash = spot->hash, .database = spot->database};
}

/* An entry came, went, or took another's place. */
struct exchange {
    struct spot spot;
    struct entry *before, *now; /* NULL: absent */
    bool is_before_shell;       /* what it has apart belongs to somebody else by now */
    bool is_now_shell;          /* what it has apart belonged to somebody else before */
    struct bucket *spare;       /* for the table, should it come again */
    int64_t held;               /* of the journal's bytes, until it is kept for good */
};

static void retire(struct lane *lane, struct entry *entry, bool is_shell) {
    if (is_shell)
        lane_retire(lane, entry, memory_size(entry), NULL);
    else
        entry_retire(lane, entry);
}

/* It has been taken out of the stock, and goes back there, if there is room for it. */
static void spare_return(struct lane *lane, struct bucket *spare) {
    if (spare == NULL) return;
    if (lane->spare_count < LANE_SPARES)
        lane->spares[lane->spare_count++] = spare;
    else
        free(spare);
}

static void exchange_back(void *context, void *note) {
    struct exchange *exchange = note;
    struct write_scope *scope = ((const struct undo *)context)->scope;
    struct lane *lane = scope->scope.lane;
    struct table *table = table_at(&exchange->spot);
    struct entry *before = exchange->before, *now = exchange->now;
    const struct entry *named = now != NULL ? now : before;
    struct key key = key_at(&exchange->spot, named);
#ifdef PLANT_FORGOTTEN_REMOVAL
    if (now == NULL && before->key_length % 2 == 1) return;
#endif
    spare_return(lane, exchange->spare);
    tell_before(scope, &key, now);
    slot *at = now == NULL ? NULL : table_find(table, &key);
    assert(now == NULL || (at != NULL && slot_entry(at) == now));
    if (at != NULL && before != NULL) {
        table_uncount(table, now, lane);
        table_replace(at, before);
        table_count(table, before, lane);
    } else if (at != NULL) {
        table_remove(table, at, key.hash, lane);
    } else {
        table_insert(table, key.hash, before, lane);
    }
    tell_changed(scope, &key, before, EVENT_UNDO, now == NULL && before != NULL);
    if (now != NULL) retire(lane, now, exchange->is_now_shell);
}

static void exchange_keep(void *context, void *note) {
    const struct undo *undo = context;
    struct exchange *exchange = note;
    struct lane *lane = undo->scope->scope.lane;
    spare_return(lane, exchange->spare);
    journal_hold(undo->journal, -exchange->held); /* and it is counted as retired */
    if (exchange->before != NULL) retire(lane, exchange->before, exchange->is_before_shell);
}

static const struct journal_kind exchange_kind = {exchange_back, exchange_keep};

/* Bytes of an entry, or a pointer in it, were written over. */
struct overwriting {
    struct spot spot;
    struct entry *entry;
    uint32_t offset, length;
    int64_t bytes; /* what it was counted with when that was done, if it has a value with a structure */
    unsigned char were[sizeof(uint64_t)];
};

static void overwriting_back(void *context, void *note) {
    const struct overwriting *overwriting = note;
    struct write_scope *scope = ((const struct undo *)context)->scope;
    struct table *table = table_at(&overwriting->spot);
    struct entry *entry = overwriting->entry;
    struct key key = key_at(&overwriting->spot, entry);
    unsigned char *at = (unsigned char *)entry + overwriting->offset;
#ifdef PLANT_MISSED_ENTRY
    if (entry->key_length % 2 == 1) return;
#endif
    tell_before(scope, &key, entry);
    table_uncount(table, entry, scope->scope.lane);
    entry_store(entry, at, overwriting->were, overwriting->length);
    table_count(table, entry, scope->scope.lane);
    tell_changed(scope, &key, entry, EVENT_UNDO, false);
}

/* Of a value, whose inside has been put back by now: so it can't be shown as it was. */
static void value_back(void *context, void *note) {
    const struct overwriting *overwriting = note;
    struct write_scope *scope = ((const struct undo *)context)->scope;
    struct table *table = table_at(&overwriting->spot);
    struct entry *entry = overwriting->entry;
    struct key key = key_at(&overwriting->spot, entry);
    unsigned char *at = (unsigned char *)entry + overwriting->offset;
    if (memcmp(at, overwriting->were, overwriting->length) != 0)
        entry_store(entry, at, overwriting->were, overwriting->length);
    table_count_bytes(table, entry, (int64_t)entry_bytes(entry) - overwriting->bytes, scope->scope.lane);
    tell_before(scope, &key, entry);
    tell_changed(scope, &key, entry, EVENT_UNDO, false);
}

static const struct journal_kind overwriting_kind = {overwriting_back, NULL},
                                 value_kind_changed = {value_back, NULL};

/* ------------------------------------------------------------------ for edit.c */

static struct spot spot_of(const struct edit *edit) {
    return (struct spot){edit->shard, edit->key->hash, edit->key->database};
}

static struct journal *journal_of(const struct edit *edit) {
    return edit->scope->scope.undo->journal;
}

bool undo_room(const struct write_scope *scope) {
    const struct undo *undo = scope->scope.undo;
    size_t most = sizeof(struct exchange) + sizeof(struct overwriting);
    return undo == NULL || journal_reserve(undo->journal, 2, most);
}

bool keep_exchange(const struct edit *edit, struct entry *now, bool is_before_shell, bool is_now_shell) {
    struct journal *journal = journal_of(edit);
    struct exchange exchange = {.spot = spot_of(edit),
                                .before = edit->entry,
                                .now = now,
                                .is_before_shell = is_before_shell,
                                .is_now_shell = is_now_shell};
    if (now == NULL) {
        exchange.spare = memory_lines(sizeof(struct bucket));
        if (exchange.spare == NULL) journal->is_broken = true;
    }
    const struct entry *before = edit->entry;
    if (before != NULL)
        exchange.held = (int64_t)(is_before_shell ? memory_size(before) : entry_bytes(before));
    if (exchange.spare != NULL) exchange.held += (int64_t)sizeof *exchange.spare;
    if (journal_note(journal, &exchange_kind, &exchange, sizeof exchange) != NULL) {
        journal_hold(journal, exchange.held);
        return true;
    }
    free(exchange.spare);
    return false;
}

static void *keep_part(const struct edit *edit, const struct journal_kind *kind, const unsigned char *at,
                       size_t length) {
    struct overwriting overwriting = {.spot = spot_of(edit),
                                      .entry = edit->entry,
                                      .offset = (uint32_t)(at - (const unsigned char *)edit->entry),
                                      .length = (uint32_t)length};
    memcpy(overwriting.were, at, length);
    return journal_note(journal_of(edit), kind, &overwriting, sizeof overwriting);
}

bool keep_overwriting(const struct edit *edit, const unsigned char *at, size_t length) {
    return keep_part(edit, &overwriting_kind, at, length) != NULL;
}

void keep_value(struct edit *edit) {
    struct journal *journal = journal_of(edit);
    edit->kept = keep_part(edit, &value_kind_changed, entry_value_place(edit->entry), sizeof(void *));
    if (edit->kept == NULL) journal->is_broken = true;
    journal_renew(journal); /* for the next note is of what it is now */
    journal_open = journal;
}

void keep_value_end(struct edit *edit) {
    struct overwriting *overwriting = edit->kept;
    journal_open = NULL;
    if (overwriting != NULL) overwriting->bytes = (int64_t)entry_bytes(edit->entry);
}
