/* server/script/state.h: what scripts can do, what they can't, and that nothing holds up the end of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/state.h"

#define MOST ((size_t)16 << 20)

/* What the host answers, and what it has seen. */
static struct {
    const char *answer;  /* to every command */
    struct reply *reply; /* or this */
    bool ends_at_call;
    int64_t turns, ends_at_turn; /* 0: never */
    char asked[256];
    char logged[256];
    int replication;
} host;

static enum script_verdict answer(void *context, const struct bulk *arguments, uint32_t count,
                                  struct reply *reply) {
    assert_ptr_equal(context, &host);
    host.asked[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(host.asked);
        snprintf(host.asked + length, sizeof host.asked - length, "%s%.*s", i > 0 ? " " : "",
                 (int)arguments[i].length, arguments[i].data);
    }
    if (host.reply != NULL)
        reply_append(reply, host.reply);
    else
        reply_raw(reply, host.answer, strlen(host.answer));
    return host.ends_at_call ? SCRIPT_ENDS : SCRIPT_GOES_ON;
}

static enum script_verdict turn(void *context) {
    assert_ptr_equal(context, &host);
    host.turns++;
    return host.ends_at_turn != 0 && host.turns >= host.ends_at_turn ? SCRIPT_ENDS : SCRIPT_GOES_ON;
}

static int may_run(void *context, const struct bulk *arguments, uint32_t count) {
    (void)context;
    (void)count;
    return arguments[0].length == 3 ? 1 : arguments[0].length == 4 ? 0 : -1;
}

static void write_log(void *context, int level, const char *text, size_t length) {
    (void)context;
    snprintf(host.logged, sizeof host.logged, "%d %.*s", level, (int)length, text);
}

static void set_replication(void *context, int flags) {
    (void)context;
    host.replication = flags;
}

static const struct script_host functions = {answer, turn, NULL, may_run, write_log, set_replication};

static struct script_state *state;
static struct reply reply;

static int begin(void **context) {
    (void)context;
    memset(&host, 0, sizeof host);
    host.answer = "+OK\r\n";
    state = script_state_create(MOST, 1);
    assert_non_null(state);
    reply_init(&reply, 2);
    return 0;
}

static int end(void **context) {
    (void)context;
    script_state_free(state);
    reply_free(&reply);
    return 0;
}

static enum script_outcome run_text(const char *text) {
    static char key[] = "key", argument[] = "arg";
    const struct bulk keys[] = {{key, 3, NULL}}, arguments[] = {{argument, 3, NULL}};
    char error[256];
    int function = script_compile(state, text, strlen(text), error, sizeof error);
    reply_clear(&reply, 0);
    reply_errors_clear(&reply);
    if (function == 0) {
        reply_error(&reply, error);
        reply_raw(&reply, "", 1);
        return SCRIPT_DONE;
    }
    const struct script_run run = {.host = &functions,
                                   .context = &host,
                                   .name = "sha",
                                   .keys = keys,
                                   .arguments = arguments,
                                   .key_count = 1,
                                   .argument_count = 1};
    host.turns = 0;
    enum script_outcome outcome = script_run(state, function, &run, &reply);
    script_forget(state, function);
    reply_raw(&reply, "", 1); /* so that it is a text */
    return outcome;
}

static void expect(const char *text, const char *bytes) {
    assert_int_equal(run_text(text), SCRIPT_DONE);
    assert_string_equal(reply.data, bytes);
}

static void expect_error(const char *text, const char *error) {
    char bytes[512];
    snprintf(bytes, sizeof bytes, "-%s script: sha, on @user_script:1.\r\n", error);
    expect(text, bytes);
}

/* ------------------------------------------------------------------ what scripts see */

static void keys_and_arguments_are_globals_of_one_run(void **context) {
    (void)context;
    expect("return {KEYS[1], ARGV[1], #KEYS, #ARGV}", "*4\r\n$3\r\nkey\r\n$3\r\narg\r\n:1\r\n:1\r\n");
    expect("KEYS[1] = 'x' return KEYS", "*1\r\n$1\r\nx\r\n");
    expect("return KEYS", "*1\r\n$3\r\nkey\r\n");
}

static void globals_and_libraries_can_be_read_and_not_changed(void **context) {
    (void)context;
    const char *refused = "ERR user_script:1: Attempt to modify a readonly table",
               *refused_in_c = "ERR Attempt to modify a readonly table";
    expect_error("return x", "ERR user_script:1: Script attempted to access nonexistent global variable 'x'");
    expect_error("x = 1", refused);
    expect_error("function f() end", refused);
    expect_error("redis.call = 1", refused);
    expect_error("string.rep = nil", refused);
    expect_error("_G._G.KEYS = 1", refused);
    expect_error("getmetatable(_G).__index = nil", refused);
    expect_error("getmetatable('').__index.x = 1", refused);
    expect_error("rawset(_G, 'x', 1)", refused_in_c);
    expect_error("rawset(redis, 'call', 1)", refused_in_c);
    expect_error("setmetatable(_G, {})", refused_in_c);
    expect_error("setmetatable(getmetatable(''), {})", refused_in_c);
    expect_error("table.insert(redis, 1)", refused_in_c);
    expect("local n = 0 for k, v in pairs(redis) do n = n + 1 end return n", ":23\r\n");
    expect("return next(redis) ~= nil and rawget(redis, 'call') == redis.call", ":1\r\n");
    expect("return {rawget(_G, 'x') == nil, getmetatable(redis) == nil, redis == server, _G._G == _G}",
           "*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n");
}

static void what_reaches_beyond_the_state_is_not_there(void **context) {
    (void)context;
    expect(
        "local names = {'print', 'dofile', 'loadfile', 'require', 'module', 'package', 'io', 'os', 'debug', "
        "'newproxy',"
        " 'getfenv', 'setfenv'} for _, name in ipairs(names) do if rawget(_G, name) then return name end end",
        "$-1\r\n");
}

static void bytecode_is_taken_for_text(void **context) {
    (void)context;
    const char *dumped = "local code = string.dump(function() return 1 end) ";
    char text[256];
    snprintf(text, sizeof text,
             "%s return {loadstring(code) == nil, load(function() local c = code code = nil return c end)"
             " == nil}",
             dumped);
    expect(text, "*2\r\n:1\r\n:1\r\n");
    char error[256];
    assert_int_equal(script_compile(state, "\x1bLua", 4, error, sizeof error), 0);
    assert_string_equal(error, "user_script:1: unexpected symbol near 'char(27)'");
}

/* Lua's parser keeps the chunk's name where the collector doesn't look. */
static void a_chunk_whose_name_is_garbage_is_compiled(void **context) {
    (void)context;
    expect(
        "collectgarbage('setpause', 0) for i = 1, 200 do"
        " local text = {} for j = 1, 200 do text[j] = 'local a' .. j .. ' = \"' .. i .. '-' .. j .. '\"' end"
        " local f, e = loadstring('do ' .. table.concat(text, ' ', 1, 150) .. ' end return ' .. i, 'n\\0' .. "
        "i)"
        " if not f then return e end if f() ~= i then return i end end return 'ok'",
        "$2\r\nok\r\n");
}

static void bounds_that_overflow_are_refused(void **context) {
    (void)context;
    expect_error("return unpack({}, 0, 2147483647)", "ERR user_script:1: too many results to unpack");
    expect_error("return unpack({}, -2147483648, 2147483647)",
                 "ERR user_script:1: too many results to unpack");
    expect_error("return string.rep('x', 2000000000)", "ERR user_script:1: resulting string too large");
    expect("return bit.tohex(65535, -2147483648)", "$8\r\n0000FFFF\r\n");
    expect_error("return string.find(('a'):rep(20000), ('a?'):rep(20000))",
                 "ERR user_script:1: pattern too complex");
}

/* ------------------------------------------------------------------ errors */

static void errors_tell_where_they_came_from(void **context) {
    (void)context;
    expect_error("error('boo')", "ERR user_script:1: boo");
    expect_error("error({err = 'CODE boo'})", "CODE boo");
    expect_error("error(nil)", "ERR nil");
    expect_error("local s = 'x' return s:foo()",
                 "ERR user_script:1: attempt to call method 'foo' (a nil value)");
    expect("error({1})", "-ERR unknown error script: sha, on @user_script:1.\r\n");
    expect("return {pcall(error, {err = 'CODE boo'})}", "*2\r\n$-1\r\n$8\r\nCODE boo\r\n");
    expect("local f, e = loadstring('x =') return e",
           "$48\r\n[string \"x =\"]:1: unexpected symbol near '<eof>'\r\n");
}

static void a_commands_error_is_raised_by_call_and_given_by_pcall(void **context) {
    (void)context;
    host.answer = "-WRONGTYPE Operation\r\n";
    expect_error("redis.call('get', 'k')", "WRONGTYPE Operation");
    assert_int_equal(reply.error_count, 0); /* it was counted where it was given */
    expect("return redis.pcall('get', 'k')", "-WRONGTYPE Operation\r\n");
    assert_int_equal(reply.error_count, 0);
    expect("return redis.pcall('get', 'k').err", "$19\r\nWRONGTYPE Operation\r\n");
    expect("local ok, e = pcall(redis.call, 'get', 'k') return e", "$19\r\nWRONGTYPE Operation\r\n");
    expect("return redis.error_reply('MY error')", "-MY error\r\n");
    assert_int_equal(reply.error_count, 1);
    expect_error("redis.call()", "ERR Please specify at least one argument for this redis lib call");
    expect("return redis.pcall({})", "-ERR Lua redis lib command arguments must be strings or integers\r\n");
}

static void deep_recursion_is_an_error(void **context) {
    (void)context;
    expect_error("local function f() return 1 + f() end return f()", "ERR user_script:1: stack overflow");
    expect("local function f() return (string.gsub('a', 'a', f)) end return select(2, pcall(f))",
           "$16\r\nC stack overflow\r\n");
    expect("local function f() return coroutine.wrap(f)() end return (pcall(f))", "$-1\r\n");
    run_text("local t = {} t[1] = t return t");
    assert_non_null(strstr(reply.data, "-ERR reached lua stack limit\r\n"));
}

/* ------------------------------------------------------------------ conversions */

static void numbers_are_given_in_their_shortest_form(void **context) {
    (void)context;
    run_text("redis.call('set', 0.1, 3, -1, 1e15, 1e20, 1/0, 123456789012345678, 2^62)");
    assert_string_equal(host.asked,
                        "set 0.1 3 -1 1000000000000000 1e+20 inf 123456789012345680 4611686018427387904");
}

static void replies_become_values(void **context) {
    (void)context;
    host.answer = "*4\r\n:5\r\n$2\r\nab\r\n$-1\r\n*-1\r\n";
    expect("local r = redis.call('x') return {#r, r[1] + 1, r[2], tostring(r[3]), tostring(r[4])}",
           "*5\r\n:4\r\n:6\r\n$2\r\nab\r\n$5\r\nfalse\r\n$5\r\nfalse\r\n");
    host.answer = "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n_\r\n";
    expect("local m = redis.call('x').map return {m.a, tostring(m.b)}", "*2\r\n:1\r\n$3\r\nnil\r\n");
    host.answer = "~2\r\n$1\r\na\r\n$1\r\nb\r\n";
    expect("local m = redis.call('x').set return {m.a, m.b}", "*2\r\n:1\r\n:1\r\n");
    host.answer = ",1.5\r\n";
    expect("return redis.call('x').double * 2", ":3\r\n");
    host.answer = "(12345678901234567890\r\n";
    expect("return redis.call('x').big_number", "$20\r\n12345678901234567890\r\n");
    host.answer = "=7\r\ntxt:abc\r\n";
    expect("local v = redis.call('x').verbatim_string return {v.format, v.string}",
           "*2\r\n$3\r\ntxt\r\n$3\r\nabc\r\n");
    host.answer = "#t\r\n";
    expect("return redis.call('x') == true", ":1\r\n");
    host.answer = "|1\r\n$1\r\na\r\n*1\r\n:9\r\n:7\r\n";
    expect("return redis.call('x')", ":7\r\n");
    host.answer = "+QUEUED\r\n";
    expect("return redis.call('x').ok", "$6\r\nQUEUED\r\n");
}

static int released;

static void release(void *owner) {
    (void)owner;
    released++;
}

static void a_value_that_a_reply_refers_to_is_read_from_where_it_is(void **context) {
    (void)context;
    struct reply given;
    reply_init(&given, 2);
    host.reply = &given;
    reply_array(&given, 2);
    reply_bulk_reference(&given, "value", 5, &released, release);
    reply_integer(&given, 1);
    expect("local r = redis.call('get', 'k') return {r[2], r[1]}", "*2\r\n:1\r\n$5\r\nvalue\r\n");
    assert_int_equal(released, 1);
    reply_free(&given);
}

static void values_become_replies_of_both_protocols(void **context) {
    (void)context;
    expect("return {true, false, 3.9, -3.9, 'x', {1, nil, 2}}",
           "*6\r\n:1\r\n$-1\r\n:3\r\n:-3\r\n$1\r\nx\r\n*1\r\n:1\r\n");
    expect("return {map = {a = 1}}", "*2\r\n$1\r\na\r\n:1\r\n");
    expect("return {double = 0.1}", "$3\r\n0.1\r\n");
    expect("return {ok = 'a\\r\\nb'}", "+a  b\r\n");
    reply.protocol = 3;
    expect("return {map = {a = 1}}", "%1\r\n$1\r\na\r\n:1\r\n");
    expect("return {set = {a = true}}", "~1\r\n$1\r\na\r\n");
    expect("return {double = 0.1}", ",0.1\r\n");
    expect("return {big_number = '12'}", "(12\r\n");
    expect("return {verbatim_string = {format = 'txt', string = 'abc'}}", "=7\r\ntxt:abc\r\n");
    expect("return {true, false}", "*2\r\n:1\r\n_\r\n");
    expect("redis.setresp(3) return {true, false}", "*2\r\n#t\r\n#f\r\n");
    expect("return {true, false}", "*2\r\n:1\r\n_\r\n"); /* of that run only */
}

static void the_api_answers(void **context) {
    (void)context;
    run_text("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')");
    assert_string_equal(host.logged, "3 a 1 b");
    run_text("redis.set_repl(redis.REPL_AOF)");
    assert_int_equal(host.replication, SCRIPT_REPL_AOF);
    expect("return {redis.acl_check_cmd('get'), redis.acl_check_cmd('four')}", "*2\r\n:1\r\n$-1\r\n");
    expect_error("redis.acl_check_cmd('x')", "ERR Invalid command passed to redis.acl_check_cmd()");
    expect("return redis.sha1hex('')", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709\r\n");
    expect("return redis.REDIS_VERSION_NUM", ":459264\r\n");
}

/* ------------------------------------------------------------------ ends */

static void nothing_holds_up_the_end_of_a_run(void **context) {
    (void)context;
    static const char *const scripts[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local f = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) "
        "f()",
        "return string.find(('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(41))",
        "return string.find(('a'):rep(100000), '.-.-.-.-b')",
        "while true do pcall(string.gsub, ('a'):rep(1000), '.-b', 'c') end",
        "for m in string.gmatch(('a'):rep(1000000), '.-.-b') do end",
        "local t = {} for i = 1, 100000 do t[i] = i % 7 end while true do pcall(table.sort, t) end",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(table.concat, t) end",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do table.insert(t, 1, 1) table.remove(t, 1) "
        "end",
        "while true do pcall(string.rep, 'x', 1000000) end",
        "local s = ('x'):rep(1000000) while true do pcall(string.upper, s) end",
        "local s = ('x'):rep(5000000) while true do pcall(string.upper, s) end",
        "while true do collectgarbage() end",
        "while true do load(function() while true do end end) end",
        "setmetatable({}, {__index = function() while true do end end}).x = nil "
        "return ({pcall(function() return setmetatable({}, {__index = function() while true do end end}).x "
        "end)})",
        "while true do redis.pcall('get') end",
        "local function f() pcall(f) pcall(f) end f()",
    };
    host.ends_at_turn = 300;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        assert_int_equal(run_text(scripts[i]), SCRIPT_ENDED);
        assert_int_equal(host.turns, 300); /* it isn't asked again */
        assert_string_equal(reply.data, "");
    }
    host.ends_at_turn = 0;
    expect("return 1", ":1\r\n");
}

static void a_command_ends_a_run(void **context) {
    (void)context;
    host.ends_at_call = true;
    assert_int_equal(run_text("pcall(redis.call, 'get', 'k') while true do end"), SCRIPT_ENDED);
    assert_int_equal(run_text("redis.pcall('get', 'k') return 1"), SCRIPT_ENDED);
}

static void a_run_that_begins_again_draws_the_same_numbers(void **context) {
    (void)context;
    const char *text = "return {tostring(math.random()), math.random(1000000), math.random(5, 1000000)}";
    char first[128];
    run_text(text);
    snprintf(first, sizeof first, "%s", reply.data);
    script_rewind(state);
    run_text(text);
    assert_string_equal(reply.data, first);
    run_text(text);
    assert_string_not_equal(reply.data, first);
    expect("math.randomseed(7) local a = math.random(1000) math.randomseed(7) return a == math.random(1000)",
           ":1\r\n");
}

static void memory_is_bounded_and_given_back(void **context) {
    (void)context;
    size_t before = script_state_bytes(state);
    expect("local t = {} for i = 1, 1e9 do t[i] = 'x' .. i end",
           "-ERR Error running script sha, not enough memory\r\n");
    expect("local ok, e = pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) return e",
           "$17\r\nnot enough memory\r\n");
    /* Garbage is collected before it fills what there is. */
    expect("local s = ('x'):rep(1000000) for i = 1, 300 do local t = s .. i end return 'ok'", "$2\r\nok\r\n");
    while (script_state_tidy(state)) {
    }
    assert_in_range(script_state_bytes(state), 0, before + ((size_t)8 << 20));
    script_state_limit(state, 0);
    expect("return ('x'):rep(100000)", "-not enough memory\r\n");
}

/* ------------------------------------------------------------------ libraries */

static struct script_function registered[4];
static char names[4][32];
static uint32_t count;

static const char *note_function(void *context, const struct script_function *function) {
    assert_ptr_equal(context, &host);
    if (count == 4) return "too many functions";
    snprintf(names[count], sizeof names[count], "%s", function->name);
    registered[count++] = *function;
    return NULL;
}

static const char *load(const char *text) {
    static char error[256];
    const struct script_run run = {.host = &functions, .context = &host};
    count = 0;
    host.turns = 0;
    return script_load_library(state, text, strlen(text), &run, note_function, error, sizeof error) ? NULL
                                                                                                    : error;
}

static void run_function(int function, const char *bytes) {
    static char key[] = "key";
    const struct bulk keys[] = {{key, 3, NULL}};
    const struct script_run run = {
        .host = &functions, .context = &host, .name = "f", .keys = keys, .key_count = 1, .is_function = true};
    reply_clear(&reply, 0);
    assert_int_equal(script_run(state, function, &run, &reply), SCRIPT_DONE);
    reply_raw(&reply, "", 1);
    assert_string_equal(reply.data, bytes);
}

static void a_library_registers_functions_that_keep_their_locals(void **context) {
    (void)context;
    assert_null(load("local n = 0\nredis.register_function('inc', function(keys, args) n = n + 1 return {n, "
                     "keys[1]} end)\n"
                     "redis.register_function{function_name = 'get', callback = function() return n end,"
                     " flags = {'no-writes', 'allow-stale'}, description = 'tells'}"));
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "inc");
    assert_int_equal(registered[1].flags, 1 | 4);
    run_function(registered[0].function, "*2\r\n:1\r\n$3\r\nkey\r\n");
    run_function(registered[0].function, "*2\r\n:2\r\n$3\r\nkey\r\n");
    run_function(registered[1].function, ":2\r\n");
}

static void a_library_sees_little_while_it_loads(void **context) {
    (void)context;
    const char *missing =
        "Error registering functions: ERR user_function:1: Script attempted to access nonexistent "
        "global variable '%s'";
    char error[256];
    snprintf(error, sizeof error, missing, "pairs");
    assert_string_equal(load("for k in pairs(redis) do end"), error);
    snprintf(error, sizeof error, missing, "call");
    assert_string_equal(load("redis.call('get', 'k')"), error);
    assert_string_equal(
        load("x = 1"),
        "Error registering functions: ERR user_function:1: Attempt to modify a readonly table");
    assert_string_equal(load("x y"), "Error compiling function: user_function:1: '=' expected near 'y'");
    assert_string_equal(load("redis.register_function('f')"),
                        "Error registering functions: ERR calling redis.register_function with a single "
                        "argument is only applicable to"
                        " Lua table (representing named arguments).");
    assert_string_equal(
        load("redis.register_function{function_name = 'f', callback = redis.log, flags = {'x'}}"),
        "Error registering functions: ERR unknown flag given");
    host.ends_at_turn = 100;
    assert_string_equal(load("while true do end"), "Error registering functions: ERR FUNCTION LOAD timeout");
}

static void a_function_sees_what_functions_do(void **context) {
    (void)context;
    assert_null(
        load("redis.register_function('a', function() return KEYS end)"
             "redis.register_function('b', function() return redis.breakpoint end)"
             "redis.register_function('c', function() return {next(_G) ~= nil, redis.call('x').ok} end)"
             "redis.register_function('d', function() redis.register_function('x', function() end) end)"));
    run_function(registered[0].function,
                 "-ERR user_function:1: Script attempted to access nonexistent global variable"
                 " 'KEYS' script: f, on @user_function:1.\r\n");
    run_function(registered[1].function, "$-1\r\n");
    run_function(registered[2].function, "*2\r\n:1\r\n$2\r\nOK\r\n");
    run_function(registered[3].function,
                 "-ERR user_function:1: attempt to call field 'register_function' (a nil value)"
                 " script: f, on @user_function:1.\r\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(keys_and_arguments_are_globals_of_one_run),
        TEST(globals_and_libraries_can_be_read_and_not_changed),
        TEST(what_reaches_beyond_the_state_is_not_there),
        TEST(bytecode_is_taken_for_text),
        TEST(a_chunk_whose_name_is_garbage_is_compiled),
        TEST(bounds_that_overflow_are_refused),
        TEST(errors_tell_where_they_came_from),
        TEST(a_commands_error_is_raised_by_call_and_given_by_pcall),
        TEST(deep_recursion_is_an_error),
        TEST(numbers_are_given_in_their_shortest_form),
        TEST(replies_become_values),
        TEST(a_value_that_a_reply_refers_to_is_read_from_where_it_is),
        TEST(values_become_replies_of_both_protocols),
        TEST(the_api_answers),
        TEST(nothing_holds_up_the_end_of_a_run),
        TEST(a_command_ends_a_run),
        TEST(a_run_that_begins_again_draws_the_same_numbers),
        TEST(memory_is_bounded_and_given_back),
        TEST(a_library_registers_functions_that_keep_their_locals),
        TEST(a_library_sees_little_while_it_loads),
        TEST(a_function_sees_what_functions_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
