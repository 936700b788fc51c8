/* CONFIG: what clients may ask of and tell the table of options (server/config/config.h). */
#include "server/config/config.h"
#include "server/task/task.h"
#include "server/command/command.h"

static void command_config_get(const struct call *call, struct reply *reply) {
    config_get(call->arguments + 2, call->count - 2, reply);
}

static void command_config_set(struct worker *worker, struct task *task, const struct call *call,
                               struct reply *reply) {
    (void)worker;
    config_set(call->arguments + 2, call->count - 2, task->functions->is_local(task), reply);
}

static void command_config_rewrite(const struct call *call, struct reply *reply) {
    (void)call;
    config_rewrite(reply);
}

static void command_config_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern> [<pattern> ...]",
        "    Show the options whose names match a glob-style pattern.",
        "SET <option> <value> [<option> <value> ...]",
        "    Change options; if one can't be changed, none is.",
        "RESETSTAT",
        "    Set the counters that INFO shows to zero.",
        "REWRITE",
        "    Bring the configuration file up to date, keeping its comments.",
        "HELP",
        "    Print this text.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command config_commands[] = {
    {.name = "config",
     .arity = -2,
     .since = "2.0.0",
     .group = "server",
     .complexity = "as its subcommands",
     .summary = "Commands about the configuration"},
    {.name = "config|get",
     .arity = -3,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_config_get,
     .since = "2.0.0",
     .group = "server",
     .complexity = "O(N) for N options",
     .summary = "Shows settings",
     .syntax = "parameter:block(parameter:string)...",
     .history = "7.0.0:several patterns"},
    {.name = "config|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_config_help,
     .since = "5.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "config|rewrite",
     .arity = 2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .plain = command_config_rewrite,
     .since = "2.8.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Writes the present settings to the configuration file"},
    {.name = "config|set",
     .arity = -4,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE,
     .worker = command_config_set,
     .since = "2.0.0",
     .group = "server",
     .complexity = "O(N) for N options",
     .summary = "Changes settings while the server runs",
     .syntax = "parameter_value:block(parameter:string value:string)...",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded",
     .history = "7.0.0:several options"},
    {.name = NULL},
};
