/* The table of waiters by itself: what a wait costs whose keys somebody has chosen. Work is counted, not
 * timed. */
#include "server/interest/blocking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/task/task.h"
#include "server/worker/worker.h"
#include "shard/base/counter.h"
#include "shard/lock/lane.h"

#define KEYS 4000

static struct keyspace *keyspace;
static struct key keys[KEYS];
static struct bulk arguments[KEYS];
static char names[KEYS][16];

static void end(struct worker *worker, struct blocked_client *waiter) {
    struct ended_waits ended = {NULL, NULL};
    struct lane *lane = lane_attach(keyspace);
    assert_non_null(lane);
    assert_true(blocking_cancel(waiter, WAITER_UNBLOCKED));
    blocking_end(&ended, waiter);
    while (blocking_sweep(&ended, lane, 0) >= 0) continue;
    assert_null(ended.first);
    assert_int_equal(counter_read(&worker->wait_bytes), 0);
    assert_int_equal(counter_read(&worker->ended_bytes), 0);
    lane_detach(lane);
}

/* As if somebody knew the keyspace's secret: all have one hash. */
static void chosen_keys_make_no_long_chain_of_waits(void **state) {
    (void)state;
    keyspace = keyspace_open(&(struct keyspace_options){.shards = 16, .databases = 1, .lanes = 2});
    assert_non_null(keyspace);
    assert_true(interest_start(keyspace));
    blocking_start(keyspace);
    struct worker *worker = calloc(1, sizeof *worker);
    assert_non_null(worker);
    for (int i = 0; i < KEYS; i++) {
        int length = snprintf(names[i], sizeof names[i], "key:%d", i);
        arguments[i] = (struct bulk){.data = names[i], .length = (size_t)length};
        keys[i] =
            (struct key){.data = names[i], .length = (size_t)length, .hash = UINT64_C(0x1234567890ABCDEF)};
    }
    struct call call = {
        .arguments = arguments, .count = KEYS, .keys = keys, .key_count = KEYS, .keyspace = keyspace};
    struct block block = {.wants = true, .type = TYPE_LIST};
    static struct task task;
    struct blocked_client *waiter = blocking_register(worker, &task, NULL, &call, &block);
    assert_non_null(waiter);
    struct interest_counts counts;
    interest_count(&counts);
    assert_int_equal(counts.keys, KEYS);
    assert_true(counts.looks < KEYS * 8);
    end(worker, waiter);
    interest_count(&counts);
    assert_int_equal(counts.keys, 0);
    blocking_stop();
    interest_stop();
    free(worker);
    keyspace_close(keyspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(chosen_keys_make_no_long_chain_of_waits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
