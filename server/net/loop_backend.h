/* What a back end of the loop provides: the functions of loop.h with the loop's own part in front. For
 * loop*.c only. */
#ifndef SERVER_NET_LOOP_BACKEND_H
#define SERVER_NET_LOOP_BACKEND_H

#include "shard/base/counter.h"
#include "loop.h"

struct loop_backend {
    const char *name;
    struct loop *(*create)(void); /* NULL with errno: not to be had here */
    void (*free)(struct loop *loop);
    bool (*listen)(struct loop *loop, struct stream *stream, int fd);
    void (*set_listening)(struct loop *loop, struct stream *stream, bool is_on);
    bool (*add)(struct loop *loop, struct stream *stream, int fd);
    void (*set_receiving)(struct loop *loop, struct stream *stream, bool is_on);
    void (*expect_bulk)(struct loop *loop, struct stream *stream);
    size_t (*held)(struct loop *loop,
                   const struct stream *stream); /* bytes taken from the kernel and not delivered */
    ssize_t (*send)(struct loop *loop, struct stream *stream, const struct iovec *parts, int count);
    bool (*flush)(struct loop *loop, struct stream *stream);
    bool (*release)(struct loop *loop,
                    struct stream *stream); /* the stream has nothing unsent, and no space */
    void (*close)(struct loop *loop, struct stream *stream);
    int (*wait)(struct loop *loop, int milliseconds);
    void (*deliver)(struct loop *loop);
    void (*wake)(struct loop *loop);
};

/* First in every back end's own struct. */
struct loop {
    const struct loop_backend *backend;
    struct loop_handlers handlers;
    void *context;
    counter kept,
        kept_apart; /* sum of the streams' `kept`, and of those that are apart; its own thread writes */
};

extern const struct loop_backend loop_uring, loop_epoll;

/* For tests: what loop_uring's next loops have to do without, as on an older kernel. */
enum { LOOP_URING_DEFERRED = 1, LOOP_URING_MULTISHOT = 2 };
extern unsigned loop_uring_without;

/* What back ends share, in loop.c: work on a socket that has something to do. */

/* The memory of what is kept of a stream becomes so much. */
void stream_keep(struct loop *loop, struct stream *stream, uint32_t bytes);

/* Takes some of the connections that wait, as long as the stream listens. */
void stream_accept(struct loop *loop, struct stream *stream);
/* Receives and delivers it: to the stream's space, else, and behind it, to `data`, which has LOOP_HEADROOM
 * bytes before it and LOOP_RECEIVE_MOST + 1 from there on. Once; but if the head of what a bulky stream has
 * sent asks for space, that as well. */
void stream_receive(struct loop *loop, struct stream *stream, char *data);
/* loop_send's work. Sets is_sending to whether bytes are left. */
ssize_t stream_send(struct stream *stream, const struct iovec *parts, int count);
/* The connection is gone in both directions, or broken, and nobody reads it: says so to the receiver. Not if
 * bytes are left to be read, which the client had sent before it went, and which still count; then it returns
 * false. */
bool stream_end(struct loop *loop, struct stream *stream, bool is_broken);

#endif
