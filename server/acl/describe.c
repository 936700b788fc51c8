#include "describe.h"

#include <string.h>

static void put(struct reply *text, const char *words) {
    reply_raw(text, words, strlen(words));
}

uint32_t describe_flags(const struct rules *rules, const char *flags[RULES_FLAGS]) {
    uint32_t count = 0;
    flags[count++] = rules->is_on ? "on" : "off";
    if (rules->needs_no_password) flags[count++] = "nopass";
    flags[count++] = rules->skips_sanitizing ? "skip-sanitize-payload" : "sanitize-payload";
    return count;
}

void describe_password(const struct rules *rules, uint32_t index, char hash[RULES_HASH_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        hash[2 * i] = digits[rules->passwords[index][i] >> 4];
        hash[2 * i + 1] = digits[rules->passwords[index][i] & 15];
    }
    hash[RULES_HASH_SIZE - 1] = '\0';
}

static bool has_any(const char *word, size_t length, const char *letters) {
    for (size_t i = 0; i < length; i++)
        if (strchr(letters, word[i]) != NULL) return true;
    return false;
}

/* There are no blanks in it, and no zero bytes. */
static void put_quoted(struct reply *text, const char *sign, const char *word, size_t length) {
    put(text, "\"");
    put(text, sign);
    for (size_t i = 0; i < length; i++) {
        if (word[i] == '"' || word[i] == '\\') put(text, "\\");
        reply_raw(text, word + i, 1);
    }
    put(text, "\"");
}

void describe_word(const char *word, size_t length, struct reply *text) {
    if (length == 0 || has_any(word, length, "\"'"))
        put_quoted(text, "", word, length);
    else
        reply_raw(text, word, length);
}

static void put_part(struct reply *text, const char *sign, const char *word, size_t length, bool is_quoted) {
    if (is_quoted && has_any(word, length, "\"')")) {
        put_quoted(text, sign, word, length);
        return;
    }
    put(text, sign);
    reply_raw(text, word, length);
}

static void put_commands(const struct selector *selector, struct reply *text, bool is_quoted) {
    put(text, selector->begins_with_all ? "+@all" : "-@all");
    for (uint32_t i = 0; i < selector->word_count; i++) {
        const struct word *word = &selector->words[i];
        put(text, " ");
        put_part(text, word->allows ? "+" : "-", word->text, word->length, is_quoted);
    }
}

void describe_commands(const struct selector *selector, struct reply *text) {
    put_commands(selector, text, false);
}

/* "~*" is no pattern among others: behind it none may follow. */
static const char *sign_of(const struct pattern *pattern) {
    if (pattern->access == ACCESS_BOTH && pattern->length == 1 && pattern->text[0] == '*') return "%RW~";
    return pattern->access == ACCESS_BOTH ? "~" : pattern->access == ACCESS_READ ? "%R~" : "%W~";
}

static void put_keys(const struct selector *selector, struct reply *text, bool is_quoted) {
    if (selector->has_all_keys) put(text, "~*");
    for (uint32_t i = 0; i < selector->keys.count; i++) {
        const struct pattern *pattern = &selector->keys.list[i];
        if (i > 0) put(text, " ");
        put_part(text, sign_of(pattern), pattern->text, pattern->length, is_quoted);
    }
}

void describe_keys(const struct selector *selector, struct reply *text) {
    put_keys(selector, text, false);
}

static void put_channels(const struct selector *selector, struct reply *text, bool is_quoted) {
    if (selector->has_all_channels) put(text, "&*");
    for (uint32_t i = 0; i < selector->channels.count; i++) {
        if (i > 0) put(text, " ");
        put_part(text, "&", selector->channels.list[i].text, selector->channels.list[i].length, is_quoted);
    }
}

void describe_channels(const struct selector *selector, struct reply *text) {
    put_channels(selector, text, false);
}

static void put_selector(const struct selector *selector, struct reply *text, bool is_quoted) {
    put_keys(selector, text, is_quoted);
    if (selector->has_all_keys || selector->keys.count > 0) put(text, " ");
    if (!selector->has_all_channels) put(text, "resetchannels ");
    put_channels(selector, text, is_quoted);
    if (selector->has_all_channels || selector->channels.count > 0) put(text, " ");
    put_commands(selector, text, is_quoted);
}

static void put_rules(const struct rules *rules, struct reply *text, bool is_quoted) {
    const char *flags[RULES_FLAGS];
    char hash[RULES_HASH_SIZE];
    uint32_t count = describe_flags(rules, flags);
    for (uint32_t i = 0; i < count; i++) {
        put(text, flags[i]);
        put(text, " ");
    }
    for (uint32_t i = 0; i < rules->password_count; i++) {
        describe_password(rules, i, hash);
        put(text, "#");
        put(text, hash);
        put(text, " ");
    }
    put_selector(&rules->selectors[0], text, false);
    for (uint32_t i = 1; i < rules->selector_count; i++) {
        put(text, " (");
        put_selector(&rules->selectors[i], text, is_quoted);
        put(text, ")");
    }
}

void describe_rules(const struct rules *rules, struct reply *text) {
    put_rules(rules, text, false);
}

void describe_rules_for_file(const struct rules *rules, struct reply *text) {
    put_rules(rules, text, true);
}
