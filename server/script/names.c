#include "names.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shard/base/hash.h"

#define CAPACITY_FIRST 16

static struct hash_secret secret;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Without randomness names could be chosen so that they collide, which would cost time and nothing else. */
static void draw(void) {
    (void)hash_secret_draw(&secret, NULL);
}

static uint64_t hash_folded(const char *name, size_t length) {
    char part[64];
    uint64_t hash = 0;
    for (size_t at = 0; at < length; at += sizeof part) {
        size_t count = length - at < sizeof part ? length - at : sizeof part;
        for (size_t i = 0; i < count; i++) part[i] = (char)tolower((unsigned char)name[at + i]);
        hash = hash * UINT64_C(0x9E3779B97F4A7C15) + hash_bytes(&secret, part, count);
    }
    return hash ^ hash >> 32;
}

static uint32_t hash_of(const struct names *names, const char *name, size_t length) {
    pthread_once(&once, draw);
    return (uint32_t)(names->folds_case ? hash_folded(name, length) : hash_bytes(&secret, name, length));
}

static bool is_same(const struct names *names, const char *here, const char *name, size_t length) {
    if (strlen(here) != length) return false;
    return (names->folds_case ? strncasecmp(here, name, length) : memcmp(here, name, length)) == 0;
}

static struct name_place *free_place(struct name_place *places, uint32_t capacity, uint32_t hash) {
    uint32_t at = hash & (capacity - 1);
    while (places[at].number != 0) at = (at + 1) & (capacity - 1);
    return &places[at];
}

static bool grow(struct names *names) {
    uint32_t capacity = names->capacity == 0 ? CAPACITY_FIRST : names->capacity * 2;
    struct name_place *places = calloc(capacity, sizeof *places);
    if (places == NULL) return false;
    for (uint32_t i = 0; i < names->capacity; i++)
        if (names->places[i].number != 0)
            *free_place(places, capacity, names->places[i].hash) = names->places[i];
    free(names->places);
    names->places = places;
    names->capacity = capacity;
    return true;
}

uint32_t names_find(const struct names *names, const void *row, const char *name, size_t length) {
    if (names->count == 0) return NAMES_NONE;
    uint32_t hash = hash_of(names, name, length), mask = names->capacity - 1;
    for (uint32_t at = hash & mask; names->places[at].number != 0; at = (at + 1) & mask) {
        if (names->places[at].hash != hash) continue;
        const char *here = names->name_at(row, names->places[at].number - 1);
        if (is_same(names, here, name, length)) return names->places[at].number - 1;
    }
    return NAMES_NONE;
}

bool names_add(struct names *names, const char *name, size_t length, uint32_t number) {
    if (names->count >= names->capacity / 2 && !grow(names)) return false;
    uint32_t hash = hash_of(names, name, length);
    *free_place(names->places, names->capacity, hash) = (struct name_place){hash, number + 1};
    names->count++;
    return true;
}

void names_free(struct names *names) {
    free(names->places);
    names->places = NULL;
    names->capacity = names->count = 0;
}
