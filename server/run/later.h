/* Later: what a client hears of others while its request is with other threads is told behind the reply,
 * since the request itself may have said it: a script on a thread of long work, a transaction that then waits
 * for other workers; or it came later than the reply, which is still to be sent (BLPOP). */
#ifndef SERVER_RUN_LATER_H
#define SERVER_RUN_LATER_H

#include <stdbool.h>
#include <stddef.h>

#include "server/task/task.h"

struct reply;
struct worker;

/* Whether what it hears now is for later. It has subscriptions, or is a monitor. On its worker, as all of
 * these. */
bool later_is_due(const struct task *task);
/* Keeps that, within `most` bytes of all that is kept; owner: NULL, and it is copied, or a reference to it,
 * which is taken over. false: the client is to be closed, for want of memory or (*is_over) of patience. */
bool later_keep(struct task *task, const char *data, size_t length, void *owner, void (*release)(void *owner),
                size_t most, bool *is_over);
/* Its request is done: all of it goes behind the reply. */
void later_tell(struct worker *worker, struct task *task, struct reply *reply);
/* The task ends. */
void later_forget(struct worker *worker, struct task *task);

#endif
