/* Taking elements out of the first of several keys that has any, and waiting for one that has: what commands
 * about lists (LMPOP, BLPOP) and about sorted sets have in common.
 *
 * A command that waits takes what is there, like the command it is named after, or says what it would wait
 * for. When a key is filled later, the command is run again for that key alone: so it works through
 * call->keys, and not through its arguments. */
#ifndef SERVER_COMMANDS_SHARED_POPS_H
#define SERVER_COMMANDS_SHARED_POPS_H

#include "server/command/command.h"

enum popped {
    POP_DONE,    /* replied */
    POP_EMPTY,   /* there is nothing, and nothing was replied */
    POP_REFUSED, /* an error was replied */
};

/* Takes up to `count` elements from the first of a value's two ends or from the other, and replies the key
 * and what was taken: one element, or an array if there may be many. */
typedef enum popped pop_function(struct write_scope *scope, const struct key *key, bool is_first,
                                 uint64_t count, bool is_many, struct reply *reply);

/* Seconds, with fractions, in milliseconds; 0 is for ever. Replies what is wrong and returns false. */
bool timeout_parse(const struct bulk *argument, int64_t now, int64_t *timeout, struct reply *reply);
/* What is left to do when nothing was there: to wait for the first so many keys (0: all), or where a command
 * may not wait to answer as if its time were up. */
void wait_or_reply(const struct call *call, enum type type, int64_t timeout, uint32_t keys,
                   struct reply *reply);

/* key ... timeout: BLPOP and its like. */
void pop_or_wait(struct write_scope *scope, const struct call *call, enum type type, pop_function *pop,
                 bool is_first, struct reply *reply);
/* numkeys key ... end [COUNT count]: LMPOP and ZMPOP; `ends` are the words for a value's two. */
void mpop(struct write_scope *scope, const struct call *call, pop_function *pop, const char *const ends[2],
          struct reply *reply);
/* timeout numkeys key ... end [COUNT count] */
void mpop_or_wait(struct write_scope *scope, const struct call *call, enum type type, pop_function *pop,
                  const char *const ends[2], struct reply *reply);

#endif
