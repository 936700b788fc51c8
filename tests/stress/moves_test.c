/* Connections go from worker to worker while their clients work: no request is lost, answered twice or out of
 * order, and whoever goes over all connections meanwhile meets each of them once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define CLIENTS 12
#define IDLERS 5
#define LARGE 40000
/* The test is over when so many connections have moved, and each client has had so many rounds. */
#define MOVES 30000
#define ROUNDS 1000

static struct server *server;
static atomic_bool is_over;

struct client {
    pthread_t thread;
    int number;
    _Atomic uint64_t rounds;
    _Atomic(const char *) complaint; /* NULL: all is well */
};

static redisReply *next_reply(struct client *client, redisContext *connection) {
    redisReply *reply = NULL;
    if (redisGetReply(connection, (void **)&reply) == REDIS_OK) return reply;
    atomic_store(&client->complaint, "the connection is broken");
    return NULL;
}

/* A pipeline of counting, whose answers tell their order. */
static void count_on(struct client *client, redisContext *connection, long long *count) {
    int depth = 1 + (int)(atomic_load(&client->rounds) % 20);
    for (int i = 0; i < depth; i++) redisAppendCommand(connection, "INCR count:%d", client->number);
    for (int i = 0; i < depth && atomic_load(&client->complaint) == NULL; i++) {
        redisReply *reply = next_reply(client, connection);
        if (reply != NULL && (reply->type != REDIS_REPLY_INTEGER || reply->integer != ++*count))
            atomic_store(&client->complaint, "a count is wrong");
        freeReplyObject(reply);
    }
}

/* A value that is received, and sent, in parts. */
static void carry_much(struct client *client, redisContext *connection) {
    static _Thread_local char value[LARGE];
    memset(value, 'a' + client->number, sizeof value);
    redisAppendCommand(connection, "SET large:%d %b", client->number, value, sizeof value);
    redisAppendCommand(connection, "GET large:%d", client->number);
    redisReply *reply = next_reply(client, connection);
    if (reply != NULL && reply->type != REDIS_REPLY_STATUS)
        atomic_store(&client->complaint, "a large value was not stored");
    freeReplyObject(reply);
    if (atomic_load(&client->complaint) != NULL) return;
    reply = next_reply(client, connection);
    if (reply != NULL &&
        (reply->type != REDIS_REPLY_STRING || reply->len != LARGE || memcmp(reply->str, value, LARGE) != 0))
        atomic_store(&client->complaint, "a large value is wrong");
    freeReplyObject(reply);
}

/* Waits for what it sends itself by another connection. */
static void wait_for_it(struct client *client, redisContext *connection, redisContext *giver) {
    redisAppendCommand(connection, "BLPOP queue:%d 0", client->number);
    int is_done = 0;
    while (!is_done)
        if (redisBufferWrite(connection, &is_done) != REDIS_OK) break;
    redisReply *pushed = redisCommand(giver, "RPUSH queue:%d element", client->number);
    redisReply *reply = next_reply(client, connection);
    if (reply != NULL && (reply->type != REDIS_REPLY_ARRAY || strcmp(reply->element[1]->str, "element") != 0))
        atomic_store(&client->complaint, "an element is wrong");
    freeReplyObject(reply);
    freeReplyObject(pushed);
}

static void *work(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server), *giver = server_connect(server);
    long long count = 0;
    freeReplyObject(redisCommand(connection, "CLIENT SETNAME worker-%d", client->number));
    while (!atomic_load(&is_over) && atomic_load(&client->complaint) == NULL) {
        count_on(client, connection, &count);
        if (client->number % 3 == 1 && atomic_load(&client->complaint) == NULL)
            carry_much(client, connection);
        if (client->number % 3 == 2 && atomic_load(&client->complaint) == NULL)
            wait_for_it(client, connection, giver);
        atomic_fetch_add(&client->rounds, 1);
    }
    redisFree(connection);
    redisFree(giver);
    return NULL;
}

/* How often a name is in the list. */
static int occurrences(const char *list, const char *name) {
    int count = 0;
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + 1, name)) count++;
    return count;
}

static void check_list(redisContext *admin) {
    redisReply *list = redisCommand(admin, "CLIENT LIST");
    assert_non_null(list);
    for (int i = 0; i < IDLERS; i++) {
        char name[32];
        snprintf(name, sizeof name, " name=idler-%d ", i);
        if (occurrences(list->str, name) != 1)
            fail_msg("idler-%d is %d times in the list", i, occurrences(list->str, name));
    }
    freeReplyObject(list);
}

static bool all_have_had_their_rounds(struct client *clients) {
    for (int i = 0; i < CLIENTS; i++)
        if (atomic_load(&clients[i].rounds) < ROUNDS && atomic_load(&clients[i].complaint) == NULL)
            return false;
    return true;
}

static void connections_move_and_nothing_is_lost(void **state) {
    (void)state;
    static struct client clients[CLIENTS];
    redisContext *idlers[IDLERS];
    server = server_start((const char *const[]){"--threads", "3", "--enable-debug-command", "local", NULL});
    redisContext *admin = server_connect(server);
    for (int i = 0; i < IDLERS; i++) {
        idlers[i] = server_connect(server);
        freeReplyObject(redisCommand(idlers[i], "CLIENT SETNAME idler-%d", i));
    }
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, work, &clients[i]), 0);
    }
    do {
        expect(admin, "OK", "DEBUG MOVE-CLIENTS");
        check_list(admin);
    } while (info_number(admin, "worker_moved_connections") < MOVES || !all_have_had_their_rounds(clients));
    atomic_store(&is_over, true);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        if (atomic_load(&clients[i].complaint) != NULL)
            fail_msg("client %d: %s", i, atomic_load(&clients[i].complaint));
    }
    print_message("%lld moves\n", (long long)info_number(admin, "worker_moved_connections"));
    for (int i = 0; i < IDLERS; i++) {
        expect(idlers[i], "PONG", "PING");
        redisFree(idlers[i]);
    }
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* Nothing else happens that would wake a worker. */
static void who_moves_while_all_is_quiet_is_served(void **state) {
    (void)state;
    redisContext *clients[IDLERS];
    server = server_start((const char *const[]){"--threads", "3", "--enable-debug-command", "local", NULL});
    redisContext *admin = server_connect(server);
    for (int i = 0; i < IDLERS; i++) clients[i] = server_connect(server);
    for (int round = 0; round < 300; round++) {
        expect(admin, "OK", "DEBUG MOVE-CLIENTS");
        for (int i = 0; i < IDLERS; i++) expect(clients[i], "PONG", "PING");
    }
    for (int i = 0; i < IDLERS; i++) redisFree(clients[i]);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void *stop(void *argument) {
    *(int *)argument = server_stop(server);
    return NULL;
}

/* What a client has sent by the time that the server is told to end is answered, wherever its connection is
 * just then. */
static void who_is_on_the_way_when_the_server_ends_is_answered(void **state) {
    enum { ROUNDS_OF_IT = 20, PIPELINE = 50 };
    (void)state;
    for (int round = 0; round < ROUNDS_OF_IT; round++) {
        redisContext *connections[CLIENTS];
        server =
            server_start((const char *const[]){"--threads", "3", "--enable-debug-command", "local", NULL});
        redisContext *admin = server_connect(server);
        for (int i = 0; i < CLIENTS; i++) {
            connections[i] = server_connect(server);
            expect(connections[i], "PONG", "PING"); /* it has been accepted */
        }
        redisAppendCommand(admin, "DEBUG MOVE-CLIENTS");
        int is_done = 0;
        while (!is_done) assert_int_equal(redisBufferWrite(admin, &is_done), REDIS_OK);
        for (int i = 0; i < CLIENTS; i++) {
            for (int k = 0; k < PIPELINE; k++) redisAppendCommand(connections[i], "INCR count:%d", i);
            for (is_done = 0; !is_done;)
                assert_int_equal(redisBufferWrite(connections[i], &is_done), REDIS_OK);
        }
        pthread_t stopper;
        int status = 0;
        assert_int_equal(pthread_create(&stopper, NULL, stop, &status), 0);
        for (int i = 0; i < CLIENTS; i++) {
            for (int k = 1; k <= PIPELINE; k++) {
                redisReply *reply = NULL;
                if (redisGetReply(connections[i], (void **)&reply) != REDIS_OK)
                    fail_msg("round %d: client %d was answered %d of %d", round, i, k - 1, PIPELINE);
                assert_int_equal(reply->integer, k);
                freeReplyObject(reply);
            }
            redisFree(connections[i]);
        }
        redisFree(admin);
        pthread_join(stopper, NULL);
        assert_int_equal(status, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_move_and_nothing_is_lost),
        cmocka_unit_test(who_moves_while_all_is_quiet_is_served),
        cmocka_unit_test(who_is_on_the_way_when_the_server_ends_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
