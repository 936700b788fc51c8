/* Scripts that take long: what others see of them, and how they are ended.
 *
 * One that has run for longer than busy-reply-threshold is known to be busy: who needs its shards is told so
 * rather than made to wait, and those that wait already are woken to be told. It can be killed as long as it
 * has written nothing. */
#ifndef SERVER_RUN_SLOW_SCRIPT_H
#define SERVER_RUN_SLOW_SCRIPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shard/base/mutex.h"
#include "shard/keyspace.h"
#include "shard/lock/gate.h"
#include "shard/scope/shard_set.h"
#include "resp/reply.h"
#include "server/command/command.h"

/* The run at hand of one thread, for others to look at. */
struct slow_script {
    struct slow_script *next;   /* another thread's */
    _Atomic int64_t runs_since; /* monotonic ms; 0: nothing runs that has taken a while */
    _Atomic bool has_written, is_killed, is_function;
    /* The rest is its thread's. */
    bool is_busy, is_long;
    const char *name;
    const struct call *call;
    struct mutex mutex;
    struct reply shown GUARDED_BY(&mutex); /* what FUNCTION STATS tells of one that is busy */
};

/* Around all of it: before and after the workers. */
bool slow_scripts_start(const struct keyspace *keyspace);
void slow_scripts_stop(void);

/* From then on others look at it; to be freed when no other thread is left. */
void slow_script_init(struct slow_script *slow);
void slow_script_free(struct slow_script *slow);
/* A run begins. name and call stay until its end. */
void slow_script_begin(struct slow_script *slow, const char *name, bool is_function, const struct call *call);
/* Now and then in one that has taken more than a moment: nanoseconds so far, and the shards that it holds
 * (NULL: all). True: it has been killed, or keeps the server from its end. */
bool slow_script_goes_on(struct slow_script *slow, struct lane *lane, uint64_t nanoseconds, bool has_written,
                         const struct shard_set *held);
/* It holds one more. */
void slow_script_grows(struct slow_script *slow, struct lane *lane, uint32_t shard);
void slow_script_end(struct slow_script *slow, const struct shard_set *held);

/* The error for who needs that shard, or (scripts_busy_any) any: a script holds it that has taken too long.
 * NULL: none does. Any thread. */
const char *slow_scripts_busy(uint32_t shard);
const char *slow_scripts_busy_any(void);
/* Likewise if one holds all of them, by the gate. */
const char *slow_scripts_busy_everywhere(void);
/* Whether so many threads run scripts that have taken too long: then nobody should wait for one of them. */
bool slow_scripts_crowd(uint32_t threads);

/* SCRIPT KILL, FUNCTION KILL and STATS. */
void slow_scripts_kill(bool is_function, struct reply *reply);
/* Replies the oldest function that is busy, or null. Where only scripts are, it returns the error instead. */
const char *slow_scripts_show(struct reply *reply);

#endif
