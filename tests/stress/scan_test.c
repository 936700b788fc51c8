/* SCAN's promise over the wire: a key that is there from the scan's start to its end is returned, while four
 * writers insert and delete others, and the tables grow and shrink beneath. HSCAN, SSCAN and ZSCAN promise
 * the same of a value's members, also while its packed form becomes a table. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define STAYING 5000
#define WRITERS 4
#define SCANS_LEAST 12
#define WAVES_LEAST 2 /* of each writer, while scans go on */
#define WAVE scaled(20000, 5000)

static struct server *server;
static atomic_bool is_over;
static atomic_int waves[WRITERS]; /* that have come and gone */

static void read_replies(redisContext *connection, int count) {
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(connection, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR)
            abort();
        freeReplyObject(reply);
    }
}

/* In waves: so many keys come, then go again, so that tables grow and shrink. */
static void *come_and_go(void *argument) {
    redisContext *connection = server_connect(server);
    int number = *(int *)argument;
    while (!atomic_load(&is_over)) {
        for (int is_going = 0; is_going < 2; is_going++)
            for (int i = 0; i < WAVE; i += 100) {
                for (int j = i; j < i + 100; j++)
                    redisAppendCommand(connection, is_going ? "DEL passing:%d:%d" : "SET passing:%d:%d x",
                                       number, j);
                read_replies(connection, 100);
            }
        atomic_fetch_add(&waves[number], 1);
    }
    redisFree(connection);
    return NULL;
}

static bool waves_are_enough(void) {
    for (int i = 0; i < WRITERS; i++)
        if (atomic_load(&waves[i]) < WAVES_LEAST) return false;
    return true;
}

static void every_staying_key_is_returned_by_every_scan(void **state) {
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    (void)state;
    server = server_start((const char *const[]){"--threads", "4", "--shards", "8", NULL});
    redisContext *connection = server_connect(server);
    for (int i = 0; i < STAYING; i++) redisAppendCommand(connection, "SET staying:%d x", i);
    read_replies(connection, STAYING);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    uint64_t others = 0, calls = 0;
    int scan = 0;
    for (; scan < SCANS_LEAST || !waves_are_enough(); scan++) {
        char cursor[32] = "0";
        bool seen[STAYING] = {false};
        do {
            redisReply *reply =
                redisCommand(connection, scan % 2 == 0 ? "SCAN %s COUNT 100" : "SCAN %s COUNT 1000", cursor);
            assert_non_null(reply);
            assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
            snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
            assert_true(strtoull(cursor, NULL, 10) < UINT64_C(1) << 52);
            for (size_t i = 0; i < reply->element[1]->elements; i++) {
                const char *key = reply->element[1]->element[i]->str;
                if (strncmp(key, "staying:", 8) == 0)
                    seen[atoi(key + 8)] = true;
                else
                    others++;
            }
            calls++;
            freeReplyObject(reply);
        } while (strcmp(cursor, "0") != 0);
        for (int i = 0; i < STAYING; i++)
            if (!seen[i]) fail_msg("scan %d did not return staying:%d", scan, i);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    print_message("%d scans in %llu calls, %llu passing keys met\n", scan, (unsigned long long)calls,
                  (unsigned long long)others);
    assert_true(others > 0);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

/* ------------------------------------------------------------------ members of values */

#define PASSES 12
#define SMALL 40   /* members that stay: packed, unless others come, */
#define LARGE 2000 /* and a table in any case */
#define BATCH 100  /* members of one command */

enum sort { SORT_HASH, SORT_SET, SORT_ZSET, SORTS };

static const struct {
    const char *add, *remove, *scan;
    int per_member;       /* arguments of ADD */
    bool is_value_first;  /* among them */
    const char *encoding; /* once it is large */
} sorts[SORTS] = {
    [SORT_HASH] = {"HSET", "HDEL", "HSCAN", 2, false, "hashtable"},
    [SORT_SET] = {"SADD", "SREM", "SSCAN", 1, false, "hashtable"},
    [SORT_ZSET] = {"ZADD", "ZREM", "ZSCAN", 2, true, "skiplist"},
};

/* Small values are new ones in each pass, so that the change of form is met each time. A wave belongs to the
 * pass it began in. */
static atomic_int pass;
static atomic_int pass_of_wave[SORTS]; /* the last one that has come and gone */

static void key_name(char name[32], enum sort sort, bool is_large, int number) {
    if (is_large)
        snprintf(name, 32, "large:%d", (int)sort);
    else
        snprintf(name, 32, "small:%d:%d", (int)sort, number);
}

/* Members prefix:first and following, added with their number as value or score, or removed. */
static void change(redisContext *connection, enum sort sort, const char *key, const char *prefix, int first,
                   int count, bool is_removal) {
    char members[BATCH][32], values[BATCH][16];
    const char *arguments[2 + 2 * BATCH] = {is_removal ? sorts[sort].remove : sorts[sort].add, key};
    int used = 2;
    for (int i = 0; i < count; i++) {
        bool has_value = !is_removal && sorts[sort].per_member == 2;
        snprintf(members[i], sizeof members[i], "%s:%d", prefix, first + i);
        snprintf(values[i], sizeof values[i], "%d", first + i);
        if (has_value && sorts[sort].is_value_first) arguments[used++] = values[i];
        arguments[used++] = members[i];
        if (has_value && !sorts[sort].is_value_first) arguments[used++] = values[i];
    }
    redisAppendCommandArgv(connection, used, arguments, NULL);
}

static void change_many(redisContext *connection, enum sort sort, const char *key, const char *prefix,
                        int count, bool is_removal) {
    int commands = 0;
    for (int i = 0; i < count; i += BATCH, commands++)
        change(connection, sort, key, prefix, i, count - i < BATCH ? count - i : BATCH, is_removal);
    read_replies(connection, commands);
}

static void *come_and_go_within(void *argument) {
    static const int sizes[] = {700, 6000, 1000, 2500, 600}; /* more than any limit of the packed forms */
    enum sort sort = *(enum sort *)argument;
    redisContext *connection = server_connect(server);
    for (int wave = 0; !atomic_load(&is_over); wave++) {
        int began = atomic_load(&pass), size = sizes[wave % (int)(sizeof sizes / sizeof sizes[0])];
        for (int step = 0; step < 4; step++) {
            char key[32];
            key_name(key, sort, step % 2 == 1, began);
            change_many(connection, sort, key, "passing", size, step >= 2);
        }
        atomic_store(&pass_of_wave[sort], began);
    }
    redisFree(connection);
    return NULL;
}

/* What one call has returned. Returns how many passing members were among it. */
static int take_members(const redisReply *elements, enum sort sort, bool *seen, int staying) {
    int others = 0;
    for (size_t i = 0; i < elements->elements; i += (size_t)sorts[sort].per_member) {
        const char *member = elements->element[i]->str, *colon = strchr(member, ':');
        assert_non_null(colon);
        if (sorts[sort].per_member == 2) assert_string_equal(elements->element[i + 1]->str, colon + 1);
        if (strncmp(member, "staying:", 8) != 0) {
            others++;
            continue;
        }
        int number = atoi(colon + 1);
        assert_in_range(number, 0, staying - 1);
        seen[number] = true;
    }
    return others;
}

struct tally {
    int scans, calls, others;
};

static void scan_whole(redisContext *connection, enum sort sort, bool is_large, struct tally *tally) {
    char cursor[32] = "0", key[32];
    bool seen[LARGE] = {false};
    int staying = is_large ? LARGE : SMALL;
    key_name(key, sort, is_large, atomic_load(&pass));
    do {
        redisReply *reply = redisCommand(connection, "%s %s %s COUNT %d", sorts[sort].scan, key, cursor,
                                         tally->scans % 2 == 0 ? 20 : 300);
        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
        snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
        tally->others += take_members(reply->element[1], sort, seen, staying);
        tally->calls++;
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    tally->scans++;
    for (int i = 0; i < staying; i++)
        if (!seen[i]) fail_msg("%s of %s did not return staying:%d", sorts[sort].scan, key, i);
}

static bool waves_are_over(int number) {
    for (int sort = 0; sort < SORTS; sort++)
        if (atomic_load(&pass_of_wave[sort]) < number) return false;
    return true;
}

/* Makes the small values of a pass and has the writers come to them. */
static void begin_pass(redisContext *connection, int number) {
    for (int sort = 0; sort < SORTS; sort++) {
        char key[32];
        key_name(key, (enum sort)sort, false, number);
        change_many(connection, (enum sort)sort, key, "staying", SMALL, false);
        expect(connection, "listpack", "OBJECT ENCODING %s", key);
    }
    atomic_store(&pass, number);
}

static void end_pass(redisContext *connection, int number) {
    for (int sort = 0; sort < SORTS; sort++) {
        char key[32];
        key_name(key, (enum sort)sort, false, number);
        expect(connection, sorts[sort].encoding, "OBJECT ENCODING %s", key);
    }
}

static void every_staying_member_is_returned_by_every_scan_of_its_value(void **state) {
    pthread_t threads[SORTS];
    enum sort numbers[SORTS];
    struct tally tally = {0};
    (void)state;
    server = server_start((const char *const[]){"--threads", "4", NULL});
    redisContext *connection = server_connect(server);
    atomic_store(&is_over, false);
    for (int sort = 0; sort < SORTS; sort++) {
        char key[32];
        key_name(key, (enum sort)sort, true, 0);
        change_many(connection, (enum sort)sort, key, "staying", LARGE, false);
    }
    begin_pass(connection, 1);
    for (int sort = 0; sort < SORTS; sort++) {
        numbers[sort] = (enum sort)sort;
        assert_int_equal(pthread_create(&threads[sort], NULL, come_and_go_within, &numbers[sort]), 0);
    }
    for (int number = 1; number <= PASSES; number++) {
        if (number > 1) begin_pass(connection, number);
        do
            for (int i = 0; i < 2 * SORTS; i++)
                scan_whole(connection, (enum sort)(i / 2), i % 2 == 1, &tally);
        while (!waves_are_over(number));
        end_pass(connection, number);
    }
    atomic_store(&is_over, true);
    for (int sort = 0; sort < SORTS; sort++) pthread_join(threads[sort], NULL);
    print_message("%d scans of values in %d calls, %d passing members met\n", tally.scans, tally.calls,
                  tally.others);
    assert_true(tally.others > 0);
    assert_true(tally.calls > tally.scans);
    redisFree(connection);
    assert_int_equal(server_stop(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_staying_key_is_returned_by_every_scan),
        cmocka_unit_test(every_staying_member_is_returned_by_every_scan_of_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
