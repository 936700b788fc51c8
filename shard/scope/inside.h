/* What the files of this room share; nobody else includes it. */
#ifndef SHARD_SCOPE_INSIDE_H
#define SHARD_SCOPE_INSIDE_H

#include "../store/shard.h"
#include "scope_take.h"

static inline void scope_begin(struct scope *scope, struct lane *lane, const struct shard_set *set,
                               int64_t now, bool is_exclusive) {
    scope->keyspace = lane->keyspace;
    scope->lane = lane;
    scope->now = now;
    scope->held = set;
    scope->look = NULL;
    scope->is_exclusive = is_exclusive;
    scope->counts_access = true;
    scope->is_silent = false;
    scope->is_editing = false;
    scope->changes = 0;
    scope->author = 0;
    scope->undo = NULL;
    lane->scopes++;
}

/* The shard is in the scope: what the analysis can't see in a set of locks is asserted here. */
struct shard *scope_shard_shared(const struct scope *scope, uint64_t hash);
struct shard *scope_shard_exclusive(const struct scope *scope, uint64_t hash);
/* Debug builds: the shard is one of those that the scope holds. */
void scope_assert_held(const struct scope *scope, const struct shard *shard);

/* Whether the key's home is still where it was found. */
static inline bool fetch_holds(const struct fetch *fetch, const struct lane *lane, const struct key *key,
                               uint32_t version) {
    return fetch != NULL && fetch->home.bucket != NULL && fetch->version == version &&
           fetch->voidings == lane->voidings && fetch->database == key->database;
}

/* The slot of a key whose shard is held. */
static inline __attribute__((always_inline)) slot *
scope_find_slot(const struct scope *scope, const struct shard *shard, const struct key *key)
    REQUIRES_SHARED(&shard->lock) {
    if (fetch_holds(key->fetch, scope->lane, key, rwlock_version(&shard->lock)))
        return home_find_slot(key->fetch->home, key);
    const struct table *table = shard_table(shard, key->database);
    return table == NULL ? NULL : table_find(table, key);
}

/* Removes the entry in that slot, as its time is up, and tells that it has expired. */
void scope_lapse(struct write_scope *scope, const struct key *key, slot *at);

/* The one thing that a shared holder writes to an entry: relaxed, and only if it changes. */
static inline void scope_note_use(const struct scope *scope, const struct entry *entry) {
    usage_note(scope->lane, (struct entry *)(uintptr_t)entry, scope->now);
}

/* The entry of a key as it is found without the lock: somebody may be changing it. The shard is noted, to be
 * asked in the end whether anybody was. NULL if it is absent, or if the look has failed. */
const struct entry *look_find(const struct scope *scope, const struct key *key);
/* What a command may see of what was found: the look's copy. NULL if it has expired, or if the look has
 * failed. */
const struct entry *look_show(const struct scope *scope, const struct entry *original);

/* Whether reads remove what has expired, so that listeners are told. */
static inline bool scope_tells_dead(const struct scope *scope) {
    return atomic_load_explicit(&scope->keyspace->tells_dead, memory_order_relaxed) > 0;
}

/* What has expired: whoever is told of it wants it to be removed, with the shard held. */
static inline void look_meets_dead(const struct scope *scope) {
    if (scope->look != NULL && scope_tells_dead(scope)) scope->look->is_failed = true;
}

#ifdef PLANT_TORN_MSET
/* Gives all shards back in the middle of a change of several keys, and takes them again. */
void scope_tear(struct scope *scope);
#endif

#endif
