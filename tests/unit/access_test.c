/* What entries note of their use stays true for longer than the few bits can tell by themselves; and no clock
 * that somebody sets changes it. */
#include "tests/engine.h"

#include "shard/evict/inside.h"
#include "shard/store/shard.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define NOW INT64_C(1700000000000)

static struct keyspace *keyspace;
static struct lane *lane;

static void open_with(enum eviction_policy policy, int64_t decay) {
    keyspace = keyspace_with(16, 4, 7);
    lane = lane_attach(keyspace);
    eviction_configure(keyspace, policy, 10, decay);
    for (int number = 0; number < 300; number++) {
        char key[24];
        put(lane, (uint32_t)number % 3, key, (size_t)sprintf(key, "key:%d", number), "v", 1, ENTRY_NO_EXPIRY,
            NOW);
    }
}

static void close_all(void) {
    lane_detach(lane);
    keyspace_close(keyspace);
}

/* Until a round over all entries has ended. */
static void tick(int64_t now) {
    int64_t before = evictor_of(lane)->aging_next;
    for (int i = 0; i < 100 && evictor_of(lane)->aging_next == before; i++) {
        lane_enter_waiting(lane);
        eviction_tick(lane, now);
        lane_leave(lane);
    }
}

static struct key key_of(int number, char text[24]) {
    return keyspace_key(keyspace, (uint32_t)number % 3, text, (size_t)sprintf(text, "key:%d", number));
}

/* Seconds idle, or the counter; a use at that moment if uses is true. */
static int64_t look(int number, int64_t now, bool uses, bool is_counter) {
    char text[24];
    struct key key = key_of(number, text);
    struct shard_set shards;
    struct read_scope scope;
    struct rwlock *busy;
    shard_set_init(&shards);
    shard_set_add(&shards, keyspace_shard_of(keyspace, key.hash));
    lane_enter_waiting(lane);
    assert_true(scope_try_read(&scope, lane, &shards, now, &busy));
    const struct entry *entry = uses ? scope_read(&scope, &key) : scope_peek(&scope, &key);
    int64_t found =
        is_counter ? usage_frequency(lane, entry, now) : entry_idle_seconds(entry, usage_now(lane, now));
    scope_end_read(&scope);
    lane_leave(lane);
    return found;
}

static int64_t idle(int number, int64_t now) {
    return look(number, now, false, false);
}

static int64_t counter_of(int number, int64_t now) {
    return look(number, now, false, true);
}

/* It said 6,464 after 20 hours, and was as good as new after 18 hours and 12 minutes. */
static void a_key_that_is_idle_for_days_says_so(void **state) {
    (void)state;
    open_with(EVICTION_ALLKEYS_LRU, 1);
    int64_t now = NOW;
    tick(now);
    for (int hours = 1; hours <= 24 * 40; hours++) {
        now = NOW + hours * HOUR;
        tick(now);
        int64_t seconds = hours * INT64_C(3600), most = INT64_C(1) << 20;
        for (int number = 0; number < 300; number += 37) {
            if (hours <= 4)
                assert_int_equal(idle(number, now), seconds);
            else if (seconds <= most)
                assert_in_range(idle(number, now), seconds, seconds + 63);
            else
                assert_in_range(idle(number, now), most, most + 7300); /* until the next round, some more */
        }
        if (hours == 30)
            assert_in_range(idle(1, now + 59 * MINUTE), 30 * 3600 + 59 * 60, 30 * 3600 + 59 * 60 + 63);
    }
    assert_int_equal(look(5, now, true, false), 0);
    assert_int_equal(idle(5, now + 7000), 7);
    close_all();
}

/* The minute of a loss is told modulo 256. */
static void a_counter_that_is_idle_for_hours_decays(void **state) {
    (void)state;
    static const int64_t decays[] = {1, 7, 60};
    for (size_t i = 0; i < 3; i++) {
        open_with(EVICTION_ALLKEYS_LFU, decays[i]);
        int64_t now = NOW;
        tick(now);
        for (int uses = 0; uses < 3000; uses++) look(7, now, true, true);
        int64_t counter = counter_of(7, now);
        assert_true(counter > 10);
        for (int steps = 1; steps <= 40; steps++) {
            now = NOW + steps * 31 * MINUTE;
            tick(now);
            int64_t lost = (now / MINUTE - NOW / MINUTE) / decays[i];
            assert_int_equal(counter_of(7, now), lost < counter ? counter - lost : 0);
        }
        close_all();
    }
}

/* 500 minutes for a loss: more than are told. 300 keys lose five each on the average in 2,500 minutes. */
static void a_counter_that_decays_slowly_does_decay(void **state) {
    (void)state;
    open_with(EVICTION_ALLKEYS_LFU, 500);
    int64_t now = NOW, sum = 0;
    tick(now);
    for (int number = 0; number < 300; number++)
        for (int uses = 0; uses < 300; uses++) look(number, now, true, true);
    for (int number = 0; number < 300; number++) sum += counter_of(number, now);
    assert_true(sum > 300 * 7);
    for (int steps = 1; steps <= 80; steps++) tick(now = NOW + steps * 31 * MINUTE);
    for (int number = 0; number < 300; number++) sum -= counter_of(number, now);
    /* 1,488 are due; those that have none left lose none, and it is chance: a standard deviation is about
     * 30. */
    assert_in_range(sum, 1000, 1700);
    close_all();
}

static void a_clock_that_is_set_changes_no_idle_time(void **state) {
    (void)state;
    static const int64_t jumps[] = {5 * HOUR, -9 * HOUR, 400 * HOUR, -1 * MINUTE};
    open_with(EVICTION_ALLKEYS_LRU, 1);
    int64_t wall = NOW, monotonic = 12345;
    usage_clock(lane, wall, monotonic);
    for (size_t i = 0; i < 4; i++) {
        wall += jumps[i] + 10000;
        monotonic += 10000;
        usage_clock(lane, wall, monotonic);
        assert_int_equal(idle(3, wall), 10 * (int64_t)(i + 1));
        look(4, wall, true, false);
        assert_int_equal(idle(4, wall), 0);
    }
    /* Time that has passed is none that was set. */
    wall += HOUR;
    monotonic += HOUR;
    usage_clock(lane, wall, monotonic);
    assert_int_equal(idle(3, wall), 40 + 3600);
    assert_int_equal(idle(4, wall), 3600);
    close_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_idle_for_days_says_so),
        cmocka_unit_test(a_counter_that_is_idle_for_hours_decays),
        cmocka_unit_test(a_counter_that_decays_slowly_does_decay),
        cmocka_unit_test(a_clock_that_is_set_changes_no_idle_time),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
