/* Connections on their way to the worker that will have them: new ones, and those that another worker had.
 * They travel by mailbox. */
#ifndef SERVER_CLIENT_HANDOVER_H
#define SERVER_CLIENT_HANDOVER_H

#include <stdbool.h>

#include "server/net/listen.h"

struct connection;
struct message;
struct worker;

/* A new connection, which was accepted by `worker`: `home` gets it, or `worker` if there is no memory for a
 * message. Takes over the descriptor. On the thread of `worker`. */
void handover_new(struct worker *worker, struct worker *home, int fd, enum listen_kind kind);
/* From worker to worker, on the first one's thread and between turns. handover_begin stops the receiving;
 * handover_finish gives the connection away once nothing of it is under way here any more, and then it is no
 * longer ours; until it says so, handover_call_off keeps it. */
/* Just now it may go: between requests, with nothing owed and nobody waiting for it. */
bool handover_is_possible(const struct connection *connection);
void handover_begin(struct connection *connection);
bool handover_finish(struct connection *connection, struct worker *destination);
void handover_call_off(struct connection *connection);
/* No worker runs any more: closes the connection that the message brings and frees both. False if it is a
 * message of another kind. */
bool handover_lost(struct worker *worker, struct message *message);

#endif
