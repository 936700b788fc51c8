/* A mailbox: how anything crosses from one thread to a worker.
 *
 * An intrusive, lock-free queue of messages with many producers and one consumer (Vyukov's:
 * https://www.1024cores.net/home/lock-free-algorithms/queues/intrusive-mpsc-node-based-queue). A push never
 * waits and never fails, since the message brings its own link. One wake-up per burst: the push that finds
 * the mailbox asleep tells its caller to wake the worker. */
#ifndef SERVER_WORKER_MAILBOX_H
#define SERVER_WORKER_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct worker;

struct message {
    _Atomic(struct message *) next;
    /* Runs on the receiving worker, outside the gate and every lock; owns the message (frees it or sends it
     * back). */
    void (*handle)(struct worker *worker, struct message *message);
};

struct mailbox {
    _Alignas(64) _Atomic(struct message *) tail; /* producers */
    _Atomic bool is_signalled;
    _Alignas(64) struct message *head; /* consumer */
    struct message stub;
};

void mailbox_init(struct mailbox *mailbox);
/* Returns true if the consumer has to be woken (worker_wake); the wake-up may come later, e.g. after a lock
 * is released. */
bool mailbox_push(struct mailbox *mailbox, struct message *message);
/* Consumer: before it drains, so that pushes from here on signal again. */
void mailbox_rearm(struct mailbox *mailbox);
/* Consumer: the next message, or NULL when there is none (or one is just being linked, in which case a signal
 * is coming). */
struct message *mailbox_pop(struct mailbox *mailbox);

#endif
