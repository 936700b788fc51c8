/* server/script/names.h: a row of names is looked through by few comparisons, however long it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/script/names.h"

#define COUNT 20000

static char row[COUNT][8];
static uint64_t looks;

static const char *name_at(const void *names, uint32_t number) {
    assert_ptr_equal(names, row);
    looks++;
    return row[number];
}

static const char *long_name_at(const void *names, uint32_t number) {
    assert_int_equal(number, 0);
    return names;
}

static void a_name_is_found_by_few_looks(void **context) {
    struct names names = {.name_at = name_at};
    (void)context;
    assert_int_equal(names_find(&names, row, "n0", 2), NAMES_NONE);
    for (uint32_t i = 0; i < COUNT; i++) {
        int length = snprintf(row[i], sizeof row[i], "n%u", i);
        assert_int_equal(names_find(&names, row, row[i], (size_t)length), NAMES_NONE);
        assert_true(names_add(&names, row[i], (size_t)length, i));
    }
    for (uint32_t i = 0; i < COUNT; i++) assert_int_equal(names_find(&names, row, row[i], strlen(row[i])), i);
    assert_int_equal(names_find(&names, row, "n12", 2), 1); /* as long as is said */
    assert_int_equal(names_find(&names, row, "N1", 2), NAMES_NONE);
    assert_true(looks < 2 * COUNT);
    names_free(&names);
    assert_int_equal(names_find(&names, row, "n0", 2), NAMES_NONE);
}

static void case_is_folded_where_it_does_not_matter(void **context) {
    static const char long_name[] =
        "A_name_of_more_than_sixty_four_bytes_which_is_hashed_in_several_parts_ABC",
                      other_case[] =
                          "a_NAME_of_more_than_sixty_four_bytes_which_is_hashed_in_several_parts_abc";
    struct names names = {.name_at = long_name_at, .folds_case = true};
    (void)context;
    assert_true(names_add(&names, long_name, sizeof long_name - 1, 0));
    assert_int_equal(names_find(&names, long_name, other_case, sizeof other_case - 1), 0);
    assert_int_equal(names_find(&names, long_name, other_case, sizeof other_case - 2), NAMES_NONE);
    names_free(&names);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_name_is_found_by_few_looks),
                                       cmocka_unit_test(case_is_folded_where_it_does_not_matter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
