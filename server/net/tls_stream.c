/* The filter. Each call that may make OpenSSL write begins with an empty outbox and ends with one: what it
 * has written goes to the loop in one piece, however many records it is. */
#include "tls_stream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"

/* What a record holds at most, and what it may be longer than that, whatever the cipher. */
#define RECORD_MOST ((size_t)16384)
#define RECORD_MORE ((size_t)512)
/* Of plain bytes so many are encrypted before the loop gets them. */
#define BATCH_RECORDS 4
#define OUTBOX_SIZE (BATCH_RECORDS * (RECORD_MOST + RECORD_MORE))
/* Records that wait for the socket: a batch, and what the library answers meanwhile (new keys, as often as
 * the other end wants). Whoever makes it more takes nothing of what it asks for. */
#define KEPT_MOST (4 * OUTBOX_SIZE)
#define WHY_SIZE 120

struct tls_side {
    struct loop *loop;
    counter *bytes, *bytes_apart, *bytes_shaking;
    size_t outbox_length;
    char outbox[OUTBOX_SIZE];
    char gathered[RECORD_MOST];
    char plain[LOOP_HEADROOM + LOOP_RECEIVE_MOST + 1];
};

/* ------------------------------------------------------------------ making and ending */

struct tls_side *tls_side_create(struct loop *loop, counter *bytes, counter *bytes_apart,
                                 counter *bytes_shaking) {
    struct tls_side *side = malloc(sizeof *side);
    if (!side) return NULL;
    side->loop = loop;
    side->bytes = bytes;
    side->bytes_apart = bytes_apart;
    side->bytes_shaking = bytes_shaking;
    side->outbox_length = 0;
    return side;
}

void tls_side_free(struct tls_side *side) {
    free(side);
}

static void count(const struct tls_stream *tls, int64_t bytes) {
    counter_add(tls->side->bytes, (uint64_t)bytes); /* modulo 2^64 */
    if (tls->stream->is_apart) counter_add(tls->side->bytes_apart, (uint64_t)bytes);
    if (tls->state == TLS_SHAKING) counter_add(tls->side->bytes_shaking, (uint64_t)bytes);
}

static void become(struct tls_stream *tls, enum tls_state state) {
    if (tls->state == TLS_SHAKING && state != TLS_SHAKING && tls->side)
        counter_subtract(tls->side->bytes_shaking, (uint64_t)tls->bytes);
    tls->state = state;
}

static void bytes_add(struct tls_stream *tls, int64_t bytes) {
    tls->bytes += bytes;
    if (tls->side) count(tls, bytes);
}

void tls_stream_begin(struct tls_stream *tls, struct stream *stream) {
    *tls = (struct tls_stream){.stream = stream};
}

void tls_stream_end(struct tls_stream *tls) {
    tls_stream_detach(tls);
    SSL_free(tls->ssl);
    free(tls->kept);
    free(tls->why);
    *tls = (struct tls_stream){.state = TLS_BROKEN};
}

void tls_stream_attach(struct tls_stream *tls, struct tls_side *side) {
    assert(!tls->side && side);
    tls->side = side;
    count(tls, tls->bytes);
}

void tls_stream_detach(struct tls_stream *tls) {
    if (!tls->side) return;
    count(tls, -tls->bytes);
    tls->side = NULL;
}

int64_t tls_stream_counted(const struct tls_stream *tls) {
    return tls->bytes;
}

size_t tls_stream_bytes(const struct tls_stream *tls) {
    return tls->bytes > 0 ? (size_t)tls->bytes : 0;
}

const char *tls_stream_version(const struct tls_stream *tls) {
    return tls->ssl && tls->state != TLS_SHAKING ? SSL_get_version(tls->ssl) : "";
}

const char *tls_stream_cipher(const struct tls_stream *tls) {
    return tls->ssl && tls->state != TLS_SHAKING ? SSL_get_cipher_name(tls->ssl) : "";
}

/* ------------------------------------------------------------------ what is sent */

static void break_off(struct tls_stream *tls, int error) {
    if (tls->state == TLS_BROKEN) return;
    become(tls, TLS_BROKEN);
    tls->error = error;
}

/* Behind what is kept already. */
static void keep(struct tls_stream *tls, const char *data, size_t length) {
    if (length == 0 || tls->state == TLS_BROKEN) return;
    size_t needed = tls->kept_length + length;
    if (needed > KEPT_MOST) {
        break_off(tls, -ENOBUFS);
        return;
    }
    if (tls->kept_start + needed > tls->kept_capacity) {
        if (tls->kept_start > 0) memmove(tls->kept, tls->kept + tls->kept_start, tls->kept_length);
        tls->kept_start = 0;
        if (needed > tls->kept_capacity) {
            char *memory = realloc(tls->kept, needed);
            if (!memory) {
                break_off(tls, -ENOMEM);
                return;
            }
            bytes_add(tls, (int64_t)(needed - tls->kept_capacity));
            tls->kept = memory;
            tls->kept_capacity = needed;
        }
    }
    memcpy(tls->kept + tls->kept_start + tls->kept_length, data, length);
    tls->kept_length += length;
}

static void kept_free(struct tls_stream *tls) {
    bytes_add(tls, -(int64_t)tls->kept_capacity);
    free(tls->kept);
    tls->kept = NULL;
    tls->kept_start = tls->kept_length = tls->kept_capacity = 0;
}

size_t tls_kept(const struct tls_stream *tls) {
    return tls->state == TLS_BROKEN ? 0 : tls->kept_length;
}

bool tls_flush(struct tls_stream *tls) {
    if (tls->kept_length == 0) return true;
    struct iovec part = {tls->kept + tls->kept_start, tls->kept_length};
    ssize_t sent = loop_send(tls->side->loop, tls->stream, &part, 1);
    if (sent < 0) {
        break_off(tls, (int)sent);
        return false;
    }
    tls->kept_start += (size_t)sent;
    tls->kept_length -= (size_t)sent;
    if (tls->kept_length > 0) return false;
    kept_free(tls);
    return true;
}

/* Hands over what the library has written. */
static void outbox_empty(struct tls_stream *tls) {
    struct tls_side *side = tls->side;
    size_t length = side->outbox_length;
    if (length == 0) return;
    side->outbox_length = 0;
    ssize_t sent = 0;
    if (tls->kept_length == 0 && !tls->stream->is_sending) {
        struct iovec part = {side->outbox, length};
        sent = loop_send(side->loop, tls->stream, &part, 1);
    }
    if (sent < 0)
        break_off(tls, (int)sent);
    else
        keep(tls, side->outbox + sent, length - (size_t)sent);
}

/* ------------------------------------------------------------------ the library's end */

static int on_write(BIO *bio, const char *data, size_t length, size_t *written) {
    struct tls_stream *tls = BIO_get_data(bio);
    struct tls_side *side = tls->side;
    *written = 0;
    if (length > OUTBOX_SIZE - side->outbox_length) outbox_empty(tls);
    if (tls->state == TLS_BROKEN) return 0;
    if (length > OUTBOX_SIZE) length = OUTBOX_SIZE; /* the library goes on with the rest */
    memcpy(side->outbox + side->outbox_length, data, length);
    side->outbox_length += length;
    *written = length;
    return 1;
}

static int on_read(BIO *bio, char *out, size_t size, size_t *read) {
    struct tls_stream *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *read = size < tls->fed_length ? size : tls->fed_length;
    if (*read == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, tls->fed, *read);
    tls->fed += *read;
    tls->fed_length -= *read;
    return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method_create(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "latchkey");
    if (!method) return NULL;
    BIO_meth_set_write_ex(method, on_write);
    BIO_meth_set_read_ex(method, on_read);
    BIO_meth_set_ctrl(method, on_control);
    return method;
}

/* Made by the first connection, and kept. */
static BIO_METHOD *method_at_hand(void) {
    static _Atomic(BIO_METHOD *) method;
    BIO_METHOD *present = atomic_load(&method), *nothing = NULL;
    if (present) return present;
    BIO_METHOD *fresh = method_create();
    if (!fresh || atomic_compare_exchange_strong(&method, &nothing, fresh)) return fresh;
    BIO_meth_free(fresh);
    return nothing;
}

/* What a call of the library changes of this connection's memory is seen from what it changes of the
 * thread's. Of errors only those of the call are to be found after it. */
static int64_t call_begin(void) {
    if (ERR_peek_error() != 0) ERR_clear_error();
    return tls_memory();
}

/* A call may also give back what was kept for others: sessions of clients that went, when they are too old.
 * Of what isn't its own a connection can give nothing back. */
static void call_end(struct tls_stream *tls, int64_t before) {
    outbox_empty(tls);
    int64_t more = tls_memory() - before, own = tls->bytes - (int64_t)tls->kept_capacity;
    if (more < -own) more = -own;
    if (more != 0) bytes_add(tls, more);
}

/* A call didn't do all that it was asked for. */
static void call_failed(struct tls_stream *tls, int outcome) {
    char text[WHY_SIZE];
    switch (SSL_get_error(tls->ssl, outcome)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return;
    case SSL_ERROR_ZERO_RETURN:
        if (tls->state != TLS_BROKEN) become(tls, TLS_ENDED);
        return;
    default:
        outbox_empty(tls); /* an alert, behind which comes nothing */
        if (tls->state == TLS_BROKEN) return;
        tls_error(text, sizeof text, &tls->reason);
        tls->why = strdup(text); /* without memory the words are the system's */
        break_off(tls, -EPROTO);
    }
}

/* ------------------------------------------------------------------ handshake */

static void library_open(struct tls_stream *tls) {
    BIO_METHOD *method = method_at_hand();
    BIO *bio = method ? BIO_new(method) : NULL;
    SSL *ssl = bio ? tls_open() : NULL;
    if (!ssl) {
        BIO_free(bio);
        break_off(tls, -ENOMEM);
        return;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    tls->ssl = ssl;
}

void tls_shake(struct tls_stream *tls) {
    if (tls->state != TLS_SHAKING) return;
    int64_t before = call_begin();
    if (!tls->ssl) library_open(tls);
    if (tls->ssl) {
        int outcome = SSL_do_handshake(tls->ssl);
        if (outcome != 1)
            call_failed(tls, outcome);
        else if (tls->state == TLS_SHAKING)
            become(tls, TLS_OPEN);
    }
    call_end(tls, before);
}

/* ------------------------------------------------------------------ received */

void tls_feed(struct tls_stream *tls, const char *data, size_t length) {
    assert((tls->fed_length == 0 || tls->state > TLS_OPEN) && "what was fed before has been used up");
    tls->fed = data;
    tls->fed_length = length;
}

/* Bytes that are to be read have come, or may have: the library doesn't tell of less than a record. */
static bool has_more(const struct tls_stream *tls) {
    return tls->fed_length > 0 || SSL_has_pending(tls->ssl);
}

/* A call reads one record at most. */
static size_t fill(struct tls_stream *tls, char *out, size_t size) {
    size_t filled = 0;
    while (filled < size && has_more(tls)) {
        size_t length = 0;
        int outcome = SSL_read_ex(tls->ssl, out + filled, size - filled, &length);
        if (outcome != 1) {
            call_failed(tls, outcome);
            break;
        }
        filled += length;
    }
    return filled;
}

size_t tls_take(struct tls_stream *tls, char **data) {
    if (tls->state != TLS_OPEN || !has_more(tls)) return 0;
    int64_t before = call_begin();
    *data = tls->space ? tls->space : tls->side->plain + LOOP_HEADROOM;
    size_t length = fill(tls, *data, tls->space ? tls->space_length : LOOP_RECEIVE_MOST);
    call_end(tls, before);
    if (tls->space) tls_receive_into(tls, tls->space + length, tls->space_length - length);
    return length;
}

void tls_receive_into(struct tls_stream *tls, char *space, size_t length) {
    tls->space = length ? space : NULL;
    tls->space_length = length;
}

/* ------------------------------------------------------------------ sent */

struct place {
    const struct iovec *parts;
    int count;
    size_t sent; /* of the first of them */
};

static void place_advance(struct place *place, size_t length) {
    while (place->count > 0) {
        size_t left = place->parts->iov_len - place->sent;
        if (length < left) {
            place->sent += length;
            return;
        }
        length -= left;
        place->sent = 0;
        place->parts++;
        place->count--;
    }
}

/* The next record's bytes: where they are if they are in one piece, else put together. */
static const char *place_record(const struct place *place, char *gathered, size_t *length) {
    const struct iovec *part = place->parts;
    const char *first = (const char *)part->iov_base + place->sent;
    size_t left = part->iov_len - place->sent;
    if (place->count == 1 || left >= RECORD_MOST) {
        *length = left < RECORD_MOST ? left : RECORD_MOST;
        return first;
    }
    *length = 0;
    for (int i = 0; i < place->count && *length < RECORD_MOST; i++) {
        size_t from = i == 0 ? place->sent : 0, size = part[i].iov_len - from;
        if (size > RECORD_MOST - *length) size = RECORD_MOST - *length;
        if (size > 0) memcpy(gathered + *length, (const char *)part[i].iov_base + from, size);
        *length += size;
    }
    return gathered;
}

ssize_t tls_send(struct tls_stream *tls, const struct iovec *parts, int count) {
    if (tls->state == TLS_BROKEN) return tls->error;
    if (tls->state == TLS_SHAKING || tls->kept_length > 0 || tls->stream->is_sending) return 0;
    struct place place = {.parts = parts, .count = count};
    int64_t before = call_begin();
    ssize_t taken = 0;
    place_advance(&place, 0); /* empty ones */
    for (int records = 1; place.count > 0; records++) {
        size_t length, written = 0;
        const char *data = place_record(&place, tls->side->gathered, &length);
        int outcome = SSL_write_ex(tls->ssl, data, length, &written);
        if (outcome != 1) {
            call_failed(tls, outcome);
            break;
        }
        taken += (ssize_t)written;
        place_advance(&place, written);
        if (records % BATCH_RECORDS == 0) outbox_empty(tls);
        if (tls->kept_length > 0 || tls->stream->is_sending) break;
    }
    call_end(tls, before);
    return tls->state == TLS_BROKEN ? tls->error : taken;
}

void tls_say_end(struct tls_stream *tls) {
    if (!tls->side || !tls->ssl || tls->has_said_end || tls->state == TLS_SHAKING || tls->state == TLS_BROKEN)
        return;
    tls->has_said_end = true;
    int64_t before = call_begin();
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
    call_end(tls, before);
}

/* ------------------------------------------------------------------ what went wrong */

const char *tls_stream_why(const struct tls_stream *tls, const char **advice) {
    *advice = "";
    switch (tls->reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_PROTOCOL_VERSION_NUMBER:
        *advice = "It doesn't speak TLS: connect it to 'port', or tell it to use TLS (redis-cli --tls).";
        break;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        *advice =
            "It shows no certificate: give it one that tls-ca-cert-file or tls-ca-cert-dir has signed, or "
            "set 'tls-auth-clients' to optional or no.";
        break;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        *advice = "Its certificate isn't signed by what is in tls-ca-cert-file or tls-ca-cert-dir, or isn't "
                  "valid now.";
        break;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        *advice = "It doesn't trust tls-cert-file: give it the certificate of whoever has signed that, and "
                  "look at its name and its end.";
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        *advice = "See 'tls-protocols', 'tls-ciphers' and 'tls-ciphersuites', and what it is able to.";
        break;
    default: break;
    }
    return tls->why ? tls->why : strerror(-tls->error);
}
