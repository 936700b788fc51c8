/* The sockets that clients connect to: TCP on every address of `bind`, and a unix socket. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* Sixteen addresses as in Redis, a unix socket, one to spare. */
#define LISTEN_MOST 18

struct listening {
    int sockets[LISTEN_MOST];
    bool is_unix[LISTEN_MOST];
    uint32_t count;
    char unix_path[sizeof((struct sockaddr_un *)0)->sun_path]; /* "" if none; absolute or relative to `dir` */
};

/* Opens what the configuration asks for. false with a logged reason, and then nothing is open. */
bool listen_open(struct listening *listening);
/* Closes them and removes the unix socket's file. */
void listen_close(struct listening *listening);
/* Sets up a new TCP connection: no delay, keepalive by tcp-keepalive, and no more congestion control than needed if it is of this machine. */
void listen_tune(int fd);
/* The other end of a TCP connection has a loopback address. */
bool listen_peer_is_local(int fd);
/* Protected mode turns this peer away: it isn't local, there is no password, and nobody has chosen addresses to bind. */
bool listen_refuses(int fd);

#endif
