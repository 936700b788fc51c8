/* Executing: a command's function is called, in a scope that is already there or without one.
 *
 * A scope may have several calls run in it, one after the other, and is concluded once, before it ends. */
#ifndef SERVER_RUN_EXECUTE_H
#define SERVER_RUN_EXECUTE_H

#include "dispatcher.h"

/* Runs the execution's call, whose row reads or writes. The scope holds the shards of its keys. */
void execute_read(struct execution *execution, struct read_scope *scope);
void execute_write(struct execution *execution, struct write_scope *scope);
/* One of several calls that share a scope: whatever its row is but one that concerns other workers. write is
 * NULL if the scope is shared, read if there is none. */
void execute_inside(struct execution *execution, const struct call *call, struct write_scope *write,
                    const struct read_scope *read, struct reply *reply);
/* While its shards are still held: whoever waits for what was filled is served; and if the command itself
 * would wait, it is registered (execution->blocked). The set that the scope was taken with is the frame's and
 * may grow. */
void execute_conclude_waits(struct execution *execution, struct write_scope *scope);
static inline void execute_conclude(struct execution *execution, struct write_scope *scope) {
    if (blocking_is_on() || execution->block.wants) execute_conclude_waits(execution, scope);
}

/* Most reads need no lock: they look, and look whether they have seen one moment. false if not, and what was
 * replied has been taken back. The lane is inside the gate. */
bool execute_without_lock(struct execution *execution);

/* Commands that need no shard. They need not enter the gate, so that they are answered whoever has closed
 * it. */
void execute_without_shards(struct execution *execution);

#endif
