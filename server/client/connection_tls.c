/* Connections by TLS: their handshake, and the way from records to requests.
 *
 * A handshake takes a worker as long as thousands of requests do, most of it in one piece, when the server
 * proves that it has its key. So a turn spends so much time on handshakes and no more: what else has come for
 * one is kept in the connection's input, which is free until requests come, and the connection stands in line
 * and isn't read until it is its turn. Who has begun and doesn't go on is closed.
 *
 * Between its two halves a handshake has much memory, and whoever sends the first may leave out the second.
 * So all that have begun may hold so much together and no more. Beyond it nobody is cut off at once: when
 * many honest clients come back at one moment, each needs a round trip and the others can wait for that. Who
 * comes then isn't begun; and those that have begun are closed, the oldest first, when they have had time for
 * a round trip. Of those that wait who came last begins first: it is the likeliest to be there still, and
 * what thousands of others have left open doesn't stand before it. */
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
#define SHAKING_NS 250000
/* How long a handshake may take, the other side's time included: it is two round trips, for which a satellite
 * needs a second or two and a resent packet three more. Redis has no such limit. */
#define SHAKING_SECONDS 10
/* What handshakes that have begun may hold together. With what waits beside them that is less than strangers
 * may (stranger_limit.c), to whom they count: else the oldest of these would go for it, and not who has had
 * its time. */
#define HALF_MOST ((uint64_t)10 * 1024 * 1024)
/* How long one has at least: some round trips around the world, to a client that does hundreds at once while
 * its machine, or this one, has much to do. Where thousands wait it is less, down to a round trip to another
 * continent: as many begin in that time as there is room for (some 200), and strangers who stall would keep
 * everybody else waiting. */
#define HALF_MS 3000
#define HALF_LEAST_MS 250
#define CROWD 1024 /* so many have half of that time */
/* Other workers' handshakes come to their end without telling. */
#define ROOM_MS 10
/* A stranger may fail as often as it likes, and must not fill the log. */
#define COMPLAIN_MS 5000

/* What to do about too many. */
#define CROWDED "If they are yours, let fewer come at a time; if not, have a firewall keep them away."

static _Atomic int64_t quiet_until; /* monotonic ms: until then no further line about a failure */
static _Atomic uint64_t not_told;   /* failures meanwhile that have none */

bool connection_tls_prepare(struct worker *worker) {
    if (!worker->clients->tls)
        worker->clients->tls = tls_side_create(worker->loop, &worker->tls_bytes, &worker->stranger_bytes,
                                               &worker->shaking_bytes);
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
    if (connection->task.queue == &connection->worker->clients->crowded)
        complain(connection, "for ten seconds other clients' handshakes have left no room for its own",
                 CROWDED);
    else
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
    clients_note_stranger(connection);
    if (listen_refuses(connection->stream.fd)) {
        counter_add(&worker->rejected_connections, 1);
        if (output_append(connection, LISTEN_DENIED, strlen(LISTEN_DENIED)))
            connection_closing_begin(connection, true);
        return;
    }
    connection_receiving_update(connection);
}

/* It has nothing of the library's yet. */
static bool has_begun(const struct connection *connection) {
    return connection_tls(connection)->ssl != NULL;
}

static uint64_t held_by_all(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < worker_count(); i++) sum += counter_read(&worker_at(i)->shaking_bytes);
    return sum;
}

/* For one more to begin. Each worker has one at least, so that each comes to an end with its own. */
static bool has_room(const struct worker *worker) {
    return counter_read(&worker->shaking_bytes) == 0 || held_by_all() < HALF_MOST;
}

/* Closes those that have had their time, as long as there is no room. They stand in the order in which they
 * began, but for those that had to wait for the worker meanwhile. */
static void make_room(struct worker *worker) {
    const struct task_queue *half = &worker->clients->half;
    int64_t patience = (int64_t)HALF_MS * CROWD / (CROWD + worker->clients->crowded.count);
    if (patience < HALF_LEAST_MS) patience = HALF_LEAST_MS;
    uint64_t held = held_by_all();
    while (half->first && held >= HALF_MOST) {
        struct connection *first = connection_of(half->first);
        if (worker->now_monotonic - first->last_active < patience) return;
        counter_add(&worker->stranger_closes, 1);
        complain(first, "handshakes that aren't over hold too much, and it hasn't gone on with its own",
                 CROWDED);
        uint64_t own =
            tls_stream_bytes(connection_tls(first)); /* counted until it is freed, when the turn ends */
        held -= own < held ? own : held;
        connection_close(first, "slow handshake");
    }
}

static void shake(struct connection *connection, const char *data, size_t length) {
    struct worker *worker = connection->worker;
    struct tls_stream *tls = connection_tls(connection);
    uint64_t before = clock_cycles();
    if (!has_begun(connection)) connection->last_active = worker->now_monotonic;
    tls_feed(tls, data, length);
    tls_shake(tls);
    worker->clients->shaken += clock_cycles() - before;
    if (tls->state == TLS_SHAKING) {
        if (!connection->task.queue) task_queue_append(&worker->clients->half, &connection->task);
        return;
    }
    task_queue_remove(&connection->task);
    if (tls->state == TLS_OPEN) opened(connection);
    pull(connection);
}

bool connection_tls_is_in_line(const struct connection *connection) {
    const struct clients *clients = connection->worker->clients;
    return connection->task.queue == &clients->shaking || connection->task.queue == &clients->crowded;
}

/* Has it wait with what has come of it. */
static void wait_for_time(struct connection *connection) {
    task_queue_remove(&connection->task); /* from those that wait for their client */
    task_queue_append(&connection->worker->clients->shaking, &connection->task);
    connection_receiving_update(connection);
}

static void wait_for_room(struct connection *connection) {
    task_queue_prepend(&connection->worker->clients->crowded, &connection->task);
    connection_receiving_update(connection);
}

/* With bytes of a connection that is in no line. */
static void go_on(struct connection *connection) {
    char *input = connection->input;
    size_t start = connection->input_start, length = connection->input_length,
           capacity = connection->input_capacity;
    if (!has_begun(connection) && !has_room(connection->worker)) {
        wait_for_room(connection);
        return;
    }
    /* It is read while other input may come of it. */
    connection->input = NULL;
    connection->input_start = connection->input_length = connection->input_capacity = 0;
    input_account(connection, -(uint64_t)capacity);
    connection_receiving_update(connection);
    shake(connection, input + start, length);
    pages_free(input, capacity);
}

void connections_shake(struct worker *worker) {
    struct clients *clients = worker->clients;
    clients->shaken = 0;
    make_room(worker);
    for (uint32_t count = clients->shaking.count; count > 0 && has_time(worker); count--)
        go_on(connection_of(task_queue_take(&clients->shaking)));
    while (clients->crowded.first && has_time(worker) && has_room(worker))
        go_on(connection_of(task_queue_take(&clients->crowded)));
}

int connections_shake_patience(const struct worker *worker) {
    const struct clients *clients = worker->clients;
    if (clients->shaking.first) return 0;
    if (!clients->crowded.first) return -1;
    return has_room(worker) ? 0 : ROOM_MS;
}

/* What has come while the handshake isn't over. */
static void receive(struct connection *connection, const char *data, size_t length) {
    struct worker *worker = connection->worker;
    bool is_in_line = connection_tls_is_in_line(connection), has_time_now = has_time(worker);
    if (!is_in_line && has_time_now && (has_begun(connection) || has_room(worker))) {
        shake(connection, data, length);
        return;
    }
    if (!input_append(connection, data, length)) {
        connection_close(connection, "out of memory");
        return;
    }
    if (is_in_line) return;
    if (has_time_now)
        wait_for_room(connection);
    else
        wait_for_time(connection);
}

void connection_tls_receive(struct connection *connection, char *data, size_t length) {
    struct tls_stream *tls = connection_tls(connection);
    if (connection_is_ending(connection)) return;
    if (connection->state != CONNECTION_SHAKING) {
        if (tls->state != TLS_OPEN) return;
        tls_feed(tls, data, length);
        pull(connection);
    } else {
        receive(connection, data, length);
    }
    last_call_subtract(connection, length);
}
