#include "event.h"

#include <stddef.h>

static const char *const names[EVENT_COUNT] = {
    [EVENT_SET] = "set",
    [EVENT_SETRANGE] = "setrange",
    [EVENT_APPEND] = "append",
    [EVENT_INCRBY] = "incrby",
    [EVENT_INCRBYFLOAT] = "incrbyfloat",
    [EVENT_SETBIT] = "setbit",
    [EVENT_EXPIRE] = "expire",
    [EVENT_PERSIST] = "persist",
    [EVENT_DEL] = "del",
    [EVENT_EXPIRED] = "expired",
    [EVENT_EVICTED] = "evicted",
    [EVENT_RENAME_FROM] = "rename_from",
    [EVENT_RENAME_TO] = "rename_to",
    [EVENT_MOVE_FROM] = "move_from",
    [EVENT_MOVE_TO] = "move_to",
    [EVENT_COPY_TO] = "copy_to",
};

const char *event_name(enum event event) {
    return (unsigned)event < EVENT_COUNT ? names[event] : NULL;
}
