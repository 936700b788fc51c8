#include "keyspace.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "entry/entry_layout.h"
#include "base/memory.h"
#include "scope/scope_take.h"
#include "state/shard.h"
#include "value/value.h"

#define POSITION_BITS CURSOR_BITS
/* Keys whose buckets are fetched before the first of their entries is: as many as a processor can wait for at
 * once, and some more. */
#define PREFETCH_MOST 64

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
    keyspace->lane_count = options->lanes == 0 ? 256 : options->lanes;
    mutex_init(&keyspace->lanes_mutex);
    mutex_init(&keyspace->gate.mutex);
    atomic_init(&keyspace->epoch, 1);
    eviction_init(&keyspace->eviction);
    atomic_init(&keyspace->expires_actively, true);
    keyspace->shards = memory_lines(shards * sizeof *keyspace->shards);
    keyspace->lanes = memory_lines(keyspace->lane_count * sizeof *keyspace->lanes);
    keyspace->tables = calloc((size_t)shards * keyspace->database_count, sizeof *keyspace->tables);
    keyspace->used_databases = calloc(keyspace->database_count, sizeof *keyspace->used_databases);
    keyspace->database_is_used = calloc(keyspace->database_count, sizeof *keyspace->database_is_used);
    int error = hash_secret_draw(&keyspace->secret, options->seed);
    if (error == 0) error = cursor_secret_draw(&keyspace->cursor_secret, options->seed);
    if (keyspace->shards == NULL || keyspace->lanes == NULL || keyspace->tables == NULL ||
        keyspace->used_databases == NULL || keyspace->database_is_used == NULL || error != 0) {
        free(keyspace->used_databases);
        free(keyspace->database_is_used);
        free(keyspace->tables);
        free(keyspace->shards);
        free(keyspace->lanes);
        free(keyspace);
        errno = error != 0 ? error : ENOMEM;
        return NULL;
    }
    for (uint32_t i = 0; i < keyspace->lane_count; i++) {
        keyspace->lanes[i].keyspace = keyspace;
        keyspace->lanes[i].number = i;
    }
    for (uint32_t i = 0; i < shards; i++) {
        struct shard *shard = &keyspace->shards[i];
        rwlock_init(&shard->lock);
        shard->number = i;
        shard->count = shards;
        shard_assert_exclusive(shard); /* nobody else knows of it yet */
        shard->tables = keyspace->tables + i;
    }
    return keyspace;
}

/* Nobody is left who could hold a lock. */
void keyspace_close(struct keyspace *keyspace) NO_THREAD_SAFETY_ANALYSIS {
    for (uint32_t i = 0; i < keyspace->lane_count; i++) assert(!keyspace->lanes[i].is_attached);
    for (uint32_t i = 0; i < keyspace->shard_count; i++)
        for (uint32_t database = 0; database < keyspace->database_count; database++) {
            struct table *table = keyspace_peek_table(keyspace, i, database);
            if (table == NULL) continue;
            table_bury(table, NULL, UINT64_MAX);
        }
    free(atomic_load(&keyspace->eviction.ghosts));
    free(keyspace->used_databases);
    free(keyspace->database_is_used);
    free(keyspace->tables);
    free(keyspace->shards);
    free(keyspace->lanes);
    free(keyspace);
}

uint32_t keyspace_shard_count(const struct keyspace *keyspace) {
    return keyspace->shard_count;
}

uint32_t keyspace_database_count(const struct keyspace *keyspace) {
    return keyspace->database_count;
}

uint64_t keyspace_hash(const struct keyspace *keyspace, const char *data, size_t length) {
    return hash_bytes(&keyspace->secret, data, length);
}

uint32_t keyspace_shard_of(const struct keyspace *keyspace, uint64_t hash) {
    return keyspace_shard(keyspace, hash)->number;
}

struct rwlock *keyspace_lock(struct keyspace *keyspace, uint32_t shard) {
    return &keyspace->shards[shard].lock;
}

uint32_t keyspace_lock_number(const struct keyspace *keyspace, const struct rwlock *lock) {
    return (uint32_t)((const struct shard *)((const char *)lock - offsetof(struct shard, lock)) -
                      keyspace->shards);
}

uint32_t keyspace_position_shard(const struct keyspace *keyspace, uint64_t position) {
    return (uint32_t)(position >> (POSITION_BITS - keyspace->shard_bits));
}

uint64_t keyspace_shard_position(const struct keyspace *keyspace, uint32_t shard) {
    return (uint64_t)shard << (POSITION_BITS - keyspace->shard_bits);
}

uint64_t keyspace_position_cursor(const struct keyspace *keyspace, uint64_t position) {
    return cursor_of_place(&keyspace->cursor_secret, position);
}

uint64_t keyspace_cursor_position(const struct keyspace *keyspace, uint64_t cursor) {
    return cursor_place(&keyspace->cursor_secret, cursor);
}

void keyspace_listen(struct keyspace *keyspace, const struct keyspace_listener *listener) {
    assert(keyspace->listener_count < KEYSPACE_LISTENERS);
    assert(atomic_load(&keyspace->lanes_used) == 0 && "listeners come before lanes");
    keyspace->listeners[keyspace->listener_count++] = *listener;
}

void keyspace_use_database(struct keyspace *keyspace, uint32_t database) {
    if (keyspace_database_is_used(keyspace, database) ||
        atomic_exchange(&keyspace->database_is_used[database], true))
        return;
    uint32_t index = atomic_fetch_add(&keyspace->used_database_count, 1);
    atomic_store(&keyspace->used_databases[index], database + 1);
}

/* ------------------------------------------------------------------ sums */

void keyspace_size(const struct keyspace *keyspace, uint32_t database, struct keyspace_size *size) {
    *size = (struct keyspace_size){0};
    if (!keyspace_database_is_used(keyspace, database)) return;
    for (uint32_t i = 0; i < keyspace->shard_count; i++) {
        const struct table *table = keyspace_peek_table(keyspace, i, database);
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

uint64_t keyspace_shard_keys(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_peek_table(keyspace, shard, database);
    return table == NULL ? 0 : counter_read(&table->keys);
}

uint64_t keyspace_shard_expiring(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_peek_table(keyspace, shard, database);
    return table == NULL ? 0 : counter_read(&table->expiring);
}

bool keyspace_shard_is_settled(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_peek_table(keyspace, shard, database);
    return table == NULL || table_is_settled(table);
}

void keyspace_counts(const struct keyspace *keyspace, struct keyspace_counts *counts) {
    *counts = (struct keyspace_counts){0};
    uint32_t used = atomic_load(&keyspace->lanes_used), expiring_lanes = 0;
    for (uint32_t i = 0; i < used; i++) {
        const struct lane *lane = &keyspace->lanes[i];
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
        counts->retired_bytes += counter_read(&lane->retired_bytes);
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

static void tell_whole(struct keyspace *keyspace, const struct key *key, enum event event, uint32_t other) {
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL)
            keyspace->listeners[i].changed(keyspace->listeners[i].context, key, NULL, event, other);
}

/* keyspace_find_tables looks without the lock: that a table goes is told before it is gone. */
void shard_drop_table(struct keyspace *keyspace, struct shard *shard, uint32_t database) {
    atomic_fetch_add(&keyspace->dropped_tables, 1);
    shard_set_table(shard, database, NULL);
}

static void tell_flushed(struct keyspace *keyspace, const struct shard *shard, uint32_t database) {
    uint64_t hash = (uint64_t)shard->number << 1 << (63 - keyspace->shard_bits);
    assert(keyspace_shard(keyspace, hash) == shard);
    tell_whole(keyspace, &(struct key){.database = database, .hash = hash}, EVENT_FLUSH, database);
}

static uint64_t flush_shard(struct lane *lane, struct shard *shard, uint32_t database)
    REQUIRES(&shard->lock) {
    struct table *table = shard_table(shard, database);
    if (table == NULL) return 0;
    uint64_t keys = counter_read(&table->keys);
    shard_drop_table(lane->keyspace, shard, database);
    counter_add(&lane->retired_bytes, counter_read(&table->bytes) + counter_read(&table->array_bytes));
    counter_add(&lane->retired_objects, keys);
    counter_subtract(&lane->entry_bytes, counter_read(&table->bytes));
    counter_subtract(&lane->main_bytes, counter_read(&table->main_bytes));
    counter_subtract(&lane->entries, keys);
    counter_subtract(&lane->expiring, counter_read(&table->expiring));
    table->next_grave = lane->flushed;
    lane->flushed = table;
    lane->is_flushed_sealed = false;
    tell_flushed(lane->keyspace, shard, database);
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
            keys += flush_shard(scope->lane, shard, i);
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
            if (keyspace_peek_table(keyspace, number, database) == NULL || shard_set_has(others, number))
                continue;
            found++;
            (void)shard_set_add(more, number);
        }
        dropped = atomic_load(&keyspace->dropped_tables);
    }
    return found;
}

void keyspace_swap(struct write_scope *all, uint32_t first, uint32_t second) {
    struct keyspace *keyspace = all->scope.keyspace;
    assert(all->scope.held == NULL && "the gate is closed");
    keyspace_use_database(keyspace, first);
    keyspace_use_database(keyspace, second);
    for (uint32_t number = 0; number < keyspace->shard_count; number++) {
        struct shard *shard = &keyspace->shards[number];
        shard_assert_exclusive(shard);
        struct table *table = shard_table(shard, first);
        shard_set_table(shard, first, shard_table(shard, second));
        shard_set_table(shard, second, table);
    }
    tell_whole(keyspace, &(struct key){.database = first}, EVENT_SWAP, second);
    tell_whole(keyspace, &(struct key){.database = second}, EVENT_SWAP, first);
    all->scope.changes++;
    counter_add(&all->scope.lane->changes, 1);
}

struct burial {
    struct table *table;
    struct lane *lane; /* NULL: there is time */
};

static void bury_slot(void *context, slot *at) {
    struct burial *burial = context;
    struct entry *entry = slot_entry(at);
    counter_subtract(&burial->table->keys, 1);
    counter_subtract(&burial->table->bytes, entry_bytes(entry));
    if (burial->lane == NULL || entry_encoding(entry) != ENCODING_VALUE) {
        entry_free(entry);
        return;
    }
    /* It may be a large one, and then has slices of its own. */
    lane_discard(burial->lane, value_kind(entry_type(entry)), entry_pointer(entry));
    free(entry);
}

/* Counted in homes, so that a large table with few entries is no long work either. */
bool table_bury(struct table *table, struct lane *lane, uint64_t homes) {
    struct burial burial = {table, lane};
    do {
        table->buried = table_visit(table, table->buried, bury_slot, &burial);
    } while (table->buried != 0 && --homes > 0);
    if (table->buried != 0) return false;
    table_free(table);
    return true;
}

void keyspace_reclaim(struct lane *lane) {
    while (lane_reclaim(lane)) continue;
}

/* ------------------------------------------------------------------ prefetching */

inline void fetch_home(const struct lane *lane, uint64_t hash, uint32_t database, struct fetch *fetch) {
    uint64_t number = keyspace_shard_number(lane->keyspace, hash);
    const struct rwlock *lock = &lane->keyspace->shards[number].lock;
    const struct table *table = keyspace_peek_table(lane->keyspace, number, database);
    fetch->home = (struct home){NULL, 0};
    fetch->voidings = lane->voidings;
    fetch->database = database;
    if (table != NULL && rwlock_peek(lock, &fetch->version))
        fetch->home = table_home(table, hash, lock, fetch->version);
}

void keyspace_prefetch(const struct lane *lane, const struct key *keys, size_t count) {
    struct fetch fetches[PREFETCH_MOST];
    for (size_t now; count > 0; keys += now, count -= now) {
        now = count < PREFETCH_MOST ? count : PREFETCH_MOST;
        for (size_t i = 0; i < now; i++) fetch_home(lane, keys[i].hash, keys[i].database, &fetches[i]);
        for (size_t i = 0; i < now; i++) fetch_entry(&fetches[i], keys[i].hash);
        for (size_t i = 0; i < now; i++) fetch_spilled(&fetches[i], keys[i].hash);
    }
}
