/* A worker: a thread with its own loop, connections and mailbox. Workers share the shards and what the
 * mailboxes carry, nothing else.
 *
 * A turn: wait; take the time; drain the mailbox; enter the gate, if it is open; run the ready connections,
 * each for a bounded number of commands; leave the gate (which is also the point where memory retired by
 * others may be freed); timers; free closed connections. */
#ifndef SERVER_WORKER_WORKER_H
#define SERVER_WORKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "resp/request.h"
#include "shard/lock/rwlock.h"
#include "server/client/balance.h"
#include "server/client/connection.h"
#include "server/client/connection_ids.h"
#include "server/net/listen.h"
#include "server/net/loop.h"
#include "counters.h"
#include "mailbox.h"
#include "server/base/recent.h"

struct keyspace;
struct lane;
struct dispatcher;
struct frame;

struct worker {
    uint32_t number; /* 0 .. worker_count()-1 */
    pthread_t thread;
    struct loop *loop;
    struct mailbox mailbox;
    struct bell bell; /* worker_wake, for who let it wait for a shard */
    struct keyspace *keyspace;
    struct lane *lane; /* its seat at the keyspace; attached by dispatch_attach */
    /* dispatch's own per-worker state: statistics, queues of parked connections */
    struct dispatcher *dispatcher;
    struct frame *frame;                               /* of the turn at hand */
    struct connection *connections, *connections_last; /* all, in the order in which it got them */
    struct connection_ids ids;                         /* the same ones */
    struct task *closed;                               /* to be freed at the end of the turn; by queue_next */
    struct connection *flush; /* with output to be sent at the end of the turn; by flush_next */
    struct connection *sweep; /* where the check of all connections goes on; NULL: at the first */
    struct balance balance;
    struct task_queue ready;
    /* all was sent, and the client should close: no longer among the connections */
    struct task_queue lingering;
    int64_t now; /* wall ms, of this turn */
    int64_t now_monotonic;
    int64_t next_tick;        /* monotonic ms */
    int64_t listen_again;     /* monotonic ms; 0: it is listening */
    uint32_t over_soft_limit; /* connections that are */
    bool is_inside;           /* between dispatch_enter and dispatch_leave: requests may run */
    bool is_stopping;
    bool is_drained;        /* stopping, and nothing is left to be answered or sent */
    struct bulk *arguments; /* memory for a parser's arguments, lent to the connection that is running */
    uint32_t arguments_capacity;
    struct stream listeners[LISTEN_MOST];
    uint32_t listener_count;
    struct task **monitors; /* those of its tasks that monitor, in no order; monitor.c's */
    uint32_t monitor_capacity;
    _Atomic uint32_t monitor_count;
    _Atomic size_t monitor_mail;      /* bytes of lines for them that are in its mailbox */
    _Atomic bool monitors_miss_lines; /* some had no place there */
    /* Connections it has or will get: the one number that others change, when they take a connection for
     * it. */
    _Atomic uint64_t assigned;
    _Atomic int64_t turning_since; /* monotonic ms at which its turn began; 0: it waits for something to do */
    /* Published for INFO and CLIENT limits: written by this worker only, relaxed. */
    _Atomic uint64_t connection_count;
#define COUNTER(name, ...) counter name;
    WORKER_COUNTERS(COUNTER)
#undef COUNTER
    _Atomic uint64_t parked /* connections whose request waits */,
        blocked /* of these, for a key or the end of a pause */, input_bytes /* held in input buffers */,
        wait_bytes /* in what waits for keys */, ended_bytes /* in what did, and is still to be freed */,
        name_bytes /* of what clients call themselves */, output_bytes /* owed */;
    struct recent recent_input, recent_output; /* of one client */
};

/* Starts `count` workers listening on the sockets; returns when all serve. false with a logged reason. The
 * sockets stay the caller's. */
bool workers_start(struct keyspace *keyspace, uint32_t count, const int *sockets, const bool *is_unix,
                   uint32_t socket_count);
/* Has all workers listen on these sockets and no others. `dropped` are closed when nobody listens on them any
 * more; the others stay the caller's. One call at a time; between workers_start and workers_join. false if
 * there is no memory, and then nothing has changed. */
bool workers_listen(const struct listening *listening, const int *dropped, uint32_t dropped_count);
/* Asks all to stop accepting, answer what was received, send what is owed (at most `milliseconds`), close and
 * end. Any thread; only the first call counts. */
void workers_stop(int64_t milliseconds);
/* What they are given for that as a rule (shutdown-timeout). */
int64_t workers_patience_ms(void);
/* Readable (poll) once they have been asked to stop, whoever did. */
int workers_stopping_fd(void);
/* Waits until all have ended, for a second longer than they were given. false: a command still runs on one of
 * them. */
bool workers_await_end(void);
/* When they have: releases what they had; worker_count() is 0 afterwards. */
void workers_join(void);
/* In its place, when the process is about to end without those that have not ended. */
void workers_abandon(void);
uint32_t worker_count(void);
struct worker *worker_at(uint32_t number);
uint64_t workers_connection_count(void);
/* The worker that runs this thread, or NULL. */
struct worker *worker_self(void);

/* Any thread: puts a message in a worker's mailbox and wakes it if needed. */
void worker_send(struct worker *worker, struct message *message);
/* The two halves, for who holds a shard: push under the lock, wake after it. */
bool worker_push(struct worker *worker, struct message *message);
void worker_wake(struct worker *worker); /* a system call: holding no shard */

/* Gives a connection that is leaving to another worker, if that can be done at once; on its own worker,
 * between turns. Then it is no longer ours. */
bool worker_hand_over(struct connection *connection, struct worker *destination);
/* While somebody goes over all workers' connections, none goes from one to another, so that none is missed or
 * met twice: what is sent to a worker after workers_freeze finds there whoever was on the way. Each freeze
 * has its thaw; any thread. */
void workers_freeze(void);
void workers_thaw(void);
bool workers_are_frozen(void);

/* CPU time that its thread has used. Any thread. */
double worker_cpu_seconds(const struct worker *worker);

/* On its own worker only. Ids are unique over all workers. */
struct connection *worker_find_connection(struct worker *worker, uint64_t id);

#endif
