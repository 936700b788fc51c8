/* Watched keys (WATCH): what a session has seen, and whether it still is so.
 *
 * A key that anybody watches has one record, an interest in it, however many watch: it counts the key's
 * changes. A session remembers with each of its keys how many there had been; so a change costs the same
 * whoever watches, and whether a key was touched is one comparison, with its shard held.
 *
 * A session that watches no more leaves its list to its worker, which gives the records up shard by shard, as
 * it can have each. */
#ifndef SERVER_INTEREST_WATCH_H
#define SERVER_INTEREST_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/scope/scope.h"

struct keyspace;
struct lane;
struct watch_list;

/* Before any other thread, when interests have been started; and when no other thread is left. */
void watch_start(struct keyspace *keyspace);
void watch_stop(void);

/* Adds a key, whose shard the scope holds, to the list, which is made if it is NULL. What of the key has
 * expired by now is gone before it is watched. false: no memory, and the key isn't watched. */
bool watch_add(struct watch_list **list, struct write_scope *scope, const struct key *key);
/* Whether any of its keys was changed, or has expired, since it was added. Their shards are held. */
bool watch_is_touched(const struct watch_list *list, const struct read_scope *scope);
/* It was not, with the shards held ever since, and what was changed meanwhile has been taken back. */
void watch_renew(struct watch_list *list);
/* What that would probably say; without a lock. */
bool watch_seems_touched(const struct watch_list *list);
uint32_t watch_count(const struct watch_list *list);
const struct key *watch_key(const struct watch_list *list, uint32_t index);
/* Memory that it takes; a record's is counted to all that watch it. */
size_t watch_bytes(const struct watch_list *list);

/* Lists that have ended on one worker, and wait to be given up. */
struct ended_watches {
    struct watch_list *first, *last;
    size_t count, bytes; /* of watches, and of memory with their records */
};
/* Nobody watches by it any more. The scope (or NULL) gives up what it holds at once. */
void watch_end(struct ended_watches *ended, struct watch_list *list, struct write_scope *scope);
/* Gives up records, as far as their shards can be had, a share of them at a time. The lane is outside the
 * gate. Returns in how many milliseconds it wants to go on; -1: nothing is left. */
int watch_sweep(struct ended_watches *ended, struct lane *lane, int64_t now);
/* The worker ends; watch_stop frees them. */
void watch_abandon(struct ended_watches *ended);

#endif
