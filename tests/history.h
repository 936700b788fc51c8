/* Histories: what several clients asked of a few keys, when, and what they were answered; and whether that is
 * linearizable: whether every operation can be given one moment between its invocation and its response, such
 * that the answers are those of one client that asks in the order of these moments (Herlihy and Wing,
 * "Linearizability", 1990).
 *
 * A history holds a handful of keys. Linearizability is local (P-compositionality), so keys that no operation
 * names together have histories of their own, of one key each; keys that MSET, MGET and RENAME, LMOVE or
 * SMOVE name together have one in common. The keys of a history hold values of one type: strings, or lists,
 * or sets. Of a set SPOP's answer tells what it drew.
 *
 *     struct history *history = history_open(names, 2, clients, 1000);
 *     (client i's thread)   struct operation get = {.kind = OPERATION_GET, .keys = 1};
 *                           struct operation *operation = history_begin(history, i, &get);
 *                           ... ask ...
 *                           operation->result = 17;
 *                           history_end(operation);
 *     (all are back)        enum verdict verdict = history_check(history, stderr);
 *
 * Several operations that happen at one moment, in their order, are one: a transaction, or a script.
 *
 * A check takes what was recorded since the last one and remembers which states the keys may be in, so that a
 * history may go on for ever. */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define HISTORY_KEYS 4
/* Operations without a response yet, of all clients together. */
#define HISTORY_PENDING 64

/* Values are numbers. Those of which history_is_number holds are integers for INCR, the others stand for
 * texts. A sum of less than 65536 is of the same kind as the number it began with. */
#define HISTORY_ABSENT INT64_MIN
#define HISTORY_REFUSED (INT64_MIN + 1) /* INCR of a text */
#define HISTORY_GARBAGE (INT64_MIN + 2) /* an answer that is nobody's value */
static inline unsigned history_form(int64_t value) {
    return (unsigned)(value >> 16) & 7;
}
static inline bool history_is_number(int64_t value) {
    return value >= 0 && history_form(value) < 4;
}

enum operation_kind {
    OPERATION_GET, /* result: the value or HISTORY_ABSENT */
    OPERATION_SET,
    OPERATION_SET_NX,     /* result: 1, or 0 if refused */
    OPERATION_SET_XX,     /* the same */
    OPERATION_SET_GET,    /* result: the value before */
    OPERATION_SET_NX_GET, /* the same; sets if that is HISTORY_ABSENT */
    OPERATION_INCR,       /* result: the sum, or HISTORY_REFUSED */
    OPERATION_DEL,        /* result: how many there were */
    OPERATION_EXPIRE,     /* to a time in the past; result: 1 if it was there */
    OPERATION_MSET,       /* every key gets the same argument */
    OPERATION_MGET,       /* values: by key */
    OPERATION_RENAME,     /* the one key of `keys` becomes `target`; result: 1, or 0 if there was none */
    /* `steps`: as many operations as the argument says, on strings, at one moment; each has its result */
    OPERATION_TRANSACTION,
    OPERATION_LPUSH, /* result: how many elements there are then */
    OPERATION_RPUSH, /* the same */
    OPERATION_LPOP,  /* result: the element, or HISTORY_ABSENT */
    OPERATION_RPOP,  /* the same */
    /* from the key to `target`, which may be the same, between the ends that the argument names; result: as
     * LPOP */
    OPERATION_LMOVE,
    OPERATION_SADD,      /* result: 1, or 0 if it was there */
    OPERATION_SREM,      /* result: 1, or 0 if it was not there */
    OPERATION_SISMEMBER, /* result: 1 or 0 */
    OPERATION_SPOP,      /* result: the member, or HISTORY_ABSENT */
    OPERATION_SMOVE,     /* to `target`; result: 1, or 0 if it was not there */
    OPERATION_KINDS,
};
/* LMOVE's argument: from and to the end (RIGHT) instead of the beginning. */
#define HISTORY_FROM_END 1
#define HISTORY_TO_END 2

struct operation {
    int64_t invoked, returned; /* monotonic, nanoseconds */
    uint8_t kind;              /* enum operation_kind */
    uint8_t keys;              /* a bit for each */
    uint8_t target;            /* a key's number */
    uint8_t slot;              /* the checker's */
    int64_t argument;
    union {
        int64_t result;
        int64_t values[HISTORY_KEYS];
        const struct operation *steps; /* whoever records it keeps them until it has been checked */
    };
};

enum verdict {
    HISTORY_LINEARIZABLE,
    HISTORY_VIOLATED,
    HISTORY_UNDECIDED, /* more ways to order it than memory is given for */
};

struct history;

/* All keys are absent. names are for messages and must last. Each of the clients may have begun `capacity`
 * operations between two checks. Ends the program when out of memory. */
struct history *history_open(const char *const *names, size_t keys, size_t clients, size_t capacity);
void history_close(struct history *history);
/* How many operations have been found linearizable. */
uint64_t history_checked(const struct history *history);

/* The clock's reading is ordered with the loads and stores around it by the locks and system calls that an
 * operation is made of. */
static inline int64_t history_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Records what a client is about to ask. It may have asked more before it gets the first answer (a pipeline):
 * then both are begun in the order of asking, and end in the same order, and are demanded to have happened in
 * it. Each client is one thread at a time. */
struct operation *history_begin(struct history *history, size_t client, const struct operation *what);
/* The answer has come, and has been put into the operation. */
static inline void history_end(struct operation *operation) {
    operation->returned = history_now();
}
/* For a history that did not just happen: the times are in `what`. Begun in the order of their
 * invocations. */
void history_add(struct history *history, size_t client, const struct operation *what);

/* Decides about everything since the last check; all operations have ended. Unless it is linearizable, writes
 * the smallest part that shows it to `out`; then the history can only be closed. */
enum verdict history_check(struct history *history, FILE *out);

#endif
