#include "pattern.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define ESCAPE '%'
#define CAPTURE_OPEN (-1)
#define CAPTURE_POSITION (-2)
/* How deep items may be nested in backtracking: each takes some hundred bytes of the thread's stack. */
#define DEPTH_MOST 4000

static const char *match_here(struct pattern_match *match, const char *at, const char *pattern);

static int capture_named(struct pattern_match *match, int digit) {
    int number = digit - '1';
    if (number < 0 || number >= match->captures || match->capture[number].length == CAPTURE_OPEN)
        return luaL_error(match->lua, "invalid capture index");
    return number;
}

static int capture_to_close(struct pattern_match *match) {
    for (int number = match->captures - 1; number >= 0; number--)
        if (match->capture[number].length == CAPTURE_OPEN) return number;
    return luaL_error(match->lua, "invalid pattern capture");
}

/* The end of the single item (character, escape or class) that the pattern begins with. */
static const char *item_end(struct pattern_match *match, const char *pattern) {
    const char *end = match->pattern_end;
    char first = *pattern++;
    if (first == ESCAPE) {
        if (pattern >= end) luaL_error(match->lua, "malformed pattern (ends with '%%')");
        return pattern + 1;
    }
    if (first != '[') return pattern;
    if (pattern < end && *pattern == '^') pattern++;
    do { /* the first one may be a ']' */
        if (pattern >= end) luaL_error(match->lua, "malformed pattern (missing ']')");
        bool is_escape = *pattern == ESCAPE && pattern + 1 < end;
        pattern += is_escape ? 2 : 1;
    } while (pattern >= end || *pattern != ']');
    return pattern + 1;
}

static bool is_in_class(int character, int class) {
    bool is_in;
    switch (tolower(class)) {
    case 'a': is_in = isalpha(character) != 0; break;
    case 'c': is_in = iscntrl(character) != 0; break;
    case 'd': is_in = isdigit(character) != 0; break;
    case 'l': is_in = islower(character) != 0; break;
    case 'p': is_in = ispunct(character) != 0; break;
    case 's': is_in = isspace(character) != 0; break;
    case 'u': is_in = isupper(character) != 0; break;
    case 'w': is_in = isalnum(character) != 0; break;
    case 'x': is_in = isxdigit(character) != 0; break;
    case 'z': is_in = character == 0; break;
    default: return class == character;
    }
    return islower(class) ? is_in : !is_in;
}

/* pattern is at the '[', last at its ']'. */
static bool is_in_set(int character, const char *pattern, const char *last) {
    bool is_wanted = true;
    if (pattern[1] == '^') {
        is_wanted = false;
        pattern++;
    }
    while (++pattern < last) {
        if (*pattern == ESCAPE) {
            pattern++;
            if (is_in_class(character, (unsigned char)*pattern)) return is_wanted;
        } else if (pattern[1] == '-' && pattern + 2 < last) {
            pattern += 2;
            if ((unsigned char)pattern[-2] <= character && character <= (unsigned char)*pattern)
                return is_wanted;
        } else if ((unsigned char)*pattern == character) {
            return is_wanted;
        }
    }
    return !is_wanted;
}

/* Whether the character at `at` is one of the item that stands between pattern and end. */
static bool is_matched(const struct pattern_match *match, const char *at, const char *pattern,
                       const char *end) {
    assert(at != NULL && "a match goes on where there is a text");
    if (at >= match->subject_end) return false;
    int character = (unsigned char)*at;
    switch (*pattern) {
    case '.': return true;
    case ESCAPE: return is_in_class(character, (unsigned char)pattern[1]);
    case '[': return is_in_set(character, pattern, end - 1);
    default: return (unsigned char)*pattern == character;
    }
}

static const char *match_balance(struct pattern_match *match, const char *at, const char *pattern) {
    if (match->pattern_end - pattern < 2) luaL_error(match->lua, "unbalanced pattern");
    if (at >= match->subject_end || *at != pattern[0]) return NULL;
    int64_t open = 1;
    for (const char *next = at + 1; next < match->subject_end; next++) {
        script_step(match->lua, 1);
        if (*next == pattern[1]) {
            if (--open == 0) return next + 1;
        } else if (*next == pattern[0]) {
            open++;
        }
    }
    return NULL;
}

/* As many as there are, then fewer. */
static const char *match_most(struct pattern_match *match, const char *at, const char *pattern,
                              const char *end) {
    ptrdiff_t count = 0;
    while (is_matched(match, at + count, pattern, end)) {
        count++;
        script_step(match->lua, 1);
    }
    for (; count >= 0; count--) {
        const char *found = match_here(match, at + count, end + 1);
        if (found != NULL) return found;
    }
    return NULL;
}

static const char *match_least(struct pattern_match *match, const char *at, const char *pattern,
                               const char *end) {
    for (;; at++) {
        const char *found = match_here(match, at, end + 1);
        if (found != NULL) return found;
        if (!is_matched(match, at, pattern, end)) return NULL;
    }
}

static const char *open_capture(struct pattern_match *match, const char *at, const char *pattern,
                                ptrdiff_t kind) {
    if (match->captures >= PATTERN_CAPTURES) luaL_error(match->lua, "too many captures");
    match->capture[match->captures].start = at;
    match->capture[match->captures].length = kind;
    match->captures++;
    const char *found = match_here(match, at, pattern);
    if (found == NULL) match->captures--;
    return found;
}

static const char *close_capture(struct pattern_match *match, const char *at, const char *pattern) {
    int number = capture_to_close(match);
    match->capture[number].length = at - match->capture[number].start;
    const char *found = match_here(match, at, pattern);
    if (found == NULL) match->capture[number].length = CAPTURE_OPEN;
    return found;
}

/* The text of an earlier capture again. */
static const char *match_again(struct pattern_match *match, const char *at, int digit) {
    int number = capture_named(match, digit);
    /* A place has no text: Lua takes it for one of nearly the whole memory, which isn't there. */
    if (match->capture[number].length < 0) return NULL;
    size_t length = (size_t)match->capture[number].length;
    script_step(match->lua, (uint32_t)(length / 16));
    if ((size_t)(match->subject_end - at) < length || memcmp(match->capture[number].start, at, length) != 0)
        return NULL;
    return at + length;
}

static bool is_at_frontier(struct pattern_match *match, const char *at, const char *pattern,
                           const char *end) {
    int before = at == match->subject ? 0 : (unsigned char)at[-1],
        here = at == match->subject_end ? 0 : (unsigned char)*at;
    return !is_in_set(before, pattern, end - 1) && is_in_set(here, pattern, end - 1);
}

static const char *match_items(struct pattern_match *match, const char *at, const char *pattern) {
    for (;;) {
        script_step(match->lua, 1);
        if (pattern == match->pattern_end) return at;
        const char *end;
        bool is_escape = *pattern == ESCAPE && pattern + 1 < match->pattern_end;
        if (*pattern == '(') {
            if (pattern + 1 < match->pattern_end && pattern[1] == ')')
                return open_capture(match, at, pattern + 2, CAPTURE_POSITION);
            return open_capture(match, at, pattern + 1, CAPTURE_OPEN);
        }
        if (*pattern == ')') return close_capture(match, at, pattern + 1);
        if (*pattern == '$' && pattern + 1 == match->pattern_end) return at == match->subject_end ? at : NULL;
        if (is_escape && pattern[1] == 'b') {
            at = match_balance(match, at, pattern + 2);
            if (at == NULL) return NULL;
            pattern += 4;
            continue;
        }
        if (is_escape && pattern[1] == 'f') {
            pattern += 2;
            if (pattern >= match->pattern_end || *pattern != '[')
                luaL_error(match->lua, "missing '[' after '%%f' in pattern");
            end = item_end(match, pattern);
            if (!is_at_frontier(match, at, pattern, end)) return NULL;
            pattern = end;
            continue;
        }
        if (is_escape && isdigit((unsigned char)pattern[1])) {
            at = match_again(match, at, (unsigned char)pattern[1]);
            if (at == NULL) return NULL;
            pattern += 2;
            continue;
        }
        end = item_end(match, pattern);
        char how = end < match->pattern_end ? *end : '\0';
        bool is_here = is_matched(match, at, pattern, end);
        if (how == '?') {
            const char *found = is_here ? match_here(match, at + 1, end + 1) : NULL;
            if (found != NULL) return found;
            pattern = end + 1;
            continue;
        }
        if (how == '*') return match_most(match, at, pattern, end);
        if (how == '+') return is_here ? match_most(match, at + 1, pattern, end) : NULL;
        if (how == '-') return match_least(match, at, pattern, end);
        if (!is_here) return NULL;
        at++;
        pattern = end;
    }
}

static const char *match_here(struct pattern_match *match, const char *at, const char *pattern) {
    if (match->depth >= DEPTH_MOST) luaL_error(match->lua, "pattern too complex");
    match->depth++;
    const char *found = match_items(match, at, pattern);
    match->depth--;
    return found;
}

const char *pattern_match(struct pattern_match *match, const char *at, const char *pattern) {
    match->captures = match->depth = 0;
    return match_here(match, at, pattern);
}

void pattern_push_capture(struct pattern_match *match, int number, const char *start, const char *end) {
    if (number >= match->captures) {
        if (number != 0) luaL_error(match->lua, "invalid capture index");
        lua_pushlstring(match->lua, start, (size_t)(end - start));
        return;
    }
    ptrdiff_t length = match->capture[number].length;
    if (length == CAPTURE_OPEN) luaL_error(match->lua, "unfinished capture");
    if (length == CAPTURE_POSITION)
        lua_pushinteger(match->lua, match->capture[number].start - match->subject + 1);
    else
        lua_pushlstring(match->lua, match->capture[number].start, (size_t)length);
}

int pattern_push_captures(struct pattern_match *match, const char *start, const char *end) {
    int count = match->captures == 0 && start != NULL ? 1 : match->captures;
    luaL_checkstack(match->lua, count, "too many captures");
    for (int number = 0; number < count; number++) pattern_push_capture(match, number, start, end);
    return count;
}
