/* Bytes that grow, in memory of Lua's: counted, bounded, and collected if an error ends what makes them. */
#ifndef SERVER_SCRIPT_BYTES_H
#define SERVER_SCRIPT_BYTES_H

#include <string.h>

#include "parts.h"

struct bytes {
    lua_State *lua;
    int place; /* on Lua's stack, where the memory stands */
    char *data;
    size_t length, capacity;
};

/* Pushes the memory onto the stack, where it stays. */
static inline struct bytes bytes_begin(lua_State *lua) {
    struct bytes bytes = {.lua = lua, .capacity = 256};
    bytes.data = lua_newuserdata(lua, bytes.capacity);
    bytes.place = lua_gettop(lua);
    return bytes;
}

/* Room for so many more, which count from now on. */
static inline char *bytes_add(struct bytes *bytes, size_t more) {
    if (bytes->capacity - bytes->length < more) {
        size_t capacity = 2 * bytes->capacity;
        while (capacity - bytes->length < more) capacity *= 2;
        char *data = lua_newuserdata(bytes->lua, capacity);
        memcpy(data, bytes->data, bytes->length);
        lua_replace(bytes->lua, bytes->place);
        bytes->data = data;
        bytes->capacity = capacity;
    }
    bytes->length += more;
    return bytes->data + bytes->length - more;
}

static inline void bytes_add_one(struct bytes *bytes, unsigned value) {
    *bytes_add(bytes, 1) = (char)value;
}

static inline void bytes_push(const struct bytes *bytes) {
    lua_pushlstring(bytes->lua, bytes->data, bytes->length);
}

#endif
