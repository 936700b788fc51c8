/* The protocol over a socket: how requests may be cut, piled up and misformed, and that bytes come back as
 * they went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/resp3.h"

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

static struct server *start(const char *const *further) {
    const char *options[16] = {"--threads", "2"};
    for (size_t i = 0; further != NULL && further[i] != NULL; i++) options[2 + i] = further[i];
    return server_start(options);
}

static void stop(struct server *server) {
    assert_int_equal(server_stop(server), 0);
}

/* A text that grows. */
struct text {
    char *data;
    size_t length;
    FILE *out;
};

static void text_begin(struct text *text) {
    text->out = open_memstream(&text->data, &text->length);
    assert_non_null(text->out);
}

/* From here on data and length are valid, and data is to be freed. */
static void text_end(struct text *text) {
    assert_int_equal(fclose(text->out), 0);
}

/* Bytes that look like nothing, the same ones for the same seed. */
static char *noise(size_t length, uint64_t seed) {
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    uint64_t state = seed * 0x9E3779B97F4A7C15U + 1;
    for (size_t i = 0; i < length; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (char)(state >> 32);
    }
    bytes[length] = '\0';
    return bytes;
}

/* ------------------------------------------------------------------ cuts */

/* What the server has received, as far as others than the one who asks sent it. */
struct meter {
    redisContext *connection;
    long received, own;
};

#define INFO_REQUEST_BYTES 14 /* *1 $4 INFO and their line ends */

static long meter_read(struct meter *meter) {
    meter->own += INFO_REQUEST_BYTES;
    return info_number(meter->connection, "total_net_input_bytes") - meter->own;
}

/* Sends a piece, and waits until the server has taken it: only then is the next one not glued to it. */
static void send_piece(struct meter *meter, struct resp3 *connection, const char *data, size_t length) {
    resp3_send(connection, data, length);
    meter->received += (long)length;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    while (meter_read(meter) < meter->received)
        if (now_us() > deadline) fail_msg("what was sent is not received");
    assert_int_equal(meter_read(meter), meter->received);
}

static const char requests[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\nva\r\nlue\r\n\r\n$\r\n"
                               "PING \"a b\\x41\"\r\n"
                               "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
                               "\r\n"
                               "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"
                               "*1\r\n$4\r\nPING\r\n";
static const char replies[] = "+OK\r\n$4\r\na bA\r\n$12\r\nva\r\nlue\r\n\r\n$\r\n$0\r\n\r\n+PONG\r\n";

static void requests_cut_at_any_byte_are_answered_as_whole_ones(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct meter meter = {.connection = server_connect(server)};
    struct resp3 *connection = resp3_connect(server);
    meter.received = meter_read(&meter);
    for (size_t cut = 1; cut < sizeof requests - 1; cut++) {
        send_piece(&meter, connection, requests, cut);
        send_piece(&meter, connection, requests + cut, sizeof requests - 1 - cut);
        resp3_expect(connection, replies);
        resp3_expect_silence(connection);
    }
    resp3_close(connection);
    redisFree(meter.connection);
    stop(server);
}

static void requests_that_come_byte_by_byte_are_answered(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct meter meter = {.connection = server_connect(server)};
    struct resp3 *connection = resp3_connect(server);
    meter.received = meter_read(&meter);
    for (size_t i = 0; i < sizeof requests - 1; i++) send_piece(&meter, connection, requests + i, 1);
    resp3_expect(connection, replies);
    resp3_close(connection);
    redisFree(meter.connection);
    stop(server);
}

/* ------------------------------------------------------------------ pipelines */

#define PIPELINE 20000

static void a_pipeline_of_thousands_is_answered_in_order(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    struct text sent, expected;
    text_begin(&sent);
    text_begin(&expected);
    for (int i = 0; i < PIPELINE; i++) {
        char number[16];
        int digits = snprintf(number, sizeof number, "%d", i);
        switch (i % 5) {
        case 0:
            fprintf(sent.out, "*3\r\n$3\r\nSET\r\n$4\r\nlast\r\n$%d\r\n%s\r\n", digits, number);
            fputs("+OK\r\n", expected.out);
            break;
        case 1:
            fputs("GET last\r\n", sent.out);
            digits = snprintf(number, sizeof number, "%d", i - 1);
            fprintf(expected.out, "$%d\r\n%s\r\n", digits, number);
            break;
        case 2:
            fputs("*2\r\n$4\r\nINCR\r\n$5\r\ncount\r\n", sent.out);
            fprintf(expected.out, ":%d\r\n", i / 5 + 1);
            break;
        case 3:
            fprintf(sent.out, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", digits, number);
            fprintf(expected.out, "$%d\r\n%s\r\n", digits, number);
            break;
        default:
            fprintf(sent.out, "NONESUCH %s\r\n", number);
            fprintf(expected.out, "-ERR unknown command 'NONESUCH', with args beginning with: '%s' \r\n",
                    number);
        }
    }
    text_end(&sent);
    text_end(&expected);
    resp3_send(connection, sent.data, sent.length);
    resp3_expect_bytes(connection, expected.data, expected.length);
    resp3_send_text(connection, "DEL count\r\n");
    resp3_expect(connection, ":1\r\n");
    /* Again, in pieces that end anywhere. */
    for (size_t at = 0; at < sent.length; at += 1009) {
        size_t left = sent.length - at;
        resp3_send(connection, sent.data + at, left < 1009 ? left : 1009);
    }
    resp3_expect_bytes(connection, expected.data, expected.length);
    resp3_expect_silence(connection);
    free(sent.data);
    free(expected.data);
    resp3_close(connection);
    stop(server);
}

static void a_request_of_ten_thousand_keys_is_one_request(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    struct text set, get, expected;
    const int keys = 10000;
    text_begin(&set);
    text_begin(&get);
    text_begin(&expected);
    fprintf(set.out, "*%d\r\n$4\r\nMSET\r\n", 1 + 2 * keys);
    fprintf(get.out, "*%d\r\n$4\r\nMGET\r\n", 1 + keys);
    fprintf(expected.out, "+OK\r\n*%d\r\n", keys);
    for (int i = 0; i < keys; i++) {
        fprintf(set.out, "$8\r\nkey%05d\r\n$7\r\nv%06d\r\n", i, i * 7);
        fprintf(get.out, "$8\r\nkey%05d\r\n", i);
        fprintf(expected.out, "$7\r\nv%06d\r\n", i * 7);
    }
    text_end(&set);
    text_end(&get);
    text_end(&expected);
    resp3_send(connection, set.data, set.length);
    resp3_send(connection, get.data, get.length);
    resp3_expect_bytes(connection, expected.data, expected.length);
    free(set.data);
    free(get.data);
    free(expected.data);
    resp3_close(connection);
    stop(server);
}

static void inline_requests_take_quotes_escapes_and_blanks(void **state) {
    (void)state;
    static const struct {
        const char *request, *reply;
    } cases[] = {
        {"PING\r\n", "+PONG\r\n"},
        {"PING\n", "+PONG\r\n"},
        {"\r\n\n  \r\nPING\r\n", "+PONG\r\n"},
        {"  ping \t pong  \r\n", "$4\r\npong\r\n"},
        {"ECHO \"a b\"\r\n", "$3\r\na b\r\n"},
        {"ECHO 'a \"b'\r\n", "$4\r\na \"b\r\n"},
        {"ECHO 'it\\'s'\r\n", "$4\r\nit's\r\n"},
        {"ECHO \"\\x41\\n\\r\\t\\\"\\\\\"\r\n", "$6\r\nA\n\r\t\"\\\r\n"},
        {"ECHO \"\"\r\n", "$0\r\n\r\n"},
        {"ECHO x\"y z\"\r\n", "$4\r\nxy z\r\n"},
        {"*0\r\nPING\r\n", "+PONG\r\n"},
        {"*-1\r\nPING\r\n", "+PONG\r\n"},
    };
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        resp3_send_text(connection, cases[i].request);
        resp3_expect(connection, cases[i].reply);
    }
    resp3_expect_silence(connection);
    resp3_close(connection);
    stop(server);
}

/* ------------------------------------------------------------------ what is refused */

/* Sends what comes before, a PING that must be answered, and the bad request; expects its error and the
 * end. */
static void expect_protocol_error(const struct server *server, const char *request, size_t length,
                                  const char *error) {
    struct resp3 *connection = resp3_connect(server);
    char expected[256];
    snprintf(expected, sizeof expected, "+PONG\r\n-ERR Protocol error: %s\r\n", error);
    resp3_send_text(connection, "PING\r\n");
    resp3_send(connection, request, length);
    resp3_expect(connection, expected);
    resp3_expect_end(connection);
    resp3_close(connection);
}

static void each_protocol_error_has_its_text_and_closes(void **state) {
    (void)state;
    static const struct {
        const char *request, *error;
    } cases[] = {
        {"*x\r\n", "invalid multibulk length"},
        {"*\r\n", "invalid multibulk length"},
        {"*01\r\n", "invalid multibulk length"},
        {"*+1\r\n", "invalid multibulk length"},
        {"*2147483648\r\n", "invalid multibulk length"},
        {"*99999999999999999999\r\n", "invalid multibulk length"},
        {"*1\r\nPING\r\n", "expected '$', got 'P'"},
        {"*1\r\n:4\r\n", "expected '$', got ':'"},
        {"*1\r\n\r\n", "expected '$', got ' '"},
        {"*2\r\n$4\r\nPING\r\n*1\r\n", "expected '$', got '*'"},
        {"*1\r\n$x\r\n", "invalid bulk length"},
        {"*1\r\n$\r\n", "invalid bulk length"},
        {"*1\r\n$-1\r\n", "invalid bulk length"},
        {"*1\r\n$4 \r\n", "invalid bulk length"},
        {"*1\r\n$536870913\r\n", "invalid bulk length"},
        {"*1\r\n$99999999999999999999\r\n", "invalid bulk length"},
        {"GET \"a\r\n", "unbalanced quotes in request"},
        {"GET 'a\r\n", "unbalanced quotes in request"},
        {"GET \"a\"b\r\n", "unbalanced quotes in request"},
    };
    struct server *server = start(NULL);
    struct resp3 *other = resp3_connect(server);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_protocol_error(server, cases[i].request, strlen(cases[i].request), cases[i].error);
        resp3_send_text(other, "PING\r\n");
        resp3_expect(other, "+PONG\r\n");
    }
    resp3_close(other);
    stop(server);
}

/* Lines that don't end, of just more than 64 KB. */
static void an_endless_line_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *start;
        char filling;
        const char *error;
    } cases[] = {
        {"*", '1', "too big mbulk count string"},
        {"*1\r\n$", '1', "too big bulk count string"},
        {"", 'x', "too big inline request"},
    };
    struct server *server = start(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *request = malloc(66 * KIB);
        assert_non_null(request);
        memset(request, cases[i].filling, 66 * KIB);
        memcpy(request, cases[i].start, strlen(cases[i].start));
        expect_protocol_error(server, request, 66 * KIB, cases[i].error);
        free(request);
    }
    stop(server);
}

/* The error is the last reply, whatever stands behind the bad request. */
static void nothing_behind_a_protocol_error_is_run(void **state) {
    (void)state;
    static const char request[] = "*1\r\n$x\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    struct server *server = start(NULL);
    redisContext *other = server_connect(server);
    expect_protocol_error(server, request, sizeof request - 1, "invalid bulk length");
    expect(other, "0", "EXISTS k");
    redisFree(other);
    stop(server);
}

static void the_longest_bulk_is_what_proto_max_bulk_len_says(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--proto-max-bulk-len", "2mb", NULL});
    redisContext *admin = server_connect(server);
    struct resp3 *connection = resp3_connect(server);
    char *value = noise(2 * MIB, 1);
    resp3_send_text(connection, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097152\r\n");
    resp3_send(connection, value, 2 * MIB);
    resp3_send_text(connection, "\r\nGET k\r\n");
    resp3_expect(connection, "+OK\r\n$2097152\r\n");
    resp3_expect_bytes(connection, value, 2 * MIB);
    resp3_expect(connection, "\r\n");
    static const char longer[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097153\r\n";
    expect_protocol_error(server, longer, sizeof longer - 1, "invalid bulk length");
    /* A change holds at once, for connections there are as well. */
    expect(admin, "OK", "CONFIG SET proto-max-bulk-len 1mb");
    resp3_send_text(connection, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n");
    resp3_expect(connection, "-ERR Protocol error: invalid bulk length\r\n");
    resp3_expect_end(connection);
    expect(admin, "2097152", "STRLEN k");
    free(value);
    resp3_close(connection);
    redisFree(admin);
    stop(server);
}

/* Sends until the server won't have any more. False if it takes as much as `most`. */
static bool flood(struct resp3 *connection, const char *filling, size_t length, size_t most) {
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    for (size_t sent = 0; sent < most; sent += length)
        if (send(connection->fd, filling, length, MSG_NOSIGNAL) < 0) return true;
    return false;
}

static void an_endless_request_is_closed_at_the_query_buffer_limit_and_others_go_on(void **state) {
    (void)state;
    static const char *const heads[] = {
        "*100000\r\n$4\r\nMSET\r\n",                  /* many short arguments ... */
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$67108864\r\n" /* ... or one long one */
    };
    static const char *const fillings[] = {"$6\r\nargume\r\n", "12345678901 "};
    struct server *server = start((const char *const[]){"--client-query-buffer-limit", "1mb", NULL});
    redisContext *other = server_connect(server);
    expect(other, "OK", "SET untouched yes");
    for (size_t i = 0; i < 2; i++) {
        struct resp3 *connection = resp3_connect(server);
        char filling[12 * KIB];
        for (size_t at = 0; at < sizeof filling; at += 12) memcpy(filling + at, fillings[i], 12);
        resp3_send_text(connection, heads[i]);
        assert_true(flood(connection, filling, sizeof filling, 48 * MIB));
        resp3_expect_end(connection);
        resp3_close(connection);
        expect(other, "yes", "GET untouched");
        await_info(other, "client_query_buffer_limit_disconnections", (int64_t)i + 1);
    }
    expect(other, "0", "EXISTS k");
    redisFree(other);
    stop(server);
}

static void what_is_within_the_query_buffer_limit_may_come_for_ever(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--client-query-buffer-limit", "1mb", NULL});
    struct resp3 *connection = resp3_connect(server);
    char *value = noise(512 * KIB, 2);
    for (int i = 0; i < 8; i++) {
        resp3_send_text(connection, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$524288\r\n");
        resp3_send(connection, value, 512 * KIB);
        resp3_send_text(connection, "\r\n");
    }
    for (int i = 0; i < 8; i++) resp3_expect(connection, "+OK\r\n");
    free(value);
    resp3_close(connection);
    stop(server);
}

static void a_client_without_password_may_send_little(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "secret", NULL});
    struct resp3 *connection = resp3_connect(server);
    char *value = noise(16385, 3);
    /* Ten arguments, and 16384 bytes of one, are looked at ... */
    resp3_send_text(connection, "*10\r\n$4\r\nMGET\r\n");
    for (int i = 0; i < 9; i++) resp3_send_text(connection, "$1\r\na\r\n");
    resp3_expect(connection, "-NOAUTH Authentication required.\r\n");
    resp3_send_text(connection, "*2\r\n$4\r\nECHO\r\n$16384\r\n");
    resp3_send(connection, value, 16384);
    resp3_send_text(connection, "\r\n");
    resp3_expect(connection, "-NOAUTH Authentication required.\r\n");
    /* ... and not one more. */
    resp3_send_text(connection, "*11\r\n");
    resp3_expect(connection, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    resp3_expect_end(connection);
    resp3_close(connection);
    connection = resp3_connect(server);
    resp3_send_text(connection, "*2\r\n$4\r\nECHO\r\n$16385\r\n");
    resp3_expect(connection, "-ERR Protocol error: unauthenticated bulk length\r\n");
    resp3_expect_end(connection);
    resp3_close(connection);
    /* With it, as much as anybody, even in the same packet. */
    connection = resp3_connect(server);
    resp3_send_text(connection, "AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n");
    resp3_send(connection, value, 16385);
    resp3_send_text(connection, "\r\n*12\r\n$6\r\nEXISTS\r\n");
    for (int i = 0; i < 11; i++) resp3_send_text(connection, "$1\r\na\r\n");
    resp3_expect(connection, "+OK\r\n$16385\r\n");
    resp3_expect_bytes(connection, value, 16385);
    resp3_expect(connection, "\r\n:0\r\n");
    free(value);
    resp3_close(connection);
    stop(server);
}

/* ------------------------------------------------------------------ RESP3 */

static void expect_greeting(struct resp3 *connection, int protocol) {
    struct resp3_value *greeting = resp3_read(connection);
    static const char *const keys[] = {"server", "version", "proto", "id", "mode", "role", "modules"};
    assert_int_equal(greeting->kind, protocol == 3 ? '%' : '*');
    assert_int_equal(greeting->count, 14);
    for (size_t i = 0; i < 7; i++) assert_string_equal(greeting->elements[2 * i].text, keys[i]);
    assert_string_equal(resp3_value_find(greeting, "server")->text, "redis");
    assert_string_equal(resp3_value_find(greeting, "mode")->text, "standalone");
    assert_string_equal(resp3_value_find(greeting, "role")->text, "master");
    assert_int_equal(resp3_value_find(greeting, "proto")->integer, protocol);
    assert_true(resp3_value_find(greeting, "id")->integer > 0);
    resp3_value_free(greeting);
}

static void hello_chooses_the_protocol(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    resp3_send_text(connection, "HELLO\r\nGET none\r\n");
    expect_greeting(connection, 2);
    resp3_expect(connection, "$-1\r\n");
    resp3_send_text(connection, "HELLO 3 SETNAME somebody\r\nGET none\r\nCLIENT GETNAME\r\nHELLO\r\n");
    expect_greeting(connection, 3);
    resp3_expect(connection, "_\r\n$8\r\nsomebody\r\n");
    expect_greeting(connection, 3);
    resp3_send_text(connection,
                    "HELLO 4\r\nHELLO 1\r\nHELLO x\r\nHELLO 3 NONSENSE\r\nHELLO 3 SETNAME \"a b\"\r\n");
    resp3_expect(connection, "-NOPROTO unsupported protocol version\r\n"
                             "-NOPROTO unsupported protocol version\r\n"
                             "-ERR Protocol version is not an integer or out of range\r\n"
                             "-ERR Syntax error in HELLO option 'NONSENSE'\r\n"
                             "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    resp3_send_text(connection, "HELLO 2\r\nGET none\r\nHELLO 3\r\nRESET\r\nGET none\r\n");
    expect_greeting(connection, 2);
    resp3_expect(connection, "$-1\r\n");
    expect_greeting(connection, 3);
    resp3_expect(connection, "+RESET\r\n$-1\r\n");
    resp3_close(connection);
    stop(server);
}

static void hello_may_carry_the_password(void **state) {
    (void)state;
    struct server *server = start((const char *const[]){"--requirepass", "secret", NULL});
    struct resp3 *connection = resp3_connect(server);
    resp3_send_text(connection,
                    "HELLO 3\r\nHELLO 3 AUTH default wrong\r\nHELLO 3 AUTH nobody secret\r\nPING\r\n");
    char *refusal = resp3_read_line(connection);
    assert_int_equal(
        strncmp(refusal, "-NOAUTH HELLO must be called with the client already authenticated", 66), 0);
    free(refusal);
    resp3_expect(connection, "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                             "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
                             "-NOAUTH Authentication required.\r\n");
    resp3_send_text(connection, "HELLO 3 AUTH default secret SETNAME me\r\nCLIENT GETNAME\r\n");
    expect_greeting(connection, 3);
    resp3_expect(connection, "$2\r\nme\r\n");
    resp3_close(connection);
    stop(server);
}

static void every_kind_of_reply_has_its_form_in_both_protocols(void **state) {
    (void)state;
    static const struct {
        const char *kind, *resp2, *resp3;
    } cases[] = {
        {"string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"},
        {"integer", ":12345\r\n", ":12345\r\n"},
        {"double", "$5\r\n3.141\r\n", ",3.141\r\n"},
        {"null", "$-1\r\n", "_\r\n"},
        {"array", "*3\r\n:0\r\n:1\r\n:2\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n"},
        {"set", "*3\r\n:0\r\n:1\r\n:2\r\n", "~3\r\n:0\r\n:1\r\n:2\r\n"},
        {"map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"},
        {"attrib", "$39\r\nSome real reply following the attribute\r\n",
         "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply "
         "following the attribute\r\n"},
        {"verbatim", "$25\r\nThis is a verbatim\nstring\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n"},
        {"true", ":1\r\n", "#t\r\n"},
        {"false", ":0\r\n", "#f\r\n"},
        {"bignum", "$37\r\n1234567999999999999999999999999999999\r\n",
         "(1234567999999999999999999999999999999\r\n"},
    };
    struct server *server = start(NULL);
    for (int protocol = 2; protocol <= 3; protocol++) {
        struct resp3 *connection = resp3_connect(server);
        resp3_send_text(connection, protocol == 3 ? "HELLO 3\r\n" : "HELLO 2\r\n");
        expect_greeting(connection, protocol);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            RESP3_COMMAND(connection, "DEBUG", "PROTOCOL", cases[i].kind);
            resp3_expect(connection, protocol == 3 ? cases[i].resp3 : cases[i].resp2);
        }
        resp3_expect_silence(connection);
        resp3_close(connection);
    }
    stop(server);
}

static void a_push_comes_before_the_reply_it_is_no_part_of(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    RESP3_COMMAND(connection, "DEBUG", "PROTOCOL", "push");
    resp3_expect(connection, "-ERR RESP2 is not supported by this command\r\n");
    RESP3_COMMAND(connection, "HELLO", "3");
    expect_greeting(connection, 3);
    RESP3_COMMAND(connection, "DEBUG", "PROTOCOL", "push");
    resp3_expect_value(connection, ">[server-cpu-usage, 42]");
    resp3_expect_value(connection, "Some real reply following the push reply");
    resp3_expect_silence(connection);
    resp3_close(connection);
    stop(server);
}

static void commands_answer_in_resp3s_own_kinds(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    RESP3_COMMAND(connection, "HELLO", "3");
    expect_greeting(connection, 3);
    RESP3_COMMAND(connection, "MSET", "a", "1", "b", "ohmytext");
    resp3_expect_value(connection, "OK");
    RESP3_COMMAND(connection, "MGET", "a", "none", "b");
    resp3_expect(connection, "*3\r\n$1\r\n1\r\n_\r\n$8\r\nohmytext\r\n");
    RESP3_COMMAND(connection, "CONFIG", "GET", "databases");
    resp3_expect(connection, "%1\r\n$9\r\ndatabases\r\n$2\r\n16\r\n");
    RESP3_COMMAND(connection, "CONFIG", "GET", "nothing-like-it");
    resp3_expect(connection, "%0\r\n");
    RESP3_COMMAND(connection, "INCRBYFLOAT", "a", "0.5");
    resp3_expect(connection, "$3\r\n1.5\r\n");
    RESP3_COMMAND(connection, "LCS", "a", "b", "IDX");
    resp3_expect_value(connection, "{matches: [], len: 0}");
    RESP3_COMMAND(connection, "CLIENT", "LIST");
    struct resp3_value *list = resp3_read(connection);
    assert_int_equal(list->kind, '=');
    assert_int_equal(strncmp(list->text, "txt:id=", 7), 0);
    assert_non_null(strstr(list->text, " resp=3 "));
    resp3_value_free(list);
    RESP3_COMMAND(connection, "COMMAND", "INFO", "get");
    struct resp3_value *info = resp3_read(connection);
    assert_int_equal(info->count, 1);
    assert_int_equal(info->elements[0].elements[2].kind, '~'); /* flags are a set */
    resp3_value_free(info);
    resp3_close(connection);
    stop(server);
}

/* ------------------------------------------------------------------ large bulks */

static void send_set(struct resp3 *connection, const char *key, const char *value, size_t length,
                     size_t piece) {
    char head[96];
    snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, length);
    resp3_send_text(connection, head);
    for (size_t at = 0; at < length; at += piece)
        resp3_send(connection, value + at, length - at < piece ? length - at : piece);
    resp3_send_text(connection, "\r\n");
}

static void expect_bulk(struct resp3 *connection, const char *value, size_t length) {
    char head[32];
    snprintf(head, sizeof head, "$%zu\r\n", length);
    resp3_expect(connection, head);
    resp3_expect_bytes(connection, value, length);
    resp3_expect(connection, "\r\n");
}

static void bulks_of_any_size_come_back_as_they_were_sent(void **state) {
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   63,
                                   64,
                                   16 * KIB - 1,
                                   16 * KIB,
                                   16 * KIB + 1,
                                   32 * KIB,
                                   64 * KIB - 1,
                                   64 * KIB,
                                   64 * KIB + 1,
                                   256 * KIB,
                                   MIB - 7,
                                   MIB,
                                   16 * MIB,
                                   64 * MIB};
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    char *value = noise(64 * MIB, 4);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t length = sizes[i];
        char number[32];
        send_set(connection, "k", value, length, length + 1);
        resp3_send_text(connection, "STRLEN k\r\nGET k\r\n");
        snprintf(number, sizeof number, "+OK\r\n:%zu\r\n", length);
        resp3_expect(connection, number);
        expect_bulk(connection, value, length);
        /* The same in pieces, and as the last argument of a request that gives it back at once. */
        send_set(connection, "k", value, length, length / 3 + 5);
        snprintf(number, sizeof number, "*2\r\n$4\r\nECHO\r\n$%zu\r\n", length);
        resp3_send_text(connection, number);
        resp3_send(connection, value, length);
        resp3_send_text(connection, "\r\nGETDEL k\r\nEXISTS k\r\n");
        resp3_expect(connection, "+OK\r\n");
        expect_bulk(connection, value, length);
        expect_bulk(connection, value, length);
        resp3_expect(connection, ":0\r\n");
    }
    free(value);
    resp3_close(connection);
    stop(server);
}

/* Ends both texts, sends the one at once, and checks that the other comes back. */
static void exchange(struct resp3 *connection, struct text *sent, struct text *expected) {
    text_end(sent);
    text_end(expected);
    resp3_send(connection, sent->data, sent->length);
    resp3_expect_bytes(connection, expected->data, expected->length);
    free(sent->data);
    free(expected->data);
}

/* What is known of keys when a batch begins holds no longer after some of its requests. */
static void what_a_pipeline_changes_its_later_requests_see(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    resp3_send_text(connection, "SET k zero\r\nSELECT 1\r\nSET k one\r\nSELECT 0\r\n");
    resp3_expect(connection, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    static const struct {
        const char *request, *reply;
    } steps[] = {
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$4\r\nzero\r\n"},
        {"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$3\r\none\r\n"},
        {"*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$1\r\n!\r\n", ":4\r\n"},
        {"*3\r\n$6\r\nSWAPDB\r\n$1\r\n0\r\n$1\r\n1\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$4\r\nzero\r\n"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n7\r\n", "+OK\r\n"},
        {"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n", ":8\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\n8\r\n"},
        {"*1\r\n$7\r\nFLUSHDB\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$-1\r\n"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n9\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\n9\r\n"},
        {"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$4\r\none!\r\n"},
        {"*1\r\n$8\r\nFLUSHALL\r\n", "+OK\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$-1\r\n"},
        {"*3\r\n$5\r\nLPUSH\r\n$1\r\nk\r\n$1\r\na\r\n", ":1\r\n"},
        {"*2\r\n$4\r\nLPOP\r\n$1\r\nk\r\n", "$1\r\na\r\n"},
        {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$-1\r\n"},
    };
    struct text sent, expected;
    text_begin(&sent);
    text_begin(&expected);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        fputs(steps[i].request, sent.out);
        fputs(steps[i].reply, expected.out);
    }
    exchange(connection, &sent, &expected);
    resp3_close(connection);
    stop(server);
}

/* Tables grow while a batch runs, so that the homes of its later keys move. */
static void a_pipeline_finds_what_it_has_put(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    struct text sent, expected;
    text_begin(&sent);
    text_begin(&expected);
    for (int i = 0; i < PIPELINE; i++) {
        int length = snprintf(NULL, 0, "key:%d", i);
        fprintf(sent.out,
                "*3\r\n$3\r\nSET\r\n$%d\r\nkey:%d\r\n$%d\r\nkey:%d\r\n*2\r\n$3\r\nGET\r\n$%d\r\nkey:%d\r\n",
                length, i, length, i, length, i);
        fprintf(expected.out, "+OK\r\n$%d\r\nkey:%d\r\n", length, i);
    }
    exchange(connection, &sent, &expected);
    resp3_close(connection);
    stop(server);
}

static void large_and_small_requests_may_be_pipelined_together(void **state) {
    (void)state;
    static const size_t sizes[] = {100, 16 * KIB, 20 * KIB, 3, 300 * KIB, 0, 17000, 2 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    char *values[COUNT];
    for (size_t i = 0; i < COUNT; i++) values[i] = noise(sizes[i], 10 + i);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            char key[8], request[32];
            snprintf(key, sizeof key, "k%zu", i);
            send_set(connection, key, values[i], sizes[i], sizes[i] + 1);
            snprintf(request, sizeof request, "PING %zu\r\nGET %s\r\n", i, key);
            resp3_send_text(connection, request);
        }
        resp3_send_text(connection, "MGET k0 k1 k2 k3 k4 k5 k6 k7 none\r\n");
    }
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            char expected[32];
            snprintf(expected, sizeof expected, "+OK\r\n$1\r\n%zu\r\n", i);
            resp3_expect(connection, expected);
            expect_bulk(connection, values[i], sizes[i]);
        }
        resp3_expect(connection, "*9\r\n");
        for (size_t i = 0; i < COUNT; i++) expect_bulk(connection, values[i], sizes[i]);
        resp3_expect(connection, "$-1\r\n");
    }
    resp3_expect_silence(connection);
    for (size_t i = 0; i < COUNT; i++) free(values[i]);
    resp3_close(connection);
    stop(server);
}

/* Large arguments in the middle of a request, several in one, and as keys. */
static void any_argument_may_be_large(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct resp3 *connection = resp3_connect(server);
    const size_t length = 100 * KIB;
    char *values[3], head[64];
    for (size_t i = 0; i < 3; i++) values[i] = noise(length, 20 + i);
    snprintf(head, sizeof head, "\r\n$%zu\r\n", length);
    resp3_send_text(connection, "*7\r\n$4\r\nMSET\r\n$1\r\na");
    resp3_send_text(connection, head);
    resp3_send(connection, values[0], length);
    resp3_send_text(connection, head); /* a key of that size */
    resp3_send(connection, values[1], length);
    resp3_send_text(connection, "\r\n$5\r\nsmall\r\n$1\r\nb");
    resp3_send_text(connection, head);
    resp3_send(connection, values[2], length);
    resp3_send_text(connection, "\r\nGET a\r\nGET b\r\n*2\r\n$3\r\nGET");
    resp3_send_text(connection, head);
    resp3_send(connection, values[1], length);
    resp3_send_text(connection, "\r\nDBSIZE\r\n");
    resp3_expect(connection, "+OK\r\n");
    expect_bulk(connection, values[0], length);
    expect_bulk(connection, values[2], length);
    resp3_expect(connection, "$5\r\nsmall\r\n:3\r\n");
    for (size_t i = 0; i < 3; i++) free(values[i]);
    resp3_close(connection);
    stop(server);
}

/* Several clients send large values at the same time, a slice of each in turn, and read each other's. */
static void large_values_of_many_clients_are_not_mixed_up(void **state) {
    (void)state;
    enum { CLIENTS = 6 };
    const size_t length = 3 * MIB + 17, slice = 50021;
    struct server *server = start(NULL);
    struct resp3 *connections[CLIENTS];
    char *values[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        char head[64];
        connections[i] = resp3_connect(server);
        values[i] = noise(length, 30 + i);
        snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$2\r\nk%zu\r\n$%zu\r\n", i, length);
        resp3_send_text(connections[i], head);
    }
    for (size_t at = 0; at < length; at += slice)
        for (size_t i = 0; i < CLIENTS; i++)
            resp3_send(connections[i], values[i] + at, length - at < slice ? length - at : slice);
    for (size_t i = 0; i < CLIENTS; i++) resp3_send_text(connections[i], "\r\n");
    for (size_t i = 0; i < CLIENTS; i++) resp3_expect(connections[i], "+OK\r\n");
    for (size_t i = 0; i < CLIENTS; i++) {
        char request[32];
        snprintf(request, sizeof request, "GET k%zu\r\nDEL k%zu\r\n", (i + 1) % CLIENTS, (i + 1) % CLIENTS);
        resp3_send_text(connections[i], request);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        expect_bulk(connections[i], values[(i + 1) % CLIENTS], length);
        resp3_expect(connections[i], ":1\r\n");
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        free(values[i]);
        resp3_close(connections[i]);
    }
    stop(server);
}

/* A value that is being sent stays as it was, whatever becomes of its key. */
static void a_value_on_its_way_is_not_changed_by_later_writes(void **state) {
    (void)state;
    const size_t length = 32 * MIB;
    struct server *server = start(NULL);
    struct resp3 *reader = resp3_connect(server);
    redisContext *writer = server_connect(server);
    char *value = noise(length, 40);
    send_set(reader, "k", value, length, length);
    resp3_expect(reader, "+OK\r\n");
    resp3_send_text(reader, "GET k\r\nGET k\r\n");
    resp3_expect(reader, "$33554432\r\n"); /* the first is on its way, and most of it not yet read */
    expect(writer, "33554432", "SETRANGE k 1000000 %s", "changed");
    expect(writer, "33554435", "APPEND k end");
    expect(writer, "1", "DEL k");
    expect(writer, "OK", "SET k short");
    resp3_expect_bytes(reader, value, length);
    resp3_expect(reader, "\r\n");
    /* The second was answered before or after, and is one of the two. */
    char *head = resp3_read_line(reader);
    if (strcmp(head, "$33554432\r\n") == 0)
        resp3_expect_bytes(reader, value, length);
    else
        assert_string_equal(head, "$5\r\n");
    resp3_expect(reader, strcmp(head, "$5\r\n") == 0 ? "short\r\n" : "\r\n");
    free(head);
    free(value);
    redisFree(writer);
    resp3_close(reader);
    stop(server);
}

static void a_client_that_goes_away_in_a_large_bulk_leaves_nothing_behind(void **state) {
    (void)state;
    struct server *server = start(NULL);
    redisContext *other = server_connect(server);
    char *value = noise(MIB, 50);
    for (int i = 0; i < 20; i++) {
        struct resp3 *connection = resp3_connect(server);
        resp3_send_text(connection, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$33554432\r\n");
        resp3_send(connection, value, MIB);
        resp3_close(connection);
    }
    await_info(other, "connected_clients", 1);
    await_info(other, "client_input_bytes", 0);
    expect(other, "0", "EXISTS k");
    free(value);
    redisFree(other);
    stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_cut_at_any_byte_are_answered_as_whole_ones),
        cmocka_unit_test(requests_that_come_byte_by_byte_are_answered),
        cmocka_unit_test(a_pipeline_of_thousands_is_answered_in_order),
        cmocka_unit_test(a_request_of_ten_thousand_keys_is_one_request),
        cmocka_unit_test(inline_requests_take_quotes_escapes_and_blanks),
        cmocka_unit_test(each_protocol_error_has_its_text_and_closes),
        cmocka_unit_test(an_endless_line_is_refused),
        cmocka_unit_test(nothing_behind_a_protocol_error_is_run),
        cmocka_unit_test(the_longest_bulk_is_what_proto_max_bulk_len_says),
        cmocka_unit_test(an_endless_request_is_closed_at_the_query_buffer_limit_and_others_go_on),
        cmocka_unit_test(what_is_within_the_query_buffer_limit_may_come_for_ever),
        cmocka_unit_test(a_client_without_password_may_send_little),
        cmocka_unit_test(hello_chooses_the_protocol),
        cmocka_unit_test(hello_may_carry_the_password),
        cmocka_unit_test(every_kind_of_reply_has_its_form_in_both_protocols),
        cmocka_unit_test(a_push_comes_before_the_reply_it_is_no_part_of),
        cmocka_unit_test(commands_answer_in_resp3s_own_kinds),
        cmocka_unit_test(bulks_of_any_size_come_back_as_they_were_sent),
        cmocka_unit_test(large_and_small_requests_may_be_pipelined_together),
        cmocka_unit_test(what_a_pipeline_changes_its_later_requests_see),
        cmocka_unit_test(a_pipeline_finds_what_it_has_put),
        cmocka_unit_test(any_argument_may_be_large),
        cmocka_unit_test(large_values_of_many_clients_are_not_mixed_up),
        cmocka_unit_test(a_value_on_its_way_is_not_changed_by_later_writes),
        cmocka_unit_test(a_client_that_goes_away_in_a_large_bulk_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
