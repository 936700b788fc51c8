/* A client that may do anything: send what is no request, send and not read, reset, be gone. A socket,
 * deadlines instead of waits without end, and no opinion about what comes back: the tests of replies are
 * elsewhere. */
#ifndef TESTS_STORM_WIRE_H
#define TESTS_STORM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that are going to be sent. */
struct text {
    char *data;
    size_t length, capacity;
};
void text_clear(struct text *text); /* empty, the memory stays */
void text_free(struct text *text);
void text_bytes(struct text *text, const char *data, size_t length);
/* Adds a request whose arguments are the words of what the format gives. */
void text_request(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, where the word "@" stands for a text with blanks in it. */
void text_request_of(struct text *text, const char *other, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, with one more argument of so many bytes. */
void text_request_with(struct text *text, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct wire {
    int fd;        /* -1: closed */
    uint64_t id;   /* CLIENT ID, or 0: unknown */
    uint32_t mark; /* of the last wire_finish */
};

/* How the milliseconds of each are meant: it may take so long, and then has not succeeded. */
bool wire_open(struct wire *wire, int port, int milliseconds); /* also asks for its id */
bool wire_send(const struct wire *wire, const char *data, size_t length, int milliseconds);
bool wire_send_text(const struct wire *wire, const struct text *text, int milliseconds);
bool wire_say(const struct wire *wire, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* one request, a second */
/* Sends an ECHO and throws away what comes until its answer: all that was asked before has been answered.
 * false: that did not come, or the end did. */
bool wire_finish(struct wire *wire, int milliseconds);
/* One request, and its answer if that is a status, an error, a number or a bulk: its first bytes, with a
 * '\0'. */
bool wire_ask(const struct wire *wire, const struct text *request, char *answer, size_t size,
              int milliseconds);
/* Throws away what comes for so long, at most so many bytes. */
void wire_read_some(const struct wire *wire, size_t most, int milliseconds);
void wire_close(struct wire *wire);
void wire_reset(struct wire *wire); /* RST rather than FIN */

#endif
