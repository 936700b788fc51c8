/* The mailbox is a list that producers push on to and that its owner takes as a whole (Treiber, "Systems
 * programming: coping with parallelism", 1986). As nothing else is ever taken out, no message can come back
 * to where another producer still believes it, and the order is had by reversing what was taken. An owner
 * that finds nothing leaves a mark instead of the list, by which the next producer knows that it has to wake
 * it: one wake-up per burst.
 *
 *     NULL           nothing there, the owner is awake
 *     &asleep        nothing there, the owner sleeps
 *     m3 -> m2 -> m1 what was pushed, the latest first
 *
 * Messages, and the keys that they speak of, stand on the caller's stack: it waits until the last owner has
 * counted itself out of `pending`, which is the last thing that an owner does with them. */
#include "owner.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Keys per round of messages, as many as the batch calls take at a time. */
#define GROUP 32
/* Looks at an answer, or a mailbox, before sleeping: about as long as an owner needs for a group. But where
 * the owners take all cores, whoever spins keeps from running what it waits for. */
#define SPINS 1000
#define SPINS_ON_FULL_CORES 10

/* Set in `pending` when the caller sleeps. */
#define CALLER_SLEEPS 0x80000000u

struct message {
    struct message *next;
    struct latchkey_query *queries; /* one of the two, or neither: the owner is to end */
    const struct latchkey_item *items;
    enum latchkey_result *results;
    size_t count;
    _Atomic uint32_t *pending; /* messages of the call that are not answered yet */
};

static struct message asleep;

struct owner {
    _Alignas(64) _Atomic(struct message *) mailbox;
    _Atomic uint32_t wakes; /* what a sleeping owner waits on */
    _Alignas(64) struct lane *lane;
    pthread_t thread;
    uint32_t spins;
};

struct owners {
    struct keyspace *keyspace;
    uint32_t count, shards, spins;
    struct owner *each;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* The word may be gone by now: then whoever sleeps on that address is woken in vain, and looks again. */
static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Between two looks. Now and then lets others run: the one that is waited for may be waiting for this very
 * core. */
static void relax(uint32_t spin) {
    if (spin % 64 == 63) sched_yield();
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* ------------------------------------------------------------------ mailboxes */

static void mailbox_push(struct owner *owner, struct message *message) {
    struct message *present = atomic_load_explicit(&owner->mailbox, memory_order_relaxed);
    do message->next = present == &asleep ? NULL : present;
    while (!atomic_compare_exchange_weak_explicit(&owner->mailbox, &present, message, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (present != &asleep) return;
    atomic_fetch_add(&owner->wakes, 1);
    futex_wake(&owner->wakes);
}

/* All that is there, the oldest first, or NULL. */
static struct message *mailbox_take(struct owner *owner) {
    if (atomic_load_explicit(&owner->mailbox, memory_order_relaxed) == NULL) return NULL;
    struct message *latest = atomic_exchange_explicit(&owner->mailbox, NULL, memory_order_acq_rel),
                   *oldest = NULL;
    for (struct message *next; latest != NULL; latest = next) {
        next = latest->next;
        latest->next = oldest;
        oldest = latest;
    }
    return oldest;
}

/* Until there is something. The number of wake-ups is read before the mark is left: one that comes between is
 * not slept through.
 * */
static void mailbox_sleep(struct owner *owner) {
    uint32_t wakes = atomic_load(&owner->wakes);
    struct message *nothing = NULL;
    if (!atomic_compare_exchange_strong(&owner->mailbox, &nothing, &asleep)) return;
    while (atomic_load(&owner->wakes) == wakes) futex_wait(&owner->wakes, wakes);
}

static struct message *mailbox_wait(struct owner *owner) {
    for (;;) {
        for (uint32_t spin = 0; spin <= owner->spins; spin++) {
            struct message *message = mailbox_take(owner);
            if (message != NULL) return message;
            relax(spin);
        }
        if (owner->lane->retired_count > 0) lane_reclaim(owner->lane);
        mailbox_sleep(owner);
    }
}

/* ------------------------------------------------------------------ owners */

/* Returns whether to go on. */
static bool answer(struct owner *owner, struct message *message) {
    bool goes_on = true;
    _Atomic uint32_t *pending = message->pending;
    if (message->queries != NULL)
        latchkey_get_many(owner->lane, message->queries, message->count);
    else if (message->items != NULL)
        latchkey_set_many(owner->lane, message->items, message->count, message->results);
    else
        goes_on = false;
    /* Once it is counted out, the message may be gone. */
    if (atomic_fetch_sub_explicit(pending, 1, memory_order_acq_rel) == (CALLER_SLEEPS | 1))
        futex_wake(pending);
    return goes_on;
}

static void *serve(void *argument) {
    struct owner *owner = argument;
    for (bool goes_on = true; goes_on;)
        for (struct message *message = mailbox_wait(owner), *next; message != NULL; message = next) {
            next = message->next;
            goes_on = answer(owner, message) && goes_on;
        }
    return NULL;
}

static void await(_Atomic uint32_t *pending, uint32_t spins) {
    for (uint32_t spin = 0; spin < spins; spin++) {
        if (atomic_load_explicit(pending, memory_order_acquire) == 0) return;
        relax(spin);
    }
    uint32_t left = atomic_load_explicit(pending, memory_order_acquire);
    while ((left & ~CALLER_SLEEPS) != 0) {
        if ((left & CALLER_SLEEPS) != 0 || atomic_compare_exchange_weak(pending, &left, left | CALLER_SLEEPS))
            futex_wait(pending, left | CALLER_SLEEPS);
        left = atomic_load_explicit(pending, memory_order_acquire);
    }
}

/* Ends the first `count` owners. */
static void owners_end(struct owners *owners, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        _Atomic uint32_t pending = 1;
        struct message message = {.pending = &pending};
        mailbox_push(&owners->each[i], &message);
        await(&pending, owners->spins);
        pthread_join(owners->each[i].thread, NULL);
        lane_detach(owners->each[i].lane);
    }
    free(owners->each);
    free(owners);
}

struct owners *owner_open(struct keyspace *keyspace, uint32_t threads) {
    uint32_t shards = keyspace_shard_count(keyspace);
    if (threads > OWNERS_MOST) threads = OWNERS_MOST;
    if (threads > shards) threads = shards;
    if (threads == 0) threads = 1;
    struct owners *owners = malloc(sizeof *owners);
    struct owner *each = aligned_alloc(_Alignof(struct owner), threads * sizeof *each);
    if (owners == NULL || each == NULL) {
        free(owners);
        free(each);
        errno = ENOMEM;
        return NULL;
    }
    uint32_t spins = (long)threads < sysconf(_SC_NPROCESSORS_ONLN) ? SPINS : SPINS_ON_FULL_CORES;
    *owners = (struct owners){keyspace, threads, shards, spins, each};
    for (uint32_t i = 0; i < threads; i++) {
        struct owner *owner = &each[i];
        atomic_init(&owner->mailbox, NULL);
        atomic_init(&owner->wakes, 0);
        owner->spins = spins;
        owner->lane = lane_attach(keyspace);
        int error = owner->lane == NULL ? EAGAIN : pthread_create(&owner->thread, NULL, serve, owner);
        if (error == 0) continue;
        if (owner->lane != NULL) lane_detach(owner->lane);
        owners_end(owners, i);
        errno = error;
        return NULL;
    }
    return owners;
}

void owner_close(struct owners *owners) {
    owners_end(owners, owners->count);
}

/* ------------------------------------------------------------------ calls */

/* Whose keys stand where, once they are sorted by owner: those of owner i from starts[i] to starts[i + 1], in
 * the order that they came. */
struct division {
    uint32_t count;
    uint8_t starts[OWNERS_MOST + 1];
    uint8_t places[GROUP];
};

static uint32_t owner_of(const struct owners *owners, const char *key, size_t length) {
    uint64_t shard = keyspace_shard_of(owners->keyspace, keyspace_hash(owners->keyspace, key, length));
    return (uint32_t)(shard * owners->count / owners->shards);
}

static void divide(struct division *division, const struct owners *owners, const uint8_t *owner,
                   size_t count) {
    uint8_t next[OWNERS_MOST];
    memset(division->starts, 0, owners->count + 1);
    division->count = owners->count;
    for (size_t i = 0; i < count; i++) division->starts[owner[i] + 1]++;
    for (uint32_t i = 0; i < owners->count; i++) {
        division->starts[i + 1] = (uint8_t)(division->starts[i + 1] + division->starts[i]);
        next[i] = division->starts[i];
    }
    for (size_t i = 0; i < count; i++) division->places[i] = next[owner[i]]++;
}

/* Sends each owner its part, and waits. The arrays are sorted as the division says. */
static void ask(struct owners *owners, const struct division *division, struct latchkey_query *queries,
                const struct latchkey_item *items, enum latchkey_result *results) {
    struct message messages[GROUP]; /* each for at least one key */
    uint32_t to[GROUP], count = 0;
    _Atomic uint32_t pending;
    for (uint32_t i = 0; i < division->count; i++) {
        size_t start = division->starts[i], keys = division->starts[i + 1] - start;
        if (keys == 0) continue;
        to[count] = i;
        messages[count] = (struct message){.queries = queries == NULL ? NULL : queries + start,
                                           .items = items == NULL ? NULL : items + start,
                                           .results = results == NULL ? NULL : results + start,
                                           .count = keys,
                                           .pending = &pending};
        count++;
    }
    atomic_init(&pending, count);
    for (uint32_t i = 0; i < count; i++) mailbox_push(&owners->each[to[i]], &messages[i]);
    await(&pending, owners->spins);
}

static size_t get_group(struct owners *owners, struct latchkey_query *queries, size_t count) {
    struct latchkey_query sorted[GROUP];
    struct division division;
    uint8_t owner[GROUP] = {0};
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        owner[i] = (uint8_t)owner_of(owners, queries[i].key, queries[i].key_length);
    divide(&division, owners, owner, count);
    for (size_t i = 0; i < count; i++) sorted[division.places[i]] = queries[i];
    ask(owners, &division, sorted, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        queries[i].length = sorted[division.places[i]].length;
        found += queries[i].length >= 0;
    }
    return found;
}

size_t owner_get_many(struct owners *owners, struct latchkey_query *queries, size_t count) {
    size_t found = 0;
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < GROUP ? count - done : GROUP;
        found += get_group(owners, queries + done, now);
    }
    return found;
}

static size_t set_group(struct owners *owners, const struct latchkey_item *items, size_t count,
                        enum latchkey_result *results) {
    struct latchkey_item sorted[GROUP] = {{.key = NULL}}; /* gcc can't see that every place is filled */
    enum latchkey_result sorted_results[GROUP];
    struct division division;
    uint8_t owner[GROUP] = {0};
    size_t stored = 0;
    for (size_t i = 0; i < count; i++)
        owner[i] = (uint8_t)owner_of(owners, items[i].key, items[i].key_length);
    divide(&division, owners, owner, count);
    for (size_t i = 0; i < count; i++) sorted[division.places[i]] = items[i];
    ask(owners, &division, NULL, sorted, sorted_results);
    for (size_t i = 0; i < count; i++) {
        enum latchkey_result result = sorted_results[division.places[i]];
        if (results != NULL) results[i] = result;
        stored += result == LATCHKEY_OK;
    }
    return stored;
}

size_t owner_set_many(struct owners *owners, const struct latchkey_item *items, size_t count,
                      enum latchkey_result *results) {
    size_t stored = 0;
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < GROUP ? count - done : GROUP;
        stored += set_group(owners, items + done, now, results == NULL ? NULL : results + done);
    }
    return stored;
}
