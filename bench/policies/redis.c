/* What Redis does: a few keys drawn at random, and a pool of the best candidates of earlier draws. With an
 * exact clock, where the server has one of seconds (LRU) or minutes (LFU).
 *
 *     samples=5  keys drawn for a victim        pool=16   candidates that are remembered
 *     minute=N   for LFU, requests in a minute, at each of which an unused key's counter falls by one, as a
 *                multiple of the capacity in hundredths; 0: never */
#include <stdlib.h>

#include "policy.h"

#define POOL_MOST 64
#define LFU_START 5
#define LFU_FACTOR 10

struct candidate {
    uint32_t object;
    uint64_t idle;
};

struct redis {
    const struct setting *setting;
    uint32_t *residents, *places; /* places: in residents, plus one; 0: absent */
    uint64_t *used_at;
    uint8_t *counters;
    uint64_t used, clock, random, minute;
    uint32_t count, samples, pool_most, pool_count;
    bool is_lfu;
    struct candidate pool[POOL_MOST]; /* idlest last */
};

static void *redis_open(const struct setting *setting, bool is_lfu) {
    struct redis *redis = memory_take(1, sizeof *redis);
    redis->setting = setting;
    redis->residents = memory_take(setting->objects, sizeof(uint32_t));
    redis->places = memory_take(setting->objects, sizeof(uint32_t));
    redis->used_at = memory_take(setting->objects, sizeof(uint64_t));
    redis->counters = memory_take(setting->objects, 1);
    redis->random = setting->seed;
    redis->samples = (uint32_t)setting_number(setting, "samples", 5);
    redis->pool_most = (uint32_t)setting_number(setting, "pool", 16);
    if (redis->pool_most > POOL_MOST) redis->pool_most = POOL_MOST;
    redis->minute = (uint64_t)(setting_number(setting, "minute", 0) / 100 * (double)setting->capacity);
    redis->is_lfu = is_lfu;
    return redis;
}

static void redis_close(void *state) {
    struct redis *redis = state;
    free(redis->residents);
    free(redis->places);
    free(redis->used_at);
    free(redis->counters);
    free(redis);
}

static uint8_t redis_decayed(const struct redis *redis, uint32_t object) {
    if (redis->minute == 0) return redis->counters[object];
    uint64_t minutes = redis->clock / redis->minute - redis->used_at[object] / redis->minute;
    return redis->counters[object] > minutes ? (uint8_t)(redis->counters[object] - minutes) : 0;
}

static uint64_t redis_idle(const struct redis *redis, uint32_t object) {
    return redis->is_lfu ? 255u - redis_decayed(redis, object) : redis->clock - redis->used_at[object];
}

static void redis_use(struct redis *redis, uint32_t object) {
    if (redis->is_lfu) {
        uint8_t counter = redis_decayed(redis, object);
        uint32_t base = counter > LFU_START ? counter - LFU_START : 0;
        double chance = 1.0 / (base * LFU_FACTOR + 1);
        if (counter < 255 && (double)(random_next(&redis->random) >> 11) * 0x1p-53 < chance) counter++;
        redis->counters[object] = counter;
    }
    redis->used_at[object] = redis->clock;
}

/* Into the pool, if it is idler than one there or there is room. */
static void redis_propose(struct redis *redis, uint32_t object) {
    uint64_t idle = redis_idle(redis, object);
    struct candidate *pool = redis->pool;
    for (uint32_t i = 0; i < redis->pool_count; i++)
        if (pool[i].object == object) return;
    uint32_t at = 0;
    while (at < redis->pool_count && pool[at].idle < idle) at++;
    if (redis->pool_count == redis->pool_most) {
        if (at == 0) return;
        at--;
        for (uint32_t i = 0; i < at; i++) pool[i] = pool[i + 1];
    } else {
        for (uint32_t i = redis->pool_count++; i > at; i--) pool[i] = pool[i - 1];
    }
    pool[at] = (struct candidate){object, idle};
}

static uint32_t redis_victim(struct redis *redis) {
    for (;;) {
        for (uint32_t i = 0; i < redis->samples; i++)
            redis_propose(redis, redis->residents[random_below(&redis->random, redis->count)]);
        while (redis->pool_count > 0) {
            uint32_t object = redis->pool[--redis->pool_count].object;
            if (redis->places[object] > 0) return object;
        }
    }
}

static void redis_evict(struct redis *redis) {
    uint32_t victim = redis_victim(redis), last = redis->residents[--redis->count];
    redis->residents[redis->places[victim] - 1] = last;
    redis->places[last] = redis->places[victim];
    redis->places[victim] = 0;
    redis->used -= redis->setting->weights[victim];
}

static bool redis_request(void *state, uint32_t object) {
    struct redis *redis = state;
    uint64_t weight = redis->setting->weights[object];
    redis->clock++;
    if (redis->places[object] > 0) {
        redis_use(redis, object);
        return true;
    }
    if (weight > redis->setting->capacity) return false;
    while (redis->used + weight > redis->setting->capacity) redis_evict(redis);
    redis->residents[redis->count] = object;
    redis->places[object] = ++redis->count;
    redis->counters[object] = LFU_START;
    redis->used_at[object] = redis->clock;
    redis->used += weight;
    return false;
}

static void *redis_lru_open(const struct setting *setting) {
    return redis_open(setting, false);
}
static void *redis_lfu_open(const struct setting *setting) {
    return redis_open(setting, true);
}

const struct policy policy_redis_lru = {"redis-lru", redis_lru_open, redis_request, redis_close};
const struct policy policy_redis_lfu = {"redis-lfu", redis_lfu_open, redis_request, redis_close};
