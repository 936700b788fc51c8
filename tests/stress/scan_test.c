/* SCAN's promise over the wire: a key that is there from the scan's start to its end is returned, while four writers insert and delete
 * others, and the tables grow and shrink beneath. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support.h"

#define STAYING 5000
#define WRITERS 4
#define SCANS_LEAST 12
#define WAVES_LEAST 2 /* of each writer, while scans go on */
#define WAVE 20000

static struct server *server;
static atomic_bool is_over;
static atomic_int waves[WRITERS]; /* that have come and gone */

static void read_replies(redisContext *connection, int count) {
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(connection, (void **)&reply) != REDIS_OK ||
            reply->type == REDIS_REPLY_ERROR)
            abort();
        freeReplyObject(reply);
    }
}

/* In waves: so many keys come, then go again, so that tables grow and shrink. */
static void *come_and_go(void *argument) {
    redisContext *connection = server_connect(server);
    int number = *(int *)argument;
    while (!atomic_load(&is_over)) {
        for (int is_going = 0; is_going < 2; is_going++)
            for (int i = 0; i < WAVE; i += 100) {
                for (int j = i; j < i + 100; j++)
                    redisAppendCommand(connection,
                                       is_going ? "DEL passing:%d:%d" : "SET passing:%d:%d x",
                                       number, j);
                read_replies(connection, 100);
            }
        atomic_fetch_add(&waves[number], 1);
    }
    redisFree(connection);
    return NULL;
}

static bool waves_are_enough(void) {
    for (int i = 0; i < WRITERS; i++)
        if (atomic_load(&waves[i]) < WAVES_LEAST) return false;
    return true;
}

static void every_staying_key_is_returned_by_every_scan(void **state) {
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    (void)state;
    server = server_start((const char *const[]){"--threads", "4", "--shards", "8", NULL});
    redisContext *connection = server_connect(server);
    for (int i = 0; i < STAYING; i++) redisAppendCommand(connection, "SET staying:%d x", i);
    read_replies(connection, STAYING);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    uint64_t others = 0, calls = 0;
    int scan = 0;
    for (; scan < SCANS_LEAST || !waves_are_enough(); scan++) {
        char cursor[32] = "0";
        bool seen[STAYING] = {false};
        do {
            redisReply *reply = redisCommand(
                connection, scan % 2 == 0 ? "SCAN %s COUNT 100" : "SCAN %s COUNT 1000", cursor);
            assert_non_null(reply);
            assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
            snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
            assert_true(strtoull(cursor, NULL, 10) < UINT64_C(1) << 52);
            for (size_t i = 0; i < reply->element[1]->elements; i++) {
                const char *key = reply->element[1]->element[i]->str;
                if (strncmp(key, "staying:", 8) == 0)
                    seen[atoi(key + 8)] = true;
                else
                    others++;
            }
            calls++;
            freeReplyObject(reply);
        } while (strcmp(cursor, "0") != 0);
        for (int i = 0; i < STAYING; i++)
            if (!seen[i]) fail_msg("scan %d did not return staying:%d", scan, i);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    print_message("%d scans in %llu calls, %llu passing keys met\n", scan,
                  (unsigned long long)calls, (unsigned long long)others);
    assert_true(others > 0);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_staying_key_is_returned_by_every_scan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
