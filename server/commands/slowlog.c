/* The slow log and its commands.
 *
 * Entries have consecutive numbers and stand in a ring, entry n in place n modulo its size, so that the
 * newest is added and the oldest leaves in a few steps however many there are. The mutex is one for all
 * workers: no entry is made, formatted or freed while it is held, and who goes over many lets it go after
 * each SLICE. */
#include "server/observe/slowlog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"
#include "commands.h"

#define ARGUMENTS_MOST 32
#define TEXT_MOST 128 /* of an argument, and of a client's name */
#define LEFT_OUT_MOST 48
#define SLICE 64
#define RING_LEAST 128

/* One allocation: the texts follow the struct. They are the arguments, the client's address and its name. */
struct slow_request {
    _Atomic uint32_t holders; /* the ring, and who is just replying it */
    uint32_t count;           /* of arguments */
    int64_t id, time, microseconds;
    uint32_t lengths[ARGUMENTS_MOST + 2];
    char text[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex: entries `oldest` up to, but not including, `next`. */
static struct slow_request **ring;
static size_t ring_size; /* a power of two, or 0 */
static int64_t oldest, next;

static struct slow_request **place_of(int64_t id) {
    return &ring[(size_t)id & (ring_size - 1)];
}

static void let_go(struct slow_request *request) {
    if (atomic_fetch_sub(&request->holders, 1) == 1) free(request);
}

/* ------------------------------------------------------------------ the ring */

/* Has a place for the next entry, and not many more than the entries need. Entries move only when their
 * number has doubled, or has become a fraction. */
static bool ring_fit(void) {
    size_t length = (size_t)(next - oldest), size = ring_size;
    if (length == size)
        size = size == 0 ? RING_LEAST : 2 * size;
    else if (size > RING_LEAST && length < size / 8)
        size /= 4;
    if (size == ring_size) return true;
    struct slow_request **places = malloc(size * sizeof(struct slow_request *));
    if (places == NULL) return length < ring_size;
    for (int64_t id = oldest; id < next; id++) places[(size_t)id & (size - 1)] = *place_of(id);
    free(ring);
    ring = places;
    ring_size = size;
    return true;
}

/* Forgets the entries before that one. */
static void cut(int64_t kept) {
    uint32_t count;
    do {
        struct slow_request *forgotten[SLICE];
        count = 0;
        pthread_mutex_lock(&mutex);
        while (oldest < kept && oldest < next && count < SLICE) forgotten[count++] = *place_of(oldest++);
        pthread_mutex_unlock(&mutex);
        for (uint32_t i = 0; i < count; i++) let_go(forgotten[i]);
    } while (count == SLICE);
}

/* ------------------------------------------------------------------ an entry */

/* A text as it is kept: its beginning, and how much was left out. Returns its length; without `out` the room
 * that it needs. */
static size_t text_write(char *out, const char *text, size_t length) {
    size_t kept = length > TEXT_MOST ? TEXT_MOST : length;
    if (out == NULL) return kept < length ? kept + LEFT_OUT_MOST : kept;
    memcpy(out, text, kept);
    if (kept < length)
        kept += (size_t)snprintf(out + kept, LEFT_OUT_MOST, "... (%zu more bytes)", length - kept);
    return kept;
}

static struct slow_request *request_create(const struct bulk *texts, uint32_t count) {
    size_t size = sizeof(struct slow_request), at = 0;
    for (uint32_t i = 0; i < count; i++) size += text_write(NULL, texts[i].data, texts[i].length);
    struct slow_request *request = malloc(size);
    if (request == NULL) return NULL;
    atomic_init(&request->holders, 1);
    request->count = count - 2;
    for (uint32_t i = 0; i < count; i++) {
        request->lengths[i] = (uint32_t)text_write(request->text + at, texts[i].data, texts[i].length);
        at += request->lengths[i];
    }
    return request;
}

/* bulk has no const; nothing writes here. */
static struct bulk bulk_of(const char *text) {
    return (struct bulk){.data = (char *)(uintptr_t)text, .length = strlen(text)};
}

void slowlog_note(const struct bulk *arguments, uint32_t count, uint64_t microseconds, int64_t now,
                  const char *peer, const char *name) {
    struct bulk texts[ARGUMENTS_MOST + 2];
    char left_out[64];
    uint32_t kept = count > ARGUMENTS_MOST ? ARGUMENTS_MOST : count;
    memcpy(texts, arguments, kept * sizeof *texts);
    if (count > ARGUMENTS_MOST) {
        snprintf(left_out, sizeof left_out, "... (%u more arguments)", count - ARGUMENTS_MOST + 1);
        texts[ARGUMENTS_MOST - 1] = bulk_of(left_out);
    }
    texts[kept++] = bulk_of(peer);
    texts[kept++] = bulk_of(name == NULL ? "" : name);
    struct slow_request *request = request_create(texts, kept);
    if (request == NULL) return; /* an entry is missing; the request was answered */
    request->time = now / 1000;
    request->microseconds = (int64_t)microseconds;
    int64_t most = atomic_load_explicit(&config.slowlog_max_len, memory_order_relaxed);
    pthread_mutex_lock(&mutex);
    bool is_added = ring_fit();
    if (is_added) {
        request->id = next;
        *place_of(next++) = request;
    }
    int64_t first_kept = next - most;
    pthread_mutex_unlock(&mutex);
    if (!is_added) let_go(request);
    cut(first_kept);
}

/* ------------------------------------------------------------------ commands */

static void reply_request(const struct slow_request *request, struct reply *reply) {
    const char *text = request->text;
    reply_array(reply, 6);
    reply_integer(reply, request->id);
    reply_integer(reply, request->time);
    reply_integer(reply, request->microseconds);
    reply_array(reply, request->count);
    for (uint32_t i = 0; i < request->count + 2; text += request->lengths[i++])
        reply_bulk(reply, text, request->lengths[i]);
}

/* Entries before `end`, newest first, at most `most`. Returns how many there were. */
static uint32_t hold_some(struct slow_request **held, int64_t *end, int64_t most) {
    uint32_t count = 0;
    pthread_mutex_lock(&mutex);
    if (*end > next) *end = next;
    while (*end > oldest && count < SLICE && count < most) {
        struct slow_request *request = *place_of(--*end);
        atomic_fetch_add(&request->holders, 1);
        held[count++] = request;
    }
    pthread_mutex_unlock(&mutex);
    return count;
}

void command_slowlog_get(const struct call *call, struct reply *reply) {
    int64_t most = 10, end = INT64_MAX;
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 3 && !argument_integer_within(&call->arguments[2], -1, INT64_MAX, &most, reply,
                                                     "ERR count should be greater than or equal to -1"))
        return;
    if (most == -1) most = INT64_MAX;
    size_t mark = reply_defer(reply), shown = 0;
    uint32_t count;
    do {
        struct slow_request *held[SLICE];
        count = hold_some(held, &end, most - (int64_t)shown);
        for (uint32_t i = 0; i < count; i++) {
            reply_request(held[i], reply);
            let_go(held[i]);
        }
        shown += count;
    } while (count == SLICE);
    reply_defer_array(reply, mark, shown);
}

void command_slowlog_len(const struct call *call, struct reply *reply) {
    (void)call;
    pthread_mutex_lock(&mutex);
    int64_t length = next - oldest;
    pthread_mutex_unlock(&mutex);
    reply_integer(reply, length);
}

void command_slowlog_reset(const struct call *call, struct reply *reply) {
    (void)call;
    pthread_mutex_lock(&mutex);
    int64_t end = next;
    pthread_mutex_unlock(&mutex);
    cut(end);
    reply_ok(reply);
}

void command_slowlog_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET [<count>]",
        "    The latest slow requests (default: 10; -1: all), newest first. Each is",
        "    its number, unix time, microseconds, arguments, the client's address and name.",
        "LEN",
        "    How many there are.",
        "RESET",
        "    Forgets them.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_array(reply, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) reply_status(reply, lines[i]);
}
