/* The functions of Lua's string library that may take long: as Lua 5.1 defines them, over our own
 * patterns. */
#include "pattern.h"

#include <string.h>

#define SPECIALS "^$*+?.([%-"

/* Searching for plain text, a part of it between two turns. */
#define PART ((size_t)1 << 16)

/* In Lua 5.1 a pattern ends at its first NUL. */
static struct pattern_match begin(lua_State *lua, const char *subject, size_t length, const char *pattern) {
    return (struct pattern_match){.lua = lua,
                                  .subject = subject,
                                  .subject_end = subject + length,
                                  .pattern_end = pattern + strlen(pattern)};
}

/* memmem's answer. */
static const char *find_plain(lua_State *lua, const char *text, size_t length, const char *wanted,
                              size_t wanted_length) {
    if (wanted_length == 0) return text;
    while (length >= wanted_length) {
        size_t part = length < PART + wanted_length ? length : PART + wanted_length;
        const char *found = memmem(text, part, wanted, wanted_length);
        if (found != NULL) return found;
        size_t done = part - wanted_length + 1;
        script_step(lua, (uint32_t)(part / 32));
        text += done;
        length -= done;
    }
    return NULL;
}

static int find_or_match(lua_State *lua, bool is_find) {
    size_t length, pattern_length;
    const char *subject = luaL_checklstring(lua, 1, &length),
               *pattern = luaL_checklstring(lua, 2, &pattern_length);
    ptrdiff_t first = luaL_optinteger(lua, 3, 1);
    if (first < 0) first += (ptrdiff_t)length + 1;
    first = first < 1 ? 0 : first - 1;
    if ((size_t)first > length) first = (ptrdiff_t)length;
    if (is_find && (lua_toboolean(lua, 4) || strpbrk(pattern, SPECIALS) == NULL)) {
        const char *found = find_plain(lua, subject + first, length - (size_t)first, pattern, pattern_length);
        if (found == NULL) {
            lua_pushnil(lua);
            return 1;
        }
        lua_pushinteger(lua, found - subject + 1);
        lua_pushinteger(lua, found - subject + (ptrdiff_t)pattern_length);
        return 2;
    }
    struct pattern_match match = begin(lua, subject, length, pattern);
    bool is_anchored = *pattern == '^';
    if (is_anchored) pattern++;
    const char *at = subject + first;
    do {
        const char *end = pattern_match(&match, at, pattern);
        if (end == NULL) continue;
        if (!is_find) return pattern_push_captures(&match, at, end);
        lua_pushinteger(lua, at - subject + 1);
        lua_pushinteger(lua, end - subject);
        return pattern_push_captures(&match, NULL, NULL) + 2;
    } while (at++ < match.subject_end && !is_anchored);
    lua_pushnil(lua);
    return 1;
}

static int find(lua_State *lua) {
    return find_or_match(lua, true);
}

static int match_first(lua_State *lua) {
    return find_or_match(lua, false);
}

/* Upvalues: subject, pattern, where to go on. */
static int next_match(lua_State *lua) {
    size_t length;
    const char *subject = lua_tolstring(lua, lua_upvalueindex(1), &length),
               *pattern = lua_tostring(lua, lua_upvalueindex(2));
    struct pattern_match match = begin(lua, subject, length, pattern);
    for (const char *at = subject + lua_tointeger(lua, lua_upvalueindex(3)); at <= match.subject_end; at++) {
        const char *end = pattern_match(&match, at, pattern);
        if (end == NULL) continue;
        lua_pushinteger(lua, end - subject + (end == at ? 1 : 0));
        lua_replace(lua, lua_upvalueindex(3));
        return pattern_push_captures(&match, at, end);
    }
    return 0;
}

static int all_matches(lua_State *lua) {
    luaL_checkstring(lua, 1);
    luaL_checkstring(lua, 2);
    lua_settop(lua, 2);
    lua_pushinteger(lua, 0);
    lua_pushcclosure(lua, next_match, 3);
    return 1;
}

/* ------------------------------------------------------------------ replacing */

static void add_text(struct pattern_match *match, luaL_Buffer *buffer, const char *start, const char *end) {
    size_t length;
    const char *text = lua_tolstring(match->lua, 3, &length);
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '%') {
            luaL_addchar(buffer, text[i]);
            continue;
        }
        i++; /* behind the last character there is a NUL */
        if (text[i] < '0' || text[i] > '9') {
            luaL_addchar(buffer, text[i]);
        } else if (text[i] == '0') {
            luaL_addlstring(buffer, start, (size_t)(end - start));
        } else {
            pattern_push_capture(match, text[i] - '1', start, end);
            luaL_addvalue(buffer);
        }
    }
}

static void add_value(struct pattern_match *match, luaL_Buffer *buffer, const char *start, const char *end) {
    lua_State *lua = match->lua;
    switch (lua_type(lua, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(lua, 3);
        lua_call(lua, pattern_push_captures(match, start, end), 1);
        break;
    case LUA_TTABLE:
        pattern_push_capture(match, 0, start, end);
        lua_gettable(lua, 3);
        break;
    default: add_text(match, buffer, start, end); return;
    }
    if (!lua_toboolean(lua, -1)) {
        lua_pop(lua, 1);
        lua_pushlstring(lua, start, (size_t)(end - start));
    } else if (!lua_isstring(lua, -1)) {
        luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
    }
    luaL_addvalue(buffer);
}

static int replace(lua_State *lua) {
    size_t length;
    const char *subject = luaL_checklstring(lua, 1, &length), *pattern = luaL_checkstring(lua, 2);
    int type = lua_type(lua, 3);
    lua_Integer most = luaL_optinteger(lua, 4, (lua_Integer)length + 1), count = 0;
    bool is_anchored = *pattern == '^';
    luaL_argcheck(lua,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
                  3, "string/function/table expected");
    struct pattern_match match = begin(lua, subject, length, pattern);
    if (is_anchored) pattern++;
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    const char *at = subject;
    while (count < most) {
        const char *end = pattern_match(&match, at, pattern);
        if (end != NULL) {
            count++;
            add_value(&match, &buffer, at, end);
        }
        if (end != NULL && end > at)
            at = end;
        else if (at < match.subject_end)
            luaL_addchar(&buffer, *at++);
        else
            break;
        if (is_anchored) break;
    }
    luaL_addlstring(&buffer, at, (size_t)(match.subject_end - at));
    luaL_pushresult(&buffer);
    lua_pushinteger(lua, count);
    return 2;
}

/* The whole in one block, made by doubling. */
static int repeat(lua_State *lua) {
    size_t length;
    const char *text = luaL_checklstring(lua, 1, &length);
    int count = luaL_checkint(lua, 2);
    if (count <= 0 || length == 0) {
        lua_pushliteral(lua, "");
        return 1;
    }
    if (length > BLOCK_MOST / (size_t)count) return luaL_error(lua, "resulting string too large");
    size_t whole = length * (size_t)count;
    char *bytes = lua_newuserdata(lua, whole);
    memcpy(bytes, text, length);
    for (size_t filled = length; filled < whole;) {
        size_t more = filled < whole - filled ? filled : whole - filled;
        memcpy(bytes + filled, bytes, more);
        filled += more;
    }
    lua_pushlstring(lua, bytes, whole);
    return 1;
}

void strings_fill(lua_State *lua) {
    static const luaL_Reg functions[] = {{"find", find},    {"match", match_first}, {"gmatch", all_matches},
                                         {"gsub", replace}, {"rep", repeat},        {NULL, NULL}};
    luaL_register(lua, NULL, functions);
    lua_getfield(lua, -1, "gmatch");
    lua_setfield(lua, -2, "gfind");
}
