/* Interests: those that want to hear of a key's change (clients that wait for it to be filled,
 * or that watch it).
 *
 * Each shard has a table of them, by key, which its lock guards: whoever changes a key finds its interests
 * in one look, and a key in a shard without any costs one load. An interest tells by its kind what it does
 * with the change; it is told while the shard is held exclusively, and so only takes note. */
#ifndef SERVER_INTEREST_INTEREST_H
#define SERVER_INTEREST_INTEREST_H

#include <stdbool.h>
#include <stdint.h>

#include "shard/base/key.h"
#include "shard/keyspace.h"
#include "server/base/chains.h"

struct interest;

struct interest_kind {
    bool is_wait; /* its interests are clients that wait, and are counted as such */
    /* Its key has become this entry (NULL: it has gone); where its database was exchanged or emptied as a
     * whole, `entry` is NULL whatever has become of it (the scope tells). It must not insert or remove
     * interests. */
    void (*changed)(struct interest *interest, struct write_scope *scope, const struct entry *entry,
                    enum event event);
};

/* Embedded in whatever it stands for. */
struct interest {
    struct chain_link link; /* first: a link is cast back */
    const struct interest_kind *kind;
    const struct key *key; /* stays for as long as the interest is in the table */
    bool in_absence;       /* it also matters if the key goes */
};

/* Before any other thread: listens to the keyspace. false: no memory, or no randomness. */
bool interest_start(struct keyspace *keyspace);
/* No other thread is left. What is still in the tables is forgotten. */
void interest_stop(void);

/* With its key's shard held exclusively; kind, key and in_absence are filled in. false when out of memory. */
bool interest_insert(struct interest *interest);
void interest_remove(struct interest *interest);
/* `by` takes the place of one for the same key. */
void interest_replace(struct interest *interest, struct interest *by);

/* All that may be for a key, one after the other, with its shard held; among them are other keys'. Each
 * look is counted. */
struct interest *interest_near(const struct key *key);
struct interest *interest_behind(const struct interest *interest);
/* Whether there is anybody in the key's shard. */
bool interest_is_any(const struct key *key);
/* A look at something that hangs from an interest for that key, counted likewise. */
void interest_looked(const struct key *key);

/* Sums over the shards. No lock. */
struct interest_counts {
    /* Keys that clients wait for, and those of them with one that is told if the key goes. */
    uint64_t keys, keys_in_absence;
    uint64_t looks; /* since the start: what it costs, where time says little */
};
void interest_count(struct interest_counts *counts);

#endif
