/* What is to be done for connections as time goes by, ten times a second: those that linger are closed, and
 * all are looked at once a second, so that a client that has gone is found whatever the kernel told. */
#ifndef SERVER_CLIENT_SWEEP_H
#define SERVER_CLIENT_SWEEP_H

#include <stdbool.h>

#define SWEEP_TICK_MS 100

struct worker;

/* Once a turn. */
void sweep_tick(struct worker *worker);
/* There is something that only ticks see to. */
bool sweep_needs_ticks(const struct worker *worker);

#endif
