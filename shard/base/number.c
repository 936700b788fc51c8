/* Numbers as text. One form only counts as a number here: the one that number_format would write. Then text
 * -> number -> text loses nothing, and a string may be held as a number without anybody noticing. */
#include "number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room that Redis gives a long double as text; the largest one takes 4933 digits, a point and 17 digits
 * behind it. */
#define LONG_DOUBLE_SPACE 5120

/* ------------------------------------------------------------------ integers */

bool number_parse_unsigned(const char *text, size_t length, uint64_t *value) {
    if (length == 0 || length > NUMBER_DIGITS) return false;
    if (text[0] == '0' && length > 1) return false;
    const char *end = text + (length < NUMBER_DIGITS ? length : NUMBER_DIGITS - 1), *at = text;
    uint64_t sum = 0, digit;
    do { /* so many fit, whatever they are */
        digit = (uint64_t)(unsigned char)*at - '0';
        if (digit > 9) return false;
        sum = sum * 10 + digit;
    } while (++at != end);
    if (length == NUMBER_DIGITS) {
        digit = (uint64_t)(unsigned char)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool number_parse(const char *text, size_t length, int64_t *value) {
    uint64_t magnitude;
    bool is_negative = length > 0 && text[0] == '-';
    if (!number_parse_unsigned(is_negative ? text + 1 : text, length - is_negative, &magnitude)) return false;
    if (!is_negative) {
        if (magnitude > INT64_MAX) return false;
        *value = (int64_t)magnitude;
        return true;
    }
    /* "-0" is not how zero is written. */
    if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1) return false;
    *value = (int64_t)(0 - magnitude);
    return true;
}

static size_t digit_count(uint64_t value) {
    size_t count = 1;
    while (value >= 10000) {
        value /= 10000;
        count += 4;
    }
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

size_t number_format_unsigned(char *out, uint64_t value) {
    size_t count = digit_count(value);
    for (size_t i = count; i > 0; i--) {
        out[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return count;
}

size_t number_format(char *out, int64_t value) {
    if (value >= 0) return number_format_unsigned(out, (uint64_t)value);
    out[0] = '-';
    return 1 + number_format_unsigned(out + 1, 0 - (uint64_t)value);
}

/* ------------------------------------------------------------------ long doubles */

static bool is_blank(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool number_parse_long_double(const char *text, size_t length, long double *value) {
    char copy[LONG_DOUBLE_SPACE];
    char *end;
    if (length == 0 || length >= sizeof copy || is_blank(text[0])) return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    errno = 0;
    long double number = strtold(copy, &end);
    if (end != copy + length || isnan(number)) return false;
    /* Too large or too small to be told from infinity or zero; one that is merely inexact is fine. */
    if (errno == ERANGE && (isinf(number) || fpclassify(number) == FP_ZERO)) return false;
    *value = number;
    return true;
}

size_t number_format_long_double(char *out, size_t size, long double value) {
    int written = snprintf(out, size, "%.17Lf", value);
    if (written < 0) return 0;
    size_t length = (size_t)written < size ? (size_t)written : size - 1;
    if (memchr(out, '.', length) != NULL) {
        while (out[length - 1] == '0') length--;
        if (out[length - 1] == '.') length--;
    }
    if (length == 2 && out[0] == '-' && out[1] == '0') { /* what rounds to zero has no sign */
        out[0] = '0';
        length = 1;
    }
    out[length] = '\0';
    return length;
}
