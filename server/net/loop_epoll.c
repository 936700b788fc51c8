/* The loop by readiness: level-triggered epoll. The kernel says which sockets have something, and then one
 * readv or sendmsg each moves the bytes.
 *
 * What a stream wants is compared with what the kernel was last asked for, so that most changes of mind cost
 * no system call. Not wanting to receive is told to the kernel only when bytes really arrive meanwhile.
 *
 * Waking: `sleep` says whether the loop waits, and a waker that finds it awake leaves a mark instead of
 * writing to the eventfd. The eventfd is edge-triggered, so that nobody has to read it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop_backend.h"

#define EVENTS_MOST 256

enum sleep { AWAKE, WAITING, WOKEN };

struct epoll_loop {
    struct loop loop;
    int epoll_fd, wake_fd;
    _Atomic int sleep; /* enum sleep */
    bool is_woken;     /* the last wait was ended, or made needless, by loop_wake */
    int found;
    struct epoll_event events[EVENTS_MOST];
    char memory[LOOP_HEADROOM + LOOP_RECEIVE_MOST + 1];
};

static struct epoll_loop *epoll_of(struct loop *loop) {
    return (struct epoll_loop *)loop;
}

static void epoll_free(struct loop *loop) {
    struct epoll_loop *self = epoll_of(loop);
    if (self->epoll_fd >= 0) close(self->epoll_fd);
    if (self->wake_fd >= 0) close(self->wake_fd);
    free(self);
}

static struct loop *epoll_create_loop(void) {
    struct epoll_loop *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (self->epoll_fd < 0 || self->wake_fd < 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) != 0) {
        int error = errno;
        epoll_free(&self->loop);
        errno = error;
        return NULL;
    }
    return &self->loop;
}

/* ------------------------------------------------------------------ what the kernel is asked for */

static bool stream_ask(struct epoll_loop *self, struct stream *stream, int operation, uint32_t interest) {
    struct epoll_event event = {.events = interest, .data.ptr = stream};
    if (epoll_ctl(self->epoll_fd, operation, stream->fd, &event) != 0) return false;
    stream->interest = interest;
    return true;
}

/* Tells the kernel what the stream wants now, if that is news. */
static void stream_apply(struct epoll_loop *self, struct stream *stream) {
    uint32_t wanted =
        (stream->is_receiving ? (uint32_t)EPOLLIN : 0) | (stream->is_sending ? (uint32_t)EPOLLOUT : 0);
    if (stream->is_detached) {
        if (wanted && stream_ask(self, stream, EPOLL_CTL_ADD, wanted)) stream->is_detached = false;
    } else if (wanted != stream->interest) {
        stream_ask(self, stream, EPOLL_CTL_MOD, wanted);
    }
}

/* Level-triggered and exclusive: the kernel wakes one or a few of the loops that listen on the socket, not
 * all. */
static bool epoll_listen(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){.fd = fd, .is_unix = stream->is_unix, .is_tls = stream->is_tls};
    if (!stream_ask(epoll_of(loop), stream, EPOLL_CTL_ADD, EPOLLIN | EPOLLEXCLUSIVE)) return false;
    stream->is_listening = true;
    return true;
}

/* An exclusive registration can't be modified, only dropped and made anew. */
static void epoll_set_listening(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || is_on == stream->is_listening) return;
    if (stream_ask(epoll_of(loop), stream, is_on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, EPOLLIN | EPOLLEXCLUSIVE)) {
        stream->is_listening = is_on;
    }
}

static bool epoll_add(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){
        .fd = fd, .is_unix = stream->is_unix, .is_tls = stream->is_tls, .is_apart = stream->is_apart};
    if (!stream_ask(epoll_of(loop), stream, EPOLL_CTL_ADD, EPOLLIN)) return false;
    stream->is_receiving = true;
    return true;
}

static void epoll_set_receiving(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || stream->is_receiving == is_on) return;
    stream->is_receiving = is_on;
    if (is_on) stream_apply(epoll_of(loop), stream);
}

static void epoll_expect_bulk(struct loop *loop, struct stream *stream) {
    (void)loop;
    stream->is_bulky = true;
}

static size_t epoll_held(struct loop *loop, const struct stream *stream) {
    (void)loop;
    (void)stream;
    return 0;
}

static ssize_t epoll_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count) {
    if (stream->is_closed) return -EPIPE;
    ssize_t sent = stream_send(stream, parts, count);
    if (stream->is_sending) stream_apply(epoll_of(loop), stream);
    return sent;
}

/* Nothing is taken that the socket doesn't have. */
static bool epoll_flush(struct loop *loop, struct stream *stream) {
    (void)loop;
    (void)stream;
    return true;
}

/* Between turns nothing of it is undelivered. */
static bool epoll_release(struct loop *loop, struct stream *stream) {
    stream->is_receiving = false;
    if (!stream->is_detached && !stream_ask(epoll_of(loop), stream, EPOLL_CTL_DEL, 0)) return false;
    stream->is_detached = true;
    return true;
}

/* The kernel drops a closed descriptor from the set by itself, as nobody has a duplicate of it. */
static void epoll_close(struct loop *loop, struct stream *stream) {
    if (stream->is_closed) return;
    /* Closing the descriptor is enough only if no other process has it, as one has for a moment that a tool
     * forks: then the kernel would go on telling of a stream that is freed. */
    if (stream->fd >= 0 && !stream->is_detached) (void)stream_ask(epoll_of(loop), stream, EPOLL_CTL_DEL, 0);
    stream->is_closed = true;
    stream->is_receiving = stream->is_sending = stream->is_listening = false;
    stream->space = NULL;
    if (stream->fd >= 0) close(stream->fd);
    stream->fd = -1;
}

/* ------------------------------------------------------------------ a turn */

static int epoll_wait_turn(struct loop *loop, int milliseconds) {
    struct epoll_loop *self = epoll_of(loop);
    int awake = AWAKE;
    /* From here on a waker has to write to the eventfd; if one came before, there is no wait. */
    if (milliseconds != 0 && !atomic_compare_exchange_strong(&self->sleep, &awake, WAITING)) milliseconds = 0;
    int found = epoll_wait(self->epoll_fd, self->events, EVENTS_MOST, milliseconds);
    self->found = found < 0 ? 0 : found; /* EINTR */
    if (milliseconds != 0 || atomic_load_explicit(&self->sleep, memory_order_relaxed) == WOKEN) {
        self->is_woken = atomic_exchange(&self->sleep, AWAKE) == WOKEN;
    }
    return self->found;
}

static void epoll_wake(struct loop *loop) {
    struct epoll_loop *self = epoll_of(loop);
    if (atomic_exchange(&self->sleep, WOKEN) != WAITING) return;
    uint64_t one = 1;
    /* Fails only if the counter is full, and then the wait has ended long ago. */
    if (write(self->wake_fd, &one, sizeof one) < 0) return;
}

/* The connection is gone while nobody wants to read it. If bytes are left to be read, the kernel would tell
 * of the end again and again, so it is asked no more. */
static void deliver_end(struct epoll_loop *self, struct stream *stream, uint32_t events) {
    if (stream_end(&self->loop, stream, events & EPOLLERR)) return;
    if (stream_ask(self, stream, EPOLL_CTL_DEL, 0)) stream->is_detached = true;
}

static void deliver_event(struct epoll_loop *self, struct stream *stream, uint32_t events) {
    if (stream->is_listening) {
        stream_accept(&self->loop, stream);
        return;
    }
    if (stream->is_closed) return;
    if ((events & EPOLLOUT) && stream->is_sending) {
        stream->is_sending = false; /* loop_send sets it again if need be */
        self->loop.handlers.sendable(self->loop.context, stream);
        if (stream->is_closed) return;
    }
    if (stream->is_receiving) {
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            stream_receive(&self->loop, stream, self->memory + LOOP_HEADROOM);
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        deliver_end(self, stream, events);
    }
    if (stream->is_closed) return;
    stream_apply(self, stream);
}

static void epoll_deliver(struct loop *loop) {
    struct epoll_loop *self = epoll_of(loop);
    if (self->is_woken) {
        self->is_woken = false;
        if (loop->handlers.woken) loop->handlers.woken(loop->context);
    }
    int found = self->found;
    self->found = 0;
    for (int i = 0; i < found; i++) {
        struct stream *stream = self->events[i].data.ptr;
        if (stream) deliver_event(self, stream, self->events[i].events);
    }
}

const struct loop_backend loop_epoll = {
    .name = "epoll",
    .create = epoll_create_loop,
    .free = epoll_free,
    .listen = epoll_listen,
    .set_listening = epoll_set_listening,
    .add = epoll_add,
    .set_receiving = epoll_set_receiving,
    .expect_bulk = epoll_expect_bulk,
    .held = epoll_held,
    .send = epoll_send,
    .flush = epoll_flush,
    .release = epoll_release,
    .close = epoll_close,
    .wait = epoll_wait_turn,
    .deliver = epoll_deliver,
    .wake = epoll_wake,
};
