/* Telling those who listen to changes (listener.h). */
#ifndef SHARD_SCOPE_TELL_H
#define SHARD_SCOPE_TELL_H

#include <assert.h>

#include "../store/shard.h"
#include "scope.h"

/* One load where no listener wants to be told of changes. It is looked at as one looks for announcements
 * (rwlock_peek). */
static inline bool is_anybody_wanting(const struct keyspace *keyspace) {
    return atomic_load(&keyspace->wanting) != 0;
}
void tell_wanting_changed(struct write_scope *scope, const struct key *key, const struct entry *entry,
                          enum event event, bool is_new);
void tell_wanting_mentioned(const struct scope *scope, const struct key *key, enum event event);
void tell_each_before(struct write_scope *scope, const struct key *key, const struct entry *entry);

static inline void tell_before(struct write_scope *scope, const struct key *key, const struct entry *entry) {
    if (scope->scope.keyspace->shows_before) tell_each_before(scope, key, entry);
}

static inline void tell_changed(struct write_scope *scope, const struct key *key, const struct entry *entry,
                                enum event event, bool is_new) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    assert(!is_new || entry != NULL);
    scope->scope.lane->told++; /* the lane's: of a scope there may be copies, to read otherwise */
    if (is_anybody_wanting(keyspace)) tell_wanting_changed(scope, key, entry, event, is_new);
}

static inline void tell_mentioned(const struct scope *scope, const struct key *key, enum event event) {
    if (is_anybody_wanting(scope->keyspace)) tell_wanting_mentioned(scope, key, event);
}

static inline void tell_taken_back(const struct scope *scope, uint64_t told) {
    const struct keyspace *keyspace = scope->keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].taken_back != NULL)
            keyspace->listeners[i].taken_back(keyspace->listeners[i].context, scope, told);
}

static inline void tell_settled(const struct scope *scope) {
    const struct keyspace *keyspace = scope->keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].settled != NULL)
            keyspace->listeners[i].settled(keyspace->listeners[i].context, scope);
}

static inline void tell_before_all(struct write_scope *scope, const struct region *region) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before_all != NULL)
            keyspace->listeners[i].before_all(keyspace->listeners[i].context, scope, region);
}

static inline void tell_changed_all(struct write_scope *scope, const struct region *region) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed_all != NULL)
            keyspace->listeners[i].changed_all(keyspace->listeners[i].context, scope, region);
}

#endif
