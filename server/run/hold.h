/* DEBUG HOLD and RELEASE: one shard is exclusively held by a thread of its own, so that tests can see what
 * waits for it and what doesn't. */
#ifndef SERVER_RUN_HOLD_H
#define SERVER_RUN_HOLD_H

#include <stdint.h>

#include "shard/base/key.h"

struct keyspace;

/* Takes the key's shard, and gives it back after so many seconds. It is held when this returns. Returns NULL,
 * or the error to reply (the shard is busy, there is no thread for it): it never waits. The caller is inside
 * the gate. */
const char *hold_start(struct keyspace *keyspace, const struct key *key, double seconds, int64_t now);
/* Tells every hold to end now, and waits for none. */
void hold_release_all(void);
/* The same, and waits for their threads; and none begins from now on, though clients may still ask for it.
 * Before the keyspace is closed. */
void hold_end_all(void);

#endif
