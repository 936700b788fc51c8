/* Dispatch in one page:
 *
 *     find the row -> may it run now? -> find the keys -> take what the row's function needs -> call it ->
 *         give it back -> count
 *
 * Each step is a file of this room: admit and pause, keys, memory, take and park, execute, account. What came
 * before, for a whole batch, is prepare's. */
#include "dispatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "shard/store/usage.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/broadcast/monitor.h"
#include "server/broadcast/news.h"
#include "server/broadcast/subscriptions.h"
#include "server/command/command_table.h"
#include "server/interest/tracking.h"
#include "server/observe/statistics.h"
#include "account.h"
#include "admit.h"
#include "dispatcher.h"
#include "errand.h"
#include "execute.h"
#include "inquire.h"
#include "keys.h"
#include "later.h"
#include "leave.h"
#include "memory.h"
#include "park.h"
#include "script.h"
#include "take.h"
#include "transaction.h"
#include "under_way.h"
#include "wait.h"
#include "walk.h"

/* Bytes retired that are not left to wait for a timer when there is a limit. */
#define RECLAIM_BYTES 65536
/* Retired objects that wait for the end of a turn to be freed; fewer wait for the next timer. */
#define RECLAIM_AT 64

/* ------------------------------------------------------------------ a worker's life */

bool dispatch_attach(struct worker *worker, struct keyspace *keyspace) {
    struct dispatcher *dispatcher = calloc(1, sizeof *dispatcher);
    if (dispatcher == NULL) return false;
    dispatcher->keyspace = keyspace;
    dispatcher->statistics = statistics_attach(worker->number);
    dispatcher->shard_queues = calloc(keyspace_shard_count(keyspace), sizeof(struct lock_queue *));
    lock_queue_init(&dispatcher->gate_queue, worker);
    worker->dispatcher = dispatcher;
    worker->frame = frame_create(keyspace);
    if (worker->frame != NULL) worker->lane = worker->frame->lane;
    bool is_attached = subscriptions_attach(worker);
    if (is_attached && worker->frame != NULL && dispatcher->statistics != NULL &&
        dispatcher->shard_queues != NULL)
        return true;
    dispatch_detach(worker);
    return false;
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
    if (worker->frame != NULL) {
        gate_unpark(worker->frame->lane, &dispatcher->gate_queue.waiter);
        frame_detach(worker->frame);
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
    free(dispatcher->deadlines.waiters);
    scripting_free(dispatcher->scripting);
    blocking_abandon(&dispatcher->ended_waits);
    watch_abandon(&dispatcher->ended_watches);
    free(dispatcher);
    worker->dispatcher = NULL;
    frame_free(worker->frame);
    worker->frame = NULL;
    news_abandon(worker, blocking_is_answer);
    subscriptions_detach(worker);
}

void dispatch_enter(struct worker *worker) {
    worker->frame->boundary_task = NULL; /* the wait was nobody's */
    usage_clock(worker->frame->lane, worker->now, worker->now_monotonic);
    (void)enter_gate(worker);
}

void dispatch_leave(struct worker *worker) {
    struct lane *lane = worker->frame->lane;
    frame_trim(worker->frame);
    if (lane_is_inside(lane)) lane_leave(lane);
    if (lane->retired_count >= RECLAIM_AT || lane->row_bytes >= RECLAIM_BYTES || lane_has_surplus(lane))
        lane_reclaim(lane);
}

void dispatch_yield(struct worker *worker) {
    if (!lane_is_watched(worker->frame->lane)) {
        if (lane_is_inside(worker->frame->lane)) lane_refresh(worker->frame->lane);
        return;
    }
    lane_leave(worker->frame->lane);
    dispatch_enter(worker);
}

/* A client that hears nothing, and only publishes, sees nothing of it; nor does anybody else before another
 * request: several messages then go to each hearer at once. */
void dispatch_read_news(struct worker *worker, const struct task *task, const struct prepared *prepared) {
    bool only_publishes = prepared != NULL && prepared->command != NULL && prepared->command->publishes;
#ifdef PLANT_UNREAD_NEWS
    return;
#endif
    if (!only_publishes || task->session.subscriptions != NULL) worker_read_news(worker);
}

void dispatch_make_room(struct worker *worker, size_t bytes) {
    struct lane *lane = worker->frame->lane;
    if (is_pausing(worker)) return;
    /* Twice: what the first try lets go can be freed once the lane has left. What then runs enters by itself
     * if the gate has been closed meanwhile. */
    for (int tries = 0; tries < 2 && !eviction_has_room(lane, bytes) && lane_is_inside(lane); tries++) {
        if (eviction_make_room(lane, bytes, worker->now) != ROOM_LATER) return;
        lane_leave(lane);
        lane_reclaim(lane);
        (void)enter_gate(worker);
    }
}

uint64_t dispatch_parked_count(const struct worker *worker) {
    const struct dispatcher *dispatcher = worker->dispatcher;
    uint64_t parked =
        dispatcher->paused.count + dispatcher->congested.count + dispatcher->gate_queue.tasks.count;
    for (uint32_t i = 0; i < keyspace_shard_count(dispatcher->keyspace); i++)
        if (dispatcher->shard_queues[i] != NULL) parked += dispatcher->shard_queues[i]->tasks.count;
    return parked;
}

/* ------------------------------------------------------------------ a request */

/* What it waited for is there: replies. false: it is to be run. */
static __attribute__((noinline)) bool answer(struct execution *execution, struct under_way *under_way) {
    if (under_way->blocked != NULL && wait_answer(execution, under_way)) return true;
    if (under_way->errand == NULL) return false;
    leave_answer(execution, under_way);
    return true;
}

static __attribute__((noinline)) enum outcome run_without_keys(struct execution *execution) {
    const struct command *command = execution->call.command;
    bool may_publish = command->run != NULL || command->publishes;
    bool has_begun = execution->task->is_closer || execution->task->under_way != NULL;
    if (may_publish && !has_begun && !may_tell(execution)) return OUTCOME_PARKED;
    if ((command->flags & COMMAND_DENYOOM) != 0 && !has_begun) {
        bool is_made;
        enum outcome outcome = make_room(execution, room_to_make(execution), &is_made);
        if (!is_made) return outcome;
    }
    if (command->loads != LOADS_NOTHING && !has_begun && loads_long(&execution->call) &&
        may_leave(execution) && leave(execution))
        return OUTCOME_PARKED;
    if (command->run != NULL) return command->run(execution);
    if (command->visit != NULL) return run_inquiry(execution);
    if (command->walk != NULL) return run_walk(execution);
    execution->answers_several = command->answers_each;
    execute_without_shards(execution);
    return OUTCOME_DONE;
}

static inline __attribute__((always_inline)) enum outcome run_command(struct execution *execution) {
    if (!execution->is_ordinary) {
        struct under_way *under_way = execution->task->under_way;
        if (under_way != NULL && answer(execution, under_way)) return OUTCOME_DONE;
        if (!execution->call.command->has_scope) return run_without_keys(execution);
        if (under_way == NULL && is_long_at_once(execution) && leave(execution)) return OUTCOME_PARKED;
    }
    if (!find_keys(execution)) return execution_lacks_memory(execution);
    /* Before it looks at them, each time: what changes from here on is told behind the reply. */
#ifndef PLANT_LATE_NOTE
    if (!execution->is_ordinary) tracking_note(execution->task->session.tracks, &execution->call);
#endif
#ifdef PLANT_CLOSED_GATE
    if (execution->task->is_closer && !enter_or_park(execution->worker, execution->task))
        return OUTCOME_PARKED;
#endif
#ifdef PLANT_LATE_NOTE
    enum outcome outcome = run_with_scope(execution);
    for (volatile int i = 0; i < 20000; i++) continue;
    tracking_note(execution->task->session.tracks, &execution->call);
    return outcome;
#endif
    return run_with_scope(execution);
}

/* CLIENT REPLY: drops what was written since mark, or not. What tells of subscriptions stays. */
static void apply_reply_mode(struct session *session, struct reply *reply, size_t mark, bool is_push) {
    if (session->reply_mode == REPLY_ON) return;
    if (!is_push) reply_truncate(reply, mark);
    if (session->reply_mode == REPLY_SKIP) session->reply_mode = REPLY_ON;
    if (session->reply_mode == REPLY_SKIP_NEXT) session->reply_mode = REPLY_SKIP;
}

/* Word by word, as call_begin; the key is written if there is one. */
static inline void execution_begin(struct execution *execution, struct worker *worker, struct task *task,
                                   struct reply *reply, bool is_ordinary) {
    const struct session *session = &task->session;
    execution->is_ordinary = is_ordinary;
    execution->worker = worker;
    execution->dispatcher = worker->dispatcher;
    execution->frame = worker->frame;
    execution->task = task;
    execution->reply = reply;
    execution->transaction = NULL;
    execution->prepared = NULL;
    execution->block.wants = false;
    execution->blocked = NULL;
    execution->refusal = NULL;
    execution->reads_alone = execution->is_rejected = execution->is_errands = execution->stays =
        execution->scripts_write = execution->begins_again = execution->begins_elsewhere =
            execution->is_short_of_memory = execution->answers_several = false;
    call_begin(&execution->call, session, worker->keyspace, worker->now);
}

/* Exactly one: otherwise the client takes the next answer for this one, and so on for ever. */
static void expect_one_reply(const struct execution *execution, size_t mark) {
    const struct session *session = &execution->task->session;
#ifndef DEBUG_ASSERTIONS
    if (execution->reply->length > mark)
        return; /* looking at all of it would cost as much as a small request */
#endif
    if (execution->reply->is_broken || session->reply_mode != REPLY_ON || session->closes_after_reply) return;
    if (execution->answers_several && execution->reply->length > mark) return;
    if (execution->reply->length == mark && (execution->call.command->flags & COMMAND_MAY_BE_SILENT) != 0)
        return;
    assert(reply_is_one(execution->reply, mark));
    if (execution->reply->length > mark) return;
    log_write(LOG_WARNING, "'%s' gave no answer: its client is told so. This is a fault of Latchkey's.",
              execution->call.command->full_name);
    reply_error(execution->reply, "ERR the command gave no answer");
}

/* There was no memory for the whole answer. Of what only reads the client is told so, and goes on; any other
 * client is closed, since it can't know what was changed. */
static void answer_without_memory(const struct execution *execution, size_t mark) {
    const struct command *command = execution->call.command;
    struct reply *reply = execution->reply;
    if (!reply->is_broken) return;
    bool only_reads = command->walk != NULL || (command->read != NULL && !call_writes(&execution->call));
    if (reply->is_over || !only_reads) return;
    reply_truncate(reply, mark);
    reply->is_broken = false;
    reply_error(reply, ERROR_NO_MEMORY);
}

/* CLIENT CACHING holds for one command, or for all of a transaction. */
static void end_caching(struct session *session, const struct command *command) {
    bool is_queueing = session->transaction != NULL && session->transaction->is_open,
         is_client = command != NULL && strncmp(command->name, "client", strlen("client")) == 0;
    tracking_command_done(session, is_queueing || is_client);
}

/* It is not a command that has run: only what refused it is counted. */
static enum outcome queue_request(struct execution *execution, size_t mark) {
    account_untimed(execution->worker);
    execution->frame->boundary_task = NULL;
    if (transaction_queue(execution) == OUTCOME_PARKED) return OUTCOME_PARKED;
    if (execution->is_rejected) account(execution);
    apply_reply_mode(&execution->task->session, execution->reply, mark, false);
    return OUTCOME_DONE;
}

/* Nothing is under way for it, and nothing that its session has makes its requests run in another way. This
 * one has its one key; so it changes none of that before it is done or parked. */
static inline bool is_ordinary_request(const struct task *task, uint32_t count,
                                       const struct prepared *prepared) {
    const struct session *session = &task->session;
    uintptr_t more = (uintptr_t)task->under_way | (uintptr_t)session->transaction |
                     (uintptr_t)session->subscriptions | session->tracks;
    return more == 0 && session->reply_mode == REPLY_ON && session->is_authenticated && !task->is_closer &&
           prepared != NULL && prepared->has_key && prepared->command->has_scope && count <= LONG_ELEMENTS;
}

/* It is there twice: once for ordinary requests, of which little is to be asked. */
static inline __attribute__((always_inline)) enum outcome
dispatch(struct worker *worker, struct task *task, const struct bulk *arguments, uint32_t count,
         struct prepared *prepared, struct reply *reply, const bool is_ordinary) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct session *session = &task->session;
    struct frame *frame = worker->frame;
    struct execution execution;
    struct call *call = &execution.call;
    bool hears = !is_ordinary && session->subscriptions != NULL;
    if (hears && trackers_are_due(worker, session)) trackers_settle(worker);
    size_t mark = reply_mark(reply);
    reply_errors_clear(reply);
    reply->protocol = session->protocol;
    execution_begin(&execution, worker, task, reply, is_ordinary);
    call->arguments = arguments;
    call->count = count;
    if (is_ordinary || (prepared != NULL && prepared->command != NULL)) {
        call->command = prepared->command;
        execution.prepared = prepared;
    } else if (task->under_way != NULL && task->under_way->errand != NULL) {
        call->command = task->under_way->errand->command; /* its arguments may have been handed over */
    }
    /* What has begun was admitted then, and must take its own answer: the next request would. */
    bool is_new = is_ordinary || (!task->is_closer && task->under_way == NULL);
    if ((call->command == NULL && !command_check(arguments, count, &call->command, reply)) ||
        (is_new && !is_admitted(&execution))) {
        account_untimed(worker); /* it might have been the one that its neighbours are timed with */
        if (call->command != NULL) statistics_count_rejected(dispatcher->statistics, call->command);
        transaction_refused(&execution, mark);
        statistics_count_error(reply->error_code, 1);
        apply_reply_mode(session, reply, mark, false);
        if (hears) end_caching(session, call->command);
        return OUTCOME_DONE;
    }
    task->last_command = (uint16_t)(call->command->id + 1);
    const struct under_way *under_way = is_ordinary ? NULL : task->under_way;
    bool has_waited = under_way != NULL && (under_way->blocked != NULL ||
                                            under_way->waits_again); /* for a key: monitors have seen it */
    if (waits_for_pause(&execution)) return OUTCOME_PARKED;
    if (!is_ordinary && session->transaction != NULL && transaction_takes(session, call->command))
        return queue_request(&execution, mark);
    if (frame->boundary_task != task) {
        frame->boundary_task = task;
        frame->boundary = clock_cycles();
    }
    if (run_command(&execution) == OUTCOME_PARKED) {
        frame->boundary_task = NULL;
        if (execution.blocked != NULL && !has_waited && monitor_is_on()) feed_monitors(&execution, true);
        return OUTCOME_PARKED;
    }
    if (task->under_way != NULL) under_way_end(task);
    task->refusals = 0;
    closer_give_up(worker, task); /* it had no memory to try again */
    answer_without_memory(&execution, mark);
    expect_one_reply(&execution, mark);
    if (!execution.is_errands) account(&execution);
    bool is_monitored = monitor_is_on() && !has_waited && !execution.is_rejected && !execution.is_errands;
    bool hears_itself = is_monitored && session->reply_mode != REPLY_OFF &&
                        session->reply_mode != REPLY_SKIP && !session->closes_after_reply;
    if (!is_ordinary) apply_reply_mode(session, reply, mark, call->command->answers_each);
    if (is_monitored) feed_monitors(&execution, hears_itself);
    if (!is_ordinary && session->subscriptions != NULL) { /* it may just have become one that hears */
        end_caching(session, call->command);
        later_tell(worker, task, reply);
    }
    return OUTCOME_DONE;
}

enum outcome dispatch_request(struct worker *worker, struct task *task, const struct bulk *arguments,
                              uint32_t count, struct prepared *prepared, struct reply *reply) {
    if (is_ordinary_request(task, count, prepared))
        return dispatch(worker, task, arguments, count, prepared, reply, true);
    return dispatch(worker, task, arguments, count, prepared, reply, false);
}

void dispatch_forget(struct worker *worker, struct task *task) {
    struct frame *frame = worker->frame;
    task_queue_remove(task);
    closer_give_up(worker, task);
    if (frame->boundary_task == task) frame->boundary_task = NULL;
    later_forget(worker, task);
    monitor_forget(task);
    subscriptions_forget(worker, task);
    tracking_forget(worker, task);
    transaction_end(worker, task);
    struct under_way *under_way = task->under_way;
    if (under_way == NULL) return;
    if (under_way->blocked != NULL) {
        blocking_cancel(under_way->blocked, WAITER_TIMED_OUT);
        wait_end(worker, under_way);
    }
    if (under_way->inquiry != NULL) inquiry_leave(under_way);
    if (under_way->errand != NULL) errand_leave(under_way->errand);
    under_way_end(task);
}

/* ------------------------------------------------------------------ a wait for a key */

bool dispatch_unblock(struct task *task, bool is_error) {
    const struct under_way *under_way = task->under_way;
    if (under_way == NULL || under_way->blocked == NULL) return false;
    if (!blocking_cancel(under_way->blocked, is_error ? WAITER_UNBLOCKED : WAITER_TIMED_OUT)) return false;
    task_wake(task);
    return true;
}

bool dispatch_must_end(const struct task *task) {
    const struct transaction *transaction = task->session.transaction;
    return task->under_way != NULL && transaction != NULL && transaction->phase == TRANSACTION_DOES;
}

size_t dispatch_bytes(const struct task *task) {
    const struct under_way *under_way = task->under_way;
    if (under_way == NULL) return 0;
    return (under_way->blocked == NULL ? 0 : under_way->blocked->bytes) +
           (under_way->errand == NULL ? 0 : under_way->errand->bytes) + under_way->further.kept_bytes +
           many_keys_bytes(under_way->many.room);
}

void dispatch_batch_end(struct worker *worker) {
    account_untimed(worker);
}
