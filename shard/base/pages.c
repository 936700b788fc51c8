#include "pages.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic uint64_t mapped;

uint64_t pages_mapped(void) {
    return atomic_load_explicit(&mapped, memory_order_relaxed);
}

#ifdef USE_SANITIZER

void *pages_resize(void *memory, size_t size, size_t wanted) {
    (void)size;
    return realloc(memory, wanted);
}

void pages_free(void *memory, size_t size) {
    (void)size;
    free(memory);
}

#else

/* Whole huge pages: the kernel puts a mapping of so many where they fit, and moves them as they are. */
static size_t bytes_of(size_t size) {
    return (size + PAGES_LEAST - 1) & ~(PAGES_LEAST - 1);
}

static void *pages_new(size_t size) {
    size_t bytes = bytes_of(size);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* without them it is slower, and no more */
    atomic_fetch_add_explicit(&mapped, bytes, memory_order_relaxed);
    return memory;
}

static void *pages_move(void *memory, size_t size, size_t wanted) {
    size_t before = bytes_of(size), bytes = bytes_of(wanted);
    if (bytes == before) return memory;
    void *moved = mremap(memory, before, bytes, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return NULL;
    atomic_fetch_add_explicit(&mapped, (uint64_t)bytes - before, memory_order_relaxed); /* modulo 2^64 */
    return moved;
}

void *pages_resize(void *memory, size_t size, size_t wanted) {
    if (wanted > SIZE_MAX / 2) return NULL;
    if (size < PAGES_LEAST && wanted < PAGES_LEAST) return realloc(memory, wanted);
    if (size >= PAGES_LEAST && wanted >= PAGES_LEAST) return pages_move(memory, size, wanted);
    void *other = wanted < PAGES_LEAST ? malloc(wanted) : pages_new(wanted);
    if (other == NULL) return NULL;
    if (memory != NULL) memcpy(other, memory, size < wanted ? size : wanted);
    pages_free(memory, size);
    return other;
}

void pages_free(void *memory, size_t size) {
    if (size < PAGES_LEAST) {
        free(memory);
        return;
    }
    if (memory == NULL) return;
    atomic_fetch_sub_explicit(&mapped, bytes_of(size), memory_order_relaxed);
    munmap(memory, bytes_of(size));
}

#endif
