/* Placing: where an entry's word goes when its home is full, and what fills the place that another leaves. */
#include <stdlib.h>

#include "../base/memory.h"
#include "../lock/reclaim.h"
#include "array.h"

bool stock_fill(struct lane *lane) {
    while (lane->spare_count < LANE_SPARES) {
        struct bucket *spare = memory_lines(sizeof *spare);
        if (spare == NULL) return false;
        lane->spares[lane->spare_count++] = spare;
    }
    return true;
}

_Static_assert(BUCKET_SLOTS + (1 + TABLE_LINKS_MOST) * SPILL_SLOTS < LANE_SPARES,
               "it lasts for the largest home, and one entry more");

static struct bucket *stock_take(struct table *table, struct lane *lane) {
    assert(lane->spare_count > 0);
    struct bucket *taken = lane->spares[--lane->spare_count];
    array_bytes_add(table, lane, memory_size(taken));
    return taken;
}

/* Links a further bucket behind the home's spill. */
static struct bucket *spill_extend(struct table *table, struct bucket *spill, struct lane *lane) {
    struct bucket *link = stock_take(table, lane);
    counter_add(&table->spill_buckets, 1);
    word_set(&spill->slots[SPILL_SLOTS], (uint64_t)(uintptr_t)link);
    return link;
}

/* word has tag, expires and address. NULL if the home is full and its spill as long as it may be. */
static slot *array_place(struct table *table, struct array array, uint64_t home, uint64_t word,
                         struct lane *lane) {
    struct bucket *bucket = bucket_of(array, home);
    for (int i = 0; i < BUCKET_SLOTS; i++) {
        uint64_t present = word_of(&bucket->slots[i]);
        if (!is_empty(present)) continue;
        word_set(&bucket->slots[i], word | (present & SPILLED));
        return &bucket->slots[i];
    }
    int links = 0;
    for (struct bucket *spill = spill_of(array, home), *next;; spill = next) {
        for (int i = 0; i < SPILL_SLOTS; i++)
            if (is_empty(word_of(&spill->slots[i]))) {
                word_set(&spill->slots[i], word | home % GROUP_HOMES);
                slot *last = &bucket->slots[BUCKET_SLOTS - 1];
                word_set(last, word_of(last) | SPILLED);
                return &spill->slots[i];
            }
        next = link_of(spill);
        if (next == NULL && links == TABLE_LINKS_MOST) return NULL;
        if (next == NULL) next = spill_extend(table, spill, lane);
        links++;
    }
}

/* A node has the memory of a bucket, so that one stock serves for both. */
static slot *crowd_place(struct table *table, uint64_t hash, uint64_t word, struct lane *lane) {
    _Static_assert(sizeof(struct crowd_node) <= sizeof(struct bucket), "a node fits a bucket");
    void *memory = stock_take(table, lane);
    struct crowd_node *node = memory;
    atomic_init(&node->word, word);
    node->order = order_of_hash(table, hash);
    atomic_store_explicit(&table->crowd, crowd_insert(crowd_of(table), entry_name, node),
                          memory_order_release);
    lane->voidings++; /* what it has seen of homes isn't all any more */
    return &node->word;
}

slot *entry_place(struct table *table, struct array array, uint64_t home, uint64_t hash, uint64_t word,
                  struct lane *lane) {
    slot *at = array_place(table, array, home, word, lane);
    return at != NULL ? at : crowd_place(table, hash, word, lane);
}

struct crowd_node *crowd_node_of(const struct table *table, const slot *at, uint64_t hash) {
    if (crowd_of(table) == NULL) return NULL;
    size_t length;
    const char *data = entry_key(slot_entry(at), &length);
    struct crowd_node *node =
        crowd_find(crowd_of(table), entry_name, order_of_hash(table, hash), data, length);
    return node != NULL && &node->word == at ? node : NULL;
}

/* No reader without the lock has seen the node, and so it needs no time to be forgotten. */
void crowd_clear(struct table *table, struct crowd_node *node, struct lane *lane) {
    atomic_store_explicit(&table->crowd, crowd_remove(crowd_of(table), entry_name, node),
                          memory_order_release);
    array_bytes_subtract(table, lane, memory_size(node));
    free(node);
}

static void word_clear(slot *at) {
    word_set(at, word_of(at) & SPILLED);
}

/* A slot in the spill that holds an entry of this home, and how many there are. */
static slot *spill_any(struct array array, uint64_t home, uint32_t *count) {
    slot *found = NULL;
    *count = 0;
    for (struct bucket *spill = spill_of(array, home); spill != NULL; spill = link_of(spill))
        for (int i = 0; i < SPILL_SLOTS; i++) {
            uint64_t word = word_of(&spill->slots[i]);
            if (is_empty(word) || (word & HOME_MASK) != home % GROUP_HOMES) continue;
            found = &spill->slots[i];
            (*count)++;
        }
    return found;
}

static bool spill_is_empty(const struct bucket *spill) {
    for (int i = 0; i < SPILL_SLOTS; i++)
        if (!is_empty(word_of(&spill->slots[i]))) return false;
    return true;
}

/* Unlinks buckets at the chain's end that nothing is in, so that an array that has been moved out of has
 * none. */
static void spill_trim(struct table *table, struct array array, uint64_t home, struct lane *lane) {
    for (;;) {
        struct bucket *spill = spill_of(array, home), *link = link_of(spill);
        if (link == NULL) return;
        for (struct bucket *next; (next = link_of(link)) != NULL; link = next) spill = link;
        if (!spill_is_empty(link)) return;
        word_set(&spill->slots[SPILL_SLOTS], 0);
        size_t bytes = memory_size(link);
        array_bytes_subtract(table, lane, bytes);
        counter_subtract(&table->spill_buckets, 1);
        lane_retire(lane, link, bytes, NULL);
    }
}

void array_clear(struct table *table, struct array array, uint64_t home, slot *at, struct lane *lane) {
    struct bucket *bucket = bucket_of(array, home);
    slot *last = &bucket->slots[BUCKET_SLOTS - 1];
    word_clear(at);
    if ((word_of(last) & SPILLED) == 0) return;
    uint32_t count;
    slot *spilled = spill_any(array, home, &count);
    bool is_home_slot = at >= bucket->slots && at < bucket->slots + BUCKET_SLOTS;
    if (spilled != NULL && is_home_slot) {
        word_set(at, (word_of(spilled) & ~HOME_MASK) | (word_of(at) & SPILLED));
        word_set(spilled, 0);
        count--;
    }
    if (count == 0) word_set(last, word_of(last) & ~SPILLED);
    spill_trim(table, array, home, lane);
}
