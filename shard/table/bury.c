/* The end of a table that was flushed: its entries are freed in slices, as a grave of its lane. */
#include <stddef.h>
#include <stdlib.h>

#include "../lock/reclaim.h"
#include "array.h"

/* Homes of a slice, so that a large table with few entries is no long work either: about a tenth of a
 * millisecond, since a busy worker frees one every turn. */
#define BURY_SLICE 128

struct burial {
    struct table *table;
    struct lane *lane; /* NULL: there is time */
};

static void bury_slot(void *context, slot *at) {
    struct burial *burial = context;
    struct entry *entry = slot_entry(at);
    counter_subtract(&burial->table->keys, 1);
    counter_subtract(&burial->table->bytes, entry_bytes(entry));
    if (burial->lane != NULL)
        entry_discard(burial->lane, entry);
    else
        entry_free(entry);
}

/* True when the table itself is gone. */
static bool bury_homes(struct table *table, struct lane *lane, uint64_t homes) {
    struct burial burial = {table, lane};
    do {
        table->buried = table_visit(table, table->buried, bury_slot, &burial);
    } while (table->buried != 0 && --homes > 0);
    if (table->buried != 0) return false;
    table_free(table);
    return true;
}

static uint64_t bytes_of(const struct table *table) {
    return counter_read(&table->bytes) + counter_read(&table->array_bytes);
}

static bool bury_some(struct grave *grave, struct lane *lane) {
    struct table *table = (struct table *)((char *)grave - offsetof(struct table, grave));
    uint64_t bytes = bytes_of(table), keys = counter_read(&table->keys);
    bool is_gone = bury_homes(table, lane, BURY_SLICE);
    if (!is_gone) {
        bytes -= bytes_of(table);
        keys -= counter_read(&table->keys);
    }
    counter_subtract(&lane->account->retired_bytes, bytes);
    counter_subtract(&lane->retired_objects, keys);
    counter_add(&lane->freed_objects, keys);
    lane_charge(lane, -(int64_t)bytes);
    return is_gone;
}

void table_bury(struct table *table, struct lane *lane) {
    struct account *account = lane->account;
    counter_add(&account->retired_bytes, bytes_of(table));
    counter_add(&lane->retired_objects, counter_read(&table->keys));
    counter_subtract(&account->entry_bytes, counter_read(&table->bytes));
    counter_subtract(&account->main_bytes, counter_read(&table->main_bytes));
    counter_subtract(&account->entries, counter_read(&table->keys));
    counter_subtract(&account->expiring, counter_read(&table->expiring));
    table->grave.bury_some = bury_some;
    lane_bury(lane, &table->grave);
}

void table_destroy(struct table *table) {
    bury_homes(table, NULL, UINT64_MAX);
}
