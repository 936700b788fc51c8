/* Sleeping where a connection would park: for threads of an embedding program, which have nothing else to
 * do. A sleeper is a waiter that stands on its thread's stack. */
#include <assert.h>
#include <pthread.h>

#include "scope_take.h"

struct sleeper {
    struct waiter waiter; /* first: a waiter is cast back */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool is_woken;
};

/* At once, since a bell of its own would stand on the sleeper's stack. */
static struct bell *wake_sleeper(struct waiter *waiter) {
    struct sleeper *sleeper = (struct sleeper *)waiter;
    pthread_mutex_lock(&sleeper->mutex);
    sleeper->is_woken = true;
    pthread_cond_signal(&sleeper->condition);
    pthread_mutex_unlock(&sleeper->mutex);
    return NULL;
}

static void sleeper_init(struct sleeper *sleeper, bool is_exclusive) {
    *sleeper = (struct sleeper){.waiter = {.is_exclusive = is_exclusive, .wake = wake_sleeper}};
    pthread_mutex_init(&sleeper->mutex, NULL);
    pthread_cond_init(&sleeper->condition, NULL);
}

static void sleep_until_woken(struct sleeper *sleeper) {
    pthread_mutex_lock(&sleeper->mutex);
    while (!sleeper->is_woken) pthread_cond_wait(&sleeper->condition, &sleeper->mutex);
    pthread_mutex_unlock(&sleeper->mutex);
}

/* The waker may still hold the mutex when the sleeper sees is_woken; unparking waits for it, as it wakes
 * under the lot's mutex. */
static void sleeper_free(struct sleeper *sleeper) {
    pthread_mutex_destroy(&sleeper->mutex);
    pthread_cond_destroy(&sleeper->condition);
}

void scope_wait(struct lane *lane, struct rwlock *busy, bool is_exclusive) {
    assert(lane->scopes == 0 && "nobody waits while holding a shard");
    struct sleeper sleeper;
    sleeper_init(&sleeper, is_exclusive);
    lane_leave(lane);
    if (rwlock_park(busy, &sleeper.waiter)) {
        sleep_until_woken(&sleeper);
        rwlock_unpark(busy, &sleeper.waiter);
    }
    sleeper_free(&sleeper);
    lane_enter_waiting(lane);
}

static __attribute__((noinline, cold)) void wait_at_gate(struct lane *lane) {
    struct sleeper sleeper;
    sleeper_init(&sleeper, false);
    if (gate_park(lane, &sleeper.waiter)) {
        sleep_until_woken(&sleeper);
        gate_unpark(lane, &sleeper.waiter);
    }
    sleeper_free(&sleeper);
}

inline void lane_enter_waiting(struct lane *lane) {
    while (!lane_enter(lane)) wait_at_gate(lane);
}

/* After this many refusals the gate stays closed while the closer waits. */
#define PATIENCE 8

void gate_close_waiting(struct lane *lane) {
    for (int refusals = 0;; refusals++) {
        struct sleeper sleeper;
        sleeper_init(&sleeper, true);
        bool is_parked, is_closed = gate_try_close(lane, refusals >= PATIENCE, &sleeper.waiter, &is_parked);
        if (is_parked) {
            sleep_until_woken(&sleeper);
            gate_unpark(lane, &sleeper.waiter);
        }
        sleeper_free(&sleeper);
        if (is_closed) return;
    }
}
