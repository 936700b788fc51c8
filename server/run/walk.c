#include "walk.h"

#include "shard/keyspace.h"
#include "server/base/clock.h"
#include "server/broadcast/notify.h"
#include "execute.h"
#include "leave.h"
#include "park.h"
#include "pause.h"
#include "slow_script.h"
#include "take.h"
#include "under_way.h"

/* A walk that has taken so long lets its worker's other clients go first. */
#define WALK_SLICE_NS 1000000

/* It may meet what has expired, and somebody wants to be told of that: so it needs the shard for itself. */
static bool walks_alone(const struct execution *execution, const struct walk *walk) {
    return execution->call.command->removes_dead && reads_remove_dead(execution) &&
           keyspace_shard_expiring(execution->frame->keyspace, walk->shard, execution->call.database) > 0;
}

/* The frame's one shard. */
static bool try_shard(const struct execution *execution, bool is_alone, struct write_scope *scope,
                      struct rwlock **busy) {
    struct frame *frame = execution->frame;
    return is_alone ? scope_try_write(scope, frame->lane, &frame->shards, execution->call.now, busy)
                    : scope_try_read(&scope->reading, frame->lane, &frame->shards, execution->call.now, busy);
}

static void end_shard(bool is_alone, struct write_scope *scope) {
    if (is_alone)
        scope_end_write(scope);
    else
        scope_end_read(&scope->reading);
}

/* With one shard. */
static void walk_shard(struct execution *execution, struct walk *walk, bool is_alone,
                       struct write_scope *scope) {
    scope->scope.counts_access = false;
    execution->call.command->walk(&scope->reading, &execution->call, walk, execution->reply);
    if (is_alone) execute_conclude(execution, scope);
    end_shard(is_alone, scope);
    if (walk->is_long) lane_refresh(execution->frame->lane);
    execution->task->refusals = 0;
}

/* The next step. false: parked. */
static bool walk_on(struct execution *execution, struct walk *walk) {
    struct frame *frame = execution->frame;
    struct lane *lane = frame->lane;
    struct write_scope scope;
    struct rwlock *busy;
    bool is_alone = walks_alone(execution, walk);
    shard_set_clear(&frame->shards);
    shard_set_add(&frame->shards, walk->shard);
    if (execution->task->is_closer || execution->task->refusals >= REFUSALS_MOST) {
        if (!close_gate(execution->worker, execution->task)) return false;
        gate_enter_closed(lane);
        if (try_shard(execution, is_alone, &scope, &busy)) { /* nobody holds one outside of the gate */
            if (walk->is_long) lane_hold_still(lane);
            open_gate(execution->worker, execution->task);
            walk_shard(execution, walk, is_alone, &scope);
        }
        return true;
    }
    if (lane_is_watched(lane)) lane_leave(lane);
    if (!enter_or_park(execution->worker, execution->task)) return false;
    lane_refresh(lane);
    if (!try_shard(execution, is_alone, &scope, &busy)) {
        walk->is_done = refuses_busy(execution, slow_scripts_busy(walk->shard));
        if (walk->is_done) return true;
        execution->task->refusals++;
        return !park_on_lock(execution->worker, execution->task, busy, is_alone);
    }
    if (walk->is_long) lane_hold_still(lane);
    if (walk->is_long && gate_is_wanted(lane)) {
        end_shard(is_alone, &scope);
        return !begins_later(execution, BEGINS_LATER);
    }
    walk_shard(execution, walk, is_alone, &scope);
    return true;
}

/* Inside the gate. */
static bool is_long_walk(const struct execution *execution) {
    struct keyspace_size size;
    if ((execution->call.command->flags & COMMAND_LONG) == 0 || !may_leave(execution)) return false;
    keyspace_size(execution->frame->keyspace, execution->call.database, &size);
    return size.keys > LONG_ELEMENTS;
}

enum outcome run_walk(struct execution *execution) {
    if (execution->call.command->removes_dead && notify_is_on() && !execution->task->is_closer &&
        tells_too_much(execution))
        return OUTCOME_PARKED;
    struct under_way *under_way = under_way_of(execution->task);
    if (under_way == NULL) return execution_lacks_memory(execution);
    struct walk *walk = &under_way->walk;
    if (!under_way->is_walking) {
        if (refuses_at_gate(execution)) return OUTCOME_DONE;
        if (!enter_or_park(execution->worker, execution->task))
            return OUTCOME_PARKED; /* it looks where there are keys */
        if (is_long_walk(execution) && leave(execution)) return OUTCOME_PARKED;
        under_way->is_walking = true;
        reply_init(&walk->items, execution->call.protocol);
        walk->items.most = execution->reply->most;
        execution->call.command->walk(NULL, &execution->call, walk, execution->reply);
    }
    uint64_t began = clock_cycles();
    while (!walk->is_done && !walk->items.is_over) {
        if (!walk_on(execution, walk)) return OUTCOME_PARKED;
        if (walk->is_done || clock_cycles_to_ns(clock_cycles() - began) < WALK_SLICE_NS) continue;
        task_park(execution->task, PARK_ON_OTHERS);
        task_wake(execution->task); /* behind those that are ready */
        return OUTCOME_PARKED;
    }
    if (walk->items.is_over) execution->reply->is_broken = execution->reply->is_over = true;
    under_way_end(execution->task);
    return OUTCOME_DONE;
}
