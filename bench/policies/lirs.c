/* LIRS (Jiang and Zhang, SIGMETRICS '02): what was asked for again soon (LIR) stays; the rest (HIR) passes
 * through 1 % of the room.
 *
 * The stack S has what was asked for most recently at its front, absent objects too, and always a LIR object
 * at its end. Q has the resident HIR objects. An object may be in both, so each has links of its own. */
#include "links.h"

enum place { NOWHERE, LIR, HIR, GHOST };

struct lirs {
    const struct setting *setting;
    struct links stack, queue;
    uint8_t *places;
    bool *is_stacked;
    uint64_t used, lir_used, lir_most, ghosts, ghosts_most;
};

static void *lirs_open(const struct setting *setting) {
    struct lirs *lirs = memory_take(1, sizeof *lirs);
    lirs->setting = setting;
    lirs->stack =
        links_open(setting->objects, 2); /* list 1: ghosts only, in the order in which they became such */
    lirs->queue = links_open(setting->objects, 2);
    lirs->places = memory_take(setting->objects, 1);
    lirs->is_stacked = memory_take(setting->objects, sizeof(bool));
    double hir = setting_number(setting, "hir", 1) / 100 * (double)setting->capacity;
    lirs->lir_most = setting->capacity - (hir < 1 ? 1 : (uint64_t)hir);
    lirs->ghosts_most = (uint64_t)(setting_number(setting, "ghost", 200) / 100 * (double)setting->capacity);
    return lirs;
}

static void lirs_close(void *state) {
    struct lirs *lirs = state;
    links_close(&lirs->stack);
    links_close(&lirs->queue);
    free(lirs->places);
    free(lirs->is_stacked);
    free(lirs);
}

static void lirs_unstack(struct lirs *lirs, uint32_t object) {
    if (!lirs->is_stacked[object]) return;
    links_remove(&lirs->stack, object);
    lirs->is_stacked[object] = false;
}

/* A ghost is in the queue's second list as well, so that the oldest is found. */
static void lirs_forget(struct lirs *lirs, uint32_t ghost) {
    links_remove(&lirs->queue, ghost);
    lirs->places[ghost] = NOWHERE;
    lirs->ghosts -= lirs->setting->weights[ghost];
}

static void lirs_prune(struct lirs *lirs) {
    for (;;) {
        uint32_t last = links_last(&lirs->stack, 0);
        if (last == LINKS_NONE || lirs->places[last] == LIR) return;
        lirs_unstack(lirs, last);
        if (lirs->places[last] == GHOST) lirs_forget(lirs, last);
    }
}

static void lirs_touch(struct lirs *lirs, uint32_t object) {
    lirs_unstack(lirs, object);
    links_push(&lirs->stack, 0, object);
    lirs->is_stacked[object] = true;
}

/* LIR objects that there is no room for become HIR, from the stack's end. */
static void lirs_demote(struct lirs *lirs) {
    lirs_prune(lirs);
    while (lirs->lir_used > lirs->lir_most) {
        uint32_t last = links_last(&lirs->stack, 0);
        lirs_unstack(lirs, last);
        lirs->places[last] = HIR;
        lirs->lir_used -= lirs->setting->weights[last];
        links_push(&lirs->queue, 0, last);
        lirs_prune(lirs);
    }
}

static void lirs_evict(struct lirs *lirs) {
    uint32_t victim = links_last(&lirs->queue, 0);
    uint32_t weight = lirs->setting->weights[victim == LINKS_NONE ? 0 : victim];
    if (victim == LINKS_NONE) {
        victim = links_last(&lirs->stack, 0);
        weight = lirs->setting->weights[victim];
        lirs_unstack(lirs, victim);
        lirs->places[victim] = NOWHERE;
        lirs->lir_used -= weight;
        lirs->used -= weight;
        lirs_prune(lirs);
        return;
    }
    links_remove(&lirs->queue, victim);
    lirs->places[victim] = NOWHERE;
    lirs->used -= weight;
    if (!lirs->is_stacked[victim]) return;
    lirs->places[victim] = GHOST;
    links_push(&lirs->queue, 1, victim);
    lirs->ghosts += weight;
    while (lirs->ghosts > lirs->ghosts_most) {
        uint32_t ghost = links_last(&lirs->queue, 1);
        lirs_unstack(lirs, ghost);
        lirs_forget(lirs, ghost);
    }
}

static bool lirs_request(void *state, uint32_t object) {
    struct lirs *lirs = state;
    uint64_t weight = lirs->setting->weights[object], capacity = lirs->setting->capacity;
    enum place place = lirs->places[object];
    if (place == LIR) {
        lirs_touch(lirs, object);
        lirs_prune(lirs);
        return true;
    }
    if (place == HIR) {
        bool was_stacked = lirs->is_stacked[object];
        lirs_touch(lirs, object);
        links_remove(&lirs->queue, object);
        if (was_stacked) {
            lirs->places[object] = LIR;
            lirs->lir_used += weight;
            lirs_demote(lirs);
        } else {
            links_push(&lirs->queue, 0, object);
        }
        return true;
    }
    if (weight > capacity) return false;
    while (lirs->used + weight > capacity) lirs_evict(lirs);
    bool was_stacked = lirs->places[object] == GHOST; /* evicting may have forgotten it */
    if (was_stacked) lirs_forget(lirs, object);
    lirs->used += weight;
    lirs_touch(lirs, object);
    if (was_stacked || lirs->lir_used + weight <= lirs->lir_most) {
        lirs->places[object] = LIR;
        lirs->lir_used += weight;
        lirs_demote(lirs);
    } else {
        lirs->places[object] = HIR;
        links_push(&lirs->queue, 0, object);
    }
    return false;
}

const struct policy policy_lirs = {"lirs", lirs_open, lirs_request, lirs_close};
