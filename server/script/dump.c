#include "dump.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 11
#define VERSION_OLDEST 10
#define VERSION_NEWEST 12
#define OPCODE_FUNCTION 245
#define END_BYTES 10 /* two of the version, eight of the checksum; little endian */
#define CODE_MOST ((uint64_t)512 << 20)

/* Jones's, reflected: "123456789" has e9c6d914c4b8d9ca. */
#define POLYNOMIAL UINT64_C(0x95ac9329ac4bc9b5)

uint64_t dump_crc64(uint64_t crc, const void *data, size_t length) {
    uint64_t table[256];
    for (uint64_t byte = 0; byte < 256; byte++) {
        table[byte] = byte;
        for (int bit = 0; bit < 8; bit++)
            table[byte] = table[byte] >> 1 ^ ((table[byte] & 1) != 0 ? POLYNOMIAL : 0);
    }
    for (const unsigned char *byte = data, *end = byte + length; byte < end; byte++)
        crc = crc >> 8 ^ table[(crc ^ *byte) & 255];
    return crc;
}

/* ------------------------------------------------------------------ writing */

static size_t put_length(unsigned char *out, uint64_t length) {
    if (length < 1 << 6) {
        out[0] = (unsigned char)length;
        return 1;
    }
    if (length < 1 << 14) {
        out[0] = (unsigned char)(0x40 | length >> 8);
        out[1] = (unsigned char)length;
        return 2;
    }
    int bytes = length <= UINT32_MAX ? 4 : 8;
    out[0] = bytes == 4 ? 0x80 : 0x81;
    for (int i = 0; i < bytes; i++) out[1 + i] = (unsigned char)(length >> 8 * (bytes - 1 - i));
    return 1 + (size_t)bytes;
}

char *dump_write(const struct library_set *set, size_t *length) {
    size_t room = END_BYTES;
    for (uint32_t i = 0; i < set->library_count; i++) room += 1 + 9 + set->libraries[i]->code_length;
    unsigned char *payload = malloc(room), *at = payload;
    if (payload == NULL) return NULL;
    for (uint32_t i = 0; i < set->library_count; i++) {
        const struct library *library = set->libraries[i];
        *at++ = OPCODE_FUNCTION;
        at += put_length(at, library->code_length);
        memcpy(at, library->code, library->code_length);
        at += library->code_length;
    }
    *at++ = VERSION;
    *at++ = 0;
    uint64_t crc = dump_crc64(0, payload, (size_t)(at - payload));
    for (int i = 0; i < 8; i++) *at++ = (unsigned char)(crc >> 8 * i);
    *length = (size_t)(at - payload);
    return (char *)payload;
}

/* ------------------------------------------------------------------ reading */

bool dump_is_valid(const char *payload, size_t length) {
    if (length < END_BYTES) return false;
    const unsigned char *end = (const unsigned char *)payload + length - END_BYTES;
    int version = end[0] | end[1] << 8;
    uint64_t crc = 0;
    for (int i = 0; i < 8; i++) crc |= (uint64_t)end[2 + i] << 8 * i;
    return version >= VERSION_OLDEST && version <= VERSION_NEWEST &&
           crc == dump_crc64(0, payload, length - 8);
}

struct source {
    const unsigned char *at, *end;
};

/* A length, or -1. What it is of is told by *is_packed: plain bytes, or those that LZF made fewer. */
static int64_t get_length(struct source *source, bool *is_packed) {
    *is_packed = false;
    if (source->at == source->end) return -1;
    unsigned first = *source->at++;
    if (first >> 6 == 0) return first & 63;
    if (first >> 6 == 3) {
        *is_packed = first == 0xc3;
        return *is_packed ? 0 : -1; /* code is no number */
    }
    int bytes = first >> 6 == 1 ? 1 : first == 0x80 ? 4 : first == 0x81 ? 8 : 0;
    if (bytes == 0 || source->end - source->at < bytes) return -1;
    uint64_t length = bytes == 1 ? first & 63 : 0;
    for (int i = 0; i < bytes; i++) length = length << 8 | *source->at++;
    return length <= CODE_MOST ? (int64_t)length : -1;
}

/* LibLZF's format: a byte below 32 announces as many bytes and one more; others a length (3 bits, 7:
 * another byte is added) and how far back to copy from. False unless exactly so many bytes come out. */
static bool unpack(const unsigned char *at, const unsigned char *end, char *out, size_t length) {
    size_t filled = 0;
    while (at < end) {
        size_t control = *at++;
        if (control < 32) {
            if ((size_t)(end - at) < control + 1 || length - filled < control + 1) return false;
            memcpy(out + filled, at, control + 1);
            at += control + 1;
            filled += control + 1;
            continue;
        }
        size_t count = control >> 5, back = (control & 31) << 8;
        if (count == 7) {
            if (at == end) return false;
            count += *at++;
        }
        if (at == end) return false;
        back += (size_t)*at++ + 1;
        count += 2;
        if (back > filled || length - filled < count) return false;
        for (; count > 0; count--, filled++) out[filled] = out[filled - back];
    }
    return filled == length;
}

char *dump_next(const char *payload, size_t length, size_t *at, size_t *code_length, const char **error) {
    struct source source = {(const unsigned char *)payload + *at,
                            (const unsigned char *)payload + length - END_BYTES};
    *error = NULL;
    if (source.at == source.end) return NULL;
    if (*source.at++ != OPCODE_FUNCTION) {
        *error = "given type is not a function";
        return NULL;
    }
    *error = "Failed loading library data";
    bool is_packed, is_nested;
    int64_t stored = get_length(&source, &is_packed), whole = stored;
    if (is_packed) {
        stored = get_length(&source, &is_nested);
        whole = stored < 0 || is_nested ? -1 : get_length(&source, &is_nested);
        if (whole >= 0 && is_nested) whole = -1;
    }
    /* LZF makes at most 264 bytes of 3. */
    if (stored < 0 || whole < 0 || source.end - source.at < stored || whole / 88 > stored) return NULL;
    char *code = calloc(1, (size_t)whole + 1);
    if (code == NULL) return NULL;
    if (!is_packed) {
        memcpy(code, source.at, (size_t)stored);
    } else if (!unpack(source.at, source.at + stored, code, (size_t)whole)) {
        free(code);
        return NULL;
    }
    *code_length = (size_t)whole;
    *at = (size_t)(source.at + stored - (const unsigned char *)payload);
    *error = NULL;
    return code;
}
