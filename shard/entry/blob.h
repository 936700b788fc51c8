/* A string value apart from its entry: bytes with a count of references, immutable while there is more than
 * one, so that a reply can be sent from the value itself while the key is already gone or holds something
 * else. Network input above this size is received straight into one.
 *
 *     +------------+--------+-------- - - - --------+------+
 *     | references | length | data ...              | 1 B  |
 *     +------------+--------+-------- - - - --------+------+
 *
 * The spare byte lets a parser see the byte behind. */
#ifndef SHARD_ENTRY_BLOB_H
#define SHARD_ENTRY_BLOB_H

#include <stdatomic.h>
#include <stddef.h>

/* Strings of more bytes than this are blobs. */
#define BLOB_LEAST 16384

struct blob {
    _Atomic size_t references;
    size_t length;
    char data[];
};

/* One reference, bytes uninitialised, length + 1 of them. NULL when out of memory. */
struct blob *blob_create(size_t length);
/* Makes room for more bytes in a blob that nobody else refers to yet; those it has stay. NULL when out of
 * memory: then it is as it was. */
struct blob *blob_grow(struct blob *blob, size_t length);
void blob_retain(struct blob *blob);
/* Any thread, no lock needed. The last one frees. The argument is void * so that it serves as a release
 * callback. */
void blob_release(void *blob);
/* What the allocator gave for it. */
size_t blob_bytes(const struct blob *blob);

#endif
