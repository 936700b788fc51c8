/* Input: what has been received of a client and not been run yet.
 *
 * Requests are parsed where their bytes are: in the loop's memory as a rule. What is left over there (an
 * unfinished request, requests beyond the turn's share, a parked one) is kept in `input`. When more comes, a
 * short leftover is put back in front of the new bytes (LOOP_HEADROOM), a long one takes the new bytes behind
 * it, so that every byte is moved a bounded number of times. A large argument gets memory of its own, which
 * may become its value; that grows as the argument comes. */
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/base/pages.h"
#include "shard/entry/entry.h"
#include "shard/lock/lane.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "server/run/dispatch.h"
#include "server/task/transaction.h"
#include "clients.h"
#include "connection_parts.h"
#include "stranger.h"

/* An input buffer above this is not kept for a few bytes. */
#define INPUT_ROOMY 65536
/* A request of fewer bytes is rather copied than handed over with its memory. */
#define HANDED_OVER_LEAST ((size_t)64 * 1024)
/* What a client without password may send before it says one, as in Redis. */
#define UNAUTHENTICATED_INPUT_MOST ((size_t)1024 * 1024)

/* Arguments of a parked request point into the memory that its bytes are in. */
static void arguments_rebase(struct connection *connection, uintptr_t from, char *to) {
    if (!connection->has_request || from == (uintptr_t)to) return;
    struct request_parser *parser = &connection->parser;
    for (uint32_t i = 0; i < parser->count; i++) {
        struct bulk *argument = &parser->arguments[i];
        if (argument->owner) continue;
        argument->data = to + ((uintptr_t)argument->data - from);
    }
}

/* Large arguments count as the lane's memory, and as the client's, while they are only that; what has become
 * a value is counted for its entry as well. */
static void owned_bytes_add(struct connection *connection, size_t bytes) {
    struct worker *worker = connection->worker;
    connection->owned_bytes += bytes;
    lane_charge(worker->lane, (int64_t)bytes);
    input_account(connection, bytes);
    recent_note(&worker->recent_input, worker->now_monotonic,
                connection->input_capacity + connection->owned_bytes);
}

void input_owners_release(struct connection *connection) {
    size_t bytes = connection->owned_bytes;
    if (bytes == 0) return;
    connection->owned_bytes = 0;
    request_owners(&connection->parser, blob_release);
    lane_charge(connection->worker->lane, -(int64_t)bytes); /* when it is free */
    input_account(connection, -(uint64_t)bytes);
}

struct blob *input_bulk(const struct connection *connection) {
    return connection->parser.apart_owner;
}

void input_free(struct connection *connection) {
    input_account(connection, -(uint64_t)connection->input_capacity);
    pages_free(connection->input, connection->input_capacity);
    connection->input = NULL;
    connection->input_start = connection->input_length = connection->input_capacity = 0;
}

/* Gives the memory another size. What is in it keeps its place, from the memory's beginning on. */
static bool input_resize(struct connection *connection, size_t capacity) {
    uintptr_t from = (uintptr_t)connection->input;
    char *memory = pages_resize(connection->input, connection->input_capacity, capacity);
    if (!memory) return false;
    /* If there is no input, a parked request's arguments are not in there yet. */
    if (connection->input_length) arguments_rebase(connection, from, memory);
    input_account(connection, (uint64_t)capacity - connection->input_capacity);
    connection->input = memory;
    connection->input_capacity = capacity;
    recent_note(&connection->worker->recent_input, connection->worker->now_monotonic, capacity);
    return true;
}

static void input_to_front(struct connection *connection) {
    if (connection->input_length) {
        char *from = connection->input + connection->input_start;
        memmove(connection->input, from, connection->input_length);
        arguments_rebase(connection, (uintptr_t)from, connection->input);
    }
    connection->input_start = 0;
}

static bool input_has_room(const struct connection *connection, size_t needed) {
    return connection->input_start + needed <= connection->input_capacity;
}

/* Makes room for so many bytes behind the input, and for the one that the parser may look at. */
static bool input_reserve(struct connection *connection, size_t more) {
    size_t needed = connection->input_length + more + 1;
    if (input_has_room(connection, needed)) return true;
    /* Moving pays if what has been run is at least as long as what moves. */
    if (connection->input_start >= connection->input_length) input_to_front(connection);
    if (input_has_room(connection, needed)) return true;
    size_t room = connection->input_length * 2;
    if (room < INPUT_LEAST) room = INPUT_LEAST;
    return input_resize(connection, connection->input_start + (room > needed ? room : needed));
}

bool input_append(struct connection *connection, const char *data, size_t length) {
    if (!input_reserve(connection, length)) return false;
    memcpy(connection->input + connection->input_start + connection->input_length, data, length);
    connection->input_length += length;
    return true;
}

char *input_first(const struct connection *connection, bool *is_input) {
    static char nothing[1];
    *is_input = connection->input != NULL;
    return *is_input ? connection->input + connection->input_start : nothing;
}

void input_mark(struct connection *connection, const char *data, size_t length) {
    connection->input_start = (size_t)(data - connection->input);
    connection->input_length = length;
}

bool input_keep(struct connection *connection, char *data, size_t length, bool is_input) {
    if (is_input) {
        input_mark(connection, data, length);
    } else if (length) {
        if (!input_append(connection, data, length)) return false;
        arguments_rebase(connection, (uintptr_t)data, connection->input + connection->input_start);
    }
    if (connection->input_length == 0) {
        input_free(connection);
    } else if (connection->input_capacity > INPUT_ROOMY &&
               connection->input_length < connection->input_capacity / 8) {
        input_to_front(connection);
        input_resize(connection, connection->input_length + INPUT_LEAST); /* if not, it just stays roomy */
    }
    return true;
}

bool input_hand_over(struct connection *connection, struct request_memory *memory) {
    size_t bytes = connection->request_bytes;
    if (bytes < HANDED_OVER_LEAST || connection->input_length < bytes) return false;
    size_t rest = connection->input_length - bytes, capacity = rest > 0 ? rest + INPUT_LEAST : 0;
    char *other = NULL;
    if (rest > bytes) return false; /* to copy the request itself is less */
    if (rest > 0) {
        other = pages_resize(NULL, 0, capacity);
        if (!other) return false;
        memcpy(other, connection->input + connection->input_start + bytes, rest);
    }
    request_hand_over(&connection->parser, memory);
    memory->input = connection->input;
    memory->input_bytes = connection->input_capacity;
    memory->owned_bytes = connection->owned_bytes;
    input_account(connection, (uint64_t)capacity - connection->input_capacity);
    connection->input = other;
    connection->input_start = 0;
    connection->input_length = rest;
    connection->input_capacity = capacity;
    connection->request_bytes = 0;
    return true;
}

/* What waits to be run, in a transaction as well, and the argument that is being received, count, as in
 * Redis. */
bool input_is_within_limits(struct connection *connection) {
    const struct transaction *transaction = connection->task.session.transaction;
    size_t held = connection->input_length + (transaction == NULL ? 0 : transaction->bytes), missing = 0;
    if (input_bulk(connection)) {
        request_bulk_space(&connection->parser, &missing);
        held += input_bulk(connection)->length - missing;
    }
    int64_t limit = atomic_load_explicit(&config.client_query_buffer_limit, memory_order_relaxed);
    if ((limit <= 0 || held <= (size_t)limit) &&
        (held <= UNAUTHENTICATED_INPUT_MOST || session_is_admitted(&connection->task.session))) {
        return true;
    }
    char client[512];
    counter_add(&connection->worker->query_limit_closes, 1);
    if (!connection->stream.is_apart || stranger_is_over_limit_news(connection->worker->now_monotonic)) {
        connection_describe(connection, client, sizeof client);
        log_write(
            LOG_WARNING,
            "Closing client that reached max query buffer length: %s (holds %zu bytes that can't be run "
            "yet)",
            client, held);
    }
    connection_close(connection, NULL);
    return false;
}

/* ------------------------------------------------------------------ large arguments */

/* What an argument of which so much has come may have: announcing it costs a client nothing, so that gives no
 * more than one receive brings. Rounded so that the allocation, and not the bytes in it, is a power of two,
 * as far as they are. */
static size_t bulk_capacity(const struct request_parser *parser, size_t present) {
    size_t own = sizeof(struct blob) + 1, bytes = (present + own) * 2;
    size_t announced = (size_t)parser->bulk_length,
           capacity = (bytes > LOOP_RECEIVE_MOST ? bytes : LOOP_RECEIVE_MOST) - own;
    return capacity < announced ? capacity : announced;
}

void input_bulk_begin(struct connection *connection, char *data, size_t *length) {
    struct request_parser *parser = &connection->parser;
    struct worker *worker = connection->worker;
    struct blob *blob = NULL;
    if (parser->bulk_length > BLOB_LEAST) {
        size_t capacity = bulk_capacity(parser, request_bulk_present(parser, *length));
        dispatch_make_room(worker, entry_room_for(capacity));
        blob = blob_create(capacity);
    }
    if (!blob) {
        request_decline_bulk(parser);
        return;
    }
    request_receive_bulk(parser, blob->data, blob->length, blob, data, length);
    if (!connection->stream.is_tls) loop_expect_bulk(worker->loop, &connection->stream);
    owned_bytes_add(connection, blob_bytes(blob));
}

/* Its memory is full, and more is announced. False if the connection is closed for want of memory. */
static bool bulk_grow(struct connection *connection) {
    struct request_parser *parser = &connection->parser;
    struct blob *blob = input_bulk(connection);
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

void input_bulk_await(struct connection *connection) {
    size_t missing;
    char *space = request_bulk_space(&connection->parser, &missing);
    if (missing == 0) {
        if (!bulk_grow(connection)) return;
        space = request_bulk_space(&connection->parser, &missing);
    }
    connection_receive_into(connection, space, missing);
}
