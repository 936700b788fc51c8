/* Entries have consecutive numbers and stand in a ring, entry n in place n modulo its size, so that the
 * newest is added and the oldest leaves in a few steps however many there are. The mutex is one for all
 * workers: no entry is made, formatted or freed while it is held, and a reader of many lets it go after
 * each SLICE. */
#include "slowlog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"

#define ARGUMENTS_MOST SLOWLOG_ARGUMENTS
#define TEXT_MOST 128 /* of an argument, and of a client's name */
#define LEFT_OUT_MOST 48
#define SLICE SLOWLOG_SLICE
#define RING_LEAST 128

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by mutex: entries `oldest` up to, but not including, `next`. */
static struct slow_request **ring;
static size_t ring_size; /* a power of two, or 0 */
static int64_t oldest, next;

static struct slow_request **place_of(int64_t id) {
    return &ring[(size_t)id & (ring_size - 1)];
}

void slowlog_let_go(struct slow_request *request) {
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
        for (uint32_t i = 0; i < count; i++) slowlog_let_go(forgotten[i]);
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
    if (!is_added) slowlog_let_go(request);
    cut(first_kept);
}

/* ------------------------------------------------------------------ reading */

uint32_t slowlog_hold(struct slow_request *held[SLOWLOG_SLICE], int64_t *end, int64_t most) {
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

int64_t slowlog_length(void) {
    pthread_mutex_lock(&mutex);
    int64_t length = next - oldest;
    pthread_mutex_unlock(&mutex);
    return length;
}

void slowlog_clear(void) {
    pthread_mutex_lock(&mutex);
    int64_t end = next;
    pthread_mutex_unlock(&mutex);
    cut(end);
}
