#include "leave.h"

#include "server/command/command_table.h"
#include "errand.h"
#include "slow_script.h"
#include "under_way.h"

bool leave(struct execution *execution) {
    struct under_way *under_way =
        slow_scripts_crowd(workers_aside_count()) ? NULL : under_way_of(execution->task);
    struct call call = execution->call;
    call.command = command_by_id(call.command->id); /* it may be a row for this one time */
    if (under_way != NULL)
        under_way->errand = errand_send(execution->worker, execution->task, &call, execution->reply->most,
                                        execution->transaction != NULL);
    execution->stays = under_way == NULL || under_way->errand == NULL;
    if (!execution->stays) task_park(execution->task, PARK_ON_ERRAND);
    return !execution->stays;
}

void leave_answer(struct execution *execution, struct under_way *under_way) {
    errand_conclude(under_way->errand, execution->task, execution->reply);
    under_way->errand = NULL;
    execution->is_errands = true;
}
