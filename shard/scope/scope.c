/* Scopes: taking sets of shards, reading through them, and the two ends of every change.
 *
 * The thread-safety analysis can't follow locks in a set whose size it doesn't know. So the functions that
 * loop over a set are exempt, and the two that hand out a shard of a scope (scope_shard_shared,
 * scope_shard_exclusive) vouch for it: debug builds check there that the shard is in the set. Everything
 * behind them is analysed. */
#include "scope.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../entry/entry_layout.h"
#include "../base/memory.h"
#include "../base/number.h"
#include "scope_take.h"
#include "../state/shard.h"

/* ------------------------------------------------------------------ sets of shards */

void shard_set_init(struct shard_set *set) {
    set->count = 0;
    set->capacity = sizeof set->few / sizeof set->few[0];
    set->numbers = set->few;
}

void shard_set_clear(struct shard_set *set) {
    set->count = 0;
}

void shard_set_free(struct shard_set *set) {
    if (set->numbers != set->few) free(set->numbers);
    shard_set_init(set);
}

static bool set_grow(struct shard_set *set) {
    uint32_t capacity = (set->capacity + 1) * 4;
    uint32_t *numbers = malloc(capacity * sizeof *numbers);
    if (numbers == NULL) return false;
    memcpy(numbers, set->numbers, set->count * sizeof *numbers);
    if (set->numbers != set->few) free(set->numbers);
    set->numbers = numbers;
    set->capacity = capacity;
    return true;
}

/* Where the number is, or belongs. */
static uint32_t set_place(const struct shard_set *set, uint32_t number) {
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set->numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool shard_set_has(const struct shard_set *set, uint32_t number) {
    uint32_t place = set_place(set, number);
    return place < set->count && set->numbers[place] == number;
}

bool shard_set_add(struct shard_set *set, uint32_t number) {
    bool is_last = set->count == 0 || set->numbers[set->count - 1] < number;
    uint32_t place = is_last ? set->count : set_place(set, number);
    if (!is_last && set->numbers[place] == number) return true;
    if (set->count == set->capacity && !set_grow(set)) return false;
    if (!is_last)
        memmove(set->numbers + place + 1, set->numbers + place, (set->count - place) * sizeof *set->numbers);
    set->numbers[place] = number;
    set->count++;
    return true;
}

/* ------------------------------------------------------------------ taking and ending */

static void scope_begin(struct scope *scope, struct lane *lane, const struct shard_set *set, int64_t now,
                        bool is_exclusive) {
    scope->keyspace = lane->keyspace;
    scope->lane = lane;
    scope->now = now;
    scope->held = set;
    scope->look = NULL;
    scope->is_exclusive = is_exclusive;
    scope->counts_access = true;
    scope->is_editing = false;
    scope->changes = 0;
    lane->scopes++;
}

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

/* True if somebody waits for it, who is to be woken when all shards of the set have been given back. */
static bool shard_give_back(struct shard *shard, bool is_exclusive) NO_THREAD_SAFETY_ANALYSIS {
#if defined PLANT_SKIPPED_LOCK
    if (is_exclusive && shard->number % 8 == 3) return false;
#elif defined PLANT_SHARED_FOR_EXCLUSIVE
    is_exclusive = is_exclusive && shard->number % 8 != 3;
#endif
    return is_exclusive ? rwlock_let_go_exclusive(&shard->lock) : rwlock_let_go_shared(&shard->lock);
}

/* To wake somebody may take a system call, for which nobody who wants one of the other shards should have to
 * wait. */
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

bool scope_try_write(struct write_scope *scope, struct lane *lane, const struct shard_set *set, int64_t now,
                     struct rwlock **busy) {
    if (!take(lane, set, true, busy)) return false;
    scope_begin(&scope->scope, lane, set, now, true);
    return true;
}

bool scope_try_grow(struct write_scope *scope, struct shard_set *set, uint32_t number) {
    struct scope *grown = &scope->scope;
    struct shard *shard = &grown->keyspace->shards[number];
    assert(grown->held == set && grown->is_exclusive);
    if (shard_set_has(set, number)) return true;
    if (!shard_set_add(set, number)) return false;
    if (!shard_take(shard, true)) {
        uint32_t place = set_place(set, number);
        set->count--;
        memmove(set->numbers + place, set->numbers + place + 1, (set->count - place) * sizeof *set->numbers);
        counter_add(&grown->lane->busy_takes, 1);
        return false;
    }
    counter_add(&grown->lane->exclusive_takes, 1);
    return true;
}

static void scope_end(struct scope *scope) {
    assert(!scope->is_editing && "every scope_edit ends with scope_changed or scope_unchanged");
    scope->lane->scopes--;
    if (scope->held != NULL)
        release_first(scope->keyspace, scope->held, scope->held->count, scope->is_exclusive);
    scope->keyspace = NULL;
}

void scope_end_read(struct read_scope *scope) {
    scope_end(&scope->scope);
}

void scope_end_write(struct write_scope *scope) {
    scope_end(&scope->scope);
}

void scope_all(struct write_scope *scope, struct lane *lane, int64_t now) {
    assert(atomic_load(&lane->keyspace->gate.closed) == lane->number + 1);
    scope_begin(&scope->scope, lane, NULL, now, true);
}

void scope_all_read(struct read_scope *scope, struct lane *lane, int64_t now) {
    assert(atomic_load(&lane->keyspace->gate.closed) == lane->number + 1);
    scope_begin(&scope->scope, lane, NULL, now, false);
}

/* ------------------------------------------------------------------ looking without the lock */

void scope_look(struct read_scope *scope, struct lane *lane, struct look *look, int64_t now) {
    assert(lane_is_inside(lane));
    look->count = look->hits = look->misses = 0;
    look->used = 0;
    look->is_failed = look->is_long = false;
    scope_begin(&scope->scope, lane, NULL, now, false);
    scope->scope.look = look;
}

/* Each shard is unchanged since before anything was read of it, so the moment before the first check is one
 * at which all was there. */
bool scope_end_look(struct read_scope *scope) {
    struct look *look = scope->scope.look;
    struct lane *lane = scope->scope.lane;
    lane->scopes--;
    scope->scope.keyspace = NULL;
#ifdef PLANT_LATE_VERSION
    for (uint32_t i = 0; i < look->count; i++) rwlock_peek(look->seen[i].lock, &look->seen[i].version);
#endif
    for (uint32_t i = 0; i < look->count && !look->is_failed; i++)
        look->is_failed = !rwlock_is_unchanged(look->seen[i].lock, look->seen[i].version);
    if (look->is_failed) {
        counter_add(&lane->failed_looks, 1);
        return false;
    }
    counter_add(&lane->looks, 1);
    counter_add(&lane->hits, look->hits);
    counter_add(&lane->misses, look->misses);
    return true;
}

/* The copy that a look keeps of an entry, or NULL if there is no room. */
static const struct entry *look_copy(struct look *look, const struct entry *entry) {
    uint64_t *place = look->copies + look->used / sizeof(uint64_t);
    size_t bytes = entry_copy_words(entry, place, sizeof look->copies - look->used);
    if (bytes == 0) return NULL;
    look->used += bytes;
    return (const struct entry *)place;
}

/* Whether the key's home is still where it was found. */
static inline bool fetch_holds(const struct fetch *fetch, const struct lane *lane, const struct key *key,
                               uint32_t version) {
    return fetch != NULL && fetch->home.bucket != NULL && fetch->version == version &&
           fetch->voidings == lane->voidings && fetch->database == key->database;
}

static const struct entry *look_find(const struct scope *scope, const struct key *key) {
    struct look *look = scope->look;
    const struct shard *shard = keyspace_shard(scope->keyspace, key->hash);
    const struct fetch *fetch = key->fetch;
    uint32_t version;
    if (look->is_failed || look->count == LOOK_SHARDS || !rwlock_peek(&shard->lock, &version)) {
        look->is_failed = true;
        return NULL;
    }
    look->seen[look->count].lock = &shard->lock;
    look->seen[look->count++].version = version;
    if (fetch_holds(fetch, scope->lane, key, version)) return home_find(fetch->home, key);
    const struct table *table = keyspace_peek_table(scope->keyspace, shard->number, key->database);
    if (table == NULL) return NULL;
    struct home home = table_home(table, key->hash, &shard->lock, version);
    look->is_failed = home.bucket == NULL;
    return look->is_failed ? NULL : home_find(home, key);
}

/* What a command may see of what was found. */
static const struct entry *look_at(const struct scope *scope, const struct entry *original) {
    struct look *look = scope->look;
    const struct entry *entry = look_copy(look, original);
    if (entry != NULL && entry_expires(entry) && entry_expiry(entry) <= scope->now) return NULL;
    /* Values that are changed in place by plain stores, and those whose parts are. */
    if (entry == NULL || entry_type(entry) != TYPE_STRING || entry_encoding(entry) == ENCODING_GROWN) {
        look->is_failed = true;
        return NULL;
    }
    if (look->is_long && entry_string_length(entry) > LOOK_STRING) {
        look->is_failed = true;
        return NULL;
    }
    return entry;
}

inline __attribute__((always_inline)) void scope_glance(struct lane *lane, uint64_t hash, uint32_t database,
                                                        struct glance *glance) {
    assert(lane_is_inside(lane));
    const struct keyspace *keyspace = lane->keyspace;
    uint64_t number = keyspace_shard_number(keyspace, hash);
    glance->lock = &keyspace->shards[number].lock;
    glance->home = (struct home){NULL, 0};
    glance->is_failed = !rwlock_peek(glance->lock, &glance->version);
    const struct table *table = keyspace_peek_table(keyspace, number, database);
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
    if (entry != NULL && eviction_notes_use(lane))
        eviction_note_use(lane, (struct entry *)(uintptr_t)entry, moment_known(moment)->earliest);
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
    if (eviction_notes_use(lane)) {
        struct moment moment = {0, 0};
        eviction_note_use(lane, entry, moment_known(&moment)->earliest);
    }
    counter_add(&lane->exclusive_takes, 1);
    counter_add(&lane->changes, 1);
    rwlock_release_exclusive(lock);
    return true;
}

bool scope_holds(const struct scope *scope, uint64_t hash) {
    return scope->held == NULL || shard_set_has(scope->held, keyspace_shard(scope->keyspace, hash)->number);
}

static void assert_held(const struct scope *scope, const struct shard *shard) {
    bool is_held = scope->held == NULL || shard_set_has(scope->held, shard->number);
    assert(is_held && "the key's shard is in the scope");
    (void)is_held;
}

struct shard *scope_shard_shared(const struct scope *scope, uint64_t hash) {
    assert(scope->keyspace != NULL && "the scope has not ended");
    struct shard *shard = keyspace_shard(scope->keyspace, hash);
    assert_held(scope, shard);
    return shard;
}

struct shard *scope_shard_exclusive(const struct scope *scope, uint64_t hash) {
    assert(scope->keyspace != NULL && "the scope has not ended");
    struct shard *shard = keyspace_shard(scope->keyspace, hash);
    assert_held(scope, shard);
    assert(scope->is_exclusive);
    return shard;
}

/* ------------------------------------------------------------------ sleeping, for threads that may */

struct sleeper {
    struct waiter waiter; /* first: a waiter is cast back */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool is_woken;
};

/* At once, since a bell of its own would stand on the sleeper's stack. */
static struct bell *wake_sleeper(struct waiter *waiter) {
    struct sleeper *sleeper = (struct sleeper *)waiter;
    pthread_mutex_lock(&sleeper->mutex);
    sleeper->is_woken = true;
    pthread_cond_signal(&sleeper->condition);
    pthread_mutex_unlock(&sleeper->mutex);
    return NULL;
}

static void sleeper_init(struct sleeper *sleeper, bool is_exclusive) {
    *sleeper = (struct sleeper){.waiter = {.is_exclusive = is_exclusive, .wake = wake_sleeper}};
    pthread_mutex_init(&sleeper->mutex, NULL);
    pthread_cond_init(&sleeper->condition, NULL);
}

static void sleep_until_woken(struct sleeper *sleeper) {
    pthread_mutex_lock(&sleeper->mutex);
    while (!sleeper->is_woken) pthread_cond_wait(&sleeper->condition, &sleeper->mutex);
    pthread_mutex_unlock(&sleeper->mutex);
}

/* The waker may still hold the mutex when the sleeper sees is_woken; unparking waits for it, as it wakes
 * under the lot's mutex. */
static void sleeper_free(struct sleeper *sleeper) {
    pthread_mutex_destroy(&sleeper->mutex);
    pthread_cond_destroy(&sleeper->condition);
}

void scope_wait(struct lane *lane, struct rwlock *busy, bool is_exclusive) {
    assert(lane->scopes == 0 && "nobody waits while holding a shard");
    struct sleeper sleeper;
    sleeper_init(&sleeper, is_exclusive);
    lane_leave(lane);
    if (rwlock_park(busy, &sleeper.waiter)) {
        sleep_until_woken(&sleeper);
        rwlock_unpark(busy, &sleeper.waiter);
    }
    sleeper_free(&sleeper);
    lane_enter_waiting(lane);
}

static __attribute__((noinline, cold)) void wait_at_gate(struct lane *lane) {
    struct sleeper sleeper;
    sleeper_init(&sleeper, false);
    if (gate_park(lane, &sleeper.waiter)) {
        sleep_until_woken(&sleeper);
        gate_unpark(lane, &sleeper.waiter);
    }
    sleeper_free(&sleeper);
}

inline void lane_enter_waiting(struct lane *lane) {
    while (!lane_enter(lane)) wait_at_gate(lane);
}

/* After this many refusals the gate stays closed while the closer waits. */
#define PATIENCE 8

void gate_close_waiting(struct lane *lane) {
    for (int refusals = 0;; refusals++) {
        struct sleeper sleeper;
        sleeper_init(&sleeper, true);
        bool is_parked, is_closed = gate_try_close(lane, refusals >= PATIENCE, &sleeper.waiter, &is_parked);
        if (is_parked) {
            sleep_until_woken(&sleeper);
            gate_unpark(lane, &sleeper.waiter);
        }
        sleeper_free(&sleeper);
        if (is_closed) return;
    }
}

/* ------------------------------------------------------------------ reading */

static inline __attribute__((always_inline)) slot *find_slot(const struct scope *scope,
                                                             const struct shard *shard, const struct key *key)
    REQUIRES_SHARED(&shard->lock) {
    if (fetch_holds(key->fetch, scope->lane, key, rwlock_version(&shard->lock)))
        return home_find_slot(key->fetch->home, key);
    const struct table *table = shard_table(shard, key->database);
    return table == NULL ? NULL : table_find(table, key);
}

static const struct entry *find_held(const struct scope *scope, const struct key *key) {
    struct shard *shard = scope_shard_shared(scope, key->hash);
    shard_assert_shared(shard);
    const slot *at = find_slot(scope, shard, key);
    if (at == NULL) return NULL;
    const struct entry *entry = slot_entry(at);
    if (slot_expires(at) && entry_expiry(entry) <= scope->now) return NULL;
    return entry;
}

/* The key's own entry; of what a look has found, only what look_at shows may be believed. */
static inline const struct entry *find(const struct scope *scope, const struct key *key) {
    return scope->look != NULL ? look_find(scope, key) : find_held(scope, key);
}

static inline const struct entry *shown(const struct scope *scope, const struct entry *original) {
    return scope->look != NULL && original != NULL ? look_at(scope, original) : original;
}

/* The one thing that a shared holder writes to an entry: relaxed, and only if it changes. */
static void count_access(const struct scope *scope, const struct entry *entry) {
    eviction_note_use(scope->lane, (struct entry *)(uintptr_t)entry, scope->now);
}

/* NULL: the key is absent. */
static inline void count_read(const struct scope *scope, const struct entry *original) {
    if (scope->look == NULL)
        counter_add(original != NULL ? &scope->lane->hits : &scope->lane->misses, 1);
    else if (original != NULL)
        scope->look->hits++;
    else
        scope->look->misses++;
    if (original != NULL && scope->counts_access) count_access(scope, original);
}

static const struct entry *read(const struct scope *scope, const struct key *key) {
    const struct entry *original = find(scope, key), *entry = shown(scope, original);
    count_read(scope, entry != NULL ? original : NULL);
    return entry;
}

const struct entry *scope_read(const struct read_scope *scope, const struct key *key) {
    return read(&scope->scope, key);
}

/* The header stays as it is while others can see the entry, but for its access (entry_layout.h). */
const struct entry *scope_read_string(const struct read_scope *read_scope, const struct key *key,
                                      struct plain_string *plain) {
    const struct scope *scope = &read_scope->scope;
    const struct entry *original = find(scope, key), *entry = NULL;
    plain->entry = NULL;
    if (original != NULL) {
        struct entry_header header = entry_read_header(original);
        enum encoding encoding = kind_encoding(header.kind);
        if (kind_type(header.kind) != TYPE_STRING ||
            (encoding != ENCODING_SHORT && encoding != ENCODING_INLINE))
            entry = shown(scope, original);
        else if ((header.kind & KIND_EXPIRES) == 0 || entry_read_expiry(original) > scope->now)
            *plain =
                (struct plain_string){original, header_key_offset(header) + key->length, header.value_length};
    }
    count_read(scope, entry != NULL || plain->entry != NULL ? original : NULL);
    return entry;
}

void plain_string_copy(const struct plain_string *plain, char *out) {
    words_copy(plain->entry, plain->offset, out, plain->length);
}

const struct entry *scope_peek(const struct read_scope *scope, const struct key *key) {
    return shown(&scope->scope, find(&scope->scope, key));
}

const struct entry *scope_view(const struct write_scope *scope, const struct key *key) {
    return read(&scope->scope, key);
}

struct scan {
    const struct scope *scope;
    scope_visitor *visit;
    void *context;
    size_t visited;
};

static void scan_slot(void *context, slot *at) {
    struct scan *scan = context;
    const struct entry *entry = slot_entry(at);
    scan->visited++;
    if (slot_expires(at) && entry_expiry(entry) <= scan->scope->now) return;
    scan->visit(scan->context, entry);
}

uint64_t scope_scan(const struct read_scope *scope, uint32_t number, uint32_t database, uint64_t position,
                    size_t count, scope_visitor *visit, void *context) {
    const struct keyspace *keyspace = scope->scope.keyspace;
    assert(keyspace != NULL && "the scope has not ended");
    struct shard *shard = &keyspace->shards[number];
    assert_held(&scope->scope, shard);
    assert(keyspace_position_shard(keyspace, position) == number);
    shard_assert_shared(shard);
    const struct table *table = shard_table(shard, database);
    if (table == NULL) return SCOPE_SCAN_END;
    struct scan scan = {&scope->scope, visit, context, 0};
    uint64_t place = position << 12 << keyspace->shard_bits;
    do {
        place = table_visit(table, place, scan_slot, &scan);
        if (place == 0) return SCOPE_SCAN_END;
    } while (scan.visited < count);
    return keyspace_shard_position(keyspace, number) | place >> keyspace->shard_bits >> 12;
}

/* ------------------------------------------------------------------ changing */

static void tell_before(const struct edit *edit) {
    const struct keyspace *keyspace = edit->scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].before != NULL)
            keyspace->listeners[i].before(keyspace->listeners[i].context, edit->key, edit->entry);
}

static void tell_changed(const struct edit *edit, enum event event) {
    const struct keyspace *keyspace = edit->scope->scope.keyspace;
    for (uint32_t i = 0; i < keyspace->listener_count; i++)
        if (keyspace->listeners[i].changed != NULL)
            keyspace->listeners[i].changed(keyspace->listeners[i].context, edit->key, edit->entry, event, 0);
}

static slot *slot_of(const struct edit *edit) {
    return (slot *)(uintptr_t)edit->place;
}

static struct table *table_of(const struct edit *edit) {
    shard_assert_shared(edit->shard);
    return shard_table(edit->shard, edit->key->database);
}

void scope_edit(struct write_scope *scope, const struct key *key, struct edit *edit) {
    assert(!scope->scope.is_editing && "one edit at a time");
    struct shard *shard = scope_shard_exclusive(&scope->scope, key->hash);
    *edit = (struct edit){.scope = scope, .key = key, .shard = shard};
    shard_assert_shared(shard);
    slot *at = find_slot(&scope->scope, shard, key);
    scope->scope.is_editing = true;
    if (at != NULL) {
        edit->place = (uint64_t)(uintptr_t)at;
        edit->entry = slot_entry(at);
        if (slot_expires(at) && entry_expiry(edit->entry) <= scope->scope.now) {
            tell_before(edit);
            edit_remove(edit);
            tell_changed(edit, EVENT_EXPIRED);
            counter_add(&scope->scope.lane->expired, 1);
            edit->is_changed = false;
        }
    } else {
        eviction_expect(scope->scope.lane, key->hash);
    }
    tell_before(edit);
}

void scope_changed(struct edit *edit, enum event event) {
    struct scope *scope = &edit->scope->scope;
    assert(scope->is_editing);
    assert(!edit->is_open && "what was opened is closed");
    scope->is_editing = false;
    scope->changes++;
    counter_add(&scope->lane->changes, 1);
    if (edit->entry != NULL && scope->counts_access && !edit->is_new) count_access(scope, edit->entry);
    tell_changed(edit, event);
#ifdef PLANT_TORN_MSET
    if (event != EVENT_SET || scope->held == NULL || scope->held->count == 1) return;
    struct rwlock *busy;
    release_first(scope->keyspace, scope->held, scope->held->count, true);
    while (!take(scope->lane, scope->held, true, &busy)) continue;
#endif
}

void scope_count_more(struct write_scope *scope, int64_t more) {
    assert(more >= 0 || scope->scope.changes >= (uint64_t)-more);
    scope->scope.changes += (uint64_t)more;
    counter_add(&scope->scope.lane->changes, (uint64_t)more);
}

void scope_unchanged(struct edit *edit) {
    assert(edit->scope->scope.is_editing);
    assert(!edit->is_changed && "a change is told by scope_changed");
    assert(!edit->is_open);
    edit->scope->scope.is_editing = false;
}

/* The database's table, made on first use. */
static struct table *table_ensure(struct edit *edit) {
    struct table *table = table_of(edit);
    if (table != NULL) return table;
    struct keyspace *keyspace = edit->scope->scope.keyspace;
    keyspace_use_database(keyspace, edit->key->database);
    table = table_create(edit->shard->number, keyspace->shard_bits, edit->scope->scope.lane);
    if (table != NULL)
        atomic_init(&table->access_epoch,
                    atomic_load_explicit(&keyspace->eviction.epoch, memory_order_relaxed));
    shard_assert_exclusive(edit->shard);
    if (table != NULL) shard_set_table(edit->shard, edit->key->database, table);
    return table;
}

/* Puts `entry` where the key's entry is or belongs. The present one, if any, has been taken out of the counts
 * and is retired by the caller. */
static bool edit_place(struct edit *edit, struct entry *entry) {
    struct lane *lane = edit->scope->scope.lane;
    if (edit->entry != NULL) {
        struct table *table = table_of(edit);
        access_write(entry, access_read(edit->entry));
        table_replace(slot_of(edit), entry);
        table_count(table, entry, lane);
    } else {
        struct table *table = table_ensure(edit);
        if (table == NULL || !table_reserve(table, lane)) return false;
        access_write(
            entry, eviction_first_access(lane, edit->key->hash, entry_bytes(entry), edit->scope->scope.now));
        edit->is_new = true;
        edit->place = (uint64_t)(uintptr_t)table_insert(table, edit->key->hash, entry, lane);
    }
    edit->entry = entry;
    edit->is_changed = true;
    return true;
}

/* The key's value becomes that of `entry`, which is freed by `release` if that fails. */
static bool edit_replace_or(struct edit *edit, struct entry *entry, void (*release)(struct entry *entry)) {
    if (entry == NULL) return false;
    struct entry *before = edit->entry;
    if (before != NULL) table_uncount(table_of(edit), before, edit->scope->scope.lane);
    if (!edit_place(edit, entry)) {
        release(entry);
        return false;
    }
    if (before != NULL) entry_retire(edit->scope->scope.lane, before);
    return true;
}

static bool edit_replace(struct edit *edit, struct entry *entry) {
    return edit_replace_or(edit, entry, entry_free);
}

static void free_shell(struct entry *entry) {
    free(entry);
}

/* What the entry refers to stays the caller's if it fails. */
static bool edit_replace_shell(struct edit *edit, struct entry *entry) {
    return edit_replace_or(edit, entry, free_shell);
}

/* The same value in another entry: the old one's memory apart has moved over, so only the rest of it is
 * retired. */
static bool edit_reshape(struct edit *edit, struct entry *entry) {
    if (entry == NULL) return false;
    struct entry *before = edit->entry;
    struct table *table = table_of(edit);
    table_uncount(table, before, edit->scope->scope.lane);
    edit_place(edit, entry);
    lane_retire(edit->scope->scope.lane, before, memory_size(before), NULL);
    return true;
}

/* A string over one of the same length and kind: no allocation. */
static bool edit_overwrite(struct edit *edit, const char *data, size_t length, int64_t expiry) {
    struct entry *entry = edit->entry;
    if (entry == NULL || entry->value_length != length) return false;
    if (entry->kind != (kind_of_string(length) | (expiry != ENTRY_NO_EXPIRY ? KIND_EXPIRES : 0)))
        return false;
    entry_store(entry, entry_value_place(entry), data, length);
    edit->is_changed = true;
    return true;
}

static int64_t kept_expiry(const struct edit *edit, bool keeps) {
    return keeps && edit->entry != NULL ? entry_expiry(edit->entry) : ENTRY_NO_EXPIRY;
}

bool edit_put_string(struct edit *edit, const char *data, size_t length, struct blob *blob,
                     bool keep_expiry) {
    if (length > UINT32_MAX) return false;
    int64_t expiry = kept_expiry(edit, keep_expiry), value;
    if (length <= BLOB_LEAST && !(length <= NUMBER_DIGITS && number_parse(data, length, &value)) &&
        edit_overwrite(edit, data, length, expiry))
        return true;
    return edit_replace(edit, entry_create_string(edit->key, expiry, data, length, blob, FORM_ANY));
}

bool edit_put_integer(struct edit *edit, int64_t value) {
    int64_t present;
    if (edit->entry != NULL && entry_type(edit->entry) == TYPE_STRING &&
        entry_integer(edit->entry, &present)) {
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
        edit->is_changed = true;
        return true;
    }
    return edit_replace(edit, entry_create_integer(edit->key, kept_expiry(edit, true), value));
}

bool edit_put_text(struct edit *edit, const char *data, size_t length) {
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, true), data, length, NULL, FORM_TEXT));
}

bool edit_put_raw(struct edit *edit, const char *data, size_t length, struct blob *blob, bool keep_expiry) {
    if (length > UINT32_MAX) return false;
    return edit_replace(
        edit, entry_create_string(edit->key, kept_expiry(edit, keep_expiry), data, length, blob, FORM_RAW));
}

/* Room to grow into, so that a row of APPENDs copies each byte a bounded number of times: double, then a
 * megabyte at a time. */
static size_t roomy(size_t length) {
    return length < 1048576 ? length * 2 : length + 1048576;
}

/* The bytes of a grown string, if nobody else refers to them (a reply that is being sent, a copy of the key)
 * and there is room. */
static struct blob *own_blob(const struct entry *entry, size_t length) {
    if (entry == NULL || entry_encoding(entry) != ENCODING_GROWN) return NULL;
    struct blob *blob = entry_pointer(entry);
    /* Who refers to it from now on needs the lock; acquire, to be behind what others did who have let it
     * go. */
    bool is_own = atomic_load_explicit(&blob->references, memory_order_acquire) == 1;
    return is_own && blob->length >= length ? blob : NULL;
}

size_t scope_stretch_bytes(const struct write_scope *scope, const struct key *key, size_t length) {
    const struct read_scope reading = {scope->scope};
    const struct entry *entry = scope_peek(&reading, key);
    if (entry != NULL && entry_type(entry) != TYPE_STRING) return 0;
    size_t present = entry == NULL ? 0 : entry_string_length(entry);
    if (length < present) length = present;
    if (own_blob(entry, length) != NULL) return 0;
    return eviction_room_for(entry == NULL || length == present ? length : roomy(length));
}

char *edit_stretch_string(struct edit *edit, size_t length) {
    struct entry *entry = edit->entry;
    if (length > UINT32_MAX) return NULL;
    struct string_view view = {.data = "", .length = 0};
    if (entry != NULL) entry_string(entry, &view);
    assert(length >= view.length);
    struct blob *blob = own_blob(entry, length);
    if (blob != NULL) {
        memset(blob->data + view.length, 0, length - view.length);
        atomic_store_explicit((_Atomic uint32_t *)&entry->value_length, (uint32_t)length,
                              memory_order_relaxed);
        edit->is_changed = true;
        return blob->data;
    }
    /* Bytes of their own from here on: they are going to change, and may grow. */
    blob = blob_create(entry == NULL || length == view.length ? length : roomy(length));
    if (blob == NULL) return NULL;
    struct entry *grown = entry_create(TYPE_STRING, ENCODING_GROWN, edit->key, kept_expiry(edit, true),
                                       sizeof(void *), (uint32_t)length);
    if (grown == NULL) {
        blob_release(blob);
        return NULL;
    }
    if (view.length > 0) memcpy(blob->data, view.data, view.length);
    memset(blob->data + view.length, 0, length - view.length);
    entry_set_pointer(grown, blob);
    return edit_replace(edit, grown) ? blob->data : NULL;
}

bool edit_put_value(struct edit *edit, enum type type, void *value, bool keep_expiry) {
    return edit_replace_shell(edit,
                              entry_create_value(type, edit->key, kept_expiry(edit, keep_expiry), value));
}

void *edit_open_value(struct edit *edit) {
    assert(edit->entry != NULL && entry_encoding(edit->entry) == ENCODING_VALUE && !edit->is_open);
    table_uncount(table_of(edit), edit->entry, edit->scope->scope.lane);
    edit->is_open = true;
    return entry_pointer(edit->entry);
}

void edit_close_value(struct edit *edit, void *value, bool is_changed) {
    assert(edit->is_open);
    edit->is_open = false;
    if (value != entry_pointer(edit->entry))
        entry_store(edit->entry, entry_value_place(edit->entry), &value, sizeof value);
    table_count(table_of(edit), edit->entry, edit->scope->scope.lane);
    if (is_changed) edit->is_changed = true;
}

bool edit_set_expiry(struct edit *edit, int64_t expiry) {
    struct entry *entry = edit->entry;
    assert(entry != NULL);
    if (entry_expires(entry) && expiry != ENTRY_NO_EXPIRY) {
        struct table *table = table_of(edit);
        table_uncount(table, entry, edit->scope->scope.lane);
        entry_store(entry, entry->rest, &expiry, sizeof expiry);
        table_count(table, entry, edit->scope->scope.lane);
        edit->is_changed = true;
        return true;
    }
    if (!entry_expires(entry) && expiry == ENTRY_NO_EXPIRY) {
        edit->is_changed = true;
        return true;
    }
    return edit_reshape(edit, entry_create_like(entry, edit->key, expiry, true));
}

bool edit_put_copy(struct edit *edit, const struct entry *source) {
    return edit_replace(edit, entry_create_like(source, edit->key, entry_expiry(source), false));
}

bool edit_put_moved(struct edit *edit, const struct entry *source) {
    return edit_replace_shell(edit, entry_create_like(source, edit->key, entry_expiry(source), true));
}

/* Takes the entry out of the table; what becomes of it is the caller's. */
static struct entry *edit_unlink(struct edit *edit) {
    struct entry *entry = edit->entry;
    table_remove(table_of(edit), slot_of(edit), edit->key->hash, edit->scope->scope.lane);
    edit->entry = NULL;
    edit->place = 0;
    edit->is_changed = true;
    return entry;
}

void edit_remove_moved(struct edit *edit) {
    struct entry *entry = edit_unlink(edit);
    lane_retire(edit->scope->scope.lane, entry, memory_size(entry), NULL);
}

void edit_remove(struct edit *edit) {
    if (edit->entry == NULL) return;
    entry_retire(edit->scope->scope.lane, edit_unlink(edit));
}
