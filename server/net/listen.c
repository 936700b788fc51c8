/* Listening sockets are opened before the workers and shared by all of them, and again when `bind` or `port`
 * is set. */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config/config.h"
#include "server/base/log.h"

#define LISTEN_WORDS 4096 /* of `bind`, with its end */

static int backlog(void) {
    return (int)atomic_load_explicit(&config.tcp_backlog, memory_order_relaxed);
}

static bool option_set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* ------------------------------------------------------------------ TCP */

/* The addresses a name of `bind` stands for. "*" is every IPv4 address, "::*" every IPv6 address. 0 or an
 * error of getaddrinfo. */
static int address_find(const char *name, const char *port, bool is_number, struct addrinfo **found) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | (is_number ? AI_NUMERICHOST | AI_NUMERICSERV : 0)};
    const char *host = name;
    if (strcmp(name, "*") == 0) {
        hints.ai_family = AF_INET;
        host = NULL;
    } else if (strcmp(name, "::*") == 0) {
        hints.ai_family = AF_INET6;
        host = NULL;
    }
    return getaddrinfo(host, port, &hints, found);
}

/* Returns a listening socket, or -1 with errno. */
static int socket_listen(const struct addrinfo *address) {
    int fd =
        socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0) return -1;
    /* IPv6 alone: IPv4 has its own sockets. */
    bool is_ready = option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
                    (address->ai_family != AF_INET6 || option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
                    bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, backlog()) == 0;
    if (is_ready) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool is_missing(int error) {
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == ENOPROTOOPT ||
           error == EPROTONOSUPPORT || error == ESOCKTNOSUPPORT || error == EPFNOSUPPORT;
}

enum trial {
    TRIAL_START,
    TRIAL_FIRST,
    TRIAL_LAST
}; /* at the start; at run time, with and without old sockets in the way */

/* One word of `bind`. */
static bool address_listen(struct listening *listening, const char *word, const char *port,
                           enum listen_kind kind, enum trial trial) {
    bool is_optional = word[0] == '-';
    const char *name = word + is_optional;
    struct addrinfo *found = NULL;
    int problem = address_find(name, port, trial != TRIAL_START, &found);
    if (problem != 0) {
        if (is_optional) return true;
        if (trial != TRIAL_FIRST)
            log_write(LOG_WARNING,
                      "Can't listen on '%s', port %s: %s. Correct 'bind', or put '-' before an "
                      "address that may be missing.",
                      name, port, gai_strerror(problem));
        return false;
    }
    bool is_done = true;
    for (struct addrinfo *address = found; address && is_done && listening->count < LISTEN_MOST;
         address = address->ai_next) {
        int fd = socket_listen(address);
        if (fd >= 0) {
            snprintf(listening->names[listening->count], LISTEN_NAME, "%s %s", name, port);
            listening->kinds[listening->count] = kind;
            listening->sockets[listening->count++] = fd;
        } else if (!(is_optional && is_missing(errno))) {
            if (trial != TRIAL_FIRST)
                log_write(
                    LOG_WARNING, "Can't listen on '%s', port %s: %s.%s", name, port, strerror(errno),
                    errno == EADDRINUSE
                        ? " Another server has the port: stop it, or choose another 'port' or 'tls-port'."
                        : "");
            is_done = false;
        }
    }
    freeaddrinfo(found);
    return is_done;
}

static bool tcp_open(struct listening *listening, int number, enum listen_kind kind) {
    char port[16], words[LISTEN_WORDS];
    snprintf(port, sizeof port, "%d", number);
    if (number == 0) return true;
    config_text("bind", words, sizeof words);
    char *rest = words;
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(rest, " ", &rest)) {
        if (!address_listen(listening, word, port, kind, TRIAL_START)) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ unix */

static bool unix_open(struct listening *listening) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[4096];
    size_t length = config_text("unixsocket", path, sizeof path);
    if (length == 0) return true;
    if (length >= sizeof address.sun_path) {
        log_write(LOG_WARNING,
                  "Can't listen on unix socket '%s': a path may have %zu bytes, this one has %zu.", path,
                  sizeof address.sun_path - 1, length);
        return false;
    }
    memcpy(address.sun_path, path, length + 1);
    unlink(path); /* left by one that was killed */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mode = (mode_t)atomic_load_explicit(&config.unixsocketperm, memory_order_relaxed);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        (mode && chmod(path, mode) != 0) || listen(fd, backlog()) != 0) {
        log_write(LOG_WARNING, "Can't listen on unix socket '%s': %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return false;
    }
    listening->kinds[listening->count] = LISTEN_UNIX;
    listening->sockets[listening->count++] = fd;
    memcpy(listening->unix_path, path, length + 1);
    return true;
}

/* ------------------------------------------------------------------ both */

/* The kernel cuts a backlog down without a word. */
static void backlog_check(void) {
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    int most = 0;
    if (!file) return;
    if (fscanf(file, "%d", &most) == 1 && most > 0 && most < backlog()) {
        log_write(LOG_WARNING,
                  "tcp-backlog %d is cut to %d by the kernel: raise it with 'sysctl net.core.somaxconn=%d' "
                  "if many clients connect at once.",
                  backlog(), most, backlog());
    }
    fclose(file);
}

struct listen_ports listen_ports(void) {
    return (struct listen_ports){
        .tcp = (int)atomic_load_explicit(&config.port, memory_order_relaxed),
        .tls = (int)atomic_load_explicit(&config.tls_port, memory_order_relaxed),
    };
}

bool listen_open(struct listening *listening) {
    *listening = (struct listening){.count = 0};
    struct listen_ports ports = listen_ports();
    if (!tcp_open(listening, ports.tcp, LISTEN_TCP) || !tcp_open(listening, ports.tls, LISTEN_TLS) ||
        !unix_open(listening)) {
        listen_close(listening);
        return false;
    }
    if (listening->count == 0) {
        log_write(LOG_WARNING,
                  "Configured to not listen anywhere, exiting. Give a 'port' or 'tls-port' and 'bind', or a "
                  "'unixsocket'.");
        return false;
    }
    backlog_check();
    return true;
}

static bool has_socket(const struct listening *listening, int fd) {
    for (uint32_t i = 0; i < listening->count; i++)
        if (listening->sockets[i] == fd) return true;
    return false;
}

static void copy_socket(struct listening *to, const struct listening *from, uint32_t i) {
    to->kinds[to->count] = from->kinds[i];
    memcpy(to->names[to->count], from->names[i], LISTEN_NAME);
    to->sockets[to->count++] = from->sockets[i];
}

static void copy_unix(struct listening *to, const struct listening *from) {
    *to = (struct listening){.count = 0};
    memcpy(to->unix_path, from->unix_path, sizeof to->unix_path);
    for (uint32_t i = 0; i < from->count; i++)
        if (from->kinds[i] == LISTEN_UNIX) copy_socket(to, from, i);
}

/* The sockets that `words` and one of the ports ask for: those of *old that have the same name, and new
 * ones. */
static bool port_anew(struct listening *fresh, const struct listening *old, const char *words, int port,
                      enum listen_kind kind, enum trial trial) {
    char copy[LISTEN_WORDS], port_text[16], name[LISTEN_NAME];
    if (port == 0) return true;
    snprintf(copy, sizeof copy, "%s", words);
    snprintf(port_text, sizeof port_text, "%d", port);
    char *rest = copy;
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(rest, " ", &rest)) {
        snprintf(name, sizeof name, "%s %s", word + (*word == '-'), port_text);
        uint32_t before = fresh->count;
        for (uint32_t i = 0; i < old->count && fresh->count < LISTEN_MOST; i++)
            if (old->kinds[i] == kind && strcmp(old->names[i], name) == 0 &&
                !has_socket(fresh, old->sockets[i]))
                copy_socket(fresh, old, i);
        if (fresh->count == before && !address_listen(fresh, word, port_text, kind, trial)) return false;
    }
    return true;
}

/* And both of them, with the unix socket. */
static bool listen_anew(struct listening *fresh, const struct listening *old, const char *words,
                        struct listen_ports ports, enum trial trial) {
    copy_unix(fresh, old);
    if (port_anew(fresh, old, words, ports.tcp, LISTEN_TCP, trial) &&
        port_anew(fresh, old, words, ports.tls, LISTEN_TLS, trial))
        return true;
    for (uint32_t i = 0; i < fresh->count; i++)
        if (!has_socket(old, fresh->sockets[i])) close(fresh->sockets[i]);
    return false;
}

/* The sockets of *old that are not among those of *fresh. */
static uint32_t sockets_without(const struct listening *old, const struct listening *fresh,
                                int out[LISTEN_MOST]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < old->count; i++)
        if (!has_socket(fresh, old->sockets[i])) out[count++] = old->sockets[i];
    return count;
}

bool listen_change(struct listening *listening, const char *words, struct listen_ports ports,
                   int dropped[LISTEN_MOST], uint32_t *dropped_count) {
    static struct listening fresh; /* one call at a time, and large */
    bool is_done = listen_anew(&fresh, listening, words, ports, TRIAL_FIRST);
    if (!is_done) {
        /* An address may be taken by a wider or narrower one of our own. */
        for (uint32_t i = 0; i < listening->count; i++)
            if (listening->kinds[i] != LISTEN_UNIX) shutdown(listening->sockets[i], SHUT_RDWR);
        static struct listening nothing;
        copy_unix(&nothing, listening);
        is_done = listen_anew(&fresh, &nothing, words, ports, TRIAL_LAST);
        for (uint32_t i = 0; i < listening->count && !is_done; i++)
            if (listening->kinds[i] != LISTEN_UNIX && listen(listening->sockets[i], backlog()) != 0)
                log_write(LOG_WARNING, "Can't listen on '%s' again: %s", listening->names[i],
                          strerror(errno));
        if (!is_done) return false;
    }
    *dropped_count = sockets_without(listening, &fresh, dropped);
    for (uint32_t i = 0; i < *dropped_count; i++) shutdown(dropped[i], SHUT_RDWR);
    *listening = fresh;
    return true;
}

void listen_close(struct listening *listening) {
    for (uint32_t i = 0; i < listening->count; i++) close(listening->sockets[i]);
    listening->count = 0;
    if (*listening->unix_path) unlink(listening->unix_path);
    *listening->unix_path = 0;
}

void listen_tune(int fd) {
    option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* Nothing is congested within a machine, and Reno, which every kernel has, computes the least per
     * packet. */
    if (listen_peer_is_local(fd)) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
    int seconds = (int)atomic_load_explicit(&config.tcp_keepalive, memory_order_relaxed);
    if (seconds <= 0) return;
    option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds >= 3 ? seconds / 3 : 1);
    option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

bool listen_peer_is_local(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } address = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof address;
    if (getpeername(fd, &address.any, &size) != 0) return false;
    if (address.any.sa_family == AF_INET) return ntohl(address.ip4.sin_addr.s_addr) >> 24 == 127;
    return address.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address.ip6.sin6_addr);
}

bool listen_refuses(int fd) {
    return atomic_load_explicit(&config.protected_mode, memory_order_relaxed) && !config_has_password() &&
           !listen_peer_is_local(fd);
}
