/* Commands that wait for a key: who is served, in which order, and what ends a wait. Two workers at least, so
 * that most of it crosses threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/one_client.h"

static void what_is_there_is_taken_at_once(void **unused) {
    (void)unused;
    expect(client, "3", "RPUSH l a b c");
    expect(client, "[l, a]", "BLPOP none l 0");
    expect(client, "[l, c]", "BRPOP l 0.1");
    expect(client, "b", "BLMOVE l m LEFT RIGHT 0");
    expect(client, "b", "BRPOPLPUSH m m 1");
    expect(client, "[m, [b]]", "BLMPOP 0 2 l m LEFT COUNT 5");
    expect(client, "2", "ZADD z 1 one 2 two");
    expect(client, "[z, one, 1]", "BZPOPMIN none z 0");
    expect(client, "[z, [[two, 2]]]", "BZMPOP 0 1 z MAX");
    expect(client, "0", "EXISTS l m z");
}

static void time_runs_out(void **unused) {
    (void)unused;
    int64_t began = now_us();
    expect(client, "(nil)", "BLPOP none 0.05");
    assert_in_range(now_us() - began, 50000, 60000000);
    expect(client, "(nil)", "BLMOVE none other LEFT LEFT 0.001");
    expect(client, "(nil)", "BZMPOP 0.001 1 none MIN");
    expect(client, "PONG", "PING");
}

static void wrong_arguments_do_not_wait(void **unused) {
    (void)unused;
    expect(client, "ERR timeout is negative", "BLPOP l -1");
    expect(client, "ERR timeout is not a float or out of range", "BLPOP l abc");
    expect(client, "ERR timeout is out of range", "BLPOP l 1e18");
    expect(client, "ERR syntax error", "BLMOVE a b UP LEFT 0");
    expect(client, "ERR numkeys should be greater than 0", "BLMPOP 0 0 l LEFT");
    expect(client, "OK", "SET s x");
    expect(client, "WRONGTYPE Operation against a key holding the wrong kind of value", "BLPOP s 0");
    expect(client, "1", "DEL s");
}

static void the_first_to_come_is_the_first_to_be_served(void **unused) {
    (void)unused;
    redisContext *first = connect_and_wait(server, client, "BLPOP l 0");
    redisContext *second = connect_and_wait(server, client, "BRPOP l 0");
    redisContext *third = connect_and_wait(server, client, "BLPOP l 0");
    expect(client, "2", "RPUSH l 1 2");
    expect_answer(first, "[l, 1]");
    expect_answer(second, "[l, 2]");
    expect(client, "0", "EXISTS l");
    expect(client, "2", "RPUSH l 3 4");
    expect_answer(third, "[l, 3]");
    expect(client, "[4]", "LRANGE l 0 -1");
    expect(client, "1", "DEL l");
}

static void who_waits_gets_it_before_the_next_request_of_a_pipeline(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "BLPOP l 0");
    redisAppendCommand(client, "RPUSH l 1");
    redisAppendCommand(client, "LPOP l");
    redisReply *pushed, *popped;
    assert_int_equal(redisGetReply(client, (void **)&pushed), REDIS_OK);
    assert_int_equal(redisGetReply(client, (void **)&popped), REDIS_OK);
    assert_int_equal(pushed->integer, 1);
    assert_int_equal(popped->type, REDIS_REPLY_NIL);
    freeReplyObject(pushed);
    freeReplyObject(popped);
    expect_answer(waiting, "[l, 1]");
}

static void moves_go_from_waiter_to_waiter(void **unused) {
    (void)unused;
    redisContext *first = connect_and_wait(server, client, "BLMOVE a b LEFT RIGHT 0");
    redisContext *second = connect_and_wait(server, client, "BRPOPLPUSH b c 0");
    redisContext *third = connect_and_wait(server, client, "BLPOP c 0");
    expect(client, "1", "LPUSH a x");
    expect_answer(first, "x");
    expect_answer(second, "x");
    expect_answer(third, "[c, x]");
    expect(client, "0", "EXISTS a b c");
}

static void a_move_to_a_key_of_another_type_is_an_error_for_who_waited(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "BLMOVE a b LEFT RIGHT 0");
    expect(client, "OK", "SET b text");
    expect(client, "1", "LPUSH a x");
    expect_answer(waiting, "WRONGTYPE Operation against a key holding the wrong kind of value");
    expect(client, "[x]", "LRANGE a 0 -1");
    expect(client, "2", "DEL a b");
}

static void a_value_of_another_type_is_not_what_was_waited_for(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "BZPOPMAX k 0");
    expect(client, "OK", "SET k text");
    expect(client, "1", "DEL k");
    expect(client, "1", "RPUSH k x");
    expect(client, "1", "DEL k");
    expect(client, "2", "ZADD k 1 a 2 b");
    expect_answer(waiting, "[k, b, 2]");
    expect(client, "1", "DEL k");
}

static void however_a_key_is_filled_its_waiters_are_served(void **unused) {
    (void)unused;
    redisContext *waiting = connect_and_wait(server, client, "BLPOP k 0");
    expect(client, "1", "RPUSH other renamed");
    expect(client, "OK", "RENAME other k");
    expect_answer(waiting, "[k, renamed]");
    waiting = connect_and_wait(server, client, "BLPOP k 0");
    expect(client, "1", "RPUSH other copied");
    expect(client, "1", "COPY other k");
    expect_answer(waiting, "[k, copied]");
    expect(client, "1", "DEL other");
    waiting = connect_and_wait(server, client, "BLPOP k 0");
    expect(client, "OK", "SELECT 1");
    expect(client, "1", "RPUSH k moved");
    expect(client, "1", "MOVE k 0");
    expect_answer(waiting, "[k, moved]");
    expect(client, "OK", "SELECT 0");
    waiting = connect_and_wait(server, client, "BLPOP k 0");
    expect(client, "OK", "SELECT 1");
    expect(client, "1", "RPUSH k swapped");
    expect(client, "OK", "SWAPDB 0 1");
    expect_answer(waiting, "[k, swapped]");
    expect(client, "OK", "SELECT 0");
    waiting = connect_and_wait(server, client, "BLPOP j k 0");
    expect(client, "1", "RPUSH other x");
    expect(client, "x", "LMOVE other k LEFT LEFT");
    expect_answer(waiting, "[k, x]");
    expect(client, "0", "DBSIZE");
}

static void unblock_ends_a_wait(void **unused) {
    (void)unused;
    redisContext *waiting = server_connect(server);
    redisReply *id = redisCommand(waiting, "CLIENT ID");
    for (int i = 0; i < 2; i++) {
        redisAppendCommand(waiting, "BLPOP k 0");
        int done = 0;
        while (!done) redisBufferWrite(waiting, &done);
        redisReply *ended;
        do {
            ended = redisCommand(client, i == 0 ? "CLIENT UNBLOCK %lld" : "CLIENT UNBLOCK %lld ERROR",
                                 id->integer);
            assert_int_equal(ended->type, REDIS_REPLY_INTEGER);
            done = ended->integer == 1;
            freeReplyObject(ended);
        } while (!done);
        assert_int_equal(redisGetReply(waiting, (void **)&ended), REDIS_OK);
        if (i == 0)
            assert_int_equal(ended->type, REDIS_REPLY_NIL);
        else
            assert_string_equal(ended->str, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        freeReplyObject(ended);
    }
    expect(waiting, "PONG", "PING");
    redisReply *nobody = redisCommand(client, "CLIENT UNBLOCK %lld", id->integer);
    assert_int_equal(nobody->integer, 0);
    freeReplyObject(nobody);
    freeReplyObject(id);
    redisFree(waiting);
}

static void await_blocked(int count) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "blocked_clients:%d\r", count);
    for (bool is_there = false; !is_there;) {
        redisReply *info = redisCommand(client, "INFO clients");
        is_there = strstr(info->str, wanted) != NULL;
        freeReplyObject(info);
    }
}

static void who_is_gone_gets_nothing(void **unused) {
    (void)unused;
    redisContext *gone = connect_and_wait(server, client, "BLPOP k 0");
    redisContext *stays = connect_and_wait(server, client, "BLPOP k 0");
    await_blocked(2);
    redisFree(gone);
    await_blocked(1);
    expect(client, "1", "RPUSH k x");
    expect_answer(stays, "[k, x]");
    await_blocked(0);
    expect(client, "0", "EXISTS k");
}

/* Waiters that have been served, or have given up, leave nothing behind in the lists of their other keys. */
static void many_waits_leave_nothing_behind(void **unused) {
    (void)unused;
    redisContext *waiting = server_connect(server);
    for (int i = 0; i < 2000; i++) {
        redisAppendCommand(waiting, "BLPOP never k 0");
        redisAppendCommand(waiting, "BLPOP never 0.0001");
        int done = 0;
        while (!done) redisBufferWrite(waiting, &done);
        redisReply *pushed = redisCommand(client, "RPUSH k %d", i), *reply;
        freeReplyObject(pushed);
        assert_int_equal(redisGetReply(waiting, (void **)&reply), REDIS_OK);
        assert_int_equal(strtol(reply->element[1]->str, NULL, 10), i);
        freeReplyObject(reply);
        assert_int_equal(redisGetReply(waiting, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_NIL);
        freeReplyObject(reply);
    }
    redisFree(waiting);
    await_blocked(0);
}

static void the_server_ends_while_clients_wait(void **unused) {
    (void)unused;
    struct server *other = server;
    server = server_start((const char *const[]){"--threads", "2", NULL});
    redisContext *before = client;
    client = server_connect(server);
    redisContext *waiting = connect_and_wait(server, client, "BLPOP k 0");
    redisFree(client);
    assert_int_equal(server_stop(server), 0);
    redisFree(waiting);
    client = before;
    server = other;
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    /* A server each: one that fails leaves waiters behind, and they go with theirs. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_there_is_taken_at_once, start, stop),
        cmocka_unit_test_setup_teardown(time_runs_out, start, stop),
        cmocka_unit_test_setup_teardown(wrong_arguments_do_not_wait, start, stop),
        cmocka_unit_test_setup_teardown(the_first_to_come_is_the_first_to_be_served, start, stop),
        cmocka_unit_test_setup_teardown(who_waits_gets_it_before_the_next_request_of_a_pipeline, start, stop),
        cmocka_unit_test_setup_teardown(moves_go_from_waiter_to_waiter, start, stop),
        cmocka_unit_test_setup_teardown(a_move_to_a_key_of_another_type_is_an_error_for_who_waited, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_value_of_another_type_is_not_what_was_waited_for, start, stop),
        cmocka_unit_test_setup_teardown(however_a_key_is_filled_its_waiters_are_served, start, stop),
        cmocka_unit_test_setup_teardown(unblock_ends_a_wait, start, stop),
        cmocka_unit_test_setup_teardown(who_is_gone_gets_nothing, start, stop),
        cmocka_unit_test_setup_teardown(many_waits_leave_nothing_behind, start, stop),
        cmocka_unit_test_setup_teardown(the_server_ends_while_clients_wait, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
