/* Reading through a scope: finding a key's entry, whether its shard is held or only looked at, and what a
 * read leaves behind of itself. */
#include <assert.h>

#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "inside.h"
#include "scope_take.h"
#include "tell.h"

static const struct entry *find_held(const struct scope *scope, const struct key *key) {
    struct shard *shard = scope_shard_shared(scope, key->hash);
    shard_assert_shared(shard);
    const slot *at = scope_find_slot(scope, shard, key);
    if (at == NULL) return NULL;
    const struct entry *entry = slot_entry(at);
    if (slot_expires(at) && entry_expiry(entry) <= scope->now) return NULL;
    return entry;
}

static slot *find_dead(const struct scope *scope, const struct key *key) {
    struct shard *shard = scope_shard_shared(scope, key->hash);
    shard_assert_shared(shard);
    slot *at = scope_find_slot(scope, shard, key);
    return at != NULL && slot_expires(at) && entry_expiry(slot_entry(at)) <= scope->now ? at : NULL;
}

bool scope_meets_dead(const struct scope *scope, const struct key *key) {
    return find_dead(scope, key) != NULL;
}

/* The key is absent. If it has expired it is removed, where that is wanted and nothing that is being changed
 * can be moved by it; what is held exclusively is a scope to write through. */
static void remove_dead(const struct scope *scope, const struct key *key) {
    if (!scope_tells_dead(scope) || !scope->is_exclusive || scope->is_editing) return;
    slot *at = find_dead(scope, key);
    if (at != NULL) scope_lapse((struct write_scope *)(uintptr_t)scope, key, at);
}

/* By a look it isn't sure yet, so that it gives up, to be told of with the shard held. */
static __attribute__((noinline)) void miss(const struct scope *scope, const struct key *key) {
    bool is_told = atomic_load_explicit(&scope->keyspace->tells_misses, memory_order_relaxed) > 0;
    if (scope->look != NULL) {
        scope->look->is_failed = scope->look->is_failed || is_told;
        return;
    }
    remove_dead(scope, key);
    if (is_told && !scope->is_silent) tell_mentioned(scope, key, EVENT_KEYMISS);
}

/* The key's own entry; of what a look has found, only what look_at shows may be believed. */
static inline const struct entry *find(const struct scope *scope, const struct key *key) {
    return scope->look != NULL ? look_find(scope, key) : find_held(scope, key);
}

static inline const struct entry *shown(const struct scope *scope, const struct entry *original) {
    return scope->look != NULL && original != NULL ? look_show(scope, original) : original;
}

/* NULL: the key is absent. */
static inline void count_read(const struct scope *scope, const struct key *key,
                              const struct entry *original) {
    if (original == NULL) miss(scope, key);
    if (scope->look == NULL)
        counter_add(original != NULL ? &scope->lane->hits : &scope->lane->misses, 1);
    else if (original != NULL)
        scope->look->hits++;
    else
        scope->look->misses++;
    if (original != NULL && scope->counts_access) scope_note_use(scope, original);
}

const struct entry *scope_read(const struct read_scope *scope, const struct key *key) {
    const struct entry *original = find(&scope->scope, key), *entry = shown(&scope->scope, original);
    count_read(&scope->scope, key, entry != NULL ? original : NULL);
    return entry;
}

/* The header stays as it is while others can see the entry, but for its access (entry_layout.h). */
const struct entry *scope_read_string(const struct read_scope *read_scope, const struct key *key,
                                      struct plain_string *plain) {
    const struct scope *scope = &read_scope->scope;
    const struct entry *original = find(scope, key), *entry = NULL;
    plain->entry = NULL;
    if (original != NULL) {
        struct entry_header header = entry_read_header(original);
        enum encoding encoding = kind_encoding(header.kind);
        if (kind_type(header.kind) != TYPE_STRING ||
            (encoding != ENCODING_SHORT && encoding != ENCODING_INLINE))
            entry = shown(scope, original);
        else if ((header.kind & KIND_EXPIRES) == 0 || entry_read_expiry(original) > scope->now)
            *plain =
                (struct plain_string){original, header_key_offset(header) + key->length, header.value_length};
        else
            look_meets_dead(scope);
    }
    count_read(scope, key, entry != NULL || plain->entry != NULL ? original : NULL);
    return entry;
}

void plain_string_copy(const struct plain_string *plain, char *out) {
    words_copy(plain->entry, plain->offset, out, plain->length);
}

const struct entry *scope_peek(const struct read_scope *scope, const struct key *key) {
    return shown(&scope->scope, find(&scope->scope, key));
}

const struct entry *scope_view(const struct write_scope *scope, const struct key *key) {
    const struct entry *entry = find_held(&scope->scope, key);
    if (entry == NULL) remove_dead(&scope->scope, key);
    return entry;
}
