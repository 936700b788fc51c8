/* What the first byte of an element says:
 *
 *     0xxxxxxx              a number from 0 to 127         11110000 + 4 B   a string, its length in 32 bits
 *     10xxxxxx              a string of up to 63 bytes     11110001 + 2 B   a number of 16 bits
 *     110xxxxx + 1 B        a number of 13 bits, signed    11110010 + 3 B   of 24
 *     1110xxxx + 1 B        a string of up to 4095 bytes   11110011 + 4 B   of 32
 *                                                          11110100 + 8 B   of 64
 *
 * Behind it stands how long it was, in groups of 7 bits, the last byte holding the lowest; all but the first
 * have their high bit set, so that it can be read from behind. */
#include "packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"
#include "../base/number.h"
#include "value.h"

#define HEADER 6u
#define END 0xFFu
#define COUNT_UNKNOWN 65535u
#define NUMBER_DIGITS 20

struct packed {
    unsigned char bytes[1];
};

/* An element's first part, read. */
struct head {
    uint32_t header; /* bytes before the string, or of the whole number */
    uint32_t length; /* of the string; 0 for a number */
    bool is_integer;
    int64_t integer;
};

static uint32_t load32(const unsigned char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint16_t load16(const unsigned char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t total_of(const struct packed *packed) {
    return load32(packed->bytes);
}

static void total_set(struct packed *packed, size_t total) {
    uint32_t value = (uint32_t)total;
    memcpy(packed->bytes, &value, sizeof value);
}

static uint16_t count_field(const struct packed *packed) {
    return load16(packed->bytes + 4);
}

static void count_set(struct packed *packed, uint64_t count) {
    uint16_t value = count < COUNT_UNKNOWN ? (uint16_t)count : (uint16_t)COUNT_UNKNOWN;
    memcpy(packed->bytes + 4, &value, sizeof value);
}

/* ------------------------------------------------------------------ reading elements */

static int64_t load_signed(const unsigned char *at, unsigned bytes) {
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(value << shift) >> shift;
}

static inline struct head head_read(const unsigned char *at) {
    unsigned char first = at[0];
    if (first < 0x80) return (struct head){1, 0, true, first};
    if (first < 0xC0) return (struct head){1, first & 0x3Fu, false, 0};
    if (first < 0xE0) {
        int64_t value = (int64_t)(first & 0x1Fu) << 8 | at[1];
        return (struct head){2, 0, true, value >= 4096 ? value - 8192 : value};
    }
    if (first < 0xF0) return (struct head){2, (uint32_t)(first & 0x0Fu) << 8 | at[1], false, 0};
    switch (first) {
    case 0xF0: return (struct head){5, load32(at + 1), false, 0};
    case 0xF1: return (struct head){3, 0, true, load_signed(at + 1, 2)};
    case 0xF2: return (struct head){4, 0, true, load_signed(at + 1, 3)};
    case 0xF3: return (struct head){5, 0, true, load_signed(at + 1, 4)};
    default: return (struct head){9, 0, true, load_signed(at + 1, 8)};
    }
}

static inline uint32_t back_bytes(size_t length) {
    return 1u + (length > 127) + (length > 16383) + (length > 2097151) + (length > 268435455);
}

/* Bytes of an element with all that belongs to it. */
static inline uint32_t element_bytes(const unsigned char *at) {
    struct head head = head_read(at);
    uint32_t length = head.header + head.length;
    return length + back_bytes(length);
}

static uint32_t back_write(unsigned char *at, size_t length) {
    uint32_t bytes = back_bytes(length);
    for (uint32_t i = bytes; i-- > 0; length >>= 7)
        at[i] = (unsigned char)((length & 0x7F) | (i > 0 ? 0x80 : 0));
    return bytes;
}

/* Reads the length that ends at the byte before `end`. */
static uint32_t back_read(const unsigned char *end, uint32_t *bytes) {
    uint32_t length = 0;
    *bytes = 0;
    for (;;) {
        unsigned char byte = *--end;
        length |= (uint32_t)(byte & 0x7F) << (7 * *bytes);
        ++*bytes;
        if ((byte & 0x80) == 0 || *bytes == 5) return length;
    }
}

/* ------------------------------------------------------------------ walking */

uint32_t packed_first(const struct packed *packed) {
    return packed->bytes[HEADER] == END ? PACKED_END : HEADER;
}

uint32_t packed_next(const struct packed *packed, uint32_t at) {
    at += element_bytes(packed->bytes + at);
    return packed->bytes[at] == END ? PACKED_END : at;
}

static uint32_t before(const struct packed *packed, uint32_t at) {
    uint32_t bytes, length = back_read(packed->bytes + at, &bytes);
    return at - bytes - length;
}

uint32_t packed_last(const struct packed *packed) {
    uint32_t end = total_of(packed) - 1;
    return end == HEADER ? PACKED_END : before(packed, end);
}

uint32_t packed_previous(const struct packed *packed, uint32_t at) {
    return at == HEADER ? PACKED_END : before(packed, at);
}

uint32_t packed_count(const struct packed *packed) {
    if (count_field(packed) != COUNT_UNKNOWN) return count_field(packed);
    uint32_t count = 0;
    for (uint32_t at = packed_first(packed); at != PACKED_END; at = packed_next(packed, at)) count++;
    return count;
}

uint32_t packed_at(const struct packed *packed, int64_t index) {
    int64_t count = packed_count(packed);
    if (index < 0) index += count;
    if (index < 0 || index >= count) return PACKED_END;
    if (index < count / 2 || index == 0) {
        uint32_t at = packed_first(packed);
        while (index-- > 0) at = packed_next(packed, at);
        return at;
    }
    uint32_t at = packed_last(packed);
    for (index = count - 1 - index; index > 0; index--) at = before(packed, at);
    return at;
}

size_t packed_length(const struct packed *packed) {
    return total_of(packed);
}

size_t packed_bytes(const struct packed *packed) {
    return memory_size(packed);
}

/* ------------------------------------------------------------------ elements as strings */

void packed_get(const struct packed *packed, uint32_t at, struct packed_text *text) {
    struct head head = head_read(packed->bytes + at);
    text->is_integer = head.is_integer;
    text->integer = head.integer;
    if (head.is_integer) {
        text->length = number_format(text->digits, head.integer);
        text->data = text->digits;
    } else {
        text->length = head.length;
        text->data = (const char *)packed->bytes + at + head.header;
    }
}

bool packed_integer(const struct packed *packed, uint32_t at, int64_t *value) {
    struct head head = head_read(packed->bytes + at);
    *value = head.integer;
    return head.is_integer;
}

/* What is searched for, looked at once. */
struct needle {
    const char *data;
    size_t length;
    bool is_integer;
    int64_t integer;
};

static struct needle needle_of(const char *data, size_t length) {
    struct needle needle = {data, length, false, 0};
    needle.is_integer = length <= NUMBER_DIGITS && number_parse(data, length, &needle.integer);
    return needle;
}

static inline bool is_needle(const unsigned char *at, const struct head *head, const struct needle *needle) {
    if (head->is_integer) return needle->is_integer && head->integer == needle->integer;
    return head->length == needle->length && memcmp(at + head->header, needle->data, needle->length) == 0;
}

bool packed_equals(const struct packed *packed, uint32_t at, const char *data, size_t length) {
    struct head head = head_read(packed->bytes + at);
    struct needle needle = needle_of(data, length);
    return is_needle(packed->bytes + at, &head, &needle);
}

uint32_t packed_find(const struct packed *packed, uint32_t at, const char *data, size_t length,
                     uint32_t skip) {
    if (at == PACKED_END) return PACKED_END;
    struct needle needle = needle_of(data, length);
    for (const unsigned char *here = packed->bytes + at; *here != END;) {
        struct head head = head_read(here);
        if (is_needle(here, &head, &needle)) return (uint32_t)(here - packed->bytes);
        uint32_t bytes = head.header + head.length;
        here += bytes + back_bytes(bytes);
        for (uint32_t i = 0; i < skip && *here != END; i++) here += element_bytes(here);
    }
    return PACKED_END;
}

/* ------------------------------------------------------------------ making room */

struct packed *packed_create(void) {
    struct packed *packed = journal_malloc(memory_good_size(HEADER + 1));
    if (packed == NULL) return NULL;
    total_set(packed, HEADER + 1);
    count_set(packed, 0);
    packed->bytes[HEADER] = END;
    return packed;
}

struct packed *packed_copy(const struct packed *packed) {
    uint32_t total = total_of(packed);
    struct packed *copy = journal_malloc(memory_good_size(total));
    if (copy != NULL) memcpy(copy->bytes, packed->bytes, total);
    return copy;
}

/* Before a change, as what it was may have to come back. */
bool packed_own(struct packed **packed) {
    assert(*packed != NULL);
    struct packed *owned = journal_own(*packed);
    if (owned != NULL) *packed = owned;
    return owned != NULL;
}

/* Replaces `gone` bytes at `at` by a gap of `come` bytes. Shrinking never fails. */
static bool splice(struct packed **packed, uint32_t at, size_t gone, size_t come) {
    size_t total = total_of(*packed), wanted = total - gone + come;
    size_t room = memory_good_size(total), fitting = memory_good_size(wanted);
    if (wanted > PACKED_MOST) return false;
    if (fitting > room) {
        struct packed *larger = journal_realloc(*packed, fitting);
        if (larger == NULL) return false;
        *packed = larger;
    }
    unsigned char *place = (*packed)->bytes + at;
    memmove(place + come, place + gone, total - at - gone);
    total_set(*packed, wanted);
    if (fitting < room) {
        struct packed *smaller = journal_realloc(*packed, fitting); /* harmless: it stays larger */
        if (smaller != NULL) *packed = smaller;
    }
    return true;
}

static uint32_t number_bytes(int64_t value) {
    if (value >= 0 && value <= 127) return 1;
    if (value >= -4096 && value <= 4095) return 2;
    if (value >= INT16_MIN && value <= INT16_MAX) return 3;
    if (value >= -8388608 && value <= 8388607) return 4;
    return value >= INT32_MIN && value <= INT32_MAX ? 5 : 9;
}

static void number_write(unsigned char *at, int64_t value, uint32_t bytes) {
    static const unsigned char firsts[] = {[3] = 0xF1, [4] = 0xF2, [5] = 0xF3, [9] = 0xF4};
    if (bytes == 1) {
        at[0] = (unsigned char)value;
    } else if (bytes == 2) {
        uint32_t bits = (uint32_t)value & 0x1FFF;
        at[0] = (unsigned char)(0xC0 | bits >> 8);
        at[1] = (unsigned char)bits;
    } else {
        at[0] = firsts[bytes];
        memcpy(at + 1, &value, bytes - 1);
    }
}

static uint32_t string_header(size_t length) {
    return length < 64 ? 1 : length < 4096 ? 2 : 5;
}

/* `bytes` of a draft are those without the length behind. */
struct packed_draft packed_draft_integer(int64_t value) {
    return (struct packed_draft){NULL, 0, value, number_bytes(value)};
}

struct packed_draft packed_draft_text(const char *data, size_t length) {
    int64_t value;
    if (length <= NUMBER_DIGITS && number_parse(data, length, &value)) return packed_draft_integer(value);
    return (struct packed_draft){length == 0 ? "" : data, length, 0, string_header(length) + length};
}

static size_t draft_bytes(const struct packed_draft *draft) {
    return draft->bytes + back_bytes(draft->bytes);
}

/* Returns how many bytes it took. */
static size_t draft_write(unsigned char *at, const struct packed_draft *draft) {
    if (draft->data == NULL) {
        number_write(at, draft->integer, (uint32_t)draft->bytes);
    } else {
        uint32_t header = string_header(draft->length);
        if (header == 1) {
            at[0] = (unsigned char)(0x80 | draft->length);
        } else if (header == 2) {
            at[0] = (unsigned char)(0xE0 | draft->length >> 8);
            at[1] = (unsigned char)draft->length;
        } else {
            uint32_t length = (uint32_t)draft->length;
            at[0] = 0xF0;
            memcpy(at + 1, &length, sizeof length);
        }
        memcpy(at + header, draft->data, draft->length);
    }
    return draft->bytes + back_write(at + draft->bytes, draft->bytes);
}

static void count_add(struct packed *packed, int64_t by) {
    uint16_t count = count_field(packed);
    if (count != COUNT_UNKNOWN) {
        count_set(packed, (uint64_t)((int64_t)count + by));
    } else if (by < 0) {
        count_set(packed, packed_count(packed)); /* it may be few enough again */
    }
}

static bool insert_draft(struct packed **packed, uint32_t at, const struct packed_draft *draft,
                         uint32_t *place) {
    if (draft->length > PACKED_MOST || !packed_own(packed)) return false;
    if (at == PACKED_END) at = total_of(*packed) - 1;
    if (!splice(packed, at, 0, draft_bytes(draft))) return false;
    draft_write((*packed)->bytes + at, draft);
    count_add(*packed, 1);
    if (place != NULL) *place = at;
    return true;
}

bool packed_insert(struct packed **packed, uint32_t at, const char *data, size_t length, uint32_t *place) {
    struct packed_draft draft = packed_draft_text(data, length);
    return insert_draft(packed, at, &draft, place);
}

bool packed_insert_integer(struct packed **packed, uint32_t at, int64_t value, uint32_t *place) {
    struct packed_draft draft = packed_draft_integer(value);
    return insert_draft(packed, at, &draft, place);
}

bool packed_insert_many(struct packed **packed, uint32_t at, const struct text *texts, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (texts[i].length > PACKED_MOST) return false;
        struct packed_draft draft = packed_draft_text(texts[i].data, texts[i].length);
        bytes += draft_bytes(&draft);
        if (bytes > PACKED_MOST) return false;
    }
    if (at == PACKED_END) at = total_of(*packed) - 1;
    if (!packed_own(packed) || !splice(packed, at, 0, bytes)) return false;
    unsigned char *place = (*packed)->bytes + at;
    for (uint32_t i = 0; i < count; i++) {
        struct packed_draft draft = packed_draft_text(texts[i].data, texts[i].length);
        place += draft_write(place, &draft);
    }
    count_add(*packed, count);
    return true;
}

bool packed_append(struct packed **packed, const struct packed_draft *drafts, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (drafts[i].length > PACKED_MOST) return false;
        bytes += draft_bytes(&drafts[i]);
        if (bytes > PACKED_MOST) return false;
    }
    uint32_t at = total_of(*packed) - 1;
    if (!packed_own(packed) || !splice(packed, at, 0, bytes)) return false;
    unsigned char *place = (*packed)->bytes + at;
    for (uint32_t i = 0; i < count; i++) place += draft_write(place, &drafts[i]);
    count_add(*packed, count);
    return true;
}

static bool replace_by_draft(struct packed **packed, uint32_t at, const struct packed_draft *draft) {
    size_t gone = element_bytes((*packed)->bytes + at), come = draft_bytes(draft);
    if (!packed_own(packed)) return false;
    if (gone != come && !splice(packed, at, gone, come)) return false;
    draft_write((*packed)->bytes + at, draft);
    return true;
}

bool packed_replace(struct packed **packed, uint32_t at, const char *data, size_t length) {
    if (length > PACKED_MOST) return false;
    struct packed_draft draft = packed_draft_text(data, length);
    return replace_by_draft(packed, at, &draft);
}

bool packed_replace_integer(struct packed **packed, uint32_t at, int64_t value) {
    struct packed_draft draft = packed_draft_integer(value);
    return replace_by_draft(packed, at, &draft);
}

uint32_t packed_remove(struct packed **packed, uint32_t at, uint32_t count) {
    if (!packed_own(packed)) journal_break();
    const unsigned char *begin = (*packed)->bytes + at, *end = begin;
    uint32_t removed = 0;
    for (; removed < count && *end != END; removed++) end += element_bytes(end);
    splice(packed, at, (size_t)(end - begin), 0);
    count_add(*packed, -(int64_t)removed);
    return (*packed)->bytes[at] == END ? PACKED_END : at;
}

/* ------------------------------------------------------------------ elements as bytes */

const unsigned char *packed_raw(const struct packed *packed, uint32_t at, uint32_t *length) {
    struct head head = head_read(packed->bytes + at);
    *length = head.header + head.length;
    return packed->bytes + at;
}

struct packed_writing packed_write_begin(void *memory) {
    return (struct packed_writing){memory, (unsigned char *)memory + HEADER, 0};
}

void packed_write_element(struct packed_writing *writing, uint32_t length) {
    writing->at += length;
    writing->at += back_write(writing->at, length);
    writing->count++;
}

void packed_write_integer(struct packed_writing *writing, int64_t value) {
    uint32_t bytes = number_bytes(value);
    number_write(writing->at, value, bytes);
    packed_write_element(writing, bytes);
}

const struct packed *packed_write_end(struct packed_writing *writing) {
    struct packed *packed = (struct packed *)writing->memory;
    *writing->at++ = END;
    total_set(packed, (size_t)(writing->at - writing->memory));
    count_set(packed, writing->count);
    return packed;
}

/* ------------------------------------------------------------------ bytes from outside */

/* Bytes of the element at `at`, if it is one and ends before `end`; else 0. */
static size_t element_check(const unsigned char *at, const unsigned char *end) {
    size_t left = (size_t)(end - at);
    unsigned char first = at[0];
    size_t header = first < 0xC0                     ? 1
                    : first < 0xF0                   ? 2
                    : first == 0xF0 || first == 0xF3 ? 5
                    : first == 0xF1                  ? 3
                    : first == 0xF2                  ? 4
                                                     : 9;
    if (first > 0xF4 || header > left) return 0;
    struct head head = head_read(at);
    size_t length = (size_t)head.header + head.length;
    if (length >= left || back_bytes(length) > left - length) return 0;
    uint32_t bytes;
    /* The length behind must be the shortest form of the one before. */
    if (back_read(at + length + back_bytes(length), &bytes) != length || bytes != back_bytes(length))
        return 0;
    return length + bytes;
}

bool packed_is_valid(const void *bytes, size_t length) {
    const unsigned char *begin = bytes, *at = begin + HEADER, *end = begin + length - 1;
    if (length < HEADER + 1 || load32(begin) != length || *end != END) return false;
    uint64_t count = 0;
    for (size_t element; at < end; at += element, count++)
        if ((element = element_check(at, end)) == 0) return false;
    uint16_t said = load16(begin + 4);
    return at == end && (said == COUNT_UNKNOWN || said == count);
}
