/* Telling those who listen to changes. */
#ifndef SHARD_SCOPE_TELL_H
#define SHARD_SCOPE_TELL_H

#include "../store/shard.h"

static inline void listeners_before(const struct keyspace *keyspace, const struct key *key,
                                    const struct entry *entry) {
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before != NULL)
            keyspace->listeners[i].before(keyspace->listeners[i].context, key, entry);
}

static inline void listeners_changed(const struct keyspace *keyspace, const struct key *key,
                                     const struct entry *entry, enum event event) {
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL)
            keyspace->listeners[i].changed(keyspace->listeners[i].context, key, entry, event, 0);
}

#endif
