/* Drawing: the entry to go is found by chance. A few shards are drawn, some neighbours are looked at in each,
 * under the shared lock, and the best few of all these stand in line. */
#include <assert.h>

#include "../value/value.h"
#include "inside.h"

/* Entries looked at for each drawing, neighbours looked at in a shard, and shards visited when there are few
 * of the kind. */
#define SAMPLES 128
#define RUN 32
#define TRIES 64
/* Homes visited for a run: at the usual load four or five are enough. */
#define RUN_HOMES 8

/* Databases looked at in a shard for one to draw from. */
#define DATABASES_EACH 16

void collect(void *context, slot *at) {
    struct drawing *drawing = context;
    enum candidates which = drawing->which;
    if (which == CANDIDATES_VOLATILE && !slot_expires(at)) return;
    drawing->seen++;
    if (which >= CANDIDATES_SMALL && slot_is_main(at) != (which == CANDIDATES_MAIN)) return;
    if (drawing->collected == RUN_MOST) return;
    const struct entry *entry = slot_entry(at);
    __builtin_prefetch(entry);
    drawing->entries[drawing->collected++] = entry;
}

/* Keeps the best few, the best last. */
static void offer(struct line *line, const struct entry *entry, uint32_t database, float score) {
    struct candidate *candidates = line->candidates;
    uint32_t at = line->count;
    if (at == LINE_MOST && score <= candidates[0].score) return;
    for (uint32_t i = 0; i < at; i++)
        if (candidates[i].entry == entry) return;
    if (at == LINE_MOST) {
        for (uint32_t i = 1; i < at; i++) candidates[i - 1] = candidates[i];
        at = --line->count;
    }
    for (; at > 0 && candidates[at - 1].score > score; at--) candidates[at] = candidates[at - 1];
    candidates[at] = (struct candidate){.entry = entry, .database = database, .score = score};
    line->count++;
}

static uint64_t keys_of(const struct shard *shard, uint32_t database) REQUIRES_SHARED(&shard->lock) {
    const struct table *table = shard_table(shard, database);
    return table == NULL ? 0 : counter_read(&table->keys);
}

/* One of a few databases, the more keys it has in the shard, the likelier. Returns how many these are; 0:
 * nobody has any. */
static uint64_t weigh_databases(struct lane *lane, const struct shard *shard, uint32_t count)
    REQUIRES_SHARED(&shard->lock) {
    uint64_t keys = 0;
    uint32_t database;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t more = keyspace_used_database(lane->keyspace, i, &database) ? keys_of(shard, database) : 0;
        if (more == 0) continue;
        keys += more;
        if (more == keys || value_random(keys) < more) evictor_of(lane)->drawn_database = database;
    }
    return keys;
}

/* One of many, as likely in the long run: a walk that stays at a database the longer, the more keys that has
 * (Metropolis et al., "Equation of state calculations by fast computing machines", 1953). */
static uint64_t walk_databases(struct lane *lane, const struct shard *shard, uint32_t count)
    REQUIRES_SHARED(&shard->lock) {
    uint64_t keys = keys_of(shard, evictor_of(lane)->drawn_database);
    uint32_t database;
    for (uint32_t i = 0; i < DATABASES_EACH; i++) {
        if (!keyspace_used_database(lane->keyspace, (uint32_t)value_random(count), &database)) continue;
        uint64_t others = keys_of(shard, database);
        if (others == 0 || (others < keys && value_random(keys) >= others)) continue;
        keys = others;
        evictor_of(lane)->drawn_database = database;
    }
    return keys;
}

/* One of a shard's tables, the larger the likelier. NULL if there is none with a key, or none was met. */
static struct table *draw_table(struct lane *lane, const struct shard *shard, uint32_t *database)
    REQUIRES_SHARED(&shard->lock) {
    uint32_t count = atomic_load_explicit(&lane->keyspace->used_database_count, memory_order_acquire);
    uint64_t keys =
        count <= DATABASES_EACH ? weigh_databases(lane, shard, count) : walk_databases(lane, shard, count);
    *database = evictor_of(lane)->drawn_database;
    return keys == 0 ? NULL : shard_table(shard, evictor_of(lane)->drawn_database);
}

/* Some neighbours, from that place on, and each once. */
static void draw_run(struct drawing *drawing, const struct table *table, uint32_t database, uint64_t place) {
    uint32_t seen_before = drawing->seen;
    uint64_t first = place;
    bool is_around = false;
    drawing->collected = 0;
    for (int homes = 0;
         homes < RUN_HOMES && drawing->seen - seen_before < RUN && !(is_around && place >= first); homes++) {
        place = table_visit(table, place, collect, drawing);
        is_around = is_around || place == 0;
    }
    for (uint32_t i = 0; i < drawing->collected; i++) {
        const struct entry *entry = drawing->entries[i];
        assert(is_candidate(drawing->which, entry));
        offer(drawing->line, entry, database, score_of(drawing->lane, entry, drawing->now));
    }
}

/* Where the next run begins: as a hash, random, and so in a random shard. Its home and the next ones are sent
 * for while the present run's entries are looked at. */
static uint64_t draw_next(const struct drawing *drawing) {
    struct fetch fetch;
    uint64_t hash = value_random(UINT64_MAX);
    fetch_home(drawing->lane, hash, drawing->database, &fetch);
    for (int i = 1; i < RUN / BUCKET_SLOTS && fetch.home.bucket != NULL; i++)
        __builtin_prefetch(fetch.home.bucket + i);
    return hash;
}

static void draw_shard(struct drawing *drawing, uint64_t hash) {
    struct lane *lane = drawing->lane;
    struct keyspace *keyspace = lane->keyspace;
    struct shard *shard = keyspace_shard(keyspace, hash);
    if (!rwlock_try_shared(&shard->lock)) return;
    const struct table *table = draw_table(lane, shard, &drawing->database);
    if (table != NULL && !usage_is_stale(&keyspace->usage, table))
        draw_run(drawing, table, drawing->database, hash << keyspace->shard_bits);
    rwlock_release_shared(&shard->lock);
}

void draw_candidates(struct lane *lane, enum candidates which, int64_t now) {
    struct line *line = &evictor_of(lane)->lines[which];
    struct drawing drawing = {.lane = lane, .which = which, .now = now, .line = line};
    bool is_random = eviction_policy_of(lane->keyspace) == EVICTION_ALLKEYS_RANDOM ||
                     eviction_policy_of(lane->keyspace) == EVICTION_VOLATILE_RANDOM;
    uint32_t samples = is_random ? 1 : SAMPLES;
    uint64_t next = draw_next(&drawing);
    for (int tries = 0; tries < TRIES && (drawing.seen < samples || line->count == 0); tries++) {
        uint64_t hash = next;
        next = draw_next(&drawing);
        draw_shard(&drawing, hash);
    }
    for (uint32_t i = 0; i < line->count; i++) {
        struct candidate *candidate = &line->candidates[i];
        size_t length;
        const char *data = entry_key(candidate->entry, &length);
        candidate->hash = lane_hash(lane, data, length);
        candidate->entry = NULL; /* after this batch it may be gone */
    }
}
