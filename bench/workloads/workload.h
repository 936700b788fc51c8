/* What the simulator and the replay ask for: a sequence of requests for objects, from a trace or made. The
 * same name and seed always give the same sequence. */
#ifndef BENCH_WORKLOADS_WORKLOAD_H
#define BENCH_WORKLOADS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workload {
    const char *name;
    uint32_t *requests; /* numbers of objects */
    size_t request_count;
    uint32_t objects; /* all that are asked for: the footprint */
    uint32_t copies;  /* of a trace's keys */
    bool is_mixed;    /* its objects have sizes that differ */
};

/* Names of all: traces first, then what is made. Ended by NULL. */
extern const char *const workload_names[];

/* folder has the traces. False, with a message on standard error, if it can't be had. */
bool workload_open(struct workload *workload, const char *name, const char *folder);
void workload_close(struct workload *workload);

/* Bytes of an object's value in a mixed workload: from an eighth to eight times the typical size, small ones
 * more often. */
uint32_t workload_object_size(uint32_t object, uint32_t typical);

#endif
