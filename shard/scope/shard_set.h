/* Which shards: a set of shard numbers, in their order. Small sets live in the struct. */
#ifndef SHARD_SCOPE_SHARD_SET_H
#define SHARD_SCOPE_SHARD_SET_H

#include <stdbool.h>
#include <stdint.h>

struct shard_set {
    uint32_t count;
    uint32_t capacity;
    uint32_t *numbers; /* ascending, distinct */
    uint32_t few[16];
};

void shard_set_init(struct shard_set *set);
void shard_set_clear(struct shard_set *set);
void shard_set_free(struct shard_set *set);
/* It has that one only: what most requests need. */
static inline void shard_set_be(struct shard_set *set, uint32_t number) {
    set->numbers[0] = number;
    set->count = 1;
}
/* false when out of memory. Adding one that is there changes nothing. */
bool shard_set_add(struct shard_set *set, uint32_t number);
/* Of one that is there (asserted). */
void shard_set_remove(struct shard_set *set, uint32_t number);
bool shard_set_has(const struct shard_set *set, uint32_t number);

#endif
