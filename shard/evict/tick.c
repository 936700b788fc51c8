/* Now and then: entries learn the form of a new policy, and what was noted of their use long ago is written
 * anew, before it comes around. */
#include "../scope/scope_take.h"
#include "../value/value.h"
#include "inside.h"

/* Shards that learn a new form per tick. */
#define SHARDS_EACH 16
/* A round over all entries begins so often, and goes on by so many entries, homes and tables per tick. */
#define AGING_EACH_MS (30 * 60 * INT64_C(1000))
#define AGING_STEPS 8192

static void forget_access(void *context, slot *at) {
    struct entry *entry = slot_entry(at);
    access_write(entry, *(const uint16_t *)context);
    table_replace(at, entry);
}

/* Under another policy the bits meant something else. epoch: of the form, from before it was read; if it has
 * changed since, the table is renewed again. */
static void renew_table(struct lane *lane, struct table *table, uint32_t epoch, int64_t now) {
    uint16_t access = usage_of_unknown(lane, now);
    uint64_t place = 0;
    do place = table_visit(table, place, forget_access, &access);
    while (place != 0);
    counter_subtract(&lane->account->main_bytes, counter_read(&table->main_bytes));
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
        if (table != NULL && usage_is_stale(&keyspace->usage, table)) renew_table(lane, table, epoch, now);
    }
    scope_end_write(&scope);
    return true;
}

static bool renew_some(struct lane *lane, int64_t now) {
    struct keyspace *keyspace = lane->keyspace;
    uint32_t epoch = atomic_load(&keyspace->usage.epoch), count = keyspace->shard_count;
    if (evictor_of(lane)->renewing_epoch != epoch) {
        evictor_of(lane)->renewing_epoch = epoch;
        evictor_of(lane)->renewed = 0;
    }
    if (evictor_of(lane)->renewed < count &&
        !lanes_have_entered_since(lane->gate, atomic_load(&keyspace->usage.form_since)))
        return false;
    for (int i = 0; i < SHARDS_EACH && evictor_of(lane)->renewed < count; i++) {
        if (atomic_load(&keyspace->usage.epoch) != epoch ||
            !renew_shard(lane, evictor_of(lane)->renewed, epoch, now))
            return false;
        evictor_of(lane)->renewed++;
    }
    return evictor_of(lane)->renewed == count;
}

struct aging {
    enum access_form form;
    int64_t now, decay;
    int steps;
};

/* Shared is enough, as for noting a use. A reader that notes one meanwhile knows better. */
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
    for (; evictor_of(lane)->aging_database < databases; evictor_of(lane)->aging_database++) {
        const struct table *table =
            keyspace_used_database(keyspace, evictor_of(lane)->aging_database, &database)
                ? shard_table(shard, database)
                : NULL;
        aging->steps--;
        if (table == NULL || usage_is_stale(&keyspace->usage, table)) { /* what is stale is soon made anew */
            evictor_of(lane)->aging_place = 0;
            continue;
        }
        do {
            if (aging->steps-- <= 0) return false;
            evictor_of(lane)->aging_place =
                table_visit(table, evictor_of(lane)->aging_place, age_slot, aging);
        } while (evictor_of(lane)->aging_place != 0);
    }
    evictor_of(lane)->aging_database = 0;
    return true;
}

/* What is noted of an entry's use comes around: before it does, each is written anew. */
static void age_some(struct lane *lane, int64_t wall) {
    struct keyspace *keyspace = lane->keyspace;
    struct aging aging = {usage_form(&keyspace->usage), usage_now(lane, wall), usage_decay(&keyspace->usage),
                          AGING_STEPS};
    if (aging.form != ACCESS_SECONDS && aging.form != ACCESS_FREQUENCY) return;
    if (aging.now < evictor_of(lane)->aging_next && evictor_of(lane)->aging_next - aging.now <= AGING_EACH_MS)
        return;
    while (evictor_of(lane)->aging_shard < keyspace->shard_count) {
        struct shard *shard = &keyspace->shards[evictor_of(lane)->aging_shard];
        if (aging.steps <= 0 || !rwlock_try_shared(&shard->lock)) return;
        bool is_through = age_shard(lane, shard, &aging);
        rwlock_release_shared(&shard->lock);
        if (!is_through) return;
        evictor_of(lane)->aging_shard++;
    }
    evictor_of(lane)->aging_shard = 0;
    evictor_of(lane)->aging_next = aging.now + AGING_EACH_MS;
}

bool eviction_tick(struct lane *lane, int64_t now) {
    usage_fit_ghosts(lane);
    age_some(lane, now);
    bool is_renewed = renew_some(lane, now);
    return evict_excess(lane, now) && is_renewed;
}
