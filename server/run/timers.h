/* Timers: what a worker does for the keyspace between two turns. */
#ifndef SERVER_RUN_TIMERS_H
#define SERVER_RUN_TIMERS_H

#include <stdbool.h>

struct worker;

/* Outside the gate, once per turn: wakes connections whose locks were released, pauses that ended; runs
 * expiry slices. Returns the milliseconds until it wants to be called again (-1: when something happens).
 * is_idle: nothing had come for this turn. */
int dispatch_timers(struct worker *worker, bool is_idle);

#endif
