/* Balance: which worker a connection is served by, when processors are not all alike.
 *
 * Connections are dealt out evenly (listeners.h), and that is right as long as every worker has a processor when
 * it wants one. Where others compete for processors (clients on the same machine, more workers than cores),
 * one worker waits for its processor, and its clients with it, while another has nothing to do and sleeps.
 * The kernel knows: it counts how long a thread has run and how long it was ready and had to wait
 * (schedstat). Each worker reads that of its own thread every INTERVAL, publishes it, and acts on it for
 * itself:
 *
 *     starved, and another worker has time to spare    as many of its active connections as that has time
 *                                                      for go there; it is shunned for a while, and
 *                                                      doubted from then on
 *     busy for some time, and another has time         a part of its active connections goes there, unless
 *                                                      that one is shunned
 *
 * So what a shunned worker could do is tried again after a while, which is twice as long after each try that
 * failed. A new connection goes to a worker in doubt only if all are; one that has worked for a second
 * without being starved is in doubt no longer.
 *
 * A connection moves between two requests, with nothing owed to it. It is no longer read here, what the
 * kernel had begun ends and is served, and then the other worker finds it in its mailbox. Its requests keep
 * their order: they wait in the socket. */
#ifndef SERVER_CLIENT_BALANCE_H
#define SERVER_CLIENT_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct connection;
struct worker;

/* Connections that can be leaving at a time. */
#define BALANCE_LEAVING_MOST 256

/* A worker's part. Its own thread's, but for what is published. */
struct balance {
    /* descriptor, or -1 where the kernel doesn't count: then nothing is ever moved (nor with `balance-clients
     * no`) */
    int schedstat;
    int64_t measure_again; /* monotonic ms */
    int64_t measured_from; /* the last reading: monotonic ms, and ns since the thread began */
    uint64_t ran, waited;
    int64_t shun_for;    /* ms; how long it was shunned the last time */
    uint32_t busy;       /* intervals in a row in which it never rested */
    uint32_t calm;       /* intervals in which it worked and was not starved, since it was */
    int64_t leave_until; /* monotonic ms; who is not gone by then stays */
    uint32_t leaving_count;
    struct connection *leaving[BALANCE_LEAVING_MOST];
    struct worker *destination;
    /* Published. */
    _Atomic int64_t measured_at;       /* monotonic ms of the last measurement */
    _Atomic uint32_t running, waiting; /* of the interval before it, in thousandths */
    _Atomic int64_t shunned_until;     /* monotonic ms; 0: it isn't in doubt */
};

/* On the worker's thread: at its start, after each turn, when it begins to stop (whoever is leaving stays),
 * and at its end. */
void balance_start(struct worker *worker);
void balance_turn(struct worker *worker);
/* How long the next wait may be, in milliseconds; -1: as far as this is concerned, for ever. Whoever is
 * leaving isn't read meanwhile. */
int balance_patience(const struct worker *worker);
void balance_stop(struct worker *worker);
void balance_end(struct worker *worker);
/* A connection that was leaving is closed. */
void balance_forget(struct worker *worker, const struct connection *connection);
/* Begins to move all of a worker's connections that can leave, and as many as can at a time, to that other
 * one. */
void balance_evacuate(struct worker *worker, struct worker *destination);
/* Any thread. */
bool balance_is_in_doubt(const struct worker *worker);

/* What there is to do, by what was measured last: separate, so that it can be looked at without processors
 * that are scarce. */
enum balance_advice { BALANCE_STAY, BALANCE_FLEE, BALANCE_SHARE };
struct balance_load {
    bool is_known;             /* measured lately; if not, it is in a long command, or off its processor */
    uint32_t running, waiting; /* thousandths */
    bool is_shunned;
};
/* *best: which of the others, if there is something to do. */
enum balance_advice balance_advise(const struct balance_load *own, const struct balance_load *others,
                                   uint32_t count, uint32_t *best);

#endif
