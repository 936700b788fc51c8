/* maxmemory over the wire: what is refused, what is let go, and what INFO, OBJECT and CONFIG say of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

static struct server *server;
static redisContext *client;

static void start_with(const char *policy, const char *limit) {
    server = server_start(
        (const char *const[]){"--threads", "2", "--maxmemory-policy", policy, "--maxmemory", limit, NULL});
    client = server_connect(server);
}

static void stop(void) {
    redisFree(client);
    assert_int_equal(server_stop(server), 0);
}

/* Returns whether it was taken. */
static bool set(int number, size_t length, const char *option) {
    char *value = calloc(1, length + 1);
    memset(value, 'v', length);
    redisReply *reply = redisCommand(client, option == NULL ? "SET key:%d %b" : "SET key:%d %b EX %s", number,
                                     value, length, option);
    assert_non_null(reply);
    bool is_taken = reply->type == REDIS_REPLY_STATUS;
    if (!is_taken) assert_string_equal(reply->str, "OOM command not allowed when used memory > 'maxmemory'.");
    freeReplyObject(reply);
    free(value);
    return is_taken;
}

/* So many of 1,000 bytes each, in pipelines: nothing is refused. */
static void fill(int count) {
    static char value[1000];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < count; i += 1000) {
        for (int k = 0; k < 1000; k++)
            redisAppendCommand(client, "SET key:%d %b", i + k, value, sizeof value);
        for (int k = 0; k < 1000; k++) {
            redisReply *reply;
            assert_int_equal(redisGetReply(client, (void **)&reply), REDIS_OK);
            assert_int_equal(reply->type, REDIS_REPLY_STATUS);
            freeReplyObject(reply);
        }
    }
}

static bool is_there(int number) {
    redisReply *reply = redisCommand(client, "EXISTS key:%d", number);
    bool is_present = reply->integer == 1;
    freeReplyObject(reply);
    return is_present;
}

static void without_a_policy_writes_are_refused_and_reads_are_not(void **unused) {
    (void)unused;
    start_with("noeviction", "6mb");
    int count = 0;
    while (count < 100000 && set(count, 1000, NULL)) count++;
    assert_in_range(count, 1000, 7000);
    static char value[200000]; /* more than may come free meanwhile, because the process itself needs less */
    memset(value, 'v', sizeof value - 1);
    expect(client, "OOM command not allowed when used memory > 'maxmemory'.", "LPUSH l %s", value);
    expect(client, "OOM command not allowed when used memory > 'maxmemory'.", "APPEND key:1 %s", value);
    expect(client, "1", "EXISTS key:1");
    expect(client, "1000", "STRLEN key:1");
    assert_int_equal(info_number(client, "evicted_keys"), 0);
    for (int i = 0; i < 300; i++) expect(client, "1", "DEL key:%d", i);
    assert_true(set(1, 1000, NULL));
    expect(client, "OK", "CONFIG SET maxmemory 0");
    assert_true(set(100000, 1000000, NULL));
    stop();
}

static void every_policy_makes_room(void **unused) {
    (void)unused;
    static const char *const policies[] = {"allkeys-lru",     "allkeys-lfu",  "allkeys-random",
                                           "allkeys-s3fifo",  "volatile-lru", "volatile-lfu",
                                           "volatile-random", "volatile-ttl"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        start_with(policies[i], "12mb");
        bool is_volatile = policies[i][0] == 'v';
        if (is_volatile) assert_true(set(-1, 1000, NULL));
        for (int k = 0; k < 3000; k++) assert_true(set(k, 8000, is_volatile ? "10000" : NULL));
        assert_true(info_number(client, "evicted_keys") > 1000);
        assert_int_equal(info_number(client, "expired_keys"), 0);
        assert_true(info_number(client, "used_memory") <= 12 * 1024 * 1024);
        assert_true(info_number(client, "allocator_allocated") <= 12 * 1024 * 1024 / 100 * 101);
        if (is_volatile) assert_true(is_there(-1));
        stop();
    }
}

static void one_large_value_takes_the_place_of_many(void **unused) {
    (void)unused;
    start_with("allkeys-s3fifo", "16mb");
    fill(10000);
    for (int i = 0; i < 30; i++) assert_true(set(20000 + i, 1000000, NULL));
    assert_true(is_there(20029));
    assert_false(set(1, 40000000, NULL)); /* more than there can be */
    assert_true(set(1, 10, NULL));
    stop();
}

static void a_lower_limit_is_kept_without_a_write(void **unused) {
    (void)unused;
    start_with("allkeys-lru", "0");
    for (int i = 0; i < 20000; i++) assert_true(set(i, 500, NULL));
    expect(client, "OK", "CONFIG SET maxmemory 8mb");
    await_info_between(client, "used_memory", 0, 8 * 1024 * 1024);
    await_info_between(client, "evicted_keys", 1001, 20000);
    stop();
}

static void a_percentage_is_of_what_there_is(void **unused) {
    (void)unused;
    start_with("allkeys-s3fifo", "50%");
    long long limit = info_number(client, "maxmemory"), system = info_number(client, "total_system_memory");
    assert_true(limit > 0 && limit <= system / 2 + 100);
    expect(client, "OK", "CONFIG SET maxmemory 25%%");
    long long half = info_number(client, "maxmemory");
    assert_in_range(half, limit / 2 - 100, limit / 2 + 100);
    expect(
        client,
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value",
        "CONFIG SET maxmemory 0%%");
    stop();
}

static void object_tells_what_the_policy_keeps(void **unused) {
    (void)unused;
    start_with("allkeys-lfu", "0");
    expect(client, "OK", "CONFIG SET lfu-decay-time 0"); /* a minute may begin at any time */
    assert_true(set(1, 10, NULL));
    expect(client, "5", "OBJECT FREQ key:1");
    for (int i = 0; i < 200; i++) is_there(1);
    expect(client, "5", "OBJECT FREQ key:1"); /* EXISTS leaves no trace */
    for (int i = 0; i < 300; i++) {
        redisReply *reply = redisCommand(client, "GET key:1");
        freeReplyObject(reply);
    }
    redisReply *frequency = redisCommand(client, "OBJECT FREQ key:1");
    assert_in_range(frequency->integer, 6, 60);
    freeReplyObject(frequency);
    expect(client, "OK", "CONFIG SET maxmemory-policy allkeys-s3fifo");
    redisReply *idle = redisCommand(client, "OBJECT IDLETIME key:1");
    assert_non_null(strstr(idle->str, "idle time not tracked"));
    freeReplyObject(idle);
    expect(client, "OK", "CONFIG SET maxmemory-policy noeviction");
    assert_true(set(2, 10, NULL));
    assert_in_range(ask_integer(client, "OBJECT IDLETIME key:2"), 0, 60);
    stop();
}

static void what_is_used_is_what_the_allocator_says(void **unused) {
    (void)unused;
    start_with("noeviction", "0");
    fill(70000);
    long long used = info_number(client, "used_memory"),
              allocated = info_number(client, "allocator_allocated");
    assert_true(allocated > 64 << 20);
    assert_true(used >= allocated * 97 / 100 && used <= allocated * 103 / 100);
    stop();
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_writes_are_refused_and_reads_are_not),
        cmocka_unit_test(every_policy_makes_room),
        cmocka_unit_test(one_large_value_takes_the_place_of_many),
        cmocka_unit_test(a_lower_limit_is_kept_without_a_write),
        cmocka_unit_test(a_percentage_is_of_what_there_is),
        cmocka_unit_test(object_tells_what_the_policy_keeps),
        cmocka_unit_test(what_is_used_is_what_the_allocator_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
