/* Dispatch: from arguments to a command with its shards. The only place of the server that takes a lock.
 *
 * It looks the command up, checks arity and authentication, finds and hashes the keys, and tries to take
 * their shards. If one is busy it releases what it took and parks the connection on that lock; the release
 * wakes it and the request is dispatched again. The reply is complete when a request is done. */
#ifndef SERVER_RUN_DISPATCH_H
#define SERVER_RUN_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/scope/scope_take.h"
#include "server/task/task.h"
#include "server/worker/worker.h"

enum outcome {
    OUTCOME_DONE, /* the reply is in `reply` (it may be empty: CLIENT REPLY OFF) */
    /* the task was parked; dispatch_request is to be called again once it is woken */
    OUTCOME_PARKED,
};

/* On the worker's thread at its start and end. */
bool dispatch_attach(struct worker *worker, struct keyspace *keyspace);
void dispatch_detach(struct worker *worker);
/* When no worker runs any more, and the mailbox has been emptied: wake-ups for what the dispatcher waited for
 * may come until then. */
void dispatch_free(struct worker *worker);

/* Bracket around the running of connections in a turn. If the gate is closed, requests that need it are
 * parked when their turn comes; the others run. */
void dispatch_enter(struct worker *worker);
void dispatch_leave(struct worker *worker);
/* Makes room for so many bytes that are about to be received, as far as that is possible at once. */
void dispatch_make_room(struct worker *worker, size_t bytes);
/* Between two connections of a turn: lets somebody who waits at the gate in. */
void dispatch_yield(struct worker *worker);

/* What is known of a request before its turn comes. */
struct prepared {
    const struct command *command; /* NULL: nothing is */
    bool has_key;                  /* its one key has been hashed */
    bool shares_clock; /* the next one is of its kind, and both are short: they are timed together */
    uint64_t hash;
    struct fetch fetch;
};
/* Looks up the commands of worker->batch and hashes their keys. prepared has room for BATCH_REQUESTS. */
void dispatch_prepare(struct worker *worker, struct prepared *prepared);
/* Before each DISPATCH_WINDOW requests of the batch, the first of which is number `at`: fetches into the
 * cache what those behind them will look at, as if all were about that database. A processor waits for some
 * dozens of lines at a time, so they are sent for while others are worked on: entries one window ahead, their
 * homes two. */
#define DISPATCH_WINDOW 4
void dispatch_fetch(struct worker *worker, uint32_t database, struct prepared *prepared, uint32_t at);
/* After the last request of a batch that is run: those whose clock was to be shared with one that isn't are
 * counted. */
void dispatch_batch_end(struct worker *worker);

/* The same across connections, for the first request of each: collects, and then fetches. Inside the gate. */
void dispatch_look_ahead(struct worker *worker, uint32_t database, char *data, size_t length);
void dispatch_fetch_ahead(struct worker *worker);

/* Runs a request; prepared may be NULL. When it is parked its arguments must stay until it is dispatched
 * again. */
enum outcome dispatch_request(struct worker *worker, struct task *task, const struct bulk *arguments,
                              uint32_t count, const struct prepared *prepared, struct reply *reply);
/* The connection closes while its request is under way: leaves queues, frees walks, detaches from
 * inquiries. */
void dispatch_forget(struct worker *worker, struct task *task);

/* Memory that its wait for a key takes. */
size_t dispatch_bytes(const struct task *task);

/* Ends a wait for a key (CLIENT UNBLOCK), as if time were up, or with an error. false if the connection
 * doesn't wait for one. On its worker. */
bool dispatch_unblock(struct task *task, bool is_error);

/* Outside the gate, once per turn: wakes connections whose locks were released, pauses that ended; runs
 * expiry slices. Returns the milliseconds until it wants to be called again (-1: when something happens).
 * is_idle: nothing had come for this turn. */
int dispatch_timers(struct worker *worker, bool is_idle);

#endif
