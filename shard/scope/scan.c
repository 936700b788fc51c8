/* Walking a shard of a scope in the order of the hashes. */
#include <assert.h>

#include "../store/shard.h"
#include "inside.h"
#include "scope_take.h"

struct scan {
    const struct scope *scope;
    scope_visitor *visit;
    void *context;
    size_t visited;
};

static void scan_slot(void *context, slot *at) {
    struct scan *scan = context;
    const struct entry *entry = slot_entry(at);
    scan->visited++;
    if (slot_expires(at) && entry_expiry(entry) <= scan->scope->now) return;
    scan->visit(scan->context, entry);
}

uint64_t scope_scan(const struct read_scope *scope, uint32_t number, uint32_t database, uint64_t position,
                    size_t count, scope_visitor *visit, void *context) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    assert(keyspace != NULL && "the scope has not ended");
    struct shard *shard = &keyspace->shards[number];
    scope_assert_held(&scope->scope, shard);
    assert(keyspace_position_shard(keyspace, position) == number);
    shard_assert_shared(shard);
    const struct table *table = shard_table(shard, database);
    if (table == NULL) return SCOPE_SCAN_END;
    struct scan scan = {&scope->scope, visit, context, 0};
    uint64_t place = position << 12 << keyspace->shard_bits;
    do {
        place = table_visit(table, place, scan_slot, &scan);
        if (place == 0) return SCOPE_SCAN_END;
    } while (scan.visited < count);
    return keyspace_shard_position(keyspace, number) | place >> keyspace->shard_bits >> 12;
}
