#include "blob.h"

#include "../base/memory.h"

struct blob *blob_create(size_t length) {
    if (length > SIZE_MAX / 2) return NULL;
    struct blob *blob = malloc(sizeof *blob + length + 1);
    if (blob == NULL) return NULL;
    atomic_init(&blob->references, 1);
    blob->length = length;
    return blob;
}

struct blob *blob_grow(struct blob *blob, size_t length) {
    if (length > SIZE_MAX / 2) return NULL;
    struct blob *grown = realloc(blob, sizeof *blob + length + 1);
    if (grown != NULL) grown->length = length;
    return grown;
}

void blob_retain(struct blob *blob) {
    atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
}

void blob_release(void *memory) {
    struct blob *blob = memory;
    /* The last one must see what the others did with the bytes before it frees them. */
    if (atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) == 1) free(blob);
}

size_t blob_bytes(const struct blob *blob) {
    return memory_size(blob);
}
