/* Money moves between accounts, by MULTI, by WATCH and by scripts, from many connections at once; and whoever
 * looks at all accounts at one moment sees the same sum. Half of the scripts don't declare their keys, and
 * find out about the second when they have changed the first.
 *
 *     TRANSFERS=10000000 SEED=... transfer_test     so many; each way that a script may take to a key that it
 *                                                   hasn't declared is gone by one of 10,000, or it goes on
 */
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
#define MOVERS 16
#define READERS 4
#define TRANSFERS SCALED(50000, 10000)
/* Of those that need no answer in between, so many are sent at once. */
#define BATCH 16
/* Looking at all of them is as much work as some hundred transfers: a reader lets so many pass in between. */
#define LOOK_EVERY 200

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

static void append(redisContext *connection, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(redisContext *connection, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (redisvAppendCommand(connection, format, arguments) != REDIS_OK) abort();
    va_end(arguments);
}

/* So many answers, none of which is an error; returns the last. */
static redisReply *take_last(redisContext *connection, int count) {
    for (;;) {
        redisReply *reply = take(connection);
        if (reply->type == REDIS_REPLY_ERROR) {
            fprintf(stderr, "%s\n", reply->str);
            abort();
        }
        if (--count == 0) return reply;
        freeReplyObject(reply);
    }
}

/* Others have the processor, until what is waited for is looked at again. */
static void pass(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ------------------------------------------------------------------ ways to move money */

struct transfer {
    int from, to, amount;
    int hands[3]; /* that it may go through */
    int thought;  /* how long it may be thought about */
};

static int64_t number_of(const redisReply *reply) {
    return strtoll(reply->str, NULL, 10);
}

static void move_watching(redisContext *connection, const struct transfer *transfer) {
    int from = transfer->from, to = transfer->to;
    for (bool is_done = false; !is_done;) {
        append(connection, "WATCH account:%d account:%d", from, to);
        append(connection, "MGET account:%d account:%d", from, to);
        redisReply *reply = take_last(connection, 2);
        int64_t left = number_of(reply->element[0]) - transfer->amount;
        int64_t more = number_of(reply->element[1]) + transfer->amount;
        freeReplyObject(reply);
        append(connection, "MULTI");
        append(connection, "SET account:%d %lld", from, (long long)left);
        append(connection, "SET account:%d %lld", to, (long long)more);
        append(connection, "EXEC");
        reply = take_last(connection, 4);
        is_done = reply->type == REDIS_REPLY_ARRAY;
        freeReplyObject(reply);
        if (!is_done) atomic_fetch_add(&refused, 1);
    }
}

/* One that thinks about it keeps others waiting for longer than whoever has the token waits. */
static const char *const declared = "redis.call('decrby', KEYS[1], ARGV[1]) for i = 1, ARGV[2] do end "
                                    "redis.call('incrby', KEYS[2], ARGV[1]) return 1";
/* Through several hands, and with some thought in between: so that what it strays to is often somebody's. */
static const char *const undeclared =
    "for i = 2, #ARGV - 1 do redis.call('decrby', 'account:' .. ARGV[i], ARGV[1]) "
    "if i == 2 then for j = 1, 1000 do end end "
    "redis.call('incrby', 'account:' .. ARGV[i + 1], ARGV[1]) end return 1";
static const char *const summing =
    "local sum = 0 for i = 0, tonumber(ARGV[1]) - 1 do sum = sum + redis.call('get', 'account:' .. i) end "
    "return sum";

enum way { BY_MULTI, BY_SCRIPT, BY_STRAYING_SCRIPT, BY_BOTH, WATCHING, WAYS };

/* Returns how many answers it is going to have. */
static int send(redisContext *connection, enum way way, const struct transfer *transfer) {
    int from = transfer->from, to = transfer->to, amount = transfer->amount;
    const int *hands = transfer->hands;
    switch (way) {
    case BY_SCRIPT:
        append(connection, "EVAL %s 2 account:%d account:%d %d %d", declared, from, to, amount,
               transfer->thought);
        return 1;
    case BY_STRAYING_SCRIPT:
        append(connection, "EVAL %s 0 %d %d %d %d %d %d", undeclared, amount, from, hands[0], hands[1],
               hands[2], to);
        return 1;
    default: break;
    }
    append(connection, "MULTI");
    append(connection, "DECRBY account:%d %d", from, amount);
    append(connection, "INCRBY account:%d %d", to, amount);
    /* In the same transaction, behind other commands: and back again, twice as much. */
    if (way == BY_BOTH) append(connection, "EVAL %s 0 %d %d %d", undeclared, amount * 2, to, from);
    append(connection, "EXEC");
    return 4 + (way == BY_BOTH);
}

static struct transfer choose_transfer(uint64_t *state) {
    /* Some accounts are moved to and from much more than others. */
    uint64_t most = random_below(state, 2) == 0 ? 10 : ACCOUNTS;
    struct transfer transfer = {.from = (int)random_below(state, most),
                                .amount = (int)random_below(state, 100)};
    do transfer.to = (int)random_below(state, most);
    while (transfer.to == transfer.from);
    if (random_below(state, 16) == 0) transfer.thought = 200000;
    for (int i = 0; i < 3; i++) transfer.hands[i] = (int)random_below(state, most);
    return transfer;
}

static void *move(void *argument) {
    uint64_t state = seed + (uint64_t)(uintptr_t)argument;
    redisContext *connection = server_connect(server);
    while (!atomic_load(&is_over)) {
        int answers[BATCH];
        for (int i = 0; i < BATCH; i++) {
            struct transfer transfer = choose_transfer(&state);
            /* Of the scripts as many declare their keys as don't; those in a transaction never do. */
            static const enum way ways[] = {BY_MULTI, BY_SCRIPT, BY_SCRIPT, BY_STRAYING_SCRIPT, BY_BOTH};
            answers[i] = send(connection, ways[random_below(&state, 5)], &transfer);
        }
        for (int i = 0; i < BATCH; i++) {
            redisReply *reply = take_last(connection, answers[i]);
            bool is_exec = answers[i] > 1;
            if (is_exec ? reply->elements != (size_t)answers[i] - 2
                        : reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
                abort();
            if (is_exec && reply->element[reply->elements - 1]->type != REDIS_REPLY_INTEGER) abort();
            freeReplyObject(reply);
        }
        for (int i = 0; i < BATCH / 4; i++) {
            struct transfer transfer = choose_transfer(&state);
            move_watching(connection, &transfer);
        }
        atomic_fetch_add(&moved, BATCH + BATCH / 4);
    }
    redisFree(connection);
    return NULL;
}

/* ------------------------------------------------------------------ who looks */

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
        uint64_t next = atomic_load(&moved) + LOOK_EVERY;
        while (atomic_load(&moved) < next && !atomic_load(&is_over)) pass();
        if (random_below(&state, 2) == 0) {
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

static const char *const strays[] = {"script_strays_granted", "script_strays_begun_again",
                                     "script_strays_undone", "script_strays_awaited"};
#define STRAYS (sizeof strays / sizeof strays[0])

/* Waiting with the token is a matter of microseconds, and so of luck where little is moved: its test is
 * stray_test's. */
static bool is_enough(redisContext *admin, uint64_t transfers) {
    uint64_t least = transfers / 10000;
    if (atomic_load(&moved) < transfers || atomic_load(&looked) < 10 || atomic_load(&refused) == 0)
        return false;
    for (size_t i = 0; i < STRAYS; i++) {
        bool is_lucky = i == STRAYS - 1 && least < 1000;
        if (!is_lucky && info_number(admin, strays[i]) <= (int64_t)least) return false;
    }
    return true;
}

static void the_sum_of_all_accounts_never_changes(void **state) {
    (void)state;
    const char *text = getenv("TRANSFERS");
    uint64_t transfers = text == NULL ? TRANSFERS : strtoull(text, NULL, 10);
    seed = seed_take();
    /* However long the machine keeps a script from running, nobody is refused for it. */
    server = server_start(
        (const char *const[]){"--threads", "3", "--shards", "16", "--busy-reply-threshold", "0", NULL});
    redisContext *admin = server_connect(server);
    for (int i = 0; i < ACCOUNTS; i++) freeReplyObject(ask(admin, "SET account:%d %d", i, EACH));
    pthread_t threads[MOVERS + READERS];
    int64_t began = now_us();
    for (uintptr_t i = 0; i < MOVERS + READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < MOVERS ? move : look, (void *)i), 0);
    while (!is_enough(admin, transfers)) pass();
    atomic_store(&is_over, true);
    for (int i = 0; i < MOVERS + READERS; i++) pthread_join(threads[i], NULL);
    print_message("# %llu transfers in %.1f s, %llu refused, %llu looks;",
                  (unsigned long long)atomic_load(&moved), (double)(now_us() - began) / 1e6,
                  (unsigned long long)atomic_load(&refused), (unsigned long long)atomic_load(&looked));
    for (size_t i = 0; i < STRAYS; i++)
        print_message(" %s:%lld", strays[i], (long long)info_number(admin, strays[i]));
    print_message("\n");
    await_info(admin, "client_name_bytes", 0);
    redisFree(admin);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_sum_of_all_accounts_never_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
