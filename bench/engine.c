/* The four cures of the shared map, measured in one process: no protocol, no socket, no system call but the
 * threads' own.
 *
 *     mutex        one mutex around everything
 *     rwlock       a reader-writer lock per shard, readers take it shared
 *     optimistic   readers take no lock and check afterwards: what the engine does
 *     visit        the same, entering the gate once for 1,024 calls
 *     batch        through the batch calls, 32 keys each, prefetched
 *     owner        a shard belongs to a thread, which others send their requests to (owner.h), 32 keys each
 *     yardstick    pthread_rwlock_t and a chained table per shard (yardstick.h), which the engine is judged
 *                  by
 *
 * All but the last work on the same keyspace, so that they differ in how they share it and in nothing else.
 * The workload is a script of operations drawn beforehand, so that drawing costs nothing while the clock
 * runs: 16-byte keys, 64-byte values, every read a hit whose value is checked. Operations are run in chunks;
 * a batch gathers a chunk's reads and its writes.
 *
 * Other work on the machine must not decide who wins: the runs of a round follow each other closely, rounds
 * are repeated, and medians are compared. Beside the throughput by the clock stands that by CPU time (as if
 * no thread had ever been off its core), which hardly knows of neighbours (for owners it counts the callers'
 * time only, and says nothing); where the two are far apart, the threads slept or the machine was busy.
 *
 *     build/release/bench/engine [--quick] [--bars] [--keys N] [--shards N] [--rounds N] [--seconds S]
 *         [--output FOLDER]
 *     build/release/bench/engine --profile STRATEGY[,STRATEGY...] [--hot] [--threads N] [--share
 *         50|90|99|100] nothing else: one to be looked at by perf, or some side by side
 *
 * Prints tables and the bars; writes engine.json, engine.dat, engine.svg and engine.png (by gnuplot, if
 * there) to build/bench. */
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shard/latchkey.h"
#include "bench/owner/owner.h"
#include "yardstick.h"

#define KEY_BYTES 16
#define VALUE_BYTES 64
#define BATCH 32
/* Operations between two looks at whether time is up; scripts are multiples of it. */
#define CHUNK 1024
#define SCRIPT (1u << 20)
#define IS_WRITE 0x80000000u
#define THREADS_MOST 64
#define ROUNDS_MOST 99

static struct {
    uint32_t keys, shards;
    uint32_t rounds, bar_rounds;
    double seconds;
    bool only_bars, is_hot;
    uint32_t threads; /* of a profile */
    unsigned share;   /* the same: of reads, in per cent */
    const char *output;
    char *profiled;
} options = {.keys = 1000000,
             .rounds = 3,
             .bar_rounds = 9,
             .seconds = 0.2,
             .threads = 1,
             .share = 90,
             .output = "build/bench"};

static struct keyspace *keyspace;
static struct yardstick yardstick;
static pthread_mutex_t one_mutex = PTHREAD_MUTEX_INITIALIZER;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "engine: %s\n", what);
    exit(1);
}

static double seconds_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ keys and values */

/* Sebastiano Vigna's splitmix64. https://prng.di.unimi.it/splitmix64.c */
static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

struct name {
    uint64_t words[KEY_BYTES / 8];
};

static inline struct name name_of(uint32_t index) {
    return (struct name){{mix(index), index}};
}

/* A value tells the key that it belongs to. */
static inline void value_make(char value[VALUE_BYTES], uint32_t index) {
    memset(value, (int)(index & 127), VALUE_BYTES);
    memcpy(value, &index, sizeof index);
}

static inline void value_check(const char value[VALUE_BYTES], ssize_t length, uint32_t index) {
    uint32_t told;
    memcpy(&told, value, sizeof told);
    if (length != VALUE_BYTES || told != index) fail("a value that is not the key's was read");
}

/* ------------------------------------------------------------------ scripts */

enum distribution { UNIFORM, ZIPF, ONE_KEY, DISTRIBUTIONS };
static const char *const distribution_names[DISTRIBUTIONS] = {"uniform", "zipf 0.99", "one key"};
static const unsigned shares[] = {50, 90, 99, 100};
#define SHARES (sizeof shares / sizeof shares[0])

/* Ranks by Zipf's law as Gray et al. draw them ("Quickly generating billion-record synthetic databases",
 * 1994). Rank r is the key r: the hash spreads them. */
struct zipf {
    double theta, zeta, eta, alpha;
};

static struct zipf zipf_for(uint32_t keys) {
    struct zipf zipf = {.theta = 0.99};
    for (uint32_t i = 1; i <= keys; i++) zipf.zeta += pow(i, -zipf.theta);
    zipf.alpha = 1 / (1 - zipf.theta);
    zipf.eta = (1 - pow(2.0 / keys, 1 - zipf.theta)) / (1 - (1 + pow(0.5, zipf.theta)) / zipf.zeta);
    return zipf;
}

static uint32_t zipf_rank(const struct zipf *zipf, uint32_t keys, double chance) {
    double product = chance * zipf->zeta;
    if (product < 1) return 0;
    if (product < 1 + pow(0.5, zipf->theta)) return 1;
    uint32_t rank = (uint32_t)(keys * pow(zipf->eta * chance - zipf->eta + 1, zipf->alpha));
    return rank < keys ? rank : keys - 1;
}

/* Which keys, and IS_WRITE where one is written. Drawn when first asked for. */
static const uint32_t *script_of(enum distribution distribution, size_t share) {
    static uint32_t *scripts[DISTRIBUTIONS][SHARES];
    if (scripts[distribution][share] != NULL) return scripts[distribution][share];
    uint32_t *script = malloc(SCRIPT * sizeof *script);
    if (script == NULL) fail("out of memory");
    struct zipf zipf = distribution == ZIPF ? zipf_for(options.keys) : (struct zipf){.theta = 0};
    for (uint32_t i = 0; i < SCRIPT; i++) {
        uint64_t draw = mix((uint64_t)distribution << 40 | i);
        double chance = (double)(draw >> 11) * 0x1p-53;
        script[i] = distribution == UNIFORM ? (uint32_t)(chance * options.keys)
                    : distribution == ZIPF  ? zipf_rank(&zipf, options.keys, chance)
                                            : 0;
        if (mix(draw) % 100 >= shares[share]) script[i] |= IS_WRITE;
    }
    return scripts[distribution][share] = script;
}

/* ------------------------------------------------------------------ strategies */

struct worker {
    struct run *run;
    struct lane *lane;
    struct owners *owners; /* NULL: it works on the shards itself */
    pthread_t thread;
    uint32_t number;
    uint64_t done;
    double wall, cpu;
};

/* Runs the operations of one chunk. */
typedef void chunk_function(struct worker *worker, const uint32_t *script);

static void engine_get(struct lane *lane, uint32_t index) {
    struct name name = name_of(index);
    char value[VALUE_BYTES];
    value_check(value, latchkey_get(lane, (const char *)&name, sizeof name, value, sizeof value), index);
}

static void engine_set(struct lane *lane, uint32_t index) {
    struct name name = name_of(index);
    char value[VALUE_BYTES];
    value_make(value, index);
    struct latchkey_item item = {
        .key = (const char *)&name, .key_length = sizeof name, .value = value, .value_length = sizeof value};
    if (latchkey_set(lane, &item) != LATCHKEY_OK) fail("out of memory");
}

static void run_optimistic(struct worker *worker, const uint32_t *script) {
    for (size_t i = 0; i < CHUNK; i++) {
        if (script[i] & IS_WRITE)
            engine_set(worker->lane, script[i] & ~IS_WRITE);
        else
            engine_get(worker->lane, script[i]);
    }
}

static void run_visit(struct worker *worker, const uint32_t *script) {
    latchkey_enter(worker->lane);
    run_optimistic(worker, script);
    latchkey_leave(worker->lane);
}

static void run_mutex(struct worker *worker, const uint32_t *script) {
    for (size_t i = 0; i < CHUNK; i++) {
        pthread_mutex_lock(&one_mutex);
        if (script[i] & IS_WRITE)
            engine_set(worker->lane, script[i] & ~IS_WRITE);
        else
            engine_get(worker->lane, script[i]);
        pthread_mutex_unlock(&one_mutex);
    }
}

struct shared_read {
    struct key key;
    char value[VALUE_BYTES];
    ssize_t length;
};

static void read_shared(void *context, const struct read_scope *scope) {
    struct shared_read *read = context;
    const struct entry *entry = scope_read(scope, &read->key);
    struct string_view view;
    read->length = -1;
    if (entry == NULL) return;
    entry_string(entry, &view);
    read->length = (ssize_t)view.length;
    memcpy(read->value, view.data, view.length < VALUE_BYTES ? view.length : VALUE_BYTES);
}

static void run_rwlock(struct worker *worker, const uint32_t *script) {
    for (size_t i = 0; i < CHUNK; i++) {
        if (script[i] & IS_WRITE) {
            engine_set(worker->lane, script[i] & ~IS_WRITE);
            continue;
        }
        struct name name = name_of(script[i]);
        struct shared_read read = {.key = keyspace_key(keyspace, 0, (const char *)&name, sizeof name)};
        latchkey_read(worker->lane, &read.key, 1, read_shared, &read);
        value_check(read.value, read.length, script[i]);
    }
}

/* A chunk's reads and writes, each gathered until there are 32. */
struct batch {
    struct name read_names[BATCH], write_names[BATCH];
    char read_values[BATCH][VALUE_BYTES], write_values[BATCH][VALUE_BYTES];
    uint32_t read_indexes[BATCH];
    struct latchkey_query queries[BATCH];
    struct latchkey_item items[BATCH];
    size_t reads, writes;
};

static void batch_read(struct batch *batch, const struct worker *worker) {
    if (worker->owners != NULL)
        owner_get_many(worker->owners, batch->queries, batch->reads);
    else
        latchkey_get_many(worker->lane, batch->queries, batch->reads);
    for (size_t i = 0; i < batch->reads; i++)
        value_check(batch->read_values[i], batch->queries[i].length, batch->read_indexes[i]);
    batch->reads = 0;
}

static void batch_write(struct batch *batch, const struct worker *worker) {
    size_t stored = worker->owners != NULL
                        ? owner_set_many(worker->owners, batch->items, batch->writes, NULL)
                        : latchkey_set_many(worker->lane, batch->items, batch->writes, NULL);
    if (stored != batch->writes) fail("out of memory");
    batch->writes = 0;
}

static void batch_add_read(struct batch *batch, uint32_t index) {
    size_t at = batch->reads++;
    batch->read_names[at] = name_of(index);
    batch->read_indexes[at] = index;
    batch->queries[at] = (struct latchkey_query){.key = (const char *)&batch->read_names[at],
                                                 .key_length = KEY_BYTES,
                                                 .out = batch->read_values[at],
                                                 .size = VALUE_BYTES};
}

static void batch_add_write(struct batch *batch, uint32_t index) {
    size_t at = batch->writes++;
    batch->write_names[at] = name_of(index);
    value_make(batch->write_values[at], index);
    batch->items[at] = (struct latchkey_item){.key = (const char *)&batch->write_names[at],
                                              .key_length = KEY_BYTES,
                                              .value = batch->write_values[at],
                                              .value_length = VALUE_BYTES};
}

static void run_batch(struct worker *worker, const uint32_t *script) {
    struct batch batch;
    batch.reads = batch.writes = 0;
    for (size_t i = 0; i < CHUNK; i++) {
        if (script[i] & IS_WRITE)
            batch_add_write(&batch, script[i] & ~IS_WRITE);
        else
            batch_add_read(&batch, script[i]);
        if (batch.reads == BATCH) batch_read(&batch, worker);
        if (batch.writes == BATCH) batch_write(&batch, worker);
    }
    if (batch.reads > 0) batch_read(&batch, worker);
    if (batch.writes > 0) batch_write(&batch, worker);
}

static void run_yardstick(struct worker *worker, const uint32_t *script) {
    (void)worker;
    for (size_t i = 0; i < CHUNK; i++) {
        uint32_t index = script[i] & ~IS_WRITE;
        struct name name = name_of(index);
        struct key key = keyspace_key(keyspace, 0, (const char *)&name, sizeof name);
        char value[VALUE_BYTES];
        if (script[i] & IS_WRITE) {
            value_make(value, index);
            if (!yardstick_set(&yardstick, &key, value, sizeof value)) fail("out of memory");
        } else {
            value_check(value, yardstick_get(&yardstick, &key, value, sizeof value), index);
        }
    }
}

enum strategy { MUTEX, RWLOCK, OPTIMISTIC, VISIT, BATCHED, OWNER, YARDSTICK, STRATEGIES };
static const struct {
    const char *name;
    chunk_function *run;
} strategies[STRATEGIES] = {
    [MUTEX] = {"mutex", run_mutex},
    [RWLOCK] = {"rwlock", run_rwlock},
    [OPTIMISTIC] = {"optimistic", run_optimistic},
    [VISIT] = {"visit", run_visit},
    [BATCHED] = {"batch", run_batch},
    [OWNER] = {"owner", run_batch},
    [YARDSTICK] = {"yardstick", run_yardstick},
};

/* ------------------------------------------------------------------ runs */

struct run {
    chunk_function *chunk;
    const uint32_t *script;
    uint32_t threads;
    double seconds;
    pthread_barrier_t barrier;
    _Atomic bool is_over;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    struct run *run = worker->run;
    worker->lane = lane_attach(keyspace);
    if (worker->lane == NULL) fail("no lane is left");
    size_t at = (size_t)worker->number * (SCRIPT / run->threads) / CHUNK * CHUNK;
    pthread_barrier_wait(&run->barrier);
    double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    while (!atomic_load_explicit(&run->is_over, memory_order_relaxed)) {
        run->chunk(worker, run->script + at);
        worker->done += CHUNK;
        at = (at + CHUNK) % SCRIPT;
    }
    worker->wall = seconds_of(CLOCK_MONOTONIC) - wall;
    worker->cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    lane_detach(worker->lane);
    return NULL;
}

/* Millions of operations a second: by the clock, and by CPU time. */
struct speed {
    double wall, cpu;
};

static struct speed run_once(enum strategy strategy, uint32_t threads, enum distribution distribution,
                             size_t share) {
    struct run run = {.chunk = strategies[strategy].run,
                      .script = script_of(distribution, share),
                      .threads = threads,
                      .seconds = options.seconds};
    struct worker workers[THREADS_MOST] = {{.number = 0}};
    struct owners *owners = NULL;
    if (strategy == OWNER && (owners = owner_open(keyspace, threads)) == NULL) fail("can't start owners");
    pthread_barrier_init(&run.barrier, NULL, threads + 1);
    for (uint32_t i = 0; i < threads; i++) {
        workers[i].run = &run;
        workers[i].number = i;
        workers[i].owners = owners;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) fail("can't start a thread");
    }
    pthread_barrier_wait(&run.barrier);
    struct timespec pause = {(time_t)run.seconds, (long)((run.seconds - (double)(time_t)run.seconds) * 1e9)};
    nanosleep(&pause, NULL); /* the length of the measurement */
    atomic_store(&run.is_over, true);
    struct speed speed = {0, 0};
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        speed.wall += (double)workers[i].done / workers[i].wall / 1e6;
        speed.cpu += (double)workers[i].done / workers[i].cpu / 1e6;
    }
    pthread_barrier_destroy(&run.barrier);
    if (owners != NULL) owner_close(owners);
    return speed;
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static struct speed median_of(const struct speed *speeds, size_t count) {
    double walls[ROUNDS_MOST], cpus[ROUNDS_MOST];
    for (size_t i = 0; i < count; i++) {
        walls[i] = speeds[i].wall;
        cpus[i] = speeds[i].cpu;
    }
    qsort(walls, count, sizeof *walls, compare_doubles);
    qsort(cpus, count, sizeof *cpus, compare_doubles);
    return (struct speed){(walls[(count - 1) / 2] + walls[count / 2]) / 2,
                          (cpus[(count - 1) / 2] + cpus[count / 2]) / 2};
}

static void load_keys(void) {
    struct lane *lane = lane_attach(keyspace);
    if (lane == NULL) fail("no lane is left");
    for (uint32_t index = 0; index < options.keys; index++) {
        struct name name = name_of(index);
        struct key key = keyspace_key(keyspace, 0, (const char *)&name, sizeof name);
        char value[VALUE_BYTES];
        value_make(value, index);
        engine_set(lane, index);
        if (!yardstick_set(&yardstick, &key, value, sizeof value)) fail("out of memory");
    }
    lane_detach(lane);
}

/* ------------------------------------------------------------------ the bars */

struct contender {
    const char *name;
    enum strategy strategy;
    uint32_t threads;
    enum distribution distribution;
    unsigned share;
};
enum {
    YARDSTICK_ONE,
    ALONE_ONE,
    SINGLE_ONE,
    SINGLE_TWO,
    BATCH_ONE,
    BATCH_TWO,
    HOT_ONE,
    HOT_TWO,
    HOT_SHARED_ONE,
    HOT_SHARED_TWO,
    HOT_YARDSTICK_ONE,
    HOT_YARDSTICK_TWO,
    CONTENDERS
};
static const struct contender contenders[CONTENDERS] = {
    [YARDSTICK_ONE] = {"yardstick, 1 thread", YARDSTICK, 1, UNIFORM, 90},
    [ALONE_ONE] = {"one call, no visit, 1 thread", OPTIMISTIC, 1, UNIFORM, 90},
    [SINGLE_ONE] = {"one call at a time, 1 thread", VISIT, 1, UNIFORM, 90},
    [SINGLE_TWO] = {"one call at a time, 2 threads", VISIT, 2, UNIFORM, 90},
    [BATCH_ONE] = {"batch of 32, 1 thread", BATCHED, 1, UNIFORM, 90},
    [BATCH_TWO] = {"batch of 32, 2 threads", BATCHED, 2, UNIFORM, 90},
    [HOT_ONE] = {"one key, reads only, 1 thread", OPTIMISTIC, 1, ONE_KEY, 100},
    [HOT_TWO] = {"one key, reads only, 2 threads", OPTIMISTIC, 2, ONE_KEY, 100},
    [HOT_SHARED_ONE] = {"the same with the lock, 1 thread", RWLOCK, 1, ONE_KEY, 100},
    [HOT_SHARED_TWO] = {"the same with the lock, 2 threads", RWLOCK, 2, ONE_KEY, 100},
    [HOT_YARDSTICK_ONE] = {"the same in the yardstick, 1 thread", YARDSTICK, 1, ONE_KEY, 100},
    [HOT_YARDSTICK_TWO] = {"the same in the yardstick, 2 threads", YARDSTICK, 2, ONE_KEY, 100},
};

/* least 0: nothing is asked of it but to be below most. */
struct bar {
    const char *name;
    int of, over;
    double least, most;
};
static const struct bar bars[] = {
    {"one call at a time against the yardstick", SINGLE_ONE, YARDSTICK_ONE, 1.3, 0},
    {"the same, each entering the gate by itself", ALONE_ONE, YARDSTICK_ONE, 1.3, 0},
    {"batch of 32 against the yardstick", BATCH_ONE, YARDSTICK_ONE, 2.5, 0},
    {"two threads against one, one call at a time", SINGLE_TWO, SINGLE_ONE, 1.8, 0},
    {"two threads against one, batch of 32", BATCH_TWO, BATCH_ONE, 1.8, 0},
    {"one key, reads only: two threads against one", HOT_TWO, HOT_ONE, 1.8, 0},
    {"the same, readers take the lock shared", HOT_SHARED_TWO, HOT_SHARED_ONE, 0, 1},
    {"the same, pthread_rwlock_t of the yardstick", HOT_YARDSTICK_TWO, HOT_YARDSTICK_ONE, 0, 1},
};
#define BARS (sizeof bars / sizeof bars[0])

static size_t share_index(unsigned share) {
    for (size_t i = 0; i < SHARES; i++)
        if (shares[i] == share) return i;
    return 0;
}

/* Both threads of a pair must have a core: then a ratio by the clock is one of the engine. */
static bool bars_measure(FILE *json) {
    static struct speed speeds[CONTENDERS][ROUNDS_MOST];
    struct speed medians[CONTENDERS];
    for (uint32_t round = 0; round < options.bar_rounds; round++)
        for (int i = 0; i < CONTENDERS; i++) {
            const struct contender *contender = &contenders[i];
            speeds[i][round] = run_once(contender->strategy, contender->threads, contender->distribution,
                                        share_index(contender->share));
        }
    printf("\n%u keys, %u shards, medians of %u rounds, million operations a second\n\n%-40s %10s "
           "%10s\n",
           options.keys, keyspace_shard_count(keyspace), options.bar_rounds, "", "by clock", "by CPU");
    fprintf(json, "  \"medians\": {");
    for (int i = 0; i < CONTENDERS; i++) {
        medians[i] = median_of(speeds[i], options.bar_rounds);
        printf("%-40s %10.2f %10.2f\n", contenders[i].name, medians[i].wall, medians[i].cpu);
        fprintf(json, "%s\n    \"%s\": {\"mops\": %.4f, \"mops_by_cpu\": %.4f}", i > 0 ? "," : "",
                contenders[i].name, medians[i].wall, medians[i].cpu);
    }
    fprintf(json, "\n  },\n  \"bars\": [");
    printf("\n%-46s %9s %7s %7s\n", "bar", "asked", "clock", "CPU");
    bool is_met = true;
    for (size_t i = 0; i < BARS; i++) {
        const struct bar *bar = &bars[i];
        double clock = medians[bar->of].wall / medians[bar->over].wall,
               cpu = medians[bar->of].cpu / medians[bar->over].cpu;
        bool is_reached = bar->least > 0 ? clock >= bar->least : clock < bar->most;
        is_met = is_met && is_reached;
        printf("%-46s %s %5.2fx %6.2fx %6.2fx  %s\n", bar->name, bar->least > 0 ? ">=" : " <",
               bar->least > 0 ? bar->least : bar->most, clock, cpu, is_reached ? "met" : "MISSED");
        fprintf(json,
                "%s\n    {\"bar\": \"%s\", \"asked\": %.2f, \"at_least\": %s, \"ratio\": %.4f, "
                "\"ratio_by_cpu\": %.4f, \"met\": %s}",
                i > 0 ? "," : "", bar->name, bar->least > 0 ? bar->least : bar->most,
                bar->least > 0 ? "true" : "false", clock, cpu, is_reached ? "true" : "false");
    }
    fprintf(json, "\n  ]");
    return is_met;
}

/* ------------------------------------------------------------------ the matrix */

/* 1, 2, 4 ... up to twice the cores. */
static size_t thread_counts(uint32_t *counts) {
    long most = sysconf(_SC_NPROCESSORS_ONLN) * 2;
    size_t count = 0;
    for (uint32_t threads = 1; threads <= (uint32_t)most && threads <= THREADS_MOST; threads *= 2)
        counts[count++] = threads;
    return count;
}

/* One table: a distribution and a share of reads; a row per strategy, a column per number of threads. */
static void table_measure(enum distribution distribution, size_t share, FILE *json, FILE *data,
                          bool *is_first) {
    static struct speed speeds[STRATEGIES][8][ROUNDS_MOST];
    uint32_t counts[8];
    size_t columns = thread_counts(counts);
    for (uint32_t round = 0; round < options.rounds; round++)
        for (size_t column = 0; column < columns; column++)
            for (int strategy = 0; strategy < STRATEGIES; strategy++)
                speeds[strategy][column][round] =
                    run_once((enum strategy)strategy, counts[column], distribution, share);
    printf("\n%s, %u %% reads%*s", distribution_names[distribution], shares[share], 1, "");
    for (size_t column = 0; column < columns; column++) printf("%8u thr", counts[column]);
    printf("     scaling\n");
    for (int strategy = 0; strategy < STRATEGIES; strategy++) {
        struct speed first = median_of(speeds[strategy][0], options.rounds);
        double best = first.wall;
        printf("  %-18s    ", strategies[strategy].name);
        for (size_t column = 0; column < columns; column++) {
            struct speed speed = median_of(speeds[strategy][column], options.rounds);
            printf("%12.2f", speed.wall);
            if (speed.wall > best) best = speed.wall;
            fprintf(json,
                    "%s\n    {\"distribution\": \"%s\", \"reads\": %u, \"strategy\": \"%s\", "
                    "\"threads\": %u, \"mops\": %.4f, "
                    "\"mops_by_cpu\": %.4f}",
                    *is_first ? "" : ",", distribution_names[distribution], shares[share],
                    strategies[strategy].name, counts[column], speed.wall, speed.cpu);
            *is_first = false;
            fprintf(data, "%d %u %d %u %.4f\n", distribution, shares[share], strategy, counts[column],
                    speed.wall);
        }
        printf("%11.2fx\n", best / first.wall);
    }
    fflush(stdout);
}

/* A panel per table, a line per strategy. */
static void plot_draw(const char *terminal, const char *ending) {
    FILE *plot = popen("gnuplot 2>/dev/null", "w");
    if (plot == NULL) return;
    fprintf(plot, "set terminal %s\nset output '%s/engine.%s'\n", terminal, options.output, ending);
    fprintf(plot,
            "set multiplot layout %d,%zu margins 0.03,0.99,0.13,0.91 spacing 0.03,0.08 title 'Million "
            "operations a second by threads: %u keys of 16 bytes, values of 64'\n"
            "set logscale x 2\nset xtics 2\nset yrange [0:*]\nset grid ytics lc rgb '#dddddd'\nset "
            "key off\nset border 3\nset tics nomirror\n",
            DISTRIBUTIONS, SHARES, options.keys);
    for (int distribution = 0; distribution < DISTRIBUTIONS; distribution++)
        for (size_t share = 0; share < SHARES; share++) {
            if (distribution == 0 && share == 0)
                fprintf(plot, "set key at screen 0.5,0.015 center bottom horizontal samplen 1.5\n");
            fprintf(plot, "set title '%s, %u %% reads'\nplot ", distribution_names[distribution],
                    shares[share]);
            for (int strategy = 0; strategy < STRATEGIES; strategy++)
                fprintf(plot,
                        "%s'%s/engine.dat' using 4:($1==%d && $2==%u && $3==%d ? $5 : NaN) with "
                        "linespoints lw 2 pt 7 ps 0.5 title '%s'",
                        strategy > 0 ? ", " : "", options.output, distribution, shares[share], strategy,
                        strategies[strategy].name);
            fprintf(plot, "\nset key off\n");
        }
    fprintf(plot, "unset multiplot\n");
    if (pclose(plot) != 0) printf("no %s: gnuplot is not installed, or failed\n", ending);
}

static void matrix_measure(FILE *json) {
    char path[512];
    snprintf(path, sizeof path, "%s/engine.dat", options.output);
    FILE *data = fopen(path, "w");
    if (data == NULL) fail("can't write engine.dat");
    fprintf(data, "# distribution, share of reads, strategy, threads, million operations a second\n");
    bool is_first = true;
    printf("million operations a second, medians of %u rounds; scaling: the best over one thread\n",
           options.rounds);
    fprintf(json, ",\n  \"matrix\": [");
    for (int distribution = 0; distribution < DISTRIBUTIONS; distribution++)
        for (size_t share = 0; share < SHARES; share++)
            table_measure((enum distribution)distribution, share, json, data, &is_first);
    fprintf(json, "\n  ]");
    fclose(data);
    plot_draw("svg size 1400,900 font 'DejaVu Sans,11'", "svg");
    plot_draw("pngcairo size 1400,900 font 'DejaVu Sans,9'", "png");
}

/* ------------------------------------------------------------------ one alone */

static enum strategy strategy_named(const char *name) {
    for (int strategy = 0; strategy < STRATEGIES; strategy++)
        if (strcmp(strategies[strategy].name, name) == 0) return (enum strategy)strategy;
    fail("there is no strategy of that name");
}

static void profile(void) {
    static struct speed speeds[STRATEGIES][ROUNDS_MOST];
    enum strategy profiled[STRATEGIES];
    int count = 0;
    for (char *name = strtok(options.profiled, ","); name != NULL && count < STRATEGIES;
         name = strtok(NULL, ","))
        profiled[count++] = strategy_named(name);
    for (uint32_t round = 0; round < options.rounds; round++)
        for (int i = 0; i < count; i++)
            speeds[i][round] = run_once(profiled[i], options.threads, options.is_hot ? ONE_KEY : UNIFORM,
                                        share_index(options.share));
    double first = median_of(speeds[0], options.rounds).wall;
    for (int i = 0; i < count; i++) {
        struct speed speed = median_of(speeds[i], options.rounds);
        printf("%-12s %6.2f million operations a second by the clock, %6.2f by CPU time, %.2fx\n",
               strategies[profiled[i]].name, speed.wall, speed.cpu, speed.wall / first);
    }
    exit(0);
}

/* ------------------------------------------------------------------ options */

static void options_read(int argc, char **argv) {
    static const struct option known[] = {
        {"quick", no_argument, NULL, 'q'},        {"bars", no_argument, NULL, 'b'},
        {"keys", required_argument, NULL, 'k'},   {"shards", required_argument, NULL, 's'},
        {"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 't'},
        {"output", required_argument, NULL, 'o'}, {"profile", required_argument, NULL, 'p'},
        {"hot", no_argument, NULL, 'h'},          {"threads", required_argument, NULL, 'n'},
        {"share", required_argument, NULL, 'w'},  {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (option) {
        case 'q':
            options.rounds = 1;
            options.seconds = 0.05;
            break;
        case 'b': options.only_bars = true; break;
        case 'k': options.keys = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 's': options.shards = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'r': options.rounds = options.bar_rounds = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 't': options.seconds = strtod(optarg, NULL); break;
        case 'o': options.output = optarg; break;
        case 'p': options.profiled = optarg; break;
        case 'h':
            options.is_hot = true;
            options.share = 100;
            break;
        case 'w': options.share = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'n': options.threads = (uint32_t)strtoul(optarg, NULL, 10); break;
        default: exit(2);
        }
    bool is_sound = options.keys > 0 && options.keys < IS_WRITE && options.rounds > 0 &&
                    options.rounds <= ROUNDS_MOST && options.seconds > 0 && options.threads > 0 &&
                    options.threads <= THREADS_MOST;
    if (!is_sound) fail("--keys, --rounds (up to 99) and --seconds are positive numbers");
}

int main(int argc, char **argv) {
    options_read(argc, argv);
    keyspace = keyspace_open(&(struct keyspace_options){.shards = options.shards});
    if (keyspace == NULL || !yardstick_open(&yardstick, keyspace_shard_count(keyspace)))
        fail("can't open a keyspace with that many shards (a power of two)");
    load_keys();
    if (options.profiled != NULL) profile();
    char path[512];
    mkdir("build", 0777);
    mkdir(options.output, 0777);
    snprintf(path, sizeof path, "%s/engine.json", options.output);
    FILE *json = fopen(path, "w");
    if (json == NULL) fail("can't write to the output folder");
    fprintf(json,
            "{\n  \"keys\": %u, \"shards\": %u, \"rounds\": %u, \"bar_rounds\": %u, \"seconds\": "
            "%.3f,\n",
            options.keys, keyspace_shard_count(keyspace), options.rounds, options.bar_rounds,
            options.seconds);
    bool is_met = bars_measure(json);
    if (!options.only_bars) matrix_measure(json);
    fprintf(json, "\n}\n");
    fclose(json);
    yardstick_close(&yardstick);
    keyspace_close(keyspace);
    return is_met ? 0 : 1;
}
