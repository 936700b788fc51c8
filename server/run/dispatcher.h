/* What dispatch keeps for itself: per worker, per execution, and from one dispatch of a request to the next.
 * Only for the files of this room. */
#ifndef SERVER_RUN_DISPATCHER_H
#define SERVER_RUN_DISPATCHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/command/command.h"
#include "server/interest/blocking.h"
#include "server/interest/watch.h"
#include "server/task/task.h"
#include "server/worker/mailbox.h"
#include "server/worker/worker.h"
#include "frame.h"
#include "server/command/outcome.h"

struct prepared;
struct scripting;
struct statistics;

/* After this many refusals in a row a request takes the gate, which nobody can keep it out of for ever. */
#define REFUSALS_MOST 64

/* More elements than so many are worth another thread's time: beside less, getting there takes long. */
#define LONG_ELEMENTS 32768

/* Lua of more bytes takes about a millisecond to be compiled, and so is rather read by another thread. */
#define LONG_TEXT 65536

/* The tasks of one worker that wait for one lock (or the gate). */
struct lock_queue {
    struct waiter waiter;   /* first: a waiter is cast back */
    struct message message; /* carries the wake-up */
    struct worker *worker;
    struct task_queue tasks;
    _Atomic int state; /* enum wait_state, park.c's */
};

/* A worker's. */
struct dispatcher {
    struct keyspace *keyspace;
    struct statistics *statistics;
    struct scripting *_Atomic scripting; /* NULL: no script has come yet */
    struct lock_queue gate_queue;
    struct lock_queue **shard_queues; /* by shard number; made on first use */
    struct task *closer;              /* keeps the gate closed while it waits; NULL: nobody */
    struct deadline_heap deadlines;   /* of this worker's waiters */
    struct ended_waits ended_waits;
    struct ended_watches ended_watches;
    struct task_queue paused;
    struct task_queue asking;    /* wait for other workers' answers */
    struct task_queue congested; /* writes that wait until enough of what was retired is freed */
    uint32_t memory_wakes;       /* of those since somebody has been waiting without a break, */
    int64_t memory_woken;        /* and the last of them, monotonic ms */
    int64_t paused_until;        /* monotonic ms */
    bool pauses_only_writes;
    int64_t next_tick, next_expiry, next_limit;
    bool is_above_limit;            /* or eviction has other work left */
    struct command transaction_row; /* what the commands of the transaction at hand are together */
};

/* A request on its way through dispatch. */
struct execution {
    struct worker *worker;
    struct dispatcher *dispatcher;
    struct frame *frame;
    struct task *task;
    struct call call;
    struct reply *reply;
    struct transaction *transaction; /* what is run is that, all of it (transaction.h); or NULL */
    struct prepared *prepared;       /* NULL: nothing is known yet */
    struct key key;                  /* the one key, if that was not prepared */
    struct block block;              /* what the command would wait for */
    struct blocked_client *blocked;  /* it waits for that */
    bool is_ordinary;                /* what only others have to be asked needn't be asked (dispatch.c) */
    const char *refusal;     /* why what has begun again, and is taken back, doesn't begin again; or NULL */
    bool is_rejected;        /* for want of memory, before it ran */
    bool is_errands;         /* it ran on another thread, and is counted there */
    bool reads_alone;        /* with its shards for itself, since something in them has expired */
    bool scripts_write;      /* those of the transaction, as they were found */
    bool begins_again;       /* a script in it wants more shards: what it has done is taken back */
    bool begins_elsewhere;   /* or takes too long for this thread */
    int64_t moment;          /* where time stands still; call.moment points to it */
    bool is_short_of_memory; /* of its commands those are refused that may need some */
    bool stays;              /* there was no memory for that */
    bool answers_several;    /* to one request: each of its arguments, or of its commands', has one */
};

/* Of what has keys: whether it needs their shards for itself. With both functions it does if it has a second
 * key (SORT ... STORE). */
static inline bool call_writes(const struct call *call) {
    return call->command->read == NULL || (call->command->write != NULL && call->key_count > 1);
}

/* Of a call that is an execution's own. */
static inline struct execution *execution_of_call(const struct call *call) {
    return (struct execution *)((char *)(uintptr_t)call - offsetof(struct execution, call));
}

/* Without a command, arguments or keys. Word by word: compilers zero a struct of this size in a way that
 * takes longer than most of a small request's other steps. */
static inline void call_begin(struct call *call, const struct session *session, struct keyspace *keyspace,
                              int64_t now) {
    call->command = NULL;
    call->arguments = NULL;
    call->count = 0;
    call->keys = NULL;
    call->key_count = 0;
    call->database = session->database;
    call->protocol = session->protocol;
    call->now = now;
    call->moment = NULL;
    call->session = session;
    call->keyspace = keyspace;
    call->further = NULL;
    call->block = NULL;
    call->key_index = 0;
}
/* The same of a call within the execution, for that session: its own, or a script's. */
static inline void call_begin_within(struct call *call, const struct execution *execution,
                                     const struct session *session) {
    call_begin(call, session, execution->call.keyspace, execution->call.now);
    call->moment = execution->call.moment;
}

/* From here on, and for all that it calls, it is one and the same moment. */
static inline void execution_stand_still(struct execution *execution) {
    execution->moment = 0;
    execution->call.moment = &execution->moment;
}

/* It can't go on, and has changed nothing: the client is told. */
static inline enum outcome execution_lacks_memory(struct execution *execution) {
    reply_error(execution->reply, ERROR_NO_MEMORY);
    return OUTCOME_DONE;
}

#endif
