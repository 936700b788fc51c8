/* Shards that are held for tests (DEBUG HOLD): none of them outlives the keyspace. */
#include "tests/engine.h"

#include "server/run/hold.h"

#define NOW 1000000

/* A client may ask for one while the server ends, and the keyspace was closed with its seat taken. */
static void a_hold_that_is_asked_for_after_the_end_of_all_is_refused(void **state) {
    (void)state;
    struct keyspace *keyspace = keyspace_open(&(struct keyspace_options){.shards = 4});
    assert_non_null(keyspace);
    struct lane *lane = lane_attach(keyspace);
    assert_non_null(lane);
    struct key key = keyspace_key(keyspace, 0, "k", 1);
    assert_true(lane_enter(lane));
    assert_null(hold_start(keyspace, &key, 600, NOW));
    assert_string_equal(hold_start(keyspace, &key, 600, NOW), "BUSY that key's shard is held, try again");
    hold_end_all();
    assert_non_null(hold_start(keyspace, &key, 600, NOW));
    lane_leave(lane);
    lane_detach(lane);
    keyspace_close(keyspace); /* asserts that nobody has a seat */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_that_is_asked_for_after_the_end_of_all_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
