#include "value.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../base/cursor.h"
#include "../base/hash.h"
#include "../base/journal.h"

struct value_limits value_limits = {
    .hash_listpack_entries = 512,
    .hash_listpack_value = 64,
    .set_intset_entries = 512,
    .set_listpack_entries = 128,
    .set_listpack_value = 64,
    .zset_listpack_entries = 128,
    .zset_listpack_value = 64,
    .list_listpack_size = -2,
    .list_compress_depth = 2,
    .stream_node_bytes = 4096,
    .stream_node_entries = 100,
};

static const char *const type_names[TYPE_COUNT] = {
    [TYPE_STRING] = "string", [TYPE_LIST] = "list", [TYPE_SET] = "set",
    [TYPE_ZSET] = "zset",     [TYPE_HASH] = "hash", [TYPE_STREAM] = "stream",
};

const char *type_name(enum type type) {
    return type_names[type];
}

void value_free(const struct value_kind *kind, void *value) {
    while (!kind->free_some(value, SIZE_MAX)) continue;
}

struct made {
    const struct value_kind *kind;
    void *value;
};

static void made_back(void *context, void *note) {
    const struct made *made = note;
    (void)context;
    value_free(made->kind, made->value);
}

static const struct journal_kind made_kind = {.back = made_back};

bool value_made(const struct value_kind *kind, void *value) {
    struct made made = {kind, value};
    if (journal_open == NULL || journal_note(journal_open, &made_kind, &made, sizeof made) != NULL)
        return true;
    struct journal *paused = journal_pause();
    value_free(kind, value);
    journal_resume(paused);
    return false;
}

/* ------------------------------------------------------------------ hashing and drawing */

static struct hash_secret secret;
static struct cursor_secret cursor_secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

/* Without the kernel's randomness there is no defence against chosen members: as at the keyspace's opening,
 * that is fatal. */
static void secret_init(void) {
    if (hash_secret_draw(&secret, NULL) != 0 || cursor_secret_draw(&cursor_secret, NULL) != 0) abort();
}

uint64_t value_hash(const void *data, size_t length) {
    pthread_once(&secret_once, secret_init);
    return hash_bytes(&secret, data, length);
}

const struct cursor_secret *value_cursor_secret(void) {
    pthread_once(&secret_once, secret_init);
    return &cursor_secret;
}

/* Sebastiano Vigna's splitmix64 (https://prng.di.unimi.it/splitmix64.c). */
static uint64_t random_word(void) {
    static _Thread_local uint64_t state;
    if (state == 0 && getrandom(&state, sizeof state, 0) != sizeof state) state = (uint64_t)(uintptr_t)&state;
    uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Daniel Lemire, "Fast random integer generation in an interval", 2019, without its rejection: the bias is
 * below 2^-40 for what fits in memory. */
uint64_t value_random(uint64_t below) {
    return (uint64_t)((unsigned __int128)random_word() * below >> 64);
}
