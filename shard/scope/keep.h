/* What edit.c tells an undo (undo.h) before it changes something; there is one. */
#ifndef SHARD_SCOPE_KEEP_H
#define SHARD_SCOPE_KEEP_H

#include "scope.h"

/* The edit's entry is going to be replaced by `now`, or removed (NULL); it isn't to be retired. A shell is
 * one of which what it has apart is somebody else's: the entry's, once it is replaced, or now's, if that
 * is taken back. false: that could not be kept; of a removal, the undo is broken then. */
bool keep_exchange(const struct edit *edit, struct entry *now, bool is_before_shell, bool is_now_shell);
/* At most 8 bytes in the entry are going to be written over. false: that could not be kept. */
bool keep_overwriting(const struct edit *edit, const unsigned char *at, size_t length);
/* The value with a structure is going to be changed; and has been, and the entry has its pointer. */
void keep_value(struct edit *edit);
void keep_value_end(struct edit *edit);

#endif
