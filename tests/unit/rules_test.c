/* server/acl: what words make of rules, what rules print, and what they allow, without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/acl/check.h"
#include "server/acl/describe.h"
#include "server/acl/rules.h"
#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/config/config.h"

#define WORDS_MOST 64
#define HASH_OF_P "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940"

/* A line's words, separated by single blanks; a copy of the line is kept in `copy`. */
static uint32_t split(const char *line, char **copy, struct bulk words[WORDS_MOST]) {
    uint32_t count = 0;
    *copy = strdup(line);
    for (char *word = *copy; *word != '\0' && count < WORDS_MOST;) {
        size_t length = strcspn(word, " ");
        words[count++] = (struct bulk){.data = word, .length = length};
        word += length + (word[length] == ' ');
    }
    return count;
}

static enum rules_error apply(struct rules *rules, const char *line) {
    struct bulk words[WORDS_MOST];
    char *copy;
    uint32_t count = split(line, &copy, words);
    enum rules_error error = rules_apply_all(rules, words, count, NULL);
    free(copy);
    return error;
}

static struct rules *rules_of(const char *line) {
    struct rules *rules = rules_create();
    assert_int_equal(apply(rules, line), RULES_FINE);
    return rules;
}

static void expect_text(const struct rules *rules, const char *expected) {
    struct reply text;
    reply_init(&text, 2);
    describe_rules(rules, &text);
    reply_raw(&text, "", 1);
    assert_string_equal(text.data, expected);
    reply_free(&text);
}

/* From nothing these words make rules that print like that, and what is printed makes them again. */
static void expect_rules(const char *line, const char *expected) {
    struct rules *rules = rules_of(line), *copy = rules_copy(rules);
    expect_text(rules, expected);
    expect_text(copy, expected);
    rules_let_go(rules);
    rules = rules_of(expected);
    expect_text(rules, expected);
    rules_let_go(rules);
    rules_let_go(copy);
}

static enum verdict check(const struct rules *rules, const char *request, uint32_t *position) {
    struct bulk words[WORDS_MOST];
    char *copy;
    uint32_t count = split(request, &copy, words);
    const struct command *command = command_meant(words, count);
    assert_non_null(command);
    assert_true(command_arity_fits(command, count));
    enum verdict verdict = rules_check(rules, command, words, count, position);
    free(copy);
    return verdict;
}

static void expect_verdict(const char *line, const char *request, enum verdict expected, uint32_t at) {
    uint32_t position;
    struct rules *rules = rules_of(line);
    enum verdict verdict = check(rules, request, &position);
    if (verdict != expected || (expected != VERDICT_ALLOWED && position != at))
        fail_msg("%s: %s: %d at %u", line, request, (int)verdict, position);
    rules_let_go(rules);
}

/* ------------------------------------------------------------------ what words make */

static void rules_stay_as_they_were_written(void **state) {
    (void)state;
    expect_rules("", "off sanitize-payload resetchannels -@all");
    expect_rules("on +@all -set +@read", "on sanitize-payload resetchannels +@all -set +@read");
    expect_rules("+get -get +GET", "off sanitize-payload resetchannels -@all +get");
    expect_rules("+@Read +get +@read", "off sanitize-payload resetchannels -@all +get +@read");
    expect_rules("+config|get +client|id -config +config|set",
                 "off sanitize-payload resetchannels -@all +client|id -config +config|set");
    expect_rules("+select|0 +SELECT|1 +select|0",
                 "off sanitize-payload resetchannels -@all +select|1 +select|0");
    expect_rules("+debug|object", "off sanitize-payload resetchannels -@all +debug|object");
    expect_rules("allcommands -@dangerous nocommands +ping",
                 "off sanitize-payload resetchannels -@all +ping");
    expect_rules("~a ~b %R~a %r~c %rW~d %W~c", "off sanitize-payload ~a ~b ~c ~d resetchannels -@all");
    expect_rules("%R~a %W~b ~", "off sanitize-payload %R~a %W~b ~ resetchannels -@all");
    expect_rules("%R~* %W~* ~b", "off sanitize-payload %RW~* ~b resetchannels -@all"); /* not ~*: see ~b */
    expect_rules("~a allkeys", "off sanitize-payload ~* resetchannels -@all");
    expect_rules("allkeys resetkeys ~b", "off sanitize-payload ~b resetchannels -@all");
    expect_rules("&a &b &a", "off sanitize-payload resetchannels &a &b -@all");
    expect_rules("&a allchannels", "off sanitize-payload &* -@all");
    expect_rules("on nopass skip-sanitize-payload", "on nopass skip-sanitize-payload resetchannels -@all");
    expect_rules(">p >p #" HASH_OF_P, "off sanitize-payload #" HASH_OF_P " resetchannels -@all");
    expect_rules("nopass >p", "off sanitize-payload #" HASH_OF_P " resetchannels -@all");
    expect_rules(">p nopass", "off nopass sanitize-payload resetchannels -@all");
    expect_rules(">p <p >q resetpass", "off sanitize-payload resetchannels -@all");
    expect_rules(
        "(~a +get) ( %R~b &c +@all )",
        "off sanitize-payload resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels &c "
        "+@all)");
    expect_rules("(~a) clearselectors (+get)",
                 "off sanitize-payload resetchannels -@all (resetchannels -@all +get)");
    expect_rules("()", "off sanitize-payload resetchannels -@all (resetchannels -@all)");
    expect_rules("on nopass ~* &* +@all (~a) reset", "off sanitize-payload resetchannels -@all");
}

static void words_that_are_none_change_nothing(void **state) {
    static const struct {
        const char *word;
        enum rules_error error;
    } rows[] = {
        {"frob", RULES_SYNTAX},
        {"+", RULES_UNKNOWN},
        {"+nosuch", RULES_UNKNOWN},
        {"-nosuch", RULES_UNKNOWN},
        {"+@nosuch", RULES_UNKNOWN},
        {"+@", RULES_UNKNOWN},
        {"+config|nosuch", RULES_UNKNOWN},
        {"-select|1", RULES_UNKNOWN},
        {"+nosuch|x", RULES_UNKNOWN},
        {"+get|", RULES_SYNTAX},
        {"+config|get|x", RULES_ARGUMENT_OF_SUBCOMMAND},
        {"%~a", RULES_SYNTAX},
        {"%RR~a", RULES_SYNTAX},
        {"%X~a", RULES_SYNTAX},
        {"%", RULES_SYNTAX},
        {"~x", RULES_FINE},
        {"#12", RULES_NO_HASH},
        {"!12", RULES_NO_HASH},
        {"#148DE9C5A7A44D19E56CD9AE1A554BF67847AFB0C58F6E12FA29AC7DDFCA9940", RULES_NO_HASH},
        {"<nope", RULES_NO_SUCH_PASSWORD},
        {"!" HASH_OF_P, RULES_NO_SUCH_PASSWORD},
        {"(~x", RULES_UNMATCHED},
        {"(+nosuch)", RULES_UNKNOWN},
        {"(on)", RULES_SYNTAX},
        {"(>p)", RULES_SYNTAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rules *rules = rules_of("on ~x &y +get (~z)");
        enum rules_error error = apply(rules, rows[i].word);
        if (error != rows[i].error) fail_msg("%s: %d", rows[i].word, (int)error);
        expect_text(rules, "on sanitize-payload ~x resetchannels &y -@all +get (~z resetchannels -@all)");
        rules_let_go(rules);
    }
    struct rules *all = rules_create_all();
    assert_int_equal(apply(all, "~a"), RULES_BEHIND_ALL_KEYS);
    assert_int_equal(apply(all, "&a"), RULES_BEHIND_ALL_CHANNELS);
    assert_true(rules_allow_all(all));
    rules_let_go(all);
    static char blank[] = "~a b";
    const struct bulk word = {.data = blank, .length = 4};
    struct rules *rules = rules_create();
    assert_int_equal(rules_apply(rules, &word), RULES_SYNTAX);
    rules_let_go(rules);
}

/* What a command's words may cost is up to it; what is there makes each word dearer. */
static void words_cost_what_there_is_to_be_compared(void **state) {
    (void)state;
    struct rules *rules = rules_create();
    rules->steps_left = 100;
    assert_int_equal(apply(rules, "on ~a ~b"), RULES_FINE);
    assert_int_equal(apply(rules, "+get"), RULES_TOO_LONG); /* there are more commands than that */
    assert_int_equal(apply(rules, "(~a +get)"), RULES_TOO_LONG);
    expect_text(rules, "on sanitize-payload ~a ~b resetchannels -@all");
    rules->steps_left = 100000;
    assert_int_equal(apply(rules, "+get (~a)"), RULES_FINE);
    struct rules *copy = rules_copy(rules);
    assert_true(copy->steps_left == UINT64_MAX);
    rules_let_go(copy);
    rules_let_go(rules);
}

static void what_is_written_to_a_file_makes_the_same_rules(void **state) {
    static char words[][24] = {"~a\"b", "(~\"c'd\" +get)", "(~\"e)\" &f)", "(~g\\h\\)", "+select|'"};
    static const char expected[] = "off sanitize-payload ~a\"b resetchannels -@all +select|' (\"~c'd\" "
                                   "resetchannels -@all +get) (\"~e)\" resetchannels &f -@all) "
                                   "(~g\\h\\ resetchannels -@all)";
    (void)state;
    struct rules *rules = rules_create();
    struct reply text, again;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const struct bulk word = {.data = words[i], .length = strlen(words[i])};
        assert_int_equal(rules_apply(rules, &word), RULES_FINE);
    }
    reply_init(&text, 2);
    describe_rules_for_file(rules, &text);
    reply_raw(&text, "", 1);
    assert_string_equal(text.data, expected);
    struct rules *read = rules_of(text.data);
    reply_init(&again, 2);
    describe_rules_for_file(read, &again);
    reply_raw(&again, "", 1);
    assert_string_equal(again.data, expected);
    reply_free(&text);
    reply_init(&text, 2);
    describe_word("a", 1, &text);
    reply_raw(&text, " ", 1);
    describe_word("", 0, &text);
    reply_raw(&text, " ", 1);
    describe_word("b\\'\"", 4, &text);
    reply_raw(&text, "", 1);
    assert_string_equal(text.data, "a \"\" \"b\\\\'\\\"\"");
    reply_free(&text);
    reply_free(&again);
    rules_let_go(read);
    rules_let_go(rules);
}

static void one_user_has_a_bounded_number_of_each(void **state) {
    (void)state;
    struct rules *rules = rules_create();
    char text[32];
    for (int i = 0; i < RULES_PATTERNS_MOST; i++) {
        struct bulk word = {.data = text, .length = (size_t)snprintf(text, sizeof text, "~%d", i)};
        assert_int_equal(rules_apply(rules, &word), RULES_FINE);
    }
    assert_int_equal(apply(rules, "~more"), RULES_TOO_MANY);
    assert_int_equal(apply(rules, "%R~0"), RULES_FINE); /* it is there */
    for (int i = 1; i < RULES_SELECTORS_MOST; i++) assert_int_equal(apply(rules, "(~a)"), RULES_FINE);
    assert_int_equal(apply(rules, "(~a)"), RULES_TOO_MANY);
    assert_int_equal(apply(rules, "clearselectors"), RULES_FINE);
    for (int i = 0; i < RULES_PASSWORDS_MOST; i++) {
        struct bulk word = {.data = text, .length = (size_t)snprintf(text, sizeof text, ">%d", i)};
        assert_int_equal(rules_apply(rules, &word), RULES_FINE);
    }
    assert_int_equal(apply(rules, ">more"), RULES_TOO_MANY);
    for (int i = 0; i < RULES_PASSWORDS_MOST; i++) {
        struct bulk word = {.data = text, .length = (size_t)snprintf(text, sizeof text, "<%d", i)};
        assert_int_equal(rules_apply(rules, &word), RULES_FINE);
    }
    for (int i = 0; i < RULES_WORDS_MOST; i++) {
        struct bulk word = {.data = text, .length = (size_t)snprintf(text, sizeof text, "+select|%d", i)};
        assert_int_equal(rules_apply(rules, &word), RULES_FINE);
    }
    assert_int_equal(apply(rules, "+select|more"), RULES_TOO_MANY);
    assert_int_equal(apply(rules, "-@all resetkeys +get"), RULES_FINE);
    expect_text(rules, "off sanitize-payload resetchannels -@all +get");
    rules_let_go(rules);
}

static void any_of_its_passwords_proves_a_user(void **state) {
    (void)state;
    struct rules *rules = rules_of(">one >two");
    assert_true(rules_password_fits(rules, "one", 3));
    assert_true(rules_password_fits(rules, "two", 3));
    assert_false(rules_password_fits(rules, "on", 2));
    assert_false(rules_password_fits(rules, "one\0", 4));
    assert_int_equal(apply(rules, "<one"), RULES_FINE);
    assert_false(rules_password_fits(rules, "one", 3));
    assert_true(rules_password_fits(rules, "two", 3));
    assert_int_equal(rules_set_password(rules, NULL), RULES_FINE);
    assert_true(rules->needs_no_password);
    rules_let_go(rules);
}

/* ------------------------------------------------------------------ what they allow */

static void a_selector_allows_the_command_its_keys_and_its_channels(void **state) {
    (void)state;
    expect_verdict("+@all ~*", "get a", VERDICT_ALLOWED, 0);
    expect_verdict("+@all ~a*", "get b", VERDICT_KEY, 1);
    expect_verdict("+get ~a*", "set a 1", VERDICT_COMMAND, 0);
    expect_verdict("+@all ~a*", "mset a1 1 a2 2 b 3", VERDICT_KEY, 5);
    expect_verdict("+@all ~a* ~b", "mset a1 1 a2 2 b 3", VERDICT_ALLOWED, 0);
    expect_verdict("+@all ~a?c", "get abc", VERDICT_ALLOWED, 0);
    expect_verdict("+@all ~a?c", "get abbc", VERDICT_KEY, 1);
    expect_verdict("+@all ~[ab]*", "get bx", VERDICT_ALLOWED, 0);
    expect_verdict("+@all ~a\\*", "get a*", VERDICT_ALLOWED, 0);
    expect_verdict("+@all ~a\\*", "get ab", VERDICT_KEY, 1);
    expect_verdict("+@all ~", "get a", VERDICT_KEY, 1);
    /* Reading and writing. */
    expect_verdict("+@all %R~a", "get a", VERDICT_ALLOWED, 0);
    expect_verdict("+@all %R~a", "set a 1", VERDICT_KEY, 1);
    expect_verdict("+@all %W~a", "set a 1", VERDICT_ALLOWED, 0);
    expect_verdict("+@all %W~a", "set a 1 GET", VERDICT_KEY, 1);
    expect_verdict("+@all %R~a %W~b", "copy a b", VERDICT_ALLOWED, 0);
    expect_verdict("+@all %R~a %W~b", "copy b a", VERDICT_KEY, 1);
    expect_verdict("+@all %R~a %W~a", "getdel a", VERDICT_ALLOWED, 0);
    expect_verdict("+@all %W~a*", "exists a", VERDICT_ALLOWED, 0); /* as in Redis: that looks at no value */
    /* Subcommands and first arguments. */
    expect_verdict("+config|get", "config get port", VERDICT_ALLOWED, 0);
    expect_verdict("+config|get", "config set port 1", VERDICT_COMMAND, 0);
    expect_verdict("+config -config|set", "config set port 1", VERDICT_COMMAND, 0);
    expect_verdict("+config -config|set", "config get port", VERDICT_ALLOWED, 0);
    expect_verdict("+select|1", "SELECT 1", VERDICT_ALLOWED, 0);
    expect_verdict("+select|1", "SELECT 0", VERDICT_COMMAND, 0);
    expect_verdict("+select|1 -select", "SELECT 1", VERDICT_COMMAND, 0);
    expect_verdict("+debug|jmap", "debug jmap", VERDICT_ALLOWED, 0);
    /* Channels. */
    expect_verdict("+@all &a*", "publish ab x", VERDICT_ALLOWED, 0);
    expect_verdict("+@all &a*", "publish b x", VERDICT_CHANNEL, 1);
    expect_verdict("+@all &a*", "subscribe ab c", VERDICT_CHANNEL, 2);
    expect_verdict("+@all &a*", "psubscribe a*", VERDICT_ALLOWED, 0);
    expect_verdict("+@all &a*", "psubscribe ab", VERDICT_CHANNEL, 1);
    expect_verdict("+@all", "unsubscribe b", VERDICT_ALLOWED, 0);
    expect_verdict("+@all allchannels", "ssubscribe b", VERDICT_ALLOWED, 0);
    expect_verdict("+@all &a", "spublish b x", VERDICT_CHANNEL, 1);
    /* Whoever it is may say who it is. */
    expect_verdict("-@all", "auth x", VERDICT_ALLOWED, 0);
    expect_verdict("-@all", "ping", VERDICT_COMMAND, 0);
}

static void one_selector_has_to_allow_all_of_a_call(void **state) {
    (void)state;
    expect_verdict("+get ~a (+set ~b)", "get a", VERDICT_ALLOWED, 0);
    expect_verdict("+get ~a (+set ~b)", "set b 1", VERDICT_ALLOWED, 0);
    expect_verdict("+get ~a (+set ~b)", "set a 1", VERDICT_KEY, 1);
    expect_verdict("+get ~a (+set ~b)", "del a", VERDICT_COMMAND, 0);
    /* Of what they deny, what is nearest to being allowed is told. */
    expect_verdict("+mget ~a (+mget ~a ~b)", "mget a b c", VERDICT_KEY, 3);
    expect_verdict("+mget ~a ~b (+mget ~a)", "mget a b c", VERDICT_KEY, 3);
    expect_verdict("+publish &a (+@all)", "publish b x", VERDICT_CHANNEL, 1);
}

static void hearing_is_narrowed_only_by_what_takes_something_away(void **state) {
    static const struct {
        const char *old, *fresh;
        bool is_narrower;
    } rows[] = {
        {"&a", "&a &b", false},      {"&a &b", "&a", true},   {"&*", "&a", true}, {"&a", "&*", false},
        {"&a (&b)", "&b &a", false}, {"&a (&*)", "&a", true}, {"", "", false},    {"&a", "", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rules *old = rules_of(rows[i].old), *fresh = rules_of(rows[i].fresh);
        assert_int_equal(rules_narrow_channels(old, fresh), rows[i].is_narrower);
        rules_let_go(old);
        rules_let_go(fresh);
    }
}

static void a_call_of_many_keys_is_checked_key_by_key(void **state) {
    enum { KEYS = 5000 };
    static char del[] = "del", key[] = "a1", other[] = "b1";
    struct bulk *words = calloc(KEYS + 1, sizeof *words);
    (void)state;
    words[0] = (struct bulk){.data = del, .length = 3};
    for (int i = 1; i <= KEYS; i++) words[i] = (struct bulk){.data = key, .length = 2};
    struct rules *rules = rules_of("+@all ~x ~a*");
    uint32_t position;
    const struct command *command = command_meant(words, KEYS + 1);
    assert_int_equal(rules_check(rules, command, words, KEYS + 1, &position), VERDICT_ALLOWED);
    words[KEYS].data = other;
    assert_int_equal(rules_check(rules, command, words, KEYS + 1, &position), VERDICT_KEY);
    assert_int_equal(position, KEYS);
    rules_let_go(rules);
    free(words);
}

int main(void) {
    char name[] = "rules_test";
    char *arguments[] = {name, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_stay_as_they_were_written),
        cmocka_unit_test(words_that_are_none_change_nothing),
        cmocka_unit_test(words_cost_what_there_is_to_be_compared),
        cmocka_unit_test(what_is_written_to_a_file_makes_the_same_rules),
        cmocka_unit_test(one_user_has_a_bounded_number_of_each),
        cmocka_unit_test(any_of_its_passwords_proves_a_user),
        cmocka_unit_test(a_selector_allows_the_command_its_keys_and_its_channels),
        cmocka_unit_test(one_selector_has_to_allow_all_of_a_call),
        cmocka_unit_test(hearing_is_narrowed_only_by_what_takes_something_away),
        cmocka_unit_test(a_call_of_many_keys_is_checked_key_by_key),
    };
    if (!config_load(1, arguments)) return 1;
    commands_register();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
