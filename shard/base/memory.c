#include "memory.h"

#include <string.h>

void *memory_lines(size_t size) {
#ifdef USE_JEMALLOC
    return mallocx(size, MALLOCX_ALIGN(64) | MALLOCX_ZERO);
#else
    void *lines = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (lines != NULL) memset(lines, 0, size);
    return lines;
#endif
}
