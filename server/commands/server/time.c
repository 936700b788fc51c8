/* TIME and LOLWUT, which need nothing but the clock. */

#include "shard/base/number.h"
#include "server/base/clock.h"
#include "server/base/version.h"
#include "server/command/command.h"

static void command_time(const struct call *call, struct reply *reply) {
    int64_t now = call->moment != NULL ? *call->moment : 0;
    if (now == 0) now = clock_wall_us();
    if (call->moment != NULL) *call->moment = now;
    reply_array(reply, 2);
    reply_bulk_integer(reply, now / 1000000);
    reply_bulk_integer(reply, now % 1000000);
}

/* Draws a key, whose bit is cut anew each time: LOLWUT [VERSION n] [width]. */
static void command_lolwut(const struct call *call, struct reply *reply) {
    int64_t width = 24, version;
    uint32_t next = 1;
    if (call->count >= 3 && argument_is(&call->arguments[1], "VERSION")) {
        if (!argument_integer(&call->arguments[2], &version, reply, NULL)) return;
        next = 3;
    }
    /* Redis's drawings of named versions read a width; without a version anything may stand there. */
    if (next == 3 && call->count > next && !argument_integer(&call->arguments[next], &width, reply, NULL))
        return;
    if (next == 1 && call->count > next)
        number_parse(call->arguments[next].data, call->arguments[next].length, &width);
    if (width < 8) width = 8;
    if (width > 200) width = 200;
    struct reply text;
    reply_init(&text, call->protocol);
    uint64_t cut = (uint64_t)clock_wall_us() * UINT64_C(0x9E3779B97F4A7C15);
    reply_raw(&text, " .-.\n( o )", 10);
    for (int64_t i = 0; i < width; i++) reply_raw(&text, "=", 1);
    reply_raw(&text, "\n `-'", 5);
    for (int64_t i = 0; i < width; i++, cut = cut << 7 | cut >> 57) {
        if (i < width / 2)
            reply_raw(&text, " ", 1);
        else
            reply_raw(&text, &"_|v^ "[(cut >> 13) % 5], 1);
    }
    static const char signature[] = "\n\nLatchkey ver. " LATCHKEY_VERSION "\nRedis ver. " REDIS_VERSION
                                    "\n"; /* clients look for the second */
    reply_raw(&text, signature, sizeof signature - 1);
    reply_collected(reply, &text);
}

/* ------------------------------------------------------------------ rows */

const struct command time_commands[] = {
    {.name = "time",
     .arity = 1,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST,
     .plain = command_time,
     .since = "2.6.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells the time",
     .tips = "nondeterministic_output"},
    {.name = "lolwut",
     .arity = -1,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .plain = command_lolwut,
     .since = "5.0.0",
     .group = "server",
     .summary = "Draws, and tells the version",
     .syntax = "[version:integer=VERSION]"},
    {.name = NULL},
};
