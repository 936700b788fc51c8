/* Clients that wait for a key to be filled (BLPOP and its like).
 *
 * A command that finds nothing says so (struct block), and dispatch registers a waiter with its keys, while their shards are still held. Who fills a
 * key later serves its waiters before it answers or runs anything else: the waiter's own command is run again, for that key alone, in the scope of
 * the command that filled it, and the reply travels to the waiter's worker by message.
 *
 *              +-- claimed: somebody fills a key --> SERVED ----> the reply is on its way, and will be sent
 *     WAITING -|
 *              +-- time is up, UNBLOCK, closed ----> CANCELLED
 *
 * Who wins the exchange of the state owns the outcome. A waiter that isn't WAITING any more stays in its shards' lists until somebody who holds the
 * shard passes by: there it is nothing but memory. The lists are guarded by the shards' locks. */
#ifndef SERVER_BLOCKING_H
#define SERVER_BLOCKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../shard/keyspace.h"
#include "command.h"
#include "mailbox.h"

struct connection;
struct dispatcher;
struct worker;

enum waiter_state { WAITER_WAITING, WAITER_SERVED, WAITER_CANCELLED };
enum waiter_end { WAITER_TIMED_OUT, WAITER_UNBLOCKED, WAITER_REFUSED };

struct waiter_key {
    struct blocked_client *waiter;
    struct waiter_key *next, *previous; /* in its shard's list, oldest first */
    struct key key;
    uint32_t index; /* among the keys of the command */
};

struct blocked_client {
    struct message message; /* carries the reply */
    _Atomic int state;      /* enum waiter_state */
    _Atomic uint32_t references; /* of the connection, the lists and the message */
    struct worker *worker;
    struct connection *connection; /* its worker's to use; NULL once it has closed */
    const struct command *command;
    struct bulk *arguments; /* copies */
    uint32_t count, database;
    int protocol;
    enum type type;         /* of value it waits for */
    const struct waiting *waiting; /* or what it waits for besides; NULL: nothing */
    int64_t deadline;       /* monotonic ms; INT64_MAX: none */
    uint32_t heap_index;    /* among those of its worker, by deadline */
    enum waiter_end end;    /* of a cancelled one */
    bool is_answered;       /* the message has come */
    struct reply reply;
    struct key *keys;       /* all of the command's, as its function wants them */
    uint32_t key_count;
    uint32_t waited_count;  /* the first so many are waited for; further ones are what it needs besides (BLMOVE's destination) */
    struct waiter_key waits[];
};

/* Before any other thread. Listens for keys that are filled. */
bool blocking_start(struct keyspace *keyspace);
void blocking_stop(void);
/* Anybody at all? Only a hint, for who holds no shard. */
bool blocking_is_on(void);

/* Registers a waiter for a call that could not be answered. The shards of its keys are held exclusively. NULL when out of memory. One reference is the
 * caller's. */
struct blocked_client *blocking_register(struct worker *worker, struct connection *connection, const struct write_scope *scope,
                                         const struct call *call, const struct block *block);
/* The waiter gives up: false if it has been served already. */
bool blocking_cancel(struct blocked_client *waiter, enum waiter_end end);
void blocking_release(struct blocked_client *waiter);

/* Puts into *more the shards that waiters for these keys need besides, and that are not held. Returns whether there is one: then the scope has to be ended,
 * and begun again with them. The keys' shards are held exclusively. */
bool blocking_needs_more(const struct key *keys, uint32_t count, const struct shard_set *held, struct shard_set *more);
/* Serves waiters of what was filled on this thread since the last call, and of what that fills. Workers that got a reply are woken by blocking_wake, when
 * the scope has ended. */
void blocking_serve(struct write_scope *scope);
void blocking_wake(void);
/* A worker ends: what this thread keeps for the two is freed. */
void blocking_detach(void);

/* A worker's waiters by deadline. */
struct deadline_heap {
    struct blocked_client **waiters;
    uint32_t count, capacity;
};
#define DEADLINE_NONE UINT32_MAX /* as heap_index: in none */
bool deadline_add(struct deadline_heap *heap, struct blocked_client *waiter); /* false when out of memory */
void deadline_remove(struct deadline_heap *heap, struct blocked_client *waiter);

#endif
