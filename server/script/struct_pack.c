/* struct: numbers and strings to bytes as C lays them out, and back, by a format of letters:
 *
 *     > < !n     from here on big endian, little endian, aligned to at most n (a power of two; 8)
 *     b h l i[n] T  a number of 1, 2, 8, n (4) and 8 bytes; with a sign, but in capitals and for T without
 *     f d        a float, a double
 *     s          a string with a NUL behind it
 *     c[n]       n (1) characters; c0: all of a string, or as many as the number before it says
 *     x          a byte of padding
 *
 * https://www.inf.puc-rio.br/~roberto/struct/ tells more of it; limits and errors are those of Redis. */
#include <ctype.h>
#include <limits.h>
#include <math.h>

#include "bytes.h"

#define INTEGER_MOST 32 /* bytes of one */
#define ALIGNED_MOST 8

struct layout {
    lua_State *lua;
    const char *format; /* the next letter */
    bool is_big;
    size_t alignment;
};

static struct layout begin(lua_State *lua) {
    return (struct layout){.lua = lua, .format = luaL_checkstring(lua, 1), .alignment = 1};
}

static int number_or(struct layout *layout, int otherwise) {
    if (!isdigit((unsigned char)*layout->format)) return otherwise;
    int number = 0;
    while (isdigit((unsigned char)*layout->format)) {
        int digit = *layout->format++ - '0';
        if (number > (INT_MAX - digit) / 10) luaL_error(layout->lua, "integral size overflow");
        number = number * 10 + digit;
    }
    return number;
}

/* Bytes of what a letter stands for; 0 if it says nothing of that. */
static size_t size_of(struct layout *layout, char letter) {
    switch (letter) {
    case 'B':
    case 'b':
    case 'x': return 1;
    case 'H':
    case 'h': return 2;
    case 'L':
    case 'l':
    case 'T':
    case 'd': return 8;
    case 'f': return 4;
    case 'c': return (size_t)number_or(layout, 1);
    case 'I':
    case 'i': {
        int size = number_or(layout, 4);
        if (size > INTEGER_MOST)
            luaL_error(layout->lua, "integral size %d is larger than limit of %d", size, INTEGER_MOST);
        return (size_t)size;
    }
    default: return 0;
    }
}

/* Bytes to leave out before something of that size. */
static size_t gap(const struct layout *layout, size_t at, char letter, size_t size) {
    if (size == 0 || letter == 'c') return 0;
    if (size > layout->alignment) size = layout->alignment;
    return (size - (at & (size - 1))) & (size - 1);
}

static void control(struct layout *layout, char letter) {
    switch (letter) {
    case ' ': return;
    case '>': layout->is_big = true; return;
    case '<': layout->is_big = false; return;
    case '!': {
        int alignment = number_or(layout, ALIGNED_MOST);
        if (alignment <= 0 || (alignment & (alignment - 1)) != 0)
            luaL_error(layout->lua, "alignment %d is not a power of 2", alignment);
        layout->alignment = (size_t)alignment;
        return;
    }
    default:
        luaL_argerror(layout->lua, 1, lua_pushfstring(layout->lua, "invalid format option '%c'", letter));
    }
}

static bool is_integer(char letter) {
    return letter != '\0' && strchr("bBhHlLTiI", letter) != NULL;
}

/* ------------------------------------------------------------------ packing */

/* Copies bytes from or to the machine's order, which is the lowest first. */
static void copy_ordered(const struct layout *layout, char *to, const char *from, size_t size) {
    for (size_t i = 0; i < size; i++) to[i] = from[layout->is_big ? size - 1 - i : i];
}

/* What doesn't fit is what the processor makes of it in Redis. */
static uint64_t to_bits(lua_Number number) {
    if (number >= 0x1p63 && number < 0x1p64) return (uint64_t)number;
    return fabs(number) < 0x1p63 ? (uint64_t)(int64_t)number : number >= 0x1p64 ? 0 : (uint64_t)1 << 63;
}

static void pack_integer(struct layout *layout, struct bytes *out, lua_Number number, size_t size) {
    char bytes[INTEGER_MOST];
    uint64_t value = to_bits(number);
    for (size_t i = 0; i < size; i++, value >>= 8) bytes[i] = (char)value;
    copy_ordered(layout, bytes_add(out, size), bytes, size);
}

static void pack_text(struct layout *layout, struct bytes *out, int argument, char letter, size_t size) {
    size_t length;
    const char *text = luaL_checklstring(layout->lua, argument, &length);
    if (size == 0) size = length;
    luaL_argcheck(layout->lua, length >= size, argument + 1, "string too short");
    memcpy(bytes_add(out, size), text, size);
    if (letter == 's') bytes_add_one(out, 0);
}

static int pack(lua_State *lua) {
    struct layout layout = begin(lua);
    int argument = 2;
    luaL_checkstack(lua, 8, "too many arguments");
    lua_pushnil(lua); /* an argument that is missing is this one */
    struct bytes out = bytes_begin(lua);
    while (*layout.format != '\0') {
        char letter = *layout.format++;
        size_t size = size_of(&layout, letter), empty = gap(&layout, out.length, letter, size);
        memset(bytes_add(&out, empty), 0, empty);
        if (is_integer(letter)) {
            pack_integer(&layout, &out, luaL_checknumber(lua, argument++), size);
        } else if (letter == 'x') {
            bytes_add_one(&out, 0);
        } else if (letter == 'f') {
            float value = (float)luaL_checknumber(lua, argument++);
            copy_ordered(&layout, bytes_add(&out, size), (const char *)&value, size);
        } else if (letter == 'd') {
            double value = luaL_checknumber(lua, argument++);
            copy_ordered(&layout, bytes_add(&out, size), (const char *)&value, size);
        } else if (letter == 'c' || letter == 's') {
            pack_text(&layout, &out, argument++, letter, size);
        } else {
            control(&layout, letter);
        }
        script_step(lua, 1);
    }
    bytes_push(&out);
    return 1;
}

/* ------------------------------------------------------------------ unpacking */

static lua_Number unpack_integer(const struct layout *layout, const char *bytes, size_t size,
                                 bool is_signed) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (unsigned char)bytes[layout->is_big ? i : size - 1 - i];
    if (!is_signed) return (lua_Number)value;
    uint64_t sign = UINT64_MAX << ((size * 8 - 1) & 63);
    if ((value & sign) != 0) value |= sign;
    return (lua_Number)(int64_t)value;
}

struct input {
    const char *data;
    size_t length, at;
};

static void check_length(lua_State *lua, const struct input *input, size_t size) {
    luaL_argcheck(lua, size <= input->length && input->at <= input->length - size, 2,
                  "data string too short");
}

/* Returns the size, which for c0 is the number that was unpacked last; that goes. */
static size_t unpack_characters(lua_State *lua, const struct input *input, size_t size, int *count) {
    if (size == 0) {
        if (*count == 0 || !lua_isnumber(lua, -1)) luaL_error(lua, "format 'c0' needs a previous size");
        lua_Number number = lua_tonumber(lua, -1);
        size = number >= 0 && number < 0x1p63 ? (size_t)number : SIZE_MAX;
        lua_pop(lua, 1);
        --*count;
        check_length(lua, input, size);
    }
    lua_pushlstring(lua, input->data + input->at, size);
    return size;
}

static size_t unpack_text(lua_State *lua, const struct input *input) {
    const char *text = input->data + input->at, *end = memchr(text, '\0', input->length - input->at);
    if (end == NULL) luaL_error(lua, "unfinished string in data");
    lua_pushlstring(lua, text, (size_t)(end - text));
    return (size_t)(end - text) + 1;
}

static int unpack(lua_State *lua) {
    struct layout layout = begin(lua);
    struct input input;
    input.data = luaL_checklstring(lua, 2, &input.length);
    lua_Integer first = luaL_optinteger(lua, 3, 1);
    luaL_argcheck(lua, first != 0, 3, "offset must be 1 or greater");
    input.at = (size_t)first - 1; /* as Redis has it, what is negative lies behind every string */
    lua_settop(lua, 2);
    int count = 0;
    while (*layout.format != '\0') {
        char letter = *layout.format++;
        size_t size = size_of(&layout, letter);
        input.at += gap(&layout, input.at, letter, size);
        check_length(lua, &input, size);
        luaL_checkstack(lua, 2, "too many results");
        const char *bytes = input.data + input.at;
        int before = lua_gettop(lua);
        float half;
        double whole;
        if (is_integer(letter)) {
            lua_pushnumber(lua, unpack_integer(&layout, bytes, size, islower((unsigned char)letter) != 0));
        } else if (letter == 'f') {
            copy_ordered(&layout, (char *)&half, bytes, sizeof half);
            lua_pushnumber(lua, half);
        } else if (letter == 'd') {
            copy_ordered(&layout, (char *)&whole, bytes, sizeof whole);
            lua_pushnumber(lua, whole);
        } else if (letter == 'c') {
            size = unpack_characters(lua, &input, size, &count);
            before = lua_gettop(lua) - 1;
        } else if (letter == 's') {
            size = unpack_text(lua, &input);
        } else if (letter != 'x') {
            control(&layout, letter);
        }
        count += lua_gettop(lua) - before;
        input.at += size;
        script_step(lua, 1);
    }
    lua_pushinteger(lua, (lua_Integer)input.at + 1);
    return count + 1;
}

static int size(lua_State *lua) {
    struct layout layout = begin(lua);
    size_t at = 0;
    while (*layout.format != '\0') {
        char letter = *layout.format++;
        size_t bytes = size_of(&layout, letter);
        at += gap(&layout, at, letter, bytes);
        if (letter == 's') return luaL_argerror(lua, 1, "option 's' has no fixed size");
        if (letter == 'c' && bytes == 0) return luaL_argerror(lua, 1, "option 'c0' has no fixed size");
        if (!isalnum((unsigned char)letter)) control(&layout, letter);
        at += bytes;
    }
    lua_pushinteger(lua, (lua_Integer)at);
    return 1;
}

void struct_push(lua_State *lua) {
    static const luaL_Reg functions[] = {{"pack", pack}, {"unpack", unpack}, {"size", size}, {NULL, NULL}};
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
}
