#include "fetch.h"

#include "shard.h"

/* Keys whose buckets are fetched before the first of their entries is: as many as a processor can wait for at
 * once, and some more. */
#define PREFETCH_MOST 64

inline void fetch_home(const struct lane *lane, uint64_t hash, uint32_t database, struct fetch *fetch) {
    uint64_t number = keyspace_shard_number(lane->keyspace, hash);
    const struct rwlock *lock = &lane->keyspace->shards[number].lock;
    const struct table *table = keyspace_table_unheld(lane->keyspace, number, database);
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
