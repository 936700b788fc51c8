/* Numbers as text, by Redis's rules: strict, no blanks, no locale. */
#ifndef SHARD_BASE_NUMBER_H
#define SHARD_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A canonical decimal integer ("0", "-7", no "+", no leading zero) that fits. */
bool number_parse(const char *text, size_t length, int64_t *value);
bool number_parse_unsigned(const char *text, size_t length, uint64_t *value);
/* Characters of a number at most. */
#define NUMBER_DIGITS 20

/* Writes at most NUMBER_DIGITS characters and no terminator; returns how many. */
size_t number_format(char *out, int64_t value);
size_t number_format_unsigned(char *out, uint64_t value);
/* As Redis's string2ld: anything strtold takes whole, no leading blank, not nan, at most 255 bytes. */
bool number_parse_long_double(const char *text, size_t length, long double *value);
/* As Redis's INCRBYFLOAT prints: "%.17Lf" without trailing zeros. out holds 5120 bytes or more; returns the
 * length. */
size_t number_format_long_double(char *out, size_t size, long double value);

#endif
