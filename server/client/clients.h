/* A worker's clients: its connections, and where its turn is.
 *
 * The worker itself knows nothing of them; this hangs from it. A turn: wait; take the time; drain the
 * mailbox; enter the gate, if it is open; run the ready connections, each for a bounded number of commands;
 * leave the gate (which is also the point where memory retired by others may be freed); timers; free closed
 * connections (turn.h). */
#ifndef SERVER_CLIENT_CLIENTS_H
#define SERVER_CLIENT_CLIENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/net/listen.h"
#include "server/net/loop.h"
#include "server/worker/worker.h"
#include "connection.h"
#include "connection_ids.h"

struct balance;
struct origin;

struct clients {
    /* Its own thread's. */
    struct connection *connections, *connections_last; /* all, in the order in which it got them */
    struct connection_ids ids;                         /* the same ones */
    struct task *closed;                               /* to be freed at the end of the turn; by queue_next */
    struct connection *flush; /* with output to be sent at the end of the turn; by flush_next */
    struct connection *sweep; /* where the check of all connections goes on; NULL: at the first */
    struct balance *balance;
    struct origin *origins; /* connection_address.c's; or NULL */
    struct task_queue ready;
    /* all was sent, and the client should close: no longer among the connections */
    struct task_queue lingering;
    int64_t next_tick;               /* monotonic ms */
    int64_t limit_checked;           /* monotonic ms; client_limit.c's */
    uint64_t strangers_checked;      /* what its strangers held when that was looked at; stranger_limit.c's */
    uint64_t strangers_closed_up_to; /* and up to which id they were closed */
    int64_t listen_again;            /* monotonic ms; 0: it is listening */
    uint32_t over_soft_limit;        /* connections that are */
    bool is_inside;                  /* between dispatch_enter and dispatch_leave: requests may run */
    bool is_stopping;
    bool is_drained;        /* stopping, and nothing is left to be answered or sent */
    struct bulk *arguments; /* memory for a parser's arguments, lent to the connection that is running */
    uint32_t arguments_capacity;
    struct tls_side *tls; /* NULL until a client came by TLS */
    /* Handshakes, each in one of these once bytes have come (connection_tls.c): */
    struct task_queue half;    /* that have begun, and wait for their client */
    struct task_queue shaking; /* that have bytes, and wait for the worker's time */
    struct task_queue crowded; /* that have not begun, and wait until others are over */
    uint64_t shaken;           /* cycles that handshakes have taken in this turn */
    uint32_t shaking_count;    /* connections whose handshake isn't over */
    struct stream listeners[LISTEN_MOST];
    uint32_t listener_count;
    /* Read by all workers. */
    /* Connections it has or will get: the one number that others change, when they take a connection for
     * it. */
    _Atomic uint64_t assigned;
    _Atomic int64_t turning_since; /* monotonic ms at which its turn began; 0: it waits for something to do */
};

/* Its connection with that id (unique over all workers), or NULL. On its thread. */
static inline struct connection *clients_find(const struct worker *worker, uint64_t id) {
    return connection_ids_find(&worker->clients->ids, id);
}

/* Among the worker's connections, to which it belongs by now; and no longer. In the second case its own
 * `next` stays, for whoever is just going through the list, and a second call does nothing. */
void clients_add(struct connection *connection);
void clients_remove(struct connection *connection);
/* Its place among maxclients is free again. */
void clients_seat_release(struct worker *worker);
/* Sends what the connection is owed at the end of the turn. */
void clients_flush_later(struct connection *connection);

/* Bytes that all clients may use (maxmemory-clients): 0 is no limit. Any thread. */
int64_t clients_memory_most(void);
/* What all clients use now, and what a worker's do without what waits have left behind: closing one more
 * client wouldn't give that back any sooner. Any thread. */
uint64_t clients_memory(void);
uint64_t clients_memory_of(const struct worker *worker);

/* The connection is new, or its handshake is over, or it has run something, by which its client may have
 * become known, or a stranger: what it holds is the strangers' from now on, or isn't any more. Whose
 * handshake isn't over is a stranger, whether there is a password or not. */
void clients_note_stranger(struct connection *connection);
/* What a stranger has the server hold of what it sends and is owed. */
uint64_t clients_stranger_holds(const struct connection *connection);
/* What all of a worker's strangers do, and all of them. Any thread. */
uint64_t clients_strangers_memory_of(const struct worker *worker);
uint64_t clients_strangers_memory(void);

#endif
