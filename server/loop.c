/* Chooses the loop's back end. A new one joins by a row here: those that may be missing on a kernel come first, and "auto" takes
 * the first that can be created. */
#include "loop.h"

#include <errno.h>
#include <string.h>

#include "loop_backend.h"

static const struct loop_backend *const backends[] = {&loop_epoll};

struct loop *loop_create(const char *backend, const struct loop_handlers *handlers, void *context) {
    bool is_auto = strcmp(backend, "auto") == 0;
    errno = EINVAL;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (!is_auto && strcmp(backend, backends[i]->name) != 0) continue;
        struct loop *loop = backends[i]->create();
        if (!loop) continue;
        loop->backend = backends[i];
        loop->handlers = *handlers;
        loop->context = context;
        return loop;
    }
    return NULL;
}

void loop_free(struct loop *loop) {
    if (loop) loop->backend->free(loop);
}

const char *loop_backend_name(const struct loop *loop) {
    return loop->backend->name;
}

bool loop_listen(struct loop *loop, struct stream *stream, int fd) {
    return loop->backend->listen(loop, stream, fd);
}

void loop_set_listening(struct loop *loop, struct stream *stream, bool is_on) {
    loop->backend->set_listening(loop, stream, is_on);
}

bool loop_add(struct loop *loop, struct stream *stream, int fd) {
    return loop->backend->add(loop, stream, fd);
}

void loop_set_receiving(struct loop *loop, struct stream *stream, bool is_on) {
    loop->backend->set_receiving(loop, stream, is_on);
}

void loop_receive_into(struct loop *loop, struct stream *stream, char *space, size_t length) {
    loop->backend->receive_into(loop, stream, space, length);
}

ssize_t loop_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count) {
    return loop->backend->send(loop, stream, parts, count);
}

void loop_close(struct loop *loop, struct stream *stream) {
    loop->backend->close(loop, stream);
}

int loop_wait(struct loop *loop, int milliseconds) {
    return loop->backend->wait(loop, milliseconds);
}

void loop_deliver(struct loop *loop) {
    loop->backend->deliver(loop);
}

void loop_wake(struct loop *loop) {
    loop->backend->wake(loop);
}
