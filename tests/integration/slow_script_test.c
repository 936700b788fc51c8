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

/* What is watched while a script has it counts as changed: nobody waits to find out. */
static void expect_watch_is_in_vain(redisContext *connection) {
    expect(connection, "OK", "WATCH k");
    expect(connection, "OK", "MULTI");
    expect(connection, "ERR WATCH inside MULTI is not allowed", "WATCH k");
    expect(connection, "QUEUED", "PING");
    expect(connection, "(nil)", "EXEC");
    expect(connection, "OK", "WATCH k");
    expect(connection, "OK", "UNWATCH");
    expect(connection, "OK", "MULTI");
    expect(connection, "QUEUED", "PING");
    expect(connection, "[PONG]", "EXEC");
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
        expect_watch_is_in_vain(two[i]);
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

/* CLIENT REPLY is its connection's, so the transaction stays on its worker, where nobody could kill it. */
static void expect_ended_in_a_transaction(const char *script, const char *expected) {
    expect(two[0], "OK", "MULTI");
    expect(two[0], "QUEUED", "CLIENT REPLY ON");
    expect(two[0], "QUEUED", "INCR k");
    expect_queued(two[0], "EVAL", script, "1 k");
    redisReply *reply = redisCommand(two[0], "EXEC");
    assert_non_null(reply);
    char *text = reply_text(reply);
    leave_out_sums(text);
    if (strstr(text, expected) == NULL) fail_msg("%s instead of %s", text, expected);
    free(text);
    freeReplyObject(reply);
    expect(two[0], "PONG", "PING");
}

static void one_that_can_not_leave_its_worker_is_ended(void **state) {
    (void)state;
    expect_ended_in_a_transaction("while true do end", KILLED);
    expect(two[1], "1", "GET k");
}

static void one_that_has_written_and_can_not_leave_its_worker_is_taken_back(void **state) {
    (void)state;
    expect(two[1], "OK", "SET k 5");
    expect_ended_in_a_transaction("redis.call('incr', KEYS[1]) while true do end",
                                  "BUSY A script took longer than busy-reply-threshold");
    expect(two[1], "5", "GET k");
}

static void a_transaction_that_speaks_of_its_client_leaves_its_worker_as_well(void **state) {
    (void)state;
    expect(two[0], "OK", "CLIENT SETINFO LIB-NAME library");
    int64_t before = info_number(two[1], "long_commands_processed");
    expect(two[0], "OK", "MULTI");
    expect(two[0], "QUEUED", "CLIENT GETNAME");
    expect(two[0], "QUEUED", "CLIENT SETNAME elsewhere");
    expect(two[0], "QUEUED", "SELECT 1");
    expect_queued(two[0], "EVAL",
                  "local n = 0 while n < 1000000 do n = n + 1 end return redis.call('incr', KEYS[1])", "1 k");
    expect(two[0], "[(nil), OK, OK, 1]", "EXEC");
    await_info(two[1], "long_commands_processed", before + 1);
    expect(two[0], "elsewhere", "CLIENT GETNAME");
    expect(two[0], "1", "GET k");
    expect(two[0], "OK", "SELECT 0");
    expect(two[0], "(nil)", "GET k");
    redisReply *reply = redisCommand(two[0], "CLIENT INFO");
    assert_non_null(strstr(reply->str, " lib-name=library "));
    freeReplyObject(reply);
    expect(two[0], "RESET", "RESET");
    await_info(two[1], "client_name_bytes", (int64_t)sizeof "library");
}

static void a_transaction_that_begins_again_has_not_touched_what_it_watches(void **state) {
    (void)state;
    expect(runner, "OK", "WATCH k other");
    expect(runner, "OK", "MULTI");
    expect(runner, "QUEUED", "SET k 1");
    expect_queued(runner, "EVAL",
                  "local n = 0 while n < 1000000 do n = n + 1 end return redis.call('incr', KEYS[1])", "1 k");
    expect(runner, "[OK, 2]", "EXEC");
    /* Nor has one that strays. */
    expect(runner, "OK", "WATCH k");
    expect(runner, "OK", "MULTI");
    expect(runner, "QUEUED", "SET k 1");
    expect_queued(runner, "EVAL",
                  "for i = 1, 64 do redis.call('incr', 'stray' .. i) end return redis.call('incr', KEYS[1])",
                  "1 k");
    expect(runner, "[OK, 2]", "EXEC");
    /* What somebody else does is seen all the same. */
    expect(runner, "OK", "WATCH k");
    expect(two[1], "OK", "SET k 5");
    expect(runner, "OK", "MULTI");
    expect_queued(runner, "EVAL",
                  "local n = 0 while n < 1000000 do n = n + 1 end return redis.call('incr', KEYS[1])", "1 k");
    expect(runner, "(nil)", "EXEC");
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

/* A server of its own, in which one that has written runs without end. */
struct endless {
    struct server *server;
    redisContext *writer, *two[2];
};

static struct endless endless_begin(const char *script) {
    struct endless own = {.server =
                              server_start((const char *const[]){"--threads", "2", "--busy-reply-threshold",
                                                                 "20", "--shutdown-timeout", "3600", NULL})};
    own.writer = server_connect_to(own.server, 0);
    for (int i = 0; i < 2; i++) own.two[i] = server_connect_to(own.server, i);
    run_for_ever(own.writer, own.two[1], script, "k");
    return own;
}

/* As the error of SCRIPT KILL promises: else it would be waited for, here for an hour. */
static void endless_end(struct endless *own) {
    assert_null(redisCommand(own->two[1], "SHUTDOWN NOSAVE"));
    server_await_end(own->server);
    assert_int_equal(server_stop(own->server), 0);
    redisFree(own->writer);
    for (int i = 0; i < 2; i++) redisFree(own->two[i]);
}

#define UNKILLABLE                                                                                           \
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either "       \
    "wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."

static void one_that_has_written_is_not_killed_but_ended_by_shutdown_nosave(void **state) {
    (void)state;
    struct endless own = endless_begin("redis.call('set', KEYS[1], 1) while true do end");
    expect(own.two[1], UNKILLABLE, "SCRIPT KILL");
    expect(own.two[1], BUSY, "GET k");
    endless_end(&own);
}

static void one_that_writes_with_every_shard_keeps_nobody_waiting(void **state) {
    static const char *const scripts[] = {
        "redis.call('keys', '*') redis.call('set', KEYS[1], 1) while true do end",
        "redis.call('set', KEYS[1], 1) redis.call('keys', '*') redis.call('set', KEYS[1], 2) while true do "
        "end",
    };
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct endless own = endless_begin(scripts[i]);
        for (int j = 0; j < 2; j++) {
            expect(own.two[j], "PONG", "PING");
            assert_true(info_number(own.two[j], "uptime_in_seconds") >= 0);
            expect(own.two[j], BUSY, "SET elsewhere 1");
            expect(own.two[j], BUSY, "KEYS *");
            expect_watch_is_in_vain(own.two[j]);
            expect(own.two[j], UNKILLABLE, "SCRIPT KILL");
        }
        endless_end(&own);
    }
}

/* It has begun again with a key that it had not declared, and then would go to a thread of long work; but
 * there is none left, so that it goes on where it is. */
static void one_that_has_strayed_and_finds_no_thread_stays_on_its_worker(void **state) {
    static const char *const stray = "local n = redis.call('incr', 'stray') "
                                     "for i = 1, 100000 do n = n + 1 end return n";
    (void)state;
    struct server *own =
        server_start((const char *const[]){"--threads", "2", "--long-threads", "1", "--busy-reply-threshold",
                                           "1000", "--enable-debug-command", "yes", NULL});
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
    assert_int_equal(first->integer + second->element[0]->integer, 100001 + 100002);
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

/* A pause ends at once for whoever isn't held up by the script itself. */
static void a_pause_ends_though_a_script_keeps_its_thread(void **state) {
    (void)state;
    run_until_busy("while true do end", "1 k");
    expect(two[0], "OK", "CLIENT UNPAUSE");
    expect(two[1], "OK", "CLIENT UNPAUSE");
    expect(two[1], "OK", "SCRIPT KILL");
    expect_next_text(runner, KILLED, "the script");
}

/* What a worker would take long to compile or to load is another thread's: so many as there have been. */
static int64_t long_count(void) {
    return info_number(two[1], "long_commands_processed");
}

/* Something that compiles to what `last` does, with a comment of so many bytes before it. */
static char *long_text(const char *first, size_t length, const char *last) {
    size_t size = strlen(first) + length + strlen(last) + 8;
    char *text = malloc(size);
    int begun = snprintf(text, size, "%s--", first);
    memset(text + begun, 'x', length);
    snprintf(text + begun + length, size - (size_t)begun - length, "\n%s", last);
    return text;
}

static void a_long_text_is_compiled_by_another_thread(void **state) {
    (void)state;
    char *script = long_text("", 1 << 20, "return redis.call('incr', KEYS[1])"), sha[64];
    int64_t before = long_count();
    expect_script(runner, "1", "EVAL", script, "1 k");
    assert_int_equal(long_count(), before + 1);
    redisReply *loaded = redisCommand(runner, "SCRIPT LOAD %s", script);
    assert_int_equal(loaded->type, REDIS_REPLY_STRING);
    snprintf(sha, sizeof sha, "%s", loaded->str);
    freeReplyObject(loaded);
    assert_int_equal(long_count(), before + 2);
    expect_script(runner, "2", "EVALSHA", sha, "1 k");
    assert_int_equal(long_count(), before + 3);
    expect(runner, "OK", "MULTI");
    expect_queued(runner, "EVALSHA", sha, "1 k");
    expect(runner, "QUEUED", "GET k");
    expect(runner, "[3, 3]", "EXEC");
    assert_int_equal(long_count(), before + 4);
    /* Where the connection stays, so does the script. */
    expect(runner, "OK", "MULTI");
    expect(runner, "QUEUED", "CLIENT REPLY ON");
    expect_queued(runner, "EVALSHA", sha, "1 k");
    expect(runner, "[OK, 4]", "EXEC");
    assert_int_equal(long_count(), before + 4);
    expect_script(runner, "5", "EVAL", "return redis.call('incr', KEYS[1])", "1 k");
    assert_int_equal(long_count(), before + 4);
    free(script);
    script = long_text("", 1 << 20, "return +");
    redisReply *wrong = redisCommand(runner, "SCRIPT LOAD %s", script);
    assert_string_equal(
        wrong->str, "ERR Error compiling script (new function): user_script:2: unexpected symbol near '+'");
    freeReplyObject(wrong);
    expect_script(runner,
                  "ERR Error compiling script (new function): user_script:2: unexpected symbol near '+'",
                  "EVAL", script, "0");
    free(script);
}

/* What has no turn in between is known by its size, and begins elsewhere. */
static void what_takes_long_in_one_step_is_done_by_another_thread(void **state) {
    static const struct {
        const char *script, *rest, *answer;
    } all[] = {
        {"return #redis.call('lrange', KEYS[1], 0, -1)", "1 large", "40000"},
        {"redis.call('incr', KEYS[1]) return #redis.call('sort', 'large')", "1 k", "40000"},
        {"return #cjson.decode('[' .. string.rep('1,', 40000) .. '1]')", "0", "40001"},
        {"return #cjson.encode(string.rep('x', 100000))", "0", "100002"},
        {"return loadstring(string.rep('do local a = 1 end ', 4000) .. 'return 7')()", "0", "7"},
        {"return #redis.sha1hex(string.rep('x', 600000))", "0", "40"},
        {"return #string.rep('x', 3000000)", "0", "3000000"},
        {"return #redis.call('keys', 'larg*')", "0", "1"},
    };
    (void)state;
    for (int i = 0; i < 40; i++)
        expect_script(runner, "1000", "EVAL",
                      "for i = 1, 1000 do redis.call('rpush', KEYS[1], i) end return 1000", "1 large");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int64_t before = long_count();
        expect_script(runner, all[i].answer, i == 7 ? "EVAL_RO" : "EVAL", all[i].script, all[i].rest);
        assert_int_equal(long_count(), before + 1);
    }
    expect(runner, "1", "GET k");
}

static void load_library(const char *code, const char *expected) {
    redisReply *reply = redisCommand(runner, "FUNCTION LOAD REPLACE %s", code);
    char *text = reply_text(reply);
    assert_string_equal(text, expected);
    free(text);
    freeReplyObject(reply);
}

static void a_library_that_takes_long_to_load_is_loaded_by_another_thread(void **state) {
    (void)state;
    int64_t before = long_count();
    load_library("#!lua name=quick\nredis.register_function('quick', function() return 1 end)", "quick");
    assert_int_equal(long_count(), before + 1);
    expect(runner, "1", "FCALL quick 0");
    assert_int_equal(long_count(), before + 1);
    load_library("#!lua name=slow\nfor i = 1, 1000000 do end "
                 "redis.register_function('slow', function() return 2 end)",
                 "slow");
    expect(runner, "2", "FCALL slow 0");
    expect(runner, "2", "FCALL slow 0");
    assert_int_equal(long_count(), before + 4);
    expect(runner, "OK", "MULTI");
    load_library("#!lua name=quick\nredis.register_function('quick', function() return 3 end)", "QUEUED");
    expect(runner, "QUEUED", "FCALL quick 0");
    expect(runner, "QUEUED", "FCALL slow 0");
    expect(runner, "[quick, 3, 2]", "EXEC");
    assert_int_equal(long_count(), before + 5);
    load_library("#!lua name=endless\nwhile true do end",
                 "ERR Error registering functions: ERR FUNCTION LOAD timeout");
    expect(runner, "OK", "FUNCTION FLUSH");
}

#define FROM_THE_START(test) cmocka_unit_test_setup(test, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        FROM_THE_START(scripts_are_killed_whatever_they_do),
        FROM_THE_START(one_that_has_every_shard_keeps_nobody_waiting),
        FROM_THE_START(one_without_keys_keeps_nobody_waiting_who_wants_every_shard),
        FROM_THE_START(one_that_can_not_leave_its_worker_is_ended),
        FROM_THE_START(one_that_has_written_and_can_not_leave_its_worker_is_taken_back),
        FROM_THE_START(a_transaction_that_speaks_of_its_client_leaves_its_worker_as_well),
        FROM_THE_START(who_needs_none_of_its_keys_is_served),
        FROM_THE_START(a_pause_ends_though_a_script_keeps_its_thread),
        FROM_THE_START(a_long_text_is_compiled_by_another_thread),
        FROM_THE_START(a_library_that_takes_long_to_load_is_loaded_by_another_thread),
        FROM_THE_START(what_takes_long_in_one_step_is_done_by_another_thread),
        FROM_THE_START(a_transaction_that_begins_again_has_not_touched_what_it_watches),
        FROM_THE_START(what_is_queued_for_it_is_refused_and_so_is_its_transaction),
        FROM_THE_START(a_transaction_of_scripts_is_killed_script_by_script),
        cmocka_unit_test(one_that_writes_with_every_shard_keeps_nobody_waiting),
        cmocka_unit_test(one_that_has_written_is_not_killed_but_ended_by_shutdown_nosave),
        cmocka_unit_test(one_that_has_strayed_and_finds_no_thread_stays_on_its_worker),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
