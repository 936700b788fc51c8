/* cjson: Debian's. */
#include "parts.h"

#include <lua5.1/lua-cjson.h>

void json_push(lua_State *lua) {
    lua_pushcfunction(lua, luaopen_cjson);
    lua_call(lua, 0, 1);
}
