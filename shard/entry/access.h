/* The 16 bits of an entry that tell how it has been used, in the form that the eviction policy at work wants.
 *
 *     none        nothing is noted: no policy was ever asked for
 *
 *     seconds     +---+-----------------------------+     lru, random, ttl, noeviction: the second of the
 *                 | 0 | second                      |     last use, modulo 2^15; or, once that is some
 *                 | 1 | 64 seconds                  |     hours ago, which 64 seconds it fell into,
 *                 +---+-----------------------------+     likewise
 *
 *     frequency   +----------------+----------------+     lfu: a logarithmic counter of uses (Morris, CACM
 *                 | minute, 8 bits | counter, 8     |     1978), which loses one for every so many minutes;
 *                 +----------------+----------------+     the minute is that of the last loss, modulo 2^8
 *
 *     queues      +------+---------+----------------+     s3fifo: in the main part or the small one; uses,
 *                 | main | count,2 | stamp, 13      |     up to 3; in ticks (usage.h), when it was inserted,
 *                 +------+---------+----------------+     or in the main part, when it was last used
 *
 * Times are those of usage_clock. They come around: after 9 hours, 24 days, 4 hours. So from time to time
 * all entries are gone over (eviction_tick), and what was long ago is written in a way that is good for
 * longer, or, in the end, as not that long ago.
 *
 * Readers that share a shard, or hold nothing, write them too: by one compare-and-exchange that may fail, and
 * only if that changes something. The bit `main` is changed by an exclusive holder of the shard and no other,
 * as bytes are counted by it. */
#ifndef SHARD_ENTRY_ACCESS_H
#define SHARD_ENTRY_ACCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "entry.h"

enum access_form { ACCESS_NONE, ACCESS_SECONDS, ACCESS_FREQUENCY, ACCESS_QUEUES };

#define ACCESS_MAIN 0x8000u
#define ACCESS_STAMP_BITS 13
#define ACCESS_STAMP_MASK ((1u << ACCESS_STAMP_BITS) - 1)
#define ACCESS_COUNT_MOST 3u
_Static_assert((ACCESS_MAIN ^ ACCESS_COUNT_MOST << ACCESS_STAMP_BITS ^ ACCESS_STAMP_MASK) == 0xFFFFu,
               "the parts of a queued access fill its 16 bits");
/* What a new key's counter begins with, so that it is not the first to go. */
#define ACCESS_FREQUENCY_FIRST 5u

static inline uint16_t access_read(const struct entry *entry) {
    return atomic_load_explicit(&entry->access, memory_order_relaxed);
}
static inline void access_write(struct entry *entry, uint16_t access) {
    atomic_store_explicit(&entry->access, access, memory_order_relaxed);
}

#define ACCESS_COARSE 0x8000u
#define ACCESS_TIME_MASK 0x7FFFu
#define ACCESS_COARSE_SHIFT 6
/* Idle for longer than the first is written in units of 64 seconds; for longer than the second, as just that:
 * half of what each can tell. */
#define ACCESS_FINE_MOST (1 << 14)
#define ACCESS_IDLE_MOST (1 << 20)

static inline uint16_t access_second(int64_t now) {
    return (uint16_t)(now / 1000) & ACCESS_TIME_MASK;
}
static inline uint32_t access_idle_seconds(uint16_t access, int64_t now) {
    uint32_t second = (uint32_t)(now / 1000);
    if ((access & ACCESS_COARSE) == 0) return (second - access) & ACCESS_TIME_MASK;
    uint32_t since = (access & ACCESS_TIME_MASK) << ACCESS_COARSE_SHIFT;
    return (second - since) & (ACCESS_TIME_MASK << ACCESS_COARSE_SHIFT | ((1u << ACCESS_COARSE_SHIFT) - 1));
}
static inline uint16_t access_second_aged(uint16_t access, int64_t now) {
    uint32_t idle = access_idle_seconds(access, now), second = (uint32_t)(now / 1000);
    if ((access & ACCESS_COARSE) == 0 && idle < ACCESS_FINE_MOST) return access;
    if (idle > ACCESS_IDLE_MOST) idle = ACCESS_IDLE_MOST;
    return (uint16_t)(ACCESS_COARSE | ((second - idle) >> ACCESS_COARSE_SHIFT & ACCESS_TIME_MASK));
}

static inline bool access_is_main(uint16_t access) {
    return (access & ACCESS_MAIN) != 0;
}
static inline uint32_t access_count(uint16_t access) {
    return (uint32_t)access >> ACCESS_STAMP_BITS & ACCESS_COUNT_MOST;
}
static inline uint32_t access_age(uint16_t access, uint32_t tick) {
    return (tick - access) & ACCESS_STAMP_MASK;
}
static inline uint16_t access_queued(bool is_main, uint32_t count, uint32_t tick) {
    return (uint16_t)((is_main ? ACCESS_MAIN : 0) | count << ACCESS_STAMP_BITS | (tick & ACCESS_STAMP_MASK));
}
/* After a use. In the small part a use is counted and the stamp stays; in the main part one a tick counts. */
static inline uint16_t access_queued_hit(uint16_t access, uint32_t tick) {
    uint32_t count = access_count(access);
    if (count < ACCESS_COUNT_MOST) count++;
    if (!access_is_main(access)) return access_queued(false, count, access);
    return access_age(access, tick) == 0 ? access : access_queued(true, count, tick);
}

static inline uint8_t access_minute(int64_t now) {
    return (uint8_t)(now / 60000);
}
static inline uint16_t access_frequency(uint8_t minute, uint32_t counter) {
    return (uint16_t)((uint32_t)minute << 8 | counter);
}
/* The counter as it is now: one less for each `decay` minutes that have passed; 0: it never falls. */
static inline uint32_t access_frequency_now(uint16_t access, int64_t now, int64_t decay) {
    uint32_t counter = access & 0xFFu;
    if (decay == 0) return counter;
    uint32_t lost = (uint32_t)((uint8_t)(access_minute(now) - (access >> 8)) / decay);
    return lost < counter ? counter - lost : 0;
}
/* The same value, with a minute that is not long ago. Where a loss takes longer than the minutes can tell,
 * one comes by chance, after a part of that time as likely as that part. chance: a random number below
 * 2^32. */
#define ACCESS_MINUTES_MOST 128
static inline uint16_t access_frequency_aged(uint16_t access, int64_t now, int64_t decay, uint32_t chance) {
    uint8_t since = (uint8_t)(access >> 8), passed = (uint8_t)(access_minute(now) - since);
    if (decay == 0) return access;
    uint32_t counter = access_frequency_now(access, now, decay);
    if (passed >= decay) return access_frequency((uint8_t)(since + passed / decay * decay), counter);
    if (passed < ACCESS_MINUTES_MOST) return access;
    bool loses = (int64_t)chance * decay < (int64_t)passed << 32;
    return access_frequency(access_minute(now), loses && counter > 0 ? counter - 1 : counter);
}

#endif
