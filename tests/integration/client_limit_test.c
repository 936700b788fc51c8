/* maxmemory-clients: who is closed when clients use too much, over several workers, and who isn't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define MIB (1024LL * 1024)
#define SECONDS 20

static struct server *server;
static redisContext *admin;

static void start(const char *const *options) {
    server = server_start(options);
    admin = server_connect(server);
    redisReply *reply = redisCommand(admin, "CLIENT NO-EVICT ON");
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
}

static void stop(void) {
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void expect_ok(const char *command) {
    redisReply *reply = redisCommand(admin, command);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STATUS) fail_msg("%s: %s", command, reply->str);
    freeReplyObject(reply);
}

static void set_large(const char *key, long long bytes) {
    char *value = calloc(1, (size_t)bytes);
    redisReply *reply = redisCommand(admin, "SET %s %b", key, value, (size_t)bytes);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    free(value);
}

static void await_at_least(const char *field, int64_t least) {
    await_info_between(admin, field, least, INT64_MAX);
}

static void await_at_most(const char *field, int64_t most) {
    await_info_between(admin, field, 0, most);
}

struct client {
    redisContext *context;
    long long id;
};

static void send_now(redisContext *context) {
    int is_done = 0;
    while (!is_done) assert_int_equal(redisBufferWrite(context, &is_done), REDIS_OK);
}

static struct client client_open(bool is_spared) {
    struct client client = {server_connect(server), 0};
    redisReply *reply = redisCommand(client.context, is_spared ? "CLIENT NO-EVICT ON" : "PING");
    freeReplyObject(reply);
    reply = redisCommand(client.context, "CLIENT ID");
    client.id = reply->integer;
    freeReplyObject(reply);
    return client;
}

/* One that asks for a value and never reads it. */
static struct client reader_open(const char *key, bool is_spared) {
    struct client client = client_open(is_spared);
    assert_int_equal(redisAppendCommand(client.context, "GET %s", key), REDIS_OK);
    send_now(client.context);
    return client;
}

static bool is_connected(struct client client) {
    redisReply *reply = redisCommand(admin, "CLIENT LIST ID %lld", client.id);
    assert_non_null(reply);
    bool is_there = reply->len > 0;
    freeReplyObject(reply);
    return is_there;
}

static void the_largest_clients_are_closed_first_and_only_as_many_as_it_takes(void **unused) {
    (void)unused;
    start((const char *const[]){"--threads", "4", NULL});
    set_large("large", 48 * MIB);
    set_large("smaller", 16 * MIB);
    struct client largest = reader_open("large", false), smaller = reader_open("smaller", false),
                  small = client_open(false);
    await_at_least("client_output_bytes", 34 * MIB);
    assert_int_equal(info_number(admin, "evicted_clients"), 0);
    expect_ok("CONFIG SET maxmemory-clients 24mb");
    await_at_least("evicted_clients", 1);
    assert_false(is_connected(largest));
    assert_true(is_connected(smaller));
    assert_true(is_connected(small));
    await_info_between(admin, "mem_clients_normal", 1, 24 * MIB);
    await_info_between(admin, "client_recent_max_output_buffer", 24 * MIB, 48 * MIB);
    assert_int_equal(info_number(admin, "evicted_clients"), 1);
    redisFree(largest.context);
    redisFree(smaller.context);
    redisFree(small.context);
    stop();
}

static void who_asked_for_it_is_spared(void **unused) {
    (void)unused;
    start((const char *const[]){"--threads", "2", NULL});
    set_large("large", 40 * MIB);
    set_large("smaller", 20 * MIB);
    struct client spared = reader_open("large", true), other = reader_open("smaller", false);
    await_at_least("client_output_bytes", 30 * MIB);
    expect_ok("CONFIG SET maxmemory-clients 8mb");
    await_at_least("evicted_clients", 1);
    assert_false(is_connected(other));
    assert_true(is_connected(spared));
    /* It stays too much, and nobody is to go: that costs nothing. */
    expect_rest(admin);
    assert_int_equal(info_number(admin, "evicted_clients"), 1);
    redisFree(spared.context);
    redisFree(other.context);
    stop();
}

static void an_unfinished_request_counts_too(void **unused) {
    (void)unused;
    start((const char *const[]){"--threads", "2", "--maxmemory-clients", "8mb", NULL});
    struct client client = client_open(false);
    static const char beginning[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\nvvvv";
    assert_int_equal(redisAppendFormattedCommand(client.context, beginning, sizeof beginning - 1), REDIS_OK);
    char *value = calloc(1, 9 * MIB);
    assert_int_equal(redisAppendFormattedCommand(client.context, value, 9 * MIB), REDIS_OK);
    for (int is_done = 0; !is_done && redisBufferWrite(client.context, &is_done) == REDIS_OK;) continue;
    free(value);
    await_at_least("evicted_clients", 1);
    assert_false(is_connected(client));
    redisFree(client.context);
    stop();
}

static void large_arguments_count_until_their_request_has_run(void **unused) {
    (void)unused;
    start((const char *const[]){"--threads", "2", NULL});
    struct client client = client_open(false);
    long long before = info_number(admin, "client_input_bytes");
    const size_t length = 3 * MIB;
    char *value = calloc(1, length);
    char *request;
    long long bytes = redisFormatCommand(&request, "MSET one %b two %b three %b", value, length, value,
                                         length, value, length);
    /* All but the end of the third value. */
    assert_int_equal(redisAppendFormattedCommand(client.context, request, (size_t)bytes - 10), REDIS_OK);
    send_now(client.context);
    await_at_least("client_input_bytes", 9 * MIB);
    await_info_between(admin, "client_recent_max_input_buffer", 9 * MIB, 12 * MIB);
    assert_int_equal(redisAppendFormattedCommand(client.context, request + bytes - 10, 10), REDIS_OK);
    redisReply *reply;
    assert_int_equal(redisGetReply(client.context, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    await_at_most("client_input_bytes", before + MIB);
    redisFreeCommand(request);
    free(value);
    redisFree(client.context);
    stop();
}

static void a_share_of_maxmemory_holds_for_many_slow_readers(void **unused) {
    (void)unused;
    start(
        (const char *const[]){"--threads", "4", "--maxmemory", "400mb", "--maxmemory-clients", "10%", NULL});
    redisReply *reply = redisCommand(admin, "CONFIG GET maxmemory-clients");
    assert_string_equal(reply->element[1]->str, "10%");
    freeReplyObject(reply);
    set_large("value", 24 * MIB);
    struct client readers[12];
    expect_ok("CONFIG SET maxmemory-clients 0");
    for (int i = 0; i < 12; i++) readers[i] = reader_open("value", false);
    await_at_least("client_output_bytes", 12 * 12 * MIB);
    expect_ok("CONFIG SET maxmemory-clients 10%%");
    /* At least 12 MiB of each value fit into no socket, so that three of the readers are too many. */
    await_at_least("evicted_clients", 8);
    await_at_most("mem_clients_normal", 40 * MIB);
    int left = 0;
    for (int i = 0; i < 12; i++) left += is_connected(readers[i]);
    assert_in_range(left, 1, 3);
    assert_int_equal(info_number(admin, "evicted_clients"), 12 - left);
    for (int i = 0; i < 12; i++) redisFree(readers[i].context);
    stop();
}

static redisReply *name(redisContext *context, const char *command, size_t length) {
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'n', length);
    text[length] = '\0';
    redisReply *reply = redisCommand(context, command, text);
    assert_non_null(reply);
    free(text);
    return reply;
}

/* They were nobody's memory, of any length. */
static void what_clients_call_themselves_counts_and_is_bounded(void **unused) {
    enum { LENGTH = 100000 };
    static const char *const commands[] = {"CLIENT SETNAME %s", "CLIENT SETINFO LIB-NAME %s",
                                           "CLIENT SETINFO LIB-VER %s"};
    (void)unused;
    start((const char *const[]){"--threads", "2", NULL});
    struct client named = client_open(false), other = client_open(false);
    int64_t before = info_number(admin, "mem_clients_normal");
    for (int i = 0; i < 3; i++) {
        redisReply *reply = name(named.context, commands[i], 200000);
        assert_int_equal(reply->type, REDIS_REPLY_ERROR);
        assert_non_null(strstr(reply->str, "cannot be longer than 131072 bytes."));
        freeReplyObject(reply);
        assert_int_equal(info_number(admin, "client_name_bytes"), i * (LENGTH + 1));
        for (int again = 0; again < 2; again++) freeReplyObject(name(named.context, commands[i], LENGTH));
        assert_int_equal(info_number(admin, "client_name_bytes"), (i + 1) * (LENGTH + 1));
    }
    assert_in_range(info_number(admin, "mem_clients_normal") - before, 3 * LENGTH, 4 * LENGTH);
    redisReply *list = redisCommand(admin, "CLIENT LIST ID %lld", named.id);
    assert_in_range(atoll(strstr(list->str, " tot-mem=") + strlen(" tot-mem=")), 3 * LENGTH, 4 * LENGTH);
    freeReplyObject(list);
    freeReplyObject(redisCommand(named.context, "RESET"));
    assert_int_equal(info_number(admin, "client_name_bytes"), 2 * (LENGTH + 1));
    expect_ok("CONFIG SET maxmemory-clients 150kb");
    await_at_least("evicted_clients", 1);
    assert_false(is_connected(named));
    assert_true(is_connected(other));
    await_info(admin, "client_name_bytes", 0);
    redisFree(named.context);
    redisFree(other.context);
    stop();
}

/* What they waited for is forgotten key by key, after they have gone: meanwhile nobody else is closed for
 * it. */
static void who_waits_for_very_many_keys_takes_no_others_along(void **unused) {
    (void)unused;
    enum { KEYS = 20000, GREEDY = 12, OTHERS = 8 };
    static const char *arguments[KEYS + 2];
    static char names[KEYS][8];
    struct client greedy[GREEDY], others[OTHERS];
    start((const char *const[]){"--threads", "2", "--maxmemory-clients", "10mb", NULL});
    for (int i = 0; i < OTHERS; i++) others[i] = client_open(false);
    arguments[0] = "BLPOP";
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        arguments[i + 1] = names[i];
    }
    arguments[KEYS + 1] = "0";
    for (int i = 0; i < GREEDY; i++) {
        greedy[i] = client_open(false);
        redisAppendCommandArgv(greedy[i].context, KEYS + 2, arguments, NULL);
        send_now(greedy[i].context);
    }
    await_at_least("evicted_clients", GREEDY - 6);
    await_at_most("client_wait_bytes", 10 * MIB);
    for (int i = 0; i < OTHERS; i++) assert_true(is_connected(others[i]));
    assert_in_range(info_number(admin, "evicted_clients"), GREEDY - 6, GREEDY);
    for (int i = 0; i < OTHERS; i++) redisFree(others[i].context);
    for (int i = 0; i < GREEDY; i++) redisFree(greedy[i].context);
    stop();
}

static void a_limit_that_is_none_is_refused(void **unused) {
    (void)unused;
    start((const char *const[]){"--threads", "1", NULL});
    redisReply *reply = redisCommand(admin, "CONFIG SET maxmemory-clients 101%%");
    assert_non_null(strstr(reply->str, "percentage argument must be less or equal to 100"));
    freeReplyObject(reply);
    reply = redisCommand(admin, "CONFIG SET maxmemory-clients some");
    assert_non_null(strstr(reply->str, "argument must be a memory or percent value"));
    freeReplyObject(reply);
    expect_ok("CONFIG SET maxmemory-clients 0%%");
    reply = redisCommand(admin, "CONFIG GET maxmemory-clients");
    assert_string_equal(reply->element[1]->str, "0");
    freeReplyObject(reply);
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_clients_are_closed_first_and_only_as_many_as_it_takes),
        cmocka_unit_test(who_asked_for_it_is_spared),
        cmocka_unit_test(an_unfinished_request_counts_too),
        cmocka_unit_test(large_arguments_count_until_their_request_has_run),
        cmocka_unit_test(a_share_of_maxmemory_holds_for_many_slow_readers),
        cmocka_unit_test(what_clients_call_themselves_counts_and_is_bounded),
        cmocka_unit_test(who_waits_for_very_many_keys_takes_no_others_along),
        cmocka_unit_test(a_limit_that_is_none_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
