/* A packed sequence: short strings and integers in one allocation, for values that are small.
 *
 *     +-------------+---------+---------+---------+- - -+------+
 *     | total bytes | count   | element | element |     | 0xFF |
 *     | 4 B         | 2 B     |         |         |     |      |
 *     +-------------+---------+---------+---------+- - -+------+
 *
 *     element   +----------+-------+---------------------------+
 *               | encoding | bytes | length of the two, 1..5 B |   the length stands behind, so that one can
 *                   walk backwards
 *               +----------+-------+---------------------------+
 *
 * The bytes are those of a listpack (Salvatore Sanfilippo, https://github.com/antirez/listpack), so that
 * dumps can take them as they are. A canonical integer of 64 bits is held as a number, whatever way it came.
 * Numbers are little-endian.
 *
 * Places are offsets of elements from the start; PACKED_END is none. A change makes places behind it void. */
#ifndef SHARD_VALUE_PACKED_H
#define SHARD_VALUE_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packed;
#define PACKED_END 0u
/* No packed sequence gets larger than this; an insertion that would make it so fails like one out of memory.
 * Callers convert long before. */
#define PACKED_MOST ((size_t)1 << 30)

struct packed *packed_create(void); /* empty; NULL when out of memory */
/* free() frees one. */
struct packed *packed_copy(const struct packed *packed);
uint32_t packed_count(const struct packed *packed); /* O(1) up to 65534 elements, beyond that it walks */
size_t packed_length(const struct packed *packed);  /* bytes in use, the header and end included */
size_t packed_bytes(const struct packed *packed);   /* bytes the allocator gave */

uint32_t packed_first(const struct packed *packed);
uint32_t packed_last(const struct packed *packed);
uint32_t packed_next(const struct packed *packed, uint32_t at);
uint32_t packed_previous(const struct packed *packed, uint32_t at);
/* The index-th element; negative ones count from the end (-1 is the last). PACKED_END if there is none. Goes
 * from the nearer end. */
uint32_t packed_at(const struct packed *packed, int64_t index);

/* An element as a string. data points into the sequence, or to digits for a number. */
struct packed_text {
    const char *data;
    size_t length;
    bool is_integer;
    int64_t integer; /* if is_integer */
    char digits[24];
};
void packed_get(const struct packed *packed, uint32_t at, struct packed_text *text);
/* True, and the value, if the element is held as a number; cheaper than packed_get. */
bool packed_integer(const struct packed *packed, uint32_t at, int64_t *value);
bool packed_equals(const struct packed *packed, uint32_t at, const char *data, size_t length);
/* The first of the elements at `at`, and then each (skip + 1)-th behind it, that equals the string: skip 1
 * finds fields among pairs. */
uint32_t packed_find(const struct packed *packed, uint32_t at, const char *data, size_t length,
                     uint32_t skip);

/* The changes. *packed may move. false when out of memory: nothing has changed. */

/* For a change that is made of several: it stays the same allocation in all of them that need no more room,
 * also if a journal (journal.h) has to keep what it was. */
bool packed_own(struct packed **packed);
/* Inserts before `at`, or at the end (PACKED_END). *place (unless NULL) becomes the new element's place. */
bool packed_insert(struct packed **packed, uint32_t at, const char *data, size_t length, uint32_t *place);
bool packed_insert_integer(struct packed **packed, uint32_t at, int64_t value, uint32_t *place);
/* Several at once, in order, with one allocation. */
struct text;
bool packed_insert_many(struct packed **packed, uint32_t at, const struct text *texts, uint32_t count);
/* Likewise, at the end, for a caller with numbers among them: an element is looked at once, and then
 * written. */
struct packed_draft {
    const char *data; /* NULL: a number */
    size_t length;
    int64_t integer;
    size_t bytes;
};
struct packed_draft packed_draft_text(const char *data, size_t length);
struct packed_draft packed_draft_integer(int64_t value);
bool packed_append(struct packed **packed, const struct packed_draft *drafts, uint32_t count);
bool packed_replace(struct packed **packed, uint32_t at, const char *data, size_t length);
bool packed_replace_integer(struct packed **packed, uint32_t at, int64_t value);
/* Removes that many elements from `at` on. Gives memory back where that pays; never fails. Returns the place
 * of the element behind, or PACKED_END. */
uint32_t packed_remove(struct packed **packed, uint32_t at, uint32_t count);

/* An element's bytes as they stand in the sequence, without the length behind. */
const unsigned char *packed_raw(const struct packed *packed, uint32_t at, uint32_t *length);
/* A sequence written into memory that is known to be long enough, from such bytes: each is put at `at`, and
 * then said to be that long. */
struct packed_writing {
    unsigned char *memory, *at;
    uint32_t count;
};
struct packed_writing packed_write_begin(void *memory);
void packed_write_element(struct packed_writing *writing, uint32_t length);
void packed_write_integer(struct packed_writing *writing, int64_t value);
const struct packed *packed_write_end(struct packed_writing *writing);

/* True if these bytes are a whole, well-formed sequence: for what comes from outside, and is then taken by
 * packed_copy, which gives it the room that the others have. Reads nothing beyond `length`. */
bool packed_is_valid(const void *bytes, size_t length);

#endif
