/* Keys that a script hasn't declared, while other clients hold them or not: it works on them all the same, as
 * one, and INFO tells by which way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scripts.h"

static struct server *server;
static redisContext *admin, *one, *other;

static int open_all(void **state) {
    (void)state;
    server = server_start((const char *const[]){"--threads", "3", "--enable-debug-command", "yes", NULL});
    admin = server_connect_to(server, 0);
    one = server_connect_to(server, 1);
    other = server_connect_to(server, 2);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    redisFree(admin);
    redisFree(one);
    redisFree(other);
    return server_stop(server);
}

static int begin(void **state) {
    (void)state;
    expect(admin, "OK", "FLUSHALL");
    return 0;
}

/* A key that shares no shard with the one that is held. */
static void find_free_key(char out[32]) {
    bool is_free = false;
    for (int i = 0; !is_free; i++) {
        snprintf(out, 32, "free:%d", i);
        redisReply *reply = redisCommand(admin, "DEBUG HOLD %s 0", out);
        assert_non_null(reply);
        is_free = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
    }
}

static void a_key_that_is_free_is_taken_on_the_spot(void **state) {
    (void)state;
    int64_t before = info_number(admin, "script_strays_granted");
    expect_script(one, "[1, 2]", "EVAL",
                  "redis.call('set', 'a', 1) redis.call('set', 'b', 2) return redis.call('mget', 'a', 'b')",
                  "0");
    expect_script(one, "[1, 2]", "EVAL_RO", "return {redis.call('get', 'a'), redis.call('get', 'b')}", "0");
    expect(one, "OK", "MULTI");
    expect_queued(one, "EVAL", "return redis.call('incr', 'a')", "0");
    expect_queued(one, "EVAL_RO", "return redis.call('get', 'b')", "0");
    expect(one, "[2, 2]", "EXEC");
    await_info_between(admin, "script_strays_granted", before + 4, before + 6); /* keys may share a shard */
}

static void a_script_that_has_written_nothing_begins_again_with_a_key_that_is_held(void **state) {
    (void)state;
    int64_t before = info_number(admin, "script_strays_begun_again");
    expect(admin, "OK", "SET stray there");
    expect(admin, "OK", "DEBUG HOLD stray 600");
    send_script(one, "EVAL", "return redis.call('get', 'stray')", "0");
    await_info(admin, "parked_clients", 1);
    send_script(other, "EVAL_RO", "return redis.call('get', 'stray')", "0");
    await_info(admin, "parked_clients", 2);
    await_info(admin, "script_strays_begun_again", before + 2);
    expect(admin, "OK", "DEBUG RELEASE");
    expect_next_text(one, "there", "EVAL");
    expect_next_text(other, "there", "EVAL_RO");
}

static void what_a_script_has_written_is_taken_back_while_it_waits(void **state) {
    char key[32];
    (void)state;
    int64_t before = info_number(admin, "script_strays_undone");
    expect(admin, "OK", "DEBUG HOLD stray 600");
    find_free_key(key);
    expect(other, "OK", "SET %s 5", key);
    char rest[64];
    snprintf(rest, sizeof rest, "1 %s", key);
    send_script(
        one, "EVAL",
        "redis.call('incr', KEYS[1]) return {redis.call('incr', KEYS[1]), redis.call('incr', 'stray')}",
        rest);
    await_info(admin, "parked_clients", 1);
    expect(other, "5", "GET %s", key); /* nothing is seen of it, and nobody waits for it */
    expect(other, "6", "INCR %s", key);
    expect(admin, "OK", "DEBUG RELEASE");
    expect_next_text(one, "[8, 1]", "EVAL");
    assert_true(info_number(admin, "script_strays_undone") > before);
}

/* A function that is known to stray has the token, and waits some milliseconds for a shard that is held for
 * two. Where the machine lets one of them pass before the other has begun, there is another try. */
static void whoever_has_the_token_waits_for_a_key_that_is_held(void **state) {
    char key[32];
    (void)state;
    int64_t before = info_number(admin, "script_strays_awaited"), calls = 0;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    find_free_key(key);
    expect(admin, "strays", "FUNCTION LOAD %s",
           "#!lua name=strays\nredis.register_function('stray', function(keys) "
           "return {redis.call('incr', keys[1]), redis.call('incr', 'stray')} end)");
    expect(admin, "[1, 1]", "FCALL stray 1 %s", key); /* and so it is known */
    while (info_number(admin, "script_strays_awaited") == before) {
        if (now_us() > deadline) fail_msg("it never waits");
        redisAppendCommand(one, "DEBUG HOLD stray 0.002");
        redisAppendCommand(one, "FCALL stray 1 %s", key);
        expect_next_text(one, "OK", "DEBUG HOLD");
        redisReply *reply = next_reply(one);
        calls++;
        assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
        for (size_t i = 0; i < 2; i++) assert_int_equal(reply->element[i]->integer, 1 + calls);
        freeReplyObject(reply);
    }
    expect(admin, "OK", "FUNCTION FLUSH");
}

/* Each has one key and wants the other's, again and again: neither waits for the other for ever, and no
 * increment is lost. */
static void scripts_that_stray_to_each_other_s_keys_all_come_to_an_end(void **state) {
    enum { ROUNDS = 500 };
    static const char *const there = "redis.call('incr', KEYS[1]) return redis.call('incr', 'second')",
                             *const back = "redis.call('incr', KEYS[1]) return redis.call('incr', 'first')";
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const char *one_s[] = {"EVAL", there, "1", "first"}, *other_s[] = {"EVAL", back, "1", "second"};
        redisAppendCommandArgv(one, 4, one_s, NULL);
        redisAppendCommandArgv(other, 4, other_s, NULL);
    }
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(one, &done), REDIS_OK);
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
    for (int i = 0; i < ROUNDS; i++) {
        redisReply *replies[] = {next_reply(one), next_reply(other)};
        for (int j = 0; j < 2; j++) {
            assert_int_equal(replies[j]->type, REDIS_REPLY_INTEGER);
            freeReplyObject(replies[j]);
        }
    }
    expect(admin, "[1000, 1000]", "MGET first second");
}

#define FROM_THE_START(test) cmocka_unit_test_setup(test, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        FROM_THE_START(a_key_that_is_free_is_taken_on_the_spot),
        FROM_THE_START(a_script_that_has_written_nothing_begins_again_with_a_key_that_is_held),
        FROM_THE_START(what_a_script_has_written_is_taken_back_while_it_waits),
        FROM_THE_START(whoever_has_the_token_waits_for_a_key_that_is_held),
        FROM_THE_START(scripts_that_stray_to_each_other_s_keys_all_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
