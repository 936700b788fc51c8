/* What an option is, for the files of this room: a row of a table, and a value that is a text.
 *
 * Whatever a value comes from (file, command line, CONFIG SET), it is first brought to one canonical text:
 * the one that CONFIG GET shows. That is the truth; the fields of `config` are its projection, for those
 * who read often. So comparing with the default, taking back a change, and finding out what CONFIG REWRITE
 * has to write are all comparisons and exchanges of texts.
 *
 *     words --canonical--> text --values[]--> project: the field of `config`
 *                                        '--> apply: what else must follow (log level, open files ...), which
 *                                             may refuse
 */
#ifndef SERVER_CONFIG_OPTION_H
#define SERVER_CONFIG_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"

#define VALUE_SIZE 4096  /* of a canonical text with its end */
#define WHY_SIZE 512     /* of a reason why a value was refused */
#define MOST_WORDS 64    /* on a line of the file, or after a name on the command line */
#define MOST_OPTIONS 320 /* half of them may have an effect (rows.h), half of them none (idle.c) */

enum option_kind {
    OPTION_INTEGER,
    OPTION_OCTAL,
    OPTION_MEMORY,
    OPTION_BOOLEAN,
    OPTION_CHOICE,
    OPTION_TEXT,
    /* a text of any bytes; in the canonical one a zero byte is "\\0", and a backslash is doubled */
    OPTION_BYTES,
    OPTION_LIST
};
enum option_flag {
    OPTION_IMMUTABLE = 1 << 0,
    OPTION_PERCENT = 1 << 1,   /* of memory: "80%" of what this process may have */
    OPTION_SHARE = 1 << 2,     /* "5%" of another option, projected as -5 */
    OPTION_PROTECTED = 1 << 3, /* CONFIG SET needs enable-protected-configs */
    OPTION_HIDDEN = 1 << 4,    /* CONFIG GET shows it only by its whole name */
    OPTION_ADDS = 1 << 5,      /* a list to which each line of a file adds */
    OPTION_SECRET = 1 << 6,    /* logs must not show it */
};

struct option {
    const char *name;
    const char *alias; /* an older name, or NULL */
    enum option_kind kind;
    uint32_t flags;
    const char *initial; /* canonical */
    /* Instead, where it depends on the machine; the same each time. NULL: it doesn't. */
    int64_t (*initial_number)(void);
    int64_t least, most; /* of integers and memory sizes */
    int64_t ceiling;     /* what is above it is accepted and means no more than this; 0: none */
    const char *idle;    /* why it has no effect here, for the log; NULL: it has */
    const char *help;    /* what --help says of it; NULL: nothing */
    /* Where it is projected to; all NULL for texts and lists. */
    _Atomic int64_t *number;
    _Atomic bool *boolean;
    _Atomic int *choice;
    const char *const *choices; /* names in the order of the enum, NULL at the end */
    /* For 0, which then means "as many as fit". */
    int64_t (*resolve)(void);
    /* Refuses a canonical text, or changes it. NULL: every one is fine. */
    bool (*check)(char *value, char *why);
    /* OPTION_LIST: words to canonical text; `present` is what it was so far. */
    bool (*compose)(const struct bulk *words, int count, const char *present, char *out, char *why);
    /* Acts on the value, after it has been projected. */
    bool (*apply)(const char *value, char *why);
    /* Instead of apply at the start, if it has to be something else. */
    bool (*start)(const char *value, char *why);
    /* What CONFIG GET shows, if not the canonical text. */
    void (*show)(const struct option *option, const char *value, char *out, size_t size);
};

/* Brings `count` words to the text that stands for them, in VALUE_SIZE bytes at `out`. `present` is the
 * option's text so far. false with a reason in WHY_SIZE bytes at `why`. */
bool option_canonical(const struct option *option, const struct bulk *words, int count, const char *present,
                      char *out, char *why);

/* From the canonical text of OPTION_BYTES back to the bytes, of which there are no more than the text has;
 * returns how many. */
size_t bytes_from_canonical(const char *text, char *out, size_t size);

/* For `check` and `compose`. */

/* Writes the reason; returns false. */
bool refuse(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Capitals or not. */
bool word_is(const struct bulk *word, const char *text);
/* Words with one blank between. */
bool list_join(const struct bulk *words, int count, char *out, char *why);
/* "100", "64mb": k, m and g are powers of 1000, kb, mb and gb of 1024. */
bool memory_parse(const char *text, size_t length, int64_t *value);

#endif
