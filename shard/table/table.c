#include "table.h"

#include <stdlib.h>

#include "../base/memory.h"
#include "../entry/access.h"
#include "../lock/reclaim.h"
#include "array.h"

/* Entries per group at which a table grows: around 52 of 63 slots, spread so that the shards don't all grow
 * at once. */
#define GROW_LEAST 48
#define GROW_SPREAD 7

struct table *table_create(uint32_t shard, uint32_t hash_shift, struct lane *lane) {
    struct table *table = memory_lines(sizeof *table);
    if (table == NULL) return NULL;
    table->grow_at = GROW_LEAST + (uint32_t)((shard * UINT32_C(2654435761)) >> 16) % (GROW_SPREAD + 1);
    table->grow_by = shard % 2 ? 30 : 25;
    table->hash_shift = hash_shift;
    struct array array;
    if (!array_create(table, &array, 1, lane)) {
        free(table);
        return NULL;
    }
    array_write(&table->current, array);
    array_bytes_add(table, lane, memory_size(table));
    return table;
}

void table_free(struct table *table) {
    array_free(array_read(&table->current));
    array_free(array_read(&table->old));
    for (struct crowd_node *crowd = crowd_of(table), *first; crowd != NULL;) {
        crowd = crowd_take_first(crowd, &first);
        free(first);
    }
    free(table);
}

static void release_table(void *memory) {
    table_free(memory);
}

void table_retire(struct table *table, struct lane *lane) {
    assert(counter_read(&table->keys) == 0);
    uint64_t bytes = counter_read(&table->array_bytes);
    lane_charge(lane, -(int64_t)bytes);
    lane_retire(lane, table, bytes, release_table);
}

/* ------------------------------------------------------------------ changing */

static uint64_t word_for(uint64_t tag, const struct entry *entry) {
    assert(((uintptr_t)entry & ~ADDRESS_MASK) == 0);
    return tag | (access_is_main(access_read(entry)) ? MAIN : 0) |
           (entry_expiry(entry) != ENTRY_NO_EXPIRY ? EXPIRES : 0) | (uint64_t)(uintptr_t)entry;
}

static inline void tally_bytes(struct table *table, const struct entry *entry, struct lane *lane,
                               uint64_t bytes) {
    counter_add(&table->bytes, bytes);
    counter_add(&lane->account->entry_bytes, bytes);
    lane_charge(lane, (int64_t)bytes);
    if (!access_is_main(access_read(entry))) return;
    counter_add(&table->main_bytes, bytes);
    counter_add(&lane->account->main_bytes, bytes);
}

void table_count_bytes(struct table *table, const struct entry *entry, int64_t more, struct lane *lane) {
    tally_bytes(table, entry, lane, (uint64_t)more);
}

/* sign: 1 or -1 (as unsigned numbers wrap). */
static void tally(struct table *table, const struct entry *entry, struct lane *lane, uint64_t sign) {
    int64_t expiry = entry_expiry(entry);
    tally_bytes(table, entry, lane, entry_bytes(entry) * sign);
    if (expiry == ENTRY_NO_EXPIRY) return;
    counter_add(&table->expiring, sign);
    counter_add(&lane->account->expiring, sign);
    counter_add(&table->expiry_sum, (uint64_t)expiry * sign);
}

void table_count(struct table *table, const struct entry *entry, struct lane *lane) {
    tally(table, entry, lane, 1);
}

void table_uncount(struct table *table, const struct entry *entry, struct lane *lane) {
    tally(table, entry, lane, UINT64_MAX);
}

slot *table_insert(struct table *table, uint64_t hash, struct entry *entry, struct lane *lane) {
    uint64_t home;
    struct array array = array_of(table, place_of_hash(table, hash), &home);
    slot *at = entry_place(table, array, home, hash, word_for(tag_of(hash), entry), lane);
    counter_add(&table->keys, 1);
    counter_add(&lane->account->entries, 1);
    table_count(table, entry, lane);
    return at;
}

void table_remove(struct table *table, slot *at, uint64_t hash, struct lane *lane) {
    uint64_t home;
    struct array array = array_of(table, place_of_hash(table, hash), &home);
    counter_subtract(&table->keys, 1);
    counter_subtract(&lane->account->entries, 1);
    struct crowd_node *node = crowd_node_of(table, at, hash);
    table_uncount(table, slot_entry(at), lane);
    if (node != NULL)
        crowd_clear(table, node, lane);
    else
        array_clear(table, array, home, at, lane);
    table_shrink(table, lane);
}

void table_replace(slot *at, const struct entry *entry) {
    uint64_t word = word_of(at);
    word_set(at, word_for(word & TAG_MASK, entry) | (word & (SPILLED | HOME_MASK)));
}
