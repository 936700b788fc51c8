/* A selector's own words: commands, keys, channels. */
#ifndef SERVER_ACL_SELECTOR_H
#define SERVER_ACL_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/request.h"

/* Rows of the table of commands, which is smaller. */
#define RULES_COMMANDS 512
/* Of patterns for keys, of those for channels, and of words about commands, each in one selector. Each is
 * compared with those before it, so that none is there twice. */
#define RULES_PATTERNS_MOST 8192
#define RULES_WORDS_MOST 4096

enum access { ACCESS_READ = 1 << 0, ACCESS_WRITE = 1 << 1, ACCESS_BOTH = ACCESS_READ | ACCESS_WRITE };

/* Most patterns are a text, or the beginning of one with a '*' behind it, and need no search. */
enum pattern_kind { PATTERN_WHOLE, PATTERN_PREFIX, PATTERN_GLOB };
struct pattern {
    uint8_t access; /* enum access; of keys only */
    uint8_t kind;   /* enum pattern_kind */
    uint32_t mark;  /* of its text: of two texts mostly another one */
    size_t length;
    char *text;
};
struct patterns {
    struct pattern *list;
    uint32_t count;
};

/* A word about commands as it was written, in lower case: "get", "config|set", "@read", "select|0". */
struct word {
    bool allows;
    size_t length;
    char *text;
};

/* Of a command that isn't allowed as such: its first argument makes it so. */
struct first_argument {
    uint32_t command; /* its id */
    size_t length;
    char *text;
};

struct selector {
    bool has_all_keys, has_all_channels;
    bool has_all_commands; /* nobody need look at the bits */
    bool begins_with_all;  /* +@all, rather than -@all, before the words */
    uint64_t allowed[RULES_COMMANDS / 64];
    struct patterns keys, channels;
    struct word *words;
    struct first_argument *firsts;
    uint32_t word_count, first_count;
};

/* Why a word isn't one. */
enum rules_error {
    RULES_FINE,
    RULES_SYNTAX,
    RULES_UNKNOWN,         /* command or category */
    RULES_BEHIND_ALL_KEYS, /* a pattern behind ~* */
    RULES_BEHIND_ALL_CHANNELS,
    RULES_NO_SUCH_PASSWORD,
    RULES_NO_HASH,
    RULES_ARGUMENT_OF_SUBCOMMAND,
    RULES_UNMATCHED, /* a parenthesis */
    RULES_TOO_MANY,
    RULES_TOO_LONG, /* in one command */
    RULES_NO_MEMORY,
};

/* Room for one more element in an array that grows by doubling and whose length says how much room it has.
 * Returns the array, which may have moved; NULL: no memory, and it is as it was. */
void *array_with_room(void *array, uint32_t count, size_t size);
/* How many elements there is room for in an array of so many. */
uint32_t array_room(uint32_t count);

/* Names of users, keys and channels in rules have no blanks and no zero bytes. */
bool rules_name_is_fine(const char *name, size_t length);

void selector_init(struct selector *selector);
/* false: no memory, and there is nothing to be freed. */
bool selector_copy(struct selector *to, const struct selector *from);
void selector_free(struct selector *selector);
/* About how often applying the word compares something, with what is there already as well. */
uint64_t selector_steps(const struct selector *selector, const struct bulk *word);
enum rules_error selector_apply(struct selector *selector, const struct bulk *word);
/* Its patterns, words and first arguments. */
static inline uint32_t selector_parts(const struct selector *selector) {
    return selector->keys.count + selector->channels.count + selector->word_count + selector->first_count;
}
/* "reset" of what this one has. */
void selector_reset(struct selector *selector);

static inline bool selector_has_command(const struct selector *selector, uint32_t id) {
    return (selector->allowed[id / 64] >> (id % 64) & 1) != 0;
}

#endif
