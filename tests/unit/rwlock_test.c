/* shard/lock/rwlock.c: who gets the lock together with whom, who is parked, who is woken, and that no wake-up
 * is lost when parking and releasing race. The promises are the same when it is built with
 * USE_PTHREAD_RWLOCK. */
#include "tests/engine.h"

#include <sched.h>

/* The subject here is which try is refused, and the analysis can't see what assert_true made sure of: that a
 * lock is held. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wthread-safety-analysis"
#endif

#define THREADS 4

static void readers_share_and_writers_exclude(void **state) {
    (void)state;
    struct rwlock lock;
    rwlock_init(&lock);
    assert_true(rwlock_try_shared(&lock));
    assert_true(rwlock_try_shared(&lock));
    assert_false(rwlock_try_exclusive(&lock));
    rwlock_release_shared(&lock);
    assert_false(rwlock_try_exclusive(&lock));
    rwlock_release_shared(&lock);
    assert_true(rwlock_try_exclusive(&lock));
    assert_false(rwlock_try_exclusive(&lock));
    assert_false(rwlock_try_shared(&lock));
    rwlock_release_exclusive(&lock);
    assert_true(rwlock_try_shared(&lock));
    rwlock_release_shared(&lock);
}

static void who_has_looked_takes_the_lock_only_as_it_was(void **state) {
    (void)state;
    struct rwlock lock;
    uint32_t version, later;
    rwlock_init(&lock);
    assert_true(rwlock_peek(&lock, &version));
    assert_false(rwlock_try_exclusive_at(&lock, version + 1));
    assert_true(rwlock_try_shared(&lock));
    assert_false(rwlock_try_exclusive_at(&lock, version));
    rwlock_release_shared(&lock);
    assert_true(rwlock_try_exclusive_at(&lock, version));
    assert_false(rwlock_peek(&lock, &later));
    assert_false(rwlock_try_shared(&lock));
    assert_false(rwlock_try_exclusive_at(&lock, version));
    rwlock_release_exclusive(&lock);
    assert_false(rwlock_try_exclusive_at(&lock, version));
    assert_true(rwlock_peek(&lock, &later));
    assert_true(later != version);
    assert_true(rwlock_try_exclusive_at(&lock, later));
    rwlock_release_exclusive(&lock);
}

static void nobody_parks_on_a_free_lock(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock waiter;
    rwlock_init(&lock);
    for (int is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
        alarm_init(&waiter, is_exclusive);
        assert_false(rwlock_park(&lock, &waiter.waiter));
        assert_int_equal(alarm_wakes(&waiter), 0);
        assert_null(waiter.waiter.place);
        assert_true(rwlock_try_shared(&lock)); /* refusing the park left no trace */
        rwlock_release_shared(&lock);
    }
}

static void release_wakes_everybody_who_is_parked_once(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock waiters[6];
    rwlock_init(&lock);
    for (int holder = 0; holder < 2; holder++) {
        if (holder == 0)
            assert_true(rwlock_try_exclusive(&lock));
        else
            assert_true(rwlock_try_shared(&lock));
        for (int i = 0; i < 6; i++) {
            /* A writer first: behind it readers park whoever holds the lock. */
            alarm_init(&waiters[i], i % 2 == 0);
            assert_true(rwlock_park(&lock, &waiters[i].waiter));
        }
        for (int i = 0; i < 6; i++) assert_int_equal(alarm_wakes(&waiters[i]), 0);
        if (holder == 0)
            rwlock_release_exclusive(&lock);
        else
            rwlock_release_shared(&lock);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(alarm_wakes(&waiters[i]), 1);
            assert_null(waiters[i].waiter.place);
        }
        assert_true(rwlock_try_exclusive(&lock));
        rwlock_release_exclusive(&lock);
        for (int i = 0; i < 6; i++) assert_int_equal(alarm_wakes(&waiters[i]), 1);
    }
}

static void only_the_last_reader_wakes(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock writer;
    rwlock_init(&lock);
    alarm_init(&writer, true);
    assert_true(rwlock_try_shared(&lock));
    assert_true(rwlock_try_shared(&lock));
    assert_true(rwlock_park(&lock, &writer.waiter));
    rwlock_release_shared(&lock);
    assert_int_equal(alarm_wakes(&writer), 0);
    rwlock_release_shared(&lock);
    assert_int_equal(alarm_wakes(&writer), 1);
}

static void readers_are_refused_while_a_writer_is_parked(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock writer, reader;
    rwlock_init(&lock);
    alarm_init(&writer, true);
    alarm_init(&reader, false);
    assert_true(rwlock_try_shared(&lock));
    assert_true(rwlock_park(&lock, &writer.waiter));
    assert_false(rwlock_try_shared(&lock));
    assert_true(rwlock_park(&lock, &reader.waiter));
    rwlock_release_shared(&lock);
    assert_int_equal(alarm_wakes(&writer), 1);
    assert_int_equal(alarm_wakes(&reader), 1);
    assert_true(rwlock_try_shared(&lock));
    rwlock_release_shared(&lock);
}

/* A reader that came while a writer held the lock, and parks when that one has just left to readers: if they
 * overlap, the lock need not become free ever again. */
static void a_reader_does_not_park_behind_readers(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock reader;
    rwlock_init(&lock);
    alarm_init(&reader, false);
    assert_true(rwlock_try_shared(&lock));
    bool is_parked = rwlock_park(&lock, &reader.waiter);
    rwlock_release_shared(&lock);
    assert_false(is_parked);
}

static void an_unparked_waiter_is_not_woken(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock waiters[3];
    rwlock_init(&lock);
    for (int leaver = 0; leaver < 3; leaver++) { /* first, middle and last of the queue */
        assert_true(rwlock_try_exclusive(&lock));
        for (int i = 0; i < 3; i++) {
            alarm_init(&waiters[i], i == 1);
            assert_true(rwlock_park(&lock, &waiters[i].waiter));
        }
        rwlock_unpark(&lock, &waiters[leaver].waiter);
        rwlock_unpark(&lock, &waiters[leaver].waiter); /* twice is no harm */
        rwlock_release_exclusive(&lock);
        for (int i = 0; i < 3; i++) assert_int_equal(alarm_wakes(&waiters[i]), i == leaver ? 0 : 1);
    }
}

static void a_writer_that_gave_up_keeps_nobody_out_for_long(void **state) {
    (void)state;
    struct rwlock lock;
    struct alarm_clock writer, reader;
    rwlock_init(&lock);
    alarm_init(&writer, true);
    alarm_init(&reader, false);
    assert_true(rwlock_try_shared(&lock));
    assert_true(rwlock_park(&lock, &writer.waiter));
    rwlock_unpark(&lock, &writer.waiter);
    if (rwlock_park(&lock, &reader.waiter)) {
        rwlock_release_shared(&lock);
        assert_int_equal(alarm_wakes(&reader), 1);
    } else {
        rwlock_release_shared(&lock);
    }
    assert_true(rwlock_try_shared(&lock));
    rwlock_release_shared(&lock);
    assert_int_equal(alarm_wakes(&writer), 0);
}

/* More locks than the lot has queues: some stand in the same one. */
static void a_release_wakes_only_its_own_lock(void **state) {
    (void)state;
    enum { LOCKS = 1000 };
    static struct rwlock locks[LOCKS];
    static struct alarm_clock waiters[LOCKS];
    for (int i = 0; i < LOCKS; i++) {
        rwlock_init(&locks[i]);
        alarm_init(&waiters[i], i & 1);
        assert_true(rwlock_try_exclusive(&locks[i]));
        assert_true(rwlock_park(&locks[i], &waiters[i].waiter));
    }
    for (int i = 0; i < LOCKS; i++) {
        int chosen = (i * 7) % LOCKS;
        rwlock_release_exclusive(&locks[chosen]);
        assert_int_equal(alarm_wakes(&waiters[chosen]), 1);
        if (i + 1 < LOCKS) assert_int_equal(alarm_wakes(&waiters[((i + 1) * 7) % LOCKS]), 0);
    }
    for (int i = 0; i < LOCKS; i++) assert_int_equal(alarm_wakes(&waiters[i]), 1);
}

/* A bell that finds out whether what was released is free, and the lot as well. */
struct probe {
    struct waiter waiter; /* first: a waiter is cast back */
    struct bell bell;
    struct rwlock *lock;
    int wakes, rings;
};

static struct bell *probe_wake(struct waiter *waiter) {
    struct probe *probe = (struct probe *)waiter;
    probe->wakes++;
    return &probe->bell;
}

static void probe_ring(struct bell *bell) NO_THREAD_SAFETY_ANALYSIS {
    struct probe *probe = (struct probe *)((char *)bell - offsetof(struct probe, bell));
    CHECK(probe->wakes == ++probe->rings);
    CHECK(rwlock_try_exclusive(probe->lock));
    rwlock_release_exclusive(probe->lock);
    rwlock_unpark(probe->lock, &probe->waiter); /* hangs if the lot is held */
}

static void bells_are_rung_when_neither_lock_nor_lot_is_held(void **state) NO_THREAD_SAFETY_ANALYSIS {
    (void)state;
    enum { PROBES = 100 };
    static struct probe probes[PROBES];
    struct rwlock lock;
    rwlock_init(&lock);
    for (int holder = 0; holder < 2; holder++) {
        assert_true(holder == 0 ? rwlock_try_exclusive(&lock) : rwlock_try_shared(&lock));
        for (int i = 0; i < PROBES; i++) {
            probes[i] = (struct probe){
                .waiter = {.is_exclusive = true, .wake = probe_wake}, .bell = {probe_ring}, .lock = &lock};
            assert_true(rwlock_park(&lock, &probes[i].waiter));
        }
        if (holder == 0)
            rwlock_release_exclusive(&lock);
        else
            rwlock_release_shared(&lock);
        for (int i = 0; i < PROBES; i++) assert_int_equal(probes[i].rings, 1);
    }
}

/* ------------------------------------------------------------------ threads */

struct slow_waiter {
    struct waiter waiter;
    atomic_bool has_begun, has_ended;
};

static struct bell *wake_slowly(struct waiter *waiter) {
    struct slow_waiter *slow = (struct slow_waiter *)waiter;
    atomic_store(&slow->has_begun, true);
    for (int i = 0; i < 20; i++) sched_yield();
    atomic_store(&slow->has_ended, true);
    return NULL;
}

/* Not with the other lock: a pthread_rwlock_t is to be released by the thread that took it. */
static void *release_exclusive_lock(void *argument) {
    rwlock_release_exclusive(argument);
    return NULL;
}

static void unpark_returns_only_when_no_wake_is_running(void **state) {
    (void)state;
#ifdef USE_PTHREAD_RWLOCK
    (void)release_exclusive_lock;
    (void)wake_slowly;
    skip();
#else
    for (int round = 0; round < SCALED(300, 100); round++) {
        struct rwlock lock;
        struct slow_waiter slow = {.waiter = {.wake = wake_slowly}};
        pthread_t releaser;
        rwlock_init(&lock);
        assert_true(rwlock_try_exclusive(&lock));
        assert_true(rwlock_park(&lock, &slow.waiter));
        assert_int_equal(pthread_create(&releaser, NULL, release_exclusive_lock, &lock), 0);
        if (round % 2 == 0)
            while (!atomic_load(&slow.has_begun)) sched_yield();
        rwlock_unpark(&lock, &slow.waiter);
        bool has_begun = atomic_load(&slow.has_begun), has_ended = atomic_load(&slow.has_ended);
        pthread_join(releaser, NULL);
        assert_true(has_begun == has_ended);
        assert_true(has_begun == atomic_load(&slow.has_begun)); /* and none came later */
    }
#endif
}

/* As a thread that may sleep takes a lock. */
static void lock_waiting(struct rwlock *lock, bool is_exclusive) {
    while (!(is_exclusive ? rwlock_try_exclusive(lock) : rwlock_try_shared(lock))) {
        struct alarm_clock alarm;
        alarm_init(&alarm, is_exclusive);
        if (!rwlock_park(lock, &alarm.waiter)) continue;
        alarm_wait(&alarm, 1);
        rwlock_unpark(lock, &alarm.waiter); /* the waker has let go of it */
    }
}

struct counted {
    struct rwlock lock;
    uint64_t first,
        second; /* equal while nobody writes; plain, so that a sanitizer sees what the lock lets through */
    uint64_t seed;
    uint64_t rounds;
    _Atomic uint64_t writes;
};

static void *read_and_write(void *argument) {
    struct counted *counted = argument;
    static _Atomic uint64_t number;
    uint64_t random = counted->seed + atomic_fetch_add(&number, 1);
    for (uint64_t i = 0; i < counted->rounds; i++) {
        bool is_exclusive = random_below(&random, 3) == 0;
        lock_waiting(&counted->lock, is_exclusive);
        CHECK(counted->first == counted->second);
        if (is_exclusive) counted->first++;
        if (random_below(&random, 16) == 0) sched_yield(); /* so that others find it held, and park */
        if (is_exclusive) counted->second++;
        CHECK(counted->first == counted->second);
        if (is_exclusive) atomic_fetch_add(&counted->writes, 1);
        if (is_exclusive)
            rwlock_release_exclusive(&counted->lock);
        else
            rwlock_release_shared(&counted->lock);
    }
    return NULL;
}

static void counters_under_the_lock_stay_equal(void **state) {
    (void)state;
    struct counted counted = {.seed = seed_take(), .rounds = SCALED(200000, 20000)};
    pthread_t threads[THREADS];
    rwlock_init(&counted.lock);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_and_write, &counted), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(counted.first == atomic_load(&counted.writes));
    assert_true(counted.second == counted.first);
#ifndef USE_PTHREAD_RWLOCK
    assert_int_equal((uint32_t)atomic_load(&counted.lock.word), 0); /* above is the version */
#endif
}

struct crowd {
    struct rwlock lock;
    atomic_bool is_over;
    atomic_int inside;
    _Atomic uint64_t reads;
};

/* Lets go only when another reader is inside as well, or has been refused: without the writer's claim the
 * lock would never be free. */
static void *read_overlapping(void *argument) {
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->is_over)) {
        lock_waiting(&crowd->lock, false);
        atomic_fetch_add(&crowd->inside, 1);
        for (int i = 0; i < 50 && atomic_load(&crowd->inside) < 2 && !atomic_load(&crowd->is_over); i++)
            sched_yield();
        atomic_fetch_sub(&crowd->inside, 1);
        atomic_fetch_add(&crowd->reads, 1);
        rwlock_release_shared(&crowd->lock);
    }
    return NULL;
}

static void a_writer_gets_in_among_overlapping_readers(void **state) {
    (void)state;
    struct crowd crowd = {0};
    pthread_t threads[THREADS];
    rwlock_init(&crowd.lock);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_overlapping, &crowd), 0);
    while (atomic_load(&crowd.reads) == 0) sched_yield();
    for (int i = 0; i < SCALED(300, 60); i++) {
        lock_waiting(&crowd.lock, true);
        int inside = atomic_load(&crowd.inside);
        rwlock_release_exclusive(&crowd.lock);
        assert_int_equal(inside, 0);
    }
    atomic_store(&crowd.is_over, true);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_true(atomic_load(&crowd.reads) > 0);
}

/* One thread releases while others park, all let off at the same moment. A lost wake-up hangs the test. */
struct race {
    struct rwlock lock;
    _Atomic uint64_t round; /* the holder has the lock for this one */
    atomic_int done;        /* parkers through with it */
    uint64_t rounds, seed;
    bool holder_is_exclusive, parker_is_exclusive;
    _Atomic uint64_t parked;
};

static void spin_a_little(uint64_t *random) {
    for (uint64_t spins = random_below(random, 2000); spins > 0; spins--)
        atomic_signal_fence(memory_order_seq_cst);
}

/* Looks often before it yields, so that all start as nearly at once as two cores allow. */
static void await_round(const struct race *race, uint64_t round) {
    for (uint32_t looks = 1; atomic_load(&race->round) < round; looks++)
        if (looks % 256 == 0) sched_yield();
}

static void *park_in_race(void *argument) {
    struct race *race = argument;
    uint64_t random = race->seed ^ (uint64_t)(uintptr_t)&random;
    for (uint64_t round = 1; round <= race->rounds; round++) {
        await_round(race, round);
        struct alarm_clock alarm;
        alarm_init(&alarm, race->parker_is_exclusive);
        spin_a_little(&random);
        if (rwlock_park(&race->lock, &alarm.waiter)) {
            atomic_fetch_add(&race->parked, 1);
            alarm_wait(&alarm, 1);
            rwlock_unpark(&race->lock, &alarm.waiter);
            CHECK(alarm_wakes(&alarm) == 1);
        }
        atomic_fetch_add(&race->done, 1);
    }
    return NULL;
}

static void race_parking_and_releasing(bool holder_is_exclusive, bool parker_is_exclusive) {
    struct race race = {.rounds = SCALED(10000, 2500),
                        .seed = seed_take(),
                        .holder_is_exclusive = holder_is_exclusive,
                        .parker_is_exclusive = parker_is_exclusive};
    enum { PARKERS = 2 };
    pthread_t threads[PARKERS];
    uint64_t random = race.seed;
    rwlock_init(&race.lock);
    for (int i = 0; i < PARKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, park_in_race, &race), 0);
    for (uint64_t round = 1; round <= race.rounds; round++) {
        lock_waiting(&race.lock, holder_is_exclusive);
        atomic_store(&race.done, 0);
        atomic_store(&race.round, round);
        spin_a_little(&random);
        if (round % 8 == 0) sched_yield();
        if (holder_is_exclusive)
            rwlock_release_exclusive(&race.lock);
        else
            rwlock_release_shared(&race.lock);
        while (atomic_load(&race.done) < PARKERS) sched_yield();
    }
    for (int i = 0; i < PARKERS; i++) pthread_join(threads[i], NULL);
    print_message("parked %llu of %llu times\n", (unsigned long long)atomic_load(&race.parked),
                  (unsigned long long)race.rounds * PARKERS);
}

static void no_wake_up_is_lost_between_a_writer_and_parking_writers(void **state) {
    (void)state;
    race_parking_and_releasing(true, true);
}

static void no_wake_up_is_lost_between_a_writer_and_parking_readers(void **state) {
    (void)state;
    race_parking_and_releasing(true, false);
}

static void no_wake_up_is_lost_between_a_reader_and_parking_writers(void **state) {
    (void)state;
    race_parking_and_releasing(false, true);
}

static void no_wake_up_is_lost_between_a_reader_and_parking_readers(void **state) {
    (void)state;
    race_parking_and_releasing(false, false);
}

struct quitters {
    struct rwlock lock;
    atomic_bool is_over;
    uint64_t seed;
};

/* Parks, and now and then gives up without waiting. */
static void *park_and_give_up(void *argument) {
    struct quitters *quitters = argument;
    uint64_t random = quitters->seed ^ (uint64_t)(uintptr_t)&random;
    while (!atomic_load(&quitters->is_over)) {
        bool is_exclusive = random_below(&random, 2) == 0;
        struct alarm_clock alarm;
        alarm_init(&alarm, is_exclusive);
        bool is_held =
            is_exclusive ? rwlock_try_exclusive(&quitters->lock) : rwlock_try_shared(&quitters->lock);
        if (is_held) {
            if (random_below(&random, 4) == 0) sched_yield();
            if (is_exclusive)
                rwlock_release_exclusive(&quitters->lock);
            else
                rwlock_release_shared(&quitters->lock);
        } else if (rwlock_park(&quitters->lock, &alarm.waiter)) {
            spin_a_little(&random);
            rwlock_unpark(&quitters->lock, &alarm.waiter);
            CHECK(alarm_wakes(&alarm) <= 1);
        }
        sched_yield();
    }
    return NULL;
}

/* The others park and give up at random, and that must not cost the patient one its wake-up. */
static void who_gives_up_takes_no_wake_up_from_others(void **state) {
    (void)state;
    struct quitters quitters = {.seed = seed_take()};
    pthread_t threads[3];
    rwlock_init(&quitters.lock);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, park_and_give_up, &quitters), 0);
    for (int i = 0; i < SCALED(3000, 500); i++) {
        lock_waiting(&quitters.lock, i & 1);
        sched_yield();
        if (i & 1)
            rwlock_release_exclusive(&quitters.lock);
        else
            rwlock_release_shared(&quitters.lock);
    }
    atomic_store(&quitters.is_over, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_share_and_writers_exclude),
        cmocka_unit_test(who_has_looked_takes_the_lock_only_as_it_was),
        cmocka_unit_test(nobody_parks_on_a_free_lock),
        cmocka_unit_test(release_wakes_everybody_who_is_parked_once),
        cmocka_unit_test(only_the_last_reader_wakes),
        cmocka_unit_test(readers_are_refused_while_a_writer_is_parked),
        cmocka_unit_test(a_reader_does_not_park_behind_readers),
        cmocka_unit_test(an_unparked_waiter_is_not_woken),
        cmocka_unit_test(a_writer_that_gave_up_keeps_nobody_out_for_long),
        cmocka_unit_test(a_release_wakes_only_its_own_lock),
        cmocka_unit_test(bells_are_rung_when_neither_lock_nor_lot_is_held),
        cmocka_unit_test(unpark_returns_only_when_no_wake_is_running),
        cmocka_unit_test(counters_under_the_lock_stay_equal),
        cmocka_unit_test(a_writer_gets_in_among_overlapping_readers),
        cmocka_unit_test(no_wake_up_is_lost_between_a_writer_and_parking_writers),
        cmocka_unit_test(no_wake_up_is_lost_between_a_writer_and_parking_readers),
        cmocka_unit_test(no_wake_up_is_lost_between_a_reader_and_parking_writers),
        cmocka_unit_test(no_wake_up_is_lost_between_a_reader_and_parking_readers),
        cmocka_unit_test(who_gives_up_takes_no_wake_up_from_others),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
