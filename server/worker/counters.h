/* What a worker counts. */
#ifndef SERVER_WORKER_COUNTERS_H
#define SERVER_WORKER_COUNTERS_H

#include "shard/base/counter.h"

/* Counters that INFO shows where Redis has them among its fields: info.c names each there. */
#define WORKER_COUNTERS_OF_REDIS(EACH)                                                                       \
    EACH(connections_total)                                                                                  \
    EACH(bytes_in)                                                                                           \
    EACH(bytes_out)                                                                                          \
    EACH(reads)                                                                                              \
    EACH(writes)                                                                                             \
    EACH(commands)                                                                                           \
    EACH(turns)                                                                                              \
    EACH(output_limit_closes)                                                                                \
    EACH(query_limit_closes)                                                                                 \
    EACH(evicted_clients)                                                                                    \
    EACH(rejected_connections)                                                                               \
    EACH(denied_names)                                                                                       \
    EACH(denied_commands)                                                                                    \
    EACH(denied_keys)                                                                                        \
    EACH(denied_channels)

/* Latchkey's own, each with its field of INFO, which tells the sum over all workers since CONFIG RESETSTAT. A
 * new one is a row here, and a counter_add where it happens. */
#define WORKER_COUNTERS_OF_OURS(EACH)                                                                        \
    EACH(moved, "worker_moved_connections")                 /* connections that it gave to others */         \
    EACH(stranger_closes, "unauthenticated_clients_closed") /* for what they held together */                \
    /* Keys that scripts had not declared: their shards were taken on the spot, or awaited with the token; \
     * or the script began again, before it had changed anything or with that taken back. */ \
    EACH(strays_granted, "script_strays_granted")                                                            \
    EACH(strays_awaited, "script_strays_awaited")                                                            \
    EACH(strays_begun_again, "script_strays_begun_again")                                                    \
    EACH(strays_undone, "script_strays_undone")

#define WORKER_COUNTERS(EACH) WORKER_COUNTERS_OF_REDIS(EACH) WORKER_COUNTERS_OF_OURS(EACH)

#endif
