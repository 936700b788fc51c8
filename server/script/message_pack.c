/* cmsgpack: MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) between Lua values and
 * bytes, with the functions, choices and errors of the library that Redis has.
 *
 * A number that is an integer is packed as the shortest one, others as a float where that loses nothing, else
 * as a double. A table whose keys are 1 to n is an array, any other a map; what stands deeper than sixteen
 * tables is nil, as is what MessagePack has no name for. Read are nil, booleans, numbers, strings, arrays and
 * maps. */
#include <limits.h>
#include <math.h>

#include "bytes.h"

#define NESTED_MOST 16

/* ------------------------------------------------------------------ packing */

/* A kind's byte, and a number of so many bytes, the highest first. */
static void add_number(struct bytes *out, unsigned kind, uint64_t number, int size) {
    char *at = bytes_add(out, (size_t)size + 1);
    *at++ = (char)kind;
    for (int i = size - 1; i >= 0; i--) *at++ = (char)(number >> 8 * i);
}

static void add_integer(struct bytes *out, int64_t value) {
    uint64_t bits = (uint64_t)value;
    if (value >= -32 && value <= INT8_MAX)
        bytes_add_one(out, (unsigned)(bits & 0xff));
    else if (value >= 0 && value <= UINT8_MAX)
        add_number(out, 0xcc, bits, 1);
    else if (value >= 0 && value <= UINT16_MAX)
        add_number(out, 0xcd, bits, 2);
    else if (value >= 0 && value <= UINT32_MAX)
        add_number(out, 0xce, bits, 4);
    else if (value >= 0)
        add_number(out, 0xcf, bits, 8);
    else if (value >= INT8_MIN)
        add_number(out, 0xd0, bits, 1);
    else if (value >= INT16_MIN)
        add_number(out, 0xd1, bits, 2);
    else if (value >= INT32_MIN)
        add_number(out, 0xd2, bits, 4);
    else
        add_number(out, 0xd3, bits, 8);
}

static void add_lua_number(struct bytes *out, lua_Number number) {
    float half = (float)number;
    uint64_t bits;
    uint32_t half_bits;
    if (number == -0x1p63 || (fabs(number) < 0x1p63 && (lua_Number)(int64_t)number == number)) {
        add_integer(out, (int64_t)number);
    } else if ((lua_Number)half == number) {
        memcpy(&half_bits, &half, sizeof half_bits);
        add_number(out, 0xca, half_bits, 4);
    } else {
        memcpy(&bits, &number, sizeof bits);
        add_number(out, 0xcb, bits, 8);
    }
}

static void add_string(struct bytes *out, const char *text, size_t length) {
    if (length < 32)
        bytes_add_one(out, 0xa0 | (unsigned)length);
    else if (length <= UINT8_MAX)
        add_number(out, 0xd9, length, 1);
    else if (length <= UINT16_MAX)
        add_number(out, 0xda, length, 2);
    else
        add_number(out, 0xdb, length, 4);
    memcpy(bytes_add(out, length), text, length);
}

/* An array's or map's head: its short kind holds up to fifteen. */
static void add_head(struct bytes *out, unsigned short_kind, unsigned kind, size_t count) {
    if (count <= 15)
        bytes_add_one(out, short_kind | (unsigned)count);
    else if (count <= UINT16_MAX)
        add_number(out, kind, count, 2);
    else
        add_number(out, kind + 1, count, 4);
}

/* Whether the keys of the table on top of the stack are 1 to n; *count is how many there are. */
static bool is_array(lua_State *lua, size_t *count) {
    lua_Number most = 0;
    bool is_one = true;
    *count = 0;
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        script_step(lua, 1);
        lua_pop(lua, 1);
        lua_Number key = lua_type(lua, -1) == LUA_TNUMBER ? lua_tonumber(lua, -1) : 0;
        is_one = is_one && key >= 1 && key == floor(key);
        if (key > most) most = key;
        ++*count;
    }
    return is_one && most == (lua_Number)*count;
}

static void add_value(struct bytes *out, int level);

static void add_table(struct bytes *out, int level) {
    lua_State *lua = out->lua;
    size_t count;
    (void)sandbox_unveil(lua, lua_gettop(lua));
    if (is_array(lua, &count)) {
        add_head(out, 0x90, 0xdc, count);
        for (size_t i = 1; i <= count; i++) {
            lua_rawgeti(lua, -1, (int)i);
            add_value(out, level + 1);
        }
        return;
    }
    add_head(out, 0x80, 0xde, count);
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        lua_pushvalue(lua, -2);
        add_value(out, level + 1);
        add_value(out, level + 1);
    }
}

/* The value on top of the stack, which goes. */
static void add_value(struct bytes *out, int level) {
    lua_State *lua = out->lua;
    luaL_checkstack(lua, 8, "in function mp_encode_lua_type");
    script_step(lua, 1);
    int type = lua_type(lua, -1);
    if (type == LUA_TSTRING) {
        size_t length;
        const char *text = lua_tolstring(lua, -1, &length);
        add_string(out, text, length);
    } else if (type == LUA_TBOOLEAN) {
        bytes_add_one(out, lua_toboolean(lua, -1) ? 0xc3 : 0xc2);
    } else if (type == LUA_TNUMBER) {
        add_lua_number(out, lua_tonumber(lua, -1));
    } else if (type == LUA_TTABLE && level < NESTED_MOST) {
        add_table(out, level);
    } else {
        bytes_add_one(out, 0xc0);
    }
    lua_pop(lua, 1);
}

/* All arguments, one behind the other. */
static int pack(lua_State *lua) {
    int count = lua_gettop(lua);
    if (count == 0) return luaL_argerror(lua, 0, "MessagePack pack needs input.");
    luaL_checkstack(lua, 8, "too many arguments for MessagePack pack");
    struct bytes out = bytes_begin(lua);
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(lua, i);
        add_value(&out, 0);
    }
    bytes_push(&out);
    return 1;
}

/* ------------------------------------------------------------------ unpacking */

struct input {
    lua_State *lua;
    const unsigned char *at, *end;
};

static size_t left(const struct input *input) {
    return (size_t)(input->end - input->at);
}

static uint64_t read_number(struct input *input, size_t size) {
    if (left(input) < size) luaL_error(input->lua, "Missing bytes in input.");
    uint64_t number = 0;
    while (size-- > 0) number = number << 8 | *input->at++;
    return number;
}

static void read_string(struct input *input, size_t length) {
    if (left(input) < length) luaL_error(input->lua, "Missing bytes in input.");
    lua_pushlstring(input->lua, (const char *)input->at, length);
    input->at += length;
}

static void read_value(struct input *input);

static void read_array(struct input *input, uint64_t count) {
    luaL_checkstack(input->lua, 3, "in function mp_decode_to_lua_array");
    lua_newtable(input->lua);
    for (uint64_t i = 1; i <= count; i++) {
        read_value(input);
        lua_rawseti(input->lua, -2, (int)i);
    }
}

static void read_map(struct input *input, uint64_t count) {
    luaL_checkstack(input->lua, 4, "in function mp_decode_to_lua_hash");
    lua_newtable(input->lua);
    while (count-- > 0) {
        read_value(input);
        read_value(input);
        lua_settable(input->lua, -3);
    }
}

static void read_float(struct input *input) {
    uint32_t bits = (uint32_t)read_number(input, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    lua_pushnumber(input->lua, value);
}

static void read_double(struct input *input) {
    uint64_t bits = read_number(input, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    lua_pushnumber(input->lua, value);
}

/* A number of 1 << shift bytes with a sign. */
static void read_signed(struct input *input, unsigned shift) {
    unsigned unused = 64 - (8U << shift);
    lua_pushnumber(input->lua,
                   (lua_Number)((int64_t)(read_number(input, (size_t)1 << shift) << unused) >> unused));
}

static void read_value(struct input *input) {
    lua_State *lua = input->lua;
    script_step(lua, 1);
    unsigned kind = (unsigned)read_number(input, 1);
    switch (kind) {
    case 0xc0: lua_pushnil(lua); return;
    case 0xc2:
    case 0xc3: lua_pushboolean(lua, kind == 0xc3); return;
    case 0xca: read_float(input); return;
    case 0xcb: read_double(input); return;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf: /* Redis's takes the highest bit of 64 for a sign */
        lua_pushnumber(lua, (lua_Number)(int64_t)read_number(input, (size_t)1 << (kind - 0xcc)));
        return;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3: read_signed(input, kind - 0xd0); return;
    case 0xd9:
    case 0xda:
    case 0xdb: read_string(input, read_number(input, (size_t)1 << (kind - 0xd9))); return;
    case 0xdc:
    case 0xdd: read_array(input, read_number(input, kind == 0xdc ? 2 : 4)); return;
    case 0xde:
    case 0xdf: read_map(input, read_number(input, kind == 0xde ? 2 : 4)); return;
    default: break;
    }
    if (kind <= 0x7f)
        lua_pushnumber(lua, (lua_Number)kind);
    else if (kind >= 0xe0)
        lua_pushnumber(lua, (lua_Number)kind - 256);
    else if (kind <= 0x8f)
        read_map(input, kind & 15);
    else if (kind <= 0x9f)
        read_array(input, kind & 15);
    else if (kind <= 0xbf)
        read_string(input, kind & 31);
    else
        luaL_error(lua, "Bad data format in input.");
}

/* So many values from an offset on. Unless all are asked for, where the next one begins comes before them:
 * -1 at the end. */
static int unpack_values(lua_State *lua, lua_Integer limit, lua_Integer offset) {
    size_t length;
    const char *bytes = luaL_checklstring(lua, 1, &length);
    bool is_all = limit == 0 && offset == 0;
    if (offset < 0 || limit < 0)
        return luaL_error(lua, "Invalid request to unpack with offset of %d and limit of %d.", (int)offset,
                          (int)length);
    if ((size_t)offset > length)
        return luaL_error(lua, "Start offset %d greater than input length %d.", (int)offset, (int)length);
    if (is_all) limit = INT_MAX;
    lua_settop(lua, 1);
    struct input input = {lua, (const unsigned char *)bytes + offset, (const unsigned char *)bytes + length};
    int count = 0;
    for (; left(&input) > 0 && count < limit; count++) {
        luaL_checkstack(lua, 2, "too many values at once; use unpack_one or unpack_limit instead.");
        read_value(&input);
    }
    if (is_all) return count;
    luaL_checkstack(lua, 1, "too many values at once; use unpack_one or unpack_limit instead.");
    lua_pushinteger(lua, left(&input) == 0 ? -1 : (lua_Integer)(length - left(&input)));
    lua_insert(lua, 2);
    return count + 1;
}

static int unpack_all(lua_State *lua) {
    return unpack_values(lua, 0, 0);
}

static int unpack_one(lua_State *lua) {
    return unpack_values(lua, 1, luaL_optinteger(lua, 2, 0));
}

static int unpack_limit(lua_State *lua) {
    return unpack_values(lua, luaL_checkinteger(lua, 2), luaL_optinteger(lua, 3, 0));
}

void message_pack_push(lua_State *lua) {
    static const luaL_Reg functions[] = {{"pack", pack},
                                         {"unpack", unpack_all},
                                         {"unpack_one", unpack_one},
                                         {"unpack_limit", unpack_limit},
                                         {NULL, NULL}};
    static const char *const texts[][2] = {{"_NAME", "cmsgpack"},
                                           {"_VERSION", "lua-cmsgpack 0.4.0"},
                                           {"_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"},
                                           {"_DESCRIPTION", "MessagePack C implementation for Lua"}};
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) { /* what scripts may ask of Redis's library */
        lua_pushstring(lua, texts[i][1]);
        lua_setfield(lua, -2, texts[i][0]);
    }
}
