#include "tracked.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/mutex.h"
#include "server/base/chains.h"
#include "server/config/config.h"

#define PARTS 256
/* On the average a key may take so many bytes, or there are too many as well: names may be long. */
#define BYTES_EACH 256
/* Records that a tidying frees. */
#define TIDY_MOST 4096

/* The key follows the room for handles, which is the least power of two. So one client's copy of a key of 16
 * bytes takes 40 bytes, and the table 8. */
struct tracked {
    struct chain_link link; /* by hash; `spare` is the key's length */
    uint32_t count;
    uint32_t clients[];
};

struct part {
    _Alignas(64) struct mutex mutex;
    struct chains records GUARDED_BY(&mutex);
    /* Read without the mutex by who changes a key. It and the shard's lock are in one total order
     * (memory_order_seq_cst): who changes a key holds the lock before it looks here, and who reads one was
     * here before it looks at the lock. */
    _Atomic uint32_t count;
    counter clients; /* written with the mutex held */
    uint64_t bytes GUARDED_BY(&mutex);
};

/* What was forgotten, and has still to be freed. */
struct rest {
    struct rest *next;
    struct chains records;
    uint32_t bucket;
};

static struct {
    struct part parts[PARTS];
    _Atomic uint64_t keys, bytes;
    _Atomic uint32_t rest_count;
    struct mutex mutex;
    struct rest *rests GUARDED_BY(&mutex);
} all = {.mutex = MUTEX_INITIALIZER};

static struct part *part_of(const struct key *key) {
    return &all.parts[key->hash >> 32 & (PARTS - 1)];
}

static uint32_t hash_within(const struct key *key) {
    return (uint32_t)key->hash;
}

/* Negative ones modulo 2^64. */
static void bytes_add(struct part *part, uint64_t bytes) REQUIRES(&part->mutex) {
    part->bytes += bytes;
    atomic_fetch_add_explicit(&all.bytes, bytes, memory_order_relaxed);
}

/* ------------------------------------------------------------------ a record */

static uint32_t room_for(uint32_t count) {
    uint32_t room = 1;
    while (room < count) room *= 2;
    return room;
}

static size_t size_of(uint32_t count, size_t length) {
    return sizeof(struct tracked) + room_for(count) * sizeof(uint32_t) + length;
}

static char *name_of(const struct tracked *record) {
    return (char *)(uintptr_t)(record->clients + room_for(record->count));
}

/* Where the handle is, or would be. */
static uint32_t place_of(const struct tracked *record, uint32_t client) {
    uint32_t from = 0, to = record->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (record->clients[middle] < client)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_of(const struct tracked *record, const struct key *key) {
    return record->link.hash == hash_within(key) && record->link.spare == key->length &&
           memcmp(name_of(record), key->data, key->length) == 0;
}

static struct tracked *find(const struct part *part, const struct key *key) REQUIRES(&part->mutex) {
    struct tracked *record = (struct tracked *)chains_find(&part->records, hash_within(key));
    while (record != NULL && !is_of(record, key)) record = (struct tracked *)record->link.next;
    return record;
}

const uint32_t *tracked_clients(const struct tracked *record, uint32_t *count) {
    *count = record->count;
    return record->clients;
}

const char *tracked_name(const struct tracked *record, size_t *length) {
    *length = record->link.spare;
    return name_of(record);
}

void tracked_free(struct tracked *record) {
    free(record);
}

/* ------------------------------------------------------------------ coming */

static bool insert(struct part *part, const struct key *key, uint32_t client) REQUIRES(&part->mutex) {
    size_t size = size_of(1, key->length);
    struct tracked *record = key->length > UINT32_MAX ? NULL : malloc(size);
    if (record == NULL) return false;
    record->count = 1;
    record->clients[0] = client;
    record->link.spare = (uint32_t)key->length;
    memcpy(name_of(record), key->data, key->length);
    if (!chains_insert(&part->records, &record->link, hash_within(key))) {
        free(record);
        return false;
    }
    atomic_fetch_add(&part->count, 1);
    atomic_fetch_add_explicit(&all.keys, 1, memory_order_relaxed);
    counter_add(&part->clients, 1);
    bytes_add(part, size);
    return true;
}

static struct tracked *enlarge(struct part *part, struct tracked *record) REQUIRES(&part->mutex) {
    size_t length = record->link.spare, size = size_of(record->count + 1, length);
    if (size == size_of(record->count, length)) return record;
    struct tracked *larger = malloc(size);
    if (larger == NULL) return NULL;
    memcpy(larger->clients, record->clients, record->count * sizeof(uint32_t));
    memcpy(larger->clients + room_for(record->count + 1), name_of(record), length);
    larger->count = record->count;
    chains_replace(&part->records, &record->link, &larger->link);
    bytes_add(part, size - size_of(record->count, length));
    free(record);
    return larger;
}

static bool enter(struct part *part, struct tracked *record, uint32_t client) REQUIRES(&part->mutex) {
    uint32_t place = place_of(record, client);
    if (place < record->count && record->clients[place] == client) return true;
    record = record->count == TRACKED_CLIENTS_MOST ? NULL : enlarge(part, record);
    if (record == NULL) return false;
    memmove(record->clients + place + 1, record->clients + place, (record->count - place) * sizeof(uint32_t));
    record->clients[place] = client;
    record->count++;
    counter_add(&part->clients, 1);
    return true;
}

bool tracked_add(const struct key *key, uint32_t client) {
    struct part *part = part_of(key);
    mutex_lock(&part->mutex);
    struct tracked *record = find(part, key);
    bool is_added = record == NULL ? insert(part, key, client) : enter(part, record, client);
    mutex_unlock(&part->mutex);
    return is_added;
}

/* ------------------------------------------------------------------ going */

static void take_out(struct part *part, struct tracked *record) REQUIRES(&part->mutex) {
    chains_remove(&part->records, &record->link);
    atomic_fetch_sub(&part->count, 1);
    atomic_fetch_sub_explicit(&all.keys, 1, memory_order_relaxed);
    counter_subtract(&part->clients, record->count);
    bytes_add(part, 0 - size_of(record->count, record->link.spare));
}

struct tracked *tracked_take(const struct key *key) {
    struct part *part = part_of(key);
    if (atomic_load(&part->count) == 0) return NULL;
    mutex_lock(&part->mutex);
    struct tracked *record = find(part, key);
    if (record != NULL) take_out(part, record);
    mutex_unlock(&part->mutex);
    return record;
}

/* Any one, from a bucket on that the hash chooses. */
static struct tracked *any_but(const struct part *part, const struct key *but) REQUIRES(&part->mutex) {
    const struct chains *records = &part->records;
    for (uint32_t i = 0; i < records->bucket_count; i++) {
        uint32_t bucket = (uint32_t)((but->hash >> 40) + i) % records->bucket_count;
        for (struct chain_link *link = records->buckets[bucket]; link != NULL; link = link->next)
            if (!is_of((struct tracked *)link, but)) return (struct tracked *)link;
    }
    return NULL;
}

static bool are_too_many(void) {
    uint64_t most = (uint64_t)atomic_load_explicit(&config.tracking_table_max_keys, memory_order_relaxed);
    return most > 0 && (atomic_load_explicit(&all.keys, memory_order_relaxed) > most ||
                        atomic_load_explicit(&all.bytes, memory_order_relaxed) / BYTES_EACH > most);
}

struct tracked *tracked_take_excess(const struct key *but) {
    if (!are_too_many()) return NULL;
    size_t first = (size_t)(part_of(but) - all.parts);
    struct tracked *record = NULL;
    for (size_t i = 0; i < PARTS && record == NULL; i++) {
        struct part *part = &all.parts[(first + i) % PARTS];
        if (atomic_load_explicit(&part->count, memory_order_relaxed) == 0) continue;
        mutex_lock(&part->mutex);
        record = any_but(part, but);
        if (record != NULL) take_out(part, record);
        mutex_unlock(&part->mutex);
    }
    return record;
}

/* ------------------------------------------------------------------ all of them */

/* Some of it. true: there is nothing left. */
static bool rest_free(struct rest *rest, uint32_t most) {
    for (uint32_t count = 0; rest->bucket < rest->records.bucket_count && count < most; rest->bucket++)
        for (struct chain_link *link = rest->records.buckets[rest->bucket], *next; link != NULL;
             link = next) {
            next = link->next;
            free(link);
            count++;
        }
    if (rest->bucket < rest->records.bucket_count) return false;
    chains_clear(&rest->records);
    return true;
}

/* NULL: no memory. */
static struct rest *empty(struct part *part) REQUIRES(&part->mutex) {
    struct rest *rest = malloc(sizeof *rest);
    if (rest == NULL) return NULL;
    *rest = (struct rest){.records = part->records};
    part->records = (struct chains){.buckets = NULL};
    atomic_fetch_sub_explicit(&all.keys, rest->records.count, memory_order_relaxed);
    atomic_store(&part->count, 0);
    atomic_store_explicit(&part->clients, 0, memory_order_relaxed);
    bytes_add(part, 0 - part->bytes);
    return rest;
}

/* Without memory for it records stay, and are told of once more: harmless. */
void tracked_clear(void) {
    for (size_t i = 0; i < PARTS; i++) {
        struct part *part = &all.parts[i];
        if (atomic_load_explicit(&part->count, memory_order_relaxed) == 0) continue;
        mutex_lock(&part->mutex);
        struct rest *rest = empty(part);
        mutex_unlock(&part->mutex);
        if (rest == NULL) continue;
        mutex_lock(&all.mutex);
        rest->next = all.rests;
        all.rests = rest;
        mutex_unlock(&all.mutex);
        atomic_fetch_add_explicit(&all.rest_count, 1, memory_order_relaxed);
    }
}

static struct rest *rest_take(void) {
    mutex_lock(&all.mutex);
    struct rest *rest = all.rests;
    if (rest != NULL) all.rests = rest->next;
    mutex_unlock(&all.mutex);
    return rest;
}

bool tracked_tidy(void) {
    if (atomic_load_explicit(&all.rest_count, memory_order_relaxed) == 0) return false;
    struct rest *rest = rest_take();
    if (rest == NULL) return false; /* others are at it */
    if (rest_free(rest, TIDY_MOST)) {
        free(rest);
        return atomic_fetch_sub_explicit(&all.rest_count, 1, memory_order_relaxed) > 1;
    }
    mutex_lock(&all.mutex);
    rest->next = all.rests;
    all.rests = rest;
    mutex_unlock(&all.mutex);
    return true;
}

void tracked_count(struct tracked_counts *counts) {
    *counts = (struct tracked_counts){.keys = atomic_load_explicit(&all.keys, memory_order_relaxed),
                                      .bytes = atomic_load_explicit(&all.bytes, memory_order_relaxed)};
    for (size_t i = 0; i < PARTS; i++) counts->clients += counter_read(&all.parts[i].clients);
}

void tracked_start(void) {
    for (size_t i = 0; i < PARTS; i++) mutex_init(&all.parts[i].mutex);
}

void tracked_stop(void) {
    tracked_clear();
    while (tracked_tidy()) continue;
}
