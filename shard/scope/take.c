/* Taking sets of shards and giving them back, and the proof that a shard is in a scope.
 *
 * The thread-safety analysis can't follow locks in a set whose size it doesn't know. So the functions that
 * loop over a set are exempt, and the two that hand out a shard of a scope (scope_shard_shared,
 * scope_shard_exclusive) vouch for it: debug builds check there that the shard is in the set. Everything
 * behind them is analysed. */
#include "scope_take.h"

#include <assert.h>

#include "../store/shard.h"
#include "inside.h"

/* Taking one shard and giving it back. Bugs can be planted here and where PLANT_ stands below, to see that
 * the tests find them (PLANT in the Makefile, tests/planted): in one shard of eight, as a bug that is always
 * there would be too easily found. */
static bool shard_take(struct shard *shard, bool is_exclusive) NO_THREAD_SAFETY_ANALYSIS {
#if defined PLANT_SKIPPED_LOCK
    if (is_exclusive && shard->number % 8 == 3) return true;
#elif defined PLANT_SHARED_FOR_EXCLUSIVE
    is_exclusive = is_exclusive && shard->number % 8 != 3;
#endif
    return is_exclusive ? rwlock_try_exclusive(&shard->lock) : rwlock_try_shared(&shard->lock);
}

/* True if a waiter is parked on it, to be woken when all shards of the set have been given back. */
static bool shard_give_back(struct shard *shard, bool is_exclusive) NO_THREAD_SAFETY_ANALYSIS {
#if defined PLANT_SKIPPED_LOCK
    if (is_exclusive && shard->number % 8 == 3) return false;
#elif defined PLANT_SHARED_FOR_EXCLUSIVE
    is_exclusive = is_exclusive && shard->number % 8 != 3;
#endif
    return is_exclusive ? rwlock_let_go_exclusive(&shard->lock) : rwlock_let_go_shared(&shard->lock);
}

/* To wake somebody may take a system call, for which no thread that wants one of the other shards should have
 * to wait. */
static inline void release_first(struct keyspace *keyspace, const struct shard_set *set, uint32_t count,
                                 bool is_exclusive) {
    bool is_anybody_parked = false;
    for (uint32_t i = count; i > 0; i--)
        is_anybody_parked |= shard_give_back(&keyspace->shards[set->numbers[i - 1]], is_exclusive);
    for (uint32_t i = 0; is_anybody_parked && i < count; i++)
        rwlock_wake(&keyspace->shards[set->numbers[i]].lock);
}

static inline __attribute__((always_inline)) bool take(struct lane *lane, const struct shard_set *set,
                                                       bool is_exclusive, struct rwlock **busy) {
    struct keyspace *keyspace = lane->keyspace;
    assert(lane_is_inside(lane));
    for (uint32_t i = 0; i < set->count; i++) {
        struct shard *shard = &keyspace->shards[set->numbers[i]];
        if (shard_take(shard, is_exclusive)) continue;
        release_first(keyspace, set, i, is_exclusive);
        counter_add(&lane->busy_takes, 1);
        *busy = &shard->lock;
        return false;
    }
    counter_add(is_exclusive ? &lane->exclusive_takes : &lane->shared_takes, set->count);
    return true;
}

bool scope_try_read(struct read_scope *scope, struct lane *lane, const struct shard_set *set, int64_t now,
                    struct rwlock **busy) {
    if (!take(lane, set, false, busy)) return false;
    scope_begin(&scope->scope, lane, set, now, false);
    return true;
}

inline __attribute__((always_inline)) bool scope_try_write(struct write_scope *scope, struct lane *lane,
                                                           const struct shard_set *set, int64_t now,
                                                           struct rwlock **busy) {
    if (!take(lane, set, true, busy)) return false;
    scope_begin(&scope->scope, lane, set, now, true);
    return true;
}

static bool grow(struct scope *grown, struct shard_set *set, uint32_t number) {
    struct shard *shard = &grown->keyspace->shards[number];
    assert(grown->held == set);
    if (shard_set_has(set, number)) return true;
    if (!shard_set_add(set, number)) return false;
    if (!shard_take(shard, grown->is_exclusive)) {
        shard_set_remove(set, number);
        counter_add(&grown->lane->busy_takes, 1);
        return false;
    }
    counter_add(grown->is_exclusive ? &grown->lane->exclusive_takes : &grown->lane->shared_takes, 1);
    return true;
}

bool scope_try_grow(struct write_scope *scope, struct shard_set *set, uint32_t number) {
    assert(scope->scope.is_exclusive);
    return grow(&scope->scope, set, number);
}

bool scope_try_grow_read(struct read_scope *scope, struct shard_set *set, uint32_t number) {
    return grow(&scope->scope, set, number);
}

static inline __attribute__((always_inline)) void scope_end(struct scope *scope) {
    assert(!scope->is_editing && "every scope_edit ends with scope_changed or scope_unchanged");
    assert(scope->undo == NULL && "every undo that was begun is concluded");
    assert(scope->lane->scopes > 0);
    assert(scope->held != NULL ? lane_is_inside(scope->lane)
                               : atomic_load(&scope->lane->gate->closed) == scope->lane->number + 1);
    scope->lane->scopes--;
    if (scope->held != NULL)
        release_first(scope->keyspace, scope->held, scope->held->count, scope->is_exclusive);
    scope->keyspace = NULL;
}

void scope_end_read(struct read_scope *scope) {
    scope_end(&scope->scope);
}

inline __attribute__((always_inline)) void scope_end_write(struct write_scope *scope) {
    scope_end(&scope->scope);
}

void scope_all(struct write_scope *scope, struct lane *lane, int64_t now) {
    assert(atomic_load(&lane->gate->closed) == lane->number + 1);
    scope_begin(&scope->scope, lane, NULL, now, true);
}

void scope_all_read(struct read_scope *scope, struct lane *lane, int64_t now) {
    assert(atomic_load(&lane->gate->closed) == lane->number + 1);
    scope_begin(&scope->scope, lane, NULL, now, false);
}
#ifdef PLANT_TORN_MSET
void scope_tear(struct scope *scope) {
    struct rwlock *busy;
    if (scope->held == NULL || scope->held->count == 1) return;
    release_first(scope->keyspace, scope->held, scope->held->count, true);
    while (!take(scope->lane, scope->held, true, &busy)) continue;
}
#endif

bool scope_holds(const struct scope *scope, uint64_t hash) {
    return scope->held == NULL || shard_set_has(scope->held, keyspace_shard(scope->keyspace, hash)->number);
}

void scope_assert_held(const struct scope *scope, const struct shard *shard) {
    (void)scope;
    (void)shard;
    assert((scope->held == NULL || shard_set_has(scope->held, shard->number)) &&
           "the key's shard is in the scope");
}

struct shard *scope_shard_shared(const struct scope *scope, uint64_t hash) {
    assert(scope->keyspace != NULL && "the scope has not ended");
    struct shard *shard = keyspace_shard(scope->keyspace, hash);
    scope_assert_held(scope, shard);
    return shard;
}

struct shard *scope_shard_exclusive(const struct scope *scope, uint64_t hash) {
    assert(scope->keyspace != NULL && "the scope has not ended");
    struct shard *shard = keyspace_shard(scope->keyspace, hash);
    scope_assert_held(scope, shard);
    assert(scope->is_exclusive);
    return shard;
}
