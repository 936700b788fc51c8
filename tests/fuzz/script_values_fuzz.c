/* Whatever bytes a script gives to cmsgpack.unpack, struct.unpack, cjson.decode, string.find and
 * loadstring: an error or values, and nothing else. */
#include <stdint.h>

#include "input.h"
#include "server/script/state.h"

static enum script_verdict turn(void *context) {
    int64_t *turns = context;
    return ++*turns > 100 ? SCRIPT_ENDS : SCRIPT_GOES_ON;
}

static const struct script_host host = {.turn = turn};

static const char *const scripts[] = {
    "local a, b = ARGV[1], ARGV[2] pcall(cmsgpack.unpack_one, a, #b) pcall(cmsgpack.unpack_limit, a, 3)"
    " local ok, v = pcall(cmsgpack.unpack, a) if ok then local s = cmsgpack.pack(v)"
    " assert(cmsgpack.pack(cmsgpack.unpack(s)) == s or type(v) == 'table' or v ~= v) end return 'fine'",
    "pcall(struct.size, ARGV[2]) pcall(struct.unpack, ARGV[2], ARGV[1]) pcall(struct.unpack, ARGV[2], "
    "ARGV[1], 3)"
    " pcall(struct.pack, ARGV[2], 1, ARGV[1], 2, ARGV[1], 3) pcall(struct.pack, ARGV[2], ARGV[1], 1, 2, 3) "
    "return 'fine'",
    "local ok, v = pcall(cjson.decode, ARGV[1]) if ok then local ok, s = pcall(cjson.encode, v)"
    " if ok then cjson.decode(s) end end return 'fine'",
    "local a, p = ARGV[1], ARGV[2] pcall(string.find, a, p) pcall(string.match, a, p) pcall(string.gsub, a, "
    "p, a)"
    " pcall(function() for m in string.gmatch(a, p) do end end) return 'fine'",
    "pcall(loadstring, ARGV[1]) pcall(loadstring, ARGV[1], ARGV[2]) pcall(load, function() return ARGV[1] "
    "end) return 'fine'",
};

#define SCRIPTS (sizeof scripts / sizeof *scripts)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static struct script_state *state;
    static int functions[SCRIPTS];
    char error[256];
    if (state == NULL) {
        state = script_state_create((size_t)64 << 20, 1);
        CHECK(state != NULL);
        for (size_t i = 0; i < SCRIPTS; i++) {
            functions[i] = script_compile(state, scripts[i], strlen(scripts[i]), error, sizeof error);
            CHECK(functions[i] != 0);
        }
    }
    struct input input = {data, data + length};
    size_t which = input_byte(&input) % SCRIPTS, format_length = input_byte(&input) % 64;
    const uint8_t *format, *text;
    format_length = input_take(&input, format_length, &format);
    size_t text_length = input_take(&input, SIZE_MAX, &text);
    const struct bulk arguments[] = {{input_copy(text, text_length), text_length, NULL},
                                     {input_copy(format, format_length), format_length, NULL}};
    int64_t turns = 0;
    const struct script_run run = {
        .host = &host, .context = &turns, .name = "fuzz", .arguments = arguments, .argument_count = 2};
    struct reply reply;
    reply_init(&reply, 2);
    if (script_run(state, functions[which], &run, &reply) == SCRIPT_DONE)
        CHECK(reply.length == 10 && memcmp(reply.data, "$4\r\nfine\r\n", 10) == 0);
    reply_free(&reply);
    free(arguments[0].data);
    free(arguments[1].data);
    return 0;
}
