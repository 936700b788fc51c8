/* Balance: which worker a connection is served by, when processors are not all alike.
 *
 * Connections are dealt out evenly (listeners.h), and that is right as long as every worker has a processor
 * when it wants one. Where others compete for processors (clients on the same machine, more workers than
 * cores), one worker waits for its processor, and its clients with it, while another has nothing to do and
 * sleeps. The kernel knows: it counts how long a thread has run and how long it was ready and had to wait
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

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Its part of a worker's clients: false without memory. */
bool balance_create(struct worker *worker);
void balance_free(struct worker *worker);
/* On the worker's thread: at its start, after each turn, when it begins to stop (whoever is leaving stays),
 * and at its end. */
void balance_start(struct worker *worker);
void balance_turn(struct worker *worker);
/* How long the next wait may be, in milliseconds; -1: as far as this is concerned, for ever. Whoever is
 * leaving isn't read meanwhile. */
int balance_patience(const struct worker *worker);
void balance_stop(struct worker *worker);
void balance_end(struct worker *worker);
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
