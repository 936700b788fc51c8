/* What waiters cost others, and what serving them may touch. Work is counted (INFO's waiter_looks), not
 * timed: what is linear in a request does four times as much for four times the keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/one_client.h"

static void send_only(redisContext *connection) {
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

/* word, then prefix0 .. prefix<count-1>, each followed by `value` if that isn't NULL, then last if that
 * isn't. To be sent. */
static void append_many(redisContext *connection, const char *word, const char *prefix, int count,
                        const char *value, const char *last) {
    size_t most = 2 * (size_t)count + 2;
    const char **arguments = malloc(most * sizeof *arguments);
    char *names = malloc((size_t)count * 24);
    assert_true(arguments != NULL && names != NULL);
    int used = 0;
    arguments[used++] = word;
    for (int i = 0; i < count; i++) {
        snprintf(names + (size_t)i * 24, 24, "%s%d", prefix, i);
        arguments[used++] = names + (size_t)i * 24;
        if (value != NULL) arguments[used++] = value;
    }
    if (last != NULL) arguments[used++] = last;
    redisAppendCommandArgv(connection, used, arguments, NULL);
    free(arguments);
    free(names);
}

/* ------------------------------------------------------------------ what is held */

static void a_move_behind_many_others_is_served_with_its_shard_held(void **unused) {
    (void)unused;
    redisContext *waiting[63];
    for (int i = 0; i < 63; i++) waiting[i] = connect_and_wait(server, client, "BLMOVE a b LEFT RIGHT 0");
    redisContext *second = connect_and_wait(server, client, "BLMOVE b c LEFT RIGHT 0");
    redisContext *third = connect_and_wait(server, client, "BLMOVE c d LEFT RIGHT 0");
    expect(client, "1", "LPUSH a x");
    expect_answer(waiting[0], "x");
    expect_answer(second, "x");
    expect_answer(third, "x");
    expect(client, "[x]", "LRANGE d 0 -1");
    expect(client, "0", "EXISTS a b c");
    for (int i = 1; i < 63; i++) redisFree(waiting[i]);
    await_info(client, "total_blocking_keys", 0);
    expect(client, "1", "DEL d");
}

/* More elements come than the command's arguments tell, so that not all that is needed is taken before. */
static void a_list_that_fills_a_key_at_once_serves_moves_to_many_keys(void **unused) {
    (void)unused;
    redisContext *waiting[100];
    for (int i = 0; i < 100; i++) {
        char command[64], element[16];
        snprintf(command, sizeof command, "BLMOVE a to:%d LEFT RIGHT 0", i);
        snprintf(element, sizeof element, "%d", i);
        waiting[i] = connect_and_wait(server, client, command);
        redisReply *pushed = redisCommand(client, "RPUSH source %s", element);
        freeReplyObject(pushed);
    }
    expect(client, "OK", "RENAME source a");
    for (int i = 0; i < 100; i++) {
        char element[16], list[16];
        snprintf(element, sizeof element, "%d", i);
        snprintf(list, sizeof list, "[%d]", i);
        expect_answer(waiting[i], element);
        expect(client, list, "LRANGE to:%d 0 -1", i);
    }
    expect(client, "OK", "FLUSHALL");
}

/* While the last one's destination is held by another, it isn't served by who fills the key, but served it
 * is. */
static void a_move_whose_destination_is_busy_looks_again_for_itself(void **unused) {
    (void)unused;
    redisContext *waiting[6], *holder = server_connect(server);
    for (int i = 0; i < 6; i++) {
        char command[64];
        snprintf(command, sizeof command, "BLMOVE a to:%d LEFT RIGHT %d", i, i % 2 * 1000);
        waiting[i] = connect_and_wait(server, client, command);
    }
    expect(client, "6", "RPUSH source 0 1 2 3 4 5");
    expect(holder, "OK", "DEBUG HOLD to:5 600");
    expect(client, "OK", "RENAME source a");
    for (int i = 0; i < 6; i++) {
        if (i == 5) expect(holder, "OK", "DEBUG RELEASE");
        char element[16];
        snprintf(element, sizeof element, "%d", i);
        expect_answer(waiting[i], element);
    }
    redisFree(holder);
    expect(client, "[5]", "LRANGE to:5 0 -1");
    expect(client, "0", "EXISTS a");
    await_info(client, "blocked_clients", 0);
    expect(client, "OK", "FLUSHALL");
}

static void a_key_named_twice_is_waited_for_once(void **unused) {
    (void)unused;
    redisContext *first = connect_and_wait(server, client, "BLPOP k k other k 0");
    redisContext *second = connect_and_wait(server, client, "BRPOP k k 0");
    assert_int_equal(info_number(client, "total_blocking_keys"), 2);
    expect(client, "3", "RPUSH k 1 2 3");
    expect_answer(first, "[k, 1]");
    expect_answer(second, "[k, 3]");
    expect(client, "[2]", "LRANGE k 0 -1");
    expect(client, "1", "DEL k");
    await_info(client, "total_blocking_keys", 0);
}

static void what_is_served_counts_as_a_change_of_its_own(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "BLPOP a 0");
    int64_t before = info_number(client, "rdb_changes_since_last_save");
    expect(client, "1", "LPUSH a x");
    expect_answer(waiting, "[a, x]");
    assert_int_equal(info_number(client, "rdb_changes_since_last_save") - before, 2);
    waiting = connect_and_wait(server, client, "BLMOVE a b LEFT LEFT 0");
    before = info_number(client, "rdb_changes_since_last_save");
    expect(client, "1", "LPUSH a x");
    expect_answer(waiting, "x");
    assert_int_equal(info_number(client, "rdb_changes_since_last_save") - before, 2);
    before = info_number(client, "rdb_changes_since_last_save");
    expect(client, "OK", "RENAME b c");
    expect(client, "1", "MOVE c 1");
    assert_int_equal(info_number(client, "rdb_changes_since_last_save") - before, 2);
    expect(client, "OK", "FLUSHALL");
}

/* ------------------------------------------------------------------ how much is looked at */

#define MANY 2000

/* Looks that one more wait for, and one write to, each of so many keys take. */
static int64_t looks_of_waits(int count) {
    redisContext *waiting = server_connect(server);
    int64_t before = info_number(client, "waiter_looks");
    append_many(waiting, "BLPOP", "wide:", count, NULL, "0");
    send_only(waiting);
    await_info(client, "total_blocking_keys", count);
    append_many(client, "MSET", "wide:", count, "x", NULL);
    expect_next(client, "OK");
    int64_t looks = info_number(client, "waiter_looks") - before;
    redisFree(waiting);
    await_info(client, "total_blocking_keys", 0);
    expect(client, "OK", "FLUSHALL");
    return looks;
}

static void looks_are_linear_in_the_keys_that_one_waits_for(void **unused) {
    (void)unused;
    int64_t few = looks_of_waits(MANY), many = looks_of_waits(4 * MANY);
    assert_in_range(many, 4 * MANY, few * 6);
    assert_in_range(many, 4 * MANY, 4 * MANY * 24);
}

static void a_key_named_many_times_costs_a_look_each(void **unused) {
    (void)unused;
    redisContext *waiting = server_connect(server);
    const char *arguments[MANY + 2] = {"BLPOP"};
    for (int i = 1; i <= MANY; i++) arguments[i] = "same";
    arguments[MANY + 1] = "0";
    int64_t before = info_number(client, "waiter_looks");
    redisAppendCommandArgv(waiting, MANY + 2, arguments, NULL);
    send_only(waiting);
    await_info(client, "blocked_clients", 1);
    assert_in_range(info_number(client, "waiter_looks") - before, MANY, 4 * MANY);
    expect(client, "1", "RPUSH same x");
    expect_answer(waiting, "[same, x]");
}

static void who_fills_a_list_looks_at_those_whom_it_serves(void **unused) {
    (void)unused;
    redisContext *waiting[200];
    for (int i = 0; i < 200; i++) {
        waiting[i] = server_connect(server);
        redisAppendCommand(waiting[i], "BLPOP k 0");
        send_only(waiting[i]);
    }
    await_info(client, "blocked_clients", 200);
    int64_t before = info_number(client, "waiter_looks");
    for (int i = 0; i < 50; i++) expect(client, "1", "RPUSH k x");
    expect(client, "OK", "SET k text");
    expect(client, "1", "DEL k");
    expect(client, "1", "ZADD k 1 one");
    expect(client, "1", "DEL k");
    assert_in_range(info_number(client, "waiter_looks") - before, 50, 54 * 12);
    await_info(client, "blocked_clients", 150);
    for (int i = 0; i < 200; i++) redisFree(waiting[i]);
    await_info(client, "total_blocking_keys", 0);
}

static void news_for_one_consumer_of_a_group_is_not_shown_to_all(void **unused) {
    (void)unused;
    redisContext *waiting[200];
    expect(client, "OK", "XGROUP CREATE s g $ MKSTREAM");
    for (int i = 0; i < 200; i++) {
        waiting[i] = server_connect(server);
        redisAppendCommand(waiting[i], "XREADGROUP GROUP g %d BLOCK 0 STREAMS s >", i);
        send_only(waiting[i]);
    }
    await_info(client, "blocked_clients", 200);
    await_info(client, "total_blocking_keys_on_nokey", 1);
    int64_t before = info_number(client, "waiter_looks");
    for (int i = 1; i <= 20; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d-0", i);
        expect(client, id, "XADD s %d-0 f v", i);
    }
    assert_in_range(info_number(client, "waiter_looks") - before, 20, 20 * 12);
    await_info(client, "blocked_clients", 180);
    expect(client, "1", "DEL s");
    await_info(client, "blocked_clients", 0);
    for (int i = 0; i < 200; i++) redisFree(waiting[i]);
    await_info(client, "total_blocking_keys_on_nokey", 0);
}

static void databases_change_beside_waiters_in_linear_work(void **unused) {
    (void)unused;
    redisContext *waiting = server_connect(server);
    append_many(waiting, "BLPOP", "wide:", MANY, NULL, "0");
    send_only(waiting);
    await_info(client, "total_blocking_keys", MANY);
    expect(client, "OK", "SELECT 1");
    append_many(client, "MSET", "wide:", MANY, "x", NULL);
    expect_next(client, "OK");
    int64_t before = info_number(client, "waiter_looks");
    expect(client, "OK", "SWAPDB 0 1");
    assert_in_range(info_number(client, "waiter_looks") - before, MANY, 4 * MANY);
    before = info_number(client, "waiter_looks");
    expect(client, "OK", "FLUSHALL");
    assert_int_equal(info_number(client, "waiter_looks") - before, 0); /* nobody cares */
    expect(client, "1", "RPUSH wide:7 x");
    expect(client, "OK", "SWAPDB 0 1");
    expect_answer(waiting, "[wide:7, x]");
    expect(client, "OK", "SELECT 0");
    await_info(client, "total_blocking_keys", 0);
    expect(client, "0", "DBSIZE");
}

/* ------------------------------------------------------------------ what they hold */

static char *long_name(void) {
    char *name = malloc(200001);
    assert_non_null(name);
    memset(name, 'n', 200000);
    name[200000] = '\0';
    return name;
}

static void ended_waits_give_back_what_they_held(void **unused) {
    (void)unused;
    char *name = long_name();
    redisContext *waiting = server_connect(server);
    for (int i = 0; i < 150; i++) {
        redisReply *reply = redisCommand(waiting, "BLPOP %s %s%d 0.001", name, name, i);
        assert_int_equal(reply->type, REDIS_REPLY_NIL);
        freeReplyObject(reply);
    }
    await_info_between(client, "client_wait_bytes", 0, 4 * 400000);
    redisFree(waiting);
    await_info(client, "client_wait_bytes", 0);
    free(name);
}

static void a_wait_is_counted_to_its_client(void **unused) {
    (void)unused;
    char *name = long_name(), *command;
    command = malloc(200100);
    assert_non_null(command);
    snprintf(command, 200100, "BLPOP %s 0", name);
    redisContext *waiting = connect_and_wait(server, client, command);
    assert_in_range(info_number(client, "client_wait_bytes"), 200000, 210000);
    redisReply *list = redisCommand(client, "CLIENT LIST");
    const char *line = strstr(list->str, " flags=b");
    assert_non_null(line);
    assert_in_range(strtol(strstr(line, "tot-mem=") + strlen("tot-mem="), NULL, 10), 400000,
                    900000); /* the request, and its copy */
    freeReplyObject(list);
    expect(client, "1", "RPUSH %s x", name);
    redisFree(waiting);
    await_info(client, "client_wait_bytes", 0);
    expect(client, "OK", "FLUSHALL");
    free(name);
    free(command);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    /* A server each: one that fails leaves waiters behind, and they go with theirs. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_move_behind_many_others_is_served_with_its_shard_held, start, stop),
        cmocka_unit_test_setup_teardown(a_list_that_fills_a_key_at_once_serves_moves_to_many_keys, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_move_whose_destination_is_busy_looks_again_for_itself, start, stop),
        cmocka_unit_test_setup_teardown(a_key_named_twice_is_waited_for_once, start, stop),
        cmocka_unit_test_setup_teardown(what_is_served_counts_as_a_change_of_its_own, start, stop),
        cmocka_unit_test_setup_teardown(looks_are_linear_in_the_keys_that_one_waits_for, start, stop),
        cmocka_unit_test_setup_teardown(a_key_named_many_times_costs_a_look_each, start, stop),
        cmocka_unit_test_setup_teardown(who_fills_a_list_looks_at_those_whom_it_serves, start, stop),
        cmocka_unit_test_setup_teardown(news_for_one_consumer_of_a_group_is_not_shown_to_all, start, stop),
        cmocka_unit_test_setup_teardown(databases_change_beside_waiters_in_linear_work, start, stop),
        cmocka_unit_test_setup_teardown(ended_waits_give_back_what_they_held, start, stop),
        cmocka_unit_test_setup_teardown(a_wait_is_counted_to_its_client, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
