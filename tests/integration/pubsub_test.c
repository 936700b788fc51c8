/* Channels: who hears what, in which order, and what becomes of those who don't listen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define TEXT_MOST 256
/* It begins on a worker, where it takes too long, and again on a thread of long work. */
#define LONG_SCRIPT                                                                                          \
    "local n = redis.call('publish', 'a', ARGV[1]) redis.call('set', KEYS[1], n) "                           \
    "for i = 1, 3e6 do end return n"

static struct server *start(const char *threads) {
    return server_start((const char *const[]){"--threads", threads, "--enable-debug-command", "yes",
                                              "--balance-clients", "no", NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

static void subscribe(struct resp3 *connection, const char *channel) {
    char request[TEXT_MOST], expected[2 * TEXT_MOST];
    snprintf(request, sizeof request, "SUBSCRIBE %s\r\n", channel);
    snprintf(expected, sizeof expected, ">[subscribe, %s, 1]", channel);
    resp3_send_text(connection, "HELLO 3\r\n");
    resp3_value_free(resp3_read(connection));
    resp3_send_text(connection, request);
    resp3_expect_value(connection, expected);
}

static void expect_message(struct resp3 *connection, const char *channel, const char *text) {
    char expected[4 * TEXT_MOST];
    snprintf(expected, sizeof expected, ">[message, %s, %s]", channel, text);
    resp3_expect_value(connection, expected);
}

/* ------------------------------------------------------------------ bytes */

static void channels_patterns_and_shard_channels_are_told_apart(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *two = resp3_connect_to(server, 0), *three = resp3_connect_to(server, 1),
                 *teller = resp3_connect(server);
    resp3_exchange(two, "SUBSCRIBE a b",
                   "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                   "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n");
    resp3_exchange(two, "PSUBSCRIBE a*", "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:3\r\n");
    resp3_exchange(two, "SSUBSCRIBE a", "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n");
    subscribe(three, "a");
    resp3_exchange(teller, "PUBLISH a 1", ":3\r\n");
    resp3_exchange(teller, "PUBLISH axe 2", ":1\r\n");
    resp3_exchange(teller, "SPUBLISH a 3", ":1\r\n");
    resp3_exchange(teller, "PUBLISH c 4", ":0\r\n");
    resp3_expect(two, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n"
                      "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\n1\r\n"
                      "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$3\r\naxe\r\n$1\r\n2\r\n"
                      "*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\n3\r\n");
    resp3_expect(three, ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n");
    resp3_exchange(teller, "PUBSUB NUMSUB a b c",
                   "*6\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:1\r\n$1\r\nc\r\n:0\r\n");
    resp3_exchange(teller, "PUBSUB SHARDNUMSUB a", "*2\r\n$1\r\na\r\n:1\r\n");
    resp3_exchange(teller, "PUBSUB NUMPAT", ":1\r\n");
    resp3_exchange(teller, "PUBSUB CHANNELS b*", "*1\r\n$1\r\nb\r\n");
    resp3_exchange(teller, "PUBSUB SHARDCHANNELS", "*1\r\n$1\r\na\r\n");
    resp3_exchange(two, "UNSUBSCRIBE b x",
                   "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:2\r\n"
                   "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:2\r\n");
    resp3_exchange(two, "PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:1\r\n");
    resp3_exchange(two, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
    resp3_exchange(two, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
    resp3_exchange(two, "SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n");
    resp3_exchange(two, "ECHO x", "$1\r\nx\r\n");
    resp3_close(two);
    resp3_close(three);
    resp3_close(teller);
    stop(server);
}

static void a_subscriber_with_resp2_may_do_little_else(void **state) {
    (void)state;
    struct server *server = start("1");
    struct resp3 *subscriber = resp3_connect(server);
    resp3_exchange(subscriber, "SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    resp3_exchange(
        subscriber, "GET a",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
        "allowed in this context\r\n");
    resp3_exchange(subscriber, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    resp3_exchange(subscriber, "PING x", "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
    resp3_exchange(subscriber, "RESET", "+RESET\r\n");
    resp3_exchange(subscriber, "PING", "+PONG\r\n");
    resp3_exchange(subscriber, "PUBLISH a 1", ":0\r\n");
    resp3_close(subscriber);
    stop(server);
}

static void who_wants_no_replies_hears_messages_all_the_same(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscriber = resp3_connect_to(server, 0), *teller = resp3_connect_to(server, 1);
    resp3_send_text(subscriber, "CLIENT REPLY OFF\r\nECHO x\r\nSUBSCRIBE a\r\n");
    resp3_expect(subscriber, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    resp3_exchange(teller, "PUBLISH a 1", ":1\r\n");
    resp3_expect(subscriber, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n");
    resp3_close(subscriber);
    resp3_close(teller);
    stop(server);
}

static void long_messages_are_heard_whole_by_all(void **state) {
    enum { SUBSCRIBERS = 6, LENGTH = 300000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscribers[SUBSCRIBERS], *teller = resp3_connect(server);
    char *text = malloc(LENGTH + 1);
    assert_non_null(text);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    for (int i = 0; i < SUBSCRIBERS; i++) subscribe(subscribers[i] = resp3_connect(server), "a");
    RESP3_COMMAND(teller, "PUBLISH", "a", text);
    resp3_expect(teller, ":6\r\n");
    for (int i = 0; i < SUBSCRIBERS; i++) {
        resp3_expect(subscribers[i], ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$300000\r\n");
        resp3_expect_bytes(subscribers[i], text, LENGTH);
        resp3_expect(subscribers[i], "\r\n");
        resp3_close(subscribers[i]);
    }
    free(text);
    resp3_close(teller);
    stop(server);
}

/* ------------------------------------------------------------------ moments */

static void what_one_tells_itself_follows_the_reply(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *both = resp3_connect(server);
    subscribe(both, "a");
    resp3_send_text(both, "PUBLISH a 1\r\nPUBLISH a 2\r\nPING\r\n");
    resp3_expect(both, ":1\r\n");
    expect_message(both, "a", "1");
    resp3_expect(both, ":1\r\n");
    expect_message(both, "a", "2");
    resp3_expect(both, "+PONG\r\n");
    resp3_send_text(both, "MULTI\r\nPUBLISH a 3\r\nSET k v\r\nPUBLISH a 4\r\nEXEC\r\nPING\r\n");
    resp3_expect(both, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:1\r\n+OK\r\n:1\r\n");
    expect_message(both, "a", "3");
    expect_message(both, "a", "4");
    resp3_expect(both, "+PONG\r\n");
    RESP3_COMMAND(both, "EVAL", "redis.call('publish', 'a', 5) return redis.call('publish', 'b', 6)", "0");
    resp3_expect(both, ":0\r\n");
    expect_message(both, "a", "5");
    resp3_close(both);
    stop(server);
}

static void what_a_script_tells_is_heard_once_however_often_it_begins(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscriber = resp3_connect(server), *teller = resp3_connect(server);
    subscribe(subscriber, "a");
    for (int i = 0; i < 3; i++) {
        RESP3_COMMAND(teller, "EVAL", LONG_SCRIPT, "1", "k", "x");
        resp3_expect(teller, ":1\r\n");
        expect_message(subscriber, "a", "x");
    }
    RESP3_COMMAND(teller, "EVAL_RO", "return redis.pcall('publish', 'a', 1)", "0");
    resp3_expect(teller, "-ERR Write commands are not allowed from read-only scripts.\r\n");
    resp3_exchange(subscriber, "PING", "+PONG\r\n"); /* and nothing else has come */
    resp3_close(subscriber);
    resp3_close(teller);
    stop(server);
}

/* A script that leaves its worker, alone and in a transaction, and a transaction that waits for other workers
 * when it has told. */
static void what_one_tells_itself_follows_the_reply_of_other_threads_too(void **state) {
    enum { ROUNDS = 3 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *both = resp3_connect(server);
    subscribe(both, "a");
    for (int i = 0; i < ROUNDS; i++) {
        RESP3_COMMAND(both, "EVAL", LONG_SCRIPT, "1", "k", "1");
        resp3_send_text(both, "PING\r\nMULTI\r\n");
        RESP3_COMMAND(both, "EVAL", LONG_SCRIPT, "1", "k", "2");
        resp3_send_text(both,
                        "EXEC\r\nPING\r\nMULTI\r\nPUBLISH a 3\r\nCLIENT KILL ID 99999\r\nEXEC\r\nPING\r\n");
        resp3_expect(both, ":1\r\n");
        expect_message(both, "a", "1");
        resp3_expect(both, "+PONG\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
        expect_message(both, "a", "2");
        resp3_expect(both, "+PONG\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:0\r\n");
        expect_message(both, "a", "3");
        resp3_expect(both, "+PONG\r\n");
    }
    resp3_close(both);
    stop(server);
}

/* As soon as it counts as one that takes too long. */
static void end_script(redisContext *admin) {
    bool is_ended = false;
    expect(admin, "OK", "CONFIG SET busy-reply-threshold 1");
    while (!is_ended) {
        redisReply *reply = redisCommand(admin, "SCRIPT KILL");
        assert_non_null(reply);
        is_ended = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
    }
}

static void who_hears_too_much_while_its_script_runs_is_closed_at_its_limit(void **state) {
    enum { MESSAGES = 400, LENGTH = 10000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *asker = resp3_connect_to(server, 0);
    redisContext *admin = server_connect_to(server, 1);
    char text[LENGTH + 1];
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    int64_t before = info_number(admin, "client_name_bytes");
    subscribe(asker, "a");
    expect(admin, "OK", "CONFIG SET client-output-buffer-limit %s", "pubsub 100kb 0 0");
    RESP3_COMMAND(asker, "EVAL", "while true do end", "0");
    await_info(admin, "parked_clients", 1);
    for (int i = 0; i < MESSAGES; i++) {
        redisReply *reply = redisCommand(admin, "PUBLISH a %s", text);
        assert_non_null(reply);
        freeReplyObject(reply);
    }
    await_info(admin, "client_output_buffer_limit_disconnections", 1);
    await_info(admin, "client_name_bytes", before);
    end_script(admin);
    resp3_close(asker);
    redisFree(admin);
    stop(server);
}

static void who_subscribes_beside_a_long_script_in_a_transaction_hears_what_is_told(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *both = resp3_connect_to(server, 0), *teller = resp3_connect_to(server, 1);
    resp3_send_text(both, "MULTI\r\nSUBSCRIBE a\r\n");
    RESP3_COMMAND(both, "EVAL", LONG_SCRIPT, "1", "k", "x");
    resp3_send_text(both, "EXEC\r\n");
    resp3_expect(both, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n:1\r\n");
    resp3_expect(both, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    resp3_exchange(teller, "PUBLISH a y", ":1\r\n");
    resp3_expect(both, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\ny\r\n");
    resp3_close(both);
    resp3_exchange(teller, "PUBLISH b y", ":0\r\n");
    resp3_close(teller);
    stop(server);
}

/* What is published before it subscribes is not for it, and what is published before it leaves is. */
static void a_transaction_hears_what_it_publishes_while_it_subscribes(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *both = resp3_connect_to(server, 0), *other = resp3_connect_to(server, 1);
    subscribe(both, "b");
    subscribe(other, "a");
    resp3_send_text(both, "MULTI\r\nPUBLISH a 1\r\nSUBSCRIBE a\r\nPUBLISH a 2\r\nPSUBSCRIBE a*\r\n"
                          "UNSUBSCRIBE a\r\nPUBLISH a 3\r\nPUNSUBSCRIBE\r\nPUBLISH a 4\r\n"
                          "UNSUBSCRIBE a\r\nEXEC\r\n");
    resp3_expect(both, "+OK\r\n");
    for (int i = 0; i < 9; i++) resp3_expect(both, "+QUEUED\r\n");
    resp3_expect_value(both, "[1, >[subscribe, a, 2], 2, >[psubscribe, a*, 3], >[unsubscribe, a, 2], 2, "
                             ">[punsubscribe, a*, 1], 1, >[unsubscribe, a, 1]]");
    expect_message(both, "a", "2");
    resp3_expect_value(both, ">[pmessage, a*, a, 3]");
    resp3_exchange(both, "PING", "+PONG\r\n"); /* and nothing else has come */
    for (int i = 1; i <= 4; i++) {
        char text[TEXT_MOST];
        snprintf(text, sizeof text, "%d", i);
        expect_message(other, "a", text);
    }
    resp3_exchange(other, "PUBLISH a 5", ":1\r\n");
    expect_message(other, "a", "5");
    resp3_exchange(both, "PING", "+PONG\r\n");
    resp3_close(both);
    resp3_close(other);
    stop(server);
}

/* Though others of the channel stay, on another worker. */
static void who_leaves_a_channel_in_a_transaction_has_heard_all_of_it(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *leaver = resp3_connect_to(server, 0), *other = resp3_connect_to(server, 1);
    subscribe(leaver, "a");
    subscribe(other, "a");
    for (int round = 0; round < 20; round++) {
        resp3_send_text(leaver, "MULTI\r\nPUBLISH a one\r\nPUBLISH a two\r\nUNSUBSCRIBE a\r\nEXEC\r\n");
        resp3_expect(leaver, "+OK\r\n");
        for (int i = 0; i < 3; i++) resp3_expect(leaver, "+QUEUED\r\n");
        resp3_expect_value(leaver, "[2, 2, >[unsubscribe, a, 0]]");
        for (int i = 0; i < 2; i++) {
            expect_message(leaver, "a", i == 0 ? "one" : "two");
            expect_message(other, "a", i == 0 ? "one" : "two");
        }
        resp3_exchange(leaver, "PING", "+PONG\r\n");
        subscribe(leaver, "a");
    }
    resp3_close(leaver);
    resp3_close(other);
    stop(server);
}

/* While there is something on its way to it, and what it has left is not yet read by its worker. */
static void who_goes_right_behind_its_transaction_leaves_nothing(void **state) {
    static const char *const ends[] = {"QUIT\r\n", "RESET\r\n", "CLIENT KILL ID %ld\r\n", ""};
    (void)state;
    const int rounds = scaled(400, 100);
    struct server *server = start("2");
    struct resp3 *teller = resp3_connect_to(server, 1);
    redisContext *admin = server_connect(server);
    int64_t before = info_number(admin, "client_name_bytes");
    for (int i = 0; i < rounds; i++) {
        char request[2 * TEXT_MOST];
        struct resp3 *one = resp3_connect_to(server, i % 2);
        long id = resp3_integer(one, "CLIENT ID");
        for (int k = 0; k < 20; k++) resp3_send_text(teller, "PUBLISH a x\r\n");
        resp3_send_text(one, "MULTI\r\nSUBSCRIBE a b\r\nPUBLISH a y\r\nUNSUBSCRIBE a\r\nPSUBSCRIBE a* c*\r\n"
                             "PUBLISH a z\r\nPUNSUBSCRIBE a*\r\nEXEC\r\n");
        snprintf(request, sizeof request, ends[i % 4], id);
        resp3_send_text(one, request);
        for (int k = 0; k < 20; k++) resp3_value_free(resp3_read(teller));
        if (i % 4 == 0) resp3_await_end(one);
        resp3_close(one);
    }
    await_info(admin, "pubsub_channels", 0);
    await_info(admin, "pubsub_patterns", 0);
    await_info(admin, "client_name_bytes", before);
    resp3_close(teller);
    redisFree(admin);
    stop(server);
}

static void who_has_seen_a_reply_sees_what_was_told_before_it(void **state) {
    enum { ROUNDS = 500 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscriber = resp3_connect_to(server, 0), *teller = resp3_connect_to(server, 1);
    subscribe(subscriber, "a");
    for (int i = 0; i < ROUNDS; i++) {
        char request[TEXT_MOST], text[TEXT_MOST];
        snprintf(request, sizeof request, "PUBLISH a %d", i);
        snprintf(text, sizeof text, "%d", i);
        resp3_exchange(teller, request, ":1\r\n");
        resp3_send_text(subscriber, "PING\r\n");
        expect_message(subscriber, "a", text);
        resp3_expect(subscriber, "+PONG\r\n");
    }
    resp3_close(subscriber);
    resp3_close(teller);
    stop(server);
}

/* Each of its messages once, in the order in which it sent them, and all in one order. */
static void all_hear_the_same_order_whoever_tells(void **state) {
    enum { WORKERS = 4, SUBSCRIBERS = 8, MESSAGES = 500 };
    (void)state;
    struct server *server = start("4");
    struct resp3 *subscribers[SUBSCRIBERS], *tellers[WORKERS];
    char *heard[WORKERS * MESSAGES];
    for (int i = 0; i < SUBSCRIBERS; i++)
        subscribe(subscribers[i] = resp3_connect_to(server, i % WORKERS), "a");
    for (int i = 0; i < WORKERS; i++) tellers[i] = resp3_connect_to(server, i);
    for (int m = 0; m < MESSAGES; m += 50)
        for (int i = 0; i < WORKERS; i++) {
            char pipeline[50 * 32];
            size_t length = 0;
            for (int j = m; j < m + 50; j++)
                length += (size_t)snprintf(pipeline + length, sizeof pipeline - length, "PUBLISH a %d:%d\r\n",
                                           i, j);
            resp3_send(tellers[i], pipeline, length);
        }
    for (int i = 0; i < WORKERS; i++) {
        for (int m = 0; m < MESSAGES; m++) resp3_expect(tellers[i], ":8\r\n");
        resp3_close(tellers[i]);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        int next[WORKERS] = {0};
        for (int m = 0; m < WORKERS * MESSAGES; m++) {
            struct resp3_value *value = resp3_read(subscribers[i]);
            char *text = resp3_value_text(value);
            int teller = -1, number = -1;
            assert_int_equal(sscanf(text, ">[message, a, %d:%d]", &teller, &number), 2);
            assert_int_equal(number, next[teller]++);
            if (i > 0) {
                assert_string_equal(text, heard[m]);
                free(text);
            } else {
                heard[m] = text;
            }
            resp3_value_free(value);
        }
        resp3_close(subscribers[i]);
    }
    for (int m = 0; m < WORKERS * MESSAGES; m++) free(heard[m]);
    stop(server);
}

static void what_is_counted_is_heard_while_others_come_and_go(void **state) {
    enum { ROUNDS = 100, BATCH = 20, SUBSCRIBERS = 3 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscribers[SUBSCRIBERS], *teller = resp3_connect_to(server, 1);
    long counted = 0, heard = 0;
    for (int i = 0; i < SUBSCRIBERS; i++) subscribe(subscribers[i] = resp3_connect_to(server, i % 2), "b");
    for (int round = 0; round < ROUNDS; round++) {
        for (int j = 0; j < BATCH; j++) resp3_send_text(teller, "PUBLISH a x\r\n");
        for (int i = 0; i < SUBSCRIBERS; i++)
            resp3_send_text(subscribers[i], i == 0 ? "SUBSCRIBE a\r\nUNSUBSCRIBE a\r\n"
                                                   : "PSUBSCRIBE a*\r\nPUNSUBSCRIBE\r\n");
    }
    for (int j = 0; j < ROUNDS * BATCH; j++) {
        struct resp3_value *value = resp3_read(teller);
        counted += (long)value->integer;
        resp3_value_free(value);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        bool is_end = false;
        resp3_send_text(subscribers[i], "PING\r\n");
        while (!is_end) {
            struct resp3_value *value = resp3_read(subscribers[i]);
            is_end = value->kind == '+';
            heard += !is_end && strstr(value->elements[0].text, "message") != NULL;
            resp3_value_free(value);
        }
        resp3_close(subscribers[i]);
    }
    assert_int_equal(heard, counted);
    resp3_close(teller);
    stop(server);
}

/* ------------------------------------------------------------------ bounds */

static void a_subscriber_that_does_not_read_is_closed_at_its_limit_and_others_are_not(void **state) {
    enum { MESSAGES = 1000, LENGTH = 10000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *deaf = resp3_connect_to(server, 0), *good = resp3_connect_to(server, 0);
    redisContext *admin = server_connect_to(server, 1);
    char text[LENGTH + 1];
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    subscribe(deaf, "a");
    subscribe(good, "a");
    expect(admin, "OK", "CONFIG SET client-output-buffer-limit %s", "pubsub 100kb 0 0");
    for (int i = 0; i < MESSAGES; i++) {
        redisReply *reply = redisCommand(admin, "PUBLISH a %s", text);
        assert_non_null(reply);
        freeReplyObject(reply);
        resp3_value_free(resp3_read(good));
    }
    await_info(admin, "client_output_buffer_limit_disconnections", 1);
    expect(admin, "[a, 1]", "PUBSUB NUMSUB a");
    resp3_exchange(good, "PING", "+PONG\r\n");
    resp3_close(deaf);
    resp3_close(good);
    redisFree(admin);
    stop(server);
}

static void what_a_client_hears_is_counted_to_it_and_given_back(void **state) {
    enum { CHANNELS = 5000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscriber = resp3_connect(server);
    redisContext *admin = server_connect(server);
    int64_t before = info_number(admin, "client_name_bytes");
    for (int i = 0; i < CHANNELS; i++) {
        char request[TEXT_MOST];
        snprintf(request, sizeof request, "%s channel-with-a-rather-long-name-%d\r\n",
                 i % 2 == 0 ? "SUBSCRIBE" : "PSUBSCRIBE", i);
        resp3_send_text(subscriber, request);
    }
    for (int i = 0; i < CHANNELS; i++) resp3_value_free(resp3_read(subscriber));
    assert_int_equal(info_number(admin, "pubsub_channels"), CHANNELS / 2);
    assert_int_equal(info_number(admin, "pubsub_patterns"), CHANNELS / 2);
    assert_true(info_number(admin, "client_name_bytes") >= before + (int64_t)CHANNELS * 100);
    redisReply *list = redisCommand(admin, "CLIENT LIST TYPE pubsub");
    assert_non_null(list);
    assert_non_null(strstr(list->str, "flags=P db=0 sub=2500 psub=2500 ssub=0"));
    freeReplyObject(list);
    assert_int_equal(ask_integer(admin, "CLIENT KILL TYPE pubsub"), 1);
    await_info(admin, "pubsub_channels", 0);
    await_info(admin, "pubsub_patterns", 0);
    await_info(admin, "client_name_bytes", before);
    resp3_close(subscriber);
    redisFree(admin);
    stop(server);
}

static void hear_patterns(struct resp3 *connection, const char *before, const char *after) {
    enum { PATTERNS = 20000, AT_ONCE = 1000 };
    for (int i = 0; i < PATTERNS; i += AT_ONCE) {
        char request[AT_ONCE * 16], *end = request + sprintf(request, "PSUBSCRIBE");
        for (int j = i; j < i + AT_ONCE; j++) end += sprintf(end, " %s%d%s", before, j, after);
        sprintf(end, "\r\n");
        resp3_send_text(connection, request);
        for (int j = 0; j < AT_ONCE; j++) resp3_value_free(resp3_read(connection));
    }
}

static double seconds_to_go(struct server *server, redisContext *admin, const char *before,
                            const char *after) {
    struct resp3 *subscriber = resp3_connect(server);
    hear_patterns(subscriber, before, after);
    double begun = server_cpu_seconds(server);
    resp3_close(subscriber);
    await_info(admin, "pubsub_patterns", 0);
    return server_cpu_seconds(server) - begun;
}

/* Where each walked the others, they would take a hundred times as long. */
static void patterns_that_begin_alike_go_as_fast_as_those_that_do_not(void **state) {
    (void)state;
    struct server *server = start("2");
    redisContext *admin = server_connect(server);
    double unlike = seconds_to_go(server, admin, "", "*"), alike = seconds_to_go(server, admin, "*", "");
    assert_true(alike < 10 * unlike + 0.1);
    redisFree(admin);
    stop(server);
}

static void a_paused_server_tells_nothing_until_it_goes_on(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *subscriber = resp3_connect(server), *teller = resp3_connect(server);
    redisContext *admin = server_connect(server);
    subscribe(subscriber, "a");
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    resp3_send_text(teller, "PUBLISH a 1\r\n");
    await_info(admin, "parked_clients", 1);
    resp3_expect_silence(subscriber);
    expect(admin, "OK", "CLIENT UNPAUSE");
    resp3_expect(teller, ":1\r\n");
    expect_message(subscriber, "a", "1");
    redisFree(admin);
    resp3_close(subscriber);
    resp3_close(teller);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_patterns_and_shard_channels_are_told_apart),
        cmocka_unit_test(a_subscriber_with_resp2_may_do_little_else),
        cmocka_unit_test(who_wants_no_replies_hears_messages_all_the_same),
        cmocka_unit_test(long_messages_are_heard_whole_by_all),
        cmocka_unit_test(what_one_tells_itself_follows_the_reply),
        cmocka_unit_test(what_a_script_tells_is_heard_once_however_often_it_begins),
        cmocka_unit_test(what_one_tells_itself_follows_the_reply_of_other_threads_too),
        cmocka_unit_test(who_hears_too_much_while_its_script_runs_is_closed_at_its_limit),
        cmocka_unit_test(who_subscribes_beside_a_long_script_in_a_transaction_hears_what_is_told),
        cmocka_unit_test(a_transaction_hears_what_it_publishes_while_it_subscribes),
        cmocka_unit_test(who_leaves_a_channel_in_a_transaction_has_heard_all_of_it),
        cmocka_unit_test(who_goes_right_behind_its_transaction_leaves_nothing),
        cmocka_unit_test(who_has_seen_a_reply_sees_what_was_told_before_it),
        cmocka_unit_test(all_hear_the_same_order_whoever_tells),
        cmocka_unit_test(what_is_counted_is_heard_while_others_come_and_go),
        cmocka_unit_test(a_subscriber_that_does_not_read_is_closed_at_its_limit_and_others_are_not),
        cmocka_unit_test(what_a_client_hears_is_counted_to_it_and_given_back),
        cmocka_unit_test(patterns_that_begin_alike_go_as_fast_as_those_that_do_not),
        cmocka_unit_test(a_paused_server_tells_nothing_until_it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
