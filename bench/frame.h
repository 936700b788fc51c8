/* Finds where a request or a reply ends, however its bytes are cut, and looks at as few of them as it can: a
 * line is read, what the line announces is skipped. Nothing is kept but the line at hand, so that a frame of
 * any size costs no memory.
 *
 * RESP: "*n" announces n frames more, "$n" a bulk, all else is a line. Requests are arrays of bulks, and so
 * frames as well. memcached: "VALUE key flags n" announces a bulk and another line; every other line ends the
 * reply. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum protocol { PROTOCOL_RESP, PROTOCOL_MEMCACHED };

#define FRAME_LINE 120

/* All zero is the state between two frames. */
struct frame {
    size_t skip;     /* bytes of a bulk that are still to come */
    size_t length;   /* of the frame so far; of the last one when it is whole */
    uint32_t left;   /* lines and bulks that still belong to it; 0: it is whole, or has not begun */
    uint32_t absent; /* nils in it; for memcached: no value */
    uint32_t line_length;
    bool is_error;
    bool has_value;
    char line[FRAME_LINE + 1]; /* a line that was cut, or the last error; what is longer is dropped */
};

static inline bool frame_is_between(const struct frame *frame) {
    return frame->left == 0 && frame->skip == 0;
}

static inline bool starts_with(const char *line, size_t length, const char *word) {
    size_t word_length = strlen(word);
    return length >= word_length && memcmp(line, word, word_length) == 0;
}

/* The decimal number there, or -1. */
static inline int64_t number_at(const char *digits, const char *end) {
    int64_t number = 0;
    if (digits == end || *digits < '0' || *digits > '9') return -1;
    for (; digits < end && *digits >= '0' && *digits <= '9'; digits++) number = number * 10 + (*digits - '0');
    return number;
}

static inline void frame_take_resp_line(struct frame *frame, const char *line, size_t length) {
    frame->left--;
    if (line[0] == '-') frame->is_error = true;
    if (line[0] != '*' && line[0] != '$') return;
    int64_t number = number_at(line + 1, line + length);
    if (number < 0)
        frame->absent++;
    else if (line[0] == '$')
        frame->skip = (size_t)number + 2;
    else
        frame->left += (uint32_t)number;
}

static inline void frame_take_memcached_line(struct frame *frame, const char *line, size_t length) {
    if (starts_with(line, length, "VALUE ")) {
        const char *blank = memrchr(line, ' ', length);
        int64_t number = number_at(blank + 1, line + length);
        if (number >= 0) frame->skip = (size_t)number + 2;
        frame->has_value = true;
        return;
    }
    frame->left = 0;
    if (starts_with(line, length, "END"))
        frame->absent += !frame->has_value;
    else if (!starts_with(line, length, "STORED"))
        frame->is_error = true;
}

/* Keeps what is there of a line. */
static inline void frame_keep_line(struct frame *frame, const char *data, size_t length) {
    size_t room = FRAME_LINE - frame->line_length;
    if (length > room) length = room;
    memcpy(frame->line + frame->line_length, data, length);
    frame->line_length += (uint32_t)length;
    frame->line[frame->line_length] = 0;
}

/* Takes bytes of one frame, from its beginning or from where the last call stopped, up to its end. Returns
 * how many; with frame_is_between afterwards, the frame is whole and its fields tell of it until the next
 * call. length > 0. */
static inline size_t frame_advance(struct frame *frame, enum protocol protocol, const char *data,
                                   size_t length) {
    if (frame_is_between(frame)) {
        frame->length = 0;
        frame->left = 1;
        frame->absent = frame->line_length = 0;
        frame->is_error = frame->has_value = false;
    }
    size_t at = 0;
    while (at < length && !frame_is_between(frame)) {
        if (frame->skip > 0) {
            size_t skipped = frame->skip < length - at ? frame->skip : length - at;
            frame->skip -= skipped;
            at += skipped;
            continue;
        }
        const char *line = data + at;
        const char *end = memchr(line, '\n', length - at);
        size_t line_length = end ? (size_t)(end - line) + 1 : length - at;
        at += line_length;
        if (!end || frame->line_length > 0) {
            frame_keep_line(frame, line, line_length);
            line = frame->line;
            line_length = frame->line_length;
        }
        if (!end) break;
        if (protocol == PROTOCOL_RESP)
            frame_take_resp_line(frame, line, line_length);
        else
            frame_take_memcached_line(frame, line, line_length);
        if (frame->is_error && line != frame->line) frame_keep_line(frame, line, line_length);
        frame->line_length = 0;
    }
    frame->length += at;
    return at;
}

#endif
