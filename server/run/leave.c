#include "leave.h"

#include "errand.h"
#include "under_way.h"

bool leave(struct execution *execution) {
    struct under_way *under_way = under_way_of(execution->task);
    if (under_way != NULL)
        under_way->errand =
            errand_send(execution->worker, execution->task, &execution->call, execution->reply->most);
    execution->stays = under_way == NULL || under_way->errand == NULL;
    if (!execution->stays) task_park(execution->task, PARK_ON_ERRAND);
    return !execution->stays;
}

void leave_answer(struct execution *execution, struct under_way *under_way) {
    errand_conclude(under_way->errand, execution->task, execution->reply);
    under_way->errand = NULL;
    execution->is_errands = true;
}
