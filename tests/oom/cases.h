/* What is tried with too little memory: for each command of the table some calls, in states of the keys that
 * they are about. */
#ifndef TESTS_OOM_CASES_H
#define TESTS_OOM_CASES_H

#include <stddef.h>

/* How much the keys hold: a few elements; as many as a packed form takes; so many more that a table or a
 * node is full, and the next one splits it; many times that. The keys of each state have its name before
 * theirs. */
enum fullness { STATE_SMALL, STATE_PACKED, STATE_LARGE, STATE_LONG, STATE_COUNT };
extern const char *const state_names[STATE_COUNT];
/* How many elements that are, with the limits that the harness sets. */
extern const int state_elements[STATE_COUNT];

/* Of a state's keys, "s:" standing for its name: s:h is a hash, s:l and s:m are lists, s:e and s:f sets, s:n
 * is one of numbers, s:z and s:y are sorted sets, s:g holds places, s:x is a stream with a group, s:k
 * another of whose pending entries some are gone, s:t a string, s:i a number, s:d a string with an expiry,
 * s:b a long one that has grown; s:p and s:q are HyperLogLogs. s:new isn't there.
 *
 * "@" in a line stands for the state's name and ":". A case that draws by chance ("?" before it) is only
 * checked to have changed nothing when it says so; and what "~" stands before may also leave its change out,
 * as that is of use later at most (a count that is kept). */
extern const char *const cases[];
extern const size_t case_count;

/* Rows without a case, each with the reason beside it. */
extern const char *const left_out[];
extern const size_t left_out_count;

#endif
