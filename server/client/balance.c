#include "balance.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "server/config/config.h"
#include "clients.h"
#include "handover.h"

#define INTERVAL_MS 50
/* A measurement older than that says nothing about now. (A worker with nothing to do still has turns, hz
 * times a second.) */
#define STALE_MS (6 * INTERVAL_MS)
/* Thousandths of an interval. A worker that had to wait for so much of it is starved, if it did not get by
 * all the same... */
#define STARVED 150
/* ... and one that was running or waiting for less has time to spare. */
#define SPARE 900
#define SATURATED 950
/* To share with one that has nothing but a little time would only move the load to and fro. */
#define IDLE 700
/* When nothing else happens, it is tried so often to see off whoever is leaving. */
#define PATIENCE_MS 2
/* It is known to work, and not to be starved, if it ran for so much in so many intervals. */
#define BUSY 100
#define CALM_LEAST 20
/* A worker shares when it has been saturated in so many intervals: a load that is uneven for a moment needs
 * no moves. */
#define SATURATED_LEAST 5
#define SHUN_LEAST_MS 2000
#define SHUN_MOST_MS 64000
/* A connection that has not sent anything for so long is left where it is. */
#define ACTIVE_MS 500
/* Of its connections a worker looks at so many for active ones. */
#define LOOKED_MOST 1024
#define WORKERS_LOOKED 64

/* Connections that can be leaving at a time. */
#define LEAVING_MOST 256

/* A worker's part. Its own thread's, but for what is published. */
struct balance {
    /* descriptor, or -1 where the kernel doesn't count: then nothing is ever moved (nor with `balance-clients
     * no`) */
    int schedstat;
    int64_t measure_again; /* monotonic ms */
    int64_t measured_from; /* the last reading: monotonic ms, and ns since the thread began */
    uint64_t ran, waited;
    int64_t shun_for;    /* ms; how long it was shunned the last time */
    uint32_t busy;       /* intervals in a row in which it never rested */
    uint32_t calm;       /* intervals in which it worked and was not starved, since it was */
    int64_t leave_until; /* monotonic ms; a connection that is not gone by then stays */
    uint32_t leaving_count;
    struct connection *leaving[LEAVING_MOST];
    struct worker *destination;
    /* Published. */
    _Atomic int64_t measured_at;       /* monotonic ms of the last measurement */
    _Atomic uint32_t running, waiting; /* of the interval before it, in thousandths */
    _Atomic int64_t shunned_until;     /* monotonic ms; 0: it isn't in doubt */
};

/* ------------------------------------------------------------------ what to do */

static bool has_spare_time(const struct balance_load *load) {
    return load->is_known && !load->is_shunned && load->waiting < STARVED &&
           load->running + load->waiting < SPARE;
}

static uint32_t used(const struct balance_load *load) {
    return load->running + load->waiting;
}

enum balance_advice balance_advise(const struct balance_load *own, const struct balance_load *others,
                                   uint32_t count, uint32_t *best) {
    bool is_starved = own->waiting >= STARVED, is_saturated = own->running >= SATURATED, is_found = false;
    if (!is_starved && !is_saturated) return BALANCE_STAY;
    for (uint32_t i = 0; i < count; i++) {
        if (!has_spare_time(&others[i]) || (is_found && used(&others[i]) >= used(&others[*best]))) continue;
        *best = i;
        is_found = true;
    }
    if (!is_found) return BALANCE_STAY;
    if (is_starved) return BALANCE_FLEE;
    return used(&others[*best]) < IDLE ? BALANCE_SHARE : BALANCE_STAY;
}

/* ------------------------------------------------------------------ moving */

static void call_off(struct worker *worker) {
    struct balance *balance = worker->clients->balance;
    while (balance->leaving_count > 0) handover_call_off(balance->leaving[--balance->leaving_count]);
}

/* Those that were closed meanwhile are freed at the turn's end. */
static void forget_closed(struct balance *balance) {
    for (uint32_t i = balance->leaving_count; i-- > 0;)
        if (balance->leaving[i]->is_unlinked)
            balance->leaving[i] = balance->leaving[--balance->leaving_count];
}

static void see_off(struct worker *worker) {
    struct balance *balance = worker->clients->balance;
    for (uint32_t i = balance->leaving_count; i-- > 0;) {
        if (!handover_finish(balance->leaving[i], balance->destination)) continue;
        balance->leaving[i] = balance->leaving[--balance->leaving_count];
        counter_add(&worker->moved, 1);
    }
}

static bool is_active(const struct connection *connection) {
    return connection->worker->now_monotonic - connection->last_active < ACTIVE_MS &&
           connection->bytes_in > 0;
}

static uint32_t count_active(const struct worker *worker) {
    uint32_t count = 0, looked = 0;
    for (const struct connection *connection = worker->clients->connections_last;
         connection && looked < LOOKED_MOST; connection = connection->previous, looked++)
        count += is_active(connection);
    return count;
}

/* Up to `count` that may, of those that came last. */
static void send_away(struct worker *worker, uint32_t count, bool only_active, struct worker *destination) {
    struct balance *balance = worker->clients->balance;
    balance->destination = destination;
    balance->leave_until = worker->now_monotonic + INTERVAL_MS;
    uint32_t looked = 0;
    for (struct connection *connection = worker->clients->connections_last;
         connection && looked < LOOKED_MOST; connection = connection->previous, looked++) {
        if (balance->leaving_count >= count || balance->leaving_count == LEAVING_MOST) return;
        if (connection->is_leaving || !handover_is_possible(connection) ||
            (only_active && !is_active(connection)))
            continue;
        balance->leaving[balance->leaving_count++] = connection;
        handover_begin(connection);
    }
}

void balance_evacuate(struct worker *worker, struct worker *destination) {
    call_off(worker);
    if (!worker->clients->is_stopping && destination != worker)
        send_away(worker, UINT32_MAX, false, destination);
}

/* ------------------------------------------------------------------ measuring */

/* False where the kernel doesn't tell. */
static bool schedstat_read(int descriptor, uint64_t *ran, uint64_t *waited) {
    char text[128];
    ssize_t length = pread(descriptor, text, sizeof text - 1, 0);
    if (length <= 0) return false;
    text[length] = '\0';
    return sscanf(text, "%" SCNu64 " %" SCNu64, ran, waited) == 2;
}

static uint32_t share_of(uint64_t nanoseconds, int64_t milliseconds) {
    uint64_t share = nanoseconds / 1000 / (uint64_t)milliseconds;
    return share > 1000 ? 1000 : (uint32_t)share;
}

/* True if there is something to act on. */
static bool measure(struct worker *worker) {
    struct balance *balance = worker->clients->balance;
    int64_t now = worker->now_monotonic, elapsed = now - balance->measured_from;
    uint64_t ran = 0, waited = 0;
    if (!schedstat_read(balance->schedstat, &ran, &waited)) return false;
    bool is_recent = balance->measured_from != 0 && elapsed > 0 && elapsed < STALE_MS;
    if (is_recent) {
        atomic_store_explicit(&balance->running, share_of(ran - balance->ran, elapsed), memory_order_relaxed);
        atomic_store_explicit(&balance->waiting, share_of(waited - balance->waited, elapsed),
                              memory_order_relaxed);
        atomic_store_explicit(&balance->measured_at, now, memory_order_relaxed);
    }
    balance->ran = ran;
    balance->waited = waited;
    balance->measured_from = now;
    balance->measure_again = now + INTERVAL_MS;
    return is_recent;
}

bool balance_is_in_doubt(const struct worker *worker) {
    return atomic_load_explicit(&worker->clients->balance->shunned_until, memory_order_relaxed) != 0;
}

static struct balance_load load_of(const struct worker *worker, int64_t now) {
    const struct balance *balance = worker->clients->balance;
    return (struct balance_load){
        .is_known = now - atomic_load_explicit(&balance->measured_at, memory_order_relaxed) < STALE_MS,
        .running = atomic_load_explicit(&balance->running, memory_order_relaxed),
        .waiting = atomic_load_explicit(&balance->waiting, memory_order_relaxed),
        .is_shunned = now < atomic_load_explicit(&balance->shunned_until, memory_order_relaxed),
    };
}

/* ------------------------------------------------------------------ acting */

/* For longer each time that this happens while it is in doubt. */
static void be_shunned(struct worker *worker) {
    struct balance *balance = worker->clients->balance;
    int64_t now = worker->now_monotonic,
            until = atomic_load_explicit(&balance->shunned_until, memory_order_relaxed);
    balance->calm = 0;
    if (now < until) return; /* it is, and what it has is still leaving */
    balance->shun_for = until == 0                             ? SHUN_LEAST_MS
                        : balance->shun_for * 2 < SHUN_MOST_MS ? balance->shun_for * 2
                                                               : SHUN_MOST_MS;
    atomic_store_explicit(&balance->shunned_until, now + balance->shun_for, memory_order_relaxed);
}

static void be_trusted(struct worker *worker) {
    worker->clients->balance->calm = 0;
    atomic_store_explicit(&worker->clients->balance->shunned_until, 0, memory_order_relaxed);
}

static void act(struct worker *worker) {
    struct balance_load others[WORKERS_LOOKED];
    uint32_t count = worker_count(), looked = 0, best = 0;
    struct worker *candidates[WORKERS_LOOKED];
    int64_t now = worker->now_monotonic;
    for (uint32_t i = 1; i < count && looked < WORKERS_LOOKED; i++) {
        struct worker *other = worker_at((worker->number + i) % count);
        candidates[looked] = other;
        others[looked++] = load_of(other, now);
    }
    struct balance_load own = load_of(worker, now);
    enum balance_advice advice = balance_advise(&own, others, looked, &best);
    worker->clients->balance->busy = own.running >= SATURATED ? worker->clients->balance->busy + 1 : 0;
    if (own.waiting >= STARVED)
        worker->clients->balance->calm = 0;
    else if (own.running >= BUSY && balance_is_in_doubt(worker) &&
             ++worker->clients->balance->calm >= CALM_LEAST)
        be_trusted(worker);
    if (advice == BALANCE_STAY) return;
    uint32_t active = count_active(worker);
    if (active == 0) return;
    if (advice == BALANCE_FLEE) {
        /* As many as the other can take on, by what they have cost here. */
        uint64_t fit = (uint64_t)active * (1000 - used(&others[best])) / (own.running + 1);
        be_shunned(worker);
        send_away(worker, fit < active ? (uint32_t)fit + 1 : active, true, candidates[best]);
    } else if (active > 1 && worker->clients->balance->busy >= SATURATED_LEAST) {
        worker->clients->balance->busy = 0;
        send_away(worker, (active + 3) / 4, true, candidates[best]);
    }
}

void balance_turn(struct worker *worker) {
    struct balance *balance = worker->clients->balance;
    forget_closed(balance);
    if (balance->leaving_count > 0) see_off(worker);
    if (balance->leaving_count > 0 && worker->now_monotonic >= balance->leave_until) {
        /* They are read again, in the next turns, before others are chosen. */
        call_off(worker);
        balance->measure_again = worker->now_monotonic + INTERVAL_MS;
    }
    if (balance->schedstat < 0 || worker->now_monotonic < balance->measure_again ||
        worker->clients->is_stopping)
        return;
    if (!atomic_load_explicit(&config.balance_clients, memory_order_relaxed)) {
        be_trusted(worker);
        balance->measure_again = worker->now_monotonic + INTERVAL_MS;
        return;
    }
    if (measure(worker) && balance->leaving_count == 0 && !workers_are_frozen()) act(worker);
}

int balance_patience(const struct worker *worker) {
    return worker->clients->balance->leaving_count > 0 ? PATIENCE_MS : -1;
}

bool balance_create(struct worker *worker) {
    return (worker->clients->balance = calloc(1, sizeof(struct balance))) != NULL;
}

void balance_free(struct worker *worker) {
    free(worker->clients->balance);
}

void balance_start(struct worker *worker) {
    worker->clients->balance->schedstat =
        worker_count() > 1 ? open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) : -1;
}

void balance_stop(struct worker *worker) {
    call_off(worker);
}

void balance_end(struct worker *worker) {
    if (worker->clients->balance->schedstat >= 0) close(worker->clients->balance->schedstat);
    worker->clients->balance->schedstat = -1;
}
