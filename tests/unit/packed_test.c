/* Packed sequences against a plain array of strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/value/packed.h"
#include "shard/value/value.h"

#define MOST 400

struct model {
    char *data[MOST];
    size_t length[MOST];
    int count;
};

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void model_insert(struct model *model, int at, const char *data, size_t length) {
    for (int i = model->count++; i > at; i--) {
        model->data[i] = model->data[i - 1];
        model->length[i] = model->length[i - 1];
    }
    model->data[at] = malloc(length + 1);
    memcpy(model->data[at], data, length);
    model->length[at] = length;
}

static void model_remove(struct model *model, int at) {
    free(model->data[at]);
    model->count--;
    for (int i = at; i < model->count; i++) {
        model->data[i] = model->data[i + 1];
        model->length[i] = model->length[i + 1];
    }
}

static void model_free(struct model *model) {
    while (model->count > 0) model_remove(model, model->count - 1);
}

static void assert_element(const struct packed *packed, uint32_t at, const char *data, size_t length) {
    struct packed_text text;
    assert_int_not_equal(at, PACKED_END);
    packed_get(packed, at, &text);
    assert_int_equal(text.length, length);
    assert_memory_equal(text.data, data, length);
    assert_true(packed_equals(packed, at, data, length));
}

static void assert_same(const struct packed *packed, const struct model *model) {
    assert_int_equal(packed_count(packed), model->count);
    assert_true(packed_is_valid(packed, packed_length(packed)));
    assert_true(packed_bytes(packed) >= packed_length(packed));
    uint32_t at = packed_first(packed);
    for (int i = 0; i < model->count; i++, at = packed_next(packed, at))
        assert_element(packed, at, model->data[i], model->length[i]);
    assert_int_equal(at, PACKED_END);
    at = packed_last(packed);
    for (int i = model->count; i-- > 0; at = packed_previous(packed, at))
        assert_element(packed, at, model->data[i], model->length[i]);
    assert_int_equal(at, PACKED_END);
}

/* Of all kinds: numbers around each boundary, strings around each boundary, things that look like numbers. */
static size_t draw_text(char *out) {
    static const int64_t bounds[] = {0, 127, 128, 4095, 4096, INT16_MAX, 8388607, INT32_MAX, INT64_MAX};
    static const size_t lengths[] = {0, 1, 63, 64, 127, 128, 300, 4095, 4096, 17000};
    switch (draw(5)) {
    case 0: return (size_t)sprintf(out, "%lld", (long long)(bounds[draw(9)] - (int64_t)draw(2)));
    case 1: return (size_t)sprintf(out, "%lld", (long long)(-bounds[draw(9)] - (int64_t)draw(2)));
    case 2: return (size_t)sprintf(out, "%d", (int)draw(1000) - 500);
    case 3: return (size_t)sprintf(out, "0%d", (int)draw(10));
    default: {
        size_t length = lengths[draw(draw(20) == 0 ? 10 : 6)];
        for (size_t i = 0; i < length; i++) out[i] = (char)('a' + draw(3));
        return length;
    }
    }
}

static void random_changes_are_those_of_an_array(void **unused) {
    (void)unused;
    static char text[20000];
    for (int round = 0; round < 40; round++) {
        struct model model = {.count = 0};
        struct packed *packed = packed_create();
        for (int step = 0; step < 300; step++) {
            int at = (int)draw((uint64_t)model.count + 1);
            uint32_t place = packed_at(packed, at);
            size_t length = draw_text(text);
            uint64_t action = draw(10);
            if (action < 5 && model.count < MOST) {
                uint32_t made;
                assert_true(packed_insert(&packed, place, text, length, &made));
                assert_element(packed, made, text, length);
                model_insert(&model, at, text, length);
            } else if (action < 7 && at < model.count) {
                assert_true(packed_replace(&packed, place, text, length));
                model_remove(&model, at);
                model_insert(&model, at, text, length);
            } else if (at < model.count) {
                uint32_t count = 1 + (uint32_t)draw(3);
                uint32_t next = packed_remove(&packed, place, count);
                for (uint32_t i = 0; i < count && at < model.count; i++) model_remove(&model, at);
                assert_int_equal(next, packed_at(packed, at));
            }
            if (step % 10 == 0) assert_same(packed, &model);
        }
        assert_same(packed, &model);
        struct packed *copy = packed_copy(packed);
        assert_same(copy, &model);
        free(copy);
        free(packed);
        model_free(&model);
    }
}

static void an_element_is_found_by_its_text_however_it_is_held(void **unused) {
    (void)unused;
    struct packed *packed = packed_create();
    assert_int_equal(packed_find(packed, packed_first(packed), "x", 1, 0), PACKED_END);
    const struct text pairs[] = {{"field", 5}, {"12", 2}, {"12", 2}, {"field", 5}, {"012", 3}, {"v", 1}};
    assert_true(packed_insert_many(&packed, PACKED_END, pairs, 6));
    assert_int_equal(packed_count(packed), 6);
    uint32_t first = packed_first(packed);
    assert_int_equal(packed_find(packed, first, "12", 2, 0), packed_at(packed, 1));
    assert_int_equal(packed_find(packed, first, "12", 2, 1), packed_at(packed, 2));
    assert_int_equal(packed_find(packed, first, "012", 3, 1), packed_at(packed, 4));
    assert_int_equal(packed_find(packed, first, "v", 1, 1), PACKED_END);
    assert_int_equal(packed_find(packed, packed_at(packed, 1), "field", 5, 1), packed_at(packed, 3));
    int64_t value;
    assert_true(packed_integer(packed, packed_at(packed, -5), &value));
    assert_int_equal(value, 12);
    assert_false(packed_integer(packed, packed_at(packed, 4), &value));
    assert_int_equal(packed_at(packed, 6), PACKED_END);
    assert_int_equal(packed_at(packed, -7), PACKED_END);
    uint32_t place;
    assert_true(packed_insert_integer(&packed, first, -70000, &place));
    assert_element(packed, place, "-70000", 6);
    free(packed);
}

static void the_bytes_are_those_of_a_listpack(void **unused) {
    (void)unused;
    struct packed *packed = packed_create();
    const struct text texts[] = {{"5", 1}, {"-1", 2}, {"ab", 2}, {"1000000", 7}};
    assert_true(packed_insert_many(&packed, PACKED_END, texts, 4));
    static const unsigned char expected[] = {0x17, 0,   0,   0, 4,    0,    0x05, 1,    0xDF, 0xFF, 2,
                                             0x82, 'a', 'b', 3, 0xF2, 0x40, 0x42, 0x0F, 4,    0xFF};
    unsigned char whole[sizeof expected];
    memcpy(whole, expected, sizeof expected);
    whole[0] = sizeof expected;
    assert_int_equal(packed_length(packed), sizeof expected);
    assert_memory_equal(packed, whole, sizeof expected);
    free(packed);
}

static void more_elements_than_the_header_counts_are_counted(void **unused) {
    (void)unused;
    struct packed *packed = packed_create();
    for (int i = 0; i < 65600; i++) assert_true(packed_insert_integer(&packed, PACKED_END, i, NULL));
    assert_int_equal(packed_count(packed), 65600);
    assert_true(packed_is_valid(packed, packed_length(packed)));
    packed_remove(&packed, packed_first(packed), 600);
    assert_int_equal(packed_count(packed), 65000);
    int64_t value;
    assert_true(packed_integer(packed, packed_first(packed), &value));
    assert_int_equal(value, 600);
    free(packed);
}

static void what_is_too_large_is_refused(void **unused) {
    (void)unused;
    struct packed *packed = packed_create();
    const struct text text = {"x", PACKED_MOST + 1};
    assert_false(packed_insert(&packed, PACKED_END, text.data, text.length, NULL));
    assert_false(packed_insert_many(&packed, PACKED_END, &text, 1));
    assert_true(packed_insert(&packed, PACKED_END, "x", 1, NULL));
    assert_false(packed_replace(&packed, packed_first(packed), text.data, text.length));
    assert_int_equal(packed_count(packed), 1);
    free(packed);
}

/* Every change of a byte is either seen, or leaves something that can be walked within its bounds. */
static void bytes_from_outside_are_checked(void **unused) {
    (void)unused;
    struct packed *packed = packed_create();
    static char text[20000];
    for (int i = 0; i < 30; i++) {
        size_t length = draw_text(text);
        if (length < 200) packed_insert(&packed, PACKED_END, text, length, NULL);
    }
    size_t length = packed_length(packed);
    assert_false(packed_is_valid(packed, length - 1));
    assert_false(packed_is_valid(packed, 3));
    for (int i = 0; i < 20000; i++) {
        unsigned char *bytes = malloc(length);
        memcpy(bytes, packed, length);
        bytes[draw(length)] = (unsigned char)draw(256);
        if (packed_is_valid(bytes, length)) {
            const struct packed *changed = (const struct packed *)bytes;
            struct packed_text element;
            for (uint32_t at = packed_first(changed); at != PACKED_END; at = packed_next(changed, at))
                packed_get(changed, at, &element);
            for (uint32_t at = packed_last(changed); at != PACKED_END; at = packed_previous(changed, at))
                continue;
        }
        free(bytes);
    }
    free(packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_are_those_of_an_array),
        cmocka_unit_test(an_element_is_found_by_its_text_however_it_is_held),
        cmocka_unit_test(the_bytes_are_those_of_a_listpack),
        cmocka_unit_test(more_elements_than_the_header_counts_are_counted),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(bytes_from_outside_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
