/* What the files of a connection share: for connection*.c, clients.c and handover.c only. */
#ifndef SERVER_CLIENT_CONNECTION_PARTS_H
#define SERVER_CLIENT_CONNECTION_PARTS_H

#include "shard/base/counter.h"
#include "server/worker/worker.h"
#include "connection.h"

/* Received and not yet run: beyond the first a client that can be run isn't read, below the second it is
 * again. */
#define BACKLOG_MOST ((size_t)256 * 1024)
#define BACKLOG_LEAST ((size_t)64 * 1024)
/* Owed after an attempt to send: beyond this the connection waits until all of it is sent, or much has
 * come. */
#define OWED_MOST ((size_t)256 * 1024)
/* An input buffer has at least so many bytes. */
#define INPUT_LEAST 256
/* Of a worker's buffer for replies so much is kept for the next ones. */
#define REPLY_KEEP ((size_t)64 * 1024)

/* ------------------------------------------------------------------ connection.c */

/* It is past its last request. */
static inline bool connection_is_ending(const struct connection *connection) {
    return connection->state >= CONNECTION_CLOSING;
}
/* Its next request waits until the client has read. */
static inline bool connection_is_held_back(const struct connection *connection) {
    return connection->output_bytes > OWED_MOST && connection->input_length <= BACKLOG_MOST;
}
/* Whether `input` may hold something to run, as far as is known without looking. */
static inline bool connection_may_run(const struct connection *connection) {
    return connection->has_request || connection->input_length > 0;
}
/* A stranger isn't, whatever it says: `timeout` is the time that it has to authenticate. */
static inline bool connection_counts_as_active(const struct connection *connection) {
    return !connection->stream.is_apart || connection_is_ending(connection);
}
/* Whether more may come that is to be run. */
bool connection_receives(const struct connection *connection);
/* Its request is parked for what may come late, or never. */
bool connection_is_waiting_for_others(const struct connection *connection);
/* Reads the client if it is to be read in its present state. */
void connection_receiving_update(struct connection *connection);
/* To READY, and into the queue of those that are. */
void connection_ready(struct connection *connection);
/* Its request was parked, and may have been woken since. */
void connection_parked(struct connection *connection);
/* After a run, or when what was owed has been sent: on to the state that fits. */
void connection_settle(struct connection *connection, bool has_requests);
/* Sends what is owed, and then closes. expects_more: bytes of the client are under way. */
void connection_closing_begin(struct connection *connection, bool expects_more);

/* Bytes of requests have come; `data` as the loop's received() has it. */
void connection_take(struct connection *connection, char *data, size_t length);
/* The client has closed its side (0), or the connection is broken (-errno). */
void connection_end(struct connection *connection, ssize_t status);

/* ------------------------------------------------------------------ connection_tls.c */

/* The worker can have connections by TLS. False without memory. */
bool connection_tls_prepare(struct worker *worker);
/* Records have come. */
void connection_tls_receive(struct connection *connection, char *data, size_t length);
/* The handshake isn't over: what has come of it waits for its turn. */
bool connection_tls_is_in_line(const struct connection *connection);
/* The handshake isn't over: false if that has taken too long, and the connection is closed. */
bool connection_tls_check(struct connection *connection);
/* Nothing can be sent or received any more: says why, and closes it. */
void connection_tls_break(struct connection *connection);

/* What differs by TLS: as the loop's functions. */
static inline ssize_t connection_transmit(struct connection *connection, const struct iovec *parts,
                                          int count) {
    struct tls_stream *tls = connection_tls(connection);
    return tls ? tls_send(tls, parts, count)
               : loop_send(connection->worker->loop, &connection->stream, parts, count);
}
static inline void connection_receive_into(struct connection *connection, char *space, size_t length) {
    struct tls_stream *tls = connection_tls(connection);
    if (tls)
        tls_receive_into(tls, space, length);
    else
        loop_receive_into(connection->worker->loop, &connection->stream, space, length);
}
/* Bytes that were taken to be sent, and have no room in the socket: what the loop keeps, and TLS. */
static inline size_t connection_kept(const struct connection *connection) {
    const struct tls_stream *tls = connection_tls(connection);
    return connection->stream.kept + (tls ? tls_kept(tls) : 0);
}
/* All that was taken is with the kernel; if not, sendable() will come. */
static inline bool connection_is_flushed(struct connection *connection) {
    const struct tls_stream *tls = connection_tls(connection);
    return (!tls || tls_kept(tls) == 0) && loop_flush(connection->worker->loop, &connection->stream);
}

/* ------------------------------------------------------------------ connection_input.c */

/* Where it begins. There may be none at all, while a request waits that was handed over: then no bytes are
 * elsewhere. */
char *input_first(const struct connection *connection, bool *is_input);
/* Keeps bytes behind the input. False if there is no memory. */
bool input_append(struct connection *connection, const char *data, size_t length);
/* What a run has left becomes the input: bytes that are in it already (is_input), or bytes from elsewhere
 * while it is empty. False if there is no memory. */
bool input_keep(struct connection *connection, char *data, size_t length, bool is_input);
void input_free(struct connection *connection);
/* A pass over the input has come so far: so many bytes from `data` on are left. */
void input_mark(struct connection *connection, const char *data, size_t length);
/* The parser's request, which is at the head of the input, becomes the caller's with all of its memory: it
 * has no bytes and no arguments here any more. What follows it gets other memory. false: nothing has
 * happened, as the request isn't there, isn't large, or there is no memory. */
bool input_hand_over(struct connection *connection, struct request_memory *memory);
/* False: it holds more than a client may, and the connection is closed. */
bool input_is_within_limits(struct connection *connection);
/* The argument that is being received to memory of its own, or NULL. */
struct blob *input_bulk(const struct connection *connection);
/* The parser has met a large argument, whose first bytes are among the *length ones at `data`: gives it
 * memory of its own, and takes them off *length. Without memory it is received like a small one. */
void input_bulk_begin(struct connection *connection, char *data, size_t *length);
/* Has what comes next of it received to that memory, which grows. The connection may be closed for want of
 * some. */
void input_bulk_await(struct connection *connection);
/* The request's large arguments are no longer its own: what nobody else holds is freed. */
void input_owners_release(struct connection *connection);

/* What it holds of its client's input has become so much more (modulo 2^64). */
static inline void input_account(struct connection *connection, uint64_t more) {
    counter_add(&connection->worker->input_bytes, more);
    if (connection->stream.is_apart) counter_add(&connection->worker->stranger_bytes, more);
}

/* ------------------------------------------------------------------ connection_run.c */

/* Runs requests from these bytes: the connection's whole input (is_input), or bytes of the loop while the
 * input is empty. */
void connection_run_from(struct connection *connection, char *data, size_t length, bool is_input);

#endif
