/* maxmemory-clients: what all clients together may use. Beyond it the largest are closed first, so that many
 * clients whose replies pile up can't push out the data, as Redis 7 has it.
 *
 * Each worker publishes what its connections use; a worker that finds at its turn's end that the sum is too
 * much begins a round, of which there is one at a time. It is a message that goes from worker to worker: once
 * around to learn the size of the largest client, as a power of two, and once more to close clients of that
 * size, until the sum fits; and so on. So sizes decide over all workers, to a factor of two as in Redis, no
 * client is closed that need not be, and no worker touches another's connection. A client that has said
 * CLIENT NO-EVICT ON is spared. */
#ifndef SERVER_CLIENT_CLIENT_LIMIT_H
#define SERVER_CLIENT_CLIENT_LIMIT_H

#include <stdint.h>

struct worker;

/* Before there is a second thread. */
void client_limit_start(void);
/* At the end of a worker's turn; looks once in a millisecond. */
void client_limit_check(struct worker *worker);

#endif
