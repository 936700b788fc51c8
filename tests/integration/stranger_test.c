/* Strangers: what somebody who can reach the socket, and no more than that, can't do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../resp3.h"

static struct server *start(const char *const *further) {
    const char *options[16] = {"--threads", "2"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ web pages */

/* How often the server warns of that until it is stopped: its warnings come to our standard error. */
static int stop_and_count_warnings(struct server *server, FILE *warnings, int standard_error,
                                   const char *text) {
    stop(server);
    fflush(stderr);
    assert_int_equal(dup2(standard_error, STDERR_FILENO), STDERR_FILENO);
    close(standard_error);
    rewind(warnings);
    char line[1024];
    int count = 0;
    while (fgets(line, sizeof line, warnings) != NULL) count += strstr(line, text) != NULL;
    fclose(warnings);
    return count;
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
    FILE *warnings = tmpfile();
    assert_non_null(warnings);
    fflush(stderr);
    int standard_error = dup(STDERR_FILENO);
    assert_int_equal(dup2(fileno(warnings), STDERR_FILENO), STDERR_FILENO);
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
    assert_int_equal(
        stop_and_count_warnings(server, warnings, standard_error, "Possible SECURITY ATTACK detected"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_http_request_closes_the_connection_and_nothing_behind_it_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
