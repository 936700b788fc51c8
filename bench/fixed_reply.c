/* The limit: what serving costs when nothing is done for a request. A server on Latchkey's own loop that
 * counts the requests that came and answers each with the same bytes. What a store costs above it is parsing,
 * looking up and writing replies; what lies below it is the kernel's.
 *
 *     build/release/bench/fixed_reply --reply get --value 64 [--port 7000] [--unix PATH] [--threads 1]
 *         [--io-backend auto] [--copies 1] [--fan]
 *
 * --reply is set, get, incr, mget (of --keys values), ping, or a number: so many bytes. With --port 0 the
 * kernel chooses; the port is in the line that is printed once it serves. A store's values lie here and
 * there, so large ones come from main memory: --copies N keeps the reply N times and goes through them in
 * turn. With --fan every request is answered to all connections of its worker, as a published message is.
 *
 * Replies lie one behind the other on a tape, so that any number of them is a few pieces of memory at most,
 * and everything that a connection gets in a turn goes out in one send. Requests of a connection are mostly
 * alike: the lines that announce the parts of the last one are remembered with their places, and where they
 * stand again, the next request has been found without looking at anything else of it. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/net/loop.h"
#include "server/worker/mailbox.h"
#include "frame.h"

/* Short replies are repeated up to this. */
#define TAPE_LEAST ((size_t)64 * 1024)
/* Owed to a client after an attempt to send: beyond this it isn't read until all is sent. */
#define OWED_MOST ((size_t)256 * 1024)
#define BACKLOG 4096
#define THREADS_MOST 64

/* Announcing lines of a request ("*2", "$3", "$16"), by their first eight bytes: with the same ones at the
 * same places another is as long. */
#define SHAPE_LINES 16

struct shape {
    size_t length;  /* of the request */
    uint32_t count; /* 0: none is known */
    struct {
        uint64_t text, mask;
        size_t at;
    } lines[SHAPE_LINES];
};

struct connection {
    struct stream stream;
    struct worker *worker;
    struct frame frame;
    size_t owed;     /* bytes */
    size_t place;    /* on the tape, where they begin */
    bool is_waiting; /* not read until nothing is owed */
    struct connection *next_closed;
    struct connection *next, *previous; /* of its worker */
    struct shape shape;                 /* of the last request */
};

struct worker {
    struct loop *loop;
    struct stream listeners[2];
    struct connection *connections;
    struct connection *closed; /* freed at the turn's end */
    size_t place;              /* on the tape, for who is owed next */
    _Atomic uint32_t assigned; /* connections, those on their way included */
    struct mailbox mailbox;
    pthread_t thread;
};

/* A connection on its way to the worker that has the fewest. */
struct handover {
    struct message message;
    int fd;
};

/* Set up before the threads. */
static struct {
    const char *backend;
    const char *unix_path;
    const char *reply;
    uint32_t threads;
    uint16_t port;
    size_t value, keys, copies;
    char *tape;
    size_t tape_length;
    size_t reply_length;
    bool spreads; /* --copies: everybody goes on where the last one stopped */
    bool fans;    /* --fan: all are answered */
    struct worker *workers;
} setup = {.backend = "auto", .reply = "set", .threads = 1, .value = 64, .keys = 10, .copies = 1};

static void fail(const char *what) {
    fprintf(stderr, "fixed_reply: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ------------------------------------------------------------------ the tape */

static char *bulk_write(char *out, size_t length) {
    out += sprintf(out, "$%zu\r\n", length);
    memset(out, 'v', length);
    memcpy(out + length, "\r\n", 2);
    return out + length + 2;
}

/* Writes the reply that is asked for; `out` has room for it. */
static char *reply_write(char *out) {
    if (strcmp(setup.reply, "set") == 0) return out + sprintf(out, "+OK\r\n");
    if (strcmp(setup.reply, "ping") == 0) return out + sprintf(out, "+PONG\r\n");
    if (strcmp(setup.reply, "incr") == 0) return out + sprintf(out, ":1000\r\n");
    if (strcmp(setup.reply, "get") == 0) return bulk_write(out, setup.value);
    if (strcmp(setup.reply, "mget") == 0) {
        out += sprintf(out, "*%zu\r\n", setup.keys);
        for (size_t i = 0; i < setup.keys; i++) out = bulk_write(out, setup.value);
        return out;
    }
    size_t length = strtoul(setup.reply, NULL, 10);
    if (length < 3) return NULL;
    *out = '+';
    memset(out + 1, 'v', length - 3);
    memcpy(out + length - 2, "\r\n", 2);
    return out + length;
}

static void tape_make(void) {
    size_t room = (setup.value + 32) * (setup.keys + 1) + strtoul(setup.reply, NULL, 10) + 64;
    char *one = malloc(room);
    char *end = one ? reply_write(one) : NULL;
    if (!end) {
        fprintf(stderr, "fixed_reply: --reply is set, get, incr, mget, ping, or a number of bytes above 2\n");
        exit(1);
    }
    setup.reply_length = (size_t)(end - one);
    setup.spreads = setup.copies > 1;
    size_t copies = setup.copies;
    if (copies * setup.reply_length < TAPE_LEAST) copies = TAPE_LEAST / setup.reply_length;
    setup.tape_length = copies * setup.reply_length;
    setup.tape = malloc(setup.tape_length);
    if (!setup.tape) fail("no memory for the replies");
    for (size_t i = 0; i < copies; i++) memcpy(setup.tape + i * setup.reply_length, one, setup.reply_length);
    free(one);
}

/* ------------------------------------------------------------------ a connection */

static void connection_close(struct connection *connection) {
    struct worker *worker = connection->worker;
    if (connection->stream.is_closed) return;
    loop_close(worker->loop, &connection->stream);
    if (connection->next) connection->next->previous = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        worker->connections = connection->next;
    connection->next_closed = worker->closed;
    worker->closed = connection;
    atomic_fetch_sub_explicit(&worker->assigned, 1, memory_order_relaxed);
}

/* Remembers the request's shape, if it is a whole one with few and short lines; it is known to be well
 * formed. */
static void shape_learn(struct shape *shape, const char *data, size_t length) {
    shape->length = length;
    shape->count = 0;
    size_t at = 0;
    uint32_t count = 0;
    while (at < length) {
        const char *end = memchr(data + at, '\n', length - at);
        size_t line = end ? (size_t)(end - data) + 1 - at : 0;
        if (line < 4 || line > sizeof(uint64_t) || at + sizeof(uint64_t) > length || count == SHAPE_LINES)
            return;
        char mask[sizeof(uint64_t)] = {0};
        memset(mask, 0xff, line);
        memcpy(&shape->lines[count].mask, mask, sizeof mask);
        memcpy(&shape->lines[count].text, data + at, sizeof(uint64_t));
        shape->lines[count].text &= shape->lines[count].mask;
        shape->lines[count++].at = at;
        int64_t bulk = number_at(data + at + 1, end);
        at += line;
        if (data[at - line] == '$' && bulk >= 0) at += (size_t)bulk + 2;
    }
    shape->count = count;
}

/* Whether a whole request of this shape stands there. */
static bool shape_matches(const struct shape *shape, const char *data, size_t length) {
    if (shape->count == 0 || length < shape->length) return false;
    for (uint32_t i = 0; i < shape->count; i++) {
        uint64_t text;
        memcpy(&text, data + shape->lines[i].at, sizeof text);
        if ((text & shape->lines[i].mask) != shape->lines[i].text) return false;
    }
    return true;
}

/* How many requests end in these bytes. */
static size_t requests_count(struct connection *connection, const char *data, size_t length) {
    struct frame *frame = &connection->frame;
    size_t count = 0;
    while (length > 0) {
        size_t taken = connection->shape.length;
        if (frame_is_between(frame) && shape_matches(&connection->shape, data, length)) {
            count++;
        } else {
            taken = frame_advance(frame, PROTOCOL_RESP, data, length);
            if (frame_is_between(frame)) {
                /* One that began earlier is not to be seen any more. */
                if (frame->length == taken) shape_learn(&connection->shape, data, taken);
                count++;
            }
        }
        data += taken;
        length -= taken;
    }
    return count;
}

/* The pieces of tape that are owed, as many as one send takes. */
static int pieces_collect(const struct connection *connection, struct iovec *parts, size_t *bytes) {
    int count = 0;
    size_t place = connection->place;
    *bytes = 0;
    while (*bytes < connection->owed && count < LOOP_PARTS_MOST) {
        size_t length = setup.tape_length - place;
        if (length > connection->owed - *bytes) length = connection->owed - *bytes;
        parts[count++] = (struct iovec){setup.tape + place, length};
        *bytes += length;
        place = 0;
    }
    return count;
}

/* Sends what is owed until all is gone or the socket is full. */
static void connection_send(struct connection *connection) {
    while (connection->owed > 0) {
        struct iovec parts[LOOP_PARTS_MOST];
        size_t asked;
        int count = pieces_collect(connection, parts, &asked);
        ssize_t sent = loop_send(connection->worker->loop, &connection->stream, parts, count);
        if (sent < 0) {
            connection_close(connection);
            return;
        }
        connection->owed -= (size_t)sent;
        connection->place = (connection->place + (size_t)sent) % setup.tape_length;
        if ((size_t)sent < asked) break;
    }
    bool waits = connection->owed > OWED_MOST || (connection->is_waiting && connection->owed > 0);
    if (waits == connection->is_waiting) return;
    connection->is_waiting = waits;
    loop_set_receiving(connection->worker->loop, &connection->stream, !waits);
}

static void owe(struct connection *connection, size_t bytes) {
    struct worker *worker = connection->worker;
    if (connection->owed == 0) {
        connection->place = worker->place;
        if (setup.spreads) worker->place = (worker->place + bytes) % setup.tape_length;
    }
    connection->owed += bytes;
    if (!connection->stream.is_sending) connection_send(connection);
}

static void on_received(void *context, struct stream *stream, char *data, ssize_t length) {
    struct worker *worker = context;
    struct connection *connection = (struct connection *)stream;
    if (length <= 0) {
        connection_close(connection);
        return;
    }
    size_t bytes = requests_count(connection, data, (size_t)length) * setup.reply_length;
    if (!setup.fans) {
        owe(connection, bytes);
        return;
    }
    for (struct connection *each = worker->connections, *next; each != NULL; each = next) {
        next = each->next;
        owe(each, bytes);
    }
}

static void on_sendable(void *context, struct stream *stream) {
    (void)context;
    connection_send((struct connection *)stream);
}

/* ------------------------------------------------------------------ new connections */

static void worker_adopt(struct worker *worker, int fd) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection || !loop_add(worker->loop, &connection->stream, fd)) fail("can't take a connection");
    connection->worker = worker;
    connection->next = worker->connections;
    if (connection->next) connection->next->previous = connection;
    worker->connections = connection;
}

static void handover_handle(struct worker *worker, struct message *message) {
    struct handover *handover = (struct handover *)message;
    worker_adopt(worker, handover->fd);
    free(handover);
}

static void on_accepted(void *context, struct stream *listener, int fd) {
    struct worker *worker = context, *home = worker;
    if (fd < 0) {
        errno = -fd;
        fail("can't accept");
    }
    int on = 1;
    if (!listener->is_unix && (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
                               setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0))
        fail("TCP_NODELAY, TCP_CONGESTION"); /* as server/net/listen.c has them */
    for (uint32_t i = 0; i < setup.threads; i++) {
        if (atomic_load(&setup.workers[i].assigned) < atomic_load(&home->assigned)) home = &setup.workers[i];
    }
    atomic_fetch_add_explicit(&home->assigned, 1, memory_order_relaxed);
    if (home == worker) {
        worker_adopt(worker, fd);
        return;
    }
    struct handover *handover = malloc(sizeof *handover);
    if (!handover) fail("no memory");
    *handover = (struct handover){.message.handle = handover_handle, .fd = fd};
    if (mailbox_push(&home->mailbox, &handover->message)) loop_wake(home->loop);
}

/* ------------------------------------------------------------------ workers */

static const struct loop_handlers handlers = {
    .accepted = on_accepted,
    .received = on_received,
    .sendable = on_sendable,
};

static void *worker_run(void *argument) {
    struct worker *worker = argument;
    for (int i = 0; i < 2; i++) {
        int fd = worker->listeners[i].fd;
        if (fd >= 0 && !loop_listen(worker->loop, &worker->listeners[i], fd)) fail("can't listen");
    }
    for (;;) {
        loop_wait(worker->loop, -1);
        if (mailbox_is_filled(&worker->mailbox)) {
            mailbox_rearm(&worker->mailbox);
            struct message *message;
            while ((message = mailbox_pop(&worker->mailbox))) message->handle(worker, message);
        }
        loop_deliver(worker->loop);
        while (worker->closed) {
            struct connection *connection = worker->closed;
            worker->closed = connection->next_closed;
            free(connection);
        }
    }
    return NULL;
}

static int tcp_listen(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(setup.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        fail("can't listen");
    }
    setup.port = ntohs(address.sin_port);
    return fd;
}

static int unix_listen(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(setup.unix_path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(setup.unix_path);
    }
    strcpy(address.sun_path, setup.unix_path);
    unlink(setup.unix_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        fail(setup.unix_path);
    return fd;
}

static void workers_make(void) {
    int tcp_fd = tcp_listen(), unix_fd = setup.unix_path ? unix_listen() : -1;
    setup.workers = aligned_alloc(64, setup.threads * sizeof *setup.workers);
    if (!setup.workers) fail("no memory");
    memset(setup.workers, 0, setup.threads * sizeof *setup.workers);
    for (uint32_t i = 0; i < setup.threads; i++) {
        struct worker *worker = &setup.workers[i];
        mailbox_init(&worker->mailbox);
        worker->loop = loop_create(setup.backend, &handlers, worker);
        if (!worker->loop) fail(setup.backend);
        worker->listeners[0].fd = tcp_fd;
        worker->listeners[1].fd = unix_fd;
        worker->listeners[1].is_unix = true;
    }
}

static uint64_t number_option(const char *text, uint64_t least, uint64_t most) {
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (end != text && *end == 0 && number >= least && number <= most) return number;
    fprintf(stderr, "fixed_reply: '%s' should be a number from %llu to %llu\n", text,
            (unsigned long long)least, (unsigned long long)most);
    exit(1);
}

static void options_read(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},       {"unix", 1, NULL, 'u'},   {"threads", 1, NULL, 't'},
        {"io-backend", 1, NULL, 'b'}, {"reply", 1, NULL, 'r'},  {"value", 1, NULL, 'v'},
        {"keys", 1, NULL, 'k'},       {"copies", 1, NULL, 'c'}, {"fan", 0, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p': setup.port = (uint16_t)number_option(optarg, 0, 65535); break;
        case 'u': setup.unix_path = optarg; break;
        case 't': setup.threads = (uint32_t)number_option(optarg, 1, THREADS_MOST); break;
        case 'b': setup.backend = optarg; break;
        case 'r': setup.reply = optarg; break;
        case 'v': setup.value = number_option(optarg, 0, (uint64_t)1 << 30); break;
        case 'k': setup.keys = number_option(optarg, 1, 10000); break;
        case 'c': setup.copies = number_option(optarg, 1, 1000000); break;
        case 'f': setup.fans = true; break;
        default: exit(1);
        }
    }
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    tape_make();
    workers_make();
    printf("port %u, %s, %u threads, %zu bytes for every request\n", setup.port,
           loop_backend_name(setup.workers[0].loop), setup.threads, setup.reply_length);
    fflush(stdout);
    for (uint32_t i = 1; i < setup.threads; i++) {
        if ((errno = pthread_create(&setup.workers[i].thread, NULL, worker_run, &setup.workers[i])) != 0)
            fail("no thread");
    }
    worker_run(&setup.workers[0]);
}
