#include "turn.h"

#include "shard/base/counter.h"
#include "server/base/clock.h"
#include "server/interest/trackers.h"
#include "server/run/dispatch.h"
#include "client_limit.h"
#include "balance.h"
#include "clients.h"
#include "listeners.h"
#include "stranger_limit.h"
#include "sweep.h"

/* More than that at once is a pipeline, which is looked at ahead by itself. */
#define AHEAD_MOST 512

/* ------------------------------------------------------------------ what the loop tells */

/* Somebody may wait for the gate: between two connections is the moment. */
static void gate_yield(struct worker *worker) {
    if (worker->clients->is_inside) dispatch_yield(worker);
}

static void on_received(void *context, struct stream *stream, char *data, ssize_t length) {
    bool is_stranger = stream->is_apart;
    connection_receive((struct connection *)stream, data, length);
    if (is_stranger) strangers_check(context); /* by which it may be closed; it is freed at the turn's end */
    gate_yield(context);
}

/* Requests of several connections are as good as a pipeline: their cache lines can be fetched together. */
static void on_arrived(void *context, const struct stream *stream, char *data, size_t length) {
    struct worker *worker = context;
    if (!worker->clients->is_inside) return;
    if (!stream)
        dispatch_fetch_ahead(worker);
    else if (length <= AHEAD_MOST && connection_is_between_requests((const struct connection *)stream))
        dispatch_look_ahead(worker, ((const struct connection *)stream)->task.session.database, data, length);
}

static void on_sendable(void *context, struct stream *stream) {
    (void)context;
    connection_sendable((struct connection *)stream);
}

const struct loop_handlers turn_handlers = {
    .accepted = listeners_accepted,
    .received = on_received,
    .arrived = on_arrived,
    .sendable = on_sendable,
};

/* ------------------------------------------------------------------ what is done in it */

/* Those that were ready when the turn began; one that is not done goes behind them and runs in the next. */
static void run_ready(struct worker *worker, uint32_t count) {
    while (count-- > 0 && worker->clients->ready.first) {
        connection_run(connection_of(worker->clients->ready.first));
        gate_yield(worker);
    }
}

static void flush(struct worker *worker) {
    struct connection *connection = worker->clients->flush;
    worker->clients->flush = NULL;
    while (connection) {
        struct connection *next = connection->flush_next;
        connection->is_flush_due = false;
        connection->flush_next = NULL;
        if (connection->state != CONNECTION_CLOSED && !connection->stream.is_sending)
            connection_sendable(connection);
        connection = next;
    }
}

/* One that was to be flushed once more stays until the list of those has let go of it. */
static void free_closed(struct worker *worker) {
    struct task *kept = NULL;
    while (worker->clients->closed) {
        struct connection *connection = connection_of(worker->clients->closed);
        worker->clients->closed = connection->task.queue_next;
#ifdef PLANT_FREED_FLUSH
        connection->is_flush_due = false;
#endif
        if (!connection->is_flush_due) {
            connection_free(connection);
            continue;
        }
        connection->task.queue_next = kept;
        kept = &connection->task;
    }
    worker->clients->closed = kept;
}

void turn_end(struct worker *worker) {
    flush(worker);
    free_closed(worker);
}

/* Of two times to sleep, of which a negative one has no end. */
static int sooner(int one, int other) {
    return one < 0 || (other >= 0 && other < one) ? other : one;
}

int turn_take(struct worker *worker, int milliseconds) {
    bool is_idle = loop_wait(worker->loop, milliseconds) == 0 && worker->clients->ready.count == 0;
    worker->now = clock_wall_ms();
    worker->now_monotonic = clock_monotonic_ms();
    counter_add(&worker->turns, 1);
    atomic_store_explicit(&worker->clients->turning_since, worker->now_monotonic, memory_order_relaxed);
    worker_read_mail(worker);
#ifndef PLANT_UNREAD_NEWS
    worker_read_news(worker);
#endif
    uint32_t ready = worker->clients->ready.count;
    dispatch_enter(worker);
    worker->clients->is_inside = true;
    loop_deliver(worker->loop);
    if (worker->clients->tls) connections_shake(worker);
    run_ready(worker, ready);
    dispatch_leave(worker);
    worker->clients->is_inside = false;
    int next = dispatch_timers(worker, is_idle);
    sweep_tick(worker);
    worker_read_news(worker);
    trackers_settle(worker);
    flush(worker);
    client_limit_check(worker);
    strangers_check_all(worker);
    balance_turn(worker);
    free_closed(worker);
    atomic_store_explicit(&worker->clients->turning_since, 0, memory_order_relaxed);
    if (worker->clients->ready.first || worker->clients->flush) return 0;
    if (sweep_needs_ticks(worker) && (next < 0 || next > SWEEP_TICK_MS)) next = SWEEP_TICK_MS;
    return sooner(next, sooner(balance_patience(worker), connections_shake_patience(worker)));
}
