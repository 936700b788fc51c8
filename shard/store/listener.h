/* Listeners: rooms that want to know of changes.
 *
 * Nothing changes in the keyspace but between the two calls for it: `before` and `changed` of one key,
 * `before_all` and `changed_all` of all keys that a database has in a shard. They are called while the shard
 * is held exclusively, by the scope that they are given: so they must not wait, take a scope, or edit.
 *
 * A listener leaves NULL what it doesn't want to know. Registered before threads attach, never removed. */
#ifndef SHARD_STORE_LISTENER_H
#define SHARD_STORE_LISTENER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/key.h"
#include "../entry/entry.h"
#include "event.h"

struct keyspace;
struct scope;
struct write_scope;

/* All that a database has in a shard. */
struct region {
    uint32_t shard, database;
    enum event event; /* EVENT_FLUSH: it goes. EVENT_SWAP: it changes places with what `other` has there */
    uint32_t other;
};

struct keyspace_listener {
    /* The key's value as it is (NULL: absent). May be followed by no change. */
    void (*before)(void *context, struct write_scope *scope, const struct key *key,
                   const struct entry *entry);
    /* What it is now. is_new: it was absent before, and isn't any more. */
    void (*changed)(void *context, struct write_scope *scope, const struct key *key,
                    const struct entry *entry, enum event event, bool is_new);
    /* Its values are as they are, to be read through the scope (scope_scan, scope_peek). A swap is told for
     * both databases before anything moves; then for both when it has. Where a region has no table nothing is
     * told of a flush, and of a swap only if neither has one. */
    void (*before_all)(void *context, struct write_scope *scope, const struct region *region);
    void (*changed_all)(void *context, struct write_scope *scope, const struct region *region);
    void *context;
    /* Something is told of a key that has not just changed (scope_mention): it is held at least shared. */
    void (*mentioned)(void *context, const struct scope *scope, const struct key *key, enum event event);
    /* For those that keep what they hear: of what the lane has told (lane.h), all behind the first `told`
     * was taken back; and, when an outermost undo has ended, nothing more will be. */
    void (*taken_back)(void *context, const struct scope *scope, uint64_t told);
    void (*settled)(void *context, const struct scope *scope);
    /* While it is 0, it is not told of changes, nor of what is mentioned; nor before keyspace_want. NULL: it
     * always is. */
    const _Atomic uint32_t *wanted;
};
void keyspace_listen(struct keyspace *keyspace, const struct keyspace_listener *listener);

#endif
