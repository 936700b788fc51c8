/* A client's subscriptions. They are its worker's, and while it has any it stays there. */
#ifndef SERVER_BROADCAST_SUBSCRIPTIONS_H
#define SERVER_BROADCAST_SUBSCRIPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "resp/reply.h"
#include "channels.h"

/* On a worker's thread, at its start and end: what subscriptions need there. false: no memory. */
bool subscriptions_attach(struct worker *worker);
void subscriptions_detach(struct worker *worker);

/* Each replies that it is done. Where `is_within` is false, what was published before is in front of that,
 * and the task's reply is the one that it pushes to; where it is true other replies of a transaction are
 * under way and shards may be held, so nothing is read meanwhile: what was published before follows. */
void subscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
               bool is_within, struct reply *reply);
void unsubscribe(struct worker *worker, struct task *task, enum channel_kind kind, const struct bulk *name,
                 bool is_within, struct reply *reply);
void unsubscribe_all(struct worker *worker, struct task *task, enum channel_kind kind, bool is_within,
                     struct reply *reply);
/* Whether `is_wanted` says so of all that the session hears. On its worker. */
bool subscriptions_are_all(const struct session *session,
                           bool (*is_wanted)(const void *context, enum channel_kind kind, const char *name,
                                             size_t length),
                           const void *context);
/* The task ends, or RESETs; it may have none. */
void subscriptions_forget(struct worker *worker, struct task *task);

#endif
