#include "news.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"

/* From here on a text is sent from the one place where it is, rather than copied for each hearer. */
#define SHARE_LEAST 4096
/* A head in front of a text that is copied. */
#define HEAD_MOST 1024
/* Texts that are copied together: a hearer's memory is gone through once for all of them. */
#define COPIES_MOST 256
#define COPIES_BYTES 16384
_Static_assert(COPIES_BYTES >= 1 + HEAD_MOST + SHARE_LEAST, "there is room for one");
_Static_assert(BRIEF_MOST <= SHARE_LEAST, "what is on sheets is copied");

/* To one worker. */
struct news {
    struct message message;
    struct payload *payload;
    const struct task *except;
    size_t bytes;
    uint32_t count;
    struct part *parts[];
};

/* Workers that have more to read than they should. Read by all for each command, so that nothing that is
 * written often may be beside it. */
static struct {
    _Alignas(64) _Atomic uint32_t congested;
} all;
/* Those that this thread has to wake: a bit for each of the first, and one for all if there are more. */
static _Thread_local uint64_t to_wake;
/* Likewise those that this thread has told something that isn't urgent, and when it last called such. */
static _Thread_local uint64_t to_call;
static _Thread_local int64_t called;

/* ------------------------------------------------------------------ payload */

struct payload *payload_create(size_t capacity) {
    struct payload *payload = malloc(sizeof *payload + capacity);
    if (payload == NULL) return NULL;
    atomic_init(&payload->holders, 1);
    payload->name_length = 0;
    payload->length = 0;
    payload->capacity = capacity;
    return payload;
}

void payload_append(struct payload *payload, const void *bytes, size_t length) {
    assert(length <= payload->capacity - payload->length);
    memcpy(payload->bytes + payload->length, bytes, length);
    payload->length += length;
}

void payload_release(struct payload *payload) {
    if (atomic_fetch_sub(&payload->holders, 1) == 1) free(payload);
}

static void release_of_owner(void *owner) {
    payload_release(owner);
}

/* ------------------------------------------------------------------ what waits to be read */

bool news_is_congested(void) {
    return atomic_load_explicit(&all.congested, memory_order_relaxed) > 0;
}

/* Each way across the line is seen by exactly one. */
static void waiting_add(struct worker *worker, size_t bytes) {
    size_t before = atomic_fetch_add(&worker->news_bytes, bytes);
    if (before <= NEWS_MOST && before + bytes > NEWS_MOST) atomic_fetch_add(&all.congested, 1);
}

static void waiting_subtract(struct worker *worker, size_t bytes) {
    size_t before = atomic_fetch_sub(&worker->news_bytes, bytes);
    if (before > NEWS_MOST && before - bytes <= NEWS_MOST) atomic_fetch_sub(&all.congested, 1);
}

/* ------------------------------------------------------------------ reading */

/* A monitor's lines are replies of a kind; who doesn't want replies hears what it has subscribed to all the
 * same. */
static bool is_deaf(const struct part *part, const struct task *task) {
    enum reply_mode mode = task->session.reply_mode;
    return part->head_length == 0 && (mode == REPLY_OFF || mode == REPLY_SKIP);
}

static char first_byte(const struct task *task) {
    return task->session.protocol == 3 ? '>' : '*';
}

/* A text, as one part is told it. */
struct told {
    const char *bytes;
    size_t length;
};

static struct told told_of(const struct part *part, const char *bytes, size_t length, size_t name_length) {
    size_t skipped = part->has_name ? name_length : 0;
    return (struct told){.bytes = bytes + skipped, .length = length - skipped};
}

static struct told told_of_payload(const struct part *part, const struct payload *payload) {
    return told_of(part, payload->bytes, payload->length, payload->name_length);
}

/* Texts for the same hearers that are copied to each of them at once. */
struct copies {
    const struct part *part;
    const struct task *except;
    uint32_t count;
    size_t length;
    bool is_for_3; /* the protocol that the first bytes are of */
    uint32_t starts[COPIES_MOST];
    char text[COPIES_BYTES];
};

static bool is_copied(const struct part *part, const struct news *news) {
    return news->payload->length < SHARE_LEAST && part->head_length <= HEAD_MOST;
}

static size_t length_with_head(const struct part *part, size_t length) {
    return (part->head_length > 0) + part->head_length + length;
}

static bool copies_have_room(const struct copies *copies, size_t length) {
    return copies->count < COPIES_MOST &&
           length_with_head(copies->part, length) <= sizeof copies->text - copies->length;
}

static bool copies_may_have(const struct copies *copies, const struct news *news) {
    const struct part *part = news->parts[0];
    return part == copies->part && news->except == copies->except && is_copied(part, news) &&
           copies_have_room(copies, told_of_payload(part, news->payload).length);
}

static void copies_begin(struct copies *copies, const struct part *part, const struct task *except) {
    copies->part = part;
    copies->except = except;
    copies->count = 0;
    copies->length = 0;
    copies->is_for_3 = false;
}

static void copies_add(struct copies *copies, struct told told) {
    const struct part *part = copies->part;
    char *at = copies->text + copies->length;
    copies->starts[copies->count++] = (uint32_t)copies->length;
    if (part->head_length > 0) *at++ = '*';
    memcpy(at, part->head, part->head_length);
    memcpy(at + part->head_length, told.bytes, told.length);
    copies->length += length_with_head(part, told.length);
}

/* The first bytes tell the protocol; hearers' are mostly the same. */
static void copies_write_for(struct copies *copies, const struct task *task) {
    bool is_for_3 = first_byte(task) != '*';
    if (copies->part->head_length == 0 || is_for_3 == copies->is_for_3) return;
    for (uint32_t i = 0; i < copies->count; i++) copies->text[copies->starts[i]] = first_byte(task);
    copies->is_for_3 = is_for_3;
}

/* Each of these goes from the last to the first: one that is closed for owing too much is replaced by one
 * that has it already. */
static void tell_copies(struct copies *copies) {
    const struct part *part = copies->part;
    for (uint32_t i = part->count; i-- > 0;) {
        struct task *task = part->hearers[i]->task;
        if (task == copies->except || is_deaf(part, task)) continue;
        copies_write_for(copies, task);
        task->functions->push(task, copies->text, copies->length);
    }
}

static void tell_references(const struct part *part, const struct news *news) {
    struct payload *payload = news->payload;
    struct told told = told_of_payload(part, payload);
    for (uint32_t i = part->count; i-- > 0;) {
        struct task *task = part->hearers[i]->task;
        char first = first_byte(task);
        if (task == news->except || is_deaf(part, task)) continue;
        if (part->head_length > 0) {
            task->functions->push(task, &first, 1);
            task->functions->push(task, part->head, part->head_length);
        }
        atomic_fetch_add(&payload->holders, 1);
        task->functions->push_reference(task, told.bytes, told.length, payload, release_of_owner);
    }
}

static void close_all(const struct part *part) {
    log_write(LOG_WARNING, "Closing the monitors of worker %u: it was too busy to take all lines for them",
              part->worker->number);
    for (uint32_t i = part->count; i-- > 0;) {
        struct task *task = part->hearers[i]->task;
        task->functions->close(task, "monitor missed lines");
    }
}

static void news_free(struct worker *worker, struct news *news) {
    waiting_subtract(worker, news->bytes);
    for (uint32_t i = 0; i < news->count; i++) part_landed(news->parts[i]);
    payload_release(news->payload);
    free(news);
}

static void news_arrived(struct worker *worker, struct message *message);
static void sheet_arrived(struct worker *worker, struct message *message);

/* The next one, if it may go along with those. What is next otherwise is *other. */
static struct news *next_along(struct worker *worker, const struct copies *copies, struct message **other) {
    struct message *message = mailbox_pop(&worker->news);
    struct news *news = (struct news *)message;
    *other = message;
    if (message == NULL || message->handle != news_arrived || news->count != 1 ||
        !copies_may_have(copies, news))
        return NULL;
    return news;
}

/* What is for one part only, and what is for it as well and follows. Returns what comes behind, or NULL. */
static struct message *tell_along(struct worker *worker, struct news *news) {
    struct copies copies;
    struct news *told[COPIES_MOST];
    struct message *other;
    uint32_t count = 0;
    copies_begin(&copies, news->parts[0], news->except);
    do {
        told[count++] = news;
        copies_add(&copies, told_of_payload(copies.part, news->payload));
    } while ((news = next_along(worker, &copies, &other)) != NULL);
    tell_copies(&copies);
    for (uint32_t i = 0; i < count; i++) news_free(worker, told[i]);
    return other;
}

static void tell_part(const struct part *part, const struct news *news) {
    struct copies copies;
    if (!is_copied(part, news)) {
        tell_references(part, news);
        return;
    }
    copies_begin(&copies, part, news->except);
    copies_add(&copies, told_of_payload(part, news->payload));
    tell_copies(&copies);
}

static bool misses_some(struct worker *worker, const struct part *part) {
    return part->head_length == 0 &&
           atomic_exchange_explicit(&worker->news_missed, false, memory_order_relaxed);
}

static struct message *tell(struct worker *worker, struct news *news) {
    bool is_missed = misses_some(worker, news->parts[0]);
    if (!is_missed && news->count == 1 && is_copied(news->parts[0], news)) return tell_along(worker, news);
    if (is_missed) close_all(news->parts[0]);
    for (uint32_t i = is_missed; i < news->count; i++) tell_part(news->parts[i], news);
    news_free(worker, news);
    return NULL;
}

static struct part *part_of(const struct sheet *sheet) {
    return (struct part *)((char *)sheet->pad - offsetof(struct part, pad));
}

static void copies_add_all(struct copies *copies, const struct sheet *sheet) {
    for (uint32_t at = 0; at < sheet->used;) {
        struct told told;
        told.bytes = sheet_text(sheet, &at, &told.length);
        if (!copies_have_room(copies, told.length)) {
            tell_copies(copies);
            copies_begin(copies, part_of(sheet), NULL);
        }
        copies_add(copies, told);
    }
}

static void sheet_free(struct worker *worker, struct sheet *sheet) {
    waiting_subtract(worker, sheet->bytes);
    part_landed(part_of(sheet));
    free(sheet);
}

/* With those for the same part that follow. The part stays for as long as one of them is not freed. Returns
 * what comes behind, or NULL. */
static struct message *tell_sheets(struct worker *worker, struct sheet *sheet) {
    struct copies copies;
    struct message *next;
    bool goes_on;
    copies_begin(&copies, part_of(sheet), NULL);
    do {
        sheet_take(sheet);
        copies_add_all(&copies, sheet);
        next = mailbox_pop(&worker->news);
        goes_on = next != NULL && next->handle == sheet_arrived && ((struct sheet *)next)->pad == sheet->pad;
        if (!goes_on) tell_copies(&copies);
        sheet_free(worker, sheet);
        if (goes_on) sheet = (struct sheet *)next;
    } while (goes_on);
    return next;
}

static void read_on(struct worker *worker, struct message *message) {
    while (message != NULL) {
        if (message->handle == news_arrived) {
            message = tell(worker, (struct news *)message);
        } else if (message->handle == sheet_arrived) {
            message = tell_sheets(worker, (struct sheet *)message);
        } else {
            message->handle(worker, message);
            return;
        }
    }
}

static void news_arrived(struct worker *worker, struct message *message) {
    read_on(worker, message);
}

static void sheet_arrived(struct worker *worker, struct message *message) {
    read_on(worker, message);
}

/* ------------------------------------------------------------------ sending */

static struct news *news_create(struct payload *payload, uint32_t capacity, const struct task *except) {
    struct news *news = malloc(sizeof *news + capacity * sizeof(struct part *));
    if (news == NULL) return NULL;
    *news = (struct news){.message.handle = news_arrived, .payload = payload, .except = except};
    /* With what the allocator adds; the text itself may be others' as well. */
    news->bytes = sizeof *news + capacity * sizeof(struct part *) + payload->length + 3 * sizeof(max_align_t);
    return news;
}

static uint64_t bit_of(const struct worker *worker) {
    return UINT64_C(1) << (worker->number < 63 ? worker->number : 63);
}

/* Its own worker reads before anything else is executed, and at the end of its turn. */
static void send(struct worker *worker, struct message *message) {
    if (worker_push_news(worker, message) && worker != worker_self()) to_wake |= bit_of(worker);
}

static void send_off(struct news *news, bool is_urgent) {
    struct worker *worker = news->parts[0]->worker, *self = worker_self();
    atomic_fetch_add(&news->payload->holders, 1);
    for (uint32_t i = 0; i < news->count; i++) atomic_fetch_add(&news->parts[i]->flights, 1);
    waiting_add(worker, news->bytes);
    if (is_urgent || self == NULL || self == worker) {
        send(worker, &news->message);
        return;
    }
    worker_push_news_quietly(worker, &news->message);
    to_call |= bit_of(worker);
}

/* Those that are made, linked by their messages, and not sent yet. */
struct made {
    struct message *first;
};

static struct message *next_made(const struct message *message) {
    return atomic_load_explicit(&message->next, memory_order_relaxed);
}

static struct news *made_for(const struct made *made, const struct worker *worker) {
    for (struct message *message = made->first; message != NULL; message = next_made(message))
        if (((struct news *)message)->parts[0]->worker == worker) return (struct news *)message;
    return NULL;
}

static bool make_for(struct made *made, struct payload *payload, struct part *part, uint32_t capacity) {
    struct news *news = capacity == 1 ? NULL : made_for(made, part->worker);
    if (news == NULL) {
        news = news_create(payload, capacity, NULL);
        if (news == NULL) return false;
        atomic_store_explicit(&news->message.next, made->first, memory_order_relaxed);
        made->first = &news->message;
    }
    news->parts[news->count++] = part;
    return true;
}

bool news_send(struct payload *payload, struct audience *const *audiences, uint32_t count) {
    struct made made = {NULL};
    bool is_made = true;
    for (uint32_t i = 0; i < count && is_made; i++)
        for (struct part *part = audiences[i]->parts; part != NULL && is_made; part = part->next)
            is_made = make_for(&made, payload, part, count);
    for (struct message *message; (message = made.first) != NULL;) {
        made.first = next_made(message);
        if (is_made)
            send_off((struct news *)message, true);
        else
            free(message);
    }
    return is_made;
}

static bool prepare_sheets(const struct audience *audience, const struct brief *brief) {
    for (struct part *part = audience->parts; part != NULL; part = part->next) {
        struct told told = told_of(part, brief->bytes, brief->length, brief->name_length);
        if (!pad_prepare(&part->pad, told.length)) return false;
    }
    return true;
}

static void send_sheet(struct sheet *sheet) {
    atomic_fetch_add(&part_of(sheet)->flights, 1);
    sheet->message.handle = sheet_arrived;
    news_post(sheet->pad->worker, &sheet->message, sheet->bytes);
}

bool news_write(struct audience *audience, const struct brief *brief) {
    bool is_prepared = prepare_sheets(audience, brief);
    for (struct part *part = audience->parts; part != NULL; part = part->next) {
        struct told told = told_of(part, brief->bytes, brief->length, brief->name_length);
        struct sheet *made = is_prepared ? pad_write(&part->pad, told.bytes, told.length) : NULL;
        if (made != NULL) send_sheet(made);
        if (!is_prepared) pad_discard(&part->pad);
    }
    return is_prepared;
}

void news_send_or_close(struct payload *payload, struct audience *audience, const struct task *except) {
    for (struct part *part = audience->parts; part != NULL; part = part->next) {
        struct worker *worker = part->worker;
        bool has_room =
            payload != NULL && atomic_load_explicit(&worker->news_bytes, memory_order_relaxed) <= NEWS_MOST;
        struct news *news = has_room ? news_create(payload, 1, except) : NULL;
        if (news == NULL) {
            atomic_store(&worker->news_missed, true); /* the next one to arrive tells */
            continue;
        }
        news->parts[news->count++] = part;
        send_off(news, false);
    }
}

static void each_of(uint64_t some, void (*rouse)(struct worker *worker)) {
    for (uint32_t i = 0; i < worker_count(); i++)
        if ((some & bit_of(worker_at(i))) != 0 && worker_at(i) != worker_self()) rouse(worker_at(i));
}

void news_wake(void) {
    if (to_wake == 0) return;
    uint64_t some = to_wake;
    to_wake = 0;
    each_of(some, worker_wake);
}

bool news_call(int64_t now) {
    if (to_call == 0) return true;
    if (called == now) return false;
    uint64_t some = to_call;
    to_call = 0;
    called = now;
    each_of(some, worker_call_for_news);
    return true;
}

void news_mark(struct worker *worker, struct message *mark) {
    send(worker, mark);
}

void news_post(struct worker *worker, struct message *message, size_t bytes) {
    waiting_add(worker, bytes);
    send(worker, message);
}

void news_was_read(struct worker *worker, size_t bytes) {
    waiting_subtract(worker, bytes);
}

void news_abandon(struct worker *worker, bool (*is_kept)(const struct message *message)) {
    struct message *message;
    while ((message = mailbox_pop(&worker->news)) != NULL) {
        if (message->handle == news_arrived) {
            news_free(worker, (struct news *)message);
        } else if (message->handle == sheet_arrived) {
            sheet_take((struct sheet *)message);
            sheet_free(worker, (struct sheet *)message);
        } else if (!is_kept(message)) {
            free(message);
        }
    }
}
