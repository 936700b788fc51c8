/* From the words that an option is set to, to the one text that stands for them. */
#include "option.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shard/base/number.h"

#define MEBIBYTE (INT64_C(1) << 20)

bool refuse(char *why, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, WHY_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

bool word_is(const struct bulk *word, const char *text) {
    return word->length == strlen(text) && strncasecmp(word->data, text, word->length) == 0;
}

bool memory_parse(const char *text, size_t length, int64_t *value) {
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {
        {"", 1},        {"b", 1},         {"k", 1000},       {"kb", INT64_C(1) << 10},
        {"m", 1000000}, {"mb", MEBIBYTE}, {"g", 1000000000}, {"gb", INT64_C(1) << 30},
    };
    if (length == 0) { /* as in Redis, no size is none */
        *value = 0;
        return true;
    }
    size_t digits = 0;
    while (digits < length && isdigit((unsigned char)text[digits])) digits++;
    /* Leading zeros are no reason to refuse a size. */
    size_t zeros = 0;
    while (zeros + 1 < digits && text[zeros] == '0') zeros++;
    int64_t number;
    if (digits == 0 || !number_parse(text + zeros, digits - zeros, &number)) return false;
    struct bulk unit = {(char *)text + digits, length - digits, NULL};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (word_is(&unit, units[i].name)) return !__builtin_mul_overflow(number, units[i].factor, value);
    }
    return false;
}

/* As Redis checks them: 0% is none. Returns whether it looks like a percentage at all. */
static bool share_parse(const struct bulk *word, char *out, char *why, bool *is_fine) {
    int64_t number;
    if (word->length < 2 || word->data[word->length - 1] != '%' ||
        !number_parse(word->data, word->length - 1, &number) || number < 0)
        return false;
    *is_fine = number <= 100;
    if (!*is_fine)
        refuse(why, "percentage argument must be less or equal to 100");
    else
        snprintf(out, VALUE_SIZE, number == 0 ? "0" : "%lld%%", (long long)number);
    return true;
}

/* "80%" */
static bool percent_parse(const char *text, size_t length, int64_t *value) {
    if (length < 2 || text[length - 1] != '%') return false;
    return number_parse(text, length - 1, value) && *value >= 1 && *value <= 100;
}

static bool canonical_number(const struct option *option, const struct bulk *word, char *out, char *why) {
    int64_t number = 0;
    if (option->kind == OPTION_OCTAL) {
        for (size_t i = 0; i < word->length; i++) {
            if (word->data[i] < '0' || word->data[i] > '7')
                return refuse(why, "argument couldn't be parsed as an octal number");
            if (number <= option->most) number = number * 8 + (word->data[i] - '0');
        }
        if (word->length == 0) return refuse(why, "argument couldn't be parsed as an octal number");
        if (number > option->most)
            return refuse(why, "argument must be between 0 and %llo inclusive",
                          (unsigned long long)option->most);
        snprintf(out, VALUE_SIZE, "%llo", (unsigned long long)number);
        return true;
    }
    if ((option->flags & OPTION_PERCENT) != 0 && percent_parse(word->data, word->length, &number)) {
        snprintf(out, VALUE_SIZE, "%lld%%", (long long)number);
        return true;
    }
    bool is_share_fine;
    if ((option->flags & OPTION_SHARE) != 0 && share_parse(word, out, why, &is_share_fine))
        return is_share_fine;
    if (option->kind == OPTION_MEMORY) {
        if (!memory_parse(word->data, word->length, &number))
            return refuse(why, (option->flags & OPTION_SHARE) != 0
                                   ? "argument must be a memory or percent value"
                                   : "argument must be a memory value");
    } else if (!number_parse(word->data, word->length, &number)) {
        return refuse(why, "argument couldn't be parsed into an integer");
    }
    if (number < option->least || number > option->most) {
        return refuse(why, "argument must be between %lld and %lld inclusive", (long long)option->least,
                      (long long)option->most);
    }
    snprintf(out, VALUE_SIZE, "%lld", (long long)number);
    return true;
}

static bool canonical_choice(const struct option *option, const struct bulk *word, char *out, char *why) {
    for (int i = 0; option->choices[i]; i++) {
        if (!word_is(word, option->choices[i])) continue;
        snprintf(out, VALUE_SIZE, "%s", option->choices[i]);
        return true;
    }
    int length = snprintf(why, WHY_SIZE, "argument(s) must be one of the following: ");
    for (int i = 0; option->choices[i] && length < WHY_SIZE; i++) {
        length +=
            snprintf(why + length, (size_t)(WHY_SIZE - length), "%s%s", i ? ", " : "", option->choices[i]);
    }
    return false;
}

static bool canonical_boolean(const struct bulk *word, char *out, char *why) {
    bool is_yes = word_is(word, "yes");
    if (!is_yes && !word_is(word, "no")) return refuse(why, "argument must be 'yes' or 'no'");
    snprintf(out, VALUE_SIZE, "%s", is_yes ? "yes" : "no");
    return true;
}

static bool canonical_text(const struct bulk *word, char *out, char *why) {
    if (word->length >= VALUE_SIZE) return refuse(why, "argument must be shorter than %d bytes", VALUE_SIZE);
    if (memchr(word->data, '\0', word->length)) return refuse(why, "argument must not contain a zero byte");
    memcpy(out, word->data, word->length);
    out[word->length] = '\0';
    return true;
}

static bool canonical_bytes(const struct bulk *word, char *out, char *why) {
    size_t length = 0;
    for (size_t i = 0; i < word->length; i++) {
        char byte = word->data[i];
        if (length + 3 > VALUE_SIZE)
            return refuse(why, "argument must be shorter than %d bytes", VALUE_SIZE / 2);
        if (byte == '\0' || byte == '\\') out[length++] = '\\';
        out[length++] = byte == '\0' ? '0' : byte;
    }
    out[length] = '\0';
    return true;
}

size_t bytes_from_canonical(const char *text, char *out, size_t size) {
    size_t length = 0;
    for (; *text && length < size; text++) {
        bool is_escaped = *text == '\\';
        if (is_escaped) text++;
        out[length++] = is_escaped && *text == '0' ? '\0' : *text;
    }
    return length;
}

/* Splits a list that came as one word, as it does from CONFIG SET. Returns how many words. */
static int list_split(const struct bulk *word, struct bulk *out, int most) {
    int count = 0;
    for (size_t i = 0; i < word->length;) {
        size_t start = i;
        while (i < word->length && word->data[i] != ' ') i++;
        if (i > start && count++ < most) out[count - 1] = (struct bulk){word->data + start, i - start, NULL};
        i++;
    }
    return count;
}

bool option_canonical(const struct option *option, const struct bulk *words, int count, const char *present,
                      char *out, char *why) {
    if (option->kind == OPTION_LIST) {
        struct bulk parts[MOST_WORDS];
        if (count == 1) {
            count = list_split(words, parts, MOST_WORDS);
            words = parts;
        }
        if (count > MOST_WORDS)
            return refuse(why, "wrong number of arguments: at most %d make sense", MOST_WORDS);
        if (!option->compose(words, count, present, out, why)) return false;
        return !option->check || option->check(out, why);
    }
    if (count != 1) return refuse(why, "wrong number of arguments");
    bool is_fine = false;
    switch (option->kind) {
    case OPTION_INTEGER:
    case OPTION_OCTAL:
    case OPTION_MEMORY: is_fine = canonical_number(option, words, out, why); break;
    case OPTION_BOOLEAN: is_fine = canonical_boolean(words, out, why); break;
    case OPTION_CHOICE: is_fine = canonical_choice(option, words, out, why); break;
    case OPTION_TEXT: is_fine = canonical_text(words, out, why); break;
    case OPTION_BYTES: is_fine = canonical_bytes(words, out, why); break;
    case OPTION_LIST: break;
    }
    return is_fine && (!option->check || option->check(out, why));
}

bool list_join(const struct bulk *words, int count, char *out, char *why) {
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        if (length + words[i].length + 2 > VALUE_SIZE)
            return refuse(why, "argument must be shorter than %d bytes", VALUE_SIZE);
        if (memchr(words[i].data, '\0', words[i].length))
            return refuse(why, "argument must not contain a zero byte");
        if (i) out[length++] = ' ';
        memcpy(out + length, words[i].data, words[i].length);
        length += words[i].length;
    }
    out[length] = '\0';
    return true;
}
