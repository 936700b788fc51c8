/* MONITOR: what monitors see, in which order, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/resp3.h"

#define MIB ((size_t)1024 * 1024)

static struct server *start(const char *threads) {
    return server_start((const char *const[]){"--threads", threads, "--enable-debug-command", "yes",
                                              "--balance-clients", "no", NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* Checks the next line that a monitor is sent, but for its time and the client's address. */
static void expect_seen(struct resp3 *monitor, const char *database, const char *command) {
    char *line = resp3_read_line(monitor), expected[256], *address = strchr(line, '[');
    const char *rest = strchr(line, ']');
    assert_int_equal(line[0], '+');
    assert_non_null(address);
    assert_non_null(rest);
    *strchr(address, ' ') = '\0';
    snprintf(expected, sizeof expected, "] %s\r\n", command);
    assert_string_equal(address + 1, database);
    assert_string_equal(rest, expected);
    free(line);
}

/* ------------------------------------------------------------------ what is seen */

static void a_monitor_sees_its_own_commands_behind_their_replies_but_not_its_end(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *monitor = resp3_connect(server), *other = resp3_connect(server);
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    resp3_send_text(monitor, "MONITOR\r\n"); /* as it is one, this is answered by nothing */
    resp3_send_text(monitor, "PING\r\nSELECT 3\r\nECHO x\r\n"); /* a pipeline keeps that order, too */
    resp3_expect(monitor, "+PONG\r\n");
    expect_seen(monitor, "0", "\"PING\"");
    resp3_expect(monitor, "+OK\r\n");
    expect_seen(monitor, "3", "\"SELECT\" \"3\"");
    resp3_expect(monitor, "$1\r\nx\r\n");
    expect_seen(monitor, "3", "\"ECHO\" \"x\"");
    resp3_send_text(monitor, "CLIENT REPLY SKIP\r\nPING\r\nECHO y\r\n");
    expect_seen(monitor, "3", "\"CLIENT\" \"REPLY\" \"SKIP\"");
    resp3_expect(monitor, "$1\r\ny\r\n");
    expect_seen(monitor, "3", "\"ECHO\" \"y\"");
    resp3_exchange(other, "MONITOR", "+OK\r\n");
    resp3_exchange(monitor, "QUIT", "+OK\r\n");
    resp3_expect_end(monitor);
    expect_seen(other, "3", "\"QUIT\"");
    resp3_close(monitor);
    resp3_close(other);
    stop(server);
}

static void a_monitor_is_told_of_a_command_that_waits_when_it_comes_and_only_then(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *monitor = resp3_connect(server), *waiter = resp3_connect(server),
                 *other = resp3_connect(server);
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    resp3_send_text(waiter, "BLPOP k 0\r\n");
    expect_seen(monitor, "0", "\"BLPOP\" \"k\" \"0\"");
    resp3_exchange(other, "LPUSH k x", ":1\r\n");
    expect_seen(monitor, "0", "\"LPUSH\" \"k\" \"x\"");
    resp3_expect(waiter, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    resp3_exchange(waiter, "PING", "+PONG\r\n");
    expect_seen(monitor, "0", "\"PING\"");
    resp3_close(monitor);
    resp3_close(waiter);
    resp3_close(other);
    stop(server);
}

static void a_monitor_touches_no_key_and_waits_for_no_pause(void **state) {
    static const char *const requests[] = {"GET a", "SET a 1", "KEYS *", "DBSIZE", "PFCOUNT a", "LOLWUT"};
    (void)state;
    struct server *server = start("2");
    struct resp3 *monitor = resp3_connect(server), *other = resp3_connect(server);
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        resp3_exchange(monitor, requests[i], "-ERR Replica can't interact with the keyspace\r\n");
    resp3_exchange(other, "CLIENT PAUSE 100000 ALL", "+OK\r\n");
    resp3_exchange(monitor, "PING", "+PONG\r\n");
    expect_seen(monitor, "0", "\"PING\"");
    resp3_exchange(monitor, "CLIENT UNPAUSE", "+OK\r\n");
    resp3_exchange(monitor, "RESET", "+RESET\r\n");
    resp3_exchange(other, "PING", "+PONG\r\n");
    resp3_exchange(monitor, "GET a", "$-1\r\n"); /* and nothing of what the other has done since */
    resp3_close(monitor);
    resp3_close(other);
    stop(server);
}

static void a_long_line_is_the_same_for_every_monitor_and_outlives_who_leaves(void **state) {
    enum { MONITORS = 5, LENGTH = 300000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *monitors[MONITORS], *sender = resp3_connect(server);
    char *text = malloc(LENGTH + 1), *expected = malloc(LENGTH + 32);
    assert_non_null(text);
    assert_non_null(expected);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    snprintf(expected, LENGTH + 32, " \"ECHO\" \"%s\"\r\n", text);
    for (int i = 0; i < MONITORS; i++) {
        monitors[i] = resp3_connect(server);
        resp3_exchange(monitors[i], "MONITOR", "+OK\r\n");
    }
    RESP3_COMMAND(sender, "ECHO", text);
    resp3_value_free(resp3_read(sender));
    resp3_close(monitors[1]);
    resp3_close(monitors[2]);
    for (int i = 0; i < MONITORS; i++) {
        if (i == 1 || i == 2) continue;
        char *line = resp3_read_line(monitors[i]);
        assert_string_equal(strchr(line, ']') + 1, expected);
        free(line);
    }
    resp3_exchange(sender, "PING", "+PONG\r\n");
    for (int i = 0; i < MONITORS; i++) {
        if (i == 1 || i == 2) continue;
        expect_seen(monitors[i], "0", "\"PING\"");
        resp3_close(monitors[i]);
    }
    free(text);
    free(expected);
    resp3_close(sender);
    stop(server);
}

/* ------------------------------------------------------------------ what it costs */

static void ping_many(struct resp3 *sender, struct resp3 *monitor, int times) {
    for (int i = 0; i < times; i += 100) {
        for (int j = 0; j < 100; j++) resp3_send_text(sender, "PING\r\n");
        for (int j = 0; j < 100; j++) resp3_expect(sender, "+PONG\r\n");
        for (int j = 0; j < 100; j++) free(resp3_read_line(monitor));
    }
}

/* Others on the machine only ever make it more. */
static double least_cpu_of(const struct server *server, struct resp3 *sender, struct resp3 *monitor,
                           int times) {
    double least = 0;
    for (int i = 0; i < 3; i++) {
        double before = server_cpu_seconds(server);
        ping_many(sender, monitor, times);
        double used = server_cpu_seconds(server) - before;
        if (i == 0 || used < least) least = used;
    }
    return least;
}

/* Looking for the monitor among them made it many times as much. */
static void one_monitor_costs_the_same_beside_thousands_of_idle_clients(void **state) {
    (void)state;
    const int idle_count = scaled(3000, 500), pings = scaled(5000, 500);
    struct server *server = start("1");
    struct resp3 *monitor = resp3_connect(server), *sender = resp3_connect(server);
    struct resp3 **idle = calloc((size_t)idle_count, sizeof *idle);
    char last[16];
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    ping_many(sender, monitor, 1000);
    double alone = least_cpu_of(server, sender, monitor, pings);
    for (int i = 0; i < idle_count; i++) idle[i] = resp3_connect(server);
    snprintf(last, sizeof last, ":%d\r\n", idle_count + 2);
    resp3_exchange(idle[idle_count - 1], "CLIENT ID", last);
    expect_seen(monitor, "0", "\"CLIENT\" \"ID\"");
    double beside = least_cpu_of(server, sender, monitor, pings);
    if (beside > 2.5 * alone + 0.05)
        fail_msg("%d PINGs: %f s alone, %f s beside idle clients", pings, alone, beside);
    for (int i = 0; i < idle_count; i++) resp3_close(idle[i]);
    free(idle);
    resp3_close(monitor);
    resp3_close(sender);
    stop(server);
}

/* Keeps the connection's worker busy in one turn for some time: its answers come when all of them are
 * there. */
static void keep_busy(struct resp3 *busy, int milliseconds) {
    char request[64];
    snprintf(request, sizeof request, "DEBUG SLEEP %d.%03d\r\n", milliseconds / 1000, milliseconds % 1000);
    resp3_send_text(busy, request);
}

static int count_monitors(struct resp3 *connection) {
    int count = 0;
    resp3_send_text(connection, "CLIENT LIST\r\n");
    struct resp3_value *list = resp3_read(connection);
    for (const char *at = list->text; (at = strstr(at, " flags=O ")) != NULL; at++) count++;
    resp3_value_free(list);
    return count;
}

/* Reads on until the server closes, within a line perhaps, or has sent one that ends with the mark. */
static bool is_closed_before(const struct resp3 *monitor, const char *mark) {
    char data[65536];
    size_t kept = 0, length = strlen(mark);
    for (;;) {
        struct pollfd poll_one = {.fd = monitor->fd, .events = POLLIN};
        assert_true(poll(&poll_one, 1, PATIENCE_SECONDS * 1000) > 0);
        ssize_t received = recv(monitor->fd, data + kept, sizeof data - kept, 0);
        if (received <= 0) return true;
        kept += (size_t)received;
        if (kept < length) continue;
        if (memcmp(data + kept - length, mark, length) == 0) return false;
        memmove(data, data + kept - length, length);
        kept = length;
    }
}

static void monitors_of_a_worker_too_busy_to_take_their_lines_are_closed_and_others_go_on(void **state) {
    enum { LINES = 36 };
    (void)state;
    const int count = scaled(4, 2);
    struct server *server = start("2");
    struct resp3 *busy = resp3_connect_to(server, 0), *sender = resp3_connect_to(server, 1), *monitors[4];
    char *text = calloc(1, MIB + 1);
    assert_non_null(text);
    memset(text, 'x', MIB);
    for (int i = 0; i < count; i++) monitors[i] = resp3_connect_to(server, i % 2);
    for (int i = 0; i < count; i++) resp3_exchange(monitors[i], "MONITOR", "+OK\r\n");
    /* So long that all of the lines come meanwhile. */
    for (int milliseconds = scaled(250, 4000); count_monitors(sender) > count / 2; milliseconds *= 2) {
        assert_true(milliseconds <= 32000);
        keep_busy(busy, milliseconds);
        for (int i = 0; i < LINES; i++) {
            RESP3_COMMAND(sender, "ECHO", text);
            resp3_value_free(resp3_read(sender));
        }
        resp3_expect(busy, "+OK\r\n");
    }
    RESP3_COMMAND(sender, "ECHO", "mark");
    resp3_value_free(resp3_read(sender));
    for (int i = 0; i < count; i++) {
        assert_int_equal(is_closed_before(monitors[i], "\"mark\"\r\n"), i % 2 == 0);
        resp3_close(monitors[i]);
    }
    resp3_close(sender);
    resp3_close(busy);
    free(text);
    stop(server);
}

static long used_memory(struct resp3 *connection) {
    resp3_send_text(connection, "INFO memory\r\n");
    struct resp3_value *info = resp3_read(connection);
    const char *field = strstr(info->text, "used_memory:");
    assert_non_null(field);
    long used = atol(field + strlen("used_memory:"));
    resp3_value_free(info);
    return used;
}

/* A line of some dozen bytes kept a kilobyte while it waited, of which as much was counted as is in it. */
static void a_line_that_waits_takes_what_its_text_does(void **state) {
    enum { MOST_EACH = 400 };
    (void)state;
    const int lines = scaled(10000, 2000);
    struct server *server = start("2");
    struct resp3 *busy = resp3_connect_to(server, 0), *sender = resp3_connect_to(server, 1),
                 *monitor = resp3_connect_to(server, 0);
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    long before = used_memory(sender);
    resp3_send_text(busy, "DEBUG SLEEP 1\r\n");
    for (int i = 0; i < lines; i += 100) {
        for (int k = 0; k < 100; k++) resp3_send_text(sender, "PING\r\n");
        for (int k = 0; k < 100; k++) resp3_expect(sender, "+PONG\r\n");
    }
    long after = used_memory(sender);
    resp3_expect(busy, "+OK\r\n");
    if (after - before > lines * MOST_EACH) fail_msg("%d lines took %ld bytes", lines, after - before);
    resp3_close(monitor);
    resp3_close(sender);
    resp3_close(busy);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_monitor_sees_its_own_commands_behind_their_replies_but_not_its_end),
        cmocka_unit_test(a_monitor_is_told_of_a_command_that_waits_when_it_comes_and_only_then),
        cmocka_unit_test(a_monitor_touches_no_key_and_waits_for_no_pause),
        cmocka_unit_test(a_long_line_is_the_same_for_every_monitor_and_outlives_who_leaves),
        cmocka_unit_test(one_monitor_costs_the_same_beside_thousands_of_idle_clients),
        cmocka_unit_test(a_line_that_waits_takes_what_its_text_does),
        cmocka_unit_test(monitors_of_a_worker_too_busy_to_take_their_lines_are_closed_and_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
