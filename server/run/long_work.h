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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "server/command/command.h"
#include "server/task/task.h"
#include "server/worker/worker.h"

struct errand;

/* What the long threads do, for workers_start. */
extern const struct worker_work long_work;

/* On the worker of the task, which is to be parked until it is woken: sends its call to a long thread. The
 * reply may have `most` bytes. NULL when out of memory: then nothing has happened. */
struct errand *errand_send(struct worker *worker, struct task *asker, const struct call *call, size_t most);
/* When it has come back: moves its reply behind what is there, and frees it. */
void errand_conclude(struct errand *errand, struct task *asker, struct reply *reply);
bool errand_is_back(const struct errand *errand);
/* The asker's worker: the task ends before the errand has come back, or doesn't care any more. */
void errand_leave(struct errand *errand);
/* Bytes that it holds for its asker, as they were when it was sent. */
size_t errand_bytes(const struct errand *errand);

/* How many have been sent since the start. Any thread. */
uint64_t errands_sent(void);

/* When no worker runs any more: frees an errand whose message nobody has read. false: it is another
 * message. */
bool errand_lost(struct message *message);

#endif
