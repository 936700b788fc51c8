/* Connections on their way to the worker that will have them: new ones, and those that another worker had. They
 * travel by mailbox. */
#ifndef SERVER_CLIENT_HANDOVER_H
#define SERVER_CLIENT_HANDOVER_H

#include <stdbool.h>

struct connection;
struct message;
struct worker;

/* A new connection, which was accepted by `worker`: `home` gets it, or `worker` if there is no memory for a
 * message. Takes over the descriptor. On the thread of `worker`. */
void handover_new(struct worker *worker, struct worker *home, int fd, bool is_unix);
/* Gives a connection that is leaving to another worker, if that can be done at once; on its own worker,
 * between turns. Then it is no longer ours. */
bool handover_connection(struct connection *connection, struct worker *destination);
/* No worker runs any more: closes the connection that the message brings and frees both. False if it is a
 * message of another kind. */
bool handover_lost(struct message *message);

#endif
