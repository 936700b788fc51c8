/* One client MSETs eight keys to a rising number, others read them by MGET and GET in pipelines.
 * As the keys change together, one number says what all of them are at a moment, and so what a
 * connection sees of any key only rises: within an MGET all numbers are equal, none is less than
 * one seen before or than one whose MSET had been answered when it was asked for, and none is
 * more than was written.
 *
 *     COUNTER_SECONDS=60 counter_test     default 5; SEED=... for the same pipelines */
#include "tests/engine.h"
#include "tests/support.h"

#define KEYS 8
#define READERS 8
#define PIPELINE_MOST 24

static struct server *server;
static atomic_bool is_over;
static _Atomic long long asked, answered; /* numbers of the last MSET sent, and of the last one answered */
static _Atomic uint64_t torn, reversed, stale, unwritten;
static int64_t ends_at;

struct client {
    pthread_t thread;
    uint64_t random, reads, writes;
    long long seen;
};

static redisReply *take_reply(redisContext *connection) {
    redisReply *reply = NULL;
    if (redisGetReply(connection, (void **)&reply) == REDIS_OK) return reply;
    fprintf(stderr, "the server has gone: %s\n", connection->errstr);
    abort();
}

/* All eight keys in an order that begins anywhere and goes either way; with values for MSET. */
static void append_all(redisContext *connection, uint64_t *random, const char *value) {
    static const char *const names[KEYS] = {"key:0", "key:1", "key:2", "key:3",
                                            "key:4", "key:5", "key:6", "key:7"};
    const char *words[1 + 2 * KEYS] = {value != NULL ? "MSET" : "MGET"};
    uint64_t first = random_below(random, KEYS), step = random_below(random, 2) == 0 ? 1 : KEYS - 1;
    int count = 1;
    for (uint64_t i = 0; i < KEYS; i++) {
        words[count++] = names[(first + i * step) % KEYS];
        if (value != NULL) words[count++] = value;
    }
    CHECK(redisAppendCommandArgv(connection, count, words, NULL) == REDIS_OK);
}

static void check_number(struct client *client, const redisReply *reply, long long least) {
    CHECK(reply->type == REDIS_REPLY_STRING);
    long long number = atoll(reply->str);
    if (number < client->seen) atomic_fetch_add(&reversed, 1);
    if (number < least) atomic_fetch_add(&stale, 1);
    if (number > atomic_load(&asked)) atomic_fetch_add(&unwritten, 1);
    if (number > client->seen) client->seen = number;
    client->reads++;
}

static void check_all(struct client *client, const redisReply *reply, long long least) {
    CHECK(reply->type == REDIS_REPLY_ARRAY && reply->elements == KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        check_number(client, reply->element[i], least);
        if (strcmp(reply->element[i]->str, reply->element[0]->str) != 0) atomic_fetch_add(&torn, 1);
    }
}

/* Reads its own writes back, in the same pipeline. */
static void *write_numbers(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    for (long long number = 1; !atomic_load(&is_over); number++) {
        char text[96];
        /* Of several lengths, so that values are written in place and anew. */
        snprintf(text, sizeof text,
                 number % 64 < 32   ? "%lld"
                 : number % 64 < 48 ? "%lld:"
                                    : "%lld:%064d",
                 number, 0);
        atomic_store(&asked, number);
        append_all(connection, &client->random, text);
        append_all(connection, &client->random, NULL);
        redisReply *reply = take_reply(connection);
        CHECK(reply->type == REDIS_REPLY_STATUS);
        freeReplyObject(reply);
        reply = take_reply(connection);
        check_all(client, reply, number);
        freeReplyObject(reply);
        atomic_store(&answered, number);
        client->writes++;
        if (now_us() >= ends_at) atomic_store(&is_over, true);
    }
    redisFree(connection);
    return NULL;
}

static void *read_numbers(void *argument) {
    struct client *client = argument;
    redisContext *connection = server_connect(server);
    while (!atomic_load(&is_over)) {
        bool is_mget[PIPELINE_MOST];
        uint64_t count = 1 + random_below(&client->random, PIPELINE_MOST);
        long long least = atomic_load(&answered);
        for (uint64_t i = 0; i < count; i++) {
            is_mget[i] = random_below(&client->random, 3) == 0;
            if (is_mget[i])
                append_all(connection, &client->random, NULL);
            else
                CHECK(redisAppendCommand(connection, "GET key:%d",
                                         (int)random_below(&client->random, KEYS)) == REDIS_OK);
        }
        for (uint64_t i = 0; i < count; i++) {
            redisReply *reply = take_reply(connection);
            if (is_mget[i])
                check_all(client, reply, least);
            else
                check_number(client, reply, least);
            freeReplyObject(reply);
        }
    }
    redisFree(connection);
    return NULL;
}

static void a_rising_number_is_seen_whole_and_never_goes_back(void **state) {
    static struct client writer, readers[READERS];
    (void)state;
    const char *seconds = getenv("COUNTER_SECONDS");
    uint64_t seed = seed_take(), reads = 0;
    server = server_start((const char *const[]){"--threads", "4", NULL});
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "MSET key:0 0 key:1 0 key:2 0 key:3 0 key:4 0 key:5 0 key:6 0 key:7 0");
    ends_at = now_us() + (int64_t)((seconds != NULL ? atof(seconds) : 5.0) * 1e6);
    writer.random = seed;
    assert_int_equal(pthread_create(&writer.thread, NULL, write_numbers, &writer), 0);
    for (int i = 0; i < READERS; i++) {
        readers[i].random = seed + 1 + (uint64_t)i;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_numbers, &readers[i]), 0);
    }
    pthread_join(writer.thread, NULL);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_true(readers[i].reads > 0 && readers[i].seen > 0);
        reads += readers[i].reads;
    }
    print_message("%llu MSETs, %llu numbers read\n", (unsigned long long)writer.writes,
                  (unsigned long long)reads);
    assert_int_equal(atomic_load(&torn), 0);
    assert_int_equal(atomic_load(&reversed), 0);
    assert_int_equal(atomic_load(&stale), 0);
    assert_int_equal(atomic_load(&unwritten), 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rising_number_is_seen_whole_and_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
