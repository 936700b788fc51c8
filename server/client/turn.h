/* A worker's turn. */
#ifndef SERVER_CLIENT_TURN_H
#define SERVER_CLIENT_TURN_H

struct loop_handlers;
struct worker;

/* What the loop tells a turn. */
extern const struct loop_handlers turn_handlers;

/* One turn, which waits for at most so many milliseconds (-1: for as long as it likes). Returns how long the
 * next one may. On the worker's thread. */
int turn_take(struct worker *worker, int milliseconds);
/* What is left of a turn in which connections were closed outside of one. */
void turn_end(struct worker *worker);

#endif
