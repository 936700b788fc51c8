/* DEBUG, as far as it is about workers, their connections and their clocks: what tests can't bring about or
 * wait for otherwise. */
#include <stdlib.h>

#include "shard/keyspace.h"
#include "server/client/balance.h"
#include "server/base/clock.h"
#include "server/run/hold.h"
#include "server/worker/worker.h"
#include "debug.h"

#define HOLD_MOST 3600.0

static void command_debug_worker(struct worker *worker, struct task *task, const struct call *call,
                                 struct reply *reply) {
    (void)task;
    (void)call;
    reply_integer(reply, worker->number);
}

static void command_debug_hold(struct worker *worker, struct task *task, const struct call *call,
                               struct reply *reply) {
    char text[32], *end = NULL;
    const struct bulk *seconds = &call->arguments[3];
    (void)worker;
    (void)task;
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

static void command_debug_release(const struct call *call, struct reply *reply) {
    (void)call;
    hold_release_all();
    reply_ok(reply);
}

/* Makes a clock jump, as if time had passed or an administrator had set it. */
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

static void command_debug_move_clients_visit(struct worker *worker, struct inquiry *inquiry) {
    (void)inquiry;
    balance_evacuate(worker, worker_at((worker->number + 1) % worker_count()));
}

static void command_debug_move_clients_conclude(struct inquiry *inquiry, const struct call *call,
                                                struct reply *reply) {
    (void)inquiry;
    (void)call;
    reply_ok(reply);
}

/* ------------------------------------------------------------------ rows */

const struct command workers_commands[] = {
    {.name = "debug|clock", .arity = 4, .flags = DEBUG_FLAGS, .plain = command_debug_clock},
    {.name = "debug|worker", .arity = 2, .flags = DEBUG_FLAGS, .worker = command_debug_worker},
    {.name = "debug|hold", .arity = 4, .flags = DEBUG_FLAGS, .worker = command_debug_hold},
    {.name = "debug|release", .arity = 2, .flags = DEBUG_FLAGS, .plain = command_debug_release},
    {.name = "debug|move-clients",
     .arity = 2,
     .flags = DEBUG_FLAGS,
     .visit = command_debug_move_clients_visit,
     .conclude = command_debug_move_clients_conclude},
    {.name = NULL},
};
