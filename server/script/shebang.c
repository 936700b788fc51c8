#include "shebang.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "resp/request.h"
#include "copy.h"

static const struct {
    const char *name;
    uint32_t flag;
} names[] = {{"no-writes", SCRIPT_NO_WRITES},
             {"allow-oom", SCRIPT_ALLOW_OOM},
             {"allow-stale", SCRIPT_ALLOW_STALE},
             {"no-cluster", SCRIPT_NO_CLUSTER},
             {"allow-cross-slot-keys", SCRIPT_ALLOW_CROSS_SLOT_KEYS}};

#define NAMES (sizeof names / sizeof *names)

bool flags_add(uint32_t *flags, const char *name, size_t length) {
    for (size_t i = 0; i < NAMES; i++) {
        if (strlen(names[i].name) != length || strncasecmp(names[i].name, name, length) != 0) continue;
        *flags |= names[i].flag;
        return true;
    }
    return false;
}

const char *flags_name(uint32_t flags, int number) {
    for (size_t i = 0; i < NAMES; i++)
        if ((flags & names[i].flag) != 0 && number-- == 0) return names[i].name;
    return NULL;
}

/* ------------------------------------------------------------------ the first line */

#define WORDS_MOST 16
#define LINE_MOST 4096

struct line {
    char *copy; /* the words stand in it */
    size_t length;
    struct bulk words[WORDS_MOST];
    int count; /* -1: they can't be told apart */
};

/* Splits the line that begins the text. False: it has no end, is longer than any honest one, or there is
 * no memory. */
static bool read_line(struct line *line, const char *text, size_t length) {
    const char *end = memchr(text, '\n', length < LINE_MOST ? length : LINE_MOST);
    line->copy = end == NULL ? NULL : copy_text(text, (size_t)(end - text));
    if (line->copy == NULL) return false;
    line->length = (size_t)(end - text);
    line->count = request_split(line->copy, strlen(line->copy), line->words, WORDS_MOST);
    if (line->count > WORDS_MOST) line->count = -1;
    return true;
}

static bool is_word(const struct bulk *word, const char *text) {
    return word->length == strlen(text) && memcmp(word->data, text, word->length) == 0;
}

static bool begins_with(const struct bulk *word, const char *text) {
    return word->length >= strlen(text) && strncasecmp(word->data, text, strlen(text)) == 0;
}

/* The value of "flags=a,b". Returns the flag that there is none of, or NULL. */
static const char *read_flags(struct bulk *word, uint32_t *flags, size_t *length) {
    const char *at = word->data + strlen("flags="), *end = word->data + word->length;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        *length = (size_t)((comma == NULL ? end : comma) - at);
        if (!flags_add(flags, at, *length)) return at;
        at += *length + 1;
    }
    return NULL;
}

static bool read_script_words(struct line *line, uint32_t *flags, char *error, size_t size) {
    if (line->count <= 0) {
        snprintf(error, size, "Invalid engine in script shebang");
        return false;
    }
    if (!is_word(&line->words[0], "#!lua")) {
        snprintf(error, size, "Unexpected engine in script shebang: %.*s", (int)line->words[0].length,
                 line->words[0].data);
        return false;
    }
    for (int i = 1; i < line->count; i++) {
        struct bulk *word = &line->words[i];
        if (!begins_with(word, "flags=")) {
            snprintf(error, size, "Unknown lua shebang option: %.*s", (int)word->length, word->data);
            return false;
        }
        size_t length;
        const char *wrong = read_flags(word, flags, &length);
        if (wrong != NULL) {
            snprintf(error, size, "Unexpected flag in script shebang: %.*s", (int)length, wrong);
            return false;
        }
    }
    return true;
}

bool shebang_read_script(const char *text, size_t length, uint32_t *flags, size_t *begin, char *error,
                         size_t error_size) {
    *begin = 0;
    *flags = SCRIPT_SAYS_NOTHING;
    if (length < 2 || memcmp(text, "#!", 2) != 0) return true;
    *flags = 0;
    struct line line;
    if (!read_line(&line, text, length)) {
        snprintf(error, error_size, "Invalid script shebang");
        return false;
    }
    *begin = line.length;
    bool is_read = read_script_words(&line, flags, error, error_size);
    free(line.copy);
    return is_read;
}

/* Where in the text the name is: words are moved when they are split, but a name has nothing in it that
 * moves. */
static bool read_library_words(struct line *line, const char **name, size_t *name_length, char *error,
                               size_t size) {
    *name = NULL;
    if (line->count <= 0) {
        snprintf(error, size, "Invalid library metadata");
        return false;
    }
    for (int i = 1; i < line->count; i++) {
        struct bulk *word = &line->words[i];
        if (!begins_with(word, "name=")) {
            snprintf(error, size, "Invalid metadata value given: %.*s", (int)word->length, word->data);
            return false;
        }
        if (*name != NULL) {
            snprintf(error, size, "Invalid metadata value, name argument was given multiple times");
            return false;
        }
        *name = word->data + strlen("name=");
        *name_length = word->length - strlen("name=");
    }
    if (*name == NULL) {
        snprintf(error, size, "Library name was not given");
        return false;
    }
    if (!shebang_is_name(*name, *name_length)) {
        snprintf(error, size, SHEBANG_BAD_NAME);
        return false;
    }
    const struct bulk *engine = &line->words[0];
    if (engine->length == strlen("#!lua") && strncasecmp(engine->data, "#!lua", engine->length) == 0)
        return true;
    snprintf(error, size, "Engine '%.*s' not found", (int)engine->length - 2, engine->data + 2);
    return false;
}

bool shebang_read_library(const char *text, size_t length, const char **name, size_t *name_length,
                          size_t *begin, char *error, size_t error_size) {
    struct line line;
    if (length < 2 || memcmp(text, "#!", 2) != 0) {
        snprintf(error, error_size, "Missing library metadata");
        return false;
    }
    if (!read_line(&line, text, length)) {
        snprintf(error, error_size, "Invalid library metadata");
        return false;
    }
    bool is_read = read_library_words(&line, name, name_length, error, error_size);
    *begin = line.length;
    if (is_read)
        *name = memmem(text, length, *name, *name_length); /* the same letters, where they outlive the line */
    free(line.copy);
    return is_read;
}

bool shebang_is_name(const char *name, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_') return false;
    return length > 0;
}
