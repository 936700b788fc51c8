/* Latchkey as a library: the sharded keyspace in a program of your own. No protocol, no socket, no thread of its own.
 *
 *     struct keyspace *cache = keyspace_open(&(struct keyspace_options){.shards = 256});
 *     struct lane *lane = lane_attach(cache);                         // once per thread
 *     latchkey_set(lane, &(struct latchkey_item){.key = "k", .key_length = 1, .value = "v", .value_length = 1, .lives = 60000});
 *     char value[64];
 *     ssize_t length = latchkey_get(lane, "k", 1, value, sizeof value);
 *     lane_detach(lane);
 *     keyspace_close(cache);
 *
 * Link liblatchkey.a with -lpthread, and -ljemalloc if it was built with it.
 *
 * Any number of threads may call at once, each with its own lane; a lane is used by one thread at a time. Calls take the shards they
 * need and sleep while another thread holds one. What several keys must see together goes into latchkey_read or latchkey_write, which run
 * a function of yours with all of the keys' shards held. Lifetimes: keys and values passed in are copied. Time is unix time in
 * milliseconds, read per call.
 *
 * The calls enter the gate and leave it, which lets memory that others retired be freed; freeing happens in latchkey_idle and, now and
 * then, at the end of a write. */
#ifndef SHARD_LATCHKEY_H
#define SHARD_LATCHKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keyspace.h"
#include "lane.h"
#include "scope.h"

struct latchkey_item {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
    int64_t lives;        /* milliseconds from now; 0: for ever */
    uint32_t database;
    bool only_if_absent;  /* like SET NX */
    bool only_if_present; /* like SET XX */
    bool keeps_expiry;    /* like SET KEEPTTL */
};

enum latchkey_result { LATCHKEY_OK, LATCHKEY_REFUSED /* only_if_... */, LATCHKEY_WRONG_TYPE, LATCHKEY_OUT_OF_MEMORY };

enum latchkey_result latchkey_set(struct lane *lane, const struct latchkey_item *item);
/* Copies at most `size` bytes of the value. Returns its whole length, or -1 if the key is absent or no string. */
ssize_t latchkey_get(struct lane *lane, const char *key, size_t length, char *out, size_t size);
/* Returns whether there was something to delete. */
bool latchkey_delete(struct lane *lane, const char *key, size_t length);
/* Adds to an integer (0 if absent). LATCHKEY_WRONG_TYPE if it isn't one, LATCHKEY_REFUSED if it would overflow. */
enum latchkey_result latchkey_increment(struct lane *lane, const char *key, size_t length, int64_t by, int64_t *result);

/* Runs `function` once, with the shards of all keys held, so that it sees and changes them as one. It must not wait and must not call
 * latchkey_ functions; it works through the scope (scope.h). keys come from keyspace_key. */
void latchkey_read(struct lane *lane, const struct key *keys, size_t count,
                   void (*function)(void *context, const struct read_scope *scope), void *context);
void latchkey_write(struct lane *lane, const struct key *keys, size_t count, void (*function)(void *context, struct write_scope *scope),
                    void *context);

/* Visits every key of a database, one shard held shared at a time: keys present throughout are visited at least once. */
void latchkey_range(struct lane *lane, uint32_t database, scope_visitor *visit, void *context);

/* For a thread with nothing to do: removes what has expired and frees what was retired, for about `microseconds`. */
void latchkey_idle(struct lane *lane, int64_t microseconds);

#endif
