/* Money moves between accounts, by MULTI, by WATCH and by scripts, from many connections at once; and whoever
 * looks at all accounts at one moment sees the same sum. Half of the scripts don't declare their keys, and
 * find out about the second when they have changed the first. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine.h"
#include "tests/support.h"

#define ACCOUNTS 1000
#define EACH 1000
#define MOVERS 12
#define READERS 4

static struct server *server;
static atomic_bool is_over;
static _Atomic uint64_t moved, refused, looked;
static uint64_t seed;

static redisReply *ask(redisContext *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static redisReply *take(redisContext *connection) {
    redisReply *reply;
    if (redisGetReply(connection, (void **)&reply) != REDIS_OK) abort();
    return reply;
}

static redisReply *ask(redisContext *connection, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(connection, format, arguments);
    va_end(arguments);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "%s: %s\n", format, reply == NULL ? connection->errstr : reply->str);
        abort();
    }
    return reply;
}

static void tell(redisContext *connection, const char *format, int64_t account, int64_t value) {
    freeReplyObject(ask(connection, format, account, value));
}

static void move_blindly(redisContext *connection, int from, int to, int amount) {
    const char *const commands[] = {"MULTI", "DECRBY account:%d %d", "INCRBY account:%d %d", "EXEC"};
    redisAppendCommand(connection, commands[0]);
    redisAppendCommand(connection, commands[1], from, amount);
    redisAppendCommand(connection, commands[2], to, amount);
    redisAppendCommand(connection, commands[3]);
    for (int i = 0; i < 4; i++) {
        redisReply *reply = take(connection);
        if (reply->type == REDIS_REPLY_ERROR || (i == 3 && reply->elements != 2)) abort();
        freeReplyObject(reply);
    }
    atomic_fetch_add(&moved, 1);
}

static int64_t value_of(redisContext *connection, int account) {
    redisReply *reply = ask(connection, "GET account:%d", account);
    int64_t value = strtoll(reply->str, NULL, 10);
    freeReplyObject(reply);
    return value;
}

static void move_watching(redisContext *connection, int from, int to, int amount) {
    for (;;) {
        freeReplyObject(ask(connection, "WATCH account:%d account:%d", from, to));
        int64_t left = value_of(connection, from) - amount, more = value_of(connection, to) + amount;
        freeReplyObject(ask(connection, "MULTI"));
        tell(connection, "SET account:%lld %lld", from, left);
        tell(connection, "SET account:%lld %lld", to, more);
        redisReply *reply = ask(connection, "EXEC");
        bool is_done = reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
        atomic_fetch_add(is_done ? &moved : &refused, 1);
        if (is_done) return;
    }
}

static const char *const declared =
    "redis.call('decrby', KEYS[1], ARGV[1]) redis.call('incrby', KEYS[2], ARGV[1]) return 1";
static const char *const undeclared = "redis.call('decrby', 'account:' .. ARGV[1], ARGV[3]) "
                                      "redis.call('incrby', 'account:' .. ARGV[2], ARGV[3]) return 1";
static const char *const summing =
    "local sum = 0 for i = 0, tonumber(ARGV[1]) - 1 do sum = sum + redis.call('get', 'account:' .. i) end "
    "return sum";

static void move_by_script(redisContext *connection, int from, int to, int amount, bool declares) {
    redisReply *reply =
        declares ? ask(connection, "EVAL %s 2 account:%d account:%d %d", declared, from, to, amount)
                 : ask(connection, "EVAL %s 0 %d %d %d", undeclared, from, to, amount);
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) abort();
    freeReplyObject(reply);
    atomic_fetch_add(&moved, 1);
}

/* In a transaction, behind another command. */
static void move_by_both(redisContext *connection, int from, int to, int amount) {
    freeReplyObject(ask(connection, "MULTI"));
    freeReplyObject(ask(connection, "DECRBY account:%d %d", from, amount));
    freeReplyObject(ask(connection, "INCRBY account:%d %d", to, amount));
    freeReplyObject(ask(connection, "EVAL %s 0 %d %d %d", undeclared, to, from, amount));
    redisReply *reply = ask(connection, "EXEC");
    if (reply->elements != 3 || reply->element[2]->type != REDIS_REPLY_INTEGER) abort();
    freeReplyObject(reply);
    atomic_fetch_add(&moved, 1);
}

static void *move(void *argument) {
    uint64_t state = seed + (uint64_t)(uintptr_t)argument;
    redisContext *connection = server_connect(server);
    while (!atomic_load(&is_over)) {
        /* Some accounts are moved to and from much more than others. */
        int most = random_below(&state, 2) == 0 ? 10 : ACCOUNTS;
        int from = (int)random_below(&state, (uint64_t)most), to = (int)random_below(&state, (uint64_t)most);
        int amount = (int)random_below(&state, 100);
        if (from == to) continue;
        switch (random_below(&state, 6)) {
        case 0: move_blindly(connection, from, to, amount); break;
        case 1: move_watching(connection, from, to, amount); break;
        case 2: move_by_script(connection, from, to, amount, true); break;
        case 3: move_by_both(connection, from, to, amount); break;
        default: move_by_script(connection, from, to, amount, false);
        }
    }
    redisFree(connection);
    return NULL;
}

/* Some by reads alone, some beside what needs all shards, and some beside a write. */
static void check(int64_t sum) {
    if (sum == (int64_t)ACCOUNTS * EACH) return;
    fprintf(stderr, "the sum is %lld, not %d (seed %llu)\n", (long long)sum, ACCOUNTS * EACH,
            (unsigned long long)seed);
    abort();
}

static void *look(void *argument) {
    uint64_t state = seed + 1000 + (uint64_t)(uintptr_t)argument;
    static const char *const besides[] = {NULL, "DBSIZE\r\n", "INCR looks\r\n", "KEYS none\r\n"};
    redisContext *connection = server_connect(server);
    char name[ACCOUNTS][16];
    const char *words[ACCOUNTS + 1] = {"MGET"};
    for (int i = 0; i < ACCOUNTS; i++) {
        snprintf(name[i], sizeof name[i], "account:%d", i);
        words[i + 1] = name[i];
    }
    while (!atomic_load(&is_over)) {
        if (random_below(&state, 4) == 0) {
            redisReply *reply = ask(connection, "EVAL_RO %s 0 %d", summing, ACCOUNTS);
            check(reply->integer);
            freeReplyObject(reply);
            atomic_fetch_add(&looked, 1);
            continue;
        }
        const char *beside = besides[random_below(&state, 4)];
        int64_t sum = 0;
        freeReplyObject(ask(connection, "MULTI"));
        if (beside != NULL && redisAppendFormattedCommand(connection, beside, strlen(beside)) == REDIS_OK)
            freeReplyObject(take(connection));
        freeReplyObject(redisCommandArgv(connection, ACCOUNTS + 1, words, NULL));
        redisReply *reply = ask(connection, "EXEC"), *values = reply->element[reply->elements - 1];
        for (size_t i = 0; i < values->elements; i++) sum += strtoll(values->element[i]->str, NULL, 10);
        freeReplyObject(reply);
        check(sum);
        atomic_fetch_add(&looked, 1);
    }
    redisFree(connection);
    return NULL;
}

static void the_sum_of_all_accounts_never_changes(void **state) {
    (void)state;
    const char *text = getenv("STRESS_SECONDS");
    int64_t seconds = text == NULL ? 5 : strtoll(text, NULL, 10);
    seed = seed_take();
    server = server_start((const char *const[]){"--threads", "3", NULL});
    redisContext *admin = server_connect(server);
    for (int i = 0; i < ACCOUNTS; i++) tell(admin, "SET account:%lld %lld", i, EACH);
    pthread_t threads[MOVERS + READERS];
    for (uintptr_t i = 0; i < MOVERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < MOVERS ? move : look, (void *)i), 0);
    int64_t until = now_us() + seconds * 1000000;
    while (now_us() < until || atomic_load(&looked) < 10 || atomic_load(&refused) == 0 ||
           info_number(admin, "script_strays_begun_again") == 0 ||
           info_number(admin, "script_strays_undone") == 0)
        freeReplyObject(ask(admin, "PING"));
    atomic_store(&is_over, true);
    for (int i = 0; i < MOVERS + READERS; i++) pthread_join(threads[i], NULL);
    print_message("# %llu moved, %llu refused, %llu looks\n", (unsigned long long)atomic_load(&moved),
                  (unsigned long long)atomic_load(&refused), (unsigned long long)atomic_load(&looked));
    await_info(admin, "client_name_bytes", 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_sum_of_all_accounts_never_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
