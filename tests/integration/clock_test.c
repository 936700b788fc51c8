/* Durations, and what is measured by them: no clock that somebody sets changes them, and they end when their
 * time has passed. DEBUG CLOCK stands in for both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_S 86400

static struct server *server;
static redisContext *admin;

static int open_server(void **state) {
    (void)state;
    server = server_start((const char *const[]){"--threads", "2", NULL});
    admin = server_connect(server);
    return 0;
}

static int close_server(void **state) {
    (void)state;
    redisFree(admin);
    return server_stop(server);
}

static void shift(const char *clock, int64_t milliseconds) {
    expect(admin, "OK", "DEBUG CLOCK %s %lld", clock, (long long)milliseconds);
}

/* The largest (or, with sign -1, the smallest) of a field of CLIENT LIST. */
static long long client_field(const char *name, int sign) {
    redisReply *reply = redisCommand(admin, "CLIENT LIST");
    long long found = 0;
    bool is_first = true;
    for (const char *at = reply->str; (at = strstr(at, name)) != NULL; at++) {
        long long value = strtoll(at + strlen(name), NULL, 10);
        if (is_first || value * sign > found * sign) found = value;
        is_first = false;
    }
    assert_false(is_first);
    freeReplyObject(reply);
    return found;
}

static void a_clock_that_is_set_changes_no_age(void **state) {
    (void)state;
    redisContext *idle = server_connect(server);
    expect(idle, "OK", "SET k v");
    expect(admin, "OK", "CONFIG SET timeout 3000");
    int64_t jumps[] = {20 * HOUR_MS, -50 * HOUR_MS, 30 * HOUR_MS};
    for (size_t i = 0; i < 3; i++) {
        shift("WALL", jumps[i]);
        /* More than anything here takes, less than the jumps. */
        assert_in_range(client_field(" idle=", 1), 0, 3000);
        assert_in_range(client_field(" age=", 1), 0, 3000);
        assert_true(client_field(" idle=", -1) >= 0 && client_field(" age=", -1) >= 0);
        redisReply *reply = redisCommand(admin, "OBJECT IDLETIME k");
        assert_in_range(reply->integer, 0, 3000);
        freeReplyObject(reply);
    }
    expect(idle, "v", "GET k");
    expect(admin, "OK", "CONFIG SET timeout 0");
    redisFree(idle);
}

static void a_pause_is_neither_longer_nor_shorter_for_a_clock_that_is_set(void **state) {
    (void)state;
    redisContext *writer = server_connect(server);
    expect(admin, "OK", "CLIENT PAUSE 100 WRITE");
    redisAppendCommand(writer, "SET paused yes");
    int is_done = 0;
    while (!is_done) assert_int_equal(redisBufferWrite(writer, &is_done), REDIS_OK);
    shift("WALL", -20 * HOUR_MS);
    expect_answer(writer, "OK"); /* not 20 hours later */

    expect(admin, "OK", "CLIENT PAUSE 3000000 WRITE");
    writer = connect_and_wait(server, admin, "SET paused no");
    shift("WALL", 20 * HOUR_MS);
    for (int i = 0; i < 20; i++) expect(admin, "yes", "GET paused");
    assert_int_equal(info_number(admin, "blocked_clients"), 1);
    shift("MONOTONIC", HOUR_MS); /* that is the end of it */
    expect_answer(writer, "OK");
    expect(admin, "no", "GET paused");
}

static void what_waits_ends_when_its_time_has_passed(void **state) {
    (void)state;
    redisContext *blocked = connect_and_wait(server, admin, "BLPOP none 3000");
    shift("WALL", 20 * HOUR_MS);
    expect(admin, "PONG", "PING");
    assert_int_equal(info_number(admin, "blocked_clients"), 1);
    shift("WALL", -20 * HOUR_MS);
    shift("MONOTONIC", HOUR_MS);
    expect_answer(blocked, "(nil)");

    struct resp3 *idle = resp3_connect(server);
    RESP3_COMMAND(idle, "SET", "k", "v");
    resp3_expect(idle, "+OK\r\n");
    expect(admin, "OK", "CONFIG SET timeout 3000");
    shift("MONOTONIC", HOUR_MS);
    resp3_expect_end(idle);
    resp3_close(idle);
    redisFree(admin); /* the same happens to it */
    admin = server_connect(server);
    redisReply *reply = redisCommand(admin, "OBJECT IDLETIME k");
    assert_in_range(reply->integer, 3600, DAY_S);
    freeReplyObject(reply);
    expect(admin, "OK", "CONFIG SET timeout 0");
}

/* A tenth of a second in which the server does nothing. */
static void idle(void) {
    redisReply *reply = redisCommand(admin, "BLPOP nothing 0.1");
    assert_int_equal(reply->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);
}

#define TURNS 2000

static void a_reset_of_the_counters_makes_no_rate_absurd(void **state) {
    (void)state;
    for (int i = 0; i < TURNS; i++) expect(admin, "PONG", "PING");
    while (info_number(admin, "instantaneous_ops_per_sec") < 100) idle();
    while (info_number(admin, "instantaneous_ops_per_sec") >= 100) idle();
    /* All that was counted lies before what rates are made of now. After this there are more commands than
     * there were, but fewer turns. */
    expect(admin, "OK", "CONFIG RESETSTAT");
    for (int i = 0; i < 4 * TURNS; i++) redisAppendCommand(admin, "PING");
    for (int i = 0; i < 4 * TURNS; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(admin, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    for (int i = 0; i < 4; i++) {
        idle();
        assert_true(info_number(admin, "instantaneous_eventloop_cycles_per_sec") < 10000000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_of_the_counters_makes_no_rate_absurd),
        cmocka_unit_test(a_clock_that_is_set_changes_no_age),
        cmocka_unit_test(a_pause_is_neither_longer_nor_shorter_for_a_clock_that_is_set),
        cmocka_unit_test(what_waits_ends_when_its_time_has_passed),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
