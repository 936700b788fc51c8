/* Parking: what a task waits for that can't have a lock.
 *
 * It stands in its worker's queue for that lock, and the queue, not each task, is parked in the lock's
 * lot: one release, one message to each worker that waits, however many tasks wait there. */
#ifndef SERVER_RUN_PARK_H
#define SERVER_RUN_PARK_H

#include "dispatcher.h"

struct rwlock;

void lock_queue_init(struct lock_queue *queue, struct worker *worker);
/* The worker is going to be told: the waiter is parked, or its wake-up on the way. */
bool queue_is_waiting(const struct lock_queue *queue);
void wake_tasks(struct task_queue *queue);

/* Parks the task until the lock is released. false if it has been released already: try again. */
bool park_on_lock(struct worker *worker, struct task *task, struct rwlock *busy, bool is_exclusive);
/* Likewise until the gate opens; the worker has been refused there, and will be told. */
void park_at_gate(struct worker *worker, struct task *task);

/* Enters the gate. false: it is closed, and the worker will be told when it opens. */
bool enter_gate(struct worker *worker);
/* Inside, or parked until that is possible. */
bool enter_or_park(struct worker *worker, struct task *task);
/* The worker, which is outside, will be told when nobody wants to close the gate. false: nobody does now. */
bool wait_until_unwanted(struct worker *worker);

/* The gate is closed when it returns true. If not, the task is a closer, and parked until there may be a
 * chance. */
bool close_gate(struct worker *worker, struct task *task);
void open_gate(struct worker *worker, struct task *task);
/* The closer is done, or gone: the others of this worker may try again. */
void closer_end(struct worker *worker, struct task *task);
/* A closer, if it is one, has not got what it waited for, and doesn't wait for it any more. */
void closer_give_up(struct worker *worker, struct task *task);

#endif
