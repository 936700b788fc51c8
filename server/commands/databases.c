/* Commands about whole databases. Those that change something run with every shard held; what they
 * unlink is freed afterwards, in slices, whether ASYNC or SYNC was asked for: nobody has to wait
 * for it while it happens. */
#include "shard/keyspace.h"
#include "commands.h"

void command_dbsize(const struct call *call, struct reply *reply) {
    struct keyspace_size size;
    keyspace_size(call->keyspace, call->database, &size);
    reply_integer(reply, (int64_t)size.keys);
}

/* [ASYNC | SYNC] */
static void flush(struct write_scope *all, const struct call *call, struct reply *reply, uint32_t database) {
    if (call->count > 2 || (call->count == 2 && !argument_is(&call->arguments[1], "ASYNC") &&
                            !argument_is(&call->arguments[1], "SYNC"))) {
        reply_error(reply, ERROR_SYNTAX);
        return;
    }
    keyspace_flush(all, database);
    reply_ok(reply);
}

void command_flushdb(struct write_scope *scope, const struct call *call, struct reply *reply) {
    flush(scope, call, reply, call->database);
}

void command_flushall(struct write_scope *scope, const struct call *call, struct reply *reply) {
    flush(scope, call, reply, KEYSPACE_ALL_DATABASES);
}

void command_swapdb(struct write_scope *scope, const struct call *call, struct reply *reply) {
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
    if (first != second) keyspace_swap(scope, (uint32_t)first, (uint32_t)second);
    reply_ok(reply);
}
