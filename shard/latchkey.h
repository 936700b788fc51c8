/* Latchkey as a library: the sharded keyspace in a program of your own. No protocol, no socket, no thread of
 * its own.
 *
 *     struct keyspace *cache = keyspace_open(&(struct keyspace_options){.shards = 256});
 *     struct lane *lane = lane_attach(cache);                         // once per thread
 *     struct latchkey_item item = {.key = "k", .key_length = 1, .value = "v", .value_length = 1};
 *     latchkey_set(lane, &item);
 *     char value[64];
 *     ssize_t length = latchkey_get(lane, "k", 1, value, sizeof value);
 *     lane_detach(lane);
 *     keyspace_close(cache);
 *
 * A thread with many keys at hand asks for them in one call, which waits for memory once rather than key
 * after key:
 *
 *     struct latchkey_query queries[] = {
 *         {.key = "a", .key_length = 1, .out = first, .size = sizeof first},
 *         {.key = "b", .key_length = 1, .out = second, .size = sizeof second},
 *     };
 *     latchkey_get_many(lane, queries, 2);                            // and then queries[i].length
 *
 * Link liblatchkey.a with -lpthread, and -ljemalloc if it was built with it.
 *
 * Any number of threads may call at once, each with its own lane; a lane is used by one thread at a time.
 * Calls take the shards they need and sleep while another thread holds one. What several keys must see
 * together goes into latchkey_read or latchkey_write, which run a function of yours with all of the keys'
 * shards held. Lifetimes: keys and values passed in are copied. Time is unix time in milliseconds, read per
 * call and as exact as the kernel's tick (1 to 10 ms).
 *
 * A limit on memory and the policy by which keys go are set with eviction_limit and eviction_configure
 * (eviction.h); then latchkey_set and latchkey_set_many let keys go before they add one, and answer
 * LATCHKEY_OUT_OF_MEMORY if none may go. eviction_tick wants to be called now and then, inside the gate.
 *
 * The calls enter the gate and leave it, which lets memory that others retired be freed; freeing happens in
 * latchkey_idle and, now and then, at the end of a write. A thread that makes many calls in a row enters once
 * for all of them, which makes each cheaper: a visit.
 *
 *     latchkey_enter(lane);
 *     ... some hundred calls, and nothing that waits ...
 *     latchkey_leave(lane);
 *
 * Meanwhile what other threads retire is kept, so a visit is short: a millisecond, say. A thread that wants
 * the whole keyspace gets it between two of its calls. */
#ifndef SHARD_LATCHKEY_H
#define SHARD_LATCHKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "evict/eviction.h"
#include "keyspace.h"
#include "lock/lane.h"
#include "scope/scope.h"

struct latchkey_item {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
    int64_t lives; /* milliseconds from now; 0: for ever */
    uint32_t database;
    bool only_if_absent;  /* like SET NX */
    bool only_if_present; /* like SET XX */
    bool keeps_expiry;    /* like SET KEEPTTL */
};

enum latchkey_result {
    LATCHKEY_OK,
    LATCHKEY_REFUSED /* only_if_... */,
    LATCHKEY_WRONG_TYPE,
    LATCHKEY_OUT_OF_MEMORY
};

/* A visit begins; it ends. Visits don't nest; a lane is detached outside of one. */
void latchkey_enter(struct lane *lane);
void latchkey_leave(struct lane *lane);

enum latchkey_result latchkey_set(struct lane *lane, const struct latchkey_item *item);
/* Copies at most `size` bytes of the value. Returns its whole length, or -1 if the key is absent or no
 * string. */
ssize_t latchkey_get(struct lane *lane, const char *key, size_t length, char *out, size_t size);
/* Returns whether there was something to delete. */
bool latchkey_delete(struct lane *lane, const char *key, size_t length);
/* Adds to an integer (0 if absent). LATCHKEY_WRONG_TYPE if it isn't one, LATCHKEY_REFUSED if it would
 * overflow. */
enum latchkey_result latchkey_increment(struct lane *lane, const char *key, size_t length, int64_t by,
                                        int64_t *result);

/* A question, and its answer. */
struct latchkey_query {
    const char *key;
    size_t key_length;
    char *out; /* at most `size` bytes of the value are copied here; NULL is fine if size is 0 */
    size_t size;
    uint32_t database;
    ssize_t length; /* the answer: the value's whole length, or -1 if the key is absent or no string */
};

/* Any number of keys, each as by latchkey_get or latchkey_set and in the order given, so that of two items
 * with one key the later stays. The keys are not seen or changed as one: others may come in between (for that
 * there is latchkey_read, latchkey_write). The call takes 32 at a time: hashes them, brings all their lines
 * into the cache, and only then works on them, so that a keyspace far larger than the cache costs one wait
 * for memory instead of 32. It holds at most one shard at a time, and lets a closer of the gate in between 32
 * and 32. */

/* Fills in every query's length, and `out`. Returns how many were there. */
size_t latchkey_get_many(struct lane *lane, struct latchkey_query *queries, size_t count);
/* results: one per item, or NULL if only the count is wanted. Returns how many items are LATCHKEY_OK; the
 * others have changed nothing, except that one for which there was no memory may have lost its key. */
size_t latchkey_set_many(struct lane *lane, const struct latchkey_item *items, size_t count,
                         enum latchkey_result *results);

/* Runs `function` once, with the shards of all keys held, so that it sees and changes them as one. It must
 * not wait and must not call latchkey_ functions; it works through the scope (scope.h). keys come from
 * keyspace_key. */
void latchkey_read(struct lane *lane, const struct key *keys, size_t count,
                   void (*function)(void *context, const struct read_scope *scope), void *context);
void latchkey_write(struct lane *lane, const struct key *keys, size_t count,
                    void (*function)(void *context, struct write_scope *scope), void *context);

/* Visits the keys of a database. The guarantee is SCAN's: a key that is there from the beginning of the call
 * to its end is visited at least once, whatever is set and deleted meanwhile and however the tables grow and
 * shrink; a key that came or went may be visited or not; one whose time is up is not. A key may be visited
 * twice if a table shrinks while it is being read.
 *
 * It takes one shard at a time, shared, and lets it go after a few hundred entries, so that writers wait for
 * no more than that. visit runs with the shard held: like the functions of latchkey_read it must not wait and
 * must not call latchkey_ functions, and the entry is its to read until it returns. */
void latchkey_range(struct lane *lane, uint32_t database, scope_visitor *visit, void *context);

/* For a thread with nothing to do: removes what has expired and frees what was retired, for about
 * `microseconds`. */
void latchkey_idle(struct lane *lane, int64_t microseconds);

#endif
