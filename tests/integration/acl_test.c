/* Users: who may do what, on every worker, whichever way a command comes to be run; and where rules come from
 * and go to. What rules mean is tests/unit/rules_test.c's, and tests/differential/users.py's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <unistd.h>

#include "tests/resp3.h"

#define WORKERS 3
#define HASH_OF_P "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"
#define ALL "~* &* +@all"
/* As many as a user may have. */
#define RULES_PATTERNS 8192

static struct server *start(const char *first, const char *second) {
    return server_start(
        (const char *const[]){"--threads", "3", "--balance-clients", "no", first, second, NULL});
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* On that worker, as the user "app", whose password is "p". */
static redisContext *connect_as_app(const struct server *server, long worker) {
    redisContext *connection = server_connect_to(server, worker);
    expect(connection, "OK", "AUTH app p");
    return connection;
}

/* The server has closed it. */
static void expect_closed(redisContext *connection) {
    assert_null(redisCommand(connection, "PING"));
    redisFree(connection);
}

/* What is asked for, as text, has that in it. */
static void expect_in(redisContext *connection, const char *part, const char *request) {
    redisReply *reply = redisCommand(connection, request);
    assert_non_null(reply);
    char *text = reply_text(reply);
    if (strstr(text, part) == NULL) fail_msg("%s: no '%s' in %s", request, part, text);
    free(text);
    freeReplyObject(reply);
}

static void file_write(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void file_expect(const char *path, const char *expected) {
    char text[4096];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

/* ------------------------------------------------------------------ what a request may do */

static void a_user_is_held_to_its_rules_and_told_so_in_the_words_of_7_2(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "ACL SETUSER app on >p ~app:* %%R~shared +@read +set +acl|whoami +select|0 &news");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "app", "ACL WHOAMI");
    expect(app, "OK", "SET app:1 v");
    expect(app, "v", "GET app:1");
    expect(app, "(nil)", "GET shared");
    expect(app, "NOPERM No permissions to access a key", "SET shared v");
    expect(app, "NOPERM No permissions to access a key", "GET other");
    expect(app, "NOPERM No permissions to access a key", "MGET app:1 other");
    expect(app, "NOPERM User app has no permissions to run the 'del' command", "DEL app:1");
    expect(app, "NOPERM User app has no permissions to run the 'config|get' command", "CONFIG GET port");
    expect(app, "OK", "SELECT 0");
    expect(app, "NOPERM User app has no permissions to run the 'select' command", "SELECT 1");
    expect(app, "NOPERM User app has no permissions to run the 'publish' command", "PUBLISH news x");
    expect(admin, "OK", "ACL SETUSER app +publish +psubscribe");
    expect(app, "0", "PUBLISH news x");
    expect(app, "NOPERM No permissions to access a channel", "PUBLISH newsx x");
    expect(app, "NOPERM No permissions to access a channel", "PSUBSCRIBE new?");
    expect(app, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH app q");
    expect(app, "app", "ACL WHOAMI"); /* it is still who it was */
    expect(app, "RESET", "RESET");
    expect(app, "default", "ACL WHOAMI");
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void sort_follows_patterns_only_for_who_may_read_every_key(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "ACL SETUSER app on >p ~* +@all (%%R~l +@all)");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "2", "RPUSH l 2 1");
    expect(app, "[1, 2]", "SORT l BY w_* GET #");
    expect(admin, "OK", "ACL SETUSER app resetkeys ~l");
    expect(app, "ERR BY option of SORT denied due to insufficient ACL permissions.", "SORT l BY w_*");
    expect(app, "ERR GET option of SORT denied due to insufficient ACL permissions.", "SORT l GET #");
    expect(app, "[2, 1]", "SORT l BY nosort");
    expect(app, "ERR syntax error", "SORT l BY");
    expect(app, "OK", "MULTI");
    expect(app, "QUEUED", "SORT l GET x*");
    expect(app, "[ERR GET option of SORT denied due to insufficient ACL permissions.]", "EXEC");
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void a_change_holds_on_every_worker_when_it_is_answered(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0), *apps[WORKERS];
    expect(admin, "OK", "ACL SETUSER app on >p ~* +@all");
    for (int i = 0; i < WORKERS; i++) apps[i] = connect_as_app(server, i);
    for (int round = 0; round < scaled(200, 20); round++) {
        expect(admin, "OK", "ACL SETUSER app -get");
        for (int i = 0; i < WORKERS; i++)
            expect(apps[i], "NOPERM User app has no permissions to run the 'get' command", "GET k");
        expect(admin, "OK", "ACL SETUSER app +get");
        for (int i = 0; i < WORKERS; i++) expect(apps[i], "(nil)", "GET k");
    }
    /* Off means that nobody becomes it any more; who is it stays. */
    expect(admin, "OK", "ACL SETUSER app off");
    for (int i = 0; i < WORKERS; i++) {
        expect(apps[i], "(nil)", "GET k");
        expect(apps[i], "WRONGPASS invalid username-password pair or user is disabled.", "AUTH app p");
        redisFree(apps[i]);
    }
    redisFree(admin);
    stop(server);
}

/* Whichever of the two comes first, nothing is left of what the user was before. */
static void send_now(redisContext *connection) {
    int done = 0;
    while (!done) assert_int_equal(redisBufferWrite(connection, &done), REDIS_OK);
}

static bool is_answered(const redisContext *connection) {
    struct pollfd poll_fd = {connection->fd, POLLIN, 0};
    return poll(&poll_fd, 1, 0) > 0;
}

/* However long that takes: BUSY would say that nothing has been done. */
static void a_change_is_never_answered_as_if_it_had_not_been_made(void **state) {
    (void)state;
    struct server *server = start("--busy-reply-threshold", "50");
    redisContext *admin = server_connect_to(server, 0), *sleeper = server_connect_to(server, 1);
    static const char *const changes[] = {"ACL SETUSER app on >p ~a* +@all", "ACL SETUSER app -get",
                                          "ACL DELUSER app"};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        int64_t slept = 0, deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
        redisAppendCommand(sleeper, "DEBUG SLEEP 0.5");
        send_now(sleeper);
        /* Until one has had to wait for the worker that sleeps. */
        while (slept < 200000 && now_us() < deadline) {
            int64_t began = now_us();
            redisReply *reply = redisCommand(admin, changes[i]);
            assert_non_null(reply);
            if (reply->type == REDIS_REPLY_ERROR) fail_msg("%s: %s", changes[i], reply->str);
            freeReplyObject(reply);
            slept = now_us() - began;
            if (is_answered(sleeper)) {
                expect_next(sleeper, "OK");
                redisAppendCommand(sleeper, "DEBUG SLEEP 0.5");
                send_now(sleeper);
            }
        }
        if (slept < 200000) fail_msg("%s has never met the worker asleep", changes[i]);
        expect_next(sleeper, "OK");
    }
    redisFree(sleeper);
    redisFree(admin);
    stop(server);
}

/* "ACL SETUSER app resetkeys ~0 ~1 ...", and the last one so many times more. */
static redisReply *set_patterns(redisContext *admin, int count, int again) {
    static char texts[RULES_PATTERNS][16];
    const char **words = malloc((size_t)(4 + count + again) * sizeof *words);
    assert_non_null(words);
    int used = 0;
    words[used++] = "ACL";
    words[used++] = "SETUSER";
    words[used++] = "app";
    words[used++] = "resetkeys";
    for (int i = 0; i < count; i++) {
        snprintf(texts[i], sizeof texts[i], "~%d", i);
        words[used++] = texts[i];
    }
    for (int i = 0; i < again; i++) words[used++] = texts[count - 1];
    redisReply *reply = redisCommandArgv(admin, used, words, NULL);
    assert_non_null(reply);
    free(words);
    return reply;
}

/* A worker that is at it for long serves nobody else, and so one command may cost so much and no more. That
 * its own part takes longer than busy-reply-threshold isn't the others' fault. */
static void one_command_has_a_bounded_number_of_rules(void **state) {
    (void)state;
    struct server *server = start("--busy-reply-threshold", "1");
    redisContext *admin = server_connect_to(server, 0);
    for (int i = 0; i < 5; i++) {
        redisReply *reply = set_patterns(admin, RULES_PATTERNS, 1000);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
    }
    expect(admin, "OK", "ACL SETUSER app on nopass +get");
    double before = server_cpu_seconds(server);
    redisReply *reply = set_patterns(admin, RULES_PATTERNS, 400000);
    double used = server_cpu_seconds(server) - before;
    char *text = reply_text(reply);
    assert_string_equal(text,
                        "ERR Error in ACL SETUSER modifier '~8191': One command can't have so many rules");
    free(text);
    freeReplyObject(reply);
    if (used > scaled(3, 60)) fail_msg("%.2f s of CPU", used);
    redisContext *app = server_connect_to(server, 1);
    expect(app, "OK", "AUTH app x");
    expect(app, "(nil)", "GET 8191"); /* it has what it had */
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void a_user_that_is_deleted_while_it_is_changed_has_nothing_of_before(void **state) {
    enum { PATTERNS = 1000 };
    static char text[PATTERNS][16];
    const char *words[PATTERNS + 5] = {"ACL", "SETUSER", "app", "on", ">p"};
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *one = server_connect_to(server, 0), *other = server_connect_to(server, 1);
    for (int i = 0; i < PATTERNS; i++) {
        snprintf(text[i], sizeof text[i], "~k%d", i);
        words[5 + i] = text[i];
    }
    for (int round = 0; round < scaled(50, 10); round++) {
        redisReply *reply = redisCommandArgv(one, PATTERNS + 5, words, NULL);
        assert_non_null(reply);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
        redisAppendCommandArgv(one, 4, (const char *[]){"ACL", "SETUSER", "app", "on"}, NULL);
        redisAppendCommand(other, "ACL DELUSER app");
        for (int done = 0; !done;) assert_int_equal(redisBufferWrite(one, &done), REDIS_OK);
        for (int done = 0; !done;) assert_int_equal(redisBufferWrite(other, &done), REDIS_OK);
        expect_next(one, "OK");
        expect_next(other, "1");
        expect(other, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH app p");
        reply = redisCommand(one, "ACL GETUSER app");
        assert_non_null(reply);
        if (reply->type == REDIS_REPLY_ARRAY) assert_int_equal(reply->element[3]->elements, 0);
        freeReplyObject(reply);
    }
    redisFree(one);
    redisFree(other);
    stop(server);
}

static void clients_of_a_deleted_user_are_closed_wherever_they_are(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0), *apps[WORKERS];
    expect(admin, "OK", "ACL SETUSER app on >p " ALL);
    expect(admin, "OK", "ACL SETUSER other on >p " ALL);
    for (int i = 0; i < WORKERS; i++) apps[i] = connect_as_app(server, i);
    redisContext *other = server_connect_to(server, 1);
    expect(other, "OK", "AUTH other p");
    expect(admin, "ERR The 'default' user cannot be removed", "ACL DELUSER app default");
    expect(admin, "1", "ACL DELUSER app nobody");
    for (int i = 0; i < WORKERS; i++) expect_closed(apps[i]);
    expect(other, "PONG", "PING");
    /* Who deletes itself is answered first; another one of that name is another user. */
    expect(admin, "OK", "ACL SETUSER app on >p " ALL);
    redisContext *app = connect_as_app(server, 2);
    expect(app, "1", "ACL DELUSER app");
    expect_closed(app);
    expect(admin, "0", "ACL DELUSER app");
    expect(admin, "[default, other]", "ACL USERS");
    redisFree(other);
    redisFree(admin);
    stop(server);
}

static void who_hears_what_it_may_not_any_more_is_closed(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p +@all &a &b* allkeys");
    redisContext *hearer = connect_as_app(server, 1), *pattern = connect_as_app(server, 2),
                 *stays = connect_as_app(server, 1);
    expect(hearer, "[subscribe, bc, 1]", "SUBSCRIBE bc");
    expect(pattern, "[psubscribe, b*, 1]", "PSUBSCRIBE b*");
    expect(stays, "[subscribe, a, 1]", "SUBSCRIBE a");
    expect(admin, "OK", "ACL SETUSER app &c"); /* that is more */
    expect(hearer, "[subscribe, bd, 2]", "SUBSCRIBE bd");
    expect(admin, "OK", "ACL SETUSER app resetchannels &a &bc");
    expect_closed(hearer);
    expect_closed(pattern);
    expect(stays, "[subscribe, bc, 2]", "SUBSCRIBE bc");
    redisFree(stays);
    redisFree(admin);
    stop(server);
}

/* ------------------------------------------------------------------ not at once */

static void what_was_queued_is_asked_again_when_its_turn_comes(void **state) {
    static const char changed[] =
        "NOPERM ACLs rules changed between the moment the transaction was accumulated "
        "and the EXEC call. This command is no longer allowed for the following "
        "reason: ";
    char expected[1024];
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p " ALL);
    redisContext *app = connect_as_app(server, 1);
    expect(app, "OK", "MULTI");
    expect(app, "QUEUED", "SET a 1");
    expect(app, "QUEUED", "INCR b");
    expect(app, "QUEUED", "PUBLISH c x");
    expect(app, "QUEUED", "EVAL %s 0", "return 1");
    expect(app, "QUEUED", "CLIENT LIST");
    expect(app, "QUEUED", "CONFIG SET timeout 7");
    expect(app, "QUEUED", "EVAL %s 0", "return 2");
    expect(app, "QUEUED", "GET a");
    expect(admin, "OK",
           "ACL SETUSER app -@all +get +incr +set +publish +eval +exec resetkeys ~a resetchannels -eval");
    expect(admin, "OK", "ACL SETUSER app +eval");
    snprintf(
        expected, sizeof expected,
        "[OK, %sno permission to touch the specified keys, %sno permission to access one of the channels "
        "used as arguments to the command, 1, %sno permission to execute the command or subcommand, %sno "
        "permission to execute the command or subcommand, 2, 1]",
        changed, changed, changed, changed);
    expect(app, expected, "EXEC");
    expect(admin, "[timeout, 0]", "CONFIG GET timeout");
    expect(admin, "(nil)", "GET b");
    /* Denied when it is queued, nothing of it is run. */
    expect(admin, "OK", "ACL SETUSER app +multi");
    expect(app, "OK", "MULTI");
    expect(app, "NOPERM No permissions to access a key", "SET b 1");
    expect(app, "EXECABORT Transaction discarded because of previous errors.", "EXEC");
    /* Without the right to EXEC it is discarded. */
    expect(app, "OK", "MULTI");
    expect(admin, "OK", "ACL SETUSER app -exec");
    expect(app,
           "EXECABORT Transaction discarded because of: NOPERM User app has no permissions to run the 'exec' "
           "command",
           "EXEC");
    expect_in(admin, "context, multi, object, c, username, app", "ACL LOG 100");
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void scripts_of_a_transaction_are_run_or_denied_each_by_itself(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p ~a* +@all");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "OK", "MULTI");
    expect(app, "QUEUED", "EVAL %s 1 ab", "return redis.call('set', KEYS[1], 1)");
    expect(app, "QUEUED", "EVAL %s 1 aa", "return redis.call('incrby', KEYS[1], 5)");
    expect(app, "QUEUED", "EVAL %s 1 aa", "return redis.call('incrby', 'z' .. KEYS[1], 5)");
    expect(admin, "OK", "ACL SETUSER app resetkeys ~aa");
    expect_in(
        app,
        "This command is no longer allowed for the following reason: no permission to touch the specified "
        "keys, 5, ERR ACL failure in script: No permissions to access a key",
        "EXEC");
    expect(admin, "(nil)", "GET ab");
    expect(admin, "5", "GET aa");
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void auth_in_a_transaction_binds_the_commands_behind_it(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p ~a* &* +@all -client");
    redisContext *other = server_connect_to(server, 1);
    expect(other, "OK", "MULTI");
    expect(other, "QUEUED", "SET z 1");
    expect(other, "QUEUED", "CLIENT UNPAUSE");
    expect(other, "QUEUED", "AUTH app p");
    expect(other, "QUEUED", "SET z 2");
    expect(other, "QUEUED", "SET a 2");
    expect(other, "QUEUED", "CLIENT UNPAUSE");
    expect(other, "QUEUED", "CLIENT LIST");
    expect(other, "QUEUED", "EVAL %s 1 a", "return redis.call('set', 'z', 3)");
    expect(other, "QUEUED", "ACL WHOAMI");
#define CHANGED                                                                                              \
    "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This "  \
    "command is no longer allowed for the following reason: no permission to "
    expect_in(other,
              "[OK, OK, OK, " CHANGED "touch the specified keys, OK, " CHANGED
              "execute the command or subcommand, " CHANGED
              "execute the command or subcommand, ERR ACL failure in script: No permissions to access a key",
              "EXEC");
    expect(other, "app", "ACL WHOAMI");
    expect(admin, "1", "GET z");
    expect(admin, "2", "GET a");
    redisFree(other);
    redisFree(admin);
    stop(server);
}

/* Not as whom its client is by the end of EXEC, when that is noted. */
static void a_script_s_denial_is_noted_of_who_ran_it(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p ~a* +@all");
    expect(admin, "OK", "ACL SETUSER late on >q ~* +@all");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "OK", "MULTI");
    expect(app, "QUEUED", "EVAL %s 0", "redis.pcall('set', 'z', 3) return 7");
    expect(app, "QUEUED", "AUTH late q");
    expect(app, "QUEUED", "EVAL %s 0", "redis.call('set', 'z', 4) return 8");
    expect(app, "[7, OK, 8]", "EXEC");
    expect_in(admin, "[[count, 1, reason, key, context, lua, object, z, username, app, ", "ACL LOG");
    expect(admin, "4", "GET z");
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void a_script_may_do_what_its_caller_may(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p ~a* +eval +fcall +get");
    expect(admin, "lib", "FUNCTION LOAD %s",
           "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('set', keys[1], 1) "
           "end)");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "(nil)", "EVAL %s 1 a", "return redis.call('get', KEYS[1])");
    expect(app, "NOPERM No permissions to access a key", "EVAL %s 1 b", "return 1");
    expect_in(app, "ERR ACL failure in script: User app has no permissions to run the 'set' command script: ",
              "EVAL return(redis.call('set','a','1')) 0");
    expect_in(app, "ERR ACL failure in script: No permissions to access a key script: ",
              "EVAL return(redis.call('get','b')) 0");
    expect_in(app, "ERR ACL failure in script: User app has no permissions to run the 'set' command",
              "FCALL f 1 a");
    expect(app, "[1, (nil), (nil), 1]", "EVAL %s 0",
           "return {redis.acl_check_cmd('get', 'a'), redis.acl_check_cmd('get', 'b'), "
           "redis.acl_check_cmd('set', "
           "'a', 1), redis.acl_check_cmd('auth', 'x')}");
    /* Of too few arguments, too, it tells whether the command is one that it may call. */
    expect(
        app, "[1, (nil), (nil)]", "EVAL %s 0",
        "return {redis.acl_check_cmd('get'), redis.acl_check_cmd('set'), redis.acl_check_cmd('set', 'a')}");
    /* It goes on with pcall, and is noted once though it began again, with a key that it hadn't named. */
    expect(app, "ERR ACL failure in script: User app has no permissions to run the 'del' command",
           "EVAL %s 0",
           "for i = 1, 300 do redis.call('get', 'a' .. i) end local e = redis.pcall('del', 'a') return e");
    expect_in(admin, "[count, 1, reason, command, context, lua, object, del, username, app", "ACL LOG 1");
    assert_int_equal(info_number(admin, "acl_access_denied_cmd"), 3);
    assert_int_equal(info_number(admin, "acl_access_denied_key"), 2);
    redisFree(app);
    redisFree(admin);
    stop(server);
}

static void who_waits_for_what_it_may_not_have_any_more_leaves_it_to_the_next(void **state) {
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p " ALL);
    redisContext *first = connect_as_app(server, 1), *second = server_connect_to(server, 2);
    assert_int_equal(redisAppendCommand(first, "BLMOVE l m LEFT LEFT 0"), REDIS_OK);
    int done;
    assert_int_equal(redisBufferWrite(first, &done), REDIS_OK);
    await_info(admin, "blocked_clients", 1);
    assert_int_equal(redisAppendCommand(second, "BLPOP l 0"), REDIS_OK);
    assert_int_equal(redisBufferWrite(second, &done), REDIS_OK);
    await_info(admin, "blocked_clients", 2);
    expect(admin, "OK", "ACL SETUSER app resetkeys ~l");
    expect(admin, "1", "RPUSH l x");
    redisReply *reply;
    assert_int_equal(redisGetReply(first, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "NOPERM No permissions to access a key");
    freeReplyObject(reply);
    assert_int_equal(redisGetReply(second, (void **)&reply), REDIS_OK);
    char *text = reply_text(reply);
    assert_string_equal(text, "[l, x]");
    free(text);
    freeReplyObject(reply);
    expect(admin, "0", "EXISTS l m");
    expect_in(admin, "reason, key, context, toplevel, object, m, username, app", "ACL LOG");
    /* With nobody behind it the element stays. */
    assert_int_equal(redisAppendCommand(first, "BLPOP l 0"), REDIS_OK);
    assert_int_equal(redisBufferWrite(first, &done), REDIS_OK);
    await_info(admin, "blocked_clients", 1);
    expect(admin, "OK", "ACL SETUSER app -blpop");
    expect(admin, "1", "RPUSH l y");
    assert_int_equal(redisGetReply(first, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "NOPERM User app has no permissions to run the 'blpop' command");
    freeReplyObject(reply);
    expect(admin, "[y]", "LRANGE l 0 -1");
    redisFree(first);
    redisFree(second);
    redisFree(admin);
    stop(server);
}

/* ------------------------------------------------------------------ the default user */

static void the_default_user_may_be_off_have_passwords_or_few_rights(void **state) {
    (void)state;
    struct server *server = start("--requirepass", "first");
    redisContext *admin = server_connect(server), *other;
    expect(admin, "NOAUTH Authentication required.", "PING");
    expect(admin, "OK", "AUTH first");
    expect(admin, "OK", "ACL SETUSER admin on >p " ALL);
    expect(admin, "OK", "AUTH admin p");
    expect(admin, "OK", "ACL SETUSER default >second");
    other = server_connect(server);
    expect(other, "OK", "AUTH second");
    expect(other, "OK", "AUTH default first");
    redisFree(other);
    expect(admin, "OK", "CONFIG SET requirepass third"); /* the only one */
    other = server_connect(server);
    expect(other, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH second");
    expect(other, "OK", "AUTH third");
    redisFree(other);
    expect(admin, "OK", "CONFIG SET requirepass %s", "");
    other = server_connect(server);
    expect(other, "PONG", "PING");
    expect(admin, "OK", "ACL SETUSER default off");
    expect(other, "PONG", "PING"); /* it was it before */
    redisFree(other);
    other = server_connect(server);
    expect(other, "NOAUTH Authentication required.", "PING");
    expect(other, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH default x");
    expect(admin, "OK", "ACL SETUSER default on -@all +ping");
    expect(other, "PONG", "PING");
    expect(other, "NOPERM User default has no permissions to run the 'get' command", "GET k");
    redisFree(other);
    redisFree(admin);
    stop(server);
}

static void clients_are_listed_and_killed_by_user(void **state) {
    (void)state;
    struct server *server = start("--slowlog-log-slower-than", "0");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p " ALL);
    redisContext *one = connect_as_app(server, 1), *two = connect_as_app(server, 2);
    expect_in(admin, " user=app ", "CLIENT LIST");
    expect_in(one, " user=app ", "CLIENT INFO");
    expect(admin, "ERR No such user 'nobody'", "CLIENT KILL USER nobody");
    expect(admin, "2", "CLIENT KILL USER app");
    expect_closed(one);
    expect_closed(two);
    /* Nor are rules and passwords to be read elsewhere. */
    expect_in(admin, "[ACL, SETUSER, (redacted), (redacted), (redacted), (redacted), (redacted), (redacted)]",
              "SLOWLOG GET 100");
    redisFree(admin);
    stop(server);
}

/* ------------------------------------------------------------------ files */

static void an_aclfile_is_loaded_as_a_whole_or_not_at_all(void **state) {
    char folder[] = "/tmp/acl_test.XXXXXX", path[64], expected[512];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
    file_write(path, "user app on >p ~a* +@read (~b +set)\n\n  user default on nopass " ALL "\n");
    struct server *server = start("--aclfile", path);
    redisContext *admin = server_connect_to(server, 0);
    expect(admin,
           "[user app on sanitize-payload #" HASH_OF_P
           " ~a* resetchannels -@all +@read (~b resetchannels -@all +set), user default on nopass "
           "sanitize-payload ~* &* +@all]",
           "ACL LIST");
    redisContext *app = connect_as_app(server, 1);
    expect(admin, "OK", "ACL SETUSER later on nopass");
    expect(admin, "OK", "ACL SAVE");
    file_expect(path,
                "user app on sanitize-payload #" HASH_OF_P
                " ~a* resetchannels -@all +@read (~b resetchannels -@all +set)\nuser default on nopass "
                "sanitize-payload ~* &* +@all\nuser later on nopass sanitize-payload resetchannels -@all\n");
    file_write(path, "user app on +nosuch +@all ~x ~x* allkeys ~y\nfoo\nuser app\nuser b (~x\n");
    snprintf(
        expected, sizeof expected,
        "ERR %s:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. %s:1: "
        "Adding a pattern after the * pattern",
        path, path);
    expect_in(admin, expected, "ACL LOAD");
    expect_in(admin, "WARNING: Duplicate user 'app' found on line 3. ", "ACL LOAD");
    expect_in(admin, ":2 should start with user keyword followed by the username. ", "ACL LOAD");
    expect_in(admin, ":4: Unmatched parenthesis in selector definition.", "ACL LOAD");
    expect_in(admin, "no change to the previously active ACL rules was performed", "ACL LOAD");
    expect(admin, "[app, default, later]", "ACL USERS");
    expect(app, "(nil)", "GET a");
    /* As in 7.2, who isn't the default user is closed by LOAD; who asks, after it is answered. */
    file_write(path, "user app on nopass " ALL "\nuser default on >x +ping\n");
    expect(admin, "OK", "ACL LOAD");
    expect_closed(app);
    expect(admin, "PONG", "PING"); /* it was the default user before */
    expect(admin, "NOPERM User default has no permissions to run the 'acl|list' command", "ACL LIST");
    expect(admin, "OK", "AUTH app anything");
    expect(admin, "OK", "ACL LOAD");
    expect_closed(admin);
    redisContext *other = server_connect(server);
    expect(other, "NOAUTH Authentication required.", "PING");
    redisFree(other);
    stop(server);
    unlink(path);
    rmdir(folder);
}

/* Names may have anything but blanks and zero bytes, and so may patterns: they are the same when a file is
 * read again. What a configuration makes of them is tests/differential/users.py's. */
static void names_and_patterns_come_back_from_a_file_as_they_were(void **state) {
    static const char *const names[] = {"",         "\"",          "a\"b",         "it's",
                                        "'q'",      "back\\slash", "\x01\x7f\xff", "#hash",
                                        "\xc3\xa4", "\"q\"",       "(in",          "~x"};
    static const char *const patterns[] = {
        "~k\"1", "~'k2'", "~k\\\"3", "&c\"'1", "%R~\"", "(~\"p\\\"q\" &\"r's\" +get)", "(~\"t)\" %W~u +set)"};
    char folder[] = "/tmp/acl_test.XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
    file_write(path, "user default on nopass " ALL "\n");
    struct server *server = start("--aclfile", path);
    redisContext *admin = server_connect_to(server, 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(admin, "OK", "ACL SETUSER %s on >p resetchannels %s %s %s %s %s %s %s +@read +select|\"",
               names[i], patterns[0], patterns[1], patterns[2], patterns[3], patterns[4], patterns[5],
               patterns[6]);
    static const char refused[] = "ERR Usernames can't contain spaces or null characters", zero[] = "a\0b";
    const size_t zero_length = sizeof zero - 1;
    expect(admin, refused, "ACL SETUSER %s on", "in ward");
    expect(admin, refused, "ACL SETUSER %s on", "line\n");
    redisReply *reply = redisCommand(admin, "ACL SETUSER %b on", zero, zero_length);
    assert_string_equal(reply->str, refused);
    freeReplyObject(reply);
    reply = redisCommand(admin, "ACL LIST");
    char *before = reply_text(reply), *after;
    freeReplyObject(reply);
    expect(admin, "OK", "ACL SAVE");
    expect(admin, "OK", "ACL LOAD");
    reply = redisCommand(admin, "ACL LIST");
    after = reply_text(reply);
    assert_string_equal(after, before);
    freeReplyObject(reply);
    expect(admin, "OK", "ACL DRYRUN %s set u 1", "");
    expect(admin, "OK", "ACL DRYRUN %s get p\"q", "it's");
    expect(admin, "User a\"b has no permissions to access the 'v' key", "ACL DRYRUN %s get v", "a\"b");
    redisContext *other = server_connect_to(server, 1);
    expect(other, "OK", "AUTH %s p", "\x01\x7f\xff");
    expect(other, "(nil)", "GET k\"1");
    expect(other, "(nil)", "GET p\"q");
    expect(other, "NOPERM No permissions to access a key", "GET t");
    expect(other, "OK", "AUTH %s p", "");
    redisFree(other);
    redisFree(admin);
    free(before);
    free(after);
    stop(server);
    unlink(path);
    rmdir(folder);
}

/* However many they are, and in whatever order. */
static void an_aclfile_may_have_many_users(void **state) {
    char folder[] = "/tmp/acl_test.XXXXXX", path[64], name[32];
    int most = scaled(50000, 2000);
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
    file_write(path, "user default on nopass " ALL "\n");
    struct server *server = start("--aclfile", path);
    redisContext *admin = server_connect_to(server, 0);
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    for (int i = most; i > 0; i--) fprintf(file, "user u%05d on nopass +get\n", i);
    assert_int_equal(fclose(file), 0);
    expect(admin, "OK", "ACL LOAD");
    redisReply *reply = redisCommand(admin, "ACL USERS");
    assert_non_null(reply);
    assert_int_equal(reply->elements, most + 1);
    assert_string_equal(reply->element[0]->str, "default");
    for (int i = 1; i <= most; i++) {
        snprintf(name, sizeof name, "u%05d", i);
        assert_string_equal(reply->element[i]->str, name);
    }
    freeReplyObject(reply);
    file = fopen(path, "ae");
    assert_non_null(file);
    fprintf(file, "user u%05d off\nuser u00000\n", most / 2);
    assert_int_equal(fclose(file), 0);
    snprintf(name, sizeof name, "line %d. ", most + 2);
    expect_in(admin, name, "ACL LOAD");
    redisFree(admin);
    stop(server);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ------------------------------------------------------------------ what was denied */

static void what_is_denied_is_counted_and_kept(void **state) {
    (void)state;
    struct server *server = start("--acllog-max-len", "3");
    redisContext *admin = server_connect_to(server, 0);
    expect(admin, "OK", "ACL SETUSER app on >p ~a +get +publish +multi");
    redisContext *app = connect_as_app(server, 1);
    expect(app, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH nobody x");
    for (int i = 0; i < 3; i++) expect(app, "NOPERM No permissions to access a key", "GET secret");
    expect_in(admin,
              "[[count, 3, reason, key, context, toplevel, object, secret, username, app, age-seconds, 0",
              "ACL LOG");
    expect_in(admin, "entry-id, 1, timestamp-created, ", "ACL LOG 1");
    expect_in(admin, "cmd=get user=app ", "ACL LOG 1");
    expect_in(admin, "[count, 1, reason, auth, context, toplevel, object, AUTH, username, nobody, ",
              "ACL LOG");
    expect(app, "NOPERM No permissions to access a channel", "PUBLISH c x");
    expect(admin, "OK", "ACL SETUSER app &[ab]");
    expect(app, "0", "PUBLISH b x");
    expect(admin, "User app has no permissions to access the '[ab]' channel",
           "ACL DRYRUN app PUBLISH [ab] x");
    expect(app, "OK", "MULTI");
    expect(app, "NOPERM User app has no permissions to run the 'set' command", "SET a 1");
    expect_in(admin, "reason, command, context, multi, object, set", "ACL LOG 1");
    redisReply *reply = redisCommand(admin, "ACL LOG");
    assert_int_equal(reply->elements, 3);
    freeReplyObject(reply);
    assert_int_equal(info_number(admin, "acl_access_denied_auth"), 1);
    assert_int_equal(info_number(admin, "acl_access_denied_cmd"), 1);
    assert_int_equal(info_number(admin, "acl_access_denied_key"), 3);
    assert_int_equal(info_number(admin, "acl_access_denied_channel"), 1);
    expect(admin, "[]", "ACL LOG 0");
    expect(admin, "OK", "CONFIG SET acllog-max-len 1");
    expect(app, "NOPERM No permissions to access a key", "GET other");
    reply = redisCommand(admin, "ACL LOG");
    assert_int_equal(reply->elements, 1);
    freeReplyObject(reply);
    expect(admin, "OK", "ACL LOG RESET");
    expect(admin, "[]", "ACL LOG");
    expect(admin, "OK", "CONFIG RESETSTAT");
    assert_int_equal(info_number(admin, "acl_access_denied_key"), 0);
    redisFree(app);
    redisFree(admin);
    stop(server);
}

/* ------------------------------------------------------------------ other than in 7.0 */

/* Each row is what Redis 7.2 answers, and where that is written: its release notes, or its source. */
static void what_7_2_answers_otherwise_than_7_0(void **state) {
    static const struct {
        const char *request, *answer;
        const char *source;
    } rows[] = {
        {"GET b", "NOPERM No permissions to access a key", "7.2.0, #11160: one text for all ways"},
        {"PUBLISH x y", "NOPERM No permissions to access a channel", "7.2.0, #11160"},
        {"DEL a", "NOPERM User app has no permissions to run the 'del' command", "7.2.0, #11160"},
        {"ACL DRYRUN app GET b", "User app has no permissions to access the 'b' key", "7.2.0, #11160"},
        {"ACL DRYRUN app PUBLISH x y", "User app has no permissions to access the 'x' channel",
         "7.2.0, #11160"},
        {"ACL DRYRUN app DEL a", "User app has no permissions to run the 'del' command", "7.2.0, #11160"},
        {"ACL SETUSER new +@all -set +@read", "OK", ""},
        {"ACL GETUSER new",
         "[flags, [off, sanitize-payload], passwords, [], commands, +@all -set +@read, keys, , channels, , "
         "selectors, []]",
         "7.2.0, #10998: rules stay as they were written"},
        {"ACL SETUSER new -@all +config|get +config +config|set -config", "OK", ""},
        {"ACL LIST",
         "[user app on nopass sanitize-payload ~a resetchannels -@all +@read +publish +acl, user default on "
         "nopass sanitize-payload ~* &* +@all, user new off sanitize-payload resetchannels -@all -config]",
         "7.2.0, #10998; the flag of payloads is shown"},
    };
    (void)state;
    struct server *server = start("--maxmemory", "0");
    redisContext *admin = server_connect(server);
    expect(admin, "OK", "ACL SETUSER app on nopass ~a +@read +publish +acl");
    redisContext *app = connect_as_app(server, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        redisReply *reply = redisCommand(app, rows[i].request);
        assert_non_null(reply);
        char *text = reply_text(reply);
        if (strcmp(text, rows[i].answer) != 0)
            fail_msg("%s: %s, and not %s (%s)", rows[i].request, text, rows[i].answer, rows[i].source);
        free(text);
        freeReplyObject(reply);
    }
    redisFree(app);
    redisFree(admin);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_is_held_to_its_rules_and_told_so_in_the_words_of_7_2),
        cmocka_unit_test(sort_follows_patterns_only_for_who_may_read_every_key),
        cmocka_unit_test(a_change_holds_on_every_worker_when_it_is_answered),
        cmocka_unit_test(a_change_is_never_answered_as_if_it_had_not_been_made),
        cmocka_unit_test(one_command_has_a_bounded_number_of_rules),
        cmocka_unit_test(a_user_that_is_deleted_while_it_is_changed_has_nothing_of_before),
        cmocka_unit_test(clients_of_a_deleted_user_are_closed_wherever_they_are),
        cmocka_unit_test(who_hears_what_it_may_not_any_more_is_closed),
        cmocka_unit_test(what_was_queued_is_asked_again_when_its_turn_comes),
        cmocka_unit_test(scripts_of_a_transaction_are_run_or_denied_each_by_itself),
        cmocka_unit_test(auth_in_a_transaction_binds_the_commands_behind_it),
        cmocka_unit_test(a_script_s_denial_is_noted_of_who_ran_it),
        cmocka_unit_test(a_script_may_do_what_its_caller_may),
        cmocka_unit_test(who_waits_for_what_it_may_not_have_any_more_leaves_it_to_the_next),
        cmocka_unit_test(the_default_user_may_be_off_have_passwords_or_few_rights),
        cmocka_unit_test(clients_are_listed_and_killed_by_user),
        cmocka_unit_test(an_aclfile_is_loaded_as_a_whole_or_not_at_all),
        cmocka_unit_test(names_and_patterns_come_back_from_a_file_as_they_were),
        cmocka_unit_test(an_aclfile_may_have_many_users),
        cmocka_unit_test(what_is_denied_is_counted_and_kept),
        cmocka_unit_test(what_7_2_answers_otherwise_than_7_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
