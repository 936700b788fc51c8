/* Every command there is: the files of this folder's families, each of which ends with its rows. */
#ifndef SERVER_COMMANDS_COMMANDS_H
#define SERVER_COMMANDS_COMMANDS_H

#include <stdbool.h>

/* Puts all rows into the table (server/command/command_table.h). Before any other thread; a second time it
 * does nothing. */
void commands_register(void);
/* rename-command, for all of Redis's commands: one that is not here, but in Redis, has nothing to be renamed,
 * which is logged. false, logged, for what is a command of neither, or a new name that is taken. */
bool commands_rename(const char *from, const char *to);

#endif
