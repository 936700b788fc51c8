/* The types that a value may have. */
#ifndef SHARD_VALUE_TYPE_H
#define SHARD_VALUE_TYPE_H

enum type { TYPE_STRING, TYPE_LIST, TYPE_SET, TYPE_ZSET, TYPE_HASH, TYPE_STREAM, TYPE_COUNT };

/* "string", "list", ... as TYPE answers. */
const char *type_name(enum type type);

#endif
