/* Clients that write all that they have to say before they read a word, and those that write while they wait:
 * every client is read, within its limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static struct server *server;
static redisContext *admin;

static void start(const char *const *further) {
    const char *options[24] = {"--threads", "2", "--unixsocket", "socket"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[4 + i] = further[i];
    server = server_start(options);
    admin = server_connect(server);
    expect(admin, "OK", "CLIENT NO-EVICT ON");
}

static void stop(void) {
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

static struct resp3 *connect_by(bool is_unix) {
    char path[128];
    snprintf(path, sizeof path, "%s/socket", server->directory);
    struct resp3 *connection = is_unix ? resp3_connect_path(path) : resp3_connect(server);
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connection;
}

/* As a blocking client sends: all of it, and nothing is read meanwhile. False if the server closes. */
static bool send_blindly(struct resp3 *connection, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(connection->fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && !(errno == EPIPE || errno == ECONNRESET))
            fail_msg("%zu bytes are not taken: %s", length, strerror(errno));
        if (sent < 0) return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

struct text {
    char *data;
    size_t length;
};

static struct text repeat(const char *text, size_t length, size_t times) {
    struct text repeated = {malloc(length * times), length * times};
    assert_non_null(repeated.data);
    for (size_t i = 0; i < times; i++) memcpy(repeated.data + i * length, text, length);
    return repeated;
}

/* Sends a request so many times before it reads, by TCP and by a unix socket; each is to be answered by the
 * same bytes. */
static void expect_pipeline(const char *request, size_t request_length, const char *answer,
                            size_t answer_length, size_t times) {
    struct text all = repeat(request, request_length, times);
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        struct resp3 *client = connect_by(is_unix);
        assert_true(send_blindly(client, all.data, all.length));
        for (size_t i = 0; i < times; i++) resp3_expect_bytes(client, answer, answer_length);
        resp3_close(client);
    }
    free(all.data);
}

static void large_sets_and_gets_are_all_answered_to_who_reads_after_the_last_of_them(void **state) {
    enum { LENGTH = 10240 };
    (void)state;
    start(NULL);
    char request[LENGTH + 100], answer[LENGTH + 100], value[LENGTH + 1] = "";
    memset(value, 'v', LENGTH);
    int request_length =
        snprintf(request, sizeof request,
                 "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", LENGTH, value);
    int answer_length = snprintf(answer, sizeof answer, "+OK\r\n$%d\r\n%s\r\n", LENGTH, value);
    expect_pipeline(request, (size_t)request_length, answer, (size_t)answer_length,
                    (size_t)scaled(4000, 1000));
    await_info(admin, "client_output_bytes", 0);
    stop();
}

static void small_gets_are_all_answered_to_who_reads_after_the_last_of_them(void **state) {
    (void)state;
    start(NULL);
    char answer[128], value[101] = "";
    memset(value, 'v', 100);
    expect(admin, "OK", "SET k %s", value);
    int answer_length = snprintf(answer, sizeof answer, "$100\r\n%s\r\n", value);
    expect_pipeline("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 20, answer, (size_t)answer_length,
                    (size_t)scaled(50000, 10000));
    stop();
}

/* Keys are hashed before the requests ahead of them have run. */
static void who_selects_a_database_finds_its_keys_in_the_same_pipeline(void **state) {
    (void)state;
    start(NULL);
    expect(admin, "OK", "SET k one");
    char request[512] = "", answer[512] = "";
    static const char get[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    snprintf(request, sizeof request,
             "%s%s*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n%s"
             "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nother\r\n%s%s*1\r\n$8\r\nFLUSHALL\r\n"
             "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\none\r\n",
             get, get, get, get, get);
    snprintf(answer, sizeof answer,
             "$3\r\none\r\n$3\r\none\r\n+OK\r\n$-1\r\n+OK\r\n$5\r\nother\r\n$5\r\nother\r\n"
             "+OK\r\n+OK\r\n+OK\r\n");
    expect_pipeline(request, strlen(request), answer, strlen(answer), 100);
    stop();
}

/* The requests are small, so that they wait rather than their answers. */
static void ranges_are_all_answered_to_who_reads_after_the_last_of_them(void **state) {
    enum { ELEMENTS = 500 };
    (void)state;
    start(NULL);
    static char answer[ELEMENTS * 10 + 100];
    size_t length = (size_t)snprintf(answer, sizeof answer, "*%d\r\n", ELEMENTS);
    for (int i = 0; i < ELEMENTS; i++) {
        char element[16];
        snprintf(element, sizeof element, "e%03d", i);
        redisAppendCommand(admin, "RPUSH l %s", element);
        length += (size_t)snprintf(answer + length, sizeof answer - length, "$4\r\n%s\r\n", element);
    }
    for (int i = 0; i < ELEMENTS; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(admin, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    expect_pipeline("LRANGE l 0 -1\r\n", 15, answer, length, (size_t)scaled(10000, 1000));
    stop();
}

/* ------------------------------------------------------------------ limits */

/* The second client writes as much and reads. */
static void who_never_reads_is_closed_at_its_limit_and_who_does_is_not(void **state) {
    (void)state;
    start((const char *const[]){"--client-output-buffer-limit", "normal 32mb 0 0", NULL});
    char value[1025] = "";
    memset(value, 'v', 1024);
    expect(admin, "OK", "SET k %s", value);
    struct text all = repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 20, 200000);
    struct resp3 *client = connect_by(false);
    send_blindly(client, all.data, all.length);
    await_info(admin, "client_output_buffer_limit_disconnections", 1);
    resp3_close(client);
    client = connect_by(false);
    for (int i = 0; i < 40; i++) { /* 40 MB in all, and it reads after each */
        resp3_send(client, all.data, 20 * 1000);
        for (int j = 0; j < 1000; j++) {
            resp3_expect(client, "$1024\r\nvvv");
            free(resp3_read_bytes(client, 1024 - 3 + 2));
        }
    }
    resp3_close(client);
    free(all.data);
    await_info(admin, "client_output_buffer_limit_disconnections", 1);
    stop();
}

static void many_that_never_read_are_closed_from_the_largest_on(void **state) {
    enum { CLIENTS = 8 };
    (void)state;
    start((const char *const[]){"--maxmemory-clients", "48mb", NULL});
    char value[1025] = "";
    memset(value, 'v', 1024);
    expect(admin, "OK", "SET k %s", value);
    struct text all = repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 20, 40000); /* 40 MB of answers */
    struct resp3 *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = connect_by(i % 2 != 0);
        send_blindly(clients[i], all.data, all.length);
    }
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (info_number(admin, "evicted_clients") == 0 ||
           info_number(admin, "mem_clients_normal") > (int64_t)(48 * MIB))
        if (now_us() > deadline) fail_msg("nobody is closed");
    for (int i = 0; i < CLIENTS; i++) resp3_close(clients[i]);
    await_info(admin, "connected_clients", 1);
    await_info(admin, "client_output_bytes", 0);
    await_info(admin, "client_input_bytes", 0);
    free(all.data);
    stop();
}

static size_t peak_resident(void) {
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server->pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("can't read %s", path);
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %zu", &kib) != 1) continue;
    fclose(file);
    return kib * KIB;
}

/* Counts come from the client; as many elements as there are come from others. */
static void a_reply_longer_than_the_limit_is_not_even_made(void **state) {
    static const char *const requests[] = {"SRANDMEMBER s -100000000",
                                           "HRANDFIELD h -100000000",
                                           "ZRANDMEMBER z -100000000",
                                           "KEYS *",
                                           "SMEMBERS many",
                                           "ECHO after"};
    enum { REQUESTS = sizeof requests / sizeof *requests, CLOSED = REQUESTS - 1 };
    (void)state;
    const int many = scaled(100000, 20000);
    start((const char *const[]){"--client-output-buffer-limit", "normal 1mb 0 0", NULL});
    char value[1001] = "";
    memset(value, 'v', 1000);
    expect(admin, "1", "SADD s %s", value);
    expect(admin, "1", "HSET h %s 1", value);
    expect(admin, "1", "ZADD z 1 %s", value);
    for (int i = 0; i < many; i++) {
        redisAppendCommand(admin, "SADD many %0100d", i);
        redisAppendCommand(admin, "SET key:%0100d v", i);
    }
    for (int i = 0; i < 2 * many; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(admin, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    size_t before = peak_resident();
    for (int i = 0; i < REQUESTS; i++) {
        struct resp3 *client = connect_by(false);
        resp3_send_text(client, requests[i]);
        resp3_send_text(client, "\r\n");
        if (i < CLOSED) {
            resp3_await_end(client);
            await_info(admin, "client_output_buffer_limit_disconnections", i + 1);
        } else {
            resp3_expect(client, "$5\r\nafter\r\n");
        }
        resp3_close(client);
    }
    assert_in_range(peak_resident() - before, 0, 64 * MIB);
    stop();
}

static void clients_have_a_bound_without_anybody_setting_one(void **state) {
    (void)state;
    start(NULL);
    int64_t bound = info_number(admin, "maxmemory_clients"),
            machine = info_number(admin, "total_system_memory");
    assert_in_range(bound, MIB, machine / 2);
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)bound);
    redisReply *reply = redisCommand(admin, "CONFIG GET maxmemory-clients");
    assert_string_equal(reply->element[1]->str, text);
    freeReplyObject(reply);
    expect(admin, "OK", "CONFIG SET maxmemory-clients 0");
    assert_int_equal(info_number(admin, "maxmemory_clients"), 0);
    stop();
}

/* ------------------------------------------------------------------ who waits */

static void await_blocked(long count) {
    await_info(admin, "blocked_clients", count);
}

static void who_waits_for_a_key_is_read_and_gets_what_it_asked_for_meanwhile(void **state) {
    (void)state;
    const int times = scaled(300000, 50000);
    start(NULL);
    struct resp3 *client = connect_by(false);
    send_blindly(client, "BLPOP k 0\r\n", 11);
    await_blocked(1);
    struct text all = repeat("INCR count\r\n", 12, (size_t)times);
    assert_true(send_blindly(client, all.data, all.length));
    expect(admin, "1", "RPUSH k v");
    resp3_expect(client, "*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
    for (int i = 1; i <= times; i++) {
        char count[16];
        snprintf(count, sizeof count, ":%d\r\n", i);
        resp3_expect(client, count);
    }
    free(all.data);
    resp3_close(client);
    stop();
}

static void who_waits_for_a_key_and_goes_is_noticed_whatever_it_had_sent(void **state) {
    (void)state;
    start(NULL);
    struct text all = repeat("PING\r\n", 6, 1000000);
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        struct resp3 *client = connect_by(is_unix);
        send_blindly(client, "BLPOP k 0\r\n", 11);
        await_blocked(1);
        assert_true(send_blindly(client, all.data, all.length));
        resp3_close(client);
        await_info(admin, "connected_clients", 1);
        await_blocked(0);
    }
    free(all.data);
    stop();
}

static void who_waits_for_a_key_is_closed_at_its_query_buffer_limit(void **state) {
    (void)state;
    start((const char *const[]){"--client-query-buffer-limit", "1mb", NULL});
    struct text all = repeat("PING\r\n", 6, 1000000);
    struct resp3 *client = connect_by(false);
    send_blindly(client, "BLPOP k 0\r\n", 11);
    await_blocked(1);
    send_blindly(client, all.data, all.length);
    await_info(admin, "client_query_buffer_limit_disconnections", 1);
    await_blocked(0);
    resp3_close(client);
    free(all.data);
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_sets_and_gets_are_all_answered_to_who_reads_after_the_last_of_them),
        cmocka_unit_test(small_gets_are_all_answered_to_who_reads_after_the_last_of_them),
        cmocka_unit_test(who_selects_a_database_finds_its_keys_in_the_same_pipeline),
        cmocka_unit_test(ranges_are_all_answered_to_who_reads_after_the_last_of_them),
        cmocka_unit_test(who_never_reads_is_closed_at_its_limit_and_who_does_is_not),
        cmocka_unit_test(many_that_never_read_are_closed_from_the_largest_on),
        cmocka_unit_test(a_reply_longer_than_the_limit_is_not_even_made),
        cmocka_unit_test(clients_have_a_bound_without_anybody_setting_one),
        cmocka_unit_test(who_waits_for_a_key_is_read_and_gets_what_it_asked_for_meanwhile),
        cmocka_unit_test(who_waits_for_a_key_and_goes_is_noticed_whatever_it_had_sent),
        cmocka_unit_test(who_waits_for_a_key_is_closed_at_its_query_buffer_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
