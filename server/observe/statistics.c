#include "statistics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "server/command/command_table.h"
#include "server/config/config.h"

#define WORKERS_MOST 256

/* One worker's, one command's. */
struct command_counters {
    counter calls, nanoseconds, rejected, failed;
    _Atomic(struct histogram *) histogram; /* NULL until latency is tracked for it */
};

struct statistics {
    struct command_counters *commands; /* by command id */
};

/* What had been counted when statistics were last reset; readers subtract it. Counters themselves only grow:
 * their writers share no lock with a reset. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct command_totals *bases; /* by command id; guarded by mutex; NULL before the first reset */
static struct keyspace_counts keyspace_base;   /* guarded by mutex */
static struct worker_totals worker_base;       /* guarded by mutex */
static struct error_count errors[ERROR_CODES]; /* guarded by mutex */
static uint32_t error_codes;                   /* guarded by mutex */
static uint64_t error_total;                   /* guarded by mutex */

static _Atomic(struct statistics *) all[WORKERS_MOST];

struct statistics *statistics_attach(uint32_t worker_number) {
    struct statistics *statistics = atomic_load(&all[worker_number]);
    if (statistics != NULL) return statistics; /* a worker of that number had them before */
    statistics = calloc(1, sizeof *statistics);
    if (statistics == NULL) return NULL;
    statistics->commands =
        aligned_alloc(64, (command_table_count() * sizeof *statistics->commands + 63) & ~(size_t)63);
    if (statistics->commands == NULL) {
        free(statistics);
        return NULL;
    }
    memset(statistics->commands, 0, command_table_count() * sizeof *statistics->commands);
    atomic_store(&all[worker_number], statistics);
    return statistics;
}

/* ------------------------------------------------------------------ histograms */

/* Sixteen steps to each doubling: a value is kept to within 6 %. */
uint32_t histogram_index(uint64_t nanoseconds) {
    if (nanoseconds < 16) return (uint32_t)nanoseconds;
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(nanoseconds);
    uint32_t index = (exponent - 3) * 16 + (uint32_t)(nanoseconds >> (exponent - 4) & 15);
    return index < HISTOGRAM_STEPS ? index : HISTOGRAM_STEPS - 1;
}

uint64_t histogram_value(uint32_t index) {
    if (index < 16) return index;
    uint32_t exponent = index / 16 + 3;
    return (UINT64_C(16) + index % 16 + 1) << (exponent - 4);
}

uint64_t histogram_percentile(const struct histogram *histogram, double percentile) {
    uint64_t total = 0, seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++) total += counter_read(&histogram->counts[i]);
    uint64_t wanted = (uint64_t)((double)total * percentile / 100.0 + 0.5);
    if (wanted == 0) wanted = 1;
    for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++) {
        seen += counter_read(&histogram->counts[i]);
        if (seen >= wanted) return histogram_value(i);
    }
    return 0;
}

/* ------------------------------------------------------------------ counting */

void statistics_count_failed(struct statistics *statistics, const struct command *command, uint64_t times) {
    counter_add(&statistics->commands[command->id].failed, times);
}

void statistics_count(struct statistics *statistics, const struct command *command, uint64_t calls,
                      uint64_t nanoseconds) {
    struct command_counters *counters = &statistics->commands[command->id];
    counter_add(&counters->calls, calls);
    counter_add(&counters->nanoseconds, nanoseconds);
    if (!atomic_load_explicit(&config.latency_tracking, memory_order_relaxed)) return;
    struct histogram *histogram = atomic_load_explicit(&counters->histogram, memory_order_relaxed);
    if (histogram == NULL) {
        histogram = calloc(1, sizeof *histogram);
        if (histogram == NULL) return;
        atomic_store_explicit(&counters->histogram, histogram, memory_order_release);
    }
    counter_add(&histogram->counts[histogram_index(calls > 1 ? nanoseconds / calls : nanoseconds)], calls);
}

void statistics_count_rejected(struct statistics *statistics, const struct command *command) {
    counter_add(&statistics->commands[command->id].rejected, 1);
}

void statistics_count_error(const char *code, uint64_t times) {
    pthread_mutex_lock(&mutex);
    error_total += times;
    uint32_t i = 0;
    while (i < error_codes && strcmp(errors[i].code, code) != 0) i++;
    if (i == error_codes && error_codes < ERROR_CODES) {
        strncpy(errors[i].code, code, sizeof errors[i].code - 1);
        error_codes++;
    }
    if (i < error_codes) errors[i].count += times;
    pthread_mutex_unlock(&mutex);
}

/* ------------------------------------------------------------------ reading */

static void totals_sum(const struct command *command, struct command_totals *totals) {
    memset(totals, 0, sizeof *totals);
    for (uint32_t worker = 0; worker < WORKERS_MOST; worker++) {
        const struct statistics *statistics = atomic_load(&all[worker]);
        if (statistics == NULL) continue;
        const struct command_counters *counters = &statistics->commands[command->id];
        totals->calls += counter_read(&counters->calls);
        totals->nanoseconds += counter_read(&counters->nanoseconds);
        totals->rejected += counter_read(&counters->rejected);
        totals->failed += counter_read(&counters->failed);
        const struct histogram *histogram = atomic_load_explicit(&counters->histogram, memory_order_acquire);
        for (uint32_t i = 0; histogram != NULL && i < HISTOGRAM_STEPS; i++)
            counter_add(&totals->histogram.counts[i], counter_read(&histogram->counts[i]));
    }
}

void statistics_totals(const struct command *command, struct command_totals *totals) {
    totals_sum(command, totals);
    pthread_mutex_lock(&mutex);
    if (bases != NULL) {
        const struct command_totals *base = &bases[command->id];
        totals->calls -= base->calls;
        totals->nanoseconds -= base->nanoseconds;
        totals->rejected -= base->rejected;
        totals->failed -= base->failed;
        for (uint32_t i = 0; i < HISTOGRAM_STEPS; i++)
            counter_subtract(&totals->histogram.counts[i], counter_read(&base->histogram.counts[i]));
    }
    pthread_mutex_unlock(&mutex);
}

uint64_t statistics_commands_us(void) {
    uint64_t nanoseconds = 0;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        for (uint32_t worker = 0; worker < WORKERS_MOST; worker++) {
            const struct statistics *statistics = atomic_load(&all[worker]);
            if (statistics != NULL) nanoseconds += counter_read(&statistics->commands[id].nanoseconds);
        }
    }
    pthread_mutex_lock(&mutex);
    for (uint32_t id = 0; bases != NULL && id < command_table_count(); id++)
        nanoseconds -= bases[id].nanoseconds;
    pthread_mutex_unlock(&mutex);
    return nanoseconds / 1000;
}

uint32_t statistics_errors(struct error_count *out, uint64_t *total) {
    pthread_mutex_lock(&mutex);
    uint32_t count = error_codes;
    memcpy(out, errors, count * sizeof *out);
    *total = error_total;
    pthread_mutex_unlock(&mutex);
    return count;
}

static void workers_sum(struct worker_totals *totals) {
    *totals = (struct worker_totals){0};
    for (uint32_t i = 0; i < worker_count() + workers_aside_count(); i++) {
        const struct worker *worker = worker_at(i);
#define ADD(name, ...) totals->name += counter_read(&worker->name);
        WORKER_COUNTERS(ADD) /* what long threads run is counted as well; turns are of those that serve */
#undef ADD
        if (!worker->is_aside) totals->busy_us += (uint64_t)(worker_cpu_seconds(worker) * 1e6);
    }
}

void statistics_workers(struct worker_totals *totals) {
    workers_sum(totals);
    pthread_mutex_lock(&mutex);
#define SUBTRACT(name, ...) totals->name -= worker_base.name;
    WORKER_COUNTERS(SUBTRACT)
#undef SUBTRACT
    totals->busy_us -= worker_base.busy_us;
    pthread_mutex_unlock(&mutex);
}

void statistics_keyspace(const struct keyspace *keyspace, struct keyspace_counts *counts) {
    keyspace_counts(keyspace, counts);
    pthread_mutex_lock(&mutex);
    counts->hits -= keyspace_base.hits;
    counts->misses -= keyspace_base.misses;
    counts->expired -= keyspace_base.expired;
    counts->expired_actively -= keyspace_base.expired_actively;
    counts->evicted -= keyspace_base.evicted;
    counts->exclusive_takes -= keyspace_base.exclusive_takes;
    counts->shared_takes -= keyspace_base.shared_takes;
    counts->busy_takes -= keyspace_base.busy_takes;
    counts->gate_closings -= keyspace_base.gate_closings;
    counts->expiry_cycle_us -= keyspace_base.expiry_cycle_us;
    counts->expiry_cut_short -= keyspace_base.expiry_cut_short;
    counts->freed_objects -= keyspace_base.freed_objects;
    pthread_mutex_unlock(&mutex);
}

void statistics_reset(struct keyspace *keyspace) {
    struct command_totals *sums = calloc(command_table_count(), sizeof *sums);
    if (sums == NULL) return;
    for (uint32_t id = 0; id < command_table_count(); id++) totals_sum(command_by_id(id), &sums[id]);
    struct keyspace_counts counts;
    struct worker_totals totals;
    keyspace_counts(keyspace, &counts);
    workers_sum(&totals);
    pthread_mutex_lock(&mutex);
    free(bases);
    bases = sums;
    keyspace_base = counts;
    worker_base = totals;
    memset(errors, 0, sizeof errors);
    error_codes = 0;
    error_total = 0;
    pthread_mutex_unlock(&mutex);
}
