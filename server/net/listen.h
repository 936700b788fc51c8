/* The sockets that clients connect to: TCP on every address of `bind`, by `port` and `tls-port`, and a unix
 * socket. */
#ifndef SERVER_NET_LISTEN_H
#define SERVER_NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* Sixteen addresses as in Redis, by two ports, a unix socket, one to spare. */
#define LISTEN_MOST 34
#define LISTEN_NAME 272

enum listen_kind { LISTEN_TCP, LISTEN_TLS, LISTEN_UNIX };

struct listen_ports {
    int tcp, tls; /* 0: none */
};

/* What a client is told that protected mode turns away. */
#define LISTEN_DENIED                                                                                        \
    "-DENIED Protected mode is on: without a password and a chosen address only local clients are served. "  \
    "To be reached from elsewhere, set 'requirepass', or 'bind' to the addresses to serve on, or, on a "     \
    "network you trust, 'protected-mode no'.\r\n"

struct listening {
    int sockets[LISTEN_MOST];
    enum listen_kind kinds[LISTEN_MOST];
    char names[LISTEN_MOST][LISTEN_NAME]; /* the word of `bind` and the port */
    uint32_t count;
    char unix_path[sizeof((struct sockaddr_un *)0)->sun_path]; /* "" if none; absolute or relative to `dir` */
};

/* What `port` and `tls-port` are. */
struct listen_ports listen_ports(void);
/* Opens what the configuration asks for. false with a logged reason, and then nothing is open. */
bool listen_open(struct listening *listening);
/* What `bind` and the ports are set to while the server runs. Sockets that both have stay open; old ones that
 * are in the way of new ones stop listening first, and begin again if the new ones fail. At run time an
 * address is a number, since to look a name up may take long. On success *dropped are the sockets that don't
 * listen any more, to be closed when nobody uses them; false with a logged reason, and then *listening is as
 * it was. */
bool listen_change(struct listening *listening, const char *words, struct listen_ports ports,
                   int dropped[LISTEN_MOST], uint32_t *dropped_count);
/* Closes them and removes the unix socket's file. */
void listen_close(struct listening *listening);
/* Sets up a new TCP connection: no delay, keepalive by tcp-keepalive, and no more congestion control than
 * needed if it is of this machine. */
void listen_tune(int fd);
/* The other end of a TCP connection has a loopback address. */
bool listen_peer_is_local(int fd);
/* Protected mode turns this peer away: it isn't local, there is no password, and nobody has chosen addresses
 * to bind. */
bool listen_refuses(int fd);

#endif
