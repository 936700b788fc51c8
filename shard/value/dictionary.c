/* Linear hashing. At level L there are 2^L buckets and `split` more: a hash's L low bits are its bucket, and
 * if that is below `split`, L + 1 bits are. Splitting makes bucket 2^L + split out of bucket `split`, merging
 * undoes the last split.
 *
 * Read backwards, the low bits of a hash are the high bits of a place. A bucket is then a stretch of places,
 * splitting cuts it in the middle and merging joins two neighbours: that is why a scan's position keeps its
 * meaning. */
#include "dictionary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crowd.h"
#include "../base/cursor.h"
#include "../base/journal.h"
#include "../base/memory.h"
#include "value.h"

#define SEGMENT_BITS 9
#define SEGMENT (1u << SEGMENT_BITS)
/* Items for each bucket above which one is split, and below which two are merged. */
#define SPLIT_AT 16
#define MERGE_AT 8
/* Of random hashes no bucket has as many: those that are still to be split have 32 on the average at most. */
#define BUCKET_MOST 128
/* What a journal keeps at most of an insertion, and of a split (journal.h). */
#define INSERT_KEPT (sizeof(struct dictionary) + 8 * sizeof(uint64_t))
#define SPLIT_KEPT ((BUCKET_MOST + 8) * sizeof(uint64_t))
#define NOTES 24
#define ADDRESS_MASK UINT64_C(0x0000FFFFFFFFFFFF)
#define ADDRESS_BITS 48
#define POSITION_SHIFT (64 - CURSOR_BITS)

struct dictionary {
    item_name *name;
    struct crowd_node *crowd; /* of items that found no room in their buckets */
    uint64_t **segments;      /* of bucket words: from here on a journal keeps it */
    uint64_t count;           /* of all */
    uint64_t split;
    size_t bytes;
    uint32_t level;
    uint32_t segment_capacity;
    /* words of the first segment, which grows as it is needed, since most dictionaries stay small */
    uint32_t first_capacity;
    uint32_t largest; /* no bucket has had more */
};

static uint64_t bucket_count(const struct dictionary *dictionary) {
    return (UINT64_C(1) << dictionary->level) + dictionary->split;
}

static uint64_t *bucket_at(const struct dictionary *dictionary, uint64_t number) {
    return &dictionary->segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)];
}

static uint64_t bucket_of(const struct dictionary *dictionary, uint64_t hash) {
    uint64_t size = UINT64_C(1) << dictionary->level, number = hash & (size - 1);
    return number < dictionary->split ? hash & (2 * size - 1) : number;
}

static inline uint64_t *words_of(uint64_t bucket) {
    return (uint64_t *)(uintptr_t)(bucket & ADDRESS_MASK);
}
static inline uint32_t count_of(uint64_t bucket) {
    return (uint32_t)(bucket >> ADDRESS_BITS);
}
static inline uint64_t bucket_make(const uint64_t *words, uint32_t count) {
    return (uint64_t)(uintptr_t)words | (uint64_t)count << ADDRESS_BITS;
}
static inline void *item_of(uint64_t word) {
    return (void *)(uintptr_t)(word & ADDRESS_MASK);
}
static inline uint64_t word_make(uint64_t hash, const void *item) {
    assert(((uint64_t)(uintptr_t)item & ~ADDRESS_MASK) == 0);
    return (hash & ~ADDRESS_MASK) | (uint64_t)(uintptr_t)item;
}

static uint64_t hash_of(const struct dictionary *dictionary, uint64_t word) {
    size_t length;
    const char *name = dictionary->name(item_of(word), &length);
    return value_hash(name, length);
}

static bool is_named(const struct dictionary *dictionary, uint64_t word, const char *name, size_t length) {
    size_t present_length;
    const char *present = dictionary->name(item_of(word), &present_length);
    return present_length == length && memcmp(present, name, length) == 0;
}

static void keep(struct dictionary *dictionary) {
    journal_keep(&dictionary->segments, sizeof *dictionary - offsetof(struct dictionary, segments));
}

/* ------------------------------------------------------------------ buckets */

static size_t room_for(uint32_t count) {
    return count == 0 ? 0 : memory_good_size(count * sizeof(uint64_t));
}

/* Makes the bucket's array as long as `count` words need; what it holds stays. Shrinking never fails. */
static bool bucket_resize(struct dictionary *dictionary, uint64_t *bucket, uint32_t count) {
    uint32_t present = count_of(*bucket);
    size_t before = room_for(present), after = room_for(count);
    if (before == after) return true;
    uint64_t *words = words_of(*bucket);
    if (after == 0) {
        journal_free(words);
        words = NULL;
    } else {
        uint64_t *moved = journal_realloc(words, after);
        if (moved == NULL) return after < before; /* harmless: it is longer than it need be */
        words = moved;
    }
    dictionary->bytes = dictionary->bytes - before + after;
    *bucket = bucket_make(words, present);
    return true;
}

static bool bucket_add(struct dictionary *dictionary, uint64_t *bucket, uint64_t word) {
    uint32_t count = count_of(*bucket);
    journal_keep(bucket, sizeof *bucket);
    if (count == BUCKET_MOST || !bucket_resize(dictionary, bucket, count + 1)) return false;
    /* What stands behind the last one may have been there before. */
    journal_keep(&words_of(*bucket)[count], sizeof word);
    words_of(*bucket)[count] = word;
    *bucket = bucket_make(words_of(*bucket), count + 1);
    if (count + 1 > dictionary->largest) dictionary->largest = count + 1;
    return true;
}

static void bucket_remove(struct dictionary *dictionary, uint64_t *bucket, uint32_t at) {
    uint32_t count = count_of(*bucket);
    uint64_t *words = words_of(*bucket);
    journal_keep(bucket, sizeof *bucket);
    journal_keep(&words[at], sizeof words[at]);
    words[at] = words[count - 1];
    bucket_resize(dictionary, bucket, count - 1);
    *bucket = bucket_make(words_of(*bucket), count - 1);
}

/* ------------------------------------------------------------------ the crowd */

static uint64_t reverse(uint64_t bits) {
    bits = (bits >> 1 & UINT64_C(0x5555555555555555)) | (bits & UINT64_C(0x5555555555555555)) << 1;
    bits = (bits >> 2 & UINT64_C(0x3333333333333333)) | (bits & UINT64_C(0x3333333333333333)) << 2;
    bits = (bits >> 4 & UINT64_C(0x0F0F0F0F0F0F0F0F)) | (bits & UINT64_C(0x0F0F0F0F0F0F0F0F)) << 4;
    return __builtin_bswap64(bits);
}

static inline void *node_item(const struct crowd_node *node) {
    return item_of(atomic_load_explicit(&node->word, memory_order_relaxed));
}

static struct crowd_node *crowd_node_of(const struct dictionary *dictionary, uint64_t hash, const char *name,
                                        size_t length) {
    return crowd_find(dictionary->crowd, dictionary->name, reverse(hash), name, length);
}

/* A tree that balances itself isn't kept node by node: what came goes, and what went comes again. */
struct crowd_change {
    struct dictionary *dictionary;
    struct crowd_node *node;
};

static void crowd_remove_again(void *context, void *note) {
    const struct crowd_change *change = note;
    struct dictionary *dictionary = change->dictionary;
    (void)context;
    dictionary->crowd = crowd_remove(dictionary->crowd, dictionary->name, change->node);
}

static void crowd_insert_again(void *context, void *note) {
    const struct crowd_change *change = note;
    struct dictionary *dictionary = change->dictionary;
    (void)context;
    dictionary->crowd = crowd_insert(dictionary->crowd, dictionary->name, change->node);
}

static const struct journal_kind crowd_added = {.back = crowd_remove_again},
                                 crowd_removed = {.back = crowd_insert_again};

static bool crowd_note(const struct journal_kind *kind, struct dictionary *dictionary,
                       struct crowd_node *node) {
    struct crowd_change change = {dictionary, node};
    return journal_open == NULL || journal_note(journal_open, kind, &change, sizeof change) != NULL;
}

static bool crowd_add(struct dictionary *dictionary, uint64_t hash, const void *item) {
    struct crowd_node *node = journal_malloc(sizeof *node);
    if (node == NULL || !crowd_note(&crowd_added, dictionary, node)) {
        journal_free(node);
        return false;
    }
    atomic_init(&node->word, (uint64_t)(uintptr_t)item);
    node->order = reverse(hash);
    dictionary->crowd = crowd_insert(dictionary->crowd, dictionary->name, node);
    dictionary->bytes += memory_size(node);
    return true;
}

static void *crowd_free(struct dictionary *dictionary, struct crowd_node *node) {
    void *item = node_item(node);
    dictionary->bytes -= memory_size(node);
    journal_free(node);
    return item;
}

static struct crowd_node *crowd_take(struct dictionary *dictionary) {
    struct crowd_node *first;
    dictionary->crowd = crowd_take_first(dictionary->crowd, &first);
    return first;
}

/* ------------------------------------------------------------------ growing and shrinking */

/* There is a word for bucket `number`, which is the last one. */
static bool directory_extend(struct dictionary *dictionary, uint64_t number) {
    uint32_t segment = (uint32_t)(number >> SEGMENT_BITS);
    if ((number & (SEGMENT - 1)) != 0) return true;
    if (segment == dictionary->segment_capacity) {
        uint32_t capacity = segment == 0 ? 1 : segment * 2;
        uint64_t **segments = journal_realloc(dictionary->segments, capacity * sizeof *segments);
        if (segments == NULL) return false;
        dictionary->bytes += (capacity - segment) * sizeof *segments;
        dictionary->segments = segments;
        dictionary->segment_capacity = capacity;
    }
    uint32_t words = segment == 0 ? 1 : SEGMENT;
    uint64_t *made = journal_calloc(words, sizeof(uint64_t));
    if (made == NULL) return false;
    journal_keep(&dictionary->segments[segment], sizeof made);
    dictionary->segments[segment] = made;
    if (segment == 0) dictionary->first_capacity = words;
    dictionary->bytes += words * sizeof(uint64_t);
    return true;
}

static bool first_segment_extend(struct dictionary *dictionary, uint64_t number) {
    uint32_t capacity = dictionary->first_capacity;
    if (number < capacity || number >= SEGMENT) return true;
    uint64_t *words = journal_realloc(dictionary->segments[0], 2 * capacity * sizeof *words);
    if (words == NULL) return false;
    journal_keep(&dictionary->segments[0], sizeof words);
    dictionary->segments[0] = words;
    dictionary->bytes += capacity * sizeof *words;
    dictionary->first_capacity = 2 * capacity;
    return true;
}

/* Out of memory is harmless: it is tried again at the next insertion. */
static void split_one(struct dictionary *dictionary) {
    uint64_t size = UINT64_C(1) << dictionary->level, number = size + dictionary->split;
    if (!journal_room(NOTES, SPLIT_KEPT)) return;
    if (!first_segment_extend(dictionary, number) || !directory_extend(dictionary, number)) return;
    uint64_t *from = bucket_at(dictionary, dictionary->split), *to = bucket_at(dictionary, number);
    uint32_t count = count_of(*from), moving = 0;
    uint64_t *words = words_of(*from);
    journal_keep(from, sizeof *from);
    journal_keep(to, sizeof *to);
    if (count > 0) journal_keep(words, count * sizeof *words);
    *to = 0;
    /* First those that move are put last; then there is memory for them, or nothing has happened. */
    for (uint32_t i = 0; i < count; i++) __builtin_prefetch(item_of(words[i]));
    for (uint32_t i = 0; i < count - moving;) {
        if ((hash_of(dictionary, words[i]) & size) == 0) {
            i++;
            continue;
        }
        uint64_t word = words[i];
        words[i] = words[count - ++moving];
        words[count - moving] = word;
    }
    if (moving > 0) {
        uint64_t *array = journal_malloc(room_for(moving));
        if (array == NULL) return;
        memcpy(array, words + count - moving, moving * sizeof *array);
        dictionary->bytes += room_for(moving);
        *to = bucket_make(array, moving);
        bucket_resize(dictionary, from, count - moving);
        *from = bucket_make(words_of(*from), count - moving);
    }
    if (++dictionary->split == size) {
        dictionary->level++;
        dictionary->split = 0;
    }
}

static void merge_last(struct dictionary *dictionary) {
    if (dictionary->level == 0 && dictionary->split == 0) return;
    uint32_t level = dictionary->split == 0 ? dictionary->level - 1 : dictionary->level;
    uint64_t size = UINT64_C(1) << level, split = (dictionary->split == 0 ? size : dictionary->split) - 1;
    uint64_t *into = bucket_at(dictionary, split), *last = bucket_at(dictionary, size + split);
    uint32_t present = count_of(*into), more = count_of(*last);
    journal_keep(into, sizeof *into);
    journal_keep(last, sizeof *last);
    if (present + more > BUCKET_MOST || !bucket_resize(dictionary, into, present + more)) return;
    if (more > 0) journal_keep(words_of(*into) + present, more * sizeof(uint64_t));
    if (more > 0) memcpy(words_of(*into) + present, words_of(*last), more * sizeof(uint64_t));
    *into = bucket_make(words_of(*into), present + more);
    if (present + more > dictionary->largest) dictionary->largest = present + more;
    dictionary->bytes -= room_for(more);
    journal_free(words_of(*last));
    *last = 0;
    dictionary->level = level;
    dictionary->split = split;
    uint64_t number = size + split;
    if ((number & (SEGMENT - 1)) == 0) {
        uint64_t **segment = &dictionary->segments[number >> SEGMENT_BITS];
        journal_keep(segment, sizeof *segment);
        journal_free(*segment);
        *segment = NULL;
        dictionary->bytes -= SEGMENT * sizeof(uint64_t);
    }
}

/* ------------------------------------------------------------------ the whole */

struct dictionary *dictionary_create(item_name *name) {
    struct dictionary *dictionary = calloc(1, sizeof *dictionary);
    if (dictionary == NULL) return NULL;
    dictionary->name = name;
    dictionary->bytes = memory_size(dictionary);
    if (directory_extend(dictionary, 0)) return dictionary;
    free(dictionary->segments);
    free(dictionary);
    return NULL;
}

void dictionary_free(struct dictionary *dictionary) {
    uint64_t buckets = bucket_count(dictionary);
    for (uint64_t i = 0; i < buckets; i++) free(words_of(*bucket_at(dictionary, i)));
    for (uint64_t i = 0; i << SEGMENT_BITS < buckets; i++) free(dictionary->segments[i]);
    while (dictionary->crowd != NULL) crowd_free(dictionary, crowd_take(dictionary));
    free(dictionary->segments);
    free(dictionary);
}

uint64_t dictionary_count(const struct dictionary *dictionary) {
    return dictionary->count;
}

uint32_t dictionary_longest(const struct dictionary *dictionary) {
    return dictionary->largest;
}

size_t dictionary_bytes(const struct dictionary *dictionary) {
    return dictionary->bytes;
}

/* The item's place in its bucket, or -1. */
static int64_t find(const struct dictionary *dictionary, uint64_t bucket, uint64_t hash, const char *name,
                    size_t length) {
    const uint64_t *words = words_of(bucket);
    uint32_t count = count_of(bucket);
    for (uint32_t i = 0; i < count; i++)
        if (((words[i] ^ hash) & ~ADDRESS_MASK) == 0 && is_named(dictionary, words[i], name, length))
            return i;
    return -1;
}

void *dictionary_find(const struct dictionary *dictionary, uint64_t hash, const char *name, size_t length) {
    uint64_t bucket = *bucket_at(dictionary, bucket_of(dictionary, hash));
    int64_t at = find(dictionary, bucket, hash, name, length);
    if (at >= 0) return item_of(words_of(bucket)[at]);
    struct crowd_node *node =
        dictionary->crowd == NULL ? NULL : crowd_node_of(dictionary, hash, name, length);
    return node == NULL ? NULL : node_item(node);
}

bool dictionary_insert(struct dictionary *dictionary, uint64_t hash, void *item) {
    uint64_t *bucket = bucket_at(dictionary, bucket_of(dictionary, hash));
    bool is_full = count_of(*bucket) == BUCKET_MOST;
    if (!journal_room(NOTES, INSERT_KEPT)) return false;
    keep(dictionary);
    if (!(is_full ? crowd_add(dictionary, hash, item)
                  : bucket_add(dictionary, bucket, word_make(hash, item))))
        return false;
    if (++dictionary->count > bucket_count(dictionary) * SPLIT_AT) split_one(dictionary);
    return true;
}

void dictionary_replace(struct dictionary *dictionary, uint64_t hash, const void *present, void *item) {
    uint64_t bucket = *bucket_at(dictionary, bucket_of(dictionary, hash));
    uint64_t *words = words_of(bucket);
    for (uint32_t i = 0; i < count_of(bucket); i++) {
        if (item_of(words[i]) != present) continue;
        journal_keep(&words[i], sizeof words[i]);
        words[i] = word_make(hash, item);
        return;
    }
    size_t length;
    const char *name = dictionary->name(item, &length);
    struct crowd_node *node = crowd_node_of(dictionary, hash, name, length);
    if (node == NULL) return;
    journal_keep(&node->word, sizeof node->word);
    atomic_store_explicit(&node->word, (uint64_t)(uintptr_t)item, memory_order_relaxed);
}

void *dictionary_remove(struct dictionary *dictionary, uint64_t hash, const char *name, size_t length) {
    uint64_t *bucket = bucket_at(dictionary, bucket_of(dictionary, hash));
    int64_t at = find(dictionary, *bucket, hash, name, length);
    struct crowd_node *node =
        at < 0 && dictionary->crowd != NULL ? crowd_node_of(dictionary, hash, name, length) : NULL;
    if (at < 0 && node == NULL) return NULL;
    void *item = node == NULL ? item_of(words_of(*bucket)[at]) : node_item(node);
    keep(dictionary);
    if (node == NULL) {
        bucket_remove(dictionary, bucket, (uint32_t)at);
    } else {
        if (!crowd_note(&crowd_removed, dictionary, node)) journal_open->is_broken = true;
        dictionary->crowd = crowd_remove(dictionary->crowd, dictionary->name, node);
        crowd_free(dictionary, node);
    }
    if (--dictionary->count < bucket_count(dictionary) * MERGE_AT) merge_last(dictionary);
    return item;
}

/* ------------------------------------------------------------------ visiting */

/* How many high bits all places of a bucket's stretch share. */
static uint32_t stretch_bits(const struct dictionary *dictionary, uint64_t number) {
    uint64_t size = UINT64_C(1) << dictionary->level;
    return number >= size || number < dictionary->split ? dictionary->level + 1 : dictionary->level;
}

static uint64_t stretch_start(const struct dictionary *dictionary, uint64_t number, uint64_t place) {
    uint32_t bits = stretch_bits(dictionary, number);
    return bits == 0 ? 0 : place >> (64 - bits) << (64 - bits);
}

/* The first place behind it; 0 at the end. */
static uint64_t stretch_end(const struct dictionary *dictionary, uint64_t number, uint64_t place) {
    uint32_t bits = stretch_bits(dictionary, number);
    return bits == 0 ? 0 : ((place >> (64 - bits)) + 1) << (64 - bits);
}

struct item_visit {
    void (*visit)(void *context, void *item);
    void *context;
    uint64_t visited;
};

static bool visit_node(void *context, struct crowd_node *node) {
    struct item_visit *items = context;
    items->visit(items->context, node_item(node));
    items->visited++;
    return true;
}

struct item_check {
    bool (*visit)(void *context, void *item);
    void *context;
};

static bool check_node(void *context, struct crowd_node *node) {
    const struct item_check *items = context;
    return items->visit(items->context, node_item(node));
}

uint64_t dictionary_scan(const struct dictionary *dictionary, uint64_t position, uint64_t count,
                         void (*visit)(void *context, void *item), void *context) {
    if (position >= CURSORS) return 0; /* none of ours */
    uint64_t place = cursor_place(value_cursor_secret(), position) << POSITION_SHIFT, visited = 0;
    struct item_visit items = {visit, context, 0};
    do {
        uint64_t number = bucket_of(dictionary, reverse(place)), bucket = *bucket_at(dictionary, number);
        const uint64_t *words = words_of(bucket);
        for (uint32_t i = 0; i < count_of(bucket); i++) visit(context, item_of(words[i]));
        visited += count_of(bucket);
        uint64_t end = stretch_end(dictionary, number, place);
        if (dictionary->crowd != NULL)
            crowd_visit(dictionary->crowd, stretch_start(dictionary, number, place), end - 1, visit_node,
                        &items);
        place = end;
    } while (place != 0 && visited + items.visited < count);
    return cursor_of_place(value_cursor_secret(), place >> POSITION_SHIFT);
}

void dictionary_each(const struct dictionary *dictionary, bool (*visit)(void *context, void *item),
                     void *context) {
    uint64_t buckets = bucket_count(dictionary);
    for (uint64_t i = 0; i < buckets; i++) {
        uint64_t bucket = *bucket_at(dictionary, i);
        const uint64_t *words = words_of(bucket);
        for (uint32_t j = 0; j < count_of(bucket); j++)
            if (!visit(context, item_of(words[j]))) return;
    }
    struct item_check items = {visit, context};
    crowd_visit(dictionary->crowd, 0, UINT64_MAX, check_node, &items);
}

/* A place is drawn as if every bucket were as long as the longest, until there is something in it. */
void *dictionary_random(const struct dictionary *dictionary) {
    assert(dictionary->count > 0);
    uint64_t crowded = crowd_size(dictionary->crowd);
    if (crowded > 0 && value_random(dictionary->count) < crowded)
        return node_item(crowd_at(dictionary->crowd, value_random(crowded)));
    for (;;) {
        uint64_t bucket = *bucket_at(dictionary, value_random(bucket_count(dictionary)));
        uint64_t at = value_random(dictionary->largest);
        if (at < count_of(bucket)) return item_of(words_of(bucket)[at]);
    }
}

void *dictionary_take_any(struct dictionary *dictionary) {
    if (dictionary->count == 0) return NULL;
    if (dictionary->crowd != NULL) {
        dictionary->count--;
        return crowd_free(dictionary, crowd_take(dictionary));
    }
    for (;;) {
        uint64_t number = bucket_count(dictionary) - 1, *bucket = bucket_at(dictionary, number);
        uint32_t count = count_of(*bucket);
        if (count > 0) {
            void *item = item_of(words_of(*bucket)[count - 1]);
            *bucket = bucket_make(words_of(*bucket), count - 1);
            dictionary->count--;
            return item;
        }
        free(words_of(*bucket));
        *bucket = 0;
        if (dictionary->split == 0) {
            dictionary->level--;
            dictionary->split = UINT64_C(1) << dictionary->level;
        }
        dictionary->split--;
        if ((number & (SEGMENT - 1)) != 0) continue;
        free(dictionary->segments[number >> SEGMENT_BITS]);
        dictionary->segments[number >> SEGMENT_BITS] = NULL;
    }
}
