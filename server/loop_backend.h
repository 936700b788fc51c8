/* What a back end of the loop provides: the functions of loop.h with the loop's own part in front. For loop*.c only. */
#ifndef SERVER_LOOP_BACKEND_H
#define SERVER_LOOP_BACKEND_H

#include "loop.h"

struct loop_backend {
    const char *name;
    struct loop *(*create)(void); /* NULL with errno: not to be had here */
    void (*free)(struct loop *loop);
    bool (*listen)(struct loop *loop, struct stream *stream, int fd);
    void (*set_listening)(struct loop *loop, struct stream *stream, bool is_on);
    bool (*add)(struct loop *loop, struct stream *stream, int fd);
    void (*set_receiving)(struct loop *loop, struct stream *stream, bool is_on);
    void (*receive_into)(struct loop *loop, struct stream *stream, char *space, size_t length);
    ssize_t (*send)(struct loop *loop, struct stream *stream, const struct iovec *parts, int count);
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
};

extern const struct loop_backend loop_epoll;

#endif
