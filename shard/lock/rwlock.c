/* The states of the word, and what moves it:
 *
 *     free --try_shared--> readers=n --release_shared--> free
 *     free --try_exclusive--> held by writer --release_exclusive--> free
 *     (an exclusive release also adds one to the version)
 *     held (either way) --park--> the same, "anybody parked" (and "writer parked")
 *     "anybody parked" and free --the releaser takes the lot's mutex--> both flags cleared, all waiters woken
 *
 * No wake-up is lost: the flag is set by compare-and-swap under the lot's mutex, and only while the lock is
 * held or the flag is set already. In the first case the release that frees the lock sees the flag, in the
 * second a releaser that saw it is still on its way to the mutex. */
#include "rwlock.h"

#include <assert.h>
#include <stddef.h>

#include "../base/mutex.h"

#define HELD_BY_WRITER RWLOCK_HELD_BY_WRITER
#define ANYBODY_PARKED UINT64_C(2)
#define WRITER_PARKED UINT64_C(4)
#define ONE_READER UINT64_C(8)
#define ONE_VERSION (UINT64_C(1) << 32)
#define PARKED (ANYBODY_PARKED | WRITER_PARKED)
#define HELD (ONE_VERSION - 1 - PARKED)

/* Long enough for a holder that runs one small command, far shorter than a system call would take. */
#define SPINS 40

#define LOT_QUEUES 256

/* So many bells are remembered while the lot is held. */
#define BELLS_MOST 32

static struct lot_queue {
    _Alignas(64) struct mutex mutex;
    struct waiter *first GUARDED_BY(&mutex), *last GUARDED_BY(&mutex); /* waiters of several locks */
} lot[LOT_QUEUES] = {[0 ... LOT_QUEUES - 1] = {.mutex = MUTEX_INITIALIZER}};

static struct lot_queue *queue_of(const void *place) {
    uint64_t mixed = (uint64_t)(uintptr_t)place * UINT64_C(0x9E3779B97F4A7C15);
    return &lot[mixed >> 56];
}

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void enqueue(struct lot_queue *queue, struct waiter *waiter, const void *place)
    REQUIRES(&queue->mutex) {
    assert(waiter->place == NULL);
    waiter->place = place;
    waiter->next = NULL;
    waiter->previous = queue->last;
    if (queue->last != NULL)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
}

static void dequeue(struct lot_queue *queue, struct waiter *waiter) REQUIRES(&queue->mutex) {
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        queue->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        queue->last = waiter->previous;
    waiter->place = NULL;
}

/* Wakes under the mutex, so that rwlock_unpark can promise that no wake is under way, and rings after it. */
static uint32_t wake_some(struct rwlock *lock, struct bell *bells[BELLS_MOST]) {
    struct lot_queue *queue = queue_of(lock);
    uint32_t count = 0;
    mutex_lock(&queue->mutex);
    atomic_fetch_and_explicit(&lock->word, ~PARKED, memory_order_relaxed);
    for (struct waiter *waiter = queue->first, *next; waiter != NULL && count < BELLS_MOST; waiter = next) {
        next = waiter->next;
        if (waiter->place != lock) continue;
        dequeue(queue, waiter);
        bells[count] = waiter->wake(waiter);
        if (bells[count] != NULL) count++;
    }
    mutex_unlock(&queue->mutex);
    return count;
}

static void wake_all(struct rwlock *lock) {
    struct bell *bells[BELLS_MOST];
    uint32_t count;
    do {
        count = wake_some(lock, bells);
        for (uint32_t i = 0; i < count; i++) bells[i]->ring(bells[i]);
    } while (count == BELLS_MOST);
}

void rwlock_unpark(struct rwlock *lock, struct waiter *waiter) {
    struct lot_queue *queue = queue_of(lock);
    mutex_lock(&queue->mutex);
    if (waiter->place == lock) dequeue(queue, waiter);
    mutex_unlock(&queue->mutex);
}

#ifndef USE_PTHREAD_RWLOCK

void rwlock_init(struct rwlock *lock) {
    atomic_init(&lock->word, 0);
}

/* The functions below are the lock itself: the analysis takes their word. */
bool rwlock_try_shared(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    for (int spin = 0;; spin++) {
        while ((word & (HELD_BY_WRITER | WRITER_PARKED)) == 0)
            if (atomic_compare_exchange_weak_explicit(&lock->word, &word, word + ONE_READER,
                                                      memory_order_acquire, memory_order_relaxed))
                return true;
        if (spin == SPINS) return false;
        pause_briefly();
        word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
}

bool rwlock_try_exclusive(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    for (int spin = 0;; spin++) {
        while ((word & HELD) == 0)
            if (atomic_compare_exchange_weak_explicit(&lock->word, &word, word | HELD_BY_WRITER,
                                                      memory_order_seq_cst, memory_order_relaxed))
                return true;
        if (spin == SPINS) return false;
        pause_briefly();
        word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    }
}

bool rwlock_try_exclusive_at(struct rwlock *lock, uint32_t version) NO_THREAD_SAFETY_ANALYSIS {
    uint64_t word = (uint64_t)version << 32;
    return atomic_compare_exchange_strong_explicit(&lock->word, &word, word | HELD_BY_WRITER,
                                                   memory_order_acquire, memory_order_relaxed);
}

bool rwlock_let_go_shared(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    uint64_t left = atomic_fetch_sub_explicit(&lock->word, ONE_READER, memory_order_release) - ONE_READER;
    return (left & HELD) == 0 && (left & ANYBODY_PARKED) != 0;
}

bool rwlock_let_go_exclusive(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    /* One addition ends the hold and counts it: the bit is set, so taking one off clears it. */
    uint64_t before =
        atomic_fetch_add_explicit(&lock->word, ONE_VERSION - HELD_BY_WRITER, memory_order_release);
    return (before & ANYBODY_PARKED) != 0;
}

/* Without the flag somebody else has released it since, and has woken them. */
void rwlock_wake(struct rwlock *lock) {
    if ((atomic_load_explicit(&lock->word, memory_order_relaxed) & ANYBODY_PARKED) != 0) wake_all(lock);
}

/* What a waiter of that kind is refused for. A flag without a holder means that a releaser is on its way to
 * wake all. */
static bool is_busy_for(uint64_t word, bool is_exclusive) {
    return (word & (is_exclusive ? HELD | ANYBODY_PARKED : HELD_BY_WRITER | WRITER_PARKED)) != 0;
}

bool rwlock_park(struct rwlock *lock, struct waiter *waiter) {
    struct lot_queue *queue = queue_of(lock);
    uint64_t flags = ANYBODY_PARKED | (waiter->is_exclusive ? WRITER_PARKED : 0);
    bool is_parked = false;
    mutex_lock(&queue->mutex);
    uint64_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);
    while (!is_parked && is_busy_for(word, waiter->is_exclusive))
        is_parked = atomic_compare_exchange_weak_explicit(&lock->word, &word, word | flags,
                                                          memory_order_relaxed, memory_order_relaxed);
    if (is_parked) enqueue(queue, waiter, lock);
    mutex_unlock(&queue->mutex);
    return is_parked;
}

#else

void rwlock_init(struct rwlock *lock) {
    atomic_init(&lock->word, 0);
    pthread_rwlock_init(&lock->lock, NULL);
}

bool rwlock_try_shared(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    for (int spin = 0; spin <= SPINS; spin++) {
        if ((atomic_load_explicit(&lock->word, memory_order_relaxed) & WRITER_PARKED) == 0 &&
            pthread_rwlock_tryrdlock(&lock->lock) == 0)
            return true;
        pause_briefly();
    }
    return false;
}

bool rwlock_try_exclusive(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    for (int spin = 0; spin <= SPINS; spin++) {
        if (pthread_rwlock_trywrlock(&lock->lock) == 0) {
            atomic_fetch_or_explicit(&lock->word, HELD_BY_WRITER, memory_order_acq_rel);
            return true;
        }
        pause_briefly();
    }
    return false;
}

/* Wakes all waiters that are parked, unless somebody holds the lock: then its release will. The flag is read
 * by a read-modify-write after the unlock, and set by one before park's own try: one of the two sees the
 * other. Whoever tries the lock only to find out may be the holder that another one finds, and so comes here,
 * or wakes, afterwards. */
static void wake_if_free(struct rwlock *lock) {
    if ((atomic_fetch_or(&lock->word, 0) & ANYBODY_PARKED) == 0 || pthread_rwlock_trywrlock(&lock->lock) != 0)
        return;
    pthread_rwlock_unlock(&lock->lock);
    wake_all(lock);
}

bool rwlock_try_exclusive_at(struct rwlock *lock, uint32_t version) NO_THREAD_SAFETY_ANALYSIS {
    if (pthread_rwlock_trywrlock(&lock->lock) != 0) return false;
    if (rwlock_version(lock) != version) {
        pthread_rwlock_unlock(&lock->lock);
        wake_if_free(lock);
        return false;
    }
    atomic_fetch_or_explicit(&lock->word, HELD_BY_WRITER, memory_order_acq_rel);
    return true;
}

bool rwlock_let_go_shared(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    pthread_rwlock_unlock(&lock->lock);
    return (atomic_fetch_or(&lock->word, 0) & ANYBODY_PARKED) != 0;
}

bool rwlock_let_go_exclusive(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    atomic_fetch_add_explicit(&lock->word, ONE_VERSION - HELD_BY_WRITER, memory_order_release);
    pthread_rwlock_unlock(&lock->lock);
    return (atomic_fetch_or(&lock->word, 0) & ANYBODY_PARKED) != 0;
}

void rwlock_wake(struct rwlock *lock) {
    wake_if_free(lock);
}

bool rwlock_park(struct rwlock *lock, struct waiter *waiter) NO_THREAD_SAFETY_ANALYSIS {
    struct lot_queue *queue = queue_of(lock);
    mutex_lock(&queue->mutex);
    uint64_t before =
        atomic_fetch_or(&lock->word, ANYBODY_PARKED | (waiter->is_exclusive ? WRITER_PARKED : 0));
    bool is_free = waiter->is_exclusive
                       ? pthread_rwlock_trywrlock(&lock->lock) == 0
                       : (before & WRITER_PARKED) == 0 && pthread_rwlock_tryrdlock(&lock->lock) == 0;
    if (is_free)
        pthread_rwlock_unlock(&lock->lock);
    else
        enqueue(queue, waiter, lock);
    mutex_unlock(&queue->mutex);
    /* Whoever was refused by the flags just set, or by the try, must not be forgotten. */
    if (is_free) wake_if_free(lock);
    return !is_free;
}

#endif

void rwlock_release_shared(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    if (rwlock_let_go_shared(lock)) rwlock_wake(lock);
}

void rwlock_release_exclusive(struct rwlock *lock) NO_THREAD_SAFETY_ANALYSIS {
    if (rwlock_let_go_exclusive(lock)) rwlock_wake(lock);
}
