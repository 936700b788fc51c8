/* The process as INFO and MEMORY tell of it: identity, and memory as the allocator and the kernel see it. Any
 * thread. */
#ifndef SERVER_BASE_PROCESS_H
#define SERVER_BASE_PROCESS_H

#include <stddef.h>
#include <stdint.h>

void process_init(void);                     /* at start, before threads */
void process_worker_begins(uint32_t number); /* on its thread, first: where it allocates */
int64_t process_uptime_seconds(void);
const char *process_run_id(void); /* 40 hexadecimal digits, drawn at start */
/* As long, and drawn anew by the second of them. Any thread. */
#define PROCESS_ID_BYTES 41
void process_replication_id(char out[PROCESS_ID_BYTES]);
void process_replication_id_change(void);
const char *process_allocator(void); /* "jemalloc-5.3.0" */
const char *process_compiler(void);
void process_executable(char *out, size_t size);
/* "1.50M" */
void process_human_bytes(char *out, size_t size, uint64_t bytes);

struct process_memory {
    uint64_t used;      /* handed out by the allocator, and not just kept at hand by its threads' caches */
    uint64_t allocated; /* with what these keep */
    uint64_t active;    /* pages that hold it */
    uint64_t allocator_resident; /* pages the allocator keeps */
    uint64_t resident;           /* of the process */
    uint64_t peak;               /* of `used`, as far as it was looked at: ten times a second */
    uint64_t at_start;           /* `used` when the server was ready */
    uint64_t system;             /* the machine's */
};
void process_memory(struct process_memory *memory);
void process_peak_reset(void);

/* What the process may have at most: the machine's memory, or what its control group is granted if that is
 * less. */
int64_t process_memory_available(void);
/* What counts against maxmemory: what the allocator has handed out, now. */
uint64_t process_memory_limited(void);

/* What the process has in physical memory beside that, as of the last tick: program, stacks and what loops
 * have mapped, which grow with the threads; and what the allocator keeps without having handed it out. */
void process_memory_beside(int64_t *fixed, int64_t *holes);

/* Looks at memory: by one thread, about ten times a second. */
void process_tick(void);
/* The server is ready: what it uses now is what an empty one needs. */
void process_is_ready(void);

#endif
