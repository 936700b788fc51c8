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

/* A reset in between makes counters go back, and not all of them equally far: there is no rate then. */
static uint64_t gain(uint64_t first, uint64_t last) {
    return last < first ? 0 : last - first;
}

void rates_read(struct rates *rates) {
    *rates = (struct rates){0};
    pthread_mutex_lock(&mutex);
    if (tick_count >= 2) {
        const struct tick *last = &ticks[(tick_count - 1) % TICKS],
                          *first = &ticks[tick_count < TICKS ? 0 : tick_count % TICKS];
        double seconds = (double)(last->time - first->time) / 1000.0;
        if (seconds > 0) {
            const struct worker_totals *from = &first->totals, *to = &last->totals;
            uint64_t turns = gain(from->turns, to->turns);
            rates->commands = (uint64_t)((double)gain(from->commands, to->commands) / seconds);
            rates->turns = (uint64_t)((double)turns / seconds);
            rates->turn_us = turns == 0 ? 0 : gain(from->busy_us, to->busy_us) / turns;
            rates->bytes_in = (double)gain(from->bytes_in, to->bytes_in) / seconds;
            rates->bytes_out = (double)gain(from->bytes_out, to->bytes_out) / seconds;
        }
    }
    pthread_mutex_unlock(&mutex);
}
