/* S3-FIFO (Yang et al., SOSP '23): a small queue for what is new, a main queue for what was asked for again,
 * and the names of what left the small one. A hit only raises a two-bit counter.
 *
 * With shards, each has its own two queues, but the shares are those of the whole, and the victim is the
 * oldest among the tails of `samples` shards drawn at random: so the policy acts on the whole even where a
 * shard holds three objects.
 *
 *     small=10    share of the small queue in percent      ghost=90     names that are remembered, in
 *                                                          percent of the room
 *     promote=2   hits that lead from small to main        most=3       where the counter stops
 *     samples=8   shards that are looked at                fill=0       1: what is new goes to the main
 *                                                          queue while that is below its share */
#include "links.h"

enum place { NOWHERE, SMALL, MAIN };

struct s3fifo {
    const struct setting *setting;
    struct links links; /* lists 2 x shard and 2 x shard + 1 */
    uint8_t *places, *counts;
    uint64_t *stamps; /* when it entered its queue */
    uint64_t *ghosts; /* ghost_clock when its name was kept, or 0 */
    uint64_t clock, ghost_clock, used, small_used, random, ghost_most;
    uint64_t small_share;
    uint32_t promote, most, samples;
    bool fills;
};

static void *s3fifo_open(const struct setting *setting) {
    struct s3fifo *s3fifo = memory_take(1, sizeof *s3fifo);
    s3fifo->setting = setting;
    s3fifo->links = links_open(setting->objects, 2 * setting->shards);
    s3fifo->places = memory_take(setting->objects, 1);
    s3fifo->counts = memory_take(setting->objects, 1);
    s3fifo->stamps = memory_take(setting->objects, sizeof(uint64_t));
    s3fifo->ghosts = memory_take(setting->objects, sizeof(uint64_t));
    s3fifo->random = setting->seed;
    double capacity = (double)setting->capacity;
    s3fifo->small_share = (uint64_t)(capacity * setting_number(setting, "small", 10) / 100);
    s3fifo->ghost_most = (uint64_t)(capacity * setting_number(setting, "ghost", 90) / 100);
    s3fifo->promote = (uint32_t)setting_number(setting, "promote", 2);
    s3fifo->most = (uint32_t)setting_number(setting, "most", 3);
    s3fifo->samples = (uint32_t)setting_number(setting, "samples", 8);
    s3fifo->ghost_clock = 1;
    s3fifo->fills = setting_number(setting, "fill", 0) > 0;
    return s3fifo;
}

static void s3fifo_close(void *state) {
    struct s3fifo *s3fifo = state;
    links_close(&s3fifo->links);
    free(s3fifo->places);
    free(s3fifo->counts);
    free(s3fifo->stamps);
    free(s3fifo->ghosts);
    free(s3fifo);
}

static void s3fifo_enter(struct s3fifo *s3fifo, uint32_t object, enum place place) {
    uint32_t shard = (uint32_t)object_hash(object) & (s3fifo->setting->shards - 1);
    s3fifo->places[object] = (uint8_t)place;
    s3fifo->counts[object] = 0;
    s3fifo->stamps[object] = s3fifo->clock++;
    links_push(&s3fifo->links, 2 * shard + (place == MAIN), object);
    if (place == SMALL) s3fifo->small_used += s3fifo->setting->weights[object];
}

/* The oldest of the tails that are looked at; as many shards more as it takes to find one. */
static uint32_t s3fifo_tail(struct s3fifo *s3fifo, enum place place) {
    uint32_t shards = s3fifo->setting->shards, oldest = LINKS_NONE;
    for (uint32_t i = 0; i < s3fifo->samples || oldest == LINKS_NONE; i++) {
        uint32_t shard = random_below(&s3fifo->random, shards);
        uint32_t tail = links_last(&s3fifo->links, 2 * shard + (place == MAIN));
        if (tail == LINKS_NONE) continue;
        if (oldest == LINKS_NONE || s3fifo->stamps[tail] < s3fifo->stamps[oldest]) oldest = tail;
    }
    return oldest;
}

static void s3fifo_evict(struct s3fifo *s3fifo, uint64_t incoming) {
    const uint32_t *weights = s3fifo->setting->weights;
    for (;;) {
        uint64_t small = s3fifo->small_used + (s3fifo->fills ? incoming : 0);
        bool is_small =
            (small > s3fifo->small_share && s3fifo->small_used > 0) || s3fifo->small_used == s3fifo->used;
        uint32_t tail = s3fifo_tail(s3fifo, is_small ? SMALL : MAIN);
        links_remove(&s3fifo->links, tail);
        if (is_small) s3fifo->small_used -= weights[tail];
        uint8_t count = s3fifo->counts[tail];
        if (is_small ? count >= s3fifo->promote : count > 0) {
            s3fifo_enter(s3fifo, tail, MAIN);
            if (!is_small) s3fifo->counts[tail] = (uint8_t)(count - 1);
            continue;
        }
        s3fifo->places[tail] = NOWHERE;
        s3fifo->used -= weights[tail];
        if (is_small) s3fifo->ghosts[tail] = s3fifo->ghost_clock += weights[tail];
        return;
    }
}

static bool s3fifo_request(void *state, uint32_t object) {
    struct s3fifo *s3fifo = state;
    uint64_t weight = s3fifo->setting->weights[object], ghost = s3fifo->ghosts[object];
    uint64_t capacity = s3fifo->setting->capacity;
    if (s3fifo->places[object] != NOWHERE) {
        if (s3fifo->counts[object] < s3fifo->most) s3fifo->counts[object]++;
        return true;
    }
    if (weight > capacity) return false;
    bool is_known = ghost > 0 && s3fifo->ghost_clock - ghost <= s3fifo->ghost_most;
    uint64_t main_used = s3fifo->used - s3fifo->small_used;
    bool is_room = s3fifo->fills && main_used + weight <= capacity - s3fifo->small_share;
    enum place place = is_known || is_room ? MAIN : SMALL;
    while (s3fifo->used + weight > capacity) s3fifo_evict(s3fifo, place == SMALL ? weight : 0);
    s3fifo->ghosts[object] = 0;
    s3fifo_enter(s3fifo, object, place);
    s3fifo->used += weight;
    return false;
}

const struct policy policy_s3fifo = {"s3fifo", s3fifo_open, s3fifo_request, s3fifo_close};
