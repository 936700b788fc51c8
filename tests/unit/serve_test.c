/* Workers in this process, so that their loops can be made deaf: clients that go are noticed all the same. */
#include "server/client/clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/interest/blocking.h"
#include "server/client/client_limit.h"
#include "server/client/serve.h"
#include "server/base/clock.h"
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/base/process.h"
#include "shard/base/counter.h"
#include "shard/keyspace.h"

#define SECONDS 60

static struct keyspace *keyspace;

static void start(const char *backend) {
    char *arguments[] = {
        "latchkey", "--io-backend", (char *)(uintptr_t)backend, "--loglevel", "warning", "--shards", "16",
        NULL};
    assert_true(config_load(7, arguments));
    keyspace = keyspace_open(&(struct keyspace_options){.shards = 16, .databases = 1, .lanes = 8});
    assert_non_null(keyspace);
    client_limit_start();
    assert_true(interest_start(keyspace));
    blocking_start(keyspace);
    assert_true(serve_start(keyspace, 1, 1, &(struct listening){.count = 0}));
}

static void stop(void) {
    workers_stop(0);
    assert_true(workers_await_end());
    workers_join();
    blocking_stop();
    interest_stop();
    keyspace_close(keyspace);
}

/* A client of worker 0, which has sent something. */
struct arrival {
    struct message message;
    int fd;
    const char *input;
};

static void arrive(struct worker *worker, struct message *message) {
    struct arrival *arrival = (struct arrival *)message;
    char data[LOOP_HEADROOM + 256];
    atomic_fetch_add(&worker->clients->assigned, 1);
    struct connection *connection = connection_open(worker, arrival->fd, LISTEN_UNIX);
    strcpy(data + LOOP_HEADROOM, arrival->input);
    if (*arrival->input != '\0')
        connection_receive(connection, data + LOOP_HEADROOM, (ssize_t)strlen(arrival->input));
}

enum hearing { ASKED, IS_BUSY, IS_DEAF };
static _Atomic int hearing;

/* The loop hears nothing of it from now on, as if the kernel had forgotten; if the connection has settled. */
static void make_deaf(struct worker *worker, struct message *message) {
    bool has_settled = worker->clients->connections->state == CONNECTION_READING;
    (void)message;
    if (has_settled) loop_release(worker->loop, &worker->clients->connections->stream);
    atomic_store(&hearing, has_settled ? IS_DEAF : IS_BUSY);
}

/* It is asked from here each time: a message that sent itself once more would be read by the worker in the
 * same breath, for ever. */
static void await_deafness(void) {
    struct message deafness = {.handle = make_deaf};
    do {
        atomic_store(&hearing, ASKED);
        worker_send(worker_at(0), &deafness);
        while (atomic_load(&hearing) == ASKED) usleep(1000);
    } while (atomic_load(&hearing) == IS_BUSY);
}

static uint64_t connections(void) {
    return counter_read(&worker_at(0)->connection_count);
}

static void await_connections(uint64_t count) {
    time_t deadline = time(NULL) + SECONDS;
    while (connections() != count) {
        if (time(NULL) > deadline)
            fail_msg("there are %d connections, not %d", (int)connections(), (int)count);
        usleep(1000);
    }
}

static void expect_noticed(const char *input, bool is_half) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    struct arrival arrival = {.message.handle = arrive, .fd = pair[0], .input = input};
    worker_send(worker_at(0), &arrival.message);
    await_connections(1);
    await_deafness();
    if (is_half)
        shutdown(pair[1], SHUT_WR);
    else
        close(pair[1]);
    await_connections(0);
    if (is_half) close(pair[1]);
}

static void who_goes_is_noticed_though_the_loop_tells_nothing(void **state) {
    static const char *const backends[] = {"epoll", "io_uring"};
    (void)state;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        start(backends[i]);
        assert_string_equal(loop_backend_name(worker_at(0)->loop), backends[i]);
        expect_noticed("", false);
        expect_noticed("*2\r\n$3\r\nGET\r\n$5\r\nhal", true);
        stop();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_is_noticed_though_the_loop_tells_nothing),
    };
    clock_init();
    process_init();
    commands_register();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
