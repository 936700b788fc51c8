#include "selector.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "server/command/category.h"
#include "server/command/command_table.h"
#include "server/config/config.h"

#define NO_CATEGORY UINT32_MAX
/* What a word costs at least, and one about commands: all of their names are looked at. */
#define WORD_STEPS 16
#define NAME_STEPS (4 * RULES_COMMANDS)

uint32_t array_room(uint32_t count) {
    uint32_t room = count == 0 ? 0 : 1;
    while (room < count) room *= 2;
    return room;
}

void *array_with_room(void *array, uint32_t count, size_t size) {
    if (count != array_room(count)) return array;
    return realloc(array, (count == 0 ? 1 : 2 * (size_t)count) * size);
}

static char *text_copy(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static char *text_lower(const char *text, size_t length) {
    char *copy = text_copy(text, length);
    for (size_t i = 0; copy != NULL && i < length; i++) copy[i] = (char)tolower((unsigned char)copy[i]);
    return copy;
}

bool rules_name_is_fine(const char *name, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (name[i] == '\0' || isspace((unsigned char)name[i])) return false;
    return true;
}

/* ------------------------------------------------------------------ patterns */

static enum pattern_kind kind_of(const char *text, size_t length) {
    size_t plain = 0;
    while (plain < length && strchr("*?[\\", text[plain]) == NULL) plain++;
    if (plain == length) return PATTERN_WHOLE;
    return plain + 1 == length && text[plain] == '*' ? PATTERN_PREFIX : PATTERN_GLOB;
}

static void patterns_clear(struct patterns *patterns) {
    for (uint32_t i = 0; i < patterns->count; i++) free(patterns->list[i].text);
    free(patterns->list);
    *patterns = (struct patterns){.list = NULL};
}

static bool patterns_copy(struct patterns *to, const struct patterns *from) {
    *to = (struct patterns){.list = NULL};
    if (from->count == 0) return true;
    to->list = malloc(array_room(from->count) * sizeof *to->list);
    if (to->list == NULL) return false;
    for (; to->count < from->count; to->count++) {
        struct pattern *pattern = &to->list[to->count];
        *pattern = from->list[to->count];
        pattern->text = text_copy(pattern->text, pattern->length);
        if (pattern->text != NULL) continue;
        patterns_clear(to);
        return false;
    }
    return true;
}

/* FNV-1a. Who chooses texts that are alike in it makes its own command slow. */
static uint32_t mark_of(const char *text, size_t length) {
    uint32_t mark = 2166136261U;
    for (size_t i = 0; i < length; i++) mark = (mark ^ (unsigned char)text[i]) * 16777619U;
    return mark;
}

/* One that is there already has its access added to. */
static enum rules_error patterns_add(struct patterns *patterns, const char *text, size_t length,
                                     uint8_t access) {
    uint32_t mark = mark_of(text, length);
    for (uint32_t i = 0; i < patterns->count; i++) {
        struct pattern *known = &patterns->list[i];
        if (known->mark != mark || known->length != length || memcmp(known->text, text, length) != 0)
            continue;
        known->access |= access;
        return RULES_FINE;
    }
    if (patterns->count == RULES_PATTERNS_MOST) return RULES_TOO_MANY;
    struct pattern *list = array_with_room(patterns->list, patterns->count, sizeof *list);
    if (list == NULL) return RULES_NO_MEMORY;
    patterns->list = list;
    list[patterns->count] = (struct pattern){
        .access = access,
        .kind = (uint8_t)kind_of(text, length),
        .mark = mark,
        .length = length,
        .text = text_copy(text, length),
    };
    if (list[patterns->count].text == NULL) return RULES_NO_MEMORY;
    patterns->count++;
    return RULES_FINE;
}

/* What stands behind the sign of "~x", "%R~x", "%RW~x". */
static enum rules_error key_pattern_add(struct selector *selector, const struct bulk *word) {
    uint8_t access = word->data[0] == '~' ? ACCESS_BOTH : 0;
    size_t at = 1;
    if (selector->has_all_keys) return RULES_BEHIND_ALL_KEYS;
    for (bool is_sign = access == 0; is_sign && at < word->length; at++) {
        int letter = toupper((unsigned char)word->data[at]);
        uint8_t more = letter == 'R' ? ACCESS_READ : letter == 'W' ? ACCESS_WRITE : 0;
        is_sign = word->data[at] != '~';
        if (is_sign && (more == 0 || (access & more) != 0)) return RULES_SYNTAX;
        access |= more;
    }
    if (access == 0 || !rules_name_is_fine(word->data + at, word->length - at)) return RULES_SYNTAX;
    return patterns_add(&selector->keys, word->data + at, word->length - at, access);
}

static enum rules_error channel_pattern_add(struct selector *selector, const struct bulk *word) {
    if (selector->has_all_channels) return RULES_BEHIND_ALL_CHANNELS;
    if (!rules_name_is_fine(word->data + 1, word->length - 1)) return RULES_SYNTAX;
    return patterns_add(&selector->channels, word->data + 1, word->length - 1, ACCESS_BOTH);
}

/* ------------------------------------------------------------------ commands */

static void words_clear(struct selector *selector) {
    for (uint32_t i = 0; i < selector->word_count; i++) free(selector->words[i].text);
    free(selector->words);
    selector->words = NULL;
    selector->word_count = 0;
}

static void firsts_clear(struct selector *selector) {
    for (uint32_t i = 0; i < selector->first_count; i++) free(selector->firsts[i].text);
    free(selector->firsts);
    selector->firsts = NULL;
    selector->first_count = 0;
}

static bool words_copy(struct selector *to, const struct selector *from) {
    if (from->word_count == 0) return true;
    to->words = malloc(array_room(from->word_count) * sizeof *to->words);
    for (; to->words != NULL && to->word_count < from->word_count; to->word_count++) {
        struct word *word = &to->words[to->word_count];
        *word = from->words[to->word_count];
        word->text = text_copy(word->text, word->length);
        if (word->text == NULL) return false;
    }
    return to->words != NULL;
}

static bool firsts_copy(struct selector *to, const struct selector *from) {
    if (from->first_count == 0) return true;
    to->firsts = malloc(array_room(from->first_count) * sizeof *to->firsts);
    for (; to->firsts != NULL && to->first_count < from->first_count; to->first_count++) {
        struct first_argument *first = &to->firsts[to->first_count];
        *first = from->firsts[to->first_count];
        first->text = text_copy(first->text, first->length);
        if (first->text == NULL) return false;
    }
    return to->firsts != NULL;
}

/* By the name that it had before rename-command. DEBUG's subcommands are none. */
static const struct command *command_named(const char *name, size_t length) {
    const struct bulk wanted = {.data = (char *)(uintptr_t)name, .length = length};
    for (uint32_t id = 0; id < command_table_count(); id++)
        if (argument_is(&wanted, command_by_id(id)->full_name)) return command_by_id(id);
    return NULL;
}

static bool has_subcommands(const struct command *command) {
    return command->subcommand_count > 0 && (command->flags & COMMAND_HIDES_SUBCOMMANDS) == 0;
}

static void bit_set(struct selector *selector, uint32_t id, bool allows) {
    uint64_t bit = UINT64_C(1) << (id % 64);
    if (allows)
        selector->allowed[id / 64] |= bit;
    else
        selector->allowed[id / 64] &= ~bit;
    if (!allows) selector->has_all_commands = false;
}

/* Those of commands of that category, or, if it is none, of that id. */
static void firsts_forget(struct selector *selector, uint32_t category, uint32_t id) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < selector->first_count; i++) {
        uint32_t command = selector->firsts[i].command;
        if (category == NO_CATEGORY ? command == id
                                    : command_is_in_category(command_by_id(command), category))
            free(selector->firsts[i].text);
        else
            selector->firsts[kept++] = selector->firsts[i];
    }
    if (kept == selector->first_count) return;
    uint32_t count = selector->first_count;
    selector->first_count = kept;
    if (kept == 0) {
        free(selector->firsts);
        selector->firsts = NULL;
    } else if (array_room(kept) != array_room(count)) {
        /* As much room as the length says. That a block isn't made smaller is harmless. */
        void *smaller = realloc(selector->firsts, array_room(kept) * sizeof *selector->firsts);
        if (smaller != NULL) selector->firsts = smaller;
    }
}

/* A command stands for its subcommands as well. */
static void command_set(struct selector *selector, const struct command *command, bool allows) {
    bit_set(selector, command->id, allows);
    for (uint32_t i = 0; i < command->subcommand_count; i++)
        bit_set(selector, command->subcommands[i].id, allows);
}

/* Of the words before it those go that the new one makes meaningless: the same, and, of a command's name,
 * those about its subcommands. Takes the text over; it has been made sure that there is room. */
static void word_put(struct selector *selector, char *text, bool allows) {
    size_t length = strlen(text);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < selector->word_count; i++) {
        const struct word *word = &selector->words[i];
        bool is_same = word->length >= length && memcmp(word->text, text, length) == 0 &&
                       (word->length == length || word->text[length] == '|');
        if (is_same)
            free(word->text);
        else
            selector->words[kept++] = *word;
    }
    selector->words[kept] = (struct word){.allows = allows, .length = length, .text = text};
    uint32_t before = array_room(selector->word_count + 1);
    selector->word_count = kept + 1;
    if (array_room(selector->word_count) == before) return;
    void *smaller = realloc(selector->words, array_room(selector->word_count) * sizeof *selector->words);
    if (smaller != NULL) selector->words = smaller; /* else it is larger than it need be: harmless */
}

/* Before anything is changed: the word's text, and room for it. */
static enum rules_error word_prepare(struct selector *selector, const char *name, size_t length,
                                     char **text) {
    if (selector->word_count == RULES_WORDS_MOST) return RULES_TOO_MANY;
    struct word *words = array_with_room(selector->words, selector->word_count, sizeof *words);
    if (words == NULL) return RULES_NO_MEMORY;
    selector->words = words;
    *text = text_lower(name, length);
    return *text == NULL ? RULES_NO_MEMORY : RULES_FINE;
}

static enum rules_error command_change(struct selector *selector, const struct command *command,
                                       bool allows) {
    char *text;
    if (command == NULL) return RULES_UNKNOWN;
    enum rules_error error = word_prepare(selector, command->full_name, strlen(command->full_name), &text);
    if (error != RULES_FINE) return error;
    command_set(selector, command, allows);
    firsts_forget(selector, NO_CATEGORY, command->id);
    word_put(selector, text, allows);
    return RULES_FINE;
}

static enum rules_error category_change(struct selector *selector, const struct bulk *word) {
    const struct bulk name = {.data = word->data + 2, .length = word->length - 2};
    uint32_t category = category_find(&name);
    bool allows = word->data[0] == '+';
    char *text;
    if (category == category_count()) return RULES_UNKNOWN;
    enum rules_error error = word_prepare(selector, word->data + 1, word->length - 1, &text);
    if (error != RULES_FINE) return error;
    for (uint32_t id = 0; id < command_table_count(); id++)
        if (command_is_in_category(command_by_id(id), category))
            command_set(selector, command_by_id(id), allows);
    firsts_forget(selector, category, 0);
    word_put(selector, text, allows);
    return RULES_FINE;
}

static bool first_is_known(const struct selector *selector, uint32_t id, const struct bulk *argument) {
    for (uint32_t i = 0; i < selector->first_count; i++)
        if (selector->firsts[i].command == id && argument_is(argument, selector->firsts[i].text)) return true;
    return false;
}

/* "+select|0". */
static enum rules_error first_add(struct selector *selector, const struct bulk *word,
                                  const struct command *command, const struct bulk *argument) {
    char *text, *first = NULL;
    bool is_known = first_is_known(selector, command->id, argument);
    if (!rules_name_is_fine(argument->data, argument->length)) return RULES_SYNTAX;
    enum rules_error error = word_prepare(selector, word->data + 1, word->length - 1, &text);
    if (error != RULES_FINE) return error;
    if (!is_known) {
        struct first_argument *firsts =
            array_with_room(selector->firsts, selector->first_count, sizeof *firsts);
        if (firsts != NULL) selector->firsts = firsts;
        if (firsts != NULL) first = text_copy(argument->data, argument->length);
        if (first == NULL) {
            free(text);
            return RULES_NO_MEMORY;
        }
        firsts[selector->first_count++] =
            (struct first_argument){.command = command->id, .length = argument->length, .text = first};
    }
    word_put(selector, text, true);
    return RULES_FINE;
}

/* "+command|sub": what is behind the last bar is a subcommand, or a first argument. */
static enum rules_error part_allow(struct selector *selector, const struct bulk *word) {
    const char *name = word->data + 1;
    size_t length = word->length - 1, bar = length;
    while (bar > 0 && name[bar - 1] != '|') bar--;
    const struct bulk part = {.data = word->data + 1 + bar, .length = length - bar};
    const struct command *command = command_named(name, bar - 1);
    if (command == NULL) return RULES_UNKNOWN;
    if (command->parent != NULL) return RULES_ARGUMENT_OF_SUBCOMMAND;
    if (part.length == 0) return RULES_SYNTAX;
    if (has_subcommands(command)) return command_change(selector, command_named(name, length), true);
    return first_add(selector, word, command, &part);
}

static void commands_reset(struct selector *selector, bool allows) {
    memset(selector->allowed, allows ? 0xff : 0, sizeof selector->allowed);
    selector->has_all_commands = selector->begins_with_all = allows;
    words_clear(selector);
    firsts_clear(selector);
}

/* ------------------------------------------------------------------ the whole */

void selector_init(struct selector *selector) {
    assert(command_table_count() <= RULES_COMMANDS);
    *selector = (struct selector){
        .has_all_channels =
            atomic_load_explicit(&config.acl_pubsub_default, memory_order_relaxed) == ACL_PUBSUB_ALL,
    };
}

void selector_free(struct selector *selector) {
    patterns_clear(&selector->keys);
    patterns_clear(&selector->channels);
    words_clear(selector);
    firsts_clear(selector);
}

bool selector_copy(struct selector *to, const struct selector *from) {
    *to = *from;
    to->keys = to->channels = (struct patterns){.list = NULL};
    to->words = NULL;
    to->firsts = NULL;
    to->word_count = to->first_count = 0;
    if (patterns_copy(&to->keys, &from->keys) && patterns_copy(&to->channels, &from->channels) &&
        words_copy(to, from) && firsts_copy(to, from))
        return true;
    selector_free(to);
    return false;
}

void selector_reset(struct selector *selector) {
    selector_free(selector);
    selector_init(selector);
}

uint64_t selector_steps(const struct selector *selector, const struct bulk *word) {
    switch (word->length == 0 ? '\0' : word->data[0]) {
    case '~':
    case '%': return WORD_STEPS + selector->keys.count;
    case '&': return WORD_STEPS + selector->channels.count;
    case '+':
    case '-': return NAME_STEPS + 2 * (uint64_t)selector->word_count + selector->first_count;
    default: return WORD_STEPS;
    }
}

enum rules_error selector_apply(struct selector *selector, const struct bulk *word) {
    char sign = word->length == 0 ? '\0' : word->data[0];
    bool is_category = word->length > 1 && word->data[1] == '@';
    if (argument_is(word, "allkeys") || argument_is(word, "~*") || argument_is(word, "resetkeys")) {
        selector->has_all_keys = !argument_is(word, "resetkeys");
        patterns_clear(&selector->keys);
    } else if (argument_is(word, "allchannels") || argument_is(word, "&*") ||
               argument_is(word, "resetchannels")) {
        selector->has_all_channels = !argument_is(word, "resetchannels");
        patterns_clear(&selector->channels);
    } else if (argument_is(word, "allcommands") || argument_is(word, "+@all")) {
        commands_reset(selector, true);
    } else if (argument_is(word, "nocommands") || argument_is(word, "-@all")) {
        commands_reset(selector, false);
    } else if (sign == '~' || sign == '%') {
        return key_pattern_add(selector, word);
    } else if (sign == '&') {
        return channel_pattern_add(selector, word);
    } else if ((sign == '+' || sign == '-') && is_category) {
        return category_change(selector, word);
    } else if (sign == '+' && memchr(word->data, '|', word->length) != NULL) {
        return part_allow(selector, word);
    } else if (sign == '+' || sign == '-') {
        return command_change(selector, command_named(word->data + 1, word->length - 1), sign == '+');
    } else {
        return RULES_SYNTAX;
    }
    return RULES_FINE;
}
