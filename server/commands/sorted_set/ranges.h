/* Ranges of a sorted set as commands name them: by rank, by score ("(1.5", "-inf") or by name ("[a", "(b",
 * "-", "+"). */
#ifndef SERVER_COMMANDS_SORTED_SET_RANGES_H
#define SERVER_COMMANDS_SORTED_SET_RANGES_H

#include "shard/value/sorted.h"
#include "server/command/command.h"

enum range_kind { RANGE_RANK, RANGE_SCORE, RANGE_NAME };

struct range {
    enum range_kind kind;
    int64_t start, end;               /* ranks, negative ones from the end */
    double least, most;               /* scores */
    struct text first, last;          /* names, unless: */
    bool first_is_all, last_is_all;   /* "-" and "+" */
    bool first_is_none, last_is_none; /* "+" as the first and "-" as the last: nothing is in it */
    bool excludes_first, excludes_last;
};

/* Reads both bounds, or replies what is wrong and returns false. */
bool range_parse(enum range_kind kind, const struct bulk *first, const struct bulk *last, struct range *range,
                 struct reply *reply);
/* Finds the ranks that are in the range: returns how many, from *rank on. */
uint64_t range_resolve(const struct range *range, const void *value, uint64_t *rank);
/* Reads a score: "1", "inf", "0x10". false if it is none. */
bool score_parse(const struct bulk *argument, double *score);

#endif
