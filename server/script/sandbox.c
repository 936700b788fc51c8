/* What a script sees as globals, and what it can't do to them.
 *
 * Redis has its own Lua, in which a table can be read-only. Here a table that scripts share is reached
 * through a proxy: an empty table whose metatable looks everything up in the real one and lets nothing be
 * written. What looks past metatables in Lua's library (rawget, rawset, next, pairs, setmetatable,
 * getmetatable, table.insert ...) is replaced by what knows proxies, so that a script can't tell one from
 * a read-only table.
 *
 * pcall, xpcall and coroutine.resume, which catch errors, are replaced as well: what ends a run passes
 * them. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ proxies */

bool sandbox_unveil(lua_State *lua, int index) {
    if (!lua_istable(lua, index) || !lua_getmetatable(lua, index)) return false; /* the usual */
    lua_pop(lua, 1);
    lua_pushvalue(lua, index);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_REAL);
    lua_insert(lua, -2);
    lua_rawget(lua, -2);
    lua_remove(lua, -2);
    bool is_proxy = lua_istable(lua, -1) != 0;
    if (is_proxy && index > 0)
        lua_replace(lua, index);
    else
        lua_pop(lua, 1);
    return is_proxy;
}

static int refuse_write(lua_State *lua) {
    return luaL_error(lua, "Attempt to modify a readonly table");
}

void sandbox_check_writable(lua_State *lua, int index) {
    if (!sandbox_unveil(lua, index)) return;
    /* Without a place, as in Redis, where it is Lua's own code that finds it. */
    lua_pushliteral(lua, "Attempt to modify a readonly table");
    lua_error(lua);
}

/* Makes a proxy for the table on top of the stack, and leaves the proxy there; its metatable, too, if
 * asked for. */
static void protect(lua_State *lua, bool is_meta_wanted) {
    lua_newtable(lua);
    lua_createtable(lua, 0, 2);
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, refuse_write);
    lua_setfield(lua, -2, "__newindex");
    lua_pushvalue(lua, -1);
    lua_setmetatable(lua, -3);
    lua_insert(lua, -3); /* meta, real, proxy */
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_REAL);
    lua_pushvalue(lua, -2);
    lua_pushvalue(lua, -4);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    lua_remove(lua, -2); /* meta, proxy */
    if (!is_meta_wanted) lua_remove(lua, -2);
}

/* getmetatable of the proxy on top of the stack gives the value below it, which goes. */
static void show_meta(lua_State *lua) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_SEEN_META);
    lua_pushvalue(lua, -2);
    lua_pushvalue(lua, -4);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    lua_remove(lua, -2);
}

static int missing_global(lua_State *lua) {
    if (lua_gettop(lua) != 2) return luaL_error(lua, "Wrong number of arguments to luaProtectedTableError");
    if (!lua_isstring(lua, 2))
        return luaL_error(lua, "Second argument to luaProtectedTableError must be a string or number");
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(lua, 2));
}

/* Reading what the table on top of the stack doesn't have is an error. */
static void require_fields(lua_State *lua) {
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, missing_global);
    lua_setfield(lua, -2, "__index");
    lua_setmetatable(lua, -2);
}

/* ------------------------------------------------------------------ tables, raw */

static int raw_get(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checkany(lua, 2);
    lua_settop(lua, 2);
    (void)sandbox_unveil(lua, 1);
    lua_rawget(lua, 1);
    return 1;
}

static int raw_set(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_checkany(lua, 2);
    luaL_checkany(lua, 3);
    lua_settop(lua, 3);
    sandbox_check_writable(lua, 1);
    lua_rawset(lua, 1);
    return 1;
}

static int set_metatable(lua_State *lua) {
    int type = lua_type(lua, 2);
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_argcheck(lua, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
    sandbox_check_writable(lua, 1);
    if (luaL_getmetafield(lua, 1, "__metatable"))
        return luaL_error(lua, "cannot change a protected metatable");
    lua_settop(lua, 2);
    lua_setmetatable(lua, 1);
    return 1;
}

static int get_metatable(lua_State *lua) {
    luaL_checkany(lua, 1);
    if (lua_type(lua, 1) == LUA_TSTRING) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_STRING_META);
        return 1;
    }
    lua_settop(lua, 1);
    lua_pushvalue(lua, 1);
    if (sandbox_unveil(lua, 2)) {
        lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_SEEN_META);
        lua_pushvalue(lua, 1);
        lua_rawget(lua, -2);
        return 1;
    }
    if (!lua_getmetatable(lua, 1)) {
        lua_pushnil(lua);
        return 1;
    }
    (void)luaL_getmetafield(lua, 1, "__metatable");
    return 1;
}

static int next_field(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_settop(lua, 2);
    (void)sandbox_unveil(lua, 1);
    if (lua_next(lua, 1)) return 2;
    lua_pushnil(lua);
    return 1;
}

static int all_pairs(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_pushvalue(lua, 1);
    lua_pushnil(lua);
    return 3;
}

/* Lua's own counts in int, where the bounds that a script gives can overflow. */
static int unpack(lua_State *lua) {
    luaL_checktype(lua, 1, LUA_TTABLE);
    int first = luaL_optint(lua, 2, 1), last = luaL_opt(lua, luaL_checkint, 3, (int)lua_objlen(lua, 1));
    if (first > last) return 0;
    int64_t count = (int64_t)last - first + 1;
    if (count >= LUAI_MAXCSTACK || !lua_checkstack(lua, (int)count))
        return luaL_error(lua, "too many results to unpack");
    for (int64_t i = first; i <= last; i++) lua_rawgeti(lua, 1, (int)i);
    return (int)count;
}

/* ------------------------------------------------------------------ errors */

int sandbox_error_handler(lua_State *lua) {
    struct script_state *state = state_of(lua);
    lua_settop(lua, 1);
    if (state->is_ended) return 1;
    lua_Debug place;
    bool is_known = lua_getstack(lua, 1, &place) && lua_getinfo(lua, "Sl", &place);
    if (is_known && strcmp(place.what, "C") == 0)
        is_known = lua_getstack(lua, 2, &place) && lua_getinfo(lua, "Sl", &place);
    if (!lua_istable(lua, 1)) {
        if (lua_isnil(lua, 1))
            lua_pushliteral(lua, "nil");
        else if (lua_isboolean(lua, 1))
            lua_pushstring(lua, lua_toboolean(lua, 1) ? "true" : "false");
        else if (lua_isstring(lua, 1))
            lua_pushvalue(lua, 1);
        else
            lua_pushfstring(lua, "%s: %p", luaL_typename(lua, 1), lua_topointer(lua, 1));
        lua_pushliteral(lua, "ERR ");
        lua_insert(lua, -2);
        lua_concat(lua, 2);
        lua_createtable(lua, 0, 3);
        lua_insert(lua, -2);
        lua_setfield(lua, -2, "err");
        lua_replace(lua, 1);
    }
    sandbox_check_writable(lua, 1);
    if (!is_known) return 1;
    lua_pushstring(lua, place.source);
    lua_setfield(lua, 1, "source");
    lua_pushinteger(lua, place.currentline);
    lua_setfield(lua, 1, "line");
    return 1;
}

/* As in Redis, an error that is a table with a text is caught as that text. */
static int protected_call(lua_State *lua) {
    luaL_checkany(lua, 1);
    lua_pushboolean(lua, 1);
    lua_insert(lua, 1);
    if (lua_pcall(lua, lua_gettop(lua) - 2, LUA_MULTRET, 0) == 0) {
        script_stop_if_ended(lua);
        return lua_gettop(lua);
    }
    script_stop_if_ended(lua);
    lua_remove(lua, 1);
    if (lua_istable(lua, -1)) {
        lua_getfield(lua, -1, "err");
        if (lua_isstring(lua, -1))
            lua_replace(lua, -2);
        else
            lua_pop(lua, 1);
    }
    lua_pushboolean(lua, 0);
    lua_insert(lua, 1);
    return lua_gettop(lua);
}

/* A handler isn't called for what ends the run: it would run where no hook is called. */
static int guarded_handler(lua_State *lua) {
    if (state_of(lua)->is_ended) return 1;
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, 1);
    return 1;
}

static int handled_call(lua_State *lua) {
    luaL_checkany(lua, 2);
    lua_settop(lua, 2);
    lua_pushcclosure(lua, guarded_handler, 1);
    lua_insert(lua, 1);
    int status = lua_pcall(lua, 0, LUA_MULTRET, 1);
    script_stop_if_ended(lua);
    lua_pushboolean(lua, status == 0);
    lua_replace(lua, 1);
    return lua_gettop(lua);
}

/* ------------------------------------------------------------------ coroutines */

static lua_State *coroutine_at(lua_State *lua, int index) {
    lua_State *coroutine = lua_tothread(lua, index);
    luaL_argcheck(lua, coroutine != NULL, index, "coroutine expected");
    return coroutine;
}

/* Whether it waits to begin or at a yield; else what it is instead. */
static const char *why_not_suspended(lua_State *lua, lua_State *coroutine) {
    lua_Debug activation;
    if (coroutine == lua) return "running";
    if (lua_status(coroutine) == LUA_YIELD) return NULL;
    if (lua_status(coroutine) != 0) return "dead";
    if (lua_getstack(coroutine, 0, &activation) > 0) return "normal";
    return lua_gettop(coroutine) == 0 ? "dead" : NULL;
}

/* Runs a coroutine with so many arguments from the top of the stack. What it gave, or its error, is on
 * top; -1 for an error. */
static int resume(lua_State *lua, lua_State *coroutine, int count) {
    const char *state = why_not_suspended(lua, coroutine);
    if (state != NULL) {
        lua_pushfstring(lua, "cannot resume %s coroutine", state);
        return -1;
    }
    if (!lua_checkstack(coroutine, count)) luaL_error(lua, "too many arguments to resume");
    lua_xmove(lua, coroutine, count);
    lua_setlevel(lua, coroutine);
    struct script_state *shared = state_of(lua);
    shared->running = coroutine;
    int status = lua_resume(coroutine, count);
    shared->running = lua;
    script_stop_if_ended(lua);
    if (status != 0 && status != LUA_YIELD) {
        lua_xmove(coroutine, lua, 1);
        return -1;
    }
    count = lua_gettop(coroutine);
    if (!lua_checkstack(lua, count + 1)) luaL_error(lua, "too many results to resume");
    lua_xmove(coroutine, lua, count);
    return count;
}

static int coroutine_resume(lua_State *lua) {
    lua_State *coroutine = coroutine_at(lua, 1);
    int count = resume(lua, coroutine, lua_gettop(lua) - 1);
    lua_pushboolean(lua, count >= 0);
    if (count < 0) count = 1;
    lua_insert(lua, -(count + 1));
    return count + 1;
}

static int resume_wrapped(lua_State *lua) {
    int count = resume(lua, lua_tothread(lua, lua_upvalueindex(1)), lua_gettop(lua));
    if (count >= 0) return count;
    if (lua_isstring(lua, -1)) { /* as Lua does: where it is called is told as well */
        luaL_where(lua, 1);
        lua_insert(lua, -2);
        lua_concat(lua, 2);
    }
    return lua_error(lua);
}

static int coroutine_create(lua_State *lua) {
    luaL_argcheck(lua, lua_isfunction(lua, 1) && !lua_iscfunction(lua, 1), 1, "Lua function expected");
    lua_State *coroutine = lua_newthread(lua);
    lua_pushvalue(lua, 1);
    lua_xmove(lua, coroutine, 1);
    return 1;
}

static int coroutine_wrap(lua_State *lua) {
    coroutine_create(lua);
    lua_pushcclosure(lua, resume_wrapped, 1);
    return 1;
}

/* ------------------------------------------------------------------ compiling, collecting */

/* So many bytes of text, or of blocks, take about a millisecond. */
#define COMPILED_SHORT ((size_t)64 << 10)
#define COLLECTED_SHORT ((size_t)1 << 20)

static int loaded(lua_State *lua, int status) {
    if (status == 0) return 1;
    lua_pushnil(lua);
    lua_insert(lua, -2);
    return 2;
}

static int load_string(lua_State *lua) {
    size_t length;
    const char *text = luaL_checklstring(lua, 1, &length), *name = luaL_optstring(lua, 2, text);
    script_expect(lua, length, COMPILED_SHORT);
    return loaded(lua, script_load_text(lua, text, length, name));
}

/* What load's function gives, piece by piece; it is at 1, the piece is kept at 3. */
static const char *read_piece(lua_State *lua, void *context, size_t *length) {
    bool *is_begun = context;
    luaL_checkstack(lua, 2, "too many nested functions");
    if (lua_isnil(lua, 3)) {
        lua_pushvalue(lua, 1);
        lua_call(lua, 0, 1);
        *length = 0;
        if (lua_isnil(lua, -1)) {
            lua_pop(lua, 1);
            return NULL;
        }
        if (!lua_isstring(lua, -1)) luaL_error(lua, "reader function must return a string");
        lua_replace(lua, 3);
    }
    const char *piece = lua_tolstring(lua, 3, length);
    bool is_led = !*is_begun && *length > 0 && *piece == LUA_SIGNATURE[0];
    *is_begun = true;
    if (is_led) {
        *length = 1;
        return " ";
    }
    /* It stays on the stack until the next is asked for. */
    lua_pushvalue(lua, 3);
    lua_replace(lua, 4);
    lua_pushnil(lua);
    lua_replace(lua, 3);
    return piece;
}

static int load_pieces(lua_State *lua) {
    const char *name = luaL_optstring(lua, 2, "=(load)");
    luaL_checktype(lua, 1, LUA_TFUNCTION);
    lua_settop(lua, 4); /* function, name, the next piece, the one before */
    lua_pushstring(lua, name);
    bool is_begun = false;
    int status = lua_load(lua, read_piece, &is_begun, name);
    script_stop_if_ended(lua);
    return loaded(lua, status);
}

/* A script may collect its garbage; the pace of collecting is the state's, which is everybody's. */
static int collect_garbage(lua_State *lua) {
    static const char *const words[] = {"stop", "restart",  "collect",    "count",
                                        "step", "setpause", "setstepmul", NULL};
    enum { STOP, RESTART, COLLECT, COUNT, STEP, SET_PAUSE, SET_STEP };
    int word = luaL_checkoption(lua, 1, "collect", words), size = luaL_optint(lua, 2, 0);
    size_t bytes = script_state_bytes(state_of(lua));
    switch (word) {
    case COUNT: lua_pushnumber(lua, (lua_Number)bytes / 1024); return 1;
    case STEP:
        script_step(lua, STEPS_A_TURN);
        lua_pushboolean(lua, lua_gc(lua, LUA_GCSTEP, size < 0 || size > 1024 ? 1024 : size));
        return 1;
    case COLLECT:
        script_step(lua, STEPS_A_TURN);
        script_expect(lua, bytes, COLLECTED_SHORT);
        lua_gc(lua, LUA_GCCOLLECT, 0);
        lua_pushinteger(lua, 0);
        return 1;
    case SET_PAUSE:
    case SET_STEP: lua_pushinteger(lua, 200); return 1;
    default: lua_pushinteger(lua, 0); return 1;
    }
}

static int kilobytes(lua_State *lua) {
    lua_pushinteger(lua, (lua_Integer)(script_state_bytes(state_of(lua)) / 1024));
    return 1;
}

/* ------------------------------------------------------------------ random numbers */

/* As in Redis: drand48's sequence, whose state is ours. */
static int random_number(lua_State *lua) {
    struct script_state *state = state_of(lua);
    lua_Number drawn = (lua_Number)(nrand48(state->random) % INT32_MAX) / (lua_Number)INT32_MAX;
    switch (lua_gettop(lua)) {
    case 0: lua_pushnumber(lua, drawn); return 1;
    case 1: {
        int most = luaL_checkint(lua, 1);
        luaL_argcheck(lua, 1 <= most, 1, "interval is empty");
        lua_pushnumber(lua, (lua_Number)(int64_t)(drawn * most) + 1);
        return 1;
    }
    case 2: {
        int64_t least = luaL_checkint(lua, 1), most = luaL_checkint(lua, 2);
        luaL_argcheck(lua, least <= most, 2, "interval is empty");
        lua_pushnumber(lua, (lua_Number)((int64_t)(drawn * (lua_Number)(most - least + 1)) + least));
        return 1;
    }
    default: return luaL_error(lua, "wrong number of arguments");
    }
}

static int random_seed(lua_State *lua) {
    uint32_t seed = (uint32_t)luaL_checkint(lua, 1);
    unsigned short *random = state_of(lua)->random;
    random[0] = 0x330E;
    random[1] = (unsigned short)(seed & 0xffff);
    random[2] = (unsigned short)(seed >> 16);
    return 0;
}

/* ------------------------------------------------------------------ putting it together */

static void open_library(lua_State *lua, lua_CFunction open, const char *name) {
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 0);
}

/* What Lua's library and others have, on top of the stack as the table of globals, becomes what scripts
 * may have. */
static void trim_globals(lua_State *lua) {
    static const char *const removed[] = {"dofile",  "loadfile", "print",   "newproxy", "getfenv",
                                          "setfenv", "module",   "require", "package",  NULL};
    static const luaL_Reg replaced[] = {{"rawget", raw_get},
                                        {"rawset", raw_set},
                                        {"setmetatable", set_metatable},
                                        {"next", next_field},
                                        {"getmetatable", get_metatable},
                                        {"unpack", unpack},
                                        {"pcall", protected_call},
                                        {"xpcall", handled_call},
                                        {"loadstring", load_string},
                                        {"load", load_pieces},
                                        {"gcinfo", kilobytes},
                                        {"collectgarbage", collect_garbage},
                                        {"__redis__err__handler", sandbox_error_handler},
                                        {NULL, NULL}};
    for (const char *const *name = removed; *name != NULL; name++) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, *name);
    }
    for (const luaL_Reg *function = replaced; function->name != NULL; function++) {
        lua_pushcfunction(lua, function->func);
        lua_setfield(lua, -2, function->name);
    }
    lua_getfield(lua, -1, "next");
    lua_pushcclosure(lua, all_pairs, 1);
    lua_setfield(lua, -2, "pairs");
}

static void replace_in(lua_State *lua, const char *library, const luaL_Reg *functions) {
    lua_getfield(lua, -1, library);
    for (; functions->name != NULL; functions++) {
        lua_pushcfunction(lua, functions->func);
        lua_setfield(lua, -2, functions->name);
    }
    lua_pop(lua, 1);
}

static void open_libraries(lua_State *lua) {
    static const luaL_Reg coroutines[] = {
        {"create", coroutine_create}, {"resume", coroutine_resume}, {"wrap", coroutine_wrap}, {NULL, NULL}};
    static const luaL_Reg randoms[] = {{"random", random_number}, {"randomseed", random_seed}, {NULL, NULL}};
    open_library(lua, luaopen_base, "");
    open_library(lua, luaopen_table, LUA_TABLIBNAME);
    open_library(lua, luaopen_string, LUA_STRLIBNAME);
    open_library(lua, luaopen_math, LUA_MATHLIBNAME);
    lua_pushvalue(lua, LUA_GLOBALSINDEX);
    trim_globals(lua);
    replace_in(lua, LUA_COLIBNAME, coroutines);
    replace_in(lua, LUA_MATHLIBNAME, randoms);
    lua_getfield(lua, -1, LUA_STRLIBNAME);
    strings_fill(lua);
    lua_pop(lua, 1);
    lua_getfield(lua, -1, LUA_TABLIBNAME);
    tables_fill(lua);
    lua_pop(lua, 1);
    lua_pop(lua, 1);
}

/* Every library in the table of globals on top of the stack becomes a proxy. */
static void protect_libraries(lua_State *lua) {
    static const char *const libraries[] = {LUA_TABLIBNAME, LUA_STRLIBNAME, LUA_MATHLIBNAME,
                                            LUA_COLIBNAME,  "cjson",        "cmsgpack",
                                            "struct",       "bit",          NULL};
    for (const char *const *name = libraries; *name != NULL; name++) {
        lua_getfield(lua, -1, *name);
        protect(lua, false);
        lua_setfield(lua, -2, *name);
    }
    /* Strings are looked up in the real library; a script that asks for their metatable sees the proxy in
     * it. */
    lua_createtable(lua, 0, 1);
    lua_getfield(lua, -2, LUA_STRLIBNAME);
    lua_setfield(lua, -2, "__index");
    protect(lua, false);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_STRING_META);
}

/* Pushes a copy of the table of globals on top of the stack. */
static void copy_globals(lua_State *lua) {
    lua_newtable(lua);
    lua_pushnil(lua);
    while (lua_next(lua, -3)) {
        lua_pushvalue(lua, -2);
        lua_insert(lua, -2);
        lua_rawset(lua, -4);
    }
}

/* The table of globals on top of the stack is left by its proxy, which is _G in it. */
static void protect_globals(lua_State *lua) {
    lua_pushvalue(lua, -1);
    require_fields(lua);
    lua_getmetatable(lua, -1);
    protect(lua, false);
    lua_insert(lua, -2);
    protect(lua, false);
    show_meta(lua);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -3, "_G");
    lua_remove(lua, -2);
}

/* Puts the table on top of the stack into the globals below it, as redis and by its other name. */
static void name_api(lua_State *lua) {
    protect(lua, false);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -3, "server");
    lua_setfield(lua, -2, "redis");
}

void sandbox_open(lua_State *lua) {
    lua_newtable(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_REAL);
    lua_newtable(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_SEEN_META);
    lua_pushcfunction(lua, sandbox_error_handler);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_HANDLER);
    open_libraries(lua);
    lua_pushvalue(lua, LUA_GLOBALSINDEX);
    json_push(lua);
    lua_setfield(lua, -2, "cjson");
    struct_push(lua);
    lua_setfield(lua, -2, "struct");
    message_pack_push(lua);
    lua_setfield(lua, -2, "cmsgpack");
    bit_push(lua);
    lua_setfield(lua, -2, "bit");
    protect_libraries(lua);

    /* What functions of libraries see: no error handler, no debugging; an empty table that stands for the
     * others. */
    copy_globals(lua);
    lua_pushnil(lua);
    lua_setfield(lua, -2, "__redis__err__handler");
    lua_newtable(lua);
    api_fill(lua);
    name_api(lua);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_FUNCTION_REAL);
    protect_globals(lua);
    lua_pop(lua, 1);
    lua_newtable(lua);
    protect(lua, true);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_FUNCTION);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_FUNCTION_REAL);
    lua_setfield(lua, -2, "__index");
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_FUNCTION_META);

    /* What a library sees while it loads: redis, and little of that. */
    lua_newtable(lua);
    lua_newtable(lua);
    api_fill_load(lua);
    require_fields(lua);
    name_api(lua);
    require_fields(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_LOAD_REAL);

    lua_newtable(lua);
    api_fill(lua);
    api_fill_script(lua);
    name_api(lua);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_SCRIPT_REAL);
    protect_globals(lua);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_SCRIPT);
}
