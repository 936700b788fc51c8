/* A worker: a thread with its own loop, lane and mailbox. Workers share the shards and what the mailboxes
 * carry, nothing else.
 *
 * What stands here is what any room may need of a worker. What its clients, the running of commands and
 * broadcasting keep for it hangs from it, and is theirs. */
#ifndef SERVER_WORKER_WORKER_H
#define SERVER_WORKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "resp/request.h"
#include "shard/lock/rwlock.h"
#include "server/base/recent.h"
#include "counters.h"
#include "mailbox.h"

struct broadcast;
struct clients;
struct dispatcher;
struct frame;
struct keyspace;
struct lane;
struct loop;
struct loop_handlers;
struct session;
struct task;

struct worker {
    uint32_t number; /* 0 .. worker_count()-1; of those aside, the numbers after these */
    bool is_aside;   /* it serves no clients */
    const struct worker_work *work;
    pthread_t thread;
    struct loop *loop;
    struct mailbox mailbox;
    struct bell bell; /* worker_wake, for the lock that it waits for */
    struct keyspace *keyspace;
    struct lane *lane; /* its seat at the keyspace; attached by dispatch_attach */
    /* dispatch's own per-worker state: statistics, queues of parked tasks */
    struct dispatcher *dispatcher;
    struct frame *frame;     /* of the turn at hand */
    struct clients *clients; /* its connections; server/client's */
    int64_t now;             /* wall ms, of this turn */
    int64_t now_monotonic;
    /* What others tell its clients: read before it executes anything, and so apart from the mail, which is
     * read outside the gate. */
    struct mailbox news;
    _Atomic size_t news_bytes; /* that wait there, with what they hold */
    _Atomic bool news_missed;  /* some of those that may be lost had no place there */
    /* Apart from what others write: */
    _Alignas(64) struct broadcast *broadcast; /* server/broadcast's own */
    /* Published for INFO and CLIENT limits: written by this worker only, relaxed. */
    _Atomic uint64_t connection_count;
#define COUNTER(name, ...) counter name;
    WORKER_COUNTERS(COUNTER)
#undef COUNTER
    _Atomic uint64_t parked /* connections whose request waits */,
        blocked /* of these, for a key or the end of a pause */, input_bytes /* held in input buffers */,
        wait_bytes /* in what waits for keys or long threads */,
        ended_bytes /* in what did, and is still to be freed */,
        name_bytes /* of what clients call themselves */, output_bytes /* owed */,
        tls_bytes /* of what encrypts: OpenSSL's, and records that wait for their socket */,
        stranger_bytes /* of these, what clients have of input and output who have not authenticated */,
        shaking_bytes /* of tls_bytes, what handshakes have that aren't over */;
    struct recent recent_input, recent_output; /* of one client */
};

/* What workers do: given by the room that starts them. */
struct worker_work {
    const struct loop_handlers *handlers; /* of its loop, whose context is the worker */
    /* Before there are threads: false with a logged reason. NULL: nothing hangs from it then. */
    bool (*create)(struct worker *worker, const void *context);
    /* On its thread. false with a logged reason: it can't serve, and has nothing to be undone but by free. */
    bool (*begin)(struct worker *worker);
    /* On its thread: until workers_stop_at() says when, and to the end. */
    void (*serve)(struct worker *worker);
    /* When no worker runs any more: mail that came too late, and what hangs from it. Also of a worker whose
     * create failed, or was not reached. */
    void (*free)(struct worker *worker);
};

/* Starts `count` workers, and as many `aside` as are wanted, which have other work and serve no clients;
 * returns when all run. false with a logged reason. context: for create. */
bool workers_start(struct keyspace *keyspace, uint32_t count, const struct worker_work *work,
                   const void *context, uint32_t aside, const struct worker_work *aside_work);
/* Asks all to stop accepting, answer what was received, send what is owed (at most `milliseconds`), close and
 * end. Any thread; only the first call counts. */
void workers_stop(int64_t milliseconds);
/* What they are given for that as a rule (shutdown-timeout). */
int64_t workers_patience_ms(void);
/* By when they are to have ended: monotonic ms; 0: they aren't stopping. Any thread. */
int64_t workers_stop_at(void);
/* One more worker that stops has nothing left to answer or to send: called once by each, on its thread. When
 * the last one has, all are woken. */
void workers_drained_add(void);
bool workers_are_drained(void);
/* Readable (poll) once they have been asked to stop, whoever did. */
int workers_stopping_fd(void);
/* Waits until all have ended, for a second longer than they were given. false: a command still runs on one of
 * them. */
bool workers_await_end(void);
/* When they have: releases what they had; worker_count() is 0 afterwards. */
void workers_join(void);
/* In its place, when the process is about to end without those that have not ended. */
void workers_abandon(void);
uint32_t worker_count(void); /* of those that serve */
uint32_t workers_aside_count(void);
struct worker *worker_at(uint32_t number);
uint64_t workers_connection_count(void);
/* The worker that runs this thread, or NULL. */
struct worker *worker_self(void);

/* Any thread: puts a message in a worker's mailbox and wakes it if needed. */
void worker_send(struct worker *worker, struct message *message);
/* The two halves, for a thread that holds a shard: push under the lock, wake after it. */
bool worker_push(struct worker *worker, struct message *message);
void worker_wake(struct worker *worker); /* a system call: holding no shard */

/* The worker's own thread, once a turn and at its end: handles all messages that are there. */
void worker_read_mail(struct worker *worker);

/* The same for news, which go to the worker's own thread as well. True: it is to be woken. */
bool worker_push_news(struct worker *worker, struct message *message);
/* It is read when the worker's turn comes for something else, or once it is called. */
void worker_push_news_quietly(struct worker *worker, struct message *message);
void worker_call_for_news(struct worker *worker);
/* Whether that one, which was pushed, is the last one there. Any thread. */
static inline bool worker_news_end_with(const struct worker *worker, const struct message *message) {
    return mailbox_ends_with(&worker->news, message);
}
/* The worker's own thread, before it executes a request, and at the end of its turn. Handlers run inside the
 * gate or outside, and holding no shard. */
void worker_read_all_news(struct worker *worker);
static inline bool worker_has_news(const struct worker *worker) {
    return mailbox_is_filled(&worker->news);
}
static inline void worker_read_news(struct worker *worker) {
    if (worker_has_news(worker)) worker_read_all_news(worker);
}
/* Reads on until *is_read, which one of the handlers sets. */
void worker_read_news_until(struct worker *worker, const bool *is_read);

/* While somebody goes over all workers' connections, none goes from one to another, so that none is missed or
 * met twice: what is sent to a worker after workers_freeze finds there whoever was on the way. Each freeze
 * has its thaw; any thread. */
void workers_freeze(void);
void workers_thaw(void);
bool workers_are_frozen(void);
/* Brackets the giving of a connection to another worker, up to its message. false: frozen, or stopping (then
 * there is no end of it): a worker that stops lets all moves end before it takes its last look at the
 * mailbox. */
bool workers_move_begin(void);
void workers_move_end(void);

/* What a session of one of its clients holds has become more, or less, since it was `before`
 * (session_bytes). */
void worker_account_session(struct worker *worker, const struct session *session, size_t before);

/* CPU time that its thread has used. Any thread. */
double worker_cpu_seconds(const struct worker *worker);

#endif
