/* The states of a connection and what moves it between them.
 *
 * Nobody runs while the worker is outside the gate: bytes that come then are kept, and the connection is
 * READY.
 *
 * Many clients write all that they have to say before they read a word: so every client is read, whatever it
 * does. What keeps its memory small all the same: a connection that is owed much (OWED_MOST) isn't run until
 * that is sent, as long as no more than BACKLOG_MOST has come meanwhile; beyond that it is run, and its
 * replies are kept. One that can be run isn't read beyond BACKLOG_MOST, since its turn comes soon; nor is one
 * whose request waits for a shard. One that waits for something that may never come (a key, the end of a
 * pause) is read, to learn when the client goes. Limits: client-query-buffer-limit for what waits to be run,
 * client-output-buffer-limit for what waits to be sent, maxmemory-clients for all together. A connection past
 * one is closed. */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "server/run/dispatch.h"
#include "server/run/later.h"
#include "clients.h"
#include "connection_output.h"
#include "connection_parts.h"

/* How long the other side has to close after it was sent everything, and to take what it is still owed. */
#define LINGER_MS 1000
#define CLOSING_MS 60000
/* A client that has not sent or taken anything for the first is looked after; one whose connection is broken,
 * and one that has for the second, has nothing more to say. */
#define QUIET_MS 500
#define GONE_MS 2000
/* How long the end of the server waits for a client to take some of what it is owed. */
#define UNREAD_MS 2000

static _Atomic uint64_t last_id;
static const struct task_functions functions;

/* Many are idle: a connection fits an allocation of this size. */
static_assert(sizeof(struct connection) <= 384, "an idle connection is small");

/* ------------------------------------------------------------------ states */

bool connection_receives(const struct connection *connection) {
    return !connection->is_ended && !(connection->is_last_call && connection->last_call_bytes == 0);
}

static bool is_blocked(enum park_reason reason) {
    return reason == PARK_ON_PAUSE || reason == PARK_ON_KEY;
}

bool connection_is_waiting_for_others(const struct connection *connection) {
    return connection->state == CONNECTION_PARKED && is_blocked(connection->task.park_reason);
}

void connection_receiving_update(struct connection *connection) {
    bool wanted = connection_receives(connection) && !connection->is_leaving;
    switch (connection->state) {
    case CONNECTION_READY:
    case CONNECTION_RUNNING:
    case CONNECTION_PARKED:
#ifndef PLANT_UNNOTICED_END
        if (connection_is_waiting_for_others(connection)) break;
#endif
        if (connection->input_length > BACKLOG_MOST)
            wanted = false;
        else if (connection->input_length > BACKLOG_LEAST)
            wanted = wanted && connection->stream.is_receiving;
        break;
    case CONNECTION_CLOSED: wanted = false; break;
    case CONNECTION_SHAKING: wanted = wanted && !connection_tls_is_in_line(connection); break;
    case CONNECTION_BLOCKED_ON_WRITE:
    case CONNECTION_READING: break;
    case CONNECTION_CLOSING:
    case CONNECTION_LINGERING:
        wanted = !connection->is_ended;
        break; /* thrown away, so that closing doesn't reset what was sent */
    }
    loop_set_receiving(connection->worker->loop, &connection->stream, wanted);
}

/* ------------------------------------------------------------------ opening and closing */

void connection_ready(struct connection *connection) {
    assert(connection->state != CONNECTION_CLOSED);
    connection->state = CONNECTION_READY;
    task_queue_append(&connection->worker->clients->ready, &connection->task);
}

void connection_parked(struct connection *connection) {
    if (!task_is_parked(&connection->task)) {
        connection_ready(connection);
        return;
    }
    connection->state = CONNECTION_PARKED;
    counter_add(&connection->worker->parked, 1);
    if (is_blocked(connection->task.park_reason)) counter_add(&connection->worker->blocked, 1);
}

/* However that comes to an end. Its next state is the caller's to set. */
static void parked_end(struct connection *connection, enum park_reason reason) {
    if (connection->state != CONNECTION_PARKED) return;
    counter_subtract(&connection->worker->parked, 1);
    if (is_blocked(reason)) counter_subtract(&connection->worker->blocked, 1);
}

struct connection *connection_open(struct worker *worker, int fd, enum listen_kind kind) {
    bool is_tls = kind == LISTEN_TLS;
    struct connection *connection =
        is_tls && !connection_tls_prepare(worker)
            ? NULL
            : calloc(1, is_tls ? sizeof(struct tls_connection) : sizeof *connection);
    if (!connection || !loop_add(worker->loop, &connection->stream, fd)) {
        log_write(LOG_WARNING, "Can't take a new client: %s", strerror(connection ? errno : ENOMEM));
        free(connection);
        close(fd);
        return NULL;
    }
    connection->worker = worker;
    connection->state = is_tls ? CONNECTION_SHAKING : CONNECTION_READING;
    connection->stream.is_unix = kind == LISTEN_UNIX;
    connection->stream.is_tls = is_tls;
    if (is_tls) tls_stream_begin(connection_tls(connection), &connection->stream);
    connection->task.functions = &functions;
    connection->task.session.id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    connection->task.session.protocol = 2;
    connection->task.session.is_authenticated = config_is_open();
    connection->last_active = worker->now_monotonic;
    connection->created = (uint32_t)(worker->now_monotonic / 1000);
    request_parser_init(&connection->parser);
    clients_add(connection);
    if (is_tls) worker->clients->shaking_count++;
    clients_note_stranger(connection);
    counter_add(&worker->connections_total, 1);
    if (atomic_load_explicit(&config.loglevel, memory_order_relaxed) <= LOG_VERBOSE) {
        char peer[160];
        connection_peer(connection, peer, sizeof peer);
        log_write(LOG_VERBOSE, "Accepted %s", peer);
    }
    return connection;
}

/* Gives up the request at hand, finished or not, and all input. */
static void requests_forget(struct connection *connection) {
    connection_receive_into(connection, NULL, 0);
    dispatch_forget(connection->worker, &connection->task);
    parked_end(connection, connection->task.park_reason);
    task_unpark(&connection->task);
    connection->has_request = false;
    input_owners_release(connection);
    input_account(connection, -(uint64_t)(connection->parser.capacity * sizeof(struct bulk)));
    request_parser_free(&connection->parser);
    request_parser_init(&connection->parser);
    input_free(connection);
}

void connection_close(struct connection *connection, const char *why) {
    struct worker *worker = connection->worker;
    if (connection->state == CONNECTION_CLOSED) return;
    if (connection->state == CONNECTION_RUNNING) {
        connection->is_resolving_close = true;
        return;
    }
    if (why && atomic_load_explicit(&config.loglevel, memory_order_relaxed) <= LOG_VERBOSE) {
        char client[512];
        connection_describe(connection, client, sizeof client);
        log_write(LOG_VERBOSE, "Closing client: %s: %s", why, client);
    }
    requests_forget(connection);
    if (connection->stream.is_tls) tls_say_end(connection_tls(connection));
    if (connection->state == CONNECTION_SHAKING) worker->clients->shaking_count--;
    connection->state = CONNECTION_CLOSED;
    loop_close(worker->loop, &connection->stream);
    output_free(connection);
    clients_remove(connection);
    clients_seat_release(worker);
    assert(connection->task.queue == NULL);
    connection->task.queue_next = worker->clients->closed;
    worker->clients->closed = &connection->task;
}

void connection_dismiss(struct connection *connection, const char *why) {
    if (connection->state != CONNECTION_CLOSED && dispatch_must_end(&connection->task))
        connection->task.session.closes_after_reply = true;
    else
        connection_close(connection, why);
}

void connection_free(struct connection *connection) {
    request_parser_free(&connection->parser);
    session_names_free(connection->task.session.name, connection->task.session.library);
    session_become(&connection->task.session, NULL);
    if (connection->stream.is_tls) tls_stream_end(connection_tls(connection));
    free(connection);
}

/* All is sent. A close while bytes of the client are unread, or under way, would reset the connection, and
 * with it the reply that the client may not have read yet: so only our side is closed, and the rest thrown
 * away for a moment. */
static void closing_finish(struct connection *connection, bool expects_more) {
    if (connection->stream.is_tls) tls_say_end(connection_tls(connection));
    if (!connection_is_flushed(connection)) return; /* sendable() brings us back */
    if (connection->is_ended ||
        (!expects_more && loop_unread(connection->worker->loop, &connection->stream) == 0)) {
        connection_close(connection, NULL);
        return;
    }
    if (shutdown(connection->stream.fd, SHUT_WR) != 0) {
        connection_close(connection, NULL);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    connection->linger_until = connection->worker->now_monotonic + LINGER_MS;
    clients_remove(connection); /* its place stays taken: a client that quits and stays is one too many */
    task_queue_append(&connection->worker->clients->lingering, &connection->task);
#ifdef PLANT_TWICE_QUEUED
    task_queue_append(&connection->worker->clients->lingering, &connection->task);
#endif
}

void connection_closing_begin(struct connection *connection, bool expects_more) {
    requests_forget(connection);
    connection->state = CONNECTION_CLOSING;
    connection_receiving_update(connection);
    if (connection->output && !connection->stream.is_sending && !output_flush(connection)) return;
    if (!connection->output) closing_finish(connection, expects_more);
}

void connection_settle(struct connection *connection, bool has_requests) {
    if (connection_is_held_back(connection)) {
        connection->state = CONNECTION_BLOCKED_ON_WRITE;
    } else if (has_requests) {
        connection_ready(connection);
    } else {
        connection->state = CONNECTION_READING;
        if (!connection_receives(connection)) {
            connection_closing_begin(connection, false);
            return;
        }
    }
    connection_receiving_update(connection);
}

void connection_check(struct connection *connection) {
    int64_t idle = connection->worker->now_monotonic - connection->last_active;
    int64_t timeout = atomic_load_explicit(&config.timeout, memory_order_relaxed);
    if (connection->state == CONNECTION_CLOSING) {
        if (idle > CLOSING_MS) connection_close(connection, "took too long to read its last replies");
        return;
    }
    if (connection->state == CONNECTION_SHAKING && !connection_tls_check(connection)) return;
    /* What waits for us rather than for the client isn't idle, nor is one that listens. */
    bool waits = connection->state <= CONNECTION_READING || connection->state == CONNECTION_BLOCKED_ON_WRITE;
    const struct session *session = &connection->task.session;
    bool listens = session_is_subscriber(session) || session_is_monitor(session);
    if (timeout > 0 && idle > timeout * 1000 && waits && !listens) {
        connection_close(connection, "idle");
        return;
    }
    if (connection->soft_limit_since) output_check(connection);
}

bool connection_is_busy(struct connection *connection) {
    bool is_owed = connection->output != NULL || !connection_is_flushed(connection);
    /* It may never read again. */
    if (is_owed && connection->worker->now_monotonic - connection->last_active > UNREAD_MS) return false;
    switch (connection->state) {
    case CONNECTION_READING: return is_owed || (connection->is_last_call && connection_receives(connection));
    case CONNECTION_SHAKING:
    case CONNECTION_CLOSED: return false;
    case CONNECTION_PARKED: return !connection_is_waiting_for_others(connection);
    default: return true;
    }
}

void connection_last_call(struct connection *connection) {
    connection->is_last_call = true;
    if (connection->state == CONNECTION_CLOSING) return;
    connection->last_call_bytes = loop_unread(connection->worker->loop, &connection->stream);
    connection_receiving_update(connection);
}

void connection_discard_input(struct connection *connection) {
    while (recv(connection->stream.fd, NULL, INT32_MAX, MSG_TRUNC | MSG_DONTWAIT) > 0) continue;
}

/* ------------------------------------------------------------------ what the loop tells */

void connection_end(struct connection *connection, ssize_t status) {
    if (status < 0) {
        connection_close(connection, strerror((int)-status));
        return;
    }
    connection->is_ended = true;
    switch (connection->state) {
    case CONNECTION_SHAKING: connection_close(connection, "client is gone in the handshake"); break;
    case CONNECTION_READING: connection_closing_begin(connection, false); break;
    case CONNECTION_CLOSING:
        if (!connection->output && !connection->stream.is_sending)
            connection_close(connection, NULL);
        else
            connection_receiving_update(connection);
        break;
    case CONNECTION_LINGERING: connection_close(connection, NULL); break;
    case CONNECTION_PARKED:
        /* May be for as long as somebody likes, and nobody is there any more. */
        if (connection_is_waiting_for_others(connection))
            connection_close(connection, "client is gone");
        else
            connection_receiving_update(connection);
        break;
    default: connection_receiving_update(connection); break; /* what it had sent is still run */
    }
}

bool connection_is_quiet(const struct connection *connection) {
    return connection->worker->now_monotonic - connection->last_active > QUIET_MS && !connection->is_ended &&
           !connection_is_ending(connection) && connection->state != CONNECTION_READY;
}

/* Bytes that wait to be received come first, if there is still a client to be answered. */
void connection_hung_up(struct connection *connection, bool is_broken) {
    if (connection->state == CONNECTION_PARKED && !connection_is_waiting_for_others(connection))
        return; /* for a moment; what it asks for is done */
    bool is_unread = loop_unread(connection->worker->loop, &connection->stream) > 0;
    if (is_broken && (!is_unread || connection->worker->now_monotonic - connection->last_active > GONE_MS))
        connection_end(connection, -ECONNRESET);
    else if (!is_unread)
        connection_end(connection, 0);
}

void connection_receive(struct connection *connection, char *data, ssize_t length) {
    if (length <= 0)
        connection_end(connection, length);
    else if (connection->stream.is_tls)
        connection_tls_receive(connection, data, (size_t)length);
    else
        connection_take(connection, data, (size_t)length);
}

void connection_take(struct connection *connection, char *data, size_t received) {
    struct worker *worker = connection->worker;
    connection->bytes_in += received;
    counter_add(&worker->bytes_in, received);
    counter_add(&worker->reads, 1);
    if (connection_is_ending(connection)) return;
    if (connection_counts_as_active(connection)) connection->last_active = worker->now_monotonic;
    if (connection->is_last_call && !connection->stream.is_tls)
        connection->last_call_bytes -=
            received < connection->last_call_bytes ? received : connection->last_call_bytes;

    struct blob *bulk = input_bulk(connection);
    if (bulk && data >= bulk->data && data < bulk->data + bulk->length) {
        bool is_whole = request_bulk_received(
            &connection->parser, received); /* the line end that it still needs comes by itself */
        if (input_is_within_limits(connection) && !is_whole) input_bulk_await(connection);
        return;
    }
    bool runs = connection->state == CONNECTION_READING && worker->clients->is_inside;
    size_t kept = connection->input_length;
    if (runs && kept <= LOOP_HEADROOM && (kept <= received || kept <= INPUT_LEAST)) {
        if (kept) memcpy(data - kept, connection->input + connection->input_start, kept);
        connection->input_start = connection->input_length = 0;
        connection_run_from(connection, data - kept, kept + received, false);
        return;
    }
    if (!input_append(connection, data, received)) {
        log_write(LOG_WARNING, "Out of memory while receiving from a client; closing it");
        connection_close(connection, "out of memory");
    } else if (runs) {
        connection_run_from(connection, connection->input + connection->input_start, connection->input_length,
                            true);
    } else {
        bool is_due =
            connection->state == CONNECTION_READING ||
            (connection->state == CONNECTION_BLOCKED_ON_WRITE && !connection_is_held_back(connection));
        if (is_due) connection_ready(connection);
        if (connection_is_waiting_for_others(connection) && !input_is_within_limits(connection)) return;
        connection_receiving_update(connection);
    }
}

void connection_sendable(struct connection *connection) {
    struct tls_stream *tls = connection_tls(connection);
    if (tls && !tls_flush(tls)) {
        if (tls->state == TLS_BROKEN) connection_tls_break(connection);
        return;
    }
    if (!output_flush(connection) || connection->output) return;
    if (connection->state == CONNECTION_CLOSING) {
        closing_finish(connection, true);
    } else if (connection->state == CONNECTION_BLOCKED_ON_WRITE) {
        connection_settle(connection, connection_may_run(connection));
    }
}

/* ------------------------------------------------------------------ outside of its own requests */

/* What it hears, if that is for later. */
static bool keep_for_later(struct connection *connection, const char *data, size_t length, void *owner,
                           void (*release)(void *)) {
    bool is_over;
    if (connection->task.session.subscriptions == NULL || connection_is_ending(connection) ||
        !later_is_due(&connection->task))
        return false;
    if (later_keep(&connection->task, data, length, owner, release, output_room(connection), &is_over))
        return true;
    if (is_over)
        output_refuse(connection);
    else
        connection_close(connection, "out of memory");
    return true;
}

/* While it runs, behind the replies that it has so far. */
void connection_push(struct connection *connection, const char *data, size_t length) {
    if (keep_for_later(connection, data, length, NULL, NULL)) return;
    if (connection->state == CONNECTION_RUNNING)
        reply_raw(&connection->worker->frame->reply, data, length);
    else if (!connection_is_ending(connection) && output_append(connection, data, length) &&
             !connection->stream.is_sending)
        clients_flush_later(connection);
}

void connection_push_reference(struct connection *connection, const char *data, size_t length, void *owner,
                               void (*release)(void *)) {
    if (keep_for_later(connection, data, length, owner, release)) return;
    if (connection->state == CONNECTION_RUNNING)
        reply_raw_reference(&connection->worker->frame->reply, data, length, owner, release);
    else if (connection_is_ending(connection))
        release(owner);
    else if (output_append_reference(connection, data, length, owner, release) &&
             !connection->stream.is_sending)
        clients_flush_later(connection);
}

/* ------------------------------------------------------------------ what runs its requests asks of it */

/* While it is still running, its state is settled when the run ends. */
static void on_woken(struct task *task, enum park_reason reason) {
    struct connection *connection = connection_of(task);
    if (connection->state != CONNECTION_PARKED) return;
    parked_end(connection, reason);
    connection_ready(connection);
}

static void push_to_task(struct task *task, const char *data, size_t length) {
    connection_push(connection_of(task), data, length);
}

static void push_reference_to_task(struct task *task, const char *data, size_t length, void *owner,
                                   void (*release)(void *)) {
    connection_push_reference(connection_of(task), data, length, owner, release);
}

static void close_task(struct task *task, const char *why) {
    connection_close(connection_of(task), why);
}

static void peer_of_task(const struct task *task, char *out, size_t size) {
    connection_peer(connection_of(task), out, size);
}

static void origin_of_task(const struct task *task, char *out, size_t size) {
    connection_origin(connection_of(task), out, size);
}

static size_t describe_task(const struct task *task, char *out, size_t size) {
    size_t length = connection_describe(connection_of(task), out, size);
    return length < size ? length : size - 1;
}

static bool is_task_local(const struct task *task) {
    return connection_is_local(connection_of(task));
}

/* Requests of a batch are small. */
static bool hand_over_of_task(struct task *task, const struct bulk *arguments,
                              struct request_memory *memory) {
    struct connection *connection = connection_of(task);
    return arguments == connection->parser.arguments && input_hand_over(connection, memory);
}

static const struct task_functions functions = {
    .wake = on_woken,
    .push = push_to_task,
    .push_reference = push_reference_to_task,
    .close = close_task,
    .peer = peer_of_task,
    .origin = origin_of_task,
    .describe = describe_task,
    .is_local = is_task_local,
    .hand_over = hand_over_of_task,
};
