/* FUNCTION DUMP's payload: libraries' code as Redis 7.2 writes it to an RDB file (version 11), with a
 * version and a checksum behind it. Versions 10 to 12 are read. */
#ifndef SERVER_SCRIPT_DUMP_H
#define SERVER_SCRIPT_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libraries.h"

/* CRC-64 (Jones), reflected, without inversions. */
uint64_t dump_crc64(uint64_t crc, const void *data, size_t length);

/* The payload of all libraries of a set, to be freed. NULL when out of memory. */
char *dump_write(const struct library_set *set, size_t *length);

/* Whether a payload's end fits: its version and checksum. */
bool dump_is_valid(const char *payload, size_t length);

/* The next library's code from *at (0 at first; moved on), to be freed. NULL at the end, or with an error
 * as Redis words it. */
char *dump_next(const char *payload, size_t length, size_t *at, size_t *code_length, const char **error);

#endif
