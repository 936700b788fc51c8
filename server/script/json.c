/* cjson: Debian's, behind what keeps it from harm.
 *
 * It counts in int, allocates beside Lua's allocator and ends the process where that fails. So what it is
 * to encode is measured first, and what it makes of it is bounded; while it decodes, no error of Lua's may
 * end it, or it would lose a buffer: so Lua's memory isn't bounded meanwhile, but what it decodes is.
 *
 * A script's settings (cjson.encode_max_depth(...)) are its own: after its run they are as they were. */
#include "parts.h"

#include <lua5.1/lua-cjson.h>
#include <string.h>

/* So many bytes are decoded, or encoded, in about a millisecond. */
#define DECODED_SHORT ((size_t)64 << 10)
#define ENCODED_SHORT ((size_t)512 << 10)
/* Of a text to be decoded, which becomes up to forty times as many bytes. */
#define DECODED_MOST ((size_t)16 << 20)
#define ENCODED_MOST ((size_t)64 << 20)
/* The library keeps its buffer from one call to the next; a larger one goes. */
#define KEPT_MOST ((size_t)1 << 20)
/* Deeper than any depth that it allows by itself; what is deeper is measured as nothing, and then refused
 * by it, unless it was told otherwise. */
#define DEPTH_MOST 1000

/* Bytes that the value on top of the stack takes at most when it is encoded; it goes. */
static size_t measure(lua_State *lua, size_t measured, int depth) {
    script_step(lua, 1);
    if (measured > ENCODED_MOST) luaL_error(lua, "JSON would be too large");
    int type = lua_type(lua, -1);
    if (type == LUA_TSTRING) {
        measured += 6 * lua_objlen(lua, -1) + 3;
    } else if (type == LUA_TTABLE) {
        measured += 2;
        if (depth >= DEPTH_MOST) luaL_error(lua, "Cannot serialise, excessive nesting (%d)", depth + 1);
        luaL_checkstack(lua, 8, "JSON is nested too deeply");
        (void)sandbox_unveil(lua, lua_gettop(lua));
        lua_pushnil(lua);
        while (lua_next(lua, -2)) {
            measured = measure(lua, measured, depth + 1);
            if (lua_type(lua, -1) == LUA_TSTRING)
                measured += 6 * lua_objlen(lua, -1) + 4;
            else
                measured += 40;
        }
    } else {
        measured += 40;
    }
    lua_pop(lua, 1);
    return measured;
}

/* Raises the library's error, which is on top of the stack, as if the script had called it. */
static int raise_again(lua_State *lua, int status) {
    script_stop_if_ended(lua);
    if (status == LUA_ERRRUN && lua_type(lua, -1) == LUA_TSTRING) {
        luaL_where(lua, 1);
        lua_insert(lua, -2);
        lua_concat(lua, 2);
    }
    return lua_error(lua);
}

/* Calls a function of the library's, which is the first upvalue's, by its name, with all arguments. */
static int call_own(lua_State *lua, const char *name) {
    lua_getfield(lua, lua_upvalueindex(1), name);
    lua_insert(lua, 1);
    int status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
    return status == 0 ? lua_gettop(lua) : raise_again(lua, status);
}

/* Lets the library's buffer go by telling it not to keep one, and then again to. */
static void drop_buffer(lua_State *lua) {
    for (int keeps = 0; keeps < 2; keeps++) {
        lua_getfield(lua, lua_upvalueindex(1), "encode_keep_buffer");
        lua_pushboolean(lua, keeps);
        lua_call(lua, 1, 0);
    }
}

static int encode(lua_State *lua) {
    luaL_argcheck(lua, lua_gettop(lua) == 1, 1, "expected 1 argument");
    lua_pushvalue(lua, 1);
    size_t measured = measure(lua, 0, 0);
    script_expect(lua, measured, ENCODED_SHORT);
    (void)sandbox_unveil(lua, 1);
    (void)call_own(lua, "encode");
    if (measured > KEPT_MOST) drop_buffer(lua);
    return 1;
}

static int decode(lua_State *lua) {
    struct script_state *state = state_of(lua);
    if (lua_gettop(lua) == 1 && lua_isstring(lua, 1) && lua_objlen(lua, 1) > DECODED_MOST)
        return luaL_error(lua, "JSON is too large");
    if (lua_isstring(lua, 1)) script_expect(lua, lua_objlen(lua, 1), DECODED_SHORT);
    state->is_unbounded = true;
    lua_getfield(lua, lua_upvalueindex(1), "decode");
    lua_insert(lua, 1);
    int status = lua_pcall(lua, lua_gettop(lua) - 1, LUA_MULTRET, 0);
    bool is_over = script_state_bytes(state) > state->most;
    if (is_over) { /* it goes at once, so that there is room for an error */
        lua_settop(lua, 0);
        lua_gc(lua, LUA_GCCOLLECT, 0);
    }
    state->is_unbounded = false;
    script_stop_if_ended(lua);
    if (is_over) return luaL_error(lua, "not enough memory");
    return status == 0 ? lua_gettop(lua) : raise_again(lua, status);
}

/* A setting: from now on in this run. The second upvalue is its name. */
static int set(lua_State *lua) {
    state_of(lua)->has_json_settings = true;
    return call_own(lua, lua_tostring(lua, lua_upvalueindex(2)));
}

/* The buffer is always kept, as it is bounded, and lost by an error otherwise. */
static int set_nothing(lua_State *lua) {
    lua_pushboolean(lua, lua_isnoneornil(lua, 1) || lua_toboolean(lua, 1));
    return 1;
}

static int make_another(lua_State *lua);

static void push_library(lua_State *lua) {
    lua_pushcfunction(lua, luaopen_cjson);
    lua_call(lua, 0, 1);
}

/* The library's table on top of the stack becomes what scripts see of it. */
static void guard(lua_State *lua) {
    static const luaL_Reg functions[] = {{"encode", encode},
                                         {"decode", decode},
                                         {"encode_keep_buffer", set_nothing},
                                         {"new", make_another},
                                         {NULL, NULL}};
    static const char *const settings[] = {"encode_sparse_array",    "encode_max_depth",
                                           "decode_max_depth",       "encode_number_precision",
                                           "encode_invalid_numbers", "decode_invalid_numbers"};
    static const char *const others[] = {"null", "_NAME", "_VERSION"};
    int own = lua_gettop(lua);
    lua_newtable(lua);
    for (const luaL_Reg *function = functions; function->name != NULL; function++) {
        lua_pushvalue(lua, own);
        lua_pushcclosure(lua, function->func, 1);
        lua_setfield(lua, -2, function->name);
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        lua_pushvalue(lua, own);
        lua_pushstring(lua, settings[i]);
        lua_pushcclosure(lua, set, 2);
        lua_setfield(lua, -2, settings[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        lua_getfield(lua, own, others[i]);
        lua_setfield(lua, -2, others[i]);
    }
    lua_remove(lua, own);
}

static int make_another(lua_State *lua) {
    push_library(lua);
    guard(lua);
    return 1;
}

void json_push(lua_State *lua) {
    push_library(lua);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_JSON);
    guard(lua);
}

void json_reset(lua_State *lua) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_JSON);
    push_library(lua);
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        lua_pushvalue(lua, -2);
        lua_insert(lua, -2);
        lua_rawset(lua, -5);
    }
    lua_pop(lua, 2);
}
