/* A table of chained links, which stand in whatever they are of. The caller compares keys; the table knows
 * the hash of each and no more.
 *
 * Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", 1980): with each link
 * that comes one bucket is split, and with those that go two are joined, so that no step moves what all the
 * others have put there. Not for several threads: a lock of the caller's guards it. */
#ifndef SERVER_BASE_CHAINS_H
#define SERVER_BASE_CHAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chain_link {
    struct chain_link *next; /* in its bucket */
    uint32_t hash;
    uint32_t spare; /* its owner's own: the room is there anyhow */
};

/* All zero is an empty one, which owns nothing. */
struct chains {
    struct chain_link **buckets; /* the first link of each */
    uint32_t bucket_count, capacity, count;
};

/* At the head of its chain. false: no memory. */
bool chains_insert(struct chains *chains, struct chain_link *link, uint32_t hash);
/* It is in there. The last one that goes takes the buckets with it. */
void chains_remove(struct chains *chains, struct chain_link *link);
/* `by`, which is in no table, stands where `link` stood. */
void chains_replace(struct chains *chains, struct chain_link *link, struct chain_link *by);
/* The first of those among which all of that hash are; NULL: there are none. */
struct chain_link *chains_find(const struct chains *chains, uint32_t hash);
/* Forgets all links; their owners keep them. */
void chains_clear(struct chains *chains);

#endif
