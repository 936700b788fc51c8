/* MULTI, EXEC, DISCARD, WATCH, UNWATCH: what clients are answered, and what others see of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"
#include "tests/scripts.h"

#define WORKERS "3"

static struct server *server;
static redisContext *one, *other;

static void open_all(void) {
    server = server_start((const char *const[]){"--threads", WORKERS, "--enable-debug-command", "yes", NULL});
    one = server_connect_to(server, 0);
    other = server_connect_to(server, 1);
}

static void close_all(void) {
    await_info(one, "client_name_bytes", 0);
    redisFree(one);
    redisFree(other);
    assert_int_equal(server_stop(server), 0);
}

/* Commands of one connection, each with its answer. */
struct line {
    const char *command, *answer;
};
static void talk(redisContext *connection, const struct line *lines) {
    for (; lines->command != NULL; lines++) {
        redisReply *reply = redisCommand(connection, lines->command);
        assert_non_null(reply);
        char *text = reply_text(reply);
        if (strcmp(text, lines->answer) != 0)
            fail_msg("%s: %s instead of %s", lines->command, text, lines->answer);
        free(text);
        freeReplyObject(reply);
    }
}
#define TALK(connection, ...) talk(connection, (const struct line[]){__VA_ARGS__, {NULL, NULL}})

static void answers_are_redis_s(void **state) {
    (void)state;
    open_all();
    TALK(one, {"EXEC", "ERR EXEC without MULTI"}, {"DISCARD", "ERR DISCARD without MULTI"}, {"MULTI", "OK"},
         {"MULTI", "ERR MULTI calls can not be nested"}, {"EXEC", "[]"}, {"UNWATCH", "OK"});
    TALK(one, {"MULTI", "OK"}, {"SET a x", "QUEUED"}, {"INCR a", "QUEUED"}, {"GET a", "QUEUED"},
         {"EXEC", "[OK, ERR value is not an integer or out of range, x]"}, {"GET a", "x"});
    TALK(one, {"MULTI", "OK"}, {"SET a y", "QUEUED"},
         {"NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: "},
         {"EXEC", "EXECABORT Transaction discarded because of previous errors."}, {"GET a", "x"});
    TALK(one, {"MULTI", "OK"}, {"GET", "ERR wrong number of arguments for 'get' command"},
         {"EXEC", "EXECABORT Transaction discarded because of previous errors."});
    TALK(one, {"MULTI", "OK"}, {"WATCH a", "ERR WATCH inside MULTI is not allowed"}, {"PING", "QUEUED"},
         {"EXEC", "[PONG]"});
    TALK(one, {"MULTI", "OK"}, {"SHUTDOWN NOSAVE", "ERR Command not allowed inside a transaction"},
         {"EXEC", "EXECABORT Transaction discarded because of previous errors."});
    TALK(one, {"MULTI", "OK"},
         {"EXEC now",
          "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"},
         {"EXEC", "ERR EXEC without MULTI"});
    TALK(one, {"MULTI", "OK"}, {"SET a z", "QUEUED"}, {"DISCARD", "OK"}, {"GET a", "x"}, {"MULTI", "OK"},
         {"SET a z", "QUEUED"}, {"RESET", "RESET"}, {"GET a", "x"}, {"EXEC", "ERR EXEC without MULTI"});
    TALK(one, {"MULTI", "OK"}, {"BLPOP l 0", "QUEUED"}, {"BLMOVE l m LEFT LEFT 0", "QUEUED"},
         {"XREAD BLOCK 0 STREAMS s $", "QUEUED"}, {"MONITOR", "QUEUED"},
         {"EXEC", "[(nil), (nil), (nil), ERR MONITOR isn't allowed for DENY BLOCKING client]"});
    TALK(one, {"MULTI", "OK"}, {"SELECT 3", "QUEUED"}, {"SET b 1", "QUEUED"}, {"GET a", "QUEUED"},
         {"EXEC", "[OK, OK, (nil)]"}, {"GET b", "1"}, {"SELECT 0", "OK"}, {"GET b", "(nil)"});
    close_all();
}

static void what_is_watched_and_changes_ends_a_transaction(void **state) {
    static const struct {
        const char *before, *meanwhile;
        bool is_touched;
    } all[] = {
        {"SET k 1", "SET k 2", true},
        {"SET k 1", "GET k", false},
        {"SET k 1", "SET other 2", false},
        {"SET k 1", "DEL k", true},
        {"DEL k", "DEL k", false},
        {"DEL k", "SET k 1", true},
        {"SET k 1", "EXPIRE k 100", true},
        {"RPUSH k 1", "LPOP k", true},
        {"SET k 1", "FLUSHALL", true},
        {"SET k 1", "FLUSHDB", true},
        {"FLUSHALL", "FLUSHALL", false},
        {"FLUSHALL", "FLUSHDB", false},
        {"SET k 1", "SWAPDB 0 1", true},
        {"FLUSHALL", "SWAPDB 0 2", false},
        {"SET k 1", "SWAPDB 2 3", false},
        {"SET k 1", "RENAME k j", true},
        {"SET k 1", "DEBUG DIGEST", false},
        {"SET k 1", "SETBIT k 7 1", false},
        {"SET k 1", "SETBIT k 7 0", true},
        {"XADD k 1 a b", "XGROUP CREATE k g 0", false},
        {"XADD k 1 a b", "XADD k * a b", true},
        {"DEL k", "XGROUP CREATE k g 0 MKSTREAM", true},
        {"SET k 1", "BITFIELD k SET u8 0 49", false},
        {"SADD k a", "SADD k a", false},
        {"SET k 1 PX 1", "DEBUG SLEEP 0.01", true},
    };
    (void)state;
    open_all();
    expect(one, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        expect(one, "OK", "FLUSHALL");
        freeReplyObject(redisCommand(one, all[i].before));
        expect(one, "OK", "WATCH k");
        freeReplyObject(redisCommand(other, all[i].meanwhile));
        TALK(one, {"MULTI", "OK"}, {"PING", "QUEUED"});
        redisReply *reply = redisCommand(one, "EXEC");
        assert_non_null(reply);
        bool is_refused = reply->type == REDIS_REPLY_NIL;
        /* What expires may do so before it is watched. */
        bool may_be_either = strstr(all[i].before, "PX") != NULL;
        if (is_refused != all[i].is_touched && !may_be_either)
            fail_msg("%s, WATCH, %s: %s", all[i].before, all[i].meanwhile, is_refused ? "refused" : "run");
        freeReplyObject(reply);
        TALK(one, {"MULTI", "OK"}, {"PING", "QUEUED"}, {"EXEC", "[PONG]"}); /* it is watched no more */
    }
    close_all();
}

static void a_key_that_had_expired_when_it_was_watched_does_not_count(void **state) {
    (void)state;
    open_all();
    expect(one, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    TALK(one, {"SET k 1 PX 1", "OK"}, {"DEBUG SLEEP 0.01", "OK"}, {"WATCH k", "OK"}, {"EXISTS k", "0"},
         {"MULTI", "OK"}, {"PING", "QUEUED"}, {"EXEC", "[PONG]"});
    close_all();
}

static void watching_ends_with_unwatch_discard_and_reset(void **state) {
    static const char *const ends[] = {"UNWATCH", "DISCARD", "RESET", "EXEC"};
    (void)state;
    open_all();
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        expect(one, "OK", "WATCH k j l");
        if (strcmp(ends[i], "UNWATCH") != 0) expect(one, "OK", "MULTI");
        freeReplyObject(redisCommand(one, ends[i]));
        await_info(other, "client_name_bytes", 0);
        expect(other, "OK", "SET k %d", (int)i);
        TALK(one, {"MULTI", "OK"}, {"PING", "QUEUED"}, {"EXEC", "[PONG]"});
    }
    for (int i = 0; i < 20; i++) { /* and with the connection */
        redisContext *third = server_connect(server);
        expect(third, "OK", "WATCH k j l");
        if (i % 2 == 0) TALK(third, {"MULTI", "OK"}, {"SET k 1", "QUEUED"});
        redisFree(third);
    }
    close_all();
}

static void the_whole_keyspace_is_there_inside(void **state) {
    (void)state;
    open_all();
    expect(one, "OK", "MSET a 1 b 2 c 3");
    TALK(one, {"MULTI", "OK"}, {"DBSIZE", "QUEUED"}, {"FLUSHALL", "QUEUED"}, {"SET only 1", "QUEUED"},
         {"KEYS *", "QUEUED"}, {"RANDOMKEY", "QUEUED"}, {"SCAN 0", "QUEUED"}, {"DBSIZE", "QUEUED"},
         {"SWAPDB 0 1", "QUEUED"}, {"GET only", "QUEUED"}, {"SELECT 1", "QUEUED"}, {"GET only", "QUEUED"},
         {"EXEC", "[3, OK, OK, [only], only, [0, [only]], 1, OK, (nil), OK, 1]"});
    TALK(one, {"RPUSH l 3 1 2", "3"}, {"MSET w_1 3 w_2 2 w_3 1", "OK"}, {"MULTI", "OK"},
         {"SORT l BY w_*", "QUEUED"}, {"SORT l BY w_* STORE s", "QUEUED"}, {"LRANGE s 0 -1", "QUEUED"},
         {"EXEC", "[[3, 2, 1], 3, [3, 2, 1]]"});
    close_all();
}

/* The list is there, and gone again, before anybody who waits is served. */
static void clients_that_wait_are_served_when_the_last_command_is_done(void **state) {
    (void)state;
    open_all();
    redisContext *waiting = connect_and_wait(server, one, "BLPOP k 0");
    TALK(one, {"MULTI", "OK"}, {"RPUSH k a", "QUEUED"}, {"DEL k", "QUEUED"}, {"EXEC", "[1, 1]"});
    expect(one, "0", "EXISTS k");
    TALK(one, {"MULTI", "OK"}, {"RPUSH k a b", "QUEUED"}, {"LPOP k", "QUEUED"}, {"LLEN k", "QUEUED"},
         {"EXEC", "[2, a, 1]"});
    expect_answer(waiting, "[k, b]");
    expect(one, "0", "EXISTS k");
    close_all();
}

static void send_now(redisContext *connection, const char *command) {
    int done = 0;
    redisAppendCommand(connection, command);
    while (done == 0) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static void a_pause_of_writes_parks_a_transaction_that_writes(void **state) {
    (void)state;
    open_all();
    TALK(one, {"MULTI", "OK"}, {"SET a 1", "QUEUED"});
    expect(other, "OK", "CLIENT PAUSE 100000 WRITE");
    send_now(one, "EXEC");
    await_info(other, "blocked_clients", 1);
    TALK(other, {"MULTI", "OK"}, {"GET a", "QUEUED"}, {"EXEC", "[(nil)]"}, {"CLIENT UNPAUSE", "OK"});
    redisReply *reply;
    assert_int_equal(redisGetReply(one, (void **)&reply), REDIS_OK);
    assert_int_equal(reply->elements, 1);
    freeReplyObject(reply);
    expect(other, "1", "GET a");
    close_all();
}

/* By themselves or declared: as Redis 7.2, which asks what a script says of itself. */
static void a_pause_of_writes_parks_a_transaction_only_if_its_scripts_may_write(void **state) {
    static const char *const reads = "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])";
    (void)state;
    open_all();
    expect(one, "OK", "MULTI");
    expect_queued(one, "EVAL", "return redis.call('set', KEYS[1], 1)", "1 a");
    expect(other, "OK", "CLIENT PAUSE 100000 WRITE");
    send_now(one, "EXEC");
    await_info(other, "blocked_clients", 1);
    expect(other, "OK", "MULTI");
    expect_queued(other, "EVAL", reads, "1 a");
    expect_queued(other, "EVAL_RO", "return 2", "0");
    expect(other, "[(nil), 2]", "EXEC");
    expect(other, "OK", "CLIENT UNPAUSE");
    expect_next_text(one, "[OK]", "EXEC");
    close_all();
}

/* Compiling takes long: it waits for a key that is held, and the script is known already. */
static void scripts_are_compiled_before_a_transaction_has_its_shards(void **state) {
    static const char *const sum = "1fa00e76656cc152ad327c13fe365858fd7be306"; /* of return 42 */
    (void)state;
    open_all();
    expect(other, "OK", "DEBUG HOLD k 600");
    expect(one, "OK", "MULTI");
    expect(one, "QUEUED", "GET k");
    expect_queued(one, "EVAL", "return 42", "0");
    expect_queued(one, "EVAL", "return +", "0");
    expect(other, "[0]", "SCRIPT EXISTS %s", sum);
    send_now(one, "EXEC");
    await_info(other, "parked_clients", 1);
    expect(other, "[1]", "SCRIPT EXISTS %s", sum);
    expect(other, "OK", "DEBUG RELEASE");
    expect_next_text(one,
                     "[(nil), 42, ERR Error compiling script (new function): user_script:1: unexpected "
                     "symbol near '+']",
                     "EXEC");
    close_all();
}

/* What it has changed itself before a script in it wanted more shards was taken back. */
static void a_transaction_that_begins_again_is_not_touched_by_itself(void **state) {
    (void)state;
    open_all();
    TALK(one, {"WATCH a", "OK"}, {"MULTI", "OK"}, {"SET a 1", "QUEUED"},
         {"EVAL return(#redis.call('keys','*')) 0", "QUEUED"}, {"EXEC", "[OK, 1]"});
    close_all();
}

static void above_the_limit_a_transaction_that_writes_fails_as_a_whole(void **state) {
    (void)state;
    open_all();
    TALK(one, {"MULTI", "OK"}, {"SET a 1", "QUEUED"}, {"PING", "QUEUED"});
    expect(other, "OK", "CONFIG SET maxmemory 1");
    expect(one,
           "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > "
           "'maxmemory'.",
           "EXEC");
    TALK(one, {"EXEC", "ERR EXEC without MULTI"}, {"MULTI", "OK"},
         {"SET a 1", "OOM command not allowed when used memory > 'maxmemory'."},
         {"EXEC", "EXECABORT Transaction discarded because of previous errors."}, {"MULTI", "OK"},
         {"DISCARD", "OK"}, {"EXISTS a", "0"});
    expect(other, "OK", "CONFIG SET maxmemory 0");
    /* What goes makes no room as long as there is more than may be. */
    expect(one, "OK", "MSET a a-value-of-some-bytes-that-will-be-freed b x");
    expect(other, "OK", "CONFIG SET maxmemory 1");
    TALK(one, {"DEL a", "1"}, {"SET c x", "OOM command not allowed when used memory > 'maxmemory'."},
         {"MULTI", "OK"}, {"GET b", "OOM command not allowed when used memory > 'maxmemory'."},
         {"DISCARD", "OK"});
    expect(other, "OK", "CONFIG SET maxmemory 0");
    close_all();
}

static void time_stands_still_inside(void **state) {
    (void)state;
    open_all();
    TALK(one, {"MULTI", "OK"}, {"TIME", "QUEUED"}, {"SET a 1 PX 1000", "QUEUED"},
         {"SORT nothing BY x_*", "QUEUED"});
    for (int i = 0; i < 500; i++) expect(one, "QUEUED", "PTTL a");
    expect(one, "QUEUED", "TIME");
    redisReply *reply = redisCommand(one, "EXEC");
    assert_int_equal(reply->elements, 504);
    assert_string_equal(reply->element[0]->element[0]->str, reply->element[503]->element[0]->str);
    assert_string_equal(reply->element[0]->element[1]->str, reply->element[503]->element[1]->str);
    for (size_t i = 3; i < 503; i++) assert_int_equal(reply->element[i]->integer, 1000);
    freeReplyObject(reply);
    close_all();
}

/* They concern other workers: so they are done when no shard is held any more, and before the answer. */
static void what_concerns_other_clients_is_done_before_the_answer(void **state) {
    (void)state;
    open_all();
    redisContext *victim = server_connect_to(server, 2);
    int64_t id = ask_integer(victim, "CLIENT ID");
    TALK(one, {"MULTI", "OK"}, {"CLIENT UNBLOCK 4444", "QUEUED"}, {"SET a 1", "QUEUED"},
         {"CONFIG SET timeout 77", "QUEUED"}, {"CLIENT NO-EVICT on", "QUEUED"}, {"INCR a", "QUEUED"});
    expect(one, "QUEUED", "CLIENT KILL ID %lld", (long long)id);
    expect(one, "QUEUED", "CLIENT LIST ID %lld", (long long)id);
    redisReply *reply = redisCommand(one, "EXEC");
    assert_int_equal(reply->elements, 7);
    assert_int_equal(reply->element[0]->integer, 0);
    assert_int_equal(reply->element[4]->integer, 2);
    assert_int_equal(reply->element[5]->integer, 1);
    assert_true(strstr(reply->element[6]->str, "cmd=client|id") != NULL); /* asked before it is killed */
    freeReplyObject(reply);
    expect(other, "[timeout, 77]", "CONFIG GET timeout");
    expect(other, "", "CLIENT LIST ID %lld", (long long)id);
    redisFree(victim);
    close_all();
}

/* Two that ask all workers, and hold the same shards in turn. */
static void two_that_ask_all_workers_do_not_wait_for_each_other(void **state) {
    (void)state;
    open_all();
    redisContext *both[] = {one, other};
    enum { ROUNDS = 200 };
    for (int i = 0; i < ROUNDS; i++)
        for (int k = 0; k < 2; k++) {
            redisAppendCommand(both[k], "MULTI");
            redisAppendCommand(both[k], "INCR a");
            redisAppendCommand(both[k], "CLIENT LIST");
            redisAppendCommand(both[k], "CLIENT KILL ID 99999");
            redisAppendCommand(both[k], k == 0 ? "KEYS *" : "INCR b");
            redisAppendCommand(both[k], "EXEC");
            int done = 0;
            while (done == 0) assert_int_equal(redisBufferWrite(both[k], &done), REDIS_OK);
        }
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < ROUNDS * 6; i++) {
            redisReply *reply;
            assert_int_equal(redisGetReply(both[k], (void **)&reply), REDIS_OK);
            if (i % 6 == 5) assert_int_equal(reply->elements, 4);
            freeReplyObject(reply);
        }
    expect(one, "400", "GET a");
    close_all();
}

static char *text_of(size_t length) {
    char *text = malloc(length + 1);
    memset(text, 'v', length);
    text[length] = '\0';
    return text;
}

static void what_is_queued_is_shown_counted_and_bounded(void **state) {
    (void)state;
    open_all();
    TALK(one, {"CLIENT SETNAME queueing", "OK"}, {"WATCH a", "OK"}, {"MULTI", "OK"}, {"SET a 1", "QUEUED"},
         {"GET a", "QUEUED"}, {"CLIENT INFO", "QUEUED"});
    expect(other, "OK", "SET a 2");
    redisReply *reply = redisCommand(other, "CLIENT LIST");
    char *line = strstr(reply->str, "name=queueing");
    assert_non_null(line);
    *strchr(line, '\n') = '\0';
    assert_non_null(strstr(line, " multi=3 "));
    assert_null(strstr(line, " multi-mem=0 "));
    assert_non_null(strstr(line, " flags=xd "));
    freeReplyObject(reply);
    assert_true(info_number(other, "client_name_bytes") > 1000);
    TALK(one, {"EXEC", "(nil)"}, {"RESET", "RESET"}); /* the name as well */
    expect(other, "OK", "CONFIG SET client-query-buffer-limit 1048576");
    redisContext *greedy = server_connect(server);
    expect(greedy, "OK", "MULTI");
    char *value = text_of(10000);
    int count = 0;
    while (count < 200 && (reply = redisCommand(greedy, "SET k %s", value)) != NULL) {
        freeReplyObject(reply);
        count++;
    }
    assert_in_range(count, 50, 199);
    free(value);
    redisFree(greedy);
    await_info(other, "client_query_buffer_limit_disconnections", 1);
    expect(other, "OK", "CONFIG RESETSTAT");
    close_all();
}

static void each_command_is_counted_and_its_errors(void **state) {
    (void)state;
    open_all();
    TALK(one, {"CONFIG RESETSTAT", "OK"}, {"MULTI", "OK"}, {"SET a x", "QUEUED"}, {"INCR a", "QUEUED"},
         {"EXEC", "[OK, ERR value is not an integer or out of range]"});
    redisReply *reply = redisCommand(one, "INFO commandstats errorstats");
    assert_non_null(strstr(reply->str, "cmdstat_set:calls=1"));
    assert_non_null(strstr(reply->str, "cmdstat_incr:calls=1"));
    const char *exec = strstr(reply->str, "cmdstat_exec:calls=1");
    assert_non_null(exec);
    const char *failed = strstr(exec, "failed_calls=");
    assert_true(failed[strlen("failed_calls=")] == '0');
    assert_non_null(strstr(reply->str, "errorstat_ERR:count=1"));
    freeReplyObject(reply);
    close_all();
}

static void replies_follow_the_protocol_that_is_spoken_at_the_time(void **state) {
    (void)state;
    open_all();
    struct resp3 *client = resp3_connect(server);
    resp3_exchange(client, "HSET h a 1", ":1\r\n");
    resp3_exchange(client, "MULTI", "+OK\r\n");
    resp3_exchange(client, "HGETALL h", "+QUEUED\r\n");
    resp3_exchange(client, "EXEC", "*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    resp3_send_text(client, "HELLO 3\r\n");
    struct resp3_value *hello = resp3_read(client);
    resp3_value_free(hello);
    resp3_exchange(client, "MULTI", "+OK\r\n");
    resp3_exchange(client, "HGETALL h", "+QUEUED\r\n");
    resp3_exchange(client, "EXEC", "*1\r\n%1\r\n$1\r\na\r\n$1\r\n1\r\n");
    resp3_exchange(client, "WATCH h", "+OK\r\n");
    resp3_exchange(client, "DEL h", ":1\r\n");
    resp3_exchange(client, "MULTI", "+OK\r\n");
    resp3_exchange(client, "EXEC", "_\r\n");
    resp3_close(client);
    close_all();
}

/* They are there before its shards can be had. */
static void answers_that_wait_for_the_others_are_counted_and_bounded(void **state) {
    enum { LISTS = 100, NAME = 100000 };
    (void)state;
    open_all();
    char *name = text_of(NAME);
    redisContext *third = server_connect_to(server, 2);
    expect(other, "OK", "CONFIG SET client-output-buffer-limit %s", "normal 1000000 0 0");
    expect(third, "OK", "CLIENT SETNAME %s", name);
    free(name);
    expect(other, "OK", "DEBUG HOLD k 600");
    expect(third, "OK", "MULTI");
    for (int i = 0; i < LISTS; i++) expect(third, "QUEUED", "CLIENT LIST");
    expect(third, "QUEUED", "SET k 1");
    await_info_between(other, "client_name_bytes", NAME, 2 * NAME);
    send_now(third, "EXEC");
    await_info_between(other, "client_name_bytes", 800000, 2000000);
    expect(other, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(third, (void **)&reply), REDIS_ERR);
    redisFree(third);
    expect(other, "1", "GET k");
    close_all();
}

/* It reads files, which nobody does who holds the whole keyspace. */
static void what_tells_of_the_process_needs_no_shard(void **state) {
    (void)state;
    open_all();
    expect(other, "OK", "DEBUG HOLD k 600");
    TALK(one, {"MULTI", "OK"}, {"INFO", "QUEUED"}, {"MEMORY STATS", "QUEUED"}, {"SELECT 1", "QUEUED"});
    redisReply *reply = redisCommand(one, "EXEC");
    assert_non_null(reply);
    assert_int_equal(reply->elements, 3);
    assert_non_null(strstr(reply->element[0]->str, "redis_version"));
    freeReplyObject(reply);
    expect(other, "OK", "DEBUG RELEASE");
    close_all();
}

static void what_is_watched_again_takes_no_more_room(void **state) {
    static const int counts[] = {2, 100};
    (void)state;
    open_all();
    for (size_t c = 0; c < 2; c++) {
        for (int i = 0; i < 500 * counts[c]; i++) redisAppendCommand(one, "WATCH k%d", i % counts[c]);
        for (int i = 0; i < 500 * counts[c]; i++) {
            redisReply *reply;
            assert_int_equal(redisGetReply(one, (void **)&reply), REDIS_OK);
            freeReplyObject(reply);
        }
        await_info_between(other, "client_name_bytes", 1, 4096 + 400 * counts[c]);
        for (int i = 0; i < 2;
             i++) { /* the last of them, and then one that has changed and is watched again */
            expect(other, "OK", "SET k%d 1", counts[c] - 1);
            if (i == 1) expect(one, "OK", "WATCH k%d", counts[c] - 1);
            TALK(one, {"MULTI", "OK"}, {"PING", "QUEUED"}, {"EXEC", "(nil)"});
            for (int k = 0; k < counts[c]; k++) expect(one, "OK", "WATCH k%d", k);
        }
        expect(one, "OK", "UNWATCH");
    }
    close_all();
}

static void watches_that_have_ended_are_counted_and_do_not_pile_up(void **state) {
    enum { ROUNDS = 250, KEYS = 2000, MOST = 45 << 20 };
    (void)state;
    open_all();
    expect(one, "OK", "WATCH k");
    expect(other, "OK", "DEBUG HOLD k 600");
    expect(one, "OK", "UNWATCH");
    await_info(other, "client_name_bytes", 0);
    await_info_between(other, "client_wait_bytes", 1, 1000);
    expect(other, "OK", "DEBUG RELEASE");
    await_info(other, "client_wait_bytes", 0);
    /* As fast as it can: all of it together would be more than `MOST`. */
    char *watch = malloc(KEYS * 8 + 8), *end = watch + sprintf(watch, "WATCH");
    for (int i = 0; i < KEYS; i++) end += sprintf(end, " k%d", i);
    for (int i = 0; i < ROUNDS; i++) {
        redisAppendCommand(one, watch);
        redisAppendCommand(one, "UNWATCH");
        redisAppendCommand(one, "INFO clients");
    }
    free(watch);
    for (int i = 0; i < 3 * ROUNDS; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(one, (void **)&reply), REDIS_OK);
        if (i % 3 == 2)
            assert_in_range(atoll(strstr(reply->str, "client_wait_bytes:") + strlen("client_wait_bytes:")), 0,
                            MOST);
        freeReplyObject(reply);
    }
    await_info(other, "client_wait_bytes", 0);
    close_all();
}

/* Its deeds wait for a worker that is asleep when it is killed. */
static void who_is_killed_has_done_all_of_its_transaction(void **state) {
    (void)state;
    open_all();
    redisContext *killed = server_connect_to(server, 0);
    redisReply *id = redisCommand(killed, "CLIENT ID");
    TALK(killed, {"MULTI", "OK"}, {"SET k 1", "QUEUED"}, {"CLIENT KILL ID 4611686018427387904", "QUEUED"},
         {"CONFIG SET hz 33", "QUEUED"});
    redisAppendCommand(other, "DEBUG SLEEP 1");
    redisAppendCommand(killed, "EXEC");
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(killed, &done), REDIS_OK);
    for (bool has_begun = false; !has_begun;) {
        redisReply *reply = redisCommand(one, "EXISTS k");
        has_begun = reply->integer == 1;
        freeReplyObject(reply);
    }
    expect(one, "1", "CLIENT KILL ID %lld", id->integer);
    expect_next_text(killed, "[OK, 0, OK]", "EXEC");
    void *nothing;
    assert_int_equal(redisGetReply(killed, &nothing), REDIS_ERR);
    assert_int_equal(killed->err, REDIS_ERR_EOF);
    expect(one, "[hz, 33]", "CONFIG GET hz");
    expect_next_text(other, "OK", "DEBUG SLEEP");
    freeReplyObject(id);
    redisFree(killed);
    close_all();
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_redis_s),
        cmocka_unit_test(what_is_watched_and_changes_ends_a_transaction),
        cmocka_unit_test(a_key_that_had_expired_when_it_was_watched_does_not_count),
        cmocka_unit_test(watching_ends_with_unwatch_discard_and_reset),
        cmocka_unit_test(the_whole_keyspace_is_there_inside),
        cmocka_unit_test(clients_that_wait_are_served_when_the_last_command_is_done),
        cmocka_unit_test(a_pause_of_writes_parks_a_transaction_only_if_its_scripts_may_write),
        cmocka_unit_test(scripts_are_compiled_before_a_transaction_has_its_shards),
        cmocka_unit_test(a_pause_of_writes_parks_a_transaction_that_writes),
        cmocka_unit_test(a_transaction_that_begins_again_is_not_touched_by_itself),
        cmocka_unit_test(above_the_limit_a_transaction_that_writes_fails_as_a_whole),
        cmocka_unit_test(time_stands_still_inside),
        cmocka_unit_test(what_concerns_other_clients_is_done_before_the_answer),
        cmocka_unit_test(two_that_ask_all_workers_do_not_wait_for_each_other),
        cmocka_unit_test(what_is_queued_is_shown_counted_and_bounded),
        cmocka_unit_test(each_command_is_counted_and_its_errors),
        cmocka_unit_test(replies_follow_the_protocol_that_is_spoken_at_the_time),
        cmocka_unit_test(answers_that_wait_for_the_others_are_counted_and_bounded),
        cmocka_unit_test(what_tells_of_the_process_needs_no_shard),
        cmocka_unit_test(what_is_watched_again_takes_no_more_room),
        cmocka_unit_test(watches_that_have_ended_are_counted_and_do_not_pile_up),
        cmocka_unit_test(who_is_killed_has_done_all_of_its_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
