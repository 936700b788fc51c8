/* Who looks on: a client of each worker that asks for next to nothing, of shards that nobody keeps for long,
 * and expects an answer; and one that reads CLIENT LIST for those who should not be in it. */
#ifndef TESTS_STORM_PROBE_H
#define TESTS_STORM_PROBE_H

#include "storm.h"

struct probe {
    struct storm *storm;
    pthread_t thread;
    struct wire wire;
    uint32_t worker;
    char key[32];     /* in no shard of storm_slow_keys */
    int64_t limit_us; /* an answer that takes longer is a complaint */
    int64_t slowest_us;
    uint64_t count;
    uint64_t state;
};

/* Finds it a connection on that worker, and a key. Complains if it can't. */
void probe_open(struct probe *probe, struct storm *storm, uint32_t worker);
/* So many, one after the other; false and a complaint if one isn't answered in time. */
bool probe_some(struct probe *probe, uint64_t count);
/* In a thread of its own, until the storm is over. */
void probe_begin(struct probe *probe);
void probe_end(struct probe *probe);

/* Takes the pulse of the server's threads until the storm is over. */
void pulse_begin(struct storm *storm, pthread_t *thread);

/* Looks for the departed in CLIENT LIST, in a thread of its own. `limit_us`: when it is a complaint that one
 * is still there. */
struct census {
    struct storm *storm;
    pthread_t thread;
    struct wire wire;
    int64_t limit_us;
    uint64_t lists, seen_off;
};
void census_begin(struct census *census);
void census_end(struct census *census);

#endif
