/* The table of commands: every row there is, found by name, by number, or one after the other.
 *
 * Rows are set up once at start and never change afterwards, so any thread may read them. */
#ifndef SERVER_COMMAND_COMMAND_TABLE_H
#define SERVER_COMMAND_COMMAND_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "command.h"

/* Fills the table from the files of commands, each an array of rows that ends with one without name: copies
 * and numbers them, finds each subcommand's command, and builds the index. Before any other thread; a second
 * time it does nothing. Names that stand for two rows, and a subcommand without a command, are mistakes
 * (asserted). */
void command_table_init(const struct command *const *files, size_t count);

/* What rename-command asks for, after command_table_init and before any other thread: `from` is found as `to`
 * only, or not at all if that is empty. false, logged, if there is no such command or `to` is taken. */
bool command_table_rename(const char *from, const char *to);
/* Whether there is a command of that name, in any case, which has no parent. */
bool command_table_has(const char *name);

/* How many rows there are, subcommands included; ids are below that. Subcommands that clients are not told of
 * (DEBUG's) share the id of their command. */
uint32_t command_table_count(void);
const struct command *command_by_id(uint32_t id);
/* How many clients are told of: rows without the subcommands. */
uint32_t command_count(void);

/* "get" or "config|get", in any case. NULL if there is none. */
const struct command *command_find(const struct bulk *name);
/* The "get" of "config", in any case; also one that clients are not told of. NULL if there is none. */
const struct command *command_find_subcommand(const struct command *command, const struct bulk *name);

/* The row that these arguments mean, a subcommand's own if it has one, whatever their number. NULL if there
 * is none. */
const struct command *command_meant(const struct bulk *arguments, uint32_t count);

/* The same in *command. Replies Redis's error and returns false if there is none (then *command is NULL) or
 * if their number is wrong (then it is the row). */
bool command_check(const struct bulk *arguments, uint32_t count, const struct command **command,
                   struct reply *reply);

/* The row of a command without subcommands, if that is what the arguments mean and their number is right;
 * else NULL, and command_check knows. */
const struct command *command_look_up(const struct bulk *arguments, uint32_t count);

/* Whether the row takes so many arguments, its own name included. */
bool command_arity_fits(const struct command *command, uint32_t count);

/* Where the keys are: indexes of arguments, in the order of the row's key specs. `flags` (may be NULL) gets
 * each one's enum key_flag set, as far as the arguments decide it. Returns how many there are, at most
 * `capacity` (`count` is always enough), or -1 if the row has none or the arguments don't fit it. */
int command_find_keys(const struct command *command, const struct bulk *arguments, uint32_t count,
                      uint32_t *positions, uint32_t *flags, uint32_t capacity);
/* Whether each of the row's specs finds a key, as COMMAND GETKEYS demands; not if it is behind a keyword that
 * isn't there. */
bool command_has_all_keys(const struct command *command, const struct bulk *arguments, uint32_t count);

#endif
