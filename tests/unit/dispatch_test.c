/* Dispatch at a worker's end, with its steps in the order that is rarest: a worker of this process does one
 * after the other. */
#include "server/run/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/process.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/interest/blocking.h"
#include "server/interest/interest.h"
#include "server/net/loop.h"
#include "server/run/hold.h"
#include "server/task/task.h"
#include "server/worker/worker.h"
#include "shard/keyspace.h"

#define SECONDS 60 /* it is let go before */

static struct keyspace *keyspace;
static bool is_parked;
static uint32_t messages; /* that were in the mailbox when the worker had ended */

static void on_wake(struct task *task, enum park_reason reason) {
    (void)task;
    (void)reason;
}

static const struct task_functions functions = {.wake = on_wake};

static bool on_begin(struct worker *worker) {
    return dispatch_attach(worker, keyspace);
}

/* The shard, which somebody else holds, is let go after the worker has looked into its mailbox for the last
 * time, and before it ends. */
static void on_serve(struct worker *worker) {
    static char get[] = "GET", name[] = "k";
    const struct bulk arguments[] = {{.data = get, .length = 3}, {.data = name, .length = 1}};
    const struct key key = keyspace_key(keyspace, 0, name, strlen(name));
    struct task task = {.functions = &functions, .session.protocol = 2};
    struct reply reply;
    reply_init(&reply, 2);
    dispatch_enter(worker);
    bool is_held = hold_start(keyspace, &key, SECONDS, worker->now) == NULL;
    is_parked = is_held && dispatch_request(worker, &task, arguments, 2, NULL, &reply) == OUTCOME_PARKED &&
                task.park_reason == PARK_ON_SHARD;
    dispatch_leave(worker);
    worker_read_mail(worker);
    dispatch_forget(worker, &task);
    hold_end_all();
    dispatch_detach(worker);
    reply_free(&reply);
}

static void on_free(struct worker *worker) {
    struct message *message;
    while ((message = mailbox_pop(&worker->mailbox)) != NULL) messages += message->handle != NULL;
    dispatch_free(worker);
}

static const struct loop_handlers handlers = {.accepted = NULL}; /* its loop has no streams */
static const struct worker_work work = {
    .handlers = &handlers,
    .begin = on_begin,
    .serve = on_serve,
    .free = on_free,
};

static void a_wake_up_that_comes_at_the_end_finds_the_queue_it_is_for(void **state) {
    char *arguments[] = {"latchkey", "--loglevel", "warning", "--shards", "16", NULL};
    (void)state;
    assert_true(config_load(5, arguments));
    keyspace = keyspace_open(&(struct keyspace_options){.shards = 16, .databases = 1, .lanes = 8});
    assert_non_null(keyspace);
    assert_true(interest_start(keyspace));
    blocking_start(keyspace);
    assert_true(workers_start(keyspace, 1, &work, NULL, 0, NULL));
    workers_stop(0);
    assert_true(workers_await_end());
    workers_join();
    assert_true(is_parked);
    assert_int_equal(messages, 1);
    blocking_stop();
    interest_stop();
    keyspace_close(keyspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wake_up_that_comes_at_the_end_finds_the_queue_it_is_for),
    };
    clock_init();
    process_init();
    commands_register();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
