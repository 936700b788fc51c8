/* Glob patterns as Redis matches them, in time that no pattern can make explode.
 *
 * Every element but '*' takes exactly one character. So when a match fails, only the last '*' need
 * be tried with one character more: whatever an earlier one could still give up, the last one has
 * already had the choice of (the argument is Kirk Krauss's, "Matching Wildcards", 2008). One place
 * to return to replaces the recursion, and the time is at most the product of both lengths.
 *
 * Redis's corner cases are kept: no '*' matches an empty text; in a class a backslash makes the
 * next character compare exactly, whatever the case; a range may be written backwards; a class that
 * isn't closed ends with the pattern. */
#include <stddef.h>

#include "command.h"

/* Bytes compare as plain char, signed or not, since that decides what lies between two of them in a
 * class. */
static int lower(int character) {
    return character >= 'A' && character <= 'Z' ? character - 'A' + 'a' : character;
}

static bool is_same(char one, char other, bool ignores_case) {
    return one == other || (ignores_case && lower(one) == lower(other));
}

static bool is_between(char first, char last, char character, bool ignores_case) {
    int low = first < last ? first : last, high = first < last ? last : first, value = character;
    if (ignores_case) {
        low = lower(low);
        high = lower(high);
        value = lower(value);
    }
    return value >= low && value <= high;
}

/* at: behind the '['. Returns what follows the class. */
static const char *class_match(const char *at, const char *end, char character, bool ignores_case,
                               bool *is_match) {
    bool is_in = false, is_negated = at < end && *at == '^';
    if (is_negated) at++;
    while (at < end && *at != ']') {
        if (*at == '\\' && end - at >= 2) {
            if (at[1] == character) is_in = true;
            at += 2;
        } else if (end - at >= 3 && at[1] == '-') {
            if (is_between(at[0], at[2], character, ignores_case)) is_in = true;
            at += 3;
        } else {
            if (is_same(*at, character, ignores_case)) is_in = true;
            at++;
        }
    }
    *is_match = is_in != is_negated;
    return at < end ? at + 1 : end;
}

/* The element at `at` is no '*'. Returns what follows it if it takes the character, else NULL. */
static const char *element_match(const char *at, const char *end, char character,
                                 bool ignores_case) {
    bool is_match;
    if (*at == '?') return at + 1;
    if (*at == '[') {
        const char *next = class_match(at + 1, end, character, ignores_case, &is_match);
        return is_match ? next : NULL;
    }
    if (*at == '\\' && end - at >= 2) at++;
    return is_same(*at, character, ignores_case) ? at + 1 : NULL;
}

bool glob_matches(const char *pattern, size_t pattern_length, const char *text, size_t length,
                  bool ignores_case) {
    const char *at = pattern, *pattern_end = pattern + pattern_length, *text_end = text + length;
    const char *behind_star = NULL,
               *star_text = NULL; /* where to return to, and how far the last '*' reaches */
    if (length == 0) return pattern_length == 0;
    while (text < text_end) {
        if (at < pattern_end && *at == '*') {
            behind_star = ++at;
            if (at == pattern_end) return true;
            star_text = text;
            continue;
        }
        const char *next =
            at < pattern_end ? element_match(at, pattern_end, *text, ignores_case) : NULL;
        if (next != NULL) {
            at = next;
            text++;
        } else if (behind_star != NULL) {
            at = behind_star;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (at < pattern_end && *at == '*') at++;
    return at == pattern_end;
}
