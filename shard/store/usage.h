/* How keys are used, as far as eviction must know it: 16 bits in each entry (access.h), what passes
 * through the keyspace as a whole (ticks, ages), and the names of what left (ghosts.h).
 *
 * Readers note uses, so this is below the scopes; the policies that read it are above them
 * (../evict/eviction.h).
 *
 * What allkeys-s3fifo takes from S3-FIFO (Yang et al., SOSP '23) is that what is new passes through a small
 * part of the room first, and that names of what left are remembered:
 * - A tick passes with every so many insertions as make a 128th of the keys.
 * - A new key goes to the main part while that has less than its share of the bytes, or if it is a ghost that
 *   was used more recently than what the main part lets go (as in LIRS: Jiang and Zhang, SIGMETRICS '02);
 *   else to the small part. */
#ifndef SHARD_STORE_USAGE_H
#define SHARD_STORE_USAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/access.h"
#include "../lock/lane.h"
#include "../table/table.h"

struct ghosts;
struct keyspace;

/* The keyspace's part; all atomics, as any thread reads them. */
struct usage {
    _Atomic int form; /* enum access_form of the entries; none until a policy is configured */
    /* of the form; a table whose epoch is another has entries of another form (table->access_epoch) */
    _Atomic uint32_t epoch;
    /* the gate's epoch when the form came: a lane inside since before may still note uses in the old
     * one */
    _Atomic uint64_t form_since;
    _Atomic int64_t main_most;         /* bytes of entries that the main part may have */
    _Atomic int64_t log_factor, decay; /* lfu-log-factor; lfu-decay-time, in minutes */
    /* the wall's time less the monotonic one, when they were first seen; 0: they weren't */
    _Atomic int64_t clocks_apart;
    _Atomic(struct ghosts *) ghosts; /* NULL until something was let go */
    _Alignas(64) _Atomic uint32_t tick;
    _Atomic uint32_t insertions; /* since the last tick */
    _Atomic uint32_t main_age;   /* mean age of what the main part lets go, in 1/256 ticks; 0: nothing yet */
};

void usage_init(struct usage *usage);
/* Nobody notes anything any more. */
void usage_destroy(struct usage *usage);
/* Any thread, at any time. Entries that were there learn the new form little by little (eviction_tick). decay
 * in minutes. */
void usage_configure(struct keyspace *keyspace, enum access_form form, int64_t log_factor, int64_t decay);
static inline enum access_form usage_form(const struct usage *usage) {
    return (enum access_form)atomic_load_explicit(&usage->form, memory_order_relaxed);
}
static inline uint32_t usage_tick(const struct usage *usage) {
    return atomic_load_explicit(&usage->tick, memory_order_relaxed);
}
static inline int64_t usage_decay(const struct usage *usage) {
    return atomic_load_explicit(&usage->decay, memory_order_relaxed);
}
/* Its entries' access is of a form that was before. */
static inline bool usage_is_stale(const struct usage *usage, const struct table *table) {
    return atomic_load_explicit(&table->access_epoch, memory_order_relaxed) !=
           atomic_load_explicit(&usage->epoch, memory_order_relaxed);
}

/* For a lane's thread, whenever it has looked at the clocks: what both tell, in milliseconds. Uses are noted
 * by the wall's time, for want of another; of lanes that call this, by a time that goes on evenly when
 * somebody sets the clock. */
void usage_clock(struct lane *lane, int64_t wall, int64_t monotonic);
/* That time, for a time of the wall's that the lane's thread has read since. */
int64_t usage_now(const struct lane *lane, int64_t wall);

/* False as long as no policy was configured: then noting does nothing, and the time need not be known. */
bool usage_is_noted(const struct lane *lane);
/* A use of an entry that anybody may be using. now: the wall's. */
void usage_note(struct lane *lane, struct entry *entry, int64_t now);
/* The access of a key that is new, of so many bytes. */
uint16_t usage_of_new(struct lane *lane, uint64_t hash, size_t bytes, int64_t now);
/* The access of one of which nothing is known. */
uint16_t usage_of_unknown(const struct lane *lane, int64_t now);
/* A key that may be about to come in, or to be let go: its ghost's place is on its way to the cache. */
void usage_expect(const struct lane *lane, uint64_t hash);
/* The entry is let go, to make room. */
void usage_note_gone(const struct lane *lane, const struct entry *entry, uint64_t hash);
/* Now and then, inside the gate: there are ghosts once something may be let go, and as many as the keys ask
 * for. */
void usage_fit_ghosts(struct lane *lane);

/* The counter of an entry under an lfu policy, as OBJECT FREQ answers. */
uint32_t usage_frequency(const struct lane *lane, const struct entry *entry, int64_t now);

#endif
