/* Undo: a row of changes that happens whole or not at all.
 *
 * What may fail after its first change (for want of memory, or of a further shard) begins an undo in its
 * scope. From then on each edit leaves behind what it takes to put back what was: an entry that is
 * replaced or removed is not retired but moved into the undo, of what is changed in place the bytes that
 * are written over are kept, and in a value with a structure only those that are (journal.h). So it costs
 * what changes, and not what the value holds; and to take back needs no memory.
 *
 * Undos of one scope stand in one another: a command within a transaction takes back what it did, and the
 * transaction, if need be, all of it. Flushes and swaps of databases can't be taken back. An entry whose time
 * was up comes back as well, and is absent to all as it was; somebody else will find that it has expired.
 *
 * What an undo keeps is charged to its lane for as long as it lasts, but for the first 64 KB.
 *
 * A listener to changes is told of what is taken back as of any change, with EVENT_UNDO. */
#ifndef SHARD_SCOPE_UNDO_H
#define SHARD_SCOPE_UNDO_H

#include "../base/journal.h"
#include "scope.h"

struct undo {
    struct write_scope *scope;
    struct undo *outer;
    struct journal *journal; /* own, or that of the outermost one */
    struct journal_mark mark;
    uint64_t changes; /* that the scope had counted */
    uint64_t told;    /* and its lane had told */
    struct journal own;
};

/* The scope's edits from here on; each undo begun is ended, or goes back, innermost first and before the
 * scope ends. Takes no memory before there is much to keep. */
void undo_begin(struct undo *undo, struct write_scope *scope);
/* What was done is done. No edit is open. */
void undo_end(struct undo *undo);
/* What was done is taken back, and the undo has ended. No edit is open. */
void undo_back(struct undo *undo);
/* One or the other. */
static inline void undo_conclude(struct undo *undo, bool is_done) {
    if (is_done)
        undo_end(undo);
    else
        undo_back(undo);
}
/* Whether there is room to keep one more change, or no undo: to be asked before an edit that opens a value
 * or removes an entry, which can't fail, where something behind it may. */
bool undo_room(const struct write_scope *scope);
/* False if something could not be kept, and so nothing can be taken back any more. That happens only where no
 * memory was left for a change that can't fail: none of those that return whether they could fails so. */
bool undo_is_able(const struct undo *undo);

#endif
