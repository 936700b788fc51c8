/* Telling those who listen to changes (listener.h). */
#ifndef SHARD_SCOPE_TELL_H
#define SHARD_SCOPE_TELL_H

#include <assert.h>

#include "../store/shard.h"
#include "scope.h"

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
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL)
            keyspace->listeners[i].changed(keyspace->listeners[i].context, scope, key, entry, event, is_new);
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
