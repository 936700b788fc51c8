#include "category.h"

#include <string.h>

/* A command is in a category if its row says so, or one of these flags does, or none of those. */
struct category {
    const char *name;
    uint32_t by_flags;
    uint32_t unless_flags;
};

static const struct category categories[] = {
    {"@keyspace", 0, 0},
    {"@read", COMMAND_READONLY, 0},
    {"@write", COMMAND_WRITE, 0},
    {"@set", 0, 0},
    {"@sortedset", 0, 0},
    {"@list", 0, 0},
    {"@hash", 0, 0},
    {"@string", 0, 0},
    {"@bitmap", 0, 0},
    {"@hyperloglog", 0, 0},
    {"@geo", 0, 0},
    {"@stream", 0, 0},
    {"@pubsub", COMMAND_PUBSUB, 0},
    {"@admin", COMMAND_ADMIN, 0},
    {"@fast", COMMAND_FAST, 0},
    {"@slow", 0, COMMAND_FAST},
    {"@blocking", COMMAND_BLOCKING, 0},
    {"@dangerous", COMMAND_ADMIN, 0},
    {"@connection", 0, 0},
    {"@transaction", 0, 0},
    {"@scripting", 0, 0},
};
#define CATEGORIES (sizeof categories / sizeof categories[0])

uint32_t category_count(void) {
    return CATEGORIES;
}

const char *category_name(uint32_t category) {
    return categories[category].name;
}

uint32_t category_find(const struct bulk *name) {
    uint32_t category = 0;
    while (category < CATEGORIES && !argument_is(name, categories[category].name + 1)) category++;
    return category;
}

/* Whether the blank-separated list, or NULL, has the word. */
static bool list_has(const char *list, const char *wanted) {
    size_t length = strlen(wanted);
    for (const char *word = list; word != NULL && *word != '\0';) {
        const char *end = strchrnul(word, ' ');
        if ((size_t)(end - word) == length && memcmp(word, wanted, length) == 0) return true;
        word = *end == '\0' ? end : end + 1;
    }
    return false;
}

bool command_is_in_category(const struct command *command, uint32_t number) {
    const struct category *category = &categories[number];
    /* One that only reads may still be told what to read: Redis leaves scripts out. */
    if (category->by_flags == COMMAND_READONLY && command->script != NULL) return false;
    if ((command->flags & category->by_flags) != 0) return true;
    if (category->unless_flags != 0) return (command->flags & category->unless_flags) == 0;
    return list_has(command->categories, category->name + 1);
}
