/* Statistics of commands and errors. Each worker counts on lines of its own, and readers sum; CONFIG
 * RESETSTAT remembers the sums of its moment, which readers then subtract. */
#ifndef SERVER_OBSERVE_STATISTICS_H
#define SERVER_OBSERVE_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/base/counter.h"
#include "shard/keyspace.h"
#include "server/command/command.h"
#include "server/worker/counters.h"
#include "server/worker/worker.h"

struct statistics; /* one worker's */

/* On the worker's thread, after command_table_init. NULL when out of memory. Never freed while workers
 * run. */
struct statistics *statistics_attach(uint32_t worker_number);

/* So many calls of a command took that long together; the histogram gets each one's share. The worker's own
 * thread, once per command or group of neighbours: no shared line is written. */
void statistics_count(struct statistics *statistics, const struct command *command, uint64_t calls,
                      uint64_t nanoseconds);
/* So many of them replied an error. */
void statistics_count_failed(struct statistics *statistics, const struct command *command, uint64_t times);
/* Refused before it ran: arity, authentication, ... */
void statistics_count_rejected(struct statistics *statistics, const struct command *command);
/* So many errors with that first word. Any thread; rare. */
void statistics_count_error(const char *code, uint64_t times);

/* How long executions took, in steps of 6 %. */
#define HISTOGRAM_STEPS 448 /* up to 2^31 ns */
struct histogram {
    counter counts[HISTOGRAM_STEPS];
};
uint32_t histogram_index(uint64_t nanoseconds);
uint64_t histogram_value(uint32_t index); /* the upper end of a step, in nanoseconds */
uint64_t histogram_percentile(const struct histogram *histogram, double percentile);

/* Sums over all workers since the last reset. Any thread. */
struct command_totals {
    uint64_t calls, nanoseconds, rejected, failed;
    struct histogram histogram;
};
/* Microseconds that all commands have taken together. */
uint64_t statistics_commands_us(void);
void statistics_totals(const struct command *command, struct command_totals *totals);

#define ERROR_CODES 128
struct error_count {
    char code[32];
    uint64_t count;
};
/* out has room for ERROR_CODES; returns how many. *total counts every error reply. */
uint32_t statistics_errors(struct error_count *out, uint64_t *total);

struct worker_totals {
#define TOTAL(name, ...) uint64_t name;
    WORKER_COUNTERS(TOTAL)
#undef TOTAL
    uint64_t busy_us; /* processor time */
};
void statistics_workers(struct worker_totals *totals);
void statistics_keyspace(const struct keyspace *keyspace, struct keyspace_counts *counts);

/* CONFIG RESETSTAT. */
void statistics_reset(struct keyspace *keyspace);

#endif
