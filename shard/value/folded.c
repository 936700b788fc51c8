#include "folded.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/journal.h"
#include "../base/memory.h"

#define LONG 15u
#define NUMBER_MOST 9u

struct folded {
    uint32_t count : 24;
    uint32_t width : 8; /* of numbers; 0: they are not all numbers */
    uint32_t packed_length;
    unsigned char bytes[];
};

/* An element as it is compared with its neighbour. */
struct raw {
    const unsigned char *bytes;
    uint32_t length;
    unsigned char number[NUMBER_MOST];
};

/* Where elements are written to. */
struct writer {
    unsigned char *at, *end;
    struct raw before;
    bool is_full;
};

/* What is being read, on this thread. */
static _Thread_local unsigned char unfolded[FOLDED_MOST];

/* ------------------------------------------------------------------ numbers */

static bool has_low_bytes_first(unsigned char first) {
    return first >= 0xF1 && first <= 0xF4;
}

static void turn(unsigned char *to, const unsigned char *from, uint32_t length) {
    to[0] = from[0];
    for (uint32_t i = 1; i < length; i++) to[i] = from[length - i];
}

static void raw_set(struct raw *raw, const unsigned char *bytes, uint32_t length) {
    raw->bytes = bytes;
    raw->length = length;
    if (length == 0 || !has_low_bytes_first(bytes[0])) return;
    turn(raw->number, bytes, length);
    raw->bytes = NULL; /* number */
}

static const unsigned char *raw_bytes(const struct raw *raw) {
    return raw->bytes == NULL ? raw->number : raw->bytes;
}

/* ------------------------------------------------------------------ writing */

static uint32_t length_bytes(uint32_t length) {
    return length < LONG ? 0 : length - LONG < 128 ? 1 : length - LONG < 16384 ? 2 : 3;
}

static unsigned char *length_write(unsigned char *at, uint32_t length) {
    if (length < LONG) return at;
    for (length -= LONG; length >= 128; length >>= 7) *at++ = (unsigned char)(length | 0x80);
    *at++ = (unsigned char)length;
    return at;
}

static uint32_t shared_length(const struct raw *one, const struct raw *other) {
    uint32_t most = one->length < other->length ? one->length : other->length, shared = 0;
    const unsigned char *a = raw_bytes(one), *b = raw_bytes(other);
    while (shared < most && a[shared] == b[shared]) shared++;
    return shared;
}

static void writer_add(struct writer *writer, const struct raw *raw) {
    uint32_t shared = shared_length(&writer->before, raw), rest = raw->length - shared;
    size_t needed = 1 + length_bytes(shared) + length_bytes(rest) + rest;
    writer->is_full = writer->is_full || needed > (size_t)(writer->end - writer->at);
    if (writer->is_full) return;
    *writer->at++ = (unsigned char)((shared < LONG ? shared : LONG) << 4 | (rest < LONG ? rest : LONG));
    writer->at = length_write(length_write(writer->at, shared), rest);
    memcpy(writer->at, raw_bytes(raw) + shared, rest);
    writer->at += rest;
    writer->before = *raw;
}

/* ------------------------------------------------------------------ making one */

struct extent {
    int64_t least, most;
    uint32_t count;
};

/* false if they are not all numbers. */
static bool extent_of(const struct packed *packed, struct extent *extent) {
    int64_t number;
    *extent = (struct extent){INT64_MAX, INT64_MIN, 0};
    for (uint32_t at = packed_first(packed); at != PACKED_END;
         at = packed_next(packed, at), extent->count++) {
        if (!packed_integer(packed, at, &number)) return false;
        if (number < extent->least) extent->least = number;
        if (number > extent->most) extent->most = number;
    }
    return extent->count > 0;
}

static uint32_t width_of(const struct extent *extent) {
    uint64_t farthest = (uint64_t)extent->most - (uint64_t)extent->least;
    return farthest == 0 ? 1 : 8 - (uint32_t)__builtin_clzll(farthest) / 8;
}

static struct folded *fold_numbers(const struct packed *packed, const struct extent *extent, size_t most) {
    uint32_t width = width_of(extent);
    size_t size =
        memory_good_size(sizeof(struct folded) + sizeof extent->least + (size_t)width * extent->count);
    struct folded *folded = size > most ? NULL : journal_malloc(size);
    if (folded == NULL) return NULL;
    *folded = (struct folded){.count = extent->count & 0xFFFFFFu,
                              .width = width & 0xFFu,
                              .packed_length = (uint32_t)packed_length(packed)};
    memcpy(folded->bytes, &extent->least, sizeof extent->least);
    unsigned char *place = folded->bytes + sizeof extent->least;
    for (uint32_t at = packed_first(packed); at != PACKED_END; at = packed_next(packed, at), place += width) {
        int64_t number;
        packed_integer(packed, at, &number);
        uint64_t offset = (uint64_t)number - (uint64_t)extent->least;
        memcpy(place, &offset, width); /* little-endian */
    }
    return folded;
}

struct folded *folded_create(const struct packed *packed) {
    size_t length = packed_length(packed), most = packed_bytes(packed) - packed_bytes(packed) / 8;
    struct extent extent;
    if (length > FOLDED_MOST || most <= sizeof(struct folded)) return NULL;
    if (extent_of(packed, &extent)) return fold_numbers(packed, &extent, most);
    /* Written where it is read from otherwise: nothing is being read now. */
    struct writer writer = {unfolded, unfolded + (most - sizeof(struct folded)), {0}, false};
    uint32_t count = 0, bytes;
    for (uint32_t at = packed_first(packed); at != PACKED_END && !writer.is_full;
         at = packed_next(packed, at), count++) {
        struct raw raw;
        const unsigned char *element = packed_raw(packed, at, &bytes);
        raw_set(&raw, element, bytes);
        writer_add(&writer, &raw);
    }
    size_t size = (size_t)(writer.at - unfolded);
    if (writer.is_full || memory_good_size(sizeof(struct folded) + size) > most) return NULL;
    struct folded *folded = journal_malloc(memory_good_size(sizeof *folded + size));
    if (folded == NULL) return NULL;
    *folded = (struct folded){.count = count & 0xFFFFFFu, .packed_length = (uint32_t)length};
    memcpy(folded->bytes, unfolded, size);
    return folded;
}

struct folded *folded_copy(const struct folded *folded) {
    size_t size = memory_size(folded);
    struct folded *copy = malloc(size);
    if (copy != NULL) memcpy(copy, folded, size);
    return copy;
}

uint32_t folded_count(const struct folded *folded) {
    return folded->count;
}

size_t folded_bytes(const struct folded *folded) {
    return memory_size(folded);
}

/* ------------------------------------------------------------------ reading */

static const unsigned char *length_read(const unsigned char *at, uint32_t *length) {
    if (*length < LONG) return at;
    uint32_t more = 0;
    for (unsigned shift = 0;; shift += 7) {
        more |= (uint32_t)(*at & 0x7F) << shift;
        if ((*at++ & 0x80) == 0) break;
    }
    *length += more;
    return at;
}

static const struct packed *read_numbers(const struct folded *folded) {
    struct packed_writing writing = packed_write_begin(unfolded);
    uint64_t least;
    memcpy(&least, folded->bytes, sizeof least);
    const unsigned char *at = folded->bytes + sizeof least;
    for (uint32_t i = 0; i < folded->count; i++, at += folded->width) {
        uint64_t offset = 0;
        memcpy(&offset, at, folded->width);
        packed_write_integer(&writing, (int64_t)(least + offset));
    }
    return packed_write_end(&writing);
}

const struct packed *folded_read(const struct folded *folded) {
    if (folded->width > 0) return read_numbers(folded);
    const unsigned char *at = folded->bytes;
    struct packed_writing writing = packed_write_begin(unfolded);
    struct raw before = {0};
    for (uint32_t i = 0; i < folded->count; i++) {
        uint32_t shared = *at >> 4, rest = *at & 15u;
        at = length_read(length_read(at + 1, &shared), &rest);
        unsigned char *element = writing.at;
        memcpy(element, raw_bytes(&before), shared);
        memcpy(element + shared, at, rest);
        at += rest;
        if (has_low_bytes_first(element[0])) {
            before.bytes = NULL;
            memcpy(before.number, element, shared + rest);
            turn(element, before.number, shared + rest);
        } else {
            before.bytes = element;
        }
        packed_write_element(&writing, shared + rest);
    }
    const struct packed *packed = packed_write_end(&writing);
    assert(packed_length(packed) == folded->packed_length);
    return packed;
}

/* ------------------------------------------------------------------ removal */

/* The rest of an element that stays: in either form it moves forwards, or stays where it is. */
static void element_keep(struct folded *folded, const struct packed *packed, uint32_t at, uint32_t number,
                         struct writer *writer) {
    if (folded->width > 0) {
        memmove(writer->at, folded->bytes + sizeof(int64_t) + (size_t)number * folded->width, folded->width);
        writer->at += folded->width;
        return;
    }
    struct raw raw;
    uint32_t bytes;
    const unsigned char *element = packed_raw(packed, at, &bytes);
    raw_set(&raw, element, bytes);
    writer_add(writer, &raw);
}

uint32_t folded_remove(struct folded **folded, folded_choice *leaves_out, void *context) {
    assert(*folded != NULL);
    struct folded *present = journal_own(*folded);
    if (present == NULL) journal_break();
    if (present != NULL) *folded = present;
    present = *folded;
    const struct packed *packed = folded_read(present);
    size_t size = memory_size(present);
    struct writer writer = {present->bytes + (present->width > 0 ? sizeof(int64_t) : 0),
                            (unsigned char *)present + size,
                            {0},
                            false};
    uint32_t total = (uint32_t)packed_length(packed), length = total, count = 0, number = 0;
    for (uint32_t at = packed_first(packed), next; at != PACKED_END; at = next, number++) {
        next = packed_next(packed, at);
        if (leaves_out(context, packed, at)) {
            length -= (next == PACKED_END ? total - 1 : next) - at;
            continue;
        }
        element_keep(present, packed, at, number, &writer);
        count++;
    }
    assert(!writer.is_full);
    present->count = count & 0xFFFFFFu;
    present->packed_length = length;
    size_t fitting = memory_good_size((size_t)(writer.at - (unsigned char *)present));
    if (fitting < size) {
        struct folded *smaller = journal_realloc(present, fitting); /* harmless: it stays larger */
        if (smaller != NULL) *folded = smaller;
    }
    return count;
}
