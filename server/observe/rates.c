#include "rates.h"

#include <pthread.h>

#include "server/base/clock.h"
#include "statistics.h"

/* Rates are averages over this many ticks. */
#define TICKS 16

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex. */
static struct tick {
    int64_t time; /* monotonic ms */
    struct worker_totals totals;
} ticks[TICKS];
static uint32_t tick_count;

void rates_tick(void) {
    struct worker_totals totals;
    statistics_workers(&totals);
    pthread_mutex_lock(&mutex);
    ticks[tick_count++ % TICKS] = (struct tick){clock_monotonic_ms(), totals};
    pthread_mutex_unlock(&mutex);
}

void rates_read(struct rates *rates) {
    *rates = (struct rates){0};
    pthread_mutex_lock(&mutex);
    if (tick_count >= 2) {
        const struct tick *last = &ticks[(tick_count - 1) % TICKS],
                          *first = &ticks[tick_count < TICKS ? 0 : tick_count % TICKS];
        double seconds = (double)(last->time - first->time) / 1000.0;
        /* A reset in between makes the counters go back: then there is no rate. */
        if (seconds > 0 && last->totals.commands >= first->totals.commands) {
            rates->commands = (uint64_t)((double)(last->totals.commands - first->totals.commands) / seconds);
            uint64_t turns = last->totals.turns - first->totals.turns;
            rates->turns = (uint64_t)((double)turns / seconds);
            rates->turn_us = turns == 0 ? 0 : (last->totals.busy_us - first->totals.busy_us) / turns;
            rates->bytes_in = (double)(last->totals.bytes_in - first->totals.bytes_in) / seconds;
            rates->bytes_out = (double)(last->totals.bytes_out - first->totals.bytes_out) / seconds;
        }
    }
    pthread_mutex_unlock(&mutex);
}
