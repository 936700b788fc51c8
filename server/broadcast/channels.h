/* Channels and patterns: who hears what is published. One table for all workers; a channel is there as long
 * as somebody hears it.
 *
 * A channel's lock, which it shares with some others, is a leaf: it is held while all workers that have
 * hearers are sent their message, so that all of them hear what is published in one order, and for nothing
 * else. Patterns are matched before it is taken. */
#ifndef SERVER_BROADCAST_CHANNELS_H
#define SERVER_BROADCAST_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"
#include "server/base/chains.h"
#include "server/task/session.h"
#include "server/worker/worker.h"
#include "audience.h"

struct channel {
    struct chain_link link; /* among those of its kind, by name */
    struct audience audience;
    enum channel_kind kind;
    size_t length;
    const char *name;
};

/* Before there are threads: false, no randomness. */
bool channels_start(void);

uint32_t channel_hash(const struct bulk *name);
bool channel_is(const struct channel *channel, enum channel_kind kind, const struct bulk *name);

/* The hearer, whose task is filled in, hears what is published from here on; `mark` is read by its worker in
 * between (NULL: none is). On that worker. NULL: no memory, and nothing has happened. */
struct channel *channel_join(enum channel_kind kind, const struct bulk *name, struct worker *worker,
                             struct hearer *hearer, struct message *mark);
/* Nor more from here on. The channel may be gone then. */
void channel_part(struct channel *channel, struct worker *worker, struct hearer *hearer,
                  struct message *mark);

/* To all who hear the channel or, unless it is a shard's, a pattern that it matches. Any worker's thread; may
 * hold shards; the hearers' workers are woken at the end of its turn. How many they are; -1: no memory, and
 * nobody was told. */
int64_t channels_publish(enum channel_kind kind, const struct bulk *name, const struct bulk *text);
/* How many they would be. */
int64_t channels_audience(enum channel_kind kind, const struct bulk *name);

/* Those of that kind that somebody hears. */
uint64_t channels_count(enum channel_kind kind);
/* Of that channel alone, without patterns. */
uint64_t channels_hearers(enum channel_kind kind, const struct bulk *name);
/* Calls `visit` with the name of each one, outside of every lock; not of patterns. false: no memory. */
bool channels_visit(enum channel_kind kind, void (*visit)(void *context, const char *name, size_t length),
                    void *context);

#endif
