/* Any bytes at the request parser: it must not crash, read or write out of bounds, or leak; and however the
 * bytes are cut, and whether large arguments are received apart or in line, the same requests must come out.
 *
 * The first bytes of an input choose limits and cuts; the rest is the stream. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resp/request.h"

/* What came out: every request's arguments, with their lengths, and the error at the end if there was one. */
struct outcome {
    unsigned char *bytes;
    size_t length, capacity;
};

static void note(struct outcome *outcome, const void *data, size_t length) {
    if (outcome->capacity - outcome->length < length) {
        outcome->capacity = (outcome->capacity + length) * 2;
        outcome->bytes = realloc(outcome->bytes, outcome->capacity);
        if (outcome->bytes == NULL) abort();
    }
    if (length > 0) memcpy(outcome->bytes + outcome->length, data, length);
    outcome->length += length;
}

static void note_request(struct outcome *outcome, const struct request_parser *parser) {
    note(outcome, &parser->count, sizeof parser->count);
    for (uint32_t i = 0; i < parser->count; i++) {
        note(outcome, &parser->arguments[i].length, sizeof parser->arguments[i].length);
        note(outcome, parser->arguments[i].data, parser->arguments[i].length);
    }
}

/* The connection's part: keeps the unfinished bytes in memory that moves with every piece. */
struct feeder {
    struct request_parser parser;
    struct request_limits limits;
    char *held;
    size_t length;
    bool takes_apart, is_over;
    struct outcome outcome;
};

static void hold_more(struct feeder *feeder, const uint8_t *data, size_t length) {
    char *moved = malloc(feeder->length + length +
                         1); /* exactly as long as the bytes, so that reading beyond is seen */
    if (moved == NULL) abort();
    if (feeder->length > 0) memcpy(moved, feeder->held, feeder->length);
    if (length > 0) memcpy(moved + feeder->length, data, length);
    free(feeder->held);
    feeder->held = moved;
    feeder->length += length;
}

static void drop_consumed(struct feeder *feeder, size_t consumed) {
    if (consumed == 0 || consumed > feeder->length) abort();
    memmove(feeder->held, feeder->held + consumed, feeder->length - consumed);
    feeder->length -= consumed;
}

/* A little more than what is there, so that most bulks get their memory in many pieces. */
static size_t capacity_for(const struct feeder *feeder, size_t present) {
    size_t bulk = (size_t)feeder->parser.bulk_length, capacity = present + 1 + present / 8;
    return capacity < bulk ? capacity : bulk;
}

/* Runs what is there. Returns when the parser wants more. */
static void run(struct feeder *feeder) {
    while (!feeder->is_over) {
        size_t consumed = 0;
        switch (request_parse(&feeder->parser, &feeder->limits, feeder->held, feeder->length, &consumed)) {
        case REQUEST_READY:
            note_request(&feeder->outcome, &feeder->parser);
            request_owners(&feeder->parser, free);
            drop_consumed(feeder, consumed);
            break;
        case REQUEST_WANTS_BULK:
            if (feeder->takes_apart) {
                size_t capacity = capacity_for(feeder, request_bulk_present(&feeder->parser, feeder->length));
                char *memory = malloc(capacity + 1);
                if (memory == NULL) abort();
                request_receive_bulk(&feeder->parser, memory, capacity, memory, feeder->held,
                                     &feeder->length);
            } else {
                request_decline_bulk(&feeder->parser);
            }
            break;
        case REQUEST_IN_BULK:
        case REQUEST_PARTIAL: return;
        case REQUEST_ERROR:
            note(&feeder->outcome, feeder->parser.error, strlen(feeder->parser.error));
            feeder->is_over = true;
            break;
        }
    }
}

static void feed(struct feeder *feeder, const uint8_t *data, size_t length) {
    while (length > 0 && !feeder->is_over) {
        size_t consumed, missing = 0, taken = length;
        char *space = NULL;
        if (feeder->parser.apart_owner != NULL &&
            request_parse(&feeder->parser, &feeder->limits, feeder->held, feeder->length, &consumed) ==
                REQUEST_IN_BULK)
            space = request_bulk_space(&feeder->parser, &missing);
        if (space != NULL && missing == 0) {
            size_t capacity = capacity_for(feeder, feeder->parser.apart_filled);
            char *memory = realloc(feeder->parser.apart_owner, capacity + 1);
            if (memory == NULL) abort();
            request_move_bulk(&feeder->parser, memory, capacity, memory);
            space = request_bulk_space(&feeder->parser, &missing);
        }
        if (space != NULL) {
            if (taken > missing) taken = missing;
            memcpy(space, data, taken);
            request_bulk_received(&feeder->parser, taken);
        } else {
            hold_more(feeder, data, taken);
        }
        data += taken;
        length -= taken;
        run(feeder);
    }
}

static void feeder_init(struct feeder *feeder, const struct request_limits *limits, bool takes_apart) {
    memset(feeder, 0, sizeof *feeder);
    feeder->limits = *limits;
    feeder->takes_apart = takes_apart;
    request_parser_init(&feeder->parser);
}

static void feeder_free(struct feeder *feeder) {
    request_owners(&feeder->parser, free);
    request_parser_free(&feeder->parser);
    free(feeder->held);
    free(feeder->outcome.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct feeder whole, cut;
    if (size < 2) return 0;
    struct request_limits limits = {.bulk_length = (data[0] & 2) != 0 ? 512 * 1024 * 1024 : 100,
                                    .is_authenticated = (data[0] & 1) != 0};
    uint32_t cuts = (uint32_t)data[0] * 2654435761u + data[1];
    feeder_init(&whole, &limits, false);
    feeder_init(&cut, &limits, (data[0] & 4) != 0);
    data += 2;
    size -= 2;
    feed(&whole, data, size);
    for (size_t at = 0; at < size && !cut.is_over;) {
        cuts = cuts * 1664525u + 1013904223u;
        size_t length = (cuts >> 28) == 0 ? 1 + (cuts >> 8) % 20000 : 1 + (cuts >> 8) % 16;
        if (length > size - at) length = size - at;
        feed(&cut, data + at, length);
        at += length;
    }
    if (whole.outcome.length != cut.outcome.length ||
        (whole.outcome.length > 0 &&
         memcmp(whole.outcome.bytes, cut.outcome.bytes, whole.outcome.length) != 0)) {
        fprintf(stderr, "cut differently, other requests came out\n");
        abort();
    }
    feeder_free(&whole);
    feeder_free(&cut);
    return 0;
}
