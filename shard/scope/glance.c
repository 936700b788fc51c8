/* A glance: one string is looked at without the lock and without a scope, and perhaps overwritten. */
#include <assert.h>
#include <time.h>

#include "../base/number.h"
#include "../entry/entry_layout.h"
#include "../store/shard.h"
#include "scope_take.h"

inline __attribute__((always_inline)) void scope_glance(struct lane *lane, uint64_t hash, uint32_t database,
                                                        struct glance *glance) {
    assert(lane_is_inside(lane));
    const struct keyspace *keyspace = lane->keyspace;
    uint64_t number = keyspace_shard_number(keyspace, hash);
    glance->lock = &keyspace->shards[number].lock;
    glance->home = (struct home){NULL, 0};
    glance->is_failed = !rwlock_peek(glance->lock, &glance->version);
    const struct table *table = keyspace_table_unheld(keyspace, number, database);
    if (table == NULL || glance->is_failed) return;
    glance->home = table_home(table, hash, glance->lock, glance->version);
    glance->is_failed = glance->home.bucket == NULL;
}

/* The kernel keeps the second where it can be read like a variable, so a single read is content with it. */
static inline const struct moment *moment_known(struct moment *moment) {
    if (moment->latest == 0) {
        moment->earliest = (int64_t)time(NULL) * 1000;
        moment->latest = moment->earliest + 999;
    }
    return moment;
}

/* A string's bytes go straight to where they are wanted. Returns false if they may be read under the lock
 * only, or it isn't sure that they are there. */
static inline __attribute__((always_inline)) bool glance_read(const struct entry **entry,
                                                              const struct key *key, struct moment *moment,
                                                              char *out, size_t size, ssize_t *length) {
    struct entry_header header = entry_read_header(*entry);
    if (!header_is_plain(header) && (header.kind & KIND_EXPIRES) != 0 &&
        entry_read_expiry(*entry) <= moment_known(moment)->latest) {
        bool is_expired = entry_read_expiry(*entry) <= moment->earliest;
        *entry = NULL;
        return is_expired;
    }
    if (kind_type(header.kind) != TYPE_STRING) return true;
    return entry_read_string(*entry, header, key, out, size, (size_t *)length);
}

inline __attribute__((always_inline)) bool scope_glance_end(struct lane *lane, const struct glance *glance,
                                                            const struct key *key, struct moment *moment,
                                                            char *out, size_t size, ssize_t *length) {
    const struct entry *entry = NULL;
    uint32_t version = glance->version;
    bool is_sound = !glance->is_failed;
    *length = -1;
    if (glance->home.bucket != NULL) entry = home_find(glance->home, key);
    if (entry != NULL) is_sound = glance_read(&entry, key, moment, out, size, length);
#ifdef PLANT_LATE_VERSION
    rwlock_peek(glance->lock, &version);
#endif
    if (!is_sound || !rwlock_is_unchanged(glance->lock, version)) {
        counter_add(&lane->failed_looks, 1);
        return false;
    }
    counter_add(entry != NULL ? &lane->glance_hits : &lane->glance_misses, 1);
    if (entry != NULL && usage_is_noted(lane))
        usage_note(lane, (struct entry *)(uintptr_t)entry, moment_known(moment)->earliest);
    return true;
}

inline __attribute__((always_inline)) bool scope_overwrite(struct lane *lane, const struct glance *glance,
                                                           const struct key *key, const char *data,
                                                           size_t length) {
    if (glance->is_failed || glance->home.bucket == NULL || lane->keyspace->listener_count > 0) return false;
    if (length <= NUMBER_DIGITS || length > BLOB_LEAST) return false;
    const struct entry *seen = home_find(glance->home, key);
    if (seen == NULL) return false;
    struct entry_header header = entry_read_header(seen);
    if (header.kind != kind_of_string(length) || header.value_length != length) return false;
    struct rwlock *lock = (struct rwlock *)(uintptr_t)glance->lock;
    if (!rwlock_try_exclusive_at(lock, glance->version)) return false;
    struct entry *entry = (struct entry *)(uintptr_t)seen;
    entry_store(entry, entry_value_place(entry), data, length);
    if (usage_is_noted(lane)) {
        struct moment moment = {0, 0};
        usage_note(lane, entry, moment_known(&moment)->earliest);
    }
    counter_add(&lane->exclusive_takes, 1);
    counter_add(&lane->changes, 1);
    rwlock_release_exclusive(lock);
    return true;
}
