#include "clients.h"

#include "shard/base/counter.h"
#include "server/config/config.h"

void clients_add(struct connection *connection) {
    struct worker *worker = connection->worker;
    connection->next = NULL;
    connection->previous = worker->clients->connections_last;
    if (worker->clients->connections_last)
        worker->clients->connections_last->next = connection;
    else
        worker->clients->connections = connection;
    worker->clients->connections_last = connection;
    connection->is_unlinked = false;
    connection_ids_add(&worker->clients->ids, connection);
    counter_add(&worker->connection_count, 1);
    counter_add(&worker->name_bytes, session_bytes(&connection->task.session));
    if (!connection->stream.is_tls) return;
    if (worker->clients->tls) tls_stream_attach(connection_tls(connection), worker->clients->tls);
    counter_add(&worker->tls_bytes, sizeof(struct tls_stream));
}

void clients_remove(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->is_unlinked) return;
    connection->is_unlinked = true;
    if (worker->clients->sweep == connection) worker->clients->sweep = connection->next;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->clients->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    else
        worker->clients->connections_last = connection->previous;
    connection_ids_remove(&worker->clients->ids, connection);
    counter_subtract(&worker->connection_count, 1);
    counter_subtract(&worker->name_bytes, session_bytes(&connection->task.session));
    if (!connection->stream.is_tls) return;
    tls_stream_detach(connection_tls(connection));
    counter_subtract(&worker->tls_bytes, sizeof(struct tls_stream));
}

void clients_seat_release(struct worker *worker) {
    atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
}

void clients_flush_later(struct connection *connection) {
    struct clients *clients = connection->worker->clients;
    if (connection->is_flush_due) return;
    connection->is_flush_due = true;
    connection->flush_next = clients->flush;
    clients->flush = connection;
}

/* ------------------------------------------------------------------ what they use */

int64_t clients_memory_most(void) {
    int64_t limit = atomic_load_explicit(&config.maxmemory_clients, memory_order_relaxed);
    if (limit >= 0) return limit;
    /* In percent. */
    return atomic_load_explicit(&config.maxmemory, memory_order_relaxed) / 100 * -limit;
}

uint64_t clients_memory_of(const struct worker *worker) {
    return counter_read(&worker->connection_count) * sizeof(struct connection) +
           counter_read(&worker->input_bytes) + counter_read(&worker->output_bytes) +
           counter_read(&worker->tls_bytes) + loop_kept(worker->loop) + counter_read(&worker->wait_bytes) +
           counter_read(&worker->name_bytes) +
           atomic_load_explicit(&worker->news_bytes, memory_order_relaxed);
}

uint64_t clients_memory(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_count(); i++)
        sum += clients_memory_of(worker_at(i)) + counter_read(&worker_at(i)->ended_bytes);
    return sum;
}

/* ------------------------------------------------------------------ what strangers do */

/* Without what the loop keeps of it, and counts by itself. By TLS, what encrypts is much of it. */
static uint64_t held(const struct connection *connection) {
    const struct tls_stream *tls = connection_tls(connection);
    return connection->input_capacity + connection->owned_bytes + connection->output_bytes +
           connection->parser.capacity * sizeof(struct bulk) +
           (tls ? (uint64_t)tls_stream_counted(tls) : 0); /* modulo 2^64 */
}

void clients_note_stranger(struct connection *connection) {
    bool is_stranger =
        connection->state == CONNECTION_SHAKING || !session_is_admitted(&connection->task.session);
    struct worker *worker = connection->worker;
    if (is_stranger == connection->stream.is_apart) return;
    loop_set_apart(worker->loop, &connection->stream, is_stranger);
    counter_add(&worker->stranger_bytes, is_stranger ? held(connection) : -held(connection));
}

uint64_t clients_stranger_holds(const struct connection *connection) {
    return held(connection) + connection->stream.kept;
}

uint64_t clients_strangers_memory_of(const struct worker *worker) {
    return counter_read(&worker->stranger_bytes) + loop_kept_apart(worker->loop);
}

uint64_t clients_strangers_memory(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_count(); i++) sum += clients_strangers_memory_of(worker_at(i));
    return sum;
}
