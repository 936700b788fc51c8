/* A reader-writer lock of one word that never waits: it is tried, and who is refused can be parked on it.
 *
 *     31                                  3        2          1         0
 *     +-----------------------------------+--------+----------+---------+
 *     | readers                           | writer | anybody  | held by |
 *     |                                   | parked | parked   | writer  |
 *     +-----------------------------------+--------+----------+---------+
 *
 * Waiters stand in a parking lot, a table of queues keyed by the lock's address (the idea is WebKit's,
 * https://webkit.org/blog/6161/locking-in-webkit/), so an uncontended lock costs one word and no more. A release that leaves the lock
 * free and finds "anybody parked" wakes all who are parked on it; they try again.
 *
 * While a writer is parked, new readers are refused and park behind it, so that overlapping readers can't keep it out for ever.
 *
 * Built with USE_PTHREAD_RWLOCK the word is a pthread_rwlock_t, as a yardstick; the parking lot stays. */
#ifndef SHARD_RWLOCK_H
#define SHARD_RWLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guard.h"

struct CAPABILITY("rwlock") rwlock {
    _Atomic uint32_t word;
#ifdef USE_PTHREAD_RWLOCK
    pthread_rwlock_t lock;
#endif
};

/* Who waits. Owned by the waiter, and untouched by it while parked. */
struct waiter {
    struct waiter *next, *previous;
    const void *place;                    /* what it is parked on; NULL when it isn't. Private */
    bool is_exclusive;                    /* what it wants */
    void (*wake)(struct waiter *waiter); /* any thread; must not wait, nor touch the parking lot */
};

void rwlock_init(struct rwlock *lock);

/* Each tries for a bounded time (a few hundred cycles) and returns whether the lock was taken. */
bool rwlock_try_shared(struct rwlock *lock) TRY_ACQUIRE_SHARED(true, lock);
bool rwlock_try_exclusive(struct rwlock *lock) TRY_ACQUIRE(true, lock);
void rwlock_release_shared(struct rwlock *lock) RELEASE_SHARED(lock);
void rwlock_release_exclusive(struct rwlock *lock) RELEASE(lock);

/* Parks on a lock that was found busy. Returns false, without parking, if it isn't busy any more: then try again. When it returns
 * true, waiter->wake is called once, after which the waiter isn't parked. A waiter is parked on one lock at a time. */
bool rwlock_park(struct rwlock *lock, struct waiter *waiter);
/* Takes a waiter out of the lot. When it returns, wake is not running and won't be called. */
void rwlock_unpark(struct rwlock *lock, struct waiter *waiter);

#endif
