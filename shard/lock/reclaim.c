#include "reclaim.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "gate.h"

/* Allocations of discarded objects freed per call of lane_reclaim: about a tenth of a millisecond, since a
 * busy worker calls it every turn. Where many objects wait, as many more as they soon are gone: a turn's
 * worth of small ones must not outlast the turn, and a millisecond's worth is the most. */
#define DISCARD_SLICE 512
#define DISCARD_EACH 16
#define DISCARD_SLICE_MOST 8192

/* Something unlinked: freed by release, or by free() if that is NULL. */
struct retired {
    void *memory;
    void (*release)(void *memory);
    uint64_t epoch;
    size_t bytes;
};

struct discarded {
    void *object;
    bool (*free_some)(void *object, size_t budget);
    uint64_t count; /* allocations that are known to wait */
    size_t bytes;
};

static void retired_free(struct retired *retired) {
    if (retired->release != NULL)
        retired->release(retired->memory);
    else
        free(retired->memory);
}

/* ------------------------------------------------------------------ the row of what was retired
 *
 *     oldest                     sealed_page                 newest
 *     +-----------------+        +-----------------+         +-----------------+
 *     |  ######SSSSSSSS | -> ... | SSSSSS~~~~~~~~~ | -> ...  | ~~~~~           |
 *     +-----------------+        +-----------------+         +-----------------+
 *       retired_first                   retired_sealed            retired_end
 *
 * S has an epoch, ~ has none yet. It grows by a page at a time, so that nobody who holds a shard has to copy
 * what is there. */

#define PAGE 127
/* More than most commands retire: what is unlinked can't be freed and has to stand somewhere, also where no
 * page is to be had. */
#define RESERVED 2

struct retired_page {
    struct retired_page *next;
    struct retired of[PAGE];
};
_Static_assert(sizeof(struct retired_page) <= 4096, "a page is small enough to be had");

static void page_reserve(struct lane *lane, struct retired_page *page) {
    if (lane->reserved_count == RESERVED) {
        free(page);
        return;
    }
    page->next = lane->reserved;
    lane->reserved = page;
    lane->reserved_count++;
}

static struct retired_page *page_take_reserved(struct lane *lane) {
    struct retired_page *page = lane->reserved;
    if (page == NULL) return NULL;
    lane->reserved = page->next;
    lane->reserved_count--;
    return page;
}

/* Before there is need. */
static void pages_provide(struct lane *lane) {
    struct retired_page *page;
    while (lane->reserved_count < RESERVED && (page = malloc(sizeof *page)) != NULL) page_reserve(lane, page);
}

static bool row_grow(struct lane *lane) {
    struct retired_page *page = malloc(sizeof *page); /* it may fail as long as there is a reserve */
    if (page == NULL) page = page_take_reserved(lane);
    if (page == NULL) return false;
    page->next = NULL;
    if (lane->newest == NULL) {
        lane->oldest = lane->sealed_page = page;
        lane->retired_first = lane->retired_sealed = 0;
    } else {
        lane->newest->next = page;
    }
    lane->newest = page;
    lane->retired_end = 0;
    return true;
}

/* The first page is behind us. */
static void row_shrink(struct lane *lane) {
    struct retired_page *page = lane->oldest;
    assert(page != lane->newest && lane->retired_first == PAGE);
    if (lane->sealed_page == page) {
        lane->sealed_page = page->next;
        lane->retired_sealed = 0;
    }
    lane->oldest = page->next;
    lane->retired_first = 0;
    page_reserve(lane, page);
}

/* All that has none gets that epoch. */
static void row_seal(struct lane *lane, uint64_t epoch) {
    for (;;) {
        size_t end = lane->sealed_page == lane->newest ? lane->retired_end : PAGE;
        while (lane->retired_sealed < end) lane->sealed_page->of[lane->retired_sealed++].epoch = epoch;
        if (lane->sealed_page == lane->newest) return;
        lane->sealed_page = lane->sealed_page->next;
        lane->retired_sealed = 0;
    }
}

static bool row_is_sealed(const struct lane *lane) {
    return lane->sealed_page == lane->newest && lane->retired_sealed == lane->retired_end;
}

void lane_retire(struct lane *lane, void *memory, size_t bytes, void (*release)(void *memory)) {
    if (memory == NULL) return;
#ifdef PLANT_EARLY_FREE
    retired_free(&(struct retired){memory, release, 0, bytes});
    return;
#endif
    lane_charge(lane, (int64_t)bytes);
    /* A single command retires more than the reserve has room for, and there is not a page to be had: the
     * memory is lost, and stays charged, rather than freed under a reader. */
    if ((lane->newest == NULL || lane->retired_end == PAGE) && !row_grow(lane)) return;
    lane->newest->of[lane->retired_end++] = (struct retired){memory, release, 0, bytes};
    lane->retired_count++;
    lane->row_bytes += bytes;
    counter_add(&lane->account->retired_bytes, bytes);
    counter_add(&lane->retired_objects, 1);
}

/* ------------------------------------------------------------------ what was discarded */

static bool discarded_grow(struct lane *lane) {
    size_t capacity = lane->discarded_capacity == 0 ? 64 : lane->discarded_capacity * 2;
    struct discarded *stack = realloc(lane->discarded, capacity * sizeof *stack);
    if (stack == NULL) return false;
    lane->discarded = stack;
    lane->discarded_capacity = capacity;
    return true;
}

void lane_discard(struct lane *lane, void *object, bool (*free_some)(void *object, size_t budget),
                  uint64_t count, size_t bytes) {
    if (lane->discarded_count == lane->discarded_capacity && !discarded_grow(lane)) {
        while (!free_some(object, SIZE_MAX)) continue; /* late, but not lost */
        return;
    }
    struct discarded discarded = {object, free_some, count, bytes};
    lane->discarded[lane->discarded_count++] = discarded;
    lane->discarded_bytes += discarded.bytes;
    counter_add(&lane->account->retired_bytes, discarded.bytes);
    lane_charge(lane, (int64_t)discarded.bytes);
    counter_add(&lane->retired_objects, discarded.count);
}

/* Small ones many at once, of a large one a slice. */
static void free_discarded(struct lane *lane) {
    size_t budget = DISCARD_SLICE + lane->discarded_count * DISCARD_EACH;
    if (budget > DISCARD_SLICE_MOST) budget = DISCARD_SLICE_MOST;
    while (lane->discarded_count > 0 && budget > 0) {
        struct discarded *last = &lane->discarded[lane->discarded_count - 1];
        size_t slice = last->count + 1 < budget ? last->count + 1 : budget;
        budget -= slice;
        if (!last->free_some(last->object, slice)) continue;
        lane->discarded_bytes -= last->bytes;
        counter_subtract(&lane->account->retired_bytes, last->bytes);
        lane_charge(lane, -(int64_t)last->bytes);
        counter_subtract(&lane->retired_objects, last->count);
        counter_add(&lane->freed_objects, last->count);
        lane->discarded_count--;
    }
}

/* The least epoch that anybody inside entered at. By read-modify-write: see the header. */
static uint64_t epoch_in_use(struct gate *gate) {
    uint64_t least = LANE_EPOCH_NEVER;
    uint32_t used = atomic_load(&gate->lanes_used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_fetch_add(&gate->lanes[i].word, 0);
        if (word != 0 && word >> LANE_EPOCH_SHIFT < least) least = word >> LANE_EPOCH_SHIFT;
    }
    return least;
}

bool lanes_have_entered_since(struct gate *gate, uint64_t epoch) {
    return epoch_in_use(gate) > epoch;
}

/* ------------------------------------------------------------------ graves */

void lane_bury(struct lane *lane, struct grave *grave) {
    grave->next = lane->dying;
    lane->dying = grave;
    lane->is_dying_sealed = false;
}

/* When no lane is left that may have found them, they are graves. */
static void seal_dying(struct lane *lane) {
    if (!lane->is_dying_sealed) lane->dying_epoch = atomic_fetch_add(&lane->gate->epoch, 1);
    lane->is_dying_sealed = true;
    if (epoch_in_use(lane->gate) <= lane->dying_epoch) return;
    struct grave **end = &lane->graves;
    while (*end != NULL) end = &(*end)->next;
    *end = lane->dying;
    lane->dying = NULL;
}

static void bury_first(struct lane *lane) {
    struct grave *grave = lane->graves, *next = grave->next;
    if (grave->bury_some(grave, lane)) lane->graves = next;
}

/* ------------------------------------------------------------------ now and then */

static void free_retired(struct lane *lane) {
    struct gate *gate = lane->gate;
    /* Sealing: what was retired since the last call gets the present epoch, and whoever enters from here
     * on a later one. One read-modify-write for all of it, after all of it was unlinked: an epoch read at
     * retirement could be a stale one. */
    if (!row_is_sealed(lane)) row_seal(lane, atomic_fetch_add(&gate->epoch, 1));
    uint64_t in_use = epoch_in_use(gate);
    while (lane->retired_count > 0) {
        if (lane->retired_first == PAGE) row_shrink(lane);
        struct retired retired = lane->oldest->of[lane->retired_first];
        if (retired.epoch >= in_use) return;
        lane->retired_first++;
        lane->retired_count--;
        lane->row_bytes -= retired.bytes;
        retired_free(&retired);
        /* After it, so that nobody takes what is on no account for what the process needs. */
        lane_charge(lane, -(int64_t)retired.bytes);
        counter_subtract(&lane->account->retired_bytes, retired.bytes);
        counter_subtract(&lane->retired_objects, 1);
        counter_add(&lane->freed_objects, 1);
    }
    if (lane->oldest == lane->newest) lane->retired_first = lane->retired_sealed = lane->retired_end = 0;
}

bool lane_reclaim(struct lane *lane) {
    assert(!lane_is_inside(lane));
    if (lane->retired_count > 0) free_retired(lane);
    pages_provide(lane);
    free_discarded(lane);
    if (lane->dying != NULL) seal_dying(lane);
    if (lane->graves != NULL) bury_first(lane);
    if (lane_has_surplus(lane)) account_give_back(lane->budget, lane->account, false);
    return lane->graves != NULL || lane->discarded_count > 0;
}

void lane_give_back(struct lane *lane) {
    account_give_back(lane->budget, lane->account, true);
}

void lane_detach(struct lane *lane) {
    assert(!lane_is_inside(lane));
    while (lane_reclaim(lane) || lane->retired_count > 0 || lane->dying != NULL)
        sched_yield(); /* others leave the gate at their batch's end */
    lane_give_back(lane);
    while (lane->spare_count > 0) free(lane->spares[--lane->spare_count]);
    free(lane->discarded);
    lane->discarded = NULL;
    lane->discarded_capacity = 0;
    while (lane->oldest != NULL && lane->oldest != lane->newest) {
        lane->retired_first = PAGE;
        row_shrink(lane);
    }
    free(lane->newest);
    lane->oldest = lane->newest = lane->sealed_page = NULL;
    while (lane->reserved != NULL) free(page_take_reserved(lane));
    gate_free_seat(lane);
}
