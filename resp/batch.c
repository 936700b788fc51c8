#include "batch.h"

#include <stdlib.h>
#include <string.h>

/* Digits of a number that the short way reads: enough for any argument that is not large. */
#define DIGITS_MOST 5

/* Reads "<kind><number>\r\n" at *at; moves *at behind it. false if it isn't all there, or is in any way
 * unusual. */
static inline bool read_head(const char **at, const char *end, char kind, uint32_t *number) {
    const char *p = *at;
    if (end - p < 4 || *p != kind) return false;
    uint32_t value = (uint32_t)(unsigned char)p[1] - '0';
    if (value > 9) return false;
    p += 2;
    if (*p != '\r') {
        if (value == 0) return false;
        for (int digits = 1; *p != '\r'; digits++) {
            uint32_t digit = (uint32_t)(unsigned char)*p - '0';
            /* One byte for the line's end must be there as well. */
            if (digit > 9 || digits == DIGITS_MOST || end - ++p < 2) return false;
            value = value * 10 + digit;
        }
    }
    if (p[1] != '\n') return false;
    *at = p + 2;
    *number = value;
    return true;
}

/* One request at data; its arguments go behind those that the batch has. Returns its bytes, or 0. */
static inline size_t read_request(struct batch *batch, uint32_t used, char *data, size_t length,
                                  uint32_t *count) {
    const char *at = data, *end = data + length;
    if (!read_head(&at, end, '*', count) || *count == 0 || *count > BATCH_ARGUMENTS - used) return 0;
    for (struct bulk *argument = batch->arguments + used, *last = argument + *count; argument < last;
         argument++) {
        uint32_t bytes;
        if (!read_head(&at, end, '$', &bytes) || bytes >= REQUEST_BULK_APART ||
            (size_t)(end - at) < (size_t)bytes + 2)
            return 0;
        *argument = (struct bulk){data + (at - data), bytes, NULL};
        at += bytes + 2;
    }
    return (size_t)(at - data);
}

void batch_parse(struct batch *batch, char *data, size_t length, uint32_t most) {
    uint32_t used = 0;
    if (most > BATCH_REQUESTS) most = BATCH_REQUESTS;
    for (batch->count = 0; batch->count < most; batch->count++) {
        struct batch_request *request = &batch->requests[batch->count];
        request->first = used;
        request->bytes = read_request(batch, used, data, length, &request->count);
        if (request->bytes == 0) return;
        used += request->count;
        data += request->bytes;
        length -= request->bytes;
    }
}

bool batch_hand_over(const struct batch *batch, uint32_t number, struct request_parser *parser) {
    const struct batch_request *request = &batch->requests[number];
    return request_adopt(parser, batch->arguments + request->first, request->count);
}
