/* A session's transaction: what MULTI has let its client queue, and what WATCH has it watch. It is there
 * only for as long as there is one or the other.
 *
 * Requests are kept as they came, with copies of their arguments, or references to large ones; all of
 * them lie in a few blocks of memory, so that queueing costs little more than the copy. Belongs to its
 * session, and is touched on the worker's thread that runs it. */
#ifndef SERVER_TASK_TRANSACTION_H
#define SERVER_TASK_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"
#include "resp/request.h"

struct command;
struct user;
struct watch_list;

struct queued {
    struct queued *next;
    const struct command *command;
    uint32_t count;                /* of arguments */
    uint32_t first_key, key_count; /* among the keys of all, once EXEC has found them */
    uint32_t database;             /* in which it ran */
    bool has_failed;
    /* Its user may not run it by now: why (server/acl/check.h), for which argument, and who it was, held. */
    bool is_denied;
    uint8_t verdict;
    uint32_t denied_at;
    struct user *denied_as;
    bool has_hash; /* of its one key; it was known when it was queued */
    uint64_t hash;
    uint64_t nanoseconds; /* that it took */
    char error_code[32];  /* of one that has failed */
    bool has_answer;
    struct reply answer; /* of its own, where some of them run before or behind the others */
    struct bulk arguments[];
};

#define TRANSACTION_BLOCK 2048
struct transaction_block {
    struct transaction_block *next;
    size_t used, size;
    char memory[];
};

/* How far EXEC has come: requests about other workers are asked before any shard is held, and those that do
 * something there follow when all are given back. */
enum transaction_phase { TRANSACTION_ASKS, TRANSACTION_RUNS, TRANSACTION_DOES };

struct transaction {
    bool is_open;    /* between MULTI and EXEC or DISCARD */
    bool has_failed; /* something could not be queued: EXEC discards all of it */
    bool is_touched; /* what is watched can't be told from what has changed */
    bool holds_more; /* than memory of its own: large arguments, answers, users */
    enum transaction_phase phase;
    struct queued *first, *last, *at;
    uint32_t count;          /* of requests */
    uint32_t argument_count; /* of all of them */
    uint32_t flags;          /* of their rows, enum command_flag */
    /* What they are together; run/transaction.c's. */
    bool writes, needs_shards, wants_all, cant_look, goes_apart, asks_room, may_be_silent, has_scripts,
        changes_scripts, concerns_session, changes_hearing, changes_user, loads_long;
    bool has_run;
    size_t bytes; /* of memory, with what large arguments take */
    struct watch_list *watches;
    size_t watch_bytes, answer_bytes; /* of memory as well */
    size_t answer_length;
    struct transaction_block *blocks; /* the newest first; the oldest is in the transaction's own memory */
    struct transaction_block own;
};

/* Of memory, all of it. */
static inline size_t transaction_bytes(const struct transaction *transaction) {
    return transaction->bytes + transaction->watch_bytes + transaction->answer_bytes;
}

/* A session's, made if there is none. NULL: no memory. */
struct transaction *transaction_of(struct transaction **own);
/* Its watches have ended before. */
void transaction_free(struct transaction *transaction);
/* Appends a request. NULL: no memory. */
struct queued *transaction_append(struct transaction *transaction, const struct command *command,
                                  const struct bulk *arguments, uint32_t count);

#endif
