/* The largest of something within the last seconds, as INFO tells of clients' buffers: one word for each
 * second, with the second in its upper bits. Written by one thread, read by any. */
#ifndef SERVER_BASE_RECENT_H
#define SERVER_BASE_RECENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RECENT_SECONDS 8
#define RECENT_SHIFT 40
#define RECENT_MOST ((UINT64_C(1) << RECENT_SHIFT) - 1)

struct recent {
    _Atomic uint64_t words[RECENT_SECONDS];
};

/* now: monotonic ms */
static inline void recent_note(struct recent *recent, int64_t now, size_t size) {
    uint64_t second = (uint64_t)now / 1000,
             word = second << RECENT_SHIFT | (size < RECENT_MOST ? size : RECENT_MOST);
    _Atomic uint64_t *place = &recent->words[second % RECENT_SECONDS];
    uint64_t present = atomic_load_explicit(place, memory_order_relaxed);
    if (word > present)
        atomic_store_explicit(place, word,
                              memory_order_relaxed); /* a later second is more, whatever the size */
}

static inline uint64_t recent_largest(const struct recent *recent, int64_t now) {
    uint64_t second = (uint64_t)now / 1000, largest = 0;
    for (int i = 0; i < RECENT_SECONDS; i++) {
        uint64_t word = atomic_load_explicit(&recent->words[i], memory_order_relaxed);
        uint64_t mask = (UINT64_C(1) << (64 - RECENT_SHIFT)) - 1;
        if (((second - (word >> RECENT_SHIFT)) & mask) < RECENT_SECONDS && (word & RECENT_MOST) > largest)
            largest = word & RECENT_MOST;
    }
    return largest;
}

#endif
