#include "prefixes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/hash.h"
#include "server/base/chains.h"
#include "server/base/shared_mutex.h"

/* A key is looked up once for each length that some prefix has. What is longer is found by so many bytes of
 * it: then a worker may be told of a key in vain. */
#define HEAD_MOST 64

/* A whole prefix, which is only counted, or the head of some. */
struct prefix {
    struct chain_link link; /* by hash; `spare` is its length */
    uint32_t clients;
    const char *bytes;    /* behind the counts */
    uint32_t of_worker[]; /* of a head */
};

static struct {
    struct hash_secret secret;
    uint32_t workers;
    struct shared_mutex mutex;
    struct chains wholes GUARDED_BY(&mutex), heads GUARDED_BY(&mutex);
    uint32_t of_length[HEAD_MOST + 1] GUARDED_BY(&mutex); /* how many heads are that long */
    _Atomic uint32_t count; /* of prefixes: read without the mutex, like the counts of tracked.c */
} all = {.mutex = SHARED_MUTEX_INITIALIZER};

bool prefixes_start(uint32_t workers) {
    assert(workers <= PREFIX_WORKERS);
    all.workers = workers;
    return hash_secret_draw(&all.secret, NULL) == 0;
}

static uint32_t hash_of(const char *bytes, size_t length) {
    return (uint32_t)hash_bytes(&all.secret, bytes, length);
}

static size_t head_length(size_t length) {
    return length < HEAD_MOST ? length : HEAD_MOST;
}

static struct prefix *find(const struct chains *chains, const char *bytes, size_t length) {
    uint32_t hash = hash_of(bytes, length);
    struct prefix *prefix = (struct prefix *)chains_find(chains, hash);
    while (prefix != NULL && (prefix->link.hash != hash || prefix->link.spare != length ||
                              memcmp(prefix->bytes, bytes, length) != 0))
        prefix = (struct prefix *)prefix->link.next;
    return prefix;
}

/* ------------------------------------------------------------------ coming and going */

/* One more has it; made if nobody had. NULL: no memory. */
static struct prefix *enter(struct chains *chains, const char *bytes, size_t length, uint32_t workers) {
    struct prefix *prefix = find(chains, bytes, length);
    if (prefix == NULL) {
        prefix = calloc(1, sizeof *prefix + workers * sizeof(uint32_t) + length);
        if (prefix == NULL) return NULL;
        char *room = (char *)(prefix->of_worker + workers);
        memcpy(room, bytes, length);
        prefix->bytes = room;
        prefix->link.spare = (uint32_t)length;
        if (!chains_insert(chains, &prefix->link, hash_of(bytes, length))) {
            free(prefix);
            return NULL;
        }
    }
    prefix->clients++;
    return prefix;
}

/* true: nobody has it any more. */
static bool leave(struct chains *chains, struct prefix *prefix) {
    if (--prefix->clients > 0) return false;
    chains_remove(chains, &prefix->link);
    free(prefix);
    return true;
}

bool prefix_enter(const char *bytes, size_t length, uint32_t worker) {
    assert(length <= UINT32_MAX && worker < all.workers);
    shared_mutex_lock(&all.mutex);
    struct prefix *whole = enter(&all.wholes, bytes, length, 0),
                  *head = whole == NULL ? NULL : enter(&all.heads, bytes, head_length(length), all.workers);
    if (head != NULL) {
        head->of_worker[worker]++;
        if (head->clients == 1) all.of_length[head_length(length)]++;
    } else if (whole != NULL) {
        (void)leave(&all.wholes, whole);
    }
    atomic_store(&all.count, all.wholes.count);
    shared_mutex_unlock(&all.mutex);
    return head != NULL;
}

void prefix_leave(const char *bytes, size_t length, uint32_t worker) {
    shared_mutex_lock(&all.mutex);
    struct prefix *whole = find(&all.wholes, bytes, length),
                  *head = find(&all.heads, bytes, head_length(length));
    assert(whole != NULL && head != NULL && head->of_worker[worker] > 0);
    head->of_worker[worker]--;
    if (leave(&all.heads, head)) all.of_length[head_length(length)]--;
    (void)leave(&all.wholes, whole);
    atomic_store(&all.count, all.wholes.count);
    shared_mutex_unlock(&all.mutex);
}

uint32_t prefixes_count(void) {
    return atomic_load(&all.count);
}

/* ------------------------------------------------------------------ whose they are */

void prefixes_find(const char *key, size_t length, struct worker_set *workers) {
    shared_mutex_lock_shared(&all.mutex);
    for (size_t i = 0; i <= head_length(length); i++) {
        const struct prefix *head = all.of_length[i] == 0 ? NULL : find(&all.heads, key, i);
        for (uint32_t worker = 0; head != NULL && worker < all.workers; worker++)
            if (head->of_worker[worker] > 0) workers->bits[worker / 64] |= UINT64_C(1) << worker % 64;
    }
    shared_mutex_unlock_shared(&all.mutex);
}

void prefixes_stop(void) {
    shared_mutex_lock(&all.mutex);
    assert(all.wholes.count == 0 && all.heads.count == 0 && "their clients are closed");
    shared_mutex_unlock(&all.mutex);
}
