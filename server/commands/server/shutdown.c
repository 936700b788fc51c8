/* SHUTDOWN: ends the server, at once or when clients have got what they are owed. */
#include "server/client/connection.h"
#include "server/command/command.h"
#include "server/run/slow_script.h"
#include "server/worker/worker.h"

/* Nothing is ever written to disk, so SAVE and FORCE have nothing to add, and there is no shutdown that waits
 * and could be aborted. */
static void command_shutdown(struct worker *worker, struct task *task, const struct call *call,
                             struct reply *reply) {
    bool saves = false, saves_not = false, aborts = false, is_now = false, is_wrong = false;
    (void)worker;
    for (uint32_t i = 1; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (argument_is(option, "SAVE"))
            saves = true;
        else if (argument_is(option, "NOSAVE"))
            saves_not = true;
        else if (argument_is(option, "NOW"))
            is_now = true;
        else if (argument_is(option, "ABORT"))
            aborts = true;
        else if (!argument_is(option, "FORCE"))
            is_wrong = true;
    }
    if (is_wrong || (saves && saves_not) || (aborts && call->count > 2)) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (aborts) {
        reply_error(reply, "ERR No shutdown in progress.");
        return;
    }
    task->session.closes_after_reply = true;
    /* What keeps a script that has written from being killed promises that this ends the server at once. */
    bool is_hard = is_now || (saves_not && slow_scripts_busy_any() != NULL);
    workers_stop(is_hard ? 0 : workers_patience_ms());
}

/* ------------------------------------------------------------------ rows */

const struct command shutdown_commands[] = {
    {.name = "shutdown",
     .arity = -1,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_NO_MULTI |
              COMMAND_ALLOW_BUSY,
     .worker = command_shutdown,
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(N) for N keys",
     .summary = "Ends the server",
     .syntax = "[nosave_save:oneof(nosave=NOSAVE save=SAVE)] [now=NOW@7.0.0] [force=FORCE@7.0.0] "
               "[abort=ABORT@7.0.0]",
     .history = "7.0.0:NOW, FORCE, ABORT"},
    {.name = NULL},
};
