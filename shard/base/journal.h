/* A journal: what has to be put back, should a row of changes to plain memory fail halfway.
 *
 * A thread opens one, and from then on whoever changes what may have to be taken back says so here before:
 * what is going to be written over is kept (a copy of those bytes, and of no others), what is let go
 * stays until the journal is closed, and what is made is known. Taking back goes from the newest note to
 * the oldest, and needs no memory. While no journal is open, all of this is what it is without one, but for
 * one look at a variable of the thread.
 *
 *     piece    +--------+------+-----------------+------+- - -
 *              | before | note | bytes that were | note |       a note stands behind its bytes, so that one
 *              |        |      |                 |      |       can walk backwards
 *              +--------+------+-----------------+------+- - -
 *
 * To keep something may fail for want of memory, and some changes can't fail. So whoever may say that there
 * was no memory asks for room first (journal_room), by how much it is going to write over at most. Where a
 * change that can't fail isn't kept, the journal is broken: it can't take anything back any more, and says
 * so. */
#ifndef SHARD_BASE_JOURNAL_H
#define SHARD_BASE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* What it holds and its owner has not been told of is less than this. */
#define JOURNAL_UNTOLD 65536
/* Bytes of notes that need no allocation. */
#define JOURNAL_FIRST 2048
/* Places that it remembers to have kept: what each of many changes says of a header is kept once. */
#define JOURNAL_RECENT 16

struct journal_piece {
    struct journal_piece *before;
    size_t used, capacity;
    char *bytes;
};

struct journal {
    struct journal_piece *last;
    bool is_broken;
    void *context;                               /* for the functions of journal_kind, and for: */
    void (*count)(void *context, int64_t bytes); /* it holds so many more, or, below 0, less */
    /* Bytes that it has allocated for itself, or that would have been freed without it; and those that were
     * told to `count`. */
    int64_t held, told;
    void *own; /* the last allocation that was made since, by journal_own; NULL: none */
    char *own_note;
    const void *recent[JOURNAL_RECENT]; /* NULL: nothing is remembered there */
    size_t recent_sizes[JOURNAL_RECENT];
    struct journal_piece first;
    _Alignas(8) char few[JOURNAL_FIRST];
};

/* A place in it. */
struct journal_mark {
    struct journal_piece *piece;
    size_t used;
    int64_t held;
};

/* Something else than plain memory: what is done when it is taken back, and when it is kept for good. */
struct journal_kind {
    void (*back)(void *context, void *note);
    void (*keep)(void *context, void *note); /* NULL: nothing */
};

/* count: is told in large steps of what the journal holds, and in the end that it holds nothing; may be
 * NULL. */
void journal_init(struct journal *journal, void *context, void (*count)(void *context, int64_t bytes));
struct journal_mark journal_mark(struct journal *journal);
/* Takes back what was noted since. If it is broken, it had been before, and nothing was. */
void journal_back(struct journal *journal, struct journal_mark mark);
/* All of it is kept for good, and its memory given back. */
void journal_end(struct journal *journal);
/* A note of that kind. Returns where it is, to be added to; NULL when out of memory. */
void *journal_note(struct journal *journal, const struct journal_kind *kind, const void *note, size_t size);
/* What a note of a kind of its own keeps from being freed; below 0: it does so no longer, as it is kept for
 * good. What is taken back is held no longer anyway. */
void journal_hold(struct journal *journal, int64_t bytes);

/* The thread's, while values are changed that may have to be put back; else NULL. */
extern _Thread_local struct journal *journal_open;

/* Those below are for callers that have looked that there is one. */
bool journal_reserve(struct journal *journal, size_t notes, size_t bytes);
void journal_keep_bytes(void *at, size_t size);
void journal_let_go(void *memory);
void *journal_made(void *memory);
void *journal_move(void *memory, size_t size);
void *journal_own_copy(void *memory);

/* Whether the next so many notes will find room, which keep so many bytes in all. */
static inline bool journal_room(size_t notes, size_t bytes) {
    return journal_open == NULL || journal_reserve(journal_open, notes, bytes);
}
/* These bytes are going to be written over. */
static inline void journal_keep(void *at, size_t size) {
    if (journal_open != NULL) journal_keep_bytes(at, size);
}
/* An allocation that is going to be changed all over: its copy, if it may have to be what it was. NULL
 * when out of memory. It has the same size. journal_realloc may move it, and keeps nothing of it then:
 * so what is changed often costs one copy, until journal_renew. */
static inline void *journal_own(void *memory) {
    return journal_open == NULL ? memory : journal_own_copy(memory);
}
/* What has been kept so far may have to be what it is now: so it is kept again, should it change again. */
void journal_renew(struct journal *journal);
/* What comes can't fail, and isn't kept. */
static inline void journal_break(void) {
    if (journal_open != NULL) journal_open->is_broken = true;
}
/* What is made until journal_resume is its maker's to free, should that fail. */
static inline struct journal *journal_pause(void) {
    struct journal *paused = journal_open;
    if (paused != NULL) journal_open = NULL;
    return paused;
}
static inline void journal_resume(struct journal *paused) {
    if (paused != NULL) journal_open = paused;
}
/* As malloc, calloc, realloc and free are, for memory that belongs to what is changed. */
static inline void *journal_malloc(size_t size) {
    void *memory = malloc(size);
    return journal_open == NULL || memory == NULL ? memory : journal_made(memory);
}
static inline void *journal_calloc(size_t count, size_t size) {
    void *memory = calloc(count, size);
    return journal_open == NULL || memory == NULL ? memory : journal_made(memory);
}
static inline void *journal_realloc(void *memory, size_t size) {
    return journal_open == NULL ? realloc(memory, size) : journal_move(memory, size);
}
static inline void journal_free(void *memory) {
    if (journal_open == NULL)
        free(memory);
    else
        journal_let_go(memory);
}

#endif
