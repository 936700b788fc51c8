/* A set of integers: sorted, in one allocation, each in as many bytes (2, 4 or 8) as the widest needs. The
 * smallest form of a set ("intset"). */
#ifndef SHARD_VALUE_NUMBERS_H
#define SHARD_VALUE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct numbers;

struct numbers *numbers_create(void); /* empty; NULL when out of memory. free() frees one */
struct numbers *numbers_copy(const struct numbers *numbers);
uint32_t numbers_count(const struct numbers *numbers);
size_t numbers_bytes(const struct numbers *numbers);               /* as the allocator counts them */
int64_t numbers_at(const struct numbers *numbers, uint32_t index); /* in ascending order */
bool numbers_has(const struct numbers *numbers, int64_t number);
/* *numbers may move. -1 when out of memory, else whether it is new. */
int numbers_add(struct numbers **numbers, int64_t number);
/* Returns whether it was there. */
bool numbers_remove(struct numbers **numbers, int64_t number);

#endif
