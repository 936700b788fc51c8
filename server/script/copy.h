/* A text of its own, with a zero byte behind it; NULL when out of memory. What it comes from need not end
 * with one: strndup looks for it behind the length when ASan is strict. */
#ifndef SERVER_SCRIPT_COPY_H
#define SERVER_SCRIPT_COPY_H

#include <stdlib.h>
#include <string.h>

static inline char *copy_text(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

#endif
