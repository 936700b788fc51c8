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

/* ------------------------------------------------------------------ what has expired */

/* So many are remembered before they are removed: that moves others, and can't be done while a bucket is
 * visited. */
#define DEAD_MOST 64

struct dead {
    const struct scope *scope;
    scope_filter *wants;
    void *context;
    uint32_t count;
    bool is_full; /* there are more */
    const struct entry *entries[DEAD_MOST];
};

static void note_dead(void *context, slot *at) {
    struct dead *dead = context;
    const struct entry *entry = slot_entry(at);
    if (!slot_expires(at) || entry_expiry(entry) > dead->scope->now) return;
    if (dead->wants != NULL && !dead->wants(dead->context, entry)) return;
    if (dead->count == DEAD_MOST)
        dead->is_full = true;
    else
        dead->entries[dead->count++] = entry;
}

/* What is held exclusively is a scope to write through. */
static void remove_noted(const struct read_scope *reading, const struct shard *shard, const struct dead *dead,
                         uint32_t database) REQUIRES_SHARED(&shard->lock) {
    struct write_scope *scope = (struct write_scope *)(uintptr_t)reading;
    for (uint32_t i = 0; i < dead->count; i++) {
        size_t length;
        const char *data = entry_key(dead->entries[i], &length);
        struct key key = keyspace_key(scope->scope.keyspace, database, data, length);
        scope_lapse(scope, &key, scope_find_slot(&scope->scope, shard, &key));
    }
}

void scope_remove_dead(const struct read_scope *scope, uint32_t number, uint32_t database, uint64_t position,
                       uint64_t next, scope_filter *wants, void *context) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    if (!scope_tells_dead(&scope->scope) || !scope->scope.is_exclusive || scope->scope.is_editing) return;
    struct shard *shard = &keyspace->shards[number];
    scope_assert_held(&scope->scope, shard);
    shard_assert_shared(shard);
    const struct table *table = shard_table(shard, database);
    if (table == NULL || counter_read(&table->expiring) == 0) return;
    struct dead dead = {.scope = &scope->scope, .wants = wants, .context = context};
    uint64_t place = position << 12 << keyspace->shard_bits,
             until = next == SCOPE_SCAN_END ? UINT64_MAX : next << 12 << keyspace->shard_bits;
    bool is_at_end = false;
    while (!is_at_end) {
        uint64_t from = place;
        dead.count = 0;
        dead.is_full = false;
        while (!is_at_end && !dead.is_full) {
            from = place;
            place = table_visit(table, place, note_dead, &dead);
            is_at_end = !dead.is_full && (place == 0 || place >= until);
        }
        remove_noted(scope, shard, &dead, database);
        if (dead.is_full) place = from; /* not all of that bucket was noted */
    }
}
