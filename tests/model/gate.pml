/* The gate of shard/lock/lane.c: who enters, who closes it, who waits where, for spin (tests/model/check).
 *
 * Checked with ROUNDS=n, so that every process ends: while somebody holds all shards nobody is inside, nobody sleeps for ever, and the gate is not kept closed
 * by who sleeps while somebody inside has begun something long. Without
 * ROUNDS they go on for ever: the one closer gets through (`closes`), whatever the others do, and whoever is parked is woken.
 *
 * A loop of compare-and-swap is one step here: it succeeds with the very value that it has tested, or tests again. One load stands for a
 * bounded spin: to spin is to load later. BROKEN_... are mistakes that must be found. */

#define INSIDE 1
#define WATCHED 2
#define STILL 4

#ifndef CLOSERS
#define CLOSERS 2
#endif
#ifndef ENTERERS
#define ENTERERS 2
#endif
#define LANES (CLOSERS + ENTERERS)
#define PATIENCE 1

/* Whom the closer's spin may be too short for. If it could be too short for one who is refused and so leaves at once, then refused ones
 * that wake each other could keep the closer out for ever. */
#ifdef SPIN_OUTLASTS_REFUSAL
#define MAY_TIRE(lane) staying[lane]
#else
#define MAY_TIRE(lane) true
#endif

byte word[LANES];
byte closed;             /* the lane that has closed it, plus one */
bool mutex;
bool parked[LANES], woken[LANES];
byte inside, holding;    /* who thinks that he is inside, or holds everything */
bool staying[LANES];     /* has entered, rather than is about to be refused */
byte wanted;             /* by so many lanes */
bool wants, counted[LANES];
byte longs;              /* who has begun something long, after he saw that nobody wants the gate */
bool kept;               /* closed, by somebody who goes to sleep */

inline mutex_lock() {
    atomic { !mutex -> mutex = true }
}

inline mutex_unlock() {
    mutex = false
}

/* Who is woken needs the mutex before he can do anything, so that all are woken in one step. */
inline gate_wake_all() {
    mutex_lock();
    d_step {
        i = 0;
        do
        :: i < LANES ->
            if
            :: parked[i] -> parked[i] = false; woken[i] = true
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    };
    mutex_unlock()
}

inline sleep() {
    woken[me];
    mutex_lock();
    d_step { assert(!parked[me]); woken[me] = false };
    mutex_unlock()
}

/* gate_park, and the sleep that follows. */
inline wait_until_open() {
    mutex_lock();
    if
    :: closed != 0 -> parked[me] = true; mutex_unlock(); sleep()
    :: else -> mutex_unlock()
    fi
}

/* gate_park_unwanted, and the sleep that follows. */
inline wait_until_unwanted() {
    mutex_lock();
    if
    :: wanted != 0 -> parked[me] = true; mutex_unlock(); sleep()
    :: else -> mutex_unlock()
    fi
}

inline lane_leave() {
    d_step { seen = word[me]; word[me] = 0 };
    if
    :: (seen & WATCHED) != 0 -> gate_wake_all()
    :: else
    fi;
    seen = 0
}

#ifdef ROUNDS
#define ONCE_MORE round < ROUNDS -> round++
#else
#define ONCE_MORE true
#endif

/* lane_enter, again and again until it does, a batch, and lane_leave. */
proctype enterer(byte me) {
    byte seen, i, round;
    bool is_in;
    do
    :: ONCE_MORE;
        do
        :: is_in -> is_in = false; break
        :: else ->
#ifdef BROKEN_LOOKS_FIRST
            seen = closed;
            word[me] = INSIDE;
#else
            word[me] = INSIDE;
            seen = closed;
#endif
            if
            :: seen == 0 -> is_in = true; staying[me] = true
            :: else -> lane_leave(); wait_until_open()
            fi
        od;
        inside++;
        assert(holding == 0);
        inside--;
#ifdef LONGS
        if
        :: true -> skip
        :: wanted != 0 -> staying[me] = false; lane_leave(); wait_until_unwanted()
        :: wanted == 0 ->
#ifdef BROKEN_BEGINS_FIRST
            seen = wanted;
            word[me] = word[me] | STILL;
#else
            word[me] = word[me] | STILL;
            seen = wanted;
#endif
            if
            :: seen == 0 ->
                longs++;
                assert(!kept);
                longs--
            :: else -> staying[me] = false; lane_leave(); wait_until_unwanted()
            fi
        fi;
#endif
        staying[me] = false;
        if
        :: word[me] != 0 -> lane_leave()
        :: else
        fi
#ifdef ROUNDS
    :: round == ROUNDS -> break
#endif
    od
}

inline gate_let_in() {
    closed = 0;
    gate_wake_all()
}

inline gate_open() {
    d_step { wanted--; counted[me] = false };
    gate_let_in()
}

inline find_still() {
    still = 0;
    do
    :: still < LANES && (word[still] & STILL) == 0 -> still++
    :: still < LANES && (word[still] & STILL) != 0 -> break
    :: still == LANES -> break
    od
}

/* gate_watch, and the sleep that follows. */
inline watch(lane) {
    mutex_lock();
#ifdef BROKEN_WATCH_WITHOUT_SWAP
    parked[me] = (word[lane] & INSIDE) != 0;
    if
    :: parked[me] -> word[lane] = word[lane] | WATCHED
    :: else
    fi;
#else
    d_step {
        if
        :: (word[lane] & INSIDE) != 0 -> word[lane] = word[lane] | WATCHED; parked[me] = true
        :: else
        fi
    };
#endif
    if
    :: parked[me] -> mutex_unlock(); sleep()
    :: else -> mutex_unlock()
    fi
}

/* gate_close_waiting, everything, and gate_open. */
proctype closer(byte me) {
    byte seen, i, lane, still, round, refusals;
    do
    :: ONCE_MORE;
        wants = true;
again:
        skip;
        d_step {
            if
            :: !counted[me] -> counted[me] = true; wanted++
            :: else
            fi
        };
#ifdef LONGS
        if
        :: closed != me + 1 ->
            find_still();
            if
            :: still < LANES -> watch(still); goto next
            :: else
            fi
        :: else
        fi;
#endif
        d_step {
            seen = closed;
            if
            :: closed == 0 -> closed = me + 1; seen = 0
            :: else
            fi
        };
        if
        :: seen != 0 && seen != me + 1 -> seen = 0; wait_until_open(); goto next
        :: else -> seen = 0
        fi;
        do
        :: lane < LANES && word[lane] == 0 -> lane++
        :: lane < LANES && word[lane] != 0 && MAY_TIRE(lane) -> break
        :: lane == LANES -> goto holds
        od;
        still = LANES;
#ifdef LONGS
#ifndef BROKEN_KEEPS_ANYHOW
        find_still();
#endif
#endif
        if
        :: refusals < PATIENCE || still < LANES -> gate_let_in()
        :: else -> kept = true; assert(longs == 0)
        fi;
        if
        :: still < LANES -> watch(still)
        :: else -> watch(lane)
        fi;
        kept = false;
        lane = 0;
next:
        still = 0;
        if
        :: refusals < PATIENCE -> refusals++
        :: else
        fi;
        goto again;
holds:
        lane = 0;
        refusals = 0;
        holding++;
        assert(holding == 1 && inside == 0);
        holding--;
        wants = false;
#ifdef LONGS
        if
        :: true -> gate_open()
        :: true -> /* gate_enter_closed: it has taken what it needs for something long, and lets the others in */
            word[me] = INSIDE | STILL;
            gate_open();
            longs++;
            assert(!kept);
            longs--;
            lane_leave()
        fi
#else
        gate_open()
#endif
#ifdef ROUNDS
    :: round == ROUNDS -> break
#endif
    od
}

init {
    byte n;
    atomic {
        do
        :: n < CLOSERS -> run closer(n); n++
        :: n >= CLOSERS && n < LANES -> run enterer(n); n++
        :: else -> break
        od
    }
}

#ifndef ROUNDS
#ifdef WHO
ltl woken_in_the_end { [] (parked[WHO] -> <> !parked[WHO]) }
#else
ltl closes { [] (wants -> <> !wants) }
#endif
#endif
