/* What the files of this room share; nobody else includes it. */
#ifndef SHARD_EVICT_INSIDE_H
#define SHARD_EVICT_INSIDE_H

#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "eviction.h"

/* The small part's share of the bytes, in percent. */
#define SMALL_SHARE 15
/* Which entries may be let go, as the policy wants it. */
enum candidates { CANDIDATES_ALL, CANDIDATES_VOLATILE, CANDIDATES_SMALL, CANDIDATES_MAIN };
#define CANDIDATES_COUNT (CANDIDATES_MAIN + 1)

/* entry is used while candidates are being collected, hash from then on. */
struct candidate {
    const struct entry *entry;
    uint64_t hash;
    uint32_t database;
    float score;
};

/* The entries that are next in line, of one kind. */
#define LINE_MOST 8
struct line {
    struct candidate candidates[LINE_MOST]; /* the best last */
    uint32_t count;
};

/* What a lane needs to find the entries that have to go: its thread's. */
struct evictor {
    _Alignas(64) struct line lines[CANDIDATES_COUNT];
    uint32_t drawn_database; /* that the last victims were drawn from */
    uint32_t sweep;          /* where it looks next for somebody to let go, when chance finds nobody */
    uint32_t renewed, renewing_epoch;
    /* when the next round over all entries begins, by usage_now; the present one's place: */
    int64_t aging_next;
    uint64_t aging_place;
    uint32_t aging_shard, aging_database;
};

static inline struct evictor *evictor_of(const struct lane *lane) {
    return &lane->keyspace->evictors[lane->number];
}

static inline enum eviction_policy eviction_policy_of(const struct keyspace *keyspace) {
    return (enum eviction_policy)atomic_load_explicit(&keyspace->policy, memory_order_relaxed);
}
static inline bool policy_is_volatile(enum eviction_policy policy) {
    return policy >= EVICTION_VOLATILE_LRU;
}

/* policy.c. Whether an entry is of that kind, and its score: the higher, the sooner it goes. */
bool is_candidate(enum candidates which, const struct entry *entry);
float score_of(const struct lane *lane, const struct entry *entry, int64_t now);
/* The kind that the next one to go is of, for so many bytes to come. */
enum candidates candidates_now(const struct lane *lane, size_t incoming);

/* draw.c. */
#define RUN_MOST 64
struct drawing {
    struct lane *lane;
    enum candidates which;
    int64_t now;
    struct line *line;
    uint32_t database; /* that the last run was in */
    uint32_t seen;     /* slots, but for a volatile policy only of entries that expire */
    uint32_t collected;
    const struct entry *entries[RUN_MOST];
};

/* For table_visit: adds a slot's entry to what was collected, if it is of the kind that is looked for. */
void collect(void *context, slot *at);
/* Fills an empty line. The entries were there a moment ago, and can't be freed while the lane is inside. */
void draw_candidates(struct lane *lane, enum candidates which, int64_t now);

/* let_go.c. Lets keys go until `excess` bytes have gone, but not more than so many. Returns false if there
 * are none left, now or when others are done with their shards. */
bool evict(struct lane *lane, int64_t excess, size_t incoming, size_t most, int64_t now);
/* room.c. What is above the limit because that was lowered, or because the process itself needs more. True if
 * there is no more to do. */
bool evict_excess(struct lane *lane, int64_t now);

#endif
