/* A server and one client of it, for test programs that need no more: `start` and `stop` are the setup and
 * teardown of a group, or of each test. Three workers, so that what a test does besides comes to others as
 * well. */
#ifndef TESTS_ONE_CLIENT_H
#define TESTS_ONE_CLIENT_H

#include "support.h"

static struct server *server;
static redisContext *client;

static int start(void **unused) {
    (void)unused;
    server = server_start((const char *const[]){"--threads", "3", NULL});
    client = server_connect(server);
    return 0;
}

static int stop(void **unused) {
    (void)unused;
    redisFree(client);
    return server_stop(server);
}

#endif
