#include "texts.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sha_table.h"
#include "shard/base/mutex.h"
#include "shebang.h"

struct script_text {
    struct sha_node node; /* in the table, under its mutex */
    atomic_uint holders;
    atomic_bool is_gone;
    _Atomic int64_t used; /* milliseconds; written if it changes */
    bool is_loaded;       /* under the mutex */
    uint32_t flags;
    size_t length, begin;
    char text[];
};

static struct mutex mutex = MUTEX_INITIALIZER;
static struct sha_table table GUARDED_BY(&mutex);
static struct script_text *by_eval[TEXTS_BY_EVAL] GUARDED_BY(&mutex);
static size_t by_eval_count GUARDED_BY(&mutex), by_eval_bytes GUARDED_BY(&mutex);
static _Atomic size_t count, bytes;
static _Atomic uint64_t gone; /* bytes that were ever forgotten: caches may hold some of them */

bool texts_sha(char sha[SHA_LENGTH + 1], const char *text, size_t length) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    if (SHA1((const unsigned char *)text, length, digest) == NULL) return false;
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++) {
        sha[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        sha[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    sha[SHA_LENGTH] = '\0';
    return true;
}

uint32_t texts_flags(const struct script_text *text) {
    return text->flags;
}

const char *texts_name(const struct script_text *text) {
    return text->node.sha;
}

size_t texts_length(const struct script_text *text) {
    return text->length;
}

static void let_go(struct script_text *text) {
    if (atomic_fetch_sub(&text->holders, 1) == 1) free(text);
}

static size_t size_of(const struct script_text *text) {
    return sizeof *text + text->length;
}

/* ------------------------------------------------------------------ everybody's */

static struct script_text *found(const char *sha) REQUIRES(&mutex) {
    return (struct script_text *)sha_table_find(&table, sha);
}

/* Takes a text from those that came by EVAL only, if it is one. */
static void leave_eval(const struct script_text *text) REQUIRES(&mutex) {
    for (size_t i = 0; i < by_eval_count; i++) {
        if (by_eval[i] != text) continue;
        by_eval[i] = by_eval[--by_eval_count];
        by_eval_bytes -= size_of(text);
        return;
    }
}

/* What has left the table isn't there for anybody. */
static void mark_gone(struct script_text *text) {
    atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes, size_of(text), memory_order_relaxed);
    atomic_fetch_add_explicit(&gone, size_of(text), memory_order_relaxed);
    atomic_store(&text->is_gone, true);
    let_go(text);
}

static bool forget_any(struct sha_node *node, void *context) {
    (void)context;
    mark_gone((struct script_text *)node);
    return true;
}

static void forget_least_used(void) REQUIRES(&mutex) {
    size_t least = 0;
    for (size_t i = 1; i < by_eval_count; i++)
        if (atomic_load_explicit(&by_eval[i]->used, memory_order_relaxed) <
            atomic_load_explicit(&by_eval[least]->used, memory_order_relaxed))
            least = i;
    struct script_text *text = by_eval[least];
    by_eval[least] = by_eval[--by_eval_count];
    by_eval_bytes -= size_of(text);
    sha_table_remove(&table, &text->node);
    mark_gone(text);
}

static bool insert(struct script_text *text) REQUIRES(&mutex) {
    if (!sha_table_insert(&table, &text->node)) return false;
    if (!text->is_loaded) {
        while (by_eval_count == TEXTS_BY_EVAL ||
               (by_eval_count > 0 && by_eval_bytes + size_of(text) > TEXTS_BY_EVAL_BYTES))
            forget_least_used();
        by_eval[by_eval_count++] = text;
        by_eval_bytes += size_of(text);
    }
    atomic_fetch_add(&text->holders, 1); /* the table's */
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes, size_of(text), memory_order_relaxed);
    return true;
}

static void lower_sha(char lower[SHA_LENGTH], const char *sha) {
    for (int i = 0; i < SHA_LENGTH; i++)
        lower[i] = (char)(sha[i] >= 'A' && sha[i] <= 'Z' ? sha[i] + 'a' - 'A' : sha[i]);
}

bool texts_has(const char *sha) {
    char lower[SHA_LENGTH];
    lower_sha(lower, sha);
    mutex_lock(&mutex);
    bool is_there = found(lower) != NULL;
    mutex_unlock(&mutex);
    return is_there;
}

void texts_flush(void) {
    mutex_lock(&mutex);
    by_eval_count = 0;
    by_eval_bytes = 0;
    sha_table_sweep(&table, forget_any, NULL);
    sha_table_free(&table);
    mutex_unlock(&mutex);
}

size_t texts_count(void) {
    return atomic_load_explicit(&count, memory_order_relaxed);
}

size_t texts_bytes(void) {
    return atomic_load_explicit(&bytes, memory_order_relaxed);
}

/* ------------------------------------------------------------------ a worker's */

struct compiled {
    struct sha_node node;
    struct script_text *text;
    int function;     /* 0: not yet */
    uint32_t holders; /* the cache's table is one */
};

struct script_cache {
    struct script_state *state;
    struct sha_table table;
    size_t swept;  /* how many were left when those that are gone were let go */
    uint64_t seen; /* of `gone`, then */
};

/* So many more than were left call for another look. */
#define SWEEP_AFTER 64
/* As many bytes of texts that are gone are left to be. */
#define GONE_MOST ((uint64_t)1 << 20)

struct script_cache *script_cache_create(struct script_state *state) {
    struct script_cache *cache = calloc(1, sizeof *cache);
    if (cache != NULL) cache->state = state;
    return cache;
}

void script_cache_let_go(struct script_cache *cache, struct compiled *compiled) {
    if (--compiled->holders > 0) return;
    if (compiled->function != 0) script_forget(cache->state, compiled->function);
    let_go(compiled->text);
    free(compiled);
}

static void drop(struct script_cache *cache, struct compiled *compiled) {
    sha_table_remove(&cache->table, &compiled->node);
    script_cache_let_go(cache, compiled);
}

static bool drop_any(struct sha_node *node, void *context) {
    script_cache_let_go(context, (struct compiled *)node);
    return true;
}

static bool drop_if_gone(struct sha_node *node, void *context) {
    return atomic_load(&((struct compiled *)node)->text->is_gone) && drop_any(node, context);
}

void script_cache_free(struct script_cache *cache) {
    sha_table_sweep(&cache->table, drop_any, cache);
    sha_table_free(&cache->table);
    free(cache);
}

static void sweep(struct script_cache *cache) {
    cache->seen =
        atomic_load_explicit(&gone, memory_order_relaxed); /* what goes meanwhile is seen next time */
    sha_table_sweep(&cache->table, drop_if_gone, cache);
    cache->swept = cache->table.count;
}

bool script_cache_tidy(struct script_cache *cache) {
    if (atomic_load_explicit(&gone, memory_order_relaxed) - cache->seen < GONE_MOST) return false;
    size_t before = cache->table.count;
    sweep(cache);
    return cache->table.count < before;
}

/* Takes over one hold of the text. */
static struct script_text *remember(struct script_cache *cache, struct script_text *text) {
    if (cache->table.count >= 2 * cache->swept + SWEEP_AFTER) sweep(cache);
    struct compiled *compiled = calloc(1, sizeof *compiled);
    if (compiled != NULL) {
        memcpy(compiled->node.sha, text->node.sha, sizeof compiled->node.sha);
        compiled->text = text;
        compiled->holders = 1;
        if (sha_table_insert(&cache->table, &compiled->node)) return text;
    }
    free(compiled);
    let_go(text);
    return NULL;
}

static void note_use(struct script_text *text, int64_t now) {
    if (atomic_load_explicit(&text->used, memory_order_relaxed) != now)
        atomic_store_explicit(&text->used, now, memory_order_relaxed);
}

struct script_text *script_cache_find(struct script_cache *cache, const char *sha, int64_t now) {
    char lower[SHA_LENGTH];
    lower_sha(lower, sha);
    struct compiled *compiled = (struct compiled *)sha_table_find(&cache->table, lower);
    if (compiled != NULL && !atomic_load(&compiled->text->is_gone)) {
        note_use(compiled->text, now);
        return compiled->text;
    }
    if (compiled != NULL) drop(cache, compiled);
    mutex_lock(&mutex);
    struct script_text *text = found(lower);
    if (text != NULL) atomic_fetch_add(&text->holders, 1);
    mutex_unlock(&mutex);
    if (text == NULL) return NULL;
    note_use(text, now);
    return remember(cache, text);
}

bool script_cache_is_compiled(const struct script_cache *cache, const char *sha) {
    char lower[SHA_LENGTH];
    lower_sha(lower, sha);
    const struct compiled *compiled = (const struct compiled *)sha_table_find(&cache->table, lower);
    return compiled != NULL && compiled->function != 0 && !atomic_load(&compiled->text->is_gone);
}

static struct compiled *compiled_of(const struct script_cache *cache, const struct script_text *text) {
    struct compiled *compiled = (struct compiled *)sha_table_find(&cache->table, text->node.sha);
    assert(compiled != NULL && compiled->text == text && "a text that this cache has just given");
    return compiled;
}

struct compiled *script_cache_hold(struct script_cache *cache, const struct script_text *text) {
    struct compiled *compiled = compiled_of(cache, text);
    compiled->holders++;
    return compiled;
}

int script_cache_function(struct script_cache *cache, struct script_text *text, char *error,
                          size_t error_size) {
    static const char before[] = "Error compiling script (new function): ";
    struct compiled *compiled = compiled_of(cache, text);
    if (compiled->function != 0) return compiled->function;
    int written = snprintf(error, error_size, "%s", before);
    compiled->function = script_compile(cache->state, text->text + text->begin, text->length - text->begin,
                                        error + written, error_size - (size_t)written);
    return compiled->function;
}

/* A text that all may have, but that nobody does yet. */
static struct script_text *make(const char *sha, const char *data, size_t length, char *error,
                                size_t error_size) {
    uint32_t flags;
    size_t begin;
    if (!shebang_read_script(data, length, &flags, &begin, error, error_size)) return NULL;
    struct script_text *text = malloc(sizeof *text + length);
    if (text == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    *text = (struct script_text){.holders = 1, .flags = flags, .length = length, .begin = begin};
    memcpy(text->node.sha, sha, SHA_LENGTH + 1);
    memcpy(text->text, data, length);
    return text;
}

/* What is known is used, and from now on kept if it was loaded; else the new one is known from now on. Where
 * two workers add the same at once, the copy of the second is run this once and then gone: no flush would
 * find it. */
static void publish(struct script_text *text, bool is_loaded) {
    mutex_lock(&mutex);
    struct script_text *known = found(text->node.sha);
    if (known == NULL && !atomic_load(&text->is_gone)) { /* a flush may have come between */
        text->is_loaded = is_loaded;
        /* Where there is no memory for it, it is run, and not known. */
        if (!insert(text)) atomic_store(&text->is_gone, true);
    } else if (known != NULL) {
        if (known != text) atomic_store(&text->is_gone, true);
        if (is_loaded && !known->is_loaded) {
            known->is_loaded = true;
            leave_eval(known);
        }
    }
    mutex_unlock(&mutex);
}

struct script_text *script_cache_add(struct script_cache *cache, const char *text, size_t length,
                                     bool is_loaded, int64_t now, char *error, size_t error_size) {
    char sha[SHA_LENGTH + 1];
    if (!texts_sha(sha, text, length)) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    struct script_text *known = script_cache_find(cache, sha, now);
    if (known != NULL) {
        if (is_loaded) publish(known, true);
        return script_cache_function(cache, known, error, error_size) == 0 ? NULL : known;
    }
    struct script_text *made = make(sha, text, length, error, error_size);
    if (made == NULL) return NULL;
    atomic_store_explicit(&made->used, now, memory_order_relaxed);
    if (remember(cache, made) == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    if (script_cache_function(cache, made, error, error_size) == 0) {
        drop(cache, (struct compiled *)sha_table_find(&cache->table, sha));
        return NULL;
    }
    publish(made, is_loaded);
    return made;
}
