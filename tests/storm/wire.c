#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support.h"

#define WORDS_MOST 512
#define MARK_LENGTH 32

/* ------------------------------------------------------------------ text */

void text_clear(struct text *text) {
    text->length = 0;
}

void text_free(struct text *text) {
    free(text->data);
    *text = (struct text){NULL, 0, 0};
}

static char *text_room(struct text *text, size_t more) {
    if (text->length + more > text->capacity) {
        text->capacity = (text->length + more) * 2;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL) abort();
    }
    return text->data + text->length;
}

void text_bytes(struct text *text, const char *data, size_t length) {
    if (length == 0) return;
    memcpy(text_room(text, length), data, length);
    text->length += length;
}

static void text_number(struct text *text, char kind, size_t number) {
    char line[32];
    int length = snprintf(line, sizeof line, "%c%zu\r\n", kind, number);
    text_bytes(text, line, (size_t)length);
}

/* The words of a line, of which "@" stands for another text, and an argument of so many bytes behind them,
 * or none. */
static void text_add(struct text *text, char *line, const char *other, size_t bytes) {
    const char *words[WORDS_MOST];
    size_t count = 0;
    char *rest = line;
    for (char *word; count < WORDS_MOST && (word = strtok_r(rest, " ", &rest)) != NULL;)
        words[count++] = other != NULL && strcmp(word, "@") == 0 ? other : word;
    text_number(text, '*', count + (bytes > 0));
    for (size_t i = 0; i < count; i++) {
        text_number(text, '$', strlen(words[i]));
        text_bytes(text, words[i], strlen(words[i]));
        text_bytes(text, "\r\n", 2);
    }
    if (bytes == 0) return;
    text_number(text, '$', bytes);
    memset(text_room(text, bytes), 'v', bytes);
    text->length += bytes;
    text_bytes(text, "\r\n", 2);
}

void text_request(struct text *text, const char *format, ...) {
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_add(text, line, NULL, 0);
}

void text_request_of(struct text *text, const char *other, const char *format, ...) {
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_add(text, line, other, 0);
}

void text_request_with(struct text *text, size_t bytes, const char *format, ...) {
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_add(text, line, NULL, bytes);
}

/* ------------------------------------------------------------------ wire */

/* Whether the socket can be read, or written, before the moment comes. */
static bool await_events(int fd, short events, int64_t deadline) {
    for (;;) {
        struct pollfd watched = {.fd = fd, .events = events};
        int64_t left = deadline - now_us();
        int count = poll(&watched, 1, left <= 0 ? 0 : (int)(left / 1000) + 1);
        if (count > 0) return true;
        if (count == 0 || errno != EINTR) return false;
    }
}

static int64_t moment_in(int milliseconds) {
    return now_us() + milliseconds * 1000LL;
}

bool wire_send(const struct wire *wire, const char *data, size_t length, int milliseconds) {
    int64_t deadline = moment_in(milliseconds);
    while (length > 0) {
        ssize_t sent = send(wire->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else if ((errno != EAGAIN && errno != EINTR) || !await_events(wire->fd, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

bool wire_send_text(const struct wire *wire, const struct text *text, int milliseconds) {
    return wire_send(wire, text->data, text->length, milliseconds);
}

bool wire_say(const struct wire *wire, const char *format, ...) {
    char line[8192];
    struct text text = {NULL, 0, 0};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text_add(&text, line, NULL, 0);
    bool is_sent = wire_send_text(wire, &text, 1000);
    text_free(&text);
    return is_sent;
}

/* So many bytes at most; 0: the end, or time is up. */
static size_t receive(const struct wire *wire, char *data, size_t size, int64_t deadline) {
    if (!await_events(wire->fd, POLLIN, deadline)) return 0;
    ssize_t count = recv(wire->fd, data, size, MSG_DONTWAIT);
    return count > 0 ? (size_t)count : 0;
}

bool wire_finish(struct wire *wire, int milliseconds) {
    char data[65536 + MARK_LENGTH], mark[MARK_LENGTH];
    int64_t deadline = moment_in(milliseconds);
    snprintf(mark, sizeof mark, "<%llx-%u>", (unsigned long long)wire->id, ++wire->mark);
    if (!wire_say(wire, "ECHO %s", mark)) return false;
    size_t kept = 0;
    for (;;) {
        size_t count = receive(wire, data + kept, 65536, deadline);
        if (count == 0) return false;
        kept += count;
        if (memmem(data, kept, mark, strlen(mark)) != NULL) return true;
        if (kept <= MARK_LENGTH) continue;
        memmove(data, data + kept - MARK_LENGTH, MARK_LENGTH); /* it may have come in two */
        kept = MARK_LENGTH;
    }
}

/* Whether these bytes are a whole answer. */
static bool is_whole(const char *data, size_t length) {
    const char *end = memchr(data, '\n', length);
    if (end == NULL) return false;
    if (data[0] != '$') return true;
    long bytes = 0;
    if (data[1] == '-') return true;
    for (const char *digit = data + 1; *digit >= '0' && *digit <= '9'; digit++)
        bytes = bytes * 10 + (*digit - '0');
    return length >= (size_t)(end + 1 - data) + (size_t)bytes + 2;
}

bool wire_ask(const struct wire *wire, const struct text *request, char *answer, size_t size,
              int milliseconds) {
    struct text got = {NULL, 0, 0};
    int64_t deadline = moment_in(milliseconds);
    bool is_answered = false;
    if (wire_send_text(wire, request, milliseconds)) {
        while (!is_answered) {
            size_t count = receive(wire, text_room(&got, 4096), 4096, deadline);
            if (count == 0) break;
            got.length += count;
            is_answered = is_whole(got.data, got.length);
        }
    }
    size_t length = got.length < size - 1 ? got.length : size - 1;
    if (length > 0) memcpy(answer, got.data, length);
    answer[length] = '\0';
    text_free(&got);
    return is_answered;
}

void wire_read_some(const struct wire *wire, size_t most, int milliseconds) {
    char data[65536];
    int64_t deadline = moment_in(milliseconds);
    for (size_t count = 1; count > 0 && most > 0; most -= count < most ? count : most)
        count = receive(wire, data, sizeof data, deadline);
}

/* No blocking: a listener whose queue is full leaves one waiting for minutes. */
static bool wire_connect(int fd, int port, int64_t deadline) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int error = 0, on = 1;
    socklen_t length = sizeof error;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return true;
    return errno == EINPROGRESS && await_events(fd, POLLOUT, deadline) &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

bool wire_open(struct wire *wire, int port, int milliseconds) {
    char answer[64];
    struct text request = {NULL, 0, 0};
    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (wire->fd < 0) return false;
    if (!wire_connect(wire->fd, port, moment_in(milliseconds))) {
        close(wire->fd);
        wire->fd = -1;
        return false;
    }
    text_request(&request, "CLIENT ID");
    if (wire_ask(wire, &request, answer, sizeof answer, milliseconds) && answer[0] == ':')
        wire->id = strtoull(answer + 1, NULL, 10);
    text_free(&request);
    return true;
}

void wire_close(struct wire *wire) {
    if (wire->fd >= 0) close(wire->fd);
    wire->fd = -1;
}

void wire_reset(struct wire *wire) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (wire->fd >= 0) setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    wire_close(wire);
}
