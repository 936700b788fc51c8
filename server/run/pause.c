#include "pause.h"

#include "dispatcher.h"
#include "park.h"
#include "transaction.h"

bool is_pausing(const struct worker *worker) {
    return worker->dispatcher->paused_until > worker->now_monotonic;
}

bool is_paused(const struct worker *worker, const struct execution *execution) {
    const struct command *command = execution->call.command;
    if (!is_pausing(worker)) return false;
    uint32_t flags = command->run == NULL ? command->flags : transaction_flags(execution);
    return !worker->dispatcher->pauses_only_writes || (flags & (COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0;
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
