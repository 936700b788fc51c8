/* Any bytes at the short way for plain pipelines (resp/batch.h): what it takes must be what the request
 * parser takes, argument by argument, and it must take nothing that the parser would refuse. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resp/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static struct batch batch;
    struct request_limits limits = {.bulk_length = 512 * 1024 * 1024, .is_authenticated = true};
    struct request_parser parser;
    char *data = malloc(length == 0 ? 1 : length),
         *at = data; /* exactly as long as the bytes, so that reading beyond is seen */
    if (data == NULL) abort();
    if (length > 0) memcpy(data, bytes, length);
    batch_parse(&batch, data, length, BATCH_REQUESTS);
    request_parser_init(&parser);
    for (uint32_t i = 0; i < batch.count; i++) {
        const struct batch_request *request = &batch.requests[i];
        size_t consumed = 0;
        if (request_parse(&parser, &limits, at, length, &consumed) != REQUEST_READY) abort();
        if (consumed != request->bytes || parser.count != request->count) abort();
        for (uint32_t k = 0; k < request->count; k++) {
            const struct bulk *mine = &batch.arguments[request->first + k], *other = &parser.arguments[k];
            if (mine->data != other->data || mine->length != other->length || other->owner != NULL) abort();
        }
        at += consumed;
        length -= consumed;
    }
    request_parser_free(&parser);
    free(data);
    return 0;
}
