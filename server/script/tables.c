/* The functions of Lua's table library that go over a table: as Lua 5.1 defines them, but in steps, so
 * that a long one lets the host turn and can be ended, and with respect for what is read-only. */
#include "parts.h"

static int length_of(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    return (int)lua_objlen(lua, 1);
}

static int insert(lua_State *lua) {
    int last = length_of(lua) + 1, place = last;
    switch (lua_gettop(lua)) {
    case 2: break;
    case 3:
        place = luaL_checkint(lua, 2);
        if (place > last) last = place;
        sandbox_check_writable(lua, 1);
        for (int i = last; i > place; i--) {
            script_step(lua, 1);
            lua_rawgeti(lua, 1, i - 1);
            lua_rawseti(lua, 1, i);
        }
        break;
    default: return luaL_error(lua, "wrong number of arguments to 'insert'");
    }
    sandbox_check_writable(lua, 1);
    lua_rawseti(lua, 1, place);
    return 0;
}

static int remove_element(lua_State *lua) {
    int last = length_of(lua), place = luaL_optint(lua, 2, last);
    if (place < 1 || place > last) return 0;
    lua_rawgeti(lua, 1, place);
    for (; place < last; place++) {
        script_step(lua, 1);
        lua_rawgeti(lua, 1, place + 1);
        lua_rawseti(lua, 1, place);
    }
    lua_pushnil(lua);
    lua_rawseti(lua, 1, last);
    return 1;
}

static int concat(lua_State *lua) {
    size_t length;
    luaL_checktype(lua, 1, LUA_TTABLE);
    const char *between = luaL_optlstring(lua, 2, "", &length);
    int first = luaL_optint(lua, 3, 1), last = luaL_opt(lua, luaL_checkint, 4, length_of(lua));
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    for (int64_t i = first; i <= last; i++) {
        script_step(lua, 1);
        lua_rawgeti(lua, 1, (int)i);
        if (!lua_isstring(lua, -1))
            return luaL_error(lua, "invalid value (%s) at index %d in table for 'concat'",
                              luaL_typename(lua, -1), (int)i);
        luaL_addvalue(&buffer);
        if (i < last) luaL_addlstring(&buffer, between, length);
    }
    luaL_pushresult(&buffer);
    return 1;
}

static int for_each(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    (void)sandbox_unveil(lua, 1);
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        script_step(lua, 1);
        lua_pushvalue(lua, 2);
        lua_pushvalue(lua, -3);
        lua_pushvalue(lua, -3);
        lua_call(lua, 2, 1);
        if (!lua_isnil(lua, -1)) return 1;
        lua_pop(lua, 2);
    }
    return 0;
}

static int for_each_index(lua_State *lua) {
    int length = length_of(lua);
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    for (int i = 1; i <= length; i++) {
        script_step(lua, 1);
        lua_pushvalue(lua, 2);
        lua_pushinteger(lua, i);
        lua_rawgeti(lua, 1, i);
        lua_call(lua, 2, 1);
        if (!lua_isnil(lua, -1)) return 1;
        lua_pop(lua, 1);
    }
    return 0;
}

static int largest_index(lua_State *lua) {
    lua_Number most = 0;
    luaL_checktype(lua, 1, LUA_TTABLE);
    (void)sandbox_unveil(lua, 1);
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        script_step(lua, 1);
        lua_pop(lua, 1);
        if (lua_type(lua, -1) == LUA_TNUMBER && lua_tonumber(lua, -1) > most) most = lua_tonumber(lua, -1);
    }
    lua_pushnumber(lua, most);
    return 1;
}

/* ------------------------------------------------------------------ sorting */

/* Quicksort as Lua 5.1 has it (Sedgewick's, with the median of three), step by step, so that elements that
 * compare as equal come to stand where they do there. */

static bool is_less(lua_State *lua, int a, int b) {
    script_step(lua, 1);
    if (lua_isnil(lua, 2)) return lua_lessthan(lua, a, b) != 0;
    lua_pushvalue(lua, 2);
    lua_pushvalue(lua, a - 1);
    lua_pushvalue(lua, b - 2);
    lua_call(lua, 2, 1);
    bool result = lua_toboolean(lua, -1) != 0;
    lua_pop(lua, 1);
    return result;
}

/* The two values on top of the stack go to these places, the uppermost to the first. */
static void put_both(lua_State *lua, int i, int j) {
    lua_rawseti(lua, 1, i);
    lua_rawseti(lua, 1, j);
}

/* Puts the elements at two places in order. */
static void order(lua_State *lua, int low, int high) {
    lua_rawgeti(lua, 1, low);
    lua_rawgeti(lua, 1, high);
    if (is_less(lua, -1, -2))
        put_both(lua, low, high);
    else
        lua_pop(lua, 2);
}

/* Moves what is less than the pivot, a copy of which is on top of the stack, before it, and returns where
 * it is. */
static int partition(lua_State *lua, int low, int high) {
    int i = low, j = high - 1;
    for (;;) {
        while (lua_rawgeti(lua, 1, ++i), is_less(lua, -1, -2)) {
            if (i > high) luaL_error(lua, "invalid order function for sorting");
            lua_pop(lua, 1);
        }
        while (lua_rawgeti(lua, 1, --j), is_less(lua, -3, -1)) {
            if (j < low) luaL_error(lua, "invalid order function for sorting");
            lua_pop(lua, 1);
        }
        if (j < i) break;
        put_both(lua, i, j);
    }
    lua_pop(lua, 3);
    lua_rawgeti(lua, 1, high - 1);
    lua_rawgeti(lua, 1, i);
    put_both(lua, high - 1, i);
    return i;
}

static void sort_range(lua_State *lua, int low, int high) {
    while (low < high) {
        order(lua, low, high);
        if (high - low == 1) return;
        int middle = low + (high - low) / 2;
        lua_rawgeti(lua, 1, middle);
        lua_rawgeti(lua, 1, low);
        if (is_less(lua, -2, -1)) {
            put_both(lua, middle, low);
        } else {
            lua_pop(lua, 1);
            lua_rawgeti(lua, 1, high);
            if (is_less(lua, -1, -2))
                put_both(lua, middle, high);
            else
                lua_pop(lua, 2);
        }
        if (high - low == 2) return;
        lua_rawgeti(lua, 1, middle);
        lua_pushvalue(lua, -1);
        lua_rawgeti(lua, 1, high - 1);
        put_both(lua, middle, high - 1);
        int pivot = partition(lua, low, high), from = pivot + 1, to = high;
        /* The smaller half by recursion, so that this is as deep as the logarithm. */
        if (pivot - low < high - pivot) {
            from = low;
            to = pivot - 1;
            low = pivot + 1;
        } else {
            high = pivot - 1;
        }
        sort_range(lua, from, to);
    }
}

static int sort(lua_State *lua) {
    int length = length_of(lua);
    luaL_checkstack(lua, 40, "");
    if (!lua_isnoneornil(lua, 2)) luaL_checktype(lua, 2, LUA_TFUNCTION);
    lua_settop(lua, 2);
    sort_range(lua, 1, length);
    return 0;
}

void tables_fill(lua_State *lua) {
    static const luaL_Reg functions[] = {
        {"insert", insert},    {"remove", remove_element},   {"concat", concat},      {"sort", sort},
        {"foreach", for_each}, {"foreachi", for_each_index}, {"maxn", largest_index}, {NULL, NULL}};
    luaL_register(lua, NULL, functions);
}
