/* The commands of the slow log. */
#include "server/observe/slowlog.h"

#include "server/command/command.h"

static void reply_request(const struct slow_request *request, struct reply *reply) {
    const char *text = request->text;
    reply_array(reply, 6);
    reply_integer(reply, request->id);
    reply_integer(reply, request->time);
    reply_integer(reply, request->microseconds);
    reply_array(reply, request->count);
    for (uint32_t i = 0; i < request->count + 2; text += request->lengths[i++])
        reply_bulk(reply, text, request->lengths[i]);
}

static void command_slowlog_get(const struct call *call, struct reply *reply) {
    int64_t most = 10, end = INT64_MAX;
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 3 && !argument_integer_within(&call->arguments[2], -1, INT64_MAX, &most, reply,
                                                     "ERR count should be greater than or equal to -1"))
        return;
    if (most == -1) most = INT64_MAX;
    size_t mark = reply_defer(reply), shown = 0;
    uint32_t count;
    do {
        struct slow_request *held[SLOWLOG_SLICE];
        count = slowlog_hold(held, &end, most - (int64_t)shown);
        for (uint32_t i = 0; i < count; i++) {
            reply_request(held[i], reply);
            slowlog_let_go(held[i]);
        }
        shown += count;
    } while (count == SLOWLOG_SLICE);
    reply_defer_array(reply, mark, shown);
}

static void command_slowlog_len(const struct call *call, struct reply *reply) {
    (void)call;
    reply_integer(reply, slowlog_length());
}

static void command_slowlog_reset(const struct call *call, struct reply *reply) {
    (void)call;
    slowlog_clear();
    reply_ok(reply);
}

static void command_slowlog_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    The latest slow requests (default: 10; -1: all), newest first. Each is",
        "    its number, unix time, microseconds, arguments, the client's address and name.",
        "LEN",
        "    How many there are.",
        "RESET",
        "    Forgets them.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command slowlog_commands[] = {
    {.name = "slowlog",
     .arity = -2,
     .since = "2.2.12",
     .group = "server",
     .complexity = "as its subcommands",
     .summary = "Commands about slow requests"},
    {.name = "slowlog|get",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_slowlog_get,
     .since = "2.2.12",
     .group = "server",
     .complexity = "O(N) for N entries",
     .summary = "Shows the latest slow requests",
     .syntax = "[count:integer]",
     .tips = "request_policy:all_nodes,nondeterministic_output",
     .history = "4.0.0:the client's address and name"},
    {.name = "slowlog|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_slowlog_help,
     .since = "6.2.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "slowlog|len",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_slowlog_len,
     .since = "2.2.12",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Counts the kept slow requests",
     .tips = "request_policy:all_nodes,response_policy:agg_sum,nondeterministic_output"},
    {.name = "slowlog|reset",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_slowlog_reset,
     .since = "2.2.12",
     .group = "server",
     .complexity = "O(N) for N entries",
     .summary = "Forgets the slow requests",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded"},
    {.name = NULL},
};
