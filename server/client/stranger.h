/* What no client of ours says, but a web page can have its visitor's browser say to any port of the visitor's
 * machine: an HTTP request. Its first line, or its Host header, ends the connection, so that the lines of its
 * body are never obeyed ("cross protocol scripting"). As in Redis. */
#ifndef SERVER_CLIENT_STRANGER_H
#define SERVER_CLIENT_STRANGER_H

#include <stdbool.h>
#include <stdint.h>

#include "resp/request.h"

/* Whether a request of that first argument is a line of HTTP's. */
bool stranger_is_http(const struct bulk *name);
/* Whether such a request is to be logged: at most one in a minute is. now: monotonic ms. Any thread. */
bool stranger_is_news(int64_t now);
/* Logs that the client at `peer` sent one. */
void stranger_log(const char *peer);

/* Whether the log may tell of one that has not authenticated, and is closed for a limit of its own: seldom,
 * as that costs its client little. now: monotonic ms. Any thread. */
bool stranger_is_over_limit_news(int64_t now);

#endif
