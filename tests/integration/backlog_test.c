/* Who would tell more than others can read waits, and so does who can't have its keys: what they tell then is
 * whole, in order, and not before it is true. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define TEXT_MOST 256
/* The longest sleep that is tried: then the machine has no time for this. */
#define SLEEP_MOST 32000

static struct server *start(void) {
    return server_start((const char *const[]){
        "--threads", "2", "--enable-debug-command", "yes", "--balance-clients", "no",
        "--client-output-buffer-limit", "pubsub", "0", "0", "0", "--notify-keyspace-events", "KA", NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

static void ask(struct resp3 *connection, const char *request) {
    resp3_send_text(connection, request);
    resp3_value_free(resp3_read(connection));
}

static struct resp3 *connect_three(const struct server *server, long worker) {
    struct resp3 *connection = resp3_connect_to(server, worker);
    ask(connection, "HELLO 3\r\n");
    return connection;
}

/* All that it was to hear by now has come, and that is this. */
static void expect_heard(struct resp3 *connection, const char *expected) {
    resp3_send_text(connection, "PING\r\n");
    if (*expected != '\0') resp3_expect_value(connection, expected);
    resp3_expect(connection, "+PONG\r\n");
}

/* ------------------------------------------------------------------ more than a worker can read */

enum { MESSAGES = 700, LENGTH = 65536, WRITERS = 6, TIMES = 20 };

struct teller {
    pthread_t thread;
    struct resp3 *connection;
    int from;
    atomic_bool has_sent;
};

/* Together they are more than may wait for a worker; who waits isn't read, and so can't send. */
static void *publish_much(void *argument) {
    struct teller *teller = argument;
    char *text = malloc(LENGTH + 1);
    assert_non_null(text);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    for (int i = 0; i < MESSAGES; i++) {
        int length = snprintf(text, LENGTH, "%d:", teller->from + i);
        text[length] = 'x';
        RESP3_COMMAND(teller->connection, "PUBLISH", "a", text);
    }
    free(text);
    atomic_store(&teller->has_sent, true);
    return NULL;
}

/* Comes and goes by turns, whoever does it. */
static void write_much(struct resp3 *writer) {
    for (int i = 0; i < TIMES; i++) {
        RESP3_COMMAND(writer, "SET", "object", "x", "NX");
        RESP3_COMMAND(writer, "DEL", "object");
    }
}

/* Whether all of them wait at some moment while worker 0 sleeps. Each asks, in any case. */
static bool all_wait(redisContext *admin, const struct teller *teller, struct resp3 *const *writers) {
    int64_t waiting;
    while ((waiting = info_number(admin, "parked_clients")) < 1 && !atomic_load(&teller->has_sent)) continue;
    for (int i = 0; i < WRITERS; i++) write_much(writers[i]);
    while (waiting > 0 && waiting < 1 + WRITERS) waiting = info_number(admin, "parked_clients");
    return waiting > 0;
}

/* How many changes they were told that they have made. */
static long take_answers(struct resp3 *const *writers) {
    long changes = 0;
    for (int i = 0; i < WRITERS; i++)
        for (int k = 0; k < TIMES * 2; k++) {
            struct resp3_value *value = resp3_read(writers[i]);
            changes += value->kind == '+' || value->integer == 1;
            resp3_value_free(value);
        }
    return changes;
}

struct heard {
    int messages; /* of the large ones */
    int events;
    bool is_there;
};

/* Up to the PONG behind all that was told. */
static void hear_all(struct resp3 *hearer, struct heard *heard) {
    resp3_send_text(hearer, "PING\r\n");
    for (;;) {
        struct resp3_value *value = resp3_read(hearer);
        bool is_end = value->kind == '+';
        if (!is_end && strcmp(value->elements[1].text, "a") == 0) {
            assert_int_equal(value->elements[2].length, LENGTH);
            assert_int_equal(atoi(value->elements[2].text), heard->messages++);
        } else if (!is_end) {
            bool comes = strcmp(value->elements[2].text, "set") == 0;
            assert_true(comes != heard->is_there);
            heard->is_there = comes;
            heard->events++;
        }
        resp3_value_free(value);
        if (is_end) return;
    }
}

static void who_tells_more_than_a_worker_can_read_waits_and_nothing_is_lost(void **state) {
    (void)state;
    struct server *server = start();
    struct resp3 *hearer = connect_three(server, 0), *busy = resp3_connect_to(server, 0), *writers[WRITERS];
    struct teller teller = {.connection = resp3_connect_to(server, 1)};
    redisContext *admin = server_connect_to(server, 1);
    struct heard heard = {0};
    bool has_waited = false;
    long changes = 0;
    ask(hearer, "SUBSCRIBE a\r\n");
    ask(hearer, "SUBSCRIBE __keyspace@0__:object\r\n");
    for (int i = 0; i < WRITERS; i++) writers[i] = resp3_connect_to(server, 1);
    for (int milliseconds = scaled(500, 4000); !has_waited; milliseconds *= 2) {
        char request[TEXT_MOST];
        assert_true(milliseconds <= SLEEP_MOST);
        snprintf(request, sizeof request, "DEBUG SLEEP %d.%03d\r\n", milliseconds / 1000,
                 milliseconds % 1000);
        resp3_send_text(busy, request);
        atomic_store(&teller.has_sent, false);
        assert_int_equal(pthread_create(&teller.thread, NULL, publish_much, &teller), 0);
        has_waited = all_wait(admin, &teller, writers);
        /* Who only reads, or hears, doesn't wait. */
        expect(admin, "OK", "SELECT 1");
        expect(admin, "0", "EXISTS object");
        resp3_expect(busy, "+OK\r\n");
        pthread_join(teller.thread, NULL);
        for (int i = 0; i < MESSAGES; i++) resp3_expect(teller.connection, ":1\r\n");
        changes += take_answers(writers);
        teller.from += MESSAGES;
    }
    for (int i = 0; i < WRITERS; i++) resp3_close(writers[i]);
    hear_all(hearer, &heard);
    assert_int_equal(heard.messages, teller.from);
    assert_int_equal(heard.events, changes);
    await_info(admin, "parked_clients", 0);
    redisFree(admin);
    resp3_close(teller.connection);
    resp3_close(busy);
    resp3_close(hearer);
    stop(server);
}

/* ------------------------------------------------------------------ keys that somebody has */

static void who_waits_for_a_key_tells_of_it_when_it_is_done(void **state) {
    static const struct {
        const char *request, *told;
    } cases[] = {
        {"SET k x\r\n", "set"},
        {"MULTI\r\nSET k x\r\nEXEC\r\n", "set"},
        {"EVAL \"return redis.call('append', KEYS[1], 'x')\" 1 k\r\n", "append"},
    };
    (void)state;
    struct server *server = start();
    struct resp3 *hearer = connect_three(server, 0), *keeper = connect_three(server, 0),
                 *writer = resp3_connect_to(server, 1);
    redisContext *admin = server_connect_to(server, 1);
    char expected[TEXT_MOST];
    ask(hearer, "SUBSCRIBE __keyspace@0__:k\r\n");
    ask(keeper, "CLIENT TRACKING ON\r\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(keeper, "GET k\r\n");
        expect(admin, "OK", "DEBUG HOLD k 100");
        resp3_send_text(writer, cases[i].request);
        await_info(admin, "parked_clients", 1);
        expect_heard(hearer, "");
        expect_heard(keeper, "");
        expect(admin, "OK", "DEBUG RELEASE");
        resp3_send_text(writer, "ECHO done\r\n");
        for (bool is_done = false; !is_done;) {
            struct resp3_value *value = resp3_read(writer);
            is_done = value->text != NULL && strcmp(value->text, "done") == 0;
            resp3_value_free(value);
        }
        snprintf(expected, sizeof expected, ">[message, __keyspace@0__:k, %s]", cases[i].told);
        expect_heard(hearer, expected);
        expect_heard(keeper, ">[invalidate, [k]]");
    }
    redisFree(admin);
    resp3_close(writer);
    resp3_close(keeper);
    resp3_close(hearer);
    stop(server);
}

/* Who wants all keys closes the gate: what comes behind it waits, and tells behind it. */
static void what_comes_behind_a_closed_gate_is_told_behind_what_closed_it(void **state) {
    enum { ROUNDS = 30 };
    (void)state;
    struct server *server = start();
    struct resp3 *hearer = connect_three(server, 0), *keeper = connect_three(server, 0),
                 *flusher = resp3_connect_to(server, 0), *writer = resp3_connect_to(server, 1);
    redisContext *admin = server_connect_to(server, 1);
    ask(hearer, "SUBSCRIBE __keyspace@0__:k\r\n");
    ask(keeper, "CLIENT TRACKING ON\r\n");
    for (int i = 0; i < ROUNDS; i++) {
        expect(admin, "OK", "DEBUG HOLD other 100");
        resp3_send_text(flusher, "FLUSHALL\r\n");
        await_info(admin, "parked_clients", 1);
        ask(keeper, "GET k\r\n");
        resp3_exchange(writer, "SET k x", "+OK\r\n"); /* for whom the gate is opened again */
        expect_heard(hearer, ">[message, __keyspace@0__:k, set]");
        expect_heard(keeper, ">[invalidate, [k]]");
        expect(admin, "OK", "DEBUG RELEASE");
        resp3_expect(flusher, "+OK\r\n");
        expect_heard(keeper, ">[invalidate, (nil)]");
        expect_heard(hearer, "");
        expect(admin, "(nil)", "GET k");
    }
    redisFree(admin);
    resp3_close(writer);
    resp3_close(flusher);
    resp3_close(keeper);
    resp3_close(hearer);
    stop(server);
}

/* ------------------------------------------------------------------ a pause */

static void whatever_publishes_waits_for_the_end_of_a_pause_of_writing(void **state) {
    static const char *const requests[] = {
        "PUBLISH a x\r\n",
        "MULTI\r\nPUBLISH a x\r\nEXEC\r\n",
        "EVAL \"return redis.call('publish', 'a', 'x')\" 0\r\n",
        "SPUBLISH s x\r\n",
    };
    (void)state;
    struct server *server = start();
    struct resp3 *hearer = connect_three(server, 0), *teller = resp3_connect_to(server, 1);
    redisContext *admin = server_connect_to(server, 1);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool is_shards = requests[i][0] == 'S';
        expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
        resp3_send_text(teller, requests[i]);
        await_info(admin, "parked_clients", 1);
        /* Who comes to hear it meanwhile does. */
        ask(hearer, is_shards ? "SSUBSCRIBE s\r\n" : "SUBSCRIBE a\r\n");
        expect_heard(hearer, "");
        expect(admin, "OK", "CLIENT UNPAUSE");
        resp3_send_text(teller, "ECHO done\r\n");
        for (bool is_done = false; !is_done;) {
            struct resp3_value *value = resp3_read(teller);
            is_done = value->text != NULL && strcmp(value->text, "done") == 0;
            resp3_value_free(value);
        }
        expect_heard(hearer, is_shards ? ">[smessage, s, x]" : ">[message, a, x]");
        ask(hearer, is_shards ? "SUNSUBSCRIBE\r\n" : "UNSUBSCRIBE\r\n");
    }
    redisFree(admin);
    resp3_close(teller);
    resp3_close(hearer);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_tells_more_than_a_worker_can_read_waits_and_nothing_is_lost),
        cmocka_unit_test(who_waits_for_a_key_tells_of_it_when_it_is_done),
        cmocka_unit_test(what_comes_behind_a_closed_gate_is_told_behind_what_closed_it),
        cmocka_unit_test(whatever_publishes_waits_for_the_end_of_a_pause_of_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
