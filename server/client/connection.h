/* A connection: a client's socket, its session, the request at hand, and the replies it is owed.
 *
 *                   +--------------------------------------------------------------------+
 *                   v                                                                    |
 *     READING --bytes--> RUNNING --no more requests--> READING                           |
 *                          |  \--turn's share used up--> READY --next turn--> RUNNING    |
 *                          |---a shard is busy, CLIENT PAUSE, answers due--> PARKED --woken--> READY
 *                          |---owes much--> BLOCKED_ON_WRITE --sent, or much has come--> READY
 *                          '---QUIT, error, limit--> CLOSING (sends what is owed) --> LINGERING (the other
 *                              side is to close) --> CLOSED
 *
 * By TLS it is SHAKING first, until the handshake is over (connection_tls.c).
 *
 * An idle connection owns no buffer: requests are parsed where the loop received them, and only an unfinished
 * one is copied to `input`. Belongs to one worker at a time, and nobody else touches it; between two requests
 * it may be handed to another (balance.h). */
#ifndef SERVER_CLIENT_CONNECTION_H
#define SERVER_CLIENT_CONNECTION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"
#include "shard/entry/blob.h"
#include "server/net/listen.h"
#include "server/net/loop.h"
#include "server/net/tls_stream.h"
#include "server/task/task.h"

struct worker;

enum connection_state {
    CONNECTION_SHAKING,
    CONNECTION_READING,
    CONNECTION_READY, /* has bytes to run, waits for its turn in clients->ready */
    CONNECTION_RUNNING,
    CONNECTION_PARKED, /* its request waits for something; costs nothing */
    CONNECTION_BLOCKED_ON_WRITE,
    CONNECTION_CLOSING,
    CONNECTION_LINGERING, /* all was sent, and our side is closed: until the other side is, or for a moment */
    CONNECTION_CLOSED,
};

/* Replies that could not be sent at once. */
struct output_block {
    struct output_block *next;
    size_t length, sent;
    size_t capacity; /* room behind the struct; 0: a reference */
    /* Either bytes of its own behind the struct, or a reference. */
    const char *data;
    void *owner;
    void (*release)(void *owner);
};

struct connection {
    struct stream stream; /* first: a stream is cast back */
    struct worker *worker;
    struct connection *next,
        /* all connections of the worker, in the order in which it got them; next stays readable after a
         * close */
        *previous;
    struct connection *id_next; /* connection_ids.c's */
    /* There are many connections, and most are idle: small things share words, so that one fits an allocation
     * of 384 bytes. */
    enum connection_state state : 8;
    bool has_request : 1; /* parser.arguments is a whole request that has not been answered: it was parked */
    bool is_ended : 1;    /* the client has closed its side; what it had sent before is still run */
    /* the worker stops: what the client had sent by then is still received and run, and what comes later
     * isn't */
    bool is_last_call : 1;
    bool is_flush_due : 1;
    bool is_unlinked : 1;        /* no longer among the worker's connections */
    bool is_resolving_close : 1; /* being closed while running */
    bool is_leaving : 1;         /* is going to be another worker's: not read here any more */
    uint32_t created;            /* monotonic s */
    size_t request_bytes;        /* a parked request's bytes at the head of input */
    struct task task;            /* what its requests are run for */
    struct request_parser parser;
    char *input;                         /* memory for unfinished or waiting bytes; NULL if none */
    size_t input_start;                  /* where in it the unfinished request's first byte is */
    size_t input_length, input_capacity; /* bytes from there on; size of the memory */
    /* memory of the large arguments of the request at hand, which are apart: what was counted for them */
    size_t owned_bytes;
    struct output_block *output, *output_last;
    size_t output_bytes; /* of the blocks, with what they refer to and have not sent */
    /* those with output from outside their own requests, sent at the turn's end */
    struct connection *flush_next;
    int64_t soft_limit_since; /* monotonic ms when output passed the soft limit; 0: it hasn't */
    int64_t last_active;      /* monotonic ms */
    uint64_t bytes_in, bytes_out;
    union {
        /* of what had arrived at the last call, still to be received; until CLOSING */
        size_t last_call_bytes;
        int64_t linger_until; /* monotonic ms; in LINGERING */
    };
};

/* One by TLS is larger. */
struct tls_connection {
    struct connection connection;
    struct tls_stream tls;
};

/* NULL: what it sends and receives is plain. */
static inline struct tls_stream *connection_tls(const struct connection *connection) {
    return connection->stream.is_tls ? &((struct tls_connection *)(uintptr_t)connection)->tls : NULL;
}

/* Only for tasks that are known to be a connection's. */
static inline struct connection *connection_of(const struct task *task) {
    return (struct connection *)((char *)(uintptr_t)task - offsetof(struct connection, task));
}

/* For the worker. */
/* NULL if there is no memory or the loop can't take it; then fd is closed. */
struct connection *connection_open(struct worker *worker, int fd, enum listen_kind kind);
void connection_receive(struct connection *connection, char *data,
                        ssize_t length); /* the loop's received() */
void connection_sendable(struct connection *connection);
/* Runs what is there to run, at most a turn's share, and sends the replies. */
void connection_run(struct connection *connection);
/* Closes at once; frees at the end of the turn. `why` goes to the log at VERBOSE (NULL: nothing). While the
 * connection itself is running it closes when its command returns. */
void connection_close(struct connection *connection, const char *why);
/* Somebody else wants it closed: the same, or, of one whose transaction is half done, when that is
 * answered. */
void connection_dismiss(struct connection *connection, const char *why);
void connection_free(struct connection *connection);
/* About once a second: closes it if it is idle for longer than `timeout`, over the soft limit for too long,
 * or slow in taking its last replies. */
void connection_check(struct connection *connection);
/* It has been quiet for a while, so that it is worth asking the kernel whether the client is still there. */
bool connection_is_quiet(const struct connection *connection);
/* The kernel says (poll) that the client has closed its side, or, is_broken, that the connection is gone in
 * both directions. The loop tells as a rule; if it didn't, this ends the connection. */
void connection_hung_up(struct connection *connection, bool is_broken);
/* What comes next from the client begins a request as it comes, and may be run. */
static inline bool connection_is_between_requests(const struct connection *connection) {
    return connection->state == CONNECTION_READING && connection->input_length == 0 &&
           !connection->stream.is_tls;
}
/* Something of what it waits for is left: unanswered requests, or replies that were not sent. */
bool connection_is_busy(struct connection *connection);
/* The worker stops: what has arrived by now is the last that is received. */
void connection_last_call(struct connection *connection);
/* Takes what has arrived out of the socket: closing it with bytes unread would reset the connection, and with
 * it what was sent. */
void connection_discard_input(struct connection *connection);

/* Handshakes of the worker that have waited for this turn: each has its share of it. */
void connections_shake(struct worker *worker);
/* For how long the worker may sleep as far as they are concerned, in milliseconds; negative: as it likes. */
int connections_shake_patience(const struct worker *worker);

/* Sends bytes to a client outside its own requests (MONITOR's lines, pushes). Enforces the output limit, by
 * which the connection may be CLOSED afterwards. The bytes go out at the end of the turn. */
void connection_push(struct connection *connection, const char *data, size_t length);
/* The same with bytes that are not copied: takes over one reference to owner, to be released on the
 * connection's worker. */
void connection_push_reference(struct connection *connection, const char *data, size_t length, void *owner,
                               void (*release)(void *));

/* Enough for the line about a client (names are cut to fit). */
#define CONNECTION_DESCRIPTION 2048

/* Both ends as Redis writes them: "127.0.0.1:50000", "[::1]:50000", "/path:0"; "?:0" if the socket no longer
 * knows. Asked of the kernel. */
void connection_peer(const struct connection *connection, char *out, size_t size);
void connection_local(const struct connection *connection, char *out, size_t size);
/* The client's as MONITOR shows it: a unix socket has another form there. */
void connection_origin(const struct connection *connection, char *out, size_t size);
/* The client runs on this machine: a unix socket, or a loopback address. */
bool connection_is_local(const struct connection *connection);
/* What it uses: itself, the request that is coming in, and what it is owed. */
size_t connection_memory(const struct connection *connection);
/* The client as CLIENT LIST and the log show it: "id=3 addr=127.0.0.1:50000 ...".
 *
 * Returns the line's length; if it is not less than `size`, long names are cut in what was written, and what
 * follows them isn't. */
size_t connection_describe(const struct connection *connection, char *out, size_t size);

#endif
