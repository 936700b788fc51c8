#include "keyspace.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "evict/eviction.h"
#include "scope/scope_take.h"
#include "scope/tell.h"
#include "store/shard.h"

static void seats_init(struct keyspace *keyspace) {
    for (uint32_t i = 0; i < keyspace->gate.lane_count; i++) {
        struct lane *lane = &keyspace->gate.lanes[i];
        lane->keyspace = keyspace;
        lane->budget = &keyspace->budget;
        lane->account = &keyspace->budget.accounts[i];
        lane->secret = &keyspace->secret;
    }
}

static void shards_init(struct keyspace *keyspace) {
    for (uint32_t i = 0; i < keyspace->shard_count; i++) {
        struct shard *shard = &keyspace->shards[i];
        rwlock_init(&shard->lock);
        shard->number = i;
        shard->count = keyspace->shard_count;
        shard_assert_exclusive(shard); /* nobody else knows of it yet */
        shard->tables = keyspace->tables + i;
    }
}

static bool allocate(struct keyspace *keyspace, uint32_t lanes) {
    size_t databases = keyspace->database_count;
    keyspace->shards = memory_lines(keyspace->shard_count * sizeof *keyspace->shards);
    keyspace->tables = calloc(keyspace->shard_count * databases, sizeof *keyspace->tables);
    keyspace->used_databases = calloc(databases, sizeof *keyspace->used_databases);
    keyspace->database_is_used = calloc(databases, sizeof *keyspace->database_is_used);
    bool are_lanes_open =
        gate_init(&keyspace->gate, lanes) && budget_open(&keyspace->budget, lanes) && eviction_open(keyspace);
    return are_lanes_open && keyspace->shards != NULL && keyspace->tables != NULL &&
           keyspace->used_databases != NULL && keyspace->database_is_used != NULL;
}

static void release(struct keyspace *keyspace) {
    eviction_close(keyspace);
    usage_destroy(&keyspace->usage);
    budget_close(&keyspace->budget);
    gate_destroy(&keyspace->gate);
    free(keyspace->used_databases);
    free(keyspace->database_is_used);
    free(keyspace->tables);
    free(keyspace->shards);
    free(keyspace);
}

struct keyspace *keyspace_open(const struct keyspace_options *options) {
    uint32_t shards = options->shards == 0 ? 512 : options->shards;
    if ((shards & (shards - 1)) != 0 || shards > 65536) {
        errno = EINVAL;
        return NULL;
    }
    struct keyspace *keyspace = memory_lines(sizeof *keyspace);
    if (keyspace == NULL) return NULL;
    keyspace->shard_count = shards;
    keyspace->shard_bits = (uint32_t)__builtin_ctz(shards);
    keyspace->database_count = options->databases == 0 ? 16 : options->databases;
    atomic_init(&keyspace->expires_actively, true);
    usage_init(&keyspace->usage);
    int error = hash_secret_draw(&keyspace->secret, options->seed);
    if (error == 0) error = cursor_secret_draw(&keyspace->cursor_secret, options->seed);
    if (!allocate(keyspace, options->lanes == 0 ? 256 : options->lanes) || error != 0) {
        release(keyspace);
        errno = error != 0 ? error : ENOMEM;
        return NULL;
    }
    seats_init(keyspace);
    shards_init(keyspace);
    return keyspace;
}

/* No thread is left that could hold a lock. */
void keyspace_close(struct keyspace *keyspace) {
    for (uint32_t i = 0; i < keyspace->shard_count; i++)
        for (uint32_t database = 0; database < keyspace->database_count; database++) {
            struct table *table = keyspace_table_unheld(keyspace, i, database);
            if (table != NULL) table_destroy(table);
        }
    release(keyspace);
}

struct lane *lane_attach(struct keyspace *keyspace) {
    struct lane *lane = gate_take_seat(&keyspace->gate);
    if (lane != NULL) budget_use_account(&keyspace->budget, lane->number);
    return lane;
}

/* ------------------------------------------------------------------ who wants to be told */

static void want(_Atomic uint32_t *count, bool is_wanted) {
    if (is_wanted)
        atomic_fetch_add(count, 1);
    else
        atomic_fetch_sub(count, 1);
}

void keyspace_want(struct keyspace *keyspace, bool is_wanted) {
    want(&keyspace->wanting, is_wanted);
}

void keyspace_tell_dead(struct keyspace *keyspace, bool is_wanted) {
    want(&keyspace->tells_dead, is_wanted);
}

void keyspace_tell_misses(struct keyspace *keyspace, bool is_wanted) {
    want(&keyspace->tells_misses, is_wanted);
}

bool keyspace_tells_dead(const struct keyspace *keyspace) {
    return atomic_load_explicit(&keyspace->tells_dead, memory_order_relaxed) > 0;
}

/* ------------------------------------------------------------------ sums */

void keyspace_size(const struct keyspace *keyspace, uint32_t database, struct keyspace_size *size) {
    *size = (struct keyspace_size){0};
    if (!keyspace_database_is_used(keyspace, database)) return;
    for (uint32_t i = 0; i < keyspace->shard_count; i++) {
        const struct table *table = keyspace_table_unheld(keyspace, i, database);
        if (table == NULL) continue;
        size->keys += counter_read(&table->keys);
        size->expiring += counter_read(&table->expiring);
        size->expiry_sum += counter_read(&table->expiry_sum);
        size->bytes += counter_read(&table->bytes);
        size->table_bytes += counter_read(&table->array_bytes);
        uint64_t moves = atomic_load_explicit(&table->moves_most, memory_order_relaxed);
        if (moves > size->moves_most) size->moves_most = moves;
        size->buckets += counter_read(&table->current.homes);
        size->old_buckets += counter_read(&table->old.homes);
    }
}

void keyspace_counts(const struct keyspace *keyspace, struct keyspace_counts *counts) {
    *counts = (struct keyspace_counts){0};
    uint32_t used = atomic_load(&keyspace->gate.lanes_used), expiring_lanes = 0;
    for (uint32_t i = 0; i < used; i++) {
        const struct lane *lane = &keyspace->gate.lanes[i];
        uint64_t glance_hits = counter_read(&lane->glance_hits),
                 glance_misses = counter_read(&lane->glance_misses);
        counts->hits += counter_read(&lane->hits) + glance_hits;
        counts->misses += counter_read(&lane->misses) + glance_misses;
        counts->expired += counter_read(&lane->expired);
        counts->expired_actively += counter_read(&lane->expired_actively);
        counts->evicted += counter_read(&lane->evicted);
        counts->changes += counter_read(&lane->changes);
        counts->exclusive_takes += counter_read(&lane->exclusive_takes);
        counts->shared_takes += counter_read(&lane->shared_takes);
        counts->busy_takes += counter_read(&lane->busy_takes);
        counts->looks += counter_read(&lane->looks) + glance_hits + glance_misses;
        counts->failed_looks += counter_read(&lane->failed_looks);
        counts->gate_closings += counter_read(&lane->gate_closings);
        counts->retired_bytes += counter_read(&lane->account->retired_bytes);
        counts->retired_objects += counter_read(&lane->retired_objects);
        counts->freed_objects += counter_read(&lane->freed_objects);
        counts->expiry_cut_short += counter_read(&lane->expiry_cut_short);
        counts->expiry_cycle_us += counter_read(&lane->expiry_us);
        if (counter_read(&lane->expiry_us) == 0) continue;
        expiring_lanes++;
        counts->stale_ppm += counter_read(&lane->stale_ppm);
    }
    if (expiring_lanes > 0) counts->stale_ppm /= expiring_lanes;
}

/* ------------------------------------------------------------------ whole databases */

static uint64_t flush_shard(struct write_scope *scope, struct shard *shard, uint32_t database)
    REQUIRES(&shard->lock) {
    const struct region region = {shard->number, database, EVENT_FLUSH, database};
    struct table *table = shard_table(shard, database);
    if (table == NULL) return 0;
    uint64_t keys = counter_read(&table->keys);
    tell_before_all(scope, &region);
    shard_drop_table(scope->scope.keyspace, shard, database);
    table_bury(table, scope->scope.lane);
    tell_changed_all(scope, &region);
    return keys;
}

uint64_t keyspace_flush(struct write_scope *held, uint32_t database) {
    struct scope *scope = &held->scope;
    struct keyspace *keyspace = scope->keyspace;
    uint64_t keys = 0;
    uint32_t shards = scope->held == NULL ? keyspace->shard_count : scope->held->count;
    assert(scope->held == NULL || database != KEYSPACE_ALL_DATABASES);
    uint32_t first = database == KEYSPACE_ALL_DATABASES ? 0 : database;
    uint32_t last = database == KEYSPACE_ALL_DATABASES ? keyspace->database_count - 1 : database;
    for (uint32_t i = first; i <= last; i++) {
        if (!keyspace_database_is_used(keyspace, i)) continue;
        for (uint32_t at = 0; at < shards; at++) {
            struct shard *shard = &keyspace->shards[scope->held == NULL ? at : scope->held->numbers[at]];
            shard_assert_exclusive(shard);
            keys += flush_shard(held, shard, i);
        }
    }
    scope->changes += keys;
    counter_add(&scope->lane->changes, keys);
    return keys;
}

/* Tables come at any time. But if none has gone while all were looked at, a shard that had none when it was
 * its turn had none when the look began, either. Otherwise the look begins anew, for which another thread
 * must have dropped a table. */
uint32_t keyspace_find_tables(const struct keyspace *keyspace, uint32_t database,
                              const struct shard_set *others, struct shard_set *more) {
    uint32_t found = 0;
    if (!keyspace_database_is_used(keyspace, database)) return 0;
    for (uint64_t dropped = 0, before = UINT64_MAX; found == 0 && dropped != before;) {
        before = atomic_load(&keyspace->dropped_tables);
        for (uint32_t number = 0; number < keyspace->shard_count; number++) {
            if (keyspace_table_unheld(keyspace, number, database) == NULL || shard_set_has(others, number))
                continue;
            found++;
            (void)shard_set_add(more, number);
        }
        dropped = atomic_load(&keyspace->dropped_tables);
    }
    return found;
}

static void swap_shard(struct write_scope *scope, struct shard *shard, uint32_t first, uint32_t second)
    REQUIRES(&shard->lock) {
    const struct region one = {shard->number, first, EVENT_SWAP, second},
                        other = {shard->number, second, EVENT_SWAP, first};
    struct table *table = shard_table(shard, first);
    if (table == NULL && shard_table(shard, second) == NULL) return;
    tell_before_all(scope, &one);
    tell_before_all(scope, &other);
    shard_set_table(shard, first, shard_table(shard, second));
    shard_set_table(shard, second, table);
    tell_changed_all(scope, &one);
    tell_changed_all(scope, &other);
}

void keyspace_swap(struct write_scope *all, uint32_t first, uint32_t second) {
    struct keyspace *keyspace = all->scope.keyspace;
    assert(all->scope.held == NULL && "the gate is closed");
    keyspace_use_database(keyspace, first);
    keyspace_use_database(keyspace, second);
    for (uint32_t number = 0; number < keyspace->shard_count && first != second; number++) {
        struct shard *shard = &keyspace->shards[number];
        shard_assert_exclusive(shard);
        swap_shard(all, shard, first, second);
    }
    all->scope.changes++;
    counter_add(&all->scope.lane->changes, 1);
}

void keyspace_reclaim(struct lane *lane) {
    while (lane_reclaim(lane)) continue;
}
