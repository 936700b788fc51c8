/* Taking elements out: what LPOP, LMOVE, ZPOPMIN and their like have in common with the commands that wait
 * for something to take. */
#ifndef SERVER_COMMANDS_SHARED_POPS_H
#define SERVER_COMMANDS_SHARED_POPS_H

#include "server/command/command.h"

enum popped {
    POP_DONE,    /* replied */
    POP_EMPTY,   /* there is nothing, and nothing was replied */
    POP_REFUSED, /* an error was replied */
};

/* Takes up to `count` elements of a list and replies [key, element], or with has_count [key, [element,
 * ...]]. */
enum popped pop_list(struct write_scope *scope, const struct key *key, bool is_front, uint64_t count,
                     bool has_count, struct reply *reply);
/* Likewise of a sorted set: [key, member, score], or with has_pairs [key, [[member, score], ...]]. */
enum popped pop_sorted(struct write_scope *scope, const struct key *key, bool is_lowest, uint64_t count,
                       bool has_pairs, struct reply *reply);
/* Moves an element from one list's end to another's, and replies it. */
enum popped move_element(struct write_scope *scope, const struct key *from, const struct key *to,
                         bool from_front, bool to_front, struct reply *reply);
/* LEFT or RIGHT; or replies a syntax error. */
bool end_parse(const struct bulk *argument, bool *is_front, struct reply *reply);

/* numkeys key ... end [COUNT count], from argument `first` on: LMPOP, ZMPOP and their waiting forms. */
struct mpop {
    bool is_first; /* the first of the two ends */
    uint64_t count;
};
bool mpop_parse(const struct call *call, uint32_t first, const char *const ends[2], struct mpop *mpop,
                struct reply *reply);

#endif
