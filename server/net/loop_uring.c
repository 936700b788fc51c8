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
 * the one before: so bytes stay in order. A large argument's space is filled from the buffers as long as
 * bytes come that way; if much is missing, the receive is cancelled, and the stream is read when it is
 * readable, as long as what it sends is large. The kernel never has an address of memory that isn't the
 * loop's: whoever owns the space may free it at any time.
 *
 * Sending. Few bytes are copied to the outbox and handed over at the turn's end, with the wait. The kernel
 * copies them while it takes the request (it may not wait, MSG_DONTWAIT), so the outbox is empty again
 * afterwards, and says something only if it did not take all: then the rest is kept here until the socket has
 * room. Its answers are looked at after each hand-over, before anything else is sent, so a stream's bytes
 * stay in order if only one request of it is in the outbox. Many bytes go by sendmsg at once.
 *
 * What a stream wants is compared with what the kernel is doing for it once a turn, before the wait. Whatever
 * the kernel answers carries a slot's number rather than an address. A slot is given to another stream only
 * after the last word about each request of it, so an answer that comes after the stream is closed finds an
 * empty slot and no freed memory.
 *
 * Listening is by readiness. A multishot accept would be less work, but it is exclusive: the kernel would
 * wake the same worker each time, even one that is busy for seconds, and let new connections wait for it
 * while others idle.
 *
 * Waking is as in loop_epoll.c; a multishot poll watches the eventfd. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_backend.h"

#define REQUESTS_MOST 256
#define ANSWERS_MOST 2048
/* Answers not delivered yet, in memory that is only reserved. Those beyond the second number stay with the
 * kernel: delivering the others adds at most one each. */
#define EVENTS_ROOM ((size_t)1 << 20)
#define EVENTS_MOST (EVENTS_ROOM / 2)
#define BUFFER_SIZE 32768
/* Not a multiple of the page size, so that the buffers' first lines do not fall on each other in the
 * processor's cache. */
#define BUFFER_STRIDE ((size_t)LOOP_HEADROOM + BUFFER_SIZE + 320)
#define BUFFERS_LEAST 16
#define BUFFERS_MOST 256
/* Up to here loop_send takes everything and copies it. */
#define SEND_SMALL 16384
#define OUTBOX_SIZE ((size_t)128 * 1024)
/* Streams of one loop: more than a process may have open as a rule. Memory that is not touched costs
 * nothing. */
#define SLOTS_MOST (1u << 20)

/* What an answer is about, in the low bits of a request's user data. Above is the number of the slot, or of
 * the bundle that was sent. */
enum tag {
    TAG_NOTHING,
    TAG_SEND,
    TAG_RECEIVE,
    TAG_POLL,
    TAG_WAKE,
    TAG_BROKEN /* not the kernel's: a send failed */
};
#define TAG_BITS 3

enum sleep { AWAKE, WAITING, WOKEN };

/* Taken by loop_send, and the socket has no room yet. */
struct rest {
    uint32_t length, sent;
    char data[];
};

/* A stream as the kernel knows it. Small, since each connection has one. */
struct slot {
    struct stream *stream; /* NULL: closed, or free */
    struct rest *rest;     /* or NULL */
    uint32_t batch;        /* of the outbox it was last in */
    uint32_t turn;         /* when it last received, and how much of a turn's share that was */
    uint32_t received;
    uint16_t error;      /* a send failed */
    int16_t poll_events; /* what is_polled asks for */
    bool is_listener : 1;
    bool is_changed : 1;  /* among the loop's `changed` */
    bool is_received : 1; /* a receive is under way */
    bool is_receive_cancelled : 1;
    bool is_polled : 1; /* a poll is */
    bool is_poll_cancelled : 1;
    bool is_half_closed : 1; /* the peer has closed its side: a poll has told */
    bool is_broken : 1;      /* a TAG_BROKEN event is under way */
};

/* A request in the outbox: a stream's bytes that follow each other. */
struct bundle {
    uint32_t slot, start, length;
    struct io_uring_sqe *request;
};

struct uring_loop {
    struct loop loop;
    struct io_uring ring;
    bool has_ring, is_started, is_multishot;
    int wake_fd;
    bool is_wake_polled;
    _Atomic int sleep; /* enum sleep */
    bool is_woken;     /* the last wait was ended, or made needless, by loop_wake */
    uint32_t turn;
    struct io_uring_cqe *events; /* harvested and not delivered; those of the turns before come first */
    size_t event_count;
    struct slot *slots;
    uint32_t *changed; /* numbers of slots whose wishes may differ from what is under way; room for all */
    uint32_t *free;    /* numbers of slots that were used and are free; room for all */
    uint32_t slot_count /* ever used */, changed_count, free_count;
    struct io_uring_buf_ring *buffer_ring;
    char *buffers;
    uint32_t buffer_count;   /* that the kernel may use */
    uint32_t buffers_given;  /* put to the ring, and not yet shown to the kernel */
    bool buffers_were_short; /* in this turn */
    char *outbox;
    size_t outbox_used;
    uint32_t batch; /* which outbox this is, counted from 1 */
    uint32_t bundle_count;
    struct bundle bundles[REQUESTS_MOST];
    char *direct; /* where what follows a space is received, with headroom */
};

unsigned loop_uring_without;

static struct uring_loop *uring_of(struct loop *loop) {
    return (struct uring_loop *)loop;
}

static uint64_t user_data(uint32_t slot, enum tag tag) {
    return (uint64_t)slot << TAG_BITS | tag;
}

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

static void buffers_grow(struct uring_loop *self);

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
    buffers_grow(self);
    return &self->loop;
}

/* On the loop's own thread. */
static void ring_start(struct uring_loop *self) {
    if (self->is_started) return;
    self->is_started = true;
    /* liburing's own function for it is not in every build of the library. */
    io_uring_register((unsigned)self->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    io_uring_register_ring_fd(
        &self->ring); /* spares a look-up per system call; if not, it just isn't spared */
}

/* ------------------------------------------------------------------ slots */

/* The stream's wishes, or what the kernel does for it, may have changed. */
static void slot_change(struct uring_loop *self, uint32_t number) {
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
    slot_change(self, number);
    return true;
}

static void rest_drop(struct slot *slot) {
    free(slot->rest);
    slot->rest = NULL;
}

/* ------------------------------------------------------------------ handing over, and the kernel's
 * answers */

static void event_add(struct uring_loop *self, const struct io_uring_cqe *answer) {
    memcpy(&self->events[self->event_count++], answer, sizeof *answer);
}

/* The stream is told when the answers are delivered, and by its next loop_send. */
static void send_failed(struct uring_loop *self, uint32_t number, int error) {
    struct slot *slot = &self->slots[number];
    slot->error = (uint16_t)error;
    if (slot->is_broken) return;
    slot->is_broken = true;
    struct io_uring_cqe broken = {.user_data = user_data(number, TAG_BROKEN)};
    event_add(self, &broken);
}

/* The socket has taken only some of a bundle, or nothing. */
static void send_answered(struct uring_loop *self, const struct bundle *bundle, int result) {
    struct slot *slot = &self->slots[bundle->slot];
    if (result < 0 && result != -EAGAIN && result != -ENOBUFS && result != -ENOMEM && result != -EINTR) {
        send_failed(self, bundle->slot, -result);
        return;
    }
    uint32_t sent = result > 0 ? (uint32_t)result : 0;
    if (sent >= bundle->length) return;
    uint32_t length = bundle->length - sent;
    slot->rest = malloc(sizeof *slot->rest + length);
    if (!slot->rest) {
        send_failed(self, bundle->slot, ENOMEM);
        return;
    }
    *slot->rest = (struct rest){.length = length};
    memcpy(slot->rest->data, self->outbox + bundle->start + sent, length);
    slot->stream->is_sending = true;
    slot_change(self, bundle->slot);
}

static bool has_flag(const struct uring_loop *self, unsigned flag) {
    return IO_URING_READ_ONCE(*self->ring.sq.kflags) & flag;
}

/* Takes all answers from the kernel. Those to sends are worked on at once, the others become events. */
static void answers_take(struct uring_loop *self) {
    for (;;) {
        unsigned head, count = 0;
        struct io_uring_cqe *answer;
        io_uring_for_each_cqe(&self->ring, head, answer) {
            if (self->event_count >= EVENTS_MOST) break;
            uint32_t number = (uint32_t)(answer->user_data >> TAG_BITS);
            switch (answer->user_data & ((1 << TAG_BITS) - 1)) {
            case TAG_NOTHING: break;
            case TAG_SEND: send_answered(self, &self->bundles[number], answer->res); break;
            case TAG_WAKE:
                if (!(answer->flags & IORING_CQE_F_MORE)) self->is_wake_polled = false;
                break;
            default: event_add(self, answer); break;
            }
            count++;
        }
        io_uring_cq_advance(&self->ring, count);
        /* More than the ring had room for. All is finite: nothing new is asked of the kernel meanwhile. */
        if (count == 0 || !has_flag(self, IORING_SQ_CQ_OVERFLOW)) return;
        io_uring_get_events(&self->ring);
    }
}

static void outbox_empty(struct uring_loop *self) {
    self->outbox_used = 0;
    self->bundle_count = 0;
    self->batch++;
}

/* Hands all requests over. Afterwards every send has been worked on. */
static void requests_submit(struct uring_loop *self) {
    ring_start(self);
    while (io_uring_sq_ready(&self->ring) > 0) {
        /* Refused only for want of memory, or of room for answers; the loop makes some. */
        io_uring_submit(&self->ring);
        answers_take(self);
    }
    outbox_empty(self);
}

static struct io_uring_sqe *request_take(struct uring_loop *self) {
    struct io_uring_sqe *request = io_uring_get_sqe(&self->ring);
    if (request) return request;
    requests_submit(self);
    return io_uring_get_sqe(&self->ring);
}

/* ------------------------------------------------------------------ buffers */

static char *buffer_at(const struct uring_loop *self, uint32_t number) {
    return self->buffers + number * BUFFER_STRIDE + LOOP_HEADROOM;
}

static void buffer_give(struct uring_loop *self, uint32_t number) {
    io_uring_buf_ring_add(self->buffer_ring, buffer_at(self, number), BUFFER_SIZE, (unsigned short)number,
                          io_uring_buf_ring_mask(BUFFERS_MOST), (int)self->buffers_given);
    self->buffers_given++;
}

static void buffers_show(struct uring_loop *self) {
    if (self->buffers_given) io_uring_buf_ring_advance(self->buffer_ring, (int)self->buffers_given);
    self->buffers_given = 0;
}

static void buffers_grow(struct uring_loop *self) {
    uint32_t count = self->buffer_count ? self->buffer_count * 2 : BUFFERS_LEAST;
    while (self->buffer_count < count && self->buffer_count < BUFFERS_MOST)
        buffer_give(self, self->buffer_count++);
}

/* ------------------------------------------------------------------ what the kernel is asked for */

static void request_cancel(struct uring_loop *self, uint32_t number, enum tag tag) {
    struct io_uring_sqe *request = request_take(self);
    io_uring_prep_cancel64(request, user_data(number, tag), 0);
    io_uring_sqe_set_data64(request, TAG_NOTHING);
    io_uring_sqe_set_flags(request, IOSQE_CQE_SKIP_SUCCESS);
}

static void request_receive(struct uring_loop *self, uint32_t number) {
    struct io_uring_sqe *request = request_take(self);
    int fd = self->slots[number].stream->fd;
    if (self->is_multishot)
        io_uring_prep_recv_multishot(request, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(request, fd, NULL, BUFFER_SIZE, 0);
    io_uring_sqe_set_data64(request, user_data(number, TAG_RECEIVE));
    io_uring_sqe_set_flags(request, IOSQE_BUFFER_SELECT);
}

/* A poll is over when it has found something. But each one finds that the peer has closed its side, asked or
 * not, and would again and again; from then on it lasts, and finds what is new. Not so if the stream is to be
 * read: there may be more than is read in a turn, and that is nothing new. */
static void request_poll(struct uring_loop *self, uint32_t number, short events) {
    struct io_uring_sqe *request = request_take(self);
    const struct slot *slot = &self->slots[number];
    if (slot->is_half_closed && !(events & POLLIN))
        io_uring_prep_poll_multishot(request, slot->stream->fd, (unsigned)events);
    else
        io_uring_prep_poll_add(request, slot->stream->fd, (unsigned)events);
    io_uring_sqe_set_data64(request, user_data(number, TAG_POLL));
}

static void request_wake(struct uring_loop *self) {
    struct io_uring_sqe *request = request_take(self);
    io_uring_prep_poll_multishot(request, self->wake_fd, POLLIN);
    io_uring_sqe_set_data64(request, TAG_WAKE);
    self->is_wake_polled = true;
}

static bool wants_receive(const struct slot *slot) {
    const struct stream *stream = slot->stream;
    return stream && !slot->is_listener && stream->is_receiving && !stream->is_bulky;
}

/* What is to be polled for, or -1. The end of a connection is, even if nobody receives; 0 means only that. */
static int wanted_events(const struct slot *slot) {
    const struct stream *stream = slot->stream;
    if (!stream) return -1;
    if (slot->is_listener) return stream->is_listening ? POLLIN : -1;
    int events = stream->is_sending ? POLLOUT : 0;
    if (stream->is_receiving && stream->is_bulky && !slot->is_received) events |= POLLIN;
    bool is_unwatched = !stream->is_receiving && !slot->is_received && !stream->is_detached;
    return events || is_unwatched ? events : -1;
}

/* Brings what is under way nearer to what is wanted. The rest follows when what is cancelled has ended. */
static void slot_apply(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    if (slot->is_received && !wants_receive(slot) && !slot->is_receive_cancelled) {
        slot->is_receive_cancelled = true;
        request_cancel(self, number, TAG_RECEIVE);
    } else if (!slot->is_received && wants_receive(slot)) {
        slot->is_received = true;
        request_receive(self, number);
    }
    int events = wanted_events(slot);
    if (slot->is_polled && events != slot->poll_events && !slot->is_poll_cancelled) {
        slot->is_poll_cancelled = true;
        request_cancel(self, number, TAG_POLL);
    } else if (!slot->is_polled && events >= 0) {
        slot->is_polled = true;
        slot->poll_events = (short)events;
        request_poll(self, number, (short)events);
    }
    if (slot->stream || slot->is_received || slot->is_polled || slot->is_broken) return;
    self->free[self->free_count++] = number;
}

/* Requests that fill the ring are handed over meanwhile, and the answers may add changes: they are seen to as
 * well. */
static void changes_apply(struct uring_loop *self) {
    while (self->changed_count > 0) {
        uint32_t number = self->changed[--self->changed_count];
        self->slots[number].is_changed = false;
        slot_apply(self, number);
    }
}

/* ------------------------------------------------------------------ streams */

static bool uring_listen(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){.fd = fd, .private_data = stream->private_data};
    if (!slot_take(uring_of(loop), stream, true)) return false;
    stream->is_listening = true;
    return true;
}

static void uring_set_listening(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || is_on == stream->is_listening) return;
    stream->is_listening = is_on;
    slot_change(uring_of(loop), stream->interest);
}

static bool uring_add(struct loop *loop, struct stream *stream, int fd) {
    *stream = (struct stream){.fd = fd, .private_data = stream->private_data};
    if (!slot_take(uring_of(loop), stream, false)) return false;
    stream->is_receiving = true;
    return true;
}

static void uring_set_receiving(struct loop *loop, struct stream *stream, bool is_on) {
    if (stream->is_closed || stream->is_receiving == is_on) return;
    stream->is_receiving = is_on;
    stream->is_detached = false;
    slot_change(uring_of(loop), stream->interest);
}

static void uring_expect_bulk(struct loop *loop, struct stream *stream) {
    stream->is_bulky = true;
    slot_change(uring_of(loop), stream->interest);
}

/* There are few events but while they are delivered, and hardly any between turns. */
static size_t uring_held(struct loop *loop, const struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    answers_take(self);
    size_t held = 0;
    for (size_t i = 0; i < self->event_count && !stream->is_closed; i++) {
        const struct io_uring_cqe *event = &self->events[i];
        if (event->user_data == user_data(stream->interest, TAG_RECEIVE) && event->res > 0)
            held += (size_t)event->res;
    }
    return held;
}

static size_t parts_length(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    return length;
}

/* The bundle that was begun last, if it is this stream's. */
static struct bundle *bundle_of(struct uring_loop *self, uint32_t slot) {
    if (self->bundle_count == 0) return NULL;
    struct bundle *last = &self->bundles[self->bundle_count - 1];
    return last->slot == slot ? last : NULL;
}

/* There is a request left for it. */
static struct bundle *bundle_begin(struct uring_loop *self, uint32_t slot) {
    struct io_uring_sqe *request = io_uring_get_sqe(&self->ring);
    io_uring_prep_send(request, self->slots[slot].stream->fd, self->outbox + self->outbox_used, 0,
                       MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(request, user_data(self->bundle_count, TAG_SEND));
    io_uring_sqe_set_flags(request, IOSQE_CQE_SKIP_SUCCESS);
    self->slots[slot].batch = self->batch;
    struct bundle *bundle = &self->bundles[self->bundle_count++];
    *bundle = (struct bundle){.slot = slot, .start = (uint32_t)self->outbox_used, .request = request};
    return bundle;
}

static void outbox_add(struct uring_loop *self, struct bundle *bundle, const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++) {
        memcpy(self->outbox + self->outbox_used, parts[i].iov_base, parts[i].iov_len);
        self->outbox_used += parts[i].iov_len;
    }
    bundle->length = (uint32_t)self->outbox_used - bundle->start;
    bundle->request->len = bundle->length;
}

static ssize_t uring_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return -EPIPE;
    uint32_t number = stream->interest;
    size_t length = parts_length(parts, count);
    bool is_small = length <= SEND_SMALL;
    bool is_in_outbox = self->slots[number].batch == self->batch;
    bool fits = is_small && self->outbox_used + length <= OUTBOX_SIZE &&
                (is_in_outbox ? bundle_of(self, number) != NULL : io_uring_sq_space_left(&self->ring) > 0);
    if (is_small ? !fits : is_in_outbox) requests_submit(self);
    const struct slot *slot = &self->slots[number];
    if (slot->error) return -slot->error;
    if (stream->is_sending || length == 0) return 0;
    if (is_small) {
        struct bundle *bundle = bundle_of(self, number);
        outbox_add(self, bundle ? bundle : bundle_begin(self, number), parts, count);
        return (ssize_t)length;
    }
    ssize_t sent = stream_send(stream, parts, count);
    if (stream->is_sending) slot_change(self, number);
    return sent;
}

static bool uring_flush(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return true;
    if (self->slots[stream->interest].batch == self->batch) requests_submit(self);
    return !self->slots[stream->interest].rest;
}

/* A receive and a poll are under way until their last answer has been delivered. */
static bool uring_release(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    struct slot *slot = &self->slots[stream->interest];
    if (slot->error || slot->is_broken || slot->is_half_closed) return false;
    stream->is_receiving = false;
    stream->is_detached = true;
    slot_change(self, stream->interest);
    if (slot->is_received || slot->is_polled) return false;
    slot->stream = NULL;
    return true;
}

static void uring_close(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return;
    uring_flush(loop, stream);
    struct slot *slot = &self->slots[stream->interest];
    rest_drop(slot);
    slot->stream = NULL;
    slot_change(self, stream->interest);
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
    } else if (io_uring_sq_ready(&self->ring) || has_flag(self, IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
        io_uring_submit_and_get_events(&self->ring);
    }
}

static int uring_wait(struct loop *loop, int milliseconds) {
    struct uring_loop *self = uring_of(loop);
    ring_start(self);
    self->turn++;
    self->buffers_were_short = false;
    buffers_show(self);
    if (!self->is_wake_polled) request_wake(self);
    changes_apply(self);
    if (self->event_count) milliseconds = 0;
    int awake = AWAKE;
    /* From here on a waker has to write to the eventfd; if one came before, there is no wait. */
    if (milliseconds != 0 && !atomic_compare_exchange_strong(&self->sleep, &awake, WAITING)) milliseconds = 0;
    ring_wait(self, milliseconds);
    answers_take(self);
    requests_submit(self); /* if some were refused */
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

/* ------------------------------------------------------------------ delivering */

static void tell_received(struct uring_loop *self, struct stream *stream, char *data, ssize_t length) {
    self->loop.handlers.received(self->loop.context, stream, data, length);
}

/* Bytes in a buffer: first to the stream's space, if it has one. */
static void deliver_bytes(struct uring_loop *self, uint32_t number, char *data, size_t length) {
    struct stream *stream = self->slots[number].stream;
    while (length > 0 && self->slots[number].stream) {
        if (!stream->space) {
            tell_received(self, stream, data, (ssize_t)length);
            return;
        }
        char *space = stream->space;
        size_t filled = length < stream->space_length ? length : stream->space_length;
        memcpy(space, data, filled);
        loop_receive_into(&self->loop, stream, space + filled, stream->space_length - filled);
        data += filled;
        length -= filled;
        tell_received(self, stream, space, (ssize_t)filled);
    }
}

/* Reads a bulky stream, whose receive has ended. */
static void deliver_directly(struct uring_loop *self, uint32_t number) {
    struct stream *stream = self->slots[number].stream;
    stream_receive(&self->loop, stream, self->direct + LOOP_HEADROOM);
    slot_change(self, number);
}

/* A turn's share is used up, and so the stream's events stay for the next turn, all from this one on. */
static bool slot_defers(struct uring_loop *self, struct slot *slot, const struct io_uring_cqe *event) {
    if (slot->turn != self->turn) {
        slot->turn = self->turn;
        slot->received = 0;
    }
    uint32_t length = event->res > 0 ? (uint32_t)event->res : 0;
    if (slot->received > LOOP_RECEIVE_MOST || slot->received + length > LOOP_RECEIVE_MOST)
        slot->received = UINT32_MAX / 2;
    else
        slot->received += length;
    return slot->received > LOOP_RECEIVE_MOST;
}

/* What a receive has ended with, if not with bytes. True if it says nothing about the connection. */
static bool is_harmless(struct uring_loop *self, int status) {
    switch (status) {
    case -ENOBUFS:
        if (!self->buffers_were_short) buffers_grow(self);
        self->buffers_were_short = true;
        return true;
    case -ECANCELED:
    case -EINTR:
    case -EAGAIN: return true;
    case -EINVAL: /* before Linux 6.0 */
        if (!self->is_multishot) return false;
        self->is_multishot = false;
        return true;
    default: return false;
    }
}

static void deliver_result(struct uring_loop *self, uint32_t number, const struct io_uring_cqe *event) {
    uint32_t buffer = event->flags >> IORING_CQE_BUFFER_SHIFT;
    if (event->res > 0) {
        deliver_bytes(self, number, buffer_at(self, buffer), (size_t)event->res);
    } else if (!is_harmless(self, event->res)) {
        tell_received(self, self->slots[number].stream, NULL, event->res);
        return;
    }
    const struct stream *stream = self->slots[number].stream;
    bool has_ended = !self->slots[number].is_received;
    if (has_ended && stream && stream->is_receiving && stream->is_bulky) deliver_directly(self, number);
}

/* False if it is to be delivered in the next turn. */
static bool deliver_received(struct uring_loop *self, uint32_t number, const struct io_uring_cqe *event) {
    struct slot *slot = &self->slots[number];
    if (slot->stream && slot_defers(self, slot, event)) return false;
    if (!(event->flags & IORING_CQE_F_MORE)) {
        slot->is_received = slot->is_receive_cancelled = false;
        slot_change(self, number);
    }
    if (slot->stream) deliver_result(self, number, event);
    if (event->flags & IORING_CQE_F_BUFFER) buffer_give(self, event->flags >> IORING_CQE_BUFFER_SHIFT);
    return true;
}

/* The socket has room again. */
static void deliver_sendable(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    struct stream *stream = slot->stream;
    stream->is_sending = false; /* loop_send sets it again if need be */
    if (slot->rest) {
        struct rest *rest = slot->rest;
        struct iovec part = {rest->data + rest->sent, rest->length - rest->sent};
        ssize_t sent = stream_send(stream, &part, 1);
        if (sent > 0) rest->sent += (uint32_t)sent;
        if (stream->is_sending) return;
        rest_drop(slot);
        if (sent < 0) {
            send_failed(self, number, (int)-sent);
            return;
        }
    }
    self->loop.handlers.sendable(self->loop.context, stream);
}

static void deliver_polled(struct uring_loop *self, uint32_t number, int events, bool has_ended) {
    struct slot *slot = &self->slots[number];
    if (has_ended) slot->is_polled = slot->is_poll_cancelled = false;
    slot_change(self, number);
    struct stream *stream = slot->stream;
    if (!stream || events < 0) return;
    if (events & POLLRDHUP) slot->is_half_closed = true;
    if (slot->is_listener) {
        stream_accept(&self->loop, stream);
        return;
    }
    if ((events & (POLLOUT | POLLERR | POLLHUP)) && stream->is_sending) deliver_sendable(self, number);
    slot = &self->slots[number];
    if (!slot->stream || slot->is_broken || slot->is_received) return;
    if (stream->is_receiving) {
        if (stream->is_bulky) deliver_directly(self, number);
    } else if (events & (POLLERR | POLLHUP)) {
        if (!stream_end(&self->loop, stream, events & POLLERR)) stream->is_detached = true;
    }
}

static void deliver_broken(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    slot->is_broken = false;
    slot_change(self, number);
    if (slot->stream) tell_received(self, slot->stream, NULL, -slot->error);
}

static bool deliver_event(struct uring_loop *self, const struct io_uring_cqe *event) {
    uint32_t number = (uint32_t)(event->user_data >> TAG_BITS);
    switch (event->user_data & ((1 << TAG_BITS) - 1)) {
    case TAG_RECEIVE: return deliver_received(self, number, event);
    case TAG_POLL: deliver_polled(self, number, event->res, !(event->flags & IORING_CQE_F_MORE)); break;
    default: deliver_broken(self, number); break;
    }
    return true;
}

/* What the buffers of this turn hold. With one there is nothing to do meanwhile. */
static void announce(struct uring_loop *self) {
    if (!self->loop.handlers.arrived || self->event_count < 2) return;
    for (size_t i = 0; i < self->event_count; i++) {
        const struct io_uring_cqe *event = &self->events[i];
        if ((event->user_data & ((1 << TAG_BITS) - 1)) != TAG_RECEIVE || event->res <= 0) continue;
        const struct stream *stream = self->slots[event->user_data >> TAG_BITS].stream;
        if (!stream || stream->space) continue;
        char *data = buffer_at(self, event->flags >> IORING_CQE_BUFFER_SHIFT);
        self->loop.handlers.arrived(self->loop.context, stream, data, (size_t)event->res);
    }
    self->loop.handlers.arrived(self->loop.context, NULL, NULL, 0);
}

/* Events that come meanwhile, by a hand-over within the turn, stay for the next one, behind those that were
 * put off. */
static void uring_deliver(struct loop *loop) {
    struct uring_loop *self = uring_of(loop);
    if (self->is_woken) {
        self->is_woken = false;
        if (loop->handlers.woken) loop->handlers.woken(loop->context);
    }
    announce(self);
    size_t found = self->event_count, kept = 0;
    for (size_t i = 0; i < found; i++) {
        struct io_uring_cqe *event = &self->events[i];
        if (!deliver_event(self, event)) memcpy(&self->events[kept++], event, sizeof *event);
    }
    size_t added = self->event_count - found;
    memmove(&self->events[kept], &self->events[found], added * sizeof *self->events);
    self->event_count = kept + added;
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
