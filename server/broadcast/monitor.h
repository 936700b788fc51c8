/* MONITOR: clients that see every command. */
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
/* The task ends, or RESETs; it may not be a monitor. On its worker. */
void monitor_forget(struct task *task);
/* A command was run for that task, in that database: every monitor gets its line. If it is a monitor itself,
 * its own goes to `own`, behind the command's reply; NULL: it hears nothing. origin: where it is shown to
 * have come from; NULL: from the task's client. A worker that has too much to read closes its
 * monitors, since they would miss lines. No shard is held. */
void monitor_feed(struct task *task, uint32_t database, const char *origin, const struct bulk *arguments,
                  uint32_t count, struct reply *own);

#endif
