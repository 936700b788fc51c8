#include "lane.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "../state/shard.h"
#include "../value/value.h"

#define INSIDE UINT64_C(1)
#define WATCHED UINT64_C(2)
#define OBSERVING UINT64_C(4)
#define EPOCH_SHIFT 3
/* The epoch of who looks at nothing but what it has locked. */
#define EPOCH_NEVER (UINT64_MAX >> EPOCH_SHIFT)

/* How long a closer waits for the others to leave before it parks: most batches are shorter. */
#define GATE_SPINS 2000

/* Homes of flushed tables freed per call of lane_reclaim: about a tenth of a millisecond, since a busy worker
 * calls it every turn. */
#define BURY_SLICE 128
/* Allocations of discarded values freed per call: as long. Where many values wait, as many more as they soon
 * are gone: a turn's worth of small ones must not outlast the turn, and a millisecond's worth is the most. */
#define DISCARD_SLICE 512
#define DISCARD_EACH 16
#define DISCARD_SLICE_MOST 8192

/* What the lane has been given back in frees beyond what it will soon need goes to the others. */
static void give_back(struct lane *lane, int64_t kept) {
    atomic_store_explicit(&lane->drawn, atomic_load_explicit(&lane->spent, memory_order_relaxed) + kept,
                          memory_order_release);
}

struct lane *lane_attach(struct keyspace *keyspace) {
    struct lane *lane = NULL;
    mutex_lock(&keyspace->lanes_mutex);
    for (uint32_t i = 0; i < keyspace->lane_count && lane == NULL; i++)
        if (!keyspace->lanes[i].is_attached) lane = &keyspace->lanes[i];
    if (lane != NULL) {
        lane->is_attached = true;
        if (lane->number >= atomic_load(&keyspace->lanes_used))
            atomic_store(&keyspace->lanes_used, lane->number + 1);
    }
    mutex_unlock(&keyspace->lanes_mutex);
    return lane;
}

void lane_detach(struct lane *lane) {
    struct keyspace *keyspace = lane->keyspace;
    assert(!lane_is_inside(lane));
    while (lane_reclaim(lane) || lane->retired_count > 0 || lane->flushed != NULL)
        sched_yield(); /* others leave the gate at their batch's end */
    give_back(lane, 0);
    while (lane->spare_count > 0) free(lane->spares[--lane->spare_count]);
    free(lane->discarded);
    lane->discarded = NULL;
    lane->discarded_capacity = 0;
    free(lane->retired);
    lane->retired = NULL;
    lane->retired_capacity = lane->retired_first = 0;
    mutex_lock(&keyspace->lanes_mutex);
    lane->is_attached = false; /* its counters stay, and go on with the seat */
    mutex_unlock(&keyspace->lanes_mutex);
}

uint64_t lane_hash(const struct lane *lane, const void *data, size_t length) {
    return hash_bytes(&lane->keyspace->secret, data, length);
}

/* ------------------------------------------------------------------ the gate */

/* So many bells are remembered while the gate's mutex is held. */
#define BELLS_MOST 32

static uint32_t gate_wake_some(struct gate *gate, struct bell *bells[BELLS_MOST]) {
    uint32_t count = 0;
    mutex_lock(&gate->mutex);
    while (gate->first != NULL && count < BELLS_MOST) {
        struct waiter *waiter = gate->first;
        gate->first = waiter->next;
        if (gate->first != NULL)
            gate->first->previous = NULL;
        else
            gate->last = NULL;
        waiter->place = NULL;
        bells[count] = waiter->wake(waiter);
        if (bells[count] != NULL) count++;
    }
    mutex_unlock(&gate->mutex);
    return count;
}

static __attribute__((noinline, cold)) void gate_wake_all(struct gate *gate) {
    struct bell *bells[BELLS_MOST];
    uint32_t count;
    do {
        count = gate_wake_some(gate, bells);
        for (uint32_t i = 0; i < count; i++) bells[i]->ring(bells[i]);
    } while (count == BELLS_MOST);
}

/* Counted before the lane looks who holds still, and until it needs the gate no more. */
static void gate_want(struct lane *lane) {
    if (!lane->wants_gate) atomic_fetch_add(&lane->keyspace->gate.wanted, 1);
    lane->wants_gate = true;
}

static void gate_want_no_more(struct lane *lane) {
    if (lane->wants_gate) atomic_fetch_sub(&lane->keyspace->gate.wanted, 1);
    lane->wants_gate = false;
}

bool gate_is_wanted(const struct lane *lane) {
    return atomic_load(&lane->keyspace->gate.wanted) != 0;
}

static void gate_enqueue(struct gate *gate, struct waiter *waiter) REQUIRES(&gate->mutex) {
    assert(waiter->place == NULL);
    waiter->place = gate;
    waiter->next = NULL;
    waiter->previous = gate->last;
    if (gate->last != NULL)
        gate->last->next = waiter;
    else
        gate->first = waiter;
    gate->last = waiter;
}

void gate_unpark(struct lane *lane, struct waiter *waiter) {
    struct gate *gate = &lane->keyspace->gate;
    mutex_lock(&gate->mutex);
    if (waiter->place == gate) {
        if (waiter->previous != NULL)
            waiter->previous->next = waiter->next;
        else
            gate->first = waiter->next;
        if (waiter->next != NULL)
            waiter->next->previous = waiter->previous;
        else
            gate->last = waiter->previous;
        waiter->place = NULL;
    }
    mutex_unlock(&gate->mutex);
}

/* The store of the word and the load of `closed`, and the closer's store and load the other way round, are
 * sequentially consistent: at least one of the two sees the other. */
inline bool lane_enter(struct lane *lane) {
    assert(!lane_is_inside(lane));
    struct keyspace *keyspace = lane->keyspace;
    uint64_t epoch = atomic_load_explicit(&keyspace->epoch, memory_order_acquire);
    atomic_exchange(&lane->word, epoch << EPOCH_SHIFT | INSIDE);
    if (atomic_load(&keyspace->gate.closed) == 0) return true;
    lane_leave(lane);
    return false;
}

inline void lane_leave(struct lane *lane) {
    assert(lane->scopes == 0 && "a scope ends before its thread leaves the gate");
    lane->voidings++;
    uint64_t word = atomic_exchange(&lane->word, 0);
    if ((word & WATCHED) != 0) gate_wake_all(&lane->keyspace->gate);
}

void lane_observe(struct lane *lane) {
    assert(atomic_load(&lane->word) == 0);
    atomic_exchange(&lane->word, atomic_load_explicit(&lane->keyspace->epoch, memory_order_acquire)
                                         << EPOCH_SHIFT |
                                     OBSERVING);
}

void lane_hold_still(struct lane *lane) {
    lane->voidings++;
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&lane->word, &word,
                                         EPOCH_NEVER << EPOCH_SHIFT | (word & WATCHED) | INSIDE))
        continue;
}

/* By read-modify-write, like entering: who reads this word after unlinking something is then seen to have
 * unlinked it. */
void lane_refresh(struct lane *lane) {
    assert(lane_is_inside(lane) && lane->scopes == 0);
    lane->voidings++;
    uint64_t epoch = atomic_load_explicit(&lane->keyspace->epoch, memory_order_acquire);
    uint64_t word = atomic_load_explicit(&lane->word, memory_order_relaxed);
    while (
        word >> EPOCH_SHIFT != epoch &&
        !atomic_compare_exchange_weak(&lane->word, &word, epoch << EPOCH_SHIFT | (word & (WATCHED | INSIDE))))
        continue;
}

bool gate_park(struct lane *lane, struct waiter *waiter) {
    struct gate *gate = &lane->keyspace->gate;
    mutex_lock(&gate->mutex);
    bool is_closed = atomic_load(&gate->closed) != 0;
    if (is_closed) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_closed;
}

bool gate_park_unwanted(struct lane *lane, struct waiter *waiter) {
    struct gate *gate = &lane->keyspace->gate;
    mutex_lock(&gate->mutex);
    bool is_wanted = atomic_load(&gate->wanted) != 0;
    if (is_wanted) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_wanted;
}

/* Anybody inside who has begun something long? */
static struct lane *lane_holding_still(struct keyspace *keyspace) {
#ifdef PLANT_CLOSED_GATE
    (void)keyspace;
    return NULL;
#endif
    uint32_t used = atomic_load(&keyspace->lanes_used);
    for (uint32_t i = 0; i < used; i++)
        if (atomic_load(&keyspace->lanes[i].word) >> EPOCH_SHIFT == EPOCH_NEVER) return &keyspace->lanes[i];
    return NULL;
}

/* Anybody inside after a short wait? */
static struct lane *lane_still_inside(struct keyspace *keyspace) {
    uint32_t used = atomic_load(&keyspace->lanes_used);
    int spins = 0;
    for (uint32_t i = 0; i < used; i++)
        while ((atomic_load(&keyspace->lanes[i].word) & INSIDE) != 0)
            if (++spins > GATE_SPINS) return &keyspace->lanes[i];
    return NULL;
}

/* Parks until that lane leaves; false if it just did. */
static bool gate_watch(struct gate *gate, struct lane *inside, struct waiter *waiter) {
    mutex_lock(&gate->mutex);
    uint64_t word = atomic_load(&inside->word);
    bool is_watched = false;
    while ((word & INSIDE) != 0 && !is_watched)
        is_watched = atomic_compare_exchange_weak(&inside->word, &word, word | WATCHED);
    if (is_watched) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_watched;
}

static void gate_let_in(struct gate *gate) {
    atomic_store(&gate->closed, 0);
    gate_wake_all(gate);
}

bool gate_try_close(struct lane *lane, bool insists, struct waiter *waiter, bool *is_parked) {
    struct keyspace *keyspace = lane->keyspace;
    struct gate *gate = &keyspace->gate;
    uint32_t mine = lane->number + 1, present = 0;
    assert(!lane_is_inside(lane));
    *is_parked = false;
    gate_want(lane);
    struct lane *still = lane_holding_still(keyspace);
    if (still != NULL && !gate_is_kept(lane)) { /* nobody is let in in vain, nor woken */
        *is_parked = gate_watch(gate, still, waiter);
        return false;
    }
    if (!atomic_compare_exchange_strong(&gate->closed, &present, mine) && present != mine) {
        *is_parked = gate_park(lane, waiter);
        return false;
    }
    struct lane *inside = lane_still_inside(keyspace);
    if (inside == NULL) {
        counter_add(&lane->gate_closings, 1);
        return true;
    }
    still = lane_holding_still(keyspace);
    /* In this order, so that the opening doesn't wake the waiter itself. */
    if (!insists || still != NULL) gate_let_in(gate);
    *is_parked = gate_watch(gate, still != NULL ? still : inside, waiter);
    return false;
}

void gate_open(struct lane *lane) {
    assert(gate_is_kept(lane));
    gate_want_no_more(lane);
    gate_let_in(&lane->keyspace->gate);
}

bool gate_is_kept(const struct lane *lane) {
    return atomic_load(&lane->keyspace->gate.closed) == lane->number + 1;
}

void gate_enter_closed(struct lane *lane) {
    assert(gate_is_kept(lane) && !lane_is_inside(lane));
    atomic_exchange(&lane->word, atomic_load(&lane->keyspace->epoch) << EPOCH_SHIFT | INSIDE);
}

bool gate_is_closed(const struct lane *lane) {
    return atomic_load_explicit(&lane->keyspace->gate.closed, memory_order_relaxed) != 0;
}

void gate_abandon(struct lane *lane) {
    struct gate *gate = &lane->keyspace->gate;
    if (!lane->wants_gate) return;
    gate_want_no_more(lane);
    if (gate_is_kept(lane))
        gate_let_in(gate);
    else
        gate_wake_all(gate);
}

/* ------------------------------------------------------------------ deferred freeing */

static void retired_free(struct retired *retired) {
    if (retired->release != NULL)
        retired->release(retired->memory);
    else
        free(retired->memory);
}

#define RING_LEAST 256

static bool retired_grow(struct lane *lane) {
    size_t capacity = lane->retired_capacity == 0 ? RING_LEAST : lane->retired_capacity * 2;
    struct retired *ring = malloc(capacity * sizeof *ring);
    if (ring == NULL) return false;
    for (size_t i = 0; i < lane->retired_count; i++)
        ring[i] = lane->retired[(lane->retired_first + i) & (lane->retired_capacity - 1)];
    free(lane->retired);
    lane->retired = ring;
    lane->retired_capacity = capacity;
    lane->retired_first = 0;
    return true;
}

void lane_retire(struct lane *lane, void *memory, size_t bytes, void (*release)(void *memory)) {
    if (memory == NULL) return;
#ifdef PLANT_EARLY_FREE
    retired_free(&(struct retired){memory, release, 0, bytes});
    return;
#endif
    /* Out of memory for the list of what to free: the memory is lost rather than freed under a reader. */
    if (lane->retired_count == lane->retired_capacity && !retired_grow(lane)) return;
    size_t at = (lane->retired_first + lane->retired_count++) & (lane->retired_capacity - 1);
    lane->retired[at] = (struct retired){memory, release, 0, bytes};
    lane->ring_bytes += bytes;
    lane_charge(lane, (int64_t)bytes);
    counter_add(&lane->retired_bytes, bytes);
    counter_add(&lane->retired_objects, 1);
}

static bool discarded_grow(struct lane *lane) {
    size_t capacity = lane->discarded_capacity == 0 ? 64 : lane->discarded_capacity * 2;
    struct discarded *stack = realloc(lane->discarded, capacity * sizeof *stack);
    if (stack == NULL) return false;
    lane->discarded = stack;
    lane->discarded_capacity = capacity;
    return true;
}

void lane_discard(struct lane *lane, const struct value_kind *kind, void *value) {
    if (lane->discarded_count == lane->discarded_capacity && !discarded_grow(lane)) {
        value_free(kind, value); /* late, but not lost */
        return;
    }
    struct discarded discarded = {kind, value, kind->count(value), kind->bytes(value)};
    lane->discarded[lane->discarded_count++] = discarded;
    lane->discarded_bytes += discarded.bytes;
    counter_add(&lane->retired_bytes, discarded.bytes);
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
        if (!last->kind->free_some(last->value, slice)) continue;
        lane->discarded_bytes -= last->bytes;
        counter_subtract(&lane->retired_bytes, last->bytes);
        lane_charge(lane, -(int64_t)last->bytes);
        counter_subtract(&lane->retired_objects, last->count);
        counter_add(&lane->freed_objects, last->count);
        lane->discarded_count--;
    }
}

/* The least epoch that anybody inside entered at. By read-modify-write: see the header. */
static uint64_t epoch_in_use(struct keyspace *keyspace) {
    uint64_t least = EPOCH_NEVER;
    uint32_t used = atomic_load(&keyspace->lanes_used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_fetch_add(&keyspace->lanes[i].word, 0);
        if (word != 0 && word >> EPOCH_SHIFT < least) least = word >> EPOCH_SHIFT;
    }
    return least;
}

bool lanes_have_entered_since(struct keyspace *keyspace, uint64_t epoch) {
    return epoch_in_use(keyspace) > epoch;
}

/* A slice of the oldest flushed table. */
static void bury_some(struct lane *lane) {
    struct table *grave = lane->graves, *next = grave->next_grave;
    uint64_t bytes = counter_read(&grave->bytes) + counter_read(&grave->array_bytes),
             keys = counter_read(&grave->keys);
    bool is_gone = table_bury(grave, lane, BURY_SLICE);
    uint64_t bytes_left = is_gone ? 0 : counter_read(&grave->bytes) + counter_read(&grave->array_bytes);
    uint64_t keys_left = is_gone ? 0 : counter_read(&grave->keys);
    if (is_gone) lane->graves = next;
    counter_subtract(&lane->retired_bytes, bytes - bytes_left);
    counter_subtract(&lane->retired_objects, keys - keys_left);
    counter_add(&lane->freed_objects, keys - keys_left);
    lane_charge(lane, -(int64_t)(bytes - bytes_left));
}

void lane_trim(struct lane *lane) {
    if (lane->retired_count > 0 || lane->retired_capacity <= RING_LEAST) return;
    free(lane->retired);
    lane->retired = NULL;
    lane->retired_capacity = 0;
}

/* Nobody finds the tables any more; when who has found them before is gone, too, what is in them can be
 * freed. */
static void bury_flushed(struct lane *lane) {
    if (!lane->is_flushed_sealed) lane->flushed_epoch = atomic_fetch_add(&lane->keyspace->epoch, 1);
    lane->is_flushed_sealed = true;
    if (epoch_in_use(lane->keyspace) <= lane->flushed_epoch) return;
    struct table **end = &lane->graves;
    while (*end != NULL) end = &(*end)->next_grave;
    *end = lane->flushed;
    lane->flushed = NULL;
}

bool lane_has_surplus(const struct lane *lane) {
    return lane_credit(lane) >
           2 * atomic_load_explicit(&lane->keyspace->eviction.chunk, memory_order_relaxed);
}

bool lane_reclaim(struct lane *lane) {
    struct keyspace *keyspace = lane->keyspace;
    assert(!lane_is_inside(lane));
    if (lane->retired_count > 0) {
        /* Sealing: what was retired since the last call gets the present epoch, and whoever enters from here
         * on a later one. One read-modify-write for all of it, after all of it was unlinked: an epoch read at
         * retirement could be a stale one. */
        if (lane->retired_sealed < lane->retired_count) {
            uint64_t epoch = atomic_fetch_add(&keyspace->epoch, 1);
            for (; lane->retired_sealed < lane->retired_count; lane->retired_sealed++)
                lane->retired[(lane->retired_first + lane->retired_sealed) & (lane->retired_capacity - 1)]
                    .epoch = epoch;
        }
        uint64_t in_use = epoch_in_use(keyspace);
        while (lane->retired_count > 0 && lane->retired[lane->retired_first].epoch < in_use) {
            struct retired retired = lane->retired[lane->retired_first];
            lane->retired_first = (lane->retired_first + 1) & (lane->retired_capacity - 1);
            lane->retired_count--;
            lane->retired_sealed--;
            lane->ring_bytes -= retired.bytes;
            retired_free(&retired);
            lane_charge(
                lane,
                -(int64_t)retired
                     /* after it, so that nobody takes what is on no account for what the process needs */
                     .bytes);
            counter_subtract(&lane->retired_bytes, retired.bytes);
            counter_subtract(&lane->retired_objects, 1);
            counter_add(&lane->freed_objects, 1);
        }
    }
    free_discarded(lane);
    if (lane->flushed != NULL) bury_flushed(lane);
    if (lane->graves != NULL) bury_some(lane);
    if (lane_has_surplus(lane))
        give_back(lane, atomic_load_explicit(&keyspace->eviction.chunk, memory_order_relaxed));
    return lane->graves != NULL || lane->discarded_count > 0;
}
