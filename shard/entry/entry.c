#include "entry.h"

#include <assert.h>

#include "access.h"
#include "entry_layout.h"
#include "../base/memory.h"
#include "../base/number.h"
#include "../lock/reclaim.h"
#include "../value/kinds.h"
#include "../value/value.h"

/* ------------------------------------------------------------------ reading */

enum type entry_type(const struct entry *entry) {
    return kind_type(entry->kind);
}

const char *entry_encoding_name(const struct entry *entry) {
    switch (entry_encoding(entry)) {
    case ENCODING_INTEGER: return "int";
    case ENCODING_SHORT: return "embstr";
    case ENCODING_INLINE:
    case ENCODING_APART:
    case ENCODING_BLOB:
    case ENCODING_GROWN: return "raw";
    case ENCODING_VALUE: return value_kind(entry_type(entry))->encoding_name(entry_pointer(entry));
    }
    return "unknown";
}

int64_t entry_expiry(const struct entry *entry) {
    if (!entry_expires(entry)) return ENTRY_NO_EXPIRY;
    int64_t expiry;
    memcpy(&expiry, entry->rest, sizeof expiry);
    return expiry;
}

const char *entry_key(const struct entry *entry, size_t *length) {
    *length = entry_key_length(entry);
    return (const char *)entry_key_place(entry);
}

int64_t entry_idle_seconds(const struct entry *entry, int64_t now) {
    return access_idle_seconds(access_read(entry), now);
}

static bool holds_blob(const struct entry *entry) {
    return entry_encoding(entry) == ENCODING_BLOB || entry_encoding(entry) == ENCODING_GROWN;
}

size_t entry_bytes(const struct entry *entry) {
    size_t bytes = memory_size(entry);
    if (entry_encoding(entry) == ENCODING_APART) bytes += memory_size(entry_pointer(entry));
    if (holds_blob(entry)) bytes += blob_bytes(entry_pointer(entry));
    if (entry_encoding(entry) == ENCODING_VALUE)
        bytes += value_kind(entry_type(entry))->bytes(entry_pointer(entry));
    return bytes;
}

/* Header and expiry of an entry; header of a blob, and the entry that refers to it. */
#define ENTRY_OVERHEAD 32

size_t entry_room_for(size_t bytes) {
    return memory_good_size(bytes + ENTRY_OVERHEAD) + ENTRY_OVERHEAD;
}

static int64_t integer_of(const struct entry *entry) {
    int64_t value;
    memcpy(&value, entry_value_place(entry), sizeof value);
    return value;
}

void entry_string(const struct entry *entry, struct string_view *view) {
    assert(entry_type(entry) == TYPE_STRING);
    view->data = "";
    view->blob = NULL;
    view->length = entry->value_length;
    switch (entry_encoding(entry)) {
    case ENCODING_INTEGER:
        view->length = number_format(view->digits, integer_of(entry));
        view->data = view->digits;
        return;
    case ENCODING_SHORT:
    case ENCODING_INLINE: view->data = (const char *)entry_value_place(entry); return;
    case ENCODING_APART: view->data = entry_pointer(entry); return;
    case ENCODING_BLOB:
    case ENCODING_GROWN:
        view->blob = entry_pointer(entry);
        view->data = view->blob->data;
        /* A short one is cheaper to copy than to refer to. */
        if (view->length <= BLOB_LEAST) view->blob = NULL;
        return;
    case ENCODING_VALUE: return;
    }
}

const void *entry_value(const struct entry *entry) {
    assert(entry_encoding(entry) == ENCODING_VALUE);
    return entry_pointer(entry);
}

bool entry_integer(const struct entry *entry, int64_t *value) {
    if (entry_encoding(entry) != ENCODING_INTEGER) return false;
    *value = integer_of(entry);
    return true;
}

size_t entry_string_length(const struct entry *entry) {
    if (entry_encoding(entry) != ENCODING_INTEGER) return entry->value_length;
    char digits[24];
    return number_format(digits, integer_of(entry));
}

/* ------------------------------------------------------------------ with readers that hold no lock */

typedef _Atomic uint64_t word;

/* Some bytes of one word. */
static void word_store_part(word *at, size_t within, const unsigned char *bytes, size_t length) {
    uint64_t value = atomic_load_explicit(at, memory_order_relaxed);
    memcpy((unsigned char *)&value + within, bytes, length);
    atomic_store_explicit(at, value, memory_order_release);
}

void entry_store(struct entry *entry, unsigned char *place, const void *from, size_t length) {
    const unsigned char *bytes = from;
    size_t offset = (size_t)(place - (unsigned char *)entry), within = offset % sizeof(uint64_t);
    void *begin = place - within;
    word *at = begin;
    assert(offset >= sizeof *entry && "the header has a field that others write");
    if (within > 0 && length > 0) {
        size_t part = sizeof(uint64_t) - within < length ? sizeof(uint64_t) - within : length;
        word_store_part(at++, within, bytes, part);
        bytes += part;
        length -= part;
    }
    for (; length >= 32; length -= 32, bytes += 32, at += 4) {
        words_set_pair(at, bytes);
        words_set_pair(at + 2, bytes + 16);
    }
    for (; length >= sizeof(uint64_t); length -= sizeof(uint64_t), bytes += sizeof(uint64_t))
        word_set_from(at++, bytes);
    if (length > 0) word_store_part(at, 0, bytes, length);
}

static size_t value_part(const struct entry *header) {
    switch (entry_encoding(header)) {
    case ENCODING_INTEGER: return sizeof(int64_t);
    case ENCODING_SHORT:
    case ENCODING_INLINE: return header->value_length;
    default: return sizeof(void *);
    }
}

static void copy_words(const struct entry *entry, uint64_t *words, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) words[i] = words_read(entry, i);
}

size_t entry_copy_words(const struct entry *entry, uint64_t *words, size_t room) {
    const struct entry *header = (const struct entry *)words;
    if (room < 24) return 0;
    copy_words(entry, words, 0, 2); /* no entry is smaller */
    size_t have = 2;
    /* A long key's length stands behind an expiry, if there is one; then there are more words. */
    if (header->key_length == KEY_LENGTH_LONG) copy_words(entry, words, have++, 3);
    size_t bytes = entry_size(entry_key_length(header), entry_expires(header), value_part(header));
    if (bytes > room) return 0;
    copy_words(entry, words, have, bytes / sizeof(uint64_t));
    return bytes;
}

/* Bytes apart never change, and are not freed before the entry that they were found in. */
bool entry_read_apart(const struct entry *entry, struct entry_header header, size_t offset, char *out,
                      size_t size, size_t *length) {
    uint64_t word = words_take(entry, offset, sizeof word);
    const void *apart = (const void *)(uintptr_t)word;
    char digits[24];
    switch (kind_encoding(header.kind)) {
    case ENCODING_INTEGER:
        *length = number_format(digits, (int64_t)word);
        apart = digits;
        break;
    case ENCODING_APART: break;
    case ENCODING_BLOB: apart = ((const struct blob *)apart)->data; break;
    default: return false;
    }
    size_t copied = *length < size ? *length : size;
    if (copied > 0) memcpy(out, apart, copied); /* to ask for the length takes no buffer */
    return true;
}

/* ------------------------------------------------------------------ making */

size_t entry_size(size_t key_length, bool expires, size_t value_bytes) {
    size_t size = sizeof(struct entry) + (expires ? 8 : 0) + (key_length >= KEY_LENGTH_LONG ? 4 : 0) +
                  key_length + value_bytes;
    /* A slot has no room for the four low bits of an address, and entries are copied by whole words. */
    return size < 16 ? 16 : (size + 7) & ~(size_t)7;
}

struct entry *entry_create(enum type type, enum encoding encoding, const struct key *key, int64_t expiry,
                           size_t value_bytes, uint32_t value_length) {
    bool expires = expiry != ENTRY_NO_EXPIRY;
    struct entry *entry = malloc(entry_size(key->length, expires, value_bytes));
    if (entry == NULL) return NULL;
    entry->kind = (uint8_t)((unsigned)type | (unsigned)encoding << 4 | (expires ? KIND_EXPIRES : 0u));
    entry->key_length = (uint8_t)(key->length >= KEY_LENGTH_LONG ? KEY_LENGTH_LONG : key->length);
    atomic_init(&entry->access, 0);
    entry->value_length = value_length;
    if (expires) memcpy(entry->rest, &expiry, sizeof expiry);
    if (key->length >= KEY_LENGTH_LONG) {
        uint32_t length = (uint32_t)key->length;
        memcpy(entry_key_length_place(entry), &length, sizeof length);
    }
    if (key->length > 0) memcpy(entry_key_place(entry), key->data, key->length);
    return entry;
}

struct entry *entry_create_integer(const struct key *key, int64_t expiry, int64_t value) {
    struct entry *entry = entry_create(TYPE_STRING, ENCODING_INTEGER, key, expiry, sizeof value, 0);
    if (entry != NULL) memcpy(entry_value_place(entry), &value, sizeof value);
    return entry;
}

static struct entry *create_with_pointer(enum type type, enum encoding encoding, const struct key *key,
                                         int64_t expiry, void *pointer, size_t length) {
    struct entry *entry = entry_create(type, encoding, key, expiry, sizeof pointer, (uint32_t)length);
    if (entry != NULL) entry_set_pointer(entry, pointer);
    return entry;
}

struct entry *entry_create_value(enum type type, const struct key *key, int64_t expiry, void *value) {
    return create_with_pointer(type, ENCODING_VALUE, key, expiry, value, 0);
}

static struct entry *create_blob(const struct key *key, int64_t expiry, const char *data, size_t length,
                                 struct blob *blob) {
    if (blob != NULL) {
        blob_retain(blob);
    } else {
        blob = blob_create(length);
        if (blob == NULL) return NULL;
        assert(data != NULL);
        memcpy(blob->data, data, length);
    }
    struct entry *entry = create_with_pointer(TYPE_STRING, ENCODING_BLOB, key, expiry, blob, length);
    if (entry == NULL) blob_release(blob);
    return entry;
}

static struct entry *create_apart(const struct key *key, int64_t expiry, const char *data, size_t length) {
    char *bytes = malloc(length);
    if (bytes == NULL) return NULL;
    memcpy(bytes, data, length);
    struct entry *entry = create_with_pointer(TYPE_STRING, ENCODING_APART, key, expiry, bytes, length);
    if (entry == NULL) free(bytes);
    return entry;
}

/* True if the allocator wastes less on two allocations than on one: 512 bytes in an entry of 536 would take
 * 640. */
static bool is_cheaper_apart(const struct key *key, bool expires, size_t length) {
    if (length < 128) return false;
    size_t in_line = memory_good_size(entry_size(key->length, expires, length));
    size_t apart =
        memory_good_size(entry_size(key->length, expires, sizeof(void *))) + memory_good_size(length);
    return apart < in_line;
}

struct entry *entry_create_string(const struct key *key, int64_t expiry, const char *data, size_t length,
                                  struct blob *blob, enum form form) {
    int64_t value;
    if (form == FORM_ANY && length <= NUMBER_DIGITS && number_parse(data, length, &value))
        return entry_create_integer(key, expiry, value);
    if (length > BLOB_LEAST) return create_blob(key, expiry, data, length, blob);
    if (is_cheaper_apart(key, expiry != ENTRY_NO_EXPIRY, length))
        return create_apart(key, expiry, data, length);
    enum encoding encoding = form == FORM_RAW ? ENCODING_INLINE : encoding_of_string(length);
    struct entry *entry = entry_create(TYPE_STRING, encoding, key, expiry, length, (uint32_t)length);
    if (entry != NULL && length > 0) memcpy(entry_value_place(entry), data, length);
    return entry;
}

static struct entry *create_copy(const struct entry *source, const struct key *key, int64_t expiry) {
    const struct value_kind *kind = value_kind(entry_type(source));
    void *value = kind->copy(entry_pointer(source));
    struct entry *entry = value == NULL ? NULL : entry_create_value(entry_type(source), key, expiry, value);
    if (entry == NULL && value != NULL) value_free(kind, value);
    return entry;
}

struct entry *entry_create_like(const struct entry *source, const struct key *key, int64_t expiry,
                                bool takes_value) {
    enum encoding encoding = entry_encoding(source);
    struct entry *entry = NULL;
    if (encoding == ENCODING_INTEGER) {
        entry = entry_create_integer(key, expiry, integer_of(source));
    } else if (takes_value && encoding >= ENCODING_APART) {
        entry = create_with_pointer(entry_type(source), encoding, key, expiry, entry_pointer(source),
                                    source->value_length);
    } else if (encoding == ENCODING_VALUE) {
        entry = create_copy(source, key, expiry);
    } else {
        struct string_view view;
        entry_string(source, &view);
        entry = entry_create_string(key, expiry, view.data, view.length, view.blob,
                                    encoding == ENCODING_SHORT ? FORM_TEXT : FORM_RAW);
    }
    if (entry != NULL)
        atomic_store_explicit(&entry->access, atomic_load_explicit(&source->access, memory_order_relaxed),
                              memory_order_relaxed);
    return entry;
}

/* ------------------------------------------------------------------ freeing */

void entry_free(struct entry *entry) {
    if (entry_encoding(entry) == ENCODING_VALUE)
        value_free(value_kind(entry_type(entry)), entry_pointer(entry));
    if (entry_encoding(entry) == ENCODING_APART) free(entry_pointer(entry));
    if (holds_blob(entry)) blob_release(entry_pointer(entry));
    free(entry);
}

static void release_entry(void *entry) {
    entry_free(entry);
}

static void discard_value(struct lane *lane, const struct entry *entry) {
    const struct value_kind *kind = value_kind(entry_type(entry));
    void *value = entry_pointer(entry);
    lane_discard(lane, value, kind->free_some, kind->count(value), kind->bytes(value));
}

void entry_discard(struct lane *lane, struct entry *entry) {
    if (entry_encoding(entry) == ENCODING_VALUE) {
        discard_value(lane, entry);
        free(entry);
    } else {
        entry_free(entry);
    }
}

/* Readers without a lock see the pointer to a value at most, and never follow it: that may be freed as soon
 * as there is time. */
void entry_retire(struct lane *lane, struct entry *entry) {
    if (entry_encoding(entry) == ENCODING_VALUE) {
        discard_value(lane, entry);
        lane_retire(lane, entry, memory_size(entry), NULL);
        return;
    }
    bool is_one = entry_encoding(entry) < ENCODING_APART;
    lane_retire(lane, entry, entry_bytes(entry), is_one ? NULL : release_entry);
}
