#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/glob.h"
#include "server/command/command_table.h"
#include "selector.h"

/* Keys of a call that there is room for without asking for memory. */
#define KEYS_AT_HAND 64
/* Of channels with one another. */
#define COMPARISONS_MOST 1000000

/* Where a call's keys are, found once for all selectors. */
struct places {
    bool is_found;
    int count; /* -1: it has none */
    uint32_t *positions, *flags;
    uint32_t at_hand[2 * KEYS_AT_HAND], *memory;
};

/* ------------------------------------------------------------------ patterns */

/* As in Redis nothing but nothing is what an empty text matches, not even "*". */
static bool matches(const struct pattern *pattern, const char *text, size_t length) {
    if (length == 0) return pattern->length == 0;
    switch ((enum pattern_kind)pattern->kind) {
    case PATTERN_WHOLE: return length == pattern->length && memcmp(text, pattern->text, length) == 0;
    case PATTERN_PREFIX:
        return length >= pattern->length - 1 && memcmp(text, pattern->text, pattern->length - 1) == 0;
    case PATTERN_GLOB: break;
    }
    return glob_matches(pattern->text, pattern->length, text, length, false);
}

static uint8_t access_of(uint32_t key_flags) {
    return (uint8_t)(((key_flags & KEY_ACCESS) != 0 ? ACCESS_READ : 0) |
                     ((key_flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE)) != 0 ? ACCESS_WRITE : 0));
}

static bool key_is_allowed(const struct selector *selector, const struct bulk *key, uint8_t access) {
    for (uint32_t i = 0; i < selector->keys.count; i++) {
        const struct pattern *pattern = &selector->keys.list[i];
        if ((pattern->access & access) == access && matches(pattern, key->data, key->length)) return true;
    }
    return false;
}

static bool channel_is_allowed(const struct selector *selector, const char *name, size_t length,
                               bool is_pattern) {
    for (uint32_t i = 0; i < selector->channels.count; i++) {
        const struct pattern *pattern = &selector->channels.list[i];
        /* A pattern has to be there as it is; "*" may stand in the name of a channel, and means nothing. */
        if (is_pattern ? pattern->length == length && memcmp(pattern->text, name, length) == 0
                       : matches(pattern, name, length))
            return true;
    }
    return selector->has_all_channels;
}

/* ------------------------------------------------------------------ a selector */

static __attribute__((noinline)) bool first_is_allowed(const struct selector *selector, uint32_t id,
                                                       const struct bulk *arguments, uint32_t count) {
    if (count < 2) return false;
    for (uint32_t i = 0; i < selector->first_count; i++)
        if (selector->firsts[i].command == id && argument_is(&arguments[1], selector->firsts[i].text))
            return true;
    return false;
}

static bool command_is_allowed(const struct selector *selector, const struct command *command,
                               const struct bulk *arguments, uint32_t count) {
    return selector->has_all_commands || (command->flags & COMMAND_NO_AUTH) != 0 ||
           selector_has_command(selector, command->id) ||
           (selector->first_count > 0 && first_is_allowed(selector, command->id, arguments, count));
}

/* false: no memory. */
static bool find_places(struct places *places, const struct command *command, const struct bulk *arguments,
                        uint32_t count) {
    if (places->is_found) return true;
    uint32_t room = count;
    if (count > KEYS_AT_HAND) {
        places->memory = malloc(2 * (size_t)count * sizeof *places->memory);
        if (places->memory == NULL) return false;
    } else {
        room = KEYS_AT_HAND;
    }
    places->positions = places->memory != NULL ? places->memory : places->at_hand;
    places->flags = places->positions + room;
    places->count = command_find_keys(command, arguments, count, places->positions, places->flags, count);
    places->is_found = true;
    return true;
}

static enum verdict check_keys(const struct selector *selector, const struct command *command,
                               const struct bulk *arguments, uint32_t count, struct places *places,
                               uint32_t *position) {
    if (selector->has_all_keys) return VERDICT_ALLOWED;
    if (!find_places(places, command, arguments, count)) return VERDICT_NO_MEMORY;
    for (int i = 0; i < places->count; i++) {
        uint32_t at = places->positions[i];
        if (key_is_allowed(selector, &arguments[at], access_of(places->flags[i]))) continue;
        *position = at;
        return VERDICT_KEY;
    }
    return VERDICT_ALLOWED;
}

static enum verdict check_channels(const struct selector *selector, const struct command *command,
                                   const struct bulk *arguments, uint32_t count, uint32_t *position) {
    if (command->channels == CHANNELS_NONE || selector->has_all_channels) return VERDICT_ALLOWED;
    uint32_t end = command->channels == CHANNELS_FIRST ? 2 : count;
    for (uint32_t i = 1; i < end; i++) {
        if (channel_is_allowed(selector, arguments[i].data, arguments[i].length,
                               command->channels == CHANNELS_PATTERNS))
            continue;
        *position = i;
        return VERDICT_CHANNEL;
    }
    return VERDICT_ALLOWED;
}

static enum verdict check_selector(const struct selector *selector, const struct command *command,
                                   const struct bulk *arguments, uint32_t count, struct places *places,
                                   uint32_t *position) {
    if (!command_is_allowed(selector, command, arguments, count)) return VERDICT_COMMAND;
    enum verdict verdict = check_keys(selector, command, arguments, count, places, position);
    if (verdict != VERDICT_ALLOWED) return verdict;
    return check_channels(selector, command, arguments, count, position);
}

/* What clients are told of as one command (DEBUG) is one here as well. */
static const struct command *shown_as(const struct command *command) {
    bool is_hidden = command->parent != NULL && (command->parent->flags & COMMAND_HIDES_SUBCOMMANDS) != 0;
    return is_hidden ? command->parent : command;
}

static __attribute__((noinline)) enum verdict check_any(const struct rules *rules,
                                                        const struct command *command,
                                                        const struct bulk *arguments, uint32_t count,
                                                        uint32_t *position) {
    command = shown_as(command);
    struct places places;
    places.is_found = false;
    places.memory = NULL;
    enum verdict denial = VERDICT_COMMAND;
    uint32_t at = 0;
    *position = 0;
    for (uint32_t i = 0; i < rules->selector_count; i++) {
        enum verdict verdict = check_selector(&rules->selectors[i], command, arguments, count, &places, &at);
        if (verdict == VERDICT_ALLOWED) {
            denial = VERDICT_ALLOWED;
            break;
        }
        if (verdict > denial || (verdict == denial && at > *position)) {
            denial = verdict;
            *position = verdict == VERDICT_COMMAND ? 0 : at;
        }
    }
    free(places.memory);
    return denial;
}

/* Most calls have one key, of which their row tells what they do with it, and most users one selector: no
 * list of keys is made for those. */
enum verdict rules_check(const struct rules *rules, const struct command *command,
                         const struct bulk *arguments, uint32_t count, uint32_t *position) {
    const struct selector *root = &rules->selectors[0];
    uint32_t key = command->only_key;
    if (rules->selector_count > 1 || key == 0 || command->parent != NULL ||
        (command->keys[0].flags & KEY_VARIABLE_FLAGS) != 0)
        return check_any(rules, command, arguments, count, position);
    *position = 0;
    if (!command_is_allowed(root, command, arguments, count)) return VERDICT_COMMAND;
    *position = key;
    if (root->has_all_keys || key_is_allowed(root, &arguments[key], access_of(command->keys[0].flags)))
        return VERDICT_ALLOWED;
    return VERDICT_KEY;
}

bool rules_allow_command(const struct rules *rules, const struct command *command,
                         const struct bulk *arguments, uint32_t count) {
    command = shown_as(command);
    for (uint32_t i = 0; i < rules->selector_count; i++)
        if (command_is_allowed(&rules->selectors[i], command, arguments, count)) return true;
    return false;
}

/* ------------------------------------------------------------------ SORT */

static bool reads_all_keys(const struct selector *selector) {
    bool reads = selector->has_all_keys;
    for (uint32_t i = 0; !reads && i < selector->keys.count; i++) {
        const struct pattern *pattern = &selector->keys.list[i];
        reads = (pattern->access & ACCESS_READ) != 0 && pattern->length == 1 && pattern->text[0] == '*';
    }
    return reads;
}

static bool may_find_keys(const struct rules *rules, const struct command *command,
                          const struct bulk *arguments, uint32_t count) {
    struct places places;
    bool may = false;
    places.is_found = false;
    places.memory = NULL;
    for (uint32_t i = 0; !may && i < rules->selector_count; i++) {
        uint32_t position;
        const struct selector *selector = &rules->selectors[i];
        may = reads_all_keys(selector) &&
              check_selector(selector, command, arguments, count, &places, &position) == VERDICT_ALLOWED;
    }
    free(places.memory);
    return may;
}

/* Options are read as the command does; where it finds a mistake, it tells. */
const char *rules_sort_error(const struct rules *rules, const struct command *command,
                             const struct bulk *arguments, uint32_t count) {
    if (strcmp(command->name, "sort") != 0 && strcmp(command->name, "sort_ro") != 0) return NULL;
    const char *error = NULL;
    for (uint32_t i = 2; i < count && error == NULL; i++) {
        uint32_t left = count - i - 1;
        const struct bulk *option = &arguments[i];
        if (argument_is(option, "LIMIT") && left >= 2) {
            i += 2;
        } else if (argument_is(option, "STORE") && left >= 1) {
            i++;
        } else if (argument_is(option, "BY") && left >= 1) {
            i++;
            if (memchr(arguments[i].data, '*', arguments[i].length) != NULL)
                error = "ERR BY option of SORT denied due to insufficient ACL permissions.";
        } else if (argument_is(option, "GET") && left >= 1) {
            error = "ERR GET option of SORT denied due to insufficient ACL permissions.";
        } else if (!argument_is(option, "ASC") && !argument_is(option, "DESC") &&
                   !argument_is(option, "ALPHA")) {
            return NULL;
        }
    }
    return error == NULL || may_find_keys(rules, command, arguments, count) ? NULL : error;
}

/* ------------------------------------------------------------------ channels that are heard */

bool rules_allow_channel(const struct rules *rules, const char *name, size_t length, bool is_pattern) {
    for (uint32_t i = 0; i < rules->selector_count; i++)
        if (channel_is_allowed(&rules->selectors[i], name, length, is_pattern)) return true;
    return false;
}

static bool hears_all(const struct rules *rules) {
    for (uint32_t i = 0; i < rules->selector_count; i++)
        if (rules->selectors[i].has_all_channels) return true;
    return false;
}

static bool has_channel(const struct rules *rules, const struct pattern *wanted) {
    for (uint32_t i = 0; i < rules->selector_count; i++) {
        const struct patterns *channels = &rules->selectors[i].channels;
        for (uint32_t j = 0; j < channels->count; j++)
            if (channels->list[j].length == wanted->length &&
                memcmp(channels->list[j].text, wanted->text, wanted->length) == 0)
                return true;
    }
    return false;
}

static uint64_t channel_count(const struct rules *rules) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < rules->selector_count; i++) count += rules->selectors[i].channels.count;
    return count;
}

bool rules_narrow_channels(const struct rules *old, const struct rules *fresh) {
    if (hears_all(fresh)) return false;
    if (hears_all(old)) return true;
    if (channel_count(old) * channel_count(fresh) > COMPARISONS_MOST)
        return true; /* who hears what is told */
    for (uint32_t i = 0; i < old->selector_count; i++) {
        const struct patterns *channels = &old->selectors[i].channels;
        for (uint32_t j = 0; j < channels->count; j++)
            if (!has_channel(fresh, &channels->list[j])) return true;
    }
    return false;
}

/* ------------------------------------------------------------------ texts */

size_t verdict_text(enum verdict verdict, const char *user, const struct command *command,
                    const struct bulk *object, char *out, size_t size) {
    const char *what = verdict == VERDICT_KEY ? "key" : "channel";
    int length;
    if (verdict == VERDICT_COMMAND)
        length = snprintf(out, size, "User %s has no permissions to run the '%s' command", user,
                          command->full_name);
    else if (object == NULL)
        length = snprintf(out, size, "No permissions to access a %s", what);
    else
        length = snprintf(out, size, "User %s has no permissions to access the '%.*s' %s", user,
                          (int)(object->length < size ? object->length : size), object->data, what);
    return (size_t)length < size ? (size_t)length : size - 1;
}
