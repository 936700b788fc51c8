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

/* What a client is told that protected mode turns away, in Redis's words. */
#define LISTEN_DENIED                                                                                        \
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set "   \
    "for the default user. In this mode connections are only accepted from the loopback interface. If you "  \
    "want to connect from external computers to Redis you may adopt one of the following solutions: 1) "     \
    "Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback "      \
    "interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is " \
    "not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. " \
    "2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and " \
    "setting the protected mode option to 'no', and then restarting the server. 3) If you started the "      \
    "server manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an "      \
    "authentication password for the default user. NOTE: You only need to do one of the above things in "    \
    "order for the server to start accepting connections from the outside.\r\n"

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
/* Protected mode turns this peer away: it isn't local, and there is no password. */
bool listen_refuses(int fd);

#endif
