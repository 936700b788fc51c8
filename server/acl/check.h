/* Whether rules allow a call: its command, its keys, its channels, in this order. Takes no lock, and memory
 * only for a call of many keys. */
#ifndef SERVER_ACL_CHECK_H
#define SERVER_ACL_CHECK_H

#include "server/command/command.h"
#include "rules.h"

/* In the order of Redis: of what several selectors say, the greatest counts. */
enum verdict { VERDICT_ALLOWED, VERDICT_COMMAND, VERDICT_KEY, VERDICT_CHANNEL, VERDICT_NO_MEMORY };

/* *position: the argument for which it is denied; 0 if that is the command. The row takes
 * so many arguments. */
enum verdict rules_check(const struct rules *rules, const struct command *command,
                         const struct bulk *arguments, uint32_t count, uint32_t *position);

/* Whether one of the selectors allows the command, whatever its keys and channels: of a call with so many
 * arguments as the row may not take. */
bool rules_allow_command(const struct rules *rules, const struct command *command,
                         const struct bulk *arguments, uint32_t count);

/* Patterns of SORT, BY and GET, name keys that can't be known before: who may not read all of them may not
 * use these. Returns the error to reply, or NULL; NULL for every other command. */
const char *rules_sort_error(const struct rules *rules, const struct command *command,
                             const struct bulk *arguments, uint32_t count);

/* Whether one of the selectors allows hearing that. A pattern has to stand in the rules literally. */
bool rules_allow_channel(const struct rules *rules, const char *name, size_t length, bool is_pattern);
/* Whether somebody who heard what the old rules allow may hear something that the new ones don't. */
bool rules_narrow_channels(const struct rules *old, const struct rules *fresh);

/* "User x has no permissions to run the 'get' command", or a shorter one that names no key. object: the
 * argument for which it is denied; NULL: that isn't named. Returns the length, cut to size - 1. */
size_t verdict_text(enum verdict verdict, const char *user, const struct command *command,
                    const struct bulk *object, char *out, size_t size);

#endif
