/* Memory that is large and soon gone: a request of a million arguments, the keys in it, what it deletes.
 *
 * From PAGES_LEAST bytes on it is a mapping of its own in place of the allocator's: growing moves its pages
 * and no byte of what is in them, so that no single step takes long, and where the kernel has huge pages a
 * fault brings two megabytes rather than four kilobytes. Below that it is the allocator's.
 *
 * Its owner remembers how large it is. (Under a sanitizer, which is to see each byte's end, all of it is the
 * allocator's.) */
#ifndef SHARD_BASE_PAGES_H
#define SHARD_BASE_PAGES_H

#include <stddef.h>
#include <stdint.h>

#define PAGES_LEAST ((size_t)2 * 1024 * 1024)

/* As realloc, of `memory` of that size (NULL and 0: there is none yet) to `wanted` bytes, at least 1. NULL
 * when out of memory: then it is as it was. */
void *pages_resize(void *memory, size_t size, size_t wanted);
/* Of the size that it was given last. Below PAGES_LEAST that is free(). NULL is fine. */
void pages_free(void *memory, size_t size);

/* Bytes that are mapped now, which the allocator knows nothing of. Any thread. */
uint64_t pages_mapped(void);

#endif
