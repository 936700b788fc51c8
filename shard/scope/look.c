/* Looking without the lock: what an optimistic scope finds, the copies it makes of it, and whether all of
 * that was there at one moment. */
#include <assert.h>

#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "inside.h"
#include "scope_take.h"

void scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now) {
    assert(lane_is_inside(lane));
    look->count = look->hits = look->misses = 0;
    look->used = 0;
    look->is_failed = look->is_long = false;
    scope_begin(&scope->scope, lane, NULL, now, false);
    scope->scope.look = look;
}

/* Each shard is unchanged since before anything was read of it, so the moment before the first check is one
 * at which all was there. */
inline bool scope_end_look(struct read_scope *scope) {
    struct look *look = scope->scope.look;
    struct lane *lane = scope->scope.lane;
    lane->scopes--;
    scope->scope.keyspace = NULL;
#ifdef PLANT_LATE_VERSION
    for (uint32_t i = 0; i < look->count; i++) rwlock_peek(look->seen[i].lock, &look->seen[i].version);
#endif
    for (uint32_t i = 0; i < look->count && !look->is_failed; i++)
        look->is_failed = !rwlock_is_unchanged(look->seen[i].lock, look->seen[i].version);
    if (look->is_failed) {
        counter_add(&lane->failed_looks, 1);
        return false;
    }
    counter_add(&lane->looks, 1);
    counter_add(&lane->hits, look->hits);
    counter_add(&lane->misses, look->misses);
    return true;
}

/* The copy that a look keeps of an entry, or NULL if there is no room. */
static const struct entry *look_copy(struct look *look, const struct entry *entry) {
    uint64_t *place = look->copies + look->used / sizeof(uint64_t);
    size_t bytes = entry_copy_words(entry, place, sizeof look->copies - look->used);
    if (bytes == 0) return NULL;
    look->used += bytes;
    return (const struct entry *)place;
}

const struct entry *look_find(const struct scope *scope, const struct key *key) {
    struct look *look = scope->look;
    const struct shard *shard = keyspace_shard(scope->keyspace, key->hash);
    const struct fetch *fetch = key->fetch;
    uint32_t version;
    if (look->is_failed || look->count == LOOK_SHARDS || !rwlock_peek(&shard->lock, &version)) {
        look->is_failed = true;
        return NULL;
    }
    look->seen[look->count].lock = &shard->lock;
    look->seen[look->count++].version = version;
    if (fetch_holds(fetch, scope->lane, key, version)) return home_find(fetch->home, key);
    const struct table *table = keyspace_table_unheld(scope->keyspace, shard->number, key->database);
    if (table == NULL) return NULL;
    struct home home = table_home(table, key->hash, &shard->lock, version);
    look->is_failed = home.bucket == NULL;
    return look->is_failed ? NULL : home_find(home, key);
}

const struct entry *look_show(const struct scope *scope, const struct entry *original) {
    struct look *look = scope->look;
    const struct entry *entry = look_copy(look, original);
    if (entry != NULL && entry_expires(entry) && entry_expiry(entry) <= scope->now) {
        look_meets_dead(scope);
        return NULL;
    }
    /* Values that are changed in place by plain stores, and those whose parts are. */
    if (entry == NULL || entry_type(entry) != TYPE_STRING || entry_encoding(entry) == ENCODING_GROWN) {
        look->is_failed = true;
        return NULL;
    }
    if (look->is_long && entry_string_length(entry) > LOOK_STRING) {
        look->is_failed = true;
        return NULL;
    }
    return entry;
}
