/* shard/base/number.c: only the canonical form of an integer is one, at every boundary; text -> number ->
 * text loses nothing; long doubles are read and printed as INCRBYFLOAT does (redis-server gave the same). */
#include "tests/engine.h"

#include <float.h>
#include <math.h>

#include "shard/base/number.h"

static bool parses(const char *text, int64_t *value) {
    return number_parse(text, strlen(text), value);
}

static void check_integer(const char *text, int64_t expected) {
    int64_t value = ~expected;
    char out[20];
    assert_true(parses(text, &value));
    assert_true(value == expected);
    size_t length = number_format(out, value);
    assert_int_equal(length, strlen(text));
    assert_memory_equal(out, text, length);
}

static void integers_survive_the_way_there_and_back(void **state) {
    (void)state;
    check_integer("0", 0);
    check_integer("-1", -1);
    check_integer("42", 42);
    check_integer("9223372036854775807", INT64_MAX);
    check_integer("-9223372036854775808", INT64_MIN);
    char text[24];
    for (int64_t power = 1; power < INT64_MAX / 10; power *= 10) {
        for (int64_t value = power - 1; value <= power + 1; value++) {
            snprintf(text, sizeof text, "%lld", (long long)value);
            check_integer(text, value);
            snprintf(text, sizeof text, "%lld", (long long)-value);
            check_integer(text, -value);
        }
    }
}

static void random_integers_survive_the_way_there_and_back(void **state) {
    (void)state;
    uint64_t random = seed_take();
    for (int round = 0; round < 100000; round++) {
        int64_t value = (int64_t)random_next(&random) >> random_below(&random, 64), again;
        uint64_t positive = random_next(&random) >> random_below(&random, 64), positive_again;
        char out[20], text[24];
        size_t length = number_format(out, value);
        assert_int_equal(length, snprintf(text, sizeof text, "%lld", (long long)value));
        assert_memory_equal(out, text, length);
        assert_true(number_parse(out, length, &again));
        assert_true(again == value);
        length = number_format_unsigned(out, positive);
        assert_int_equal(length, snprintf(text, sizeof text, "%llu", (unsigned long long)positive));
        assert_memory_equal(out, text, length);
        assert_true(number_parse_unsigned(out, length, &positive_again));
        assert_true(positive_again == positive);
    }
}

static void what_is_not_canonical_is_no_integer(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "-",
        "+1",
        "-0",
        "00",
        "01",
        "-01",
        "--1",
        " 1",
        "1 ",
        "1a",
        "a",
        "0x1",
        "1.0",
        "1e3",
        "1\n",
        "/",
        ":",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999",
        "-99999999999999999999",
        "100000000000000000000",
        "00000000000000000000001",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t value = 77;
        assert_false(parses(texts[i], &value));
        assert_int_equal(value, 77);
    }
    int64_t value;
    assert_false(number_parse("1\0", 2, &value));
    assert_false(number_parse("\xb1", 1, &value)); /* '1' with its high bit set */
    assert_true(number_parse("12x", 2, &value));   /* the length counts */
    assert_int_equal(value, 12);
}

static void unsigned_integers_reach_two_to_the_64(void **state) {
    (void)state;
    uint64_t value;
    assert_true(number_parse_unsigned("18446744073709551615", 20, &value));
    assert_true(value == UINT64_MAX);
    assert_true(number_parse_unsigned("0", 1, &value));
    assert_true(value == 0);
    value = 5;
    assert_false(number_parse_unsigned("18446744073709551616", 20, &value));
    assert_false(number_parse_unsigned("99999999999999999999", 20, &value));
    assert_false(number_parse_unsigned("184467440737095516150", 21, &value));
    assert_false(number_parse_unsigned("-1", 2, &value));
    assert_false(number_parse_unsigned("00", 2, &value));
    assert_false(number_parse_unsigned("", 0, &value));
    assert_int_equal(value, 5);
}

/* ------------------------------------------------------------------ long doubles */

static bool parses_long(const char *text, long double *value) {
    return number_parse_long_double(text, strlen(text), value);
}

static void check_long(const char *text, const char *printed) {
    char out[5120];
    long double value;
    assert_true(parses_long(text, &value));
    size_t length = number_format_long_double(out, sizeof out, value);
    assert_string_equal(out, printed);
    assert_int_equal(length, strlen(printed));
}

static void long_doubles_are_printed_as_incrbyfloat_does(void **state) {
    (void)state;
    check_long("0", "0");
    check_long("-0", "0");
    check_long("3.0e3", "3000");
    check_long("10.50", "10.5");
    check_long("0.1", "0.1");
    check_long("-5.0e3", "-5000");
    check_long("1e18", "1000000000000000000");
    check_long("100", "100");
    check_long("1e-17", "0.00000000000000001");
    check_long("1e-18", "0");
    check_long("-1e-18", "0");
    check_long("-1e-17", "-0.00000000000000001");
    check_long("0x1p4", "16");
    check_long(".5", "0.5");
    check_long("5.", "5");
    check_long("+1.5", "1.5");
    check_long("3.14159265358979323", "3.14159265358979323");
    char largest[64], out[5120];
    snprintf(largest, sizeof largest, "%.25Le", LDBL_MAX);
    long double value;
    assert_true(parses_long(largest, &value));
    assert_int_equal(number_format_long_double(out, sizeof out, value), 4933);
}

static void infinity_is_a_long_double(void **state) {
    (void)state;
    long double value;
    assert_true(parses_long("inf", &value));
    assert_true(isinf(value) && value > 0);
    assert_true(parses_long("-Infinity", &value));
    assert_true(isinf(value) && value < 0);
    char out[5120];
    assert_int_equal(number_format_long_double(out, sizeof out, value), 4);
    assert_string_equal(out, "-inf");
}

static void what_strtold_would_not_take_whole_is_no_long_double(void **state) {
    (void)state;
    static const char *const texts[] = {"",    " 1",     "\t1",     "\n1",     "1 ",  "1a",
                                        "abc", "nan",    "-nan",    "1e",      "1,5", "--1",
                                        "1..", "1e5000", "-1e5000", "1e-6000", ".",   "+"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        long double value = 77;
        assert_false(parses_long(texts[i], &value));
        assert_true(value == 77);
    }
    long double value;
    assert_false(number_parse_long_double("1\0", 2, &value));
    assert_true(number_parse_long_double("15", 1, &value)); /* the length counts */
    assert_true(value == 1);
}

/* Inexact is not out of range. */
static void a_subnormal_long_double_is_read(void **state) {
    (void)state;
    long double value;
    assert_true(parses_long("1e-4940", &value));
    assert_true(value > 0);
}

static void a_long_double_may_be_almost_as_long_as_its_room(void **state) {
    (void)state;
    enum { ROOM = 5120 };
    char text[ROOM];
    long double value;
    memset(text, '0', sizeof text);
    text[0] = '1';
    text[1] = '.';
    assert_true(number_parse_long_double(text, ROOM - 1, &value));
    assert_true(value == 1);
    assert_false(number_parse_long_double(text, ROOM, &value));
}

static void printing_stays_within_its_room(void **state) {
    (void)state;
    char out[8] = "#######";
    assert_int_equal(number_format_long_double(out, 5, 123456), 4);
    assert_string_equal(out, "1234");
    assert_int_equal(out[5], '#');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_survive_the_way_there_and_back),
        cmocka_unit_test(random_integers_survive_the_way_there_and_back),
        cmocka_unit_test(what_is_not_canonical_is_no_integer),
        cmocka_unit_test(unsigned_integers_reach_two_to_the_64),
        cmocka_unit_test(long_doubles_are_printed_as_incrbyfloat_does),
        cmocka_unit_test(infinity_is_a_long_double),
        cmocka_unit_test(what_strtold_would_not_take_whole_is_no_long_double),
        cmocka_unit_test(a_subnormal_long_double_is_read),
        cmocka_unit_test(a_long_double_may_be_almost_as_long_as_its_room),
        cmocka_unit_test(printing_stays_within_its_room),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
