/* DEBUG: what tests want to see and do. */
#include "debug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "shard/base/number.h"
#include "shard/store/usage.h"
#include "shard/keyspace.h"
#include "server/base/glob.h"
#include "server/base/log.h"
#include "server/base/process.h"

/* Runs for a subcommand that no row has. */
static void command_debug(const struct call *call, struct reply *reply) {
    reply_subcommand_error(call, reply);
}

bool debug_takes(const struct call *call, uint32_t least, uint32_t most, struct reply *reply) {
    if (call->count >= least && call->count <= most) return true;
    reply_subcommand_error(call, reply);
    return false;
}

/* Copies an argument, cut to size - 1. */
static void argument_text(const struct bulk *argument, char *text, size_t size) {
    size_t length = argument->length < size - 1 ? argument->length : size - 1;
    memcpy(text, argument->data, length);
    text[length] = '\0';
}

/* ------------------------------------------------------------------ looking into things */

/* How many bytes the value would take in a dump of Redis's that isn't compressed: small integers as such,
 * otherwise a length and the bytes. */
static size_t serialized_length(const struct entry *entry) {
    struct string_view view;
    int64_t value;
    if (entry_type(entry) != TYPE_STRING) return entry_bytes(entry);
    entry_string(entry, &view);
    if (view.length <= 11 && number_parse(view.data, view.length, &value)) {
        if (value >= INT8_MIN && value <= INT8_MAX) return 2;
        if (value >= INT16_MIN && value <= INT16_MAX) return 3;
        if (value >= INT32_MIN && value <= INT32_MAX) return 5;
    }
    return view.length + (view.length < 64 ? 1 : view.length < 16384 ? 2 : 5);
}

static void command_debug_object(const struct read_scope *scope, const struct call *call,
                                 struct reply *reply) {
    if (!debug_takes(call, 3, 3, reply)) return;
    const struct entry *entry = scope_peek(scope, &call->keys[0]);
    if (entry == NULL) {
        reply_error(reply, ERROR_NO_KEY);
        return;
    }
    char text[256];
    struct string_view view = {.blob = NULL};
    if (entry_type(entry) == TYPE_STRING) entry_string(entry, &view);
    size_t references =
        view.blob == NULL ? 1 : atomic_load_explicit(&view.blob->references, memory_order_relaxed);
    int64_t idle = entry_idle_seconds(entry, usage_now(scope->scope.lane, call->now));
    snprintf(text, sizeof text,
             "Value at:%p refcount:%zu encoding:%s serializedlength:%zu lru:%lld lru_seconds_idle:%lld",
             (const void *)entry, references, entry_encoding_name(entry), serialized_length(entry),
             (long long)((call->now / 1000 - idle) & 0xffffff), (long long)idle);
    reply_status(reply, text);
}

struct spread {
    uint32_t used;
    uint64_t fewest, most;
};

static void spread_take(struct spread *spread, const struct keyspace *keyspace, uint32_t database) {
    *spread = (struct spread){.fewest = UINT64_MAX};
    for (uint32_t shard = 0; shard < keyspace_shard_count(keyspace); shard++) {
        uint64_t keys = keyspace_shard_keys(keyspace, shard, database);
        if (keys > 0) spread->used++;
        if (keys < spread->fewest) spread->fewest = keys;
        if (keys > spread->most) spread->most = keys;
    }
}

/* HTSTATS database [FULL]. Tables have no chains to tell of, so that FULL tells no more. */
static void command_debug_htstats(const struct call *call, struct reply *reply) {
    struct keyspace_size size;
    struct spread spread;
    int64_t database;
    char text[768];
    if (!debug_takes(call, 3, 4, reply)) return;
    if (call->count == 4 && !argument_is(&call->arguments[3], "FULL")) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    if (!argument_integer(&call->arguments[2], &database, reply, NULL)) return;
    if (database < 0 || database >= keyspace_database_count(call->keyspace)) {
        reply_error(reply, "ERR Out of range database");
        return;
    }
    keyspace_size(call->keyspace, (uint32_t)database, &size);
    spread_take(&spread, call->keyspace, (uint32_t)database);
    if (size.keys == 0) {
        snprintf(text, sizeof text, "[Dictionary HT]\nNo stats available for empty dictionaries\n");
    } else {
        snprintf(text, sizeof text,
                 "[Dictionary HT]\nHash tables of all shards (expiring keys are in them):\n"
                 " number of elements: %llu\n elements that expire: %llu\n"
                 " buckets: %llu\n buckets being moved out of: %llu\n elements per bucket: %.2f\n"
                 " bytes: %llu\n"
                 " most elements moved by one operation: %llu\n"
                 "Shards:\n with elements: %u of %u\n fewest elements: %llu\n most elements: %llu\n",
                 (unsigned long long)size.keys, (unsigned long long)size.expiring,
                 (unsigned long long)size.buckets, (unsigned long long)size.old_buckets,
                 size.buckets == 0 ? 0.0 : (double)size.keys / (double)size.buckets,
                 (unsigned long long)size.table_bytes, (unsigned long long)size.moves_most, spread.used,
                 keyspace_shard_count(call->keyspace), (unsigned long long)spread.fewest,
                 (unsigned long long)spread.most);
    }
    reply_verbatim(reply, "txt", text, strlen(text));
}

/* ------------------------------------------------------------------ doing things */

/* Every shard is held meanwhile, so that the server stands still as Redis would. */
static void command_debug_sleep(struct write_scope *scope, const struct call *call, struct reply *reply) {
    char text[64];
    (void)scope;
    if (!debug_takes(call, 3, 3, reply)) return;
    argument_text(&call->arguments[2], text, sizeof text);
    double seconds = strtod(text, NULL);
    if (seconds > 0) {
        if (seconds > 1e9) seconds = 1e9;
        struct timespec left = {.tv_sec = (time_t)seconds};
        left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
        while (nanosleep(&left, &left) == -1 && errno == EINTR) continue;
    }
    reply_ok(reply);
}

static void command_debug_set_active_expire(const struct call *call, struct reply *reply) {
    char text[32];
    if (!debug_takes(call, 3, 3, reply)) return;
    argument_text(&call->arguments[2], text, sizeof text);
    keyspace_set_active_expiry(call->keyspace, strtol(text, NULL, 10) != 0);
    reply_ok(reply);
}

static void command_debug_error(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 3, 3, reply)) return;
    reply_error_format(reply, "%.*s", (int)call->arguments[2].length, call->arguments[2].data);
}

static void command_debug_log(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 3, 3, reply)) return;
    log_write(LOG_WARNING, "DEBUG LOG: %.*s", (int)call->arguments[2].length, call->arguments[2].data);
    reply_ok(reply);
}

/* STRINGMATCH-LEN pattern text: what KEYS and SCAN would say of a key of that name. */
static void command_debug_stringmatch_len(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 4, 4, reply)) return;
    const struct bulk *pattern = &call->arguments[2], *text = &call->arguments[3];
    reply_integer(reply, glob_matches(pattern->data, pattern->length, text->data, text->length, false));
}

/* ------------------------------------------------------------------ what Redis's test suite asks for */

/* More than any test wants. */
#define POPULATE_VALUE_MOST ((int64_t)64 * 1024 * 1024)

/* Puts the key with that value if it is absent. false when out of memory. */
static bool populate_one(struct write_scope *scope, const struct key *key, const char *value, size_t length) {
    struct edit edit;
    scope_edit(scope, key, &edit);
    if (edit.entry == NULL && edit_put_string(&edit, value, length, NULL, false)) {
        scope_changed(&edit, EVENT_SET);
        scope_count_more(scope, -1); /* as in Redis, it is no change that would be worth a save */
        return true;
    }
    bool was_there = edit.entry != NULL;
    scope_unchanged(&edit);
    return was_there;
}

/* POPULATE count [prefix] [size]: keys "prefix:0" and so on of the values "value:0" and so on, cut or filled
 * with zero bytes to the size. */
static void command_debug_populate(struct write_scope *scope, const struct call *call, struct reply *reply) {
    int64_t count, size = 0;
    static const struct bulk standard = {.data = (char *)(uintptr_t)"key", .length = 3};
    if (!debug_takes(call, 3, 5, reply)) return;
    if (!argument_integer_within(&call->arguments[2], 0, INT64_MAX, &count, reply, ERROR_NOT_POSITIVE))
        return;
    if (call->count == 5 && !argument_integer_within(&call->arguments[4], 0, POPULATE_VALUE_MOST, &size,
                                                     reply, ERROR_NOT_POSITIVE))
        return;
    const struct bulk *prefix = call->count > 3 ? &call->arguments[3] : &standard;
    char number[32], *name = malloc(prefix->length + sizeof number),
                     *value = calloc(1, (size_t)size + sizeof number);
    bool is_fine = name != NULL && value != NULL;
    if (is_fine && prefix->length > 0) memcpy(name, prefix->data, prefix->length);
    for (int64_t i = 0; i < count && is_fine; i++) {
        size_t digits = (size_t)snprintf(number, sizeof number, ":%lld", (long long)i);
        memcpy(name + prefix->length, number, digits);
        size_t length = (size_t)snprintf(number, sizeof number, "value:%lld", (long long)i);
        memcpy(value, number, length);
        struct key key = keyspace_key(call->keyspace, call->database, name, prefix->length + digits);
        is_fine = populate_one(scope, &key, value, size == 0 ? length : (size_t)size);
    }
    free(name);
    free(value);
    if (is_fine)
        reply_ok(reply);
    else
        reply_error(reply, ERROR_NO_MEMORY);
}

static void command_debug_reload(const struct call *call, struct reply *reply) {
    (void)call;
    reply_error(reply,
                "ERR DEBUG RELOAD: nothing is written to disk here, and so nothing can be loaded from there");
}

static void command_debug_change_repl_id(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 2, 2, reply)) return;
    process_replication_id_change();
    reply_ok(reply);
}

/* Redis prints the entries to its standard output. Here nothing is printed while a shard is held: the reply
 * tells the size. */
static void command_debug_listpack(const struct read_scope *scope, const struct call *call,
                                   struct reply *reply) {
    char text[64];
    if (!debug_takes(call, 3, 3, reply)) return;
    const struct entry *entry = scope_peek(scope, &call->keys[0]);
    if (entry == NULL) {
        reply_error(reply, ERROR_NO_KEY);
    } else if (strcmp(entry_encoding_name(entry), "listpack") != 0) {
        reply_error(reply, "ERR Not a listpack encoded object.");
    } else {
        snprintf(text, sizeof text, "Listpack of %zu bytes", entry_bytes(entry));
        reply_status(reply, text);
    }
}

struct unit {
    const char *name;
    unsigned long long bytes;
};

/* Whether the argument is a number of bytes, perhaps with a unit, below 4 GB, as Redis has it for its
 * lists. */
static bool threshold_is_right(const struct bulk *argument) {
    static const struct unit units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
                                        {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    char text[32], *rest;
    argument_text(argument, text, sizeof text);
    if (argument->length >= sizeof text || text[0] < '0' || text[0] > '9') return false;
    unsigned long long number = strtoull(text, &rest, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcasecmp(rest, units[i].name) == 0)
            return number < ((unsigned long long)1 << 32) / units[i].bytes;
    return false;
}

/* Lists here keep long elements as they keep short ones: there is nothing to set. */
static void command_debug_quicklist_packed_threshold(const struct call *call, struct reply *reply) {
    if (!debug_takes(call, 3, 3, reply)) return;
    if (threshold_is_right(&call->arguments[2]))
        reply_ok(reply);
    else
        reply_error(reply, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
}

/* ------------------------------------------------------------------ help */

static void command_debug_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANGE-REPL-ID",
        "    Draw another replication id.",
        "CLOCK <WALL|MONOTONIC> <milliseconds>",
        "    Have a clock tell so much more than it did.",
        "DIGEST",
        "    Sum up all keys and values of all databases as 40 hexadecimal digits.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Sum up the value of each key, without its name.",
        "ERROR <string>",
        "    Reply with <string> as an error.",
        "HOLD <key> <seconds>",
        "    Keep the shard of <key> busy for so long, by a thread of its own.",
        "HTSTATS <dbid>",
        "    Describe the hash tables of a database.",
        "LISTPACK <key>",
        "    Tell the size of what is held as a listpack.",
        "LOG <message>",
        "    Write <message> to the log.",
        "MOVE-CLIENTS",
        "    Hand the clients that are between two requests to the next worker.",
        "OBJECT <key>",
        "    Show how <key> is held.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Make <count> keys <prefix>:<number> (key:<number>) that are absent.",
        "PROTOCOL <type>",
        "    Reply with a sample of <type>: string, integer, double, bignum, null, array,",
        "    set, map, attrib, push, verbatim, true, false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Accepted, and without effect: long elements are held as others are.",
        "RELEASE",
        "    End all that HOLD began.",
        "RELOAD [<option> ...]",
        "    An error: there are no files to load from.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    With 0, keys whose time is up are removed only when they are met.",
        "SLEEP <seconds>",
        "    Stand still for so long, with every key locked. Fractions are allowed.",
        "STRINGMATCH-LEN <pattern> <string>",
        "    Match <string> against a glob pattern: 1 or 0.",
        "WORKER",
        "    Tell the number of the worker that has this connection.",
        "HELP",
        "    Print this help.",
    };
    if (!debug_takes(call, 2, 2, reply)) return;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command debug_commands[] = {
    {.name = "debug",
     .arity = -2,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_PROTECTED |
              COMMAND_HIDES_SUBCOMMANDS | COMMAND_SYSTEM,
     .plain = command_debug,
     .since = "1.0.0",
     .group = "server",
     .complexity = "as its subcommands",
     .summary = "Looks inside the server, for tests"},
    {.name = "debug|object",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_debug_object},
    {.name = "debug|sleep",
     .arity = -2,
     .flags = DEBUG_FLAGS | COMMAND_ALL_SHARDS,
     .write = command_debug_sleep},
    {.name = "debug|htstats",
     .arity = -2,
     .flags = DEBUG_FLAGS | COMMAND_SUMS,
     .plain = command_debug_htstats},
    {.name = "debug|set-active-expire",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .plain = command_debug_set_active_expire},
    {.name = "debug|error", .arity = -2, .flags = DEBUG_FLAGS, .plain = command_debug_error},
    {.name = "debug|log", .arity = -2, .flags = DEBUG_FLAGS, .plain = command_debug_log},
    {.name = "debug|stringmatch-len",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .plain = command_debug_stringmatch_len},
    {.name = "debug|populate",
     .arity = -2,
     .flags = DEBUG_FLAGS | COMMAND_ALL_SHARDS,
     .write = command_debug_populate},
    {.name = "debug|listpack",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_debug_listpack},
    {.name = "debug|reload", .arity = -2, .flags = DEBUG_FLAGS, .plain = command_debug_reload},
    {.name = "debug|change-repl-id",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .plain = command_debug_change_repl_id},
    {.name = "debug|quicklist-packed-threshold",
     .arity = -2,
     .flags = DEBUG_FLAGS,
     .plain = command_debug_quicklist_packed_threshold},
    {.name = "debug|help", .arity = -2, .flags = DEBUG_FLAGS, .plain = command_debug_help},
    {.name = NULL},
};
