#include "park.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "shard/keyspace.h"

/* A closer that was refused this often keeps the gate closed while it waits for the last one to leave. */
#define CLOSER_PATIENCE 16

enum wait_state {
    WAIT_NONE,
    WAIT_PARKED, /* the waiter is in a lot, or about to be */
    WAIT_WOKEN,  /* the message is on its way to the worker */
};

static struct lock_queue *queue_of_message(struct message *message) {
    return (struct lock_queue *)((char *)message - offsetof(struct lock_queue, message));
}

/* Any thread, under the lot's mutex. */
static struct bell *wake_queue(struct waiter *waiter) {
    struct lock_queue *queue = (struct lock_queue *)waiter;
    struct worker *worker = queue->worker;
    atomic_store_explicit(&queue->state, WAIT_WOKEN, memory_order_relaxed);
    return worker_push(worker, &queue->message) ? &worker->bell : NULL;
}

void wake_tasks(struct task_queue *queue) {
    for (struct task *task; (task = task_queue_take(queue)) != NULL;) task_wake(task);
}

static void queue_woken(struct worker *worker, struct message *message) {
    struct lock_queue *queue = queue_of_message(message);
    assert(queue->worker == worker);
    (void)worker;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    wake_tasks(&queue->tasks);
}

void lock_queue_init(struct lock_queue *queue, struct worker *worker) {
    *queue = (struct lock_queue){.waiter.wake = wake_queue, .message.handle = queue_woken, .worker = worker};
}

static struct lock_queue *shard_queue(struct worker *worker, uint32_t shard) {
    struct lock_queue **queue = &worker->dispatcher->shard_queues[shard];
    if (*queue != NULL) return *queue;
    *queue = malloc(sizeof **queue);
    if (*queue != NULL) lock_queue_init(*queue, worker);
    return *queue;
}

bool queue_is_waiting(const struct lock_queue *queue) {
    return atomic_load_explicit(&queue->state, memory_order_relaxed) != WAIT_NONE;
}

bool park_on_lock(struct worker *worker, struct task *task, struct rwlock *busy, bool is_exclusive) {
    struct lock_queue *queue = shard_queue(worker, keyspace_lock_number(worker->keyspace, busy));
    if (queue == NULL) return false; /* out of memory: spin, it's all there is left */
    if (!queue_is_waiting(queue)) {
        atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
        queue->waiter.is_exclusive = is_exclusive;
        if (!rwlock_park(busy, &queue->waiter)) {
            atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
            return false;
        }
    }
    task_queue_append(&queue->tasks, task);
    task_park(task, PARK_ON_SHARD);
    return true;
}

/* The worker is told when the gate opens. false if it is open already. */
static bool wait_at_gate(struct worker *worker) {
    struct lock_queue *queue = &worker->dispatcher->gate_queue;
    if (queue_is_waiting(queue)) return true;
    atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
    if (gate_park(worker->frame->lane, &queue->waiter)) return true;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    return false;
}

void park_at_gate(struct worker *worker, struct task *task) {
    task_queue_append(&worker->dispatcher->gate_queue.tasks, task);
    task_park(task, PARK_ON_GATE);
}

/* While a closer of our own waits, the gate may be closed by this very worker: then the closer's end wakes
 * the task that queues here, and the waiter is the closer's. */
bool enter_gate(struct worker *worker) {
    if (worker->dispatcher->closer != NULL) return false;
    /* It is known to be closed: trying in vain would only hold up the closer. */
    if (queue_is_waiting(&worker->dispatcher->gate_queue) && gate_is_closed(worker->frame->lane))
        return false;
    do {
        if (lane_enter(worker->frame->lane)) return true;
    } while (!wait_at_gate(worker));
    return false;
}

bool wait_until_unwanted(struct worker *worker) {
    struct lock_queue *queue = &worker->dispatcher->gate_queue;
    if (queue_is_waiting(queue)) return true;
    atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
    if (gate_park_unwanted(worker->frame->lane, &queue->waiter)) return true;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    return false;
}

bool enter_or_park(struct worker *worker, struct task *task) {
    if (lane_is_inside(worker->lane) || enter_gate(worker)) return true;
    park_at_gate(worker, task);
    return false;
}

/* ------------------------------------------------------------------ closing the gate */

void closer_end(struct worker *worker, struct task *task) {
    task->is_closer = false;
    if (worker->dispatcher->closer != task) return;
    worker->dispatcher->closer = NULL;
    if (!queue_is_waiting(&worker->dispatcher->gate_queue)) wake_tasks(&worker->dispatcher->gate_queue.tasks);
}

void closer_give_up(struct worker *worker, struct task *task) {
    if (!task->is_closer) return;
    gate_abandon(worker->frame->lane); /* others of this worker that want it are woken, and want it again */
    closer_end(worker, task);
}

/* This worker's part of keeping the gate closed: nothing else of it enters meanwhile. */
static void note_who_keeps_the_gate(struct worker *worker, struct task *task) {
    bool is_kept = gate_is_kept(worker->frame->lane);
    if (is_kept == (worker->dispatcher->closer != NULL)) return;
    worker->dispatcher->closer = is_kept ? task : NULL;
    if (!is_kept) wake_tasks(&worker->dispatcher->gate_queue.tasks);
}

bool close_gate(struct worker *worker, struct task *task) {
    struct lane *lane = worker->frame->lane;
    struct lock_queue *queue = &worker->dispatcher->gate_queue;
    if (lane_is_inside(lane)) lane_leave(lane);
    for (;;) {
        /* While the waiter is in use, or its wake-up on the way, the request just queues for that. */
        bool insists = task->refusals >= CLOSER_PATIENCE, is_parked = true;
        if (!queue_is_waiting(queue)) {
            atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
            if (gate_try_close(lane, insists, &queue->waiter, &is_parked)) {
                atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
                return true;
            }
            if (!is_parked) atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
        }
        task->refusals++;
        if (!is_parked) continue;
        task->is_closer = true;
        note_who_keeps_the_gate(worker, task);
        park_at_gate(worker, task);
        return false;
    }
}

void open_gate(struct worker *worker, struct task *task) {
    gate_open(worker->frame->lane);
    closer_end(worker, task);
}
