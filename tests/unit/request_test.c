/* resp/request.c: the arguments are what was sent, however the bytes were cut, wherever the memory
 * moved and whichever of them were received apart; the errors are Redis 7.2's, to the letter
 * (redis-server was asked with the same bytes); nothing is looked at twice, nothing grows by
 * announcement, and every owner is released once. */
#include "tests/engine.h"

#include "resp/request.h"

static const struct request_limits usual = {.bulk_length = 512 * 1024 * 1024, .is_authenticated = true};
static const struct request_limits stranger = {.bulk_length = 512 * 1024 * 1024, .is_authenticated = false};

#define PROTOCOL "Protocol error: "

/* ------------------------------------------------------------------ a connection's part */

/* What came out, as text: "[GET|k]" for a request, "!..." for the error that ended the stream. */
struct transcript {
    char *text;
    size_t length, capacity;
};

static void transcript_add(struct transcript *transcript, const void *data, size_t length) {
    if (transcript->capacity - transcript->length < length + 1) {
        transcript->capacity = (transcript->capacity + length + 1) * 2;
        transcript->text = realloc(transcript->text, transcript->capacity);
        assert_non_null(transcript->text);
    }
    memcpy(transcript->text + transcript->length, data, length);
    transcript->length += length;
    transcript->text[transcript->length] = '\0';
}

static void transcript_add_request(struct transcript *transcript, const struct request_parser *parser) {
    transcript_add(transcript, "[", 1);
    for (uint32_t i = 0; i < parser->count; i++) {
        if (i > 0) transcript_add(transcript, "|", 1);
        transcript_add(transcript, parser->arguments[i].data, parser->arguments[i].length);
    }
    transcript_add(transcript, "]", 1);
}

/* Keeps the bytes of the unfinished request, in memory that moves whenever some come in and is not
 * one byte longer than they are, so that a sanitizer sees any look beyond. */
struct feeder {
    struct request_parser parser;
    const struct request_limits *limits;
    char *held;
    size_t length;
    bool takes_apart, takes_whole, is_over;
    struct transcript transcript;
};

static void feeder_init(struct feeder *feeder, const struct request_limits *limits, bool takes_apart) {
    *feeder = (struct feeder){.limits = limits, .takes_apart = takes_apart};
    request_parser_init(&feeder->parser);
    transcript_add(&feeder->transcript, "", 0);
}

static void feeder_free(struct feeder *feeder) {
    request_owners(&feeder->parser, free);
    request_parser_free(&feeder->parser);
    free(feeder->held);
    free(feeder->transcript.text);
}

static void feeder_hold(struct feeder *feeder, const char *data, size_t length) {
    char *moved = malloc(feeder->length + length);
    assert_non_null(moved);
    if (feeder->length > 0) memcpy(moved, feeder->held, feeder->length);
    memcpy(moved + feeder->length, data, length);
    if (feeder->held != NULL) memset(feeder->held, 'X', feeder->length);
    free(feeder->held);
    feeder->held = moved;
    feeder->length += length;
}

static enum request_status feeder_parse(struct feeder *feeder, size_t *consumed) {
    return request_parse(&feeder->parser, feeder->limits, feeder->held, feeder->length, consumed);
}

/* All of it, or, in pieces, a little more than has come. */
static size_t capacity_for(const struct feeder *feeder, size_t present) {
    size_t bulk = (size_t)feeder->parser.bulk_length, capacity = present + 1 + present / 8;
    return feeder->takes_whole || capacity > bulk ? bulk : capacity;
}

/* Runs what is there. Returns PARTIAL, IN_BULK or ERROR. */
static enum request_status feeder_run(struct feeder *feeder) {
    for (;;) {
        size_t consumed = 0, capacity;
        enum request_status status = feeder_parse(feeder, &consumed);
        switch (status) {
        case REQUEST_READY:
            transcript_add_request(&feeder->transcript, &feeder->parser);
            request_owners(&feeder->parser, free);
            assert_true(consumed > 0 && consumed <= feeder->length);
            feeder->length -= consumed;
            memmove(feeder->held, feeder->held + consumed, feeder->length);
            break;
        case REQUEST_WANTS_BULK:
            assert_true(feeder->parser.bulk_length >= REQUEST_BULK_APART);
            capacity = capacity_for(feeder, request_bulk_present(&feeder->parser, feeder->length));
            if (feeder->takes_apart) {
                char *memory = malloc(capacity + 1);
                assert_non_null(memory);
                request_receive_bulk(&feeder->parser, memory, capacity, memory, feeder->held,
                                     &feeder->length);
            } else {
                request_decline_bulk(&feeder->parser);
            }
            break;
        case REQUEST_ERROR:
            transcript_add(&feeder->transcript, "!", 1);
            transcript_add(&feeder->transcript, feeder->parser.error, strlen(feeder->parser.error));
            feeder->is_over = true;
            return status;
        case REQUEST_PARTIAL:
        case REQUEST_IN_BULK: return status;
        }
    }
}

static void feed(struct feeder *feeder, const char *data, size_t length) {
    size_t consumed;
    while (length > 0 && !feeder->is_over) {
        size_t taken = length, missing;
        if (feeder->length > 0 && feeder_parse(feeder, &consumed) == REQUEST_IN_BULK) {
            char *space = request_bulk_space(&feeder->parser, &missing);
            if (missing == 0) {
                size_t capacity = capacity_for(feeder, feeder->parser.apart_capacity);
                char *memory = realloc(feeder->parser.apart_owner, capacity + 1);
                assert_non_null(memory);
                request_move_bulk(&feeder->parser, memory, capacity, memory);
                space = request_bulk_space(&feeder->parser, &missing);
            }
            assert_true(missing > 0);
            if (taken > missing) taken = missing;
            memcpy(space, data, taken);
            request_bulk_received(&feeder->parser, taken);
        } else {
            feeder_hold(feeder, data, taken);
        }
        data += taken;
        length -= taken;
        feeder_run(feeder);
    }
}

/* The transcript of a stream in pieces of `piece` bytes, after a first one of `first`. */
static void check_pieces(const char *data, size_t length, size_t first, size_t piece, bool takes_apart,
                         const struct request_limits *limits, const char *expected) {
    struct feeder feeder;
    feeder_init(&feeder, limits, takes_apart);
    feeder.takes_whole = first % 2 == 0;
    feed(&feeder, data, first);
    for (size_t at = first; at < length; at += piece)
        feed(&feeder, data + at, length - at < piece ? length - at : piece);
    assert_string_equal(feeder.transcript.text, expected);
    feeder_free(&feeder);
}

/* Whole, in two at every place, and byte by byte. */
static void check_stream(const char *data, size_t length, const struct request_limits *limits,
                         const char *expected) {
    for (size_t first = 1; first <= length; first++)
        check_pieces(data, length, first, length, true, limits, expected);
    for (size_t piece = 1; piece <= 3 && piece <= length; piece++)
        check_pieces(data, length, piece, piece, true, limits, expected);
}

static void check_text(const char *stream, const char *expected) {
    check_stream(stream, strlen(stream), &usual, expected);
}

static enum request_status parse_text(struct request_parser *parser, char *text, size_t *consumed) {
    return request_parse(parser, &usual, text, strlen(text), consumed);
}

/* A request of these arguments, as bytes; the lengths tell where a NULL one is a bulk of that many 'v'. */
static char *array_of(const char *const *arguments, const size_t *lengths, size_t count, size_t *length) {
    size_t room = 32;
    for (size_t i = 0; i < count; i++) room += lengths[i] + 32;
    char *bytes = malloc(room);
    assert_non_null(bytes);
    char *at = bytes + sprintf(bytes, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        at += sprintf(at, "$%zu\r\n", lengths[i]);
        if (arguments[i] == NULL)
            memset(at, 'v', lengths[i]);
        else
            memcpy(at, arguments[i], lengths[i]);
        at += lengths[i];
        *at++ = '\r';
        *at++ = '\n';
    }
    *length = (size_t)(at - bytes);
    *at = '\0'; /* tests look for their words in it */
    return bytes;
}

/* "SET key <size times 'v'>", and a second request behind it. */
static char *large_set(size_t size, size_t *length) {
    size_t set_length;
    char *set = array_of((const char *[]){"SET", "key", NULL}, (size_t[]){3, 3, size}, 3, &set_length);
    static const char next[] = "*1\r\n$4\r\nPING\r\n";
    char *both = realloc(set, set_length + sizeof next);
    assert_non_null(both);
    memcpy(both + set_length, next, sizeof next);
    *length = set_length + sizeof next - 1;
    return both;
}

/* ------------------------------------------------------------------ arrays */

static void arguments_point_into_the_memory_given(void **state) {
    (void)state;
    char stream[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\nrest";
    struct request_parser parser;
    size_t consumed = 0;
    request_parser_init(&parser);
    assert_int_equal(parse_text(&parser, stream, &consumed), REQUEST_READY);
    assert_int_equal(consumed, strlen(stream) - 4);
    assert_int_equal(parser.count, 3);
    assert_ptr_equal(parser.arguments[0].data, stream + 8);
    assert_ptr_equal(parser.arguments[2].data, strstr(stream, "hello"));
    assert_int_equal(parser.arguments[2].length, 5);
    assert_int_equal(parser.arguments[2].data[5], '\r');
    assert_null(parser.arguments[2].owner);
    request_parser_free(&parser);
}

static void requests_are_the_same_wherever_they_are_cut(void **state) {
    (void)state;
    check_text("*1\r\n$4\r\nPING\r\n", "[PING]");
    check_text("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nDEL\r\n$2\r\nkk\r\n", "[GET|k][DEL|kk]");
    check_text("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\n\r\n\r\n\r\n", "[SET||\r\n\r\n]");
    check_text("GET k\r\n*1\r\n$4\r\nPING\r\nSET k \"a b\"\nGET 'k'\r\n", "[GET|k][PING][SET|k|a b][GET|k]");
    check_text("*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$"
               "1\r\ng\r\n$1\r\nh\r\n"
               "$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n$10\r\n0123456789\r\nPING\n",
               "[a|b|c|d|e|f|g|h|i|j|k|0123456789][PING]");
}

static void any_byte_may_be_in_an_argument(void **state) {
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++) bytes[i] = (char)i;
    size_t length, consumed;
    char *stream = array_of((const char *[]){"SET", bytes}, (size_t[]){3, 256}, 2, &length);
    struct request_parser parser;
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_READY);
    assert_int_equal(parser.arguments[1].length, 256);
    assert_memory_equal(parser.arguments[1].data, bytes, 256);
    request_parser_free(&parser);
    free(stream);
}

static void requests_in_a_row_are_given_one_at_a_time(void **state) {
    (void)state;
    char stream[] = "*1\r\n$1\r\na\r\nb c\r\n*2\r\n$1\r\nd\r\n$1\r\ne\r\n";
    const size_t ends[] = {11, 16, 34}, counts[] = {1, 2, 2};
    struct request_parser parser;
    size_t at = 0, consumed;
    request_parser_init(&parser);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(parse_text(&parser, stream + at, &consumed), REQUEST_READY);
        at += consumed;
        assert_int_equal(at, ends[i]);
        assert_int_equal(parser.count, counts[i]);
    }
    assert_int_equal(parse_text(&parser, stream + at, &consumed), REQUEST_PARTIAL);
    request_parser_free(&parser);
}

static void an_empty_request_is_ready_and_has_no_arguments(void **state) {
    (void)state;
    check_text("\r\n", "[]");
    check_text("\n", "[]");
    check_text(" \t \r\n", "[]");
    check_text("*0\r\n", "[]");
    check_text("*-1\r\n*1\r\n$1\r\na\r\n", "[][a]");
    check_text("*-9223372036854775808\r\n", "[]");
}

/* Nor does Redis look at it. */
static void any_byte_may_stand_for_a_line_feed(void **state) {
    (void)state;
    check_text("*1\rX$4\rYPINGab*0\r\r", "[PING][]");
}

static void no_bytes_are_a_partial_request(void **state) {
    (void)state;
    struct request_parser parser;
    size_t consumed;
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, NULL, 0, &consumed), REQUEST_PARTIAL);
    assert_true(request_is_idle(&parser));
    request_parser_free(&parser);
}

static void a_parser_is_idle_only_between_requests(void **state) {
    (void)state;
    static const char *const streams[] = {"*1\r\n$4\r\nPING\r\n", "PING\r\n", "\r\n", "*0\r\n"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        char stream[32];
        struct request_parser parser;
        size_t length = strlen(strcpy(stream, streams[i])), consumed;
        request_parser_init(&parser);
        for (int round = 0; round < 2; round++) {
            assert_true(request_is_idle(&parser));
            for (size_t part = 1; part < length; part++) {
                assert_int_equal(request_parse(&parser, &usual, stream, part, &consumed), REQUEST_PARTIAL);
                assert_false(request_is_idle(&parser));
            }
            assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_READY);
            assert_true(request_is_idle(&parser));
        }
        assert_int_equal(request_parse(&parser, &usual, stream, 0, &consumed), REQUEST_PARTIAL);
        assert_true(request_is_idle(&parser));
        request_parser_free(&parser);
    }
}

/* So the announced count of a request costs nothing by itself. */
static void memory_grows_with_arguments_not_with_their_announced_count(void **state) {
    (void)state;
    enum { MANY = 1000 };
    struct feeder feeder;
    feeder_init(&feeder, &usual, false);
    feed(&feeder, "*2147483647\r\n", 13);
    assert_int_equal(feeder.parser.capacity, 0);
    for (uint32_t i = 1; i <= MANY; i++) {
        feed(&feeder, "$1\r\na\r\n", 7);
        assert_int_equal(feeder.parser.count, i);
        assert_true(feeder.parser.capacity <= 8 || feeder.parser.capacity < 2 * i);
    }
    feeder_free(&feeder);
}

static void the_array_of_arguments_is_used_again(void **state) {
    (void)state;
    struct feeder feeder;
    feeder_init(&feeder, &usual, false);
    feed(&feeder, "*2\r\n$1\r\na\r\n$1\r\nb\r\n", 18);
    const struct bulk *arguments = feeder.parser.arguments;
    for (int i = 0; i < 3; i++) feed(&feeder, "*2\r\n$1\r\na\r\n$1\r\nb\r\na b c\r\n", 25);
    assert_ptr_equal(feeder.parser.arguments, arguments);
    feeder_free(&feeder);
}

/* What was seen before is changed to a line's end, which nobody may notice. */
static void no_byte_of_a_line_is_looked_at_twice(void **state) {
    (void)state;
    static const char *const starts[] = {"GET aaaa", "*1111111", "*1\r\n$111"};
    for (size_t i = 0; i < 3; i++) {
        char stream[64];
        struct request_parser parser;
        size_t consumed, length = strlen(strcpy(stream, starts[i]));
        request_parser_init(&parser);
        assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_PARTIAL);
        memcpy(stream + length - 3, "\r\n", 2);
        stream[length] = '1';
        assert_int_equal(request_parse(&parser, &usual, stream, length + 1, &consumed), REQUEST_PARTIAL);
        request_parser_free(&parser);
    }
}

/* ------------------------------------------------------------------ inline requests */

static void inline_requests_are_split_at_blanks_and_quotes(void **state) {
    (void)state;
    check_text("PING\r\n", "[PING]");
    check_text("  GET\t k  \n", "[GET|k]");
    check_text("ECHO \"a\\x41\\n\\t\\r\\b\\a\\\"\\\\\\q\"\r\n", "[ECHO|aA\n\t\r\b\a\"\\q]");
    check_text("ECHO \"\\x4a\\xFf\\x4\\xg0\\x\"\r\n", "[ECHO|J\xffx4xg0x]");
    check_text("ECHO 'a\\'b\\n\"'\r\n", "[ECHO|a'b\\n\"]");
    check_text("ECHO foo\"bar baz\" ''\r\n", "[ECHO|foobar baz|]");
    check_text("ECHO a\\b \"it's\"\r\n", "[ECHO|a\\b|it's]");
    check_text("SET \"\" ''\r\n", "[SET||]");
    /* These blanks separate words, but don't end one that has begun without quotes. */
    check_text("ECHO a\vb\fc \v\fd \"e\"\vf\r\n", "[ECHO|a\vb\fc|d|e|f]");
    check_text("a\rb\r\n", "[a|b]");
}

/* Redis would not see the end of this line; cutting the request short there could mean anything. */
static void a_nul_is_a_byte_like_any_other(void **state) {
    (void)state;
    char line[] = "GET a\0b '\0' \"\0\\\0\"\r\n";
    struct request_parser parser;
    size_t consumed;
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, line, sizeof line - 1, &consumed), REQUEST_READY);
    assert_int_equal(consumed, sizeof line - 1);
    assert_int_equal(parser.count, 4);
    assert_int_equal(parser.arguments[1].length, 3);
    assert_memory_equal(parser.arguments[1].data, "a\0b", 3);
    assert_int_equal(parser.arguments[2].length, 1);
    assert_int_equal(parser.arguments[3].length, 2);
    assert_memory_equal(parser.arguments[3].data, "\0\0", 2);
    request_parser_free(&parser);
}

static void unbalanced_quotes_are_an_error(void **state) {
    (void)state;
    static const char *const lines[] = {
        "ECHO \"a\r\n",   "ECHO 'a\r\n",   "ECHO fo\"o\"x\r\n", "ECHO \"a\"'b'\r\n", "ECHO a\\\"b\r\n",
        "ECHO \"a\\\r\n", "ECHO 'a'b\r\n", "ECHO \"a\\\"\r\n",  "ECHO 'a\\'\r\n",    "ECHO \"\\x41\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        check_text(lines[i], "!" PROTOCOL "unbalanced quotes in request");
    check_text("PING\r\nECHO '\r\nPING\r\n", "[PING]!" PROTOCOL "unbalanced quotes in request");
}

static void a_line_of_nothing_but_words_has_room_for_them_all(void **state) {
    (void)state;
    enum { WORDS = 32768 };
    char *line = malloc(2 * WORDS);
    struct request_parser parser;
    size_t consumed;
    for (size_t i = 0; i < WORDS; i++) memcpy(line + 2 * i, i + 1 < WORDS ? "w " : "w\n", 2);
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, line, 2 * WORDS, &consumed), REQUEST_READY);
    assert_int_equal(parser.count, WORDS);
    assert_int_equal(parser.arguments[WORDS - 1].length, 1);
    request_parser_free(&parser);
    free(line);
}

static void splitting_counts_words_beyond_those_it_has_room_for(void **state) {
    (void)state;
    char line[] = "one \"t\\x77o\" three";
    struct bulk words[3] = {{NULL, 7, line}, {NULL, 7, line}, {NULL, 7, line}};
    assert_int_equal(request_split(line, strlen(line), words, 2), 3);
    assert_int_equal(words[0].length, 3);
    assert_memory_equal(words[0].data, "one", 3);
    assert_null(words[0].owner);
    assert_int_equal(words[1].length, 3);
    assert_memory_equal(words[1].data, "two", 3);
    assert_ptr_equal(words[2].owner, line); /* not touched */
    assert_int_equal(request_split(line, 0, words, 2), 0);
    char open[] = "a b 'c";
    assert_int_equal(request_split(open, strlen(open), words, 1), -1);
    assert_int_equal(request_split(open, 4, NULL, 0), 2); /* only those bytes */
}

/* ------------------------------------------------------------------ errors and limits */

static void malformed_arrays_get_the_errors_of_redis(void **state) {
    (void)state;
    static const char *const counts[] = {"*\r\n",
                                         "*a\r\n",
                                         "*01\r\n",
                                         "*+1\r\n",
                                         "*-0\r\n",
                                         "*1 \r\n",
                                         "*-\r\n",
                                         "*1a\r\n",
                                         "*2147483648\r\n",
                                         "*-9223372036854775809\r\n",
                                         "*9223372036854775808\r\n",
                                         "*18446744073709551617\r\n",
                                         "*00000000000000000000001\r\n"};
    static const char *const lengths[] = {"*1\r\n$-1\r\n",        "*1\r\n$a\r\n",
                                          "*1\r\n$\r\n",          "*1\r\n$04\r\nPING\r\n",
                                          "*1\r\n$536870913\r\n", "*1\r\n$18446744073709551620\r\nPING\r\n",
                                          "*1\r\n$4 \r\nPING\r\n"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_text(counts[i], "!" PROTOCOL "invalid multibulk length");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_text(lengths[i], "!" PROTOCOL "invalid bulk length");
    check_text("*1\r\n:4\r\n", "!" PROTOCOL "expected '$', got ':'");
    check_text("*2\r\n$1\r\na\r\nPING\r\n", "!" PROTOCOL "expected '$', got 'P'");
    check_text("*1\r\n\r\n", "!" PROTOCOL "expected '$', got '\r'");
    check_text("PING\r\n*1\r\n*1\r\n", "[PING]!" PROTOCOL "expected '$', got '*'");
    check_stream("*1\r\n\0\r\n", 7, &usual, "!" PROTOCOL "expected '$', got ' '");
}

static void a_wrong_kind_is_told_only_when_its_line_has_ended(void **state) {
    (void)state;
    char stream[] = "*1\r\n:4\r\n";
    struct request_parser parser;
    size_t consumed;
    request_parser_init(&parser);
    for (size_t length = 1; length < sizeof stream - 1; length++)
        assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, stream, sizeof stream - 1, &consumed), REQUEST_ERROR);
    request_parser_free(&parser);
}

/* `prefix`, then bytes up to a line of `length` without its end. */
static void check_line_limit(const char *prefix, size_t begins, char filling, const char *error) {
    enum { MOST = 65536 };
    size_t consumed, at_most = begins + MOST;
    char *stream = malloc(at_most + 3);
    struct request_parser parser;
    memset(stream, filling, at_most + 3);
    memcpy(stream, prefix, strlen(prefix));
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, at_most, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, stream, at_most + 1, &consumed), REQUEST_ERROR);
    assert_string_equal(parser.error, error);
    request_parser_free(&parser);
    /* The same when it comes at once with its end. */
    memcpy(stream + at_most + 1, "\r\n", 2);
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, at_most + 3, &consumed), REQUEST_ERROR);
    assert_string_equal(parser.error, error);
    request_parser_free(&parser);
    free(stream);
}

static void a_line_above_64_kilobytes_is_an_error(void **state) {
    (void)state;
    check_line_limit("", 0, 'a', PROTOCOL "too big inline request");
    check_line_limit("*", 0, '1', PROTOCOL "too big mbulk count string");
    check_line_limit("*1\r\n$", 4, '1', PROTOCOL "too big bulk count string");
}

static void a_line_of_64_kilobytes_is_not(void **state) {
    (void)state;
    enum { LONG = 65536 };
    char *line = malloc(LONG + 1);
    struct request_parser parser;
    size_t consumed;
    memset(line, 'a', LONG);
    line[LONG] = '\n';
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, line, LONG, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, line, LONG + 1, &consumed), REQUEST_READY);
    assert_int_equal(parser.arguments[0].length, LONG);
    request_parser_free(&parser);
    free(line);
}

static void a_bulk_may_be_as_long_as_configured(void **state) {
    (void)state;
    const struct request_limits five = {.bulk_length = 5, .is_authenticated = true};
    check_stream("*1\r\n$5\r\n12345\r\n", 15, &five, "[12345]");
    check_stream("*1\r\n$6\r\n123456\r\n", 16, &five, "!" PROTOCOL "invalid bulk length");
}

static void who_is_not_authenticated_may_send_ten_arguments(void **state) {
    (void)state;
    static const char ten[] = "*10\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
                              "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n";
    check_stream(ten, sizeof ten - 1, &stranger, "[a|a|a|a|a|a|a|a|a|a]");
    check_stream("*11\r\n", 5, &stranger, "!" PROTOCOL "unauthenticated multibulk length");
    check_stream("*2147483648\r\n", 13, &stranger, "!" PROTOCOL "invalid multibulk length");
}

static void who_is_not_authenticated_may_send_bulks_of_16384_bytes(void **state) {
    (void)state;
    struct feeder feeder;
    feeder_init(&feeder, &stranger, true);
    feed(&feeder, "*1\r\n$16384\r\n", 12);
    assert_string_equal(feeder.transcript.text, "");
    feeder_free(&feeder);
    check_stream("*1\r\n$16385\r\n", 12, &stranger, "!" PROTOCOL "unauthenticated bulk length");
}

/* A request that was begun before AUTH took effect is measured as it comes in. */
static void limits_are_those_of_the_moment(void **state) {
    (void)state;
    struct feeder feeder;
    feeder_init(&feeder, &stranger, true);
    feed(&feeder, "*2\r\n", 4);
    feeder.limits = &usual;
    feed(&feeder, "$20000\r\n", 8);
    assert_false(feeder.is_over);
    feeder_free(&feeder);
}

/* ------------------------------------------------------------------ bulks apart */

static void only_a_large_unfinished_bulk_is_wanted_apart(void **state) {
    (void)state;
    for (size_t size = REQUEST_BULK_APART - 1; size <= REQUEST_BULK_APART; size++) {
        size_t length, consumed;
        char *stream = array_of((const char *[]){"ECHO", NULL}, (size_t[]){4, size}, 2, &length);
        struct request_parser parser;
        request_parser_init(&parser);
        enum request_status expected = size < REQUEST_BULK_APART ? REQUEST_PARTIAL : REQUEST_WANTS_BULK;
        assert_int_equal(request_parse(&parser, &usual, stream, length - 1, &consumed), expected);
        if (expected == REQUEST_WANTS_BULK) assert_int_equal(parser.bulk_length, size);
        /* Asks again until it is answered, and not at all once everything is there. */
        assert_int_equal(request_parse(&parser, &usual, stream, length - 2, &consumed), expected);
        assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_READY);
        assert_ptr_equal(parser.arguments[1].data, stream + length - 2 - size);
        request_parser_free(&parser);
        free(stream);
    }
}

static void what_came_of_a_bulk_moves_to_its_own_memory(void **state) {
    (void)state;
    const size_t size = 20000, present = 5;
    size_t length, consumed, missing;
    char *stream = large_set(size, &length), *value = malloc(size + 1), owner;
    size_t held = (size_t)(strstr(stream, "vvvv") - stream) + present;
    struct request_parser parser;
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_WANTS_BULK);
    assert_int_equal(parser.bulk_length, size);
    request_receive_bulk(&parser, value, size, &owner, stream, &held);
    assert_int_equal(held, strstr(stream, "vvvv") - stream);
    assert_memory_equal(value, "vvvvv", present);

    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_IN_BULK);
    assert_ptr_equal(request_bulk_space(&parser, &missing), value + present);
    assert_int_equal(missing, size - present);
    memset(value + present, 'w', 100);
    request_bulk_received(&parser, 100);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_IN_BULK);
    assert_ptr_equal(request_bulk_space(&parser, &missing), value + present + 100);
    assert_int_equal(missing, size - present - 100);
    memset(value + present + 100, 'x', missing);
    request_bulk_received(&parser, missing);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_PARTIAL);
    memcpy(stream + held, "\r\nnext", 6);
    assert_int_equal(request_parse(&parser, &usual, stream, held + 1, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, stream, held + 6, &consumed), REQUEST_READY);
    assert_int_equal(consumed, held + 2);
    assert_int_equal(parser.count, 3);
    assert_ptr_equal(parser.arguments[1].data, strstr(stream, "key"));
    assert_ptr_equal(parser.arguments[2].data, value);
    assert_ptr_equal(parser.arguments[2].owner, &owner);
    assert_int_equal(parser.arguments[2].length, size);
    request_parser_free(&parser);
    free(value);
    free(stream);
}

static void a_bulk_may_get_its_memory_as_it_comes(void **state) {
    (void)state;
    const size_t size = 20000, present = 5;
    size_t length, consumed, missing;
    char *stream = large_set(size, &length), *value = malloc(present + 3), owner, later;
    size_t held = (size_t)(strstr(stream, "vvvv") - stream) + present;
    struct request_parser parser;
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_WANTS_BULK);
    assert_int_equal(request_bulk_present(&parser, held), present);
    request_receive_bulk(&parser, value, present + 2, &owner, stream, &held);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_IN_BULK);
    assert_ptr_equal(request_bulk_space(&parser, &missing), value + present);
    assert_int_equal(missing, 2);
    memcpy(value + present, "vv", 2);
    assert_false(request_bulk_received(&parser, 2));
    request_bulk_space(&parser, &missing);
    assert_int_equal(missing, 0);
    assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_IN_BULK);
    value = realloc(value, size + 1);
    request_move_bulk(&parser, value, size, &later);
    assert_ptr_equal(request_bulk_space(&parser, &missing), value + present + 2);
    assert_int_equal(missing, size - present - 2);
    memset(value + present + 2, 'v', missing);
    assert_true(request_bulk_received(&parser, missing));
    memcpy(stream + held, "\r\n", 2);
    assert_int_equal(request_parse(&parser, &usual, stream, held + 2, &consumed), REQUEST_READY);
    assert_ptr_equal(parser.arguments[2].data, value);
    assert_ptr_equal(parser.arguments[2].owner, &later);
    assert_int_equal(parser.arguments[2].length, size);
    request_parser_free(&parser);
    free(value);
    free(stream);
}

/* The bytes behind it move up: whatever of the value and of its line end is there already. */
static void a_bulk_that_lacks_only_its_line_end_is_cut_out_whole(void **state) {
    (void)state;
    const size_t size = 16384;
    for (size_t ending = 0; ending < 2; ending++) {
        size_t length, consumed = 0;
        char *stream = large_set(size, &length), *value = malloc(size + 1);
        size_t before = (size_t)(strstr(stream, "vvvv") - stream), held = before + size + ending;
        struct request_parser parser;
        request_parser_init(&parser);
        assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_WANTS_BULK);
        request_receive_bulk(&parser, value, size, value, stream, &held);
        assert_int_equal(held, before + ending);
        assert_int_equal(request_parse(&parser, &usual, stream, held, &consumed), REQUEST_PARTIAL);
        memcpy(stream + before, "\r\n", 2);
        assert_int_equal(request_parse(&parser, &usual, stream, before + 2, &consumed), REQUEST_READY);
        assert_int_equal(consumed, before + 2);
        for (size_t i = 0; i < size; i++) assert_int_equal(parser.arguments[2].data[i], 'v');
        request_owners(&parser, free);
        request_parser_free(&parser);
        free(stream);
    }
}

static void large_requests_are_the_same_wherever_they_are_cut(void **state) {
    (void)state;
    const size_t size = REQUEST_BULK_APART + 3;
    size_t length;
    char *stream = large_set(size, &length), *value = calloc(1, size + 1), *expected = malloc(size + 64);
    memset(value, 'v', size);
    sprintf(expected, "[SET|key|%s][PING]", value);
    for (int apart = 0; apart < 2; apart++) {
        size_t begins = (size_t)(strstr(stream, "vvvv") - stream);
        for (size_t first = 1; first <= length; first++) {
            if (first == begins + 5) first = begins + size - 5; /* one 'v' is like another */
            check_pieces(stream, length, first, length, apart, &usual, expected);
            if (first % 8 == 0) check_pieces(stream, length, first, 1000, apart, &usual, expected);
        }
        check_pieces(stream, length, 7, 7, apart, &usual, expected);
    }
    free(expected);
    free(value);
    free(stream);
}

static void a_declined_bulk_is_parsed_in_line_and_the_next_one_asked_about(void **state) {
    (void)state;
    const size_t size = 17000;
    size_t length, consumed;
    char *stream = array_of((const char *[]){"MSET", NULL, NULL}, (size_t[]){4, size, size}, 3, &length);
    struct request_parser parser;
    size_t first = (size_t)(strstr(stream, "vvvv") - stream);
    request_parser_init(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, first + 10, &consumed), REQUEST_WANTS_BULK);
    request_decline_bulk(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, first + 10, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, stream, first + size + 1, &consumed), REQUEST_PARTIAL);
    assert_int_equal(request_parse(&parser, &usual, stream, length - 1, &consumed), REQUEST_WANTS_BULK);
    request_decline_bulk(&parser);
    assert_int_equal(request_parse(&parser, &usual, stream, length, &consumed), REQUEST_READY);
    assert_ptr_equal(parser.arguments[1].data, stream + first);
    assert_int_equal(parser.arguments[2].length, size);
    request_parser_free(&parser);
    free(stream);
}

/* Streams of small and large arguments in random pieces; what comes out is what went in. */
static void random_streams_come_out_whole(void **state) {
    (void)state;
    uint64_t random = seed_take();
    for (int round = 0; round < SCALED(300, 60); round++) {
        struct transcript stream = {0}, expected = {0};
        for (uint64_t requests = 1 + random_below(&random, 4); requests > 0; requests--) {
            const char *arguments[6] = {NULL};
            size_t lengths[6], count = 1 + (size_t)random_below(&random, 6), length;
            for (size_t i = 0; i < count; i++)
                lengths[i] = random_below(&random, 3) == 0 ? 16380 + (size_t)random_below(&random, 9000)
                                                           : (size_t)random_below(&random, 30);
            char *bytes = array_of(arguments, lengths, count, &length);
            transcript_add(&stream, bytes, length);
            size_t consumed;
            struct request_parser parser;
            request_parser_init(&parser);
            assert_int_equal(request_parse(&parser, &usual, bytes, length, &consumed), REQUEST_READY);
            assert_int_equal(parser.count, count);
            for (size_t i = 0; i < count; i++) assert_int_equal(parser.arguments[i].length, lengths[i]);
            transcript_add_request(&expected, &parser);
            request_parser_free(&parser);
            free(bytes);
        }
        size_t piece = 1 + (size_t)random_below(&random, random_below(&random, 2) == 0 ? 50 : 20000);
        size_t first = 1 + (size_t)random_below(&random, stream.length);
        check_pieces(stream.text, stream.length, first, piece, random_below(&random, 2) == 0, &usual,
                     expected.text);
        free(stream.text);
        free(expected.text);
    }
}

/* ------------------------------------------------------------------ owners */

static int owners[3]; /* how often each was released */

static void count_release(void *owner) {
    ++*(int *)owner;
}

/* Parses "MSET <v> <v> <v>" with all three apart, up to where `arrived` of them are complete and half of
 * the next is there. */
static void parse_apart(struct request_parser *parser, char *memory, size_t size, int arrived) {
    size_t length, held = 0, consumed = 0;
    char *stream =
        array_of((const char *[]){"MSET", NULL, NULL, NULL}, (size_t[]){4, size, size, size}, 4, &length);
    request_parser_init(parser);
    memset(owners, 0, sizeof owners);
    const char *tail = strstr(stream, "\r\n$16384") + 2;
    held = (size_t)(tail - stream);
    for (int i = 0;; i++) {
        size_t head = (size_t)(strchr(tail, 'v') - tail), missing;
        held += head;
        assert_int_equal(request_parse(parser, &usual, stream, held, &consumed), REQUEST_WANTS_BULK);
        request_receive_bulk(parser, memory, size, &owners[i], stream, &held);
        request_bulk_space(parser, &missing);
        request_bulk_received(parser, i == arrived ? missing / 2 : missing);
        if (i == arrived) break;
        memmove(stream + held, stream + held + size,
                length - held - size); /* as if it had never been there */
        held += 2;
        tail = stream + held;
        if (i == 2) break;
    }
    enum request_status status = request_parse(parser, &usual, stream, held, &consumed);
    assert_int_equal(status, arrived == 3 ? REQUEST_READY : REQUEST_IN_BULK);
    free(stream);
}

static void every_owner_is_released_once(void **state) {
    (void)state;
    const size_t size = REQUEST_BULK_APART;
    char *memory = calloc(1, size + 1);
    struct request_parser parser;
    for (int arrived = 0; arrived <= 3; arrived++) {
        parse_apart(&parser, memory, size, arrived);
        for (int round = 0; round < 2; round++) {
            request_owners(&parser, count_release);
            for (int i = 0; i < 3; i++) assert_int_equal(owners[i], i <= arrived);
        }
        for (uint32_t i = 0; i < parser.count; i++) assert_null(parser.arguments[i].owner);
        request_parser_free(&parser);
    }
    free(memory);
}

static void an_argument_in_line_has_nobody_to_release(void **state) {
    (void)state;
    struct request_parser parser;
    char stream[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    size_t consumed;
    request_parser_init(&parser);
    request_owners(&parser, count_release);
    assert_int_equal(parse_text(&parser, stream, &consumed), REQUEST_READY);
    request_owners(&parser, count_release); /* would write to NULL */
    assert_int_equal(parser.count, 2);
    request_parser_free(&parser);
    assert_null(parser.arguments);
    assert_int_equal(parser.capacity, 0);
}

/* ------------------------------------------------------------------ arguments from elsewhere */

static void adopted_arguments_are_those_of_a_request_that_is_ready(void **state) {
    (void)state;
    enum { COUNT = 20 };
    struct bulk arguments[COUNT];
    char bytes[COUNT], stream[] = "*1\r\n$1\r\na\r\n";
    struct request_parser parser;
    size_t consumed;
    for (size_t i = 0; i < COUNT; i++) arguments[i] = (struct bulk){&bytes[i], 1, NULL};
    request_parser_init(&parser);
    for (uint32_t count = 1; count <= COUNT; count++) {
        assert_true(request_adopt(&parser, arguments + COUNT - count, count));
        assert_int_equal(parser.count, count);
        for (uint32_t i = 0; i < count; i++)
            assert_ptr_equal(parser.arguments[i].data, &bytes[COUNT - count + i]);
        assert_true(request_is_idle(&parser));
    }
    /* The next one begins anew. */
    assert_int_equal(parse_text(&parser, stream, &consumed), REQUEST_READY);
    assert_int_equal(parser.count, 1);
    assert_ptr_equal(parser.arguments[0].data, stream + 8);
    request_parser_free(&parser);
}

static void owners_of_adopted_arguments_are_released(void **state) {
    (void)state;
    int released = 0;
    char byte = 'b';
    struct request_parser parser;
    request_parser_init(&parser);
    assert_true(request_adopt(&parser, (struct bulk[]){{&byte, 1, NULL}, {&byte, 1, &released}}, 2));
    request_owners(&parser, count_release);
    request_owners(&parser, count_release);
    assert_int_equal(released, 1);
    request_parser_free(&parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_point_into_the_memory_given),
        cmocka_unit_test(requests_are_the_same_wherever_they_are_cut),
        cmocka_unit_test(any_byte_may_be_in_an_argument),
        cmocka_unit_test(requests_in_a_row_are_given_one_at_a_time),
        cmocka_unit_test(an_empty_request_is_ready_and_has_no_arguments),
        cmocka_unit_test(any_byte_may_stand_for_a_line_feed),
        cmocka_unit_test(no_bytes_are_a_partial_request),
        cmocka_unit_test(a_parser_is_idle_only_between_requests),
        cmocka_unit_test(memory_grows_with_arguments_not_with_their_announced_count),
        cmocka_unit_test(the_array_of_arguments_is_used_again),
        cmocka_unit_test(no_byte_of_a_line_is_looked_at_twice),
        cmocka_unit_test(inline_requests_are_split_at_blanks_and_quotes),
        cmocka_unit_test(a_nul_is_a_byte_like_any_other),
        cmocka_unit_test(unbalanced_quotes_are_an_error),
        cmocka_unit_test(a_line_of_nothing_but_words_has_room_for_them_all),
        cmocka_unit_test(splitting_counts_words_beyond_those_it_has_room_for),
        cmocka_unit_test(malformed_arrays_get_the_errors_of_redis),
        cmocka_unit_test(a_wrong_kind_is_told_only_when_its_line_has_ended),
        cmocka_unit_test(a_line_above_64_kilobytes_is_an_error),
        cmocka_unit_test(a_line_of_64_kilobytes_is_not),
        cmocka_unit_test(a_bulk_may_be_as_long_as_configured),
        cmocka_unit_test(who_is_not_authenticated_may_send_ten_arguments),
        cmocka_unit_test(who_is_not_authenticated_may_send_bulks_of_16384_bytes),
        cmocka_unit_test(limits_are_those_of_the_moment),
        cmocka_unit_test(only_a_large_unfinished_bulk_is_wanted_apart),
        cmocka_unit_test(what_came_of_a_bulk_moves_to_its_own_memory),
        cmocka_unit_test(a_bulk_may_get_its_memory_as_it_comes),
        cmocka_unit_test(a_bulk_that_lacks_only_its_line_end_is_cut_out_whole),
        cmocka_unit_test(large_requests_are_the_same_wherever_they_are_cut),
        cmocka_unit_test(a_declined_bulk_is_parsed_in_line_and_the_next_one_asked_about),
        cmocka_unit_test(random_streams_come_out_whole),
        cmocka_unit_test(every_owner_is_released_once),
        cmocka_unit_test(an_argument_in_line_has_nobody_to_release),
        cmocka_unit_test(adopted_arguments_are_those_of_a_request_that_is_ready),
        cmocka_unit_test(owners_of_adopted_arguments_are_released),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
