/* The table of one database in one shard: a hash table in the order of hashes, in cache lines of atomic
 * words.
 *
 *     group    +--------+--------+--------+--------+--------+--------+--------+--------+
 *     512 B    | home 0 | home 1 | home 2 | home 3 | home 4 | home 5 | home 6 |  spill |    a cache line each
 *              +--------+--------+--------+--------+--------+--------+--------+--------+
 *     home     | slot   | slot   | slot   | slot   | slot   | slot   | slot   | slot   |
 *     spill    | slot   | slot   | slot   | slot   | slot   | slot   | slot   | link   |
 *              +--------+--------+--------+--------+--------+--------+--------+--------+
 *
 *     slot     63        50  49     48         47                     4  3          2        0
 *              +-----------+------+-----------+------------------------+-----------+---------+
 *              | tag       | main | expires   | entry's address        | spilled   | home    |
 *              +-----------+------+-----------+------------------------+-----------+---------+
 *
 * link     a further spill bucket, or 0
 * tag      the 14 low bits of the hash; the bucket is chosen by the high ones
 * main     as the entry's access has it (access.h), so that eviction need not look at entries of the other
 *          part
 * expires  the entry has an expiry, so that expiry cycles need not look at the others
 * spilled  in the last slot of a home bucket (even if that slot is empty): entries of this home stand in the
 *          spill
 * home     in a spill slot: which of the seven homes the entry belongs to
 *
 * A key's place is its hash without the shard's bits, cut to what a scan cursor holds; its home is place x
 * homes >> 64, so any number of groups is possible, growth by a quarter keeps the load high, and a place in
 * the order of hashes means the same in every size of table. The seven homes share a spill bucket, which
 * keeps a miss at one line for most keys at a load of more than 80 %; a bucket that overflows further links
 * another one, but not more than TABLE_LINKS_MOST: then its keys go to the table's crowd (crowd.h). While
 * there is one, nobody looks without the lock.
 *
 * Growth and shrinking move two homes per insertion or removal from the old array to the new. Homes of the
 * old array below `moved` have been moved: a key's hash tells which array to look in, so a lookup looks in
 * one only.
 *
 * The words are atomic because readers without a lock and prefetching look at them. Arrays that were left are
 * retired (lane.h). Everything here is called with the shard held: exclusively, or shared where noted. */
#ifndef SHARD_TABLE_TABLE_H
#define SHARD_TABLE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/entry.h"
#include "../base/key.h"
#include "../lock/reclaim.h"

struct crowd_node;
struct lane;
struct rwlock;

#define BUCKET_SLOTS 8
#define GROUP_HOMES 7

/* No operation moves more entries than this from array to array, whatever the size of the table. */
#define TABLE_MOVES_MOST 64
/* Further buckets that a spill may link. Random hashes need none as a rule, and never as many: a group would
 * have to be twice as full as the average. */
#define TABLE_LINKS_MOST 5

struct bucket {
    _Alignas(64) _Atomic uint64_t slots[BUCKET_SLOTS];
};

struct group {
    struct bucket homes[GROUP_HOMES];
    struct bucket spill;
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");
_Static_assert(sizeof(struct group) == (GROUP_HOMES + 1) * sizeof(struct bucket),
               "and a group a row of them");

/* Atomic, since they are read without the lock, too; what was read then counts only if the shard's version is
 * the same afterwards. */
struct table_array {
    _Atomic(struct group *) groups;
    _Atomic uint64_t homes; /* GROUP_HOMES x groups; 0: no array */
};

struct table {
    struct table_array current;
    struct table_array old;             /* being moved out of, or no array */
    _Atomic uint64_t moved;             /* homes of `old` that are done */
    _Atomic(struct crowd_node *) crowd; /* what found no room in its home and spill */
    /* Entries per group at which this table grows, and by how many per cent. Both differ from shard to shard,
     * so that a key costs about the same at every size of the keyspace. The allocator has four size classes
     * to a doubling, and either percentage is a step of two of them; but one leads from odd classes to odd
     * ones, the other from even to even. */
    uint16_t grow_at, grow_by;
    uint32_t hash_shift; /* high bits of the hash that all keys of the shard share */
    struct grave grave;  /* of a flushed table, */
    uint64_t swept;      /* steps of table_sweep's present round */
    uint64_t buried;     /* and the place that its burial goes on at */
    /* Published: written with the shard held exclusively, read by anybody. */
    _Atomic uint64_t keys, expiring, expiry_sum, bytes, array_bytes, spill_buckets;
    _Atomic uint64_t main_bytes;   /* of entries in the main part (access.h) */
    _Atomic uint32_t access_epoch; /* form of its entries' access (eviction.h) */
    _Atomic uint32_t moves_most;   /* the most entries that one operation has moved */
};

/* A slot, to be used before the table changes again. */
typedef _Atomic uint64_t slot;

/* NULL when out of memory. What it allocates here and later is charged to the lane at hand. */
struct table *table_create(uint32_t shard, uint32_t hash_shift, struct lane *lane);
/* Frees the arrays, not the entries. No reader is left. */
void table_free(struct table *table);

/* Shared is enough. NULL if absent. Does not look at expiry. */
slot *table_find(const struct table *table, const struct key *key);
static inline struct entry *slot_entry(const slot *at) {
    return (struct entry *)(uintptr_t)(atomic_load_explicit(at, memory_order_acquire) &
                                       UINT64_C(0x0000FFFFFFFFFFF0));
}
static inline bool slot_expires(const slot *at) {
    return (atomic_load_explicit(at, memory_order_relaxed) & (UINT64_C(1) << 48)) != 0;
}
/* Whether the entry is in the main part, if entries have parts. */
static inline bool slot_is_main(const slot *at) {
    return (atomic_load_explicit(at, memory_order_relaxed) & (UINT64_C(1) << 49)) != 0;
}
/* table_find where all but the key's hash is forgotten. */
struct hash_secret;
slot *table_find_hash(const struct table *table, uint64_t hash, const struct hash_secret *secret);

/* Looking without the lock, inside the gate, in steps, so that a look for many keys can take each step for
 * all of them and waits for memory once. What is seen counts only if the shard's version is the same
 * afterwards; an entry is read by atomic words (entry_layout.h). Whatever was left or removed meanwhile is
 * still there to be read. */
struct home {
    const struct bucket *bucket; /* NULL: nowhere */
    uint64_t number;             /* in its group */
};
/* The home of a key, whose line is then on its way to the cache; `nowhere` if the shard's version isn't that
 * any more, or the table has a crowd. */
struct home table_home(const struct table *table, uint64_t hash, const struct rwlock *lock, uint32_t version);
/* The lines of the entries that may be the key's. Returns false if it is the spill's line that was sent for,
 * and home_prefetch_spilled is the next step. */
bool home_prefetch(struct home home, uint64_t hash);
void home_prefetch_spilled(struct home home, uint64_t hash);
/* NULL if absent. Does not look at expiry. */
const struct entry *home_find(struct home home, const struct key *key);
/* table_find, with the shard held, where the key's home is known. */
slot *home_find_slot(struct home home, const struct key *key);

/* Makes sure that one insertion can't fail, and moves two homes if the table is growing: slots found before
 * are void. false when out of memory. */
bool table_reserve(struct table *table, struct lane *lane);
/* The key is absent, and table_reserve was called just before. Returns its slot. */
slot *table_insert(struct table *table, uint64_t hash, struct entry *entry, struct lane *lane);
/* The slot's entry becomes another one of the same key, or its expiry came or went, or its part changed. The
 * counts are the caller's: */
void table_replace(slot *at, const struct entry *entry);
/* Take an entry's bytes and expiry into the table's counts, and out of them: around a change. */
void table_count(struct table *table, const struct entry *entry, struct lane *lane);
void table_uncount(struct table *table, const struct entry *entry, struct lane *lane);
/* An entry that is counted is so many bytes larger than that. */
void table_count_bytes(struct table *table, const struct entry *entry, int64_t more, struct lane *lane);
/* Empties the slot of a key, and moves two homes if the table is changing its size: other slots are void. */
void table_remove(struct table *table, slot *at, uint64_t hash, struct lane *lane);

/* Calls visit for the slots of the one home bucket that `place` falls into. Returns the first place behind
 * it, or 0 when it was the last. Shared is enough. visit must not change the table. */
uint64_t table_visit(const struct table *table, uint64_t place, void (*visit)(void *context, slot *at),
                     void *context);

/* The same for a home that table_sweep chooses: a round visits each (but what is on its way between arrays),
 * every part of a round homes from all over the table, so that removing what it finds leaves no region fuller
 * than others. false when a round is complete. Exclusive. */
bool table_sweep(struct table *table, void (*visit)(void *context, slot *at), void *context);

/* Whether there is nothing to do for table_settle, and somebody is in it. No lock needed; inside the gate. */
bool table_is_settled(const struct table *table);
/* Brings a change of size some steps further, or begins to shrink, for a table that nobody changes just now.
 * true if it is still on its way. */
bool table_settle(struct table *table, struct lane *lane);
/* The end of a table with all that is in it, which nobody finds any more: it is counted as retired, and freed
 * by lane_reclaim when nobody looks at it, either. */
void table_bury(struct table *table, struct lane *lane);
/* The same at once, where nobody is left to look at it; nothing is counted any more. */
void table_destroy(struct table *table);
/* An empty table, which nobody finds any more, goes once nobody looks at it. */
void table_retire(struct table *table, struct lane *lane);

#endif
