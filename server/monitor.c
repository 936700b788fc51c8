#include "monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "config.h"

_Atomic uint32_t monitor_count;

/* A line on its way to another worker's monitors. */
struct line {
    struct message message;
    size_t length;
    char text[];
};

static void push_to_own(struct worker *worker, const char *text, size_t length) {
    for (struct connection *connection = worker->connections, *next; connection != NULL; connection = next) {
        next = connection->next; /* a push may close a client that is over its limit */
        if (connection->session.is_monitor) connection_push(connection, text, length);
    }
}

static void line_arrived(struct worker *worker, struct message *message) {
    struct line *line = (struct line *)message;
    push_to_own(worker, line->text, line->length);
    free(line);
}

/* Each worker's count lets one without monitors be sent nothing. */
void monitor_add(struct worker *worker, struct connection *connection) {
    if (connection->session.is_monitor) return;
    connection->session.is_monitor = true;
    atomic_fetch_add(&worker->monitor_count, 1);
    atomic_fetch_add(&monitor_count, 1);
}

void monitor_forget(struct worker *worker, struct connection *connection) {
    if (!connection->session.is_monitor) return;
    connection->session.is_monitor = false;
    atomic_fetch_sub(&worker->monitor_count, 1);
    atomic_fetch_sub(&monitor_count, 1);
}

static void write_quoted(struct reply *out, const struct bulk *argument) {
    static const char digits[] = "0123456789abcdef";
    reply_raw(out, " \"", 2);
    for (size_t i = 0; i < argument->length; i++) {
        unsigned char byte = (unsigned char)argument->data[i];
        static const char plain[] = "\n\r\t\a\b\"\\", escaped[] = "nrtab\"\\";
        const char *special = byte == 0 ? NULL : memchr(plain, byte, sizeof plain - 1);
        char text[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
        if (special != NULL) {
            text[1] = escaped[special - plain];
            reply_raw(out, text, 2);
        } else if (byte < 32 || byte > 126) {
            reply_raw(out, text, 4);
        } else {
            reply_raw(out, (const char *)&byte, 1);
        }
    }
    reply_raw(out, "\"", 1);
}

/* A unix socket has another form here than everywhere else. */
static void peer_write(const struct connection *connection, char *out, size_t size) {
    if (!connection->is_unix) {
        connection_peer(connection, out, size);
        return;
    }
    char path[CONNECTION_ADDRESS];
    config_text("unixsocket", path, sizeof path);
    snprintf(out, size, "unix:%.*s", (int)size - 6, path);
}

void monitor_feed(struct worker *worker, const struct connection *connection, uint32_t database, const struct bulk *arguments,
                  uint32_t count) {
    struct reply text;
    char head[128], peer[CONNECTION_ADDRESS];
    reply_init(&text, 2);
    peer_write(connection, peer, sizeof peer);
    int64_t now = clock_wall_us();
    int length = snprintf(head, sizeof head, "+%lld.%06lld [%u %s]", (long long)(now / 1000000), (long long)(now % 1000000), database,
                          peer);
    reply_raw(&text, head, (size_t)length < sizeof head ? (size_t)length : sizeof head - 1);
    for (uint32_t i = 0; i < count; i++) write_quoted(&text, &arguments[i]);
    reply_raw(&text, "\r\n", 2);
    for (uint32_t i = 0; i < worker_count() && !text.is_broken; i++) {
        struct worker *other = worker_at(i);
        if (atomic_load(&other->monitor_count) == 0) continue;
        if (other == worker) {
            push_to_own(worker, text.data, text.length);
            continue;
        }
        struct line *line = malloc(sizeof *line + text.length);
        if (line == NULL) continue; /* a monitor misses a line rather than a client its answer */
        line->message.handle = line_arrived;
        line->length = text.length;
        memcpy(line->text, text.data, text.length);
        worker_send(other, &line->message);
    }
    reply_free(&text);
}
