/* Active expiry: a little at a time, every worker goes over the shards and removes what has lapsed, so that
 * dead entries don't hold memory until somebody asks for them.
 *
 * A slice takes one shard exclusively at a time, and only if that is free. It looks at a stretch of buckets;
 * slots without an expiry are passed by their bit alone. Where a stretch turns out to be full of dead entries
 * it goes on in the same shard, after letting it go once, else to the next one. The lanes begin at different
 * shards.
 *
 * On the same round tables get the size they should have: when their last keys have gone, nobody else comes
 * by who would move them on. */
#include <time.h>

#include "scope/scope_take.h"
#include "store/shard.h"

/* Homes looked at, and entries removed, per time that a shard is held. */
#define STRETCH 32
#define VICTIMS 64

struct stretch {
    int64_t now;
    uint32_t looked; /* entries that have an expiry */
    uint32_t count;
    const struct entry *victims[VICTIMS];
};

static int64_t monotonic_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void note_expired(void *context, slot *at) {
    struct stretch *stretch = context;
    if (!slot_expires(at)) return;
    stretch->looked++;
    const struct entry *entry = slot_entry(at);
    if (entry_expiry(entry) <= stretch->now && stretch->count < VICTIMS)
        stretch->victims[stretch->count++] = entry;
}

/* Removes the expired entries of a stretch; scope_edit does it on the way, as for anybody who meets one. */
static void remove_victims(struct write_scope *scope, const struct stretch *stretch, uint32_t database) {
    for (uint32_t i = 0; i < stretch->count; i++) {
        size_t length;
        const char *data = entry_key(stretch->victims[i], &length);
        struct key key = keyspace_key(scope->scope.keyspace, database, data, length);
        struct edit edit;
        scope_edit(scope, &key, &edit);
        scope_unchanged(&edit);
        counter_add(&scope->scope.lane->expired_actively, 1);
    }
}

/* As Redis averages: a slice counts for a twentieth. */
#define PPM UINT64_C(1000000)
static void note_stale(struct lane *lane) {
    uint64_t now = lane->slice_looked == 0 ? 0 : lane->slice_lapsed * PPM / lane->slice_looked,
             before = counter_read(&lane->stale_ppm);
    if (now != before) counter_add(&lane->stale_ppm, (before * 19 + now) / 20 - before);
}

/* One stretch of one table. Returns true if there was so much to remove that the next stretch is worth a look
 * at once. */
static bool expire_stretch(struct write_scope *scope, struct table *table, uint32_t database) {
    if (counter_read(&table->expiring) == 0) return false;
    struct stretch stretch = {.now = scope->scope.now};
    for (int homes = 0; homes < STRETCH && stretch.count < VICTIMS / 2; homes++)
        if (!table_sweep(table, note_expired, &stretch)) break;
    scope->scope.lane->slice_looked += stretch.looked;
    scope->scope.lane->slice_lapsed += stretch.count;
    remove_victims(scope, &stretch, database);
    uint64_t expiring = counter_read(&table->expiring);
    if (expiring == 0) return false;
    if (stretch.looked > 0) return stretch.count * 10 > stretch.looked;
    /* Not here, but somewhere, if they have lapsed on the average. */
    return (int64_t)(counter_read(&table->expiry_sum) - expiring * (uint64_t)stretch.now) <= 0;
}

/* Returns true if there is more to do. */
static bool settle(struct lane *lane, struct shard *shard, struct table *table, uint32_t database)
    REQUIRES(&shard->lock) {
    if (table_is_settled(table)) return false;
    if (counter_read(&table->keys) > 0) return table_settle(table, lane);
    shard_drop_table(lane->keyspace, shard, database);
    table_retire(table, lane);
    return false;
}

/* The take is a try in a set of one: the analysis is told below what the scope holds. */
static bool tend_shard(struct lane *lane, uint32_t number, uint32_t database, int64_t now) {
    struct keyspace *keyspace = lane->keyspace;
    struct shard_set set;
    struct write_scope scope;
    struct rwlock *busy;
    if (keyspace_shard_expiring(keyspace, number, database) == 0 &&
        keyspace_shard_is_settled(keyspace, number, database))
        return false;
    shard_set_init(&set);
    shard_set_add(&set, number);
    if (!scope_try_write(&scope, lane, &set, now, &busy)) return false;
    struct shard *shard = &keyspace->shards[number];
    shard_assert_exclusive(shard);
    struct table *table = shard_table(shard, database);
    bool goes_on = false;
    if (table != NULL) {
        goes_on = expire_stretch(&scope, table, database);
        goes_on |= settle(lane, shard, table, database);
    }
    scope_end_write(&scope);
    return goes_on;
}

bool keyspace_expire_slice(struct lane *lane, int64_t now, int64_t budget) {
    struct keyspace *keyspace = lane->keyspace;
    if (!atomic_load_explicit(&keyspace->expires_actively, memory_order_relaxed)) return false;
    int64_t began = monotonic_us();
    uint32_t databases = atomic_load(&keyspace->used_database_count), database;
    uint64_t steps = (uint64_t)keyspace->shard_count * databases;
    bool is_cut_short = false;
    lane->slice_looked = lane->slice_lapsed = 0;
    for (uint64_t step = 0; step < steps && !is_cut_short; step++) {
        uint32_t number =
            (lane->expiry_shard + lane->number * (keyspace->shard_count / 7)) & (keyspace->shard_count - 1);
        bool is_known = keyspace_used_database(keyspace, lane->expiry_database, &database);
        while (is_known && tend_shard(lane, number, database, now) && !is_cut_short)
            is_cut_short = monotonic_us() - began >= budget;
        if (is_cut_short) break;
        if (++lane->expiry_shard == keyspace->shard_count) {
            lane->expiry_shard = 0;
            if (++lane->expiry_database >= databases) lane->expiry_database = 0;
        }
        if ((step & 15) == 15) is_cut_short = monotonic_us() - began >= budget;
    }
    counter_add(&lane->expiry_us, (uint64_t)(monotonic_us() - began));
    if (is_cut_short) counter_add(&lane->expiry_cut_short, 1);
    note_stale(lane);
    return is_cut_short;
}

void keyspace_set_active_expiry(struct keyspace *keyspace, bool is_on) {
    atomic_store(&keyspace->expires_actively, is_on);
}
