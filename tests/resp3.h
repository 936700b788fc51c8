/* A client for tests that care about bytes: a blocking socket with a deadline, and a reader of RESP2 and
 * RESP3 replies.
 *
 * hiredis knows RESP2 only, and decides itself what it sends and when. Here a test sends what it likes, cut
 * as it likes, and sees exactly what comes back. Whatever can't be had within the deadline fails the cmocka
 * test. */
#ifndef TESTS_RESP3_H
#define TESTS_RESP3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support.h"

struct resp3 {
    int fd;
    char *data; /* received and not yet read: data[start, start + length) */
    size_t start, length, capacity;
    bool is_ended; /* the server has closed its side, */
    int error;     /* or the connection is broken: errno */
};

/* Connections, to be freed with resp3_close. */
struct resp3 *resp3_connect(const struct server *server);
struct resp3 *resp3_connect_path(const char *path); /* a unix socket */
/* One that is served by the worker of that number. */
struct resp3 *resp3_connect_to(const struct server *server, long worker);
void resp3_close(struct resp3 *connection);
/* Says that nothing more will be sent. */
void resp3_half_close(struct resp3 *connection);

/* Sends all of it. While the server takes nothing, what it answers is received and kept, so that neither
 * waits for the other for ever. */
void resp3_send(struct resp3 *connection, const char *data, size_t length);
void resp3_send_text(struct resp3 *connection, const char *text);
/* Sends a command as an array of bulks; arguments are texts, ended by NULL. */
void resp3_send_command(struct resp3 *connection, const char *const *arguments);
#define RESP3_COMMAND(connection, ...)                                                                       \
    resp3_send_command(connection, (const char *const[]){__VA_ARGS__, NULL})

/* The next `length` bytes, to be freed; a '\0' follows them. */
char *resp3_read_bytes(struct resp3 *connection, size_t length);
/* The next line, with its end, to be freed. */
char *resp3_read_line(struct resp3 *connection);
/* Checks that exactly these bytes come next. */
void resp3_expect(struct resp3 *connection, const char *text);
void resp3_expect_bytes(struct resp3 *connection, const char *data, size_t length);
/* Sends a line, and checks what comes back, byte by byte. */
void resp3_exchange(struct resp3 *connection, const char *request, const char *reply);
/* Checks that the server closes and has nothing more to say. */
void resp3_expect_end(struct resp3 *connection);
/* Waits for the server to close, whatever it may say before. */
void resp3_await_end(struct resp3 *connection);
/* Checks that there is nothing to read now, without waiting. */
void resp3_expect_silence(struct resp3 *connection);

/* A reply. An attribute is an element of its own, before what it belongs to. */
struct resp3_value {
    char kind;    /* its first byte on the wire: + - : $ * _ % ~ > , # ( = | */
    bool is_null; /* $-1, *-1 or _ */
    char *text; /* of + - $ , ( and =, whose first four bytes are its format, as in "txt:"; a '\0' follows */
    size_t length;   /* of text */
    int64_t integer; /* of : and # */
    struct resp3_value *elements;
    size_t count; /* of elements: of maps and attributes, twice the number of pairs */
};

/* The next reply, to be freed with resp3_value_free. Fails the test if it isn't well-formed. */
struct resp3_value *resp3_read(struct resp3 *connection);
void resp3_value_free(struct resp3_value *value);
/* What a line is answered, a number. */
long resp3_integer(struct resp3 *connection, const char *request);
/* The reply in one line, to be freed. Statuses and bulks are their text, integers digits; then -ERR ...,
 * =txt:..., (nil), (true), (3.141) for doubles and big numbers, [a, b] for arrays, {k: v} for maps, ~[a] for
 * sets, >[a] for pushes and |{k: v} for attributes. */
char *resp3_value_text(const struct resp3_value *value);
/* What a map says of the key, or NULL. RESP2's flat arrays are read as maps. */
const struct resp3_value *resp3_value_find(const struct resp3_value *map, const char *key);
/* Reads the next reply and checks how it reads, as resp3_value_text has it. */
void resp3_expect_value(struct resp3 *connection, const char *expected);

#endif
