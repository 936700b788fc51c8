#include "hold.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "shard/keyspace.h"
#include "shard/scope/scope_take.h"

struct hold {
    pthread_t thread;
    struct lane *lane;
    struct shard_set shards;
    struct write_scope scope;
    struct timespec until; /* monotonic */
    struct hold *next;
    bool is_released;
    bool is_over;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended; /* by the monotonic clock */
static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Guarded by mutex. */
static struct hold *holds;
static bool is_ended; /* the keyspace is about to be closed */

static void init(void) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ended, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void *keep(void *argument) {
    struct hold *hold = argument;
    pthread_mutex_lock(&mutex);
    while (!hold->is_released && pthread_cond_timedwait(&ended, &mutex, &hold->until) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&mutex);
    scope_end_write(&hold->scope);
    lane_leave(hold->lane);
    lane_detach(hold->lane);
    pthread_mutex_lock(&mutex);
    hold->is_over = true;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* Joins the threads that have ended, or all of them. */
static void collect(bool is_all) {
    pthread_mutex_lock(&mutex);
    for (struct hold **place = &holds; *place != NULL;) {
        struct hold *hold = *place;
        if (!is_all && !hold->is_over) {
            place = &hold->next;
            continue;
        }
        *place = hold->next;
        pthread_mutex_unlock(&mutex);
        pthread_join(hold->thread, NULL);
        shard_set_free(&hold->shards);
        free(hold);
        pthread_mutex_lock(&mutex);
        place = &holds;
    }
    pthread_mutex_unlock(&mutex);
}

/* The lock is taken here, on a lane of the thread's own, and handed to it: a lock belongs to its holder's
 * scope, not to a thread. */
static const char *take(struct hold *hold, struct keyspace *keyspace, const struct key *key, int64_t now) {
    struct rwlock *busy;
    hold->lane = lane_attach(keyspace);
    if (hold->lane == NULL) return "ERR too many holds";
    shard_set_init(&hold->shards);
    shard_set_add(&hold->shards, keyspace_shard_of(keyspace, key->hash));
    if (lane_enter(hold->lane)) {
        if (scope_try_write(&hold->scope, hold->lane, &hold->shards, now, &busy)) {
            lane_hold_still(hold->lane);
            if (!gate_is_wanted(hold->lane)) return NULL;
            scope_end_write(&hold->scope);
        }
        lane_leave(hold->lane);
    }
    lane_detach(hold->lane);
    return "BUSY that key's shard is held, try again";
}

const char *hold_start(struct keyspace *keyspace, const struct key *key, double seconds, int64_t now) {
    pthread_once(&once, init);
    collect(false);
    struct hold *hold = calloc(1, sizeof *hold);
    if (hold == NULL) return "OOM out of memory";
    const char *error = take(hold, keyspace, key, now);
    if (error != NULL) {
        free(hold);
        return error;
    }
    clock_gettime(CLOCK_MONOTONIC, &hold->until);
    int64_t nanoseconds = hold->until.tv_nsec + (int64_t)(seconds * 1e9);
    hold->until.tv_sec += nanoseconds / 1000000000;
    hold->until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&mutex);
    bool is_kept = !is_ended && pthread_create(&hold->thread, NULL, keep, hold) == 0;
    if (is_kept) {
        hold->next = holds;
        holds = hold;
    }
    pthread_mutex_unlock(&mutex);
    if (is_kept) return NULL;
    scope_end_write(&hold->scope);
    lane_leave(hold->lane);
    lane_detach(hold->lane);
    free(hold);
    return "ERR there is no thread to hold the shard";
}

static void release_all(bool is_end) {
    pthread_once(&once, init);
    pthread_mutex_lock(&mutex);
    is_ended = is_ended || is_end;
    for (struct hold *hold = holds; hold != NULL; hold = hold->next) hold->is_released = true;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&mutex);
}

void hold_release_all(void) {
    release_all(false);
}

void hold_end_all(void) {
    release_all(true);
    collect(true);
}
