/* LATENCY: spikes over latency-monitor-threshold, by what caused them. Any thread. */
#ifndef SERVER_OBSERVE_LATENCY_H
#define SERVER_OBSERVE_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Beyond that number no further kinds of events are kept. */
#define LATENCY_EVENTS 16
#define LATENCY_SAMPLES 160

/* The worst spike of one second. */
struct latency_sample {
    int64_t second, milliseconds; /* unix time; how long it took */
};

struct latency_event {
    char name[32];
    struct latency_sample samples[LATENCY_SAMPLES]; /* a ring; its newest is before `next` */
    uint32_t next, count;                           /* count: never 0 */
    int64_t most;                                   /* the worst of all spikes, in milliseconds */
};

/* The samples from the oldest, 0, to the newest, event->count - 1. */
static inline const struct latency_sample *latency_sample(const struct latency_event *event, uint32_t index) {
    return &event->samples[(event->next + LATENCY_SAMPLES - event->count + index) % LATENCY_SAMPLES];
}

/* An event ("command", "fast-command", "expire-cycle") took that long; it is kept if that is at least the
 * threshold, and the threshold isn't 0. now: unix time in milliseconds. */
void latency_note(const char *event, int64_t milliseconds, int64_t now);

/* Copies all events as they are now; returns how many. */
uint32_t latency_events(struct latency_event events[LATENCY_EVENTS]);
/* Copies the event of that name; false if there is none. */
bool latency_find(const char *name, size_t length, struct latency_event *event);
/* Forgets the spikes of the event of that name; false if there were none. */
bool latency_forget(const char *name, size_t length);
/* Forgets all; returns how many events there were. */
uint32_t latency_clear(void);

#endif
