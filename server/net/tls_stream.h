/* A connection by TLS: a filter between a stream of the loop and who reads and writes plain bytes.
 *
 *     loop's received() --> tls_feed --> tls_take --> plain bytes, in the worker's memory or in a space
 *                                           '-- (handshake, alerts, new keys) --.
 *     loop_send <------------------ records <------------------------------------+-- tls_send <-- plain bytes
 *
 * OpenSSL reads what the loop delivered where it landed, and writes records to memory of the worker, which
 * are sent before the call ends; what the socket doesn't take is kept here. So the library never waits for
 * the socket, and between two calls it holds nothing of what has come but an unfinished record. Nothing here
 * is the loop's or a thread's own but `side`, and a connection that moves to another worker takes the
 * other's.
 *
 * A stream belongs to one worker at a time, and nobody else touches it. */
#ifndef SERVER_NET_TLS_STREAM_H
#define SERVER_NET_TLS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shard/base/counter.h"
#include "loop.h"

/* What a worker's connections by TLS share: memory for a call's bytes. */
struct tls_side;
/* *bytes: where it counts what its streams have, with what OpenSSL has for them; *bytes_apart: likewise, of
 * streams that are apart (loop_set_apart); *bytes_shaking: of those whose handshake isn't over. NULL without
 * memory. */
struct tls_side *tls_side_create(struct loop *loop, counter *bytes, counter *bytes_apart,
                                 counter *bytes_shaking);
void tls_side_free(struct tls_side *side);

enum tls_state {
    TLS_SHAKING, /* the handshake isn't over: nothing is sent or taken */
    TLS_OPEN,
    TLS_ENDED,  /* the other end will send nothing more */
    TLS_BROKEN, /* nothing can be received or sent any more; tls_stream_why tells why */
};

/* Embedded in a connection. Its fields are its own. */
struct tls_stream {
    struct stream *stream;
    struct tls_side *side; /* or NULL */
    struct ssl_st *ssl;    /* NULL until bytes have come */
    const char *fed;       /* not read by the library yet */
    size_t fed_length;
    char *space; /* as in struct stream */
    size_t space_length;
    char *kept; /* memory of records that wait; NULL if none do */
    size_t kept_start, kept_length, kept_capacity;
    int64_t bytes; /* counted */
    char *why;     /* of a broken one; NULL: the socket's error */
    int error;     /* of the socket, as -errno */
    int reason;    /* SSL_R_..., of a broken one */
    enum tls_state state : 8;
    bool has_said_end;
};

/* It keeps the pointer to `stream`. OpenSSL is asked only when the first bytes come. */
void tls_stream_begin(struct tls_stream *tls, struct stream *stream);
/* Gives back what it has. Says nothing to the other end. */
void tls_stream_end(struct tls_stream *tls);
/* Whose it is now: its memory counts there, and what follows wants it to have a side, but for what only asks.
 * To detach one that is detached does nothing. */
void tls_stream_attach(struct tls_stream *tls, struct tls_side *side);
void tls_stream_detach(struct tls_stream *tls);

/* What the loop delivered; to be used up before the handler returns, by tls_take until that has nothing, or,
 * in the handshake, by tls_shake. */
void tls_feed(struct tls_stream *tls, const char *data, size_t length);
/* Goes on with the handshake as far as what was fed allows. The state tells what has become of it. */
void tls_shake(struct tls_stream *tls);
/* The next plain bytes, and how many: at *data, which is the space that was given for them, or memory of the
 * worker's with LOOP_HEADROOM bytes before it; one byte more may be read. 0: that was all. Then the state may
 * have changed. */
size_t tls_take(struct tls_stream *tls, char **data);
/* The next plain bytes go there, as with loop_receive_into. */
void tls_receive_into(struct tls_stream *tls, char *space, size_t length);

/* As loop_send, with plain bytes. What was taken and has no room in the socket is kept, as records. */
ssize_t tls_send(struct tls_stream *tls, const struct iovec *parts, int count);
/* The socket has room: false if some of what is kept is still left (sendable() will come), or the connection
 * is broken. */
bool tls_flush(struct tls_stream *tls);
/* Bytes of records that are kept, and will be sent. */
size_t tls_kept(const struct tls_stream *tls);
/* Tells the other end that nothing more comes, behind what was sent. Only the first call does. */
void tls_say_end(struct tls_stream *tls);

/* Its memory, OpenSSL's included, but not the struct's. */
size_t tls_stream_bytes(const struct tls_stream *tls);
/* The same as it is counted, for whoever moves it from one sum to another. */
int64_t tls_stream_counted(const struct tls_stream *tls);
/* Of a broken one: the library's words, or the system's, and what to do about it ("" if there is no
 * advice). Nothing in them is the client's. */
const char *tls_stream_why(const struct tls_stream *tls, const char **advice);
/* "TLSv1.3", "TLS_AES_256_GCM_SHA384"; "" before the handshake is over. */
const char *tls_stream_version(const struct tls_stream *tls);
const char *tls_stream_cipher(const struct tls_stream *tls);

#endif
