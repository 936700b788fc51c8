/* Dispatch: from arguments to a command with its shards. The only place of the server that takes a lock.
 *
 * It looks the command up, checks arity and authentication, finds and hashes the keys, and tries to take
 * their shards. If one is busy it releases what it took and parks the task on that lock; the release
 * wakes it and the request is dispatched again. The reply is complete when a request is done. */
#ifndef SERVER_RUN_DISPATCH_H
#define SERVER_RUN_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"
#include "frame.h"
#include "server/command/outcome.h"
#include "pause.h"
#include "prepare.h"
#include "timers.h"

struct reply;
struct task;
struct worker;

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
/* Before a request of the task, if the worker has news: reads them, unless nobody can tell whether they have
 * been read. prepared: what is known of it (prepare.h), or NULL. */
void dispatch_read_news(struct worker *worker, const struct task *task, const struct prepared *prepared);
/* Makes room for so many bytes that are about to be received, as far as that is possible at once. */
void dispatch_make_room(struct worker *worker, size_t bytes);
/* Between two connections of a turn: lets somebody who waits at the gate in. */
void dispatch_yield(struct worker *worker);

/* After the last request of a batch that is run: those whose clock was to be shared with one that isn't are
 * counted. */
void dispatch_batch_end(struct worker *worker);

/* Runs a request; prepared may be NULL. When it is parked its arguments must stay until it is dispatched
 * again. */
enum outcome dispatch_request(struct worker *worker, struct task *task, const struct bulk *arguments,
                              uint32_t count, struct prepared *prepared, struct reply *reply);
/* The connection closes while its request is under way: leaves queues, frees walks, detaches from
 * inquiries. */
void dispatch_forget(struct worker *worker, struct task *task);

/* Its transaction has changed something by now, and has more to do: a task that ended before it has would
 * leave half of it undone. On its worker. */
bool dispatch_must_end(const struct task *task);

/* Memory that its wait for a key takes, or what its request has prepared for its next run. */
size_t dispatch_bytes(const struct task *task);

/* Ends a wait for a key (CLIENT UNBLOCK), as if time were up, or with an error. false if the connection
 * doesn't wait for one. On its worker. */
bool dispatch_unblock(struct task *task, bool is_error);

/* Requests that are parked now, over all tasks of this worker. */
uint64_t dispatch_parked_count(const struct worker *worker);

#endif
