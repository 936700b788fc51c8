/* TLS for tests: certificates that are made for a test, and a client that does as it is told. */
#ifndef TESTS_TLS_H
#define TESTS_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define TLS_PATH 128

/* Files below a folder of their own, removed at the end. Keys are of P-256. */
struct tls_files {
    char folder[48];
    char authority[TLS_PATH];                            /* who has signed the next three */
    char certificate[TLS_PATH], key[TLS_PATH];           /* the server's, for 127.0.0.1 */
    char next_certificate[TLS_PATH], next_key[TLS_PATH]; /* another one, whose serial number is 77 */
    char client_certificate[TLS_PATH], client_key[TLS_PATH];
    char stranger_certificate[TLS_PATH], stranger_key[TLS_PATH]; /* signed by somebody else */
    char expired_certificate[TLS_PATH];                          /* of client_key */
    char locked_key[TLS_PATH]; /* the server's, with the password "sesame" */
    char nonsense[TLS_PATH];   /* is no certificate */
};
void tls_files_make(struct tls_files *files);
void tls_files_remove(const struct tls_files *files);

/* How a client comes; zero bytes are one without certificate, which believes `authority` of the files. */
struct tls_way {
    const char *certificate, *key; /* or NULL */
    int version;                   /* the only one; 0: any */
    const char *groups;            /* or NULL */
    bool has_no_tickets;           /* of TLS 1.2: the server keeps its session, not it */
    SSL_SESSION *session;          /* to be resumed; or NULL */
};

struct tls_client {
    int fd;
    SSL *ssl;
    SSL_CTX *context;
};
/* NULL: it isn't let in, and tls_failure() says what OpenSSL says. A client of TLS 1.3 that isn't let in may
 * learn of it only when it reads: so this asks PING, and wants PONG. */
struct tls_client *tls_connect(int port, const struct tls_files *files, const struct tls_way *way);
const char *tls_failure(void);
void tls_free(struct tls_client *client);
/* All of it; false if the connection is broken. */
bool tls_write(struct tls_client *client, const void *data, size_t length);
/* So many bytes; false if there aren't. */
bool tls_read(struct tls_client *client, void *out, size_t length);
/* Sends the text, and reads exactly that answer. Fails the cmocka test otherwise. */
void tls_exchange(struct tls_client *client, const char *request, const char *answer);
/* Nothing more comes. True if the server has said so (close_notify), false if it has just closed. Fails the
 * test otherwise. */
bool tls_expect_end(struct tls_client *client);

#endif
