/* What the files of DEBUG's subcommands have in common. */
#ifndef SERVER_COMMANDS_DEBUG_DEBUG_H
#define SERVER_COMMANDS_DEBUG_DEBUG_H

#include "server/command/command.h"

/* Rows let any number of arguments pass where Redis gives one error for a subcommand that it doesn't know and
 * for one with a wrong number of them: the function then asks debug_takes. */
#define DEBUG_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_PROTECTED)

/* Replies that error and returns false unless there are so many arguments, DEBUG and the subcommand
 * included. */
bool debug_takes(const struct call *call, uint32_t least, uint32_t most, struct reply *reply);

#endif
