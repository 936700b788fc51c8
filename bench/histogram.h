/* Counts of durations, exact to 1.6 %: a bucket's width is a 64th of the power of two it lies in.
 *
 *     value      0 .. 127        128 .. 255       256 .. 511     ...
 *     bucket     0 .. 127        128 .. 191       192 .. 255     ...   one each    two each    four each */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Up to 2^40 nanoseconds, 18 minutes. */
#define HISTOGRAM_MOST (((uint64_t)1 << 40) - 1)
#define HISTOGRAM_BUCKETS (34 * 64 + 64)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value) {
    if (value > HISTOGRAM_MOST) value = HISTOGRAM_MOST;
    uint32_t shift = value < 128 ? 0 : (uint32_t)(57 - __builtin_clzll(value));
    histogram->counts[shift * 64 + (value >> shift)]++;
    histogram->total++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from) {
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->counts[i] += from->counts[i];
    into->total += from->total;
}

/* The value that a share (0 to 1) of all doesn't exceed: the middle of its bucket. 0 if there are none. */
static inline double histogram_quantile(const struct histogram *histogram, double share) {
    uint64_t seen = 0, wanted = (uint64_t)((double)histogram->total * share);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen <= wanted) continue;
        if (i < 128) return (double)i;
        size_t shift = i / 64 - 1;
        return (double)((64 + i % 64) << shift) + (double)((uint64_t)1 << shift) / 2;
    }
    return 0;
}

#endif
