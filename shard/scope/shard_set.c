#include "shard_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void shard_set_init(struct shard_set *set) {
    set->count = 0;
    set->capacity = sizeof set->few / sizeof set->few[0];
    set->numbers = set->few;
}

void shard_set_clear(struct shard_set *set) {
    set->count = 0;
}

void shard_set_free(struct shard_set *set) {
    if (set->numbers != set->few) free(set->numbers);
    shard_set_init(set);
}

static bool set_grow(struct shard_set *set) {
    uint32_t capacity = (set->capacity + 1) * 4;
    uint32_t *numbers = malloc(capacity * sizeof *numbers);
    if (numbers == NULL) return false;
    memcpy(numbers, set->numbers, set->count * sizeof *numbers);
    if (set->numbers != set->few) free(set->numbers);
    set->numbers = numbers;
    set->capacity = capacity;
    return true;
}

/* Where the number is, or belongs. */
static uint32_t set_place(const struct shard_set *set, uint32_t number) {
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool shard_set_has(const struct shard_set *set, uint32_t number) {
    uint32_t place = set_place(set, number);
    return place < set->count && set->numbers[place] == number;
}

void shard_set_remove(struct shard_set *set, uint32_t number) {
    uint32_t place = set_place(set, number);
    assert(place < set->count && set->numbers[place] == number);
    set->count--;
    memmove(set->numbers + place, set->numbers + place + 1, (set->count - place) * sizeof *set->numbers);
}

bool shard_set_add(struct shard_set *set, uint32_t number) {
    bool is_last = set->count == 0 || set->numbers[set->count - 1] < number;
    uint32_t place = is_last ? set->count : set_place(set, number);
    if (!is_last && set->numbers[place] == number) return true;
    if (set->count == set->capacity && !set_grow(set)) return false;
    if (!is_last)
        memmove(set->numbers + place + 1, set->numbers + place, (set->count - place) * sizeof *set->numbers);
    set->numbers[place] = number;
    set->count++;
    return true;
}
