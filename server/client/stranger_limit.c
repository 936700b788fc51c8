#include "stranger_limit.h"

#include <stdatomic.h>

#include "shard/base/counter.h"
#include "server/base/log.h"
#include "clients.h"
#include "connection_parts.h"

/* Of all strangers together: a hundred honest ones that authenticate in the middle of a burst, with all that
 * each may send. */
#define STRANGERS_MOST ((uint64_t)16 * 1024 * 1024)
/* So much is left when some are closed: going through all connections pays only if that doesn't come again at
 * once. */
#define STRANGERS_LEFT (STRANGERS_MOST - (STRANGERS_MOST >> 3))
/* A worker looks at the others' sums whenever its own strangers have come to hold so much more. */
#define STEP ((uint64_t)64 * 1024)
/* The log tells of them at most once in so long. */
#define QUIET_MS 10000

static _Atomic int64_t quiet_until;    /* monotonic ms */
static _Atomic uint64_t closed_untold; /* since the log told of them */
static _Atomic uint64_t closed_up_to;  /* the highest id of those that were closed, over all workers */

static void tell(const struct worker *worker, const char *peer) {
    if (!log_is_due(&quiet_until, worker->now_monotonic, QUIET_MS)) return;
    log_write(
        LOG_WARNING,
        "Clients that have not authenticated held more than %llu bytes together, with those whose TLS "
        "handshake "
        "isn't over: closed %llu of them, the oldest first, the first from %s. If they are yours, let them "
        "authenticate before they send anything else; if not, have a firewall keep them away.",
        (unsigned long long)STRANGERS_MOST, (unsigned long long)atomic_exchange(&closed_untold, 0), peer);
}

/* Closes strangers that hold something, as long as it is wanted: connections stand in the order in which the
 * worker got them. Returns the highest id of those that it closed, or 0. */
static uint64_t close_oldest(struct worker *worker, uint64_t left, uint64_t up_to) {
    char peer[TASK_ADDRESS] = "";
    uint64_t highest = 0;
    for (struct connection *connection = worker->clients->connections, *next;
         connection != NULL && clients_strangers_memory_of(worker) > left; connection = next) {
        uint64_t id = connection->task.session.id;
        next = connection->next;
        if (connection->state == CONNECTION_RUNNING) continue; /* it may just have authenticated */
        clients_note_stranger(connection);                     /* and there may be no password any more */
        if (!connection->stream.is_apart || clients_stranger_holds(connection) == 0 || id > up_to) continue;
        if (highest == 0) connection_peer(connection, peer, sizeof peer);
        if (id > highest) highest = id;
        counter_add(&worker->stranger_closes, 1);
        atomic_fetch_add_explicit(&closed_untold, 1, memory_order_relaxed);
        connection_close(connection, NULL);
    }
    if (highest > 0) tell(worker, peer);
    return highest;
}

/* Those of other workers that are older than one that was closed go as well. */
static void tell_others(const struct worker *worker, uint64_t id) {
    uint64_t before = atomic_load(&closed_up_to);
    while (before < id && !atomic_compare_exchange_weak(&closed_up_to, &before, id)) continue;
    for (uint32_t i = 0; i < worker_count(); i++)
        if (worker_at(i) != worker && clients_strangers_memory_of(worker_at(i)) > 0)
            worker_wake(worker_at(i));
}

static void check(struct worker *worker) {
    uint64_t own = clients_strangers_memory_of(worker), sum = clients_strangers_memory();
    worker->clients->strangers_checked = own;
    if (sum <= STRANGERS_MOST) return;
    /* own / sum of what may be left, and no overflow. */
    uint64_t left = (uint64_t)((double)own / (double)sum * (double)STRANGERS_LEFT),
             highest = close_oldest(worker, left, UINT64_MAX);
    worker->clients->strangers_checked = clients_strangers_memory_of(worker);
    if (highest > 0) tell_others(worker, highest);
}

void strangers_check(struct worker *worker) {
    if (clients_strangers_memory_of(worker) > worker->clients->strangers_checked + STEP) check(worker);
}

void strangers_check_all(struct worker *worker) {
    struct clients *clients = worker->clients;
    uint64_t up_to = atomic_load_explicit(&closed_up_to, memory_order_relaxed);
    if (up_to > clients->strangers_closed_up_to) {
        clients->strangers_closed_up_to = up_to;
        if (clients_strangers_memory_of(worker) > 0) (void)close_oldest(worker, 0, up_to);
    }
    if (clients_strangers_memory_of(worker) > 0 || clients->strangers_checked > 0) check(worker);
}
