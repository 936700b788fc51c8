/* What a script says of itself, in its first line ("#!lua flags=no-writes", "#!lua name=library"): flags
 * by Redis's names, of scripts and functions. */
#ifndef SERVER_SCRIPT_SHEBANG_H
#define SERVER_SCRIPT_SHEBANG_H

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

/* Reads a script's first line, if it begins with "#!": its flags, and where the text to be compiled begins
 * (at that line's end, so that lines keep their numbers). False: the error, as Redis words it after "ERR
 * ", is in `error`. */
bool shebang_read_script(const char *text, size_t length, uint32_t *flags, size_t *begin, char *error,
                         size_t error_size);

/* The same for a library: its name, as a part of the text. */
bool shebang_read_library(const char *text, size_t length, const char **name, size_t *name_length,
                          size_t *begin, char *error, size_t error_size);

/* Whether a library or function may be named so. */
bool shebang_is_name(const char *name, size_t length);

#define SHEBANG_BAD_NAME                                                                                     \
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character " \
    "long"

#endif
