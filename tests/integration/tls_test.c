/* Clients by TLS: who is let in, that all works as it does without, and what a client can't do to others. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/x509.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/tls.h"

static struct tls_files files;

/* A server that also listens by TLS. */
struct both {
    struct server *server;
    int port; /* by TLS */
    redisContext *plain;
};

static struct both both_start(const char *const *more) {
    struct both both = {.port = port_free()};
    char port[16];
    snprintf(port, sizeof port, "%d", both.port);
    const char *options[48] = {"--threads",          "2",
                               "--tls-port",         port,
                               "--tls-cert-file",    files.certificate,
                               "--tls-key-file",     files.key,
                               "--tls-ca-cert-file", files.authority,
                               "--tls-auth-clients", "no"};
    size_t count = 0;
    while (options[count]) count++;
    for (size_t i = 0; more && more[i]; i++) options[count++] = more[i];
    both.server = server_start(options);
    both.plain = server_connect(both.server);
    return both;
}

static void both_stop(struct both *both) {
    redisFree(both->plain);
    assert_int_equal(server_stop(both->server), 0);
}

static struct tls_client *join(const struct both *both, const struct tls_way *way) {
    struct tls_client *client = tls_connect(both->port, &files, way);
    if (!client) fail_msg("not let in: %s", tls_failure());
    return client;
}

static void expect_refusal(const struct both *both, const struct tls_way *way) {
    struct tls_client *client = tls_connect(both->port, &files, way);
    if (client) fail_msg("let in by %s, %s", SSL_get_version(client->ssl), SSL_get_cipher_name(client->ssl));
}

/* ------------------------------------------------------------------ requests */

static void requests_are_answered(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL);
    assert_string_equal(SSL_get_version(client->ssl), "TLSv1.3");
    tls_exchange(client, "SET k v\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
    tls_exchange(client, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\nv\r\n");
    expect(both.plain, "v", "GET k");
    /* A request of many records, and a record of many requests, with the last one cut. */
    const char *pieces[] = {"*", "2\r", "\n$3\r\nGE", "T\r\n$1\r\nk\r\nPING\r\nPING\r\nPI", "NG\r\n"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        assert_true(tls_write(client, pieces[i], strlen(pieces[i])));
    tls_exchange(client, "", "$1\r\nv\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    tls_exchange(client, "QUIT\r\n", "+OK\r\n");
    assert_true(tls_expect_end(client));
    tls_free(client);
    await_info(both.plain, "connected_clients", 1);
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

static void information_tells_of_it(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    char line[64];
    redisReply *info = redisCommand(both.plain, "INFO server");
    snprintf(line, sizeof line, "\nlistener2:name=tls,bind=127.0.0.1,port=%d\r\n", both.port);
    assert_non_null(strstr(info->str, line));
    freeReplyObject(info);
    assert_int_equal(info_number(both.plain, "tcp_port"), both.server->port);
    expect(both.plain, "OK", "CONFIG SET port 0");
    assert_int_equal(info_number(both.plain, "tcp_port"), both.port);
    struct tls_client *client = join(&both, NULL);
    tls_exchange(client, "CLIENT SETNAME sealed\r\n", "+OK\r\n");
    redisReply *list = redisCommand(both.plain, "CLIENT LIST");
    assert_non_null(strstr(list->str, "name=sealed"));
    const char *memory = strstr(strstr(list->str, "name=sealed"), "tot-mem=");
    assert_non_null(memory);
    assert_true(atoi(memory + strlen("tot-mem=")) > 4000); /* what OpenSSL has */
    freeReplyObject(list);
    tls_free(client);
    both_stop(&both);
}

/* More is sent than any buffer takes before a word is read. */
static void a_pipeline_larger_than_buffers_is_answered(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL);
    int count = scaled(200000, 20000);
    size_t length = (size_t)count * 14, got = (size_t)count * 7;
    char *requests = malloc(length), *answers = malloc(got);
    assert_non_null(requests);
    assert_non_null(answers);
    for (int i = 0; i < count; i++) memcpy(requests + i * 14, "*1\r\n$4\r\nPING\r\n", 14);
    assert_true(tls_write(client, requests, length));
    assert_true(tls_read(client, answers, got));
    for (int i = 0; i < count; i++) assert_memory_equal(answers + i * 7, "+PONG\r\n", 7);
    free(requests);
    free(answers);
    tls_free(client);
    both_stop(&both);
}

static void fill(char *out, size_t length, unsigned seed) {
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1103515245 + 12345;
        out[i] = (char)(seed >> 16);
    }
}

/* About the sizes at which values are received apart, sent by reference, and cut into records. */
static void values_of_any_size_come_back(void **state) {
    (void)state;
    static const size_t sizes[] = {1,     4000,  16358, 16383,  16384,  16385,   16400,  32768,
                                   65535, 65536, 65537, 262144, 300001, 1048577, 9000000};
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL);
    char head[64];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        char *value = malloc(size), *back = malloc(size + 2);
        assert_non_null(value);
        assert_non_null(back);
        fill(value, size, (unsigned)size);
        snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$2\r\nk%c\r\n$%zu\r\n", (char)('a' + i), size);
        assert_true(tls_write(client, head, strlen(head)) && tls_write(client, value, size) &&
                    tls_write(client, "\r\n", 2));
        tls_exchange(client, "", "+OK\r\n");
        snprintf(head, sizeof head, "GET k%c\r\n", (char)('a' + i));
        assert_true(tls_write(client, head, strlen(head)));
        snprintf(head, sizeof head, "$%zu\r\n", size);
        tls_exchange(client, "", head);
        assert_true(tls_read(client, back, size + 2));
        assert_memory_equal(back, value, size);
        const char name[] = {'k', (char)('a' + i), '\0'};
        redisReply *reply = redisCommand(both.plain, "GET %s", name);
        assert_int_equal(reply->len, size);
        assert_memory_equal(reply->str, value, size);
        freeReplyObject(reply);
        free(value);
        free(back);
    }
    /* References with bytes in between, in one answer. */
    assert_true(tls_write(client, "MGET kb ki nothing ka kg\r\n", 26));
    tls_exchange(client, "", "*5\r\n$4000\r\n");
    char *back = malloc(70000);
    assert_non_null(back);
    assert_true(tls_read(client, back, 4002));
    tls_exchange(client, "", "$65535\r\n");
    assert_true(tls_read(client, back, 65537));
    tls_exchange(client, "", "$-1\r\n$1\r\n");
    assert_true(tls_read(client, back, 3));
    tls_exchange(client, "", "$16400\r\n");
    assert_true(tls_read(client, back, 16402));
    free(back);
    tls_free(client);
    both_stop(&both);
}

static void messages_are_heard(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL), *monitor = join(&both, NULL);
    tls_exchange(client, "SUBSCRIBE c\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    tls_exchange(monitor, "MONITOR\r\n", "+OK\r\n");
    for (int i = 0; i < 100; i++) expect(both.plain, "1", "PUBLISH c hello");
    for (int i = 0; i < 100; i++)
        tls_exchange(client, "", "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n");
    char line[10];
    assert_true(tls_read(monitor, line, sizeof line));
    assert_int_equal(line[0], '+');
    tls_free(client);
    tls_free(monitor);
    both_stop(&both);
}

/* ------------------------------------------------------------------ who is let in */

static void clients_show_certificates_if_they_have_to(void **state) {
    (void)state;
    struct both both = both_start((const char *const[]){"--tls-auth-clients", "yes", NULL});
    const struct tls_way none = {0},
                         good = {.certificate = files.client_certificate, .key = files.client_key},
                         stranger = {.certificate = files.stranger_certificate, .key = files.stranger_key},
                         expired = {.certificate = files.expired_certificate, .key = files.client_key};
    tls_free(join(&both, &good));
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_way ways[] = {none, stranger, expired};
        for (size_t i = 0; i < 3; i++) {
            ways[i].version = version;
            expect_refusal(&both, &ways[i]);
        }
    }
    expect(both.plain, "OK", "CONFIG SET tls-auth-clients optional");
    tls_free(join(&both, &good));
    tls_free(join(&both, &none));
    expect_refusal(&both, &stranger);
    expect(both.plain, "OK", "CONFIG SET tls-auth-clients no");
    tls_free(join(&both, &none));
    tls_free(join(&both, &stranger));
    both_stop(&both);
}

static void protocols_and_ciphers_are_as_they_were_set(void **state) {
    (void)state;
    struct both both = both_start((const char *const[]){"--tls-protocols", "TLSv1.2", NULL});
    const struct tls_way newest = {.version = TLS1_3_VERSION}, older = {.version = TLS1_2_VERSION},
                         old = {.version = TLS1_1_VERSION};
    struct tls_client *client = join(&both, NULL);
    assert_string_equal(SSL_get_version(client->ssl), "TLSv1.2");
    tls_free(client);
    expect_refusal(&both, &newest);
    expect_refusal(&both, &old);
    expect(both.plain, "OK", "CONFIG SET tls-ciphers ECDHE-ECDSA-CHACHA20-POLY1305");
    client = join(&both, &older);
    assert_string_equal(SSL_get_cipher_name(client->ssl), "ECDHE-ECDSA-CHACHA20-POLY1305");
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    tls_free(client);
    expect(both.plain, "OK", "CONFIG SET tls-protocols %s", "TLSv1.3");
    expect(both.plain, "OK", "CONFIG SET tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256");
    expect_refusal(&both, &older);
    client = join(&both, NULL);
    assert_string_equal(SSL_get_cipher_name(client->ssl), "TLS_CHACHA20_POLY1305_SHA256");
    tls_free(client);
    static const char *const wrong[][2] = {{"tls-protocols", "TLSv1.4"},
                                           {"tls-ciphers", "NONE-OF-THESE"},
                                           {"tls-ciphersuites", "NEITHER"},
                                           {"tls-dh-params-file", "/nonexistent"}};
    char expected[256];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(expected, sizeof expected,
                 "ERR CONFIG SET failed (possibly related to argument '%s') - Unable to update TLS "
                 "configuration. Check server logs.",
                 wrong[i][0]);
        expect(both.plain, expected, "CONFIG SET %s %s", wrong[i][0], wrong[i][1]);
    }
    expect(both.plain, "[tls-protocols, TLSv1.3]", "CONFIG GET tls-protocols");
    tls_free(join(&both, NULL));
    both_stop(&both);
}

static bool is_resumed(const struct both *both, struct tls_way way) {
    struct tls_client *first = join(both, &way);
    way.session = SSL_get1_session(first->ssl);
    struct tls_client *second = join(both, &way);
    bool is_reused = SSL_session_reused(second->ssl) == 1;
    SSL_SESSION_free(way.session);
    tls_free(first);
    tls_free(second);
    return is_reused;
}

static void sessions_are_resumed_unless_that_is_off(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        assert_true(is_resumed(&both, (struct tls_way){.version = version}));
    expect(both.plain, "OK", "CONFIG SET tls-session-caching no");
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
        assert_false(is_resumed(&both, (struct tls_way){.version = version}));
    both_stop(&both);
}

/* ------------------------------------------------------------------ files that change */

static long serial_of(struct tls_client *client) {
    X509 *certificate = SSL_get1_peer_certificate(client->ssl);
    assert_non_null(certificate);
    long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
    X509_free(certificate);
    return serial;
}

static void expect_serial(const struct both *both, long serial) {
    struct tls_client *client = join(both, NULL);
    assert_int_equal(serial_of(client), serial);
    tls_free(client);
}

#define REFUSED(option)                                                                                      \
    "ERR CONFIG SET failed (possibly related to argument '" option "') - Unable to update TLS "              \
    "configuration. Check server logs."

static void a_new_certificate_is_taken_and_nobody_dropped(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL);
    expect_serial(&both, 2);
    for (int round = 0; round < 2; round++) {
        expect(both.plain, "OK", "CONFIG SET tls-cert-file %s tls-key-file %s", files.next_certificate,
               files.next_key);
        expect_serial(&both, 77);
        tls_exchange(client, "PING\r\n", "+PONG\r\n");
        /* Of no use: neither alone, nor with a wrong key. */
        expect(both.plain, REFUSED("tls-cert-file"), "CONFIG SET tls-cert-file %s", files.certificate);
        expect(both.plain, REFUSED("tls-cert-file"), "CONFIG SET tls-cert-file %s", files.nonsense);
        expect(both.plain, REFUSED("tls-key-file"), "CONFIG SET tls-key-file /nonexistent");
        expect(both.plain, REFUSED("tls-ca-cert-file"), "CONFIG SET tls-ca-cert-file %s", files.nonsense);
        expect(both.plain, REFUSED("tls-key-file"), "CONFIG SET timeout 7 tls-key-file %s", files.key);
        expect(both.plain, "[timeout, 0]", "CONFIG GET timeout");
        expect_serial(&both, 77);
        expect(both.plain, "OK", "CONFIG SET tls-cert-file %s tls-key-file %s", files.certificate, files.key);
        expect_serial(&both, 2);
    }
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    tls_free(client);
    both_stop(&both);
}

static void copy_file(const char *from, const char *to) {
    char bytes[4096];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_non_null(in);
    assert_non_null(out);
    size_t length = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void the_same_files_are_read_again(void **state) {
    (void)state;
    char certificate[TLS_PATH], key[TLS_PATH];
    snprintf(certificate, sizeof certificate, "%s/present.crt", files.folder);
    snprintf(key, sizeof key, "%s/present.key", files.folder);
    copy_file(files.certificate, certificate);
    copy_file(files.key, key);
    struct both both =
        both_start((const char *const[]){"--tls-cert-file", certificate, "--tls-key-file", key, NULL});
    expect_serial(&both, 2);
    copy_file(files.next_certificate, certificate);
    copy_file(files.next_key, key);
    expect_serial(&both, 2);
    expect(both.plain, "OK", "CONFIG SET tls-cert-file %s", certificate);
    expect_serial(&both, 77);
    unlink(certificate);
    unlink(key);
    both_stop(&both);
}

static void a_key_may_have_a_password(void **state) {
    (void)state;
    struct both both = both_start(
        (const char *const[]){"--tls-key-file", files.locked_key, "--tls-key-file-pass", "sesame", NULL});
    tls_free(join(&both, NULL));
    expect(both.plain, REFUSED("tls-key-file-pass"), "CONFIG SET tls-key-file-pass mellon");
    expect(both.plain, REFUSED("tls-key-file-pass"), "CONFIG SET tls-key-file-pass %s", "");
    tls_free(join(&both, NULL));
    both_stop(&both);
}

static void expect_refused(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int outcome = connect(fd, (struct sockaddr *)&address, sizeof address), error = errno;
    close(fd);
    if (outcome == 0 || error != ECONNREFUSED) fail_msg("port %d still listens: %s", port, strerror(error));
}

static void the_port_can_be_changed_while_clients_are_connected(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL);
    int first = both.port, second = port_free();
    for (int round = 0; round < 10; round++) {
        expect(both.plain, "OK", "CONFIG SET tls-port %d", second);
        expect_refused(first);
        both.port = second;
        tls_free(join(&both, NULL));
        expect(both.plain, "OK", "CONFIG SET tls-port 0");
        expect_refused(second);
        expect(both.plain, "OK", "CONFIG SET tls-port %d", first);
        both.port = first;
        tls_free(join(&both, NULL));
    }
    /* The two change places. */
    expect(both.plain, "OK", "CONFIG SET port %d tls-port %d", first, both.server->port);
    both.port = both.server->port;
    tls_free(join(&both, NULL));
    redisContext *plain = redisConnect("127.0.0.1", first);
    expect(plain, "PONG", "PING");
    redisFree(plain);
    /* Without a certificate there is no port. */
    expect(both.plain, "OK", "CONFIG SET tls-port 0");
    expect(both.plain, "OK", "CONFIG SET tls-cert-file %s", "");
    expect(both.plain, REFUSED("tls-port"), "CONFIG SET tls-port %d", second);
    expect(both.plain, "[tls-port, 0]", "CONFIG GET tls-port");
    expect_refused(second);
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    tls_free(client);
    both_stop(&both);
}

/* ------------------------------------------------------------------ who misbehaves */

static int raw_connect(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof address), errno);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* Whatever comes first. */
static void expect_close(int fd) {
    char bytes[256];
    ssize_t length;
    while ((length = recv(fd, bytes, sizeof bytes, 0)) > 0) continue;
    if (length < 0 && errno != ECONNRESET) fail_msg("the server doesn't close: %s", strerror(errno));
    close(fd);
}

static void who_does_not_speak_it_is_closed(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    static const char *const words[] = {"PING\r\n", "*1\r\n$4\r\nPING\r\n", "GET / HTTP/1.1\r\n\r\n",
                                        "\x16\x03\x01\xff\xff", "\x17\x03\x03\x00\x10zzzzzzzzzzzzzzzz"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        int fd = raw_connect(both.port);
        assert_int_equal(send(fd, words[i], strlen(words[i]) + (i == 4 ? 1 : 0), MSG_NOSIGNAL),
                         strlen(words[i]) + (i == 4 ? 1 : 0));
        if (i == 4) shutdown(fd, SHUT_WR);
        expect_close(fd);
    }
    tls_free(join(&both, NULL));
    await_info(both.plain, "connected_clients", 1);
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

/* The first bytes of a handshake, as OpenSSL sends it. */
static size_t hello_make(char *out, size_t size) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *bytes = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), bytes);
    assert_true(SSL_connect(ssl) < 0);
    int length = BIO_read(bytes, out, (int)size);
    assert_true(length > 100);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return (size_t)length;
}

static void who_stalls_in_the_handshake_is_closed(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    char hello[1024];
    size_t length = hello_make(hello, sizeof hello);
    struct tls_client *client = join(&both, NULL);
    /* Nothing, some of the first message, all of it, and more than that. */
    const size_t lengths[] = {0, 1, 5, length / 2, length};
    int stalled[sizeof lengths / sizeof *lengths];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        stalled[i] = raw_connect(both.port);
        assert_int_equal(send(stalled[i], hello, lengths[i], MSG_NOSIGNAL), lengths[i]);
    }
    await_info(both.plain, "connected_clients", 2 + (int64_t)(sizeof lengths / sizeof *lengths));
    expect(both.plain, "OK", "DEBUG CLOCK MONOTONIC 4000");
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    assert_int_equal(info_number(both.plain, "connected_clients"), 2 + sizeof lengths / sizeof *lengths);
    expect(both.plain, "OK", "DEBUG CLOCK MONOTONIC 8000");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) expect_close(stalled[i]);
    await_info(both.plain, "connected_clients", 2);
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    tls_free(client);
    both_stop(&both);
}

/* Many begin at once, and leave in the middle of it: others are served meanwhile, and nothing stays. */
static void a_crowd_of_half_handshakes_leaves_nothing(void **state) {
    (void)state;
    enum { CROWD = 200 };
    struct both both = both_start(NULL);
    char hello[1024];
    size_t length = hello_make(hello, sizeof hello);
    struct tls_client *client = join(&both, NULL);
    for (int round = 0; round < 5; round++) {
        int fds[CROWD];
        for (int i = 0; i < CROWD; i++) {
            fds[i] = raw_connect(both.port);
            assert_int_equal(send(fds[i], hello, length, MSG_NOSIGNAL), length);
        }
        for (int i = 0; i < 20; i++) tls_exchange(client, "PING\r\n", "+PONG\r\n");
        tls_free(join(&both, NULL));
        for (int i = 0; i < CROWD; i++) close(fds[i]);
    }
    await_info(both.plain, "connected_clients", 2);
    await_info_between(both.plain, "client_tls_bytes", 1, 40000);
    tls_free(client);
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

/* What they hold together is bounded, and who comes then gets in, though the others never end. */
static void half_handshakes_hold_a_bounded_sum_and_others_get_in(void **state) {
    enum { CROWD = 400, JOINS = 3 };
    const int64_t mib = 1 << 20, most = 12 * mib;
    const char *const *ways[] = {NULL, (const char *const[]){"--requirepass", "sesame", NULL}};
    char hello[1024];
    size_t length = hello_make(hello, sizeof hello);
    (void)state;
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        struct both both = both_start(ways[way]);
        int fds[CROWD];
        if (ways[way]) expect(both.plain, "OK", "AUTH sesame");
        int64_t used = info_number(both.plain, "used_memory");
        for (int i = 0; i < CROWD; i++) {
            fds[i] = raw_connect(both.port);
            assert_int_equal(send(fds[i], hello, length, MSG_NOSIGNAL), length);
        }
        await_info_between(both.plain, "mem_clients_unauthenticated", 9 * mib, most);
        for (int i = 0; i < JOINS; i++) {
            if (!ways[way]) tls_free(join(&both, NULL)); /* it says PING */
            assert_in_range(info_number(both.plain, "mem_clients_unauthenticated"), 0, most);
            int64_t grown = info_number(both.plain, "used_memory") - used;
            if (grown > most + (int64_t)CROWD * 2048) fail_msg("%lld bytes more", (long long)grown);
        }
        /* Those that have had their time make room, one after the other. */
        await_info_between(both.plain, "unauthenticated_clients_closed", CROWD / 4, CROWD);
        for (int i = 0; i < CROWD; i++) close(fds[i]);
        await_info(both.plain, "mem_clients_unauthenticated", 0);
        both_stop(&both);
    }
}

/* A client of many that come at one moment, none of which waits for another. */
struct returning {
    int fd;
    SSL *ssl;
    bool has_asked, is_in;
};

static void returning_begin(struct returning *client, SSL_CTX *context, int port) {
    *client = (struct returning){.fd = raw_connect(port), .ssl = SSL_new(context)};
    assert_return_code(fcntl(client->fd, F_SETFL, O_NONBLOCK), errno);
    assert_non_null(client->ssl);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    SSL_connect(client->ssl); /* its first message; what comes of it is seen by who goes on */
}

static void returning_end(struct returning *client) {
    SSL_free(client->ssl);
    close(client->fd);
}

/* Goes on as far as it can: the handshake is over for the server, too, when that answers. false: it was
 * closed. */
static bool returning_go_on(struct returning *client) {
    char answer[7];
    int outcome = SSL_connect(client->ssl);
    if (outcome == 1 && !client->has_asked) {
        outcome = SSL_write(client->ssl, "PING\r\n", 6);
        client->has_asked = true;
    }
    if (client->has_asked && outcome > 0) {
        outcome = SSL_read(client->ssl, answer, sizeof answer);
        client->is_in = outcome == (int)sizeof answer;
    }
    return outcome > 0 || SSL_get_error(client->ssl, outcome) == SSL_ERROR_WANT_READ;
}

/* They are more than may be under way at a time. Those that are closed all the same come back: a loaded
 * machine may have left one without its time. */
static void many_that_come_back_at_once_all_get_in(void **state) {
    (void)state;
    int count = scaled(400, 100), left = count, closed = 0;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    struct both both = both_start(NULL);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    struct returning *clients = calloc((size_t)count, sizeof *clients);
    struct pollfd *watched = calloc((size_t)count, sizeof *watched);
    assert_true(context && clients && watched);
    for (int i = 0; i < count; i++) returning_begin(&clients[i], context, both.port);
    while (left > 0) {
        if (now_us() > deadline) fail_msg("%d of %d are not in", left, count);
        for (int i = 0; i < count; i++)
            watched[i] = (struct pollfd){.fd = clients[i].is_in ? -1 : clients[i].fd, .events = POLLIN};
        assert_true(poll(watched, (nfds_t)count, 1000) >= 0);
        for (int i = 0; i < count; i++) {
            if (watched[i].revents == 0) continue;
            if (returning_go_on(&clients[i])) {
                left -= clients[i].is_in;
                continue;
            }
            closed++;
            returning_end(&clients[i]);
            returning_begin(&clients[i], context, both.port);
        }
    }
    if (closed > count / 10) fail_msg("%d of %d were closed", closed, count);
    assert_int_equal(info_number(both.plain, "mem_clients_unauthenticated"), 0);
    assert_int_equal(info_number(both.plain, "connected_clients"), count + 1);
    for (int i = 0; i < count; i++) returning_end(&clients[i]);
    free(clients);
    free(watched);
    SSL_CTX_free(context);
    both_stop(&both);
}

static void a_client_can_be_killed(void **state) {
    (void)state;
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, NULL), *blocked = join(&both, NULL);
    int half = raw_connect(both.port);
    assert_true(tls_write(blocked, "BLPOP k 0\r\n", 11));
    await_info(both.plain, "blocked_clients", 1);
    await_info(both.plain, "connected_clients", 4);
    expect(both.plain, "3", "CLIENT KILL TYPE normal SKIPME yes");
    tls_expect_end(client);
    tls_expect_end(blocked);
    expect_close(half);
    tls_free(client);
    tls_free(blocked);
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

/* ------------------------------------------------------------------ keys that change */

/* The other end asks for new keys again and again while the server can't send: what it answers waits behind
 * what it owes. */
static void keys_change_while_a_write_is_blocked(void **state) {
    (void)state;
    enum { SIZE = 12000000 };
    struct both both = both_start(NULL);
    struct tls_client *client = join(&both, &(struct tls_way){.version = TLS1_3_VERSION});
    char *value = malloc(SIZE), *back = malloc(SIZE + 2);
    assert_non_null(value);
    assert_non_null(back);
    fill(value, SIZE, 7);
    redisReply *reply = redisCommand(both.plain, "SET large %b", value, (size_t)SIZE);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    for (int round = 0; round < 3; round++) {
        assert_true(tls_write(client, "GET large\r\n", 11));
        await_info_between(both.plain, "client_output_bytes", SIZE / 4, SIZE * 2);
        for (int i = 0; i < 20; i++) {
            assert_int_equal(SSL_key_update(client->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            assert_true(tls_write(client, "PING\r\n", 6));
        }
        tls_exchange(client, "", "$12000000\r\n");
        assert_true(tls_read(client, back, SIZE + 2));
        assert_memory_equal(back, value, SIZE);
        for (int i = 0; i < 20; i++) tls_exchange(client, "", "+PONG\r\n");
        tls_exchange(client, "ECHO again\r\n", "$5\r\nagain\r\n");
    }
    free(value);
    free(back);
    tls_free(client);
    both_stop(&both);
}

/* ------------------------------------------------------------------ moves */

static void send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        assert_true(sent > 0);
        data += sent;
        length -= (size_t)sent;
    }
}

/* Between the halves of a record the connection moves. */
static void a_record_may_be_cut_by_a_move(void **state) {
    (void)state;
    struct both both = both_start((const char *const[]){"--balance-clients", "no", NULL});
    struct tls_client *client = join(&both, NULL);
    BIO *bytes = BIO_new(BIO_s_mem());
    bool seen[2] = {false};
    SSL_set0_wbio(client->ssl, bytes);
    for (int round = 0; round < 20; round++) {
        char record[256], answer[64];
        assert_true(tls_write(client, "INCR count\r\nDEBUG WORKER\r\n", 26));
        int length = BIO_read(bytes, record, sizeof record);
        assert_true(length > 30);
        size_t cut = 1 + (size_t)round * (size_t)(length - 2) / 19;
        int64_t moved = info_number(both.plain, "worker_moved_connections");
        send_all(client->fd, record, cut);
        expect(both.plain, "OK", "DEBUG MOVE-CLIENTS");
        await_info_between(both.plain, "worker_moved_connections", moved + 1, moved + 1000);
        send_all(client->fd, record + cut, (size_t)length - cut);
        snprintf(answer, sizeof answer, ":%d\r\n", round + 1);
        tls_exchange(client, "", answer);
        assert_true(tls_read(client, answer, 4));
        assert_true(answer[1] == '0' || answer[1] == '1');
        seen[answer[1] - '0'] = true;
    }
    assert_true(seen[0] && seen[1]);
    SSL_set0_wbio(client->ssl, BIO_new_socket(client->fd, BIO_NOCLOSE));
    tls_exchange(client, "PING\r\n", "+PONG\r\n");
    tls_free(client);
    both_stop(&both);
}

struct mover {
    pthread_t thread;
    const struct both *both;
    int number;
    _Atomic(const char *) complaint;
};

static atomic_bool is_over;

/* Counts in pipelines, and carries a value that is received and sent in parts. */
static void *work(void *argument) {
    enum { LARGE = 50000, DEPTH = 20 };
    struct mover *mover = argument;
    struct tls_client *client = tls_connect(mover->both->port, &files, NULL);
    char text[512], expected[512], *value = malloc(LARGE + 2), *back = malloc(LARGE + 2);
    long count = 0;
    if (!client || !value || !back) atomic_store(&mover->complaint, "can't begin");
    memset(value, 'a' + mover->number, LARGE);
    memcpy(value + LARGE, "\r\n", 2);
    while (!atomic_load(&is_over) && !atomic_load(&mover->complaint)) {
        size_t length = 0, expected_length = 0;
        for (int i = 0; i < DEPTH; i++) {
            length +=
                (size_t)snprintf(text + length, sizeof text - length, "INCR count:%d\r\n", mover->number);
            expected_length += (size_t)snprintf(expected + expected_length, sizeof expected - expected_length,
                                                ":%ld\r\n", ++count);
        }
        if (!tls_write(client, text, length) || !tls_read(client, text, expected_length) ||
            memcmp(text, expected, expected_length) != 0)
            atomic_store(&mover->complaint, "a count is wrong");
        length = (size_t)snprintf(text, sizeof text, "*3\r\n$3\r\nSET\r\n$7\r\nlarge:%d\r\n$%d\r\n",
                                  mover->number, LARGE);
        if (!tls_write(client, text, length) || !tls_write(client, value, LARGE + 2) ||
            !tls_read(client, text, 5) || memcmp(text, "+OK\r\n", 5) != 0)
            atomic_store(&mover->complaint, "a value isn't stored");
        length = (size_t)snprintf(text, sizeof text, "GET large:%d\r\n", mover->number);
        if (!tls_write(client, text, length) || !tls_read(client, text, 8) ||
            !tls_read(client, back, LARGE + 2) || memcmp(back, value, LARGE + 2) != 0)
            atomic_store(&mover->complaint, "a value is wrong");
    }
    tls_free(client);
    free(value);
    free(back);
    return NULL;
}

static void connections_move_while_they_work(void **state) {
    (void)state;
    enum { MOVERS = 4 };
    struct both both = both_start((const char *const[]){"--threads", "3", NULL});
    struct mover movers[MOVERS];
    atomic_store(&is_over, false);
    for (int i = 0; i < MOVERS; i++) {
        movers[i] = (struct mover){.both = &both, .number = i};
        assert_int_equal(pthread_create(&movers[i].thread, NULL, work, &movers[i]), 0);
    }
    int64_t wanted = scaled(2000, 200), deadline = now_us() + INT64_C(1000000) * PATIENCE_SECONDS;
    while (info_number(both.plain, "worker_moved_connections") < wanted && now_us() < deadline)
        expect(both.plain, "OK", "DEBUG MOVE-CLIENTS");
    assert_true(info_number(both.plain, "worker_moved_connections") >= wanted);
    atomic_store(&is_over, true);
    for (int i = 0; i < MOVERS; i++) {
        pthread_join(movers[i].thread, NULL);
        if (atomic_load(&movers[i].complaint)) fail_msg("%s", atomic_load(&movers[i].complaint));
    }
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

/* ------------------------------------------------------------------ memory */

/* All that a connection takes is counted, and it isn't more than 18 KB. */
static void an_idle_connection_is_small_and_counted(void **state) {
    (void)state;
    enum { COUNT = 500 };
    struct both both = both_start(NULL);
    struct tls_client *clients[COUNT];
    tls_free(join(&both, NULL)); /* what the first one needs stays */
    await_info(both.plain, "connected_clients", 1);
    int64_t before = info_number(both.plain, "used_memory"),
            counted_before = info_number(both.plain, "mem_clients_normal");
    for (int i = 0; i < COUNT; i++) clients[i] = join(&both, NULL);
    for (int i = 0; i < COUNT; i++) tls_exchange(clients[i], "SET k v\r\n", "+OK\r\n");
    int64_t grown = info_number(both.plain, "used_memory") - before,
            counted = info_number(both.plain, "mem_clients_normal") - counted_before;
    print_message("an idle connection takes %lld bytes, of which %lld are counted\n",
                  (long long)(grown / COUNT), (long long)(counted / COUNT));
    assert_true(counted <= (int64_t)COUNT * 18 * 1024);
    /* The allocator's numbers are of the whole process, and a sanitizer's tell nothing. */
    if (scaled(1, 0)) assert_true(grown <= counted + counted / 10 + 65536);
    for (int i = 0; i < COUNT; i++) tls_free(clients[i]);
    await_info(both.plain, "client_tls_bytes", 0);
    both_stop(&both);
}

/* The library keeps sessions of those that have gone, and throws away all that are too old in the handshake
 * of one who comes later, to whom that counts for nothing. */
static void kept_sessions_count_for_nobody(void **state) {
    (void)state;
    const struct tls_way way = {.version = TLS1_2_VERSION, .has_no_tickets = true};
    struct both both = both_start((const char *const[]){"--tls-session-cache-timeout", "1", NULL});
    time_t end = time(NULL) + 4;
    /* It looks for them once in 255 handshakes. */
    for (int count = 0; count < 800 || time(NULL) < end; count++) {
        struct tls_client *client = join(&both, &way);
        int64_t bytes = info_number(both.plain, "client_tls_bytes");
        if (bytes <= 0 || bytes > 1024 * 1024) fail_msg("client %d: %lld bytes", count, (long long)bytes);
        tls_free(client);
    }
    both_stop(&both);
}

static int files_begin(void **state) {
    (void)state;
    tls_files_make(&files);
    return 0;
}

static int files_end(void **state) {
    (void)state;
    tls_files_remove(&files);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        cmocka_unit_test(information_tells_of_it),
        cmocka_unit_test(a_pipeline_larger_than_buffers_is_answered),
        cmocka_unit_test(values_of_any_size_come_back),
        cmocka_unit_test(messages_are_heard),
        cmocka_unit_test(clients_show_certificates_if_they_have_to),
        cmocka_unit_test(protocols_and_ciphers_are_as_they_were_set),
        cmocka_unit_test(sessions_are_resumed_unless_that_is_off),
        cmocka_unit_test(a_new_certificate_is_taken_and_nobody_dropped),
        cmocka_unit_test(the_same_files_are_read_again),
        cmocka_unit_test(a_key_may_have_a_password),
        cmocka_unit_test(the_port_can_be_changed_while_clients_are_connected),
        cmocka_unit_test(who_does_not_speak_it_is_closed),
        cmocka_unit_test(who_stalls_in_the_handshake_is_closed),
        cmocka_unit_test(a_crowd_of_half_handshakes_leaves_nothing),
        cmocka_unit_test(half_handshakes_hold_a_bounded_sum_and_others_get_in),
        cmocka_unit_test(many_that_come_back_at_once_all_get_in),
        cmocka_unit_test(a_client_can_be_killed),
        cmocka_unit_test(keys_change_while_a_write_is_blocked),
        cmocka_unit_test(a_record_may_be_cut_by_a_move),
        cmocka_unit_test(connections_move_while_they_work),
        cmocka_unit_test(an_idle_connection_is_small_and_counted),
        cmocka_unit_test(kept_sessions_count_for_nobody),
    };
    return cmocka_run_group_tests(tests, files_begin, files_end);
}
