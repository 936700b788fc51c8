/* Finding a key's slot, with the shard held or without the lock. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "../lock/rwlock.h"
#include "array.h"

#ifdef __SSE2__
#define UPPER_HALVES _MM_SHUFFLE(3, 1, 3, 1)
#endif

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
