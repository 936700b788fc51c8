/* Which kind of value a type has: the one place that knows all of them. */
#ifndef SHARD_VALUE_KINDS_H
#define SHARD_VALUE_KINDS_H

#include "value.h"

/* NULL for strings. */
const struct value_kind *value_kind(enum type type);

#endif
