/* CLIENT PAUSE on one worker. While it lasts nothing expires or is evicted either, so that the data stays
 * as it is. */
#ifndef SERVER_RUN_PAUSE_H
#define SERVER_RUN_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

struct command;
struct execution;
struct worker;

/* On the worker's thread: until when (monotonic ms; 0 ends it), and whether only writes wait. */
void dispatch_pause(struct worker *worker, int64_t until, bool only_writes);
/* Until when this worker's clients are paused (0: they aren't). */
int64_t dispatch_paused_until(const struct worker *worker, bool *only_writes);

bool is_pausing(const struct worker *worker);
/* Whether what is read and has expired is removed, so that listeners are told. Nothing is removed while
 * clients are paused. */
bool reads_remove_dead(const struct execution *execution);
/* The command has to wait for the end of a pause, and is parked until then. Whether one that runs a script
 * writes is known only when that is found: it asks for itself. */
bool waits_for_pause(const struct execution *execution);
bool script_waits_for_pause(const struct execution *execution);

#endif
