#include "storm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support.h"

#define OPEN_MS 1000
#define LONG_MS 20000
#define OPENS_MOST 64
/* A pipeline of unions is to keep its worker for about so long, however fast that is. */
#define UNIONS_US 250000
#define UNIONS_MOST 300
#define UNIONS_LEAST 4
#define MEMBERS 2000
#define MEMBERS_AT_ONCE 500

/* Guarded by the storm's mutex. */
static struct actor *playing;
static uint32_t playing_count;

/* ------------------------------------------------------------------ what all share */

void storm_complain(struct storm *storm, const char *format, ...) {
    va_list arguments;
    pthread_mutex_lock(&storm->mutex);
    if (storm->complaint[0] == '\0') {
        va_start(arguments, format);
        int length = vsnprintf(storm->complaint, sizeof storm->complaint, format, arguments);
        va_end(arguments);
        for (uint32_t i = 0; i < playing_count; i++) {
            const char *doing = atomic_load(&playing[i].doing);
            if (length < 0 || length >= (int)sizeof storm->complaint) break;
            length += snprintf(storm->complaint + length, sizeof storm->complaint - (size_t)length, "%s%s",
                               i == 0 ? "; meanwhile: " : ", ", doing == NULL ? "-" : doing);
        }
    }
    pthread_mutex_unlock(&storm->mutex);
}

bool storm_has_complaint(struct storm *storm) {
    pthread_mutex_lock(&storm->mutex);
    bool has = storm->complaint[0] != '\0';
    pthread_mutex_unlock(&storm->mutex);
    return has;
}

void storm_depart(struct storm *storm, uint64_t id, const char *act) {
    if (id == 0) return;
    int64_t lost = pulse_lost_us(&storm->pulse);
    pthread_mutex_lock(&storm->mutex);
    if (storm->departed_count < DEPARTED_MOST)
        storm->departed[storm->departed_count++] =
            (struct departed){.id = id, .at = now_us(), .lost_us = lost, .act = act};
    pthread_mutex_unlock(&storm->mutex);
}

/* Those that are on others are kept, so that the next goes elsewhere; but not for ever, since a worker that
 * has not turned for a while gets none, however many come. */
bool storm_open_on(const struct storm *storm, struct wire *wire, uint32_t worker, int milliseconds) {
    struct wire others[OPENS_MOST];
    struct text request = {NULL, 0, 0};
    uint32_t count = 0;
    bool is_found = false;
    int64_t until = now_us() + milliseconds * 1000LL;
    text_request(&request, "DEBUG WORKER");
    do {
        char answer[64];
        if (count == OPENS_MOST)
            while (count > 0) wire_close(&others[--count]);
        if (!wire_open(wire, storm->port, milliseconds)) break;
        is_found = wire_ask(wire, &request, answer, sizeof answer, OPEN_MS) && answer[0] == ':' &&
                   strtoul(answer + 1, NULL, 10) == worker;
        if (!is_found) others[count++] = *wire;
    } while (!is_found && now_us() < until);
    for (uint32_t i = 0; i < count; i++) wire_close(&others[i]);
    text_free(&request);
    if (!is_found) wire->fd = -1;
    return is_found;
}

/* ------------------------------------------------------------------ actors */

uint64_t draw(struct actor *actor, uint64_t below) { /* xorshift64* */
    actor->state ^= actor->state >> 12;
    actor->state ^= actor->state << 25;
    actor->state ^= actor->state >> 27;
    return (actor->state * 0x2545F4914F6CDD1DULL >> 33) % below;
}

bool actor_open(struct actor *actor, struct wire *wire) {
    return wire_open(wire, actor->storm->port, OPEN_MS);
}

void actor_close(struct actor *actor, struct wire *wire) {
    if (wire->fd < 0) return;
    if (draw(actor, 3) == 0)
        wire_reset(wire);
    else
        wire_close(wire);
    storm_depart(actor->storm, wire->id, atomic_load(&actor->doing));
}

static bool is_chosen(const struct storm *storm, const char *name) {
    if (storm->only == NULL) return true;
    size_t length = strlen(name);
    for (const char *at = storm->only; (at = strstr(at, name)) != NULL; at += length)
        if ((at == storm->only || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return false;
}

static void *actor_play(void *argument) {
    struct actor *actor = argument;
    const struct act *acts = actor->is_heavy ? heavy_acts : light_acts, *chosen[64];
    uint32_t count = 0;
    for (const struct act *act = acts; act->name != NULL; act++)
        if (is_chosen(actor->storm, act->name)) chosen[count++] = act;
    while (count > 0 && !atomic_load(&actor->storm->is_over)) {
        const struct act *act = chosen[draw(actor, count)];
        atomic_store(&actor->doing, act->name);
        act->play(actor);
        atomic_store(&actor->doing, NULL);
        atomic_fetch_add(&actor->storm->acts, 1);
    }
    wire_close(&actor->heavy);
    text_free(&actor->text);
    return NULL;
}

void storm_begin(struct storm *storm, struct actor *actors, uint32_t count) {
    atomic_store(&storm->is_over, false);
    for (uint32_t i = 0; i < count; i++)
        actors[i] = (struct actor){.storm = storm,
                                   .number = i,
                                   .is_heavy = i % 4 == 0,
                                   .state = (storm->seed + i) * 0x9E3779B97F4A7C15ULL | 1,
                                   .heavy.fd = -1};
    pthread_mutex_lock(&storm->mutex);
    playing = actors;
    playing_count = count;
    pthread_mutex_unlock(&storm->mutex);
    for (uint32_t i = 0; i < count; i++)
        if (pthread_create(&actors[i].thread, NULL, actor_play, &actors[i]) != 0) abort();
}

void storm_abate(struct storm *storm) {
    atomic_store(&storm->is_over, true);
}

void storm_end(struct storm *storm, struct actor *actors, uint32_t count) {
    storm_abate(storm);
    for (uint32_t i = 0; i < count; i++) pthread_join(actors[i].thread, NULL);
    pthread_mutex_lock(&storm->mutex);
    playing_count = 0;
    storm->departed_count = 0;
    pthread_mutex_unlock(&storm->mutex);
}

/* ------------------------------------------------------------------ before it begins */

static void fill_set(const struct wire *wire, const char *key, uint32_t first, uint32_t count) {
    struct text text = {NULL, 0, 0};
    for (uint32_t i = 0; i < count; i += MEMBERS_AT_ONCE) {
        char line[8192];
        int length = snprintf(line, sizeof line, "SADD %s", key);
        for (uint32_t k = i; k < i + MEMBERS_AT_ONCE && k < count; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, " member:%u", first + k);
        text_request(&text, "%s", line);
    }
    wire_send_text(wire, &text, LONG_MS);
    text_free(&text);
}

void storm_prepare(struct storm *storm) {
    struct wire wire;
    if (!wire_open(&wire, storm->port, LONG_MS)) return;
    storm->members = MEMBERS;
    fill_set(&wire, "set:a", 0, MEMBERS);
    fill_set(&wire, "set:b", MEMBERS / 2, MEMBERS);
    wire_finish(&wire, LONG_MS);
    if (storm->unions == 0) {
        int64_t began = now_us();
        for (int i = 0; i < UNIONS_LEAST; i++) wire_say(&wire, "SUNIONSTORE set:k set:a set:b");
        wire_finish(&wire, LONG_MS);
        int64_t unions = UNIONS_US * UNIONS_LEAST / (now_us() - began + 1);
        storm->unions = unions > UNIONS_MOST    ? UNIONS_MOST
                        : unions < UNIONS_LEAST ? UNIONS_LEAST
                                                : (uint32_t)unions;
    }
    wire_close(&wire);
}
