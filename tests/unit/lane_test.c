/* shard/lock/lane.c: the gate, which is the lock of all shards, and the freeing of what was unlinked when
 * nobody can see it any more. */
#include "tests/engine.h"

#include <sched.h>
#include <signal.h>

#include "shard/base/memory.h"
#include "shard/store/shard.h"

#define LANES 16

static struct keyspace *keyspace;
static struct lane *lanes[LANES];

static int attach_all(void **state) {
    (void)state;
    keyspace = keyspace_with(4, 2, 1);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lane_attach(keyspace);
        if (lanes[i] == NULL) return -1;
    }
    return 0;
}

static int detach_all(void **state) {
    (void)state;
    for (int i = 0; i < LANES; i++) lane_detach(lanes[i]);
    keyspace_close(keyspace);
    return 0;
}

/* ------------------------------------------------------------------ seats */

static void there_are_as_many_seats_as_asked_for(void **state) {
    (void)state;
    assert_null(lane_attach(keyspace));
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) assert_ptr_not_equal(lanes[i], lanes[j]);
}

static void a_seat_given_back_is_taken_again_and_keeps_counting(void **state) {
    (void)state;
    latchkey_set(lanes[3],
                 &(struct latchkey_item){.key = "k", .key_length = 1, .value = "v", .value_length = 1});
    uint64_t changes = counts_of(keyspace).changes;
    struct lane *before = lanes[3];
    lane_detach(lanes[3]);
    assert_int_equal(counts_of(keyspace).changes, changes);
    lanes[3] = lane_attach(keyspace);
    assert_ptr_equal(lanes[3], before);
    assert_true(latchkey_delete(lanes[3], "k", 1));
    assert_int_equal(counts_of(keyspace).changes, changes + 1);
}

static void a_lane_hashes_like_its_keyspace(void **state) {
    (void)state;
    assert_true(lane_hash(lanes[0], "key", 3) == keyspace_hash(keyspace, "key", 3));
}

/* ------------------------------------------------------------------ the gate */

static void gate_closes_at_once_when_all_are_outside(void **state) {
    (void)state;
    struct alarm_clock closer;
    bool is_parked;
    uint64_t closings = counts_of(keyspace).gate_closings;
    alarm_init(&closer, true);
    assert_true(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
    assert_false(is_parked);
    assert_int_equal(counts_of(keyspace).gate_closings, closings + 1);
    gate_open(lanes[0]);
    assert_int_equal(alarm_wakes(&closer), 0);
}

static void nobody_enters_a_closed_gate(void **state) {
    (void)state;
    struct alarm_clock refused[LANES];
    gate_close_waiting(lanes[0]);
    for (int i = 1; i < LANES; i++) {
        assert_false(lane_enter(lanes[i]));
        assert_false(lane_is_inside(lanes[i]));
        alarm_init(&refused[i], false);
        assert_true(gate_park(lanes[i], &refused[i].waiter));
    }
    for (int i = 1; i < LANES; i++) assert_int_equal(alarm_wakes(&refused[i]), 0);
    gate_open(lanes[0]);
    for (int i = 1; i < LANES; i++) {
        assert_int_equal(alarm_wakes(&refused[i]), 1);
        assert_true(lane_enter(lanes[i]));
        assert_true(lane_is_inside(lanes[i]));
        lane_leave(lanes[i]);
    }
}

static void nobody_parks_at_an_open_gate(void **state) {
    (void)state;
    struct alarm_clock refused;
    alarm_init(&refused, false);
    assert_false(gate_park(lanes[1], &refused.waiter));
    assert_null(refused.waiter.place);
}

static void who_is_unparked_from_the_gate_is_not_woken(void **state) {
    (void)state;
    struct alarm_clock refused[3];
    for (int leaver = 0; leaver < 3; leaver++) {
        gate_close_waiting(lanes[0]);
        for (int i = 0; i < 3; i++) {
            alarm_init(&refused[i], false);
            assert_true(gate_park(lanes[i + 1], &refused[i].waiter));
        }
        gate_unpark(lanes[leaver + 1], &refused[leaver].waiter);
        gate_unpark(lanes[leaver + 1], &refused[leaver].waiter);
        gate_open(lanes[0]);
        for (int i = 0; i < 3; i++) assert_int_equal(alarm_wakes(&refused[i]), i != leaver);
    }
}

static void a_closer_opens_again_and_parks_until_the_lane_inside_leaves(void **state) {
    (void)state;
    struct alarm_clock closer;
    bool is_parked;
    alarm_init(&closer, true);
    assert_true(lane_enter(lanes[1]));
    assert_false(lane_is_watched(lanes[1]));
    assert_false(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
    assert_true(is_parked);
    assert_true(lane_is_watched(lanes[1]));
    assert_true(lane_enter(lanes[2])); /* others are let in meanwhile, */
    lane_leave(lanes[2]);              /* and wake nobody by leaving */
    assert_int_equal(alarm_wakes(&closer), 0);
    lane_leave(lanes[1]);
    assert_int_equal(alarm_wakes(&closer), 1);
    assert_true(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
    gate_open(lanes[0]);
}

static void an_insisting_closer_keeps_others_out_meanwhile(void **state) {
    (void)state;
    struct alarm_clock closer, refused;
    bool is_parked;
    alarm_init(&closer, true);
    alarm_init(&refused, false);
    assert_true(lane_enter(lanes[1]));
    assert_true(lane_enter(lanes[2]));
    assert_false(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    assert_true(is_parked);
    assert_false(lane_enter(lanes[3]));
    assert_true(gate_park(lanes[3], &refused.waiter));
    lane_leave(lanes[1]);
    assert_int_equal(alarm_wakes(&closer), 1);
    assert_false(gate_try_close(lanes[0], true, &closer.waiter, &is_parked)); /* the second one is still in */
    assert_true(is_parked);
    assert_false(lane_enter(lanes[4]));
    lane_leave(lanes[2]);
    assert_int_equal(alarm_wakes(&closer), 2);
    assert_true(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    gate_unpark(lanes[3], &refused.waiter);
    gate_open(lanes[0]);
    assert_true(lane_enter(lanes[3]));
    lane_leave(lanes[3]);
}

static void an_insisting_closer_may_give_up(void **state) {
    (void)state;
    struct alarm_clock closer, refused;
    bool is_parked;
    alarm_init(&closer, true);
    alarm_init(&refused, false);
    assert_true(lane_enter(lanes[1]));
    assert_false(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    assert_false(lane_enter(lanes[2]));
    assert_true(gate_park(lanes[2], &refused.waiter));
    gate_unpark(lanes[0], &closer.waiter);
    gate_abandon(lanes[0]);
    assert_int_equal(alarm_wakes(&refused), 1);
    assert_int_equal(alarm_wakes(&closer), 0);
    assert_true(lane_enter(lanes[2]));
    lane_leave(lanes[2]);
    gate_abandon(lanes[0]); /* nothing to give up */
    lane_leave(lanes[1]);
}

static void abandoning_leaves_another_closers_gate_closed(void **state) {
    (void)state;
    gate_close_waiting(lanes[0]);
    gate_abandon(lanes[1]);
    assert_false(lane_enter(lanes[2]));
    gate_open(lanes[0]);
}

static void the_second_closer_parks_until_the_first_opens(void **state) {
    (void)state;
    struct alarm_clock second;
    bool is_parked;
    for (int insists = 0; insists < 2; insists++) {
        alarm_init(&second, true);
        gate_close_waiting(lanes[0]);
        assert_false(gate_try_close(lanes[1], insists, &second.waiter, &is_parked));
        assert_true(is_parked);
        gate_open(lanes[0]);
        assert_int_equal(alarm_wakes(&second), 1);
        assert_true(gate_try_close(lanes[1], insists, &second.waiter, &is_parked));
        assert_false(lane_enter(lanes[0]));
        gate_open(lanes[1]);
    }
}

static void a_closer_waits_for_who_holds_still_too(void **state) {
    (void)state;
    struct alarm_clock closer;
    bool is_parked;
    alarm_init(&closer, true);
    assert_true(lane_enter(lanes[1]));
    lane_hold_still(lanes[1]);
    assert_false(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
    assert_true(is_parked);
    lane_hold_still(lanes[1]); /* once watched, it stays so */
    assert_true(lane_is_watched(lanes[1]));
    lane_leave(lanes[1]);
    assert_int_equal(alarm_wakes(&closer), 1);
}

static void a_closer_keeps_nobody_out_while_somebody_holds_still(void **state) {
    (void)state;
    struct alarm_clock closer, refused;
    bool is_parked;
    alarm_init(&closer, true);
    alarm_init(&refused, false);
    assert_true(lane_enter(lanes[1]));
    assert_true(lane_enter(lanes[2]));
    assert_false(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    assert_true(gate_is_kept(lanes[0]));
    lane_hold_still(lanes[2]); /* it has only now begun, and should not have */
    assert_true(gate_is_wanted(lanes[2]));
    lane_leave(lanes[1]);
    assert_int_equal(alarm_wakes(&closer), 1);
    assert_false(lane_enter(lanes[3]));
    assert_true(gate_park(lanes[3], &refused.waiter));
    assert_false(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    assert_true(is_parked);
    assert_false(gate_is_kept(lanes[0]));
    assert_int_equal(alarm_wakes(&refused), 1);
    assert_true(lane_enter(lanes[3]));
    lane_leave(lanes[3]);
    assert_int_equal(alarm_wakes(&closer), 1);
    lane_leave(lanes[2]);
    assert_int_equal(alarm_wakes(&closer), 2);
    assert_true(gate_try_close(lanes[0], true, &closer.waiter, &is_parked));
    gate_open(lanes[0]);
    assert_false(gate_is_wanted(lanes[2]));
}

static void what_takes_long_waits_until_nobody_wants_the_gate(void **state) {
    (void)state;
    struct alarm_clock closer, waiting;
    bool is_parked;
    alarm_init(&closer, true);
    alarm_init(&waiting, false);
    assert_false(gate_park_unwanted(lanes[2], &waiting.waiter));
    for (int gives_up = 0; gives_up < 2; gives_up++) {
        assert_true(lane_enter(lanes[1]));
        lane_hold_still(lanes[1]);
        assert_false(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
        assert_true(gate_is_wanted(lanes[2]));
        assert_true(gate_park_unwanted(lanes[2], &waiting.waiter));
        if (gives_up) {
            gate_unpark(lanes[0], &closer.waiter);
            gate_abandon(lanes[0]);
            lane_leave(lanes[1]);
        } else {
            lane_leave(lanes[1]);
            assert_true(gate_try_close(lanes[0], false, &closer.waiter, &is_parked));
            assert_true(
                gate_park_unwanted(lanes[2], &waiting.waiter)); /* was woken, and the gate is still wanted */
            gate_open(lanes[0]);
        }
        assert_int_equal(alarm_wakes(&waiting), gives_up ? 3 : 2);
        assert_false(gate_is_wanted(lanes[2]));
    }
}

static void who_has_closed_the_gate_may_enter_first(void **state) {
    (void)state;
    gate_close_waiting(lanes[0]);
    gate_enter_closed(lanes[0]);
    assert_false(lane_enter(lanes[1]));
    gate_open(lanes[0]);
    assert_true(lane_is_inside(lanes[0]));
    assert_true(lane_enter(lanes[1]));
    lane_leave(lanes[1]);
    lane_leave(lanes[0]);
}

struct traffic {
    uint64_t everything; /* plain: changed with the gate closed, read inside */
    atomic_int inside;
    atomic_bool is_over;
    uint64_t seed, closings;
};

static void *pass_through(void *argument) {
    struct traffic *traffic = argument;
    struct lane *lane = lane_attach(keyspace);
    CHECK(lane != NULL);
    uint64_t random = traffic->seed ^ (uint64_t)lane->number, last = 0;
    while (!atomic_load(&traffic->is_over)) {
        lane_enter_waiting(lane);
        atomic_fetch_add(&traffic->inside, 1);
        CHECK(traffic->everything >= last);
        last = traffic->everything;
        if (random_below(&random, 8) == 0) sched_yield();
        if (random_below(&random, 64) == 0) lane_hold_still(lane);
        CHECK(traffic->everything == last);
        atomic_fetch_sub(&traffic->inside, 1);
        lane_leave(lane);
    }
    lane_detach(lane);
    return NULL;
}

static void *close_and_open(void *argument) {
    struct traffic *traffic = argument;
    struct lane *lane = lane_attach(keyspace);
    CHECK(lane != NULL);
    for (uint64_t i = 0; i < traffic->closings; i++) {
        gate_close_waiting(lane);
        CHECK(atomic_load(&traffic->inside) == 0);
        traffic->everything++;
        if (i % 16 == 0) sched_yield();
        CHECK(atomic_load(&traffic->inside) == 0);
        gate_open(lane);
    }
    lane_detach(lane);
    return NULL;
}

static void closers_exclude_everybody(void **state) {
    (void)state;
    struct traffic traffic = {.seed = seed_take(), .closings = SCALED(20000, 2000)};
    pthread_t passers[3], closers[2];
    for (int i = 0; i < LANES; i++) lane_detach(lanes[i]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&passers[i], NULL, pass_through, &traffic), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&closers[i], NULL, close_and_open, &traffic), 0);
    for (int i = 0; i < 2; i++) pthread_join(closers[i], NULL);
    atomic_store(&traffic.is_over, true);
    for (int i = 0; i < 3; i++) pthread_join(passers[i], NULL);
    assert_int_equal(traffic.everything, 2 * traffic.closings);
    for (int i = 0; i < LANES; i++) lanes[i] = lane_attach(keyspace);
}

/* ------------------------------------------------------------------ deferred freeing */

static int freed;

static void count_freed(void *memory) {
    freed++;
    free(memory);
}

static void retire_one(struct lane *lane) {
    lane_retire(lane, malloc(100), 100, count_freed);
}

static void memory_is_freed_when_nobody_is_inside(void **state) {
    (void)state;
    freed = 0;
    retire_one(lanes[0]);
    assert_int_equal(freed, 0);
    assert_int_equal(counts_of(keyspace).retired_bytes, 100);
    assert_int_equal(counts_of(keyspace).retired_objects, 1);
    assert_false(lane_reclaim(lanes[0]));
    assert_int_equal(freed, 1);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    assert_int_equal(counts_of(keyspace).retired_objects, 0);
    lane_retire(lanes[0], NULL, 100, NULL);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

static void memory_stays_while_a_lane_that_entered_before_is_inside(void **state) {
    (void)state;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    retire_one(lanes[0]);
    for (int i = 0; i < 5; i++) lane_reclaim(lanes[0]);
    assert_int_equal(freed, 0);
    assert_int_equal(counts_of(keyspace).retired_bytes, 100);
    lane_leave(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

static void a_lane_that_entered_later_delays_nothing(void **state) {
    (void)state;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]); /* from here on it has its epoch */
    lane_leave(lanes[1]);
    assert_true(lane_enter(lanes[1]));
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    retire_one(lanes[0]); /* but this one it may have seen */
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    lane_leave(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 2);
}

static void a_lane_that_refreshes_delays_nothing_and_stays_inside(void **state) {
    (void)state;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 0);
    lane_refresh(lanes[1]);
    assert_true(lane_is_inside(lanes[1]));
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    lane_hold_still(lanes[1]);
    lane_refresh(lanes[1]); /* looks around again, and so counts again */
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    lane_leave(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 2);
}

static void what_a_lane_sees_between_two_times_of_holding_still_stays(void **state) {
    (void)state;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    lane_hold_still(lanes[1]);
    lane_observe_still(lanes[1]);
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 0);
    lane_hold_still(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    lane_leave(lanes[1]);
}

static void a_lane_is_congested_until_what_it_retired_is_freed(void **state) {
    (void)state;
    assert_true(lane_enter(lanes[1]));
    assert_false(lane_is_congested(lanes[0]));
    size_t each = LANE_RETIRED_MOST / 4;
    for (int i = 0; i < 4; i++) lane_retire(lanes[0], malloc(16), each, NULL);
    assert_false(lane_is_congested(lanes[0]));
    lane_retire(lanes[0], malloc(16), 1, NULL);
    lane_reclaim(lanes[0]);
    assert_true(lane_is_congested(lanes[0]));
    lane_refresh(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_false(lane_is_congested(lanes[0]));
    lane_leave(lanes[1]);
}

static void a_lane_that_holds_still_delays_nothing(void **state) {
    (void)state;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 0);
    lane_hold_still(lanes[1]);
    assert_true(lane_is_inside(lanes[1]));
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 1);
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 2);
    lane_leave(lanes[1]);
    assert_true(lane_enter(lanes[1])); /* afterwards it counts again */
    retire_one(lanes[0]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 2);
    lane_leave(lanes[1]);
    lane_reclaim(lanes[0]);
    assert_int_equal(freed, 3);
}

static void what_was_retired_first_is_freed_first_however_much_there_is(void **state) {
    (void)state;
    freed = 0;
    int expected = 0;
    /* The row grows while its beginning is somewhere in the middle. */
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 100; i++) retire_one(lanes[0]);
        lane_reclaim(lanes[0]);
        expected += 100;
        assert_int_equal(freed, expected);
        assert_true(lane_enter(lanes[1]));
        for (int i = 0; i < 400 << round; i++) retire_one(lanes[0]);
        lane_reclaim(lanes[0]);
        assert_int_equal(freed, expected);
        lane_leave(lanes[1]);
        assert_true(lane_enter(lanes[1]));
        for (int i = 0; i < 50; i++) retire_one(lanes[0]);
        lane_reclaim(lanes[0]);
        expected += 400 << round;
        assert_int_equal(freed, expected); /* the later ones stay */
        assert_int_equal(counts_of(keyspace).retired_objects, 50);
        lane_leave(lanes[1]);
        lane_reclaim(lanes[0]);
        expected += 50;
        assert_int_equal(freed, expected);
    }
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
}

static void detaching_frees_what_was_retired(void **state) {
    (void)state;
    freed = 0;
    for (int i = 0; i < 1000; i++) retire_one(lanes[5]);
    lane_detach(lanes[5]);
    assert_int_equal(freed, 1000);
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    lanes[5] = lane_attach(keyspace);
}

static void *leave_soon(void *argument) {
    struct lane *lane = argument;
    for (int i = 0; i < 50; i++) sched_yield();
    lane_leave(lane);
    return NULL;
}

static void detaching_waits_for_who_may_still_look(void **state) {
    (void)state;
    pthread_t thread;
    freed = 0;
    assert_true(lane_enter(lanes[1]));
    retire_one(lanes[5]);
    assert_int_equal(pthread_create(&thread, NULL, leave_soon, lanes[1]), 0);
    lane_detach(lanes[5]);
    assert_int_equal(freed, 1);
    pthread_join(thread, NULL);
    lanes[5] = lane_attach(keyspace);
}

/* Shows what an entry's new form leaves behind: never more than there was, and never less than nothing. */
static void what_an_expiry_leaves_behind_is_counted_as_what_it_is(void **state) {
    (void)state;
    static char value[20000];
    memset(value, 'v', sizeof value);
    for (size_t key_length = 1; key_length < 64; key_length++) {
        char name[64];
        memset(name, 'k', sizeof name);
        put(lanes[0], 0, name, key_length, value, sizeof value, ENTRY_NO_EXPIRY, 1);
        reclaim_all(lanes, LANES);
        assert_int_equal(counts_of(keyspace).retired_bytes, 0);
        struct key key = keyspace_key(keyspace, 0, name, key_length);
        struct holding holding;
        struct edit edit;
        hold_shards(&holding, lanes[0], &key, 1, 1);
        scope_edit(&holding.scope, &key, &edit);
        size_t shell = memory_size(edit.entry);
        assert_true(edit_set_expiry(&edit, 1000));
        scope_changed(&edit, EVENT_EXPIRE);
        hold_end(&holding);
        uint64_t pending = counts_of(keyspace).retired_bytes;
        drop(lanes[0], 0, name, key_length, 2);
        reclaim_all(lanes, LANES);
        assert_int_equal(pending, shell);
        assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    }
}

#define PLACES 64
#define ALIVE UINT64_C(0xA11FE)

struct published {
    uint64_t sign;
    uint64_t number;
};

struct exchange {
    _Atomic(struct published *) places[PLACES];
    uint64_t seed, rounds;
};

static void bury_published(void *memory) {
    ((struct published *)memory)->sign = 0;
    free(memory);
}

/* Looks at what others unlink, with nothing but the gate to keep it. */
static void *look_and_replace(void *argument) {
    struct exchange *exchange = argument;
    struct lane *lane = lane_attach(keyspace);
    CHECK(lane != NULL);
    uint64_t random = exchange->seed + lane->number;
    for (uint64_t round = 0; round < exchange->rounds; round++) {
        lane_enter_waiting(lane);
        for (int i = 0; i < 8; i++) {
            _Atomic(struct published *) *place = &exchange->places[random_below(&random, PLACES)];
            struct published *seen = atomic_load_explicit(place, memory_order_acquire);
            CHECK(seen->sign == ALIVE);
            if (random_below(&random, 32) == 0) sched_yield();
            CHECK(seen->sign == ALIVE);
            if (random_below(&random, 4) != 0) continue;
            struct published *fresh = malloc(sizeof *fresh);
            CHECK(fresh != NULL);
            *fresh = (struct published){ALIVE, round};
            lane_retire(lane, atomic_exchange_explicit(place, fresh, memory_order_acq_rel), sizeof *fresh,
                        bury_published);
        }
        lane_leave(lane);
        if (random_below(&random, 8) == 0) lane_reclaim(lane);
    }
    lane_detach(lane);
    return NULL;
}

static void nothing_is_freed_under_who_looks_at_it(void **state) {
    (void)state;
    struct exchange exchange = {.seed = seed_take(), .rounds = SCALED(300000, 20000)};
    pthread_t threads[4];
    for (int i = 0; i < LANES; i++) lane_detach(lanes[i]);
    for (int i = 0; i < PLACES; i++) {
        struct published *first = malloc(sizeof *first);
        *first = (struct published){ALIVE, 0};
        atomic_store(&exchange.places[i], first);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_and_replace, &exchange), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < PLACES; i++) {
        assert_true(atomic_load(&exchange.places[i])->sign == ALIVE);
        free(atomic_load(&exchange.places[i]));
    }
    assert_int_equal(counts_of(keyspace).retired_bytes, 0);
    assert_int_equal(counts_of(keyspace).retired_objects, 0);
    for (int i = 0; i < LANES; i++) lanes[i] = lane_attach(keyspace);
}

/* ------------------------------------------------------------------ assertions */

#ifdef DEBUG_ASSERTIONS
static void enter_twice(void *context) {
    (void)context;
    lane_enter(lanes[0]);
    lane_enter(lanes[0]);
}

static void close_from_inside(void *context) {
    struct alarm_clock closer;
    bool is_parked;
    (void)context;
    alarm_init(&closer, true);
    lane_enter(lanes[0]);
    gate_try_close(lanes[0], false, &closer.waiter, &is_parked);
}

static void open_anothers(void *context) {
    (void)context;
    gate_close_waiting(lanes[0]);
    gate_open(lanes[1]);
}

static void reclaim_inside(void *context) {
    (void)context;
    lane_enter(lanes[0]);
    lane_reclaim(lanes[0]);
}

static void detach_inside(void *context) {
    (void)context;
    lane_enter(lanes[0]);
    lane_detach(lanes[0]);
}
#endif

static void misuse_of_the_gate_aborts_a_debug_build(void **state) {
    (void)state;
#ifdef DEBUG_ASSERTIONS
    assert_int_equal(status_of_child(enter_twice, NULL), 128 + SIGABRT);
    assert_int_equal(status_of_child(close_from_inside, NULL), 128 + SIGABRT);
    assert_int_equal(status_of_child(open_anothers, NULL), 128 + SIGABRT);
    assert_int_equal(status_of_child(reclaim_inside, NULL), 128 + SIGABRT);
    assert_int_equal(status_of_child(detach_inside, NULL), 128 + SIGABRT);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_as_many_seats_as_asked_for),
        cmocka_unit_test(a_seat_given_back_is_taken_again_and_keeps_counting),
        cmocka_unit_test(a_lane_hashes_like_its_keyspace),
        cmocka_unit_test(gate_closes_at_once_when_all_are_outside),
        cmocka_unit_test(nobody_enters_a_closed_gate),
        cmocka_unit_test(nobody_parks_at_an_open_gate),
        cmocka_unit_test(who_is_unparked_from_the_gate_is_not_woken),
        cmocka_unit_test(a_closer_opens_again_and_parks_until_the_lane_inside_leaves),
        cmocka_unit_test(an_insisting_closer_keeps_others_out_meanwhile),
        cmocka_unit_test(an_insisting_closer_may_give_up),
        cmocka_unit_test(abandoning_leaves_another_closers_gate_closed),
        cmocka_unit_test(the_second_closer_parks_until_the_first_opens),
        cmocka_unit_test(a_closer_waits_for_who_holds_still_too),
        cmocka_unit_test(a_closer_keeps_nobody_out_while_somebody_holds_still),
        cmocka_unit_test(what_takes_long_waits_until_nobody_wants_the_gate),
        cmocka_unit_test(who_has_closed_the_gate_may_enter_first),
        cmocka_unit_test(closers_exclude_everybody),
        cmocka_unit_test(memory_is_freed_when_nobody_is_inside),
        cmocka_unit_test(memory_stays_while_a_lane_that_entered_before_is_inside),
        cmocka_unit_test(a_lane_that_entered_later_delays_nothing),
        cmocka_unit_test(a_lane_that_holds_still_delays_nothing),
        cmocka_unit_test(a_lane_that_refreshes_delays_nothing_and_stays_inside),
        cmocka_unit_test(what_a_lane_sees_between_two_times_of_holding_still_stays),
        cmocka_unit_test(a_lane_is_congested_until_what_it_retired_is_freed),
        cmocka_unit_test(what_was_retired_first_is_freed_first_however_much_there_is),
        cmocka_unit_test(detaching_frees_what_was_retired),
        cmocka_unit_test(detaching_waits_for_who_may_still_look),
        cmocka_unit_test(what_an_expiry_leaves_behind_is_counted_as_what_it_is),
        cmocka_unit_test(nothing_is_freed_under_who_looks_at_it),
        cmocka_unit_test(misuse_of_the_gate_aborts_a_debug_build),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, attach_all, detach_all);
}
