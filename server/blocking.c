#include "blocking.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../shard/scope_take.h"
#include "../shard/value/value.h"
#include "worker.h"

/* Waiters are dropped from a shard's list by who passes; these many that are done, and half of the list, are worth a pass of its own. */
#define DONE_MOST 16

struct shard_waiters {
    struct waiter_key *first, *last; /* guarded by the shard's lock */
    _Atomic uint32_t count;          /* written with the lock held; read as a hint */
    _Atomic uint32_t done;           /* of those, about how many wait no more */
};

static struct {
    struct keyspace *keyspace;
    struct shard_waiters *shards;
    _Atomic uint64_t count; /* in all lists */
} registry;

/* Keys that were filled on this thread while it holds their shards, and workers to be woken when it has let them go. */
#define READY_FEW 16
static _Thread_local struct {
    struct key few[READY_FEW];
    struct key *keys;
    uint32_t count, capacity;
    struct worker **workers;
    uint32_t worker_count, worker_capacity;
} ready;

static struct shard_waiters *waiters_of(uint64_t hash) {
    return &registry.shards[keyspace_shard_of(registry.keyspace, hash)];
}

static bool is_same_key(const struct key *one, const struct key *other) {
    return one->hash == other->hash && one->database == other->database && one->length == other->length &&
           (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

static bool is_waiting(const struct blocked_client *waiter) {
    return atomic_load_explicit(&waiter->state, memory_order_acquire) == WAITER_WAITING;
}

/* ------------------------------------------------------------------ waiters */

static void waiter_free(struct blocked_client *waiter) {
    for (uint32_t i = 0; i < waiter->count; i++) free(waiter->arguments[i].data);
    free(waiter->arguments);
    free(waiter->keys);
    reply_free(&waiter->reply);
    free(waiter);
}

void blocking_release(struct blocked_client *waiter) {
    if (atomic_fetch_sub_explicit(&waiter->references, 1, memory_order_acq_rel) == 1) waiter_free(waiter);
}

/* An argument as it is, or as the command wants it kept. */
static struct text text_kept(const struct blocked_client *waiter, const struct write_scope *scope, const struct call *call, uint32_t index,
                             char text[WAITING_TEXT]) {
    const struct waiting *waiting = waiter->waiting;
    size_t length = waiting == NULL || waiting->keep_argument == NULL ? 0 : waiting->keep_argument(scope, call, index, text);
    if (length > 0) return (struct text){text, length};
    return (struct text){call->arguments[index].data, call->arguments[index].length};
}

static bool copy_arguments(struct blocked_client *waiter, const struct write_scope *scope, const struct call *call) {
    waiter->arguments = calloc(call->count, sizeof *waiter->arguments);
    if (waiter->arguments == NULL) return false;
    for (; waiter->count < call->count; waiter->count++) {
        char text[WAITING_TEXT];
        struct text kept = text_kept(waiter, scope, call, waiter->count, text);
        char *data = malloc(kept.length + 1);
        if (data == NULL) return false;
        if (kept.length > 0) memcpy(data, kept.data, kept.length);
        waiter->arguments[waiter->count] = (struct bulk){data, kept.length, NULL};
    }
    return true;
}

/* The keys' bytes are those of the copied arguments. */
static bool copy_keys(struct blocked_client *waiter, const struct call *call) {
    waiter->keys = malloc(call->key_count * sizeof *waiter->keys);
    if (waiter->keys == NULL) return false;
    for (uint32_t i = 0; i < call->key_count; i++) {
        struct key key = call->keys[i];
        key.fetch = NULL; /* the batch's */
        for (uint32_t k = 0; k < call->count; k++)
            if (call->arguments[k].data == key.data) key.data = waiter->arguments[k].data;
        waiter->keys[i] = key;
    }
    waiter->key_count = call->key_count;
    return true;
}

static void unlink_wait(struct shard_waiters *shard, struct waiter_key *wait) {
    if (wait->previous != NULL) wait->previous->next = wait->next;
    else shard->first = wait->next;
    if (wait->next != NULL) wait->next->previous = wait->previous;
    else shard->last = wait->previous;
    atomic_fetch_sub_explicit(&shard->count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&registry.count, 1, memory_order_relaxed);
    blocking_release(wait->waiter);
}

static void drop_done(struct shard_waiters *shard) {
    uint32_t done = atomic_load_explicit(&shard->done, memory_order_relaxed);
    if (done < DONE_MOST || done < atomic_load_explicit(&shard->count, memory_order_relaxed) / 2) return;
    atomic_fetch_sub_explicit(&shard->done, done, memory_order_relaxed);
    for (struct waiter_key *wait = shard->first, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (!is_waiting(wait->waiter)) unlink_wait(shard, wait);
    }
}

static void link_wait(struct waiter_key *wait) {
    struct shard_waiters *shard = waiters_of(wait->key.hash);
    drop_done(shard);
    wait->previous = shard->last;
    wait->next = NULL;
    if (shard->last != NULL) shard->last->next = wait;
    else shard->first = wait;
    shard->last = wait;
    atomic_fetch_add_explicit(&shard->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&registry.count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&wait->waiter->references, 1, memory_order_relaxed);
}

/* Its entries in lists are done. */
static void count_done(const struct blocked_client *waiter) {
    for (uint32_t i = 0; i < waiter->waited_count; i++)
        atomic_fetch_add_explicit(&waiters_of(waiter->waits[i].key.hash)->done, 1, memory_order_relaxed);
}

static void answer_arrived(struct worker *worker, struct message *message);

struct blocked_client *blocking_register(struct worker *worker, struct connection *connection, const struct write_scope *scope,
                                         const struct call *call, const struct block *block) {
    uint32_t waited = block->key_count == 0 ? call->key_count : block->key_count;
    struct blocked_client *waiter = calloc(1, sizeof *waiter + waited * sizeof waiter->waits[0]);
    if (waiter == NULL) return NULL;
    atomic_init(&waiter->references, 1);
    waiter->message.handle = answer_arrived;
    waiter->worker = worker;
    waiter->connection = connection;
    waiter->command = call->command;
    waiter->database = call->database;
    waiter->protocol = call->protocol;
    waiter->type = block->type;
    waiter->waiting = block->waiting;
    waiter->waited_count = waited;
    waiter->deadline = INT64_MAX;
    waiter->heap_index = DEADLINE_NONE;
    reply_init(&waiter->reply, call->protocol);
    if (!copy_arguments(waiter, scope, call) || !copy_keys(waiter, call)) {
        waiter_free(waiter);
        return NULL;
    }
    for (uint32_t i = 0; i < waited; i++) {
        waiter->waits[i] = (struct waiter_key){.waiter = waiter, .key = waiter->keys[i], .index = i};
        link_wait(&waiter->waits[i]);
    }
    return waiter;
}

static bool finish(struct blocked_client *waiter, enum waiter_state state) {
    int expected = WAITER_WAITING;
    if (!atomic_compare_exchange_strong_explicit(&waiter->state, &expected, (int)state, memory_order_acq_rel, memory_order_acquire)) return false;
    count_done(waiter);
    return true;
}

bool blocking_cancel(struct blocked_client *waiter, enum waiter_end end) {
    if (!finish(waiter, WAITER_CANCELLED)) return false;
    waiter->end = end;
    return true;
}

/* On the waiter's worker. */
static void answer_arrived(struct worker *worker, struct message *message) {
    struct blocked_client *waiter = (struct blocked_client *)message;
    (void)worker;
    waiter->is_answered = true;
    if (waiter->connection != NULL) connection_wake(waiter->connection);
    blocking_release(waiter);
}

/* ------------------------------------------------------------------ keys that are filled */

/* Is there somebody to whom it matters that the key has been filled, or has gone? */
static bool has_waiter(const struct key *key, bool is_gone) {
    struct shard_waiters *shard = waiters_of(key->hash);
    if (atomic_load_explicit(&shard->count, memory_order_relaxed) == 0) return false;
    for (struct waiter_key *wait = shard->first; wait != NULL; wait = wait->next)
        if (is_same_key(&wait->key, key) && is_waiting(wait->waiter) && (!is_gone || wait->waiter->waiting != NULL)) return true;
    return false;
}

static bool ready_grow(void) {
    uint32_t capacity = ready.capacity < READY_FEW ? READY_FEW : ready.capacity * 2;
    struct key *keys = malloc(capacity * sizeof *keys);
    if (keys == NULL) return false;
    memcpy(keys, ready.keys, ready.count * sizeof *keys);
    if (ready.keys != ready.few) free(ready.keys);
    ready.keys = keys;
    ready.capacity = capacity;
    return true;
}

static void note_ready(const struct key *key) {
    if (ready.keys == NULL) {
        ready.keys = ready.few;
        ready.capacity = READY_FEW;
    }
    for (uint32_t i = 0; i < ready.count; i++)
        if (is_same_key(&ready.keys[i], key)) return;
    if (ready.count == ready.capacity && !ready_grow()) return; /* its waiters are served when the key is filled next */
    /* A copy: the bytes may be a waiter's, who is served and gone before its turn comes. */
    char *bytes = malloc(key->length + 1);
    if (bytes == NULL) return;
    if (key->length > 0) memcpy(bytes, key->data, key->length);
    ready.keys[ready.count++] = (struct key){bytes, key->length, key->hash, key->database, NULL};
}

/* The gate is closed: every list is ours. Keys of this database are other values now. */
static void note_database(uint32_t database) {
    for (uint32_t i = 0; i < keyspace_shard_count(registry.keyspace); i++)
        for (struct waiter_key *wait = registry.shards[i].first; wait != NULL; wait = wait->next)
            if (wait->key.database == database && is_waiting(wait->waiter)) note_ready(&wait->key);
}

/* A call for one of the keys that it waits for. all: room for that key and the one that it needs besides. */
static struct call call_of(const struct waiter_key *wait, int64_t now, struct key all[2]) {
    static const struct session nobody;
    const struct blocked_client *waiter = wait->waiter;
    struct call call = {
        .command = waiter->command,
        .arguments = waiter->arguments,
        .count = waiter->count,
        .keys = all,
        .key_count = 1,
        .key_index = wait->index,
        .database = waiter->database,
        .protocol = waiter->protocol,
        .now = now,
        .session = &nobody,
        .keyspace = registry.keyspace,
    };
    all[0] = wait->key;
    if (waiter->key_count > waiter->waited_count) all[call.key_count++] = waiter->keys[waiter->waited_count];
    return call;
}

/* What has expired or been evicted went in a scope that serves nobody: who doesn't go on waiting is told at once. It stays in its lists, one of which
 * somebody may be going through. */
static void refuse_waiters(const struct key *key) {
    for (struct waiter_key *wait = waiters_of(key->hash)->first; wait != NULL; wait = wait->next) {
        struct blocked_client *waiter = wait->waiter;
        struct key all[2];
        if (waiter->waiting == NULL || waiter->waiting->reply_gone == NULL || !is_same_key(&wait->key, key)) continue;
        if (!finish(waiter, WAITER_SERVED)) continue;
        struct call call = call_of(wait, 0, all);
        waiter->waiting->reply_gone(&call, &waiter->reply);
        atomic_fetch_add_explicit(&waiter->references, 1, memory_order_relaxed); /* the message's */
        if (worker_push(waiter->worker, &waiter->message)) worker_wake(waiter->worker);
    }
}

static void on_changed(void *context, const struct key *key, const struct entry *entry, enum event event, uint32_t other) {
    (void)context;
    (void)other;
    if (!blocking_is_on()) return;
    if (event == EVENT_SWAP || event == EVENT_FLUSH) note_database(key->database);
    else if (event == EVENT_EXPIRED || event == EVENT_EVICTED) refuse_waiters(key);
    else if (has_waiter(key, entry == NULL)) note_ready(key);
}

bool blocking_start(struct keyspace *keyspace) {
    registry.keyspace = keyspace;
    registry.shards = calloc(keyspace_shard_count(keyspace), sizeof *registry.shards);
    if (registry.shards == NULL) return false;
    keyspace_listen(keyspace, &(struct keyspace_listener){.changed = on_changed});
    return true;
}

void blocking_stop(void) {
    for (uint32_t i = 0; registry.shards != NULL && i < keyspace_shard_count(registry.keyspace); i++)
        while (registry.shards[i].first != NULL) unlink_wait(&registry.shards[i], registry.shards[i].first);
    free(registry.shards);
    registry.shards = NULL;
}

bool blocking_is_on(void) {
    return atomic_load_explicit(&registry.count, memory_order_relaxed) > 0;
}

/* ------------------------------------------------------------------ serving */

static bool is_held(const struct shard_set *held, uint32_t number) {
    for (uint32_t i = 0; i < held->count; i++)
        if (held->numbers[i] == number) return true;
    return false;
}

bool blocking_needs_more(const struct key *keys, uint32_t count, const struct shard_set *held, struct shard_set *more) {
    struct key few[64]; /* to be looked at: what waiters need may have waiters itself */
    uint32_t known = 0;
    bool is_more = false;
    for (uint32_t i = 0; i < count && known < 64; i++) few[known++] = keys[i];
    for (uint32_t i = 0; i < known; i++) {
        if (!is_held(held, keyspace_shard_of(registry.keyspace, few[i].hash))) continue; /* when it is, this is called again */
        for (struct waiter_key *wait = waiters_of(few[i].hash)->first; wait != NULL; wait = wait->next) {
            const struct blocked_client *waiter = wait->waiter;
            /* Whatever the database: MOVE and COPY fill a key's namesake. */
            if (wait->key.hash != few[i].hash || waiter->key_count == waiter->waited_count || !is_waiting(waiter)) continue;
            for (uint32_t k = waiter->waited_count; k < waiter->key_count; k++) {
                uint32_t shard = keyspace_shard_of(registry.keyspace, waiter->keys[k].hash);
                if (!is_held(held, shard)) is_more = shard_set_add(more, shard) || is_more;
                if (known < 64) few[known++] = waiter->keys[k];
            }
        }
    }
    return is_more;
}

static void note_worker(struct worker *worker) {
    for (uint32_t i = 0; i < ready.worker_count; i++)
        if (ready.workers[i] == worker) return;
    if (ready.worker_count == ready.worker_capacity) {
        uint32_t capacity = ready.worker_capacity == 0 ? 8 : ready.worker_capacity * 2;
        struct worker **workers = realloc(ready.workers, capacity * sizeof(struct worker *));
        if (workers == NULL) {
            worker_wake(worker); /* rather under the lock than never */
            return;
        }
        ready.workers = workers;
        ready.worker_capacity = capacity;
    }
    ready.workers[ready.worker_count++] = worker;
}

void blocking_wake(void) {
    for (; ready.worker_count > 0; ready.worker_count--) worker_wake(ready.workers[ready.worker_count - 1]);
}

void blocking_detach(void) {
    free(ready.workers);
    if (ready.keys != ready.few) free(ready.keys);
    ready.workers = NULL;
    ready.keys = NULL;
    ready.worker_capacity = ready.capacity = 0;
}

/* Runs the waiter's command for the key that was filled, and sends the reply. */
static void serve_one(struct write_scope *scope, struct waiter_key *wait) {
    struct blocked_client *waiter = wait->waiter;
    struct block block = {.wants = false};
    struct key all[2];
    struct call call = call_of(wait, scope->scope.now, all);
    call.block = &block;
    atomic_fetch_add_explicit(&waiter->references, 1, memory_order_relaxed); /* the message's */
    waiter->command->write(scope, &call, &waiter->reply);
    assert(!block.wants && "there is something to take, or an error to tell");
    if (worker_push(waiter->worker, &waiter->message)) note_worker(waiter->worker);
}

static bool is_ready(const struct waiter_key *wait, const struct entry *entry, int64_t now) {
    const struct blocked_client *waiter = wait->waiter;
    struct key all[2];
    if (waiter->waiting == NULL || waiter->waiting->is_ready == NULL) return entry != NULL && entry_type(entry) == waiter->type;
    struct call call = call_of(wait, now, all);
    return waiter->waiting->is_ready(&call, entry);
}

/* In the order in which they came, as long as there is something that they wait for. */
static void serve_key(struct write_scope *scope, const struct key *key) {
    struct shard_waiters *shard = waiters_of(key->hash);
    const struct read_scope reading = {scope->scope};
    for (struct waiter_key *wait = shard->first, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (!is_same_key(&wait->key, key) || !is_waiting(wait->waiter)) continue;
        if (!is_ready(wait, scope_peek(&reading, key), scope->scope.now) || !finish(wait->waiter, WAITER_SERVED)) continue;
        serve_one(scope, wait);
        unlink_wait(shard, wait);
        atomic_fetch_sub_explicit(&shard->done, 1, memory_order_relaxed);
    }
}

void blocking_serve(struct write_scope *scope) {
    /* What is served may fill another key (BLMOVE), which is then noted behind the others. */
    for (uint32_t i = 0; i < ready.count; i++) {
        struct key key = ready.keys[i];
        ready.keys[i] = (struct key){.length = SIZE_MAX}; /* it may be noted anew */
        serve_key(scope, &key);
        free((char *)(uintptr_t)key.data);
    }
    ready.count = 0;
}

/* ------------------------------------------------------------------ deadlines */

static void heap_put(struct deadline_heap *heap, uint32_t index, struct blocked_client *waiter) {
    heap->waiters[index] = waiter;
    waiter->heap_index = index;
}

static void heap_settle(struct deadline_heap *heap, uint32_t index, struct blocked_client *waiter) {
    for (; index > 0 && heap->waiters[(index - 1) / 2]->deadline > waiter->deadline; index = (index - 1) / 2)
        heap_put(heap, index, heap->waiters[(index - 1) / 2]);
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && heap->waiters[child + 1]->deadline < heap->waiters[child]->deadline) child++;
        if (heap->waiters[child]->deadline >= waiter->deadline) break;
        heap_put(heap, index, heap->waiters[child]);
        index = child;
    }
    heap_put(heap, index, waiter);
}

bool deadline_add(struct deadline_heap *heap, struct blocked_client *waiter) {
    if (heap->count == heap->capacity) {
        uint32_t capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
        struct blocked_client **waiters = realloc(heap->waiters, capacity * sizeof(struct blocked_client *));
        if (waiters == NULL) return false;
        heap->waiters = waiters;
        heap->capacity = capacity;
    }
    heap_settle(heap, heap->count++, waiter);
    return true;
}

void deadline_remove(struct deadline_heap *heap, struct blocked_client *waiter) {
    uint32_t index = waiter->heap_index;
    if (index == DEADLINE_NONE) return;
    assert(heap->waiters[index] == waiter);
    waiter->heap_index = DEADLINE_NONE;
    struct blocked_client *last = heap->waiters[--heap->count];
    if (last != waiter) heap_settle(heap, index, last);
}
