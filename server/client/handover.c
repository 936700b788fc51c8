#include "handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/run/dispatch.h"
#include "clients.h"
#include "connection_parts.h"

struct handover {
    struct message message;
    struct connection *connection; /* NULL: new */
    int fd;
    enum listen_kind kind;
};

bool handover_is_possible(const struct connection *connection) {
    return connection->state == CONNECTION_READING && connection->input_length == 0 &&
           !connection->has_request && !input_bulk(connection) && request_is_idle(&connection->parser) &&
           !connection->output && !connection->soft_limit_since && !connection->task.under_way &&
           !connection->task.queue && !connection->is_flush_due && !connection->is_ended &&
           !connection->is_last_call &&
#ifndef PLANT_MOVED_HEARER
           connection->task.session.subscriptions == NULL &&
#endif
           !connection->task.session.closes_after_reply && !connection->stream.is_bulky &&
           !connection->stream.is_sending;
}

void handover_begin(struct connection *connection) {
    connection->is_leaving = true;
    connection_receiving_update(connection);
}

void handover_call_off(struct connection *connection) {
    connection->is_leaving = false;
    connection_receiving_update(connection);
}

static bool has_left(struct connection *connection) {
    if (!handover_is_possible(connection) || !loop_release(connection->worker->loop, &connection->stream))
        return false;
    connection->is_leaving = false; /* first: nobody need be told */
    clients_remove(connection);
    clients_seat_release(connection->worker);
    return true;
}

static bool arrive(struct connection *connection, struct worker *worker) {
    int fd = connection->stream.fd;
    connection->worker = worker;
    bool is_prepared = !connection->stream.is_tls || connection_tls_prepare(worker);
    clients_add(connection);
    if (is_prepared && loop_add(worker->loop, &connection->stream, fd)) return true;
    log_write(LOG_WARNING, "A client that was handed to worker %u is lost: %s", worker->number,
              strerror(errno));
    close(fd);
    dispatch_forget(worker, &connection->task); /* what it watches */
    clients_remove(connection);
    connection_free(connection);
    return false;
}

static void adopt(struct worker *worker, int fd, enum listen_kind kind) {
    if (worker->clients->is_stopping) {
        close(fd);
    } else if (connection_open(worker, fd, kind)) {
        return;
    }
    atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
}

static void handover_handle(struct worker *worker, struct message *message) {
    struct handover *handover = (struct handover *)message;
    if (!handover->connection)
        adopt(worker, handover->fd, handover->kind);
    else if (!arrive(handover->connection, worker))
        atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
    else if (worker->clients->is_stopping)
        connection_last_call(handover->connection);
    free(handover);
}

void handover_new(struct worker *worker, struct worker *home, int fd, enum listen_kind kind) {
    struct handover *handover = home != worker ? malloc(sizeof *handover) : NULL;
    if (!handover) home = worker;
    atomic_fetch_add_explicit(&home->clients->assigned, 1, memory_order_relaxed);
    if (!handover) {
        adopt(worker, fd, kind);
        return;
    }
    *handover = (struct handover){.message.handle = handover_handle, .fd = fd, .kind = kind};
    worker_send(home, &handover->message);
}

bool handover_finish(struct connection *connection, struct worker *destination) {
    struct handover *handover = malloc(sizeof *handover);
    if (!handover) return false;
    *handover = (struct handover){.message.handle = handover_handle, .connection = connection};
    bool may_move = workers_move_begin(), goes = may_move && has_left(connection);
    if (goes) {
        atomic_fetch_add_explicit(&destination->clients->assigned, 1, memory_order_relaxed);
        worker_send(destination, &handover->message);
    }
    if (may_move) workers_move_end();
    if (!goes) free(handover);
    return goes;
}

bool handover_lost(struct worker *worker, struct message *message) {
    if (message->handle != handover_handle) return false;
    struct handover *handover = (struct handover *)message;
    close(handover->connection ? handover->connection->stream.fd : handover->fd);
    if (handover->connection) {
        dispatch_forget(worker, &handover->connection->task);
        connection_free(handover->connection);
    }
    free(handover);
    return true;
}
