#include "admit.h"

#include "server/config/config.h"
#include "permit.h"

#define DEBUG_REFUSAL                                                                                        \
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it " \
    "from a local "                                                                                          \
    "connection, otherwise you need to set this option in the configuration file, and then restart the "     \
    "server."

/* Of a client that is told what others do. */
static __attribute__((noinline)) bool is_for_hearer(const struct execution *execution) {
    const struct session *session = &execution->task->session;
    const struct command *command = execution->call.command;
    /* A monitor is exempt from CLIENT PAUSE, which mustn't be a way around it. */
    if (session_is_monitor(session) &&
        (command->flags & (COMMAND_READONLY | COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0) {
        reply_error(execution->reply, "ERR Replica can't interact with the keyspace"); /* Redis's words */
        return false;
    }
    /* It couldn't tell replies from messages. */
    if (session->protocol == 2 && session_is_subscriber(session) && !command->is_for_subscribers) {
        reply_error_format(execution->reply,
                           "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                           "RESET are allowed in this context",
                           command->full_name);
        return false;
    }
    return true;
}

bool is_admitted(const struct execution *execution) {
    const struct command *command = execution->call.command;
    if ((command->flags & COMMAND_PROTECTED) != 0) {
        int allowed = atomic_load_explicit(&config.enable_debug_command, memory_order_relaxed);
        if (allowed == 0 || (allowed == 2 && !execution->task->functions->is_local(execution->task))) {
            reply_error(execution->reply, DEBUG_REFUSAL);
            return false;
        }
    }
    if (!execution->is_ordinary && !session_is_admitted(&execution->task->session) &&
        (command->flags & COMMAND_NO_AUTH) == 0) {
        reply_error(execution->reply, "NOAUTH Authentication required.");
        return false;
    }
    if (users_are_on() && !is_permitted(execution)) return false;
    return execution->is_ordinary || execution->task->session.subscriptions == NULL ||
           is_for_hearer(execution);
}
