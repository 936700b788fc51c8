/* What no client of ours says, but a web page can have its visitor's browser say to any port of the visitor's
 * machine: an HTTP request. Its first line, or its Host header, ends the connection, so that the lines of its
 * body are never obeyed ("cross protocol scripting"). As in Redis. */
#ifndef SERVER_CLIENT_STRANGER_H
#define SERVER_CLIENT_STRANGER_H

#include <stdbool.h>

#include "resp/request.h"

struct connection;

/* Whether a request of that first argument is a line of HTTP's. */
bool stranger_is_http(const struct bulk *name);
/* Closes the connection that is running, without an answer, and logs it, at most once a minute. */
void stranger_turn_away(struct connection *connection);

#endif
