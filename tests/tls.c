#include "tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "support.h"

/* ------------------------------------------------------------------ certificates */

static FILE *file_begin(const struct tls_files *files, char path[TLS_PATH], const char *name) {
    assert_in_range(snprintf(path, TLS_PATH, "%s/%s", files->folder, name), 1, TLS_PATH - 1);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    return file;
}

static void write_key(const struct tls_files *files, char path[TLS_PATH], const char *name, EVP_PKEY *key,
                      const char *password) {
    FILE *file = file_begin(files, path, name);
    const EVP_CIPHER *cipher = password ? EVP_aes_128_cbc() : NULL;
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, cipher, password,
                                               password ? (int)strlen(password) : 0, NULL, NULL),
                     1);
    fclose(file);
}

static void write_certificate(const struct tls_files *files, char path[TLS_PATH], const char *name,
                              X509 *certificate) {
    FILE *file = file_begin(files, path, name);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
}

static void extend(X509 *certificate, int kind, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: signs itself, and may sign others. */
static X509 *certify(EVP_PKEY *key, const char *name, long serial, long ends, const X509 *issuer,
                     EVP_PKEY *issuer_key) {
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -172800);
    X509_gmtime_adj(X509_getm_notAfter(certificate), ends);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    extend(certificate, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (issuer) extend(certificate, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    assert_true(X509_sign(certificate, issuer ? issuer_key : key, EVP_sha256()) > 0);
    return certificate;
}

static EVP_PKEY *key_make(void) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

#define DAY 86400

static void one_make(const struct tls_files *files, char certificate_path[TLS_PATH], char key_path[TLS_PATH],
                     const char *name, long serial, X509 *issuer, EVP_PKEY *issuer_key) {
    char file[64];
    EVP_PKEY *key = key_make();
    X509 *certificate = certify(key, name, serial, DAY, issuer, issuer_key);
    snprintf(file, sizeof file, "%s.crt", name);
    write_certificate(files, certificate_path, file, certificate);
    snprintf(file, sizeof file, "%s.key", name);
    write_key(files, key_path, file, key, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void tls_files_make(struct tls_files *files) {
    *files = (struct tls_files){.folder = "/tmp/latchkey-tls-XXXXXX"};
    assert_non_null(mkdtemp(files->folder));
    EVP_PKEY *authority_key = key_make(), *other_key = key_make(), *client_key;
    X509 *authority = certify(authority_key, "authority", 1, DAY, NULL, NULL),
         *other = certify(other_key, "other", 1, DAY, NULL, NULL);
    write_certificate(files, files->authority, "authority.crt", authority);
    one_make(files, files->certificate, files->key, "server", 2, authority, authority_key);
    one_make(files, files->next_certificate, files->next_key, "next", 77, authority, authority_key);
    one_make(files, files->client_certificate, files->client_key, "client", 3, authority, authority_key);
    one_make(files, files->stranger_certificate, files->stranger_key, "stranger", 4, other, other_key);
    FILE *file = fopen(files->client_key, "re");
    assert_non_null(file);
    client_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(client_key);
    fclose(file);
    X509 *expired = certify(client_key, "expired", 5, -DAY, authority, authority_key);
    write_certificate(files, files->expired_certificate, "expired.crt", expired);
    file = fopen(files->key, "re");
    assert_non_null(file);
    EVP_PKEY *server_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(server_key);
    fclose(file);
    write_key(files, files->locked_key, "locked.key", server_key, "sesame");
    file = file_begin(files, files->nonsense, "nonsense.crt");
    fputs("nothing of the kind\n", file);
    fclose(file);
    X509_free(authority);
    X509_free(other);
    X509_free(expired);
    EVP_PKEY_free(authority_key);
    EVP_PKEY_free(other_key);
    EVP_PKEY_free(client_key);
    EVP_PKEY_free(server_key);
}

void tls_files_remove(const struct tls_files *files) {
    const char *paths[] = {files->authority,           files->certificate,  files->key,
                           files->next_certificate,    files->next_key,     files->client_certificate,
                           files->client_key,          files->locked_key,   files->stranger_certificate,
                           files->expired_certificate, files->stranger_key, files->nonsense};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) unlink(paths[i]);
    rmdir(files->folder);
}

/* ------------------------------------------------------------------ a client */

static _Thread_local char failure[256];

const char *tls_failure(void) {
    return failure;
}

static struct tls_client *give_up(struct tls_client *client) {
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    snprintf(failure, sizeof failure, "%s", reason ? reason : strerror(errno));
    ERR_clear_error();
    tls_free(client);
    return NULL;
}

static SSL_CTX *context_make(const struct tls_files *files, const struct tls_way *way) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    assert_int_equal(SSL_CTX_load_verify_locations(context, files->authority, NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
    if (way->has_no_tickets) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    if (way->version != 0) {
        /* Old ones are refused by this library, too, unless it is asked not to. */
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, way->version);
        SSL_CTX_set_max_proto_version(context, way->version);
    }
    if (way->groups) assert_int_equal(SSL_CTX_set1_groups_list(context, way->groups), 1);
    if (way->certificate) {
        assert_int_equal(SSL_CTX_use_certificate_file(context, way->certificate, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(context, way->key, SSL_FILETYPE_PEM), 1);
    }
    return context;
}

struct tls_client *tls_connect(int port, const struct tls_files *files, const struct tls_way *way) {
    static const struct tls_way any;
    if (!way) way = &any;
    struct tls_client *client = calloc(1, sizeof *client);
    assert_non_null(client);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0) return give_up(client);
    client->context = context_make(files, way);
    client->ssl = SSL_new(client->context);
    assert_non_null(client->ssl);
    SSL_set_fd(client->ssl, client->fd);
    SSL_set1_host(client->ssl, "127.0.0.1");
    if (way->session) SSL_set_session(client->ssl, way->session);
    char pong[7];
    if (SSL_connect(client->ssl) != 1 || SSL_write(client->ssl, "PING\r\n", 6) != 6 ||
        !tls_read(client, pong, sizeof pong))
        return give_up(client);
    assert_memory_equal(pong, "+PONG\r\n", sizeof pong);
    return client;
}

void tls_free(struct tls_client *client) {
    if (!client) return;
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    if (client->fd >= 0) close(client->fd);
    free(client);
}

bool tls_write(struct tls_client *client, const void *data, size_t length) {
    size_t written;
    return SSL_write_ex(client->ssl, data, length, &written) == 1 && written == length;
}

bool tls_read(struct tls_client *client, void *out, size_t length) {
    size_t filled = 0, got = 0;
    while (filled < length && SSL_read_ex(client->ssl, (char *)out + filled, length - filled, &got) == 1)
        filled += got;
    return filled == length;
}

void tls_exchange(struct tls_client *client, const char *request, const char *answer) {
    size_t length = strlen(answer);
    char *read = calloc(1, length + 1);
    assert_non_null(read);
    assert_true(tls_write(client, request, strlen(request)));
    if (!tls_read(client, read, length)) fail_msg("%s is answered %s, and then no more", request, read);
    assert_string_equal(read, answer);
    free(read);
}

bool tls_expect_end(struct tls_client *client) {
    char byte;
    size_t got = 0;
    int outcome = SSL_read_ex(client->ssl, &byte, 1, &got);
    if (outcome == 1) fail_msg("there is more to be read: %c", byte);
    int error = SSL_get_error(client->ssl, outcome);
    if (error == SSL_ERROR_WANT_READ) fail_msg("the server doesn't close the connection");
    ERR_clear_error();
    return error == SSL_ERROR_ZERO_RETURN;
}
