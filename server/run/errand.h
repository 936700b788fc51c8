/* An errand: a request that another thread runs, with a task, arguments and a reply of its own, so that its
 * asker's client may go meanwhile. Its arguments are handed over by the asker where they are many, and else
 * copied.
 *
 *     origin's worker --- errand_send ---> those to begin --> errand_take, of the thread that is free first
 *     origin's worker <-- errand_return --
 *
 * One that has been begun is that thread's, also while it is parked. */
#ifndef SERVER_RUN_ERRAND_H
#define SERVER_RUN_ERRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "server/command/command.h"
#include "server/task/task.h"
#include "server/worker/mailbox.h"
#include "server/worker/worker.h"

struct errand {
    struct task task;               /* first: tasks are cast back. The long thread's to use */
    struct message message;         /* takes it back */
    struct errand *next, *previous; /* of those that the long thread has */
    struct worker *origin;
    struct task *asker; /* the origin's to use; NULL: nobody waits for it */
    bool is_back;       /* the origin's, too */
    size_t bytes;       /* likewise */
    _Atomic bool is_left;
    bool is_done; /* the long thread's, until it is back */
    bool is_local;
    bool brings_session; /* the origin's */
    char peer[TASK_ADDRESS], address[TASK_ADDRESS];
    const struct command *command;
    struct bulk *arguments;       /* until it is the origin's again */
    uint32_t count;               /* of them */
    size_t referred_bytes;        /* of what they refer to */
    struct request_memory memory; /* where they are, if they were handed over; else their copies follow */
    struct reply reply;
    struct bulk copies[]; /* and their bytes */
};

/* Before workers start, and when all have ended: what there is for each long thread. false: no memory. */
bool errands_open(void);
void errands_close(void);

/* On the worker of the task, which is to be parked until it is woken: sends its call to the long threads. The
 * reply may have `most` bytes. NULL when out of memory, or when there is much already that nobody waits for:
 * then nothing has happened.
 *
 * takes_transaction  the session's goes along, and ends there (EXEC); what its commands change of the session
 *                    comes back */
struct errand *errand_send(struct worker *worker, struct task *asker, const struct call *call, size_t most,
                           bool takes_transaction);
/* When it has come back: moves its reply behind what is there, and frees it. */
void errand_conclude(struct errand *errand, struct task *asker, struct reply *reply);
/* The asker's worker: the task ends before the errand has come back, or doesn't care any more. What hasn't
 * begun by then never will. */
void errand_leave(struct errand *errand);

/* On a long thread: the next one to be run, of its own or of those to begin. NULL: there is none; the thread
 * is woken when there is. */
struct errand *errand_take(const struct worker *worker);
/* When it ends: any that it has, or that nobody has begun, or NULL. */
struct errand *errand_any(const struct worker *worker);
/* Whether nobody waits for it any more. */
bool errand_is_left(const struct errand *errand);
/* It is the origin's again: done, or else it never will be, and whoever still asks for it isn't told. */
void errand_return(struct worker *worker, struct errand *errand, bool is_done);

/* How many have been sent since the start. Any thread. */
uint64_t errands_sent(void);
/* When no worker runs any more: frees an errand whose message nobody has read. false: it is another
 * message. */
bool errand_lost(struct message *message);

#endif
