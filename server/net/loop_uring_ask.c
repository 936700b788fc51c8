/* What the kernel is asked for, and its answers.
 *
 * What a stream wants is compared with what the kernel is doing for it once a turn, before the wait. Whatever
 * the kernel answers carries a slot's number rather than an address. A slot is given to another stream only
 * after the last word about each request of it, so an answer that comes after the stream is closed finds an
 * empty slot and no freed memory. */
#include <poll.h>
#include <string.h>

#include "loop_uring.h"

/* ------------------------------------------------------------------ answers */

void uring_event_add(struct uring_loop *self, const struct io_uring_cqe *answer) {
    memcpy(&self->events[self->event_count++], answer, sizeof *answer);
}

void uring_answers_take(struct uring_loop *self) {
    for (;;) {
        unsigned head, count = 0;
        struct io_uring_cqe *answer;
        io_uring_for_each_cqe(&self->ring, head, answer) {
            if (self->event_count >= EVENTS_MOST) break;
            uint32_t number = (uint32_t)(answer->user_data >> TAG_BITS);
            switch (answer->user_data & ((1 << TAG_BITS) - 1)) {
            case TAG_NOTHING: break;
            case TAG_SEND: uring_send_answered(self, &self->bundles[number], answer->res); break;
            case TAG_WAKE:
                if (!(answer->flags & IORING_CQE_F_MORE)) self->is_wake_polled = false;
                break;
            default: uring_event_add(self, answer); break;
            }
            count++;
        }
        io_uring_cq_advance(&self->ring, count);
        /* More than the ring had room for. All is finite: nothing new is asked of the kernel meanwhile. */
        if (count == 0 || !uring_has_flag(self, IORING_SQ_CQ_OVERFLOW)) return;
        io_uring_get_events(&self->ring);
    }
}

/* ------------------------------------------------------------------ handing over */

void uring_submit(struct uring_loop *self) {
    uring_start(self);
    while (io_uring_sq_ready(&self->ring) > 0) {
        /* Refused only for want of memory, or of room for answers; the loop makes some. */
        io_uring_submit(&self->ring);
        uring_answers_take(self);
    }
    uring_outbox_empty(self);
}

static struct io_uring_sqe *request_take(struct uring_loop *self) {
    struct io_uring_sqe *request = io_uring_get_sqe(&self->ring);
    if (request) return request;
    uring_submit(self);
    return io_uring_get_sqe(&self->ring);
}

/* ------------------------------------------------------------------ requests */

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

void uring_poll_wake(struct uring_loop *self) {
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
void uring_changes_apply(struct uring_loop *self) {
    while (self->changed_count > 0) {
        uint32_t number = self->changed[--self->changed_count];
        self->slots[number].is_changed = false;
        slot_apply(self, number);
    }
}
