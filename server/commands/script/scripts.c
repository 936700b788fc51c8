/* EVAL and its like, and SCRIPT. How they run is server/run/script.h's. */
#include <stdio.h>
#include <string.h>

#include "server/command/command.h"
#include "server/run/script.h"
#include "server/run/slow_script.h"
#include "server/script/shebang.h"
#include "server/script/texts.h"
#include "keys.h"

/* Room for Redis's words about a script that can't be compiled. */
#define ERROR_ROOM 512

/* Whether another thread reads it. The sum is asked for only of a long text. */
static bool is_left(struct scripting *scripting, const char *sha, size_t length) {
    return length > LONG_TEXT && !script_cache_is_compiled(scripting_cache(scripting), sha) &&
           scripting_leaves(scripting);
}

static bool fill(struct scripting *scripting, struct script_text *text, struct found_script *found,
                 struct reply *reply) {
    char error[ERROR_ROOM];
    int function = script_cache_function(scripting_cache(scripting), text, error, sizeof error);
    if (function == 0) {
        reply_error_format(reply, "ERR %s", error);
        return false;
    }
    *found = (struct found_script){
        .function = function, .flags = texts_flags(text), .name = texts_name(text), .text = text};
    return true;
}

static bool by_text(struct scripting *scripting, const struct call *call, struct found_script *found,
                    struct reply *reply) {
    char error[ERROR_ROOM];
    const struct bulk *text = &call->arguments[1];
    if (text->length > LONG_TEXT) {
        char sha[SHA_LENGTH + 1];
        if (texts_sha(sha, text->data, text->length) && is_left(scripting, sha, text->length)) return false;
    }
    struct script_text *added = script_cache_add(scripting_cache(scripting), text->data, text->length, false,
                                                 call->now, error, sizeof error);
    if (added != NULL) return fill(scripting, added, found, reply);
    reply_error_format(reply, "ERR %s", error);
    return false;
}

static bool by_sha(struct scripting *scripting, const struct call *call, struct found_script *found,
                   struct reply *reply) {
    const struct bulk *sha = &call->arguments[1];
    struct script_text *text = sha->length == SHA_LENGTH
                                   ? script_cache_find(scripting_cache(scripting), sha->data, call->now)
                                   : NULL;
    if (text != NULL && is_left(scripting, sha->data, texts_length(text))) return false;
    if (text != NULL) return fill(scripting, text, found, reply);
    reply_error(reply, "NOSCRIPT No matching script. Please use EVAL.");
    return false;
}

static void command_script_exists(const struct call *call, struct reply *reply) {
    reply_array(reply, call->count - 2);
    for (uint32_t i = 2; i < call->count; i++) {
        const struct bulk *argument = &call->arguments[i];
        reply_integer(reply, argument->length == SHA_LENGTH && texts_has(argument->data));
    }
}

static void command_script_flush(const struct call *call, struct reply *reply) {
    if (!arguments_tell_flush(call, 2)) {
        reply_error(reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    texts_flush();
    reply_ok(reply);
}

static void command_script_load(struct worker *worker, struct task *task, const struct call *call,
                                struct reply *reply) {
    char error[ERROR_ROOM];
    struct scripting *scripting = scripting_of(worker);
    const struct bulk *text = &call->arguments[2];
    (void)task;
    if (scripting == NULL) {
        reply_error(reply, ERROR_NO_MEMORY);
        return;
    }
    const struct script_text *added = script_cache_add(scripting_cache(scripting), text->data, text->length,
                                                       true, call->now, error, sizeof error);
    if (added == NULL)
        reply_error_format(reply, "ERR %s", error);
    else
        reply_bulk_text(reply, texts_name(added));
}

static void command_script_kill(const struct call *call, struct reply *reply) {
    (void)call;
    slow_scripts_kill(false, reply);
}

static void command_script_debug(const struct call *call, struct reply *reply) {
    bool is_known = argument_is(&call->arguments[2], "YES") || argument_is(&call->arguments[2], "SYNC");
    if (argument_is(&call->arguments[2], "NO"))
        reply_ok(reply);
    else
        reply_error(reply, is_known ? "ERR SCRIPT DEBUG is not supported: there is no debugger here"
                                    : "ERR Use SCRIPT DEBUG YES/SYNC/NO");
}

static void command_script_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG (YES|SYNC|NO)",
        "    Answers an error: there is no debugger here.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Tells which of these scripts are known.",
        "FLUSH [ASYNC|SYNC]",
        "    Forgets all scripts.",
        "KILL",
        "    Ends scripts that have been running for too long and have not written.",
        "LOAD <script>",
        "    Keeps a script without running it.",
        "HELP",
        "    Prints this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof *lines);
}

#define EVAL_FLAGS (COMMAND_NOSCRIPT | COMMAND_STALE | COMMAND_SKIP_MONITOR | COMMAND_MOVABLE_KEYS)
#define EVAL_SYNTAX(what) what " numkeys:integer [key:key#0...] [arg:string...]"

const struct command scripts_commands[] = {
    {.name = "eval",
     .arity = -3,
     .flags = EVAL_FLAGS,
     .keys = SCRIPT_KEYS(SCRIPT_RW, SCRIPT_NOTES),
     .run = script_run_whole,
     .script = by_text,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "Depends on the script",
     .summary = "Runs a Lua script",
     .syntax = EVAL_SYNTAX("script:string")},
    {.name = "eval_ro",
     .arity = -3,
     .flags = EVAL_FLAGS | COMMAND_READONLY,
     .keys = SCRIPT_KEYS(SCRIPT_RO, SCRIPT_NOTES),
     .run = script_run_whole,
     .script = by_text,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on the script",
     .summary = "Runs a Lua script that only reads",
     .syntax = EVAL_SYNTAX("script:string")},
    {.name = "evalsha",
     .arity = -3,
     .flags = EVAL_FLAGS,
     .keys = SCRIPT_KEYS(SCRIPT_RW, NULL),
     .run = script_run_whole,
     .script = by_sha,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "Depends on the script",
     .summary = "Runs a Lua script by the SHA1 of its text",
     .syntax = EVAL_SYNTAX("sha1:string")},
    {.name = "evalsha_ro",
     .arity = -3,
     .flags = EVAL_FLAGS | COMMAND_READONLY,
     .keys = SCRIPT_KEYS(SCRIPT_RO, NULL),
     .run = script_run_whole,
     .script = by_sha,
     .categories = "scripting",
     .since = "7.0.0",
     .group = "scripting",
     .complexity = "Depends on the script",
     .summary = "Runs a Lua script that only reads, by the SHA1 of its text",
     .syntax = EVAL_SYNTAX("sha1:string")},
    {.name = "script",
     .arity = -2,
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "Depends on subcommand",
     .summary = "What can be asked about scripts"},
    {.name = "script|debug",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT,
     .plain = command_script_debug,
     .categories = "scripting",
     .since = "3.2.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Answers an error, as there is no debugger",
     .syntax = "mode:oneof(yes=YES sync=SYNC no=NO)"},
    {.name = "script|exists",
     .arity = -3,
     .flags = COMMAND_NOSCRIPT,
     .plain = command_script_exists,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "O(N), N scripts asked for",
     .summary = "Tells which scripts are known",
     .tips = "request_policy:all_shards,response_policy:agg_logical_and",
     .syntax = "sha1:string..."},
    {.name = "script|flush",
     .arity = -2,
     .flags = COMMAND_NOSCRIPT,
     .plain = command_script_flush,
     .keeps_its_place = true,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "O(N), N scripts known",
     .summary = "Forgets all scripts",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded",
     .syntax = "[flush-type:oneof@6.2.0(async=ASYNC sync=SYNC)]",
     .history = "6.2.0:Added the `ASYNC` and `SYNC` flushing mode modifiers."},
    {.name = "script|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_script_help,
     .categories = "scripting",
     .since = "5.0.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Tells about the subcommands"},
    {.name = "script|kill",
     .arity = 2,
     .flags = COMMAND_NOSCRIPT | COMMAND_ALLOW_BUSY,
     .plain = command_script_kill,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "O(1)",
     .summary = "Ends a script that has taken too long and has not written",
     .tips = "request_policy:all_shards,response_policy:one_succeeded"},
    {.name = "script|load",
     .arity = 3,
     .flags = COMMAND_NOSCRIPT | COMMAND_STALE,
     .worker = command_script_load,
     .keeps_its_place = true,
     .loads = LOADS_TEXT,
     .categories = "scripting",
     .since = "2.6.0",
     .group = "scripting",
     .complexity = "O(N), N bytes of text",
     .summary = "Keeps a script, to be run by its SHA1",
     .tips = "request_policy:all_nodes,response_policy:all_succeeded",
     .syntax = "script:string"},
    {.name = NULL},
};
