#include "listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "balance.h"
#include "clients.h"
#include "handover.h"

/* How long a worker doesn't listen when there are no descriptors. */
#define LISTEN_PAUSE_MS 200
/* The log says so at most once in so long. */
#define COMPLAIN_MS 10000
/* A turn that has lasted for so long may last longer: a usual one takes less than a millisecond. */
#define STUCK_MS 10

static _Atomic int64_t quiet_until; /* monotonic ms: until then no further line about missing descriptors */

/* ------------------------------------------------------------------ which worker gets it */

/* Its turn lasts: it runs a long command, and a connection given to it now would wait for the end of that. */
static bool is_stuck(struct worker *worker, int64_t now) {
    int64_t since = atomic_load_explicit(&worker->clients->turning_since, memory_order_relaxed);
    return since != 0 && now - since >= STUCK_MS;
}

/* Those that are busy with one thing for long, and then those that may lack a processor, get none while there
 * are others. */
static struct worker *worker_with_fewest(struct worker *own) {
    struct worker *fewest = own;
    uint64_t least = counter_read(&own->clients->assigned);
    bool is_in_doubt = balance_is_in_doubt(own);
    int64_t now = clock_monotonic_ms();
    for (uint32_t i = 0; i < worker_count(); i++) {
        struct worker *other = worker_at(i);
        bool is_this_in_doubt = balance_is_in_doubt(other);
        if (other != own && is_stuck(other, now)) continue;
        uint64_t count = counter_read(&other->clients->assigned);
        if (is_this_in_doubt != is_in_doubt ? is_this_in_doubt : count >= least) continue;
        least = count;
        fewest = other;
        is_in_doubt = is_this_in_doubt;
    }
    return fewest;
}

/* ------------------------------------------------------------------ taking it */

static uint64_t assigned_total(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_count(); i++) sum += counter_read(&worker_at(i)->clients->assigned);
    return sum;
}

static void refuse(struct worker *worker, int fd, const char *error) {
    /* A new socket takes a line; if not, there is nobody to tell. */
    if (*error && send(fd, error, strlen(error), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_write(LOG_DEBUG, "Can't tell a refused client");
    close(fd);
    counter_add(&worker->rejected_connections, 1);
}

/* Descriptors or memory are used up: all the worker's listeners rest for a moment, so that the loop doesn't
 * turn in vain. */
static void listening_rest(struct worker *worker, int error) {
    for (uint32_t i = 0; i < worker->clients->listener_count; i++)
        loop_set_listening(worker->loop, &worker->clients->listeners[i], false);
    worker->clients->listen_again = worker->now_monotonic + LISTEN_PAUSE_MS;
    if (!log_is_due(&quiet_until, worker->now_monotonic, COMPLAIN_MS)) return;
    log_write(LOG_WARNING, "Can't accept clients: %s. %s", strerror(error),
              error == EMFILE || error == ENFILE
                  ? "Lower 'maxclients', or raise the limit of open files (ulimit -n, LimitNOFILE=)."
                  : "New clients wait until there is room.");
}

void listeners_tick(struct worker *worker) {
    if (!worker->clients->listen_again || worker->now_monotonic < worker->clients->listen_again ||
        worker->clients->is_stopping)
        return;
    for (uint32_t i = 0; i < worker->clients->listener_count; i++)
        loop_set_listening(worker->loop, &worker->clients->listeners[i], true);
    worker->clients->listen_again = 0;
}

void listeners_accepted(void *context, struct stream *listener, int fd) {
    struct worker *worker = context;
    enum listen_kind kind = listener->is_unix ? LISTEN_UNIX : listener->is_tls ? LISTEN_TLS : LISTEN_TCP;
    if (fd == -EINVAL) { /* it was shut down; a message on its way drops it, or says that it listens again */
        loop_set_listening(worker->loop, listener, false);
        return;
    }
    if (fd < 0) {
        listening_rest(worker, -fd);
        return;
    }
    if (assigned_total() >= (uint64_t)atomic_load_explicit(&config.maxclients, memory_order_relaxed)) {
        refuse(worker, fd, kind == LISTEN_TLS ? "" : "-ERR max number of clients reached\r\n");
        return;
    }
    /* By TLS it can be told only when the handshake is over. */
    if (kind == LISTEN_TCP && listen_refuses(fd)) {
        refuse(worker, fd, LISTEN_DENIED);
        return;
    }
    if (kind != LISTEN_UNIX) listen_tune(fd);
    handover_new(worker, worker_with_fewest(worker), fd, kind);
}

bool listeners_begin(struct worker *worker) {
    for (uint32_t i = 0; i < worker->clients->listener_count; i++) {
        if (loop_listen(worker->loop, &worker->clients->listeners[i], worker->clients->listeners[i].fd))
            continue;
        log_write(LOG_WARNING, "Worker %u can't listen: %s", worker->number, strerror(errno));
        return false;
    }
    return true;
}

void listeners_end(struct worker *worker) {
    worker->clients->listen_again = 0;
    for (uint32_t i = 0; i < worker->clients->listener_count; i++)
        loop_set_listening(worker->loop, &worker->clients->listeners[i], false);
}

/* ------------------------------------------------------------------ other sockets to listen on */

/* What all workers are told, each by a message of its own. The last that has heard it ends it. */
struct relisten {
    _Atomic uint32_t pending;
    struct listening listening;
    int dropped[LISTEN_MOST];
    uint32_t dropped_count;
    struct relisten_message {
        struct message message;
        struct relisten *relisten;
    } messages[];
};

static void relisten_heard(struct relisten *relisten) {
    if (atomic_fetch_sub(&relisten->pending, 1) > 1) return;
    for (uint32_t i = 0; i < relisten->dropped_count; i++) close(relisten->dropped[i]);
    free(relisten);
}

static bool is_among(int fd, const int *fds, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] == fd) return true;
    return false;
}

static void listener_add(struct worker *worker, int fd, enum listen_kind kind) {
    uint32_t place = worker->clients->listener_count;
    for (uint32_t i = 0; i < worker->clients->listener_count; i++) {
        if (worker->clients->listeners[i].fd == fd) {
            if (!worker->clients->listen_again)
                loop_set_listening(worker->loop, &worker->clients->listeners[i], true);
            return;
        }
        if (worker->clients->listeners[i].is_closed) place = i;
    }
    struct stream *listener = &worker->clients->listeners[place];
    listener->is_unix = kind == LISTEN_UNIX;
    listener->is_tls = kind == LISTEN_TLS;
    if (!loop_listen(worker->loop, listener, fd)) {
        log_write(LOG_WARNING, "Worker %u can't listen: %s", worker->number, strerror(errno));
        listener->is_closed = true;
        listener->fd = -1;
    } else if (worker->clients->listen_again) {
        loop_set_listening(worker->loop, listener, false);
    }
    if (place == worker->clients->listener_count) worker->clients->listener_count++;
}

static void relisten_handle(struct worker *worker, struct message *message) {
    struct relisten *relisten = ((struct relisten_message *)message)->relisten;
    for (uint32_t i = 0; i < worker->clients->listener_count && !worker->clients->is_stopping; i++) {
        struct stream *listener = &worker->clients->listeners[i];
        if (!listener->is_closed &&
            !is_among(listener->fd, relisten->listening.sockets, relisten->listening.count))
            loop_unlisten(worker->loop, listener);
    }
    for (uint32_t i = 0; i < relisten->listening.count && !worker->clients->is_stopping; i++)
        listener_add(worker, relisten->listening.sockets[i], relisten->listening.kinds[i]);
    relisten_heard(relisten);
}

bool listeners_change(const struct listening *listening, const int *dropped, uint32_t dropped_count) {
    struct relisten *relisten = calloc(1, sizeof *relisten + worker_count() * sizeof relisten->messages[0]);
    if (!relisten) return false;
    relisten->listening = *listening;
    relisten->dropped_count = dropped_count;
    for (uint32_t i = 0; i < dropped_count; i++) relisten->dropped[i] = dropped[i];
    atomic_store(&relisten->pending, worker_count());
    for (uint32_t i = 0; i < worker_count(); i++) {
        relisten->messages[i] =
            (struct relisten_message){.message.handle = relisten_handle, .relisten = relisten};
        worker_send(worker_at(i), &relisten->messages[i].message);
    }
    return true;
}

bool listeners_lost(struct message *message) {
    if (message->handle != relisten_handle) return false;
    relisten_heard(((struct relisten_message *)message)->relisten);
    return true;
}
