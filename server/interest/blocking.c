#include "blocking.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/counter.h"
#include "shard/keyspace.h"
#include "shard/base/mutex.h"
#include "shard/scope/scope_take.h"
#include "shard/value/value.h"
#include "server/task/task.h"
#include "server/task/user.h"
#include "server/worker/worker.h"

static struct {
    struct keyspace *keyspace;
    _Atomic uint64_t count; /* of waiters that are not freed yet */
    struct mutex mutex;
    struct blocked_client *abandoned GUARDED_BY(&mutex); /* by workers that have ended */
} registry = {.mutex = MUTEX_INITIALIZER};

#define WAKES 256 /* workers that there may be */
/* Lines to be served on this thread, which holds their shards until it has; and workers to be woken when it
 * has let them go. */
static _Thread_local struct {
    struct waiter_key *first, *last;
    bool is_any_woken;
    uint64_t woken[WAKES / 64];
} ready;

static const struct interest_kind kind;

static struct waiter_key *line_of(struct interest *interest) {
    return (struct waiter_key *)((char *)interest - offsetof(struct waiter_key, interest));
}

static const struct key *key_of(const struct waiter_key *wait) {
    return wait->interest.key;
}

static bool is_waiting(const struct blocked_client *waiter) {
    return atomic_load_explicit(&waiter->state, memory_order_acquire) == WAITER_WAITING;
}

static uint32_t index_of(const struct waiter_key *wait) {
    return (uint32_t)(wait->interest.key - wait->waiter->keys);
}

static bool cares_if_gone(const struct blocked_client *waiter) {
    return waiter->waiting != NULL && waiter->waiting->reply_gone != NULL;
}

/* Whether either all of its line have something to take or nobody has. */
static bool is_uniform(const struct blocked_client *waiter) {
    return waiter->waiting == NULL || waiter->subject != NULL;
}

/* Whether they wait for the same, given the same key. */
static bool is_alike(const struct blocked_client *one, const struct blocked_client *other) {
    if (one->type != other->type || one->waiting != other->waiting) return false;
    if (one->subject == NULL || other->subject == NULL) return one->subject == other->subject;
    size_t length = one->subject->length;
    return length == other->subject->length &&
           (length == 0 || memcmp(one->subject->data, other->subject->data, length) == 0);
}

static struct waiter_key *line_find(const struct waiter_key *wait) {
    for (struct interest *interest = interest_near(key_of(wait)); interest != NULL;
         interest = interest_behind(interest)) {
        if (interest->kind != &kind || !key_equals(interest->key, key_of(wait))) continue;
        struct waiter_key *line = line_of(interest);
        if (is_alike(line->waiter, wait->waiter)) return line;
    }
    return NULL;
}

/* ------------------------------------------------------------------ lines to be served */

static void ready_append(struct waiter_key *line) {
    if (line->is_ready) return;
    line->is_ready = true;
    line->ready_next = NULL;
    line->ready_previous = ready.last;
    if (ready.last != NULL)
        ready.last->ready_next = line;
    else
        ready.first = line;
    ready.last = line;
}

/* Takes it out, or has another one stand there instead. */
static void ready_replace(struct waiter_key *line, struct waiter_key *by) {
    if (!line->is_ready) return;
    line->is_ready = false;
    struct waiter_key *before = line->ready_previous, *behind = line->ready_next;
    if (by != NULL) {
        by->is_ready = true;
        by->ready_previous = before;
        by->ready_next = behind;
    }
    if (before != NULL)
        before->ready_next = by != NULL ? by : behind;
    else
        ready.first = by != NULL ? by : behind;
    if (behind != NULL)
        behind->ready_previous = by != NULL ? by : before;
    else
        ready.last = by != NULL ? by : before;
}

/* ------------------------------------------------------------------ waiters */

static bool is_linked(const struct waiter_key *wait) {
    return atomic_load_explicit(&wait->is_linked, memory_order_relaxed);
}

/* false when out of memory. A key that the command names twice is waited for once: its own wait is then the
 * last of the line. */
static bool link_wait(struct waiter_key *wait) {
    struct waiter_key *first = line_find(wait);
    if (first == NULL) {
        wait->previous = wait;
        if (!interest_insert(&wait->interest)) return false;
    } else {
        struct waiter_key *last = first->previous;
        if (last->waiter == wait->waiter) return true;
        last->next = wait;
        wait->previous = last;
        first->previous = wait;
    }
    atomic_store_explicit(&wait->is_linked, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&wait->waiter->linked, 1, memory_order_relaxed);
    return true;
}

static void unlink_first(struct waiter_key *wait) {
    struct waiter_key *next = wait->next;
    ready_replace(wait, next);
    if (next == NULL) {
        interest_remove(&wait->interest);
        return;
    }
    interest_replace(&wait->interest, &next->interest);
    next->previous = wait->previous;
}

/* Its shard is held exclusively. From here on a waiter that is done may be freed. */
static void unlink_wait(struct waiter_key *wait) {
    struct waiter_key *next = wait->next;
    if (wait->previous->next == NULL) {
        unlink_first(wait);
    } else {
        struct waiter_key *behind = next != NULL ? next : line_find(wait);
        wait->previous->next = next;
        behind->previous = wait->previous;
    }
    atomic_store_explicit(&wait->is_linked, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&wait->waiter->linked, 1, memory_order_release);
}

static void waiter_free(struct blocked_client *waiter) {
    atomic_fetch_sub_explicit(&registry.count, 1, memory_order_relaxed);
    user_let_go(waiter->user);
    reply_free(&waiter->reply);
    free(waiter);
}

/* An argument as it is, or as the command wants it kept. */
static struct text text_kept(const struct waiting *waiting, const struct write_scope *scope,
                             const struct call *call, uint32_t index, char text[WAITING_TEXT]) {
    size_t length = waiting == NULL || waiting->keep_argument == NULL
                        ? 0
                        : waiting->keep_argument(scope, call, index, text);
    if (length > 0) return (struct text){text, length};
    return (struct text){call->arguments[index].data, call->arguments[index].length};
}

static void copy_arguments(struct blocked_client *waiter, char *data, const struct write_scope *scope,
                           const struct call *call) {
    for (; waiter->count < call->count; waiter->count++) {
        char text[WAITING_TEXT];
        struct text kept = text_kept(waiter->waiting, scope, call, waiter->count, text);
        if (kept.length > 0) memcpy(data, kept.data, kept.length);
        waiter->arguments[waiter->count] = (struct bulk){data, kept.length, NULL};
        data += kept.length + 1;
    }
}

/* The keys' bytes are those of the copied arguments. They come in the arguments' order, so each is found
 * where the one before it was, or soon after. */
static void copy_keys(struct blocked_client *waiter, const struct call *call) {
    for (uint32_t i = 0, at = 0; i < call->key_count; i++) {
        struct key key = call->keys[i];
        for (uint32_t tries = 0; tries < call->count && call->arguments[at].data != key.data; tries++)
            at = at + 1 == call->count ? 0 : at + 1;
        assert(call->arguments[at].data == key.data);
        key.data = waiter->arguments[at].data;
        key.fetch = NULL; /* the batch's */
        waiter->keys[i] = key;
    }
    waiter->key_count = call->key_count;
}

/* In one piece: the waits, the keys, the arguments, and their bytes. Each wait may also cost two places in
 * its shard's table. */
static struct blocked_client *waiter_create(const struct write_scope *scope, const struct call *call,
                                            const struct block *block, uint32_t waited) {
    size_t bytes = sizeof(struct blocked_client) + waited * sizeof(struct waiter_key) +
                   call->key_count * sizeof(struct key) + call->count * sizeof(struct bulk);
    char text[WAITING_TEXT];
    for (uint32_t i = 0; i < call->count; i++)
        bytes += text_kept(block->waiting, scope, call, i, text).length + 1;
    struct blocked_client *waiter = calloc(1, bytes);
    if (waiter == NULL) return NULL;
    waiter->bytes = bytes + waited * 2 * sizeof(struct waiter_key *);
    waiter->keys = (struct key *)&waiter->waits[waited];
    waiter->arguments = (struct bulk *)&waiter->keys[call->key_count];
    waiter->waiting = block->waiting;
    copy_arguments(waiter, (char *)&waiter->arguments[call->count], scope, call);
    copy_keys(waiter, call);
    if (block->waiting != NULL && block->waiting->subject != NULL)
        waiter->subject = &waiter->arguments[block->waiting->subject(call)];
    return waiter;
}

static void answer_arrived(struct worker *worker, struct message *message);

struct blocked_client *blocking_register(struct worker *worker, struct task *task,
                                         const struct write_scope *scope, const struct call *call,
                                         const struct block *block) {
    uint32_t waited = block->key_count == 0 ? call->key_count : block->key_count;
    struct blocked_client *waiter = waiter_create(scope, call, block, waited);
    if (waiter == NULL) return NULL;
    waiter->message.handle = answer_arrived;
    waiter->worker = worker;
    waiter->task = task;
    waiter->client = task->session.id;
    waiter->user = user_hold(session_user(&task->session));
    waiter->tracks = task->session.tracks;
    waiter->command = call->command;
    waiter->database = call->database;
    waiter->protocol = call->protocol;
    waiter->type = block->type;
    waiter->waited_count = waited;
    waiter->deadline = INT64_MAX;
    waiter->heap_index = DEADLINE_NONE;
    reply_init(&waiter->reply, call->protocol);
    counter_add(&worker->wait_bytes, waiter->bytes);
    atomic_fetch_add_explicit(&registry.count, 1, memory_order_relaxed);
    bool is_fine = true;
    for (uint32_t i = 0; is_fine && i < waited; i++) {
        waiter->waits[i].waiter = waiter;
        waiter->waits[i].interest =
            (struct interest){.kind = &kind, .key = &waiter->keys[i], .in_absence = cares_if_gone(waiter)};
        is_fine = link_wait(&waiter->waits[i]);
    }
    if (is_fine) return waiter;
    for (uint32_t i = 0; i < waited; i++)
        if (is_linked(&waiter->waits[i])) unlink_wait(&waiter->waits[i]);
    counter_subtract(&worker->wait_bytes, waiter->bytes);
    waiter_free(waiter);
    return NULL;
}

static bool finish(struct blocked_client *waiter, enum waiter_state state) {
    int expected = WAITER_WAITING;
    return atomic_compare_exchange_strong_explicit(&waiter->state, &expected, (int)state,
                                                   memory_order_acq_rel, memory_order_acquire);
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
    if (waiter->task != NULL) task_wake(waiter->task);
}

bool blocking_is_answer(const struct message *message) {
    return message->handle == answer_arrived;
}

/* ------------------------------------------------------------------ waits that have ended */

/* So many steps, each with a shard to be taken at most, are done at a time. */
#define SWEEP_MOST 500
/* And once more for so many bytes that waits which have ended hold: an eighth of them in a turn. */
#define SWEEP_SHARE (8 * SWEEP_MOST * (sizeof(struct waiter_key) + sizeof(struct key) + sizeof(struct bulk)))

static void ended_append(struct ended_waits *ended, struct blocked_client *waiter) {
    waiter->next_ended = NULL;
    if (ended->last != NULL)
        ended->last->next_ended = waiter;
    else
        ended->first = waiter;
    ended->last = waiter;
}

void blocking_end(struct ended_waits *ended, struct blocked_client *waiter) {
    waiter->task = NULL;
    counter_subtract(&waiter->worker->wait_bytes, waiter->bytes);
    counter_add(&waiter->worker->ended_bytes, waiter->bytes);
    ended_append(ended, waiter);
}

static bool is_in_line(const struct blocked_client *waiter) {
    return atomic_load_explicit(&waiter->linked, memory_order_acquire) > 0;
}

/* Whether it has ended once more: nobody has it in a line or on the way. */
static bool is_forgotten(const struct blocked_client *waiter) {
    bool is_on_its_way =
        atomic_load_explicit(&waiter->state, memory_order_relaxed) == WAITER_SERVED && !waiter->is_answered;
    return !is_on_its_way && !is_in_line(waiter);
}

/* false if a shard was busy. */
static bool unlink_some(struct blocked_client *waiter, struct lane *lane, struct shard_set *set, int64_t now,
                        uint32_t *steps) {
    for (; waiter->swept < waiter->waited_count && *steps > 0; waiter->swept++, --*steps) {
        struct waiter_key *wait = &waiter->waits[waiter->swept];
        struct write_scope scope;
        struct rwlock *busy;
        if (!is_linked(wait)) continue;
        shard_set_clear(set);
        shard_set_add(set, keyspace_shard_of(registry.keyspace, key_of(wait)->hash)); /* one has room */
        if (!scope_try_write(&scope, lane, set, now, &busy)) return false;
        if (is_linked(wait)) unlink_wait(wait);
        scope_end_write(&scope);
    }
    return true;
}

static int sweep_some(struct ended_waits *ended, struct lane *lane, int64_t now) {
    struct shard_set set;
    struct blocked_client *last = ended->last;
    uint32_t steps = SWEEP_MOST;
    bool is_inside = lane_enter(lane), is_busy = !is_inside, is_round = false;
    shard_set_init(&set);
    while (!is_round && ended->first != NULL && steps > 0) {
        struct blocked_client *waiter = ended->first;
        is_round = waiter == last;
        ended->first = waiter->next_ended;
        if (ended->first == NULL) ended->last = NULL;
        steps--;
        if (is_inside && is_in_line(waiter) && !unlink_some(waiter, lane, &set, now, &steps)) is_busy = true;
        if (is_forgotten(waiter)) {
            counter_subtract(&waiter->worker->ended_bytes, waiter->bytes);
            waiter_free(waiter);
        } else {
            ended_append(ended, waiter);
        }
    }
    if (is_inside) lane_leave(lane);
    if (steps == 0 && ended->first != NULL) return 0;
    return is_busy ? 1 : -1;
}

/* The more there is, the more is done, so that it doesn't pile up: nobody can be closed for it any more. */
int blocking_sweep(struct ended_waits *ended, struct lane *lane, int64_t now) {
    if (ended->first == NULL) return -1;
    uint64_t bytes = counter_read(&ended->first->worker->ended_bytes), times = bytes / SWEEP_SHARE;
    int next;
    do next = sweep_some(ended, lane, now);
    while (next == 0 && times-- > 0);
    return next;
}

void blocking_abandon(struct ended_waits *ended) {
    if (ended->first == NULL) return;
    mutex_lock(&registry.mutex);
    ended->last->next_ended = registry.abandoned;
    registry.abandoned = ended->first;
    mutex_unlock(&registry.mutex);
    *ended = (struct ended_waits){NULL, NULL};
}

/* ------------------------------------------------------------------ keys that are filled */

/* Is it for the line to know what the key has become? */
static bool matters_to(const struct waiter_key *line, const struct entry *entry) {
    return cares_if_gone(line->waiter) || (entry != NULL && entry_type(entry) == line->waiter->type);
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
        .key_index = index_of(wait),
        .database = waiter->database,
        .protocol = waiter->protocol,
        .now = now,
        .session = &nobody,
        .keyspace = registry.keyspace,
    };
    all[0] = *key_of(wait);
    if (waiter->key_count > waiter->waited_count) all[call.key_count++] = waiter->keys[waiter->waited_count];
    return call;
}

/* Under the lock; blocking_wake follows when it has been let go. From here on the waiter is its worker's
 * alone. */
static void send_answer(struct blocked_client *waiter) {
    struct worker *worker = waiter->worker;
    assert(worker->number < WAKES);
    if (!worker_push_news(worker, &waiter->message)) return;
    ready.woken[worker->number / 64] |= UINT64_C(1) << worker->number % 64;
    ready.is_any_woken = true;
}

void blocking_wake(void) {
    if (!ready.is_any_woken) return;
    ready.is_any_woken = false;
    for (uint32_t i = 0; i < WAKES / 64; i++)
        for (; ready.woken[i] != 0; ready.woken[i] &= ready.woken[i] - 1)
            worker_wake(worker_at(i * 64 + (uint32_t)__builtin_ctzll(ready.woken[i])));
}

/* What has expired or been evicted went in a scope that serves nobody: a waiter that doesn't go on waiting is
 * told at once. It stays in its lines, one of which somebody may be going through. */
static void refuse_line(struct waiter_key *line) {
    if (!cares_if_gone(line->waiter)) return;
    for (struct waiter_key *wait = line; wait != NULL; wait = wait->next) {
        struct key all[2];
        if (!finish(wait->waiter, WAITER_SERVED)) continue;
        struct call call = call_of(wait, 0, all);
        wait->waiter->waiting->reply_gone(&call, &wait->waiter->reply);
        send_answer(wait->waiter);
    }
}

static void on_changed(struct interest *interest, struct write_scope *scope, const struct entry *entry,
                       enum event event) {
    struct waiter_key *line = line_of(interest);
    (void)scope;
    if (event == EVENT_EXPIRED || event == EVENT_EVICTED)
        refuse_line(line);
    else if (event == EVENT_SWAP || event == EVENT_FLUSH || matters_to(line, entry))
        ready_append(line);
}

static const struct interest_kind kind = {.is_wait = true, .changed = on_changed};

void blocking_start(struct keyspace *keyspace) {
    registry.keyspace = keyspace;
}

/* No other thread is left. Whoever waited when its worker ended is among the abandoned. */
void blocking_stop(void) {
    mutex_lock(&registry.mutex);
    for (struct blocked_client *waiter = registry.abandoned, *next; waiter != NULL; waiter = next) {
        next = waiter->next_ended;
        waiter_free(waiter);
    }
    registry.abandoned = NULL;
    mutex_unlock(&registry.mutex);
}

bool blocking_is_on(void) {
    return atomic_load_explicit(&registry.count, memory_order_relaxed) > 0;
}

/* ------------------------------------------------------------------ serving */

/* So far ahead is looked for waiters to be served: keys that elements may come to, one after the other. */
#define FORESEEN_KEYS 64

struct foresight {
    const struct shard_set *held;
    struct shard_set *more;
    const struct key *keys[FORESEEN_KEYS]; /* still to be looked at */
    uint32_t key_count;
    uint32_t looks; /* at waiters, that are left */
    bool is_more;
};

static void foresee_waiter(struct foresight *foresight, const struct blocked_client *waiter) {
    for (uint32_t i = waiter->waited_count; i < waiter->key_count; i++) {
        uint32_t shard = keyspace_shard_of(registry.keyspace, waiter->keys[i].hash);
        if (!shard_set_has(foresight->held, shard))
            foresight->is_more = shard_set_add(foresight->more, shard) || foresight->is_more;
        else if (foresight->key_count < FORESEEN_KEYS)
            foresight->keys[foresight->key_count++] = &waiter->keys[i];
    }
}

/* As many of the first waiters as there may be elements. Whatever the database: MOVE and COPY fill a key's
 * namesake. */
static void foresee_key(struct foresight *foresight, const struct key *key, uint32_t elements) {
    if (!interest_is_any(key)) return;
    for (struct interest *interest = interest_near(key); interest != NULL;
         interest = interest_behind(interest)) {
        if (interest->kind != &kind || interest->key->hash != key->hash) continue;
        const struct waiter_key *line = line_of(interest);
        if (line->waiter->type != TYPE_LIST) continue;
        uint32_t left = elements;
        for (const struct waiter_key *wait = line; wait != NULL && left > 0 && foresight->looks > 0;
             wait = wait->next) {
            foresight->looks--;
            interest_looked(key);
            if (!is_waiting(wait->waiter)) continue;
            left--;
            foresee_waiter(foresight, wait->waiter);
        }
    }
}

bool blocking_foresee(const struct call *call, const struct shard_set *held, struct shard_set *more) {
#ifdef PLANT_UNHELD_WRITE
    (void)call, (void)held, (void)more;
    return false;
#endif
    struct foresight foresight = {.held = held, .more = more, .looks = FORESEEN_KEYS + call->count};
    for (uint32_t i = 0; i < call->key_count; i++) foresee_key(&foresight, &call->keys[i], call->count);
    for (uint32_t i = 0; i < foresight.key_count; i++)
        foresee_key(&foresight, foresight.keys[i], call->count);
    return foresight.is_more;
}

/* Whether all that it needs besides its key is held, or could be had at once. */
static bool hold_needs(struct write_scope *scope, struct shard_set *held,
                       const struct blocked_client *waiter) {
#ifdef PLANT_UNHELD_WRITE
    held = NULL; /* as if by the gate */
#endif
    bool is_held = true;
    for (uint32_t i = waiter->waited_count; held != NULL && is_held && i < waiter->key_count; i++)
        is_held = scope_try_grow(scope, held, keyspace_shard_of(registry.keyspace, waiter->keys[i].hash));
    return is_held;
}

static bool is_ready(const struct waiter_key *wait, const struct entry *entry, int64_t now) {
    const struct blocked_client *waiter = wait->waiter;
    struct key all[2];
    if (waiter->waiting == NULL || waiter->waiting->is_ready == NULL)
        return entry != NULL && entry_type(entry) == waiter->type;
    struct call call = call_of(wait, now, all);
    return waiter->waiting->is_ready(&call, entry);
}

/* Claims a waiter that has something to take. false: somebody else has, or it was only told to look for
 * itself. */
static bool claim(struct serving *serving, struct write_scope *scope, struct shard_set *held,
                  struct waiter_key *wait) {
    struct blocked_client *waiter = wait->waiter;
    bool is_held = hold_needs(scope, held, waiter), is_ours = finish(waiter, WAITER_SERVED);
    unlink_wait(wait);
    if (!is_ours) return false;
    if (!is_held) {
        waiter->looks_again = true;
        send_answer(waiter);
        return false;
    }
    serving->waiter = waiter;
    serving->call = call_of(wait, scope->scope.now, serving->keys);
    serving->reply = &waiter->reply;
    return true;
}

/* In the order in which they came, as long as there is something that they wait for. What is served may fill
 * another key (BLMOVE), whose line is then behind the others. */
bool blocking_next(struct serving *serving, struct write_scope *scope, struct shard_set *held) {
    const struct read_scope reading = {scope->scope};
    for (;;) {
        struct waiter_key *wait = serving->next;
        if (wait == NULL) {
            if (ready.first == NULL) return false;
            wait = ready.first;
            ready_replace(wait, NULL);
        }
        serving->next = wait->next;
        interest_looked(key_of(wait));
        if (!is_waiting(wait->waiter)) {
            unlink_wait(wait);
        } else if (is_ready(wait, scope_peek(&reading, key_of(wait)), scope->scope.now)) {
            if (claim(serving, scope, held, wait)) return true;
        } else if (is_uniform(wait->waiter)) {
            serving->next = NULL; /* nor has anybody behind it */
        }
    }
}

void blocking_served(struct serving *serving) {
    assert(!serving->waiter->looks_again);
    send_answer(serving->waiter);
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
        if (child + 1 < heap->count && heap->waiters[child + 1]->deadline < heap->waiters[child]->deadline)
            child++;
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
