#include "ghosts.h"

#include "../base/memory.h"

#define STAMP_BITS 5
#define STAMP_MASK ((1u << STAMP_BITS) - 1)
#define STAMP_SHIFT 4

static uint16_t slot_read(const _Atomic uint16_t *slot) {
    return atomic_load_explicit(slot, memory_order_relaxed);
}

static void slot_write(_Atomic uint16_t *slot, uint16_t ghost) {
    atomic_store_explicit(slot, ghost, memory_order_relaxed);
}

/* Where two old buckets share a new one, the newer half of each is kept. */
static void take_over(struct ghosts *ghosts, const struct ghosts *before) {
    for (uint64_t i = 0; i < ghosts->buckets; i++) {
        uint64_t first = i * before->buckets / ghosts->buckets;
        uint64_t last = ((i + 1) * before->buckets - 1) / ghosts->buckets;
        uint32_t each = GHOST_BUCKET /
                        (uint32_t)(last - first + 1 < GHOST_BUCKET ? last - first + 1 : GHOST_BUCKET),
                 at = 0;
        for (uint64_t source = first; source <= last && at + each <= GHOST_BUCKET; source++)
            for (uint32_t j = 0; j < each; j++)
                slot_write(&ghosts->slots[i * GHOST_BUCKET + at++],
                           slot_read(&before->slots[source * GHOST_BUCKET + j]));
    }
}

struct ghosts *ghosts_create(uint64_t count, const struct ghosts *before) {
    uint64_t buckets = count / GHOST_BUCKET + 1;
    struct ghosts *ghosts = memory_lines(sizeof *ghosts + buckets * GHOST_BUCKET * sizeof(uint16_t));
    if (ghosts == NULL) return NULL;
    ghosts->buckets = buckets;
    if (before != NULL) take_over(ghosts, before);
    return ghosts;
}

static uint64_t first_slot(const struct ghosts *ghosts, uint64_t hash) {
    return (uint64_t)((unsigned __int128)hash * ghosts->buckets >> 64) * GHOST_BUCKET;
}

static _Atomic uint16_t *bucket_of(struct ghosts *ghosts, uint64_t hash, uint32_t *tag) {
    *tag = (uint32_t)(hash & 0x7FF);
    if (*tag == 0) *tag = 1; /* so that an empty slot is nobody's */
    return &ghosts->slots[first_slot(ghosts, hash)];
}

void ghosts_prefetch(const struct ghosts *ghosts, uint64_t hash) {
    __builtin_prefetch(&ghosts->slots[first_slot(ghosts, hash)], 1);
}

void ghosts_add(struct ghosts *ghosts, uint64_t hash, uint32_t tick) {
    uint32_t tag;
    _Atomic uint16_t *bucket = bucket_of(ghosts, hash, &tag);
    uint16_t ghost = (uint16_t)(tag << STAMP_BITS | (tick >> STAMP_SHIFT & STAMP_MASK));
    for (uint32_t i = 0; i < GHOST_BUCKET; i++) {
        uint16_t present = slot_read(&bucket[i]);
        slot_write(&bucket[i], ghost);
        ghost = present;
        if (ghost == 0) return;
    }
}

bool ghosts_take(struct ghosts *ghosts, uint64_t hash, uint32_t tick, uint32_t *age) {
    uint32_t tag, at = 0;
    _Atomic uint16_t *bucket = bucket_of(ghosts, hash, &tag);
    while (at < GHOST_BUCKET && slot_read(&bucket[at]) >> STAMP_BITS != tag) at++;
    if (at == GHOST_BUCKET) return false;
    *age = (((tick >> STAMP_SHIFT) - slot_read(&bucket[at])) & STAMP_MASK) << STAMP_SHIFT;
    for (; at + 1 < GHOST_BUCKET; at++) slot_write(&bucket[at], slot_read(&bucket[at + 1]));
    slot_write(&bucket[at], 0);
    return true;
}
