/* Stopping. Each worker stops listening, receives what has arrived up to now, and goes on with its turns
 * until nothing is unanswered or unsent. A request of one worker may wait for an answer of another, so that
 * all of them keep turning until the last is done, or the time is over. */
#include "serve.h"

#include <stdlib.h>

#include "shard/base/memory.h"
#include "server/config/config.h"
#include "server/base/log.h"
#include "server/run/dispatch.h"
#include "server/run/errand.h"
#include "server/run/long_work.h"
#include "balance.h"
#include "clients.h"
#include "handover.h"
#include "listeners.h"
#include "turn.h"

/* ------------------------------------------------------------------ the end */

/* What has arrived by now is run, however long it takes to be received. A client that never stops sending
 * doesn't hold up the end. */
static void stop_receive(struct worker *worker) {
    turn_take(worker, 0); /* bytes that the loop has taken from the kernel already */
    for (struct connection *connection = worker->clients->connections; connection;
         connection = connection->next)
        connection_last_call(connection);
}

static bool has_busy(const struct worker *worker) {
    for (struct connection *connection = worker->clients->connections; connection;
         connection = connection->next) {
        if (connection_is_busy(connection)) return true;
    }
    return false;
}

static void close_last(struct connection *connection) {
    connection_discard_input(connection);
    connection_close(connection, NULL);
}

static void close_all(struct worker *worker) {
    while (worker->clients->connections) close_last(worker->clients->connections);
    while (worker->clients->lingering.first) close_last(connection_of(worker->clients->lingering.first));
    turn_end(worker);
}

static void stop(struct worker *worker) {
    worker->clients->is_stopping = true;
    listeners_end(worker);
    balance_stop(worker);
    workers_freeze(); /* whoever is on the way here is in the mailbox now; and nobody moves any more */
    stop_receive(worker);
    int milliseconds = 0;
    for (;;) {
        milliseconds = turn_take(worker, milliseconds);
        if (!worker->clients->is_drained && !has_busy(worker)) {
            worker->clients->is_drained = true;
            workers_drained_add();
        }
        if (workers_are_drained() || worker->now_monotonic >= workers_stop_at()) break;
    }
    close_all(worker);
    worker_read_mail(worker);
    close_all(worker); /* whoever came with the mail */
}

/* ------------------------------------------------------------------ a worker's life */

static bool on_create(struct worker *worker, const void *context) {
    const struct listening *listening = context;
    struct clients *clients = worker->clients = memory_lines(sizeof *clients);
    if (!clients || !balance_create(worker)) {
        log_write(LOG_WARNING, "Out of memory for worker %u", worker->number);
        return false;
    }
    clients->listener_count = listening->count;
    for (uint32_t i = 0; i < listening->count; i++)
        clients->listeners[i] = (struct stream){.fd = listening->sockets[i],
                                                .is_unix = listening->kinds[i] == LISTEN_UNIX,
                                                .is_tls = listening->kinds[i] == LISTEN_TLS};
    return true;
}

static bool on_begin(struct worker *worker) {
    if (!dispatch_attach(worker, worker->keyspace)) {
        log_write(LOG_WARNING, "Worker %u finds no seat at the keyspace", worker->number);
        return false;
    }
    if (!listeners_begin(worker)) {
        dispatch_detach(worker);
        return false;
    }
    balance_start(worker);
    return true;
}

static void on_serve(struct worker *worker) {
    int milliseconds = 0;
    while (workers_stop_at() == 0) milliseconds = turn_take(worker, milliseconds);
    stop(worker);
    dispatch_detach(worker);
    balance_end(worker);
}

/* Workers that ended earlier may still have been sent a connection. Other messages came too late to matter;
 * nobody waits for them. */
static void on_free(struct worker *worker) {
    struct clients *clients = worker->clients;
    struct message *message;
    while ((message = mailbox_pop(&worker->mailbox)))
        if (!handover_lost(worker, message) && !errand_lost(message)) listeners_lost(message);
    dispatch_free(worker);
    if (!clients) return;
    connection_ids_free(&clients->ids);
    free(clients->arguments); /* few: the allocator's */
    balance_free(worker);
    tls_side_free(clients->tls);
    free(clients->origins);
    free(clients);
}

static const struct worker_work work = {
    .handlers = &turn_handlers,
    .create = on_create,
    .begin = on_begin,
    .serve = on_serve,
    .free = on_free,
};

/* The option is looked at in ticks, and a worker without reason to tick may wait for ever. */
static void on_timeout_changed(void) {
    for (uint32_t i = 0; i < worker_count(); i++) worker_wake(worker_at(i));
}

bool serve_start(struct keyspace *keyspace, uint32_t count, uint32_t long_threads,
                 const struct listening *listening) {
    config_on_change("timeout", on_timeout_changed); /* before there is a thread that could change it */
    return workers_start(keyspace, count, &work, listening, long_threads, &long_work);
}
