/* Telling those who listen to changes (listener.h). */
#ifndef SHARD_SCOPE_TELL_H
#define SHARD_SCOPE_TELL_H

#include <assert.h>

#include "../store/shard.h"
#include "scope.h"

static inline bool listener_is_on(const struct keyspace_listener *listener) {
    return listener->wanted == NULL || atomic_load(listener->wanted) != 0;
}

static inline void tell_before(struct write_scope *scope, const struct key *key, const struct entry *entry) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before != NULL)
            keyspace->listeners[i].before(keyspace->listeners[i].context, scope, key, entry);
}

static inline void tell_changed(struct write_scope *scope, const struct key *key, const struct entry *entry,
                                enum event event, bool is_new) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    assert(!is_new || entry != NULL);
    scope->scope.told++;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL && listener_is_on(&keyspace->listeners[i]))
            keyspace->listeners[i].changed(keyspace->listeners[i].context, scope, key, entry, event, is_new);
}

static inline void tell_mentioned(const struct scope *scope, const struct key *key, enum event event) {
    const struct keyspace *keyspace = scope->keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].mentioned != NULL && listener_is_on(&keyspace->listeners[i]))
            keyspace->listeners[i].mentioned(keyspace->listeners[i].context, scope, key, event);
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
