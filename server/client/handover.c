#include "handover.h"

#include <stdlib.h>
#include <unistd.h>

#include "clients.h"

struct handover {
    struct message message;
    struct connection *connection; /* NULL: new */
    int fd;
    bool is_unix;
};

static void adopt(struct worker *worker, int fd, bool is_unix) {
    if (worker->clients->is_stopping) {
        close(fd);
    } else if (connection_open(worker, fd, is_unix)) {
        return;
    }
    atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
}

static void handover_handle(struct worker *worker, struct message *message) {
    struct handover *handover = (struct handover *)message;
    if (!handover->connection)
        adopt(worker, handover->fd, handover->is_unix);
    else if (!connection_arrive(handover->connection, worker))
        atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
    else if (worker->clients->is_stopping)
        connection_last_call(handover->connection);
    free(handover);
}

void handover_new(struct worker *worker, struct worker *home, int fd, bool is_unix) {
    struct handover *handover = home != worker ? malloc(sizeof *handover) : NULL;
    if (!handover) home = worker;
    atomic_fetch_add_explicit(&home->clients->assigned, 1, memory_order_relaxed);
    if (!handover) {
        adopt(worker, fd, is_unix);
        return;
    }
    *handover = (struct handover){.message.handle = handover_handle, .fd = fd, .is_unix = is_unix};
    worker_send(home, &handover->message);
}

bool handover_connection(struct connection *connection, struct worker *destination) {
    struct handover *handover = malloc(sizeof *handover);
    if (!handover) return false;
    *handover = (struct handover){.message.handle = handover_handle, .connection = connection};
    bool may_move = workers_move_begin(), goes = may_move && connection_has_left(connection);
    if (goes) {
        atomic_fetch_add_explicit(&destination->clients->assigned, 1, memory_order_relaxed);
        worker_send(destination, &handover->message);
    }
    if (may_move) workers_move_end();
    if (!goes) free(handover);
    return goes;
}

bool handover_lost(struct message *message) {
    if (message->handle != handover_handle) return false;
    struct handover *handover = (struct handover *)message;
    close(handover->connection ? handover->connection->stream.fd : handover->fd);
    if (handover->connection) connection_free(handover->connection);
    free(handover);
    return true;
}
