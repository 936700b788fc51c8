#include "parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_KEPT 16384
#define ARGUMENTS_KEPT 16384
/* What a run may leave behind before it is collected at once. */
#define LEFT_MOST ((size_t)4 << 20)
/* A larger block takes about a millisecond to be filled. */
#define LARGE_MOST ((size_t)2 << 20)
/* Collected at a time: some hundred microseconds. */
#define STEP_KILOBYTES 256
/* Lua's collector begins anew when there is so much more than was left, in percent. What a small heap is left
 * with is mostly the libraries, and going over these again and again would take a script longer than the
 * garbage that it makes is worth. */
#define SMALL_HEAP ((size_t)1 << 20)
#define PAUSE_SMALL 400
#define PAUSE 200

void script_state_limit(struct script_state *state, size_t most) {
    state->most = most;
}

size_t script_state_bytes(const struct script_state *state) {
    return atomic_load_explicit(&state->bytes, memory_order_relaxed);
}

/* ------------------------------------------------------------------ turns */

int script_ended_line(const struct script_state *state) {
    return state->ended_line;
}

/* The line at which the innermost function of the script's text is. */
static int line_at_hand(lua_State *lua) {
    lua_Debug activation;
    for (int level = 0; lua_getstack(lua, level, &activation) != 0; level++)
        if (lua_getinfo(lua, "l", &activation) != 0 && activation.currentline > 0)
            return activation.currentline;
    return 0;
}

/* The host turns. True if the run has ended. The state is not entered meanwhile. */
static bool turn(struct script_state *state) {
    state->steps = 0;
    if (state->run == NULL || state->is_ended || state->is_turning) return state->is_ended;
    state->is_turning = true;
    state->is_ended = state->run->host->turn(state->run->context) == SCRIPT_ENDS;
    state->is_turning = false;
    if (state->is_ended) state->ended_line = line_at_hand(state->running);
    return state->is_ended;
}

void script_stop_if_ended(lua_State *lua) {
    if (!state_of(lua)->is_ended) return;
    lua_settop(lua, 0);
    lua_pushnil(lua); /* nobody sees it */
    lua_error(lua);
}

/* As turn, of what takes long in one step. */
static bool foresee(struct script_state *state) {
    if (state->run == NULL || state->is_ended || state->is_turning || state->run->host->before_long == NULL)
        return state->is_ended;
    state->is_turning = true;
    state->is_ended = state->run->host->before_long(state->run->context) == SCRIPT_ENDS;
    state->is_turning = false;
    return state->is_ended;
}

void script_expect(lua_State *lua, size_t bytes, size_t most) {
    if (bytes > most && foresee(state_of(lua))) script_stop_if_ended(lua);
}

void script_step(lua_State *lua, uint32_t steps) {
    struct script_state *state = state_of(lua);
    state->steps += steps;
    if (state->steps >= STEPS_A_TURN && turn(state)) script_stop_if_ended(lua);
}

/* Whether enough was allocated since garbage was last collected that collecting may be what helps. */
static bool is_crowded(const struct script_state *state) {
    size_t bytes = script_state_bytes(state);
    return bytes > state->most / 2 && bytes > state->tidied + state->most / 8;
}

/* Two rounds: what became garbage while the first was under way is found by the second. */
static void collect_within(lua_State *lua, struct script_state *state) {
    state->wants_room = false;
    state->is_collecting = true;
    for (int round = 0; round < 2 && is_crowded(state) && !state->is_ended; round++)
        while (lua_gc(lua, LUA_GCSTEP, STEP_KILOBYTES) == 0 && !turn(state)) {
        }
    state->is_collecting = false;
    state->tidied = script_state_bytes(state);
}

/* Lua's own count of instructions. A coroutine has its creator's hook. */
static void hook(lua_State *lua, lua_Debug *activation) {
    (void)activation;
    struct script_state *state = state_of(lua);
    if (state->wants_room) {
        collect_within(lua, state);
        lua_sethook(lua, hook, LUA_MASKCOUNT, STEPS_A_TURN);
    }
    if (turn(state)) {
        lua_pushnil(lua);
        lua_error(lua);
    }
}

/* ------------------------------------------------------------------ memory */

/* Lua's allocator. What is allocated counts as steps as well, so that no function of Lua's that makes
 * large strings runs long without a turn; a run that has ended is given nothing more, which ends that
 * function. */
static void *allocate(void *context, void *block, size_t old, size_t size) {
    struct script_state *state = context;
    size_t bytes = atomic_load_explicit(&state->bytes, memory_order_relaxed);
    if (size == 0) {
        free(block);
        atomic_store_explicit(&state->bytes, bytes - old, memory_order_relaxed);
        return NULL;
    }
    if (size > old) {
        /* What is refused counts as well: it was work to come to it. */
        state->steps += (uint32_t)((size - old < BLOCK_MOST ? size - old : BLOCK_MOST) / 64);
        if (state->steps >= 2 * STEPS_A_TURN && !state->is_unbounded && turn(state)) return NULL;
        bool is_large = size > LARGE_MOST && !state->is_unbounded && !state->is_collecting;
        if (is_large && foresee(state)) return NULL;
        bool is_over = size > BLOCK_MOST || bytes > state->most || size - old > state->most - bytes;
        if (is_over && !state->is_collecting && !state->is_unbounded) return NULL;
        /* Lua paces its collector by how many blocks it makes, not by how large they are, and collects
         * nothing when there is no more: so the next instruction does. */
        if (!state->wants_room && state->run != NULL && is_crowded(state)) {
            state->wants_room = true;
            lua_sethook(state->running, hook, LUA_MASKCOUNT, 1);
        }
    }
    void *moved = block == NULL ? malloc(size) : realloc(block, size);
    if (moved == NULL && size > old) return NULL;
    /* Lua takes for granted that shrinking can't fail: from here on it calls the block that small. */
    if (moved == NULL) moved = block;
    atomic_store_explicit(&state->bytes, bytes - old + size, memory_order_relaxed);
    return moved;
}

/* Collecting makes tables smaller, for which it allocates, and so may fail: then they stay as they are. */
static int collect_step(lua_State *lua) {
    bool *is_whole = lua_touserdata(lua, 1);
    *is_whole = lua_gc(lua, LUA_GCSTEP, STEP_KILOBYTES) != 0;
    return 0;
}

static int collect_all(lua_State *lua) {
    lua_gc(lua, LUA_GCCOLLECT, 0);
    return 0;
}

/* What it takes itself isn't held against the limit, or there would be no way back from there. */
static void collect(struct script_state *state, lua_CFunction how, void *argument) {
    state->is_collecting = true;
    (void)lua_cpcall(state->lua, how, argument);
    lua_settop(state->lua, 0);
    state->is_collecting = false;
}

bool script_state_tidy(struct script_state *state) {
    assert(state->run == NULL && "a state is tidied between runs");
    if (script_state_bytes(state) <= state->tidied + LEFT_MOST) return false;
    bool is_whole = true;
    collect(state, collect_step, &is_whole);
    if (is_whole) state->tidied = script_state_bytes(state);
    return !is_whole;
}

void script_state_litter(struct script_state *state) {
    state->tidied = 0;
}

static void make_room(struct script_state *state) {
    if (!is_crowded(state)) return;
    collect(state, collect_all, NULL);
    state->tidied = script_state_bytes(state);
}

/* ------------------------------------------------------------------ a state */

static int execute(lua_State *lua), conclude(lua_State *lua);

static int open_state(lua_State *lua) {
    for (int i = 1; i <= REGISTRY_LAST; i++) {
        lua_pushboolean(lua, 0);
        int place = luaL_ref(lua, LUA_REGISTRYINDEX);
        assert(place == i && "a new registry's places are counted from 1");
        (void)place;
    }
    lua_pushcfunction(lua, execute);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_EXECUTE);
    lua_pushcfunction(lua, conclude);
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_CONCLUDE);
    lua_pushliteral(lua, "KEYS");
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_KEYS);
    lua_pushliteral(lua, "ARGV");
    lua_rawseti(lua, LUA_REGISTRYINDEX, REGISTRY_ARGV);
    sandbox_open(lua);
    return 0;
}

struct script_state *script_state_create(size_t most, uint64_t seed) {
    struct script_state *state = calloc(1, sizeof *state);
    if (state == NULL) return NULL;
    state->most = most;
    memcpy(state->random, &seed, sizeof state->random);
    memcpy(state->random_before, state->random, sizeof state->random);
    reply_init(&state->reply, 2);
    state->lua = lua_newstate(allocate, state);
    if (state->lua == NULL || lua_cpcall(state->lua, open_state, NULL) != 0) {
        script_state_free(state);
        return NULL;
    }
    lua_sethook(state->lua, hook, LUA_MASKCOUNT, STEPS_A_TURN);
    state->tidied = script_state_bytes(state);
    return state;
}

void script_state_free(struct script_state *state) {
    if (state->lua != NULL) lua_close(state->lua);
    assert(script_state_bytes(state) == 0 && "Lua gives back all that it took");
    reply_free(&state->reply);
    free(state->arguments);
    free(state);
}

void script_rewind(struct script_state *state) {
    memcpy(state->random, state->random_before, sizeof state->random);
}

/* ------------------------------------------------------------------ compiling */

struct text {
    const char *data;
    size_t length;
    bool is_led; /* a blank was put before it */
};

/* Text that begins like bytecode is led by a blank, so that it is taken for the text that it isn't. */
static const char *read_text(lua_State *lua, void *context, size_t *length) {
    (void)lua;
    struct text *text = context;
    if (!text->is_led) {
        text->is_led = true;
        if (text->length > 0 && text->data[0] == LUA_SIGNATURE[0]) {
            *length = 1;
            return " ";
        }
    }
    *length = text->length;
    text->length = 0;
    return text->data;
}

int script_load_text(lua_State *lua, const char *text, size_t length, const char *name) {
    /* Lua's parser makes a string of the name and has it nowhere where the collector would see it: so it
     * stays here. */
    lua_pushstring(lua, name);
    struct text source = {text, length, false};
    int status = lua_load(lua, read_text, &source, name);
    lua_remove(lua, -2);
    return status;
}

static void use_globals(lua_State *lua, int globals) {
    struct script_state *state = state_of(lua);
    if (state->globals == globals) return;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, globals);
    lua_replace(lua, LUA_GLOBALSINDEX);
    state->globals = globals;
}

struct compilation {
    const char *text;
    size_t length;
    int function;
    char *error;
    size_t error_size;
};

static void note_error(lua_State *lua, const char *before, char *error, size_t size) {
    const char *message = lua_tostring(lua, -1);
    snprintf(error, size, "%s%s", before, message == NULL ? "not enough memory" : message);
}

static int compile(lua_State *lua) {
    struct compilation *compilation = lua_touserdata(lua, 1);
    use_globals(lua, REGISTRY_SCRIPT);
    if (script_load_text(lua, compilation->text, compilation->length, "@user_script") != 0)
        note_error(lua, "", compilation->error, compilation->error_size);
    else
        compilation->function = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

int script_compile(struct script_state *state, const char *text, size_t length, char *error,
                   size_t error_size) {
    assert(state->run == NULL && "nothing is compiled within a run");
    struct compilation compilation = {text, length, 0, error, error_size};
    make_room(state);
    if (lua_cpcall(state->lua, compile, &compilation) != 0) {
        note_error(state->lua, "", error, error_size);
        lua_settop(state->lua, 0);
        return 0;
    }
    return compilation.function;
}

void script_forget(struct script_state *state, int function) {
    assert(function > REGISTRY_LAST && "a function that was compiled");
    /* luaL_unref may allocate, and there is nobody here to catch the error of one that fails. luaL_ref is
     * content with a hole: with no list of its own it takes a place that is empty. */
    lua_pushnil(state->lua);
    lua_rawseti(state->lua, LUA_REGISTRYINDEX, function);
}

/* ------------------------------------------------------------------ a run */

struct execution {
    int function;
    struct reply *reply;
    bool is_in_script; /* its text runs: what is raised is an error of the script's */
};

static void push_bulks(lua_State *lua, const struct bulk *bulks, uint32_t count) {
    lua_createtable(lua, (int)count, 0);
    for (uint32_t i = 0; i < count; i++) {
        lua_pushlstring(lua, bulks[i].data, bulks[i].length);
        lua_rawseti(lua, -2, (int)i + 1);
    }
}

/* A function is given its keys and arguments, a script has them as globals. */
static int push_arguments(lua_State *lua, const struct script_run *run) {
    use_globals(lua, run->is_function ? REGISTRY_FUNCTION : REGISTRY_SCRIPT);
    if (run->is_function) {
        push_bulks(lua, run->keys, run->key_count);
        push_bulks(lua, run->arguments, run->argument_count);
        return 2;
    }
    /* By names that are strings of Lua's already: making one takes longer than the rest. */
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_SCRIPT_REAL);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_KEYS);
    push_bulks(lua, run->keys, run->key_count);
    lua_rawset(lua, -3);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_ARGV);
    push_bulks(lua, run->arguments, run->argument_count);
    lua_rawset(lua, -3);
    lua_pop(lua, 1);
    return 0;
}

/* What a run was given isn't kept if it is much; else the next one's takes its place. */
static bool is_much(const struct script_run *run) {
    size_t bytes = ((size_t)run->key_count + run->argument_count) * sizeof(struct bulk);
    for (uint32_t i = 0; i < run->key_count && bytes <= ARGUMENTS_KEPT; i++) bytes += run->keys[i].length;
    for (uint32_t i = 0; i < run->argument_count && bytes <= ARGUMENTS_KEPT; i++)
        bytes += run->arguments[i].length;
    return bytes > ARGUMENTS_KEPT;
}

static void drop_arguments(lua_State *lua) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_SCRIPT_REAL);
    lua_pushnil(lua);
    lua_setfield(lua, -2, "KEYS");
    lua_pushnil(lua);
    lua_setfield(lua, -2, "ARGV");
    lua_pop(lua, 1);
}

/* A field of the error at 1, as text that stays on the stack; NULL if it has no such field. */
static const char *error_field(lua_State *lua, const char *name) {
    lua_pushstring(lua, name);
    lua_rawget(lua, 1);
    return lua_isstring(lua, -1) ? lua_tostring(lua, -1) : NULL;
}

/* Only the error on the stack, at 1. An error that a command gave was counted when it was given. */
static void write_error(lua_State *lua, struct reply *reply, const char *name) {
    if (!lua_istable(lua, 1)) {
        const char *message = lua_isstring(lua, 1) ? lua_tostring(lua, 1) : "execution failure";
        reply_error_format(reply, "ERR Error running script %s, %.100s", name, message);
        return;
    }
    const char *message = error_field(lua, "err"), *source = error_field(lua, "source"),
               *line = error_field(lua, "line");
    lua_pushliteral(lua, "ignore_error_stats_update");
    lua_rawget(lua, 1);
    bool is_counted = lua_toboolean(lua, -1) != 0;
    struct reply before = *reply;
    if (message == NULL) message = "ERR unknown error";
    if (source != NULL && line != NULL)
        reply_error_format(reply, "%s script: %s, on %s:%s.", message, name, source, line);
    else
        reply_error(reply, message);
    if (!is_counted) return;
    reply->error_count = before.error_count;
    memcpy(reply->error_code, before.error_code, sizeof reply->error_code);
}

static void reset_json(lua_State *lua, struct script_state *state) {
    if (!state->has_json_settings) return;
    json_reset(lua);
    state->has_json_settings = false;
}

static int execute(lua_State *lua) {
    struct execution *execution = lua_touserdata(lua, 1);
    struct script_state *state = state_of(lua);
    lua_settop(lua, 0);
    reset_json(lua, state); /* there may have been no memory for it when the last run ended */
    lua_rawgeti(lua, LUA_REGISTRYINDEX, execution->function);
    int count = push_arguments(lua, state->run);
    execution->is_in_script = true;
    lua_call(lua, count, 1);
    execution->is_in_script = false;
    if (!state->is_ended) convert_from_lua(lua, execution->reply, state->protocol);
    return 0;
}

/* Of few runs. The error is behind the execution, if the script has raised one. */
static int conclude(lua_State *lua) {
    struct execution *execution = lua_touserdata(lua, 1);
    struct script_state *state = state_of(lua);
    lua_remove(lua, 1);
    if (!state->run->is_function && is_much(state->run)) drop_arguments(lua);
    reset_json(lua, state);
    if (execution->is_in_script && !state->is_ended) write_error(lua, execution->reply, state->run->name);
    return 0;
}

/* In a protected call of its own: it makes strings, and there may be no memory for them. */
static int conclude_protected(lua_State *lua, struct execution *execution, bool has_error) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_CONCLUDE);
    lua_pushlightuserdata(lua, execution);
    if (has_error) lua_pushvalue(lua, -3);
    return lua_pcall(lua, has_error ? 2 : 1, 0, 0);
}

static void pace_collector(struct script_state *state) {
    bool is_small = script_state_bytes(state) < SMALL_HEAP;
    if (is_small == state->is_small_heap) return;
    state->is_small_heap = is_small;
    lua_gc(state->lua, LUA_GCSETPAUSE, is_small ? PAUSE_SMALL : PAUSE);
}

enum script_outcome script_run(struct script_state *state, int function, const struct script_run *run,
                               struct reply *reply) {
    assert(state->run == NULL && "a run isn't entered while another is under way in its state");
    assert(function > REGISTRY_LAST && "a function that was compiled");
    size_t mark = reply_mark(reply);
    struct execution execution = {function, reply, false};
    make_room(state);
    size_t tidied = state->tidied;
    memcpy(state->random_before, state->random, sizeof state->random);
    state->protocol = 2;
    state->steps = 0;
    state->is_ended = false;
    state->running = state->lua;
    state->run = run;
    lua_rawgeti(state->lua, LUA_REGISTRYINDEX, REGISTRY_HANDLER);
    lua_rawgeti(state->lua, LUA_REGISTRYINDEX, REGISTRY_EXECUTE);
    lua_pushlightuserdata(state->lua, &execution);
    int status = lua_pcall(state->lua, 1, 0, 1);
    bool has_error = status != 0 && execution.is_in_script;
    if (has_error || state->has_json_settings || (!run->is_function && is_much(run))) {
        int concluded = conclude_protected(state->lua, &execution, has_error);
        if (has_error || concluded != 0) status = concluded;
    }
    pace_collector(state);
    state->run = NULL;
    state->wants_room = false;
    if (state->tidied > tidied) state->tidied = tidied; /* what was alive within the run isn't any more */
    bool is_ended = state->is_ended;
    state->is_ended = false;
    lua_settop(state->lua, 0);
    reply_clear(&state->reply, REPLY_KEPT);
    if (is_ended || status != 0) reply_truncate(reply, mark);
    if (is_ended) return SCRIPT_ENDED;
    if (status == 0) return SCRIPT_DONE;
    /* Its arguments or its answer took more than there is. */
    reply_error_format(reply, "ERR Error running script %s, not enough memory", run->name);
    return SCRIPT_DONE;
}

/* ------------------------------------------------------------------ a library */

/* A library's text and its functions have the same globals, which stand for less while it loads. */
static void choose_globals(lua_State *lua, int real) {
    lua_rawgeti(lua, LUA_REGISTRYINDEX, REGISTRY_FUNCTION_META);
    lua_rawgeti(lua, LUA_REGISTRYINDEX, real);
    lua_setfield(lua, -2, "__index");
    lua_pop(lua, 1);
}

static int load_library(lua_State *lua) {
    struct compilation *library = lua_touserdata(lua, 1);
    lua_settop(lua, 0);
    choose_globals(lua, REGISTRY_LOAD_REAL);
    use_globals(lua, REGISTRY_FUNCTION);
    if (script_load_text(lua, library->text, library->length, "@user_function") != 0) {
        note_error(lua, "Error compiling function: ", library->error, library->error_size);
        return 0;
    }
    int status = lua_pcall(lua, 0, 0, 0);
    if (state_of(lua)->is_ended) return 0;
    if (status == 0) {
        library->function = 1;
        return 0;
    }
    bool is_text = lua_isstring(lua, -1) != 0;
    if (lua_istable(lua, -1)) {
        lua_pushliteral(lua, "err");
        lua_rawget(lua, -2);
    }
    note_error(lua, is_text ? "Error registering functions: ERR " : "Error registering functions: ",
               library->error, library->error_size);
    return 0;
}

bool script_load_library(struct script_state *state, const char *text, size_t length,
                         const struct script_run *run,
                         const char *(*registered)(void *context, const struct script_function *function),
                         char *error, size_t error_size) {
    assert(state->run == NULL && "a library isn't loaded while a run is under way in its state");
    struct compilation library = {text, length, 0, error, error_size};
    make_room(state);
    memcpy(state->random_before, state->random, sizeof state->random);
    state->steps = 0;
    state->is_ended = false;
    state->registered = registered;
    state->running = state->lua;
    state->run = run;
    int status = lua_cpcall(state->lua, load_library, &library);
    choose_globals(state->lua, REGISTRY_FUNCTION_REAL);
    state->run = NULL;
    state->registered = NULL;
    if (status != 0) note_error(state->lua, "Error registering functions: ", error, error_size);
    if (state->is_ended)
        snprintf(error, error_size, "Error registering functions: ERR FUNCTION LOAD timeout");
    bool is_loaded = status == 0 && !state->is_ended && library.function != 0;
    state->is_ended = false;
    lua_settop(state->lua, 0);
    return is_loaded;
}
