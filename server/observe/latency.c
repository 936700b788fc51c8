#include "latency.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "server/config/config.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex. */
static struct latency_event events[LATENCY_EVENTS];
static uint32_t event_count;

static struct latency_event *event_find(const char *name, size_t length) {
    for (uint32_t i = 0; i < event_count; i++)
        if (strlen(events[i].name) == length && memcmp(events[i].name, name, length) == 0) return &events[i];
    return NULL;
}

/* One sample a second: the worst of it. */
static void event_add(struct latency_event *event, int64_t second, int64_t milliseconds) {
    if (milliseconds > event->most) event->most = milliseconds;
    if (event->count > 0) {
        struct latency_sample *last = &event->samples[(event->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES];
        if (last->second == second) {
            if (milliseconds > last->milliseconds) last->milliseconds = milliseconds;
            return;
        }
    }
    event->samples[event->next] = (struct latency_sample){second, milliseconds};
    event->next = (event->next + 1) % LATENCY_SAMPLES;
    if (event->count < LATENCY_SAMPLES) event->count++;
}

void latency_note(const char *name, int64_t milliseconds, int64_t now) {
    int64_t threshold = atomic_load_explicit(&config.latency_monitor_threshold, memory_order_relaxed);
    if (threshold == 0 || milliseconds < threshold) return;
    pthread_mutex_lock(&mutex);
    struct latency_event *event = event_find(name, strlen(name));
    if (event == NULL && event_count < LATENCY_EVENTS) {
        event = &events[event_count++];
        *event = (struct latency_event){0};
        strncpy(event->name, name, sizeof event->name - 1);
    }
    if (event != NULL) event_add(event, now / 1000, milliseconds);
    pthread_mutex_unlock(&mutex);
}

uint32_t latency_events(struct latency_event out[LATENCY_EVENTS]) {
    pthread_mutex_lock(&mutex);
    uint32_t count = event_count;
    memcpy(out, events, count * sizeof *out);
    pthread_mutex_unlock(&mutex);
    return count;
}

bool latency_find(const char *name, size_t length, struct latency_event *out) {
    pthread_mutex_lock(&mutex);
    const struct latency_event *event = event_find(name, length);
    if (event != NULL) *out = *event;
    pthread_mutex_unlock(&mutex);
    return event != NULL;
}

bool latency_forget(const char *name, size_t length) {
    pthread_mutex_lock(&mutex);
    struct latency_event *event = event_find(name, length);
    if (event != NULL) *event = events[--event_count];
    pthread_mutex_unlock(&mutex);
    return event != NULL;
}

uint32_t latency_clear(void) {
    pthread_mutex_lock(&mutex);
    uint32_t count = event_count;
    event_count = 0;
    pthread_mutex_unlock(&mutex);
    return count;
}
