/* Serving: what workers do, from their first turn to their end. */
#ifndef SERVER_CLIENT_SERVE_H
#define SERVER_CLIENT_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/net/listen.h"

struct keyspace;

/* Starts `count` workers that serve clients of these sockets, which stay the caller's, and so many threads
 * for their long commands; returns when all do. false with a logged reason. They are stopped, awaited and
 * joined by the functions of worker.h. */
bool serve_start(struct keyspace *keyspace, uint32_t count, uint32_t long_threads,
                 const struct listening *listening);

#endif
