/* bit: Debian's LuaBitOp, but for the number of digits that it can't negate. */
#include "parts.h"

#include <lua5.1/lua-bitop.h>

#define DIGITS_MOST 8

/* bit.tohex(number, digits). Upvalues: the library's own tohex, and tobit, which says what it takes a
 * number for. */
static int to_hex(lua_State *lua) {
    luaL_checknumber(lua, 1);
    if (lua_gettop(lua) >= 2) {
        luaL_checknumber(lua, 2);
        lua_pushvalue(lua, lua_upvalueindex(2));
        lua_pushvalue(lua, 2);
        lua_call(lua, 1, 1);
        lua_Number digits = lua_tonumber(lua, -1);
        if (digits < -DIGITS_MOST) digits = -DIGITS_MOST;
        if (digits > DIGITS_MOST) digits = DIGITS_MOST;
        lua_settop(lua, 1);
        lua_pushnumber(lua, digits);
    }
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 1);
    return 1;
}

void bit_push(lua_State *lua) {
    lua_pushcfunction(lua, luaopen_bit);
    lua_call(lua, 0, 1);
    lua_getfield(lua, -1, "tohex");
    lua_getfield(lua, -2, "tobit");
    lua_pushcclosure(lua, to_hex, 2);
    lua_setfield(lua, -2, "tohex");
}
