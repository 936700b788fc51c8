/* server/command/command_table.h: what a table makes of rows that stand in several files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "server/command/command_table.h"

static void answer(const struct call *call, struct reply *reply) {
    (void)call;
    reply_ok(reply);
}

static void look(const struct read_scope *scope, const struct call *call, struct reply *reply) {
    (void)scope;
    (void)call;
    reply_ok(reply);
}

static const struct command first_file[] = {
    {.name = "greet|loudly", .arity = 2, .plain = answer}, /* before its command, and in another file */
    {.name = "greeting", .arity = -1, .plain = answer},
    {.name = "peek", .arity = 2, .keys = {{KEY_RO, 1, 0, 1}}, .read = look},
    {.name = NULL},
};
static const struct command second_file[] = {
    {.name = "greet", .arity = -2},
    {.name = "greet|twice", .arity = 3, .plain = answer},
    {.name = "secret", .arity = -2, .flags = COMMAND_HIDES_SUBCOMMANDS, .plain = answer},
    {.name = NULL},
};
static const struct command third_file[] = {
    {.name = "secret|door", .arity = 2, .plain = answer},
    {.name = NULL},
};

static struct bulk bulk_of(const char *text) {
    return (struct bulk){.data = (char *)(uintptr_t)text, .length = strlen(text)};
}

static const struct command *find(const char *name) {
    struct bulk bulk = bulk_of(name);
    return command_find(&bulk);
}

/* What a request of these words runs; NULL, and the error in *reply, if it runs nothing. */
static const struct command *request(const char *first, const char *second, struct reply *reply) {
    struct bulk words[] = {bulk_of(first), bulk_of(second)};
    const struct command *command;
    reply_init(reply, 2);
    return command_check(words, 2, &command, reply) ? command : NULL;
}

static void a_subcommand_may_stand_in_any_file_before_or_behind_its_command(void **state) {
    struct reply reply;
    (void)state;
    const struct command *greet = find("GREET"), *loudly = find("greet|Loudly"), *twice = find("greet|twice");
    assert_non_null(greet);
    assert_int_equal(greet->subcommand_count, 2);
    assert_ptr_equal(&greet->subcommands[0], loudly);
    assert_ptr_equal(&greet->subcommands[1], twice);
    assert_ptr_equal(loudly->parent, greet);
    assert_string_equal(loudly->full_name, "greet|loudly");
    assert_ptr_equal(request("greet", "LOUDLY", &reply), loudly);
    reply_free(&reply);
    assert_null(request("greet", "softly", &reply));
    assert_memory_equal(reply.data, "-ERR unknown subcommand 'softly'. Try GREET HELP.\r\n", reply.length);
    reply_free(&reply);
}

static void a_name_that_begins_like_anothers_is_no_subcommand(void **state) {
    (void)state;
    assert_non_null(find("greeting"));
    assert_int_equal(find("greeting")->subcommand_count, 0);
    assert_null(find("greeting")->parent);
}

static void a_hidden_subcommand_is_run_and_counted_as_its_command(void **state) {
    struct reply reply;
    (void)state;
    const struct command *secret = find("secret"), *door = request("secret", "door", &reply);
    assert_non_null(door);
    assert_ptr_equal(door->parent, secret);
    assert_int_equal(door->id, secret->id);
    assert_string_equal(door->full_name, "secret");
    assert_null(find("secret|door"));
    reply_free(&reply);
}

static void ids_are_those_of_all_rows_that_clients_are_told_of(void **state) {
    (void)state;
    assert_int_equal(command_table_count(), 6);
    assert_int_equal(command_count(), 4);
    for (uint32_t id = 0; id < command_table_count(); id++) assert_int_equal(command_by_id(id)->id, id);
}

/* A flag that a newcomer's row may lack must be missed on the safe side. */
static void a_read_takes_locks_unless_its_row_says_that_it_can_do_without(void **state) {
    (void)state;
    assert_int_equal(find("peek")->flags & COMMAND_OPTIMISTIC, 0);
    assert_int_equal(find("peek")->only_key, 1);
}

static int set_up(void **state) {
    static const struct command *const files[] = {first_file, second_file, third_file};
    (void)state;
    command_table_init(files, sizeof files / sizeof files[0]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subcommand_may_stand_in_any_file_before_or_behind_its_command),
        cmocka_unit_test(a_name_that_begins_like_anothers_is_no_subcommand),
        cmocka_unit_test(a_hidden_subcommand_is_run_and_counted_as_its_command),
        cmocka_unit_test(ids_are_those_of_all_rows_that_clients_are_told_of),
        cmocka_unit_test(a_read_takes_locks_unless_its_row_says_that_it_can_do_without),
    };
    return cmocka_run_group_tests_name("command_table", tests, set_up, NULL);
}
