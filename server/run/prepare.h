/* Preparing: what is known of requests before their turn comes. */
#ifndef SERVER_RUN_PREPARE_H
#define SERVER_RUN_PREPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/scope/scope_take.h"
#include "server/command/command.h"

struct worker;

/* What is known of a request before its turn comes. */
struct prepared {
    const struct command *command; /* NULL: nothing is */
    bool has_key;                  /* that is its one key, but for the database */
    bool shares_clock; /* the next one is of its kind, and both are short: they are timed together */
    struct key key;
    struct fetch fetch;
};
/* Short commands of one kind that follow each other are timed together, so many of them: reading the clock
 * takes as long as a good part of one. */
#define CLOCK_SHARERS 16
/* Unless somebody wants to know of commands that are hardly slow. */
bool clock_may_be_shared(void);
static inline bool command_shares_clock(const struct command *command) {
    return command->only_key != 0 && (command->flags & COMMAND_LONG) == 0;
}
/* Looks up the commands of the frame's batch and hashes their keys. prepared has room for BATCH_REQUESTS. */
void dispatch_prepare(struct worker *worker, struct prepared *prepared);
/* Before each DISPATCH_WINDOW requests of the batch, the first of which is number `at`: fetches into the
 * cache what those behind them will look at, as if all were about that database. A processor waits for some
 * dozens of lines at a time, so they are sent for while others are worked on: entries one window ahead, their
 * homes two. */
#define DISPATCH_WINDOW 4
void dispatch_fetch(struct worker *worker, uint32_t database, struct prepared *prepared, uint32_t at);
/* The same across connections, for the first request of each: collects, and then fetches. Inside the gate. */
void dispatch_look_ahead(struct worker *worker, uint32_t database, char *data, size_t length);
void dispatch_fetch_ahead(struct worker *worker);

#endif
