/* MULTI and its like. What EXEC does is server/run/transaction.h's. */
#include "server/command/command.h"
#include "server/interest/watch.h"
#include "server/run/transaction.h"

static bool is_open(const struct session *session) {
    return session->transaction != NULL && session->transaction->is_open;
}

static void command_multi(struct session *session, const struct call *call, struct reply *reply) {
    (void)call;
    if (is_open(session)) {
        reply_error(reply, "ERR MULTI calls can not be nested");
    } else if (transaction_of(&session->transaction) == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
    } else {
        session->transaction->is_open = true;
        reply_ok(reply);
    }
}

static void command_discard(struct worker *worker, struct task *task, const struct call *call,
                            struct reply *reply) {
    (void)call;
    if (!is_open(&task->session)) {
        reply_error(reply, "ERR DISCARD without MULTI");
        return;
    }
    transaction_end(worker, task);
    reply_ok(reply);
}

static void command_watch(struct write_scope *scope, struct session *session, const struct call *call,
                          struct reply *reply) {
    if (is_open(session)) {
        reply_error(reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    struct transaction *transaction = transaction_of(&session->transaction);
    bool is_watched = transaction != NULL;
    for (uint32_t i = 0; is_watched && i < call->key_count; i++)
        is_watched = watch_add(&transaction->watches, scope, &call->keys[i]);
    if (transaction != NULL && transaction->watches != NULL)
        transaction->watch_bytes = watch_bytes(transaction->watches);
    if (is_watched)
        reply_ok(reply);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

static void command_unwatch(struct worker *worker, struct task *task, const struct call *call,
                            struct reply *reply) {
    (void)call;
    transaction_unwatch(worker, task);
    reply_ok(reply);
}

#define TRANSACTION_FLAGS                                                                                    \
    (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_ALLOW_BUSY)

const struct command transactions_commands[] = {
    {.name = "multi",
     .arity = 1,
     .flags = TRANSACTION_FLAGS,
     .session = command_multi,
     .runs_at_once = true,
     .categories = "transaction",
     .since = "1.2.0",
     .group = "transactions",
     .complexity = "O(1)",
     .summary = "Starts to queue commands for EXEC"},
    {.name = "exec",
     .arity = 1,
     .flags = COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_SKIP_SLOWLOG,
     .run = transaction_run,
     .runs_at_once = true,
     .categories = "transaction",
     .since = "1.2.0",
     .group = "transactions",
     .complexity = "Depends on the commands that are queued",
     .summary = "Runs what is queued as one"},
    {.name = "discard",
     .arity = 1,
     .flags = TRANSACTION_FLAGS,
     .worker = command_discard,
     .runs_at_once = true,
     .categories = "transaction",
     .since = "2.0.0",
     .group = "transactions",
     .complexity = "O(N), N commands queued",
     .summary = "Forgets what is queued"},
    {.name = "watch",
     .arity = -2,
     .flags = TRANSACTION_FLAGS,
     .keys = {{.flags = KEY_RO, .first = 1, .last = -1, .step = 1}},
     .watch = command_watch,
     .runs_at_once = true,
     .categories = "transaction",
     .since = "2.2.0",
     .group = "transactions",
     .complexity = "O(1) for each key",
     .summary = "Has EXEC look whether these keys have changed",
     .syntax = "key:key#0..."},
    {.name = "unwatch",
     .arity = 1,
     .flags = TRANSACTION_FLAGS,
     .worker = command_unwatch,
     .categories = "transaction",
     .since = "2.2.0",
     .group = "transactions",
     .complexity = "O(1) for each key",
     .summary = "Forgets what is watched"},
    {.name = NULL},
};
