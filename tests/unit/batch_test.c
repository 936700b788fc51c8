/* resp/batch.c: the short way finds what the request parser would find, up to the first request that isn't
 * whole, plain and small; and a request of a batch can be handed to the parser. */
#include "tests/engine.h"

#include "resp/batch.h"

static const struct request_limits usual = {.bulk_length = 512 * 1024 * 1024, .is_authenticated = true};

static struct batch batch;

/* From memory not one byte longer than the stream. */
static char *parse(const char *stream, size_t length) {
    char *memory = malloc(length == 0 ? 1 : length);
    assert_non_null(memory);
    if (length > 0) memcpy(memory, stream, length);
    batch_parse(&batch, memory, length, BATCH_REQUESTS);
    return memory;
}

static void check_count(const char *stream, size_t length, uint32_t count) {
    free(parse(stream, length));
    assert_int_equal(batch.count, count);
}

static void check_text(const char *stream, uint32_t count) {
    check_count(stream, strlen(stream), count);
}

/* The parser finds every request of the batch, with the same arguments at the same places. */
static void check_against_parser(char *memory, size_t length) {
    struct request_parser parser;
    size_t at = 0;
    request_parser_init(&parser);
    for (uint32_t i = 0; i < batch.count; i++) {
        size_t consumed = 0;
        assert_int_equal(request_parse(&parser, &usual, memory + at, length - at, &consumed), REQUEST_READY);
        assert_int_equal(batch.requests[i].bytes, consumed);
        assert_int_equal(batch.requests[i].count, parser.count);
        for (uint32_t j = 0; j < parser.count; j++) {
            const struct bulk *argument = &batch.arguments[batch.requests[i].first + j];
            assert_ptr_equal(argument->data, parser.arguments[j].data);
            assert_int_equal(argument->length, parser.arguments[j].length);
            assert_null(argument->owner);
        }
        at += consumed;
    }
    request_parser_free(&parser);
}

static void whole_requests_are_found_in_one_pass(void **state) {
    (void)state;
    static const char stream[] =
        "*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n\r\n$3\r\n*1\r\nab\r\n"
        "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    char *memory = parse(stream, sizeof stream - 1);
    assert_int_equal(batch.count, 3);
    check_against_parser(memory, sizeof stream - 1);
    free(memory);
}

static void an_unfinished_request_ends_the_batch_before_it(void **state) {
    (void)state;
    static const char stream[] = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n";
    const size_t first = 14, all = sizeof stream - 1;
    for (size_t length = 0; length <= all; length++)
        check_count(stream, length, length < first ? 0 : length < all ? 1 : 2);
}

static void what_is_not_plain_is_left_to_the_parser(void **state) {
    (void)state;
    static const char *const streams[] = {
        "PING\r\n",
        "\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*01\r\n$4\r\nPING\r\n",
        "*a\r\n$4\r\nPING\r\n",
        "*\r\n$4\r\nPING\r\n",
        "*1\rX$4\r\nPING\r\n",
        "*1\r\n$4\rXPING\r\n",
        "*1\r\n:4\r\nPING\r\n",
        "*1\r\n$-1\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$\r\nPING\r\n",
        "*1\r\n$4 \r\nPING\r\n",
        "*1a\r\n$4\r\nPING\r\n",
        "*1\r\n$000004\r\nPING\r\n",
        "*1\r\n$100000\r\nPING\r\n",
        "*4294967297\r\n$4\r\nPING\r\n",
        "*1\r\n$4294967300\r\nPING\r\n",
    };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        char both[128];
        check_text(streams[i], 0);
        snprintf(both, sizeof both, "*1\r\n$4\r\nPING\r\n%s*1\r\n$4\r\nPING\r\n", streams[i]);
        check_text(both, 1);
    }
}

static void a_bulk_worth_memory_of_its_own_is_left_to_the_parser(void **state) {
    (void)state;
    char *stream = malloc(REQUEST_BULK_APART + 64);
    for (size_t size = REQUEST_BULK_APART - 1; size <= REQUEST_BULK_APART; size++) {
        size_t head = (size_t)sprintf(stream, "*1\r\n$%zu\r\n", size);
        memset(stream + head, 'v', size);
        memcpy(stream + head + size, "\r\n", 2);
        check_count(stream, head + size + 2, size < REQUEST_BULK_APART);
    }
    free(stream);
}

static void a_batch_has_room_for_so_many_requests(void **state) {
    (void)state;
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    enum { LENGTH = sizeof ping - 1, MANY = BATCH_REQUESTS + 5 };
    char stream[LENGTH * MANY];
    for (size_t i = 0; i < MANY; i++) memcpy(stream + i * LENGTH, ping, LENGTH);
    check_count(stream, LENGTH * BATCH_REQUESTS, BATCH_REQUESTS);
    check_count(stream, sizeof stream, BATCH_REQUESTS);
}

/* One request more than fits into the rest waits for the next batch; one that never fits, for the parser. */
static void a_batch_has_room_for_so_many_arguments(void **state) {
    (void)state;
    char *stream = malloc(2 * (BATCH_ARGUMENTS + 1) * 7 + 64);
    for (size_t first = BATCH_ARGUMENTS - 2; first <= BATCH_ARGUMENTS + 1; first++) {
        char *at = stream + sprintf(stream, "*%zu\r\n", first);
        for (size_t i = 0; i < first; i++) at += sprintf(at, "$1\r\na\r\n");
        at += sprintf(at, "*1\r\n$1\r\na\r\n");
        uint32_t expected = first < BATCH_ARGUMENTS ? 2 : first == BATCH_ARGUMENTS ? 1 : 0;
        check_count(stream, (size_t)(at - stream), expected);
    }
    free(stream);
}

static void a_request_can_be_kept_beyond_its_batch(void **state) {
    (void)state;
    static const char stream[] = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    struct request_parser parser;
    request_parser_init(&parser);
    char *memory = parse(stream, sizeof stream - 1);
    assert_true(batch_hand_over(&batch, 1, &parser));
    memset(&batch, 0, sizeof batch);
    assert_int_equal(parser.count, 2);
    assert_int_equal(parser.arguments[0].length, 3);
    assert_memory_equal(parser.arguments[0].data, "GET", 3);
    assert_memory_equal(parser.arguments[1].data, "k", 1);
    assert_true(request_is_idle(&parser));
    request_parser_free(&parser);
    free(memory);
}

/* Mutations of a good stream: whatever the batch takes, the parser takes as well. */
static void random_streams_are_read_as_the_parser_reads_them(void **state) {
    (void)state;
    static const char good[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\n$1\r\n*1\r\nabcd\r\n*1\r\n$"
                               "4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    static const char letters[] = "*$:0123456789\r\n\r\n- a";
    uint64_t random = seed_take(), found = 0;
    for (int round = 0; round < SCALED(200000, 20000); round++) {
        char stream[sizeof good];
        memcpy(stream, good, sizeof good);
        for (uint64_t changes = random_below(&random, 3); changes > 0; changes--)
            stream[random_below(&random, sizeof good - 1)] =
                letters[random_below(&random, sizeof letters - 1)];
        size_t length = (size_t)random_below(&random, sizeof good);
        char *memory = parse(stream, length);
        check_against_parser(memory, length);
        found += batch.count;
        free(memory);
    }
    assert_true(found > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_requests_are_found_in_one_pass),
        cmocka_unit_test(an_unfinished_request_ends_the_batch_before_it),
        cmocka_unit_test(what_is_not_plain_is_left_to_the_parser),
        cmocka_unit_test(a_bulk_worth_memory_of_its_own_is_left_to_the_parser),
        cmocka_unit_test(a_batch_has_room_for_so_many_requests),
        cmocka_unit_test(a_batch_has_room_for_so_many_arguments),
        cmocka_unit_test(a_request_can_be_kept_beyond_its_batch),
        cmocka_unit_test(random_streams_are_read_as_the_parser_reads_them),
    };
    end_if_it_hangs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
