/* Letting keys go, one after the other, if their score hasn't fallen meanwhile. */
#include "../scope/scope_take.h"
#include "inside.h"

/* Keys that go to the main part instead, or turn out to be gone, before any is let go. */
#define SECOND_CHANCES 256
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
    usage_note_gone(lane, entry, hash);
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
    do after = access_queued(true, access_count(access) - 1, usage_tick(&lane->keyspace->usage));
    while (access_count(access) > 0 &&
           !atomic_compare_exchange_weak_explicit(&entry->access, &access, after, memory_order_relaxed,
                                                  memory_order_relaxed));
    table_replace(at, entry);
    size_t bytes = entry_bytes(entry);
    counter_add(&table->main_bytes, bytes);
    counter_add(&lane->account->main_bytes, bytes);
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
        uint32_t number = evictor_of(lane)->sweep++ & (keyspace->shard_count - 1);
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

/* The next two have their turn a few requests from now. Until then what they need has come from memory: for
 * the later one its home; for the next one, whose home has come, its entry and its ghost's place. */
static void fetch_next(const struct lane *lane, const struct line *line) {
    struct fetch fetch;
    if (line->count == 0) return;
    const struct candidate *next = &line->candidates[line->count - 1];
    if (line->count > 1) fetch_home(lane, next[-1].hash, next[-1].database, &fetch);
    fetch_home(lane, next->hash, next->database, &fetch);
    fetch_entry(&fetch, next->hash);
    usage_expect(lane, next->hash);
}

/* Lets one key go. Returns its bytes; 0 if nothing may go, or, is_busy, not as long as others hold what
 * may. */
static size_t evict_one(struct lane *lane, size_t incoming, int64_t now, bool *is_busy) {
    for (int chances = 0; chances < SECOND_CHANCES; chances++) {
        enum candidates which = candidates_now(lane, incoming);
        struct line *line = &evictor_of(lane)->lines[which];
        if (line->count == 0) draw_candidates(lane, which, now);
        if (line->count == 0) break;
        struct candidate candidate = line->candidates[--line->count];
        fetch_next(lane, line);
        size_t bytes = try_candidate(lane, which, &candidate, now);
        if (bytes > 0) return bytes;
    }
    return sweep(lane, eviction_policy_of(lane->keyspace) >= EVICTION_VOLATILE_LRU, now, is_busy);
}

bool evict(struct lane *lane, int64_t excess, size_t incoming, size_t most, int64_t now) {
    enum eviction_policy policy = eviction_policy_of(lane->keyspace);
    struct ledger ledger = budget_read(lane->budget);
    if (policy == EVICTION_NONE || (policy >= EVICTION_VOLATILE_LRU ? ledger.expiring : ledger.keys) == 0)
        return false;
    bool is_busy = false;
    for (size_t freed; excess > 0 && most > 0; most--, excess -= (int64_t)freed)
        if ((freed = evict_one(lane, incoming, now, &is_busy)) == 0) return is_busy;
    return true;
}
