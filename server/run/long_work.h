/* Long work: what may take long leaves its worker, so that it delays nobody but those who need its keys.
 *
 * Beside the workers there are a few threads (long-threads) that serve no clients. They are workers for all
 * that, each with a lane, a mailbox and a dispatcher of its own, so that a request runs there as it would run
 * anywhere: it takes its shards by tries, is parked on their locks, serves waiters, and is counted.
 *
 *     worker:       dispatch finds that it may take long --> errand_send, and the task is parked
 *     long thread:  the errand's own task is dispatched, with copies of the arguments and a reply of its own
 *     worker:       the errand comes back, the task is woken, and answers what the errand has brought
 *
 * The errand knows nothing of its asker but the copies, so that a client may go meanwhile. */
#ifndef SERVER_RUN_LONG_WORK_H
#define SERVER_RUN_LONG_WORK_H

#include "server/worker/worker.h"

/* What the long threads do, for workers_start. */
extern const struct worker_work long_work;

#endif
