#include "execute.h"

#include <assert.h>

#include "shard/keyspace.h"
#include "server/interest/tracking.h"
#include "account.h"
#include "permit.h"
#include "under_way.h"

/* Bytes of values that a command discards, above which its client waits for them if others have discarded
 * much as well. */
#define DISCARDED_MUCH 65536

inline void execute_read(struct execution *execution, struct read_scope *scope) {
    scope->scope.counts_access = !execution->call.session->is_no_touch;
    execution->call.command->read(scope, &execution->call, execution->reply);
}

/* One call, whoever it is for. */
static inline void execute_call(struct write_scope *scope, const struct call *call, struct reply *reply) {
    assert(scope != NULL && call->command->write != NULL && call->now == scope->scope.now);
    call->command->write(scope, call, reply);
}

/* The session holds more than before. */
static void execute_watch(struct execution *execution, struct write_scope *scope) {
    struct session *session = &execution->task->session;
    size_t before = session_bytes(session);
    execution->call.command->watch(scope, session, &execution->call, execution->reply);
    worker_account_session(execution->worker, session, before);
}

inline __attribute__((always_inline)) void execute_write(struct execution *execution,
                                                         struct write_scope *scope) {
    const struct lane *lane = execution->frame->lane;
    struct call *call = &execution->call;
    scope->scope.counts_access = !call->session->is_no_touch;
    scope->scope.author = call->session->id;
    call->block = &execution->block;
    size_t discarded = lane->discarded_bytes;
    if (call->command->watch == NULL)
        execute_call(scope, call, execution->reply);
    else
        execute_watch(execution, scope);
    execution->task->has_discarded = lane->discarded_bytes > discarded + DISCARDED_MUCH;
    call->block = NULL;
}

static void register_waiter(struct execution *execution, const struct write_scope *scope) {
    const struct block *block = &execution->block;
    const struct under_way *under_way = execution->task->under_way;
    struct blocked_client *waiter =
        blocking_register(execution->worker, execution->task, scope, &execution->call, block);
    execution->blocked = waiter;
    if (waiter == NULL)
        reply_error(execution->reply, ERROR_NO_MEMORY);
    else if (under_way != NULL && under_way->waits_again)
        waiter->deadline = under_way->deadline;
    else if (block->timeout > 0)
        waiter->deadline = execution->worker->now_monotonic + block->timeout + 1; /* not a moment too early */
}

/* What it waited for is there, and it may not have that by now: it is left to the next one. */
static bool is_denied(struct blocked_client *waiter, const struct call *call) {
    struct denial denial = permission_of(waiter->user, worker_self(), call);
    waiter->is_denied = denial.verdict != VERDICT_ALLOWED;
    waiter->verdict = (uint8_t)denial.verdict;
    waiter->denied_at = denial.position;
    return waiter->is_denied;
}

static __attribute__((noinline)) void serve_waiters(struct write_scope *scope, struct shard_set *held) {
    struct serving serving = {.next = NULL};
    uint64_t author = scope->scope.author;
    while (blocking_next(&serving, scope, held)) {
        struct block block = {.wants = false};
        if (users_are_on() && is_denied(serving.waiter, &serving.call)) {
            blocking_served(&serving);
            continue;
        }
        serving.call.block = &block;
        scope->scope.author = serving.waiter->client;
        tracking_note(serving.waiter->tracks, &serving.call);
        execute_call(scope, &serving.call, serving.reply);
        assert(!block.wants && "there is something to take, or an error to tell");
        blocking_served(&serving);
    }
    scope->scope.author = author;
}

void execute_conclude_waits(struct execution *execution, struct write_scope *scope) {
    if (blocking_is_on()) serve_waiters(scope, scope->scope.held == NULL ? NULL : &execution->frame->shards);
    if (execution->block.wants) register_waiter(execution, scope);
}

inline bool execute_without_lock(struct execution *execution) {
    struct frame *frame = execution->frame;
    struct read_scope scope;
    if ((execution->call.command->flags & COMMAND_OPTIMISTIC) == 0 || execution->call.key_count > LOOK_SHARDS)
        return false;
    size_t mark = reply_mark(execution->reply);
    scope_look(&scope, frame->lane, &frame->look, execution->call.now);
    frame->look.is_long = (execution->call.command->flags & COMMAND_LONG) != 0;
    execute_read(execution, &scope);
    if (scope_end_look(&scope)) return true;
    reply_truncate(execution->reply, mark);
    reply_errors_clear(execution->reply);
    return false;
}

/* ------------------------------------------------------------------ without shards */

/* What the client calls itself may be another name then. */
static void execute_for_session(struct execution *execution, const struct call *call, struct reply *reply) {
    struct session *session = &execution->task->session;
    size_t before = session_bytes(session);
    call->command->session(session, call, reply);
    worker_account_session(execution->worker, session, before);
}

void execute_without_shards(struct execution *execution) {
    const struct command *command = execution->call.command;
    struct lane *lane = execution->frame->lane;
    bool observes = (command->flags & COMMAND_SUMS) != 0 && !lane_is_inside(lane);
    if (observes) lane_observe(lane);
    if (command->plain != NULL)
        command->plain(&execution->call, execution->reply);
    else if (command->session != NULL)
        execute_for_session(execution, &execution->call, execution->reply);
    else
        command->worker(execution->worker, execution->task, &execution->call, execution->reply);
    if (observes) lane_leave(lane);
}

/* ------------------------------------------------------------------ one of several */

/* With every shard in the scope. */
static void walk_inside(const struct call *call, const struct read_scope *read, struct reply *reply) {
    struct scope *scope = (struct scope *)(uintptr_t)&read->scope;
    bool counts_access = scope->counts_access;
    struct walk walk = {.shard = 0};
    scope->counts_access = false;
    reply_init(&walk.items, call->protocol);
    walk.items.most = reply->most;
    call->command->walk(NULL, call, &walk, reply);
    while (!walk.is_done && !walk.items.is_over) call->command->walk(read, call, &walk, reply);
    scope->counts_access = counts_access;
    if (walk.items.is_over) reply->is_broken = reply->is_over = true;
    reply_free(&walk.items);
}

/* INFO in a script: it looks at shards that are not held. */
static __attribute__((noinline)) void sum_inside(struct execution *execution, const struct call *call,
                                                 struct reply *reply) {
    struct lane *lane = execution->frame->lane;
    bool is_still = lane_is_still(lane);
    if (is_still) lane_observe_still(lane);
    call->command->plain(call, reply);
    if (is_still) lane_hold_still(lane);
}

void execute_inside(struct execution *execution, const struct call *call, struct write_scope *write,
                    const struct read_scope *read, struct reply *reply) {
    const struct command *command = call->command;
    tracking_note(execution->task->session.tracks, call);
    if (command->plain != NULL && (command->flags & COMMAND_SUMS) != 0)
        sum_inside(execution, call, reply);
    else if (command->plain != NULL)
        command->plain(call, reply);
    else if (command->worker != NULL)
        command->worker(execution->worker, execution->task, call, reply);
    else if (command->session != NULL)
        execute_for_session(execution, call, reply);
    else if (command->walk != NULL)
        walk_inside(call, read, reply);
    else if (write == NULL && command->view != NULL)
        command->view(read, call, reply);
    else if (call_writes(call))
        execute_call(write, call, reply);
    else
        command->read(read, call, reply);
}
