/* Running: a pass over the requests that a connection has, at most a turn's share of them, and what becomes
 * of it afterwards. */
#include <stdlib.h>

#include "shard/base/counter.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "server/run/dispatch.h"
#include "clients.h"
#include "connection_output.h"
#include "connection_parts.h"
#include "stranger.h"

/* A turn's share of one connection. */
#define SHARE_COMMANDS 1024
#define SHARE_INPUT ((size_t)256 * 1024)
#define ARGUMENTS_KEEP 1024

/* A pass over requests in memory: where it is, and what it has used up. */
struct pass {
    char *data; /* the present request's first byte */
    size_t length;
    size_t input, commands;
    bool is_input;  /* they are in the connection's input */
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
        request_parser_free(parser);
        return;
    }
    worker->clients->arguments = parser->arguments;
    worker->clients->arguments_capacity = parser->capacity;
    parser->arguments = NULL;
    parser->capacity = parser->count = 0;
}

/* What an unfinished or parked request keeps for its arguments is the client's: up to 24 bytes for each six
 * that it has sent. */
static void arguments_count(struct connection *connection, uint32_t before) {
    uint32_t now = connection->parser.capacity;
    if (now == before) return;
    input_account(connection, ((uint64_t)now - before) * sizeof(struct bulk));
}

/* Parses up to the next whole request. True if there is one; it took *consumed bytes. */
static bool run_parse(struct connection *connection, struct pass *pass, size_t *consumed) {
    for (;;) {
        struct request_limits limits = {
            .bulk_length = atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed),
            .is_authenticated = session_is_admitted(&connection->task.session),
        };
        switch (request_parse(&connection->parser, &limits, pass->data, pass->length, consumed)) {
        case REQUEST_READY:
            if (connection->parser.count > 0) return true;
            input_owners_release(connection);
            pass->data += *consumed;
            pass->length -= *consumed;
            pass->input += *consumed;
            break;
        case REQUEST_WANTS_BULK: input_bulk_begin(connection, pass->data, &pass->length); break;
        case REQUEST_PARTIAL: return false;
        case REQUEST_IN_BULK: input_bulk_await(connection); return false;
        case REQUEST_ERROR:
            pass->closes = pass->is_protocol_error = true;
            if (connection->task.session.reply_mode == REPLY_OFF) return false;
            reply_error_format(&connection->worker->frame->reply, "ERR %s", connection->parser.error);
            return false;
        }
    }
}

static void turn_stranger_away(struct connection *connection) {
    if (stranger_is_news(connection->worker->now_monotonic)) {
        char peer[TASK_ADDRESS];
        connection_peer(connection, peer, sizeof peer);
        stranger_log(peer);
    }
    connection_close(connection, NULL);
}

/* Has a request run that takes `consumed` bytes. False if the run ends with it. */
static inline __attribute__((always_inline)) bool run_request(struct connection *connection,
                                                              struct pass *pass, const struct bulk *arguments,
                                                              uint32_t count, struct prepared *prepared,
                                                              size_t consumed) {
    struct worker *worker = connection->worker;
    connection->has_request = false;
    if (worker_has_news(worker)) dispatch_read_news(worker, &connection->task, prepared);
    if ((prepared == NULL || prepared->command == NULL) && count > 0 && stranger_is_http(&arguments[0])) {
        turn_stranger_away(connection);
        return false;
    }
    enum outcome outcome =
        dispatch_request(worker, &connection->task, arguments, count, prepared, &worker->frame->reply);
    if (outcome == OUTCOME_PARKED) {
        connection->has_request = true;
        connection->request_bytes = consumed;
        pass->is_parked = true;
        return false;
    }
    pass->data += consumed;
    pass->length -= consumed;
    pass->input += consumed;
    pass->commands++;
    pass->closes = connection->task.session.closes_after_reply;
    return !pass->closes && !connection->is_resolving_close && !worker->frame->reply.is_broken;
}

/* The request that the parser has, or had until it was handed over. */
static bool run_parsed(struct connection *connection, struct pass *pass, size_t consumed) {
    struct request_parser *parser = &connection->parser;
    if (pass->is_input) input_mark(connection, pass->data, pass->length);
    connection->request_bytes = consumed;
    bool goes_on = run_request(connection, pass, parser->arguments, parser->count, NULL, consumed);
    if (!connection->has_request) input_owners_release(connection);
    if (connection->has_request && parser->count == 0) { /* what is left is what followed it */
        connection->request_bytes = 0;
        pass->data = input_first(connection, &pass->is_input);
        pass->length = connection->input_length;
    }
    return goes_on;
}

static bool run_has_share(const struct worker *worker, const struct pass *pass) {
    return pass->commands < SHARE_COMMANDS && pass->input < SHARE_INPUT &&
           worker->frame->reply.length + worker->frame->reply.referenced_bytes < OUTPUT_SHARE;
}

/* True if the connection may go on running. */
static bool run_prepared(struct connection *connection, struct pass *pass, struct prepared *prepared) {
    struct worker *worker = connection->worker;
    const struct batch *batch = &worker->frame->batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_request *request = &batch->requests[i];
        if (i > 0 && !run_has_share(worker, pass)) return true;
        if (i % DISPATCH_WINDOW == 0) dispatch_fetch(worker, connection->task.session.database, prepared, i);
        bool goes_on = run_request(connection, pass, batch->arguments + request->first, request->count,
                                   &prepared[i], request->bytes);
        if (pass->is_parked && !batch_hand_over(batch, i, &connection->parser))
            connection->is_resolving_close = true; /* no memory */
        if (!goes_on) return false;
    }
    return true;
}

/* Requests ahead: what they need is on its way from memory before the first of them runs. Those behind one
 * that ends the run are parsed again when their time comes. */
static bool run_batch(struct connection *connection, struct pass *pass) {
    struct prepared prepared[BATCH_REQUESTS];
    dispatch_prepare(connection->worker, prepared);
    bool goes_on = run_prepared(connection, pass, prepared);
    dispatch_batch_end(connection->worker);
    return goes_on;
}

static void run_requests(struct connection *connection, struct pass *pass) {
    if (connection->has_request && !run_parsed(connection, pass, connection->request_bytes)) return;
    while (run_has_share(connection->worker, pass)) {
        /* What an unknown client may send is less, and that is the parser's to know. */
        bool may_batch =
            request_is_idle(&connection->parser) && session_is_admitted(&connection->task.session);
        if (may_batch)
            batch_parse(&connection->worker->frame->batch, pass->data, pass->length, BATCH_REQUESTS);
        if (may_batch && connection->worker->frame->batch.count > 0) {
            if (!run_batch(connection, pass)) return;
            continue;
        }
        size_t consumed = 0;
        if (pass->length == 0 || !run_parse(connection, pass, &consumed)) {
            pass->is_at_end = !pass->closes;
            return;
        }
        if (!run_parsed(connection, pass, consumed)) return;
    }
}

void connection_run_from(struct connection *connection, char *data, size_t length, bool is_input) {
    struct worker *worker = connection->worker;
    struct pass pass = {.data = data, .length = length, .is_input = is_input};
    uint32_t arguments = connection->parser.capacity;
    connection->state = CONNECTION_RUNNING;
    worker->frame->reply.most = output_room(connection);
    arguments_lend(worker, &connection->parser);
    run_requests(connection, &pass);
    counter_add(&worker->commands, pass.commands);

    bool is_kept = input_keep(connection, pass.data, pass.length, pass.is_input);
    /* Closing is possible again. */
    connection->state = CONNECTION_READING;
    if (pass.is_parked) connection_parked(connection);
    arguments_take_back(worker, connection);
    arguments_count(connection, arguments);
    clients_note_stranger(connection);
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
    if (pass.closes) {
        connection_closing_begin(connection, pass.is_protocol_error || pass.length > 0);
    } else if (pass.is_parked) {
        /* Nobody tells a second time that the client has gone. */
        if (connection->is_ended && connection_is_waiting_for_others(connection))
            connection_close(connection, "client is gone");
        else
            connection_receiving_update(connection);
    } else {
        if (pass.is_at_end && !input_is_within_limits(connection)) return;
        connection_settle(connection, !pass.is_at_end && connection_may_run(connection));
    }
}

void connection_run(struct connection *connection) {
    if (connection->state != CONNECTION_READY) return;
    task_queue_remove(&connection->task);
    /* What has begun goes on: it may keep others waiting. */
    if (connection_is_held_back(connection) && !connection->has_request) {
        connection->state = CONNECTION_BLOCKED_ON_WRITE;
        connection_receiving_update(connection);
        return;
    }
    bool is_input;
    char *data = input_first(connection, &is_input);
    connection_run_from(connection, data, connection->input_length, is_input);
}
