/* server/observe/slowlog.h: what is kept of slow requests, and what keeping it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/config/config.h"
#include "server/observe/slowlog.h"

#define MANY 30000

static char word[] = "PING";
static const struct bulk ping = {.data = word, .length = sizeof word - 1};

static void note_many(int64_t times) {
    for (int64_t i = 0; i < times; i++) slowlog_note(&ping, 1, 1, 1000, "127.0.0.1:1", NULL);
}

static double cpu_seconds(void) {
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void reset(int64_t most) {
    slowlog_clear();
    config.slowlog_max_len = most;
}

/* How many entries are found from the newest on, at most `most`; their numbers go down one by one. */
static int64_t entries_found(int64_t most) {
    int64_t found = 0, end = INT64_MAX, before = 0;
    uint32_t count;
    do {
        struct slow_request *held[SLOWLOG_SLICE];
        count = slowlog_hold(held, &end, most - found);
        for (uint32_t i = 0; i < count; i++) {
            if (found++ > 0) assert_int_equal(held[i]->id, before - 1);
            before = held[i]->id;
            slowlog_let_go(held[i]);
        }
    } while (count == SLOWLOG_SLICE);
    return found;
}

/* In all texts of an entry, which are *length bytes. */
static size_t occurrences(const struct slow_request *request, const char *text, size_t *length) {
    size_t count = 0;
    *length = 0;
    for (uint32_t i = 0; i < request->count + 2; i++) *length += request->lengths[i];
    for (size_t i = 0; i + strlen(text) <= *length; i++)
        count += memcmp(request->text + i, text, strlen(text)) == 0;
    return count;
}

/* A walk over the log for each entry made this ratio several hundred. */
static void an_entry_costs_the_same_however_many_are_kept(void **state) {
    (void)state;
    reset(10);
    note_many(1000);
    double before = cpu_seconds();
    note_many(MANY);
    double few = cpu_seconds() - before;
    reset(MANY);
    note_many(MANY);
    before = cpu_seconds();
    note_many(MANY);
    double many = cpu_seconds() - before;
    assert_int_equal(slowlog_length(), MANY);
    if (many > 20 * few) fail_msg("%d entries: %f s with few kept, %f s with many", MANY, few, many);
    reset(128);
    assert_int_equal(slowlog_length(), 0);
}

static void the_newest_are_kept_whatever_length_is_set_meanwhile(void **state) {
    static const int64_t lengths[] = {5, 200, 1000, 0, 3, 129, 128, 7, 1};
    int64_t kept = 0;
    (void)state;
    reset(5);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        config.slowlog_max_len = lengths[i];
        note_many(300);
        kept = kept + 300 < lengths[i] ? kept + 300 : lengths[i];
        assert_int_equal(slowlog_length(), kept);
        assert_int_equal(entries_found(INT64_MAX), kept);
        assert_int_equal(entries_found(2), kept < 2 ? kept : 2);
    }
    reset(128);
}

static void a_long_name_and_long_arguments_are_cut(void **state) {
    (void)state;
    const size_t size = 1000000;
    char *text = malloc(size + 1);
    struct bulk arguments[40];
    struct slow_request *held[SLOWLOG_SLICE];
    size_t length;
    int64_t end = INT64_MAX;
    assert_non_null(text);
    memset(text, 'n', size);
    text[size] = '\0';
    for (size_t i = 0; i < 40; i++) arguments[i] = (struct bulk){.data = text, .length = size};
    reset(128);
    slowlog_note(arguments, 40, 1, 1000, "127.0.0.1:1", text);
    assert_int_equal(slowlog_hold(held, &end, INT64_MAX), 1);
    assert_int_equal(occurrences(held[0], "... (999872 more bytes)", &length), 31 + 1);
    assert_int_equal(occurrences(held[0], "... (9 more arguments)", &length), 1);
    assert_true(length < 33 * (128 + 48) + 200);
    slowlog_let_go(held[0]);
    free(text);
    reset(128);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_costs_the_same_however_many_are_kept),
        cmocka_unit_test(the_newest_are_kept_whatever_length_is_set_meanwhile),
        cmocka_unit_test(a_long_name_and_long_arguments_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
