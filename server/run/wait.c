#include "wait.h"

#include <string.h>

#include "permit.h"
#include "under_way.h"

enum outcome wait_begin(struct execution *execution) {
    struct blocked_client *waiter = execution->blocked;
    blocking_wake();
    if (waiter == NULL) return OUTCOME_DONE;
    struct under_way *under_way = under_way_of(execution->task);
    bool is_fine = under_way != NULL &&
                   (waiter->deadline == INT64_MAX || deadline_add(&execution->dispatcher->deadlines, waiter));
    if (is_fine) {
        under_way->blocked = waiter;
        task_park(execution->task, PARK_ON_KEY);
        return OUTCOME_PARKED;
    }
    blocking_cancel(waiter, WAITER_REFUSED);
    blocking_end(&execution->dispatcher->ended_waits, waiter);
    if (under_way != NULL) under_way_end(execution->task);
    return execution_lacks_memory(execution);
}

void wait_end(struct worker *worker, struct under_way *under_way) {
    struct blocked_client *waiter = under_way->blocked;
    deadline_remove(&worker->dispatcher->deadlines, waiter);
    under_way->blocked = NULL;
    blocking_end(&worker->dispatcher->ended_waits, waiter);
}

bool wait_answer(struct execution *execution, struct under_way *under_way) {
    const struct blocked_client *waiter = under_way->blocked;
    if (waiter->is_answered && waiter->looks_again) {
        under_way->waits_again = true;
        under_way->deadline = waiter->deadline;
        wait_end(execution->worker, under_way);
        return users_are_on() && !is_permitted(execution); /* else it isn't answered yet */
    }
    if (waiter->is_answered && waiter->is_denied) {
        denial_reply(execution, &execution->call,
                     (struct denial){(enum verdict)waiter->verdict, waiter->denied_at}, execution->reply);
    } else if (waiter->is_answered) {
        reply_raw(execution->reply, waiter->reply.data, waiter->reply.length);
        execution->reply->error_count = waiter->reply.error_count;
        memcpy(execution->reply->error_code, waiter->reply.error_code, sizeof execution->reply->error_code);
        if (waiter->reply.is_broken) execution->reply->is_broken = true;
    } else if (waiter->end == WAITER_UNBLOCKED) {
        reply_error(execution->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
        reply_null_array(execution->reply);
    }
    wait_end(execution->worker, under_way);
    return true;
}

int64_t waits_end_overdue(struct worker *worker) {
    struct deadline_heap *heap = &worker->dispatcher->deadlines;
    while (heap->count > 0 && heap->waiters[0]->deadline <= worker->now_monotonic) {
        struct blocked_client *waiter = heap->waiters[0];
        deadline_remove(heap, waiter);
        if (blocking_cancel(waiter, WAITER_TIMED_OUT) && waiter->task != NULL) task_wake(waiter->task);
    }
    return heap->count == 0 ? INT64_MAX : heap->waiters[0]->deadline;
}
