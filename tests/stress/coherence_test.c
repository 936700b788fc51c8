/* Clients that keep copies of what they read (CLIENT TRACKING) never hold one that is older than what they
 * have been told allows, under writers, expiry, eviction and FLUSHALL.
 *
 * A client has two connections: one that tracks, through which it fills its copies, and one that doesn't, by
 * which it asks what is true. Whoever has seen a reply is to find that all that was changed by then has been
 * told: so it asks for some keys there, then sends PING by the tracking connection, drops whatever it is told
 * until the PONG, and what it still holds of these keys must be what it was answered. Each value that is ever
 * written is another one, so that none is there again by chance.
 *
 *     STRESS_SECONDS  how long it goes on; COHERENCE_READS, COHERENCE_WRITES: or to so many checked reads,
 *                     and so many writes, each followed by a PING of the client that keeps a copy */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define KEYS 64
#define ASKED 16 /* at a time */
#define NAME_MOST 32
#define VALUE_MOST 64
#define SECONDS 2

static struct server *server;
static atomic_bool is_over;
static _Atomic uint64_t next_value, checked_reads;
static _Atomic(const char *) complaint; /* NULL: all is well */

static uint64_t option(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint32_t draw(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* ------------------------------------------------------------------ a caching client */

struct copy {
    bool is_held, is_absent;
    char value[VALUE_MOST];
};

struct client {
    pthread_t thread;
    const char *options; /* of CLIENT TRACKING */
    uint32_t seed;
    struct resp3 *tracking, *plain;
    struct copy copies[KEYS];
};

static struct resp3 *connect_three(void) {
    struct resp3 *connection = resp3_connect(server);
    resp3_send_text(connection, "HELLO 3\r\n");
    resp3_value_free(resp3_read(connection));
    return connection;
}

static void copy_fill(struct copy *copy, const struct resp3_value *value) {
    copy->is_held = true;
    copy->is_absent = value->is_null;
    snprintf(copy->value, sizeof copy->value, "%s", value->is_null ? "" : value->text);
}

static bool copy_is(const struct copy *copy, const struct resp3_value *value) {
    return copy->is_absent == value->is_null && (value->is_null || strcmp(copy->value, value->text) == 0);
}

/* ">[invalidate, [keys]]", or a null for all of them. */
static void drop(struct client *client, const struct resp3_value *push) {
    assert_true(push->count == 2 && strcmp(push->elements[0].text, "invalidate") == 0);
    const struct resp3_value *keys = &push->elements[1];
    for (int i = 0; keys->is_null && i < KEYS; i++) client->copies[i].is_held = false;
    for (size_t i = 0; i < keys->count; i++) {
        int number = atoi(keys->elements[i].text + strlen("key:"));
        assert_in_range(number, 0, KEYS - 1);
        client->copies[number].is_held = false;
    }
}

/* The next reply; what it is told before is dropped. */
static struct resp3_value *read_reply(struct client *client) {
    for (;;) {
        struct resp3_value *value = resp3_read(client->tracking);
        if (value->kind != '>') return value;
        drop(client, value);
        resp3_value_free(value);
    }
}

static void send_for(struct resp3 *connection, const char *command, int key) {
    char request[NAME_MOST * 2];
    snprintf(request, sizeof request, "%s key:%d\r\n", command, key);
    resp3_send_text(connection, request);
}

/* What it doesn't hold, in one go; BCAST notes nothing, and so is asked before the reads. */
static void fill(struct client *client, const int *asked) {
    bool is_sent[ASKED] = {false};
    for (int i = 0; i < ASKED; i++)
        if (!client->copies[asked[i]].is_held) {
            send_for(client->tracking, "GET", asked[i]);
            is_sent[i] = true;
        }
    for (int i = 0; i < ASKED; i++) {
        if (!is_sent[i]) continue;
        struct resp3_value *value = read_reply(client);
        copy_fill(&client->copies[asked[i]], value);
        resp3_value_free(value);
    }
}

static void compare(const struct client *client, const struct resp3_value *truth, int key) {
    const struct copy *copy = &client->copies[key];
    if (!copy->is_held) return;
    atomic_fetch_add_explicit(&checked_reads, 1, memory_order_relaxed);
    if (copy_is(copy, truth)) return;
    fprintf(stderr, "# not so: key:%d is held as '%s' (TRACKING ON %s), and was '%s' before the PING\n", key,
            copy->is_absent ? "(nil)" : copy->value, client->options, truth->is_null ? "(nil)" : truth->text);
    atomic_store(&complaint, "a copy is older than what was told");
}

static void check(struct client *client, const int *asked) {
    struct resp3_value *truths[ASKED];
    for (int i = 0; i < ASKED; i++) send_for(client->plain, "GET", asked[i]);
    for (int i = 0; i < ASKED; i++) truths[i] = resp3_read(client->plain);
    resp3_send_text(client->tracking, "PING\r\n");
    resp3_value_free(read_reply(client));
    for (int i = 0; i < ASKED; i++) {
        compare(client, truths[i], asked[i]);
        resp3_value_free(truths[i]);
    }
}

static void *keep_copies(void *argument) {
    struct client *client = argument;
    char request[NAME_MOST * 2];
    client->tracking = connect_three();
    client->plain = connect_three();
    snprintf(request, sizeof request, "CLIENT TRACKING ON %s\r\n", client->options);
    resp3_send_text(client->tracking, request);
    resp3_expect(client->tracking, "+OK\r\n");
    while (!atomic_load(&is_over) && atomic_load(&complaint) == NULL) {
        int asked[ASKED];
        for (int i = 0; i < ASKED; i++) asked[i] = (int)(draw(&client->seed) % KEYS);
        fill(client, asked);
        check(client, asked);
    }
    resp3_close(client->tracking);
    resp3_close(client->plain);
    return NULL;
}

/* ------------------------------------------------------------------ writers */

struct writer {
    pthread_t thread;
    uint32_t seed;
};

static const char filler[4000];

static void write_one(struct writer *writer, redisContext *connection) {
    uint32_t what = draw(&writer->seed) % 1000, one = draw(&writer->seed) % KEYS,
             other = draw(&writer->seed) % KEYS;
    unsigned long long value = atomic_fetch_add(&next_value, 1);
    if (what < 200)
        redisAppendCommand(connection, "SET key:%u %llu PX %u", one, value, 1 + what % 8);
    else if (what < 700)
        redisAppendCommand(connection, "SET key:%u %llu", one, value);
    else if (what < 800)
        redisAppendCommand(connection, "MSET key:%u %llua key:%u %llub", one, value, other, value);
    else if (what < 850)
        redisAppendCommand(connection, "DEL key:%u", one);
    else if (what < 900)
        redisAppendCommand(connection, "RENAME key:%u key:%u", one, other);
    else if (what < 950)
        redisAppendCommand(
            connection, "EVAL %s 2 key:%u key:%u %llu",
            "redis.call('set', KEYS[1], ARGV[1] .. 'c') redis.call('set', KEYS[2], ARGV[1] .. 'd')", one,
            other, value);
    else if (what < 999) /* what fills the memory, so that others are evicted */
        redisAppendCommand(connection, "SET filler:%u %b", draw(&writer->seed) % 2048, filler, sizeof filler);
    else
        redisAppendCommand(connection, "FLUSHALL");
}

static void *write_on(void *argument) {
    enum { DEPTH = 4 };
    struct writer *writer = argument;
    redisContext *connection = server_connect(server);
    while (!atomic_load(&is_over) && atomic_load(&complaint) == NULL) {
        for (int i = 0; i < DEPTH; i++) write_one(writer, connection);
        for (int i = 0; i < DEPTH; i++) {
            redisReply *reply = NULL;
            if (redisGetReply(connection, (void **)&reply) != REDIS_OK)
                atomic_store(&complaint, "a writer's connection is broken");
            if (reply != NULL) freeReplyObject(reply);
            if (atomic_load(&complaint) != NULL) break;
        }
    }
    redisFree(connection);
    return NULL;
}

static void start_server(void) {
    server = server_start((const char *const[]){"--threads", "4", "--enable-debug-command", "yes", NULL});
}

static void no_copy_is_older_than_what_was_told(void **state) {
    enum { CLIENTS = 6, CLIENTS_MOST = 50, WRITERS = 2, WRITERS_MOST = 8 };
    static const char *const options[] = {"", "", "OPTOUT", "BCAST", "BCAST PREFIX key: PREFIX other"};
    (void)state;
    static struct client clients[CLIENTS_MOST];
    static struct writer writers[WRITERS_MOST];
    uint64_t reads = option("COHERENCE_READS", 0);
    int client_count = reads > 0 ? CLIENTS_MOST : CLIENTS, writer_count = reads > 0 ? WRITERS_MOST : WRITERS;
    start_server();
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "CONFIG SET maxmemory-policy allkeys-random");
    int64_t limit = info_number(admin, "used_memory") + ((int64_t)2 << 20);
    expect(admin, "OK", "CONFIG SET maxmemory %lld", (long long)limit);
    for (int i = 0; i < client_count; i++) {
        clients[i].options = options[(size_t)i % (sizeof options / sizeof options[0])];
        clients[i].seed = (uint32_t)i * 7919 + 1;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, keep_copies, &clients[i]), 0);
    }
    for (int i = 0; i < writer_count; i++) {
        writers[i].seed = (uint32_t)i * 104729 + 3;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    int64_t until = now_us() + (int64_t)option("STRESS_SECONDS", SECONDS) * 1000000;
    while (atomic_load(&complaint) == NULL &&
           (now_us() < until || atomic_load(&checked_reads) < reads ||
            info_number(admin, "evicted_keys") == 0 || info_number(admin, "expired_keys") == 0)) {
        int64_t limits[] = {limit, 40};
        int64_t which = now_us() / 100000 % 2; /* a table that is now and then too small */
        expect(admin, "OK", "CONFIG SET tracking-table-max-keys %lld", (long long)limits[which]);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < client_count; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < writer_count; i++) pthread_join(writers[i].thread, NULL);
    print_message("%llu checked reads, %lld expired, %lld evicted\n", (unsigned long long)checked_reads,
                  (long long)info_number(admin, "expired_keys"),
                  (long long)info_number(admin, "evicted_keys"));
    if (atomic_load(&complaint) != NULL) fail_msg("%s", atomic_load(&complaint));
    assert_true(atomic_load(&checked_reads) > 100);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ one write after the other */

/* The client and the writer are on each pair of workers in turn. */
static void a_write_that_was_answered_was_told_before_a_later_pong(void **state) {
    enum { WRITES = 4000, WORKERS = 4 };
    (void)state;
    uint64_t writes = option("COHERENCE_WRITES", (uint64_t)scaled(WRITES, 1000)), done = 0;
    start_server();
    for (long pair = 0; pair < WORKERS; pair++) {
        struct resp3 *client = resp3_connect_to(server, pair),
                     *writer = resp3_connect_to(server, (pair + 1) % WORKERS);
        resp3_send_text(client, "HELLO 3\r\nCLIENT TRACKING ON\r\n");
        resp3_value_free(resp3_read(client));
        resp3_expect(client, "+OK\r\n");
        for (uint64_t i = 0; i < writes / WORKERS; i++, done++) {
            char request[NAME_MOST * 2];
            unsigned key = (unsigned)(i % KEYS);
            snprintf(request, sizeof request, "EXISTS key:%u\r\n", key);
            resp3_send_text(client, request);
            resp3_value_free(resp3_read(client));
            snprintf(request, sizeof request, "SET key:%u %llu", key, (unsigned long long)i);
            resp3_exchange(writer, request, "+OK\r\n");
            resp3_send_text(client, "PING\r\n");
            struct resp3_value *value = resp3_read(client);
            if (value->kind != '>')
                fail_msg("write %llu was not told before the PONG", (unsigned long long)done);
            resp3_value_free(value);
            resp3_expect(client, "+PONG\r\n");
        }
        resp3_close(client);
        resp3_close(writer);
    }
    print_message("%llu writes, each told before the PONG\n", (unsigned long long)done);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_was_answered_was_told_before_a_later_pong),
        cmocka_unit_test(no_copy_is_older_than_what_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
