#include "timers.h"

#include "shard/base/counter.h"
#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "server/base/process.h"
#include "server/broadcast/news.h"
#include "server/broadcast/notify.h"
#include "server/config/config.h"
#include "server/interest/tracked.h"
#include "server/observe/rates.h"
#include "dispatcher.h"
#include "inquire.h"
#include "maxmemory.h"
#include "park.h"
#include "pause.h"
#include "script.h"
#include "wait.h"

/* How often what is above the limit on memory is looked for. */
#define LIMIT_MS 10
/* A task that waits for memory tries again each turn so often, and then each millisecond: what it waits for
 * may be others' for long. */
#define MEMORY_WAKES_MOST 16
/* Expiry: a slice per tick; while there is more to do than fits, a slice every few milliseconds. */
#define EXPIRY_SLICE_US 1000
#define EXPIRY_BUSY_MS 4
/* With nothing else to do, slices follow upon each other, and are what a request that comes meanwhile may
 * have to wait for. */
#define EXPIRY_IDLE_SLICE_US 100

static void expire_some(struct worker *worker, bool is_due) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct lane *lane = worker->frame->lane;
    int64_t effort = atomic_load_explicit(&config.active_expire_effort, memory_order_relaxed);
    if (lane_is_littered(lane) || (notify_is_on() && news_is_congested()) || !lane_enter(lane)) return;
    bool is_behind = keyspace_expire_slice(
        lane, worker->now, is_due ? EXPIRY_SLICE_US * (1 + (effort - 1) / 3) : EXPIRY_IDLE_SLICE_US);
    lane_leave(lane);
    dispatcher->next_expiry = is_behind ? worker->now_monotonic + EXPIRY_BUSY_MS : 0;
}

/* Brings what is above the limit down: soon again while there is more to do. */
static void keep_limit(struct worker *worker) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct lane *lane = worker->frame->lane;
    dispatcher->next_limit = worker->now_monotonic + LIMIT_MS;
    if (is_pausing(worker) || !lane_enter(lane)) return;
    bool is_done = eviction_tick(lane, worker->now);
    lane_leave(lane);
    dispatcher->is_above_limit = !is_done;
    if (!is_done) dispatcher->next_limit = worker->now_monotonic + 1;
}

int dispatch_timers(struct worker *worker, bool is_idle) {
    struct dispatcher *dispatcher = worker->dispatcher;
    struct lane *lane = worker->frame->lane;
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
    }
    bool expires_now = is_due || (dispatcher->next_expiry != 0 && now >= dispatcher->next_expiry);
    bool may_expire = dispatcher->closer == NULL && !worker->is_aside && !is_pausing(worker);
    if (may_expire && (expires_now || (dispatcher->next_expiry != 0 && is_idle))) {
        dispatcher->next_expiry = 0;
        expire_some(worker, expires_now);
    }
    limit_follow(worker->keyspace, now);
    if (worker->number == 0 && dispatcher->closer == NULL && (is_due || now >= dispatcher->next_limit))
        keep_limit(worker);
    if (is_due) inquiries_end_unanswered(worker);
    int64_t overdue = waits_end_overdue(worker);
    int sweep = blocking_sweep(&dispatcher->ended_waits, lane, worker->now);
    size_t ended = dispatcher->ended_watches.bytes;
    int unwatched = watch_sweep(&dispatcher->ended_watches, lane, worker->now);
    counter_subtract(&worker->ended_bytes, ended - dispatcher->ended_watches.bytes);
    if (unwatched >= 0 && (sweep < 0 || unwatched < sweep)) sweep = unwatched;
    news_wake();
    blocking_wake(); /* of clients told that what they waited for has expired or been evicted */
    bool is_called = news_call(now);
    bool is_freeing = false, is_tidying = (is_due || is_idle) && scripting_tidy(worker);
    if (tracked_tidy()) is_tidying = true;
    bool is_anybody_waiting = dispatcher->congested.first != NULL;
    if (is_due || is_anybody_waiting || lane_has_slices(lane)) is_freeing = lane_reclaim(lane);
    if (!is_anybody_waiting) dispatcher->memory_wakes = 0;
    bool tries_again = dispatcher->memory_wakes < MEMORY_WAKES_MOST || now > dispatcher->memory_woken;
    if (is_anybody_waiting && tries_again && !lane_is_congested(lane)) {
        wake_tasks(&dispatcher->congested);
        dispatcher->memory_wakes++;
        dispatcher->memory_woken = now;
        return 0;
    }
    if (is_freeing || is_tidying || sweep == 0) return 0;
    if (is_anybody_waiting) return 1;
    int64_t next = dispatcher->is_above_limit ? dispatcher->next_limit : dispatcher->next_tick;
    if (overdue < next) next = overdue;
    if (sweep > 0 && now + sweep < next) next = now + sweep;
    if (!is_called && now + 1 < next) next = now + 1;
    if (dispatcher->next_expiry != 0 && may_expire)
        return 0; /* if that finds nothing else to do, it goes on at once */
    if (dispatcher->paused_until > now && dispatcher->paused_until < next) next = dispatcher->paused_until;
    return next <= now ? 0 : (int)(next - now);
}
