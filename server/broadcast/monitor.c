#include "monitor.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/config/config.h"
#include "server/base/log.h"

_Atomic uint32_t monitor_count;

/* Memory of lines that may wait in one worker's mailbox, as Redis's hard limit for subscribers. */
#define MAIL_MOST ((size_t)32 * 1024 * 1024)
/* From here on a line is sent from the one place where it is, rather than copied for each monitor. */
#define SHARE_LEAST 4096

/* What all monitors are sent. */
struct line {
    _Atomic uint32_t holders;
    size_t length;
    char *text;
};

/* A line on its way to another worker's monitors. */
struct delivery {
    struct message message;
    struct line *line;
};

/* With what the allocator adds to each of three. The line itself may be others' as well. */
static size_t delivery_bytes(const struct line *line) {
    return sizeof(struct delivery) + sizeof *line + line->length + 3 * sizeof(max_align_t);
}

static void line_release(void *owner) {
    struct line *line = owner;
    if (atomic_fetch_sub(&line->holders, 1) > 1) return;
    free(line->text);
    free(line);
}

/* ------------------------------------------------------------------ the monitors */

bool monitor_add(struct worker *worker, struct task *task) {
    uint32_t count = atomic_load_explicit(&worker->monitor_count, memory_order_relaxed);
    if (task->session.is_monitor) return true;
    if (count == worker->monitor_capacity) {
        uint32_t capacity = count == 0 ? 4 : count * 2;
        struct task **monitors = realloc(worker->monitors, capacity * sizeof(struct task *));
        if (monitors == NULL) return false;
        worker->monitors = monitors;
        worker->monitor_capacity = capacity;
    }
    if (count == 0)
        atomic_store(&worker->monitors_miss_lines, false); /* none that is here now has missed any */
    task->session.is_monitor = true;
    task->session.monitor_place = count;
    worker->monitors[count] = task;
    atomic_fetch_add(&worker->monitor_count, 1);
    atomic_fetch_add(&monitor_count, 1);
    return true;
}

/* The last one takes its place. */
void monitor_forget(struct worker *worker, struct task *task) {
    if (!task->session.is_monitor) return;
    uint32_t place = task->session.monitor_place;
    struct task *last = worker->monitors[atomic_fetch_sub(&worker->monitor_count, 1) - 1];
    worker->monitors[place] = last;
    last->session.monitor_place = place;
    task->session.is_monitor = false;
    atomic_fetch_sub(&monitor_count, 1);
}

/* ------------------------------------------------------------------ from worker to worker */

static void push_to(struct task *task, struct line *line) {
    enum reply_mode mode = task->session.reply_mode;
    if (mode == REPLY_OFF || mode == REPLY_SKIP) return;
    if (line->length < SHARE_LEAST) {
        task->functions->push(task, line->text, line->length);
        return;
    }
    atomic_fetch_add(&line->holders, 1);
    task->functions->push_reference(task, line->text, line->length, line, line_release);
}

/* From the last to the first: one that is closed for owing too much is replaced by one that has the line
 * already. */
static void push_to_own(struct worker *worker, struct line *line, const struct task *except) {
    for (uint32_t i = atomic_load_explicit(&worker->monitor_count, memory_order_relaxed); i-- > 0;)
        if (worker->monitors[i] != except) push_to(worker->monitors[i], line);
}

static void close_own(struct worker *worker) {
    log_write(LOG_WARNING, "Closing the monitors of worker %u: it was too busy to take all lines for them",
              worker->number);
    for (uint32_t i = atomic_load_explicit(&worker->monitor_count, memory_order_relaxed); i-- > 0;)
        worker->monitors[i]->functions->close(worker->monitors[i], "monitor missed lines");
}

static void line_arrived(struct worker *worker, struct message *message) {
    struct delivery *delivery = (struct delivery *)message;
    struct line *line = delivery->line;
    atomic_fetch_sub(&worker->monitor_mail, delivery_bytes(line));
    if (atomic_exchange(&worker->monitors_miss_lines, false)) close_own(worker);
    push_to_own(worker, line, NULL);
    line_release(line);
    free(delivery);
}

static void send_to(struct worker *worker, struct line *line) {
    size_t before = atomic_fetch_add(&worker->monitor_mail, delivery_bytes(line));
    struct delivery *delivery = before > MAIL_MOST ? NULL : malloc(sizeof *delivery);
    if (delivery == NULL) {
        atomic_fetch_sub(&worker->monitor_mail, delivery_bytes(line));
        atomic_store(&worker->monitors_miss_lines, true); /* the next one to arrive tells */
        return;
    }
    *delivery = (struct delivery){.message.handle = line_arrived, .line = line};
    atomic_fetch_add(&line->holders, 1);
    worker_send(worker, &delivery->message);
}

/* ------------------------------------------------------------------ a line */

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

static void line_write(struct reply *text, const struct task *task, uint32_t database, const char *origin,
                       const struct bulk *arguments, uint32_t count) {
    char head[128 + TASK_ADDRESS], own[TASK_ADDRESS];
    if (origin == NULL) task->functions->origin(task, own, sizeof own);
    int64_t now = clock_wall_us();
    int length = snprintf(head, sizeof head, "+%lld.%06lld [%u %s]", (long long)(now / 1000000),
                          (long long)(now % 1000000), database, origin == NULL ? own : origin);
    reply_raw(text, head, (size_t)length);
    for (uint32_t i = 0; i < count; i++) write_quoted(text, &arguments[i]);
    reply_raw(text, "\r\n", 2);
}

/* Takes over the text's bytes, but not the room behind them: it may be many times as large, and many lines
 * may wait. */
static struct line *line_create(struct reply *text) {
    struct line *line = text->is_broken ? NULL : malloc(sizeof *line);
    if (line == NULL) return NULL;
    char *fitting = realloc(text->data, text->length);
    if (fitting != NULL) text->data = fitting;
    atomic_init(&line->holders, 1);
    line->text = text->data;
    line->length = text->length;
    text->data = NULL;
    return line;
}

void monitor_feed(struct worker *worker, struct task *task, uint32_t database, const char *origin,
                  const struct bulk *arguments, uint32_t count, struct reply *own) {
    struct reply text;
    reply_init(&text, 2);
    line_write(&text, task, database, origin, arguments, count);
    struct line *line = line_create(&text);
    reply_free(&text);
    if (line != NULL && task->session.is_monitor && own != NULL) reply_raw(own, line->text, line->length);
    for (uint32_t i = 0; i < worker_count(); i++) {
        struct worker *other = worker_at(i);
        if (atomic_load(&other->monitor_count) == 0) continue;
        if (line == NULL)
            atomic_store(&other->monitors_miss_lines, true); /* rather than the client its answer */
        else if (other == worker)
            push_to_own(worker, line, task);
        else
            send_to(other, line);
    }
    if (line != NULL) line_release(line);
}
