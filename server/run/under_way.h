/* What a task's request keeps from one dispatch to the next, while it is parked: a walk, an inquiry, a
 * wait for a key, an errand, shards that it has found. Most requests are done at once and keep nothing. */
#ifndef SERVER_RUN_UNDER_WAY_H
#define SERVER_RUN_UNDER_WAY_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/scope/scope_take.h"
#include "server/command/command.h"
#include "server/task/task.h"

struct blocked_client;
struct errand;
struct inquiry;

struct under_way {
    struct inquiry *inquiry;        /* or */
    int64_t answers_until;          /* monotonic ms */
    bool is_unanswered;             /* the inquiry goes on without it */
    struct blocked_client *blocked; /* or */
    struct errand *errand;          /* or */
    int64_t deadline;               /* of a wait that begins again; monotonic ms */
    bool waits_again;
    struct walk walk;
    bool is_walking;
    struct further further; /* of a command with COMMAND_FINDS: what it has asked for, */
    struct shard_set found; /* and the shards of keys that it has found */
};

/* The task's, made if there is none yet. NULL: no memory. */
struct under_way *under_way_of(struct task *task);
/* The task has one; whatever it waited for has been ended before. */
void under_way_end(struct task *task);

#endif
