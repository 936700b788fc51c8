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
/* Who finds it held looks again for a moment before sleeping: for one that is held for less than a sleep
 * costs. */
static inline void mutex_init_spinning(struct mutex *mutex) {
#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) == 0) {
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
        pthread_mutex_init(&mutex->os, &attributes);
        pthread_mutexattr_destroy(&attributes);
        return;
    }
#endif
    pthread_mutex_init(&mutex->os, NULL);
}
static inline void mutex_lock(struct mutex *mutex) ACQUIRE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_mutex_lock(&mutex->os);
}
static inline void mutex_unlock(struct mutex *mutex) RELEASE(mutex) NO_THREAD_SAFETY_ANALYSIS {
    pthread_mutex_unlock(&mutex->os);
}

#endif
