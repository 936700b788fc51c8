/* Glob patterns as Redis matches them, in time that no pattern can make explode.
 *
 * Every element but '*' takes exactly one character, so that what stands between two '*' takes a known number
 * of them. The first place where it matches is as good as any later one: that leaves the most for what
 * follows. So nothing is ever taken back, and the time is at most the product of both lengths; where the
 * elements are plain characters, a search in linear time finds the place. A search for others is given up
 * after STEPS_MOST steps, and then there is no match: Redis gives up, too, at another depth.
 *
 * Redis's corner cases are kept: no '*' matches an empty text; in a class a backslash makes the
 * next character compare exactly, whatever the case; a range may be written backwards; a class that
 * isn't closed ends with the pattern. */
#include "glob.h"

#include <string.h>

/* Some tens of milliseconds. */
#define STEPS_MOST ((size_t)10000000)

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
static const char *element_match(const char *at, const char *end, char character, bool ignores_case) {
    bool is_match;
    if (*at == '?') return at + 1;
    if (*at == '[') {
        const char *next = class_match(at + 1, end, character, ignores_case, &is_match);
        return is_match ? next : NULL;
    }
    if (*at == '\\' && end - at >= 2) at++;
    return is_same(*at, character, ignores_case) ? at + 1 : NULL;
}

/* What follows the element at `at`, which is no '*'. */
static const char *element_end(const char *at, const char *end) {
    bool is_match;
    if (*at == '[') return class_match(at + 1, end, 0, false, &is_match);
    if (*at == '\\' && end - at >= 2) at++;
    return at + 1;
}

/* The elements between two '*', or between one and an end of the pattern. */
struct piece {
    const char *first, *end;
    size_t elements; /* as many characters are taken by it */
    bool is_plain;   /* it takes its own bytes and nothing else */
};

static struct piece piece_at(const char *at, const char *end) {
    struct piece piece = {.first = at, .is_plain = true};
    for (; at < end && *at != '*'; at = element_end(at, end)) {
        if (*at == '?' || *at == '[' || *at == '\\') piece.is_plain = false;
        piece.elements++;
    }
    piece.end = at;
    return piece;
}

/* Takes as many characters as it has elements, which are there. */
static bool piece_matches(const struct piece *piece, const char *text, bool ignores_case, size_t *steps) {
    for (const char *at = piece->first; at < piece->end; text++, ++*steps) {
        at = element_match(at, piece->end, *text, ignores_case);
        if (at == NULL) return false;
    }
    return true;
}

/* The first place where it matches, or NULL. */
static const char *piece_find(const struct piece *piece, const char *text, const char *text_end,
                              bool ignores_case, size_t *steps) {
    if (piece->elements > (size_t)(text_end - text)) return NULL;
    if (piece->is_plain && !ignores_case)
        return memmem(text, (size_t)(text_end - text), piece->first, piece->elements);
    for (; (size_t)(text_end - text) >= piece->elements && *steps < STEPS_MOST; text++, ++*steps)
        if (piece_matches(piece, text, ignores_case, steps)) return text;
    return NULL;
}

bool glob_matches(const char *pattern, size_t pattern_length, const char *text, size_t length,
                  bool ignores_case) {
    const char *end = pattern + pattern_length, *text_end = text + length;
    size_t steps = 0;
    if (length == 0) return pattern_length == 0;
    struct piece piece = piece_at(pattern, end);
    if (piece.elements > length || (piece.end == end && piece.elements < length)) return false;
    if (!piece_matches(&piece, text, ignores_case, &steps)) return false;
    while (piece.end < end) {
        text += piece.elements;
        piece = piece_at(piece.end + 1, end);
        if (piece.end == end) {
            /* Behind the last '*': it ends where the text does. */
            return piece.elements <= (size_t)(text_end - text) &&
                   piece_matches(&piece, text_end - piece.elements, ignores_case, &steps);
        }
        text = piece_find(&piece, text, text_end, ignores_case, &steps);
        if (text == NULL) return false;
    }
    return true;
}
