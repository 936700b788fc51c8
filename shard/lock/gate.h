/* The gate: the lock of all shards, and the seats of those who pass through it.
 *
 * A thread enters the gate before it takes a scope or looks at a table, and leaves it after a batch (lane.h).
 * A lane that closes the gate sets `closed` and waits until every lane's word is empty; then it holds
 * everything. It never waits inside: while somebody stays in, it parks, and the lane it waits for, which is
 * `watched`, wakes it on leaving. While it waits it may keep the gate closed, but not while somebody inside
 * holds still for something long (lane_hold_still): then others go in and out, only that nothing else begins
 * that takes long as long as the gate is wanted, so that whoever wants it isn't starved. A lane that begins
 * something long first holds still and then looks whether the gate is wanted; a closer first wants it and
 * then looks who holds still; so one of them sees the other. */
#ifndef SHARD_LOCK_GATE_H
#define SHARD_LOCK_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/mutex.h"
#include "lane.h"
#include "rwlock.h"

struct gate {
    /* Number of the lane that has closed it, plus one; 0 while it is open. */
    _Alignas(64) _Atomic uint32_t closed;
    _Atomic uint32_t wanted; /* by so many lanes, which have closed it, or were refused and wait to */
    _Alignas(64) _Atomic uint64_t epoch; /* reclaim.h */
    _Alignas(64) struct mutex mutex;
    struct waiter *first GUARDED_BY(&mutex),
        *last GUARDED_BY(&mutex); /* lanes that wait for it to open, or for others to leave */
    struct mutex seats;           /* guards which are taken */
    uint32_t lane_count;
    struct lane *lanes;          /* lane_count seats */
    _Atomic uint32_t lanes_used; /* seats beyond were never taken */
};

/* With so many seats, free ones, which know the gate and their number. false when out of memory. */
bool gate_init(struct gate *gate, uint32_t lanes);
/* All seats are free. */
void gate_destroy(struct gate *gate);
/* A free seat, NULL if there is none; and gives it back. What is noted in it stays, and goes on with it. */
struct lane *gate_take_seat(struct gate *gate);
void gate_free_seat(struct lane *lane);

/* Closes the gate. The lane is outside. Returns true when it holds everything. When false it was busy: the
 * gate is open again (or still closed by another), and waiter was parked at it (true in *is_parked) or should
 * try again at once. With `insists` the gate stays closed meanwhile (gate_is_kept), unless somebody holds
 * still inside, and the next call goes on waiting. The gate is wanted until the lane opens it after success;
 * a lane that gives up calls gate_abandon. */
bool gate_try_close(struct lane *lane, bool insists, struct waiter *waiter, bool *is_parked);
void gate_open(struct lane *lane);
/* By anybody, just now. */
bool gate_is_closed(const struct lane *lane);
void gate_abandon(struct lane *lane);
/* This lane has closed it, and holds everything or waits to. */
bool gate_is_kept(const struct lane *lane);
/* Somebody has closed it, or waits to. */
bool gate_is_wanted(const struct lane *lane);
/* Having closed it: enters all the same, to take shards, which all are free, before gate_open lets others
 * in. */
void gate_enter_closed(struct lane *lane);
/* For a lane that was refused by lane_enter: parks until the gate opens; false if it has opened already. */
bool gate_park(struct lane *lane, struct waiter *waiter);
void gate_unpark(struct lane *lane, struct waiter *waiter);
/* Likewise until nobody wants it; woken perhaps before that. */
bool gate_park_unwanted(struct lane *lane, struct waiter *waiter);
/* Wakes all waiters that are parked, as a lane that was watched has left. */
void gate_wake(struct gate *gate);

#endif
