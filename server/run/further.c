#include "further.h"

#include "shard/keyspace.h"
#include "under_way.h"

bool further_prepare(struct execution *execution) {
    bool has_strayed = execution->call.command->run == NULL && execution->task->under_way != NULL &&
                       execution->task->under_way->has_strayed;
    if ((execution->call.command->flags & COMMAND_FINDS) == 0 && !has_strayed) return true;
    struct under_way *under_way = under_way_of(execution->task);
    if (under_way == NULL) return false;
    under_way->further.shards = &under_way->found;
    execution->call.further = &under_way->further;
    return true;
}

bool further_conclude(struct execution *execution, size_t mark) {
    struct further *further = execution->call.further;
    if (further->wants_shards) {
        further->wants_shards = false;
        reply_truncate(execution->reply, mark);
        reply_errors_clear(execution->reply);
        return false;
    }
    if (further->finish != NULL) {
        if (lane_is_inside(execution->frame->lane))
            lane_leave(execution->frame->lane); /* nobody need wait for the rest */
        further->finish(further->context, &execution->call, execution->reply);
    }
    execution->call.further = NULL; /* the command may be run once more: by this thread after all */
    under_way_end(execution->task);
    return true;
}
