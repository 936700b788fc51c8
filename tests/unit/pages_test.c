/* shard/base/pages.c: large memory keeps what is in it wherever it goes, and is counted while it is there. */
#include "tests/engine.h"

#include "shard/base/pages.h"

static void fill(unsigned char *memory, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) memory[i] = (unsigned char)(i * 7 + i / 251);
}

static void expect_filled(const unsigned char *memory, size_t to) {
    for (size_t i = 0; i < to; i++)
        if (memory[i] != (unsigned char)(i * 7 + i / 251)) fail_msg("byte %zu has changed", i);
}

static void what_is_in_it_stays_when_it_grows_and_shrinks(void **state) {
    (void)state;
    static const size_t sizes[] = {1,
                                   1000,
                                   PAGES_LEAST - 1,
                                   PAGES_LEAST,
                                   PAGES_LEAST + 1,
                                   3 * PAGES_LEAST,
                                   7 * PAGES_LEAST + 5,
                                   2 * PAGES_LEAST,
                                   PAGES_LEAST - 1,
                                   4 * PAGES_LEAST,
                                   10};
    size_t size = 0;
    unsigned char *memory = NULL;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memory = pages_resize(memory, size, sizes[i]);
        assert_non_null(memory);
        expect_filled(memory, size < sizes[i] ? size : sizes[i]);
        if (sizes[i] > size) fill(memory, size, sizes[i]);
        size = sizes[i];
    }
    pages_free(memory, size);
}

static void what_is_mapped_is_counted_until_it_is_freed(void **state) {
    (void)state;
    void *small = pages_resize(NULL, 0, PAGES_LEAST - 1);
    assert_int_equal(pages_mapped(), 0);
    void *large = pages_resize(NULL, 0, 3 * PAGES_LEAST - 1);
#ifndef USE_SANITIZER
    assert_int_equal(pages_mapped(), 3 * PAGES_LEAST);
#endif
    large = pages_resize(large, 3 * PAGES_LEAST - 1, 8 * PAGES_LEAST);
#ifndef USE_SANITIZER
    assert_int_equal(pages_mapped(), 8 * PAGES_LEAST);
#endif
    pages_free(small, PAGES_LEAST - 1);
    pages_free(large, 8 * PAGES_LEAST);
    pages_free(NULL, 0);
    pages_free(NULL, 8 * PAGES_LEAST);
    assert_int_equal(pages_mapped(), 0);
}

static void what_can_not_be_had_leaves_all_as_it_was(void **state) {
    (void)state;
#ifdef USE_SANITIZER
    skip(); /* it takes the wish for a mistake */
#endif
    unsigned char *memory = pages_resize(NULL, 0, PAGES_LEAST);
    fill(memory, 0, PAGES_LEAST);
    assert_null(pages_resize(memory, PAGES_LEAST, SIZE_MAX / 2));
    assert_null(pages_resize(memory, PAGES_LEAST, SIZE_MAX));
    expect_filled(memory, PAGES_LEAST);
    pages_free(memory, PAGES_LEAST);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_it_stays_when_it_grows_and_shrinks),
        cmocka_unit_test(what_is_mapped_is_counted_until_it_is_freed),
        cmocka_unit_test(what_can_not_be_had_leaves_all_as_it_was),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
