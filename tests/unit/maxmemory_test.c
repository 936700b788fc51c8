/* What the process needs beside what counts against maxmemory is left to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard/evict/eviction.h"
#include "shard/keyspace.h"
#include "server/base/process.h"
#include "server/config/config.h"
#include "server/run/maxmemory.h"

#define MB (INT64_C(1) << 20)

static void a_limit_far_below_what_there_is_is_kept_whole(void **unused) {
    (void)unused;
    assert_int_equal(limit_reserve(100 * MB, 24000 * MB, 30 * MB, 20 * MB), 0);
    assert_int_equal(limit_reserve(128 * MB, 256 * MB, 30 * MB, 20 * MB), 0);
}

/* 80 % of a control group of 256 MB, with more threads than fit into the rest: the kernel killed it. */
static void what_threads_need_is_taken_off_where_the_rest_is_too_small_for_it(void **unused) {
    (void)unused;
    int64_t maxmemory = 256 * MB / 5 * 4, rest = 256 * MB - maxmemory;
    for (int64_t fixed = 0; fixed < 100 * MB; fixed += MB) {
        int64_t taken = limit_reserve(maxmemory, 256 * MB, fixed, 10 * MB);
        assert_true(rest + taken >= fixed + 10 * MB + 256 * MB / 20);
        assert_true(taken == 0 || rest + taken == fixed + 10 * MB + 256 * MB / 20);
    }
}

/* Measured under a mix of values of 50 bytes to 20 KB, in such a group, when the kernel killed it. */
static void the_holes_that_a_mix_of_sizes_makes_fit_into_the_group(void **unused) {
    (void)unused;
    int64_t maxmemory = 256 * MB / 5 * 4, fixed = 11 * MB, holes = 51 * MB;
    int64_t data = maxmemory - limit_reserve(maxmemory, 256 * MB, fixed, holes);
    assert_true(data + fixed + holes + 256 * MB / 20 <= 256 * MB);
}

/* Holes grow as keys go: a server that took that for a reason to let more go would let all go. */
static void holes_and_threads_take_no_more_than_their_part(void **unused) {
    (void)unused;
    assert_int_equal(limit_reserve(240 * MB, 256 * MB, 0, 200 * MB),
                     limit_reserve(240 * MB, 256 * MB, 0, 60 * MB));
    assert_int_equal(limit_reserve(240 * MB, 256 * MB, 10000 * MB, 0), 120 * MB);
    assert_int_equal(limit_reserve(300 * MB, 256 * MB, 30 * MB, 0), 0);
}

/* A request of 40 MB was done before all of it had been made room for; and keys went on going for a second,
 * as if it were still there. */
static void nothing_goes_for_memory_that_is_back(void **unused) {
    (void)unused;
    struct limit_kept kept = {0, INT64_MAX};
    assert_int_equal(limit_step(&kept, 100 * MB, 10 * MB, 80 * MB), 90 * MB);
    assert_int_equal(limit_step(&kept, 100 * MB, 50 * MB, 80 * MB), 50 * MB); /* is to shrink */
    assert_int_equal(limit_step(&kept, 100 * MB, 10 * MB, 70 * MB), eviction_limit_holding(70 * MB));
}

static void what_is_there_when_memory_is_back_grows_only_as_room_is_given_up(void **unused) {
    (void)unused;
    struct limit_kept kept = {0, INT64_MAX};
    limit_step(&kept, 100 * MB, 50 * MB, 80 * MB);
    int64_t limit = limit_step(&kept, 100 * MB, 10 * MB, 70 * MB), before = limit, given_up = 0;
    assert_int_equal(limit_step(&kept, 100 * MB, 10 * MB, 71 * MB), before);
    for (int i = 0; i < 10000; i++, before = limit) {
        limit = limit_step(&kept, 100 * MB, 10 * MB, limit);
        assert_true(limit >= before && limit <= 90 * MB);
        if (limit > before) assert_int_equal(limit, 100 * MB - kept.most);
        given_up += limit > before;
    }
    assert_true(given_up > 0);
}

static void others_that_need_it_again_get_it(void **unused) {
    (void)unused;
    struct limit_kept kept = {0, INT64_MAX};
    limit_step(&kept, 100 * MB, 50 * MB, 80 * MB);
    limit_step(&kept, 100 * MB, 10 * MB, 70 * MB);
    assert_int_equal(limit_step(&kept, 100 * MB, 40 * MB, 70 * MB), 60 * MB);
    assert_int_equal(limit_step(&kept, 100 * MB, 60 * MB, 70 * MB), 40 * MB);
}

static unsigned asked;

uint64_t __real_process_memory_limited(void);
uint64_t __wrap_process_memory_limited(void);
uint64_t __wrap_process_memory_limited(void) {
    asked++;
    return __real_process_memory_limited();
}

/* It was, a hundred times a second, which took a server without a limit up to a hundredth of its time. */
static void the_allocator_is_asked_only_where_there_is_a_limit(void **unused) {
    (void)unused;
    struct keyspace *keyspace = keyspace_open(&(struct keyspace_options){.shards = 4, .lanes = 1});
    assert_non_null(keyspace);
    limit_tick(keyspace);
    assert_int_equal(asked, 0);
    atomic_store(&config.maxmemory, 100 * MB);
    limit_tick(keyspace);
    assert_int_equal(asked, 1);
    atomic_store(&config.maxmemory, 0);
    keyspace_close(keyspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_far_below_what_there_is_is_kept_whole),
        cmocka_unit_test(what_threads_need_is_taken_off_where_the_rest_is_too_small_for_it),
        cmocka_unit_test(the_holes_that_a_mix_of_sizes_makes_fit_into_the_group),
        cmocka_unit_test(holes_and_threads_take_no_more_than_their_part),
        cmocka_unit_test(nothing_goes_for_memory_that_is_back),
        cmocka_unit_test(what_is_there_when_memory_is_back_grows_only_as_room_is_given_up),
        cmocka_unit_test(others_that_need_it_again_get_it),
        cmocka_unit_test(the_allocator_is_asked_only_where_there_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
