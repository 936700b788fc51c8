/* MONITOR: clients that see every command. Each worker feeds its own; what others' clients should see travels
 * by message. */
#ifndef SERVER_BROADCAST_MONITOR_H
#define SERVER_BROADCAST_MONITOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "resp/reply.h"
#include "server/task/task.h"
#include "server/worker/worker.h"

extern _Atomic uint32_t monitor_count; /* monitoring clients, over all workers */

static inline bool monitor_is_on(void) {
    return atomic_load_explicit(&monitor_count, memory_order_relaxed) != 0;
}

/* Makes the task a monitor; it is one already: nothing. On its worker. false: no memory. */
bool monitor_add(struct worker *worker, struct task *task);
/* The task ends, or RESETs; it may not be a monitor. */
void monitor_forget(struct worker *worker, struct task *task);
/* A command was run for that task, in that database: every monitor gets its line. If it is a monitor itself,
 * its own goes to `own`, behind the command's reply; NULL: it hears nothing. origin: where it is shown to
 * have come from; NULL: from the task's client. Beyond a bound on what waits in its mailbox, a worker's
 * monitors are closed, since they would miss lines. */
void monitor_feed(struct worker *worker, struct task *task, uint32_t database, const char *origin,
                  const struct bulk *arguments, uint32_t count, struct reply *own);

#endif
