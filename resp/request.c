/* A request's life, for the parser:
 *
 *     idle --'*'--> count line --> ( '$' length line --> bytes --> CRLF ) x count --> ready --> idle
 *       \--other--> one line, split at its blanks ---------------------------------> ready
 *
 * `position` is where the next look begins, `searched` how far an unfinished line is known to have
 * no end. While the request is unfinished the arguments hold offsets in place of addresses, since
 * the caller's memory may move; the last step turns them into addresses. An argument received apart
 * has an owner and keeps its address. */
#include "request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "shard/base/pages.h"

#define INLINE_MOST 65536
#define COUNT_MOST INT32_MAX
#define UNAUTHENTICATED_COUNT 10
#define UNAUTHENTICATED_BULK 16384
#define CAPACITY_FIRST 8

void request_parser_init(struct request_parser *parser) {
    memset(parser, 0, sizeof *parser);
    parser->expected = -1;
    parser->bulk_length = -1;
}

void request_parser_free(struct request_parser *parser) {
    pages_free(parser->arguments, parser->capacity * sizeof *parser->arguments);
    parser->arguments = NULL;
    parser->capacity = parser->count = 0;
}

void request_hand_over(struct request_parser *parser, struct request_memory *memory) {
    assert(parser->is_finished);
    memory->arguments = parser->arguments;
    memory->arguments_bytes = parser->capacity * sizeof *parser->arguments;
    parser->arguments = NULL;
    parser->capacity = parser->count = 0;
}

void request_memory_free(struct request_memory *memory) {
    pages_free(memory->arguments, memory->arguments_bytes);
    pages_free(memory->input, memory->input_bytes);
    *memory = (struct request_memory){.input = NULL};
}

/* Room for so many. */
static bool arguments_grow(struct request_parser *parser, uint32_t capacity) {
    struct bulk *arguments = parser->arguments;
    arguments = pages_resize(arguments, parser->capacity * sizeof *arguments, capacity * sizeof *arguments);
    if (arguments == NULL) return false;
    parser->arguments = arguments;
    parser->capacity = capacity;
    return true;
}

bool request_is_idle(const struct request_parser *parser) {
    return parser->is_finished || (parser->expected < 0 && parser->position == 0 && parser->searched == 0);
}

static enum request_status fail(struct request_parser *parser, const char *error) {
    parser->error = error;
    return REQUEST_ERROR;
}

static void begin(struct request_parser *parser) {
    parser->position = parser->searched = 0;
    parser->count = 0;
    parser->expected = -1;
    parser->bulk_length = -1;
    parser->is_declined = false;
    parser->is_finished = false;
}

/* A decimal number with an optional sign and nothing else. */
static bool number_read(const char *text, size_t length, int64_t *value) {
    bool is_negative = length > 0 && text[0] == '-';
    uint64_t sum = 0;
    size_t i = is_negative ? 1 : 0;
    if (length == i || length - i > 19 || (text[i] == '0' && length > 1)) return false;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    if (sum > (uint64_t)INT64_MAX + is_negative) return false;
    *value = (int64_t)(is_negative ? 0 - sum : sum);
    return true;
}

static bool argument_add(struct request_parser *parser, char *data, size_t length, void *owner) {
    if (parser->count == parser->capacity) {
        uint32_t capacity = parser->capacity == 0 ? CAPACITY_FIRST : parser->capacity * 2;
        if (!arguments_grow(parser, capacity)) return false;
    }
    parser->arguments[parser->count++] = (struct bulk){data, length, owner};
    return true;
}

/* ------------------------------------------------------------------ inline requests */

static bool is_blank(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Redis skips more kinds of blanks than end a word that has begun. */
static bool ends_word(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static int digit_of(char byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* Reads one escape of a "..." word at *in, behind its backslash. */
static char escape_read(const char *line, size_t length, size_t *in) {
    static const char names[] = "nrtba", bytes[] = "\n\r\t\b\a";
    if (line[*in] == 'x' && *in + 2 < length && digit_of(line[*in + 1]) >= 0 &&
        digit_of(line[*in + 2]) >= 0) {
        char byte = (char)(digit_of(line[*in + 1]) * 16 + digit_of(line[*in + 2]));
        *in += 3;
        return byte;
    }
    char byte = line[(*in)++];
    const char *name = byte == '\0' ? NULL : strchr(names, byte);
    return name == NULL ? byte : bytes[name - names];
}

/* Reads a word from *in and writes it to *out, which never gets ahead. false for unbalanced quotes. */
static bool word_read(char *line, size_t length, size_t *in, size_t *out) {
    char quote = '\0';
    while (*in < length) {
        char byte = line[*in];
        if (quote == '\0') {
            if (ends_word(byte)) return true;
            (*in)++;
            if (byte == '"' || byte == '\'')
                quote = byte;
            else
                line[(*out)++] = byte;
        } else if (byte == quote) {
            (*in)++;
            /* A closing quote must be followed by a blank or nothing. */
            return *in == length || is_blank(line[*in]);
        } else if (byte == '\\' && quote == '"' && *in + 1 < length) {
            (*in)++;
            byte = escape_read(line, length, in);
            line[(*out)++] = byte;
        } else if (byte == '\\' && quote == '\'' && *in + 1 < length && line[*in + 1] == '\'') {
            *in += 2;
            line[(*out)++] = '\'';
        } else {
            (*in)++;
            line[(*out)++] = byte;
        }
    }
    return quote == '\0';
}

int request_split(char *line, size_t length, struct bulk *words, int most) {
    size_t in = 0;
    int count = 0;
    for (;;) {
        while (in < length && is_blank(line[in])) in++;
        if (in >= length) return count;
        size_t start = in, out = in;
        if (!word_read(line, length, &in, &out)) return -1;
        if (count < most) words[count] = (struct bulk){line + start, out - start, NULL};
        count++;
    }
}

static enum request_status parse_inline(struct request_parser *parser, char *data, size_t length,
                                        size_t *consumed) {
    const char *found = memchr(data + parser->searched, '\n', length - parser->searched);
    size_t end = found == NULL ? length : (size_t)(found - data);
    parser->searched = end;
    /* Also when its end is there, so that it doesn't depend on how the bytes were cut. */
    if (end > INLINE_MOST) return fail(parser, "Protocol error: too big inline request");
    if (found == NULL) return REQUEST_PARTIAL;
    *consumed = end + 1;
    if (end > 0 && data[end - 1] == '\r') end--;
    /* At most every other byte begins a word. */
    size_t most = end / 2 + 1;
    if (most > parser->capacity && !arguments_grow(parser, (uint32_t)most))
        return fail(parser, "out of memory");
    int count = request_split(data, end, parser->arguments, (int)most);
    if (count < 0) return fail(parser, "Protocol error: unbalanced quotes in request");
    parser->count = (uint32_t)count;
    parser->is_finished = true;
    return REQUEST_READY;
}

/* ------------------------------------------------------------------ arrays of bulks */

/* Looks for the end of the line at position, behind what was searched before. READY: *end is the
 * index of its '\r', and the byte behind it is there too. As in Redis that byte may be any. */
static enum request_status find_line_end(struct request_parser *parser, const char *data, size_t length,
                                         const char *too_big, size_t *end) {
    size_t from = parser->searched > parser->position ? parser->searched : parser->position;
    const char *found = from < length ? memchr(data + from, '\r', length - from) : NULL;
    *end = found == NULL ? length : (size_t)(found - data);
    parser->searched = *end;
    if (*end - parser->position > INLINE_MOST) return fail(parser, too_big);
    return *end + 1 < length ? REQUEST_READY : REQUEST_PARTIAL;
}

static enum request_status read_count(struct request_parser *parser, const struct request_limits *limits,
                                      const char *data, size_t length) {
    int64_t count;
    size_t end;
    enum request_status status =
        find_line_end(parser, data, length, "Protocol error: too big mbulk count string", &end);
    if (status != REQUEST_READY) return status;
    if (!number_read(data + 1, end - 1, &count) || count > COUNT_MOST)
        return fail(parser, "Protocol error: invalid multibulk length");
    if (count > UNAUTHENTICATED_COUNT && !limits->is_authenticated)
        return fail(parser, "Protocol error: unauthenticated multibulk length");
    parser->position = end + 2;
    parser->expected = count < 0 ? 0 : (int32_t)count;
    return REQUEST_READY;
}

static enum request_status read_bulk_length(struct request_parser *parser,
                                            const struct request_limits *limits, const char *data,
                                            size_t length) {
    int64_t value;
    size_t end;
    enum request_status status =
        find_line_end(parser, data, length, "Protocol error: too big bulk count string", &end);
    if (status != REQUEST_READY) return status;
    /* Redis looks for the line's end first, and at its kind then. */
    const char *line = data + parser->position;
    if (line[0] != '$') {
        static _Thread_local char text[64]; /* rare, and connections are many */
        snprintf(text, sizeof text, "Protocol error: expected '$', got '%c'",
                 line[0] == '\0' ? ' ' : line[0]);
        return fail(parser, text);
    }
    if (!number_read(line + 1, end - parser->position - 1, &value) || value < 0 ||
        value > limits->bulk_length)
        return fail(parser, "Protocol error: invalid bulk length");
    if (value > UNAUTHENTICATED_BULK && !limits->is_authenticated)
        return fail(parser, "Protocol error: unauthenticated bulk length");
    parser->position = end + 2;
    parser->bulk_length = value;
    return REQUEST_READY;
}

/* The bytes of one argument and its line end. */
static enum request_status read_bulk(struct request_parser *parser, size_t length) {
    size_t bulk = (size_t)parser->bulk_length;
    bool is_apart = parser->apart != NULL;
    if (is_apart && parser->apart_filled < bulk) return REQUEST_IN_BULK;
    if (!is_apart && bulk >= REQUEST_BULK_APART && !parser->is_declined &&
        length - parser->position < bulk + 2) {
        return REQUEST_WANTS_BULK;
    }
    size_t here = is_apart ? 0 : bulk;
    if (length - parser->position < here + 2) return REQUEST_PARTIAL;
    char *address = is_apart ? parser->apart : (char *)parser->position; /* see above */
    if (!argument_add(parser, address, bulk, is_apart ? parser->apart_owner : NULL))
        return fail(parser, "out of memory");
    parser->position += here + 2;
    parser->bulk_length = -1;
    parser->apart = NULL;
    parser->apart_owner = NULL;
    parser->apart_filled = 0;
    parser->is_declined = false;
    return REQUEST_READY;
}

enum request_status request_parse(struct request_parser *parser, const struct request_limits *limits,
                                  char *data, size_t length, size_t *consumed) {
    if (parser->is_finished) begin(parser);
    if (length == 0 && parser->expected < 0) return REQUEST_PARTIAL;
    if (parser->expected < 0) {
        if (data[0] != '*') return parse_inline(parser, data, length, consumed);
        enum request_status status = read_count(parser, limits, data, length);
        if (status != REQUEST_READY) return status;
    }
    while ((int64_t)parser->count < parser->expected) {
        if (parser->bulk_length < 0) {
            enum request_status status = read_bulk_length(parser, limits, data, length);
            if (status != REQUEST_READY) return status;
        }
        enum request_status status = read_bulk(parser, length);
        if (status != REQUEST_READY) return status;
    }
    for (uint32_t i = 0; i < parser->count; i++)
        if (parser->arguments[i].owner == NULL)
            parser->arguments[i].data = data + (uintptr_t)parser->arguments[i].data;
    *consumed = parser->position;
    parser->is_finished = true;
    return REQUEST_READY;
}

bool request_adopt(struct request_parser *parser, const struct bulk *arguments, uint32_t count) {
    begin(parser);
    for (uint32_t i = 0; i < count; i++)
        if (!argument_add(parser, arguments[i].data, arguments[i].length, arguments[i].owner)) {
            begin(parser);
            return false;
        }
    parser->is_finished = true;
    return true;
}

size_t request_bulk_present(const struct request_parser *parser, size_t length) {
    size_t bulk = (size_t)parser->bulk_length, here = length - parser->position;
    return here < bulk ? here : bulk;
}

void request_receive_bulk(struct request_parser *parser, char *destination, size_t capacity, void *owner,
                          char *data, size_t *length) {
    size_t here = request_bulk_present(parser, *length);
    assert(here <= capacity && capacity <= (size_t)parser->bulk_length);
    memcpy(destination, data + parser->position, here);
    memmove(data + parser->position, data + parser->position + here, *length - parser->position - here);
    *length -= here;
    parser->apart = destination;
    parser->apart_owner = owner;
    parser->apart_filled = here;
    parser->apart_capacity = capacity;
}

void request_move_bulk(struct request_parser *parser, char *destination, size_t capacity, void *owner) {
    assert(parser->apart_capacity < capacity && capacity <= (size_t)parser->bulk_length);
    parser->apart = destination;
    parser->apart_owner = owner;
    parser->apart_capacity = capacity;
}

void request_decline_bulk(struct request_parser *parser) {
    parser->is_declined = true;
}

char *request_bulk_space(struct request_parser *parser, size_t *missing) {
    *missing = parser->apart_capacity - parser->apart_filled;
    return parser->apart + parser->apart_filled;
}

bool request_bulk_received(struct request_parser *parser, size_t received) {
    assert(received <= parser->apart_capacity - parser->apart_filled);
    parser->apart_filled += received;
    return parser->apart_filled == (size_t)parser->bulk_length;
}

void request_owners(struct request_parser *parser, void (*release)(void *owner)) {
    for (uint32_t i = 0; i < parser->count; i++) {
        if (parser->arguments[i].owner == NULL) continue;
        release(parser->arguments[i].owner);
        parser->arguments[i].owner = NULL;
    }
    if (parser->apart_owner == NULL) return;
    release(parser->apart_owner);
    parser->apart = NULL;
    parser->apart_owner = NULL;
}
