/* A reader-writer lock of one word that never waits: it is tried, and a waiter that is refused can be parked
 * on it.
 *
 *     63              32 31               3        2          1         0
 *     +-----------------+-----------------+--------+----------+---------+
 *     | version         | readers         | writer | anybody  | held by |
 *     |                 |                 | parked | parked   | writer  |
 *     +-----------------+-----------------+--------+----------+---------+
 *
 * The version counts the writers that have released it. A reader that looks at what the lock guards without
 * taking it (a sequence lock's reader: Lameter, "Effective synchronization on Linux/NUMA systems", 2005;
 * Boehm, "Can seqlocks get along with programming language memory models?", 2012) finds that nobody wrote
 * meanwhile if no writer held it before and the version is still the same afterwards. The guarded data is
 * then read by atomic loads of at least acquire order, so that no fence is needed.
 *
 * Waiters stand in a parking lot, a table of queues keyed by the lock's address (the idea is WebKit's,
 * https://webkit.org/blog/6161/locking-in-webkit/), so an uncontended lock costs one word and no more. A
 * release that leaves the lock free and finds "anybody parked" wakes all that are parked on it; they try
 * again.
 *
 * While a writer is parked, new readers are refused and park behind it, so that overlapping readers can't
 * keep it out for ever.
 *
 * Built with USE_PTHREAD_RWLOCK the word is a pthread_rwlock_t, as a yardstick; the parking lot stays. */
#ifndef SHARD_LOCK_RWLOCK_H
#define SHARD_LOCK_RWLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/guard.h"

#define RWLOCK_HELD_BY_WRITER UINT64_C(1)
#define RWLOCK_VERSION UINT64_C(0xFFFFFFFF00000000)

struct CAPABILITY("rwlock") rwlock {
    _Atomic uint64_t word;
#ifdef USE_PTHREAD_RWLOCK
    pthread_rwlock_t lock;
#endif
};

/* What is rung to have a thread wake up: a system call, and so nothing to be done while anything is held. It
 * stays in memory as long as anybody may ring it. */
struct bell {
    void (*ring)(struct bell *bell);
};

/* A waiter. Owned by the thread that waits, and untouched by it while parked. */
struct waiter {
    struct waiter *next, *previous;
    const void *place; /* what it is parked on; NULL when it isn't. Private */
    bool is_exclusive; /* what it wants */
    /* Any thread, with the parking lot held: must not wait, nor touch the lot. Returns the bell that is rung
     * when nothing is held any more, or NULL. By then the waiter may be gone. */
    struct bell *(*wake)(struct waiter *waiter);
};

void rwlock_init(struct rwlock *lock);

/* Each tries for a bounded time (a few hundred cycles) and returns whether the lock was taken. */
bool rwlock_try_shared(struct rwlock *lock) TRY_ACQUIRE_SHARED(true, lock);
bool rwlock_try_exclusive(struct rwlock *lock) TRY_ACQUIRE(true, lock);
/* At once or not: after a look without the lock, which found it free and at that version. Then all that
 * was seen is there when the lock is taken. */
bool rwlock_try_exclusive_at(struct rwlock *lock, uint32_t version) TRY_ACQUIRE(true, lock);
void rwlock_release_shared(struct rwlock *lock) RELEASE_SHARED(lock);
void rwlock_release_exclusive(struct rwlock *lock) RELEASE(lock);
/* The same in two steps, for a release of several: true if waiters are parked, to be woken when all are
 * released. */
bool rwlock_let_go_shared(struct rwlock *lock) RELEASE_SHARED(lock);
bool rwlock_let_go_exclusive(struct rwlock *lock) RELEASE(lock);
/* Wakes the waiters that are parked on it. The caller holds nothing. */
void rwlock_wake(struct rwlock *lock);

/* The version, for a look without the lock; false while a writer holds it. rwlock_is_unchanged says, after
 * the look, whether all that was seen was there at one moment.
 *
 * Who announces a look by a sequentially consistent store before it, and who looks for announcements by such
 * a load while it holds the lock exclusively: one of the two finds the other. */
static inline bool rwlock_peek(const struct rwlock *lock, uint32_t *version) {
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_seq_cst);
    *version = (uint32_t)(word >> 32);
    return (word & RWLOCK_HELD_BY_WRITER) == 0;
}
/* The same for the lane that holds it. */
static inline uint32_t rwlock_version(const struct rwlock *lock) {
    return (uint32_t)(atomic_load_explicit(&lock->word, memory_order_relaxed) >> 32);
}
static inline bool rwlock_is_unchanged(const struct rwlock *lock, uint32_t version) {
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_acquire);
    if (word == (uint64_t)version << 32) return true; /* nor does anybody hold it shared: nearly always */
    return ((word ^ (uint64_t)version << 32) & (RWLOCK_VERSION | RWLOCK_HELD_BY_WRITER)) == 0;
}

/* Parks on a lock that was found busy. Returns false, without parking, if it isn't busy any more: then try
 * again. When it returns true, waiter->wake is called once, after which the waiter isn't parked. A waiter is
 * parked on one lock at a time. */
bool rwlock_park(struct rwlock *lock, struct waiter *waiter);
/* Takes a waiter out of the lot. When it returns, wake is not running and won't be called; a bell may still
 * be rung. */
void rwlock_unpark(struct rwlock *lock, struct waiter *waiter);

#endif
