/* Folded sequences: what was folded is read back, and what is removed from one is gone, in the memory it
 * had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/value/folded.h"
#include "shard/value/list.h"
#include "shard/value/value.h"

static void append(struct packed **packed, const char *data, size_t length) {
    assert_true(packed_insert(packed, PACKED_END, data, length, NULL));
}

static void append_number(struct packed **packed, int64_t number) {
    assert_true(packed_insert_integer(packed, PACKED_END, number, NULL));
}

static void expect_same(const struct folded *folded, const struct packed *packed) {
    const struct packed *read = folded_read(folded);
    assert_int_equal(folded_count(folded), packed_count(packed));
    assert_int_equal(packed_count(read), packed_count(packed));
    assert_int_equal(packed_length(read), packed_length(packed));
    assert_memory_equal(read, packed, packed_length(packed));
}

/* One of many kinds, alike enough for folding to pay now and then. */
static void append_some(struct packed **packed, int kind, int i) {
    char text[600];
    static const int64_t far[] = {0, 100, -3000, 30000, -8000000, 2000000000, -5000000000000};
    int length;
    switch (kind) {
    case 0: length = sprintf(text, "element:%08d", i * 7919 % 1000000); break;
    case 1:
        length = sprintf(text, "{\"id\": %d, \"kind\": \"job\", \"payload\": \"%0*d\"}", i, i % 300, i);
        break;
    case 2: append_number(packed, far[i % 7] + i); return;
    case 3: append_number(packed, 1700000000 + i * i % 5000); return;
    case 5: append_number(packed, i % 2 == 0 ? INT64_MIN + i : INT64_MAX - i); return;
    case 6: append_number(packed, (int)value_random(10000000) - 5000000); return;
    case 4:
        length = sprintf(text, "%.*s", (int)value_random(40), "the same beginning and then some more of it");
        break;
    default: append_some(packed, (int)value_random(7), i); return;
    }
    append(packed, text, (size_t)length);
}

static void what_was_folded_is_read_back(void **unused) {
    (void)unused;
    int folded_count_of_all = 0;
    for (int kind = 0; kind <= 7; kind++) {
        for (int count = 0; count <= 400; count += 40) {
            struct packed *packed = packed_create();
            for (int i = 0; i < count; i++) append_some(&packed, kind, i);
            struct folded *folded = folded_create(packed);
            if (folded != NULL) {
                folded_count_of_all++;
                assert_true(folded_bytes(folded) <= packed_bytes(packed) - packed_bytes(packed) / 8);
                expect_same(folded, packed);
                struct folded *copy = folded_copy(folded);
                expect_same(copy, packed);
                free(copy);
            }
            free(folded);
            free(packed);
        }
    }
    assert_true(folded_count_of_all > 10);
}

static void what_is_alike_takes_half_and_what_is_not_stays(void **unused) {
    (void)unused;
    struct packed *packed = packed_create(), *random = packed_create();
    for (int i = 0; packed_length(packed) < 8100; i++) append_some(&packed, 0, i);
    struct folded *folded = folded_create(packed);
    assert_non_null(folded);
    assert_true(folded_bytes(folded) * 100 <= packed_bytes(packed) * 55);
    struct packed *numbers = packed_create();
    for (int i = 0; packed_length(numbers) < 8100; i++) append_some(&numbers, 6, i);
    struct folded *folded_numbers = folded_create(numbers);
    assert_non_null(folded_numbers);
    assert_true(folded_bytes(folded_numbers) * 100 <= packed_bytes(numbers) * 65);
    free(folded_numbers);
    free(numbers);
    while (packed_length(random) < 8100) {
        char bytes[16];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(value_random(128) + 128);
        append(&random, bytes, sizeof bytes);
    }
    assert_null(folded_create(random));
    while (packed_length(packed) <= FOLDED_MOST) append(&packed, "much the same again", 19);
    assert_null(folded_create(packed));
    free(folded);
    free(packed);
    free(random);
}

struct choice {
    uint64_t gone[8]; /* bits, by number */
    uint32_t at;
};

static bool is_chosen(void *context, const struct packed *packed, uint32_t at) {
    struct choice *choice = context;
    assert_true(at < packed_length(packed));
    uint32_t number = choice->at++;
    return (choice->gone[number / 64] >> (number % 64) & 1) != 0;
}

static void what_is_removed_is_gone_and_needs_no_more_room(void **unused) {
    (void)unused;
    int done = 0;
    for (int round = 0; round < 600; round++) {
        struct packed *packed = packed_create();
        uint32_t count = 50 + (uint32_t)value_random(400);
        for (uint32_t i = 0; i < count; i++) append_some(&packed, round % 8, (int)i);
        struct folded *folded = folded_create(packed);
        while (folded != NULL && count > 0) {
            struct choice choice = {.at = 0};
            uint64_t odds = value_random(8) + 1;
            for (uint32_t i = 0; i < count; i++)
                if (value_random(odds) == 0) choice.gone[i / 64] |= UINT64_C(1) << (i % 64);
            for (uint32_t i = count; i-- > 0;)
                if ((choice.gone[i / 64] >> (i % 64) & 1) != 0)
                    packed_remove(&packed, packed_at(packed, (int64_t)i), 1);
            size_t before = folded_bytes(folded);
            count = folded_remove(&folded, is_chosen, &choice);
            assert_int_equal(count, packed_count(packed));
            assert_true(folded_bytes(folded) <= before);
            expect_same(folded, packed);
            done++;
        }
        free(folded);
        free(packed);
    }
    assert_true(done > 500);
}

static void expect_element(const void *list, uint64_t index, int number) {
    char wanted[32];
    struct packed_text text;
    int length = sprintf(wanted, "element:%08d", number);
    list_get(list, index, &text);
    assert_int_equal(text.length, length);
    assert_memory_equal(text.data, wanted, text.length);
}

static bool add_bytes(void *context, const struct packed_text *text) {
    *(size_t *)context += text->length;
    return true;
}

static void a_long_list_is_folded_between_its_ends_and_works_as_before(void **unused) {
    (void)unused;
    char name[32];
    size_t bytes = 0;
    void *list = list_create();
    for (int i = 0; i < 20000; i++) {
        struct text text = {name, (size_t)sprintf(name, "element:%08d", i)};
        list_expect(&list, text.length, 1);
        assert_true(list_push(&list, false, text));
    }
    assert_true(list_kind.bytes(list) < (size_t)20000 * 12);
    list_each(list, 0, UINT64_MAX, false, add_bytes, &bytes);
    assert_int_equal(bytes, 20000 * 16);
    for (int i = 0; i < 20000; i += 777) expect_element(list, (uint64_t)i, i);
    /* In the middle: changed, removed, inserted. */
    assert_true(list_set(&list, 10000, (struct text){"element:00000001", 16}));
    assert_int_equal(list_remove_equal(&list, (struct text){"element:00000001", 16}, -1), 1);
    expect_element(list, 10000, 10001);
    assert_true(list_insert(&list, 10000, (struct text){"element:00010000", 16}));
    list_remove(&list, 5000, 5001);
    expect_element(list, 5000, 10001);
    assert_true(list_kind.bytes(list) < (size_t)15000 * 12);
    /* From both ends, until there is nothing left to fold. */
    for (int i = 0; i < 5000; i++) {
        expect_element(list, 0, i);
        list_remove(&list, 0, 1);
        expect_element(list, list_count(list) - 1, 19999 - i);
        list_remove(&list, list_count(list) - 1, 1);
    }
    expect_element(list, 0, 10001);
    for (int i = 0; i < 3000; i++) assert_true(list_push(&list, true, (struct text){"element:00000007", 16}));
    assert_int_equal(list_remove_equal(&list, (struct text){"element:00000007", 16}, 0), 3000);
    expect_element(list, 0, 10001);
    value_free(&list_kind, list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_folded_is_read_back),
        cmocka_unit_test(what_is_alike_takes_half_and_what_is_not_stays),
        cmocka_unit_test(what_is_removed_is_gone_and_needs_no_more_room),
        cmocka_unit_test(a_long_list_is_folded_between_its_ends_and_works_as_before),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
