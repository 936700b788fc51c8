/* maxmemory: what is left of it for the keyspace, once what clients and the process itself use is taken
 * off. */
#ifndef SERVER_RUN_MAXMEMORY_H
#define SERVER_RUN_MAXMEMORY_H

#include <stdint.h>

struct keyspace;

/* Takes maxmemory, its policy and the policy's options from the configuration, now and whenever they change.
 * Before any other thread. */
void limit_start(struct keyspace *keyspace);
/* Looks at what the allocator has handed out, and adapts the keyspace's limit. By one thread, every few
 * milliseconds: what is between two calls is covered by what eviction keeps free. */
void limit_tick(struct keyspace *keyspace);
/* How much less than maxmemory there is for the data and clients, since the process may have no more than
 * `available` and needs some of it beside what counts: `fixed` and `holes` are process_memory_beside's. 0
 * where maxmemory leaves enough. */
int64_t limit_reserve(int64_t maxmemory, int64_t available, int64_t fixed, int64_t holes);

#endif
