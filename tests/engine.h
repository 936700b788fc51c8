/* What the tests of shard/ share: seeded random numbers, waiters that can be waited for, values that can be
 * told from their number, and short ways to do one thing to one key. Checks in other threads than cmocka's
 * end the program (CHECK). */
#ifndef TESTS_ENGINE_H
#define TESTS_ENGINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shard/keyspace.h"
#include "shard/latchkey.h"
#include "shard/scope/scope_take.h"
#include "check.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define IS_SANITIZED_BUILD 1
#endif
#endif
#ifndef IS_SANITIZED_BUILD
#define IS_SANITIZED_BUILD 0
#endif

/* Where every access is checked, or every line counted, or every instruction interpreted. */
#ifndef IS_SLOW_BUILD
#define IS_SLOW_BUILD IS_SANITIZED_BUILD
#endif

/* How many times something is done: the full number, or fewer where it takes long. */
#define SCALED(full, slow) (IS_SLOW_BUILD ? (slow) : (full))

/* ------------------------------------------------------------------ chance */

/* From $SEED, or from the clock; printed, so that a failure can be had again. */
static inline uint64_t seed_take(void) {
    const char *text = getenv("SEED");
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    uint64_t seed =
        text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time.tv_sec * 1000003 + (uint64_t)time.tv_nsec;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Sebastiano Vigna's splitmix64. https://prng.di.unimi.it/splitmix64.c */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit) {
    return random_next(state) % limit;
}

/* ------------------------------------------------------------------ waiting */

/* A waiter that counts its wake-ups, and that a thread can wait for. */
struct alarm_clock {
    struct waiter waiter; /* first: a waiter is cast back */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int wakes;
};

static inline struct bell *alarm_ring(struct waiter *waiter) {
    struct alarm_clock *alarm = (struct alarm_clock *)waiter;
    pthread_mutex_lock(&alarm->mutex);
    alarm->wakes++;
    pthread_cond_signal(&alarm->condition);
    pthread_mutex_unlock(&alarm->mutex);
    return NULL;
}

static inline void alarm_init(struct alarm_clock *alarm, bool is_exclusive) {
    *alarm = (struct alarm_clock){.waiter = {.is_exclusive = is_exclusive, .wake = alarm_ring}};
    pthread_mutex_init(&alarm->mutex, NULL);
    pthread_cond_init(&alarm->condition, NULL);
}

static inline int alarm_wakes(struct alarm_clock *alarm) {
    pthread_mutex_lock(&alarm->mutex);
    int wakes = alarm->wakes;
    pthread_mutex_unlock(&alarm->mutex);
    return wakes;
}

/* Until it has been woken that many times in all. */
static inline void alarm_wait(struct alarm_clock *alarm, int wakes) {
    pthread_mutex_lock(&alarm->mutex);
    while (alarm->wakes < wakes) pthread_cond_wait(&alarm->condition, &alarm->mutex);
    pthread_mutex_unlock(&alarm->mutex);
}

/* A test that hangs is a failed one: call it at the start of main. On a busy machine one that doesn't may
 * take minutes. */
static inline void end_if_it_hangs(void) {
    alarm(SCALED(300, 900));
}

/* ------------------------------------------------------------------ keyspaces */

static inline struct keyspace *keyspace_with(uint32_t shards, uint32_t databases, uint64_t seed) {
    uint64_t words[4] = {seed, seed ^ 1, ~seed, seed * 3};
    struct keyspace *keyspace = keyspace_open(
        &(struct keyspace_options){.shards = shards, .databases = databases, .lanes = 16, .seed = words});
    CHECK(keyspace != NULL);
    return keyspace;
}

/* Shards of one or more keys, held exclusively by a thread that is not inside yet. */
struct holding {
    struct shard_set set;
    struct write_scope scope;
    struct lane *lane;
};

static inline void hold_shards(struct holding *holding, struct lane *lane, const struct key *keys,
                               size_t count, int64_t now) {
    struct rwlock *busy;
    holding->lane = lane;
    shard_set_init(&holding->set);
    for (size_t i = 0; i < count; i++)
        CHECK(shard_set_add(&holding->set, keyspace_shard_of(lane->keyspace, keys[i].hash)));
    lane_enter_waiting(lane);
    while (!scope_try_write(&holding->scope, lane, &holding->set, now, &busy)) scope_wait(lane, busy, true);
}

static inline void hold_end(struct holding *holding) {
    scope_end_write(&holding->scope);
    lane_leave(holding->lane);
    shard_set_free(&holding->set);
}

/* Everything, by the closed gate. */
static inline void hold_all(struct holding *holding, struct lane *lane, int64_t now) {
    holding->lane = lane;
    shard_set_init(&holding->set);
    gate_close_waiting(lane);
    scope_all(&holding->scope, lane, now);
}

static inline void hold_all_end(struct holding *holding) {
    scope_end_write(&holding->scope);
    gate_open(holding->lane);
}

/* SET, with an expiry or without. */
static inline void put(struct lane *lane, uint32_t database, const char *data, size_t length,
                       const char *value, size_t value_length, int64_t expiry, int64_t now) {
    struct key key = keyspace_key(lane->keyspace, database, data, length);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, now);
    scope_edit(&holding.scope, &key, &edit);
    CHECK(edit_put_string(&edit, value, value_length, NULL, false));
    if (expiry != ENTRY_NO_EXPIRY) CHECK(edit_set_expiry(&edit, expiry));
    scope_changed(&edit, EVENT_SET);
    hold_end(&holding);
}

/* DEL; whether there was something. */
static inline bool drop(struct lane *lane, uint32_t database, const char *data, size_t length, int64_t now) {
    struct key key = keyspace_key(lane->keyspace, database, data, length);
    struct holding holding;
    struct edit edit;
    hold_shards(&holding, lane, &key, 1, now);
    scope_edit(&holding.scope, &key, &edit);
    bool was_present = edit.entry != NULL;
    if (was_present) {
        edit_remove(&edit);
        scope_changed(&edit, EVENT_DEL);
    } else {
        scope_unchanged(&edit);
    }
    hold_end(&holding);
    return was_present;
}

static inline struct keyspace_size size_of(struct lane *lane, uint32_t database) {
    struct keyspace_size size;
    lane_enter_waiting(lane);
    keyspace_size(lane->keyspace, database, &size);
    lane_leave(lane);
    return size;
}

static inline struct keyspace_counts counts_of(const struct keyspace *keyspace) {
    struct keyspace_counts counts;
    keyspace_counts(keyspace, &counts);
    return counts;
}

/* Frees what all these lanes retired; afterwards nothing is pending, unless somebody is inside. */
static inline void reclaim_all(struct lane *const *lanes, size_t count) {
    for (size_t i = 0; i < count; i++) keyspace_reclaim(lanes[i]);
}

/* ------------------------------------------------------------------ counting again */

struct recount {
    uint64_t keys, expiring, expiry_sum, bytes;
};

static inline void recount_entry(void *context, const struct entry *entry) {
    struct recount *recount = context;
    recount->keys++;
    recount->bytes += entry_bytes(entry);
    if (entry_expiry(entry) == ENTRY_NO_EXPIRY) return;
    recount->expiring++;
    recount->expiry_sum += (uint64_t)entry_expiry(entry);
}

/* Visits all entries of a database, also those that have expired, while nobody else is there. */
static inline void walk_all(struct lane *lane, uint32_t database, scope_visitor *visit, void *context) {
    struct read_scope scope;
    gate_close_waiting(lane);
    scope_all_read(&scope, lane, INT64_MIN + 1);
    for (uint32_t shard = 0; shard < keyspace_shard_count(lane->keyspace); shard++) {
        uint64_t position = keyspace_shard_position(lane->keyspace, shard);
        while (position != SCOPE_SCAN_END)
            position = scope_scan(&scope, shard, database, position, 1000, visit, context);
    }
    scope_end_read(&scope);
    gate_open(lane);
}

/* The published sums are those of a full walk. */
static inline void check_accounting(struct lane *lane) {
    for (uint32_t database = 0; database < keyspace_database_count(lane->keyspace); database++) {
        struct recount recount = {0};
        walk_all(lane, database, recount_entry, &recount);
        struct keyspace_size size = size_of(lane, database);
        CHECK(size.keys == recount.keys);
        CHECK(size.expiring == recount.expiring);
        CHECK(size.expiry_sum == recount.expiry_sum);
        CHECK(size.bytes == recount.bytes);
        CHECK(size.moves_most <= 64);
    }
}

/* Runs in a child process. Returns its exit status, or 128 + the signal that ended it. */
static inline int status_of_child(void (*function)(void *context), void *context) {
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* cmocka would catch some signals and go on testing. What it says when it dies as expected is of no
         * interest. */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        if (getenv("SHOW_CHILDREN") == NULL) CHECK(freopen("/dev/null", "w", stderr) != NULL);
        function(context);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
