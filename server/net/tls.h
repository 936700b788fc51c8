/* TLS's common part: what all connections by TLS share, made from the options whose names begin with "tls-".
 *
 * Certificates, keys and rules become one context of OpenSSL's, which isn't changed afterwards: another
 * configuration is another context. Connections have a reference each to the one that they began with, so
 * that a new one drops none of them. */
#ifndef SERVER_NET_TLS_H
#define SERVER_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The process's first act, before anything that may use OpenSSL: from now on its memory is counted. */
void tls_count_memory(void);
/* What OpenSSL has got on this thread, less what it has given back on it. So a difference tells what was done
 * in between. */
int64_t tls_memory(void);

/* Makes the context from the options and puts it in the place of the one before; connections that are there
 * keep theirs. false with a logged reason, and then all is as it was. */
bool tls_start(void);
/* From now on CONFIG SET of one of these options does that, as long as `tls-port` isn't 0. Before other
 * threads. */
void tls_may_change(void);
/* When nobody uses it any more. */
void tls_stop(void);

/* A connection of a client that comes now: by the context at hand, and with the demands on the client's
 * certificate that stand now. NULL if there is no context, or no memory. Any thread. */
SSL *tls_open(void);

/* The oldest error of this thread's queue, as text of the library's own; empties the queue. *reason: its
 * number (SSL_R_...) if it is one of TLS. */
void tls_error(char *out, size_t size, int *reason);

#endif
