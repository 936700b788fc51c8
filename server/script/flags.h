/* What a script says of itself: flags of a script's or a function's, by Redis's names. */
#ifndef SERVER_SCRIPT_FLAGS_H
#define SERVER_SCRIPT_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum script_flag {
    SCRIPT_NO_WRITES = 1,
    SCRIPT_ALLOW_OOM = 2,
    SCRIPT_ALLOW_STALE = 4,
    SCRIPT_NO_CLUSTER = 8,
    SCRIPT_ALLOW_CROSS_SLOT_KEYS = 16,
    /* A script without a shebang: it says nothing, and its commands are judged one by one. */
    SCRIPT_SAYS_NOTHING = 32,
};

/* Adds the flag of that name. False if there is none. */
bool flags_add(uint32_t *flags, const char *name, size_t length);
/* The names of the flags, in the order that FUNCTION LIST has them; NULL after the last. */
const char *flags_name(uint32_t flags, int number);

#endif
