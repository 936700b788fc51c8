/* server/script/message_pack.c, struct_pack.c, json.c, bit.c: cmsgpack, struct, cjson and bit, as scripts
 * have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/state.h"

static struct script_state *state;
static struct reply reply;
static int64_t turns, ends_at_turn;

static enum script_verdict turn(void *context) {
    (void)context;
    return ++turns == ends_at_turn ? SCRIPT_ENDS : SCRIPT_GOES_ON;
}

static const struct script_host host = {.turn = turn};

static int begin(void **context) {
    (void)context;
    state = script_state_create((size_t)64 << 20, 1);
    assert_non_null(state);
    reply_init(&reply, 2);
    turns = ends_at_turn = 0;
    return 0;
}

static int end(void **context) {
    (void)context;
    script_state_free(state);
    reply_free(&reply);
    return 0;
}

static enum script_outcome run(const char *text) {
    char error[256];
    const struct script_run run = {.host = &host, .name = "sha"};
    int function = script_compile(state, text, strlen(text), error, sizeof error);
    assert_int_not_equal(function, 0);
    reply_clear(&reply, 0);
    enum script_outcome outcome = script_run(state, function, &run, &reply);
    script_forget(state, function);
    return outcome;
}

/* What a script returns: a text, whose bytes are told in hexadecimal, or an error. */
static void expect(const char *expression, const char *answer) {
    char text[1024], have[1024];
    snprintf(
        text, sizeof text,
        "local function hex(s) return (s:gsub('.', function(c) return bit.tohex(c:byte(), 2) end)) end"
        " local ok, r = pcall(function() return %s end) return (tostring(r):gsub('^user_script:1: ', ''))",
        expression);
    assert_int_equal(run(text), SCRIPT_DONE);
    const char *at = memchr(reply.data, '\n', reply.length);
    assert_int_equal(reply.data[0], '$');
    snprintf(have, sizeof have, "%.*s", (int)(reply.data + reply.length - 2 - (at + 1)), at + 1);
    assert_string_equal(have, answer);
}

static void message_pack_uses_the_shortest_form(void **context) {
    (void)context;
    expect("hex(cmsgpack.pack(1, -1, -33, 200, 300, 70000, 2^32, -2^63))",
           "01ffd0dfccc8cd012cce00011170cf0000000100000000d38000000000000000");
    expect("hex(cmsgpack.pack(0.5, 0.1, 2^63))", "ca3f000000cb3fb999999999999aca5f000000");
    expect("hex(cmsgpack.pack('a', ('x'):rep(32)):sub(1, 4))", "a161d920");
    expect("hex(cmsgpack.pack(nil, true, false, {}, {1, 2}, {a = 1}))", "c0c3c29092010281a16101");
    expect("#cmsgpack.pack(('x'):rep(70000))", "70005");
}

static void message_pack_reads_what_it_writes(void **context) {
    (void)context;
    expect("select('#', cmsgpack.unpack(cmsgpack.pack(1, 'x', {1, {2}}, {a = 'b'})))", "4");
    expect("cmsgpack.unpack(cmsgpack.pack({a = {1, -300, 0.1}})).a[3]", "0.1");
    expect("table.concat({cmsgpack.unpack_one('\\1\\2\\3', 1)}, ' ')", "2 2");
    expect("table.concat({cmsgpack.unpack_limit('\\1\\2\\3', 2, 1)}, ' ')", "-1 2 3");
    expect("cmsgpack.unpack('\\207\\127' .. ('\\255'):rep(7)) == 2^63", "true");
    expect("cmsgpack.unpack('\\207\\128' .. ('\\0'):rep(7)) == -2^63", "true");
    expect("cmsgpack.unpack('\\146\\1')", "Missing bytes in input.");
    expect("cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes in input.");
    expect("cmsgpack.unpack('\\193')", "Bad data format in input.");
    expect("cmsgpack.unpack(('\\145'):rep(100000))", "stack overflow (in function mp_decode_to_lua_array)");
    expect("cmsgpack.unpack_one('\\1', 2)", "Start offset 2 greater than input length 1.");
    expect("(function() local t = {} t[1] = t return hex(cmsgpack.pack(t)) end)()",
           "91919191919191919191919191919191c0");
}

static void struct_packs_as_c_does(void **context) {
    (void)context;
    expect("hex(struct.pack('>bHi3l', -1, 258, 3, 4))", "ff01020000030000000000000004");
    expect("hex(struct.pack('<!4 b i s c2 c0', 1, 2, 'a', 'bcd', 'ef'))", "01000000020000006100626365"
                                                                          "66");
    expect("hex(struct.pack('>fd', 1.5, -2.25))", "3fc00000c002000000000000");
    expect("table.concat({struct.unpack('>bHi3l', struct.pack('>bHi3l', -1, 258, -3, 4))}, ' ')",
           "-1 258 -3 4 15");
    expect("table.concat({struct.unpack('bc0', '\\3abcdef')}, ' ')", "abc 5");
    expect("struct.size('!4bdi3')", "17");
    expect("struct.unpack('i', 'abc')", "bad argument #2 to 'unpack' (data string too short)");
    expect("struct.unpack('b', 'abc', 0)", "bad argument #3 to 'unpack' (offset must be 1 or greater)");
    expect("struct.unpack('b', 'abc', -2)", "bad argument #2 to 'unpack' (data string too short)");
    expect("struct.unpack('', 'abc', -2)", "-2");
    expect("struct.unpack('c0', 'abc')", "format 'c0' needs a previous size");
    expect("struct.unpack('bc0', '\\255abc')", "bad argument #2 to 'unpack' (data string too short)");
    expect("struct.unpack('s', 'abc')", "unfinished string in data");
    expect("struct.pack('i33', 1)", "integral size 33 is larger than limit of 32");
    expect("struct.pack('i99999999999', 1)", "integral size overflow");
    expect("struct.pack('!3i', 1)", "alignment 3 is not a power of 2");
    expect("struct.pack('z', 1)", "bad argument #1 to 'pack' (invalid format option 'z')");
    expect("struct.pack('i')", "bad argument #2 to 'pack' (number expected, got nil)");
}

static void json_settings_are_a_runs_own(void **context) {
    (void)context;
    expect("cjson.encode({a = {1, 'b', cjson.null}})", "{\"a\":[1,\"b\",null]}");
    expect("cjson.decode('{\"a\":[1,2,{\"b\":null}]}').a[3].b == cjson.null", "true");
    expect("(function() cjson.encode_sparse_array(true) return cjson.encode({[1] = 1, [100] = 2}) end)()",
           "{\"1\":1,\"100\":2}");
    expect("cjson.encode({[1] = 1, [100] = 2})", "Cannot serialise table: excessively sparse array");
    expect("cjson.encode(redis)", "Cannot serialise function: type not supported");
}

static void json_is_bounded(void **context) {
    (void)context;
    /* A thousand times the same text: what the library would count in int. */
    expect("(function() local s, t = ('x'):rep(4000000), {} for i = 1, 1000 do t[i] = s end return "
           "cjson.encode(t) end)()",
           "JSON would be too large");
    /* Thirty levels that are a thousand million values. */
    expect("(function() local t = 1 for i = 1, 30 do t = {t, t} end return cjson.encode(t) end)()",
           "JSON would be too large");
    expect("(function() local t = {} t[1] = t return cjson.encode(t) end)()",
           "Cannot serialise, excessive nesting (1001)");
    expect("cjson.decode(('x'):rep(17000000))", "JSON is too large");
    expect("cjson.decode('[' .. ('[],'):rep(1000000) .. '1]')", "not enough memory");
    expect("cjson.encode({1})", "[1]");
}

static void bit_takes_any_number_of_digits(void **context) {
    (void)context;
    expect("bit.tohex(65535, -2147483648)", "0000FFFF");
    expect("bit.tohex(255, 2^33 + 2)", "ff");
    expect("bit.tohex(1, 'x')", "bad argument #2 to 'tohex' (number expected, got string)");
}

static void packing_can_be_ended(void **context) {
    (void)context;
    static const char *const scripts[] = {
        "local t = 1 for i = 1, 15 do t = {t, t, t, t} end return cmsgpack.pack(t)",
        "local t = {} for i = 1, 1000 do t[i] = i end while true do pcall(cmsgpack.pack, t) end",
        "local s = cmsgpack.pack(1, 2, 3) while true do pcall(cmsgpack.unpack, s) end",
        "local f = ('b'):rep(4000) while true do pcall(struct.size, f) pcall(struct.unpack, f, f) end",
        "local t = {1, 2, 3} while true do pcall(cjson.encode, t) end",
        "while true do pcall(cjson.decode, '[1,2,3]') end",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        turns = 0;
        ends_at_turn = 200;
        assert_int_equal(run(scripts[i]), SCRIPT_ENDED);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(message_pack_uses_the_shortest_form),
        TEST(message_pack_reads_what_it_writes),
        TEST(struct_packs_as_c_does),
        TEST(json_settings_are_a_runs_own),
        TEST(json_is_bounded),
        TEST(bit_takes_any_number_of_digits),
        TEST(packing_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
