/* Chooses the loop's back end, and does the work on one socket that is the same in all of them. A new back
 * end joins by a row here: those that may be missing on a kernel come first, and "auto" takes the first that
 * can be created. */
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "loop_backend.h"

/* New connections taken from one listener in a turn: the other workers want some, too. */
#define ACCEPT_MOST 16
/* A turn's share of a large argument that is received into its own memory. */
#define SPACE_MOST ((size_t)256 * 1024)
/* What is received of a bulky stream to the loop's memory. */
#define BULKY_HEAD ((size_t)1024)

static const struct loop_backend *const backends[] = {&loop_uring, &loop_epoll};

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

void loop_unlisten(struct loop *loop, struct stream *stream) {
    loop->backend->set_listening(loop, stream, false);
    stream->fd = -1; /* so that it isn't closed */
    loop->backend->close(loop, stream);
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
    (void)loop;
    if (stream->is_closed) return;
    stream->space = length ? space : NULL;
    stream->space_length = length;
}

void loop_expect_bulk(struct loop *loop, struct stream *stream) {
    if (!stream->is_bulky && !stream->is_closed) loop->backend->expect_bulk(loop, stream);
}

size_t loop_unread(struct loop *loop, const struct stream *stream) {
    int unread = 0;
    if (stream->is_closed || ioctl(stream->fd, FIONREAD, &unread) != 0 || unread < 0) unread = 0;
    return (size_t)unread + loop->backend->held(loop, stream);
}

ssize_t loop_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count) {
    return loop->backend->send(loop, stream, parts, count);
}

bool loop_flush(struct loop *loop, struct stream *stream) {
    return loop->backend->flush(loop, stream);
}

bool loop_release(struct loop *loop, struct stream *stream) {
    if (stream->is_closed || stream->is_bulky || stream->space || !loop_flush(loop, stream) ||
        stream->is_sending)
        return false;
    return loop->backend->release(loop, stream);
}

uint64_t loop_kept(const struct loop *loop) {
    return counter_read(&loop->kept);
}

uint64_t loop_kept_apart(const struct loop *loop) {
    return counter_read(&loop->kept_apart);
}

void loop_set_apart(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_apart == is_on) return;
    stream->is_apart = is_on;
    if (is_on)
        counter_add(&loop->kept_apart, stream->kept);
    else
        counter_subtract(&loop->kept_apart, stream->kept);
}

void stream_keep(struct loop *loop, struct stream *stream, uint32_t bytes) {
    uint64_t more = (uint64_t)bytes - stream->kept; /* modulo 2^64 */
    counter_add(&loop->kept, more);
    if (stream->is_apart) counter_add(&loop->kept_apart, more);
    stream->kept = bytes;
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

/* ------------------------------------------------------------------ what back ends share */

/* Errors that are about the connection that was coming, and gone with it. */
static bool is_passing(int error) {
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM;
}

void stream_accept(struct loop *loop, struct stream *stream) {
    for (int i = 0; i < ACCEPT_MOST && stream->is_listening; i++) {
        int fd = accept4(stream->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && is_passing(errno)) continue;
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        loop->handlers.accepted(loop->context, stream, fd >= 0 ? fd : -errno);
        if (fd < 0) return;
    }
}

/* False if nothing was there. */
static bool receive_once(struct loop *loop, struct stream *stream, char *data) {
    char *space = stream->space;
    size_t space_length = stream->space_length < SPACE_MOST ? stream->space_length : SPACE_MOST;
    struct iovec rest = {data, stream->is_bulky ? BULKY_HEAD : LOOP_RECEIVE_MOST};
    /* What comes behind the end of the space is taken along; that may only be if the space is filled to its
     * end. */
    struct iovec parts[2] = {rest};
    int count = 1;
    if (space) {
        parts[0] = (struct iovec){space, space_length};
        parts[1] = rest;
        if (space_length == stream->space_length) count = 2;
    }
    ssize_t length = readv(stream->fd, parts, count);
    if (length < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return false;
        length = -errno;
    }
    if (space && length > 0) {
        size_t filled = (size_t)length < space_length ? (size_t)length : space_length;
        stream->space_length -= filled;
        stream->space = stream->space_length ? space + filled : NULL;
        loop->handlers.received(loop->context, stream, space, (ssize_t)filled);
        length -= (ssize_t)filled;
        if (length == 0 || stream->is_closed) return true;
        /* More space may have been given meanwhile, for what was to come behind. */
        while (length > 0 && stream->space) {
            space = stream->space;
            filled = (size_t)length < stream->space_length ? (size_t)length : stream->space_length;
            memcpy(space, data, filled);
            loop_receive_into(loop, stream, space + filled, stream->space_length - filled);
            data += filled;
            length -= (ssize_t)filled;
            loop->handlers.received(loop->context, stream, space, (ssize_t)filled);
            if (length == 0 || stream->is_closed) return true;
        }
    }
    loop->handlers.received(loop->context, stream, data, length);
    return true;
}

void stream_receive(struct loop *loop, struct stream *stream, char *data) {
    bool is_head = stream->is_bulky && !stream->space;
    if (!receive_once(loop, stream, data) || !is_head || stream->is_closed) return;
    if (!stream->space)
        stream->is_bulky = false; /* small again, or it has ended */
    else if (stream->is_receiving)
        receive_once(loop, stream, data);
}

ssize_t stream_send(struct stream *stream, const struct iovec *parts, int count) {
    size_t asked = 0;
    for (int i = 0; i < count; i++) asked += parts[i].iov_len;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != ENOMEM) return -errno;
        sent = 0;
    }
    stream->is_sending = (size_t)sent < asked;
    return sent;
}

bool stream_end(struct loop *loop, struct stream *stream, bool is_broken) {
    int unread = 0;
    if (!is_broken && ioctl(stream->fd, FIONREAD, &unread) == 0 && unread > 0) return false;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    loop->handlers.received(loop->context, stream, NULL, -(error ? error : ECONNRESET));
    return true;
}
