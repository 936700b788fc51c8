/* How much all workers do in a second, as INFO tells of it. Any thread. */
#ifndef SERVER_OBSERVE_RATES_H
#define SERVER_OBSERVE_RATES_H

#include <stdint.h>

/* Averages over the last second or two. */
struct rates {
    uint64_t commands, turns, turn_us; /* the last: processor time of one turn, on the average */
    double bytes_in, bytes_out;
};
void rates_read(struct rates *rates);
/* Looks at what the workers have counted: by one thread, about ten times a second. */
void rates_tick(void);

#endif
