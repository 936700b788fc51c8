/* Everything received goes through one buffer that only grows, and every reader takes from its front what
 * it wants, waiting until there is enough. A wait is one poll with what is left of the deadline. */
#include "resp3.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM_LEAST ((size_t)65536)
/* Deeper than any reply of a server that works. */
#define DEPTH_MOST 32
#define SHOWN_MOST 200

/* ------------------------------------------------------------------ the socket */

static struct resp3 *connect_to(int family, const struct sockaddr *address, socklen_t size) {
    struct resp3 *connection = calloc(1, sizeof *connection);
    assert_non_null(connection);
    connection->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, address, size) != 0)
        fail_msg("can't connect: %s", strerror(errno));
    return connection;
}

struct resp3 *resp3_connect(const struct server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct resp3 *connection = connect_to(AF_INET, (const struct sockaddr *)&address, sizeof address);
    /* A test that sends byte by byte means it. */
    int on = 1;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connection;
}

struct resp3 *resp3_connect_path(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    return connect_to(AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

void resp3_close(struct resp3 *connection) {
    close(connection->fd);
    free(connection->data);
    free(connection);
}

void resp3_half_close(struct resp3 *connection) {
    assert_return_code(shutdown(connection->fd, SHUT_WR), errno);
}

static void make_room(struct resp3 *connection, size_t more) {
    if (connection->start + connection->length + more <= connection->capacity) return;
    if (connection->start > 0) {
        memmove(connection->data, connection->data + connection->start, connection->length);
        connection->start = 0;
    }
    size_t needed = connection->length + more;
    if (needed <= connection->capacity) return;
    size_t capacity = connection->capacity * 2 > needed ? connection->capacity * 2 : needed;
    char *data = realloc(connection->data, capacity);
    assert_non_null(data);
    connection->data = data;
    connection->capacity = capacity;
}

/* Takes what is there, without waiting. A reset is an end as well. */
static void receive(struct resp3 *connection) {
    make_room(connection, ROOM_LEAST);
    char *end = connection->data + connection->start + connection->length;
    size_t room = connection->capacity - connection->start - connection->length;
    ssize_t count = recv(connection->fd, end, room, MSG_DONTWAIT);
    if (count > 0) connection->length += (size_t)count;
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))) return;
    connection->is_ended = true;
    connection->error = count < 0 ? errno : 0;
}

/* How the connection ended, for a message's end. */
static const char *ending(const struct resp3 *connection) {
    if (!connection->is_ended) return "";
    return connection->error == 0 ? " and the end" : " and a broken connection";
}

/* Waits for one of the events, at most until the deadline. False if that has passed. */
static bool await(const struct resp3 *connection, short events, int64_t deadline, short *happened) {
    struct pollfd watched = {.fd = connection->fd, .events = events};
    int64_t left = deadline - now_us();
    int count = left <= 0 ? 0 : poll(&watched, 1, (int)(left / 1000) + 1);
    *happened = count > 0 ? watched.revents : 0;
    return count > 0 || (left > 0 && count < 0 && errno == EINTR);
}

static int64_t deadline_from_now(void) {
    return now_us() + PATIENCE_SECONDS * INT64_C(1000000);
}

/* Until there are so many bytes to read, or no more will come. */
static void fill(struct resp3 *connection, size_t length) {
    int64_t deadline = deadline_from_now();
    while (connection->length < length && !connection->is_ended) {
        short happened;
        if (!await(connection, POLLIN, deadline, &happened))
            fail_msg("only %zu of %zu bytes after %d seconds: %.*s", connection->length, length,
                     PATIENCE_SECONDS,
                     (int)(connection->length < SHOWN_MOST ? connection->length : SHOWN_MOST),
                     connection->data + connection->start);
        receive(connection);
    }
}

void resp3_send(struct resp3 *connection, const char *data, size_t length) {
    int64_t deadline = deadline_from_now();
    while (length > 0) {
        short happened, wanted = connection->is_ended ? POLLOUT : POLLIN | POLLOUT;
        if (!await(connection, wanted, deadline, &happened))
            fail_msg("the server takes nothing for %d seconds", PATIENCE_SECONDS);
        if (happened & POLLIN) receive(connection);
        if (!(happened & (POLLOUT | POLLERR | POLLHUP))) continue;
        ssize_t sent = send(connection->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) fail_msg("can't send: %s", strerror(errno));
        if (sent <= 0) continue;
        data += sent;
        length -= (size_t)sent;
        deadline = deadline_from_now();
    }
}

void resp3_send_text(struct resp3 *connection, const char *text) {
    resp3_send(connection, text, strlen(text));
}

void resp3_send_command(struct resp3 *connection, const char *const *arguments) {
    char *request = NULL;
    size_t length = 0, count = 0;
    while (arguments[count] != NULL) count++;
    FILE *out = open_memstream(&request, &length);
    assert_non_null(out);
    fprintf(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) fprintf(out, "$%zu\r\n%s\r\n", strlen(arguments[i]), arguments[i]);
    fclose(out);
    resp3_send(connection, request, length);
    free(request);
}

/* ------------------------------------------------------------------ bytes */

static void take(struct resp3 *connection, size_t length) {
    connection->start += length;
    connection->length -= length;
    if (connection->length == 0) connection->start = 0;
}

char *resp3_read_bytes(struct resp3 *connection, size_t length) {
    fill(connection, length);
    if (connection->length < length)
        fail_msg("the server closed after %zu of %zu bytes", connection->length, length);
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    if (length > 0) memcpy(bytes, connection->data + connection->start, length);
    bytes[length] = '\0';
    take(connection, length);
    return bytes;
}

char *resp3_read_line(struct resp3 *connection) {
    for (size_t seen = 0;;) {
        fill(connection, seen + 1);
        if (connection->length <= seen) fail_msg("the server closed within a line, after %zu bytes", seen);
        const char *unread = connection->data + connection->start;
        const char *end = memchr(unread + seen, '\n', connection->length - seen);
        if (end != NULL) return resp3_read_bytes(connection, (size_t)(end - unread) + 1);
        seen = connection->length;
    }
}

void resp3_expect_bytes(struct resp3 *connection, const char *data, size_t length) {
    fill(connection, length);
    size_t there = connection->length < length ? connection->length : length, same = 0;
    const char *unread = connection->data + connection->start;
    if (there == length && (length == 0 || memcmp(unread, data, length) == 0)) {
        take(connection, length);
        return;
    }
    while (same < there && unread[same] == data[same]) same++;
    size_t actual = connection->length - same;
    fail_msg("from byte %zu of %zu on: expected \"%.*s\", got \"%.*s\"%s", same, length,
             (int)(length - same < SHOWN_MOST ? length - same : SHOWN_MOST), data + same,
             (int)(actual < SHOWN_MOST ? actual : SHOWN_MOST), unread + same, ending(connection));
}

void resp3_expect(struct resp3 *connection, const char *text) {
    resp3_expect_bytes(connection, text, strlen(text));
}

void resp3_await_end(struct resp3 *connection) {
    int64_t deadline = deadline_from_now();
    while (!connection->is_ended) {
        short happened;
        if (!await(connection, POLLIN, deadline, &happened))
            fail_msg("the server doesn't close within %d seconds", PATIENCE_SECONDS);
        receive(connection);
    }
}

void resp3_expect_end(struct resp3 *connection) {
    resp3_await_end(connection);
    if (connection->length > 0 || connection->error != 0)
        fail_msg("expected the end, got \"%.*s\"%s",
                 (int)(connection->length < SHOWN_MOST ? connection->length : SHOWN_MOST),
                 connection->data + connection->start, ending(connection));
}

void resp3_expect_silence(struct resp3 *connection) {
    receive(connection);
    if (connection->length > 0 || connection->is_ended)
        fail_msg("expected nothing, got \"%.*s\"%s",
                 (int)(connection->length < SHOWN_MOST ? connection->length : SHOWN_MOST),
                 connection->data + connection->start, ending(connection));
}

/* ------------------------------------------------------------------ replies */

/* A line's number, from its second byte on. */
static int64_t line_number(const char *line) {
    char *end;
    errno = 0;
    long long number = strtoll(line + 1, &end, 10);
    if (errno != 0 || end == line + 1 || strcmp(end, "\r\n") != 0) fail_msg("no number: %s", line);
    return number;
}

static void read_value(struct resp3 *connection, struct resp3_value *value, int depth);

static void read_elements(struct resp3 *connection, struct resp3_value *value, int64_t count, int depth) {
    if (count < 0 || count > INT32_MAX) fail_msg("%c%" PRId64 " elements", value->kind, count);
    value->count = (size_t)count;
    value->elements = calloc(value->count + 1, sizeof *value->elements);
    assert_non_null(value->elements);
    for (size_t i = 0; i < value->count; i++) read_value(connection, &value->elements[i], depth + 1);
}

static void read_bulk(struct resp3 *connection, struct resp3_value *value, int64_t length) {
    if (length < 0) fail_msg("%c%" PRId64 " bytes", value->kind, length);
    value->length = (size_t)length;
    value->text = resp3_read_bytes(connection, value->length);
    resp3_expect(connection, "\r\n");
    if (value->kind == '=' && (length < 4 || value->text[3] != ':')) fail_msg("no format: =%s", value->text);
}

static void read_value(struct resp3 *connection, struct resp3_value *value, int depth) {
    if (depth == DEPTH_MOST) fail_msg("a reply of more than %d levels", DEPTH_MOST);
    char *line = resp3_read_line(connection);
    size_t length = strlen(line);
    if (length < 3 || line[length - 2] != '\r') fail_msg("no line of RESP: %s", line);
    value->kind = line[0];
    switch (line[0]) {
    case '+':
    case '-':
    case ',':
    case '(': value->text = strndup(line + 1, length - 3); break;
    case ':': value->integer = line_number(line); break;
    case '#':
        value->integer = line[1] == 't';
        if (length != 4 || (line[1] != 't' && line[1] != 'f')) fail_msg("no boolean: %s", line);
        break;
    case '_':
        value->is_null = true;
        if (length != 3) fail_msg("no null: %s", line);
        break;
    case '$':
    case '=':
        if (strcmp(line, "$-1\r\n") == 0)
            value->is_null = true;
        else
            read_bulk(connection, value, line_number(line));
        break;
    case '*':
    case '~':
    case '>':
        if (strcmp(line, "*-1\r\n") == 0)
            value->is_null = true;
        else
            read_elements(connection, value, line_number(line), depth);
        break;
    case '%':
    case '|': read_elements(connection, value, 2 * line_number(line), depth); break;
    default: fail_msg("no reply begins with: %s", line);
    }
    if (value->text != NULL && value->length == 0) value->length = strlen(value->text);
    free(line);
}

struct resp3_value *resp3_read(struct resp3 *connection) {
    struct resp3_value *value = calloc(1, sizeof *value);
    assert_non_null(value);
    read_value(connection, value, 0);
    return value;
}

static void value_clear(struct resp3_value *value) {
    for (size_t i = 0; i < value->count; i++) value_clear(&value->elements[i]);
    free(value->elements);
    free(value->text);
}

void resp3_value_free(struct resp3_value *value) {
    value_clear(value);
    free(value);
}

static void write_value(FILE *out, const struct resp3_value *value) {
    bool is_map = value->kind == '%' || value->kind == '|';
    if (value->is_null) {
        fputs("(nil)", out);
        return;
    }
    switch (value->kind) {
    case '+':
    case '$': fwrite(value->text, 1, value->length, out); break;
    case '-':
    case '=': fprintf(out, "%c%s", value->kind, value->text); break;
    case ',':
    case '(': fprintf(out, "(%s)", value->text); break;
    case '#': fputs(value->integer ? "(true)" : "(false)", out); break;
    case ':': fprintf(out, "%" PRId64, value->integer); break;
    default:
        if (value->kind != '*' && value->kind != '%') fputc(value->kind, out);
        fputc(is_map ? '{' : '[', out);
        for (size_t i = 0; i < value->count; i++) {
            if (i > 0) fputs(is_map && i % 2 == 1 ? ": " : ", ", out);
            write_value(out, &value->elements[i]);
        }
        fputc(is_map ? '}' : ']', out);
    }
}

char *resp3_value_text(const struct resp3_value *value) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    write_value(out, value);
    fclose(out);
    return text;
}

const struct resp3_value *resp3_value_find(const struct resp3_value *map, const char *key) {
    for (size_t i = 0; i + 1 < map->count; i += 2) {
        const char *text = map->elements[i].text;
        if (text != NULL && strcmp(text, key) == 0) return &map->elements[i + 1];
    }
    return NULL;
}

void resp3_expect_value(struct resp3 *connection, const char *expected) {
    struct resp3_value *value = resp3_read(connection);
    char *text = resp3_value_text(value);
    if (strcmp(text, expected) != 0) fail_msg("expected %s, got %s", expected, text);
    free(text);
    resp3_value_free(value);
}

/* ------------------------------------------------------------------ questions */

void resp3_exchange(struct resp3 *connection, const char *request, const char *reply) {
    resp3_send_text(connection, request);
    resp3_send_text(connection, "\r\n");
    resp3_expect(connection, reply);
}

long resp3_integer(struct resp3 *connection, const char *request) {
    resp3_send_text(connection, request);
    resp3_send_text(connection, "\r\n");
    struct resp3_value *value = resp3_read(connection);
    assert_int_equal(value->kind, ':');
    long number = (long)value->integer;
    resp3_value_free(value);
    return number;
}

/* Others are kept open meanwhile, as the next one would take their place. */
struct resp3 *resp3_connect_to(const struct server *server, long worker) {
    struct resp3 *others[MOST_CONNECTIONS_TRIED], *found = NULL;
    int64_t deadline = now_us() + PATIENCE_SECONDS * INT64_C(1000000);
    int count = 0;
    while (found == NULL) {
        struct resp3 *connection = resp3_connect(server);
        if (resp3_integer(connection, "DEBUG WORKER") == worker)
            found = connection;
        else
            others[count++] = connection;
        if (count < MOST_CONNECTIONS_TRIED) continue;
        if (now_us() > deadline) fail_msg("none of %d connections is worker %ld's", count, worker);
        while (count > 0) resp3_close(others[--count]);
    }
    while (count > 0) resp3_close(others[--count]);
    return found;
}
