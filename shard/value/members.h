/* Sets. Of integers only: sorted numbers ("intset", up to set-max-intset-entries); small: packed ("listpack",
 * up to set-max-listpack-entries and -value); else a dictionary ("hashtable"). Once larger, a set doesn't
 * become smaller again. */
#ifndef SHARD_VALUE_MEMBERS_H
#define SHARD_VALUE_MEMBERS_H

#include "packed.h"
#include "value.h"

/* An empty one for that member to come first, and about so many with it. NULL when out of memory. */
void *members_create(struct text first, uint64_t expected);
uint64_t members_count(const void *value);
bool members_has(const void *value, struct text member);
/* -1 when out of memory, else whether it is new. */
int members_add(void **value, struct text member);
/* Returns whether it was there. */
bool members_remove(void **value, struct text member);

/* Stops when it returns false. */
typedef bool members_visitor(void *context, const struct packed_text *member);
void members_each(const void *value, members_visitor *visit, void *context);
/* As dictionary_scan; one that is no dictionary is visited whole. */
uint64_t members_scan(const void *value, uint64_t position, uint64_t count, members_visitor *visit,
                      void *context);
/* One drawn evenly; not empty. */
void members_random(const void *value, struct packed_text *member);

#endif
