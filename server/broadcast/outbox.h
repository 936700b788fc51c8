/* The outbox: what is published in a transaction or by a script waits here until that is concluded, since it
 * may have to begin again; and what is told of changes that may be taken back, until they may no longer. */
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
bool outbox_is_open(const struct worker *worker);
/* What waits by now is sent: who hears what is about to change, in a transaction that begins only once. */
void outbox_flush(struct worker *worker);

/* What a scope tells of a change waits, whether it is open or not. told: by then its lane had told so much
 * (lane.h). stays: it remains true if the rest is taken back or forgotten. false: no memory. */
bool outbox_keep(struct worker *worker, const struct bulk *name, const struct bulk *text, uint64_t told,
                 bool stays);
/* What the lane had told by then is still true, and nothing that it has told since. */
void outbox_take_back(struct worker *worker, uint64_t told);
/* Nothing more can be taken back: what waits is sent, unless it is open. */
void outbox_settle(struct worker *worker);

/* On this worker: to whoever hears the channel; the rest as channels_publish. */
int64_t publish(struct worker *worker, enum channel_kind kind, const struct bulk *name,
                const struct bulk *text);

#endif
