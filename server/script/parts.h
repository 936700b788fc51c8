/* What the room's files share: the state's fields, and Lua's headers. */
#ifndef SERVER_SCRIPT_PARTS_H
#define SERVER_SCRIPT_PARTS_H

#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <lua5.1/lualib.h>

#include <stdatomic.h>

#include "state.h"

/* Steps between two turns: instructions, comparisons, positions in a text that is matched. Some
 * microseconds. */
#define STEPS_A_TURN 2000
/* A block that Lua asks for, and so a string, is no longer: what counts in int, in Lua and in its
 * libraries, doesn't overflow then, not even where each byte becomes six. */
#define BLOCK_MOST ((size_t)256 << 20)

struct script_state {
    lua_State *lua;
    _Atomic size_t bytes; /* written by the state's thread only */
    size_t most;
    uint32_t steps; /* since the last turn */
    bool is_ended;  /* the host has said so: whatever runs is to come to its end */
    int ended_line;
    bool is_turning;
    bool wants_room;        /* garbage is to be collected at the next instruction */
    bool is_collecting;     /* and meanwhile the limit doesn't hold */
    bool is_unbounded;      /* nor, and no turn is taken, while what loses its memory by an error runs */
    bool has_json_settings; /* this run changed cjson's */
    lua_State *running;     /* the coroutine at hand */
    const struct script_run *run; /* under way, or NULL */
    int protocol;                 /* of what redis.call gives a script */
    unsigned short random[3], random_before[3];
    struct reply reply;     /* of the call at hand */
    struct bulk *arguments; /* likewise */
    uint32_t argument_capacity;
    size_t tidied;      /* bytes that were left by it */
    int globals;        /* enum registry: which of them Lua has at hand; 0: none yet */
    bool is_small_heap; /* as Lua's collector was told */
    /* While a library is loaded. */
    const char *(*registered)(void *context, const struct script_function *function);
};

/* Fixed places in the registry, which has functions by larger numbers (luaL_ref). */
enum registry {
    REGISTRY_REAL = 1,    /* a table: proxy -> what it stands for */
    REGISTRY_SEEN_META,   /* a table: proxy -> what getmetatable gives for it */
    REGISTRY_STRING_META, /* what getmetatable gives for a string */
    REGISTRY_KEYS,        /* the names of what a run is given */
    REGISTRY_ARGV,
    REGISTRY_EXECUTE,       /* what runs within each run's protected call, */
    REGISTRY_HANDLER,       /* its handler of errors, */
    REGISTRY_CONCLUDE,      /* and what runs after it, if anything is left to do */
    REGISTRY_SCRIPT,        /* the globals of scripts: a proxy, */
    REGISTRY_SCRIPT_REAL,   /* and what it stands for */
    REGISTRY_FUNCTION,      /* the globals of libraries: a proxy, */
    REGISTRY_FUNCTION_META, /* its metatable, */
    REGISTRY_FUNCTION_REAL, /* what it stands for while their functions run, */
    REGISTRY_LOAD_REAL,     /* and while they load */
    REGISTRY_JSON,          /* the library that cjson's functions call */
    REGISTRY_LAST = REGISTRY_JSON,
};

static inline struct script_state *state_of(lua_State *lua) {
    void *state;
    (void)lua_getallocf(lua, &state);
    return state;
}

/* Counts steps, and lets the host turn when it is time. Doesn't return if the run has ended. */
void script_step(lua_State *lua, uint32_t steps);
/* Doesn't return if the run has ended: for what has caught an error. */
void script_stop_if_ended(lua_State *lua);
/* What follows goes over so many bytes in one step: the run ends by an error if the host doesn't want it to
 * take as long as that here. */
void script_expect(lua_State *lua, size_t bytes, size_t most);
/* An error as redis.call raises it: {err = "ERR ..."}; `text` may begin with "-CODE ". Leaves the table on
 * the stack. */
void script_push_error(lua_State *lua, const char *text, size_t length);
int script_raise(lua_State *lua, const char *text) __attribute__((noreturn));
/* Compiles text, never bytecode. Lua's status, and the function or the message on the stack. */
int script_load_text(lua_State *lua, const char *text, size_t length, const char *name);

/* sandbox.c: fills the registry's places but those that state.c has functions for. */
void sandbox_open(lua_State *lua);
/* The value at an index, if it is a proxy, is replaced by what it stands for. True if it was one. */
bool sandbox_unveil(lua_State *lua, int index);
/* Errors become tables that tell where they came from: lua_pcall's handler. */
int sandbox_error_handler(lua_State *lua);
/* Doesn't return if the value at an index is read-only. */
void sandbox_check_writable(lua_State *lua, int index);

/* Each fills the table on top of the stack. */
void api_fill(lua_State *lua);        /* redis, as scripts and functions see it */
void api_fill_script(lua_State *lua); /* what only scripts see of it */
void api_fill_load(lua_State *lua);   /* what a library sees while it loads */
void strings_fill(lua_State *lua);    /* find, match, gmatch, gsub and rep, in steps */
void tables_fill(lua_State *lua);     /* insert, remove, sort and others, in steps */
/* Each pushes a library. */
void json_push(lua_State *lua);
void message_pack_push(lua_State *lua);
void struct_push(lua_State *lua);
void bit_push(lua_State *lua);

/* cjson's settings are again as they were at first. */
void json_reset(lua_State *lua);

/* convert.c: a whole reply becomes a value on the stack. */
void convert_to_lua(lua_State *lua, const struct reply *reply);
/* The value on top of the stack is written, and popped. protocol: as redis.setresp says, for booleans. */
void convert_from_lua(lua_State *lua, struct reply *reply, int protocol);

#endif
