/* Strangers, those who have not authenticated where that is asked for, or whose TLS handshake isn't over:
 * what all of them together may have the server hold of what they send and are owed, with what OpenSSL has
 * for them. What one of them may send is little (resp/request.h), but they can be many, and who may do
 * nothing else mustn't be able to fill the memory. Handshakes have a bound of their own beneath
 * (connection_tls.c).
 *
 * Each worker publishes what its strangers hold. One that finds, when they hold more than before, that the
 * sum over all workers is too much, closes the oldest of its own that hold something, until its part of the
 * sum is as small as it has to be; the others then close those that are older than one of these, in their
 * next turns. So nobody waits for anybody, and ages decide over all workers, but for one that is busy with
 * one thing for long. Who holds nothing is left alone: closing it would give nothing back. */
#ifndef SERVER_CLIENT_STRANGER_LIMIT_H
#define SERVER_CLIENT_STRANGER_LIMIT_H

struct worker;

/* A stranger's bytes have been received: it or others may be CLOSED afterwards. */
void strangers_check(struct worker *worker);
/* At the end of a worker's turn. */
void strangers_check_all(struct worker *worker);
#endif
