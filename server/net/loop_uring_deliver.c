/* Delivering: the events of a turn, each to its stream's handlers.
 *
 * A large argument's space is filled from the buffers as long as bytes come that way; if much is missing, the
 * receive is cancelled, and the stream is read when it is readable, as long as what it sends is large. The
 * kernel never has an address of memory that isn't the loop's: whoever owns the space may free it at any
 * time. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "loop_uring.h"

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
    uring_slot_change(self, number);
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
        if (!self->buffers_were_short) uring_buffers_grow(self);
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
        deliver_bytes(self, number, uring_buffer_at(self, buffer), (size_t)event->res);
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
        uring_slot_change(self, number);
    }
    if (slot->stream) deliver_result(self, number, event);
    if (event->flags & IORING_CQE_F_BUFFER) uring_buffer_give(self, event->flags >> IORING_CQE_BUFFER_SHIFT);
    return true;
}

/* The socket has room again. */
static void deliver_sendable(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    struct stream *stream = slot->stream;
    stream->is_sending = false; /* loop_send sets it again if need be */
    if (slot->rest && !uring_rest_send(self, number)) return;
    self->loop.handlers.sendable(self->loop.context, stream);
}

static void deliver_polled(struct uring_loop *self, uint32_t number, int events, bool has_ended) {
    struct slot *slot = &self->slots[number];
    if (has_ended) slot->is_polled = slot->is_poll_cancelled = false;
    uring_slot_change(self, number);
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
    uring_slot_change(self, number);
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
        char *data = uring_buffer_at(self, event->flags >> IORING_CQE_BUFFER_SHIFT);
        self->loop.handlers.arrived(self->loop.context, stream, data, (size_t)event->res);
    }
    self->loop.handlers.arrived(self->loop.context, NULL, NULL, 0);
}

/* Events that come meanwhile, by a hand-over within the turn, stay for the next one, behind those that were
 * put off. */
void uring_deliver(struct loop *loop) {
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
