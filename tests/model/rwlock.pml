/* The lock's word and the parking lot of shard/lock/rwlock.c, for spin (tests/model/check).
 *
 * Checked with ROUNDS=n, so that every process ends: writers exclude everybody; whoever looks without the lock and finds the version
 * unchanged has seen what one writer left (LOOK); and there is no way to get stuck, which would be somebody asleep whose
 * wake-up was lost. Without ROUNDS they go on for ever: whoever is parked is woken (`woken_in_the_end`), also if he is the only one who sleeps.
 *
 * A loop of compare-and-swap is one step here: it succeeds with the very value that it has tested, or tests again. One try stands for a
 * bounded spin: to spin is to try later. The memory is sequentially consistent here; that acquire and release
 * are enough is ThreadSanitizer's part. BROKEN_... are mistakes that one could make, and must be found: the model can fail. */

#define HELD_BY_WRITER 1
#define ANYBODY_PARKED 2
#define WRITER_PARKED 4
#define ONE_READER 8
#define PARKED (ANYBODY_PARKED | WRITER_PARKED)
#define HELD(word) ((word) & ~PARKED)

#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef READERS
#define READERS 2
#endif
#define WAITERS (WRITERS + READERS)

byte word;               /* without the version, which only LOOK needs */
bool mutex;              /* the lot queue's */
bool parked[WAITERS];    /* stands in the queue */
bool woken[WAITERS];
byte writing, reading;   /* who thinks that he holds the lock */
#ifdef LOOK
byte version, first, second;
#endif

inline mutex_lock() {
    atomic { !mutex -> mutex = true }
}

inline mutex_unlock() {
    mutex = false
}

/* Who is woken needs the mutex before he can do anything, so that all are woken in one step. */
inline wake_all() {
    mutex_lock();
    word = word & ~PARKED;
    d_step {
        i = 0;
        do
        :: i < WAITERS ->
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

inline try_shared() {
    d_step {
        if
#ifdef BROKEN_READERS_PASS
        :: (word & HELD_BY_WRITER) == 0 -> word = word + ONE_READER; is_taken = true
#else
        :: (word & (HELD_BY_WRITER | WRITER_PARKED)) == 0 -> word = word + ONE_READER; is_taken = true
#endif
        :: else -> is_taken = false
        fi
    }
}

inline try_exclusive() {
    d_step {
        if
        :: HELD(word) == 0 -> word = word | HELD_BY_WRITER; is_taken = true
        :: else -> is_taken = false
        fi
    }
}

/* rwlock_park. Leaves whether it did in is_parked. */
inline park(busy_bits, flags) {
    mutex_lock();
#ifdef BROKEN_FLAG_WITHOUT_SWAP
    is_parked = (word & (busy_bits)) != 0;
    if
    :: is_parked -> word = word | flags
    :: else
    fi;
#else
    d_step {
#ifdef BROKEN_PARKS_ANYHOW
        is_parked = true;
#else
        is_parked = (word & (busy_bits)) != 0;
#endif
        if
        :: is_parked -> word = word | flags
        :: else
        fi
    };
#endif
    if
    :: is_parked -> parked[me] = true
    :: else
    fi;
    mutex_unlock()
}

/* rwlock_unpark, of who was woken and of who gives up. */
inline unpark() {
    mutex_lock();
    d_step { parked[me] = false; woken[me] = false };
    mutex_unlock()
}

/* Sleeps until woken, or has had enough before. */
inline sleep() {
    if
    :: woken[me]
#ifdef GIVE_UP
    :: true
#endif
    fi;
    unpark()
}

#ifdef ROUNDS
#define ONCE_MORE round < ROUNDS -> round++
#else
#define ONCE_MORE true
#endif

proctype writer(byte me) {
    byte seen, i, round;
    bool is_taken, is_parked;
    do
    :: ONCE_MORE;
        try_exclusive();
        do
        :: is_taken -> break
        :: else ->
            park(HELD(255) | ANYBODY_PARKED, ANYBODY_PARKED | WRITER_PARKED);
            if
            :: is_parked -> is_parked = false; sleep()
            :: else
            fi;
            try_exclusive()
        od;
        writing++;
        assert(writing == 1 && reading == 0);
#ifdef LOOK
        first++;
        second++;
#endif
        writing--;
        d_step {
            seen = word;
            word = word - HELD_BY_WRITER;
#ifdef LOOK
            version++;
#endif
            is_taken = false
        };
        if
        :: (seen & ANYBODY_PARKED) != 0 -> wake_all()
        :: else
        fi;
        seen = 0
#ifdef ROUNDS
    :: round == ROUNDS -> break
#endif
    od
}

proctype reader(byte me) {
    byte seen, i, round;
    bool is_taken, is_parked;
    do
    :: ONCE_MORE;
        try_shared();
        do
        :: is_taken -> break
        :: else ->
            park(HELD_BY_WRITER | WRITER_PARKED, ANYBODY_PARKED);
            if
            :: is_parked -> is_parked = false; sleep()
            :: else
            fi;
            try_shared()
        od;
        reading++;
        assert(writing == 0);
        reading--;
        d_step {
            word = word - ONE_READER;
            seen = word;
            is_taken = false
        };
        if
        :: HELD(seen) == 0 && (seen & ANYBODY_PARKED) != 0 -> wake_all()
        :: else
        fi;
        seen = 0
#ifdef ROUNDS
    :: round == ROUNDS -> break
#endif
    od
}

#ifdef LOOK
/* rwlock_peek, the look, rwlock_is_unchanged. Word and version are one word, so they are loaded as one. */
proctype looker() {
    byte before, one, other;
    bool is_sound;
#ifdef BROKEN_LATE_VERSION
    one = first;
    other = second;
    d_step { before = version; is_sound = (word & HELD_BY_WRITER) == 0 };
#else
    d_step { before = version; is_sound = (word & HELD_BY_WRITER) == 0 };
    one = first;
    other = second;
#endif
    d_step { is_sound = is_sound && version == before && (word & HELD_BY_WRITER) == 0 };
    assert(!is_sound || one == other)
}
#endif

init {
    byte n;
    atomic {
        do
        :: n < WRITERS -> run writer(n); n++
        :: n >= WRITERS && n < WAITERS -> run reader(n); n++
        :: else -> break
        od;
#ifdef LOOK
        run looker()
#endif
    }
}

#ifndef ROUNDS
#ifdef WHO
ltl woken_in_the_end { [] (parked[WHO] -> <> !parked[WHO]) }
#endif
#endif
