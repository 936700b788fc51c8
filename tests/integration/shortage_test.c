/* A server that gets no more memory: who asks for a long answer is told so, and goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/support.h"

#define MIB ((rlim_t)1024 * 1024)

static rlim_t address_space(pid_t process) {
    char path[64];
    unsigned long long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return (rlim_t)pages * 4096;
}

/* Its connection was closed. */
static void a_read_without_memory_for_its_answer_is_an_error(void **unused) {
    (void)unused;
    struct server *server = server_start((const char *const[]){"--threads", "1", NULL});
    if (address_space(server->pid) > (rlim_t)1 << 40) { /* a sanitizer has it all */
        assert_int_equal(server_stop(server), 0);
        skip();
    }
    redisContext *client = server_connect(server);
    expect(client, "1", "SADD set 0123456789012345");
    rlim_t most = address_space(server->pid) + 16 * MIB;
    assert_int_equal(prlimit(server->pid, RLIMIT_AS, &(struct rlimit){most, RLIM_INFINITY}, NULL), 0);
    for (int i = 0; i < 3; i++) {
        redisReply *reply = redisCommand(client, "SRANDMEMBER set -10000000"); /* of 230 MB */
        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_REPLY_ERROR);
        assert_int_equal(strncmp(reply->str, "OOM ", 4), 0);
        freeReplyObject(reply);
        expect(client, "[0123456789012345]", "SRANDMEMBER set 5");
    }
    redisFree(client);
    assert_int_equal(prlimit(server->pid, RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}, NULL),
                     0);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_read_without_memory_for_its_answer_is_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
