/* A counter with one writer and any readers: plain relaxed loads and stores, no locked instruction. */
#ifndef SHARD_BASE_COUNTER_H
#define SHARD_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline __attribute__((always_inline)) void counter_add(counter *value, uint64_t by) {
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + by,
                          memory_order_relaxed);
}
static inline __attribute__((always_inline)) void counter_subtract(counter *value, uint64_t by) {
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) - by,
                          memory_order_relaxed);
}
static inline uint64_t counter_read(const counter *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

#endif
