/* Clocks. Wall time in milliseconds is read once per turn; durations come from the cycle counter, scaled once
 * at start. */
#ifndef SERVER_BASE_CLOCK_H
#define SERVER_BASE_CLOCK_H

#include <stdint.h>

void clock_init(void);       /* before any thread; takes a few milliseconds to calibrate */
int64_t clock_wall_ms(void); /* unix time */
int64_t clock_wall_us(void);
int64_t clock_monotonic_ms(void); /* for timeouts: never jumps */
/* For tests (DEBUG CLOCK): from now on the clock of the wall, and the monotonic one, tell so much more than
 * they would; each call adds to what was. */
void clock_shift(int64_t wall_ms, int64_t monotonic_ms);
const char *clock_source(void); /* what clock_cycles reads, as INFO names it */
uint64_t clock_cycles(void);
uint64_t clock_cycles_to_ns(uint64_t cycles);

#endif
