/* shard/entry/blob.c: a blob lives as long as somebody holds it, whatever threads they are in. */
#include "tests/engine.h"

#include "shard/entry/blob.h"
#include "shard/base/memory.h"

static void a_blob_has_room_for_its_bytes_and_one_more(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 15, 16, BLOB_LEAST, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct blob *blob = blob_create(lengths[i]);
        assert_non_null(blob);
        assert_int_equal(blob->length, lengths[i]);
        assert_int_equal(atomic_load(&blob->references), 1);
        memset(blob->data, 'b', lengths[i] + 1); /* a sanitizer sees if it isn't there */
        assert_true(blob_bytes(blob) >= sizeof *blob + lengths[i] + 1);
        assert_int_equal(blob_bytes(blob), memory_size(blob));
        blob_release(blob);
    }
}

static void a_blob_longer_than_memory_is_not_made(void **state) {
    (void)state;
    assert_null(blob_create(SIZE_MAX));
    assert_null(blob_create(SIZE_MAX - sizeof(struct blob)));
    assert_null(blob_create(SIZE_MAX / 2 + 1));
}

static void only_the_last_release_frees(void **state) {
    (void)state;
    struct blob *blob = blob_create(100);
    blob_retain(blob);
    blob_retain(blob);
    assert_int_equal(atomic_load(&blob->references), 3);
    blob_release(blob);
    blob_release(blob);
    assert_int_equal(atomic_load(&blob->references), 1);
    memset(blob->data, 'x', 100); /* still there */
    blob_release(blob);           /* a sanitizer sees if this didn't free, or one before did */
}

enum { THREADS = 4, ROUNDS = 2000 };

/* Reads what the others read, and gives up what it was given; whoever is last frees. */
static void *hold_and_release(void *argument) {
    struct blob *const *blobs = argument;
    for (int i = 0; i < ROUNDS; i++) {
        blob_retain(blobs[i]);
        CHECK(blobs[i]->data[0] == (char)i && blobs[i]->data[99] == (char)i);
        blob_release(blobs[i]);
        blob_release(blobs[i]);
    }
    return NULL;
}

static void any_thread_may_be_the_last(void **state) {
    (void)state;
    struct blob *blobs[ROUNDS];
    pthread_t threads[THREADS];
    for (int i = 0; i < ROUNDS; i++) {
        blobs[i] = blob_create(100);
        memset(blobs[i]->data, (char)i, 100);
        for (int j = 0; j < THREADS; j++) blob_retain(blobs[i]);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_release, blobs), 0);
    for (int i = 0; i < ROUNDS; i++) blob_release(blobs[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blob_has_room_for_its_bytes_and_one_more),
        cmocka_unit_test(a_blob_longer_than_memory_is_not_made),
        cmocka_unit_test(only_the_last_release_frees),
        cmocka_unit_test(any_thread_may_be_the_last),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
