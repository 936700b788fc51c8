/* EVAL and its like, and SCRIPT: what clients are answered, and what others see of a script. Those that take
 * long are slow_script_test's, keys that weren't declared stray_test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"
#include "tests/scripts.h"

static struct server *server;
static redisContext *one, *other;

static int open_all(void **state) {
    (void)state;
    server = server_start((const char *const[]){"--threads", "3", "--enable-debug-command", "yes", NULL});
    one = server_connect_to(server, 0);
    other = server_connect_to(server, 1);
    return 0;
}

/* An empty keyspace, and connections as they were at first. */
static int begin(void **state) {
    (void)state;
    expect(one, "RESET", "RESET");
    expect(other, "RESET", "RESET");
    expect(one, "OK", "CONFIG SET maxmemory 0");
    expect(one, "OK", "FLUSHALL");
    expect(one, "OK", "SCRIPT FLUSH");
    return 0;
}

static int close_all(void **state) {
    (void)state;
    redisFree(one);
    redisFree(other);
    return server_stop(server);
}

/* What Redis 7.2 says, word for word. */
static void errors_are_redis_s(void **state) {
    static const struct {
        const char *script, *rest, *error;
    } all[] = {
        {"return 1", "x", "ERR value is not an integer or out of range"},
        {"return 1", "-1", "ERR Number of keys can't be negative"},
        {"return 1", "1", "ERR Number of keys can't be greater than number of args"},
        {"return +", "0",
         "ERR Error compiling script (new function): user_script:1: unexpected symbol near '+'"},
        {"return redis.call('lpush', KEYS[1], 1)", "1 text",
         "WRONGTYPE Operation against a key holding the wrong kind of value" AT("1")},
        {"return redis.pcall('lpush', KEYS[1], 1)", "1 text",
         "WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"return redis.call('nosuch')", "0", "ERR Unknown Redis command called from script" AT("1")},
        {"return redis.pcall('nosuch')", "0", "ERR Unknown Redis command called from script"},
        {"return redis.call()", "0",
         "ERR Please specify at least one argument for this redis lib call" AT("1")},
        {"return redis.call('get')", "0",
         "ERR Wrong number of args calling Redis command from script" AT("1")},
        {"return redis.call('get', {})", "0",
         "ERR Lua redis lib command arguments must be strings or integers" AT("1")},
        {"return redis.call('blpop', 'l', 0)", "0",
         "ERR This Redis command is not allowed from script" AT("1")},
        {"return redis.call('command', '')", "0", "ERR Unknown Redis command called from script" AT("1")},
        {"return redis.call('client|id')", "0", "ERR Unknown Redis command called from script" AT("1")},
        {"return redis.call('multi')", "0", "ERR This Redis command is not allowed from script" AT("1")},
        {"return redis.call('eval', 'return 1', 0)", "0",
         "ERR This Redis command is not allowed from script" AT("1")},
        {"return redis.call('ping', 'a', 'b')", "0",
         "ERR wrong number of arguments for 'ping' command" AT("1")},
        {"return redis.call('select', 99)", "0", "ERR DB index is out of range" AT("1")},
        {"error('boom')", "0", "ERR user_script:1: boom" AT("1")},
        {"\nerror({err = 'BOOM x'})", "0", "BOOM x" AT("2")},
        {"return redis.error_reply('BOOM x')", "0", "BOOM x"},
        {"return redis.error_reply('boom')", "0", "ERR boom"},
        {"return nosuch", "0",
         "ERR user_script:1: Script attempted to access nonexistent global variable 'nosuch'" AT("1")},
        {"nosuch = 1", "0", "ERR user_script:1: Attempt to modify a readonly table" AT("1")},
        {"local x return x.y", "0", "ERR user_script:1: attempt to index local 'x' (a nil value)" AT("1")},
        {"#!lua flags=bad\nreturn 1", "0", "ERR Unexpected flag in script shebang: bad"},
        {"#!python\nreturn 1", "0", "ERR Unexpected engine in script shebang: #!python"},
        {"#!lua name=x\nreturn 1", "0", "ERR Unknown lua shebang option: name=x"},
        {"#!lua", "0", "ERR Invalid script shebang"},
        {"local function f() return f() + 1 end return f()", "0",
         "ERR user_script:1: stack overflow" AT("1")},
    };
    (void)state;
    expect(one, "OK", "SET text x");
    expect(one, "ERR wrong number of arguments for 'eval' command", "EVAL return");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        expect_script(one, all[i].error, "EVAL", all[i].script, all[i].rest);
}

static void replies_are_converted_both_ways(void **state) {
    (void)state;
    expect(one, "2", "RPUSH list a b");
    expect_script(one, "3", "EVAL", "return 3.9", "0");
    expect_script(one, "1", "EVAL", "return true", "0");
    expect_script(one, "(nil)", "EVAL", "return false", "0");
    expect_script(one, "[1, 2, [3, x]]", "EVAL", "return {1, 2, {3, 'x'}, nil, 4}", "0");
    expect_script(one, "fine", "EVAL", "return redis.status_reply('fine')", "0");
    expect_script(one, "[a, b]", "EVAL", "return redis.call('lrange', KEYS[1], 0, -1)", "1 list");
    expect_script(
        one, "[table, false, number, OK]", "EVAL",
        "local set = redis.call('set', KEYS[1], 0.1) "
        "return {type(set), tostring(redis.call('get', 'nokey')), type(redis.call('incr', 'n')), set.ok}",
        "1 k");
    expect(one, "0.1", "GET k"); /* in the shortest form that reads back, as 7.2 has it */
    expect_script(one, "kv2", "EVAL", "return KEYS[1] .. ARGV[1] .. #KEYS + #ARGV", "1 k v");
}

static void scripts_are_known_by_their_sums_until_they_are_flushed(void **state) {
    static const char *const sum = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
                             *const unknown = "NOSCRIPT No matching script. Please use EVAL.";
    static const char *const flushes[] = {"SCRIPT FLUSH", "SCRIPT FLUSH SYNC", "SCRIPT FLUSH ASYNC"};
    (void)state;
    for (size_t i = 0; i < sizeof flushes / sizeof flushes[0]; i++) {
        expect_script(one, unknown, "EVALSHA", sum, "0");
        expect_script(other, unknown, "EVALSHA_RO", sum, "0");
        if (i == 0)
            expect_script(one, "1", "EVAL", "return 1", "0");
        else
            expect(one, sum, "SCRIPT LOAD %s", "return 1");
        expect_script(other, "1", "EVALSHA", sum, "0"); /* on all workers */
        expect_script(other, "1", "EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0");
        expect_script(other, "1", "EVALSHA_RO", sum, "0");
        expect(other, "[1, 0]", "SCRIPT EXISTS %s x", sum);
        freeReplyObject(redisCommand(one, flushes[i]));
        expect(other, "[0]", "SCRIPT EXISTS %s", sum);
    }
    expect(one, "ERR SCRIPT FLUSH only support SYNC|ASYNC option", "SCRIPT FLUSH now");
    expect(one, "ERR Error compiling script (new function): user_script:1: unexpected symbol near '+'",
           "SCRIPT LOAD %s", "return +");
    expect(one, "ERR wrong number of arguments for 'script|exists' command", "SCRIPT EXISTS");
    expect(one, "NOTBUSY No scripts in execution right now.", "SCRIPT KILL");
    expect(one, "ERR unknown subcommand 'nosuch'. Try SCRIPT HELP.", "SCRIPT nosuch");
}

/* Each subcommand, and what is said where there is nothing to do. */
static void functions_are_loaded_called_and_forgotten(void **state) {
    static const char *const code = "#!lua name=lib\nredis.register_function('f', function(keys, arguments) "
                                    "return {keys[1], arguments[1]} end) redis.register_function{"
                                    "function_name = 'reads', callback = function() return 1 end, "
                                    "flags = {'no-writes'}, description = 'tells'}";
    (void)state;
    expect(one, "OK", "FUNCTION FLUSH");
    expect(one, "lib", "FUNCTION LOAD %s", code);
    expect(one, "ERR Library 'lib' already exists", "FUNCTION LOAD %s", code);
    expect(other, "lib", "FUNCTION LOAD REPLACE %s", code);
    expect(other, "[k, v]", "FCALL f 1 k v");
    expect(other, "[k, v]", "FCALL F 1 k v");
    expect(one, "1", "FCALL_RO reads 0");
    expect(one, "ERR Can not execute a script with write flag using *_ro command.", "FCALL_RO f 0");
    expect(one, "ERR Function not found", "FCALL nosuch 0");
    expect(one, "ERR Bad number of keys provided", "FCALL f none");
    expect(one, "ERR Number of keys can't be negative", "FCALL f -1");
    expect(one, "ERR Number of keys can't be greater than number of args", "FCALL f 1");
    expect(one,
           "[[library_name, lib, engine, LUA, functions, [[name, f, description, (nil), flags, []], "
           "[name, reads, description, tells, flags, [no-writes]]]]]",
           "FUNCTION LIST LIBRARYNAME L?B*");
    expect(one, "[]", "FUNCTION LIST LIBRARYNAME nosuch");
    expect(one, "ERR library name argument was not given", "FUNCTION LIST LIBRARYNAME");
    expect(one, "ERR Unknown argument x", "FUNCTION LIST x");
    expect(one, "ERR Unknown option given: x", "FUNCTION LOAD x %s", code);
    expect(one, "ERR Missing library metadata", "FUNCTION LOAD x");
    expect(one, "ERR DUMP payload version or checksum are wrong", "FUNCTION RESTORE x");
    expect(one, "ERR Library not found", "FUNCTION DELETE nosuch");
    expect(one, "NOTBUSY No scripts in execution right now.", "FUNCTION KILL");
    expect(one, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option", "FUNCTION FLUSH x");
    expect(one, "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.",
           "FUNCTION FLUSH SYNC x");
    expect(one, "OK", "FUNCTION DELETE lib");
    expect(other, "ERR Function not found", "FCALL f 0");
    expect(one, "[]", "FUNCTION LIST");
}

static void what_only_reads_may_not_write(void **state) {
    static const char *const refused = "ERR Write commands are not allowed from read-only scripts." AT("1"),
                             *const second =
                                 "ERR Write commands are not allowed from read-only scripts." AT("2");
    (void)state;
    expect_script(one, refused, "EVAL_RO", "return redis.call('pfcount', 'k')", "0");
    expect(one, "OK", "SET k v");
    expect_script(one, "v", "EVAL_RO", "return redis.call('get', KEYS[1])", "1 k");
    /* One that may wait elsewhere, where it has the shard for itself. */
    expect(one, "1-1", "XADD stream 1-1 f v");
    expect_script(one, "[[stream, [[1-1, [f, v]]]]]", "EVAL_RO",
                  "return redis.call('xread', 'block', 0, 'streams', KEYS[1], '0')", "1 stream");
    expect_script(one, "(nil)", "EVAL_RO", "return redis.call('xread', 'streams', KEYS[1], '1-1')",
                  "1 stream");
    expect_script(one, refused, "EVAL_RO", "return redis.call('set', KEYS[1], 1)", "1 k");
    expect_script(one, second, "EVAL", "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 1)", "1 k");
    expect_script(one, "ERR Can not execute a script with write flag using *_ro command.", "EVAL_RO",
                  "#!lua\nreturn 1", "0");
    expect_script(one, "v", "EVAL_RO", "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", "1 k");
    expect(one, "v", "GET k");
}

/* Judged at a script's start; by its flags, or by its commands where it has none. */
static void over_the_limit_flags_tell_what_runs(void **state) {
    static const char *const refused = "OOM command not allowed when used memory > 'maxmemory'.",
                             *const in_script =
                                 "OOM command not allowed when used memory > 'maxmemory'." AT("1");
    (void)state;
    expect(one, "OK", "SET k v");
    expect(other, "OK", "MULTI");
    expect_queued(other, "EVAL", "return redis.call('set', KEYS[1], 3)", "1 k");
    expect(one, "OK", "CONFIG SET maxmemory 1");
    redisAppendCommand(other, "EXEC");
    expect_next_text(other, "[OOM command not allowed when used memory > 'maxmemory'." AT("1") "]", "EXEC");
    expect_script(one, "v", "EVAL", "return redis.call('get', KEYS[1])", "1 k");
    expect_script(one, in_script, "EVAL", "return redis.call('set', KEYS[1], 1)", "1 k");
    expect_script(one, "1", "EVAL", "return redis.call('del', KEYS[1])", "1 k");
    expect_script(one, refused, "EVAL", "#!lua\nreturn redis.call('get', KEYS[1])", "1 k");
    expect_script(one, "OK", "EVAL", "#!lua flags=allow-oom\nreturn redis.call('set', KEYS[1], 1)", "1 k");
    expect_script(one, "1", "EVAL", "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])", "1 k");
    expect_script(one, "OK", "EVAL", /* after a write it goes on */
                  "redis.call('del', KEYS[1]) return redis.call('set', KEYS[1], 2)", "1 k");
    expect(one, "2", "GET k");
    expect_script(one, "OK", "EVAL", /* though it has found nothing to write */
                  "redis.call('del', 'nokey') return redis.call('set', KEYS[1], 2)", "1 k");
    expect_script(one, refused, "EVAL_RO", "#!lua\nreturn redis.call('get', KEYS[1])", "1 k");
    expect_script(one, "ERR Can not execute a script with write flag using *_ro command.", "EVAL_RO",
                  "#!lua flags=allow-oom\nreturn redis.call('get', KEYS[1])", "1 k");
    redisReply *library = redisCommand(one, "FUNCTION LOAD %s",
                                       "#!lua name=l\nredis.register_function('f', function() return 1 end)");
    assert_string_equal(library->str, refused);
    freeReplyObject(library);
    /* Where it has to wait for the whole keyspace, too. */
    expect(other, "OK", "DEBUG HOLD held 600");
    send_script(one, "EVAL", "redis.call('keys', 'none') return redis.call('set', KEYS[1], 4)", "1 k");
    await_info(other, "parked_clients", 1);
    expect(other, "OK", "DEBUG RELEASE");
    expect_next_text(one, in_script, "EVAL");
    expect(one, "OK", "CONFIG SET maxmemory 0");
}

static void a_script_that_wants_too_much_memory_is_told_so(void **state) {
    (void)state;
    redisReply *reply = eval(one, "EVAL",
                             "local t = {} "
                             "for i = 1, 100 do t[i] = string.rep('x', 2^25 - i) end return #t",
                             "0");
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(reply->str, "not enough memory"));
    freeReplyObject(reply);
    expect_script(one, "ERR user_script:1: resulting string too large" AT("1"), "EVAL",
                  "return string.rep('x', 600 * 1024 * 1024)", "0");
    expect_script(one, "7", "EVAL", "return 7", "0"); /* as if nothing had been */
}

static void a_script_s_database_is_its_own(void **state) {
    (void)state;
    expect(one, "OK", "SELECT 2");
    expect_script(one, "[2, OK, 3]", "EVAL",
                  "redis.call('set', KEYS[1], 2) local before = redis.call('get', KEYS[1]) "
                  "local ok = redis.call('select', 3) redis.call('set', KEYS[1], 3) "
                  "return {before, ok, redis.call('get', KEYS[1])}",
                  "1 k");
    expect(one, "2", "GET k");
    expect(other, "0", "EXISTS k");
    expect(one, "OK", "SELECT 3");
    expect(one, "3", "GET k");
    expect(one, "OK", "SELECT 0");
}

static void the_whole_keyspace_is_there_in_a_script(void **state) {
    (void)state;
    expect(one, "OK", "MSET a 1 b 2 c 3");
    expect_script(one, "[3, [0, [only]], [only], only, 1]", "EVAL",
                  "local size = redis.call('dbsize') redis.call('flushall') redis.call('set', 'only', 1) "
                  "return {size, redis.call('scan', 0), redis.call('keys', '*'), redis.call('randomkey'), "
                  "redis.call('dbsize')}",
                  "0");
    expect_script(one, "[0, [only]]", "EVAL_RO", "return redis.call('scan', 0)", "0");
    expect_script(one, "1", "EVAL_RO", "return #redis.call('keys', '*')", "0");
    expect(one, "OK", "MULTI");
    expect_queued(one, "EVAL", "return redis.call('keys', '*')", "0");
    expect_queued(one, "EVAL", "redis.call('swapdb', 0, 1) return redis.call('dbsize')", "0");
    expect(one, "[[only], 0]", "EXEC");
    /* Keys are counted as they are found: while nobody changes them. */
    expect(other, "OK", "DEBUG HOLD held 600");
    send_script(one, "EVAL", "return redis.call('dbsize')", "0");
    await_info(other, "parked_clients", 1);
    expect(other, "OK", "DEBUG RELEASE");
    expect_next_text(one, "0", "EVAL");
    expect_script(
        one, "0", "EVAL", /* it begins again behind what it has taken back */
        "redis.call('set', KEYS[1], 1, 'pxat', 1) redis.call('del', KEYS[1]) return redis.call('dbsize')",
        "1 k");
    redisReply *reply = eval(one, "EVAL", "return redis.call('info', 'keyspace')", "1 k");
    assert_non_null(strstr(reply->str, "db1:keys=1"));
    freeReplyObject(reply);
}

static void scripts_run_in_transactions(void **state) {
    static const char *const sum = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    (void)state;
    expect(one, "OK", "MULTI");
    expect_queued(one, "EVAL", "return 1", "0"); /* no keys at all */
    expect_queued(one, "EVAL", "return redis.call('incr', KEYS[1])", "1 n");
    expect_queued(one, "EVAL", "redis.call('incr', 'n') error('boom')", "0"); /* what it did stays */
    expect_queued(one, "EVAL_RO", "return redis.call('get', 'n')", "0");
    expect(one, "QUEUED", "SCRIPT FLUSH");
    expect_queued(one, "EVALSHA", sum, "0");
    expect(one, "QUEUED", "SCRIPT LOAD %s", "return 1");
    expect_queued(one, "EVALSHA", sum, "0");
    expect_queued(one, "EVAL", "return redis.call('select', 4)", "0");
    expect(one, "QUEUED", "GET n");
    redisAppendCommand(one, "EXEC");
    expect_next_text(
        one,
        "[1, 1, ERR user_script:1: boom" AT("1") ", 2, OK, NOSCRIPT No matching script. Please use EVAL., "
                                                 "e0e1f9fabfc9d4800c877a703b823ac0578ff8db, 1, OK, 2]",
        "EXEC");
}

static void a_watched_key_is_touched_by_what_a_script_writes(void **state) {
    static const struct {
        const char *command, *script;
        bool is_touched;
    } all[] = {
        {"EVAL", "return redis.call('set', 'w', 1)", true},
        {"EVAL", "redis.call('set', 'w', 1) error('boom')", true},
        {"EVAL", "return redis.call('get', 'w')", false},
        {"EVAL_RO", "return redis.call('get', 'w')", false},
        {"EVAL", "redis.call('set', 'v', 1) return redis.call('del', 'nosuch')", false},
        {"EVAL", "redis.call('flushall')", true},
        {"EVAL", "redis.call('select', 1) redis.call('set', 'w', 1)", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        expect(one, "OK", "SET w 0");
        expect(one, "OK", "WATCH w");
        freeReplyObject(eval(other, all[i].command, all[i].script, "0"));
        expect(one, "OK", "MULTI");
        expect_queued(one, "EVAL", "return 'run'", "0");
        expect(one, all[i].is_touched ? "(nil)" : "[run]", "EXEC");
    }
}

/* The list is there, and gone again, before anybody who waits is served. */
static void clients_that_wait_are_served_when_a_script_is_done(void **state) {
    (void)state;
    redisContext *waiting = connect_and_wait(server, one, "BLPOP list 0");
    expect_script(
        other, "0", "EVAL",
        "redis.call('rpush', KEYS[1], 'a') redis.call('del', KEYS[1]) return redis.call('llen', KEYS[1])",
        "1 list");
    expect_script(other, "2", "EVAL", /* not declared */
                  "redis.call('rpush', 'list', 'a', 'b', 'c') redis.call('lpop', 'list') "
                  "return redis.call('llen', 'list')",
                  "0");
    expect_answer(waiting, "[list, b]");
    expect(one, "[c]", "LRANGE list 0 -1");
}

static void time_stands_still_in_a_script(void **state) {
    (void)state;
    expect_script(one, "1", "EVAL",
                  "local before = redis.call('time') redis.call('set', KEYS[1], 1, 'px', 1) "
                  "local n = 0 while n < 300000 do n = n + 1 end "
                  "local now = redis.call('time') "
                  "return before[1] == now[1] and before[2] == now[2] and redis.call('exists', KEYS[1])",
                  "1 k");
}

/* With every shard there is nothing to take back by, and libraries aren't taken back at all. */
static void what_stands_before_a_long_script_in_a_transaction_is_done_once(void **state) {
    static const char *const takes_long = "local n = 0 while n < 2000000 do n = n + 1 end return n";
    (void)state;
    expect(one, "OK", "SET k v");
    expect(one, "OK", "MULTI");
    expect(one, "QUEUED", "INCR a");
    expect(one, "QUEUED", "SWAPDB 0 1");
    expect_queued(one, "EVAL", takes_long, "0");
    expect(one, "[1, OK, 2000000]", "EXEC");
    expect(one, "(nil)", "GET k");
    expect(one, "OK", "MULTI");
    expect(one, "QUEUED", "INCR a");
    expect_queued(one, "EVAL", "return #redis.call('keys', '*')", "0");
    expect_queued(one, "EVAL", takes_long, "0");
    expect(one, "[1, 1, 2000000]", "EXEC");
    expect(one, "OK", "MULTI");
    const char *load[] = {"FUNCTION", "LOAD",
                          "#!lua name=once\nredis.register_function('once', function() return 'called' end)"};
    freeReplyObject(redisCommandArgv(one, 3, load, NULL));
    expect_queued(one, "EVAL", takes_long, "0");
    expect(one, "QUEUED", "FCALL once 0");
    expect(one, "[once, 2000000, called]", "EXEC");
    expect(one, "OK", "FUNCTION FLUSH");
}

/* KEYS has all of it begin again with every shard. */
static void what_a_transaction_says_of_its_client_is_taken_back_with_it(void **state) {
    (void)state;
    expect(one, "1", "HSET h field value");
    struct resp3 *client = resp3_connect(server);
    resp3_send_text(client, "MULTI\r\nHGETALL h\r\nHELLO 3\r\n");
    resp3_expect(client, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    RESP3_COMMAND(client, "EVAL", "return redis.call('keys', 'none')", "0");
    resp3_expect(client, "+QUEUED\r\n");
    resp3_send_text(client, "EXEC\r\n");
    resp3_expect(client, "*3\r\n*2\r\n$5\r\nfield\r\n$5\r\nvalue\r\n%");
    resp3_close(client);
}

/* KEYS has all of it begin again: the second run finds the name that was there before the first. */
static void a_name_that_is_given_in_a_transaction_is_taken_back_with_it(void **state) {
    static const char *const wants_all = "return redis.call('keys', 'none')";
    (void)state;
    expect(one, "OK", "CLIENT SETNAME before");
    expect(one, "OK", "MULTI");
    expect(one, "QUEUED", "CLIENT GETNAME");
    expect(one, "QUEUED", "CLIENT SETNAME behind");
    expect(one, "QUEUED", "CLIENT SETINFO LIB-NAME library");
    expect_queued(one, "EVAL", wants_all, "0");
    expect(one, "QUEUED", "CLIENT GETNAME");
    expect(one, "[before, OK, OK, [], behind]", "EXEC");
    expect(one, "behind", "CLIENT GETNAME");
    expect(one, "RESET", "RESET");
}

/* It may write what it has counted. */
static void pfcount_is_a_write_to_a_script_that_only_reads(void **state) {
    static const char *const count = "return redis.pcall('pfcount', KEYS[1])['err']",
                             *const refused = "ERR Write commands are not allowed from read-only scripts.";
    (void)state;
    expect(one, "1", "PFADD k a b");
    expect_script(one, "2", "EVAL", "return redis.call('pfcount', KEYS[1])", "1 k");
    expect_script(one, refused, "EVAL_RO", count, "1 k");
    expect(one, "OK", "MULTI");
    expect_queued(one, "EVAL_RO", count, "1 k");
    expect(one, "[ERR Write commands are not allowed from read-only scripts.]", "EXEC");
}

#define FROM_THE_START(test) cmocka_unit_test_setup(test, begin)

int main(void) {
    const struct CMUnitTest tests[] = {
        FROM_THE_START(errors_are_redis_s),
        FROM_THE_START(replies_are_converted_both_ways),
        FROM_THE_START(scripts_are_known_by_their_sums_until_they_are_flushed),
        FROM_THE_START(functions_are_loaded_called_and_forgotten),
        FROM_THE_START(what_only_reads_may_not_write),
        FROM_THE_START(over_the_limit_flags_tell_what_runs),
        FROM_THE_START(a_script_that_wants_too_much_memory_is_told_so),
        FROM_THE_START(a_script_s_database_is_its_own),
        FROM_THE_START(the_whole_keyspace_is_there_in_a_script),
        FROM_THE_START(scripts_run_in_transactions),
        FROM_THE_START(a_watched_key_is_touched_by_what_a_script_writes),
        FROM_THE_START(clients_that_wait_are_served_when_a_script_is_done),
        FROM_THE_START(time_stands_still_in_a_script),
        FROM_THE_START(what_stands_before_a_long_script_in_a_transaction_is_done_once),
        FROM_THE_START(what_a_transaction_says_of_its_client_is_taken_back_with_it),
        FROM_THE_START(a_name_that_is_given_in_a_transaction_is_taken_back_with_it),
        FROM_THE_START(pfcount_is_a_write_to_a_script_that_only_reads),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
