#include "rules.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "server/command/command.h"
#include "selector.h"

#define HASH_LETTERS ((size_t)2 * SHA256_DIGEST_LENGTH)
/* What it costs to compare two passwords, or to have one's hash. */
#define PASSWORD_STEPS 64
/* More than a selector can have of what they add. */
#define SELECTOR_WORDS_MOST ((size_t)2 * RULES_PARTS_MOST)

const char *rules_error_text(enum rules_error error) {
    switch (error) {
    case RULES_FINE: break;
    case RULES_SYNTAX: return "Syntax error";
    case RULES_UNKNOWN: return "Unknown command or category name in ACL";
    case RULES_BEHIND_ALL_KEYS:
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have "
               "any effect. Try 'resetkeys' to start with an empty list of patterns";
    case RULES_BEHIND_ALL_CHANNELS:
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not "
               "have any effect. Try 'resetchannels' to start with an empty list of channels";
    case RULES_NO_SUCH_PASSWORD: return "The password you are trying to remove from the user does not exist";
    case RULES_NO_HASH:
        return "The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
               "characters";
    case RULES_ARGUMENT_OF_SUBCOMMAND: return "Allowing first-arg of a subcommand is not supported";
    case RULES_UNMATCHED: return "Unmatched parenthesis in selector definition";
    case RULES_TOO_MANY: return "One user can't have so many of these";
    case RULES_TOO_LONG: return "One command can't have so many rules";
    case RULES_NO_MEMORY: return "Out of memory";
    }
    return "";
}

/* ------------------------------------------------------------------ one user's, as a whole */

static struct rules *rules_empty(uint32_t selectors) {
    struct rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL) return NULL;
    rules->selectors = calloc(array_room(selectors), sizeof *rules->selectors);
    atomic_init(&rules->holders, 1);
    rules->steps_left = UINT64_MAX;
    if (rules->selectors != NULL) return rules;
    free(rules);
    return NULL;
}

struct rules *rules_create(void) {
    struct rules *rules = rules_empty(1);
    if (rules == NULL) return NULL;
    selector_init(&rules->selectors[0]);
    rules->selector_count = 1;
    return rules;
}

struct rules *rules_create_all(void) {
    static const char *const texts[] = {"+@all", "~*", "&*", "on", "nopass"};
    struct rules *rules = rules_create();
    for (size_t i = 0; rules != NULL && i < sizeof texts / sizeof texts[0]; i++) {
        const struct bulk word = {.data = (char *)(uintptr_t)texts[i], .length = strlen(texts[i])};
        enum rules_error error = rules_apply(rules, &word);
        assert(error == RULES_FINE && "none of these needs memory");
        (void)error;
    }
    return rules;
}

static void rules_free(struct rules *rules) {
    for (uint32_t i = 0; i < rules->selector_count; i++) selector_free(&rules->selectors[i]);
    free(rules->selectors);
    if (rules->passwords != NULL)
        OPENSSL_cleanse(rules->passwords, rules->password_count * sizeof *rules->passwords);
    free(rules->passwords);
    free(rules);
}

static bool passwords_copy(struct rules *to, const struct rules *from) {
    if (from->password_count == 0) return true;
    to->passwords = malloc(array_room(from->password_count) * sizeof *to->passwords);
    if (to->passwords == NULL) return false;
    memcpy(to->passwords, from->passwords, from->password_count * sizeof *to->passwords);
    to->password_count = from->password_count;
    return true;
}

struct rules *rules_copy(const struct rules *rules) {
    struct rules *copy = rules_empty(rules->selector_count);
    if (copy == NULL) return NULL;
    copy->is_on = rules->is_on;
    copy->needs_no_password = rules->needs_no_password;
    copy->skips_sanitizing = rules->skips_sanitizing;
    bool is_copied = passwords_copy(copy, rules);
    for (uint32_t i = 0; is_copied && i < rules->selector_count; i++) {
        is_copied = selector_copy(&copy->selectors[i], &rules->selectors[i]);
        if (is_copied) copy->selector_count++;
    }
    if (is_copied) return copy;
    rules_free(copy);
    return NULL;
}

struct rules *rules_hold(struct rules *rules) {
    atomic_fetch_add_explicit(&rules->holders, 1, memory_order_relaxed);
    return rules;
}

void rules_let_go(struct rules *rules) {
    if (rules != NULL && atomic_fetch_sub(&rules->holders, 1) == 1) rules_free(rules);
}

bool rules_allow_all(const struct rules *rules) {
    const struct selector *root = &rules->selectors[0];
    return root->has_all_commands && root->has_all_keys && root->has_all_channels;
}

/* ------------------------------------------------------------------ passwords */

static int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* ">password" and "<password", "#hash" and "!hash": what they mean. */
static enum rules_error digest_of(const struct bulk *word, unsigned char digest[SHA256_DIGEST_LENGTH]) {
    const char *text = word->data + 1;
    size_t length = word->length - 1;
    if (word->data[0] == '>' || word->data[0] == '<') {
        return SHA256((const unsigned char *)text, length, digest) == NULL ? RULES_NO_MEMORY : RULES_FINE;
    }
    if (length != HASH_LETTERS) return RULES_NO_HASH;
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) return RULES_NO_HASH;
        digest[i] = (unsigned char)(high * 16 + low);
    }
    return RULES_FINE;
}

static void passwords_clear(struct rules *rules) {
    free(rules->passwords);
    rules->passwords = NULL;
    rules->password_count = 0;
}

static enum rules_error password_add(struct rules *rules, const unsigned char *digest) {
    bool is_known = false;
    for (uint32_t i = 0; i < rules->password_count; i++)
        is_known = is_known || CRYPTO_memcmp(rules->passwords[i], digest, SHA256_DIGEST_LENGTH) == 0;
    if (!is_known) {
        if (rules->password_count == RULES_PASSWORDS_MOST) return RULES_TOO_MANY;
        void *passwords = array_with_room(rules->passwords, rules->password_count, sizeof *rules->passwords);
        if (passwords == NULL) return RULES_NO_MEMORY;
        rules->passwords = passwords;
        memcpy(rules->passwords[rules->password_count++], digest, SHA256_DIGEST_LENGTH);
    }
    rules->needs_no_password = false;
    return RULES_FINE;
}

static enum rules_error password_remove(struct rules *rules, const unsigned char *digest) {
    uint32_t at = 0;
    while (at < rules->password_count &&
           CRYPTO_memcmp(rules->passwords[at], digest, SHA256_DIGEST_LENGTH) != 0)
        at++;
    if (at == rules->password_count) return RULES_NO_SUCH_PASSWORD;
    uint32_t count = --rules->password_count;
    memmove(rules->passwords[at], rules->passwords[at + 1], (count - at) * sizeof *rules->passwords);
    if (count == 0) {
        passwords_clear(rules);
    } else if (array_room(count) != array_room(count + 1)) {
        void *smaller = realloc(rules->passwords, array_room(count) * sizeof *rules->passwords);
        if (smaller != NULL) rules->passwords = smaller; /* else it is larger than it need be: harmless */
    }
    return RULES_FINE;
}

enum rules_error rules_set_password(struct rules *rules, const unsigned char *digest) {
    passwords_clear(rules);
    rules->needs_no_password = digest == NULL;
    return digest == NULL ? RULES_FINE : password_add(rules, digest);
}

bool rules_password_fits(const struct rules *rules, const char *password, size_t length) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    bool fits = false;
    /* Without memory there is none, and what the stack has there is another one's. */
    if (SHA256((const unsigned char *)password, length, digest) == NULL) return false;
    for (uint32_t i = 0; i < rules->password_count; i++)
        fits = (CRYPTO_memcmp(rules->passwords[i], digest, sizeof digest) == 0) | fits;
    return fits;
}

/* ------------------------------------------------------------------ words */

static bool spend(struct rules *rules, uint64_t steps) {
    if (steps > rules->steps_left) return false;
    if (rules->steps_left != UINT64_MAX) rules->steps_left -= steps;
    return true;
}

static uint64_t parts_of_selectors(const struct rules *rules) {
    uint64_t parts = 0;
    for (uint32_t i = 1; i < rules->selector_count; i++) parts += selector_parts(&rules->selectors[i]);
    return parts;
}

/* "(~a* +get)": its words are a selector's own, and a quote that isn't closed makes it an empty one. */
static enum rules_error selector_add(struct rules *rules, const struct bulk *word) {
    size_t length = word->length - 2,
           most = length / 2 + 1 < SELECTOR_WORDS_MOST ? length / 2 + 1 : SELECTOR_WORDS_MOST;
    if (rules->selector_count == RULES_SELECTORS_MOST) return RULES_TOO_MANY;
    struct selector *selectors = array_with_room(rules->selectors, rules->selector_count, sizeof *selectors);
    if (selectors == NULL) return RULES_NO_MEMORY;
    rules->selectors = selectors;
    char *line = malloc(length + 1);
    struct bulk *words = malloc(most * sizeof *words);
    enum rules_error error = line == NULL || words == NULL ? RULES_NO_MEMORY : RULES_FINE;
    if (error == RULES_FINE) {
        struct selector *selector = &selectors[rules->selector_count];
        memcpy(line, word->data + 1, length);
        line[length] = '\0';
        int count = request_split(line, length, words, (int)most);
        selector_init(selector);
        if (count > (int)most) error = RULES_TOO_MANY;
        for (int i = 0; i < count && error == RULES_FINE; i++)
            error = spend(rules, selector_steps(selector, &words[i])) ? selector_apply(selector, &words[i])
                                                                      : RULES_TOO_LONG;
        if (error == RULES_FINE && parts_of_selectors(rules) + selector_parts(selector) > RULES_PARTS_MOST)
            error = RULES_TOO_MANY;
        if (error == RULES_FINE)
            rules->selector_count++;
        else
            selector_free(selector);
    }
    free(words);
    free(line);
    return error;
}

static void selectors_clear(struct rules *rules) {
    for (uint32_t i = 1; i < rules->selector_count; i++) selector_free(&rules->selectors[i]);
    rules->selector_count = 1;
    /* As much room as the length says; that a block isn't made smaller is harmless. */
    void *smaller = realloc(rules->selectors, sizeof *rules->selectors);
    if (smaller != NULL) rules->selectors = smaller;
}

static void reset(struct rules *rules) {
    passwords_clear(rules);
    selectors_clear(rules);
    selector_reset(&rules->selectors[0]);
    rules->is_on = rules->needs_no_password = rules->skips_sanitizing = false;
}

static enum rules_error password_apply(struct rules *rules, const struct bulk *word) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    enum rules_error error = digest_of(word, digest);
    if (error != RULES_FINE) return error;
    bool adds = word->data[0] == '>' || word->data[0] == '#';
    return adds ? password_add(rules, digest) : password_remove(rules, digest);
}

static bool is_about_password(char sign) {
    return sign == '>' || sign == '<' || sign == '#' || sign == '!';
}

static uint64_t steps_of(const struct rules *rules, const struct bulk *word) {
    if (is_about_password(word->data[0])) return PASSWORD_STEPS * ((uint64_t)rules->password_count + 1);
    if (word->data[0] == '(') return rules->selector_count;
    return selector_steps(&rules->selectors[0], word);
}

enum rules_error rules_apply(struct rules *rules, const struct bulk *word) {
    if (word->length == 0) return RULES_FINE;
    if (!spend(rules, steps_of(rules, word))) return RULES_TOO_LONG;
    if (argument_is(word, "on") || argument_is(word, "off")) {
        rules->is_on = word->length == strlen("on");
    } else if (argument_is(word, "skip-sanitize-payload") || argument_is(word, "sanitize-payload")) {
        rules->skips_sanitizing = word->length == strlen("skip-sanitize-payload");
    } else if (argument_is(word, "nopass") || argument_is(word, "resetpass")) {
        passwords_clear(rules);
        rules->needs_no_password = argument_is(word, "nopass");
    } else if (argument_is(word, "clearselectors")) {
        selectors_clear(rules);
    } else if (argument_is(word, "reset")) {
        reset(rules);
    } else if (is_about_password(word->data[0])) {
        return password_apply(rules, word);
    } else if (word->data[0] == '(' && word->length > 1 && word->data[word->length - 1] == ')') {
        return selector_add(rules, word);
    } else {
        return selector_apply(&rules->selectors[0], word);
    }
    return RULES_FINE;
}

/* ------------------------------------------------------------------ words in a row */

static bool begins_selector(const struct bulk *word) {
    return word->length > 0 && word->data[0] == '(' && word->data[word->length - 1] != ')';
}

static bool ends_selector(const struct bulk *word) {
    return word->length > 0 && word->data[word->length - 1] == ')';
}

/* The words from *at on that are one selector, with blanks between, in memory to be freed. *at is then its
 * last word. */
static enum rules_error join(const struct bulk *words, uint32_t count, uint32_t *at, struct bulk *joined) {
    uint32_t first = *at, last = first + 1;
    while (last < count && !ends_selector(&words[last])) last++;
    if (last == count) return RULES_UNMATCHED;
    size_t length = words[first].length, filled = 0;
    for (uint32_t i = first + 1; i <= last; i++) length += 1 + words[i].length;
    joined->data = malloc(length + 1);
    joined->length = length;
    if (joined->data == NULL) return RULES_NO_MEMORY;
    for (uint32_t i = first; i <= last; i++) {
        if (i > first) joined->data[filled++] = ' ';
        memcpy(joined->data + filled, words[i].data, words[i].length);
        filled += words[i].length;
    }
    joined->data[filled] = '\0';
    *at = last;
    return RULES_FINE;
}

typedef bool on_failed(void *context, const struct bulk *word, enum rules_error error);

/* An unmatched parenthesis is found before anything is applied. */
static const struct bulk *find_unmatched(const struct bulk *words, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = i;
        if (!begins_selector(&words[i])) continue;
        for (i++; i < count && !ends_selector(&words[i]); i++) continue;
        if (i == count) return &words[first];
    }
    return NULL;
}

/* Each that fails is told of, which says whether it goes on. */
static enum rules_error apply_words(struct rules *rules, const struct bulk *words, uint32_t count,
                                    on_failed *failed, void *context) {
    for (uint32_t i = 0; i < count; i++) {
        struct bulk joined = {.data = NULL};
        const struct bulk *word = &words[i];
        enum rules_error error = RULES_FINE;
        if (begins_selector(word)) {
            error = join(words, count, &i, &joined);
            word = &joined;
        }
        if (error == RULES_FINE) error = rules_apply(rules, word);
        bool goes_on = error == RULES_FINE ||
                       (error != RULES_NO_MEMORY && word->data != NULL && failed(context, word, error));
        free(joined.data);
        if (!goes_on) return error;
    }
    return RULES_FINE;
}

static void keep_failed(struct bulk *failed, const struct bulk *word) {
    if (failed == NULL) return;
    *failed = (struct bulk){.data = malloc(word->length + 1)};
    if (failed->data == NULL) return;
    memcpy(failed->data, word->data, word->length);
    failed->data[word->length] = '\0';
    failed->length = word->length;
}

static bool on_first_failed(void *context, const struct bulk *word, enum rules_error error) {
    (void)error;
    keep_failed(context, word);
    return false;
}

enum rules_error rules_apply_all(struct rules *rules, const struct bulk *words, uint32_t count,
                                 struct bulk *failed) {
    const struct bulk *unmatched = find_unmatched(words, count);
    if (failed != NULL) *failed = (struct bulk){.data = NULL};
    if (unmatched != NULL) {
        keep_failed(failed, unmatched);
        return RULES_UNMATCHED;
    }
    return apply_words(rules, words, count, on_first_failed, failed);
}

struct each_failed {
    void (*failed)(void *context, const struct bulk *word, enum rules_error error);
    void *context;
};

static bool on_each_failed(void *context, const struct bulk *word, enum rules_error error) {
    const struct each_failed *each = context;
    each->failed(each->context, word, error);
    return true;
}

enum rules_error rules_apply_each(struct rules *rules, const struct bulk *words, uint32_t count,
                                  void (*failed)(void *context, const struct bulk *word,
                                                 enum rules_error error),
                                  void *context) {
    struct each_failed each = {failed, context};
    if (find_unmatched(words, count) != NULL) return RULES_UNMATCHED;
    return apply_words(rules, words, count, on_each_failed, &each);
}
