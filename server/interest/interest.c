#include "interest.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/hash.h"

/* What a shard's lock guards, but that counters are read without. */
struct shard_interests {
    struct chains table;
    uint32_t count_in_absence;     /* of those that matter if their key goes */
    counter keys, keys_in_absence; /* that are waited for, and those of them where it matters if they go */
    counter looks;                 /* since the start */
};

static struct {
    struct keyspace *keyspace;
    struct shard_interests *shards;
    _Atomic uint32_t count;    /* of all interests */
    struct hash_secret secret; /* of the tables alone: keys chosen for one shard make no long chain here */
} registry;

static struct shard_interests *interests_of(const struct key *key) {
    return &registry.shards[keyspace_shard_of(registry.keyspace, key->hash)];
}

/* Whatever the database: MOVE and COPY fill a key's namesake. */
static uint32_t hash_of(const struct key *key) {
    return (uint32_t)hash_bytes(&registry.secret, key->data, key->length);
}

static struct interest *first_near(const struct shard_interests *shard, uint32_t hash) {
    return (struct interest *)chains_find(&shard->table, hash);
}

static struct interest *next_of(const struct interest *interest) {
    return (struct interest *)interest->link.next;
}

/* ------------------------------------------------------------------ coming and going */

/* Whether its key is the first, or the last, of its kind: of those that a client waits for, or of those where
 * it matters to one if they go. */
static bool is_only_of_key(const struct shard_interests *shard, const struct interest *interest,
                           bool in_absence) {
    if (!interest->kind->is_wait) return false;
    for (const struct interest *other = first_near(shard, interest->link.hash); other != NULL;
         other = next_of(other))
        if (other != interest && other->kind->is_wait && (!in_absence || other->in_absence) &&
            key_equals(other->key, interest->key))
            return false;
    return true;
}

bool interest_insert(struct interest *interest) {
    struct shard_interests *shard = interests_of(interest->key);
    if (!chains_insert(&shard->table, &interest->link, hash_of(interest->key))) return false;
    if (is_only_of_key(shard, interest, false)) counter_add(&shard->keys, 1);
    if (interest->in_absence && is_only_of_key(shard, interest, true))
        counter_add(&shard->keys_in_absence, 1);
    atomic_fetch_add_explicit(&registry.count, 1, memory_order_relaxed);
    keyspace_want(registry.keyspace, true);
    shard->count_in_absence += interest->in_absence;
    return true;
}

void interest_remove(struct interest *interest) {
    struct shard_interests *shard = interests_of(interest->key);
    if (is_only_of_key(shard, interest, false)) counter_subtract(&shard->keys, 1);
    if (interest->in_absence && is_only_of_key(shard, interest, true))
        counter_subtract(&shard->keys_in_absence, 1);
    chains_remove(&shard->table, &interest->link);
    atomic_fetch_sub_explicit(&registry.count, 1, memory_order_relaxed);
    keyspace_want(registry.keyspace, false);
    shard->count_in_absence -= interest->in_absence;
}

void interest_replace(struct interest *interest, struct interest *by) {
    chains_replace(&interests_of(interest->key)->table, &interest->link, &by->link);
}

struct interest *interest_near(const struct key *key) {
    struct shard_interests *shard = interests_of(key);
    counter_add(&shard->looks, 1);
    return first_near(shard, hash_of(key));
}

struct interest *interest_behind(const struct interest *interest) {
    interest_looked(interest->key);
    return next_of(interest);
}

bool interest_is_any(const struct key *key) {
    return interests_of(key)->table.count > 0;
}

void interest_looked(const struct key *key) {
    counter_add(&interests_of(key)->looks, 1);
}

/* ------------------------------------------------------------------ changes */

/* Keys of this database are other values now in a shard, or gone. Passed over if that can't matter. */
static void tell_database(struct shard_interests *shard, struct write_scope *scope, uint32_t database,
                          bool has_values, enum event event) {
    if (shard->table.count == 0 || (!has_values && shard->count_in_absence == 0)) return;
    for (uint32_t bucket = 0; bucket < shard->table.bucket_count; bucket++)
        for (struct interest *interest = (struct interest *)shard->table.buckets[bucket]; interest != NULL;
             interest = interest_behind(interest))
            if (interest->key->database == database && (has_values || interest->in_absence))
                interest->kind->changed(interest, scope, NULL, event);
}

static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context;
    (void)is_new;
    if (interests_of(key)->table.count == 0) return;
    for (struct interest *interest = interest_near(key); interest != NULL;
         interest = interest_behind(interest))
        if (key_equals(interest->key, key)) interest->kind->changed(interest, scope, entry, event);
}

/* What a swap brings may be what an interest waits for. A flush brings nothing, but what matters of a key
 * that is there stands in its shard. */
static void on_changed_all(void *context, struct write_scope *scope, const struct region *region) {
    (void)context;
    if (atomic_load_explicit(&registry.count, memory_order_relaxed) == 0) return;
    tell_database(&registry.shards[region->shard], scope, region->database,
                  keyspace_shard_keys(registry.keyspace, region->shard, region->database) > 0, region->event);
}

bool interest_start(struct keyspace *keyspace) {
    if (hash_secret_draw(&registry.secret, NULL) != 0) return false;
    registry.keyspace = keyspace;
    registry.shards = calloc(keyspace_shard_count(keyspace), sizeof *registry.shards);
    if (registry.shards == NULL) return false;
    keyspace_listen(keyspace, &(struct keyspace_listener){.changed = on_changed,
                                                          .changed_all = on_changed_all,
                                                          .wanted = &registry.count});
    return true;
}

void interest_stop(void) {
    for (uint32_t i = 0; registry.shards != NULL && i < keyspace_shard_count(registry.keyspace); i++)
        chains_clear(&registry.shards[i].table);
    free(registry.shards);
    registry.shards = NULL;
    atomic_store(&registry.count, 0);
}

void interest_count(struct interest_counts *counts) {
    *counts = (struct interest_counts){0, 0, 0};
    for (uint32_t i = 0; i < keyspace_shard_count(registry.keyspace); i++) {
        counts->keys += counter_read(&registry.shards[i].keys);
        counts->keys_in_absence += counter_read(&registry.shards[i].keys_in_absence);
        counts->looks += counter_read(&registry.shards[i].looks);
    }
}
