/* What identifies a client, as text. Addresses are asked of the kernel when somebody wants to see them,
 * rather than kept in every connection. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "server/command/command.h"
#include "server/command/command_table.h"
#include "server/config/config.h"
#include "server/interest/tracking.h"
#include "server/interest/watch.h"
#include "server/task/transaction.h"
#include "server/task/user.h"
#include "connection.h"
#include "server/run/dispatch.h"
#include "clients.h"
#include "connection_parts.h"

/* So many clients' origins are remembered by a worker that is monitored: a system call for each line would
 * cost more than the rest of it. */
#define ORIGINS 64

/* Of each name, where a line is to fit: the rest of it is below 1,024 bytes. */
#define NAMES_CUT 32

union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_un path;
};

struct origin {
    uint64_t id; /* of the client; 0: nobody's */
    char text[TASK_ADDRESS];
};

static void address_format(const union address *address, socklen_t size, char *out, size_t out_size) {
    char text[INET6_ADDRSTRLEN];
    if (address->any.sa_family == AF_INET && inet_ntop(AF_INET, &address->ip4.sin_addr, text, sizeof text)) {
        snprintf(out, out_size, "%s:%d", text, ntohs(address->ip4.sin_port));
    } else if (address->any.sa_family == AF_INET6 &&
               inet_ntop(AF_INET6, &address->ip6.sin6_addr, text, sizeof text)) {
        snprintf(out, out_size, "[%s]:%d", text, ntohs(address->ip6.sin6_port));
    } else if (address->any.sa_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path)) {
        int length = (int)strnlen(address->path.sun_path, size - offsetof(struct sockaddr_un, sun_path));
        snprintf(out, out_size, "%.*s:0", length, address->path.sun_path);
    } else {
        snprintf(out, out_size, "?:0");
    }
}

void connection_local(const struct connection *connection, char *out, size_t size) {
    union address address = {.any.sa_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    if (getsockname(connection->stream.fd, &address.any, &length) != 0) address.any.sa_family = AF_UNSPEC;
    address_format(&address, length, out, size);
}

/* The client's end of a unix socket has no name; Redis shows the server's. */
void connection_peer(const struct connection *connection, char *out, size_t size) {
    if (connection->stream.is_unix) {
        connection_local(connection, out, size);
        return;
    }
    union address address = {.any.sa_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    if (getpeername(connection->stream.fd, &address.any, &length) != 0) address.any.sa_family = AF_UNSPEC;
    address_format(&address, length, out, size);
}

static void origin_find(const struct connection *connection, char *out, size_t size) {
    if (!connection->stream.is_unix) {
        connection_peer(connection, out, size);
        return;
    }
    char path[TASK_ADDRESS];
    config_text("unixsocket", path, sizeof path);
    snprintf(out, size, "unix:%.*s", (int)size - 6, path);
}

void connection_origin(const struct connection *connection, char *out, size_t size) {
    struct clients *clients = connection->worker->clients;
    uint64_t id = connection->task.session.id;
    if (clients->origins == NULL) clients->origins = calloc(ORIGINS, sizeof *clients->origins);
    struct origin *known = clients->origins != NULL ? &clients->origins[id % ORIGINS] : NULL;
    if (known == NULL) {
        origin_find(connection, out, size);
        return;
    }
    if (known->id != id) {
        known->id = id;
        origin_find(connection, known->text, sizeof known->text);
    }
    snprintf(out, size, "%s", known->text);
}

bool connection_is_local(const struct connection *connection) {
    return connection->stream.is_unix || listen_peer_is_local(connection->stream.fd);
}

#define FLAGS_MOST 16

/* Redis's letters for what is special about a client. */
static void flags_write(const struct connection *connection, char out[FLAGS_MOST]) {
    const struct session *session = &connection->task.session;
    const struct transaction *transaction = session->transaction;
    size_t length = 0;
    if (session_is_monitor(session)) out[length++] = 'O';
    if (session_is_subscriber(session)) out[length++] = 'P';
    if (transaction != NULL && transaction->is_open) out[length++] = 'x';
    if (connection->task.park_reason == PARK_ON_PAUSE || connection->task.park_reason == PARK_ON_KEY)
        out[length++] = 'b';
    if (session_is_tracking(session)) {
        const struct tracking *tracking = session->subscriptions->tracking;
        out[length++] = 't';
        if (tracking->is_broken) out[length++] = 'R';
        if (tracking->prefixes != NULL) out[length++] = 'B';
    }
    if (transaction != NULL && transaction->watches != NULL && watch_seems_touched(transaction->watches))
        out[length++] = 'd';
    if (session->closes_after_reply) out[length++] = 'c';
    if (connection->is_resolving_close) out[length++] = 'A';
    if (connection->stream.is_unix) out[length++] = 'U';
    if (session->is_no_evict) out[length++] = 'e';
    if (session->is_no_touch) out[length++] = 'T';
    if (length == 0) out[length++] = 'N';
    out[length] = '\0';
}

static const char *text_or_empty(const char *text) {
    return text == NULL ? "" : text;
}

/* Arguments that are whole and have memory of their own. */
static size_t arguments_owned(const struct request_parser *parser) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < parser->count; i++)
        if (parser->arguments[i].owner != NULL) bytes += parser->arguments[i].length;
    return bytes;
}

/* With the records that it keeps. */
static size_t tls_bytes(const struct connection *connection) {
    const struct tls_stream *tls = connection_tls(connection);
    return tls ? sizeof *tls + tls_stream_bytes(tls) : 0;
}

size_t connection_memory(const struct connection *connection) {
    size_t arguments = connection->parser.capacity * sizeof *connection->parser.arguments;
    return sizeof *connection + connection->input_capacity + connection->output_bytes +
           connection->stream.kept + tls_bytes(connection) + arguments + connection->owned_bytes +
           session_bytes(&connection->task.session) + dispatch_bytes(&connection->task);
}

/* A client may give itself and its library names of any length. */
static size_t describe(const struct connection *connection, char *out, size_t size, int names_most) {
    static const struct client_library unknown;
    const struct session *session = &connection->task.session;
    const struct request_parser *parser = &connection->parser;
    const struct client_library *library = session->library == NULL ? &unknown : session->library;
    const struct transaction *transaction = session->transaction;
    static const uint32_t none[CHANNEL_KINDS];
    const uint32_t *counts = session->subscriptions == NULL ? none : session->subscriptions->counts;
    bool is_queueing = transaction != NULL && transaction->is_open;
    char peer[TASK_ADDRESS], local[TASK_ADDRESS], flags[FLAGS_MOST];
    connection_peer(connection, peer, sizeof peer);
    connection_local(connection, local, sizeof local);
    flags_write(connection, flags);
    int64_t now = connection->worker->now_monotonic;
    size_t kept = connection_kept(connection), blocks = kept > 0, owed = connection->output_bytes + kept;
    for (const struct output_block *block = connection->output; block != NULL; block = block->next) blocks++;
    /* An argument that is being received apart is input; once it is whole it is an argument. */
    size_t apart = parser->apart == NULL ? 0 : parser->apart_filled,
           apart_free = parser->apart == NULL ? 0 : parser->apart_capacity - apart;
    size_t input = connection->input_length + apart,
           input_free = connection->input_capacity - connection->input_length + apart_free;
    size_t arguments = parser->capacity * sizeof *parser->arguments + arguments_owned(parser);
    int length = snprintf(
        out, size,
        "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%.*s age=%" PRId64 " idle=%" PRId64
        " flags=%s db=%" PRIu32 " sub=%" PRIu32 " psub=%" PRIu32 " ssub=%" PRIu32 " multi=%" PRId64
        " qbuf=%zu qbuf-free=%zu argv-mem=%zu "
        "multi-mem=%zu rbs=0 rbp=0 obl=0 oll=%zu"
        " omem=%zu tot-mem=%zu events=%s%s cmd=%s user=%.*s redir=%" PRId64
        " resp=%d lib-name=%.*s lib-ver=%.*s",
        session->id, peer, local, connection->stream.fd, names_most, text_or_empty(session->name),
        now / 1000 - connection->created, (now - connection->last_active) / 1000, flags, session->database,
        counts[CHANNEL], counts[CHANNEL_PATTERN], counts[CHANNEL_SHARD],
        is_queueing ? (int64_t)transaction->count : -1, input, input_free, arguments,
        transaction == NULL ? 0 : transaction->bytes, blocks, owed, connection_memory(connection),
        connection->stream.is_receiving ? "r" : "", connection->stream.is_sending ? "w" : "",
        connection->task.last_command == 0 ? "NULL"
                                           : command_by_id(connection->task.last_command - 1u)->full_name,
        names_most, user_name(session_user(session)),
        session_is_tracking(session) ? (int64_t)session->subscriptions->tracking->redirect : -1,
        session->protocol, names_most, text_or_empty(library->name), names_most,
        text_or_empty(library->version));
    return (size_t)length;
}

size_t connection_describe(const struct connection *connection, char *out, size_t size) {
    size_t length = describe(connection, out, size, INT32_MAX);
    if (length >= size) describe(connection, out, size, NAMES_CUT);
    return length;
}
