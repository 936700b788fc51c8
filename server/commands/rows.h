/* The groups of rows that make up the table. A new command is a row in one of them; each ends with a row
 * without name. */
#ifndef SERVER_COMMANDS_ROWS_H
#define SERVER_COMMANDS_ROWS_H

#include "server/command/command.h"

extern struct command connection_rows[], server_rows[], string_rows[], bitmap_rows[], generic_rows[];
extern struct command hash_rows[], set_rows[], stream_rows[], geo_rows[], hyperloglog_rows[],
    sorted_set_rows[], list_rows[];

#endif
