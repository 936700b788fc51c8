/* Cycles are the processor's own counter where it runs at one pace on all cores, else nanoseconds from the
 * kernel. The pace is measured once against the monotonic clock and kept as a fixed-point factor. */
#include "clock.h"

#include <stdatomic.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CALIBRATION_NS 5000000
#define FRACTION_BITS 24

/* Written by clock_init only, before any thread. */
static uint64_t ns_per_cycle = (uint64_t)1 << FRACTION_BITS; /* fixed point */
static int has_counter;
static _Atomic int64_t wall_shift, monotonic_shift; /* ms */

void clock_shift(int64_t wall_ms, int64_t monotonic_ms) {
    atomic_fetch_add(&wall_shift, wall_ms);
    atomic_fetch_add(&monotonic_shift, monotonic_ms);
}

static uint64_t monotonic_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#if defined(__x86_64__)
static int counter_is_steady(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}
static uint64_t counter_read_now(void) {
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static int counter_is_steady(void) {
    return 1;
}
static uint64_t counter_read_now(void) {
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
}
#else
static int counter_is_steady(void) {
    return 0;
}
static uint64_t counter_read_now(void) {
    return 0;
}
#endif

void clock_init(void) {
    if (!counter_is_steady()) return;
    uint64_t start = monotonic_ns(), first = counter_read_now(), end;
    struct timespec pause = {0, CALIBRATION_NS};
    nanosleep(&pause, NULL);
    end = monotonic_ns();
    uint64_t cycles = counter_read_now() - first;
    if (cycles == 0) return;
    ns_per_cycle = ((end - start) << FRACTION_BITS) / cycles;
    has_counter = 1;
}

uint64_t clock_cycles(void) {
    return has_counter ? counter_read_now() : monotonic_ns();
}

const char *clock_source(void) {
#if defined(__x86_64__)
    return has_counter ? "X86 TSC" : "POSIX clock_gettime";
#else
    return has_counter ? "cycle counter" : "POSIX clock_gettime";
#endif
}

/* In two halves, so that days of cycles don't overflow. */
uint64_t clock_cycles_to_ns(uint64_t cycles) {
    uint64_t high = cycles >> FRACTION_BITS, low = cycles & (((uint64_t)1 << FRACTION_BITS) - 1);
    return high * ns_per_cycle + ((low * ns_per_cycle) >> FRACTION_BITS);
}

int64_t clock_wall_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000 +
           atomic_load_explicit(&wall_shift, memory_order_relaxed) * 1000;
}

int64_t clock_wall_ms(void) {
    return clock_wall_us() / 1000;
}

int64_t clock_monotonic_ms(void) {
    return (int64_t)(monotonic_ns() / 1000000u) +
           atomic_load_explicit(&monotonic_shift, memory_order_relaxed);
}
