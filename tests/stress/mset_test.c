/* MSET is all or nothing for everybody: 16 clients write overlapping keys in opposite orders while others
 * read them. Nobody waits for ever, nobody sees half a write.
 *
 *     STRESS_SECONDS=60 mset_test     default 15; shorter under sanitizers */
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

#define KEYS 8
#define WRITERS 16
#define READERS 8

static struct server *server;
static atomic_bool is_over;
static _Atomic uint64_t torn, reversed;

struct client {
    pthread_t thread;
    int number;
    uint64_t requests;
    int64_t slowest_us;
    bool is_broken;
};

static void note_time(struct client *client, int64_t began) {
    int64_t took = now_us() - began;
    if (took > client->slowest_us) client->slowest_us = took;
    client->requests++;
}

/* Writes one number to all keys, in an order of its own. */
static void *write_all(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    for (uint64_t round = 0; !atomic_load(&is_over); round++) {
        const char *words[1 + 2 * KEYS] = {"MSET"};
        size_t lengths[1 + 2 * KEYS] = {4};
        char keys[KEYS][16], value[32];
        int value_length =
            snprintf(value, sizeof value, "%d-%llu", client->number, (unsigned long long)round);
        for (int i = 0; i < KEYS; i++) {
            int key = client->number % 2 == 0 ? (i + client->number) % KEYS
                                              : (2 * KEYS - 1 - i - client->number % KEYS) % KEYS;
            lengths[1 + 2 * i] = (size_t)snprintf(keys[i], sizeof keys[i], "key:%d", key);
            words[1 + 2 * i] = keys[i];
            words[2 + 2 * i] = value;
            lengths[2 + 2 * i] = (size_t)value_length;
        }
        int64_t began = now_us();
        redisReply *reply = redisCommandArgv(connection, 1 + 2 * KEYS, words, lengths);
        if (reply == NULL || reply->type != REDIS_REPLY_STATUS) client->is_broken = true;
        freeReplyObject(reply);
        if (client->is_broken) break;
        note_time(client, began);
    }
    redisFree(connection);
    return NULL;
}

static void *read_all(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    while (!atomic_load(&is_over)) {
        int64_t began = now_us();
        redisReply *reply = redisCommand(
            connection, client->number % 2 == 0 ? "MGET key:0 key:1 key:2 key:3 key:4 key:5 key:6 key:7"
                                                : "MGET key:7 key:6 key:5 key:4 key:3 key:2 key:1 key:0");
        if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != KEYS) {
            client->is_broken = true;
            freeReplyObject(reply);
            break;
        }
        for (size_t i = 1; i < KEYS; i++)
            if (strcmp(reply->element[i]->str, reply->element[0]->str) != 0) atomic_fetch_add(&torn, 1);
        freeReplyObject(reply);
        note_time(client, began);
    }
    redisFree(connection);
    return NULL;
}

static int seconds(void) {
    const char *text = getenv("STRESS_SECONDS");
    if (text != NULL) return atoi(text);
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return 10;
#endif
#endif
    return 15;
}

/* The time is the test's length, not a wait for an event. */
static void run_for(int length) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec end;
    timespec_get(&end, TIME_UTC);
    end.tv_sec += length;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&never, &mutex, &end) == 0) continue;
    pthread_mutex_unlock(&mutex);
    atomic_store(&is_over, true);
}

static void report(const char *kind, struct client *clients, int count) {
    uint64_t requests = 0;
    int64_t slowest = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_false(clients[i].is_broken);
        assert_true(clients[i].requests > 0);
        requests += clients[i].requests;
        if (clients[i].slowest_us > slowest) slowest = clients[i].slowest_us;
        print_message("%s %d: %llu requests, the slowest took %.1f ms\n", kind, i,
                      (unsigned long long)clients[i].requests, (double)clients[i].slowest_us / 1000.0);
    }
    print_message("%ss: %llu requests, the slowest took %.1f ms\n", kind, (unsigned long long)requests,
                  (double)slowest / 1000.0);
}

static void overlapping_writes_are_atomic_and_starve_nobody(void **state) {
    static struct client writers[WRITERS], readers[READERS];
    (void)state;
    server = server_start((const char *const[]){"--threads", "4", NULL});
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "MSET key:0 0 key:1 0 key:2 0 key:3 0 key:4 0 key:5 0 key:6 0 key:7 0");
    for (int i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_all, &writers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        readers[i].number = i;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    run_for(seconds());
    report("writer", writers, WRITERS);
    report("reader", readers, READERS);
    assert_int_equal(atomic_load(&torn), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static void *rising_writer(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    for (uint64_t number = 1; !atomic_load(&is_over); number++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)number);
        redisReply *reply = redisCommand(
            connection, "MSET key:0 %s key:1 %s key:2 %s key:3 %s key:4 %s key:5 %s key:6 %s key:7 %s", text,
            text, text, text, text, text, text, text);
        if (reply == NULL || reply->type != REDIS_REPLY_STATUS) client->is_broken = true;
        freeReplyObject(reply);
        if (client->is_broken) break;
        client->requests++;
    }
    redisFree(connection);
    return NULL;
}

/* A pipeline of an MGET and GETs: within the MGET all are equal, and no number is ever less than one seen
 * before. */
static void *rising_reader(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    long long seen[KEYS] = {0};
    while (!atomic_load(&is_over)) {
        redisAppendCommand(connection, "MGET key:0 key:1 key:2 key:3 key:4 key:5 key:6 key:7");
        for (int i = 0; i < KEYS; i++) redisAppendCommand(connection, "GET key:%d", i);
        redisReply *reply = NULL;
        if (redisGetReply(connection, (void **)&reply) != REDIS_OK || reply->elements != KEYS) {
            client->is_broken = true;
            break;
        }
        for (int i = 0; i < KEYS; i++) {
            long long number = atoll(reply->element[i]->str);
            if (strcmp(reply->element[i]->str, reply->element[0]->str) != 0) atomic_fetch_add(&torn, 1);
            if (number < seen[i]) atomic_fetch_add(&reversed, 1);
            seen[i] = number;
        }
        freeReplyObject(reply);
        for (int i = 0; i < KEYS; i++) {
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK) break;
            if (atoll(reply->str) < seen[i]) atomic_fetch_add(&reversed, 1);
            seen[i] = atoll(reply->str);
            freeReplyObject(reply);
        }
        client->requests++;
    }
    redisFree(connection);
    return NULL;
}

static void a_rising_number_never_goes_back(void **state) {
    static struct client writer, readers[READERS];
    (void)state;
    atomic_store(&is_over, false);
    server = server_start((const char *const[]){"--threads", "4", NULL});
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "MSET key:0 0 key:1 0 key:2 0 key:3 0 key:4 0 key:5 0 key:6 0 key:7 0");
    assert_int_equal(pthread_create(&writer.thread, NULL, rising_writer, &writer), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, rising_reader, &readers[i]), 0);
    run_for(seconds() / 3);
    report("writer", &writer, 1);
    report("reader", readers, READERS);
    assert_int_equal(atomic_load(&torn), 0);
    assert_int_equal(atomic_load(&reversed), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlapping_writes_are_atomic_and_starve_nobody),
        cmocka_unit_test(a_rising_number_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
