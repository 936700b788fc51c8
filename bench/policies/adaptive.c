/* ARC (Megiddo and Modha, FAST '03) and 2Q (Johnson and Shasha, VLDB '94, the full version): both remember
 * the names of what they let go. */
#include "links.h"

enum place { NOWHERE, RECENT, FREQUENT, RECENT_GHOST, FREQUENT_GHOST, PLACES };

struct lists {
    const struct setting *setting;
    struct links links;
    uint8_t *places;
    uint64_t weights[PLACES]; /* of each list */
    double target;            /* ARC's p */
    double in, out;           /* 2Q's shares of the capacity: Kin and Kout */
};

static void *lists_open(const struct setting *setting) {
    struct lists *lists = memory_take(1, sizeof *lists);
    lists->setting = setting;
    lists->links = links_open(setting->objects, PLACES);
    lists->places = memory_take(setting->objects, 1);
    lists->in = setting_number(setting, "in", 25) / 100;
    lists->out = setting_number(setting, "out", 50) / 100;
    return lists;
}

static void lists_close(void *state) {
    struct lists *lists = state;
    links_close(&lists->links);
    free(lists->places);
    free(lists);
}

static void lists_place(struct lists *lists, uint32_t object, enum place place) {
    enum place before = lists->places[object];
    if (before != NOWHERE) {
        links_remove(&lists->links, object);
        lists->weights[before] -= lists->setting->weights[object];
    }
    lists->places[object] = (uint8_t)place;
    if (place == NOWHERE) return;
    links_push(&lists->links, place, object);
    lists->weights[place] += lists->setting->weights[object];
}

static void lists_age(struct lists *lists, enum place from, enum place to) {
    uint32_t last = links_last(&lists->links, from);
    if (last != LINKS_NONE) lists_place(lists, last, to);
}

static void arc_make_room(struct lists *lists, uint64_t weight, bool was_frequent) {
    uint64_t *weights = lists->weights;
    while (weights[RECENT] + weights[FREQUENT] + weight > lists->setting->capacity) {
        double recent = (double)weights[RECENT];
        bool takes_recent =
            weights[RECENT] > 0 && (recent > lists->target || (was_frequent && recent >= lists->target));
        if (takes_recent || weights[FREQUENT] == 0)
            lists_age(lists, RECENT, RECENT_GHOST);
        else
            lists_age(lists, FREQUENT, FREQUENT_GHOST);
    }
}

static bool arc_request(void *state, uint32_t object) {
    struct lists *lists = state;
    uint64_t *weights = lists->weights, capacity = lists->setting->capacity,
             weight = lists->setting->weights[object];
    enum place place = lists->places[object];
    if (place == RECENT || place == FREQUENT) {
        lists_place(lists, object, FREQUENT);
        return true;
    }
    if (weight > capacity) return false;
    if (place == RECENT_GHOST || place == FREQUENT_GHOST) {
        double recent = (double)weights[RECENT_GHOST], frequent = (double)weights[FREQUENT_GHOST];
        double ratio = place == RECENT_GHOST ? frequent / recent : recent / frequent;
        double step = (double)weight * (ratio > 1 ? ratio : 1);
        lists->target += place == RECENT_GHOST ? step : -step;
        if (lists->target < 0) lists->target = 0;
        if (lists->target > (double)capacity) lists->target = (double)capacity;
    }
    arc_make_room(lists, weight, place == FREQUENT_GHOST);
    lists_place(lists, object, place == NOWHERE ? RECENT : FREQUENT);
    while (weights[RECENT] + weights[RECENT_GHOST] > capacity && weights[RECENT_GHOST] > 0)
        lists_age(lists, RECENT_GHOST, NOWHERE);
    while (weights[RECENT_GHOST] + weights[FREQUENT_GHOST] > capacity)
        lists_age(lists, weights[FREQUENT_GHOST] > 0 ? FREQUENT_GHOST : RECENT_GHOST, NOWHERE);
    return false;
}

static bool two_queue_request(void *state, uint32_t object) {
    struct lists *lists = state;
    uint64_t *weights = lists->weights, capacity = lists->setting->capacity,
             weight = lists->setting->weights[object];
    enum place place = lists->places[object];
    if (place == RECENT) return true;
    if (place == FREQUENT) {
        lists_place(lists, object, FREQUENT);
        return true;
    }
    if (weight > capacity) return false;
    while (weights[RECENT] + weights[FREQUENT] + weight > capacity) {
        bool takes_recent = (double)weights[RECENT] > lists->in * (double)capacity || weights[FREQUENT] == 0;
        lists_age(lists, takes_recent ? RECENT : FREQUENT, takes_recent ? RECENT_GHOST : NOWHERE);
    }
    lists_place(lists, object, lists->places[object] == RECENT_GHOST ? FREQUENT : RECENT);
    while ((double)weights[RECENT_GHOST] > lists->out * (double)capacity)
        lists_age(lists, RECENT_GHOST, NOWHERE);
    return false;
}

const struct policy policy_arc = {"arc", lists_open, arc_request, lists_close};
const struct policy policy_two_queue = {"2q", lists_open, two_queue_request, lists_close};
