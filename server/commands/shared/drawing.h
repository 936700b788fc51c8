/* Elements drawn at random: HRANDFIELD, SRANDMEMBER and ZRANDMEMBER. */
#ifndef SERVER_COMMANDS_SHARED_DRAWING_H
#define SERVER_COMMANDS_SHARED_DRAWING_H

#include "server/command/command.h"

/* What is asked for behind the key: [count [word]]. */
struct draw {
    bool is_one;   /* no count is given: one element, or null if there is none */
    bool has_more; /* the word is there: WITHSCORES, WITHVALUES */
    int64_t count; /* negative: so many, of which some may be the same */
};
/* `word` is NULL where none may stand. Replies what is wrong and returns false. */
bool draw_parse(const struct call *call, const char *word, struct draw *draw, struct reply *reply);
/* How many elements that makes, if there are `size` of them. */
uint64_t draw_wanted(const struct draw *draw, uint64_t size);

/* Which of the elements of a value are to be drawn, when `count` different ones of `size` are wanted: going
 * over all of them, each in turn is asked for. Every choice is equally likely (Knuth, The Art of Computer
 * Programming 2, 3.4.2, algorithm S). */
struct selection {
    uint64_t left, wanted;
};
bool selection_takes(struct selection *selection);
/* Drawing single ones until enough are different is quicker where few of many are wanted. */
static inline bool selection_is_small(uint64_t size, uint64_t count) {
    return count > size / 8;
}
/* A set of addresses, for at most the `count` it was made for. */
struct pointers {
    const void **slots;
    size_t mask;
};
bool pointers_init(struct pointers *pointers, uint64_t count); /* false when out of memory */
/* Returns whether it is new. */
bool pointers_add(struct pointers *pointers, const void *pointer);
void pointers_free(struct pointers *pointers);

#endif
