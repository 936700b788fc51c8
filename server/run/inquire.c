#include "inquire.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/config/config.h"
#include "server/worker/inquiry.h"
#include "under_way.h"

/* The last of its holders frees it, on whichever thread that is. */
static void inquiry_let_go(struct inquiry *inquiry) {
    if (atomic_fetch_sub(&inquiry->holders, 1) > 1) return;
    for (uint32_t i = 0; i < inquiry->workers; i++) reply_free(&inquiry->answers[i].text);
    for (uint32_t i = 0; i < inquiry->count; i++) free(inquiry->arguments[i].data);
    free(inquiry->arguments);
    free(inquiry);
}

void inquiry_leave(struct under_way *under_way) {
    struct inquiry *inquiry = under_way->inquiry;
    under_way->inquiry = NULL;
    inquiry->task = NULL;
    if (inquiry->is_complete) inquiry_let_go(inquiry);
}

/* On the origin: all have answered. */
static void inquiry_done(struct worker *worker, struct message *message) {
    struct inquiry *inquiry = (struct inquiry *)((char *)message - offsetof(struct inquiry, done));
    (void)worker;
    inquiry->is_complete = true;
    if (inquiry->task == NULL)
        inquiry_let_go(inquiry);
    else
        task_wake(inquiry->task);
}

void inquiries_end_unanswered(struct worker *worker) {
    for (struct task *task = worker->dispatcher->asking.first, *next; task != NULL; task = next) {
        struct under_way *under_way = task->under_way;
        next = task->queue_next;
        if (under_way->answers_until > worker->now_monotonic) continue;
        inquiry_leave(under_way);
        under_way->is_unanswered = true;
        task_wake(task);
    }
}

/* On each worker. */
static void inquiry_visit(struct worker *worker, struct message *message) {
    struct inquiry *inquiry =
        ((struct inquiry_answer *)((char *)message - offsetof(struct inquiry_answer, message)))->inquiry;
    inquiry->command->visit(worker, inquiry);
    if (worker->number >= inquiry->awaited) {
        inquiry_let_go(inquiry);
        return;
    }
    if (atomic_fetch_sub(&inquiry->pending, 1) > 1) return;
    workers_thaw();
    worker_send(inquiry->origin, &inquiry->done);
}

static struct inquiry *inquiry_create(const struct execution *execution) {
    bool is_everywhere = (execution->call.command->flags & COMMAND_EVERY_THREAD) != 0;
    uint32_t workers = worker_count() + (is_everywhere ? workers_aside_count() : 0);
    struct inquiry *inquiry = calloc(1, sizeof *inquiry + workers * sizeof inquiry->answers[0]);
    if (inquiry == NULL) return NULL;
    inquiry->arguments = calloc(execution->call.count, sizeof *inquiry->arguments);
    if (inquiry->arguments == NULL) {
        free(inquiry);
        return NULL;
    }
    inquiry->command = execution->call.command;
    inquiry->task = execution->task;
    inquiry->asker = execution->task->session.id;
    inquiry->asker_protocol = execution->call.protocol;
    inquiry->now = execution->call.now;
    inquiry->origin = execution->worker;
    inquiry->done.handle = inquiry_done;
    inquiry->workers = workers;
    inquiry->awaited = execution->call.command->tells_later ? worker_count() : workers;
    atomic_init(&inquiry->pending, inquiry->awaited);
    atomic_init(&inquiry->holders, 1);
    for (uint32_t i = 0; i < workers; i++) {
        inquiry->answers[i].inquiry = inquiry;
        inquiry->answers[i].message.handle = inquiry_visit;
        reply_init(&inquiry->answers[i].text, execution->call.protocol);
    }
    for (inquiry->count = 0; inquiry->count < execution->call.count; inquiry->count++) {
        const struct bulk *argument = &execution->call.arguments[inquiry->count];
        struct bulk *copy = &inquiry->arguments[inquiry->count];
        copy->data = malloc(argument->length + 1);
        if (copy->data == NULL) {
            inquiry_let_go(inquiry);
            return NULL;
        }
        memcpy(copy->data, argument->data, argument->length);
        copy->data[argument->length] = '\0';
        copy->length = argument->length;
    }
    return inquiry;
}

/* When the others have had their time. It begins now, however long this turn has been under way: what came
 * before, the command's own part of the work too, is none of theirs. */
static int64_t patience_end(const struct command *command) {
    int64_t patience = atomic_load_explicit(&config.busy_reply_threshold, memory_order_relaxed), end;
    bool has_none = patience == 0 || command->holds_at_once ||
                    __builtin_add_overflow(clock_monotonic_ms(), patience, &end);
    return has_none ? INT64_MAX : end;
}

enum outcome run_inquiry(struct execution *execution) {
    struct under_way *under_way = under_way_of(execution->task);
    struct inquiry *inquiry = under_way == NULL ? NULL : under_way->inquiry;
    if (inquiry != NULL && inquiry->is_complete) {
        execution->call.command->conclude(inquiry, &execution->call, execution->reply);
        under_way->inquiry = NULL;
        under_way_end(execution->task);
        inquiry_let_go(inquiry);
        return OUTCOME_DONE;
    }
    if (under_way != NULL && under_way->is_unanswered) {
        under_way_end(execution->task);
        reply_error(execution->reply,
                    "BUSY A worker runs a long command and has not answered yet. What it was "
                    "asked to do it does when it is free.");
        return OUTCOME_DONE;
    }
    if (execution->call.command->check != NULL &&
        !execution->call.command->check(&execution->call, execution->reply)) {
        if (under_way != NULL) under_way_end(execution->task);
        return OUTCOME_DONE;
    }
    /* Before anything is done: it must not be answered that there was no memory when it has been. */
    if (under_way != NULL) inquiry = inquiry_create(execution);
    if (inquiry == NULL) {
        if (under_way != NULL) under_way_end(execution->task);
        reply_error(execution->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
    if (execution->call.command->answer != NULL &&
        execution->call.command->answer(execution->worker, execution->task, &execution->call,
                                        execution->reply)) {
        under_way_end(execution->task);
        inquiry_let_go(inquiry);
        return OUTCOME_DONE;
    }
    under_way->inquiry = inquiry;
    under_way->answers_until = patience_end(execution->call.command);
    task_queue_append(&execution->dispatcher->asking, execution->task);
    task_park(execution->task, PARK_ON_ANSWERS);
    workers_freeze();
    atomic_store(&inquiry->holders, 1 + inquiry->workers - inquiry->awaited);
    for (uint32_t i = 0; i < inquiry->workers; i++) worker_send(worker_at(i), &inquiry->answers[i].message);
    return OUTCOME_PARKED;
}
