/* The allocator, and what it says of its own sizes. jemalloc where the build links it, else the C library's.
 * Every byte an entry owns is counted by these sizes, not by what was asked for. */
#ifndef SHARD_BASE_MEMORY_H
#define SHARD_BASE_MEMORY_H

#include <stdint.h>
#include <stdlib.h>

#ifdef USE_JEMALLOC
#include <jemalloc/jemalloc.h>
#else
#include <malloc.h>
#endif

/* Bytes really reserved for an allocation. */
static inline size_t memory_size(const void *allocation) {
#ifdef USE_JEMALLOC
    return sallocx(allocation, 0);
#else
    return malloc_usable_size((void *)(uintptr_t)allocation);
#endif
}

/* Bytes that would be reserved for a request of `size` bytes (at least 1). */
static inline size_t memory_good_size(size_t size) {
#ifdef USE_JEMALLOC
    return nallocx(size, 0);
#else
    return (size + 15) & ~(size_t)15;
#endif
}

/* Zeroed and aligned to a cache line; freed by free(). NULL when out of memory. */
void *memory_lines(size_t size);

#endif
