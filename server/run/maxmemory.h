/* maxmemory: what is left of it for the keyspace, once what clients and the process itself use is taken
 * off. */
#ifndef SERVER_RUN_MAXMEMORY_H
#define SERVER_RUN_MAXMEMORY_H

#include <stdint.h>

struct keyspace;

/* Takes maxmemory, its policy and the policy's options from the configuration, now and whenever they change.
 * Before any other thread. */
void limit_start(struct keyspace *keyspace);
/* Looks at what the allocator has handed out, and adapts the keyspace's limit. By any thread. */
void limit_tick(struct keyspace *keyspace);
/* That, every few milliseconds, by whichever worker comes first: what is between two ticks is covered by what
 * eviction keeps free, so none may be late because one worker is. now: monotonic, in milliseconds. */
void limit_follow(struct keyspace *keyspace, int64_t now);
/* What others than the data need goes up and down, as large values are on their way in and out: room for the
 * most of it is kept, and given up slowly. But nothing is let go for memory that is back already: what is
 * there then may stay, and only doesn't grow. */
struct limit_kept {
    int64_t most; /* of what others needed */
    int64_t data; /* the limit under which all stays that was there when they needed less; INT64_MAX: they
                   * need as much as ever */
};
/* The data's limit from now on. room: for all. others: what they need now. used: what the data takes. */
int64_t limit_step(struct limit_kept *kept, int64_t room, int64_t others, int64_t used);
/* How much less than maxmemory there is for the data and clients, since the process may have no more than
 * `available` and needs some of it beside what counts: `fixed` and `holes` are process_memory_beside's. 0
 * where maxmemory leaves enough. */
int64_t limit_reserve(int64_t maxmemory, int64_t available, int64_t fixed, int64_t holes);

#endif
