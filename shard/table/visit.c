/* Visiting a table's slots, home by home: in the order of the hashes, or from all over the table. */
#include "../base/hash.h"
#include "array.h"

/* The slots of a home and what it has in its spill. */
static void array_visit(struct array array, uint64_t home, void (*visit)(void *context, slot *at),
                        void *context) {
    struct bucket *bucket = bucket_of(array, home);
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (!is_empty(word_of(&bucket->slots[i]))) visit(context, &bucket->slots[i]);
    if ((word_of(&bucket->slots[BUCKET_SLOTS - 1]) & SPILLED) == 0) return;
    for (struct bucket *spill = spill_of(array, home); spill != NULL; spill = link_of(spill))
        for (int i = 0; i < SPILL_SLOTS; i++) {
            uint64_t word = word_of(&spill->slots[i]);
            if (!is_empty(word) && (word & HOME_MASK) == home % GROUP_HOMES) visit(context, &spill->slots[i]);
        }
}

struct slot_visit {
    void (*visit)(void *context, slot *at);
    void *context;
};

static bool visit_node(void *context, struct crowd_node *node) {
    const struct slot_visit *slots = context;
    slots->visit(slots->context, &node->word);
    return true;
}

uint64_t table_visit(const struct table *table, uint64_t place, void (*visit)(void *context, slot *at),
                     void *context) {
    uint64_t home;
    struct array array = array_of(table, place, &home);
    uint64_t next = place_of(table, array, home + 1);
    if (is_resizing(table) && array.groups != array_read(&table->old).groups) {
        /* Behind this border the keys are still in the old array, even if the new home reaches over it. */
        uint64_t border = place_of(table, array_read(&table->old), moved_homes(table));
        if (border > place && (next == 0 || next > border)) next = border;
    }
    array_visit(array, home, visit, context);
    if (crowd_of(table) == NULL) return next;
    struct slot_visit slots = {visit, context};
    crowd_visit(crowd_of(table), place_of(table, array, home), next - 1, visit_node,
                &slots); /* next 0: to the end */
    return next;
}

static uint64_t bits_reversed(uint64_t word) {
    word = __builtin_bswap64(word);
    word = (word & UINT64_C(0x0F0F0F0F0F0F0F0F)) << 4 | (word >> 4 & UINT64_C(0x0F0F0F0F0F0F0F0F));
    word = (word & UINT64_C(0x3333333333333333)) << 2 | (word >> 2 & UINT64_C(0x3333333333333333));
    return (word & UINT64_C(0x5555555555555555)) << 1 | (word >> 1 & UINT64_C(0x5555555555555555));
}

/* The place with the number's bits in reverse: numbers below 2^n give the multiples of 2^(64-n), and if that
 * is no more than a home is wide, each home has one of them, or two. */
bool table_sweep(struct table *table, void (*visit)(void *context, slot *at), void *context) {
    uint64_t homes = counter_read(&table->current.homes), old = counter_read(&table->old.homes), home,
             home_before;
    if (old > homes) homes = old;
    int bits = 64 - __builtin_clzll(homes); /* homes are seven at least */
    uint64_t place = bits_reversed(table->swept), step = UINT64_C(1) << (64 - bits);
    struct array array = array_of(table, place, &home);
    if (place < step || array_of(table, place - step, &home_before).groups != array.groups ||
        home_before != home)
        table_visit(table, place, visit, context);
    if (++table->swept < UINT64_C(1) << bits) return true;
    table->swept = 0;
    return false;
}

struct hash_search {
    uint64_t hash;
    const struct hash_secret *secret;
    slot *found;
};

static void compare_hash(void *context, slot *at) {
    struct hash_search *search = context;
    size_t length;
    if (search->found != NULL || (word_of(at) & TAG_MASK) != tag_of(search->hash)) return;
    const char *data = entry_key(slot_entry(at), &length);
    if (hash_bytes(search->secret, data, length) == search->hash) search->found = at;
}

slot *table_find_hash(const struct table *table, uint64_t hash, const struct hash_secret *secret) {
    struct hash_search search = {hash, secret, NULL};
    struct crowd_node *among = crowd_find_order(crowd_of(table), order_of_hash(table, hash));
    if (among != NULL) return &among->word;
    uint64_t home;
    struct array array = array_of(table, place_of_hash(table, hash), &home);
    array_visit(array, home, compare_hash, &search);
    return search.found;
}
