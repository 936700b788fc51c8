/* A mutex that several may hold at a time who only look. They don't keep out for ever who wants it for
 * itself. As shard/base/mutex.h: for what is rare and short. */
#ifndef SERVER_BASE_SHARED_MUTEX_H
#define SERVER_BASE_SHARED_MUTEX_H

#include <pthread.h>

#include "shard/base/guard.h"

struct CAPABILITY("mutex") shared_mutex {
    pthread_rwlock_t os;
};

#define SHARED_MUTEX_INITIALIZER {PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP}

static inline void shared_mutex_lock(struct shared_mutex *mutex) ACQUIRE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_rwlock_wrlock(&mutex->os);
}
static inline void shared_mutex_unlock(struct shared_mutex *mutex) RELEASE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_rwlock_unlock(&mutex->os);
}
static inline void shared_mutex_lock_shared(struct shared_mutex *mutex)
    ACQUIRE_SHARED(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_rwlock_rdlock(&mutex->os);
}
static inline void shared_mutex_unlock_shared(struct shared_mutex *mutex)
    RELEASE_SHARED(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_rwlock_unlock(&mutex->os);
}

#endif
