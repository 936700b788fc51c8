/* The policy that Latchkey uses: S3-FIFO's idea (what is new passes through a small part of the room; names
 * of what left are remembered) without its lists. An entry has 16 bits; victims are found by looking at a few
 * entries drawn at random.
 *
 *     +------+-------+----------+      main   the entry is in the main part, else in the small one
 *     | main | count | stamp    |      count  hits, up to 3; in the main part one a tick at most
 *     | 1    | 2     | 13 bits  |      stamp  in ticks: when it was inserted; in the main part, when it
 *     +------+-------+----------+             was last used
 *
 * - A tick passes with every so many insertions as make a 128th of the residents.
 * - Inserted is into the main part while that has less than its share, or if the key is a ghost that was used
 *   more recently than what the
 *   main part lets go (as in LIRS: Jiang and Zhang, SIGMETRICS '02); else into the small part.
 * - The victim comes from the small part if that is above its share, else from the main part: of those drawn,
 *   the one with the greatest age,
 *   which counts less the more often it was hit, and more if it is large. In the small part, one that was
 *       hit goes to the main part instead.
 * - A ghost is 11 bits of a key's hash and 5 bits of coarse time, in one table for all shards, which keeps
 *   order within a bucket only.
 *
 *     small=15     share in percent         samples=128  entries that are drawn            ghost=150
 *                                                        slots in percent of the residents
 *     take=8       victims of one drawing   run=32       entries drawn from a shard        size=50
 *                                                        exponent of the size, in percent
 *     reach=100    percent of the main part's age that a ghost may have
 *     keep1=50 keep2=30 keep3=20            weight of the age after so many hits */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

#define STAMP_BITS 13
#define STAMP_MASK ((1u << STAMP_BITS) - 1)
#define COUNT_MOST 3u
#define TICKS 128
#define GHOST_SLOTS 16
#define GHOST_STAMP_BITS 5
#define GHOST_STAMP_MASK ((1u << GHOST_STAMP_BITS) - 1)
/* Ticks in a ghost's unit of time, as a power of two: it is an eighth of the residents. */
#define GHOST_SHIFT 4
#define TAKE_MOST 64

struct ghosts {
    uint16_t *slots; /* [bucket][GHOST_SLOTS], newest first */
    uint32_t buckets;
};

struct shard {
    uint32_t *residents;
    uint32_t count, room;
};

struct candidate {
    uint32_t object;
    float score;
};

/* The best of one part that were drawn, the best last. */
struct queue {
    struct candidate candidates[TAKE_MOST];
    uint32_t count;
};

struct latchkey {
    const struct setting *setting;
    struct shard *shards;
    struct ghosts ghosts;
    uint32_t *places; /* in its shard's residents, plus one; 0: absent */
    uint16_t *access;
    uint64_t used, main_used, random;
    uint32_t residents, tick, tick_insertions;
    double main_age; /* mean of what the main part let go, in ticks; 0: nothing yet */
    uint64_t small_share;
    uint32_t samples, take, run;
    double reach, keep[COUNT_MOST + 1], size;
    float *sizes;           /* weight to the power of size */
    struct queue queues[2]; /* of the small part, and of the main one */
};

static void *latchkey_open(const struct setting *setting) {
    struct latchkey *latchkey = memory_take(1, sizeof *latchkey);
    latchkey->setting = setting;
    latchkey->shards = memory_take(setting->shards, sizeof *latchkey->shards);
    latchkey->places = memory_take(setting->objects, sizeof(uint32_t));
    latchkey->access = memory_take(setting->objects, sizeof(uint16_t));
    latchkey->sizes = memory_take(setting->objects, sizeof(float));
    latchkey->random = setting->seed;
    latchkey->small_share =
        (uint64_t)((double)setting->capacity * setting_number(setting, "small", 15) / 100);
    latchkey->samples = (uint32_t)setting_number(setting, "samples", 128);
    latchkey->take = (uint32_t)setting_number(setting, "take", 8);
    if (latchkey->take > TAKE_MOST) latchkey->take = TAKE_MOST;
    latchkey->run = (uint32_t)setting_number(setting, "run", 32);
    latchkey->reach = setting_number(setting, "reach", 100) / 100;
    latchkey->size = setting_number(setting, "size", 50) / 100;
    latchkey->keep[0] = 1;
    latchkey->keep[1] = setting_number(setting, "keep1", 50) / 100;
    latchkey->keep[2] = setting_number(setting, "keep2", 30) / 100;
    latchkey->keep[3] = setting_number(setting, "keep3", 20) / 100;
    double total = 0;
    for (uint32_t i = 0; i < setting->objects; i++) {
        total += setting->weights[i];
        latchkey->sizes[i] = (float)pow(setting->weights[i], latchkey->size);
    }
    double held = (double)setting->capacity * setting->objects / (total + 1) + 1;
    latchkey->ghosts.buckets =
        (uint32_t)(held * setting_number(setting, "ghost", 150) / 100 / GHOST_SLOTS) + 1;
    latchkey->ghosts.slots = memory_take((size_t)latchkey->ghosts.buckets * GHOST_SLOTS, sizeof(uint16_t));
    return latchkey;
}

static void latchkey_close(void *state) {
    struct latchkey *latchkey = state;
    for (uint32_t i = 0; i < latchkey->setting->shards; i++) free(latchkey->shards[i].residents);
    free(latchkey->shards);
    free(latchkey->ghosts.slots);
    free(latchkey->places);
    free(latchkey->access);
    free(latchkey->sizes);
    free(latchkey);
}

/* ---------------------------------------------------------------- ghosts */

static uint16_t *ghosts_bucket(const struct ghosts *ghosts, uint64_t hash, uint32_t *tag) {
    *tag = (uint32_t)(hash >> 20 & 0x7ff);
    if (*tag == 0) *tag = 1; /* so that an empty slot is nobody's */
    return ghosts->slots + (size_t)((hash >> 32) * ghosts->buckets >> 32) * GHOST_SLOTS;
}

static void ghosts_add(struct ghosts *ghosts, uint64_t hash, uint32_t tick) {
    uint32_t tag;
    uint16_t *bucket = ghosts_bucket(ghosts, hash, &tag);
    memmove(bucket + 1, bucket, (GHOST_SLOTS - 1) * sizeof *bucket);
    bucket[0] = (uint16_t)(tag << GHOST_STAMP_BITS | (tick >> GHOST_SHIFT & GHOST_STAMP_MASK));
}

/* Takes a ghost out: true, and how many ticks ago its key was last used. */
static bool ghosts_take(struct ghosts *ghosts, uint64_t hash, uint32_t tick, uint32_t *age) {
    uint32_t tag;
    uint16_t *bucket = ghosts_bucket(ghosts, hash, &tag);
    for (uint32_t i = 0; i < GHOST_SLOTS; i++) {
        if (bucket[i] >> GHOST_STAMP_BITS != tag) continue;
        *age = (((tick >> GHOST_SHIFT) - bucket[i]) & GHOST_STAMP_MASK) << GHOST_SHIFT;
        memmove(bucket + i, bucket + i + 1, (GHOST_SLOTS - 1 - i) * sizeof *bucket);
        bucket[GHOST_SLOTS - 1] = 0;
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------- entries */

static bool is_main(uint16_t access) {
    return access >> 15;
}
static uint32_t count_of(uint16_t access) {
    return access >> STAMP_BITS & COUNT_MOST;
}
static uint32_t age_of(uint16_t access, uint32_t tick) {
    return (tick - access) & STAMP_MASK;
}
static uint16_t access_make(bool is_main, uint32_t count, uint32_t tick) {
    return (uint16_t)((uint32_t)is_main << 15 | count << STAMP_BITS | (tick & STAMP_MASK));
}

static struct shard *shard_of(const struct latchkey *latchkey, uint32_t object) {
    return &latchkey->shards[object_hash(object) & (latchkey->setting->shards - 1)];
}

static void shard_add(struct latchkey *latchkey, uint32_t object) {
    struct shard *shard = shard_of(latchkey, object);
    if (shard->count == shard->room) {
        shard->room = shard->room * 2 + 4;
        shard->residents = realloc(shard->residents, shard->room * sizeof *shard->residents);
        if (shard->residents == NULL) abort();
    }
    shard->residents[shard->count] = object;
    latchkey->places[object] = ++shard->count;
    latchkey->residents++;
}

static void shard_remove(struct latchkey *latchkey, uint32_t object) {
    struct shard *shard = shard_of(latchkey, object);
    uint32_t last = shard->residents[--shard->count];
    shard->residents[latchkey->places[object] - 1] = last;
    latchkey->places[last] = latchkey->places[object];
    latchkey->places[object] = 0;
    latchkey->residents--;
}

/* ---------------------------------------------------------------- victims */

static float score_of(const struct latchkey *latchkey, uint32_t object) {
    uint16_t access = latchkey->access[object];
    double age = age_of(access, latchkey->tick) + 0.5;
    if (is_main(access)) age *= latchkey->keep[count_of(access)];
    return (float)age * latchkey->sizes[object];
}

static void queue_offer(const struct latchkey *latchkey, struct queue *queue, uint32_t object) {
    struct candidate *candidates = queue->candidates;
    float score = score_of(latchkey, object);
    uint32_t at = queue->count;
    if (at == latchkey->take && score <= candidates[0].score) return;
    for (uint32_t i = 0; i < at; i++)
        if (candidates[i].object == object) return;
    if (at == latchkey->take) {
        memmove(candidates, candidates + 1, --at * sizeof *candidates);
        queue->count--;
    }
    for (; at > 0 && candidates[at - 1].score > score; at--) candidates[at] = candidates[at - 1];
    candidates[at] = (struct candidate){object, score};
    queue->count++;
}

static void queue_draw(struct latchkey *latchkey, struct queue *queue, bool wants_small) {
    uint32_t drawn = 0;
    for (uint32_t tries = 0;
         (drawn < latchkey->samples && tries < 4 * latchkey->samples) || queue->count == 0; tries++) {
        const struct shard *shard =
            &latchkey->shards[random_below(&latchkey->random, latchkey->setting->shards)];
        if (shard->count == 0) continue;
        uint32_t start = random_below(&latchkey->random, shard->count);
        for (uint32_t i = 0; i < latchkey->run && i < shard->count; i++, drawn++) {
            uint32_t object = shard->residents[(start + i) % shard->count];
            if (is_main(latchkey->access[object]) != wants_small) queue_offer(latchkey, queue, object);
        }
    }
}

static uint32_t victim_choose(struct latchkey *latchkey, bool wants_small) {
    struct queue *queue = &latchkey->queues[wants_small ? 0 : 1];
    for (;;) {
        if (queue->count == 0) queue_draw(latchkey, queue, wants_small);
        struct candidate best = queue->candidates[--queue->count];
        if (latchkey->places[best.object] == 0 || is_main(latchkey->access[best.object]) == wants_small)
            continue;
        if (score_of(latchkey, best.object) >= best.score) return best.object;
    }
}

static void latchkey_evict(struct latchkey *latchkey, uint64_t incoming) {
    const uint32_t *weights = latchkey->setting->weights;
    for (;;) {
        uint64_t small = latchkey->used - latchkey->main_used + incoming;
        bool wants_small = small > incoming && (small > latchkey->small_share || latchkey->main_used == 0);
        uint32_t victim = victim_choose(latchkey, wants_small);
        uint16_t access = latchkey->access[victim];
        if (wants_small && count_of(access) > 0) {
            latchkey->access[victim] = access_make(true, count_of(access) - 1, latchkey->tick);
            latchkey->main_used += weights[victim];
            continue;
        }
        uint32_t age = age_of(access, latchkey->tick);
        if (!wants_small) {
            latchkey->main_used -= weights[victim];
            latchkey->main_age += latchkey->main_age == 0 ? age : (age - latchkey->main_age) / 128;
        }
        latchkey->used -= weights[victim];
        shard_remove(latchkey, victim);
        ghosts_add(&latchkey->ghosts, object_hash(victim), latchkey->tick - age);
        return;
    }
}

/* ---------------------------------------------------------------- requests */

/* Writes only if that changes something: in the main part once a tick, in the small one three times at
 * most. */
static void latchkey_hit(struct latchkey *latchkey, uint32_t object) {
    uint16_t access = latchkey->access[object];
    uint32_t count = count_of(access) + (count_of(access) < COUNT_MOST);
    if (!is_main(access))
        latchkey->access[object] = access_make(false, count, access);
    else if (age_of(access, latchkey->tick) > 0)
        latchkey->access[object] = access_make(true, count, latchkey->tick);
}

static bool latchkey_goes_to_main(struct latchkey *latchkey, uint32_t object, uint64_t weight) {
    uint32_t age;
    bool is_ghost = ghosts_take(&latchkey->ghosts, object_hash(object), latchkey->tick, &age);
    if (is_ghost && (latchkey->main_age == 0 || age <= latchkey->reach * latchkey->main_age)) return true;
    return latchkey->main_used + weight <= latchkey->setting->capacity - latchkey->small_share;
}

static bool latchkey_request(void *state, uint32_t object) {
    struct latchkey *latchkey = state;
    uint64_t weight = latchkey->setting->weights[object], capacity = latchkey->setting->capacity;
    if (latchkey->places[object] > 0) {
        latchkey_hit(latchkey, object);
        return true;
    }
    if (weight > capacity) return false;
    bool goes_to_main = latchkey_goes_to_main(latchkey, object, weight);
    while (latchkey->used + weight > capacity) latchkey_evict(latchkey, goes_to_main ? 0 : weight);
    shard_add(latchkey, object);
    latchkey->access[object] = access_make(goes_to_main, 0, latchkey->tick);
    latchkey->used += weight;
    if (goes_to_main) latchkey->main_used += weight;
    if (++latchkey->tick_insertions * TICKS >= latchkey->residents) {
        latchkey->tick++;
        latchkey->tick_insertions = 0;
    }
    return false;
}

const struct policy policy_latchkey = {"latchkey", latchkey_open, latchkey_request, latchkey_close};
