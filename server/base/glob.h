/* Redis's glob patterns (stringmatchlen): * ? [a-z] [^x] \x. */
#ifndef SERVER_BASE_GLOB_H
#define SERVER_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the whole text is what the pattern says. Takes time that is at most the product of both lengths,
 * and some tens of milliseconds in all: a search that is longer finds nothing. */
bool glob_matches(const char *pattern, size_t pattern_length, const char *text, size_t length,
                  bool ignores_case);

#endif
