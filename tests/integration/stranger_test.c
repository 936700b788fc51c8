/* Strangers: what somebody who can reach the socket, and no more than that, can't do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define MIB ((size_t)1024 * 1024)

static struct server *start(const char *const *further) {
    const char *options[16] = {"--threads", "2"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ web pages */

/* How often the server warns of that until it is stopped: its warnings come to our standard error. */
static int stop_and_count_warnings(struct server *server, FILE *warnings, int standard_error,
                                   const char *text) {
    stop(server);
    fflush(stderr);
    assert_int_equal(dup2(standard_error, STDERR_FILENO), STDERR_FILENO);
    close(standard_error);
    rewind(warnings);
    char line[1024];
    int count = 0;
    while (fgets(line, sizeof line, warnings) != NULL) count += strstr(line, text) != NULL;
    fclose(warnings);
    return count;
}

static void an_http_request_closes_the_connection_and_nothing_behind_it_is_obeyed(void **state) {
    (void)state;
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nAccept: */*\r\n\r\nCONFIG SET requirepass stolen\r\nSET k stolen\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:6379\r\n\r\nCONFIG SET requirepass stolen\r\nSET k stolen\r\n",
        "pOsT\r\nSET k stolen\r\n",
        "*1\r\n$4\r\nPOST\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\nstolen\r\n",
        "*2\r\n$5\r\nHOST:\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\nstolen\r\n",
    };
    FILE *warnings = tmpfile();
    assert_non_null(warnings);
    fflush(stderr);
    int standard_error = dup(STDERR_FILENO);
    assert_int_equal(dup2(fileno(warnings), STDERR_FILENO), STDERR_FILENO);
    struct server *server = start(NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct resp3 *connection = resp3_connect(server);
        resp3_send_text(connection, requests[i]);
        resp3_await_end(connection);
        resp3_close(connection);
    }
    redisContext *other = server_connect(server);
    expect(other, "(nil)", "GET k");
    expect(other, "ERR unknown command 'POSTS', with args beginning with: ", "POSTS");
    expect(other, "POST", "PING POST");
    redisFree(other);
    /* Once for all of them: a page that tries again and again doesn't fill the log. */
    assert_int_equal(
        stop_and_count_warnings(server, warnings, standard_error, "Possible SECURITY ATTACK detected"), 1);
}

/* ------------------------------------------------------------------ memory */

/* Sends, and waits until the server has it. */
static void send_and_await(struct resp3 *connection, redisContext *observer, const char *data,
                           size_t length) {
    static const char request[] = "*1\r\n$4\r\nINFO\r\n"; /* the observer's own */
    int64_t due = info_number(observer, "total_net_input_bytes") + (int64_t)length;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    resp3_send(connection, data, length);
    do due += (int64_t)sizeof request - 1;
    while (info_number(observer, "total_net_input_bytes") < due && now_us() < deadline);
    if (now_us() > deadline) fail_msg("the server doesn't receive %zu bytes", length);
}

static void an_argument_that_is_announced_and_not_sent_takes_no_room(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "1", "--maxmemory", "32mb",
                                                               "--maxmemory-policy", "allkeys-lru", NULL});
    redisContext *observer = server_connect(server);
    char *value = calloc(1, 4 * MIB);
    for (int i = 0; i < 16; i++) freeReplyObject(redisCommand(observer, "SET %d %b", i, value, MIB / 2));
    int64_t used = info_number(observer, "used_memory"), input = info_number(observer, "client_input_bytes");
    struct resp3 *strangers[8];
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nand no more";
    for (size_t i = 0; i < 8; i++) {
        strangers[i] = resp3_connect(server);
        send_and_await(strangers[i], observer, head, sizeof head - 1);
    }
    assert_true(info_number(observer, "used_memory") < used + (int64_t)MIB);
    expect(observer, "16", "DBSIZE");
    /* And as much as comes takes at most twice as much, which is counted. */
    send_and_await(strangers[0], observer, value, 4 * MIB);
    int64_t counted = info_number(observer, "client_input_bytes") - input;
    assert_true(counted >= (int64_t)(4 * MIB) && counted <= (int64_t)(9 * MIB));
    assert_true(info_number(observer, "used_memory") < used + (int64_t)(10 * MIB));
    for (size_t i = 0; i < 8; i++) resp3_close(strangers[i]);
    await_info_between(observer, "client_input_bytes", 0, input);
    expect(observer, "16", "DBSIZE");
    free(value);
    redisFree(observer);
    stop(server);
}

static void the_arguments_of_an_unfinished_request_are_counted(void **state) {
    (void)state;
    enum { ARGUMENTS = 200000 };
    struct server *server = server_start((const char *const[]){"--threads", "1", NULL});
    redisContext *observer = server_connect(server);
    int64_t input = info_number(observer, "client_input_bytes"), used = info_number(observer, "used_memory");
    struct resp3 *stranger = resp3_connect(server);
    char *empty = malloc(6 * ARGUMENTS);
    for (size_t i = 0; i < ARGUMENTS; i++) memcpy(empty + 6 * i, "$0\r\n\r\n", 6);
    send_and_await(stranger, observer, "*100000000\r\n", 12);
    assert_true(info_number(observer, "used_memory") < used + (int64_t)MIB / 4);
    send_and_await(stranger, observer, empty, 6 * ARGUMENTS);
    int64_t counted = info_number(observer, "client_input_bytes") - input,
            grown = info_number(observer, "used_memory") - used;
    assert_true(counted >= (6 + 24) * ARGUMENTS);
    assert_true(grown <= counted + (int64_t)MIB / 4);
    resp3_close(stranger);
    await_info(observer, "client_input_bytes", input);
    free(empty);
    redisFree(observer);
    stop(server);
}

/* ------------------------------------------------------------------ time */

/* CPU that a request of many small arguments and some large ones takes; which come first is the only
 * difference. */
static double cpu_of_arguments(const struct server *server, bool is_small_first) {
    enum { SMALL = 600000, LARGE = 1000 };
    static char large[17000];
    struct resp3 *connection = resp3_connect(server);
    char *small = malloc(6 * SMALL), head[64];
    for (size_t i = 0; i < SMALL; i++) memcpy(small + 6 * i, "$0\r\n\r\n", 6);
    double before = server_cpu_seconds(server);
    snprintf(head, sizeof head, "*%d\r\n$6\r\nEXISTS\r\n", 1 + SMALL + LARGE);
    resp3_send_text(connection, head);
    if (is_small_first) resp3_send(connection, small, 6 * SMALL);
    for (size_t i = 0; i < LARGE; i++) {
        resp3_send_text(connection, "$17000\r\n");
        resp3_send(connection, large, sizeof large);
        resp3_send_text(connection, "\r\n");
    }
    if (!is_small_first) resp3_send(connection, small, 6 * SMALL);
    resp3_expect(connection, ":0\r\n");
    double used = server_cpu_seconds(server) - before;
    free(small);
    resp3_close(connection);
    return used;
}

static void the_order_of_small_and_large_arguments_does_not_matter(void **state) {
    (void)state;
    struct server *server = start(NULL);
    double least_first = 0, least_last = 0;
    for (int i = 0; i < 3; i++) {
        double last = cpu_of_arguments(server, false), first = cpu_of_arguments(server, true);
        if (i == 0 || first < least_first) least_first = first;
        if (i == 0 || last < least_last) least_last = last;
    }
    if (least_first > 2 * least_last + 0.05)
        fail_msg("%.2f s of CPU, in the other order %.2f", least_first, least_last);
    stop(server);
}

/* ------------------------------------------------------------------ cursors */

/* A whole scan; returns how many of its cursors were larger than the one before, of those that had one. */
static int scan_rises(redisContext *connection, const char *command, int *cursors, size_t *found) {
    char cursor[32] = "0", request[96];
    uint64_t before = 0;
    int rises = 0;
    *cursors = 0;
    *found = 0;
    do {
        snprintf(request, sizeof request, command, cursor);
        redisReply *reply = redisCommand(connection, request);
        assert_int_equal(reply->elements, 2);
        *found += reply->element[1]->elements;
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        freeReplyObject(reply);
        uint64_t now = strtoull(cursor, NULL, 10);
        assert_true(now < UINT64_C(1) << 52);
        if (now != 0 && ++*cursors > 1) rises += now > before;
        before = now;
    } while (strcmp(cursor, "0") != 0);
    return rises;
}

/* A cursor was a piece of a hash, and so rose with each call; a few hundred of them give the hash's secret
 * away. */
static void a_cursor_tells_nothing_of_the_hash(void **state) {
    (void)state;
    static const char *const commands[] = {"SCAN %s COUNT 1", "SSCAN set %s COUNT 1", "HSCAN hash %s COUNT 1",
                                           "ZSCAN zset %s COUNT 1"};
    struct server *server = start((const char *const[]){"--shards", "64", NULL});
    redisContext *connection = server_connect(server);
    for (int i = 0; i < 3000; i++) {
        freeReplyObject(redisCommand(connection, "SADD set %d", i));
        freeReplyObject(redisCommand(connection, "HSET hash %d v", i));
        freeReplyObject(redisCommand(connection, "ZADD zset 1 %d", i));
        freeReplyObject(redisCommand(connection, "SET %d v", i));
    }
    for (size_t i = 0; i < 4; i++) {
        int cursors;
        size_t found, expected = i == 0 ? 3003 : i == 1 ? 3000 : 6000;
        int rises = scan_rises(connection, commands[i], &cursors, &found);
        assert_int_equal(found, expected);
        /* Half of them, by seven standard deviations. */
        assert_true(cursors > 100);
        assert_in_range(rises, cursors / 4, cursors - cursors / 4);
    }
    expect(connection, "ERR invalid cursor", "SCAN x");
    expect(connection, "[0, []]", "SSCAN set 4503599627370496"); /* none of ours */
    expect(connection, "[0, []]", "SCAN 4503599627370496");
    redisFree(connection);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_request_closes_the_connection_and_nothing_behind_it_is_obeyed),
        cmocka_unit_test(an_argument_that_is_announced_and_not_sent_takes_no_room),
        cmocka_unit_test(the_arguments_of_an_unfinished_request_are_counted),
        cmocka_unit_test(the_order_of_small_and_large_arguments_does_not_matter),
        cmocka_unit_test(a_cursor_tells_nothing_of_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
