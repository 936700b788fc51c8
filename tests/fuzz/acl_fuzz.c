/* Any bytes as rules, and as an aclfile. Words must not crash, leak or be read beyond their ends; a word that
 * fails changes nothing; what rules print makes the same rules again; and whatever the rules are, a call is
 * allowed by a copy of them if and only if by themselves. A file is taken as a whole or not at all, and what
 * is saved of it loads again.
 *
 * An input is lines. Its first byte tells whether they are a file; otherwise each is a word for one user's
 * rules, and some are requests. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/acl/check.h"
#include "server/acl/describe.h"
#include "server/acl/file.h"
#include "server/acl/users.h"
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"
#include "server/task/user.h"
#include "tests/check.h"

#define WORDS_MOST 256

static char path[64];

/* A copy that ends where it ends, so that reading beyond it is seen. */
static char *copy_of(const char *data, size_t length) {
    char *copy = malloc(length == 0 ? 1 : length);
    CHECK(copy != NULL);
    if (length > 0) memcpy(copy, data, length);
    return copy;
}

/* The words of a text, at `separator`, each in memory of its own. */
static uint32_t split(const char *data, size_t length, char separator, struct bulk words[WORDS_MOST]) {
    uint32_t count = 0;
    for (size_t at = 0; at < length && count < WORDS_MOST;) {
        const char *end = memchr(data + at, separator, length - at);
        size_t word = end == NULL ? length - at : (size_t)(end - (data + at));
        words[count++] = (struct bulk){.data = copy_of(data + at, word), .length = word};
        at += word + 1;
    }
    return count;
}

static void words_free(struct bulk *words, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) free(words[i].data);
}

static void describe(const struct rules *rules, struct reply *text) {
    reply_init(text, 2);
    describe_rules(rules, text);
    CHECK(!text->is_broken);
}

static bool is_same(const struct reply *one, const struct reply *other) {
    return one->length == other->length && memcmp(one->data, other->data, one->length) == 0;
}

/* What is written to a file is read from it as it was. */
static void check_written(const struct rules *rules) {
    struct reply written, printed, again;
    struct bulk words[WORDS_MOST];
    reply_init(&written, 2);
    describe_rules_for_file(rules, &written);
    CHECK(!written.is_broken);
    uint32_t count = split(written.data, written.length, ' ', words);
    if (count < WORDS_MOST) {
        struct rules *made = rules_create();
        CHECK(made != NULL);
        CHECK(rules_apply_all(made, words, count, NULL) == RULES_FINE);
        describe(rules, &printed);
        describe(made, &again);
        CHECK(is_same(&printed, &again));
        rules_let_go(made);
        reply_free(&printed);
        reply_free(&again);
    }
    reply_free(&written);
    words_free(words, count);
}

static void check_request(const struct rules *rules, const char *data, size_t length) {
    struct bulk words[WORDS_MOST];
    uint32_t position, again, count = split(data, length, ' ', words);
    const struct command *command = count == 0 ? NULL : command_meant(words, count);
    if (command != NULL && command_arity_fits(command, count)) {
        struct rules *copy = rules_copy(rules);
        CHECK(copy != NULL);
        enum verdict verdict = rules_check(rules, command, words, count, &position);
        CHECK(position < count && (verdict != VERDICT_ALLOWED || !rules_allow_all(rules) || position == 0));
        CHECK(verdict == rules_check(copy, command, words, count, &again) && position == again);
        if (rules_allow_all(rules)) CHECK(verdict == VERDICT_ALLOWED);
        char text[128];
        CHECK(verdict_text(verdict, "x", command, &words[position], text, sizeof text) < sizeof text);
        (void)rules_sort_error(rules, command, words, count);
        rules_let_go(copy);
    }
    words_free(words, count);
}

static void fuzz_rules(const char *data, size_t length) {
    struct bulk lines[WORDS_MOST];
    uint32_t count = split(data, length, '\n', lines);
    struct rules *rules = rules_create();
    CHECK(rules != NULL);
    for (uint32_t i = 0; i < count; i++) {
        const struct bulk *line = &lines[i];
        struct reply before, after;
        if (line->length > 0 && line->data[0] == '?') {
            check_request(rules, line->data + 1, line->length - 1);
            continue;
        }
        describe(rules, &before);
        enum rules_error error = rules_apply(rules, line);
        describe(rules, &after);
        if (error != RULES_FINE) CHECK(is_same(&before, &after));
        (void)rules_error_text(error);
        reply_free(&before);
        reply_free(&after);
    }
    check_written(rules);
    (void)rules_password_fits(rules, data, length);
    rules_let_go(rules);
    words_free(lines, count);
}

static void list(struct reply *text) {
    uint32_t count;
    struct user_listed *users = users_list(&count);
    reply_init(text, 2);
    CHECK(users != NULL);
    for (uint32_t i = 0; i < count; i++) {
        reply_raw(text, users[i].user->name, users[i].user->length + 1);
        describe_rules(users[i].rules, text);
    }
    users_list_free(users, count);
}

static void fuzz_file(const char *data, size_t length) {
    struct reply before, after, mistakes;
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    CHECK(fwrite(data, 1, length, file) == length);
    CHECK(fclose(file) == 0);
    list(&before);
    reply_init(&mistakes, 2);
    bool is_loaded = users_load(path, &mistakes);
    list(&after);
    CHECK(is_loaded || (mistakes.length > 0 && is_same(&before, &after)));
    bool has_selectors = memchr(after.data, '(', after.length) != NULL;
    if (is_loaded) {
        struct reply saved;
        CHECK(users_save(path));
        reply_free(&mistakes);
        reply_init(&mistakes, 2);
        bool is_again = users_load(path, &mistakes);
        list(&saved);
        CHECK(has_selectors || (is_again && is_same(&after, &saved)));
        reply_free(&saved);
    }
    reply_free(&mistakes);
    reply_free(&before);
    reply_free(&after);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char name[] = "fuzz", option[] = "--loglevel", level[] = "nothing",
         *arguments[] = {name, option, level, NULL};
    (void)argc;
    (void)argv;
    snprintf(path, sizeof path, "/tmp/latchkey-acl-fuzz-%d", (int)getpid());
    CHECK(config_load(3, arguments));
    commands_register();
    CHECK(users_start(1));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    if ((data[0] & 1) != 0)
        fuzz_rules((const char *)data + 1, size - 1);
    else
        fuzz_file((const char *)data + 1, size - 1);
    unlink(path);
    return 0;
}
