/* Fetching ahead: the lines that lookups of many keys will need are sent for in steps, as each line tells
 * where the next one is: the homes', the entries' or the spills', and then the spilled entries'. All keys
 * take each step together, so that memory is waited for once, and not in between their requests: a processor
 * can wait for several pages' addresses at a time, but goes no further than some hundred instructions beyond
 * the first. The lane is inside. No lock is needed: what is read may be stale, and is only a hint. The home
 * is more: a lookup goes on from it (key->fetch) if the lane is still inside and nobody has written to the
 * shard since, itself included as far as homes have moved. */
#ifndef SHARD_STORE_FETCH_H
#define SHARD_STORE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/key.h"
#include "../table/table.h"

struct fetch {
    struct home home;           /* in no group: nothing is known */
    uint32_t version, voidings; /* the shard's and the lane's when it was found */
    uint32_t database;
    bool is_spilled;
};
void fetch_home(const struct lane *lane, uint64_t hash, uint32_t database, struct fetch *fetch);
static inline void fetch_entry(struct fetch *fetch, uint64_t hash) {
    fetch->is_spilled = fetch->home.bucket != NULL && !home_prefetch(fetch->home, hash);
}
static inline void fetch_spilled(const struct fetch *fetch, uint64_t hash) {
    if (fetch->is_spilled) home_prefetch_spilled(fetch->home, hash);
}
/* All steps. */
void keyspace_prefetch(const struct lane *lane, const struct key *keys, size_t count);

#endif
