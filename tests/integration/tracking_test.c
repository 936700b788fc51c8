/* CLIENT TRACKING: who keeps copies of what it reads is told when that changes, and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define TEXT_MOST 256

static struct server *start(const char *threads) {
    return server_start((const char *const[]){"--threads", threads, "--enable-debug-command", "yes",
                                              "--balance-clients", "no", NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* On that worker, with RESP3. */
static struct resp3 *connect_three(const struct server *server, long worker) {
    struct resp3 *connection = resp3_connect_to(server, worker);
    resp3_send_text(connection, "HELLO 3\r\n");
    resp3_value_free(resp3_read(connection));
    return connection;
}

static struct resp3 *connect_tracking(const struct server *server, long worker, const char *options) {
    char request[TEXT_MOST + 32];
    struct resp3 *connection = connect_three(server, worker);
    snprintf(request, sizeof request, "CLIENT TRACKING ON %s", options);
    resp3_exchange(connection, request, "+OK\r\n");
    return connection;
}

static void ask(struct resp3 *connection, const char *request) {
    resp3_send_text(connection, request);
    resp3_send_text(connection, "\r\n");
    resp3_value_free(resp3_read(connection));
}

/* Whatever it was to be told by now has come, and that is this. */
static void expect_told(struct resp3 *connection, const char *expected) {
    resp3_send_text(connection, "PING\r\n");
    if (*expected != '\0') resp3_expect_value(connection, expected);
    resp3_expect(connection, "+PONG\r\n");
}

static void redirect(struct resp3 *from, struct resp3 *to) {
    char request[TEXT_MOST];
    long id = resp3_integer(to, "CLIENT ID");
    snprintf(request, sizeof request, "CLIENT TRACKING ON REDIRECT %ld", id);
    resp3_exchange(from, request, "+OK\r\n");
    snprintf(request, sizeof request, ":%ld\r\n", id);
    resp3_exchange(from, "CLIENT GETREDIR", request);
}

/* ------------------------------------------------------------------ what was read */

static void a_key_that_was_read_is_told_of_once_when_it_changes(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, ""), *writer = resp3_connect_to(server, 1);
    resp3_exchange(reader, "GET k", "_\r\n");
    resp3_exchange(writer, "SET k 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [k]]");
    resp3_exchange(writer, "SET k 2", "+OK\r\n");
    expect_told(reader, "");
    ask(reader, "MGET k l");
    resp3_exchange(writer, "SELECT 3", "+OK\r\n"); /* a key is one in all databases */
    resp3_exchange(writer, "SET l 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [l]]");
    resp3_exchange(writer, "SELECT 0", "+OK\r\n");
    resp3_exchange(writer, "DEL k", ":1\r\n");
    expect_told(reader, ">[invalidate, [k]]");
    ask(reader, "LRANGE list 0 -1");
    resp3_exchange(writer, "RPUSH list a", ":1\r\n");
    expect_told(reader, ">[invalidate, [list]]");
    resp3_exchange(reader, "SET k 1", "+OK\r\n"); /* who writes doesn't keep */
    resp3_exchange(writer, "SET k 2", "+OK\r\n");
    expect_told(reader, "");
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

static void what_a_client_changes_itself_it_is_told_behind_the_whole_reply(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *client = connect_tracking(server, 0, "");
    resp3_send_text(client, "GET k\r\nSET k 1\r\nMULTI\r\nGET k\r\nSET k 2\r\nGET l\r\nEXEC\r\nPING\r\n");
    resp3_expect(client, "_\r\n+OK\r\n");
    resp3_expect_value(client, ">[invalidate, [k]]");
    resp3_expect(client, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$1\r\n1\r\n+OK\r\n_\r\n");
    resp3_expect_value(client, ">[invalidate, [k]]");
    resp3_expect(client, "+PONG\r\n");
    ask(client, "GET k");
    RESP3_COMMAND(client, "EVAL", "redis.call('set', KEYS[1], 3) return 'done'", "1", "k");
    resp3_expect(client, "$4\r\ndone\r\n");
    expect_told(client, ">[invalidate, [k]]");
    ask(client, "GET k"); /* on a thread of long work */
    RESP3_COMMAND(client, "EVAL", "for i = 1, 3e6 do end redis.call('set', KEYS[1], 4) return 'done'", "1",
                  "k");
    resp3_expect(client, "$4\r\ndone\r\n");
    expect_told(client, ">[invalidate, [k]]");
    resp3_exchange(client, "CLIENT TRACKING ON NOLOOP", "+OK\r\n");
    ask(client, "GET k");
    resp3_exchange(client, "SET k 5", "+OK\r\n");
    expect_told(client, "");
    resp3_close(client);
    stop(server);
}

static void what_a_script_reads_is_tracked_wherever_it_runs(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, ""), *writer = resp3_connect_to(server, 1);
    RESP3_COMMAND(reader, "EVAL_RO", "return redis.call('get', 'inner')", "1", "declared");
    resp3_expect(reader, "_\r\n");
    RESP3_COMMAND(reader, "EVAL_RO", "for i = 1, 3e6 do end return redis.call('get', 'long')", "0");
    resp3_expect(reader, "_\r\n");
    resp3_exchange(writer, "MSET declared 1 inner 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [inner]]");
    resp3_exchange(writer, "SET long 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [long]]");
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

static void who_waited_for_a_key_is_told_of_its_next_change(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, ""), *writer = resp3_connect_to(server, 1);
    redisContext *observer = server_connect(server);
    resp3_send_text(reader, "XREAD BLOCK 0 STREAMS s $\r\n");
    await_info(observer, "blocked_clients", 1);
    ask(writer, "XADD s 1-1 a b");
    resp3_expect_value(reader, ">[invalidate, [s]]");
    resp3_expect_value(reader, "{s: [[1-1, [a, b]]]}");
    ask(writer, "XADD s 2-1 a b");
    expect_told(reader, ">[invalidate, [s]]");
    redisFree(observer);
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

/* ------------------------------------------------------------------ all keys, time, memory */

/* It is turned on behind what else is in there. */
/* Keeps the connection's worker in one turn for a good while, without a shard, and lets it read news in
 * between. */
static void keep_busy(struct resp3 *busy) {
    enum { ELEMENTS = 1000, TEXT = 4000, TIMES = 30 };
    char *request = malloc(3 * ELEMENTS + TEXT + 128), *at = request;
    at += sprintf(at, "*4\r\n$5\r\nDEBUG\r\n$15\r\nSTRINGMATCH-LEN\r\n$%d\r\n*", 1 + 3 * ELEMENTS + 1);
    for (int i = 0; i < ELEMENTS; i++) at += sprintf(at, "[a]");
    at += sprintf(at, "b\r\n$%d\r\n", TEXT);
    memset(at, 'a', TEXT);
    at += TEXT;
    at += sprintf(at, "\r\n");
    size_t length = (size_t)(at - request);
    static const char head[] = "SET busy 1\r\n";
    char *all = malloc(sizeof head + TIMES * length);
    memcpy(all, head, sizeof head - 1);
    for (size_t i = 0; i < TIMES; i++) memcpy(all + sizeof head - 1 + i * length, request, length);
    resp3_send(busy, all, sizeof head - 1 + TIMES * length);
    free(request);
    free(all);
}

/* Its reply waits until its worker has time, and so does what happened to the key before and after. */
static void who_was_served_reads_the_reply_before_what_came_later_and_behind_what_came_before(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *waiter = connect_tracking(server, 0, ""), *hearer = connect_three(server, 0),
                 *busy = resp3_connect_to(server, 0), *writer = resp3_connect_to(server, 1);
    redisContext *admin = server_connect_to(server, 1);
    resp3_send_text(hearer, "SUBSCRIBE c\r\n");
    resp3_expect_value(hearer, ">[subscribe, c, 1]");
    resp3_send_text(waiter, "XREAD BLOCK 0 STREAMS s $\r\n");
    resp3_send_text(hearer, "BLPOP l 0\r\n");
    await_info(admin, "blocked_clients", 2);
    keep_busy(busy);
    while (ask_integer(admin, "EXISTS busy") == 0) continue;
    resp3_exchange(writer, "PUBLISH c before", ":1\r\n");
    resp3_exchange(writer, "XADD s 1-1 a 1", "$3\r\n1-1\r\n");
    resp3_exchange(writer, "XADD s 1-2 a 2", "$3\r\n1-2\r\n");
    resp3_exchange(writer, "RPUSH l x", ":1\r\n");
    resp3_exchange(writer, "PUBLISH c after", ":1\r\n");
    resp3_expect_value(waiter, ">[invalidate, [s]]"); /* it had read that before it waited */
    resp3_expect_value(waiter, "{s: [[1-1, [a, 1]]]}");
    resp3_expect_value(waiter, ">[invalidate, [s]]");
    resp3_expect_value(hearer, ">[message, c, before]");
    resp3_expect_value(hearer, "[l, x]");
    resp3_expect_value(hearer, ">[message, c, after]");
    redisFree(admin);
    resp3_close(waiter);
    resp3_close(hearer);
    resp3_close(busy);
    resp3_close(writer);
    stop(server);
}

static void who_turns_it_on_in_a_transaction_is_told_to_keep_nothing_of_that(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_three(server, 0);
    ask(reader, "MULTI");
    ask(reader, "CLIENT TRACKING ON");
    ask(reader, "GET k");
    ask(reader, "SUBSCRIBE channel");
    resp3_send_text(reader, "EXEC\r\n");
    resp3_expect_value(reader, "[OK, (nil), >[subscribe, channel, 1]]");
    expect_told(reader, ">[invalidate, (nil)]");
    resp3_close(reader);
    stop(server);
}

static void more_names_than_may_wait_are_told_of_as_all_keys_and_once(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "BCAST"), *writer = connect_three(server, 0);
    enum { NAME = 60000, NAMES = 30 };
    char *request = malloc(NAME + 32);
    resp3_exchange(writer, "MULTI", "+OK\r\n");
    for (int i = 0; i < NAMES; i++) {
        snprintf(request, NAME + 32, "SET %0*d 1", NAME, i);
        resp3_exchange(writer, request, "+QUEUED\r\n");
    }
    free(request);
    ask(writer, "EXEC");
    expect_told(reader, ">[invalidate, (nil)]");
    resp3_exchange(writer, "SET short 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [short]]");
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

static void flushing_any_database_tells_that_all_keys_may_have_changed(void **state) {
    static const char *const commands[] = {"FLUSHALL", "FLUSHDB", "SWAPDB 0 1"};
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, ""), *other = connect_tracking(server, 1, "BCAST"),
                 *writer = resp3_connect_to(server, 1);
    resp3_exchange(writer, "SELECT 5", "+OK\r\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        ask(reader, "GET k");
        resp3_exchange(writer, commands[i], "+OK\r\n");
        expect_told(reader, ">[invalidate, (nil)]");
        expect_told(other, ">[invalidate, (nil)]");
        resp3_exchange(writer, "DEL k", ":0\r\n");
        resp3_exchange(writer, "SET k 1", "+OK\r\n"); /* it isn't kept any more */
        expect_told(reader, "");
        expect_told(other, ">[invalidate, [k]]");
        resp3_exchange(writer, "DEL k", ":1\r\n");
        expect_told(other, ">[invalidate, [k]]");
    }
    resp3_send_text(reader, "FLUSHALL\r\nPING\r\n");
    resp3_expect(reader, "+OK\r\n");
    resp3_expect_value(reader, ">[invalidate, (nil)]");
    resp3_expect(reader, "+PONG\r\n");
    resp3_close(reader);
    resp3_close(other);
    resp3_close(writer);
    stop(server);
}

/* false: it is gone by now. What was told before the reply is passed over. */
static bool is_read(struct resp3 *connection, const char *key) {
    char request[TEXT_MOST];
    snprintf(request, sizeof request, "GET %s\r\n", key);
    resp3_send_text(connection, request);
    struct resp3_value *value = resp3_read(connection);
    while (value->kind == '>') {
        resp3_value_free(value);
        value = resp3_read(connection);
    }
    bool is_there = !value->is_null;
    resp3_value_free(value);
    return is_there;
}

static void what_expires_or_is_evicted_is_told_even_to_who_spares_itself(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "NOLOOP"), *writer = resp3_connect_to(server, 1);
    redisContext *observer = server_connect(server);
    do resp3_exchange(writer, "SET k 1 PX 20", "+OK\r\n");
    while (!is_read(reader, "k"));
    resp3_expect_value(reader, ">[invalidate, [k]]");
    expect(observer, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    do resp3_exchange(writer, "SET k 1 PX 20", "+OK\r\n");
    while (!is_read(reader, "k"));
    while (is_read(reader, "k")) continue;
    resp3_expect_value(reader, ">[invalidate, [k]]");
    resp3_exchange(writer, "SET k 1", "+OK\r\n"); /* it keeps that it has found none */
    expect_told(reader, ">[invalidate, [k]]");
    do resp3_exchange(writer, "SET k 1 PX 20", "+OK\r\n");
    while (!is_read(reader, "k"));
    while (is_read(writer, "k")) continue; /* who finds that it has expired tells the others */
    expect_told(reader, ">[invalidate, [k]]");
    resp3_exchange(writer, "SET e 1", "+OK\r\n");
    ask(reader, "GET e");
    expect(observer, "OK", "CONFIG SET maxmemory-policy allkeys-random");
    expect(observer, "OK", "CONFIG SET maxmemory 1");
    resp3_expect_value(reader, ">[invalidate, [e]]");
    redisFree(observer);
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

static void keys_beyond_the_limit_are_told_of_as_if_they_had_changed(void **state) {
    enum { MOST = 10, READ = 50 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "");
    redisContext *observer = server_connect(server);
    char request[TEXT_MOST];
    expect(observer, "OK", "CONFIG SET tracking-table-max-keys %d", MOST);
    for (int i = 0; i < READ; i++) {
        snprintf(request, sizeof request, "GET key:%d\r\n", i);
        resp3_send_text(reader, request);
    }
    resp3_send_text(reader, "PING\r\n");
    int told = 0;
    for (bool is_done = false; !is_done;) {
        struct resp3_value *value = resp3_read(reader);
        told += value->kind == '>';
        is_done = value->kind == '+';
        resp3_value_free(value);
    }
    assert_int_equal(told, READ - MOST);
    await_info(observer, "tracking_total_keys", MOST);
    await_info(observer, "tracking_total_items", MOST);
    await_info(observer, "tracking_clients", 1);
    resp3_close(reader);
    await_info(observer, "tracking_clients", 0);
    await_info(observer, "tracking_total_keys", 0);
    redisFree(observer);
    stop(server);
}

/* ------------------------------------------------------------------ which keys */

static void optin_tracks_only_what_follows_caching_yes(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "OPTIN"), *writer = resp3_connect_to(server, 1);
    resp3_send_text(reader, "GET a\r\nCLIENT CACHING YES\r\nGET b\r\nGET c\r\nCLIENT CACHING YES\r\nMULTI\r\n"
                            "GET d\r\nGET e\r\nEXEC\r\nGET f\r\nPING\r\n");
    resp3_expect(reader,
                 "_\r\n+OK\r\n_\r\n_\r\n+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n_\r\n_\r\n_\r\n+PONG\r\n");
    resp3_exchange(writer, "MSET a 1 c 1 f 1", "+OK\r\n");
    expect_told(reader, "");
    resp3_exchange(writer, "SET b 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [b]]");
    resp3_exchange(writer, "SET d 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [d]]");
    resp3_exchange(writer, "SET e 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [e]]");
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

static void optout_tracks_all_but_what_follows_caching_no(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "OPTOUT"), *writer = resp3_connect_to(server, 1);
    resp3_send_text(reader,
                    "CLIENT CACHING NO\r\nGET a\r\nGET b\r\nCLIENT CACHING NO\r\nNONSENSE\r\nGET c\r\n");
    resp3_expect(reader, "+OK\r\n_\r\n_\r\n+OK\r\n");
    resp3_value_free(resp3_read(reader));
    resp3_expect(reader, "_\r\n");
    resp3_exchange(writer, "SET a 1", "+OK\r\n");
    expect_told(reader, "");
    resp3_exchange(writer, "SET b 1", "+OK\r\n");
    expect_told(reader, ">[invalidate, [b]]");
    resp3_exchange(writer, "SET c 1", "+OK\r\n"); /* what was refused used the word up */
    expect_told(reader, ">[invalidate, [c]]");
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

/* All three are on one worker, so that none of its turns ends in between. */
static void broadcast_tells_of_each_key_with_a_prefix_once_a_turn(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *one = connect_tracking(server, 0, "BCAST PREFIX user: PREFIX q"),
                 *all = connect_tracking(server, 0, "BCAST NOLOOP"), *writer = resp3_connect_to(server, 0);
    resp3_exchange(writer, "SET users 1", "+OK\r\n");
    expect_told(one, "");
    expect_told(all, ">[invalidate, [users]]");
    resp3_send_text(writer,
                    "MULTI\r\nMSET user:1 1 q 1 r 1 user: 1\r\nMSET q 2 r 2\r\nDEL user:1\r\nEXEC\r\n");
    resp3_expect(writer, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n:1\r\n");
    expect_told(one, ">[invalidate, [user:1, q, user:]]");
    expect_told(all, ">[invalidate, [user:1, q, r, user:]]");
    resp3_send_text(one, "SET user:1 1\r\nSET user:2 1\r\nSET user:1 2\r\n");
    resp3_expect(one, "+OK\r\n+OK\r\n+OK\r\n");
    resp3_expect_value(one, ">[invalidate, [user:1, user:2]]");
    expect_told(all, ">[invalidate, [user:1, user:2]]");
    resp3_exchange(all, "SET user:3 1", "+OK\r\n");
    expect_told(all, "");
    expect_told(one, ">[invalidate, [user:3]]");
    assert_int_equal(resp3_integer(writer, "DEL user:3"), 1);
    expect_told(one, ">[invalidate, [user:3]]");
    expect_told(all, ">[invalidate, [user:3]]");
    redisContext *observer = server_connect(server);
    await_info(observer, "tracking_total_prefixes", 3);
    resp3_exchange(one, "CLIENT TRACKING OFF", "+OK\r\n");
    await_info(observer, "tracking_total_prefixes", 1);
    resp3_exchange(writer, "SET user:1 1", "+OK\r\n");
    expect_told(one, "");
    resp3_close(all);
    await_info(observer, "tracking_total_prefixes", 0);
    redisFree(observer);
    resp3_close(one);
    resp3_close(writer);
    stop(server);
}

enum { NAMED = 60, LETTERS = 3 };

static void name_key(char *out, size_t size, int number) {
    snprintf(out, size, "%c:%d", 'a' + number * 7 % LETTERS, NAMED - number);
}

/* Those that begin with one of the letters, in the order in which they change. */
static void expect_names(struct resp3 *connection, const char *letters) {
    char expected[NAMED * 8] = ">[invalidate, [";
    for (int i = 0; i < NAMED; i++) {
        char key[16];
        name_key(key, sizeof key, i);
        if (strchr(letters, key[0]) == NULL) continue;
        if (expected[strlen(expected) - 1] != '[') strcat(expected, ", ");
        strcat(expected, key);
    }
    strcat(expected, "]]");
    expect_told(connection, expected);
}

/* Where many keys wait, each client's own are looked up among them. */
static void whoever_has_prefixes_is_told_of_these_alone_among_many_keys(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *two = connect_tracking(server, 0, "BCAST PREFIX c: PREFIX a:"),
                 *other = connect_tracking(server, 0, "BCAST PREFIX b:"),
                 *none = connect_tracking(server, 0, "BCAST PREFIX a:1000 PREFIX aa PREFIX a:. PREFIX d"),
                 *all = connect_tracking(server, 0, "BCAST"),
                 *own = connect_tracking(server, 0, "BCAST NOLOOP PREFIX b:");
    char request[NAMED * 16] = "MSET";
    for (int i = 0; i < NAMED; i++) {
        char key[16];
        name_key(key, sizeof key, i);
        snprintf(request + strlen(request), sizeof request - strlen(request), " %s 1", key);
    }
    resp3_exchange(own, request, "+OK\r\n");
    expect_names(two, "ac");
    expect_names(other, "b");
    expect_told(none, "");
    expect_names(all, "abc");
    expect_told(own, "");
    resp3_exchange(other, request, "+OK\r\n");
    expect_names(own, "b");
    resp3_close(two);
    resp3_close(other);
    resp3_close(none);
    resp3_close(all);
    resp3_close(own);
    stop(server);
}

/* A key is found by the first bytes of a prefix, and told of only if all are there. */
static void long_prefixes_are_told_apart(void **state) {
    (void)state;
    struct server *server = start("2");
    char options[TEXT_MOST], request[TEXT_MOST], expected[TEXT_MOST], name[100];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    snprintf(options, sizeof options, "BCAST PREFIX %sa", name);
    struct resp3 *reader = connect_tracking(server, 0, options), *writer = resp3_connect_to(server, 1);
    snprintf(request, sizeof request, "SET %sb 1", name);
    resp3_exchange(writer, request, "+OK\r\n");
    expect_told(reader, "");
    snprintf(request, sizeof request, "SET %sab 1", name);
    resp3_exchange(writer, request, "+OK\r\n");
    snprintf(expected, sizeof expected, ">[invalidate, [%sab]]", name);
    expect_told(reader, expected);
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

/* ------------------------------------------------------------------ to whom */

static void a_subscriber_with_resp2_hears_for_who_redirects_to_it(void **state) {
    (void)state;
    struct server *server = start("2");
    for (long worker = 0; worker < 2; worker++) {
        struct resp3 *hearer = resp3_connect_to(server, worker), *reader = resp3_connect_to(server, 0),
                     *writer = resp3_connect_to(server, 1);
        redirect(reader, hearer);
        resp3_exchange(reader, "GET none", "$-1\r\n");
        resp3_exchange(writer, "SET none 1", "+OK\r\n"); /* it can't be told before it subscribes */
        resp3_exchange(hearer, "SUBSCRIBE __redis__:invalidate",
                       "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
        ask(reader, "GET k");
        resp3_exchange(writer, "SET k 1", "+OK\r\n");
        resp3_send_text(hearer, "PING\r\n");
        resp3_expect(hearer, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n"
                             "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        resp3_exchange(writer, "FLUSHALL", "+OK\r\n");
        resp3_send_text(hearer, "PING\r\n");
        resp3_expect(hearer, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n"
                             "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        resp3_exchange(reader, "CLIENT TRACKING OFF", "+OK\r\n");
        resp3_close(reader);
        resp3_close(writer);
        resp3_close(hearer);
    }
    stop(server);
}

static void who_redirects_is_told_when_the_other_has_gone(void **state) {
    (void)state;
    struct server *server = start("2");
    for (long worker = 0; worker < 2; worker++) {
        struct resp3 *hearer = connect_three(server, worker), *reader = connect_three(server, 0),
                     *writer = resp3_connect_to(server, 1);
        redisContext *observer = server_connect(server);
        char expected[TEXT_MOST];
        long id = resp3_integer(hearer, "CLIENT ID");
        redirect(reader, hearer);
        ask(reader, "GET k");
        resp3_exchange(writer, "SET k 1", "+OK\r\n");
        expect_told(hearer, ">[invalidate, [k]]");
        expect_told(reader, "");
        ask(reader, "GET k");
        expect(observer, "1", "CLIENT KILL ID %ld", id);
        resp3_exchange(writer, "SET k 2", "+OK\r\n");
        snprintf(expected, sizeof expected, ">[tracking-redir-broken, %ld]", id);
        resp3_expect_value(reader, expected);
        snprintf(expected, sizeof expected, "{flags: ~[on, broken_redirect], redirect: %ld, prefixes: []}",
                 id);
        resp3_send_text(reader, "CLIENT TRACKINGINFO\r\n");
        resp3_expect_value(reader, expected);
        redisFree(observer);
        resp3_close(hearer);
        resp3_close(reader);
        resp3_close(writer);
    }
    stop(server);
}

/* What was noted while it told another one is told once more: everything may have changed. */
static void who_changes_its_redirection_loses_nothing(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *first = connect_three(server, 0), *second = connect_three(server, 1),
                 *reader = connect_three(server, 0), *writer = resp3_connect_to(server, 1);
    redirect(reader, first);
    ask(reader, "GET k");
    redirect(reader, second);
    expect_told(second, ">[invalidate, (nil)]");
    ask(reader, "GET k");
    resp3_exchange(writer, "SET k 1", "+OK\r\n");
    expect_told(second, ">[invalidate, [k]]");
    expect_told(first, "");
    resp3_close(first);
    resp3_close(second);
    resp3_close(reader);
    resp3_close(writer);
    stop(server);
}

/* ------------------------------------------------------------------ its state */

static void clients_are_listed_with_what_they_track(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *reader = connect_tracking(server, 0, "BCAST PREFIX b PREFIX a NOLOOP");
    resp3_send_text(reader, "CLIENT INFO\r\n");
    struct resp3_value *info = resp3_read(reader);
    assert_non_null(strstr(info->text, " flags=tB "));
    assert_non_null(strstr(info->text, " redir=0 "));
    resp3_value_free(info);
    resp3_send_text(reader, "CLIENT TRACKINGINFO\r\n");
    resp3_expect_value(reader, "{flags: ~[on, bcast, noloop], redirect: 0, prefixes: [a, b]}");
    resp3_exchange(reader, "RESET", "+RESET\r\n");
    resp3_exchange(reader, "CLIENT GETREDIR", ":-1\r\n");
    resp3_send_text(reader, "CLIENT TRACKINGINFO\r\n");
    resp3_expect_value(reader, "[flags, [off], redirect, -1, prefixes, []]");
    resp3_close(reader);
    stop(server);
}

static void a_wish_that_makes_no_sense_is_refused_in_redis_words(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *client = resp3_connect(server);
    static const char *const refused[][2] = {
        {"CLIENT TRACKING ON PREFIX a", "PREFIX option requires BCAST mode to be enabled"},
        {"CLIENT TRACKING ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"},
        {"CLIENT TRACKING ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"},
        {"CLIENT TRACKING ON REDIRECT 99999", "The client ID you want redirect to does not exist"},
        {"CLIENT TRACKING ON REDIRECT 99999 NONSENSE", "The client ID you want redirect to does not exist"},
        {"CLIENT TRACKING ON NONSENSE REDIRECT 99999", "syntax error"},
        {"CLIENT TRACKING ON REDIRECT 1 REDIRECT 1", "A client can only redirect to a single other client"},
        {"CLIENT TRACKING ON BCAST PREFIX x PREFIX foo PREFIX fo",
         "Prefix 'foo' overlaps with another provided prefix 'fo'. Prefixes for a single client must not "
         "overlap."},
        {"CLIENT CACHING YES",
         "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN "
         "or OPTOUT mode enabled"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char expected[2 * TEXT_MOST], request[TEXT_MOST];
        snprintf(request, sizeof request, "%s", refused[i][0]);
        snprintf(expected, sizeof expected, "-ERR %s\r\n", refused[i][1]);
        resp3_exchange(client, request, expected);
    }
    resp3_exchange(client, "CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar", "+OK\r\n");
    resp3_exchange(
        client, "CLIENT TRACKING ON BCAST PREFIX x PREFIX ba",
        "-ERR Prefix 'ba' overlaps with an existing prefix 'bar'. Prefixes for a single client must "
        "not overlap.\r\n");
    resp3_exchange(
        client, "CLIENT TRACKING ON",
        "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
        "re-enabling it with a different mode.\r\n");
    resp3_close(client);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_was_read_is_told_of_once_when_it_changes),
        cmocka_unit_test(what_a_client_changes_itself_it_is_told_behind_the_whole_reply),
        cmocka_unit_test(what_a_script_reads_is_tracked_wherever_it_runs),
        cmocka_unit_test(who_waited_for_a_key_is_told_of_its_next_change),
        cmocka_unit_test(who_was_served_reads_the_reply_before_what_came_later_and_behind_what_came_before),
        cmocka_unit_test(who_turns_it_on_in_a_transaction_is_told_to_keep_nothing_of_that),
        cmocka_unit_test(more_names_than_may_wait_are_told_of_as_all_keys_and_once),
        cmocka_unit_test(flushing_any_database_tells_that_all_keys_may_have_changed),
        cmocka_unit_test(what_expires_or_is_evicted_is_told_even_to_who_spares_itself),
        cmocka_unit_test(keys_beyond_the_limit_are_told_of_as_if_they_had_changed),
        cmocka_unit_test(optin_tracks_only_what_follows_caching_yes),
        cmocka_unit_test(optout_tracks_all_but_what_follows_caching_no),
        cmocka_unit_test(broadcast_tells_of_each_key_with_a_prefix_once_a_turn),
        cmocka_unit_test(whoever_has_prefixes_is_told_of_these_alone_among_many_keys),
        cmocka_unit_test(long_prefixes_are_told_apart),
        cmocka_unit_test(a_subscriber_with_resp2_hears_for_who_redirects_to_it),
        cmocka_unit_test(who_redirects_is_told_when_the_other_has_gone),
        cmocka_unit_test(who_changes_its_redirection_loses_nothing),
        cmocka_unit_test(clients_are_listed_with_what_they_track),
        cmocka_unit_test(a_wish_that_makes_no_sense_is_refused_in_redis_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
