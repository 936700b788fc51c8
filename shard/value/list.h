/* Lists. A small one is one packed sequence ("listpack"), a larger one a row of them ("quicklist"): a ring of
 * nodes, so that both ends take O(1), with each node's count beside it, so that an element is found by going
 * over counts, 8 KB of elements at a time. Nodes are as large as list-max-listpack-size says; those in the
 * middle may be folded (folded.h), as list-compress-depth says. Indexes are from 0 to count - 1. */
#ifndef SHARD_VALUE_LIST_H
#define SHARD_VALUE_LIST_H

#include "packed.h"
#include "value.h"

void *list_create(void); /* empty; NULL when out of memory */
uint64_t list_count(const void *value);
/* The text is good until the thread looks at another list. */
void list_get(const void *value, uint64_t index, struct packed_text *text);

/* All that return bool return false when out of memory, and then nothing has changed. */

/* At the front or the end. About `more` bytes in `count` elements are to come in the same command, this one
 * included: they decide the form. */
void list_expect(void **value, size_t more, uint64_t count);
bool list_push(void **value, bool is_front, struct text text);
bool list_set(void **value, uint64_t index, struct text text);
/* Before the element at index, which may be the count. */
bool list_insert(void **value, uint64_t index, struct text text);
/* That many from index on. */
void list_remove(void **value, uint64_t index, uint64_t count);
/* Removes elements equal to the text: up to `count` from the front, or from the end if it is negative, all if
 * it is 0. Returns how many. */
uint64_t list_remove_equal(void **value, struct text text, int64_t count);

/* Visits `count` elements from index on, forwards or backwards. Stops when visit returns false. A text is
 * good for its visit only, and visit looks at no other list. */
typedef bool list_visitor(void *context, const struct packed_text *text);
void list_each(const void *value, uint64_t index, uint64_t count, bool is_backwards, list_visitor *visit,
               void *context);

#endif
