/* Walks: commands that go over the keyspace (SCAN, KEYS, RANDOMKEY), shard by shard, letting others in
 * between where somebody waits. */
#ifndef SERVER_RUN_WALK_H
#define SERVER_RUN_WALK_H

#include "dispatcher.h"

enum outcome run_walk(struct execution *execution);

#endif
