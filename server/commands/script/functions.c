/* FCALL, and FUNCTION: libraries of Lua functions. How they run is server/run/script.h's; which there are is
 * server/script/libraries.h's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/glob.h"
#include "server/base/log.h"
#include "server/command/command.h"
#include "server/run/script.h"
#include "server/run/slow_script.h"
#include "server/script/dump.h"
#include "server/script/libraries.h"
#include "server/script/shebang.h"
#include "keys.h"

/* Room for Redis's words about a library that can't be loaded. */
#define ERROR_ROOM 512
/* As long as a library may take to load. */
#define LOAD_NS 500000000

/* ------------------------------------------------------------------ loading */

struct loading {
    uint64_t began; /* cycles */
};

static enum script_verdict on_turn(void *context) {
    const struct loading *loading = context;
    return clock_cycles_to_ns(clock_cycles() - loading->began) < LOAD_NS ? SCRIPT_GOES_ON : SCRIPT_ENDS;
}

static void on_log(void *context, int level, const char *text, size_t length) {
    (void)context;
    log_write((enum log_level)level, "%.*s", (int)length, text);
}

static const struct script_host host = {.turn = on_turn, .log = on_log};

static struct script_run run_for(struct loading *loading) {
    loading->began = clock_cycles();
    return (struct script_run){.host = &host, .context = loading};
}

static bool by_function(struct scripting *scripting, const struct call *call, struct found_script *found,
                        struct reply *reply) {
    char error[ERROR_ROOM];
    struct loading loading;
    struct script_run run = run_for(&loading);
    struct library_place place;
    const struct bulk *name = &call->arguments[1];
    bool is_found = library_find(scripting_shelf(scripting), name->data, name->length, false, &run, &place,
                                 error, sizeof error);
    if (is_found && place.is_elsewhere) {
        if (scripting_leaves(scripting)) return false;
        is_found = library_find(scripting_shelf(scripting), name->data, name->length, true, &run, &place,
                                error, sizeof error);
    }
    if (!is_found) {
        reply_error(reply, "ERR Function not found");
        return false;
    }
    if (place.function == 0) {
        reply_error_format(reply, "ERR %s", error);
        return false;
    }
    *found = (struct found_script){.function = place.function,
                                   .flags = place.flags,
                                   .name = place.name,
                                   .is_function = true,
                                   .strays = place.strays,
                                   .shelved = place.shelved};
    return true;
}

static void reply_wrong(struct reply *reply, const char *wrong) {
    reply_error_format(reply, "ERR %s", wrong);
}

static void command_function_load(struct worker *worker, struct task *task, const struct call *call,
                                  struct reply *reply) {
    char error[ERROR_ROOM];
    struct loading loading;
    struct script_run run = run_for(&loading);
    struct scripting *scripting = scripting_of(worker);
    uint32_t at = 2;
    bool replaces = false;
    (void)task;
    for (; at + 1 < call->count; at++) {
        if (!argument_is(&call->arguments[at], "REPLACE")) {
            reply_error_format(reply, "ERR Unknown option given: %.*s", (int)call->arguments[at].length,
                               call->arguments[at].data);
            return;
        }
        replaces = true;
    }
    if (at >= call->count) {
        reply_error(reply, "ERR Function code is missing");
        return;
    }
    if (scripting == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    const char *name;
    size_t length;
    const char *wrong =
        library_load(scripting_shelf(scripting), call->arguments[at].data, call->arguments[at].length,
                     replaces, &run, &name, &length, error, sizeof error);
    if (wrong != NULL)
        reply_wrong(reply, wrong);
    else
        reply_bulk(reply, name, length);
}

static void command_function_restore(struct worker *worker, struct task *task, const struct call *call,
                                     struct reply *reply) {
    char error[ERROR_ROOM];
    struct loading loading;
    struct script_run run = run_for(&loading);
    struct scripting *scripting = scripting_of(worker);
    enum library_policy policy = LIBRARY_APPEND;
    (void)task;
    if (call->count > 4) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (call->count == 4 && argument_is(&call->arguments[3], "REPLACE")) {
        policy = LIBRARY_REPLACE;
    } else if (call->count == 4 && argument_is(&call->arguments[3], "FLUSH")) {
        policy = LIBRARY_FLUSH;
    } else if (call->count == 4 && !argument_is(&call->arguments[3], "APPEND")) {
        reply_error(reply,
                    "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
        return;
    }
    if (scripting == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    const char *wrong = library_restore(scripting_shelf(scripting), call->arguments[2].data,
                                        call->arguments[2].length, policy, &run, error, sizeof error);
    if (wrong != NULL)
        reply_wrong(reply, wrong);
    else
        reply_ok(reply);
}

/* ------------------------------------------------------------------ what there is */

static void command_function_delete(const struct call *call, struct reply *reply) {
    const char *wrong = libraries_delete(call->arguments[2].data, call->arguments[2].length);
    if (wrong != NULL)
        reply_wrong(reply, wrong);
    else
        reply_ok(reply);
}

static void command_function_flush(const struct call *call, struct reply *reply) {
    if (call->count > 3) {
        reply_subcommand_error(call, reply);
        return;
    }
    if (!arguments_tell_flush(call, 2)) {
        reply_error(reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        return;
    }
    libraries_flush();
    reply_ok(reply);
}

static void command_function_dump(const struct call *call, struct reply *reply) {
    const struct library_set *set = libraries_hold();
    size_t length = 0;
    char *payload = set == NULL ? NULL : dump_write(set, &length);
    (void)call;
    if (payload == NULL)
        reply_error(reply, ERROR_NO_MEMORY);
    else
        reply_bulk(reply, payload, length);
    free(payload);
    libraries_let_go(set);
}

static void show_function(struct reply *reply, const struct library_function *function) {
    uint32_t flags = 0;
    while (flags_name(function->flags, (int)flags) != NULL) flags++;
    reply_map(reply, 3);
    reply_bulk_text(reply, "name");
    reply_bulk_text(reply, function->name);
    reply_bulk_text(reply, "description");
    if (function->description == NULL)
        reply_null(reply);
    else
        reply_bulk_text(reply, function->description);
    reply_bulk_text(reply, "flags");
    reply_set(reply, flags);
    for (uint32_t i = 0; i < flags; i++) reply_status(reply, flags_name(function->flags, (int)i));
}

static void show_library(struct reply *reply, const struct library *library, bool has_code) {
    reply_map(reply, has_code ? 4 : 3);
    reply_bulk_text(reply, "library_name");
    reply_bulk_text(reply, library->name);
    reply_bulk_text(reply, "engine");
    reply_bulk_text(reply, "LUA");
    reply_bulk_text(reply, "functions");
    reply_array(reply, library->function_count);
    for (uint32_t i = 0; i < library->function_count; i++) show_function(reply, &library->functions[i]);
    if (!has_code) return;
    reply_bulk_text(reply, "library_code");
    reply_bulk(reply, library->code, library->code_length);
}

static void command_function_list(const struct call *call, struct reply *reply) {
    const struct bulk *pattern = NULL;
    bool has_code = false, has_pattern = false;
    for (uint32_t i = 2; i < call->count; i++) {
        if (!has_code && argument_is(&call->arguments[i], "WITHCODE")) {
            has_code = true;
        } else if (!has_pattern && argument_is(&call->arguments[i], "LIBRARYNAME")) {
            if (++i == call->count) {
                reply_error(reply, "ERR library name argument was not given");
                return;
            }
            pattern = &call->arguments[i];
            has_pattern = true;
        } else {
            reply_error_format(reply, "ERR Unknown argument %.*s", (int)call->arguments[i].length,
                               call->arguments[i].data);
            return;
        }
    }
    const struct library_set *set = libraries_hold();
    if (set == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    size_t mark = reply_defer(reply), count = 0;
    for (uint32_t i = 0; i < set->library_count; i++) {
        const struct library *library = set->libraries[i];
        if (has_pattern &&
            !glob_matches(pattern->data, pattern->length, library->name, strlen(library->name), true))
            continue;
        show_library(reply, library, has_code);
        count++;
    }
    reply_defer_array(reply, mark, count);
    libraries_let_go(set);
}

static void command_function_stats(const struct call *call, struct reply *reply) {
    size_t mark = reply_mark(reply);
    (void)call;
    reply_map(reply, 2);
    reply_bulk_text(reply, "running_script");
    const char *busy = slow_scripts_show(reply);
    if (busy != NULL) {
        reply_truncate(reply, mark);
        reply_error(reply, busy);
        return;
    }
    const struct library_set *set = libraries_hold();
    reply_bulk_text(reply, "engines");
    reply_map(reply, 1);
    reply_bulk_text(reply, "LUA");
    reply_map(reply, 2);
    reply_bulk_text(reply, "libraries_count");
    reply_integer(reply, set == NULL ? 0 : set->library_count);
    reply_bulk_text(reply, "functions_count");
    reply_integer(reply, set == NULL ? 0 : set->function_count);
    libraries_let_go(set);
}

static void command_function_kill(const struct call *call, struct reply *reply) {
    (void)call;
    slow_scripts_kill(true, reply);
}

static void command_function_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DELETE <library-name>",
        "    Forgets a library and its functions.",
        "DUMP",
        "    Answers all libraries as one payload for FUNCTION RESTORE.",
        "FLUSH [ASYNC|SYNC]",
        "    Forgets all libraries.",
        "KILL",
        "    Ends functions that have been running for too long and have not written.",
        "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
        "    Lists libraries and their functions.",
        "LOAD [REPLACE] <code>",
        "    Keeps a library, whose name its first line tells.",
        "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
        "    Loads the libraries of a payload.",
        "STATS",
        "    Tells about the function that has been running for too long, and how many there are.",
        "HELP",
        "    Prints this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof *lines);
}

#define FCALL_FLAGS (COMMAND_NOSCRIPT | COMMAND_STALE | COMMAND_SKIP_MONITOR | COMMAND_MOVABLE_KEYS)
#define FCALL_SYNTAX "function:string numkeys:integer [key:key#0...] [arg:string...]"
#define CHANGES (COMMAND_WRITE | COMMAND_NOSCRIPT)

const struct command functions_commands[] = {
    {.name = "fcall",
     .arity = -3,
     .flags = FCALL_FLAGS,
     .keys = SCRIPT_KEYS(SCRIPT_RW, SCRIPT_NOTES),
     .run = script_run_whole,
     .script = by_function,
     .is_function = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on the function",
     .summary = "Calls a function of a library",
     .syntax = FCALL_SYNTAX},
    {.name = "fcall_ro",
     .arity = -3,
     .flags = FCALL_FLAGS | COMMAND_READONLY,
     .keys = SCRIPT_KEYS(SCRIPT_RO, SCRIPT_NOTES),
     .run = script_run_whole,
     .script = by_function,
     .is_function = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on the function",
     .summary = "Calls a function of a library that only reads",
     .syntax = FCALL_SYNTAX},
    {.name = "function",
     .arity = -2,
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on subcommand",
     .summary = "What can be asked about functions"},
    {.name = "function|delete",
     .arity = 3,
     .flags = CHANGES,
     .plain = command_function_delete,
     .keeps_its_place = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Forgets a library",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .syntax = "library-name:string"},
    {.name = "function|dump",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT,
     .plain = command_function_dump,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(N), N functions",
     .summary = "Answers all libraries as a payload"},
    {.name = "function|flush",
     .arity = -2,
     .flags = CHANGES,
     .plain = command_function_flush,
     .keeps_its_place = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(N), N functions forgotten",
     .summary = "Forgets all libraries",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .syntax = "[flush-type:oneof(async=ASYNC sync=SYNC)]"},
    {.name = "function|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_function_help,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Tells about the subcommands"},
    {.name = "function|kill",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .plain = command_function_kill,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Ends a function that has taken too long and has not written",
     .tips = "request_policy:all_shards,response_policy:one_succeeded"},
    {.name = "function|list",
     .arity = -2,
     .flags = COMMAND_NOSCRIPT,
     .plain = command_function_list,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(N), N functions",
     .summary = "Lists libraries and their functions",
     .syntax = "[library-name-pattern:string=LIBRARYNAME] [withcode=WITHCODE]",
     .tips = "nondeterministic_output_order"},
    {.name = "function|load",
     .arity = -3,
     .flags = CHANGES | COMMAND_DENYOOM,
     .worker = command_function_load,
     .loads = LOADS_AND_RUNS,
     .keeps_its_place = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(1), or what the library does while it loads",
     .summary = "Keeps a library of functions",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .syntax = "[replace=REPLACE] function-code:string"},
    {.name = "function|restore",
     .arity = -3,
     .flags = CHANGES | COMMAND_DENYOOM,
     .worker = command_function_restore,
     .loads = LOADS_AND_RUNS,
     .keeps_its_place = true,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(N), N functions of the payload",
     .summary = "Loads the libraries of a payload",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .syntax = "serialized-value:string [policy:oneof(flush=FLUSH append=APPEND replace=REPLACE)]"},
    {.name = "function|stats",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .plain = command_function_stats,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Tells about functions that run, and how many there are",
     .tips = "nondeterministic_output,request_policy:all_shards,response_policy:special"},
    {.name = NULL},
};
