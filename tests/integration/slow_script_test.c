/* Scripts that take long: who is told so, who is served all the same, and how they are ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/scripts.h"

#define BUSY "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
#define KILLED "ERR Script killed by user with SCRIPT KILL..." AT("1")

static struct server *server;
static redisContext *runner, *two[2];

static int open_all(void **state) {
    (void)state;
    server = server_start((const char *const[]){"--threads", "2", "--busy-reply-threshold", "20", NULL});
    for (int i = 0; i < 2; i++) two[i] = server_connect_to(server, i);
    runner = server_connect_to(server, 0);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    redisFree(runner);
    for (int i = 0; i < 2; i++) redisFree(two[i]);
    return server_stop(server);
}

static int begin(void **state) {
    (void)state;
    expect(runner, "OK", "FLUSHALL");
    return 0;
}

/* Until who needs its key is told that it is busy. */
static void run_until_busy(const char *script, const char *rest) {
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    send_script(runner, "EVAL", script, rest);
    for (bool is_busy = false; !is_busy;) {
        redisReply *reply = redisCommand(two[1], "GET k");
        assert_non_null(reply);
        is_busy = reply->type == REDIS_REPLY_ERROR;
        if (is_busy) assert_string_equal(reply->str, BUSY);
        freeReplyObject(reply);
        if (now_us() > deadline) fail_msg("it is never busy: %s", script);
    }
}

static void scripts_are_killed_whatever_they_do(void **state) {
    static const char *const all[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do local run = coroutine.wrap(function() while true do end end) pcall(run) end",
        "local s = string.rep('a', 100000) while true do pcall(string.find, s, string.rep('a*', 30) .. 'b') "
        "end",
        "while true do string.gsub(string.rep('x', 100000), '.-y', 'z') end",
        "local t = {} for i = 1, 1000 do t[i] = i end "
        "while true do pcall(table.sort, t, function() return true end) end",
        "while true do redis.pcall('get', KEYS[1]) end",
        "while true do redis.pcall('nosuch') end",
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        run_until_busy(all[i], "1 k");
        expect(two[i % 2], "OK", "SCRIPT KILL");
        expect_next_text(runner, KILLED, all[i]);
        expect(two[1], "(nil)", "GET k");
    }
    expect(two[0], "NOTBUSY No scripts in execution right now.", "SCRIPT KILL");
}

static void who_needs_none_of_its_keys_is_served(void **state) {
    (void)state;
    run_until_busy("while true do end", "1 k");
    for (int i = 0; i < 2; i++) { /* its own worker serves as well */
        expect(two[i], "PONG", "PING");
        expect(two[i], "OK", "SET elsewhere %d", i);
        expect_script(two[i], "1", "EVAL", "return redis.call('exists', KEYS[1])", "1 elsewhere");
        expect(two[i], BUSY, "SET k 1");
        expect_script(two[i], BUSY, "EVAL", "return 1", "1 k");
        expect(two[i], BUSY, "FLUSHALL");
        expect(two[i], "OK", "WATCH elsewhere");
        expect(two[i], "OK", "UNWATCH");
    }
    expect(two[1], "OK", "SCRIPT KILL");
    expect_next_text(runner, KILLED, "the script");
    expect(two[1], "OK", "SET k 1");
}

static void one_that_has_every_shard_keeps_nobody_waiting(void **state) {
    (void)state;
    run_until_busy("redis.call('keys', '*') while true do end", "0");
    for (int i = 0; i < 2; i++) {
        expect(two[i], "PONG", "PING");
        expect(two[i], BUSY, "SET elsewhere 1");
        expect(two[i], BUSY, "KEYS *");
        expect(two[i], BUSY, "FLUSHALL");
    }
    expect(two[1], "OK", "SCRIPT KILL");
    expect_next_text(runner, KILLED, "the script");
    expect(two[1], "OK", "SET k 1");
}

static void one_without_keys_keeps_nobody_waiting_who_wants_every_shard(void **state) {
    (void)state;
    send_script(runner, "EVAL", "while true do end", "0");
    for (bool is_busy = false; !is_busy;) {
        redisReply *reply = redisCommand(two[1], "FLUSHALL");
        assert_non_null(reply);
        is_busy = reply->type == REDIS_REPLY_ERROR;
        if (is_busy) assert_string_equal(reply->str, BUSY);
        freeReplyObject(reply);
    }
    expect(two[1], "OK", "SET k 1");
    expect(two[1], "OK", "SCRIPT KILL");
    expect_next_text(runner, KILLED, "the script");
}

/* SELECT is its session's, so the transaction stays on its worker, where nobody could say SCRIPT KILL. */
static void one_that_can_not_leave_its_worker_is_ended(void **state) {
    (void)state;
    expect(two[0], "OK", "MULTI");
    expect(two[0], "QUEUED", "SELECT 1");
    expect_script(two[0], "QUEUED", "EVAL", "while true do end", "0");
    redisReply *reply = redisCommand(two[0], "EXEC");
    assert_non_null(reply);
    char *text = reply_text(reply);
    leave_out_sums(text);
    assert_non_null(strstr(text, KILLED));
    free(text);
    freeReplyObject(reply);
    expect(two[0], "OK", "SELECT 0");
    expect(two[0], "PONG", "PING");
}

static void what_is_queued_for_it_is_refused_and_so_is_its_transaction(void **state) {
    (void)state;
    run_until_busy("while true do end", "1 k");
    expect(two[1], "OK", "MULTI");
    expect(two[1], BUSY, "SET k 1");
    expect(two[1], "EXECABORT Transaction discarded because of previous errors.", "EXEC");
    expect(two[1], "OK", "MULTI");
    expect(two[1], "OK", "DISCARD");
    expect(two[1], "OK", "SCRIPT KILL");
    expect_next_text(runner, KILLED, "the script");
    expect(two[1], "0", "EXISTS k");
}

static void a_transaction_of_scripts_is_killed_script_by_script(void **state) {
    (void)state;
    expect(runner, "OK", "MULTI");
    expect_queued(runner, "EVAL", "while true do end", "1 k");
    expect_queued(runner, "EVAL", "return 2", "0");
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    redisAppendCommand(runner, "EXEC");
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(runner, &done), REDIS_OK);
    for (bool is_killed = false; !is_killed;) {
        redisReply *reply = redisCommand(two[1], "SCRIPT KILL");
        is_killed = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        if (now_us() > deadline) fail_msg("it can't be killed");
    }
    expect_next_text(runner, "[" KILLED ", 2]", "EXEC");
}

/* One that never ends: until who needs its key is told that it is busy. */
static void run_for_ever(redisContext *connection, redisContext *other, const char *script, const char *key) {
    char rest[32];
    snprintf(rest, sizeof rest, "1 %s", key);
    send_script(connection, "EVAL", script, rest);
    for (bool is_busy = false; !is_busy;) {
        redisReply *reply = redisCommand(other, "GET %s", key);
        assert_non_null(reply);
        is_busy = reply->type == REDIS_REPLY_ERROR;
        if (is_busy) assert_string_equal(reply->str, BUSY);
        freeReplyObject(reply);
    }
}

/* As the error of SCRIPT KILL promises: else it would be waited for, here for an hour. */
static void one_that_has_written_is_not_killed_but_ended_by_shutdown_nosave(void **state) {
    (void)state;
    struct server *own = server_start((const char *const[]){"--threads", "2", "--busy-reply-threshold", "20",
                                                            "--shutdown-timeout", "3600", NULL});
    redisContext *writer = server_connect_to(own, 0), *other = server_connect_to(own, 1);
    run_for_ever(writer, other, "redis.call('set', KEYS[1], 1) while true do end", "k");
    expect(other,
           "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either "
           "wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
           "SCRIPT KILL");
    expect(other, BUSY, "GET k");
    assert_null(redisCommand(other, "SHUTDOWN NOSAVE"));
    server_await_end(own);
    assert_int_equal(server_stop(own), 0);
    redisFree(writer);
    redisFree(other);
}

/* It has begun again with a key that it had not declared, and then would go to a thread of long work; but
 * there is none left, so that it goes on where it is. */
static void one_that_has_strayed_and_finds_no_thread_stays_on_its_worker(void **state) {
    static const char *const stray = "local n = redis.call('incr', 'stray') "
                                     "for i = 1, 1000000 do n = n + 1 end return n";
    (void)state;
    struct server *own =
        server_start((const char *const[]){"--threads", "2", "--long-threads", "1", "--busy-reply-threshold",
                                           "20", "--enable-debug-command", "yes", NULL});
    redisContext *admin = server_connect_to(own, 0), *slow = server_connect_to(own, 0),
                 *one = server_connect_to(own, 1), *other = server_connect_to(own, 1);
    run_for_ever(slow, admin, "while true do end", "k");
    expect(admin, "OK", "DEBUG HOLD stray 600");
    send_script(one, "EVAL", stray, "0");
    expect(other, "OK", "MULTI");
    expect_queued(other, "EVAL", stray, "0");
    redisAppendCommand(other, "EXEC");
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
    await_info(admin, "script_strays_begun_again", 2);
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *first = next_reply(one), *second = next_reply(other);
    assert_int_equal(second->type, REDIS_REPLY_ARRAY);
    assert_int_equal(first->integer + second->element[0]->integer, 1000001 + 1000002);
    freeReplyObject(first);
    freeReplyObject(second);
    expect(admin, "OK", "SCRIPT KILL");
    expect_next_text(slow, KILLED, "the slow one");
    redisFree(admin);
    redisFree(slow);
    redisFree(one);
    redisFree(other);
    assert_int_equal(server_stop(own), 0);
}

#define FROM_THE_START(test) cmocka_unit_test_setup(test, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        FROM_THE_START(scripts_are_killed_whatever_they_do),
        FROM_THE_START(one_that_has_every_shard_keeps_nobody_waiting),
        FROM_THE_START(one_without_keys_keeps_nobody_waiting_who_wants_every_shard),
        FROM_THE_START(one_that_can_not_leave_its_worker_is_ended),
        FROM_THE_START(who_needs_none_of_its_keys_is_served),
        FROM_THE_START(what_is_queued_for_it_is_refused_and_so_is_its_transaction),
        FROM_THE_START(a_transaction_of_scripts_is_killed_script_by_script),
        cmocka_unit_test(one_that_has_written_is_not_killed_but_ended_by_shutdown_nosave),
        cmocka_unit_test(one_that_has_strayed_and_finds_no_thread_stays_on_its_worker),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
