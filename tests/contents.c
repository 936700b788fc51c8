/* Rows stand one behind the other in one array of words; an index of open addressing finds a row by what is
 * in it. */
#include "contents.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    size_t first; /* its place among the words */
    uint32_t count;
    uint32_t hash;
};

struct contents {
    int64_t *words;
    size_t word_count, word_capacity;
    struct row *rows;
    size_t count, capacity;
    uint32_t *index; /* a row's number + 1; 4 * capacity of them */
};

static void *must(void *memory) {
    if (memory != NULL) return memory;
    fputs("contents: out of memory\n", stderr);
    exit(1);
}

struct contents *contents_open(void) {
    struct contents *contents = must(calloc(1, sizeof *contents));
    contents->capacity = 16;
    contents->word_capacity = 64;
    contents->words = must(malloc(contents->word_capacity * sizeof *contents->words));
    contents->rows = must(malloc(contents->capacity * sizeof *contents->rows));
    contents->index = must(calloc(contents->capacity * 4, sizeof *contents->index));
    return contents;
}

void contents_close(struct contents *contents) {
    free(contents->words);
    free(contents->rows);
    free(contents->index);
    free(contents);
}

static uint32_t hash_of(const int64_t *elements, size_t count) {
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ (uint64_t)elements[i]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

static bool is_row(const struct contents *contents, const struct row *row, const int64_t *elements,
                   size_t count) {
    return row->count == count &&
           (count == 0 || memcmp(contents->words + row->first, elements, count * sizeof *elements) == 0);
}

static void index_put(struct contents *contents, uint32_t hash, size_t number) {
    size_t mask = contents->capacity * 4 - 1, at = hash & mask;
    while (contents->index[at] != 0) at = (at + 1) & mask;
    contents->index[at] = (uint32_t)number + 1;
}

static void grow(struct contents *contents) {
    contents->capacity *= 2;
    contents->rows = must(realloc(contents->rows, contents->capacity * sizeof *contents->rows));
    free(contents->index);
    contents->index = must(calloc(contents->capacity * 4, sizeof *contents->index));
    for (size_t i = 0; i < contents->count; i++) index_put(contents, contents->rows[i].hash, i);
}

static int64_t add_row(struct contents *contents, const int64_t *elements, size_t count, uint32_t hash) {
    if (count > CONTENTS_MOST) {
        fputs("contents: more elements than it is made for\n", stderr);
        abort();
    }
    if (contents->count == contents->capacity) grow(contents);
    if (contents->word_capacity - contents->word_count < count) {
        contents->word_capacity = (contents->word_capacity + count) * 2;
        contents->words = must(realloc(contents->words, contents->word_capacity * sizeof *contents->words));
    }
    struct row row = {contents->word_count, (uint32_t)count, hash};
    if (count > 0) memcpy(contents->words + row.first, elements, count * sizeof *elements);
    contents->word_count += count;
    contents->rows[contents->count] = row;
    index_put(contents, hash, contents->count);
    return (int64_t)contents->count++;
}

int64_t contents_number(struct contents *contents, const int64_t *elements, size_t count) {
    uint32_t hash = hash_of(elements, count);
    size_t mask = contents->capacity * 4 - 1;
    for (size_t at = hash & mask; contents->index[at] != 0; at = (at + 1) & mask) {
        uint32_t number = contents->index[at] - 1;
        const struct row *row = &contents->rows[number];
        if (row->hash == hash && is_row(contents, row, elements, count)) return number;
    }
    return add_row(contents, elements, count, hash);
}

const int64_t *contents_elements(const struct contents *contents, int64_t number, size_t *count) {
    const struct row *row = &contents->rows[number];
    *count = row->count;
    return contents->words + row->first;
}

size_t contents_count(const struct contents *contents) {
    return contents->count;
}
