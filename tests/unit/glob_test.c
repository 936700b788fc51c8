/* server/base/glob.c: every element of a pattern, Redis's corner cases (where case counts,
 * redis-server's KEYS gives the same answers), agreement with the obvious recursive definition on
 * random patterns, and patterns that would take that definition for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/glob.h"

static uint64_t seed;

static bool matches(const char *pattern, const char *text) {
    return glob_matches(pattern, strlen(pattern), text, strlen(text), false);
}

static bool matches_any_case(const char *pattern, const char *text) {
    return glob_matches(pattern, strlen(pattern), text, strlen(text), true);
}

static void literal_characters_match_themselves(void **state) {
    (void)state;
    assert_true(matches("", ""));
    assert_true(matches("key:1", "key:1"));
    assert_false(matches("key:1", "key:12"));
    assert_false(matches("key:12", "key:1"));
    assert_false(matches("", "a"));
    assert_false(matches("a", ""));
    assert_false(matches("key", "KEY"));
}

static void question_mark_takes_exactly_one_character(void **state) {
    (void)state;
    assert_true(matches("h?llo", "hello"));
    assert_true(matches("???", "abc"));
    assert_false(matches("h?llo", "hllo"));
    assert_false(matches("?", ""));
}

static void star_takes_any_number_of_characters(void **state) {
    (void)state;
    assert_true(matches("*", "anything"));
    assert_true(matches("h*llo", "hllo"));
    assert_true(matches("h*llo", "heeeello"));
    assert_true(matches("a*", "a"));
    assert_true(matches("a**", "a"));
    assert_true(matches("*a", "a"));
    assert_true(matches("*abc*abc", "abcabdabc"));
    assert_true(matches("*ab", "aab"));
    assert_false(matches("*ab", "aba"));
    assert_false(matches("a*b", "acbd"));
    assert_false(matches("*?", ""));
}

static void no_star_matches_an_empty_text(void **state) {
    (void)state;
    assert_false(matches("*", ""));
    assert_false(matches("**", ""));
}

static void class_takes_one_of_its_characters(void **state) {
    (void)state;
    assert_true(matches("h[ae]llo", "hallo"));
    assert_false(matches("h[ae]llo", "hillo"));
    assert_true(matches("h[^e]llo", "hallo"));
    assert_false(matches("h[^e]llo", "hello"));
    assert_true(matches("[a-c]", "b"));
    assert_false(matches("[a-c]", "d"));
    assert_true(matches("[0-9a-f]", "e"));
    assert_true(matches("*[0-9]", "key9"));
}

static void class_keeps_redis_corner_cases(void **state) {
    (void)state;
    assert_true(matches("[c-a]", "b")); /* a range may be written backwards */
    assert_false(matches("[]", "]"));   /* closed at once: nothing is in it */
    assert_false(matches("[]a]", "]a]"));
    assert_true(matches("[^]", "x"));   /* and everything is not */
    assert_true(matches("[\\]]", "]")); /* a backslash makes it a member */
    assert_true(matches("[\\^]", "^"));
    assert_true(matches("[a^]", "^")); /* only first does it negate */
    assert_true(matches("[abc", "b")); /* not closed: ends with the pattern */
    assert_false(matches("[abc", "bc"));
    assert_false(matches("[", "["));
    assert_true(matches("[^", "x"));
    assert_true(matches("[a-", "-"));  /* half a range is two characters */
    assert_true(matches("[a-]", "]")); /* the ']' is the end of a range here, and the class is not closed */
    assert_true(matches("[--0]", "."));
}

static void backslash_takes_the_next_character_as_it_is(void **state) {
    (void)state;
    assert_true(matches("\\*", "*"));
    assert_false(matches("\\*", "a"));
    assert_true(matches("\\?", "?"));
    assert_true(matches("\\[a]", "[a]"));
    assert_true(matches("\\a", "a"));
    assert_true(matches("a\\", "a\\")); /* as the last one it stands for itself */
    assert_true(matches("\\\\", "\\"));
}

static void case_is_ignored_where_asked_for(void **state) {
    (void)state;
    assert_true(matches_any_case("MAX*", "maxmemory"));
    assert_true(matches_any_case("max*", "MAXMEMORY"));
    assert_true(matches_any_case("[A-C]", "b"));
    assert_true(matches_any_case("[xyz]", "Y"));
    assert_false(matches_any_case("[A-C]", "d"));
    assert_true(matches_any_case("\\A", "a"));
    assert_false(matches_any_case("[\\A]", "a")); /* but not behind a backslash in a class */
}

static void zero_bytes_are_characters(void **state) {
    (void)state;
    assert_true(glob_matches("a\0*", 3, "a\0b", 3, false));
    assert_false(glob_matches("a\0c", 3, "a\0b", 3, false));
    assert_true(glob_matches("[\0x]", 4, "\0", 1, false));
}

static void nothing_behind_the_pattern_is_read(void **state) {
    (void)state;
    static const char *const patterns[] = {"[", "[^", "[a", "[a-", "[\\", "\\", "a*", "*[", "*\\", "?"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        /* Exact allocations, so that a sanitizer sees a step too far. */
        size_t length = strlen(patterns[i]);
        char *pattern = malloc(length), *text = malloc(2);
        assert_non_null(pattern);
        assert_non_null(text);
        memcpy(pattern, patterns[i], length);
        memcpy(text, "ab", 2);
        for (size_t most = 0; most <= 2; most++) glob_matches(pattern, length, text, most, false);
        free(pattern);
        free(text);
    }
}

/* ------------------------------------------------------------------ against the definition */

/* The definition: a '*' is tried with every number of characters. Elements other than '*' are left
 * to glob_matches itself, one at a time, since what is compared is how stars are searched. */
static size_t element_length(const char *pattern) {
    if (*pattern == '\\' && pattern[1] != '\0') return 2;
    if (*pattern != '[') return 1;
    const char *close = strchr(pattern, ']');
    return close == NULL ? strlen(pattern) : (size_t)(close - pattern) + 1;
}

static bool defined_to_match(const char *pattern, const char *text) {
    if (*pattern == '\0') return *text == '\0';
    if (*pattern == '*') {
        for (size_t taken = 0; taken <= strlen(text); taken++)
            if (defined_to_match(pattern + 1, text + taken)) return true;
        return false;
    }
    size_t length = element_length(pattern);
    return *text != '\0' && glob_matches(pattern, length, text, 1, false) &&
           defined_to_match(pattern + length, text + 1);
}

static uint64_t random_below(uint64_t limit) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % limit;
}

static void random_patterns_match_as_defined(void **state) {
    static const char *const elements[] = {"a", "b", "?", "*", "*", "[ab]", "[^a]", "\\a", "[a-c]"};
    (void)state;
    const char *given = getenv("SEED");
    seed = given != NULL ? strtoul(given, NULL, 10) : (unsigned long)getpid();
    print_message("seed %lu\n", (unsigned long)seed);
    for (int round = 0; round < 200000; round++) {
        char pattern[64] = "", text[16] = "";
        for (uint64_t left = random_below(8); left > 0; left--) strcat(pattern, elements[random_below(9)]);
        size_t length =
            1 + random_below(10); /* for an empty text Redis has its own rule, which has its own test */
        for (size_t i = 0; i < length; i++) text[i] = "abc"[random_below(3)];
        if (matches(pattern, text) != defined_to_match(pattern, text))
            fail_msg("pattern '%s', text '%s'", pattern, text);
    }
}

/* ------------------------------------------------------------------ time */

static char *repeated(const char *part, size_t times, const char *end) {
    char *whole = malloc(strlen(part) * times + strlen(end) + 1);
    assert_non_null(whole);
    whole[0] = '\0';
    for (size_t i = 0; i < times; i++) memcpy(whole + i * strlen(part), part, strlen(part) + 1);
    strcpy(whole + strlen(part) * times, end);
    return whole;
}

/* The recursive definition would take longer than the universe has existed: that this ends is the
 * test. */
static void many_stars_end(void **state) {
    static const char *const parts[] = {"a*", "*a", "*?", "*[a]", "*\\a", "**a"};
    (void)state;
    char *text = repeated("a", 5000, "");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char *pattern = repeated(parts[i], 1000, "b"), *fitting = repeated(parts[i], 1000, "*");
        assert_false(matches(pattern, text));
        assert_true(matches(fitting, text));
        free(pattern);
        free(fitting);
    }
    free(text);
}

/* A recursion would need a stack as deep as the pattern is long. */
#define LONG_TEXT 1000000

/* By the product of both lengths it would be more than ten seconds each. */
static void a_long_pattern_and_a_long_text_do_not_multiply(void **state) {
    (void)state;
    static char text[LONG_TEXT], pattern[16005];
    memset(text, 'a', sizeof text);
    memset(pattern, 'a', sizeof pattern);
    pattern[0] = '*';
    clock_t from = clock();
    pattern[sizeof pattern - 1] = 'b';
    assert_false(glob_matches(pattern, sizeof pattern, text, sizeof text, false));
    pattern[sizeof pattern - 2] = 'b';
    pattern[sizeof pattern - 1] = '*';
    assert_false(glob_matches(pattern, sizeof pattern, text, sizeof text, false));
    text[sizeof text - 1] = 'b';
    assert_true(glob_matches(pattern, sizeof pattern, text, sizeof text, false));
    text[sizeof text - 1] = 'a';
    for (size_t i = 1; i < sizeof pattern - 2; i += 2) pattern[i] = '?';
    assert_false(glob_matches(pattern, sizeof pattern, text, sizeof text, false));
    assert_false(glob_matches(pattern, sizeof pattern, text, sizeof text, true));
    assert_in_range((clock() - from) / CLOCKS_PER_SEC, 0, 10);
}

static void very_long_patterns_need_no_stack(void **state) {
    (void)state;
    char *text = repeated("a", 1000000, ""), *pattern = repeated("*?", 1000000, ""),
         *stars = repeated("*", 1000000, "a");
    assert_true(matches(pattern, text));
    assert_true(matches(stars, text));
    assert_false(matches(pattern, text + 1));
    free(text);
    free(pattern);
    free(stars);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_characters_match_themselves),
        cmocka_unit_test(question_mark_takes_exactly_one_character),
        cmocka_unit_test(star_takes_any_number_of_characters),
        cmocka_unit_test(no_star_matches_an_empty_text),
        cmocka_unit_test(class_takes_one_of_its_characters),
        cmocka_unit_test(class_keeps_redis_corner_cases),
        cmocka_unit_test(backslash_takes_the_next_character_as_it_is),
        cmocka_unit_test(case_is_ignored_where_asked_for),
        cmocka_unit_test(zero_bytes_are_characters),
        cmocka_unit_test(nothing_behind_the_pattern_is_read),
        cmocka_unit_test(random_patterns_match_as_defined),
        cmocka_unit_test(many_stars_end),
        cmocka_unit_test(a_long_pattern_and_a_long_text_do_not_multiply),
        cmocka_unit_test(very_long_patterns_need_no_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
