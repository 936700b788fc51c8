/* Dispatch in one page:
 *
 *     find the row -> may it run now? -> find the keys -> take what the row's function needs -> call it ->
 *         give it back -> count
 *
 * "Take" is a try. A connection whose shard is busy stands in its worker's queue for that lock, and the
 * queue, not each connection, is parked in the lock's lot: one release, one message to each worker that
 * waits, however many connections wait there. */
#include "dispatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "shard/store/usage.h"
#include "shard/scope/scope_take.h"
#include "shard/value/value.h"
#include "server/interest/blocking.h"
#include "server/base/clock.h"
#include "server/command/command_table.h"
#include "server/config/config.h"
#include "server/worker/inquiry.h"
#include "server/observe/latency.h"
#include "server/observe/rates.h"
#include "limit.h"
#include "server/base/log.h"
#include "server/broadcast/monitor.h"
#include "server/base/process.h"
#include "server/observe/slowlog.h"
#include "server/observe/statistics.h"

/* After this many refusals in a row a request takes the gate, which nobody can keep it out of for ever. */
#define REFUSALS_MOST 64
/* A closer that was refused this often keeps the gate closed while it waits for the last one to leave. */
#define CLOSER_PATIENCE 16
/* While somebody waits for the gate, what may take long is let begin if it goes over no more elements than
 * this. */
#define SHORT_ELEMENTS 4096
/* So many bytes of a string are as much work as an element. */
#define ELEMENT_BYTES 16
/* How often the limit on memory is adapted to what clients and the process use, while there is one. */
#define LIMIT_MS 10
/* Bytes retired that are not left to wait for a timer when there is a limit. */
#define RECLAIM_BYTES 65536
/* Retired objects that wait for the end of a turn to be freed; fewer wait for the next timer. */
#define RECLAIM_AT 64
/* Who waits for memory tries again each turn so often, and then each millisecond: what it waits for may be
 * others' for long. */
#define MEMORY_WAKES_MOST 16
/* Bytes of values that a command discards, above which its client waits for them if others have discarded
 * much as well. */
#define DISCARDED_MUCH 65536
/* Expiry: a slice per tick; while there is more to do than fits, a slice every few milliseconds. */
#define EXPIRY_SLICE_US 1000
#define EXPIRY_BUSY_MS 4
/* With nothing else to do, slices follow upon each other, and are what a request that comes meanwhile may
 * have to wait for. */
#define EXPIRY_IDLE_SLICE_US 100

/* Keys of one request that a worker has room for all the time; for a request that has more, it is given back
 * at the end of the turn. */
#define KEYS_KEPT 256

/* Keys that are fetched ahead across connections. */
#define AHEAD_KEYS 64

/* Short commands of a batch that are timed together: reading the clock takes as long as a good part of one.
 * What takes less than the second can be told from its neighbours. */
#define CLOCK_SHARERS 16
#define CLOCK_SHARED_LEAST_US 1000

/* ------------------------------------------------------------------ waiting */

enum wait_state {
    WAIT_NONE,
    WAIT_PARKED, /* the waiter is in a lot, or about to be */
    WAIT_WOKEN,  /* the message is on its way to the worker */
};

/* The tasks of one worker that wait for one lock (or the gate). */
struct lock_queue {
    struct waiter waiter;   /* first: a waiter is cast back */
    struct message message; /* carries the wake-up */
    struct worker *worker;
    struct task_queue tasks;
    _Atomic int state; /* enum wait_state */
};

struct dispatcher {
    struct keyspace *keyspace;
    struct lane *lane;
    struct statistics *statistics;
    struct lock_queue gate_queue;
    struct lock_queue **shard_queues; /* by shard number; made on first use */
    struct task *closer;              /* keeps the gate closed while it waits; NULL: nobody */
    struct shard_set shards;          /* of the request at hand, once it takes them */
    struct look look;                 /* what it looks at without */
    struct key *keys;
    uint32_t *positions;
    uint32_t key_capacity;
    struct key ahead[AHEAD_KEYS]; /* of requests of this turn that have not begun */
    uint32_t ahead_count;
    struct shard_set more;          /* that waiters need besides */
    struct deadline_heap deadlines; /* of this worker's waiters */
    struct ended_waits ended_waits;
    struct task_queue paused;
    struct task_queue asking;    /* who waits for other workers' answers */
    struct task_queue congested; /* writes that wait until enough of what was retired is freed */
    uint32_t memory_wakes;       /* of those since somebody has been waiting without a break, */
    int64_t memory_woken;        /* and the last of them, monotonic ms */
    int64_t paused_until;        /* monotonic ms */
    bool pauses_only_writes;
    uint64_t boundary; /* cycles at the end of the last command that was timed */
    const struct task *boundary_task;
    uint32_t untimed;                      /* commands of that task since then, */
    const struct command *untimed_command; /* all of one kind */
    int64_t next_tick, next_expiry, next_limit;
    bool is_above_limit; /* or eviction has other work left */
};

/* What a task's request keeps from one dispatch to the next. */
struct under_way {
    struct inquiry *inquiry;        /* or */
    int64_t answers_until;          /* monotonic ms */
    bool is_unanswered;             /* the inquiry goes on without it */
    struct blocked_client *blocked; /* or */
    int64_t deadline;               /* of a wait that begins again; monotonic ms */
    bool waits_again;
    struct walk walk;
    bool is_walking;
    struct shard_set found; /* shards of keys that a command with COMMAND_FINDS has found */
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

static void wake_tasks(struct task_queue *queue) {
    for (struct task *task; (task = task_queue_take(queue)) != NULL;) task_wake(task);
}

static void queue_woken(struct worker *worker, struct message *message) {
    struct lock_queue *queue = queue_of_message(message);
    assert(queue->worker == worker);
    (void)worker;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    wake_tasks(&queue->tasks);
}

static void lock_queue_init(struct lock_queue *queue, struct worker *worker) {
    *queue = (struct lock_queue){.waiter.wake = wake_queue, .message.handle = queue_woken, .worker = worker};
}

static struct lock_queue *shard_queue(struct dispatcher *dispatcher, struct worker *worker, uint32_t shard) {
    struct lock_queue **queue = &dispatcher->shard_queues[shard];
    if (*queue != NULL) return *queue;
    *queue = malloc(sizeof **queue);
    if (*queue != NULL) lock_queue_init(*queue, worker);
    return *queue;
}

static bool queue_is_waiting(const struct lock_queue *queue) {
    return atomic_load_explicit(&queue->state, memory_order_relaxed) != WAIT_NONE;
}

/* Parks the task until the lock is released. false if it has been released already: try again. */
static bool park_on_lock(struct worker *worker, struct task *task, struct rwlock *busy, bool is_exclusive) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct lock_queue *queue =
        shard_queue(dispatcher, worker, keyspace_lock_number(dispatcher->keyspace, busy));
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
static bool wait_at_gate(struct dispatcher *dispatcher) {
    struct lock_queue *queue = &dispatcher->gate_queue;
    if (queue_is_waiting(queue)) return true;
    atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
    if (gate_park(dispatcher->lane, &queue->waiter)) return true;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    return false;
}

static void park_at_gate(struct dispatcher *dispatcher, struct task *task) {
    task_queue_append(&dispatcher->gate_queue.tasks, task);
    task_park(task, PARK_ON_GATE);
}

/* Enters the gate. false: it is closed, and the worker will be told when it opens. While a closer of our own
 * waits, the gate may be closed by this very worker: then the closer's end wakes who queues here, and the
 * waiter is the closer's. */
static bool enter(struct dispatcher *dispatcher) {
    if (dispatcher->closer != NULL) return false;
    /* It is known to be closed: trying in vain would only hold up who waits for everybody to be out. */
    if (queue_is_waiting(&dispatcher->gate_queue) && gate_is_closed(dispatcher->lane)) return false;
    do {
        if (lane_enter(dispatcher->lane)) return true;
    } while (!wait_at_gate(dispatcher));
    return false;
}

/* The same until nobody wants to close the gate. */
static bool wait_until_unwanted(struct dispatcher *dispatcher) {
    struct lock_queue *queue = &dispatcher->gate_queue;
    if (queue_is_waiting(queue)) return true;
    atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
    if (gate_park_unwanted(dispatcher->lane, &queue->waiter)) return true;
    atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
    return false;
}

/* Inside, or parked until that is possible. */
static bool enter_or_park(struct worker *worker, struct task *task) {
    if (lane_is_inside(worker->lane) || enter(worker->dispatcher)) return true;
    park_at_gate(worker->dispatcher, task);
    return false;
}

/* The closer is done, or gone: the others of this worker may try again. */
static void closer_end(struct dispatcher *dispatcher, struct task *task) {
    task->is_closer = false;
    if (dispatcher->closer != task) return;
    dispatcher->closer = NULL;
    if (!queue_is_waiting(&dispatcher->gate_queue)) wake_tasks(&dispatcher->gate_queue.tasks);
}

/* It has not got what it waited for, and doesn't any more. */
static void closer_give_up(struct dispatcher *dispatcher, struct task *task) {
    if (!task->is_closer) return;
    gate_abandon(dispatcher->lane); /* others of this worker that want it are woken, and want it again */
    closer_end(dispatcher, task);
}

/* ------------------------------------------------------------------ a worker's life */

bool dispatch_attach(struct worker *worker, struct keyspace *keyspace) {
    struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);
    if (dispatcher == NULL) return false;
    dispatcher->keyspace = keyspace;
    dispatcher->lane = worker->lane = lane_attach(keyspace);
    dispatcher->statistics = statistics_attach(worker->number);
    dispatcher->shard_queues = calloc(keyspace_shard_count(keyspace), sizeof(struct lock_queue *));
    shard_set_init(&dispatcher->shards);
    shard_set_init(&dispatcher->more);
    lock_queue_init(&dispatcher->gate_queue, worker);
    worker->dispatcher = dispatcher;
    if (dispatcher->lane != NULL && dispatcher->statistics != NULL && dispatcher->shard_queues != NULL)
        return true;
    dispatch_detach(worker);
    return false;
}

static void forget_keys(struct dispatcher *dispatcher) {
    free(dispatcher->keys);
    free(dispatcher->positions);
    dispatcher->keys = NULL;
    dispatcher->positions = NULL;
    dispatcher->key_capacity = 0;
}

/* The worker has closed its connections, so that the queues are empty; but locks may still know of them. And
 * the wake-up of one that was released just now is in the mailbox, or comes there any moment: so the queues
 * stay in memory until nobody sends anything any more. */
void dispatch_detach(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    if (dispatcher->shard_queues != NULL)
        for (uint32_t i = 0; i < keyspace_shard_count(dispatcher->keyspace); i++)
            if (dispatcher->shard_queues[i] != NULL)
                rwlock_unpark(keyspace_lock(dispatcher->keyspace, i), &dispatcher->shard_queues[i]->waiter);
    if (dispatcher->lane != NULL) {
        gate_unpark(dispatcher->lane, &dispatcher->gate_queue.waiter);
        lane_detach(dispatcher->lane);
    }
#ifdef PLANT_FREED_QUEUE
    dispatch_free(worker);
#endif
    worker->lane = NULL;
}

void dispatch_free(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    if (dispatcher == NULL) return;
    for (uint32_t i = 0; dispatcher->shard_queues != NULL && i < keyspace_shard_count(dispatcher->keyspace);
         i++)
        free(dispatcher->shard_queues[i]);
    free(dispatcher->shard_queues);
    shard_set_free(&dispatcher->shards);
    shard_set_free(&dispatcher->more);
    free(dispatcher->deadlines.waiters);
    blocking_abandon(&dispatcher->ended_waits);
    forget_keys(dispatcher);
    free(dispatcher);
    worker->dispatcher = NULL;
}

void dispatch_enter(struct worker *worker) {
    worker->dispatcher->boundary_task = NULL; /* the wait was nobody's */
    usage_clock(worker->lane, worker->now, worker->now_monotonic);
    (void)enter(worker->dispatcher);
}

void dispatch_leave(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    if (dispatcher->key_capacity > KEYS_KEPT) forget_keys(dispatcher);
    if (lane_is_inside(dispatcher->lane)) lane_leave(dispatcher->lane);
    if (dispatcher->lane->retired_count >= RECLAIM_AT || dispatcher->lane->ring_bytes >= RECLAIM_BYTES ||
        lane_has_surplus(dispatcher->lane))
        lane_reclaim(dispatcher->lane);
}

void dispatch_yield(struct worker *worker) {
    if (!lane_is_watched(worker->lane)) {
        if (lane_is_inside(worker->lane)) lane_refresh(worker->lane);
        return;
    }
    lane_leave(worker->lane);
    dispatch_enter(worker);
}

/* ------------------------------------------------------------------ one execution */

/* A request on its way through dispatch. */
struct run {
    struct worker *worker;
    struct dispatcher *dispatcher;
    struct task *task;
    struct call call;
    struct reply *reply;
    const struct prepared *prepared; /* NULL: nothing is known yet */
    struct key key;                  /* the one key, if that was prepared */
    struct blocked_client *blocked;  /* the command waits for a key */
    struct further further;          /* if the row has COMMAND_FINDS */
    bool is_rejected;                /* for want of memory, before it ran */
};

static void run_read_scope(struct run *run, struct read_scope *scope) {
    scope->scope.counts_access = !run->call.session->is_no_touch;
    run->call.command->read(scope, &run->call, run->reply);
}

/* And, before the shards are let go: whoever waits for what the command has filled is served, and if it waits
 * itself, is registered. */
static void run_write_scope(struct run *run, struct write_scope *scope) {
    struct block block = {.wants = false};
    scope->scope.counts_access = !run->call.session->is_no_touch;
    assert(run->call.command->write != NULL);
    run->call.block = &block;
    size_t discarded = run->dispatcher->lane->discarded_bytes;
    run->call.command->write(scope, &run->call, run->reply);
    run->task->has_discarded = run->dispatcher->lane->discarded_bytes > discarded + DISCARDED_MUCH;
    run->call.block = NULL;
    if (blocking_is_on()) blocking_serve(scope, scope->scope.held == NULL ? NULL : &run->dispatcher->shards);
    if (!block.wants) return;
    run->blocked = blocking_register(run->worker, run->task, scope, &run->call, &block);
    const struct under_way *under_way = run->task->under_way;
    if (run->blocked == NULL)
        reply_error(run->reply, ERROR_NO_MEMORY);
    else if (under_way != NULL && under_way->waits_again)
        run->blocked->deadline = under_way->deadline;
    else if (block.timeout > 0)
        run->blocked->deadline = run->worker->now_monotonic + block.timeout + 1; /* not a moment too early */
}

static struct under_way *under_way_of(struct task *task) {
    if (task->under_way != NULL) return task->under_way;
    struct under_way *under_way = calloc(1, sizeof(struct under_way));
    if (under_way != NULL) shard_set_init(&under_way->found);
    return task->under_way = under_way;
}

static void under_way_end(struct task *task) {
    struct under_way *under_way = task->under_way;
    if (under_way->is_walking) reply_free(&under_way->walk.items);
    shard_set_free(&under_way->found);
    free(under_way);
    task->under_way = NULL;
}

/* The scope has ended. Workers whose clients got something are woken; and if the command itself waits, its
 * connection is parked until somebody has filled a key, time is up, or it is unblocked. */
static enum outcome wait_for_key(struct run *run) {
    struct blocked_client *waiter = run->blocked;
    blocking_wake();
    if (waiter == NULL) return OUTCOME_DONE;
    struct under_way *under_way = under_way_of(run->task);
    bool is_fine = under_way != NULL &&
                   (waiter->deadline == INT64_MAX || deadline_add(&run->dispatcher->deadlines, waiter));
    if (is_fine) {
        under_way->blocked = waiter;
        task_park(run->task, PARK_ON_KEY);
        return OUTCOME_PARKED;
    }
    blocking_cancel(waiter, WAITER_REFUSED);
    blocking_end(&run->dispatcher->ended_waits, waiter);
    if (under_way != NULL) under_way_end(run->task);
    reply_error(run->reply, ERROR_NO_MEMORY);
    return OUTCOME_DONE;
}

static void waiter_end(struct worker *worker, struct under_way *under_way) {
    struct blocked_client *waiter = under_way->blocked;
    deadline_remove(&worker->dispatcher->deadlines, waiter);
    under_way->blocked = NULL;
    blocking_end(&worker->dispatcher->ended_waits, waiter);
}

/* What it waited for has come, or will not. false: it has come, but is to be fetched by running the command
 * again. */
static bool answer_waiter(struct run *run, struct under_way *under_way) {
    const struct blocked_client *waiter = under_way->blocked;
    if (waiter->is_answered && waiter->looks_again) {
        under_way->waits_again = true;
        under_way->deadline = waiter->deadline;
        waiter_end(run->worker, under_way);
        return false;
    }
    if (waiter->is_answered) {
        reply_raw(run->reply, waiter->reply.data, waiter->reply.length);
        run->reply->error_count = waiter->reply.error_count;
        memcpy(run->reply->error_code, waiter->reply.error_code, sizeof run->reply->error_code);
        if (waiter->reply.is_broken) run->reply->is_broken = true;
    } else if (waiter->end == WAITER_UNBLOCKED) {
        reply_error(run->reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
        reply_null_array(run->reply);
    }
    waiter_end(run->worker, under_way);
    return true;
}

bool dispatch_unblock(struct task *task, bool is_error) {
    const struct under_way *under_way = task->under_way;
    if (under_way == NULL || under_way->blocked == NULL) return false;
    if (!blocking_cancel(under_way->blocked, is_error ? WAITER_UNBLOCKED : WAITER_TIMED_OUT)) return false;
    task_wake(task);
    return true;
}

static int64_t end_overdue(struct worker *worker) {
    struct deadline_heap *heap = &worker->dispatcher->deadlines;
    while (heap->count > 0 && heap->waiters[0]->deadline <= worker->now_monotonic) {
        struct blocked_client *waiter = heap->waiters[0];
        deadline_remove(heap, waiter);
        if (blocking_cancel(waiter, WAITER_TIMED_OUT) && waiter->task != NULL) task_wake(waiter->task);
    }
    return heap->count == 0 ? INT64_MAX : heap->waiters[0]->deadline;
}

/* This worker's part of keeping the gate closed: nothing else of it enters meanwhile. */
static void note_who_keeps_the_gate(struct dispatcher *dispatcher, struct task *task) {
    bool is_kept = gate_is_kept(dispatcher->lane);
    if (is_kept == (dispatcher->closer != NULL)) return;
    dispatcher->closer = is_kept ? task : NULL;
    if (!is_kept) wake_tasks(&dispatcher->gate_queue.tasks);
}

/* The gate is closed when it returns true. If not, the request is parked until there may be a chance. */
static bool close_gate(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct lane *lane = dispatcher->lane;
    struct lock_queue *queue = &dispatcher->gate_queue;
    if (lane_is_inside(lane)) lane_leave(lane);
    for (;;) {
        /* While the waiter is in use, or its wake-up on the way, the request just queues for that. */
        bool insists = run->task->refusals >= CLOSER_PATIENCE, is_parked = true;
        if (!queue_is_waiting(queue)) {
            atomic_store_explicit(&queue->state, WAIT_PARKED, memory_order_relaxed);
            if (gate_try_close(lane, insists, &queue->waiter, &is_parked)) {
                atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
                return true;
            }
            if (!is_parked) atomic_store_explicit(&queue->state, WAIT_NONE, memory_order_relaxed);
        }
        run->task->refusals++;
        if (!is_parked) continue;
        run->task->is_closer = true;
        note_who_keeps_the_gate(dispatcher, run->task);
        park_at_gate(dispatcher, run->task);
        return false;
    }
}

static void open_gate(struct run *run) {
    gate_open(run->dispatcher->lane);
    closer_end(run->dispatcher, run->task);
}

static __attribute__((noinline)) bool further_conclude(struct run *run, size_t mark);

static inline bool further_end(struct run *run, size_t mark) {
    return run->call.further == NULL || further_conclude(run, mark);
}

/* With every shard, by the gate. */
static enum outcome run_with_all(struct run *run) {
    struct lane *lane = run->dispatcher->lane;
    if (run->call.command->read != NULL) {
        struct read_scope scope;
        scope_all_read(&scope, lane, run->call.now);
        run_read_scope(run, &scope);
        scope_end_read(&scope);
    } else {
        struct write_scope scope;
        scope_all(&scope, lane, run->call.now);
        run_write_scope(run, &scope);
        scope_end_write(&scope);
    }
    open_gate(run);
    (void)further_end(run, 0); /* with every shard it wants no more */
    return wait_for_key(run);
}

/* Most reads need no lock: they look, and look whether they have seen one moment. What they answered is taken
 * back if not. */
static bool run_without_lock(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct read_scope scope;
    if ((run->call.command->flags & COMMAND_OPTIMISTIC) == 0 || run->call.key_count > LOOK_SHARDS)
        return false;
    size_t mark = reply_mark(run->reply);
    scope_look(&scope, dispatcher->lane, &dispatcher->look, run->call.now);
    dispatcher->look.is_long = (run->call.command->flags & COMMAND_LONG) != 0;
    run_read_scope(run, &scope);
    if (scope_end_look(&scope)) return true;
    reply_truncate(run->reply, mark);
    reply_errors_clear(run->reply);
    return false;
}

static inline __attribute__((always_inline)) bool find_shards(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    shard_set_clear(&dispatcher->shards);
    for (uint32_t i = 0; i < run->call.key_count; i++)
        if (!shard_set_add(&dispatcher->shards,
                           keyspace_shard_of(dispatcher->keyspace, run->call.keys[i].hash)))
            return false;
    const struct under_way *under_way = run->call.further == NULL ? NULL : run->task->under_way;
    for (uint32_t i = 0; under_way != NULL && i < under_way->found.count; i++)
        if (!shard_set_add(&dispatcher->shards, under_way->found.numbers[i])) return false;
    return true;
}

/* Before a command that may ask for something further. false when out of memory. */
static bool further_begin(struct run *run) {
    if ((run->call.command->flags & COMMAND_FINDS) == 0) return true;
    struct under_way *under_way = under_way_of(run->task);
    if (under_way == NULL) return false;
    run->further = (struct further){.shards = &under_way->found};
    run->call.further = &run->further;
    return true;
}

/* Behind it, when its scope has ended: does what it has asked for. false: it is to be run again, with the
 * shards that it has found. */
static bool further_conclude(struct run *run, size_t mark) {
    struct further *further = run->call.further;
    if (further->wants_shards) {
        further->wants_shards = false;
        reply_truncate(run->reply, mark);
        reply_errors_clear(run->reply);
        return false;
    }
    if (further->finish != NULL) {
        if (lane_is_inside(run->dispatcher->lane))
            lane_leave(run->dispatcher->lane); /* nobody need wait for the rest */
        further->finish(further->context, &run->call, run->reply);
    }
    under_way_end(run->task);
    return true;
}

/* A write may retire what it replaces. Where that can't be freed for long, since somebody else stays inside,
 * it waits: what waits to be freed is bounded. */
static bool must_not_retire(const struct run *run) {
    const struct lane *lane = run->dispatcher->lane;
    return lane_is_congested(lane) || (run->task->has_discarded && lane_is_littered(lane));
}

static bool may_retire(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    if (!must_not_retire(run)) return true;
    if (lane_is_inside(dispatcher->lane)) lane_leave(dispatcher->lane);
    lane_reclaim(dispatcher->lane);
    if (!must_not_retire(run)) return true;
    task_queue_append(&dispatcher->congested, run->task);
    task_park(run->task, PARK_ON_MEMORY);
    return false;
}

/* Room for what the arguments may become: their bytes, and an entry around each. Large ones were made room
 * for when they came in. */
static size_t room_needed(const struct call *call) {
    size_t bytes = 0;
    for (uint32_t i = 1; i < call->count; i++)
        if (call->arguments[i].owner == NULL) bytes += entry_room_for(call->arguments[i].length);
    return bytes;
}

/* Before its first lock a command that needs memory makes room for it. Replies Redis's error if there is
 * nothing left to let go. */
static __attribute__((noinline)) enum outcome let_go(struct run *run, size_t bytes, bool *is_made) {
    struct dispatcher *dispatcher = run->dispatcher;
    for (int tries = 0; !*is_made; tries++) {
        if (!enter_or_park(run->worker, run->task)) return OUTCOME_PARKED;
        enum room room = eviction_make_room(dispatcher->lane, bytes, run->call.now);
        *is_made = room == ROOM_MADE;
        if (room == ROOM_NONE) {
            reply_error(run->reply, ERROR_OUT_OF_MEMORY);
            run->is_rejected = true;
            return OUTCOME_DONE;
        }
        if (room != ROOM_LATER) continue;
        lane_leave(dispatcher->lane);
        lane_reclaim(dispatcher->lane);
        if (tries == 0) continue;
        task_queue_append(&dispatcher->congested, run->task);
        task_park(run->task, PARK_ON_MEMORY);
        return OUTCOME_PARKED;
    }
    return OUTCOME_DONE;
}

static inline enum outcome make_room(struct run *run, size_t bytes, bool *is_made) {
    *is_made = eviction_has_room(run->dispatcher->lane, bytes);
    return *is_made ? OUTCOME_DONE : let_go(run, bytes, is_made);
}

/* Then nothing expires or is evicted either, so that the data stays as it is. */
static bool is_pausing(const struct dispatcher *dispatcher, int64_t now) {
    return dispatcher->paused_until > now;
}

void dispatch_make_room(struct worker *worker, size_t bytes) {
    struct lane *lane = worker->lane;
    if (is_pausing(worker->dispatcher, worker->now_monotonic)) return;
    /* Twice: what the first try lets go can be freed once the lane has left. What then runs enters by itself
     * if the gate has been closed meanwhile. */
    for (int tries = 0; tries < 2 && !eviction_has_room(lane, bytes) && lane_is_inside(lane); tries++) {
        if (eviction_make_room(lane, bytes, worker->now) != ROOM_LATER) return;
        lane_leave(lane);
        lane_reclaim(lane);
        (void)enter(worker->dispatcher);
    }
}

/* A DEL of a million keys takes as long as any. */
static bool is_long(const struct run *run) {
    return (run->call.command->flags & COMMAND_LONG) != 0 || run->call.key_count > SHORT_ELEMENTS;
}

static bool is_small(const struct run *run, const struct scope *held) {
    const struct read_scope scope = {*held};
    uint64_t elements = run->call.count;
    for (uint32_t i = 0; i < run->call.key_count && elements <= SHORT_ELEMENTS; i++) {
        const struct entry *entry = scope_peek(&scope, &run->call.keys[i]);
        struct string_view view;
        if (entry == NULL) continue;
        if (entry_type(entry) == TYPE_STRING) {
            entry_string(entry, &view);
            elements += view.length / ELEMENT_BYTES;
        } else {
            elements += value_kind(entry_type(entry))->count(entry_value(entry));
        }
    }
    return elements <= SHORT_ELEMENTS;
}

enum beginning {
    BEGINS,
    BEGINS_AGAIN /* with the shards given back */,
    BEGINS_LATER /* likewise, when nobody wants the gate */
};

/* What takes long holds its shards and nothing else: what others retire meanwhile need not wait for it, nor
 * must anybody wait for the gate with it, so that it begins only when the gate isn't wanted. */
static __attribute__((noinline)) enum beginning begin_long(const struct run *run, const struct scope *held) {
    struct lane *lane = run->dispatcher->lane;
    if (gate_is_wanted(lane)) return is_small(run, held) ? BEGINS : BEGINS_LATER;
    lane_hold_still(lane);
    return gate_is_wanted(lane) ? BEGINS_AGAIN : BEGINS;
}

static inline enum beginning begin(const struct run *run, const struct scope *held) {
    return is_long(run) ? begin_long(run, held) : BEGINS;
}

/* Parked, or it is to begin at once. Who has to wait too often takes the gate itself, so that those who want
 * it can't keep it out for ever. And where the gate is wanted by another client of this worker, which is
 * about to try again, that one must not be made to wait for this one's waiter: so this one just goes behind
 * it. */
static bool begins_later(struct run *run, enum beginning beginning) {
    struct dispatcher *dispatcher = run->dispatcher;
    lane_refresh(dispatcher->lane);
    if (beginning == BEGINS_AGAIN) return false;
    run->task->refusals++;
    lane_leave(dispatcher->lane);
    bool goes_behind = dispatcher->lane->wants_gate && !queue_is_waiting(&dispatcher->gate_queue);
    if (!goes_behind && !wait_until_unwanted(dispatcher)) return !enter_or_park(run->worker, run->task);
    park_at_gate(dispatcher, run->task);
    if (goes_behind) task_wake(run->task);
    return true;
}

/* The function itself. */
static void run_locked_read(struct run *run, struct read_scope *scope) {
    run_read_scope(run, scope);
    scope_end_read(scope);
    if (is_long(run)) lane_refresh(run->dispatcher->lane);
}

static void run_locked_write(struct run *run, struct write_scope *scope) {
    run_write_scope(run, scope);
    scope_end_write(scope);
    if (is_long(run)) lane_refresh(run->dispatcher->lane);
}

/* Whoever waits for one of these keys may need further shards to be served (BLMOVE's destination): they are
 * taken along. */
static bool foresees_more(const struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    shard_set_clear(&dispatcher->more);
    return blocking_foresee(&run->call, &dispatcher->shards, &dispatcher->more);
}

/* false when out of memory: then there will be an attempt to take them when they are needed. */
static bool take_more(struct dispatcher *dispatcher) {
    for (uint32_t i = 0; i < dispatcher->more.count; i++)
        if (!shard_set_add(&dispatcher->shards, dispatcher->more.numbers[i])) return false;
    return true;
}

static bool wants_all(const struct run *run) {
    return (run->call.command->flags & COMMAND_ALL_SHARDS) != 0;
}

/* Takes shards that are all free. */
static bool take_free_for_write(struct run *run, struct write_scope *scope) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct rwlock *busy;
    bool may_foresee = true;
    while (scope_try_write(scope, dispatcher->lane, &dispatcher->shards, run->call.now, &busy)) {
        if (!blocking_is_on() || !may_foresee || !foresees_more(run)) return true;
        scope_end_write(scope);
        may_foresee = take_more(dispatcher);
    }
    assert(false && "nobody holds a shard outside of the gate");
    return false;
}

static bool take_free_for_read(struct run *run, struct read_scope *scope) {
    struct rwlock *busy;
    bool is_taken =
        scope_try_read(scope, run->dispatcher->lane, &run->dispatcher->shards, run->call.now, &busy);
    assert(is_taken && "nobody holds a shard outside of the gate");
    return is_taken;
}

/* Who was refused too often has closed the gate. It takes its shards, which all are free, and lets the others
 * in again before it runs. */
static enum outcome run_through_gate(struct run *run, bool *is_again) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct read_scope read_scope;
    struct write_scope write_scope;
    bool is_write = run->call.command->write != NULL;
    gate_enter_closed(dispatcher->lane);
    if (!find_shards(run) ||
        !(is_write ? take_free_for_write(run, &write_scope) : take_free_for_read(run, &read_scope))) {
        lane_leave(dispatcher->lane);
        return run_with_all(run);
    }
    /* Before others come in, who might want the gate: it is this one's turn. */
    if (is_long(run)) lane_hold_still(dispatcher->lane);
    open_gate(run);
    size_t mark = reply_mark(run->reply);
    if (is_write)
        run_locked_write(run, &write_scope);
    else
        run_locked_read(run, &read_scope);
    *is_again = !further_end(run, mark);
    return *is_again ? OUTCOME_DONE : wait_for_key(run);
}

/* is_again: it is to be run with its keys' shards and with those that it has found meanwhile. */
static enum outcome run_with_gate(struct run *run, bool *is_again) {
    *is_again = false;
    if (!further_begin(run)) {
        reply_error(run->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
    if (!close_gate(run)) return OUTCOME_PARKED;
    return wants_all(run) ? run_with_all(run) : run_through_gate(run, is_again);
}

/* With the shards that have a table of the database, however few they are: none, if it is empty. Where they
 * are many, closing the gate is less work than trying each. */
static enum outcome run_with_database(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct shard_set *shards = &dispatcher->shards, *more = &dispatcher->more;
    struct write_scope scope;
    bool is_again;
    if (!enter_or_park(run->worker, run->task)) return OUTCOME_PARKED;
    shard_set_clear(shards);
    for (bool is_held = false;;) {
        struct rwlock *busy;
        shard_set_clear(more);
        uint32_t missing = keyspace_find_tables(dispatcher->keyspace, run->call.database, shards, more);
        if (is_held && missing == 0) break;
        if (is_held) scope_end_write(&scope);
        if (more->count < missing || !take_more(dispatcher)) {
            reply_error(run->reply, ERROR_NO_MEMORY);
            return OUTCOME_DONE;
        }
        bool is_much = shards->count > keyspace_shard_count(dispatcher->keyspace) / 2;
        if (is_much || run->task->refusals >= REFUSALS_MOST) return run_with_gate(run, &is_again);
        is_held = scope_try_write(&scope, dispatcher->lane, shards, run->call.now, &busy);
        if (is_held) continue;
        run->task->refusals++;
        if (park_on_lock(run->worker, run->task, busy, true)) return OUTCOME_PARKED;
    }
    run_locked_write(run, &scope);
    return wait_for_key(run);
}

/* What a command needs for what becomes of its operands, if that isn't there. */
static size_t room_lacking(const struct run *run, const struct write_scope *scope) {
    const struct lane *lane = run->dispatcher->lane;
    const struct command *command = run->call.command;
    if (command->room == NULL || !eviction_is_limited(lane)) return 0;
    size_t needed = command->room(scope, &run->call) + room_needed(&run->call);
    return eviction_has_room(lane, needed) ? 0 : needed;
}

/* With the shards of its keys. */
static enum outcome run_with_shards(struct run *run, bool *is_again) {
    struct dispatcher *dispatcher = run->dispatcher;
    bool is_exclusive = run->call.command->write != NULL, may_foresee = true;
    *is_again = false;
    if (!further_begin(run) || !find_shards(run)) {
        reply_error(run->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
    size_t mark = reply_mark(run->reply);
    for (;;) {
        struct rwlock *busy;
        if (run->task->refusals >= REFUSALS_MOST) return run_with_gate(run, is_again);
        if (is_exclusive) {
            struct write_scope scope;
            if (scope_try_write(&scope, dispatcher->lane, &dispatcher->shards, run->call.now, &busy)) {
                if (blocking_is_on() && may_foresee && foresees_more(run)) {
                    scope_end_write(&scope);
                    may_foresee = take_more(dispatcher);
                    continue;
                }
                size_t needed = room_lacking(run, &scope);
                if (needed > 0) {
                    bool is_made;
                    scope_end_write(&scope);
                    enum outcome outcome = make_room(run, needed, &is_made);
                    if (!is_made) return outcome;
                    continue;
                }
                enum beginning beginning = begin(run, &scope.scope);
                if (beginning == BEGINS) {
                    run_locked_write(run, &scope);
                    *is_again = !further_end(run, mark);
                    return *is_again ? OUTCOME_DONE : wait_for_key(run);
                }
                scope_end_write(&scope);
                if (begins_later(run, beginning)) return OUTCOME_PARKED;
                continue;
            }
        } else {
            struct read_scope scope;
            if (scope_try_read(&scope, dispatcher->lane, &dispatcher->shards, run->call.now, &busy)) {
                enum beginning beginning = begin(run, &scope.scope);
                if (beginning == BEGINS) {
                    run_locked_read(run, &scope);
                    *is_again = !further_end(run, mark);
                    return OUTCOME_DONE;
                }
                scope_end_read(&scope);
                if (begins_later(run, beginning)) return OUTCOME_PARKED;
                continue;
            }
        }
        run->task->refusals++;
        if (park_on_lock(run->worker, run->task, busy, is_exclusive)) return OUTCOME_PARKED;
    }
}

static inline enum outcome run_with_keys(struct run *run) {
    if (run_without_lock(run)) return OUTCOME_DONE;
    bool is_again;
    enum outcome outcome;
    do outcome = run_with_shards(run, &is_again);
    while (is_again);
    return outcome;
}

/* ------------------------------------------------------------------ walks */

/* With one shard. */
static void walk_shard(struct run *run, struct walk *walk, struct read_scope *scope) {
    scope->scope.counts_access = false;
    run->call.command->walk(scope, &run->call, walk, run->reply);
    scope_end_read(scope);
    if (walk->is_long) lane_refresh(run->dispatcher->lane);
    run->task->refusals = 0;
}

/* The next step. false: parked. */
static bool walk_on(struct run *run, struct walk *walk) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct lane *lane = dispatcher->lane;
    struct read_scope scope;
    struct rwlock *busy;
    shard_set_clear(&dispatcher->shards);
    shard_set_add(&dispatcher->shards, walk->shard);
    if (run->task->is_closer || run->task->refusals >= REFUSALS_MOST) {
        if (!close_gate(run)) return false;
        gate_enter_closed(lane);
        if (take_free_for_read(run, &scope)) {
            if (walk->is_long) lane_hold_still(lane);
            open_gate(run);
            walk_shard(run, walk, &scope);
        }
        return true;
    }
    if (lane_is_watched(lane)) lane_leave(lane);
    if (!enter_or_park(run->worker, run->task)) return false;
    lane_refresh(lane);
    if (!scope_try_read(&scope, lane, &dispatcher->shards, run->call.now, &busy)) {
        run->task->refusals++;
        return !park_on_lock(run->worker, run->task, busy, false);
    }
    if (walk->is_long) lane_hold_still(lane);
    if (walk->is_long && gate_is_wanted(lane)) {
        scope_end_read(&scope);
        return !begins_later(run, BEGINS_LATER);
    }
    walk_shard(run, walk, &scope);
    return true;
}

/* Shard by shard, letting the others in between where somebody waits. */
static enum outcome run_walk(struct run *run) {
    struct under_way *under_way = under_way_of(run->task);
    if (under_way == NULL) {
        reply_error(run->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
    struct walk *walk = &under_way->walk;
    if (!under_way->is_walking) {
        if (!enter_or_park(run->worker, run->task)) return OUTCOME_PARKED; /* it looks where there are keys */
        under_way->is_walking = true;
        reply_init(&walk->items, run->call.protocol);
        walk->items.most = run->reply->most;
        run->call.command->walk(NULL, &run->call, walk, run->reply);
    }
    while (!walk->is_done && !walk->items.is_over)
        if (!walk_on(run, walk)) return OUTCOME_PARKED;
    if (walk->items.is_over) run->reply->is_broken = run->reply->is_over = true;
    under_way_end(run->task);
    return OUTCOME_DONE;
}

/* ------------------------------------------------------------------ inquiries */

static void inquiry_free(struct inquiry *inquiry) {
    for (uint32_t i = 0; i < inquiry->workers; i++) reply_free(&inquiry->answers[i].text);
    for (uint32_t i = 0; i < inquiry->count; i++) free(inquiry->arguments[i].data);
    free(inquiry->arguments);
    free(inquiry);
}

/* Nobody waits for it any more: it frees itself, now or when it comes back. */
static void inquiry_leave(struct under_way *under_way) {
    struct inquiry *inquiry = under_way->inquiry;
    under_way->inquiry = NULL;
    inquiry->task = NULL;
    if (inquiry->is_complete) inquiry_free(inquiry);
}

/* On the origin: all have answered. */
static void inquiry_done(struct worker *worker, struct message *message) {
    struct inquiry *inquiry = (struct inquiry *)((char *)message - offsetof(struct inquiry, done));
    (void)worker;
    inquiry->is_complete = true;
    if (inquiry->task == NULL)
        inquiry_free(inquiry);
    else
        task_wake(inquiry->task);
}

/* One worker may be busy for long, and the others' clients don't wait for it: they are told. */
static void end_unanswered(struct worker *worker) {
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
    if (atomic_fetch_sub(&inquiry->pending, 1) > 1) return;
    workers_thaw();
    worker_send(inquiry->origin, &inquiry->done);
}

static struct inquiry *inquiry_create(const struct run *run) {
    uint32_t workers = worker_count();
    struct inquiry *inquiry = calloc(1, sizeof *inquiry + workers * sizeof inquiry->answers[0]);
    if (inquiry == NULL) return NULL;
    inquiry->arguments = calloc(run->call.count, sizeof *inquiry->arguments);
    if (inquiry->arguments == NULL) {
        free(inquiry);
        return NULL;
    }
    inquiry->command = run->call.command;
    inquiry->task = run->task;
    inquiry->asker = run->task->session.id;
    inquiry->asker_protocol = run->call.protocol;
    inquiry->now = run->call.now;
    inquiry->origin = run->worker;
    inquiry->done.handle = inquiry_done;
    inquiry->workers = workers;
    atomic_init(&inquiry->pending, workers);
    for (uint32_t i = 0; i < workers; i++) {
        inquiry->answers[i].inquiry = inquiry;
        inquiry->answers[i].message.handle = inquiry_visit;
        reply_init(&inquiry->answers[i].text, run->call.protocol);
    }
    for (inquiry->count = 0; inquiry->count < run->call.count; inquiry->count++) {
        const struct bulk *argument = &run->call.arguments[inquiry->count];
        struct bulk *copy = &inquiry->arguments[inquiry->count];
        copy->data = malloc(argument->length + 1);
        if (copy->data == NULL) {
            inquiry_free(inquiry);
            return NULL;
        }
        memcpy(copy->data, argument->data, argument->length);
        copy->data[argument->length] = '\0';
        copy->length = argument->length;
    }
    return inquiry;
}

static enum outcome run_inquiry(struct run *run) {
    struct under_way *under_way = under_way_of(run->task);
    struct inquiry *inquiry = under_way == NULL ? NULL : under_way->inquiry;
    if (inquiry != NULL && inquiry->is_complete) {
        run->call.command->conclude(inquiry, &run->call, run->reply);
        under_way->inquiry = NULL;
        under_way_end(run->task);
        inquiry_free(inquiry);
        return OUTCOME_DONE;
    }
    if (under_way != NULL && under_way->is_unanswered) {
        under_way_end(run->task);
        reply_error(run->reply, "BUSY A worker runs a long command and has not answered yet. What it was "
                                "asked to do it does when it is free.");
        return OUTCOME_DONE;
    }
    if (run->call.command->check != NULL && !run->call.command->check(&run->call, run->reply)) {
        if (under_way != NULL) under_way_end(run->task);
        return OUTCOME_DONE;
    }
    if (under_way != NULL) under_way->inquiry = inquiry = inquiry_create(run);
    if (inquiry == NULL) {
        if (under_way != NULL) under_way_end(run->task);
        reply_error(run->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
    int64_t patience = atomic_load_explicit(&config.busy_reply_threshold, memory_order_relaxed);
    if (patience == 0 ||
        __builtin_add_overflow(run->worker->now_monotonic, patience, &under_way->answers_until))
        under_way->answers_until = INT64_MAX;
    task_queue_append(&run->dispatcher->asking, run->task);
    task_park(run->task, PARK_ON_ANSWERS);
    workers_freeze();
    for (uint32_t i = 0; i < inquiry->workers; i++) worker_send(worker_at(i), &inquiry->answers[i].message);
    return OUTCOME_PARKED;
}

/* ------------------------------------------------------------------ before and after a command */

/* Finds the keys and hashes each once. A request's arguments bound their number. */
static bool find_keys(struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    struct call *call = &run->call;
    if (run->prepared != NULL && run->prepared->has_key) {
        const struct bulk *argument = &call->arguments[call->command->only_key];
        run->key = (struct key){argument->data, argument->length, run->prepared->hash, call->database,
                                &run->prepared->fetch};
        call->keys = &run->key;
        call->key_count = 1;
        return true;
    }
    if (call->count > dispatcher->key_capacity) {
        uint32_t capacity = call->count < KEYS_KEPT ? KEYS_KEPT : call->count;
        struct key *keys = realloc(dispatcher->keys, capacity * sizeof *keys);
        if (keys != NULL) dispatcher->keys = keys;
        uint32_t *positions = realloc(dispatcher->positions, capacity * sizeof *positions);
        if (positions != NULL) dispatcher->positions = positions;
        if (keys == NULL || positions == NULL) return false;
        dispatcher->key_capacity = capacity;
    }
    int found = command_find_keys(call->command, call->arguments, call->count, dispatcher->positions, NULL,
                                  dispatcher->key_capacity);
    call->keys = dispatcher->keys;
    call->key_count = found < 0 ? 0 : (uint32_t)found;
    for (uint32_t i = 0; i < call->key_count; i++) {
        const struct bulk *argument = &call->arguments[dispatcher->positions[i]];
        dispatcher->keys[i] =
            keyspace_key(dispatcher->keyspace, call->database, argument->data, argument->length);
    }
    /* Many keys at once: their lines are fetched together, not one after the other. */
    if (call->key_count > 1 && lane_is_inside(dispatcher->lane))
        keyspace_prefetch(dispatcher->lane, call->keys, call->key_count);
    return true;
}

static bool is_paused(const struct dispatcher *dispatcher, const struct command *command, int64_t now) {
    if (!is_pausing(dispatcher, now)) return false;
    return !dispatcher->pauses_only_writes || (command->flags & (COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0;
}

#define DEBUG_REFUSAL                                                                                        \
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it " \
    "from a local "                                                                                          \
    "connection, otherwise you need to set this option in the configuration file, and then restart the "     \
    "server."

/* What refuses a command before it runs. Redis asks in this order. */
static bool is_admitted(const struct run *run) {
    const struct command *command = run->call.command;
    if ((command->flags & COMMAND_PROTECTED) != 0) {
        int allowed = atomic_load_explicit(&config.enable_debug_command, memory_order_relaxed);
        if (allowed == 0 || (allowed == 2 && !run->task->functions->is_local(run->task))) {
            reply_error(run->reply, DEBUG_REFUSAL);
            return false;
        }
    }
    if (!session_is_admitted(&run->task->session) && (command->flags & COMMAND_NO_AUTH) == 0) {
        reply_error(run->reply, "NOAUTH Authentication required.");
        return false;
    }
    /* A monitor is exempt from CLIENT PAUSE, which mustn't be a way around it. */
    if (run->task->session.is_monitor &&
        (command->flags & (COMMAND_READONLY | COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0) {
        reply_error(run->reply, "ERR Replica can't interact with the keyspace"); /* Redis's words */
        return false;
    }
    return true;
}

/* What the client calls itself may be another name then. */
static void run_for_session(struct run *run) {
    struct session *session = &run->task->session;
    size_t before = session_bytes(session);
    run->call.command->session(session, &run->call, run->reply);
    counter_add(&run->worker->name_bytes, (uint64_t)session_bytes(session) - before); /* modulo 2^64 */
}

/* These need not enter the gate, so that they are answered whoever has closed it. */
static void run_without_shards(struct run *run) {
    const struct command *command = run->call.command;
    struct lane *lane = run->dispatcher->lane;
    bool observes = (command->flags & COMMAND_SUMS) != 0 && !lane_is_inside(lane);
    if (observes) lane_observe(lane);
    if (command->plain != NULL)
        command->plain(&run->call, run->reply);
    else if (command->session != NULL)
        run_for_session(run);
    else
        command->worker(run->worker, run->task, &run->call, run->reply);
    if (observes) lane_leave(lane);
}

/* What comes before the first try isn't repeated for a closer: it would be held up by the gate that it keeps
 * closed itself. */
static enum outcome run_command(struct run *run) {
    const struct command *command = run->call.command;
    struct under_way *under_way = run->task->under_way;
    if (under_way != NULL && under_way->blocked != NULL && answer_waiter(run, under_way)) return OUTCOME_DONE;
    if (command->plain != NULL || command->session != NULL || command->worker != NULL) {
        run_without_shards(run);
        return OUTCOME_DONE;
    }
    if (command->visit != NULL) return run_inquiry(run);
    if (command->walk != NULL) return run_walk(run);
    if (!find_keys(run)) {
        reply_error(run->reply, ERROR_NO_MEMORY);
        return OUTCOME_DONE;
    }
#ifdef PLANT_CLOSED_GATE
    if (run->task->is_closer && !enter_or_park(run->worker, run->task)) return OUTCOME_PARKED;
#endif
    bool is_closer = run->task->is_closer, is_again;
    if ((command->flags & COMMAND_DENYOOM) != 0 && !is_closer) {
        bool is_made;
        /* Without a limit there is room for anything, and no need to ask the allocator about each
         * argument. */
        enum outcome outcome = make_room(
            run, eviction_is_limited(run->dispatcher->lane) ? room_needed(&run->call) : 0, &is_made);
        if (!is_made) return outcome;
    }
    if (is_closer || wants_all(run)) {
        if (!is_closer && (command->flags & COMMAND_ONE_DATABASE) != 0) return run_with_database(run);
        enum outcome outcome = run_with_gate(run, &is_again);
        if (!is_again) return outcome;
    } else {
        if (command->write != NULL && !may_retire(run)) return OUTCOME_PARKED;
        if (!enter_or_park(run->worker, run->task)) return OUTCOME_PARKED;
    }
    return run_with_keys(run);
}

/* CLIENT REPLY: drops what was written since mark, or not. */
static void apply_reply_mode(struct session *session, struct reply *reply, size_t mark) {
    if (session->reply_mode == REPLY_ON) return;
    reply_truncate(reply, mark);
    if (session->reply_mode == REPLY_SKIP) session->reply_mode = REPLY_ON;
    if (session->reply_mode == REPLY_SKIP_NEXT) session->reply_mode = REPLY_SKIP;
}

/* The arguments as others may see them: passwords are taken out. The call's own if there are none, else a
 * copy to be freed; NULL when out of memory. */
static const struct bulk *arguments_shown(const struct call *call, struct bulk **copy) {
    static char mark[] = "(redacted)";
    const char *name = call->command->full_name;
    bool is_auth = strcmp(name, "auth") == 0, is_hello = strcmp(name, "hello") == 0;
    *copy = NULL;
    if (!is_auth && !is_hello && strcmp(name, "config|set") != 0) return call->arguments;
    struct bulk *shown = *copy = malloc(call->count * sizeof *shown);
    if (shown == NULL) return NULL;
    memcpy(shown, call->arguments, call->count * sizeof *shown);
    for (uint32_t i = 1; i < call->count; i++) {
        bool follows_auth = is_hello && ((i >= 3 && argument_is(&call->arguments[i - 1], "AUTH")) ||
                                         (i >= 4 && argument_is(&call->arguments[i - 2], "AUTH")));
        bool is_password =
            !is_auth && !is_hello && i >= 3 && i % 2 == 1 && config_is_secret(&call->arguments[i - 1]);
        if (is_auth || follows_auth || is_password) shown[i] = (struct bulk){mark, sizeof mark - 1, NULL};
    }
    return shown;
}

static void note_slow(const struct run *run, uint64_t microseconds) {
    char peer[TASK_ADDRESS];
    struct bulk *copy;
    const struct bulk *shown = arguments_shown(&run->call, &copy);
    run->task->functions->peer(run->task, peer, sizeof peer);
    if (shown != NULL)
        slowlog_note(shown, run->call.count, microseconds, run->worker->now, peer, run->task->session.name);
    free(copy);
}

/* Behind the reply; or when a command begins to wait for a key. */
static void feed_monitors(const struct run *run, bool hears_itself) {
    struct bulk *copy;
    if ((run->call.command->flags & (COMMAND_SKIP_MONITOR | COMMAND_ADMIN)) != 0) return;
    const struct bulk *shown = arguments_shown(&run->call, &copy);
    if (shown != NULL)
        monitor_feed(run->worker, run->task, shown, run->call.count, hears_itself ? run->reply : NULL);
    free(copy);
}

/* Counts the untimed commands and so many more of their kind. Returns how long they took together. */
static uint64_t account_time(struct dispatcher *dispatcher, const struct command *command, uint32_t more) {
    uint64_t ended = clock_cycles(), nanoseconds = clock_cycles_to_ns(ended - dispatcher->boundary);
    statistics_count(dispatcher->statistics, command, dispatcher->untimed + more, nanoseconds);
    dispatcher->boundary = ended;
    dispatcher->untimed = 0;
    return nanoseconds;
}

void dispatch_batch_end(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    if (dispatcher->untimed > 0) account_time(dispatcher, dispatcher->untimed_command, 0);
}

/* A slow command among some that share a clock is known only to be one of them; the last one stands for
 * it. */
static void account_slow(const struct run *run, uint64_t nanoseconds) {
    const struct command *command = run->call.command;
    struct worker *worker = run->worker;
    int64_t slow = atomic_load_explicit(&config.slowlog_log_slower_than, memory_order_relaxed);
    if (slow >= 0 && nanoseconds / 1000 >= (uint64_t)slow && (command->flags & COMMAND_SKIP_SLOWLOG) == 0)
        note_slow(run, nanoseconds / 1000);
    if (nanoseconds >= 1000000) {
        worker->now = clock_wall_ms();
        usage_clock(worker->lane, worker->now, clock_monotonic_ms());
        latency_note((command->flags & COMMAND_FAST) != 0 ? "fast-command" : "command",
                     (int64_t)(nanoseconds / 1000000), worker->now);
    }
}

static void account(const struct run *run) {
    struct dispatcher *dispatcher = run->dispatcher;
    const struct command *command = run->call.command;
    if (run->is_rejected) {
        dispatch_batch_end(run->worker);
        statistics_count_rejected(dispatcher->statistics, command);
        statistics_count_error(run->reply->error_code);
        return;
    }
    if (run->reply->error_count > 0) {
        statistics_count_failed(dispatcher->statistics, command);
        statistics_count_error(run->reply->error_code);
    }
    if (run->prepared != NULL && run->prepared->shares_clock) {
        dispatcher->untimed++;
        dispatcher->untimed_command = command;
    } else {
        account_slow(run, account_time(dispatcher, command, 1));
    }
}

/* memcmp, without a call for the few bytes that a command's name has: two words that may overlap. */
static inline bool is_same_name(const struct bulk *one, const struct bulk *other) {
    size_t length = one->length;
    if (length != other->length) return false;
    if (length >= 4 && length <= 8) {
        uint32_t head, other_head, tail, other_tail;
        memcpy(&head, one->data, sizeof head);
        memcpy(&other_head, other->data, sizeof other_head);
        memcpy(&tail, one->data + length - sizeof tail, sizeof tail);
        memcpy(&other_tail, other->data + length - sizeof tail, sizeof other_tail);
        return head == other_head && tail == other_tail;
    }
    if (length == 3)
        return one->data[0] == other->data[0] && one->data[1] == other->data[1] &&
               one->data[2] == other->data[2];
    return memcmp(one->data, other->data, length) == 0;
}

/* Neighbours in a pipeline are mostly of one kind. */
static const struct command *look_up_like(const struct command *before, const struct bulk *before_name,
                                          const struct bulk *arguments, uint32_t count) {
    bool is_same =
        before != NULL && command_arity_fits(before, count) && is_same_name(before_name, arguments);
    return is_same ? before : command_look_up(arguments, count);
}

/* Unless somebody wants to know of commands that are hardly slow. */
static bool may_share_clock(void) {
    int64_t slow = atomic_load_explicit(&config.slowlog_log_slower_than, memory_order_relaxed);
    return slow < 0 || slow >= CLOCK_SHARED_LEAST_US;
}

static bool is_short(const struct prepared *prepared) {
    return prepared->has_key && (prepared->command->flags & COMMAND_LONG) == 0;
}

static void fetch_homes(const struct lane *lane, uint32_t database, struct prepared *prepared, uint32_t from,
                        uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (prepared[i].has_key) fetch_home(lane, prepared[i].hash, database, &prepared[i].fetch);
}

/* Only as long as the lane has not left the gate since: then what was found may be freed memory by now. */
static bool is_fetched(const struct lane *lane, const struct prepared *prepared) {
    return prepared->has_key && prepared->fetch.home.bucket != NULL &&
           prepared->fetch.voidings == lane->voidings;
}

static void fetch_entries(const struct lane *lane, struct prepared *prepared, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        if (is_fetched(lane, &prepared[i])) fetch_entry(&prepared[i].fetch, prepared[i].hash);
}

static uint32_t least(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

void dispatch_fetch(struct worker *worker, uint32_t database, struct prepared *prepared, uint32_t at) {
    const struct lane *lane = worker->dispatcher->lane;
    uint32_t count = worker->batch.count, next = least(at + DISPATCH_WINDOW, count),
             last = least(next + DISPATCH_WINDOW, count);
    if (count < 2 || !lane_is_inside(lane)) return;
    if (at == 0) {
        fetch_homes(lane, database, prepared, 0, last);
        fetch_entries(lane, prepared, 0, next);
    }
    fetch_entries(lane, prepared, next, last);
    fetch_homes(lane, database, prepared, last, least(last + DISPATCH_WINDOW, count));
    for (uint32_t i = at; i < next; i++)
        if (is_fetched(lane, &prepared[i])) fetch_spilled(&prepared[i].fetch, prepared[i].hash);
}

void dispatch_prepare(struct worker *worker, struct prepared *prepared) {
    struct dispatcher *dispatcher = worker->dispatcher;
    const struct batch *batch = &worker->batch;
    const struct bulk *arguments_before = NULL;
    uint32_t sharers = 0;
    bool may_share = may_share_clock();
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_request *request = &batch->requests[i];
        const struct bulk *arguments = batch->arguments + request->first;
        prepared[i].command =
            i == 0 ? command_look_up(arguments, request->count)
                   : look_up_like(prepared[i - 1].command, arguments_before, arguments, request->count);
        arguments_before = arguments;
        prepared[i].has_key = prepared[i].command != NULL && prepared[i].command->only_key != 0;
        prepared[i].shares_clock = false;
        bool joins = may_share && i > 0 && is_short(&prepared[i]) &&
                     prepared[i].command == prepared[i - 1].command && sharers < CLOCK_SHARERS - 1;
        if (joins) prepared[i - 1].shares_clock = true;
        sharers = joins ? sharers + 1 : 0;
        if (!prepared[i].has_key) continue;
        const struct bulk *key = &arguments[prepared[i].command->only_key];
        prepared[i].hash = keyspace_hash(dispatcher->keyspace, key->data, key->length);
        prepared[i].fetch.home.bucket = NULL;
        prepared[i].fetch.is_spilled = false;
    }
}

void dispatch_look_ahead(struct worker *worker, uint32_t database, char *data, size_t length) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct batch *batch = &worker->batch; /* nobody runs yet */
    if (dispatcher->ahead_count == AHEAD_KEYS) dispatch_fetch_ahead(worker);
    batch_parse(batch, data, length, 1);
    if (batch->count == 0) return;
    const struct command *command = command_look_up(batch->arguments, batch->requests[0].count);
    if (command == NULL || command->only_key == 0) return;
    const struct bulk *key = &batch->arguments[command->only_key];
    dispatcher->ahead[dispatcher->ahead_count++] =
        keyspace_key(dispatcher->keyspace, database, key->data, key->length);
}

void dispatch_fetch_ahead(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    if (dispatcher->ahead_count > 1 && lane_is_inside(dispatcher->lane))
        keyspace_prefetch(dispatcher->lane, dispatcher->ahead, dispatcher->ahead_count);
    dispatcher->ahead_count = 0;
}

/* Word by word, but for the key, which is written if there is one: compilers zero a struct of this size in a
 * way that takes longer than most of a small request's other steps. */
static void run_begin(struct run *run, struct worker *worker, struct task *task, struct reply *reply) {
    const struct session *session = &task->session;
    struct call *call = &run->call;
    run->worker = worker;
    run->dispatcher = worker->dispatcher;
    run->task = task;
    run->reply = reply;
    run->prepared = NULL;
    run->blocked = NULL;
    run->is_rejected = false;
    call->command = NULL;
    call->keys = NULL;
    call->key_count = 0;
    call->database = session->database;
    call->protocol = session->protocol;
    call->now = worker->now;
    call->session = session;
    call->keyspace = run->dispatcher->keyspace;
    call->block = NULL;
    call->further = NULL;
    call->key_index = 0;
}

/* Exactly one: otherwise the client takes the next answer for this one, and so on for ever. */
static void expect_one_reply(const struct run *run, size_t mark) {
    const struct session *session = &run->task->session;
#ifndef DEBUG_ASSERTIONS
    if (run->reply->length > mark) return; /* looking at all of it would cost as much as a small request */
#endif
    if (run->reply->is_broken || session->reply_mode != REPLY_ON || session->closes_after_reply) return;
    assert(reply_is_one(run->reply, mark));
    if (run->reply->length > mark) return;
    log_write(LOG_WARNING, "'%s' gave no answer: its client is told so. This is a fault of Latchkey's.",
              run->call.command->full_name);
    reply_error(run->reply, "ERR the command gave no answer");
}

/* There was no memory for the whole answer. Of what only reads the client is told so, and goes on; any other
 * client is closed, since it can't know what was changed. */
static void answer_without_memory(const struct run *run, size_t mark) {
    const struct command *command = run->call.command;
    struct reply *reply = run->reply;
    if (!reply->is_broken || reply->is_over || (command->read == NULL && command->walk == NULL)) return;
    reply_truncate(reply, mark);
    reply->is_broken = false;
    reply_error(reply, ERROR_NO_MEMORY);
}

enum outcome dispatch_request(struct worker *worker, struct task *task, const struct bulk *arguments,
                              uint32_t count, const struct prepared *prepared, struct reply *reply) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct session *session = &task->session;
    struct run run;
    struct call *call = &run.call;
    if (dispatcher->boundary_task != task) {
        dispatcher->boundary_task = task;
        dispatcher->boundary = clock_cycles();
    }
    size_t mark = reply_mark(reply);
    reply_errors_clear(reply);
    reply->protocol = session->protocol;
    run_begin(&run, worker, task, reply);
    call->arguments = arguments;
    call->count = count;
    if (prepared != NULL && prepared->command != NULL) {
        call->command = prepared->command;
        run.prepared = prepared;
    }
    if ((call->command == NULL && !command_check(arguments, count, &call->command, reply)) ||
        (!task->is_closer && !is_admitted(&run))) {
        dispatch_batch_end(worker); /* it might have been the one that its neighbours are timed with */
        if (call->command != NULL) statistics_count_rejected(dispatcher->statistics, call->command);
        statistics_count_error(reply->error_code);
        apply_reply_mode(session, reply, mark);
        return OUTCOME_DONE;
    }
    task->last_command = call->command;
    const struct under_way *under_way = task->under_way;
    bool has_waited = under_way != NULL && (under_way->blocked != NULL ||
                                            under_way->waits_again); /* for a key: monitors have seen it */
    bool is_exempt = task->is_closer || session->is_monitor;
    if (is_paused(dispatcher, call->command, worker->now_monotonic) && under_way == NULL && !is_exempt) {
        task_queue_append(&dispatcher->paused, task);
        task_park(task, PARK_ON_PAUSE);
        return OUTCOME_PARKED;
    }
    if (run_command(&run) == OUTCOME_PARKED) {
        dispatcher->boundary_task = NULL;
        if (run.blocked != NULL && !has_waited && monitor_is_on()) feed_monitors(&run, true);
        return OUTCOME_PARKED;
    }
    if (task->under_way != NULL) under_way_end(task);
    task->refusals = 0;
    closer_give_up(dispatcher, task); /* it had no memory to try again */
    answer_without_memory(&run, mark);
    expect_one_reply(&run, mark);
    account(&run);
    bool is_monitored = monitor_is_on() && !has_waited && !run.is_rejected;
    bool hears_itself = is_monitored && session->reply_mode != REPLY_OFF &&
                        session->reply_mode != REPLY_SKIP && !session->closes_after_reply;
    apply_reply_mode(session, reply, mark);
    if (is_monitored) feed_monitors(&run, hears_itself);
    return OUTCOME_DONE;
}

void dispatch_forget(struct worker *worker, struct task *task) {
    struct dispatcher *dispatcher = worker->dispatcher;
    task_queue_remove(task);
    closer_give_up(dispatcher, task);
    if (dispatcher->boundary_task == task) dispatcher->boundary_task = NULL;
    monitor_forget(worker, task);
    struct under_way *under_way = task->under_way;
    if (under_way == NULL) return;
    if (under_way->blocked != NULL) {
        blocking_cancel(under_way->blocked, WAITER_TIMED_OUT);
        waiter_end(worker, under_way);
    }
    if (under_way->inquiry != NULL) inquiry_leave(under_way);
    under_way_end(task);
}

/* ------------------------------------------------------------------ pauses and timers */

void dispatch_pause(struct worker *worker, int64_t until, bool only_writes) {
    struct dispatcher *dispatcher = worker->dispatcher;
    dispatcher->paused_until = until;
    dispatcher->pauses_only_writes = only_writes;
    wake_tasks(&dispatcher->paused); /* who still has to wait is parked again, behind none that came later */
}

int64_t dispatch_paused_until(const struct worker *worker, bool *only_writes) {
    *only_writes = worker->dispatcher->pauses_only_writes;
    return worker->dispatcher->paused_until;
}

static void expire_some(struct worker *worker, bool is_due) {
    struct dispatcher *dispatcher = worker->dispatcher;
    int64_t effort = atomic_load_explicit(&config.active_expire_effort, memory_order_relaxed);
    if (lane_is_littered(dispatcher->lane) || !lane_enter(dispatcher->lane)) return;
    bool is_behind =
        keyspace_expire_slice(dispatcher->lane, worker->now,
                              is_due ? EXPIRY_SLICE_US * (1 + (effort - 1) / 3) : EXPIRY_IDLE_SLICE_US);
    lane_leave(dispatcher->lane);
    dispatcher->next_expiry = is_behind ? worker->now_monotonic + EXPIRY_BUSY_MS : 0;
}

/* Brings what is above the limit down, and adapts what eviction keeps: soon again while there is more to
 * do. */
static void keep_limit(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    dispatcher->next_limit = worker->now_monotonic + LIMIT_MS;
    limit_tick(dispatcher->keyspace);
    if (is_pausing(dispatcher, worker->now_monotonic) || !lane_enter(dispatcher->lane)) return;
    bool is_done = eviction_tick(dispatcher->lane, worker->now);
    lane_leave(dispatcher->lane);
    dispatcher->is_above_limit = !is_done;
    if (!is_done) dispatcher->next_limit = worker->now_monotonic + 1;
}

int dispatch_timers(struct worker *worker, bool is_idle) {
    struct dispatcher *dispatcher = worker->dispatcher;
    int64_t now = worker->now_monotonic;
    int64_t period = 1000 / atomic_load_explicit(&config.hz, memory_order_relaxed);
    if (dispatcher->paused_until != 0 && dispatcher->paused_until <= now) dispatch_pause(worker, 0, false);
    bool is_due = now >= dispatcher->next_tick;
    if (is_due) {
        dispatcher->next_tick = now + period;
        if (worker->number == 0) {
            process_tick();
            rates_tick();
        }
        lane_trim(dispatcher->lane);
    }
    bool expires_now = is_due || (dispatcher->next_expiry != 0 && now >= dispatcher->next_expiry);
    bool may_expire = dispatcher->closer == NULL && !is_pausing(dispatcher, worker->now_monotonic);
    if (may_expire && (expires_now || (dispatcher->next_expiry != 0 && is_idle))) {
        dispatcher->next_expiry = 0;
        expire_some(worker, expires_now);
    }
    if (worker->number == 0 && dispatcher->closer == NULL && (is_due || now >= dispatcher->next_limit))
        keep_limit(worker);
    if (is_due) end_unanswered(worker);
    int64_t overdue = end_overdue(worker);
    int sweep = blocking_sweep(&dispatcher->ended_waits, dispatcher->lane, worker->now);
    blocking_wake(); /* of who was told that what it waited for has expired or been evicted */
    bool is_freeing = false;
    bool is_anybody_waiting = dispatcher->congested.first != NULL;
    if (is_due || is_anybody_waiting || lane_has_slices(dispatcher->lane))
        is_freeing = lane_reclaim(dispatcher->lane);
    if (!is_anybody_waiting) dispatcher->memory_wakes = 0;
    bool tries_again = dispatcher->memory_wakes < MEMORY_WAKES_MOST || now > dispatcher->memory_woken;
    if (is_anybody_waiting && tries_again && !lane_is_congested(dispatcher->lane)) {
        wake_tasks(&dispatcher->congested);
        dispatcher->memory_wakes++;
        dispatcher->memory_woken = now;
        return 0;
    }
    if (is_freeing || sweep == 0) return 0;
    if (is_anybody_waiting) return 1;
    int64_t next = dispatcher->is_above_limit ? dispatcher->next_limit : dispatcher->next_tick;
    if (overdue < next) next = overdue;
    if (sweep > 0 && now + sweep < next) next = now + sweep;
    if (dispatcher->next_expiry != 0 && may_expire)
        return 0; /* if that finds nothing else to do, it goes on at once */
    if (dispatcher->paused_until > now && dispatcher->paused_until < next) next = dispatcher->paused_until;
    return next <= now ? 0 : (int)(next - now);
}

size_t dispatch_bytes(const struct task *task) {
    const struct under_way *under_way = task->under_way;
    return under_way == NULL || under_way->blocked == NULL ? 0 : under_way->blocked->bytes;
}

uint64_t dispatch_parked_count(const struct worker *worker) {
    const struct dispatcher *dispatcher = worker->dispatcher;
    uint64_t parked =
        dispatcher->paused.count + dispatcher->congested.count + dispatcher->gate_queue.tasks.count;
    for (uint32_t i = 0; i < keyspace_shard_count(dispatcher->keyspace); i++)
        if (dispatcher->shard_queues[i] != NULL) parked += dispatcher->shard_queues[i]->tasks.count;
    return parked;
}
