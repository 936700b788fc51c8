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

/* The keys of a request with more arguments than a frame has room for keys. */
struct many_keys {
    struct key *keys;        /* page memory, as the next */
    uint32_t *positions;     /* where they stand among the arguments */
    uint32_t count, room;    /* of both */
    struct shard_set shards; /* where the keys are, if they are more than a frame has room for */
};

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
    struct further further;  /* of a command with COMMAND_FINDS: what it has asked for, */
    struct shard_set found;  /* and the shards of keys that it has found */
    bool has_strayed;        /* a script, to shards that it has found */
    bool wants_all;          /* a script that has found that it wants every shard */
    bool is_short_of_memory; /* a script, before it closed the gate */
    struct many_keys many;
};

/* Whether it has begun, rather than found out what it needs. */
bool under_way_has_begun(const struct under_way *under_way);
/* Bytes of keys with so much room. */
static inline size_t many_keys_bytes(uint32_t room) {
    return room * (sizeof(struct key) + sizeof(uint32_t));
}
/* Forgets the keys: none are known yet. */
void many_keys_free(struct many_keys *many);

/* The task's, made if there is none yet. NULL: no memory. */
struct under_way *under_way_of(struct task *task);
/* The task has one; whatever it waited for has been ended before. */
void under_way_end(struct task *task);

#endif
