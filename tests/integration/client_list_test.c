/* CLIENT LIST and CLIENT INFO: every field of Redis 7.2, in its order, whatever clients call themselves; and
 * what many ids cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/resp3.h"

static struct server *start(const char *threads) {
    return server_start((const char *const[]){"--threads", threads, NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* What a request is answered with, a text, to be freed. */
static char *ask(struct resp3 *connection, const char *request) {
    resp3_send_text(connection, request);
    resp3_send_text(connection, "\r\n");
    struct resp3_value *value = resp3_read(connection);
    assert_int_equal(value->kind, '$');
    char *text = strdup(value->text);
    assert_non_null(text);
    resp3_value_free(value);
    return text;
}

/* The number in a client's line, behind name=. */
static long number_of(const char *line, const char *name) {
    char key[32];
    snprintf(key, sizeof key, " %s=", name);
    const char *found = strstr(line, key);
    if (found == NULL) fail_msg("no %s in %s", name, line);
    return strtol(found + strlen(key), NULL, 10);
}

static const char *const fields[] = {
    "id",   "addr", "laddr",   "fd",     "name",      "age",      "idle",      "flags", "db",       "sub",
    "psub", "ssub", "multi",   "qbuf",   "qbuf-free", "argv-mem", "multi-mem", "rbs",   "rbp",      "obl",
    "oll",  "omem", "tot-mem", "events", "cmd",       "user",     "redir",     "resp",  "lib-name", "lib-ver",
};

/* Checks one line and returns where the next one begins. */
static const char *expect_all_fields(const char *line) {
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        size_t length = strlen(fields[i]);
        if (strncmp(line, fields[i], length) != 0 || line[length] != '=')
            fail_msg("expected %s= at: %.60s", fields[i], line);
        line += strcspn(line, " \n");
        assert_int_equal(*line, i + 1 == sizeof fields / sizeof fields[0] ? '\n' : ' ');
        line++;
    }
    return line;
}

static void a_long_name_hides_no_field_and_no_other_client(void **state) {
    enum { LENGTH = 100000 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *one = resp3_connect(server), *other = resp3_connect(server);
    char *name = malloc(LENGTH + 1);
    assert_non_null(name);
    memset(name, 'n', LENGTH);
    name[LENGTH] = '\0';
    RESP3_COMMAND(one, "CLIENT", "SETNAME", name);
    resp3_expect(one, "+OK\r\n");
    RESP3_COMMAND(one, "CLIENT", "SETINFO", "LIB-NAME", name);
    resp3_expect(one, "+OK\r\n");
    char *text = ask(other, "CLIENT LIST");
    assert_string_equal(expect_all_fields(expect_all_fields(text)), "");
    free(text);
    text = ask(one, "CLIENT INFO");
    assert_string_equal(expect_all_fields(text), "");
    assert_true(strlen(text) > 2 * LENGTH);
    free(text);
    free(name);
    resp3_close(one);
    resp3_close(other);
    stop(server);
}

static void what_has_come_of_a_request_is_in_qbuf_however_long_it_will_be(void **state) {
    (void)state;
    struct server *server = start("2");
    struct resp3 *one = resp3_connect(server), *other = resp3_connect(server);
    char bytes[1001], request[64], *list;
    memset(bytes, 'x', 1000);
    bytes[1000] = '\0';
    resp3_exchange(one, "CLIENT ID", ":1\r\n");
    resp3_send_text(one,
                    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n"); /* an argument that is received apart */
    resp3_send_text(one, bytes);
    snprintf(request, sizeof request, "CLIENT LIST ID 1");
    long input;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    do {
        if (now_us() > deadline) fail_msg("qbuf doesn't tell of it");
        list = ask(other, request);
        input = number_of(list, "qbuf");
        free(list);
    } while (input < 1000); /* it may be on its way */
    assert_in_range(input, 1000, 1100);
    resp3_close(one);
    resp3_close(other);
    stop(server);
}

/* As much as a client may be owed and still be run. Large replies are sent by reference, each in a block of
 * its own; of small ones the loop keeps what the socket has no room for. */
static void expect_all_counted(const char *backend, size_t value_length, int requests) {
    struct server *server = server_start(
        (const char *const[]){"--threads", "1", "--io-backend", backend, "--unixsocket", "socket", NULL});
    char path[128], *value = malloc(value_length + 1);
    snprintf(path, sizeof path, "%s/socket", server->directory);
    struct resp3 *one = resp3_connect_path(path), *other = resp3_connect(server);
    assert_non_null(value);
    memset(value, 'v', value_length);
    value[value_length] = '\0';
    RESP3_COMMAND(one, "SET", "k", value);
    resp3_expect(one, "+OK\r\n");
    for (int i = 0; i < requests; i++) /* and nothing is read */
        assert_int_equal(send(one->fd, "GET k\r\n", 7, MSG_NOSIGNAL), 7);
    char header[32];
    size_t made = (size_t)requests * (value_length + (size_t)sprintf(header, "$%zu\r\n\r\n", value_length));
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    for (;;) {
        int in_socket = 0;
        char *list = ask(other, "CLIENT LIST ID 1");
        long memory = number_of(list, "omem"), blocks = number_of(list, "oll");
        free(list);
        assert_int_equal(ioctl(one->fd, FIONREAD, &in_socket), 0);
        long owed = (long)made - in_socket;
        if (blocks > 0 && memory >= owed + blocks * 8) break;
        if (now_us() > deadline)
            fail_msg("%s: %zu bytes, of which %d are in the socket, but omem=%ld oll=%ld", backend, made,
                     in_socket, memory, blocks);
    }
    free(value);
    resp3_close(one);
    resp3_close(other);
    stop(server);
}

static void all_that_a_client_is_owed_is_in_omem_wherever_it_is_kept(void **state) {
    (void)state;
    expect_all_counted("io_uring", 20000, 20);
    expect_all_counted("epoll", 20000, 20);
    expect_all_counted("io_uring", 100, 3000);
    expect_all_counted("epoll", 100, 3000);
}

static void clients_are_listed_in_the_order_of_the_ids_asked_for(void **state) {
    enum { CLIENTS = 9 };
    static const long order[] = {7, 2, 9, 2, 1, 8};
    (void)state;
    struct server *server = start("4");
    struct resp3 *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = resp3_connect(server);
        resp3_send_text(clients[i], "CLIENT ID\r\n");
        resp3_value_free(resp3_read(clients[i]));
    }
    char *list = ask(clients[0], "CLIENT LIST ID 7 2 1000 9 2 -5 1 8");
    const char *line = list;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_int_equal(strtol(line + strlen("id="), NULL, 10), order[i]);
        line = expect_all_fields(line);
    }
    assert_string_equal(line, "");
    free(list);
    resp3_exchange(clients[0], "CLIENT LIST ID 1000", "$0\r\n\r\n");
    resp3_exchange(clients[0], "CLIENT LIST TYPE pubsub", "$0\r\n\r\n");
    for (int i = 0; i < CLIENTS; i++) resp3_close(clients[i]);
    stop(server);
}

static void await_place(struct resp3 *admin, const char *request, const char *place) {
    char *text = NULL;
    do {
        free(text);
        text = ask(admin, request);
    } while (strstr(text, place) == NULL);
    free(text);
}

/* Wherever they are, and where they have been they aren't found. */
static void clients_are_found_by_their_ids_after_they_have_moved(void **state) {
    enum { CLIENTS = 40 };
    (void)state;
    struct server *server = start("2");
    struct resp3 *clients[CLIENTS], *admin = resp3_connect(server);
    char text[64];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = resp3_connect(server);
        snprintf(text, sizeof text, ":%d\r\n", i + 2);
        resp3_exchange(admin, "PING", "+PONG\r\n");
        resp3_exchange(clients[i], "CLIENT ID", text);
    }
    for (int times = 0; times < 3; times++) {
        resp3_exchange(admin, "DEBUG MOVE-CLIENTS", "+OK\r\n");
        for (int i = 0; i < CLIENTS; i++) resp3_exchange(clients[i], "PING", "+PONG\r\n");
    }
    await_place(admin, "INFO clients", "connected_clients:41\r\n");
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(text, sizeof text, "CLIENT LIST ID %d", i + 2);
        char *list = ask(admin, text);
        assert_int_equal(strtol(list + strlen("id="), NULL, 10), i + 2);
        assert_string_equal(expect_all_fields(list), "");
        free(list);
        snprintf(text, sizeof text, "CLIENT KILL ID %d", i + 2);
        if (i % 2 == 0)
            resp3_exchange(admin, text, ":1\r\n");
        else
            resp3_send_text(clients[i], "BLPOP nothing 0\r\n");
        if (i % 2 == 0) resp3_exchange(admin, text, ":0\r\n");
    }
    await_place(admin, "INFO clients", "blocked_clients:20\r\n");
    for (int i = 1; i < CLIENTS; i += 2) {
        snprintf(text, sizeof text, "CLIENT UNBLOCK %d", i + 2);
        resp3_exchange(admin, text, ":1\r\n");
        resp3_expect(clients[i], "*-1\r\n");
    }
    for (int i = 0; i < CLIENTS; i++) resp3_close(clients[i]);
    resp3_close(admin);
    stop(server);
}

enum { IDS = 20000 };

/* CPU time of the server for some requests with many ids. */
static double seconds_for_ids(const struct server *server, struct resp3 *connection) {
    double before = server_cpu_seconds(server);
    for (int times = 0; times < 5; times++) {
        char word[32];
        snprintf(word, sizeof word, "*%d\r\n", 3 + IDS);
        resp3_send_text(connection, word);
        resp3_send_text(connection, "$6\r\nCLIENT\r\n$4\r\nLIST\r\n$2\r\nID\r\n");
        for (int i = 0; i < IDS; i++) {
            snprintf(word, sizeof word, "$7\r\n%d\r\n", 1000000 + i);
            resp3_send_text(connection, word);
        }
        resp3_expect(connection, "$0\r\n\r\n");
    }
    return server_cpu_seconds(server) - before;
}

/* Comparing each client with each id made it a hundred times as much. */
static void many_ids_cost_little_more_among_many_clients(void **state) {
    enum { IDLE = 1000 };
    (void)state;
    struct server *server = start("1");
    struct resp3 *connection = resp3_connect(server);
    static struct resp3 *idle[IDLE];
    double alone = seconds_for_ids(server, connection);
    for (int i = 0; i < IDLE; i++) idle[i] = resp3_connect(server);
    resp3_exchange(idle[IDLE - 1], "CLIENT ID", ":1001\r\n");
    double among = seconds_for_ids(server, connection);
    if (among > 5 * alone + 0.05) fail_msg("%f s alone, %f s among %d clients", alone, among, IDLE);
    for (int i = 0; i < IDLE; i++) resp3_close(idle[i]);
    resp3_close(connection);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_name_hides_no_field_and_no_other_client),
        cmocka_unit_test(what_has_come_of_a_request_is_in_qbuf_however_long_it_will_be),
        cmocka_unit_test(all_that_a_client_is_owed_is_in_omem_wherever_it_is_kept),
        cmocka_unit_test(clients_are_listed_in_the_order_of_the_ids_asked_for),
        cmocka_unit_test(clients_are_found_by_their_ids_after_they_have_moved),
        cmocka_unit_test(many_ids_cost_little_more_among_many_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
