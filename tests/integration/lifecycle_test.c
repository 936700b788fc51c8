/* The life of a server and of its keys: how it ends and starts again, and how what has expired goes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define CLIENTS 8
#define MIB ((size_t)1024 * 1024)

static struct server *start(void) {
    return server_start((const char *const[]){"--threads", "4", NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

static void await_integer(redisContext *connection, const char *command, long value) {
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (ask_integer(connection, command) != value)
        if (now_us() > deadline) fail_msg("%s doesn't come to %ld", command, value);
}

/* ------------------------------------------------------------------ the end */

#define REQUESTS 2000

/* Clients on all workers have sent much, large and small, when the signal comes; what they had sent is
 * answered. */
static void expect_drain(int signal_number) {
    struct server *server = start();
    struct resp3 *clients[CLIENTS];
    redisContext *admin = server_connect(server);
    char *value = malloc(MIB);
    assert_non_null(value);
    memset(value, 'v', MIB);
    redisReply *reply = redisCommand(admin, "SET large %b", value, MIB);
    assert_non_null(reply);
    freeReplyObject(reply);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = resp3_connect(server);
        resp3_send_text(clients[i], "PING\r\n"); /* it is a worker's now */
        resp3_expect(clients[i], "+PONG\r\n");
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        for (int j = 0; j < REQUESTS; j++) {
            char request[64];
            snprintf(request, sizeof request, "INCR count:%zu\r\n", i);
            resp3_send_text(clients[i], request);
        }
        for (int j = 0; j < 8; j++) resp3_send_text(clients[i], "GET large\r\n");
    }
    kill(server->pid, signal_number);
    /* In turn, and a lot at once: a client that takes nothing for two seconds is given up. */
    static char counts[REQUESTS * 8];
    size_t length = 0;
    for (int j = 0; j < REQUESTS; j++)
        length += (size_t)snprintf(counts + length, sizeof counts - length, ":%d\r\n", j + 1);
    for (size_t i = 0; i < CLIENTS; i++) resp3_expect_bytes(clients[i], counts, length);
    for (int j = 0; j < 8; j++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            resp3_expect(clients[i], "$1048576\r\n");
            resp3_expect_bytes(clients[i], value, MIB);
            resp3_expect(clients[i], "\r\n");
        }
    }
    /* Connections are closed together, when the last reply has gone. */
    for (size_t i = 0; i < CLIENTS; i++) {
        resp3_expect_end(clients[i]);
        resp3_close(clients[i]);
    }
    free(value);
    redisFree(admin);
    server_await_end(server);
    stop(server);
}

static void sigterm_answers_what_was_sent_before_and_ends_well(void **state) {
    (void)state;
    expect_drain(SIGTERM);
}

static void sigint_does_the_same(void **state) {
    (void)state;
    expect_drain(SIGINT);
}

static void idle_clients_and_unfinished_requests_do_not_hold_up_the_end(void **state) {
    (void)state;
    struct server *server = start();
    struct resp3 *idle = resp3_connect(server), *slow = resp3_connect(server);
    redisContext *admin = server_connect(server);
    resp3_send_text(idle, "PING\r\n");
    resp3_expect(idle, "+PONG\r\n");
    resp3_send_text(slow, "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nbeginning");
    resp3_expect(slow, "+PONG\r\n");
    int64_t from = now_us();
    redisFree(admin);
    stop(server);
    /* Clients get 10 seconds; nobody needed them. */
    assert_true(now_us() - from < 8000000);
    resp3_expect_end(idle);
    resp3_expect_end(slow);
    resp3_close(idle);
    resp3_close(slow);
}

/* The time that clients get is long, so that it shows if it isn't needed. */
static struct server *start_patient(const char *seconds) {
    return server_start((const char *const[]){"--threads", "2", "--shutdown-timeout", seconds, NULL});
}

static void stop_within(struct server *server, int seconds) {
    int64_t from = now_us();
    stop(server);
    assert_true(now_us() - from < seconds * INT64_C(1000000));
}

static void a_client_that_reads_nothing_does_not_hold_up_the_end(void **state) {
    (void)state;
    struct server *server = start_patient("59");
    redisContext *admin = server_connect(server);
    char *value = calloc(1, 16 * MIB);
    assert_non_null(value);
    redisReply *reply = redisCommand(admin, "SET k %b", value, 16 * MIB);
    assert_non_null(reply);
    freeReplyObject(reply);
    free(value);
    struct resp3 *lazy[2];
    for (int i = 0; i < 2; i++) {
        lazy[i] = resp3_connect(server);
        resp3_send_text(lazy[i], i == 0 ? "GET k\r\n" : "GET k\r\nGET k\r\nQUIT\r\n");
    }
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (info_number(admin, "client_output_bytes") < (int64_t)(16 * MIB))
        if (now_us() > deadline) fail_msg("nothing is owed");
    redisFree(admin);
    stop_within(server, 50);
    for (int i = 0; i < 2; i++) resp3_close(lazy[i]);
}

static void a_pause_does_not_hold_up_the_end(void **state) {
    (void)state;
    struct server *server = start_patient("59");
    redisContext *admin = server_connect(server);
    struct resp3 *paused = resp3_connect(server);
    resp3_send_text(paused, "PING\r\n");
    resp3_expect(paused, "+PONG\r\n");
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    resp3_send_text(paused, "SET k v\r\n");
    await_info(admin, "parked_clients", 1);
    redisFree(admin);
    stop_within(server, 50);
    resp3_expect_end(paused);
    resp3_close(paused);
}

static void a_long_command_is_left_undone_when_the_time_for_the_end_is_over(void **state) {
    (void)state;
    for (int is_signal = 0; is_signal < 2; is_signal++) {
        struct server *server = start_patient("0");
        struct resp3 *sleeper = resp3_connect(server);
        resp3_send_text(sleeper, "PING\r\n");
        resp3_expect(sleeper, "+PONG\r\n");
        long worker = resp3_integer(sleeper, "DEBUG WORKER");
        struct resp3 *other = resp3_connect_to(server, 1 - worker);
        resp3_send_text(sleeper, "DEBUG SLEEP 59\r\n");
        resp3_send_text(other, is_signal ? "PING\r\n" : "SHUTDOWN\r\n");
        if (is_signal)
            resp3_expect(other, "+PONG\r\n");
        else
            resp3_expect_end(other);
        int64_t from = now_us();
        if (!is_signal) server_await_end(server);
        stop(server);
        assert_true(now_us() - from < INT64_C(50000000));
        resp3_close(sleeper);
        resp3_close(other);
    }
}

static void expect_shutdown(const char *request) {
    struct server *server = start();
    struct resp3 *asker = resp3_connect(server), *other = resp3_connect(server);
    resp3_send_text(other, "PING\r\n");
    resp3_expect(other, "+PONG\r\n");
    resp3_send_text(asker, request);
    resp3_expect_end(asker); /* without an answer */
    resp3_expect_end(other);
    resp3_close(asker);
    resp3_close(other);
    server_await_end(server);
    stop(server);
}

static void shutdown_ends_the_server_without_a_word(void **state) {
    (void)state;
    static const char *const requests[] = {"SHUTDOWN\r\n", "SHUTDOWN NOSAVE\r\n",
                                           "shutdown nosave now force\r\n"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) expect_shutdown(requests[i]);
}

static void shutdown_takes_no_nonsense(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    expect(connection, "ERR syntax error", "SHUTDOWN NONSENSE");
    expect(connection, "ERR syntax error", "SHUTDOWN SAVE NOSAVE");
    expect(connection, "ERR syntax error", "SHUTDOWN ABORT NOW");
    expect(connection, "ERR No shutdown in progress.", "SHUTDOWN ABORT");
    expect(connection, "PONG", "PING");
    redisFree(connection);
    stop(server);
}

/* The server closes first, so that the port is in TIME_WAIT when the next one wants it. */
static void a_server_can_be_started_again_on_the_same_port_at_once(void **state) {
    (void)state;
    struct server *server = start();
    int port = server->port;
    char option[16];
    struct resp3 *clients[CLIENTS];
    snprintf(option, sizeof option, "%d", port);
    for (int round = 0; round < 3; round++) {
        redisContext *connection = redisConnect("127.0.0.1", port);
        assert_int_equal(connection->err, 0);
        expect(connection, "0", "DBSIZE"); /* nothing of the one before */
        expect(connection, "OK", "SET k v");
        for (size_t i = 0; i < CLIENTS; i++) {
            clients[i] = resp3_connect(server);
            resp3_send_text(clients[i], "PING\r\n");
            resp3_expect(clients[i], "+PONG\r\n");
        }
        stop(server);
        /* Of two ports the later option is the one that counts. */
        server = server_start((const char *const[]){"--threads", "4", "--port", option, NULL});
        server->port = port;
        for (size_t i = 0; i < CLIENTS; i++) {
            resp3_expect_end(clients[i]);
            resp3_close(clients[i]);
        }
        redisFree(connection);
    }
    stop(server);
}

/* ------------------------------------------------------------------ expiry */

#define KEYS 20000

static void set_expiring(redisContext *connection, int count, const char *format, const char *milliseconds) {
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, format, i);
        redisAppendCommand(connection, "SET %s value PX %s", key, milliseconds);
    }
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(connection, (void **)&reply), REDIS_OK);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
    }
}

static void expired_keys_go_without_being_touched(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    set_expiring(connection, KEYS, "short:%d", "50");
    expect(connection, "OK", "SELECT 3");
    set_expiring(connection, 1000, "other:%d", "50");
    expect(connection, "OK", "SET stays v EX 1000");
    await_integer(connection, "DBSIZE", 1);
    expect(connection, "OK", "SELECT 0");
    await_integer(connection, "DBSIZE", 0);
    await_info(connection, "expired_keys", KEYS + 1000);
    assert_int_equal(info_number(connection, "keyspace_hits") + info_number(connection, "keyspace_misses"),
                     0);
    expect(connection, "OK", "SELECT 3");
    expect(connection, "v", "GET stays");
    redisFree(connection);
    stop(server);
}

/* With the search for them off, only reading and writing shows that they are gone. */
static void expired_keys_are_absent_even_while_nobody_removes_them(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    set_expiring(connection, 100, "short:%d", "30");
    expect(connection, "OK", "SET long v PX 1000000");
    await_integer(connection, "EXISTS short:99", 0); /* the latest */
    expect(connection, "-2", "PTTL short:1");
    expect(connection, "(nil)", "GET short:2");
    expect(connection, "[(nil), (nil), v]", "MGET short:3 short:4 long");
    expect(connection, "none", "TYPE short:5");
    expect(connection, "0", "STRLEN short:6");
    expect(connection, "0", "TOUCH short:7");
    expect(connection, "ERR no such key", "RENAME short:8 x");
    expect(connection, "0", "COPY short:9 x");
    expect(connection, "0", "PERSIST short:10");
    expect(connection, "0", "EXPIRE short:11 100");
    expect(connection, "(nil)", "OBJECT ENCODING short:12");
    expect(connection, "[long]", "KEYS *");
    expect(connection, "[0, [long]]", "SCAN 0 COUNT 1000");
    expect(connection, "long", "RANDOMKEY");
    expect(connection, "0", "DEL short:13");
    expect(connection, "1", "APPEND short:14 x");
    expect(connection, "-1", "TTL short:14"); /* a new one */
    expect(connection, "1", "SETNX short:15 new");
    expect(connection, "(nil)", "SET short:16 new XX");
    expect(connection, "1", "INCR short:17");
    expect(connection, "(nil)", "GETDEL short:18");
    expect(connection, "(nil)", "SET short:19 new GET");
    /* Most are still counted: nobody has met them. */
    assert_in_range(ask_integer(connection, "DBSIZE"), 50, 101);
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    await_integer(connection, "DBSIZE", 5); /* long, and four that were made anew */
    redisFree(connection);
    stop(server);
}

static void expired_keys_stay_in_memory_only_while_the_search_is_off(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    set_expiring(connection, KEYS, "short:%d", "20");
    await_integer(connection, "EXISTS short:19999", 0); /* the latest */
    /* Ten ticks of every worker; each looks at thousands of keys if it looks at all. */
    for (int64_t from = now_us(); now_us() - from < 1000000;) expect(connection, "PONG", "PING");
    assert_in_range(ask_integer(connection, "DBSIZE"), KEYS - 1, KEYS);
    expect(connection, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    await_integer(connection, "DBSIZE", 0);
    await_info(connection, "expired_keys", KEYS);
    redisFree(connection);
    stop(server);
}

static void memory_of_expired_keys_is_given_back(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    char *value = calloc(1, 10001);
    assert_non_null(value);
    memset(value, 'v', 10000);
    long before = info_number(connection, "used_memory_dataset");
    for (int i = 0; i < 2000; i++) expect(connection, "OK", "SET key:%d %s PX 600", i, value);
    long most = info_number(connection, "used_memory_dataset");
    if (ask_integer(connection, "DBSIZE") == 2000)
        assert_true(most - before > 19000000); /* if it was quick enough */
    await_integer(connection, "DBSIZE", 0);
    await_info(connection, "lazyfree_pending_objects", 0);
    await_info_between(connection, "used_memory_dataset", 0, before + 1000000);
    free(value);
    redisFree(connection);
    stop(server);
}

static void an_expiry_in_the_past_removes_the_key_at_once(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *connection = server_connect(server);
    expect(connection, "OK", "MSET a 1 b 2 c 3 d 4");
    expect(connection, "1", "EXPIRE a -1");
    expect(connection, "1", "PEXPIREAT b 1");
    expect(connection, "1", "EXPIREAT c 1");
    expect(connection, "1", "DBSIZE");
    expect(connection, "OK", "SET d 5 PXAT 1"); /* is set, and absent */
    expect(connection, "0", "EXISTS d");
    await_integer(connection, "DBSIZE", 0);
    redisFree(connection);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigterm_answers_what_was_sent_before_and_ends_well),
        cmocka_unit_test(sigint_does_the_same),
        cmocka_unit_test(idle_clients_and_unfinished_requests_do_not_hold_up_the_end),
        cmocka_unit_test(a_client_that_reads_nothing_does_not_hold_up_the_end),
        cmocka_unit_test(a_pause_does_not_hold_up_the_end),
        cmocka_unit_test(a_long_command_is_left_undone_when_the_time_for_the_end_is_over),
        cmocka_unit_test(shutdown_ends_the_server_without_a_word),
        cmocka_unit_test(shutdown_takes_no_nonsense),
        cmocka_unit_test(a_server_can_be_started_again_on_the_same_port_at_once),
        cmocka_unit_test(expired_keys_go_without_being_touched),
        cmocka_unit_test(expired_keys_are_absent_even_while_nobody_removes_them),
        cmocka_unit_test(expired_keys_stay_in_memory_only_while_the_search_is_off),
        cmocka_unit_test(memory_of_expired_keys_is_given_back),
        cmocka_unit_test(an_expiry_in_the_past_removes_the_key_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
