/* Simulates cache policies over traces and made workloads, and prints their miss ratios.
 *
 *     build/release/bench/simulate [--policies lru,clock,s3fifo:small=5] ...
 *
 *     --policies LIST    separated by commas; parameters behind a colon, separated by slashes:
 *                        s3fifo:small=5/ghost=50
 *     --workloads LIST   (all)                  --sizes LIST     percent of the footprint (1,10,30)
 *     --shards N         for policies that know of shards, and for --split (1)
 *     --split            every policy as N policies, each with an N-th of the room
 *     --bytes            all objects have sizes that differ, and the room is in bytes, as it is for the
 *                        workload "mixed"
 *     --count            the room is in objects, for all
 *     --traces FOLDER    (bench/traces)         --jobs N         threads (2)
 *     --brief            means only             --seed N
 *     --csv              nothing but lines 'workload,percent,policy,miss ratio'
 *
 * The last columns compare with exact LRU and with the better of what Redis does: the mean over all cases of
 * the ratio of misses. */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/policies/policy.h"
#include "bench/workloads/workload.h"

#define ITEMS_MOST 128
/* Bytes that a cache is assumed to need beside a value. */
#define OVERHEAD 48
#define MIXED_SIZE 512

static struct {
    const char *traces;
    char *policies[ITEMS_MOST], *workloads[ITEMS_MOST], *sizes[ITEMS_MOST];
    size_t policy_count, workload_count, size_count;
    uint32_t shards, jobs;
    uint64_t seed;
    bool splits, by_bytes, by_count, is_brief, is_csv;
} options = {.traces = "bench/traces", .shards = 1, .jobs = 2, .seed = 1};

static struct workload workloads[ITEMS_MOST];
static uint32_t *weights[ITEMS_MOST];
static double *results; /* [workload][size][policy] */
static _Atomic size_t next_cell;

static double *result_at(size_t workload, size_t size, size_t policy) {
    return &results[(workload * options.size_count + size) * options.policy_count + policy];
}

/* ---------------------------------------------------------------- one simulation */

/* Each part has a policy of its own, which sees only its objects, numbered anew. */
struct split {
    uint32_t *numbers;  /* of an object in its part */
    uint32_t *objects;  /* in each part */
    uint32_t **weights; /* of each part's objects */
};

static struct split split_make(const struct workload *workload, const uint32_t *all, uint32_t shards) {
    struct split split = {memory_take(workload->objects, sizeof(uint32_t)),
                          memory_take(shards, sizeof(uint32_t)), memory_take(shards, sizeof(uint32_t *))};
    for (uint32_t i = 0; i < workload->objects; i++)
        split.numbers[i] = split.objects[object_hash(i) & (shards - 1)]++;
    for (uint32_t i = 0; i < shards; i++)
        split.weights[i] = memory_take(split.objects[i] + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < workload->objects; i++)
        split.weights[object_hash(i) & (shards - 1)][split.numbers[i]] = all[i];
    return split;
}

static double simulate(const struct workload *workload, const uint32_t *all, const char *name,
                       double percent) {
    const struct policy *policy = policy_find(name);
    uint32_t parts = options.splits ? options.shards : 1;
    char parameters[256] = "";
    if (strchr(name, ':')) snprintf(parameters, sizeof parameters, "%s", strchr(name, ':') + 1);
    struct split split = split_make(workload, all, parts);
    uint64_t total = 0, misses = 0;
    for (uint32_t i = 0; i < workload->objects; i++) total += all[i];
    struct setting *settings = memory_take(parts, sizeof *settings);
    void **states = memory_take(parts, sizeof *states);
    for (uint32_t i = 0; i < parts; i++) {
        settings[i] = (struct setting){.objects = split.objects[i] + (split.objects[i] == 0),
                                       .capacity = (uint64_t)((double)total * percent / 100 / parts + 0.5),
                                       .weights = split.weights[i],
                                       .shards = options.splits ? 1 : options.shards,
                                       .seed = options.seed * 0x9e3779b97f4a7c15u + i * 2 + 1,
                                       .parameters = parameters};
        states[i] = policy->open(&settings[i]);
    }
    for (size_t i = 0; i < workload->request_count; i++) {
        uint32_t object = workload->requests[i];
        misses += !policy->request(states[object_hash(object) & (parts - 1)], split.numbers[object]);
    }
    for (uint32_t i = 0; i < parts; i++) {
        policy->close(states[i]);
        free(split.weights[i]);
    }
    free(split.weights);
    free(split.objects);
    free(split.numbers);
    free(settings);
    free(states);
    return (double)misses / (double)workload->request_count;
}

static void *cells_run(void *unused) {
    (void)unused;
    size_t cells = options.workload_count * options.size_count * options.policy_count;
    for (size_t cell; (cell = atomic_fetch_add(&next_cell, 1)) < cells;) {
        size_t policy = cell % options.policy_count, size = cell / options.policy_count % options.size_count;
        size_t workload = cell / options.policy_count / options.size_count;
        results[cell] = simulate(&workloads[workload], weights[workload], options.policies[policy],
                                 atof(options.sizes[size]));
    }
    return NULL;
}

/* ---------------------------------------------------------------- the table */

/* The least miss ratio among the policies of these names, 0 if none was simulated. */
static double best_of(size_t workload, size_t size, const char *const *names) {
    double best = 0;
    for (size_t i = 0; i < options.policy_count; i++)
        for (size_t n = 0; names[n]; n++) {
            double ratio = *result_at(workload, size, i);
            if (strcmp(options.policies[i], names[n]) == 0 && (best == 0 || ratio < best)) best = ratio;
        }
    return best;
}

static void print_mean(size_t policy, size_t from, size_t to) {
    static const char *const lru[] = {"lru", NULL}, *const redis[] = {"redis-lru", "redis-lfu", NULL};
    double sum = 0, to_lru = 0, to_redis = 0, worst = 0;
    size_t cases = (to - from) * options.size_count;
    for (size_t w = from; w < to; w++)
        for (size_t s = 0; s < options.size_count; s++) {
            double ratio = *result_at(w, s, policy), best_lru = best_of(w, s, lru),
                   best_redis = best_of(w, s, redis);
            sum += ratio;
            if (best_lru > 0) to_lru += ratio / best_lru;
            if (best_redis > 0) to_redis += ratio / best_redis;
            if (best_redis > 0 && ratio / best_redis > worst) worst = ratio / best_redis;
        }
    printf("  %8.4f %8.3f %8.3f %8.3f", sum / (double)cases, to_lru / (double)cases, to_redis / (double)cases,
           worst);
}

static void print_csv(void) {
    for (size_t w = 0; w < options.workload_count; w++)
        for (size_t s = 0; s < options.size_count; s++)
            for (size_t p = 0; p < options.policy_count; p++)
                printf("%s,%s,%s,%.6f\n", workloads[w].name, options.sizes[s], options.policies[p],
                       *result_at(w, s, p));
}

static void print_results(size_t traces) {
    if (!options.is_brief)
        for (size_t w = 0; w < options.workload_count; w++) {
            printf("\n%s: %u objects, %zu requests; misses in %%\n%-40s", workloads[w].name,
                   workloads[w].objects, workloads[w].request_count, "");
            for (size_t s = 0; s < options.size_count; s++) printf(" %7s%%", options.sizes[s]);
            for (size_t p = 0; p < options.policy_count; p++) {
                printf("\n%-40s", options.policies[p]);
                for (size_t s = 0; s < options.size_count; s++) printf(" %8.2f", 100 * *result_at(w, s, p));
            }
            printf("\n");
        }
    printf("\n%-40s  traces: mean   to LRU to Redis    worst  all: mean   to LRU to Redis    worst",
           "mean over sizes and");
    for (size_t p = 0; p < options.policy_count; p++) {
        printf("\n%-40s", options.policies[p]);
        print_mean(p, 0, traces);
        print_mean(p, 0, options.workload_count);
    }
    printf("\n");
}

/* ---------------------------------------------------------------- options */

static size_t list_take(char **items, char *text) {
    size_t count = 0;
    for (char *rest = NULL, *item = strtok_r(text, ",", &rest); item && count < ITEMS_MOST;
         item = strtok_r(NULL, ",", &rest))
        items[count++] = item;
    return count;
}

static void options_take(int argc, char **argv) {
    static const struct option known[] = {{"policies", 1, 0, 'p'},
                                          {"workloads", 1, 0, 'w'},
                                          {"sizes", 1, 0, 's'},
                                          {"shards", 1, 0, 'n'},
                                          {"split", 0, 0, 'x'},
                                          {"bytes", 0, 0, 'b'},
                                          {"traces", 1, 0, 't'},
                                          {"jobs", 1, 0, 'j'},
                                          {"count", 0, 0, 'c'},
                                          {"csv", 0, 0, 'v'},
                                          {"brief", 0, 0, 'q'},
                                          {"seed", 1, 0, 'e'},
                                          {0}};
    static char sizes[] = "1,10,30";
    options.size_count = list_take(options.sizes, sizes);
    for (int letter; (letter = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (letter) {
        case 'p': options.policy_count = list_take(options.policies, optarg); break;
        case 'w': options.workload_count = list_take(options.workloads, optarg); break;
        case 's': options.size_count = list_take(options.sizes, optarg); break;
        case 'n': options.shards = (uint32_t)atoi(optarg); break;
        case 'x': options.splits = true; break;
        case 'b': options.by_bytes = true; break;
        case 't': options.traces = optarg; break;
        case 'j': options.jobs = (uint32_t)atoi(optarg); break;
        case 'c': options.by_count = true; break;
        case 'v': options.is_csv = true; break;
        case 'q': options.is_brief = true; break;
        case 'e': options.seed = strtoull(optarg, NULL, 10); break;
        default: exit(2);
        }
    }
    if (options.policy_count == 0)
        for (size_t i = 0; policies[i]; i++)
            options.policies[options.policy_count++] = (char *)(uintptr_t)policies[i]->name;
    if (options.workload_count == 0)
        for (size_t i = 0; workload_names[i]; i++)
            options.workloads[options.workload_count++] = (char *)(uintptr_t)workload_names[i];
    for (size_t i = 0; i < options.policy_count; i++)
        if (!policy_find(options.policies[i])) {
            fprintf(stderr, "simulate: there is no policy %s\n", options.policies[i]);
            exit(2);
        }
    if (options.shards == 0 || (options.shards & (options.shards - 1)) != 0) {
        fprintf(stderr, "simulate: shards are a power of two\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    options_take(argc, argv);
    size_t traces = 0;
    for (size_t i = 0; i < options.workload_count; i++) {
        struct workload *workload = &workloads[i];
        if (!workload_open(workload, options.workloads[i], options.traces)) return 1;
        traces += workload->copies > 1;
        weights[i] = memory_take(workload->objects, sizeof(uint32_t));
        bool has_sizes = !options.by_count && (options.by_bytes || workload->is_mixed);
        for (uint32_t object = 0; object < workload->objects; object++)
            weights[i][object] = has_sizes ? workload_object_size(object, MIXED_SIZE) + OVERHEAD : 1;
    }
    results =
        memory_take(options.workload_count * options.size_count * options.policy_count, sizeof *results);
    pthread_t threads[ITEMS_MOST];
    if (options.jobs > ITEMS_MOST) options.jobs = ITEMS_MOST;
    for (uint32_t i = 0; i < options.jobs; i++) pthread_create(&threads[i], NULL, cells_run, NULL);
    for (uint32_t i = 0; i < options.jobs; i++) pthread_join(threads[i], NULL);
    if (options.is_csv)
        print_csv();
    else
        print_results(traces);
    return 0;
}
