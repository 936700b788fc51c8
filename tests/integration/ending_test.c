/* How a connection ends: by its own word, by an error, by a limit; and that nothing of it is left wherever it
 * was counted. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

static void send_packet(struct resp3 *connection, const char *text) {
    assert_int_equal(send(connection->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* ------------------------------------------------------------------ in one queue at most */

static void a_monitor_that_quits_or_errs_is_closed_once_and_its_worker_goes_on(void **state) {
    static const char *const packets[] = {"MONITOR\r\nQUIT\r\n", "MONITOR\r\n*1\r\nnonsense\r\n",
                                          "MONITOR\r\nQUIT\r\nPING\r\n", "MONITOR\r\nPING\r\nQUIT\r\n*"};
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "1", NULL});
    redisContext *admin = server_connect(server);
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct resp3 *two[2];
        for (int j = 0; j < 2; j++) {
            two[j] = resp3_connect(server);
            send_packet(two[j], packets[i]);
        }
        for (int j = 0; j < 2; j++)
            resp3_await_end(two[j]); /* its own side stays open: the server lets it linger */
        await_info(admin, "connected_clients", 1);
        for (int j = 0; j < 2; j++) resp3_close(two[j]);
        expect(admin, "PONG", "PING");
    }
    struct resp3 *monitor = resp3_connect(server);
    send_packet(monitor, "MONITOR\r\n");
    resp3_expect(monitor, "+OK\r\n");
    send_packet(monitor, "QUIT\r\n");
    resp3_await_end(monitor);
    resp3_close(monitor);
    redisFree(admin);
    stop(server);
}

#define READ_LATE_VALUES ((size_t)4000)

/* Reads from shortly before its time at the soft limit is up, and faster than it is sent to: so a turn's
 * share is put off to the next turn's end, again and again, and there it is closed. */
static void *read_late(void *argument) {
    struct resp3 *reader = argument;
    char bytes[64 * KIB];
    size_t missing = READ_LATE_VALUES * 64 * KIB;
    ssize_t length = 1;
    usleep(850000);
    while (length > 0 && missing > 0) {
        length = recv(reader->fd, bytes, sizeof bytes, 0);
        missing -= length > 0 && (size_t)length < missing ? (size_t)length : missing;
    }
    return NULL;
}

/* Whether what was put off is still tried shows under AddressSanitizer. */
static void who_is_closed_by_the_soft_limit_while_it_is_being_sent_to_is_sent_nothing_more(void **state) {
    enum { READERS = 4 };
    (void)state;
    struct server *server = server_start(
        (const char *const[]){"--threads", "1", "--client-output-buffer-limit", "normal 0 64kb 1", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *readers[READERS];
    pthread_t threads[READERS];
    char *value = calloc(1, 64 * KIB);
    assert_non_null(value);
    redisReply *reply = redisCommand(admin, "SET k %b", value, 64 * KIB);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    for (int i = 0; i < READERS; i++) {
        int room = (int)(16 * MIB);
        readers[i] = resp3_connect(server);
        setsockopt(readers[i]->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        char head[32];
        snprintf(head, sizeof head, "*%zu\r\n$4\r\nMGET\r\n", READ_LATE_VALUES + 1);
        send_packet(readers[i], head);
        for (size_t j = 0; j < READ_LATE_VALUES; j++) send_packet(readers[i], "$1\r\nk\r\n");
        assert_int_equal(pthread_create(&threads[i], NULL, read_late, readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        resp3_close(readers[i]);
    }
    await_info(admin, "connected_clients", 1);
    free(value);
    redisFree(admin);
    stop(server);
}

/* ------------------------------------------------------------------ what it was counted for */

static void who_no_longer_monitors_is_not_counted_as_a_monitor_however_that_ended(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "2", NULL});
    redisContext *admin = server_connect(server);
    static const char *const ways[] = {"RESET\r\n", "QUIT\r\n", "*1\r\nnonsense\r\n", ""};
    for (size_t i = 0; i < 2 * sizeof ways / sizeof *ways; i++) {
        struct resp3 *monitor = resp3_connect(server);
        const char *way = ways[i / 2];
        send_packet(monitor, "MONITOR\r\n");
        resp3_expect(monitor, "+OK\r\n");
        await_info(admin, "monitor_clients", 1);
        if (*way != '\0')
            send_packet(monitor, way);
        else
            resp3_half_close(monitor);
        await_info(admin, "monitor_clients", 0);
        resp3_close(monitor);
        await_info(admin, "monitor_clients", 0);
    }
    struct resp3 *monitor = resp3_connect(server);
    send_packet(monitor, "MONITOR\r\n");
    resp3_expect(monitor, "+OK\r\n");
    expect(admin, "1", "CLIENT KILL TYPE normal");
    await_info(admin, "monitor_clients", 0);
    resp3_close(monitor);
    redisFree(admin);
    stop(server);
}

/* It may linger for a moment, since bytes follow what it ended with. Who opens such connections one after
 * another finds that they are counted. */
static void who_quits_and_stays_is_still_a_client_too_many(void **state) {
    (void)state;
    enum { MOST = 10, TRIES = 2000 };
    struct server *server = server_start((const char *const[]){"--threads", "1", "--maxclients", "10", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *clients[TRIES];
    int count = 0;
    while (count < TRIES && info_number(admin, "rejected_connections") == 0) {
        clients[count] = resp3_connect(server);
        if (send(clients[count]->fd, "QUIT\r\nPING\r\n", 12, MSG_NOSIGNAL) < 0)
            assert_true(errno == EPIPE || errno == ECONNRESET);
        count++;
    }
    assert_true(count < TRIES);
    for (int i = 0; i < count; i++) resp3_close(clients[i]);
    /* Who closes as well leaves its place at once. */
    struct resp3 *next = NULL;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    for (bool is_in = false; !is_in; resp3_close(next)) {
        if (now_us() > deadline) fail_msg("no place becomes free");
        next = resp3_connect(server);
        if (send(next->fd, "PING\r\n", 6, MSG_NOSIGNAL) < 0) continue;
        char answer = 0;
        is_in = recv(next->fd, &answer, 1, 0) == 1 && answer == '+';
    }
    redisFree(admin);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_monitor_that_quits_or_errs_is_closed_once_and_its_worker_goes_on),
        cmocka_unit_test(who_is_closed_by_the_soft_limit_while_it_is_being_sent_to_is_sent_nothing_more),
        cmocka_unit_test(who_no_longer_monitors_is_not_counted_as_a_monitor_however_that_ended),
        cmocka_unit_test(who_quits_and_stays_is_still_a_client_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
