/* Connections: who gets one, for how long, what it knows of itself and of the others, and what one may do to
 * another. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define WORKERS 4
#define MIB ((size_t)1024 * 1024)

static struct server *start(const char *const *further) {
    const char *options[24] = {"--threads", "4"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* What CLIENT INFO says of a connection: the word behind name=, to be freed. */
static char *client_field(struct resp3 *connection, const char *name) {
    char key[32];
    resp3_send_text(connection, "CLIENT INFO\r\n");
    struct resp3_value *line = resp3_read(connection);
    snprintf(key, sizeof key, " %s=", name);
    const char *found = strstr(line->text, key);
    if (found == NULL) fail_msg("no %s in %s", name, line->text);
    found += strlen(key);
    char *word = strndup(found, strcspn(found, " \n"));
    resp3_value_free(line);
    return word;
}

static void expect_field(struct resp3 *connection, const char *name, const char *expected) {
    char *actual = client_field(connection, name);
    assert_string_equal(actual, expected);
    free(actual);
}

static void connect_many(const struct server *server, struct resp3 **connections, size_t count) {
    for (size_t i = 0; i < count; i++) {
        connections[i] = resp3_connect(server);
        resp3_exchange(connections[i], "PING", "+PONG\r\n"); /* and so it is served by its worker */
    }
}

static void close_many(struct resp3 **connections, size_t count) {
    for (size_t i = 0; i < count; i++) resp3_close(connections[i]);
}

/* ------------------------------------------------------------------ coming and going */

static void one_client_too_many_is_told_so_and_a_freed_place_is_given_on(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--maxclients", "6", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *connections[5];
    connect_many(server, connections, 5);
    for (int i = 0; i < 3; i++) {
        struct resp3 *refused = resp3_connect(server);
        resp3_expect(refused, "-ERR max number of clients reached\r\n");
        resp3_expect_end(refused);
        resp3_close(refused);
    }
    await_info(admin, "rejected_connections", 3);
    await_info(admin, "connected_clients", 6);
    for (int i = 0; i < 20; i++) {
        resp3_close(connections[i % 5]);
        await_info(admin, "connected_clients", 5);
        connections[i % 5] = resp3_connect(server);
        resp3_exchange(connections[i % 5], "PING", "+PONG\r\n");
    }
    expect(admin, "OK", "CONFIG SET maxclients 7");
    struct resp3 *seventh = resp3_connect(server);
    resp3_exchange(seventh, "PING", "+PONG\r\n");
    /* Fewer than there are: all stay, and nobody new comes. */
    expect(admin, "OK", "CONFIG SET maxclients 2");
    struct resp3 *refused = resp3_connect(server);
    resp3_expect(refused, "-ERR max number of clients reached\r\n");
    resp3_expect_end(refused);
    resp3_exchange(seventh, "PING", "+PONG\r\n");
    resp3_close(refused);
    resp3_close(seventh);
    close_many(connections, 5);
    redisFree(admin);
    stop(server);
}

static bool has_ended(const struct resp3 *connection) {
    char byte;
    return recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void an_idle_client_is_closed_after_the_timeout_and_a_busy_one_or_a_monitor_is_not(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *busy = server_connect(server);
    struct resp3 *idle = resp3_connect(server), *monitor = resp3_connect(server);
    resp3_exchange(idle, "PING", "+PONG\r\n");
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    int64_t from = now_us(), deadline = from + PATIENCE_SECONDS * INT64_C(1000000);
    expect(busy, "OK", "CONFIG SET timeout 1");
    while (!has_ended(idle)) {
        expect(busy, "PONG", "PING");
        if (now_us() > deadline) fail_msg("the idle client is still there");
    }
    assert_true(now_us() - from >= 900000); /* the server's clock has steps of its own */
    assert_false(has_ended(monitor));
    expect(busy, "OK", "CONFIG SET timeout 0");
    resp3_close(idle);
    resp3_close(monitor);
    redisFree(busy);
    stop(server);
}

/* An option of the server's end of the connection, or its first bytes, by a copy of its descriptor; -1 if
 * that isn't allowed here. */
static int socket_option(const struct server *server, struct resp3 *connection, int level, int option) {
    char *number = client_field(connection, "fd");
    int process = pidfd_open(server->pid, 0);
    int copy = process < 0 ? -1 : pidfd_getfd(process, (int)strtol(number, NULL, 10), 0);
    int value = -1;
    socklen_t size = sizeof value;
    if (copy >= 0) {
        assert_return_code(getsockopt(copy, level, option, &value, &size), errno);
        close(copy);
    }
    if (process >= 0) close(process);
    free(number);
    return value;
}

static void tcp_keepalive_holds_for_new_connections(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--tcp-keepalive", "120", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *connection = resp3_connect(server);
    bool is_allowed = socket_option(server, connection, SOL_SOCKET, SO_KEEPALIVE) >= 0;
    if (is_allowed) {
        assert_int_equal(socket_option(server, connection, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(socket_option(server, connection, IPPROTO_TCP, TCP_KEEPIDLE), 120);
        assert_int_equal(socket_option(server, connection, IPPROTO_TCP, TCP_KEEPINTVL), 40);
        assert_int_equal(socket_option(server, connection, IPPROTO_TCP, TCP_KEEPCNT), 3);
        assert_int_equal(socket_option(server, connection, IPPROTO_TCP, TCP_NODELAY), 1);
        int reno;
        memcpy(&reno, "reno", sizeof reno);
        assert_int_equal(socket_option(server, connection, IPPROTO_TCP, TCP_CONGESTION), reno);
        expect(admin, "OK", "CONFIG SET tcp-keepalive 0");
        struct resp3 *later = resp3_connect(server);
        assert_int_equal(socket_option(server, later, SOL_SOCKET, SO_KEEPALIVE), 0);
        resp3_close(later);
    }
    resp3_close(connection);
    redisFree(admin);
    stop(server);
    if (!is_allowed) skip();
}

/* Which of these descriptors of the server each of its epolls watches: those of the listeners are in all, a
 * client's in one. A thread that isn't a worker watches nothing but what wakes it. */
static size_t count_per_worker(const struct server *server, const long *clients, size_t count,
                               size_t workers[WORKERS]) {
    char path[320], line[256];
    size_t found = 0;
    snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)server->pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *item; (item = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int)server->pid, item->d_name);
        FILE *file = fopen(path, "r");
        size_t watched = 0;
        size_t all = 0;
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            long fd;
            if (sscanf(line, "tfd: %ld", &fd) != 1) continue;
            all++;
            for (size_t i = 0; i < count; i++) watched += clients[i] == fd;
        }
        if (file != NULL) fclose(file);
        if (all < 2) continue;
        assert_true(found < WORKERS);
        workers[found++] = watched;
    }
    closedir(folder);
    return found;
}

static long descriptor_of(struct resp3 *connection) {
    char *number = client_field(connection, "fd");
    long fd = strtol(number, NULL, 10);
    free(number);
    return fd;
}

#define SPREAD 40

static void expect_even_spread(const struct server *server, struct resp3 **connections) {
    size_t workers[WORKERS] = {0};
    long clients[SPREAD];
    for (size_t i = 0; i < SPREAD; i++) clients[i] = descriptor_of(connections[i]);
    assert_int_equal(count_per_worker(server, clients, SPREAD, workers), WORKERS);
    for (size_t i = 0; i < WORKERS; i++) assert_int_equal(workers[i], SPREAD / WORKERS);
}

static long clients_seen_by(struct resp3 *connection) {
    resp3_send_text(connection, "INFO clients\r\n");
    struct resp3_value *info = resp3_read(connection);
    const char *found = strstr(info->text, "connected_clients:");
    assert_non_null(found);
    long clients = strtol(found + strlen("connected_clients:"), NULL, 10);
    resp3_value_free(info);
    return clients;
}

static void connections_are_spread_evenly_over_the_workers(void **state) {
    (void)state;
    struct server *server =
        start((const char *const[]){"--io-backend", "epoll", "--balance-clients", "no", NULL});
    struct resp3 *connections[SPREAD];
    connect_many(server, connections, SPREAD);
    expect_even_spread(server, connections);
    /* Every other one of them goes, which empties two workers, and others come. */
    for (size_t i = 0; i < SPREAD; i += 2) resp3_close(connections[i]);
    while (clients_seen_by(connections[1]) != SPREAD / 2) continue;
    for (size_t i = 0; i < SPREAD; i += 2) connect_many(server, &connections[i], 1);
    expect_even_spread(server, connections);
    close_many(connections, SPREAD);
    stop(server);
}

/* ------------------------------------------------------------------ passwords and sessions */

static void a_password_holds_for_who_comes_after_it(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *early = resp3_connect(server);
    resp3_exchange(early, "AUTH x",
                   "-ERR AUTH <password> called without any password configured for the default user. "
                   "Are you sure your configuration is "
                   "correct?\r\n");
    resp3_exchange(early, "AUTH default anything", "+OK\r\n");
    resp3_exchange(early, "CONFIG SET requirepass secret", "+OK\r\n");
    resp3_exchange(early, "PING", "+PONG\r\n");
    struct resp3 *late = resp3_connect(server);
    resp3_exchange(late, "PING", "-NOAUTH Authentication required.\r\n");
    resp3_exchange(late, "NONESUCH", "-ERR unknown command 'NONESUCH', with args beginning with: \r\n");
    resp3_exchange(late, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    resp3_exchange(late, "CONFIG GET requirepass", "-NOAUTH Authentication required.\r\n");
    resp3_exchange(late, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    resp3_exchange(late, "AUTH somebody secret",
                   "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    resp3_exchange(late, "AUTH a b c", "-ERR syntax error\r\n");
    resp3_exchange(late, "PING", "-NOAUTH Authentication required.\r\n");
    resp3_exchange(late, "AUTH secret", "+OK\r\n");
    resp3_exchange(late, "PING", "+PONG\r\n");
    resp3_exchange(late, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    resp3_exchange(late, "PING", "+PONG\r\n"); /* what it had it keeps */
    resp3_exchange(late, "RESET", "+RESET\r\n");
    resp3_exchange(late, "PING", "-NOAUTH Authentication required.\r\n");
    resp3_exchange(late, "AUTH default secret", "+OK\r\n");
    resp3_exchange(late, "CONFIG GET requirepass", "*2\r\n$11\r\nrequirepass\r\n$6\r\nsecret\r\n");
    resp3_close(late);
    resp3_close(early);
    stop(server);
}

static void who_waited_for_a_password_needs_none_when_it_is_taken_away(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "secret", NULL});
    struct resp3 *admin = resp3_connect(server), *waiting = resp3_connect(server);
    resp3_exchange(waiting, "PING", "-NOAUTH Authentication required.\r\n");
    resp3_exchange(admin, "AUTH secret", "+OK\r\n");
    resp3_exchange(admin, "CONFIG SET requirepass \"\"", "+OK\r\n");
    resp3_exchange(waiting, "PING", "+PONG\r\n");
    resp3_close(waiting);
    resp3_close(admin);
    stop(server);
}

static void quit_is_answered_and_is_the_last_that_is_run(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "secret", NULL});
    struct resp3 *connection = resp3_connect(server), *other = resp3_connect(server);
    resp3_exchange(other, "AUTH secret", "+OK\r\n");
    resp3_exchange(connection, "QUIT", "+OK\r\n"); /* without password as well */
    resp3_expect_end(connection);
    resp3_close(connection);
    connection = resp3_connect(server);
    resp3_exchange(connection, "AUTH secret\r\nSET a 1\r\nQUIT\r\nSET b 1", "+OK\r\n+OK\r\n+OK\r\n");
    resp3_expect_end(connection);
    resp3_exchange(other, "EXISTS a b", ":1\r\n");
    resp3_close(connection);
    resp3_close(other);
    stop(server);
}

static void a_session_remembers_its_database_and_reset_forgets_all(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    resp3_exchange(connection, "SET k zero", "+OK\r\n");
    resp3_exchange(connection, "SELECT 15", "+OK\r\n");
    resp3_exchange(connection, "GET k", "$-1\r\n");
    resp3_exchange(connection, "SET k fifteen", "+OK\r\n");
    resp3_exchange(connection, "SELECT 16", "-ERR DB index is out of range\r\n");
    resp3_exchange(connection, "SELECT -1", "-ERR DB index is out of range\r\n");
    resp3_exchange(connection, "SELECT x", "-ERR value is not an integer or out of range\r\n");
    resp3_exchange(connection, "GET k", "$7\r\nfifteen\r\n");
    expect_field(connection, "db", "15");
    resp3_exchange(connection, "CLIENT SETNAME me", "+OK\r\n");
    resp3_exchange(connection, "CLIENT NO-EVICT on", "+OK\r\n");
    resp3_exchange(connection, "CLIENT NO-TOUCH ON", "+OK\r\n");
    expect_field(connection, "flags", "eT");
    resp3_exchange(connection, "RESET", "+RESET\r\n");
    expect_field(connection, "flags", "N");
    expect_field(connection, "db", "0");
    expect_field(connection, "name", "");
    resp3_exchange(connection, "GET k", "$4\r\nzero\r\n");
    resp3_close(connection);
    stop(server);
}

static void a_client_is_described_by_all_the_fields_that_redis_has(void **state) {
    (void)state;
    static const char *const names[] = {"id",    "addr",  "laddr",     "fd",       "name",      "age",
                                        "idle",  "flags", "db",        "sub",      "psub",      "ssub",
                                        "multi", "qbuf",  "qbuf-free", "argv-mem", "multi-mem", "rbs",
                                        "rbp",   "obl",   "oll",       "omem",     "tot-mem",   "events",
                                        "cmd",   "user",  "redir",     "resp",     "lib-name",  "lib-ver"};
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    resp3_exchange(connection, "CLIENT SETNAME a-name", "+OK\r\n");
    resp3_exchange(connection, "CLIENT SETINFO LIB-NAME a-library", "+OK\r\n");
    resp3_exchange(connection, "CLIENT SETINFO lib-ver 1.2.3", "+OK\r\n");
    resp3_exchange(connection, "CLIENT SETINFO lib-nonsense 1",
                   "-ERR Unrecognized option 'lib-nonsense'\r\n");
    resp3_exchange(connection, "CLIENT SETINFO lib-name \"a b\"",
                   "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n");
    resp3_exchange(connection, "CLIENT SETINFO lib-name",
                   "-ERR wrong number of arguments for 'client|setinfo' command\r\n");
    resp3_exchange(connection, "CLIENT SETNAME \"a\\nb\"",
                   "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    resp3_exchange(connection, "CLIENT GETNAME", "$6\r\na-name\r\n");
    resp3_send_text(connection, "CLIENT INFO\r\n");
    struct resp3_value *line = resp3_read(connection);
    const char *at = line->text;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);
        if (strncmp(at, names[i], length) != 0 || at[length] != '=')
            fail_msg("expected %s=, got %s", names[i], at);
        at += strcspn(at, " \n") + 1;
    }
    assert_int_equal(at - line->text, line->length); /* and none besides, with a line end */
    resp3_value_free(line);
    expect_field(connection, "name", "a-name");
    expect_field(connection, "lib-name", "a-library");
    expect_field(connection, "lib-ver", "1.2.3");
    expect_field(connection, "cmd", "client|info");
    expect_field(connection, "resp", "2");
    resp3_exchange(connection, "CLIENT SETNAME \"\"", "+OK\r\n");
    resp3_exchange(connection, "CLIENT GETNAME", "$-1\r\n");
    resp3_close(connection);
    stop(server);
}

static void replies_can_be_switched_off_or_skipped(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    resp3_exchange(connection, "CLIENT REPLY ON", "+OK\r\n");
    resp3_exchange(connection,
                   "CLIENT REPLY OFF\r\nPING 1\r\nNONESUCH\r\nSET k v\r\nCLIENT REPLY SKIP\r\nPING "
                   "2\r\nCLIENT REPLY ON\r\nPING 3",
                   "+OK\r\n$1\r\n3\r\n");
    resp3_exchange(connection, "CLIENT REPLY SKIP\r\nPING 4\r\nPING 5", "$1\r\n5\r\n");
    resp3_exchange(connection, "CLIENT REPLY SKIP\r\nNONESUCH\r\nGET k", "$1\r\nv\r\n");
    resp3_exchange(connection, "CLIENT REPLY MAYBE", "-ERR syntax error\r\n");
    resp3_expect_silence(connection);
    resp3_close(connection);
    stop(server);
}

/* ------------------------------------------------------------------ the others */

#define CLIENTS 12

static size_t count_lines(const char *text) {
    size_t lines = 0;
    for (; *text != '\0'; text++) lines += *text == '\n';
    return lines;
}

static void client_list_shows_the_clients_of_all_workers(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connections[CLIENTS], *asker = resp3_connect(server);
    char request[64], expected[32];
    connect_many(server, connections, CLIENTS);
    resp3_send_text(asker, "CLIENT LIST\r\n");
    struct resp3_value *list = resp3_read(asker);
    assert_int_equal(count_lines(list->text), CLIENTS + 1);
    long before = resp3_integer(asker, "CLIENT ID");
    for (size_t i = 0; i < CLIENTS; i++) {
        long id = resp3_integer(connections[i], "CLIENT ID");
        assert_true(id !=
                    before); /* which worker opens its connection first is chance, and so is the order */
        before = id;
        snprintf(expected, sizeof expected, "id=%ld addr=", id);
        assert_non_null(strstr(list->text, expected));
    }
    resp3_value_free(list);
    snprintf(request, sizeof request, "CLIENT LIST ID %ld %ld 999999\r\n",
             resp3_integer(connections[3], "CLIENT ID"), resp3_integer(connections[8], "CLIENT ID"));
    resp3_send_text(asker, request);
    list = resp3_read(asker);
    assert_int_equal(count_lines(list->text), 2);
    resp3_value_free(list);
    resp3_send_text(asker, "CLIENT LIST TYPE normal\r\n");
    list = resp3_read(asker);
    assert_int_equal(count_lines(list->text), CLIENTS + 1);
    resp3_value_free(list);
    resp3_exchange(asker, "CLIENT LIST TYPE pubsub", "$0\r\n\r\n");
    resp3_exchange(asker, "CLIENT LIST TYPE replica", "$0\r\n\r\n");
    resp3_exchange(asker, "CLIENT LIST TYPE x", "-ERR Unknown client type 'x'\r\n");
    resp3_exchange(asker, "CLIENT LIST ID x", "-ERR Invalid client ID\r\n");
    resp3_exchange(asker, "CLIENT LIST NONSENSE", "-ERR syntax error\r\n");
    close_many(connections, CLIENTS);
    resp3_close(asker);
    stop(server);
}

/* The connection has ended, and without a word. */
static void expect_killed(struct resp3 *connection) {
    resp3_expect_end(connection);
}

static void client_kill_finds_its_victims_on_every_worker(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *victims[CLIENTS], *killer = resp3_connect(server);
    char request[160];
    connect_many(server, victims, CLIENTS);
    /* By number, */
    for (size_t i = 0; i < 4; i++) {
        snprintf(request, sizeof request, "CLIENT KILL ID %ld", resp3_integer(victims[i], "CLIENT ID"));
        resp3_exchange(killer, request, ":1\r\n");
        expect_killed(victims[i]);
        resp3_exchange(killer, request, ":0\r\n");
    }
    /* by address, in the new form and the old, */
    for (size_t i = 4; i < 8; i++) {
        char *address = client_field(victims[i], "addr");
        snprintf(request, sizeof request, i % 2 ? "CLIENT KILL %s" : "CLIENT KILL ADDR %s", address);
        resp3_exchange(killer, request, i % 2 ? "+OK\r\n" : ":1\r\n");
        expect_killed(victims[i]);
        resp3_exchange(killer, request, i % 2 ? "-ERR No such client\r\n" : ":0\r\n");
        free(address);
    }
    /* by several things at once, which must all be so, */
    char *address = client_field(victims[8], "addr"), *local = client_field(victims[8], "laddr");
    snprintf(request, sizeof request, "CLIENT KILL ADDR %s ID %ld", address,
             resp3_integer(victims[9], "CLIENT ID"));
    resp3_exchange(killer, request, ":0\r\n");
    snprintf(request, sizeof request, "CLIENT KILL ADDR %s LADDR %s USER default TYPE normal", address,
             local);
    resp3_exchange(killer, request, ":1\r\n");
    expect_killed(victims[8]);
    resp3_exchange(killer, "CLIENT KILL TYPE pubsub", ":0\r\n");
    resp3_exchange(killer, "CLIENT KILL LADDR 127.0.0.1:1", ":0\r\n");
    /* and by what they have in common. */
    snprintf(request, sizeof request, "CLIENT KILL LADDR %s", local);
    resp3_exchange(killer, request, ":3\r\n");
    for (size_t i = 9; i < CLIENTS; i++) expect_killed(victims[i]);
    resp3_exchange(killer, "PING", "+PONG\r\n");
    free(address);
    free(local);
    close_many(victims, CLIENTS);
    resp3_close(killer);
    stop(server);
}

static void who_kills_itself_is_told_first(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connections[CLIENTS], *killer = resp3_connect(server);
    char request[96];
    connect_many(server, connections, CLIENTS);
    resp3_exchange(killer, "CLIENT KILL USER default SKIPME no\r\nPING", ":13\r\n");
    resp3_expect_end(killer);
    for (size_t i = 0; i < CLIENTS; i++) expect_killed(connections[i]);
    resp3_close(killer);
    close_many(connections, CLIENTS);
    /* The old form doesn't spare the one who asks. */
    killer = resp3_connect(server);
    char *address = client_field(killer, "addr");
    snprintf(request, sizeof request, "CLIENT KILL %s", address);
    resp3_exchange(killer, request, "+OK\r\n");
    resp3_expect_end(killer);
    free(address);
    resp3_close(killer);
    stop(server);
}

static void client_kill_says_what_is_wrong_with_it_and_kills_nobody(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL TYPE x", "-ERR Unknown client type 'x'\r\n"},
        {"CLIENT KILL USER x", "-ERR No such user 'x'\r\n"},
        {"CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n"},
        {"CLIENT KILL SKIPME no ID", "-ERR syntax error\r\n"},
        {"CLIENT KILL NONSENSE x", "-ERR syntax error\r\n"},
        {"CLIENT KILL 127.0.0.1", "-ERR No such client\r\n"},
        {"CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n"},
        {"CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n"},
        {"CLIENT UNBLOCK 1 x", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"},
        {"CLIENT NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.\r\n"},
        {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
    };
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        resp3_exchange(connection, cases[i][0], cases[i][1]);
    resp3_close(connection);
    stop(server);
}

static void nobody_is_blocked_so_nobody_is_unblocked(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *admin = resp3_connect(server), *writer = resp3_connect(server);
    char request[64];
    long id = resp3_integer(writer, "CLIENT ID");
    resp3_exchange(admin, "CLIENT PAUSE 100000 WRITE", "+OK\r\n");
    resp3_send_text(writer, "SET k v\r\n");
    snprintf(request, sizeof request, "CLIENT UNBLOCK %ld", id);
    resp3_exchange(admin, request, ":0\r\n"); /* a paused one isn't either */
    snprintf(request, sizeof request, "CLIENT UNBLOCK %ld ERROR", id);
    resp3_exchange(admin, request, ":0\r\n");
    resp3_exchange(admin, "CLIENT UNBLOCK 99999 TIMEOUT", ":0\r\n");
    resp3_exchange(admin, "CLIENT UNPAUSE", "+OK\r\n");
    resp3_expect(writer, "+OK\r\n");
    resp3_close(writer);
    resp3_close(admin);
    stop(server);
}

/* ------------------------------------------------------------------ CLIENT PAUSE */

static void a_pause_of_writes_lets_reads_through_and_ends_with_unpause(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *admin = server_connect(server);
    struct resp3 *connections[CLIENTS];
    connect_many(server, connections, CLIENTS);
    expect(admin, "OK", "SET k old");
    expect(admin, "OK", "CLIENT PAUSE 100000 WRITE");
    for (size_t i = 0; i < CLIENTS; i++) {
        resp3_exchange(connections[i], "GET k", "$3\r\nold\r\n");
        resp3_send_text(connections[i], "ECHO before\r\nAPPEND k +\r\nECHO after\r\n");
        resp3_expect(connections[i], "$6\r\nbefore\r\n");
    }
    await_info(admin, "parked_clients", CLIENTS);
    expect(admin, "old", "GET k");
    for (size_t i = 0; i < CLIENTS; i++) resp3_expect_silence(connections[i]);
    /* A shorter or looser pause changes nothing of one that is there. */
    expect(admin, "OK", "CLIENT PAUSE 1 WRITE");
    for (int64_t from = now_us(); now_us() - from < 50000;) expect(admin, "old", "GET k");
    assert_int_equal(info_number(admin, "parked_clients"), CLIENTS);
    /* Who leaves is forgotten. */
    resp3_close(connections[0]);
    await_info(admin, "parked_clients", CLIENTS - 1);
    expect(admin, "OK", "CLIENT UNPAUSE");
    for (size_t i = 1; i < CLIENTS; i++) {
        struct resp3_value *length = resp3_read(connections[i]);
        assert_in_range(length->integer, 4, 3 + CLIENTS - 1);
        resp3_value_free(length);
        resp3_expect(connections[i], "$5\r\nafter\r\n");
    }
    expect(admin, "old+++++++++++", "GET k");
    close_many(connections + 1, CLIENTS - 1);
    redisFree(admin);
    stop(server);
}

static void a_pause_of_all_holds_reads_as_well_and_ends_by_itself(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connections[CLIENTS], *admin = resp3_connect(server);
    connect_many(server, connections, CLIENTS);
    resp3_exchange(admin, "SET k v", "+OK\r\n");
    int64_t from = now_us();
    resp3_exchange(admin, "CLIENT PAUSE 300", "+OK\r\n");
    for (size_t i = 0; i < CLIENTS; i++) resp3_send_text(connections[i], "GET k\r\nPING\r\n");
    for (size_t i = 0; i < CLIENTS; i++) {
        resp3_expect(connections[i], "$1\r\nv\r\n+PONG\r\n");
        assert_true(now_us() - from >=
                    290000); /* the server's clock has steps of a millisecond, and may be set */
    }
    resp3_exchange(admin, "PING", "+PONG\r\n");
    resp3_exchange(admin, "CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n");
    resp3_exchange(admin, "CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    resp3_exchange(admin, "CLIENT PAUSE 1 SOMETIMES", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
    resp3_exchange(admin, "CLIENT UNPAUSE", "+OK\r\n"); /* of nothing */
    close_many(connections, CLIENTS);
    resp3_close(admin);
    stop(server);
}

/* ------------------------------------------------------------------ MONITOR */

/* What follows the time in a monitor's line: [database address] and the arguments; to be freed. */
static char *read_monitored(struct resp3 *monitor) {
    char *line = resp3_read_line(monitor);
    long seconds = 0, microseconds = 0;
    int taken = 0;
    if (sscanf(line, "+%ld.%6ld %n", &seconds, &microseconds, &taken) != 2 || taken == 0)
        fail_msg("no monitor's line: %s", line);
    assert_true(seconds > 1600000000);
    char *rest = strdup(line + taken);
    free(line);
    return rest;
}

static void expect_monitored(struct resp3 *monitor, const char *expected) {
    char *line = read_monitored(monitor);
    if (strcmp(line, expected) != 0) fail_msg("expected %s, got %s", expected, line);
    free(line);
}

static void a_monitor_on_any_worker_sees_what_every_worker_runs(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *monitors[WORKERS], *senders[CLIENTS];
    char *expected[CLIENTS];
    connect_many(server, senders, CLIENTS);
    connect_many(server, monitors, WORKERS); /* one on each worker */
    for (size_t i = 0; i < CLIENTS; i++) {
        char *address = client_field(senders[i], "addr");
        assert_true(
            asprintf(&expected[i], "[%zu %s] \"set\" \"key%zu\" \"a b\\\"\\n\\x01\"\r\n", i, address, i) > 0);
        char request[32];
        snprintf(request, sizeof request, "SELECT %zu", i);
        resp3_exchange(senders[i], request, "+OK\r\n");
        free(address);
    }
    for (size_t i = 0; i < WORKERS; i++) resp3_exchange(monitors[i], "MONITOR", "+OK\r\n");
    for (size_t i = 0; i < CLIENTS; i++) {
        char request[64];
        snprintf(request, sizeof request, "set key%zu \"a b\\\"\\n\\x01\"", i);
        resp3_exchange(senders[i], request, "+OK\r\n");
    }
    for (size_t i = 0; i < WORKERS; i++) {
        bool is_seen[CLIENTS] = {false};
        for (size_t j = 0; j < CLIENTS; j++) {
            char *line = read_monitored(monitors[i]);
            size_t which = 0;
            while (which < CLIENTS && (is_seen[which] || strcmp(line, expected[which]) != 0)) which++;
            if (which == CLIENTS) fail_msg("unexpected, or twice: %s", line);
            is_seen[which] = true;
            free(line);
        }
        resp3_expect_silence(monitors[i]);
    }
    for (size_t i = 0; i < CLIENTS; i++) free(expected[i]);
    close_many(monitors, WORKERS);
    close_many(senders, CLIENTS);
    stop(server);
}

static void passwords_are_seen_neither_by_monitors_nor_in_the_slow_log(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"AUTH sesame", "\"AUTH\" \"(redacted)\""},
        {"AUTH default sesame", "\"AUTH\" \"(redacted)\" \"(redacted)\""},
        {"AUTH sesamo", "\"AUTH\" \"(redacted)\""},
        {"HELLO 2 SETNAME x AUTH default sesame",
         "\"HELLO\" \"2\" \"SETNAME\" \"x\" \"AUTH\" \"(redacted)\" \"(redacted)\""},
    };
    struct server *server =
        start((const char *const[]){"--requirepass", "sesame", "--slowlog-log-slower-than", "0", NULL});
    struct resp3 *monitor = resp3_connect(server), *sender = resp3_connect(server);
    resp3_exchange(monitor, "AUTH sesame", "+OK\r\n");
    resp3_exchange(sender, "AUTH sesame", "+OK\r\n");
    char *address = client_field(sender, "addr"), expected[256];
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        resp3_send_text(sender, cases[i][0]);
        resp3_send_text(sender, "\r\n");
        resp3_value_free(resp3_read(sender));
        snprintf(expected, sizeof expected, "[0 %s] %s\r\n", address, cases[i][1]);
        expect_monitored(monitor, expected);
    }
    resp3_exchange(sender, "CONFIG SET requirepass sesame maxclients 100", "+OK\r\n");
    resp3_exchange(sender, "CONFIG SET masterauth sesame tls-key-file-pass sesame masteruser sesame",
                   "+OK\r\n");
    resp3_send_text(sender, "SLOWLOG GET -1\r\n");
    struct resp3_value *log = resp3_read(sender);
    char *text = resp3_value_text(log);
    assert_null(strstr(text, "sesam"));
    assert_non_null(strstr(text, "[CONFIG, SET, requirepass, (redacted), maxclients, 100]"));
    assert_non_null(strstr(text, "[HELLO, 2, SETNAME, x, AUTH, (redacted), (redacted)]"));
    assert_non_null(strstr(text, "[AUTH, (redacted)]"));
    free(text);
    resp3_value_free(log);
    free(address);
    resp3_close(sender);
    resp3_close(monitor);
    stop(server);
}

static void a_monitor_does_not_see_administration_and_ends_with_reset(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *monitor = resp3_connect(server), *sender = resp3_connect(server);
    char *address = client_field(sender, "addr"), ping[96], get[96];
    snprintf(ping, sizeof ping, "[0 %s] \"PING\"\r\n", address);
    snprintf(get, sizeof get, "[0 %s] \"GET\" \"k\"\r\n", address);
    resp3_exchange(monitor, "MONITOR", "+OK\r\n");
    resp3_exchange(sender, "PING", "+PONG\r\n");
    expect_monitored(monitor, ping);
    resp3_exchange(sender, "CONFIG SET timeout 0", "+OK\r\n");
    resp3_exchange(sender, "CLIENT KILL ID 99999", ":0\r\n");
    resp3_exchange(sender, "NONESUCH", "-ERR unknown command 'NONESUCH', with args beginning with: \r\n");
    resp3_exchange(sender, "GET k", "$-1\r\n");
    expect_monitored(monitor, get);
    resp3_exchange(monitor, "RESET", "+RESET\r\n");
    resp3_exchange(sender, "GET k", "$-1\r\n");
    resp3_exchange(monitor, "ECHO end", "$3\r\nend\r\n"); /* it is no monitor any more */
    free(address);
    resp3_close(sender);
    resp3_close(monitor);
    stop(server);
}

/* ------------------------------------------------------------------ clients that don't read, or don't write
 * any more */

static void set_large(redisContext *connection, const char *key, size_t length) {
    char *value = malloc(length);
    assert_non_null(value);
    memset(value, 'v', length);
    redisReply *reply = redisCommand(connection, "SET %s %b", key, value, length);
    assert_non_null(reply);
    assert_string_equal(reply->str, "OK");
    freeReplyObject(reply);
    free(value);
}

/* So many times 1 MB: 16 are more than the kernel's buffers of a connection hold. */
static void ask_for(struct resp3 *connection, int times) {
    char head[32];
    snprintf(head, sizeof head, "*%d\r\n$4\r\nMGET\r\n", times + 1);
    resp3_send_text(connection, head);
    for (int i = 0; i < times; i++) resp3_send_text(connection, "$1\r\nk\r\n");
}

static void expect_cut_short(struct resp3 *connection, size_t most) {
    resp3_await_end(connection);
    assert_true(connection->length < most);
}

static void who_is_owed_more_than_the_hard_limit_is_closed_and_others_go_on(void **state) {
    (void)state;
    struct server *server =
        start((const char *const[]){"--client-output-buffer-limit", "normal 16mb 0 0", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *greedy[WORKERS], *others[WORKERS];
    set_large(admin, "k", MIB);
    connect_many(server, greedy, WORKERS);
    connect_many(server, others, WORKERS);
    for (size_t i = 0; i < WORKERS; i++) ask_for(greedy[i], 64);
    for (size_t i = 0; i < WORKERS; i++) resp3_exchange(others[i], "STRLEN k", ":1048576\r\n");
    await_info(admin, "client_output_buffer_limit_disconnections", WORKERS);
    await_info(admin, "connected_clients", 1 + WORKERS);
    await_info(admin, "client_output_bytes", 0);
    for (size_t i = 0; i < WORKERS; i++) {
        resp3_exchange(others[i], "PING", "+PONG\r\n");
        expect_cut_short(greedy[i], 64 * MIB);
    }
    /* Without a limit, the same is fine. */
    expect(admin, "OK", "CONFIG SET client-output-buffer-limit %s", "normal 0 0 0");
    ask_for(others[0], 64);
    resp3_expect(others[0], "*64\r\n$1048576\r\nvvv");
    close_many(greedy, WORKERS);
    close_many(others, WORKERS);
    redisFree(admin);
    stop(server);
}

static void who_is_over_the_soft_limit_for_its_time_is_closed_and_not_before(void **state) {
    (void)state;
    struct server *server =
        start((const char *const[]){"--client-output-buffer-limit", "normal 0 1mb 2", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *greedy = resp3_connect(server), *reader = resp3_connect(server);
    set_large(admin, "k", MIB);
    int64_t from = now_us();
    ask_for(greedy, 64);
    ask_for(reader, 16); /* is over it for a moment */
    resp3_expect(reader, "*16\r\n");
    char *bytes = resp3_read_bytes(reader, 16 * (MIB + 12));
    free(bytes);
    await_info(admin, "client_output_buffer_limit_disconnections", 1);
    assert_true(now_us() - from >= 1900000);
    expect_cut_short(greedy, 64 * MIB);
    resp3_exchange(reader, "PING", "+PONG\r\n");
    resp3_close(greedy);
    resp3_close(reader);
    redisFree(admin);
    stop(server);
}

static void a_monitor_that_does_not_read_is_closed_at_the_limit(void **state) {
    (void)state;
    struct server *server =
        start((const char *const[]){"--client-output-buffer-limit", "normal 2mb 0 0", NULL});
    redisContext *sender = server_connect(server);
    struct resp3 *monitors[WORKERS];
    char *text = calloc(1, 100001);
    assert_non_null(text);
    memset(text, 'x', 100000);
    connect_many(server, monitors, WORKERS);
    for (size_t i = 0; i < WORKERS; i++) resp3_exchange(monitors[i], "MONITOR", "+OK\r\n");
    while (info_number(sender, "client_output_buffer_limit_disconnections") < WORKERS)
        for (int i = 0; i < 20; i++) expect(sender, text, "ECHO %s", text);
    await_info(sender, "connected_clients", 1);
    free(text);
    close_many(monitors, WORKERS);
    redisFree(sender);
    stop(server);
}

/* It is neither read nor run any more, so that it costs little, and gets everything when it reads again. */
static void a_client_that_pauses_reading_holds_nobody_up_and_loses_nothing(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--threads", "1", NULL});
    redisContext *other = server_connect(server);
    struct resp3 *lazy = resp3_connect(server);
    set_large(other, "k", MIB);
    /* All at once: between two sends a resp3 client takes what has come, and then it wouldn't be lazy. */
    char requests[100 * 19 + 1] = "";
    for (int i = 0; i < 100; i++) memcpy(requests + i * 19, "GET k\r\nINCR count\r\n", 20);
    resp3_send_text(lazy, requests);
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (info_number(other, "client_output_bytes") == 0)
        if (now_us() > deadline) {
            redisReply *clients = redisCommand(other, "CLIENT LIST"),
                       *count = redisCommand(other, "GET count");
            fail_msg("nothing is owed after %s commands to\n%s", count->str, clients->str);
        }
    for (int i = 0; i < 1000; i++) expect(other, "1048576", "STRLEN k");
    assert_in_range(info_number(other, "client_output_bytes"), 1, 4 * MIB);
    for (int i = 0; i < 100; i++) {
        char count[32];
        resp3_expect(lazy, "$1048576\r\n");
        char *value = resp3_read_bytes(lazy, MIB);
        for (size_t j = 0; j < MIB; j += 4097) assert_int_equal(value[j], 'v');
        free(value);
        snprintf(count, sizeof count, "\r\n:%d\r\n", i + 1);
        resp3_expect(lazy, count);
    }
    await_info(other, "client_output_bytes", 0);
    resp3_close(lazy);
    redisFree(other);
    stop(server);
}

static void who_only_closes_its_own_side_still_gets_its_replies(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *admin = server_connect(server);
    set_large(admin, "k", 8 * MIB);
    struct resp3 *connection = resp3_connect(server);
    for (int i = 0; i < 4; i++) resp3_send_text(connection, "GET k\r\nPING\r\n");
    for (int i = 0; i < 5000; i++) resp3_send_text(connection, "INCR count\r\n");
    resp3_half_close(connection);
    for (int i = 0; i < 4; i++) {
        resp3_expect(connection, "$8388608\r\n");
        free(resp3_read_bytes(connection, 8 * MIB));
        resp3_expect(connection, "\r\n+PONG\r\n");
    }
    for (int i = 0; i < 5000; i++) {
        char count[32];
        snprintf(count, sizeof count, ":%d\r\n", i + 1);
        resp3_expect(connection, count);
    }
    resp3_expect_end(connection);
    resp3_close(connection);
    /* What waits for a shard is owed as well. */
    connection = resp3_connect(server);
    expect(admin, "OK", "DEBUG HOLD k 600");
    resp3_send_text(connection, "STRLEN k\r\nPING\r\n");
    await_info(admin, "parked_clients", 1);
    resp3_half_close(connection);
    expect(admin, "OK", "DEBUG RELEASE");
    resp3_expect(connection, ":8388608\r\n+PONG\r\n");
    resp3_expect_end(connection);
    resp3_close(connection);
    /* An unfinished request gets no answer. */
    connection = resp3_connect(server);
    resp3_send_text(connection, "PING\r\n*2\r\n$4\r\nECHO\r\n$5\r\nhel");
    resp3_half_close(connection);
    resp3_expect(connection, "+PONG\r\n");
    resp3_expect_end(connection);
    resp3_close(connection);
    await_info(admin, "connected_clients", 1);
    redisFree(admin);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_too_many_is_told_so_and_a_freed_place_is_given_on),
        cmocka_unit_test(an_idle_client_is_closed_after_the_timeout_and_a_busy_one_or_a_monitor_is_not),
        cmocka_unit_test(tcp_keepalive_holds_for_new_connections),
        cmocka_unit_test(connections_are_spread_evenly_over_the_workers),
        cmocka_unit_test(a_password_holds_for_who_comes_after_it),
        cmocka_unit_test(who_waited_for_a_password_needs_none_when_it_is_taken_away),
        cmocka_unit_test(quit_is_answered_and_is_the_last_that_is_run),
        cmocka_unit_test(a_session_remembers_its_database_and_reset_forgets_all),
        cmocka_unit_test(a_client_is_described_by_all_the_fields_that_redis_has),
        cmocka_unit_test(replies_can_be_switched_off_or_skipped),
        cmocka_unit_test(client_list_shows_the_clients_of_all_workers),
        cmocka_unit_test(client_kill_finds_its_victims_on_every_worker),
        cmocka_unit_test(who_kills_itself_is_told_first),
        cmocka_unit_test(client_kill_says_what_is_wrong_with_it_and_kills_nobody),
        cmocka_unit_test(nobody_is_blocked_so_nobody_is_unblocked),
        cmocka_unit_test(a_pause_of_writes_lets_reads_through_and_ends_with_unpause),
        cmocka_unit_test(a_pause_of_all_holds_reads_as_well_and_ends_by_itself),
        cmocka_unit_test(a_monitor_on_any_worker_sees_what_every_worker_runs),
        cmocka_unit_test(passwords_are_seen_neither_by_monitors_nor_in_the_slow_log),
        cmocka_unit_test(a_monitor_does_not_see_administration_and_ends_with_reset),
        cmocka_unit_test(who_is_owed_more_than_the_hard_limit_is_closed_and_others_go_on),
        cmocka_unit_test(who_is_over_the_soft_limit_for_its_time_is_closed_and_not_before),
        cmocka_unit_test(a_monitor_that_does_not_read_is_closed_at_the_limit),
        cmocka_unit_test(a_client_that_pauses_reading_holds_nobody_up_and_loses_nothing),
        cmocka_unit_test(who_only_closes_its_own_side_still_gets_its_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
