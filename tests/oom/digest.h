/* What a keyspace holds, as one number: names, types, values and expiries, streams with their groups.
 * Encodings don't count, nor does the order of what has none. */
#ifndef TESTS_OOM_DIGEST_H
#define TESTS_OOM_DIGEST_H

#include <stdint.h>

struct keyspace;
struct lane;

/* The lane is outside the gate. */
uint64_t digest_of(struct lane *lane);

#endif
