/* Waiting for a key to be filled (BLPOP), from a task's side: it is parked, and answered when somebody has
 * filled one, when time is up, or when it is unblocked. */
#ifndef SERVER_RUN_WAIT_H
#define SERVER_RUN_WAIT_H

#include "dispatcher.h"

struct under_way;

/* The execution's scope has ended. Workers whose clients got something are woken; and if the command itself
 * waits, its task is parked. */
enum outcome wait_begin(struct execution *execution);
static inline enum outcome wait_for_key(struct execution *execution) {
    return execution->blocked == NULL && !blocking_is_on() ? OUTCOME_DONE : wait_begin(execution);
}
/* What the task waited for has come, or will not: replies. false: it has come, but is to be fetched by
 * running the command again. */
bool wait_answer(struct execution *execution, struct under_way *under_way);
/* The task has a wait, which is over or has been cancelled. */
void wait_end(struct worker *worker, struct under_way *under_way);
/* Ends the waits whose time is up. Returns when that is to be looked at again (monotonic ms; INT64_MAX: never
 * as it is). */
int64_t waits_end_overdue(struct worker *worker);

#endif
