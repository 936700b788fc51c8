/* Prefixes: which workers have clients that hear of every change to a key that begins with some bytes
 * (CLIENT TRACKING BCAST). One table for all workers; a prefix is there as long as somebody has it. */
#ifndef SERVER_INTEREST_PREFIXES_H
#define SERVER_INTEREST_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before any other thread: false, no randomness. And when no other thread is left. */
bool prefixes_start(uint32_t workers);
void prefixes_stop(void);

/* One more client there has it, or one less. false: no memory. Any thread. */
bool prefix_enter(const char *bytes, size_t length, uint32_t worker);
void prefix_leave(const char *bytes, size_t length, uint32_t worker);
/* How many different ones there are. No lock. */
uint32_t prefixes_count(void);

/* A set of workers, by number. */
#define PREFIX_WORKERS 256
struct worker_set {
    uint64_t bits[PREFIX_WORKERS / 64];
};
/* Adds those that have a client with a prefix of that key. May be called with shards held. */
void prefixes_find(const char *key, size_t length, struct worker_set *workers);

#endif
