#include "numbers.h"

#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"

struct numbers {
    uint32_t width; /* 2, 4 or 8 bytes */
    uint32_t count;
    unsigned char bytes[];
};

static size_t size_of(uint32_t width, uint32_t count) {
    return memory_good_size(sizeof(struct numbers) + (size_t)width * count);
}

static uint32_t width_of(int64_t number) {
    if (number >= INT16_MIN && number <= INT16_MAX) return 2;
    return number >= INT32_MIN && number <= INT32_MAX ? 4 : 8;
}

static int64_t read_at(const struct numbers *numbers, uint32_t width, uint32_t index) {
    const unsigned char *at = numbers->bytes + (size_t)width * index;
    int16_t two;
    int32_t four;
    int64_t eight;
    switch (width) {
    case 2: memcpy(&two, at, sizeof two); return two;
    case 4: memcpy(&four, at, sizeof four); return four;
    default: memcpy(&eight, at, sizeof eight); return eight;
    }
}

/* Little-endian: the low bytes are the number in fewer. */
static void write_at(struct numbers *numbers, uint32_t index, int64_t number) {
    memcpy(numbers->bytes + (size_t)numbers->width * index, &number, numbers->width);
}

struct numbers *numbers_create(void) {
    struct numbers *numbers = malloc(size_of(2, 0));
    if (numbers != NULL) *numbers = (struct numbers){.width = 2};
    return numbers;
}

struct numbers *numbers_copy(const struct numbers *numbers) {
    struct numbers *copy = malloc(size_of(numbers->width, numbers->count));
    if (copy != NULL) memcpy(copy, numbers, sizeof *numbers + (size_t)numbers->width * numbers->count);
    return copy;
}

uint32_t numbers_count(const struct numbers *numbers) {
    return numbers->count;
}

size_t numbers_bytes(const struct numbers *numbers) {
    return memory_size(numbers);
}

int64_t numbers_at(const struct numbers *numbers, uint32_t index) {
    return read_at(numbers, numbers->width, index);
}

/* Where the number is, or belongs. */
static uint32_t place_of(const struct numbers *numbers, int64_t number) {
    uint32_t low = 0, high = numbers->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (numbers_at(numbers, middle) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool numbers_has(const struct numbers *numbers, int64_t number) {
    uint32_t place = place_of(numbers, number);
    return place < numbers->count && numbers_at(numbers, place) == number;
}

static bool resize(struct numbers **numbers, uint32_t width, uint32_t count) {
    if (size_of(width, count) == size_of((*numbers)->width, (*numbers)->count)) return true;
    struct numbers *moved = journal_realloc(*numbers, size_of(width, count));
    if (moved == NULL) return false;
    *numbers = moved;
    return true;
}

/* Before a change, as what it was may have to come back. */
static bool own(struct numbers **numbers) {
    struct numbers *owned = journal_own(*numbers);
    if (owned != NULL) *numbers = owned;
    return owned != NULL;
}

/* From behind, so that none is written over before it is read. */
static void widen(struct numbers *numbers, uint32_t width) {
    uint32_t before = numbers->width;
    numbers->width = width;
    for (uint32_t i = numbers->count; i-- > 0;) write_at(numbers, i, read_at(numbers, before, i));
}

int numbers_add(struct numbers **numbers, int64_t number) {
    uint32_t place = place_of(*numbers, number), width = width_of(number), count = (*numbers)->count;
    if (place < count && numbers_at(*numbers, place) == number) return 0;
    if (width < (*numbers)->width) width = (*numbers)->width;
    if (!own(numbers) || !resize(numbers, width, count + 1)) return -1;
    if (width > (*numbers)->width) widen(*numbers, width);
    unsigned char *at = (*numbers)->bytes + (size_t)width * place;
    memmove(at + width, at, (size_t)width * (count - place));
    write_at(*numbers, place, number);
    (*numbers)->count++;
    return 1;
}

bool numbers_remove(struct numbers **numbers, int64_t number) {
    uint32_t place = place_of(*numbers, number), width = (*numbers)->width, count = (*numbers)->count;
    if (place == count || numbers_at(*numbers, place) != number) return false;
    if (!own(numbers)) journal_break();
    unsigned char *at = (*numbers)->bytes + (size_t)width * place;
    memmove(at, at + width, (size_t)width * (count - 1 - place));
    resize(numbers, width, count - 1); /* harmless: a failure only leaves it larger */
    (*numbers)->count--;
    return true;
}
