/* CONFIG: what clients may ask of and tell the table of options (server/config/config.h). */
#include "server/config/config.h"
#include "server/client/connection.h"
#include "commands.h"

void command_config_get(const struct call *call, struct reply *reply) {
    config_get(call->arguments + 2, call->count - 2, reply);
}

void command_config_set(struct worker *worker, struct connection *connection, const struct call *call,
                        struct reply *reply) {
    (void)worker;
    config_set(call->arguments + 2, call->count - 2, connection_is_local(connection), reply);
}

void command_config_rewrite(const struct call *call, struct reply *reply) {
    (void)call;
    config_rewrite(reply);
}

void command_config_help(const struct call *call, struct reply *reply) {
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
    reply_array(reply, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) reply_status(reply, lines[i]);
}
