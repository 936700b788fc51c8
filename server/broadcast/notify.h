/* Keyspace notifications: what happens to keys is published, for whoever subscribes to it.
 *
 *     __keyspace@0__:user:1   "del"       what has happened to that key
 *     __keyevent@0__:del      "user:1"    which key that has happened to
 *
 * It is told while the key's shard is held, so that a key's events are heard in the order in which they
 * happened; in a transaction or a script, and of what may still be taken back, once that is settled, but
 * then likewise (outbox.h). */
#ifndef SERVER_BROADCAST_NOTIFY_H
#define SERVER_BROADCAST_NOTIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shard/keyspace.h"
#include "server/config/config.h"

static inline bool notify_is_on(void) {
    return atomic_load_explicit(&config.events, memory_order_relaxed) != 0;
}

/* Before any other thread: listens to the keyspace. */
void notify_start(struct keyspace *keyspace);

#endif
