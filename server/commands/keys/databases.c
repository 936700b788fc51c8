/* Commands about whole databases. Those that change something run with every shard held that has something
 * of it; what they unlink is freed afterwards, in slices, whether ASYNC or SYNC was asked for: nobody has to
 * wait for it while it happens. */
#include "shard/keyspace.h"
#include "server/command/command.h"
#include "server/interest/trackers.h"

static void command_dbsize(const struct call *call, struct reply *reply) {
    struct keyspace_size size;
    keyspace_size(call->keyspace, call->database, &size);
    reply_integer(reply, (int64_t)size.keys);
}

static void flush(struct write_scope *scope, const struct call *call, struct reply *reply,
                  uint32_t database) {
    if (!arguments_tell_flush(call, 1)) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    keyspace_flush(scope, database);
    trackers_tell_all();
    reply_ok(reply);
}

static void command_flushdb(struct write_scope *scope, const struct call *call, struct reply *reply) {
    flush(scope, call, reply, call->database);
}

static void command_flushall(struct write_scope *scope, const struct call *call, struct reply *reply) {
    flush(scope, call, reply, KEYSPACE_ALL_DATABASES);
}

static void command_swapdb(struct write_scope *scope, const struct call *call, struct reply *reply) {
    const struct bulk *names = &call->arguments[1];
    int64_t first, second, count = keyspace_database_count(call->keyspace);
    if (!argument_integer_within(&names[0], INT32_MIN, INT32_MAX, &first, reply,
                                 "ERR invalid first DB index"))
        return;
    if (!argument_integer_within(&names[1], INT32_MIN, INT32_MAX, &second, reply,
                                 "ERR invalid second DB index"))
        return;
    if (first < 0 || first >= count || second < 0 || second >= count) {
        reply_error(reply, "ERR DB index is out of range");
        return;
    }
    if (first != second) {
        keyspace_swap(scope, (uint32_t)first, (uint32_t)second);
        trackers_tell_all();
    }
    reply_ok(reply);
}

/* ------------------------------------------------------------------ rows */

const struct command databases_commands[] = {
    {.name = "dbsize",
     .arity = 1,
     .flags = COMMAND_SUMS | COMMAND_READONLY | COMMAND_FAST,
     .plain = command_dbsize,
     .categories = "keyspace",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1)",
     .summary = "Counts the keys of the database",
     .tips = "request_policy:all_shards,response_policy:agg_sum"},
    {.name = "flushdb",
     .arity = -1,
     .flags = COMMAND_WRITE | COMMAND_ALL_SHARDS | COMMAND_ONE_DATABASE,
     .write = command_flushdb,
     .categories = "keyspace dangerous",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1) per shard; memory is freed afterwards, in slices",
     .summary = "Deletes the keys of the database",
     .syntax = "[flush-type:oneof(async=ASYNC@4.0.0 sync=SYNC@6.2.0)]",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .history = "4.0.0:ASYNC;6.2.0:SYNC"},
    {.name = "flushall",
     .arity = -1,
     .flags = COMMAND_WRITE | COMMAND_ALL_SHARDS,
     .write = command_flushall,
     .categories = "keyspace dangerous",
     .since = "1.0.0",
     .group = "server",
     .complexity = "O(1) per shard; memory is freed afterwards, in slices",
     .summary = "Deletes the keys of all databases",
     .syntax = "[flush-type:oneof(async=ASYNC@4.0.0 sync=SYNC@6.2.0)]",
     .tips = "request_policy:all_shards,response_policy:all_succeeded",
     .history = "4.0.0:ASYNC;6.2.0:SYNC"},
    {.name = "swapdb",
     .arity = 3,
     .flags = COMMAND_WRITE | COMMAND_FAST | COMMAND_ALL_SHARDS,
     .write = command_swapdb,
     .categories = "keyspace dangerous",
     .since = "4.0.0",
     .group = "server",
     .complexity = "O(1) per shard",
     .summary = "Exchanges two databases",
     .syntax = "index1:integer index2:integer"},
    {.name = NULL},
};
