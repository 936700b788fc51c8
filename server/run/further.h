/* What a command may ask for besides (struct further): shards of keys that it has found, with which it is run
 * again, or time for the rest of its work when it needs no shard any more. */
#ifndef SERVER_RUN_FURTHER_H
#define SERVER_RUN_FURTHER_H

#include "dispatcher.h"

/* Before a command that may (COMMAND_FINDS), or that has strayed. false when out of memory. */
bool further_prepare(struct execution *execution);
static inline bool further_begin(struct execution *execution) {
    bool is_usual =
        execution->task->under_way == NULL && (execution->call.command->flags & COMMAND_FINDS) == 0;
    return is_usual || further_prepare(execution);
}

/* Behind it, when its scope has ended: does what it has asked for. false: it is to be run again, with the
 * shards that it has found; what it has replied since `mark` is taken back. */
bool further_conclude(struct execution *execution, size_t mark);
static inline bool further_end(struct execution *execution, size_t mark) {
    return execution->call.further == NULL || further_conclude(execution, mark);
}

#endif
