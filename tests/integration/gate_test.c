/* The gate, as clients see it: who waits for all shards is never held up by itself, and holds nobody up who
 * needs none. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define WORKERS 3 /* one to look on, two that work */

/* Clients stay where they are, and come to every worker, whatever else the machine has to do. */
static struct server *start(const char *option, const char *value) {
    return server_start((const char *const[]){"--threads", "3", "--slowlog-log-slower-than", "-1",
                                              "--balance-clients", "no", option, value, NULL});
}

static void send_now(redisContext *connection) {
    int done = 0;
    while (!done) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static bool is_answered(const redisContext *connection) {
    struct pollfd poll_fd = {connection->fd, POLLIN, 0};
    return poll(&poll_fd, 1, 0) > 0;
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

/* Clients that want the same shards at the same time, for long and for a moment, refuse each other until
 * somebody takes the gate. */
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
    redisContext *admin = server_connect(server), *flusher = server_connect_to(server, 1);
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", "DEBUG HOLD k 600");
    redisAppendCommand(flusher, "FLUSHALL");
    send_now(flusher);
    while (info_number(admin, "parked_clients") < 1) continue;
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    expect(admin, "OK", "DEBUG RELEASE");
    expect_next(flusher, "OK"); /* when the hold is over, however long the pause may be */
    expect(admin, "0", "DBSIZE");
    expect(admin, "OK", "CLIENT UNPAUSE");
    redisFree(flusher);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* What is to happen while a worker sleeps may take longer than that on a busy machine: then it is tried with
 * a longer sleep. */
static void try_while_it_sleeps(bool (*is_in_time)(const struct server *server, int seconds)) {
    bool is_done = false;
    for (int seconds = 1; seconds <= 16 && !is_done; seconds *= 2) {
        struct server *server = start(NULL, NULL);
        is_done = is_in_time(server, seconds);
        assert_int_equal(server_stop(server), 0);
    }
    assert_true(is_done);
}

static redisContext *sleep_on_worker(const struct server *server, long long worker, int seconds) {
    redisContext *sleeper = server_connect_to(server, worker);
    redisAppendCommand(sleeper, "DEBUG SLEEP %d", seconds);
    send_now(sleeper);
    return sleeper;
}

/* A closed gate is seen by a request that waits at it. */
static bool health_checks_pass(const struct server *server, int seconds) {
    redisContext *health = server_connect_to(server, 1), *waiting = server_connect_to(server, 1);
    expect(health, "OK", "SET k 1");
    redisContext *sleeper = sleep_on_worker(server, 0, seconds);
    bool is_closed = false;
    while (!is_closed && !is_answered(sleeper)) {
        redisAppendCommand(waiting, "GET k");
        send_now(waiting);
        /* Either it is answered, or it is seen to wait. */
        while (!(is_closed = info_number(health, "parked_clients") > 0) && !is_answered(waiting)) continue;
        if (!is_closed) expect_next(waiting, "1");
    }
    expect(health, "PONG", "PING");
    expect(health, "hello", "ECHO hello");
    expect(health, "OK", "SELECT 1");
    expect(health, "OK", "SELECT 0");
    expect(health, "[maxclients, 10000]", "CONFIG GET maxclients");
    expect(health, "1", "DBSIZE");
    bool is_in_time = is_closed && info_number(health, "parked_clients") == 1 && !is_answered(sleeper);
    expect_next(sleeper, "OK");
    if (is_closed) expect_next(waiting, "1");
    redisFree(sleeper);
    redisFree(health);
    redisFree(waiting);
    return is_in_time;
}

static void what_needs_no_shard_is_answered_while_the_gate_is_closed(void **state) {
    (void)state;
    try_while_it_sleeps(health_checks_pass);
}

#define NEWCOMERS 60

/* It has slept for a moment, so long as no turn takes, when they come. */
static bool newcomers_are_answered(const struct server *server, int seconds) {
    redisContext *observer = server_connect_to(server, 1), *sleeper = sleep_on_worker(server, 0, seconds),
                 *newcomers[NEWCOMERS];
    for (int64_t from = now_us(); now_us() - from < 100000;) expect(observer, "PONG", "PING");
    for (int i = 0; i < NEWCOMERS; i++) {
        newcomers[i] = server_connect(server);
        redisAppendCommand(newcomers[i], "PING");
        send_now(newcomers[i]);
    }
    for (int i = 0; i < NEWCOMERS; i++) expect_next(newcomers[i], "PONG");
    bool is_in_time = !is_answered(sleeper);
    expect_next(sleeper, "OK");
    for (int i = 0; i < NEWCOMERS; i++) redisFree(newcomers[i]);
    redisFree(sleeper);
    redisFree(observer);
    return is_in_time;
}

static void new_clients_are_not_given_to_a_worker_that_is_busy_with_one_command(void **state) {
    (void)state;
    try_while_it_sleeps(newcomers_are_answered);
}

#define MANY_KEYS 5000
#define LARGE 10000

/* Or there would always be somebody inside who takes long. */
static void what_takes_long_does_not_begin_while_flushall_waits(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect_to(server, 0), *flusher = server_connect_to(server, 1),
                 *later = server_connect_to(server, 2), *counter = server_connect_to(server, 2);
    add_members(admin, "large", 0, LARGE);
    add_members(admin, "small", 0, 10);
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", "DEBUG HOLD k 600");
    redisAppendCommand(flusher, "FLUSHALL");
    send_now(flusher);
    while (info_number(admin, "parked_clients") < 1) continue;
    /* In one pipeline: each of them begins when the one before is done. The last would find its elements if
     * it didn't wait. */
    redisAppendCommand(later, "SUNIONSTORE stored small");
    redisAppendCommand(later, "SUNIONSTORE stored large small");
    send_now(later);
    /* Nor does what is long by its many keys. */
    const char *words[MANY_KEYS] = {"EXISTS"};
    for (int i = 1; i < MANY_KEYS; i++) words[i] = "large";
    redisAppendCommandArgv(counter, MANY_KEYS, words, NULL);
    send_now(counter);
    while (info_number(admin, "parked_clients") < 3) continue;
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(later, (void **)&reply), REDIS_OK);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
    expect_next(later, "0");
    expect_next(counter, "0");
    expect_next(flusher, "OK");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(counter);
    redisFree(later);
    redisFree(flusher);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* Both wait for the hold to end, and are told in one turn of their worker: the one that began to wait for its
 * shard is run first. */
static void what_takes_long_is_not_in_the_way_of_who_waits_for_all_shards_on_its_worker(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect_to(server, 0), *flusher = server_connect_to(server, 1),
                 *later = server_connect_to(server, 1);
    for (int round = 0; round < 5; round++) {
        add_members(admin, "large", 0, LARGE);
        expect(admin, "OK", "SET k 0");
        expect(admin, "OK", "DEBUG HOLD k 600");
        redisAppendCommand(later, "SUNIONSTORE k large");
        send_now(later);
        while (info_number(admin, "parked_clients") < 1) continue;
        redisAppendCommand(flusher, "FLUSHALL");
        send_now(flusher);
        while (info_number(admin, "parked_clients") < 2) continue;
        expect(admin, "OK", "DEBUG RELEASE");
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(later, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        freeReplyObject(reply);
        expect_next(flusher, "OK");
    }
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(later);
    redisFree(flusher);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* Writers that overlap refuse a reader for as long as they go on. */
static void a_walk_that_is_refused_again_and_again_gets_its_turn(void **state) {
    (void)state;
    struct server *server = start("--shards", "1");
    redisContext *admin = server_connect_to(server, 0), *writers[CROWD];
    add_members(admin, "a", 0, MEMBERS);
    add_members(admin, "b", MEMBERS / 2, MEMBERS);
    for (int i = 0; i < CROWD; i++) writers[i] = server_connect_to(server, 1 + i % (WORKERS - 1));
    redisAppendCommand(admin, "KEYS *a");
    redisAppendCommand(admin, "SCAN 0 MATCH b COUNT 100");
    for (int round = 0; round == 0 || !is_answered(admin); round++) {
        assert_in_range(round, 0, 200);
        for (int i = 0; i < CROWD; i++) {
            for (int k = 0; k < 20; k++) redisAppendCommand(writers[i], "SUNIONSTORE k a b");
            send_now(writers[i]);
        }
        if (round == 0) send_now(admin);
        for (int i = 0; i < CROWD; i++)
            for (int k = 0; k < 20; k++) expect_next(writers[i], "750");
    }
    expect_next(admin, "[a]");
    expect_next(admin, "[0, [b]]");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    for (int i = 0; i < CROWD; i++) redisFree(writers[i]);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void lcs_of_long_strings_is_refused_as_in_redis(void **state) {
    (void)state;
    struct server *server = start("--proto-max-bulk-len", "1mb");
    redisContext *connection = server_connect(server);
    expect(connection, "100000", "SETRANGE long 99999 x");
    expect(connection, "1", "APPEND short a");
    expect(connection, "0", "LCS long short LEN");
    expect(connection, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
           "LCS long long LEN");
    expect(connection, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
           "LCS long long");
    expect(connection, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
           "LCS long long IDX");
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

/* Each member of the first was looked for in each of the others (100 million times), where their members are
 * soon taken out. */
static void a_difference_of_many_small_sets_is_as_soon_there_as_their_union(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    static const char *words[COUNT + 3];
    struct server *server = start(NULL, NULL);
    redisContext *connection = server_connect(server);
    add_members(connection, "large", 0, COUNT);
    expect(connection, "2", "SADD small -1 7");
    expect(connection, "2", "ZADD sorted 1 -1 2 7");
    static const char *const commands[][3] = {
        {"SUNION", NULL, "small"}, {"SDIFF", NULL, "small"}, {"ZDIFF", "10001", "sorted"}};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        int count = 0;
        words[count++] = commands[i][0];
        if (commands[i][1] != NULL) words[count++] = commands[i][1];
        words[count++] = "large";
        for (int k = 0; k < COUNT; k++) words[count++] = commands[i][2];
        redisReply *reply = redisCommandArgv(connection, count, words, NULL);
        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
        assert_int_equal(reply->elements, i == 0 ? COUNT + 1 : COUNT - 1);
        freeReplyObject(reply);
    }
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

/* Holds a shard that has none of these keys. */
static void hold_beside(redisContext *connection, const char *const *keys) {
    bool is_apart = false;
    for (int i = 0; !is_apart; i++) {
        expect(connection, "OK", "DEBUG RELEASE");
        redisReply *reply = redisCommand(connection, "DEBUG HOLD held:%d 600", i);
        assert_non_null(reply);
        is_apart = reply->type == REDIS_REPLY_STATUS; /* or the last one is on its way out */
        freeReplyObject(reply);
        for (const char *const *key = keys; *key != NULL && is_apart; key++) {
            reply = redisCommand(connection, "DEBUG HOLD %s 0", *key);
            assert_non_null(reply);
            is_apart = reply->type == REDIS_REPLY_STATUS;
            freeReplyObject(reply);
        }
    }
}

static void sort_by_other_keys_waits_for_no_shard_but_theirs(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect_to(server, 0), *sorter = server_connect_to(server, 1);
    expect(admin, "3", "RPUSH l 1 2 3");
    expect(admin, "OK", "MSET w_1 20 w_2 30 w_3 10");
    expect(admin, "1", "HSET h_1 f one");
    expect(admin, "1", "HSET h_2 f two");
    hold_beside(admin, (const char *const[]){"l", "w_1", "w_2", "w_3", "h_1", "h_2", "h_3", "absent_1",
                                             "absent_2", "absent_3", "d", NULL});
    expect(sorter, "[3, 1, 2]", "SORT l BY w_*");
    expect(sorter, "[2, two, 1, one, 3, (nil)]", "SORT l BY w_* DESC GET # GET h_*->f");
    expect(sorter, "[one]", "SORT l BY w_* LIMIT 1 1 GET h_*->f");
    expect(sorter, "[20, 30, 10]", "SORT l BY nosort GET w_*");
    expect(sorter, "[10, 20, 30]", "SORT_RO l BY w_* ALPHA GET w_*");
    expect(sorter, "[(nil), (nil), (nil)]", "SORT l GET absent_*");
    expect(sorter, "ERR One or more scores can't be converted into double", "SORT l BY h_*->f");
    expect(sorter, "3", "SORT l BY w_* STORE d");
    expect(sorter, "[3, 1, 2]", "LRANGE d 0 -1");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(sorter);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* It has copied the list, and waits for the shard of a weight meanwhile; which may be the list's, too, and
 * then the next server has other hashes. */
static bool sort_sees_a_change(const struct server *server, int seconds) {
    redisContext *admin = server_connect_to(server, 0), *leaver = server_connect_to(server, 1), *sorters[3];
    expect(admin, "OK", "MSET w_1 20 w_2 30 w_3 10 w_4 40");
    expect(admin, "3", "RPUSH l 1 2 3");
    expect(admin, "2", "SADD s 1 2");
    expect(admin, "3", "RPUSH same 1 2 3");
    expect(admin, "OK", "DEBUG HOLD w_2 %d", seconds);
    static const char *const questions[] = {"SORT l BY w_*", "SORT s BY w_* DESC GET # GET w_*",
                                            "SORT same BY w_*"};
    for (int i = 0; i < 3; i++) {
        sorters[i] = server_connect_to(server, 1 + i % 2);
        redisAppendCommand(sorters[i], questions[i]);
        send_now(sorters[i]);
    }
    redisAppendCommand(leaver, "SORT l BY w_*");
    send_now(leaver);
    while (info_number(admin, "parked_clients") < 4 && !is_answered(leaver)) continue;
    redisFree(leaver);
    expect(admin, "OK", "LSET l 0 4");
    expect(admin, "1", "SADD s 3");
    redisReply *reply = redisCommand(admin, "DEBUG HOLD w_2 0");
    assert_non_null(reply);
    bool is_in_time = strncmp(reply->str, "BUSY", 4) == 0; /* it is still held */
    freeReplyObject(reply);
    static const char *const answers[] = {"[3, 2, 4]", "[2, 30, 1, 20, 3, 10]", "[3, 1, 2]"};
    for (int i = 0; i < 3 && is_in_time; i++) expect_next(sorters[i], answers[i]);
    for (int i = 0; i < 3; i++) redisFree(sorters[i]);
    redisFree(admin);
    return is_in_time;
}

static void sort_sees_what_its_list_has_become_while_it_waited(void **state) {
    (void)state;
    try_while_it_sleeps(sort_sees_a_change);
}

/* It has found its shards and waits for one when the pause begins: what it stores would come too late. The
 * reader waits behind it on the same worker, so that both have had their turn when it is answered. */
static void sort_that_has_found_its_shards_stores_nothing_while_writes_are_paused(void **state) {
    (void)state;
    struct server *server = start(NULL, NULL);
    redisContext *admin = server_connect_to(server, 0), *sorter = server_connect_to(server, 1),
                 *reader = server_connect_to(server, 1);
    expect(admin, "OK", "MSET w_1 20 w_2 30 w_3 10");
    expect(admin, "3", "RPUSH l 1 2 3");
    expect(admin, "OK", "DEBUG HOLD w_2 600");
    redisAppendCommand(sorter, "SORT l BY w_* STORE d");
    send_now(sorter);
    while (info_number(admin, "parked_clients") < 1) continue;
    redisAppendCommand(reader, "GET w_2");
    send_now(reader);
    while (info_number(admin, "parked_clients") < 2) continue;
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    expect(admin, "OK", "DEBUG RELEASE");
    expect_next(reader, "30");
    expect(admin, "0", "EXISTS d");
    assert_false(is_answered(sorter));
    expect(admin, "OK", "CLIENT UNPAUSE");
    expect_next(sorter, "3");
    expect(admin, "[3, 1, 2]", "LRANGE d 0 -1");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(reader);
    redisFree(sorter);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* Keys of databases 1 and 2 may share the held shard: then the next server has other hashes. */
static bool flushdb_is_answered(const struct server *server, int seconds) {
    redisContext *admin = server_connect_to(server, 0), *flusher = server_connect_to(server, 1),
                 *waiter = server_connect_to(server, 2);
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", "SELECT 2");
    expect(admin, "OK", "XGROUP CREATE s g $ MKSTREAM");
    expect(admin, "OK", "SET one 1");
    expect(waiter, "OK", "SELECT 2");
    redisAppendCommand(waiter, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    send_now(waiter);
    while (info_number(admin, "blocked_clients") < 1) continue;
    expect(admin, "OK", "SELECT 0");
    expect(admin, "OK", "DEBUG HOLD k %d", seconds);
    expect(flusher, "OK", "SELECT 1"); /* never used */
    expect(flusher, "OK", "FLUSHDB");
    expect(flusher, "OK", "MSET one 1 two 2 three 3");
    expect(flusher, "OK", "FLUSHDB ASYNC");
    expect(flusher, "0", "DBSIZE");
    expect(flusher, "0", "EXISTS one two three");
    expect(flusher, "OK", "SET one 1");
    expect(flusher, "1", "DBSIZE");
    expect(flusher, "OK", "SELECT 2"); /* where somebody waits */
    expect(flusher, "OK", "FLUSHDB SYNC");
    expect(flusher, "0", "DBSIZE");
    expect_next(waiter, "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option");
    redisReply *reply = redisCommand(admin, "DEBUG HOLD k 0");
    assert_non_null(reply);
    bool is_in_time = strncmp(reply->str, "BUSY", 4) == 0; /* it is still held */
    freeReplyObject(reply);
    expect(admin, "0", "EXISTS absent");
    expect(flusher, "OK", "SELECT 1");
    expect(flusher, "1", "DBSIZE");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(waiter);
    redisFree(flusher);
    redisFree(admin);
    return is_in_time;
}

static void flushdb_waits_for_no_shard_but_those_of_its_own_keys(void **state) {
    (void)state;
    try_while_it_sleeps(flushdb_is_answered);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_keeps_the_gate_closed_is_not_stopped_by_it),
        cmocka_unit_test(a_request_that_keeps_the_gate_closed_makes_no_room_again),
        cmocka_unit_test(flushall_that_waits_is_not_stopped_by_client_pause),
        cmocka_unit_test(what_needs_no_shard_is_answered_while_the_gate_is_closed),
        cmocka_unit_test(new_clients_are_not_given_to_a_worker_that_is_busy_with_one_command),
        cmocka_unit_test(what_takes_long_does_not_begin_while_flushall_waits),
        cmocka_unit_test(what_takes_long_is_not_in_the_way_of_who_waits_for_all_shards_on_its_worker),
        cmocka_unit_test(a_walk_that_is_refused_again_and_again_gets_its_turn),
        cmocka_unit_test(lcs_of_long_strings_is_refused_as_in_redis),
        cmocka_unit_test(a_difference_of_many_small_sets_is_as_soon_there_as_their_union),
        cmocka_unit_test(sort_by_other_keys_waits_for_no_shard_but_theirs),
        cmocka_unit_test(sort_sees_what_its_list_has_become_while_it_waited),
        cmocka_unit_test(sort_that_has_found_its_shards_stores_nothing_while_writes_are_paused),
        cmocka_unit_test(flushdb_waits_for_no_shard_but_those_of_its_own_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
