/* Taking: the shards that a command needs, each by a try; and in them the command is executed.
 *
 *     a look, without any lock  ->  its shards, one after the other  ->  the gate, which is the lock of all
 *
 * If a shard is busy, what was taken is given back, and the task is parked on that lock, to try again. A
 * request that was refused too often closes the gate, outside of which nobody holds a shard; it lets the
 * others in again before it runs, unless it needs every shard. */
#ifndef SERVER_RUN_TAKE_H
#define SERVER_RUN_TAKE_H

#include "dispatcher.h"
#include "slow_script.h"
#include "under_way.h"

/* By its row, or a script in it has found that it does. */
static inline bool wants_all(const struct execution *execution) {
    const struct under_way *under_way = execution->task->under_way;
    return (execution->call.command->flags & COMMAND_ALL_SHARDS) != 0 ||
           (under_way != NULL && under_way->wants_all);
}

/* It would tell others more than they can read: then it waits, and is parked. Before its first step. */
bool tells_too_much(struct execution *execution);
/* With what its row asks for: room for what it writes, the gate, or the shards of its keys, which are
 * found. */
enum outcome run_with_scope(struct execution *execution);
/* The same, as a call: for what is more than a small request. */
enum outcome run_larger_with_scope(struct execution *execution);
/* The lane is inside the gate for the first. The command is done, or parked. */
enum outcome run_with_keys(struct execution *execution);
/* With every shard, or, for a closer, with its keys'. is_again: it is to be run with its keys' shards and
 * with those that it has found meanwhile. */
enum outcome run_with_gate(struct execution *execution, bool *is_again);
/* With the shards that have a table of the call's database, however few they are: none, if it is empty. */
enum outcome run_with_database(struct execution *execution);

/* Whether what may take long may begin, now that it holds its shards. */
enum beginning {
    BEGINS,
    BEGINS_AGAIN,     /* with the shards given back */
    BEGINS_LATER,     /* likewise, when nobody wants the gate */
    BEGINS_ELSEWHERE, /* likewise, on another thread */
};
/* Whether a call goes over so much, in its keys' shards, which are held, that it is rather another
 * thread's. */
bool call_takes_long(const struct call *call, const struct scope *held);
/* It doesn't begin, and has given its shards back. false: it is to begin at once; else its task is parked. */
bool begins_later(struct execution *execution, enum beginning beginning);
/* error: why a script that takes too long keeps it out (slow_script.h), or NULL. true: that is replied. */
bool refuses_busy(struct execution *execution, const char *error);
/* Likewise of one that has the gate. */
static inline bool refuses_at_gate(struct execution *execution) {
    return !lane_is_inside(execution->frame->lane) && refuses_busy(execution, slow_scripts_busy_everywhere());
}
/* With the gate just closed and entered, the frame's shards are all free. */
bool take_free_for_read(struct execution *execution, struct read_scope *scope);

#endif
