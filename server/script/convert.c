/* Values between Lua and RESP, as Redis 7.2 converts them: what a command answered becomes what redis.call
 * gives; what a script returns becomes its reply. How deep they may be nested is what Lua's stack holds. */
#include "parts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/number.h"

/* ------------------------------------------------------------------ to Lua */

/* A reply is read from its buffer, and where a value is only referred to, from there. */
struct source {
    lua_State *lua;
    const struct reply *reply;
    size_t at;
    uint32_t reference;
};

/* The line at hand, without its kind and its end. */
static const char *read_line(struct source *source, size_t *length) {
    const char *line = source->reply->data + source->at;
    const char *end = memchr(line, '\r', source->reply->length - source->at);
    assert(end != NULL && "a reply is whole");
    source->at = (size_t)(end - source->reply->data) + 2;
    *length = (size_t)(end - line);
    return line;
}

static int64_t read_number(struct source *source) {
    size_t length;
    int64_t number = 0;
    const char *line = read_line(source, &length);
    bool is_number = number_parse(line, length, &number);
    assert(is_number && "a reply is well-formed");
    (void)is_number;
    return number;
}

/* strtod wants a text that ends. */
static double double_of(const char *line, size_t length) {
    char text[64];
    size_t copied = length < sizeof text ? length : sizeof text - 1;
    memcpy(text, line, copied);
    text[copied] = '\0';
    return strtod(text, NULL);
}

static const char *read_bytes(struct source *source, size_t length) {
    const struct reply *reply = source->reply;
    const char *bytes = reply->data + source->at;
    if (source->reference < reply->reference_count &&
        reply->references[source->reference].offset == source->at)
        bytes = reply->references[source->reference++].data;
    else
        source->at += length;
    source->at += 2;
    return bytes;
}

static void read_value(struct source *source);

static void read_values(struct source *source, int64_t count) {
    while (count-- > 0) read_value(source);
}

static void room(lua_State *lua, int count) {
    if (!lua_checkstack(lua, count)) luaL_error(lua, "reached lua stack limit");
}

/* A table with one field, whose value is on top of the stack, takes its place. */
static void wrap(lua_State *lua, const char *name) {
    lua_createtable(lua, 0, 1);
    lua_insert(lua, -2);
    lua_setfield(lua, -2, name);
}

static void read_array(struct source *source, int64_t count) {
    lua_State *lua = source->lua;
    lua_createtable(lua, (int)count, 0);
    for (int64_t i = 1; i <= count; i++) {
        read_value(source);
        lua_rawseti(lua, -2, (int)i);
    }
}

/* Elements, or names and values; what can't be a table's key (null, nan) isn't there. */
static void read_fields(struct source *source, int64_t count, bool is_map) {
    lua_State *lua = source->lua;
    lua_newtable(lua);
    for (int64_t i = 0; i < count; i++) {
        read_value(source);
        if (is_map)
            read_value(source);
        else
            lua_pushboolean(lua, 1);
        if (lua_isnil(lua, -2))
            lua_pop(lua, 2);
        else
            lua_rawset(lua, -3);
    }
    wrap(lua, is_map ? "map" : "set");
}

static void read_verbatim(struct source *source, size_t length) {
    const char *bytes = read_bytes(source, length);
    lua_State *lua = source->lua;
    lua_createtable(lua, 0, 2);
    lua_pushlstring(lua, bytes + 4, length - 4);
    lua_setfield(lua, -2, "string");
    lua_pushlstring(lua, bytes, 3);
    lua_setfield(lua, -2, "format");
    wrap(lua, "verbatim_string");
}

static void read_error(struct source *source) {
    size_t length;
    const char *line = read_line(source, &length);
    lua_State *lua = source->lua;
    script_push_error(lua, line - 1, length + 1);
    lua_pushboolean(lua, 1);
    lua_setfield(lua, -2, "ignore_error_stats_update");
}

static void read_aggregate(struct source *source, char kind, int64_t count) {
    room(source->lua, 8);
    switch (kind) {
    case '*':
        if (count < 0)
            lua_pushboolean(source->lua, 0);
        else
            read_array(source, count);
        break;
    case '%': read_fields(source, count, true); break;
    default: read_fields(source, count, false); break;
    }
}

static void read_value(struct source *source) {
    lua_State *lua = source->lua;
    const char *line;
    size_t length;
    int64_t number;
    char kind = source->reply->data[source->at++];
    room(lua, 8);
    switch (kind) {
    case ':': lua_pushnumber(lua, (lua_Number)read_number(source)); break;
    case '$':
        number = read_number(source);
        if (number < 0)
            lua_pushboolean(lua, 0);
        else
            lua_pushlstring(lua, read_bytes(source, (size_t)number), (size_t)number);
        break;
    case '+':
        line = read_line(source, &length);
        lua_pushlstring(lua, line, length);
        wrap(lua, "ok");
        break;
    case '-': read_error(source); break;
    case '_':
        (void)read_line(source, &length);
        lua_pushnil(lua);
        break;
    case '#':
        line = read_line(source, &length);
        lua_pushboolean(lua, *line == 't');
        break;
    case ',':
        line = read_line(source, &length);
        lua_pushnumber(lua, double_of(line, length));
        wrap(lua, "double");
        break;
    case '(':
        line = read_line(source, &length);
        lua_pushlstring(lua, line, length);
        wrap(lua, "big_number");
        break;
    case '=': read_verbatim(source, (size_t)read_number(source)); break;
    case '|': { /* attributes aren't for scripts */
        int top = lua_gettop(lua);
        read_values(source, 2 * read_number(source));
        lua_settop(lua, top);
        read_value(source);
        break;
    }
    default: number = read_number(source); read_aggregate(source, kind, number);
    }
}

void convert_to_lua(lua_State *lua, const struct reply *reply) {
    struct source source = {.lua = lua, .reply = reply};
    assert(reply_is_one(reply, 0) && "a command writes one whole reply");
    read_value(&source);
}

void script_push_error(lua_State *lua, const char *text, size_t length) {
    const char *blank = NULL;
    if (length > 0 && *text == '-') {
        text++;
        length--;
        blank = memchr(text, ' ', length);
    }
    lua_createtable(lua, 0, 1);
    if (blank == NULL) lua_pushliteral(lua, "ERR ");
    lua_pushlstring(lua, text, length);
    if (blank == NULL) lua_concat(lua, 2);
    lua_setfield(lua, -2, "err");
}

/* ------------------------------------------------------------------ from Lua */

static void write_value(lua_State *lua, struct reply *reply, int protocol);

/* A field of the table on top of the stack is pushed, if it is of that type. */
static bool has_field(lua_State *lua, const char *name, int type) {
    lua_pushstring(lua, name);
    lua_rawget(lua, -2);
    if (lua_type(lua, -1) == type) return true;
    lua_pop(lua, 1);
    return false;
}

static void write_error_table(lua_State *lua, struct reply *reply) {
    const char *text = lua_tostring(lua, -1);
    lua_pushliteral(lua, "ignore_error_stats_update");
    lua_rawget(lua, -3);
    bool is_counted = lua_isboolean(lua, -1) && lua_toboolean(lua, -1);
    struct reply before = *reply;
    reply_error(reply, text);
    if (is_counted) { /* when the command gave it */
        reply->error_count = before.error_count;
        memcpy(reply->error_code, before.error_code, sizeof reply->error_code);
    }
    lua_pop(lua, 2);
}

/* A line has no line break in it. The text is on top of the stack. */
static void write_line(lua_State *lua, struct reply *reply, char kind, bool ends_at_nul) {
    size_t length;
    const char *text = lua_tolstring(lua, -1, &length);
    if (ends_at_nul) length = strlen(text);
    char *line = lua_newuserdata(lua, length + 1);
    for (size_t i = 0; i < length; i++) line[i] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
    line[length] = '\0';
    if (kind == '+')
        reply_status(reply, line);
    else
        reply_big_number(reply, line, length);
    lua_pop(lua, 2);
}

static bool write_verbatim(lua_State *lua, struct reply *reply) {
    if (!has_field(lua, "verbatim_string", LUA_TTABLE)) return false;
    int top = lua_gettop(lua);
    if (has_field(lua, "format", LUA_TSTRING)) {
        size_t length;
        /* Shorter than three, it is filled up with blanks; longer, it is cut. */
        char kind[4];
        snprintf(kind, sizeof kind, "%-3.3s", lua_tostring(lua, -1));
        lua_pop(lua, 1);
        if (has_field(lua, "string", LUA_TSTRING)) {
            const char *text = lua_tolstring(lua, -1, &length);
            reply_verbatim(reply, kind, text, length);
            lua_pop(lua, 2);
            return true;
        }
    }
    lua_settop(lua, top - 1);
    return false;
}

/* The fields of the table on top of the stack, which goes. */
static void write_fields(lua_State *lua, struct reply *reply, int protocol, bool is_map) {
    size_t count = 0, mark = reply_defer(reply);
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        script_step(lua, 1);
        lua_pushvalue(lua, -2);
        write_value(lua, reply, protocol);
        if (is_map)
            write_value(lua, reply, protocol);
        else
            lua_pop(lua, 1);
        count++;
    }
    if (is_map)
        reply_defer_map(reply, mark, count);
    else
        reply_defer_set(reply, mark, count);
    lua_pop(lua, 1);
}

static void write_array(lua_State *lua, struct reply *reply, int protocol) {
    size_t mark = reply_defer(reply);
    int count = 0;
    for (;; count++) {
        script_step(lua, 1);
        lua_rawgeti(lua, -1, count + 1);
        if (lua_isnil(lua, -1)) break;
        write_value(lua, reply, protocol);
    }
    lua_pop(lua, 1);
    reply_defer_array(reply, mark, (size_t)count);
}

/* The first field that tells what the table is meant to be decides; else it is an array. The table stays. */
static void write_table(lua_State *lua, struct reply *reply, int protocol) {
    if (has_field(lua, "err", LUA_TSTRING)) {
        write_error_table(lua, reply);
    } else if (has_field(lua, "ok", LUA_TSTRING)) {
        write_line(lua, reply, '+', true);
    } else if (has_field(lua, "double", LUA_TNUMBER)) {
        reply_double(reply, lua_tonumber(lua, -1));
        lua_pop(lua, 1);
    } else if (has_field(lua, "big_number", LUA_TSTRING)) {
        write_line(lua, reply, '(', false);
    } else if (write_verbatim(lua, reply)) {
        return;
    } else if (has_field(lua, "map", LUA_TTABLE)) {
        write_fields(lua, reply, protocol, true);
    } else if (has_field(lua, "set", LUA_TTABLE)) {
        write_fields(lua, reply, protocol, false);
    } else {
        write_array(lua, reply, protocol);
    }
}

/* Cut towards zero; what doesn't fit is what the processor makes of it in Redis. */
static int64_t to_integer(lua_Number number) {
    return fabs(number) < 0x1p63 ? (int64_t)number : INT64_MIN;
}

static void write_value(lua_State *lua, struct reply *reply, int protocol) {
    if (!lua_checkstack(lua, 8)) {
        reply_error(reply, "ERR reached lua stack limit");
        lua_pop(lua, 1);
        return;
    }
    size_t length;
    const char *text;
    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(lua, -1, &length);
        reply_bulk(reply, text, length);
        break;
    case LUA_TBOOLEAN:
        if (protocol == 3)
            reply_boolean(reply, lua_toboolean(lua, -1) != 0);
        else if (lua_toboolean(lua, -1))
            reply_integer(reply, 1);
        else
            reply_null(reply);
        break;
    case LUA_TNUMBER: reply_integer(reply, to_integer(lua_tonumber(lua, -1))); break;
    case LUA_TTABLE:
        (void)sandbox_unveil(lua, lua_gettop(lua));
        write_table(lua, reply, protocol);
        break;
    default: reply_null(reply); break;
    }
    lua_pop(lua, 1);
}

void convert_from_lua(lua_State *lua, struct reply *reply, int protocol) {
    write_value(lua, reply, protocol);
}
