/* Which of a row of names is this one: an index by a keyed hash, for rows that a client makes as long as it
 * likes. The names themselves are the caller's. */
#ifndef SERVER_SCRIPT_NAMES_H
#define SERVER_SCRIPT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct name_place {
    uint32_t hash, number; /* 1 + that of its name; 0: free */
};

/* All zero is an empty one, which owns nothing. */
struct names {
    const char *(*name_at)(const void *row, uint32_t number);
    bool folds_case;           /* "A" is "a" */
    struct name_place *places; /* a power of two */
    uint32_t capacity, count;
};

#define NAMES_NONE UINT32_MAX

/* Its number in the row, or NAMES_NONE. */
uint32_t names_find(const struct names *names, const void *row, const char *name, size_t length);
/* The row has one more, which it hasn't had. false: no memory. */
bool names_add(struct names *names, const char *name, size_t length, uint32_t number);
void names_free(struct names *names);

#endif
