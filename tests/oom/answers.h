/* What a command answered when memory ran out: whether it is a reply at all, and what it says. */
#ifndef TESTS_OOM_ANSWERS_H
#define TESTS_OOM_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reply.h"

/* The bytes of the reply that begins there, or 0 if it isn't a whole one. RESP2. */
size_t reply_end(const char *data, size_t length);
/* The number that its first line has behind its first byte: of an array's elements, or a bulk's bytes. 0 if
 * there is none. */
int64_t reply_count(const char *data, size_t length);
/* One reply, and nothing behind it. What is referenced isn't among the bytes. */
bool is_whole(const struct reply *reply);
/* The error of a command that found no memory, and has changed nothing. */
bool is_out_of_memory(const char *data, size_t length);

#endif
