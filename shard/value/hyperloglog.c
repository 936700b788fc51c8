#include "hyperloglog.h"

#include <math.h>
#include <string.h>

#define INDEX_BITS 14
#define RANK_MOST (64 - INDEX_BITS + 1)
#define SPARSE_MOST 32 /* value of a sparse register */
#define SEED UINT64_C(0xadc83b19)

enum { ENCODING_AT = 4, DENSE = 0, SPARSE = 1, CACHE_AT = 8 };

void hll_init(struct hll *hll) {
    memset(hll->bytes, 0, HLL_HEADER);
    memcpy(hll->bytes, "HYLL", 4);
    hll->bytes[ENCODING_AT] = SPARSE;
    hll->bytes[HLL_HEADER] = 0x40 | ((HLL_REGISTERS - 1) >> 8);
    hll->bytes[HLL_HEADER + 1] = (HLL_REGISTERS - 1) & 0xFF;
    hll->length = HLL_HEADER + 2;
}

bool hll_is_one(const char *bytes, size_t length) {
    if (length < HLL_HEADER || memcmp(bytes, "HYLL", 4) != 0 || (unsigned char)bytes[ENCODING_AT] > SPARSE)
        return false;
    return !hll_is_dense(bytes) || length == HLL_DENSE_BYTES;
}

bool hll_is_dense(const char *bytes) {
    return bytes[ENCODING_AT] == DENSE;
}

bool hll_load(struct hll *hll, const char *bytes, size_t length) {
    if (length > HLL_DENSE_BYTES) return false;
    memcpy(hll->bytes, bytes, length);
    hll->length = length;
    return true;
}

/* ------------------------------------------------------------------ hashing */

/* MurmurHash64A (Austin Appleby, public domain): what the bytes mean depends on it. */
static uint64_t murmur(const char *data, size_t length) {
    const uint64_t multiplier = UINT64_C(0xc6a4a7935bd1e995);
    uint64_t hash = SEED ^ (length * multiplier), word;
    for (; length >= 8; data += 8, length -= 8) {
        memcpy(&word, data, sizeof word);
        word *= multiplier;
        word ^= word >> 47;
        word *= multiplier;
        hash = (hash ^ word) * multiplier;
    }
    if (length > 0) {
        word = 0;
        memcpy(&word, data, length);
        hash = (hash ^ word) * multiplier;
    }
    hash ^= hash >> 47;
    hash *= multiplier;
    return hash ^ hash >> 47;
}

uint32_t hll_register_of(const char *element, size_t length, uint8_t *rank) {
    uint64_t hash = murmur(element, length);
    uint64_t rest = hash >> INDEX_BITS | UINT64_C(1) << (64 - INDEX_BITS);
    *rank = (uint8_t)(__builtin_ctzll(rest) + 1);
    return (uint32_t)(hash & (HLL_REGISTERS - 1));
}

/* ------------------------------------------------------------------ dense */

static uint8_t dense_get(const unsigned char *registers, uint32_t index) {
    uint32_t bit = index * 6, byte = bit / 8, shift = bit % 8;
    uint32_t low = registers[byte], high = shift > 2 ? registers[byte + 1] : 0u;
    return (uint8_t)((low >> shift | high << (8 - shift)) & 63);
}

static void dense_set(unsigned char *registers, uint32_t index, uint8_t value) {
    uint32_t bit = index * 6, byte = bit / 8, shift = bit % 8;
    registers[byte] = (unsigned char)((registers[byte] & ~(63u << shift)) | (uint32_t)value << shift);
    if (shift > 2)
        registers[byte + 1] =
            (unsigned char)((registers[byte + 1] & ~(63u >> (8 - shift))) | (uint32_t)value >> (8 - shift));
}

bool hll_dense_raise(char *bytes, uint32_t index, uint8_t rank) {
    unsigned char *registers = (unsigned char *)bytes + HLL_HEADER;
    if (dense_get(registers, index) >= rank) return false;
    dense_set(registers, index, rank);
    return true;
}

/* ------------------------------------------------------------------ sparse */

/* A plateau: neighbouring registers of one value. */
struct plateau {
    uint32_t bytes;  /* of its opcode */
    uint32_t length; /* registers */
    uint8_t value;
};

/* false at the end, or where an opcode is cut. */
static bool plateau_read(const unsigned char *at, const unsigned char *end, struct plateau *plateau) {
    if (at >= end) return false;
    if ((at[0] & 0x80) != 0) {
        *plateau = (struct plateau){1, (at[0] & 3u) + 1, (uint8_t)((at[0] >> 2 & 31) + 1)};
    } else if ((at[0] & 0x40) != 0) {
        if (end - at < 2) return false;
        *plateau = (struct plateau){2, ((at[0] & 0x3Fu) << 8 | at[1]) + 1, 0};
    } else {
        *plateau = (struct plateau){1, (at[0] & 0x3Fu) + 1, 0};
    }
    return true;
}

static uint32_t zeros_write(unsigned char *out, uint32_t length) {
    if (length <= 64) {
        out[0] = (unsigned char)(length - 1);
        return 1;
    }
    out[0] = (unsigned char)(0x40 | (length - 1) >> 8);
    out[1] = (unsigned char)(length - 1);
    return 2;
}

static unsigned char value_opcode(uint8_t value, uint32_t length) {
    return (unsigned char)(0x80u | (value - 1u) << 2 | (length - 1));
}

/* A plateau of the same value as `plateau`'s, of another length. */
static uint32_t part_write(unsigned char *out, const struct plateau *plateau, uint32_t length) {
    if (length == 0) return 0;
    if (plateau->value == 0) return zeros_write(out, length);
    out[0] = value_opcode(plateau->value, length);
    return 1;
}

/* Neighbours of one value become one plateau, as far as that goes, in the five opcodes from here on. */
static void merge_plateaus(struct hll *hll, size_t from) {
    for (size_t at = from, left = 5; at < hll->length && left > 0; left--) {
        unsigned char *here = hll->bytes + at;
        struct plateau plateau, next;
        if (!plateau_read(here, hll->bytes + hll->length, &plateau)) return;
        bool fits = plateau.value != 0 && plateau_read(here + 1, hll->bytes + hll->length, &next) &&
                    next.value == plateau.value && plateau.length + next.length <= 4;
        if (!fits) {
            at += plateau.bytes;
            continue;
        }
        here[0] = value_opcode(plateau.value, plateau.length + next.length);
        memmove(here + 1, here + 2, hll->length - at - 2);
        hll->length--;
    }
}

static enum hll_result sparse_raise(struct hll *hll, uint32_t index, uint8_t rank, size_t sparse_most) {
    if (rank > SPARSE_MOST)
        return hll_make_dense(hll) && hll_dense_raise((char *)hll->bytes, index, rank) ? HLL_RAISED
                                                                                       : HLL_CORRUPT;
    struct plateau plateau;
    size_t at = HLL_HEADER, previous = HLL_HEADER;
    uint32_t first = 0;
    for (;;) {
        if (!plateau_read(hll->bytes + at, hll->bytes + hll->length, &plateau)) return HLL_CORRUPT;
        if (index < first + plateau.length) break;
        first += plateau.length;
        previous = at;
        at += plateau.bytes;
    }
    if (plateau.value >= rank) return HLL_SAME;
    /* What the plateau becomes: its beginning, the register, its end. */
    unsigned char parts[8];
    uint32_t length = part_write(parts, &plateau, index - first);
    parts[length++] = value_opcode(rank, 1);
    length += part_write(parts + length, &plateau, first + plateau.length - 1 - index);
    if (length > plateau.bytes && hll->length + length - plateau.bytes > sparse_most)
        return hll_make_dense(hll) && hll_dense_raise((char *)hll->bytes, index, rank) ? HLL_RAISED
                                                                                       : HLL_CORRUPT;
    if (hll->length + length - plateau.bytes > sizeof hll->bytes) return HLL_CORRUPT;
    memmove(hll->bytes + at + length, hll->bytes + at + plateau.bytes, hll->length - at - plateau.bytes);
    memcpy(hll->bytes + at, parts, length);
    hll->length = hll->length + length - plateau.bytes;
    merge_plateaus(hll, previous);
    return HLL_RAISED;
}

enum hll_result hll_raise(struct hll *hll, uint32_t index, uint8_t rank, size_t sparse_most) {
    if (!hll_is_dense((const char *)hll->bytes)) return sparse_raise(hll, index, rank, sparse_most);
    return hll_dense_raise((char *)hll->bytes, index, rank) ? HLL_RAISED : HLL_SAME;
}

bool hll_make_dense(struct hll *hll) {
    static _Thread_local uint8_t registers[HLL_REGISTERS];
    if (hll_is_dense((const char *)hll->bytes)) return true;
    memset(registers, 0, sizeof registers);
    if (!hll_merge((const char *)hll->bytes, hll->length, registers)) return false;
    hll->bytes[ENCODING_AT] = DENSE;
    memset(hll->bytes + HLL_HEADER, 0, HLL_DENSE_BYTES - HLL_HEADER);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers[i] > 0) dense_set(hll->bytes + HLL_HEADER, i, registers[i]);
    hll->length = HLL_DENSE_BYTES;
    return true;
}

/* ------------------------------------------------------------------ registers and counts */

bool hll_merge(const char *bytes, size_t length, uint8_t *registers) {
    const unsigned char *at = (const unsigned char *)bytes + HLL_HEADER,
                        *end = (const unsigned char *)bytes + length;
    if (hll_is_dense(bytes)) {
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
            uint8_t value = dense_get(at, i);
            if (value > registers[i]) registers[i] = value;
        }
        return true;
    }
    uint32_t first = 0;
    for (struct plateau plateau; plateau_read(at, end, &plateau);
         at += plateau.bytes, first += plateau.length) {
        if (first + plateau.length > HLL_REGISTERS) return false;
        for (uint32_t i = first; plateau.value > 0 && i < first + plateau.length; i++)
            if (plateau.value > registers[i]) registers[i] = plateau.value;
    }
    return first == HLL_REGISTERS && at == end;
}

bool hll_register(const char *bytes, size_t length, uint32_t index, uint8_t *value) {
    const unsigned char *at = (const unsigned char *)bytes + HLL_HEADER,
                        *end = (const unsigned char *)bytes + length;
    if (hll_is_dense(bytes)) {
        *value = dense_get(at, index);
        return true;
    }
    uint32_t first = 0;
    for (struct plateau plateau; plateau_read(at, end, &plateau);
         at += plateau.bytes, first += plateau.length) {
        *value = plateau.value;
        if (index < first + plateau.length) return true;
    }
    return false;
}

static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double before, y = 1, z = 1 - x;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= pow(1 - x, 2) * y;
    } while (before != z);
    return z / 3;
}

static double sigma(double x) {
    if (x == 1) return INFINITY;
    double before, y = 1, z = x;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (before != z);
    return z;
}

uint64_t hll_count(const uint8_t *registers) {
    const double m = HLL_REGISTERS, alpha = 0.721347520444481703680;
    uint32_t histogram[64] = {0};
    for (uint32_t i = 0; i < HLL_REGISTERS; i++) histogram[registers[i] & 63]++;
    double z = m * tau((m - histogram[RANK_MOST]) / m);
    for (int i = RANK_MOST - 1; i >= 1; i--) {
        z += histogram[i];
        z *= 0.5;
    }
    z += m * sigma(histogram[0] / m);
    return (uint64_t)llround(alpha * m * m / z);
}

bool hll_cached(const char *bytes, uint64_t *count) {
    memcpy(count, bytes + CACHE_AT, sizeof *count);
    return *count >> 63 == 0;
}

void hll_cache(char *bytes, uint64_t count) {
    memcpy(bytes + CACHE_AT, &count, sizeof count);
}

void hll_make_stale(char *bytes) {
    bytes[CACHE_AT + 7] = (char)((unsigned char)bytes[CACHE_AT + 7] | 0x80);
}
