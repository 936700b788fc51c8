/* Who wants to know of changes. */
#ifndef SHARD_STORE_LISTENER_H
#define SHARD_STORE_LISTENER_H

#include "../base/key.h"
#include "../entry/entry.h"
#include "event.h"

struct keyspace;

/* Registered before threads attach, never removed. Called while the shard is
 * held exclusively, so it must not wait, and must not take a scope. */
struct keyspace_listener {
    /* scope_edit found the entry: its value before the change (NULL: absent). May be followed by
     * scope_unchanged. */
    void (*before)(void *context, const struct key *key, const struct entry *entry);
    /* scope_changed: what it is now (NULL: absent). For EVENT_FLUSH and EVENT_SWAP key->data is NULL and
     * key->database tells the database. EVENT_SWAP: all shards are held; called twice, once for each
     * database, with *other* set. EVENT_FLUSH: called for each shard that had a table of the database, as it
     * goes; key->hash is one of that shard's. */
    void (*changed)(void *context, const struct key *key, const struct entry *entry, enum event event,
                    uint32_t other);
    void *context;
};
void keyspace_listen(struct keyspace *keyspace, const struct keyspace_listener *listener);

#endif
