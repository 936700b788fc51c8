/* Traces are small, so that every key is asked for under several names, one right after the other: a cache
 * with as many times the room then meets the same choice, and 1 % of the footprint is OBJECTS_LEAST objects
 * at least. What is made has as many objects from the start. */
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_LEAST 200000u
#define REQUESTS 2000000u
#define LINE_MOST 64

const char *const workload_names[] = {"web07",        "web12", "multi3",  "sprite",
                                      "cloudphysics", "zipf",  "zipf0.7", "zipf-scan",
                                      "loop",         "mixed", NULL};

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Even over [0, 1), the same for a workload's n-th request in every run. */
static double chance(uint64_t n, uint64_t stream) {
    return (double)(mix(n * 4 + stream) >> 11) * 0x1p-53;
}

uint32_t workload_object_size(uint32_t object, uint32_t typical) {
    double u = chance(object, 3);
    return (uint32_t)(typical / 8.0 * pow(64, u * u));
}

static bool workload_allocate(struct workload *workload, size_t requests) {
    workload->requests = malloc(requests * sizeof *workload->requests);
    workload->request_count = requests;
    if (workload->requests == NULL) fprintf(stderr, "%s: out of memory\n", workload->name);
    return workload->requests != NULL;
}

/* ---------------------------------------------------------------- traces */

/* Numbers the keys in the order of their first request: a hash table with open addressing. */
struct numbering {
    uint64_t *keys;
    uint32_t *numbers; /* plus one; 0: free */
    uint32_t mask, count;
};

static uint32_t numbering_of(struct numbering *numbering, uint64_t key) {
    uint32_t at = (uint32_t)mix(key) & numbering->mask;
    while (numbering->numbers[at] > 0 && numbering->keys[at] != key) at = (at + 1) & numbering->mask;
    if (numbering->numbers[at] == 0) {
        numbering->keys[at] = key;
        numbering->numbers[at] = ++numbering->count;
    }
    return numbering->numbers[at] - 1;
}

/* A key is known by 64 bits of its name. */
static uint64_t key_of(const char *line) {
    uint64_t key = 0;
    for (; *line != 0 && *line != '\n'; line++) key = mix(key ^ (unsigned char)*line);
    return key;
}

static size_t trace_read(FILE *lines, struct numbering *numbering, uint32_t **requests) {
    size_t count = 0, room = 0;
    char line[LINE_MOST];
    *requests = NULL;
    while (fgets(line, sizeof line, lines)) {
        if (count == room) {
            room = room == 0 ? 65536 : room * 2;
            uint32_t *grown = realloc(*requests, room * sizeof **requests);
            if (grown == NULL) return 0;
            *requests = grown;
        }
        if (numbering->count > numbering->mask / 2) return 0;
        (*requests)[count++] = numbering_of(numbering, key_of(line));
    }
    return count;
}

static bool trace_replicate(struct workload *workload, const uint32_t *requests, size_t count,
                            uint32_t keys) {
    uint32_t copies = workload->copies = (OBJECTS_LEAST + keys - 1) / keys;
    workload->objects = keys * copies;
    if (!workload_allocate(workload, count * copies)) return false;
    for (size_t i = 0; i < count; i++)
        for (uint32_t copy = 0; copy < copies; copy++)
            workload->requests[i * copies + copy] = requests[i] * copies + copy;
    return true;
}

static bool trace_open(struct workload *workload, const char *folder) {
    char command[512];
    snprintf(command, sizeof command, "gzip -dc '%s/%s.txt.gz'", folder, workload->name);
    FILE *lines = popen(command, "r");
    if (lines == NULL) return false;
    struct numbering numbering = {.mask = (1u << 20) - 1};
    numbering.keys = calloc(numbering.mask + 1, sizeof *numbering.keys);
    numbering.numbers = calloc(numbering.mask + 1, sizeof *numbering.numbers);
    uint32_t *requests = NULL;
    size_t count = 0;
    if (numbering.keys && numbering.numbers) count = trace_read(lines, &numbering, &requests);
    bool is_whole = pclose(lines) == 0 && count > 0;
    if (!is_whole) fprintf(stderr, "%s/%s.txt.gz can't be read\n", folder, workload->name);
    bool is_open = is_whole && trace_replicate(workload, requests, count, numbering.count);
    free(numbering.keys);
    free(numbering.numbers);
    free(requests);
    return is_open;
}

/* ---------------------------------------------------------------- made */

/* Draws ranks with probability 1 / rank^exponent, by bisection of the sums. */
struct zipf {
    double *sums;
    uint32_t ranks;
};

static bool zipf_open(struct zipf *zipf, uint32_t ranks, double exponent) {
    zipf->ranks = ranks;
    zipf->sums = malloc(ranks * sizeof *zipf->sums);
    if (zipf->sums == NULL) return false;
    double sum = 0;
    for (uint32_t i = 0; i < ranks; i++) zipf->sums[i] = sum += pow(i + 1, -exponent);
    return true;
}

static uint32_t zipf_draw(const struct zipf *zipf, double u) {
    double wanted = u * zipf->sums[zipf->ranks - 1];
    uint32_t low = 0, high = zipf->ranks - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zipf->sums[middle] > wanted)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* So many requests for popular objects, then so many for objects that nobody asks for again. */
static bool zipf_make(struct workload *workload, double exponent, uint32_t popular, uint32_t once) {
    struct zipf zipf;
    if (!zipf_open(&zipf, 2 * OBJECTS_LEAST, exponent)) return false;
    if (!workload_allocate(workload, REQUESTS)) {
        free(zipf.sums);
        return false;
    }
    struct numbering numbering = {.mask = (1u << 22) - 1};
    numbering.keys = calloc(numbering.mask + 1, sizeof *numbering.keys);
    numbering.numbers = calloc(numbering.mask + 1, sizeof *numbering.numbers);
    bool is_made = numbering.keys && numbering.numbers;
    for (uint32_t i = 0; i < REQUESTS && is_made; i++) {
        bool is_once = once > 0 && i % (popular + once) >= popular;
        uint64_t key = is_once ? (uint64_t)zipf.ranks + i : zipf_draw(&zipf, chance(i, 1));
        workload->requests[i] = numbering_of(&numbering, key);
    }
    workload->objects = numbering.count;
    free(numbering.keys);
    free(numbering.numbers);
    free(zipf.sums);
    return is_made;
}

static bool loop_make(struct workload *workload) {
    if (!workload_allocate(workload, REQUESTS)) return false;
    for (uint32_t i = 0; i < REQUESTS; i++) workload->requests[i] = i % OBJECTS_LEAST;
    workload->objects = OBJECTS_LEAST;
    return true;
}

bool workload_open(struct workload *workload, const char *name, const char *folder) {
    *workload = (struct workload){.name = name, .copies = 1};
    if (strcmp(name, "zipf") == 0) return zipf_make(workload, 0.99, 1, 0);
    if (strcmp(name, "zipf0.7") == 0) return zipf_make(workload, 0.7, 1, 0);
    if (strcmp(name, "zipf-scan") == 0) return zipf_make(workload, 0.99, 180000, 20000);
    if (strcmp(name, "loop") == 0) return loop_make(workload);
    if (strcmp(name, "mixed") == 0) {
        workload->is_mixed = true;
        return zipf_make(workload, 0.9, 1, 0);
    }
    return trace_open(workload, folder);
}

void workload_close(struct workload *workload) {
    free(workload->requests);
    workload->requests = NULL;
}
