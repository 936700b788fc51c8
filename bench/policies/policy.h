/* A cache policy as the simulator knows it: told of every request, it answers whether the object was there.
 *
 * Objects are numbers below setting.objects, so that a policy keeps what it knows of them in plain arrays.
 * What an object weighs counts against the capacity: 1 each for a capacity in objects, bytes for one in
 * bytes. An object that is asked for and absent is inserted, unless the policy refuses it or it is heavier
 * than the whole. */
#ifndef BENCH_POLICIES_POLICY_H
#define BENCH_POLICIES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct setting {
    uint32_t objects;
    uint64_t capacity;
    const uint32_t *weights;
    uint32_t shards;        /* for policies that know of them; a power of two */
    uint64_t seed;          /* of what is random in a policy */
    const char *parameters; /* "small=10/ghost=90", or empty */
};

struct policy {
    const char *name;
    void *(*open)(const struct setting *setting);
    bool (*request)(void *state, uint32_t object);
    void (*close)(void *state);
};

/* By its name; what stands behind a colon is not looked at. NULL if there is none of that name. */
const struct policy *policy_find(const char *name);
/* All of them, ended by NULL. */
extern const struct policy *const policies[];

/* A parameter's value, or otherwise. */
double setting_number(const struct setting *setting, const char *name, double otherwise);

/* Zeroed memory, or the end of the program. */
void *memory_take(size_t count, size_t size);

/* A stream of random numbers (xorshift64*, Vigna). */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1du;
}
static inline uint32_t random_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)(((random_next(state) >> 32) * bound) >> 32);
}

/* An object's hash: which shard it belongs to, and where a sketch counts it. */
static inline uint64_t object_hash(uint32_t object) {
    uint64_t hash = ((uint64_t)object + 1) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ hash >> 32;
}

#endif
