#include "take.h"

#include <assert.h>

#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "shard/value/kinds.h"
#include "shard/value/value.h"
#include "server/broadcast/notify.h"
#include "server/interest/tracking.h"
#include "server/task/transaction.h"
#include "account.h"
#include "execute.h"
#include "further.h"
#include "leave.h"
#include "memory.h"
#include "park.h"
#include "pause.h"
#include "slow_script.h"
#include "wait.h"

/* While somebody waits for the gate, what may take long is let begin if it goes over no more elements than
 * this. */
#define SHORT_ELEMENTS 4096
/* So many bytes of a string are as much work as an element. */
#define ELEMENT_BYTES 16

static bool is_long_by_arguments(const struct call *call) {
    return (call->command->flags & COMMAND_LONG_BY_ARGUMENTS) != 0 &&
           call->command->work(call, WORK_UNKNOWN) > SHORT_ELEMENTS;
}

/* A DEL of a million keys takes as long as any. */
static inline bool is_long_call(const struct call *call) {
    uint32_t flags = call->command->flags & (COMMAND_LONG | COMMAND_LONG_BY_ARGUMENTS);
    if (flags != 0) return (flags & COMMAND_LONG) != 0 || is_long_by_arguments(call);
    return call->key_count > SHORT_ELEMENTS;
}

static inline bool is_long(const struct execution *execution) {
    return is_long_call(&execution->call);
}

/* How many elements of an operand it goes over. */
static uint64_t work_of(const struct call *call, const struct entry *entry) {
    const struct command *command = call->command;
    if (command->work_in != NULL) return entry == NULL ? 0 : command->work_in(call, entry);
    if (entry == NULL) return command->work == NULL ? 0 : command->work(call, 0) / ELEMENT_BYTES;
    bool is_string = entry_type(entry) == TYPE_STRING;
    uint64_t size =
        is_string ? entry_string_length(entry) : value_kind(entry_type(entry))->count(entry_value(entry));
    uint64_t work = command->work == NULL ? size : command->work(call, size);
    return is_string ? work / ELEMENT_BYTES : work;
}

/* Whether it goes over so many elements at most. */
static bool is_small(const struct call *call, const struct scope *held, uint64_t most) {
    const struct read_scope scope = {*held};
    uint64_t elements = call->count;
    for (uint32_t i = 0; i < call->key_count && elements <= most; i++)
        elements += work_of(call, scope_peek(&scope, &call->keys[i]));
    return elements <= most;
}

bool call_takes_long(const struct call *call, const struct scope *held) {
    return is_long_call(call) && !is_small(call, held, LONG_ELEMENTS);
}

/* Whether it is rather another thread's. It goes over the operands, so that it is asked once a try. */
static bool is_to_leave(const struct execution *execution, const struct scope *held) {
    return may_leave(execution) && call_takes_long(&execution->call, held);
}

/* What takes long holds its shards and nothing else: what others retire meanwhile need not wait for it, nor
 * must anybody wait for the gate with it, so that it begins only when the gate isn't wanted. */
static __attribute__((noinline)) enum beginning begin_long(const struct execution *execution,
                                                           const struct scope *held) {
    struct lane *lane = execution->frame->lane;
    bool is_by_arguments = (execution->call.command->flags & COMMAND_LONG_BY_ARGUMENTS) != 0;
    if (is_by_arguments && is_small(&execution->call, held, SHORT_ELEMENTS)) return BEGINS;
    if (is_to_leave(execution, held)) return BEGINS_ELSEWHERE;
    if (gate_is_wanted(lane)) return is_small(&execution->call, held, SHORT_ELEMENTS) ? BEGINS : BEGINS_LATER;
    lane_hold_still(lane);
    return gate_is_wanted(lane) ? BEGINS_AGAIN : BEGINS;
}

static inline enum beginning begin(const struct execution *execution, const struct scope *held) {
    return is_long(execution) ? begin_long(execution, held) : BEGINS;
}

/* A task that has to wait too often takes the gate itself, so that those who want
 * it can't keep it out for ever. And where the gate is wanted by another client of this worker, which is
 * about to try again, that one must not be made to wait for this one's waiter: so this one just goes behind
 * it. */
bool begins_later(struct execution *execution, enum beginning beginning) {
    struct worker *worker = execution->worker;
    struct frame *frame = execution->frame;
    if (beginning == BEGINS_ELSEWHERE) return leave(execution);
    lane_refresh(frame->lane);
    if (beginning == BEGINS_AGAIN) return false;
    execution->task->refusals++;
    lane_leave(frame->lane);
    bool goes_behind = frame->lane->wants_gate && !queue_is_waiting(&worker->dispatcher->gate_queue);
    if (!goes_behind && !wait_until_unwanted(worker)) return !enter_or_park(worker, execution->task);
    park_at_gate(worker, execution->task);
    if (goes_behind) task_wake(execution->task);
    return true;
}

/* The function itself. */
static void run_read(struct execution *execution, struct read_scope *scope) {
    execute_read(execution, scope);
    scope_end_read(scope);
    if (lane_is_still(execution->frame->lane)) lane_refresh(execution->frame->lane);
}

/* What only reads, and has the shards for itself to remove what has expired. If its client keeps copies, it
 * is told of that, too, and so it is noted once more that it has found nothing. */
static __attribute__((noinline)) void execute_read_alone(struct execution *execution,
                                                         struct write_scope *scope) {
    execute_read(execution, &scope->reading);
    tracking_note(execution->task->session.tracks, &execution->call);
}

static inline __attribute__((always_inline)) void execute_alone(struct execution *execution,
                                                                struct write_scope *scope) {
    if (!execution->reads_alone)
        execute_write(execution, scope);
    else
        execute_read_alone(execution, scope);
    execute_conclude(execution, scope);
}

static inline __attribute__((always_inline)) void run_write(struct execution *execution,
                                                            struct write_scope *scope) {
    execute_alone(execution, scope);
    scope_end_write(scope);
    if (lane_is_still(execution->frame->lane)) lane_refresh(execution->frame->lane);
}

/* Whoever waits for one of these keys may need further shards to be served (BLMOVE's destination): they are
 * taken along. */
static bool foresees_more(const struct execution *execution) {
    struct frame *frame = execution->frame;
    shard_set_clear(&frame->more);
    return blocking_foresee(&execution->call, &frame->shards, &frame->more);
}

static bool add_all(struct shard_set *set, const struct shard_set *more) {
    for (uint32_t i = 0; i < more->count; i++)
        if (!shard_set_add(set, more->numbers[i])) return false;
    return true;
}

/* false when out of memory: then there will be an attempt to take them when they are needed. */
static bool take_more(struct frame *frame) {
    return add_all(&frame->shards, &frame->more);
}

static inline __attribute__((always_inline)) bool find_shards(struct execution *execution) {
    struct frame *frame = execution->frame;
    const struct call *call = &execution->call;
    const struct under_way *under_way = execution->task->under_way;
    if (call->key_count == 1) {
        shard_set_be(&frame->shards, keyspace_shard_of(frame->keyspace, call->keys[0].hash));
        return call->further == NULL || add_all(&frame->shards, &under_way->found);
    }
    shard_set_clear(&frame->shards);
    if (call->key_count > FRAME_KEYS && execution->transaction == NULL)
        return add_all(&frame->shards, &under_way->many.shards);
    for (uint32_t i = 0; i < call->key_count; i++)
        if (!shard_set_add(&frame->shards, keyspace_shard_of(frame->keyspace, call->keys[i].hash)))
            return false;
    return call->further == NULL || add_all(&frame->shards, &under_way->found);
}

static bool take_free_for_write(struct execution *execution, struct write_scope *scope) {
    struct frame *frame = execution->frame;
    struct rwlock *busy;
    bool may_foresee = true;
    while (scope_try_write(scope, frame->lane, &frame->shards, execution->call.now, &busy)) {
        if (!blocking_is_on() || !may_foresee || !foresees_more(execution)) return true;
        scope_end_write(scope);
        may_foresee = take_more(frame);
    }
    assert(false && "nobody holds a shard outside of the gate");
    return false;
}

bool take_free_for_read(struct execution *execution, struct read_scope *scope) {
    struct rwlock *busy;
    bool is_taken =
        scope_try_read(scope, execution->frame->lane, &execution->frame->shards, execution->call.now, &busy);
    assert(is_taken && "nobody holds a shard outside of the gate");
    return is_taken;
}

/* Answered at once, as in Redis, and counted as changed, since the script may have changed it, or will. */
static void watch_busy(struct execution *execution) {
    struct session *session = &execution->task->session;
    size_t before = session_bytes(session);
    struct transaction *transaction = transaction_of(&session->transaction);
    if (transaction == NULL) {
        reply_error(execution->reply, ERROR_NO_MEMORY);
    } else if (transaction->is_open) {
        reply_error(execution->reply, "ERR WATCH inside MULTI is not allowed");
    } else {
        transaction->is_touched = true;
        reply_ok(execution->reply);
    }
    worker_account_session(execution->worker, session, before);
}

bool refuses_busy(struct execution *execution, const char *error) {
    if (error == NULL) return false;
    if (execution->call.command->watch != NULL) {
        watch_busy(execution);
        return true;
    }
    if ((execution->call.command->flags & COMMAND_ALLOW_BUSY) != 0) return false;
    reply_error(execution->reply, error);
    execution->is_rejected = true;
    return true;
}

/* Whether it needs its shards for itself, as it writes, or may have to remove what has expired: where it
 * can't be told before. */
static bool takes_alone(struct execution *execution) {
    if (call_writes(&execution->call)) return true;
    execution->reads_alone = execution->reads_alone || reads_remove_dead(execution);
    return execution->reads_alone;
}

/* Whether there is something to remove among what it reads. */
static bool meets_dead(const struct execution *execution, const struct read_scope *scope) {
    const struct call *call = &execution->call;
    if (!reads_remove_dead(execution)) return false;
    if ((call->command->flags & COMMAND_FINDS) != 0) return true; /* what it finds isn't known yet */
    for (uint32_t i = 0; i < call->key_count; i++)
        if (scope_meets_dead(&scope->scope, &call->keys[i])) return true;
    return false;
}

/* ------------------------------------------------------------------ by the gate */

/* With every shard, by the gate. */
static enum outcome run_with_all(struct execution *execution) {
    struct lane *lane = execution->frame->lane;
    if (!takes_alone(execution)) {
        struct read_scope scope;
        scope_all_read(&scope, lane, execution->call.now);
        execute_read(execution, &scope);
        scope_end_read(&scope);
    } else {
        struct write_scope scope;
        scope_all(&scope, lane, execution->call.now);
        execute_alone(execution, &scope);
        scope_end_write(&scope);
    }
    open_gate(execution->worker, execution->task);
    (void)further_end(execution, 0); /* with every shard it wants no more */
    return wait_for_key(execution);
}

/* What a command needs for what becomes of its operands, if that isn't there. */
static __attribute__((noinline)) size_t room_beyond(const struct execution *execution,
                                                    const struct write_scope *scope) {
    const struct lane *lane = execution->frame->lane;
    const struct command *command = execution->call.command;
    size_t needed = command->room(scope, &execution->call) + room_needed(execution);
    return eviction_has_room(lane, needed) ? 0 : needed;
}

static inline size_t room_lacking(const struct execution *execution, const struct write_scope *scope) {
    bool is_asked = execution->call.command->room != NULL && !execution->reads_alone &&
                    eviction_is_limited(execution->frame->lane);
    return is_asked ? room_beyond(execution, scope) : 0;
}

/* A task that was refused too often has closed the gate. It takes its shards, which all are free, and lets
 * the others in again before it runs. */
static enum outcome run_through_gate(struct execution *execution, bool *is_again) {
    struct frame *frame = execution->frame;
    struct read_scope read_scope;
    struct write_scope write_scope;
    bool is_write = takes_alone(execution);
    gate_enter_closed(frame->lane);
    if (!find_shards(execution) || !(is_write ? take_free_for_write(execution, &write_scope)
                                              : take_free_for_read(execution, &read_scope))) {
        lane_leave(frame->lane);
        return run_with_all(execution);
    }
    size_t needed = is_write ? room_lacking(execution, &write_scope) : 0;
    if (needed > 0) { /* others may have some of it, so it is an ordinary request again until it is made */
        bool is_made;
        scope_end_write(&write_scope);
        open_gate(execution->worker, execution->task);
        enum outcome outcome = make_room(execution, needed, &is_made);
        *is_again = is_made;
        return outcome;
    }
    bool leaves = is_to_leave(execution, is_write ? &write_scope.scope : &read_scope.scope);
    /* Before others come in that might want the gate: it is this one's turn. */
    if (is_long(execution) && !leaves) lane_hold_still(frame->lane);
    open_gate(execution->worker, execution->task);
    if (leaves) {
        if (is_write)
            scope_end_write(&write_scope);
        else
            scope_end_read(&read_scope);
        *is_again = !leave(execution);
        return *is_again ? OUTCOME_DONE : OUTCOME_PARKED;
    }
    size_t mark = reply_mark(execution->reply);
    if (is_write)
        run_write(execution, &write_scope);
    else
        run_read(execution, &read_scope);
    *is_again = !further_end(execution, mark);
    return *is_again ? OUTCOME_DONE : wait_for_key(execution);
}

enum outcome run_with_gate(struct execution *execution, bool *is_again) {
    *is_again = false;
    if (wants_all(execution) && refuses_busy(execution, slow_scripts_busy_any())) return OUTCOME_DONE;
    if (!further_begin(execution)) return execution_lacks_memory(execution);
    if (!close_gate(execution->worker, execution->task)) return OUTCOME_PARKED;
    return wants_all(execution) ? run_with_all(execution) : run_through_gate(execution, is_again);
}

/* ------------------------------------------------------------------ one after the other */

/* The frame's shards are most of all: then closing the gate is less work than trying each. */
static bool is_most(const struct frame *frame) {
    return frame->shards.count > keyspace_shard_count(frame->keyspace) / 2;
}

enum outcome run_with_database(struct execution *execution) {
    struct frame *frame = execution->frame;
    struct shard_set *shards = &frame->shards, *more = &frame->more;
    struct write_scope scope;
    bool is_again;
    if (!enter_or_park(execution->worker, execution->task)) return OUTCOME_PARKED;
    shard_set_clear(shards);
    for (bool is_held = false;;) {
        struct rwlock *busy;
        shard_set_clear(more);
        uint32_t missing = keyspace_find_tables(frame->keyspace, execution->call.database, shards, more);
        if (is_held && missing == 0) break;
        if (is_held) scope_end_write(&scope);
        if (more->count < missing || !take_more(frame)) return execution_lacks_memory(execution);
        if (is_most(frame) || execution->task->refusals >= REFUSALS_MOST)
            return run_with_gate(execution, &is_again);
        is_held = scope_try_write(&scope, frame->lane, shards, execution->call.now, &busy);
        if (is_held) continue;
        execution->task->refusals++;
        if (park_on_lock(execution->worker, execution->task, busy, true)) return OUTCOME_PARKED;
    }
    run_write(execution, &scope);
    return wait_for_key(execution);
}

/* A request that was refused too often does, and one that was refused and wants most of all shards. */
static bool takes_gate(const struct execution *execution) {
    uint32_t refusals = execution->task->refusals;
    return wants_all(execution) || (refusals > 0 && (refusals >= REFUSALS_MOST || is_most(execution->frame)));
}

/* With the shards of its keys. */
static enum outcome run_with_shards(struct execution *execution, bool *is_again) {
    struct frame *frame = execution->frame;
    bool is_exclusive = execution->reads_alone || call_writes(&execution->call), may_foresee = true;
    *is_again = false;
    if (!further_begin(execution) || !find_shards(execution)) return execution_lacks_memory(execution);
    size_t mark = reply_mark(execution->reply);
    for (;;) {
        struct rwlock *busy;
        if (takes_gate(execution)) return run_with_gate(execution, is_again);
        if (is_exclusive) {
            struct write_scope scope;
            if (scope_try_write(&scope, frame->lane, &frame->shards, execution->call.now, &busy)) {
                if (blocking_is_on() && may_foresee && foresees_more(execution)) {
                    scope_end_write(&scope);
                    may_foresee = take_more(frame);
                    continue;
                }
                size_t needed = room_lacking(execution, &scope);
                if (needed > 0) {
                    bool is_made;
                    scope_end_write(&scope);
                    enum outcome outcome = make_room(execution, needed, &is_made);
                    if (!is_made) return outcome;
                    continue;
                }
                enum beginning beginning = begin(execution, &scope.scope);
                if (beginning == BEGINS) {
                    run_write(execution, &scope);
                    *is_again = !further_end(execution, mark);
                    return *is_again ? OUTCOME_DONE : wait_for_key(execution);
                }
                scope_end_write(&scope);
                if (begins_later(execution, beginning)) return OUTCOME_PARKED;
                continue;
            }
        } else {
            struct read_scope scope;
            if (scope_try_read(&scope, frame->lane, &frame->shards, execution->call.now, &busy)) {
                if (meets_dead(execution, &scope)) {
                    scope_end_read(&scope);
                    is_exclusive = execution->reads_alone = true;
                    continue;
                }
                enum beginning beginning = begin(execution, &scope.scope);
                if (beginning == BEGINS) {
                    run_read(execution, &scope);
                    *is_again = !further_end(execution, mark);
                    return OUTCOME_DONE;
                }
                scope_end_read(&scope);
                if (begins_later(execution, beginning)) return OUTCOME_PARKED;
                continue;
            }
        }
        if (refuses_busy(execution, slow_scripts_busy(keyspace_lock_number(frame->keyspace, busy))))
            return OUTCOME_DONE;
        execution->task->refusals++;
        if (park_on_lock(execution->worker, execution->task, busy, is_exclusive)) return OUTCOME_PARKED;
    }
}

/* Somebody may be told of what it changes. */
static inline bool may_be_told(void) {
    return notify_is_on() || trackers_are_wanted();
}

__attribute__((noinline)) bool tells_too_much(struct execution *execution) {
    return execution->task->under_way == NULL && !may_tell(execution);
}

/* Not by a look. */
static __attribute__((noinline)) enum outcome run_with_locks(struct execution *execution) {
    bool is_again;
    enum outcome outcome;
    if (!call_writes(&execution->call) && notify_is_on() && !execution->task->is_closer &&
        tells_too_much(execution))
        return OUTCOME_PARKED;
    do outcome = run_with_shards(execution, &is_again);
    while (is_again);
    return outcome;
}

inline enum outcome run_with_keys(struct execution *execution) {
    return execute_without_lock(execution) ? OUTCOME_DONE : run_with_locks(execution);
}

/* What comes before the first try isn't repeated for a closer: it would be held up by the gate that it keeps
 * closed itself. */
static __attribute__((noinline)) enum outcome run_with_more(struct execution *execution) {
    bool is_again;
    if (!execution->task->is_closer && (execution->call.command->flags & COMMAND_ONE_DATABASE) != 0)
        return run_with_database(execution);
    enum outcome outcome = run_with_gate(execution, &is_again);
    return is_again ? run_with_keys(execution) : outcome;
}

/* Here and in what it calls `inline` is for the linker, which sees all files at once: a small request spends
 * as long on calls as on what they do. */
inline __attribute__((always_inline)) enum outcome run_with_scope(struct execution *execution) {
    bool is_closer = !execution->is_ordinary && execution->task->is_closer;
    if ((execution->call.command->flags & COMMAND_DENYOOM) != 0 && !is_closer) {
        bool is_made;
        enum outcome outcome = make_room(execution, room_to_make(execution), &is_made);
        if (!is_made) return outcome;
    }
    if (call_writes(&execution->call) && !is_closer && may_be_told() && tells_too_much(execution))
        return OUTCOME_PARKED;
    if (is_closer || wants_all(execution)) return run_with_more(execution);
    if (call_writes(&execution->call) && !may_retire(execution)) return OUTCOME_PARKED;
    if (refuses_at_gate(execution)) return OUTCOME_DONE;
    if (!enter_or_park(execution->worker, execution->task)) return OUTCOME_PARKED;
    return run_with_keys(execution);
}

enum outcome run_larger_with_scope(struct execution *execution) {
    return run_with_scope(execution);
}
