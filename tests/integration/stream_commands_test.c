/* Streams as clients see them: ids, ranges, groups, what is pending, and waiting for entries. Two workers at
 * least, so that most waits cross threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_client.h"
#include "tests/resp3.h"

#define BAD_ID "ERR Invalid stream ID specified as stream command argument"
#define WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"

static int clear(void **unused) {
    (void)unused;
    expect(client, "OK", "FLUSHALL");
    return 0;
}

/* ------------------------------------------------------------------ entries */

static void ids_ascend(void **unused) {
    (void)unused;
    expect(client, "1-1", "XADD s 1-1 a b");
    expect(client, "ERR The ID specified in XADD is equal or smaller than the target stream top item",
           "XADD s 1-1 a b");
    expect(client, "ERR The ID specified in XADD is equal or smaller than the target stream top item",
           "XADD s 0-5 a b");
    expect(client, "ERR The ID specified in XADD must be greater than 0-0", "XADD s 0-0 a b");
    expect(client, "1-2", "XADD s 1-* a b");
    expect(client, "2-0", "XADD s 2-* a b");
    expect(client, "3-0", "XADD s 3 a b");
    expect(client, BAD_ID, "XADD s x a b");
    expect(client, "ERR wrong number of arguments for 'xadd' command", "XADD s 5-1 a b c");
    expect(client, "4", "XLEN s");
    expect(client, "18446744073709551615-18446744073709551615",
           "XADD s 18446744073709551615-18446744073709551615 a b");
    expect(client, "ERR The stream has exhausted the last possible ID, unable to add more items",
           "XADD s * a b");
    expect(client, "stream", "TYPE s");
    expect(client, "stream", "OBJECT ENCODING s");
}

static void an_id_of_the_server_is_its_clock(void **unused) {
    (void)unused;
    redisReply *time = redisCommand(client, "TIME"), *id = redisCommand(client, "XADD s * a b");
    long long now = strtoll(time->element[0]->str, NULL, 10) * 1000, ms = strtoll(id->str, NULL, 10);
    assert_true(ms >= now - 1000 && ms < now + 10000);
    freeReplyObject(time);
    freeReplyObject(id);
    expect(client, "9999999999999-5", "XADD s 9999999999999-5 a b");
    expect(client, "9999999999999-6", "XADD s * a b");
}

static void without_a_stream_there_is_none_made(void **unused) {
    (void)unused;
    expect(client, "(nil)", "XADD s NOMKSTREAM 1-1 a b");
    expect(client, "0", "EXISTS s");
    expect(client, "OK", "SET t x");
    expect(client, WRONG_TYPE, "XADD t 1-1 a b");
    expect(client, WRONG_TYPE, "XLEN t");
    expect(client, "0", "XLEN s");
}

static void ranges_are_between_ids(void **unused) {
    (void)unused;
    for (int i = 1; i <= 5; i++) freeReplyObject(redisCommand(client, "XADD s %d-1 f %d", i, i));
    expect(client, "[[2-1, [f, 2]], [3-1, [f, 3]]]", "XRANGE s 2 3");
    expect(client, "[[2-1, [f, 2]]]", "XRANGE s (1-1 (3-1");
    expect(client, "[[1-1, [f, 1]], [2-1, [f, 2]]]", "XRANGE s - + COUNT 2");
    expect(client, "[[5-1, [f, 5]], [4-1, [f, 4]]]", "XREVRANGE s + - COUNT 2");
    expect(client, "[[2-1, [f, 2]], [1-1, [f, 1]]]", "XREVRANGE s 2 0");
    expect(client, "[]", "XRANGE s 3 2");
    expect(client, "(nil)", "XRANGE s - + COUNT 0");
    expect(client, "[]", "XRANGE none - +");
    expect(client, "ERR invalid start ID for the interval",
           "XRANGE s (18446744073709551615-18446744073709551615 +");
    expect(client, "ERR invalid end ID for the interval", "XRANGE s - (0-0");
    expect(client, "ERR syntax error", "XRANGE s - + COUNT");
    expect(client, BAD_ID, "XRANGE s (- +");
}

static void the_oldest_are_trimmed(void **unused) {
    (void)unused;
    for (int i = 1; i <= 250; i++) freeReplyObject(redisCommand(client, "XADD s %d-0 f v", i));
    expect(client, "0", "XTRIM s MAXLEN ~ 200");
    expect(client, "100", "XTRIM s MAXLEN ~ 150");
    expect(client, "0", "XTRIM s MAXLEN ~ 0 LIMIT 50");
    expect(client, "20", "XTRIM s MINID 121");
    expect(client, "300-0", "XADD s MAXLEN = 3 300-0 f v");
    expect(client, "[[249-0, [f, v]], [250-0, [f, v]], [300-0, [f, v]]]", "XRANGE s - +");
    expect(client, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
           "XTRIM s MAXLEN 5 MINID 3");
    expect(client, "ERR syntax error, LIMIT cannot be used without the special ~ option",
           "XTRIM s MAXLEN 5 LIMIT 3");
    expect(client, "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
           "XTRIM s LIMIT 3");
    expect(client, "ERR The MAXLEN argument must be >= 0.", "XTRIM s MAXLEN -1");
    expect(client, "3", "XTRIM s MAXLEN 0");
    expect(client, "1", "EXISTS s");
}

/* The numbers were read off redis-server. */
static void the_radix_tree_has_as_many_nodes_as_in_redis(void **unused) {
    static const struct {
        const char *command;
        int keys, nodes;
    } steps[] = {
        {"XADD r 0-1 f v", 1, 2},
        {"XADD r 0-2 f v", 2, 4},
        {"XADD r 0-3 f v", 3, 5},
        {"XADD r 0-256 f v", 4, 8},
        {"XADD r 0-65536 f v", 5, 11},
        {"XADD r 1-0 f v", 6, 15},
        {"XADD r 256-1 f v", 7, 18},
        {"XADD r 72057594037927936-1 f v", 8, 21},
        {"XDEL r 0-2", 7, 20},
        {"XDEL r 0-65536", 6, 17},
        {"XDEL r 1-0", 5, 14},
        {"XDEL r 256-1 72057594037927936-1", 3, 7},
        {"XADD r 72057594037927936-2 f v", 4, 10},
        {"XTRIM r MAXLEN 2", 2, 5},
        {"XTRIM r MAXLEN 1", 1, 2},
        {"XTRIM r MAXLEN 0", 0, 1},
    };
    (void)unused;
    expect(client, "OK", "CONFIG SET stream-node-max-entries 1");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char expected[64];
        freeReplyObject(redisCommand(client, steps[i].command));
        redisReply *reply = redisCommand(client, "XINFO STREAM r");
        char *text = reply_text(reply);
        freeReplyObject(reply);
        snprintf(expected, sizeof expected, "radix-tree-keys, %d, radix-tree-nodes, %d,", steps[i].keys,
                 steps[i].nodes);
        if (strstr(text, expected) == NULL) fail_msg("%s: not %s %s", steps[i].command, expected, text);
        free(text);
    }
    expect(client, "OK", "CONFIG SET stream-node-max-entries 100");
}

static void what_is_deleted_is_remembered(void **unused) {
    (void)unused;
    for (int i = 1; i <= 3; i++) freeReplyObject(redisCommand(client, "XADD s %d-0 f v", i));
    expect(client, "2", "XDEL s 2-0 3-0 3-0 9-9");
    expect(client, BAD_ID, "XDEL s 1-0 x");
    expect(client, "0", "XDEL none x");
    expect(client, "[[1-0, [f, v]]]", "XREVRANGE s + -");
    expect(client,
           "[length, 1, radix-tree-keys, 1, radix-tree-nodes, 2, last-generated-id, 3-0, "
           "max-deleted-entry-id, 3-0, entries-added, 3, "
           "recorded-first-entry-id, 1-0, groups, 0, first-entry, [1-0, [f, v]], last-entry, [1-0, "
           "[f, v]]]",
           "XINFO STREAM s");
    expect(client, "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
           "XSETID s 2-0");
    expect(client, "OK", "XSETID s 9-0 ENTRIESADDED 7 MAXDELETEDID 4-0");
    expect(client, "ERR The entries_added specified in XSETID is smaller than the target stream length",
           "XSETID s 9-0 ENTRIESADDED 0");
    expect(client, "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
           "XSETID s 9-0 MAXDELETEDID 10-0");
    expect(client, "ERR no such key", "XSETID none 1-0");
    expect(client, "10-0", "XADD s 10-* f v");
}

/* ------------------------------------------------------------------ groups */

static void consumers_share_what_a_group_reads(void **unused) {
    (void)unused;
    for (int i = 1; i <= 4; i++) freeReplyObject(redisCommand(client, "XADD s %d-0 f v", i));
    expect(client, "OK", "XGROUP CREATE s g 0");
    expect(client, "BUSYGROUP Consumer Group name already exists", "XGROUP CREATE s g 0");
    expect(client, "[[s, [[1-0, [f, v]]]]]", "XREADGROUP GROUP g one COUNT 1 STREAMS s >");
    expect(client, "[[s, [[2-0, [f, v]], [3-0, [f, v]]]]]", "XREADGROUP GROUP g two COUNT 2 STREAMS s >");
    expect(client, "[[s, [[1-0, [f, v]]]]]", "XREADGROUP GROUP g one STREAMS s 0");
    expect(client, "[3, 1-0, 3-0, [[one, 1], [two, 2]]]", "XPENDING s g");
    expect(client, "2", "XACK s g 1-0 2-0 9-0");
    expect(client, "0", "XACK s other 1-0");
    expect(client, "1", "XDEL s 3-0");
    expect(client, "[[s, [[3-0, (nil)]]]]", "XREADGROUP GROUP g two STREAMS s 0");
    expect(client, "[[s, [[4-0, [f, v]]]]]", "XREADGROUP GROUP g two NOACK STREAMS s >");
    expect(client, "(nil)", "XREADGROUP GROUP g two STREAMS s >");
    expect(client, "[1, 3-0, 3-0, [[two, 1]]]", "XPENDING s g");
    expect(client, "[[name, g, consumers, 2, pending, 1, last-delivered-id, 4-0, entries-read, 4, lag, 0]]",
           "XINFO GROUPS s");
    expect(client, "1", "XGROUP DELCONSUMER s g two");
    expect(client, "[0, (nil), (nil), (nil)]", "XPENDING s g");
    expect(client, "1", "XGROUP DESTROY s g");
    expect(client, "0", "XGROUP DESTROY s g");
    expect(client, "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
           "XREADGROUP GROUP g one STREAMS s >");
}

static void groups_need_a_stream_or_make_one(void **unused) {
    (void)unused;
    expect(client,
           "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want "
           "to use the MKSTREAM option to create an empty "
           "stream automatically.",
           "XGROUP CREATE s g 0");
    expect(client, "OK", "XGROUP CREATE s g $ MKSTREAM");
    expect(client, "0", "XLEN s");
    expect(client, "1", "XGROUP CREATECONSUMER s g c");
    expect(client, "0", "XGROUP CREATECONSUMER s g c");
    expect(client, "NOGROUP No such consumer group 'x' for key name 's'", "XGROUP CREATECONSUMER s x c");
    expect(client, "OK", "XGROUP SETID s g 5-0 ENTRIESREAD 3");
    expect(client, "[[name, g, consumers, 1, pending, 0, last-delivered-id, 5-0, entries-read, 3, lag, 0]]",
           "XINFO GROUPS s");
    expect(client, "ERR value for ENTRIESREAD must be positive or -1", "XGROUP SETID s g 5-0 ENTRIESREAD -2");
    expect(client, "ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
           "XGROUP CREATE s h 0 FOO");
    expect(client, "OK", "SET t x");
    expect(client, WRONG_TYPE, "XGROUP CREATE t g 0 MKSTREAM");
}

static void what_others_leave_is_claimed(void **unused) {
    (void)unused;
    for (int i = 1; i <= 4; i++) freeReplyObject(redisCommand(client, "XADD s %d-0 f v", i));
    expect(client, "OK", "XGROUP CREATE s g 0");
    freeReplyObject(redisCommand(client, "XREADGROUP GROUP g one STREAMS s >"));
    expect(client, "[]", "XCLAIM s g two 3600000 1-0");
    expect(client, "[1-0]", "XCLAIM s g two 0 1-0 IDLE 7200000 RETRYCOUNT 9 JUSTID");
    expect(client, "[[1-0, [f, v]]]", "XCLAIM s g one 3600000 1-0");
    expect(client, "[2-0, [[1-0, [f, v]]], []]", "XAUTOCLAIM s g three 0 - COUNT 1");
    expect(client, "1", "XDEL s 2-0");
    expect(client, "[0-0, [3-0, 4-0], [2-0]]", "XAUTOCLAIM s g three 0 2-0 JUSTID");
    expect(client, "[3, 1-0, 4-0, [[three, 3]]]", "XPENDING s g");
    expect(client, "3", "XACK s g 1-0 3-0 4-0");
    expect(client, "[]", "XCLAIM s g one 0 1-0");
    expect(client, "[[1-0, [f, v]]]", "XCLAIM s g one 0 1-0 FORCE LASTID 9-0");
    expect(client,
           "[[name, g, consumers, 3, pending, 1, last-delivered-id, 9-0, entries-read, 4, lag, "
           "0]]",
           "XINFO GROUPS s");
    expect(client, "ERR Unrecognized XCLAIM option 'foo'", "XCLAIM s g one 0 1-0 foo");
    expect(client, "ERR Invalid min-idle-time argument for XCLAIM", "XCLAIM s g one x 1-0");
    expect(client, "ERR COUNT must be > 0", "XAUTOCLAIM s g one 0 0 COUNT 0");
    expect(client, "NOGROUP No such key 's' or consumer group 'x'", "XCLAIM s x one 0 1-0");
}

static void pending_entries_are_listed_by_what_is_asked(void **unused) {
    (void)unused;
    for (int i = 1; i <= 3; i++) freeReplyObject(redisCommand(client, "XADD s %d-0 f v", i));
    expect(client, "OK", "XGROUP CREATE s g 0");
    freeReplyObject(redisCommand(client, "XREADGROUP GROUP g one COUNT 1 STREAMS s >"));
    freeReplyObject(redisCommand(client, "XREADGROUP GROUP g two STREAMS s >"));
    redisReply *reply = redisCommand(client, "XPENDING s g (1-0 + 10 two");
    assert_int_equal(reply->elements, 2);
    assert_string_equal(reply->element[0]->element[0]->str, "2-0");
    assert_string_equal(reply->element[0]->element[1]->str, "two");
    assert_true(reply->element[0]->element[2]->integer >= 0);
    assert_int_equal(reply->element[0]->element[3]->integer, 1);
    freeReplyObject(reply);
    expect(client, "[]", "XPENDING s g IDLE 3600000 - + 10");
    expect(client, "[]", "XPENDING s g - + 10 nobody");
    expect(client, "ERR syntax error", "XPENDING s g - +");
}

static void maps_are_maps_in_resp3(void **unused) {
    (void)unused;
    struct resp3 *modern = resp3_connect(server);
    expect(client, "1-0", "XADD s 1-0 f v");
    expect(client, "OK", "XGROUP CREATE s g 0");
    resp3_send_text(modern, "HELLO 3\r\n");
    resp3_value_free(resp3_read(modern));
    resp3_send_text(modern, "XREADGROUP GROUP g c STREAMS s >\r\nXREAD STREAMS s 0\r\n");
    resp3_expect_value(modern, "{s: [[1-0, [f, v]]]}");
    resp3_expect_value(modern, "{s: [[1-0, [f, v]]]}");
    resp3_send_text(modern, "XINFO GROUPS s\r\nXINFO STREAM s FULL\r\nXINFO CONSUMERS s g\r\n");
    resp3_expect_value(
        modern, "[{name: g, consumers: 1, pending: 1, last-delivered-id: 1-0, entries-read: 1, lag: 0}]");
    struct resp3_value *full = resp3_read(modern), *consumers = resp3_read(modern);
    const struct resp3_value *group = &resp3_value_find(full, "groups")->elements[0];
    const struct resp3_value *consumer = &resp3_value_find(group, "consumers")->elements[0];
    assert_int_equal(resp3_value_find(group, "pending")->elements[0].count, 4);
    assert_int_equal(resp3_value_find(consumer, "pending")->elements[0].count, 3);
    assert_int_equal(resp3_value_find(consumer, "seen-time")->integer,
                     resp3_value_find(consumer, "active-time")->integer);
    assert_int_equal(consumers->elements[0].kind, '%');
    assert_true(resp3_value_find(&consumers->elements[0], "inactive")->integer >= 0);
    resp3_value_free(full);
    resp3_value_free(consumers);
    resp3_close(modern);
}

static void copies_are_apart(void **unused) {
    (void)unused;
    freeReplyObject(redisCommand(client, "XADD s 1-0 f v"));
    freeReplyObject(redisCommand(client, "XGROUP CREATE s g 0"));
    freeReplyObject(redisCommand(client, "XREADGROUP GROUP g c STREAMS s >"));
    expect(client, "1", "COPY s t");
    expect(client, "1", "XACK s g 1-0");
    expect(client, "[1, 1-0, 1-0, [[c, 1]]]", "XPENDING t g");
    expect(client, "1", "DEL s");
    expect(client, "[[1-0, [f, v]]]", "XRANGE t - +");
}

/* ------------------------------------------------------------------ waiting */

static void arguments_of_reads_are_checked(void **unused) {
    (void)unused;
    expect(client,
           "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be "
           "specified.",
           "XREAD STREAMS a b 0");
    expect(client, "ERR timeout is negative", "XREAD BLOCK -1 STREAMS s 0");
    expect(client, "ERR timeout is not an integer or out of range", "XREAD BLOCK x STREAMS s 0");
    expect(client, "ERR syntax error", "XREAD COUNT 1 FOO s 0");
    expect(client,
           "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
           "<consumer> option.",
           "XREAD STREAMS s >");
    expect(client, "ERR Missing GROUP option for XREADGROUP", "XREADGROUP COUNT 1 NOACK STREAMS s >");
    expect(client, "(nil)", "XREAD STREAMS s 0");
    expect(client, "(nil)", "XREAD BLOCK 5 STREAMS s $");
    expect(client, "PONG", "PING");
}

static void who_reads_waits_for_what_comes_after(void **unused) {
    (void)unused;
    freeReplyObject(redisCommand(client, "XADD s 5-0 f old"));
    redisContext *first = connect_and_wait(server, client, "XREAD BLOCK 0 STREAMS none s $ $"),
                 *second = connect_and_wait(server, client, "XREAD BLOCK 0 COUNT 1 STREAMS s 5-0"),
                 *third = connect_and_wait(server, client, "XREAD BLOCK 0 STREAMS s 7-0");
    expect(client, "6-0", "XADD s 6-0 f new");
    expect_answer(first, "[[s, [[6-0, [f, new]]]]]");
    expect_answer(second, "[[s, [[6-0, [f, new]]]]]");
    expect(client, "7-0", "XADD s 7-0 f new");
    expect(client, "8-0", "XADD s 8-0 f last");
    expect_answer(third, "[[s, [[8-0, [f, last]]]]]");
}

static void an_entry_that_is_trimmed_at_once_wakes_nobody(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "XREAD BLOCK 0 STREAMS s $");
    expect(client, "1-0", "XADD s MAXLEN 0 1-0 f v");
    expect(client, "1", "DEL s");
    expect(client, "1", "RPUSH s x");
    expect(client, "1", "DEL s");
    expect(client, "2-0", "XADD s 2-0 f v");
    expect_answer(waiting, "[[s, [[2-0, [f, v]]]]]");
}

static void an_entry_goes_to_one_consumer_of_a_group(void **unused) {
    (void)unused;
    expect(client, "OK", "XGROUP CREATE s g $ MKSTREAM");
    redisContext *first = connect_and_wait(server, client, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >"),
                 *second = connect_and_wait(server, client, "XREADGROUP GROUP g two BLOCK 0 STREAMS s >");
    expect(client, "1-0", "XADD s 1-0 f v");
    expect_answer(first, "[[s, [[1-0, [f, v]]]]]");
    expect(client, "2-0", "XADD s 2-0 f v");
    expect_answer(second, "[[s, [[2-0, [f, v]]]]]");
    expect(client, "[2, 1-0, 2-0, [[one, 1], [two, 1]]]", "XPENDING s g");
}

static void a_group_that_is_set_back_has_something_again(void **unused) {
    (void)unused;
    freeReplyObject(redisCommand(client, "XADD s 1-0 f v"));
    expect(client, "OK", "XGROUP CREATE s g $");
    redisContext *waiting = connect_and_wait(server, client, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >");
    expect(client, "OK", "XGROUP SETID s g 0");
    expect_answer(waiting, "[[s, [[1-0, [f, v]]]]]");
}

#define NO_GROUP "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"

static void who_waits_for_a_group_that_goes_is_told(void **unused) {
    (void)unused;
    const char *const ends[][2] = {{"XGROUP DESTROY s g", NO_GROUP}, {"DEL s", NO_GROUP},
                                   {"SET s x", WRONG_TYPE},          {"FLUSHALL", NO_GROUP},
                                   {"RENAME s t", NO_GROUP},         {"SWAPDB 0 1", NO_GROUP}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        expect(client, "OK", "XGROUP CREATE s g $ MKSTREAM");
        redisContext *waiting =
            connect_and_wait(server, client, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >");
        freeReplyObject(redisCommand(client, ends[i][0]));
        expect_answer(waiting, ends[i][1]);
        freeReplyObject(redisCommand(client, "FLUSHALL"));
    }
}

static void who_waits_for_a_group_that_expires_is_told(void **unused) {
    (void)unused;
    expect(client, "OK", "XGROUP CREATE s g $ MKSTREAM");
    redisContext *waiting = connect_and_wait(server, client, "XREADGROUP GROUP g one BLOCK 0 STREAMS s >"),
                 *reading = connect_and_wait(server, client, "XREAD BLOCK 0 STREAMS s 0");
    expect(client, "1", "PEXPIRE s 20");
    expect_answer(waiting, NO_GROUP);
    expect(client, "1-0", "XADD s 1-0 f v");
    expect_answer(reading, "[[s, [[1-0, [f, v]]]]]");
}

static void unblock_and_timeouts_end_a_wait(void **unused) {
    (void)unused;
    redisContext *waiting = server_connect(server);
    redisReply *id = redisCommand(waiting, "CLIENT ID");
    redisAppendCommand(waiting, "XREAD BLOCK 0 STREAMS s $");
    int done = 0;
    while (!done) redisBufferWrite(waiting, &done);
    for (long long count = 0; count == 0;) {
        redisReply *reply = redisCommand(client, "CLIENT UNBLOCK %lld ERROR", id->integer);
        count = reply->integer;
        freeReplyObject(reply);
    }
    freeReplyObject(id);
    expect_answer(waiting, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    expect(client, "(nil)", "XREAD BLOCK 1 STREAMS s $");
    expect(client, "1-0", "XADD s 1-0 f v");
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ids_ascend, clear),
        cmocka_unit_test_setup(an_id_of_the_server_is_its_clock, clear),
        cmocka_unit_test_setup(without_a_stream_there_is_none_made, clear),
        cmocka_unit_test_setup(ranges_are_between_ids, clear),
        cmocka_unit_test_setup(the_oldest_are_trimmed, clear),
        cmocka_unit_test_setup(the_radix_tree_has_as_many_nodes_as_in_redis, clear),
        cmocka_unit_test_setup(what_is_deleted_is_remembered, clear),
        cmocka_unit_test_setup(consumers_share_what_a_group_reads, clear),
        cmocka_unit_test_setup(groups_need_a_stream_or_make_one, clear),
        cmocka_unit_test_setup(what_others_leave_is_claimed, clear),
        cmocka_unit_test_setup(pending_entries_are_listed_by_what_is_asked, clear),
        cmocka_unit_test_setup(maps_are_maps_in_resp3, clear),
        cmocka_unit_test_setup(copies_are_apart, clear),
        cmocka_unit_test_setup(arguments_of_reads_are_checked, clear),
        cmocka_unit_test_setup(who_reads_waits_for_what_comes_after, clear),
        cmocka_unit_test_setup(an_entry_that_is_trimmed_at_once_wakes_nobody, clear),
        cmocka_unit_test_setup(an_entry_goes_to_one_consumer_of_a_group, clear),
        cmocka_unit_test_setup(a_group_that_is_set_back_has_something_again, clear),
        cmocka_unit_test_setup(who_waits_for_a_group_that_goes_is_told, clear),
        cmocka_unit_test_setup(who_waits_for_a_group_that_expires_is_told, clear),
        cmocka_unit_test_setup(unblock_and_timeouts_end_a_wait, clear),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
