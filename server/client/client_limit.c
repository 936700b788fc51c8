#include "client_limit.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "shard/base/counter.h"
#include "server/config/config.h"
#include "server/base/log.h"
#include "clients.h"

#define NOBODY (-1)
/* Where nobody may be closed, looking for somebody is put off for so long. */
#define REST_MS 100
/* A round that takes longer waits for a worker that is busy with one command. */
#define ROUND_MS 300

/* The one round. Its message is part of it: when memory is short is no time to ask for more. The worker that
 * has the message has the rest. */
static struct {
    _Atomic bool is_running;
    _Atomic int64_t rests_until; /* monotonic ms */
    _Atomic int64_t began;       /* monotonic ms */
    struct message message;
    uint32_t at;     /* the worker it is with */
    bool is_closing; /* the second time around */
    int highest;     /* class of size: the highest bit of its bytes; NOBODY */
} round;

static bool is_over(void) {
    int64_t limit = clients_memory_most();
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_count(); i++) sum += clients_memory_of(worker_at(i));
    return limit > 0 && sum > (uint64_t)limit;
}

static int class_of(const struct connection *connection) {
    return connection->task.session.is_no_evict ? NOBODY
                                                : 63 - __builtin_clzll(connection_memory(connection));
}

static void evict(struct connection *connection) {
    char client[CONNECTION_DESCRIPTION];
    connection_describe(connection, client, sizeof client);
    log_write(LOG_NOTICE, "Closing a client, since clients use more than maxmemory-clients: %s", client);
    counter_add(&connection->worker->evicted_clients, 1);
    connection_close(connection, NULL);
}

static void close_largest(struct worker *worker, int highest) {
    for (struct connection *connection = worker->clients->connections, *next; connection != NULL && is_over();
         connection = next) {
        next = connection->next;
        if (class_of(connection) >= highest) evict(connection);
    }
}

static int find_largest(const struct worker *worker) {
    int highest = NOBODY;
    for (const struct connection *connection = worker->clients->connections; connection != NULL;
         connection = connection->next) {
        int class = class_of(connection);
        if (class > highest) highest = class;
    }
    return highest;
}

static void round_end(int64_t rests_until) {
    atomic_store(&round.rests_until, rests_until);
    atomic_store(&round.is_running, false);
}

static void round_handle(struct worker *worker, struct message *message) {
    int largest = round.is_closing ? NOBODY : find_largest(worker);
    if (round.is_closing)
        close_largest(worker, round.highest);
    else if (largest > round.highest)
        round.highest = largest;
    if (++round.at == worker_count()) {
        bool is_in_vain = !round.is_closing && round.highest == NOBODY;
        if (is_in_vain || !is_over()) {
            round_end(is_in_vain ? worker->now_monotonic + REST_MS : 0);
            return;
        }
        round.at = 0;
        if (round.is_closing) round.highest = NOBODY;
        round.is_closing = !round.is_closing;
    }
    worker_send(worker_at(round.at), message);
}

/* The round is held up by one worker: meanwhile each of the others, if it has more than its share, sees to
 * its own. */
static void close_own(struct worker *worker) {
    while (is_over() && clients_memory_of(worker) > (uint64_t)clients_memory_most() / worker_count()) {
        int largest = find_largest(worker);
        if (largest == NOBODY) return;
        close_largest(worker, largest);
    }
}

/* When a worker has ended, its messages are no longer read, and a round comes to an end with it: so do its
 * clients. */
void client_limit_check(struct worker *worker) {
    struct clients *clients = worker->clients;
    if (atomic_load_explicit(&config.maxmemory_clients, memory_order_relaxed) == 0 || clients->is_stopping)
        return;
    /* The others' sums are on lines that they write all the time, and a turn may take a few microseconds. A
     * worker has turns, hz times a second, even if nothing comes. */
    if (clients->limit_checked == worker->now_monotonic) return;
    clients->limit_checked = worker->now_monotonic;
    if (!is_over()) return;
    if (worker->now_monotonic < atomic_load(&round.rests_until)) return;
    if (atomic_exchange(&round.is_running, true)) {
        if (worker->now_monotonic - atomic_load(&round.began) > ROUND_MS) close_own(worker);
        return;
    }
    atomic_store(&round.began, worker->now_monotonic);
    round.at = 0;
    round.is_closing = false;
    round.highest = NOBODY;
    worker_send(worker_at(0), &round.message);
}

static void on_limit_changed(void) {
    if (worker_count() > 0) worker_wake(worker_at(0));
}

void client_limit_start(void) {
    atomic_store(&round.is_running, false);
    round.message.handle = round_handle;
    config_on_change("maxmemory-clients", on_limit_changed);
    config_on_change("maxmemory", on_limit_changed);
}
