/* OBJECT: how a key's value is held, and how it has been used. */
#include "shard/store/usage.h"
#include "server/command/command.h"
#include "server/config/config.h"

/* ------------------------------------------------------------------ OBJECT */

/* The entry of the key that is asked about, on which no access is left; NULL, and null is replied, if there
 * is none. */
static const struct entry *object_entry(const struct read_scope *scope, const struct call *call,
                                        struct reply *reply) {
    struct read_scope quiet = *scope;
    quiet.scope.counts_access = false;
    quiet.scope.is_silent = true;
    const struct entry *entry = scope_read(&quiet, &call->keys[0]);
    if (entry == NULL) reply_null(reply);
    return entry;
}

static int policy_now(void) {
    return atomic_load_explicit(&config.maxmemory_policy, memory_order_relaxed);
}

static bool policy_is_lfu(void) {
    return policy_now() == POLICY_VOLATILE_LFU || policy_now() == POLICY_ALLKEYS_LFU;
}

static void command_object_encoding(const struct read_scope *scope, const struct call *call,
                                    struct reply *reply) {
    const struct entry *entry = object_entry(scope, call, reply);
    if (entry != NULL) reply_bulk_text(reply, entry_encoding_name(entry));
}

#define POLICY_SWITCH                                                                                        \
    " Please note that when switching between policies at runtime LRU and LFU data will take "               \
    "some time to adjust."

static void command_object_idletime(const struct read_scope *scope, const struct call *call,
                                    struct reply *reply) {
    const struct entry *entry = object_entry(scope, call, reply);
    if (entry == NULL) return;
    if (policy_is_lfu())
        reply_error(reply, "ERR An LFU maxmemory policy is selected, idle time not tracked." POLICY_SWITCH);
    else if (policy_now() == POLICY_ALLKEYS_S3FIFO)
        reply_error(reply, "ERR The allkeys-s3fifo maxmemory policy is selected, idle time not "
                           "tracked." POLICY_SWITCH);
    else
        reply_integer(reply, entry_idle_seconds(entry, usage_now(scope->scope.lane, call->now)));
}

static void command_object_freq(const struct read_scope *scope, const struct call *call,
                                struct reply *reply) {
    const struct entry *entry = object_entry(scope, call, reply);
    if (entry == NULL) return;
    if (policy_is_lfu())
        reply_integer(reply, usage_frequency(scope->scope.lane, entry, call->now));
    else
        reply_error(reply, "ERR An LFU maxmemory policy is not selected, access frequency not "
                           "tracked." POLICY_SWITCH);
}

/* Only large strings have several holders: keys, and replies that are being sent. */
static int64_t reference_count(const struct entry *entry) {
    struct string_view view = {.blob = NULL};
    if (entry_type(entry) == TYPE_STRING) entry_string(entry, &view);
    return view.blob == NULL ? 1
                             : (int64_t)atomic_load_explicit(&view.blob->references, memory_order_relaxed);
}

static void command_object_refcount(const struct read_scope *scope, const struct call *call,
                                    struct reply *reply) {
    const struct entry *entry = object_entry(scope, call, reply);
    if (entry != NULL) reply_integer(reply, reference_count(entry));
}

static void command_object_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Tell how the value of <key> is held in memory.",
        "FREQ <key>",
        "    Tell how often <key> is used, where an LFU policy keeps count of it.",
        "IDLETIME <key>",
        "    Tell how many seconds ago <key> was last used.",
        "REFCOUNT <key>",
        "    Tell how many hold the value of <key>; only large strings are shared.",
        "HELP",
        "    Print this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command object_commands[] = {
    {.name = "object",
     .arity = -2,
     .since = "2.2.3",
     .group = "generic",
     .complexity = "as its subcommands",
     .summary = "Commands about how a value is held"},
    {.name = "object|encoding",
     .arity = 3,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_object_encoding,
     .categories = "keyspace",
     .since = "2.2.3",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how a value is held in memory",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output"},
    {.name = "object|freq",
     .arity = 3,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_object_freq,
     .categories = "keyspace",
     .since = "4.0.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how often a key is used",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output"},
    {.name = "object|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_object_help,
     .categories = "keyspace",
     .since = "6.2.0",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "object|idletime",
     .arity = 3,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_object_idletime,
     .categories = "keyspace",
     .since = "2.2.3",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how long ago a key was used",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output"},
    {.name = "object|refcount",
     .arity = 3,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_object_refcount,
     .categories = "keyspace",
     .since = "2.2.3",
     .group = "generic",
     .complexity = "O(1)",
     .summary = "Tells how many hold a value",
     .syntax = "key:key#0",
     .tips = "nondeterministic_output"},
    {.name = NULL},
};
