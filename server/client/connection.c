/* The states of a connection and what moves it between them.
 *
 * Requests are parsed where their bytes are: in the loop's memory as a rule. What is left over there (an
 * unfinished request, requests beyond the turn's share, a parked one) is kept in `input`. When more comes, a
 * short leftover is put back in front of the new bytes (LOOP_HEADROOM), a long one takes the new bytes behind
 * it, so that every byte is moved a bounded number of times.
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
 * client-output-buffer-limit for what waits to be sent, maxmemory-clients for all together. Who is past one
 * is closed. */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shard/base/counter.h"
#include "shard/evict/eviction.h"
#include "shard/lock/lane.h"
#include "balance.h"
#include "server/config/config.h"
#include "server/run/dispatch.h"
#include "server/base/log.h"
#include "output.h"
#include "stranger.h"
#include "clients.h"

/* A turn's share of one connection. */
#define SHARE_COMMANDS 1024
#define SHARE_INPUT ((size_t)256 * 1024)
/* Received and not yet run: beyond the first a client that can be run isn't read, below the second it is
 * again. */
#define BACKLOG_MOST ((size_t)256 * 1024)
#define BACKLOG_LEAST ((size_t)64 * 1024)
/* Owed after an attempt to send: beyond this the connection waits until all of it is sent, or much has
 * come. */
#define OWED_MOST ((size_t)256 * 1024)
#define REPLY_KEEP ((size_t)64 * 1024)
#define ARGUMENTS_KEEP 1024
#define INPUT_LEAST 256
/* An input buffer above this is not kept for a few bytes. */
#define INPUT_ROOMY 65536
/* What a client without password may send before it says one, as in Redis. */
#define UNAUTHENTICATED_INPUT_MOST ((size_t)1024 * 1024)
/* How long the other side has to close after it was sent everything, and to take what it is still owed. */
#define LINGER_MS 1000
#define CLOSING_MS 60000
/* Who has not sent or taken anything for the first is looked after; whose connection is broken, and who has
 * for the second, has nothing more to say. */
#define QUIET_MS 500
#define GONE_MS 2000
/* How long the end of the server waits for a client to take some of what it is owed. */
#define UNREAD_MS 2000

static _Atomic uint64_t last_id;
static const struct task_functions functions;

/* Many are idle: a connection fits an allocation of this size. */
static_assert(sizeof(struct connection) <= 384, "an idle connection is small");

/* ------------------------------------------------------------------ input */

/* Arguments of a parked request point into the memory that its bytes are in. */
static void arguments_rebase(struct connection *connection, const char *from, char *to) {
    if (!connection->has_request || from == to) return;
    struct request_parser *parser = &connection->parser;
    for (uint32_t i = 0; i < parser->count; i++) {
        struct bulk *argument = &parser->arguments[i];
        if (argument->owner) continue;
        argument->data = to + ((uintptr_t)argument->data - (uintptr_t)from);
    }
}

/* Large arguments count as the lane's memory, and as the client's, while they are only that; what has become
 * a value is counted for its entry as well. */
static void owned_bytes_add(struct connection *connection, size_t bytes) {
    struct worker *worker = connection->worker;
    connection->owned_bytes += bytes;
    lane_charge(worker->lane, (int64_t)bytes);
    counter_add(&worker->input_bytes, bytes);
    recent_note(&worker->recent_input, worker->now_monotonic,
                connection->input_capacity + connection->owned_bytes);
}

static void owners_release(struct connection *connection) {
    size_t bytes = connection->owned_bytes;
    if (bytes == 0) return;
    connection->owned_bytes = 0;
    request_owners(&connection->parser, blob_release);
    lane_charge(connection->worker->lane, -(int64_t)bytes); /* when it is free */
    counter_subtract(&connection->worker->input_bytes, bytes);
}

/* The argument that is being received to memory of its own, or NULL. */
static struct blob *bulk_of(const struct connection *connection) {
    return connection->parser.apart_owner;
}

static void input_free(struct connection *connection) {
    counter_subtract(&connection->worker->input_bytes, connection->input_capacity);
    free(connection->input);
    connection->input = NULL;
    connection->input_start = connection->input_length = connection->input_capacity = 0;
}

/* Puts the input into new memory of that size. */
static bool input_resize(struct connection *connection, size_t capacity) {
    char *memory = malloc(capacity);
    if (!memory) return false;
    size_t length = connection->input_length;
    if (length) { /* if not, a parked request's arguments are not in there yet */
        char *from = connection->input + connection->input_start;
        memcpy(memory, from, length);
        arguments_rebase(connection, from, memory);
    }
    input_free(connection);
    connection->input = memory;
    connection->input_length = length;
    connection->input_capacity = capacity;
    counter_add(&connection->worker->input_bytes, capacity);
    recent_note(&connection->worker->recent_input, connection->worker->now_monotonic, capacity);
    return true;
}

/* Makes room for so many bytes behind the input, and for the one that the parser may look at. */
static bool input_reserve(struct connection *connection, size_t more) {
    size_t needed = connection->input_length + more + 1;
    if (connection->input_start + needed <= connection->input_capacity) return true;
    /* Moving pays if what has been run is at least as long as what moves. */
    if (needed <= connection->input_capacity && connection->input_start >= connection->input_length) {
        char *from = connection->input + connection->input_start;
        memmove(connection->input, from, connection->input_length);
        if (connection->input_length) arguments_rebase(connection, from, connection->input);
        connection->input_start = 0;
        return true;
    }
    size_t capacity = connection->input_length * 2;
    if (capacity < INPUT_LEAST) capacity = INPUT_LEAST;
    return input_resize(connection, capacity > needed ? capacity : needed);
}

static bool input_append(struct connection *connection, const char *data, size_t length) {
    if (!input_reserve(connection, length)) return false;
    memcpy(connection->input + connection->input_start + connection->input_length, data, length);
    connection->input_length += length;
    return true;
}

/* What a run has left becomes the input: bytes that are in it already, or bytes from elsewhere while it is
 * empty. */
static bool input_keep(struct connection *connection, char *data, size_t length, bool is_input) {
    if (is_input) {
        connection->input_start = (size_t)(data - connection->input);
        connection->input_length = length;
    } else if (length) {
        if (!input_append(connection, data, length)) return false;
        arguments_rebase(connection, data, connection->input + connection->input_start);
    }
    if (connection->input_length == 0) {
        input_free(connection);
    } else if (connection->input_capacity > INPUT_ROOMY &&
               connection->input_length < connection->input_capacity / 8) {
        input_resize(connection, connection->input_length + INPUT_LEAST); /* if not, it just stays roomy */
    }
    return true;
}

/* What waits to be run, and the argument that is being received, count, as in Redis. */
static bool input_is_within_limits(struct connection *connection) {
    size_t held = connection->input_length, missing = 0;
    if (bulk_of(connection)) {
        request_bulk_space(&connection->parser, &missing);
        held += bulk_of(connection)->length - missing;
    }
    int64_t limit = atomic_load_explicit(&config.client_query_buffer_limit, memory_order_relaxed);
    if ((limit <= 0 || held <= (size_t)limit) &&
        (held <= UNAUTHENTICATED_INPUT_MOST || session_is_admitted(&connection->task.session))) {
        return true;
    }
    char client[512];
    connection_describe(connection, client, sizeof client);
    log_write(
        LOG_WARNING,
        "Closing client that reached max query buffer length: %s (holds %zu bytes that can't be run yet)",
        client, held);
    counter_add(&connection->worker->query_limit_closes, 1);
    connection_close(connection, NULL);
    return false;
}

/* Whether more may come that is to be run. */
static bool receives(const struct connection *connection) {
    return !connection->is_ended && !(connection->is_last_call && connection->last_call_bytes == 0);
}

/* For what may come late, or never. */
static bool is_blocked(enum park_reason reason) {
    return reason == PARK_ON_PAUSE || reason == PARK_ON_KEY;
}

static bool is_waiting_for_others(const struct connection *connection) {
    return connection->state == CONNECTION_PARKED && is_blocked(connection->task.park_reason);
}

/* Its next request waits until the client has read. */
static bool is_held_back(const struct connection *connection) {
    return connection->output_bytes > OWED_MOST && connection->input_length <= BACKLOG_MOST;
}

/* Reads the client if it is to be read in its present state. */
static void receiving_update(struct connection *connection) {
    bool wanted = receives(connection) && !connection->is_leaving;
    switch (connection->state) {
    case CONNECTION_READY:
    case CONNECTION_RUNNING:
    case CONNECTION_PARKED:
#ifndef PLANT_UNNOTICED_END
        if (is_waiting_for_others(connection)) break;
#endif
        if (connection->input_length > BACKLOG_MOST)
            wanted = false;
        else if (connection->input_length > BACKLOG_LEAST)
            wanted = wanted && connection->stream.is_receiving;
        break;
    case CONNECTION_CLOSED: wanted = false; break;
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

static void connection_ready(struct connection *connection) {
    assert(connection->state != CONNECTION_CLOSED);
    connection->state = CONNECTION_READY;
    task_queue_append(&connection->worker->clients->ready, &connection->task);
}

/* Its request was parked, and may have been woken since. */
static void connection_parked(struct connection *connection) {
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

static void connection_link(struct connection *connection) {
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
}

struct connection *connection_open(struct worker *worker, int fd, bool is_unix) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection || !loop_add(worker->loop, &connection->stream, fd)) {
        log_write(LOG_WARNING, "Can't take a new client: %s", strerror(connection ? errno : ENOMEM));
        free(connection);
        close(fd);
        return NULL;
    }
    connection->worker = worker;
    connection->state = CONNECTION_READING;
    connection->stream.is_unix = is_unix;
    connection->task.functions = &functions;
    connection->task.session.id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    connection->task.session.protocol = 2;
    connection->task.session.is_authenticated = !config_has_password();
    connection->created = connection->last_active = worker->now_monotonic;
    request_parser_init(&connection->parser);
    connection_link(connection);
    counter_add(&worker->connections_total, 1);
    if (atomic_load_explicit(&config.loglevel, memory_order_relaxed) <= LOG_VERBOSE) {
        char peer[160];
        connection_peer(connection, peer, sizeof peer);
        log_write(LOG_VERBOSE, "Accepted %s", peer);
    }
    return connection;
}

/* No longer one of the worker's clients. Its own `next` stays, for who is just going through the list. */
static void connection_unlink(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->is_unlinked) return;
    connection->is_unlinked = true;
    if (connection->is_leaving) balance_forget(worker, connection);
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
}

/* Its place among maxclients is free again. */
static void seat_release(struct worker *worker) {
    atomic_fetch_sub_explicit(&worker->clients->assigned, 1, memory_order_relaxed);
}

/* Gives up the request at hand, finished or not, and all input. */
static void requests_forget(struct connection *connection) {
    loop_receive_into(connection->worker->loop, &connection->stream, NULL, 0);
    dispatch_forget(connection->worker, &connection->task);
    parked_end(connection, connection->task.park_reason);
    task_unpark(&connection->task);
    connection->has_request = false;
    owners_release(connection);
    counter_subtract(&connection->worker->input_bytes, connection->parser.capacity * sizeof(struct bulk));
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
    connection->state = CONNECTION_CLOSED;
    loop_close(worker->loop, &connection->stream);
    output_free(connection);
    connection_unlink(connection);
    seat_release(worker);
    assert(connection->task.queue == NULL);
    connection->task.queue_next = worker->clients->closed;
    worker->clients->closed = &connection->task;
}

void connection_free(struct connection *connection) {
    request_parser_free(&connection->parser);
    free(connection->task.session.name);
    if (connection->task.session.library) {
        free(connection->task.session.library->name);
        free(connection->task.session.library->version);
        free(connection->task.session.library);
    }
    free(connection);
}

/* All is sent. A close while bytes of the client are unread, or under way, would reset the connection, and
 * with it the reply that the client may not have read yet: so only our side is closed, and the rest thrown
 * away for a moment. */
static void closing_finish(struct connection *connection, bool expects_more) {
    if (!loop_flush(connection->worker->loop, &connection->stream)) return; /* sendable() brings us back */
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
    connection_unlink(
        connection); /* but its place is taken: who quits and stays is still a client too many */
    task_queue_append(&connection->worker->clients->lingering, &connection->task);
#ifdef PLANT_TWICE_QUEUED
    task_queue_append(&connection->worker->clients->lingering, &connection->task);
#endif
}

/* Sends what is owed, and then closes. */
static void closing_begin(struct connection *connection, bool expects_more) {
    requests_forget(connection);
    connection->state = CONNECTION_CLOSING;
    receiving_update(connection);
    if (connection->output && !connection->stream.is_sending && !output_flush(connection)) return;
    if (!connection->output) closing_finish(connection, expects_more);
}

/* It is past its last request. */
static bool is_ending(const struct connection *connection) {
    return connection->state >= CONNECTION_CLOSING;
}

void connection_check(struct connection *connection) {
    int64_t idle = connection->worker->now_monotonic - connection->last_active;
    int64_t timeout = atomic_load_explicit(&config.timeout, memory_order_relaxed);
    if (connection->state == CONNECTION_CLOSING) {
        if (idle > CLOSING_MS) connection_close(connection, "took too long to read its last replies");
        return;
    }
    /* What waits for us rather than for the client isn't idle, nor is a monitor. */
    bool waits = connection->state == CONNECTION_READING || connection->state == CONNECTION_BLOCKED_ON_WRITE;
    if (timeout > 0 && idle > timeout * 1000 && waits && !connection->task.session.is_monitor) {
        connection_close(connection, "idle");
        return;
    }
    if (connection->soft_limit_since) output_check(connection);
}

bool connection_is_busy(struct connection *connection) {
    bool is_owed = connection->output != NULL || !loop_flush(connection->worker->loop, &connection->stream);
    /* It may never read again. */
    if (is_owed && connection->worker->now_monotonic - connection->last_active > UNREAD_MS) return false;
    switch (connection->state) {
    case CONNECTION_READING: return is_owed || (connection->is_last_call && receives(connection));
    case CONNECTION_CLOSED: return false;
    case CONNECTION_PARKED: return !is_waiting_for_others(connection);
    default: return true;
    }
}

void connection_last_call(struct connection *connection) {
    connection->is_last_call = true;
    if (connection->state == CONNECTION_CLOSING) return;
    connection->last_call_bytes = loop_unread(connection->worker->loop, &connection->stream);
    receiving_update(connection);
}

void connection_discard_input(struct connection *connection) {
    while (recv(connection->stream.fd, NULL, INT32_MAX, MSG_TRUNC | MSG_DONTWAIT) > 0) continue;
}

/* ------------------------------------------------------------------ running */

/* A pass over requests in memory: where it is, and what it has used up. */
struct run {
    char *data; /* the present request's first byte */
    size_t length;
    size_t input, commands;
    bool is_at_end; /* no whole request is left */
    bool is_parked;
    bool closes;
    bool is_protocol_error;
};

/* The connection that runs has the worker's memory for arguments, unless an unfinished request holds some of
 * its own. */
static void arguments_lend(struct worker *worker, struct request_parser *parser) {
    if (parser->arguments || !worker->clients->arguments) return;
    parser->arguments = worker->clients->arguments;
    parser->capacity = worker->clients->arguments_capacity;
    worker->clients->arguments = NULL;
}

static void arguments_take_back(struct worker *worker, struct connection *connection) {
    struct request_parser *parser = &connection->parser;
    if (connection->has_request || !request_is_idle(parser) || !parser->arguments) return;
    if (worker->clients->arguments || parser->capacity > ARGUMENTS_KEEP) {
        free(parser->arguments);
    } else {
        worker->clients->arguments = parser->arguments;
        worker->clients->arguments_capacity = parser->capacity;
    }
    parser->arguments = NULL;
    parser->capacity = 0;
    parser->count = 0;
}

/* What an unfinished or parked request keeps for its arguments is the client's: up to 24 bytes for each six
 * that it has sent. */
static void arguments_count(struct connection *connection, uint32_t before) {
    uint32_t now = connection->parser.capacity;
    if (now == before) return;
    counter_add(&connection->worker->input_bytes,
                ((uint64_t)now - before) * sizeof(struct bulk)); /* modulo 2^64 */
}

/* What an argument of which so much has come may have: announcing it costs a client nothing, so that gives no
 * more than one receive brings. Rounded so that the allocation, and not the bytes in it, is a power of two,
 * as far as they are. */
static size_t bulk_capacity(const struct request_parser *parser, size_t present) {
    size_t own = sizeof(struct blob) + 1, bytes = (present + own) * 2;
    size_t announced = (size_t)parser->bulk_length,
           capacity = (bytes > LOOP_RECEIVE_MOST ? bytes : LOOP_RECEIVE_MOST) - own;
    return capacity < announced ? capacity : announced;
}

/* A large argument gets memory of its own, which may become its value. */
static void bulk_begin(struct connection *connection, struct run *run) {
    struct request_parser *parser = &connection->parser;
    struct worker *worker = connection->worker;
    struct blob *blob = NULL;
    if (parser->bulk_length > BLOB_LEAST) {
        size_t capacity = bulk_capacity(parser, request_bulk_present(parser, run->length));
        dispatch_make_room(worker, entry_room_for(capacity));
        blob = blob_create(capacity);
    }
    if (!blob) {
        request_decline_bulk(parser);
        return;
    }
    request_receive_bulk(parser, blob->data, blob->length, blob, run->data, &run->length);
    loop_expect_bulk(worker->loop, &connection->stream);
    owned_bytes_add(connection, blob_bytes(blob));
}

/* Its memory is full, and more is announced. False if the connection is closed for want of memory. */
static bool bulk_grow(struct connection *connection) {
    struct request_parser *parser = &connection->parser;
    struct blob *blob = bulk_of(connection);
    size_t capacity = bulk_capacity(parser, blob->length), before = blob_bytes(blob);
    struct lane *lane = connection->worker->lane;
    dispatch_make_room(connection->worker, entry_room_for(capacity - blob->length));
    /* Old and new memory are there for the time that it takes to copy: what isn't on the lane's account is
     * taken for what the process needs, and that is left to it for a good while. */
    lane_charge(lane, (int64_t)capacity);
    blob = blob_grow(blob, capacity);
    if (!blob) {
        lane_charge(lane, -(int64_t)capacity);
        log_write(LOG_WARNING, "Out of memory while receiving from a client; closing it");
        connection_close(connection, "out of memory");
        return false;
    }
    request_move_bulk(parser, blob->data, capacity, blob);
    owned_bytes_add(connection, blob_bytes(blob) - before);
    lane_charge(lane, -(int64_t)capacity);
    return true;
}

static void bulk_await(struct connection *connection) {
    size_t missing;
    char *space = request_bulk_space(&connection->parser, &missing);
    if (missing == 0) {
        if (!bulk_grow(connection)) return;
        space = request_bulk_space(&connection->parser, &missing);
    }
    loop_receive_into(connection->worker->loop, &connection->stream, space, missing);
}

/* Parses up to the next whole request. True if there is one; it took *consumed bytes. */
static bool run_parse(struct connection *connection, struct run *run, size_t *consumed) {
    for (;;) {
        struct request_limits limits = {
            .bulk_length = atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed),
            .is_authenticated = session_is_admitted(&connection->task.session),
        };
        switch (request_parse(&connection->parser, &limits, run->data, run->length, consumed)) {
        case REQUEST_READY:
            if (connection->parser.count > 0) return true;
            owners_release(connection);
            run->data += *consumed;
            run->length -= *consumed;
            run->input += *consumed;
            break;
        case REQUEST_WANTS_BULK: bulk_begin(connection, run); break;
        case REQUEST_PARTIAL: return false;
        case REQUEST_IN_BULK: bulk_await(connection); return false;
        case REQUEST_ERROR:
            run->closes = run->is_protocol_error = true;
            if (connection->task.session.reply_mode == REPLY_OFF) return false;
            reply_error_format(&connection->worker->frame->reply, "ERR %s", connection->parser.error);
            return false;
        }
    }
}

/* Has a request run that takes `consumed` bytes. False if the run ends with it. */
static bool run_request(struct connection *connection, struct run *run, const struct bulk *arguments,
                        uint32_t count, const struct prepared *prepared, size_t consumed) {
    struct worker *worker = connection->worker;
    connection->has_request = false;
    if ((prepared == NULL || prepared->command == NULL) && stranger_is_http(&arguments[0])) {
        stranger_turn_away(connection);
        return false;
    }
    enum outcome outcome =
        dispatch_request(worker, &connection->task, arguments, count, prepared, &worker->frame->reply);
    if (outcome == OUTCOME_PARKED) {
        connection->has_request = true;
        connection->request_bytes = consumed;
        run->is_parked = true;
        return false;
    }
    run->data += consumed;
    run->length -= consumed;
    run->input += consumed;
    run->commands++;
    run->closes = connection->task.session.closes_after_reply;
    return !run->closes && !connection->is_resolving_close && !worker->frame->reply.is_broken;
}

/* The request that the parser has. */
static bool run_parsed(struct connection *connection, struct run *run, size_t consumed) {
    struct request_parser *parser = &connection->parser;
    bool goes_on = run_request(connection, run, parser->arguments, parser->count, NULL, consumed);
    if (!connection->has_request) owners_release(connection);
    return goes_on;
}

static bool run_has_share(const struct worker *worker, const struct run *run) {
    return run->commands < SHARE_COMMANDS && run->input < SHARE_INPUT &&
           worker->frame->reply.length + worker->frame->reply.referenced_bytes < OUTPUT_SHARE;
}

/* True if the connection may go on running. */
static bool run_prepared(struct connection *connection, struct run *run, struct prepared *prepared) {
    struct worker *worker = connection->worker;
    const struct batch *batch = &worker->frame->batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_request *request = &batch->requests[i];
        if (i > 0 && !run_has_share(worker, run)) return true;
        if (i % DISPATCH_WINDOW == 0) dispatch_fetch(worker, connection->task.session.database, prepared, i);
        bool goes_on = run_request(connection, run, batch->arguments + request->first, request->count,
                                   &prepared[i], request->bytes);
        if (run->is_parked && !batch_hand_over(batch, i, &connection->parser))
            connection->is_resolving_close = true; /* no memory */
        if (!goes_on) return false;
    }
    return true;
}

/* Requests ahead: what they need is on its way from memory before the first of them runs. Those behind one
 * that ends the run are parsed again when their time comes. */
static bool run_batch(struct connection *connection, struct run *run) {
    struct prepared prepared[BATCH_REQUESTS];
    dispatch_prepare(connection->worker, prepared);
    bool goes_on = run_prepared(connection, run, prepared);
    dispatch_batch_end(connection->worker);
    return goes_on;
}

static void run_requests(struct connection *connection, struct run *run) {
    if (connection->has_request && !run_parsed(connection, run, connection->request_bytes)) return;
    while (run_has_share(connection->worker, run)) {
        /* What an unknown client may send is less, and that is the parser's to know. */
        bool may_batch =
            request_is_idle(&connection->parser) && session_is_admitted(&connection->task.session);
        if (may_batch) batch_parse(&connection->worker->frame->batch, run->data, run->length, BATCH_REQUESTS);
        if (may_batch && connection->worker->frame->batch.count > 0) {
            if (!run_batch(connection, run)) return;
            continue;
        }
        size_t consumed = 0;
        if (run->length == 0 || !run_parse(connection, run, &consumed)) {
            run->is_at_end = !run->closes;
            return;
        }
        if (!run_parsed(connection, run, consumed)) return;
    }
}

/* After a run, or when what was owed has been sent: on to the state that fits. */
static void state_settle(struct connection *connection, bool has_requests) {
    if (is_held_back(connection)) {
        connection->state = CONNECTION_BLOCKED_ON_WRITE;
    } else if (has_requests) {
        connection_ready(connection);
    } else {
        connection->state = CONNECTION_READING;
        if (!receives(connection)) {
            closing_begin(connection, false);
            return;
        }
    }
    receiving_update(connection);
}

/* Whether `input` may hold something to run, as far as is known without looking. */
static bool input_is_runnable(const struct connection *connection) {
    return connection->has_request || connection->input_length > 0;
}

/* Runs requests from these bytes: the connection's whole input, or bytes of the loop while the input is
 * empty. */
static void connection_run_from(struct connection *connection, char *data, size_t length, bool is_input) {
    struct worker *worker = connection->worker;
    struct run run = {.data = data, .length = length};
    uint32_t arguments = connection->parser.capacity;
    connection->state = CONNECTION_RUNNING;
    worker->frame->reply.most = output_room(connection);
    arguments_lend(worker, &connection->parser);
    run_requests(connection, &run);
    counter_add(&worker->commands, run.commands);

    bool is_kept = input_keep(connection, run.data, run.length, is_input);
    /* Closing is possible again. */
    connection->state = CONNECTION_READING;
    if (run.is_parked) connection_parked(connection);
    arguments_take_back(worker, connection);
    arguments_count(connection, arguments);
    if (connection->is_resolving_close || !is_kept || worker->frame->reply.is_broken) {
        bool is_over = worker->frame->reply.is_over;
        const char *why = !is_kept || (worker->frame->reply.is_broken && !is_over) ? "out of memory" : NULL;
        if (why) log_write(LOG_WARNING, "Out of memory while serving a client; closing it");
        reply_clear(&worker->frame->reply, REPLY_KEEP);
        if (is_over) output_refuse(connection);
        connection_close(connection, why);
        return;
    }
    if (!output_send(connection, &worker->frame->reply)) return;
    if (run.closes) {
        closing_begin(connection, run.is_protocol_error || run.length > 0);
    } else if (run.is_parked) {
        /* Nobody tells a second time that the client has gone. */
        if (connection->is_ended && is_waiting_for_others(connection))
            connection_close(connection, "client is gone");
        else
            receiving_update(connection);
    } else {
        if (run.is_at_end && !input_is_within_limits(connection)) return;
        state_settle(connection, !run.is_at_end && input_is_runnable(connection));
    }
}

void connection_run(struct connection *connection) {
    if (connection->state != CONNECTION_READY) return;
    task_queue_remove(&connection->task);
    /* What has begun goes on: it may keep others waiting. */
    if (is_held_back(connection) && !connection->has_request) {
        connection->state = CONNECTION_BLOCKED_ON_WRITE;
        receiving_update(connection);
        return;
    }
    connection_run_from(connection, connection->input + connection->input_start, connection->input_length,
                        true);
}

/* ------------------------------------------------------------------ what the loop tells */

static void connection_end(struct connection *connection, ssize_t status) {
    if (status < 0) {
        connection_close(connection, strerror((int)-status));
        return;
    }
    connection->is_ended = true;
    switch (connection->state) {
    case CONNECTION_READING: closing_begin(connection, false); break;
    case CONNECTION_CLOSING:
        if (!connection->output && !connection->stream.is_sending)
            connection_close(connection, NULL);
        else
            receiving_update(connection);
        break;
    case CONNECTION_LINGERING: connection_close(connection, NULL); break;
    case CONNECTION_PARKED:
        /* May be for as long as somebody likes, and nobody is there any more. */
        if (is_waiting_for_others(connection))
            connection_close(connection, "client is gone");
        else
            receiving_update(connection);
        break;
    default: receiving_update(connection); break; /* what it had sent is still run */
    }
}

bool connection_is_quiet(const struct connection *connection) {
    return connection->worker->now_monotonic - connection->last_active > QUIET_MS && !connection->is_ended &&
           !is_ending(connection) && connection->state != CONNECTION_READY;
}

/* Bytes that wait to be received come first, if anybody is there who can be answered. */
void connection_hung_up(struct connection *connection, bool is_broken) {
    if (connection->state == CONNECTION_PARKED && !is_waiting_for_others(connection))
        return; /* for a moment; what it asks for is done */
    bool is_unread = loop_unread(connection->worker->loop, &connection->stream) > 0;
    if (is_broken && (!is_unread || connection->worker->now_monotonic - connection->last_active > GONE_MS))
        connection_end(connection, -ECONNRESET);
    else if (!is_unread)
        connection_end(connection, 0);
}

void connection_receive(struct connection *connection, char *data, ssize_t length) {
    struct worker *worker = connection->worker;
    if (length <= 0) {
        connection_end(connection, length);
        return;
    }
    size_t received = (size_t)length;
    connection->bytes_in += received;
    counter_add(&worker->bytes_in, received);
    counter_add(&worker->reads, 1);
    if (is_ending(connection)) return;
    connection->last_active = worker->now_monotonic;
    if (connection->is_last_call)
        connection->last_call_bytes -=
            received < connection->last_call_bytes ? received : connection->last_call_bytes;

    struct blob *bulk = bulk_of(connection);
    if (bulk && data >= bulk->data && data < bulk->data + bulk->length) {
        bool is_whole = request_bulk_received(
            &connection->parser, received); /* the line end that it still needs comes by itself */
        if (input_is_within_limits(connection) && !is_whole) bulk_await(connection);
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
        bool is_due = connection->state == CONNECTION_READING ||
                      (connection->state == CONNECTION_BLOCKED_ON_WRITE && !is_held_back(connection));
        if (is_due) connection_ready(connection);
        if (is_waiting_for_others(connection) && !input_is_within_limits(connection)) return;
        receiving_update(connection);
    }
}

void connection_sendable(struct connection *connection) {
    if (!output_flush(connection) || connection->output) return;
    if (connection->state == CONNECTION_CLOSING) {
        closing_finish(connection, true);
    } else if (connection->state == CONNECTION_BLOCKED_ON_WRITE) {
        state_settle(connection, input_is_runnable(connection));
    }
}

/* ------------------------------------------------------------------ from worker to worker */

bool connection_may_leave(const struct connection *connection) {
    return connection->state == CONNECTION_READING && connection->input_length == 0 &&
           !connection->has_request && !bulk_of(connection) && request_is_idle(&connection->parser) &&
           !connection->output && !connection->soft_limit_since && !connection->task.under_way &&
           !connection->task.queue && !connection->is_flush_due && !connection->is_ended &&
           !connection->is_last_call && !connection->task.session.is_monitor &&
           !connection->task.session.closes_after_reply && !connection->stream.is_bulky &&
           !connection->stream.is_sending;
}

void connection_leave(struct connection *connection) {
    connection->is_leaving = true;
    receiving_update(connection);
}

void connection_stay(struct connection *connection) {
    connection->is_leaving = false;
    receiving_update(connection);
}

bool connection_has_left(struct connection *connection) {
    if (!connection_may_leave(connection) || !loop_release(connection->worker->loop, &connection->stream))
        return false;
    connection->is_leaving = false; /* first: nobody need be told */
    connection_unlink(connection);
    seat_release(connection->worker);
    return true;
}

bool connection_arrive(struct connection *connection, struct worker *worker) {
    int fd = connection->stream.fd;
    connection->worker = worker;
    if (!loop_add(worker->loop, &connection->stream, fd)) {
        log_write(LOG_WARNING, "A client that was handed to worker %u is lost: %s", worker->number,
                  strerror(errno));
        close(fd);
        connection_free(connection);
        return false;
    }
    connection_link(connection);
    return true;
}

/* ------------------------------------------------------------------ outside of its own requests */

static void flush_later(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->is_flush_due || connection->stream.is_sending) return;
    connection->is_flush_due = true;
    connection->flush_next = worker->clients->flush;
    worker->clients->flush = connection;
}

void connection_push(struct connection *connection, const char *data, size_t length) {
    if (!is_ending(connection) && output_append(connection, data, length)) flush_later(connection);
}

void connection_push_reference(struct connection *connection, const char *data, size_t length, void *owner,
                               void (*release)(void *)) {
    if (is_ending(connection))
        release(owner);
    else if (output_append_reference(connection, data, length, owner, release))
        flush_later(connection);
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

static bool is_task_local(const struct task *task) {
    return connection_is_local(connection_of(task));
}

static const struct task_functions functions = {
    .wake = on_woken,
    .push = push_to_task,
    .push_reference = push_reference_to_task,
    .close = close_task,
    .peer = peer_of_task,
    .origin = origin_of_task,
    .is_local = is_task_local,
};
