/* Output: what a connection is owed. Replies of a run go to the socket at once; what it does not take waits
 * in blocks, values by reference. Each function closes the connection if it is broken or owes more than it
 * may, and then returns false. */
#ifndef SERVER_CLIENT_CONNECTION_OUTPUT_H
#define SERVER_CLIENT_CONNECTION_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "resp/reply.h"
#include "connection.h"

/* A connection's share: of replies that a run of it makes in a turn, and of bytes that it is sent at a time,
 * until it is the others' turn. They wait while the kernel copies, which goes on for as long as the client
 * reads as fast. */
#define OUTPUT_SHARE ((size_t)1024 * 1024)

/* Sends what `reply` holds, behind what is owed already, and empties it. */
bool output_send(struct connection *connection, struct reply *reply);
/* Adds bytes to what is owed; output_flush sends them. */
bool output_append(struct connection *connection, const char *data, size_t length);
/* The same without a copy. Takes over one reference to owner, whatever it returns. */
bool output_append_reference(struct connection *connection, const char *data, size_t length, void *owner,
                             void (*release)(void *owner));
/* Sends of what is owed as much as the socket takes, at most a share. */
bool output_flush(struct connection *connection);
/* Closes the connection if it is past the limits, the soft one for long enough. */
bool output_check(struct connection *connection);
/* How long the replies of one run may become: beyond it the client would be over its limits whatever it
 * reads. */
size_t output_room(const struct connection *connection);
/* Closes the connection, since its replies are longer than that. */
void output_refuse(struct connection *connection);
void output_free(struct connection *connection);

#endif
