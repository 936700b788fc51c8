/* The limit by TLS: what OpenSSL itself costs. A loop of one thread over epoll that reads ahead, counts how
 * many requests of a known length have come, and writes the same bytes for each in one call.
 *
 *     build/release/bench/tls_bare --port 7000 --certificate FILE --key FILE --request 36 --reply 71
 *
 * --request and --reply are lengths in bytes. It ends with the signal that it is sent. */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MOST 256
#define TAPE ((size_t)256 * 1024)

struct connection {
    int fd;
    SSL *ssl;
    size_t unfinished; /* bytes of a request */
};

static int port;
static const char *certificate, *key;
static size_t request_length, reply_length;
static char tape[TAPE], received[65536];
static int epoll_fd;
static SSL_CTX *context;

static void fail(const char *what) {
    fprintf(stderr, "tls_bare: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void connection_end(struct connection *connection) {
    SSL_free(connection->ssl);
    close(connection->fd);
    free(connection);
}

/* Returns false if it has ended. The other end reads what it is sent, so a write takes all. */
static bool connection_serve(struct connection *connection) {
    for (;;) {
        size_t length = 0, written = 0;
        ERR_clear_error();
        int outcome = SSL_read_ex(connection->ssl, received, sizeof received, &length);
        if (outcome != 1) return SSL_get_error(connection->ssl, outcome) == SSL_ERROR_WANT_READ;
        connection->unfinished += length;
        size_t count = connection->unfinished / request_length;
        connection->unfinished %= request_length;
        size_t owed = count * reply_length;
        if (owed > sizeof tape) return false;
        if (owed > 0 && (SSL_write_ex(connection->ssl, tape, owed, &written) != 1 || written != owed))
            return false;
        if (!SSL_has_pending(connection->ssl)) return true;
    }
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) fail("no memory");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); /* as server/net/listen.c has them */
    connection->fd = fd;
    connection->ssl = SSL_new(context);
    if (!connection->ssl) fail("no connection");
    SSL_set_fd(connection->ssl, fd);
    SSL_set_accept_state(connection->ssl);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll");
}

static void context_make(void) {
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        fail("certificate and key");
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

static int listen_on_port(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0)
        fail("can't listen");
    return fd;
}

static void options_read(int argc, char **argv) {
    static const struct option names[] = {{"port", 1, NULL, 'p'},  {"certificate", 1, NULL, 'c'},
                                          {"key", 1, NULL, 'k'},   {"request", 1, NULL, 'q'},
                                          {"reply", 1, NULL, 'r'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'c': certificate = optarg; break;
        case 'k': key = optarg; break;
        case 'q': request_length = strtoul(optarg, NULL, 10); break;
        case 'r': reply_length = strtoul(optarg, NULL, 10); break;
        default: exit(1);
        }
    }
    if (certificate && key && port > 0 && request_length > 0 && reply_length > 0) return;
    fprintf(stderr, "tls_bare: all five options are needed\n");
    exit(1);
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    memset(tape, 'v', sizeof tape);
    for (size_t at = 0; at + reply_length <= sizeof tape; at += reply_length) tape[at] = '$';
    context_make();
    int listener = listen_on_port();
    struct epoll_event events[EVENTS_MOST], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MOST, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                accept_one(listener);
            else if (!connection_serve(connection))
                connection_end(connection);
        }
    }
}
