/* Categories of commands, as ACL rules, ACL CAT and COMMAND know them. A row says its own; others follow from
 * its flags, so that a row can't contradict itself. */
#ifndef SERVER_COMMAND_CATEGORY_H
#define SERVER_COMMAND_CATEGORY_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

/* In the order in which Redis shows them, from 0 on. */
uint32_t category_count(void);
const char *category_name(uint32_t category); /* "@keyspace" */
/* "keyspace", in any case; category_count() if there is none of that name. */
uint32_t category_find(const struct bulk *name);

bool command_is_in_category(const struct command *command, uint32_t category);

#endif
