#include "sha_table.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 40
#define SIZE_FIRST 64

/* Of the last letters, which a multiplication spreads: half of a letter's bits are always the same. */
static struct sha_node **chain_of(const struct sha_table *table, const char *sha) {
    uint64_t letters;
    memcpy(&letters, sha + LENGTH - sizeof letters, sizeof letters);
    return &table->chains[(letters * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (table->size - 1)];
}

void sha_table_free(struct sha_table *table) {
    free(table->chains);
    *table = (struct sha_table){0};
}

struct sha_node *sha_table_find(const struct sha_table *table, const char *sha) {
    if (table->size == 0) return NULL;
    struct sha_node *node = *chain_of(table, sha);
    while (node != NULL && memcmp(node->sha, sha, LENGTH) != 0) node = node->next;
    return node;
}

static bool grow(struct sha_table *table) {
    struct sha_table larger = {.size = table->size == 0 ? SIZE_FIRST : 2 * table->size,
                               .count = table->count};
    larger.chains = calloc(larger.size, sizeof *larger.chains);
    if (larger.chains == NULL) return table->size > 0;
    for (size_t i = 0; i < table->size; i++)
        for (struct sha_node *node = table->chains[i], *next; node != NULL; node = next) {
            struct sha_node **chain = chain_of(&larger, node->sha);
            next = node->next;
            node->next = *chain;
            *chain = node;
        }
    free(table->chains);
    *table = larger;
    return true;
}

bool sha_table_insert(struct sha_table *table, struct sha_node *node) {
    if (table->count >= table->size && !grow(table)) return false;
    struct sha_node **chain = chain_of(table, node->sha);
    node->next = *chain;
    *chain = node;
    table->count++;
    return true;
}

void sha_table_remove(struct sha_table *table, struct sha_node *node) {
    struct sha_node **link = chain_of(table, node->sha);
    while (*link != node) {
        assert(*link != NULL && "a node that is in the table");
        link = &(*link)->next;
    }
    *link = node->next;
    table->count--;
}

void sha_table_sweep(struct sha_table *table, bool (*is_over)(struct sha_node *node, void *context),
                     void *context) {
    for (size_t i = 0; i < table->size; i++)
        for (struct sha_node **link = &table->chains[i]; *link != NULL;) {
            struct sha_node *node = *link, *next = node->next;
            if (is_over(node, context)) {
                *link = next;
                table->count--;
            } else {
                link = &node->next;
            }
        }
}
