/* shard/store/event.c: events have the names that clients of Redis's keyspace notifications know. */
#include "tests/engine.h"

#include "shard/store/event.h"

static void events_have_the_names_of_redis(void **state) {
    (void)state;
    static const struct {
        enum event event;
        const char *name;
    } cases[] = {
        {EVENT_SET, "set"},
        {EVENT_SETRANGE, "setrange"},
        {EVENT_APPEND, "append"},
        {EVENT_INCRBY, "incrby"},
        {EVENT_INCRBYFLOAT, "incrbyfloat"},
        {EVENT_SETBIT, "setbit"},
        {EVENT_EXPIRE, "expire"},
        {EVENT_PERSIST, "persist"},
        {EVENT_DEL, "del"},
        {EVENT_EXPIRED, "expired"},
        {EVENT_EVICTED, "evicted"},
        {EVENT_RENAME_FROM, "rename_from"},
        {EVENT_RENAME_TO, "rename_to"},
        {EVENT_MOVE_FROM, "move_from"},
        {EVENT_MOVE_TO, "move_to"},
        {EVENT_COPY_TO, "copy_to"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(event_name(cases[i].event), cases[i].name);
}

static void no_two_events_share_a_name(void **state) {
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++)
        for (int j = 0; j < i; j++)
            if (event_name((enum event)i) != NULL && event_name((enum event)j) != NULL)
                assert_string_not_equal(event_name((enum event)i), event_name((enum event)j));
}

static void what_redis_does_not_tell_key_by_key_has_no_name(void **state) {
    (void)state;
    assert_null(event_name(EVENT_FLUSH));
    assert_null(event_name(EVENT_SWAP));
    assert_null(event_name(EVENT_COUNT));
    assert_null(event_name((enum event)(EVENT_COUNT + 100)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_have_the_names_of_redis),
        cmocka_unit_test(no_two_events_share_a_name),
        cmocka_unit_test(what_redis_does_not_tell_key_by_key_has_no_name),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
