/* HyperLogLogs over the wire: the same count, however the elements came together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_client.h"

static void add(const char *key, int first, int end) {
    for (int i = first; i < end; i++) redisAppendCommand(client, "PFADD %s %d", key, i);
    for (int i = first; i < end; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(client, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        freeReplyObject(reply);
    }
}

static int64_t count(const char *keys) {
    char command[64] = "PFCOUNT ";
    redisReply *reply = redisCommand(client, strcat(command, keys));
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    int64_t integer = reply->integer;
    freeReplyObject(reply);
    return integer;
}

static void elements_count_once_wherever_they_are(void **unused) {
    (void)unused;
    add("left", 0, 3000);
    add("right", 2000, 5000);
    add("all", 0, 5000);
    int64_t all = count("all");
    assert_in_range(all, 4750, 5250);
    assert_int_equal(count("left right"), all);
    expect(client, "OK", "PFMERGE merged left right");
    assert_int_equal(count("merged"), all);
    expect(client, "0", "PFADD merged 17 4711");
    expect(client, "1", "PFADD merged another and one more");
}

static void the_server_tests_its_own_counting(void **unused) {
    (void)unused;
    expect(client, "OK", "PFSELFTEST");
    expect(client, "OK", "CONFIG SET hll-sparse-max-bytes 0");
    expect(client, "OK", "PFSELFTEST");
}

/* Longer than any that is loaded, and so PFDEBUG said nothing at all. */
static void an_overlong_sparse_one_is_told_of_too(void **unused) {
    enum { HEADER = 16, OPCODES = 20000 };
    static char bytes[HEADER + OPCODES] = "HYLL\x01";
    (void)unused;
    memset(bytes + HEADER, 0x80, OPCODES);
    redisReply *reply = redisCommand(client, "SET long %b", bytes, sizeof bytes);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    expect(client, "sparse", "PFDEBUG ENCODING long");
    expect(client, "INVALIDOBJ Corrupted HLL object detected", "PFDEBUG GETREG long");
    expect(client, "INVALIDOBJ Corrupted HLL object detected", "PFDEBUG TODENSE long");
    expect(client, "ERR Unknown PFDEBUG subcommand 'NONE'", "PFDEBUG NONE long");
    reply = redisCommand(client, "PFDEBUG DECODE long");
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_int_equal(reply->len, 6 * OPCODES - 1);
    assert_memory_equal(reply->str, "v:1,1 v:1,1 ", 12);
    assert_string_equal(reply->str + reply->len - 6, " v:1,1");
    freeReplyObject(reply);
    expect(client, "PONG", "PING");
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_count_once_wherever_they_are),
        cmocka_unit_test(the_server_tests_its_own_counting),
        cmocka_unit_test(an_overlong_sparse_one_is_told_of_too),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
