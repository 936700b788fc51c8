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
    for (struct queued *queued = transaction->holds_more ? transaction->first : NULL; queued != NULL;
         queued = queued->next) {
        for (uint32_t i = 0; i < queued->count; i++)
            if (queued->arguments[i].owner != NULL) blob_release(queued->arguments[i].owner);
        if (queued->has_answer) reply_free(&queued->answer);
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
/* Between two arguments: the end of a line, and the next one's length. */
#define GAP_MOST 16

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

/* Word by word, as compilers zero a struct of this size in a way that takes longer than the rest. Its answer
 * is made where there is one, and the code of its error means nothing before it fails. */
static void queued_init(struct queued *queued, const struct command *command, uint32_t count) {
    queued->next = NULL;
    queued->command = command;
    queued->count = count;
    queued->first_key = queued->key_count = queued->database = 0;
    queued->has_failed = queued->has_hash = queued->has_answer = false;
    queued->is_denied = false;
    queued->denied_as = NULL;
    queued->nanoseconds = 0;
}

/* Arguments mostly stand behind each other in what was received, with a few bytes between them: then all of
 * it is copied at once. Returns how long that is; 0: they don't. */
static size_t span_of(const struct bulk *arguments, uint32_t count) {
    const char *end = arguments[0].data;
    size_t most = (size_t)GAP_MOST * count;
    for (uint32_t i = 0; i < count; i++) {
        if (arguments[i].owner != NULL || arguments[i].data < end) return 0;
        end = arguments[i].data + arguments[i].length;
        most += arguments[i].length;
    }
    size_t span = (size_t)(end - arguments[0].data) + 1;
    return span <= most ? span : 0;
}

static size_t bytes_of(const struct bulk *arguments, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        if (arguments[i].owner == NULL) bytes += arguments[i].length + 1;
    return bytes;
}

static void copy_span(struct queued *queued, const struct bulk *arguments, size_t span) {
    char *copy = (char *)(queued->arguments + queued->count);
    memcpy(copy, arguments[0].data, span - 1);
    memcpy(queued->arguments, arguments, queued->count * sizeof *arguments);
    for (uint32_t i = 0; i < queued->count; i++) {
        struct bulk *argument = &queued->arguments[i];
        argument->data = copy + (argument->data - arguments[0].data);
        argument->data[argument->length] = '\0';
    }
}

static void copy_each(struct transaction *transaction, struct queued *queued, const struct bulk *arguments) {
    char *at = (char *)(queued->arguments + queued->count);
    for (uint32_t i = 0; i < queued->count; i++) {
        queued->arguments[i] = arguments[i];
        if (arguments[i].owner != NULL) {
            blob_retain(arguments[i].owner);
            transaction->bytes += arguments[i].length;
            transaction->holds_more = true;
            continue;
        }
        queued->arguments[i].data = at;
        memcpy(at, arguments[i].data, arguments[i].length);
        at[arguments[i].length] = '\0';
        at += arguments[i].length + 1;
    }
}

struct queued *transaction_append(struct transaction *transaction, const struct command *command,
                                  const struct bulk *arguments, uint32_t count) {
    size_t span = span_of(arguments, count), bytes = span > 0 ? span : bytes_of(arguments, count);
    struct queued *queued =
        block_take(transaction, sizeof(struct queued) + count * sizeof(struct bulk) + bytes);
    if (queued == NULL) return NULL;
    queued_init(queued, command, count);
    if (span > 0)
        copy_span(queued, arguments, span);
    else
        copy_each(transaction, queued, arguments);
    if (transaction->last != NULL)
        transaction->last->next = queued;
    else
        transaction->first = queued;
    transaction->last = queued;
    transaction->count++;
    transaction->argument_count += count;
    return queued;
}
