#include "usage.h"

#include <stdlib.h>

#include "../base/memory.h"
#include "../lock/reclaim.h"
#include "../value/value.h"
#include "ghosts.h"
#include "shard.h"

/* Ghosts for each hundred keys. */
#define GHOSTS_SHARE 150
#define TICKS 128
/* Insertions that a lane counts by itself before all know of them. */
#define INSERTIONS_EACH 8
#define MAIN_AGE_SHIFT 8
#define MAIN_AGE_WEIGHT 128
/* The clock is set again when it is as far from what it should tell. */
#define SKEW_LEAST 500

void usage_init(struct usage *usage) {
    atomic_init(&usage->log_factor, 10);
    atomic_init(&usage->decay, 1);
    atomic_init(&usage->epoch, 1);
    atomic_init(&usage->tick, 1);
}

void usage_destroy(struct usage *usage) {
    free(atomic_load(&usage->ghosts));
}

void usage_configure(struct keyspace *keyspace, enum access_form form, int64_t log_factor, int64_t decay) {
    struct usage *usage = &keyspace->usage;
    atomic_store(&usage->log_factor, log_factor);
    atomic_store(&usage->decay, decay);
    if (atomic_exchange(&usage->form, (int)form) == (int)form) return;
    atomic_store(&usage->form_since, atomic_fetch_add(&keyspace->gate.epoch, 1));
    atomic_fetch_add(&usage->epoch, 1);
}

static int64_t read_relaxed(const _Atomic int64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

void usage_clock(struct lane *lane, int64_t wall, int64_t monotonic) {
    struct usage *usage = &lane->keyspace->usage;
    int64_t apart = wall - monotonic, first = read_relaxed(&usage->clocks_apart);
    /* A lane that is not the first has the first one's. */
    if (first == 0 && atomic_compare_exchange_strong(&usage->clocks_apart, &first, apart == 0 ? 1 : apart))
        return;
    int64_t skew = first - apart, off = skew - lane->clock_skew;
    if (off >= SKEW_LEAST || off <= -SKEW_LEAST) lane->clock_skew = skew;
}

inline int64_t usage_now(const struct lane *lane, int64_t wall) {
    return wall + lane->clock_skew;
}

/* Morris's counter as Redis parametrizes it: the more there is, the less likely it grows. */
static uint16_t frequency_hit(const struct usage *usage, uint16_t access, int64_t now) {
    uint32_t counter = access_frequency_now(access, now, usage_decay(usage));
    if (counter < 255) {
        double base = counter > ACCESS_FREQUENCY_FIRST ? counter - ACCESS_FREQUENCY_FIRST : 0;
        double chance = 1.0 / (base * (double)read_relaxed(&usage->log_factor) + 1);
        if ((double)value_random(UINT64_C(1) << 53) < chance * 0x1p53) counter++;
    }
    return access_frequency(access_minute(now), counter);
}

/* Whether there is something to note depends on chance, which no processor foretells; so where that is
 * nothing but the time it is always stored, but to nowhere if the entry has it already: nobody else must wait
 * for the entry's line without need. No exchange: the second is all that the bits are, and they become
 * something else only when no lane is inside any more that may take them for one (eviction_tick). */
static inline void note_second(struct lane *lane, struct entry *entry, int64_t now) {
    uint16_t second = access_second(now);
    _Atomic uint16_t *at = access_read(entry) != second ? &entry->access : &lane->nowhere;
    atomic_store_explicit(at, second, memory_order_relaxed);
}

inline bool usage_is_noted(const struct lane *lane) {
    return usage_form(&lane->keyspace->usage) != ACCESS_NONE;
}

inline void usage_note(struct lane *lane, struct entry *entry, int64_t now) {
    const struct usage *usage = &lane->keyspace->usage;
    enum access_form form = usage_form(usage);
    if (form <= ACCESS_SECONDS) {
        if (form == ACCESS_SECONDS) note_second(lane, entry, usage_now(lane, now));
        return;
    }
    uint16_t before = access_read(entry);
    uint16_t after = form == ACCESS_FREQUENCY ? frequency_hit(usage, before, usage_now(lane, now))
                                              : access_queued_hit(before, usage_tick(usage));
    /* The second to come has nothing to add. */
    if (after != before)
        atomic_compare_exchange_strong_explicit(&entry->access, &before, after, memory_order_relaxed,
                                                memory_order_relaxed);
}

/* A tick is due when as many keys as make a 128th of all have come in. */
static void count_insertion(struct lane *lane, struct usage *usage) {
    if (++lane->insertions < INSERTIONS_EACH) return;
    lane->insertions = 0;
    uint32_t since = atomic_fetch_add_explicit(&usage->insertions, INSERTIONS_EACH, memory_order_relaxed) +
                     INSERTIONS_EACH;
    if ((uint64_t)since * TICKS < budget_read(lane->budget).keys) return;
    if (atomic_compare_exchange_strong_explicit(&usage->insertions, &since, 0, memory_order_relaxed,
                                                memory_order_relaxed))
        atomic_fetch_add_explicit(&usage->tick, 1, memory_order_relaxed);
}

/* Whoever holds still does without: the table may be replaced meanwhile, and freed. */
static struct ghosts *ghosts_of(const struct lane *lane) {
#ifndef PLANT_FREED_GHOSTS
    if (lane_is_still(lane)) return NULL;
#endif
    return atomic_load_explicit(&lane->keyspace->usage.ghosts, memory_order_acquire);
}

static bool goes_to_main(struct lane *lane, struct usage *usage, uint64_t hash, size_t bytes) {
    struct ghosts *ghosts = ghosts_of(lane);
    uint32_t age, main_age = atomic_load_explicit(&usage->main_age, memory_order_relaxed);
    if (ghosts != NULL && ghosts_take(ghosts, hash, usage_tick(usage), &age) &&
        (main_age == 0 || age << MAIN_AGE_SHIFT <= main_age))
        return true;
    return budget_read(lane->budget).main + (int64_t)bytes <= read_relaxed(&usage->main_most);
}

uint16_t usage_of_new(struct lane *lane, uint64_t hash, size_t bytes, int64_t now) {
    struct usage *usage = &lane->keyspace->usage;
    switch (usage_form(usage)) {
    case ACCESS_NONE:
    case ACCESS_SECONDS: break;
    case ACCESS_FREQUENCY:
        return access_frequency(access_minute(usage_now(lane, now)), ACCESS_FREQUENCY_FIRST);
    case ACCESS_QUEUES: {
        bool is_main = goes_to_main(lane, usage, hash, bytes);
        count_insertion(lane, usage);
        return access_queued(is_main, 0, usage_tick(usage));
    }
    }
    return access_second(usage_now(lane, now));
}

uint16_t usage_of_unknown(const struct lane *lane, int64_t now) {
    const struct usage *usage = &lane->keyspace->usage;
    switch (usage_form(usage)) {
    case ACCESS_FREQUENCY:
        return access_frequency(access_minute(usage_now(lane, now)), ACCESS_FREQUENCY_FIRST);
    case ACCESS_QUEUES: return access_queued(false, 0, usage_tick(usage));
    default: return access_second(usage_now(lane, now));
    }
}

uint32_t usage_frequency(const struct lane *lane, const struct entry *entry, int64_t now) {
    return access_frequency_now(access_read(entry), usage_now(lane, now),
                                usage_decay(&lane->keyspace->usage));
}

/* ------------------------------------------------------------------ what left */

static void note_main_age(struct usage *usage, uint32_t age) {
    uint32_t before = atomic_load_explicit(&usage->main_age, memory_order_relaxed),
             now = age << MAIN_AGE_SHIFT;
    int64_t step = ((int64_t)now - before) / MAIN_AGE_WEIGHT;
    atomic_store_explicit(&usage->main_age, before == 0 ? now : (uint32_t)(before + step),
                          memory_order_relaxed);
}

void usage_note_gone(const struct lane *lane, const struct entry *entry, uint64_t hash) {
    struct usage *usage = &lane->keyspace->usage;
    if (usage_form(usage) != ACCESS_QUEUES) return;
    struct ghosts *ghosts = ghosts_of(lane);
    uint16_t access = access_read(entry);
    uint32_t tick = usage_tick(usage), age = access_age(access, tick);
    if (access_is_main(access)) note_main_age(usage, age);
    if (ghosts != NULL) ghosts_add(ghosts, hash, tick - age);
}

void usage_expect(const struct lane *lane, uint64_t hash) {
    const struct ghosts *ghosts =
        usage_form(&lane->keyspace->usage) == ACCESS_QUEUES ? ghosts_of(lane) : NULL;
    if (ghosts != NULL) ghosts_prefetch(ghosts, hash);
}

void usage_fit_ghosts(struct lane *lane) {
    struct usage *usage = &lane->keyspace->usage;
    struct ghosts *present = atomic_load_explicit(&usage->ghosts, memory_order_acquire), *fitting = NULL;
    uint64_t wanted = budget_read(lane->budget).keys * GHOSTS_SHARE / 100;
    bool is_needed = usage_form(usage) == ACCESS_QUEUES && budget_is_limited(lane->budget);
    if (present == NULL && !is_needed) return;
    if (present != NULL && is_needed && wanted < ghosts_capacity(present) * 5 / 4 &&
        wanted > ghosts_capacity(present) / 2)
        return;
    if (is_needed && (fitting = ghosts_create(wanted, present)) == NULL) return;
    atomic_store_explicit(&usage->ghosts, fitting, memory_order_release);
    if (present != NULL) lane_retire(lane, present, memory_size(present), NULL);
}
