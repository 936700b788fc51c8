/* An entry: one key and its value, in one allocation.
 *
 *     +------+------------+---------+--------------+- - - - - -+ - - - - - - - - +-----+-------------------+
 *     | kind | key length | access  | value length |  expiry   | long key length | key | value             |
 *     | 1 B  | 1 B        | 2 B     | 4 B          | 8 B, opt. | 4 B, opt.       |     |                   |
 *     +------+------------+---------+--------------+- - - - - -+ - - - - - - - - +-----+-------------------+
 *
 * kind          type (4 bits), encoding (3 bits), "has an expiry" (1 bit)
 * key length    255 says that the long key length counts
 * access        what eviction and OBJECT IDLETIME need to know; the one field that a shared holder may write
 *               (relaxed)
 * value length  of a string in bytes; other types are free to use it
 * value         by encoding: the bytes themselves, an integer, or a pointer to bytes that are apart
 *               (unaligned: read by memcpy)
 *
 * An entry is reached only through a scope (scope.h) and changed only through an edit. What is changed in
 * place (an integer, a short value, an expiry) is written in whole words, atomically: a reader without a lock
 * copies the words and finds out afterwards whether they belong together. The bytes of ENCODING_GROWN, and
 * all of a value with a structure, are written plainly, and so may be read only with the lock. */
#ifndef SHARD_ENTRY_ENTRY_H
#define SHARD_ENTRY_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../value/type.h"
#include "blob.h"

enum encoding {
    ENCODING_INTEGER, /* a string that is a canonical 64-bit integer */
    ENCODING_SHORT,   /* bytes behind the key; Redis's embstr: at most 44 bytes, never changed in place */
    ENCODING_INLINE,  /* bytes behind the key; Redis's raw */
    ENCODING_APART,   /* pointer to a private allocation, never changed in place */
    ENCODING_BLOB,    /* pointer to a reference-counted, immutable struct blob (values above BLOB_LEAST) */
    /* pointer to a blob that is changed in place while nobody else refers to it, and may have room behind the
     * bytes */
    ENCODING_GROWN,
    ENCODING_VALUE, /* no string: pointer to a value with a structure (value/value.h) */
};

#define ENTRY_NO_EXPIRY INT64_MIN

struct entry {
    uint8_t kind;
    uint8_t key_length;
    _Atomic uint16_t access;
    uint32_t value_length;
    unsigned char rest[];
};

enum type entry_type(const struct entry *entry);
/* "int", "embstr", "raw", ... as OBJECT ENCODING answers. */
const char *entry_encoding_name(const struct entry *entry);
/* Unix time in milliseconds, or ENTRY_NO_EXPIRY. */
int64_t entry_expiry(const struct entry *entry);
const char *entry_key(const struct entry *entry, size_t *length);
/* Seconds since the last access that was counted; of those that are some hours ago to the minute, and not
 * more than 12 days. now: usage_now. */
int64_t entry_idle_seconds(const struct entry *entry, int64_t now);
/* What a value of so many bytes takes, with its entry, in the allocator's sizes. */
size_t entry_room_for(size_t bytes);
/* Bytes that the entry owns, as the allocator counts them. */
size_t entry_bytes(const struct entry *entry);

/* A string's bytes. They live as long as the scope, or, for a blob, as long as a reference to it is held. */
struct string_view {
    const char *data;
    size_t length;
    struct blob *blob; /* the blob the bytes are in, else NULL; blob_retain to keep them beyond the scope */
    char digits[24];   /* data points here for an integer */
};

/* entry is of TYPE_STRING. */
void entry_string(const struct entry *entry, struct string_view *view);
/* True, and the value, if the string is held as an integer. */
bool entry_integer(const struct entry *entry, int64_t *value);
/* Length without rendering the bytes. */
size_t entry_string_length(const struct entry *entry);

/* The value of an entry that is no string (value/value.h). Never of an optimistic scope: those have none. */
const void *entry_value(const struct entry *entry);

#endif
