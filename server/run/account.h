/* Accounting: what is counted of a command that has run, how long it took, and where that is seen (SLOWLOG,
 * LATENCY, MONITOR). */
#ifndef SERVER_RUN_ACCOUNT_H
#define SERVER_RUN_ACCOUNT_H

#include "dispatcher.h"

/* The command has run, and its reply is whole. */
void account(const struct execution *execution);
/* Likewise one of several that were executed together: it took so long, and replied an error if it has a
 * code. Monitors are shown it. */
void account_inner(const struct execution *execution, uint64_t nanoseconds, const char *error_code);
/* Whether there is more to be told of one that took so long than its count: to monitors, to the log of slow
 * ones. */
bool account_tells(uint64_t nanoseconds);
/* Counts commands whose clock was to be shared with one that is not going to be timed. */
void account_untimed(struct worker *worker);
/* Behind the reply, or when a command begins to wait for a key: monitors are shown it. hears_itself: a
 * monitor its own, behind its reply. */
void feed_monitors(const struct execution *execution, bool hears_itself);

#endif
