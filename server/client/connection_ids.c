#include "connection_ids.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "connection.h"

#define CHAIN_MOST                                                                                           \
    4 /* on average; then there are twice as many chains, and half as many at a quarter of one */
#define BITS_LEAST 4

/* Ids are drawn in turn by all workers, and so one's may be all even: the upper bits of a product tell them
 * apart. */
static uint64_t bucket_of(uint32_t bits, uint64_t id) {
    return id * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits);
}

static struct connection **chain_of(const struct connection_ids *ids, uint64_t id) {
    if (ids->buckets == NULL) return (struct connection **)(uintptr_t)&ids->only;
    return &ids->buckets[bucket_of(ids->bits, id)];
}

static void put(struct connection_ids *ids, struct connection *connection) {
    struct connection **chain = chain_of(ids, connection->task.session.id);
    connection->id_next = *chain;
    *chain = connection;
}

static void put_all(struct connection_ids *ids, struct connection *chain) {
    for (struct connection *next; chain != NULL; chain = next) {
        next = chain->id_next;
        put(ids, chain);
    }
}

/* A failure is harmless. */
static void resize(struct connection_ids *ids, uint32_t bits) {
    struct connection_ids old = *ids;
    struct connection **buckets = calloc((size_t)1 << bits, sizeof(struct connection *));
    if (buckets == NULL) return;
    *ids = (struct connection_ids){.buckets = buckets, .bits = bits, .count = old.count};
    put_all(ids, old.only);
    for (size_t i = 0; old.buckets != NULL && i < (size_t)1 << old.bits; i++) put_all(ids, old.buckets[i]);
    free(old.buckets);
}

void connection_ids_add(struct connection_ids *ids, struct connection *connection) {
    bool is_full = ids->count >> ids->bits >= CHAIN_MOST;
    if (is_full) resize(ids, ids->bits < BITS_LEAST ? BITS_LEAST : ids->bits + 1);
    put(ids, connection);
    ids->count++;
}

void connection_ids_remove(struct connection_ids *ids, struct connection *connection) {
    struct connection **at = chain_of(ids, connection->task.session.id);
    while (*at != connection) {
        assert(*at != NULL);
        at = &(*at)->id_next;
    }
    *at = connection->id_next;
    ids->count--;
    if (ids->bits > BITS_LEAST && ids->count < (uint32_t)1 << (ids->bits - 2)) resize(ids, ids->bits - 1);
}

struct connection *connection_ids_find(const struct connection_ids *ids, uint64_t id) {
    struct connection *connection = *chain_of(ids, id);
    while (connection != NULL && connection->task.session.id != id) connection = connection->id_next;
    return connection;
}

void connection_ids_free(struct connection_ids *ids) {
    free(ids->buckets);
    *ids = (struct connection_ids){0};
}
