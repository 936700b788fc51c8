/* What integration and stress tests share: a server of their own, connections to it, and a clock. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* How long any one wait may take. Long, as sanitizers on a busy machine are slow; nothing waits for it to
 * pass. */
#define PATIENCE_SECONDS 60
/* A worker whose turn takes a moment gets no connection meanwhile. */
#define MOST_CONNECTIONS_TRIED 512

struct server {
    pid_t pid;
    int port;
    int log; /* its standard output and error, read by `reader` */
    pthread_t reader;
    char directory[64]; /* its working directory, removed at the end */
};

/* Starts the server that $LATCHKEY names on a free port of 127.0.0.1, with further options (ended by NULL;
 * options may be NULL), and returns when it is ready. $IO_BACKEND, if set, is the loop it uses. Ends the test
 * program with the server's log if it can't. What the server logs as a warning, and a sanitizer's report,
 * goes on to our standard error.
 *
 * A server that is not stopped is killed when the test program ends, however that happens if it was started
 * by the main thread. */
struct server *server_start(const char *const *options);
/* Ends it with SIGTERM, frees it, and returns its exit status, or 128 + the signal that killed it: 0 is what
 * a test should expect, since a sanitizer that found something makes it another. Ends the test program if it
 * takes more than 60 seconds. */
int server_stop(struct server *server);
/* For a server that ends by itself: once it has, server_stop's signal comes too late to matter. */
void server_await_end(const struct server *server);
/* CPU time that the process has used, in seconds, in steps of 1/100. */
double server_cpu_seconds(const struct server *server);

/* A connection, to be freed with redisFree. Ends the test program with a message if there is none to be
 * had. */
redisContext *server_connect(const struct server *server);
/* A connection that is served by the worker of that number. Fails the test if hundreds come to others. */
redisContext *server_connect_to(const struct server *server, long worker);
/* Runs a command and checks that the reply reads as expected, in the form that reply_text gives it. Fails the
 * cmocka test otherwise. */
void expect(redisContext *connection, const char *expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The reply in one line, to be freed: "OK", "(nil)", "12", "[a, b, (nil)]", or the error's text. */
char *reply_text(const redisReply *reply);

/* A field of INFO that is a number. Fails the test if there is none of that name. */
int64_t info_number(redisContext *connection, const char *name);
/* Asks INFO again and again until a field has this value, or lies between these; fails the test after
 * PATIENCE_SECONDS. What was done is told by one number before it is by another: so each is awaited, and none
 * asserted because another one has come. */
void await_info(redisContext *connection, const char *name, int64_t value);
void await_info_between(redisContext *connection, const char *name, int64_t least, int64_t most);
/* Fails the test if the server's loops turn while they have nothing to do but to tell the time and to answer
 * INFO. */
void expect_rest(redisContext *connection);
/* What a command is answered, a number. */
int64_t ask_integer(redisContext *connection, const char *command);

/* A new connection that has sent a command that is going to wait, and does: the observer, another connection,
 * has seen it. */
redisContext *connect_and_wait(const struct server *server, redisContext *observer, const char *command);
/* What a connection is answered to what it has sent before. */
void expect_next(redisContext *connection, const char *expected);
/* What a connection that waited is answered; it is closed. */
void expect_answer(redisContext *waiting, const char *expected);

/* How many times something is done: the full number, or fewer if $IS_SLOW_SERVER says that the server is one
 * that looks at each of its steps. What is found by numbers is found in a build that is none; here it is the
 * steps. */
int scaled(int full, int slow);

/* A port of 127.0.0.1 that nobody has, below those that the kernel gives to outgoing connections, so that
 * nobody gets it before the server does. */
int port_free(void);

int64_t now_us(void); /* monotonic */

#endif
