/* What users may do, and what they were denied: ACL GETUSER, DRYRUN, CAT, LOG, and GENPASS. */
#include <limits.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl/check.h"
#include "server/acl/describe.h"
#include "server/acl/log.h"
#include "server/acl/users.h"
#include "server/command/category.h"
#include "server/command/command_table.h"

#define PASSWORD_BITS 256
#define PASSWORD_BITS_MOST 4096
#define SHOWN_MOST 128

/* ------------------------------------------------------------------ GETUSER */

static void reply_text(const char *name, const struct selector *selector,
                       void (*describe)(const struct selector *selector, struct reply *text),
                       struct reply *reply) {
    struct reply text;
    reply_init(&text, 2);
    describe(selector, &text);
    reply_bulk_text(reply, name);
    if (text.is_broken)
        reply->is_broken = true;
    else
        reply_bulk(reply, text.data == NULL ? "" : text.data, text.length);
    reply_free(&text);
}

/* Three pairs. */
static void reply_selector(const struct selector *selector, struct reply *reply) {
    reply_text("commands", selector, describe_commands, reply);
    reply_text("keys", selector, describe_keys, reply);
    reply_text("channels", selector, describe_channels, reply);
}

static void reply_user(const struct rules *rules, struct reply *reply) {
    const char *flags[RULES_FLAGS];
    uint32_t flag_count = describe_flags(rules, flags);
    reply_map(reply, 6);
    reply_bulk_text(reply, "flags");
    reply_set(reply, flag_count);
    for (uint32_t i = 0; i < flag_count; i++) reply_bulk_text(reply, flags[i]);
    reply_bulk_text(reply, "passwords");
    reply_array(reply, rules->password_count);
    for (uint32_t i = 0; i < rules->password_count; i++) {
        char hash[RULES_HASH_SIZE];
        describe_password(rules, i, hash);
        reply_bulk_text(reply, hash);
    }
    reply_selector(&rules->selectors[0], reply);
    reply_bulk_text(reply, "selectors");
    reply_array(reply, rules->selector_count - 1);
    for (uint32_t i = 1; i < rules->selector_count; i++) {
        reply_map(reply, 3);
        reply_selector(&rules->selectors[i], reply);
    }
}

static void command_getuser(const struct call *call, struct reply *reply) {
    struct rules *rules = users_find(&call->arguments[2]);
    if (rules == NULL)
        reply_null(reply);
    else
        reply_user(rules, reply);
    rules_let_go(rules);
}

/* ------------------------------------------------------------------ DRYRUN */

static int shown(const struct bulk *text) {
    return text->length < SHOWN_MOST ? (int)text->length : SHOWN_MOST;
}

static void reply_denial(enum verdict verdict, const struct bulk *user, const struct command *command,
                         const struct bulk *object, struct reply *reply) {
    size_t size = user->length + object->length + 256;
    char *text = malloc(size), *name = strndup(user->data, user->length);
    if (text == NULL || name == NULL)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_bulk(reply, text, verdict_text(verdict, name, command, object, text, size));
    free(text);
    free(name);
}

static void dry_run(const struct rules *rules, const struct call *call, struct reply *reply) {
    const struct bulk *arguments = call->arguments + 3;
    uint32_t count = call->count - 3, position;
    const struct command *command = command_meant(arguments, count);
    if (command == NULL) {
        reply_error_format(reply, "ERR Command '%.*s' not found", shown(&arguments[0]), arguments[0].data);
        return;
    }
    if (!command_arity_fits(command, count)) {
        reply_error_format(reply, "ERR wrong number of arguments for '%s' command", command->full_name);
        return;
    }
    enum verdict verdict = rules_check(rules, command, arguments, count, &position);
    if (verdict == VERDICT_ALLOWED)
        reply_ok(reply);
    else if (verdict == VERDICT_NO_MEMORY)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_denial(verdict, &call->arguments[2], command, &arguments[position], reply);
}

static void command_dryrun(const struct call *call, struct reply *reply) {
    const struct bulk *name = &call->arguments[2];
    struct rules *rules = users_find(name);
    if (rules == NULL)
        reply_error_format(reply, "ERR User '%.*s' not found", shown(name), name->data);
    else
        dry_run(rules, call, reply);
    rules_let_go(rules);
}

/* ------------------------------------------------------------------ CAT */

static void command_cat(const struct call *call, struct reply *reply) {
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 2) {
        reply_array(reply, category_count());
        for (uint32_t i = 0; i < category_count(); i++) reply_bulk_text(reply, category_name(i) + 1);
        return;
    }
    const struct bulk *name = &call->arguments[2];
    uint32_t category = category_find(name);
    if (category == category_count()) {
        reply_error_format(reply, "ERR Unknown category '%.*s'", shown(name), name->data);
        return;
    }
    size_t mark = reply_defer(reply), count = 0;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        if (!command_is_in_category(command_by_id(id), category)) continue;
        reply_bulk_text(reply, command_by_id(id)->full_name);
        count++;
    }
    reply_defer_array(reply, mark, count);
}

/* ------------------------------------------------------------------ GENPASS */

static void command_genpass(const struct call *call, struct reply *reply) {
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[PASSWORD_BITS_MOST / 8];
    char text[PASSWORD_BITS_MOST / 4];
    int64_t bits = PASSWORD_BITS;
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 3 && !argument_integer(&call->arguments[2], &bits, reply, NULL)) return;
    if (bits <= 0 || bits > PASSWORD_BITS_MOST) {
        reply_error_format(reply,
                           "ERR ACL GENPASS argument must be the number of bits for the output password, a "
                           "positive number up to %d",
                           PASSWORD_BITS_MOST);
        return;
    }
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        reply_error(reply, "ERR there is no randomness to make a password of");
        return;
    }
    size_t letters = (size_t)(bits + 3) / 4;
    for (size_t i = 0; i < letters; i++) text[i] = digits[bytes[i / 2] >> (i % 2 * 4) & 15];
    reply_bulk(reply, text, letters);
}

/* ------------------------------------------------------------------ LOG */

struct showing {
    struct reply *reply;
    int64_t now;
    size_t count;
};

static void show(void *context, const struct acl_log_entry *entry) {
    static const char *const reasons[] = {
        [ACL_REASON_COMMAND] = "command",
        [ACL_REASON_KEY] = "key",
        [ACL_REASON_CHANNEL] = "channel",
        [ACL_REASON_AUTH] = "auth",
    };
    static const char *const contexts[] = {
        [ACL_TOPLEVEL] = "toplevel",
        [ACL_MULTI] = "multi",
        [ACL_LUA] = "lua",
    };
    struct showing *showing = context;
    struct reply *reply = showing->reply;
    showing->count++;
    reply_map(reply, 10);
    reply_bulk_text(reply, "count");
    reply_integer(reply, (int64_t)entry->count);
    reply_bulk_text(reply, "reason");
    reply_bulk_text(reply, reasons[entry->reason]);
    reply_bulk_text(reply, "context");
    reply_bulk_text(reply, contexts[entry->context]);
    reply_bulk_text(reply, "object");
    reply_bulk(reply, entry->text, entry->object_length);
    reply_bulk_text(reply, "username");
    reply_bulk(reply, entry->text + entry->object_length, entry->user_length);
    reply_bulk_text(reply, "age-seconds");
    reply_double(reply, (double)(showing->now - entry->updated) / 1000);
    reply_bulk_text(reply, "client-info");
    reply_bulk_text(reply, entry->client);
    reply_bulk_text(reply, "entry-id");
    reply_integer(reply, entry->id);
    reply_bulk_text(reply, "timestamp-created");
    reply_integer(reply, entry->created);
    reply_bulk_text(reply, "timestamp-last-updated");
    reply_integer(reply, entry->updated);
}

static void command_log(const struct call *call, struct reply *reply) {
    int64_t most = 10;
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 3 && argument_is(&call->arguments[2], "RESET")) {
        acl_log_clear();
        reply_ok(reply);
        return;
    }
    if (call->count == 3 && !argument_integer(&call->arguments[2], &most, reply, NULL)) return;
    struct showing showing = {.reply = reply, .now = call->now};
    size_t mark = reply_defer(reply);
    acl_log_visit(most, show, &showing);
    reply_defer_array(reply, mark, showing.count);
}

/* ------------------------------------------------------------------ HELP */

static void command_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CAT [<category>]",
        "    The commands of a category, or all categories.",
        "DELUSER <username> [<username> ...]",
        "    Deletes users, and closes their clients.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Whether the user may run the command, which is not run.",
        "GETUSER <username>",
        "    What a user may do.",
        "GENPASS [<bits>]",
        "    A password that nobody guesses, of 256 bits or as many as given.",
        "LIST",
        "    All users as an aclfile has them.",
        "LOAD",
        "    Reads all users anew from the aclfile.",
        "LOG [<count> | RESET]",
        "    What was denied lately, or forgets that.",
        "SAVE",
        "    Writes all users to the aclfile.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Makes a user, or changes what it may do.",
        "USERS",
        "    The names of all users.",
        "WHOAMI",
        "    Who this client is.",
        "HELP",
        "    Prints this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

#define READING_FLAGS (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)

const struct command rights_commands[] = {
    {.name = "acl|cat",
     .arity = -2,
     .flags = READING_FLAGS,
     .plain = command_cat,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Shows categories, or the commands of one",
     .syntax = "[category:string]"},
    {.name = "acl|dryrun",
     .arity = -4,
     .flags = COMMAND_ADMIN | READING_FLAGS,
     .plain = command_dryrun,
     .since = "7.0.0",
     .group = "server",
     .complexity = "O(N) for N rules",
     .summary = "Tells whether a user may run a command",
     .syntax = "username:string command:string [arg:string...]"},
    {.name = "acl|genpass",
     .arity = -2,
     .flags = READING_FLAGS,
     .plain = command_genpass,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Makes a password",
     .syntax = "[bits:integer]"},
    {.name = "acl|getuser",
     .arity = 3,
     .flags = COMMAND_ADMIN | READING_FLAGS,
     .plain = command_getuser,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N rules",
     .summary = "Shows what a user may do",
     .syntax = "username:string",
     .history = "6.2.0:channels;7.0.0:selectors, and keys and channels as rules"},
    {.name = "acl|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_help,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells about the subcommands"},
    {.name = "acl|log",
     .arity = -2,
     .flags = COMMAND_ADMIN | READING_FLAGS,
     .plain = command_log,
     .since = "6.0.0",
     .group = "server",
     .complexity = "O(N) for N entries",
     .summary = "Shows what was denied lately",
     .syntax = "[operation:oneof(count:integer reset=RESET)]",
     .history = "7.2.0:entry-id, timestamp-created and timestamp-last-updated"},
    {.name = NULL},
};
