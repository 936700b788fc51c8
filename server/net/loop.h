/* The loop: what a worker asks of the kernel, in terms that fit completion (io_uring) as well as readiness
 * (epoll).
 *
 * A turn is loop_wait, then loop_deliver. Bytes are delivered where they landed, and belong to the loop again
 * when the handler returns; what is to be kept is copied by the receiver. One loop belongs to one thread;
 * only loop_wake may be called from others. */
#ifndef SERVER_NET_LOOP_H
#define SERVER_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;

/* Bytes before delivered data that the receiver may write to: it puts what it had kept of an unfinished
 * request there, and so has both in one piece without copying what came. */
#define LOOP_HEADROOM 16384
/* The most that is received to the loop's own memory at once. */
#define LOOP_RECEIVE_MOST 65536
/* The most parts that one loop_send takes. */
#define LOOP_PARTS_MOST 64

/* One socket's end; embedded in a connection or a listener. Fields belong to the loop. */
struct stream {
    int fd;
    uint32_t interest; /* the back end's own: what it has asked the kernel for, or where it keeps that */
    uint32_t kept;     /* memory of what loop_send took, and the socket had no room for yet */
    bool is_listening : 1;
    bool is_receiving : 1; /* wants bytes */
    bool is_sending : 1;   /* not all could be sent; `sendable` is due */
    bool is_closed : 1;    /* loop_close was called; no handler is called any more */
    bool is_detached : 1;  /* the kernel isn't asked about it at all, until it receives or sends again */
    bool is_bulky : 1;     /* loop_expect_bulk was called, and what it says still holds */
    /* The owner's to set and to know: a unix socket; what is sent and received are records of TLS. */
    bool is_unix : 1;
    bool is_tls : 1;
    bool is_apart : 1; /* loop_set_apart */
    char *space;       /* if not NULL, the next bytes go here */
    size_t space_length;
};
_Static_assert(sizeof(struct stream) <= 32, "each connection has one, and most are idle");

struct loop_handlers {
    /* A new connection on a listening stream. fd is non-blocking and close-on-exec, and now the handler's. fd
     * < 0: -errno, there was one but it could not be taken for want of descriptors or memory; it is still
     * there, so better stop listening for a while. */
    void (*accepted)(void *context, struct stream *listener, int fd);
    /* length > 0: bytes at data, which is stream->space as given to loop_receive_into or has LOOP_HEADROOM
     * bytes before it; data[length] may be read. 0: the peer has closed its side. < 0: -errno. After
     * loop_set_receiving(false) may come for what has arrived by then. */
    void (*received)(void *context, struct stream *stream, char *data, ssize_t length);
    /* May be NULL, and never called. What received() is about to bring, told for all streams of the turn
     * before the first of them, so that what they will need can be fetched meanwhile; stream NULL: that was
     * all. Nothing may be done about it yet. */
    void (*arrived)(void *context, const struct stream *stream, char *data, size_t length);
    /* A loop_send that was refused in part may be tried again. */
    void (*sendable)(void *context, struct stream *stream);
    /* loop_wake was called. */
    void (*woken)(void *context);
};

/* backend: "io_uring", "epoll", or "auto" for the first of them that there is. NULL with errno. */
struct loop *loop_create(const char *backend, const struct loop_handlers *handlers, void *context);
/* Streams that were not closed stay open. */
void loop_free(struct loop *loop);
const char *loop_backend_name(const struct loop *loop);

/* fd is a bound and listening socket; several loops may listen on the same one. false with errno. */
bool loop_listen(struct loop *loop, struct stream *stream, int fd);
void loop_set_listening(struct loop *loop, struct stream *stream,
                        bool is_on); /* stop accepting (maxclients' fds used up, shutdown) */
/* Forgets the stream; the fd stays the caller's. It may then be used for another one at once. */
void loop_unlisten(struct loop *loop, struct stream *stream);
/* Takes a connected non-blocking fd; receiving at once. false with errno; then the fd is still the
 * caller's. */
bool loop_add(struct loop *loop, struct stream *stream, int fd);
/* Stops or resumes delivery: a client that doesn't read its replies isn't read either. A broken connection is
 * told all the same. */
void loop_set_receiving(struct loop *loop, struct stream *stream, bool is_on);
/* The next bytes (until `length` of them have come) are received straight to `space`, which received() then
 * reports as data. One byte more than `length` is readable there. NULL and 0: not any more. */
void loop_receive_into(struct loop *loop, struct stream *stream, char *space, size_t length);
/* What the stream sends is large: what comes is received to `space` without a copy, and of what comes next
 * only the head to the loop's memory, until such a head asks for no space. */
void loop_expect_bulk(struct loop *loop, struct stream *stream);
/* Bytes that have arrived and not been delivered, with the kernel or the loop. */
size_t loop_unread(struct loop *loop, const struct stream *stream);
/* Sends what the socket takes now, of at most LOOP_PARTS_MOST parts. Returns how many bytes, or -errno for a
 * broken connection. If fewer than asked, sendable() will come. A few bytes may be taken and sent only when
 * the turn ends; if the socket then has no room for them, the loop keeps them, takes no more for the time
 * being, and sendable() comes as well; if the connection then proves to be broken, received() tells. */
ssize_t loop_send(struct loop *loop, struct stream *stream, const struct iovec *parts, int count);
/* Hands what loop_send took to the socket, before something else is done with it, like shutdown. false: it
 * has no room for all of it, and sendable() will come. */
bool loop_flush(struct loop *loop, struct stream *stream);
/* Memory of what it keeps for all its streams because sockets had no room for it: the sum of their `kept`.
 * Any thread. */
uint64_t loop_kept(const struct loop *loop);
/* Of that, the part of those streams for which this was said last. It stays so when a stream goes to another
 * loop. */
uint64_t loop_kept_apart(const struct loop *loop);
void loop_set_apart(struct loop *loop, struct stream *stream, bool is_on);
/* Parts with a stream that has nothing unsent. True when the kernel does nothing for it here any more and all
 * that it did has been delivered: then the fd is the caller's again, for another loop to take. Else what is
 * under way is being stopped; call again after the next turn. What had arrived may be delivered meanwhile,
 * but nothing that comes later; loop_set_receiving(true) calls it all off. Not from a handler. */
bool loop_release(struct loop *loop, struct stream *stream);
/* Forgets the stream and closes its fd, after handing over what loop_send took as far as there is room. The
 * struct may be freed once the turn is over (the worker frees connections at the turn's end). */
void loop_close(struct loop *loop, struct stream *stream);

/* Waits for something to happen, at most `milliseconds` (-1: for ever, 0: only looks). Returns how many
 * streams it happened to. */
int loop_wait(struct loop *loop, int milliseconds);
/* Calls the handlers for what the wait found. Bounded: one receive of at most 64 KB per stream, more only
 * into space of its own. */
void loop_deliver(struct loop *loop);
/* Any thread: makes the wait return, or the next one not wait. Cheap if already woken, or if the loop is not
 * waiting. */
void loop_wake(struct loop *loop);

#endif
