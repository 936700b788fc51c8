/* The outbox: what is published in a transaction or by a script waits here until that is concluded, since it
 * may have to begin again. */
#ifndef SERVER_BROADCAST_OUTBOX_H
#define SERVER_BROADCAST_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "resp/request.h"
#include "server/task/session.h"
#include "server/worker/worker.h"

/* From here on what this worker publishes waits. It was not open. */
void outbox_open(struct worker *worker);
/* What waits is sent, in its order, or forgotten. While what it tells of is still held: so that it is heard
 * in the order in which that has happened. */
void outbox_close(struct worker *worker, bool is_sent);

/* On this worker: to whoever hears the channel; the rest as channels_publish. */
int64_t publish(struct worker *worker, enum channel_kind kind, const struct bulk *name,
                const struct bulk *text);

#endif
