#include "task.h"

#include <assert.h>

void task_queue_append(struct task_queue *queue, struct task *task) {
#ifndef PLANT_TWICE_QUEUED
    assert(task->queue == NULL);
    task_queue_remove(task);
#endif
    task->queue = queue;
    task->queue_next = NULL;
    task->queue_previous = queue->last;
    if (queue->last != NULL)
        queue->last->queue_next = task;
    else
        queue->first = task;
    queue->last = task;
    queue->count++;
}

void task_queue_prepend(struct task_queue *queue, struct task *task) {
    assert(task->queue == NULL);
    task->queue = queue;
    task->queue_previous = NULL;
    task->queue_next = queue->first;
    if (queue->first != NULL)
        queue->first->queue_previous = task;
    else
        queue->last = task;
    queue->first = task;
    queue->count++;
}

void task_queue_remove(struct task *task) {
    struct task_queue *queue = task->queue;
    if (queue == NULL) return;
    assert(queue->count > 0);
    assert((task->queue_previous == NULL ? queue->first : task->queue_previous->queue_next) == task);
    assert((task->queue_next == NULL ? queue->last : task->queue_next->queue_previous) == task);
    if (task->queue_previous != NULL)
        task->queue_previous->queue_next = task->queue_next;
    else
        queue->first = task->queue_next;
    if (task->queue_next != NULL)
        task->queue_next->queue_previous = task->queue_previous;
    else
        queue->last = task->queue_previous;
    queue->count--;
    task->queue = NULL;
    task->queue_next = task->queue_previous = NULL;
}

struct task *task_queue_take(struct task_queue *queue) {
    struct task *first = queue->first;
    if (first != NULL) task_queue_remove(first);
    return first;
}

void task_park(struct task *task, enum park_reason reason) {
    assert(!task_is_parked(task) && reason != PARK_NONE);
    task->park_reason = reason;
}

void task_unpark(struct task *task) {
    task_queue_remove(task);
    task->park_reason = PARK_NONE;
}

void task_wake(struct task *task) {
    enum park_reason reason = task->park_reason;
    if (reason == PARK_NONE) return;
    task_unpark(task);
    task->functions->wake(task, reason);
}
