/* resp/reply.c: every kind of reply is written as Redis writes it, in RESP2 and in RESP3; a header can be
 * put before what follows it, with references staying at their places; every reference is released once,
 * whatever becomes of the reply; and running out of memory breaks it for good. */
#include "tests/engine.h"

#include <float.h>
#include <math.h>

#include "resp/reply.h"

#if IS_SANITIZED_BUILD
/* A sanitizer would end the program where the allocator answers NULL. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}
#endif

static void count_release(void *owner) {
    ++*(int *)owner;
}

/* What a client would get, with referenced bytes where they belong. */
static char *sent(const struct reply *reply) {
    char *text = malloc(reply->length + reply->referenced_bytes + 1), *at = text;
    size_t from = 0, referenced = 0;
    assert_non_null(text);
    for (uint32_t i = 0; i < reply->reference_count; i++) {
        const struct reply_reference *reference = &reply->references[i];
        assert_true(reference->offset >= from && reference->offset <= reply->length);
        memcpy(at, reply->data + from, reference->offset - from);
        at += reference->offset - from;
        memcpy(at, reference->data, reference->length);
        at += reference->length;
        from = reference->offset;
        referenced += reference->length;
    }
    assert_int_equal(referenced, reply->referenced_bytes);
    if (reply->length > from) memcpy(at, reply->data + from, reply->length - from);
    at[reply->length - from] = '\0';
    return text;
}

static void check_sent(const struct reply *reply, const char *expected) {
    char *text = sent(reply);
    assert_string_equal(text, expected);
    free(text);
}

/* Compares what was written with the form of the reply's protocol, and begins anew. */
static void check(struct reply *reply, const char *resp2, const char *resp3) {
    assert_false(reply->is_broken);
    check_sent(reply, reply->protocol == 2 ? resp2 : resp3);
    reply_clear(reply, SIZE_MAX);
}

static void check_both(struct reply *reply, const char *expected) {
    check(reply, expected, expected);
}

/* ------------------------------------------------------------------ kinds */

static void check_simple_kinds(int protocol) {
    struct reply reply;
    reply_init(&reply, protocol);
    reply_ok(&reply);
    check_both(&reply, "+OK\r\n");
    reply_status(&reply, "QUEUED");
    check_both(&reply, "+QUEUED\r\n");
    reply_integer(&reply, 0);
    reply_integer(&reply, -1);
    reply_integer(&reply, INT64_MAX);
    reply_integer(&reply, INT64_MIN);
    check_both(&reply, ":0\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n");
    reply_bulk(&reply, "a\r\nb", 4);
    reply_bulk(&reply, NULL, 0);
    check_both(&reply, "$4\r\na\r\nb\r\n$0\r\n\r\n");
    reply_bulk_text(&reply, "text");
    reply_bulk_text(&reply, "");
    check_both(&reply, "$4\r\ntext\r\n$0\r\n\r\n");
    reply_bulk_integer(&reply, 1234567890);
    reply_bulk_integer(&reply, INT64_MIN);
    check_both(&reply, "$10\r\n1234567890\r\n$20\r\n-9223372036854775808\r\n");
    reply_bulk_format(&reply, "%s=%d", "x", 7);
    check_both(&reply, "$3\r\nx=7\r\n");
    reply_raw(&reply, "+RAW\r\n", 6);
    reply_raw(&reply, NULL, 0);
    check_both(&reply, "+RAW\r\n");
    reply_null(&reply);
    check(&reply, "$-1\r\n", "_\r\n");
    reply_null_array(&reply);
    check(&reply, "*-1\r\n", "_\r\n");
    reply_boolean(&reply, true);
    reply_boolean(&reply, false);
    check(&reply, ":1\r\n:0\r\n", "#t\r\n#f\r\n");
    reply_double(&reply, -1.5);
    check(&reply, "$4\r\n-1.5\r\n", ",-1.5\r\n");
    reply_verbatim(&reply, "txt", "Some\ntext", 9);
    check(&reply, "$9\r\nSome\ntext\r\n", "=13\r\ntxt:Some\ntext\r\n");
    reply_verbatim(&reply, "mkd", "", 0);
    check(&reply, "$0\r\n\r\n", "=4\r\nmkd:\r\n");
    reply_big_number(&reply, "-12345678901234567890", 21);
    check(&reply, "$21\r\n-12345678901234567890\r\n", "(-12345678901234567890\r\n");
    reply_free(&reply);
}

static void simple_kinds_have_their_form_in_resp2(void **state) {
    (void)state;
    check_simple_kinds(2);
}

static void simple_kinds_have_their_form_in_resp3(void **state) {
    (void)state;
    check_simple_kinds(3);
}

static void aggregates_are_arrays_in_resp2_and_have_kinds_in_resp3(void **state) {
    (void)state;
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct reply reply;
        reply_init(&reply, protocol);
        reply_array(&reply, 3);
        check_both(&reply, "*3\r\n");
        reply_map(&reply, 2);
        reply_map(&reply, 0);
        check(&reply, "*4\r\n*0\r\n", "%2\r\n%0\r\n");
        reply_set(&reply, 5);
        check(&reply, "*5\r\n", "~5\r\n");
        reply_push(&reply, 3);
        check(&reply, "*3\r\n", ">3\r\n");
        if (protocol == 3) {
            reply_attribute(&reply, 1);
            check_both(&reply, "|1\r\n");
        }
        reply_free(&reply);
    }
}

/* ------------------------------------------------------------------ doubles */

static void check_double(double value, const char *expected) {
    char wanted[64];
    struct reply reply;
    reply_init(&reply, 3);
    reply_double(&reply, value);
    snprintf(wanted, sizeof wanted, ",%s\r\n", expected);
    check_sent(&reply, wanted);
    reply_free(&reply);
}

static void doubles_are_written_as_redis_writes_them(void **state) {
    (void)state;
    check_double(0, "0");
    check_double(-0.0, "-0");
    check_double(HUGE_VAL, "inf");
    check_double(-HUGE_VAL, "-inf");
    check_double(NAN, "nan");
    check_double(-NAN, "nan");
    check_double(1, "1");
    check_double(-7, "-7");
    check_double(0.1, "0.1");
    check_double(0.1 + 0.2, "0.30000000000000004");
    check_double(3.141, "3.141");
    check_double(-2.5, "-2.5");
    check_double(1.0 / 3, "0.3333333333333333");
    check_double(100.25, "100.25");
}

/* Integers that need no exponent up to 2^62; above, zeros only while they are few. */
static void large_doubles_get_an_exponent_late(void **state) {
    (void)state;
    check_double(1e15, "1000000000000000");
    check_double(1e18, "1000000000000000000");
    check_double(0x1p62, "4611686018427387904");
    check_double(-0x1p62, "-4611686018427387904");
    check_double(0x1p63, "9223372036854776000");
    check_double(1e19, "1e+19");
    check_double(1e20, "1e+20");
    check_double(-1e20, "-1e+20");
    check_double(1.5e300, "1.5e+300");
    check_double(123456789012345678901.0, "123456789012345680000");
    check_double(DBL_MAX, "1.7976931348623157e+308");
}

static void small_doubles_get_an_exponent_late(void **state) {
    (void)state;
    check_double(0.01, "0.01");
    check_double(0.001, "0.001");
    check_double(0.000001, "0.000001");
    check_double(0.000012, "0.000012");
    check_double(0.0000001, "1e-7");
    check_double(0.0001234, "1.234e-4");
    check_double(-0.0001234, "-1.234e-4");
    check_double(0.00123456789, "0.00123456789");
    check_double(1234.5678901, "1234.5678901");
    check_double(12345.678901, "12345.678901");
    check_double(12345.6789012, "1.23456789012e+4");
    check_double(1e-100, "1e-100");
    check_double(DBL_MIN, "2.2250738585072014e-308");
    check_double(5e-324, "5e-324");
    check_double(1.5e-323, "1.5e-323");
}

static void doubles_read_back_the_same_and_no_digit_could_be_spared(void **state) {
    (void)state;
    uint64_t random = seed_take();
    struct reply reply;
    reply_init(&reply, 2);
    for (int round = 0; round < SCALED(200000, 20000); round++) {
        uint64_t bits = random_next(&random);
        double value;
        if (round % 2 == 0)
            memcpy(&value, &bits, sizeof value);
        else
            value = (double)(int64_t)bits / (double)(UINT64_C(1) << random_below(&random, 64));
        if (!isfinite(value) || value == 0) continue;
        reply_clear(&reply, SIZE_MAX);
        reply_double(&reply, value);
        size_t length = reply.length;
        reply.data[length - 2] = '\0';
        const char *text = strchr(reply.data, '\n') + 1;
        assert_int_equal(strtoul(reply.data + 1, NULL, 10), strlen(text));
        assert_true(strtod(text, NULL) == value);
        int digits = 0, zeros = 0;
        for (const char *at = text; *at != '\0' && *at != 'e'; at++) {
            if (*at < '0' || *at > '9' || (digits == 0 && *at == '0')) continue;
            digits++;
            zeros = *at == '0' ? zeros + 1 : 0;
        }
        digits -= zeros;
        /* An integer has them all. */
        if (digits == 1 || (fabs(value) <= 0x1p62 && value == floor(value))) continue;
        char shorter[40];
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
        assert_true(strtod(shorter, NULL) != value);
    }
    reply_free(&reply);
}

/* ------------------------------------------------------------------ the buffer */

static void a_reply_grows_with_what_is_written(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    struct reply reply;
    reply_init(&reply, 2);
    for (int i = 0; i < COUNT; i++) reply_integer(&reply, i);
    const char *at = reply.data;
    for (int i = 0; i < COUNT; i++) {
        char line[16];
        size_t length = (size_t)snprintf(line, sizeof line, ":%d\r\n", i);
        assert_memory_equal(at, line, length);
        at += length;
    }
    assert_ptr_equal(at, reply.data + reply.length);
    reply_free(&reply);
    assert_null(reply.data);
    assert_int_equal(reply.capacity, 0);
    assert_int_equal(reply.protocol, 2);
}

static void clearing_keeps_a_buffer_that_is_small_enough(void **state) {
    (void)state;
    struct reply reply;
    reply_init(&reply, 2);
    reply_ok(&reply);
    const char *data = reply.data;
    size_t capacity = reply.capacity;
    reply_clear(&reply, capacity);
    assert_ptr_equal(reply.data, data);
    assert_int_equal(reply.length, 0);
    reply_ok(&reply);
    check_sent(&reply, "+OK\r\n");
    reply_clear(&reply, capacity - 1);
    assert_null(reply.data);
    assert_int_equal(reply.capacity, 0);
    reply_ok(&reply);
    check_sent(&reply, "+OK\r\n");
    reply_free(&reply);
}

static void a_command_that_begins_again_leaves_no_trace(void **state) {
    (void)state;
    int before = 0, after = 0;
    struct reply reply;
    reply_init(&reply, 2);
    reply_bulk_reference(&reply, "before", 6, &before, count_release);
    size_t mark = reply_mark(&reply);
    reply_integer(&reply, 1);
    reply_bulk_reference(&reply, "after", 5, &after, count_release);
    reply_bulk_reference(&reply, "again", 5, &after, count_release);
    reply_truncate(&reply, mark);
    assert_int_equal(before, 0);
    assert_int_equal(after, 2);
    reply_bulk_reference(&reply, "anew", 4, &after, count_release);
    check_sent(&reply, "$6\r\nbefore\r\n$4\r\nanew\r\n");
    /* One that begins right behind the mark goes as well. */
    reply_truncate(&reply, mark);
    assert_int_equal(after, 3);
    reply_truncate(&reply, 0);
    assert_int_equal(before, 1);
    assert_int_equal(reply.length, 0);
    assert_int_equal(reply.referenced_bytes, 0);
    reply_free(&reply);
    assert_int_equal(before, 1);
}

/* ------------------------------------------------------------------ references */

static void a_reference_is_sent_where_it_was_written(void **state) {
    (void)state;
    int released = 0;
    struct reply reply;
    reply_init(&reply, 2);
    reply_array(&reply, 3);
    reply_bulk_reference(&reply, "one", 3, &released, count_release);
    reply_integer(&reply, 2);
    reply_bulk_reference(&reply, "three", 5, &released, count_release);
    assert_int_equal(reply.reference_count, 2);
    assert_int_equal(reply.referenced_bytes, 8);
    check_sent(&reply, "*3\r\n$3\r\none\r\n:2\r\n$5\r\nthree\r\n");
    assert_int_equal(released, 0);
    reply_free(&reply);
    assert_int_equal(released, 2);
}

static void clearing_and_freeing_release_every_reference_once(void **state) {
    (void)state;
    enum { COUNT = 50 };
    int released[COUNT] = {0};
    struct reply reply;
    reply_init(&reply, 3);
    for (int i = 0; i < COUNT; i++) reply_bulk_reference(&reply, "value", 5, &released[i], count_release);
    reply_clear(&reply, 0);
    for (int i = 0; i < COUNT; i++) assert_int_equal(released[i], 1);
    assert_int_equal(reply.reference_count, 0);
    assert_int_equal(reply.referenced_bytes, 0);
    for (int i = 0; i < COUNT; i++) reply_bulk_reference(&reply, "value", 5, &released[i], count_release);
    reply_free(&reply);
    reply_free(&reply);
    for (int i = 0; i < COUNT; i++) assert_int_equal(released[i], 2);
}

/* ------------------------------------------------------------------ deferral */

static void a_header_is_put_before_what_was_written(void **state) {
    (void)state;
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct reply reply;
        reply_init(&reply, protocol);
        reply_ok(&reply);
        size_t mark = reply_defer(&reply);
        reply_bulk_text(&reply, "a");
        reply_bulk_text(&reply, "b");
        reply_defer_array(&reply, mark, 2);
        reply_integer(&reply, 9);
        check_both(&reply, "+OK\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n:9\r\n");
        mark = reply_defer(&reply);
        reply_bulk_text(&reply, "a");
        reply_integer(&reply, 1);
        reply_defer_map(&reply, mark, 1);
        check(&reply, "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n");
        mark = reply_defer(&reply);
        reply_integer(&reply, 1);
        reply_defer_set(&reply, mark, 1);
        check(&reply, "*1\r\n:1\r\n", "~1\r\n:1\r\n");
        reply_defer_array(&reply, reply_defer(&reply), 0);
        check_both(&reply, "*0\r\n");
        reply_free(&reply);
    }
}

static void deferred_headers_nest(void **state) {
    (void)state;
    struct reply reply;
    reply_init(&reply, 3);
    size_t outer = reply_defer(&reply);
    for (int i = 0; i < 2; i++) {
        size_t inner = reply_defer(&reply);
        for (int j = 0; j <= i; j++) reply_integer(&reply, j);
        reply_defer_set(&reply, inner, (size_t)i + 1);
    }
    reply_defer_array(&reply, outer, 2);
    check_sent(&reply, "*2\r\n~1\r\n:0\r\n~2\r\n:0\r\n:1\r\n");
    reply_free(&reply);
}

static void references_move_with_a_deferred_header(void **state) {
    (void)state;
    int released = 0;
    struct reply reply;
    reply_init(&reply, 2);
    reply_bulk_reference(&reply, "zero", 4, &released, count_release);
    size_t outer = reply_defer(&reply);
    reply_bulk_reference(&reply, "one", 3, &released, count_release);
    size_t inner = reply_defer(&reply);
    for (int i = 0; i < 12; i++) reply_bulk_reference(&reply, "x", 1, &released, count_release);
    reply_defer_array(&reply, inner, 12);
    reply_defer_map(&reply, outer, 1);
    reply_bulk_reference(&reply, "two", 3, &released, count_release);
    check_sent(&reply, "$4\r\nzero\r\n*2\r\n$3\r\none\r\n*12\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$"
                       "1\r\nx\r\n$1\r\nx\r\n"
                       "$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\nx\r\n$"
                       "1\r\nx\r\n$3\r\ntwo\r\n");
    reply_free(&reply);
    assert_int_equal(released, 15);
}

/* Headers are put in when the buffer is exactly full, too. */
static void deferral_works_at_every_fill_of_the_buffer(void **state) {
    (void)state;
    for (size_t filling = 900; filling < 1100; filling++) {
        char *bytes = malloc(filling);
        struct reply reply;
        memset(bytes, 'f', filling);
        reply_init(&reply, 2);
        size_t mark = reply_defer(&reply);
        reply_raw(&reply, bytes, filling);
        reply_defer_array(&reply, mark, 1234567);
        assert_memory_equal(reply.data, "*1234567\r\n", 10);
        assert_memory_equal(reply.data + 10, bytes, filling);
        assert_int_equal(reply.length, filling + 10);
        reply_free(&reply);
        free(bytes);
    }
}

/* ------------------------------------------------------------------ errors */

static void line_breaks_in_an_error_become_blanks(void **state) {
    (void)state;
    struct reply reply;
    reply_init(&reply, 2);
    reply_error(&reply, "ERR no such\r\nthing '\n'");
    check_sent(&reply, "-ERR no such  thing ' '\r\n");
    reply_clear(&reply, SIZE_MAX);
    reply_error_format(&reply, "WRONGTYPE %s is %d", "a\rb", 5);
    check_sent(&reply, "-WRONGTYPE a b is 5\r\n");
    reply_clear(&reply, SIZE_MAX);
    reply_error_format(&reply, "ERR Unsupported option %s", "\nx\r\n");
    check_sent(&reply, "-ERR Unsupported option  x\r\n");
    reply_free(&reply);
}

static void errors_are_counted_with_the_code_of_the_last(void **state) {
    (void)state;
    struct reply reply;
    reply_init(&reply, 3);
    assert_int_equal(reply.error_count, 0);
    assert_string_equal(reply.error_code, "");
    reply_error(&reply, "WRONGTYPE Operation");
    assert_int_equal(reply.error_count, 1);
    assert_string_equal(reply.error_code, "WRONGTYPE");
    reply_error_format(&reply, "%s busy", "BUSY");
    reply_ok(&reply);
    assert_int_equal(reply.error_count, 2);
    assert_string_equal(reply.error_code, "BUSY");
    reply_clear(&reply, 0);
    assert_int_equal(reply.error_count, 2);
    reply_errors_clear(&reply);
    assert_int_equal(reply.error_count, 0);
    assert_string_equal(reply.error_code, "");
    reply_free(&reply);
}

/* Anybody's text can become a code by a script: it has to end within 31 bytes, or else isn't one. */
static void an_error_without_a_code_counts_as_err(void **state) {
    (void)state;
    static const struct {
        const char *text, *code;
    } cases[] = {
        {"WHAT", "ERR"},
        {"", "ERR"},
        {"012345678901234567890123456789 x", "012345678901234567890123456789"},
        {"0123456789012345678901234567890 x", "ERR"},
    };
    struct reply reply;
    reply_init(&reply, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply_errors_clear(&reply);
        reply_error(&reply, cases[i].text);
        assert_string_equal(reply.error_code, cases[i].code);
        assert_int_equal(reply.error_count, 1);
    }
    reply_free(&reply);
}

/* ------------------------------------------------------------------ no memory */

/* Everything that can be written. */
static void write_every_kind(struct reply *reply) {
    reply_ok(reply);
    reply_status(reply, "status");
    reply_integer(reply, 1);
    reply_bulk(reply, "bulk", 4);
    reply_bulk_integer(reply, 1);
    reply_bulk_format(reply, "%d", 1);
    reply_null(reply);
    reply_boolean(reply, true);
    reply_double(reply, 1.5);
    reply_verbatim(reply, "txt", "text", 4);
    reply_big_number(reply, "1", 1);
    reply_map(reply, 1);
    reply_defer_array(reply, reply_defer(reply), 1);
    reply_defer_map(reply, 0, 1);
    reply_defer_set(reply, 0, 1);
    reply_error(reply, "ERR error");
    reply_error_format(reply, "ERR %d", 1);
    reply_raw(reply, "raw", 3);
}

static void check_broken(size_t too_much) {
    int held = 0, refused = 0;
    struct reply reply;
    reply_init(&reply, 3);
    reply_bulk_reference(&reply, "value", 5, &held, count_release);
    size_t length = reply.length;
    reply_bulk(&reply, "only its address is looked at", too_much);
    assert_true(reply.is_broken);
    write_every_kind(&reply);
    reply_bulk_reference(&reply, "value", 5, &refused, count_release);
    assert_int_equal(refused, 1); /* taken over and given up at once */
    assert_int_equal(held, 0);
    assert_int_equal(reply.length, length);
    assert_int_equal(reply.reference_count, 1);
    assert_int_equal(reply.error_count, 2); /* they happened, whether the client sees them or not */
    reply_clear(&reply, SIZE_MAX);
    assert_int_equal(held, 1);
    assert_false(reply.is_broken);
    reply_ok(&reply);
    check_sent(&reply, "+OK\r\n");
    reply_free(&reply);
}

static void a_reply_without_memory_is_broken_until_it_is_cleared(void **state) {
    (void)state;
    check_broken(SIZE_MAX / 16); /* no allocator has that */
    check_broken(PTRDIFF_MAX);   /* and this can't be asked for */
}

/* ------------------------------------------------------------------ looking back */

static void release_nothing(void *owner) {
    (void)owner;
}

static void one_whole_value_is_told_from_none_a_part_and_two(void **state) {
    static const struct {
        const char *text;
        bool is_one;
    } cases[] = {
        {"", false},
        {"+OK\r\n", true},
        {"+OK", false},
        {"+OK\r\n:1\r\n", false},
        {"$-1\r\n", true},
        {"$3\r\na\r\n\r\n", true},
        {"$3\r\nab\r\n", false},
        {"*0\r\n", true},
        {"*-1\r\n", true},
        {"*2\r\n:1\r\n", false},
        {"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", true},
        {"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n_\r\n", false},
        {"%1\r\n+a\r\n~1\r\n#t\r\n", true},
        {"%1\r\n+a\r\n", false},
        {"|1\r\n+a\r\n,1.5\r\n(12\r\n", true},
        {"|1\r\n+a\r\n,1.5\r\n", false},
        {">1\r\n+a\r\n+OK\r\n", true},
        {"nonsense\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reply reply;
        reply_init(&reply, 3);
        reply_raw(&reply, "*7\r\n", 4); /* before the mark, whatever it is */
        size_t mark = reply_mark(&reply);
        reply_raw(&reply, cases[i].text, strlen(cases[i].text));
        if (reply_is_one(&reply, mark) != cases[i].is_one) fail_msg("%s", cases[i].text);
        reply_free(&reply);
    }
    struct reply reply;
    reply_init(&reply, 2);
    reply_bulk_reference(&reply, "before", 6, NULL, release_nothing);
    size_t mark = reply_mark(&reply);
    assert_false(reply_is_one(&reply, mark));
    reply_array(&reply, 2);
    reply_bulk_reference(&reply, "value", 5, NULL, release_nothing);
    assert_false(reply_is_one(&reply, mark));
    reply_bulk_reference(&reply, "", 0, NULL, release_nothing);
    assert_true(reply_is_one(&reply, mark));
    reply_bulk_reference(&reply, "more", 4, NULL, release_nothing);
    assert_false(reply_is_one(&reply, mark));
    reply_free(&reply);
}

static void a_reply_that_would_be_longer_than_it_may_is_over_and_takes_no_more_memory(void **state) {
    (void)state;
    struct reply reply;
    reply_init(&reply, 2);
    reply.most = 100000;
    char bytes[1000] = "";
    for (int i = 0; i < 1000000; i++) reply_bulk(&reply, bytes, sizeof bytes);
    assert_true(reply.is_over && reply.is_broken);
    assert_in_range(reply.length, 99000, 200000); /* what room there is by then is used */
    assert_in_range(reply.capacity, 0, 200000);
    reply_clear(&reply, 0);
    reply_ok(&reply);
    check_sent(&reply, "+OK\r\n");
    reply_free(&reply);
}

static void a_reply_is_as_long_as_its_client_may_be_owed(void **state) {
    const size_t long_one = ((size_t)1 << 30) + 100;
    struct reply reply;
    (void)state;
    reply_init(&reply, 2);
    reply.most = SIZE_MAX;
    assert_non_null(reply_bulk_space(&reply, long_one));
    assert_false(reply.is_broken);
    reply_free(&reply);
    reply.most = long_one;
    assert_null(reply_bulk_space(&reply, long_one));
    assert_true(reply.is_broken && reply.is_over);
    reply_free(&reply);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_kinds_have_their_form_in_resp2),
        cmocka_unit_test(simple_kinds_have_their_form_in_resp3),
        cmocka_unit_test(aggregates_are_arrays_in_resp2_and_have_kinds_in_resp3),
        cmocka_unit_test(doubles_are_written_as_redis_writes_them),
        cmocka_unit_test(large_doubles_get_an_exponent_late),
        cmocka_unit_test(small_doubles_get_an_exponent_late),
        cmocka_unit_test(doubles_read_back_the_same_and_no_digit_could_be_spared),
        cmocka_unit_test(a_reply_grows_with_what_is_written),
        cmocka_unit_test(clearing_keeps_a_buffer_that_is_small_enough),
        cmocka_unit_test(a_command_that_begins_again_leaves_no_trace),
        cmocka_unit_test(a_reference_is_sent_where_it_was_written),
        cmocka_unit_test(clearing_and_freeing_release_every_reference_once),
        cmocka_unit_test(a_header_is_put_before_what_was_written),
        cmocka_unit_test(deferred_headers_nest),
        cmocka_unit_test(references_move_with_a_deferred_header),
        cmocka_unit_test(deferral_works_at_every_fill_of_the_buffer),
        cmocka_unit_test(line_breaks_in_an_error_become_blanks),
        cmocka_unit_test(errors_are_counted_with_the_code_of_the_last),
        cmocka_unit_test(an_error_without_a_code_counts_as_err),
        cmocka_unit_test(a_reply_without_memory_is_broken_until_it_is_cleared),
        cmocka_unit_test(one_whole_value_is_told_from_none_a_part_and_two),
        cmocka_unit_test(a_reply_that_would_be_longer_than_it_may_is_over_and_takes_no_more_memory),
        cmocka_unit_test(a_reply_is_as_long_as_its_client_may_be_owed),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
