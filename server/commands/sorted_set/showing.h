/* Members of a sorted set as a reply, with scores or without. */
#ifndef SERVER_COMMANDS_SORTED_SET_SHOWING_H
#define SERVER_COMMANDS_SORTED_SET_SHOWING_H

#include "resp/reply.h"
#include "shard/value/packed.h"

/* With scores, a member is a pair of its own in RESP3, two elements in RESP2. */
struct showing {
    struct reply *reply;
    bool has_scores;
};

/* Before the members: how many follow. */
void showing_head(const struct showing *showing, uint64_t count);
/* Replies one; as sorted_each calls it, with a struct showing as context. Returns true. */
bool showing_one(void *showing, const struct packed_text *member, double score);
/* A whole sorted set, lowest scores first; NULL is an empty one. */
void reply_sorted(const void *value, bool has_scores, struct reply *reply);

#endif
