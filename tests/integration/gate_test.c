/* The gate, as clients see it: who waits for all shards is never held up by itself, and holds nobody up who needs none. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support.h"

#define WORKERS 3 /* one to look on, two that work */

static struct server *start(const char *option, const char *value) {
    return server_start((const char *const[]){"--threads", "3", "--slowlog-log-slower-than", "-1",
                                              option, value, NULL});
}

/* A connection that the worker of that number has. Others are kept open meanwhile, as the next one would take their place. */
static redisContext *connect_to_worker(const struct server *server, long long worker) {
    redisContext *others[64], *found = NULL;
    int count = 0;
    while (found == NULL) {
        redisContext *connection = server_connect(server);
        redisReply *reply = redisCommand(connection, "DEBUG WORKER");
        assert_non_null(reply);
        if (reply->integer == worker)
            found = connection;
        else
            others[count++] = connection;
        freeReplyObject(reply);
        assert_in_range(count, 0, 63);
    }
    while (count > 0) redisFree(others[--count]);
    return found;
}

static void send_now(redisContext *connection) {
    int done = 0;
    while (!done) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static bool is_answered(const redisContext *connection) {
    struct pollfd poll_fd = {connection->fd, POLLIN, 0};
    return poll(&poll_fd, 1, 0) > 0;
}

static void expect_next(redisContext *connection, const char *expected) {
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(connection, (void **)&reply), REDIS_OK);
    char *text = reply_text(reply);
    assert_string_equal(text, expected);
    free(text);
    freeReplyObject(reply);
}

static void add_members(redisContext *connection, const char *key, int from, int count) {
    for (int i = 0; i < count; i++) redisAppendCommand(connection, "SADD %s %d", key, from + i);
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(connection, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
}

#define CROWD 16
#define MEMBERS 500
#define UNIONS 200
#define ADDITIONS 50

/* Clients that want the same shards at the same time, for long and for a moment, refuse each other until somebody takes the gate. */
static void refuse_each_other(struct server *server, redisContext *admin) {
    redisContext *longs[CROWD], *shorts[CROWD];
    struct timeval patience = {.tv_sec = 60};
    add_members(admin, "a", 0, MEMBERS);
    add_members(admin, "b", MEMBERS / 2, MEMBERS);
    for (int i = 0; i < CROWD; i++) {
        longs[i] = server_connect(server);
        shorts[i] = server_connect(server);
        redisSetTimeout(longs[i], patience);
        redisSetTimeout(shorts[i], patience);
    }
    for (int i = 0; i < CROWD; i++) {
        for (int k = 0; k < UNIONS; k++) redisAppendCommand(longs[i], "SUNIONSTORE k a b");
        for (int k = 0; k < ADDITIONS; k++) redisAppendCommand(shorts[i], "SADD k z");
        send_now(longs[i]);
        send_now(shorts[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        char count[16];
        snprintf(count, sizeof count, "%d", MEMBERS * 3 / 2);
        for (int k = 0; k < UNIONS; k++) expect_next(longs[i], count);
        for (int k = 0; k < ADDITIONS; k++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(shorts[i], (void **)&reply), REDIS_OK);
            assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
            freeReplyObject(reply);
        }
        redisFree(longs[i]);
        redisFree(shorts[i]);
    }
}

static void a_request_that_keeps_the_gate_closed_is_not_stopped_by_it(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect(server);
    refuse_each_other(server, admin);
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* The same where each request has to make room before it begins. */
static void a_request_that_keeps_the_gate_closed_makes_no_room_again(void **state) {
    (void)state;
    struct server *server = start("--maxmemory-policy", "noeviction");
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "CONFIG SET maxmemory %lld",
           (long long)info_number(admin, "used_memory") + 64 * 1024 * 1024);
    refuse_each_other(server, admin);
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void flushall_that_waits_is_not_stopped_by_client_pause(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect(server), *flusher = connect_to_worker(server, 1);
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", "DEBUG HOLD k 0.3");
    redisAppendCommand(flusher, "FLUSHALL");
    send_now(flusher);
    while (info_number(admin, "parked_clients") < 1) continue;
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    expect_next(flusher, "OK"); /* when the hold is over, however long the pause may be */
    expect(admin, "0", "DBSIZE");
    expect(admin, "OK", "CLIENT UNPAUSE");
    redisFree(flusher);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* A closed gate is seen by a request that waits at it. */
static void what_needs_no_shard_is_answered_while_the_gate_is_closed(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *sleeper = connect_to_worker(server, 0), *health = connect_to_worker(server, 1),
                 *waiting = connect_to_worker(server, 1);
    expect(health, "OK", "SET k 1");
    redisAppendCommand(sleeper, "DEBUG SLEEP 2");
    send_now(sleeper);
    for (bool is_closed = false; !is_closed && !is_answered(sleeper);) {
        redisAppendCommand(waiting, "GET k");
        send_now(waiting);
        /* Either it is answered, or it is seen to wait. */
        while (!(is_closed = info_number(health, "parked_clients") > 0) && !is_answered(waiting))
            continue;
        if (!is_closed) expect_next(waiting, "1");
    }
    expect(health, "PONG", "PING");
    expect(health, "hello", "ECHO hello");
    expect(health, "OK", "SELECT 1");
    expect(health, "OK", "SELECT 0");
    expect(health, "[maxclients, 10000]", "CONFIG GET maxclients");
    expect(health, "1", "DBSIZE");
    assert_int_equal(info_number(health, "parked_clients"), 1);
    assert_false(is_answered(sleeper)); /* all of that happened while it slept */
    assert_false(is_answered(waiting));
    expect_next(sleeper, "OK");
    expect_next(waiting, "1");
    redisFree(sleeper);
    redisFree(health);
    redisFree(waiting);
    assert_int_equal(server_stop(server), 0);
}

#define LONGS 4
#define ROUNDS 100
#define LARGE 10000

/* There is always somebody inside who takes long; but none begins any more once somebody waits. */
static void long_commands_that_overlap_do_not_keep_flushall_waiting_for_ever(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *longs[LONGS], *flusher = connect_to_worker(server, 0);
    int emptied = 0;
    for (int i = 0; i < LONGS; i++) longs[i] = connect_to_worker(server, 1 + i % (WORKERS - 1));
    for (int i = 0; i < LONGS; i++) {
        char key[16];
        snprintf(key, sizeof key, "set:%d", i);
        add_members(longs[i], key, 0, LARGE);
        redisAppendCommand(longs[i], "SADD other:%d 1", i);
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(longs[i], (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    for (int i = 0; i < LONGS; i++) {
        for (int k = 0; k < ROUNDS; k++)
            redisAppendCommand(longs[i], "SUNIONSTORE stored:%d set:%d other:%d", i, i, i);
        send_now(longs[i]);
    }
    expect(flusher, "OK", "FLUSHALL");
    for (int i = 0; i < LONGS; i++)
        for (int k = 0; k < ROUNDS; k++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(longs[i], (void **)&reply), REDIS_OK);
            assert_true(reply->integer == 0 || reply->integer == LARGE);
            emptied += reply->integer == 0;
            freeReplyObject(reply);
        }
    assert_in_range(emptied, 1, LONGS * ROUNDS);
    assert_int_equal(info_number(flusher, "parked_clients"), 0);
    for (int i = 0; i < LONGS; i++) redisFree(longs[i]);
    redisFree(flusher);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_keeps_the_gate_closed_is_not_stopped_by_it),
        cmocka_unit_test(a_request_that_keeps_the_gate_closed_makes_no_room_again),
        cmocka_unit_test(flushall_that_waits_is_not_stopped_by_client_pause),
        cmocka_unit_test(what_needs_no_shard_is_answered_while_the_gate_is_closed),
        cmocka_unit_test(long_commands_that_overlap_do_not_keep_flushall_waiting_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
