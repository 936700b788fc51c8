/* The budget: what lanes have drawn and spent, at any limit that is set, raised, lowered or removed at any
 * time. */
#include "tests/engine.h"

#include "shard/evict/eviction.h"
#include "shard/store/shard.h"

#define NOW INT64_C(4000000000000)
#define LANES 6

static struct keyspace *keyspace;
static struct lane *lanes[LANES];

static void open_with(enum eviction_policy policy) {
    keyspace = keyspace_with(16, 4, 7);
    for (int i = 0; i < LANES; i++) assert_non_null(lanes[i] = lane_attach(keyspace));
    eviction_configure(keyspace, policy, 10, 1);
}

static void close_all(void) {
    for (int i = 0; i < LANES; i++) lane_detach(lanes[i]);
    keyspace_close(keyspace);
}

static enum room try_room(struct lane *lane, size_t bytes) {
    lane_enter_waiting(lane);
    enum room room = eviction_make_room(lane, bytes, NOW);
    lane_leave(lane);
    return room;
}

/* What lanes keep for what they will need next. */
static int64_t kept_at_most(void) {
    return LANES * 2 * atomic_load(&keyspace->budget.chunk);
}

static void one_lane_allocates_what_another_frees(void **unused) {
    (void)unused;
    open_with(EVICTION_NONE);
    for (int i = 0; i < 200; i++) {
        lane_charge(lanes[0], 5000000);
        lane_charge(lanes[1], -5000000);
        lane_reclaim(lanes[1]);
    }
    assert_int_equal(eviction_used(keyspace), 0);
    eviction_limit(keyspace, 500 << 20);
    assert_int_equal(try_room(lanes[0], 1000), ROOM_MADE);
    assert_int_equal(try_room(lanes[1], 1000), ROOM_MADE);
    assert_int_equal(try_room(lanes[2], 1000), ROOM_MADE);
    close_all();
}

/* A lane that has freed what another allocated has credit, which is no room once there is none. */
static void credit_from_before_the_limit_was_lowered_is_no_room(void **unused) {
    (void)unused;
    open_with(EVICTION_NONE);
    lane_charge(lanes[0], 3000);
    lane_charge(lanes[1], -1000);
    assert_true(lane_credit(lanes[1]) >= 1000);
    eviction_limit(keyspace, 0);
    assert_false(eviction_has_room(lanes[1], 100));
    assert_int_equal(try_room(lanes[0], 100), ROOM_NONE);
    assert_int_equal(try_room(lanes[1], 100), ROOM_NONE);
    eviction_limit(keyspace, 1 << 20);
    assert_int_equal(try_room(lanes[1], 100), ROOM_MADE);
    lane_charge(lanes[0], -2000);
    assert_int_equal(eviction_used(keyspace), 0);
    close_all();
}

static void what_was_allocated_without_a_limit_is_counted_once(void **unused) {
    (void)unused;
    open_with(EVICTION_NONE);
    for (int i = 0; i < LANES; i++) lane_charge(lanes[i], 2000000);
    eviction_limit(keyspace, 12000000 + (3 << 20));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(try_room(lanes[i % LANES], 500), ROOM_MADE);
        lane_charge(lanes[i % LANES], 500);
    }
    assert_int_equal(eviction_used(keyspace), 12000000 + 500000);
    close_all();
}

/* Whatever was before: room is refused only if it isn't there, and made only if it is. */
static void any_mix_of_lanes_and_limits_leaves_the_sum_right(void **unused) {
    (void)unused;
    uint64_t state = seed_take();
    open_with(EVICTION_NONE);
    int64_t used = 0, limit = INT64_MAX;
    for (int step = 0; step < SCALED(200000, 20000); step++) {
        struct lane *lane = lanes[random_below(&state, LANES)];
        size_t bytes = 1 + (size_t)random_below(&state, random_below(&state, 10) == 0 ? 4 << 20 : 2000);
        switch (random_below(&state, 12)) {
        case 0:
            limit = random_below(&state, 3) == 0 ? INT64_MAX : (int64_t)random_below(&state, 64 << 20);
            eviction_limit(keyspace, limit);
            break;
        case 1: lane_reclaim(lane); break;
        case 2:
            lane_detach(lane);
            assert_ptr_equal(lane_attach(keyspace), lane);
            break;
        case 3: /* what nobody makes room for */
            lane_charge(lane, (int64_t)bytes);
            used += (int64_t)bytes;
            break;
        case 4:
        case 5:
        case 6:
            if ((int64_t)bytes > used) bytes = (size_t)used;
            lane_charge(lane, -(int64_t)bytes);
            used -= (int64_t)bytes;
            break;
        default: {
            bool fits = limit == INT64_MAX || used + (int64_t)bytes <= limit,
                 had_credit = lane_credit(lane) >= (int64_t)bytes;
            if (random_below(&state, 2) == 0) /* so that others keep nothing for themselves, or some do */
                for (int i = 0; i < LANES; i++) lane_reclaim(lanes[i]);
            enum room room = try_room(lane, bytes);
            int64_t hard = atomic_load(&keyspace->budget.limit), kept = 0;
            for (int i = 0; i < LANES; i++) kept += lane_credit(lanes[i]) > 0 ? lane_credit(lanes[i]) : 0;
            if (room == ROOM_MADE)
                assert_true(fits || had_credit);
            else
                assert_true(used + (int64_t)bytes + kept > hard);
            if (room != ROOM_MADE) break;
            lane_charge(lane, (int64_t)bytes);
            used += (int64_t)bytes;
        }
        }
        assert_int_equal(eviction_used(keyspace), used);
        if (step % 100 != 0) continue;
        for (int i = 0; i < LANES; i++) lane_reclaim(lanes[i]);
        int64_t kept = 0;
        for (int i = 0; i < LANES; i++) kept += lane_credit(lanes[i]) > 0 ? lane_credit(lanes[i]) : 0;
        assert_true(kept <= kept_at_most());
    }
    close_all();
}

/* ------------------------------------------------------------------ a limit that is lowered */

static void fill(int keys) {
    static const char value[500];
    char key[24];
    for (int i = 0; i < keys; i++)
        put(lanes[i % LANES], 0, key, (size_t)sprintf(key, "key:%d", i), value, sizeof value, ENTRY_NO_EXPIRY,
            NOW);
}

static void writers_go_on_while_a_lowered_limit_is_reached(void **unused) {
    (void)unused;
    static const char value[500];
    open_with(EVICTION_ALLKEYS_LRU);
    fill(20000);
    int64_t before = eviction_used(keyspace), limit = before / 10;
    eviction_limit(keyspace, limit);
    int written = 0;
    for (; eviction_used(keyspace) > limit; written++) {
        struct lane *lane = lanes[written % LANES];
        char key[24];
        size_t length = (size_t)sprintf(key, "new:%d", written);
        for (int tries = 0; try_room(lane, entry_room_for(length + sizeof value)) != ROOM_MADE; tries++) {
            assert_true(tries < 3);
            lane_reclaim(lane);
        }
        put(lane, 0, key, length, value, sizeof value, ENTRY_NO_EXPIRY, NOW);
        lane_reclaim(lane);
        assert_true(eviction_used(keyspace) <=
                    before + before / 100); /* a table that changes its size has two arrays */
    }
    assert_true(written > 100); /* they did not have to wait for the end */
    close_all();
}

static void nothing_is_written_above_a_lowered_limit_if_nothing_may_go(void **unused) {
    (void)unused;
    open_with(EVICTION_NONE);
    fill(2000);
    eviction_limit(keyspace, eviction_used(keyspace) / 2);
    for (int i = 0; i < LANES; i++) assert_int_equal(try_room(lanes[i], 100), ROOM_NONE);
    eviction_configure(keyspace, EVICTION_VOLATILE_LRU, 10, 1);
    for (int i = 0; i < LANES; i++) assert_int_equal(try_room(lanes[i], 100), ROOM_NONE);
    eviction_limit(keyspace, eviction_used(keyspace) * 2);
    for (int i = 0; i < LANES; i++) assert_int_equal(try_room(lanes[i], 100), ROOM_MADE);
    close_all();
}

/* ------------------------------------------------------------------ together */

static _Atomic int64_t sum;

static void *draw_and_spend(void *context) {
    struct lane *lane = context;
    uint64_t state = lane->number + 1;
    int64_t mine = 0;
    for (int i = 0; i < SCALED(200000, 20000); i++) {
        int64_t bytes = (int64_t)random_below(&state, 20000);
        if (random_below(&state, 2) == 0 && mine > bytes) {
            lane_charge(lane, -bytes);
            mine -= bytes;
            atomic_fetch_sub(&sum, bytes);
            lane_reclaim(lane);
        } else if (try_room(lane, (size_t)bytes) == ROOM_MADE) {
            CHECK(atomic_fetch_add(&sum, bytes) + bytes <= 1 << 20);
            lane_charge(lane, bytes);
            mine += bytes;
        }
    }
    lane_charge(lane, -mine);
    atomic_fetch_sub(&sum, mine);
    return NULL;
}

static void lanes_that_draw_at_once_do_not_draw_too_much(void **unused) {
    (void)unused;
    pthread_t threads[4];
    open_with(EVICTION_NONE);
    eviction_limit(keyspace, 1 << 20);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, draw_and_spend, lanes[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(eviction_used(keyspace), 0);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_lane_allocates_what_another_frees),
        cmocka_unit_test(credit_from_before_the_limit_was_lowered_is_no_room),
        cmocka_unit_test(what_was_allocated_without_a_limit_is_counted_once),
        cmocka_unit_test(any_mix_of_lanes_and_limits_leaves_the_sum_right),
        cmocka_unit_test(writers_go_on_while_a_lowered_limit_is_reached),
        cmocka_unit_test(nothing_is_written_above_a_lowered_limit_if_nothing_may_go),
        cmocka_unit_test(lanes_that_draw_at_once_do_not_draw_too_much),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
