#include "kinds.h"

static const struct value_kind *const kinds[TYPE_COUNT] = {
    [TYPE_STRING] = NULL,   [TYPE_LIST] = &list_kind, [TYPE_ZSET] = &zset_kind,
    [TYPE_SET] = &set_kind, [TYPE_HASH] = &hash_kind, [TYPE_STREAM] = &stream_kind,
};

const struct value_kind *value_kind(enum type type) {
    return kinds[type];
}
