#include "watch.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/mutex.h"
#include "shard/keyspace.h"
#include "shard/scope/scope_take.h"
#include "interest.h"

/* A sweep gives up so many, and an eighth of those that wait for it: then they can't become ever more while
 * a client watches and unwatches. */
#define SWEEP_LEAST 1024
#define SWEEP_SHARE 8
#define CAPACITY_FIRST 4
/* A list of more than so many has an index. */
#define LINEAR_MOST 16

/* Guarded by its key's shard; the version is read without it where a guess will do. */
struct watched {
    struct interest interest; /* first: an interest is cast back */
    struct key key;
    uint32_t watchers;
    bool exists; /* as the last change left it */
    _Atomic uint64_t version;
    char name[];
};

struct watch {
    struct watched *record;
    uint64_t version;
    bool existed;
};

/* What is watched once more while it is watched is there already: so a client's list is as long as the keys
 * that it watches are many, however often it does. */
struct watch_list {
    struct watch_list *next_ended;
    uint32_t count, capacity;
    size_t bytes;
    uint32_t
        *index; /* twice the capacity, by the keys' hashes: 1 + a place in `watches`; NULL: there are few */
    struct watch watches[];
};

static struct {
    struct keyspace *keyspace;
    struct mutex mutex;
    struct watch_list *abandoned GUARDED_BY(&mutex);
} registry = {.mutex = MUTEX_INITIALIZER};

/* ------------------------------------------------------------------ records */

/* Redis doesn't take a stream for changed by what happens to its groups. */
static bool is_aside(enum event event) {
    switch (event) {
    case EVENT_ENCODING:
    case EVENT_XSETID:
    case EVENT_XGROUP_CREATE:
    case EVENT_XGROUP_CREATECONSUMER:
    case EVENT_XGROUP_DELCONSUMER:
    case EVENT_XGROUP_DESTROY:
    case EVENT_XGROUP_SETID:
    case EVENT_XREADGROUP:
    case EVENT_XACK:
    case EVENT_XCLAIM:
    case EVENT_XAUTOCLAIM: return true;
    default: return false;
    }
}

/* A database that is emptied changes only what was there; one that is exchanged, what was there or is now. */
static void on_changed(struct interest *interest, struct write_scope *scope, const struct entry *entry,
                       enum event event) {
    struct watched *record = (struct watched *)interest;
    bool existed = record->exists;
    record->exists = entry != NULL;
    if (event == EVENT_SWAP) {
        struct read_scope reading = {scope->scope};
        record->exists = scope_peek(&reading, &record->key) != NULL;
    }
    if ((event == EVENT_SWAP || event == EVENT_FLUSH) && !existed && !record->exists) return;
    if (is_aside(event) && existed && record->exists) return;
    uint64_t version = atomic_load_explicit(&record->version, memory_order_relaxed);
    atomic_store_explicit(&record->version, version + 1, memory_order_relaxed);
}

static const struct interest_kind kind = {.changed = on_changed};

static struct watched *record_find(const struct key *key) {
    for (struct interest *interest = interest_near(key); interest != NULL;
         interest = interest_behind(interest))
        if (interest->kind == &kind && key_equals(interest->key, key)) return (struct watched *)interest;
    return NULL;
}

static struct watched *record_create(const struct key *key, bool exists) {
    struct watched *record = malloc(sizeof *record + key->length);
    if (record == NULL) return NULL;
    *record =
        (struct watched){.interest.kind = &kind, .interest.in_absence = true, .key = *key, .exists = exists};
    memcpy(record->name, key->data, key->length);
    record->key.data = record->name;
    record->key.fetch = NULL;
    record->interest.key = &record->key;
    if (interest_insert(&record->interest)) return record;
    free(record);
    return NULL;
}

/* Its shard is held exclusively, or no other thread is left. */
static void record_leave(struct watched *record, bool is_listed) {
    assert(record->watchers > 0);
    if (--record->watchers > 0) return;
    if (is_listed) interest_remove(&record->interest);
    free(record);
}

/* ------------------------------------------------------------------ a session's list */

static size_t record_bytes(const struct watched *record) {
    return sizeof *record + record->key.length;
}

static uint32_t *index_place(const struct watch_list *list, const struct watched *record) {
    uint32_t mask = list->capacity * 2 - 1, at = (uint32_t)record->key.hash & mask;
    while (list->index[at] != 0 && list->watches[list->index[at] - 1].record != record) at = (at + 1) & mask;
    return &list->index[at];
}

static bool list_has(const struct watch_list *list, const struct watched *record) {
    if (list->index != NULL) return *index_place(list, record) != 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->watches[i].record == record) return true;
    return false;
}

static void list_append(struct watch_list *list, const struct watch *watch) {
    list->watches[list->count++] = *watch;
    list->bytes += record_bytes(watch->record);
    if (list->index != NULL) *index_place(list, watch->record) = list->count;
}

static struct watch_list *list_with_room(struct watch_list *list) {
    if (list != NULL && list->count < list->capacity) return list;
    if (list != NULL && list->capacity > UINT32_MAX / 8) return NULL;
    uint32_t capacity = list == NULL ? CAPACITY_FIRST : list->capacity * 2;
    size_t size = sizeof *list + capacity * sizeof(struct watch),
           index_size = 2 * capacity * sizeof(uint32_t);
    bool has_index = capacity > LINEAR_MOST;
    uint32_t *index = has_index ? calloc(2 * capacity, sizeof *index) : NULL;
    struct watch_list *larger = has_index && index == NULL ? NULL : realloc(list, size);
    if (larger == NULL) {
        free(index);
        return NULL;
    }
    if (list == NULL) *larger = (struct watch_list){.bytes = 0};
    if (larger->index != NULL) larger->bytes -= 2 * larger->capacity * sizeof(uint32_t);
    free(larger->index);
    larger->bytes += size + (has_index ? index_size : 0);
    if (list != NULL) larger->bytes -= sizeof *larger + larger->capacity * sizeof(struct watch);
    larger->capacity = capacity;
    larger->index = index;
    for (uint32_t i = 0; has_index && i < larger->count; i++)
        *index_place(larger, larger->watches[i].record) = i + 1;
    return larger;
}

static void list_free(struct watch_list *list) {
    free(list->index);
    free(list);
}

bool watch_add(struct watch_list **list, struct write_scope *scope, const struct key *key) {
    struct watch_list *larger = list_with_room(*list);
    struct edit edit;
    if (larger == NULL) return false;
    *list = larger;
    scope_edit(scope, key, &edit);
    bool exists = edit.entry != NULL;
    scope_unchanged(&edit);
    struct watched *record = record_find(key);
    /* If it has changed since then, that is what matters. */
    if (record != NULL && list_has(larger, record)) return true;
    if (record == NULL) record = record_create(key, exists);
    if (record == NULL) return false;
    uint64_t version = atomic_load_explicit(&record->version, memory_order_relaxed);
    record->watchers++;
    list_append(larger, &(struct watch){.record = record, .version = version, .existed = exists});
    return true;
}

static bool is_changed(const struct watch *watch) {
    return atomic_load_explicit(&watch->record->version, memory_order_relaxed) != watch->version;
}

bool watch_is_touched(const struct watch_list *list, const struct read_scope *scope) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct watch *watch = &list->watches[i];
        if (is_changed(watch)) return true;
        /* Its time may be up, and nobody has noticed yet. */
        if (watch->existed && scope_peek(scope, &watch->record->key) == NULL) return true;
    }
    return false;
}

void watch_renew(struct watch_list *list) {
    for (uint32_t i = 0; i < list->count; i++)
        list->watches[i].version =
            atomic_load_explicit(&list->watches[i].record->version, memory_order_relaxed);
}

bool watch_seems_touched(const struct watch_list *list) {
    for (uint32_t i = 0; i < list->count; i++)
        if (is_changed(&list->watches[i])) return true;
    return false;
}

uint32_t watch_count(const struct watch_list *list) {
    return list->count;
}

const struct key *watch_key(const struct watch_list *list, uint32_t index) {
    return &list->watches[index].record->key;
}

size_t watch_bytes(const struct watch_list *list) {
    return list->bytes;
}

/* ------------------------------------------------------------------ lists that have ended */

/* Those of its records that the scope holds. */
static void leave_held(struct watch_list *list, const struct write_scope *scope) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct watched *record = list->watches[i].record;
        if (!scope_holds(&scope->scope, record->key.hash)) {
            list->watches[kept++] = list->watches[i];
            continue;
        }
        list->bytes -= record_bytes(record);
        record_leave(record, true);
    }
    list->count = kept;
}

void watch_end(struct ended_watches *ended, struct watch_list *list, struct write_scope *scope) {
    if (scope != NULL) leave_held(list, scope);
    if (list->count == 0) {
        list_free(list);
        return;
    }
    list->next_ended = NULL;
    if (ended->last != NULL)
        ended->last->next_ended = list;
    else
        ended->first = list;
    ended->last = list;
    ended->count += list->count;
    ended->bytes += list->bytes;
}

/* One after the other from the end. false: a shard is busy. */
static bool list_leave(struct ended_watches *ended, struct watch_list *list, struct lane *lane,
                       struct shard_set *set, int64_t now, size_t *steps) {
    while (list->count > 0 && *steps > 0) {
        struct watched *record = list->watches[list->count - 1].record;
        size_t bytes = record_bytes(record);
        struct write_scope scope;
        struct rwlock *busy;
        shard_set_clear(set);
        shard_set_add(set, keyspace_shard_of(registry.keyspace, record->key.hash));
        --*steps;
        if (!scope_try_write(&scope, lane, set, now, &busy)) return false;
        record_leave(record, true);
        scope_end_write(&scope);
        list->count--;
        list->bytes -= bytes;
        ended->count--;
        ended->bytes -= bytes;
    }
    return true;
}

int watch_sweep(struct ended_watches *ended, struct lane *lane, int64_t now) {
    if (ended->first == NULL) return -1;
    if (!lane_enter(lane)) return 1;
    struct shard_set set;
    size_t steps = SWEEP_LEAST + ended->count / SWEEP_SHARE;
    bool is_busy = false;
    shard_set_init(&set);
    for (struct watch_list **place = &ended->first, *list; (list = *place) != NULL && steps > 0;) {
        if (!list_leave(ended, list, lane, &set, now, &steps)) is_busy = true;
        if (list->count > 0) {
            place = &list->next_ended;
            continue;
        }
        *place = list->next_ended;
        ended->bytes -= list->bytes;
        list_free(list);
    }
    ended->last = NULL;
    for (struct watch_list *list = ended->first; list != NULL; list = list->next_ended) ended->last = list;
    shard_set_free(&set);
    lane_leave(lane);
    if (ended->first == NULL) return -1;
    return is_busy ? 1 : 0;
}

void watch_abandon(struct ended_watches *ended) {
    if (ended->first == NULL) return;
    mutex_lock(&registry.mutex);
    ended->last->next_ended = registry.abandoned;
    registry.abandoned = ended->first;
    mutex_unlock(&registry.mutex);
    *ended = (struct ended_watches){.first = NULL};
}

void watch_start(struct keyspace *keyspace) {
    registry.keyspace = keyspace;
}

/* The tables of interests have been forgotten by now. */
void watch_stop(void) {
    mutex_lock(&registry.mutex);
    for (struct watch_list *list = registry.abandoned, *next; list != NULL; list = next) {
        next = list->next_ended;
        for (uint32_t i = 0; i < list->count; i++) record_leave(list->watches[i].record, false);
        list_free(list);
    }
    registry.abandoned = NULL;
    mutex_unlock(&registry.mutex);
}
