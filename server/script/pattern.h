/* Lua 5.1's patterns, matched in steps: a pattern can take time that is exponential in its length, and
 * Lua's own code for them calls no hook. */
#ifndef SERVER_SCRIPT_PATTERN_H
#define SERVER_SCRIPT_PATTERN_H

#include "parts.h"

#define PATTERN_CAPTURES LUA_MAXCAPTURES

struct pattern_match {
    lua_State *lua;
    const char *subject, *subject_end, *pattern_end;
    int captures;
    int depth;
    struct {
        const char *start;
        ptrdiff_t length; /* or one of pattern.c's marks */
    } capture[PATTERN_CAPTURES];
};

/* Begins anew on the same subject and pattern. Returns the end of what matches at `at`, or NULL. Raises
 * Lua's errors for a pattern that is none. */
const char *pattern_match(struct pattern_match *match, const char *at, const char *pattern);
/* Pushes a capture; where the pattern has none, the first is the whole match. */
void pattern_push_capture(struct pattern_match *match, int number, const char *start, const char *end);
/* Pushes all captures, or the whole match if there are none and start isn't NULL. Returns how many. */
int pattern_push_captures(struct pattern_match *match, const char *start, const char *end);

#endif
