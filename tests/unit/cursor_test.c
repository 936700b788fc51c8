/* shard/base/cursor.c: each place has a cursor of its own, from which it comes back, and which tells nothing
 * of it. */
#include "tests/engine.h"

#include "shard/base/cursor.h"

static const uint64_t words[4] = {1, 2, 3, 4};

static void a_place_comes_back_from_its_cursor(void **state) {
    (void)state;
    struct cursor_secret secret;
    uint64_t random = seed_take();
    assert_int_equal(cursor_secret_draw(&secret, NULL), 0);
    for (int i = 0; i < 100000; i++) {
        uint64_t place = i < 1000 ? (uint64_t)i : random_next(&random) & (CURSORS - 1),
                 cursor = cursor_of_place(&secret, place);
        assert_true(cursor < CURSORS);
        assert_int_equal(cursor_place(&secret, cursor), place);
        assert_true(cursor_place(&secret, place) < CURSORS);
        assert_int_equal(cursor_of_place(&secret, cursor_place(&secret, place)), place);
    }
}

/* A scan that came upon it anywhere else would end there. */
static void only_the_first_place_has_cursor_0(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct cursor_secret secret;
        cursor_secret_draw(&secret, (const uint64_t[]){seed, 0, 0, 0});
        assert_int_equal(cursor_of_place(&secret, 0), 0);
        assert_int_equal(cursor_place(&secret, 0), 0);
        for (uint64_t place = 1; place < 2000; place++) assert_true(cursor_of_place(&secret, place) != 0);
    }
}

/* Each bit of the place changes half of the cursor's bits: the count over many lies within five standard
 * deviations. */
static void neighbours_have_nothing_in_common(void **state) {
    (void)state;
    struct cursor_secret secret;
    cursor_secret_draw(&secret, words);
    uint64_t random = 7;
    for (int bit = 0; bit < CURSOR_BITS; bit++) {
        int changed = 0;
        for (int i = 0; i < 1000; i++) {
            uint64_t place = random_next(&random) & (CURSORS - 1);
            changed += __builtin_popcountll(cursor_of_place(&secret, place) ^
                                            cursor_of_place(&secret, place ^ UINT64_C(1) << bit));
        }
        assert_in_range(changed, 26000 - 600, 26000 + 600);
    }
}

static void each_secret_is_another_permutation(void **state) {
    (void)state;
    struct cursor_secret one, same, other;
    cursor_secret_draw(&one, words);
    cursor_secret_draw(&same, words);
    cursor_secret_draw(&other, NULL);
    int equal = 0;
    for (uint64_t place = 1; place < 1000; place++) {
        assert_int_equal(cursor_of_place(&one, place), cursor_of_place(&same, place));
        equal += cursor_of_place(&one, place) == cursor_of_place(&other, place);
    }
    assert_true(equal < 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_comes_back_from_its_cursor),
        cmocka_unit_test(only_the_first_place_has_cursor_0),
        cmocka_unit_test(neighbours_have_nothing_in_common),
        cmocka_unit_test(each_secret_is_another_permutation),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
