/* What rdb_changes_since_last_save counts: not commands, but what they have changed, as Redis counts it. The
 * numbers were read off redis-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_client.h"

static int64_t changes(void) {
    return info_number(client, "rdb_changes_since_last_save");
}

struct counted {
    const char *command;
    int changes;
};

static void check_all(const struct counted *all, size_t count) {
    int64_t before = changes();
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = redisCommand(client, all[i].command);
        assert_non_null(reply);
        if (reply->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", all[i].command, reply->str);
        freeReplyObject(reply);
        int64_t now = changes();
        if (now - before != all[i].changes)
            fail_msg("%s counts as %lld changes, not %d", all[i].command, (long long)(now - before),
                     all[i].changes);
        before = now;
    }
}
#define CHECK_ALL(all) check_all(all, sizeof(all) / sizeof(all)[0])

static void each_element_of_a_list_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"RPUSH l 1 2 3", 3},
        {"LPUSHX l 9 9", 2},
        {"LPUSHX absent 9 9", 0},
        {"LINSERT l BEFORE 2 x", 1},
        {"LSET l 0 q", 1},
        {"LREM l 0 x", 1},
        {"LREM l 0 none", 0},
        {"RPUSH l x x", 2},
        {"LREM l 0 x", 2},
        {"LPOP l 2", 2},
        {"LPOP l 0", 0},
        {"LPOP l 100", 3},
        {"RPUSH l 1 2 3 4 5 6 7 8 9 10", 10},
        {"LTRIM l 0 -3", 2},
        {"LTRIM l 0 -1", 0},
        {"LTRIM l 1 2", 6},
        {"LTRIM l 5 2", 2},
        {"RPUSH l 1 2 3 4 5", 5},
        {"RPOPLPUSH l l", 1},
        {"LMOVE l m LEFT RIGHT", 1},
        {"LMPOP 1 l LEFT COUNT 2", 2},
        {"BLMPOP 1 1 l LEFT COUNT 2", 2},
        {"RPUSH unsorted 3 1 2", 3},
        {"SORT unsorted STORE sorted", 3},
        {"SORT absent STORE sorted", 1},
    };
    (void)unused;
    CHECK_ALL(all);
}

static void each_member_of_a_set_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"SADD s 1 2 3", 3},   {"SADD s 1 2 3", 0},      {"SADD s 3 4 5 6 7", 4}, {"SREM s 1 2 none", 2},
        {"SMOVE s t 3", 2},    {"SADD t 4", 1},          {"SMOVE s t 4", 1},      {"SADD s a b c d", 4},
        {"SPOP s", 1},         {"SPOP s 4", 4},          {"SPOP s 0", 0},         {"SPOP s 9", 2},
        {"SADD s 1 2 3 4", 4}, {"SINTERSTORE u s t", 1}, {"SDIFFSTORE u s s", 1}, {"SDIFFSTORE u s s", 0},
    };
    (void)unused;
    CHECK_ALL(all);
}

static void each_field_of_a_hash_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"HSET h a 1 b 2 c 3", 3}, {"HSET h a 1 d 2", 2},  {"HMSET h a 1 d 2", 2}, {"HSETNX h a 1", 0},
        {"HINCRBY h n 1", 1},      {"HDEL h a b none", 2}, {"HDEL h none", 0},     {"HDEL h c d n", 3},
    };
    (void)unused;
    CHECK_ALL(all);
}

static void each_member_of_a_sorted_set_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"ZADD z 1 a 2 b 3 c", 3},
        {"ZADD z 1 a 2 b 3 c", 0},
        {"ZADD z 2 a 2 b 3 c 4 d", 2},
        {"ZADD z XX CH 5 a 7 none", 1},
        {"ZINCRBY z 1 a", 1},
        {"ZREM z a none b", 2},
        {"ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h", 6},
        {"ZREMRANGEBYSCORE z 1 2", 2},
        {"ZREMRANGEBYRANK z 0 1", 2},
        {"ZREMRANGEBYLEX z [a [f", 2},
        {"ZPOPMIN z 2", 2},
        {"ZADD z 1 a 2 b 3 c 4 d", 4},
        {"ZPOPMAX z 2", 2},
        {"ZMPOP 1 z MIN COUNT 2", 2},
        {"ZADD z 1 a 2 b", 2},
        {"ZUNIONSTORE x 1 z", 1},
        {"ZRANGESTORE x z 0 -1", 1},
        {"GEOADD g 1 1 a 2 2 b", 2},
        {"GEOSEARCHSTORE near g FROMLONLAT 1 1 BYRADIUS 1000 km", 2},
        {"GEORADIUS g 80 80 1 m STORE near", 1},
    };
    (void)unused;
    CHECK_ALL(all);
}

static void each_part_of_a_string_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"MSET a 1 b 2 d 3", 3},
        {"DEL a b none", 2},
        {"BITFIELD bits SET u8 0 255 SET u8 8 3 INCRBY u8 0 1", 3},
        {"BITFIELD bits SET u8 0 0", 0},
        {"BITFIELD bits SET u8 0 9 SET u8 0 9 SET u8 0 8", 2},
        {"PFADD p a b c", 4},
        {"PFADD p a b c", 0},
        {"PFDEBUG TODENSE p", 1},
        {"PFADD p a d e", 2},
    };
    (void)unused;
    CHECK_ALL(all);
}

static void each_entry_of_a_stream_and_each_delivery_is_a_change(void **unused) {
    static const struct counted all[] = {
        {"XADD st 1-1 a 1", 1},
        {"XADD st 2-1 a 1", 1},
        {"XADD st 3-1 a 1", 1},
        {"XADD st MAXLEN 2 4-1 a 1", 1},
        {"XADD st 5-1 a 1", 1},
        {"XADD st 6-1 a 1", 1},
        {"XTRIM st MAXLEN 2", 2},
        {"XDEL st 5-1 6-1 1-1", 2},
        {"XADD st 7-1 a 1", 1},
        {"XADD st 8-1 a 1", 1},
        {"XADD st 9-1 a 1", 1},
        {"XGROUP CREATE st g 0", 1},
        {"XREADGROUP GROUP g alice COUNT 2 STREAMS st >", 2},
        {"XREADGROUP GROUP g alice STREAMS st >", 1},
        {"XREADGROUP GROUP g alice STREAMS st >", 0},
        {"XREADGROUP GROUP g alice STREAMS st 0", 1},
        {"XREADGROUP GROUP g bob STREAMS st 0", 2},
        {"XREADGROUP GROUP g bob STREAMS st 0", 1},
        {"XCLAIM st g carl 0 7-1 8-1 1-1", 3},
        {"XDEL st 9-1", 1},
        {"XAUTOCLAIM st g dave 0 0", 4},
        {"XACK st g 7-1 8-1 9-1", 2},
    };
    (void)unused;
    CHECK_ALL(all);
}

/* Nobody has asked for it. */
static void what_is_let_go_to_make_room_is_no_change(void **unused) {
    enum { KEYS = 3000 };
    static char value[1001]; /* ends with a zero byte */
    (void)unused;
    memset(value, 'x', sizeof value - 1);
    expect(client, "OK", "CONFIG SET maxmemory-policy allkeys-lru");
    int64_t memory = info_number(client, "used_memory");
    expect(client, "OK", "CONFIG SET maxmemory %lld", (long long)memory + 1000000);
    int64_t before = changes();
    for (int i = 0; i < KEYS; i++) expect(client, "OK", "SET key%d %s", i, value);
    assert_true(info_number(client, "evicted_keys") > 0);
    assert_int_equal(changes() - before, KEYS);
    expect(client, "OK", "CONFIG SET maxmemory 0");
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_element_of_a_list_is_a_change),
        cmocka_unit_test(each_member_of_a_set_is_a_change),
        cmocka_unit_test(each_field_of_a_hash_is_a_change),
        cmocka_unit_test(each_member_of_a_sorted_set_is_a_change),
        cmocka_unit_test(each_part_of_a_string_is_a_change),
        cmocka_unit_test(each_entry_of_a_stream_and_each_delivery_is_a_change),
        cmocka_unit_test(what_is_let_go_to_make_room_is_no_change),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
