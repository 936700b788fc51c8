/* What lists and sets hold, as numbers that stand for it: the same content is always the same number, so that
 * states which hold lists are compared and copied as cheaply as those of strings ("hash consing"). */
#ifndef TESTS_CONTENTS_H
#define TESTS_CONTENTS_H

#include <stddef.h>
#include <stdint.h>

/* More elements than that end the program: a history of lists wants to pop as much as it pushes. */
#define CONTENTS_MOST 4096

struct contents;

struct contents *contents_open(void); /* ends the program when out of memory, as all of these */
void contents_close(struct contents *contents);
/* The number of these elements in this order; never negative. */
int64_t contents_number(struct contents *contents, const int64_t *elements, size_t count);
/* The elements, to be read until the next contents_number. */
const int64_t *contents_elements(const struct contents *contents, int64_t number, size_t *count);
size_t contents_count(const struct contents *contents); /* of different ones */

#endif
