/* What options are set to. */
#include "values.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "server/base/process.h"

struct mutex values_mutex = MUTEX_INITIALIZER;
char *values[MOST_OPTIONS];

void value_project(int index) {
    const struct option *option = option_at(index);
    const char *value = values[index];
    if (option->number) {
        int64_t number = strtoll(value, NULL, option->kind == OPTION_OCTAL ? 8 : 10);
        if (number == 0 && option->resolve) number = option->resolve();
        if (strchr(value, '%') != NULL)
            number =
                (option->flags & OPTION_SHARE) != 0 ? -number : process_memory_available() / 100 * number;
        if (option->ceiling != 0 && number > option->ceiling) number = option->ceiling;
        atomic_store_explicit(option->number, number, memory_order_relaxed);
    } else if (option->boolean) {
        atomic_store_explicit(option->boolean, *value == 'y', memory_order_relaxed);
    } else if (option->choice) {
        int choice = 0;
        while (strcmp(option->choices[choice], value) != 0) choice++;
        atomic_store_explicit(option->choice, choice, memory_order_relaxed);
    }
}

void values_free(char *texts[MOST_OPTIONS]) {
    for (int i = 0; i < option_count(); i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
}

bool values_set_defaults(char *texts[MOST_OPTIONS]) {
    for (int i = 0; i < option_count(); i++) {
        char number[32];
        if (option_at(i)->initial_number)
            snprintf(number, sizeof number, "%" PRId64, option_at(i)->initial_number());
        char *text = strdup(option_at(i)->initial_number ? number : option_at(i)->initial);
        if (!text) return false;
        free(texts[i]);
        texts[i] = text;
    }
    return true;
}

/* As CONFIG GET shows it; returns its length. */
static size_t value_show(int index, char *out, size_t size) REQUIRES(values_mutex) {
    if (option_at(index)->show) {
        option_at(index)->show(option_at(index), values[index], out, size);
        return strlen(out);
    }
    if (option_at(index)->kind == OPTION_BYTES) {
        size_t bytes = bytes_from_canonical(values[index], out, size - 1);
        out[bytes] = '\0';
        return bytes;
    }
    size_t length = strlen(values[index]);
    if (length > size - 1) length = size - 1;
    memcpy(out, values[index], length);
    out[length] = '\0';
    return length;
}

size_t value_text(int index, char *out, size_t size) {
    assert(size > 0);
    size_t length = 0;
    *out = '\0';
    mutex_lock(&values_mutex);
    if (values[index]) length = value_show(index, out, size);
    mutex_unlock(&values_mutex);
    return length;
}

/* Whoever applies an option has been called with the lock. */
size_t config_text_in_apply(const char *name, char *out, size_t size) NO_THREAD_SAFETY_ANALYSIS {
    int index = option_find(name, strlen(name));
    assert(index >= 0 && size > 0 && "an option of the table");
    *out = '\0';
    return index >= 0 && values[index] ? value_show(index, out, size) : 0;
}

size_t config_text(const char *name, char *out, size_t size) {
    int index = option_find(name, strlen(name));
    assert(index >= 0 && "an option of the table");
    if (index >= 0) return value_text(index, out, size);
    *out = '\0';
    return 0;
}

bool config_is_secret(const struct bulk *name) {
    int index = option_find(name->data, name->length);
    return index >= 0 && (option_at(index)->flags & OPTION_SECRET) != 0;
}
