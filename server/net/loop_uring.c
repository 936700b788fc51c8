/* The loop by completion: io_uring. A turn is one system call, which hands over all that was sent and brings
 * all that was received.
 *
 * Receiving. Each stream has one receive under way that goes on by itself (multishot). Its bytes land in
 * buffers that all streams of the loop share, so an idle stream owns none. They are laid out in memory that
 * is only reserved, not used, until a byte is written to it:
 *
 *     | headroom | bytes ... | gap || headroom | bytes ... | gap || ...      BUFFERS_MOST times,
 *         BUFFER_STRIDE apart
 *
 * At first the kernel gets a few of them; each turn in which they did not suffice doubles their number. A
 * stream has at most one receive under way, and the next begins when the kernel has said the last word about
 * the one before: so bytes stay in order.
 *
 * The parts of it: loop_uring_ask.c asks the kernel and takes its answers, loop_uring_send.c sends,
 * loop_uring_deliver.c tells the streams.
 *
 * Listening is by readiness. A multishot accept would be less work, but it is exclusive: the kernel would
 * wake the same worker each time, even one that is busy for seconds, and let new connections wait for it
 * while others idle.
 *
 * Waking is as in loop_epoll.c; a multishot poll watches the eventfd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loop_uring.h"

unsigned loop_uring_without;

/* ------------------------------------------------------------------ making and ending */

static void *memory_reserve(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void memory_return(void *memory, size_t size) {
    if (memory) munmap(memory, size);
}

/* The ring belongs to the thread that runs the loop, which is another one as a rule, and starts it. */
static bool ring_create(struct uring_loop *self) {
    unsigned common =
        IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED | IORING_SETUP_TASKRUN_FLAG;
    /* The kernel works for us only while we wait, rather than whenever we enter it; from Linux 6.1 on. */
    unsigned ways[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN};
    for (size_t i = loop_uring_without & LOOP_URING_DEFERRED ? 1 : 0; i < sizeof ways / sizeof *ways; i++) {
        struct io_uring_params parameters = {.flags = common | ways[i], .cq_entries = ANSWERS_MOST};
        int error = io_uring_queue_init_params(REQUESTS_MOST, &self->ring, &parameters);
        if (error == 0) {
            self->has_ring = true;
            return true;
        }
        errno = -error;
        if (error != -EINVAL) return false;
    }
    return false;
}

/* Buffers that the kernel chooses from: Linux 5.19. There is no io_uring back end without them. */
static bool buffers_create(struct uring_loop *self) {
    self->buffers = memory_reserve(BUFFER_STRIDE * BUFFERS_MOST);
    self->buffer_ring = memory_reserve(BUFFERS_MOST * sizeof(struct io_uring_buf));
    if (!self->buffers || !self->buffer_ring) return false;
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)self->buffer_ring, .ring_entries = BUFFERS_MOST};
    int error = io_uring_register_buf_ring(&self->ring, &reg, 0);
    errno = -error;
    return error == 0;
}

static void uring_free(struct loop *loop) {
    struct uring_loop *self = uring_of(loop);
    if (self->has_ring) {
        /* What is still under way would write to the buffers. If its thread is gone, it has ended with
         * that. */
        struct io_uring_sync_cancel_reg all = {.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
                                               .timeout = {-1, -1}};
        io_uring_register_sync_cancel(&self->ring, &all);
        io_uring_queue_exit(&self->ring);
    }
    if (self->wake_fd >= 0) close(self->wake_fd);
    for (uint32_t i = 0; i < self->slot_count; i++) free(self->slots[i].rest);
    memory_return(self->slots, SLOTS_MOST * sizeof *self->slots);
    memory_return(self->changed, SLOTS_MOST * sizeof *self->changed);
    memory_return(self->free, SLOTS_MOST * sizeof *self->free);
    memory_return(self->events, EVENTS_ROOM * sizeof *self->events);
    memory_return(self->buffers, BUFFER_STRIDE * BUFFERS_MOST);
    memory_return(self->buffer_ring, BUFFERS_MOST * sizeof(struct io_uring_buf));
    memory_return(self->outbox, OUTBOX_SIZE);
    memory_return(self->direct, LOOP_HEADROOM + LOOP_RECEIVE_MOST + 1);
    free(self);
}

static struct loop *uring_create(void) {
    struct uring_loop *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->is_multishot = !(loop_uring_without & LOOP_URING_MULTISHOT);
    self->batch = 1;
    self->events = memory_reserve(EVENTS_ROOM * sizeof *self->events);
    self->outbox = memory_reserve(OUTBOX_SIZE);
    self->direct = memory_reserve(LOOP_HEADROOM + LOOP_RECEIVE_MOST + 1);
    self->slots = memory_reserve(SLOTS_MOST * sizeof *self->slots);
    self->changed = memory_reserve(SLOTS_MOST * sizeof *self->changed);
    self->free = memory_reserve(SLOTS_MOST * sizeof *self->free);
    if (self->wake_fd < 0 || !self->events || !self->outbox || !self->direct || !self->slots ||
        !self->changed || !self->free || !ring_create(self) || !buffers_create(self)) {
        int error = errno;
        uring_free(&self->loop);
        errno = error;
        return NULL;
    }
    uring_buffers_grow(self);
    return &self->loop;
}

void uring_start(struct uring_loop *self) {
    if (self->is_started) return;
    self->is_started = true;
    /* liburing's own function for it is not in every build of the library. */
    io_uring_register((unsigned)self->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    io_uring_register_ring_fd(
        &self->ring); /* spares a look-up per system call; if not, it just isn't spared */
}

/* ------------------------------------------------------------------ slots */

void uring_slot_change(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    if (slot->is_changed) return;
    slot->is_changed = true;
    self->changed[self->changed_count++] = number;
}

static bool slot_take(struct uring_loop *self, struct stream *stream, bool is_listener) {
    if (self->free_count == 0 && self->slot_count == SLOTS_MOST) {
        errno = ENOMEM;
        return false;
    }
    uint32_t number = self->free_count ? self->free[--self->free_count] : self->slot_count++;
    self->slots[number] = (struct slot){.stream = stream, .is_listener = is_listener};
    stream->interest = number;
    uring_slot_change(self, number);
    return true;
}

/* ------------------------------------------------------------------ buffers */

void uring_buffer_give(struct uring_loop *self, uint32_t number) {
    io_uring_buf_ring_add(self->buffer_ring, uring_buffer_at(self, number), BUFFER_SIZE,
                          (unsigned short)number, io_uring_buf_ring_mask(BUFFERS_MOST),
                          (int)self->buffers_given);
    self->buffers_given++;
}

static void buffers_show(struct uring_loop *self) {
    if (self->buffers_given) io_uring_buf_ring_advance(self->buffer_ring, (int)self->buffers_given);
    self->buffers_given = 0;
}

void uring_buffers_grow(struct uring_loop *self) {
    uint32_t count = self->buffer_count ? self->buffer_count * 2 : BUFFERS_LEAST;
    while (self->buffer_count < count && self->buffer_count < BUFFERS_MOST)
        uring_buffer_give(self, self->buffer_count++);
}

/* ------------------------------------------------------------------ streams */

static bool uring_listen(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){.fd = fd, .is_unix = stream->is_unix, .is_tls = stream->is_tls};
    if (!slot_take(uring_of(loop), stream, true)) return false;
    stream->is_listening = true;
    return true;
}

static void uring_set_listening(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || is_on == stream->is_listening) return;
    stream->is_listening = is_on;
    uring_slot_change(uring_of(loop), stream->interest);
}

static bool uring_add(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){
        .fd = fd, .is_unix = stream->is_unix, .is_tls = stream->is_tls, .is_apart = stream->is_apart};
    if (!slot_take(uring_of(loop), stream, false)) return false;
    stream->is_receiving = true;
    return true;
}

static void uring_set_receiving(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || stream->is_receiving == is_on) return;
    stream->is_receiving = is_on;
    stream->is_detached = false;
    uring_slot_change(uring_of(loop), stream->interest);
}

static void uring_expect_bulk(struct loop *loop, struct stream *stream) {
    stream->is_bulky = true;
    uring_slot_change(uring_of(loop), stream->interest);
}

/* There are few events but while they are delivered, and hardly any between turns. */
static size_t uring_held(struct loop *loop, const struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    uring_answers_take(self);
    size_t held = 0;
    for (size_t i = 0; i < self->event_count && !stream->is_closed; i++) {
        const struct io_uring_cqe *event = &self->events[i];
        if (event->user_data == user_data(stream->interest, TAG_RECEIVE) && event->res > 0)
            held += (size_t)event->res;
    }
    return held;
}

/* A receive and a poll are under way until their last answer has been delivered. */
static bool uring_release(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    struct slot *slot = &self->slots[stream->interest];
    if (slot->error || slot->is_broken || slot->is_half_closed) return false;
    stream->is_receiving = false;
    stream->is_detached = true;
    uring_slot_change(self, stream->interest);
    if (slot->is_received || slot->is_polled) return false;
    slot->stream = NULL;
    return true;
}

static void uring_close(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return;
    uring_flush(loop, stream);
    struct slot *slot = &self->slots[stream->interest];
    uring_rest_drop(self, slot);
    slot->stream = NULL;
    uring_slot_change(self, stream->interest);
    stream->is_closed = true;
    stream->is_receiving = stream->is_sending = stream->is_listening = false;
    stream->space = NULL;
    /* A receive that is under way holds the socket until it is cancelled, before the next wait. */
    if (stream->fd >= 0) close(stream->fd);
    stream->fd = -1;
}

/* ------------------------------------------------------------------ the wait */

static void ring_wait(struct uring_loop *self, int milliseconds) {
    if (milliseconds < 0) {
        io_uring_submit_and_wait(&self->ring, 1);
    } else if (milliseconds > 0) {
        struct __kernel_timespec time = {.tv_sec = milliseconds / 1000,
                                         .tv_nsec = milliseconds % 1000 * 1000000LL};
        struct io_uring_cqe *first;
        io_uring_submit_and_wait_timeout(&self->ring, &first, 1, &time, NULL);
    } else if (io_uring_sq_ready(&self->ring) ||
               uring_has_flag(self, IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
        io_uring_submit_and_get_events(&self->ring);
    }
}

static int uring_wait(struct loop *loop, int milliseconds) {
    struct uring_loop *self = uring_of(loop);
    uring_start(self);
    self->turn++;
    self->buffers_were_short = false;
    buffers_show(self);
    if (!self->is_wake_polled) uring_poll_wake(self);
    uring_changes_apply(self);
    if (self->event_count) milliseconds = 0;
    int awake = AWAKE;
    /* From here on a waker has to write to the eventfd; if one came before, there is no wait. */
    if (milliseconds != 0 && !atomic_compare_exchange_strong(&self->sleep, &awake, WAITING)) milliseconds = 0;
    ring_wait(self, milliseconds);
    uring_answers_take(self);
    uring_submit(self); /* if some were refused */
    if (milliseconds != 0 || atomic_load_explicit(&self->sleep, memory_order_relaxed) == WOKEN) {
        self->is_woken = atomic_exchange(&self->sleep, AWAKE) == WOKEN;
    }
    return (int)self->event_count;
}

static void uring_wake(struct loop *loop) {
    struct uring_loop *self = uring_of(loop);
    if (atomic_exchange(&self->sleep, WOKEN) != WAITING) return;
    uint64_t one = 1;
    /* Fails only if the counter is full, and then the wait has ended long ago. */
    if (write(self->wake_fd, &one, sizeof one) < 0) return;
}

const struct loop_backend loop_uring = {
    .name = "io_uring",
    .create = uring_create,
    .free = uring_free,
    .listen = uring_listen,
    .set_listening = uring_set_listening,
    .add = uring_add,
    .set_receiving = uring_set_receiving,
    .expect_bulk = uring_expect_bulk,
    .held = uring_held,
    .send = uring_send,
    .flush = uring_flush,
    .release = uring_release,
    .close = uring_close,
    .wait = uring_wait,
    .deliver = uring_deliver,
    .wake = uring_wake,
};
