#include "tell.h"

static bool is_wanting(const struct keyspace_listener *listener) {
    return listener->wanted == NULL || atomic_load(listener->wanted) != 0;
}

void tell_each_before(struct write_scope *scope, const struct key *key, const struct entry *entry) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before != NULL)
            keyspace->listeners[i].before(keyspace->listeners[i].context, scope, key, entry);
}

void tell_wanting_changed(struct write_scope *scope, const struct key *key, const struct entry *entry,
                          enum event event, bool is_new) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL && is_wanting(&keyspace->listeners[i]))
            keyspace->listeners[i].changed(keyspace->listeners[i].context, scope, key, entry, event, is_new);
}

void tell_wanting_mentioned(const struct scope *scope, const struct key *key, enum event event) {
    const struct keyspace *keyspace = scope->keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].mentioned != NULL && is_wanting(&keyspace->listeners[i]))
            keyspace->listeners[i].mentioned(keyspace->listeners[i].context, scope, key, event);
}
