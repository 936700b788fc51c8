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

void describe_commands(const struct selector *selector, struct reply *text) {
    put(text, selector->begins_with_all ? "+@all" : "-@all");
    for (uint32_t i = 0; i < selector->word_count; i++) {
        put(text, selector->words[i].allows ? " +" : " -");
        reply_raw(text, selector->words[i].text, selector->words[i].length);
    }
}

/* "~*" is no pattern among others: behind it none may follow. */
static const char *sign_of(const struct pattern *pattern) {
    if (pattern->access == ACCESS_BOTH && pattern->length == 1 && pattern->text[0] == '*') return "%RW~";
    return pattern->access == ACCESS_BOTH ? "~" : pattern->access == ACCESS_READ ? "%R~" : "%W~";
}

void describe_keys(const struct selector *selector, struct reply *text) {
    if (selector->has_all_keys) put(text, "~*");
    for (uint32_t i = 0; i < selector->keys.count; i++) {
        const struct pattern *pattern = &selector->keys.list[i];
        if (i > 0) put(text, " ");
        put(text, sign_of(pattern));
        reply_raw(text, pattern->text, pattern->length);
    }
}

void describe_channels(const struct selector *selector, struct reply *text) {
    if (selector->has_all_channels) put(text, "&*");
    for (uint32_t i = 0; i < selector->channels.count; i++) {
        put(text, i > 0 ? " &" : "&");
        reply_raw(text, selector->channels.list[i].text, selector->channels.list[i].length);
    }
}

static void describe_selector(const struct selector *selector, struct reply *text) {
    describe_keys(selector, text);
    if (selector->has_all_keys || selector->keys.count > 0) put(text, " ");
    if (!selector->has_all_channels) put(text, "resetchannels ");
    describe_channels(selector, text);
    if (selector->has_all_channels || selector->channels.count > 0) put(text, " ");
    describe_commands(selector, text);
}

void describe_rules(const struct rules *rules, struct reply *text) {
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
    describe_selector(&rules->selectors[0], text);
    for (uint32_t i = 1; i < rules->selector_count; i++) {
        put(text, " (");
        describe_selector(&rules->selectors[i], text);
        put(text, ")");
    }
}
