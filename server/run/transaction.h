/* Transactions: MULTI's queue, and EXEC, which runs it as one.
 *
 * What is queued becomes one larger request: its keys are the keys of all of it and those that are watched,
 * it writes if one of them does, and goes the way of any other (take.h) until it has its shards. So two
 * transactions without a shard in common run side by side, and one that reads only may do without locks.
 *
 * Then its commands run one after the other in that scope. Waiting clients are served when the last is done.
 * What needs no shard runs between them, but for what concerns other workers or the process: nobody is asked
 * while shards are held, so questions (CLIENT LIST) are asked before, and deeds (CLIENT KILL, CONFIG SET) are
 * done behind, each before EXEC is answered. */
#ifndef SERVER_RUN_TRANSACTION_H
#define SERVER_RUN_TRANSACTION_H

#include "server/task/transaction.h"
#include "dispatcher.h"

/* Whether a request of this session is queued instead of run. */
static inline bool transaction_takes(const struct session *session, const struct command *command) {
    return session->transaction != NULL && session->transaction->is_open && !command->runs_at_once;
}
/* Queues the execution's call, or replies why it can't. */
enum outcome transaction_queue(struct execution *execution);
/* A request was refused that would have been queued, or that is EXEC: what it was replied since the mark
 * becomes the transaction's end. */
void transaction_refused(struct execution *execution, size_t mark);

/* EXEC. */
enum outcome transaction_run(struct execution *execution);

/* DISCARD, RESET, the connection's end: what is queued and watched is forgotten. None is fine. */
void transaction_end(struct worker *worker, struct task *task);
/* UNWATCH. */
void transaction_unwatch(struct worker *worker, struct task *task);

#endif
