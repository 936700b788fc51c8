/* LATENCY: spikes over latency-monitor-threshold, by what caused them. */
#ifndef SERVER_OBSERVE_LATENCY_H
#define SERVER_OBSERVE_LATENCY_H

#include <stdint.h>

/* An event ("command", "fast-command", "expire-cycle") took that long; it is kept if that is at least the
 * threshold, and the threshold isn't 0. Any thread. now: unix time in milliseconds. */
void latency_note(const char *event, int64_t milliseconds, int64_t now);

#endif
