/* shard/base/hash.c: the same secret gives the same hash, another one another, and hashes spread. */
#include "tests/engine.h"

#include "shard/base/hash.h"

static const uint64_t words[4] = {1, 2, 3, 4};

static void equal_seeds_give_equal_hashes(void **state) {
    (void)state;
    struct hash_secret first, second;
    assert_int_equal(hash_secret_draw(&first, words), 0);
    assert_int_equal(hash_secret_draw(&second, words), 0);
    char data[300];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)i;
    for (size_t length = 0; length <= sizeof data; length++)
        assert_true(hash_bytes(&first, data, length) == hash_bytes(&second, data, length));
}

static void each_seed_word_matters(void **state) {
    (void)state;
    struct hash_secret first, other;
    hash_secret_draw(&first, words);
    for (int i = 0; i < 4; i++) {
        uint64_t changed[4] = {1, 2, 3, 4};
        changed[i] ^= 64;
        hash_secret_draw(&other, changed);
        assert_true(hash_bytes(&first, "key", 3) != hash_bytes(&other, "key", 3));
    }
}

static void the_kernel_never_draws_the_same_secret_twice(void **state) {
    (void)state;
    struct hash_secret first, second;
    assert_int_equal(hash_secret_draw(&first, NULL), 0);
    assert_int_equal(hash_secret_draw(&second, NULL), 0);
    assert_memory_not_equal(first.bytes, second.bytes, sizeof first.bytes);
}

static void every_prefix_has_a_hash_of_its_own(void **state) {
    (void)state;
    struct hash_secret secret;
    uint64_t hashes[301];
    char data[300] = {0};
    hash_secret_draw(&secret, words);
    for (size_t length = 0; length <= sizeof data; length++) {
        hashes[length] = hash_bytes(&secret, data, length);
        for (size_t i = 0; i < length; i++) assert_true(hashes[i] != hashes[length]);
    }
}

/* Chi-square over 256 cells, for the bits that choose the shard and those of the tag: 400 is far beyond
 * chance (mean 255, deviation 23). */
static void high_and_low_bits_spread_evenly(void **state) {
    (void)state;
    struct hash_secret secret;
    uint64_t high[256] = {0}, low[256] = {0};
    const uint64_t count = 65536, mean = count / 256;
    hash_secret_draw(&secret, NULL);
    for (uint64_t i = 0; i < count; i++) {
        char key[32];
        uint64_t hash =
            hash_bytes(&secret, key, (size_t)snprintf(key, sizeof key, "key:%llu", (unsigned long long)i));
        high[hash >> 56]++;
        low[hash & 255]++;
    }
    uint64_t high_sum = 0, low_sum = 0;
    for (int i = 0; i < 256; i++) {
        high_sum += (high[i] - mean) * (high[i] - mean);
        low_sum += (low[i] - mean) * (low[i] - mean);
    }
    assert_true(high_sum / mean < 400);
    assert_true(low_sum / mean < 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_seeds_give_equal_hashes),
        cmocka_unit_test(each_seed_word_matters),
        cmocka_unit_test(the_kernel_never_draws_the_same_secret_twice),
        cmocka_unit_test(every_prefix_has_a_hash_of_its_own),
        cmocka_unit_test(high_and_low_bits_spread_evenly),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
