/* A worker's connections by their ids, for the many commands and messages that name a client: a hash table of
 * chains that run through the connections themselves, with a few of them in each, so that an idle client pays
 * two to four bytes for its place. One thread's. */
#ifndef SERVER_CLIENT_CONNECTION_IDS_H
#define SERVER_CLIENT_CONNECTION_IDS_H

#include <stdint.h>

struct connection;

struct connection_ids {
    struct connection **buckets; /* 2^bits; NULL while there are so few that one chain does */
    struct connection *only;     /* that chain */
    uint32_t bits, count;
};

/* Zero bytes are an empty one. Without memory to grow, chains get longer. */
void connection_ids_add(struct connection_ids *ids, struct connection *connection);
/* It is there. */
void connection_ids_remove(struct connection_ids *ids, struct connection *connection);
/* NULL if it isn't there. */
struct connection *connection_ids_find(const struct connection_ids *ids, uint64_t id);
/* With whatever is in it. */
void connection_ids_free(struct connection_ids *ids);

#endif
