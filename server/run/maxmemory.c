#include "maxmemory.h"

#include "shard/base/guard.h"
#include "shard/base/mutex.h"
#include "shard/evict/eviction.h"
#include "server/config/config.h"
#include "server/base/log.h"
#include "server/base/process.h"

/* How often the limit is adapted. */
#define TICK_MS 10
/* After so many ticks about a third is left of what was kept too much. */
#define KEPT_TICKS 512
/* One part in so many of maxmemory is left to requests that come all at once. */
#define SPARE_SHARE 128

/* One part in so many of what the process may have is left to the kernel, which counts its sockets' buffers
 * to the control group; and holes in the allocator's pages count up to such a part of maxmemory: they grow as
 * keys go, and more keys must not go for that. */
#define KERNEL_SHARE 20
#define HOLES_SHARE 4

static struct keyspace *limited; /* both set before there is a second thread */
static int64_t available;
static _Atomic int64_t next_tick; /* in monotonic milliseconds */

static const enum eviction_policy policies[] = {
    [POLICY_VOLATILE_LRU] = EVICTION_VOLATILE_LRU,
    [POLICY_VOLATILE_LFU] = EVICTION_VOLATILE_LFU,
    [POLICY_VOLATILE_RANDOM] = EVICTION_VOLATILE_RANDOM,
    [POLICY_VOLATILE_TTL] = EVICTION_VOLATILE_TTL,
    [POLICY_ALLKEYS_LRU] = EVICTION_ALLKEYS_LRU,
    [POLICY_ALLKEYS_LFU] = EVICTION_ALLKEYS_LFU,
    [POLICY_ALLKEYS_RANDOM] = EVICTION_ALLKEYS_RANDOM,
    [POLICY_ALLKEYS_S3FIFO] = EVICTION_ALLKEYS_S3FIFO,
    [POLICY_NOEVICTION] = EVICTION_NONE,
};

static void on_policy_changed(void) {
    int policy = atomic_load_explicit(&config.maxmemory_policy, memory_order_relaxed);
    eviction_configure(limited, policies[policy],
                       atomic_load_explicit(&config.lfu_log_factor, memory_order_relaxed),
                       atomic_load_explicit(&config.lfu_decay_time, memory_order_relaxed));
}

int64_t limit_reserve(int64_t maxmemory, int64_t may_have, int64_t fixed, int64_t holes) {
    if (maxmemory > may_have) return 0; /* an operator who asks for more than there is doesn't want it kept */
    int64_t most = maxmemory / HOLES_SHARE,
            needed = fixed + (holes < most ? holes : most) + may_have / KERNEL_SHARE;
    int64_t left = may_have - maxmemory;
    if (needed <= left) return 0;
    return needed - left < maxmemory / 2 ? needed - left : maxmemory / 2;
}

int64_t limit_step(struct limit_kept *kept, int64_t room, int64_t others, int64_t used) {
    if (others >= kept->most) {
        *kept = (struct limit_kept){others, INT64_MAX};
        return room - others;
    }
    int64_t present = eviction_limit_holding(used);
    kept->most -= (kept->most - others) / KEPT_TICKS;
    if (present < kept->data) kept->data = present;
    int64_t data = kept->data < room - others ? kept->data : room - others;
    return data > room - kept->most ? data : room - kept->most;
}

/* Held from reading maxmemory until its limit stands: a tick begun before CONFIG SET must not undo it. */
static struct mutex mutex = MUTEX_INITIALIZER;
static struct limit_kept kept GUARDED_BY(mutex);

/* Without a limit the allocator isn't asked: adding up what all its arenas have handed out takes long. */
static int64_t unlimited(void) REQUIRES(mutex) {
    kept = (struct limit_kept){0, INT64_MAX};
    return INT64_MAX;
}

static int64_t limit_of(struct keyspace *keyspace, int64_t maxmemory) REQUIRES(mutex) {
    int64_t fixed, holes;
    process_memory_beside(&fixed, &holes);
    /* And some for what comes between two ticks. */
    int64_t room = maxmemory - maxmemory / SPARE_SHARE - limit_reserve(maxmemory, available, fixed, holes);
    int64_t used = eviction_used(keyspace), others = (int64_t)process_memory_limited() - used;
    int64_t limit = limit_step(&kept, room, others, used);
    return limit > 0 ? limit : 0;
}

void limit_tick(struct keyspace *keyspace) {
    mutex_lock(&mutex);
    int64_t maxmemory = atomic_load_explicit(&config.maxmemory, memory_order_relaxed);
    eviction_limit(keyspace, maxmemory == 0 ? unlimited() : limit_of(keyspace, maxmemory));
    mutex_unlock(&mutex);
}

void limit_follow(struct keyspace *keyspace, int64_t now) {
    int64_t due = atomic_load_explicit(&next_tick, memory_order_relaxed);
    if (now < due || !atomic_compare_exchange_strong(&next_tick, &due, now + TICK_MS)) return;
    limit_tick(keyspace);
}

static void on_maxmemory_changed(void) {
    limit_tick(limited);
    int64_t maxmemory = atomic_load_explicit(&config.maxmemory, memory_order_relaxed),
            used = (int64_t)process_memory_limited();
    if (maxmemory > 0 && maxmemory < used)
        log_write(LOG_WARNING,
                  "maxmemory is %lld bytes, and %lld are in use: keys are going to be evicted, or, under "
                  "noeviction, writes refused",
                  (long long)maxmemory, (long long)used);
}

void limit_start(struct keyspace *keyspace) {
    limited = keyspace;
    available = process_memory_available();
    on_policy_changed();
    limit_tick(keyspace);
    config_on_change("maxmemory", on_maxmemory_changed);
    config_on_change("maxmemory-policy", on_policy_changed);
    config_on_change("lfu-log-factor", on_policy_changed);
    config_on_change("lfu-decay-time", on_policy_changed);
}
