/* Commands that take long leave their worker: its other clients go on, and their own client notices
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "tests/support.h"

/* Elements of one value: two of them are enough for another thread. */
#define MANY 40000
#define AT_ONCE 1000

static struct server *server;
static redisContext *client, *other;

static int start_with(const char *long_threads) {
    server = server_start((const char *const[]){"--threads", "1", "--long-threads", long_threads,
                                                "--enable-debug-command", "yes", NULL});
    client = server_connect(server);
    other = server_connect(server);
    return 0;
}

static int start(void **state) {
    (void)state;
    return start_with("1");
}

static int start_as_it_comes(void **state) {
    (void)state;
    return start_with("0");
}

static int stop(void **state) {
    (void)state;
    redisFree(client);
    redisFree(other);
    return server_stop(server);
}

/* A command and `count` numbers behind it, each with a prefix, sent and not waited for. */
static void send_many(redisContext *connection, const char *command, const char *key, const char *prefix,
                      int first, int count) {
    int fixed = key == NULL ? 1 : 2;
    const char **arguments = malloc((size_t)(count + fixed) * sizeof *arguments);
    char(*texts)[24] = malloc((size_t)count * sizeof *texts);
    assert_non_null(arguments);
    assert_non_null(texts);
    arguments[0] = command;
    if (key != NULL) arguments[1] = key;
    for (int i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%d", prefix, first + i);
        arguments[fixed + i] = texts[i];
    }
    assert_int_equal(redisAppendCommandArgv(connection, count + fixed, arguments, NULL), REDIS_OK);
    free(texts);
    free(arguments);
}

static void send_now(redisContext *connection) {
    for (int is_done = 0; !is_done;) assert_int_equal(redisBufferWrite(connection, &is_done), REDIS_OK);
}

static redisReply *next(redisContext *connection) {
    void *reply = NULL;
    assert_int_equal(redisGetReply(connection, &reply), REDIS_OK);
    return reply;
}

static void fill_set(const char *key, int first, int count) {
    for (int i = 0; i < count; i += AT_ONCE) {
        send_many(client, "SADD", key, "", first + i, AT_ONCE);
        freeReplyObject(next(client));
    }
}

static void fill_list(const char *key, int count) {
    for (int i = 0; i < count; i += AT_ONCE) {
        send_many(client, "RPUSH", key, "", i, AT_ONCE);
        freeReplyObject(next(client));
    }
}

static bool has_answer(const redisContext *connection) {
    struct pollfd watched = {.fd = connection->fd, .events = POLLIN};
    return poll(&watched, 1, 0) > 0;
}

static int64_t sent_away(void) {
    return info_number(other, "long_commands_processed");
}

/* ------------------------------------------------------------------ who goes on */

static void other_clients_of_the_same_worker_are_answered_during_a_long_command(void **state) {
    (void)state;
    fill_set("a", 0, 3 * MANY);
    fill_set("b", MANY, 3 * MANY);
    int64_t before = sent_away();
    int answered = 0;
    redisAppendCommand(client, "SUNIONSTORE k a b");
    send_now(client);
    while (!has_answer(client)) {
        expect(other, "PONG", "PING");
        answered++;
    }
    expect_next(client, "160000");
    assert_true(answered > 2); /* one might have come before it */
    assert_int_equal(sent_away() - before, 1);
    expect(other, "160000", "SCARD k");
}

/* Whether they have keys or not, and though each of them is done at once. */
static void a_transaction_of_many_commands_leaves(void **state) {
    static const char *const all[] = {"PING", "GET nokey"}, *const answers[] = {"PONG", "(nil)"};
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        int64_t before = sent_away();
        expect(client, "OK", "MULTI");
        for (int i = 0; i < MANY; i++) redisAppendCommand(client, all[kind]);
        for (int i = 0; i < MANY; i++) expect_next(client, "QUEUED");
        redisReply *reply = redisCommand(client, "EXEC");
        assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
        assert_int_equal(reply->elements, MANY);
        char *last = reply_text(reply->element[MANY - 1]);
        assert_string_equal(last, answers[kind]);
        free(last);
        freeReplyObject(reply);
        assert_int_equal(sent_away() - before, 1);
    }
}

static void what_is_small_stays(void **state) {
    (void)state;
    fill_set("a", 0, AT_ONCE);
    fill_set("b", 0, AT_ONCE);
    int64_t before = sent_away();
    expect(client, "1000", "SUNIONSTORE k a b");
    expect(client, "3", "DBSIZE");
    assert_int_equal(sent_away() - before, 0);
}

static void a_few_elements_of_a_large_value_are_no_long_work(void **state) {
    (void)state;
    fill_list("l", MANY);
    fill_set("s", 0, MANY);
    expect(client, "0", "SETBIT bits 80000000 1");
    int64_t before = sent_away();
    expect(client, "[1, 2]", "LRANGE l 1 2");
    expect(client, "[39999]", "LRANGE l -1 -1");
    expect(client, "OK", "LTRIM l 0 -2");
    expect(client, "39999", "LLEN l");
    freeReplyObject(redisCommand(client, "SRANDMEMBER s 3"));
    expect(client, "1", "SETBIT bits 80000000 0");
    expect(client, "10000002", "APPEND bits x");
    expect(client, "10000002", "SETRANGE bits 9000000 xyz");
    expect(client, "[0]", "BITFIELD bits SET u8 70000000 7");
    expect(client, "1", "LINDEX l 1");
    expect(client, "OK", "LSET l 20000 x");
    expect(client, "39998", "LMOVE l l RIGHT LEFT");
    assert_int_equal(sent_away() - before, 0);
    freeReplyObject(redisCommand(client, "LRANGE l 0 -1"));
    freeReplyObject(redisCommand(client, "SRANDMEMBER s -40000"));
    assert_int_equal(sent_away() - before, 2);
}

static void what_goes_over_much_of_a_large_value_leaves(void **state) {
    (void)state;
    fill_list("l", MANY);
    fill_set("s", 0, MANY);
    expect(client, "OK", "CONFIG SET hll-sparse-max-bytes 0");
    for (int i = 0; i < 100; i++) freeReplyObject(redisCommand(client, "PFADD h%d x", i));
    int64_t before = sent_away();
    freeReplyObject(redisCommand(client, "SSCAN s 0 COUNT 1000"));
    freeReplyObject(redisCommand(client, "LMPOP 1 l LEFT COUNT 10"));
    assert_int_equal(sent_away() - before, 0);
    freeReplyObject(redisCommand(client, "SSCAN s 0 COUNT 1000000"));
    assert_int_equal(sent_away() - before, 1);
    freeReplyObject(redisCommand(client, "LMPOP 1 l LEFT COUNT 1000000"));
    assert_int_equal(sent_away() - before, 2);
    send_many(client, "PFCOUNT", NULL, "h", 0, 100);
    expect_next(client, "1");
    assert_int_equal(sent_away() - before, 3);
    freeReplyObject(redisCommand(client, "SPOP s"));
    freeReplyObject(redisCommand(client, "SPOP s 10"));
    assert_int_equal(sent_away() - before, 3);
    freeReplyObject(redisCommand(client, "SPOP s 1000000"));
    assert_int_equal(sent_away() - before, 4);
    expect(client, "0", "EXISTS s l");
}

/* What is between its end and the place where it is written to is zeroed. */
static void a_string_that_is_made_much_longer_leaves(void **state) {
    (void)state;
    int64_t before = sent_away();
    expect(client, "2000001", "SETRANGE a 2000000 x");
    assert_int_equal(sent_away() - before, 1);
    expect(client, "0", "SETBIT b 16000000 1");
    assert_int_equal(sent_away() - before, 2);
    expect(client, "[0]", "BITFIELD c SET u8 16000000 7");
    assert_int_equal(sent_away() - before, 3);
    expect(client, "4000001", "SETRANGE a 4000000 x");
    assert_int_equal(sent_away() - before, 4);
    expect(client, "4000001", "SETRANGE a 3000000 x");
    expect(client, "0", "SETBIT a 32000000 0");
    expect(client, "0", "SETRANGE none 400000000 %s", "");
    assert_int_equal(sent_away() - before, 4);
}

static void a_search_leaves_if_many_places_are_in_its_area(void **state) {
    enum { EACH = 500 };
    (void)state;
    for (int i = 0; i < MANY; i += EACH) {
        char text[EACH * 40] = "GEOADD g";
        size_t length = strlen(text);
        for (int k = i; k < i + EACH; k++)
            length += (size_t)snprintf(text + length, sizeof text - length, " %.3f %.3f p%d",
                                       (k % 200) * 0.01, (k / 200) * 0.01, k);
        freeReplyObject(redisCommand(client, text));
    }
    expect(client, "40000", "ZCARD g");
    int64_t before = sent_away();
    expect(client, "[p0]", "GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 500 m");
    expect(client, "[p0]", "GEORADIUSBYMEMBER g p0 500 m");
    expect(client, "1", "GEOSEARCHSTORE few g FROMMEMBER p0 BYBOX 1 1 km");
    freeReplyObject(redisCommand(client, "GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 1000 km COUNT 3 ANY"));
    assert_int_equal(sent_away() - before, 0);
    expect(client, "40000", "GEORADIUS g 1 1 1000 km STORE all");
    assert_int_equal(sent_away() - before, 1);
    freeReplyObject(redisCommand(client, "GEOSEARCH g FROMMEMBER p0 BYRADIUS 1000 km COUNT 3"));
    assert_int_equal(sent_away() - before, 2);
}

/* LCS goes over ten billion cells, of which it takes 64 at a time; the others are done in a small
 * part of that. */
static void a_long_command_does_not_wait_for_one_that_takes_longer(void **state) {
    (void)state;
    static char text[100001];
    memset(text, 'x', sizeof text - 1);
    fill_list("l", MANY);
    expect(client, "OK", "CONFIG SET proto-max-bulk-len 200gb");
    freeReplyObject(redisCommand(client, "MSET a %s b %s", text, text));
    redisContext *longer = server_connect(server);
    int64_t before = sent_away();
    redisAppendCommand(longer, "LCS a b LEN");
    send_now(longer);
    while (sent_away() == before) continue;
    for (int i = 0; i < 2; i++) {
        redisReply *reply = redisCommand(client, "LRANGE l 0 -1");
        assert_int_equal(reply->elements, MANY);
        freeReplyObject(reply);
    }
    assert_int_equal(sent_away() - before, 3);
    assert_false(has_answer(longer));
    expect_next(longer, "100000");
    redisFree(longer);
}

/* ------------------------------------------------------------------ what its client sees */

static void a_pipeline_keeps_its_order_around_a_long_command(void **state) {
    (void)state;
    fill_list("l", MANY);
    int64_t before = sent_away();
    redisAppendCommand(client, "ECHO first");
    redisAppendCommand(client, "LRANGE l 0 -1");
    redisAppendCommand(client, "RPUSH l last");
    redisAppendCommand(client, "LRANGE l 0 -1");
    redisAppendCommand(client, "ECHO second");
    expect_next(client, "first");
    for (int i = 0; i < 2; i++) {
        redisReply *reply = next(client);
        assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
        assert_int_equal(reply->elements, MANY + i);
        assert_string_equal(reply->element[MANY - 1]->str, "39999");
        freeReplyObject(reply);
        if (i == 0) expect_next(client, "40001");
    }
    expect_next(client, "second");
    assert_int_equal(sent_away() - before, 2);
}

static void what_follows_a_request_of_many_arguments_is_run_after_it(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        expect(client, "OK", "SET key7 a");
        redisAppendCommand(client, "ECHO first");
        send_many(client, "DEL", NULL, "key", 0, MANY);
        redisAppendCommand(client, "SET key7 b");
        send_many(client, "MSET", "key7", "c", 0, MANY - 1);
        redisAppendCommand(client, "GET key7");
        redisAppendCommand(client, "ECHO last");
        expect_next(client, "first");
        expect_next(client, round == 0 ? "1" : "2");
        expect_next(client, "OK");
        expect_next(client, "OK");
        expect_next(client, "c0");
        expect_next(client, "last");
        expect(client, "c2", "GET c1");
        expect(client, "OK", "SET key8 a");
    }
}

static void errors_and_reply_modes_are_the_same_as_elsewhere(void **state) {
    (void)state;
    fill_list("l", MANY);
    fill_set("s", 0, MANY);
    expect(client, "WRONGTYPE Operation against a key holding the wrong kind of value", "SUNIONSTORE k s l");
    redisAppendCommand(client, "CLIENT REPLY SKIP");
    redisAppendCommand(client, "SUNIONSTORE k s s");
    redisAppendCommand(client, "SCARD k");
    expect_next(client, "40000");
    expect(client, "OK", "SELECT 1");
    expect(client, "0", "SUNIONSTORE k s s");
}

static void a_long_command_is_counted_and_shown_once(void **state) {
    (void)state;
    fill_set("a", 0, MANY);
    redisContext *monitor = server_connect(server);
    expect(client, "OK", "CLIENT SETNAME me");
    expect(client, "OK", "CONFIG SET slowlog-log-slower-than 0");
    expect(client, "OK", "SLOWLOG RESET");
    expect(monitor, "OK", "MONITOR");
    expect(client, "40000", "SUNIONSTORE k a");
    redisReply *line = next(monitor);
    assert_non_null(strstr(line->str, "\"SUNIONSTORE\" \"k\" \"a\""));
    freeReplyObject(line);
    expect(client, "PONG", "PING");
    line = next(monitor);
    assert_null(strstr(line->str, "SUNIONSTORE"));
    freeReplyObject(line);
    redisFree(monitor);
    redisReply *log = redisCommand(client, "SLOWLOG GET 10");
    int found = 0;
    for (size_t i = 0; i < log->elements; i++) {
        const redisReply *entry = log->element[i];
        if (strcmp(entry->element[3]->element[0]->str, "SUNIONSTORE") != 0) continue;
        assert_string_equal(entry->element[5]->str, "me");
        found++;
    }
    assert_int_equal(found, 1);
    freeReplyObject(log);
    redisReply *info = redisCommand(client, "INFO commandstats");
    assert_non_null(strstr(info->str, "cmdstat_sunionstore:calls=1,"));
    freeReplyObject(info);
}

/* ------------------------------------------------------------------ with others */

static void clients_that_wait_are_served_by_a_long_command(void **state) {
    (void)state;
    redisContext *waiting = connect_and_wait(server, other, "BLPOP l 0");
    send_many(client, "RPUSH", "l", "", 0, MANY);
    send_now(client);
    expect_answer(waiting, "[l, 0]");
    expect_next(client, "40000");
    expect(other, "39999", "LLEN l");
}

static void a_long_command_waits_for_a_shard_that_is_held(void **state) {
    (void)state;
    fill_set("a", 0, MANY);
    expect(other, "OK", "DEBUG HOLD key7 1");
    send_many(client, "DEL", NULL, "key", 0, MANY);
    send_now(client);
    expect(other, "PONG", "PING");
    expect_next(client, "0");
}

static void a_client_may_go_while_its_long_command_runs(void **state) {
    (void)state;
    fill_set("a", 0, MANY);
    for (int i = 0; i < 5; i++) {
        redisContext *leaving = server_connect(server);
        redisAppendCommand(leaving, "SUNIONSTORE k a");
        redisAppendCommand(leaving, "SUNIONSTORE k a");
        send_now(leaving);
        redisFree(leaving);
    }
    redisContext *killed = server_connect(server);
    int64_t id = ask_integer(killed, "CLIENT ID");
    send_many(killed, "DEL", NULL, "key", 0, MANY);
    send_now(killed);
    redisReply *reply = redisCommand(other, "CLIENT KILL ID %lld", (long long)id);
    freeReplyObject(reply);
    await_info(other, "connected_clients", 2);
    redisFree(killed);
}

/* The name of a list for the thread of long work to go over, of another shard than key7. */
static char apart[2];

static void find_what_is_apart(void) {
    expect(other, "OK", "DEBUG HOLD key7 1000");
    bool is_found = false;
    for (char name = 'a'; !is_found && name <= 'z'; name++) {
        apart[0] = name;
        redisReply *reply = redisCommand(other, "DEBUG HOLD %s 1000", apart);
        is_found = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
    }
    assert_true(is_found);
    expect(other, "OK", "DEBUG RELEASE");
    fill_list(apart, MANY);
}

/* There is one such thread: it has tried all that it was sent before. */
static void pass_through_the_thread(void) {
    redisReply *reply = redisCommand(client, "LRANGE %s 0 -1", apart);
    assert_int_equal(reply->elements, MANY);
    freeReplyObject(reply);
}

/* DEL of many keys of which key7 is held: it has left its worker, and waits for that. */
static void delete_many_with_one_held(redisContext *deleting) {
    find_what_is_apart();
    expect(client, "OK", "SET key7 a");
    expect(client, "OK", "SET key8 b");
    int64_t before = sent_away();
    expect(other, "OK", "DEBUG HOLD key7 1000");
    send_many(deleting, "DEL", NULL, "key", 0, MANY);
    send_now(deleting);
    while (sent_away() == before) continue;
    pass_through_the_thread();
}

static void let_the_held_one_go(void) {
    expect(other, "OK", "DEBUG RELEASE");
    expect(other, "a", "GET key7");
    for (int i = 0; i < 2; i++) pass_through_the_thread();
}

static void what_nobody_waits_for_any_more_is_not_begun(void **state) {
    (void)state;
    redisContext *killed = server_connect(server);
    int64_t id = ask_integer(killed, "CLIENT ID");
    delete_many_with_one_held(killed);
    assert_true(info_number(other, "client_wait_bytes") > MANY * 8);
    freeReplyObject(redisCommand(other, "CLIENT KILL ID %lld", (long long)id));
    assert_true(info_number(other, "client_wait_bytes") > MANY * 8);
    expect(other, "OK", "DEBUG RELEASE");
    await_info(other, "client_wait_bytes", 0);
    expect(other, "b", "GET key8");
    redisFree(killed);
}

/* Its arguments and their bytes, and that it is parked: they have gone with it. */
static void a_request_of_many_arguments_leaves_with_its_memory(void **state) {
    (void)state;
    redisContext *deleting = server_connect(server);
    int64_t id = ask_integer(deleting, "CLIENT ID");
    delete_many_with_one_held(deleting);
    redisReply *line = redisCommand(other, "CLIENT LIST ID %lld", (long long)id);
    assert_non_null(strstr(line->str, " qbuf=0 qbuf-free=0 argv-mem=0 "));
    assert_non_null(strstr(line->str, " cmd=del "));
    const char *total = strstr(line->str, " tot-mem=");
    assert_non_null(total);
    assert_true(strtoll(total + 9, NULL, 10) > MANY * 40);
    freeReplyObject(line);
    expect(other, "OK", "DEBUG RELEASE");
    expect_next(deleting, "2");
    line = redisCommand(other, "CLIENT LIST ID %lld", (long long)id);
    total = strstr(line->str, " tot-mem=");
    assert_non_null(total);
    assert_true(strtoll(total + 9, NULL, 10) < MANY);
    freeReplyObject(line);
    expect(deleting, "PONG", "PING");
    redisFree(deleting);
}

static void a_pause_holds_for_what_had_left_before(void **state) {
    (void)state;
    redisContext *deleting = server_connect(server);
    delete_many_with_one_held(deleting);
    expect(other, "OK", "CLIENT PAUSE 1000000 WRITE");
    let_the_held_one_go();
    assert_false(has_answer(deleting));
    expect(other, "b", "GET key8");
    expect(other, "OK", "CLIENT UNPAUSE");
    expect_next(deleting, "2");
    redisFree(deleting);
}

/* Each of its parts is a write of its own, and no longer than a connection's share of a turn. */
static void a_reply_of_many_megabytes_is_sent_in_shares_however_fast_its_client_reads(void **state) {
    (void)state;
    const int megabytes = 64;
    expect(client, "67108864", "SETRANGE large %d x", megabytes * 1024 * 1024 - 1);
    int64_t before = info_number(other, "total_writes_processed");
    redisReply *reply = redisCommand(client, "GET large");
    assert_non_null(reply);
    assert_int_equal(reply->len, megabytes * 1024 * 1024);
    freeReplyObject(reply);
    assert_true(info_number(other, "total_writes_processed") - before >= megabytes);
}

static void what_was_not_done_by_the_end_is_not_answered(void **state) {
    redisContext *deleting = server_connect(server);
    delete_many_with_one_held(deleting);
    expect(other, "OK", "CLIENT PAUSE 1000000 WRITE");
    expect(other, "OK", "CONFIG SET shutdown-timeout 1");
    assert_int_equal(stop(state), 0);
    void *reply;
    assert_int_not_equal(redisGetReply(deleting, &reply), REDIS_OK);
    redisFree(deleting);
    start(state);
}

static void a_request_that_waits_is_admitted_once(void **state) {
    (void)state;
    expect(other, "OK", "CONFIG SET requirepass secret");
    redisContext *waiting = server_connect(server); /* unknown, but when nobody need be known */
    freeReplyObject(redisCommand(other, "CONFIG SET requirepass %s", ""));
    delete_many_with_one_held(waiting);
    expect(other, "OK", "CONFIG SET requirepass secret");
    expect(other, "OK", "DEBUG RELEASE");
    expect_next(waiting, "2");
    expect(waiting, "OK", "AUTH secret");
    redisFree(waiting);
}

static void the_server_ends_while_long_commands_are_under_way(void **state) {
    (void)state;
    fill_set("a", 0, MANY);
    for (int i = 0; i < 20; i++) redisAppendCommand(client, "SUNIONSTORE k a");
    send_now(client);
    expect(other, "PONG", "PING");
}

static void without_memory_a_long_write_is_refused_as_a_short_one_is(void **state) {
    (void)state;
    expect(client, "OK", "CONFIG SET maxmemory 1mb maxmemory-policy noeviction");
    send_many(client, "SADD", "s", "member", 0, MANY);
    expect_next(client, "OOM command not allowed when used memory > 'maxmemory'.");
    expect(client, "0", "EXISTS s");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_clients_of_the_same_worker_are_answered_during_a_long_command,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_long_command_does_not_wait_for_one_that_takes_longer,
                                        start_as_it_comes, stop),
        cmocka_unit_test_setup_teardown(a_transaction_of_many_commands_leaves, start, stop),
        cmocka_unit_test_setup_teardown(what_is_small_stays, start, stop),
        cmocka_unit_test_setup_teardown(a_few_elements_of_a_large_value_are_no_long_work, start, stop),
        cmocka_unit_test_setup_teardown(a_string_that_is_made_much_longer_leaves, start, stop),
        cmocka_unit_test_setup_teardown(a_search_leaves_if_many_places_are_in_its_area, start, stop),
        cmocka_unit_test_setup_teardown(what_goes_over_much_of_a_large_value_leaves, start, stop),
        cmocka_unit_test_setup_teardown(a_pipeline_keeps_its_order_around_a_long_command, start, stop),
        cmocka_unit_test_setup_teardown(what_follows_a_request_of_many_arguments_is_run_after_it, start,
                                        stop),
        cmocka_unit_test_setup_teardown(errors_and_reply_modes_are_the_same_as_elsewhere, start, stop),
        cmocka_unit_test_setup_teardown(a_long_command_is_counted_and_shown_once, start, stop),
        cmocka_unit_test_setup_teardown(clients_that_wait_are_served_by_a_long_command, start, stop),
        cmocka_unit_test_setup_teardown(a_long_command_waits_for_a_shard_that_is_held, start, stop),
        cmocka_unit_test_setup_teardown(a_client_may_go_while_its_long_command_runs, start, stop),
        cmocka_unit_test_setup_teardown(what_nobody_waits_for_any_more_is_not_begun, start, stop),
        cmocka_unit_test_setup_teardown(a_request_of_many_arguments_leaves_with_its_memory, start, stop),
        cmocka_unit_test_setup_teardown(a_pause_holds_for_what_had_left_before, start, stop),
        cmocka_unit_test_setup_teardown(
            a_reply_of_many_megabytes_is_sent_in_shares_however_fast_its_client_reads, start, stop),
        cmocka_unit_test_setup_teardown(what_was_not_done_by_the_end_is_not_answered, start, stop),
        cmocka_unit_test_setup_teardown(a_request_that_waits_is_admitted_once, start, stop),
        cmocka_unit_test_setup_teardown(the_server_ends_while_long_commands_are_under_way, start, stop),
        cmocka_unit_test_setup_teardown(without_memory_a_long_write_is_refused_as_a_short_one_is, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
