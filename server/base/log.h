/* The log: one line per event that tells what happened and what to do about it, to a file or standard output.
 * Any thread. */
#ifndef SERVER_BASE_LOG_H
#define SERVER_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING, LOG_NOTHING };

/* Opens file ("" is standard output). Returns 0, or -1 with errno. Reopens on a second call (log rotation by
 * SIGHUP is not Redis's way: Redis opens, writes and closes; so do we, per line, when it is a file). */
int log_open(const char *file);
void log_level_set(enum log_level level);
/* "PID:M 24 Nov 2026 08:00:00.000 * text": Redis's line format, so that log readers work. What isn't visible
 * in ASCII is escaped ("\n", "\x1b"), whoever it came from, and no line is longer than 4 KB. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of lines that somebody could have written as often as he likes: true at most once in so many milliseconds,
 * for one of all threads. until: 0 at first, and nobody else's. now: monotonic, in milliseconds. */
static inline bool log_is_due(_Atomic int64_t *until, int64_t now, int64_t quiet_ms) {
    int64_t quiet = atomic_load(until);
    return now >= quiet && atomic_compare_exchange_strong(until, &quiet, now + quiet_ms);
}

#endif
