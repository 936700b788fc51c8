#include "slow_script.h"

#include <stdlib.h>

#include "shard/lock/rwlock.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "server/worker/worker.h"

#define BUSY_WITH_SCRIPT                                                                                     \
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
#define BUSY_WITH_FUNCTION                                                                                   \
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
/* As much of a call's arguments is shown. */
#define SHOWN_MOST 65536
/* A function counts as so many scripts. */
#define FUNCTION 65536u

static struct slow_script *_Atomic first; /* of all threads that have run a script */
/* How many scripts and functions have taken too long: all, those that hold every shard, and by shard. */
static _Atomic uint32_t busy_anywhere, busy_everywhere, *busy;

bool slow_scripts_start(const struct keyspace *keyspace) {
    busy = calloc(keyspace_shard_count(keyspace), sizeof *busy);
    return busy != NULL;
}

void slow_scripts_stop(void) {
    free((void *)busy);
    busy = NULL;
}

static const char *error_for(uint32_t count) {
    return count >= FUNCTION ? BUSY_WITH_FUNCTION : count > 0 ? BUSY_WITH_SCRIPT : NULL;
}

const char *slow_scripts_busy(uint32_t shard) {
    if (slow_scripts_busy_any() == NULL) return NULL;
    const char *everywhere = slow_scripts_busy_everywhere();
    return everywhere != NULL ? everywhere : error_for(atomic_load(&busy[shard]));
}

bool slow_scripts_crowd(uint32_t threads) {
    uint32_t count = atomic_load_explicit(&busy_anywhere, memory_order_relaxed);
    return count / FUNCTION + count % FUNCTION >= threads;
}

const char *slow_scripts_busy_everywhere(void) {
    return error_for(atomic_load_explicit(&busy_everywhere, memory_order_relaxed));
}

const char *slow_scripts_busy_any(void) {
    return error_for(atomic_load_explicit(&busy_anywhere, memory_order_relaxed));
}

/* ------------------------------------------------------------------ one thread's */

void slow_script_init(struct slow_script *slow) {
    mutex_init(&slow->mutex);
    mutex_lock(&slow->mutex);
    reply_init(&slow->shown, 2);
    mutex_unlock(&slow->mutex);
    slow->next = atomic_load(&first);
    while (!atomic_compare_exchange_weak(&first, &slow->next, slow)) {
    }
}

void slow_script_free(struct slow_script *slow) {
    if (atomic_load(&first) == slow) {
        atomic_store(&first, slow->next);
    } else {
        struct slow_script *before = atomic_load(&first);
        while (before->next != slow) before = before->next;
        before->next = slow->next;
    }
    mutex_lock(&slow->mutex);
    reply_free(&slow->shown);
    mutex_unlock(&slow->mutex);
}

static uint32_t weight(const struct slow_script *slow) {
    return atomic_load_explicit(&slow->is_function, memory_order_relaxed) ? FUNCTION : 1;
}

void slow_script_begin(struct slow_script *slow, const char *name, bool is_function,
                       const struct call *call) {
    slow->is_long = slow->is_busy = false;
    slow->name = name;
    slow->call = call;
    atomic_store_explicit(&slow->is_function, is_function, memory_order_relaxed);
}

static void show(struct slow_script *slow) {
    const struct call *call = slow->call;
    uint32_t count = 0;
    size_t length = 0;
    while (count < call->count && length + call->arguments[count].length <= SHOWN_MOST)
        length += call->arguments[count++].length;
    mutex_lock(&slow->mutex);
    reply_bulk_text(&slow->shown, "name");
    reply_bulk_text(&slow->shown, slow->name);
    reply_bulk_text(&slow->shown, "command");
    reply_array(&slow->shown, count);
    for (uint32_t i = 0; i < count; i++)
        reply_bulk(&slow->shown, call->arguments[i].data, call->arguments[i].length);
    mutex_unlock(&slow->mutex);
}

/* Counts it, or, by less than nothing (modulo 2^32), no more. */
static void busy_count(const struct shard_set *held, uint32_t by) {
    atomic_fetch_add(&busy_anywhere, by);
    if (held == NULL) atomic_fetch_add(&busy_everywhere, by);
    for (uint32_t i = 0; held != NULL && i < held->count; i++) atomic_fetch_add(&busy[held->numbers[i]], by);
}

/* From now on who needs its shards is told so. */
static void become_busy(struct slow_script *slow, struct lane *lane, const struct shard_set *held) {
    slow->is_busy = true;
    show(slow);
    busy_count(held, weight(slow)); /* before anybody is woken, who must see it */
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        rwlock_wake(keyspace_lock(lane->keyspace, held->numbers[i]));
    gate_wake(lane->gate);
    log_write(
        LOG_WARNING,
        "A script has been running for longer than busy-reply-threshold: %s. %s KILL ends it, as long as "
        "it has written nothing.",
        slow->name, weight(slow) == FUNCTION ? "FUNCTION" : "SCRIPT");
}

bool slow_script_goes_on(struct slow_script *slow, struct lane *lane, uint64_t nanoseconds, bool has_written,
                         const struct shard_set *held) {
    if (!slow->is_long) {
        slow->is_long = true;
        atomic_store(&slow->runs_since, clock_monotonic_ms() - (int64_t)(nanoseconds / 1000000));
    }
    if (has_written) atomic_store(&slow->has_written, true);
    int64_t patience = atomic_load_explicit(&config.busy_reply_threshold, memory_order_relaxed);
    if (patience > 0 && !slow->is_busy && nanoseconds / 1000000 >= (uint64_t)patience)
        become_busy(slow, lane, held);
    bool is_in_the_way = slow->is_busy && workers_stop_at() != 0;
    return !has_written && (is_in_the_way || atomic_load(&slow->is_killed));
}

void slow_script_grows(struct slow_script *slow, struct lane *lane, uint32_t shard) {
    if (!slow->is_busy) return;
    atomic_fetch_add(&busy[shard], weight(slow));
    rwlock_wake(keyspace_lock(lane->keyspace, shard));
}

void slow_script_end(struct slow_script *slow, const struct shard_set *held) {
    if (!slow->is_long) return;
    mutex_lock(&slow->mutex); /* or a kill that has seen it would be the next one's */
    atomic_store(&slow->runs_since, 0);
    atomic_store(&slow->has_written, false);
    atomic_store(&slow->is_killed, false);
    reply_clear(&slow->shown, 0);
    mutex_unlock(&slow->mutex);
    if (slow->is_busy) busy_count(held, 0 - weight(slow));
}

/* ------------------------------------------------------------------ others look */

/* Has it run for too long? */
static bool runs_long(const struct slow_script *slow) {
    int64_t since = atomic_load(&slow->runs_since);
    int64_t patience = atomic_load_explicit(&config.busy_reply_threshold, memory_order_relaxed);
    return since != 0 && clock_monotonic_ms() - since >= patience - 1;
}

void slow_scripts_kill(bool is_function, struct reply *reply) {
    uint32_t killed = 0, refused = 0, others = 0;
    for (struct slow_script *slow = atomic_load(&first); slow != NULL; slow = slow->next) {
        mutex_lock(&slow->mutex);
        if (!runs_long(slow)) {
            /* it is none that anybody would end */
        } else if (atomic_load(&slow->has_written)) {
            refused++;
        } else if (atomic_load(&slow->is_function) != is_function) {
            others++;
        } else {
            atomic_store(&slow->is_killed, true);
            killed++;
        }
        mutex_unlock(&slow->mutex);
    }
    if (killed > 0)
        reply_ok(reply);
    else if (refused > 0)
        reply_error(reply,
                    "UNKILLABLE Sorry the script already executed write commands against the dataset. You "
                    "can either wait the script termination or kill the server in a hard way using the "
                    "SHUTDOWN NOSAVE command.");
    else if (others > 0)
        reply_error(reply, is_function ? BUSY_WITH_SCRIPT : BUSY_WITH_FUNCTION);
    else
        reply_error(reply, "NOTBUSY No scripts in execution right now.");
}

static void show_one(struct slow_script *slow, struct reply *reply) {
    int64_t since = atomic_load(&slow->runs_since);
    mutex_lock(&slow->mutex);
    if (slow->shown.length == 0 || since == 0) { /* it has just come to its end */
        reply_null(reply);
    } else {
        reply_map(reply, 3);
        reply_raw(reply, slow->shown.data, slow->shown.length);
        reply_bulk_text(reply, "duration_ms");
        reply_integer(reply, clock_monotonic_ms() - since);
    }
    mutex_unlock(&slow->mutex);
}

const char *slow_scripts_show(struct reply *reply) {
    struct slow_script *oldest = NULL;
    bool has_scripts = false;
    for (struct slow_script *slow = atomic_load(&first); slow != NULL; slow = slow->next) {
        if (!runs_long(slow)) continue;
        if (!atomic_load(&slow->is_function))
            has_scripts = true;
        else if (oldest == NULL || atomic_load(&slow->runs_since) < atomic_load(&oldest->runs_since))
            oldest = slow;
    }
    if (oldest == NULL && has_scripts) return BUSY_WITH_SCRIPT;
    if (oldest != NULL)
        show_one(oldest, reply);
    else
        reply_null(reply);
    return NULL;
}
