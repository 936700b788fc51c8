/* server/client/balance.c: what a worker does about its load and the others'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/client/balance.h"

static const struct balance_load unknown = {.is_known = false};

static struct balance_load load(uint32_t running, uint32_t waiting) {
    return (struct balance_load){.is_known = true, .running = running, .waiting = waiting};
}

static struct balance_load shunned(struct balance_load load) {
    load.is_shunned = true;
    return load;
}

static enum balance_advice advise(struct balance_load own, const struct balance_load *others, uint32_t count,
                                  uint32_t expected) {
    uint32_t best = UINT32_MAX;
    enum balance_advice advice = balance_advise(&own, others, count, &best);
    assert_int_equal(best, advice == BALANCE_STAY ? best : expected);
    return advice;
}

static void who_gets_along_stays(void **state) {
    (void)state;
    struct balance_load others[] = {unknown, load(0, 0)};
    assert_int_equal(advise(load(0, 0), others, 2, 0), BALANCE_STAY);
    assert_int_equal(advise(load(900, 50), others, 2, 0), BALANCE_STAY);
}

static void who_waits_for_a_processor_goes_where_one_is_free(void **state) {
    (void)state;
    struct balance_load others[] = {load(500, 10), load(300, 20), load(400, 0)};
    assert_int_equal(advise(load(500, 400), others, 3, 1), BALANCE_FLEE);
    struct balance_load resting[] = {load(300, 20), load(0, 0)};
    assert_int_equal(advise(load(500, 400), resting, 2, 1), BALANCE_FLEE);
}

static void nobody_goes_where_there_is_no_time_or_where_others_wait_too(void **state) {
    (void)state;
    struct balance_load others[] = {load(950, 0), load(300, 300), shunned(load(0, 0)), unknown};
    assert_int_equal(advise(load(500, 400), others, 4, 0), BALANCE_STAY);
    assert_int_equal(advise(load(1000, 0), others, 4, 0), BALANCE_STAY);
    assert_int_equal(advise(load(500, 400), others, 0, 0), BALANCE_STAY);
}

static void who_never_rests_shares_with_one_that_does(void **state) {
    (void)state;
    struct balance_load others[] = {load(800, 0), load(600, 20)};
    assert_int_equal(advise(load(990, 10), others, 2, 1), BALANCE_SHARE);
    /* That would only change places with it. */
    assert_int_equal(advise(load(990, 10), others, 1, 0), BALANCE_STAY);
    struct balance_load resting[] = {load(600, 20), load(0, 0), unknown};
    assert_int_equal(advise(load(990, 10), resting, 3, 1), BALANCE_SHARE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_gets_along_stays),
        cmocka_unit_test(who_waits_for_a_processor_goes_where_one_is_free),
        cmocka_unit_test(nobody_goes_where_there_is_no_time_or_where_others_wait_too),
        cmocka_unit_test(who_never_rests_shares_with_one_that_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
