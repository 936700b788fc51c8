/* Growing and shrinking: a table moves from its old array to the new one a few homes at a time. */
#include <stdlib.h>

#include "../base/memory.h"
#include "array.h"

/* A step that has moved as many entries leaves the next home for the next step. */
#define MOVES_ENOUGH 12

/* Steps of the kind that an insertion takes, for a table that nobody inserts into. */
#define SETTLE_STEPS 16

static void prefetch_home(struct array array, uint64_t home) {
    const struct bucket *bucket = bucket_of(array, home);
    for (int i = 0; i < BUCKET_SLOTS; i++) __builtin_prefetch(entry_of(word_of(&bucket->slots[i])));
}

/* Moves one home of the old array, and returns how many entries that were. While its entries are on their way
 * they are in one array or the other, and `moved` says which is asked: the shard is held exclusively, and who
 * reads without a lock will find that its version has changed. */
static uint32_t move_home(struct table *table, struct lane *lane) {
    struct array old = array_read(&table->old), current = array_read(&table->current);
    uint64_t home = moved_homes(table);
    struct bucket *bucket = bucket_of(old, home);
    uint32_t moves = 0;
    for (int i = 0; i < BUCKET_SLOTS; i++)
        for (uint64_t word; !is_empty(word = word_of(&bucket->slots[i]));
             moves++) { /* array_clear refills it from the spill */
            size_t length;
            const char *data = entry_key(entry_of(word), &length);
            uint64_t hash = lane_hash(lane, data, length),
                     target = home_of(current, place_of_hash(table, hash));
            entry_place(table, current, target, hash, word & ~(SPILLED | HOME_MASK), lane);
            array_clear(table, old, home, &bucket->slots[i], lane);
        }
    atomic_store_explicit(&table->moved, home + 1, memory_order_release);
    lane->voidings++;
    if (home + 1 == old.homes) array_retire(table, &table->old, lane);
    return moves;
}

/* A step of the way from the old array to the current one. Two homes and not one, since two arrays are held
 * until the last is moved. */
static void move_on(struct table *table, struct lane *lane) {
    uint32_t moves = 0;
    for (int homes = 0; homes < 2 && moves < MOVES_ENOUGH && is_resizing(table); homes++) {
        if (!stock_fill(lane)) break; /* next time */
        moves += move_home(table, lane);
    }
    if (moves > atomic_load_explicit(&table->moves_most, memory_order_relaxed))
        atomic_store_explicit(&table->moves_most, moves, memory_order_relaxed);
    struct array old = array_read(&table->old); /* the next operation will read them */
    for (uint64_t home = moved_homes(table); home < old.homes && home < moved_homes(table) + 2; home++)
        prefetch_home(old, home);
}

/* Begins to move to an array of that many groups. Out of memory only means that it is tried again later. */
static void resize(struct table *table, uint64_t groups, struct lane *lane) {
    struct array array, current = array_read(&table->current);
    if (!array_create(table, &array, groups, lane)) return;
    if (array.homes == current.homes) { /* the allocator's size classes left no room to shrink into */
        array_bytes_subtract(table, lane, memory_size(array.groups));
        free(array.groups);
        return;
    }
    atomic_store_explicit(&table->moved, 0, memory_order_release);
    array_write(&table->old, current);
    array_write(&table->current, array);
}

bool table_reserve(struct table *table, struct lane *lane) {
    if (!stock_fill(lane)) return false;
    uint64_t groups = counter_read(&table->current.homes) / GROUP_HOMES;
    if (!is_resizing(table) && counter_read(&table->keys) >= groups * table->grow_at)
        resize(table, groups + (groups * table->grow_by + 99) / 100, lane);
    if (is_resizing(table)) move_on(table, lane);
    return stock_fill(lane);
}

/* Fewer keys than half of what would make it grow: a smaller array would do. But not while homes overflow, as
 * they do where the keys that are left lie close together (a client that deletes in a scan's order leaves the
 * rest of that order): a smaller array would make long ones of them. */
static bool is_sparse(const struct table *table) {
    uint64_t groups = counter_read(&table->current.homes) / GROUP_HOMES;
    return groups > 1 && counter_read(&table->keys) < groups * table->grow_at / 2 &&
           counter_read(&table->spill_buckets) == 0;
}

void table_shrink(struct table *table, struct lane *lane) {
    if (is_resizing(table)) {
        move_on(table, lane);
        return;
    }
    if (!is_sparse(table)) return;
    uint64_t groups = counter_read(&table->current.homes) / GROUP_HOMES;
    uint64_t wanted =
        counter_read(&table->keys) * 10 / (table->grow_at * 8) + 1; /* 80 % of where it would grow again */
    if (wanted < groups / 2) wanted = groups / 2;
    if (wanted < groups) resize(table, wanted, lane);
}

bool table_is_settled(const struct table *table) {
    return !is_resizing(table) && !is_sparse(table) && counter_read(&table->keys) > 0;
}

bool table_settle(struct table *table, struct lane *lane) {
    for (int steps = 0; steps < SETTLE_STEPS && (is_resizing(table) || is_sparse(table)); steps++)
        table_shrink(table, lane);
    return is_resizing(table);
}
