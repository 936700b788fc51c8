/* Tracked keys: which keys clients have read, and so may keep a copy of (CLIENT TRACKING).
 *
 * A key has one record, whatever its database, with the handles of those clients. A client that reads is
 * added before it reads, and without the key's shard, so that reads need no lock; who changes a key takes its
 * record out, with the shard held exclusively, and tells all who are in it. Either that one finds the reader
 * in the record, or the reader finds that the shard was being written to, and reads again: no change comes
 * between. Handles of clients that have gone stay until then; what is sent to them finds nobody.
 *
 * Records stand in parts by their keys' hashes, each with a mutex, which is a leaf. They are at most as many
 * as tracking-table-max-keys says, and as many bytes as so many of a moderate length: beyond it, some are
 * taken out as if their keys had changed. */
#ifndef SERVER_INTEREST_TRACKED_H
#define SERVER_INTEREST_TRACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/base/key.h"

struct tracked;

/* Before any other thread, and when no other thread is left: then all is forgotten. */
void tracked_start(void);
void tracked_stop(void);

/* In one record: who changes its key goes over them while the shard is held. */
#define TRACKED_CLIENTS_MOST 65536
/* The client may have a copy of the key from here on. false: no memory, or the record is full, and it must be
 * told that it may not. */
bool tracked_add(const struct key *key, uint32_t client);
/* The key's record, which is the caller's from here on, or NULL: nobody has a copy. */
struct tracked *tracked_take(const struct key *key);
/* The same of any key but that one, if there are too many. */
struct tracked *tracked_take_excess(const struct key *but);
/* Forgets all of them. Their memory is given back by tracked_tidy, some of it by each call; true: there is
 * more. Any thread. */
void tracked_clear(void);
bool tracked_tidy(void);

/* Of a record that was taken out: who is in it, in ascending order, and its key. */
const uint32_t *tracked_clients(const struct tracked *record, uint32_t *count);
const char *tracked_name(const struct tracked *record, size_t *length);
void tracked_free(struct tracked *record);

/* Keys, clients of them all together, and memory of the records. No lock. */
struct tracked_counts {
    uint64_t keys, clients, bytes;
};
void tracked_count(struct tracked_counts *counts);

#endif
