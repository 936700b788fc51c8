/* Commands about the process as a whole, and about one connection's place in it: MONITOR, SHUTDOWN, DEBUG
 * HOLD. */
#include <stdlib.h>

#include "server/base/clock.h"
#include "shard/keyspace.h"
#include "server/run/hold.h"
#include "server/broadcast/monitor.h"
#include "server/worker/worker.h"
#include "server/command/command.h"

static void command_monitor(struct worker *worker, struct connection *connection, const struct call *call,
                            struct reply *reply) {
    (void)call;
    if (monitor_add(worker, connection))
        reply_ok(reply);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

/* Nothing is ever written to disk, so SAVE and FORCE have nothing to add, and there is no shutdown that waits
 * and could be aborted. */
static void command_shutdown(struct worker *worker, struct connection *connection, const struct call *call,
                             struct reply *reply) {
    bool saves = false, saves_not = false, aborts = false, is_now = false, is_wrong = false;
    (void)worker;
    for (uint32_t i = 1; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (argument_is(option, "SAVE"))
            saves = true;
        else if (argument_is(option, "NOSAVE"))
            saves_not = true;
        else if (argument_is(option, "NOW"))
            is_now = true;
        else if (argument_is(option, "ABORT"))
            aborts = true;
        else if (!argument_is(option, "FORCE"))
            is_wrong = true;
    }
    if (is_wrong || (saves && saves_not) || (aborts && call->count > 2)) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (aborts) {
        reply_error(reply, "ERR No shutdown in progress.");
        return;
    }
    connection->session.closes_after_reply = true;
    workers_stop(is_now ? 0 : workers_patience_ms());
}

#define HOLD_MOST 3600.0

static void command_debug_worker(struct worker *worker, struct connection *connection,
                                 const struct call *call, struct reply *reply) {
    (void)connection;
    (void)call;
    reply_integer(reply, worker->number);
}

static void command_debug_hold(struct worker *worker, struct connection *connection, const struct call *call,
                               struct reply *reply) {
    char text[32], *end = NULL;
    const struct bulk *seconds = &call->arguments[3];
    (void)worker;
    (void)connection;
    double duration = -1;
    if (seconds->length > 0 && seconds->length < sizeof text) {
        for (size_t i = 0; i < seconds->length; i++) text[i] = seconds->data[i];
        text[seconds->length] = '\0';
        duration = strtod(text, &end);
    }
    if (end == NULL || *end != '\0' || !(duration >= 0 && duration <= HOLD_MOST)) {
        reply_error(reply, ERROR_NOT_FLOAT);
        return;
    }
    const struct bulk *name = &call->arguments[2];
    struct key key = keyspace_key(call->keyspace, call->database, name->data, name->length);
    const char *error = hold_start(call->keyspace, &key, duration, call->now);
    if (error != NULL)
        reply_error(reply, error);
    else
        reply_ok(reply);
}

/* Time passes, or somebody sets the clock: what tests can't wait for. */
static void command_debug_clock(const struct call *call, struct reply *reply) {
    int64_t shift;
    bool is_wall = argument_is(&call->arguments[2], "WALL");
    if (!is_wall && !argument_is(&call->arguments[2], "MONOTONIC")) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (!argument_integer(&call->arguments[3], &shift, reply, NULL)) return;
    clock_shift(is_wall ? shift : 0, is_wall ? 0 : shift);
    for (uint32_t i = 0; i < worker_count(); i++) worker_wake(worker_at(i));
    reply_ok(reply);
}

#define DEBUG_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_PROTECTED)

/* ------------------------------------------------------------------ rows */

const struct command admin_commands[] = {
    {.name = "debug|clock", .arity = 4, .flags = DEBUG_FLAGS, .plain = command_debug_clock},
    {.name = "debug|worker", .arity = 2, .flags = DEBUG_FLAGS, .worker = command_debug_worker},
    {.name = "debug|hold", .arity = 4, .flags = DEBUG_FLAGS, .worker = command_debug_hold},
    {.name = "monitor",
     .arity = 1,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .worker = command_monitor,
     .since = "1.0.0",
     .group = "server",
     .summary = "Shows every request that is run"},
    {.name = "shutdown",
     .arity = -1,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_NO_MULTI |
              COMMAND_ALLOW_BUSY,
     .worker = command_shutdown,
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(N) for N keys",
     .summary = "Ends the server",
     .syntax = "[nosave_save:oneof(nosave=NOSAVE save=SAVE)] [now=NOW@7.0.0] [force=FORCE@7.0.0] "
               "[abort=ABORT@7.0.0]",
     .history = "7.0.0:NOW, FORCE, ABORT"},
    {.name = NULL},
};
