/* What commands about bits and commands about fields of bits have in common. Bit 0 is the highest one of byte
 * 0. */
#ifndef SERVER_COMMANDS_BITMAP_BITS_H
#define SERVER_COMMANDS_BITMAP_BITS_H

#include "server/command/command.h"

/* Bytes of the longest string there may be. */
int64_t bits_length_most(void);
/* Whether a string of at most so many bytes has the bit; or replies that it hasn't. */
bool bits_check_offset(int64_t offset, int64_t most, struct reply *reply);
/* The bytes of the entry's string; an absent key (NULL) is an empty string. */
void bits_view(const struct entry *entry, struct string_view *view);
/* Whether the string is raw, as it is once it has been written by bits: a client sees that (OBJECT
 * ENCODING). */
bool bits_are_raw(const struct entry *entry);

#endif
