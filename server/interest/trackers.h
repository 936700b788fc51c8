/* Trackers: how clients that keep copies of keys (CLIENT TRACKING) are told that a key has changed.
 *
 * A tracker stands for one such client, on the worker of the client that is told: its own, or the one that it
 * redirects to. It is found by its handle, in whose upper bits is that worker's number. Who changes a key
 * sends each worker concerned one letter, among its news (news.h), with the key's shard held; so who has seen
 * the reply to the change, and asks a client's worker for something, is answered after the client was told.
 *
 *     a client reads --> its handle, in the key's record (tracked.h)
 *     a key changes  --> the record's handles, a letter to each worker --> trackers --> a push to each
 *                    --> workers with one of its prefixes, a letter each --> keys that wait there, each once
 *                        --> a push of all to each, at the turn's end or before such a client runs again
 *
 * Nothing is lost for want of memory, nor where too much waits to be told: then all clients of a worker are
 * told that every key may have changed. */
#ifndef SERVER_INTEREST_TRACKERS_H
#define SERVER_INTEREST_TRACKERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shard/keyspace.h"
#include "server/base/chains.h"
#include "server/task/task.h"
#include "server/worker/worker.h"
#include "prefix_list.h"

struct tracker {
    struct message message; /* brings it to its worker; first, since its memory is freed as the message's */
    struct chain_link link; /* among its worker's, by handle */
    uint64_t client;        /* who keeps copies: session id */
    struct worker *home;    /* that one's worker */
    struct task *task;      /* who is told; NULL: it has gone */
    struct tracker *next, *previous;           /* of its worker; those with prefixes first */
    struct tracker *task_next, *task_previous; /* of that task */
    const struct prefix_list *prefixes;        /* NULL: it is told of what was read; else behind it */
    /* At home: whoever should be told something has gone. */
    void (*on_broken)(struct worker *home, uint32_t handle);
    /* Of one that is sent: finds its task. */
    struct task *(*find)(struct worker *worker, uint64_t id);
    uint64_t redirect;  /* the id of that one's session; 0: it is the client's own */
    bool spares_itself; /* NOLOOP */
};

/* With a copy of these, or NULL, and the rest to be filled in. NULL: no memory. */
struct tracker *tracker_create(const struct prefix_list *prefixes);

/* Before any other thread: listens to the keyspace. false: no memory, or no randomness. */
bool trackers_start(struct keyspace *keyspace, uint32_t workers);
void trackers_stop(void);

/* Clients that keep copies: while there are none nobody is told anything. */
extern _Atomic uint32_t trackers_wanted;
static inline bool trackers_are_wanted(void) {
    return atomic_load_explicit(&trackers_wanted, memory_order_relaxed) != 0;
}

/* A new one. Any thread. */
uint32_t tracker_handle(const struct worker *worker);
struct worker *tracker_worker(uint32_t handle);

/* The tracker's link.hash is its handle. It takes the place of the one that has it, and is its worker's from
 * here on. On that worker, with its task filled in: false, no memory, and it is still the caller's; or from
 * another one, where the worker finds the task when it reads that. */
bool tracker_enter(struct worker *worker, struct tracker *tracker);
void tracker_send(struct tracker *tracker);

/* What ends a tracker on another worker, with memory for it that was there before. */
struct farewell {
    struct message message;
    uint32_t handle;
    uint64_t client;
};
/* On its worker (farewell: NULL), or from another one. What is on its way to it then finds nobody. */
void tracker_leave(uint32_t handle, uint64_t client, struct farewell *farewell);
/* The task ends: those that would tell it something tell their clients that it has gone. */
void trackers_lose_task(struct task *task);

/* All clients are told that every key may have changed; or only those that are told on that worker. May hold
 * shards, as the next. */
void trackers_tell_all(void);
void trackers_tell_everything(struct worker *worker);
/* A key is about to be read by whoever has that handle. */
void tracker_reads(uint32_t handle, const struct key *key);

/* What waits to be told of prefixes is told. Whether it is due before a request of that client runs. */
void trackers_settle(const struct worker *worker);
bool trackers_are_due(const struct worker *worker, const struct session *session);

#endif
