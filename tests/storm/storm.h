/* A storm: clients that do at random what has brought servers down, and who looks on.
 *
 * Actors are threads. Each does one act after the other: a few connections, some traffic, an end of some
 * kind. Most acts are short for the server. Those that are heavy (a set of thousands united, a sort, a walk)
 * are for the connections on one worker, HEAVY_WORKER: what the clients of the other workers notice of them
 * is what is judged (probe.h). */
#ifndef TESTS_STORM_STORM_H
#define TESTS_STORM_STORM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

#define HEAVY_WORKER 0
#define ACTORS_MOST 16
#define DEPARTED_MOST 4096

/* Somebody who has gone, and should soon be gone from CLIENT LIST. */
struct departed {
    uint64_t id;
    int64_t at;      /* monotonic us */
    int64_t lost_us; /* pulse_lost_us then */
    int sightings;   /* in lists that were asked for when it should not have been there any more */
    const char *act;
};

/* How long the server's threads were ready to run, and others ran: on a busy machine, what is not the
 * server's fault. */
#define PULSE_THREADS_MOST 64
struct pulse {
    pid_t server;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    uint32_t count;
    unsigned long threads[PULSE_THREADS_MOST];
    int64_t delays[PULSE_THREADS_MOST];
    int64_t lost_us; /* of each beat's span, the most that one thread was delayed */
};
/* The sum until now, of the threads that have been seen before. */
int64_t pulse_lost_us(struct pulse *pulse);

struct storm {
    int port;
    uint64_t seed;
    const char *only; /* names of the acts that are played, with commas; NULL: all */
    uint32_t members; /* of the sets that are united */
    uint32_t unions;  /* of one pipeline */
    atomic_bool is_over;
    atomic_bool holds;             /* somebody has a shard held (DEBUG HOLD) */
    _Atomic int64_t excused_until; /* monotonic us: CLIENT PAUSE holds whom it likes until then */
    _Atomic uint64_t acts;
    struct pulse pulse;
    pthread_mutex_t mutex;
    /* Guarded by mutex. */
    struct departed departed[DEPARTED_MOST];
    uint32_t departed_count;
    char complaint[2048]; /* the first; empty: all is well */
};

struct actor {
    struct storm *storm;
    pthread_t thread;
    uint32_t number;
    bool is_heavy;
    uint64_t state;    /* of its random numbers */
    struct wire heavy; /* its connection on HEAVY_WORKER */
    struct text text;
    _Atomic(const char *) doing;
};

/* Names of keys whose shards are held for long, by heavy acts and DEBUG HOLD, ended by NULL. Who wants to be
 * answered at once has others. They are few, since a server has few holds at once. */
extern const char *const storm_slow_keys[];

/* Starts so many actors, of whom every fourth is heavy; tells them, and who looks on, that it is over; ends
 * them, and their connections. */
void storm_begin(struct storm *storm, struct actor *actors, uint32_t count);
void storm_abate(struct storm *storm);
void storm_end(struct storm *storm, struct actor *actors, uint32_t count);
/* Fills what heavy acts work on, and finds out how much of it is enough for a moment. */
void storm_prepare(struct storm *storm);

/* The first complaint is kept, with what the actors are doing. */
void storm_complain(struct storm *storm, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool storm_has_complaint(struct storm *storm);
void storm_depart(struct storm *storm, uint64_t id, const char *act);

/* A connection on that worker, within so many milliseconds. */
bool storm_open_on(const struct storm *storm, struct wire *wire, uint32_t worker, int milliseconds);

/* The acts, ended by a name that is NULL. */
struct act {
    const char *name;
    void (*play)(struct actor *actor);
};
extern const struct act light_acts[], heavy_acts[];

/* For acts. */
uint64_t draw(struct actor *actor, uint64_t below);
bool actor_open(struct actor *actor, struct wire *wire);
/* Its end: closed or reset, as chance will have it. */
void actor_close(struct actor *actor, struct wire *wire);

#endif
