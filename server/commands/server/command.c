/* COMMAND: the table of commands as clients see it. Everything is read from the rows; what Redis derives from
 * other facts is derived here too, so that a row can't contradict itself: the categories that flags imply,
 * the range of keys that clients older than key specs go by. */
#include <stdlib.h>
#include <string.h>

#include "server/base/glob.h"
#include "server/command/category.h"
#include "server/command/command_table.h"
#include "server/command/syntax.h"
#include "server/command/command.h"

struct flag_name {
    uint32_t flag;
    const char *name;
};

/* What a script's row has, shown only. */
#define NO_MANDATORY_KEYS (1u << 31)

/* In the order in which Redis shows them. */
static const struct flag_name command_flags[] = {
    {COMMAND_WRITE, "write"},
    {COMMAND_READONLY, "readonly"},
    {COMMAND_DENYOOM, "denyoom"},
    {COMMAND_ADMIN, "admin"},
    {COMMAND_PUBSUB, "pubsub"},
    {COMMAND_NOSCRIPT, "noscript"},
    {COMMAND_BLOCKING, "blocking"},
    {COMMAND_LOADING, "loading"},
    {COMMAND_STALE, "stale"},
    {COMMAND_SKIP_MONITOR, "skip_monitor"},
    {COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
    {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},
    {COMMAND_NO_ASYNC_LOADING, "no_async_loading"},
    {COMMAND_NO_MULTI, "no_multi"},
    {NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {COMMAND_MOVABLE_KEYS, "movablekeys"},
    {COMMAND_ALLOW_BUSY, "allow_busy"},
    {0, NULL},
};

static const struct flag_name key_flags[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE_FLAGS, "variable_flags"},
    {0, NULL},
};

/* ------------------------------------------------------------------ lists in a text */

/* The next word of a list, and *list behind it; NULL at its end. A list that is NULL is empty. */
static const char *next_word(const char **list, char separator, size_t *length) {
    const char *word = *list;
    if (word == NULL || *word == '\0') return NULL;
    const char *end = strchrnul(word, separator);
    *length = (size_t)(end - word);
    *list = *end == '\0' ? end : end + 1;
    return word;
}

/* The next entry of a row's history: a ';' ends an entry only before the next version, since the texts have
 * some of their own. */
static const char *next_entry(const char **history, size_t *length) {
    const char *entry = *history, *end = entry;
    if (entry == NULL || *entry == '\0') return NULL;
    while (*end != '\0' && !(*end == ';' && end[1] >= '0' && end[1] <= '9')) end++;
    *length = (size_t)(end - entry);
    *history = *end == '\0' ? end : end + 1;
    return entry;
}

/* ------------------------------------------------------------------ COMMAND, COMMAND INFO */

static void reply_flags(uint32_t flags, const struct flag_name *names, struct reply *reply) {
    size_t mark = reply_defer(reply), count = 0;
    for (; names->name != NULL; names++) {
        if ((flags & names->flag) == 0) continue;
        reply_status(reply, names->name);
        count++;
    }
    reply_defer_set(reply, mark, count);
}

static void reply_categories(const struct command *command, struct reply *reply) {
    size_t mark = reply_defer(reply), count = 0;
    for (uint32_t i = 0; i < category_count(); i++) {
        if (!command_is_in_category(command, i)) continue;
        reply_status(reply, category_name(i));
        count++;
    }
    reply_defer_set(reply, mark, count);
}

static void reply_tips(const struct command *command, struct reply *reply) {
    const char *tips = command->tips;
    size_t mark = reply_defer(reply), count = 0, length;
    for (const char *tip; (tip = next_word(&tips, ',', &length)) != NULL; count++)
        reply_bulk(reply, tip, length);
    reply_defer_set(reply, mark, count);
}

static size_t key_spec_count(const struct command *command) {
    size_t count = 0;
    while (command->keys[count].first != 0 || command->keys[count].is_unknown) count++;
    return count;
}

static bool is_plain(const struct key_spec *spec) {
    return spec->keyword == NULL && !spec->is_keynum && !spec->is_unknown;
}

/* First key, last key and step, as clients knew them before there were key specs: a second spec counts only
 * if it goes on where the first ends. */
static void reply_key_range(const struct command *command, struct reply *reply) {
    static const struct key_spec none;
    const struct key_spec *keys = command->keys;
    if (!is_plain(&keys[0])) keys = &none;
    int last = keys[0].last >= 0 ? keys[0].first + keys[0].last : keys[0].last;
    if (keys != &none && key_spec_count(command) > 1 && keys[0].step == 1 && keys[1].step == 1 &&
        is_plain(&keys[1]) && keys[1].first == last + 1)
        last = keys[1].last >= 0 ? keys[1].first + keys[1].last : keys[1].last;
    reply_integer(reply, keys[0].first);
    reply_integer(reply, last);
    reply_integer(reply, keys[0].step);
}

/* "type" and "spec" of one half of a key spec; the spec's pairs follow. */
static void reply_spec_head(const char *half, const char *type, size_t pairs, struct reply *reply) {
    reply_bulk_text(reply, half);
    reply_map(reply, 2);
    reply_bulk_text(reply, "type");
    reply_bulk_text(reply, type);
    reply_bulk_text(reply, "spec");
    reply_map(reply, pairs);
}

static void reply_pair(const char *name, int64_t value, struct reply *reply) {
    reply_bulk_text(reply, name);
    reply_integer(reply, value);
}

static void reply_begin_search(const struct key_spec *spec, struct reply *reply) {
    if (spec->is_unknown) {
        reply_spec_head("begin_search", "unknown", 0, reply);
    } else if (spec->keyword != NULL) {
        reply_spec_head("begin_search", "keyword", 2, reply);
        reply_bulk_text(reply, "keyword");
        reply_bulk_text(reply, spec->keyword);
        reply_pair("startfrom", spec->first, reply);
    } else {
        reply_spec_head("begin_search", "index", 1, reply);
        reply_pair("index", spec->first, reply);
    }
}

static void reply_find_keys(const struct key_spec *spec, struct reply *reply) {
    if (spec->is_unknown) {
        reply_spec_head("find_keys", "unknown", 0, reply);
    } else if (spec->is_keynum) {
        reply_spec_head("find_keys", "keynum", 3, reply);
        reply_pair("keynumidx", 0, reply);
        reply_pair("firstkey", 1, reply);
        reply_pair("keystep", spec->step, reply);
    } else {
        reply_spec_head("find_keys", "range", 3, reply);
        reply_pair("lastkey", spec->last, reply);
        reply_pair("keystep", spec->step, reply);
        reply_pair("limit", spec->limit, reply);
    }
}

static void reply_key_specs(const struct command *command, struct reply *reply) {
    size_t count = key_spec_count(command);
    reply_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        const struct key_spec *spec = &command->keys[i];
        reply_map(reply, spec->notes == NULL ? 3 : 4);
        if (spec->notes != NULL) {
            reply_bulk_text(reply, "notes");
            reply_bulk_text(reply, spec->notes);
        }
        reply_bulk_text(reply, "flags");
        reply_flags(spec->flags, key_flags, reply);
        reply_begin_search(spec, reply);
        reply_find_keys(spec, reply);
    }
}

/* How many subcommands clients are told of. */
static size_t subcommand_count(const struct command *command) {
    return (command->flags & COMMAND_HIDES_SUBCOMMANDS) != 0 ? 0 : command->subcommand_count;
}

static void reply_command(const struct command *command, struct reply *reply) {
    size_t count = subcommand_count(command);
    reply_array(reply, 10);
    reply_bulk_text(reply, command->full_name);
    reply_integer(reply, command->arity);
    reply_flags(command->flags | (command->script != NULL ? NO_MANDATORY_KEYS : 0), command_flags, reply);
    reply_key_range(command, reply);
    reply_categories(command, reply);
    reply_tips(command, reply);
    reply_key_specs(command, reply);
    /* In RESP3 Redis has a set if it is empty, and an array if not. */
    if (count == 0)
        reply_set(reply, 0);
    else
        reply_array(reply, count);
    for (size_t i = 0; i < count; i++) reply_command(&command->subcommands[i], reply);
}

static void command_command(const struct call *call, struct reply *reply) {
    (void)call;
    reply_array(reply, command_count());
    for (uint32_t id = 0; id < command_table_count(); id++)
        if (command_by_id(id)->parent == NULL && !command_by_id(id)->is_removed)
            reply_command(command_by_id(id), reply);
}

static void command_command_info(const struct call *call, struct reply *reply) {
    if (call->count == 2) {
        command_command(call, reply);
        return;
    }
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) {
        const struct command *command = command_find(&call->arguments[i]);
        if (command == NULL)
            reply_null(reply);
        else
            reply_command(command, reply);
    }
}

static void command_command_count(const struct call *call, struct reply *reply) {
    (void)call;
    reply_integer(reply, command_count());
}

/* ------------------------------------------------------------------ COMMAND DOCS */

static size_t reply_doc_text(const char *name, const char *text, struct reply *reply) {
    if (text == NULL) return 0;
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, text);
    return 1;
}

static size_t reply_doc_flags(const struct command *command, struct reply *reply) {
    bool is_deprecated = command->deprecated != NULL;
    bool is_system = (command->flags & COMMAND_SYSTEM) != 0;
    if (!is_deprecated && !is_system) return 0;
    reply_bulk_text(reply, "doc_flags");
    reply_set(reply, (size_t)is_deprecated + is_system);
    if (is_deprecated) reply_status(reply, "deprecated");
    if (is_system) reply_status(reply, "syscmd");
    return 1;
}

static size_t reply_deprecation(const struct command *command, struct reply *reply) {
    if (command->deprecated == NULL) return 0;
    const char *colon = strchrnul(command->deprecated, ':');
    reply_bulk_text(reply, "deprecated_since");
    reply_bulk(reply, command->deprecated, (size_t)(colon - command->deprecated));
    return 1 + (*colon == '\0' ? 0 : reply_doc_text("replaced_by", colon + 1, reply));
}

/* Pairs of version and what it changed. */
static size_t reply_history(const struct command *command, struct reply *reply) {
    const char *history = command->history;
    if (history == NULL) return 0;
    reply_bulk_text(reply, "history");
    size_t mark = reply_defer(reply), count = 0, length;
    for (const char *entry; (entry = next_entry(&history, &length)) != NULL; count++) {
        size_t version = (size_t)(strchrnul(entry, ':') - entry);
        if (version > length) version = length;
        size_t begin = version < length ? version + 1 : length;
        reply_array(reply, 2);
        reply_bulk(reply, entry, version);
        reply_bulk(reply, entry + begin, length - begin);
    }
    reply_defer_set(reply, mark, count);
    return 1;
}

static size_t reply_arguments(const struct command *command, struct reply *reply) {
    if (command->syntax == NULL) return 0;
    reply_bulk_text(reply, "arguments");
    syntax_reply(command->syntax, reply);
    return 1;
}

static void reply_docs(const struct command *command, struct reply *reply);

static size_t reply_subcommand_docs(const struct command *command, struct reply *reply) {
    size_t count = subcommand_count(command);
    if (count == 0) return 0;
    reply_bulk_text(reply, "subcommands");
    reply_map(reply, count);
    for (size_t i = 0; i < count; i++) reply_docs(&command->subcommands[i], reply);
    return 1;
}

/* A command's name and the map that describes it. */
static void reply_docs(const struct command *command, struct reply *reply) {
    reply_bulk_text(reply, command->full_name);
    size_t mark = reply_defer(reply), pairs = 0;
    pairs += reply_doc_text("summary", command->summary, reply);
    pairs += reply_doc_text("since", command->since, reply);
    pairs += reply_doc_text("group", command->group, reply);
    pairs += reply_doc_text("complexity", command->complexity, reply);
    pairs += reply_doc_flags(command, reply);
    pairs += reply_deprecation(command, reply);
    pairs += reply_history(command, reply);
    pairs += reply_arguments(command, reply);
    pairs += reply_subcommand_docs(command, reply);
    reply_defer_map(reply, mark, pairs);
}

static void command_command_docs(const struct call *call, struct reply *reply) {
    size_t mark = reply_defer(reply), count = 0;
    for (uint32_t id = 0; call->count == 2 && id < command_table_count(); id++) {
        if (command_by_id(id)->parent != NULL || command_by_id(id)->is_removed) continue;
        reply_docs(command_by_id(id), reply);
        count++;
    }
    for (uint32_t i = 2; i < call->count; i++) {
        const struct command *command = command_find(&call->arguments[i]);
        if (command == NULL) continue;
        reply_docs(command, reply);
        count++;
    }
    reply_defer_map(reply, mark, count);
}

/* ------------------------------------------------------------------ COMMAND LIST */

/* Says whether a command is wanted by the filter's argument. */
typedef bool filter_function(const struct command *command, const struct bulk *argument);

/* There are no modules that a command could be from. */
static bool is_from_module(const struct command *command, const struct bulk *argument) {
    (void)command;
    (void)argument;
    return false;
}

static bool is_in_named_category(const struct command *command, const struct bulk *argument) {
    uint32_t category = category_find(argument);
    return category < category_count() && command_is_in_category(command, category);
}

static bool name_matches(const struct command *command, const struct bulk *argument) {
    return glob_matches(argument->data, argument->length, command->full_name, strlen(command->full_name),
                        true);
}

static bool is_any(const struct command *command, const struct bulk *argument) {
    (void)command;
    (void)argument;
    return true;
}

static filter_function *filter_find(const struct bulk *name) {
    if (argument_is(name, "MODULE")) return is_from_module;
    if (argument_is(name, "ACLCAT")) return is_in_named_category;
    if (argument_is(name, "PATTERN")) return name_matches;
    return NULL;
}

static void command_command_list(const struct call *call, struct reply *reply) {
    const struct bulk *words = &call->arguments[2];
    filter_function *is_wanted = call->count == 2 ? is_any : NULL;
    if (call->count == 5 && argument_is(&words[0], "FILTERBY")) is_wanted = filter_find(&words[1]);
    if (is_wanted == NULL) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    size_t mark = reply_defer(reply), count = 0;
    for (uint32_t id = 0; id < command_table_count(); id++) {
        const struct command *command = command_by_id(id);
        if (command->is_removed || !is_wanted(command, call->count == 2 ? NULL : &words[2])) continue;
        reply_bulk_text(reply, command->full_name);
        count++;
    }
    reply_defer_array(reply, mark, count);
}

/* ------------------------------------------------------------------ COMMAND GETKEYS */

/* The row that a whole command means. Its words are separate here, so that a name with a '|' means none. */
static const struct command *find_whole(const struct bulk *arguments, uint32_t count) {
    const struct command *command = command_find(&arguments[0]);
    if (command == NULL || command->parent != NULL) return NULL;
    if (count == 1 || subcommand_count(command) == 0) return command;
    return command_find_subcommand(command, &arguments[1]);
}

/* What is wrong with a command whose keys are asked for, or NULL. */
static const char *keys_error(const struct command *command, uint32_t count) {
    if (command == NULL) return "ERR Invalid command specified";
    if (key_spec_count(command) == 0) return "ERR The command has no key arguments";
    if (!command_arity_fits(command, count)) return "ERR Invalid number of arguments specified for command";
    return NULL;
}

/* Replies each key that the command within this one has, with its flags or without. */
static void reply_keys(const struct call *call, bool has_flags, struct reply *reply) {
    const struct bulk *arguments = call->arguments + 2;
    uint32_t count = call->count - 2;
    const struct command *command = find_whole(arguments, count);
    const char *error = keys_error(command, count);
    if (error != NULL) {
        reply_error(reply, error);
        return;
    }
    uint32_t *positions = malloc(2 * (size_t)count * sizeof *positions);
    if (positions == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    uint32_t *flags = positions + count;
    int found = -1;
    if (command_has_all_keys(command, arguments, count))
        found = command_find_keys(command, arguments, count, positions, flags, count);
    if (found < 0 && command->script == NULL)
        reply_error(reply, "ERR Invalid arguments specified for command");
    else
        reply_array(reply, found < 0 ? 0 : (size_t)found); /* scripts and functions need no key */
    for (int i = 0; i < found; i++) {
        const struct bulk *key = &arguments[positions[i]];
        if (has_flags) reply_array(reply, 2);
        reply_bulk(reply, key->data, key->length);
        if (has_flags) reply_flags(flags[i], key_flags, reply);
    }
    free(positions);
}

static void command_command_getkeys(const struct call *call, struct reply *reply) {
    reply_keys(call, false, reply);
}

static void command_command_getkeysandflags(const struct call *call, struct reply *reply) {
    reply_keys(call, true, reply);
}

/* ------------------------------------------------------------------ help */

static void command_command_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Every command, as INFO describes it.",
        "COUNT",
        "    How many commands there are.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
        "    The names of all commands and subcommands, or of those that the filter lets through.",
        "INFO [<command-name> ...]",
        "    How to call these commands, or all: arity, flags, keys and more.",
        "DOCS [<command-name> ...]",
        "    What these commands, or all, are for: summary, history, arguments.",
        "GETKEYS <full-command>",
        "    Which arguments of a command are keys.",
        "GETKEYSANDFLAGS <full-command>",
        "    Likewise, each with what the command does to it.",
        "HELP",
        "    This text.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command command_commands[] = {
    {.name = "command",
     .arity = -1,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command,
     .categories = "connection",
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Tells about all commands",
     .tips = "nondeterministic_output_order"},
    {.name = "command|count",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_count,
     .categories = "connection",
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Counts the commands"},
    {.name = "command|docs",
     .arity = -2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_docs,
     .categories = "connection",
     .since = "7.0.0",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Tells what commands are for and how they are written",
     .syntax = "[command-name:string...]",
     .tips = "nondeterministic_output_order"},
    {.name = "command|getkeys",
     .arity = -4,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_getkeys,
     .categories = "connection",
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(N) for N arguments",
     .summary = "Finds the keys of a whole command"},
    {.name = "command|getkeysandflags",
     .arity = -4,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_getkeysandflags,
     .categories = "connection",
     .since = "7.0.0",
     .group = "server",
     .complexity = "O(N) for N arguments",
     .summary = "Finds the keys of a whole command, and what is done to each"},
    {.name = "command|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_help,
     .categories = "connection",
     .since = "5.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "command|info",
     .arity = -2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_info,
     .categories = "connection",
     .since = "2.8.13",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Tells about the named commands, or all",
     .syntax = "[command-name:string...]",
     .tips = "nondeterministic_output_order",
     .history = "7.0.0:no name: all"},
    {.name = "command|list",
     .arity = -2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_command_list,
     .categories = "connection",
     .since = "7.0.0",
     .group = "server",
     .complexity = "O(N) for N commands",
     .summary = "Lists the names of commands",
     .syntax = "[filterby:oneof=FILTERBY(module-name:string=MODULE category:string=ACLCAT "
               "pattern:pattern=PATTERN)]",
     .tips = "nondeterministic_output_order"},
    {.name = NULL},
};
