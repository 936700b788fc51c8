#include "monitor.h"

#include <stdlib.h>
#include <string.h>

#include "shard/base/mutex.h"
#include "shard/base/number.h"
#include "server/base/clock.h"
#include "server/config/config.h"
#include "news.h"

_Atomic uint32_t monitor_count;

static struct {
    struct mutex mutex;
    struct audience audience GUARDED_BY(&mutex);
} monitors = {.mutex = MUTEX_INITIALIZER};

/* ------------------------------------------------------------------ the monitors */

bool monitor_add(struct worker *worker, struct task *task) {
    struct session *session = &task->session;
    size_t before = session_bytes(session);
    if (session_is_monitor(session)) return true;
    struct hearer *hearer = session_subscriptions(session) == NULL ? NULL : malloc(sizeof *hearer);
    bool is_counted = false;
    if (hearer != NULL) {
        hearer->task = task;
        mutex_lock(&monitors.mutex);
        is_counted = audience_count(&monitors.audience, worker, hearer, &(struct head){NULL, 0, false});
        if (is_counted && hearer->part->counted == 1)
            atomic_store(&worker->news_missed, false); /* none that is here now has missed any */
        mutex_unlock(&monitors.mutex);
    }
    if (!is_counted) {
        free(hearer);
        session_subscriptions_trim(session);
        return false;
    }
    hearer_enter(hearer);
    session->subscriptions->monitor = hearer;
    worker_account_session(worker, session, before);
    atomic_fetch_add(&monitor_count, 1);
    return true;
}

void monitor_forget(struct task *task) {
    struct session *session = &task->session;
    if (!session_is_monitor(session)) return;
    struct hearer *hearer = session->subscriptions->monitor;
    struct worker *worker = hearer->part->worker;
    size_t before = session_bytes(session);
    mutex_lock(&monitors.mutex);
    audience_discount(&monitors.audience, hearer);
    mutex_unlock(&monitors.mutex);
    hearer_leave(hearer);
    free(hearer);
    session->subscriptions->monitor = NULL;
    session_subscriptions_trim(session);
    worker_account_session(worker, session, before);
    atomic_fetch_sub(&monitor_count, 1);
}

/* ------------------------------------------------------------------ a line */

static bool is_plain(unsigned char byte) {
    return byte >= 32 && byte <= 126 && byte != '"' && byte != '\\';
}

static void write_escaped(struct reply *out, unsigned char byte) {
    static const char digits[] = "0123456789abcdef", plain[] = "\n\r\t\a\b\"\\", escaped[] = "nrtab\"\\";
    const char *special = byte == 0 ? NULL : memchr(plain, byte, sizeof plain - 1);
    char text[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    if (special != NULL) text[1] = escaped[special - plain];
    reply_raw(out, text, special != NULL ? 2 : 4);
}

static void write_quoted(struct reply *out, const struct bulk *argument) {
    reply_raw(out, " \"", 2);
    for (size_t i = 0, run; i < argument->length; i += run) {
        run = 0;
        while (i + run < argument->length && is_plain((unsigned char)argument->data[i + run])) run++;
        reply_raw(out, argument->data + i, run);
        if (run == 0) {
            write_escaped(out, (unsigned char)argument->data[i]);
            run = 1;
        }
    }
    reply_raw(out, "\"", 1);
}

static void line_write(struct reply *text, const struct task *task, uint32_t database, const char *origin,
                       const struct bulk *arguments, uint32_t count) {
    char head[3 * NUMBER_DIGITS + 16], own[TASK_ADDRESS];
    if (origin == NULL) task->functions->origin(task, own, sizeof own);
    int64_t now = clock_wall_us(), below = now % 1000000;
    const char *from = origin == NULL ? own : origin;
    size_t length = 0;
    head[length++] = '+';
    length += number_format(head + length, now / 1000000);
    head[length++] = '.';
    for (int64_t unit = 100000; unit > 0; unit /= 10) head[length++] = (char)('0' + below / unit % 10);
    head[length++] = ' ';
    head[length++] = '[';
    length += number_format(head + length, database);
    head[length++] = ' ';
    reply_raw(text, head, length);
    reply_raw(text, from, strlen(from));
    reply_raw(text, "]", 1);
    for (uint32_t i = 0; i < count; i++) write_quoted(text, &arguments[i]);
    reply_raw(text, "\r\n", 2);
}

void monitor_feed(struct task *task, uint32_t database, const char *origin, const struct bulk *arguments,
                  uint32_t count, struct reply *own) {
    struct reply text;
    reply_init(&text, 2);
    line_write(&text, task, database, origin, arguments, count);
    struct payload *line = text.is_broken ? NULL : payload_create(text.length);
    if (line != NULL) payload_append(line, text.data, text.length);
    reply_free(&text);
    if (line != NULL && session_is_monitor(&task->session) && own != NULL)
        reply_raw(own, line->bytes, line->length);
    mutex_lock(&monitors.mutex);
    news_send_or_close(line, &monitors.audience, task);
    mutex_unlock(&monitors.mutex);
    if (line != NULL) payload_release(line);
}
