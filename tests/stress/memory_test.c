/* maxmemory is held: 8 clients set, read and delete values of 1 byte to 1 MB, far more than fits, while a
 * watcher asks all the time what the allocator has handed out. It is never more than maxmemory and one per
 * cent, and no write is refused.
 *
 *     STRESS_SECONDS=600 memory_test     default 20; under sanitizers, whose allocator is another, only
 *                                        that no write is refused */
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

#define CLIENTS 8
#define LIMIT ((int64_t)100 << 20)
#define LARGEST (1 << 20)

static struct server *server;
static atomic_bool is_over;

struct client {
    pthread_t thread;
    int number;
    uint64_t requests;
    char refusal[128];
};

static long seconds(void) {
    const char *text = getenv("STRESS_SECONDS");
    return text != NULL ? strtol(text, NULL, 10) : 20;
}

/* As many of each order of magnitude. */
static size_t draw_length(unsigned *state) {
    size_t most = (size_t)1 << (rand_r(state) % 21);
    return 1 + (size_t)rand_r(state) % most;
}

static void *work(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    unsigned state = (unsigned)client->number + 1;
    char *value = malloc(LARGEST);
    memset(value, 'v', LARGEST);
    while (!atomic_load(&is_over) && client->refusal[0] == '\0') {
        int key = rand_r(&state) % 200000;
        redisReply *reply;
        switch (rand_r(&state) % 10) {
        case 0: reply = redisCommand(connection, "DEL key:%d", key); break;
        case 1: reply = redisCommand(connection, "GET key:%d", key); break;
        case 2:
            reply = redisCommand(connection, "HSET hash:%d f%d %b", key % 1000, key % 50, value,
                                 draw_length(&state) % 2000);
            break;
        case 3:
            reply = redisCommand(connection, "SET key:%d %b EX 100", key, value, draw_length(&state));
            break;
        default: reply = redisCommand(connection, "SET key:%d %b", key, value, draw_length(&state));
        }
        client->requests++;
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
            snprintf(client->refusal, sizeof client->refusal, "%s",
                     reply == NULL ? "connection lost" : reply->str);
        freeReplyObject(reply);
    }
    free(value);
    redisFree(connection);
    return NULL;
}

static void the_limit_holds_whatever_comes(void **unused) {
    (void)unused;
    struct client clients[CLIENTS];
    char limit[24];
    snprintf(limit, sizeof limit, "%lld", (long long)LIMIT);
    server = server_start((const char *const[]){"--threads", "4", "--maxmemory", limit, "--maxmemory-policy",
                                                "allkeys-s3fifo", NULL});
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.number = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, work, &clients[i]), 0);
    }
    redisContext *watcher = server_connect(server);
    int64_t most = 0, looks = 0;
    for (int64_t end = now_us() + seconds() * 1000000; now_us() < end; looks++) {
        int64_t allocated = info_number(watcher, "allocator_allocated");
        if (allocated > most) most = allocated;
    }
    atomic_store(&is_over, true);
    uint64_t requests = 0;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_string_equal(clients[i].refusal, "");
        requests += clients[i].requests;
    }
    printf("# %llu requests, %lld keys let go; %lld looks, at most %lld bytes handed out, %.2f %% of "
           "maxmemory\n",
           (unsigned long long)requests, (long long)info_number(watcher, "evicted_keys"), (long long)looks,
           (long long)most, 100.0 * (double)most / (double)LIMIT);
#ifndef USE_SANITIZER
    assert_true(most > LIMIT * 9 / 10);
    assert_true(most <= LIMIT + LIMIT / 100);
    int64_t used = info_number(watcher, "used_memory"),
            allocated = info_number(watcher, "allocator_allocated");
    assert_true(used >= allocated - allocated * 3 / 100 && used <= allocated + allocated * 3 / 100);
#endif
    redisFree(watcher);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_holds_whatever_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
