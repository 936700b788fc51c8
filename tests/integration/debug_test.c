/* DEBUG, as Redis's own test suite uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_client.h"

#define ERROR_NUMBER(name)                                                                                   \
    "ERR unknown subcommand or wrong number of arguments for '" name "'. Try DEBUG HELP."

static void populate_makes_the_keys_that_are_absent(void **unused) {
    (void)unused;
    expect(client, "OK", "SET key:1 mine");
    expect(client, "OK", "DEBUG POPULATE 1000");
    expect(client, "1000", "DBSIZE");
    expect(client, "mine", "GET key:1");
    expect(client, "value:999", "GET key:999");
    expect(client, "OK", "SELECT 2");
    expect(client, "OK", "DEBUG POPULATE 2 p 10");
    expect(client, "2", "DBSIZE");
    redisReply *reply = redisCommand(client, "GET p:1");
    assert_int_equal(reply->len, 10);
    assert_memory_equal(reply->str, "value:1\0\0\0", 10);
    freeReplyObject(reply);
    expect(client, "OK", "DEBUG POPULATE 1 q 3");
    expect(client, "val", "GET q:0");
    expect(client, "OK", "DEBUG POPULATE 0");
    expect(client, "ERR value is out of range, must be positive", "DEBUG POPULATE -1");
    expect(client, "ERR value is out of range, must be positive", "DEBUG POPULATE 1 p x");
    expect(client, ERROR_NUMBER("POPULATE"), "DEBUG POPULATE");
    expect(client, "OK", "SELECT 0");
}

static char *replication_id(void) {
    redisReply *reply = redisCommand(client, "INFO replication");
    const char *found = strstr(reply->str, "master_replid:");
    assert_non_null(found);
    char *id = strndup(found + strlen("master_replid:"), 40);
    assert_int_equal(strspn(id, "0123456789abcdef"), 40);
    freeReplyObject(reply);
    return id;
}

static void change_repl_id_changes_it(void **unused) {
    (void)unused;
    char *before = replication_id();
    expect(client, "OK", "DEBUG CHANGE-REPL-ID");
    char *after = replication_id();
    assert_string_not_equal(before, after);
    free(before);
    free(after);
}

static void what_has_no_counterpart_here_answers_as_it_is(void **unused) {
    static const char wrong[] = "ERR argument must be a memory value bigger than 1 and smaller than 4gb";
    (void)unused;
    expect(client, "1", "HSET h a b");
    expect(client, "OK", "SET s x");
    expect(client, "ERR no such key", "DEBUG LISTPACK none");
    expect(client, "ERR Not a listpack encoded object.", "DEBUG LISTPACK s");
    redisReply *reply = redisCommand(client, "DEBUG LISTPACK h");
    assert_int_equal(reply->type, REDIS_REPLY_STATUS);
    freeReplyObject(reply);
    expect(client, "OK", "DEBUG QUICKLIST-PACKED-THRESHOLD 100b");
    expect(client, "OK", "DEBUG QUICKLIST-PACKED-THRESHOLD 0");
    expect(client, wrong, "DEBUG QUICKLIST-PACKED-THRESHOLD 4gb");
    expect(client, wrong, "DEBUG QUICKLIST-PACKED-THRESHOLD -1");
    expect(client, wrong, "DEBUG QUICKLIST-PACKED-THRESHOLD x");
    expect(client,
           "ERR DEBUG RELOAD: nothing is written to disk here, and so nothing can be loaded from "
           "there",
           "DEBUG RELOAD");
    expect(client, ERROR_NUMBER("JMAP"), "DEBUG JMAP"); /* Redis 7.2 doesn't know it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(populate_makes_the_keys_that_are_absent),
        cmocka_unit_test(change_repl_id_changes_it),
        cmocka_unit_test(what_has_no_counterpart_here_answers_as_it_is),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
