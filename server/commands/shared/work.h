/* How much of a large operand a command goes over: what tells long work from short (struct command, `work`).
 * Estimates from the arguments alone, before these have been checked: what makes no sense is no work. */
#ifndef SERVER_COMMANDS_SHARED_WORK_H
#define SERVER_COMMANDS_SHARED_WORK_H

#include "server/command/command.h"

/* What a string of that size lacks to reach `end`, where something is written: that has to be zeroed. */
uint64_t work_of_growth(uint64_t end, uint64_t size);
/* As many as the third argument says, if there is one. */
uint64_t work_of_count(const struct call *call, uint64_t size);
/* As many as COUNT says at the end, or next to nothing. (There may be many keys, each with all arguments.) */
uint64_t work_of_last_count(const struct call *call, uint64_t size);
/* As many as COUNT says among the options, or next to nothing. */
uint64_t work_of_scan(const struct call *call, uint64_t size);
/* All but what MAXLEN keeps; for other bounds it may be all. */
uint64_t work_of_maxlen(const struct call *call, uint64_t size);
/* As long as it is, for each of its bytes: it is compared with another one, which is taken to be as long. */
uint64_t work_of_pairs(const struct call *call, uint64_t size);
/* From the third argument's place to the fourth's, both included; negative ones count from the end. */
uint64_t work_of_range(const struct call *call, uint64_t size);
/* All but those. */
uint64_t work_of_trim(const struct call *call, uint64_t size);
/* XPENDING: as many as its count says, or all if it looks for those that have been idle. */
uint64_t work_of_pending(const struct call *call, uint64_t size);
/* Up to what LIMIT or COUNT says, or all. */
uint64_t work_of_limit(const struct call *call, uint64_t size);
/* ZRANGE: one of the two. */
uint64_t work_of_zrange(const struct call *call, uint64_t size);

#endif
