/* MONITOR: clients that see every command. Each worker feeds its own; what others' clients should see travels by message. */
#ifndef SERVER_MONITOR_H
#define SERVER_MONITOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "connection.h"
#include "worker.h"

extern _Atomic uint32_t monitor_count; /* monitoring clients, over all workers */

static inline bool monitor_is_on(void) {
    return atomic_load_explicit(&monitor_count, memory_order_relaxed) != 0;
}

/* Makes the connection a monitor; it is one already: nothing. On its worker. */
void monitor_add(struct worker *worker, struct connection *connection);
/* The connection closes, or RESETs; it may not be a monitor. */
void monitor_forget(struct worker *worker, struct connection *connection);
/* A command was run for that connection: every monitor gets its line. */
void monitor_feed(struct worker *worker, const struct connection *connection, uint32_t database, const struct bulk *arguments,
                  uint32_t count);

#endif
