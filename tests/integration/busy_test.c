/* While a worker is busy for long, or clients are paused: what the others can still do, and what stays as it
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define MIB ((int64_t)1024 * 1024)

static struct server *server;

static void start(const char *const *further) {
    const char *options[24] = {"--threads", "2", "--balance-clients", "no"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[4 + i] = further[i];
    server = server_start(options);
}

static void stop(void) {
    assert_int_equal(server_stop(server), 0);
}

/* One on each worker. */
static void connect_to_both(redisContext *two[2]) {
    for (int i = 0; i < 2; i++) two[i] = server_connect_to(server, i);
}

static void send_now(redisContext *context, const char *command) {
    int is_done = 0;
    assert_int_equal(redisAppendCommand(context, command), REDIS_OK);
    while (!is_done) assert_int_equal(redisBufferWrite(context, &is_done), REDIS_OK);
}

static void expect_busy(redisContext *connection, const char *command) {
    redisReply *reply = redisCommand(connection, command);
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_memory_equal(reply->str, "BUSY ", 5);
    freeReplyObject(reply);
}

static void who_asks_all_workers_is_not_held_up_by_one_that_is_busy(void **state) {
    (void)state;
    start((const char *const[]){"--busy-reply-threshold", "100", NULL});
    redisContext *two[2];
    connect_to_both(two);
    long id = ask_integer(two[0], "CLIENT ID");
    expect(two[1], "[busy-reply-threshold, 100, lua-time-limit, 100]",
           "CONFIG GET busy-reply-threshold lua-time-limit");
    send_now(two[0], "DEBUG SLEEP 2");
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    for (bool is_busy = false; !is_busy;) { /* it may come before the other has begun to sleep */
        redisReply *reply = redisCommand(two[1], "CLIENT LIST");
        assert_non_null(reply);
        is_busy = reply->type == REDIS_REPLY_ERROR;
        freeReplyObject(reply);
        if (now_us() > deadline) fail_msg("nobody is busy");
    }
    assert_true(info_number(two[1], "connected_clients") >= 2); /* INFO asks nobody */
    char kill[64];
    snprintf(kill, sizeof kill, "CLIENT KILL ID %ld", id);
    expect_busy(two[1], kill);
    /* It is done all the same, when the time has come. */
    await_info(two[1], "connected_clients", 1);
    redisReply *list = redisCommand(two[1], "CLIENT LIST");
    assert_int_equal(list->type, REDIS_REPLY_STRING);
    freeReplyObject(list);
    for (int i = 0; i < 2; i++) redisFree(two[i]);
    stop();
}

static void the_largest_client_is_closed_though_another_worker_is_busy(void **state) {
    (void)state;
    start((const char *const[]){"--maxmemory-clients", "8mb", "--shutdown-timeout", "0", NULL});
    redisContext *two[2];
    connect_to_both(two);
    expect(two[0], "OK", "CLIENT NO-EVICT ON");
    expect(two[1], "OK", "CLIENT NO-EVICT ON");
    redisContext *greedy = server_connect_to(server, 1);
    send_now(greedy, "BLPOP k 0"); /* what it sends from now on is kept */
    await_info(two[1], "blocked_clients", 1);
    int64_t from = now_us();
    send_now(two[0], "DEBUG SLEEP 59");
    for (int i = 0; i < 1000000; i++) assert_int_equal(redisAppendCommand(greedy, "PING"), REDIS_OK);
    int is_done = 0;
    while (!is_done && redisBufferWrite(greedy, &is_done) == REDIS_OK) continue;
    await_info(two[1], "evicted_clients", 1);
    assert_true(now_us() - from < INT64_C(50000000)); /* while it sleeps */
    redisFree(greedy);
    for (int i = 0; i < 2; i++) redisFree(two[i]);
    stop();
}

/* ------------------------------------------------------------------ CLIENT PAUSE */

/* A turn of expiry or eviction comes every two milliseconds here. */
static void expect_to_stay(redisContext *connection, const char *name, int64_t value) {
    for (int64_t from = now_us(); now_us() - from < 200000;)
        assert_int_equal(info_number(connection, name), value);
}

static void nothing_expires_or_is_evicted_while_clients_are_paused(void **state) {
    enum { KEYS = 2000 };
    (void)state;
    start((const char *const[]){"--hz", "500", "--maxmemory-policy", "allkeys-lru",
                                "--notify-keyspace-events", "Ex", NULL}); /* reads remove what has expired */
    redisContext *admin = server_connect(server);
    char value[1001] = "";
    memset(value, 'v', 1000);
    for (int i = 0; i < KEYS; i++) expect(admin, "OK", "SET key:%d %s", i, value);
    expect(admin, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    for (int i = 0; i < KEYS; i++) expect(admin, "1", "PEXPIRE key:%d %d", i, i % 2 == 0 ? 1 : 1000000);
    expect(admin, "OK", "CLIENT PAUSE 1000000 WRITE");
    expect(admin, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (ask_integer(admin, "EXISTS key:1998") != 0)
        if (now_us() > deadline) fail_msg("the key is still there");
    expect_to_stay(admin, "expired_keys", 0);
    expect(admin, "OK", "CONFIG SET maxmemory %lld", (long long)(info_number(admin, "used_memory") - MIB));
    expect_to_stay(admin, "evicted_keys", 0);
    expect_to_stay(admin, "expired_keys", 0);
    assert_int_equal(ask_integer(admin, "DBSIZE"), KEYS);
    expect(admin, "OK", "CLIENT UNPAUSE");
    while (info_number(admin, "expired_keys") + info_number(admin, "evicted_keys") < KEYS / 2)
        if (now_us() > deadline) fail_msg("nothing goes after the pause");
    redisFree(admin);
    stop();
}

static void who_is_paused_is_counted_as_blocked_until_that_ends_or_it_goes(void **state) {
    (void)state;
    start(NULL);
    redisContext *admin = server_connect(server);
    struct resp3 *clients[3];
    expect(admin, "OK", "CLIENT PAUSE 1000000 WRITE");
    for (int i = 0; i < 3; i++) {
        clients[i] = resp3_connect(server);
        resp3_send_text(clients[i], "SET k v\r\n");
        await_info(admin, "blocked_clients", i + 1);
    }
    await_info(admin, "parked_clients", 3);
    resp3_close(clients[0]);
    await_info(admin, "blocked_clients", 2);
    await_info(admin, "parked_clients", 2);
    expect(admin, "OK", "CLIENT PAUSE 1000000 WRITE"); /* once more: they wait on */
    await_info(admin, "blocked_clients", 2);
    expect(admin, "OK", "CLIENT UNPAUSE");
    for (int i = 1; i < 3; i++) {
        resp3_expect(clients[i], "+OK\r\n");
        resp3_close(clients[i]);
    }
    await_info(admin, "blocked_clients", 0);
    await_info(admin, "parked_clients", 0);
    redisFree(admin);
    stop();
}

/* Its end comes while it is parked for something else, and is not told again. */
static void who_was_gone_before_it_began_to_wait_for_a_key_is_noticed(void **state) {
    (void)state;
    redisContext *two[2];
    start((const char *const[]){"--enable-debug-command", "yes", "--balance-clients", "no", NULL});
    connect_to_both(two);
    struct resp3 *clients[4];
    expect(two[0], "OK", "DEBUG HOLD held 600");
    for (int i = 0; i < 4; i++) {
        clients[i] = resp3_connect(server);
        RESP3_COMMAND(clients[i], "BLPOP", "held", "0");
    }
    await_info(two[0], "parked_clients", 4);
    for (int i = 0; i < 4; i++) resp3_close(clients[i]);
    expect(two[0], "OK", "DEBUG RELEASE");
    await_info(two[0], "connected_clients", 2);
    redisFree(two[0]);
    redisFree(two[1]);
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_all_workers_is_not_held_up_by_one_that_is_busy),
        cmocka_unit_test(the_largest_client_is_closed_though_another_worker_is_busy),
        cmocka_unit_test(nothing_expires_or_is_evicted_while_clients_are_paused),
        cmocka_unit_test(who_is_paused_is_counted_as_blocked_until_that_ends_or_it_goes),
        cmocka_unit_test(who_was_gone_before_it_began_to_wait_for_a_key_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
