/* Leaving: an execution that may take long becomes an errand of a long thread, and its task is parked until
 * that has come back. */
#ifndef SERVER_RUN_LEAVE_H
#define SERVER_RUN_LEAVE_H

#include "server/task/transaction.h"
#include "dispatcher.h"

struct under_way;

/* Whether long work of this request could be another thread's. What somebody hears is told to its own task,
 * on its own worker; and a transaction that asks or tells other workers does that there, and stays whole. */
static inline bool may_leave(const struct execution *execution) {
    const struct transaction *transaction = execution->transaction;
    return !execution->worker->is_aside && !execution->stays &&
           (transaction == NULL ||
            (!transaction->goes_apart && !transaction->may_be_silent && !transaction->changes_hearing)) &&
           execution->call.command->watch == NULL && (execution->call.command->flags & COMMAND_BLOCKING) == 0;
}
/* Of a request with so many arguments not even the keys are looked for here; but a task that keeps the gate
 * closed would keep its errand out. */
static inline bool is_long_at_once(const struct execution *execution) {
    return execution->call.count > LONG_ELEMENTS && !execution->task->is_closer && may_leave(execution);
}

/* Whether it is code that may take long to be compiled or to load. */
static inline bool loads_long(const struct call *call) {
    size_t bytes = 0;
    if (call->command->loads == LOADS_NOTHING) return false;
    for (uint32_t i = 0; i < call->count; i++) bytes += call->arguments[i].length;
    return call->command->loads == LOADS_AND_RUNS || bytes > LONG_TEXT;
}

/* It holds no shard, nor the gate. false: it stays, for want of memory, or as all long threads run scripts
 * that may never end. */
bool leave(struct execution *execution);
/* Replies what the errand has brought. */
void leave_answer(struct execution *execution, struct under_way *under_way);

#endif
