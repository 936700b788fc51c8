/* W-TinyLFU (Einziger, Friedman and Manes, 2017): an LRU window of 1 %, and behind it a segmented LRU that
 * lets an object in only if a sketch has counted it more often than the one that would have to go. */
#include <string.h>

#include "links.h"

enum place { NOWHERE, WINDOW, PROBATION, PROTECTED, PLACES };

struct tinylfu {
    const struct setting *setting;
    struct links links;
    uint8_t *places;
    uint64_t weights[PLACES];
    uint64_t window_most, protected_most;
    uint8_t *sketch; /* four rows of counters up to 15 */
    uint64_t row_mask, counted, counted_most;
};

static void *tinylfu_open(const struct setting *setting) {
    struct tinylfu *tinylfu = memory_take(1, sizeof *tinylfu);
    tinylfu->setting = setting;
    tinylfu->links = links_open(setting->objects, PLACES);
    tinylfu->places = memory_take(setting->objects, 1);
    double window = setting_number(setting, "window", 1) / 100;
    tinylfu->window_most = (uint64_t)(window * (double)setting->capacity) + 1;
    tinylfu->protected_most = (uint64_t)(0.8 * (1 - window) * (double)setting->capacity);
    uint64_t total = 0;
    for (uint32_t i = 0; i < setting->objects; i++) total += setting->weights[i];
    uint64_t held = setting->capacity * setting->objects / (total + 1) + 1, row = 16;
    while (row < held) row *= 2;
    tinylfu->row_mask = row - 1;
    tinylfu->sketch = memory_take(row, 4);
    tinylfu->counted_most = 10 * held;
    return tinylfu;
}

static void tinylfu_close(void *state) {
    struct tinylfu *tinylfu = state;
    links_close(&tinylfu->links);
    free(tinylfu->places);
    free(tinylfu->sketch);
    free(tinylfu);
}

static uint8_t *sketch_counter(const struct tinylfu *tinylfu, uint64_t hash, uint64_t row) {
    uint64_t at = (hash + row * (hash >> 32 | 1)) * 0x9e3779b97f4a7c15u >> 20;
    return &tinylfu->sketch[4 * (at & tinylfu->row_mask) + row];
}

static uint8_t sketch_estimate(const struct tinylfu *tinylfu, uint32_t object) {
    uint8_t least = 15;
    uint64_t hash = object_hash(object);
    for (uint64_t row = 0; row < 4; row++) {
        uint8_t count = *sketch_counter(tinylfu, hash, row);
        if (count < least) least = count;
    }
    return least;
}

static void sketch_count(struct tinylfu *tinylfu, uint32_t object) {
    uint64_t hash = object_hash(object);
    for (uint64_t row = 0; row < 4; row++) {
        uint8_t *counter = sketch_counter(tinylfu, hash, row);
        if (*counter < 15) ++*counter;
    }
    if (++tinylfu->counted < tinylfu->counted_most) return;
    for (uint64_t i = 0; i < 4 * (tinylfu->row_mask + 1); i++) tinylfu->sketch[i] /= 2;
    tinylfu->counted /= 2;
}

static void tinylfu_place(struct tinylfu *tinylfu, uint32_t object, enum place place) {
    enum place before = tinylfu->places[object];
    if (before != NOWHERE) {
        links_remove(&tinylfu->links, object);
        tinylfu->weights[before] -= tinylfu->setting->weights[object];
    }
    tinylfu->places[object] = (uint8_t)place;
    if (place == NOWHERE) return;
    links_push(&tinylfu->links, place, object);
    tinylfu->weights[place] += tinylfu->setting->weights[object];
}

static uint64_t tinylfu_used(const struct tinylfu *tinylfu) {
    return tinylfu->weights[WINDOW] + tinylfu->weights[PROBATION] + tinylfu->weights[PROTECTED];
}

/* What the window is too full for becomes a candidate, and meets the victim of the main part if there is no
 * room for both. */
static void tinylfu_settle(struct tinylfu *tinylfu) {
    while (tinylfu->weights[WINDOW] > tinylfu->window_most) {
        uint32_t candidate = links_last(&tinylfu->links, WINDOW);
        tinylfu_place(tinylfu, candidate, PROBATION);
        while (tinylfu_used(tinylfu) > tinylfu->setting->capacity) {
            uint32_t victim = links_last(&tinylfu->links, PROBATION);
            if (victim == candidate && tinylfu->weights[PROTECTED] > 0)
                victim = links_last(&tinylfu->links, PROTECTED);
            if (sketch_estimate(tinylfu, candidate) <= sketch_estimate(tinylfu, victim)) victim = candidate;
            tinylfu_place(tinylfu, victim, NOWHERE);
            if (victim == candidate) break;
        }
    }
    while (tinylfu_used(tinylfu) > tinylfu->setting->capacity) {
        uint32_t victim = links_last(&tinylfu->links, PROBATION);
        if (victim == LINKS_NONE) victim = links_last(&tinylfu->links, PROTECTED);
        if (victim == LINKS_NONE) victim = links_last(&tinylfu->links, WINDOW);
        tinylfu_place(tinylfu, victim, NOWHERE);
    }
}

static bool tinylfu_request(void *state, uint32_t object) {
    struct tinylfu *tinylfu = state;
    sketch_count(tinylfu, object);
    enum place place = tinylfu->places[object];
    if (place == NOWHERE) {
        if (tinylfu->setting->weights[object] > tinylfu->setting->capacity) return false;
        tinylfu_place(tinylfu, object, WINDOW);
        tinylfu_settle(tinylfu);
        return false;
    }
    tinylfu_place(tinylfu, object, place == WINDOW ? WINDOW : PROTECTED);
    while (tinylfu->weights[PROTECTED] > tinylfu->protected_most)
        tinylfu_place(tinylfu, links_last(&tinylfu->links, PROTECTED), PROBATION);
    return true;
}

const struct policy policy_tinylfu = {"w-tinylfu", tinylfu_open, tinylfu_request, tinylfu_close};
