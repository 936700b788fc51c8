/* The io_uring back end's own header: for loop_uring*.c only. loop_uring.c has the idea. */
#ifndef SERVER_NET_LOOP_URING_H
#define SERVER_NET_LOOP_URING_H

#include <liburing.h>
#include <stdatomic.h>

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

static inline struct uring_loop *uring_of(struct loop *loop) {
    return (struct uring_loop *)loop;
}

static inline uint64_t user_data(uint32_t slot, enum tag tag) {
    return (uint64_t)slot << TAG_BITS | tag;
}

static inline bool uring_has_flag(const struct uring_loop *self, unsigned flag) {
    return IO_URING_READ_ONCE(*self->ring.sq.kflags) & flag;
}

static inline char *uring_buffer_at(const struct uring_loop *self, uint32_t number) {
    return self->buffers + number * BUFFER_STRIDE + LOOP_HEADROOM;
}

/* loop_uring.c */
/* On the loop's own thread, before anything is asked of the kernel. */
void uring_start(struct uring_loop *self);
/* The stream's wishes, or what the kernel does for it, may have changed. */
void uring_slot_change(struct uring_loop *self, uint32_t number);
/* The kernel may use the buffer again, from the next wait on. */
void uring_buffer_give(struct uring_loop *self, uint32_t number);
/* Twice as many buffers. */
void uring_buffers_grow(struct uring_loop *self);

/* loop_uring_ask.c */
/* Takes all answers from the kernel. Those to sends are worked on at once, the others become events. */
void uring_answers_take(struct uring_loop *self);
void uring_event_add(struct uring_loop *self, const struct io_uring_cqe *answer);
/* Hands all requests over. Afterwards every send has been worked on. */
void uring_submit(struct uring_loop *self);
void uring_poll_wake(struct uring_loop *self);
/* Has the kernel do what the streams want by now. */
void uring_changes_apply(struct uring_loop *self);

/* loop_uring_send.c */
ssize_t uring_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count);
bool uring_flush(struct loop *loop, struct stream *stream);
/* The kernel's answer to a bundle of which it has not taken all. */
void uring_send_answered(struct uring_loop *self, const struct bundle *bundle, int result);
/* The socket has room again: sends the slot's rest. False if not all of it went, and the stream is told of an
 * error later. */
bool uring_rest_send(struct uring_loop *self, uint32_t number);
void uring_rest_drop(struct uring_loop *self, struct slot *slot);
/* All that was in it has been handed over. */
void uring_outbox_empty(struct uring_loop *self);

/* loop_uring_deliver.c */
void uring_deliver(struct loop *loop);

#endif
