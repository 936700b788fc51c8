/* server/command/syntax.c: every part of the grammar as the reply it becomes, byte for byte, where in a wrong
 * line the error is, and the rows of the table, all of which have to be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/command/command_table.h"
#include "server/commands/commands.h"
#include "server/command/syntax.h"

/* What a reply reads like, kind of each value first: arrays [], maps {}, sets <>, the rest as they are. Moves
 * *at behind it. */
static void show(const char **at, char **out) {
    char kind = **at;
    long number = strtol(*at + 1, NULL, 10);
    const char *line = *at + 1, *end = strstr(line, "\r\n");
    assert_non_null(end);
    *at = end + 2;
    if (kind == '$') {
        *out += sprintf(*out, "%.*s", (int)number, *at);
        assert_memory_equal(*at + number, "\r\n", 2);
        *at += number + 2;
        return;
    }
    const char *brackets = kind == '*' ? "[]" : kind == '%' ? "{}" : kind == '~' ? "<>" : NULL;
    if (brackets == NULL) {
        *out += sprintf(*out, "%.*s", (int)(end - line), line);
        return;
    }
    if (kind == '%') number *= 2;
    *(*out)++ = brackets[0];
    for (long i = 0; i < number; i++) {
        if (i > 0) *(*out)++ = kind == '%' && i % 2 == 1 ? '=' : ' ';
        show(at, out);
    }
    *(*out)++ = brackets[1];
    **out = '\0';
}

/* The syntax as a reply in RESP3, in one line. */
static const char *tree(const char *syntax) {
    static char text[8192];
    char *out = text;
    struct reply reply;
    reply_init(&reply, 3);
    syntax_reply(syntax, &reply);
    reply_raw(&reply, "", 1);
    const char *at = reply.data;
    show(&at, &out);
    assert_ptr_equal(at, reply.data + reply.length - 1);
    reply_free(&reply);
    return text;
}

static void argument_has_name_type_and_text_to_display(void **state) {
    (void)state;
    assert_string_equal(tree("value:string"), "[{name=value type=string display_text=value}]");
    assert_string_equal(tree("at:unix-time"), "[{name=at type=unix-time display_text=at}]");
    assert_string_equal(tree("a:integer b:double"),
                        "[{name=a type=integer display_text=a} {name=b type=double display_text=b}]");
}

static void key_names_its_spec(void **state) {
    (void)state;
    assert_string_equal(tree("newkey:key#1"),
                        "[{name=newkey type=key display_text=newkey key_spec_index=1}]");
}

static void word_alone_is_a_pure_token(void **state) {
    (void)state;
    assert_string_equal(tree("nx=NX"), "[{name=nx type=pure-token display_text=nx token=NX}]");
    assert_string_equal(tree("nx:pure-token=NX"), tree("nx=NX"));
    assert_string_equal(tree("seconds:integer=EX"),
                        "[{name=seconds type=integer display_text=seconds token=EX}]");
}

static void token_may_be_empty_or_of_the_grammars_letters(void **state) {
    (void)state;
    assert_string_equal(tree("none=\"\""), "[{name=none type=pure-token display_text=none token=}]");
    assert_string_equal(tree("about=\"~\""), "[{name=about type=pure-token display_text=about token=~}]");
    assert_string_equal(tree("id=*"), "[{name=id type=pure-token display_text=id token=*}]");
    assert_string_equal(tree("exactly==@5.0.0"),
                        "[{name=exactly type=pure-token display_text=exactly token== since=5.0.0}]");
}

static void type_is_behind_the_last_colon(void **state) {
    (void)state;
    assert_string_equal(tree("ip:port:string"), "[{name=ip:port type=string display_text=ip:port}]");
}

static void versions_are_told_in_redis_order(void **state) {
    (void)state;
    assert_string_equal(tree("[get=GET@6.2.0]"), "[{name=get type=pure-token display_text=get token=GET "
                                                 "since=6.2.0 flags=<optional>}]");
    assert_string_equal(tree("old:string~2.8.12"),
                        "[{name=old type=string display_text=old deprecated_since=2.8.12}]");
    assert_string_equal(tree("key:key#0=KEY@2.0.0~3.0.0..."),
                        "[{name=key type=key display_text=key key_spec_index=0 token=KEY since=2.0.0 "
                        "deprecated_since=3.0.0 flags=<multiple>}]");
}

static void flags_tell_what_may_be_left_out_or_repeated(void **state) {
    (void)state;
    assert_string_equal(tree("[a:string]"), "[{name=a type=string display_text=a flags=<optional>}]");
    assert_string_equal(tree("a:string..."), "[{name=a type=string display_text=a flags=<multiple>}]");
    assert_string_equal(tree("[a:string...]"),
                        "[{name=a type=string display_text=a flags=<optional multiple>}]");
    assert_string_equal(tree("[by:pattern=GET+...]"),
                        "[{name=by type=pattern display_text=by token=GET flags=<optional multiple "
                        "multiple_token>}]");
    assert_string_equal(tree("by:pattern=GET+..."), "[{name=by type=pattern display_text=by token=GET "
                                                    "flags=<multiple multiple_token>}]");
}

static void items_inside_are_a_tree(void **state) {
    (void)state;
    assert_string_equal(tree("pair:block(key:key#0 value:string)..."),
                        "[{name=pair type=block flags=<multiple> arguments=["
                        "{name=key type=key display_text=key key_spec_index=0} "
                        "{name=value type=string display_text=value}]}]");
    assert_string_equal(tree("[a:oneof=A@1.0.0(b=B c:block=C([d:integer] e=E)+...)] f:string"),
                        "[{name=a type=oneof token=A since=1.0.0 flags=<optional> arguments=["
                        "{name=b type=pure-token display_text=b token=B} "
                        "{name=c type=block token=C flags=<multiple multiple_token> arguments=["
                        "{name=d type=integer display_text=d flags=<optional>} "
                        "{name=e type=pure-token display_text=e token=E}]}]} "
                        "{name=f type=string display_text=f}]");
}

static void resp2_has_arrays_instead_of_maps_and_sets(void **state) {
    struct reply reply;
    (void)state;
    reply_init(&reply, 2);
    syntax_reply("[on=ON]", &reply);
    static const char expected[] =
        "*1\r\n*10\r\n$4\r\nname\r\n$2\r\non\r\n$4\r\ntype\r\n$10\r\npure-token\r\n"
        "$12\r\ndisplay_text\r\n$2\r\non\r\n$5\r\ntoken\r\n$2\r\nON\r\n"
        "$5\r\nflags\r\n*1\r\n+optional\r\n";
    assert_int_equal(reply.length, sizeof expected - 1);
    assert_memory_equal(reply.data, expected, sizeof expected - 1);
    reply_free(&reply);
}

/* The error is found at the '^', which stands for nothing else. */
static void expect_error(const char *marked) {
    char syntax[128];
    const char *mark = strchr(marked, '^');
    assert_non_null(mark);
    snprintf(syntax, sizeof syntax, "%.*s%s", (int)(mark - marked), marked, mark + 1);
    const char *error = syntax_error(syntax);
    if (error == NULL) fail_msg("no error in %s", syntax);
    if (error - syntax != mark - marked) fail_msg("error of %s at %s", syntax, error);
}

static void errors_are_found_where_they_are(void **state) {
    (void)state;
    expect_error("^");
    expect_error("a^");             /* neither type nor token */
    expect_error("a:^text");        /* no such type */
    expect_error("a:^");            /* no type */
    expect_error(":string^");       /* no name */
    expect_error("a:string ^ b=B"); /* two blanks */
    expect_error("a:string ^");     /* a blank at the end */
    expect_error("[a:string^");     /* not closed */
    expect_error("a:string^]");     /* not opened */
    expect_error("a:string^)");     /* not opened */
    expect_error("a:key#^x");       /* no number */
    expect_error("a:string#0^");    /* a spec of no key */
    expect_error("a=^");            /* no token */
    expect_error("a=\"A^");         /* not closed */
    expect_error("a=A@^");          /* no version */
    expect_error("a=A@6x^");        /* no version */
    expect_error("a=A@6.0.0^@7.0.0");
    expect_error("a:pure-token^"); /* without its token */
    expect_error("a:oneof^");      /* of nothing */
    expect_error("a:oneof(^)");
    expect_error("a:oneof(b=B^"); /* not closed */
    expect_error("a:oneof(b=B [^)");
    expect_error("a:string(b=B)^"); /* nothing can be in a string */
    expect_error("a:string+...^");  /* no token to repeat */
    expect_error("a:^string+");     /* half a repetition */
    expect_error("a=A...^...");
}

static void right_lines_have_no_error(void **state) {
    (void)state;
    assert_null(syntax_error("a:string"));
    assert_null(syntax_error("[a:oneof=A@1.0.0~2.0.0(b=B [c:block(d:key#0...)])...]"));
}

/* ------------------------------------------------------------------ the table */

static void every_row_of_the_table_is_right(void **state) {
    uint32_t rows = 0;
    (void)state;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        if (command->syntax == NULL) continue;
        rows++;
        const char *error = syntax_error(command->syntax);
        if (error != NULL) fail_msg("%s: error at '%s'", command->full_name, error);
    }
    assert_true(rows > 50);
}

/* Whoever reads COMMAND DOCS looks the spec up in COMMAND INFO; and no key is without an argument that is
 * one. */
static void keys_of_the_table_agree_with_its_key_specs(void **state) {
    (void)state;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        const char *syntax = command->syntax == NULL ? "" : command->syntax;
        for (uint32_t i = 0; i < sizeof command->keys / sizeof command->keys[0]; i++) {
            char spec[16];
            snprintf(spec, sizeof spec, ":key#%u", i);
            bool is_named = strstr(syntax, spec) != NULL,
                 is_there = command->keys[i].first > 0 || command->keys[i].is_unknown;
            if ((command->keys[i].flags & KEY_NOT_KEY) != 0) continue; /* a shard's channel */
            snprintf(spec, sizeof spec, ":pattern#%u", i);
            is_named = is_named || strstr(syntax, spec) != NULL;
            if (is_named != is_there) fail_msg("%s: key spec %u", command->full_name, i);
        }
        assert_null(strstr(syntax, ":key#4"));
    }
}

/* A request of as few words as the arity allows gives each argument that can't be left out, once, and no
 * other: those are counted here as they stand in the line, outside of all parentheses. */
static void arity_of_the_table_agrees_with_its_syntax(void **state) {
    (void)state;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        const char *syntax = command->syntax;
        if (syntax == NULL) continue; /* QUIT, for one, takes anything and speaks of nothing */
        int least = command->parent == NULL ? 1 : 2;
        bool is_plain = strchr(syntax, '(') == NULL && strchr(syntax, '=') == NULL;
        for (const char *at = syntax; is_plain && *at != '\0'; at++)
            if ((at == syntax || at[-1] == ' ') && *at != '[') least++;
        bool is_open = strchr(syntax, '[') != NULL || strstr(syntax, "...") != NULL;
        if (is_plain && command->arity != (is_open ? -least : least))
            fail_msg("%s: arity %d, syntax %s", command->full_name, command->arity, syntax);
    }
}

static int set_up(void **state) {
    (void)state;
    commands_register();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argument_has_name_type_and_text_to_display),
        cmocka_unit_test(key_names_its_spec),
        cmocka_unit_test(word_alone_is_a_pure_token),
        cmocka_unit_test(token_may_be_empty_or_of_the_grammars_letters),
        cmocka_unit_test(type_is_behind_the_last_colon),
        cmocka_unit_test(versions_are_told_in_redis_order),
        cmocka_unit_test(flags_tell_what_may_be_left_out_or_repeated),
        cmocka_unit_test(items_inside_are_a_tree),
        cmocka_unit_test(resp2_has_arrays_instead_of_maps_and_sets),
        cmocka_unit_test(errors_are_found_where_they_are),
        cmocka_unit_test(right_lines_have_no_error),
        cmocka_unit_test(every_row_of_the_table_is_right),
        cmocka_unit_test(keys_of_the_table_agree_with_its_key_specs),
        cmocka_unit_test(arity_of_the_table_agrees_with_its_syntax),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
