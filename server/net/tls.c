/* Contexts, and where they come from.
 *
 * A context is built aside, and only a whole one is put in place. What the files say is read when it is
 * built, so that setting an option to what it is already reads them again. */
#include "tls.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/base/log.h"
#include "server/config/config.h"
#include "shard/base/memory.h"
#include "shard/base/mutex.h"

/* Of an option's value, with its end. */
#define TEXT_SIZE 4096

static struct mutex mutex = MUTEX_INITIALIZER;
static SSL_CTX *context GUARDED_BY(mutex);

/* ------------------------------------------------------------------ memory */

static _Thread_local int64_t allocated;

/* An idle connection has no buffers for records, so that each request brings two, of one size: a thread
 * keeps two for the next one, as the allocator keeps none so large (process.c). */
#ifdef USE_JEMALLOC
#define SPARE_MOST 2
#else
#define SPARE_MOST 0 /* each use of memory is looked at */
#endif
#define SPARE_LEAST ((size_t)16384)
#define SPARE_SIZE ((size_t)20480)
static _Thread_local void *spare[SPARE_MOST + 1];
static _Thread_local int spare_count;

/* A call of its own, since compilers mind that nothing is in new memory yet. */
static __attribute__((noinline)) int64_t size_of(void *memory) {
    return (int64_t)memory_size(memory);
}

static void *counted_malloc(size_t size, const char *file, int line) {
    (void)file, (void)line;
    bool has_spare = spare_count > 0 && size > SPARE_LEAST && size <= SPARE_SIZE;
    void *memory = has_spare ? spare[--spare_count] : size ? malloc(size) : NULL;
    if (memory) allocated += size_of(memory);
    return memory;
}

static void counted_free(void *memory, const char *file, int line) {
    (void)file, (void)line;
    if (!memory) return;
    int64_t size = size_of(memory);
    allocated -= size;
    if (size == (int64_t)SPARE_SIZE && spare_count < SPARE_MOST)
        spare[spare_count++] = memory;
    else
        free(memory);
}

static void *counted_realloc(void *memory, size_t size, const char *file, int line) {
    if (!memory) return counted_malloc(size, file, line);
    if (size == 0) {
        counted_free(memory, file, line);
        return NULL;
    }
    int64_t before = size_of(memory);
    void *other = realloc(memory, size);
    if (other) allocated += size_of(other) - before;
    return other;
}

void tls_count_memory(void) {
    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1)
        log_write(LOG_WARNING, "OpenSSL is in use already: its memory isn't counted to clients.");
}

int64_t tls_memory(void) {
    return allocated;
}

/* ------------------------------------------------------------------ errors */

void tls_error(char *out, size_t size, int *reason) {
    unsigned long error = ERR_get_error();
    const char *text = ERR_reason_error_string(error);
    if (reason) *reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    if (ERR_SYSTEM_ERROR(error)) text = strerror(ERR_GET_REASON(error));
    snprintf(out, size, "%s", text ? text : "unknown error");
    ERR_clear_error();
}

/* Logs what is wrong with an option, with the library's reason; returns false. */
static bool complain(const char *option, const char *value, const char *advice) {
    char reason[256];
    tls_error(reason, sizeof reason, NULL);
    log_write(LOG_WARNING, "TLS: %s '%s' can't be used: %s. %s", option, value, reason, advice);
    return false;
}

/* ------------------------------------------------------------------ building a context */

/* How options are read: in the one way or the other (config.h). */
typedef size_t text_function(const char *name, char *out, size_t size);

/* Never asks on a terminal. */
static int password_give(char *out, int size, int is_for_writing, void *password) {
    (void)is_for_writing;
    size_t length = password ? strlen(password) : 0;
    if (length == 0 || length >= (size_t)size) return -1;
    memcpy(out, password, length + 1);
    return (int)length;
}

static bool load_certificate(SSL_CTX *fresh, text_function *text) {
    char file[TEXT_SIZE];
    if (text("tls-cert-file", file, sizeof file) == 0) {
        log_write(LOG_WARNING,
                  "TLS: no tls-cert-file is configured. Set it to the server's certificate (PEM), "
                  "with those of its issuers behind it.");
        return false;
    }
    return SSL_CTX_use_certificate_chain_file(fresh, file) == 1 ||
           complain("tls-cert-file", file,
                    "It has to be a certificate in PEM form that the server may read.");
}

static bool load_key(SSL_CTX *fresh, text_function *text) {
    char file[TEXT_SIZE], password[TEXT_SIZE];
    if (text("tls-key-file", file, sizeof file) == 0) {
        log_write(LOG_WARNING, "TLS: no tls-key-file is configured. Set it to the certificate's private key "
                               "(PEM).");
        return false;
    }
    text("tls-key-file-pass", password, sizeof password);
    SSL_CTX_set_default_passwd_cb(fresh, password_give);
    SSL_CTX_set_default_passwd_cb_userdata(fresh, password);
    bool is_loaded = SSL_CTX_use_PrivateKey_file(fresh, file, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(fresh, NULL);
    OPENSSL_cleanse(password, sizeof password);
    if (!is_loaded)
        return complain(
            "tls-key-file", file,
            "It has to be the private key of tls-cert-file, in PEM form, and tls-key-file-pass its "
            "password if it has one.");
    return SSL_CTX_check_private_key(fresh) == 1 ||
           complain("tls-key-file", file, "It has to be the private key of tls-cert-file.");
}

/* Who may have signed the clients' certificates. */
static bool load_authorities(SSL_CTX *fresh, text_function *text) {
    char file[TEXT_SIZE], folder[TEXT_SIZE];
    bool has_file = text("tls-ca-cert-file", file, sizeof file) > 0,
         has_folder = text("tls-ca-cert-dir", folder, sizeof folder) > 0;
    if (!has_file && !has_folder) {
        if (atomic_load_explicit(&config.tls_auth_clients, memory_order_relaxed) == TLS_AUTH_NO) return true;
        log_write(LOG_WARNING, "TLS: clients have to show a certificate, and neither tls-ca-cert-file nor "
                               "tls-ca-cert-dir says who may have signed it. Set one of them, or "
                               "'tls-auth-clients no'.");
        return false;
    }
    if (SSL_CTX_load_verify_locations(fresh, has_file ? file : NULL, has_folder ? folder : NULL) != 1)
        return complain(has_file ? "tls-ca-cert-file" : "tls-ca-cert-dir", has_file ? file : folder,
                        "It has to hold certificates in PEM form that the server may read.");
    return true;
}

/* "TLSv1.2 TLSv1.3", in any order, to the options that forbid the others. */
static bool set_protocols(SSL_CTX *fresh, text_function *text) {
    static const struct {
        const char *name;
        uint64_t without;
    } known[] = {{"TLSv1", SSL_OP_NO_TLSv1},
                 {"TLSv1.1", SSL_OP_NO_TLSv1_1},
                 {"TLSv1.2", SSL_OP_NO_TLSv1_2},
                 {"TLSv1.3", SSL_OP_NO_TLSv1_3}};
    char words[TEXT_SIZE], *rest = words;
    uint64_t forbidden = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3;
    if (text("tls-protocols", words, sizeof words) == 0) snprintf(words, sizeof words, "TLSv1.2 TLSv1.3");
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(rest, " ", &rest)) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcasecmp(word, known[i].name) != 0) i++;
        if (i == sizeof known / sizeof *known) {
            log_write(LOG_WARNING,
                      "TLS: tls-protocols has '%s'. Use a combination of 'TLSv1', 'TLSv1.1', "
                      "'TLSv1.2' and 'TLSv1.3'.",
                      word);
            return false;
        }
        forbidden &= ~known[i].without;
    }
    SSL_CTX_set_options(fresh, SSL_OP_NO_SSLv3 | forbidden);
    return true;
}

static bool set_ciphers(SSL_CTX *fresh, text_function *text) {
    char list[TEXT_SIZE];
    if (atomic_load_explicit(&config.tls_prefer_server_ciphers, memory_order_relaxed))
        SSL_CTX_set_options(fresh, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (text("tls-ciphers", list, sizeof list) > 0 && SSL_CTX_set_cipher_list(fresh, list) != 1)
        return complain("tls-ciphers", list, "'openssl ciphers' shows what there is.");
    if (text("tls-ciphersuites", list, sizeof list) > 0 && SSL_CTX_set_ciphersuites(fresh, list) != 1)
        return complain("tls-ciphersuites", list, "'openssl ciphers -s -tls1_3' shows what there is.");
    return true;
}

/* Of use to ciphers of TLS 1.2 that hardly anybody has: without a file the library has some of its own. */
static bool set_parameters(SSL_CTX *fresh, text_function *text) {
    char file[TEXT_SIZE];
    if (text("tls-dh-params-file", file, sizeof file) == 0) {
        SSL_CTX_set_dh_auto(fresh, 1);
        return true;
    }
    BIO *bytes = BIO_new_file(file, "r");
    EVP_PKEY *parameters = bytes ? PEM_read_bio_Parameters(bytes, NULL) : NULL;
    BIO_free(bytes);
    if (parameters && SSL_CTX_set0_tmp_dh_pkey(fresh, parameters) == 1) return true;
    EVP_PKEY_free(parameters);
    return complain("tls-dh-params-file", file, "'openssl dhparam -out FILE 2048' makes one.");
}

static void set_caching(SSL_CTX *fresh) {
    static const unsigned char name[] = "latchkey";
    SSL_CTX_set_session_id_context(fresh, name, sizeof name - 1);
    if (!atomic_load_explicit(&config.tls_session_caching, memory_order_relaxed)) {
        /* Tickets are the same thing, kept by the client. */
        SSL_CTX_set_session_cache_mode(fresh, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(fresh, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(fresh, 0);
        return;
    }
    SSL_CTX_set_session_cache_mode(fresh, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(
        fresh, (long)atomic_load_explicit(&config.tls_session_cache_size, memory_order_relaxed));
    SSL_CTX_set_timeout(fresh,
                        (long)atomic_load_explicit(&config.tls_session_cache_timeout, memory_order_relaxed));
}

/* NULL with a logged reason. */
static SSL_CTX *context_build(text_function *text) {
    ERR_clear_error();
    SSL_CTX *fresh = SSL_CTX_new(TLS_server_method());
    if (!fresh) {
        complain("OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING),
                 "It lacks memory, or its own configuration.");
        return NULL;
    }
    SSL_CTX_set_options(fresh, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    /* An idle connection has no buffers; many small records are taken at once. */
    SSL_CTX_set_mode(fresh, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(fresh, 1);
    set_caching(fresh);
    if (load_certificate(fresh, text) && load_key(fresh, text) && load_authorities(fresh, text) &&
        set_protocols(fresh, text) && set_ciphers(fresh, text) && set_parameters(fresh, text))
        return fresh;
    SSL_CTX_free(fresh);
    ERR_clear_error();
    return NULL;
}

/* ------------------------------------------------------------------ the one at hand */

static void context_exchange(SSL_CTX *fresh) {
    mutex_lock(&mutex);
    SSL_CTX *old = context;
    context = fresh;
    mutex_unlock(&mutex);
    SSL_CTX_free(old);
}

bool tls_start(void) {
    SSL_CTX *fresh = context_build(config_text);
    if (fresh) context_exchange(fresh);
    return fresh != NULL;
}

void tls_stop(void) {
    context_exchange(NULL);
}

/* As long as nobody listens, files need not be there. */
static bool on_set(const char *value) {
    (void)value;
    if (atomic_load_explicit(&config.tls_port, memory_order_relaxed) == 0) return true;
    SSL_CTX *fresh = context_build(config_text_in_apply);
    if (!fresh) return false;
    context_exchange(fresh);
    log_write(LOG_NOTICE, "TLS: new connections are made by what the files and options say now.");
    return true;
}

void tls_may_change(void) {
    static const char *const names[] = {"tls-port",
                                        "tls-cert-file",
                                        "tls-key-file",
                                        "tls-key-file-pass",
                                        "tls-ca-cert-file",
                                        "tls-ca-cert-dir",
                                        "tls-auth-clients",
                                        "tls-protocols",
                                        "tls-ciphers",
                                        "tls-ciphersuites",
                                        "tls-prefer-server-ciphers",
                                        "tls-session-caching",
                                        "tls-session-cache-size",
                                        "tls-session-cache-timeout",
                                        "tls-dh-params-file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        config_on_set(names[i], on_set, "Unable to update TLS configuration. Check server logs.");
}

static int demands_of(enum tls_auth_mode mode) {
    switch (mode) {
    case TLS_AUTH_NO: return SSL_VERIFY_NONE;
    case TLS_AUTH_OPTIONAL: return SSL_VERIFY_PEER;
    default: return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
}

SSL *tls_open(void) {
    mutex_lock(&mutex);
    SSL_CTX *present = context;
    if (present) SSL_CTX_up_ref(present);
    mutex_unlock(&mutex);
    if (!present) return NULL;
    SSL *ssl = SSL_new(present); /* has a reference of its own */
    SSL_CTX_free(present);
    if (!ssl) return NULL;
    enum tls_auth_mode mode =
        (enum tls_auth_mode)atomic_load_explicit(&config.tls_auth_clients, memory_order_relaxed);
    SSL_set_verify(ssl, demands_of(mode), NULL);
    SSL_set_accept_state(ssl);
    return ssl;
}
