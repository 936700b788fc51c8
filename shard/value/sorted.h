/* Sorted sets: members with scores, in the order of scores, and of names where these are equal. Small ones
 * are packed pairs in that order ("listpack"), others a dictionary and a ranking (ranking.h) over the same
 * allocations ("skiplist", as Redis names it), from zset-max-listpack-entries and -value on.
 *
 * A rank is a member's place in the order, from 0 on. Ranges of scores and names are ranges of ranks:
 * sorted_below and sorted_before tell where they begin and end, in O(log n). */
#ifndef SHARD_VALUE_SORTED_H
#define SHARD_VALUE_SORTED_H

#include "packed.h"
#include "value.h"

/* Empty, for about so many members with names of up to `longest` bytes. NULL when out of memory. */
void *sorted_create(uint64_t expected, size_t longest);
/* Packs a large one that fits. Out of memory: it stays large. A packed one knows no -0, which a large one
 * keeps. */
void sorted_pack(void **value);
uint64_t sorted_count(const void *value);
/* Returns whether it is there, and its score. */
bool sorted_score(const void *value, struct text member, double *score);
/* Likewise, and its rank. */
bool sorted_rank(const void *value, struct text member, uint64_t *rank, double *score);

enum scored {
    SCORED_FAILED /* out of memory */,
    SCORED_NEW,
    SCORED_OTHERWISE /* had another score */,
    SCORED_SAME
};
/* score is a number. */
enum scored sorted_put(void **value, struct text member, double score);
/* Returns whether it was there. */
bool sorted_remove(void **value, struct text member);
void sorted_remove_range(void **value, uint64_t rank, uint64_t count);

/* How many members have a lower score, or with or_equal, no higher one. */
uint64_t sorted_below(const void *value, double score, bool or_equal);
/* How many members' names are before this one, or with or_equal, not behind it; all scores are the same. */
uint64_t sorted_before(const void *value, struct text name, bool or_equal);

/* Stops when it returns false. */
typedef bool sorted_visitor(void *context, const struct packed_text *member, double score);
/* `count` members from a rank on, forwards or backwards. */
void sorted_each(const void *value, uint64_t rank, uint64_t count, bool is_backwards, sorted_visitor *visit,
                 void *context);
/* As dictionary_scan; a packed one is visited whole. */
uint64_t sorted_scan(const void *value, uint64_t position, uint64_t count, sorted_visitor *visit,
                     void *context);
/* One drawn evenly; not empty. */
void sorted_random(const void *value, struct packed_text *member, double *score);

/* A score as text, so that it reads back the same. Returns its length, below 32. */
size_t score_format(char *out, double score);

#endif
