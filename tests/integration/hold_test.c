/* What waits for a busy shard, and what doesn't. DEBUG HOLD keeps a shard exclusively locked by a thread of
 * its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"

#define PARKED 2000
#define ROUNDS 10

static struct server *start(void) {
    return server_start((const char *const[]){"--threads", "4", "--maxclients", "12000",
                                              "--slowlog-log-slower-than", "-1", NULL});
}

static void expect_prefix(redisContext *connection, const char *prefix, const char *command) {
    redisReply *reply = redisCommand(connection, command);
    assert_non_null(reply);
    char *text = reply_text(reply);
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        fail_msg("%s: expected %s..., got %s", command, prefix, text);
    free(text);
    freeReplyObject(reply);
}

/* For ever, as far as a test knows: it says itself when that is over. */
#define HOLD "DEBUG HOLD k 600"

static void send_only(redisContext *connection) {
    for (int done = 0; !done;) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

/* A key that shares no shard with k, which is held: this one's can be held as well, and is for no time. */
static void find_free_key(redisContext *connection, char out[32]) {
    bool is_free = false;
    for (int i = 0; !is_free; i++) {
        snprintf(out, 32, "free:%d", i);
        redisReply *reply = redisCommand(connection, "DEBUG HOLD %s 0", out);
        assert_non_null(reply);
        is_free = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
    }
}

static void every_worker_answers_for_other_shards_while_one_is_held(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *admin = server_connect(server), *clients[16];
    char other[32];
    expect(admin, "OK", "SET k before");
    for (int i = 0; i < 16; i++) clients[i] = server_connect(server); /* spread over four workers */
    expect(admin, "OK", HOLD);
    find_free_key(admin, other);
    redisContext *waiting = server_connect(server);
    redisAppendCommand(waiting, "GET k");
    send_only(waiting);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < 16; i++) {
            expect(clients[i], "OK", "SET %s %d", other, i);
            expect_prefix(clients[i], "# Server", "INFO");
            expect(clients[i], "[maxclients, 12000]", "CONFIG GET maxclients");
            expect_prefix(clients[i], "id=", "CLIENT LIST");
        }
    expect_prefix(admin, "BUSY", "DEBUG HOLD k 0"); /* all of that happened while k was held */
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(waiting, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "before");
    freeReplyObject(reply);
    for (int i = 0; i < 16; i++) redisFree(clients[i]);
    redisFree(waiting);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void parked_requests_cost_no_cpu_and_are_answered_in_order(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *admin = server_connect(server);
    redisContext **clients = calloc(PARKED, sizeof(redisContext *));
    for (int i = 0; i < PARKED; i++) {
        clients[i] = server_connect(server);
        expect(clients[i], "PONG", "PING");
    }
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", HOLD);
    for (int i = 0; i < PARKED; i++) {
        redisAppendCommand(clients[i], "ECHO first%d", i);
        redisAppendCommand(clients[i], "INCR k");
        redisAppendCommand(clients[i], "ECHO second%d", i);
        redisAppendCommand(clients[i], "GET k");
        send_only(clients[i]);
    }
    await_info(admin, "parked_clients", PARKED);
    int64_t refusals = info_number(admin, "shard_locks_busy");
    expect_rest(admin);
    assert_int_equal(info_number(admin, "shard_locks_busy"), refusals);
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    char *seen = calloc(PARKED + 1, 1);
    for (int i = 0; i < PARKED; i++) {
        char text[32];
        assert_int_equal(redisGetReply(clients[i], (void **)&reply), REDIS_OK);
        snprintf(text, sizeof text, "first%d", i);
        assert_string_equal(reply->str, text);
        freeReplyObject(reply);
        assert_int_equal(redisGetReply(clients[i], (void **)&reply), REDIS_OK);
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        assert_in_range(reply->integer, 1, PARKED);
        assert_false(seen[reply->integer]); /* each increment happened once */
        seen[reply->integer] = 1;
        freeReplyObject(reply);
        assert_int_equal(redisGetReply(clients[i], (void **)&reply), REDIS_OK);
        snprintf(text, sizeof text, "second%d", i);
        assert_string_equal(reply->str, text);
        freeReplyObject(reply);
        assert_int_equal(redisGetReply(clients[i], (void **)&reply), REDIS_OK);
        assert_true(reply->type == REDIS_REPLY_STRING);
        freeReplyObject(reply);
    }
    char expected[16];
    snprintf(expected, sizeof expected, "%d", PARKED);
    expect(admin, expected, "GET k");
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    for (int i = 0; i < PARKED; i++) redisFree(clients[i]);
    free(clients);
    free(seen);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void a_parked_client_that_leaves_is_forgotten(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", HOLD);
    for (int i = 0; i < 200; i++) {
        redisContext *client = server_connect(server);
        redisAppendCommand(client, "INCR k");
        send_only(client);
        redisFree(client);
    }
    redisContext *client = server_connect(server);
    redisAppendCommand(client, "GET k");
    send_only(client);
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(client, (void **)&reply), REDIS_OK);
    freeReplyObject(reply);
    redisFree(client);
    await_info(admin, "connected_clients", 1);
    assert_int_equal(info_number(admin, "parked_clients"), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void flushall_waits_for_a_held_shard_and_holds_nobody_up(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *admin = server_connect(server), *flusher = server_connect(server);
    char other[32];
    expect(admin, "OK", "SET k 0");
    expect(admin, "OK", HOLD);
    find_free_key(admin, other);
    redisAppendCommand(flusher, "FLUSHALL");
    send_only(flusher);
    await_info(admin, "parked_clients", 1);
    for (int i = 0; i < 200; i++) expect(admin, "OK", "SET %s %d", other, i);
    expect_prefix(admin, "BUSY", "DEBUG HOLD k 0");
    expect(admin, "OK", "DEBUG RELEASE");
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(flusher, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    expect(admin, "0", "DBSIZE");
    redisFree(flusher);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void a_shutdown_does_not_wait_for_a_hold(void **state) {
    (void)state;
    struct server *server = start();
    redisContext *admin = server_connect(server);
    expect(admin, "OK", HOLD);
    redisContext *waiting = server_connect(server);
    redisAppendCommand(waiting, "GET k");
    send_only(waiting);
    await_info(admin, "parked_clients", 1);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
    redisReply *reply = NULL; /* it was under way, and is answered */
    assert_int_equal(redisGetReply(waiting, (void **)&reply), REDIS_OK);
    assert_int_equal(reply->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);
    redisFree(waiting);
}

int main(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_answers_for_other_shards_while_one_is_held),
        cmocka_unit_test(parked_requests_cost_no_cpu_and_are_answered_in_order),
        cmocka_unit_test(a_parked_client_that_leaves_is_forgotten),
        cmocka_unit_test(flushall_waits_for_a_held_shard_and_holds_nobody_up),
        cmocka_unit_test(a_shutdown_does_not_wait_for_a_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
