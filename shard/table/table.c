#include "table.h"

#include <assert.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "../entry/access.h"
#include "crowd.h"
#include "../entry/entry_layout.h"
#include "../base/hash.h"
#include "../lock/lane.h"
#include "../base/memory.h"
#include "../scope/scope.h"

#define EXPIRES (UINT64_C(1) << 48)
#define MAIN (UINT64_C(1) << 49)
#define SPILLED UINT64_C(8)
#define HOME_MASK UINT64_C(7)
#define ADDRESS_MASK UINT64_C(0x0000FFFFFFFFFFF0)
#define TAG_SHIFT 50
#define TAG_LOW UINT64_C(0x3FFF)
#define UPPER_HALVES _MM_SHUFFLE(3, 1, 3, 1)
#define TAG_MASK (TAG_LOW << TAG_SHIFT)
#define SPILL_SLOTS (BUCKET_SLOTS - 1) /* the last word of a spill bucket is its link */

/* Entries per group at which a table grows: around 52 of 63 slots, spread so that the shards don't all grow
 * at once. */
#define GROW_LEAST 48
#define GROW_SPREAD 7

/* A step that has moved as many entries leaves the next home for the next step. */
#define MOVES_ENOUGH 12

/* Steps of the kind that an insertion takes, for a table that nobody inserts into. */
#define SETTLE_STEPS 16

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
static uint64_t place_of(const struct table *table, struct array array, uint64_t home) {
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

static const char *entry_name(const void *entry, size_t *length) {
    return entry_key(entry, length);
}

static slot *crowd_find_slot(const struct table *table, const struct key *key) {
    struct crowd_node *found =
        crowd_find(crowd_of(table), entry_name, order_of_hash(table, key->hash), key->data, key->length);
    return found == NULL ? NULL : &found->word;
}

/* ------------------------------------------------------------------ arrays */

static void array_bytes_add(struct table *table, struct lane *lane, size_t bytes) {
    counter_add(&table->array_bytes, bytes);
    lane_charge(lane, (int64_t)bytes);
}

static void array_bytes_subtract(struct table *table, struct lane *lane, size_t bytes) {
    counter_subtract(&table->array_bytes, bytes);
    lane_charge(lane, -(int64_t)bytes);
}

static bool array_create(struct table *table, struct array *array, uint64_t groups, struct lane *lane) {
    size_t bytes = memory_good_size(groups * sizeof(struct group));
    groups = bytes / sizeof(struct group);
    array->groups = memory_lines(groups * sizeof(struct group));
    if (array->groups == NULL) return false;
    array->homes = groups * GROUP_HOMES;
    array_bytes_add(table, lane, memory_size(array->groups));
    return true;
}

static void array_retire(struct table *table, struct table_array *place, struct lane *lane) {
    struct array array = array_read(place);
    size_t bytes = memory_size(array.groups);
    array_bytes_subtract(table, lane, bytes);
    lane_retire(lane, array.groups, bytes, NULL);
    array_write(place, (struct array){NULL, 0});
}

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

static void array_free(struct array array) {
    for (uint64_t group = 0; group < array.homes / GROUP_HOMES; group++)
        for (struct bucket *link = link_of(&array.groups[group].spill), *next; link != NULL; link = next) {
            next = link_of(link);
            free(link);
        }
    free(array.groups);
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

/* ------------------------------------------------------------------ finding */

/* Which slots of a bucket have a tag: a bit each, found without a branch. Where in its bucket an entry stands
 * can't be foretold, and a processor that guessed wrong begins anew when the bucket has come from memory; one
 * that had nothing to guess is far ahead by then, and waits for several lookups at once. How far depends on
 * how few instructions a lookup is. */
static inline uint32_t home_slots(struct home home, uint64_t hash) {
    const struct bucket *bucket = home.bucket;
#if defined __SSE2__ && !defined USE_SANITIZER /* words.h says why that will do */
    const void *slots = bucket->slots;
    const __m128 *words = slots;
    __m128i tag = _mm_set1_epi32((int)(hash & TAG_LOW));
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(words[0], words[1], UPPER_HALVES));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(words[2], words[3], UPPER_HALVES));
    low = _mm_cmpeq_epi32(_mm_srli_epi32(low, TAG_SHIFT - 32), tag);
    high = _mm_cmpeq_epi32(_mm_srli_epi32(high, TAG_SHIFT - 32), tag);
    uint32_t like =
        (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128()));
    atomic_signal_fence(memory_order_acquire);
    return like;
#else
    uint64_t tag = tag_of(hash);
    uint32_t like = 0;
    for (int i = BUCKET_SLOTS - 1; i >= 0; i--)
        like = like * 2 + ((word_of(&bucket->slots[i]) ^ tag) < UINT64_C(1) << TAG_SHIFT);
    return like;
#endif
}

static inline uint32_t spill_slots(const struct bucket *spill, struct home home, uint64_t hash) {
    uint64_t wanted = tag_of(hash) | home.number;
    uint32_t like = 0;
    for (int i = SPILL_SLOTS - 1; i >= 0; i--)
        like = like * 2 + (((word_of(&spill->slots[i]) ^ wanted) & (TAG_MASK | HOME_MASK)) == 0);
    return like;
}

static inline bool has_spilled(struct home home) {
    return (word_of(&home.bucket->slots[BUCKET_SLOTS - 1]) & SPILLED) != 0;
}

/* The slot of a key, and what was seen in it. */
static inline __attribute__((always_inline)) slot *find_among(const struct bucket *bucket, uint32_t like,
                                                              const struct key *key, struct entry **entry) {
    for (; like != 0; like &= like - 1) {
        slot *at = (slot *)(uintptr_t)&bucket->slots[__builtin_ctz(like)];
        *entry = slot_entry(at);
        if (*entry == NULL) continue;
        __builtin_prefetch((const char *)*entry +
                           64); /* where the value is: it can come together with the key */
        if (entry_is(*entry, key)) return at;
    }
    return NULL;
}

/* Seldom needed, and apart, so that the rest is small. (The key is passed in parts, so that it needs no place
 * in memory before.) */
struct found {
    slot *at; /* NULL: nowhere */
    struct entry *entry;
};
static __attribute__((noinline)) struct found find_spilled(struct home home, uint64_t hash, const char *data,
                                                           size_t length) {
    struct key key = {.data = data, .length = length, .hash = hash};
    struct found found = {NULL, NULL};
    for (const struct bucket *spill = home_spill(home); spill != NULL && found.at == NULL;
         spill = link_of(spill))
        found.at = find_among(spill, spill_slots(spill, home, key.hash), &key, &found.entry);
    return found;
}

static inline __attribute__((always_inline)) slot *find(struct home home, const struct key *key,
                                                        struct entry **entry) {
    slot *at = find_among(home.bucket, home_slots(home, key->hash), key, entry);
    if (at != NULL || !has_spilled(home)) return at;
    struct found found = find_spilled(home, key->hash, key->data, key->length);
    *entry = found
                 /* the one that was compared: by now another may be in the slot, if the shard isn't held */
                 .entry;
    return found.at;
}

slot *table_find(const struct table *table, const struct key *key) {
    uint64_t home;
    struct entry *entry;
    struct array array = array_of(table, place_of_hash(table, key->hash), &home);
    slot *at = find(home_at(array, home), key, &entry);
    return at == NULL && crowd_of(table) != NULL ? crowd_find_slot(table, key) : at;
}

slot *home_find_slot(struct home home, const struct key *key) {
    struct entry *entry;
    return find(home, key, &entry);
}

inline __attribute__((always_inline)) const struct entry *home_find(struct home home, const struct key *key) {
    struct entry *entry;
    return find(home, key, &entry) == NULL ? NULL : entry;
}

inline __attribute__((always_inline)) struct home table_home(const struct table *table, uint64_t hash,
                                                             const struct rwlock *lock, uint32_t version) {
    uint64_t number;
    struct array array = array_of(table, place_of_hash(table, hash), &number);
    bool is_crowded = crowd_of(table) != NULL;
    /* Only now is it sure that the array's two words belong together, and so that the home is one. */
    if (!rwlock_is_unchanged(lock, version) || is_crowded) return (struct home){NULL, 0};
    struct home home = home_at(array, number);
    __builtin_prefetch(home.bucket);
    return home;
}

static void prefetch_among(const struct bucket *bucket, uint32_t like) {
    for (; like != 0; like &= like - 1) {
        /* A number, as the slot may have become empty. */
        uintptr_t entry = (uintptr_t)slot_entry(&bucket->slots[__builtin_ctz(like)]);
        /* Header, key and a short value are seldom in one line: entries begin at any sixteenth byte. */
        __builtin_prefetch((const void *)entry);
        __builtin_prefetch((const void *)(entry + 64));
    }
}

inline bool home_prefetch(struct home home, uint64_t hash) {
    uint32_t like = home_slots(home, hash);
    prefetch_among(home.bucket, like);
    if (like != 0 || !has_spilled(home)) return true;
    __builtin_prefetch(home_spill(home));
    return false;
}

void home_prefetch_spilled(struct home home, uint64_t hash) {
    prefetch_among(home_spill(home), spill_slots(home_spill(home), home, hash));
}

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

/* ------------------------------------------------------------------ placing */

/* Enough spill buckets, and nodes of the crowd, for one insertion and the home that it moves: then neither
 * fails halfway. */
static bool stock_fill(struct lane *lane) {
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

static slot *entry_place(struct table *table, struct array array, uint64_t home, uint64_t hash, uint64_t word,
                         struct lane *lane) {
    slot *at = array_place(table, array, home, word, lane);
    return at != NULL ? at : crowd_place(table, hash, word, lane);
}

/* The crowd's node whose slot that is, or NULL. */
static struct crowd_node *crowd_node_of(const struct table *table, const slot *at, uint64_t hash) {
    if (crowd_of(table) == NULL) return NULL;
    size_t length;
    const char *data = entry_key(slot_entry(at), &length);
    struct crowd_node *node =
        crowd_find(crowd_of(table), entry_name, order_of_hash(table, hash), data, length);
    return node != NULL && &node->word == at ? node : NULL;
}

/* No reader without the lock has seen the node, and so it needs no time to be forgotten. */
static void crowd_clear(struct table *table, struct crowd_node *node, struct lane *lane) {
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

/* Empties a slot of this home, and refills a home slot from the spill. */
static void array_clear(struct table *table, struct array array, uint64_t home, slot *at, struct lane *lane) {
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

/* ------------------------------------------------------------------ growing and shrinking */

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
 * they do where the keys that are left lie close together (who deletes in a scan's order leaves the rest of
 * that order): a smaller array would make long ones of them. */
static bool is_sparse(const struct table *table) {
    uint64_t groups = counter_read(&table->current.homes) / GROUP_HOMES;
    return groups > 1 && counter_read(&table->keys) < groups * table->grow_at / 2 &&
           counter_read(&table->spill_buckets) == 0;
}

static void shrink_if_sparse(struct table *table, struct lane *lane) {
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
        shrink_if_sparse(table, lane);
    return is_resizing(table);
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

void table_count_bytes(struct table *table, const struct entry *entry, int64_t more, struct lane *lane) {
    uint64_t bytes = (uint64_t)more;
    counter_add(&table->bytes, bytes);
    counter_add(&lane->entry_bytes, bytes);
    lane_charge(lane, more);
    if (access_is_main(access_read(entry))) {
        counter_add(&table->main_bytes, bytes);
        counter_add(&lane->main_bytes, bytes);
    }
}

/* sign: 1 or -1 (as unsigned numbers wrap). */
static void tally(struct table *table, const struct entry *entry, struct lane *lane, uint64_t sign) {
    int64_t expiry = entry_expiry(entry);
    table_count_bytes(table, entry, (int64_t)(entry_bytes(entry) * sign), lane);
    if (expiry == ENTRY_NO_EXPIRY) return;
    counter_add(&table->expiring, sign);
    counter_add(&lane->expiring, sign);
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
    counter_add(&lane->entries, 1);
    table_count(table, entry, lane);
    return at;
}

void table_remove(struct table *table, slot *at, uint64_t hash, struct lane *lane) {
    uint64_t home;
    struct array array = array_of(table, place_of_hash(table, hash), &home);
    counter_subtract(&table->keys, 1);
    counter_subtract(&lane->entries, 1);
    struct crowd_node *node = crowd_node_of(table, at, hash);
    table_uncount(table, slot_entry(at), lane);
    if (node != NULL)
        crowd_clear(table, node, lane);
    else
        array_clear(table, array, home, at, lane);
    shrink_if_sparse(table, lane);
}

void table_replace(slot *at, const struct entry *entry) {
    uint64_t word = word_of(at);
    word_set(at, word_for(word & TAG_MASK, entry) | (word & (SPILLED | HOME_MASK)));
}

/* ------------------------------------------------------------------ visiting */

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
