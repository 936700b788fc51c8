#include "reply.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 1024
/* Of what is no client's own reply, and so has no limit of a client's. */
#define REPLY_MOST ((size_t)1 << 30)

void reply_init(struct reply *reply, int protocol) {
    *reply = (struct reply){.protocol = protocol};
}

static void release_from(struct reply *reply, uint32_t first) {
    for (uint32_t i = first; i < reply->reference_count; i++) {
        reply->referenced_bytes -= reply->references[i].length;
        reply->references[i].release(reply->references[i].owner);
    }
    reply->reference_count = first;
}

void reply_free(struct reply *reply) {
    release_from(reply, 0);
    free(reply->references);
    free(reply->data);
    *reply = (struct reply){.protocol = reply->protocol};
}

void reply_clear(struct reply *reply, size_t keep) {
    release_from(reply, 0);
    reply->length = 0;
    reply->is_broken = reply->is_over = false;
    if (reply->capacity > keep) {
        free(reply->data);
        reply->data = NULL;
        reply->capacity = 0;
    }
}

size_t reply_mark(const struct reply *reply) {
    return reply->length;
}

void reply_truncate(struct reply *reply, size_t mark) {
    uint32_t kept = reply->reference_count;
    while (kept > 0 && reply->references[kept - 1].offset >= mark) kept--;
    /* A reference that begins at the mark was written before it only if nothing followed; no caller marks
     * there. */
    release_from(reply, kept);
    reply->length = mark;
}

/* Room for `more` bytes at the end, or NULL when broken. */
static char *room(struct reply *reply, size_t more) {
    if (reply->is_broken) return NULL;
    if (reply->capacity - reply->length < more) {
        size_t most = reply->most == 0 ? REPLY_MOST : reply->most;
        if (reply->length > most || more > most - reply->length) {
            reply->is_broken = reply->is_over = true;
            return NULL;
        }
        size_t capacity = reply->capacity < CAPACITY_FIRST ? CAPACITY_FIRST : reply->capacity;
        while (capacity - reply->length < more) capacity *= 2;
        char *data = realloc(reply->data, capacity);
        if (data == NULL) {
            reply->is_broken = true;
            return NULL;
        }
        reply->data = data;
        reply->capacity = capacity;
    }
    return reply->data + reply->length;
}

void reply_raw(struct reply *reply, const char *data, size_t length) {
    char *out = length == 0 ? NULL : room(reply, length);
    if (out == NULL) return;
    memcpy(out, data, length);
    reply->length += length;
}

/* Room for one more, or so many; false when broken. */
static bool references_room(struct reply *reply, uint32_t more) {
    if (reply->is_broken) return false;
    if (more <= reply->reference_capacity - reply->reference_count) return true;
    uint32_t capacity = reply->reference_capacity == 0 ? 8 : reply->reference_capacity * 2;
    while (capacity - reply->reference_count < more) capacity *= 2;
    struct reply_reference *references = realloc(reply->references, capacity * sizeof *references);
    if (references == NULL) {
        reply->is_broken = true;
        return false;
    }
    reply->references = references;
    reply->reference_capacity = capacity;
    return true;
}

void reply_append(struct reply *reply, struct reply *other) {
    if (other->is_broken) {
        reply->is_broken = true;
        reply->is_over = reply->is_over || other->is_over;
    }
    reply->error_count += other->error_count;
    if (other->error_count > 0) memcpy(reply->error_code, other->error_code, sizeof reply->error_code);
    if (reply->length == 0 && reply->reference_count == 0 && !reply->is_broken) {
        struct reply here = *reply;
        *reply = *other;
        reply->protocol = here.protocol;
        reply->most = here.most;
        reply->error_count = here.error_count;
        memcpy(reply->error_code, here.error_code, sizeof reply->error_code);
        *other = (struct reply){.data = here.data,
                                .capacity = here.capacity,
                                .references = here.references,
                                .reference_capacity = here.reference_capacity,
                                .protocol = here.protocol};
        return;
    }
    size_t offset = reply->length;
    reply_raw(reply, other->data, other->length);
    if (!references_room(reply, other->reference_count)) return;
    for (uint32_t i = 0; i < other->reference_count; i++) {
        struct reply_reference *moved = &reply->references[reply->reference_count++];
        *moved = other->references[i];
        moved->offset += offset;
        reply->referenced_bytes += moved->length;
    }
    other->reference_count = 0;
    other->referenced_bytes = 0;
    other->length = 0;
}

/* Straight to where they belong: a number of two digits is what most bulks begin with, and a detour would
 * take longer than they do. */
static inline size_t digits_write(char *out, uint64_t value) {
    if (value >= 10 && value < 100) {
        out[0] = (char)('0' + value / 10);
        out[1] = (char)('0' + value % 10);
        return 2;
    }
    size_t count = 1;
    for (uint64_t rest = value; rest >= 10; rest /= 10) count++;
    for (size_t i = count; i-- > 0; value /= 10) out[i] = (char)('0' + value % 10);
    return count;
}

static size_t integer_write(char *out, int64_t value) {
    if (value >= 0) return digits_write(out, (uint64_t)value);
    out[0] = '-';
    return 1 + digits_write(out + 1, 0 - (uint64_t)value);
}

/* kind, number, line end. */
static void line_write(struct reply *reply, char kind, int64_t value) {
    char *out = room(reply, 24);
    if (out == NULL) return;
    out[0] = kind;
    size_t length = 1 + integer_write(out + 1, value);
    out[length] = '\r';
    out[length + 1] = '\n';
    reply->length += length + 2;
}

void reply_status(struct reply *reply, const char *text) {
    size_t length = strlen(text);
    char *out = room(reply, length + 3);
    if (out == NULL) return;
    *out++ = '+';
    for (size_t i = 0; i < length; i++) *out++ = text[i];
    *out++ = '\r';
    *out = '\n';
    reply->length += length + 3;
}

void reply_ok(struct reply *reply) {
    reply_raw(reply, "+OK\r\n", 5);
}

void reply_integer(struct reply *reply, int64_t value) {
    line_write(reply, ':', value);
}

inline char *reply_bulk_space(struct reply *reply, size_t length) {
    char *out = room(reply, length + 26);
    if (out == NULL) return NULL;
    out[0] = '$';
    size_t head = 1 + digits_write(out + 1, length);
    out[head++] = '\r';
    out[head++] = '\n';
    out[head + length] = '\r';
    out[head + length + 1] = '\n';
    reply->length += head + length + 2;
    return out + head;
}

void reply_bulk(struct reply *reply, const char *data, size_t length) {
    char *space = reply_bulk_space(reply, length);
    if (space != NULL && length > 0) memcpy(space, data, length);
}

void reply_bulk_text(struct reply *reply, const char *text) {
    reply_bulk(reply, text, strlen(text));
}

void reply_bulk_integer(struct reply *reply, int64_t value) {
    char digits[24];
    reply_bulk(reply, digits, integer_write(digits, value));
}

/* printf into memory of its own. NULL, and the reply broken, when there is none. */
static char *format_text(struct reply *reply, const char *format, va_list arguments, size_t *length) {
    char *text = NULL;
    int written = vasprintf(&text, format, arguments);
    if (written < 0) {
        reply->is_broken = true;
        return NULL;
    }
    *length = (size_t)written;
    return text;
}

void reply_bulk_format(struct reply *reply, const char *format, ...) {
    va_list arguments;
    size_t length;
    va_start(arguments, format);
    char *text = format_text(reply, format, arguments, &length);
    va_end(arguments);
    if (text != NULL) reply_bulk(reply, text, length);
    free(text);
}

void reply_raw_reference(struct reply *reply, const char *data, size_t length, void *owner,
                         void (*release)(void *)) {
    if (reply->is_broken || !references_room(reply, 1)) {
        release(owner);
        return;
    }
    reply->references[reply->reference_count++] =
        (struct reply_reference){reply->length, data, length, owner, release};
    reply->referenced_bytes += length;
}

void reply_bulk_reference(struct reply *reply, const char *data, size_t length, void *owner,
                          void (*release)(void *)) {
    line_write(reply, '$', (int64_t)length);
    reply_raw_reference(reply, data, length, owner, release);
    reply_raw(reply, "\r\n", 2);
}

void reply_null(struct reply *reply) {
    if (reply->protocol == 2)
        reply_raw(reply, "$-1\r\n", 5);
    else
        reply_raw(reply, "_\r\n", 3);
}

void reply_null_array(struct reply *reply) {
    if (reply->protocol == 2)
        reply_raw(reply, "*-1\r\n", 5);
    else
        reply_raw(reply, "_\r\n", 3);
}

void reply_boolean(struct reply *reply, bool value) {
    if (reply->protocol == 2)
        reply_integer(reply, value ? 1 : 0);
    else
        reply_raw(reply, value ? "#t\r\n" : "#f\r\n", 4);
}

/* The fewest digits that read back the same, the last of them not zero: 0.d1d2d3... * 10^*point.
 * Fifteen survive the way there and back unless the value is subnormal; seventeen always do. */
static int double_digits(char digits[static 17], int *point, double value) {
    char text[32];
    int precision = fabs(value) < DBL_MIN ? 1 : 15, count = 0;
    do snprintf(text, sizeof text, "%.*e", precision - 1, value);
    while (precision++ < 17 && strtod(text, NULL) != value);
    const char *exponent = strchr(text, 'e');
    for (const char *at = text; at < exponent; at++)
        if (*at >= '0' && *at <= '9') digits[count++] = *at;
    assert(count > 0 && "%e writes at least one digit");
    while (count > 1 && digits[count - 1] == '0') count--;
    *point = atoi(exponent + 1) + 1;
    return count;
}

/* As Redis 7.2: an integer up to 2^62 with all its digits. Else without an exponent if at most seven
 * zeros follow the digits, or at most six digits the point, or if the exponent would be from -3 to 3. */
size_t reply_double_format(char *out, size_t size, double value) {
    char digits[17];
    int point;
    if (isnan(value)) return (size_t)snprintf(out, size, "nan");
    if (isinf(value)) return (size_t)snprintf(out, size, value > 0 ? "inf" : "-inf");
    if (value == 0) return (size_t)snprintf(out, size, signbit(value) ? "-0" : "0");
    if (fabs(value) <= 0x1p62 && value == floor(value)) return integer_write(out, (int64_t)value);
    int count = double_digits(digits, &point, value), behind = count - point;
    const char *sign = value < 0 ? "-" : "";
    if (behind <= 0 && behind >= -7)
        return (size_t)snprintf(out, size, "%s%.*s%.*s", sign, count, digits, -behind, "0000000");
    if (behind > 0 && (behind <= 6 || (point >= -2 && point <= 4))) {
        if (point > 0)
            return (size_t)snprintf(out, size, "%s%.*s.%.*s", sign, point, digits, behind, digits + point);
        return (size_t)snprintf(out, size, "%s0.%.*s%.*s", sign, -point, "000000", count, digits);
    }
    return (size_t)snprintf(out, size, "%s%c%s%.*se%+d", sign, digits[0], count > 1 ? "." : "", count - 1,
                            digits + 1, point - 1);
}

void reply_double(struct reply *reply, double value) {
    char text[64];
    reply_double_text(reply, text, reply_double_format(text, sizeof text, value));
}

void reply_double_text(struct reply *reply, const char *text, size_t length) {
    if (reply->protocol == 2) {
        reply_bulk(reply, text, length);
        return;
    }
    reply_raw(reply, ",", 1);
    reply_raw(reply, text, length);
    reply_raw(reply, "\r\n", 2);
}

void reply_verbatim(struct reply *reply, const char *kind, const char *data, size_t length) {
    if (reply->protocol == 2) {
        reply_bulk(reply, data, length);
        return;
    }
    line_write(reply, '=', (int64_t)length + 4);
    reply_raw(reply, kind, 3);
    reply_raw(reply, ":", 1);
    reply_raw(reply, data, length);
    reply_raw(reply, "\r\n", 2);
}

void reply_big_number(struct reply *reply, const char *digits, size_t length) {
    if (reply->protocol == 2) {
        reply_bulk(reply, digits, length);
        return;
    }
    reply_raw(reply, "(", 1);
    reply_raw(reply, digits, length);
    reply_raw(reply, "\r\n", 2);
}

void reply_array(struct reply *reply, size_t count) {
    line_write(reply, '*', (int64_t)count);
}

static void map_write(struct reply *reply, char kind, size_t count) {
    if (reply->protocol == 2)
        line_write(reply, '*', (int64_t)count * 2);
    else
        line_write(reply, kind, (int64_t)count);
}

void reply_map(struct reply *reply, size_t count) {
    map_write(reply, '%', count);
}

void reply_set(struct reply *reply, size_t count) {
    line_write(reply, reply->protocol == 2 ? '*' : '~', (int64_t)count);
}

void reply_push(struct reply *reply, size_t count) {
    line_write(reply, reply->protocol == 2 ? '*' : '>', (int64_t)count);
}

void reply_attribute(struct reply *reply, size_t count) {
    line_write(reply, '|', (int64_t)count);
}

size_t reply_defer(struct reply *reply) {
    return reply->length;
}

/* Writes the header at the end and turns it to its place. */
static void deferred_finish(struct reply *reply, size_t mark, size_t end) {
    char header[24];
    if (reply->is_broken) return;
    size_t length = reply->length - end;
    memcpy(header, reply->data + end, length);
    memmove(reply->data + mark + length, reply->data + mark, end - mark);
    memcpy(reply->data + mark, header, length);
    for (uint32_t i = reply->reference_count; i > 0 && reply->references[i - 1].offset > mark; i--)
        reply->references[i - 1].offset += length;
}

void reply_defer_array(struct reply *reply, size_t mark, size_t count) {
    size_t end = reply->length;
    reply_array(reply, count);
    deferred_finish(reply, mark, end);
}

void reply_defer_map(struct reply *reply, size_t mark, size_t count) {
    size_t end = reply->length;
    reply_map(reply, count);
    deferred_finish(reply, mark, end);
}

void reply_defer_set(struct reply *reply, size_t mark, size_t count) {
    size_t end = reply->length;
    reply_set(reply, count);
    deferred_finish(reply, mark, end);
}

/* As Redis's errorstats: a code ends at a blank; what begins without a short one counts as ERR. */
static void error_count(struct reply *reply, const char *text, size_t length) {
    const char *blank = memchr(text, ' ', length < 31 ? length : 31);
    snprintf(reply->error_code, sizeof reply->error_code, "%.*s", blank == NULL ? 3 : (int)(blank - text),
             blank == NULL ? "ERR" : text);
    reply->error_count++;
}

static void error_write(struct reply *reply, const char *text, size_t length) {
    error_count(reply, text, length);
    char *out = room(reply, length + 3);
    if (out == NULL) return;
    out[0] = '-';
    for (size_t i = 0; i < length; i++) out[i + 1] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
    out[length + 1] = '\r';
    out[length + 2] = '\n';
    reply->length += length + 3;
}

void reply_error(struct reply *reply, const char *text) {
    error_write(reply, text, strlen(text));
}

void reply_error_format(struct reply *reply, const char *format, ...) {
    va_list arguments;
    size_t length = 0;
    va_start(arguments, format);
    char *text = format_text(reply, format, arguments, &length);
    va_end(arguments);
    /* A line's end from a client's bytes becomes a blank inside, and goes at the end. */
    while (text != NULL && length > 0 && (text[length - 1] == '\r' || text[length - 1] == '\n')) length--;
    if (text != NULL) error_write(reply, text, length);
    free(text);
}

void reply_errors_clear(struct reply *reply) {
    reply->error_count = 0;
    reply->error_code[0] = '\0';
}

/* ------------------------------------------------------------------ looking back */

/* The end of a bulk that begins at `at`, or 0 if it isn't whole. A reference takes its place without being
 * among the bytes. */
static size_t bulk_end(const struct reply *reply, size_t at, uint64_t length, uint32_t *reference) {
    if (*reference < reply->reference_count && reply->references[*reference].offset == at) {
        if (reply->references[(*reference)++].length != length) return 0;
    } else {
        if (length > reply->length - at) return 0;
        at += length;
    }
    return reply->length - at >= 2 && memcmp(reply->data + at, "\r\n", 2) == 0 ? at + 2 : 0;
}

/* A header line's number; below 0: -1. */
static int64_t line_number(const char *from, const char *end) {
    int64_t number = 0;
    for (const char *digit = from; digit < end && *digit >= '0' && *digit <= '9' && number < INT64_MAX / 20;
         digit++)
        number = number * 10 + (*digit - '0');
    return *from == '-' ? -1 : number;
}

bool reply_is_one(const struct reply *reply, size_t mark) {
    size_t at = mark;
    uint32_t reference = 0;
    while (reference < reply->reference_count && reply->references[reference].offset <= mark) reference++;
    for (uint64_t wanted = 1; wanted > 0; wanted--) {
        const char *line = reply->data + at,
                   *end = at < reply->length ? memchr(line, '\n', reply->length - at) : NULL;
        if (end == NULL || end - line < 2 || end[-1] != '\r') return false;
        int64_t number = line_number(line + 1, end);
        uint64_t count = number < 0 ? 0 : (uint64_t)number;
        at = (size_t)(end - reply->data) + 1;
        switch (*line) {
        case '+':
        case '-':
        case ':':
        case '_':
        case ',':
        case '#':
        case '(': break;
        case '*':
        case '~': wanted += count; break;
        case '>': wanted += count + 1; break; /* it comes before the value */
        case '%': wanted += 2 * count; break;
        case '|': wanted += 2 * count + 1; break;
        case '$':
        case '=':
            at = number < 0 ? at : bulk_end(reply, at, count, &reference);
            if (at == 0) return false;
            break;
        default: return false;
        }
    }
    return at == reply->length && reference == reply->reference_count;
}
