/* shard/base/memory.c: memory by cache lines is aligned and zero, and the allocator's sizes can be relied
 * on. */
#include "tests/engine.h"

#include "shard/base/memory.h"

static void lines_are_aligned_and_zero_wherever_they_come_from(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 65, 127, 128, 1000, 4096, 100000, 1 << 20};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *lines = memory_lines(sizes[i]);
            assert_non_null(lines);
            assert_int_equal((uintptr_t)lines % 64, 0);
            assert_true(memory_size(lines) >= sizes[i]);
            for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(lines[j], 0);
            memset(lines, 'd', sizes[i]); /* what the allocator gives again is not zero by itself */
            free(lines);
        }
    }
}

static void an_allocation_is_at_least_what_was_asked_for(void **state) {
    (void)state;
    for (size_t size = 1; size < 20000; size += 1 + size / 40) {
        void *allocation = malloc(size);
        assert_non_null(allocation);
        assert_true(memory_size(allocation) >= size);
        free(allocation);
    }
}

static void a_good_size_wastes_nothing(void **state) {
    (void)state;
    size_t before = 0;
    for (size_t size = 1; size < 20000; size += 1 + size / 40) {
        size_t good = memory_good_size(size);
        assert_true(good >= size);
        assert_true(good >= before);
        assert_int_equal(memory_good_size(good), good);
        before = good;
#ifdef USE_JEMALLOC
        void *allocation = malloc(size);
        assert_int_equal(memory_size(allocation), good);
        free(allocation);
#endif
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_aligned_and_zero_wherever_they_come_from),
        cmocka_unit_test(an_allocation_is_at_least_what_was_asked_for),
        cmocka_unit_test(a_good_size_wastes_nothing),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
