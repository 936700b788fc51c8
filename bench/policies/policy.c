/* The list of all policies, and what they share. */
#include "policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct policy policy_fifo, policy_lru, policy_clock, policy_sieve, policy_lfu, policy_arc,
    policy_two_queue, policy_s3fifo, policy_lirs, policy_tinylfu, policy_redis_lru, policy_redis_lfu,
    policy_latchkey;

const struct policy *const policies[] = {
    &policy_fifo,      &policy_lru,       &policy_clock,    &policy_sieve, &policy_lfu,
    &policy_arc,       &policy_two_queue, &policy_s3fifo,   &policy_lirs,  &policy_tinylfu,
    &policy_redis_lru, &policy_redis_lfu, &policy_latchkey, NULL};

const struct policy *policy_find(const char *name) {
    size_t length = strcspn(name, ":");
    for (size_t i = 0; policies[i]; i++)
        if (strlen(policies[i]->name) == length && memcmp(policies[i]->name, name, length) == 0)
            return policies[i];
    return NULL;
}

double setting_number(const struct setting *setting, const char *name, double otherwise) {
    size_t length = strlen(name);
    for (const char *at = setting->parameters; *at; at += *at == '/') {
        if (strncmp(at, name, length) == 0 && at[length] == '=') return strtod(at + length + 1, NULL);
        at += strcspn(at, "/");
    }
    return otherwise;
}

void *memory_take(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fprintf(stderr, "simulate: out of memory\n");
        exit(1);
    }
    return memory;
}
