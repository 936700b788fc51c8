#include "shard.h"

#include <assert.h>

void keyspace_listen(struct keyspace *keyspace, const struct keyspace_listener *listener) {
    assert(keyspace->listener_count < KEYSPACE_LISTENERS);
    assert(atomic_load(&keyspace->gate.lanes_used) == 0 && "listeners come before lanes");
    keyspace->listeners[keyspace->listener_count++] = *listener;
    if (listener->before != NULL) keyspace->shows_before = true;
    bool is_always_told =
        listener->wanted == NULL && (listener->changed != NULL || listener->mentioned != NULL);
    if (is_always_told) atomic_fetch_add(&keyspace->wanting, 1);
}

void keyspace_use_database(struct keyspace *keyspace, uint32_t database) {
    if (keyspace_database_is_used(keyspace, database) ||
        atomic_exchange(&keyspace->database_is_used[database], true))
        return;
    uint32_t index = atomic_fetch_add(&keyspace->used_database_count, 1);
    atomic_store(&keyspace->used_databases[index], database + 1);
}

uint64_t keyspace_shard_keys(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_table_unheld(keyspace, shard, database);
    return table == NULL ? 0 : counter_read(&table->keys);
}

uint64_t keyspace_shard_expiring(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_table_unheld(keyspace, shard, database);
    return table == NULL ? 0 : counter_read(&table->expiring);
}

bool keyspace_shard_is_settled(const struct keyspace *keyspace, uint32_t shard, uint32_t database) {
    const struct table *table = keyspace_table_unheld(keyspace, shard, database);
    return table == NULL || table_is_settled(table);
}

/* keyspace_find_tables looks without the lock: that a table goes is told before it is gone. */
void shard_drop_table(struct keyspace *keyspace, struct shard *shard, uint32_t database) {
    atomic_fetch_add(&keyspace->dropped_tables, 1);
    shard_set_table(shard, database, NULL);
}
