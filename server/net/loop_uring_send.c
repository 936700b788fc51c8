/* Sending.
 *
 * Few bytes are copied to the outbox and handed over at the turn's end, with the wait. The kernel copies them
 * while it takes the request (it may not wait, MSG_DONTWAIT), so the outbox is empty again afterwards, and
 * says something only if it did not take all: then the rest is kept here until the socket has room. Its
 * answers are looked at after each hand-over, before anything else is sent, so a stream's bytes stay in order
 * if only one request of it is in the outbox. Many bytes go by sendmsg at once. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "loop_uring.h"

void uring_rest_drop(struct uring_loop *self, struct slot *slot) {
    if (!slot->rest) return;
    stream_keep(&self->loop, slot->stream, 0);
    free(slot->rest);
    slot->rest = NULL;
}

/* For what the socket didn't take of a stream's bytes: their memory counts until they are sent. */
static bool rest_keep(struct uring_loop *self, struct slot *slot, const char *data, uint32_t length) {
    size_t size = sizeof *slot->rest + length;
    assert(!slot->rest && slot->stream->kept == 0 && "a stream that is owed a rest takes no more");
    slot->rest = malloc(size);
    if (!slot->rest) return false;
    *slot->rest = (struct rest){.length = length};
    memcpy(slot->rest->data, data, length);
    stream_keep(&self->loop, slot->stream, (uint32_t)size);
    return true;
}

/* The stream is told when the answers are delivered, and by its next loop_send. */
static void send_failed(struct uring_loop *self, uint32_t number, int error) {
    struct slot *slot = &self->slots[number];
    slot->error = (uint16_t)error;
    if (slot->is_broken) return;
    slot->is_broken = true;
    struct io_uring_cqe broken = {.user_data = user_data(number, TAG_BROKEN)};
    uring_event_add(self, &broken);
}

/* The socket has taken only some of a bundle, or nothing. */
void uring_send_answered(struct uring_loop *self, const struct bundle *bundle, int result) {
    struct slot *slot = &self->slots[bundle->slot];
    if (result < 0 && result != -EAGAIN && result != -ENOBUFS && result != -ENOMEM && result != -EINTR) {
        send_failed(self, bundle->slot, -result);
        return;
    }
    uint32_t sent = result > 0 ? (uint32_t)result : 0;
    if (sent >= bundle->length) return;
    if (!rest_keep(self, slot, self->outbox + bundle->start + sent, bundle->length - sent)) {
        send_failed(self, bundle->slot, ENOMEM);
        return;
    }
    slot->stream->is_sending = true;
    uring_slot_change(self, bundle->slot);
}

void uring_outbox_empty(struct uring_loop *self) {
    self->outbox_used = 0;
    self->bundle_count = 0;
    self->batch++;
}

bool uring_rest_send(struct uring_loop *self, uint32_t number) {
    struct slot *slot = &self->slots[number];
    struct rest *rest = slot->rest;
    struct iovec part = {rest->data + rest->sent, rest->length - rest->sent};
    ssize_t sent = stream_send(slot->stream, &part, 1);
    if (sent > 0) rest->sent += (uint32_t)sent;
    if (slot->stream->is_sending) return false;
    uring_rest_drop(self, slot);
    if (sent < 0) send_failed(self, number, (int)-sent);
    return sent >= 0;
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

ssize_t uring_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return -EPIPE;
    uint32_t number = stream->interest;
    size_t length = parts_length(parts, count);
    bool is_small = length <= SEND_SMALL;
    bool is_in_outbox = self->slots[number].batch == self->batch;
    bool fits = is_small && self->outbox_used + length <= OUTBOX_SIZE &&
                (is_in_outbox ? bundle_of(self, number) != NULL : io_uring_sq_space_left(&self->ring) > 0);
    if (is_small ? !fits : is_in_outbox) uring_submit(self);
    const struct slot *slot = &self->slots[number];
    if (slot->error) return -slot->error;
    if (stream->is_sending || length == 0) return 0;
    if (is_small) {
        struct bundle *bundle = bundle_of(self, number);
        outbox_add(self, bundle ? bundle : bundle_begin(self, number), parts, count);
        return (ssize_t)length;
    }
    ssize_t sent = stream_send(stream, parts, count);
    if (stream->is_sending) uring_slot_change(self, number);
    return sent;
}

bool uring_flush(struct loop *loop, struct stream *stream) {
    struct uring_loop *self = uring_of(loop);
    if (stream->is_closed) return true;
    if (self->slots[stream->interest].batch == self->batch) uring_submit(self);
    return !self->slots[stream->interest].rest;
}
