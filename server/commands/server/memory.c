/* MEMORY: what a key takes, where the process's memory goes, and what the allocator has to say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/base/memory.h"
#include "shard/keyspace.h"
#include "server/base/process.h"
#include "server/command/command.h"
#include "server/net/loop.h"
#include "server/worker/worker.h"

/* ------------------------------------------------------------------ MEMORY USAGE */

/* SAMPLES is for values of many elements; a string is known as a whole. */
static void command_memory_usage(const struct read_scope *scope, const struct call *call,
                                 struct reply *reply) {
    for (uint32_t i = 3; i < call->count; i += 2) {
        int64_t samples = -1;
        bool is_known = i + 1 < call->count && argument_is(&call->arguments[i], "SAMPLES");
        if (is_known && !argument_integer(&call->arguments[i + 1], &samples, reply, NULL)) return;
        if (samples < 0) {
            reply_error(reply, ERROR_SYNTAX);
            return;
        }
    }
    const struct entry *entry = scope_peek(scope, &call->keys[0]);
    if (entry == NULL)
        reply_null(reply);
    else
        reply_integer(reply,
                      (int64_t)(entry_bytes(entry) + sizeof(uint64_t))); /* and its slot in the table */
}

/* ------------------------------------------------------------------ MEMORY STATS and DOCTOR */

/* What both look at. */
struct survey {
    struct process_memory memory;
    uint64_t keys, dataset, clients, retired;
};

static void survey_take(struct survey *survey, const struct keyspace *keyspace) {
    struct keyspace_counts counts;
    *survey = (struct survey){0};
    process_memory(&survey->memory);
    for (uint32_t database = 0; database < keyspace_database_count(keyspace); database++) {
        struct keyspace_size size;
        keyspace_size(keyspace, database, &size);
        survey->keys += size.keys;
        survey->dataset += size.bytes;
    }
    for (uint32_t i = 0; i < worker_count(); i++)
        survey->clients += atomic_load_explicit(&worker_at(i)->input_bytes, memory_order_relaxed) +
                           atomic_load_explicit(&worker_at(i)->output_bytes, memory_order_relaxed) +
                           loop_kept(worker_at(i)->loop) +
                           atomic_load_explicit(&worker_at(i)->tls_bytes, memory_order_relaxed) +
                           atomic_load_explicit(&worker_at(i)->wait_bytes, memory_order_relaxed) +
                           atomic_load_explicit(&worker_at(i)->ended_bytes, memory_order_relaxed) +
                           atomic_load_explicit(&worker_at(i)->name_bytes, memory_order_relaxed);
    keyspace_counts(keyspace, &counts);
    survey->retired = counts.retired_bytes;
}

static uint64_t less(uint64_t whole, uint64_t part) {
    return whole > part ? whole - part : 0;
}

static double ratio(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : (double)part / (double)whole;
}

struct map {
    struct reply *reply;
    size_t count;
};

static void map_integer(struct map *map, const char *name, uint64_t value) {
    reply_bulk_text(map->reply, name);
    reply_integer(map->reply, (int64_t)value);
    map->count++;
}

static void map_double(struct map *map, const char *name, double value) {
    reply_bulk_text(map->reply, name);
    reply_double(map->reply, value);
    map->count++;
}

/* How much larger `whole` is than `part`, as a ratio and in bytes (which may be negative). */
static void map_excess(struct map *map, const char *ratio_name, const char *bytes_name, uint64_t whole,
                       uint64_t part) {
    map_double(map, ratio_name, ratio(whole, part));
    map_integer(map, bytes_name, whole - part);
}

/* One table holds keys with and without expiry, so that none is kept for expiries alone. */
static void map_databases(struct map *map, const struct keyspace *keyspace) {
    for (uint32_t database = 0; database < keyspace_database_count(keyspace); database++) {
        struct keyspace_size size;
        char name[32];
        keyspace_size(keyspace, database, &size);
        if (size.keys == 0) continue;
        snprintf(name, sizeof name, "db.%u", database);
        reply_bulk_text(map->reply, name);
        struct map tables = {.reply = map->reply};
        size_t mark = reply_defer(map->reply);
        map_integer(&tables, "overhead.hashtable.main", size.table_bytes);
        map_integer(&tables, "overhead.hashtable.expires", 0);
        map_integer(&tables, "overhead.hashtable.slot-to-keys", 0);
        reply_defer_map(map->reply, mark, tables.count);
        map->count++;
    }
}

/* In Redis's order and by its names. What Latchkey doesn't have (replicas, a log, scripts) takes no
 * memory. */
static void command_memory_stats(const struct call *call, struct reply *reply) {
    struct survey survey;
    survey_take(&survey, call->keyspace);
    const struct process_memory *memory = &survey.memory;
    uint64_t grown = less(memory->used, memory->at_start);
    struct map map = {.reply = reply};
    size_t mark = reply_defer(reply);
    map_integer(&map, "peak.allocated", memory->peak);
    map_integer(&map, "total.allocated", memory->used);
    map_integer(&map, "startup.allocated", memory->at_start);
    map_integer(&map, "replication.backlog", 0);
    map_integer(&map, "clients.slaves", 0);
    map_integer(&map, "clients.normal", survey.clients);
    map_integer(&map, "cluster.links", 0);
    map_integer(&map, "aof.buffer", 0);
    map_integer(&map, "lua.caches", 0);
    map_integer(&map, "functions.caches", 0);
    map_databases(&map, call->keyspace);
    map_integer(&map, "overhead.total", less(memory->used, survey.dataset));
    map_integer(&map, "keys.count", survey.keys);
    map_integer(&map, "keys.bytes-per-key", survey.keys == 0 ? 0 : grown / survey.keys);
    map_integer(&map, "dataset.bytes", survey.dataset);
    map_double(&map, "dataset.percentage", 100 * ratio(survey.dataset, grown));
    map_double(&map, "peak.percentage", 100 * ratio(memory->used, memory->peak));
    map_integer(&map, "allocator.allocated", memory->used);
    map_integer(&map, "allocator.active", memory->active);
    map_integer(&map, "allocator.resident", memory->allocator_resident);
    map_excess(&map, "allocator-fragmentation.ratio", "allocator-fragmentation.bytes", memory->active,
               memory->used);
    map_excess(&map, "allocator-rss.ratio", "allocator-rss.bytes", memory->allocator_resident,
               memory->active);
    map_excess(&map, "rss-overhead.ratio", "rss-overhead.bytes", memory->resident,
               memory->allocator_resident);
    map_excess(&map, "fragmentation", "fragmentation.bytes", memory->resident, memory->used);
    reply_defer_map(reply, mark, map.count);
}

/* A ratio says little about little memory: for each finding so many bytes must be concerned as well. */
#define WORTH_A_WORD (10 * 1024 * 1024)
#define TOO_LITTLE (5 * 1024 * 1024)

#define CLIENT_BYTES_MOST (200 * 1024)

static bool is_excessive(uint64_t whole, uint64_t part, double limit) {
    return less(whole, part) > WORTH_A_WORD && ratio(whole, part) > limit;
}

static bool peak_was_high(const struct survey *survey) {
    return is_excessive(survey->memory.peak, survey->memory.used, 1.5);
}

static bool is_fragmented(const struct survey *survey) {
    return is_excessive(survey->memory.active, survey->memory.used, 1.1);
}

static bool allocator_keeps_pages(const struct survey *survey) {
    return is_excessive(survey->memory.allocator_resident, survey->memory.active, 1.1);
}

static bool process_is_larger(const struct survey *survey) {
    return is_excessive(survey->memory.resident, survey->memory.allocator_resident, 1.1);
}

static bool clients_are_large(const struct survey *survey) {
    uint64_t connections = workers_connection_count();
    return connections > 0 && survey->clients / connections > CLIENT_BYTES_MOST;
}

static bool much_is_retired(const struct survey *survey) {
    return survey->retired > WORTH_A_WORD && survey->retired > survey->memory.used / 10;
}

static const struct {
    bool (*applies)(const struct survey *survey);
    const char *text;
} findings[] = {
    {peak_was_high,
     "High peak: at its peak this server used more than one and a half times the memory it uses "
     "now. The allocator may keep the difference for a while; MEMORY PURGE gives back what it "
     "can.\n"},
    {is_fragmented,
     "Fragmentation: values in use are spread over pages of which more than a tenth is free. It "
     "lessens as keys are written again, or with a restart.\n"},
    {allocator_keeps_pages,
     "Pages kept: the allocator holds free pages of more than a tenth of the memory in use. They "
     "are reused, and decay with time; MEMORY PURGE returns them now.\n"},
    {process_is_larger,
     "Process overhead: the process is larger than what the allocator holds by more than a tenth. "
     "Code, stacks and kernel buffers of connections are part of it.\n"},
    {clients_are_large,
     "Large client buffers: clients are owed, or have sent unfinished, more than 200 KB each on "
     "average. CLIENT LIST tells which; client-output-buffer-limit bounds them.\n"},
    {much_is_retired,
     "Waiting to be freed: more than a tenth of the memory belongs to keys that are gone already. "
     "It is freed in small slices between requests.\n"},
};

static void command_memory_doctor(const struct call *call, struct reply *reply) {
    struct survey survey;
    struct reply text;
    survey_take(&survey, call->keyspace);
    if (survey.memory.used < TOO_LITTLE) {
        static const char empty[] =
            "This server holds next to nothing, and about so little memory there is nothing to "
            "say. Ask again when there is data.\n";
        reply_verbatim(reply, "txt", empty, sizeof empty - 1);
        return;
    }
    reply_init(&text, call->protocol);
    for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++)
        if (findings[i].applies(&survey)) reply_raw(&text, findings[i].text, strlen(findings[i].text));
    if (text.length == 0 && !text.is_broken) {
        static const char healthy[] = "No memory problem was found.\n";
        reply_raw(&text, healthy, sizeof healthy - 1);
    }
    reply_collected(reply, &text);
}

/* ------------------------------------------------------------------ the allocator */

#ifdef USE_JEMALLOC

#define TEXT_OF(number) #number
#define ARENA_PURGE(arena) "arena." TEXT_OF(arena) ".purge"

static bool allocator_purge(void) {
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    return mallctl(ARENA_PURGE(MALLCTL_ARENAS_ALL), NULL, NULL, NULL, 0) == 0;
}

static void write_statistics(void *text, const char *line) {
    reply_raw(text, line, strlen(line));
}

static void allocator_describe(struct reply *text) {
    malloc_stats_print(write_statistics, text, "");
}

#else

static bool allocator_purge(void) {
    malloc_trim(0);
    return true;
}

static void allocator_describe(struct reply *text) {
    char *description = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&description, &length);
    if (out == NULL) {
        text->is_broken = true;
        return;
    }
    malloc_info(0, out);
    if (fclose(out) == 0)
        reply_raw(text, description, length);
    else
        text->is_broken = true;
    free(description);
}

#endif

static void command_memory_purge(const struct call *call, struct reply *reply) {
    (void)call;
    if (allocator_purge())
        reply_ok(reply);
    else
        reply_error(reply, "ERR Error purging dirty pages");
}

static void command_memory_malloc_stats(const struct call *call, struct reply *reply) {
    struct reply text;
    reply_init(&text, call->protocol);
    allocator_describe(&text);
    reply_collected(reply, &text);
}

static void command_memory_help(const struct call *call, struct reply *reply) {
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Look for problems with memory, and say what helps.",
        "MALLOC-STATS",
        "    Show the allocator's own account.",
        "PURGE",
        "    Give pages that the allocator keeps unused back to the system.",
        "STATS",
        "    Show what the server's memory is used for.",
        "USAGE <key> [SAMPLES <count>]",
        "    Tell how many bytes <key> and its value take. Of a value with many elements,",
        "    <count> are looked at (0: all of them).",
        "HELP",
        "    Print this help.",
    };
    (void)call;
    reply_lines(reply, lines, sizeof lines / sizeof lines[0]);
}

/* ------------------------------------------------------------------ rows */

const struct command memory_commands[] = {
    {.name = "memory",
     .arity = -2,
     .since = "4.0.0",
     .group = "server",
     .complexity = "as its subcommands",
     .summary = "Commands about memory"},
    {.name = "memory|doctor",
     .arity = 2,
     .flags = COMMAND_SUMS,
     .plain = command_memory_doctor,
     .since = "4.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Looks for problems with memory",
     .tips = "nondeterministic_output,request_policy:all_shards,response_policy:special"},
    {.name = "memory|help",
     .arity = 2,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .plain = command_memory_help,
     .since = "4.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "memory|malloc-stats",
     .arity = 2,
     .plain = command_memory_malloc_stats,
     .since = "4.0.0",
     .group = "server",
     .complexity = "grows with the memory in use",
     .summary = "Shows the allocator's own report",
     .tips = "nondeterministic_output,request_policy:all_shards,response_policy:special"},
    {.name = "memory|purge",
     .arity = 2,
     .plain = command_memory_purge,
     .since = "4.0.0",
     .group = "server",
     .complexity = "grows with the memory in use",
     .summary = "Gives unused memory back to the system",
     .tips = "request_policy:all_shards,response_policy:all_succeeded"},
    {.name = "memory|stats",
     .arity = 2,
     .flags = COMMAND_SUMS,
     .plain = command_memory_stats,
     .since = "4.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Tells where memory goes",
     .tips = "nondeterministic_output,request_policy:all_shards,response_policy:special"},
    {.name = "memory|usage",
     .arity = -3,
     .flags = COMMAND_READONLY,
     .keys = {{KEY_RO, 2, 0, 1}},
     .read = command_memory_usage,
     .since = "4.0.0",
     .group = "server",
     .complexity = "O(1) for strings",
     .summary = "Tells how much memory a key takes",
     .syntax = "key:key#0 [count:integer=SAMPLES]"},
    {.name = NULL},
};
