/* CONFIG GET and CONFIG SET: all options of a request are set, or none. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/glob.h"
#include "server/base/log.h"
#include "values.h"

#define MOST_LISTENERS 32
#define MOST_TAKERS 32

/* What others than this room have to do for an option to be set at run time; written at the start only. */
static struct {
    int option;
    bool (*apply)(const char *value);
    const char *refusal;
} takers[MOST_TAKERS];
static int taker_count;

static struct {
    int option;
    void (*apply)(void);
} listeners[MOST_LISTENERS]; /* written at the start only */
static int listener_count;

void config_on_set(const char *name, bool (*apply)(const char *value), const char *refusal) {
    int index = option_find(name, strlen(name));
    assert(index >= 0 && taker_count < MOST_TAKERS);
    if (index < 0 || taker_count == MOST_TAKERS) return;
    takers[taker_count].option = index;
    takers[taker_count].apply = apply;
    takers[taker_count++].refusal = refusal;
}

void config_on_change(const char *name, void (*apply)(void)) {
    int index = option_find(name, strlen(name));
    assert(index >= 0 && listener_count < MOST_LISTENERS);
    if (index < 0 || listener_count == MOST_LISTENERS) return;
    listeners[listener_count].option = index;
    listeners[listener_count++].apply = apply;
}

/* As Redis does it, an option that was asked for by name is answered under the name as it was written. */
static void reply_option_name(const struct bulk *pattern, const char *name, struct reply *reply) {
    bool is_glob = false;
    for (size_t i = 0; i < pattern->length; i++) is_glob = is_glob || strchr("*?[", pattern->data[i]) != NULL;
    if (is_glob || pattern->length != strlen(name))
        reply_bulk_text(reply, name);
    else
        reply_bulk(reply, pattern->data, pattern->length);
}

/* The first pattern that a name matches, or NULL. */
static const struct bulk *pattern_of(const char *name, bool is_hidden, const struct bulk *patterns,
                                     uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (is_hidden ? word_is(&patterns[i], name)
                      : glob_matches(patterns[i].data, patterns[i].length, name, strlen(name), true))
            return &patterns[i];
    return NULL;
}

void config_get(const struct bulk *patterns, uint32_t count, struct reply *reply) {
    char value[VALUE_SIZE];
    size_t found = 0;
    size_t mark = reply_defer(reply);
    for (int i = 0; i < option_count(); i++) {
        const char *const names[] = {option_at(i)->name, option_at(i)->alias};
        for (int j = 0; j < 2 && names[j] != NULL; j++) {
            const struct bulk *pattern =
                pattern_of(names[j], (option_at(i)->flags & OPTION_HIDDEN) != 0, patterns, count);
            if (pattern == NULL) continue;
            reply_option_name(pattern, names[j], reply);
            reply_bulk(reply, value, value_text(i, value, sizeof value));
            found++;
        }
    }
    reply_defer_map(reply, mark, found);
}

static void reply_set_failed(struct reply *reply, const char *name, size_t length, const char *why) {
    reply_error_format(reply, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s", (int)length,
                       name, why);
}

static bool is_protected(int index, bool is_local) {
    if ((option_at(index)->flags & OPTION_PROTECTED) == 0) return false;
    int allowed = atomic_load_explicit(&config.enable_protected_configs, memory_order_relaxed);
    return allowed == DEBUG_COMMAND_NO || (allowed == DEBUG_COMMAND_LOCAL && !is_local);
}

/* Fills indexes[] with the options to be set, or replies what is wrong with the names. */
static bool set_names(const struct bulk *pairs, uint32_t count, bool is_local, int *indexes, int *index_count,
                      struct reply *reply) {
    bool is_seen[MOST_OPTIONS] = {false};
    for (uint32_t i = 0; i < count; i += 2) {
        const struct bulk *name = &pairs[i];
        int length = name->length < VALUE_SIZE ? (int)name->length : VALUE_SIZE;
        int index = option_find(name->data, name->length);
        if (index < 0) {
            reply_error_format(reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                               length, name->data);
            return false;
        }
        if (option_at(index)->flags & OPTION_IMMUTABLE) {
            reply_set_failed(reply, name->data, name->length, "can't set immutable config");
            return false;
        }
        if (is_protected(index, is_local)) {
            reply_set_failed(reply, name->data, name->length, "can't set protected config");
            return false;
        }
        if (is_seen[index]) {
            reply_set_failed(reply, name->data, name->length, "duplicate parameter");
            return false;
        }
        is_seen[index] = true;
        indexes[(*index_count)++] = index;
    }
    return true;
}

static void values_exchange(char **fresh, const int *indexes, int count) REQUIRES(values_mutex) {
    for (int i = 0; i < count; i++) {
        char *text = values[indexes[i]];
        values[indexes[i]] = fresh[indexes[i]];
        fresh[indexes[i]] = text;
        value_project(indexes[i]);
    }
}

static bool option_apply(int index, char *why) REQUIRES(values_mutex) {
    const struct option *option = option_at(index);
    if (option->apply && !option->apply(values[index], why)) return false;
    for (int i = 0; i < taker_count; i++)
        if (takers[i].option == index && !takers[i].apply(values[index]))
            return refuse(why, "%s", takers[i].refusal);
    return true;
}

/* Takes the new texts over and applies them in order. If one refuses, all is put back as it was,
 * and *failed tells which one it was; fresh[] then holds what was refused, otherwise what it
 * replaced. */
static bool set_apply(char **fresh, const int *indexes, int count, int *failed, char *why)
    REQUIRES(values_mutex) {
    values_exchange(fresh, indexes, count);
    for (int i = 0; i < count; i++) {
        if (option_apply(indexes[i], why)) continue;
        *failed = indexes[i];
        values_exchange(fresh, indexes, count);
        char ignored[WHY_SIZE];
        for (int done = 0; done < i; done++) option_apply(indexes[done], ignored);
        return false;
    }
    return true;
}

/* That an option was set which does nothing is said where an operator looks. */
static void log_idle(int index) {
    log_write(LOG_NOTICE, "CONFIG SET %s is kept, but has no effect here: %s.", option_at(index)->name,
              option_at(index)->idle);
}

void config_set(const struct bulk *pairs, uint32_t count, bool is_local, struct reply *reply) {
    int indexes[MOST_OPTIONS], index_count = 0, failed = -1;
    char *fresh[MOST_OPTIONS] = {NULL};
    char value[VALUE_SIZE], why[WHY_SIZE] = "";
    if (count % 2 != 0) {
        reply_error(reply, "ERR syntax error");
        return;
    }
    if (!set_names(pairs, count, is_local, indexes, &index_count, reply)) return;

    mutex_lock(&values_mutex);
    for (int i = 0; i < index_count && failed < 0; i++) {
        int index = indexes[i];
        const char *present = (option_at(index)->flags & OPTION_ADDS) != 0 ? "" : values[index];
        if (!option_canonical(option_at(index), &pairs[2 * i + 1], 1, present, value, why)) {
            failed = index;
        } else if (!(fresh[index] = strdup(value))) {
            failed = index;
            refuse(why, "out of memory");
        }
    }
    if (failed < 0) set_apply(fresh, indexes, index_count, &failed, why);
    mutex_unlock(&values_mutex);

    values_free(fresh);
    if (failed >= 0) {
        int i = 0;
        while (indexes[i] != failed) i++;
        const char *name = word_is(&pairs[2 * i], option_at(failed)->name) ? option_at(failed)->name
                                                                           : option_at(failed)->alias;
        reply_set_failed(reply, name, strlen(name), why);
        return;
    }
    for (int i = 0; i < listener_count; i++) {
        for (int j = 0; j < index_count; j++) {
            if (listeners[i].option == indexes[j]) listeners[i].apply();
        }
    }
    for (int i = 0; i < index_count; i++)
        if (option_at(indexes[i])->idle) log_idle(indexes[i]);
    reply_ok(reply);
}
