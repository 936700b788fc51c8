/* Any bytes at the layer that speaks TLS: it must not crash, read or write out of bounds, leak, or make up
 * bytes.
 *
 * An input's first byte chooses a protocol and whether a real handshake comes first; the others are what the
 * other end and the server do in turn: bytes of the input as they are, records that are whole, cut or
 * changed, new keys, answers while the socket takes them or doesn't, and moves to another worker. As long as
 * no record was changed, each end reads what the other has written, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/config/config.h"
#include "server/net/tls.h"
#include "server/net/tls_stream.h"
#include "input.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What either end writes: the letters in turn, so that it is known by its place. */
static char letters[1 << 17];
#define LETTERS_HALF (sizeof letters / 2)
#define ACTS_MOST 64
#define NUMBER_MOST 40000

static struct loop *loop;
static SSL_CTX *client_context;
static counter counted[2], shaking[2];
static struct tls_side *sides[2];

static void ignore_received(void *context, struct stream *stream, char *data, ssize_t length) {
    (void)context, (void)stream, (void)data, (void)length;
}

static void ignore_sendable(void *context, struct stream *stream) {
    (void)context, (void)stream;
}

/* A certificate that certifies itself, for the server. */
static void certificate_make(const char *certificate_path, const char *key_path) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(certificate_path, "we");
    CHECK(file && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = fopen(key_path, "we");
    CHECK(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    char folder[] = "/tmp/latchkey-tls-fuzz-XXXXXX", certificate[64], key[64];
    tls_count_memory();
    CHECK(mkdtemp(folder) != NULL);
    snprintf(certificate, sizeof certificate, "%s/crt", folder);
    snprintf(key, sizeof key, "%s/key", folder);
    certificate_make(certificate, key);
    char *options[] = {"latchkey", "--tls-cert-file",    certificate, "--tls-key-file",
                       key,        "--tls-auth-clients", "no",        "--loglevel",
                       "nothing"};
    CHECK(config_load(sizeof options / sizeof *options, options) && tls_start());
    unlink(certificate);
    unlink(key);
    rmdir(folder);
    static const struct loop_handlers handlers = {.received = ignore_received, .sendable = ignore_sendable};
    loop = loop_create("epoll", &handlers, NULL);
    client_context = SSL_CTX_new(TLS_client_method());
    CHECK(loop && client_context);
    for (int i = 0; i < 2; i++) sides[i] = tls_side_create(loop, &counted[i], &counted[i], &shaking[i]);
    for (size_t i = 0; i < sizeof letters; i++) letters[i] = (char)('a' + i % 23);
    return 0;
}

/* ------------------------------------------------------------------ both ends */

struct ends {
    struct stream stream;
    struct tls_stream tls;
    int side;
    int fd;   /* the client's end */
    SSL *ssl; /* the client */
    BIO *to_client, *from_client;
    size_t client_wrote, server_read, server_wrote, client_read; /* places among the letters */
    bool is_changed; /* a record was, or bytes of the input came */
    char *space;
    size_t space_length;
};

static void server_take(struct ends *ends) {
    for (;;) {
        char *data;
        size_t length = tls_take(&ends->tls, &data);
        if (length == 0) break;
        CHECK(ends->space == NULL ||
              (data >= ends->space && data + length <= ends->space + ends->space_length));
        CHECK(ends->server_read + length <= ends->client_wrote);
        CHECK(memcmp(data, letters + ends->server_read, length) == 0);
        ends->server_read += length;
        if (ends->space == NULL || data + length == ends->space + ends->space_length) {
            free(ends->space);
            ends->space = NULL;
        }
    }
    if (!ends->is_changed) CHECK(ends->tls.state != TLS_BROKEN);
}

/* Bytes of the client in memory that is no longer than they are. */
static void server_receive(struct ends *ends, const char *data, size_t length) {
    if (length == 0 || ends->tls.state > TLS_OPEN) return;
    char *copy = malloc(length);
    CHECK(copy != NULL);
    memcpy(copy, data, length);
    tls_feed(&ends->tls, copy, length);
    tls_shake(&ends->tls);
    server_take(ends);
    free(copy);
}

/* What the client has to say goes over, in pieces and perhaps changed. */
static void client_flush(struct ends *ends, size_t piece, size_t changed) {
    char *bytes;
    size_t length = (size_t)BIO_get_mem_data(ends->from_client, &bytes);
    if (length == 0) return;
    char *copy = malloc(length);
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    (void)BIO_reset(ends->from_client);
    if (changed != 0) {
        copy[changed % length] ^= (char)(1 << changed % 8);
        ends->is_changed = true;
    }
    if (piece == 0) piece = length;
    for (size_t at = 0; at < length; at += piece)
        server_receive(ends, copy + at, length - at < piece ? length - at : piece);
    free(copy);
}

/* The socket has room again. */
static void client_drain(struct ends *ends) {
    static char bytes[65536];
    for (bool goes_on = true; goes_on;) {
        ssize_t length;
        goes_on = false;
        while ((length = recv(ends->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
            CHECK(BIO_write(ends->to_client, bytes, (int)length) == length);
            goes_on = true;
        }
        ends->stream.is_sending = false;
        if (tls_kept(&ends->tls) == 0) continue;
        tls_flush(&ends->tls);
        goes_on = true;
    }
}

static void client_read_all(struct ends *ends) {
    char bytes[20000];
    client_drain(ends);
    for (;;) {
        size_t length = 0;
        if (SSL_read_ex(ends->ssl, bytes, sizeof bytes, &length) != 1) break;
        CHECK(ends->client_read + length <= ends->server_wrote);
        CHECK(memcmp(bytes, letters + LETTERS_HALF + ends->client_read, length) == 0);
        ends->client_read += length;
    }
    ERR_clear_error();
}

static void handshake(struct ends *ends) {
    for (int round = 0; round < 10 && ends->tls.state == TLS_SHAKING; round++) {
        SSL_do_handshake(ends->ssl);
        ERR_clear_error();
        client_flush(ends, 0, 0);
        client_drain(ends);
    }
    CHECK(ends->tls.state == TLS_OPEN);
    SSL_do_handshake(ends->ssl);
    ERR_clear_error();
}

static void begin(struct ends *ends, bool is_new, bool shakes) {
    int fds[2], least = 1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    CHECK(loop_add(loop, &ends->stream, fds[0]));
    ends->fd = fds[1];
    tls_stream_begin(&ends->tls, &ends->stream);
    tls_stream_attach(&ends->tls, sides[0]);
    ends->ssl = SSL_new(client_context);
    ends->to_client = BIO_new(BIO_s_mem());
    ends->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(ends->ssl, ends->to_client, ends->from_client);
    SSL_set_max_proto_version(ends->ssl, is_new ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_set_connect_state(ends->ssl);
    if (shakes) handshake(ends);
}

static void end(struct ends *ends) {
    tls_stream_end(&ends->tls);
    loop_close(loop, &ends->stream);
    close(ends->fd);
    SSL_free(ends->ssl);
    free(ends->space);
    CHECK(counter_read(&counted[0]) == 0 && counter_read(&counted[1]) == 0);
    CHECK(counter_read(&shaking[0]) == 0 && counter_read(&shaking[1]) == 0);
}

/* ------------------------------------------------------------------ what they do */

enum act { RAW, WRITE, CUT, CHANGE, ANSWER, READ, NEW_KEYS, SPACE, MOVE, END, ACTS };

static void client_write(struct ends *ends, size_t length) {
    size_t written = 0;
    if (!SSL_is_init_finished(ends->ssl)) return;
    if (length > LETTERS_HALF - ends->client_wrote) length = LETTERS_HALF - ends->client_wrote;
    if (length > 0 && SSL_write_ex(ends->ssl, letters + ends->client_wrote, length, &written) == 1)
        ends->client_wrote += written;
    ERR_clear_error();
}

static void server_write(struct ends *ends, size_t length, size_t cut) {
    if (length > LETTERS_HALF - ends->server_wrote) length = LETTERS_HALF - ends->server_wrote;
    char *first = letters + LETTERS_HALF + ends->server_wrote;
    if (cut > length) cut = length;
    struct iovec parts[3] = {{first, cut}, {first, 0}, {first + cut, length - cut}};
    ssize_t sent = tls_send(&ends->tls, parts, 3);
    CHECK(sent <= (ssize_t)length);
    if (sent > 0) ends->server_wrote += (size_t)sent;
    bool is_short = sent >= 0 && (size_t)sent < length && ends->tls.state == TLS_OPEN;
    CHECK(!is_short || ends->stream.is_sending);
}

static void give_space(struct ends *ends, size_t length) {
    if (ends->space || length == 0) return;
    ends->space = malloc(length);
    ends->space_length = length;
    CHECK(ends->space != NULL);
    tls_receive_into(&ends->tls, ends->space, length);
}

static void move(struct ends *ends) {
    tls_stream_detach(&ends->tls);
    ends->side = !ends->side;
    tls_stream_attach(&ends->tls, sides[ends->side]);
}

static void act(struct ends *ends, enum act act, const uint8_t *data, size_t size, size_t number) {
    switch (act) {
    case RAW:
        ends->is_changed = true;
        server_receive(ends, (const char *)data, size);
        break;
    case WRITE:
        client_write(ends, number);
        client_flush(ends, 0, 0);
        break;
    case CUT:
        client_write(ends, number);
        client_write(ends, 3);
        client_flush(ends, number % 700 + 1, 0);
        break;
    case CHANGE:
        client_write(ends, number);
        client_flush(ends, 0, number + 1);
        break;
    case ANSWER: server_write(ends, number, number / 3 * 2); break;
    case READ: client_read_all(ends); break;
    case NEW_KEYS:
        if (SSL_is_init_finished(ends->ssl) && SSL_version(ends->ssl) == TLS1_3_VERSION)
            SSL_key_update(ends->ssl, SSL_KEY_UPDATE_REQUESTED);
        ERR_clear_error();
        break;
    case SPACE: give_space(ends, number); break;
    case MOVE: move(ends); break;
    default: tls_say_end(&ends->tls); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, data + size};
    struct ends ends = {.fd = -1};
    uint8_t mode = input_byte(&input);
    bool has_ended = false;
    begin(&ends, mode & 1, mode & 2);
    for (int i = 0; i < ACTS_MOST && input.at < input.end; i++) {
        enum act next = (enum act)(input_byte(&input) % ACTS);
        size_t number = input_number(&input, 2) % NUMBER_MOST;
        const uint8_t *bytes = NULL;
        size_t taken = next == RAW ? input_take(&input, number, &bytes) : 0;
        has_ended = has_ended || next == END;
        act(&ends, next, bytes, taken, number);
    }
    if (!ends.is_changed && ends.tls.state == TLS_OPEN && !has_ended) {
        tls_receive_into(&ends.tls, NULL, 0);
        free(ends.space);
        ends.space = NULL;
        client_flush(&ends, 0, 0);
        client_read_all(&ends);
        CHECK(ends.client_read == ends.server_wrote);
        CHECK(ends.server_read == ends.client_wrote);
    }
    end(&ends);
    return 0;
}
