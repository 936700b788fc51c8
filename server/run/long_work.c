#include "long_work.h"

#include "shard/base/counter.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/net/loop.h"
#include "dispatch.h"
#include "errand.h"

/* It goes back undone. */
static void give_up(struct worker *worker, struct errand *errand) {
    dispatch_forget(worker, &errand->task);
    errand_return(worker, errand, false);
}

static int turn(struct worker *worker, int milliseconds) {
    bool is_quiet = loop_wait(worker->loop, milliseconds) == 0;
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    counter_add(&worker->turns, 1);
    worker_read_mail(worker);
    dispatch_enter(worker);
    loop_deliver(worker->loop);
    struct errand *errand = errand_take(worker); /* one a turn: it may take long */
    bool is_left = errand != NULL && errand_is_left(errand);
    bool is_done = errand != NULL && !is_left &&
                   dispatch_request(worker, &errand->task, errand->arguments, errand->count, NULL,
                                    &errand->reply) == OUTCOME_DONE;
    dispatch_leave(worker); /* what it needed is given back before its client has the answer */
    if (is_done) errand_return(worker, errand, true);
    if (is_left) give_up(worker, errand);
    int next = dispatch_timers(worker, is_quiet && errand == NULL);
    return errand != NULL ? 0 : next; /* until it finds none */
}

static bool on_create(struct worker *worker, const void *context) {
    (void)context;
    worker->is_aside = true;
    if (errands_open()) return true;
    log_write(LOG_WARNING, "Out of memory for the threads of long work");
    return false;
}

static bool on_begin(struct worker *worker) {
    if (dispatch_attach(worker, worker->keyspace)) return true;
    log_write(LOG_WARNING, "A thread of long work finds no seat at the keyspace");
    return false;
}

/* To the end of all workers, whose clients may still wait for answers. What isn't done by then goes back
 * undone: its asker is closed, like any other that hasn't been answered, and it is freed there. */
static void on_serve(struct worker *worker) {
    int milliseconds = 0;
    while (workers_stop_at() == 0 || (!workers_are_drained() && worker->now_monotonic < workers_stop_at()))
        milliseconds = turn(worker, milliseconds);
    worker_read_mail(worker);
    for (struct errand *errand; (errand = errand_any(worker)) != NULL;) give_up(worker, errand);
    dispatch_detach(worker);
}

static void on_free(struct worker *worker) {
    struct message *message;
    while ((message = mailbox_pop(&worker->mailbox))) (void)errand_lost(message);
    dispatch_free(worker);
    errands_close(); /* the first that is freed: nobody looks at them any more */
}

static const struct loop_handlers no_handlers = {.accepted = NULL}; /* its loop has no streams */

const struct worker_work long_work = {
    .handlers = &no_handlers,
    .create = on_create,
    .begin = on_begin,
    .serve = on_serve,
    .free = on_free,
};
