/* Every command there is: the files of this folder's families, each of which ends with its rows. */
#ifndef SERVER_COMMANDS_COMMANDS_H
#define SERVER_COMMANDS_COMMANDS_H

/* Puts all rows into the table (server/command/command_table.h). Before any other thread; a second time it
 * does nothing. */
void commands_register(void);

#endif
