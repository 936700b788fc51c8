#include "transaction.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "shard/entry/blob.h"
#include "user.h"

struct transaction *transaction_of(struct transaction **own) {
    if (*own != NULL) return *own;
    struct transaction *transaction = malloc(TRANSACTION_BLOCK);
    if (transaction == NULL) return NULL;
    *transaction = (struct transaction){.bytes = TRANSACTION_BLOCK};
    transaction->own.size = TRANSACTION_BLOCK - offsetof(struct transaction, own) - sizeof transaction->own;
    transaction->blocks = &transaction->own;
    return *own = transaction;
}

void transaction_free(struct transaction *transaction) {
    assert(transaction->watches == NULL);
    for (struct queued *queued = transaction->first; queued != NULL; queued = queued->next) {
        for (uint32_t i = 0; i < queued->count; i++)
            if (queued->arguments[i].owner != NULL) blob_release(queued->arguments[i].owner);
        if (queued->answer.data != NULL) reply_free(&queued->answer);
        user_let_go(queued->denied_as);
    }
    for (struct transaction_block *block = transaction->blocks; block != &transaction->own;) {
        struct transaction_block *next = block->next;
        free(block);
        block = next;
    }
    free(transaction);
}

#define ALIGNMENT alignof(struct queued)

#define BLOCK_MOST 65536

/* Blocks become larger, so that there are few. */
static void *block_take(struct transaction *transaction, size_t size) {
    struct transaction_block *block = transaction->blocks;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (block->size - block->used < size) {
        size_t room = transaction->bytes < BLOCK_MOST ? transaction->bytes : BLOCK_MOST;
        if (room < size) room = size;
        struct transaction_block *more = malloc(sizeof *more + room);
        if (more == NULL) return NULL;
        *more = (struct transaction_block){.next = block, .size = room};
        transaction->blocks = block = more;
        transaction->bytes += sizeof *more + room;
    }
    void *memory = block->memory + block->used;
    block->used += size;
    return memory;
}

struct queued *transaction_append(struct transaction *transaction, const struct command *command,
                                  const struct bulk *arguments, uint32_t count) {
    size_t size = sizeof(struct queued) + count * sizeof(struct bulk);
    for (uint32_t i = 0; i < count; i++)
        if (arguments[i].owner == NULL) size += arguments[i].length + 1;
    struct queued *queued = block_take(transaction, size);
    if (queued == NULL) return NULL;
    *queued = (struct queued){.command = command, .count = count};
    char *at = (char *)(queued->arguments + count);
    for (uint32_t i = 0; i < count; i++) {
        queued->arguments[i] = arguments[i];
        if (arguments[i].owner != NULL) {
            blob_retain(arguments[i].owner);
            transaction->bytes += arguments[i].length;
            continue;
        }
        queued->arguments[i].data = at;
        memcpy(at, arguments[i].data, arguments[i].length);
        at[arguments[i].length] = '\0';
        at += arguments[i].length + 1;
    }
    if (transaction->last != NULL)
        transaction->last->next = queued;
    else
        transaction->first = queued;
    transaction->last = queued;
    transaction->count++;
    transaction->argument_count += count;
    return queued;
}
