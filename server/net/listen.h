/* The sockets that clients connect to: TCP on every address of `bind`, and a unix socket. */
#ifndef SERVER_NET_LISTEN_H
#define SERVER_NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* Sixteen addresses as in Redis, a unix socket, one to spare. */
#define LISTEN_MOST 18
#define LISTEN_NAME 272

struct listening {
    int sockets[LISTEN_MOST];
    bool is_unix[LISTEN_MOST];
    char names[LISTEN_MOST][LISTEN_NAME]; /* the word of `bind` and the port */
    uint32_t count;
    char unix_path[sizeof((struct sockaddr_un *)0)->sun_path]; /* "" if none; absolute or relative to `dir` */
};

/* Opens what the configuration asks for. false with a logged reason, and then nothing is open. */
bool listen_open(struct listening *listening);
/* What `bind` and `port` are set to while the server runs. Sockets that both have stay open; old ones that
 * are in the way of new ones stop listening first, and begin again if the new ones fail. At run time an
 * address is a number, since to look a name up may take long. On success *dropped are the sockets that don't
 * listen any more, to be closed when nobody uses them; false with a logged reason, and then *listening is as
 * it was. */
bool listen_change(struct listening *listening, const char *words, int port, int dropped[LISTEN_MOST],
                   uint32_t *dropped_count);
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
