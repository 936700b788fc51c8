/* How an entry is laid out (the picture is in entry.h), for the files of shard/ that make entries. */
#ifndef SHARD_ENTRY_ENTRY_LAYOUT_H
#define SHARD_ENTRY_ENTRY_LAYOUT_H

#include <string.h>

#include "entry.h"
#include "../base/key.h"
#include "../base/words.h"

#define KIND_EXPIRES 0x80u
#define KEY_LENGTH_LONG 255u
_Static_assert(sizeof(struct entry) == sizeof(uint64_t) && offsetof(struct entry, rest) == sizeof(uint64_t),
               "the header is one word, which a reader without a lock reads at once");
_Static_assert(TYPE_COUNT <= 16 && ENCODING_VALUE <= 7, "type, encoding and expiry fit a byte");
/* As OBJECT ENCODING shows them: strings up to this many bytes are "embstr". */
#define SHORT_MOST 44

static inline enum type kind_type(uint8_t kind) {
    return (enum type)(kind & 15u);
}
static inline enum encoding kind_encoding(uint8_t kind) {
    return (enum encoding)(kind >> 4 & 7u);
}
static inline enum encoding entry_encoding(const struct entry *entry) {
    return kind_encoding(entry->kind);
}
/* Of a string of that length whose bytes stand in the entry. */
static inline enum encoding encoding_of_string(size_t length) {
    return length <= SHORT_MOST ? ENCODING_SHORT : ENCODING_INLINE;
}
static inline uint8_t kind_of_string(size_t length) {
    return (uint8_t)(TYPE_STRING | encoding_of_string(length) << 4);
}
static inline bool entry_expires(const struct entry *entry) {
    return (entry->kind & KIND_EXPIRES) != 0;
}
static inline unsigned char *entry_key_length_place(const struct entry *entry) {
    return (unsigned char *)(uintptr_t)entry->rest + (entry_expires(entry) ? 8 : 0);
}
static inline size_t entry_key_length(const struct entry *entry) {
    if (entry->key_length != KEY_LENGTH_LONG) return entry->key_length;
    uint32_t length;
    memcpy(&length, entry_key_length_place(entry), sizeof length);
    return length;
}
static inline unsigned char *entry_key_place(const struct entry *entry) {
    return entry_key_length_place(entry) + (entry->key_length == KEY_LENGTH_LONG ? 4 : 0);
}
static inline unsigned char *entry_value_place(const struct entry *entry) {
    return entry_key_place(entry) + entry_key_length(entry);
}
static inline void *entry_pointer(const struct entry *entry) {
    void *pointer;
    memcpy(&pointer, entry_value_place(entry), sizeof pointer);
    return pointer;
}
static inline void entry_set_pointer(struct entry *entry, void *pointer) {
    memcpy(entry_value_place(entry), &pointer, sizeof pointer);
}

/* Changes bytes behind the header in place, for readers without a lock to see: in whole words, atomically.
 * The shard is held exclusively. */
void entry_store(struct entry *entry, unsigned char *place, const void *bytes, size_t length);

/* What follows reads an entry that somebody may be changing (words.h). It can't be freed meanwhile: the
 * caller is inside the gate. */

/* All of the header but `access` stays as it is while others can see the entry; only a string that has grown
 * in place changes its length. */
struct entry_header {
    uint8_t kind, key_length;
    uint16_t access;
    uint32_t value_length;
};
static inline struct entry_header entry_read_header(const struct entry *entry) {
    uint64_t word = words_read(entry, 0);
    struct entry_header header;
    memcpy(&header, &word, sizeof header);
    return header;
}
static inline size_t header_key_offset(struct entry_header header) {
    return sizeof header + ((header.kind & KIND_EXPIRES) != 0 ? 8 : 0) +
           (header.key_length == KEY_LENGTH_LONG ? 4 : 0);
}
static inline bool entry_is(const struct entry *entry, const struct key *key) {
    struct entry_header header = entry_read_header(entry);
    if (key->length < KEY_LENGTH_LONG) {
        const unsigned char *place = entry->rest + ((header.kind & KIND_EXPIRES) != 0 ? 8 : 0);
        return header.key_length == key->length && words_equal_aligned(place, key->data, key->length);
    }
    size_t offset = header_key_offset(header);
    return header.key_length == KEY_LENGTH_LONG &&
           (uint32_t)words_take(entry, offset - 4, 4) == key->length &&
           words_equal(entry, offset, key->data, key->length);
}
/* It has one. */
static inline int64_t entry_read_expiry(const struct entry *entry) {
    return (int64_t)words_read(entry, offsetof(struct entry, rest) / 8);
}
/* Whether the value is a string that stands behind the key, as most do, and nothing else does. */
static inline bool header_is_plain(struct entry_header header) {
    return header.kind == (TYPE_STRING | ENCODING_SHORT << 4) ||
           header.kind == (TYPE_STRING | ENCODING_INLINE << 4);
}
/* Copies at most `size` bytes of a string's value to where they are wanted; *length is its whole length. key
 * is the entry's. false if the bytes may be read under the lock only. */
bool entry_read_apart(const struct entry *entry, struct entry_header header, size_t offset, char *out,
                      size_t size, size_t *length);
static inline bool entry_read_string(const struct entry *entry, struct entry_header header,
                                     const struct key *key, char *out, size_t size, size_t *length) {
    size_t offset = sizeof header + (key->length >= KEY_LENGTH_LONG ? 4 : 0) + key->length;
    *length = header.value_length;
    if (header_is_plain(header)) {
        words_copy(entry, offset, out, *length < size ? *length : size);
        return true;
    }
    enum encoding encoding = kind_encoding(header.kind);
    if ((header.kind & KIND_EXPIRES) != 0) offset += 8;
    if (encoding != ENCODING_SHORT && encoding != ENCODING_INLINE)
        return entry_read_apart(entry, header, offset, out, size, length);
    words_copy(entry, offset, out, *length < size ? *length : size);
    return true;
}
/* Copies the whole entry. Its pointer, if it has one, must not be followed before the copy is known to be
 * sound. Returns the copy's bytes, a multiple of 8, or 0 if there is no room for it. */
size_t entry_copy_words(const struct entry *entry, uint64_t *words, size_t room);

/* Frees an entry that nobody sees; and one that others may still be looking at, when they have gone. What it
 * has apart goes with it; a value with a structure, which may be large, in slices. */
struct lane;
void entry_free(struct entry *entry);
void entry_retire(struct lane *lane, struct entry *entry);
/* entry_free, but for a value with a structure, which gets slices of its own. */
void entry_discard(struct lane *lane, struct entry *entry);

/* Bytes of an entry whose value part has that many. */
size_t entry_size(size_t key_length, bool expires, size_t value_bytes);
/* An entry with its key and expiry, its value part still to be written. NULL when out of memory. */
struct entry *entry_create(enum type type, enum encoding encoding, const struct key *key, int64_t expiry,
                           size_t value_bytes, uint32_t value_length);
/* What a string may become: anything; no integer; neither that nor "embstr". */
enum form { FORM_ANY, FORM_TEXT, FORM_RAW };
/* A string in whichever form costs least; a reference to blob is taken if it is given. */
struct entry *entry_create_string(const struct key *key, int64_t expiry, const char *data, size_t length,
                                  struct blob *blob, enum form form);
struct entry *entry_create_integer(const struct key *key, int64_t expiry, int64_t value);
struct entry *entry_create_value(enum type type, const struct key *key, int64_t expiry, void *value);
/* An entry of the same value for a key that may be another one, with another expiry. The value's memory apart
 * is taken over if takes_value (the source is then to be freed by entry_free_shell), else copied or
 * shared. */
struct entry *entry_create_like(const struct entry *source, const struct key *key, int64_t expiry,
                                bool takes_value);

#endif
