/* A task: what commands are run for. A session, what its request at hand waits for, how often that was
 * refused, and how its owner is told. A connection owns one; a script's inner calls, a loader or a replica's
 * link bring their own. What runs commands knows tasks and nothing of their owners.
 *
 * A task belongs to one worker at a time, and is touched on that worker's thread only. */
#ifndef SERVER_TASK_TASK_H
#define SERVER_TASK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"

struct bulk;
struct request_memory;
struct task;
struct task_queue;
struct under_way;

enum park_reason {
    PARK_NONE,
    PARK_ON_SHARD,   /* another holds it */
    PARK_ON_GATE,    /* closed by another, or being waited for */
    PARK_ON_ANSWERS, /* an inquiry asks all workers */
    PARK_ON_PAUSE,   /* CLIENT PAUSE */
    PARK_ON_MEMORY,  /* too much waits to be freed */
    PARK_ON_KEY,     /* a key is to be filled (BLPOP) */
    PARK_ON_ERRAND,  /* it takes long, and is done by another thread */
    PARK_ON_OTHERS,  /* it has taken a while, and lets its worker's other tasks run in between */
};

/* Enough for any address. */
#define TASK_ADDRESS 160

/* What its owner does for a task. */
struct task_functions {
    /* The task was parked for that reason and isn't any more: the same request is to be dispatched again, in
     * a later step than this call. It may come before the dispatch that parked it has returned. */
    void (*wake)(struct task *task, enum park_reason reason);
    /* Sends bytes outside of the task's own replies (MONITOR's lines, pushes), or drops them where nobody
     * takes them any more. May close the task. */
    void (*push)(struct task *task, const char *data, size_t length);
    /* The same without a copy. Takes over one reference to `owner`, to be released on this worker. */
    void (*push_reference)(struct task *task, const char *data, size_t length, void *owner,
                           void (*release)(void *owner));
    /* Ends it: at once, or, while its command runs, when that returns. `why` is for the log, or NULL. */
    void (*close)(struct task *task, const char *why);
    /* Where its requests come from, as the log and lists of clients name it ("127.0.0.1:50000", "/path:0"),
     * and as MONITOR does ("unix:/path"). At most TASK_ADDRESS bytes. */
    void (*peer)(const struct task *task, char *out, size_t size);
    void (*origin)(const struct task *task, char *out, size_t size);
    /* The line that CLIENT LIST has of it; returns its length, cut to size - 1. NULL: it has none. */
    size_t (*describe)(const struct task *task, char *out, size_t size);
    /* They come from this machine. */
    bool (*is_local)(const struct task *task);
    /* Gives away the memory of the request at hand, of which these are the arguments. When it is dispatched
     * again it has none. false: it keeps that, and the request is to be copied. */
    bool (*hand_over)(struct task *task, const struct bulk *arguments, struct request_memory *memory);
};

struct task {
    const struct task_functions *functions;
    /* The one queue it stands in: the ready ones, a lock's, the gate's, the paused. */
    struct task *queue_next, *queue_previous;
    struct task_queue *queue;    /* that queue, or NULL */
    struct under_way *under_way; /* dispatch's own while a request is under way: a walk, an inquiry, a wait */
    struct session session;
    uint32_t refusals;     /* how often in a row its request found a lock busy */
    uint16_t last_command; /* 1 + the id of its last request's row; 0: there was none */
    enum park_reason park_reason : 8;
    bool is_closer : 1;     /* its request waits for the whole gate: nothing else holds it up */
    bool has_discarded : 1; /* much, by its last write: the next one waits while much of it is left to free */
};

struct task_queue {
    struct task *first, *last;
    uint32_t count;
};
/* A task is never in two queues: it stands in none when it is put there. */
void task_queue_append(struct task_queue *queue, struct task *task);
void task_queue_prepend(struct task_queue *queue, struct task *task);
void task_queue_remove(struct task *task);              /* from whichever queue it is in; none is fine */
struct task *task_queue_take(struct task_queue *queue); /* the first, or NULL */

/* The task whose own session that is; a script's, for one, is nobody's own. */
static inline struct task *task_of_session(const struct session *session) {
    return (struct task *)((char *)(uintptr_t)session - offsetof(struct task, session));
}

static inline bool task_is_parked(const struct task *task) {
    return task->park_reason != PARK_NONE;
}
/* The request at hand can't go on; it stays until task_wake, and is then dispatched again. */
void task_park(struct task *task, enum park_reason reason);
/* Takes it out of its queue and tells its owner. Nothing if it isn't parked. */
void task_wake(struct task *task);
/* The request is given up instead: nobody is told. */
void task_unpark(struct task *task);

#endif
