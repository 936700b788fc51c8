/* Strangers: what somebody who can reach the socket, and no more than that, can't do. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define MIB ((size_t)1024 * 1024)

static struct server *start(const char *const *further) {
    const char *options[16] = {"--threads", "2"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ web pages */

/* Its warnings come to our standard error: from here on they are kept. */
static struct {
    FILE *file;
    int standard_error;
} warnings;

static void warnings_begin(void) {
    warnings.file = tmpfile();
    assert_non_null(warnings.file);
    fflush(stderr);
    warnings.standard_error = dup(STDERR_FILENO);
    assert_int_equal(dup2(fileno(warnings.file), STDERR_FILENO), STDERR_FILENO);
}

/* All that it has warned of until it is stopped, to be freed. */
static char *stop_and_take_warnings(struct server *server) {
    stop(server);
    fflush(stderr);
    assert_int_equal(dup2(warnings.standard_error, STDERR_FILENO), STDERR_FILENO);
    close(warnings.standard_error);
    long length = fseek(warnings.file, 0, SEEK_END) == 0 ? ftell(warnings.file) : -1;
    assert_true(length >= 0);
    char *text = calloc(1, (size_t)length + 1);
    rewind(warnings.file);
    assert_int_equal(fread(text, 1, (size_t)length, warnings.file), length);
    fclose(warnings.file);
    return text;
}

static int count_within(const char *text, const char *part) {
    int count = 0;
    while ((text = strstr(text, part)) != NULL) count++, text++;
    return count;
}

static void stop_and_expect_warnings(struct server *server, const char *text, int times) {
    char *all = stop_and_take_warnings(server);
    if (count_within(all, text) != times) fail_msg("not %d times '%s': %s", times, text, all);
    free(all);
}

static void an_http_request_closes_the_connection_and_nothing_behind_it_is_obeyed(void **state) {
    (void)state;
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nAccept: */*\r\n\r\nCONFIG SET requirepass stolen\r\nSET k stolen\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:6379\r\n\r\nCONFIG SET requirepass stolen\r\nSET k stolen\r\n",
        "pOsT\r\nSET k stolen\r\n",
        "*1\r\n$4\r\nPOST\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\nstolen\r\n",
        "*2\r\n$5\r\nHOST:\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\nstolen\r\n",
    };
    warnings_begin();
    struct server *server = start(NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct resp3 *connection = resp3_connect(server);
        resp3_send_text(connection, requests[i]);
        resp3_await_end(connection);
        resp3_close(connection);
    }
    redisContext *other = server_connect(server);
    expect(other, "(nil)", "GET k");
    expect(other, "ERR unknown command 'POSTS', with args beginning with: ", "POSTS");
    expect(other, "POST", "PING POST");
    redisFree(other);
    /* Once for all of them: a page that tries again and again doesn't fill the log. */
    stop_and_expect_warnings(server, "Possible SECURITY ATTACK detected", 1);
}

/* ------------------------------------------------------------------ the log */

/* It is read by terminals and programs, which obey some bytes; and a line end would begin what looks like a
 * line of the server's own. */
static void what_a_client_says_reaches_the_log_escaped_and_cut(void **state) {
    (void)state;
    static char endless[100000];
    warnings_begin();
    struct server *server = start((const char *const[]){"--enable-debug-command", "yes", NULL});
    redisContext *client = server_connect(server);
    freeReplyObject(redisCommand(client, "EVAL %s 0 %b", "redis.log(redis.LOG_WARNING, ARGV[1])",
                                 "one\n1:M # forged\x1b[2J\xff\r\t\0", (size_t)24));
    freeReplyObject(redisCommand(client, "DEBUG LOG %b", "two\n1:M # forged", (size_t)16));
    memset(endless, '\x01', sizeof endless - 1);
    freeReplyObject(redisCommand(client, "DEBUG LOG %b", endless, sizeof endless - 1));
    redisFree(client);
    char *all = stop_and_take_warnings(server);
    assert_int_equal(count_within(all, " # one\\n1:M # forged\\x1b[2J\\xff\\r\\t\n"), 1);
    assert_int_equal(count_within(all, "DEBUG LOG: two\\n1:M # forged\n"), 1);
    assert_int_equal(count_within(all, "DEBUG LOG: \\x01\\x01"), 1);
    assert_true(strlen(all) < 3 * 4096);
    free(all);
}

/* ------------------------------------------------------------------ memory */

/* Sends, and waits until the server has it. */
static void send_and_await(struct resp3 *connection, redisContext *observer, const char *data,
                           size_t length) {
    static const char request[] = "*1\r\n$4\r\nINFO\r\n"; /* the observer's own */
    int64_t due = info_number(observer, "total_net_input_bytes") + (int64_t)length;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    resp3_send(connection, data, length);
    do due += (int64_t)sizeof request - 1;
    while (info_number(observer, "total_net_input_bytes") < due && now_us() < deadline);
    if (now_us() > deadline) fail_msg("the server doesn't receive %zu bytes", length);
}

static void an_argument_that_is_announced_and_not_sent_takes_no_room(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "1", "--maxmemory", "32mb",
                                                               "--maxmemory-policy", "allkeys-lru", NULL});
    redisContext *observer = server_connect(server);
    char *value = calloc(1, 4 * MIB);
    for (int i = 0; i < 16; i++) freeReplyObject(redisCommand(observer, "SET %d %b", i, value, MIB / 2));
    int64_t used = info_number(observer, "used_memory"), input = info_number(observer, "client_input_bytes");
    struct resp3 *strangers[8];
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nand no more";
    for (size_t i = 0; i < 8; i++) {
        strangers[i] = resp3_connect(server);
        send_and_await(strangers[i], observer, head, sizeof head - 1);
    }
    assert_true(info_number(observer, "used_memory") < used + (int64_t)MIB);
    expect(observer, "16", "DBSIZE");
    /* And as much as comes takes at most twice as much, which is counted. */
    send_and_await(strangers[0], observer, value, 4 * MIB);
    int64_t counted = info_number(observer, "client_input_bytes") - input;
    assert_true(counted >= (int64_t)(4 * MIB) && counted <= (int64_t)(9 * MIB));
    assert_true(info_number(observer, "used_memory") < used + (int64_t)(10 * MIB));
    for (size_t i = 0; i < 8; i++) resp3_close(strangers[i]);
    await_info_between(observer, "client_input_bytes", 0, input);
    expect(observer, "16", "DBSIZE");
    free(value);
    redisFree(observer);
    stop(server);
}

static void the_arguments_of_an_unfinished_request_are_counted(void **state) {
    (void)state;
    enum { ARGUMENTS = 200000 };
    struct server *server = server_start((const char *const[]){"--threads", "1", NULL});
    redisContext *observer = server_connect(server);
    int64_t input = info_number(observer, "client_input_bytes"), used = info_number(observer, "used_memory");
    struct resp3 *stranger = resp3_connect(server);
    char *empty = malloc(6 * ARGUMENTS);
    for (size_t i = 0; i < ARGUMENTS; i++) memcpy(empty + 6 * i, "$0\r\n\r\n", 6);
    send_and_await(stranger, observer, "*100000000\r\n", 12);
    assert_true(info_number(observer, "used_memory") < used + (int64_t)MIB / 4);
    send_and_await(stranger, observer, empty, 6 * ARGUMENTS);
    int64_t counted = info_number(observer, "client_input_bytes") - input,
            grown = info_number(observer, "used_memory") - used;
    assert_true(counted >= (6 + 24) * ARGUMENTS);
    assert_true(grown <= counted + (int64_t)MIB / 4);
    resp3_close(stranger);
    await_info(observer, "client_input_bytes", input);
    free(empty);
    redisFree(observer);
    stop(server);
}

/* ------------------------------------------------------------------ who has not authenticated */

static redisContext *connect_known(const struct server *server) {
    redisContext *client = server_connect(server);
    expect(client, "OK", "AUTH sesame");
    return client;
}

/* As much of a request as a stranger may send, without its last argument. */
static char *large_head(size_t *length) {
    enum { ARGUMENT = 16384, ARGUMENTS = 9 };
    char *data = malloc(ARGUMENTS * (ARGUMENT + 16) + 16), *at = data;
    at += sprintf(at, "*%d\r\n", ARGUMENTS + 1);
    for (int i = 0; i < ARGUMENTS; i++) {
        at += sprintf(at, "$%d\r\n", ARGUMENT);
        memset(at, 'x', ARGUMENT);
        at += ARGUMENT;
        at += sprintf(at, "\r\n");
    }
    *length = (size_t)(at - data);
    return data;
}

static void strangers_hold_a_bounded_sum_and_the_oldest_of_those_that_hold_something_go(void **state) {
    (void)state;
    enum { STRANGERS = 250 };
    warnings_begin();
    struct server *server = start((const char *const[]){"--requirepass", "sesame", NULL});
    redisContext *known = connect_known(server);
    struct resp3 *honest = resp3_connect(server), *strangers[STRANGERS];
    size_t length;
    char *head = large_head(&length);
    int64_t used = info_number(known, "used_memory");
    for (size_t i = 0; i < STRANGERS; i++) {
        strangers[i] = resp3_connect(server);
        resp3_send(strangers[i], head, length);
        expect(known, "PONG", "PING");
    }
    await_info_between(known, "unauthenticated_clients_closed", STRANGERS / 4, STRANGERS - 1);
    assert_in_range(info_number(known, "mem_clients_unauthenticated"), MIB, 17 * MIB);
    assert_true(info_number(known, "used_memory") < used + (int64_t)(18 * MIB));
    resp3_await_end(strangers[0]);
    resp3_await_end(strangers[1]);
    /* Who holds nothing has stayed, though nobody is older; and so has who came last. */
    resp3_exchange(honest, "AUTH sesame\r\nPING", "+OK\r\n+PONG\r\n");
    resp3_send_text(strangers[STRANGERS - 1], "$1\r\nx\r\n");
    char *line = resp3_read_line(strangers[STRANGERS - 1]);
    assert_int_equal(*line, '-');
    free(line);
    for (size_t i = 0; i < STRANGERS; i++) resp3_close(strangers[i]);
    await_info(known, "mem_clients_unauthenticated", 0);
    await_info_between(known, "used_memory", 0, used + (int64_t)MIB);
    resp3_close(honest);
    redisFree(known);
    free(head);
    stop_and_expect_warnings(server,
                             "Clients that have not authenticated held more than 16777216 bytes together", 1);
}

static void what_a_stranger_holds_is_its_own_when_it_becomes_known(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "sesame", NULL});
    redisContext *known = connect_known(server);
    struct resp3 *stranger = resp3_connect(server);
    size_t length;
    char *head = large_head(&length);
    resp3_send(stranger, head, length / 2);
    await_info_between(known, "mem_clients_unauthenticated", (int64_t)length / 2, (int64_t)length * 2);
    resp3_send(stranger, head + length / 2, length - length / 2);
    resp3_send_text(stranger, "$1\r\nx\r\nAUTH sesame\r\n");
    free(resp3_read_line(stranger));
    resp3_expect(stranger, "+OK\r\n");
    resp3_send(stranger, head, length);
    int64_t input = (int64_t)length;
    await_info_between(known, "client_input_bytes", input, INT64_MAX);
    await_info(known, "mem_clients_unauthenticated", 0);
    resp3_send_text(stranger, "$1\r\nx\r\nRESET\r\n");
    free(resp3_read_line(stranger));
    resp3_expect(stranger, "+RESET\r\n");
    resp3_send(stranger, head, length);
    await_info_between(known, "mem_clients_unauthenticated", input, input * 3);
    expect(known, "OK", "CONFIG SET requirepass %s",
           ""); /* now everybody is known, as soon as they say something */
    resp3_send_text(stranger, "$1\r\nx\r\n");
    free(resp3_read_line(stranger));
    await_info(known, "mem_clients_unauthenticated", 0);
    resp3_close(stranger);
    redisFree(known);
    free(head);
    stop(server);
}

/* What it says meanwhile doesn't count: else a byte now and then would keep it. */
static void a_stranger_has_as_long_to_authenticate_as_a_client_may_be_idle(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "sesame", "--timeout", "1", NULL});
    struct resp3 *known = resp3_connect(server), *other = resp3_connect(server),
                 *stranger = resp3_connect(server);
    resp3_exchange(known, "AUTH sesame", "+OK\r\n");
    resp3_exchange(other, "AUTH sesame", "+OK\r\n");
    int64_t began = now_us(), deadline = began + PATIENCE_SECONDS * INT64_C(1000000);
    bool is_closed = false;
    while (!is_closed && now_us() < deadline) {
        char byte;
        resp3_exchange(known, "PING", "+PONG\r\n");
        resp3_exchange(other, "RESET\r\nAUTH sesame", "+RESET\r\n+OK\r\n"); /* a stranger for a moment */
        if (send(stranger->fd, "PING\r\n", 6, MSG_NOSIGNAL) < 0) break;
        while (recv(stranger->fd, &byte, 1, 0) == 1 && byte != '\n') continue;
        is_closed = byte != '\n';
    }
    if (now_us() >= deadline) fail_msg("a stranger stays for as long as it says something");
    assert_true(now_us() - began > 900000);
    resp3_exchange(known, "PING", "+PONG\r\n");
    resp3_exchange(other, "PING", "+PONG\r\n");
    resp3_close(stranger);
    resp3_close(other);
    resp3_close(known);
    stop(server);
}

/* Strangers, each of whom does one thing again and again, and comes back when it is turned away. */
enum act { IDLES, DRIPS, SENDS_MUCH, SENDS_WRONG, READS_NOTHING, ACTS };

struct crowd_member {
    int fd;
    size_t at; /* of the bytes that it drips */
};

static int connect_quietly(const struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(fd, errno);
    assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof address), errno);
    return fd;
}

static void member_act(const struct server *server, struct crowd_member *member, enum act act,
                       const char *head, size_t head_length) {
    static const char dripped[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n", wrong[] = "*1\r\n$-7\r\n",
                      asked[] = "PING\r\nPING\r\nPING\r\nPING\r\nPING\r\nPING\r\nPING\r\nPING\r\n";
    char byte;
    ssize_t sent = 0;
    if (member->fd < 0) member->fd = connect_quietly(server);
    switch (act) {
    case DRIPS:
        sent = send(member->fd, dripped + member->at, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (member->at + 2 < sizeof dripped) member->at++;
        break;
    case SENDS_MUCH: sent = send(member->fd, head, head_length, MSG_NOSIGNAL | MSG_DONTWAIT); break;
    case SENDS_WRONG: sent = send(member->fd, wrong, sizeof wrong - 1, MSG_NOSIGNAL | MSG_DONTWAIT); break;
    case READS_NOTHING: sent = send(member->fd, asked, sizeof asked - 1, MSG_NOSIGNAL | MSG_DONTWAIT); break;
    case IDLES:
    case ACTS: break;
    }
    bool has_ended = (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) ||
                     (act != READS_NOTHING && recv(member->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0);
    if (!has_ended) return;
    close(member->fd);
    *member = (struct crowd_member){.fd = -1};
}

static void a_crowd_of_strangers_takes_a_bounded_memory_and_others_are_served(void **state) {
    (void)state;
    size_t count = (size_t)scaled(1000, 600); /* of whom a fifth send more than they all may */
    struct rlimit files;
    assert_return_code(getrlimit(RLIMIT_NOFILE, &files), errno);
    files.rlim_cur = files.rlim_max;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &files), errno);
    warnings_begin();
    struct server *server = start((const char *const[]){"--requirepass", "sesame", NULL});
    redisContext *known = connect_known(server);
    struct crowd_member *members = malloc(count * sizeof *members);
    size_t head_length;
    char *head = large_head(&head_length);
    int64_t used = info_number(known, "used_memory"), most = 0;
    for (size_t i = 0; i < count; i++) members[i] = (struct crowd_member){.fd = -1};
    for (int round = 0; round < 40; round++) {
        for (size_t i = 0; i < count; i++) {
            member_act(server, &members[i], (enum act)(i % ACTS), head, head_length);
            if (i % 20 == 0) expect(known, "PONG", "PING");
        }
        int64_t now = info_number(known, "used_memory");
        if (now > most) most = now;
        /* And what comes before a worker looks again. */
        assert_true(info_number(known, "mem_clients_unauthenticated") <= (int64_t)(17 * MIB));
    }
    /* Beside what they may hold: each, and what is received at a time. */
    int64_t grown = most - used, bound = (int64_t)(16 * MIB) + (int64_t)count * 600 + (int64_t)(4 * MIB);
    if (grown > bound) fail_msg("%lld bytes more, for %zu strangers", (long long)grown, count);
    assert_true(info_number(known, "unauthenticated_clients_closed") > 0);
    for (size_t i = 0; i < count; i++)
        if (members[i].fd >= 0) close(members[i].fd);
    await_info(known, "mem_clients_unauthenticated", 0);
    await_info(known, "connected_clients", 1);
    redisFree(known);
    free(members);
    free(head);
    char *all = stop_and_take_warnings(server); /* they fill no log */
    assert_true(count_within(all, "\n") < 50);
    free(all);
}

/* ------------------------------------------------------------------ time */

/* CPU that a request of many small arguments and some large ones takes; which come first is the only
 * difference. */
static double cpu_of_arguments(const struct server *server, bool is_small_first) {
    enum { SMALL = 600000, LARGE = 1000 };
    static char large[17000];
    struct resp3 *connection = resp3_connect(server);
    char *small = malloc(6 * SMALL), head[64];
    for (size_t i = 0; i < SMALL; i++) memcpy(small + 6 * i, "$0\r\n\r\n", 6);
    double before = server_cpu_seconds(server);
    snprintf(head, sizeof head, "*%d\r\n$6\r\nEXISTS\r\n", 1 + SMALL + LARGE);
    resp3_send_text(connection, head);
    if (is_small_first) resp3_send(connection, small, 6 * SMALL);
    for (size_t i = 0; i < LARGE; i++) {
        resp3_send_text(connection, "$17000\r\n");
        resp3_send(connection, large, sizeof large);
        resp3_send_text(connection, "\r\n");
    }
    if (!is_small_first) resp3_send(connection, small, 6 * SMALL);
    resp3_expect(connection, ":0\r\n");
    double used = server_cpu_seconds(server) - before;
    free(small);
    resp3_close(connection);
    return used;
}

static void the_order_of_small_and_large_arguments_does_not_matter(void **state) {
    (void)state;
    struct server *server = start(NULL);
    double least_first = 0, least_last = 0;
    for (int i = 0; i < 3; i++) {
        double last = cpu_of_arguments(server, false), first = cpu_of_arguments(server, true);
        if (i == 0 || first < least_first) least_first = first;
        if (i == 0 || last < least_last) least_last = last;
    }
    if (least_first > 2 * least_last + 0.05)
        fail_msg("%.2f s of CPU, in the other order %.2f", least_first, least_last);
    stop(server);
}

/* ------------------------------------------------------------------ cursors */

/* A whole scan; returns how many of its cursors were larger than the one before, of those that had one. */
static int scan_rises(redisContext *connection, const char *command, int *cursors, size_t *found) {
    char cursor[32] = "0", request[96];
    uint64_t before = 0;
    int rises = 0;
    *cursors = 0;
    *found = 0;
    do {
        snprintf(request, sizeof request, command, cursor);
        redisReply *reply = redisCommand(connection, request);
        assert_int_equal(reply->elements, 2);
        *found += reply->element[1]->elements;
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        freeReplyObject(reply);
        uint64_t now = strtoull(cursor, NULL, 10);
        assert_true(now < UINT64_C(1) << 52);
        if (now != 0 && ++*cursors > 1) rises += now > before;
        before = now;
    } while (strcmp(cursor, "0") != 0);
    return rises;
}

/* A cursor was a piece of a hash, and so rose with each call; a few hundred of them give the hash's secret
 * away. */
static void a_cursor_tells_nothing_of_the_hash(void **state) {
    (void)state;
    static const char *const commands[] = {"SCAN %s COUNT 1", "SSCAN set %s COUNT 1", "HSCAN hash %s COUNT 1",
                                           "ZSCAN zset %s COUNT 1"};
    struct server *server = start((const char *const[]){"--shards", "64", NULL});
    redisContext *connection = server_connect(server);
    for (int i = 0; i < 3000; i++) {
        freeReplyObject(redisCommand(connection, "SADD set %d", i));
        freeReplyObject(redisCommand(connection, "HSET hash %d v", i));
        freeReplyObject(redisCommand(connection, "ZADD zset 1 %d", i));
        freeReplyObject(redisCommand(connection, "SET %d v", i));
    }
    for (size_t i = 0; i < 4; i++) {
        int cursors;
        size_t found, expected = i == 0 ? 3003 : i == 1 ? 3000 : 6000;
        int rises = scan_rises(connection, commands[i], &cursors, &found);
        assert_int_equal(found, expected);
        /* Half of them, by seven standard deviations. */
        assert_true(cursors > 100);
        assert_in_range(rises, cursors / 4, cursors - cursors / 4);
    }
    expect(connection, "ERR invalid cursor", "SCAN x");
    expect(connection, "[0, []]", "SSCAN set 4503599627370496"); /* none of ours */
    expect(connection, "[0, []]", "SCAN 4503599627370496");
    redisFree(connection);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_request_closes_the_connection_and_nothing_behind_it_is_obeyed),
        cmocka_unit_test(what_a_client_says_reaches_the_log_escaped_and_cut),
        cmocka_unit_test(an_argument_that_is_announced_and_not_sent_takes_no_room),
        cmocka_unit_test(the_arguments_of_an_unfinished_request_are_counted),
        cmocka_unit_test(strangers_hold_a_bounded_sum_and_the_oldest_of_those_that_hold_something_go),
        cmocka_unit_test(what_a_stranger_holds_is_its_own_when_it_becomes_known),
        cmocka_unit_test(a_stranger_has_as_long_to_authenticate_as_a_client_may_be_idle),
        cmocka_unit_test(a_crowd_of_strangers_takes_a_bounded_memory_and_others_are_served),
        cmocka_unit_test(the_order_of_small_and_large_arguments_does_not_matter),
        cmocka_unit_test(a_cursor_tells_nothing_of_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
