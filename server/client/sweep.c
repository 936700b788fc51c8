#include "sweep.h"

#include <poll.h>

#include "shard/base/counter.h"
#include "server/config/config.h"
#include "clients.h"
#include "listeners.h"

/* A tick looks at one in so many connections, so that each is looked at about once a second. */
#define SWEEP_TICKS 10
#define SWEEP_LEAST 16
#define QUIET_MOST 256

/* Those whose clients have gone without the loop's being told, whatever the reason. */
struct quiet {
    struct connection *connections[QUIET_MOST];
    struct pollfd watched[QUIET_MOST];
    nfds_t count;
};

static void end_those_hung_up(struct quiet *quiet) {
    int found = quiet->count > 0 ? poll(quiet->watched, quiet->count, 0) : 0;
    for (nfds_t i = 0; i < quiet->count && found > 0; i++) {
        short events = quiet->watched[i].revents;
        if (events == 0) continue;
        found--;
        connection_hung_up(quiet->connections[i], (events & (POLLERR | POLLHUP)) != 0);
    }
    quiet->count = 0;
}

static void sweep(struct worker *worker) {
    struct quiet quiet = {.count = 0};
    uint64_t count = counter_read(&worker->connection_count) / SWEEP_TICKS + SWEEP_LEAST;
    if (!worker->clients->sweep) worker->clients->sweep = worker->clients->connections;
    while (count-- > 0 && worker->clients->sweep) {
        struct connection *connection = worker->clients->sweep;
        worker->clients->sweep = connection->next;
        connection_check(connection);
#ifndef PLANT_UNNOTICED_END
        if (!connection_is_quiet(connection)) continue;
#else
        continue;
#endif
        quiet.connections[quiet.count] = connection;
        quiet.watched[quiet.count++] = (struct pollfd){.fd = connection->stream.fd, .events = POLLRDHUP};
        if (quiet.count == QUIET_MOST) end_those_hung_up(&quiet);
    }
    end_those_hung_up(&quiet);
}

bool sweep_needs_ticks(const struct worker *worker) {
    return worker->clients->listen_again || worker->clients->lingering.first ||
           worker->clients->shaking_count || worker->clients->over_soft_limit ||
           worker->clients->is_stopping || counter_read(&worker->output_bytes) > 0 ||
           (worker->clients->connections && atomic_load_explicit(&config.timeout, memory_order_relaxed) > 0);
}

void sweep_tick(struct worker *worker) {
    if (worker->now_monotonic < worker->clients->next_tick) return;
    worker->clients->next_tick = worker->now_monotonic + SWEEP_TICK_MS;
    listeners_tick(worker);
    /* All linger for the same time, so the first ends first. */
    for (struct connection *first; worker->clients->lingering.first;) {
        first = connection_of(worker->clients->lingering.first);
        if (first->linger_until > worker->now_monotonic) break;
        connection_close(first, NULL);
    }
    sweep(worker);
}
