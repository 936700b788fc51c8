/* New connections. Every worker listens on every socket; the one that is awake first takes the connection and
 * gives it to the worker that has the fewest: itself, or another by message. A worker that is busy for long
 * takes none, and no connection waits for it. Later they may move (balance.h). */
#ifndef SERVER_CLIENT_LISTENERS_H
#define SERVER_CLIENT_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/net/listen.h"

struct message;
struct stream;
struct worker;

/* On the worker's thread, at its start: false with a logged reason. */
bool listeners_begin(struct worker *worker);
/* The loop's accepted(). */
void listeners_accepted(void *context, struct stream *listener, int fd);
/* In a tick: those that rest, for want of descriptors or memory, listen again when it is time. */
void listeners_tick(struct worker *worker);
/* The worker stops: no new connections. */
void listeners_end(struct worker *worker);

/* Has all workers listen on these sockets and no others. `dropped` are closed when nobody listens on them any
 * more; the others stay the caller's. One call at a time; between serve_start and workers_join. false if
 * there is no memory, and then nothing has changed. */
bool listeners_change(const struct listening *listening, const int *dropped, uint32_t dropped_count);
/* No worker runs any more: a message to listen elsewhere came too late. False if it is of another kind. */
bool listeners_lost(struct message *message);

#endif
