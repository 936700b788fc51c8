#include "process.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "shard/base/memory.h"
#include "shard/base/pages.h"
#include "clock.h"

#if defined(USE_SANITIZER)
#include <sanitizer/allocator_interface.h>
#elif !defined(USE_JEMALLOC)
#include <malloc.h>
#endif

#define STRINGIFY_(text) #text
#define STRINGIFY(text) STRINGIFY_(text)

/* Memory that threads keep at hand counts against maxmemory only if it is more than they usually do. */
#define CACHED_MOST ((uint64_t)256 * 1024)
/* Workers that share an arena: what they meet at is a lock for each size, once for many allocations. */
#define ARENA_WORKERS 4

static char run_id[41];
static char allocator[64];
static int64_t started;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex. */
static uint64_t peak, at_start;

#ifdef USE_JEMALLOC
/* jemalloc reads this when it starts (https://jemalloc.net/jemalloc.3.html#tuning); MALLOC_CONF in the
 * environment goes over it.
 *
 * Its default of an arena for each thread leaves holes: keys that one worker lets go were allocated by any of
 * them, so that each arena's pages empty while the others' fill, and resident memory grows for as long as
 * there is churn. So several workers share an arena (process_worker_begins). tcache_max: threads keep freed
 * memory at hand up to this size. An allocation fills the stock with ten or more of its kind, which for
 *     large ones is memory that nobody has asked for; and a server of large values can afford an arena's
 *         lock.
 * dirty_decay_ms: pages that are free go back to the kernel within about so long, when many keys have lapsed
 * or were deleted; much
 *     shorter, and pages that are soon used again would come and go.
 * slab_sizes: pages to a slab of the sizes that are powers of two. Theirs is a page by default, which for
 * values of 512 bytes means 128
 *     bytes of the allocator's own for every eight of them.
 * The threads that see to this in the background are started by process_init: at jemalloc's own start they
 * would not survive `daemonize`. */
extern const char *malloc_conf;
const char *malloc_conf =
    "tcache_max:2048,dirty_decay_ms:2000,muzzy_decay_ms:0,"
    "slab_sizes:64-64:4|128-128:2|256-256:2|512-512:8|1024-1024:2|2048-2048:4|4096-4096:8|8192-8192:8";
#endif

void process_init(void) {
    unsigned char bytes[20];
    started = clock_monotonic_ms();
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(run_id + 2 * i, 3, "%02x", bytes[i]);
#ifdef USE_JEMALLOC
    const char *version = "";
    size_t size = sizeof version;
    mallctl("version", &version, &size, NULL, 0);
    bool is_on = true;
    mallctl("background_thread", NULL, NULL, &is_on, sizeof is_on);
    snprintf(allocator, sizeof allocator, "jemalloc-%.*s", (int)strcspn(version, "-"), version);
#else
    snprintf(allocator, sizeof allocator, "libc");
#endif
}

void process_worker_begins(uint32_t number) {
#ifdef USE_JEMALLOC
    unsigned arena = number / ARENA_WORKERS;
    mallctl("thread.arena", NULL, NULL, &arena,
            sizeof arena); /* if there is none of that number, the thread keeps its own */
#else
    (void)number;
#endif
}

int64_t process_uptime_seconds(void) {
    return (clock_monotonic_ms() - started) / 1000;
}

const char *process_run_id(void) {
    return run_id;
}

/* The last 16 digits change; 0: they are still the run's. */
static _Atomic uint64_t replication_digits;

void process_replication_id(char out[PROCESS_ID_BYTES]) {
    uint64_t digits = atomic_load_explicit(&replication_digits, memory_order_relaxed);
    memcpy(out, run_id, PROCESS_ID_BYTES);
    if (digits != 0) snprintf(out + PROCESS_ID_BYTES - 17, 17, "%016llx", (unsigned long long)digits);
}

void process_replication_id_change(void) {
    uint64_t digits;
    if (getrandom(&digits, sizeof digits, 0) != sizeof digits) digits = (uint64_t)clock_cycles();
    atomic_store_explicit(&replication_digits, digits | 1, memory_order_relaxed);
}

const char *process_allocator(void) {
    return allocator;
}

const char *process_compiler(void) {
    return __VERSION__;
}

void process_executable(char *out, size_t size) {
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    out[length < 0 ? 0 : length] = '\0';
}

void process_human_bytes(char *out, size_t size, uint64_t bytes) {
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(out, size, "%lluB", (unsigned long long)bytes);
    else
        snprintf(out, size, "%.2f%c", value, units[unit]);
}

static uint64_t resident_bytes(void) {
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2) resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void read_memory(struct process_memory *memory) {
#ifdef USE_JEMALLOC
    uint64_t epoch = 1;
    size_t allocated = 0, active = 0, resident = 0, cached = 0, size = sizeof epoch;
    mallctl("epoch", &epoch, &size, &epoch, sizeof epoch);
    size = sizeof allocated;
    mallctl("stats.allocated", &allocated, &size, NULL, 0);
    mallctl("stats.active", &active, &size, NULL, 0);
    mallctl("stats.resident", &resident, &size, NULL, 0);
    mallctl("stats.arenas." STRINGIFY(MALLCTL_ARENAS_ALL) ".tcache_bytes", &cached, &size, NULL, 0);
    memory->allocated = allocated;
    memory->used = cached < allocated ? allocated - cached : allocated;
    memory->active = active;
    memory->allocator_resident = resident;
#elif defined(USE_SANITIZER)
    /* Its own allocator is at work, and mallinfo2 looks at one that was never set up. */
    memory->used = memory->allocated = memory->active = __sanitizer_get_current_allocated_bytes();
    memory->allocator_resident = resident_bytes();
#else
    struct mallinfo2 info = mallinfo2();
    memory->used = memory->allocated = info.uordblks + info.hblkhd;
    memory->active = memory->allocator_resident = info.arena + info.hblkhd;
#endif
    uint64_t mapped = pages_mapped();
    memory->used += mapped;
    memory->allocated += mapped;
    memory->active += mapped;
    memory->allocator_resident += mapped;
}

void process_memory(struct process_memory *memory) {
    read_memory(memory);
    memory->resident = resident_bytes();
    memory->system = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_lock(&mutex);
    if (memory->used > peak) peak = memory->used;
    memory->peak = peak;
    memory->at_start = at_start;
    pthread_mutex_unlock(&mutex);
}

uint64_t process_memory_limited(void) {
    struct process_memory memory = {0};
    read_memory(&memory);
    uint64_t cached = memory.allocated - memory.used;
    return memory.used + (cached > CACHED_MOST ? cached - CACHED_MOST : 0);
}

/* A limit that a file holds: a number, or "max". INT64_MAX if there is none. */
static int64_t read_limit(const char *path) {
    long long limit = INT64_MAX;
    FILE *file = fopen(path, "r");
    if (file == NULL) return INT64_MAX;
    if (fscanf(file, "%lld", &limit) != 1 || limit <= 0) limit = INT64_MAX;
    fclose(file);
    return limit;
}

/* The group's own limit and those of the groups above it: "0::/a/b" (version 2), "N:memory:/a/b" (version
 * 1). */
static int64_t group_limit(char *line) {
    const char *root = strncmp(line, "0::", 3) == 0       ? "/sys/fs/cgroup"
                       : strstr(line, ":memory:") != NULL ? "/sys/fs/cgroup/memory"
                                                          : NULL;
    const char *name = line[0] == '0' ? "memory.max" : "memory.limit_in_bytes";
    char *group = strrchr(line, ':'), path[PATH_MAX];
    int64_t least = INT64_MAX;
    if (root == NULL || group == NULL) return least;
    group++;
    for (char *end = group + strcspn(group, "\n"); end >= group; end--) {
        if (*end != '/' && *end != '\n' && *end != '\0') continue;
        *end = '\0';
        snprintf(path, sizeof path, "%s%s/%s", root, group, name);
        int64_t limit = read_limit(path);
        if (limit < least) least = limit;
    }
    return least;
}

int64_t process_memory_available(void) {
    int64_t available = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    char line[PATH_MAX];
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (file == NULL) return available;
    while (fgets(line, sizeof line, file) != NULL) {
        int64_t limit = group_limit(line);
        if (limit < available) available = limit;
    }
    fclose(file);
    return available;
}

void process_peak_reset(void) {
    pthread_mutex_lock(&mutex);
    peak = 0;
    pthread_mutex_unlock(&mutex);
}

void process_is_ready(void) {
    struct process_memory memory;
    read_memory(&memory);
    pthread_mutex_lock(&mutex);
    at_start = memory.used;
    pthread_mutex_unlock(&mutex);
}

static _Atomic int64_t beside, loose;

void process_memory_beside(int64_t *fixed, int64_t *holes) {
    *fixed = atomic_load_explicit(&beside, memory_order_relaxed);
    *holes = atomic_load_explicit(&loose, memory_order_relaxed);
}

static void note_beside(const struct process_memory *memory) {
    int64_t resident = (int64_t)resident_bytes(), kept = (int64_t)memory->allocator_resident,
            handed_out = (int64_t)memory->allocated;
    atomic_store_explicit(&beside, resident > kept ? resident - kept : 0, memory_order_relaxed);
    atomic_store_explicit(&loose, kept > handed_out ? kept - handed_out : 0, memory_order_relaxed);
}

void process_tick(void) {
    struct process_memory memory;
    read_memory(&memory);
    note_beside(&memory);
    pthread_mutex_lock(&mutex);
    if (memory.used > peak) peak = memory.used;
    pthread_mutex_unlock(&mutex);
}
