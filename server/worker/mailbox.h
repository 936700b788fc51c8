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
#include <stdint.h>

struct worker;

struct message {
    _Atomic(struct message *) next;
    /* Runs on the receiving worker, outside the gate and every lock; owns the message (frees it or sends it
     * back). */
    void (*handle)(struct worker *worker, struct message *message);
};

struct mailbox {
    _Alignas(64) _Atomic(struct message *) tail; /* producers */
    _Atomic uint32_t signal;                     /* 0: what is there has been seen */
    _Alignas(64) struct message *head;           /* consumer */
    struct message stub;
};

void mailbox_init(struct mailbox *mailbox);
/* Returns true if the consumer has to be woken (worker_wake); the wake-up may come later, e.g. after a lock
 * is released. */
bool mailbox_push(struct mailbox *mailbox, struct message *message);
/* The consumer will find it when it looks for something else; otherwise it has to be called. */
void mailbox_push_quietly(struct mailbox *mailbox, struct message *message);
/* True if something was pushed quietly that the consumer has not found, nor will be woken for: it has to be
 * woken. */
bool mailbox_call(struct mailbox *mailbox);
/* Whether anything was pushed since mailbox_rearm. */
static inline bool mailbox_is_filled(const struct mailbox *mailbox) {
    return atomic_load_explicit(&mailbox->signal, memory_order_relaxed) != 0;
}
/* Whether nothing has been pushed behind that one, which was: the consumer has not taken it then. Any
 * thread. */
static inline bool mailbox_ends_with(const struct mailbox *mailbox, const struct message *message) {
    return atomic_load_explicit(&mailbox->tail, memory_order_relaxed) == message;
}
/* Consumer: before it drains, so that pushes from here on signal again. */
void mailbox_rearm(struct mailbox *mailbox);
/* Consumer: the next message, or NULL when there is none (or one is just being linked, in which case a signal
 * is coming). */
struct message *mailbox_pop(struct mailbox *mailbox);
/* Consumer, when there was none: somebody is just linking a message, and others that are whole may be behind
 * it. */
bool mailbox_is_cut(const struct mailbox *mailbox);

#endif
