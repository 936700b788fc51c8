/* How a table's arrays are laid out (the picture is in table.h), and how to find one's way in them: what the
 * files of this room share, and nobody else includes. */
#ifndef SHARD_TABLE_ARRAY_H
#define SHARD_TABLE_ARRAY_H

#include <assert.h>

#include "../base/counter.h"
#include "../base/crowd.h"
#include "../entry/entry_layout.h"
#include "../lock/lane.h"
#include "table.h"

#define EXPIRES (UINT64_C(1) << 48)
#define MAIN (UINT64_C(1) << 49)
#define SPILLED UINT64_C(8)
#define HOME_MASK UINT64_C(7)
#define ADDRESS_MASK UINT64_C(0x0000FFFFFFFFFFF0)
#define TAG_SHIFT 50
#define TAG_LOW UINT64_C(0x3FFF)
#define TAG_MASK (TAG_LOW << TAG_SHIFT)
_Static_assert((TAG_MASK ^ MAIN ^ EXPIRES ^ ADDRESS_MASK ^ SPILLED ^ HOME_MASK) == UINT64_MAX &&
                   TAG_SHIFT + 14 == 64,
               "a slot's parts fill its word and don't overlap");
_Static_assert(GROUP_HOMES <= HOME_MASK, "a home's number fits its bits");
#define SPILL_SLOTS (BUCKET_SLOTS - 1) /* the last word of a spill bucket is its link */

static inline uint64_t word_of(const slot *at) {
    return atomic_load_explicit(at, memory_order_acquire);
}

static inline void word_set(slot *at, uint64_t word) {
    atomic_store_explicit(at, word, memory_order_release);
}

static inline bool is_empty(uint64_t word) {
    return (word & ADDRESS_MASK) == 0;
}

static inline uint64_t tag_of(uint64_t hash) {
    return hash << TAG_SHIFT;
}

static inline struct entry *entry_of(uint64_t word) {
    return (struct entry *)(uintptr_t)(word & ADDRESS_MASK);
}

static inline struct bucket *link_of(const struct bucket *spill) {
    return (struct bucket *)(uintptr_t)word_of(&spill->slots[SPILL_SLOTS]);
}

/* A table_array as it was read: both words belong together if the shard was held, or if its version proves it
 * afterwards. */
struct array {
    struct group *groups;
    uint64_t homes;
};

static inline struct array array_read(const struct table_array *array) {
    return (struct array){atomic_load_explicit(&array->groups, memory_order_acquire),
                          atomic_load_explicit(&array->homes, memory_order_acquire)};
}

static inline void array_write(struct table_array *array, struct array value) {
    atomic_store_explicit(&array->groups, value.groups, memory_order_release);
    atomic_store_explicit(&array->homes, value.homes, memory_order_release);
}

static inline bool is_resizing(const struct table *table) {
    return counter_read(&table->old.homes) != 0;
}

static inline uint64_t moved_homes(const struct table *table) {
    return atomic_load_explicit(&table->moved, memory_order_acquire);
}

static inline uint64_t home_of(struct array array, uint64_t place) {
    return (uint64_t)(((unsigned __int128)place * array.homes) >> 64);
}

/* Places have 52 - hash_shift significant bits, so that one fits a scan cursor exactly. */
static inline uint64_t place_step(const struct table *table) {
    return UINT64_C(1) << (12 + table->hash_shift);
}

/* The first place of a home: the least one that home_of maps to it. 0 for the home behind the last one, as
 * 2^64 has no other name. */
static inline uint64_t place_of(const struct table *table, struct array array, uint64_t home) {
    if (home >= array.homes) return 0;
    unsigned __int128 product = (unsigned __int128)home << 64;
    uint64_t place = (uint64_t)((product + array.homes - 1) / array.homes);
    return (place + place_step(table) - 1) & ~(place_step(table) - 1);
}

/* Homes and spills are lines in one row: seven homes, a spill, seven homes ... The product is home / 7 for
 * all homes that there can be (below 2^61). */
static inline uint64_t line_of(uint64_t home) {
    _Static_assert(GROUP_HOMES == 7, "the factor is 2^64 / 7, rounded up");
    return home + (uint64_t)(((unsigned __int128)home * UINT64_C(0x2492492492492493)) >> 64);
}

static inline struct bucket *line_at(struct array array, uint64_t line) {
    void *first = array.groups;
    return (struct bucket *)first + line;
}

static inline struct bucket *bucket_of(struct array array, uint64_t home) {
    return line_at(array, line_of(home));
}

static inline struct home home_at(struct array array, uint64_t home) {
    uint64_t line = line_of(home);
    return (struct home){line_at(array, line), line % (GROUP_HOMES + 1)};
}

static inline const struct bucket *home_spill(struct home home) {
    return home.bucket + (GROUP_HOMES - home.number);
}

static inline struct bucket *spill_of(struct array array, uint64_t home) {
    return &array.groups[home / GROUP_HOMES].spill;
}

/* The array that a place's keys are in. */
static inline struct array array_of(const struct table *table, uint64_t place, uint64_t *home) {
    struct array old = array_read(&table->old);
    if (old.homes != 0) {
        *home = home_of(old, place);
        if (*home >= moved_homes(table)) return old;
    }
    struct array current = array_read(&table->current);
    *home = home_of(current, place);
    return current;
}

static inline uint64_t place_of_hash(const struct table *table, uint64_t hash) {
    return hash >> 12 << 12 << table->hash_shift; /* a multiple of place_step */
}

/* In the crowd: as the places are ordered, and still one for each hash. */
static inline uint64_t order_of_hash(const struct table *table, uint64_t hash) {
    return hash << table->hash_shift;
}

static inline struct crowd_node *crowd_of(const struct table *table) {
    return atomic_load_explicit(&table->crowd, memory_order_acquire);
}

static inline const char *entry_name(const void *entry, size_t *length) {
    return entry_key(entry, length);
}

static inline slot *crowd_find_slot(const struct table *table, const struct key *key) {
    struct crowd_node *found =
        crowd_find(crowd_of(table), entry_name, order_of_hash(table, key->hash), key->data, key->length);
    return found == NULL ? NULL : &found->word;
}

/* array.c. What is allocated and freed is charged to the lane. */
void array_bytes_add(struct table *table, struct lane *lane, size_t bytes);
void array_bytes_subtract(struct table *table, struct lane *lane, size_t bytes);
/* Empty, of that many groups or what the allocator gives for them. false when out of memory. */
bool array_create(struct table *table, struct array *array, uint64_t groups, struct lane *lane);
/* One that has been left is freed when nobody looks at it any more. */
void array_retire(struct table *table, struct table_array *place, struct lane *lane);
/* With its spills. Nobody looks at it. */
void array_free(struct array array);

/* place.c. Enough spill buckets, and nodes of the crowd, for one insertion and the home that it moves: then
 * neither fails halfway. false when out of memory. */
bool stock_fill(struct lane *lane);
/* Puts a word (tag, bits and address) where there is room for it: in the home, its spill, or the crowd. */
slot *entry_place(struct table *table, struct array array, uint64_t home, uint64_t hash, uint64_t word,
                  struct lane *lane);
/* Empties a slot of this home, and refills a home slot from the spill. */
void array_clear(struct table *table, struct array array, uint64_t home, slot *at, struct lane *lane);
/* The crowd's node whose slot that is, or NULL; and takes one out. */
struct crowd_node *crowd_node_of(const struct table *table, const slot *at, uint64_t hash);
void crowd_clear(struct table *table, struct crowd_node *node, struct lane *lane);

/* resize.c. After a removal: a step of the way that the table is on, or the first one to a smaller size. */
void table_shrink(struct table *table, struct lane *lane);

#endif
