/* The yardstick: the cache that one writes in an afternoon, and well. bench/engine measures the engine
 * against it.
 *
 * As many shards as the engine has, chosen by the same bits of the same hash; each has a pthread_rwlock_t and
 * a chained hash table:
 *
 *     shard     rwlock | buckets --> [ node | NULL | node | ... ]     a power of two, at least the nodes
 *                                       |
 *     node      next | hash | lengths | key | value                   one allocation, of the same allocator
 *
 * It does nothing for its keep: no clock, no expiry, no counters, no databases, no listeners, nothing that a
 * command might want. A node holds the whole hash, so that a chain is walked without comparing keys; a value
 * of the same length is written in place. */
#ifndef BENCH_YARDSTICK_H
#define BENCH_YARDSTICK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "shard/base/key.h"
#include "shard/base/memory.h"

struct yardstick_node {
    struct yardstick_node *next;
    uint64_t hash;
    uint32_t key_length, value_length;
    char bytes[]; /* key, value */
};

struct yardstick_shard {
    _Alignas(64) pthread_rwlock_t lock;
    struct yardstick_node **buckets; /* guarded by the lock, as is all that follows */
    size_t mask, count;
};

struct yardstick {
    struct yardstick_shard *shards;
    uint32_t shard_count, shard_bits;
};

static inline bool yardstick_open(struct yardstick *yardstick, uint32_t shard_count) {
    yardstick->shard_count = shard_count;
    yardstick->shard_bits = (uint32_t)__builtin_ctz(shard_count);
    yardstick->shards = memory_lines(shard_count * sizeof *yardstick->shards);
    if (yardstick->shards == NULL) return false;
    for (uint32_t i = 0; i < shard_count; i++) {
        struct yardstick_shard *shard = &yardstick->shards[i];
        pthread_rwlock_init(&shard->lock, NULL);
        shard->mask = 15;
        shard->buckets = calloc(shard->mask + 1, sizeof(struct yardstick_node *));
        if (shard->buckets == NULL) return false;
    }
    return true;
}

static inline void yardstick_close(struct yardstick *yardstick) {
    for (uint32_t i = 0; i < yardstick->shard_count; i++) {
        struct yardstick_shard *shard = &yardstick->shards[i];
        for (size_t bucket = 0; bucket <= shard->mask; bucket++)
            for (struct yardstick_node *node = shard->buckets[bucket], *next; node != NULL; node = next) {
                next = node->next;
                free(node);
            }
        free(shard->buckets);
        pthread_rwlock_destroy(&shard->lock);
    }
    free(yardstick->shards);
}

static inline struct yardstick_shard *yardstick_shard_of(const struct yardstick *yardstick, uint64_t hash) {
    return &yardstick->shards[yardstick->shard_bits == 0 ? 0 : hash >> (64 - yardstick->shard_bits)];
}

/* The link that leads to the key's node, or the chain's last one. */
static inline struct yardstick_node **yardstick_find(const struct yardstick_shard *shard,
                                                     const struct key *key) {
    struct yardstick_node **at = &shard->buckets[key->hash & shard->mask];
    for (; *at != NULL; at = &(*at)->next)
        if ((*at)->hash == key->hash && (*at)->key_length == key->length &&
            memcmp((*at)->bytes, key->data, key->length) == 0)
            break;
    return at;
}

/* All at once: a smooth growth would be no faster on average. Out of memory it stays as it is, and the chains
 * get longer. */
static inline void yardstick_grow(struct yardstick_shard *shard) {
    size_t mask = shard->mask * 2 + 1;
    struct yardstick_node **buckets = calloc(mask + 1, sizeof(struct yardstick_node *));
    if (buckets == NULL) return;
    for (size_t bucket = 0; bucket <= shard->mask; bucket++)
        for (struct yardstick_node *node = shard->buckets[bucket], *next; node != NULL; node = next) {
            next = node->next;
            node->next = buckets[node->hash & mask];
            buckets[node->hash & mask] = node;
        }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->mask = mask;
}

/* Like latchkey_get and latchkey_set; the key was hashed by keyspace_key. */
static inline ssize_t yardstick_get(struct yardstick *yardstick, const struct key *key, char *out,
                                    size_t size) {
    struct yardstick_shard *shard = yardstick_shard_of(yardstick, key->hash);
    pthread_rwlock_rdlock(&shard->lock);
    const struct yardstick_node *node = *yardstick_find(shard, key);
    ssize_t length = node == NULL ? -1 : (ssize_t)node->value_length;
    if (node != NULL)
        memcpy(out, node->bytes + node->key_length, node->value_length < size ? node->value_length : size);
    pthread_rwlock_unlock(&shard->lock);
    return length;
}

static inline bool yardstick_set(struct yardstick *yardstick, const struct key *key, const char *value,
                                 size_t length) {
    struct yardstick_shard *shard = yardstick_shard_of(yardstick, key->hash);
    struct yardstick_node *node, *before = NULL;
    pthread_rwlock_wrlock(&shard->lock);
    struct yardstick_node **at = yardstick_find(shard, key);
    if (*at != NULL && (*at)->value_length == length) {
        memcpy((*at)->bytes + key->length, value, length);
    } else if ((node = malloc(sizeof *node + key->length + length)) != NULL) {
        before = *at;
        *node = (struct yardstick_node){before == NULL ? NULL : before->next, key->hash,
                                        (uint32_t)key->length, (uint32_t)length};
        memcpy(node->bytes, key->data, key->length);
        memcpy(node->bytes + key->length, value, length);
        *at = node;
        if (before == NULL && ++shard->count > shard->mask + 1) yardstick_grow(shard);
    } else {
        length = SIZE_MAX;
    }
    pthread_rwlock_unlock(&shard->lock);
    free(before);
    return length != SIZE_MAX;
}

#endif
