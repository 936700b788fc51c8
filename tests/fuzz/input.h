/* A fuzzer's bytes as a sequence of decisions. At their end every byte is 0. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check.h"

struct input {
    const uint8_t *at, *end;
};

static inline uint8_t input_byte(struct input *input) {
    return input->at < input->end ? *input->at++ : 0;
}

static inline uint64_t input_number(struct input *input, unsigned bytes) {
    uint64_t number = 0;
    while (bytes-- > 0) number = number << 8 | input_byte(input);
    return number;
}

/* Up to so many bytes, as they are. Returns how many there were. */
static inline size_t input_take(struct input *input, size_t most, const uint8_t **bytes) {
    size_t left = (size_t)(input->end - input->at), taken = left < most ? left : most;
    *bytes = input->at;
    input->at += taken;
    return taken;
}

/* The same in memory that is exactly as long, so that reading beyond is seen. */
static inline void *input_copy(const void *bytes, size_t length) {
    void *copy = malloc(length > 0 ? length : 1);
    CHECK(copy != NULL);
    if (length > 0) memcpy(copy, bytes, length);
    return copy;
}

#endif
