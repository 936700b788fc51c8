#include "eviction.h"

#include <assert.h>
#include <math.h>

#include "../entry/entry_layout.h"
#include "ghosts.h"
#include "../base/memory.h"
#include "../scope/scope_take.h"
#include "../state/shard.h"
#include "../value/value.h"

/* Entries looked at for each drawing, neighbours looked at in a shard, and shards visited when there are few
 * of the kind. */
#define SAMPLES 128
#define RUN 32
#define TRIES 64
/* Homes visited for a run: at the usual load four or five are enough. */
#define RUN_HOMES 8
/* Entries collected before they are looked at, so that their lines come together. */
#define RUN_MOST 64

/* The small part's share of the bytes, in percent. */
#define SMALL_SHARE 15
/* Ghosts for each hundred keys. */
#define GHOSTS_SHARE 150
#define TICKS 128
/* Insertions that a lane counts by itself before all know of them. */
#define INSERTIONS_EACH 8
#define MAIN_AGE_SHIFT 8
#define MAIN_AGE_WEIGHT 128

/* Keys that go to the main part instead, or turn out to be gone, before any is let go. */
#define SECOND_CHANCES 256
/* Keys let go per call, besides one for every 128 bytes asked for: then others have a turn. */
#define VICTIMS_MOST 64
#define VICTIM_BYTES 128
/* Keys let go per tick because the limit was lowered: a millisecond or less. */
#define SHRINK_MOST 512

/* Header and expiry of an entry; header of a blob, and the entry that refers to it. */
#define ENTRY_OVERHEAD 32

#define CHUNK_LEAST 512
#define CHUNK_MOST 65536
#define SLACK_LEAST 2048
#define SLACK_MOST (INT64_C(8) << 20)
/* Databases looked at in a shard for one to draw from. */
#define DATABASES_EACH 16
/* Shards that learn a new form per tick. */
#define SHARDS_EACH 16
/* A round over all entries begins so often, and goes on by so many entries, homes and tables per tick. */
#define AGING_EACH_MS (30 * 60 * INT64_C(1000))
#define AGING_STEPS 8192
/* The clock is set again when it is as far from what it should tell. */
#define SKEW_LEAST 500

void eviction_init(struct eviction *eviction) {
    atomic_init(&eviction->limit, INT64_MAX);
    atomic_init(&eviction->soft, INT64_MAX);
    atomic_init(&eviction->ceiling, INT64_MAX);
    atomic_init(&eviction->chunk, CHUNK_MOST);
    atomic_init(&eviction->log_factor, 10);
    atomic_init(&eviction->decay, 1);
    atomic_init(&eviction->epoch, 1);
    atomic_init(&eviction->tick, 1);
}

static int64_t read_relaxed(const _Atomic int64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static enum eviction_policy policy_of(const struct eviction *eviction) {
    return (enum eviction_policy)atomic_load_explicit(&eviction->policy, memory_order_relaxed);
}

static enum access_form form_of(const struct eviction *eviction) {
    return (enum access_form)atomic_load_explicit(&eviction->form, memory_order_relaxed);
}

static uint32_t tick_of(const struct eviction *eviction) {
    return atomic_load_explicit(&eviction->tick, memory_order_relaxed);
}

/* ------------------------------------------------------------------ the books */

struct ledger {
    int64_t committed; /* what lanes have drawn or spent */
    int64_t promised;  /* drawn and not yet spent */
    int64_t retired;
    int64_t entries, main; /* bytes */
    uint64_t keys, expiring;
};

static struct ledger ledger_read(const struct keyspace *keyspace) {
    struct ledger ledger = {0};
    uint32_t used = atomic_load_explicit(&keyspace->lanes_used, memory_order_acquire);
    for (uint32_t i = 0; i < used; i++) {
        const struct lane *lane = &keyspace->lanes[i];
        int64_t drawn = atomic_load(&lane->drawn), spent = read_relaxed(&lane->spent);
        ledger.committed += drawn > spent ? drawn : spent;
#ifdef PLANT_DEBT_TWICE
        ledger.committed += spent > drawn ? spent - drawn : 0;
#endif
        ledger.promised += drawn > spent ? drawn - spent : 0;
        ledger.retired += (int64_t)counter_read(&lane->retired_bytes);
        ledger.entries += (int64_t)counter_read(&lane->entry_bytes);
        ledger.main += (int64_t)counter_read(&lane->main_bytes);
        ledger.keys += counter_read(&lane->entries);
        ledger.expiring += counter_read(&lane->expiring);
    }
    return ledger;
}

int64_t eviction_used(const struct keyspace *keyspace) {
    struct ledger ledger = ledger_read(keyspace);
    return ledger.committed - ledger.promised;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* To what is committed by now, but not below the limit. */
static void lower_ceiling(struct eviction *eviction, int64_t committed, int64_t limit) {
    int64_t least = committed > limit ? committed : limit, ceiling = atomic_load(&eviction->ceiling);
    while (ceiling > least && !atomic_compare_exchange_weak(&eviction->ceiling, &ceiling, least)) continue;
}

void eviction_limit(struct keyspace *keyspace, int64_t limit) {
    struct eviction *eviction = &keyspace->eviction;
    if (limit == INT64_MAX) {
        atomic_store(&eviction->ceiling, INT64_MAX);
        atomic_store(&eviction->limit, INT64_MAX);
        atomic_store(&eviction->chunk, CHUNK_MOST);
        return;
    }
    uint32_t lanes = atomic_load(&keyspace->lanes_used);
    struct ledger ledger = ledger_read(keyspace);
    int64_t soft = limit - clamp(limit / 32, SLACK_LEAST, SLACK_MOST);
    int64_t others = ledger.committed - ledger.promised - ledger.entries;
    int64_t room = soft > others ? soft - others : 0;
    atomic_store(&eviction->chunk, clamp(limit / 256 / (lanes + 1), CHUNK_LEAST, CHUNK_MOST));
    atomic_store(&eviction->main_most, room / 100 * (100 - SMALL_SHARE));
    atomic_store(&eviction->soft, soft);
    /* A part of the way is left for what nobody makes room for: tables that grow, and what is rounded up. */
    limit -= (limit - soft) / 4 * 3;
    lower_ceiling(eviction, ledger.committed, limit);
    atomic_store(&eviction->limit, limit);
}

static enum access_form form_for(enum eviction_policy policy) {
    switch (policy) {
    case EVICTION_ALLKEYS_LFU:
    case EVICTION_VOLATILE_LFU: return ACCESS_FREQUENCY;
    case EVICTION_ALLKEYS_S3FIFO: return ACCESS_QUEUES;
    default: return ACCESS_SECONDS;
    }
}

void eviction_configure(struct keyspace *keyspace, enum eviction_policy policy, int64_t log_factor,
                        int64_t decay) {
    struct eviction *eviction = &keyspace->eviction;
    enum access_form form = form_for(policy);
    atomic_store(&eviction->log_factor, log_factor);
    atomic_store(&eviction->decay, decay);
    if (atomic_exchange(&eviction->form, (int)form) != (int)form) {
        atomic_store(&eviction->form_since, atomic_fetch_add(&keyspace->epoch, 1));
        atomic_fetch_add(&eviction->epoch, 1);
    }
    atomic_store(&eviction->policy, (int)policy);
}

/* ------------------------------------------------------------------ access */

void eviction_clock(struct lane *lane, int64_t wall, int64_t monotonic) {
    struct eviction *eviction = &lane->keyspace->eviction;
    int64_t apart = wall - monotonic, first = read_relaxed(&eviction->clocks_apart);
    /* Who is not the first has the first one's. */
    if (first == 0 && atomic_compare_exchange_strong(&eviction->clocks_apart, &first, apart == 0 ? 1 : apart))
        return;
    int64_t skew = first - apart, off = skew - lane->clock_skew;
    if (off >= SKEW_LEAST || off <= -SKEW_LEAST) lane->clock_skew = skew;
}

inline int64_t eviction_now(const struct lane *lane, int64_t wall) {
    return wall + lane->clock_skew;
}

/* Morris's counter as Redis parametrizes it: the more there is, the less likely it grows. */
static uint16_t frequency_hit(const struct eviction *eviction, uint16_t access, int64_t now) {
    uint32_t counter = access_frequency_now(access, now, read_relaxed(&eviction->decay));
    if (counter < 255) {
        double base = counter > ACCESS_FREQUENCY_FIRST ? counter - ACCESS_FREQUENCY_FIRST : 0;
        double chance = 1.0 / (base * (double)read_relaxed(&eviction->log_factor) + 1);
        if ((double)value_random(UINT64_C(1) << 53) < chance * 0x1p53) counter++;
    }
    return access_frequency(access_minute(now), counter);
}

/* Who has something to note depends on chance, which no processor foretells; so where that is nothing but the
 * time it is always stored, but to nowhere if the entry has it already: nobody else must wait for the entry's
 * line without need. No exchange: the second is all that the bits are, and they become something else only
 * when nobody is inside any more who may take them for one (renew_some). */
static inline void note_second(struct lane *lane, struct entry *entry, int64_t now) {
    uint16_t second = access_second(now);
    _Atomic uint16_t *at = access_read(entry) != second ? &entry->access : &lane->nowhere;
    atomic_store_explicit(at, second, memory_order_relaxed);
}

inline bool eviction_notes_use(const struct lane *lane) {
    return form_of(&lane->keyspace->eviction) != ACCESS_NONE;
}

inline void eviction_note_use(struct lane *lane, struct entry *entry, int64_t now) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    enum access_form form = form_of(eviction);
    if (form <= ACCESS_SECONDS) {
        if (form == ACCESS_SECONDS) note_second(lane, entry, eviction_now(lane, now));
        return;
    }
    uint16_t before = access_read(entry);
    uint16_t after = form == ACCESS_FREQUENCY ? frequency_hit(eviction, before, eviction_now(lane, now))
                                              : access_queued_hit(before, tick_of(eviction));
    /* Who comes second has nothing to add. */
    if (after != before)
        atomic_compare_exchange_strong_explicit(&entry->access, &before, after, memory_order_relaxed,
                                                memory_order_relaxed);
}

/* A tick is due when as many keys as make a 128th of all have come in. */
static void count_insertion(struct lane *lane, struct eviction *eviction) {
    if (++lane->insertions < INSERTIONS_EACH) return;
    lane->insertions = 0;
    uint32_t since = atomic_fetch_add_explicit(&eviction->insertions, INSERTIONS_EACH, memory_order_relaxed) +
                     INSERTIONS_EACH;
    if ((uint64_t)since * TICKS < ledger_read(lane->keyspace).keys) return;
    if (atomic_compare_exchange_strong_explicit(&eviction->insertions, &since, 0, memory_order_relaxed,
                                                memory_order_relaxed))
        atomic_fetch_add_explicit(&eviction->tick, 1, memory_order_relaxed);
}

/* Whoever holds still does without: the table may be replaced meanwhile, and freed. */
static struct ghosts *ghosts_of(const struct lane *lane) {
    return lane_is_still(lane) ? NULL
                               : atomic_load_explicit(&lane->keyspace->eviction.ghosts, memory_order_acquire);
}

static bool goes_to_main(struct lane *lane, struct eviction *eviction, uint64_t hash, size_t bytes) {
    struct ghosts *ghosts = ghosts_of(lane);
    uint32_t age, main_age = atomic_load_explicit(&eviction->main_age, memory_order_relaxed);
    if (ghosts != NULL && ghosts_take(ghosts, hash, tick_of(eviction), &age) &&
        (main_age == 0 || age << MAIN_AGE_SHIFT <= main_age))
        return true;
    return ledger_read(lane->keyspace).main + (int64_t)bytes <= read_relaxed(&eviction->main_most);
}

uint16_t eviction_first_access(struct lane *lane, uint64_t hash, size_t bytes, int64_t now) {
    struct eviction *eviction = &lane->keyspace->eviction;
    switch (form_of(eviction)) {
    case ACCESS_NONE:
    case ACCESS_SECONDS: break;
    case ACCESS_FREQUENCY:
        return access_frequency(access_minute(eviction_now(lane, now)), ACCESS_FREQUENCY_FIRST);
    case ACCESS_QUEUES: {
        bool is_main = goes_to_main(lane, eviction, hash, bytes);
        count_insertion(lane, eviction);
        return access_queued(is_main, 0, tick_of(eviction));
    }
    }
    return access_second(eviction_now(lane, now));
}

uint32_t eviction_frequency(const struct lane *lane, const struct entry *entry, int64_t now) {
    return access_frequency_now(access_read(entry), eviction_now(lane, now),
                                read_relaxed(&lane->keyspace->eviction.decay));
}

/* ------------------------------------------------------------------ who is considered */

enum candidates { CANDIDATES_ALL, CANDIDATES_VOLATILE, CANDIDATES_SMALL, CANDIDATES_MAIN };
_Static_assert(CANDIDATES_MAIN < LANE_QUEUES, "a queue for each");

static bool is_candidate(enum candidates which, const struct entry *entry) {
    switch (which) {
    case CANDIDATES_ALL: return true;
    case CANDIDATES_VOLATILE: return entry_expires(entry);
    case CANDIDATES_SMALL: return !access_is_main(access_read(entry));
    case CANDIDATES_MAIN: return access_is_main(access_read(entry));
    }
    return false;
}

/* The memory of an entry as far as a score is concerned: without asking the allocator. */
static size_t weight_of(const struct entry *entry) {
    size_t key = entry_key_length(entry);
    switch (entry_encoding(entry)) {
    case ENCODING_INTEGER: return entry_size(key, entry_expires(entry), sizeof(int64_t));
    case ENCODING_VALUE: return entry_bytes(entry);
    default: return entry_size(key, entry_expires(entry), entry->value_length);
    }
}

/* The higher, the sooner it goes. */
static float score_of(const struct lane *lane, const struct entry *entry, int64_t now) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    static const float kept[ACCESS_COUNT_MOST + 1] = {1.0F, 0.5F, 0.3F, 0.2F};
    uint16_t access = access_read(entry);
    switch (policy_of(eviction)) {
    case EVICTION_ALLKEYS_LRU:
    case EVICTION_VOLATILE_LRU: return (float)access_idle_seconds(access, eviction_now(lane, now));
    case EVICTION_ALLKEYS_LFU:
    case EVICTION_VOLATILE_LFU:
        return 255.0F -
               (float)access_frequency_now(access, eviction_now(lane, now), read_relaxed(&eviction->decay));
    case EVICTION_VOLATILE_TTL: return (float)(now - entry_expiry(entry));
    case EVICTION_ALLKEYS_S3FIFO: {
        float age = (float)access_age(access, tick_of(eviction)) + 0.5F;
        if (access_is_main(access)) age *= kept[access_count(access)];
        return age * sqrtf((float)weight_of(entry));
    }
    default: return 0;
    }
}

/* ------------------------------------------------------------------ drawing */

struct drawing {
    struct lane *lane;
    enum candidates which;
    int64_t now;
    struct queue *queue;
    uint32_t database; /* that the last run was in */
    uint32_t seen;     /* slots, but for a volatile policy only of entries that expire */
    uint32_t collected;
    const struct entry *entries[RUN_MOST];
};

static void collect(void *context, slot *at) {
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
static void offer(struct queue *queue, const struct entry *entry, uint32_t database, float score) {
    struct candidate *candidates = queue->candidates;
    uint32_t at = queue->count;
    if (at == LANE_CANDIDATES && score <= candidates[0].score) return;
    for (uint32_t i = 0; i < at; i++)
        if (candidates[i].entry == entry) return;
    if (at == LANE_CANDIDATES) {
        for (uint32_t i = 1; i < at; i++) candidates[i - 1] = candidates[i];
        at = --queue->count;
    }
    for (; at > 0 && candidates[at - 1].score > score; at--) candidates[at] = candidates[at - 1];
    candidates[at] = (struct candidate){.entry = entry, .database = database, .score = score};
    queue->count++;
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
        if (more == keys || value_random(keys) < more) lane->drawn_database = database;
    }
    return keys;
}

/* One of many, as likely in the long run: a walk that stays at a database the longer, the more keys that has
 * (Metropolis et al., "Equation of state calculations by fast computing machines", 1953). */
static uint64_t walk_databases(struct lane *lane, const struct shard *shard, uint32_t count)
    REQUIRES_SHARED(&shard->lock) {
    uint64_t keys = keys_of(shard, lane->drawn_database);
    uint32_t database;
    for (uint32_t i = 0; i < DATABASES_EACH; i++) {
        if (!keyspace_used_database(lane->keyspace, (uint32_t)value_random(count), &database)) continue;
        uint64_t others = keys_of(shard, database);
        if (others == 0 || (others < keys && value_random(keys) >= others)) continue;
        keys = others;
        lane->drawn_database = database;
    }
    return keys;
}

/* One of a shard's tables, the larger the likelier. NULL if there is none with a key, or none was met. */
static struct table *draw_table(struct lane *lane, const struct shard *shard, uint32_t *database)
    REQUIRES_SHARED(&shard->lock) {
    uint32_t count = atomic_load_explicit(&lane->keyspace->used_database_count, memory_order_acquire);
    uint64_t keys =
        count <= DATABASES_EACH ? weigh_databases(lane, shard, count) : walk_databases(lane, shard, count);
    *database = lane->drawn_database;
    return keys == 0 ? NULL : shard_table(shard, lane->drawn_database);
}

static bool is_stale(const struct keyspace *keyspace, const struct table *table) {
    return atomic_load_explicit(&table->access_epoch, memory_order_relaxed) !=
           atomic_load_explicit(&keyspace->eviction.epoch, memory_order_relaxed);
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
        offer(drawing->queue, entry, database, score_of(drawing->lane, entry, drawing->now));
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
    if (table != NULL && !is_stale(keyspace, table))
        draw_run(drawing, table, drawing->database, hash << keyspace->shard_bits);
    rwlock_release_shared(&shard->lock);
}

/* Fills an empty queue. The entries were there a moment ago, and can't be freed while the lane is inside. */
static void draw_candidates(struct lane *lane, enum candidates which, int64_t now) {
    struct queue *queue = &lane->queues[which];
    struct drawing drawing = {.lane = lane, .which = which, .now = now, .queue = queue};
    bool is_random = policy_of(&lane->keyspace->eviction) == EVICTION_ALLKEYS_RANDOM ||
                     policy_of(&lane->keyspace->eviction) == EVICTION_VOLATILE_RANDOM;
    uint32_t samples = is_random ? 1 : SAMPLES;
    uint64_t next = draw_next(&drawing);
    for (int tries = 0; tries < TRIES && (drawing.seen < samples || queue->count == 0); tries++) {
        uint64_t hash = next;
        next = draw_next(&drawing);
        draw_shard(&drawing, hash);
    }
    for (uint32_t i = 0; i < queue->count; i++) {
        struct candidate *candidate = &queue->candidates[i];
        size_t length;
        const char *data = entry_key(candidate->entry, &length);
        candidate->hash = lane_hash(lane, data, length);
        candidate->entry = NULL; /* after this batch it may be gone */
    }
}

/* ------------------------------------------------------------------ letting one go */

void eviction_expect(const struct lane *lane, uint64_t hash) {
    const struct ghosts *ghosts =
        form_of(&lane->keyspace->eviction) == ACCESS_QUEUES ? ghosts_of(lane) : NULL;
    if (ghosts != NULL) ghosts_prefetch(ghosts, hash);
}

static void note_main_age(struct eviction *eviction, uint32_t age) {
    uint32_t before = atomic_load_explicit(&eviction->main_age, memory_order_relaxed),
             now = age << MAIN_AGE_SHIFT;
    int64_t step = ((int64_t)now - before) / MAIN_AGE_WEIGHT;
    atomic_store_explicit(&eviction->main_age, before == 0 ? now : (uint32_t)(before + step),
                          memory_order_relaxed);
}

static void note_ghost(const struct lane *lane, const struct entry *entry, uint64_t hash) {
    struct eviction *eviction = &lane->keyspace->eviction;
    if (form_of(eviction) != ACCESS_QUEUES) return;
    struct ghosts *ghosts = ghosts_of(lane);
    uint16_t access = access_read(entry);
    uint32_t tick = tick_of(eviction), age = access_age(access, tick);
    if (access_is_main(access)) note_main_age(eviction, age);
    if (ghosts != NULL) ghosts_add(ghosts, hash, tick - age);
}

/* Removes the entry in that slot. Returns its bytes. */
static size_t let_go(struct write_scope *scope, struct lane *lane, const struct entry *entry, uint64_t hash,
                     uint32_t database) {
    struct edit edit;
    size_t length, bytes = entry_bytes(entry);
    const char *data = entry_key(entry, &length);
    struct key key = {data, length, hash, database};
    scope_edit(scope, &key, &edit);
    if (edit.entry == NULL) { /* its time was up anyway */
        scope_unchanged(&edit);
        return bytes;
    }
    note_ghost(lane, entry, hash);
    edit_remove(&edit);
    scope_changed(&edit, EVENT_EVICTED);
    scope_count_more(scope, -1); /* as an expired one, it is no change that a client made */
    counter_add(&lane->evicted, 1);
    return bytes;
}

/* From the small part to the main one. */
static void promote(struct lane *lane, struct table *table, slot *at) {
    struct entry *entry = slot_entry(at);
    uint16_t access = access_read(entry), after;
    do after = access_queued(true, access_count(access) - 1, tick_of(&lane->keyspace->eviction));
    while (access_count(access) > 0 &&
           !atomic_compare_exchange_weak_explicit(&entry->access, &access, after, memory_order_relaxed,
                                                  memory_order_relaxed));
    table_replace(at, entry);
    size_t bytes = entry_bytes(entry);
    counter_add(&table->main_bytes, bytes);
    counter_add(&lane->main_bytes, bytes);
}

/* The candidate's turn: returns how many bytes went. 0: it has gone already, or is worth more than it was, or
 * has got a second chance. */
static size_t try_candidate(struct lane *lane, enum candidates which, const struct candidate *candidate,
                            int64_t now) {
    struct keyspace *keyspace = lane->keyspace;
    struct shard *shard = keyspace_shard(keyspace, candidate->hash);
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    size_t bytes = 0;
    shard_set_init(&set);
    shard_set_add(&set, shard->number);
    if (!scope_try_write(&scope, lane, &set, now, &busy)) return 0;
    shard_assert_exclusive(shard);
    struct table *table = shard_table(shard, candidate->database);
    slot *at = table == NULL ? NULL : table_find_hash(table, candidate->hash, &keyspace->secret);
    struct entry *entry = at == NULL ? NULL : slot_entry(at);
    if (entry != NULL && is_candidate(which, entry) && score_of(lane, entry, now) >= candidate->score) {
        bool is_used = which == CANDIDATES_SMALL && access_count(access_read(entry)) > 0;
        if (is_used)
            promote(lane, table, at);
        else
            bytes = let_go(&scope, lane, entry, candidate->hash, candidate->database);
    }
    scope_end_write(&scope);
    return bytes;
}

/* Nobody was found by chance: goes over the shards in turn until there is somebody. is_busy: there may be
 * somebody in a shard that another holds. */
static size_t sweep(struct lane *lane, bool is_volatile, int64_t now, bool *is_busy) {
    struct keyspace *keyspace = lane->keyspace;
    uint32_t databases = atomic_load(&keyspace->used_database_count), database;
    for (uint32_t i = 0; i < keyspace->shard_count; i++) {
        uint32_t number = lane->sweep++ & (keyspace->shard_count - 1);
        for (uint32_t index = 0; index < databases; index++) {
            if (!keyspace_used_database(keyspace, index, &database)) continue;
            uint64_t keys = is_volatile ? keyspace_shard_expiring(keyspace, number, database)
                                        : keyspace_shard_keys(keyspace, number, database);
            if (keys == 0) continue;
            struct shard *shard = &keyspace->shards[number];
            struct drawing drawing = {
                .lane = lane, .which = is_volatile ? CANDIDATES_VOLATILE : CANDIDATES_ALL, .now = now};
            struct shard_set set;
            struct write_scope scope;
            struct rwlock *busy;
            shard_set_init(&set);
            shard_set_add(&set, number);
            if (!scope_try_write(&scope, lane, &set, now, &busy)) {
                *is_busy = true;
                break;
            }
            shard_assert_exclusive(shard);
            const struct table *table = shard_table(shard, database);
            size_t bytes = 0;
            if (table != NULL) {
                uint64_t place = 0;
                do place = table_visit(table, place, collect, &drawing);
                while (place != 0 && drawing.collected == 0);
            }
            if (drawing.collected > 0) {
                size_t length;
                const char *data = entry_key(drawing.entries[0], &length);
                bytes = let_go(&scope, lane, drawing.entries[0], lane_hash(lane, data, length), database);
            }
            scope_end_write(&scope);
            if (bytes > 0) return bytes;
        }
    }
    return 0;
}

static enum candidates candidates_now(struct lane *lane, size_t incoming) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    enum eviction_policy policy = policy_of(eviction);
    if (policy != EVICTION_ALLKEYS_S3FIFO)
        return policy >= EVICTION_VOLATILE_LRU ? CANDIDATES_VOLATILE : CANDIDATES_ALL;
    struct ledger ledger = ledger_read(lane->keyspace);
    int64_t small = ledger.entries - ledger.main + (int64_t)incoming;
    bool is_small =
        small > (int64_t)incoming && (small * 100 > ledger.entries * SMALL_SHARE || ledger.main <= 0);
    return is_small ? CANDIDATES_SMALL : CANDIDATES_MAIN;
}

/* The next two have their turn a few requests from now. Until then what they need has come from memory: for
 * the later one its home; for the next one, whose home has come, its entry and its ghost's place. */
static void fetch_next(const struct lane *lane, const struct queue *queue) {
    struct fetch fetch;
    if (queue->count == 0) return;
    const struct candidate *next = &queue->candidates[queue->count - 1];
    if (queue->count > 1) fetch_home(lane, next[-1].hash, next[-1].database, &fetch);
    fetch_home(lane, next->hash, next->database, &fetch);
    fetch_entry(&fetch, next->hash);
    eviction_expect(lane, next->hash);
}

/* Lets one key go. Returns its bytes; 0 if nothing may go, or, is_busy, not as long as others hold what
 * may. */
static size_t evict_one(struct lane *lane, size_t incoming, int64_t now, bool *is_busy) {
    for (int chances = 0; chances < SECOND_CHANCES; chances++) {
        enum candidates which = candidates_now(lane, incoming);
        struct queue *queue = &lane->queues[which];
        if (queue->count == 0) draw_candidates(lane, which, now);
        if (queue->count == 0) break;
        struct candidate candidate = queue->candidates[--queue->count];
        fetch_next(lane, queue);
        size_t bytes = try_candidate(lane, which, &candidate, now);
        if (bytes > 0) return bytes;
    }
    return sweep(lane, policy_of(&lane->keyspace->eviction) >= EVICTION_VOLATILE_LRU, now, is_busy);
}

/* ------------------------------------------------------------------ making room */

size_t eviction_room_for(size_t bytes) {
    return memory_good_size(bytes + ENTRY_OVERHEAD) + ENTRY_OVERHEAD;
}

bool eviction_is_limited(const struct lane *lane) {
    return read_relaxed(&lane->keyspace->eviction.limit) != INT64_MAX;
}

bool eviction_has_room(const struct lane *lane, size_t bytes) {
    return !eviction_is_limited(lane) || lane_credit(lane) >= (int64_t)bytes;
}

/* What would be committed if the lane drew so much that it has `bytes`: what it owes is in there already. */
static int64_t committed_with(const struct lane *lane, const struct ledger *ledger, int64_t bytes) {
    int64_t credit = lane_credit(lane);
    return ledger->committed + bytes - (credit > 0 ? credit : 0);
}

/* Draws on the budget what the lane lacks, and some more while there is plenty. Announced before it is looked
 * at: the store and the loads of what others have drawn are sequentially consistent. */
static bool draw(struct lane *lane, const struct ledger *ledger, int64_t bytes, int64_t most) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    int64_t chunk = read_relaxed(&eviction->chunk), with = committed_with(lane, ledger, bytes),
            before = read_relaxed(&lane->drawn);
    if (with > most) return false;
    if (with + chunk <= read_relaxed(&eviction->soft)) bytes += chunk;
    atomic_store(&lane->drawn, read_relaxed(&lane->spent) + bytes);
    if (ledger_read(lane->keyspace).committed <= most) return true;
    atomic_store(&lane->drawn, before);
    return false;
}

/* Bytes that have to go so that `bytes` more fit. */
static int64_t excess_of(const struct lane *lane, const struct ledger *ledger, int64_t bytes) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    int64_t live = ledger->committed - ledger->promised - ledger->retired;
    int64_t excess = live + bytes - read_relaxed(&eviction->soft);
    /* Even when all that is retired is freed. */
    int64_t beyond = committed_with(lane, ledger, bytes) - ledger->retired - read_relaxed(&eviction->limit);
    return excess > beyond ? excess : beyond;
}

/* Lets keys go, but not more than so many. Returns false if there are none left, now or when others are done
 * with their shards. */
static bool evict(struct lane *lane, int64_t excess, size_t incoming, size_t most, int64_t now) {
    enum eviction_policy policy = policy_of(&lane->keyspace->eviction);
    struct ledger ledger = ledger_read(lane->keyspace);
    if (policy == EVICTION_NONE || (policy >= EVICTION_VOLATILE_LRU ? ledger.expiring : ledger.keys) == 0)
        return false;
    bool is_busy = false;
    for (size_t freed; excess > 0 && most > 0; most--, excess -= (int64_t)freed)
        if ((freed = evict_one(lane, incoming, now, &is_busy)) == 0) return is_busy;
    return true;
}

enum room eviction_make_room(struct lane *lane, size_t bytes, int64_t now) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    int64_t limit = read_relaxed(&eviction->limit), ceiling = read_relaxed(&eviction->ceiling);
    assert(lane_is_inside(lane) && lane->scopes == 0);
    if (bytes > (size_t)limit)
        return ROOM_NONE; /* it wouldn't fit if everybody went, and so nobody goes for it */
    while (!eviction_has_room(lane, bytes)) {
        struct ledger ledger = ledger_read(lane->keyspace);
        int64_t excess = excess_of(lane, &ledger, (int64_t)bytes);
        bool is_exhausted =
            excess > 0 && !evict(lane, excess, bytes, VICTIMS_MOST + bytes / VICTIM_BYTES, now);
        /* Only where something still goes may a limit be kept by and by. */
        int64_t most = is_exhausted || ceiling < limit ? limit : ceiling;
        ledger = ledger_read(lane->keyspace);
        if (draw(lane, &ledger, (int64_t)bytes, most)) return ROOM_MADE;
        if (committed_with(lane, &ledger, (int64_t)bytes) <= most)
            continue; /* others drew as well: once more */
        bool will_be_freed = committed_with(lane, &ledger, (int64_t)bytes) - ledger.retired <= limit;
        return will_be_freed || !is_exhausted ? ROOM_LATER : ROOM_NONE;
    }
    return ROOM_MADE;
}

/* What is above the limit because that was lowered, or because the process itself needs more. */
static bool shrink(struct lane *lane, int64_t now) {
    struct eviction *eviction = &lane->keyspace->eviction;
    int64_t limit = read_relaxed(&eviction->limit);
    if (limit == INT64_MAX) return true;
    struct ledger ledger = ledger_read(lane->keyspace);
    lower_ceiling(eviction, ledger.committed, limit);
    int64_t excess = ledger.committed - ledger.promised - ledger.retired - read_relaxed(&eviction->soft);
    if (excess <= 0) return true;
    return !evict(lane, excess, 0, SHRINK_MOST, now); /* nothing left that may go is the end, too */
}

/* ------------------------------------------------------------------ now and then */

static uint16_t access_anew(const struct lane *lane, int64_t now) {
    const struct eviction *eviction = &lane->keyspace->eviction;
    switch (form_of(eviction)) {
    case ACCESS_FREQUENCY:
        return access_frequency(access_minute(eviction_now(lane, now)), ACCESS_FREQUENCY_FIRST);
    case ACCESS_QUEUES: return access_queued(false, 0, tick_of(eviction));
    default: return access_second(eviction_now(lane, now));
    }
}

static void forget_access(void *context, slot *at) {
    struct entry *entry = slot_entry(at);
    access_write(entry, *(const uint16_t *)context);
    table_replace(at, entry);
}

/* Under another policy the bits meant something else. epoch: of the form, from before it was read; if it has
 * changed since, the table is renewed again. */
static void renew_table(struct lane *lane, struct table *table, uint32_t epoch, int64_t now) {
    uint16_t access = access_anew(lane, now);
    uint64_t place = 0;
    do place = table_visit(table, place, forget_access, &access);
    while (place != 0);
    counter_subtract(&lane->main_bytes, counter_read(&table->main_bytes));
    counter_subtract(&table->main_bytes, counter_read(&table->main_bytes));
    atomic_store_explicit(&table->access_epoch, epoch, memory_order_relaxed);
}

static bool renew_shard(struct lane *lane, uint32_t number, uint32_t epoch, int64_t now) {
    struct keyspace *keyspace = lane->keyspace;
    struct shard *shard = &keyspace->shards[number];
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    shard_set_init(&set);
    shard_set_add(&set, number);
    if (!scope_try_write(&scope, lane, &set, now, &busy)) return false;
    shard_assert_exclusive(shard);
    uint32_t databases = atomic_load(&keyspace->used_database_count), database;
    for (uint32_t i = 0; i < databases; i++) {
        struct table *table =
            keyspace_used_database(keyspace, i, &database) ? shard_table(shard, database) : NULL;
        if (table != NULL && is_stale(keyspace, table)) renew_table(lane, table, epoch, now);
    }
    scope_end_write(&scope);
    return true;
}

static bool renew_some(struct lane *lane, int64_t now) {
    struct keyspace *keyspace = lane->keyspace;
    uint32_t epoch = atomic_load(&keyspace->eviction.epoch), count = keyspace->shard_count;
    if (lane->renewing_epoch != epoch) {
        lane->renewing_epoch = epoch;
        lane->renewed = 0;
    }
    if (lane->renewed < count &&
        !lanes_have_entered_since(keyspace, atomic_load(&keyspace->eviction.form_since)))
        return false;
    for (int i = 0; i < SHARDS_EACH && lane->renewed < count; i++) {
        if (atomic_load(&keyspace->eviction.epoch) != epoch || !renew_shard(lane, lane->renewed, epoch, now))
            return false;
        lane->renewed++;
    }
    return lane->renewed == count;
}

struct aging {
    enum access_form form;
    int64_t now, decay;
    int steps;
};

/* Shared is enough, as for who notes a use. Whoever does so meanwhile knows better. */
static void age_slot(void *context, slot *at) {
    struct aging *aging = context;
    struct entry *entry = slot_entry(at);
    uint16_t before = access_read(entry);
    uint16_t after = aging->form == ACCESS_SECONDS
                         ? access_second_aged(before, aging->now)
                         : access_frequency_aged(before, aging->now, aging->decay,
                                                 (uint32_t)value_random(UINT64_C(1) << 32));
    aging->steps--;
    if (after == before) return;
    atomic_compare_exchange_strong_explicit(&entry->access, &before, after, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* Goes on with the lane's round in one shard; true if it is through. */
static bool age_shard(struct lane *lane, const struct shard *shard, struct aging *aging)
    REQUIRES_SHARED(&shard->lock) {
    struct keyspace *keyspace = lane->keyspace;
    uint32_t databases = atomic_load(&keyspace->used_database_count), database;
    for (; lane->aging_database < databases; lane->aging_database++) {
        const struct table *table = keyspace_used_database(keyspace, lane->aging_database, &database)
                                        ? shard_table(shard, database)
                                        : NULL;
        aging->steps--;
        if (table == NULL || is_stale(keyspace, table)) { /* what is stale is soon made anew */
            lane->aging_place = 0;
            continue;
        }
        do {
            if (aging->steps-- <= 0) return false;
            lane->aging_place = table_visit(table, lane->aging_place, age_slot, aging);
        } while (lane->aging_place != 0);
    }
    lane->aging_database = 0;
    return true;
}

/* What is noted of an entry's use comes around: before it does, each is written anew. */
static void age_some(struct lane *lane, int64_t wall) {
    struct keyspace *keyspace = lane->keyspace;
    struct aging aging = {form_of(&keyspace->eviction), eviction_now(lane, wall),
                          read_relaxed(&keyspace->eviction.decay), AGING_STEPS};
    if (aging.form != ACCESS_SECONDS && aging.form != ACCESS_FREQUENCY) return;
    if (aging.now < lane->aging_next && lane->aging_next - aging.now <= AGING_EACH_MS) return;
    while (lane->aging_shard < keyspace->shard_count) {
        struct shard *shard = &keyspace->shards[lane->aging_shard];
        if (aging.steps <= 0 || !rwlock_try_shared(&shard->lock)) return;
        bool is_through = age_shard(lane, shard, &aging);
        rwlock_release_shared(&shard->lock);
        if (!is_through) return;
        lane->aging_shard++;
    }
    lane->aging_shard = 0;
    lane->aging_next = aging.now + AGING_EACH_MS;
}

/* There are some once something was let go, and as many as the keys ask for. */
static void fit_ghosts(struct lane *lane) {
    struct eviction *eviction = &lane->keyspace->eviction;
    struct ghosts *present = atomic_load_explicit(&eviction->ghosts, memory_order_acquire), *fitting = NULL;
    uint64_t wanted = ledger_read(lane->keyspace).keys * GHOSTS_SHARE / 100;
    bool is_needed = form_of(eviction) == ACCESS_QUEUES && read_relaxed(&eviction->limit) != INT64_MAX;
    if (present == NULL && !is_needed) return;
    if (present != NULL && is_needed && wanted < ghosts_capacity(present) * 5 / 4 &&
        wanted > ghosts_capacity(present) / 2)
        return;
    if (is_needed && (fitting = ghosts_create(wanted, present)) == NULL) return;
    atomic_store_explicit(&eviction->ghosts, fitting, memory_order_release);
    if (present != NULL) lane_retire(lane, present, memory_size(present), NULL);
}

bool eviction_tick(struct lane *lane, int64_t now) {
    fit_ghosts(lane);
    age_some(lane, now);
    bool is_renewed = renew_some(lane, now);
    return shrink(lane, now) && is_renewed;
}
