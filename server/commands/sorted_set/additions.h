/* Adding members to a sorted set under conditions: what ZADD and GEOADD have in common. */
#ifndef SERVER_COMMANDS_SORTED_SET_ADDITIONS_H
#define SERVER_COMMANDS_SORTED_SET_ADDITIONS_H

#include "server/command/command.h"

enum zadd_flag {
    ZADD_NX = 1 << 0,
    ZADD_XX = 1 << 1,
    ZADD_GT = 1 << 2,
    ZADD_LT = 1 << 3,
    ZADD_CH = 1 << 4,
    ZADD_INCR = 1 << 5
};

/* From argument `first` on, each `step`th argument is a member; scores[i] is the i-th one's. Replies how many
 * are new, or what flags ask for. */
struct additions {
    uint32_t flags;
    uint32_t first, step;
    const double *scores;
};
void sorted_add(struct write_scope *scope, const struct call *call, const struct additions *additions,
                struct reply *reply);

#endif
