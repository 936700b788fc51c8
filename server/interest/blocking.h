/* Clients that wait for a key to be filled (BLPOP and its like).
 *
 * A command that finds nothing says so (struct block), and dispatch registers a waiter with its keys,
 * while their shards are still held. A worker that fills a key later serves its waiters before it answers or
 * runs anything else: blocking_next yields one after the other, dispatch runs the waiter's own command
 * again, for that key alone, in the scope of the command that filled it, and the reply travels to the
 * waiter's worker by message, among its news: what has happened to the key before has been told before, and
 * what happens to it later is told later.
 *
 *              +-- claimed: somebody fills a key --> SERVED ----> the reply is on its way, and will be sent
 *     WAITING -|
 *              +-- time is up, UNBLOCK, closed ----> CANCELLED
 *
 * The thread that wins the exchange of the state owns the outcome.
 *
 * Clients that wait for the same (a key, and what would be enough: a list, a sorted set, news for a group
 * of a stream) stand in one line, which is an interest in that key and is served from its head until
 * nothing is left to take. Lines are guarded by the shards' locks. A waiter that isn't WAITING any more is
 * nothing but memory there: its own worker takes it out, shard by shard, as soon as it can have each, and
 * then frees it.
 *
 * A waiter may need further shards to be served (BLMOVE's destination). Whoever fills the key takes them
 * along as far as it can foresee them; where that didn't reach, the scope grows on the spot, by a try; and
 * if that fails, the waiter is told to look for itself, as if it had just come. So nobody is served with a
 * shard that isn't held. */
#ifndef SERVER_INTEREST_BLOCKING_H
#define SERVER_INTEREST_BLOCKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shard/keyspace.h"
#include "server/command/command.h"
#include "server/worker/mailbox.h"
#include "interest.h"

struct task;
struct user;
struct dispatcher;
struct worker;

enum waiter_state { WAITER_WAITING, WAITER_SERVED, WAITER_CANCELLED };
enum waiter_end { WAITER_TIMED_OUT, WAITER_UNBLOCKED, WAITER_REFUSED };

/* A waiter's place in the line of those that wait for the same. The first of a line stands for it among its
 * shard's interests. */
struct waiter_key {
    struct blocked_client *waiter;
    struct waiter_key *next, *previous; /* in the line, oldest first; the first one's previous is the last */
    struct interest interest; /* in its key, one of the waiter's; in the table if it is a line's first */
    /* Of a line's first: */
    struct waiter_key *ready_next, *ready_previous; /* lines that somebody is about to serve */
    bool is_ready;
    _Atomic bool is_linked; /* written with the shard held */
};

/* One allocation, with all that it refers to, but for the reply. */
struct blocked_client {
    struct message message;  /* carries the reply */
    _Atomic int state;       /* enum waiter_state */
    _Atomic uint32_t linked; /* its places in lines; taking one of them out touches it last by this */
    struct worker *worker;
    struct task *task; /* its worker's to use; NULL once it has ended */
    struct blocked_client *next_ended;
    const struct command *command;
    struct bulk *arguments; /* copies */
    uint32_t count, database;
    uint64_t client;   /* session id */
    struct user *user; /* who it is; held */
    uint32_t tracks;   /* as whom it reads (session.h) */
    int protocol;
    enum type type;                /* of value it waits for */
    const struct waiting *waiting; /* or what it waits for besides; NULL: nothing */
    const struct bulk *subject;    /* what besides the key its line has in common; NULL: nothing */
    size_t bytes;                  /* of memory */
    int64_t deadline;              /* monotonic ms; INT64_MAX: none */
    uint32_t heap_index;           /* among those of its worker, by deadline */
    enum waiter_end end;           /* of a cancelled one */
    bool is_answered;              /* the message has come */
    /* Of a served one: it was denied what it waited for, and why (run/permit.h). */
    bool is_denied;
    uint8_t verdict;
    uint32_t denied_at;
    bool looks_again; /* of a served one: it wasn't, and has to run its command anew */
    struct reply reply;
    struct key *keys; /* all of the command's, as its function wants them */
    uint32_t key_count;
    /* the first so many are waited for; further ones are what it needs besides (BLMOVE's destination) */
    uint32_t waited_count;
    uint32_t swept; /* the first so many are in no line any more */
    struct waiter_key waits[];
};

/* Before any other thread, when interests have been started. */
void blocking_start(struct keyspace *keyspace);
void blocking_stop(void);
/* Is there any waiter? Only a hint where no shard is held. */
bool blocking_is_on(void);

/* Registers a waiter for a call that could not be answered. The shards of its keys are held exclusively. NULL
 * when out of memory. It is the caller's, on its worker, and goes to blocking_end. */
struct blocked_client *blocking_register(struct worker *worker, struct task *task,
                                         const struct write_scope *scope, const struct call *call,
                                         const struct block *block);
/* On its worker: its reply has come, and is about to be sent. */
static inline bool blocking_is_answered(const struct blocked_client *waiter) {
    return waiter->is_answered && !waiter->looks_again;
}
/* The waiter gives up: false if it has been served already. */
bool blocking_cancel(struct blocked_client *waiter, enum waiter_end end);

/* A worker's waiters that are done: served, or cancelled. */
struct ended_waits {
    struct blocked_client *first, *last;
};
void blocking_end(struct ended_waits *ended, struct blocked_client *waiter);
/* Takes them out of their lines, as far as the shards can be had and for a bounded time, and frees them. The
 * lane is outside the gate. Returns in how many milliseconds it wants to go on; -1: nothing is left that
 * doesn't announce itself. */
int blocking_sweep(struct ended_waits *ended, struct lane *lane, int64_t now);
/* The worker ends: others may still meet them in their lines. blocking_stop frees them. */
void blocking_abandon(struct ended_waits *ended);

/* Puts into *more the shards that waiters for the call's keys need besides, and that are not held. Returns
 * whether there is one: then the scope has to be ended, and begun again with them. The keys' shards are held
 * exclusively. It looks at no more waiters than the call may serve, and so may miss some. */
bool blocking_foresee(const struct call *call, const struct shard_set *held, struct shard_set *more);
/* Going through the waiters of what was filled on this thread, and of what that fills; zeroed at first. */
struct serving {
    struct waiter_key *next; /* in the line at hand; NULL: the next line */
    struct blocked_client *waiter;
    struct key keys[2];
    /* What is to be executed for the waiter, in the same scope, and where its reply goes. */
    struct call call;
    struct reply *reply;
};
/* The next one that has something to take, which is claimed. false: there is none left. held: the scope's
 * set, which may grow; NULL if it holds all shards. */
bool blocking_next(struct serving *serving, struct write_scope *scope, struct shard_set *held);
/* Its call has been executed: the reply goes to its worker, which is woken by blocking_wake, when the
 * scope has ended. */
void blocking_served(struct serving *serving);
void blocking_wake(void);
/* Whether a message carries such a reply: its memory is the waiter's. */
bool blocking_is_answer(const struct message *message);

/* A worker's waiters by deadline. */
struct deadline_heap {
    struct blocked_client **waiters;
    uint32_t count, capacity;
};
#define DEADLINE_NONE UINT32_MAX                                              /* as heap_index: in none */
bool deadline_add(struct deadline_heap *heap, struct blocked_client *waiter); /* false when out of memory */
void deadline_remove(struct deadline_heap *heap, struct blocked_client *waiter);

#endif
