/* maxmemory while the server runs: set, raised, lowered and removed, it is kept by those who grow, and takes
 * no more than it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define CLIENTS 4
#define THREADS 2
/* What a thread may have discarded before it waits until that is freed. */
#define PENDING_MOST ((int64_t)32 << 20)

static struct server *server;
static redisContext *clients[CLIENTS];

static void start_with(const char *policy, const char *limit) {
    server = server_start(
        (const char *const[]){"--threads", "2", "--maxmemory-policy", policy, "--maxmemory", limit, NULL});
    for (int i = 0; i < CLIENTS; i++) clients[i] = server_connect(server);
}

static void stop(void) {
    for (int i = 0; i < CLIENTS; i++) redisFree(clients[i]);
    assert_int_equal(server_stop(server), 0);
}

static void set_zeroes(redisContext *client, const char *key, size_t length) {
    char *value = calloc(1, length);
    const char *arguments[] = {"SET", key, value};
    const size_t lengths[] = {3, strlen(key), length};
    redisReply *reply = redisCommandArgv(client, 3, arguments, lengths);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STATUS) fail_msg("SET %s: %s", key, reply->str);
    freeReplyObject(reply);
    free(value);
}

static bool set(redisContext *client, const char *prefix, int number, size_t length) {
    char *value = malloc(length);
    memset(value, 'v', length);
    redisReply *reply = redisCommand(client, "SET %s:%d %b", prefix, number, value, length);
    assert_non_null(reply);
    bool is_taken = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    free(value);
    return is_taken;
}

static void limit_to(int64_t bytes) {
    expect(clients[0], "OK", "CONFIG SET maxmemory %lld", (long long)bytes);
}

/* Memory that was allocated before there was a limit counted twice. */
static void a_limit_that_is_set_later_refuses_and_evicts_nothing_below_it(void **unused) {
    (void)unused;
    static const char *const policies[] = {"noeviction", "allkeys-lru"};
    for (int k = 0; k < 2; k++) {
        start_with(policies[k], "0");
        for (int i = 0; i < 10000; i++) assert_true(set(clients[i % CLIENTS], "key", i, 500));
        limit_to(info_number(clients[0], "used_memory") + (4 << 20));
        for (int i = 0; i < 1000; i++) assert_true(set(clients[i % CLIENTS], "more", i, 500));
        assert_int_equal(info_number(clients[0], "evicted_keys"), 0);
        stop();
    }
}

/* One lane's debt and another one's credit are the same bytes. */
static void what_one_client_sets_and_another_deletes_is_no_debt(void **unused) {
    (void)unused;
    start_with("noeviction", "0");
    for (int i = 0; i < 50; i++) {
        assert_true(set(clients[0], "large", 0, 2000000));
        expect(clients[1], "1", "DEL large:0");
    }
    limit_to(50 << 20);
    for (int i = 0; i < 100; i++) assert_true(set(clients[i % CLIENTS], "key", i, 500));
    limit_to(0);
    assert_true(set(clients[2], "large", 0, 60000000));
    limit_to(50 << 20);
    assert_false(set(clients[3], "key", 0, 500000)); /* less may fit in what its worker has drawn */
    expect(clients[0], "1", "DEL large:0");
    for (int i = 0; i < 100; i++) assert_true(set(clients[i % CLIENTS], "key", i, 500));
    stop();
}

/* ------------------------------------------------------------------ what commands need */

/* What a worker has for the keys of a request is no longer there when that has had 200,000, and was no more
 * than their number explains: so that nobody goes for it where there is room for that, and where there is
 * none, it is there for those only who may have it. */
static void scratch_of_a_long_request_is_bounded_and_given_back(void **unused) {
    (void)unused;
    enum { KEYS = 200000, KEY_BYTES = 160, VALUES = 100 };
    const int keys = scaled(KEYS, 50000);
    static const struct {
        const char *policy;
        int64_t beyond; /* what is in use; 0: no limit */
    } limits[] = {{"noeviction", 0}, {"noeviction", 2 << 20}, {"allkeys-lru", 48 << 20}};
    static char names[KEYS][12];
    static const char *arguments[KEYS + 1];
    for (int i = 0; i < keys; i++) {
        snprintf(names[i], sizeof names[i], "no:%d", i);
        arguments[i + 1] = names[i];
    }
    for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
        start_with(limits[k].policy, "0");
        for (int i = 0; i < VALUES; i++) assert_true(set(clients[i % CLIENTS], "value", i, 100000));
        int64_t before = info_number(clients[0], "used_memory");
        if (limits[k].beyond > 0) limit_to(before + limits[k].beyond);
        for (int i = 0; i < 2; i++) { /* one on each worker */
            arguments[0] = "EXISTS";
            redisReply *reply = redisCommandArgv(clients[i], keys + 1, arguments, NULL);
            assert_non_null(reply);
            assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
            assert_int_equal(reply->integer, 0);
            freeReplyObject(reply);
            redisFree(clients[i]);
            clients[i] = server_connect(server);
            await_info_between(clients[i], "used_memory", 0, before + (1 << 20));
        }
        assert_in_range(info_number(clients[0], "used_memory_peak"), 0, before + keys * KEY_BYTES);
        assert_int_equal(info_number(clients[0], "evicted_keys"), 0);
        arguments[0] = "MSET"; /* each name with the next for its value */
        redisReply *reply = redisCommandArgv(clients[1], keys + 1, arguments, NULL);
        bool is_refused = reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "OOM command", 11) == 0;
        assert_int_equal(is_refused, limits[k].beyond == 2 << 20);
        freeReplyObject(reply);
        if (is_refused) assert_int_equal(ask_integer(clients[0], "DBSIZE"), VALUES);
        expect(clients[0], "OK", "FLUSHALL");
        await_info_between(clients[0], "used_memory", 0, before - VALUES * 100000 + (1 << 20));
        stop();
    }
}

/* Values are freed by and by; who replaces large ones faster than that waits, so that they don't pile up. */
static void who_discards_much_waits_until_it_is_freed(void **unused) {
    (void)unused;
    enum { EACH = 10000, MEMBERS = 250000, ROUNDS = 12 };
    start_with("noeviction", "0");
    for (int i = 0; i < MEMBERS; i += EACH) {
        static char names[EACH][16];
        const char *arguments[EACH + 2] = {"SADD", "s"};
        for (int k = 0; k < EACH; k++) {
            snprintf(names[k], sizeof names[k], "member:%d", i + k);
            arguments[k + 2] = names[k];
        }
        freeReplyObject(redisCommandArgv(clients[0], EACH + 2, arguments, NULL));
    }
    int64_t one = info_number(clients[0], "used_memory"), most = 0;
    for (int i = 0; i < ROUNDS; i++) {
        expect(clients[0], "250000", "SUNIONSTORE d s");
        int64_t pending = info_number(clients[1], "lazyfree_pending_bytes");
        most = pending > most ? pending : most;
    }
    assert_true(ROUNDS * one > 2 * PENDING_MOST); /* or the test shows nothing */
    assert_true(most <= PENDING_MOST + one);
    stop();
}

/* The same, where many do so at once, and none of them much. */
static void many_who_delete_what_they_have_written_wait_until_it_is_freed(void **unused) {
    (void)unused;
    enum { WRITERS = 30, FIELDS = 1000, ROUNDS = 6 };
    static char names[FIELDS][16], key[16], value[768];
    static const char *arguments[2 + 2 * FIELDS] = {"HSET", key};
    redisContext *writers[WRITERS];
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "field:%d", i);
        arguments[2 + 2 * i] = names[i];
        arguments[3 + 2 * i] = value;
    }
    start_with("noeviction", "0");
    int64_t before = info_number(clients[0], "used_memory"), most = 0;
    snprintf(key, sizeof key, "hash");
    freeReplyObject(redisCommandArgv(clients[0], 2 + 2 * FIELDS, arguments, NULL));
    int64_t one = info_number(clients[0], "used_memory") - before;
    assert_true((ROUNDS - 2) * WRITERS * one > THREADS * PENDING_MOST); /* or the test shows nothing */
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = server_connect(server);
        snprintf(key, sizeof key, "hash:%d", i);
        for (int k = 0; k < ROUNDS; k++) {
            redisAppendCommandArgv(writers[i], 2 + 2 * FIELDS, arguments, NULL);
            redisAppendCommand(writers[i], "DEL %s", key);
        }
        for (int done = 0; !done;) assert_int_equal(redisBufferWrite(writers[i], &done), REDIS_OK);
    }
    for (int i = 0; i < WRITERS; i++)
        for (int k = 0; k < 2 * ROUNDS; k++) {
            redisReply *reply;
            assert_int_equal(redisGetReply(writers[i], (void **)&reply), REDIS_OK);
            assert_int_equal(reply->integer, k % 2 == 0 ? FIELDS : 1);
            freeReplyObject(reply);
            int64_t pending = info_number(clients[1], "lazyfree_pending_bytes");
            most = pending > most ? pending : most;
        }
    assert_true(most <= THREADS * PENDING_MOST + WRITERS * one);
    for (int i = 0; i < WRITERS; i++) redisFree(writers[i]);
    expect(clients[0], "1", "DEL hash");
    await_info(clients[0], "lazyfree_pending_bytes", 0);
    await_info_between(clients[0], "used_memory", 0, before + (1 << 20));
    stop();
}

/* It was refused, as if there were nothing that may go; and while it waits, its worker has a rest. */
static void who_may_go_but_is_held_by_another_is_waited_for(void **unused) {
    (void)unused;
    enum { FIRST = 24 << 20, SECOND = 16 << 20 };
    start_with("volatile-lru", "40mb");
    set_zeroes(clients[0], "first", FIRST);
    expect(clients[0], "1", "EXPIRE first 1000");
    expect(clients[0], "OK", "DEBUG HOLD first 1");
    int64_t turns = info_number(clients[0], "eventloop_cycles"), began = now_us();
    set_zeroes(clients[1], "second", SECOND);
    turns = info_number(clients[0], "eventloop_cycles") - turns;
    expect(clients[0], "0", "EXISTS first");
    int64_t milliseconds = (now_us() - began) / 1000;
    if (turns > 1000 + 4 * milliseconds)
        fail_msg("%lld turns of the loop in %lld ms of waiting", (long long)turns, (long long)milliseconds);
    stop();
}

/* What becomes of operands needs room as what is sent does: a few bytes sent made a server 16 times as large
 * as it may be. */
static const char *const growers[] = {
    "SETRANGE new 20000000 x", "SETBIT new 160000000 1",       "BITFIELD new SET u8 160000000 1",
    "APPEND large x",          "BITOP NOT new large",          "COPY large new",
    "SUNIONSTORE new set",     "SDIFFSTORE new set no",        "SINTERSTORE new set set",
    "ZUNIONSTORE new 1 set",   "ZINTERSTORE new 2 set set",    "ZRANGESTORE new sorted 0 -1",
    "COPY sorted new",         "SORT set BY nosort STORE new",
};

static void fill_operands(const char *value, size_t length) {
    freeReplyObject(redisCommand(clients[0], "SET large %b", value, length));
    for (int i = 0; i < 2000; i++) {
        freeReplyObject(redisCommand(clients[0], "SADD set %d%b", i, value, (size_t)10000));
        freeReplyObject(redisCommand(clients[0], "ZADD sorted %d %d%b", i, i, value, (size_t)10000));
    }
}

static void what_grows_from_operands_is_refused_or_has_room_made(void **unused) {
    (void)unused;
    enum { LENGTH = 20000000, LIMIT = 72 << 20 };
    char *value = malloc(LENGTH);
    memset(value, 'v', LENGTH);
    start_with("noeviction", "0");
    fill_operands(value, LENGTH);
    limit_to(LIMIT);
    for (size_t i = 0; i < sizeof growers / sizeof growers[0]; i++) {
        redisReply *reply = redisCommand(clients[i % CLIENTS], growers[i]);
        if (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "OOM command", 11) != 0)
            fail_msg("%s", growers[i]);
        freeReplyObject(reply);
    }
    assert_in_range(info_number(clients[0], "used_memory_peak"), 0, LIMIT);
    expect(clients[1], "0", "SETBIT small 100 1"); /* a little one is no matter */
    expect(clients[1], "OK", "CONFIG SET maxmemory-policy allkeys-lru");
    expect(clients[1], "20000001", "SETRANGE new 20000000 x");
    for (size_t i = 0; i < sizeof growers / sizeof growers[0]; i++) {
        redisReply *reply = redisCommand(clients[i % CLIENTS], growers[i]);
        if (reply->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", growers[i], reply->str);
        freeReplyObject(reply);
        assert_in_range(info_number(clients[0], "used_memory"), 0, LIMIT / 100 * 101);
    }
    assert_true(info_number(clients[0], "evicted_keys") > 0);
    free(value);
    stop();
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_that_is_set_later_refuses_and_evicts_nothing_below_it),
        cmocka_unit_test(what_one_client_sets_and_another_deletes_is_no_debt),
        cmocka_unit_test(scratch_of_a_long_request_is_bounded_and_given_back),
        cmocka_unit_test(who_discards_much_waits_until_it_is_freed),
        cmocka_unit_test(many_who_delete_what_they_have_written_wait_until_it_is_freed),
        cmocka_unit_test(who_may_go_but_is_held_by_another_is_waited_for),
        cmocka_unit_test(what_grows_from_operands_is_refused_or_has_room_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
