/* MONITOR: makes a connection one that is shown every request (server/broadcast/monitor.h). */
#include "server/broadcast/monitor.h"
#include "server/command/command.h"

static void command_monitor(struct worker *worker, struct task *task, const struct call *call,
                            struct reply *reply) {
    if (call->moment != NULL) {
        reply_error(reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (session_is_monitor(&task->session)) return;
    if (monitor_add(worker, task))
        reply_ok(reply);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

/* ------------------------------------------------------------------ rows */

const struct command monitor_commands[] = {
    {.name = "monitor",
     .arity = 1,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_MAY_BE_SILENT,
     .worker = command_monitor,
     .since = "1.0.0",
     .group = "server",
     .summary = "Shows every request that is run"},
    {.name = NULL},
};
