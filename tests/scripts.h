/* What tests of scripts share: EVAL with a script's text as it is, and its answer, where the script's sum is
 * left out of the error. */
#ifndef TESTS_SCRIPTS_H
#define TESTS_SCRIPTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

/* Where an error happened, as scripts_expect has it: Redis writes the sum instead of SUM. */
#define AT(line) " script: SUM, on @user_script:" line "."

/* Sends "command script rest", where rest is number of keys, keys and arguments, between blanks. */
static inline void send_script(redisContext *connection, const char *command, const char *script,
                               const char *rest) {
    const char *arguments[32] = {command, script};
    int count = 2, done = 0;
    char *parts = strdup(rest), *place = NULL;
    for (char *part = strtok_r(parts, " ", &place); part != NULL; part = strtok_r(NULL, " ", &place))
        arguments[count++] = part;
    assert_int_equal(redisAppendCommandArgv(connection, count, arguments, NULL), REDIS_OK);
    free(parts);
    while (!done) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static inline redisReply *next_reply(redisContext *connection) {
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(connection, (void **)&reply), REDIS_OK);
    return reply;
}

static inline redisReply *eval(redisContext *connection, const char *command, const char *script,
                               const char *rest) {
    send_script(connection, command, script, rest);
    return next_reply(connection);
}

/* "script: 1d46..., on" becomes "script: SUM, on". */
static inline void leave_out_sums(char *text) {
    for (char *at = text; (at = strstr(at, " script: ")) != NULL; at += 9) {
        char *end = strstr(at, ", on @");
        if (end != at + 9 + 40) continue;
        memcpy(at + 9, "SUM", 3);
        memmove(at + 12, end, strlen(end) + 1);
    }
}

static inline void expect_next_text(redisContext *connection, const char *expected, const char *what) {
    redisReply *reply = next_reply(connection);
    char *text = reply_text(reply);
    leave_out_sums(text);
    if (strcmp(text, expected) != 0) fail_msg("%s: %s instead of %s", what, text, expected);
    free(text);
    freeReplyObject(reply);
}

static inline void expect_script(redisContext *connection, const char *expected, const char *command,
                                 const char *script, const char *rest) {
    send_script(connection, command, script, rest);
    expect_next_text(connection, expected, script);
}

static inline void expect_queued(redisContext *connection, const char *command, const char *script,
                                 const char *rest) {
    expect_script(connection, "QUEUED", command, script, rest);
}

#endif
