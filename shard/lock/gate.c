#include "gate.h"

#include <assert.h>
#include <stdlib.h>

#include "../base/memory.h"

/* How long a closer waits for the others to leave before it parks: most batches are shorter. */
#define GATE_SPINS 2000

bool gate_init(struct gate *gate, uint32_t lanes) {
    mutex_init(&gate->mutex);
    mutex_init(&gate->seats);
    atomic_init(&gate->epoch, 1);
    gate->lane_count = lanes;
    gate->lanes = memory_lines(lanes * sizeof *gate->lanes);
    if (gate->lanes == NULL) return false;
    for (uint32_t i = 0; i < lanes; i++) {
        gate->lanes[i].gate = gate;
        gate->lanes[i].number = i;
    }
    return true;
}

void gate_destroy(struct gate *gate) {
    for (uint32_t i = 0; gate->lanes != NULL && i < gate->lane_count; i++)
        assert(!gate->lanes[i].is_attached);
    free(gate->lanes);
}

struct lane *gate_take_seat(struct gate *gate) {
    struct lane *lane = NULL;
    mutex_lock(&gate->seats);
    for (uint32_t i = 0; i < gate->lane_count && lane == NULL; i++)
        if (!gate->lanes[i].is_attached) lane = &gate->lanes[i];
    if (lane != NULL) {
        lane->is_attached = true;
        if (lane->number >= atomic_load(&gate->lanes_used)) atomic_store(&gate->lanes_used, lane->number + 1);
    }
    mutex_unlock(&gate->seats);
    return lane;
}

void gate_free_seat(struct lane *lane) {
    mutex_lock(&lane->gate->seats);
    lane->is_attached = false;
    mutex_unlock(&lane->gate->seats);
}

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

__attribute__((noinline, cold)) void gate_wake(struct gate *gate) {
    struct bell *bells[BELLS_MOST];
    uint32_t count;
    do {
        count = gate_wake_some(gate, bells);
        for (uint32_t i = 0; i < count; i++) bells[i]->ring(bells[i]);
    } while (count == BELLS_MOST);
}

/* Counted before the lane looks which others hold still, and until it needs the gate no more. */
static void gate_want(struct lane *lane) {
    if (!lane->wants_gate) atomic_fetch_add(&lane->gate->wanted, 1);
    lane->wants_gate = true;
}

static void gate_want_no_more(struct lane *lane) {
    if (lane->wants_gate) atomic_fetch_sub(&lane->gate->wanted, 1);
    lane->wants_gate = false;
}

bool gate_is_wanted(const struct lane *lane) {
    return atomic_load(&lane->gate->wanted) != 0;
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
    struct gate *gate = lane->gate;
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

bool gate_park(struct lane *lane, struct waiter *waiter) {
    struct gate *gate = lane->gate;
    mutex_lock(&gate->mutex);
    bool is_closed = atomic_load(&gate->closed) != 0;
    if (is_closed) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_closed;
}

bool gate_park_unwanted(struct lane *lane, struct waiter *waiter) {
    struct gate *gate = lane->gate;
    mutex_lock(&gate->mutex);
    bool is_wanted = atomic_load(&gate->wanted) != 0;
    if (is_wanted) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_wanted;
}

/* Is a lane inside that has begun something long? */
static struct lane *lane_holding_still(struct gate *gate) {
#ifdef PLANT_CLOSED_GATE
    (void)gate;
    return NULL;
#endif
    uint32_t used = atomic_load(&gate->lanes_used);
    for (uint32_t i = 0; i < used; i++)
        if (atomic_load(&gate->lanes[i].word) >> LANE_EPOCH_SHIFT == LANE_EPOCH_NEVER) return &gate->lanes[i];
    return NULL;
}

/* Anybody inside after a short wait? */
static struct lane *lane_still_inside(struct gate *gate) {
    uint32_t used = atomic_load(&gate->lanes_used);
    int spins = 0;
    for (uint32_t i = 0; i < used; i++)
        while ((atomic_load(&gate->lanes[i].word) & LANE_INSIDE) != 0)
            if (++spins > GATE_SPINS) return &gate->lanes[i];
    return NULL;
}

/* Parks until that lane leaves; false if it just did. */
static bool gate_watch(struct gate *gate, struct lane *inside, struct waiter *waiter) {
    mutex_lock(&gate->mutex);
    uint64_t word = atomic_load(&inside->word);
    bool is_watched = false;
    while ((word & LANE_INSIDE) != 0 && !is_watched)
        is_watched = atomic_compare_exchange_weak(&inside->word, &word, word | LANE_WATCHED);
    if (is_watched) gate_enqueue(gate, waiter);
    mutex_unlock(&gate->mutex);
    return is_watched;
}

static void gate_let_in(struct gate *gate) {
    atomic_store(&gate->closed, 0);
    gate_wake(gate);
}

bool gate_try_close(struct lane *lane, bool insists, struct waiter *waiter, bool *is_parked) {
    struct gate *gate = lane->gate;
    uint32_t mine = lane->number + 1, present = 0;
    assert(!lane_is_inside(lane));
    *is_parked = false;
    gate_want(lane);
    struct lane *still = lane_holding_still(gate);
    if (still != NULL && !gate_is_kept(lane)) { /* nobody is let in in vain, nor woken */
        *is_parked = gate_watch(gate, still, waiter);
        return false;
    }
    if (!atomic_compare_exchange_strong(&gate->closed, &present, mine) && present != mine) {
        *is_parked = gate_park(lane, waiter);
        return false;
    }
    struct lane *inside = lane_still_inside(gate);
    if (inside == NULL) {
        counter_add(&lane->gate_closings, 1);
        return true;
    }
    still = lane_holding_still(gate);
    /* In this order, so that the opening doesn't wake the waiter itself. */
    if (!insists || still != NULL) gate_let_in(gate);
    *is_parked = gate_watch(gate, still != NULL ? still : inside, waiter);
    return false;
}

void gate_open(struct lane *lane) {
    assert(gate_is_kept(lane));
    gate_want_no_more(lane);
    gate_let_in(lane->gate);
}

bool gate_is_kept(const struct lane *lane) {
    return atomic_load(&lane->gate->closed) == lane->number + 1;
}

void gate_enter_closed(struct lane *lane) {
    assert(gate_is_kept(lane) && !lane_is_inside(lane));
    atomic_exchange(&lane->word, atomic_load(&lane->gate->epoch) << LANE_EPOCH_SHIFT | LANE_INSIDE);
}

bool gate_is_closed(const struct lane *lane) {
    return atomic_load_explicit(&lane->gate->closed, memory_order_relaxed) != 0;
}

void gate_abandon(struct lane *lane) {
    struct gate *gate = lane->gate;
    if (!lane->wants_gate) return;
    gate_want_no_more(lane);
    if (gate_is_kept(lane))
        gate_let_in(gate);
    else
        gate_wake(gate);
}
