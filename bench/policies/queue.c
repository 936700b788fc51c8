/* Policies of one queue: FIFO; LRU, where a hit moves an object to the front; CLOCK, where the hand spares an
 * object that was hit since it last passed; SIEVE (Zhang et al., NSDI '24), where what is spared stays in its
 * place. And LFU, which has a queue for each count.
 *
 * SIEVE's hand, once it has come up to the newest object, goes on from there only if that was hit before the
 * next miss. Where nothing is asked for twice in a row it stays, lets go each new object at once, and keeps
 * the old ones: it then does what LFU does, hence the same figures. */
#include "links.h"

enum kind { FIFO, LRU, CLOCK, SIEVE };

struct queue {
    const struct setting *setting;
    struct links links;
    bool *is_resident, *was_hit;
    uint64_t used;
    uint32_t hand; /* SIEVE's */
    enum kind kind;
};

static void *queue_open(const struct setting *setting, enum kind kind) {
    struct queue *queue = memory_take(1, sizeof *queue);
    queue->setting = setting;
    queue->links = links_open(setting->objects, 1);
    queue->is_resident = memory_take(setting->objects, sizeof(bool));
    queue->was_hit = memory_take(setting->objects, sizeof(bool));
    queue->hand = LINKS_NONE;
    queue->kind = kind;
    return queue;
}

static void queue_close(void *state) {
    struct queue *queue = state;
    links_close(&queue->links);
    free(queue->is_resident);
    free(queue->was_hit);
    free(queue);
}

static uint32_t sieve_victim(struct queue *queue) {
    uint32_t hand = queue->hand;
    for (;; hand = links_newer(&queue->links, hand)) {
        if (hand == LINKS_NONE) hand = links_last(&queue->links, 0);
        if (!queue->was_hit[hand]) break;
        queue->was_hit[hand] = false;
    }
    queue->hand = links_newer(&queue->links, hand);
    return hand;
}

static uint32_t clock_victim(struct queue *queue) {
    for (;;) {
        uint32_t last = links_last(&queue->links, 0);
        if (!queue->was_hit[last]) return last;
        queue->was_hit[last] = false;
        links_move(&queue->links, 0, last);
    }
}

static uint32_t queue_victim(struct queue *queue) {
    if (queue->kind == SIEVE) return sieve_victim(queue);
    if (queue->kind == CLOCK) return clock_victim(queue);
    return links_last(&queue->links, 0);
}

static bool queue_request(void *state, uint32_t object) {
    struct queue *queue = state;
    const uint32_t *weights = queue->setting->weights;
    if (queue->is_resident[object]) {
        queue->was_hit[object] = true;
        if (queue->kind == LRU) links_move(&queue->links, 0, object);
        return true;
    }
    if (weights[object] > queue->setting->capacity) return false;
    while (queue->used + weights[object] > queue->setting->capacity) {
        uint32_t victim = queue_victim(queue);
        links_remove(&queue->links, victim);
        queue->is_resident[victim] = false;
        queue->used -= weights[victim];
    }
    links_push(&queue->links, 0, object);
    queue->is_resident[object] = true;
    queue->was_hit[object] = false;
    queue->used += weights[object];
    return false;
}

static void *fifo_open(const struct setting *setting) {
    return queue_open(setting, FIFO);
}
static void *lru_open(const struct setting *setting) {
    return queue_open(setting, LRU);
}
static void *clock_open(const struct setting *setting) {
    return queue_open(setting, CLOCK);
}
static void *sieve_open(const struct setting *setting) {
    return queue_open(setting, SIEVE);
}

const struct policy policy_fifo = {"fifo", fifo_open, queue_request, queue_close};
const struct policy policy_lru = {"lru", lru_open, queue_request, queue_close};
const struct policy policy_clock = {"clock", clock_open, queue_request, queue_close};
const struct policy policy_sieve = {"sieve", sieve_open, queue_request, queue_close};

/* Exact LFU among what is resident; of equals the least recently used goes. */
#define COUNTS 65536

struct lfu {
    const struct setting *setting;
    struct links links;
    uint32_t *counts; /* 0: absent */
    uint32_t least;   /* no resident object has a smaller one */
    uint64_t used;
};

static void *lfu_open(const struct setting *setting) {
    struct lfu *lfu = memory_take(1, sizeof *lfu);
    lfu->setting = setting;
    lfu->links = links_open(setting->objects, COUNTS);
    lfu->counts = memory_take(setting->objects, sizeof(uint32_t));
    return lfu;
}

static void lfu_close(void *state) {
    struct lfu *lfu = state;
    links_close(&lfu->links);
    free(lfu->counts);
    free(lfu);
}

static bool lfu_request(void *state, uint32_t object) {
    struct lfu *lfu = state;
    const uint32_t *weights = lfu->setting->weights;
    uint32_t *counts = lfu->counts;
    if (counts[object] > 0) {
        if (counts[object] < COUNTS - 1) counts[object]++;
        links_move(&lfu->links, counts[object], object);
        return true;
    }
    if (weights[object] > lfu->setting->capacity) return false;
    while (lfu->used + weights[object] > lfu->setting->capacity) {
        uint32_t victim = links_last(&lfu->links, lfu->least);
        if (victim == LINKS_NONE) {
            lfu->least++;
            continue;
        }
        links_remove(&lfu->links, victim);
        counts[victim] = 0;
        lfu->used -= weights[victim];
    }
    counts[object] = lfu->least = 1;
    links_push(&lfu->links, 1, object);
    lfu->used += weights[object];
    return false;
}

const struct policy policy_lfu = {"lfu", lfu_open, lfu_request, lfu_close};
