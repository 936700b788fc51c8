/* Requests ahead: as many whole, plain ones as there are in memory, found in one pass, so that what they need
 * can be fetched before the first of them runs.
 *
 * This is the short way for what clients send nearly always: arrays of bulks that are all there and not
 * large. Whatever else comes (an unfinished request, an inline one, a large argument, a mistake) ends the
 * batch before it, and is the request parser's (request.h). */
#ifndef RESP_BATCH_H
#define RESP_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "request.h"

#define BATCH_REQUESTS 64
#define BATCH_ARGUMENTS 512

struct batch_request {
    uint32_t first, count; /* its arguments in the batch's */
    size_t bytes;          /* that it takes of the memory */
};

struct batch {
    uint32_t count;
    struct batch_request requests[BATCH_REQUESTS];
    struct bulk arguments[BATCH_ARGUMENTS]; /* valid until the memory changes; without owners */
};

/* Fills the batch from memory that begins with a request's first byte, with at most so many requests. Never
 * reads beyond length. */
void batch_parse(struct batch *batch, char *data, size_t length, uint32_t most);

/* Makes a request of a batch the one that the parser has just returned: it is to be kept beyond the batch.
 * false when out of memory. */
bool batch_hand_over(const struct batch *batch, uint32_t number, struct request_parser *parser);

#endif
