/* Owner mode: the shards are divided among threads, and who wants something of a shard sends its owner a
 * message.
 *
 *     caller                                       owner 0 (shards 0-255)       owner 1 (shards 256-511)
 *       32 queries, sorted by their owners  --->     mailbox: message, message    mailbox: (asleep)
 *       spins, then sleeps                  <---     answers all, wakes the caller
 *
 * The last of the four cures of a shared map, beside one lock, a lock per shard and readers without a lock:
 * nobody but its owner works on a shard, so its lines stay in the owner's cache and its lock is never
 * contended. What it costs is the way there and back. Which of them is faster on a machine is what
 * bench/engine measures; the other calls of latchkey.h may be mixed with these, since the owners take their
 * shards' locks like anybody.
 *
 *     struct owners *owners = owner_open(cache, 4);                   // four threads with a lane each
 *     owner_get_many(owners, queries, count);                         // any thread; it needs no lane
 *     owner_close(owners);                                            // before keyspace_close */
#ifndef BENCH_OWNER_OWNER_H
#define BENCH_OWNER_OWNER_H

#include <stddef.h>
#include <stdint.h>

#include "shard/latchkey.h"

#define OWNERS_MOST 64

/* Starts up to OWNERS_MOST threads, at most one per shard, to which the shards are handed in equal ranges.
 * NULL with errno if there are no threads or no lanes left for them (EAGAIN), or no memory. */
struct owners *owner_open(struct keyspace *keyspace, uint32_t threads);
/* Nobody is in a call any more. */
void owner_close(struct owners *owners);

/* latchkey_get_many and latchkey_set_many by messages, with the same answers. Any number of threads may call
 * at once. A call's keys are sent 32 at a time, one message to each owner that has some of them, and the call
 * waits for the answers. Of two items with one key the later stays. */
size_t owner_get_many(struct owners *owners, struct latchkey_query *queries, size_t count);
size_t owner_set_many(struct owners *owners, const struct latchkey_item *items, size_t count,
                      enum latchkey_result *results);

#endif
