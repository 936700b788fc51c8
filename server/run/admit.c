#include "admit.h"

#include "server/config/config.h"

#define DEBUG_REFUSAL                                                                                        \
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it " \
    "from a local "                                                                                          \
    "connection, otherwise you need to set this option in the configuration file, and then restart the "     \
    "server."

bool is_admitted(const struct execution *execution) {
    const struct command *command = execution->call.command;
    if ((command->flags & COMMAND_PROTECTED) != 0) {
        int allowed = atomic_load_explicit(&config.enable_debug_command, memory_order_relaxed);
        if (allowed == 0 || (allowed == 2 && !execution->task->functions->is_local(execution->task))) {
            reply_error(execution->reply, DEBUG_REFUSAL);
            return false;
        }
    }
    if (!session_is_admitted(&execution->task->session) && (command->flags & COMMAND_NO_AUTH) == 0) {
        reply_error(execution->reply, "NOAUTH Authentication required.");
        return false;
    }
    /* A monitor is exempt from CLIENT PAUSE, which mustn't be a way around it. */
    if (execution->task->session.is_monitor &&
        (command->flags & (COMMAND_READONLY | COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0) {
        reply_error(execution->reply, "ERR Replica can't interact with the keyspace"); /* Redis's words */
        return false;
    }
    return true;
}
