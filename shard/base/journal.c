#include "journal.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

#define PIECE_LEAST 8192
#define PIECE_MOST ((size_t)1024 * 1024)
#define ALIGNMENT 8

_Thread_local struct journal *journal_open;

/* What stands behind the bytes of a note. */
struct note {
    const struct journal_kind *kind;
    void *at;    /* of plain memory */
    size_t size; /* of the bytes before it */
};
_Static_assert(sizeof(struct note) % ALIGNMENT == 0, "what stands behind it is aligned, too");

static size_t padded(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

void journal_init(struct journal *journal, void *context, void (*count)(void *context, int64_t bytes)) {
    journal->last = &journal->first;
    journal->is_broken = false;
    journal->context = context;
    journal->count = count;
    journal->held = journal->told = 0;
    journal_renew(journal);
    journal->first = (struct journal_piece){NULL, 0, sizeof journal->few, journal->few};
}

void journal_renew(struct journal *journal) {
    journal->own = NULL;
    memset(journal->recent, 0, sizeof journal->recent);
}

struct journal_mark journal_mark(struct journal *journal) {
    journal_renew(journal);
    return (struct journal_mark){journal->last, journal->last->used, journal->held};
}

static void tell(struct journal *journal, int64_t held) {
    if (journal->count != NULL && held != journal->told)
        journal->count(journal->context, held - journal->told);
    journal->told = held;
}

/* Most journals are short, and nobody is told of them. */
void journal_hold(struct journal *journal, int64_t bytes) {
    journal->held += bytes;
    assert(journal->held >= 0);
    int64_t untold = journal->held - journal->told;
    if (untold >= JOURNAL_UNTOLD || untold <= -JOURNAL_UNTOLD) tell(journal, journal->held);
}

bool journal_reserve(struct journal *journal, size_t notes, size_t bytes) {
    struct journal_piece *last = journal->last, *piece;
    size_t needed = bytes + notes * (sizeof(struct note) + ALIGNMENT);
    if (journal->is_broken) return false;
    if (last->capacity - last->used >= needed) return true;
    size_t capacity = last->capacity < PIECE_MOST ? last->capacity * 2 : PIECE_MOST;
    if (capacity < PIECE_LEAST) capacity = PIECE_LEAST;
    if (capacity < needed) capacity = needed;
    size_t header = padded(sizeof *piece);
    if ((piece = malloc(header + capacity)) == NULL) return false;
    *piece = (struct journal_piece){last, 0, capacity, (char *)piece + header};
    journal->last = piece;
    journal_hold(journal, (int64_t)(header + capacity));
    return true;
}

static void *write_note(struct journal *journal, const struct journal_kind *kind, void *at, const void *bytes,
                        size_t size) {
    size_t needed = padded(size) + sizeof(struct note);
    if (journal->is_broken) return NULL;
    if (journal->last->capacity - journal->last->used < needed && !journal_reserve(journal, 1, size))
        return NULL;
    struct journal_piece *last = journal->last;
    struct note note = {kind, at, size};
    if (size > 0) memcpy(last->bytes + last->used, bytes, size);
    memcpy(last->bytes + last->used + padded(size), &note, sizeof note);
    last->used += needed;
    return last->bytes + last->used - needed;
}

void *journal_note(struct journal *journal, const struct journal_kind *kind, const void *note, size_t size) {
    return write_note(journal, kind, NULL, note, size);
}

/* ------------------------------------------------------------------ plain memory */

/* Kinds without functions: what they are for is done below. */
static const struct journal_kind written_over, made, let_go;

void journal_keep_bytes(void *at, size_t size) {
#ifdef PLANT_UNKEPT_WORD
    if (size == sizeof(uint64_t)) return;
#endif
    struct journal *journal = journal_open;
    size_t place = (uintptr_t)at * UINT64_C(0x9E3779B97F4A7C15) >> 32 & (JOURNAL_RECENT - 1);
    if (journal->recent[place] == at && journal->recent_sizes[place] >= size) return;
    if (write_note(journal, &written_over, at, at, size) == NULL) journal->is_broken = true;
    journal->recent[place] = at;
    journal->recent_sizes[place] = size;
}

void journal_let_go(void *memory) {
    if (memory == NULL) return;
    if (write_note(journal_open, &let_go, memory, NULL, 0) != NULL) {
        journal_hold(journal_open, (int64_t)memory_size(memory));
        return;
    }
    journal_open->is_broken = true;
    free(memory);
}

void *journal_made(void *memory) {
    if (write_note(journal_open, &made, memory, NULL, 0) != NULL || journal_open->is_broken) return memory;
    free(memory);
    return NULL;
}

/* A copy that was made for what is going on, and that nobody needs as it was: its note goes with it. */
static void *own_resize(struct journal *journal, size_t size) {
    void *resized = realloc(journal->own, size);
    if (resized == NULL) return NULL;
    memcpy(journal->own_note + offsetof(struct note, at), &resized, sizeof resized);
    journal_renew(journal); /* somebody may get the memory where it was */
    journal->own = resized;
    return resized;
}

/* Always to another place, as the old one may have to be what it was. */
void *journal_move(void *memory, size_t size) {
    if (memory != NULL && memory == journal_open->own) return own_resize(journal_open, size);
    void *moved = journal_room(2, 0) ? journal_malloc(size) : NULL;
    if (moved == NULL || memory == NULL) return moved;
    size_t present = memory_size(memory);
    memcpy(moved, memory, present < size ? present : size);
    journal_let_go(memory);
    return moved;
}

void *journal_own_copy(void *memory) {
    struct journal *journal = journal_open;
    if (journal->own == memory || journal->is_broken) return memory;
    size_t size = memory_size(memory);
    void *copy = journal_room(2, 0) ? malloc(size) : NULL;
    if (copy == NULL) return NULL;
    memcpy(copy, memory, size);
    journal->own_note = write_note(journal, &made, copy, NULL, 0);
    journal->own = copy;
    journal_let_go(memory);
    return copy;
}

/* ------------------------------------------------------------------ back, or for good */

static void take_back(const struct journal *journal, const struct note *note, char *bytes) {
    if (note->kind == &written_over)
        memcpy(note->at, bytes, note->size);
    else if (note->kind == &made)
        free(note->at);
    else if (note->kind->back != NULL)
        note->kind->back(journal->context, bytes);
}

static void keep_for_good(const struct journal *journal, const struct note *note, char *bytes) {
    if (note->kind == &let_go)
        free(note->at);
    else if (note->kind->keep != NULL)
        note->kind->keep(journal->context, bytes);
}

/* The newest note leaves the journal. Returns where its bytes are. */
static char *note_pop(struct journal *journal, struct note *note) {
    struct journal_piece *last = journal->last;
    assert(last->used >= sizeof *note);
    last->used -= sizeof *note;
    memcpy(note, last->bytes + last->used, sizeof *note);
    last->used -= padded(note->size);
    return last->bytes + last->used;
}

static void piece_drop(struct journal *journal) {
    struct journal_piece *piece = journal->last;
    journal->last = piece->before;
    free(piece);
}

void journal_back(struct journal *journal, struct journal_mark mark) {
    struct note note;
    assert((!journal->is_broken || (journal->last == mark.piece && journal->last->used == mark.used)) &&
           "what can't be put back isn't begun");
    assert(journal_open == NULL && "what is put back isn't noted");
    journal_renew(journal);
    for (;;) {
        while (journal->last->used > (journal->last == mark.piece ? mark.used : 0)) {
            char *bytes = note_pop(journal, &note);
            take_back(journal, &note, bytes);
        }
        if (journal->last == mark.piece) break;
        piece_drop(journal);
    }
    journal->held = mark.held;
    if (journal->told > mark.held) tell(journal, mark.held);
}

void journal_end(struct journal *journal) {
    struct note note;
    assert(journal_open == NULL);
    for (;;) {
        while (journal->last->used > 0) {
            char *bytes = note_pop(journal, &note);
            keep_for_good(journal, &note, bytes);
        }
        if (journal->last == &journal->first) break;
        piece_drop(journal);
    }
    journal->held = 0;
    tell(journal, 0);
}
