/* A frame: what one execution at a time needs for itself, and whoever executes something else meanwhile
 * needs another of: a seat at the keyspace, the shards that a request takes, its keys, the requests that
 * are ahead of it and the replies that are not sent yet. A worker has one for its turn. */
#ifndef SERVER_RUN_FRAME_H
#define SERVER_RUN_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "resp/batch.h"
#include "resp/reply.h"
#include "shard/scope/scope_take.h"

struct command;
struct task;

/* Keys that are fetched ahead across connections. */
#define FRAME_AHEAD 64
/* Keys of one request that there is room for all the time. Another one's are kept with it (under_way.h); a
 * transaction's have room until the end of the turn. */
#define FRAME_KEYS 256

struct frame {
    struct keyspace *keyspace;
    struct lane *lane;
    struct shard_set shards; /* of the request at hand, once it takes them */
    struct shard_set more;   /* that waiters need besides */
    struct look look;        /* what it looks at without taking it */
    /* Room for the keys of the request at hand, and where they stand among its arguments. */
    struct key *keys;
    uint32_t *positions;
    uint32_t key_capacity;
    struct key ahead[FRAME_AHEAD]; /* of requests of this turn that have not begun */
    uint32_t ahead_count;
    /* What commands take: cycles at the end of the last command that was timed, the task that it was of
     * (NULL: what comes next is nobody's), and that task's commands since then, all of one kind. */
    uint64_t boundary;
    const struct task *boundary_task;
    uint32_t untimed;
    const struct command *untimed_command;
    struct batch batch; /* requests ahead of the one at hand, of the task that runs */
    struct reply reply; /* the replies of that task that have not been sent */
};

/* On the thread that is going to use it. NULL: no memory, or no seat is left. */
struct frame *frame_create(struct keyspace *keyspace);
/* Gives the seat up; on that thread, outside the gate. The rest stays for frame_free. */
void frame_detach(struct frame *frame);
void frame_free(struct frame *frame); /* NULL is fine */

/* Room for the keys of so many arguments. false: no memory. */
bool frame_reserve_keys(struct frame *frame, uint32_t count);
/* Between two turns: gives back what only an unusual request needed. */
void frame_trim(struct frame *frame);

#endif
