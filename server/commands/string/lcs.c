/* LCS: the longest common subsequence of two strings, as text, as a length, or as the ranges where they
 * agree.
 *
 * Let L(i, j) be the length for the first i bytes of one string, a, and the first j of the other, b. Along a
 * row L rises by 0 or 1 from each j to the next, so a row is kept as one bit per byte of b: 0 where L rises.
 * A row follows from the one before it by an addition, 64 bytes of b at a time (Hyyro, "Bit-parallel
 * LCS-length computation revisited", 2004, after Crochemore et al., 2001):
 *
 *     row' = (row + (row & equal)) | (row & ~equal)        equal: bit j is set where b[j] is the byte of a
 *                                                          that the row is about
 *
 * The rows are all that the way back needs, too. Where the bytes at (i, j) differ, L(i, j) is the larger one
 * of L(i-1, j) and L(i, j-1); if row i rises at j, L(i, j-1) is the smaller one, and the way leads up, else
 * it leads left. Redis goes left when they are equal: so does this, and among many longest subsequences both
 * find the same. */
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"
#include "server/command/command.h"
#include "server/commands/shared/work.h"

#define WORD_BITS 64
#define BYTE_VALUES 256

struct options {
    bool wants_ranges;  /* IDX */
    bool wants_length;  /* LEN */
    bool wants_lengths; /* WITHMATCHLEN */
    int64_t least;      /* MINMATCHLEN */
};

/* All rows together would be as much as an eighth of the lengths' product. Of every `stride` rows one is
 * kept, and on the way back the rows behind one of those are found again when they are needed, in `block`:
 * twice the time, and memory as of the square root of the first length (the idea is Hirschberg's, 1975, in
 * its plainest form). */
struct matrix {
    const unsigned char *a, *b;
    size_t a_length, b_length;
    size_t words;                 /* of a row */
    uint64_t *equals;             /* for each byte value that a has, a row with bits where b has it */
    uint16_t places[BYTE_VALUES]; /* which one, from 1 on; 0: a has no such byte */
    size_t stride;
    uint64_t *marks; /* rows 0, stride, 2 * stride ...; NULL if there is no way back to go */
    uint64_t *block; /* rows from first on, or two that take turns on the way there */
    size_t first;
};

static void matrix_free(struct matrix *matrix) {
    free(matrix->equals);
    free(matrix->marks);
    free(matrix->block);
}

static size_t matrix_stride(size_t rows) {
    size_t stride = 2;
    while (stride * stride < rows) stride++;
    return stride;
}

/* Allocates rows, and for each byte of a the bits of b. false if that is too much for the memory there is. */
static bool matrix_allocate(struct matrix *matrix, bool goes_back) {
    uint16_t values = 0;
    for (size_t i = 0; i < matrix->a_length; i++)
        if (matrix->places[matrix->a[i]] == 0) matrix->places[matrix->a[i]] = ++values;
    matrix->words = matrix->b_length / WORD_BITS + 1;
    matrix->stride = goes_back ? matrix_stride(matrix->a_length + 1) : 2;
    size_t row = matrix->words * sizeof(uint64_t);
    matrix->equals = calloc((size_t)values + 1, row);
    matrix->block = calloc(matrix->stride, row);
    if (goes_back) matrix->marks = calloc(matrix->a_length / matrix->stride + 1, row);
    if (matrix->equals != NULL && matrix->block != NULL && (matrix->marks != NULL || !goes_back)) return true;
    matrix_free(matrix);
    return false;
}

static uint64_t *row_in(uint64_t *rows, const struct matrix *matrix, size_t i) {
    return rows + i * matrix->words;
}

static void row_follow(const uint64_t *before, const uint64_t *equal, uint64_t *row, size_t words) {
    bool carry = false;
    for (size_t word = 0; word < words; word++) {
        uint64_t bits = before[word], sum;
        bool carries = __builtin_add_overflow(bits, bits & equal[word], &sum);
        carry = __builtin_add_overflow(sum, (uint64_t)carry, &sum) || carries;
        row[word] = sum | (bits & ~equal[word]);
    }
}

static void row_after(const struct matrix *matrix, size_t i, const uint64_t *before, uint64_t *row) {
    row_follow(before, row_in(matrix->equals, matrix, matrix->places[matrix->a[i - 1]]), row, matrix->words);
}

/* Goes over all rows and returns L(a_length, b_length). Bits behind b's end stay 1, so that every 0
 * counts. */
static size_t matrix_fill(struct matrix *matrix) {
    size_t rises = 0;
    for (size_t j = 0; j < matrix->b_length; j++)
        row_in(matrix->equals, matrix, matrix->places[matrix->b[j]])[j / WORD_BITS] |= (uint64_t)1
                                                                                       << j % WORD_BITS;
    uint64_t *last = matrix->block, *other = row_in(matrix->block, matrix, 1);
    memset(last, 0xff, matrix->words * sizeof(uint64_t));
    for (size_t i = 0;;) {
        if (matrix->marks != NULL && i % matrix->stride == 0)
            memcpy(row_in(matrix->marks, matrix, i / matrix->stride), last, matrix->words * sizeof(uint64_t));
        if (i == matrix->a_length) break;
        row_after(matrix, ++i, last, other);
        uint64_t *before = last;
        last = other;
        other = before;
    }
    for (size_t word = 0; word < matrix->words; word++) rises += (size_t)__builtin_popcountll(~last[word]);
    matrix->first = SIZE_MAX; /* the block holds none of the rows that it is for */
    return rises;
}

static void block_load(struct matrix *matrix, size_t first) {
    size_t end = first + matrix->stride <= matrix->a_length ? first + matrix->stride : matrix->a_length + 1;
    memcpy(matrix->block, row_in(matrix->marks, matrix, first / matrix->stride),
           matrix->words * sizeof(uint64_t));
    for (size_t i = first + 1; i < end; i++)
        row_after(matrix, i, row_in(matrix->block, matrix, i - first - 1),
                  row_in(matrix->block, matrix, i - first));
    matrix->first = first;
}

static bool rises_at(struct matrix *matrix, size_t i, size_t j) {
    size_t first = i - i % matrix->stride;
    if (matrix->first != first) block_load(matrix, first);
    return (row_in(matrix->block, matrix, i - first)[(j - 1) / WORD_BITS] >> (j - 1) % WORD_BITS & 1) == 0;
}

static void reply_text(struct matrix *matrix, size_t length, struct reply *reply) {
    char *text = malloc(length + 1);
    if (text == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    size_t i = matrix->a_length, j = matrix->b_length, left = length;
    while (left > 0) {
        if (matrix->a[i - 1] == matrix->b[j - 1]) {
            text[--left] = (char)matrix->a[i - 1];
            i--;
            j--;
        } else if (rises_at(matrix, i, j)) {
            i--;
        } else {
            j--;
        }
    }
    reply_bulk(reply, text, length);
    free(text);
}

static void reply_range(struct reply *reply, size_t first, size_t length) {
    reply_array(reply, 2);
    reply_integer(reply, (int64_t)first);
    reply_integer(reply, (int64_t)(first + length - 1));
}

/* Last ranges first: they are found on the way back. */
static void reply_ranges(struct matrix *matrix, size_t length, const struct options *options,
                         struct reply *reply) {
    reply_map(reply, 2);
    reply_bulk_text(reply, "matches");
    size_t mark = reply_defer(reply), count = 0;
    size_t i = matrix->a_length, j = matrix->b_length;
    while (i > 0 && j > 0) {
        size_t run = 0;
        while (i > run && j > run && matrix->a[i - run - 1] == matrix->b[j - run - 1]) run++;
        i -= run;
        j -= run;
        if (run > 0 && (int64_t)run >= options->least) {
            reply_array(reply, options->wants_lengths ? 3 : 2);
            reply_range(reply, i, run);
            reply_range(reply, j, run);
            if (options->wants_lengths) reply_integer(reply, (int64_t)run);
            count++;
        }
        if (i == 0 || j == 0) break;
        if (rises_at(matrix, i, j))
            i--;
        else
            j--;
    }
    reply_defer_array(reply, mark, count);
    reply_bulk_text(reply, "len");
    reply_integer(reply, (int64_t)length);
}

/* An absent key is an empty string. */
static bool view_key(const struct read_scope *scope, const struct key *key, struct string_view *view) {
    const struct entry *entry = scope_read(scope, key);
    view->data = "";
    view->length = 0;
    if (entry == NULL) return true;
    if (entry_type(entry) != TYPE_STRING) return false;
    entry_string(entry, view);
    return true;
}

static bool parse_options(const struct call *call, struct options *options, struct reply *reply) {
    *options = (struct options){0};
    for (uint32_t i = 3; i < call->count; i++) {
        const struct bulk *option = &call->arguments[i];
        if (argument_is(option, "IDX")) {
            options->wants_ranges = true;
        } else if (argument_is(option, "LEN")) {
            options->wants_length = true;
        } else if (argument_is(option, "WITHMATCHLEN")) {
            options->wants_lengths = true;
        } else if (argument_is(option, "MINMATCHLEN") && i + 1 < call->count) {
            if (!argument_integer(&call->arguments[++i], &options->least, reply, NULL)) return false;
        } else {
            reply_error(reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (!options->wants_ranges || !options->wants_length) return true;
    reply_error(reply, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

static void command_lcs(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    struct string_view first, second;
    struct options options;
    bool is_first_fine = view_key(scope, &call->keys[0], &first),
         is_second_fine = view_key(scope, &call->keys[1], &second);
    if (!is_first_fine || !is_second_fine) {
        reply_error(reply, "ERR The specified keys must contain string values");
        return;
    }
    if (!parse_options(call, &options, reply)) return;
    if (first.length >= UINT32_MAX - 1 || second.length >= UINT32_MAX - 1) {
        reply_error(reply, "ERR String too long for LCS");
        return;
    }
    /* What Redis's own table would take: its bound on memory is one on time as well. */
    uint64_t cells = (first.length + 1) * (second.length + 1);
    if (cells >
        (uint64_t)atomic_load_explicit(&config.proto_max_bulk_len, memory_order_relaxed) / sizeof(uint32_t)) {
        reply_error(reply, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    struct matrix matrix = {.a = (const unsigned char *)first.data,
                            .b = (const unsigned char *)second.data,
                            .a_length = first.length,
                            .b_length = second.length};
    if (!matrix_allocate(&matrix, !options.wants_length)) {
        reply_error(reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return;
    }
    size_t length = matrix_fill(&matrix);
    if (options.wants_length)
        reply_integer(reply, (int64_t)length);
    else if (options.wants_ranges)
        reply_ranges(&matrix, length, &options, reply);
    else
        reply_text(&matrix, length, reply);
    matrix_free(&matrix);
}

/* ------------------------------------------------------------------ rows */

const struct command lcs_commands[] = {
    {.name = "lcs",
     .arity = -3,
     .flags = COMMAND_READONLY | COMMAND_LONG,
     .work = work_of_pairs,
     .keys = {{KEY_RO | KEY_ACCESS, 1, 1, 1}},
     .read = command_lcs,
     .categories = "string",
     .since = "7.0.0",
     .group = "string",
     .complexity = "O(N*M) for strings of N and M bytes",
     .summary = "Finds the longest common subsequence of two strings",
     .syntax = "key1:key#0 key2:key#0 [len=LEN] [idx=IDX] [len:integer=MINMATCHLEN] "
               "[withmatchlen=WITHMATCHLEN]"},
    {.name = NULL},
};
