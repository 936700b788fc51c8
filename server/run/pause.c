#include "pause.h"

#include "server/task/transaction.h"
#include "dispatcher.h"
#include "park.h"
#include "under_way.h"

bool is_pausing(const struct worker *worker) {
    return worker->dispatcher->paused_until > worker->now_monotonic;
}

bool reads_remove_dead(const struct execution *execution) {
    return keyspace_tells_dead(execution->frame->keyspace) && !is_pausing(execution->worker);
}

/* What has begun goes on. */
static bool is_exempt(const struct task *task) {
    return task->is_closer || session_is_monitor(&task->session) ||
           (task->under_way != NULL && under_way_has_begun(task->under_way));
}

static bool waits(const struct execution *execution, bool writes) {
    struct dispatcher *dispatcher = execution->dispatcher;
    if ((dispatcher->pauses_only_writes && !writes) || is_exempt(execution->task)) return false;
    task_queue_append(&dispatcher->paused, execution->task);
    task_park(execution->task, PARK_ON_PAUSE);
    return true;
}

bool waits_for_pause(const struct execution *execution) {
    const struct command *command = execution->call.command;
    if (!is_pausing(execution->worker)) return false;
    const struct transaction *transaction = execution->task->session.transaction;
    uint32_t flags = command->flags; /* but for scripts': those are looked at when they are found */
    if (command->run != NULL && transaction != NULL) flags |= transaction->flags;
    return waits(execution,
                 command->script == NULL && (flags & (COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0);
}

bool script_waits_for_pause(const struct execution *execution) {
    return is_pausing(execution->worker) && waits(execution, true);
}

void dispatch_pause(struct worker *worker, int64_t until, bool only_writes) {
    struct dispatcher *dispatcher = worker->dispatcher;
    dispatcher->paused_until = until;
    dispatcher->pauses_only_writes = only_writes;
    wake_tasks(&dispatcher->paused); /* those that still have to wait are parked again, in their order */
}

int64_t dispatch_paused_until(const struct worker *worker, bool *only_writes) {
    *only_writes = worker->dispatcher->pauses_only_writes;
    return worker->dispatcher->paused_until;
}
