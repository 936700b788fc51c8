/* redis.*: what a script can ask the server for. Valkey's name for the same table is server. */
#include "parts.h"

#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shebang.h"
#include "server/base/log.h"
#include "server/base/version.h"
#include "shard/base/number.h"

#define NUMBER_BYTES 64
/* So many bytes are hashed in about a millisecond. */
#define HASHED_SHORT ((size_t)512 << 10)

/* ------------------------------------------------------------------ errors */

int script_raise(lua_State *lua, const char *text) {
    script_push_error(lua, text, strlen(text));
    lua_error(lua);
    abort(); /* lua_error doesn't return, but doesn't say so */
}

/* ------------------------------------------------------------------ commands */

/* A number as redis.call gives it on: with all its digits if it is an integer, else in the shortest form. */
static size_t write_number(char *out, lua_Number number) {
    if (fabs(number) <= 0x1p62 && (lua_Number)(int64_t)number == number)
        return number_format(out, (int64_t)number);
    if (isnan(number) && signbit(number)) *out++ = '-';
    return reply_double_format(out, NUMBER_BYTES - 1, number) + (isnan(number) && signbit(number) ? 1 : 0);
}

static bool has_room(struct script_state *state, uint32_t count) {
    if (count <= state->argument_capacity) return true;
    struct bulk *arguments = realloc(state->arguments, count * sizeof *arguments);
    if (arguments == NULL) return false;
    state->arguments = arguments;
    state->argument_capacity = count;
    return true;
}

/* Makes arguments of all that is on the stack, where it stays. Returns NULL, or what is wrong. */
static const char *take_arguments(lua_State *lua, uint32_t *count) {
    struct script_state *state = state_of(lua);
    int top = lua_gettop(lua);
    if (top == 0) return "Please specify at least one argument for this redis lib call";
    if (!has_room(state, (uint32_t)top)) return "not enough memory";
    for (int i = 1; i <= top; i++) {
        struct bulk *bulk = &state->arguments[i - 1];
        if (lua_type(lua, i) == LUA_TNUMBER) {
            char text[NUMBER_BYTES];
            lua_pushlstring(lua, text, write_number(text, lua_tonumber(lua, i)));
            lua_replace(lua, i);
        } else if (lua_type(lua, i) != LUA_TSTRING) {
            return "Lua redis lib command arguments must be strings or integers";
        }
        *bulk = (struct bulk){.data = (char *)(uintptr_t)lua_tolstring(lua, i, &bulk->length)};
        bulk->length = lua_objlen(lua, i);
    }
    *count = (uint32_t)top;
    return NULL;
}

static int call_command(lua_State *lua, bool raises) {
    struct script_state *state = state_of(lua);
    uint32_t count;
    const char *wrong = take_arguments(lua, &count);
    if (wrong != NULL) {
        if (raises) return script_raise(lua, wrong);
        script_push_error(lua, wrong, strlen(wrong));
        return 1;
    }
    struct reply *reply = &state->reply;
    reply_clear(reply, reply->capacity);
    reply->protocol = state->protocol;
    state->is_ended =
        state->run->host->call(state->run->context, state->arguments, count, reply) == SCRIPT_ENDS;
    script_stop_if_ended(lua);
    lua_settop(lua, 0);
    if (reply->is_broken) return luaL_error(lua, "not enough memory");
    convert_to_lua(lua, reply);
    if (raises && reply->data[0] == '-') return lua_error(lua);
    return 1;
}

static int call(lua_State *lua) {
    return call_command(lua, true);
}

static int protected_call(lua_State *lua) {
    return call_command(lua, false);
}

static int may_run(lua_State *lua) {
    struct script_state *state = state_of(lua);
    uint32_t count;
    const char *wrong = take_arguments(lua, &count);
    if (wrong != NULL) return script_raise(lua, wrong);
    int answer = state->run->host->may_run(state->run->context, state->arguments, count);
    if (answer < 0) return script_raise(lua, "Invalid command passed to redis.acl_check_cmd()");
    lua_pushboolean(lua, answer);
    return 1;
}

/* ------------------------------------------------------------------ replies */

static bool is_one_text(lua_State *lua) {
    if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) return true;
    script_push_error(lua, "wrong number or type of arguments", strlen("wrong number or type of arguments"));
    return false;
}

/* The code is what stands before the first blank; without one it is ERR. */
static int error_reply(lua_State *lua) {
    if (!is_one_text(lua)) return 1;
    if (*lua_tostring(lua, 1) != '-') {
        lua_pushliteral(lua, "-");
        lua_insert(lua, 1);
        lua_concat(lua, 2);
    }
    const char *text = lua_tostring(lua, 1);
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\r' || text[length - 1] == '\n')) length--;
    script_push_error(lua, text, length);
    return 1;
}

static int status_reply(lua_State *lua) {
    if (!is_one_text(lua)) return 1;
    lua_createtable(lua, 0, 1);
    lua_pushvalue(lua, 1);
    lua_setfield(lua, -2, "ok");
    return 1;
}

static int set_protocol(lua_State *lua) {
    if (lua_gettop(lua) != 1) return script_raise(lua, "redis.setresp() requires one argument.");
    lua_Number protocol = lua_tonumber(lua, 1);
    if (protocol < 2 || protocol >= 4) return script_raise(lua, "RESP version must be 2 or 3.");
    state_of(lua)->protocol = (int)protocol;
    return 0;
}

/* ------------------------------------------------------------------ the rest */

static int sha1_hex(lua_State *lua) {
    if (lua_gettop(lua) != 1) return script_raise(lua, "wrong number of arguments");
    size_t length = 0;
    const char *text = lua_tolstring(lua, 1, &length);
    script_expect(lua, length, HASHED_SHORT);
    unsigned char digest[SHA_DIGEST_LENGTH];
    char hex[2 * SHA_DIGEST_LENGTH];
    if (SHA1((const unsigned char *)(text == NULL ? "" : text), length, digest) == NULL)
        return luaL_error(lua, "not enough memory");
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    lua_pushlstring(lua, hex, sizeof hex);
    return 1;
}

/* Joins the texts among its arguments with blanks. */
static int write_log(lua_State *lua) {
    struct script_state *state = state_of(lua);
    int count = lua_gettop(lua);
    if (count < 2) return script_raise(lua, "redis.log() requires two arguments or more.");
    if (!lua_isnumber(lua, 1)) return script_raise(lua, "First argument must be a number (log level).");
    lua_Number level = lua_tonumber(lua, 1);
    if (!(level > LOG_DEBUG - 1 && level < LOG_WARNING + 1)) return script_raise(lua, "Invalid debug level.");
    luaL_Buffer buffer;
    luaL_buffinit(lua, &buffer);
    for (int i = 2; i <= count; i++) {
        if (!lua_isstring(lua, i)) continue;
        if (i > 2) luaL_addchar(&buffer, ' ');
        lua_pushvalue(lua, i);
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    size_t length;
    const char *text = lua_tolstring(lua, -1, &length);
    if (state->run->host->log != NULL) state->run->host->log(state->run->context, (int)level, text, length);
    return 0;
}

static int set_replication(lua_State *lua) {
    struct script_state *state = state_of(lua);
    if (lua_gettop(lua) != 1) return script_raise(lua, "redis.set_repl() requires one argument.");
    lua_Number flags = lua_tonumber(lua, 1);
    if (!(flags > -1 && flags < (SCRIPT_REPL_AOF | SCRIPT_REPL_REPLICA) + 1))
        return script_raise(lua,
                            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    const struct script_host *host = state->run->host;
    if (host->set_replication != NULL) host->set_replication(state->run->context, (int)flags);
    return 0;
}

static int answer_true(lua_State *lua) {
    lua_pushboolean(lua, 1);
    return 1;
}

/* There is no debugger. */
static int answer_false(lua_State *lua) {
    lua_pushboolean(lua, 0);
    return 1;
}

static int answer_nothing(lua_State *lua) {
    (void)lua;
    return 0;
}

/* ------------------------------------------------------------------ a library's functions */

#define REGISTER "redis.register_function"

static bool read_flags(lua_State *lua, uint32_t *flags) {
    for (int i = 1;; i++) {
        lua_rawgeti(lua, -1, i);
        if (lua_isnil(lua, -1)) break;
        if (!lua_isstring(lua, -1) || !flags_add(flags, lua_tostring(lua, -1), lua_objlen(lua, -1))) {
            lua_pop(lua, 1);
            return false;
        }
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
    return true;
}

/* Where the named arguments stand while they are read. A text that was a number is in no table. */
enum { CALLBACK = 2, NAME, DESCRIPTION };

static const char *keep_text(lua_State *lua, int place, size_t *length) {
    if (!lua_isstring(lua, -1)) return NULL;
    lua_pushvalue(lua, -1);
    lua_replace(lua, place);
    return lua_tolstring(lua, place, length);
}

/* One field of the table of named arguments: its name and value are on top of the stack. */
static const char *read_named(lua_State *lua, struct script_function *function) {
    if (!lua_isstring(lua, -2)) return "named argument key given to " REGISTER " is not a string";
    lua_pushvalue(lua, -2); /* a number that becomes a text here isn't the table's key, which goes on */
    const char *name = lua_tostring(lua, -1);
    bool is_name = strcasecmp(name, "function_name") == 0,
         is_description = strcasecmp(name, "description") == 0,
         is_callback = strcasecmp(name, "callback") == 0, is_flags = strcasecmp(name, "flags") == 0;
    lua_pop(lua, 1);
    if (is_name) {
        function->name = keep_text(lua, NAME, &function->name_length);
        if (function->name == NULL) return "function_name argument given to " REGISTER " must be a string";
    } else if (is_description) {
        function->description = keep_text(lua, DESCRIPTION, &function->description_length);
        if (function->description == NULL)
            return "description argument given to " REGISTER " must be a string";
    } else if (is_callback) {
        if (!lua_isfunction(lua, -1)) return "callback argument given to " REGISTER " must be a function";
        lua_pushvalue(lua, -1);
        lua_replace(lua, CALLBACK);
    } else if (is_flags) {
        if (!lua_istable(lua, -1))
            return "flags argument to " REGISTER " must be a table representing function flags";
        if (!read_flags(lua, &function->flags)) return "unknown flag given";
    } else {
        return "unknown argument given to " REGISTER;
    }
    return NULL;
}

static const char *read_table(lua_State *lua, struct script_function *function) {
    if (!lua_istable(lua, 1))
        return "calling " REGISTER
               " with a single argument is only applicable to Lua table (representing named arguments).";
    lua_settop(lua, DESCRIPTION);
    lua_pushnil(lua);
    while (lua_next(lua, 1)) {
        const char *wrong = read_named(lua, function);
        if (wrong != NULL) return wrong;
        lua_pop(lua, 1);
    }
    if (function->name == NULL) return REGISTER " must get a function name argument";
    if (lua_isnil(lua, CALLBACK)) return REGISTER " must get a callback argument";
    return NULL;
}

static int register_function(lua_State *lua) {
    struct script_state *state = state_of(lua);
    struct script_function function = {0};
    const char *wrong = NULL;
    int count = lua_gettop(lua);
    if (state->registered == NULL)
        return script_raise(lua, REGISTER " can only be called on FUNCTION LOAD command");
    if (count < 1 || count > 2) return script_raise(lua, "wrong number of arguments to " REGISTER);
    if (count == 1) {
        wrong = read_table(lua, &function);
    } else if (!lua_isstring(lua, 1)) {
        wrong = "first argument to " REGISTER " must be a string";
    } else if (!lua_isfunction(lua, CALLBACK)) {
        wrong = "second argument to " REGISTER " must be a function";
    } else {
        function.name = lua_tolstring(lua, 1, &function.name_length);
    }
    if (wrong != NULL) return script_raise(lua, wrong);
    lua_pushvalue(lua, CALLBACK);
    function.function = luaL_ref(lua, LUA_REGISTRYINDEX);
    wrong = state->registered(state->run->context, &function);
    if (wrong == NULL) return 0;
    script_forget(state, function.function);
    return script_raise(lua, wrong);
}

/* ------------------------------------------------------------------ tables of them */

static void set_number(lua_State *lua, const char *name, int value) {
    lua_pushinteger(lua, value);
    lua_setfield(lua, -2, name);
}

static void fill_log(lua_State *lua) {
    lua_pushcfunction(lua, write_log);
    lua_setfield(lua, -2, "log");
    set_number(lua, "LOG_DEBUG", LOG_DEBUG);
    set_number(lua, "LOG_VERBOSE", LOG_VERBOSE);
    set_number(lua, "LOG_NOTICE", LOG_NOTICE);
    set_number(lua, "LOG_WARNING", LOG_WARNING);
}

static void fill_version(lua_State *lua) {
    int major = 0, minor = 0, patch = 0;
    sscanf(REDIS_VERSION, "%d.%d.%d", &major, &minor, &patch);
    set_number(lua, "REDIS_VERSION_NUM", major << 16 | minor << 8 | patch);
    lua_pushliteral(lua, REDIS_VERSION);
    lua_setfield(lua, -2, "REDIS_VERSION");
}

void api_fill(lua_State *lua) {
    static const luaL_Reg calls[] = {{"call", call}, {"pcall", protected_call}, {NULL, NULL}};
    static const luaL_Reg others[] = {{"setresp", set_protocol},     {"sha1hex", sha1_hex},
                                      {"error_reply", error_reply},  {"status_reply", status_reply},
                                      {"set_repl", set_replication}, {NULL, NULL}};
    luaL_register(lua, NULL, calls);
    fill_log(lua);
    fill_version(lua);
    luaL_register(lua, NULL, others);
    set_number(lua, "REPL_NONE", 0);
    set_number(lua, "REPL_AOF", SCRIPT_REPL_AOF);
    set_number(lua, "REPL_SLAVE", SCRIPT_REPL_REPLICA);
    set_number(lua, "REPL_REPLICA", SCRIPT_REPL_REPLICA);
    set_number(lua, "REPL_ALL", SCRIPT_REPL_AOF | SCRIPT_REPL_REPLICA);
    lua_pushcfunction(lua, may_run);
    lua_setfield(lua, -2, "acl_check_cmd");
}

void api_fill_script(lua_State *lua) {
    static const luaL_Reg functions[] = {{"breakpoint", answer_false},
                                         {"debug", answer_nothing},
                                         {"replicate_commands", answer_true},
                                         {NULL, NULL}};
    luaL_register(lua, NULL, functions);
}

void api_fill_load(lua_State *lua) {
    lua_pushcfunction(lua, register_function);
    lua_setfield(lua, -2, "register_function");
    fill_log(lua);
    fill_version(lua);
}
