/* `bind` and `port`, set while the server runs: who listens where from the OK on, and that nothing is left
 * behind. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support.h"

static struct sockaddr_in local_address(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A socket bound to a port that was free, and the port. */
static int port_take(int *port) {
    struct sockaddr_in address = local_address(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)&address, &size), errno);
    *port = ntohs(address.sin_port);
    return fd;
}

static void expect_served(int port) {
    redisContext *connection = redisConnect("127.0.0.1", port);
    assert_non_null(connection);
    if (connection->err != 0) fail_msg("port %d: %s", port, connection->errstr);
    expect(connection, "PONG", "PING");
    redisFree(connection);
}

static void expect_refused(int port) {
    struct sockaddr_in address = local_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int outcome = connect(fd, (struct sockaddr *)&address, sizeof address), error = errno;
    close(fd);
    if (outcome == 0 || error != ECONNREFUSED) fail_msg("port %d still listens: %s", port, strerror(error));
}

static int files_open(const struct server *server) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)server->pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    int count = 0;
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

static void the_port_can_be_changed_while_clients_are_connected(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "3", NULL});
    redisContext *connection = server_connect(server);
    int first = server->port, second = port_free();
    expect(connection, "OK", "SET k v");
    int before = files_open(server);
    for (int round = 0; round < 20; round++) {
        expect(connection, "OK", "CONFIG SET port %d", second);
        expect_refused(first);
        expect_served(second);
        assert_int_equal(info_number(connection, "tcp_port"), second);
        expect(connection, "OK", "CONFIG SET port %d", first);
        expect_refused(second);
        expect_served(first);
    }
    expect(connection, "v", "GET k");
    /* What isn't listened on any more is closed, as soon as each worker has heard of it and the clients that
     * left are gone. */
    int64_t deadline = now_us() + INT64_C(20000000);
    while (files_open(server) > before && now_us() < deadline) expect(connection, "PONG", "PING");
    assert_true(files_open(server) <= before);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

static void a_port_that_is_taken_leaves_all_as_it_was(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "2", NULL});
    redisContext *connection = server_connect(server);
    int taken, fd = port_take(&taken);
    char present[32];
    assert_return_code(listen(fd, 1), errno);
    snprintf(present, sizeof present, "[port, %d]", server->port);
    for (int round = 0; round < 3; round++) {
        expect(connection,
               "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on "
               "this port. Check server logs.",
               "CONFIG SET timeout 7 port %d", taken);
        expect(connection, present, "CONFIG GET port");
        expect(connection, "[timeout, 0]", "CONFIG GET timeout");
        expect_served(server->port);
        expect(connection,
               "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to "
               "specified addresses.",
               "CONFIG SET bind 203.0.113.1");
        expect_served(server->port);
    }
    close(fd);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

/* A wider address on the same port is in the way of the narrower one, and the other way round. */
static void addresses_can_be_changed_on_the_same_port(void **state) {
    (void)state;
    struct server *server = server_start((const char *const[]){"--threads", "2", NULL});
    redisContext *connection = server_connect(server);
    static const char *const addresses[] = {"0.0.0.0", "127.0.0.1", "* -::*", "127.0.0.1 -::1",
                                            "127.0.0.1 127.0.0.2"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        char shown[64];
        expect(connection, "OK", "CONFIG SET bind %s", addresses[i]);
        snprintf(shown, sizeof shown, "[bind, %s]", addresses[i]);
        expect(connection, shown, "CONFIG GET bind");
        expect_served(server->port);
    }
    expect(connection, "OK", "CONFIG SET bind 127.0.0.2");
    expect_refused(server->port);
    int other = port_free();
    expect(connection, "OK", "CONFIG SET bind 127.0.0.1 port %d", other);
    expect_served(other);
    expect_refused(server->port);
    expect(connection, "OK", "CONFIG SET port 0");
    expect_refused(other);
    expect(connection, "OK", "CONFIG SET port %d", server->port);
    expect_served(server->port);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_port_can_be_changed_while_clients_are_connected),
        cmocka_unit_test(a_port_that_is_taken_leaves_all_as_it_was),
        cmocka_unit_test(addresses_can_be_changed_on_the_same_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
