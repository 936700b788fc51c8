/* A hash table of nodes that are parts of what they lead to, by SHA1, whose letters are hash enough. */
#ifndef SERVER_SCRIPT_SHA_TABLE_H
#define SERVER_SCRIPT_SHA_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct sha_node {
    struct sha_node *next;
    char sha[41]; /* in lower case */
};

/* All zero is empty. */
struct sha_table {
    struct sha_node **chains;
    size_t size, count; /* size: a power of two, or 0 */
};

/* Without the nodes. */
void sha_table_free(struct sha_table *table);
/* sha: 40 characters */
struct sha_node *sha_table_find(const struct sha_table *table, const char *sha);
/* One that isn't there yet. False when out of memory. */
bool sha_table_insert(struct sha_table *table, struct sha_node *node);
void sha_table_remove(struct sha_table *table, struct sha_node *node);
/* Takes out every node for which `is_over` says so; it may free the node. */
void sha_table_sweep(struct sha_table *table, bool (*is_over)(struct sha_node *node, void *context),
                     void *context);

#endif
