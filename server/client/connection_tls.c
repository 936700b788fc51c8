/* Connections by TLS: their handshake, and the way from records to requests.
 *
 * A handshake takes a worker as long as thousands of requests do, most of it in one piece, when the server
 * proves that it has its key. So a turn spends so much time on handshakes and no more: what else has come for
 * one is kept in the connection's input, which is free until requests come, and the connection stands in line
 * and isn't read until it is its turn. Who has begun and doesn't go on is closed. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/pages.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "clients.h"
#include "connection_output.h"
#include "connection_parts.h"

/* Of a turn, for all handshakes: other clients wait for no longer than for a large reply. One is done
 * whatever it takes (P-256 a tenth of a millisecond, RSA with 4,096 bits some milliseconds), so that all come
 * to their end. */
#define SHAKING_NS 1000000
/* How long a handshake may take, the other side's time included: it is two round trips, for which a satellite
 * needs a second or two and a resent packet three more. Redis has no such limit. */
#define SHAKING_SECONDS 10
/* A stranger may fail as often as it likes, and must not fill the log. */
#define COMPLAIN_MS 5000

static _Atomic int64_t quiet_until; /* monotonic ms: until then no further line about a failure */
static _Atomic uint64_t not_told;   /* failures meanwhile that have none */

bool connection_tls_prepare(struct worker *worker) {
    if (!worker->clients->tls)
        worker->clients->tls = tls_side_create(worker->loop, &worker->tls_bytes, &worker->stranger_bytes);
    return worker->clients->tls != NULL;
}

/* ------------------------------------------------------------------ when it fails */

static void complain(const struct connection *connection, const char *why, const char *advice) {
    char peer[TASK_ADDRESS];
    if (!log_is_due(&quiet_until, connection->worker->now_monotonic, COMPLAIN_MS)) {
        atomic_fetch_add(&not_told, 1);
        return;
    }
    uint64_t others = atomic_exchange(&not_told, 0);
    connection_peer(connection, peer, sizeof peer);
    if (others == 0)
        log_write(LOG_WARNING, "TLS: closing a client at %s: %s. %s", peer, why, advice);
    else
        log_write(LOG_WARNING,
                  "TLS: closing a client at %s: %s. %s (There were %llu like it since the last line.)", peer,
                  why, advice, (unsigned long long)others);
}

void connection_tls_break(struct connection *connection) {
    const char *advice, *why = tls_stream_why(connection_tls(connection), &advice);
    /* That somebody is gone is no news. */
    if (connection_tls(connection)->why != NULL) complain(connection, why, advice);
    connection_close(connection, why);
}

bool connection_tls_check(struct connection *connection) {
    if (connection->worker->now_monotonic / 1000 - connection->created < SHAKING_SECONDS) return true;
    complain(connection, "it hasn't finished its handshake in ten seconds", "It may not speak TLS.");
    connection_close(connection, "slow handshake");
    return false;
}

/* ------------------------------------------------------------------ records */

/* Has what was fed run. */
static void pull(struct connection *connection) {
    struct tls_stream *tls = connection_tls(connection);
    while (!connection_is_ending(connection)) {
        char *data;
        size_t length = tls_take(tls, &data);
        if (length == 0) break;
        connection_take(connection, data, length);
    }
    if (connection_is_ending(connection)) return;
    if (tls->state == TLS_BROKEN)
        connection_tls_break(connection);
    else if (tls->state == TLS_ENDED && !connection->is_ended)
        connection_end(connection, 0);
}

/* Of what had come at the last call, less is to be received. */
static void last_call_subtract(struct connection *connection, size_t received) {
    if (!connection->is_last_call || connection_is_ending(connection)) return;
    connection->last_call_bytes -=
        received < connection->last_call_bytes ? received : connection->last_call_bytes;
    if (connection->state == CONNECTION_READING && !connection_receives(connection))
        connection_closing_begin(connection, false);
}

/* ------------------------------------------------------------------ handshake */

static bool has_time(const struct worker *worker) {
    return clock_cycles_to_ns(worker->clients->shaken) < SHAKING_NS;
}

/* The handshake is over: who is turned away can be told so. */
static void opened(struct connection *connection) {
    struct worker *worker = connection->worker;
    connection->state = CONNECTION_READING;
    connection->last_active = worker->now_monotonic;
    worker->clients->shaking_count--;
    if (listen_refuses(connection->stream.fd)) {
        counter_add(&worker->rejected_connections, 1);
        if (output_append(connection, LISTEN_DENIED, strlen(LISTEN_DENIED)))
            connection_closing_begin(connection, true);
        return;
    }
    connection_receiving_update(connection);
}

static void shake(struct connection *connection, const char *data, size_t length) {
    struct worker *worker = connection->worker;
    struct tls_stream *tls = connection_tls(connection);
    uint64_t before = clock_cycles();
    tls_feed(tls, data, length);
    tls_shake(tls);
    worker->clients->shaken += clock_cycles() - before;
    if (tls->state == TLS_SHAKING) return;
    if (tls->state == TLS_OPEN) opened(connection);
    pull(connection);
}

/* Puts it in line with what has come. */
static void shake_later(struct connection *connection, const char *data, size_t length) {
    if (!input_append(connection, data, length)) {
        connection_close(connection, "out of memory");
        return;
    }
    if (connection->task.queue) return;
    task_queue_append(&connection->worker->clients->shaking, &connection->task);
    connection_receiving_update(connection);
}

void connections_shake(struct worker *worker) {
    worker->clients->shaken = 0;
    for (uint32_t count = worker->clients->shaking.count; count > 0 && has_time(worker); count--) {
        struct connection *connection = connection_of(task_queue_take(&worker->clients->shaking));
        char *input = connection->input;
        size_t start = connection->input_start, length = connection->input_length,
               capacity = connection->input_capacity;
        /* It is read while other input may come of it. */
        connection->input = NULL;
        connection->input_start = connection->input_length = connection->input_capacity = 0;
        input_account(connection, -(uint64_t)capacity);
        connection_receiving_update(connection);
        shake(connection, input + start, length);
        pages_free(input, capacity);
    }
}

void connection_tls_receive(struct connection *connection, char *data, size_t length) {
    struct tls_stream *tls = connection_tls(connection);
    if (connection_is_ending(connection)) return;
    if (connection->state != CONNECTION_SHAKING) {
        if (tls->state != TLS_OPEN) return;
        tls_feed(tls, data, length);
        pull(connection);
    } else if (connection->task.queue || !has_time(connection->worker)) {
        shake_later(connection, data, length);
    } else {
        shake(connection, data, length);
    }
    last_call_subtract(connection, length);
}
