/* Any bytes as changes of a set of integers (shard/value/numbers.h), compared with a plain sorted array after
 * each of them. */
#include "shard/value/numbers.h"
#include "input.h"

#define MOST 100

struct array {
    int64_t numbers[MOST];
    uint32_t count;
};

static uint32_t array_place(const struct array *array, int64_t number) {
    uint32_t place = 0;
    while (place < array->count && array->numbers[place] < number) place++;
    return place;
}

static bool array_has(const struct array *array, int64_t number) {
    uint32_t place = array_place(array, number);
    return place < array->count && array->numbers[place] == number;
}

static void array_add(struct array *array, int64_t number) {
    uint32_t place = array_place(array, number);
    memmove(array->numbers + place + 1, array->numbers + place, (array->count - place) * sizeof number);
    array->numbers[place] = number;
    array->count++;
}

static void array_remove(struct array *array, int64_t number) {
    uint32_t place = array_place(array, number);
    array->count--;
    memmove(array->numbers + place, array->numbers + place + 1, (array->count - place) * sizeof number);
}

static void compare(const struct numbers *numbers, const struct array *array) {
    CHECK(numbers_count(numbers) == array->count);
    CHECK(numbers_bytes(numbers) >= (size_t)array->count * 2);
    for (uint32_t i = 0; i < array->count; i++) {
        CHECK(numbers_at(numbers, i) == array->numbers[i]);
        CHECK(numbers_has(numbers, array->numbers[i]));
    }
}

/* Of one byte to eight, so that many are close together and each width has its turn; or one that is there. */
static int64_t take_number(struct input *input, uint8_t how, const struct array *array) {
    unsigned width = 1 + (how >> 3 & 7);
    uint64_t number = input_number(input, width);
    if ((how & 64) != 0 && array->count > 0) return array->numbers[number % array->count];
    return (int64_t)(number << (64 - width * 8)) >> (64 - width * 8);
}

static void change(struct numbers **numbers, struct array *array, struct input *input) {
    uint8_t how = input_byte(input);
    int64_t number = take_number(input, how, array);
    bool is_there = array_has(array, number);
    if (how % 8 < 4) {
        if (array->count == MOST) return;
        CHECK(numbers_add(numbers, number) == !is_there);
        if (!is_there) array_add(array, number);
    } else if (how % 8 < 6) {
        CHECK(numbers_remove(numbers, number) == is_there);
        if (is_there) array_remove(array, number);
    } else if (how % 8 == 6) {
        CHECK(numbers_has(*numbers, number) == is_there);
    } else {
        struct numbers *copy = numbers_copy(*numbers);
        CHECK(copy != NULL);
        free(*numbers);
        *numbers = copy;
    }
    compare(*numbers, array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    struct numbers *numbers = numbers_create();
    struct array array = {.count = 0};
    struct input input = {data, data + length};
    CHECK(numbers != NULL);
    while (input.at < input.end) change(&numbers, &array, &input);
    free(numbers);
    return 0;
}
