/* HyperLogLogs: counts are near the truth, sparse and dense ones agree, and bytes from outside do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/value/hyperloglog.h"
#include "shard/value/value.h"

#define SPARSE_MOST 3000

static enum hll_result add(struct hll *hll, int number, size_t sparse_most) {
    char text[16];
    uint8_t rank;
    uint32_t index = hll_register_of(text, (size_t)sprintf(text, "%d", number), &rank);
    return hll_raise(hll, index, rank, sparse_most);
}

static uint64_t count(const struct hll *hll) {
    uint8_t registers[HLL_REGISTERS] = {0};
    assert_true(hll_merge((const char *)hll->bytes, hll->length, registers));
    return hll_count(registers);
}

static void a_count_is_near_the_truth(void **unused) {
    (void)unused;
    static struct hll hll;
    hll_init(&hll);
    assert_int_equal(count(&hll), 0);
    int number = 0;
    for (int wanted = 1; wanted <= 300000; wanted *= 3) {
        while (number < wanted) assert_int_not_equal(add(&hll, number++, SPARSE_MOST), HLL_CORRUPT);
        double error = ((double)count(&hll) - wanted) / wanted;
        assert_true(error < 0.03 && error > -0.03);
    }
    assert_true(hll_is_dense((const char *)hll.bytes));
    assert_int_equal(hll.length, HLL_DENSE_BYTES);
    assert_int_equal(add(&hll, 5, SPARSE_MOST), HLL_SAME);
}

static void sparse_and_dense_say_the_same(void **unused) {
    (void)unused;
    static struct hll sparse, dense;
    hll_init(&sparse);
    hll_init(&dense);
    assert_true(hll_make_dense(&dense));
    assert_true(hll_make_dense(&dense));
    for (int i = 0; i < 1200; i++) {
        int number = (int)value_random(2000);
        assert_int_equal(add(&sparse, number, HLL_DENSE_BYTES), add(&dense, number, 0));
        if (i % 50 != 0) continue;
        for (uint32_t k = 0; k < HLL_REGISTERS; k++) {
            uint8_t one, other;
            assert_true(hll_register((const char *)sparse.bytes, sparse.length, k, &one));
            assert_true(hll_register((const char *)dense.bytes, dense.length, k, &other));
            assert_int_equal(one, other);
        }
    }
    assert_false(hll_is_dense((const char *)sparse.bytes));
    assert_int_equal(count(&sparse), count(&dense));
    assert_true(hll_make_dense(&sparse));
    assert_memory_equal(sparse.bytes + HLL_HEADER, dense.bytes + HLL_HEADER, HLL_DENSE_BYTES - HLL_HEADER);
    hll_init(&sparse);
    assert_int_equal(hll_raise(&sparse, 7, 40, SPARSE_MOST),
                     HLL_RAISED); /* more than a sparse register holds */
    assert_true(hll_is_dense((const char *)sparse.bytes));
}

static void what_was_counted_is_kept_until_it_is_stale(void **unused) {
    (void)unused;
    static struct hll hll;
    uint64_t cached;
    hll_init(&hll);
    assert_true(hll_cached((const char *)hll.bytes, &cached));
    assert_int_equal(cached, 0);
    hll_make_stale((char *)hll.bytes);
    assert_false(hll_cached((const char *)hll.bytes, &cached));
    hll_cache((char *)hll.bytes, 12345);
    assert_true(hll_cached((const char *)hll.bytes, &cached));
    assert_int_equal(cached, 12345);
}

static void bytes_that_are_none_are_refused(void **unused) {
    (void)unused;
    static struct hll hll, broken;
    char bytes[HLL_DENSE_BYTES + 1] = "HYLL";
    assert_true(hll_is_one(bytes, HLL_DENSE_BYTES));
    assert_false(hll_is_one(bytes, HLL_DENSE_BYTES - 1));
    assert_false(hll_is_one(bytes, 10));
    assert_false(hll_is_one("HYLx............", 16));
    bytes[4] = 2;
    assert_false(hll_is_one(bytes, HLL_DENSE_BYTES));
    assert_false(hll_load(&hll, bytes, HLL_DENSE_BYTES + 1));
    hll_init(&hll);
    for (int i = 0; i < 300; i++) add(&hll, i, SPARSE_MOST);
    for (int i = 0; i < 20000; i++) {
        assert_true(hll_load(&broken, (const char *)hll.bytes, hll.length));
        broken.bytes[HLL_HEADER + value_random(hll.length - HLL_HEADER)] = (unsigned char)value_random(256);
        if (value_random(4) == 0) broken.length = HLL_HEADER + value_random(hll.length - HLL_HEADER);
        uint8_t registers[HLL_REGISTERS] = {0}, value;
        hll_merge((const char *)broken.bytes, broken.length, registers);
        hll_register((const char *)broken.bytes, broken.length, (uint32_t)value_random(HLL_REGISTERS),
                     &value);
        for (int k = 0; k < 5; k++) add(&broken, (int)value_random(100000), SPARSE_MOST);
    }
}

int main(void) {
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_is_near_the_truth),
        cmocka_unit_test(sparse_and_dense_say_the_same),
        cmocka_unit_test(what_was_counted_is_kept_until_it_is_stale),
        cmocka_unit_test(bytes_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
