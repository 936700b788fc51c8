#include "chains.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_LEAST 8

static uint32_t power_within(uint32_t count) {
    return UINT32_C(1) << (31 - __builtin_clz(count));
}

static uint32_t bucket_of(const struct chains *chains, uint32_t hash) {
    uint32_t power = power_within(chains->bucket_count), bucket = hash & (power - 1);
    return bucket < chains->bucket_count - power ? hash & (2 * power - 1) : bucket;
}

static bool resize(struct chains *chains, uint32_t capacity) {
    struct chain_link **buckets = realloc(chains->buckets, capacity * sizeof(struct chain_link *));
    if (buckets == NULL) return false;
    chains->buckets = buckets;
    chains->capacity = capacity;
    return true;
}

/* Without memory chains get longer, which is harmless. */
static void split_one(struct chains *chains) {
    if (chains->bucket_count == chains->capacity &&
        (chains->capacity > UINT32_MAX / 4 || !resize(chains, chains->capacity * 2)))
        return;
    uint32_t added = chains->bucket_count, from = added - power_within(added);
    chains->buckets[added] = NULL;
    chains->bucket_count++;
    for (struct chain_link **place = &chains->buckets[from], *link; (link = *place) != NULL;) {
        if (bucket_of(chains, link->hash) == from) {
            place = &link->next;
            continue;
        }
        *place = link->next;
        link->next = chains->buckets[added];
        chains->buckets[added] = link;
    }
}

static void join_two(struct chains *chains) {
    uint32_t last = --chains->bucket_count;
    struct chain_link **place = &chains->buckets[last - power_within(last)];
    while (*place != NULL) place = &(*place)->next;
    *place = chains->buckets[last];
}

bool chains_insert(struct chains *chains, struct chain_link *link, uint32_t hash) {
    if (chains->buckets == NULL) {
        if (!resize(chains, BUCKETS_LEAST)) return false;
        memset(chains->buckets, 0, BUCKETS_LEAST * sizeof(struct chain_link *));
        chains->bucket_count = BUCKETS_LEAST;
    }
    struct chain_link **bucket = &chains->buckets[bucket_of(chains, hash)];
    link->hash = hash;
    link->next = *bucket;
    *bucket = link;
    if (++chains->count > chains->bucket_count) split_one(chains);
    return true;
}

static struct chain_link **link_to(const struct chains *chains, const struct chain_link *link) {
    struct chain_link **place = &chains->buckets[bucket_of(chains, link->hash)];
    while (*place != link) place = &(*place)->next;
    return place;
}

void chains_remove(struct chains *chains, struct chain_link *link) {
    assert(chains->count > 0);
    *link_to(chains, link) = link->next;
    if (--chains->count == 0) {
        chains_clear(chains);
        return;
    }
    for (int i = 0; i < 2 && chains->bucket_count > BUCKETS_LEAST && chains->count < chains->bucket_count / 2;
         i++)
        join_two(chains);
    if (chains->bucket_count < chains->capacity / 4) resize(chains, chains->capacity / 2);
}

void chains_replace(struct chains *chains, struct chain_link *link, struct chain_link *by) {
    struct chain_link **place = link_to(chains, link);
    *by = *link;
    *place = by;
}

struct chain_link *chains_find(const struct chains *chains, uint32_t hash) {
    return chains->count == 0 ? NULL : chains->buckets[bucket_of(chains, hash)];
}

void chains_clear(struct chains *chains) {
    free(chains->buckets);
    *chains = (struct chains){.buckets = NULL};
}
