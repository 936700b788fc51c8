#include "interest.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/hash.h"

/* What a shard's lock guards, but that counters are read without. */
struct shard_interests {
    struct interest **buckets; /* chains, the first of each */
    uint32_t bucket_count, capacity, count;
    uint32_t count_in_absence;     /* of those that matter if their key goes */
    counter keys, keys_in_absence; /* that are waited for, and those of them where it matters if they go */
    counter looks;                 /* since the start */
};

static struct {
    struct keyspace *keyspace;
    struct shard_interests *shards;
    _Atomic uint64_t count;    /* of all interests: most changes needn't look any further */
    struct hash_secret secret; /* of the tables alone: keys chosen for one shard make no long chain here */
} registry;

static struct shard_interests *interests_of(const struct key *key) {
    return &registry.shards[keyspace_shard_of(registry.keyspace, key->hash)];
}

/* ------------------------------------------------------------------ a shard's table
 *
 * Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", 1980): with each
 * interest that comes one bucket is split, and with those that go two are joined, so that no thread that
 * holds the shard has to move what all the others have registered. */

#define BUCKETS_LEAST 8

static uint32_t power_within(uint32_t count) {
    return UINT32_C(1) << (31 - __builtin_clz(count));
}

/* Whatever the database: MOVE and COPY fill a key's namesake. */
static uint32_t place_of(const struct key *key) {
    return (uint32_t)hash_bytes(&registry.secret, key->data, key->length);
}

static uint32_t bucket_of(const struct shard_interests *shard, uint32_t place) {
    uint32_t power = power_within(shard->bucket_count), bucket = place & (power - 1);
    return bucket < shard->bucket_count - power ? place & (2 * power - 1) : bucket;
}

static bool buckets_resize(struct shard_interests *shard, uint32_t capacity) {
    struct interest **buckets = realloc(shard->buckets, capacity * sizeof(struct interest *));
    if (buckets == NULL) return false;
    shard->buckets = buckets;
    shard->capacity = capacity;
    return true;
}

/* Without memory chains get longer, which is harmless. */
static void bucket_split(struct shard_interests *shard) {
    if (shard->bucket_count == shard->capacity &&
        (shard->capacity > UINT32_MAX / 4 || !buckets_resize(shard, shard->capacity * 2)))
        return;
    uint32_t added = shard->bucket_count, from = added - power_within(added);
    shard->buckets[added] = NULL;
    shard->bucket_count++;
    for (struct interest **place = &shard->buckets[from], *interest; (interest = *place) != NULL;) {
        if (bucket_of(shard, interest->place) == from) {
            place = &interest->chain;
            continue;
        }
        *place = interest->chain;
        interest->chain = shard->buckets[added];
        shard->buckets[added] = interest;
    }
}

static void bucket_join(struct shard_interests *shard) {
    uint32_t last = --shard->bucket_count;
    struct interest **place = &shard->buckets[last - power_within(last)];
    while (*place != NULL) place = &(*place)->chain;
    *place = shard->buckets[last];
}

/* Whether its key is the first, or the last, of its kind: of those that a client waits for, or of those where
 * it matters to one if they go. */
static bool is_only_of_key(const struct shard_interests *shard, const struct interest *interest,
                           bool in_absence) {
    const struct interest *other = shard->buckets[bucket_of(shard, interest->place)];
    if (!interest->kind->is_wait) return false;
    for (; other != NULL; other = other->chain)
        if (other != interest && other->kind->is_wait && (!in_absence || other->in_absence) &&
            key_equals(other->key, interest->key))
            return false;
    return true;
}

bool interest_insert(struct interest *interest) {
    struct shard_interests *shard = interests_of(interest->key);
    if (shard->buckets == NULL) {
        if (!buckets_resize(shard, BUCKETS_LEAST)) return false;
        memset(shard->buckets, 0, BUCKETS_LEAST * sizeof(struct interest *));
        shard->bucket_count = BUCKETS_LEAST;
    }
    interest->place = place_of(interest->key);
    if (is_only_of_key(shard, interest, false)) counter_add(&shard->keys, 1);
    if (interest->in_absence && is_only_of_key(shard, interest, true))
        counter_add(&shard->keys_in_absence, 1);
    struct interest **bucket = &shard->buckets[bucket_of(shard, interest->place)];
    interest->chain = *bucket;
    *bucket = interest;
    atomic_fetch_add_explicit(&registry.count, 1, memory_order_relaxed);
    shard->count_in_absence += interest->in_absence;
    if (++shard->count > shard->bucket_count) bucket_split(shard);
    return true;
}

static struct interest **link_to(struct shard_interests *shard, const struct interest *interest) {
    struct interest **place = &shard->buckets[bucket_of(shard, interest->place)];
    while (*place != interest) place = &(*place)->chain;
    return place;
}

void interest_remove(struct interest *interest) {
    struct shard_interests *shard = interests_of(interest->key);
    *link_to(shard, interest) = interest->chain;
    atomic_fetch_sub_explicit(&registry.count, 1, memory_order_relaxed);
    shard->count_in_absence -= interest->in_absence;
    if (is_only_of_key(shard, interest, false)) counter_subtract(&shard->keys, 1);
    if (interest->in_absence && is_only_of_key(shard, interest, true))
        counter_subtract(&shard->keys_in_absence, 1);
    if (--shard->count == 0) {
        free(shard->buckets);
        shard->buckets = NULL;
        shard->bucket_count = shard->capacity = 0;
        return;
    }
    for (int i = 0; i < 2 && shard->bucket_count > BUCKETS_LEAST && shard->count < shard->bucket_count / 2;
         i++)
        bucket_join(shard);
    if (shard->bucket_count < shard->capacity / 4) buckets_resize(shard, shard->capacity / 2);
}

void interest_replace(struct interest *interest, struct interest *by) {
    struct interest **place = link_to(interests_of(interest->key), interest);
    by->place = interest->place;
    by->chain = interest->chain;
    *place = by;
}

struct interest *interest_near(const struct key *key) {
    struct shard_interests *shard = interests_of(key);
    counter_add(&shard->looks, 1);
    return shard->count == 0 ? NULL : shard->buckets[bucket_of(shard, place_of(key))];
}

struct interest *interest_behind(const struct interest *interest) {
    interest_looked(interest->key);
    return interest->chain;
}

bool interest_is_any(const struct key *key) {
    return interests_of(key)->count > 0;
}

void interest_looked(const struct key *key) {
    counter_add(&interests_of(key)->looks, 1);
}

/* ------------------------------------------------------------------ changes */

/* Keys of this database are other values now in a shard, or gone. Passed over if that can't matter. */
static void tell_database(struct shard_interests *shard, struct write_scope *scope, uint32_t database,
                          bool has_values, enum event event) {
    if (shard->count == 0 || (!has_values && shard->count_in_absence == 0)) return;
    for (uint32_t bucket = 0; bucket < shard->bucket_count; bucket++)
        for (struct interest *interest = shard->buckets[bucket]; interest != NULL;
             interest = interest_behind(interest))
            if (interest->key->database == database && (has_values || interest->in_absence))
                interest->kind->changed(interest, scope, NULL, event);
}

static void on_changed(void *context, struct write_scope *scope, const struct key *key,
                       const struct entry *entry, enum event event, bool is_new) {
    (void)context;
    (void)is_new;
    if (atomic_load_explicit(&registry.count, memory_order_relaxed) == 0) return;
    if (interests_of(key)->count == 0) return;
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
    keyspace_listen(keyspace,
                    &(struct keyspace_listener){.changed = on_changed, .changed_all = on_changed_all});
    return true;
}

void interest_stop(void) {
    for (uint32_t i = 0; registry.shards != NULL && i < keyspace_shard_count(registry.keyspace); i++)
        free(registry.shards[i].buckets);
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
