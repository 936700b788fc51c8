/* A mutex that the thread-safety analysis knows. For what is rare and short: nobody holds one while taking
 * another thing. */
#ifndef SHARD_BASE_MUTEX_H
#define SHARD_BASE_MUTEX_H

#include <pthread.h>

#include "guard.h"

struct CAPABILITY("mutex") mutex {
    pthread_mutex_t os;
};

#define MUTEX_INITIALIZER {PTHREAD_MUTEX_INITIALIZER}

static inline void mutex_init(struct mutex *mutex) {
    pthread_mutex_init(&mutex->os, NULL);
}
static inline void mutex_lock(struct mutex *mutex) ACQUIRE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_mutex_lock(&mutex->os);
}
static inline void mutex_unlock(struct mutex *mutex) RELEASE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_mutex_unlock(&mutex->os);
}

/* One that several may hold at a time who only look; they don't keep out for ever who wants it for itself. */
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
